//! The browser profile as an application sees it: two agents on real sockets of the loopback, with
//! ICE, DTLS-SRTP and one port for all.
#![cfg(feature = "dtls")]

mod common;

use common::{account, connect, incoming, on_loopback, soon, told, uri, voice};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tiny_media::PcmReader;
use tiny_media::tone::strongest_tone;
use tiny_ua::data::Reliability;
use tiny_ua::{
    Audio, Call, CallEvent, Config, DataChannel, DataMessage, DescribedChannel, Direction, Srtp,
    Trace, TraceKind, TracePacket, UserAgent,
};
use tokio::time::sleep;

const RATE: u32 = 8000;

/// The descriptions that an agent sent and got.
#[derive(Default)]
struct Descriptions(Mutex<Vec<String>>);

impl Trace for Descriptions {
    fn packet(&self, packet: TracePacket<'_>) {
        let text = String::from_utf8_lossy(packet.data);
        if packet.kind == TraceKind::Sip
            && let Some(at) = text.find("\r\n\r\nv=0")
        {
            self.0.lock().unwrap().push(text[at + 4..].to_owned());
        }
    }
}

impl Descriptions {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

async fn agent(change: impl FnOnce(&mut Config)) -> UserAgent {
    on_loopback().webrtc(true).configure(change).build().await.unwrap()
}

/// Waits until nothing but this tone is heard for a quarter of a second.
async fn hears(reader: &mut PcmReader, hz: f64) {
    let mut block = vec![0; RATE as usize / 4];
    reader.read(&mut vec![0; reader.available()]);
    let listen = async {
        loop {
            while reader.available() < block.len() {
                sleep(Duration::from_millis(20)).await;
            }
            reader.read(&mut block);
            let tone = strongest_tone(&block, RATE);
            if tone.is_some_and(|t| (t.frequency - hz).abs() < 10.0 && t.purity > 0.9) {
                return;
            }
        }
    };
    soon(listen).await;
}

/// Waits until nothing is heard any more.
async fn hears_nothing(reader: &mut PcmReader) {
    let listen = async {
        loop {
            reader.read(&mut vec![0; reader.available()]);
            sleep(Duration::from_millis(300)).await;
            let mut block = vec![0; reader.available()];
            reader.read(&mut block);
            if block.iter().all(|sample| sample.unsigned_abs() < 64) {
                return;
            }
        }
    };
    soon(listen).await;
}

/// The way that media goes, and how it is encrypted: both are told, in whichever order.
async fn path_and_keys(call: &Call) -> (String, String) {
    let (mut path, mut keys) = (None, None);
    while path.is_none() || keys.is_none() {
        match soon(call.next_event()).await.expect("an event of the call") {
            CallEvent::IcePath { pair, .. } => path = Some(format!("{pair:?}")),
            CallEvent::Secured { srtp, .. } => keys = Some(srtp),
            CallEvent::Ended(end) => panic!("{end:?}"),
            _ => {}
        }
    }
    (path.unwrap_or_default(), keys.unwrap_or_default())
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|l| l == line)
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("{start} in {text}"))
}

struct Pair {
    left: UserAgent,
    _right: UserAgent,
    placed: Call,
    taken: Call,
    left_hears: PcmReader,
    right_hears: PcmReader,
    wire: Arc<Descriptions>,
}

/// A call that is up: the left says 500 Hz, the right 1200.
async fn call() -> Pair {
    let wire = Arc::new(Descriptions::default());
    let left = agent(|config| config.trace = Some(wire.clone())).await;
    let right = agent(|_| {}).await;
    let ((says, left_hears), (answers, right_hears)) = (voice(500.0, RATE), voice(1200.0, RATE));
    let call = account(&left, "alice").await.call(uri("bob", &right)).audio(says);
    let (placed, taken) = connect(call, &right, answers).await;
    Pair { left, _right: right, placed, taken, left_hears, right_hears, wire }
}

#[tokio::test]
async fn a_call_of_two_agents_like_browsers_is_heard_both_ways_over_hold_and_resume() {
    let mut pair = call().await;
    for call in [&pair.placed, &pair.taken] {
        let (_, keys) = path_and_keys(call).await;
        assert_eq!(keys, "dtls:AEAD_AES_128_GCM");
    }
    hears(&mut pair.left_hears, 1200.0).await;
    hears(&mut pair.right_hears, 500.0).await;
    let seen = pair.wire.take();
    let (offer, answer) = (&seen[0], seen.last().unwrap());
    assert!(offer.contains("UDP/TLS/RTP/SAVPF") && has(offer, "a=group:BUNDLE 0"), "{offer}");
    assert!(has(answer, "a=group:BUNDLE 0") && has(answer, "a=setup:active"), "{answer}");
    assert!(!pair.placed.ice().await.unwrap().remote.is_empty());

    for (holder, other) in [(&pair.placed, &pair.taken), (&pair.taken, &pair.placed)] {
        soon(holder.hold()).await.unwrap();
        told(other, |e| matches!(e, CallEvent::Held { .. }).then_some(())).await;
        soon(holder.resume()).await.unwrap();
        told(other, |e| matches!(e, CallEvent::Resumed { .. }).then_some(())).await;
    }
    hears(&mut pair.left_hears, 1200.0).await;
    hears(&mut pair.right_hears, 500.0).await;
    // Nothing of the transport was made anew.
    let later = pair.wire.take();
    assert_eq!(later.len(), 8, "{later:?}");
    for start in ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=tls-id", "a=mid"] {
        let (ours, theirs) = (line(offer, start), line(answer, start));
        for text in &later {
            assert!([ours, theirs].contains(&line(text, start)), "{start} in {text}");
        }
    }
    let stats = soon(pair.placed.hangup()).await.stats.unwrap();
    assert_eq!((stats.srtp_auth_failed, stats.srtp_replayed), (0, 0), "{stats:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn another_address_restarts_ice_and_keeps_the_keys() {
    let mut pair = call().await;
    path_and_keys(&pair.placed).await;
    hears(&mut pair.right_hears, 500.0).await;
    let before = pair.wire.take();
    pair.left.network_moved_to([127, 0, 0, 2].into()).await.unwrap();
    told(&pair.placed, |e| matches!(e, CallEvent::IcePath { .. }).then_some(())).await;
    hears(&mut pair.left_hears, 1200.0).await;
    hears(&mut pair.right_hears, 500.0).await;
    let after = pair.wire.take();
    for (old, new) in [(&before[0], &after[0]), (before.last().unwrap(), after.last().unwrap())] {
        assert_ne!(line(old, "a=ice-ufrag"), line(new, "a=ice-ufrag"));
        assert_ne!(line(old, "a=ice-pwd"), line(new, "a=ice-pwd"));
        assert_eq!(line(old, "a=tls-id"), line(new, "a=tls-id"));
        assert_eq!(line(old, "a=fingerprint"), line(new, "a=fingerprint"));
    }
    assert!(after[0].contains("127.0.0.2"), "{}", after[0]);
    soon(pair.placed.hangup()).await;
}

#[tokio::test]
async fn who_has_no_ice_is_refused_by_name_in_either_role() {
    let browser = agent(|_| {}).await;
    let plain = on_loopback().srtp(Srtp::Dtls).build().await.unwrap();
    let (alice, bob) = (account(&browser, "alice").await, account(&plain, "bob").await);
    let call = soon(bob.call(uri("someone", &browser)).audio(Audio::silent())).await.unwrap();
    let end = soon(call.ended()).await;
    assert_eq!(end.status, Some(488), "{end:?}");
    let warning = end.message.as_ref().and_then(|m| m.header_named("Warning")).unwrap_or_default();
    assert!(warning.contains("ICE: the peer does not use ICE"), "{warning}");

    let call = soon(alice.call(uri("someone", &plain)).audio(Audio::silent())).await.unwrap();
    let _taken = soon(incoming(&plain).await.answer(Audio::silent())).await.unwrap();
    let end = soon(call.ended()).await;
    assert!(end.failed && end.reason.contains("ICE: the peer does not use ICE"), "{end:?}");
}

/// Tells the peer what is wished, when the agent says that this is needed.
async fn negotiate(call: &Call, direction: Direction) {
    call.set_direction(direction).await.unwrap();
    told(call, |e| matches!(e, CallEvent::NegotiationNeeded).then_some(())).await;
    soon(call.renegotiate()).await.unwrap();
    assert!(!call.negotiation_needed().await.unwrap());
    assert_eq!(call.transceivers().await.unwrap()[0].direction, direction);
}

#[tokio::test]
async fn directions_that_are_wished_are_heard_at_both_ends() {
    let Pair { left, _right, placed, taken, mut left_hears, mut right_hears, wire } = call().await;
    hears(&mut left_hears, 1200.0).await;
    hears(&mut right_hears, 500.0).await;
    wire.take();
    negotiate(&placed, Direction::RecvOnly).await;
    hears_nothing(&mut right_hears).await;
    hears(&mut left_hears, 1200.0).await;
    let seen = wire.take();
    assert!(has(&seen[0], "a=recvonly") && has(&seen[1], "a=sendonly"), "{seen:?}");
    assert_eq!(line(&seen[0], "a=mid"), "a=mid:0");
    let sound = &placed.transceivers().await.unwrap()[0];
    assert_eq!((sound.mid.as_deref(), sound.stopped), (Some("0"), false));

    negotiate(&placed, Direction::SendOnly).await;
    hears_nothing(&mut left_hears).await;
    hears(&mut right_hears, 500.0).await;
    // The other side wishes less than that: nothing is left.
    negotiate(&taken, Direction::Inactive).await;
    hears_nothing(&mut right_hears).await;
    negotiate(&taken, Direction::SendRecv).await;
    negotiate(&placed, Direction::SendRecv).await;
    hears(&mut left_hears, 1200.0).await;
    hears(&mut right_hears, 500.0).await;
    soon(placed.hangup()).await;
    drop(left);
}

async fn channel(call: &Call) -> DataChannel {
    let of = |event| match event {
        CallEvent::DataChannel(channel) => Some(channel),
        _ => None,
    };
    told(call, of).await
}

async fn passes(from: &DataChannel, to: &DataChannel, text: &str) {
    from.send_text(text).await.unwrap();
    assert_eq!(soon(to.recv()).await, Some(DataMessage::Text(text.into())));
}

// RFC 8864
#[tokio::test]
async fn channels_that_descriptions_set_up_open_without_a_word_and_leave_them_when_they_close() {
    let wire = Arc::new(Descriptions::default());
    let left = agent(|config| config.trace = Some(wire.clone())).await;
    let right = agent(|config| config.data.max_label = 5).await;
    let floor = DescribedChannel::new("floor").protocol("bfcp").attribute("floorctrl:c-s");
    let call = account(&left, "alice").await.call(uri("bob", &right)).audio(Audio::silent());
    let call = call.data_channel(floor.ordered(false).max_retransmits(2));
    let call = call.data_channel(DescribedChannel::new("too long"));
    let (placed, taken) = connect(call, &right, Audio::silent()).await;
    let (ours, theirs) = (channel(&placed).await, channel(&taken).await);
    for channel in [&ours, &theirs] {
        assert_eq!((channel.label(), channel.protocol(), channel.id()), ("floor", "bfcp", 1));
        assert_eq!(channel.reliability(), Reliability::Retransmits(2));
        assert!(!channel.is_ordered());
    }
    assert_eq!((ours.is_incoming(), theirs.is_incoming()), (false, true));
    assert_eq!(theirs.attributes(), ["floorctrl:c-s"]);
    assert!(ours.attributes().is_empty());
    passes(&ours, &theirs, "granted").await;
    passes(&theirs, &ours, "released").await;
    let seen = wire.take();
    let (offer, answer) = (&seen[0], seen.last().unwrap());
    let map = "a=dcmap:1 subprotocol=\"bfcp\";label=\"floor\";ordered=false;max-retr=2";
    assert!(has(offer, map) && has(answer, map), "{offer}{answer}");
    assert!(has(offer, "a=dcsa:1 floorctrl:c-s") && has(offer, "a=dcmap:3 label=\"too long\""));
    assert!(!answer.contains("a=dcsa") && !answer.contains("a=dcmap:3"), "{answer}");

    // Within the call, from the client of DTLS: its streams are the even ones.
    let setting_up = async { taken.data_channel("chat").in_description().await.unwrap() };
    let (chat, at_caller) = soon(async { tokio::join!(setting_up, channel(&placed)) }).await;
    assert_eq!((chat.id(), at_caller.id(), at_caller.label()), (0, 0, "chat"));
    assert_eq!((chat.is_incoming(), at_caller.is_incoming()), (false, true));
    passes(&chat, &at_caller, "hello").await;
    // One that is opened in-band takes another number, and is in no description.
    let opening = async { taken.data_channel("x").await.unwrap() };
    let (in_band, _at_caller) = soon(async { tokio::join!(opening, channel(&placed)) }).await;
    assert_eq!(in_band.id(), 2);
    let refused = soon(placed.data_channel("beyond").in_description()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the peer does not take the data channel");
    let both = soon(placed.data_channel("x").negotiated(9).in_description()).await;
    assert!(both.is_err(), "{both:?}");

    // The next offer does without what is closed, whoever makes it.
    wire.take();
    ours.close();
    soon(theirs.closed()).await;
    for call in [&placed, &taken] {
        told(call, |e| matches!(e, CallEvent::NegotiationNeeded).then_some(())).await;
    }
    soon(taken.renegotiate()).await.unwrap();
    let seen = wire.take();
    for text in &seen {
        assert!(has(text, "a=dcmap:0 label=\"chat\""), "{text}");
        assert!(!text.contains("a=dcmap:1") && !text.contains("a=dcmap:2"), "{text}");
    }
    for call in [&placed, &taken] {
        assert!(!call.negotiation_needed().await.unwrap());
    }
    soon(placed.hold()).await.unwrap();
    passes(&at_caller, &chat, "still here").await;
    soon(placed.hangup()).await;
    soon(chat.closed()).await;
}
