import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import rnst_jax as rnst
from rnst_jax.io.prepare import prepare
from rnst_jax.scalp import grow, rim_weight, shows_scalp, to_high_field, whole_heads

from .tables import shallow, short
from .test_mask import head, rician

CONFIG = short("fast", steps=1, depths=(2,), denoiser="gaussian")


def brain(image, outline):
    """The same slice with scalp and skull cut away."""
    inside = ndimage.distance_transform_edt(outline) > 0.11 * np.sqrt(outline.sum())
    return np.where(inside, image, 0.0), inside


@pytest.mark.parametrize("scale", [1, 2])
def test_the_weight_covers_scalp_and_skull_at_any_size(scale):
    image, outline = head(128 * scale, 112 * scale)
    weight = rim_weight(outline)
    assert weight[image == 1].min() > 0.9
    assert weight[image == 0.05].min() > 0.6
    assert weight[image == 0.15].max() < 0.01
    assert not weight[~outline].any()


def test_a_mask_grows_by_its_margin_and_an_empty_one_does_not():
    _, outline = head()
    grown = grow(outline, 0.03)
    reach = 0.03 * np.sqrt(outline.sum())
    assert (grown & outline).sum() == outline.sum()
    assert grown[ndimage.distance_transform_edt(~outline) <= reach].all()
    assert not grown[ndimage.distance_transform_edt(~outline) > reach].any()
    assert not grow(np.zeros((8, 8), bool), 0.5).any()


def test_the_change_of_the_field_keeps_the_order_at_every_depth():
    tones = np.linspace(0, 1, 50)
    for weight in (0.0, 0.5, 1.0):
        rim = np.full((50, 1), weight).astype(np.float32)
        changed = np.asarray(to_high_field(np.stack([tones, tones], 1), np.c_[rim, np.ones_like(rim)], 1.3, 1.5))
        assert (np.diff(changed, axis=0) > 0).all()
    same = to_high_field(tones[:, None], np.zeros((50, 1)), 1.3, 1.5)
    np.testing.assert_array_equal(same, tones[:, None].astype(np.float32))


def test_no_head_has_no_scalp():
    empty = np.zeros((32, 32), bool)
    assert not rim_weight(empty).any()
    assert not shows_scalp(np.ones((1, 32, 32)), empty[None])


@pytest.mark.parametrize("size", [16, 32, 48, 64])
def test_a_small_brain_shows_no_scalp(size):
    # its shells are thinner than a pixel, and some hold none
    depth = 0.45 * size - np.hypot(*np.mgrid[-size // 2 : size // 2, -size // 2 : size // 2])[None]
    assert not shows_scalp(np.ones_like(depth), depth > 0)


@pytest.mark.parametrize("sigma", [0, 0.05])
def test_a_whole_head_shows_a_scalp_and_a_brain_does_not(sigma):
    image, outline = head(256, 224)
    assert shows_scalp(rician(image, sigma)[None], outline[None])
    cut, inside = brain(image, outline)
    assert not shows_scalp(rician(cut, sigma)[None], inside[None])


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_marrow_as_bright_as_fat_is_no_brain_without_its_scalp(noise):
    # as high in the head; the noise in air says that nothing was cut away
    image, outline = head(256, 224)
    skull = outline & (image == 0.05)
    assert skull.any()
    image[skull] = 0.9
    images = rician(image, noise)[None]
    assert not shows_scalp(images, outline[None])
    assert whole_heads(images, outline[None]) == (noise > 0)


def test_air_is_looked_at_near_the_head_only():
    image, outline = head(256, 224)
    cut, inside = brain(image, outline)
    far = ndimage.distance_transform_edt(~inside) > 0.2 * np.sqrt(inside.sum())
    assert not whole_heads(np.where(far, 0.1, cut)[None], inside[None])
    assert whole_heads(np.where(far, 0.0, rician(cut, 0.02))[None], inside[None])


def reconstruct(style, style_mask, **options):
    """Of a batch of two, with one mask and one style for both, the first."""
    image, outline = head()
    noisy = rician(image, 0.05)
    result = rnst.reconstruct(
        np.stack([noisy, noisy[:, ::-1]]) / noisy.max(),
        style[None],
        preset=CONFIG,
        extractor=shallow(),
        mask=outline[None],
        style_mask=style_mask[None],
        **options,
    )
    assert result.image.shape == (2, *image.shape)
    return result.image[0], rim_weight(grow(outline, CONFIG.margin))


def test_the_rim_changes_where_the_style_shows_a_scalp_only():
    image, outline = head()
    image_of_a_head, weight = reconstruct(image, outline)
    without, _ = reconstruct(image, outline, rim=np.zeros((2, *image.shape)))
    config = CONFIG
    changed = to_high_field(without, weight, config.rim_gain, config.brain_darkening)
    np.testing.assert_allclose(image_of_a_head, changed, rtol=1e-5)
    assert config.rim_gain > 1
    assert config.brain_darkening > 1

    of_a_brain, _ = reconstruct(*brain(image, outline))
    off = reconstruct(*brain(image, outline), rim=np.zeros((2, *image.shape)))[0]
    np.testing.assert_array_equal(of_a_brain, off)


def test_the_head_is_kept_a_margin_beyond_its_mask():
    image, outline = head()
    result, _ = reconstruct(image, outline)
    region = grow(outline, CONFIG.margin)
    assert region.sum() > outline.sum()
    assert not np.asarray(result)[~region].any()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_file_without_a_skull_whose_air_is_zero_is_taken_for_a_brain_without_its_head(tmp_path, cut, noise):
    whole = head(192, 168)
    content = brain(*whole)[0] if cut else whole[0]
    paths = [tmp_path / f"{name}.nii.gz" for name in ("content", "style")]
    for path, image, sigma in zip(paths, (content, whole[0]), (noise, 0), strict=True):
        slices = [rician(image, sigma, seed) for seed in range(2)]
        nib.save(nib.Nifti1Image(np.stack(slices, -1), np.diag([1.0, 1.0, 6.0, 1.0])), path)
    case = prepare(*paths)
    assert case.stripped == (cut and noise == 0)
    assert case.style_has_scalp
    assert any("--anatomy" in warning for warning in case.warnings) == case.stripped
    other_way = any("--anatomy" in warning for warning in prepare(*paths[::-1]).warnings)
    assert other_way == case.stripped
    told = prepare(*paths, shows="brain")
    assert (told.stripped, told.style_has_scalp) == (True, False)
    assert not any("--anatomy" in warning for warning in told.warnings)
