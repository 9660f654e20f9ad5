"""The entry point of ``rnst``: subcommands, and the exit codes.

0 done, 1 failure at run time, 2 wrong usage, 3 input refused, 4 part of a batch failed, 130 interrupted.
"""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence

from rnst_jax.cli import benchmark, demo, doctor, evaluate, interrupt, reconstruct, simulate, weights
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.version import __version__

COMMANDS = (demo, reconstruct, simulate, evaluate, weights, doctor, benchmark)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="rnst",
        description="Low-field to high-field MRI by regularization with neural style transfer. For research use only.",
        epilog="exit codes: 0 done, 1 failure at run time, 2 wrong usage, 3 input refused, 4 part of a batch failed, "
        "130 interrupted",
    )
    top.add_argument("--version", action="version", version=f"rnst {__version__}")
    subparsers = top.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments, ``sys.argv[1:]`` by default.

    Returns:
        The exit code; nothing is raised.
    """
    try:
        args = parser().parse_args(argv)
    except SystemExit as done:  # argparse's way to end --help, --version and wrong usage
        return done.code if isinstance(done.code, int) else 2
    try:
        with interrupt.terminable():
            code = args.run(args)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # who reads the output has seen enough (| head); Python would complain when it closes it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RefusedInput as error:
        return _fail(f"refused: {error}", 3)
    except UsageError as error:
        return _fail(f"usage: {error}", 2)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", 130)
    except Exception as error:
        if getattr(args, "verbose", False):
            traceback.print_exc()
        return _fail(f"error: {_describe(error)}", 1)


def _describe(error: Exception) -> str:
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return "out of memory; give a smaller --chunk, or fewer --slices"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{text}; free some and run it again (rnst reconstruct goes on with --resume)"
    return text or type(error).__name__


def _fail(message: str, code: int) -> int:
    # Messages of other libraries can have many lines; scripts that read ours get one.
    print("rnst:", " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
