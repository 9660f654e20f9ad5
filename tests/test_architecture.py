"""The shape of the package: which room imports which, how long files are, what an import costs."""

import ast
import pathlib
import statistics
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rnst_jax"
FILES = sorted(PACKAGE.rglob("*.py"))

LEAVES = (
    "version",
    "checksum",
    "precision",
    "compiling",
    "types",
    "ranges",
    "schedules",
    "linalg",
    "filters",
    "order",
    "mask",
    "scalp",
    "bias",
    "metrics",
    "trust",
)
"""Modules that import nothing of the package but each other's types."""

ALLOWED = {
    "version": (),
    "checksum": (),
    "precision": (),
    "compiling": (),
    "types": (),
    "ranges": (),
    "schedules": ("types",),
    "linalg": ("types",),
    "filters": ("types",),
    "order": (),
    "mask": ("types", "filters"),
    "scalp": ("types",),
    "bias": ("scalp",),
    "metrics": ("types", "precision", "filters", "order"),
    "trust": ("types", "order"),
    "simulate": ("types", "linalg", "filters", "mask"),
    "physics": ("types", "precision", "linalg", "filters", "order", "mask"),
    "denoise": ("types", "precision", "linalg", "filters", "order", "mask", "features"),
    "features": ("types", "linalg", "checksum"),
    "style": ("types", "precision", "linalg", "filters", "order", "features"),
    "priors": ("types", "schedules", "linalg", "denoise", "features", "style", "physics"),
    "solvers": ("types", "precision", "schedules", "linalg", "denoise", "features", "style", "physics", "priors"),
    "presets": ("types", "ranges", "denoise", "features", "style", "priors", "solvers"),
    "memory": ("presets",),
    "preparation": (
        *("types", "ranges", "mask", "scalp", "bias", "denoise", "features", "style", "physics", "presets", "memory"),
    ),
    "api": ("types", "compiling", "scalp", "style", "solvers", "presets", "preparation"),
    "parallel": ("types", "compiling", "api"),
}
"""Which rooms a room may import; whatever is not here (io, report, cli) may import all of these."""

OUTER = {"io": (), "report": ("io",), "bench": ("io",), "cli": ("io", "report", "bench")}
"""The rooms around them, and which of each other they may import."""


def room(path):
    """The first folder or module below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Every module that a file imports anywhere in it, as (dotted name, line)."""
    tree = ast.parse(path.read_text())
    # what a checker alone reads is no import
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            if node.module == "rnst_jax":
                yield from ((f"rnst_jax.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module or "", node.lineno


def rooms_of(path):
    """The rooms that a file imports, with the line; "" is the package itself."""
    split = ((name.split("."), line) for name, line in imports(path))
    return {".".join(parts[1:2]): line for parts, line in split if parts[0] == "rnst_jax"}


def test_the_table_names_every_room():
    found = {room(path) for path in FILES} - {"__init__"}
    assert found <= set(ALLOWED) | set(OUTER), "a new room: give it a row in ALLOWED"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    own = room(path)
    if own == "__init__":
        return
    allowed = {own, "version", *(ALLOWED[own] if own in ALLOWED else (*ALLOWED, *OUTER[own]))}
    for other, line in rooms_of(path).items():
        if other == "":
            assert own in OUTER, f"{path}:{line}: imports the whole package"
        elif other != "__version__":
            assert other in allowed, f"{path}:{line}: {own} must not import {other}"


def test_there_are_no_circles():
    def reach(name, seen):
        for other in {**ALLOWED, **OUTER}[name]:
            assert other not in seen, (*seen, other)
            reach(other, (*seen, other))

    for name in (*ALLOWED, *OUTER):
        reach(name, (name,))


@pytest.mark.parametrize(("library", "homes"), [("flax", {"features", "denoise"}), ("optax", {"style", "solvers"})])
def test_a_library_stays_in_its_rooms(library, homes):
    users = {room(path) for path in FILES for name, _ in imports(path) if name.split(".")[0] == library}
    assert users <= homes
    assert users, "the test looks for nothing"


def test_files_stay_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert not {name: length for name, length in lengths.items() if length > 320}


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.mark.parametrize("module", ["rnst_jax", "rnst_jax.cli.main", "rnst_jax.io.guard"])
def test_importing_the_package_does_not_import_jax(module):
    assert run(f"import sys, {module}; print('jax' in sys.modules)").strip() == "False"


def test_importing_the_interface_costs_little_more_than_its_libraries():
    def seconds(code):
        # of the processor, not of the clock: other work on the machine must not decide
        return float(run(f"import time; {code}; print(time.process_time())"))

    libraries, ours = zip(
        *((seconds("import jax, flax"), seconds("import rnst_jax.api")) for _ in range(3)), strict=True
    )
    assert statistics.median(ours) < 1.5 * statistics.median(libraries)
