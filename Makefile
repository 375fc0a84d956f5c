# Everything goes through here. PYTHON chooses the interpreter (3.11 or newer); HOST and PORT where to serve.
PYTHON ?= python3
RUN := .venv/bin/python
LOCKED := --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

.DEFAULT_GOAL := help
.PHONY: help run test check lint types format schema schema-diff release migration bench lock graphiql storefront install

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: install ## Serve the API with a demo shop, on an embedded Postgres or DATABASE_URL
	@$(RUN) -m app serve --migrate --demo --end-with-parent

# Three processes keep two cores busy: much of the time is waiting.
test: install ## Run the tests
	@$(RUN) -m pytest --numprocesses=3 --dist=worksteal

check: lint types test ## Lint, types and tests

lint: install ## Check style
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check

types: install ## Check types
	@$(RUN) -m mypy

format: install ## Mend style
	@$(RUN) -m ruff check --fix
	@$(RUN) -m ruff format

schema: install ## Export schema.graphql
	@$(RUN) -m app schema --output schema.graphql

schema-diff: install ## Tell what has changed in the schema since the last release
	@$(RUN) -m tools.releases diff

release: install ## Make what is unreleased a release: make release v=1.2.0
	@$(RUN) -m tools.releases release "$(v)"

migration: install ## Write a migration for what changed in app/db/models.py: make migration m="add colours"
	@$(RUN) -m app migration "$(m)"

bench: install ## Compare the API with a tutorial's server and with plain SQL; tell how soon subscribers are told
	@$(RUN) -m benchmarks
	@$(RUN) -m benchmarks.live

lock: ## Pin the newest packages that pyproject.toml allows (needs uv)
	uv pip compile pyproject.toml $(LOCKED) -o requirements.lock
	uv pip compile pyproject.toml --group dev $(LOCKED) -o requirements-dev.lock
	uv pip compile examples/python/pyproject.toml $(LOCKED) -o examples/python/requirements.lock

graphiql: install ## Install GraphiQL's files (needs npm)
	@$(RUN) -m app.web.graphiql.fetch

storefront: ## Serve the example storefront, beside `make run` (needs npm)
	@npm install --prefix examples --workspace storefront --no-package-lock --no-audit --no-fund --loglevel error
	@npm run dev --prefix examples/storefront

install: # What all of the above need
	@$(PYTHON) scripts/install.py
