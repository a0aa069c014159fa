//! What is said on stdout: JSON event lines for programs, sentences and a live line for people.

use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// The figures of a call's media, by the names of the command-line contract.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Stats {
    pub(crate) tx_packets: u64,
    pub(crate) rx_packets: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) rx_bytes: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) concealed_ms: u64,
    pub(crate) jitter_ms: f64,
    pub(crate) buffer_ms: f64,
    /// `null` until a report of the peer has told it.
    pub(crate) rtt_ms: Option<f64>,
    /// `null` until something was heard.
    pub(crate) mos: Option<f64>,
    /// dB below full scale.
    pub(crate) input_level_db: f64,
    pub(crate) output_level_db: f64,
    // Beyond the contract: what encryption refused, by reason.
    pub(crate) srtp_plain: u64,
    pub(crate) srtp_auth_failed: u64,
    pub(crate) srtp_replayed: u64,
    pub(crate) srtp_too_old: u64,
    pub(crate) srtp_early: u64,
    pub(crate) srtp_not_rtp: u64,
    pub(crate) srtp_rejected: u64,
    pub(crate) srtp_unsent: u64,
    pub(crate) dtls_refused: u64,
}

/// How a call's media finds its way: `false` without ICE, the pair once there is one, and `true`
/// before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Ice {
    On(bool),
    Pair(String),
}

/// One event. The names and fields are a contract with scripts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    Listening {
        sip: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
    },
    Registered {
        aor: String,
        expires: u32,
        contact: String,
    },
    RegistrationFailed {
        status: Option<u16>,
        reason: String,
    },
    Incoming {
        call: u64,
        from: String,
        to: String,
    },
    Ringing {
        call: u64,
    },
    Answered {
        call: u64,
        codec: Option<String>,
        sample_rate: Option<u32>,
        channels: Option<u16>,
        /// `off`, or how and with which suite: `sdes:AES_CM_128_HMAC_SHA1_80`; `dtls` alone until
        /// `secured` says the suite.
        srtp: String,
        ice: Ice,
        remote: Option<String>,
    },
    /// The handshake of DTLS is done.
    Secured {
        call: u64,
        srtp: String,
        cipher: String,
        fingerprint: String,
    },
    /// ICE has found a way, or has changed to another.
    Ice {
        call: u64,
        /// What our address and the peer's are: `host/srflx`.
        pair: String,
        local: String,
        remote: String,
        rtt_ms: Option<f64>,
        /// `first`, `nominated`, `died`, `better`, `quicker`.
        reason: String,
    },
    Media {
        call: u64,
        #[serde(flatten)]
        stats: Stats,
    },
    Held {
        call: u64,
        by: &'static str,
    },
    Resumed {
        call: u64,
        by: &'static str,
    },
    Transferred {
        call: u64,
        by: &'static str,
    },
    Dtmf {
        call: u64,
        digit: char,
        duration_ms: u64,
        via: &'static str,
    },
    Message {
        from: String,
        text: String,
    },
    Ended {
        call: u64,
        by: &'static str,
        status: Option<u16>,
        reason: String,
        duration_s: f64,
        stats: Option<Stats>,
        /// Where ICE found no way: each pair of addresses, the best first, and why it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        ice: Option<Vec<FailedPair>>,
    },
    Error {
        what: String,
    },
}

/// A pair of addresses that does not work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FailedPair {
    pub(crate) component: u16,
    /// What our address and the peer's are: `host/srflx`.
    pub(crate) pair: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    /// Checks sent, repetitions included.
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) failure: String,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    t: f64,
}

/// Where events go. Cheap to clone; one line is one write.
#[derive(Clone)]
pub(crate) struct Reporter {
    inner: Arc<Inner>,
}

struct Inner {
    start: Instant,
    started: SystemTime,
    json: bool,
    /// A live line is drawn only for people.
    terminal: bool,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    /// The live line that is on the screen now.
    live: String,
}

/// Whether the live line has the first row of the screen for itself, so that it does not run into
/// what is typed.
static PINNED: AtomicBool = AtomicBool::new(false);

/// Gives the whole screen back to scrolling text.
pub(crate) fn unpin() {
    if PINNED.swap(false, Ordering::Relaxed) {
        // Saving the cursor around it: setting the region moves it.
        let _ = write!(io::stdout(), "\x1b7\x1b[1;1H\x1b[2K\x1b[r\x1b8");
        let _ = io::stdout().flush();
    }
}

impl Reporter {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = !json && io::stdout().is_terminal();
        Self::to(Box::new(io::stdout()), json, terminal)
    }

    fn to(out: Box<dyn Write + Send>, json: bool, terminal: bool) -> Self {
        let state = Mutex::new(State { out, live: String::new() });
        let (start, started) = (Instant::now(), SystemTime::now());
        Self { inner: Arc::new(Inner { start, started, json, terminal, state }) }
    }

    /// Whether a person watches.
    pub(crate) fn is_terminal(&self) -> bool {
        self.inner.terminal
    }

    pub(crate) fn is_json(&self) -> bool {
        self.inner.json
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.inner.start.elapsed().as_secs_f64()
    }

    /// When this was made: where the seconds begin.
    pub(crate) fn started(&self) -> SystemTime {
        self.inner.started
    }

    /// Writes an object of another shape, in JSON mode.
    pub(crate) fn object(&self, object: serde_json::Map<String, serde_json::Value>) {
        if self.inner.json {
            self.write(&format!("{}\n", serde_json::Value::Object(object)));
        }
    }

    /// Says what happened. Errors go to stderr where stdout is not JSON.
    pub(crate) fn event(&self, event: &Event) {
        let t = (self.seconds() * 1000.0).round() / 1000.0;
        if self.inner.json {
            if let Ok(mut line) = serde_json::to_string(&Line { event, t }) {
                line.push('\n');
                self.write(&line);
            }
            return;
        }
        if let Event::Error { what } = event {
            self.complain(what);
        } else if let Some(text) = sentence(event) {
            self.say(&text);
        }
    }

    /// A line for people; nothing in JSON mode.
    pub(crate) fn say(&self, text: &str) {
        if !self.inner.json {
            self.write(&format!("{text}\n"));
        }
    }

    /// A line on stderr.
    pub(crate) fn complain(&self, text: &str) {
        self.live("");
        let _ = writeln!(io::stderr().lock(), "softphone: {text}");
    }

    /// Keeps the live line on the first row of the terminal, until [`unpin`].
    pub(crate) fn pin(&self) {
        if self.inner.terminal && !PINNED.swap(true, Ordering::Relaxed) {
            let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = write!(state.out, "\x1b[2J\x1b[2r\x1b[2;1H");
            let _ = state.out.flush();
        }
    }

    /// Replaces the live line; an empty one removes it.
    pub(crate) fn live(&self, text: &str) {
        if !self.inner.terminal {
            return;
        }
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        if PINNED.load(Ordering::Relaxed) {
            // Reverse video on the first row; the cursor stays where somebody types.
            let row = format!("\x1b7\x1b[1;1H\x1b[2K\x1b[?7l\x1b[7m{text}\x1b[0m\x1b[?7h\x1b8");
            let _ = state.out.write_all(row.as_bytes());
            let _ = state.out.flush();
            return;
        }
        if state.live.is_empty() && text.is_empty() {
            return;
        }
        state.live = text.to_owned();
        // Without wrapping: what is wider than the terminal is cut, and one line stays one line.
        let _ = write!(state.out, "\r\x1b[2K\x1b[?7l{text}\x1b[?7h");
        let _ = state.out.flush();
    }

    fn write(&self, line: &str) {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that has gone away (a closed pipe) must not end the call.
        let _ = if state.live.is_empty() {
            state.out.write_all(line.as_bytes())
        } else {
            let framed = format!("\r\x1b[2K{line}\x1b[?7l{}\x1b[?7h", state.live);
            state.out.write_all(framed.as_bytes())
        };
        let _ = state.out.flush();
    }
}

/// What a person reads; `None` for what the live line shows anyway.
fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::Listening { sip, tls: None } => format!("listening at {sip}"),
        Event::Listening { sip, tls: Some(tls) } => {
            format!("listening at {sip}, and for TLS at {tls}")
        }
        Event::Registered { aor, expires, contact } => {
            format!("registered {aor} for {expires} s as {contact}")
        }
        Event::RegistrationFailed { status, reason } => {
            format!("registration failed: {}", with_status(*status, reason))
        }
        Event::Incoming { call, from, to } => format!("[{call}] incoming call from {from} to {to}"),
        Event::Ringing { call } => format!("[{call}] ringing"),
        Event::Answered { call, codec, sample_rate, remote, .. } => {
            let codec = codec.as_deref().unwrap_or("no sound");
            let rate =
                sample_rate.map(|r| format!(" {} kHz", r as f64 / 1000.0)).unwrap_or_default();
            let remote = remote.as_deref().map(|r| format!(", media to {r}")).unwrap_or_default();
            format!("[{call}] answered: {codec}{rate}{remote}")
        }
        Event::Secured { call, srtp, .. } => format!("[{call}] encrypted: {srtp}"),
        Event::Ice { call, pair, local, remote, rtt_ms, .. } => {
            let rtt = rtt_ms.map(|ms| format!(", {ms:.1} ms")).unwrap_or_default();
            format!("[{call}] media goes {pair}: {local} to {remote}{rtt}")
        }
        Event::Media { .. } => return None,
        Event::Held { call, by } => format!("[{call}] on hold (by {by} side)"),
        Event::Resumed { call, by } => format!("[{call}] resumed (by {by} side)"),
        Event::Transferred { call, by } => format!("[{call}] transferred (by {by} side)"),
        Event::Dtmf { call, digit, duration_ms, via } => {
            format!("[{call}] key {digit} ({duration_ms} ms, {via})")
        }
        Event::Message { from, text } => format!("message from {from}: {text}"),
        Event::Ended { call, by, status, reason, duration_s, stats, .. } => {
            let mut line = format!(
                "[{call}] ended by {by} after {duration_s:.1} s: {}",
                with_status(*status, reason)
            );
            if let Some(stats) = stats {
                line.push_str(&format!(
                    "\n    sent {} packets, received {}, lost {}, concealed {} ms",
                    stats.tx_packets, stats.rx_packets, stats.lost, stats.concealed_ms
                ));
                if let Some(mos) = stats.mos {
                    line.push_str(&format!(", MOS {mos:.1}"));
                }
            }
            line
        }
        Event::Error { what } => what.clone(),
    })
}

fn with_status(status: Option<u16>, reason: &str) -> String {
    match status {
        Some(status) => format!("{status} {reason}"),
        None => reason.to_owned(),
    }
}

/// The live line of a call: time, codec, packets, loss, jitter, buffer, MOS, levels.
pub(crate) fn status_line(who: &str, up_s: f64, codec: &str, stats: &Stats) -> String {
    let expected = stats.rx_packets + stats.lost;
    let loss = if expected == 0 { 0.0 } else { 100.0 * stats.lost as f64 / expected as f64 };
    let mos = stats.mos.map_or("  – ".into(), |m| format!("{m:4.2}"));
    format!(
        "{who}{:02}:{:04.1} {codec} ↑{} ↓{} loss {loss:.1}% jitter {:.1} ms buffer {:.0} ms MOS {mos} \
         mic {} spk {}",
        (up_s / 60.0) as u64,
        up_s % 60.0,
        stats.tx_packets,
        stats.rx_packets,
        stats.jitter_ms,
        stats.buffer_ms,
        meter(stats.input_level_db),
        meter(stats.output_level_db),
    )
}

/// A level from −60 to 0 dB as a short bar.
fn meter(db: f64) -> String {
    const STEPS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = ((db + 60.0) / 60.0 * 48.0).clamp(0.0, 48.0) as usize;
    let bar: String = (0..6).map(|cell| STEPS[eighths.saturating_sub(cell * 8).min(8)]).collect();
    format!("[{bar}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(json: bool, terminal: bool, say: impl FnOnce(&Reporter)) -> String {
        let out = Shared::default();
        say(&Reporter::to(Box::new(out.clone()), json, terminal));
        let bytes = out.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_has_its_event_its_time_and_its_fields() {
        let ended = Event::Ended {
            call: 1,
            by: "remote",
            status: None,
            reason: "BYE".into(),
            duration_s: 2.5,
            stats: Some(Stats { rx_packets: 7, ..Stats::default() }),
            ice: None,
        };
        let text = written(true, false, |r| {
            r.event(&ended);
            r.event(&Event::Media { call: 1, stats: Stats::default() });
            r.say("nobody reads this");
            r.live("nor this");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["event"], "ended");
        assert!(lines[0]["t"].is_f64());
        assert_eq!(lines[0]["stats"]["rx_packets"], 7);
        assert_eq!(lines[1]["event"], "media");
        for field in [
            "tx_packets",
            "rx_packets",
            "tx_bytes",
            "rx_bytes",
            "lost",
            "late",
            "duplicated",
            "reordered",
            "concealed_ms",
            "jitter_ms",
            "buffer_ms",
            "rtt_ms",
            "mos",
            "input_level_db",
            "output_level_db",
            "srtp_plain",
            "srtp_auth_failed",
            "srtp_replayed",
            "srtp_too_old",
            "srtp_early",
            "srtp_not_rtp",
            "srtp_rejected",
            "srtp_unsent",
            "dtls_refused",
        ] {
            assert!(lines[1].get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn every_event_has_the_name_of_the_contract() {
        let (s, n) = (String::new, None::<u16>);
        let events = [
            (Event::Listening { sip: s(), tls: None }, "listening"),
            (Event::Registered { aor: s(), expires: 1, contact: s() }, "registered"),
            (Event::RegistrationFailed { status: n, reason: s() }, "registration_failed"),
            (Event::Incoming { call: 1, from: s(), to: s() }, "incoming"),
            (Event::Ringing { call: 1 }, "ringing"),
            (Event::Held { call: 1, by: "local" }, "held"),
            (Event::Resumed { call: 1, by: "local" }, "resumed"),
            (Event::Transferred { call: 1, by: "remote" }, "transferred"),
            (Event::Dtmf { call: 1, digit: '1', duration_ms: 1, via: "info" }, "dtmf"),
            (Event::Message { from: s(), text: s() }, "message"),
            (Event::Error { what: s() }, "error"),
        ];
        for (event, name) in events {
            assert_eq!(serde_json::to_value(&event).unwrap()["event"], name);
        }
    }

    #[test]
    fn a_line_of_text_moves_the_live_line_down() {
        let text = written(false, true, |r| {
            r.live("00:01");
            r.say("ringing");
            r.live("");
        });
        let live = "\x1b[?7l00:01\x1b[?7h";
        let gone = "\r\x1b[2K\x1b[?7l\x1b[?7h";
        assert_eq!(text, format!("\r\x1b[2K{live}\r\x1b[2Kringing\n{live}{gone}"));
        assert_eq!(written(false, false, |r| r.live("00:01")), "");
    }

    #[test]
    fn the_live_line_shows_quality() {
        let stats = Stats { rx_packets: 99, lost: 1, mos: Some(4.31), ..Stats::default() };
        let line = status_line("", 61.5, "opus", &stats);
        assert!(line.contains("01:01.5 opus") && line.contains("loss 1.0%"), "{line}");
        assert!(line.contains("MOS 4.31"), "{line}");
        assert_eq!(meter(-60.0), "[      ]");
        assert_eq!(meter(0.0), "[██████]");
        assert_eq!(meter(-30.0), "[███   ]");
    }
}
