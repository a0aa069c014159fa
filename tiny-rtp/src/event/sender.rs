//! Sends telephone events (RFC 4733 §2.5.1): updates at the packet rate under one timestamp, the
//! final report three times, segments beyond 0xFFFF ticks, a pause between digits.
//!
//! Driven by the media clock alone: one call per packet time with the tick that an audio packet
//! would carry. It never drops a digit silently: a full queue refuses.

use super::{EventPayload, EventSet, TelephoneEvent};
use std::collections::VecDeque;
use std::time::Duration;

/// How events are sent.
#[derive(Debug, Clone)]
pub struct EventSenderConfig {
    /// The clock of the `telephone-event` payload type in Hz, for durations. Default 8000 (§2.1).
    pub event_rate: u32,
    /// The clock of the audio stream in Hz, for timestamps. Default 8000. It should equal
    /// `event_rate`; where a peer negotiates `opus/48000` with `telephone-event/8000`, timestamps
    /// keep the audio's base (§2.1) and durations are converted.
    pub media_rate: u32,
    /// The packet time; each call of [`EventSender::next`] stands for one. Default 20 ms.
    pub ptime: Duration,
    /// Power in -dBm0, 0 to 63. Default 10.
    pub volume: u8,
    /// The pause after a digit before the next may begin. Default 70 ms.
    pub gap: Duration,
    /// How often the final report is sent in all. Default 3 (§2.5.1.4).
    pub final_reports: u8,
    /// What the peer takes (§2.5.1.1). Default the sixteen keys.
    pub allowed: EventSet,
    /// How many events may wait. Default 64.
    pub max_queue: usize,
    /// Shorter presses are lengthened to this. Default 40 ms, which receivers of tones need.
    pub min_duration: Duration,
}

impl Default for EventSenderConfig {
    fn default() -> Self {
        Self {
            event_rate: 8000,
            media_rate: 8000,
            ptime: Duration::from_millis(20),
            volume: 10,
            gap: Duration::from_millis(70),
            final_reports: 3,
            allowed: EventSet::DTMF,
            max_queue: 64,
            min_duration: Duration::from_millis(40),
        }
    }
}

/// Why an event is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The peer has not listed this event.
    #[error("the peer takes no telephone event {0}")]
    NotAllowed(u8),
    /// Too many are waiting.
    #[error("{0} telephone events are waiting already")]
    Full(usize),
}

/// One packet to be sent under the payload type of `telephone-event`, in place of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// The marker bit: set on an event's first packet only.
    pub marker: bool,
    /// The media tick of the event's (or segment's) beginning; the same in all its packets.
    pub ticks: u32,
    /// The payload.
    pub payload: [u8; EventPayload::LEN],
    /// The final report of the event, or a repetition of it.
    pub end: bool,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    event: TelephoneEvent,
    // None: until released.
    duration: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    event: TelephoneEvent,
    // Media ticks; the segment's start is the timestamp that is sent.
    start: u32,
    segment_start: u32,
    // Planned length in media ticks; None until released.
    length: Option<u32>,
    first: bool,
    // Set once the E bit has been sent: the frozen final report and how often it is still due.
    ending: Option<(u16, u8)>,
}

// The last report of a finished segment, sent again.
#[derive(Debug, Clone, Copy)]
struct SegmentEnd {
    start: u32,
    left: u8,
}

/// Turns presses into packets.
///
/// ```
/// use std::time::Duration;
/// use tiny_rtp::{EventSender, EventSenderConfig, TelephoneEvent};
/// let mut keys = EventSender::new(EventSenderConfig::default());
/// keys.press(TelephoneEvent::from_char('5').unwrap(), Duration::from_millis(60)).unwrap();
/// let mut sent = Vec::new();
/// for ticks in (0..).step_by(160).take(10) {
///     let before = sent.len();
///     while let Some(packet) = keys.next(ticks) {
///         sent.push(packet);
///     }
///     // In a packet time without event packets the audio goes on.
///     let _audio_is_sent = sent.len() == before;
/// }
/// assert_eq!(sent.len(), 5, "20, 40, 60 ms, and the end twice more");
/// assert!(sent.iter().all(|p| p.ticks == 0));
/// ```
#[derive(Debug)]
pub struct EventSender {
    config: EventSenderConfig,
    queue: VecDeque<Queued>,
    active: Option<Active>,
    segment_end: Option<SegmentEnd>,
    // No new event before this tick.
    quiet_until: Option<u32>,
    last_call: Option<u32>,
    // What the current packet time still has to give.
    due: Due,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    SegmentEnd,
    Report,
    Nothing,
}

impl EventSender {
    /// A sender with nothing to send.
    pub fn new(config: EventSenderConfig) -> Self {
        let config = EventSenderConfig {
            event_rate: config.event_rate.max(1),
            media_rate: config.media_rate.max(1),
            final_reports: config.final_reports.max(1),
            ..config
        };
        Self {
            config,
            queue: VecDeque::new(),
            active: None,
            segment_end: None,
            quiet_until: None,
            last_call: None,
            due: Due::Nothing,
        }
    }

    /// Queues an event of a given length.
    ///
    /// # Errors
    /// [`QueueError`] when the peer does not take it or too many wait.
    pub fn press(&mut self, event: TelephoneEvent, duration: Duration) -> Result<(), QueueError> {
        let duration = duration.max(self.config.min_duration);
        self.enqueue(Queued { event, duration: Some(duration) })
    }

    /// Queues an event that lasts until [`release`](Self::release).
    ///
    /// # Errors
    /// As [`press`](Self::press).
    pub fn hold(&mut self, event: TelephoneEvent) -> Result<(), QueueError> {
        self.enqueue(Queued { event, duration: None })
    }

    /// Ends the event begun by [`hold`](Self::hold); one that is still waiting is sent at its
    /// minimum length.
    pub fn release(&mut self) {
        let min = self.media_ticks(self.config.min_duration);
        let reported = self.reported();
        if let Some(active) = &mut self.active
            && active.length.is_none()
        {
            active.length = Some(reported.max(min));
            return;
        }
        if let Some(queued) = self.queue.iter_mut().find(|q| q.duration.is_none()) {
            queued.duration = Some(self.config.min_duration);
        }
    }

    /// Forgets what waits and ends what is being sent.
    pub fn clear(&mut self) {
        self.queue.clear();
        let reported = self.reported();
        if let Some(active) = &mut self.active {
            active.length = Some(active.length.map_or(reported, |l| l.min(reported)));
        }
    }

    // What the last report of the present event has said, in media ticks. Never to be undercut.
    fn reported(&self) -> u32 {
        match (&self.active, self.last_call) {
            (Some(active), Some(ticks)) => {
                ticks.wrapping_sub(active.start).wrapping_add(self.ptime())
            }
            _ => 0,
        }
    }

    /// Nothing is being sent and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.active.is_none() && self.segment_end.is_none() && self.queue.is_empty()
    }

    /// How many events wait, the one being sent not counted.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The next packet of the packet time that begins at `ticks` on the media clock. Call until it
    /// returns `None`; when the first call of a packet time returns `None`, send audio.
    pub fn next(&mut self, ticks: u32) -> Option<EventPacket> {
        if self.last_call != Some(ticks) {
            self.last_call = Some(ticks);
            self.begin_if_due(ticks);
            self.due = Due::SegmentEnd;
        }
        if self.due == Due::SegmentEnd {
            if let Some(packet) = self.repeat_segment_end() {
                self.due = Due::Report;
                return Some(packet);
            }
            self.due = Due::Report;
        }
        if self.due == Due::Report {
            return self.report(ticks);
        }
        None
    }

    fn enqueue(&mut self, queued: Queued) -> Result<(), QueueError> {
        if !self.config.allowed.contains(queued.event) {
            return Err(QueueError::NotAllowed(queued.event.0));
        }
        if self.queue.len() >= self.config.max_queue {
            return Err(QueueError::Full(self.queue.len()));
        }
        self.queue.push_back(queued);
        Ok(())
    }

    fn begin_if_due(&mut self, ticks: u32) {
        if self.active.is_some() {
            return;
        }
        if let Some(until) = self.quiet_until {
            if (until.wrapping_sub(ticks) as i32) > 0 {
                return;
            }
            self.quiet_until = None;
        }
        let Some(queued) = self.queue.pop_front() else { return };
        self.active = Some(Active {
            event: queued.event,
            start: ticks,
            segment_start: ticks,
            length: queued.duration.map(|d| self.media_ticks(d)),
            first: true,
            ending: None,
        });
    }

    fn repeat_segment_end(&mut self) -> Option<EventPacket> {
        let end = self.segment_end.as_mut()?;
        let (start, event) = (end.start, self.active?.event);
        end.left -= 1;
        if end.left == 0 {
            self.segment_end = None;
        }
        Some(self.packet(event, start, 0xffff, false, false))
    }

    fn report(&mut self, ticks: u32) -> Option<EventPacket> {
        let ptime = self.ptime();
        let segment_length = self.segment_length();
        let mut active = self.active?;
        self.due = Due::Nothing;
        if let Some((duration, left)) = active.ending {
            // §2.5.1.4: the final report again, unchanged.
            active.ending = Some((duration, left - 1));
            self.active = (left > 1).then_some(active);
            return Some(self.packet(active.event, active.segment_start, duration, false, true));
        }
        // The report covers the packet time that `ticks` begins.
        let lasted = ticks.wrapping_sub(active.start).wrapping_add(ptime);
        let over = active.length.is_some_and(|length| lasted >= length);
        let lasted = active.length.map_or(lasted, |length| if over { length } else { lasted });
        let in_segment =
            lasted.wrapping_sub(active.segment_start.wrapping_sub(active.start)).max(1);
        if in_segment > segment_length {
            // §2.5.1.3: the segment ends at its maximum without E, and the next begins there.
            let marker = std::mem::take(&mut active.first);
            let start = active.segment_start;
            active.segment_start = start.wrapping_add(segment_length);
            let left = self.config.final_reports - 1;
            self.segment_end = (left > 0).then_some(SegmentEnd { start, left });
            self.active = Some(active);
            self.due = Due::Report;
            return Some(self.packet(active.event, start, 0xffff, marker, false));
        }
        let duration = self.event_ticks(in_segment);
        let marker = std::mem::take(&mut active.first);
        let start = active.segment_start;
        if over {
            let end = active.start.wrapping_add(lasted);
            self.quiet_until = Some(end.wrapping_add(self.media_ticks(self.config.gap)));
            let left = self.config.final_reports - 1;
            active.ending = Some((duration, left));
            self.active = (left > 0).then_some(active);
        } else {
            self.active = Some(active);
        }
        Some(self.packet(active.event, start, duration, marker, over))
    }

    fn packet(
        &self,
        event: TelephoneEvent,
        ticks: u32,
        duration: u16,
        marker: bool,
        end: bool,
    ) -> EventPacket {
        // §2.3.4: volume 0 where it is not defined.
        let volume = if event.has_volume() { self.config.volume } else { 0 };
        let payload = EventPayload { event, end, volume, duration }.to_bytes();
        EventPacket { marker, ticks, payload, end }
    }

    fn ptime(&self) -> u32 {
        self.media_ticks(self.config.ptime)
    }

    fn media_ticks(&self, span: Duration) -> u32 {
        let ticks = span.as_micros() * u128::from(self.config.media_rate) / 1_000_000;
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// The longest segment in media ticks: 0xFFFF in the event's own clock.
    fn segment_length(&self) -> u32 {
        let (media, event) = (u64::from(self.config.media_rate), u64::from(self.config.event_rate));
        u32::try_from(0xffff * media / event).unwrap_or(u32::MAX).max(1)
    }

    fn event_ticks(&self, media_ticks: u32) -> u16 {
        let (media, event) = (u64::from(self.config.media_rate), u64::from(self.config.event_rate));
        // §2.3.5: zero would mean "forever".
        u16::try_from(u64::from(media_ticks) * event / media).unwrap_or(u16::MAX).max(1)
    }
}
