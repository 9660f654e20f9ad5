"""Small k-space on disk: a head with a phase, as .npz, fastMRI HDF5 and ISMRMRD HDF5."""

import numpy as np

from tests import phantoms

ROWS, COLUMNS = 32, 24


def images(slices=2, coils=1, size=ROWS):
    """Complex images (slices, coils, size, size), band-limited by nothing, with smooth phases and coils."""
    ramp = np.linspace(-1, 1, size)
    phase = np.exp(1j * (0.8 * ramp[:, None] + 0.5 * ramp))
    shades = [1 + 0.4 * np.cos(c + 1.5 * ramp) * np.exp(0.3j * c) for c in range(coils)]
    heads = [phantoms.head(size, "T1w", n)[0] for n in range(slices)]
    return np.stack([np.stack([head * phase * shade for shade in shades]) for head in heads]).astype(np.complex64)


def transform(image, rows=ROWS, columns=COLUMNS):
    """Centred, orthonormal k-space over the last two axes: the central ``rows`` x ``columns``."""
    axes = (-2, -1)
    full = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes), norm="ortho"), axes)
    starts = [n // 2 - m // 2 for n, m in zip(full.shape[-2:], (rows, columns), strict=True)]
    return full[..., starts[0] : starts[0] + rows, starts[1] : starts[1] + columns].astype(np.complex64)


HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <experimentalConditions><H1resonanceFrequency_Hz>2340000</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{encoded}</x><y>240</y><z>6</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{kept}</x><y>{columns}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{wanted}</x><y>240</y><z>6</z></fieldOfView_mm></reconSpace>
  <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
   </kspace_encoding_step_1></encodingLimits>
  <trajectory>{trajectory}</trajectory>
 </encoding>
</ismrmrdHeader>
"""


def header(rows=ROWS, columns=COLUMNS, over=1, trajectory="cartesian", centre=None):
    """An ISMRMRD header: a readout of ``rows``, oversampled ``over`` times, with a field of view of 320 mm kept."""
    centre = columns // 2 if centre is None else centre
    sizes = {"rows": rows, "columns": columns, "kept": rows // over, "last": columns - 1, "centre": centre}
    return HEADER.format(**sizes, encoded=320 * over, wanted=320, trajectory=trajectory)


def write_fastmri(path, data, xml=None):
    """As fastMRI's files: a dataset ``kspace`` and perhaps the header."""
    import h5py

    with h5py.File(path, "w") as file:
        file["kspace"] = data
        if xml is not None:
            file["ismrmrd_header"] = xml
    return path


def write_ismrmrd(path, data, xml=None, change=lambda acquisition: None, averages=1):
    """Readouts of (slices, coils, rows, columns) by the package ismrmrd, noise readouts first; flags in between."""
    import ismrmrd

    dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
    dataset.write_xml_header((header() if xml is None else xml).encode())
    noise = ismrmrd.Acquisition.from_array(np.full((data.shape[1], 7), 9, np.complex64))
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    dataset.append_acquisition(noise)
    for n, coils in enumerate(data):
        for line in range(data.shape[3]):
            for average in range(averages):
                # the averages differ by noise whose mean is zero
                readout = coils[:, :, line] * (1 + 0.1 * (average - (averages - 1) / 2))
                acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(readout))
                acquisition.idx.slice, acquisition.idx.kspace_encode_step_1 = n, line
                acquisition.idx.average, acquisition.center_sample = average, data.shape[2] // 2
                change(acquisition)
                dataset.append_acquisition(acquisition)
    dataset.close()
    return path
