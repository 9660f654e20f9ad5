"""Block matching: filter groups of similar square patches together, and put the patches back into an image."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnst_jax.types import Image

HIGHEST = jax.lax.Precision.HIGHEST

TILE = 8
"""References per side of a tile, whose distances are one matrix product; 4 to 12 take about the same time."""

Patches = Float[Array, "rows cols pixels"]
"""A vector for every patch of an image: its pixels, row by row, or a transform of them."""

Groups = Float[Array, "members references pixels"]
"""Patches that resemble a reference, which comes first, for several references."""


def extract(x: Image, side: int) -> Patches:
    """All side x side patches of an image (H, W): (H - side + 1, W - side + 1, side^2), by their upper left corner.

    Examples:
        >>> extract(jnp.arange(6.0).reshape(2, 3), 2)[0, 1].tolist()
        [1.0, 2.0, 4.0, 5.0]
    """
    rows, cols = x.shape[0] - side + 1, x.shape[1] - side + 1
    lines = jnp.stack([x[i : i + rows] for i in range(side)], -1)
    return jnp.stack([lines[:, j : j + cols] for j in range(side)], -1).reshape(rows, cols, side**2)


def overlay(patches: Patches, side: int) -> Image:
    """The sum of all patches, each at its place: the adjoint of `extract`.

    Examples:
        >>> overlay(extract(jnp.ones((3, 3)), 2), 2).tolist()
        [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    p, last = patches.reshape(*patches.shape[:2], side, side), side - 1
    zero = jnp.zeros((), p.dtype)
    lines = sum((jnp.pad(p[..., j], ((0, 0), (j, last - j), (0, 0))) for j in range(side)), zero)
    return sum((jnp.pad(lines[..., i], ((i, last - i), (0, 0))) for i in range(side)), zero)


def group_size(shape: tuple[int, ...], search: int, size: int) -> int:
    """The largest power of two up to ``size`` that every search window holds; those in corners are the smallest.

    Args:
        shape: patches per column and per row of the image.
        search: side of the search window.
        size: a power of two.

    Examples:
        >>> group_size((3, 100), 39, 32), group_size((1, 1), 39, 32)
        (32, 1)
    """
    fewest = math.prod(min(search // 2 + 1, n) for n in shape)
    return min(size, 2 ** (fewest.bit_length() - 1))


def collaborate(
    guide: Patches,
    spectra: tuple[Patches, ...],
    shrink: Callable[..., tuple[Groups, Float[Array, "references"]]],
    *,
    size: int,
    step: int,
    search: int,
) -> tuple[Patches, Float[Array, "rows cols"]]:
    """Filter the group of every reference, and sum the filtered patches by position.

    References lie on a grid of ``step`` pixels that ends with the last row and column. A group holds the ``size``
    patches of the search window around a reference that have the smallest ||guide_i - guide_j||^2, nearest first, the
    reference in front. Windows end at the borders. ||a - b||^2 = ||a||^2 + ||b||^2 - 2 <a, b> makes the distances of
    a tile of references a matrix product. Which patches match is a matter of rounding where distances are equal but
    for rounding. The choice has no derivative; what follows it has.

    Args:
        guide: what patches are compared by.
        spectra: what is gathered, each of the guide's shape.
        shrink: groups (size, references, pixels), one per member of ``spectra`` -> filtered groups of that shape, and
            a weight per reference.
        size: patches per group, no more than any window holds.
        step: between references, in pixels.
        search: side of the window, odd.

    Returns:
        sum of weight times filtered patch over all groups, and sum of the weights, for every position.
    """
    rows, cols, pixels = guide.shape
    reach = search // 2
    (row_tiles, row_counts), (col_tiles, col_counts) = _tiles(rows, step), _tiles(cols, step)
    tall, wide = _span(row_tiles, search, rows), _span(col_tiles, search, cols)
    guide = jax.lax.stop_gradient(guide)
    flat, lengths = guide.reshape(-1, pixels), jnp.sum(jnp.square(guide), -1)
    sources = [s.reshape(-1, pixels) for s in spectra]

    def visit(sums, tile):
        total, weights = sums
        (r, r_counts), (c, c_counts) = tile
        corner = (jnp.clip(r[0] - reach, 0, rows - tall), jnp.clip(c[0] - reach, 0, cols - wide))
        whole = (*corner, jnp.zeros_like(corner[0]))
        others = jax.lax.dynamic_slice(guide, whole, (tall, wide, pixels)).reshape(-1, pixels)
        other_lengths = jax.lax.dynamic_slice(lengths, corner, (tall, wide)).reshape(-1)
        own_row, own_col = jnp.repeat(r, len(c)), jnp.tile(c, len(r))
        own = own_row * cols + own_col
        products = jnp.matmul(flat[own], others.T, precision=HIGHEST)
        distances = jnp.maximum(lengths.reshape(-1)[own, None] + other_lengths - 2 * products, 0)

        down = corner[0] + np.repeat(np.arange(tall), wide) - own_row[:, None]
        right = corner[1] + np.tile(np.arange(wide), tall) - own_col[:, None]
        # not max(|down|, |right|): jaxlib 0.11.2 gives another number for it on NVIDIA GPUs, for integers
        near = (down <= reach) & (down >= -reach) & (right <= reach) & (right >= -reach)
        distances = jnp.where(near, jnp.where((down == 0) & (right == 0), -1, distances), jnp.inf)
        _, found = jax.lax.top_k(-distances, size)
        members = ((corner[0] + found // wide) * cols + corner[1] + found % wide).T

        filtered, weight = shrink(*(s[members] for s in sources))
        weight = jnp.where((r_counts[:, None] & c_counts).reshape(-1), weight, 0).astype(lengths.dtype)
        total = total.at[members].add(weight[:, None] * filtered)
        return (total, weights.at[members].add(weight)), None

    i, j = (index.ravel() for index in np.indices((len(row_tiles), len(col_tiles))))
    tiles = ((row_tiles[i], row_counts[i]), (col_tiles[j], col_counts[j]))
    zeros = (jnp.zeros_like(sources[0]), jnp.zeros_like(lengths).reshape(-1))
    (total, weights), _ = jax.lax.scan(visit, zeros, tiles)
    return total.reshape(guide.shape), weights.reshape(rows, cols)


def _tiles(count: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference positions below count, (tiles, per tile), and which of them are no repetition that fills the last."""
    grid = np.unique([*range(0, count, step), count - 1])
    tiles = -(-len(grid) // TILE)
    width = -(-len(grid) // tiles)
    positions = np.pad(grid, (0, tiles * width - len(grid)), mode="edge")
    return positions.reshape(tiles, width).astype(np.int32), (np.arange(positions.size) < len(grid)).reshape(tiles, -1)


def _span(tiles: np.ndarray, search: int, count: int) -> int:
    """How many positions the windows of a tile cover at most."""
    return min(int((tiles[:, -1] - tiles[:, 0]).max()) + search, count)
