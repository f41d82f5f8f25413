# Everything a newcomer needs: `make demo` and `make test`. Both set up what they need; a second run takes no time.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check lock bench bundle deb boot-test clean
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
SOURCES := agent twin training fleet
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## build .venv from requirements.lock (PYTHON=... chooses the interpreter)
	@PYTHON="$(PYTHON)" scripts/setup

demo: setup ## the agent against a simulated plant over real Modbus, OPC UA and MQTT, with the savings at the end
	@$(BIN)/trimload demo $(ARGS)

test: setup ## all tests (ARGS="-k guard" chooses)
	@scripts/test-peers
	@$(ONE_THREAD) $(BIN)/python -m pytest $(ARGS)

check: setup ## format, lint, types, layers
	@$(BIN)/ruff format --check --quiet . || { echo "check: the files above are not formatted: .venv/bin/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --strict --no-error-summary $(SOURCES)
	@scripts/check-layers

lock: ## write requirements.lock and docs/licences.md anew from pyproject.toml
	@scripts/lock
	@$(MAKE) setup
	@$(BIN)/python scripts/licences

bench: setup ## run the benchmarks
	@if [ -x benchmarks/run ]; then $(ONE_THREAD) benchmarks/run $(ARGS); else echo "bench: there is no benchmarks/run" >&2; exit 1; fi

bundle: setup ## one file for a gateway without a network, in dist/ (ARGS="--python 3.13 --machine aarch64", "--all")
	@$(BIN)/python scripts/bundle $(ARGS)

deb: setup ## the bundle as a Debian package, in dist/
	@scripts/deb $(ARGS)

boot-test: setup ## install on a Debian that boots in a container, and take its power, process and software away (root)
	@$(BIN)/python scripts/boot-test $(ARGS)

clean: ## remove .venv, caches and build results
	@rm -rf .venv .venv.lock build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
