//! Reliable provisional responses between two endpoints and against a hand-written peer (RFC 3262,
//! RFC 6337).

mod endpoint_net;

use endpoint_net::{Net, SDP, answer, header, sdp};
use tiny_sip::{Body, CallKey, Config, EndedBy, Error, Event, Outgoing, Policy};

const PEER: &str = "10.0.0.9:5060";

/// Alice alone; everything sent to 10.0.0.9 can be read and answered by hand.
fn alone(policy: Policy) -> Net {
    let mut net = Net::new(7);
    let mut config = Config::default();
    config.reliable = policy;
    net.add("10.0.0.1:5060", "alice", config);
    net
}

fn reliable(tag: &str, invite: &str, rseq: u32, body: bool) -> String {
    let extra = format!(
        "Require: 100rel\r\nRSeq: {rseq}\r\nContact: <sip:{tag}@{PEER}>\r\nAllow: PRACK, UPDATE\r\n"
    );
    let text = answer(invite, "183 Session Progress", tag, &extra);
    if !body {
        return text;
    }
    let length = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n", SDP.len());
    text.replace("Content-Length: 0\r\n\r\n", &length) + SDP
}

fn ring_with_offer(net: &mut Net) -> (CallKey, CallKey) {
    let alice = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    (alice, bob)
}

fn early(net: &mut Net, bob: CallKey, status: u16, body: Option<Body>) {
    let now = net.now;
    net.endpoint(1).provisional(now, bob, status, None, vec![], body).unwrap();
}

#[test]
fn the_answer_in_a_reliable_response_is_acknowledged_and_the_2xx_has_none() {
    let mut net = Net::pair(1);
    let (alice, bob) = ring_with_offer(&mut net);
    early(&mut net, bob, 183, sdp());
    let Event::Progress { call, response, reliable: true, needs_answer: false, .. } = net.event(0)
    else {
        panic!()
    };
    assert_eq!((call, response.body()), (alice, SDP.as_bytes()));
    assert!(matches!(net.event(1), Event::ProvisionalConfirmed { prack: None, .. }));
    let progress = net.sent("SIP/2.0 183");
    let prack = net.sent("PRACK");
    let rseq = header(&progress, "RSeq");
    assert_eq!(header(&progress, "Require"), "100rel");
    assert_eq!(header(&prack, "RAck"), format!("{rseq} 1 INVITE"));
    assert_eq!(header(&prack, "CSeq"), "2 PRACK");
    assert!(prack.starts_with("PRACK sip:bob@10.0.0.2:5060 "), "{prack}");
    assert!(header(&net.sent("INVITE"), "Supported").contains("100rel"));
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::Answered { needs_answer: false, .. }));
    let (.., ok) = net.log.iter().rev().find(|(.., d)| d.starts_with(b"SIP/2.0 200")).unwrap();
    let ok = String::from_utf8_lossy(ok).into_owned();
    assert!(header(&ok, "CSeq").ends_with("INVITE") && header(&ok, "Content-Length") == "0");
    assert!(matches!(net.event(1), Event::Confirmed { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn the_offer_in_a_reliable_response_is_answered_in_the_prack() {
    let mut net = Net::pair(2);
    let (now, account) = (net.now, net.peers[0].account);
    let late = Outgoing { to: "sip:bob@10.0.0.2".into(), ..Outgoing::default() };
    let alice = net.endpoint(0).invite(now, account, late).unwrap();
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    early(&mut net, bob, 183, sdp());
    let Event::Progress { response, needs_answer: true, .. } = net.event(0) else { panic!() };
    net.run(1200);
    assert_eq!(net.count("PRACK"), 0, "the PRACK waits for the answer");
    assert!(net.count("SIP/2.0 183") >= 2, "the response is repeated meanwhile");
    net.no_event(0);
    let tag = response.to().unwrap().tag().unwrap().to_owned();
    let (now, body) = (net.now, sdp().unwrap());
    assert!(matches!(
        net.endpoint(0).answer_early(now, alice, "nobody", body.clone()),
        Err(Error::State(_))
    ));
    net.endpoint(0).answer_early(now, alice, &tag, body).unwrap();
    let Event::ProvisionalConfirmed { prack: Some(prack), .. } = net.event(1) else { panic!() };
    assert_eq!(prack.body(), SDP.as_bytes());
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::Answered { needs_answer: false, .. }));
    assert!(matches!(net.event(1), Event::Confirmed { ack: None, .. }));
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut net = Net::pair(3);
    let (alice, bob) = ring_with_offer(&mut net);
    net.endpoint(0).offer_in_prack(alice).unwrap();
    early(&mut net, bob, 183, sdp());
    let Event::Progress { response, may_offer: true, .. } = net.event(0) else { panic!() };
    assert_eq!(net.count("PRACK"), 0, "the PRACK waits for the offer");
    let tag = response.to().unwrap().tag().unwrap().to_owned();
    let (now, offer) = (net.now, Some(Body::sdp("v=0\r\ns=second\r\n")));
    net.endpoint(0).prack(now, alice, &tag, offer.clone()).unwrap();
    let twice = net.endpoint(0).prack(now, alice, &tag, offer);
    assert_eq!(twice, Err(Error::State("no PRACK waits")));
    assert!(matches!(net.event(1), Event::ProvisionalConfirmed { prack: None, .. }));
    let Event::Reinvite { call, request } = net.event(1) else { panic!() };
    assert_eq!((call, request.body()), (bob, &b"v=0\r\ns=second\r\n"[..]));
    // Somebody picks up: the 2xx waits until this offer is answered (RFC 6337).
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert_eq!(
        net.endpoint(1).accept(now, bob, vec![], None),
        Err(Error::State("the call is answered already"))
    );
    net.run(50);
    assert_eq!(net.count("SIP/2.0 200"), 0);
    let now = net.now;
    net.endpoint(1)
        .accept_reinvite(now, bob, vec![], Some(Body::sdp("v=0\r\ns=third\r\n")))
        .unwrap();
    let Event::PrackAnswered { response: Some(response), .. } = net.event(0) else { panic!() };
    assert_eq!(response.body(), b"v=0\r\ns=third\r\n");
    assert!(response.header_named("contact").is_none(), "a PRACK refreshes no target");
    assert!(matches!(net.event(0), Event::Answered { .. }));
}

#[test]
fn the_2xx_waits_for_the_prack_of_a_body_but_not_of_a_bare_ringing() {
    let mut net = Net::new(4);
    let mut wanted = Config::default();
    wanted.reliable = Policy::Wanted;
    net.add("10.0.0.1:5060", "alice", Config::default());
    net.add("10.0.0.2:5060", "bob", wanted);
    let (_, bob) = ring_with_offer(&mut net);
    early(&mut net, bob, 180, None);
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    net.drain();
    assert_eq!(net.count("SIP/2.0 200"), 1, "nothing depends on the PRACK");

    let (_, bob) = ring_with_offer_again(&mut net);
    early(&mut net, bob, 183, sdp());
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    net.drain();
    let before = net.log.len();
    assert!(net.log[before - 1].3.starts_with(b"SIP/2.0 183"));
}

fn ring_with_offer_again(net: &mut Net) -> (CallKey, CallKey) {
    net.run(500);
    net.peers[0].events.clear();
    net.peers[1].events.clear();
    ring_with_offer(net)
}

#[test]
fn without_a_prack_the_response_is_repeated_and_the_call_fails_with_504() {
    let mut net = Net::new(5);
    net.add("10.0.0.2:5060", "bob", Config::default());
    let invite = format!(
        "INVITE sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bKa\r\n\
         From: <sip:x@example.com>;tag=1\r\nTo: <sip:bob@10.0.0.2>\r\nCall-ID: a\r\nCSeq: 7 INVITE\r\n\
         Contact: <sip:x@{PEER}>\r\nSupported: 100rel\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    );
    net.inject(PEER, "10.0.0.2:5060", &invite);
    let Event::Incoming { call, .. } = net.event(0) else { panic!() };
    let now = net.now;
    let endpoint = net.endpoint(0);
    endpoint.provisional(now, call, 183, None, vec![], sdp()).unwrap();
    for _ in 0..4 {
        endpoint.provisional(now, call, 180, None, vec![], sdp()).unwrap();
    }
    let full = endpoint.provisional(now, call, 180, None, vec![], sdp());
    assert_eq!(full, Err(Error::Limit("max_queued_provisionals")));
    let Event::Ended { by: EndedBy::Network, status: Some(504), .. } = net.event(0) else {
        panic!()
    };
    assert_eq!(net.elapsed(), 32_000, "64*T1");
    // 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s: the interval doubles and has no T2.
    assert_eq!(net.count("SIP/2.0 183"), 7);
    assert_eq!(net.count("SIP/2.0 180"), 0, "the second waits for the first one's PRACK");
    assert_eq!(net.count("SIP/2.0 504"), 1);
}

#[test]
fn responses_go_one_by_one_and_a_wrong_prack_gets_481() {
    let mut net = Net::new(6);
    let mut wanted = Config::default();
    wanted.reliable = Policy::Wanted;
    net.add("10.0.0.1:5060", "alice", Config::default());
    net.add("10.0.0.2:5060", "bob", wanted);
    let (_, bob) = ring_with_offer(&mut net);
    early(&mut net, bob, 180, None);
    early(&mut net, bob, 183, sdp());
    net.drain();
    assert_eq!((net.count("SIP/2.0 180"), net.count("SIP/2.0 183")), (1, 0));
    net.run(100);
    assert_eq!(net.count("SIP/2.0 183"), 1);
    let (first, second) = (net.sent("SIP/2.0 180"), net.sent("SIP/2.0 183"));
    let number = |text: &str| header(text, "RSeq").parse::<u32>().unwrap();
    assert_eq!(number(&second), number(&first) + 1);
    assert!(number(&first) >= 1);
    // The same PRACK again, as a new transaction: it matches nothing any more.
    let prack = net.sent("PRACK");
    let stale = prack.replace("branch=z9hG4bK", "branch=z9hG4bKx").replace("3 PRACK", "9 PRACK");
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &stale);
    assert_eq!(net.count("SIP/2.0 481"), 1);
    let bad = stale.replace("z9hG4bKx", "z9hG4bKy").replace("RAck: ", "RAck: x");
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &bad);
    assert_eq!(net.count("SIP/2.0 400"), 1);
}

#[test]
fn repeated_and_out_of_order_responses_get_no_prack_and_each_fork_has_its_own() {
    let mut net = alone(Policy::Supported);
    let call = net.invite(0, &format!("sip:bob@{PEER}"));
    let invite = net.caught();
    for (tag, rseq) in [("a", 10), ("b", 90), ("a", 10), ("a", 12), ("a", 11)] {
        net.inject(PEER, "10.0.0.1:5060", &reliable(tag, &invite, rseq, false));
    }
    net.run(20);
    let pracks: Vec<String> = net
        .inbox
        .iter()
        .filter(|(.., text)| text.starts_with("PRACK"))
        .map(|(.., text)| format!("{} {}", header(text, "RAck"), header(text, "CSeq")))
        .collect();
    assert_eq!(
        pracks,
        ["10 1 INVITE 2 PRACK", "90 1 INVITE 2 PRACK", "11 1 INVITE 3 PRACK"],
        "one for each response in order, numbered in its own dialog"
    );
    let told = std::iter::from_fn(|| net.peers[0].events.pop_front()).count();
    assert_eq!(told, 3, "what is not acknowledged is not told");
    // A response without a tag or Contact makes no dialog, and no PRACK.
    net.inbox.clear();
    let lost = reliable("c", &invite, 5, true).replace("Contact", "X-Contact");
    net.inject(PEER, "10.0.0.1:5060", &lost);
    net.run(20);
    assert!(net.inbox.is_empty());
    let Event::Progress { reliable: false, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
}

#[test]
fn an_offer_in_a_prack_that_is_refused_is_followed_by_a_prack_without() {
    let mut net = alone(Policy::Supported);
    let call = net.invite(0, &format!("sip:bob@{PEER}"));
    let invite = net.caught();
    net.endpoint(0).offer_in_prack(call).unwrap();
    net.inject(PEER, "10.0.0.1:5060", &reliable("a", &invite, 10, true));
    let Event::Progress { may_offer: true, .. } = net.event(0) else { panic!() };
    net.inbox.clear();
    let (now, offer) = (net.now, Some(Body::sdp("v=0\r\ns=second\r\n")));
    net.endpoint(0).prack(now, call, "a", offer).unwrap();
    let prack = net.caught();
    assert!(prack.starts_with("PRACK") && prack.ends_with("s=second\r\n"), "{prack}");
    net.inbox.clear();
    net.inject(PEER, "10.0.0.1:5060", &answer(&prack, "488 Not Acceptable Here", "a", ""));
    let Event::PrackAnswered { response: Some(response), .. } = net.event(0) else { panic!() };
    assert_eq!(response.status().unwrap().code(), 488);
    let again = net.caught();
    assert!(again.starts_with("PRACK") && header(&again, "Content-Length") == "0", "{again}");
    assert_eq!(header(&again, "RAck"), header(&prack, "RAck"));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
}

#[test]
fn the_policies_off_and_required_say_420_and_421() {
    let mut net = Net::new(8);
    let (mut off, mut required) = (Config::default(), Config::default());
    (off.reliable, required.reliable) = (Policy::Off, Policy::Required);
    net.add("10.0.0.1:5060", "alice", required);
    net.add("10.0.0.2:5060", "bob", off);
    net.invite(0, "sip:bob@10.0.0.2");
    assert!(matches!(net.event(0), Event::Ended { status: Some(420), .. }));
    assert_eq!(header(&net.sent("INVITE"), "Require"), "100rel");
    assert_eq!(header(&net.sent("SIP/2.0 420"), "Unsupported"), "100rel");
    net.invite(1, "sip:alice@10.0.0.1");
    assert!(matches!(net.event(1), Event::Ended { status: Some(421), .. }));
    assert_eq!(header(&net.sent("SIP/2.0 421"), "Require"), "100rel");
    assert_eq!(header(&net.sent("INVITE sip:alice"), "Supported"), "replaces, norefersub, timer");
    net.settle();
    net.assert_empty();
}

#[test]
fn the_callers_expires_ends_the_call_on_both_sides() {
    let mut net = Net::pair(9);
    let (now, account) = (net.now, net.peers[0].account);
    let headers = vec![("Expires".to_owned(), "20".to_owned())];
    let outgoing =
        Outgoing { to: "sip:bob@10.0.0.2".into(), headers, body: sdp(), ..Outgoing::default() };
    net.endpoint(0).invite(now, account, outgoing).unwrap();
    let Event::Incoming { .. } = net.event(1) else { panic!() };
    let Event::Ended { by: EndedBy::Remote, status: Some(487), .. } = net.event(1) else {
        panic!()
    };
    assert!((20_000..20_100).contains(&net.elapsed()), "{}", net.elapsed());
    assert!(matches!(net.event(0), Event::Ended { .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn lost_pracks_and_responses_are_made_good() {
    for seed in 0..30 {
        let mut net = Net::pair(100 + seed);
        net.loss = 0.3;
        let alice = net.invite(0, "sip:bob@10.0.0.2");
        let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
        early(&mut net, bob, 183, sdp());
        let now = net.now;
        net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
        loop {
            match net.event(0) {
                Event::Progress { reliable: true, .. } => {}
                Event::Answered { call, .. } => break assert_eq!(call, alice),
                other => panic!("{other:?}"),
            }
        }
        let now = net.now;
        net.endpoint(0).hangup(now, alice, vec![]).unwrap();
        net.settle();
        net.assert_empty();
    }
}
