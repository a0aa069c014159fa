use super::support::*;
use crate::testkit::{Server, ServerConfig};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tiny_net::NetEvent;
use tiny_sak::{Flow, Output, Rng, Transport};

const SAMPLES: [&str; 6] = [
    "REGISTER sip:example.test SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport\n\
     Max-Forwards: 70\nFrom: <sip:bob@example.test>;tag=x\nTo: <sip:bob@example.test>\n\
     Call-ID: 1\nCSeq: 1 REGISTER\nContact: <sip:bob@192.0.2.1>;expires=60, *\n\
     Authorization: Digest username=\"bob\", realm=\"example.test\", nonce=\"n\", uri=\"sip:x\", \
     response=\"00\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\"\nContent-Length: 0\n\n",
    "INVITE sip:192.0.2.9:5070 SIP/2.0\nv: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK2, \
     SIP/2.0/TCP a.b;branch=z9hG4bK3\nRoute: <sip:example.test;lr>, <sip:192.0.2.7;lr>\n\
     f: \"A, \\\"B\\\"\" <sip:a@b>;tag=1\nt: <sip:c@d>\ni: 2\nCSeq: 7 INVITE\nl: 2\n\nhi",
    "ACK sip:192.0.2.9 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK4\n\
     From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: 3\nCSeq: 1 ACK\n\n",
    "CANCEL sip:192.0.2.9 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\n\
     From: <sip:a@b>;tag=1\nTo: <sip:c@d>\nCall-ID: 2\nCSeq: 7 CANCEL\n\n",
    "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK9, \
     SIP/2.0/UDP 192.0.2.3:5060;received=192.0.2.4;rport=9;branch=z9hG4bK8\n\
     From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: 4\nCSeq: 1 INVITE\n\n",
    "MESSAGE sip:reply-486@example.test SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1\nMax-Forwards: 1\n\
     From: sip:a@b;tag=1\nTo: sip:c@d\nCall-ID: 5\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n",
];

fn mutated(rng: &mut Rng) -> Bytes {
    let pick = |rng: &mut Rng| SAMPLES[rng.below(SAMPLES.len() as u64) as usize];
    let mut text = pick(rng).replace('\n', "\r\n").into_bytes();
    for _ in 0..rng.below(5) {
        let at = rng.below(text.len() as u64) as usize;
        match rng.below(5) {
            0 => text[at] = rng.u32() as u8,
            1 => text.truncate(at.max(1)),
            2 => drop(text.drain(at..(at + 9).min(text.len() - 1).max(at))),
            3 => {
                let other = pick(rng).as_bytes();
                let from = rng.below(other.len() as u64) as usize;
                let piece = &other[from..(from + 40).min(other.len())];
                text.splice(at..at, piece.iter().copied());
            }
            _ => text[at] = b"\r\n:;,<>\"\\ \0"[rng.below(11) as usize],
        }
    }
    text.into()
}

#[test]
fn mutated_messages_never_panic_and_leave_nothing_behind() {
    let mut rng = Rng::from_seed(99);
    let start = Instant::now();
    let config = ServerConfig { max_transactions: 200, ..config() };
    let mut server = Server::new(config, Rng::from_seed(1));
    let local = SERVER.parse().unwrap();
    server.bind(Transport::Udp, local);
    server.bind(Transport::Tcp, local);
    let remote = "192.0.2.1:5060".parse().unwrap();
    let mut now = start;
    for i in 0..30_000u32 {
        now += Duration::from_millis(1);
        let transport = if i % 3 == 0 { Transport::Tcp } else { Transport::Udp };
        let flow = Flow { transport, local, remote };
        let data = mutated(&mut rng);
        let event = match transport {
            Transport::Tcp => NetEvent::Stream { flow, data },
            _ => NetEvent::Datagram { flow, data },
        };
        server.handle(now, event);
        server.handle_timeout(now);
        while !matches!(server.poll(now), Output::Timeout(_)) {}
        assert!(server.transactions() <= 200);
    }
    while let Output::Timeout(Some(next)) = server.poll(now) {
        now = now.max(next);
        server.handle_timeout(now);
        while !matches!(server.poll(now), Output::Timeout(_)) {}
    }
    assert_eq!(server.transactions(), 0);
    assert!(now < start + Duration::from_secs(300));
}

/// Found by fuzzing: a response that could not be written left its transaction behind for ever.
#[test]
fn a_request_whose_answer_cannot_be_written_is_answered_without_it_or_forgotten() {
    let options = SAMPLES[5].replace("MESSAGE", "OPTIONS");
    let nul = options.replace("Max-Forwards", "Proxy-Require: a\0b\nMax-Forwards");
    for (domain, text) in [("example.test", &nul), ("two\r\nlines", &SAMPLES[0].to_owned())] {
        let mut now = Instant::now();
        let mut server = Server::new(ServerConfig::new(domain), Rng::from_seed(1));
        let (local, remote) = (SERVER.parse().unwrap(), "192.0.2.1:5060".parse().unwrap());
        server.bind(Transport::Udp, local);
        let flow = Flow { transport: Transport::Udp, local, remote };
        let text = text.replace(", *", "");
        server.handle(now, NetEvent::Datagram { flow, data: text.replace('\n', "\r\n").into() });
        loop {
            match server.poll(now) {
                Output::Timeout(Some(next)) => now = next,
                Output::Timeout(None) => break,
                _ => continue,
            }
            server.handle_timeout(now);
        }
        assert_eq!(server.transactions(), 0);
    }
}
