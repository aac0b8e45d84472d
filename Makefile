# The handful of commands a developer types; the logic is in Rust tests. CI runs `make test`.
.PHONY: help demo run check fmt lint doc unit test compose-test simulate fuzz bench chaos

CARGO ?= cargo

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: ## Three deliveries of a sample service, the last one broken (half a minute)
	$(CARGO) run --release --locked -- demo

run: ## The whole suite in one process; the API is on http://127.0.0.1:8084
	$(CARGO) run --release --locked

check: ## Does everything compile?
	$(CARGO) check --workspace --all-targets --all-features --locked

fmt: tools ## Are all files formatted?
	$(CARGO) fmt --all --check

lint: tools ## clippy with all warnings as errors
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings

doc: ## The documentation, with all warnings as errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps --locked

unit: parts ## All tests, from pure functions to six services on real servers under fire
	$(CARGO) build --workspace --all-features --bins --locked
	$(CARGO) test --workspace --all-features --locked

test: fmt lint doc unit compose-test ## Everything that CI checks

compose-test: ## compose.yaml and the image with a Docker engine of their own (what `unit` has built)
	@integration-tests/compose.sh

SEEDS ?= 1000
simulate: ## Seeded simulations of the orchestration; SEEDS=100000 for more
	$(CARGO) run --release --locked -p integration-tests --bin simulate -- --seeds $(SEEDS)

TARGET ?=
SECONDS ?= 60
fuzz: ## Looks for inputs that a parser takes badly; TARGET=cron SECONDS=600, INPUT=file for one again
	$(CARGO) run --release --locked -p fuzz --all-features -- $(TARGET) --seconds $(SECONDS) \
		$(if $(SEED),--seed $(SEED)) $(if $(INPUT),--input $(INPUT)) $(if $(STORE),--store)

bench: parts ## Steps per second, latency, memory and start of the suite beside the bare limits
	$(CARGO) build --release --locked --workspace --all-features --bins
	$(CARGO) run --release --locked --all-features -p integration-tests --bin bench

ROUNDS ?= 100
chaos: parts ## So many faults against two of each service while they deliver; ends with a table
	$(CARGO) build --workspace --all-features --bins --locked
	FIRE_FAULTS=$(ROUNDS) FIRE_PIPELINES=$$(($(ROUNDS) / 4 + 1)) $(CARGO) test --locked --all-features \
		-p integration-tests --test cluster two_of_each -- --nocapture

.PHONY: parts
parts: ## The real servers for the tests of the cluster (NATS, Redis, S3), registries and git for those of igor
	@integration-tests/parts.sh
	@integration-tests/parts-registry.sh

.PHONY: tools
tools:
	@command -v rustup >/dev/null || { echo "rustup is missing: https://rustup.rs"; exit 1; }
	@command -v python3 >/dev/null || { echo "python3 is missing: the contract tests run it"; exit 1; }
	@rustup component list --installed | grep -q '^clippy' || rustup component add clippy
	@rustup component list --installed | grep -q '^rustfmt' || rustup component add rustfmt
