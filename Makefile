# Everything a newcomer needs: `make repro` and `make test`. Both set up what they need.
PYTHON ?= python3
# DVC runs the stages with the first `python` on the path.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Two tests at a time, one thread each; a file's tests stay together and share what they set up.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile

.PHONY: help setup repro cost test test-all lint

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## create .venv with the tested versions

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

repro: setup ## rebuild everything that changed, then name the report
	@test -e .git || .venv/bin/dvc config --local core.no_scm true
	.venv/bin/dvc repro
	@echo "report: $(CURDIR)/reports/comparison.html"

cost: setup ## print what training each recipe cost on this machine
	.venv/bin/python benchmarks/cost.py

test: setup ## run the suite that a change is checked with: every module, one tiny pipeline
	$(PYTEST) -m 'not slow'

test-all: setup ## run what takes longer: kills, faults, fuzz, same bytes, every recipe
	$(PYTEST) -m slow

lint: setup ## check format, style, types and which room imports which
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	PYTHONPATH=src .venv/bin/lint-imports --no-cache
