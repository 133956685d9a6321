# Everything a developer does, by name. The virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# What is skipped covers nothing: the bound holds where every component is there.
COVERAGE := $(if $(MXCHECK_REQUIRE_REAL),--cov --cov-fail-under=95)

.PHONY: serve test core-coverage lint types format check clean

serve: $(VENV)/.installed
	$(BIN)/mxcheck serve

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 $(COVERAGE) $(PYTEST_ARGS)

# The decisions are held to the last branch by their own tests, not by what else happens to pass through them.
core-coverage: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q tests/unit tests/property --cov=mxcheck_service.core --cov-fail-under=100

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint types core-coverage test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
