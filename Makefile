# Two commands set everything up on a fresh machine: `make report` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TRACE  ?=
ARGS   ?=
OUT    ?= reports/build

.PHONY: report test lint types bench fetch clean help
.DEFAULT_GOAL := help

help:
	@echo "make report [TRACE=log.csv] [OUT=reports/build]   characterize a trace: page, figures, tables, parameters.json"
	@echo "make test                                         run every test"
	@echo "make lint                                         ruff and mypy"
	@echo "make bench                                        speed and memory, as ratios measured in one run"
	@echo "make clean                                        remove the environment and everything built"

# The environment is rebuilt when what it is made from changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "burstlens needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint,bench]'
	@touch $@

report: $(VENV)/.installed
	$(BIN)/burstlens report $(TRACE) -o $(OUT)

test: $(VENV)/.installed
	$(BIN)/python -m pytest

# mypy reads the folders under the import name that they are installed as.
lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/tree && mkdir -p build/tree/burstlens
	@for f in burstlens/*; do ln -s ../../../$$f build/tree/burstlens/; done
	@for d in analysis bench queries reports; do ln -s ../../../$$d build/tree/burstlens/$$d; done
	MYPYPATH=build/tree $(BIN)/mypy -p burstlens

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks $(ARGS)

clean:
	rm -rf $(VENV) build reports/build *.egg-info .pytest_cache .mypy_cache .ruff_cache
