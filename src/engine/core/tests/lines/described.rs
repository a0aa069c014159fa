//! Data channels that descriptions set up (RFC 8864), and header extensions that need `a=rid`.

use super::profile::chromium;
use super::*;
use tiny_sdp::DataChannel;

fn two() -> (Side, Side) {
    let sides = [browser(1, "192.0.2.1", "alice"), browser(2, "192.0.2.2", "bobby")];
    let [a, b] = sides.map(|mut side| {
        side.call.described_mut().limit(8, 20);
        side
    });
    (a, b)
}

fn channel(label: &'static str) -> DataChannel {
    DataChannel { label: label.into(), ..DataChannel::default() }
}

fn maps(text: &str) -> Vec<&str> {
    text.lines().filter(|l| l.starts_with("a=dcmap") || l.starts_with("a=dcsa")).collect()
}

/// Streams in force, and which of them are ours.
fn streams(side: &Side) -> (Vec<u16>, Vec<u16>) {
    let data = side.call.data().expect("data channels");
    (data.channels.iter().map(|c| c.stream).collect(), data.ours)
}

/// With these channels in the first offer.
fn up(labels: &[&'static str]) -> (Side, Side) {
    let (mut a, mut b) = two();
    a.call.offer_data(true);
    labels.iter().for_each(|label| a.call.described_mut().want_first(channel(label)));
    exchange(&mut a, &mut b);
    (a, b)
}

// §6.1, §6.3, §6.4: who offers will be the server of DTLS.
#[test]
fn channels_of_a_first_offer_have_odd_streams_and_stay_over_later_exchanges() {
    let (mut a, mut b) = two();
    a.call.offer_data(true);
    let mut floor = channel("floor");
    floor.attributes = vec!["floorctrl:c-s".into()];
    a.call.described_mut().want_first(floor);
    a.call.described_mut().want_first(channel("chat"));
    let (offer, answer) = exchange(&mut a, &mut b);
    let said = ["a=dcmap:1 label=\"floor\"", "a=dcsa:1 floorctrl:c-s", "a=dcmap:3 label=\"chat\""];
    assert_eq!(maps(&offer), said, "{offer}");
    assert_eq!(maps(&answer), [said[0], said[2]], "{answer}");
    assert_eq!((streams(&a), streams(&b)), ((vec![1, 3], vec![1, 3]), (vec![1, 3], vec![])));
    assert_eq!(b.call.data().unwrap().channels[0].attributes, ["floorctrl:c-s"]);
    assert!(a.call.data().unwrap().channels[0].attributes.is_empty());
    // Whoever offers next has them, with what is its own.
    let held = b.try_offer(Direction::SendOnly).unwrap();
    assert_eq!(maps(&held), [said[0], said[2]], "{held}");
    let answer = a.answer(&held);
    b.accept(&answer);
    assert_eq!(maps(&answer), said, "{answer}");
    assert_eq!((streams(&a), streams(&b)), ((vec![1, 3], vec![1, 3]), (vec![1, 3], vec![])));
    assert_eq!(b.call.data().unwrap().channels[0].attributes, ["floorctrl:c-s"]);
    assert!(!a.call.described().has_news() && !b.call.described().has_news());
}

// §6.6.1
#[test]
fn a_closed_channel_is_in_no_later_description_of_either_side() {
    let (mut a, mut b) = up(&["floor", "chat"]);
    a.call.described_mut().gone(1);
    assert!(a.call.described().has_news());
    // The peer does not know, and asks for something else.
    let offer = b.offer();
    assert_eq!(maps(&offer).len(), 2, "{offer}");
    let answer = a.answer(&offer);
    b.accept(&answer);
    assert_eq!(maps(&answer), ["a=dcmap:3 label=\"chat\""], "{answer}");
    assert_eq!((streams(&a).0, streams(&b).0), (vec![3], vec![3]));
    assert!(!a.call.described().has_news());
    // By an offer of our own, too.
    b.call.described_mut().gone(3);
    let (offer, answer) = exchange(&mut b, &mut a);
    assert!(maps(&offer).is_empty() && maps(&answer).is_empty(), "{offer}{answer}");
    assert_eq!((streams(&a).0.len(), streams(&b).0.len()), (0, 0));
}

// §6.5
#[test]
fn what_is_not_taken_is_told_once_and_not_asked_again() {
    let (mut a, mut b) = two();
    b.call.described_mut().limit(2, 5);
    a.call.offer_data(true);
    for label in ["one", "beyond", "two", "three"] {
        a.call.described_mut().want_first(channel(label));
    }
    let (_, answer) = exchange(&mut a, &mut b);
    assert_eq!(maps(&answer), ["a=dcmap:1 label=\"one\"", "a=dcmap:5 label=\"two\""], "{answer}");
    assert_eq!(a.call.described_mut().take_declined(), [3, 7]);
    assert!(a.call.described_mut().take_declined().is_empty());
    assert_eq!(maps(&a.offer()).len(), 2);
    a.call.rollback();
    // A later one that is refused with its offer is not asked again either; one that met another is.
    a.call.described_mut().want(DataChannel { stream: 9, ..channel("late") });
    assert_eq!(maps(&a.offer()).len(), 3);
    a.call.rollback();
    assert_eq!(maps(&a.offer()).len(), 3);
    a.call.rollback();
    a.call.described_mut().give_up();
    assert_eq!(a.call.described_mut().take_declined(), [9]);
    assert_eq!(maps(&a.offer()).len(), 2);
}

#[test]
fn what_waits_for_our_offer_outlives_an_offer_of_the_peer() {
    let (mut a, mut b) = up(&["one"]);
    a.call.described_mut().want(DataChannel { stream: 3, ..channel("mine") });
    b.call.described_mut().want(DataChannel { stream: 0, ..channel("yours") });
    let (_, answer) = exchange(&mut b, &mut a);
    assert_eq!(maps(&answer).len(), 2, "{answer}");
    assert_eq!(streams(&a), (vec![1, 0], vec![1]));
    let (offer, _) = exchange(&mut a, &mut b);
    assert_eq!(maps(&offer).len(), 3, "{offer}");
    assert_eq!((streams(&a).1, streams(&b).1), (vec![1, 3], vec![0]));
}

// §6.1: even streams are the client's; answers are active otherwise.
#[test]
fn who_offers_even_streams_and_either_role_is_left_to_be_the_client() {
    let with = |stream: u16| {
        let line = format!("a=sctp-port:5001\r\na=dcmap:{stream} label=\"t\"\r\n");
        chromium().replace("a=sctp-port:5001\r\n", &line)
    };
    for (stream, setup) in [(0, "a=setup:passive"), (1, "a=setup:active")] {
        let (_, mut b) = two();
        let (answer, _) = b.try_answer(&with(stream)).unwrap();
        assert!(has(&answer, setup), "{answer}");
        assert_eq!(streams(&b), (vec![stream], vec![]));
        // The role that there is stays.
        let (again, _) = b.try_answer(&with(stream)).unwrap();
        assert!(has(&again, setup), "{again}");
        assert_eq!(b.association(), 1);
    }
}

// RFC 8829 §5.3.1, RFC 8852 §3.1: without a=rid there is nothing that these could name.
#[test]
fn extensions_that_name_encodings_are_not_taken_for_sound() {
    let rid = "a=extmap:5 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
               a=extmap:6 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\na=sendrecv\r\n";
    let with_rids = "a=rid:1 send\r\na=rid:2 send\r\na=simulcast:send 1;2\r\na=rtcp-rsize\r\n";
    for rids in ["a=rtcp-rsize\r\n", with_rids] {
        let (_, mut b) = two();
        let offer = chromium().replacen("a=sendrecv\r\n", rid, 1);
        let offer = offer.replacen("a=rtcp-rsize\r\n", rids, 1);
        let (answer, session) = b.try_answer(&offer).unwrap();
        assert!(!answer.contains("rtp-stream-id") && !answer.contains("a=rid"), "{answer}");
        assert!(!answer.contains("simulcast"), "{answer}");
        let agreed = session.audio().unwrap().rtp.as_ref().unwrap();
        assert_eq!(agreed.extensions.len(), 1, "{agreed:?}");
        assert!(agreed.recv_rids.is_empty() && agreed.send_rids.is_empty());
        assert!(!b.offer().contains("rtp-stream-id"));
    }
}

// RFC 8831 §6.2
#[test]
fn odd_streams_come_to_an_end_and_do_not_begin_anew() {
    let mut described = crate::engine::core::described::Described::default();
    let last = crate::engine::core::described::MOST_ODD;
    (0..last + 2).for_each(|_| described.want_first(channel("many")));
    let mut data = tiny_sdp::LocalData::default();
    described.offer(&mut data);
    let streams: Vec<u16> = data.channels.iter().map(|c| c.stream).collect();
    assert_eq!((streams[0], streams[last - 1]), (1, 65_533));
    assert_eq!(streams[last..], [65_535, 65_535]);
}
