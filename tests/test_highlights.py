"""The brightest of a whole head, spread as in the style, and of a brain, held back."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax import api
from rnst_jax.style import highlight_limit, hold_highlights, spread_highlights
from tests.tables import shallow, short

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


def hold(x, most, share=1.0, mask=MASK):
    return np.asarray(hold_highlights(jnp.asarray(x), jnp.asarray(mask), most, share))


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


@pytest.mark.parametrize("most", [1.0, 1.01, 1.025])
def test_a_brain_s_stand_out_no_more_than_they_may(most):
    x = image(6)
    out, b = hold(x, most), np.percentile(x[MASK > 0], 99.5)
    assert out.max() == pytest.approx(most * b, rel=1e-6)
    rest = x <= b
    assert (out[rest] == x[rest]).all()
    assert (np.diff(out[MASK > 0][np.argsort(x[MASK > 0])]) >= 0).all(), "a rising map"


def test_no_contrast_is_made_and_nothing_is_done_without_knowing():
    for most in (1.1, np.nan, np.inf):
        assert (hold(image(6), most) == image(6)).all()
    for flat in (0 * MASK, 0.5 * MASK):
        assert (hold(flat, 1.0) == flat).all()
    assert (hold(image(6), 1.0, mask=0 * MASK) == image(6)).all()


def limit(scan, style, mask=MASK, style_mask=MASK):
    return float(highlight_limit(*(jnp.asarray(each, jnp.float32) for each in (scan, mask, style, style_mask))))


def test_the_limit_is_what_stands_out_in_the_scan_or_the_style():
    low, high = image(1), image(6, seed=1)
    assert limit(700 * low, low) == pytest.approx(1 + stands_out(low), abs=1e-6)
    for pair in ((low, 0.2 * high), (0.2 * high, low)):
        assert limit(*pair) == pytest.approx(1 + stands_out(high), abs=1e-6)


def test_a_scan_that_was_cut_off_sets_no_limit():
    scan, style = image(6), image(1)
    inside = np.sort(scan[MASK > 0])
    few, many = (scan.clip(0, inside[-n]) for n in (3, 12))  # of 3136 pixels
    assert limit(few, style) == pytest.approx(few.max() / np.percentile(inside, 99.5), abs=1e-6)
    assert limit(many, style) == np.inf
    assert np.isfinite(limit(style, many)), "a style may be"
    for nothing in ({"mask": 0 * MASK}, {"style_mask": 0 * MASK}):
        assert not np.isfinite(limit(scan, style, **nothing))
    assert not np.isfinite(limit(0 * scan, style))


def test_a_share_of_holding_and_no_mask():
    x = image(6)
    assert (hold(x, 1.01, 0.0) == x).all()
    np.testing.assert_allclose(hold(x, 1.01, 0.5), (x + hold(x, 1.01)) / 2, atol=1e-6)
    inner = jnp.asarray(x[4:-4, 4:-4])
    np.testing.assert_allclose(hold_highlights(inner, None, 1.01), hold(x, 1.01)[4:-4, 4:-4], atol=1e-6)


QUICK = short("fast", denoiser="identity", native=1, sharpening=0.0, beta=0.0, depths=(1,), endpoints=0.0)


@pytest.mark.parametrize(
    ("whole_heads", "scan", "style", "most"), [(True, 1, 1, 6), (False, 1, 1, 1), (False, 1, 3, 3), (False, 4, 1, 4)]
)
def test_brains_are_held_to_where_they_stand_out_in_the_scan_or_the_style(whole_heads, scan, style, most):
    """Above all, a lesion that stands out in the scan is not dimmed for a style without one."""
    options = {"mask": MASK[None], "style_mask": MASK[None], "whole_heads": whole_heads, "rim": 0 * MASK[None]}
    options |= {"field": np.ones_like(MASK)[None], "sigma": 0.0, "x0": 0.9 * image(6)[None], "preset": QUICK}
    options |= {"extractor": shallow()}
    result = api.reconstruct(0.7 * image(scan, seed=2)[None], image(style, seed=1)[None], **options)
    assert stands_out(np.asarray(result.image)[0]) == pytest.approx(stands_out(image(most)), rel=0.02)


@pytest.mark.parametrize(("whole_heads", "changed"), [(True, True), (False, False)])
def test_only_whole_heads_have_them(whole_heads, changed):
    x, style = image(1)[None], image(6, seed=1)[None]
    options = {"mask": MASK[None], "style_mask": MASK[None], "whole_heads": whole_heads}
    options |= {"field": np.ones_like(x), "sigma": 0.0, "extractor": shallow()}
    images = [
        np.asarray(api.reconstruct(x, style, preset=dataclasses.replace(QUICK, highlights=share), **options).image)
        for share in (0.0, 1.0)
    ]
    assert (np.abs(images[1] - images[0]).max() > 0.01) == changed
