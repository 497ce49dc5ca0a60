# Everything is made on a machine that has only Python 3.11, git and make: `make demo`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.installed
CUSTOMERS ?= 40000
MONTHS ?= 3
SEED ?= 7
TRIALS ?= 30
PAGE_PORT ?= 8000
CRON ?= 0 2 * * *

run_date = $(if $(RUN_DATE),--run-date $(RUN_DATE))
config = $(if $(CONFIG),--config $(CONFIG))
need = @$(foreach name,$(1),test -n "$($(name))" || { echo "make $@: $(name) is not set; write: make $@ $(foreach each,$(1),$(each)=...) [RUN_DATE=YYYY-MM-DD] [CONFIG=FILE]" >&2; exit 2; };)

.PHONY: help install demo sample train plan nightly preview replan tune compare rollback export serve schedule prefect mlflow test coverage lint type check bench bench-page bench-model bench-plan bench-scoring bench-scale bench-kept bench-replan bench-honesty bench-copenhagen screenshots docs clean

help: ## list every target with one line each
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## build .venv from the lock file (about a minute)

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY) ## make a sample world, run a night on it, say where the call list and the report are
	$(BIN)/kakedoki demo

sample: $(READY) ## write a sample world into OUT (CUSTOMERS, MONTHS, SEED)
	$(call need,OUT)
	$(BIN)/kakedoki sample --customers $(CUSTOMERS) --months $(MONTHS) --seed $(SEED) --out "$(OUT)"

train: $(READY) ## fit, judge and register the contact model on SOURCE
	$(call need,SOURCE)
	$(BIN)/kakedoki train --source "$(SOURCE)" $(run_date) $(config)

plan: $(READY) ## plan SOURCE into OUT with the champion, without fitting
	$(call need,SOURCE OUT)
	$(BIN)/kakedoki plan --source "$(SOURCE)" --out "$(OUT)" $(run_date) $(config)

nightly: $(READY) ## run the whole night: SOURCE to OUT
	$(call need,SOURCE OUT)
	$(BIN)/kakedoki nightly --source "$(SOURCE)" --out "$(OUT)" $(run_date) $(config)

preview: $(READY) ## say who of SOURCE will not be called, and why
	$(call need,SOURCE)
	$(BIN)/kakedoki preview --source "$(SOURCE)" $(run_date) $(config)

replan: $(READY) ## plan the rest of the day again: SOURCE and the night's folder PLAN to OUT (NOW)
	$(call need,SOURCE PLAN OUT)
	$(BIN)/kakedoki replan --source "$(SOURCE)" --plan "$(PLAN)" --out "$(OUT)" $(if $(NOW),--now $(NOW)) $(config)

tune: $(READY) ## search better model settings on SOURCE (TRIALS); the next nights use them
	$(call need,SOURCE)
	$(BIN)/kakedoki tune --source "$(SOURCE)" --trials $(TRIALS) $(run_date) $(config)

compare: $(READY) ## show the models of SOURCE side by side, and the nights (NIGHTS)
	$(call need,SOURCE)
	$(BIN)/kakedoki compare --source "$(SOURCE)" $(if $(NIGHTS),--nights $(NIGHTS)) $(config)

rollback: $(READY) ## make the champion before the present one of SOURCE champion again, or version TO
	$(call need,SOURCE)
	$(BIN)/kakedoki rollback --source "$(SOURCE)" $(if $(TO),--to $(TO)) $(config)

export: $(READY) ## write the chosen rows of a run's list (PLAN, FILTER, PRESET, SOURCE) to OUT
	$(call need,OUT)
	$(BIN)/kakedoki export --out "$(OUT)" $(if $(PLAN),--plan "$(PLAN)") $(if $(FILTER),--filter "$(FILTER)") $(if $(PRESET),--preset "$(PRESET)") $(if $(SOURCE),--source "$(SOURCE)") $(config)

schedule: $(READY) ## run the night on SOURCE into OUT every night (CRON)
	$(call need,SOURCE OUT)
	$(BIN)/kakedoki schedule --cron "$(CRON)" --source "$(SOURCE)" --out "$(OUT)" $(config)

serve: $(READY) ## show the page and the interface for dialers: the newest night, or PLAN, on PAGE_PORT
	$(BIN)/kakedoki serve --port $(PAGE_PORT) $(if $(PLAN),--plan "$(PLAN)") $(config)

prefect: $(READY) ## start the Prefect server and its page on 127.0.0.1:4200
	$(BIN)/python -m pipelines.servers prefect

mlflow: $(READY) ## start the MLflow server and its page on 127.0.0.1:5000
	$(BIN)/python -m pipelines.servers mlflow

test: $(READY) ## run every test and doctest (about ten minutes on two cores)
	$(BIN)/pytest -q -n 2

coverage: $(READY) ## the same with coverage, which takes half as long again
	$(BIN)/pytest -q -n 2 --cov --cov-report=term

lint: $(READY) ## ruff, and import-linter for the arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(READY) ## mypy, strict on our packages
	$(BIN)/mypy

check: lint type test ## lint, type and test

bench: $(READY) ## seconds and peak memory of each stage of a night at reference size
	$(BIN)/python tests/bench/night.py

bench-model: $(READY) ## in worlds of known truth: the contact model, its rivals, and the share of the attainable gain
	$(BIN)/python tests/bench/contact_model.py

bench-page: $(READY) ## every view and export with 1,000,000 list rows and 50 readers: median and 95th percentile
	$(BIN)/python tests/bench/page.py

bench-plan: $(READY) ## slot prices beside best hour, greedy and the exact program, 1,000 to 100,000 customers
	$(BIN)/python tests/bench/plan.py

bench-scoring: $(READY) ## customers × slots scored by us, LightGBM and compiled C: seconds, ratio, agreement
	$(BIN)/python tests/bench/scoring.py

bench-scale: $(READY) ## 100,000 and 1,000,000 customers planned in chunks, first night, next and rebuilt (SIZES="1000000 10000000")
	$(BIN)/python tests/bench/scale.py $(if $(SIZES),--customers $(SIZES))

bench-kept: $(READY) ## the data path: first night, next night and rebuilt beside pandas' groupby and merge_asof (ATTEMPTS)
	$(BIN)/python tests/bench/kept.py $(if $(ATTEMPTS),--attempts $(ATTEMPTS))

bench-replan: $(READY) ## the afternoon of the reference size planned again, with and without what is kept (after bench)
	$(BIN)/python tests/bench/replan.py

bench-honesty: $(READY) ## whether claimed gains are true: 20 seeds of each world (about an hour)
	$(BIN)/python tests/bench/honesty.py

bench-copenhagen: $(READY) ## the contact model on the real calls of ../shared/data, with intervals
	$(BIN)/python tests/bench/copenhagen.py

screenshots: $(READY) ## pictures of every page of the demo's run, into docs/pictures (needs Chromium)
	$(BIN)/python tests/screenshots.py

docs: $(READY) ## write the pages of every public name into site/
	$(BIN)/pdoc --docformat numpy --output-directory site app configs features models pipelines

clean: ## remove what can be made again: caches, coverage, site (not .venv, not var)
	rm -rf site .coverage .coverage.* htmlcov .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find app configs features models pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +
