"""Forward models y = A x."""

from rnst_jax.physics.base import LinearPhysics
from rnst_jax.physics.identity import Identity

__all__ = ["Identity", "LinearPhysics"]
