"""From the contrast of one field to that of another: by tissue maps where there are some, else by intensities alone."""

import functools
import itertools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnst_jax.order import quantile
from rnst_jax.physics.relaxation import check, relaxation
from rnst_jax.physics.signal import Sequence
from rnst_jax.types import Scalar

BRAIN = ("grey", "white", "csf")
"""The tissues that intensities are told apart into where there are no maps."""

_AIR = 0.08
"""Intensities below this share of the brightest tissue are air."""
_STEPS = 30
_FAINT = 1e-3
"""A tissue with less than this share of the brightest one's signal is no place to start from."""
_ALIKE = 1.02
"""Tissues whose signals differ by less than this factor cannot be told apart by intensity."""


def signals(sequence: Sequence, field: Scalar, tissues: tuple[str, ...] = BRAIN) -> Float[Array, "tissues"]:
    """The signal of each tissue, rho times the sequence's equation with the relaxation times of this field.

    Raises:
        ValueError: no such tissue, or the field or a parameter is out of its range.

    Examples:
        >>> from rnst_jax.physics.signal import SpinEcho
        >>> [round(x, 2) for x in signals(SpinEcho(tr=4.0, te=0.1), 3.0).tolist()]
        [0.3, 0.18, 0.56]
    """
    for tissue in tissues:
        check(tissue, field)
    sequence.check()
    return _signals(sequence, field, tissues)


@functools.partial(jax.jit, static_argnames="tissues")
def _signals(sequence: Sequence, field: Scalar, tissues: tuple[str, ...]) -> Float[Array, "tissues"]:
    return jnp.stack([jnp.asarray(sequence.signal(relaxation(tissue, field))) for tissue in tissues])


def tissue_image(maps: Mapping[str, Array], sequence: Sequence, field: Scalar) -> Array:
    """sum_t m_t S_t: the noiseless image of tissues whose volume fractions are known.

    Args:
        maps: tissue to volume fraction in [0, 1], arrays of one shape.
        sequence: the pulse sequence.
        field: B0 in T.

    Raises:
        ValueError: no map, no such tissue, or the field or a parameter is out of its range.

    Examples:
        >>> from rnst_jax.physics.signal import SpinEcho
        >>> image = tissue_image({"white": jnp.array([0.0, 1.0])}, SpinEcho(tr=4.0, te=0.1), 3.0)
        >>> [round(x, 2) for x in image.tolist()]
        [0.0, 0.18]
    """
    names, fractions = stacked(maps)
    return jnp.tensordot(signals(sequence, field, names).astype(fractions.dtype), fractions, 1)


def stacked(maps: Mapping[str, Array]) -> tuple[tuple[str, ...], Float[Array, "tissues *shape"]]:
    """The names of tissue maps and the maps in one array, in the same order.

    Raises:
        ValueError: there is none.

    Examples:
        >>> names, fractions = stacked({"grey": jnp.ones((2, 3)), "white": jnp.zeros((2, 3))})
        >>> names, fractions.shape
        (('grey', 'white'), (2, 2, 3))
    """
    if not maps:
        raise ValueError("give the map of one tissue at least")
    return tuple(maps), jnp.stack([jnp.asarray(m) for m in maps.values()])


@jax.jit
def by_maps(image: Array, fractions: Float[Array, "tissues *shape"], before: Array, after: Array) -> Array:
    """x sum_t m_t S_t / sum_t m_t S'_t: an image brought from signals S' (before) to S (after), mixed voxels included.

    Signals count relative to the tissue that was brightest before, whose brightness therefore stays. What no map
    claims (bone, skin, air: 1 - sum_t m_t) counts as that tissue, and keeps its brightness too.

    Args:
        image: x, any shape.
        fractions: m, volume fractions in [0, 1]: tissues first, then the image's shape.
        before: S', signals of these tissues.
        after: S.

    Examples:
        >>> grey_and_white = jnp.eye(2)
        >>> y = by_maps(jnp.array([0.6, 0.9]), grey_and_white, jnp.array([0.4, 0.5]), jnp.array([0.8, 0.8]))
        >>> [round(x, 3) for x in y.tolist()]
        [0.75, 0.9]
    """
    brightest = jnp.argmax(before)
    old, new = before / before[brightest], after / after[brightest]
    rest = jnp.clip(1 - jnp.sum(fractions, axis=0), 0, 1)
    gain = (jnp.tensordot(new, fractions, 1) + rest) / (jnp.tensordot(old, fractions, 1) + rest)
    return (image * gain).astype(image.dtype)


@jax.jit
def tissue_centres(image: Array, mask: Array | None = None) -> Float[Array, "3"]:
    """Three typical intensities, rising: centres of k-means on the intensities above air.

    Approximate: it knows no anatomy. In a T1w or T2w brain they are close to the means of CSF, grey and white matter;
    bone and scalp in the picture move them, so give a mask of the brain where there is one.

    Args:
        image: any shape, not negative.
        mask: 1 where to look; by default everywhere. Either way only intensities above 8 percent of the brightest
            tissue (98th percentile of what is above the mean) count.

    Source: Lloyd, IEEE Trans. Inf. Theory 28 (1982).

    Examples:
        >>> [round(x, 2) for x in tissue_centres(jnp.array([0.0, 0.0, 0.2, 0.3, 0.6, 0.9, 1.0])).tolist()]
        [0.25, 0.6, 0.95]
    """
    x = jnp.ravel(image)
    looked = jnp.ones_like(x, bool) if mask is None else jnp.ravel(mask) > 0
    mean = jnp.sum(jnp.where(looked, x, 0)) / jnp.maximum(jnp.sum(looked), 1)
    top = quantile(x, looked & (x >= mean), 0.98)
    tissue = looked & (x > _AIR * top)

    def step(_, centres):
        nearest = jnp.sum(x[:, None] > (centres[1:] + centres[:-1]) / 2, axis=1)
        member = (nearest[:, None] == jnp.arange(3)) & tissue[:, None]
        count = jnp.sum(member, axis=0)
        # an empty class stays where it is
        return jnp.where(count > 0, jnp.sum(member * x[:, None], axis=0) / jnp.maximum(count, 1), centres)

    return jax.lax.fori_loop(0, _STEPS, step, top * jnp.array([1, 3, 5], x.dtype) / 6)


@jax.jit
def by_intensity(image: Array, centres: Float[Array, "3"], before: Array, after: Array) -> Array:
    """g(x), a smooth rising map of intensities that takes each tissue's centre to its brightness at the other field.

    Centres are given to the tissues in the order of their signals before. g runs through (0, 0) and the points
    (c_t, c_t S_t / S'_t), signals relative to the tissue that was brightest before; between them monotone cubic Hermite
    pieces (slopes of Fritsch and Butland), above the last the straight line through 0. Where the signals say that two
    tissues change places, no rising map can do it: they get the same brightness instead, and only maps do better.

    Args:
        image: x, any shape, not negative.
        centres: see `tissue_centres`, rising.
        before: signals of the three tissues.
        after: the same in the same order.

    Source: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984).

    Examples:
        >>> x, same = jnp.array([0.0, 0.3, 0.6, 1.0]), jnp.array([1.0, 2.0, 3.0])
        >>> by_intensity(x, jnp.array([0.3, 0.6, 0.9]), same, same).round(4).tolist() == x.round(4).tolist()
        True
    """
    order = jnp.argsort(before)
    gain = (after / before)[order]
    knots = jnp.concatenate([jnp.zeros(1), centres])
    heights = jax.lax.cummax(jnp.concatenate([jnp.zeros(1), centres * gain / gain[-1]]))
    widths = jnp.maximum(jnp.diff(knots), 1e-6)
    slopes = jnp.diff(heights) / widths
    product, total = slopes[1:] * slopes[:-1], slopes[1:] + slopes[:-1]
    inner = jnp.where(product > 0, 2 * product / jnp.where(total > 0, total, 1), 0)
    tangents = jnp.concatenate([slopes[:1], inner, slopes[-1:]])

    piece = jnp.clip(jnp.searchsorted(knots, image, side="right") - 1, 0, 2)
    t, h = (image - knots[piece]) / widths[piece], widths[piece]
    low, high = heights[piece], heights[piece + 1]
    cubic = (
        low
        + t * h * tangents[piece]
        + t**2 * (3 * (high - low) - h * (2 * tangents[piece] + tangents[piece + 1]))
        + t**3 * (h * (tangents[piece] + tangents[piece + 1]) - 2 * (high - low))
    )
    line = heights[-1] + (image - knots[-1]) * heights[-1] / jnp.maximum(knots[-1], 1e-6)
    return jnp.where(image > knots[-1], line, cubic).astype(image.dtype)


def check_start(before: Array, tissues: tuple[str, ...], *, distinct: bool) -> None:
    """Refuse signals that an image cannot be taken away from; nothing is checked while JAX traces.

    Args:
        before: the signals at the image's own field.
        tissues: their names.
        distinct: whether the tissues must be told apart by their intensities.

    Raises:
        ValueError: a tissue has next to no signal, or two have the same.

    Examples:
        >>> check_start(jnp.array([0.3, 0.3, 0.9]), BRAIN, distinct=True)
        Traceback (most recent call last):
        ValueError: grey and white are equally bright at from_field with this sequence; give tissue maps
    """
    if isinstance(before, Tracer):
        return
    values = np.asarray(before, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    if values[order[0]] < _FAINT * values.max():
        raise ValueError(f"{tissues[order[0]]} has no signal at from_field with this sequence; choose another")
    for a, b in itertools.pairwise(order):
        if distinct and values[b] < _ALIKE * values[a]:
            raise ValueError(
                f"{tissues[a]} and {tissues[b]} are equally bright at from_field with this sequence; give tissue maps"
            )
