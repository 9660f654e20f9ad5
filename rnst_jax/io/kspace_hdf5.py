"""k-space in HDF5: fastMRI's files and ISMRMRD's."""

import math
import pathlib
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np

from rnst_jax.io import guard, kspace, vlen_hdf5
from rnst_jax.io.errors import RefusedInput

Zooms = tuple[float, float, float] | None
Found = tuple[np.ndarray, Zooms, tuple[str, ...]]

_MAX_HEADER = 2**20
_MAX_READOUTS = 2**18
# Bits of ISMRMRD's acquisition flags, from 1: noise, parallel calibration alone, navigation, phase correction,
# feedback, dummy scan, surface coil correction, phase stabilisation reference and itself.
_NOT_IMAGE = sum(1 << (bit - 1) for bit in (19, 20, 23, 24, 26, 27, 28, 29, 30, 31))
_REVERSED = 1 << (22 - 1)
_ONE_OF_EACH = ("kspace_encode_step_2", "contrast", "phase", "repetition", "set")


def read(path: pathlib.Path, key: str | None) -> Found:
    """The array (slices, [coils,] rows, columns), the voxel size in mm (slices, rows, columns) and warnings.

    Rows are the readout, columns the phase encoding. Where the header says that the readout was oversampled (its
    encoded field of view is larger than the one reconstructed), the surplus is cut off in the image.

    Raises:
        RefusedInput: h5py is not installed, or the file fails a check.
    """
    try:
        import h5py
    except ImportError as error:
        raise RefusedInput(f"{path}: HDF5 needs the package h5py; pip install 'rnst-jax[kspace]'") from error
    try:
        with h5py.File(path, "r") as file:
            name = key or ("kspace" if "kspace" in file else "dataset")
            found = file.get(name) if _is_inside(file, name) else None
            if isinstance(found, h5py.Dataset):
                return _fastmri(path, file, found)
            if isinstance(found, h5py.Group) and {"xml", "data"} <= set(found):
                return _ismrmrd(path, found)
            names = ", ".join(sorted(file)[:8]) or "nothing"
            raise RefusedInput(
                f"{path}: has neither fastMRI's dataset '{name}' nor ISMRMRD's group (it has: {names}); name one with "
                "--kspace-key"
            )
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise RefusedInput(f"{path}: is damaged or truncated ({error}); copy or export it again") from error


def _is_inside(group: Any, name: str) -> bool:
    """Whether a name is an object of this very file, not a link to another one."""
    import h5py

    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def _plain(path: pathlib.Path, dataset: Any) -> Any:
    """Refuse data that lie in other files, or claim more of this one than it holds."""
    if dataset.external or dataset.is_virtual:
        raise RefusedInput(f"{path}: its data lie in other files; copy them into one")
    vlen_hdf5.check(path, dataset)
    return dataset


def _fastmri(path: pathlib.Path, file: Any, dataset: Any) -> Found:
    dataset = _plain(path, dataset)
    if dataset.dtype.kind != "c":
        raise RefusedInput(f"{path}: '{dataset.name}' holds {dataset.dtype}, not complex numbers; give k-space")
    kspace.check_shape(path, dataset.shape)
    guard.check_expansion(path, math.prod(dataset.shape) * dataset.dtype.itemsize)
    array = dataset[()]
    if not _is_inside(file, "ismrmrd_header"):
        return array, None, ()
    return _cut_readout(array, _header(path, file["ismrmrd_header"]))


def _ismrmrd(path: pathlib.Path, group: Any) -> Found:
    readouts = _plain(path, group["data"])
    header = _header(path, group["xml"])
    if header.get("trajectory") != "cartesian":
        raise RefusedInput(f"{path}: its trajectory is {header.get('trajectory')}; only Cartesian files are read")
    if len(readouts) > _MAX_READOUTS:
        raise RefusedInput(f"{path}: {len(readouts)} readouts are more than the {_MAX_READOUTS} accepted; split it")
    heads = readouts.fields("head")[()]
    index = heads["idx"]
    image = (heads["flags"] & np.uint64(_NOT_IMAGE)) == 0
    if not image.any():
        raise RefusedInput(f"{path}: holds no readouts of an image; check the conversion")
    for counter in _ONE_OF_EACH:
        if len(np.unique(index[counter][image])) > 1:
            raise RefusedInput(f"{path}: holds several values of {counter}; split it and give one")
    if (heads["flags"][image] & np.uint64(_REVERSED)).any():
        raise RefusedInput(f"{path}: some readouts are reversed (EPI); correct and grid them first")
    width, lines = int(header["encoded.x"]), int(header["encoded.y"])
    shape = (int(index["slice"][image].max()) + 1, int(heads["active_channels"][image].max()), width, lines)
    kspace.check_shape(path, shape)
    guard.check_expansion(path, math.prod(shape) * np.dtype(np.complex64).itemsize)
    # the line of zero frequency belongs at lines // 2
    shift = lines // 2 - int(header.get("centre", lines // 2))
    samples_of = readouts.fields("data")
    total, count = np.zeros(shape, np.complex64), np.zeros((shape[0], lines), np.int32)
    for n in np.flatnonzero(image):
        samples, centre = int(heads["number_of_samples"][n]), int(heads["center_sample"][n])
        start, line, where = width // 2 - centre, int(index["kspace_encode_step_1"][n]) + shift, int(index["slice"][n])
        values = samples_of[int(n)]
        fits = start >= 0 and start + samples <= width and 0 <= line < lines
        if not fits or values.size != 2 * samples * shape[1]:
            raise RefusedInput(f"{path}: readout {n} does not fit the encoded matrix of {width} x {lines}; check it")
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused as such
            total[where, :, start : start + samples, line] += values.view(np.complex64).reshape(shape[1], samples)
        count[where, line] += 1
    # averages
    return _cut_readout(total / np.maximum(count, 1)[:, None, None, :], header)


def _cut_readout(array: np.ndarray, header: dict[str, Any]) -> Found:
    """Without the readout's oversampling; and the voxel size."""
    warnings: tuple[str, ...] = ()
    encoded, wanted = header["encoded.fov_x"], header["recon.fov_x"]
    rows = array.shape[-2]
    kept, axis = round(rows * wanted / encoded), array.ndim - 2
    if kept < rows and not np.moveaxis(array, axis, 0).reshape(rows, -1).any(axis=1).all():
        # a transform along the rows would fill those that were not measured
        warnings = ("the readout is oversampled and partly sampled (partial echo); it stays as it is",)
    elif kept < rows:
        image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(array, axis), axis=axis, norm="ortho"), axis)
        image = image[..., rows // 2 - kept // 2 : rows // 2 - kept // 2 + kept, :]
        array = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image, axis), axis=axis, norm="ortho"), axis)
        encoded = wanted
        warnings = (f"the oversampled readout was cut from {rows} to {kept} rows, as the header asks",)
    columns = header["encoded.fov_y"] / header["encoded.y"]
    return array.astype(np.complex64), (header["encoded.fov_z"], encoded / array.shape[-2], columns), warnings


def _header(path: pathlib.Path, dataset: Any) -> dict[str, Any]:
    """What is used of an ISMRMRD header: matrix sizes, fields of view in mm, trajectory, central line."""
    dataset = _plain(path, dataset)
    if dataset.size not in (None, 1) or dataset.dtype.itemsize > _MAX_HEADER:
        raise RefusedInput(f"{path}: its ISMRMRD header is damaged; export it again")
    text = dataset[()] if dataset.shape == () else dataset[0]
    text = text if isinstance(text, bytes) else str(text).encode()
    remedy = "export it again, or save the array alone as .npz"
    # a document type could define entities that expand without end
    if len(text) > _MAX_HEADER or b"<!DOCTYPE" in text:
        raise RefusedInput(f"{path}: its ISMRMRD header is none; {remedy}")
    try:
        encoding = ElementTree.fromstring(text.rstrip(b"\0")).find("{*}encoding")
        if encoding is None:
            raise ValueError("no encoding")
        found: dict[str, Any] = {}
        for name, space in (("encoded", "encodedSpace"), ("recon", "reconSpace")):
            for axis in "xyz":
                size = encoding.findtext(f"{{*}}{space}/{{*}}matrixSize/{{*}}{axis}")
                fov = encoding.findtext(f"{{*}}{space}/{{*}}fieldOfView_mm/{{*}}{axis}")
                found[f"{name}.{axis}"], found[f"{name}.fov_{axis}"] = int(size or ""), float(fov or "")
        trajectory = encoding.findtext("{*}trajectory")
        centre = encoding.findtext("{*}encodingLimits/{*}kspace_encoding_step_1/{*}center")
    except (ElementTree.ParseError, ValueError) as error:
        raise RefusedInput(f"{path}: its ISMRMRD header cannot be used ({error}); {remedy}") from error
    if not all(math.isfinite(v) and v > 0 for v in found.values()):
        raise RefusedInput(f"{path}: its ISMRMRD header has sizes that are not positive; {remedy}")
    return found | {"trajectory": trajectory} | ({} if centre is None else {"centre": int(centre)})
