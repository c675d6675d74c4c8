# `make help` lists the commands. They need Python 3.11 and nothing else.

.DEFAULT_GOAL := help
.PHONY: help up certs clean fast fmt test lint check chaos bench gen lock clients python

# Added to every port, for a second stack beside the first.
PORT_OFFSET ?= 0
# The number of agent host processes that share the agents.
SHARDS ?= 1
# 1: mTLS between the services, with certificates of a development authority.
TLS ?=
# 1: events also go to a Kafka broker; needs Java 17 and Maven.
KAFKA ?=
# Where `make certs` puts certificates: by default, where the stack looks for them.
CERTS ?= .agentmesh$(if $(filter-out 0,$(PORT_OFFSET)),/offset-$(PORT_OFFSET))/certs
# Processes that share the tests. Most tests wait, so two processes keep two cores busy. -n 0 in PYTEST_ARGS: one process.
TEST_PROCESSES ?= 2
# More arguments for pytest, such as PYTEST_ARGS='-k redis'.
PYTEST_ARGS ?=
# `make fast T=test_graph` runs one test file, or the tests whose name contains T.
T ?=
# The benchmarks to run, separated by commas. These take less than 15 minutes; fairness takes another three,
# and analytics, which fills the cells of ten million executions, half an hour.
BENCH ?= calls,interceptors,overload,logins,workflows
# A commit: compare this tree with it instead (BENCH=calls or workflows).
BASE ?=
# More arguments for a benchmark, such as BENCH_ARGS='--rounds 24'.
BENCH_ARGS ?=

comma := ,
IS_3_11 := import sys; sys.exit(sys.version_info[:2] != (3, 11))
ifeq ($(origin PYTHON), undefined)
PYTHON = $(shell for p in python3.11 python3 python .venv/bin/python; do "$$p" -c '$(IS_3_11)' 2>/dev/null && echo "$$p" && break; done)
endif
BIN := .venv/bin
SET_UP = "$(PYTHON)" -m deploy.local.bootstrap

help:  ## List these commands.
	@awk -F':.*##  *' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z]+:.*##/ { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run the platform

up: python  ## Set up and run the whole platform (PORT_OFFSET=N SHARDS=N TLS=1 KAFKA=1 LIMITS=off ANTHROPIC_API_KEY=...).
	@$(SET_UP) runtime
	@exec $(BIN)/python -m deploy.local up --port-offset $(PORT_OFFSET) --shards $(SHARDS) $(if $(TLS),--tls) $(if $(KAFKA),--kafka)

certs: python  ## Create or renew the certificates of all services (CERTS=DIR); a running stack loads them without a restart.
	@$(SET_UP) runtime
	@$(BIN)/python -m deploy.local.secrets.certs $(CERTS)

clean: python  ## Delete the data of every stack on this machine, and everything else in .agentmesh/.
	@"$(PYTHON)" -m deploy.local clean

##@ Change the code

fast: python  ## The inner loop: formatting, types, unit tests. T=test_graph: only these tests, without any check.
	@$(SET_UP) everything
ifeq ($(T),)
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) -p no:schemathesis -m "not slow" --hypothesis-profile=fast tests/unit $(FAST_IGNORES) $(PYTEST_ARGS)
else
	@$(BIN)/python -m pytest -q -n 0 $(or $(NAMED_FILES),$(NAMING_FILES) -k "$(T)") $(PYTEST_ARGS)
endif
# The tests of the code generator, and the import of the provider's SDK, take most of the time. They run if what they test has changed.
CHANGED = $(shell git status --porcelain $(1) 2>/dev/null | head -n 1)
FAST_IGNORES = $(if $(call CHANGED,protos gen tests/unit/codegen),,--ignore tests/unit/codegen) \
  $(if $(call CHANGED,agent_server/providers tests/unit/agent_server/providers),,--ignore tests/unit/agent_server/providers)
# Compiled tests are kept even where the environment forbids it: to compile them takes longer than to run them.
fast: export PYTHONDONTWRITEBYTECODE :=
NAMED_FILES = $(shell find tests -name '$(T).py')
NAMING_FILES = $(shell grep -rl '$(T)' tests --include='test_*.py')

fmt: python  ## Format the code and fix what ruff can fix.
	@$(SET_UP) everything
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

gen: python  ## Regenerate gen/ and docs/errors.md from protos/.
	@$(SET_UP) everything
	$(BIN)/python -m protos.codegen
	$(BIN)/python -m gateway.envoy.connections

clients: python  ## Build the client packages into dist/.
	@$(SET_UP) everything
	$(BIN)/python -m deploy.clients

LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock: python  ## Resolve the dependencies of pyproject.toml again, keeping the versions that still fit.
	@$(SET_UP) uv
	$(LOCK) --group bootstrap --output-file deploy/local/bootstrap.lock >/dev/null
	$(LOCK) pyproject.toml --group local --group dev --group test --output-file requirements-dev.lock >/dev/null
	$(LOCK) pyproject.toml --group local --constraint requirements-dev.lock --output-file requirements.lock >/dev/null
	$(LOCK) pyproject.toml --group gateway --constraint requirements-dev.lock --output-file requirements-image.lock >/dev/null

##@ Check it

lint: python  ## Style, types, imports between packages, contracts.
	@$(SET_UP) everything
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint

check: lint  ## Every check that needs no running server: lint, generated code, definitions, the web console.
	$(BIN)/python -m protos.codegen --check
	$(BIN)/python -m catalogue lint --strict
	$(BIN)/python -m deploy.local.console.checks

test: python  ## All checks and all tests; about half an hour (PYTEST_ARGS='-k redis').
	@"$(PYTHON)" -m deploy.local.tools.go_tools >/dev/null 2>&1 &
	@"$(PYTHON)" -m deploy.local.tools.java_tools >/dev/null 2>&1 &
	@"$(PYTHON)" -m deploy.local.tools.client_tools >/dev/null 2>&1 &
	@"$(PYTHON)" -m deploy.local.tools.browser_tools >/dev/null 2>&1 &
	@"$(PYTHON)" -m deploy.local.tools.debian_tools >/dev/null 2>&1 &
	@"$(PYTHON)" -m deploy.local.tools.helm_tool >/dev/null 2>&1 &
	@$(SET_UP) everything
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --durations 20 $(PYTEST_ARGS)

chaos: export CHAOS_SECONDS ?= 300
chaos: export CHAOS_CLIENTS ?= 24
chaos: export CHAOS_STREAMS ?= 3000
chaos: export CHAOS_HOSTILE ?= 1
chaos: export KAFKA_AWAY_SECONDS ?= 60
chaos: export CHAOS_RUNS ?= 1000
chaos: export CHAOS_ROUNDS ?= 3
chaos: python  ## Kill every process repeatedly, then reconcile the books (CHAOS_SECONDS=N CHAOS_CLIENTS=N CHAOS_RUNS=N).
	@$(SET_UP) everything
	$(BIN)/python -m pytest -n 0 tests/chaos $(PYTEST_ARGS)

bench: python  ## Measure (BENCH=calls,interceptors,overload,logins,workflows,fairness,analytics,search), or compare with a commit (BENCH=calls BASE=main).
	@$(SET_UP) everything
	@for name in $(subst $(comma), ,$(BENCH)); do $(BIN)/python -m tests.bench $(if $(BASE),compare $$name "$(BASE)",$$name) $(BENCH_ARGS) || exit; done

python:
	@"$(PYTHON)" -c '$(IS_3_11)' 2>/dev/null || { echo "agentmesh: Python 3.11 is needed and was not found: install it, or name its path: make PYTHON=/path/to/python3.11" >&2; exit 1; }
