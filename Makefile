# `make` explains the project. Everything runs in .venv, which the first target that needs it makes.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help env peers setup demo run test bench compose-test check show-1 show-2 show-3 show-4 show-5 chaos format openapi dump lock clean

##@ Use it
help: ## this page
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo

setup: $(STAMP) ## make .venv and install the pinned packages (the other targets do it by themselves)

demo: $(STAMP) ## send real mail through the whole provider on this machine, and compare every octet
	@$(PY) -m cli demo

run: $(STAMP) ## run the provider until Ctrl-C: SMTP 2525, ODMR 3366 and 3367, HTTP 8025; data in .local/
	@exec $(PY) -m cli up .local

##@ Work on it
test: $(STAMP) ## all tests, on real servers
	@$(PY) -m pytest -n 2 --dist loadgroup --ignore=tests/compose $(or $(ARGS),--statements)

compose-test: $(STAMP) ## docker-compose.yml for real, where a Docker engine answers
	@$(PY) -m pytest tests/compose

check: $(STAMP) ## ruff, mypy --strict, the import rules
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy --strict services shared connector localserve cli client tests examples
	@$(VENV)/bin/lint-imports --no-cache

format: $(STAMP) ## mend what ruff can mend
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(STAMP) peers ## inbound and Postfix at the same work, side by side; writes docs/performance.md
	@$(PY) -m tests.bench

show-1: $(STAMP) peers ## run the list that issue "The main job" must show; writes docs/shown.md
	@$(PY) -m tests.show.one $(LINE)

show-2: $(STAMP) peers ## the list of issue "The whole chain"; writes docs/shown.md
	@$(PY) -m tests.show.two $(LINE)

show-3: $(STAMP) peers ## the list of issue "Nothing is lost"; writes docs/shown.md
	@$(PY) -m tests.show.three $(LINE)

show-4: $(STAMP) peers ## the list of issue "The HTTP API"; writes docs/shown.md
	@$(PY) -m tests.show.four $(LINE)

show-5: $(STAMP) peers ## the list of issue "Runs where its users run it"; writes docs/shown.md
	@$(PY) -m tests.show.five $(LINE)

chaos: $(STAMP) peers ## mail under kills, dying servers and cuts at every octet; under 45 minutes; the last line is a summary
	@$(PY) -m tests.chaos $(ARGS)

openapi: $(STAMP) ## write docs/openapi.json and client/ anew; not when a client of the old one would break
	@$(PY) -m tests.checks.additive
	@$(PY) tools/write_client.py
	@$(PY) -m ruff format -q client
	@$(PY) -m ruff check -q --fix client
	@$(PY) -m ruff format -q client

dump: $(STAMP) ## write a filled database of this version down in tests/data, for tests of later upgrades
	@$(PY) -m tests.data.filling

peers: ## install the programs of others that tests run against (Debian 12, as root)
	@tools/peers.sh

lock: ## write requirements/*.txt anew (needs uv)
	@for extra in inbound auth odmr outbound api cli provider local dev; do \
	  uv pip compile -q --upgrade pyproject.toml --extra $$extra --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" -o requirements/$$extra.txt || exit 1; done

env: ## write .env for docker-compose.yml, with random secrets (needs Python alone)
	@$(PYTHON) tools/env.py

clean: ## remove .venv and .local (the data of `make run`)
	@if [ -L .local/postgres ]; then rm -rf "$$(readlink .local/postgres)"; fi
	@rm -rf $(VENV) .local

$(STAMP): requirements/dev.txt
	@$(PYTHON) tools/setup.py $(VENV) requirements/dev.txt
	@touch $(STAMP)
