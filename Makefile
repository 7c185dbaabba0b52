# Two commands do all the set-up: `make demo` and `make test`. Nothing here needs root.
.DEFAULT_GOAL := help
.PHONY: help install demo test ui check lint types imports bench soak lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The newest Python that the locked packages support; override with `make PYTHON=/path/to/python3.12 …`.
PYTHON ?= $(shell for v in 3.13 3.12 3.11; do p=$$(command -v python$$v) && "$$p" -c 'import ensurepip, venv' 2>/dev/null && echo $$p && exit; done; \
	p=$$(command -v python3) && "$$p" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p)
# All that phones home stays off.
export DAGSTER_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

install: $(STAMP) ## install the pinned packages and the project into .venv

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Depotwise needs Python 3.11, 3.12 or 3.13 with venv."; \
		echo "Debian, Ubuntu: apt install python3 python3-venv    macOS: brew install python@3.13"; exit 1; }
	@echo "Installing into $(VENV) with $$($(PYTHON) --version) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(STAMP) ## the main job on a simulated depot, over real sockets, end to end
	@$(BIN)/depotwise demo $(DEMO_ARGS)

test: $(STAMP) ## the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

ui: $(STAMP) ## Dagster's user interface, with the demo's runs in it, on 127.0.0.1:3000
	@$(BIN)/depotwise ui

check: lint types imports ## lint, types, import contracts

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	@$(BIN)/mypy

imports: $(STAMP)
	@$(BIN)/lint-imports

bench: $(STAMP) ## benchmarks: ratios against a reference in the same run
	@$(BIN)/python -m benchmarks

soak: $(STAMP) ## the long chaos, fuzz and load runs; each stops by itself
	@$(BIN)/python -m pytest -m soak --timeout 7200 tests

lock: ## renew requirements.lock (needs uv); it holds hashes and no host names
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-header --no-emit-index-url --no-annotate -o requirements.lock

clean: ## delete everything generated, data/home included
	rm -rf data/home .pytest_cache .mypy_cache .ruff_cache .hypothesis
