# Two commands do everything on a fresh machine: `make demo`, then `make test`.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long check bench publish docs build clean

help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/.done ## make .venv with everything in it; quick when nothing changed

.venv/.done: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 setup")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[dev]'
	@touch $@

demo: setup ## train with and without the loss, print the table, write runs/demo/report.html
	$(BIN)/torchdiscern demo

WORKERS ?= 2

test: setup ## run the tests in two processes (WORKERS=N takes another number); prints the coverage of the ground floor
	$(BIN)/python -m pytest -m 'not long' -n $(WORKERS) --dist worksteal --cov --cov-fail-under=95

test-long: setup ## run the tests that take longer than `make test` may
	$(BIN)/python -m pytest -m long

check: setup ## lint, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

BENCH ?= runs/bench

bench: setup ## measure what the loss costs, in ten minutes; BENCH=DIR takes another folder than runs/bench
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/loss.py --out $(BENCH)
	$(BIN)/python benchmarks/loss.py --out $(BENCH) --allocator fresh
	$(BIN)/python benchmarks/loss.py --out $(BENCH) --threads 2
	$(BIN)/python benchmarks/rivals.py --out $(BENCH)
	$(BIN)/python benchmarks/rivals.py --out $(BENCH) --threads 2
	$(BIN)/python benchmarks/memory.py --out $(BENCH)
	$(BIN)/python benchmarks/growth.py --out $(BENCH) --plot $(BENCH)/growth.svg
	$(BIN)/python benchmarks/growth.py --out $(BENCH) --plot runs/bench/growth-2.svg --threads 2
	$(BIN)/python benchmarks/step.py --out $(BENCH)
	$(BIN)/python benchmarks/step.py --out $(BENCH) --threads 2 --rounds 5
	$(BIN)/python benchmarks/batches.py --out $(BENCH) --plot $(BENCH)/batches.svg

publish: setup ## write the numbers of results/ into the pages
	$(BIN)/python benchmarks/publish.py
	$(BIN)/python benchmarks/evidence.py

docs: setup ## build the documentation into site/
	$(BIN)/zensical build --clean --strict

build: setup ## build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean: ## remove what was built; keeps .venv, .data and runs
	rm -rf dist site .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
