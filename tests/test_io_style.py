import dataclasses
import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from rnst_jax.io import nifti, provenance
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.intensity import robust_scaling
from rnst_jax.io.planes import Slices, to_slices
from rnst_jax.io.prepare import prepare
from rnst_jax.io.style import alike_slices, matching_slices, prepare_style
from rnst_jax.mask import head_mask


def phantom(shape, spacing, shift=(0.0, 0.0), noise=0.02, seed=0, scale=800.0):
    """A head in RAS order with a bright spot at its anterior right, the same in mm whatever the grid."""
    x, y, z = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    centre = np.array(shape) * spacing / 2
    x, y = x - centre[0] - shift[0], y - centre[1] - shift[1]
    head = np.hypot(x / 35, y / 42) < 1
    spot = np.hypot(x - 15, y - 20) < 6
    image = head * (0.5 + 0.1 * np.cos(z / 15)) + 0.4 * spot
    rng = np.random.default_rng(seed)
    return scale * np.abs(image + noise * rng.normal(size=shape))


def save(path, data, spacing, codes="RAS"):
    image = nib.Nifti1Image(data.astype(np.float32), np.diag([*spacing, 1.0]))
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(codes))
    )
    nib.save(image.as_reoriented(change), path)
    return path


@pytest.fixture
def content(tmp_path):
    return save(tmp_path / "content.nii.gz", phantom((64, 72, 4), (1.5, 1.5, 8.0), noise=0.06), (1.5, 1.5, 8.0))


def masks_of(slices):
    return np.stack([head_mask(image) for image in slices.stack])


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA", "AIL"])
@pytest.mark.parametrize(
    ("shape", "spacing", "shift"),
    [
        ((64, 72, 4), (1.5, 1.5, 8.0), (0, 0)),
        ((150, 180, 4), (0.7, 0.7, 8.0), (6, -9)),  # finer, larger, off centre
        ((90, 100, 9), (1.0, 1.2, 4.0), (-4, 3)),  # another number of slices, voxels that are not square
        ((32, 40, 4), (3.0, 2.5, 8.0), (0, 0)),  # coarser
    ],
)
def test_style_of_any_size_voxel_and_orientation_lies_on_the_content(tmp_path, content, codes, shape, spacing, shift):
    style = save(tmp_path / "style.nii.gz", phantom(shape, spacing, shift, noise=0.01, seed=1), spacing, codes)
    case = prepare(content, style)
    assert case.y.shape == case.style.shape == case.mask.shape == case.style_mask.shape == (4, 72, 64)
    assert {a.dtype for a in (case.y, case.style, case.mask, case.style_mask)} == {np.dtype(np.float32)}
    assert 0 <= case.style.min() <= case.style.max() <= 1
    for y, style_slice, mask, style_mask in zip(case.y, case.style, case.mask, case.style_mask, strict=True):
        assert correlation(y, style_slice) > 0.9
        overlap = 2 * (mask * style_mask).sum() / (mask.sum() + style_mask.sum())
        assert overlap > 0.95
        # The spot at the anterior right is in the upper right of both.
        spot = ndimage.gaussian_filter(style_slice, 2)
        row, column = np.unravel_index(spot.argmax(), spot.shape)
        assert row < 36
        assert column > 32


def test_matching_slices():
    full = np.ones(4, bool)
    np.testing.assert_array_equal(matching_slices(full, full), [0, 1, 2, 3])
    np.testing.assert_array_equal(matching_slices(full, np.ones(8, bool)), [1, 3, 5, 7])
    np.testing.assert_array_equal(matching_slices(full, np.ones(1, bool)), [0, 0, 0, 0])
    np.testing.assert_array_equal(matching_slices(full, np.array([0, 0, 1, 1], bool)), [2, 2, 2, 3])
    # Air above the content's head shifts nothing.
    np.testing.assert_array_equal(matching_slices(np.array([1, 1, 0, 0], bool), np.ones(6, bool))[:2], [1, 4])
    assert matching_slices(np.zeros(3, bool), np.ones(9, bool)).tolist() == [1, 4, 7]


def test_a_finer_style_is_smoothed_before_it_is_sampled(tmp_path):
    """Stripes finer than the content's pixels average out; sampled without smoothing they would alias."""
    paths = []
    for name, n, size in (("c", 40, 2.0), ("s", 160, 0.5)):
        data = np.zeros((n, n, 2))
        data[n // 4 : -n // 4, n // 4 : -n // 4] = 1
        if name == "s":
            data[::2] *= 0.2
        paths.append(save(tmp_path / f"{name}.nii", data, (size, size, 5.0)))
    case = prepare(*paths)
    inside = ndimage.binary_erosion(case.style_mask[0] > 0, iterations=3)
    assert case.style[0][inside].std() < 0.1


def test_style_is_padded_with_air(tmp_path, content):
    style = save(tmp_path / "style.nii.gz", phantom((56, 60, 4), (1.5, 1.5, 8.0), noise=0), (1.5, 1.5, 8.0))
    case = prepare(content, style)
    assert (case.style[:, 0] == 0).all()
    assert case.style_mask[:, 0].sum() == 0


def test_prepare_style_needs_a_head(tmp_path, content):
    slices = to_slices(nifti.read(content))
    masks = masks_of(slices)
    with pytest.raises(ValueError, match="no head"):
        prepare_style(slices, slices, np.zeros_like(masks), masks)


def test_scaling_is_robust_and_inverts():
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 120, 120), bool)
    masks[:, 10:110, 10:110] = True  # three spikes are less than the 0.05 percent that are clipped
    stack = np.where(masks, rng.uniform(100, 300, masks.shape), 5.0).astype(np.float32)
    clean = robust_scaling(stack, masks)
    assert clean.lo == 5  # air: no tissue is darker
    assert 299 < clean.hi < 300
    stack[0, 20, 20:23], stack[1, 0, 0] = 1e6, -1e6
    spiked = robust_scaling(stack, masks)
    assert abs(spiked.hi - clean.hi) < 2
    assert spiked.lo == 5
    dark = np.where(masks, stack, 200).astype(np.float32)
    assert 100 < robust_scaling(dark, masks).lo < 103  # tissue darker than the outside
    inside = np.clip(stack, spiked.lo, spiked.hi)
    np.testing.assert_allclose(spiked.invert(spiked.apply(stack)), inside, rtol=1e-5)
    assert spiked.apply(stack).dtype == np.float32


def test_scaling_without_a_head_takes_everything():
    stack = np.linspace(0, 1, 100, dtype=np.float32).reshape(1, 10, 10)
    scaling = robust_scaling(stack, np.zeros_like(stack, bool))
    assert 0 <= scaling.lo < scaling.hi <= 1
    lone = np.zeros((1, 64, 64), np.float32)
    lone[0, 3, 3] = 1
    assert robust_scaling(lone, np.zeros_like(lone, bool)).hi > 0.9
    with pytest.raises(ValueError, match="constant"):
        robust_scaling(np.ones_like(stack), np.zeros_like(stack, bool))


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SPL"])
def test_slices_asked_for_are_the_files_own(tmp_path, codes):
    spacing = (1.5, 1.5, 8.0)
    path = save(tmp_path / "c.nii.gz", phantom((64, 72, 5), spacing), spacing, codes)
    whole, part = prepare(path, path), prepare(path, path, wanted=(1, 3))
    assert sorted(part.numbers) == [1, 2]
    axis = part.slices.axis
    np.testing.assert_array_equal(part.content.data, np.take(whole.content.data, [1, 2], axis))
    # A slice is scaled and styled the same alone and with the others.
    at = [whole.numbers.index(n) for n in part.numbers]
    np.testing.assert_array_equal(part.y, whole.y[at])
    np.testing.assert_array_equal(part.style, whole.style[at])
    np.testing.assert_array_equal(part.receive_field, whole.receive_field[at])
    written = part.volume(part.y)
    assert written.shape == part.content.data.shape
    np.testing.assert_allclose(written, np.clip(part.content.data, part.scaling.lo, part.scaling.hi), rtol=1e-4)


@pytest.mark.parametrize("wanted", [(2, 2), (3, 1), (0, 5), (4, None)])
def test_range_outside_the_volume(content, wanted):
    with pytest.raises(UsageError, match="give 0:4"):
        prepare(content, content, wanted=wanted)


def test_air_slices_are_copied(tmp_path):
    spacing = (1.5, 1.5, 8.0)
    data = phantom((64, 72, 4), spacing, noise=0.05)
    data[..., 3] = 40 * np.abs(np.random.default_rng(5).normal(size=(64, 72)))
    path = save(tmp_path / "c.nii.gz", data, spacing)
    case = prepare(path, path)
    assert case.heads.tolist() == [True, True, True, False]
    assert len(case.y) == 3
    assert any("slice 3" in warning for warning in case.warnings)
    np.testing.assert_array_equal(case.volume(np.zeros_like(case.y))[..., 3], case.content.data[..., 3])


def test_a_mask_of_a_few_pixels_is_no_head(tmp_path, content):
    given = nifti.read(content)
    mask = np.zeros(given.data.shape, np.float32)
    mask[20:40, 25:50, :3] = 1
    mask[20:25, 25:30, 3] = 1
    nifti.write(tmp_path / "mask.nii.gz", mask, given)
    case = prepare(content, content, tmp_path / "mask.nii.gz")
    assert case.heads.tolist() == [True, True, True, False]
    (told,) = (warning for warning in case.warnings if "slice 3" in warning)
    assert told.endswith("the mask has fewer than 64 pixels in slice 3; copied as it is")


@pytest.mark.parametrize(("added", "words"), [(-300.0, "voxels are below 0"), (300.0, "its air is bright"), (0.0, "")])
def test_what_is_no_magnitude_image_is_told(tmp_path, added, words):
    spacing = (1.5, 1.5, 8.0)
    path = save(tmp_path / "c.nii.gz", phantom((64, 72, 3), spacing, noise=0.05) + added, spacing)
    told = [warning for warning in prepare(path, path).warnings if "noise is overestimated" in warning]
    assert len(told) == bool(words)
    assert all(words in warning for warning in told)


def test_sizes_are_in_millimetres_whatever_the_unit(tmp_path, content):
    given = nib.load(content)
    given.header.set_xyzt_units("meter")
    for form in (given.get_sform, given.get_qform):
        affine = form()
        affine[:3] /= 1000
        (given.set_sform if form == given.get_sform else given.set_qform)(affine, 1)
    nib.save(given, tmp_path / "m.nii.gz")
    found, expected = (to_slices(nifti.read(path)) for path in (tmp_path / "m.nii.gz", content))
    np.testing.assert_allclose((*found.zooms, found.slice_mm), (*expected.zooms, expected.slice_mm), rtol=1e-5)


def test_mask_of_the_user(tmp_path, content):
    given = nifti.read(content)
    mask = np.zeros(given.data.shape, np.float32)
    mask[20:40, 25:50] = 1
    nifti.write(tmp_path / "mask.nii.gz", mask, given)
    case = prepare(content, content, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(case.mask, to_slices(nifti.Volume(mask, given.affine, given.header, content)).stack)

    ones = tmp_path / "ones.nii.gz"
    nifti.write(ones, np.ones_like(mask), given)
    assert prepare(content, content, ones).mask.min() == 1
    empty = tmp_path / "empty.nii.gz"
    nifti.write(empty, np.zeros_like(mask), given)
    with pytest.raises(RefusedInput, match="empty"):
        prepare(content, content, empty)
    other = save(tmp_path / "other.nii.gz", mask, (1.5, 1.5, 7.0))
    with pytest.raises(RefusedInput, match="resample the mask"):
        prepare(content, content, other)


def test_scans_without_a_head_or_too_small(tmp_path, content):
    air = np.abs(np.random.default_rng(0).normal(size=(64, 72, 4)))
    noise = save(tmp_path / "air.nii.gz", air, (1.5, 1.5, 8.0))
    with pytest.raises(RefusedInput, match=r"air\.nii\.gz: no head.*--mask"):
        prepare(noise, content)
    with pytest.raises(RefusedInput, match=r"air\.nii\.gz: no head.*another style"):
        prepare(content, noise)
    with pytest.raises(RefusedInput, match=r"4 x 64 pixels.*--plane"):
        prepare(content, content, plane="coronal")


def test_coarse_style_is_told(tmp_path, content):
    style = save(tmp_path / "style.nii.gz", phantom((32, 36, 4), (3.0, 3.0, 8.0)), (3.0, 3.0, 8.0))
    assert any("coarser" in warning for warning in prepare(content, style).warnings)
    assert not prepare(content, content).warnings


def test_style_of_another_contrast_or_plane_is_told(tmp_path, content):
    low = content.rename(tmp_path / "sub-1_acq-low_T2w.nii.gz")
    style = tmp_path / "sub-2_T1w.nii.gz"
    style.write_bytes(low.read_bytes())
    assert any("by its name a T1w, and the content a T2w" in warning for warning in prepare(low, style).warnings)
    same = style.rename(tmp_path / "sub-2_T2w.nii.gz")
    assert not prepare(low, same).warnings
    sagittal = save(tmp_path / "sagittal.nii.gz", phantom((20, 72, 40), (5.0, 1.5, 1.5)), (5.0, 1.5, 1.5))
    assert any(
        "taken in sagittal slices and is cut into axial" in warning for warning in prepare(low, sagittal).warnings
    )


def test_a_head_that_is_hardly_one_is_told(tmp_path, content):
    given = nifti.read(content)
    mask = np.ones(given.data.shape, np.float32)
    mask[..., 1] = 0
    mask[30:38, 30:38, 1] = 1
    nifti.write(tmp_path / "mask.nii.gz", mask, given)
    warnings = prepare(content, content, tmp_path / "mask.nii.gz").warnings
    assert any("fills less than 2% of slice 1;" in warning for warning in warnings)


def test_oblique_content_is_told(tmp_path, content):
    image = nib.load(content)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    path = tmp_path / "oblique.nii.gz"
    nib.save(nib.Nifti1Image(image.get_fdata(), turn @ image.affine), path)
    assert any("oblique by 29 degrees" in warning for warning in prepare(path, content).warnings)


def test_sidecar_names_files_without_folders(tmp_path, content):
    identity = provenance.identity(
        inputs={"content": content, "style": content},
        weights=content,
        config={"mu": 0.5},
        settings={"Plane": "axial"},
        device="cpu",
        seed=3,
    )
    record = provenance.sidecar(
        identity,
        found={"ZeroFilling": 2.0},
        evaluations=7,
        compile_seconds=1.0,
        run_seconds=2.0,
        slices=[{"Slice": 0, "Status": "max_steps", "Score": 1.5}],
    )
    text = json.dumps(record)
    assert str(tmp_path) not in text
    assert record["SyntheticImage"] is True
    assert record["Found"]["ZeroFilling"] == 2
    assert record["Sources"] == ["content.nii.gz", "content.nii.gz"]
    assert len(record["Inputs"]["content"]["SHA256"]) == 64
    assert "research use only" in record["Note"].lower()
    assert {"rnst_jax", "python", "jax", "jaxlib", "flax", "optax"} <= set(record["GeneratedBy"][0]["Packages"])


def test_a_brain_takes_the_style_slices_that_show_the_same():
    """The second slice of the style is mostly dark, as along a fissure: no slice of the content is like that."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 120, 120), bool)
    masks[:, 6:-6, 6:-6] = True
    content, style = (masks * rng.uniform(0.4, 0.9, masks.shape) for _ in range(2))
    style[1] *= rng.uniform(size=masks[1].shape) > 0.6
    slices = Slices(style.astype(np.float32), (1.0, 1.0), 8.0, "axial", (2, 1, 0), (False, False, False), 0.0)
    found = alike_slices(np.arange(3), slices, content, masks, masks)
    assert found[[0, 2]].tolist() == [0, 2]
    assert found[1] != 1
    like = dataclasses.replace(slices, stack=content.astype(np.float32))
    np.testing.assert_array_equal(prepare_style(slices, like, masks, masks, whole_heads=False).index, found)
    assert prepare_style(slices, like, masks, masks, whole_heads=True).index.tolist() == [0, 1, 2]
