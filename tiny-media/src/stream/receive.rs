//! The receiving half: packets → jitter buffer → decoder → resampler → processors → sink.
//!
//! The sink's clock sets the pace where it has one, else a timer; a late owner catches up a bounded
//! time and the rest is skipped and counted.

use super::config::{StreamCodec, StreamConfig};
use super::record::{Channel, Recorder};
use crate::MediaError;
use crate::jitter::{Arrival, Decoder, Inserted, JitterBuffer};
use crate::level::Level;
use crate::plugin::{AudioFormat, Processor, Sink};
use crate::resample::{self, Resampler};
use std::time::{Duration, Instant};
use tiny_rtp::{EventReceiver, EventReceiverConfig, RtpPacket};

/// Sound is given to a device in blocks of this length, and to a timer-paced sink in blocks of the
/// packet time but no longer than [`MAX_BLOCK`].
const BLOCK: Duration = Duration::from_millis(10);
const MAX_BLOCK: Duration = Duration::from_millis(20);
/// Playing time that is made up for in one go.
const MAX_CATCH_UP: u32 = 10;
/// The shortest wait for a device.
const DEVICE_WAIT: Duration = Duration::from_millis(2);
/// Comfort noise (RFC 3389) has no decoder here: it says that the sender is silent.
const COMFORT_NOISE: u8 = 13;

/// What became of a packet, for the events of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Sound,
    Other,
    Refused,
}

/// A receiver of telephone-events and its payload type.
pub(super) struct Events {
    payload_type: u8,
    // The event's clock and that of the timestamps.
    rates: (u32, u32),
    pub(super) receiver: EventReceiver,
}

pub(super) struct Receiver {
    enabled: bool,
    codecs: Vec<StreamCodec>,
    pub(super) events: Vec<Events>,
    pub(super) buffer: JitterBuffer,
    sink: Option<Box<dyn Sink>>,
    sink_target: Duration,
    sink_target_max: Duration,
    // A device sink has been filled since it was set.
    filled: bool,
    resampler: Option<Resampler>,
    processors: Vec<Box<dyn Processor>>,
    pub(super) level: Level,
    decoded: Vec<i16>,
    out: Vec<i16>,
    // Time to be played that was not a whole frame, in ns.
    owed: u64,
    block: Duration,
    next: Instant,
    pub(super) skipped: Duration,
}

impl Receiver {
    pub(super) fn new(now: Instant, config: &StreamConfig) -> Self {
        Self {
            enabled: false,
            codecs: Vec::new(),
            events: Vec::new(),
            buffer: JitterBuffer::new(config.jitter, Vec::new()),
            sink: None,
            sink_target: config.sink_target.max(BLOCK),
            sink_target_max: config.sink_target_max,
            filled: false,
            resampler: None,
            processors: Vec::new(),
            level: Level::new(),
            decoded: Vec::new(),
            out: Vec::new(),
            owed: 0,
            block: MAX_BLOCK,
            next: now,
            skipped: Duration::ZERO,
        }
    }

    /// Takes over a configuration; refuses before anything has changed.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        config: &StreamConfig,
    ) -> Result<(), MediaError> {
        let mut new = Vec::with_capacity(config.receive.len());
        // Decoders that go on keep their state: which one goes where.
        let mut kept = Vec::with_capacity(config.receive.len());
        for codec in &config.receive {
            let d = codec.codec.description();
            super::send::payload_type(codec.payload_type)?;
            resample::check(d.format)?;
            let old = self.codecs.iter().position(|c| c.same(codec));
            let old = old.filter(|i| !kept.contains(&Some(*i)));
            kept.push(old);
            let made = if old.is_none() { Some(codec.codec.decoder(&codec.fmtp)?) } else { None };
            new.push(made);
        }
        // Nothing fails from here on.
        let mut old: Vec<_> = self.buffer.set_decoders(Vec::new()).into_iter().map(Some).collect();
        let decoders = config.receive.iter().zip(new).zip(kept).filter_map(|((c, new), kept)| {
            let d = c.codec.description();
            let kept = kept.and_then(|i| old.get_mut(i)).and_then(Option::take);
            Some(Decoder {
                payload_type: c.payload_type,
                clock_rate: d.clock_rate.max(1),
                format: d.format,
                decoder: new.or(kept.map(|k| k.decoder))?,
            })
        });
        let decoders = decoders.collect();
        self.buffer.set_decoders(decoders);
        self.codecs.clone_from(&config.receive);
        self.configure_events(config);
        let enabled = config.direction.receives();
        if enabled && !self.enabled {
            self.buffer.restart();
        }
        self.enabled = enabled;
        self.sink_target_max = config.sink_target_max;
        self.block = config.ptime.clamp(BLOCK, MAX_BLOCK);
        self.next = self.next.max(now);
        Ok(())
    }

    fn configure_events(&mut self, config: &StreamConfig) {
        let media_rate = |event: u32| {
            let mut rates = config.receive.iter().map(|c| c.codec.description().clock_rate);
            if rates.clone().any(|r| r == event) { event } else { rates.next().unwrap_or(event) }
        };
        let mut old = std::mem::take(&mut self.events);
        for e in &config.event_receive {
            let rates = (e.clock_rate, media_rate(e.clock_rate));
            // One that goes on knows which digits it has seen.
            let known =
                old.iter().position(|o| o.payload_type == e.payload_type && o.rates == rates);
            self.events.push(match known {
                Some(at) => old.swap_remove(at),
                None => Events {
                    payload_type: e.payload_type,
                    rates,
                    receiver: EventReceiver::new(EventReceiverConfig {
                        event_rate: rates.0,
                        media_rate: rates.1,
                        ..EventReceiverConfig::default()
                    }),
                },
            });
        }
    }

    pub(super) fn set_sink(
        &mut self,
        now: Instant,
        sink: Option<Box<dyn Sink>>,
    ) -> Result<Option<Box<dyn Sink>>, MediaError> {
        if let Some(sink) = &sink {
            resample::check(sink.format())?;
        }
        self.resampler = None;
        self.filled = false;
        self.next = self.next.max(now);
        Ok(std::mem::replace(&mut self.sink, sink))
    }

    pub(super) fn sink_fault(&self) -> Option<String> {
        self.sink.as_ref().and_then(|s| s.fault())
    }

    pub(super) fn add_processor(&mut self, processor: Box<dyn Processor>) {
        self.processors.push(processor);
    }

    /// Payload types that are expected, with their clocks and whether they are events.
    pub(super) fn payloads(config: &StreamConfig) -> Vec<tiny_rtp::WirePayload> {
        use tiny_rtp::{PayloadType, WirePayload};
        let sound = config.receive.iter().filter_map(|c| {
            let rate = c.codec.description().clock_rate;
            Some(WirePayload::media(PayloadType::new(c.payload_type)?, rate))
        });
        let events = config.event_receive.iter().filter_map(|e| {
            Some(WirePayload::events(PayloadType::new(e.payload_type)?, e.clock_rate))
        });
        let noise = PayloadType::new(COMFORT_NOISE).map(|pt| WirePayload::events(pt, 8_000));
        noise.into_iter().chain(events).chain(sound).collect()
    }

    /// The codec that is heard, or the first that may be.
    pub(super) fn codec(&self) -> Option<&StreamCodec> {
        let playing = self.buffer.payload_type();
        let known = |pt| self.codecs.iter().find(|c| c.payload_type == pt);
        playing.and_then(known).or(self.codecs.first())
    }

    /// A valid packet came.
    pub(super) fn take(&mut self, arrival: Instant, packet: &RtpPacket<'_>) -> Taken {
        let payload_type = packet.payload_type().value();
        let (ssrc, sequence) = (packet.ssrc().0, packet.sequence().0);
        if let Some(e) = self.events.iter_mut().find(|e| e.payload_type == payload_type) {
            e.receiver.receive(arrival, packet.timestamp(), packet.payload());
            self.buffer.skip(arrival, ssrc, sequence);
            return Taken::Other;
        }
        let known = self.codecs.iter().any(|c| c.payload_type == payload_type);
        if payload_type == COMFORT_NOISE && !known {
            self.buffer.skip(arrival, ssrc, sequence);
            return Taken::Other;
        }
        if !self.enabled {
            return Taken::Other;
        }
        let result = self.buffer.insert(
            arrival,
            &Arrival {
                ssrc,
                sequence,
                timestamp: packet.timestamp().0,
                payload_type,
                payload: packet.payload(),
            },
        );
        match result {
            Inserted::UnknownPayload | Inserted::Malformed => Taken::Refused,
            _ => Taken::Sound,
        }
    }

    /// When there is work next; `None` when nothing is played.
    pub(super) fn deadline(&self, recording: bool) -> Option<Instant> {
        // A file that is written goes on with silence; a device does so by itself.
        let timed = self.sink.as_ref().is_some_and(|s| s.queued().is_none());
        (self.enabled || timed || recording).then_some(self.next)
    }

    /// Does what is due.
    pub(super) fn run(&mut self, now: Instant, recorder: &mut Option<Recorder>) {
        if self.next > now {
            return;
        }
        if self.sink.as_ref().is_some_and(|s| s.queued().is_some()) {
            self.run_device(now, recorder);
        } else {
            self.run_timer(now, recorder);
        }
    }

    fn run_device(&mut self, now: Instant, recorder: &mut Option<Recorder>) {
        let Some(sink) = &self.sink else { return };
        let format = sink.format();
        let before = sink.queued().unwrap_or(0);
        if self.filled && before < format.samples(DEVICE_WAIT) {
            // It takes more at a time than is kept for it.
            self.sink_target =
                (self.sink_target + BLOCK).min(self.sink_target_max.max(self.sink_target));
        }
        self.filled = true;
        let target = format.samples(self.sink_target);
        let queued = |s: &Option<Box<dyn Sink>>| s.as_ref().and_then(|s| s.queued()).unwrap_or(0);
        for _ in 0..MAX_CATCH_UP * 2 {
            if queued(&self.sink) >= target {
                break;
            }
            self.play(now, BLOCK, recorder);
        }
        let above = queued(&self.sink).saturating_sub(target);
        let wait = format.duration(above) + BLOCK / 2;
        self.next = now + wait.clamp(DEVICE_WAIT, self.sink_target);
    }

    fn run_timer(&mut self, now: Instant, recorder: &mut Option<Recorder>) {
        let mut blocks = 0;
        while self.next <= now {
            if blocks == MAX_CATCH_UP {
                let behind = now - self.next;
                let lost = (behind.as_nanos() / self.block.as_nanos().max(1)) as u32 + 1;
                self.skipped += self.block * lost;
                self.next += self.block * lost;
                break;
            }
            // By the time when it was due, so that a late owner is no jitter.
            let due = self.next;
            self.play(due, self.block, recorder);
            self.next += self.block;
            blocks += 1;
        }
    }

    // Plays a span of time.
    fn play(&mut self, now: Instant, span: Duration, recorder: &mut Option<Recorder>) {
        self.out.clear();
        self.owed += span.as_nanos() as u64;
        let wanted = self.sink.as_ref().map(|s| s.format());
        // The format changes at most once or twice in a block.
        for _ in 0..4 {
            let from = self.buffer.format().filter(|_| self.enabled);
            let Some(from) = from.or(wanted).or(self.first_format()) else {
                self.owed = 0;
                break;
            };
            let frames = frames_in(self.owed, from.rate);
            if frames == 0 {
                break;
            }
            self.decoded.clear();
            let mut pulled = frames;
            if self.enabled && self.buffer.format() == Some(from) {
                pulled = self.buffer.pull(now, frames, &mut self.decoded);
            } else if self.enabled {
                // Before the first packet: silence, and the buffer learns its format.
                self.buffer.pull(now, 0, &mut self.decoded);
                self.decoded.resize(frames * usize::from(from.channels), 0);
            } else {
                self.decoded.resize(frames * usize::from(from.channels), 0);
            }
            self.owed = self.owed.saturating_sub(ns_of(pulled, from.rate));
            self.convert(from, wanted.unwrap_or(from));
            if pulled == frames {
                break;
            }
        }
        let Some(format) = wanted.or(self.resampler.as_ref().map(Resampler::to)) else { return };
        for p in &mut self.processors {
            p.process(format, &mut self.out);
        }
        self.level.update(format, &self.out);
        if let Some(sink) = &mut self.sink {
            sink.write(&self.out);
        }
        if let Some(recorder) = recorder {
            recorder.write(now, Channel::Heard, format, &self.out);
        }
    }

    fn convert(&mut self, from: AudioFormat, to: AudioFormat) {
        let fits = |r: &Resampler| r.from() == from && r.to() == to;
        if !self.resampler.as_ref().is_some_and(fits) {
            // Both formats were checked where they came in.
            self.resampler = Resampler::new(from, to).ok();
        }
        if let Some(r) = &mut self.resampler {
            r.process(&self.decoded, &mut self.out);
        }
    }

    fn first_format(&self) -> Option<AudioFormat> {
        self.codecs.first().map(|c| c.codec.description().format)
    }
}

fn frames_in(ns: u64, rate: u32) -> usize {
    (u128::from(ns) * u128::from(rate) / 1_000_000_000) as usize
}

fn ns_of(frames: usize, rate: u32) -> u64 {
    // Rounded up, so that what is owed never grows by rounding.
    (frames as u128 * 1_000_000_000).div_ceil(u128::from(rate.max(1))) as u64
}
