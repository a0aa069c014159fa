#!/usr/bin/env bash
# Installs what a step needs and does not have yet: setup.sh [build] [interop] [tools]
# Debian packages only where they are missing, with sudo or as root.
set -euo pipefail

packages_for() {
    case "$1" in
    build) echo "gcc:gcc pkg-config:pkg-config libasound2-dev:/usr/include/alsa/asoundlib.h" ;;
    interop) echo "kamailio:kamailio kamailio-tls-modules:/usr/lib/x86_64-linux-gnu/kamailio/modules/tls.so
        kamailio-websocket-modules:/usr/lib/x86_64-linux-gnu/kamailio/modules/websocket.so
        kamailio-outbound-modules:/usr/lib/x86_64-linux-gnu/kamailio/modules/outbound.so
        kamailio-presence-modules:/usr/lib/x86_64-linux-gnu/kamailio/modules/presence.so
        sip-tester:sipp baresip-core:baresip baresip-ffmpeg:/usr/lib/baresip/modules/avcodec.so tshark:tshark
        libsrtp2-dev:/usr/include/srtp2/srtp.h dnsmasq-base:dnsmasq openssl:openssl coturn:turnserver
        chromium:chromium nodejs:node npm:npm iproute2:ip nftables:nft" ;;
    tools) echo "" ;;
    *) echo "setup.sh: unknown step '$1' (build, interop, tools)" >&2; exit 2 ;;
    esac
}

present() { # a path or a command
    case "$1" in
    /*) [ -e "$1" ] || compgen -G "${1/x86_64-linux-gnu/*}" >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ;;
    esac
}

missing=()
for step in "$@"; do
    for entry in $(packages_for "$step"); do
        present "${entry#*:}" || missing+=("${entry%%:*}")
    done
done

if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    if [ "$(id -u)" = 0 ]; then as=""; elif command -v sudo >/dev/null 2>&1; then as="sudo"; else
        echo "setup: these Debian packages are missing and there is no root and no sudo to install them:" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: this is not a Debian machine; please install what provides: ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    if ! $as apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
        $as apt-get update -qq
        $as apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
fi

# What the browser's pages need (tests/interop/browser), at the versions of the lock file. Registries have bad moments.
page_modules() {
    local from=tests/interop/browser to=${CARGO_TARGET_DIR:-target}/browser tries=3
    [ -d "$to/node_modules/jssip" ] && cmp -s "$from/package-lock.json" "$to/package-lock.json" && return
    echo "setup: installing the modules of $from"
    mkdir -p "$to"
    cp "$from/package.json" "$to/"
    rm -f "$to/package-lock.json"
    until (cp "$from/package-lock.json" "$to/" && cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --silent); do
        rm -f "$to/package-lock.json"
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "setup: npm cannot install what $from/package-lock.json names" >&2; exit 1; }
        sleep 3
    done
}

if ! command -v cargo >/dev/null 2>&1; then
    [ -x "$HOME/.cargo/bin/cargo" ] || {
        echo "setup: Rust is missing; install it from https://rustup.rs (1.95 or newer)" >&2
        exit 1
    }
fi

for step in "$@"; do
    if [ "$step" = interop ]; then
        (cd "$(dirname "$0")/.." && page_modules)
    fi
    if [ "$step" = tools ] && ! cargo deny --version >/dev/null 2>&1; then
        echo "setup: building cargo-deny"
        cargo install --quiet --locked cargo-deny
    fi
done
