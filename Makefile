# Every routine of this repository has one name here. A machine needs Python 3.11 or newer, make and, for the servers
# that tests and benchmarks start, its package manager.

VENV := .venv
BENCH_VENV := .venv-bench
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
CHECK := $(PY) scripts/check.py
ARGS ?=
QUICK_SCENARIOS := --only enqueue --only bulk --only concurrent --only drain-noop --only drain-noop_stored
QUICK_SYSTEMS := --system celeriac-sqlite --system celeriac-redis --system celeriac-postgres \
	--system celeriac-rabbitmq --system celery-redis
SEEDS ?= 10000

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-fast lint format types bench bench-quick reliability simulate docs clean soak fuzz

help: ## list these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/.dev ## create .venv with everything the work on Celeriac needs

demo: $(VENV)/.demo ## run the example examples/mosaic: a worker, 200 pictures, a table at the end
	@exec $(PY) -m examples.mosaic.demo $(ARGS)

test: $(VENV)/.dev ## run everything CI runs: format, lint, types, contracts, sizes, docs, all tests
	@exec $(CHECK) $(ARGS)

test-fast: $(VENV)/.dev ## run the tests that need no processes, no faults and no patience
	@exec $(CHECK) --fast $(ARGS)

lint: $(VENV)/.dev ## check format, lint, spelling, import contracts and sizes
	@exec $(CHECK) --only lint

types: $(VENV)/.dev ## run mypy and pyright, both strict
	@exec $(CHECK) --only types

format: $(VENV)/.dev ## rewrite the code in the one format and apply the safe fixes
	@$(PY) -m ruff format
	@$(PY) -m ruff check --fix

bench: $(BENCH_VENV)/.done ## measure Celeriac beside its peers (ARGS="..." goes to the harness)
	@$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)
	@exec $(PY) -m scripts.broker_figures

bench-quick: $(BENCH_VENV)/.done ## see in two minutes whether something became slower than the committed figures
	@exec $(BENCH_VENV)/bin/python -m benchmarks --quick --compare $(QUICK_SCENARIOS) $(QUICK_SYSTEMS) $(ARGS)

soak: $(VENV)/.dev ## run 1,000,000 tasks while connections are cut, and see that nothing grows (ARGS="--tasks 20000")
	@$(PY) scripts/ensure_server.py redis-server
	@exec $(PY) -m tests.soak $(ARGS)

fuzz: $(VENV)/.dev ## fuzz what reads bytes from a broker, 100 times as long as CI does (ARGS goes to pytest)
	@CELERIAC_FUZZ_EXAMPLES=25000 exec $(PY) -m pytest -q --timeout 0 tests/fuzz $(ARGS)

simulate: $(VENV)/.dev ## run installations on a virtual clock, with faults (SEEDS=100000)
	@exec $(PY) -m celeriac.testing.simulation --seeds $(SEEDS) $(ARGS)

reliability: $(VENV)/.dev ## count what faults do to real workers on every driver (45 minutes); write docs/reliability.md
	@$(PY) -m scripts.reliability $(ARGS)
	@exec $(PY) -m scripts.broker_figures

docs: $(VENV)/.dev ## build the documentation into site/
	@exec $(CHECK) --only docs

clean: ## remove caches and build results; .venv stays
	rm -rf build dist site htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

# Each file says that a step was done with the pyproject.toml of then.
$(VENV)/.base: scripts/make_venv.sh
	@PYTHON="$(PYTHON)" sh scripts/make_venv.sh
	@touch $@

$(VENV)/.demo: $(VENV)/.base pyproject.toml
	@echo "Installing Celeriac and what its demo needs into $(VENV)"
	@$(PIP) -e '.[uvloop,demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base pyproject.toml
	@echo "Installing Celeriac and its development tools into $(VENV); the first time this takes a minute"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo

# Some peers want older releases of libraries than Celeriac's own tests: measurements have an environment of their own.
$(BENCH_VENV)/.done: $(VENV)/.dev pyproject.toml
	@echo "Installing Celeriac and its peers, to be measured beside it, into $(BENCH_VENV)"
	@$(PY) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,bench,peers]'
	@touch $@
