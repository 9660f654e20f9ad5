"""The code in the guides, the notebooks and the pages runs as it is printed, cell after cell."""

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

import rnst_jax as rnst
from tests.phantoms import head
from tests.tables import SHALLOW

ROOT = pathlib.Path(__file__).resolve().parents[1]
GUIDES = sorted([ROOT / "docs" / "index.md", *(ROOT / "docs" / "howto").glob("*.md")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path):
    """The Python of a page or a notebook."""
    if path.suffix == ".md":
        return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in content["cells"]), "clear the outputs before you commit"
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def test_there_are_three_notebooks():
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("path", [*GUIDES, *NOTEBOOKS], ids=lambda path: path.name)
def test_the_code_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    namespace = {}
    for number, cell in enumerate(cells(path), 1):
        exec(compile(cell, f"{path.name}[{number}]", "exec"), namespace)


@pytest.mark.parametrize("page", ["README.md", "docs/solvers.md", "docs/physics.md", "docs/limits.md", "docs/field.md"])
def test_the_code_of_a_page_runs_on_a_reader_s_data(page, monkeypatch):
    """What a page takes as given is given; only the first cell of the README, as the second fetches weights.

    The presets are shortened: their programs take a minute to compile.
    """
    quick = dataclasses.replace(rnst.presets.get("fast"), denoiser="gaussian", native=1.0, depths=(2,), **SHALLOW)
    monkeypatch.setattr(rnst.presets, "get", lambda name: quick)
    namespace = given(page)
    for number, cell in enumerate(cells(ROOT / page)[: 1 if page == "README.md" else None], 1):
        exec(compile(cell, f"{page}[{number}]", "exec"), namespace)


def given(page):
    image, mask = head(96)
    y, mask = jnp.asarray(image), jnp.asarray(mask, jnp.float32)
    if page == "README.md":
        small, outline = (jnp.asarray(array, jnp.float32) for array in head(32))
        return {"y": small[None], "style": small.T[None], "mask": outline, "style_mask": outline.T}
    if page == "docs/physics.md":
        return {"kspace": rnst.physics.fft2c(jnp.stack([1j, 2.0])[:, None, None] * y)}
    result = rnst.Result(*[y[None]] * len(dataclasses.fields(rnst.Result)))
    return {
        "problem": rnst.Problem(y, y, mask, mask, rnst.physics.Identity(), jnp.float32(0.05)),
        "image": y,
        "key": jax.random.key(0),
        **dict.fromkeys(("grey", "white", "csf"), mask / 3),
        "y": np.asarray(y),
        "mask": np.asarray(mask),
        "sigma": 0.05,
        "result": result,
        "other": result,
        "scan": np.stack([y, y]),
        "results": np.stack([y, y]),
        "inner_masks": np.stack([mask, mask]) > 0,
        "reconstructed_with_lesion": y,
    }


def test_every_page_is_in_the_navigation():
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
