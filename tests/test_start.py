"""What is made of a denoised start before the style engine sees it, and how far noise lets the style count."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax import api, denoise
from rnst_jax.filters import gaussian_weights, separable
from rnst_jax.style import align_endpoints, likeness
from tests.phantoms import head
from tests.tables import SHALLOW

QUICK = dataclasses.replace(
    rnst.presets.get("fast"), denoiser="gaussian", native=1, depths=(2,), bias_correction=False, **SHALLOW
)
MASK = np.zeros((48, 40), np.float32)
MASK[6:-6, 6:-6] = 1


def tissues(low, high, seed):
    """A brain of intensities from low to high, air 0."""
    return (MASK * np.random.default_rng(seed).uniform(low, high, MASK.shape)).astype(np.float32)


def test_endpoints_become_those_of_the_style():
    style = tissues(0.05, 0.9, 1)
    x = MASK * (0.3 + 0.45 * style)  # the same tissues, closer to each other
    out = np.asarray(align_endpoints(jnp.asarray(x), MASK, jnp.asarray(style), MASK))
    found, wanted = (np.percentile(image[MASK > 0], (0.5, 99.5)) for image in (out, style))
    np.testing.assert_allclose(found, wanted, atol=0.005)
    order = np.argsort(x[MASK > 0])
    assert (np.diff(out[MASK > 0][order]) >= 0).all(), "a rising map"
    assert (out[MASK == 0] == 0).all(), "air stays black"


def brain(levels, shares, seed, size=96):
    """Patches of fluid, grey and white matter, and the mask."""
    rng = np.random.default_rng(seed)
    patches = rng.choice(3, p=shares, size=(size // 8, size // 8)).repeat(8, 0).repeat(8, 1)
    image = np.asarray(levels)[patches] + rng.normal(scale=0.01, size=(size, size))
    return jnp.asarray(image, jnp.float32), np.ones((size, size), np.float32), patches


def test_the_middle_tissue_gets_the_contrast_of_the_style_whatever_its_share():
    """Grey is 0.88 of white matter at low field, and becomes about 0.74 of it."""
    x, mask, patches = brain((0.3, 0.84, 0.95), (0.1, 0.35, 0.55), 0)
    style = brain((0.2, 0.7, 0.95), (0.15, 0.55, 0.3), 1)[0]
    out = np.asarray(align_endpoints(x, mask, style, mask))
    grey, white = (float(np.median(out[patches == tissue])) for tissue in (1, 2))
    assert grey == pytest.approx(0.7, abs=0.015)
    assert grey / white < 0.77


def test_a_middle_tissue_that_is_dark_enough_is_not_lifted():
    x, mask, patches = brain((0.2, 0.6, 0.9), (0.2, 0.4, 0.4), 0)
    style = brain((0.2, 0.8, 0.9), (0.2, 0.4, 0.4), 1)[0]
    out = np.asarray(align_endpoints(x, mask, style, mask))
    assert np.median(out[patches == 1]) <= 0.61


def test_smeared_fluid_follows_the_style_a_part_of_the_way():
    """The style is another brain, its patches elsewhere. Blurred, more than the fluid is darker than the tissues."""
    shares = (0.08, 0.45, 0.47)
    sharp, mask, _ = brain((0.15, 0.7, 0.95), shares, 0)
    x, style = separable(sharp, gaussian_weights(1.5, 4)), brain((0.15, 0.7, 0.95), shares, 1)[0]
    line, tail = (np.asarray(align_endpoints(x, mask, style, mask, 1.0, tail)) for tail in (0.0, 0.5))
    of_line, of_tail, wanted = (np.percentile(image, (0.2, 10, 15, 60, 90)) for image in (line, tail, style))
    assert (of_line < wanted)[1:3].all(), "what is to be mended"
    assert (np.abs(of_tail - wanted) < 0.9 * np.abs(of_line - wanted))[1:3].all()
    assert (of_tail <= wanted)[1:3].all()
    np.testing.assert_allclose(of_tail[[0, 3, 4]], of_line[[0, 3, 4]], atol=1e-6)
    assert np.diff(tail.ravel()[np.argsort(np.ravel(x))]).min() > -1e-6, "a rising map"


@pytest.mark.parametrize(("native", "dark_tail"), [(1.0, 0.0), (1.5, 0.3)])
def test_what_lost_no_resolution_has_no_smeared_fluid(native, dark_tail):
    images = tissues(0.3, 0.7, 0)[None], tissues(0.1, 0.9, 1)[None]
    config = dataclasses.replace(QUICK, native=native, dark_tail=0.3)
    found = api.prepare(*images, preset=config, mask=MASK[None], whole_heads=False)
    assert found.shared[1].dark_tail == dark_tail


def test_likeness_sees_the_shape_of_a_distribution_and_not_its_scale():
    x = jnp.asarray(tissues(0.3, 0.7, 0))
    dark = x * jnp.asarray(np.random.default_rng(1).uniform(size=MASK.shape) > 0.6)
    assert likeness(x, MASK, 1.4 * x, MASK) == 1
    assert likeness(x, MASK, dark, MASK) == 0
    assert likeness(x, MASK, dark, MASK, 0.0) == 1
    distance = np.abs(
        np.diff([np.sort(np.asarray(i)[MASK > 0]) / np.asarray(i)[MASK > 0].max() for i in (dark, x)], axis=0)
    )
    assert likeness(x, MASK, dark, MASK, 1.5 / distance.mean()) == pytest.approx(0.5, abs=0.03)
    assert jnp.isfinite(jax.grad(lambda x: likeness(x, MASK, dark, MASK, 3.0))(x)).all()


def test_a_style_that_is_not_alike_changes_nothing():
    x = jnp.asarray(tissues(0.3, 0.7, 0))
    unlike = x * jnp.asarray(np.random.default_rng(1).uniform(size=MASK.shape) > 0.6)
    config = dataclasses.replace(QUICK, denoiser="identity", sharpening=0.0, caution=0.0)
    solver = rnst.presets.build(config, rnst.features.load("vgg16"))
    solver = dataclasses.replace(solver, endpoints=1.0, strictness=10.0)
    solve = jax.jit(functools.partial(rnst.solve, max_steps=1))

    def moved(style):
        mask = jnp.asarray(MASK)
        return np.abs(
            np.asarray(solve(rnst.Problem(x, style, mask, mask, rnst.physics.Identity(), 0.0), solver).image - x)
        )

    assert moved(unlike).max() == 0
    assert moved(jnp.asarray(tissues(0.05, 0.7, 2))).max() > 0.05


def test_a_style_with_a_narrower_range_does_not_narrow_that_of_the_scan():
    x, style = tissues(0.2, 0.8, 0), tissues(0.3, 0.6, 1)
    out = np.asarray(align_endpoints(jnp.asarray(x), MASK, jnp.asarray(style), MASK))
    inside = MASK > 0
    scale = np.percentile(style[inside], 99.5) / np.percentile(x[inside], 99.5)
    np.testing.assert_allclose(out, scale * x, rtol=0.01)


def test_the_darkest_alone_stretches_nothing():
    """As where the style's mask holds air: the darker tissues of both agree but for their scale."""
    x = tissues(0.3, 0.7, 0)
    style = 1.2 * x
    style[MASK > 0] *= np.random.default_rng(1).uniform(size=int(MASK.sum())) > 0.02
    out = np.asarray(align_endpoints(jnp.asarray(x), MASK, jnp.asarray(style), MASK))
    np.testing.assert_allclose(out, 1.2 * x, atol=0.03)
    assert out[MASK > 0].min() > 0.3


def test_no_share_changes_no_bit():
    x, style = tissues(0.3, 0.7, 0), tissues(0.05, 0.9, 1)
    assert (np.asarray(align_endpoints(jnp.asarray(x), MASK, jnp.asarray(style), MASK, 0.0)) == x).all()


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_head_without_contrast_is_not_stretched(value):
    x = jnp.asarray(0.4 * (1 - MASK) + value * MASK)
    style = jnp.asarray(tissues(0.1, 0.9, 1))
    out, slope = jax.jit(jax.value_and_grad(lambda x: align_endpoints(x, MASK, style, MASK).sum()))(x)
    assert jnp.isfinite(out)
    assert jnp.isfinite(slope).all()
    assert align_endpoints(x, MASK, style, MASK).max() < 1, "nor is the air around it"


@pytest.mark.parametrize(
    ("whole_head", "endpoints", "strictness"), [(True, None, None), (False, 1.0, QUICK.strictness)]
)
def test_endpoints_are_for_brains_without_a_scalp(whole_head, endpoints, strictness):
    images = tissues(0.3, 0.7, 0)[None], tissues(0.1, 0.9, 1)[None]
    found = api.prepare(*images, preset=QUICK, mask=MASK[None], whole_heads=whole_head)
    solver = found.shared[1]
    assert (solver.endpoints, solver.strictness) == (endpoints, strictness)


@pytest.mark.parametrize("whole_head", [True, False])
def test_skin_is_smeared_over_the_outline_and_a_brain_is_not(whole_head):
    config = dataclasses.replace(QUICK, margin=0.05)
    images = tissues(0.3, 0.7, 0)[None], tissues(0.1, 0.9, 1)[None]
    found = api.prepare(*images, preset=config, mask=MASK[None], whole_heads=whole_head)
    assert bool((np.asarray(found.batch.region[0]) == MASK).all()) is not whole_head


def test_a_solver_that_a_user_builds_leaves_the_start_alone():
    assert rnst.presets.build(QUICK, rnst.features.load("vgg16")).endpoints is None


def test_the_style_counts_less_where_there_is_noise():
    """The whole step is T(x) - x times mu beta / (1 + c sigma^2)."""
    x, style = jnp.asarray(tissues(0.3, 0.7, 0)), jnp.asarray(tissues(0.1, 0.9, 1))
    config = dataclasses.replace(QUICK, denoiser="identity", sharpening=0.0)
    extractor = rnst.features.load("vgg16")
    solve = jax.jit(functools.partial(rnst.solve, max_steps=1))

    def moved(caution, beta):
        solver = rnst.presets.build(dataclasses.replace(config, caution=caution, beta=beta), extractor)
        problem = rnst.Problem(x, style, jnp.asarray(MASK), jnp.asarray(MASK), rnst.physics.Identity(), 0.1)
        return np.asarray(solve(problem, solver).image - x)

    full = moved(0.0, 0.5)
    assert np.abs(full).max() > 0.01
    np.testing.assert_allclose(moved(100.0, 0.5), full / 2, atol=1e-6)
    np.testing.assert_allclose(moved(100.0, 1.0), full, atol=1e-6)


def test_sharpening_steepens_edges_and_fades_with_the_noise():
    x = jnp.asarray(head(64)[0], jnp.float32)
    sharp = jax.jit(denoise.Sharpened(denoise.Identity(), 0.5, caution=400.0))

    def added(sigma):
        return np.abs(np.asarray(sharp(x, sigma)) - np.asarray(x)).max()

    gradient = [np.abs(np.diff(image, axis=0)).max() for image in (np.asarray(x), np.asarray(sharp(x, 0.0)))]
    assert gradient[1] > 1.1 * gradient[0]
    assert added(0.05) == pytest.approx(added(0.0) / 2, rel=0.01)
    assert np.asarray(sharp(x, 0.0)).min() >= 0
