"""Which coefficients of k-space are measured: masks of 0 and 1, drawn from random keys.

All are centred as `rnst_jax.physics.fft2c` is, (H, W) float32, and pure functions of their arguments: the shape is
static, the acceleration and the other numbers may be traced, and ``jax.vmap`` over keys draws one mask per image.
Lines run along the rows' axis (readout), so that ``lines=True`` keeps or drops whole columns (phase encodes).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.types import PRNGKey, Scalar

Mask = Float[Array, "height width"]


def uniform(shape: tuple[int, int], acceleration: int | Int[Array, ""], offset: int | Int[Array, ""] = 0) -> Mask:
    """Every ``acceleration``-th column, the first at ``offset``.

    Examples:
        >>> uniform((1, 6), 3, 1).tolist()
        [[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]]
    """
    columns = (jnp.arange(shape[1]) - offset) % acceleration == 0
    return _lines(columns, shape)


def equispaced(
    shape: tuple[int, int],
    acceleration: int | Int[Array, ""],
    acs: int | Int[Array, ""],
    offset: int | Int[Array, ""] = 0,
) -> Mask:
    """Every ``acceleration``-th column, and the ``acs`` columns around the centre for calibration (GRAPPA, SENSE).

    Examples:
        >>> equispaced((1, 8), 4, 2).tolist()
        [[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]]
    """
    return jnp.maximum(uniform(shape, acceleration, offset), _lines(_central(shape[1], acs), shape))


def random(
    key: PRNGKey, shape: tuple[int, int], acceleration: Scalar, acs: int | Int[Array, ""] = 0, lines: bool = True
) -> Mask:
    """The central ``acs`` columns, and others with equal probability: round(W / acceleration) columns in all.

    Args:
        key: draws them.
        shape: (H, W).
        acceleration: 1 or more.
        acs: columns that are always there; with ``lines=False`` a square of so many rows and columns.
        lines: whole columns; else single coefficients, round(H W / acceleration) of them.

    Examples:
        >>> import jax
        >>> random(jax.random.key(0), (8, 32), 4, acs=4).sum().item() / 8
        8.0
    """
    return _draw(key, shape, jnp.zeros_like(_radius(shape, lines)), acceleration, acs, lines)


def variable_density(
    key: PRNGKey,
    shape: tuple[int, int],
    acceleration: Scalar,
    acs: int | Int[Array, ""] = 0,
    power: Scalar = 3.0,
    lines: bool = True,
) -> Mask:
    """As `random`, with a density (1 - r)^power: r is 0 at the centre and 1 at the edge of k-space.

    Source: Lustig, Donoho and Pauly, Magn. Reson. Med. 58 (2007), for a density by a power of the distance.

    Examples:
        >>> import jax
        >>> mask = variable_density(jax.random.key(0), (1, 64), 4)
        >>> mask.sum().item(), bool(mask[0, 16:48].sum() > 8)
        (16.0, True)
    """
    log_density = power * jnp.log1p(-jnp.minimum(_radius(shape, lines), 0.999))
    return _draw(key, shape, log_density, acceleration, acs, lines)


def gaussian(
    key: PRNGKey,
    shape: tuple[int, int],
    acceleration: Scalar,
    acs: int | Int[Array, ""] = 0,
    width: Scalar = 0.35,
    lines: bool = True,
) -> Mask:
    """As `random`, with a density exp(-r^2 / (2 width^2)): r is 0 at the centre and 1 at the edge of k-space.

    Examples:
        >>> import jax
        >>> gaussian(jax.random.key(0), (16, 16), 4, lines=False).sum().item()
        64.0
    """
    log_density = -0.5 * jnp.square(_radius(shape, lines) / width)
    return _draw(key, shape, log_density, acceleration, acs, lines)


def partial_fourier(shape: tuple[int, int], fraction: Scalar) -> Mask:
    """The last round(fraction W) columns: half of k-space and a little more, with the centre in it.

    A real image with a known slow phase is determined by it: `rnst_jax.physics.Sense` with one map of that phase.

    Args:
        shape: (H, W).
        fraction: above 1/2, at most 1.

    Examples:
        >>> partial_fourier((1, 8), 0.625).tolist()
        [[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    return _lines(jnp.arange(shape[1]) >= shape[1] - jnp.round(fraction * shape[1]), shape)


def _draw(
    key: PRNGKey, shape: tuple[int, int], log_density: Array, acceleration: Scalar, acs: int | Array, lines: bool
) -> Mask:
    """Exactly as many places as the acceleration allows, without replacement, and all of the centre.

    The places with the largest log density + Gumbel noise are a draw without replacement (Efraimidis and Spirakis,
    Inf. Process. Lett. 97 (2006), in its Gumbel form).
    """
    centre = _central(shape[1], acs)
    centre = centre[None] if lines else _central(shape[0], acs)[:, None] & centre
    scores = jnp.where(centre, jnp.inf, log_density + jax.random.gumbel(key, log_density.shape))
    rank = jnp.zeros(scores.size, int).at[jnp.argsort(-scores.ravel())].set(jnp.arange(scores.size))
    kept = rank.reshape(scores.shape) < jnp.round(scores.size / acceleration)
    return jnp.broadcast_to((kept | centre).astype(jnp.float32), shape)


def _radius(shape: tuple[int, int], lines: bool) -> Array:
    """The distance from the centre, 1 at the edges, up to sqrt 2 in the corners; (1, W) for lines."""
    rows, columns = (jnp.abs(jnp.arange(n) - n // 2) / max(n // 2, 1) for n in shape)
    return columns[None] if lines else jnp.hypot(rows[:, None], columns)


def _central(n: int, count: int | Array) -> Array:
    """Of n centred indices, the ``count`` around n // 2."""
    start = n // 2 - count // 2
    index = jnp.arange(n)
    return (index >= start) & (index < start + count)


def _lines(columns: Array, shape: tuple[int, int]) -> Mask:
    return jnp.broadcast_to(columns.astype(jnp.float32), shape)
