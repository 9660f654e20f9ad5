"""What a result may be trusted for: lesions stay, nothing of a style's anatomy gets in, the misfit is noise.

All results come from one batch of the preset `fast`, with its two shallowest taps, which compile quickly: phantoms of
80 x 80 pixels with Rician noise of 0.05, the brightest tissue near 0.9. What is compared lies inside the rim, where the
model says that the result is a rising map of D(y).
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from scipy import ndimage

import rnst_jax as rnst
from rnst_jax import trust
from rnst_jax.bias import receive_field
from rnst_jax.scalp import grow, rim_weight

from .phantoms import head
from .test_mask import rician

SIZE, SIGMA = 80, 0.05
PLACE, ELSEWHERE = (50, 30), (33, 52)
RADIUS = 3
CLEAN = {contrast: head(SIZE, contrast, texture=0.01)[0] for contrast in ("T1w", "T2w")}
HEAD = head(SIZE)[1]
# where the weight of the rim is below 1 %
INSIDE = HEAD & (rim_weight(HEAD) < 0.01)
TAPS = {"style_taps": ("conv1_1", "conv2_1"), "content_taps": ("conv2_1",)}
CONFIG = dataclasses.replace(rnst.presets.get("fast"), native=1, **TAPS)


def lesion(image, contrast, place=PLACE):
    return np.asarray(trust.add_lesion(image, place, RADIUS, contrast))


def distance(place):
    return np.hypot(*(np.mgrid[:SIZE, :SIZE] - np.array(place)[:, None, None]))


class Case(NamedTuple):
    content: np.ndarray
    style: np.ndarray


def styles():
    """Of the own kind of anatomy, with a lesion, and of other anatomy: mirrored, ventricles larger and lower."""
    own = head(SIZE, "T1w", subject=3)[0]
    other = ndimage.shift(head(SIZE, "T1w", subject=5)[0], (6, 4), order=1)
    rows, cols = np.mgrid[:SIZE, :SIZE]
    ventricle = np.hypot((rows - 50) / 13, (cols - 48) / 6) < 1
    return own, lesion(own, -0.4, ELSEWHERE), np.where(ventricle, 0.15, other * HEAD)[:, ::-1].astype(np.float32)


OWN, WITH_LESION, OTHER = styles()
T2W = head(SIZE, "T2w", subject=3)[0]
CASES = {
    "T1w": Case(CLEAN["T1w"], OWN),
    "T1w dark": Case(lesion(CLEAN["T1w"], -0.25), OWN),
    "T1w bright": Case(lesion(CLEAN["T1w"], 0.2), OWN),
    "T2w": Case(CLEAN["T2w"], T2W),
    "T2w bright": Case(lesion(CLEAN["T2w"], 0.3), T2W),
    "T2w dark": Case(lesion(CLEAN["T2w"], -0.2), T2W),
    "lesion in the style": Case(CLEAN["T1w"], WITH_LESION),
    "other anatomy": Case(CLEAN["T1w"], OTHER),
}
NOISY = {name: rician(case.content, SIGMA, seed=1).astype(np.float32) for name, case in CASES.items()}
# what the result is to be compared with: the scan without its receive field
EVEN = {name: y / receive_field(y[None], HEAD[None])[0] for name, y in NOISY.items()}


def reconstruct(names, config):
    result = rnst.reconstruct(
        np.stack([NOISY[name] for name in names]),
        np.stack([CASES[name].style for name in names]),
        preset=config,
        mask=HEAD[None],
        style_mask=HEAD[None],
        sigma=SIGMA,
    )
    return dict(zip(names, np.asarray(result.image), strict=True))


@pytest.fixture(scope="module")
def results():
    return reconstruct(list(CASES), CONFIG)


@pytest.fixture(scope="module")
def free():
    """Plain style transfer: every pixel free, much style, the same styles."""
    config = dataclasses.replace(
        CONFIG,
        parametrisation="pixels",
        reduce=1,
        style_weight=5000.0,
        depths=(24,),
        beta=1.0,
        caution=0.0,
        sharpening=0.0,
        endpoints=0.0,
        lam=0.0,
        denoiser="identity",
        learning_rate=0.02,
    )
    return reconstruct(["T1w", "other anatomy"], config)


@pytest.fixture(scope="module")
def denoised():
    """D(y / b), as the preset computes it."""
    region = grow(HEAD, CONFIG.margin)
    denoiser = rnst.presets.build(CONFIG, rnst.features.load("vgg16")).denoised.denoiser
    return {name: np.asarray(denoiser(EVEN[name].clip(0, 1) * region, SIGMA)) for name in CASES}


@pytest.mark.parametrize("name", ["T1w dark", "T1w bright", "T2w bright", "T2w dark"])
def test_a_lesion_keeps_its_contrast(name, results, denoised):
    """Against the noise-free content seen through the same change of contrast.

    The result is a rising map g of D(y), so g is read off the pairs (D(y), result) inside the rim. g(content) is what
    the lesion would look like without noise and with a perfect denoiser, in the result's own units: the step from ring
    to lesion is compared with its step. What g itself does to the contrast is wanted, and so is taken out; that g does
    not hide the lesion is asked last, on the scale of each image's own range.
    """
    order = np.argsort(denoised[name][INSIDE])
    through_map = np.interp(CASES[name].content, denoised[name][INSIDE][order], results[name][INSIDE][order])
    inside, ring = trust.lesion_masks(HEAD.shape, PLACE, RADIUS)
    ring &= INSIDE

    def step(image):
        return image[inside].mean() - image[ring].mean()

    assert 0.8 < step(results[name]) / step(through_map) < 1.2
    found, given = (
        trust.lesion_contrast(image, inside, ring, INSIDE) for image in (results[name], CASES[name].content)
    )
    assert 0.6 < found / given < 1.4


@pytest.mark.parametrize("name", ["T1w dark", "T1w bright", "T2w bright", "T2w dark"])
def test_a_lesion_changes_nothing_elsewhere(name, results):
    """With and without it, after the best map between the two; what differs is where the lesion is."""
    without = results[name.split()[0]]
    far = INSIDE & (distance(PLACE) > RADIUS + 3)
    change = np.abs(np.asarray(trust.residual_level(results[name], without, 1.0, far).residual))
    at_lesion = np.abs(results[name] - without)[distance(PLACE) <= RADIUS].mean()
    assert change.max() < 0.3 * at_lesion
    assert np.sqrt((change[far] ** 2).mean()) < 0.03 * at_lesion


def test_the_lesion_of_a_style_does_not_appear(results):
    masks = trust.lesion_masks(HEAD.shape, ELSEWHERE, RADIUS)
    style, with_it, without = (
        float(trust.lesion_contrast(image, *masks, INSIDE))
        for image in (WITH_LESION - OWN, results["lesion in the style"], results["T1w"])
    )
    assert style < -0.5
    assert abs(with_it - without) < 0.02


@pytest.mark.parametrize("name", ["lesion in the style", "other anatomy"])
def test_swapped_styles_differ_in_contrast_only(name, results):
    assert trust.order_difference(results["T1w"], results[name], INSIDE) < 1e-5
    assert trust.order_difference(results["T1w"], results[name], HEAD) < 1e-3


def test_free_pixels_leak_and_are_caught(results, free):
    """So that the measure can fail: plain style transfer from the same scan and styles."""
    leaked = trust.order_difference(free["T1w"], free["other anatomy"], INSIDE)
    assert leaked > 0.02
    assert leaked > 1000 * trust.order_difference(results["T1w"], results["other anatomy"], INSIDE)


def test_edges_of_a_style_do_not_appear(results):
    """Gradients where the style has an edge and the content none, over those where neither has one."""
    content, style = (ndimage.gaussian_gradient_magnitude(image, 1) for image in CASES["other anatomy"])
    flat = INSIDE & (content < 0.03)
    edge, neither = flat & (style > 0.1), flat & (style < 0.03)
    assert min(edge.sum(), neither.sum()) > 50

    def excess(image):
        gradient = ndimage.gaussian_gradient_magnitude(image, 1)
        return gradient[edge].mean() / gradient[neither].mean()

    own = excess(results["T1w"])
    assert excess(results["other anatomy"]) < 1.05 * own
    # a tenth of the style would be seen
    assert excess(results["other anatomy"] + 0.1 * OTHER) > 1.2 * own


@pytest.mark.parametrize("name", list(CASES))
def test_the_misfit_is_noise(name, results):
    misfit = trust.residual_level(EVEN[name], results[name], SIGMA, INSIDE)
    worst = trust.local_misfit(misfit.residual, SIGMA, INSIDE).max()
    assert 0.75 < misfit.level < 1.1
    assert misfit.outliers < 0.01
    assert worst < 5


@pytest.mark.parametrize(("name", "contrast"), [("T1w", -0.5), ("T2w", 0.5)])
def test_an_invented_structure_is_flagged(name, contrast, results):
    """A false piece of ventricle put into the result: its intensity is one that the head has elsewhere."""
    image = lesion(results[name], contrast * np.ptp(results[name][INSIDE]), ELSEWHERE)
    misfit = trust.residual_level(EVEN[name], image, SIGMA, INSIDE)
    z = np.asarray(trust.local_misfit(misfit.residual, SIGMA, INSIDE))
    assert misfit.level > 1.02 * trust.residual_level(EVEN[name], results[name], SIGMA, INSIDE).level
    assert z.max() > 8
    assert distance(ELSEWHERE).flat[z.argmax()] <= RADIUS


def test_slices_that_are_mapped_differently_are_told_from_other_anatomy():
    scan = np.stack([head(SIZE, "T1w", subject, texture=0.01)[0] for subject in (0, 1, 2)])
    masks = np.stack([head(SIZE, "T1w", subject)[1] for subject in (0, 1, 2)])
    one_map = scan**0.7
    same = trust.slice_jumps(scan, one_map, masks)
    two_maps = np.stack([*one_map[:2], scan[2] ** 1.3])
    jumps = trust.slice_jumps(scan, two_maps, masks)
    assert same.shape == (2,)
    assert same.max() < 0.01
    assert jumps[0] < 0.01
    assert jumps[1] > 0.1
    # what lies in air does not count
    np.testing.assert_array_equal(trust.slice_jumps(scan, two_maps + 5 * ~masks, masks), jumps)


@pytest.mark.parametrize("samples", [None, np.ones((32, 32)), np.ones((4, 32, 32))])
def test_the_noise_of_several_coils_has_level_one(samples):
    rng = np.random.default_rng(0)
    maps = np.ones((4, 32, 32)) * np.exp(1j * np.arange(4))[:, None, None] / 2
    physics = rnst.physics.Sense(maps.astype(np.complex64), np.ones((32, 32), np.float32))
    image = head(32)[0].astype(np.float32)
    noise = rng.standard_normal((2, 4, 32, 32)) / np.sqrt(2)
    y = physics.forward(image) + 0.1 * (noise[0] + 1j * noise[1])
    misfit = trust.residual_level(y, image, 0.1, image > 0, physics, samples)
    assert 0.95 < float(misfit.level) < 1.05
