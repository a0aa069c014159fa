//! The adaptive jitter buffer: packets in, an even stream of sound out.
//!
//! Packets are laid on one line of media time and wait until they are due. The delay follows a
//! histogram of arrivals; it is changed in pauses, or by taking out and putting in single periods
//! of the sound. What is missing is rebuilt by the decoder (redundancy, its own concealment) or by
//! repeating the last period. `docs/quality.md` has the whole story.
//!
//! No clock, no thread, no socket; bounded; nothing is allocated once the buffers have grown.

mod conceal;
mod config;
mod delay;
mod pitch;
mod playout;
mod store;
mod stretch;
mod timeline;

#[cfg(test)]
mod tests;

pub use config::JitterConfig;

use crate::plugin::{AudioDecoder, AudioFormat};
use crate::quality::LossPattern;
use conceal::Concealer;
use delay::DelayEstimator;
use playout::Playout;
use std::fmt;
use std::time::{Duration, Instant};
use store::{Packet, Store};
use timeline::{SECOND_NS, Stamp, Timeline};

/// A decoder, and the payload type that it is for.
pub struct Decoder {
    /// The payload type on the wire.
    pub payload_type: u8,
    /// The RTP clock rate in Hz.
    pub clock_rate: u32,
    /// The PCM that it gives.
    pub format: AudioFormat,
    /// The decoder.
    pub decoder: Box<dyn AudioDecoder>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({} {:?})", self.payload_type, self.format)
    }
}

/// A packet with sound, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its synchronization source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// Its payload.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inserted {
    /// It waits for its time.
    Queued,
    /// Its time is over.
    Late,
    /// It was here before.
    Duplicate,
    /// It does not fit what came before; two of the kind in a row would be believed.
    Suspect,
    /// There is no decoder for its payload type.
    UnknownPayload,
    /// The decoder cannot read it, or it is too long.
    Malformed,
}

/// Counts since the beginning, and readings of now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct JitterStats {
    /// Packets decoded.
    pub played: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came again.
    pub duplicated: u64,
    /// Packets that came after one with a higher number, and in time.
    pub reordered: u64,
    /// Packets missing at their time to play.
    pub missing: u64,
    /// Of those, rebuilt from the redundancy in the next packet.
    pub recovered: u64,
    /// Packets thrown away because the buffer was far too full.
    pub discarded: u64,
    /// Payloads that could not be decoded.
    pub decode_errors: u64,
    /// Sound made up for missing packets.
    pub concealed: Duration,
    /// Sound taken out to lower the delay.
    pub accelerated: Duration,
    /// Sound put in to raise the delay.
    pub expanded: Duration,
    /// What the delay should be.
    pub target: Duration,
    /// How long packets wait on average.
    pub delay: Duration,
    /// Packets that wait now.
    pub waiting: usize,
    /// The recent share of packets missing at their time, 0.0 to 1.0.
    pub loss: f64,
    /// How the losses cluster; 1.0 is random (see [`crate::quality`]).
    pub burst_ratio: f64,
}

/// The buffer. `insert` what arrives; `pull` sound at an even pace.
#[derive(Debug)]
pub struct JitterBuffer {
    config: JitterConfig,
    decoders: Vec<Decoder>,
    timeline: Timeline,
    delay: DelayEstimator,
    store: Store,
    // Origin of all times in ns.
    origin: Option<Instant>,
    // Numbers seen: bit n is `newest - n`.
    seen: u128,
    newest: i64,
    playout: Playout,
    concealer: Concealer,
    pattern: LossPattern,
    stats: JitterStats,
}

impl JitterBuffer {
    /// An empty buffer with its decoders.
    pub fn new(config: JitterConfig, decoders: Vec<Decoder>) -> Self {
        Self {
            delay: DelayEstimator::new(&config),
            store: Store::new(config.max_packets),
            decoders,
            timeline: Timeline::default(),
            origin: None,
            seen: 0,
            newest: i64::MIN,
            playout: Playout::default(),
            concealer: Concealer::default(),
            pattern: LossPattern::new(),
            stats: JitterStats::default(),
            config,
        }
    }

    /// Takes other decoders and returns the old ones. What waits under a payload type that is still
    /// known is played.
    pub fn set_decoders(&mut self, decoders: Vec<Decoder>) -> Vec<Decoder> {
        std::mem::replace(&mut self.decoders, decoders)
    }

    /// The decoders.
    pub fn decoders(&self) -> &[Decoder] {
        &self.decoders
    }

    /// A packet with sound arrived.
    pub fn insert(&mut self, now: Instant, packet: &Arrival<'_>) -> Inserted {
        let Some(decoder) = self.decoders.iter().find(|d| d.payload_type == packet.payload_type)
        else {
            return Inserted::UnknownPayload;
        };
        if packet.payload.len() > self.config.max_payload {
            return Inserted::Malformed;
        }
        let clock_rate = decoder.clock_rate.max(1);
        let Some(ticks) = decoder.decoder.ticks(packet.payload) else {
            self.stats.decode_errors += 1;
            return Inserted::Malformed;
        };
        // A packet of more than a second is a lie.
        if ticks == 0 || ticks > clock_rate {
            self.stats.decode_errors += 1;
            return Inserted::Malformed;
        }
        let arrival = self.ns(now);
        let length = i64::from(ticks) * SECOND_NS / i64::from(clock_rate);
        let stamp = Stamp {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            clock_rate,
            arrival,
            length,
        };
        let Some(place) = self.timeline.place(&stamp) else { return Inserted::Suspect };
        if place.restarted {
            self.delay.restart();
        }
        if let Some(refused) = self.check_number(place.sequence) {
            return refused;
        }
        self.delay.record(arrival, place.time, length);
        let reordered = place.sequence < self.newest;
        if self.playout.is_past(place.sequence) {
            self.stats.late += 1;
            return Inserted::Late;
        }
        self.mark(place.sequence);
        self.stats.reordered += u64::from(reordered);
        if self.store.is_full() {
            self.drop_front();
        }
        let entry = Packet {
            sequence: place.sequence,
            time: place.time,
            length,
            arrival,
            payload_type: packet.payload_type,
            sound: true,
            payload: Vec::new(),
        };
        if self.store.insert(entry, packet.payload) {
            Inserted::Queued
        } else {
            self.stats.duplicated += 1;
            Inserted::Duplicate
        }
    }

    /// A packet of the same source arrived that is no sound (telephone-event): its number is not
    /// missing.
    pub fn skip(&mut self, now: Instant, ssrc: u32, sequence: u16) {
        let arrival = self.ns(now);
        let Some(sequence) = self.timeline.sequence(ssrc, sequence) else { return };
        if self.check_number(sequence).is_some() || self.playout.is_past(sequence) {
            return;
        }
        self.mark(sequence);
        if self.store.is_full() {
            self.drop_front();
        }
        let entry = Packet {
            sequence,
            time: 0,
            length: 0,
            arrival,
            payload_type: 0,
            sound: false,
            payload: Vec::new(),
        };
        self.store.insert(entry, &[]);
    }

    /// The sender is known to have begun anew: nothing that came before is compared with what
    /// follows.
    pub fn restart(&mut self) {
        self.store.clear();
        self.timeline = Timeline::default();
        self.delay.restart();
        self.seen = 0;
        self.newest = i64::MIN;
        self.playout.stop();
    }

    /// The PCM that the next [`pull`](Self::pull) gives; `None` before the first packet.
    pub fn format(&self) -> Option<AudioFormat> {
        self.playout.format()
    }

    /// Whether sound has begun to play.
    pub fn is_playing(&self) -> bool {
        self.playout.is_running()
    }

    /// Counts and readings.
    pub fn stats(&self) -> JitterStats {
        let ns = |v: i64| Duration::from_nanos(v.max(0) as u64);
        JitterStats {
            target: ns(self.target()),
            delay: ns(self.playout.mean_wait()),
            waiting: self.store.len(),
            loss: self.pattern.loss(),
            burst_ratio: self.pattern.burst_ratio(),
            ..self.stats
        }
    }

    fn ns(&mut self, now: Instant) -> i64 {
        let origin = *self.origin.get_or_insert(now);
        // An Instant before the origin cannot be; it would read as zero.
        i64::try_from(now.saturating_duration_since(origin).as_nanos()).unwrap_or(i64::MAX / 4)
    }

    // Whether a number was seen or is out of all bounds.
    fn check_number(&mut self, sequence: i64) -> Option<Inserted> {
        let behind = self.newest.saturating_sub(sequence);
        if self.newest == i64::MIN || behind < 0 {
            return None;
        }
        if behind >= 128 {
            self.stats.late += 1;
            return Some(Inserted::Late);
        }
        if self.seen & (1 << behind) != 0 {
            self.stats.duplicated += 1;
            return Some(Inserted::Duplicate);
        }
        None
    }

    fn mark(&mut self, sequence: i64) {
        if self.newest == i64::MIN {
            self.newest = sequence;
            self.seen = 1;
        } else if sequence > self.newest {
            let step = sequence - self.newest;
            self.seen = if step < 128 { self.seen << step } else { 0 } | 1;
            self.newest = sequence;
        } else {
            self.seen |= 1 << (self.newest - sequence).min(127);
        }
    }

    // Makes room by giving up the oldest packet.
    fn drop_front(&mut self) {
        if let Some(p) = self.store.pop() {
            self.stats.discarded += u64::from(p.sound);
            self.playout.skip_to(p.sequence + 1, p.sound.then_some(p.time + p.length));
            self.store.recycle(p.payload);
        }
    }
}
