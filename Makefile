# `make run` shows the project, `make test` tests it, `make check` reads it, `make gpu` runs what needs a CUDA device.
# Each creates only what it needs.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
LOCALIST := $(VENV)/bin/localist
SOURCES := localist_core symbolic agents scenarios tests docs

.PHONY: run test gpu check format clean

run: $(VENV)/.installed-run
	$(LOCALIST) run intersection --seed 7

test: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest

gpu: $(VENV)/.installed-dev
	$(VENV)/bin/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("expected a CUDA device, got none; see Good to know in README.md")'
	$(VENV)/bin/python -m pytest -m gpu

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy

format: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format $(SOURCES)
	$(VENV)/bin/ruff check --fix $(SOURCES)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer, got %d.%d; run make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'expected python3 with venv; on Debian: apt-get install python3-venv' >&2; exit 1; }

$(VENV)/.installed-run: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP) install -q -c $(CONSTRAINTS) -e '.[driving]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP) install -q -c $(CONSTRAINTS) -e '.[driving,dev]'
	touch $@ $(VENV)/.installed-run
