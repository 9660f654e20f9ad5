"""``rnst weights``: the weight files of the extractors, packaged and fetched."""

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from rnst_jax.cli import options
from rnst_jax.io.atomic import check_output
from rnst_jax.io.errors import RefusedInput, UsageError


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its own subcommands."""
    parser = subparsers.add_parser("weights", help="list, verify, fetch or convert the extractors' weights")
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="source, licence, size, sha256 and place of each file")
    options.add_common(listing)
    listing.set_defaults(run=list_weights)

    verifying = actions.add_parser("verify", help="compare each file with its sha256")
    verifying.add_argument("names", metavar="NAME", nargs="*", help="default: all that are here")
    options.add_common(verifying)
    verifying.set_defaults(run=verify_weights)

    fetching = actions.add_parser(
        "fetch",
        help="download and convert",
        description="Downloads torchvision's file of a model by https (or takes another one), compares its sha256, "
        "converts it into the cache. What is there and sound is kept; an interrupted download goes on.",
    )
    fetching.add_argument("name", metavar="NAME", help="see: rnst weights list")
    fetching.add_argument("--from", dest="source", metavar="URL|PATH", help="a mirror, or a file that was copied here")
    fetching.add_argument("--sha256", metavar="HEX", help="of the file; needed with a URL of any but the official file")
    fetching.add_argument("--force", action="store_true", help="replace what the cache has")
    options.add_common(fetching)
    fetching.set_defaults(run=fetch_weights)

    converting = actions.add_parser(
        "convert",
        help="make the safetensors file of a state dict",
        description="Converts .pth, .pt or .safetensors in torchvision's, timm's or Hugging Face's naming. Nothing in "
        "the file is run. Writes OUT and its entry (OUT's name with .json).",
    )
    converting.add_argument("name", metavar="NAME", help="the model, see: rnst weights list")
    converting.add_argument("source", metavar="FILE", type=pathlib.Path, help="the file to convert")
    converting.add_argument("--out", metavar="F.safetensors", type=pathlib.Path, help="default: into the cache")
    converting.add_argument("--training", metavar="TEXT", help="what the network was trained on, for the entry")
    converting.add_argument("--licence", metavar="TEXT", help="of the weights, for the entry")
    converting.add_argument("--force", action="store_true", help="replace what is there")
    options.add_common(converting)
    converting.set_defaults(run=convert_weights)


def list_weights(args: argparse.Namespace) -> int:
    """Print what there is, sound or not, and what could be fetched; returns 0."""
    rows = inventory()
    if args.json:
        options.print_json(rows)
    else:
        for row in rows:
            print(_head(row))
            for field in ("training", "licence", "source"):
                print(f"  {field}: {row[field] or 'unknown'}")
            print(f"  sha256: {row['sha256'] or 'not here'}")
            print(f"  found: {row['found']}{_state(row)}")
    return 0


def _head(row: dict[str, Any]) -> str:
    if row["file"] is None:
        return row["name"]
    return f"{row['name']}: {row['file']}, {(row['bytes'] or 0) / 1e6:.1f} MB, taps {row['taps'] or 'unknown'}"


def _state(row: dict[str, Any]) -> str:
    if row["file"] is None:
        return ""
    return f", NOT VERIFIED: {row['fault']}" if row["fault"] else ", verified"


def inventory() -> list[dict[str, Any]]:
    """A row for each file of the package and of the cache, and for each model that is in neither.

    Fields: name, file, taps, training, licence, source, source_sha256, sha256, bytes, found (where), verified, fault.
    """
    from rnst_jax.features import weights
    from rnst_jax.features.catalogue import MODELS

    fields = ("file", "taps", "training", "licence", "source", "source_sha256", "sha256", "bytes")
    cache, rows = weights.cache_folder(), []
    for place, folder, entries in (
        ("package", weights.folder(), weights.manifest()),
        ("cache", cache, weights.cached(cache)),
    ):
        for name, entry in entries.items():
            path = folder / entry["file"]
            fault = ""
            if not path.is_file():
                fault = f"{path}: missing"
            elif weights.sha256(path) != entry["sha256"]:
                fault = f"{path}: its sha256 is not the manifest's"
            row = {"name": name} | {field: entry.get(field) for field in fields}
            rows.append(row | {"found": f"{place}, {path}", "verified": not fault, "fault": fault})
    here = {row["name"] for row in rows}
    for name, model in MODELS.items():
        if name not in here:
            row: dict[str, Any] = {"name": name} | dict.fromkeys(fields)
            row |= {"source": model.url, "licence": "BSD-3-Clause (torchvision weights)"}
            row |= {"training": "ImageNet-1k classification (torchvision)"}
            rows.append(row | {"found": f"not here: rnst weights fetch {name}", "verified": False, "fault": ""})
    return rows


def verify_weights(args: argparse.Namespace) -> int:
    """Check sums; returns 0, or 1 where a file is missing or differs."""
    from rnst_jax.features import weights

    known = weights.manifest() | weights.cached()
    if unknown := [name for name in args.names if name not in known]:
        raise UsageError(f"no weights named {', '.join(unknown)} here; there are {', '.join(known)}")
    found = check_all(args.names or list(known))
    if args.json:
        options.print_json(found)
    else:
        for name, fault in found.items():
            print(f"{name}: {fault or 'ok'}")
    return 1 if any(found.values()) else 0


def check_all(names: list[str]) -> dict[str, str]:
    """For each named weight file what is wrong with it, or an empty string."""
    from rnst_jax.features import weights

    found = {}
    for name in names:
        try:
            weights.verify(name)
            found[name] = ""
        except weights.WeightsError as error:
            found[name] = str(error)
    return found


def fetch_weights(args: argparse.Namespace) -> int:
    """Fetch one model into the cache and print where it is; returns 0."""
    from rnst_jax.features import weights
    from rnst_jax.features.fetch import fetch

    with _refusals(), _progress(args) as progress:
        path = fetch(args.name, args.source, sha256=args.sha256, force=args.force, progress=progress)
    _print_entry(args, path, weights.cached()[args.name])
    if args.name in weights.manifest():
        options.say(args, f"the packaged {args.name} comes first; to use this file give --weights '{path}'")
    return 0


def convert_weights(args: argparse.Namespace) -> int:
    """Convert one file and print where the result is; returns 0."""
    from rnst_jax.features import weights
    from rnst_jax.features.convert import convert

    if args.out:
        for path in (args.out, args.out.with_suffix(".json")):
            check_output(path, (args.source,), args.force)
    with _refusals():
        entry = convert(
            args.name, args.source, args.out, force=args.force, training=args.training, licence=args.licence
        )
    _print_entry(args, args.out or weights.cache_folder() / entry["file"], entry)
    return 0


def _print_entry(args: argparse.Namespace, path: pathlib.Path, entry: dict[str, Any]) -> None:
    if args.json:
        options.print_json({"Output": str(path)} | entry)
    else:
        print(f"{path}: {entry['bytes'] / 1e6:.1f} MB, sha256 {entry['sha256']}, from {entry['source']}")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Give the faults of a request and of a file their exit codes; a network that fails stays a failure."""
    from rnst_jax.features import weights
    from rnst_jax.features.download import FetchError

    try:
        yield
    except FetchError:
        raise
    except weights.WeightsError as error:
        raise RefusedInput(str(error)) from error
    except (ValueError, FileExistsError, ModuleNotFoundError) as error:
        raise UsageError(str(error)) from error


@contextlib.contextmanager
def _progress(args: argparse.Namespace) -> Iterator[Any]:
    """A bar on a terminal, one line elsewhere; made when the first byte arrives."""
    bar: Any = None

    def progress(done: int, total: int | None) -> None:
        nonlocal bar
        if bar is None:
            if not sys.stderr.isatty():
                size = f" {total / 1e6:.1f} MB" if total else ""
                options.say(args, f"downloading{size}" + (f", {done / 1e6:.1f} MB are here" if done else ""))
            hidden = args.quiet or not sys.stderr.isatty()
            bar = tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=args.name, disable=hidden)
        bar.update(done - bar.n)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()
