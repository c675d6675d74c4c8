# AgentMesh: `make help` lists what there is. Everything works with Python 3.11 and nothing else installed.

.DEFAULT_GOAL := help
.PHONY: help up certs test lint check gen bench chaos lock clean python

# Added to every port: a second stack beside the first.
PORT_OFFSET ?= 0
# Agent host processes that share the agents.
SHARDS ?= 1
# 1: mTLS between the services, with certificates of a development authority.
TLS ?=
# 1: events go to a Kafka broker, too; it needs Java 17 and Maven.
KAFKA ?=
# Where `make certs` makes certificates: the stack's own.
CERTS ?= .agentmesh$(if $(filter-out 0,$(PORT_OFFSET)),/offset-$(PORT_OFFSET))/certs
# Processes that share the tests: they wait more than they work. -n 0 among the arguments is one.
TEST_PROCESSES ?= 2
# More arguments for pytest, such as PYTEST_ARGS='-k redis'.
PYTEST_ARGS ?=

IS_3_11 := import sys; sys.exit(sys.version_info[:2] != (3, 11))
ifeq ($(origin PYTHON), undefined)
PYTHON = $(shell for p in python3.11 python3 python .venv/bin/python; do "$$p" -c '$(IS_3_11)' 2>/dev/null && echo "$$p" && break; done)
endif
BIN := .venv/bin
SET_UP = "$(PYTHON)" -m deploy.local.bootstrap

help:  ## List these commands.
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

up: python  ## Set up and run the whole platform on this machine (PORT_OFFSET=N, SHARDS=N, TLS=1, KAFKA=1, ANTHROPIC_API_KEY=...).
	@$(SET_UP) runtime
	@exec $(BIN)/python -m deploy.local up --port-offset $(PORT_OFFSET) --shards $(SHARDS) $(if $(TLS),--tls) $(if $(KAFKA),--kafka)

certs: python  ## Make or renew the certificates of every service by a development authority (CERTS=DIR); a running mesh takes them.
	@$(SET_UP) runtime
	@$(BIN)/python -m deploy.local.secrets.certs $(CERTS)

test: python  ## Set up, run every check and every test (PYTEST_ARGS='-k redis').
	@"$(PYTHON)" -m deploy.local.tools.go_tools >/dev/null 2>&1 &
	@"$(PYTHON)" -m deploy.local.tools.java_tools >/dev/null 2>&1 &
	@$(SET_UP) everything
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) $(PYTEST_ARGS)

lint: python  ## Check style, types, imports and contracts.
	@$(SET_UP) everything
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint

check: lint  ## Everything that can be checked without running it: lint, drift of generated code, definitions.
	$(BIN)/python -m protos.codegen --check
	$(BIN)/python -m catalogue lint

gen: python  ## Regenerate gen/ from the contracts.
	@$(SET_UP) everything
	$(BIN)/python -m protos.codegen

bench: python  ## Measure agent calls beside the plain FastAPI build, what the gates take, an overload, a flood of logins, durable runs.
	@$(SET_UP) everything
	$(BIN)/python -m tests.bench calls
	$(BIN)/python -m tests.bench interceptors
	$(BIN)/python -m tests.bench overload
	$(BIN)/python -m tests.bench logins
	$(BIN)/python -m tests.bench workflows
	$(BIN)/python -m tests.bench fairness

chaos: export CHAOS_SECONDS ?= 300
chaos: export CHAOS_CLIENTS ?= 24
chaos: export CHAOS_STREAMS ?= 3000
chaos: export KAFKA_AWAY_SECONDS ?= 60
chaos: export CHAOS_RUNS ?= 1000
chaos: export CHAOS_ROUNDS ?= 3
chaos: python  ## Kill everything again and again for minutes, and reconcile the books (CHAOS_SECONDS=N, CHAOS_CLIENTS=N, CHAOS_RUNS=N).
	@$(SET_UP) everything
	$(BIN)/python -m pytest -n 0 tests/chaos $(PYTEST_ARGS)

LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock: python  ## Resolve the dependencies of pyproject.toml anew, keeping the versions that still fit.
	@$(SET_UP) uv
	$(LOCK) --group bootstrap --output-file deploy/local/bootstrap.lock >/dev/null
	$(LOCK) pyproject.toml --group local --group dev --group test --output-file requirements-dev.lock >/dev/null
	$(LOCK) pyproject.toml --group local --constraint requirements-dev.lock --output-file requirements.lock >/dev/null

clean: python  ## Remove the data of every stack on this machine, and everything else in .agentmesh/.
	@"$(PYTHON)" -m deploy.local clean

python:
	@"$(PYTHON)" -c '$(IS_3_11)' 2>/dev/null || { echo "agentmesh: Python 3.11 is needed and was not found: install it, or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
