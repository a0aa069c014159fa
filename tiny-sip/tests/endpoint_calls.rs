//! Calls between two endpoints, with the bytes that go between them (RFC 3261 §13–15, §9).

mod endpoint_net;

use endpoint_net::{Net, SDP, answer, header, sdp};
use std::time::Duration;
use tiny_sip::{Body, Config, EndedBy, Error, Event, Method, Outgoing};

fn late() -> Outgoing {
    Outgoing { to: "sip:bob@10.0.0.2".into(), ..Outgoing::default() }
}

#[test]
fn a_call_is_five_messages_with_the_header_fields_of_the_rfc() {
    let mut net = Net::pair(1);
    let (alice, bob) = net.call();
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![("X-Why".into(), "done".into())]).unwrap();
    let Event::Ended { call, by: EndedBy::Remote, status: None, message: Some(bye), .. } =
        net.event(1)
    else {
        panic!()
    };
    assert_eq!((call, bye.header_named("x-why")), (bob, Some("done")));
    assert!(matches!(net.event(0), Event::Ended { by: EndedBy::Local, status: None, .. }));
    net.settle();
    let ladder = net.ladder();
    assert_eq!(ladder[0], "INVITE sip:bob@10.0.0.2");
    assert_eq!(ladder[1..3], ["200 OK", "ACK sip:bob@10.0.0.2:5060"]);
    assert_eq!(ladder[3..], ["BYE sip:bob@10.0.0.2:5060", "200 OK"]);

    let invite = net.sent("INVITE");
    let via = header(&invite, "Via");
    assert!(via.starts_with("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK"), "{via}");
    assert!(via.ends_with(";rport"));
    assert_eq!(header(&invite, "Max-Forwards"), "70");
    assert_eq!(header(&invite, "To"), "<sip:bob@10.0.0.2>");
    assert!(header(&invite, "From").starts_with("<sip:alice@example.com>;tag="));
    assert_eq!(header(&invite, "CSeq"), "1 INVITE");
    assert_eq!(header(&invite, "Contact"), "<sip:alice@10.0.0.1:5060>");
    assert!(header(&invite, "Allow").contains("INVITE, ACK, BYE, CANCEL"));
    assert!(invite.ends_with(SDP) && header(&invite, "Content-Type") == "application/sdp");

    let ok = String::from_utf8(net.log[1].3.to_vec()).unwrap();
    assert!(header(&ok, "To").starts_with("<sip:bob@10.0.0.2>;tag="));
    assert_eq!(header(&ok, "Contact"), "<sip:bob@10.0.0.2:5060>");
    assert!(header(&ok, "Via").contains(";received=10.0.0.1;rport=5060"));
    let ack = net.sent("ACK");
    assert_eq!(header(&ack, "CSeq"), "1 ACK");
    assert_eq!(header(&ack, "To"), header(&ok, "To"));
    assert_ne!(header(&ack, "Via"), via, "the ACK of a 2xx is a transaction of its own");
    let bye = net.sent("BYE");
    assert_eq!(header(&bye, "CSeq"), "2 BYE");
    assert_eq!(header(&bye, "Call-ID"), header(&invite, "Call-ID"));
    net.assert_empty();
}

#[test]
fn the_callee_may_hang_up_too() {
    let mut net = Net::pair(2);
    let (_, bob) = net.call();
    let now = net.now;
    net.endpoint(1).hangup(now, bob, vec![]).unwrap();
    assert!(matches!(net.event(0), Event::Ended { by: EndedBy::Remote, .. }));
    assert!(net.ladder().contains(&"BYE sip:alice@10.0.0.1:5060".to_owned()));
    let bye = net.sent("BYE");
    assert!(header(&bye, "From").starts_with("<sip:bob@10.0.0.2>;tag="));
    assert!(header(&bye, "To").starts_with("<sip:alice@example.com>;tag="));
    net.settle();
    net.assert_empty();
    assert_eq!(net.endpoint(1).hangup(now, bob, vec![]), Err(Error::Stale("call")));
}

#[test]
fn ringing_and_early_media_are_reported_and_busy_ends_the_call() {
    let mut net = Net::pair(3);
    let call = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, request, flow, .. } = net.event(1) else { panic!() };
    assert_eq!((request.body(), flow.remote), (SDP.as_bytes(), net.peers[0].addr));
    let now = net.now;
    net.endpoint(1).provisional(now, bob, 180, None, vec![], None).unwrap();
    let Event::Progress { response, .. } = net.event(0) else { panic!() };
    assert_eq!(response.status().unwrap(), 180);
    net.endpoint(1).provisional(now, bob, 183, Some("Soon"), vec![], sdp()).unwrap();
    let Event::Progress { response, .. } = net.event(0) else { panic!() };
    assert_eq!((response.reason(), response.body()), ("Soon", SDP.as_bytes()));
    assert_eq!(
        net.endpoint(1).provisional(now, bob, 200, None, vec![], None),
        Err(Error::Status(200))
    );
    net.endpoint(1).reject(now, bob, 486, None, vec![]).unwrap();
    let Event::Ended { call: ended, by: EndedBy::Remote, status: Some(486), reason, .. } =
        net.event(0)
    else {
        panic!()
    };
    assert_eq!((ended, reason.as_str()), (call, "Busy Here"));
    net.run(100);
    let (invite, ack) = (net.sent("INVITE"), net.sent("ACK"));
    assert_eq!(header(&invite, "Via"), header(&ack, "Via"), "the ACK of a refusal has its branch");
    assert_eq!(header(&ack, "To"), header(&net.sent("SIP/2.0 486"), "To"));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_redirection_ends_the_call_with_its_contacts() {
    let mut net = Net::pair(4);
    net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    let headers = vec![("Contact".into(), "<sip:bob@10.0.0.9>;q=0.5".into())];
    net.endpoint(1).reject(now, bob, 302, None, headers).unwrap();
    let Event::Ended { status: Some(302), message: Some(message), .. } = net.event(0) else {
        panic!()
    };
    assert_eq!(message.contacts().next().unwrap().unwrap().uri.as_str(), "sip:bob@10.0.0.9");
}

#[test]
fn a_slow_callee_sends_100_after_200_ms() {
    let mut net = Net::pair(5);
    net.invite(0, "sip:bob@10.0.0.2");
    net.run(204);
    assert_eq!(net.count("SIP/2.0 100"), 0);
    net.run(10);
    assert_eq!(net.count("SIP/2.0 100"), 1);
    assert!(!header(&net.sent("SIP/2.0 100"), "To").contains("tag="));
    net.run(30_000);
    assert_eq!(net.count("INVITE"), 1, "no retransmission after a provisional response");
}

#[test]
fn an_invite_that_nobody_answers_times_out_after_64_t1() {
    let mut net = Net::pair(6);
    net.loss = 1.0;
    net.invite(0, "sip:bob@10.0.0.2");
    let Event::Ended { by: EndedBy::Network, status: Some(408), .. } = net.event(0) else {
        panic!()
    };
    assert_eq!((net.elapsed(), net.count("INVITE")), (32_000, 7));
    net.assert_empty();
}

#[test]
fn a_call_that_rings_too_long_is_cancelled() {
    let mut net = Net::pair(7);
    net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).provisional(now, bob, 180, None, vec![], None).unwrap();
    assert!(matches!(net.event(0), Event::Progress { .. }));
    let ended = loop {
        match net.event(0) {
            Event::Progress { .. } => {}
            other => break other,
        }
    };
    assert!(matches!(ended, Event::Ended { by: EndedBy::Network, status: Some(408), .. }));
    assert!((180_000..181_000).contains(&net.elapsed()));
    assert_eq!(net.count("CANCEL"), 1);
    assert!(matches!(net.event(1), Event::Ended { by: EndedBy::Remote, status: Some(487), .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut net = Net::pair(8);
    let call = net.invite(0, "sip:bob@10.0.0.2");
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    assert!(matches!(net.event(1), Event::Incoming { .. }));
    net.run(150);
    assert_eq!(net.count("CANCEL"), 0);
    let Event::Ended { by: EndedBy::Local, status: Some(487), .. } = net.event(0) else { panic!() };
    let (invite, cancel) = (net.sent("INVITE"), net.sent("CANCEL"));
    assert_eq!(header(&cancel, "Via"), header(&invite, "Via"));
    assert_eq!(header(&cancel, "CSeq"), "1 CANCEL");
    assert_eq!(header(&cancel, "To"), header(&invite, "To"));
    assert!(matches!(
        net.event(1),
        Event::Ended { by: EndedBy::Remote, status: Some(487), message: Some(_), .. }
    ));
    net.settle();
    net.assert_empty();
    let ladder = net.ladder();
    assert_eq!(
        ladder[1..],
        [
            "100 Trying",
            "CANCEL sip:bob@10.0.0.2",
            "200 OK",
            "487 Request Terminated",
            "ACK sip:bob@10.0.0.2"
        ]
    );
}

#[test]
fn cancel_crossing_200_gets_ack_and_bye() {
    let mut net = Net::pair(9);
    let call = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).provisional(now, bob, 180, None, vec![], None).unwrap();
    assert!(matches!(net.event(0), Event::Progress { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::Ended { by: EndedBy::Local, status: None, .. }));
    assert!(matches!(net.event(1), Event::Confirmed { .. }));
    assert!(matches!(net.event(1), Event::Ended { by: EndedBy::Remote, .. }));
    net.settle();
    assert_eq!((net.count("CANCEL"), net.count("ACK"), net.count("BYE")), (1, 1, 1));
    // The CANCEL itself is answered 200, although it came too late.
    let ok: Vec<_> = net.ladder().into_iter().filter(|line| line == "200 OK").collect();
    assert_eq!(ok.len(), 3);
    net.assert_empty();
}

#[test]
fn a_cancel_that_gets_no_final_response_ends_after_64_t1() {
    let mut net = Net::new(10);
    net.add("10.0.0.1:5060", "alice", Config::default());
    let call = net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &answer(&invite, "180 Ringing", "x", ""));
    assert!(matches!(net.event(0), Event::Progress { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    let cancel = net.caught();
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &answer(&cancel, "200 OK", "x", ""));
    assert!(matches!(net.event(0), Event::Ended { by: EndedBy::Local, status: None, .. }));
    assert_eq!((net.now - now).as_secs(), 32);
    net.settle();
    net.assert_empty();
}

#[test]
fn forked_2xx_gets_ack_then_bye() {
    let mut net = Net::new(11);
    net.add("10.0.0.1:5060", "alice", Config::default());
    let call = net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    let leg = |status: &str, tag: &str| {
        answer(&invite, status, tag, &format!("Contact: <sip:{tag}@10.0.0.8>\r\n"))
    };
    for tag in ["one", "two"] {
        net.inject("10.0.0.9:5060", "10.0.0.1:5060", &leg("180 Ringing", tag));
        let Event::Progress { response, .. } = net.event(0) else { panic!() };
        assert_eq!(response.to().unwrap().tag(), Some(tag));
    }
    assert_eq!(net.endpoint(0).stats().dialogs, 2);
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &leg("200 OK", "two"));
    assert!(matches!(net.event(0), Event::Answered { .. }));
    let ack = net.caught();
    assert!(ack.starts_with("ACK sip:two@10.0.0.8 ") && header(&ack, "To").ends_with("tag=two"));
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &leg("200 OK", "one"));
    let ack = net.caught();
    assert!(ack.starts_with("ACK sip:one@10.0.0.8 ") && header(&ack, "To").ends_with("tag=one"));
    let bye = net.caught();
    assert!(bye.starts_with("BYE sip:one@10.0.0.8 ") && header(&bye, "To").ends_with("tag=one"));
    net.inject("10.0.0.8:5060", "10.0.0.1:5060", &answer(&bye, "200 OK", "", ""));
    // Repeated 2xx of either get their own ACK again, and no second BYE.
    net.inbox.clear();
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &leg("200 OK", "one"));
    assert_eq!(net.caught(), ack);
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &leg("200 OK", "two"));
    assert!(header(&net.caught(), "To").ends_with("tag=two"));
    net.no_event(0);
    // After Timer M only the winner's dialog is left.
    net.run(33_000);
    assert_eq!(net.count("BYE"), 1);
    let stats = net.endpoint(0).stats();
    assert_eq!((stats.dialogs, stats.calls, stats.client_transactions), (1, 1, 0));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn a_2xx_is_repeated_until_its_ack_comes_and_the_ack_for_each() {
    let mut net = Net::pair(12);
    net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    net.drain();
    net.loss = 1.0;
    assert!(matches!(net.event(0), Event::Answered { .. }));
    net.run(1600);
    assert_eq!(net.count("SIP/2.0 200"), 3, "at 0, 500 and 1500 ms");
    net.loss = 0.0;
    assert!(matches!(net.event(1), Event::Confirmed { .. }));
    assert_eq!((net.count("SIP/2.0 200"), net.count("ACK")), (4, 2));
    net.run(20_000);
    assert_eq!(net.count("SIP/2.0 200"), 4);
}

#[test]
fn a_2xx_without_ack_ends_the_call_with_bye_after_64_t1() {
    let mut net = Net::pair(13);
    net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    net.loss = 1.0;
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    // Hanging up meanwhile waits for the ACK (§15).
    net.endpoint(1).hangup(now, bob, vec![]).unwrap();
    net.run(31_900);
    assert_eq!((net.count("BYE"), net.count("SIP/2.0 200")), (0, 11));
    let Event::Ended { .. } = net.event(1) else { panic!() };
    assert_eq!((net.now - now).as_secs(), 32);
    assert_eq!(net.count("BYE"), 1);
    net.settle();
    net.assert_empty();
}

#[test]
fn a_callee_who_hangs_up_before_the_ack_sends_bye_after_it() {
    let mut net = Net::pair(14);
    net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    net.endpoint(1).hangup(now, bob, vec![]).unwrap();
    net.drain();
    assert_eq!(net.count("BYE"), 0);
    assert!(matches!(net.event(1), Event::Confirmed { .. }));
    assert!(matches!(net.event(1), Event::Ended { by: EndedBy::Local, .. }));
    assert!(matches!(net.event(0), Event::Answered { .. }));
    assert!(matches!(net.event(0), Event::Ended { by: EndedBy::Remote, .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut net = Net::pair(15);
    let (now, account) = (net.now, net.peers[0].account);
    let call = net.endpoint(0).invite(now, account, late()).unwrap();
    let Event::Incoming { call: bob, request, .. } = net.event(1) else { panic!() };
    assert!(request.body().is_empty());
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    let Event::Answered { needs_answer: true, response, .. } = net.event(0) else { panic!() };
    assert_eq!(response.body(), SDP.as_bytes());
    net.run(600);
    assert_eq!(net.count("ACK"), 0);
    let now = net.now;
    net.endpoint(0).acknowledge(now, call, Some(Body::sdp("v=0\r\nanswer"))).unwrap();
    let Event::Confirmed { ack: Some(ack), .. } = net.event(1) else { panic!() };
    assert_eq!(ack.body(), b"v=0\r\nanswer");
    assert_eq!(
        net.endpoint(0).acknowledge(now, call, None),
        Err(Error::State("no answer is awaited"))
    );
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn hanging_up_instead_of_answering_a_late_offer_acknowledges_first() {
    let mut net = Net::pair(16);
    let (now, account) = (net.now, net.peers[0].account);
    let call = net.endpoint(0).invite(now, account, late()).unwrap();
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::Answered { needs_answer: true, .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.settle();
    let ladder = net.ladder();
    assert_eq!(ladder[2..4], ["ACK sip:bob@10.0.0.2:5060", "BYE sip:bob@10.0.0.2:5060"]);
    net.assert_empty();
}

#[test]
fn re_invite_changes_the_session_in_both_directions() {
    let mut net = Net::pair(17);
    let (alice, bob) = net.call();
    for (from, to, call) in [(0, 1, alice), (1, 0, bob), (0, 1, alice)] {
        let now = net.now;
        net.endpoint(from).reinvite(now, call, vec![], sdp()).unwrap();
        let Event::Reinvite { call: other, request } = net.event(to) else { panic!() };
        assert!(request.to().unwrap().tag().is_some());
        let now = net.now;
        net.endpoint(to).accept_reinvite(now, other, vec![], sdp()).unwrap();
        let Event::ReinviteAccepted { response, needs_answer: false, .. } = net.event(from) else {
            panic!()
        };
        assert_eq!(response.body(), SDP.as_bytes());
        assert!(matches!(net.event(to), Event::ReinviteConfirmed { ack: None, .. }));
    }
    assert_eq!(header(&net.sent("INVITE sip:bob"), "CSeq"), "3 INVITE");
    let now = net.now;
    net.endpoint(0).reinvite(now, alice, vec![], None).unwrap();
    let Event::Reinvite { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept_reinvite(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::ReinviteAccepted { needs_answer: true, .. }));
    let now = net.now;
    net.endpoint(0).acknowledge(now, alice, sdp()).unwrap();
    assert!(matches!(net.event(1), Event::ReinviteConfirmed { ack: Some(_), .. }));
    net.endpoint(1).hangup(now, bob, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn re_invite_refused_leaves_the_call_as_it_was() {
    let mut net = Net::pair(18);
    let (alice, _) = net.call();
    let now = net.now;
    net.endpoint(0).reinvite(now, alice, vec![], sdp()).unwrap();
    let Event::Reinvite { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).reject_reinvite(now, bob, 488, None, vec![]).unwrap();
    let Event::ReinviteRejected { status: 488, reason, .. } = net.event(0) else { panic!() };
    assert_eq!(reason, "Not Acceptable Here");
    assert_eq!(net.endpoint(0).stats().calls, 1);
    assert_eq!(
        net.endpoint(1).accept_reinvite(now, bob, vec![], None),
        Err(Error::State("no re-INVITE waits for an answer"))
    );
}

#[test]
fn re_invite_glare_gets_491_and_retries() {
    let mut net = Net::pair(19);
    let (alice, bob) = net.call();
    let begin = net.now;
    net.endpoint(0).reinvite(begin, alice, vec![("X-From".into(), "alice".into())], sdp()).unwrap();
    net.endpoint(1).reinvite(begin, bob, vec![("X-From".into(), "bob".into())], sdp()).unwrap();
    // Bob does not own the Call-ID: his pause is at most 2 s, Alice's at least 2.1 s.
    let Event::Reinvite { call, request } = net.event(0) else { panic!() };
    assert_eq!(request.header_named("X-From"), Some("bob"));
    assert!(net.now - begin <= Duration::from_millis(2_030), "{:?}", net.now - begin);
    assert_eq!(net.count("SIP/2.0 491"), 2);
    let now = net.now;
    net.endpoint(0).accept_reinvite(now, call, vec![], sdp()).unwrap();
    assert!(matches!(net.event(1), Event::ReinviteAccepted { .. }));
    // Alice's own was made for the session before Bob's change: she is told to make it anew.
    assert!(matches!(net.event(0), Event::ReinviteRejected { status: 491, .. }));
    assert!(matches!(net.event(0), Event::ReinviteConfirmed { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn the_owner_of_the_call_id_waits_longer_after_glare() {
    let mut net = Net::pair(19);
    let (alice, bob) = net.call();
    let begin = net.now;
    net.endpoint(0).reinvite(begin, alice, vec![], sdp()).unwrap();
    net.endpoint(1).reinvite(begin, bob, vec![], sdp()).unwrap();
    let Event::Reinvite { call, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).reject_reinvite(now, call, 488, None, vec![]).unwrap();
    assert!(matches!(net.event(1), Event::ReinviteRejected { status: 488, .. }));
    // Nothing was changed: Alice's own is repeated by itself, with a number of its own.
    let Event::Reinvite { call, request } = net.event(1) else { panic!() };
    let pause = net.now - begin;
    assert!(pause >= Duration::from_millis(2_100) && pause <= Duration::from_millis(4_030));
    assert_eq!((request.cseq().unwrap().number, request.body()), (3, SDP.as_bytes()));
    let now = net.now;
    net.endpoint(1).accept_reinvite(now, call, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::ReinviteAccepted { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn re_invites_wait_for_one_another_up_to_the_limit() {
    let mut net = Net::pair(20);
    let (alice, bob) = net.call();
    let now = net.now;
    for n in 0..5 {
        let headers = vec![("X-N".into(), n.to_string())];
        net.endpoint(0).reinvite(now, alice, headers, sdp()).unwrap();
    }
    let more = net.endpoint(0).reinvite(now, alice, vec![], sdp());
    assert_eq!(more, Err(Error::Limit("max_queued_reinvites")));
    for n in 0..5 {
        let Event::Reinvite { request, .. } = net.event(1) else { panic!() };
        assert_eq!(request.header_named("X-N"), Some(n.to_string().as_str()));
        let now = net.now;
        net.endpoint(1).accept_reinvite(now, bob, vec![], sdp()).unwrap();
        assert!(matches!(net.event(1), Event::ReinviteConfirmed { .. }));
    }
}

#[test]
fn re_invite_that_gets_481_or_no_response_ends_the_call() {
    for silent in [false, true] {
        let mut net = Net::pair(21);
        let (alice, bob) = net.call();
        let now = net.now;
        net.loss = 1.0;
        net.endpoint(1).hangup(now, bob, vec![]).unwrap();
        net.run(40_000);
        if !silent {
            net.loss = 0.0;
        }
        net.peers[1].events.clear();
        let now = net.now;
        net.endpoint(0).reinvite(now, alice, vec![], sdp()).unwrap();
        let Event::Ended { status, by, .. } = net.event(0) else { panic!() };
        let expected = if silent { (EndedBy::Network, 408) } else { (EndedBy::Remote, 481) };
        assert_eq!((by, status), (expected.0, Some(expected.1)));
        assert!(net.sent("BYE").starts_with("BYE sip:bob@10.0.0.2:5060"));
        net.settle();
        net.assert_empty();
    }
}

#[test]
fn an_overlapping_re_invite_gets_500_with_retry_after() {
    let mut net = Net::pair(22);
    let (alice, _) = net.call();
    let now = net.now;
    net.endpoint(0).reinvite(now, alice, vec![], sdp()).unwrap();
    let Event::Reinvite { .. } = net.event(1) else { panic!() };
    let second = net
        .sent("INVITE sip:bob@10.0.0.2:5060")
        .replace("2 INVITE", "3 INVITE")
        .replace("branch=z9hG4bK", "branch=z9hG4bKx");
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &second);
    let refusal = net.sent("SIP/2.0 500");
    assert!(header(&refusal, "Retry-After").parse::<u32>().unwrap() <= 10);
    assert_eq!(header(&refusal, "CSeq"), "3 INVITE");
}

#[test]
fn requests_inside_a_call_are_told_and_answered() {
    let mut net = Net::pair(23);
    let (alice, bob) = net.call();
    let now = net.now;
    let body = Some(Body::new("application/dtmf-relay", "Signal=1\r\n"));
    let key = net.endpoint(0).request_in_call(now, alice, Method::Info, vec![], body).unwrap();
    let Event::Request { key: server, call: Some(call), request, .. } = net.event(1) else {
        panic!()
    };
    assert_eq!((call, request.body()), (bob, b"Signal=1\r\n".as_slice()));
    let now = net.now;
    net.endpoint(1).respond(now, server, 200, None, vec![], None).unwrap();
    assert!(net.endpoint(1).respond(now, server, 200, None, vec![], None).is_err());
    let Event::Response { key: answered, response } = net.event(0) else { panic!() };
    assert_eq!((answered, response.status().unwrap().code()), (key, 200));
    let bad = net.endpoint(0).request_in_call(now, alice, Method::Bye, vec![], None);
    assert_eq!(bad, Err(Error::Method(Method::Bye)));
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn old_cseq_numbers_get_500_and_unknown_dialogs_481() {
    let mut net = Net::pair(24);
    let (alice, _) = net.call();
    let now = net.now;
    for _ in 0..2 {
        net.endpoint(0).request_in_call(now, alice, Method::Info, vec![], None).unwrap();
    }
    net.run(50);
    let old = net.sent("INFO").replace("3 INFO", "1 INFO").replace("z9hG4bK", "z9hG4bKold");
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &old);
    assert_eq!(header(&net.sent("SIP/2.0 500"), "CSeq"), "1 INFO");
    let lost = net.sent("INFO").replace(";tag=", ";tag=no").replace("z9hG4bK", "z9hG4bKlost");
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &lost);
    assert_eq!(header(&net.sent("SIP/2.0 481"), "CSeq"), "3 INFO");
    assert_eq!(net.endpoint(1).stats().rejected_cseq, 1);
}

#[test]
fn a_record_routing_proxy_gets_all_later_requests() {
    let mut net = Net::new(25);
    net.add("10.0.0.1:5060", "alice", Config::default());
    let call = net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    let extra =
        "Record-Route: <sip:10.0.0.7;lr>, <sip:10.0.0.6;lr>\r\nContact: <sip:bob@10.0.0.5>\r\n";
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &answer(&invite, "200 OK", "b", extra));
    assert!(matches!(net.event(0), Event::Answered { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.drain();
    for method in ["ACK", "BYE"] {
        let request = net.sent(method);
        assert!(request.starts_with(&format!("{method} sip:bob@10.0.0.5 SIP/2.0\r\n")));
        assert_eq!(header(&request, "Route"), "<sip:10.0.0.6;lr>, <sip:10.0.0.7;lr>");
    }
    assert!(net.log[1..].iter().all(|(_, to, ..)| to.ip().to_string() == "10.0.0.6"));
}

#[test]
fn header_injection_and_the_endpoints_own_fields_are_refused() {
    let mut net = Net::pair(26);
    let (now, account) = (net.now, net.peers[0].account);
    for (name, value) in
        [("X-A", "b\r\nX-C: d"), ("X A", "b"), ("Via", "x"), ("f", "x"), ("l", "1")]
    {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let outgoing = Outgoing { headers, ..late() };
        let refused = net.endpoint(0).invite(now, account, outgoing);
        assert!(matches!(refused, Err(Error::Header { .. })), "{name} {refused:?}");
    }
    for to in ["bob", "http://x", "tel:+1", "sip:bob@x y", "sip:b@x\r\nX: y"] {
        let outgoing = Outgoing { to: to.into(), ..late() };
        let refused = net.endpoint(0).invite(now, account, outgoing);
        assert!(matches!(refused, Err(Error::Uri { .. })), "{to} {refused:?}");
    }
    net.assert_empty();
}

#[test]
fn established_calls_keep_neither_transactions_nor_timers() {
    let mut net = Net::pair(27);
    net.logging = false;
    let calls: Vec<_> = (0..200).map(|_| net.call()).collect();
    // The machines linger for 32 s; then only dialogs and calls are left, without any timer.
    net.run(33_000);
    for peer in 0..2 {
        let stats = net.endpoint(peer).stats();
        assert_eq!((stats.calls, stats.dialogs, stats.timers), (200, 200, 0));
        assert_eq!((stats.client_transactions, stats.server_transactions), (0, 0));
    }
    let now = net.now;
    for (n, (alice, bob)) in calls.into_iter().enumerate() {
        match n % 2 {
            0 => net.endpoint(0).hangup(now, alice, vec![]).unwrap(),
            _ => net.endpoint(1).hangup(now, bob, vec![]).unwrap(),
        }
    }
    net.settle();
    net.assert_empty();
}

#[test]
fn a_bye_for_an_early_dialog_ends_that_branch_only() {
    let mut net = Net::new(28);
    net.add("10.0.0.1:5060", "alice", Config::default());
    net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    for tag in ["one", "two"] {
        let extra = format!("Contact: <sip:{tag}@10.0.0.8>\r\n");
        net.inject("10.0.0.9:5060", "10.0.0.1:5060", &answer(&invite, "180 Ringing", tag, &extra));
        assert!(matches!(net.event(0), Event::Progress { .. }));
    }
    let bye = format!(
        "BYE sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKb\r\n\
         From: {};tag=one\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n",
        header(&invite, "To"),
        header(&invite, "From"),
        header(&invite, "Call-ID"),
    );
    net.inject("10.0.0.8:5060", "10.0.0.1:5060", &bye);
    assert!(net.caught().starts_with("SIP/2.0 200 OK"));
    net.no_event(0);
    let stats = net.endpoint(0).stats();
    assert_eq!((stats.dialogs, stats.calls), (1, 1));
}

#[test]
fn a_caller_who_hangs_up_while_the_callee_hangs_up_ends_on_both_sides() {
    let mut net = Net::pair(29);
    let (alice, bob) = net.call();
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.endpoint(1).hangup(now, bob, vec![]).unwrap();
    for peer in 0..2 {
        assert!(matches!(net.event(peer), Event::Ended { by: EndedBy::Local, .. }));
    }
    net.settle();
    // Each BYE finds no dialog any more.
    assert_eq!(net.count("SIP/2.0 481"), 2);
    net.assert_empty();
}

#[test]
fn a_bye_during_a_re_invite_gets_487_for_it() {
    let mut net = Net::pair(30);
    let (alice, _) = net.call();
    let now = net.now;
    net.endpoint(0).reinvite(now, alice, vec![], sdp()).unwrap();
    assert!(matches!(net.event(1), Event::Reinvite { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    assert!(matches!(net.event(1), Event::Ended { by: EndedBy::Remote, .. }));
    net.settle();
    assert_eq!(header(&net.sent("SIP/2.0 487"), "CSeq"), "2 INVITE");
    net.assert_empty();
}

#[test]
fn a_ringing_callee_shows_life_every_minute() {
    let mut net = Net::new(31);
    let mut patient = Config::default();
    patient.ring_timeout = None;
    net.add("10.0.0.1:5060", "alice", patient);
    net.add("10.0.0.2:5060", "bob", Config::default());
    net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).provisional(now, bob, 183, None, vec![], sdp()).unwrap();
    net.run(400_000);
    assert_eq!(net.count("SIP/2.0 183"), 7);
    assert_eq!((net.count("CANCEL"), net.endpoint(0).stats().calls), (0, 1));
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    net.run(100_000);
    assert_eq!(net.count("SIP/2.0 183"), 7);
}
