.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
STAMP := $(VENV)/.ready
PACKAGES := schemas runtime index connectors streams serving infra cli evaluation benchmarks

.PHONY: help
help: ## list every verb
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.PHONY: setup
setup: $(STAMP) ## create .venv with the locked dependencies

.PHONY: lock
lock: setup ## resolve pyproject.toml again into requirements.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--group pyproject.toml:dev pyproject.toml -o requirements.lock

.PHONY: up
up: setup ## start everything on loopback (idempotent)
	$(BIN)/millstream up

.PHONY: down
down: setup ## stop everything, keep the data
	$(BIN)/millstream down

.PHONY: status
status: setup ## what runs, where, and how far it is
	$(BIN)/millstream status

.PHONY: demo
demo: setup ## up, load examples, ask, change, ask again (KEEP=1 leaves it up)
	$(BIN)/millstream demo $(if $(KEEP),--keep,)

.PHONY: bench
bench: setup ## measure freshness and query latency, as JSON
	$(BIN)/millstream bench freshness --json
	$(BIN)/millstream bench query --json

.PHONY: test-fast
test-fast: setup ## unit tests: pure, no sockets, under a minute
	$(BIN)/pytest tests/unit

.PHONY: test
test: setup ## every test but those of `make soak`, on the real parts
	$(BIN)/pytest tests -n 2 --dist loadfile

.PHONY: soak
soak: setup ## what takes many minutes: kills at every step, reads during writes (SECONDS, LEAST, READS, SEED), builds
	$(BIN)/python -m tests.soak kills --seconds $(or $(SECONDS),1500) --seed $(or $(SEED),1) --least $(or $(LEAST),0)
	$(BIN)/python -m tests.soak reads --reads $(or $(READS),100000) --seed $(or $(SEED),1)
	$(BIN)/pytest tests/unit -n 2 --hypothesis-profile=anew
	$(BIN)/pytest tests -m soak

.PHONY: format
format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint
lint: setup ## format check, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: docs
docs: setup ## write docs/reference from the code
	$(BIN)/python -m cli.reference

.PHONY: check
check: lint test ## format, lint, types, imports, tests
