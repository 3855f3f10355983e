.PHONY: help check format test

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

check: ## lint, format and types
	ruff check .
	ruff format --check .
	mypy

format: ## rewrite files in the one format
	ruff check --fix .
	ruff format .

test: ## the whole test suite
	pytest
