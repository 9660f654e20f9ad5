"""What several subcommands share: options, and messages to the user."""

import argparse
import json
import math
import sys
from typing import Any


def add_common(parser: argparse.ArgumentParser, as_json: bool = True) -> None:
    """Add -v, -q and --json."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-v", "--verbose", action="store_true", help="say more; full traceback on failure")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but the result and errors")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")


def may_replace(args: argparse.Namespace) -> bool:
    """Whether outputs that are there may be replaced: on request, or since a run goes on that has left them."""
    return args.force or args.resume


def say(args: argparse.Namespace, message: str) -> None:
    """A message for the user on stderr, unless -q."""
    if not args.quiet:
        print(f"rnst: {message}", file=sys.stderr, flush=True)


def print_json(content: Any) -> None:
    """JSON on stdout; numbers that it cannot hold become null."""
    print(json.dumps(finite(content), indent=2, ensure_ascii=False))


def finite(content: Any) -> Any:
    """The same nested dicts and lists with NaN and infinite numbers replaced by None.

    Examples:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, None]}
    """
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def slice_range(text: str) -> tuple[int | None, int | None]:
    """A:B, two slice numbers; None where one is left out.

    Examples:
        >>> slice_range("2:")
        (2, None)
    """
    start, colon, stop = text.partition(":")
    if not colon or not all(part == "" or part.isdecimal() for part in (start, stop)):
        raise argparse.ArgumentTypeError(f"'{text}' is not A:B, two slice numbers from 0")
    return int(start) if start else None, int(stop) if stop else None


def seed(text: str) -> int:
    """A seed of random numbers, from 0 to 2^63 - 1.

    Examples:
        >>> seed("7")
        7
    """
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to 2^63 - 1")
    return int(text)


def chunk(text: str) -> int | None:
    """A positive number, or None for "auto".

    Examples:
        >>> chunk("4")
        4
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a positive number nor auto")
    return int(text)
