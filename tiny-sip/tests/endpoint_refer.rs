//! Transfers between endpoints, with the bytes that go between them (RFC 3515, 3892, 4488, 5589).

mod endpoint_net;

use endpoint_net::{Net, answer, header, sdp};
use tiny_sip::{CallKey, Cause, Config, Event, Outgoing, ReferOutcome, Referral};

fn to(uri: &str) -> Referral {
    Referral { to: uri.into(), ..Referral::default() }
}

/// Alice refers Bob to Carol; the REFER has come to Bob.
fn referred(net: &mut Net, referral: Referral) -> (CallKey, CallKey) {
    let (alice, bob) = net.call();
    let now = net.now;
    net.endpoint(0).refer(now, alice, referral).unwrap();
    let Event::Referred { call, .. } = net.event(1) else { panic!() };
    assert_eq!(call, bob);
    (alice, bob)
}

fn outcome(net: &mut Net, peer: usize) -> ReferOutcome {
    loop {
        match net.event(peer) {
            Event::ReferEnded { outcome, .. } => return outcome,
            Event::ReferAccepted { .. } | Event::ReferProgress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn reported(status: u16, reason: &str) -> ReferOutcome {
    ReferOutcome::Reported { status, reason: reason.into() }
}

#[test]
fn a_referral_is_accepted_and_its_progress_is_told_until_the_final_status() {
    let mut net = Net::pair(1);
    let (alice, bob) = net.call();
    let now = net.now;
    net.endpoint(0).refer(now, alice, to("sip:carol@10.0.0.3")).unwrap();
    let Event::Referred { call, to, request } = net.event(1) else { panic!() };
    assert_eq!((call, to.as_str()), (bob, "sip:carol@10.0.0.3"));
    assert_eq!(request.header_named("Referred-By"), Some("<sip:alice@example.com>"));
    let now = net.now;
    net.endpoint(1).accept_referral(now, bob, false).unwrap();
    assert!(matches!(net.event(0), Event::ReferAccepted { call } if call == alice));
    let Event::ReferProgress { status: 100, .. } = net.event(0) else { panic!() };
    for (status, reason) in [(180, "Ringing"), (200, "OK")] {
        let now = net.now;
        net.endpoint(1).notify_referral(now, bob, status, "").unwrap();
        match net.event(0) {
            Event::ReferProgress { status: told, .. } => assert_eq!(told, status),
            Event::ReferEnded { outcome, .. } => assert_eq!(outcome, reported(200, reason)),
            other => panic!("{other:?}"),
        }
    }
    net.run(100);
    let refer = net.sent("REFER");
    assert_eq!(header(&refer, "Refer-To"), "<sip:carol@10.0.0.3>");
    assert!(header(&refer, "Contact").contains("10.0.0.1"), "a REFER has a Contact");
    let id = header(&refer, "CSeq").split(' ').next().unwrap().to_owned();
    assert!(header(&net.sent("SIP/2.0 202"), "Contact").contains("10.0.0.2"));
    let notify = net.sent("NOTIFY");
    assert_eq!(header(&notify, "Event"), format!("refer;id={id}"));
    assert_eq!(header(&notify, "Subscription-State"), "terminated;reason=noresource");
    assert_eq!(header(&notify, "Content-Type"), "message/sipfrag;version=2.0");
    assert!(notify.ends_with("\r\n\r\nSIP/2.0 200 OK\r\n"), "{notify}");
    assert_eq!(net.count("NOTIFY"), 3);
    // The call is as it was; it can be transferred again.
    let now = net.now;
    net.endpoint(0).refer(now, alice, self::to("sip:dave@10.0.0.4")).unwrap();
    assert!(
        net.endpoint(0).refer(now, alice, self::to("sip:dave@10.0.0.4")).is_err(),
        "one at a time"
    );
    let Event::Referred { .. } = net.event(1) else { panic!() };
    net.endpoint(1).refuse_referral(now, bob, 603, vec![]).unwrap();
    assert_eq!(
        outcome(&mut net, 0),
        ReferOutcome::Refused { status: 603, reason: "Decline".into() }
    );
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn the_subscription_outlives_the_call_when_either_side_hangs_up() {
    for hangs_up in [0, 1] {
        let mut net = Net::pair(2);
        let (alice, bob) = referred(&mut net, to("sip:carol@10.0.0.3"));
        let now = net.now;
        net.endpoint(1).accept_referral(now, bob, false).unwrap();
        net.run(50);
        let (now, call) = (net.now, [alice, bob][hangs_up]);
        net.endpoint(hangs_up).hangup(now, call, vec![]).unwrap();
        net.run(50);
        let now = net.now;
        net.endpoint(1).notify_referral(now, bob, 200, "OK").unwrap();
        loop {
            match net.event(0) {
                Event::ReferEnded { call, outcome } => {
                    assert_eq!((call, outcome), (alice, reported(200, "OK")));
                    break;
                }
                Event::ReferAccepted { .. } | Event::ReferProgress { .. } => {}
                Event::Ended { call, .. } => assert_eq!(call, alice),
                other => panic!("{other:?}"),
            }
        }
        // Nothing but the referral was left of the dialog.
        let now = net.now;
        assert!(net.endpoint(1).notify_referral(now, bob, 200, "OK").is_err());
        net.settle();
        net.assert_empty();
    }
}

#[test]
fn a_peer_that_stops_notifying_is_given_up() {
    // After the 202, and after a NOTIFY.
    for notifies in [false, true] {
        let mut net = Net::new(3);
        net.add("10.0.0.1:5060", "alice", Config::default());
        let call = net.invite(0, "sip:bob@10.0.0.2");
        let invite = net.caught();
        let contact = "Contact: <sip:bob@10.0.0.2>\r\n";
        net.inject("10.0.0.2:5060", "10.0.0.1:5060", &answer(&invite, "200 OK", "b", contact));
        let Event::Answered { .. } = net.event(0) else { panic!() };
        net.caught();
        let now = net.now;
        net.endpoint(0).refer(now, call, to("sip:carol@10.0.0.3")).unwrap();
        let refer = net.caught();
        net.inject("10.0.0.2:5060", "10.0.0.1:5060", &answer(&refer, "202 Accepted", "b", contact));
        let begin = net.elapsed();
        let mut patience = 32_000;
        if notifies {
            let notify = notify(&refer, 1, "active;expires=60", "SIP/2.0 180 Ringing");
            net.inject("10.0.0.2:5060", "10.0.0.1:5060", &notify);
            patience = 60_000;
        }
        let ReferOutcome::Silent { cause: Cause::Timeout, .. } = outcome(&mut net, 0) else {
            panic!()
        };
        assert_eq!(net.elapsed() - begin, patience);
        let now = net.now;
        net.endpoint(0).hangup(now, call, vec![]).unwrap();
        net.settle();
        net.assert_empty();
    }
}

/// A NOTIFY by hand, of Bob's to the REFER of Alice's.
fn notify(refer: &str, number: u32, state: &str, body: &str) -> String {
    let id = header(refer, "CSeq").split(' ').next().unwrap();
    let body = if body.is_empty() { String::new() } else { format!("{body}\r\n") };
    format!(
        "NOTIFY sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKn{number}\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} NOTIFY\r\nMax-Forwards: 70\r\n\
         Contact: <sip:bob@10.0.0.2>\r\nEvent: refer;id={id}\r\nSubscription-State: {state}\r\n\
         Content-Type: message/sipfrag\r\nContent-Length: {}\r\n\r\n{body}",
        header(refer, "To"),
        header(refer, "From"),
        header(refer, "Call-ID"),
        body.len(),
    )
}

#[test]
fn notifies_that_make_no_sense_are_refused_and_change_nothing() {
    let mut net = Net::new(4);
    net.add("10.0.0.1:5060", "alice", Config::default());
    let call = net.invite(0, "sip:bob@10.0.0.2");
    let invite = net.caught();
    let contact = "Contact: <sip:bob@10.0.0.2>\r\n";
    net.inject("10.0.0.2:5060", "10.0.0.1:5060", &answer(&invite, "200 OK", "b", contact));
    let Event::Answered { .. } = net.event(0) else { panic!() };
    net.caught();
    let now = net.now;
    net.endpoint(0).refer(now, call, to("sip:carol@10.0.0.3")).unwrap();
    let refer = net.caught();
    let good = notify(&refer, 1, "active;expires=60", "SIP/2.0 100 Trying");
    let mut refused = |text: String, status: &str| {
        net.inject("10.0.0.2:5060", "10.0.0.1:5060", &text);
        // The REFER is repeated meanwhile.
        let response = loop {
            let text = net.caught();
            if text.starts_with("SIP") {
                break text;
            }
        };
        assert!(response.starts_with(&format!("SIP/2.0 {status}")), "{response}");
    };
    refused(good.replace("message/sipfrag", "text/plain"), "415");
    refused(notify(&refer, 2, "active", "hello there"), "400");
    refused(notify(&refer, 3, "active", "").replace("Subscription-State: active\r\n", ""), "400");
    let id = header(&refer, "CSeq").split(' ').next().unwrap();
    refused(notify(&refer, 4, "active", "").replace(&format!("id={id}"), "id=77"), "481");
    // A NOTIFY may overtake the 202 (RFC 3515 §2.4.4), and the last one need not have a status.
    refused(notify(&refer, 5, "active", "SIP/2.0 183 X"), "200");
    let Event::ReferProgress { status: 183, .. } = net.event(0) else { panic!() };
    net.inject("10.0.0.2:5060", "10.0.0.1:5060", &answer(&refer, "200 OK", "b", contact));
    let Event::ReferAccepted { .. } = net.event(0) else { panic!() };
    net.inject(
        "10.0.0.2:5060",
        "10.0.0.1:5060",
        &notify(&refer, 6, "terminated;reason=giveup", ""),
    );
    assert_eq!(outcome(&mut net, 0), ReferOutcome::Unreported);
}

#[test]
fn without_a_subscription_nothing_is_notified() {
    let mut net = Net::pair(5);
    let quiet = Referral { quiet: true, ..to("sip:carol@10.0.0.3") };
    let (_, bob) = referred(&mut net, quiet);
    let now = net.now;
    net.endpoint(1).accept_referral(now, bob, false).unwrap();
    let Event::ReferAccepted { .. } = net.event(0) else { panic!() };
    assert_eq!(outcome(&mut net, 0), ReferOutcome::Unreported);
    net.run(1000);
    let refer = net.sent("REFER");
    assert_eq!(header(&refer, "Refer-Sub"), "false");
    assert_eq!(header(&refer, "Supported"), "norefersub");
    let log: Vec<_> = net.log.iter().map(|l| String::from_utf8_lossy(&l.3).into_owned()).collect();
    let ok = log.iter().find(|m| m.starts_with("SIP/2.0 200") && m.contains("2 REFER")).unwrap();
    assert_eq!(header(ok, "Refer-Sub"), "false");
    assert_eq!(net.count("NOTIFY"), 0);
}

#[test]
fn somebody_who_is_asked_first_is_told_as_pending_and_a_refusal_as_a_status() {
    let mut net = Net::pair(6);
    let (_, bob) = referred(&mut net, to("sip:carol@10.0.0.3"));
    let now = net.now;
    net.endpoint(1).accept_referral(now, bob, true).unwrap();
    net.run(50);
    assert!(header(&net.sent("NOTIFY"), "Subscription-State").starts_with("pending;expires="));
    let now = net.now;
    net.endpoint(1).refuse_referral(now, bob, 603, vec![]).unwrap();
    assert_eq!(outcome(&mut net, 0), reported(603, "Decline"));
}

#[test]
fn a_refer_without_or_with_two_targets_is_bad_and_a_second_one_waits() {
    let mut net = Net::pair(7);
    let (alice, bob) = net.call();
    let now = net.now;
    let two = vec![("Refer-To".to_owned(), "<sip:dave@10.0.0.4>".to_owned())];
    let referral = Referral { headers: two, ..to("sip:carol@10.0.0.3") };
    net.endpoint(0).refer(now, alice, referral).unwrap();
    let ReferOutcome::Refused { status: 400, .. } = outcome(&mut net, 0) else { panic!() };
    net.no_event(1);
    // Nobody answers: refused before the transaction of the REFER is over.
    let now = net.now;
    net.endpoint(0).refer(now, alice, to("sip:carol@10.0.0.3")).unwrap();
    let Event::Referred { .. } = net.event(1) else { panic!() };
    let ReferOutcome::Refused { status: 603, .. } = outcome(&mut net, 0) else { panic!() };
    let now = net.now;
    assert!(net.endpoint(1).accept_referral(now, bob, false).is_err());
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn notifies_are_told_in_order_over_a_bad_network() {
    for seed in 0..20 {
        let mut net = Net::pair(100 + seed);
        let (_, bob) = referred(&mut net, to("sip:carol@10.0.0.3"));
        (net.loss, net.latency) = (0.3, (5, 400));
        let now = net.now;
        net.endpoint(1).accept_referral(now, bob, false).unwrap();
        for status in [180, 183, 200] {
            net.run(300);
            let now = net.now;
            let _ = net.endpoint(1).notify_referral(now, bob, status, "");
        }
        let mut last = 0;
        loop {
            match net.event(0) {
                Event::ReferProgress { status, .. } => {
                    assert!(status >= last, "{status} after {last}");
                    last = status;
                }
                Event::ReferEnded { outcome, .. } => {
                    assert_eq!(outcome, reported(200, "OK"), "seed {seed}");
                    break;
                }
                _ => {}
            }
        }
    }
}

/// Alice talks to Bob and to Carol.
fn consultation(net: &mut Net) -> (CallKey, CallKey, CallKey, CallKey) {
    net.add("10.0.0.3:5060", "carol", Config::default());
    let (to_bob, bob) = net.call();
    let to_carol = net.invite(0, "sip:carol@10.0.0.3");
    let Event::Incoming { call: carol, .. } = net.event(2) else { panic!() };
    let now = net.now;
    net.endpoint(2).accept(now, carol, vec![], sdp()).unwrap();
    let Event::Answered { .. } = net.event(0) else { panic!() };
    let Event::Confirmed { .. } = net.event(2) else { panic!() };
    (to_bob, bob, to_carol, carol)
}

#[test]
fn an_attended_transfer_replaces_the_consultation_call() {
    let mut net = Net::pair(8);
    let (to_bob, bob, to_carol, carol) = consultation(&mut net);
    let uri = net.endpoint(0).replaces_uri(to_carol).unwrap();
    assert!(uri.starts_with("sip:carol@10.0.0.3:5060?Replaces=") && uri.contains("%3Bto-tag%3D"));
    let now = net.now;
    net.endpoint(0).refer(now, to_bob, to(&uri)).unwrap();
    let Event::Referred { to, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept_referral(now, bob, false).unwrap();
    // Bob's owner takes the header part of the URI into its INVITE.
    let (target, value) = to.split_once("?Replaces=").unwrap();
    let value = String::from_utf8(tiny_sip::unescape(value).into_owned()).unwrap();
    let account = net.peers[1].account;
    let headers = vec![("Replaces".to_owned(), value), ("Require".to_owned(), "replaces".into())];
    let (to, body) = (target.into(), sdp());
    let outgoing = Outgoing { to, headers, body, ..Outgoing::default() };
    net.endpoint(1).invite(now, account, outgoing).unwrap();
    let Event::Incoming { call: new, related, .. } = net.event(2) else { panic!() };
    assert_eq!(related, Some(tiny_sip::Related::Replaces(carol)));
    let now = net.now;
    net.endpoint(2).accept(now, new, vec![], sdp()).unwrap();
    let Event::Ended { call, reason, .. } = net.event(2) else { panic!() };
    assert_eq!((call, reason.as_str()), (carol, "replaced by another call"));
    loop {
        if let Event::Answered { .. } = net.event(1) {
            break;
        }
    }
    let now = net.now;
    net.endpoint(1).notify_referral(now, bob, 200, "OK").unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match net.event(0) {
            Event::Ended { call, by: tiny_sip::EndedBy::Remote, .. } => {
                assert_eq!(call, to_carol);
                seen.push("ended");
            }
            Event::ReferEnded { outcome, .. } => {
                assert_eq!(outcome, reported(200, "OK"));
                seen.push("transferred");
            }
            _ => {}
        }
    }
}

/// An INVITE by hand with a Replaces; gives the status it is answered with.
fn replacing(net: &mut Net, to: &str, field: &str, n: u32) -> String {
    let invite = format!(
        "INVITE sip:x@{to} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKr{n}\r\n\
         From: <sip:dave@x>;tag=d{n}\r\nTo: <sip:x@{to}>\r\nCall-ID: r{n}\r\nCSeq: 1 INVITE\r\n\
         Max-Forwards: 70\r\nContact: <sip:dave@10.0.0.9>\r\n{field}\r\nContent-Length: 0\r\n\r\n"
    );
    net.inject("10.0.0.9:5060", &format!("{to}:5060"), &invite);
    net.run(20);
    match net.inbox.pop_front() {
        Some((_, _, text)) => text.split(' ').nth(1).unwrap().to_owned(),
        None => "none".into(),
    }
}

#[test]
fn replaces_obeys_the_state_of_the_dialog_it_names() {
    let mut net = Net::pair(9);
    let (alice, bob) = net.call();
    let ok = net.sent("ACK");
    let tag = |name: &str| header(&ok, name).split("tag=").nth(1).unwrap().to_owned();
    let (id, a, b) = (header(&ok, "Call-ID").to_owned(), tag("From"), tag("To"));
    // As Bob knows it: his own tag is To's.
    let line = format!("Replaces: {id};to-tag={b};from-tag={a}");
    let at = "10.0.0.2";
    let wrong = format!("Replaces: {id};to-tag={a};from-tag={b}");
    assert_eq!(replacing(&mut net, at, &wrong, 1), "481", "tags the other way round");
    assert_eq!(replacing(&mut net, at, &format!("{line};early-only"), 2), "486");
    assert_eq!(replacing(&mut net, at, &format!("{line}\r\n{line}"), 3), "400");
    assert_eq!(replacing(&mut net, at, &format!("{line}\r\nJoin{}", &line[8..]), 4), "400");
    assert_eq!(replacing(&mut net, at, "Replaces: no-tags", 5), "400");
    net.no_event(1);
    assert_eq!(replacing(&mut net, at, &line.replace("Replaces", "Join"), 6), "none");
    let Event::Incoming { call, related: Some(tiny_sip::Related::Joins(old)), .. } = net.event(1)
    else {
        panic!()
    };
    assert_eq!(old, bob);
    let now = net.now;
    net.endpoint(1).reject(now, call, 488, None, vec![]).unwrap();
    net.run(20);
    net.inbox.clear();
    let Event::Ended { .. } = net.event(1) else { panic!() };
    // Another method must not have it.
    let options = format!(
        "OPTIONS sip:bob@{at} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKo\r\n\
         From: <sip:dave@x>;tag=d\r\nTo: <sip:bob@{at}>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\n{line}\r\nContent-Length: 0\r\n\r\n"
    );
    net.inbox.clear();
    net.inject("10.0.0.9:5060", "10.0.0.2:5060", &options);
    assert!(net.caught().starts_with("SIP/2.0 400"));
    // The dialog has ended.
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.run(50);
    net.inbox.clear();
    assert_eq!(replacing(&mut net, at, &line, 7), "603");
}

#[test]
fn an_early_dialog_can_be_replaced_where_it_was_begun_only() {
    let mut net = Net::pair(10);
    let alice = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).provisional(now, bob, 180, None, vec![], None).unwrap();
    let Event::Progress { .. } = net.event(0) else { panic!() };
    let ringing = net.sent("SIP/2.0 180");
    let tag = |name: &str| header(&ringing, name).split("tag=").nth(1).unwrap().to_owned();
    let (id, a, b) = (header(&ringing, "Call-ID").to_owned(), tag("From"), tag("To"));
    let at_bob = format!("Replaces: {id};to-tag={b};from-tag={a}");
    assert_eq!(replacing(&mut net, "10.0.0.2", &at_bob, 1), "481", "he did not begin it");
    let at_alice = format!("Replaces: {id};to-tag={a};from-tag={b};early-only");
    assert_eq!(replacing(&mut net, "10.0.0.1", &at_alice, 2), "none");
    let Event::Incoming { call: new, related, .. } = net.event(0) else { panic!() };
    assert_eq!(related, Some(tiny_sip::Related::Replaces(alice)));
    let now = net.now;
    net.endpoint(0).accept(now, new, vec![], sdp()).unwrap();
    let Event::Ended { call, status: Some(487), .. } = net.event(1) else { panic!() };
    assert_eq!(call, bob, "its INVITE was cancelled");
    assert!(net.ladder().iter().any(|line| line.starts_with("CANCEL")));
}

#[test]
fn a_redirected_call_goes_on_elsewhere_within_itself() {
    let mut net = Net::pair(11);
    net.add("10.0.0.3:5060", "carol", Config::default());
    let (now, account) = (net.now, net.peers[0].account);
    let outgoing = Outgoing {
        to: "sip:bob@10.0.0.2".into(),
        body: sdp(),
        redirects: true,
        ..Outgoing::default()
    };
    let call = net.endpoint(0).invite(now, account, outgoing.clone()).unwrap();
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let contact = vec![("Contact".into(), "<sip:carol@10.0.0.3>".into())];
    let now = net.now;
    net.endpoint(1).reject(now, bob, 302, None, contact).unwrap();
    let Event::Redirected { call: same, response } = net.event(0) else { panic!() };
    assert_eq!((same, response.contacts().count()), (call, 1));
    let first = net.sent("INVITE");
    let now = net.now;
    assert!(net.endpoint(0).retarget(now, call, "nowhere", vec![]).is_err());
    net.endpoint(0).retarget(now, call, "sip:carol@10.0.0.3", vec![]).unwrap();
    let Event::Incoming { call: carol, .. } = net.event(2) else { panic!() };
    let second = net.sent("INVITE");
    for name in ["To", "From", "Call-ID"] {
        assert_eq!(header(&first, name), header(&second, name));
    }
    assert_eq!(header(&second, "CSeq"), "2 INVITE");
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    let now = net.now;
    net.endpoint(2).accept(now, carol, vec![], sdp()).unwrap();
    let Event::Answered { call: same, .. } = net.event(0) else { panic!() };
    assert_eq!(same, call);
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.settle();
    net.assert_empty();

    // Nobody says a word and then hangs up; and one who ends it.
    for ends in [false, true] {
        let (now, account) = (net.now, net.peers[0].account);
        net.peers.iter_mut().for_each(|peer| peer.events.clear());
        let call = net.endpoint(0).invite(now, account, outgoing.clone()).unwrap();
        let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
        let now = net.now;
        net.endpoint(1).reject(now, bob, 300, None, vec![]).unwrap();
        let Event::Redirected { .. } = net.event(0) else { panic!() };
        let now = net.now;
        if ends {
            net.endpoint(0).end_redirected(now, call).unwrap();
            assert!(matches!(net.event(0), Event::Ended { status: Some(300), .. }));
        } else {
            net.endpoint(0).hangup(now, call, vec![]).unwrap();
            assert!(matches!(net.event(0), Event::Ended { status: None, .. }));
        }
        net.settle();
        net.assert_empty();
    }
}
