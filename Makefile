# Everything is installed into .venv with the versions of requirements.lock; nothing else on the machine changes.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint requirements.lock

# Taken without expansion and passed through the environment, so that quotes and $ reach the program as typed.
Q ?= A table for four at Nonna Rosa on 3 May 2027, half past seven in the evening, on the terrace please
TOOLS ?= jaxdiff/assets/examples/tools.json
override Q := $(value Q)
override TOOLS := $(value TOOLS)
export Q TOOLS

.DELETE_ON_ERROR:
.PHONY: help run test slow parity pods lint bench lock clean

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

run: .venv/.installed  ## Answer a query: make run Q="..." TOOLS=path.json
	@$(BIN)/jaxdiff call "$$Q" --tools "$$TOOLS"

test: .venv/.installed-dev  ## Run the tests that need no PyTorch
	$(BIN)/python -m pytest --ignore=tests/parity --ignore=tests/pods

slow: .venv/.installed-dev  ## Run the tests that take minutes each
	$(BIN)/python -m pytest -m slow --ignore=tests/parity --ignore=tests/pods

parity: .venv/.installed-parity  ## Install PyTorch and compare with transformers
	$(BIN)/python -m pytest tests/parity

pods: .venv/.libtpu  ## Install the compiler for TPUs and compile the training step of SmolLM3-3B
	PYTHONPATH=.venv/libtpu $(BIN)/python -m pytest tests/pods

lint: .venv/.installed-dev  ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.installed-parity  ## Measure, side by side with transformers
	$(BIN)/python -m benchmarks

lock: | .venv/bin/python  ## Pin the newest allowed versions in requirements.lock
	@$(PIP) uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--fork-strategy requires-python --upgrade --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock

clean:  ## Remove all that make has created here
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 with venv found; name one: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

# Setuptools comes from the lock too, so builds use it instead of fetching their own.
.venv/.installed: pyproject.toml requirements.lock | .venv/bin/python
	@echo "Installing the pinned dependencies into .venv"
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "Installing the development tools into .venv"
	@$(PIP) --no-build-isolation --editable '.[dev,train]'
	@touch $@

.venv/.installed-parity: .venv/.installed-dev
	@echo "Installing PyTorch into .venv"
	@$(PIP) --no-build-isolation --editable '.[dev,train,convert]'
	@touch $@

# Beside the environment, not in it: with libtpu there, every import of JAX looks for TPUs.
.venv/.libtpu: .venv/.installed-dev
	@echo "Installing the compiler for TPUs into .venv/libtpu"
	@$(PIP) --no-deps --target .venv/libtpu libtpu
	@touch $@
