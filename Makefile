# The thin front door. What a target does is in cmake/, tests/ and bench/; here is only what calls it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
JOBS ?= $(shell nproc)
# Tests wait for servers a third of their time.
TEST_JOBS ?= $(shell echo $$(($(JOBS) + 1)))
FUZZ_SECONDS ?= 10
PYTHON ?= /usr/bin/python3
export FUZZ_SECONDS
# A Go that cmake/setup.sh installed, where the machine had none that is new enough.
export PATH := $(CURDIR)/build/testbed/go/bin:$(PATH)
# What one clone compiled is good for the next, wherever it lies.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

.PHONY: help setup build arm64 demo test differential lint bench bench-mysql bench-operator bench-failover suites fuzz clean test-build cluster cluster-stop images e2e

help: ## Lists these targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Installs everything that is ever needed (Debian 12; root or sudo)
	@cmake/setup.sh all

build: ## Builds the programs: build/release/bin/{dbproxy,dbproxy-operator,dbproxyctl}
	@cmake/setup.sh build
	@mkdir -p build && cmake --preset release >build/release-configure.log 2>&1 || { cat build/release-configure.log; exit 1; }
	@ninja -C build/release -j$(JOBS)

arm64: ## Builds the programs for arm64 on an amd64 machine: build/arm64/bin; with TESTS=net the unit tests of that, run in qemu
	@cmake/setup.sh arm64
	@mkdir -p build && cmake --preset arm64 >build/arm64-configure.log 2>&1 || { cat build/arm64-configure.log; exit 1; }
	@ninja -C build/arm64 -j$(JOBS) $(if $(TESTS),test_$(TESTS),dbproxy dbproxy-operator dbproxyctl)
	$(if $(TESTS),@qemu-aarch64-static -L build/testbed/arm64-sysroot build/arm64/bin/test_$(TESTS) --gtest_brief=1)

demo: ## Shows what it does, on a real PostgreSQL with a replica; ENGINE=mysql on MySQL's; KEEP=1 leaves it running
	@cmake/setup.sh $(if $(filter mysql,$(ENGINE)),demo-mysql,demo)
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/demo/demo.py $(if $(ENGINE),--engine $(ENGINE)) $(if $(KEEP),--keep)

test: test-build ## Everything: unit, layers, integration, kubernetes, drivers, demo, fuzz, lint (FILTER=name or LABEL=label for some)
	@ctest --test-dir build/dev --output-on-failure -j$(TEST_JOBS) $(if $(FILTER),-R '$(FILTER)') $(if $(LABEL),-L '$(LABEL)') || \
	  { code=$$?; $(PYTHON) -B tests/support/digest.py build/dev; exit $$code; }

test-build:
	@cmake/setup.sh test
	@$(MAKE) --no-print-directory build
	@mkdir -p build && cmake --preset dev >build/dev-configure.log 2>&1 || { cat build/dev-configure.log; exit 1; }
	@ninja -C build/dev -j$(JOBS)
	@mkdir -p build && cmake --preset fuzz >build/fuzz-configure.log 2>&1 || { cat build/fuzz-configure.log; exit 1; }
	@ninja -C build/fuzz -j$(JOBS) fuzzers
	@mkdir -p build && cmake --preset tsan >build/tsan-configure.log 2>&1 || { cat build/tsan-configure.log; exit 1; }
	@ninja -C build/tsan -j$(JOBS) threaded_tests

cluster: ## A single-node Kubernetes of its own, in seconds; cluster-stop ends it (root)
	@cmake/setup.sh cluster
	@$(PYTHON) -B tests/cluster/run.py start

cluster-stop: ## Ends what make cluster started
	@$(PYTHON) -B tests/cluster/run.py stop

e2e: build ## The whole system on make cluster's kind of cluster; or on another, see tests/e2e/world.py
	@cmake/setup.sh test
	@build/testbed/venv/bin/python -B -m pytest -q -p no:cacheprovider --tb=short tests/e2e

images: build ## Container images without a registry: build/images/*.tar
	@cmake/setup.sh cluster
	@$(PYTHON) -B tests/cluster/images.py

differential: PLAYER = $(if $(filter mysql,$(ENGINE)),mysql_differential_player,differential_player)
differential: PLAY = $(if $(filter mysql,$(ENGINE)),mysql/differential.py --player,differential/run.py --native)
differential: ## Generated scripts, on the servers and through a sidecar: STEPS (1000000) on each; ENGINE=mysql, SEED=n from there
	@cmake/setup.sh test
	@$(MAKE) --no-print-directory build
	@mkdir -p build && cmake --preset quick >build/quick-configure.log 2>&1 || { cat build/quick-configure.log; exit 1; }
	@ninja -C build/quick -j$(JOBS) $(PLAYER)
	@DBPROXY_BIN=build/release/bin build/testbed/venv/bin/python -B tests/$(PLAY) build/quick/bin/$(PLAYER) \
	  --steps $(or $(STEPS),1000000) $(if $(SEED),--seed $(SEED))

lint: ## clang-format, clang-tidy, shellcheck, Python's own compiler
	@cmake/setup.sh test
	@$(PYTHON) -B tests/lint/lint.py all

bench: ## Side by side with PgBouncer, HAProxy and a bare relay
	@cmake/setup.sh bench
	@$(MAKE) --no-print-directory build
	@$(PYTHON) bench/run.py

bench-mysql: build ## MySQL and MariaDB under sysbench, side by side: docs/benchmarks-mysql.md
	@cmake/setup.sh test
	@cmake/setup.sh bench
	@$(PYTHON) -B bench/mysql/run.py --docs docs

bench-operator: build ## The operator with 5,000 sidecars, their connection budget, with 2,000 DBProxies and 5,000 pods: docs/benchmarks-operator.md
	@cmake/setup.sh demo
	@cmake/setup.sh kube
	@$(PYTHON) -B bench/operator/run.py --docs docs
	@$(PYTHON) -B bench/operator/crowd.py --docs docs
	@$(PYTHON) -B bench/operator/budget.py --docs docs

bench-failover: build ## What a failover costs a client: direct, through PgBouncer, through dbproxy
	@cmake/setup.sh test
	@cmake/setup.sh bench
	@$(PYTHON) -B bench/failover/run.py --docs docs

suites: ## Other people's suites, against the database and through a sidecar: docs/differences.md
	@cmake/setup.sh test
	@$(MAKE) --no-print-directory build
	@DBPROXY_BIN=build/release/bin $(PYTHON) -B tests/suites/run.py

fuzz: ## Runs each fuzz target for FUZZ_SECONDS (10)
	@cmake/setup.sh test
	@cmake --preset fuzz >/dev/null && ninja -C build/fuzz -j$(JOBS) fuzzers
	@$(PYTHON) tests/fuzz/run.py --no-build --seconds $(FUZZ_SECONDS)

clean: ## Removes everything that was built
	@rm -rf build/dev build/release build/tsan build/fuzz build/quick build/arm64
