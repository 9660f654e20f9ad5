"""``rnst reconstruct``: a low-field scan and a high-field style scan in, a better scan out."""

import argparse
import pathlib
from typing import Any

import numpy as np

from rnst_jax.cli import cache, cohort, dicom, kspace, options, plan, report, resume, settings, solving
from rnst_jax.io import nifti, provenance, volumes
from rnst_jax.io.anatomy import ANATOMIES
from rnst_jax.io.atomic import check_output, replacing, write_json
from rnst_jax.io.checkpoint import Checkpoint
from rnst_jax.io.dicom import is_dicom
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.planes import PLANES
from rnst_jax.io.prepare import prepare


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
    add("content", metavar="CONTENT", type=pathlib.Path, help="low-field scan: .nii, .nii.gz, DICOM, k-space; a folder")
    add("out", metavar="OUT", type=pathlib.Path, help="output, .nii or .nii.gz; for a folder, a folder")
    add("--style", type=pathlib.Path, required=True, help="high-field scan of another person, any size and orientation")
    add("--mask", type=pathlib.Path, help="the head on the content's grid, non-zero inside (default: found)")
    add("--suffix", metavar="T1w", help="of a BIDS dataset, the scans of this contrast")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--preset", choices=settings.PRESETS, default="balanced", help="settings (default: %(default)s)"
    )
    chosen.add_argument("--config", type=pathlib.Path, metavar="F.toml", help="settings from a file")
    add(
        "--extractor",
        choices=settings.EXTRACTORS,
        default="vgg16",
        help="feature network; with its own taps, unless --config names them (default: %(default)s)",
    )
    add("--weights", type=pathlib.Path, help="safetensors file for the extractor (default: the packaged one, if any)")
    add("--plane", choices=("auto", *PLANES), default="auto", help="default: across the thickest voxel axis")
    add(
        "--anatomy",
        choices=ANATOMIES,
        default="auto",
        help="whole heads, or brains without their scalp, in both scans (default: found in each)",
    )
    add(
        "--slices",
        type=options.slice_range,
        default=(None, None),
        metavar="A:B",
        help="slices A to B-1 of the file, from 0",
    )
    add("--chunk", type=options.chunk, default=None, metavar="N|auto", help="slices at a time (default: auto)")
    add("--seed", type=options.seed, default=0, help="of the random numbers (default: %(default)s)")
    add("--device", choices=settings.DEVICES, help="default: what JAX prefers")
    add("--force", action="store_true", help="replace existing outputs, and drop the slices of an interrupted run")
    add("--resume", action="store_true", help="go on with the slices that an interrupted run has kept beside OUT")
    add("--dry-run", action="store_true", help="check everything, say what would be done, write nothing")
    add("--trace", type=pathlib.Path, metavar="F.npz", help="also write score, loss and error per iteration")
    cache.add_option(parser)
    kspace.add_options(parser)
    dicom.add_options(parser)
    report.add_options(parser)
    options.add_common(parser)
    parser.set_defaults(run=run, cohort=False, uri=None)


def run(args: argparse.Namespace) -> int:
    """Reconstruct a scan or a folder of them. Returns 0, or 4 where some slices or scans failed."""
    if args.content.is_dir() and (cohort.is_cohort(args.content) or not is_dicom(args.content)):
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
    chosen = (args.mask, args.plane, args.slices, args.anatomy)
    case = measured.case if measured else prepare(args.content, args.style, *chosen)
    for warning in case.warnings:
        options.say(args, f"warning: {warning}")
    truth = report.reference(args, case)

    # JAX is imported from here on: a refusal must not wait for it.
    import jax

    if args.compilation_cache and not args.dry_run:
        cache.use(args.compilation_cache)
    device = settings.device(args.device)
    config, numbers = settings.config(args)
    if measured:
        config, numbers = kspace.with_data_term(config, measured.missing)
    extractor = settings.extractor(args, config)
    size = solving.chunk(args, case, config, device)
    with jax.default_device(device):
        planned = plan.made(args, case, config, size, settings.describe(device))
    identity = provenance.identity(
        inputs=_inputs(args),
        weights=settings.weights(args),
        config=numbers,
        settings=planned["settings"],
        device=settings.describe(device),
        seed=args.seed,
    )
    kept = Checkpoint(args.out, identity)
    if args.dry_run:
        kept.check(args.resume, args.force)
        return 0, plan.report(args, planned)
    if args.resume and (found := resume.finished(args, sidecar, identity, kept)):
        options.say(args, f"{args.out}: is there already, made from the same")
        _, scores = report.scores(case, nifti.read(args.out).data, truth)
        return resume.code(found), _told(args, sidecar, found, scores)
    kept.begin(args.resume, args.force)
    with jax.default_device(device):
        solved = solving.solve(args, case, config, extractor, measured, kept, planned)

    slices, failed = solving.outcome(case, solved)
    if len(failed) == len(case.y):
        kept.remove()
        raise RuntimeError("every slice became non-finite, nothing is written; try another --preset or a smaller step")
    told = [f"slice {n} became non-finite; its last finite image was kept" for n in failed]
    for warning in told:
        options.say(args, f"warning: {warning}")
    record = options.finite(
        provenance.sidecar(
            identity,
            uri=args.uri,
            found=solved.found.record(),
            evaluations=int(solved.result.evaluations.sum()),
            compile_seconds=solved.compile_seconds,
            run_seconds=solved.run_seconds,
            slices=slices,
            warnings=[*case.warnings, *told],
        )
    )
    # what a resumed run finds here was left by the one that it goes on with
    force = options.may_replace(args)
    if force:
        # An old sidecar must never describe a new image, not even when this is interrupted.
        sidecar.unlink(missing_ok=True)
    solved = solved._replace(images=np.where(np.isfinite(solved.images), solved.images, case.y))
    volume = case.volume(solved.images)
    nifti.write(args.out, volume, case.content, force)
    if args.trace:
        with replacing(args.trace, force) as stream:
            np.savez(stream, **solved.result.trace)
    if args.dicom_out:
        dicom.write(args, volume, case.content, planned["settings"]["Preset"])
    scores = report.write(args, case, volume, truth, solved, record, measured) if args.report else {}
    write_json(sidecar, record, force)
    kept.remove()
    if not args.json:
        print(f"{args.out}: {len(case.y)} slices, {record['Evaluations']} evaluations, {solved.run_seconds:.1f} s")
    return 4 if failed else 0, _told(args, sidecar, record, scores)


def _told(args: argparse.Namespace, sidecar: pathlib.Path, record: dict[str, Any], scores: Any) -> dict[str, Any]:
    """What is returned and printed as JSON: places, the sidecar's content, mean scores against a reference."""
    return {"Output": str(args.out), "Sidecar": str(sidecar)} | record | ({"Scores": scores} if scores else {})


def _inputs(args: argparse.Namespace) -> dict[str, pathlib.Path]:
    """The files that shape the result, by their role."""
    roles = ("content", "style", "mask", "geometry")
    return {role: getattr(args, role) for role in roles if getattr(args, role)}


def check(args: argparse.Namespace) -> pathlib.Path:
    """Refuse what can be refused without loading anything; returns the sidecar's path."""
    inputs = (*_inputs(args).values(), *(path for path in (args.config, args.weights, args.reference) if path))
    resume.check(args)
    kspace.check(args)
    for role, path in _inputs(args).items():
        if role != "content" or not kspace.is_given(args):
            volumes.check(path)
    for path in (args.config, args.weights):
        if path and not path.is_file():
            raise RefusedInput(f"{path}: no such file; check the path")
    # the folders of a cohort are not made for a dry run
    unmade = args.cohort and args.dry_run
    sidecar = nifti.sidecar(args.out) if unmade else nifti.check_outputs(args.out, inputs, options.may_replace(args))
    dicom.check(args)
    report.check(args, inputs)
    if args.trace:
        if args.trace.suffix != ".npz":
            raise UsageError(f"{args.trace}: the trace is an .npz file; give a name that ends in .npz")
        check_output(args.trace, inputs, options.may_replace(args))
    if args.compilation_cache:
        cache.check(args.compilation_cache)
    return sidecar
