#!/usr/bin/env bash
# The cores take time and randomness as arguments: no clock, no entropy, no runtime inside them.
set -euo pipefail
cd "$(dirname "$0")/.."

cores=(tiny-sdp/src tiny-rtp/src tiny-sip/src tiny-media/src tiny-net/src/sim tiny-net/src/locate tiny-net/src/locate.rs tiny-net/src/dtls tiny-net/src/dtls.rs tiny-net/src/stun tiny-net/src/turn tiny-net/src/ice tiny-net/src/data tiny-net/src/mdns/message.rs src/engine/core src/media/dtls.rs)
banned='Instant::now|SystemTime::now|UNIX_EPOCH\.elapsed|thread_rng|rand::rng\(|from_os\(|\btokio::(net|time|spawn|task|runtime)|std::net::(Udp|Tcp)|std::thread|thread::(spawn|sleep)'

# What follows the test module of a file is a test: tests make up their own base instant.
hits=$(find "${cores[@]}" -name '*.rs' -not -name 'tests.rs' -not -name '*_tests.rs' -not -name 'lab.rs' -not -path '*/tests/*' -print0 |
    xargs -0 awk -v banned="$banned" '
        FNR == 1 { test = 0 }
        /^#\[cfg\(test\)\]/ { test = 1 }
        test { next }
        /^[[:space:]]*\/\// { next }
        $0 ~ banned { print FILENAME ":" FNR ": " $0 }')

if [ -n "$hits" ]; then
    echo "sans-io: clocks, randomness or I/O inside a core:"
    echo "$hits"
    exit 1
fi
echo "sans-io: ${#cores[@]} cores clean"
