"""Signal equations against the Bloch equations, noise against its distribution, and the field model as a whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from rnst_jax.physics import contrast, field, relaxation, scanner, signal
from tests.phantoms import head

KEY = jax.random.key(3)
TISSUE = {"density": 0.8, "t1": 0.9, "t2": 0.08}


def steady_state(cycle):
    """What a cycle (longitudinal magnetisation -> the next one and the signal) settles at."""
    mz = 1.0
    for _ in range(400):
        mz, s = cycle(mz)
    return s


def relaxed(mz, time):
    return 1 - (1 - mz) * np.exp(-time / TISSUE["t1"])


@pytest.mark.parametrize(("tr", "te"), [(4.0, 0.1), (0.5, 0.02), (0.3, 0.29)])
def test_spin_echo_is_the_steady_state(tr, te):
    def cycle(mz):
        after = relaxed(0.0, te / 2)  # 90 degrees, then 180 at TE/2
        return relaxed(-after, tr - te / 2), 0.8 * mz * np.exp(-te / TISSUE["t2"])

    assert float(signal.spin_echo(**TISSUE, tr=tr, te=te)) == pytest.approx(steady_state(cycle), rel=1e-5)


@pytest.mark.parametrize("flip", [5.0, 30.0, 90.0, 120.0])
def test_spoiled_gradient_echo_is_the_steady_state(flip):
    def cycle(mz):
        a = np.deg2rad(flip)
        return relaxed(mz * np.cos(a), 0.02), 0.8 * mz * np.sin(a) * np.exp(-0.005 / TISSUE["t2"])

    s = signal.spoiled_gradient_echo(0.8, 0.9, 0.08, tr=0.02, te=0.005, flip=flip)
    assert float(s) == pytest.approx(steady_state(cycle), rel=1e-5)


@pytest.mark.parametrize("ti", [0.1, 0.5, 1.2])
def test_inversion_recovery_is_the_steady_state(ti):
    def cycle(mz):
        before = relaxed(-mz, ti)
        return relaxed(0.0, 2.0 - ti), 0.8 * abs(before) * np.exp(-0.01 / TISSUE["t2"])

    assert float(signal.inversion_recovery(**TISSUE, tr=2.0, te=0.01, ti=ti)) == pytest.approx(
        steady_state(cycle), rel=1e-5
    )


def test_the_ernst_angle_is_the_best():
    best = signal.ernst_angle(0.9, 0.02)
    run = functools.partial(signal.spoiled_gradient_echo, 1.0, 0.9, 0.05, tr=0.02, te=0.005)
    assert float(run(flip=best)) > max(float(run(flip=best - 0.5)), float(run(flip=best + 0.5)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: signal.spin_echo(**TISSUE, tr=0.1, te=0.1), "te must be below tr, not 0.1 and 0.1 s"),
        (lambda: signal.spin_echo(**TISSUE, tr=0.1, te=0.0), "te must be above 0 s, not 0"),
        (lambda: signal.spin_echo(1.0, -1.0, 0.1, tr=1.0, te=0.1), "t1 must be above 0 s, not -1"),
        (lambda: signal.spin_echo(-1.0, 1.0, 0.1, tr=1.0, te=0.1), "density must be 0 or more"),
        (
            lambda: signal.spoiled_gradient_echo(1.0, 1.0, 0.1, tr=0.02, te=0.01, flip=0.0),
            "flip must be above 0 and at most 180 degrees, not 0",
        ),
        (
            lambda: signal.inversion_recovery(**TISSUE, tr=1.0, te=0.2, ti=0.9),
            "ti_plus_te must be below tr, not 1.1 and 1 s",
        ),
        (lambda: signal.ernst_angle(1.0, float("nan")), "tr must be above 0 s, not nan"),
        (lambda: scanner.snr_ratio(0.1, 3.0, exponent=2.0), "exponent must be from 1 to 1.75, not 2"),
        (lambda: scanner.snr_ratio(0.1, 3.0, averages=0), "averages must be above 0, not 0"),
        (lambda: scanner.k_space_window(8, 1.5), "keep must be above 0 and at most 1, not 1.5"),
        (lambda: scanner.acquire(jnp.ones((4, 4)), KEY, noise=-0.1), "noise must be 0 or more, not -0.1"),
        (lambda: scanner.acquire(jnp.ones((4, 4)), KEY, noise=0.1, coils=0), "coils must be 1 or more, not 0"),
        (lambda: scanner.acquire(jnp.ones((4, 4)), KEY, noise=0.1, keep=(1.0, 0.0)), "keep must be above 0"),
        (lambda: field.at_field(jnp.eye(4), field=0.01), "field must be from 0.05 to 3 T, not 0.01"),
        (lambda: field.at_field(jnp.eye(4), field=0.1, from_field=7.0), "field must be from 0.05 to 3 T, not 7"),
        (lambda: field.at_field(jnp.eye(4), field=0.1, contrast="FLAIR"), "no contrast 'FLAIR'; there are T1w, T2w"),
        (lambda: field.at_field(jnp.eye(4), field=0.1, maps={}), "give the map of one tissue"),
        (
            lambda: field.at_field(jnp.eye(4), field=0.1, contrast=signal.InversionRecovery(6.0, 0.01, ti=0.6138)),
            "white has no signal at from_field",
        ),
        (
            lambda: field.at_field(jnp.eye(4), field=0.1, contrast=signal.SpinEcho(tr=1.28, te=0.02)),
            "equally bright at from_field with this sequence; give tissue maps",
        ),
    ],
)
def test_validity_is_an_error(call, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        call()


def test_snr():
    assert float(scanner.snr_ratio(0.055, 3.0)) == pytest.approx((0.055 / 3) ** 1.5, rel=1e-5)
    assert float(scanner.snr_ratio(0.055, 3.0, exponent=1.0)) == pytest.approx(0.055 / 3, rel=1e-5)
    ratio = scanner.snr_ratio(3.0, 3.0, voxel=4.0, averages=9.0, bandwidth=4.0)
    assert float(ratio) == pytest.approx(4.0 * 3.0 / 2.0, rel=1e-5)


@pytest.mark.parametrize("coils", [1, 8])
def test_noise_is_non_central_chi(coils):
    sigma, shape = 0.05, (200, 250)
    air = np.asarray(scanner.non_central_chi(jnp.zeros(shape), KEY, sigma, coils))
    assert np.sqrt((air**2).mean() / (2 * coils)) == pytest.approx(sigma, rel=0.01)
    # the chi distribution: sqrt(2) Gamma(n + 1/2) / Gamma(n)
    mean = sigma * np.sqrt(2) * np.exp(gammaln(coils + 0.5) - gammaln(coils))
    assert air.mean() == pytest.approx(mean, rel=0.01)
    bright = np.asarray(scanner.non_central_chi(jnp.full(shape, 9.0), KEY, sigma, coils))
    assert bright.std() == pytest.approx(sigma, rel=0.01)
    assert (bright**2).mean() == pytest.approx(81 + 2 * coils * sigma**2, rel=0.001)


@pytest.mark.parametrize(("keep", "taper"), [(1.0, 0.0), (0.5, 0.0), ((0.4, 0.7), 0.5)])
def test_noise_of_a_scan_has_the_deviation_asked_for(keep, taper):
    scan = scanner.acquire(jnp.full((256, 256), 2.0), KEY, noise=0.05, keep=keep, taper=taper)
    assert float(scan.std()) == pytest.approx(0.05, rel=0.02)
    air = scanner.acquire(jnp.zeros((256, 256)), KEY, noise=0.05, keep=keep, taper=taper)
    assert float(jnp.sqrt(jnp.mean(air**2) / 2)) == pytest.approx(0.05, rel=0.02)


def test_the_coils_of_a_scan_count():
    air = scanner.acquire(jnp.zeros((48, 48)), KEY, noise=0.05, coils=8)
    assert float(jnp.sqrt(jnp.mean(air**2) / 16)) == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize("kept", [5, 6, 11])
def test_truncation_keeps_the_inner_frequencies(n, kept):
    x = np.random.default_rng(0).standard_normal((n, n))
    k = np.fft.fftshift(np.fft.fft2(x))
    frequency = np.arange(n) - n // 2
    # an even number of samples ends on a frequency of which both signs have half
    weight = np.where(abs(frequency) < kept / 2, 1.0, 0.0) + 0.5 * (abs(frequency) == kept / 2)
    expected = np.fft.ifft2(np.fft.ifftshift(k * weight[:, None] * weight))
    np.testing.assert_allclose(scanner.truncate(jnp.asarray(x, jnp.float32), kept / n), expected, atol=2e-6)
    assert float(scanner.k_space_window(n, kept / n).sum()) == pytest.approx(kept, rel=1e-5)


@pytest.mark.parametrize("shape", [(16, 21), (15, 8)])
def test_all_of_k_space_changes_nothing(shape):
    x = jnp.asarray(np.random.default_rng(1).random(shape), jnp.float32)
    np.testing.assert_allclose(scanner.truncate(x, 1.0), x, atol=1e-6)


def test_a_window_takes_the_ringing_away():
    step = jnp.zeros((8, 256)).at[:, 128:].set(1.0)
    rings, smooth = (float(scanner.truncate(step, (1.0, 0.25), taper).real.max()) for taper in (0.0, 1.0))
    assert rings > 1.08
    assert smooth < 1.012


def test_truncation_widens_a_point_by_the_share():
    profile = np.asarray(scanner.truncate(jnp.zeros((3, 300)).at[1, 150].set(1.0), (1.0, 0.25)).real[1])
    wide = np.interp(0.5, (profile / profile.max())[150:156][::-1], np.arange(6)[::-1]) * 2
    assert wide == pytest.approx(1.207 * 4, rel=0.03)  # full width at half maximum of a sinc


def test_line_noise_is_a_stripe():
    stripe = np.abs(np.asarray(scanner.line_noise((48, 48), KEY, 0.3))) ** 2
    power = stripe.sum(axis=0) / 48
    assert power.sum() == pytest.approx(0.09, rel=1e-4)
    column = power.argmax()
    assert np.roll(power, 24 - column)[23:26].sum() > 0.8 * power.sum()
    # along the stripe it is noise: as likely light as dark, neighbours unlike each other
    along = np.asarray(scanner.line_noise((48, 48), KEY, 0.3))[:, column]
    assert abs(np.vdot(along[1:], along[:-1])) < 4 / np.sqrt(48) * np.vdot(along, along).real
    scan = scanner.acquire(jnp.zeros((48, 48)), KEY, noise=0.01, emi=0.3)
    lit = np.asarray(scan).mean(axis=0)
    assert lit.max() > 5 * np.median(lit)


def test_centres_are_the_tissues():
    image, _ = head(128, texture=0.01, bias=0.0)
    brain = np.where(image > 0, image, 0)[20:108, 30:98]
    found = contrast.tissue_centres(jnp.asarray(brain))
    np.testing.assert_allclose(found, np.array([0.22, 0.55, 0.80]) / 1.1, atol=0.06)
    everywhere = contrast.tissue_centres(jnp.asarray(np.where(brain > 0, brain, 0.01)), jnp.asarray(brain > 0))
    np.testing.assert_allclose(found, everywhere, atol=0.02)


def test_the_intensity_map_is_monotone_and_passes_its_knots():
    centres, before = jnp.array([0.2, 0.5, 0.8]), jnp.array([1.0, 2.0, 3.0])
    x = jnp.linspace(0, 1.2, 2000)
    for after in (jnp.array([0.2, 2.5, 3.0]), jnp.array([2.9, 2.0, 1.0]), jnp.array([0.01, 0.02, 3.0])):
        y = contrast.by_intensity(x, centres, before, after)
        assert bool(jnp.all(jnp.diff(y) >= -1e-6))
        gain = (after / before) / (after / before)[2]
        knots = np.maximum.accumulate(np.asarray(centres * gain))
        np.testing.assert_allclose(contrast.by_intensity(centres, centres, before, after), knots, atol=1e-6)
        assert float(y[0]) == 0
        # smooth up to the last knot: the slope turns slowly, where straight pieces would turn it by 1 to 9 at once
        slope = jnp.diff(y[x < 0.8]) / (x[1] - x[0])
        assert float(jnp.abs(jnp.diff(slope)).max()) < 0.15


def test_signals_of_another_order_keep_the_map_rising():
    # T2w: white matter is the darkest, CSF the brightest
    before, after = (contrast.signals(field.CONTRASTS["T2w"], b) for b in (3.0, 0.055))
    centres = jnp.array([0.3, 0.5, 0.9])
    y = contrast.by_intensity(centres, centres, before, after)
    white, grey, csf = (0.3 * after[1] / before[1], 0.5 * after[0] / before[0], 0.9 * after[2] / before[2])
    np.testing.assert_allclose(y, jnp.stack([white, grey, csf]) * before[2] / after[2], rtol=1e-5)


def fractions(shape=(24, 20)):
    rng = np.random.default_rng(5)
    parts = rng.dirichlet([1, 1, 1, 1], shape).astype(np.float32)
    return {name: jnp.asarray(parts[..., i]) for i, name in enumerate(("grey", "white", "csf"))}


@pytest.mark.parametrize("name", ["T1w", "T2w"])
def test_with_maps_a_tissue_image_becomes_that_of_the_other_field(name):
    maps, sequence = fractions(), field.CONTRASTS[name]
    total = sum(maps.values())
    maps = {tissue: part / total for tissue, part in maps.items()}  # nothing left over
    here, there = (contrast.tissue_image(maps, sequence, b) for b in (3.0, 0.3))
    found = field.at_field(here, field=0.3, contrast=name, maps=maps)
    ratio = np.asarray(found / there)
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
    by_hand = sum(maps[t] * sequence.signal(relaxation.relaxation(t, 0.3)) for t in maps)
    np.testing.assert_allclose(there, by_hand, rtol=1e-5)


def test_what_no_map_claims_keeps_its_brightness():
    maps = {"grey": jnp.array([1.0, 0.0]), "white": jnp.array([0.0, 0.0])}
    found = field.at_field(jnp.array([0.5, 0.4]), field=0.055, maps=maps)
    assert float(found[1]) == pytest.approx(0.4)
    assert float(found[0]) > 0.55


@pytest.mark.parametrize("name", ["T1w", "T2w"])
@pytest.mark.parametrize("b", [0.055, 0.3, 1.5])
def test_low_field_of_a_head(name, b):
    image, _ = head(48, name)
    scan = field.low_field(jnp.asarray(image), KEY, field=b, contrast=name, noise=0.03)
    assert scan.shape == image.shape
    assert scan.dtype == jnp.float32
    assert float(scan.min()) >= 0
    assert 0.7 < float(jnp.quantile(scan, 0.99)) < 1.3
    quiet = field.low_field(jnp.asarray(image), KEY, field=3.0, contrast=name, noise=0.0, keep=1.0)
    np.testing.assert_allclose(quiet, image, atol=2e-3)  # the same field, nothing lost


def test_t1_contrast_of_grey_and_white_matter_shrinks_towards_low_field():
    ratios = []
    for b in (0.055, 0.3, 1.5, 3.0):
        grey, white, _ = contrast.signals(field.CONTRASTS["T1w"], b)
        ratios.append(float(grey / white))
    assert ratios[0] > 0.97
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 0.85


def test_pure_keyed_and_compiled_once():
    image = jnp.asarray(head(48)[0])
    run = jax.jit(lambda x, key, b, noise, keep: field.low_field(x, key, field=b, noise=noise, keep=keep, emi=0.05))
    first = run(image, KEY, 0.055, 0.05, 0.5)
    assert bool(jnp.array_equal(first, run(image, KEY, 0.055, 0.05, 0.5)))
    assert not bool(jnp.array_equal(first, run(image, jax.random.key(4), 0.3, 0.02, 0.7)))
    assert run._cache_size() == 1
    np.testing.assert_allclose(
        first, field.low_field(image, KEY, field=0.055, noise=0.05, keep=0.5, emi=0.05), atol=1e-5
    )
    assert bool(jnp.isnan(run(image, KEY, 0.01, 0.05, 0.5)).all())  # out of range while traced


def test_vmap_equals_a_loop():
    images = jnp.stack([jnp.asarray(head(48, subject=s)[0]) for s in range(2)])
    keys, fields = jax.random.split(KEY), jnp.array([0.055, 1.5])
    together = jax.jit(jax.vmap(lambda x, key, b: field.low_field(x, key, field=b)))(images, keys, fields)
    for i, (image, key) in enumerate(zip(images, keys, strict=True)):
        np.testing.assert_allclose(together[i], field.low_field(image, key, field=float(fields[i])), atol=1e-5)


def test_nan_is_not_swallowed():
    image = jnp.asarray(head(48)[0]).at[3, 4].set(jnp.nan)
    assert bool(jnp.isnan(field.low_field(image, KEY)).any())


def test_the_template_and_its_maps():
    """Both ways on a real brain, with nilearn's maps: they agree about the tissues."""
    pytest.importorskip("nilearn", reason="needs nilearn's MNI152 template (the extra 'demo')")
    from nilearn import datasets

    loaders = (datasets.load_mni152_template, datasets.load_mni152_gm_template, datasets.load_mni152_wm_template)
    slices = (f(resolution=1).dataobj[::2, ::2, 82] for f in loaders)
    brain, grey, white = (jnp.asarray(x, jnp.float32) for x in slices)
    csf = jnp.where(brain > 0.05, jnp.clip(1 - grey - white, 0, 1), 0)
    maps = {"grey": grey, "white": white, "csf": csf}
    true = [float(brain[m > 0.9].mean()) for m in (grey, white)]
    np.testing.assert_allclose(contrast.tissue_centres(brain)[1:], true, atol=0.06)
    mapped = field.at_field(brain, field=0.055, maps=maps)
    alone = field.at_field(brain, field=0.055)
    for image in (mapped, alone):
        ratio = float(image[grey > 0.9].mean() / image[white > 0.9].mean())
        assert ratio == pytest.approx(true[0] / true[1] * 1.2, rel=0.04)  # closer to each other than at 3 T
    inside = np.asarray(brain) > 0.05
    assert np.corrcoef(np.asarray(mapped)[inside], np.asarray(alone)[inside])[0, 1] > 0.93
