import itertools
import json
import os
import stat

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import inv_ornt_aff, ornt_transform

from rnst_jax.io import nifti
from rnst_jax.io.atomic import replacing, write_json
from rnst_jax.io.errors import UsageError
from rnst_jax.io.planes import from_slices, plane_of, to_slices

CODES = [
    tuple(["LR", "PA", "IS"][axis][sign] for axis, sign in zip(order, signs, strict=True))
    for order in itertools.permutations(range(3))
    for signs in itertools.product((0, 1), repeat=3)
]
RAS = np.random.default_rng(0).random((7, 6, 5), dtype=np.float32)
AFFINE = np.array([[1.0, 0, 0, -10], [0, 2.0, 0, 20], [0, 0, 3.0, 5], [0, 0, 0, 1]])


def rotation(degrees):
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def oriented(codes, degrees=0.0):
    """The volume RAS stored in another voxel order, at the same place in the scanner."""
    change = ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    data = nib.orientations.apply_orientation(RAS, change)
    return data, rotation(degrees) @ AFFINE @ inv_ornt_aff(change, RAS.shape)


def volume(tmp_path, codes=tuple("RAS"), degrees=0.0, qform=1, sform=1, kind=nib.Nifti1Image, name="in.nii.gz"):
    data, affine = oriented(codes, degrees)
    image = kind(data, affine)
    image.set_qform(affine, qform)
    image.set_sform(affine, sform)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / name)
    return nifti.read(tmp_path / name)


@pytest.mark.parametrize("codes", CODES, ids="".join)
def test_every_orientation_shows_the_same_anatomy_and_comes_back(tmp_path, codes):
    given = volume(tmp_path, codes)
    assert nib.aff2axcodes(given.affine) == codes
    expected = {
        "axial": RAS.transpose(2, 1, 0)[:, ::-1],
        "coronal": RAS.transpose(1, 2, 0)[:, ::-1],
        "sagittal": RAS.transpose(0, 2, 1)[:, ::-1],
    }
    zooms = {"axial": (2, 1, 3), "coronal": (3, 1, 2), "sagittal": (3, 2, 1)}
    for plane, stack in expected.items():
        slices = to_slices(given, plane)
        np.testing.assert_array_equal(slices.stack, stack)
        np.testing.assert_allclose((*slices.zooms, slices.slice_mm), zooms[plane], rtol=1e-6)
        np.testing.assert_array_equal(from_slices(slices.stack, slices), given.data)
        number = slices.number(1)
        inside = slices.positions(number, number + 1)
        assert inside == slice(1, 2)
    nifti.write(tmp_path / "out.nii.gz", given.data, given)
    again = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(again.affine, given.affine)
    np.testing.assert_array_equal(again.get_fdata(dtype=np.float32), given.data)


@pytest.mark.parametrize("codes", CODES[::5], ids="".join)
@pytest.mark.parametrize("degrees", [-40.0, 20.0])
def test_oblique_volumes_go_to_the_closest_axes(tmp_path, codes, degrees):
    given = volume(tmp_path, codes, degrees)
    slices = to_slices(given, "axial")
    np.testing.assert_array_equal(slices.stack, RAS.transpose(2, 1, 0)[:, ::-1])
    np.testing.assert_array_equal(from_slices(slices.stack, slices), given.data)
    assert slices.oblique == pytest.approx(abs(degrees), abs=1e-3)


def test_plane_is_across_the_thickest_axis():
    assert plane_of(np.diag([1.0, 1.0, 5.0, 1.0])) == "axial"
    assert plane_of(np.diag([-5.0, 1.0, 1.0, 1.0])) == "sagittal"
    assert plane_of(np.diag([5.0, 5.0, 1.0, 1.0])) == "coronal"
    assert plane_of(np.eye(4)) == "axial"
    assert plane_of(np.diag([1.0, 1.001, 1.0, 1.0])) == "axial"
    turned = np.eye(4)[[1, 2, 0, 3]] @ np.diag([4.0, 1.0, 1.0, 1.0])
    assert plane_of(turned) == "axial"
    with pytest.raises(ValueError, match="no plane"):
        to_slices(nifti.Volume(RAS, np.eye(4), nib.Nifti1Header(), None), "slanted")  # type: ignore[arg-type]


@pytest.mark.parametrize(("qform", "sform"), [(1, 1), (1, 0), (0, 2), (3, 4), (0, 0)])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_geometry_codes_and_units_are_kept(tmp_path, qform, sform, kind, name):
    given = volume(tmp_path, tuple("LPS"), 10.0, qform, sform, kind)
    nifti.write(tmp_path / name, given.data * 2, given)
    image = nib.load(tmp_path / name)
    assert isinstance(image, kind)
    assert image.get_data_dtype() == np.float32
    for field in ("qform_code", "sform_code", "xyzt_units", "pixdim", "dim", "quatern_b", "qoffset_x", "srow_x"):
        np.testing.assert_array_equal(image.header[field], given.header[field])
    np.testing.assert_array_equal(image.affine, given.affine)
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), given.data * 2)


@pytest.mark.parametrize(("qform", "sform"), [(1, 1), (1, 0), (0, 2), (0, 0)])
def test_part_of_a_volume_stays_in_place(tmp_path, qform, sform):
    whole = volume(tmp_path, tuple("PSL"), 15.0, qform, sform)
    for axis in range(3):
        part = nifti.sub_volume(whole, axis, 1, 4)
        nifti.write(tmp_path / "part.nii.gz", part.data, part, force=True)
        again = nifti.read(tmp_path / "part.nii.gz")
        np.testing.assert_array_equal(again.data, np.take(whole.data, range(1, 4), axis))
        corner = np.zeros(4)
        corner[axis], corner[3] = 1, 1
        np.testing.assert_allclose(again.affine @ [0, 0, 0, 1], whole.affine @ corner, atol=1e-5)
        np.testing.assert_allclose(again.affine[:3, :3], whole.affine[:3, :3], atol=1e-6)


def test_private_text_and_extensions_are_left_out(tmp_path):
    given = volume(tmp_path)
    given.header["descrip"] = b"Jane Doe"
    given.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe"))
    nifti.write(tmp_path / "out.nii", given.data, given)
    assert b"Jane" not in (tmp_path / "out.nii").read_bytes()
    assert given.header.extensions  # the volume in memory is not touched


def test_scale_factors_of_integers_are_applied_and_not_kept(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(RAS * 0.01, np.eye(4), header), tmp_path / "in.nii.gz")
    given = nifti.read(tmp_path / "in.nii.gz")
    np.testing.assert_allclose(given.data, RAS * 0.01, atol=1e-6)
    nifti.write(tmp_path / "out.nii.gz", given.data, given)
    np.testing.assert_array_equal(nifti.read(tmp_path / "out.nii.gz").data, given.data)


def test_equal_images_are_equal_files(tmp_path):
    given = volume(tmp_path)
    nifti.write(tmp_path / "a.nii.gz", given.data, given)
    nifti.write(tmp_path / "b.nii.gz", given.data, given)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_outputs_that_are_refused(tmp_path):
    given = volume(tmp_path)
    out = tmp_path / "out.nii.gz"
    nifti.write(out, given.data, given)
    before = out.read_bytes()
    with pytest.raises(UsageError, match="--force"):
        nifti.write(out, given.data * 2, given)
    assert out.read_bytes() == before
    nifti.write(out, given.data * 2, given, force=True)
    assert out.read_bytes() != before
    (tmp_path / "link.nii.gz").symlink_to(given.path)
    for same in (given.path, tmp_path / "link.nii.gz"):
        with pytest.raises(UsageError, match="is an input"):
            nifti.write(same, given.data, given, force=True)
    with pytest.raises(UsageError, match="mkdir"):
        nifti.write(tmp_path / "none" / "out.nii.gz", given.data, given)
    with pytest.raises(UsageError, match=r"\.nii"):
        nifti.write(tmp_path / "out.png", given.data, given)
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(UsageError, match="folder"):
        nifti.write(tmp_path / "folder.nii", given.data, given, force=True)
    with pytest.raises(ValueError, match="shape"):
        nifti.write(tmp_path / "new.nii.gz", given.data[1:], given)


@pytest.mark.parametrize("broken", ["os.replace", "os.fsync", "nibabel.Nifti1Image.to_stream"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_leaves_nothing(tmp_path, monkeypatch, broken, error):
    given = volume(tmp_path)
    old = tmp_path / "old.nii.gz"
    nifti.write(old, given.data, given)
    before = old.read_bytes()

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(broken, fail)
    for path in (tmp_path / "new.nii.gz", tmp_path / "new.nii", old):
        with pytest.raises(type(error)):
            nifti.write(path, given.data * 2, given, force=True)
    assert sorted(os.listdir(tmp_path)) == ["in.nii.gz", "old.nii.gz"]
    assert old.read_bytes() == before


def test_outputs_have_the_users_permissions(tmp_path):
    given = volume(tmp_path)
    nifti.write(tmp_path / "out.nii.gz", given.data, given)
    (tmp_path / "plain").touch()
    mode = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("out.nii.gz", "plain")]
    assert mode[0] == mode[1]


def test_file_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(UsageError, match="--force"), replacing(tmp_path / "a") as stream:  # noqa: PT012
        stream.write(b"mine")
        (tmp_path / "a").write_bytes(b"theirs")
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_json_is_whole_or_absent(tmp_path):
    write_json(tmp_path / "a.json", {"é": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": 1}
    with pytest.raises(UsageError, match="--force"):
        write_json(tmp_path / "a.json", {})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert os.listdir(tmp_path) == ["a.json"]
