"""BIDS: the anatomical scans of a dataset, and the derivative that our results make.

Source: Gorgolewski et al., Scientific Data 3 (2016); BIDS specification 1.10.
"""

import json
import os
import pathlib
from typing import Any

from rnst_jax.io import atomic
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.nifti import SUFFIXES, stem
from rnst_jax.version import __version__

VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
_RAW = "raw"
"""What the derivative calls its source."""


def is_dataset(folder: pathlib.Path) -> bool:
    """Whether a folder says that it is a BIDS dataset."""
    return (folder / DESCRIPTION).is_file()


def anatomical(folder: pathlib.Path) -> list[pathlib.Path]:
    """All NIfTI files in ``sub-*/anat`` and ``sub-*/ses-*/anat``, sorted."""
    found = [path for pattern in ("sub-*/anat/*", "sub-*/ses-*/anat/*") for path in folder.glob(pattern)]
    return sorted(path for path in found if path.name.lower().endswith(SUFFIXES) and path.name[0] != ".")


def suffix(path: pathlib.Path) -> str:
    """The contrast in a file's name.

    Examples:
        >>> suffix(pathlib.Path("sub-01_acq-low_T1w.nii.gz"))
        'T1w'
    """
    return stem(path).rsplit("_", 1)[-1]


def derived(path: pathlib.Path) -> pathlib.Path:
    """The name of a result: ``desc-rnst`` before the suffix.

    Examples:
        >>> derived(pathlib.Path("sub-01/anat/sub-01_T1w.nii.gz")).as_posix()
        'sub-01/anat/sub-01_desc-rnst_T1w.nii.gz'
    """
    name = stem(path)
    entities, _, last = name.rpartition("_")
    kept = [part for part in entities.split("_") if part and not part.startswith("desc-")]
    return path.with_name("_".join([*kept, "desc-rnst", last]) + path.name[len(name) :])


def uri(path: pathlib.Path) -> str:
    """The BIDS URI of a file of the source dataset, by its path there; see `describe_derivative`.

    Examples:
        >>> uri(pathlib.Path("sub-01/anat/sub-01_T1w.nii.gz"))
        'bids:raw:sub-01/anat/sub-01_T1w.nii.gz'
    """
    return f"bids:{_RAW}:{path.as_posix()}"


def describe_derivative(folder: pathlib.Path, source: pathlib.Path, force: bool = False) -> None:
    """Write the derivative's dataset_description.json, unless ours is there already.

    Raises:
        RefusedInput: that of the source is no JSON object.
        UsageError: the folder is the source, or another dataset, and not ``force``.
    """
    path = folder / DESCRIPTION
    raw = _read(source / DESCRIPTION)
    if folder.samefile(source):
        raise UsageError(f"{folder}: is the dataset itself; give another folder, such as {source}/derivatives/rnst")
    if path.is_file():
        makers = _read(path).get("GeneratedBy") or [{}]
        if isinstance(makers, list) and isinstance(makers[0], dict) and makers[0].get("Name") == "rnst_jax":
            return
        if not force:
            raise UsageError(f"{path}: is of another dataset; choose another folder or give --force to replace it")
    content: dict[str, Any] = {
        "Name": f"{raw.get('Name', source.name)}: brought to the look of high-field scans",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "rnst_jax", "Version": __version__}],
        "DatasetLinks": {_RAW: pathlib.Path(os.path.relpath(source, folder)).as_posix()},
    }
    if isinstance(raw.get("DatasetDOI"), str):
        content["SourceDatasets"] = [{"URL": raw["DatasetDOI"]}]
    atomic.write_json(path, content, force=True)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RefusedInput(f"{path}: cannot be read as JSON ({error}); mend it") from error
    if not isinstance(content, dict):
        raise RefusedInput(f"{path}: must hold a JSON object; mend it")
    return content
