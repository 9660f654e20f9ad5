# Each target is the only command needed after a clone: it makes .venv and installs what it needs.
#   make demo    reconstruct a brain slice offline, into demo_out/
#   make test    all tests
#   make lint    style and types
#   make docs    the documentation, into site/
#   make release wheel and sdist into dist/, installed and tried in a fresh environment
#   make clean   remove .venv and everything that was made
# PYTHON=python3.12 make demo   takes another interpreter; PRESET=fast make demo   a quick look.

PYTHON ?= python3
PRESET ?= balanced
VENV := .venv
BIN := $(VENV)/bin
# Python makes the bytecode of what it imports; that of all that is installed takes a minute.
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --editable

.PHONY: demo test lint docs release clean

demo: $(VENV)/.demo-installed
	$(BIN)/rnst demo demo_out --preset $(PRESET) --force

test: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.dev-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

release: $(VENV)/.dev-installed
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	sh scripts/try_wheel.sh dist/*.whl

clean:
	rm -rf $(VENV) demo_out dist build site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: no $(PYTHON) here; install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), 3.11 or later is needed; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "make: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.demo-installed: pyproject.toml | $(VENV)/.python
	@echo "installing rnst-jax[demo] into $(VENV)"
	@$(INSTALL) '.[demo]'
	@touch $@

$(VENV)/.dev-installed: pyproject.toml | $(VENV)/.python
	@echo "installing rnst-jax[dev] into $(VENV)"
	@$(INSTALL) '.[dev]'
	@touch $@
