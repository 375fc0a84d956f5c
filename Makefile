# The entry point for all tasks. Set PYTHON to choose the interpreter (3.11 or newer), and HOST and PORT for the address to serve.
PYTHON ?= python3
RUN := .venv/bin/python
LOCKED := --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

.DEFAULT_GOAL := help
.PHONY: help run test test-pooled check lint types format schema schema-diff release migration bench lock graphiql storefront install

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: install ## Serve the API with a demo shop, on an embedded Postgres or DATABASE_URL
	@$(RUN) -m app serve --migrate --demo --end-with-parent

# Three processes keep two cores busy, because tests spend much of their time waiting.
test: install ## Run the tests
	@$(RUN) -m pytest --numprocesses=3 --dist=worksteal

test-pooled: install ## Run the tests through PgBouncer, or some: make test-pooled only=tests/orders
	@$(RUN) -m tests.poolers --numprocesses=3 --dist=worksteal $(only)

check: lint types test ## Check style and types, and run the tests

lint: install ## Check style, and that migrations keep nobody waiting
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m tools.migration_safety

types: install ## Check types
	@$(RUN) -m mypy

format: install ## Fix style
	@$(RUN) -m ruff check --fix
	@$(RUN) -m ruff format

schema: install ## Export schema.graphql
	@$(RUN) -m app schema --output schema.graphql

schema-diff: install ## Show how the schema has changed since the last release
	@$(RUN) -m tools.releases diff

release: install ## Release the unreleased changes: make release v=2.1.0
	@$(RUN) -m tools.releases release "$(v)"

migration: install ## Generate a migration from changes in app/db/models.py: make migration m="add colors"
	@$(RUN) -m app migration "$(m)"

bench: install ## Compare the API with a tutorial's server and with plain SQL, and measure subscriptions
	@$(RUN) -m benchmarks
	@$(RUN) -m benchmarks.live

lock: ## Pin the newest package versions that pyproject.toml allows (needs uv)
	uv pip compile pyproject.toml $(LOCKED) -o requirements.lock
	uv pip compile pyproject.toml --group dev $(LOCKED) -o requirements-dev.lock
	uv pip compile examples/python/pyproject.toml $(LOCKED) -o examples/python/requirements.lock

graphiql: install ## Install GraphiQL's files (needs npm)
	@$(RUN) -m app.web.graphiql.fetch

storefront: ## Serve the example storefront while `make run` serves the API (needs npm)
	@npm install --prefix examples --workspace storefront --no-package-lock --no-audit --no-fund --loglevel error
	@npm run dev --prefix examples/storefront

install: # required by all of the above
	@$(PYTHON) scripts/install.py
