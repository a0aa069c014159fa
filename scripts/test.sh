#!/usr/bin/env bash
# Everything that CI checks, in the order in which it fails fastest.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"

step() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    "$@"
    echo "== $name: ok ($((SECONDS - start)) s)"
}

too_long() {
    local long
    long=$(git ls-files '*.rs' | xargs wc -l | awk '$2 != "total" && $1 > 800 { print "  " $2 ": " $1 " lines" }')
    [ -z "$long" ] || { echo "files over 800 lines:"; echo "$long"; return 1; }
}

step "set-up" scripts/setup.sh build interop tools
step "format" cargo fmt --all --check
step "file length" too_long
step "sans-io" scripts/sans-io.sh
step "clippy" cargo clippy --quiet --workspace --exclude tiny-ua-benches --all-targets --all-features -- -D warnings
step "doc" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --exclude tiny-ua-benches --no-deps --all-features
step "deny" scripts/deny.sh
step "build" cargo build --quiet --release --all-features --examples
# Unit tests, scenarios, doc tests, the softphone as scripts see it, and real peers (tests/interop).
step "tests" cargo test --workspace --exclude tiny-ua-benches --all-features
step "demo" cargo run --release --quiet --example softphone -- demo
echo "all checks passed in $SECONDS s"
