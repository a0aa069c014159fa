//! Following a call from its beginning to its end: events, figures, keys, scripts, time limits.

use crate::events::{Event, FailedPair, Ice, Stats, status_line};
use crate::phone::Phone;
use crate::report;
use crate::script::Action;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tiny_ua::ice::{CandidateKind, IceReport, PairReport};
use tiny_ua::{Call, CallEnd, CallEvent, CallStats, DtmfMode, IncomingCall, Party};
use tokio::time::{Instant, sleep, sleep_until};

/// How a call went.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) answered: bool,
    pub(crate) by: Party,
}

impl Outcome {
    /// Answered, and ended by one of the two.
    pub(crate) fn is_good(&self) -> bool {
        self.answered && self.by != Party::Network
    }
}

/// What is noted about a call for the report, shared with whoever writes it.
pub(crate) type Notes = Arc<Mutex<report::Phone>>;

/// How a call is followed.
#[derive(Clone, Default)]
pub(crate) struct Follow {
    pub(crate) number: u64,
    /// Say nothing: too many calls at once for a person to read.
    pub(crate) quiet: bool,
    pub(crate) notes: Option<Notes>,
    /// `--for` counts for this call.
    pub(crate) limited: bool,
    /// Whether the live line may show it.
    pub(crate) live: bool,
    /// Where there is no terminal, the live line is said once a second.
    pub(crate) spoken: bool,
    /// What the live line begins with.
    pub(crate) who: String,
    /// The call goes on from another one, whose script is over.
    pub(crate) continues: bool,
}

/// The first key goes out when the peer's media path has had time to come up.
const BEFORE_KEYS: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
/// Between figures for a live line or a plot.
const FINE: Duration = Duration::from_millis(250);

struct Following<'a> {
    phone: &'a Arc<Phone>,
    call: Call,
    follow: Follow,
    ringing: bool,
    up_since: Option<Instant>,
    codec: String,
    held_since: Option<f64>,
    last: Stats,
    /// The pair that ICE uses.
    path: Option<String>,
}

/// Follows a call to its end.
pub(crate) async fn follow(phone: &Arc<Phone>, call: Call, follow: Follow) -> Outcome {
    let mut stop = phone.stop.clone();
    let mut stopping = false;
    let limit = phone.settings.lasts.filter(|_| follow.limited);
    let mut deadline = limit.map(|span| Instant::now() + span);
    let fine = (follow.live && phone.reporter.is_terminal()) || follow.notes.is_some();
    let period = if fine { FINE } else { SECOND };
    let mut steps = if follow.continues { VecDeque::new() } else { plan(phone) };
    let mut tick = Instant::now();
    let mut next_media = tick;
    let mut f = Following {
        phone,
        call,
        follow,
        ringing: false,
        up_since: None,
        codec: String::new(),
        held_since: None,
        last: Stats::default(),
        path: None,
    };
    loop {
        let up = f.up_since;
        let step = up.and_then(|up| steps.front().map(|(at, _)| up + *at));
        tokio::select! {
            event = f.call.next_event() => match event {
                Some(CallEvent::Ended(end)) => return f.ended(&end),
                Some(event) => {
                    f.event(event);
                    if up.is_none() && let Some(since) = f.up_since {
                        deadline = limit.map(|span| since + span);
                        (tick, next_media) = (since + period, since + SECOND);
                    }
                }
                None => {
                    let end = f.call.ended().await;
                    return f.ended(&end);
                }
            },
            () = sleep_until(tick), if up.is_some() => {
                let media = tick >= next_media;
                tick = (tick + period).max(Instant::now());
                if media {
                    next_media += SECOND;
                }
                f.figures(media).await;
            }
            () = sleep_until(step.unwrap_or(tick)), if step.is_some() => {
                if let Some((_, action)) = steps.pop_front() {
                    f.act(action);
                }
            }
            () = sleep_until(deadline.unwrap_or(tick)), if deadline.is_some() => {
                deadline = None;
                f.act(Action::Hangup);
            }
            () = stop.wait(), if !stopping => {
                stopping = true;
                // This hangs up too, but does not wait for ever: what nobody has answered yet can
                // not be cancelled (RFC 3261 §9.1).
                let ua = phone.ua.clone();
                tokio::spawn(async move { ua.shutdown().await });
            }
        }
    }
}

/// What our end of a way and the peer's are. Ours counts as reflexive where the peer sees another
/// address than the socket's.
fn way(pair: &PairReport) -> String {
    let outer = pair.local_kind == CandidateKind::Host
        && pair.mapped.is_some_and(|mapped| mapped != pair.local);
    let ours = if outer { CandidateKind::ServerReflexive } else { pair.local_kind };
    format!("{}/{}", ours.name(), pair.remote_kind.name())
}

/// What `--dtmf` and `--script` ask for, in the order of time.
fn plan(phone: &Phone) -> VecDeque<(Duration, Action)> {
    let keys = phone.settings.dtmf.iter().map(|d| (BEFORE_KEYS, Action::Dtmf(d.clone())));
    let mut steps: Vec<_> = keys.chain(phone.settings.script.0.iter().cloned()).collect();
    steps.sort_by_key(|(at, _)| *at);
    steps.into()
}

impl Following<'_> {
    fn say(&self, event: &Event) {
        // Programs get everything; people are spared a flood.
        if !self.follow.quiet || self.phone.reporter.is_json() {
            self.phone.reporter.event(event);
        }
    }

    fn event(&mut self, event: CallEvent) {
        let call = self.follow.number;
        match event {
            CallEvent::Progress { response } => {
                let ringing = response.status().is_some_and(|s| s.code() == 180);
                if ringing && !std::mem::replace(&mut self.ringing, true) {
                    self.say(&Event::Ringing { call });
                }
            }
            CallEvent::Answered { mut codec, .. } => {
                // One spelling everywhere: that of `softphone codecs` and `--codecs`.
                if let Some(codec) = &mut codec {
                    codec.name.make_ascii_lowercase();
                }
                self.up_since = Some(Instant::now());
                self.codec = codec.as_ref().map_or("no sound".into(), |c| c.name.clone());
                self.note(|notes, _| {
                    let text = codec.as_ref().map_or("none".into(), |c| {
                        format!("{} {} kHz", c.name, f64::from(c.sample_rate) / 1000.0)
                    });
                    notes.facts.push(("Codec".into(), text));
                });
                self.say(&Event::Answered {
                    call,
                    sample_rate: codec.as_ref().map(|c| c.sample_rate),
                    channels: codec.as_ref().map(|c| c.channels),
                    srtp: codec.as_ref().and_then(|c| c.srtp.clone()).unwrap_or("off".into()),
                    ice: match (&codec, &self.path) {
                        (Some(c), Some(pair)) if c.ice => Ice::Pair(pair.clone()),
                        (c, _) => Ice::On(c.as_ref().is_some_and(|c| c.ice)),
                    },
                    remote: codec.as_ref().map(|c| c.remote.clone()),
                    codec: codec.map(|c| c.name),
                });
            }
            CallEvent::Secured { srtp, cipher, fingerprint } => {
                self.note(|notes, _| notes.facts.push(("Encryption".into(), srtp.clone())));
                self.say(&Event::Secured { call, srtp, cipher, fingerprint });
            }
            CallEvent::IcePath { pair, reason } => {
                let local = pair.mapped.filter(|_| pair.local_kind != CandidateKind::Relayed);
                let way = way(&pair);
                self.path = Some(way.clone());
                self.note(|notes, t| notes.marks.push((t, format!("path {way}"))));
                let rtt = |rtt: Duration| (rtt.as_secs_f64() * 100_000.0).round() / 100.0;
                self.say(&Event::Ice {
                    call,
                    pair: way,
                    local: local.unwrap_or(pair.local).to_string(),
                    remote: pair.remote.to_string(),
                    rtt_ms: pair.rtt.map(rtt),
                    reason: format!("{reason:?}").to_ascii_lowercase(),
                });
            }
            CallEvent::Held { by } => {
                self.held_since = Some(self.phone.reporter.seconds());
                self.say(&Event::Held { call, by: by.as_str() });
            }
            CallEvent::Resumed { by } => {
                self.hold_over();
                self.say(&Event::Resumed { call, by: by.as_str() });
            }
            CallEvent::Transferred { by } => {
                self.say(&Event::Transferred { call, by: by.as_str() });
            }
            CallEvent::TransferFailed { by, status, reason } => {
                let status = status.map(|s| format!("{s} ")).unwrap_or_default();
                let what = format!("transfer (by {} side): {status}{reason}", by.as_str());
                self.phone.reporter.event(&Event::Error { what });
            }
            CallEvent::Dtmf { digit, duration, via } => {
                self.note(|notes, t| notes.marks.push((t, format!("key {digit}"))));
                let duration_ms = duration.as_millis() as u64;
                self.say(&Event::Dtmf { call, digit, duration_ms, via: via.as_str() });
            }
            CallEvent::WithoutIce { reason } if !self.follow.quiet => {
                self.phone.reporter.say(&format!("[{call}] media goes without ICE: {reason}"));
            }
            CallEvent::MediaTimeout if !self.follow.quiet => {
                self.phone.reporter.say(&format!("[{call}] nothing is heard any more"));
            }
            CallEvent::InputEnded if !self.follow.quiet => {
                self.phone.reporter.say(&format!("[{call}] the input has come to its end"));
            }
            _ => {}
        }
    }

    async fn figures(&mut self, media: bool) {
        let Ok(stats) = self.call.stats().await else { return };
        self.last = stats_of(&stats);
        self.note(|notes, t| notes.samples.push((t, self.last.clone())));
        if media && self.phone.reporter.is_json() {
            self.say(&Event::Media { call: self.follow.number, stats: self.last.clone() });
        }
        if self.follow.live && !self.follow.quiet {
            let up = self.up_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
            let line = status_line(&self.follow.who, up, &self.codec, &self.last);
            self.phone.reporter.live(&line);
            if media && self.follow.spoken && !self.phone.reporter.is_terminal() {
                self.phone.reporter.say(&line);
            }
        }
    }

    /// Starts an action; what it leads to comes back as an event.
    fn act(&self, action: Action) {
        let (call, phone) = (self.call.clone(), self.phone.clone());
        tokio::spawn(act(phone, call, action));
    }

    fn hold_over(&mut self) {
        if let Some(since) = self.held_since.take() {
            self.note(|notes, t| notes.holds.push((since, t)));
        }
    }

    fn note(&self, write: impl FnOnce(&mut report::Phone, f64)) {
        if let Some(notes) = &self.follow.notes {
            let t = self.phone.reporter.seconds();
            write(&mut notes.lock().unwrap_or_else(PoisonError::into_inner), t);
        }
    }

    fn ended(mut self, end: &CallEnd) -> Outcome {
        if self.follow.live {
            self.phone.reporter.live("");
        }
        self.hold_over();
        let stats = end.stats.as_deref().map(stats_of);
        self.note(|notes, t| {
            if let Some(stats) = &stats {
                notes.samples.push((t, stats.clone()));
            }
            notes.facts.extend(facts(end, stats.as_ref()));
        });
        self.say(&Event::Ended {
            call: self.follow.number,
            by: end.by.as_str(),
            status: end.status,
            reason: end.reason.clone(),
            duration_s: (end.duration.as_secs_f64() * 1000.0).round() / 1000.0,
            stats,
            ice: end.ice.as_deref().map(failed_pairs),
        });
        Outcome { answered: self.up_since.is_some(), by: end.by }
    }
}

/// The pairs of a call that found no way.
fn failed_pairs(report: &IceReport) -> Vec<FailedPair> {
    let failed = report.pairs.iter().filter_map(|pair| {
        Some(FailedPair {
            component: pair.component,
            pair: way(pair),
            local: pair.local.to_string(),
            remote: pair.remote.to_string(),
            sent: pair.sent,
            answered: pair.answered,
            failure: pair.trouble()?,
        })
    });
    failed.collect()
}

/// What a card of the report shows.
fn facts(end: &CallEnd, stats: Option<&Stats>) -> Vec<(String, String)> {
    let mut facts = vec![
        ("Duration".to_owned(), format!("{:.1} s", end.duration.as_secs_f64())),
        ("Ended by".to_owned(), end.by.as_str().to_owned()),
    ];
    if let Some(status) = end.status.filter(|s| *s >= 300) {
        facts.push(("Status".into(), format!("{status} {}", end.reason)));
    }
    if let Some(s) = stats {
        let expected = (s.rx_packets + s.lost).max(1);
        let mos = s.mos.map_or("–".into(), |m| format!("{m:.2}"));
        let loss = 100.0 * s.lost as f64 / expected as f64;
        let rtt = s.rtt_ms.map_or("–".into(), |r| format!("{r:.1} ms"));
        facts.push(("MOS".into(), mos));
        facts.push(("Loss".into(), format!("{loss:.1} %")));
        facts.push(("Jitter".into(), format!("{:.1} ms", s.jitter_ms)));
        facts.push(("Round trip".into(), rtt));
    }
    facts
}

/// Does one thing in a call; a refusal is said.
pub(crate) async fn act(phone: Arc<Phone>, call: Call, action: Action) {
    let (what, result) = match action {
        Action::Hold => ("hold", call.hold().await),
        Action::Resume => ("resume", call.resume().await),
        Action::Dtmf(keys) => ("dtmf", press(&call, &keys, phone.settings.dtmf_mode).await),
        // What becomes of it comes as an event of the call.
        Action::Transfer(uri) => ("transfer", call.transfer_to(uri).await.map(drop)),
        Action::Hangup => {
            call.hangup().await;
            return;
        }
    };
    if let Err(e) = result {
        phone.reporter.event(&Event::Error { what: format!("{what}: {e}") });
    }
}

async fn press(call: &Call, keys: &str, mode: DtmfMode) -> Result<(), tiny_ua::Error> {
    call.dtmf_by(keys, mode).await
}

pub(crate) fn stats_of(s: &CallStats) -> Stats {
    let tenth = |v: f64| (v * 10.0).round() / 10.0;
    Stats {
        tx_packets: s.tx_packets,
        rx_packets: s.rx_packets,
        tx_bytes: s.tx_bytes,
        rx_bytes: s.rx_bytes,
        lost: s.lost,
        late: s.late,
        duplicated: s.duplicated,
        reordered: s.reordered,
        concealed_ms: s.concealed_ms,
        jitter_ms: (s.jitter_ms * 100.0).round() / 100.0,
        buffer_ms: tenth(s.buffer_ms),
        rtt_ms: s.rtt_ms.map(|r| (r * 100.0).round() / 100.0),
        mos: (s.rx_packets > 0).then(|| (s.mos * 100.0).round() / 100.0),
        input_level_db: tenth(s.input_level_db),
        output_level_db: tenth(s.output_level_db),
        srtp_plain: s.srtp_plain,
        srtp_auth_failed: s.srtp_auth_failed,
        srtp_replayed: s.srtp_replayed,
        srtp_too_old: s.srtp_too_old,
        srtp_early: s.srtp_early,
        srtp_not_rtp: s.srtp_not_rtp,
        srtp_rejected: s.srtp_rejected,
        srtp_unsent: s.srtp_unsent,
        dtls_refused: s.dtls_refused,
    }
}

/// Follows a call that goes on in the place of another one, to its end.
pub(crate) async fn go_on(phone: Arc<Phone>, call: Call, limited: bool) -> Outcome {
    let number = phone.number();
    let how = Follow { number, limited, live: true, continues: true, ..Follow::default() };
    if !phone.reporter.is_json() {
        phone.reporter.say(&format!("[{number}] goes on with {}", call.remote_uri()));
    }
    follow(&phone, call, how).await
}

/// What to do with calls that come in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reception {
    /// Let it ring that long, then answer.
    Answer(Duration),
    Reject(u16),
}

/// Receives one call and follows it to its end.
pub(crate) async fn receive(
    phone: Arc<Phone>,
    incoming: IncomingCall,
    reception: Reception,
    how: Follow,
) -> Outcome {
    let number = how.number;
    let call = incoming.call().clone();
    let to = incoming.request().to().map(|to| to.uri.as_str().to_owned());
    let from = incoming.from().to_owned();
    if !how.quiet || phone.reporter.is_json() {
        let to = to.unwrap_or_default();
        phone.reporter.event(&Event::Incoming { call: number, from, to });
    }
    match reception {
        Reception::Reject(status) => incoming.reject(status),
        Reception::Answer(after) => {
            if !after.is_zero() && incoming.ring().await.is_ok() {
                if !how.quiet || phone.reporter.is_json() {
                    phone.reporter.event(&Event::Ringing { call: number });
                }
                let mut stop = phone.stop.clone();
                tokio::select! {
                    () = sleep(after) => {}
                    _ = call.ended() => return follow(&phone, call, how).await,
                    () = stop.wait() => {
                        incoming.reject(480);
                        return follow(&phone, call, how).await;
                    }
                }
            }
            if let Err(e) = incoming.answer(phone.audio(number)).await {
                // A caller that has just given up is no error; its end says so.
                if !matches!(e, tiny_ua::Error::Ended(_)) {
                    phone.reporter.event(&Event::Error { what: e.to_string() });
                    incoming.reject(500);
                }
            }
        }
    }
    follow(&phone, call, how).await
}
