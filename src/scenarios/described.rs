//! Data channels that descriptions set up (RFC 8864) within calls: who asks for one, what becomes of it when
//! the peer's offer comes in between or refuses, and who hears that one is closed.

use super::village::{Phone, Village};
use crate::media::DataWord;
use crate::{Call, CallEvent, Config, Srtp};
use tiny_sdp::DataChannel;

fn two() -> (Village, Phone, Phone, Call, Call) {
    let config = || Config { srtp: Srtp::Dtls, offer_data: true, ..Config::default() };
    let mut village = Village::new(53);
    let (a, b) = ("sip:alice@192.0.2.1", "sip:bob@192.0.2.2");
    let alice = village.phone("alice", "192.0.2.1", a, config(), |account| account);
    let mut bob = village.phone("bob", "192.0.2.2", b, config(), |account| account);
    let (call, peer) = village.connect(&alice, &mut bob, b);
    (village, alice, bob, call, peer)
}

fn describe(stream: u16) -> DataWord {
    let label = format!("of {stream}").into();
    DataWord::Describe(Box::new(DataChannel { stream, label, ..DataChannel::default() }))
}

/// The streams that media was told of, and which of them are ours.
fn told(phone: &Phone) -> (Vec<u16>, Vec<u16>) {
    let agreement = phone.channels().agreement;
    (agreement.channels.iter().map(|c| c.stream).collect(), agreement.ours)
}

fn needed(call: &Call) -> usize {
    let mut events = call.inner.events.try_lock().unwrap();
    let all = std::iter::from_fn(|| events.try_recv().ok());
    all.filter(|event| matches!(event, CallEvent::NegotiationNeeded)).count()
}

#[test]
fn channels_that_both_sides_set_up_at_once_are_there_after_a_491() {
    let (mut village, alice, bob, call, peer) = two();
    assert_eq!(told(&alice), (vec![], vec![]));
    village.channels_say(&alice, describe(1));
    village.channels_say(&bob, describe(0));
    village.run(10_000);
    assert!(!village.wire("SIP/2.0 491", "INVITE").is_empty(), "they did not meet");
    let sorted = |(mut all, ours): (Vec<u16>, Vec<u16>)| {
        all.sort_unstable();
        (all, ours)
    };
    assert_eq!(sorted(told(&alice)), (vec![0, 1], vec![1]));
    assert_eq!(sorted(told(&bob)), (vec![0, 1], vec![0]));
    assert_eq!((needed(&call), needed(&peer)), (0, 0));
}

#[test]
fn a_channel_whose_offer_is_refused_is_given_up_and_those_there_are_stay() {
    let (mut village, alice, bob, call, _peer) = two();
    village.channels_say(&alice, describe(1));
    village.run(1_000);
    village.refuse_offers(bob.node);
    village.channels_say(&alice, describe(3));
    village.run(1_000);
    assert!(village.last("INVITE", "INVITE").contains("a=dcmap:3"));
    assert_eq!((told(&alice), alice.channels().declined), ((vec![1], vec![1]), vec![3]));
    village.edit(bob.node, |data| data);
    village.drive(call.renegotiate()).unwrap();
    village.run(100);
    let offer = village.last("INVITE", "INVITE");
    assert!(offer.contains("a=dcmap:1") && !offer.contains("a=dcmap:3"), "{offer}");
    assert!(alice.channels().declined.is_empty());
    assert_eq!(needed(&call), 0);
}

#[test]
fn the_end_of_a_channel_is_told_when_the_application_says_so() {
    let (mut village, alice, bob, call, peer) = two();
    village.channels_say(&alice, describe(1));
    village.run(1_000);
    assert_eq!(told(&bob), (vec![1], vec![]));
    let offers = village.wire("INVITE", "INVITE").len();
    village.channels_say(&bob, DataWord::Gone(1));
    village.run(1_000);
    assert_eq!((needed(&peer), needed(&call)), (1, 0));
    assert_eq!(village.wire("INVITE", "INVITE").len(), offers, "nothing goes out by itself");
    village.drive(peer.renegotiate()).unwrap();
    village.run(100);
    assert!(!village.last("INVITE", "INVITE").contains("a=dcmap"));
    // Whose end is still open hears of it, and closes it.
    assert_eq!((told(&alice).0.len(), told(&bob).0.len()), (0, 0));
    assert!(!village.drive(peer.negotiation_needed()).unwrap());
}
