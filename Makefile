# Everything a developer does, by name. The virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# What is skipped covers nothing: the bound holds where every component is there.
COVERAGE := $(if $(MXCHECK_REQUIRE_REAL),--cov --cov-fail-under=95)

# Versions and hashes for every Python and Linux that the service runs on. What stands in a lock stays, unless a
# dependency asks for more; `make lock UPGRADE=--upgrade` takes the newest of all.
COMPILE := $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(UPGRADE)
BUILD_REQUIRES := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

# Known by their hashes; after that the project itself, as a link to these sources, built by what has been installed.
# The locks are whole. If pip looked for dependencies itself, an extra such as coverage[toml] would have it prefer a
# release newer than the lock's, and refuse that for want of a hash.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps
LINK := $(INSTALL) --no-build-isolation --editable .
# The service's packages without the markers that say which system needs them.
FOR_EVERY_SYSTEM := sed 's/^\([^ \#]*==[^ ]*\) ;[^\]*/\1 /' requirements.lock
VENDOR := mxcheck_service/console/vendor

.PHONY: serve test core-coverage lint types format lock sbom audit console-vendor check clean

serve: $(VENV)/.installed
	$(BIN)/mxcheck serve

# Tests start processes by the hundred, each of which would compile the package again. They also wait, so there are more
# of them at a time than cores; those of a file share what it has started.
test core-coverage: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 4 --dist loadfile $(COVERAGE) $(PYTEST_ARGS)

# The decisions are held to the last branch by their own tests, not by what else happens to pass through them.
core-coverage: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n 2 tests/unit --cov=mxcheck_service.core --cov-fail-under=100

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.installed-dev
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(BIN)/python -c '$(BUILD_REQUIRES)' | $(COMPILE) - --output-file requirements-build.lock
	$(COMPILE) pyproject.toml --extra dev --constraint requirements.lock --constraint requirements-build.lock \
		--output-file requirements-dev.lock

# Strict: what the index knows nothing of has not been found clean. ADVISORIES="--vulnerability-service osv" asks OSV.
# Tools that this machine does not need are left out, the service's own packages are not.
audit: $(VENV)/.installed-dev
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(FOR_EVERY_SYSTEM) >"$$folder/lock" && \
		$(BIN)/pip-audit --strict --require-hashes --disable-pip $(ADVISORIES) \
			-r "$$folder/lock" -r requirements-build.lock -r requirements-dev.lock
	npm audit

# What packages say of themselves is read from them.
sbom: $(VENV)/.installed-dev
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(FOR_EVERY_SYSTEM) >"$$folder/lock" && \
		$(INSTALL) --require-hashes --target "$$folder/packages" -r "$$folder/lock" && \
		$(BIN)/python -m docs.sbom "$$folder/packages"

# What the page ships of others, from where the lock has it; and what its tests need besides.
console-vendor:
	npm ci --silent --no-audit --no-fund
	cp node_modules/uplot/dist/uPlot.iife.min.js $(VENDOR)
	cp node_modules/uplot/LICENSE $(VENDOR)/uPlot.LICENSE

check: lint types core-coverage test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements.lock requirements-build.lock
	$(INSTALL) --require-hashes -r requirements.lock -r requirements-build.lock
	$(LINK)
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	$(LINK)
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
