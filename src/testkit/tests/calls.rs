use super::support::*;
use std::time::Duration;
use tiny_net::sim::{Link, NodeId};
use tiny_sak::{Flow, Transport};
use tiny_sip::{HeaderName, Message};

const INVITE: &str = "INVITE sip:bob@example.test";

fn statuses(all: &[(NodeId, (Flow, Message))], phone: NodeId) -> Vec<u16> {
    all.iter()
        .filter(|a| a.0 == phone && a.1.1.status().is_some())
        .map(|a| status(&a.1.1))
        .collect()
}

fn requests(
    all: &[(NodeId, (Flow, Message))],
    phone: NodeId,
    method: &str,
) -> Vec<(Flow, Message)> {
    let is = |m: &Message| m.method().is_some_and(|m| m.as_str() == method);
    all.iter().filter(|a| a.0 == phone && is(&a.1.1)).map(|a| a.1.clone()).collect()
}

/// Sends INVITE; returns what each phone got of it.
fn invite(
    town: &mut Town,
    caller: NodeId,
    line: &str,
    extra: &str,
) -> Vec<(NodeId, (Flow, Message))> {
    let headers = format!("Contact: <sip:caller@192.0.2.1>\n{extra}");
    town.request(caller, line, &headers);
    town.run(ms(100))
}

#[test]
fn a_call_passes_with_its_routes_recorded_and_its_dialog_follows_them() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    let got = invite(&mut town, alice, INVITE, "X-Colour: blue\n");
    assert_eq!(statuses(&got, alice), [100]);
    let at_bob = requests(&got, bob, "INVITE").remove(0);
    let seen = &at_bob.1;
    assert_eq!(seen.request_uri(), "sip:bob@192.0.2.2:5060");
    assert_eq!(seen.header(HeaderName::RecordRoute), Some("<sip:192.0.2.100:5060;lr>"));
    assert_eq!(seen.header(HeaderName::MaxForwards), Some("69"));
    assert_eq!(seen.header_named("X-Colour"), Some("blue"));
    let vias: Vec<_> = seen.vias().map(|v| v.unwrap().to_string()).collect();
    assert_eq!(vias.len(), 2);
    assert!(vias[0].starts_with("SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK"), "{vias:?}");
    assert!(vias[1].ends_with(";received=192.0.2.1;rport=5060"), "{vias:?}");
    town.answer(bob, &at_bob, "180 Ringing", "bob");
    town.answer(bob, &at_bob, "200 OK", "bob");
    let got = town.run(ms(100));
    assert_eq!(statuses(&got, alice), [180, 200]);
    let ok = &got.last().unwrap().1.1;
    assert_eq!(ok.vias().count(), 1);
    assert_eq!(ok.header(HeaderName::RecordRoute), Some("<sip:192.0.2.100:5060;lr>"));
    // ACK and BYE go by the recorded route.
    for (method, cseq) in [("ACK", 1), ("BYE", 2)] {
        let route = "Route: <sip:192.0.2.100:5060;lr>\n";
        let to = format!("To: <sip:bob@example.test>;tag=bob\nCSeq: {cseq} {method}\n");
        town.request(alice, &format!("{method} sip:192.0.2.2:5060"), &format!("{route}{to}"));
        let got = town.run(ms(100));
        let seen = requests(&got, bob, method).remove(0);
        assert_eq!(seen.1.request_uri(), "sip:192.0.2.2:5060");
        assert_eq!(seen.1.header(HeaderName::Route), None);
        assert_eq!(seen.1.header(HeaderName::RecordRoute), None);
        if method == "BYE" {
            town.answer(bob, &seen, "200 OK", "bob");
            let got = town.run(ms(100));
            assert_eq!(statuses(&got, alice), [200]);
        }
    }
    town.run(Duration::from_secs(200));
    assert_eq!(town.core().transactions(), 0);
}

#[test]
fn a_dialog_between_udp_and_tcp_has_two_routes() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    let flow = town.flow(alice, Transport::Tcp);
    town.request_on(alice, flow, INVITE, "Contact: <sip:caller@192.0.2.1;transport=tcp>\n");
    let got = town.run(ms(100));
    let at_bob = requests(&got, bob, "INVITE").remove(0);
    let routes: Vec<_> = at_bob.1.headers(HeaderName::RecordRoute).collect();
    assert_eq!(routes, ["<sip:192.0.2.100:5060;lr>", "<sip:192.0.2.100:5060;transport=tcp;lr>"]);
    town.answer(bob, &at_bob, "200 OK", "bob");
    let got = town.run(ms(100));
    let ok = got.iter().find(|a| status(&a.1.1) == 200).unwrap();
    assert_eq!((ok.0, ok.1.0.transport), (alice, Transport::Tcp));
    // Both routes are taken off again.
    let routes = "Route: <sip:192.0.2.100:5060;transport=tcp;lr>, <sip:192.0.2.100:5060;lr>\n";
    let bye = format!("{routes}To: <sip:bob@example.test>;tag=bob\n");
    town.request_on(alice, flow, "BYE sip:192.0.2.2:5060", &bye);
    let got = town.run(ms(100));
    let at_bob = requests(&got, bob, "BYE").remove(0);
    assert_eq!((at_bob.0.transport, at_bob.1.header(HeaderName::Route)), (Transport::Udp, None));
}

#[test]
fn a_fork_is_won_by_one_answer_and_the_others_are_cancelled() {
    let mut town = Town::new(config());
    let phones: Vec<NodeId> = (1..=4).map(|n| town.phone(n)).collect();
    let (alice, bob, carol, dave) = (phones[0], phones[1], phones[2], phones[3]);
    for (phone, name) in [(bob, "bob"), (carol, "carol"), (dave, "dave")] {
        town.register(phone, name);
    }
    let got = invite(&mut town, alice, "INVITE sip:fork@example.test", "");
    let legs: Vec<_> = [bob, carol, dave].map(|p| requests(&got, p, "INVITE").remove(0)).into();
    let branches: std::collections::HashSet<_> =
        legs.iter().map(|l| l.1.top_via().unwrap().branch().unwrap().to_owned()).collect();
    assert_eq!(branches.len(), 3);
    town.answer(bob, &legs[0], "180 Ringing", "bob");
    town.answer(carol, &legs[1], "180 Ringing", "carol");
    let got = town.run(ms(100));
    assert_eq!(statuses(&got, alice), [180, 180]);
    town.answer(carol, &legs[1], "200 OK", "carol");
    let got = town.run(ms(100));
    assert_eq!(statuses(&got, alice), [200]);
    assert_eq!(got.iter().filter(|a| a.0 == carol).count(), 0);
    // Bob has rung and is cancelled; Dave has said nothing, so nothing may be sent yet (§9.1).
    let cancel = requests(&got, bob, "CANCEL").remove(0);
    assert_eq!(cancel.1.top_via().unwrap().branch(), legs[0].1.top_via().unwrap().branch());
    assert_eq!(cancel.1.request_uri(), legs[0].1.request_uri());
    assert!(requests(&got, dave, "CANCEL").is_empty());
    town.answer(dave, &legs[2], "100 Trying", "dave");
    let got = town.run(ms(100));
    let late = requests(&got, dave, "CANCEL").remove(0);
    for (phone, cancel, leg) in [(bob, &cancel, &legs[0]), (dave, &late, &legs[2])] {
        town.answer(phone, cancel, "200 OK", "x");
        town.answer(phone, leg, "487 Request Terminated", "x");
        let got = town.run(ms(100));
        assert_eq!(requests(&got, phone, "ACK").len(), 1);
        assert!(statuses(&got, alice).is_empty());
    }
    // Nothing is sent again.
    assert_eq!(town.run(Duration::from_secs(200)).len(), 0);
    assert_eq!(town.core().transactions(), 0);
}

#[test]
fn two_answers_at_once_both_reach_the_caller() {
    let mut town = Town::new(config());
    let (alice, bob, carol) = (town.phone(1), town.phone(2), town.phone(3));
    town.register(bob, "bob");
    town.register(carol, "carol");
    let got = invite(&mut town, alice, "INVITE sip:fork@example.test", "");
    for (phone, tag) in [(bob, "bob"), (carol, "carol")] {
        let leg = requests(&got, phone, "INVITE").remove(0);
        town.answer(phone, &leg, "200 OK", tag);
    }
    let got = town.run(ms(100));
    assert_eq!(statuses(&got, alice), [200, 200]);
    let tags: Vec<_> = got.iter().map(|a| a.1.1.to().unwrap().tag().unwrap().to_owned()).collect();
    assert_eq!(tags, ["bob", "carol"]);
}

#[test]
fn of_several_refusals_the_best_is_given_when_all_are_there() {
    let mut town = Town::new(config());
    let (alice, bob, carol) = (town.phone(1), town.phone(2), town.phone(3));
    town.register(bob, "bob");
    town.register(carol, "carol");
    let got = invite(&mut town, alice, "INVITE sip:fork@example.test", "");
    let bobs = requests(&got, bob, "INVITE").remove(0);
    let carols = requests(&got, carol, "INVITE").remove(0);
    town.answer(bob, &bobs, "503 Service Unavailable", "bob");
    let got = town.run(ms(100));
    assert_eq!((statuses(&got, alice).len(), requests(&got, bob, "ACK").len()), (0, 1));
    town.answer(carol, &carols, "486 Busy Here", "carol");
    let got = town.run(ms(100));
    assert_eq!(statuses(&got, alice), [486]);
    assert_eq!(requests(&got, carol, "ACK").len(), 1);
    // Unacknowledged, it is sent again (timer G), with pauses that double.
    assert_eq!(statuses(&town.run(ms(2000)), alice), [486, 486]);
    let ack = format!(
        "Via: {}\nTo: <sip:someone@example.test>;tag=carol\n",
        got.iter().find(|a| a.0 == alice).unwrap().1.1.header(HeaderName::Via).unwrap()
    );
    town.request(alice, "ACK sip:fork@example.test", &ack);
    let got = town.run(Duration::from_secs(200));
    assert!(got.is_empty(), "{got:?}");
    assert_eq!(town.core().transactions(), 0);
}

#[test]
fn a_decline_ends_the_search_for_all() {
    let mut town = Town::new(config());
    let (alice, bob, carol) = (town.phone(1), town.phone(2), town.phone(3));
    town.register(bob, "bob");
    town.register(carol, "carol");
    let got = invite(&mut town, alice, "INVITE sip:fork@example.test", "");
    let bobs = requests(&got, bob, "INVITE").remove(0);
    let carols = requests(&got, carol, "INVITE").remove(0);
    town.answer(carol, &carols, "180 Ringing", "carol");
    town.answer(bob, &bobs, "603 Decline", "bob");
    let got = town.run(ms(100));
    assert_eq!(requests(&got, carol, "CANCEL").len(), 1);
    town.answer(carol, &carols, "487 Request Terminated", "carol");
    let got = town.run(ms(100));
    assert_eq!(statuses(&got, alice), [603]);
}

#[test]
fn a_caller_that_cancels_gets_its_200_and_then_487() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    let via = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKcall;rport\nCall-ID: c\n";
    let invite_headers = format!("{via}CSeq: 1 INVITE\nContact: <sip:caller@192.0.2.1>\n");
    town.request(alice, INVITE, &invite_headers);
    let got = town.run(ms(100));
    let leg = requests(&got, bob, "INVITE").remove(0);
    town.answer(bob, &leg, "180 Ringing", "bob");
    town.run(ms(100));
    town.request(alice, "CANCEL sip:bob@example.test", &format!("{via}CSeq: 1 CANCEL\n"));
    let got = town.run(ms(100));
    assert_eq!(statuses(&got, alice), [200]);
    let cancel = requests(&got, bob, "CANCEL").remove(0);
    town.answer(bob, &cancel, "200 OK", "bob");
    town.answer(bob, &leg, "487 Request Terminated", "bob");
    let got = town.run(ms(100));
    assert_eq!((statuses(&got, alice), requests(&got, bob, "ACK").len()), (vec![487], 1));
    // Nothing to cancel any more, or ever: 481 for what was never there.
    let other = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKnone;rport\n";
    town.request(alice, "CANCEL sip:bob@example.test", other);
    assert_eq!(statuses(&town.run(ms(100)), alice), [481]);
}

#[test]
fn a_callee_that_is_silent_is_asked_again_and_given_up_after_timer_b() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    let host = town.world.host(bob);
    town.world.network.record();
    town.world.network.black_hole(host);
    let mut got = invite(&mut town, alice, INVITE, "");
    got.extend(town.run(Duration::from_secs(40)));
    // 100, and 408 with its retransmissions until timer H, since nobody acknowledges.
    let seen = statuses(&got, alice);
    assert_eq!(seen[..2], [100, 408]);
    let trace = town.world.network.trace();
    let tries = trace.iter().filter(|t| t.fate == tiny_net::sim::Fate::BlackHole).count();
    // 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s.
    assert_eq!(tries, 7);
}

#[test]
fn a_callee_whose_host_refuses_is_given_up_at_once() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    let host = town.world.host(bob);
    town.world.network.refuse(host);
    let got = invite(&mut town, alice, INVITE, "");
    assert_eq!(statuses(&got, alice), [100, 480]);
}

#[test]
fn a_callee_that_rings_for_ever_is_cancelled_by_timer_c() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    let got = invite(&mut town, alice, INVITE, "");
    let leg = requests(&got, bob, "INVITE").remove(0);
    town.answer(bob, &leg, "180 Ringing", "bob");
    let got = town.run(Duration::from_secs(179));
    assert_eq!((statuses(&got, alice), got.len()), (vec![180], 1));
    // Ringing anew moves the timer on (§16.7 step 2).
    town.answer(bob, &leg, "183 Session Progress", "bob");
    let got = town.run(Duration::from_secs(179));
    assert_eq!((statuses(&got, alice), got.len()), (vec![183], 1));
    let got = town.run(Duration::from_secs(2));
    assert!(!requests(&got, bob, "CANCEL").is_empty());
    // No answer to that either: the caller is told all the same.
    let got = town.run(Duration::from_secs(32));
    assert_eq!(statuses(&got, alice)[0], 408);
}

#[test]
fn losses_are_made_good_by_retransmission_on_both_sides() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    town.world.network.set_default_path(Link::new().latency(ms(10)));
    let (server, bobs) = ("192.0.2.100".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let now = town.world.now();
    // The path to Bob is dead for the first two tries.
    let dead = Link::new().latency(ms(10)).down(now, Some(now + ms(1000)));
    town.world.network.set_path(server, bobs, dead);
    let headers = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKm;rport\nCSeq: 1 MESSAGE\nCall-ID: m\n";
    town.request(alice, "MESSAGE sip:bob@example.test", headers);
    let got = town.run(ms(2000));
    let leg = requests(&got, bob, "MESSAGE").remove(0);
    town.answer(bob, &leg, "200 OK", "bob");
    assert_eq!(statuses(&town.run(ms(100)), alice), [200]);
    // The caller has missed it and asks again: the same answer, and nothing more at Bob's.
    town.request(alice, "MESSAGE sip:bob@example.test", headers);
    let got = town.run(ms(100));
    assert_eq!((statuses(&got, alice), got.len()), (vec![200], 1));
}

#[test]
fn test_numbers_answer_as_asked_and_unknown_users_are_not_found() {
    let mut town = Town::new(config());
    let alice = town.phone(1);
    for (line, expected) in [
        ("MESSAGE sip:reply-486@example.test", 486),
        ("MESSAGE sip:reply-302@example.test", 302),
        ("MESSAGE sip:reply-699@192.0.2.100:5060", 699),
        ("MESSAGE sip:reply-200@example.test", 404),
        ("MESSAGE sip:nobody@example.test", 404),
        ("MESSAGE sip:bob@example.test", 480),
        ("MESSAGE sip:fork@example.test", 480),
        ("MESSAGE sip:bob@elsewhere.test", 404),
        ("MESSAGE tel:+1234", 416),
        ("MESSAGE sip:example.test", 405),
        ("OPTIONS sip:example.test", 200),
        ("OPTIONS sip:192.0.2.100", 200),
        ("OPTIONS sip:192.0.2.100:5060;transport=tcp", 200),
    ] {
        town.request(alice, line, "");
        assert_eq!(status(&town.one().1.1), expected, "{line}");
    }
    for (extra, expected) in [
        ("Max-Forwards: 0\n", 483),
        ("Proxy-Require: rockets\n", 420),
        ("Max-Forwards: many\n", 400),
        ("CSeq: 1 INVITE\n", 400),
    ] {
        town.request(alice, "MESSAGE sip:bob@example.test", extra);
        let (_, (_, answer)) = town.one();
        assert_eq!(status(&answer), expected, "{extra}");
        if expected == 420 {
            assert_eq!(answer.header(HeaderName::Unsupported), Some("rockets"));
        }
    }
}

#[test]
fn callers_prove_themselves_where_asked_and_their_credentials_go_no_further() {
    let mut town = Town::new(config().authenticate_calls());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    let headers = "From: <sip:alice@example.test>;tag=a\n";
    let line = "MESSAGE sip:bob@example.test";
    assert_eq!(status(&town.prove(alice, line, headers, "alice", "guess")), 407);
    assert_eq!(status(&town.prove(alice, line, headers, "carol", "secret")), 403);
    let at_bob = town.prove(alice, line, headers, "alice", "secret");
    assert_eq!(at_bob.method().unwrap().as_str(), "MESSAGE");
    assert_eq!(at_bob.header(HeaderName::ProxyAuthorization), None);
}

#[test]
fn a_strict_router_before_us_is_understood() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    town.register(bob, "bob");
    // RFC 3261 §16.12.1.2: our Record-Route in the Request-URI, the target as the last Route.
    let headers = "Route: <sip:bob@192.0.2.2:5060>\nTo: <sip:bob@example.test>;tag=b\n";
    town.request(alice, "BYE sip:192.0.2.100:5060;lr", headers);
    let (who, (_, seen)) = town.one();
    assert_eq!((who, seen.request_uri()), (bob, "sip:bob@192.0.2.2:5060"));
    assert_eq!(seen.header(HeaderName::Route), None);
}

#[test]
fn a_reply_to_a_sender_without_rport_goes_to_the_port_of_its_via() {
    let mut town = Town::new(config());
    let alice = town.phone(1);
    let via = "Via: SIP/2.0/UDP 10.9.8.7:7000;branch=z9hG4bKv\n";
    town.request(alice, "OPTIONS sip:example.test", via);
    let (_, (flow, answer)) = town.one();
    assert_eq!(flow.local, "192.0.2.1:7000".parse().unwrap());
    let via = answer.header(HeaderName::Via).unwrap();
    assert_eq!(via, "SIP/2.0/UDP 10.9.8.7:7000;branch=z9hG4bKv;received=192.0.2.1");
}

#[test]
fn garbage_is_survived_and_a_broken_stream_closed() {
    let mut town = Town::new(config());
    let alice = town.phone(1);
    let flow = town.flow(alice, Transport::Udp);
    for text in ["", "\n\n", "hello", "INVITE\n\n", "SIP/2.0 200 OK\n\n", "\0\0\0\0"] {
        town.send(alice, flow, text);
    }
    town.run(ms(100));
    town.request(alice, "OPTIONS sip:example.test", "");
    assert_eq!(status(&town.one().1.1), 200);
    let stream = town.flow(alice, Transport::Tcp);
    town.request_on(alice, stream, "OPTIONS sip:example.test", "");
    assert_eq!(status(&town.one().1.1), 200);
    let before = town.world.network.connections();
    town.send(alice, stream, "OPTIONS sip:example.test SIP/2.0\nContent-Length: -1\n\n");
    town.run(ms(100));
    assert_eq!(town.world.network.connections(), before - 2);
}

#[test]
fn a_strict_router_after_us_gets_what_it_expects() {
    let mut town = Town::new(config());
    let (alice, router) = (town.phone(1), town.phone(2));
    // RFC 3261 §16.12.1.1: no lr in the next route.
    let headers = "Route: <sip:192.0.2.100:5060;lr>, <sip:192.0.2.2:5060>, <sip:p3.test;lr>\n\
                   To: <sip:bob@example.test>;tag=b\n";
    town.request(alice, "BYE sip:bob@10.1.1.1", headers);
    let (who, (_, seen)) = town.one();
    assert_eq!((who, seen.request_uri()), (router, "sip:192.0.2.2:5060"));
    let routes: Vec<_> = seen.headers(HeaderName::Route).collect();
    assert_eq!(routes, ["<sip:p3.test;lr>", "<sip:bob@10.1.1.1>"]);
}

#[test]
fn the_challenges_of_all_branches_come_back_together() {
    let mut town = Town::new(config());
    let (alice, bob, carol) = (town.phone(1), town.phone(2), town.phone(3));
    town.register(bob, "bob");
    town.register(carol, "carol");
    let got = invite(&mut town, alice, "INVITE sip:fork@example.test", "");
    for (phone, realm) in [(bob, "b"), (carol, "c")] {
        let leg = requests(&got, phone, "INVITE").remove(0);
        let line = format!(
            "407 Proxy Authentication Required\n\
             Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n\""
        );
        town.answer(phone, &leg, &line, realm);
    }
    let got = town.run(ms(100));
    let answer = &got.iter().find(|a| a.0 == alice).unwrap().1.1;
    let realms: Vec<_> = answer
        .challenges(HeaderName::ProxyAuthenticate)
        .map(|c| c.unwrap().realm().unwrap().to_owned())
        .collect();
    assert_eq!((status(answer), realms.len()), (407, 2));
    assert!(realms.contains(&"b".to_owned()) && realms.contains(&"c".to_owned()));
}

#[test]
fn a_response_that_belongs_to_nothing_goes_to_the_next_via() {
    let mut town = Town::new(config());
    let (alice, bob) = (town.phone(1), town.phone(2));
    let flow = town.flow(bob, Transport::Udp);
    let stray = |top: &str| {
        format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP {top};branch=z9hG4bKold\n\
             Via: SIP/2.0/UDP 10.0.0.1:7;branch=z9hG4bKa;received=192.0.2.1;rport=5060\n\
             From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: s\nCSeq: 1 INVITE\n\
             Content-Length: 0\n\n"
        )
    };
    town.send(bob, flow, &stray("192.0.2.100:5060"));
    let (who, (_, seen)) = town.one();
    assert_eq!((who, seen.vias().count()), (alice, 1));
    // Not ours: discarded (§18.1.2).
    town.send(bob, flow, &stray("192.0.2.99:5060"));
    assert!(town.run(ms(100)).is_empty());
}
