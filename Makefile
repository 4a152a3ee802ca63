# Two commands matter: `make demo` and `make test`. The rest is for daily work. `make` lists them.
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup demo load faults bench bench-controller soak test lint fmt deny advisories fuzz sim release clean-testbed

PYTHON ?= python3
FUZZ_SECONDS ?= 60
SIM_RUNS ?= 100000
SIM_FROM ?= 0

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## three simulated tasks, from start to stop (DEMO_ARGS=...)
	@$(PYTHON) scripts/setup.py envoy
	@echo "demo: building (the first time takes a few minutes)"
	@cargo build --locked --workspace --bins
	@$(PYTHON) scripts/exec.py cargo run --locked --quiet -p testbed --bin testbed -- demo $(DEMO_ARGS)

load: ## stop tasks under load: what is lost? (LOAD_ARGS=.., 8 min)
	@$(PYTHON) scripts/setup.py envoy
	@cargo build --locked --workspace --bins
	@$(PYTHON) scripts/exec.py cargo run --locked --quiet -p testbed --bin testbed -- load $(LOAD_ARGS)

faults: ## run the tests of faults, write docs/faults.md
	@$(PYTHON) scripts/setup.py
	@cargo build --locked --workspace --bins
	@rm -rf target/faults
	@TASKMESH_FAULTS_ANEW=1 $(PYTHON) scripts/exec.py cargo test --locked --test timeline --test fsm
	@$(PYTHON) scripts/exec.py cargo run --locked --quiet -p testbed --bin testbed -- faults --publish

bench: release ## start, stop and size beside a script's (BENCH_ARGS=)
	@cargo build --locked --workspace --bins
	@target=$$($(PYTHON) scripts/setup.py --release-target) && \
	  $(PYTHON) scripts/exec.py cargo run --locked --quiet -p testbed --bin testbed -- \
	    bench --taskmesh "target/$$target/release/taskmesh" $(BENCH_ARGS)

bench-controller: ## the controller's figures (BENCH_ARGS=--publish, 5 min)
	@$(PYTHON) scripts/setup.py
	@cargo build --locked --workspace --bins
	@$(PYTHON) scripts/exec.py cargo run --locked --quiet -p testbed --bin testbed -- bench-controller $(BENCH_ARGS)

soak: ## kill and freeze tasks at random for 10 minutes (SOAK_ARGS=)
	@$(PYTHON) scripts/setup.py envoy
	@cargo build --locked --workspace --bins
	@$(PYTHON) scripts/exec.py cargo run --locked --quiet -p testbed --bin testbed -- soak $(SOAK_ARGS)

test: setup ## every check and test, one closing line (V=1: each test)
	@$(PYTHON) scripts/test.py

setup: ## fetch the real parts (Envoy, Consul, ..) into .testbed/
	@$(PYTHON) scripts/setup.py

lint: ## formatting and clippy only
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## format the code
	cargo fmt --all

deny: ## licences, duplicates, sources of all dependencies
	@$(PYTHON) scripts/setup.py deny
	@$(PYTHON) scripts/exec.py sh -c '"$${CARGO_DENY:-cargo-deny}" --locked check bans licenses sources'

advisories: ## known holes in dependencies (fetches a database)
	@$(PYTHON) scripts/setup.py deny
	@$(PYTHON) scripts/exec.py sh -c '"$${CARGO_DENY:-cargo-deny}" --locked check advisories'

fuzz: ## fuzz what reads foreign bytes (FUZZ_SECONDS=60, needs C++)
	@$(PYTHON) scripts/fuzz.py $(FUZZ_SECONDS)

sim: ## simulated lives, each from a seed (SIM_RUNS=, SIM_FROM=)
	SIM_RUNS=$(SIM_RUNS) SIM_FROM=$(SIM_FROM) cargo test --locked --test simulation -- --nocapture

release: ## what ships, static where possible (6 minutes)
	@$(PYTHON) scripts/setup.py envoy
	target=$$($(PYTHON) scripts/setup.py --release-target) && \
	  cargo build --locked --release -p taskmesh --target "$$target" && \
	  ls -l "target/$$target/release/taskmesh"

clean-testbed: ## remove .testbed/
	rm -rf .testbed
