# Needs Python >= 3.11 (with its venv module) and make; everything else comes from the locks.
#
#   PYTHON   the interpreter a new venv is made with; unset: the first suitable one on the PATH
#   VENV     the virtual environment
#   DOCKER   what builds an image: docker, podman, nerdctl

VENV ?= .venv
SUITABLE := python3 python3.14 python3.13 python3.12 python3.11
CANDIDATES := $(or $(PYTHON),$(SUITABLE))

LOGS ?=
OUTPUT ?= local
ARGS ?=
BENCH_ARGS ?=
YARDSTICK ?=

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null || echo unknown)
IMAGE ?= shipper:$(VERSION)
PYTHON_IMAGE ?=
DOCKER ?= docker
BUILD_ARGS ?=

SAMPLE := .sample-logs
UV := 0.13.9

BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed

# No source distributions: what builds them would be fetched without a hash.
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCKED := --require-hashes --only-binary :all:

.DEFAULT_GOAL := help
.PHONY: help run test check fmt e2e soak bench image lock clean

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' Makefile

# This shell becomes the agent: the writer of the sample ends when that, its parent, has ended.
run: $(RUNTIME) ## Follow LOGS='paths' (default: a sample that keeps growing) into OUTPUT=url (default: local)
ifeq ($(LOGS),)
	@mkdir -p $(SAMPLE); \
	$(BIN)/python -m examples.sample_logs $(SAMPLE) --parent $$$$ & \
	exec $(BIN)/shipper run $(SAMPLE) --output '$(OUTPUT)' $(ARGS)
else
	@exec $(BIN)/shipper run $(LOGS) --output '$(OUTPUT)' $(ARGS)
endif

test: $(DEV) ## The fast tests
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEV) ## Format, lint, import layers, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

fmt: $(DEV) ## Format the code, and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

e2e: $(DEV) ## Against real servers (needs root, JDK 17 and 25, mvn, Go, openssl, unshare, nsenter, Debian's apt and dpkg)
	@$(BIN)/python -m tests.servers check
	@$(BIN)/python -m tests.servers fetch
	@$(BIN)/python -m pytest -m e2e $(ARGS)

soak: $(DEV) ## Hours: 3,000 examples of each property, and the long runs
	@$(BIN)/python -m tests.servers check
	@$(BIN)/python -m tests.servers fetch
	@HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -m 'not e2e' --timeout 0 $(ARGS)

bench: $(RUNTIME) ## Documents per CPU-second, memory (BENCH_ARGS='--lines 2000000', YARDSTICK=dir to compare)
	@YARDSTICK='$(YARDSTICK)' $(BIN)/python -m benchmarks.bench $(BENCH_ARGS)

image: ## The agent's image: IMAGE=name:tag PYTHON_IMAGE=name:tag DOCKER=podman BUILD_ARGS=
	$(DOCKER) build --tag '$(IMAGE)' --build-arg 'VERSION=$(VERSION)' --build-arg 'REVISION=$(REVISION)' \
		$(if $(PYTHON_IMAGE),--build-arg 'PYTHON_IMAGE=$(PYTHON_IMAGE)') $(BUILD_ARGS) .

lock: ## Solve requirements*.lock anew from pyproject.toml (ARGS=--upgrade for newer releases)
	@$(FIND_PYTHON); "$$python" -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip --disable-pip-version-check install --quiet uv==$(UV)
	@$(COMPILE) --group build --output-file requirements.lock
	@$(COMPILE) --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock
	@rm -rf .venv-lock

clean: ## Remove what was made here: venvs, caches, sample logs
	rm -rf .venv .venv-* $(SAMPLE) build dist
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------ what the targets above need

COMPILE := .venv-lock/bin/uv pip compile pyproject.toml --quiet --no-config --universal \
	--python-version 3.11 --generate-hashes --only-binary :all: --no-annotate \
	--custom-compile-command 'make lock' $(ARGS)

FIND_PYTHON := for python in $(CANDIDATES) ''; do \
	"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	test -n "$$python" || { echo "Needs Python >= 3.11 with venv; tried: $(CANDIDATES)." \
	"Name one with PYTHON=... (Debian: install python3-venv)." >&2; exit 1; }

$(BIN)/python:
	@$(FIND_PYTHON); "$$python" -m venv --clear $(VENV)

# The package itself is built from here, by what the lock has installed: no network, no isolation.
$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) $(LOCKED) -r requirements.lock
	@$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	$(PIP_INSTALL) $(LOCKED) -r requirements-dev.lock
	@touch $@
