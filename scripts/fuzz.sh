#!/usr/bin/env bash
# Runs each fuzz target for FUZZ_SECONDS (60) on one core. Needs a nightly toolchain and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz
targets=${*:-$(cargo +nightly fuzz list)}
for target in $targets; do
    echo "== $target"
    cargo +nightly fuzz run "$target" -- -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=4096 -max_len=4096 -print_final_stats=1
done
