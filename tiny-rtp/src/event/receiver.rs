//! Receives telephone events (RFC 4733 §2.5.2): one report per press, whatever was lost, repeated
//! or reordered on the way.
//!
//! Packets are matched by timestamp, never by arrival. Memory is fixed; a stuck key ends by
//! timeout.

use super::{EventPayload, TelephoneEvent};
use crate::RtpTimestamp;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tiny_sak::Output;

/// How events are received.
#[derive(Debug, Clone)]
pub struct EventReceiverConfig {
    /// The clock of the `telephone-event` payload type in Hz, for durations. Default 8000.
    pub event_rate: u32,
    /// The clock of the timestamps in Hz; `event_rate` unless the peer mixes clocks. Default 8000.
    pub media_rate: u32,
    /// An event without news for so long is over, its final reports lost. Default 150 ms: three
    /// updates at the recommended 50 ms (§2.5.1.2, §2.5.2.2).
    pub timeout: Duration,
    /// Reports taken from one packet (§2.5.1.5). Default 8.
    pub max_per_packet: usize,
    /// Finished events remembered, so that late repetitions are known. Default 8.
    pub memory: usize,
}

impl Default for EventReceiverConfig {
    fn default() -> Self {
        Self {
            event_rate: 8000,
            media_rate: 8000,
            timeout: Duration::from_millis(150),
            max_per_packet: 8,
            memory: 8,
        }
    }
}

/// What a press has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToneEvent {
    /// A key went down; exactly one [`Ended`](Self::Ended) follows.
    Started {
        /// Which one.
        event: TelephoneEvent,
        /// Power in -dBm0; 0 when the sender does not say.
        volume: u8,
    },
    /// A key is up again.
    Ended {
        /// Which one.
        event: TelephoneEvent,
        /// How long it was down.
        duration_ms: u32,
        /// The end was not seen; the duration is what the last report said.
        timed_out: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Press {
    event: TelephoneEvent,
    // Of the current segment.
    start: RtpTimestamp,
    first_start: RtpTimestamp,
    // Event ticks of the segments before this one.
    before: u64,
    duration: u16,
    last_news: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Finished {
    event: TelephoneEvent,
    first_start: RtpTimestamp,
    start: RtpTimestamp,
    timed_out: bool,
}

/// Turns packets into presses.
///
/// ```
/// use std::time::Instant;
/// use tiny_rtp::{EventReceiver, EventReceiverConfig, RtpTimestamp, TelephoneEvent, ToneEvent};
/// use tiny_sak::Output;
/// let now = Instant::now();
/// let mut keys = EventReceiver::new(EventReceiverConfig::default());
/// // Key 5, over after 800 ticks, reported three times.
/// for _ in 0..3 {
///     keys.receive(now, RtpTimestamp(1000), &[5, 0x8a, 0x03, 0x20]);
/// }
/// assert!(matches!(keys.poll(now), Output::Event(ToneEvent::Started { .. })));
/// let Output::Event(ToneEvent::Ended { event, duration_ms, .. }) = keys.poll(now) else { panic!() };
/// assert_eq!((event.as_char(), duration_ms), (Some('5'), 100));
/// assert_eq!(keys.poll(now), Output::Timeout(None));
/// ```
#[derive(Debug)]
pub struct EventReceiver {
    config: EventReceiverConfig,
    active: Option<Press>,
    finished: VecDeque<Finished>,
    out: VecDeque<ToneEvent>,
    ignored: u64,
}

impl EventReceiver {
    /// A receiver that has heard nothing.
    pub fn new(config: EventReceiverConfig) -> Self {
        let config = EventReceiverConfig {
            event_rate: config.event_rate.max(1),
            media_rate: config.media_rate.max(1),
            ..config
        };
        let memory = config.memory.clamp(1, 64);
        Self {
            config,
            active: None,
            finished: VecDeque::with_capacity(memory),
            out: VecDeque::with_capacity(16),
            ignored: 0,
        }
    }

    /// Takes the payload of one packet of the `telephone-event` payload type. The marker bit is
    /// not needed: the timestamp tells a new event even when the first packet was lost.
    pub fn receive(&mut self, now: Instant, timestamp: RtpTimestamp, payload: &[u8]) {
        self.handle_timeout(now);
        let (reports, rest) = payload.as_chunks::<{ EventPayload::LEN }>();
        if !rest.is_empty() || reports.is_empty() {
            self.ignored += 1;
        }
        let mut start = timestamp;
        for octets in reports.iter().take(self.config.max_per_packet) {
            let report = EventPayload::parse(*octets);
            self.report(now, start, report);
            // §2.5.2.4: the next event in the packet begins where this one ends.
            start += self.media_ticks(u64::from(report.duration));
        }
    }

    /// Ends a press whose final reports were lost, when its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.finish(true);
        }
    }

    /// What there is to report; the poll contract of [`Output`]. Nothing is ever transmitted.
    pub fn poll(&mut self, now: Instant) -> Output<Infallible, ToneEvent> {
        self.handle_timeout(now);
        match self.out.pop_front() {
            Some(event) => Output::Event(event),
            None => Output::Timeout(self.deadline()),
        }
    }

    /// The source has changed or restarted: its timestamps have nothing to do with those before.
    /// A key that is down is up now.
    pub fn reset(&mut self) {
        self.finish(true);
        self.finished.clear();
    }

    /// Whether a key is down.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Reports that were malformed, empty or about events long over.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    fn deadline(&self) -> Option<Instant> {
        self.active.map(|p| p.last_news + self.config.timeout)
    }

    fn report(&mut self, now: Instant, start: RtpTimestamp, report: EventPayload) {
        // §2.3.5: zero duration means a state that lasts; none of the events here is a state.
        if report.duration == 0 || self.is_over(start, report.event) {
            self.ignored += 1;
            return;
        }
        let segment = self.segment_ticks();
        match &mut self.active {
            Some(press) if press.event == report.event && press.start == start => {
                // Reordered updates must not shorten it.
                press.duration = press.duration.max(report.duration);
                press.last_news = now;
            }
            // §2.5.2.3: a report that begins where a full segment ended goes on with it, even
            // when the full report itself was lost.
            Some(press) if press.event == report.event && is_near(start, press.start, segment) => {
                press.before += 0xffff;
                press.start = start;
                press.duration = report.duration;
                press.last_news = now;
            }
            Some(press) if press.start.is_after(start) => {
                // A straggler from a segment or event before the current one.
                self.ignored += 1;
                return;
            }
            _ => {
                // §2.5.2.2: the next tone ends the one before it.
                if self.active.is_some() {
                    self.finish(true);
                }
                self.active = Some(Press {
                    event: report.event,
                    start,
                    first_start: start,
                    before: 0,
                    duration: report.duration,
                    last_news: now,
                });
                let started = ToneEvent::Started { event: report.event, volume: report.volume };
                self.push(started);
            }
        }
        if report.end {
            self.finish(false);
        }
    }

    fn is_over(&self, start: RtpTimestamp, event: TelephoneEvent) -> bool {
        let segment = self.segment_ticks();
        let known = self.finished.iter().any(|f| {
            let within = start.since(f.first_start) >= 0 && start.since(f.start) <= 0;
            // A segment that follows one which has timed out belongs to the same press.
            f.event == event && (within || f.timed_out && is_near(start, f.start, segment))
        });
        let newest = self.finished.back();
        // Older than everything remembered, but within 8 s: a straggler, not a new stream.
        let stale = newest.is_some_and(|f| {
            let behind = i64::from(f.first_start.since(start));
            behind > 0 && behind < i64::from(self.config.media_rate) * 8
        });
        known || (stale && self.active.is_none_or(|p| p.start != start))
    }

    fn finish(&mut self, timed_out: bool) {
        let Some(press) = self.active.take() else { return };
        let ticks = press.before + u64::from(press.duration);
        let ms = ticks * 1000 / u64::from(self.config.event_rate);
        self.push(ToneEvent::Ended {
            event: press.event,
            duration_ms: u32::try_from(ms).unwrap_or(u32::MAX),
            timed_out,
        });
        if self.finished.len() >= self.config.memory.clamp(1, 64) {
            self.finished.pop_front();
        }
        let Press { event, first_start, start, .. } = press;
        self.finished.push_back(Finished { event, first_start, start, timed_out });
    }

    fn push(&mut self, event: ToneEvent) {
        // An owner who never polls loses the oldest, not memory.
        if self.out.len() >= 64 {
            self.out.pop_front();
        }
        self.out.push_back(event);
    }

    fn segment_ticks(&self) -> u32 {
        self.media_ticks(0xffff)
    }

    fn media_ticks(&self, event_ticks: u64) -> u32 {
        let (media, event) = (u64::from(self.config.media_rate), u64::from(self.config.event_rate));
        u32::try_from(event_ticks * media / event).unwrap_or(u32::MAX)
    }
}

// Converting clocks may round by a tick.
fn is_near(start: RtpTimestamp, earlier: RtpTimestamp, length: u32) -> bool {
    (start - (earlier + length)).unsigned_abs() <= 8
}
