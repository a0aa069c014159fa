//! Floods seen from the handles: an application that does not read, ports that run out, callers who
//! never hang up.

use super::*;
use tiny_sak::Flow;

const EVIL: &str = "192.0.2.66:5060";

fn request(method: &str, n: usize, body: &str) -> String {
    format!(
        "{method} sip:user2@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP {EVIL};branch=z9hG4bK{method}{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:evil@192.0.2.66>;tag={n}\r\nTo: <sip:user2@192.0.2.2>\r\n\
         Call-ID: {method}{n}\r\nCSeq: 1 {method}\r\nContact: <sip:evil@{EVIL}>\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends it to an agent by hand; gives what comes back.
fn ask(agent: &mut Agent, now: Instant, text: String) -> Vec<String> {
    let remote = EVIL.parse().unwrap();
    let flow = Flow { transport: Transport::Udp, local: agent.address, remote };
    let input = tiny_sip::Input::Datagram { flow, data: text.into() };
    agent.core.handle(now, Input::Sip(input));
    let sent = agent.turn(now);
    sent.iter().map(|t| String::from_utf8_lossy(&t.data).into_owned()).collect()
}

#[test]
fn a_call_that_finds_no_rtp_ports_gets_503_with_retry_after() {
    let mut pair = Pair::new();
    pair.bob.notes.lock().unwrap().pairs = Some(1);
    let (_first, incoming) = pair.ring();
    pair.answer(&incoming);
    let (second, waiting) = pair.ring();
    let call = waiting.call.inner.key;
    let (headers, audio) = (Vec::new(), quiet());
    let mut answered =
        pair.bob.command(pair.now, |reply| Command::Answer { call, headers, audio, reply });
    assert!(matches!(answered.now(), Err(Error::Limit(_))));
    // What an application may say besides changes nothing.
    waiting.reject(500);
    pair.settle();
    let end = end_of(&second);
    assert_eq!(end.status, Some(503));
    let retry = end.message.as_ref().and_then(|m| m.header_named("Retry-After"));
    assert_eq!(retry, Some("10"));
    // With a pair free again, and the pause over that the caller keeps, the next call is answered.
    let first = incoming.call.inner.key;
    pair.bob
        .core
        .handle(pair.now, Input::Command(Command::Hangup { call: first, headers: Vec::new() }));
    pair.settle();
    pair.pass(Duration::from_secs(11));
    let (third, incoming) = pair.ring();
    pair.answer(&incoming);
    assert!(matches!(third.state(), CallState::Established { .. }));
}

#[test]
fn messages_nobody_reads_are_refused_with_503_and_calls_go_on() {
    let config = Config { max_pending_events: 16, ..Config::default() };
    let mut pair = Pair::with(Config::default(), config);
    let mut refused = 0;
    for n in 0..1_000 {
        for answer in ask(&mut pair.bob, pair.now, request("MESSAGE", n, "hello")) {
            assert!(answer.starts_with("SIP/2.0 503"), "{answer}");
            assert!(answer.contains("\r\nRetry-After: 10\r\n"), "{answer}");
            refused += 1;
        }
    }
    assert_eq!(refused, 984);
    // As soon as they are read, calls come in again.
    let mut read = 0;
    while let Ok(event) = pair.bob.events.try_recv() {
        assert!(matches!(event, Event::Message(_)));
        read += 1;
    }
    assert_eq!(read, 16);
    pair.bob.turn(pair.now);
    let (call, incoming) = pair.ring();
    pair.answer(&incoming);
    assert!(matches!(call.state(), CallState::Established { .. }));
}

#[test]
fn callers_who_never_hang_up_leave_room_for_others() {
    let mut config = Config { max_pending_events: 20_000, ..Config::default() };
    config.sip.max_ringing_per_source = 100;
    let mut pair = Pair::with(Config::default(), config);
    let mut refused = 0;
    for n in 0..10_000 {
        let invite = request("INVITE", n, "").replace("Content-Type: text/plain\r\n", "");
        for answer in ask(&mut pair.bob, pair.now, invite) {
            assert!(answer.starts_with("SIP/2.0 503"), "{answer}");
            refused += 1;
        }
    }
    assert_eq!(refused, 9_900);
    assert_eq!(pair.bob.core.calls.len(), 100);
    let mut held = Vec::new();
    while let Ok(Event::IncomingCall(incoming)) = pair.bob.events.try_recv() {
        held.push(incoming);
    }
    assert_eq!(held.len(), 100);
    let (call, incoming) = pair.ring();
    pair.answer(&incoming);
    assert!(matches!(call.state(), CallState::Established { .. }));
    // In the end they are declined, although the application still holds them.
    for _ in 0..7 {
        pair.now += Duration::from_secs(100);
        pair.bob.core.handle(pair.now, Input::Timeout);
        pair.bob.turn(pair.now);
    }
    assert!(held.iter().all(|incoming| matches!(incoming.call.state(), CallState::Ended(_))));
    assert!(pair.bob.core.calls.len() <= 1);
}
