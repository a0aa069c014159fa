//! Other keys in the midst of a call, on real sockets: the sound goes on, of the same source, with the next
//! numbers, and nothing of it is taken for forged.
#![cfg(all(feature = "dtls", target_os = "linux"))]

mod common;

use common::{account, connect, note, on_loopback, soon, told, uri};
use std::sync::{Arc, Mutex};
use tiny_ua::{Call, CallEvent, Config, Srtp, Trace, TraceKind, TracePacket, UserAgent};
use tokio::sync::mpsc;

/// Packets, over all changes of keys of a test: 200 ms of more than 6 s.
const OVERTAKING: u64 = 10;

/// What one agent has sent and got: descriptions, and the source and number of each packet of sound.
#[derive(Default)]
struct Wire {
    descriptions: Mutex<Vec<String>>,
    /// Of what has left.
    left: Mutex<Vec<(u32, u16)>>,
    came: Mutex<Vec<(u32, u16)>>,
}

impl Trace for Wire {
    fn packet(&self, packet: TracePacket<'_>) {
        let data = packet.data;
        match packet.kind {
            TraceKind::Sip => {
                let text = String::from_utf8_lossy(data);
                if let Some(at) = text.find("\r\n\r\nv=0") {
                    self.descriptions.lock().unwrap().push(text[at + 4..].to_owned());
                }
            }
            TraceKind::Rtp if data.len() > 12 && data[0] & 0xc0 == 0x80 && data[1] & 0x7f < 64 => {
                let ssrc = u32::from_be_bytes([data[8], data[9], data[10], data[11]]);
                let side = if packet.outgoing { &self.left } else { &self.came };
                side.lock().unwrap().push((ssrc, u16::from_be_bytes([data[2], data[3]])));
            }
            _ => {}
        }
    }
}

impl Wire {
    fn lines(&self, start: &str) -> Vec<String> {
        let all = self.descriptions.lock().unwrap();
        let all = all.iter().flat_map(|text| text.lines()).filter(|l| l.starts_with(start));
        all.map(str::to_owned).collect()
    }

    /// One source each way, and its numbers one after the other.
    fn one_source_each_way(&self) {
        for side in [&self.left, &self.came] {
            let packets = side.lock().unwrap();
            assert!(packets.len() > 50, "{}", packets.len());
            for pair in packets.windows(2) {
                assert_eq!(pair[0].0, pair[1].0, "another source");
                // While there is no path nothing is sent.
                let step = pair[1].1.wrapping_sub(pair[0].1);
                assert!((1..100).contains(&step), "{pair:?}");
            }
        }
    }
}

async fn agent(change: impl FnOnce(&mut Config)) -> (UserAgent, Arc<Wire>) {
    let wire = Arc::new(Wire::default());
    let builder = on_loopback().codecs(["pcmu"]).trace(wire.clone()).configure(change);
    (builder.build().await.unwrap(), wire)
}

/// Waits for a second of sound.
async fn hears(ear: &mut mpsc::UnboundedReceiver<()>) {
    while ear.try_recv().is_ok() {}
    for _ in 0..50 {
        soon(ear.recv()).await.unwrap();
    }
}

async fn secured(call: &Call) -> String {
    told(call, |event| match event {
        CallEvent::Secured { srtp, .. } => Some(srtp),
        _ => None,
    })
    .await
}

struct Talk {
    left: UserAgent,
    _right: UserAgent,
    placed: Call,
    taken: Call,
    ears: [mpsc::UnboundedReceiver<()>; 2],
    wires: [Arc<Wire>; 2],
}

impl Talk {
    async fn begin(change: impl Fn(&mut Config)) -> Self {
        let ((left, one), (right, two)) = (agent(&change).await, agent(&change).await);
        let ((says, left_ear), (answers, right_ear)) = (note(), note());
        let call = account(&left, "alice").await.call(uri("bob", &right)).audio(says);
        let (placed, taken) = connect(call, &right, answers).await;
        let (ears, wires) = ([left_ear, right_ear], [one, two]);
        let mut talk = Self { left, _right: right, placed, taken, ears, wires };
        talk.hear().await;
        talk
    }

    async fn hear(&mut self) {
        let [one, two] = &mut self.ears;
        tokio::join!(hears(one), hears(two));
    }

    /// What was not sent and what was lost, at either end.
    async fn missing(&self) -> [(u64, u64); 2] {
        let mut missing = [(0, 0); 2];
        for (call, missing) in [&self.placed, &self.taken].into_iter().zip(&mut missing) {
            let stats = soon(call.stats()).await.unwrap();
            *missing = (stats.srtp_unsent, stats.lost);
        }
        missing
    }

    /// Nothing was refused and nothing more is missing, but for what overtook the answer with its key, which
    /// the keys of descriptions do not prevent (RFC 4568 §5.1.1): on a busy machine, a few packets of hundreds.
    async fn end_whole(self, missed: [(u64, u64); 2]) {
        let missing = self.missing().await;
        for (after, before) in missing.into_iter().zip(missed) {
            assert!(
                after.0 - before.0 + after.1.saturating_sub(before.1) <= OVERTAKING,
                "{after:?} {before:?}"
            );
        }
        for call in [&self.placed, &self.taken] {
            let stats = soon(call.stats()).await.unwrap();
            assert!(stats.srtp_auth_failed <= OVERTAKING, "{stats:?}");
            assert_eq!((stats.srtp_replayed, stats.srtp_rejected), (0, 0), "{stats:?}");
            assert_eq!((stats.srtp_early, stats.srtp_plain), (0, 0), "{stats:?}");
        }
        soon(self.placed.hangup()).await;
        soon(self.taken.ended()).await;
        self.wires.iter().for_each(|wire| wire.one_source_each_way());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_takes_another_key_of_descriptions_with_the_sound_going_on() {
    let mut talk = Talk::begin(|config| config.srtp = Srtp::Sdes).await;
    let missed = talk.missing().await;
    let key = |line: &str| line.split("inline:").nth(1).unwrap().to_owned();
    let first: Vec<String> = talk.wires[0].lines("a=crypto:").iter().map(|l| key(l)).collect();
    soon(talk.placed.renew_keys()).await.unwrap();
    talk.hear().await;
    let lines: Vec<String> = talk.wires[0].lines("a=crypto:").iter().map(|l| key(l)).collect();
    // The line in force comes first, and its key is another.
    assert_ne!(lines[first.len()], first[0]);
    let offers = talk.wires[0].descriptions.lock().unwrap().len();
    soon(talk.taken.renew_keys()).await.unwrap();
    talk.hear().await;
    assert_eq!(talk.wires[0].descriptions.lock().unwrap().len(), offers + 2);
    // On hold too.
    soon(talk.placed.hold()).await.unwrap();
    soon(talk.placed.renew_keys()).await.unwrap();
    soon(talk.placed.resume()).await.unwrap();
    talk.hear().await;
    talk.end_whole(missed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_handshake_after_a_restart_of_ice_brings_other_keys_with_the_sound_going_on() {
    let mut talk = Talk::begin(|config| config.webrtc = true).await;
    let names = |talk: &Talk| {
        let mut names = talk.wires[0].lines("a=tls-id:");
        names.sort();
        names.dedup();
        names
    };
    for call in [&talk.placed, &talk.taken] {
        assert!(secured(call).await.starts_with("dtls:"));
    }
    assert_eq!(names(&talk).len(), 2);
    talk.left.network_moved_to([127, 0, 0, 2].into()).await.unwrap();
    talk.hear().await;
    assert_eq!(names(&talk).len(), 2, "a restart of ICE keeps the association");
    let missed = talk.missing().await;
    for round in 2..4 {
        soon(talk.placed.renew_keys()).await.unwrap();
        let both = async { tokio::join!(secured(&talk.placed), secured(&talk.taken)) };
        let (ours, theirs) = both.await;
        assert!(ours == theirs && ours.starts_with("dtls:"), "{ours} {theirs}");
        assert_eq!(names(&talk).len(), 2 * round);
        talk.hear().await;
    }
    talk.end_whole(missed).await;
}

#[tokio::test]
async fn a_call_in_the_clear_has_no_keys_to_renew() {
    let talk = Talk::begin(|config| config.srtp = Srtp::Off).await;
    let refused = talk.placed.renew_keys().await.unwrap_err().to_string();
    assert!(refused.contains("the call is not encrypted"), "{refused}");
    talk.placed.hangup().await;
    assert!(matches!(talk.placed.renew_keys().await, Err(tiny_ua::Error::Ended(_))));
}
