# Everything a person or CI types. `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help quickstart quickstart-mesos build test lint generate clean bench

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: ## Build, start Meseta on this machine and run a word count (root)
	@scripts/quickstart

quickstart-mesos: ## The same with a scheduler written for Mesos (root)
	@scripts/quickstart-mesos

build: ## Build the programs `meseta` and `meseta-shim`
	@scripts/setup
	cargo build -p meseta -p meseta-shim

test: ## Everything CI checks: format, clippy, arrows, charts, all tests (root)
	@scripts/test

lint: ## The quick part of `make test`: format, arrows, generated files, clippy
	@scripts/test lint

generate: ## Write the files that are made from the Rust types
	cargo xtask generate

bench: ## Print the figures of docs/benchmarks.md (root)
	@scripts/bench

clean: ## Remove what was built
	cargo clean
