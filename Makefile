# Everything starts here: `make help` lists the targets. Only Python (3.11 or newer) and make are needed.

PYTHON ?= python3
PORT ?= 8000
# Where the demo keeps its data.
DATA ?= .brickyard
VENV := .venv/bin/python
# Checks read the settings and connect to nothing.
NOTHING := env LOG_LEVEL=ERROR SECRET_KEY=nothing DATABASE_URL=postgres://nobody@/nothing REDIS_URL=redis://localhost/0
export PYTHONUNBUFFERED := 1
export PORT DATA DEFAULT_BASE HOST

.DEFAULT_GOAL := help
.PHONY: help setup setup-demo demo reset test check format bench smoke fuzz

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "make %-8s %s\n", $$1, $$2}'
	@echo
	@echo "Settings: PORT=8000 HOST=127.0.0.1 DATA=.brickyard DEFAULT_BASE=wordsmith-v1 PYTHON=python3"

setup: ## Create .venv and install everything, for running, testing and checking.
	@$(PYTHON) scripts/setup.py dev

setup-demo:
	@$(PYTHON) scripts/setup.py demo

demo: setup-demo ## Start the whole system with demo data; Ctrl-C stops it.
	@$(VENV) -m marketplace.embedded demo --die-with-parent

reset: setup-demo ## Delete the demo's data, after asking.
	@$(VENV) -m marketplace.embedded reset

smoke: setup-demo ## Try the whole path through REST against the running demo.
	@$(VENV) manage.py smoke

test: setup ## Run the tests, in two processes; ARGS="tests/setup -x" runs some of them in one.
	@$(VENV) -m pytest $(or $(ARGS),-n 2)

fuzz: setup ## Change good files 20,000 times and judge every answer; COUNT=…, SEED=….
	@$(VENV) -m tests.hostile.fuzz --count $(or $(COUNT),20000) --seed $(or $(SEED),0)

check: setup ## Lint, formatting, types, import directions, migrations.
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(NOTHING) $(VENV) -m mypy
	@$(VENV) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-logo
	@$(NOTHING) $(VENV) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

format: setup ## Format the code.
	@$(VENV) -m ruff format .
	@$(VENV) -m ruff check --fix .

bench: setup ## Measure merging, serving and retrieval on this machine.
	@$(VENV) -m inference_worker bench merge
	@$(VENV) -m inference_worker bench serve
