"""Forward models y = A x, and the field model (`rnst_jax.physics.field`)."""

from rnst_jax.physics import field, masks
from rnst_jax.physics.algebra import Composition, Stack, Sum
from rnst_jax.physics.base import LinearPhysics
from rnst_jax.physics.fourier import Fourier, fft2c, ifft2c
from rnst_jax.physics.identity import Identity
from rnst_jax.physics.nonuniform import NonUniformFourier
from rnst_jax.physics.resample import Blur, Decimation, SliceProfile, gaussian_kernel
from rnst_jax.physics.sense import Sense, estimate_sensitivity
from rnst_jax.physics.truncation import Truncation

__all__ = [
    "Blur",
    "Composition",
    "Decimation",
    "Fourier",
    "Identity",
    "LinearPhysics",
    "NonUniformFourier",
    "Sense",
    "SliceProfile",
    "Stack",
    "Sum",
    "Truncation",
    "estimate_sensitivity",
    "fft2c",
    "field",
    "gaussian_kernel",
    "ifft2c",
    "masks",
]
