"""The brightest of a whole head, spread as in the style, and of a brain, held back."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax import api
from rnst_jax.style import hold_highlights, spread_highlights

MASK = np.zeros((64, 64), np.float32)
MASK[4:-4, 4:-4] = 1


def image(steepness, seed=0):
    """A head whose brightest half percent rise ``steepness`` times as fast as the rest."""
    ranks = np.random.default_rng(seed).permutation(int(MASK.sum())) / MASK.sum()
    out = np.zeros_like(MASK)
    out[MASK > 0] = ranks + (steepness - 1) * np.maximum(ranks - 0.995, 0)
    return out


def spread(x, style, share=1.0, mask=MASK):
    return np.asarray(
        spread_highlights(jnp.asarray(x), jnp.asarray(mask), jnp.asarray(style), jnp.asarray(MASK), share)
    )


def hold(x, scan, style, share=1.0, mask=MASK, style_mask=MASK):
    images = [jnp.asarray(each, jnp.float32) for each in (x, scan, mask, style, style_mask)]
    return np.asarray(hold_highlights(*images, share))


def stands_out(x):
    inside = x[MASK > 0]
    return inside.max() / np.percentile(inside, 99.5) - 1


def test_they_stand_out_as_in_the_style_and_the_rest_stays():
    x, style = image(1), image(6, seed=1)
    out = spread(x, style)
    assert stands_out(x) < 0.25 * stands_out(style)
    assert stands_out(out) == pytest.approx(stands_out(style), rel=0.05)
    rest = x <= np.percentile(x[MASK > 0], 99.5)
    assert (out[rest] == x[rest]).all()
    assert (np.diff(out[MASK > 0][np.argsort(x[MASK > 0])]) >= 0).all(), "a rising map"


def test_what_stands_out_more_than_in_the_style_keeps_its_contrast():
    """It may be a lesion."""
    x = image(6)
    assert (spread(x, image(1, seed=1)) == x).all()


def test_one_hot_pixel_of_the_style_does_not_count_and_none_gets_brighter_than_it():
    x, hot = image(1), image(1, seed=1)
    hot[32, 32] = 10
    np.testing.assert_allclose(spread(x, hot), x, atol=1e-3)
    x[32, 32] = 1.3
    assert stands_out(spread(x, image(6, seed=1))) <= max(stands_out(x), stands_out(image(6, seed=1))) + 1e-6


def test_a_share_of_it_a_flat_image_and_an_empty_mask():
    x, style = image(1), image(6, seed=1)
    assert (spread(x, style, 0.0) == x).all()
    half = spread(x, style, 0.5)
    np.testing.assert_allclose(half, (x + spread(x, style)) / 2, atol=1e-6)
    for flat in (np.zeros_like(x), 0.5 * MASK):
        assert (spread(flat, style) == flat).all()
    assert (spread(x, style, mask=0 * MASK) == x).all()
    whole = spread_highlights(jnp.asarray(x[4:-4, 4:-4]), None, jnp.asarray(style[4:-4, 4:-4]), None)
    np.testing.assert_allclose(whole, spread(x, style)[4:-4, 4:-4], atol=1e-6)
    nothing = jnp.zeros((64, 64))
    assert (spread_highlights(jnp.asarray(x), jnp.asarray(MASK), jnp.asarray(style), nothing) == x).all()


@pytest.mark.parametrize(("scan", "style", "most"), [(1, 2, 2), (3, 2, 3), (0.5, 1, 1)])
def test_a_brain_s_stand_out_no_more_than_in_the_style_or_the_scan(scan, style, most):
    x = image(6)
    out = hold(x, 700 * image(scan, seed=2), image(style, seed=1))
    assert stands_out(out) == pytest.approx(stands_out(image(most)), rel=0.02)
    rest = x <= np.percentile(x[MASK > 0], 99.5)
    assert (out[rest] == x[rest]).all()
    assert (np.diff(out[MASK > 0][np.argsort(x[MASK > 0])]) >= 0).all(), "a rising map"


def test_a_lesion_of_the_scan_keeps_its_contrast_and_no_contrast_is_made():
    for scan, style in ((6, 1), (1, 6), (8, 8)):
        assert (hold(image(6), image(scan, seed=2), image(style, seed=1)) == image(6)).all()


def test_a_share_of_holding_flat_images_and_empty_masks():
    x, flat = image(6), image(1, seed=1)
    assert (hold(x, flat, flat, 0.0) == x).all()
    np.testing.assert_allclose(hold(x, flat, flat, 0.5), (x + hold(x, flat, flat)) / 2, atol=1e-6)
    assert (hold(0.5 * MASK, flat, flat) == 0.5 * MASK).all()
    for nothing in ({"mask": 0 * MASK}, {"style_mask": 0 * MASK}):
        assert (hold(x, flat, flat, **nothing) == x).all()
    for black in ((0 * x, flat), (flat, 0 * x)):
        assert (hold(x, *black) == x).all()
    inner = [jnp.asarray(each[4:-4, 4:-4]) for each in (x, flat)]
    whole = hold_highlights(inner[0], inner[1], None, inner[1], None)
    np.testing.assert_allclose(whole, hold(x, flat, flat)[4:-4, 4:-4], atol=1e-6)


QUICK = dataclasses.replace(
    rnst.presets.get("fast"), denoiser="identity", native=1, sharpening=0.0, beta=0.0, depths=(1,), endpoints=0.0
)


@pytest.mark.parametrize("whole_heads", [True, False])
def test_only_brains_are_held(whole_heads):
    start, scan = 0.9 * image(6)[None], image(1)[None]
    options = {"mask": MASK[None], "style_mask": MASK[None], "whole_heads": whole_heads, "rim": 0 * scan}
    options |= {"field": np.ones_like(scan), "sigma": 0.0, "x0": start, "preset": QUICK}
    result = np.asarray(api.reconstruct(scan, image(1, seed=1)[None], **options).image)[0]
    assert stands_out(result) == pytest.approx(stands_out(image(6 if whole_heads else 1)), rel=0.02)


@pytest.mark.parametrize(("whole_heads", "changed"), [(True, True), (False, False)])
def test_only_whole_heads_have_them(whole_heads, changed):
    x, style = image(1)[None], image(6, seed=1)[None]
    options = {"mask": MASK[None], "style_mask": MASK[None], "whole_heads": whole_heads}
    options |= {"field": np.ones_like(x), "sigma": 0.0}
    images = [
        np.asarray(api.reconstruct(x, style, preset=dataclasses.replace(QUICK, highlights=share), **options).image)
        for share in (0.0, 1.0)
    ]
    assert (np.abs(images[1] - images[0]).max() > 0.01) == changed
