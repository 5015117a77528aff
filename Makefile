# Everything a newcomer needs; the rest is `python manage.py …`.

VENV := .venv
PYTHON := $(VENV)/bin/python
HOST_PYTHON ?= python3

.PHONY: help install install-dev serve test lint format bench

help:
	@echo "make serve    start HugWeb on http://127.0.0.1:11434"
	@echo "make test     run the whole suite"
	@echo "make lint     ruff, mypy and the import rules"
	@echo "make format   let ruff format and fix"
	@echo "make install  make .venv with what HugWeb needs"

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

$(VENV)/bin/python:
	$(HOST_PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

serve: install
	$(PYTHON) manage.py serve

# With a fixed hash seed, and its tests first, Schemathesis draws the same requests each time.
test: install-dev
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports

format: install-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: install
	$(PYTHON) manage.py bench
