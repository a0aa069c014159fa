# Two commands for people:  make demo   and   make test
# Both do their own set-up (Debian packages only where they are missing).

.PHONY: demo test setup setup-interop fmt lint doc unit deny sans-io interop bench fuzz clean

CARGO ?= cargo

demo: ## build and run a call between two phones in one process
	@scripts/setup.sh build
	$(CARGO) run --release --quiet --example softphone -- demo

test: ## everything that CI checks
	@scripts/test.sh

setup:
	@scripts/setup.sh build
setup-interop:
	@scripts/setup.sh build interop tools

fmt:
	$(CARGO) fmt --all --check
lint:
	$(CARGO) clippy --workspace --exclude tiny-ua-benches --all-targets --all-features -- -D warnings
doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --exclude tiny-ua-benches --no-deps --all-features
unit:
	$(CARGO) test --workspace --exclude tiny-ua-benches --all-features
deny:
	@scripts/deny.sh
sans-io:
	@scripts/sans-io.sh
interop:
	@scripts/setup.sh build interop
	$(CARGO) test --release --all-features --test interop -- --nocapture --test-threads 4

bench: ## side by side with peers
	$(CARGO) bench --bench sip_parse
	$(CARGO) bench --bench srtp
	$(CARGO) bench --bench call_rate
	$(CARGO) bench --bench setup

fuzz: ## each target for a minute (nightly, cargo-fuzz)
	@scripts/fuzz.sh

clean:
	$(CARGO) clean
