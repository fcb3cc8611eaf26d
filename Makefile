# Every target first makes what it needs (.venv, node_modules) and does so quickly the second time.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.13
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet --quiet

.PHONY: help setup demo demo-dead-letters up test check fmt lock bench clean

help: ## show these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

demo: setup ## the main job, end to end, on this machine
	$(BIN)/python -m local demo

demo-dead-letters: setup ## a failing receiver, its dead letters, and how they are delivered after all
	$(BIN)/python -m local demo-dead-letters

up: setup ## start everything and stay
	$(BIN)/python -m local up

test: setup tests/clients/node_modules/ready ## unit, conformance and end-to-end tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

check: setup ## format, lint, types, import rules, what Azure runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m infra.check

fmt: setup ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup benches/node_modules/ready ## memory and speed, measured on this machine
	$(BIN)/python -m benches

lock: setup ## compile requirements*.txt and package-lock.json from what is declared
	$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-header \
	  --group dev --constraint requirements.txt --output-file requirements-dev.txt
	for folder in . tests/clients benches; do \
	  (cd $$folder && npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved); done

clean: ## remove all that the other targets made
	rm -rf .venv node_modules tests/clients/node_modules benches/node_modules .local .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: .venv/ready node_modules/ready

.venv/ready: requirements.txt requirements-dev.txt client/pyproject.toml .python-version
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null \
	  || { echo "Dropbell needs Python 3.13: install it so that '$(PYTHON)' runs, or call make PYTHON=/path/to/python3.13."; exit 1; }
	@echo "Setting up the Python environment in .venv (once) …"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r requirements.txt -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable client
	@touch $@

.PHONY: node
node:
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' 2>/dev/null && command -v npm >/dev/null \
	  || { echo "Dropbell's local stack needs Node.js 20 or newer with npm (for the storage emulator, Azurite)."; exit 1; }

define install_node_packages
	@echo "Setting up the Node packages of $(1) (once) …"
	@cd $(1) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
endef

# The storage emulator.
node_modules/ready: package.json package-lock.json | node
	$(call install_node_packages,.)

# Clients that the tests try; servers that the benchmarks compare with.
%/node_modules/ready: %/package.json %/package-lock.json | node
	$(call install_node_packages,$*)
