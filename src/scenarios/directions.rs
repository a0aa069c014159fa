//! Directions that the application wishes, and when it is told that the peer has yet to hear of one (W3C
//! WebRTC §4.7.3): what is said, in which order, and what media does.

use super::village::{Phone, Village};
use crate::{Call, CallEvent, CallState, Config, Direction, Error, Ice, MediaKind, Party};
use tiny_media::Direction as Flow;

const TO_ALICE: &str = "sip:alice@192.0.2.1";
const TO_BOB: &str = "sip:bob@192.0.2.2";

fn two_with(config: Config) -> (Village, Phone, Phone) {
    let mut village = Village::new(47);
    let alice = village.phone("alice", "192.0.2.1", TO_ALICE, config.clone(), |account| account);
    let bob = village.phone("bob", "192.0.2.2", TO_BOB, config, |account| account);
    (village, alice, bob)
}

fn two() -> (Village, Phone, Phone) {
    two_with(Config::default())
}

/// How often the application was told since the last look.
fn asked(call: &Call) -> usize {
    let mut events = call.inner.events.try_lock().unwrap();
    let all = std::iter::from_fn(|| events.try_recv().ok());
    all.filter(|event| matches!(event, CallEvent::NegotiationNeeded)).count()
}

/// What a description says of the stream.
fn way(message: &str) -> Direction {
    let said = |l: &str| Direction::from_name(l.strip_prefix("a=")?);
    message.lines().find_map(said).unwrap_or_default()
}

/// The last offer and answer.
fn said(village: &Village) -> (Direction, Direction) {
    let (offer, answer) = (village.last("INVITE", "INVITE"), village.last("SIP/2.0 200", "INVITE"));
    (way(&offer), way(&answer))
}

/// What is wished and what is done.
fn sound(village: &mut Village, call: &Call) -> (Direction, Option<Direction>) {
    let all = village.drive(call.transceivers()).unwrap();
    assert_eq!((all.len(), &all[0].kind, all[0].stopped), (1, &MediaKind::Audio, false));
    (all[0].direction, all[0].current_direction)
}

fn flow(phone: &Phone) -> Flow {
    phone.media()[0].direction
}

fn wish(village: &mut Village, call: &Call, direction: Direction) {
    village.drive(call.set_direction(direction)).unwrap();
}

#[test]
fn a_wish_is_told_of_once_and_the_peer_hears_it_when_the_application_says_so() {
    let (mut village, alice, mut bob) = two();
    let (call, peer) = village.connect(&alice, &mut bob, TO_BOB);
    assert_eq!((asked(&call), asked(&peer)), (0, 0), "a new call needs nothing");
    let both = (Direction::SendRecv, Some(Direction::SendRecv));
    assert_eq!((sound(&mut village, &call), flow(&alice)), (both, Flow::SendRecv));

    wish(&mut village, &call, Direction::RecvOnly);
    wish(&mut village, &call, Direction::RecvOnly);
    wish(&mut village, &call, Direction::Inactive);
    wish(&mut village, &call, Direction::RecvOnly);
    assert_eq!(asked(&call), 1);
    assert!(village.drive(call.negotiation_needed()).unwrap());
    // A wish is no more than that.
    village.run(5_000);
    assert_eq!((village.wire("INVITE", "INVITE").len(), flow(&alice)), (1, Flow::SendRecv));
    assert_eq!(sound(&mut village, &call), (Direction::RecvOnly, Some(Direction::SendRecv)));

    village.drive(call.renegotiate()).unwrap();
    village.run(100);
    assert_eq!(said(&village), (Direction::RecvOnly, Direction::SendOnly));
    assert_eq!((flow(&alice), flow(&bob)), (Flow::RecvOnly, Flow::SendOnly));
    assert_eq!(sound(&mut village, &call), (Direction::RecvOnly, Some(Direction::RecvOnly)));
    // The peer still wishes both ways, and has what of it can be had.
    assert_eq!(sound(&mut village, &peer), (Direction::SendRecv, Some(Direction::SendOnly)));
    assert!(!village.drive(call.negotiation_needed()).unwrap());
    assert!(!village.drive(peer.negotiation_needed()).unwrap());
    assert_eq!((asked(&call), asked(&peer)), (0, 0));

    // A wish that is withdrawn is none, and the next one is told of again.
    wish(&mut village, &call, Direction::SendRecv);
    wish(&mut village, &call, Direction::RecvOnly);
    assert!(!village.drive(call.negotiation_needed()).unwrap());
    wish(&mut village, &call, Direction::SendRecv);
    assert_eq!(asked(&call), 2);
    village.drive(call.renegotiate()).unwrap();
    village.run(100);
    assert_eq!((flow(&alice), flow(&bob)), (Flow::SendRecv, Flow::SendRecv));
    village.drive(call.hangup());
    let ended = village.drive(call.set_direction(Direction::Inactive));
    assert!(matches!(ended, Err(Error::Ended(_))), "{ended:?}");
    village.run(40_000);
    village.assert_idle();
}

// RFC 3264 §8.4: sendrecv is held as sendonly, recvonly as inactive.
#[test]
fn a_hold_keeps_what_is_wished_and_needs_no_word_of_the_application() {
    let (mut village, alice, mut bob) = two();
    let (call, peer) = village.connect(&alice, &mut bob, TO_BOB);
    wish(&mut village, &call, Direction::RecvOnly);
    village.drive(call.renegotiate()).unwrap();
    assert_eq!(asked(&call), 1);
    village.drive(call.hold()).unwrap();
    village.run(100);
    assert_eq!(said(&village), (Direction::Inactive, Direction::Inactive));
    assert_eq!(sound(&mut village, &call), (Direction::Inactive, Some(Direction::Inactive)));
    village.drive(call.resume()).unwrap();
    village.run(100);
    assert_eq!(said(&village), (Direction::RecvOnly, Direction::SendOnly));
    assert_eq!((asked(&call), asked(&peer), flow(&alice)), (0, 0, Flow::RecvOnly));
    // While it is held by the other side, too.
    wish(&mut village, &call, Direction::SendRecv);
    village.drive(peer.hold()).unwrap();
    village.run(100);
    assert_eq!(said(&village), (Direction::SendOnly, Direction::RecvOnly));
    assert!(!village.drive(call.negotiation_needed()).unwrap(), "the answer has said it");
    village.drive(peer.resume()).unwrap();
    village.run(100);
    assert_eq!((flow(&alice), flow(&bob)), (Flow::SendRecv, Flow::SendRecv));
}

#[test]
fn what_is_wished_while_an_offer_is_under_way_is_told_of_after_it() {
    let (mut village, alice, mut bob) = two();
    let (call, _peer) = village.connect(&alice, &mut bob, TO_BOB);
    let wishes = async {
        let (held, wished) = tokio::join!(call.hold(), call.set_direction(Direction::Inactive));
        held.and(wished)
    };
    // It is held as it was wished when the offer went out.
    village.drive(wishes).unwrap();
    village.run(100);
    assert_eq!(said(&village), (Direction::SendOnly, Direction::RecvOnly));
    assert_eq!(asked(&call), 1);
    village.drive(call.renegotiate()).unwrap();
    village.run(100);
    assert_eq!((said(&village).0, asked(&call)), (Direction::Inactive, 0));
}

#[test]
fn the_same_description_once_more_behind_a_hold_does_not_end_it() {
    let (mut village, alice, mut bob) = two();
    let (call, peer) = village.connect(&alice, &mut bob, TO_BOB);
    let both = async { tokio::join!(call.hold(), call.renegotiate()) };
    let (held, again) = village.drive(both);
    held.and(again).unwrap();
    village.run(100);
    assert_eq!(village.wire("INVITE", "INVITE").len(), 3);
    assert_eq!(said(&village), (Direction::SendOnly, Direction::RecvOnly));
    let CallState::Established { held, .. } = call.state() else { panic!() };
    let CallState::Established { held_by_peer, .. } = peer.state() else { panic!() };
    assert!(held && held_by_peer);
}

#[test]
fn wishes_of_both_sides_at_once_meet_after_a_491() {
    let (mut village, alice, mut bob) = two();
    let (call, peer) = village.connect(&alice, &mut bob, TO_BOB);
    wish(&mut village, &call, Direction::SendOnly);
    wish(&mut village, &peer, Direction::RecvOnly);
    let both = async { tokio::join!(call.renegotiate(), peer.renegotiate()) };
    let (ours, theirs) = village.drive(both);
    ours.and(theirs).unwrap();
    village.run(100);
    assert!(!village.wire("SIP/2.0 491", "INVITE").is_empty(), "they did not meet");
    assert_eq!((flow(&alice), flow(&bob)), (Flow::SendOnly, Flow::RecvOnly));
    assert_eq!(sound(&mut village, &call).1, Some(Direction::SendOnly));
    assert_eq!(sound(&mut village, &peer).1, Some(Direction::RecvOnly));
    assert!(!village.drive(call.negotiation_needed()).unwrap());
    assert!(!village.drive(peer.negotiation_needed()).unwrap());
}

#[test]
fn a_direction_stands_in_the_first_offer_and_in_the_answer() {
    let (mut village, alice, mut bob) = two();
    let listens = alice.account.call(TO_BOB).direction(Direction::RecvOnly);
    let call = village.place(&alice, listens);
    village.run(100);
    let incoming = bob.incoming();
    let peer = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    assert_eq!(said(&village), (Direction::RecvOnly, Direction::SendOnly));
    assert_eq!((flow(&alice), flow(&bob)), (Flow::RecvOnly, Flow::SendOnly));
    village.run(100);
    assert_eq!((asked(&call), asked(&peer)), (0, 0));
    village.drive(call.hangup());
    village.run(40_000);

    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let incoming = bob.incoming();
    wish(&mut village, incoming.call(), Direction::SendOnly);
    let peer = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(100);
    assert_eq!(said(&village), (Direction::SendRecv, Direction::SendOnly));
    assert_eq!((flow(&alice), flow(&bob)), (Flow::RecvOnly, Flow::SendOnly));
    assert_eq!((asked(&call), asked(&peer)), (0, 0));
}

#[test]
fn a_wish_before_the_answer_is_told_of_once_the_call_is_up() {
    let (mut village, alice, mut bob) = two();
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    wish(&mut village, &call, Direction::RecvOnly);
    assert!(!village.drive(call.negotiation_needed()).unwrap());
    assert_eq!(asked(&call), 0);
    let incoming = bob.incoming();
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    assert_eq!(asked(&call), 1);
}

#[test]
fn a_refused_offer_leaves_all_as_it_was_and_does_not_ask_for_itself_again() {
    let (mut village, alice, mut bob) = two();
    let (call, _peer) = village.connect(&alice, &mut bob, TO_BOB);
    wish(&mut village, &call, Direction::Inactive);
    assert_eq!(asked(&call), 1);
    village.refuse_offers(bob.node);
    let refused = village.drive(call.renegotiate());
    assert!(matches!(refused, Err(Error::Peer { status: 488, .. })), "{refused:?}");
    village.run(1_000);
    assert_eq!((asked(&call), flow(&alice)), (0, Flow::SendRecv));
    assert!(village.drive(call.negotiation_needed()).unwrap());
    assert_eq!(sound(&mut village, &call), (Direction::Inactive, Some(Direction::SendRecv)));
}

// W3C restartIce(): "negotiation needed", and new credentials in the offer.
#[test]
fn a_restart_of_ice_that_is_wished_waits_for_its_offer() {
    let (mut village, alice, mut bob) = two_with(Config { ice: Ice::Full, ..Config::default() });
    let call = village.call(&alice, TO_BOB);
    village.run(1_000);
    let incoming = bob.incoming();
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(500);
    let ufrag = |village: &Village| {
        let invite = village.last("INVITE", "INVITE");
        invite.lines().find_map(|l| l.strip_prefix("a=ice-ufrag:")).unwrap().to_owned()
    };
    let before = ufrag(&village);
    assert_eq!(asked(&call), 0);
    village.drive(call.restart_ice()).unwrap();
    village.run(1_000);
    assert_eq!((asked(&call), village.wire("INVITE", "INVITE").len()), (1, 1));
    village.drive(call.renegotiate()).unwrap();
    village.run(500);
    assert_ne!(ufrag(&village), before);
    assert_eq!(ufrag(&village), alice.agent(|agent| agent.ufrag()));
    assert!(!village.drive(call.negotiation_needed()).unwrap());
    assert_eq!(asked(&call), 0);

    let (mut village, alice, mut bob) = two();
    let (call, _peer) = village.connect(&alice, &mut bob, TO_BOB);
    let refused = village.drive(call.restart_ice()).unwrap_err();
    assert_eq!(refused.to_string(), "the call does without ICE");
}

#[test]
fn a_held_call_is_still_told_as_held_to_the_application_of_the_peer() {
    let (mut village, alice, mut bob) = two();
    let (call, peer) = village.connect(&alice, &mut bob, TO_BOB);
    wish(&mut village, &call, Direction::SendOnly);
    village.drive(call.renegotiate()).unwrap();
    village.run(100);
    let mut events = peer.inner.events.try_lock().unwrap();
    let mut all = std::iter::from_fn(|| events.try_recv().ok());
    assert!(all.any(|event| matches!(event, CallEvent::Held { by: Party::Remote })));
    // It is not: what it says is heard.
    assert_eq!((flow(&alice), flow(&bob)), (Flow::SendOnly, Flow::RecvOnly));
}
