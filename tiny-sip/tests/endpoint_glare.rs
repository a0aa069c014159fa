//! Changes of a session that are asked for at a bad time: in the pause after a 491, before the ACK,
//! and the CANCEL that comes after the 200 (RFC 3261 §9.2, §14.1).

mod endpoint_net;

use endpoint_net::{Net, header, sdp};
use std::time::Duration;
use tiny_sip::Event;

#[test]
fn a_change_made_anew_after_glare_waits_for_the_rest_of_the_pause() {
    let mut net = Net::pair(19);
    let (alice, bob) = net.call();
    let begin = net.now;
    net.endpoint(0).reinvite(begin, alice, vec![], sdp()).unwrap();
    net.endpoint(1).reinvite(begin, bob, vec![], sdp()).unwrap();
    let Event::Reinvite { call, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).accept_reinvite(now, call, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::ReinviteRejected { status: 491, .. }));
    assert!(matches!(net.event(1), Event::ReinviteAccepted { .. }));
    assert!(matches!(net.event(0), Event::ReinviteConfirmed { .. }));
    let now = net.now;
    net.endpoint(0).reinvite(now, alice, vec![("X-Offer".into(), "new".into())], sdp()).unwrap();
    let Event::Reinvite { request, .. } = net.event(1) else { panic!() };
    assert_eq!(request.header_named("X-Offer"), Some("new"));
    let pause = net.now - begin;
    assert!(pause >= Duration::from_millis(2_100), "{pause:?}");
    assert!(pause <= Duration::from_millis(4_030), "{pause:?}");
}

#[test]
fn a_change_that_is_not_made_anew_after_glare_leaves_nothing_behind() {
    let mut net = Net::pair(19);
    let (alice, bob) = net.call();
    let now = net.now;
    net.endpoint(0).reinvite(now, alice, vec![], sdp()).unwrap();
    net.endpoint(1).reinvite(now, bob, vec![], sdp()).unwrap();
    // The peer changes it twice within the pause: only one change of ours is withdrawn.
    for _ in 0..2 {
        let call = loop {
            if let Event::Reinvite { call, .. } = net.event(0) {
                break call;
            }
        };
        let now = net.now;
        net.endpoint(0).accept_reinvite(now, call, vec![], sdp()).unwrap();
        net.run(50);
        let now = net.now;
        net.endpoint(1).reinvite(now, bob, vec![], sdp()).unwrap();
    }
    net.run(100);
    let told = net.peers[0].events.iter();
    let rejected = told.filter(|e| matches!(e, Event::ReinviteRejected { .. })).count();
    assert_eq!(rejected, 0, "the first was told, and no other");
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn a_change_asked_for_before_the_ack_goes_out_after_it() {
    let mut net = Net::pair(23);
    let alice = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    net.endpoint(1).reinvite(now, bob, vec![("X-Early".into(), "yes".into())], sdp()).unwrap();
    assert_eq!(net.count("INVITE sip:alice"), 0);
    assert!(matches!(net.event(0), Event::Answered { .. }));
    let Event::Reinvite { call, request } = net.event(0) else { panic!() };
    assert_eq!((call, request.header_named("X-Early")), (alice, Some("yes")));
    let ladder = net.ladder();
    let ack = ladder.iter().position(|m| m.starts_with("ACK"));
    assert!(ack < ladder.iter().position(|m| m.starts_with("INVITE sip:alice")), "{ladder:?}");
    let now = net.now;
    net.endpoint(0).accept_reinvite(now, alice, vec![], sdp()).unwrap();
    assert!(matches!(net.event(1), Event::Confirmed { .. }));
    assert!(matches!(net.event(1), Event::ReinviteAccepted { .. }));
}

#[test]
fn a_cancel_that_comes_after_the_200_is_answered_with_the_same_tag() {
    let mut net = Net::pair(24);
    net.call();
    let invite = net.sent("INVITE");
    let cancel = invite.replace(" INVITE", " CANCEL").replace("INVITE sip", "CANCEL sip");
    let cancel =
        format!("{}\r\nContent-Length: 0\r\n\r\n", cancel.split("\r\nContact").next().unwrap());
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &cancel);
    let (.., last) = net.log.last().unwrap();
    let answer = String::from_utf8_lossy(last).into_owned();
    assert!(answer.starts_with("SIP/2.0 200") && header(&answer, "CSeq").ends_with("CANCEL"));
    let answers = net.log.iter().map(|(.., data)| String::from_utf8_lossy(data).into_owned());
    let ok = answers.into_iter().find(|m| m.starts_with("SIP/2.0 200")).unwrap();
    assert_eq!(header(&answer, "To"), header(&ok, "To"));
}
