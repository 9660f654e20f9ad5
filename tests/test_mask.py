import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from rnst_jax.mask import head_mask, otsu_threshold


def dice(a, b):
    return 2 * (a & b).sum() / max(a.sum() + b.sum(), 1)


def head(height=128, width=112, centre=(0.5, 0.5)):
    """A head's slice: bright scalp, dark skull, grey brain, dark ventricles; and the outline of it."""
    rows, cols = np.mgrid[:height, :width]
    r = np.hypot((rows - centre[0] * height) / (0.38 * height), (cols - centre[1] * width) / (0.36 * width))
    image = np.where(r < 1, 1.0, 0.0)
    image[r < 0.9] = 0.05
    image[r < 0.82] = 0.55
    image[r < 0.2] = 0.15
    return image, r < 1


def rician(image, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(size=(2, *image.shape))
    return np.hypot(image + sigma * noise[0], sigma * noise[1])


@pytest.mark.parametrize(("sigma", "least"), [(0, 0.98), (0.05, 0.98), (0.15, 0.97), (0.4, 0.93)])
def test_finds_the_head_at_any_noise_level(sigma, least):
    image, truth = head()
    assert dice(head_mask(rician(image, sigma)), truth) > least


@pytest.mark.parametrize(("sigma", "most"), [(0.05, 0.03), (0.1, 0.045)])
def test_noise_takes_little_off_a_head_with_a_dim_edge(sigma, most):
    r = np.hypot(*(np.mgrid[:256, :256] - 128))
    image = ndimage.gaussian_filter(np.select([r < 80, r < 85], [1.0, 0.25], 0.0), 1)
    clean, noisy = head_mask(image), head_mask(rician(image, sigma))
    # 0.040 and 0.056 with the power of the noise left in
    assert (clean & ~noisy).sum() < most * clean.sum()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e4])
@pytest.mark.parametrize("offset", [0.0, -50.0, 1000.0])
def test_scale_and_offset_of_the_intensity_do_not_matter(scale, offset):
    image, _ = head()
    image = rician(image, 0.1)
    assert dice(head_mask(scale * (image + offset)), head_mask(image)) > 0.999


@pytest.mark.parametrize("size", [32, 64, 256, 400])
def test_the_size_of_the_matrix_does_not_matter(size):
    image, truth = head(size, size)
    assert dice(head_mask(rician(image, 0.1)), truth) > 0.95


def test_head_that_touches_the_border():
    image, truth = head(centre=(0.25, 0.5))
    assert dice(head_mask(rician(image, 0.1)), truth) > 0.96


def test_is_one_piece_without_holes():
    image, _ = head()
    mask = head_mask(rician(image, 0.2))
    assert ndimage.label(mask)[1] == 1
    assert ndimage.label(~np.pad(mask, 1))[1] == 1


def test_a_few_spikes_change_little():
    image, truth = head()
    image = rician(image, 0.1)
    image.flat[:: image.size // 20] = 500
    assert dice(head_mask(image), truth) > 0.95


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_constant_slice_has_no_head(value):
    assert not head_mask(np.full((40, 50), value)).any()


@pytest.mark.parametrize("size", [32, 128, 256])
@pytest.mark.parametrize("correlation", [0, 1.5])
def test_air_has_no_head(size, correlation):
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=(2, size, size))
        assert not head_mask(np.hypot(*ndimage.gaussian_filter(noise, (0, correlation, correlation)))).any()


def test_single_spike_is_no_head():
    image = np.zeros((128, 128))
    image[60, 60] = 1
    assert not head_mask(image).any()


def test_non_finite_values_count_as_air():
    image, truth = head()
    image[:5] = np.nan
    assert dice(head_mask(image), truth) > 0.97
    assert not head_mask(np.full((20, 20), np.nan)).any()


def test_only_slices():
    with pytest.raises(ValueError, match="2-D"):
        head_mask(np.zeros((4, 4, 4)))


def test_otsu_agrees_with_scikit_image():
    filters = pytest.importorskip("skimage.filters")
    image, _ = head()
    image = rician(image, 0.1)
    # Both cut between the same two classes; the histograms' bins differ by at most one in their edges.
    assert otsu_threshold(image) == pytest.approx(filters.threshold_otsu(image), abs=2 * np.ptp(image) / 256)


@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
@pytest.mark.parametrize("subject", [1, 2, 3])
def test_real_scans_at_both_fields_show_the_same_head(shared, subject, contrast):
    """The 0.055 T slice against the 3 T slice registered to it."""
    folder = shared / "data" / "ulf" / f"sub-{subject:02d}"
    low, high = (
        np.asarray(nib.load(folder / f"sub-{subject:02d}_acq-{scan}_{contrast}.nii.gz").dataobj)
        for scan in ("0p055T", "3T_space-0p055T")
    )
    for k in range(low.shape[2]):
        assert dice(head_mask(low[..., k]), head_mask(high[..., k])) > 0.93
