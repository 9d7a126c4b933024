# Everything a newcomer needs: `make repro` and `make test`. Both set up what they need.
PYTHON ?= python3
# DVC runs the stages with the first `python` on the path.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help setup repro test lint

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## create .venv with the tested versions

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

repro: setup ## rebuild everything that changed, then name the report
	.venv/bin/dvc repro
	@echo "report: $(CURDIR)/reports/comparison.html"

test: setup ## run the tests
	.venv/bin/python -m pytest

lint: setup ## check format, style, types and which room imports which
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	PYTHONPATH=src .venv/bin/lint-imports --no-cache
