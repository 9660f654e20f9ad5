import gzip
import os
import struct
import sys

import nibabel as nib
import numpy as np
import pytest

from rnst_jax.io import guard, nifti
from rnst_jax.io.errors import RefusedInput

DATA = np.random.default_rng(0).random((6, 5, 4), dtype=np.float32)


def save(path, data=DATA, affine=None, change=None, kind=nib.Nifti1Image):
    """A NIfTI file, with ``change`` applied to the bytes of the whole uncompressed file."""
    image = kind(data, np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    raw = bytearray(image.to_bytes())
    if change:
        raw = change(raw)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def patch(offset, code, *values):
    def change(raw):
        struct.pack_into("<" + code, raw, offset, *values)
        return raw

    return change


def refused(path):
    """The message of the refusal: one line that names the file and says what to do."""
    with pytest.raises(RefusedInput) as caught:
        nifti.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert ";" in message
    return message


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_sound_files_are_read(tmp_path, name, kind):
    path = save(tmp_path / name, kind=kind) if name != "A.NII.GZ" else save(tmp_path / "a.nii.gz", kind=kind)
    path = path.rename(tmp_path / name)
    np.testing.assert_array_equal(nifti.read(path).data, DATA)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_real_types_and_endianness(tmp_path, dtype):
    data = (DATA * 100).astype(dtype)
    for order in "<>":
        header = nib.Nifti1Header(endianness=order)
        header.set_data_dtype(dtype)
        nib.save(nib.Nifti1Image(data, np.eye(4), header), tmp_path / "a.nii.gz")
        volume = nifti.read(tmp_path / "a.nii.gz")
        assert volume.data.dtype == np.float32
        np.testing.assert_allclose(volume.data, data, rtol=1e-6)


def test_trailing_axes_of_length_one_are_dropped(tmp_path):
    assert nifti.read(save(tmp_path / "a.nii", DATA[..., None, None])).data.shape == DATA.shape


def test_missing_and_odd_places(tmp_path):
    assert "no such file" in refused(tmp_path / "none.nii.gz")
    assert "no such file" in refused(save(tmp_path / "a.nii") / "b.nii")
    folder = tmp_path / "dicom.nii"
    folder.mkdir()
    assert "folder" in refused(folder)
    os.mkfifo(tmp_path / "pipe.nii")
    assert "not a regular file" in refused(tmp_path / "pipe.nii")
    other = tmp_path / "scan.dcm"
    other.write_bytes(b"0" * 1000)
    assert "convert" in refused(other)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path):
    path = save(tmp_path / "a.nii")
    path.chmod(0)
    assert "permission" in refused(path)


def test_not_nifti(tmp_path):
    text = tmp_path / "text.nii.gz"
    text.write_text("this is no scan\n" * 100)
    assert "not gzip-compressed" in refused(text)
    plain = tmp_path / "text.nii"
    plain.write_text("this is no scan\n" * 100)
    assert "not a NIfTI file" in refused(plain)
    packed = tmp_path / "packed.nii.gz"
    packed.write_bytes(gzip.compress(b"this is no scan\n" * 100))
    assert "not a NIfTI file" in refused(packed)
    empty = tmp_path / "empty.nii"
    empty.write_bytes(b"")
    assert "not a NIfTI file" in refused(empty)


def test_wrong_suffix_for_the_compression(tmp_path):
    assert "rename it to .nii" in refused(save(tmp_path / "a.nii").rename(tmp_path / "a.nii.gz"))
    assert "rename it to .nii.gz" in refused(save(tmp_path / "b.nii.gz").rename(tmp_path / "b.nii"))


def test_header_of_a_pair(tmp_path):
    assert ".hdr/.img" in refused(save(tmp_path / "a.nii", change=patch(344, "4s", b"ni1\0")))


@pytest.mark.parametrize("keep", [1, 10, 60, 300, -200, -9, -4, -1])
def test_truncated_gzip(tmp_path, keep):
    path = save(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:keep])
    message = refused(path)
    assert "truncated" in message or keep < 3


@pytest.mark.parametrize("keep", [100, 352, -1])
def test_truncated_plain(tmp_path, keep):
    path = save(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:keep])
    refused(path)


def test_truncated_before_compression(tmp_path):
    assert "truncated" in refused(save(tmp_path / "a.nii.gz", change=lambda raw: raw[:-8]))


def test_wrong_checksum_and_damaged_stream(tmp_path):
    path = save(tmp_path / "a.nii.gz")
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 255
    path.write_bytes(raw)
    assert "damaged" in refused(path)
    raw[-8] ^= 255
    raw[200:220] = bytes(20)
    path.write_bytes(raw)
    assert "damaged" in refused(path)


def test_bomb_is_refused_early(tmp_path, monkeypatch):
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(nib.Nifti1Image(DATA, np.eye(4)).to_bytes())
        for _ in range(64):
            stream.write(bytes(2**20))
    blocks = []
    original = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: blocks.append(size) or original(self, size))
    assert "more data" in refused(path)
    assert sum(blocks) < 4 * 2**20


def test_a_bomb_whose_header_promises_what_it_holds_is_refused_unread(tmp_path, monkeypatch):
    header = nib.Nifti1Header()
    header.set_data_shape((800, 800, 800))
    header.set_data_dtype(np.float32)
    header.set_sform(np.eye(4), 1)
    header.set_data_offset(352)
    path = tmp_path / "bomb.nii.gz"
    # 2 MB as a whole; its start is enough, as it is refused by its size
    with gzip.open(path, "wb") as stream:
        stream.write(header.binaryblock + bytes(2**22))
    assert "as no scan does" in refused(path)
    # an empty mask of usual size is none, though it shrinks as much
    save(tmp_path / "mask.nii.gz", np.zeros((128, 128, 64), np.uint8))
    guard.check_file(tmp_path / "mask.nii.gz")


def test_dimensions(tmp_path):
    assert "4-D" in refused(save(tmp_path / "a.nii.gz", np.repeat(DATA[..., None], 3, -1)))
    assert "2-D" in refused(save(tmp_path / "b.nii.gz", DATA[..., 0]))
    assert "impossible size" in refused(save(tmp_path / "c.nii", change=patch(40, "4h", 3, 6, -5, 4)))
    assert "impossible size" in refused(save(tmp_path / "d.nii", change=patch(40, "4h", 3, 6, 0, 4)))
    assert "impossible size" in refused(save(tmp_path / "e.nii", change=patch(40, "h", 0)))
    refused(save(tmp_path / "f.nii", change=patch(40, "h", -1)))


def test_too_large_is_refused_from_the_header(tmp_path):
    path = save(tmp_path / "a.nii.gz", change=patch(40, "4h", 3, 30000, 30000, 30000))
    assert "more than" in refused(path)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex(tmp_path, dtype):
    assert "magnitude" in refused(save(tmp_path / "a.nii.gz", DATA.astype(dtype)))


def test_colours_and_unknown_types(tmp_path):
    colour = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "colours" in refused(save(tmp_path / "a.nii.gz", colour))
    refused(save(tmp_path / "b.nii", change=patch(70, "h", 999)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values(tmp_path, value):
    data = DATA.copy()
    data[1, 2, 3] = value
    assert "1 of 120 voxels" in refused(save(tmp_path / "a.nii.gz", data))


def test_values_too_large_for_float32(tmp_path):
    assert "infinite" in refused(save(tmp_path / "a.nii.gz", DATA.astype(np.float64) * 1e60))


@pytest.mark.parametrize("value", [0, 3.5])
def test_constant(tmp_path, value):
    assert "all voxels are" in refused(save(tmp_path / "a.nii.gz", np.full_like(DATA, value)))
    assert nifti.read(save(tmp_path / "a.nii.gz", np.full_like(DATA, value)), constant=True).data.max() == value


def test_affines(tmp_path):
    srow = 280
    flat = patch(srow, "12f", 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
    assert "singular" in refused(save(tmp_path / "a.nii.gz", change=flat))
    twice = patch(srow, "12f", 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0)
    assert "singular" in refused(save(tmp_path / "b.nii.gz", change=twice))
    assert "NaN" in refused(save(tmp_path / "c.nii.gz", change=patch(srow, "f", np.nan)))

    def bad_quaternion(raw):
        struct.pack_into("<2h3f", raw, 252, 1, 0, 5.0, 5.0, 5.0)
        return raw

    assert "qform" in refused(save(tmp_path / "e.nii.gz", change=bad_quaternion))


def test_voxels_in_metres_are_no_singular_affine(tmp_path):
    guard.check_file(save(tmp_path / "a.nii.gz", affine=np.diag([1e-3, 1e-3, 5e-3, 1])))


def test_damaged_offset_and_slope(tmp_path):
    refused(save(tmp_path / "a.nii", change=patch(108, "f", 1e15)))
    refused(save(tmp_path / "b.nii", change=patch(108, "f", np.nan)))
    refused(save(tmp_path / "c.nii", change=patch(112, "2f", 2.0, np.inf)))


def test_random_damage_is_refused_or_read(tmp_path):
    """Whatever the header's bytes are, there is a volume or one refusal."""
    rng = np.random.default_rng(0)
    whole = nib.Nifti1Image(DATA, np.diag([1.0, 2.0, 3.0, 1.0])).to_bytes()
    path = tmp_path / "a.nii"
    for _ in range(300):
        raw = bytearray(whole)
        for offset in rng.integers(0, 352, rng.integers(1, 8)):
            raw[offset] = rng.integers(0, 256)
        path.write_bytes(raw)
        try:
            volume = nifti.read(path)
        except RefusedInput:
            continue
        assert np.isfinite(volume.data).all()


def test_nothing_is_printed_by_nibabel(tmp_path, capfd):
    refused(save(tmp_path / "a.nii", change=patch(40, "4h", 3, 6, 0, 4)))
    refused(save(tmp_path / "b.nii", change=patch(70, "h", 999)))
    nifti.read(save(tmp_path / "c.nii", change=patch(76 + 4, "f", -1.0)))
    sys.stderr.flush()
    assert capfd.readouterr().err == ""
