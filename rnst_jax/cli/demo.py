"""``rnst demo``: the whole way on a brain that comes with nilearn, without any download."""

import argparse
import importlib.util
import json
import pathlib
import shlex
from typing import Any

import numpy as np

from rnst_jax.cli import options, reconstruct
from rnst_jax.io import nifti
from rnst_jax.io.atomic import check_output, replacing
from rnst_jax.io.errors import UsageError
from rnst_jax.io.nifti import Volume
from rnst_jax.io.planes import to_slices
from rnst_jax.mask import head_mask

PRESETS = ("fast", "balanced")
_NEEDS = ("nilearn", "matplotlib")
_FILES = ("input.nii.gz", "style.nii.gz", "reference.nii.gz", "output.nii.gz", "output.json", "demo.png")
_PIXEL_MM = 1
"""The template's own voxel size, so that it is loaded without resampling."""
_CONTENT_MM, _STYLE_MM = 10.0, 26.0
"""Heights of the two slices in the template's (MNI) space: both cut the lateral ventricles, differently."""
_SCORES = {
    "head_psnr": "PSNR in the head (dB)",
    "head_ssim": "SSIM in the head",
    "minmax_psnr": "PSNR, whole slice (dB)",
    "minmax_ssim": "SSIM, whole slice",
}


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="see it work, offline",
        description="Takes a slice of the MNI152 template (it comes with nilearn), makes a low-field scan of it, "
        "reconstructs that with another slice as style, and scores input and output against the untouched slice. "
        f"Writes to OUT_DIR: {', '.join(_FILES)}.",
    )
    add = parser.add_argument
    add("folder", metavar="OUT_DIR", nargs="?", type=pathlib.Path, default="demo_out", help="default: %(default)s")
    add("--preset", choices=PRESETS, default="balanced", help="settings (default: %(default)s)")
    add("--seed", type=options.seed, default=0, help="of the scanner's noise and the solver (default: %(default)s)")
    add("--force", action="store_true", help="replace existing outputs")
    options.add_common(parser, as_json=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the scans, reconstruct, score, draw; returns the exit code of ``rnst reconstruct``."""
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise UsageError(f"the demo needs {' and '.join(missing)}; install with: pip install 'rnst-jax[demo]'")
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{args.folder}: cannot be made a folder ({error.strerror}); give another") from error
    paths = {name: args.folder / name for name in _FILES}
    for path in paths.values():
        check_output(path, force=args.force)

    options.say(args, "making a low-field scan of an MNI152 slice (blur, contrast, receive field, Rician noise)")
    truth, style = template(_CONTENT_MM), template(_STYLE_MM)
    nifti.write(paths["reference.nii.gz"], truth.data, truth, args.force)
    nifti.write(paths["style.nii.gz"], style.data, style, args.force)
    nifti.write(paths["input.nii.gz"], low_field(truth.data, args.seed), truth, args.force)

    # From here to the output the reference plays no part: this is the command that a user would give.
    argv = ["reconstruct", paths["input.nii.gz"], paths["output.nii.gz"], "--style", paths["style.nii.gz"]]
    argv += ["--preset", args.preset, "--seed", args.seed]
    argv += [flag for flag in ("--force", "--quiet", "--verbose") if getattr(args, flag[2:])]
    command = [str(word) for word in argv]
    options.say(args, f"runs: rnst {shlex.join(command)}")
    parser = argparse.ArgumentParser()
    reconstruct.add_parser(parser.add_subparsers())
    inner = parser.parse_args(command)
    code = inner.run(inner)

    images = {name: slice_of(paths[f"{name}.nii.gz"]) for name in ("input", "output", "reference", "style")}
    mask = head_mask(images["reference"])
    scores = {name: score(images["reference"], images[name], mask) for name in ("input", "output")}
    draw(paths["demo.png"], images, scores, mask, args)
    record = json.loads(paths["output.json"].read_text())
    print(table(scores))
    print(
        f"preset {args.preset}: {record['Evaluations']} evaluations, "
        f"compiled in {record['CompileSeconds']:.1f} s, ran in {record['RunSeconds']:.1f} s"
    )
    print(f"see {paths['demo.png']}")
    return code


def template(height_mm: float) -> Volume:
    """One axial slice of the MNI152 T1-weighted template (brain only, grey values in [0, 1]) as a volume.

    Source: nilearn's copy of the ICBM 2009a nonlinear template, Fonov et al., NeuroImage 54 (2011).

    Args:
        height_mm: z in MNI space.
    """
    from nilearn.datasets import load_mni152_template

    image: Any = load_mni152_template(resolution=_PIXEL_MM)
    header = image.header.copy()
    header.set_xyzt_units("mm")
    affine = np.asarray(image.affine, dtype=np.float64)
    brain = Volume(image.get_fdata(dtype=np.float32), affine, header, pathlib.Path("MNI152"))
    index = round((height_mm - affine[2, 3]) / affine[2, 2])
    return nifti.sub_volume(brain, 2, index, index + 1)


def low_field(data: np.ndarray, seed: int) -> np.ndarray:
    """The same slice (i, j, 1) as `rnst_jax.simulate.degrade` shows it."""
    import jax
    import jax.numpy as jnp

    from rnst_jax.simulate import degrade

    return np.asarray(degrade(jnp.asarray(data[..., 0]), jax.random.key(seed)))[..., None]


def slice_of(path: pathlib.Path) -> np.ndarray:
    """The only slice of a file in display orientation, (H, W)."""
    return to_slices(nifti.read(path), "axial").stack[0]


def score(reference: np.ndarray, image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """What ``rnst evaluate`` prints: `rnst_jax.metrics.head_scores` and `rnst_jax.metrics.minmax_scores`."""
    from rnst_jax import metrics

    found = metrics.head_scores(reference, image, mask) | metrics.minmax_scores(reference, image)
    return {name: float(found[name]) for name in _SCORES}


def table(scores: dict[str, dict[str, float]]) -> str:
    """Input and output side by side, one score per line."""
    rows = [f"{'against the reference':24}{'input':>9}{'output':>9}"]
    for name, label in _SCORES.items():
        digits = 2 if "psnr" in name else 4
        rows.append(f"{label:24}" + "".join(f"{scores[which][name]:9.{digits}f}" for which in ("input", "output")))
    return "\n".join(rows)


def draw(
    path: pathlib.Path,
    images: dict[str, np.ndarray],
    scores: dict[str, dict[str, float]],
    mask: np.ndarray,
    args: argparse.Namespace,
) -> None:
    """The PNG with all images, the scores and the errors."""
    from rnst_jax.report.figures import Panel, comparison, save

    captions = {
        name: f"in the head: PSNR {found['head_psnr']:.2f} dB, SSIM {found['head_ssim']:.3f}"
        for name, found in scores.items()
    }
    figure = comparison(
        Panel(images["input"], "Input", captions["input"]),
        Panel(images["style"], "Style", f"another slice, {_STYLE_MM - _CONTENT_MM:g} mm higher"),
        Panel(images["output"], "Output", captions["output"]),
        Panel(images["reference"], "Reference", "for scoring only"),
        mask,
    )
    figure.suptitle(f"rnst demo --preset {args.preset} --seed {args.seed}")
    with replacing(path, args.force) as stream:
        save(figure, stream)
