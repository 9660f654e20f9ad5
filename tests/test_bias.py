"""The receive field against fields that were put in, and where a reconstruction divides by it."""

import dataclasses

import nibabel as nib
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax.bias import receive_field
from rnst_jax.cli import solving as command
from rnst_jax.io.prepare import prepare
from rnst_jax.physics import Blur
from rnst_jax.physics.resample import gaussian_kernel

from .tables import shallow, short
from .test_mask import head, rician
from .test_scalp import brain

CONFIG = short("fast", steps=1, depths=(2,), denoiser="gaussian")
ROWS, COLS = np.mgrid[-1:1:128j, -1:1:112j]
SHADINGS = {"slope": 0.25 * ROWS - 0.15 * COLS, "bowl": -0.35 * (ROWS**2 + COLS**2)}


def tissues(sigma, seed=0):
    """A head whose brain has two tissues that are spread over all of it."""
    image, outline = head()
    folds = np.cos(16 * ROWS) * np.cos(14 * COLS) > 0
    return rician(np.where((image == 0.55) & folds, 0.8, image), sigma, seed), outline


def spread(logarithm, mask):
    return np.std(logarithm[mask])


@pytest.mark.parametrize("name", SHADINGS)
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_most_of_a_shading_is_found(name, sigma):
    shading = SHADINGS[name]
    stack = np.stack([tissues(sigma, seed)[0] * np.exp(shading) for seed in range(3)])
    mask = tissues(sigma)[1]
    field = receive_field(stack, np.stack([mask] * 3))
    assert field.shape == stack.shape
    np.testing.assert_array_equal(field[0], field[2])
    np.testing.assert_allclose(np.mean(np.log(field[0])[mask]), 0, atol=1e-3)
    assert spread(np.log(field[0]) - shading, mask) < 0.45 * spread(shading, mask)


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_nothing_is_found_where_there_is_no_shading(sigma):
    image, mask = tissues(sigma)
    assert spread(np.log(receive_field(image[None], mask[None])[0]), mask) < 0.02


def test_the_unit_and_the_place_of_the_head_do_not_matter():
    image, mask = tissues(0.05)
    image = image * np.exp(SHADINGS["slope"])
    field = receive_field(image[None], mask[None])[0]
    np.testing.assert_allclose(receive_field(700 * image[None], mask[None])[0], field, rtol=2e-4)
    moved = receive_field(np.roll(image, (5, -6), (0, 1))[None], np.roll(mask, (5, -6), (0, 1))[None])[0]
    np.testing.assert_allclose(np.roll(moved, (-5, 6), (0, 1))[mask], field[mask], rtol=2e-2)


@pytest.mark.parametrize("image", [np.zeros((32, 32)), np.ones((32, 32))])
def test_no_head_or_an_empty_one_gives_a_flat_field(image):
    np.testing.assert_array_equal(receive_field(image[None], np.zeros((1, 32, 32), bool)), 1)
    np.testing.assert_allclose(receive_field(image[None], np.ones((1, 32, 32), bool)), 1, atol=1e-6)


def reconstruct(style, style_mask, preset=CONFIG, **options):
    image, mask = tissues(0.05)
    image = np.clip(image * np.exp(SHADINGS["bowl"]) / 1.2, 0, 1)
    options = {"mask": mask[None], "style_mask": style_mask[None], "sigma": 0.05, "extractor": shallow()} | options
    return np.asarray(rnst.reconstruct(image[None], style[None], preset=preset, **options).image[0])


def test_a_scan_is_corrected_where_the_style_shows_a_scalp():
    image, mask = tissues(0.05)
    shaded = np.clip(image * np.exp(SHADINGS["bowl"]) / 1.2, 0, 1)
    field = receive_field(shaded.astype(np.float32)[None], mask[None])
    off = dataclasses.replace(CONFIG, bias_correction=False)
    style, outline = head()
    corrected, plain = reconstruct(style, outline), reconstruct(style, outline, off)
    np.testing.assert_array_equal(corrected, reconstruct(style, outline, off, field=field))
    assert np.abs(corrected - plain)[mask].max() > 0.03
    np.testing.assert_array_equal(plain, reconstruct(style, outline, field=np.ones((1, *image.shape))))

    of_a_brain = brain(style, outline)
    np.testing.assert_array_equal(reconstruct(*of_a_brain), reconstruct(*of_a_brain, off))


@pytest.mark.parametrize("air", [0.0, 1.0])
def test_the_command_line_leaves_a_brain_without_its_head_alone(tmp_path, air):
    paths = [tmp_path / f"{name}.nii.gz" for name in ("content", "style")]
    cut, _ = brain(*tissues(0))
    slices = [np.exp(SHADINGS["bowl"]) * rician(cut, air * 0.05, seed) for seed in range(2)]
    for path, stack in zip(paths, (slices, [head()[0]] * 2), strict=True):
        nib.save(nib.Nifti1Image(np.stack(stack, -1), np.diag([2.0, 2.0, 6.0, 1.0])), path)
    field = command.findings(prepare(*paths), CONFIG).field
    assert (np.ptp(field) > 0.1) == (air > 0)
    assert command.findings(prepare(*paths), dataclasses.replace(CONFIG, bias_correction=False)).field is None


def test_a_field_beside_a_forward_model_is_refused():
    image, mask = head()
    with pytest.raises(ValueError, match="divided out of images only"):
        reconstruct(image, mask, physics=Blur(gaussian_kernel(1.0, 3), image.shape), field=np.ones((1, *image.shape)))
