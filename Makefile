# Two commands from a bare clone: `make up` (a live platform in the browser) and `make test` (everything).
# Each thing is built again only when its sources changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .cache/stamp
ARGS ?=
HOME_OF = $(shell grep -oE -- '--home[ =][^ ]+' <<< '$(ARGS)')

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates -name '*.rs' -o -name Cargo.toml)
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print)

# Tests start thousands of processes: each would compile again all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help build up dev test check fix bench soak gen docs wheel clean \
	test-rust test-python test-whole test-alone test-web test-browser ready

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP)/venv: requirements/dev.txt requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Tidemill needs Python 3.11, 3.12 or 3.13; none was found on PATH" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements/dev.txt requirements/uv.txt
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/native: $(STAMP)/venv $(RUST_SOURCES) pyproject.toml
	@command -v cargo >/dev/null || { echo "Tidemill builds its hot path with Rust: install it from https://rustup.rs" >&2; exit 1; }
	$(BIN)/maturin develop -q --release --locked --uv
	@touch $@

$(STAMP)/node: web/package-lock.json
	@command -v npm >/dev/null || { echo "Tidemill builds its screens with Node.js 20.19 or newer: install it from https://nodejs.org" >&2; exit 1; }
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/web: $(STAMP)/node $(WEB_SOURCES)
	cd web && npm run -s build
	@touch $@

build: $(STAMP)/native $(STAMP)/web ## .venv with everything (.venv/bin/tidemill)

up: build ## a live local platform; ARGS="--port 9000" passes arguments on
	@exec $(BIN)/tidemill up $(ARGS)

dev: build ## the platform unless it runs, and the web app with hot reload on port 5173
	@$(BIN)/tidemill status $(HOME_OF) >/dev/null 2>&1 || $(BIN)/tidemill up --no-browser --detach $(ARGS)
	@cd web && exec npm run dev

check: build ## format, lint, types, import direction
	cargo fmt --check
	cargo clippy --workspace --all-targets --release --locked -- -D warnings
	$(BIN)/ruff format --check src tests benches
	$(BIN)/ruff check src tests benches
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	cd web && npm run -s check

fix: $(STAMP)/venv $(STAMP)/node ## format, and mend what a tool can mend
	cargo fmt
	$(BIN)/ruff format src tests benches
	$(BIN)/ruff check --fix src tests benches
	cd web && npm run -s fix

# What promises a figure has the machine to itself, at the end.
test: ## everything, set-up included
	$(MAKE) -j3 ready
	$(MAKE) test-rust test-python test-whole test-browser test-web check test-alone
	@echo "all suites passed"

ready: build $(STAMP)/programs

test-rust: build
	cargo test --workspace --release --locked

# Tests mostly wait: two files run at a time.
WHOLE := tests/system tests/bus tests/jobs
PYTEST := $(BIN)/pytest --dist loadfile
test-python: build $(STAMP)/programs
	$(PYTEST) -n 2 -m "not soak and not alone" $(foreach part,tests/browser $(WHOLE),--ignore=$(part))

test-whole: build $(STAMP)/programs
	$(PYTEST) -n 2 -m "not soak and not alone" $(WHOLE)

test-alone: build $(STAMP)/programs
	$(PYTEST) -m "alone and not soak" $(shell grep -rl --include=*.py mark.alone tests)

test-web: $(STAMP)/node
	cd web && npm run -s test

test-browser: build
	$(BIN)/pytest -m "not soak and not alone" tests/browser

$(STAMP)/programs: $(STAMP)/native $(RUST_SOURCES)
	cargo build -q --release --locked --workspace --example parse --example pump --example fanout_load
	@touch $@

# Peers live apart: nothing of theirs gets into the platform's own environment.
$(STAMP)/bench: requirements/bench.txt $(STAMP)/venv
	test -x .cache/bench/bin/python || $(BIN)/uv venv -q --python $(BIN)/python .cache/bench
	$(BIN)/uv pip sync -q --python .cache/bench/bin/python --require-hashes requirements/bench.txt
	@touch $@

bench: build $(STAMP)/programs $(STAMP)/bench ## side by side with peers; results in benches/results/
	PYTHONPATH=src .cache/bench/bin/python -m benches.run $(ARGS)

soak: build ## the long tests: hundreds of kills, an hour's memory
	$(BIN)/pytest -m soak $(ARGS)

gen: build ## files that are made from other files, committed and compared by a test
	$(BIN)/python -m tidemill.service.openapi docs/openapi.json
	cd web && npm run -s gen

docs: build ## check that every link and command in the docs exists
	$(BIN)/pytest tests/docs

wheel: $(STAMP)/venv $(STAMP)/web ## one wheel with extension, command and web app, in dist/
	$(BIN)/maturin build -q --release --locked --out dist

clean: ## remove what was built here
	rm -rf .venv .cache dist target web/node_modules web/dist src/tidemill/service/web src/tidemill/*.so
