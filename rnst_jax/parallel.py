"""A batch of slices over several devices, of one host or of many."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from rnst_jax import api, compiling
from rnst_jax.types import Batch, Result

_AXIS = "slices"
_PARTS, _WHOLE = PartitionSpec(_AXIS), PartitionSpec()


def reconstruct(
    y: Array | np.ndarray, style: Batch | np.ndarray, *, devices: Sequence[Any] | None = None, **options: Any
) -> Result:
    """`rnst_jax.reconstruct` with the batch cut into equal parts, one per device.

    Each device solves its part on its own, and nothing is exchanged until the end; so the time falls as the number of
    devices grows, as long as each has a slice to work on. A batch that does not divide evenly is filled up with copies
    of its last image, which are dropped again. ``chunk`` counts the images that a device solves at a time.

    Under ``jax.distributed`` every process calls this with the same arguments, and gets the whole result.

    Args:
        y: as in `rnst_jax.reconstruct`.
        style: as there.
        devices: that share the work; by default all of all hosts, ``jax.devices()``.
        options: those of `rnst_jax.reconstruct`.

    Returns:
        The same as from one device, up to rounding.

    Raises:
        ValueError: as `rnst_jax.reconstruct` does.

    Examples:
        >>> import dataclasses, rnst_jax as rnst
        >>> rows, cols = np.mgrid[-16:16, -16:16]
        >>> head = (np.hypot(rows, cols) < 12) * (0.6 + 0.2 * np.cos(rows / 3))
        >>> taps = {"style_taps": ("conv1_1",), "content_taps": ("conv1_1",), "denoiser": "gaussian"}
        >>> preset = dataclasses.replace(rnst.presets.get("fast"), depths=(2,), **taps)
        >>> reconstruct(head[None], head.T[None], preset=preset, sigma=0.05).image.shape
        (1, 32, 32)
    """
    found = api.prepare(y, style, **options)
    mesh = Mesh(np.array(jax.devices() if devices is None else devices), (_AXIS,))
    count = len(found.batch.sigma)
    share = -(-count // mesh.size)
    sizes = found.sizes | {"chunk": min(found.sizes["chunk"], share)}
    filled = api.filled(found.batch, 0, share * mesh.size)
    batch = jax.tree.map(lambda a: _place(a, NamedSharding(mesh, _PARTS)), filled)
    shared = jax.tree.map(lambda a: _place(a, NamedSharding(mesh, _WHOLE)), found.shared)
    result = _compile_parts(batch, shared, mesh=mesh, **sizes)(batch, shared)
    if jax.process_count() > 1:
        result = multihost_utils.process_allgather(result, tiled=True)
    return jax.tree.map(lambda a: a[:count], result)


def _solve_parts(batch: Any, shared: tuple[Any, ...], *, mesh: Mesh, **sizes: int) -> Result:
    def solve(batch: Any, shared: tuple[Any, ...]) -> Result:
        return api.solve_batch(batch, *shared, **sizes)

    # every part is solved by itself: there is no replication to check
    parts = jax.shard_map(solve, mesh=mesh, in_specs=(_PARTS, _WHOLE), out_specs=_PARTS, check_vma=False)
    return parts(batch, shared)


_compile_parts = compiling.compiler(_solve_parts, ("mesh", "max_steps", "chunk"))


def _place(leaf: Any, sharding: NamedSharding) -> Array:
    """The leaf, which every host has, on the devices; each host gives its own their share."""
    if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        data = _place(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf, jnp.result_type(leaf))
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
