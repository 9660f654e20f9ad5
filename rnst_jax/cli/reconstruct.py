"""``rnst reconstruct``: a low-field scan and a high-field style scan in, a better scan out."""

import argparse
import pathlib
import time
from typing import Any

import numpy as np

from rnst_jax.cli import cache, cohort, kspace, options, plan, report
from rnst_jax.cli.progress import Progress
from rnst_jax.io import guard, nifti, provenance
from rnst_jax.io.atomic import check_output, replacing, write_json
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.planes import PLANES
from rnst_jax.io.prepare import Case, prepare

PRESETS = ("fast", "balanced", "paper", "upstream")
EXTRACTORS = (
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
)
DEVICES = ("cpu", "gpu", "tpu")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="reconstruct a low-field scan",
        description="Reconstruct CONTENT with the look of STYLE. Writes OUT with the content's geometry and units, "
        "then OUT's sidecar .json. With --slices only those slices are written, at their place in the scanner. "
        "Slices without a head are copied as they are. If CONTENT is a folder, all scans in it are reconstructed, or "
        "all anatomical ones of a BIDS dataset; those that fail do not stop the others.",
    )
    add = parser.add_argument
    add("content", metavar="CONTENT", type=pathlib.Path, help="low-field scan, .nii or .nii.gz; its k-space; a folder")
    add("out", metavar="OUT", type=pathlib.Path, help="output, .nii or .nii.gz; for a folder, a folder")
    add("--style", type=pathlib.Path, required=True, help="high-field scan of another person, any size and orientation")
    add("--mask", type=pathlib.Path, help="the head on the content's grid, non-zero inside (default: found)")
    add("--suffix", metavar="T1w", help="of a BIDS dataset, the scans of this contrast")
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument("--preset", choices=PRESETS, default="balanced", help="settings (default: %(default)s)")
    settings.add_argument("--config", type=pathlib.Path, metavar="F.toml", help="settings from a file")
    add(
        "--extractor",
        choices=EXTRACTORS,
        default="vgg16",
        help="feature network; with its own taps, unless --config names them (default: %(default)s)",
    )
    add("--weights", type=pathlib.Path, help="safetensors file for the extractor (default: the packaged one, if any)")
    add("--plane", choices=("auto", *PLANES), default="auto", help="default: across the thickest voxel axis")
    add(
        "--slices",
        type=options.slice_range,
        default=(None, None),
        metavar="A:B",
        help="slices A to B-1 of the file, from 0",
    )
    add("--chunk", type=options.chunk, default=None, metavar="N|auto", help="slices at a time (default: auto)")
    add("--seed", type=int, default=0, help="of the random numbers (default: %(default)s)")
    add("--device", choices=DEVICES, help="default: what JAX prefers")
    add("--force", action="store_true", help="replace existing outputs")
    add("--dry-run", action="store_true", help="check everything, say what would be done, write nothing")
    add("--trace", type=pathlib.Path, metavar="F.npz", help="also write score, loss and error per iteration")
    cache.add_option(parser)
    kspace.add_options(parser)
    report.add_options(parser)
    options.add_common(parser)
    parser.set_defaults(run=run, cohort=False)


def run(args: argparse.Namespace) -> int:
    """Reconstruct a scan or a folder of them. Returns 0, or 4 where some slices or scans failed."""
    if args.content.is_dir():
        return cohort.run(args, one)
    if args.suffix:
        raise UsageError(f"{args.content}: --suffix chooses in a BIDS dataset; leave it out for one scan")
    code, record = one(args)
    if args.json:
        options.print_json(record)
    return code


def one(args: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Check, reconstruct, write one scan. Returns 0, or 4 where some slices became non-finite, and the record."""
    sidecar = check(args)
    measured = kspace.prepare(args) if kspace.is_given(args) else None
    case = measured.case if measured else prepare(args.content, args.style, args.mask, args.plane, args.slices)
    for warning in case.warnings:
        options.say(args, f"warning: {warning}")
    truth = report.reference(args, case)

    # JAX is imported from here on: a refusal must not wait for it.
    import jax

    device = _device(args.device)

    from rnst_jax import api

    config, settings = _config(args)
    if measured:
        config, settings = kspace.with_data_term(config)
    planned = api.planned_evaluations(config) * len(case.y)
    planned_run = plan.made(args, case, planned, _describe(device))
    if args.dry_run:
        return 0, plan.report(args, planned_run)

    if args.compilation_cache:
        cache.use(args.compilation_cache)
    extractor, weights = _extractor(args, config)
    progress = Progress(planned, args.quiet)
    with jax.default_device(device):
        begun = time.perf_counter()
        compiled = _compile(args, case, config, extractor, progress, measured)
        compile_seconds = time.perf_counter() - begun
        options.say(args, f"compiled in {compile_seconds:.1f} s; {planned_run['summary']}")
        begun = time.perf_counter()
        with progress:
            result = jax.block_until_ready(compiled())
            jax.effects_barrier()
        run_seconds = time.perf_counter() - begun

    images = np.asarray(result.image, dtype=np.float32)
    images = case.uncrop(images) if config.crop else images
    slices, failed = _outcome(case, result, images)
    if len(failed) == len(case.y):
        raise RuntimeError("every slice became non-finite, nothing is written; try another --preset or a smaller step")
    told = [f"slice {n} became non-finite; its last finite image was kept" for n in failed]
    for warning in told:
        options.say(args, f"warning: {warning}")
    record = provenance.sidecar(
        inputs=_inputs(args),
        weights=weights,
        config=settings,
        settings=planned_run["settings"],
        device=_describe(device),
        seed=args.seed,
        evaluations=int(np.asarray(result.evaluations).sum()),
        compile_seconds=compile_seconds,
        run_seconds=run_seconds,
        slices=slices,
        warnings=[*case.warnings, *told],
    )
    record = options.finite(record)
    if args.force:
        # An old sidecar must never describe a new image, not even when this is interrupted.
        sidecar.unlink(missing_ok=True)
    volume = case.volume(np.where(np.isfinite(images), images, case.y))
    nifti.write(args.out, volume, case.content, args.force)
    if args.trace:
        with replacing(args.trace, args.force) as stream:
            arrays: dict[str, Any] = {name: np.asarray(values) for name, values in result.trace.items()}
            np.savez(stream, **arrays)
    write_json(sidecar, record, args.force)
    if args.report:
        report.write(args, case, volume, truth, result, record)
    if not args.json:
        print(f"{args.out}: {len(case.y)} slices, {record['Evaluations']} evaluations, {run_seconds:.1f} s")
    return 4 if failed else 0, {"Output": str(args.out), "Sidecar": str(sidecar)} | record


def _compile(
    args: argparse.Namespace, case: Case, config: Any, extractor: Any, progress: Progress, measured: Any
) -> Any:
    """The compiled reconstruction of a case, on the box of its heads where the config says so."""
    import jax

    from rnst_jax import api

    crop, crop_style = (case.crop, case.crop_style) if config.crop else (np.asarray, np.asarray)
    y, physics = kspace.data(measured) if measured else (crop(case.y), {})
    return api.compile(
        y,
        crop_style(case.style),
        preset=config,
        extractor=extractor,
        mask=crop(case.mask),
        style_mask=crop_style(case.style_mask),
        # the outline of a brain that was cut out of its head says nothing of a rim
        rim=np.zeros_like(crop(case.mask)) if case.stripped else None,
        field=None if measured else _field(case, config),
        sigma=case.noise / (case.scaling.hi - case.scaling.lo),
        chunk=args.chunk,
        key=jax.random.key(args.seed),
        # JAX keeps no program that calls back to Python, neither on the disk nor for the next scan
        progress=None if args.compilation_cache or args.cohort else progress,
        **physics,
    )


def _field(case: Case, config: Any) -> np.ndarray | None:
    """The receive field of the whole scan, whichever slices were asked for; None where the config wants none."""
    from rnst_jax.scalp import shows_scalp

    if not (config.masked and config.bias_correction):
        return None
    crop = case.crop if config.crop else np.asarray
    # a brain that was cut out of its head has mostly been corrected before
    whole_heads = not case.stripped and shows_scalp(case.style, case.style_mask)
    return crop(case.receive_field if whole_heads else np.ones_like(case.y))


def _inputs(args: argparse.Namespace) -> dict[str, pathlib.Path]:
    """The files that shape the result, by their role."""
    roles = ("content", "style", "mask", "geometry")
    return {role: getattr(args, role) for role in roles if getattr(args, role)}


def check(args: argparse.Namespace) -> pathlib.Path:
    """Refuse what can be refused without loading anything; returns the sidecar's path."""
    inputs = (*_inputs(args).values(), *(path for path in (args.config, args.weights) if path))
    kspace.check(args)
    for role, path in _inputs(args).items():
        if role != "content" or not kspace.is_given(args):
            guard.check_file(path)
    for path in (args.config, args.weights):
        if path and not path.is_file():
            raise RefusedInput(f"{path}: no such file; check the path")
    # the folders of a cohort are not made for a dry run
    unmade = args.cohort and args.dry_run
    sidecar = nifti.sidecar(args.out) if unmade else nifti.check_outputs(args.out, inputs, args.force)
    if args.compilation_cache and not args.dry_run:
        cache.prepare(args.compilation_cache)
    report.check(args, inputs)
    if args.trace:
        if args.trace.suffix != ".npz":
            raise UsageError(f"{args.trace}: the trace is an .npz file; give a name that ends in .npz")
        check_output(args.trace, inputs, args.force)
    return sidecar


def _config(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The settings for the extractor as a frozen config, and the same as a dict."""
    from rnst_jax import presets

    if not args.config:
        config = presets.for_extractor(presets.get(args.preset), args.extractor)
    else:
        try:
            config = presets.load(args.config, args.extractor)
        except (ValueError, TypeError, KeyError) as error:  # a TOML syntax error is a ValueError
            raise RefusedInput(f"{args.config}: {error}; compare it with a preset written by rnst") from error
    return config, presets.to_dict(config)


def _extractor(args: argparse.Namespace, config: Any) -> tuple[Any, pathlib.Path]:
    """The feature network, as deep as the config's taps need it, and its weight file."""
    from rnst_jax import features
    from rnst_jax.features import weights

    try:
        path = args.weights or weights.find(args.extractor)
        taps = (*config.style_taps, *config.content_taps)
        return features.load(args.extractor, args.weights, taps=taps), path
    except ValueError as error:
        raise RefusedInput(f"{path}: {error}; give other --weights, or other taps in --config") from error
    except features.WeightsError as error:
        if args.weights:
            raise RefusedInput(str(error)) from error
        raise


def _device(kind: str | None) -> Any:
    import jax

    try:
        return jax.devices(kind)[0]
    except RuntimeError as error:
        raise UsageError(
            f"--device {kind}: JAX sees no such device; see 'rnst doctor', or leave --device out"
        ) from error


def _describe(device: Any) -> str:
    return f"{device.platform} ({device.device_kind})"


def _outcome(case: Case, result: Any, images: np.ndarray) -> tuple[list[dict[str, Any]], list[int]]:
    """Per slice of the output what became of it, and the numbers of those that failed."""
    from rnst_jax.types import Status

    rows, failed, lane = [], [], 0
    status, score = np.asarray(result.status), np.asarray(result.score)
    steps, evaluations = np.asarray(result.steps), np.asarray(result.evaluations)
    for number, head in zip(case.numbers, case.heads, strict=True):
        if not head:
            rows.append({"Slice": number, "Status": "copied"})
            continue
        finite = bool(np.isfinite(images[lane]).all())
        state = Status(int(status[lane])) if finite else Status.NONFINITE
        if state == Status.NONFINITE:
            failed.append(number)
        rows.append(
            {
                "Slice": number,
                "StyleSlice": case.style_numbers[lane],
                "Status": state.name.lower(),
                "Score": float(score[lane]),
                "Steps": int(steps[lane]),
                "Evaluations": int(evaluations[lane]),
            }
        )
        lane += 1
    return rows, failed
