"""Forward models y = A x, and the field model (`rnst_jax.physics.field`)."""

from rnst_jax.physics import field
from rnst_jax.physics.base import LinearPhysics
from rnst_jax.physics.identity import Identity

__all__ = ["Identity", "LinearPhysics", "field"]
