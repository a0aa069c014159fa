//! Arbitrary datagrams, streams and failures into the testkit's registrar and proxy: no panic, the
//! limit on transactions holds, and after some minutes of silence none is left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};
use tiny_net::NetEvent;
use tiny_sak::{Flow, Output, Rng, Transport};
use tiny_ua::testkit::{Server, ServerConfig};

fuzz_target!(|data: &[u8]| {
    let config = ServerConfig::new("example.com").user("bob", "secret").user("alice", "secret");
    let config = ServerConfig { max_transactions: 8, max_contacts: 2, max_nonces: 4, ..config };
    let mut server = Server::new(config, Rng::from_seed(1));
    let local = ([192, 0, 2, 100], 5060).into();
    server.bind(Transport::Udp, local);
    server.bind(Transport::Tcp, local);
    let start = Instant::now();
    let mut now = start;
    // Each step is an octet that says what, two of length, and the bytes.
    let mut rest = data;
    while let [what, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        let transport = if what & 1 == 0 { Transport::Udp } else { Transport::Tcp };
        let remote = ([192, 0, 2, 1 + (what >> 4 & 3)], 5060).into();
        let flow = Flow { transport, local, remote };
        let data = bytes.to_vec().into();
        let event = match what >> 1 & 7 {
            0..=4 if transport == Transport::Udp => NetEvent::Datagram { flow, data },
            0..=4 => NetEvent::Stream { flow, data },
            5 => NetEvent::Closed { flow, error: None },
            6 => NetEvent::SendFailed { flow, error: std::io::ErrorKind::ConnectionRefused },
            _ => {
                now += Duration::from_millis(u64::from(*what) * 100);
                server.handle_timeout(now);
                continue;
            }
        };
        server.handle(now, event);
        while !matches!(server.poll(now), Output::Timeout(_)) {}
        assert!(server.transactions() <= 8);
    }
    let last = now;
    loop {
        match server.poll(now) {
            Output::Timeout(Some(next)) => now = now.max(next),
            Output::Timeout(None) => break,
            _ => continue,
        }
        server.handle_timeout(now);
    }
    assert_eq!(server.transactions(), 0);
    assert!(now < last + Duration::from_secs(2 * 3600));
});
