#!/usr/bin/env bash
# Runs each fuzz target, or those named, for FUZZ_SECONDS (60) on one core, from seeds that are made
# of tests/vectors. Needs a nightly toolchain and cargo-fuzz. See docs/FUZZING.md.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz

vectors=tests/vectors
corpus=${FUZZ_CORPUS:-fuzz/corpus}

# seed TARGET NAME: standard input becomes a seed.
seed() {
    mkdir -p "$corpus/$1"
    cat >"$corpus/$1/seed-$2"
}

# step WHAT FILE: one step of sip_endpoint and ua_testkit, an octet and a length before the message.
step() {
    local size
    size=$(wc -c <"$2")
    printf "\\x$(printf %02x "$1")\\x$(printf %02x $((size / 256)))\\x$(printf %02x $((size % 256)))"
    cat "$2"
}

# lines TARGET: each line of standard input becomes a seed.
lines() {
    mkdir -p "$corpus/$1"
    sort -u | split -l 1 -a 4 - "$corpus/$1/seed-"
}

seeds() {
    local file name kind whole target
    for file in "$vectors"/sip-torture/rfc4475/*.dat "$vectors"/callflows/rfc3665/*.sip; do
        name=$(basename "$file")
        seed sip_message "$name" <"$file"
        { printf '\7'; cat "$file" "$file"; } | seed sip_stream "$name"
        for target in sip_endpoint ua_testkit; do
            # Two octets of commands: a datagram, then the same on a stream.
            { step 0 "$file"; step 1 "$file"; } | seed "$target" "$name"
        done
    done
    # Whole call flows, six messages at a time.
    for kind in 0 1 2 3 4 5 6 7 8 9; do
        for target in sip_endpoint ua_testkit; do
            for file in "$vectors"/callflows/rfc3665/?"$kind"*.sip; do
                step 0 "$file"
            done | head -c 16000 | seed "$target" "flow-$kind"
        done
    done
    whole=$(cat "$vectors"/sip-torture/rfc4475/*.dat "$vectors"/callflows/rfc3665/*.sip |
        tr -d '\0\r' | LC_ALL=C grep -a '^[A-Za-z-]*[ 	]*: ' || true)
    printf '%s\n' "$whole" | LC_ALL=C sed 's/^[^:]*:[ 	]*//' | lines sip_header
    printf '%s\n' "$whole" | LC_ALL=C grep -aoE '(sips?|tel):[^>, "]+' | lines sip_uri
    printf '%s\n' "$whole" | LC_ALL=C grep -aoE 'Digest .*' | lines sip_digest
    printf 'Digest realm="r", nonce="I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=", algorithm=AKAv1-MD5' |
        seed sip_digest aka
    printf '%s' '..c2ln;info=<https://cert.example.org/passport.cer>;alg=ES256' | seed sip_identity compact
    printf 'multipart/mixed;boundary=b\n--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--' |
        seed sip_multipart two
    # RFC 5769 §2.2: a Binding response.
    printf '\1\1\0\34\41\22\244\102\267\347\247\1\274\64\326\206\372\207\337\256\200\42\0\13test vector \0\40\0\10\0\1\241\107\341\22\246\103' |
        seed sip_stun response
    printf 'candidate:1 1 udp 2130706431 203.0.113.141 8998 typ host ufrag abcd network-cost 10\nice-ufrag:8hhY\nice-pwd:asd88fgpdd777uzjYhagZg\nice-options:ice2 trickle\nremote-candidates:1 192.0.2.3 9\n' |
        seed net_ice all
    printf 'candidate:3 1 tcp 1015021823 x.local 9 typ srflx raddr ::1 rport 9 tcptype active\n' | seed net_ice tcp
    for file in "$vectors"/stun/*.bin; do
        seed net_stun "$(basename "$file")" <"$file"
        { printf '\5'; cat "$file"; printf '\100\1\0\3abc\0'; cat "$file"; } |
            seed net_turn_framing "$(basename "$file")"
    done
    # The documents of the RFCs stand in the tests of the parsers.
    local ns=urn:ietf:params:xml:ns
    printf '<presence xmlns="%s:pidf" entity="sip:a@b"><tuple id="t"><status><basic>open</basic></status><note xml:lang="en">x</note></tuple></presence>' $ns |
        seed sip_body presence
    printf '<dialog-info xmlns="%s:dialog-info" version="1" state="full" entity="sip:a@b"><dialog id="1" call-id="c" direction="initiator"><state event="rejected" code="486">terminated</state><local><identity display="A">sip:a@b</identity><target uri="sip:a@c"><param pname="x" pval="y"/></target></local></dialog></dialog-info>' $ns |
        seed sip_body dialogs
    printf '<watcherinfo xmlns="%s:watcherinfo" version="0" state="partial"><watcher-list resource="sip:a@b" package="presence"><watcher id="1" status="active" event="approved">sip:c@d</watcher></watcher-list></watcherinfo>' $ns |
        seed sip_body watchers
    printf '<reginfo xmlns="%s:reginfo" version="0" state="full"><registration aor="sip:a@b" id="1" state="active"><contact id="2" state="active" event="registered" expires="9"><uri>sip:a@c</uri></contact></registration></reginfo>' $ns |
        seed sip_body registrations
    printf '<conference-info xmlns="%s:conference-info" entity="sip:a@b" state="partial" version="1"><users state="partial"><user entity="sip:c@d" state="partial"><endpoint entity="e" state="deleted"/></user></users></conference-info>' $ns |
        seed sip_body conference
    printf -- '--b\r\nContent-ID: <a>\r\n\r\n<list xmlns="%s:rlmi" uri="sip:a@b" version="0" fullState="true"><resource uri="sip:c@d"><instance id="1" state="active" cid="x"/></resource></list>\r\n--b\r\nContent-ID: <x>\r\n\r\ny\r\n--b--' $ns |
        seed sip_body list
    printf 'Messages-Waiting: yes\r\nVoice-Message: 4/8 (1/2)\r\n' | seed sip_body mailbox
    printf 'SIP/2.0 180 Ringing\r\nA: b\r\n\r\nc' | seed sip_body fragment
    printf 'From: <im:a@b>\r\nTo: <im:c@d>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 1\r\nimdn.Disposition-Notification: positive-delivery\r\n\r\nContent-type: text/plain\r\n\r\nx' |
        seed sip_body envelope
    for file in "$vectors"/sdp/*/*.sdp; do
        name=$(basename "$file")
        seed sdp_description "$name" <"$file"
        { printf '\4'; cat "$file"; printf '\0\1'; cat "$file"; } | seed sdp_negotiation "$name"
        { printf '\6'; cat "$file"; printf '\0\1'; cat "$file"; } | seed sdp_negotiation "all-$name"
    done
    # RFC 8840 §4.4: candidates on their way; RFC 8864 §5: channels of a description.
    printf 'a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\na=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n' |
        seed sdp_description fragment
    printf 'v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\na=dcmap:2 subprotocol="msrp";label="a%%22";ordered=false;max-retr=3\r\na=dcsa:2 accept-types:text/plain\r\n' |
        seed sdp_description channels
    # RTP (version 2, PCMU), a sender report with a CNAME and a BYE, and a key press.
    printf '\x80\x00\x00\x01\x00\x00\x00\xa0\x01\x02\x03\x04abcd' | seed rtp_packet pcmu
    {
        printf '\x80\xc8\x00\x06\x01\x02\x03\x04AAAABBBB\x00\x00\x00\xa0\x00\x00\x00\x01\x00\x00\x00\xa0'
        printf '\x81\xca\x00\x03\x01\x02\x03\x04\x01\x01a\x00\x00\x00\x00\x00'
        printf '\x81\xcb\x00\x01\x01\x02\x03\x04'
    } | tee >(seed rtp_rtcp compound) >(seed media_stream compound) | { printf '\x01\x02\x01\x34'; cat; } |
        seed rtp_session compound
    printf '\x00\x00\x00\x00\x01\x05\x0a\x00\xa0\x05\x8a\x01\x40' | seed rtp_event press
    printf '\x00\x07\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\x241f4712db-ea17-4bcf-a596-105139dfd8bf\x05local\x00\x00\x01\x80\x01\x00\x00\x00\x78\x00\x04\xc0\x00\x02\x07' |
        seed net_mdns answer
    # RFC 8832 §5.1: a channel is opened; and packets that are lost, changed and made up.
    printf '\x03\x82\x01\x00\x00\x00\x00\x05\x00\x02\x00\x01abc' | seed net_data open
    printf '\x01\x06\x00\x06\x06\x01\x0d\x02\x03\x14\x06\x00\x00\x00\x06\x02' | seed net_data astray
    printf 'sha-256 %s' "$(printf 'AB:%.0s' {1..31})AB" | seed net_dtls fingerprint
    printf '\x06\x06\x06\x00\x06\x02\x01\x20\x01\x06' | seed net_dtls astray
    printf 'RIFF\x28\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x04\x00\x00\x00\x01\x02\x03\x04' |
        seed dav_wav mono
    printf '# c\n2.0 hold\n4 resume\n5 dtmf 1#a\n9\thangup\n' | seed softphone_script all
}

# What the targets say and how long an input is worth trying.
longest() {
    case $1 in
        sip_endpoint | sip_stream | ua_testkit) echo 16384 ;;
        *) echo 4096 ;;
    esac
}

# Programs of octets have no seeds to grow from: they start long.
extra() {
    case $1 in
        sip_dialog | rtp_session | rtp_event | media_* | dav_decoders | net_data | net_dtls) echo -len_control=0 ;;
        sip_* | ua_*) echo -dict=fuzz/dictionaries/sip.dict ;;
        sdp_*) echo -dict=fuzz/dictionaries/sdp.dict ;;
    esac
}

seeds
[ "${1:-}" = --seeds-only ] && exit
targets=${*:-$(cargo +nightly fuzz list)}
for target in $targets; do
    echo "== $target"
    mkdir -p "$corpus/$target"
    # shellcheck disable=SC2046 # nothing is no argument
    cargo +nightly fuzz run "$target" "$corpus/$target" -- -max_total_time="${FUZZ_SECONDS:-60}" \
        -max_len="$(longest "$target")" $(extra "$target") \
        -timeout=10 -report_slow_units=1 -rss_limit_mb=2048 -print_final_stats=1
done
