# The only commands a person or CI needs. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tollway
# Built outside the tree, so that a fresh clone finds what an older one has built.
export CARGO_TARGET_DIR ?= $(cache)/target
export PATH := $(PATH):$(cache)/tools/bin
binaries := $(CARGO_TARGET_DIR)/debug
crates := tollway-crds tollway-core tollway-operator tollway-proxy tollway-tests

step = @printf '\n==> %s\n' "$(1)"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: quickstart
quickstart: ## start the proxy on examples/quickstart and print what to try (builds it first: about 4 minutes once)
	@tests/packages.sh quickstart
	$(call step,building tollway-proxy: about 4 minutes the first time and seconds later)
	cargo build --locked -p tollway-proxy
	@examples/run.sh "$(binaries)/tollway-proxy" examples/quickstart

.PHONY: test
test: ## everything that must pass: lint, docs, drift, unit tests, tests against a real API server
	@tests/packages.sh test
	$(call step,Kubernetes control plane (about 10 minutes the first time and nothing later))
	@tests/cluster/build.sh >/dev/null
	$(call step,Helm (about 6 minutes the first time and nothing later))
	@tests/helm/build.sh >/dev/null
	$(call step,Kubernetes node (about 6 minutes the first time and nothing later))
	@tests/node/build.sh >/dev/null
	$(call step,Python clients (about 1 minute the first time and nothing later))
	@tests/python/setup.sh >/dev/null
	@$(MAKE) lint
	$(call step,building programs and tests (about 8 minutes the first time))
	cargo build --locked --workspace --all-targets
	$(call step,tests)
	cargo test --locked --workspace --no-fail-fast
	@printf '\nEvery test passed.\n'

.PHONY: build
build: ## build the programs (debug)
	$(call step,building the programs (about 6 minutes the first time))
	cargo build --locked --workspace --bins

.PHONY: lint
lint: fmt-check clippy deny doc purity alone ## formatting and clippy and licences and docs and layering

.PHONY: fmt-check
fmt-check:
	$(call step,formatting)
	cargo fmt --all --check

.PHONY: clippy
clippy:
	$(call step,clippy (about 4 minutes the first time))
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: deny
deny:
	$(call step,licences and bans and sources)
	@tests/deny.sh

.PHONY: doc
doc:
	$(call step,documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps

# The pure crate may not know sockets, clusters or clouds.
.PHONY: purity
purity:
	$(call step,tollway-core is pure)
	@tree=$$(cargo tree --locked -p tollway-core -e normal --prefix none); \
	if grep -E '^(tokio|hyper|hyper-util|kube-client|kube-runtime|tower|tonic|axum|aws-[a-z0-9-]+) v' <<<"$$tree"; then \
	  echo 'tollway-core must not depend on the crates above: keep I/O in operator and proxy' >&2; exit 1; \
	fi
	@echo "$$(cargo tree --locked -p tollway-core -e normal --prefix none | sort -u | wc -l) crates and none of tokio, hyper, kube-client, tonic, aws"

.PHONY: alone
alone:
	$(call step,each crate builds alone (about 5 minutes the first time))
	@for crate in $(crates); do echo "cargo check -p $$crate"; cargo check --locked -p $$crate; done

.PHONY: crds
crds: ## write crds/yaml and docs/reference anew from the Rust types
	UPDATE=1 cargo test --locked -p tollway-crds what_the_types_say

.PHONY: prove
prove: ## the ledger's invariants: bounded worlds searched step by step, every seeded mistake caught, and 20,000 random worlds (PROPTEST_CASES=n)
	$(call step,searching the bounded worlds and the mistakes (about 10 minutes))
	TOLLWAY_PROVE=1 cargo test --locked -p tollway-core --lib $(optimised) -- --nocapture --test-threads=2 spend::proof::
	$(call step,$(or $(PROPTEST_CASES),20000) random worlds)
	PROPTEST_CASES=$(or $(PROPTEST_CASES),20000) cargo test --locked -p tollway-core --lib $(optimised) -- spend::tests:: spend::ledger:: spend::purse::

# What is searched runs ten times faster so, and nothing else is built differently.
optimised := --config profile.dev.package.tollway-core.opt-level=3 --config profile.dev.package.stateright.opt-level=3

.PHONY: e2e
e2e: build ## only the tests that cross crates: real API server and whole node and simulators and vendors' clients
	@tests/packages.sh test
	@tests/cluster/build.sh >/dev/null
	@tests/helm/build.sh >/dev/null
	@tests/node/build.sh >/dev/null
	@tests/python/setup.sh >/dev/null
	cargo test --locked -p tollway-tests

.PHONY: images
images: ## both images as tar archives in dist/, without an image builder (docker load, ctr images import)
	$(call step,building with optimisation (about 15 minutes the first time))
	cargo build --locked --release -p tollway-operator -p tollway-proxy
	@rm -rf dist && mkdir -p dist
	@for name in operator proxy; do \
	  images/rootfs.sh $(CARGO_TARGET_DIR)/release/tollway-$$name dist/$$name && \
	  images/archive.sh dist/$$name tollway-$$name:$$(sed -n 's/^appVersion: //p' charts/tollway/Chart.yaml) dist/tollway-$$name.tar; \
	done
	@ls -l dist/*.tar

.PHONY: sbom
sbom: ## a CycloneDX bill of materials of each image in dist/
	@images/sbom.sh

.PHONY: vendor
vendor: ## every crate's source in vendor/, for images built without a network
	cargo vendor --locked vendor >/dev/null

.PHONY: fleet
fleet: build ## figures at size: 50 proxies and 2,000 clients on one budget, 100 budgets, an API server away for a minute, 100 proxies, 10,000 routes and 1,000 streams, 1,000 embedding endpoints (about 30 minutes)
	@tests/cluster/build.sh >/dev/null
	cargo test --locked --workspace --test cluster -- --ignored --nocapture --test-threads=1 fleet

.PHONY: bench
bench: ## CPU time a request against a bare hyper proxy and nginx (ratios; BENCH_JSON=file writes them too)
	@tests/packages.sh bench
	$(call step,building with optimisation (about 8 minutes the first time))
	cargo build --locked --release -p tollway-proxy
	cargo build --locked --release -p tollway-tests --bin tollway-bench
	@$(CARGO_TARGET_DIR)/release/tollway-bench
