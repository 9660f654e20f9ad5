"""Readers of k-space on files written here, and files that are refused."""

import io
import os
import pathlib
import zipfile

import numpy as np
import pytest

from rnst_jax.io import kspace
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.prepare_kspace import prepare_kspace
from tests import scans
from tests.kspace_files import COLUMNS, ROWS, header, images, transform, write_fastmri, write_ismrmrd

h5py = pytest.importorskip("h5py", reason="h5py is not installed (the extra kspace)")
needs_ismrmrd = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("ismrmrd") is None, reason="ismrmrd is not installed (the extra dev)"
)
DATA = transform(images(coils=3))


def refused(path, *words, **options):
    """One line that names the file and a remedy and holds these words."""
    with pytest.raises(RefusedInput) as caught:
        kspace.read(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert ";" in message
    for word in words:
        assert word in message
    return message


def savez(path, **arrays):
    np.savez(path, **arrays)
    return path


class TestNpz:
    def test_slices_coils_rows_columns_by_default(self, tmp_path):
        found = kspace.read(savez(tmp_path / "a.npz", kspace=DATA))
        np.testing.assert_array_equal(found.data, DATA)
        assert found.data.dtype == np.complex64
        assert found.axes == ("k", "j-", "i")
        single = kspace.read(savez(tmp_path / "b.npz", anything=DATA[:, 0]))
        np.testing.assert_array_equal(single.data, DATA[:, :1])

    def test_other_axes_and_fortran_order(self, tmp_path):
        array = np.asfortranarray(DATA.transpose(3, 2, 0, 1).astype(np.complex128))
        found = kspace.read(savez(tmp_path / "a.npz", kspace=array), axes=kspace.parse_axes("i,j-,k,c"))
        np.testing.assert_array_equal(found.data, DATA.transpose(0, 1, 3, 2))
        assert found.axes == ("k", "i", "j-")
        with pytest.raises(UsageError, match="has 4 axes"):
            kspace.read(tmp_path / "a.npz", axes=("i", "j", "k"))

    @pytest.mark.parametrize("text", ["i,j", "i,j,j", "i,j,k,x", "i,i-,k", "c,c,i,j,k", ""])
    def test_wrong_axes(self, text):
        with pytest.raises(ValueError, match="does not name"):
            kspace.parse_axes(text)

    def test_the_forward_transform_is_conjugated(self, tmp_path):
        image = images()
        stored = np.fft.ifftshift(image, (-2, -1))
        stored = np.fft.fftshift(np.fft.ifft2(stored, norm="ortho"), (-2, -1)).astype(np.complex64)
        found = kspace.read(savez(tmp_path / "a.npz", kspace=stored), forward=True)
        back = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(found.data, (-2, -1)), norm="ortho"), (-2, -1))
        np.testing.assert_allclose(back, image.conj(), atol=1e-6)

    def test_which_array(self, tmp_path):
        path = savez(tmp_path / "a.npz", one=DATA, two=2 * DATA)
        assert "one, two" in refused(path, "no array 'kspace'", "--kspace-key")
        np.testing.assert_array_equal(kspace.read(path, key="two").data, 2 * DATA)

    def test_what_the_header_tells_is_refused_before_the_numbers_are_read(self, tmp_path, monkeypatch):
        def write(name, shape, dtype="<c8"):
            stream = io.BytesIO()
            np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
            with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("kspace.npy", stream.getvalue() + bytes(1000))
            return tmp_path / name

        monkeypatch.setattr(np, "frombuffer", None)
        refused(write("a.npz", (40000, 40000, 400)), "more than")
        refused(write("b.npz", (2, 32, 32)), "does not hold the 16384 bytes")
        refused(write("c.npz", (2, 2, 2)), "does not hold the 64 bytes")
        refused(write("d.npz", (32, 32)), "2 axes")
        refused(write("e.npz", (0, 32, 32)), "empty")
        refused(write("f.npz", (2, 5, 5), "<f4"), "not complex")
        refused(write("g.npz", (2, 5, 5), "|O"), "not complex")

    def test_pickles_are_not_opened(self, tmp_path):
        refused(savez(tmp_path / "a.npz", kspace=np.array([print], object)), "not complex")

    def test_damage(self, tmp_path):
        path = savez(tmp_path / "a.npz", kspace=DATA)
        whole = path.read_bytes()
        for keep in (3, 100, len(whole) // 2, len(whole) - 5):
            path.write_bytes(whole[:keep])
            refused(path)
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes(40) + whole[middle + 40 :])
        refused(path, "no sound .npz")

    def test_values(self, tmp_path):
        broken = DATA.copy()
        broken[0, 0, 3, 3] = np.nan
        refused(savez(tmp_path / "a.npz", kspace=broken), "1 of 4608 coefficients")
        refused(savez(tmp_path / "b.npz", kspace=0 * DATA), "nothing was measured")
        refused(savez(tmp_path / "c.npz", kspace=DATA[..., :10]), "at least 16")
        refused(savez(tmp_path / "d.npz", kspace=DATA.astype(np.complex128) * 1e60), "infinite")


def test_places_and_formats(tmp_path):
    refused(tmp_path / "none.npz", "no such file")
    refused(tmp_path, "folder")
    os.mkfifo(tmp_path / "pipe.h5")
    refused(tmp_path / "pipe.h5", "not a regular file")
    (tmp_path / "text.npz").write_text("nothing\n" * 9)
    refused(tmp_path / "text.npz", "neither .npz nor HDF5")
    assert kspace.is_kspace(pathlib.Path("A.H5"))
    assert not kspace.is_kspace(pathlib.Path("a.nii.gz"))


class TestFastMri:
    def test_single_and_multi_coil(self, tmp_path):
        np.testing.assert_array_equal(kspace.read(write_fastmri(tmp_path / "a.h5", DATA)).data, DATA)
        single = kspace.read(write_fastmri(tmp_path / "b.h5", DATA[:, 0], header()))
        np.testing.assert_array_equal(single.data, DATA[:, :1])
        assert single.zooms == (6, 320 / ROWS, 240 / COLUMNS)

    def test_an_oversampled_readout_is_cut_in_the_image(self, tmp_path):
        wide = np.pad(images(), ((0, 0), (0, 0), (ROWS // 2, ROWS // 2), (0, 0)))
        lines = (np.arange(COLUMNS) % 3 > 0).astype(np.float32)
        path = write_fastmri(tmp_path / "a.h5", lines * transform(wide, 2 * ROWS), header(2 * ROWS, over=2))
        found = kspace.read(path)
        np.testing.assert_allclose(found.data, lines * transform(images()), atol=1e-5)
        assert not found.data[..., lines == 0].any()
        assert found.zooms == (6, 320 / ROWS, 240 / COLUMNS)
        assert "from 64 to 32" in found.warnings[0]

    def test_bad_files(self, tmp_path):
        write_fastmri(tmp_path / "good.h5", DATA)
        whole = (tmp_path / "good.h5").read_bytes()
        (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
        refused(tmp_path / "cut.h5", "damaged or truncated")
        refused(write_fastmri(tmp_path / "a.h5", np.abs(DATA)), "not complex")
        refused(write_fastmri(tmp_path / "b.h5", DATA, "no xml"), "header cannot be used")
        refused(write_fastmri(tmp_path / "c.h5", DATA, "<!DOCTYPE a>" + header()), "header is none")
        refused(write_fastmri(tmp_path / "d.h5", DATA, header(over=-1)), "not positive")
        refused(tmp_path / "good.h5", "neither fastMRI's", "--kspace-key", key="other")
        with h5py.File(tmp_path / "huge.h5", "w") as file:
            file.create_dataset("kspace", (10**4, 10**4, 10**4), "c8", chunks=(1, 64, 64))
        refused(tmp_path / "huge.h5", "more than")
        with h5py.File(tmp_path / "link.h5", "w") as file:
            file["kspace"] = h5py.ExternalLink("good.h5", "kspace")
        refused(tmp_path / "link.h5", "neither fastMRI's")
        with h5py.File(tmp_path / "virtual.h5", "w") as file:
            layout = h5py.VirtualLayout(DATA.shape, "c8")
            layout[:] = h5py.VirtualSource(tmp_path / "good.h5", "kspace", DATA.shape)
            file.create_virtual_dataset("kspace", layout)
        refused(tmp_path / "virtual.h5", "other files")


@needs_ismrmrd
class TestIsmrmrd:
    def test_readouts_find_their_place(self, tmp_path):
        found = kspace.read(write_ismrmrd(tmp_path / "a.h5", DATA))
        np.testing.assert_allclose(found.data, DATA, atol=1e-6)
        assert found.zooms == (6, 320 / ROWS, 240 / COLUMNS)

    def test_averages_are_averaged_and_missing_lines_are_zero(self, tmp_path):
        def skip(acquisition):
            if acquisition.idx.kspace_encode_step_1 == 5:
                import ismrmrd

                acquisition.set_flag(ismrmrd.ACQ_IS_NAVIGATION_DATA)

        found = kspace.read(write_ismrmrd(tmp_path / "a.h5", DATA, change=skip, averages=2))
        kept = np.arange(COLUMNS) != 5
        np.testing.assert_allclose(found.data[..., kept], DATA[..., kept], atol=1e-6)
        assert not found.data[..., 5].any()

    def test_partial_echo_and_partial_fourier(self, tmp_path):
        """The samples before the centre are fewer, the first lines are missing."""
        part = DATA[:, :, 8:, 4:]
        xml = header(centre=COLUMNS // 2 - 4)

        def change(acquisition):
            acquisition.center_sample = ROWS // 2 - 8

        found = kspace.read(write_ismrmrd(tmp_path / "a.h5", part, xml, change))
        np.testing.assert_allclose(found.data[:, :, 8:, 4:], part, atol=1e-6)
        assert not found.data[:, :, :8].any()
        assert not found.data[..., :4].any()

    @pytest.mark.parametrize(
        ("attribute", "value", "word"),
        [("contrast", 1, "several values of contrast"), ("kspace_encode_step_1", 99, "does not fit")],
    )
    def test_what_does_not_fit(self, tmp_path, attribute, value, word):
        def change(acquisition):
            if acquisition.idx.kspace_encode_step_1 == 3:
                setattr(acquisition.idx, attribute, value)

        refused(write_ismrmrd(tmp_path / "a.h5", DATA[:1], change=change), word)

    def test_other_trajectories(self, tmp_path):
        refused(write_ismrmrd(tmp_path / "a.h5", DATA[:1], header(trajectory="radial")), "radial")


class TestPreparation:
    """Orientation: k-space of a volume, stored in any order, gives that volume back on its grid."""

    @pytest.fixture
    def style(self, tmp_path):
        return scans.save(tmp_path / "style.nii.gz", scans.volume(1, 0.0, count=2)[0].astype(np.float32))

    @pytest.mark.parametrize("text", ["k,j-,i", "k,i,j", "i-,j,k", "j-,i-,k-"])
    @pytest.mark.parametrize("flip", [1, -1])
    def test_any_order_gives_the_same_volume(self, tmp_path, style, text, flip):
        # not square, one side odd, asymmetric along every axis
        volume = images(2, size=36)[:, 0, :35, :].transpose(2, 1, 0)
        reference = np.abs(volume).astype(np.float32)
        scans.save(tmp_path / "like.nii.gz", reference, np.diag([2.0 * flip, 2, 6, 1]))
        axes = kspace.parse_axes(text)
        stored = volume.transpose(["ijk".index(a[0]) for a in axes])
        stored = np.flip(stored, [n for n, a in enumerate(axes) if a.endswith("-")])
        plane = [n for n, a in enumerate(axes) if a[0] != "k"]
        shifted = np.fft.ifftshift(stored, plane)
        stored = np.fft.fftshift(np.fft.fftn(shifted, axes=plane, norm="ortho"), plane).astype(np.complex64)
        # what is left out of the rows breaks every symmetry of the mask
        gap = [slice(None)] * 3
        gap[plane[0]] = slice(0, 4)
        stored[tuple(gap)] = 0
        found = kspace.read(savez(tmp_path / "a.npz", kspace=stored), axes=axes)
        case = prepare_kspace(found, style, None, tmp_path / "like.nii.gz")
        full = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(stored, plane), axes=plane, norm="ortho"), plane)
        full = np.flip(full, [n for n, a in enumerate(axes) if a.endswith("-")])
        expected = np.abs(full.transpose([[a[0] for a in axes].index(d) for d in "ijk"]))
        np.testing.assert_allclose(case.case.content.data, expected, atol=1e-5)
        # y on the slices' grid is the k-space of these slices, and holds all that was measured
        back = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(case.y, (-2, -1)), norm="ortho"), (-2, -1))
        np.testing.assert_allclose(np.abs(back[:, 0]) * case.case.scaling.hi, case.case.raw, atol=1e-5)
        assert case.sampled.sum() == pytest.approx(np.count_nonzero(stored))
        assert case.case.scaling.lo == 0

    def test_geometry_is_the_matrix_and_zero_fills(self, tmp_path, style):
        scans.save(tmp_path / "like.nii.gz", np.ones((40, 48, 2), np.float32), np.diag([1.0, 1.0, 6.0, 1.0]))
        found = kspace.read(savez(tmp_path / "a.npz", kspace=DATA))
        case = prepare_kspace(found, style, None, tmp_path / "like.nii.gz")
        assert case.y.shape == (2, 3, 48, 40)
        assert case.sampled.sum() == 2 * ROWS * COLUMNS
        # in image space the coefficients sit where they sat, so the mean is what it was
        assert case.window == (ROWS // 4, COLUMNS // 4)
        assert case.missing == 0
        assert not any("left and right" in w for w in case.case.warnings)
        small = scans.save(tmp_path / "small.nii.gz", np.ones((20, 48, 2), np.float32))
        with pytest.raises(RefusedInput, match="does not hold 2 slices of 32 x 24"):
            prepare_kspace(found, style, None, small)

    @pytest.mark.parametrize(
        ("measured", "share"),
        [
            (np.arange(ROWS) % 2 == 0, 0.5),  # every other line
            (np.abs(np.arange(ROWS) - ROWS // 2) < 9, 0.0),  # a smaller matrix
            (np.arange(ROWS) >= ROWS // 4, 0.25),  # partial Fourier
        ],
    )
    def test_missing_is_what_lies_between(self, tmp_path, style, measured, share):
        scans.save(tmp_path / "like.nii.gz", np.ones((COLUMNS, ROWS, 2), np.float32), np.diag([1.0, 1.0, 6.0, 1.0]))
        found = kspace.read(savez(tmp_path / "a.npz", kspace=DATA * measured[:, None]))
        case = prepare_kspace(found, style, None, tmp_path / "like.nii.gz")
        assert case.missing == pytest.approx(share, abs=0.03)
        assert any("filled in" in w for w in case.case.warnings) == (share > 0)

    def test_without_geometry(self, tmp_path, style):
        found = kspace.read(write_fastmri(tmp_path / "a.h5", transform(images(), ROWS, ROWS), header(columns=ROWS)))
        case = prepare_kspace(found, style).case
        np.testing.assert_allclose(np.diag(case.content.affine), [7.5, 10, 6, 1])
        assert any("left and right" in w for w in case.warnings)
        # rows of the array run downwards in the displayed slice
        shown = np.abs(images()[:, 0])
        np.testing.assert_allclose(case.stack, shown, atol=1e-5)
        with pytest.raises(UsageError, match="axial, not coronal"):
            prepare_kspace(found, style, plane="coronal")
