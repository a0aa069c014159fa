//! When the peer has yet to hear of something: the steps of W3C WebRTC §4.7.3, one by one.

use std::sync::Arc;
use tiny_sdp::attribute::Msid;
use tiny_sdp::{
    BundlePolicy, Config, Direction, LocalCodec, LocalData, LocalMedia, LocalRtp, LocalSession,
    MediaKind, Negotiator, Rejection, TransceiverId, Transceivers,
};

fn side(id: u64) -> Transceivers {
    let mut session = LocalSession::new("192.0.2.1", Vec::new());
    session.bundle = BundlePolicy::MaxBundle;
    Transceivers::new(Negotiator::new(Arc::new(Config::default()), id, 1), session)
}

fn audio(stream: &str) -> LocalMedia {
    let mut media = LocalMedia::audio(4000, vec![LocalCodec::pcmu()]);
    let msids = vec![Msid { id: stream.to_owned(), appdata: None }];
    media.rtp = Some(Box::new(LocalRtp { msids, ..LocalRtp::default() }));
    media
}

fn exchange(a: &mut Transceivers, b: &mut Transceivers) {
    let offer = a.offer().unwrap();
    let answer = b.answer(offer.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{offer}"));
    a.accept_answer(answer.sdp.as_bytes()).unwrap();
}

/// Two that send each other sound.
fn call() -> (Transceivers, TransceiverId, Transceivers, TransceiverId) {
    let (mut a, mut b) = (side(1), side(2));
    let ours = a.add_track(audio("a"));
    let theirs = b.add_track(audio("b"));
    exchange(&mut a, &mut b);
    assert!(!a.negotiation_needed() && !b.negotiation_needed());
    (a, ours, b, theirs)
}

#[test]
fn a_session_without_anything_needs_none() {
    assert!(!side(1).negotiation_needed());
}

#[test]
fn a_new_transceiver_and_the_first_data_channels_are_to_be_told() {
    let (mut a, _, mut b, _) = call();
    a.add(audio("a"), Direction::SendRecv);
    assert!(a.negotiation_needed());
    b.receive(audio("b"));
    exchange(&mut a, &mut b);
    assert!(!a.negotiation_needed());
    let data = LocalMedia::data_channel(4000, LocalData::default());
    let id = a.add_data(data.clone());
    assert!(a.negotiation_needed());
    b.receive(data.clone());
    exchange(&mut a, &mut b);
    assert!(!a.negotiation_needed() && !b.negotiation_needed());
    // A further channel is made over the association there is.
    assert_eq!(a.add_data(data), id);
    assert!(!a.negotiation_needed());
}

#[test]
fn a_changed_direction_is_to_be_told_by_offerer_and_answerer() {
    let (mut a, ours, mut b, theirs) = call();
    a.set_direction(ours, Direction::SendOnly);
    assert!(a.negotiation_needed());
    a.set_direction(ours, Direction::SendRecv);
    assert!(!a.negotiation_needed());
    b.set_direction(theirs, Direction::Inactive);
    assert!(b.negotiation_needed());
    exchange(&mut b, &mut a);
    assert!(!b.negotiation_needed());
    assert_eq!(a.get(ours).unwrap().current_direction(), Some(Direction::Inactive));
    // Alice still wishes both ways, and said as much as Bob allows; but her streams are not said.
    assert!(a.negotiation_needed());
    a.set_direction(ours, Direction::RecvOnly);
    assert!(!a.negotiation_needed());
}

#[test]
fn what_the_peer_declined_is_not_asked_again() {
    let (mut a, mut b) = (side(1), side(2));
    let ours = a.add_track(audio("a"));
    b.receive(audio("b"));
    exchange(&mut a, &mut b);
    assert_eq!(a.get(ours).unwrap().current_direction(), Some(Direction::SendOnly));
    assert!(!a.negotiation_needed() && !b.negotiation_needed());
    // The track that meets it later is news.
    let track = b.add_track(audio("b"));
    assert_eq!((b.iter().count(), b.get(track).unwrap().direction()), (1, Direction::SendRecv));
    assert!(b.negotiation_needed());
    exchange(&mut b, &mut a);
    assert_eq!(a.get(ours).unwrap().current_direction(), Some(Direction::SendRecv));
}

#[test]
fn the_streams_of_a_track_are_to_be_told() {
    let (mut a, ours, mut b, _) = call();
    a.media_mut(ours).unwrap().rtp.as_mut().unwrap().msids[0].id = "other".to_owned();
    assert!(a.negotiation_needed());
    exchange(&mut a, &mut b);
    assert!(!a.negotiation_needed());
    a.remove_track(ours);
    assert!(a.negotiation_needed());
}

#[test]
fn a_stop_is_to_be_told_until_both_know() {
    let (mut a, ours, mut b, theirs) = call();
    a.add(audio("a"), Direction::SendRecv);
    b.receive(audio("b"));
    exchange(&mut a, &mut b);
    a.stop(ours);
    assert!(a.negotiation_needed() && a.get(ours).unwrap().is_stopped());
    assert!(a.media_mut(ours).is_none());
    exchange(&mut a, &mut b);
    assert!(!a.negotiation_needed() && !b.negotiation_needed());
    assert!(b.get(theirs).unwrap().is_stopped());
    // One that was never offered is gone at once.
    let never = a.add(audio("a"), Direction::SendRecv);
    a.stop(never);
    assert!(!a.negotiation_needed());
}

#[test]
fn nothing_is_needed_while_an_offer_waits_and_all_is_after_a_refusal() {
    let (mut a, _, mut b, _) = call();
    a.restart_ice();
    assert!(a.negotiation_needed());
    a.offer().unwrap();
    assert!(!a.negotiation_needed());
    a.rollback();
    assert!(a.negotiation_needed());
    exchange(&mut a, &mut b);
    assert!(!a.negotiation_needed());
    // What is wished while the offer waits comes after it.
    let offer = a.offer().unwrap();
    a.add(audio("a"), Direction::SendRecv);
    let answer = b.answer(offer.as_bytes()).unwrap();
    a.accept_answer(answer.sdp.as_bytes()).unwrap();
    assert!(a.negotiation_needed());
}

#[test]
fn a_kind_that_nothing_receives_is_rejected_and_stops() {
    let (mut a, _, mut b, _) = call();
    let vp8 = LocalCodec::new("VP8", 90_000);
    let video = a.add(LocalMedia::new(MediaKind::Video, 4002, vec![vp8]), Direction::SendRecv);
    let offer = a.offer().unwrap();
    let answer = b.answer(offer.as_bytes()).unwrap();
    assert_eq!(answer.session.media[1].rejection, Some(Rejection::NoLocalMedia));
    a.accept_answer(answer.sdp.as_bytes()).unwrap();
    assert!(a.get(video).unwrap().is_stopped() && !a.negotiation_needed());
}

#[test]
fn an_offer_that_only_sends_meets_no_track_of_ours() {
    let (mut a, mut b) = (side(1), side(2));
    a.add(audio("a"), Direction::SendOnly);
    let track = b.add_track(audio("b"));
    b.receive(audio("b"));
    exchange(&mut a, &mut b);
    // Bob's track has no line yet; what Alice sends is received by another transceiver.
    assert_eq!(b.iter().count(), 2);
    assert!(b.negotiation_needed() && b.get(track).unwrap().mid().is_none());
    exchange(&mut b, &mut a);
    assert!(b.get(track).unwrap().mid().is_none() && b.get(track).unwrap().is_stopped());
}
