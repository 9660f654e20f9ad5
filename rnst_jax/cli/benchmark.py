"""``rnst benchmark``: how fast is this machine?"""

import argparse
import pathlib
from typing import Any

from rnst_jax.cli import options
from rnst_jax.io.errors import UsageError

NAMES = ("throughput", "scaling", "profile")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "benchmark",
        help="measure the speed of this machine",
        description="Slices per minute, scaling and use of the device, on generated heads: no data are needed. All "
        "rows take about half an hour on 2 cores; --short takes two minutes.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, of {', '.join(NAMES)}; by default all")
    parser.add_argument("--short", action="store_true", help="a few small rows of each")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="add the rows to DIR/NAME.json")
    parser.add_argument("--dearest", action="store_true", help="with profile: the ten dearest operations of `balanced`")
    parser.add_argument("--trace", type=pathlib.Path, metavar="DIR", help="with --dearest: keep the profile for xprof")
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the benchmarks; returns 0."""
    if unknown := [name for name in args.names if name not in NAMES]:
        raise UsageError(f"no benchmark '{unknown[0]}'; there are: {', '.join(NAMES)}")
    if args.trace and not args.dearest:
        raise UsageError("--trace is of --dearest; give both")
    if args.output and args.output.exists() and not args.output.is_dir():
        raise UsageError(f"{args.output}: is no folder; give one for the JSON files")
    from rnst_jax.bench import record, suite

    found: dict[str, Any] = {}
    for name in args.names or NAMES:
        output = args.output / f"{name}.json" if args.output else None
        found[name] = suite.run(name, output, args.short, lambda text, name=name: options.say(args, f"{name}: {text}"))
        if not args.json:
            print(f"\n{name}\n\n{suite.table(name, found[name])}")
    if args.dearest:
        from rnst_jax.bench import profile

        operations = profile.dearest(128 if args.short else 256, trace=args.trace)
        found["dearest"] = [{"operation": n, "seconds": s, "calls": c} for n, s, c in operations]
        if not args.json:
            print("\ndearest operations\n\n" + record.table(("operation", "seconds", "calls"), operations))
    if args.json:
        options.print_json(found)
    return 0
