//! UPDATE in early and confirmed dialogs, and its glare with itself and with re-INVITE (RFC 3311).

mod endpoint_net;

use endpoint_net::{Net, SDP, has, header, sdp};
use tiny_sip::{Body, CallKey, Config, Error, Event, Method};

/// A call that rings, its first offer answered in a reliable response.
fn early(net: &mut Net) -> (CallKey, CallKey, String) {
    let alice = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).provisional(now, bob, 183, None, vec![], sdp()).unwrap();
    let Event::Progress { response, .. } = net.event(0) else { panic!() };
    let tag = response.to().unwrap().tag().unwrap().to_owned();
    assert!(matches!(net.event(1), Event::ProvisionalConfirmed { .. }));
    (alice, bob, tag)
}

fn second() -> Option<Body> {
    Some(Body::sdp("v=0\r\ns=second\r\n"))
}

#[test]
fn an_early_dialog_is_changed_by_both_sides() {
    let mut net = Net::pair(1);
    let (alice, bob, tag) = early(&mut net);
    let now = net.now;
    net.endpoint(0).update(now, alice, Some(&tag), vec![], second()).unwrap();
    let Event::Reinvite { call, request } = net.event(1) else { panic!() };
    assert_eq!((call, request.method()), (bob, Some(&Method::Update)));
    let now = net.now;
    net.endpoint(1).accept_reinvite(now, bob, vec![], sdp()).unwrap();
    let Event::ReinviteAccepted { response, needs_answer: false, .. } = net.event(0) else {
        panic!()
    };
    assert_eq!(response.body(), SDP.as_bytes());
    let update = net.sent("UPDATE");
    assert_eq!(header(&update, "Contact"), "<sip:alice@10.0.0.1:5060>");
    assert!(has(&update, "Allow") && header(&update, "Supported").contains("timer"));

    let now = net.now;
    net.endpoint(1).update(now, bob, None, vec![], second()).unwrap();
    let Event::Reinvite { call, .. } = net.event(0) else { panic!() };
    assert_eq!(call, alice);
    let now = net.now;
    net.endpoint(0).reject_reinvite(now, alice, 488, None, vec![]).unwrap();
    assert!(matches!(net.event(1), Event::ReinviteRejected { status: 488, .. }));
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::Answered { needs_answer: false, .. }));
}

#[test]
fn an_update_before_the_first_answer_is_refused_at_home_and_put_off_abroad() {
    let mut net = Net::pair(2);
    let alice = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, request, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).provisional(now, bob, 180, None, vec![], None).unwrap();
    let Event::Progress { response, .. } = net.event(0) else { panic!() };
    let tag = response.to().unwrap().tag().unwrap().to_owned();
    let now = net.now;
    let early = net.endpoint(0).update(now, alice, Some(&tag), vec![], sdp());
    assert_eq!(early, Err(Error::State("the first offer has no answer yet")));
    // A peer that does it nevertheless: 500 with Retry-After from the callee, 491 from the caller.
    let update = |from: &str, to: &str, from_tag: &str, to_tag: &str| {
        format!(
            "UPDATE sip:x@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKu{to_tag}\r\n\
             From: <sip:x@x>;tag={from_tag}\r\nTo: <sip:y@y>;tag={to_tag}\r\nCall-ID: {}\r\n\
             CSeq: 20 UPDATE\r\nContact: <sip:x@{from}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{SDP}",
            request.call_id().unwrap(),
            SDP.len()
        )
    };
    let own = request.from().unwrap().tag().unwrap().to_owned();
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &update("10.0.0.1:5060", "10.0.0.2", &own, &tag));
    let put_off = net.sent("SIP/2.0 500");
    assert!(header(&put_off, "Retry-After").parse::<u32>().unwrap() <= 10);
    net.inject("10.0.0.2:5060", "10.0.0.1:5060", &update("10.0.0.2:5060", "10.0.0.1", &tag, &own));
    assert_eq!(net.count("SIP/2.0 491"), 1);
    net.no_event(0);
}

#[test]
fn an_update_without_a_body_refreshes_the_target_and_asks_nobody() {
    let mut net = Net::pair(3);
    let (alice, bob) = net.call();
    let now = net.now;
    let moved = vec![("Contact".to_owned(), "<sip:alice@10.0.0.77>".to_owned())];
    net.endpoint(0).update(now, alice, None, moved, None).unwrap();
    assert!(matches!(net.event(0), Event::ReinviteAccepted { .. }));
    net.no_event(1);
    let now = net.now;
    net.endpoint(1).hangup(now, bob, vec![]).unwrap();
    net.drain();
    assert!(net.sent("BYE").starts_with("BYE sip:alice@10.0.0.77 "));
}

#[test]
fn crossing_updates_get_491_and_both_succeed_later() {
    let mut net = Net::pair(4);
    let (alice, bob) = net.call();
    let now = net.now;
    net.endpoint(0).update(now, alice, None, vec![], sdp()).unwrap();
    net.endpoint(1).reinvite(now, bob, vec![], sdp()).unwrap();
    let mut done = [0, 0];
    while done != [1, 1] {
        assert!(net.step(None));
        for (peer, done) in done.iter_mut().enumerate() {
            while let Some(event) = net.peers[peer].events.pop_front() {
                let now = net.now;
                match event {
                    Event::Reinvite { call, .. } => {
                        net.endpoint(peer).accept_reinvite(now, call, vec![], sdp()).unwrap();
                    }
                    Event::ReinviteAccepted { .. } => *done += 1,
                    // Ours waited when the peer's came: made anew.
                    Event::ReinviteRejected { call, status: 491, .. } => {
                        net.endpoint(peer).update(now, call, None, vec![], sdp()).unwrap();
                    }
                    Event::ReinviteConfirmed { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(net.count("SIP/2.0 491"), 2);
    assert!(net.elapsed() < 9_000);
}

#[test]
fn changes_wait_in_one_queue_and_a_busy_peer_is_asked_again_after_its_pause() {
    let mut net = Net::pair(5);
    let (alice, bob) = net.call();
    let now = net.now;
    // Bob is slow with the first; Alice's second and third wait.
    net.endpoint(0).reinvite(now, alice, vec![], sdp()).unwrap();
    net.endpoint(0).update(now, alice, None, vec![], second()).unwrap();
    net.endpoint(0).update(now, alice, None, vec![], None).unwrap();
    let Event::Reinvite { .. } = net.event(1) else { panic!() };
    assert_eq!((net.count("INVITE"), net.count("UPDATE")), (2, 0));
    let now = net.now;
    let pause = vec![("Retry-After".to_owned(), "3".to_owned())];
    net.endpoint(1).reject_reinvite(now, bob, 500, None, pause).unwrap();
    net.run(2_500);
    assert_eq!(net.count("INVITE"), 2, "not before the pause is over");
    let Event::Reinvite { .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept_reinvite(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::ReinviteAccepted { .. }));
    assert!(matches!(net.event(1), Event::ReinviteConfirmed { .. }));
    let Event::Reinvite { request, .. } = net.event(1) else { panic!() };
    assert_eq!(request.method(), Some(&Method::Update));
    let now = net.now;
    net.endpoint(1).accept_reinvite(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::ReinviteAccepted { .. }));
    assert!(matches!(net.event(0), Event::ReinviteAccepted { .. }));
    assert_eq!(net.count("UPDATE"), 2);
}

#[test]
fn a_peer_that_never_has_time_is_given_up_after_the_limit() {
    let mut net = Net::new(6);
    let mut config = Config::default();
    config.max_modification_retries = 3;
    net.add("10.0.0.1:5060", "alice", config);
    net.add("10.0.0.2:5060", "bob", Config::default());
    let (alice, bob) = net.call();
    let now = net.now;
    net.endpoint(0).update(now, alice, None, vec![], sdp()).unwrap();
    for _ in 0..4 {
        let Event::Reinvite { .. } = net.event(1) else { panic!() };
        let now = net.now;
        net.endpoint(1).reject_reinvite(now, bob, 491, None, vec![]).unwrap();
    }
    assert!(matches!(net.event(0), Event::ReinviteRejected { status: 491, .. }));
    net.no_event(1);
}

#[test]
fn a_peer_that_refuses_the_method_gets_a_re_invite() {
    let mut net = Net::new(7);
    let mut old = Config::default();
    old.allow.retain(|method| *method != Method::Update);
    net.add("10.0.0.1:5060", "alice", Config::default());
    net.add("10.0.0.2:5060", "bob", old);
    let (alice, bob) = net.call();
    let now = net.now;
    let unknown = net.endpoint(0).update(now, alice, None, vec![], sdp());
    assert_eq!(unknown, Err(Error::State("the peer does not take UPDATE")));
    assert!(!net.endpoint(0).allows_update(alice));
    // Bob's re-INVITE claims UPDATE after all; the 405 that follows is believed.
    let now = net.now;
    let lie = vec![("Allow".to_owned(), "UPDATE".to_owned())];
    net.endpoint(1).reinvite(now, bob, lie, sdp()).unwrap();
    let Event::Reinvite { .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).accept_reinvite(now, alice, vec![], sdp()).unwrap();
    assert!(matches!(net.event(1), Event::ReinviteAccepted { .. }));
    assert!(matches!(net.event(0), Event::ReinviteConfirmed { .. }));
    let now = net.now;
    net.endpoint(0).update(now, alice, None, vec![], second()).unwrap();
    let Event::Reinvite { request, .. } = net.event(1) else { panic!() };
    assert_eq!(request.method(), Some(&Method::Invite));
    assert_eq!(net.count("SIP/2.0 405"), 1);
}
