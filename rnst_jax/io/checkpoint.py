"""What a long run has finished so far, kept beside its output until that is written."""

import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnst_jax.io import atomic
from rnst_jax.io.errors import RefusedInput, UsageError

_IDENTITY = "identity.json"


class Checkpoint:
    """Numbered parts of a result in a hidden folder beside the output, with what they were made from.

    The folder is made when the first part is kept. Every file in it is whole or not there.

    Args:
        output: the file that the parts will become.
        identity: all that decides the result, as JSON can hold it.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = Checkpoint(pathlib.Path(folder, "out.nii.gz"), {"Seed": 1})
        ...     kept.save(0, {"image": np.ones((2, 2))})
        ...     kept.load(0)["image"].sum().item(), kept.load(1)
        (4.0, None)
    """

    def __init__(self, output: pathlib.Path, identity: Mapping[str, Any]):
        self.folder = output.with_name(f".{output.name}.parts")
        self._output = output
        self._identity = json.loads(json.dumps(identity))

    def begin(self, resume: bool, force: bool) -> None:
        """Check the parts that an earlier run has left, and drop them if they are not to be gone on with.

        Takes and raises what `check` does.
        """
        self.check(resume, force)
        if not resume and self.folder.exists():
            self.remove()

    def check(self, resume: bool, force: bool) -> None:
        """Whether a run may begin where an earlier one has left parts.

        Args:
            resume: go on with them.
            force: without ``resume``, drop them.

        Raises:
            UsageError: there are some, and neither is wanted.
            RefusedInput: they are to be used, but were made from something else.
        """
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise UsageError(f"{self.folder}: is in the way of the parts of a run; remove it")
        if not self.folder.exists():
            return
        if not resume:
            if not force:
                raise UsageError(
                    f"{self.folder}: slices of an interrupted run; give --resume to go on, or --force to start anew"
                )
        elif changed := self._changed():
            raise RefusedInput(
                f"{self.folder}: slices made with other {', '.join(changed)}; give --force to start anew"
            )

    def load(self, number: int) -> dict[str, np.ndarray] | None:
        """A part that was kept, or None.

        Raises:
            RefusedInput: it cannot be read.
        """
        path = self._part(number)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise RefusedInput(f"{path}: damaged ({error}); give --force instead of --resume to start anew") from error

    def save(self, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a part.

        Raises:
            OSError: the disk is full, say; the parts that were kept before stay.
        """
        contents: dict[str, Any] = dict(arrays)
        self.folder.mkdir(exist_ok=True)
        try:
            if not (self.folder / _IDENTITY).exists():
                atomic.write_json(self.folder / _IDENTITY, self._identity)
            with atomic.replacing(self._part(number), force=True) as stream:
                np.savez(stream, **contents)
        except BaseException:
            if not any(self.folder.glob("[0-9]*.npz")):
                self.remove()
            raise

    def remove(self) -> None:
        """Remove the parts, and what a run that was killed has left of files on their way to the output's place."""
        atomic.remove_leftovers(self._output)
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name.endswith((".npz", _IDENTITY)):
                path.unlink()
        self.folder.rmdir()

    def _part(self, number: int) -> pathlib.Path:
        return self.folder / f"{number:05d}.npz"

    def _changed(self) -> list[str]:
        path = self.folder / _IDENTITY
        if not path.is_file():  # killed before the first part
            return []
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RefusedInput(f"{path}: damaged ({error}); give --force instead of --resume to start anew") from error
        return differences(found, self._identity)


def differences(found: Any, wanted: Mapping[str, Any]) -> list[str]:
    """The names in ``wanted`` whose value ``found`` does not have, the inner ones after a dot.

    Examples:
        >>> differences({"Seed": 1, "Config": {"mu": 1, "lam": 2}}, {"Seed": 1, "Config": {"mu": 3, "lam": 2}})
        ['Config.mu']
    """
    if not isinstance(found, dict):
        return list(wanted)
    names = []
    for name, value in wanted.items():
        if isinstance(value, Mapping):
            inner = found.get(name)
            keys = sorted({*value, *(inner if isinstance(inner, dict) else ())})
            names += [f"{name}.{key}" for key in differences(inner, {key: value.get(key) for key in keys})]
        elif found.get(name) != value:
            names.append(name)
    return names
