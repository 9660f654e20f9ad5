import nibabel as nib
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax import api
from rnst_jax.io.prepare import prepare
from rnst_jax.scalp import scalp_weight, shows_scalp

from .test_mask import head, rician


def brain(image, outline):
    """The same slice with scalp and skull cut away."""
    inside = scalp_weight(outline) < 0.5
    return np.where(inside & outline, image, 0.0), inside & outline


@pytest.mark.parametrize("scale", [1, 2])
def test_the_weight_covers_the_scalp_at_any_size(scale):
    image, outline = head(128 * scale, 112 * scale)
    weight = scalp_weight(outline)
    assert weight[image == 1].min() > 0.9
    assert weight[(image == 0.55) & (np.roll(image, 8 * scale, 0) == 0.55)].mean() < 0.1
    assert not weight[~outline].any()


def test_no_head_has_no_scalp():
    empty = np.zeros((32, 32), bool)
    assert not scalp_weight(empty).any()
    assert not shows_scalp(np.ones((1, 32, 32)), empty[None])


@pytest.mark.parametrize("sigma", [0, 0.05])
def test_a_whole_head_shows_a_scalp_and_a_brain_does_not(sigma):
    image, outline = head(256, 224)
    assert shows_scalp(rician(image, sigma)[None], outline[None])
    cut, inside = brain(image, outline)
    assert not shows_scalp(rician(cut, sigma)[None], inside[None])


def reconstruct(style, style_mask, **options):
    image, outline = head()
    noisy = rician(image, 0.05)
    return rnst.reconstruct(
        noisy[None] / noisy.max(),
        style[None],
        preset="fast",
        mask=outline[None],
        style_mask=style_mask[None],
        **options,
    ).image[0], scalp_weight(outline)


def test_fat_gains_where_the_style_shows_a_scalp_only():
    image, outline = head()
    image_of_a_head, weight = reconstruct(image, outline)
    without, _ = reconstruct(image, outline, scalp=np.zeros((1, *image.shape)))
    gain = rnst.presets.get("fast").fat_gain
    np.testing.assert_allclose(image_of_a_head, without * (1 + (gain - 1) * weight), rtol=1e-5)
    assert gain > 1

    of_a_brain, _ = reconstruct(*brain(image, outline))
    ones = reconstruct(*brain(image, outline), scalp=np.zeros((1, *image.shape)))[0]
    np.testing.assert_array_equal(of_a_brain, ones)


def test_one_mask_serves_a_batch():
    image, outline = head()
    batch = np.stack([image, image[:, ::-1]])
    result = api.reconstruct(
        batch, image[None], preset="fast", mask=outline[None], style_mask=outline[None], sigma=0.02
    )
    assert result.image.shape == batch.shape


@pytest.mark.parametrize("air", [0.0, 1.0])
def test_a_file_whose_air_is_zero_is_taken_for_a_brain_without_its_head(tmp_path, air):
    paths = [tmp_path / f"{name}.nii.gz" for name in ("content", "style")]
    for path, noise in zip(paths, (air * 0.05, 0), strict=True):
        slices = [rician(head()[0], noise, seed) for seed in range(2)]
        nib.save(nib.Nifti1Image(np.stack(slices, -1), np.diag([2.0, 2.0, 6.0, 1.0])), path)
    assert prepare(*paths).stripped == (air == 0)
