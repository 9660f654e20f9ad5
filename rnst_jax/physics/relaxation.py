"""Relaxation times and proton density of tissues of the head against the field, from published laws and tables.

Every number stands here with its source; `T1` and `T2` are what the field model uses. Published times differ by more
than their own errors, with the method, the region and the preparation; docs/field.md compares them.

- Bottomley, Foster, Argersinger and Pfeifer, Med. Phys. 11 (1984): T1 = A nu^B fitted to 1 to 100 MHz, and T2, which
  does not depend on the frequency there.
- Rooney et al., Magn. Reson. Med. 57 (2007): T1 = c B0^e fitted to 0.2 to 7 T in vivo; grey is the internal grey
  matter. CSF: 4.3 s at every field.
- O'Reilly and Webb, Magn. Reson. Med. 87 (2022): in vivo at 0.05 T.
- Campbell-Washburn et al., Radiology 293 (2019): fat at 0.55 T.
- Stanisz et al., Magn. Reson. Med. 54 (2005): T2 at 1.5 and 3 T, in vitro at 37 degrees.
- de Bazelaire, Duhamel, Rofsky and Alsop, Radiology 230 (2004): subcutaneous fat at 1.5 and 3 T.
- Peters et al., Magn. Reson. Imaging 25 (2007): T2* of grey and white matter at 3 T.
- Kwan, Evans and Pike, IEEE Trans. Med. Imaging 18 (1999): proton densities of the BrainWeb phantom.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnst_jax.physics.validity import check_range
from rnst_jax.types import Scalar

TISSUES = ("grey", "white", "csf", "fat")
"""Grey matter, white matter, cerebrospinal fluid, subcutaneous fat."""

_HZ_PER_T = 42.577e6
"""Gyromagnetic ratio of the proton over 2 pi."""


@dataclasses.dataclass(frozen=True)
class Law:
    """A time against the field: a power law between each two neighbouring knots, log-linear in both.

    Two knots make one power law T = c B0^e.

    Attributes:
        fields: knots in T, rising.
        seconds: the times there, in s.

    Examples:
        >>> round(float(Law((1.0, 4.0), (0.5, 1.0))(2.0)), 4)
        0.7071
    """

    fields: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def range(self) -> tuple[float, float]:
        """The first and the last field (T) at which the law holds."""
        return self.fields[0], self.fields[-1]

    def check(self, field: Scalar) -> None:
        """Refuse a field (T) outside of `range`; nothing is checked while JAX traces it.

        Raises:
            ValueError: names the range.
        """
        check_range("field", field, *self.range, "T")

    def __call__(self, field: Scalar) -> Array:
        """The time in s at a field in T, any shape.

        Raises:
            ValueError: the field lies outside of `range`. A traced field cannot raise: there the time is NaN.
        """
        self.check(field)
        low, high = self.range
        field = jnp.asarray(field, float)
        time = jnp.exp(jnp.interp(jnp.log(field), np.log(self.fields), np.log(self.seconds)))
        return jnp.where((field >= low * (1 - 1e-6)) & (field <= high * (1 + 1e-6)), time, jnp.nan)


def power_law(coefficient: float, exponent: float, low: float, high: float) -> Law:
    """T = coefficient B0^exponent (s, B0 in T) from ``low`` to ``high`` T.

    Examples:
        >>> round(float(power_law(0.583, 0.382, 0.2, 7.0)(1.5)), 3)
        0.681
    """
    return Law((low, high), (coefficient * low**exponent, coefficient * high**exponent))


def _bottomley(a: float, b: float) -> Law:
    """T1 = a nu^b with nu in Hz, fitted to 1 to 100 MHz."""
    return power_law(a * _HZ_PER_T**b, b, 1e6 / _HZ_PER_T, 1e8 / _HZ_PER_T)


BOTTOMLEY_1984 = {
    "grey": _bottomley(0.00362, 0.3082),
    "white": _bottomley(0.00152, 0.3477),
    "fat": _bottomley(0.0113, 0.1743),
}
"""T1 of Bottomley et al., 0.0235 to 2.35 T; mostly tissue ex vivo."""

ROONEY_2007 = {
    "grey": power_law(0.857, 0.376, 0.2, 7.0),
    "white": power_law(0.583, 0.382, 0.2, 7.0),
    "csf": power_law(4.3, 0.0, 0.2, 7.0),
}
"""T1 of Rooney et al., 0.2 to 7 T, in vivo."""


def _joined(tissue: str, lowest: float) -> Law:
    """O'Reilly and Webb at 0.05 T, Bottomley at 0.1 T, Rooney's law from 0.5 T on."""

    def at(law: Law, field: float) -> float:  # in numpy: an import must not start JAX
        return float(np.exp(np.interp(np.log(field), np.log(law.fields), np.log(law.seconds))))

    low, high = BOTTOMLEY_1984[tissue], ROONEY_2007[tissue]
    return Law((0.05, 0.1, 0.5, 7.0), (lowest, at(low, 0.1), at(high, 0.5), at(high, 7.0)))


T1 = {
    "grey": _joined("grey", 0.327),
    "white": _joined("white", 0.275),
    "csf": Law((0.05, 0.2, 7.0), (3.695, 4.3, 4.3)),
    "fat": Law((0.05, 0.55, 1.5, 3.0), (0.130, 0.187, 0.343, 0.382)),
}
"""Grey, white: measured at 0.05 T (O'Reilly), Bottomley's law at 0.1 T, Rooney's from 0.5 T, power laws between; CSF:
O'Reilly at 0.05 T, Rooney's constant from 0.2 T; fat: O'Reilly, Campbell-Washburn, de Bazelaire (1.5 and 3 T)."""

T2 = {
    "grey": Law((0.05, 0.5, 1.5, 3.0), (0.101, 0.101, 0.095, 0.099)),
    "white": Law((0.05, 0.5, 1.5, 3.0), (0.092, 0.092, 0.072, 0.069)),
    "csf": Law((0.05, 3.0), (1.584, 1.584)),
    "fat": Law((0.05, 0.55, 1.5, 3.0), (0.084, 0.093, 0.058, 0.068)),
}
"""Grey, white: Bottomley's average up to 0.5 T, Stanisz at 1.5 and 3 T; CSF: O'Reilly's at 0.05 T, taken for all
fields; fat: Bottomley, Campbell-Washburn, de Bazelaire (1.5 and 3 T). No field above 3 T."""

DEPHASING = {"grey": 1.68, "white": 1.43, "csf": 0.0, "fat": 0.0}
"""r in 1 / T2* = 1 / T2 + r B0, in 1 / (s T), so that T2* at 3 T is that of Peters et al. (66 and 53 ms); for CSF and
fat, without a source, none. The line in B0 is that of static dephasing (Yablonskiy and Haacke, Magn. Reson. Med. 32
(1994))."""

PROTON_DENSITY = {"grey": 0.86, "white": 0.77, "csf": 1.0, "fat": 1.0}
"""Visible protons relative to water (Kwan et al.)."""


class Relaxation(NamedTuple):
    """What a signal equation needs to know of a tissue.

    Attributes:
        density: proton density relative to water.
        t1: longitudinal relaxation time in s.
        t2: transverse relaxation time in s.
        t2_star: the same with static dephasing, in s.
    """

    density: Scalar
    t1: Scalar
    t2: Scalar
    t2_star: Scalar


def field_range(tissues: tuple[str, ...] = TISSUES) -> tuple[float, float]:
    """The fields (T) at which all laws of these tissues hold.

    Examples:
        >>> field_range(("grey", "white"))
        (0.05, 3.0)
    """
    ranges = [law[tissue].range for law in (T1, T2) for tissue in tissues]
    return max(low for low, _ in ranges), min(high for _, high in ranges)


def check(tissue: str, field: Scalar) -> None:
    """Refuse a tissue or a field (T) that `relaxation` does not know.

    Raises:
        ValueError: no such tissue, or a law does not hold at this field (not checked while JAX traces it).

    Examples:
        >>> check("grey", 7.0)
        Traceback (most recent call last):
        ValueError: field must be from 0.05 to 3 T, not 7
    """
    if tissue not in TISSUES:
        raise ValueError(f"no tissue '{tissue}'; there are {', '.join(TISSUES)}")
    check_range("field", field, *field_range((tissue,)), "T")


def relaxation(tissue: str, field: Scalar) -> Relaxation:
    """Relaxation times and proton density of a tissue.

    Args:
        tissue: one of `TISSUES`.
        field: B0 in T, from 0.05 to 3 (see `field_range`).

    Raises:
        ValueError: see `check`. Where JAX traces the field, the times out of range are NaN instead.

    Examples:
        >>> round(float(relaxation("white", 3.0).t1), 3)
        0.887
    """
    check(tissue, field)
    t1, t2 = T1[tissue](field), T2[tissue](field)
    return Relaxation(PROTON_DENSITY[tissue], t1, t2, 1 / (1 / t2 + DEPHASING[tissue] * jnp.asarray(field, float)))
