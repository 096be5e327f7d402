.DEFAULT_GOAL := help
SHELL := /bin/bash
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DIR ?= .netmap
PORT ?= 8080
SOAK ?= .soak/$(shell date +%Y%m%d-%H%M%S)
HOURS ?= 8
SEED ?= 1

help: ## print the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv from the lock file

$(STAMP): requirements.lock pyproject.toml
	$(PY) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: setup ## serve every role from $(DIR): SQLite, the bundled nats-server, nothing else
	$(BIN)/netmap serve --dir $(DIR)

cluster: setup ## docker-compose.yml's topology as local processes, in .cluster: 3 nats-servers, PostgreSQL, 2 engines, 4 frontends …
	$(BIN)/python -m tests.kit.local_cluster --port $(PORT)

check: setup ## the fast loop: format, lint, types, import contracts, architecture, unit, scenarios, property
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n auto --dist worksteal tests/architecture tests/unit tests/scenarios tests/property

format: setup ## rewrite the code as `make check` wants it
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

clients: ## build the real Tailscale clients into .clients (Go), four generations
	tests/kit/build-clients.sh

lab: ## install what the lab of real clients needs (Debian, root): wireguard-go, wg, tcpdump, nft
	tests/kit/install-lab.sh

test: check clients lab ## everything, with real servers and real clients
	NETMAP_EXAMPLES=150 $(BIN)/pytest -q -n auto tests/property/test_policy.py
	$(BIN)/pytest -q -n 2 --dist loadfile tests/contract tests/golden tests/e2e

soak-short: setup ## 15 minutes of faults on a whole deployment, every frame checked (docs/soak.md)
	$(BIN)/python -m tests.soak run $(SOAK)

soak: setup ## the same for hours: make soak HOURS=8 SEED=7
	$(BIN)/python -m tests.soak run $(SOAK) --hours $(HOURS) --seed $(SEED)

bench: setup ## the budgets of docs/budgets.md in a short form, as a table
	$(BIN)/python -m bench --short --keep

bench-full: setup ## the same in full sizes, about ten minutes on an idle machine
	$(BIN)/python -m bench --keep

.PHONY: help setup run cluster check format clients lab test soak-short soak bench bench-full
