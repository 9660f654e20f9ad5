"""Signal equations of three pulse sequences, and the sequences as pytrees of their times and angles.

All times in s, flip angles in degrees, signals as shares of the magnetisation of water. Each holds for the steady state
of perfect pulses; every check is skipped for values that JAX traces (see `rnst_jax.physics.validity`).

Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences (2004).
"""

import jax.numpy as jnp
from jaxtyping import Array

from rnst_jax.physics.relaxation import Relaxation
from rnst_jax.physics.validity import check_order, check_range
from rnst_jax.types import Scalar, pytree


def spin_echo(density: Scalar, t1: Scalar, t2: Scalar, *, tr: Scalar, te: Scalar) -> Array:
    """rho (1 - 2 exp(-(TR - TE/2) / T1) + exp(-TR / T1)) exp(-TE / T2): 90 and 180 degrees, one echo.

    Args:
        density: rho.
        t1: longitudinal relaxation time.
        t2: transverse relaxation time; what is left of it at TR is spoiled.
        tr: repetition time.
        te: echo time; the 180 degrees are at TE/2.

    Raises:
        ValueError: not 0 < TE < TR, or a relaxation time is not above 0.

    Examples:
        >>> round(float(spin_echo(1.0, 0.887, 0.069, tr=4.0, te=0.1)), 3)
        0.232
    """
    _check_tissue(density, t1=t1, t2=t2)
    SpinEcho(tr, te).check()
    recovered = 1 - 2 * jnp.exp(-(tr - te / 2) / t1) + jnp.exp(-tr / t1)
    return density * recovered * jnp.exp(-te / t2)


def spoiled_gradient_echo(
    density: Scalar, t1: Scalar, t2_star: Scalar, *, tr: Scalar, te: Scalar, flip: Scalar
) -> Array:
    """rho sin(a) (1 - E) / (1 - cos(a) E) exp(-TE / T2*) with E = exp(-TR / T1): perfect spoiling.

    Args:
        density: rho.
        t1: longitudinal relaxation time.
        t2_star: transverse relaxation time with dephasing.
        tr: repetition time.
        te: echo time.
        flip: a, above 0 and at most 180 degrees.

    Raises:
        ValueError: not 0 < TE < TR, no such flip angle, or a relaxation time is not above 0.

    Examples:
        >>> round(float(spoiled_gradient_echo(1.0, 0.887, 0.053, tr=0.022, te=0.009, flip=30.0)), 3)
        0.067
    """
    _check_tissue(density, t1=t1, t2_star=t2_star)
    SpoiledGradientEcho(tr, te, flip).check()
    a, e = jnp.deg2rad(jnp.asarray(flip, float)), jnp.exp(-tr / t1)
    return density * jnp.sin(a) * (1 - e) / (1 - jnp.cos(a) * e) * jnp.exp(-te / t2_star)


def inversion_recovery(density: Scalar, t1: Scalar, t2: Scalar, *, tr: Scalar, te: Scalar, ti: Scalar) -> Array:
    """rho |1 - 2 exp(-TI / T1) + exp(-TR / T1)| exp(-TE / T2): 180 degrees, TI, 90 degrees, one echo; the magnitude.

    Args:
        density: rho.
        t1: longitudinal relaxation time.
        t2: transverse relaxation time (T2* for a gradient echo).
        tr: repetition time, between two inversions.
        te: echo time, counted from the 90 degrees.
        ti: inversion time.

    Raises:
        ValueError: not 0 < TI < TI + TE < TR, or a relaxation time is not above 0.

    Examples:
        >>> inversion_recovery(1.0, 1.0, 0.1, tr=100.0, te=1e-6, ti=0.6931472).round(4).item()
        0.0
    """
    _check_tissue(density, t1=t1, t2=t2)
    InversionRecovery(tr, te, ti).check()
    return density * jnp.abs(1 - 2 * jnp.exp(-ti / t1) + jnp.exp(-tr / t1)) * jnp.exp(-te / t2)


def ernst_angle(t1: Scalar, tr: Scalar) -> Array:
    """arccos(exp(-TR / T1)) in degrees: where `spoiled_gradient_echo` is largest.

    Raises:
        ValueError: a time is not above 0.

    Source: Ernst and Anderson, Rev. Sci. Instrum. 37 (1966).

    Examples:
        >>> round(float(ernst_angle(0.887, 0.022)), 1)
        12.7
    """
    _check_tissue(1.0, t1=t1, tr=tr)
    return jnp.rad2deg(jnp.arccos(jnp.exp(-jnp.asarray(tr, float) / t1)))


def _check_tissue(density: Scalar, **times: Scalar) -> None:
    check_range("density", density, 0)
    for name, value in times.items():
        check_range(name, value, 0, unit="s", above=True)


@pytree
class SpinEcho:
    """The parameters of `spin_echo`; times in s.

    Attributes:
        tr: repetition time.
        te: echo time.
    """

    tr: Scalar
    te: Scalar

    def check(self) -> None:
        """Raise the ValueError of `spin_echo`, if any."""
        check_order(te=self.te, tr=self.tr)

    def signal(self, tissue: Relaxation) -> Array:
        """See `spin_echo`."""
        return spin_echo(tissue.density, tissue.t1, tissue.t2, tr=self.tr, te=self.te)


@pytree
class SpoiledGradientEcho:
    """The parameters of `spoiled_gradient_echo`; times in s, the angle in degrees.

    Attributes:
        tr: repetition time.
        te: echo time.
        flip: flip angle.
    """

    tr: Scalar
    te: Scalar
    flip: Scalar

    def check(self) -> None:
        """Raise the ValueError of `spoiled_gradient_echo`, if any."""
        check_order(te=self.te, tr=self.tr)
        check_range("flip", self.flip, 0, 180, "degrees", above=True)

    def signal(self, tissue: Relaxation) -> Array:
        """See `spoiled_gradient_echo`."""
        return spoiled_gradient_echo(tissue.density, tissue.t1, tissue.t2_star, tr=self.tr, te=self.te, flip=self.flip)


@pytree
class InversionRecovery:
    """The parameters of `inversion_recovery`; times in s.

    Attributes:
        tr: repetition time.
        te: echo time.
        ti: inversion time.
    """

    tr: Scalar
    te: Scalar
    ti: Scalar

    def check(self) -> None:
        """Raise the ValueError of `inversion_recovery`, if any."""
        check_order(te=self.te)
        check_order(ti=self.ti, ti_plus_te=self.ti + self.te, tr=self.tr)

    def signal(self, tissue: Relaxation) -> Array:
        """See `inversion_recovery`."""
        return inversion_recovery(tissue.density, tissue.t1, tissue.t2, tr=self.tr, te=self.te, ti=self.ti)


Sequence = SpinEcho | SpoiledGradientEcho | InversionRecovery
