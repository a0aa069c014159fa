//! How long it takes from `call()` until sound is heard, with ICE and DTLS.
//!
//! Two agents live in this process and call each other over real sockets on loopback, one call after
//! another: an offer with gathered candidates, the answer, connectivity checks, the DTLS handshake,
//! SRTP. A call is set up when *both* sides have decrypted the first packet of the other's sound. Some
//! calls warm up, 200 are counted. The steps between are told with their medians, each since `call()`.
//!
//! `cargo bench --bench setup`; its last line is `setup_median_ms X`.
#![allow(missing_docs, clippy::print_stdout)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tiny_ua::{
    Audio, AudioFormat, CallEnd, Event, Ice, Sink, Source, Srtp, Trace, TraceKind, TracePacket,
    UserAgent,
};

const WARM_UP: usize = 20;
const COUNTED: usize = 200;
const FORMAT: AudioFormat = AudioFormat { rate: 8_000, channels: 1 };

/// When something was seen first in this call, by one agent.
#[derive(Default)]
struct Marks(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    invite: Option<Instant>,
    answer: Option<Instant>,
    check: Option<Instant>,
    handshake: Option<Instant>,
    // Packets of sound that came in; the first ones may be too early to be decrypted.
    sound: Vec<Instant>,
    heard: Option<Instant>,
}

impl Trace for Marks {
    fn packet(&self, packet: TracePacket<'_>) {
        let now = Instant::now();
        let Ok(mut seen) = self.0.lock() else { return };
        let Seen { invite, answer, check, handshake, sound, .. } = &mut *seen;
        match (packet.kind, packet.data.first()) {
            (TraceKind::Rtp, Some(0..=3)) => {
                check.get_or_insert(now);
            }
            (TraceKind::Rtp, Some(20..=63)) => {
                handshake.get_or_insert(now);
            }
            (TraceKind::Rtp, Some(128..=191)) => {
                let rtcp = packet.data.get(1).is_some_and(|kind| (192..=223).contains(kind));
                if !packet.outgoing && !rtcp && sound.len() < 64 {
                    sound.push(now);
                }
            }
            (TraceKind::Rtp | TraceKind::Rtcp, _) => {}
            (_, Some(b'I')) if packet.data.starts_with(b"INVITE ") => {
                invite.get_or_insert(now);
            }
            (_, Some(b'S')) if packet.data.starts_with(b"SIP/2.0 200") => {
                answer.get_or_insert(now);
            }
            _ => {}
        }
    }
}

/// A square wave.
struct Tone(usize);

impl Source for Tone {
    fn format(&self) -> AudioFormat {
        FORMAT
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        for sample in out.iter_mut() {
            self.0 += 1;
            *sample = if self.0 % 16 < 8 { 8_000 } else { -8_000 };
        }
        out.len()
    }
}

/// Notes when the first sound is played.
struct Ear(Arc<Marks>);

impl Sink for Ear {
    fn format(&self) -> AudioFormat {
        FORMAT
    }

    fn write(&mut self, pcm: &[i16]) {
        if pcm.iter().any(|s| s.unsigned_abs() > 1_000)
            && let Ok(mut seen) = self.0.0.lock()
        {
            seen.heard.get_or_insert_with(Instant::now);
        }
    }
}

fn audio(marks: &Arc<Marks>) -> Audio {
    Audio::custom(Box::new(Tone(0)), Box::new(Ear(Arc::clone(marks))))
}

async fn agent(marks: &Arc<Marks>) -> UserAgent {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let builder = UserAgent::builder().listen(listen).codecs(["pcmu"]).srtp(Srtp::Dtls);
    let trace: Arc<dyn Trace> = marks.clone();
    let builder = builder.configure(|config| {
        config.trace = Some(trace);
        config.ice = Ice::Full;
        config.media_address = Some(listen.ip());
    });
    builder.build().await.expect("an agent")
}

/// The step of each call, in ms since `call()`.
#[derive(Default)]
struct Steps(Vec<(&'static str, Vec<f64>)>);

impl Steps {
    fn add(&mut self, name: &'static str, since: Instant, at: Option<Instant>) {
        let Some(at) = at else { return };
        let ms = at.saturating_duration_since(since).as_secs_f64() * 1000.0;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(ms),
            None => self.0.push((name, vec![ms])),
        }
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// When the first packet was decrypted: those before the keys were refused and counted.
fn decrypted(marks: &Marks, end: &CallEnd) -> Option<Instant> {
    let early = end.stats.as_ref()?.srtp_early as usize;
    marks.0.lock().ok()?.sound.get(early).copied()
}

#[tokio::main]
async fn main() {
    let marks: [Arc<Marks>; 2] = Default::default();
    let (alice, bob) = (agent(&marks[0]).await, agent(&marks[1]).await);
    let to = format!("sip:bob@{}", bob.addresses()[0].1);
    let account = alice.account(format!("sip:alice@{}", alice.addresses()[0].1));
    let account = account.build().await.expect("an account");
    let bobs = Arc::clone(&marks[1]);
    let (done, mut ends) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = bob.next_event().await {
            let Event::IncomingCall(call) = event else { continue };
            let call = call.answer(audio(&bobs)).await.expect("answered");
            let done = done.clone();
            tokio::spawn(async move { drop(done.send(call.ended().await)) });
        }
    });
    let (mut all, mut steps) = (Vec::new(), Steps::default());
    for n in 0..WARM_UP + COUNTED {
        marks.iter().for_each(|m| *m.0.lock().expect("no panic") = Seen::default());
        let begun = Instant::now();
        let call = account.call(&to).audio(audio(&marks[0])).await.expect("a call");
        call.answered().await.expect("an answer");
        let answered = Instant::now();
        let heard = |m: &Arc<Marks>| m.0.lock().is_ok_and(|seen| seen.heard.is_some());
        while !marks.iter().all(heard) {
            assert!(begun.elapsed() < Duration::from_secs(10), "call {n} stays silent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (ours, theirs) = (call.hangup().await, ends.recv().await.expect("an end"));
        let first = [decrypted(&marks[0], &ours), decrypted(&marks[1], &theirs)];
        let Some(both) = first[0].max(first[1]).filter(|_| first.iter().all(Option::is_some))
        else {
            panic!("call {n}: sound was heard and never decrypted");
        };
        if n < WARM_UP {
            continue;
        }
        all.push((both - begun).as_secs_f64() * 1000.0);
        let [left, right] = [0, 1].map(|n| marks[n].0.lock().expect("no panic"));
        steps.add("INVITE sent", begun, left.invite);
        steps.add("200 received", begun, left.answer);
        steps.add("answered() returned", begun, Some(answered));
        steps.add("first check", begun, left.check.into_iter().chain(right.check).min());
        steps.add("first DTLS", begun, left.handshake.into_iter().chain(right.handshake).min());
        steps.add("caller decrypts", begun, first[0]);
        steps.add("callee decrypts", begun, first[1]);
        steps.add("caller plays", begun, left.heard);
        steps.add("callee plays", begun, right.heard);
    }
    all.sort_by(f64::total_cmp);
    println!("{} calls with ICE and DTLS over loopback, in ms since call():", all.len());
    for (name, ms) in &mut steps.0 {
        ms.sort_by(f64::total_cmp);
        println!("  {name:<20} {:7.2}  (p90 {:7.2})", quantile(ms, 0.5), quantile(ms, 0.9));
    }
    println!("setup_p90_ms {:.2}", quantile(&all, 0.9));
    println!("setup_p99_ms {:.2}", quantile(&all, 0.99));
    println!("setup_median_ms {:.2}", quantile(&all, 0.5));
}
