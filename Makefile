# Everything a newcomer, a developer or CI does here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.8
STAMP := $(VENV)/.synced
SOURCES := contract ambassador operator cli images tests examples docs bench

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# Without its cache, every test process would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv comes from PyPI into the project's own environment; the lock file decides every other version.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Choregos needs Python 3.11 or later, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --locked --inexact --python $(BIN)/python
	touch $@

.PHONY: install
install: $(STAMP) ## Install everything into .venv, as the lock file says

.PHONY: demo
demo: $(STAMP) ## Run the drone delivery on this machine, faults included (under a minute)
	@exec $(BIN)/python examples/drone-delivery/demo.py

.PHONY: test
test: $(STAMP) ## Run the unit and integration tests on real parts
	$(BIN)/pytest -n 4 --dist worksteal tests/unit tests/integration tests/chaos

.PHONY: chaos
chaos: $(STAMP) ## Play a round of faults, and judge it [DURATION=60s SEED= NATS=single|cluster FAULTS= RUNNER=choregos|naive|hasty]
	PYTHONPATH=tests $(BIN)/python -m chaos --duration $(or $(DURATION),60s) $(if $(SEED),--seed $(SEED)) \
	  $(if $(NATS),--nats $(NATS)) $(if $(FAULTS),--faults '$(FAULTS)') $(if $(RUNNER),--runner $(RUNNER)) $(CHAOS)

.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz all that arrives from outside, guided by coverage [SECONDS=60 for each target]
	$(UV) sync --quiet --locked --inexact --group fuzz --python $(BIN)/python
	PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(or $(SECONDS),60)

.PHONY: cluster-binaries
cluster-binaries: $(STAMP) ## Build etcd, kube-apiserver and so on, unless they are there (some minutes, once)
	PYTHONPATH=tests $(BIN)/python -m support.binaries

.PHONY: test-cluster
test-cluster: $(STAMP) cluster-binaries ## Run the tests that need a Kubernetes API (of KUBECONFIG, else one of their own)
	$(BIN)/pytest -n 2 --dist worksteal tests/cluster

.PHONY: e2e
e2e: $(STAMP) ## Run the end-to-end tests on a node with real pods (root on Linux; some minutes)
	PYTHONPATH=tests $(BIN)/python -m support.node_packages
	PYTHONPATH=tests $(BIN)/python -m support.binaries --node
	PYTHONPATH=tests $(BIN)/python -m support.images
	$(BIN)/pytest tests/e2e

.PHONY: test-failed
test-failed: $(STAMP) ## Run what failed last once more, one after the other
	$(BIN)/pytest --last-failed --last-failed-no-failures none tests

.PHONY: bench
bench: $(STAMP) ## Measure what a hop costs, against hand-written loops and FastStream (20 minutes) [BENCH='--quick --only saturation']
	$(UV) sync --quiet --locked --inexact --group bench --python $(BIN)/python
	$(BIN)/python bench/run.py $(BENCH)

.PHONY: bench-operator
bench-operator: $(STAMP) cluster-binaries ## Measure the operator: admissions, apply to wired, requests at rest (eight minutes)
	env -u KUBECONFIG PYTHONPATH=tests $(BIN)/python bench/operator_run.py

.PHONY: verify
verify: $(STAMP) ## Compare generated files with what the code would generate
	$(BIN)/python docs/generate.py --check

.PHONY: check
check: $(STAMP) verify ## Format, lint, types, layers, generated files
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: generate
generate: $(STAMP) ## Write the generated files anew
	$(BIN)/python docs/generate.py

.PHONY: format
format: $(STAMP) ## Format the code and mend what the linter can mend
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)
