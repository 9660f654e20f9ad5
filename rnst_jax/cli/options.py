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
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")


def say(args: argparse.Namespace, message: str) -> None:
    """A message for the user on stderr, unless -q."""
    if not args.quiet:
        print(f"rnst: {message}", file=sys.stderr, flush=True)


def print_json(content: Any) -> None:
    """JSON on stdout; numbers that it cannot hold become null."""
    print(json.dumps(finite(content), indent=2, ensure_ascii=False))


def finite(content: Any) -> Any:
    """The same nested dicts and lists with NaN and infinite numbers replaced by None.

    Example:
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
