"""The checksum of a file, without anything that takes long to import."""

import hashlib
import pathlib


def sha256(path: pathlib.Path) -> str:
    """The sha256 of a file, in hexadecimal.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "empty")
        ...     _ = file.write_bytes(b"")
        ...     sha256(file)[:8]
        'e3b0c442'
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
