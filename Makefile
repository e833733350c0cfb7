# Everything here is thin: `make help` lists it. `make demo` and `make test` do all set-up by themselves.

# Where the tests expect the speech model; the demo uses the same one.
MODELS := .cache/models
MODEL  := $(MODELS)/ggml-tiny.en.bin
PAGE   := web/dist/index.html

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz conformance security browser-test crash-test real-models run setup model web lint docs schema

help: ## Lists the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: setup $(PAGE) ## Takes a sample recording through the whole pipeline, shows a year's figures, and stays up as a server.
	exec env MODELS_DIR="$${MODELS_DIR:-$(MODELS)}" cargo run -- demo

test: setup $(PAGE) $(MODEL) ## Runs all the tests.
	@if [ -d web/node_modules ]; then cd web && npm test --silent; fi
	cargo test --workspace

conformance: setup $(MODEL) ## Runs the suites of others against the server (suites='tus relay': only those).
	scripts/conformance $(suites)
# 20,000 of them are among the tests; FUZZ_SEED=17 FUZZ_CASES=1 does one of them again.
fuzz: setup ## Gives a million documents of near-GraphQL to guard, parser and validation.
	FUZZ_CASES=$(or $(FUZZ_CASES),1000000) cargo test --lib -- --nocapture guard::fuzz

security: setup ## Runs the tests that measure: what the time of an answer gives away.
	cargo test --test api -- --ignored --test-threads=1 --nocapture timing::

real-models: setup ## Runs recordings through real models behind a real server, where ../shared has them (all=1: every one).
	scripts/real-models $(if $(all),all)

browser-test: setup $(PAGE) $(MODEL) ## Does the main job in GraphiQL with a real browser; SCREENSHOTS=folder keeps pictures.
	scripts/browser-test

# By default all seeds from 1 to 200, two at a time; `make crash-test SEED=17 RUNS=1` does one of them again.
crash-test: setup ## Kills, stops and cuts off processes and database, and looks whether anything is lost.
	SEED=$(or $(SEED),1) RUNS=$(or $(RUNS),200) LANES=$(or $(LANES),2) cargo test --test crash

run: $(PAGE) ## Runs the server with its worker, in release mode.
	exec env MODELS_DIR="$${MODELS_DIR:-$(MODELS)}" cargo run --release -- serve

setup: ## Installs what is missing: PostgreSQL, CMake, a C++ compiler, pip, Node.js, poppler, qpdf.
	@scripts/setup

model: $(MODEL) ## Fetches the speech model tiny.en (78 MB), unless it is there.

web: ## Builds the GraphiQL page. The next build of the server takes it in.
	scripts/web

lint: ## Checks format and lints.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

docs: ## Builds the code's documentation into target/doc.
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace

schema: ## Writes schema.graphql anew.
	@mkdir -p target
	cargo run --quiet -- schema > target/schema.graphql
	mv target/schema.graphql schema.graphql

$(MODEL): | setup
	MODELS_DIR=$(MODELS) cargo run -- models fetch tiny.en

# The server is complete without the page: a machine without Node.js can still do everything else.
$(PAGE): $(wildcard web/src/*) web/index.html web/build.mjs web/package.json web/package-lock.json | setup
	@if scripts/setup --has-node; then scripts/web; else echo 'GraphiQL is left out: it needs Node.js 18 or newer.'; fi
