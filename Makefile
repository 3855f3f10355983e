.PHONY: help check format test

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

check: ## lint, format and types
	ruff check .
	ruff format --check .
	rm -rf build/typed && mkdir -p build/typed/aecodec
	ln -s $(CURDIR)/codec/* $(CURDIR)/cli $(CURDIR)/benchmarks build/typed/aecodec/
	mypy

format: ## rewrite files in the one format
	ruff check --fix .
	ruff format .

test: ## the whole test suite
	pytest
