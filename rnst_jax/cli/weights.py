"""``rnst weights``: the weight files that come with the package."""

import argparse
from typing import Any

from rnst_jax.cli import options
from rnst_jax.io.errors import UsageError


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its own subcommands."""
    parser = subparsers.add_parser("weights", help="list or verify the extractors' weights")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="name, size, licence and source of each file")
    options.add_common(listing)
    listing.set_defaults(run=list_weights)
    verifying = actions.add_parser("verify", help="compare each file with its sha256")
    verifying.add_argument("names", metavar="NAME", nargs="*", help="default: all")
    options.add_common(verifying)
    verifying.set_defaults(run=verify_weights)


def list_weights(args: argparse.Namespace) -> int:
    """Print the manifest; returns 0."""
    from rnst_jax.features import weights

    entries = weights.manifest()
    if args.json:
        options.print_json(entries)
        return 0
    for name, entry in entries.items():
        print(f"{name}: {entry['file']}, {entry['bytes'] / 1e6:.1f} MB, taps {entry['taps']}")
        for field in ("training", "licence", "source"):
            print(f"  {field}: {entry[field]}")
    return 0


def verify_weights(args: argparse.Namespace) -> int:
    """Check sums; returns 0, or 1 where a file is missing or differs."""
    from rnst_jax.features import weights

    known = weights.manifest()
    if unknown := [name for name in args.names if name not in known]:
        raise UsageError(f"no packaged weights named {', '.join(unknown)}; there are {', '.join(known)}")
    found = check_all(args.names or list(known))
    if args.json:
        options.print_json(found)
    else:
        for name, fault in found.items():
            print(f"{name}: {fault or 'ok'}")
    return 1 if any(found.values()) else 0


def check_all(names: list[str]) -> dict[str, str]:
    """For each packaged weight file what is wrong with it, or an empty string."""
    from rnst_jax.features import weights

    found = {}
    for name in names:
        try:
            weights.verify(name)
            found[name] = ""
        except weights.WeightsError as error:
            found[name] = str(error)
    return found
