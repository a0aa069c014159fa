//! Digits that wait to be sent, one after the other with gaps between them: as telephone-events
//! (RFC 4733) or as tones in the sound.

use super::config::EventPayload;
use super::event::DtmfVia;
use crate::MediaError;
use crate::plugin::AudioFormat;
use crate::tone::{DtmfGenerator, dtmf_frequencies};
use std::collections::VecDeque;
use std::time::Duration;
use tiny_rtp::{EventPacket, EventSender, EventSenderConfig, TelephoneEvent};

/// Shortest and longest digit, in ms: receivers of tones need 40 (Q.24); longer ones are a mistake.
const DURATION_MS: std::ops::RangeInclusive<u32> = 40..=8_000;
/// Shortest and longest gap, in ms.
const GAP_MS: std::ops::RangeInclusive<u32> = 40..=8_000;
/// What a comma stands for.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Digit {
    key: char,
    duration_ms: u32,
    gap: Duration,
    via: DtmfVia,
}

#[derive(Debug)]
pub(super) struct Digits {
    queue: VecDeque<Digit>,
    limit: usize,
    // The gap that follows the digit being sent.
    current: Option<Duration>,
    quiet: Duration,
    events: Option<(u8, EventSender)>,
    // What `events` and `tones` were made for.
    made_for: Option<(Option<EventPayload>, u32, u32, Duration)>,
    tones: DtmfGenerator,
    sent: bool,
}

impl Digits {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            limit,
            current: None,
            quiet: Duration::ZERO,
            events: None,
            made_for: None,
            tones: DtmfGenerator::new(8_000),
            sent: false,
        }
    }

    /// What the peer takes, and the clocks. Where they change, a digit that is being sent ends.
    pub(super) fn configure(
        &mut self,
        events: Option<EventPayload>,
        media_rate: u32,
        pcm_rate: u32,
        ptime: Duration,
    ) {
        let made_for = Some((events, media_rate, pcm_rate, ptime));
        if self.made_for == made_for {
            return;
        }
        self.made_for = made_for;
        self.events = events.map(|e| {
            let sender = EventSender::new(EventSenderConfig {
                event_rate: e.clock_rate,
                media_rate,
                ptime,
                gap: Duration::ZERO,
                ..EventSenderConfig::default()
            });
            (e.payload_type, sender)
        });
        self.tones = DtmfGenerator::new(pcm_rate);
    }

    pub(super) fn queue(
        &mut self,
        digits: &str,
        via: DtmfVia,
        duration_ms: u32,
        gap_ms: u32,
    ) -> Result<(), MediaError> {
        let refuse = |reason: String| Err(MediaError::Config { what: "dtmf", reason });
        if via == DtmfVia::Rfc4733 && self.events.is_none() {
            return refuse("the peer takes no telephone-event; send the tones in the sound".into());
        }
        if let Some(bad) = digits.chars().find(|c| dtmf_frequencies(*c).is_none() && *c != ',') {
            return refuse(format!("'{bad}' is no digit; 0-9, *, #, A-D and ',' are"));
        }
        let count = digits.chars().count();
        if self.queue.len() + count > self.limit {
            let limit = self.limit;
            return refuse(format!("{count} more digits than may wait (at most {limit})"));
        }
        let duration_ms = duration_ms.clamp(*DURATION_MS.start(), *DURATION_MS.end());
        let gap = Duration::from_millis(gap_ms.clamp(*GAP_MS.start(), *GAP_MS.end()).into());
        let digit = |key| Digit { key, duration_ms, gap, via };
        self.queue.extend(digits.chars().map(digit));
        Ok(())
    }

    /// Whether anything is being sent or waits.
    pub(super) fn is_busy(&self) -> bool {
        self.current.is_some() || !self.queue.is_empty() || !self.quiet.is_zero()
    }

    /// True once after the last digit was sent.
    pub(super) fn take_sent(&mut self) -> bool {
        std::mem::take(&mut self.sent)
    }

    /// A packet time of `ptime` begins.
    pub(super) fn advance(&mut self, ptime: Duration) {
        if !self.is_busy() {
            return;
        }
        let idle = self.events.as_ref().is_none_or(|(_, e)| e.is_idle()) && !self.tones.is_active();
        if !idle {
            return;
        }
        if let Some(gap) = self.current.take() {
            self.quiet = gap;
            if self.queue.is_empty() {
                self.sent = true;
                self.quiet = Duration::ZERO;
                return;
            }
        }
        if !self.quiet.is_zero() {
            self.quiet = self.quiet.saturating_sub(ptime);
            if !self.quiet.is_zero() {
                return;
            }
        }
        let Some(digit) = self.queue.pop_front() else { return };
        if digit.key == ',' {
            self.quiet = PAUSE;
            self.sent = self.queue.is_empty();
            return;
        }
        self.current = Some(digit.gap);
        match (digit.via, &mut self.events) {
            (DtmfVia::Rfc4733, Some((_, events))) => {
                let length = Duration::from_millis(digit.duration_ms.into());
                if let Some(event) = TelephoneEvent::from_char(digit.key) {
                    // Only sixteen keys are queued, one at a time: it is neither refused nor full.
                    let _ = events.press(event, length);
                }
            }
            // Negotiated away since it was queued: the tones will do.
            _ => drop(self.tones.start(digit.key, digit.duration_ms)),
        }
    }

    /// The next telephone-event packet of the packet time that begins at `ticks`, with its payload
    /// type.
    pub(super) fn next_event(&mut self, ticks: u32) -> Option<(u8, EventPacket)> {
        let (payload_type, events) = self.events.as_mut()?;
        if events.is_idle() {
            return None;
        }
        events.next(ticks).map(|p| (*payload_type, p))
    }

    /// Puts the tones of a digit, if one sounds, in place of the sound. True when it did.
    pub(super) fn write_tones(&mut self, format: AudioFormat, pcm: &mut [i16]) -> bool {
        self.tones.is_active() && self.tones.write(format, pcm) > 0
    }
}
