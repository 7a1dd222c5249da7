# Everything a person types. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
POSTGRES_VERSIONS ?= 14 16 18
QUESTDB_VERSIONS ?= 8.2.0 9.0.3
# What depends on the server's version: the contract, the takeover, and the catalogue as it is read.
POSTGRES_TESTS := tests/postgres $(wildcard tests/migrations/test_takeover*.py) $(addprefix \
  tests/migrations/test_,chain.py parity.py drift.py downgrade.py online.py deployments.py)

.DEFAULT_GOAL := help
.PHONY: help install up down clean reset test test-postgres-matrix test-questdb-matrix check revision release

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Create .venv with the pinned dependencies
	@$(PYTHON) tools/make_venv.py

up: install ## Start local PostgreSQL and QuestDB, migrate them, load the sample
	@$(BIN)/stage1 up

down: install ## Stop the local servers, keep their data
	@$(BIN)/stage1 down

clean: install ## Stop the local servers and remove them with their data
	@$(BIN)/stage1 down --clean

reset: install ## Empty and rebuild both stores (not local: CONFIRM=<database>; ARGS=--drop)
	@$(BIN)/stage1 reset $(if $(CONFIRM),--confirm '$(CONFIRM)') $(ARGS)

test: install ## Run the tests on servers that they start themselves
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

test-postgres-matrix: install ## Run what depends on the version on PostgreSQL 14, 16 and 18
	@for version in $(POSTGRES_VERSIONS); do echo "PostgreSQL $$version"; \
	  $(BIN)/python -m pytest -q -n 3 --dist worksteal --postgres-version $$version \
	    $(POSTGRES_TESTS) || exit 1; done

test-questdb-matrix: install ## Run the core tests on QuestDB 8.2.0 and 9.0.3
	@for version in $(QUESTDB_VERSIONS); do echo "QuestDB $$version"; \
	  $(BIN)/python -m pytest -q -n 3 --dist worksteal -m core --questdb-version $$version tests/questdb || exit 1; done

check: install ## Lint, type-check and test on every version: what CI runs
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-postgres-matrix POSTGRES_VERSIONS="14 16"
	@$(MAKE) --no-print-directory test-questdb-matrix

revision: install ## Generate a revision from changed declarations (m="what it does")
	@$(if $(m),,$(error say what it does: make revision m="add a column"))$(BIN)/alembic revision --autogenerate -m "$$m"

release: install ## List the revisions as released: from then on nothing edits them
	@$(BIN)/stage1 release
