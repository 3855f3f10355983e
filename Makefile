.PHONY: help check format test package dist aarch64

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

package: ## links in build/package that show the package as it is installed, for mypy and PYTHONPATH
	rm -rf build/package && mkdir -p build/package/aecodec
	ln -s $(CURDIR)/codec/* $(CURDIR)/cli $(CURDIR)/benchmarks build/package/aecodec/

check: ## lint, format and types
	ruff check .
	ruff format --check .
	$(MAKE) package
	mypy

dist: ## wheel and source distribution in dist/, checked
	rm -rf dist
	python -m build
	twine check --strict dist/*

format: ## rewrite files in the one format
	ruff check --fix .
	ruff format .

aarch64: dist ## the wheel on Linux for ARM, emulated: pip install, then the golden files
	tests/aarch64.sh

test: ## the whole test suite
	pytest
