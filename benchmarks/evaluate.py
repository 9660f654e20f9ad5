"""Are our images better than what is simple? Baselines and presets on real pairs and on simulated ones.

    python benchmarks/evaluate.py [--sets real simulated fields] [--rows TEXT ...] [--output F.json]

Sets. ``real``: sub-01 to sub-03 at 0.055 T and 3 T, T1w and T2w, 4 slices each, styles from another subject.
``simulated``: the MNI152 template of nilearn (2 axial, 2 coronal, 2 sagittal slices), degraded by
`rnst_jax.simulate.degrade` with noise of 5, 10, 15, 20 and 25 of 255; the style is another slice of the template in the
same plane, 16 mm away. ``fields``: the same slices at 0.055, 0.3 and 1.5 T by published relaxation times and nilearn's
tissue maps (`rnst_jax.physics.field.low_field`), with half, two thirds and four fifths of k-space and noise of 15, 10
and 5 of 255.

Every row gets the same slice, style, masks and noise estimate (not the truth), and is scored slice by slice against a
reference that none of them sees. The differences to the input, and of ``balanced`` to the best baseline, come with 95 %
intervals: a bootstrap of the subjects (real) or of the slices (simulated), 10,000 draws.
"""

import argparse
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import jax
import jax.numpy as jnp
import numpy as np
from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template
from skimage.exposure import match_histograms
from skimage.restoration import denoise_nl_means, denoise_wavelet

import rnst_jax as rnst
from rnst_jax import api
from rnst_jax.bench import record
from rnst_jax.denoise import estimate_noise
from rnst_jax.io import nifti
from rnst_jax.io.planes import to_slices
from rnst_jax.io.prepare import prepare
from rnst_jax.mask import bounding_box, head_mask
from rnst_jax.metrics import head_scores, minmax_scores
from rnst_jax.physics.field import low_field
from rnst_jax.simulate import degrade

METRICS = ("minmax_psnr", "minmax_ssim", "head_psnr", "head_ssim", "head_hfen")
NOISE = (5, 10, 15, 20, 25)
PLANES = {"axial": (2, (86, 100)), "coronal": (1, (98, 118)), "sagittal": (0, (70, 82))}
"""Of the template at 1 mm: the axis and two positions; the styles lie 16 mm further."""
FIELDS = ((0.055, 0.5, 15), (0.3, 0.67, 10), (1.5, 0.8, 5))
"""In T, with the share of k-space that is acquired and the noise of 255."""


class Group(NamedTuple):
    """Slices of one size that are reconstructed together."""

    name: dict[str, Any]
    y: np.ndarray
    style: np.ndarray
    mask: np.ndarray
    style_mask: np.ndarray
    sigma: np.ndarray
    reference: np.ndarray
    reference_mask: np.ndarray


def real(
    data: pathlib.Path, styles: dict[str, str] = common.STYLES, style_contrasts: dict[str, str] | None = None
) -> list[Group]:
    """The real pairs, prepared as the command line prepares them.

    Args:
        data: the folder with sub-01 and so on.
        styles: whose 3 T scan is the style of whom.
        style_contrasts: the style's contrast for each of the content's, the same by default.
    """
    groups = []
    for contrast in ("T1w", "T2w"):
        style_contrast = (style_contrasts or {}).get(contrast, contrast)
        for subject, style in styles.items():
            content = data / subject / f"{subject}_acq-0p055T_{contrast}.nii.gz"
            case = prepare(content, data / style / f"{style}_acq-3T_{style_contrast}.nii.gz")
            registered = nifti.read(data / subject / f"{subject}_acq-3T_space-0p055T_{contrast}.nii.gz")
            reference = to_slices(registered, case.slices.plane).stack
            sigma = np.asarray(case.noise) / (case.scaling.hi - case.scaling.lo)
            masks = heads(reference)
            name = {"set": "real", "subject": subject, "contrast": contrast, "noise": None, "plane": "axial"}
            groups.append(Group(name, case.y, case.style, case.mask, case.style_mask, sigma, reference, masks))
    return groups


def template_slices(volume: np.ndarray, plane: str, shift: int = 0) -> np.ndarray:
    """The slices of a plane of the template, or those ``shift`` mm further."""
    axis, positions = PLANES[plane]
    return np.stack([np.rot90(np.take(volume, p + shift, axis)) for p in positions])


def heads(stack: np.ndarray) -> np.ndarray:
    """The mask of the head in every slice."""
    return np.stack([head_mask(x) for x in stack])


def simulated_group(name: dict[str, Any], y: Any, clean: np.ndarray, style: np.ndarray, masks: list) -> Group:
    """A group from what a simulation gave: scaled, with the heads and the noise found in it.

    ``masks`` are those of the clean slices and of the styles.
    """
    y = np.asarray(y / np.percentile(y, 99.95)).clip(0, 1)
    found = heads(y).astype(np.float32)
    sigma = np.asarray(jax.vmap(estimate_noise)(jnp.asarray(y), jnp.asarray(found)))
    return Group(name, y, style, found, masks[1].astype(np.float32), sigma, clean, masks[0])


def simulated() -> list[Group]:
    """The simulated pairs, one group per plane and noise level."""
    template = np.asarray(load_mni152_template(resolution=1).get_fdata(), np.float32)
    groups = []
    for plane in PLANES:
        clean, style = (template_slices(template, plane, shift) for shift in (0, 16))
        masks = [heads(clean), heads(style)]
        # the same receive fields, and the same noise but for its size, at every level
        keys = jax.random.split(jax.random.key(PLANES[plane][0]), len(clean))
        for noise in NOISE:
            y = jax.vmap(lambda x, key, noise=noise: degrade(x, key, noise=noise / 255))(jnp.asarray(clean), keys)
            name = {"set": "simulated", "subject": "mni152", "contrast": "T1w", "noise": noise, "plane": plane}
            groups.append(simulated_group(name, y, clean, style, masks))
    return groups


def fields() -> list[Group]:
    """The template as `rnst_jax.physics.field.low_field` shows it at other fields, one group per plane and field."""
    template = np.asarray(load_mni152_template(resolution=1).get_fdata(), np.float32)
    tissues = {"grey": load_mni152_gm_template(resolution=1), "white": load_mni152_wm_template(resolution=1)}
    maps = {name: np.asarray(image.get_fdata(), np.float32).clip(0, 1) for name, image in tissues.items()}
    maps["csf"] = (1 - maps["grey"] - maps["white"]).clip(0, 1) * (template > 0)
    groups = []
    for plane in PLANES:
        clean, style = (template_slices(template, plane, shift) for shift in (0, 16))
        masks = [heads(clean), heads(style)]
        fractions = {name: jnp.asarray(template_slices(values, plane)) for name, values in maps.items()}
        keys = jax.random.split(jax.random.key(PLANES[plane][0]), len(clean))
        for tesla, keep, noise in FIELDS:
            options = {"field": tesla, "keep": keep, "taper": 0.5, "noise": noise / 255}
            y = jax.vmap(lambda x, key, maps, options=options: low_field(x, key, maps=maps, **options))(
                jnp.asarray(clean), keys, fractions
            )
            name = {"set": f"{tesla} T", "subject": "mni152", "contrast": "T1w", "noise": noise, "plane": plane}
            groups.append(simulated_group(name, y, clean, style, masks))
    return groups


def match(x: np.ndarray, mask: np.ndarray, style: np.ndarray, style_mask: np.ndarray) -> np.ndarray:
    """Intensities inside the head matched to those inside the style's head; air black."""
    out = np.zeros_like(x)
    out[mask > 0] = match_histograms(x[mask > 0], style[style_mask > 0])
    return out


def slice_by_slice(function: Callable[..., np.ndarray]) -> Callable[[Group], np.ndarray]:
    """A row from a function of one slice: image, sigma, mask, style, style mask."""

    def row(g: Group) -> np.ndarray:
        return np.stack([function(*each) for each in zip(g.y, g.sigma, g.mask, g.style, g.style_mask, strict=True)])

    return row


def nlm(y: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    return denoise_nl_means(y, h=0.8 * float(sigma), sigma=float(sigma), patch_size=5, patch_distance=6)


def wavelet(y: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    return denoise_wavelet(y, sigma=float(sigma), wavelet="sym4", method="BayesShrink", mode="soft")


def bm3d(y: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    from bm3d import bm3d as package  # non-commercial licence; the row is left out where it is not installed

    return np.asarray(package(y, sigma_psd=float(sigma)))


def preset(config: rnst.presets.Config) -> Callable[[Group], np.ndarray]:
    """A row from one of our configs, on the boxes of the heads as the command line works."""

    def row(g: Group) -> np.ndarray:
        box, style_box = ((slice(None), *bounding_box(masks > 0)) for masks in (g.mask, g.style_mask))
        options = {"mask": g.mask[box], "style_mask": g.style_mask[style_box], "sigma": g.sigma, "preset": config}
        images = np.zeros(g.y.shape, np.float32)
        images[box] = api.reconstruct(g.y[box], g.style[style_box], **options).image
        return images

    return row


def rows() -> dict[str, Callable[[Group], np.ndarray]]:
    """All rows by name."""
    balanced = rnst.presets.get("balanced")
    bare = {"lam": 0.0, "sharpening": 0.0, "denoiser": "identity", "intensity_weight": 0.0}
    pixels = dataclasses.replace(balanced, **NO_STYLE | FREE_PIXELS | bare)
    return {
        "input": lambda g: g.y,
        "NLM": slice_by_slice(nlm),
        "BM3D (package)": slice_by_slice(bm3d),
        "wavelet": slice_by_slice(wavelet),
        "histogram match": slice_by_slice(lambda y, _, mask, style, style_mask: match_histograms(y, style)),
        "NLM, masked match": slice_by_slice(lambda y, sigma, *rest: match(nlm(y, sigma) * rest[0], *rest)),
        "style transfer without RED": preset(pixels),
        "RED without style": preset(dataclasses.replace(balanced, **NO_STYLE)),
        "fast": preset(rnst.presets.get("fast")),
        "balanced": preset(balanced),
    }


NO_STYLE: dict[str, Any] = {
    "beta": 0.0, "rim_gain": 1.0, "brain_darkening": 1.0, "bias_correction": False, "endpoints": 0.0,
}  # fmt: skip
"""Settings with which the style, and what is known of high-field scans, change nothing."""

FREE_PIXELS: dict[str, Any] = {
    "parametrisation": "pixels", "reduce": 1, "learning_rate": 0.005, "factors": (1, 2, 4, 8, 16, 32),
    "beta": 1.0, "caution": 0.0,
}  # fmt: skip
"""Settings with which the whole image is the style engine's."""

BASELINES = ("NLM", "BM3D (package)", "wavelet", "histogram match", "NLM, masked match")


def score(g: Group, images: np.ndarray) -> list[dict[str, float]]:
    """The five scores of every slice."""
    found = []
    for reference, image, mask in zip(g.reference, images, g.reference_mask, strict=True):
        reference, image = jnp.asarray(reference, jnp.float32), jnp.asarray(image, jnp.float32)
        scores = minmax_scores(reference, image) | head_scores(reference, image, jnp.asarray(mask))
        found.append({metric: round(float(scores[metric]), 5) for metric in METRICS})
    return found


def interval(differences: dict[Any, list[float]], draws: int = 10_000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of paired differences; whole units (subjects, slices) are drawn."""
    means = np.array([np.mean(values) for values in differences.values()])
    picks = np.random.default_rng(0).integers(len(means), size=(draws, len(means)))
    low, high = np.percentile(means[picks].mean(axis=1), (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def summary(cells: list[dict], kind: str, contrast: str) -> str:
    """Means of one set as a table, with the interval of balanced against the best baseline of each metric."""
    chosen = [c for c in cells if c["set"] == kind and c["contrast"] == contrast]
    names = list(dict.fromkeys(c["row"] for c in chosen))

    def values(row: str, metric: str) -> dict[Any, list[float]]:
        units: dict[Any, list[float]] = {}
        for c in chosen:
            if c["row"] == row:
                for k, scores in enumerate(c["scores"]):
                    unit = c["subject"] if kind == "real" else (c["plane"], c["noise"], k)
                    units.setdefault(unit, []).append(scores[metric])
        return units

    def mean(row: str, metric: str) -> float:
        return float(np.mean([np.mean(v) for v in values(row, metric).values()]))

    lines = [[row, *(round(mean(row, m), 4) for m in METRICS)] for row in names]
    present = [row for row in BASELINES if row in names]
    if "balanced" in names and present:
        line = ["balanced - best baseline"]
        for metric in METRICS:
            best = (min if metric == "head_hfen" else max)(present, key=lambda row, m=metric: mean(row, m))
            ours, theirs = values("balanced", metric), values(best, metric)
            low, high = interval({u: list(np.subtract(ours[u], theirs[u])) for u in ours})
            line.append(f"{mean('balanced', metric) - mean(best, metric):+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(line)
    return f"\n{kind}, {contrast}\n\n" + record.table(("row", *METRICS), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Baselines and presets on real and simulated pairs")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--sets", nargs="+", choices=("real", "simulated", "fields"), default=["real", "simulated"])
    parser.add_argument("--rows", nargs="*", metavar="TEXT", help="only the rows with one of these in their name")
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "evaluate.json")
    args = parser.parse_args()
    file = json.loads(args.output.read_text()) if args.output.is_file() else {"cells": []}
    made = {"real": lambda: real(args.data), "simulated": simulated, "fields": fields}
    groups = [group for name in args.sets for group in made[name]()]
    for name, row in rows().items():
        if args.rows is not None and not any(text in name for text in args.rows):
            continue
        for g in groups:
            start = time.perf_counter()
            cell = {"row": name, **g.name, "scores": score(g, row(g))}
            cell["seconds"] = round(time.perf_counter() - start, 2)
            key = tuple(cell[k] for k in ("row", *g.name))
            file["cells"] = [c for c in file["cells"] if tuple(c[k] for k in ("row", *g.name)) != key] + [cell]
        file["environment"] = record.environment()
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(file) + "\n")
        print(name, flush=True)
    for kind, contrast in dict.fromkeys((c["set"], c["contrast"]) for c in file["cells"]):
        print(summary(file["cells"], kind, contrast))


if __name__ == "__main__":
    main()
