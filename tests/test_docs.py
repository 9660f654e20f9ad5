"""The code in the guides and the notebooks runs as it is printed, cell after cell."""

import json
import pathlib
import re

import matplotlib
import pytest

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


def test_every_page_is_in_the_navigation():
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
