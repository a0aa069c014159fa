//! What tests of whole agents share: agents on the loopback, calls between them, and waiting for what
//! they tell. Nothing here waits for ever, and nothing decides what a test is about.
#![allow(dead_code)] // Each test takes what it needs.

use std::net::SocketAddr;
use std::time::Duration;
use tiny_media::{AudioFormat, Pace, PcmReader, ring};
use tiny_ua::{
    Account, Audio, Call, CallBuilder, CallEvent, CallStats, Event, IncomingCall, Sink, Source,
    UserAgent, UserAgentBuilder,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Any port of the loopback.
pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An agent to be, on any port of the loopback.
pub(crate) fn on_loopback() -> UserAgentBuilder {
    UserAgent::builder().listen(LOOPBACK.parse().expect("an address"))
}

/// Where an agent is called.
pub(crate) fn address(ua: &UserAgent) -> SocketAddr {
    ua.addresses()[0].1
}

/// The URI of somebody who is called there without any registrar.
pub(crate) fn uri(name: &str, ua: &UserAgent) -> String {
    format!("sip:{name}@{}", address(ua))
}

/// An account that needs no registrar.
pub(crate) async fn account(ua: &UserAgent, name: &str) -> Account {
    ua.account(uri(name, ua)).build().await.expect("an account")
}

/// Waits, but not for ever.
pub(crate) async fn soon<F: IntoFuture>(what: F) -> F::Output {
    timeout(PATIENCE, what.into_future()).await.unwrap_or_else(|_| panic!("not in {PATIENCE:?}"))
}

/// The call that comes next.
pub(crate) async fn incoming(ua: &UserAgent) -> IncomingCall {
    loop {
        if let Event::IncomingCall(call) = soon(ua.next_event()).await.expect("an event") {
            return call;
        }
    }
}

/// Places a call, which comes to that agent, is answered with this sound, and is up.
pub(crate) async fn connect(call: CallBuilder, to: &UserAgent, sound: Audio) -> (Call, Call) {
    let placed = soon(call).await.expect("a call");
    let taken = soon(incoming(to).await.answer(sound)).await.expect("answered");
    soon(placed.answered()).await.expect("answered");
    (placed, taken)
}

/// A call between two agents that is up, with silence both ways.
pub(crate) async fn call(from: &UserAgent, to: &UserAgent) -> (Call, Call) {
    call_at(from, to, address(to)).await
}

/// The same, with the INVITE sent to an address that leads there.
pub(crate) async fn call_at(from: &UserAgent, to: &UserAgent, at: SocketAddr) -> (Call, Call) {
    let call = account(from, "alice").await.call(format!("sip:bob@{at}"));
    connect(call.audio(Audio::silent()), to, Audio::silent()).await
}

/// The first of the events of a call that is wanted, before its end.
pub(crate) async fn told<T>(call: &Call, wanted: impl Fn(CallEvent) -> Option<T>) -> T {
    loop {
        match soon(call.next_event()).await.expect("an event of the call") {
            CallEvent::Ended(end) => panic!("{end:?}"),
            event => {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        }
    }
}

/// Waits for figures that are as wanted.
pub(crate) async fn until(
    call: &Call,
    what: &str,
    wanted: impl Fn(&CallStats) -> bool,
) -> CallStats {
    let mut last = None;
    for _ in 0..PATIENCE.as_millis() / 25 {
        // There are none before the answer is there.
        match call.stats().await {
            Ok(stats) if wanted(&stats) => return stats,
            other => last = Some(other),
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("{what}: {last:?}");
}

/// So many more packets come.
pub(crate) async fn hears(call: &Call, more: u64) {
    let had = call.stats().await.map_or(0, |stats| stats.rx_packets);
    until(call, "sound", |stats| stats.rx_packets >= had + more).await;
}

/// Says a tone; what is heard can be read at that rate.
pub(crate) fn voice(hz: f64, rate: u32) -> (Audio, PcmReader) {
    let registry = tiny_dav::builtin_registry();
    let (format, options) = (AudioFormat::new(48_000, 1), tiny_dav::SourceOptions::looped(true));
    let source = tiny_dav::open_source(&registry, &format!("tone:{hz}"), &options, format);
    let heard = AudioFormat::new(rate, 1);
    let (sink, reader) = ring::sink(heard, Duration::from_secs(60), Pace::Timer);
    (Audio::custom(source.expect("a tone"), Box::new(sink)), reader)
}

/// One loud note.
struct Tone;
impl Source for Tone {
    fn format(&self) -> AudioFormat {
        AudioFormat::new(8000, 1)
    }
    fn read(&mut self, out: &mut [i16]) -> usize {
        for (n, sample) in out.iter_mut().enumerate() {
            *sample = if n % 8 < 4 { 8000 } else { -8000 };
        }
        out.len()
    }
}

/// Tells when it hears something.
struct Ear(mpsc::UnboundedSender<()>);
impl Sink for Ear {
    fn format(&self) -> AudioFormat {
        AudioFormat::new(8000, 1)
    }
    fn write(&mut self, sound: &[i16]) {
        if sound.iter().any(|sample| sample.unsigned_abs() > 2000) {
            let _ = self.0.send(());
        }
    }
}

/// A loud note at 8000 Hz, and word of each piece of sound that comes back and is no silence.
pub(crate) fn note() -> (Audio, mpsc::UnboundedReceiver<()>) {
    let (ear, heard) = mpsc::unbounded_channel();
    (Audio::custom(Box::new(Tone), Box::new(Ear(ear))), heard)
}
