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


def prepare(folder: pathlib.Path) -> None:
    """Make the folder with mode 0700, or check one that is there: what lies in it is run as code.

    Raises:
        UsageError: it is no folder, it is somebody else's, or others may write to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{folder}: is not a folder; give another --compilation-cache") from error
    found = folder.stat()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise UsageError(
            f"{folder}: compiled programs are run as they are, and others may write to this folder; "
            "give one of your own as --compilation-cache, or chmod 700 it"
        )


def use(folder: pathlib.Path) -> None:
    """Have JAX keep and look for compiled programs in the folder, from now on in this process."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    # JAX opens its cache once and would stay with the first folder
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))
    # many small programs run before the large one: together they take seconds
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
