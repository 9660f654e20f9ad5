"""``--compilation-cache DIR``: programs that were compiled once are loaded by later runs."""

import argparse
import os
import pathlib
import stat

from rnst_jax.io.errors import UsageError


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add --compilation-cache."""
    parser.add_argument(
        "--compilation-cache",
        type=pathlib.Path,
        metavar="DIR",
        help="keep compiled programs here for later runs with the same sizes",
    )


def check(folder: pathlib.Path) -> None:
    """Refuse a folder that is there and cannot be the cache: what lies in it is run as code.

    Raises:
        UsageError: it is no folder, it is somebody else's, or others may write to it.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder; give another --compilation-cache")
    found = folder.stat()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise UsageError(
            f"{folder}: compiled programs are run as they are, and others may write to this folder; "
            "give one of your own as --compilation-cache, or chmod 700 it"
        )


def use(folder: pathlib.Path) -> None:
    """Have JAX keep and look for compiled programs in the folder, from now on in this process; made with mode 0700.

    Raises:
        UsageError: as `check`.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    check(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # JAX opens its cache once and would stay with the first folder
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))
    # many small programs run before the large one: together they take seconds
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
