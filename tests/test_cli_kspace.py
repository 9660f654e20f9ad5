"""k-space on the command line, and a forward model of its own for each image of a batch."""

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax.cli import kspace as command
from rnst_jax.cli.main import main
from rnst_jax.io.kspace import read
from rnst_jax.io.prepare_kspace import prepare_kspace
from tests import phantoms, scans
from tests.kspace_files import images, transform
from tests.tables import shallow, short

SIZE = 48
ARGV = ["reconstruct", "scan.npz", "out.nii.gz", "--style", "style.nii.gz"]
PLAIN = """
steps = 2
depths = [1]
beta = 0.0
lam = 0.0
alpha = 1.0
rim_gain = 1.0
brain_darkening = 1.0
margin = 0.0
denoiser = "identity"
native = 1
reduce = 4
quantile_count = 0
style_taps = ["conv1_1"]
content_taps = ["conv1_1"]
"""


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """Full k-space of two slices in the 0.055 T data's convention, its NIfTI and a style; the folder is current."""
    monkeypatch.chdir(tmp_path)
    volume = 700 * images(2, size=SIZE)[:, 0, ::-1].transpose(2, 1, 0)
    shifted = np.fft.ifftshift(volume[::-1, ::-1].transpose(1, 0, 2), (0, 1))
    stored = np.fft.fftshift(np.fft.ifft2(shifted, axes=(0, 1), norm="ortho"), (0, 1))
    np.savez("scan.npz", kspace=stored.astype(np.complex64))
    scans.save("like.nii.gz", np.abs(volume).astype(np.float32))
    scans.save("style.nii.gz", scans.volume(1, 0.0, count=2)[0].astype(np.float32))
    return volume


OPTIONS = ["--kspace-axes", "j-,i-,k", "--kspace-transform", "forward", "--geometry", "like.nii.gz"]


def measured_case():
    """The scan and its style, prepared."""
    kspace = read(pathlib.Path("scan.npz"), axes=("j-", "i-", "k"), forward=True)
    return prepare_kspace(kspace, pathlib.Path("style.nii.gz"), geometry_path=pathlib.Path("like.nii.gz"))


adjoint = jax.vmap(lambda physics, y: physics.adjoint(y))


def test_with_the_data_term_alone_the_output_is_the_scan(scan, capsys):
    """The whole way, with the real solver: orientation, units, phase and coil model fit each other."""
    pathlib.Path("c.toml").write_text(PLAIN)
    assert main([*ARGV, *OPTIONS, "--config", "c.toml", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record["Inputs"]) == {"content", "style", "geometry"}
    assert record["Config"]["alpha"] == 1
    assert record["Config"]["crop"] is False
    out, like = nib.load("out.nii.gz"), nib.load("like.nii.gz")
    np.testing.assert_array_equal(out.affine, like.affine)
    found, expected = out.get_fdata(), like.get_fdata()
    head = found > 0
    assert 0.4 < head.mean() < 0.8
    error = np.linalg.norm((found - expected)[head]) / np.linalg.norm(expected[head])
    assert error < 0.05, "the phase is smooth, so little is lost by the real model"


def test_the_report_shows_the_residual(scan):
    """A^H (A x - y) is what was added to an image that agrees with its k-space, and stands on the page."""
    pathlib.Path("c.toml").write_text(PLAIN)
    assert main([*ARGV, *OPTIONS, "--config", "c.toml", "-q", "--report", "page.html"]) == 0
    volumes = {volume["name"]: volume for volume in scans.page()[1]["volumes"]}
    assert list(volumes) == ["input", "output", "change", "residual", "style"]
    told = re.search(r"is ([\d.]+) times", volumes["residual"]["caption"])
    assert told
    assert 0 < float(told[1]) < 0.1, "the data term alone was minimised"
    measured = measured_case()
    agreed = np.asarray(adjoint(command.data(measured)[1]["physics"], jnp.asarray(measured.y)))
    least, small = command.residual(measured, agreed)
    added = np.zeros_like(agreed)
    added[0, 10:14, 20:30] = 0.5
    found, more = command.residual(measured, agreed + added)
    assert small < 0.05 < more
    np.testing.assert_allclose(found - least, added, atol=1e-5)


def test_the_receive_field_is_part_of_the_forward_model(scan):
    measured = measured_case()
    field = np.exp(np.linspace(-0.3, 0.3, measured.case.y.size)).reshape(measured.case.y.shape)
    (y, plain), (same, shaded) = command.data(measured), command.data(measured, field)
    assert y is same
    x = jnp.asarray(measured.case.y)
    forward = jax.vmap(lambda physics, x: physics.forward(x))
    np.testing.assert_allclose(
        forward(shaded["physics"], x), forward(plain["physics"], x * field), atol=1e-6, rtol=1e-5
    )
    np.testing.assert_allclose(shaded["x0"] * field, adjoint(plain["physics"], jnp.asarray(y)), atol=1e-6)
    assert "x0" not in plain


def test_dry_run_names_the_data_term(scan, capsys):
    before = scans.files()
    assert main([*ARGV, *OPTIONS, "--dry-run", "--json", "--preset", "fast"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["PlannedEvaluations"] == 2 * 24
    assert plan["Scaling"]["Low"] == 0
    assert scans.files() == before
    config, settings = command.with_data_term(rnst.presets.get("fast"), missing=0.0)
    assert (config.alpha, config.crop, config.completion) == (command.ALPHA, False, 0)
    assert settings["alpha"] == command.ALPHA
    own = dataclasses.replace(rnst.presets.get("fast"), alpha=0.7)
    assert command.with_data_term(own, missing=0.0)[0] == dataclasses.replace(own, crop=False, sharpening=0.0)


def test_what_was_not_measured_is_filled_in(scan, capsys):
    stored = np.load("scan.npz")["kspace"]
    kept = np.asarray(rnst.physics.masks.equispaced((1, SIZE), 2, 12))[0] > 0
    np.savez("scan.npz", kspace=stored * kept[:, None, None])
    assert measured_case().missing == pytest.approx(1 - kept.mean(), abs=0.02)
    pathlib.Path("short.toml").write_text(scans.QUICK)
    assert main([*ARGV, *OPTIONS, "--config", "short.toml", "--slices", "0:1", "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["Config"]["completion"] == command.COMPLETION
    own = dataclasses.replace(rnst.presets.get("fast"), completion=7)
    assert command.with_data_term(own, missing=0.5)[0].completion == 7


def test_a_slice_is_taken_the_same_alone_and_with_the_others(scan):
    stored = np.load("scan.npz")["kspace"]
    stored[..., 1] = stored[..., 1] * np.isin(np.arange(SIZE), np.r_[0:SIZE:3, 18:30])[:, None]
    np.savez("half.npz", kspace=stored)
    kspace = read(pathlib.Path("half.npz"), axes=("j-", "i-", "k"), forward=True)
    options = {"geometry_path": pathlib.Path("like.nii.gz")}
    whole, full = (
        prepare_kspace(kspace, pathlib.Path("style.nii.gz"), wanted=wanted, **options)
        for wanted in ((None, None), (0, 1))
    )
    assert full.sampled.all()
    assert not whole.sampled.all()
    assert (full.missing, full.window) == (whole.missing, whole.window)
    assert full.missing > 0.1


def test_refusals(scan, capsys):
    scans.make()
    image = ["reconstruct", "content.nii.gz", "out.nii.gz", "--style", "style.nii.gz"]
    scans.refused(capsys, [*image, "--geometry", "like.nii.gz"], 2, "--geometry", "add --kspace")
    scans.refused(capsys, [*image, "--kspace"], 3, "content.nii.gz", "neither .npz nor HDF5")
    scans.refused(capsys, [*ARGV[:1], "none.h5", *ARGV[2:]], 3, "none.h5", "no such file")
    scans.refused(capsys, [*ARGV, "--kspace-axes", "c,i,j,k"], 2, "scan.npz", "names 4")
    scans.refused(capsys, [*ARGV, *OPTIONS, "--plane", "coronal"], 2, "axial, not coronal")
    scans.refused(capsys, [*ARGV, "--kspace-key", "other"], 3, "no array 'other'", "--kspace-key")
    scans.save("few.nii.gz", np.ones((SIZE, SIZE, 1), np.float32))
    scans.refused(capsys, [*ARGV[:-1], "style.nii.gz", *OPTIONS[:-1], "few.nii.gz"], 3, "few.nii.gz", "own geometry")
    pathlib.Path("bad.npz").write_bytes(pathlib.Path("scan.npz").read_bytes()[:-40])
    scans.refused(capsys, ["reconstruct", "bad.npz", *ARGV[2:]], 3, "bad.npz", "savez")


def test_each_image_may_have_its_own_forward_model():
    heads, found_masks = zip(*(phantoms.head(32, subject=n) for n in range(2)), strict=True)
    sampled = jnp.stack([rnst.physics.masks.random(jax.random.key(n), (32, 32), 2.0, acs=8) for n in range(2)])
    y = sampled[:, None] * transform(np.stack(heads)[:, None].astype(np.complex64), 32, 32)
    ones = jnp.ones((2, 1, 32, 32), jnp.complex64)
    taps = {"style_taps": ("conv1_1",), "content_taps": ("conv1_1",), "quantile_count": 0}
    config = short("balanced", depths=(1,), denoiser="identity", alpha=0.5, native=1, **taps)
    masks = np.stack(found_masks).astype(np.float32)
    options = {"preset": config, "extractor": shallow(), "style_mask": masks[:1], "sigma": 0.05}
    style = np.stack(heads[:1])
    mapped = rnst.physics.Sense(ones, sampled)
    both = rnst.reconstruct(y, style, physics=mapped, physics_axis=0, mask=masks, **options)
    one = rnst.physics.Sense(ones[1], sampled[1])
    alone = rnst.reconstruct(y[1:], style, physics=one, mask=masks[1:], **options)
    np.testing.assert_allclose(both.image[1], alone.image[0], atol=1e-5)
