//! The sending half: source → processors → resampler → encoder → packets.
//!
//! Two clocks can set the pace: a device that says how much it has ready, or a timer. Time lost by
//! a late owner is made up for by a few packets at most; the rest is skipped and counted.

use super::config::{StreamCodec, StreamConfig};
use super::digits::Digits;
use super::record::{Channel, Recorder};
use super::{Component, Transmit};
use crate::MediaError;
use crate::level::Level;
use crate::plugin::{AudioEncoder, AudioFormat, Encoded, Processor, Source};
use crate::resample::{self, Resampler};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tiny_rtp::{PayloadType, Session};

/// Sound is taken from the source in blocks of this length, which is what processors get.
const BLOCK: Duration = Duration::from_millis(10);
/// A device that gives nothing for so long is replaced by silence until it gives again.
const DEVICE_STALL: Duration = Duration::from_millis(500);
/// The shortest wait for a device.
const DEVICE_WAIT: Duration = Duration::from_millis(2);

pub(super) struct Encoder {
    codec: StreamCodec,
    encoder: Box<dyn AudioEncoder>,
    payload_type: PayloadType,
    format: AudioFormat,
    clock_rate: u32,
}

impl Encoder {
    fn new(codec: &StreamCodec) -> Result<Self, MediaError> {
        let d = codec.codec.description();
        let payload_type = payload_type(codec.payload_type)?;
        resample::check(d.format)?;
        Ok(Self {
            encoder: codec.codec.encoder(&codec.fmtp)?,
            payload_type,
            format: d.format,
            clock_rate: d.clock_rate.max(1),
            codec: codec.clone(),
        })
    }
}

/// What [`Sender::prepare`] has made.
pub(super) enum Prepared {
    /// Nothing is sent.
    None,
    /// The encoder goes on, perhaps under another payload type.
    Same(PayloadType),
    /// Another encoder, and the way to its format.
    New(Box<(Encoder, Option<Resampler>)>),
}

pub(super) fn payload_type(value: u8) -> Result<PayloadType, MediaError> {
    PayloadType::new(value).ok_or_else(|| MediaError::Config {
        what: "payload type",
        reason: format!("{value} is above 127"),
    })
}

/// What sending needs of its surroundings.
pub(super) struct Outlet<'a> {
    pub(super) session: &'a mut Session,
    pub(super) outbox: &'a mut VecDeque<Transmit>,
    pub(super) pool: &'a mut Vec<Vec<u8>>,
    pub(super) recorder: &'a mut Option<Recorder>,
}

pub(super) struct Sender {
    enabled: bool,
    ptime: Duration,
    max_catch_up: u32,
    max_packet: usize,
    dtx: bool,
    encoder: Option<Encoder>,
    source: Option<Box<dyn Source>>,
    resampler: Option<Resampler>,
    processors: Vec<Box<dyn Processor>>,
    pub(super) muted: bool,
    pub(super) digits: Digits,
    pub(super) level: Level,
    // One block in the source's format; sound in the codec's format that waits for a packet.
    block: Vec<i16>,
    waiting: Vec<i16>,
    // The media clock at the next packet, and when that was so.
    ticks: u32,
    // Fractions of a tick, in ns · rate.
    tick_rest: u64,
    ticks_at: Instant,
    marker: bool,
    // Timer pace: when the next packet is due. Device pace: when to look again.
    next: Instant,
    last_data: Instant,
    stalled: bool,
    ended: bool,
    pub(super) source_ended: bool,
    pub(super) skipped: Duration,
    pub(super) errors: u64,
}

impl Sender {
    pub(super) fn new(now: Instant, config: &StreamConfig) -> Self {
        Self {
            enabled: false,
            ptime: config.ptime,
            max_catch_up: config.max_catch_up,
            max_packet: config.max_packet,
            dtx: config.dtx,
            encoder: None,
            source: None,
            resampler: None,
            processors: Vec::new(),
            muted: false,
            digits: Digits::new(config.max_digits),
            level: Level::new(),
            block: Vec::new(),
            waiting: Vec::new(),
            ticks: 0,
            tick_rest: 0,
            ticks_at: now,
            marker: true,
            next: now,
            last_data: now,
            stalled: false,
            ended: false,
            source_ended: false,
            skipped: Duration::ZERO,
            errors: 0,
        }
    }

    /// Makes what a configuration needs, and changes nothing yet.
    pub(super) fn prepare(&self, config: &StreamConfig) -> Result<Prepared, MediaError> {
        let Some(codec) = &config.send else { return Ok(Prepared::None) };
        if let Some(old) = &self.encoder
            && old.codec.same(codec)
        {
            return Ok(Prepared::Same(payload_type(codec.payload_type)?));
        }
        let new = Encoder::new(codec)?;
        let resampler =
            self.source.as_ref().map(|s| Resampler::new(s.format(), new.format)).transpose()?;
        Ok(Prepared::New(Box::new((new, resampler))))
    }

    /// Takes over a configuration.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        config: &StreamConfig,
        prepared: Prepared,
        session: &mut Session,
    ) {
        let before = self.encoder.as_ref().map(|e| e.clock_rate);
        match prepared {
            Prepared::None => self.encoder = None,
            Prepared::Same(payload_type) => {
                if let (Some(e), Some(codec)) = (&mut self.encoder, &config.send) {
                    e.payload_type = payload_type;
                    e.codec = codec.clone();
                }
            }
            Prepared::New(made) => {
                let (new, resampler) = *made;
                self.encoder = Some(new);
                self.resampler = resampler;
                self.waiting.clear();
            }
        }
        // A packet time in whole codec frames; odd ones would drift.
        self.ptime = config.ptime.clamp(Duration::from_millis(5), Duration::from_millis(200));
        if let Some(e) = &self.encoder {
            if before != Some(e.clock_rate) {
                session.set_clock_rate(e.clock_rate);
            }
            self.digits.configure(config.event_send, e.clock_rate, e.format.rate, self.ptime);
        }
        let enabled = config.direction.sends() && self.encoder.is_some();
        if enabled && !self.enabled {
            // The media clock has gone on all the while (RFC 3550 §5.1).
            self.jump(now);
            self.next = now;
            self.last_data = now;
            self.waiting.clear();
        }
        if !enabled {
            self.level.reset();
        }
        self.enabled = enabled;
        self.dtx = config.dtx;
        self.max_catch_up = config.max_catch_up.max(1);
        self.max_packet = config.max_packet;
    }

    pub(super) fn set_source(
        &mut self,
        now: Instant,
        source: Option<Box<dyn Source>>,
    ) -> Result<Option<Box<dyn Source>>, MediaError> {
        let resampler = match (&source, &self.encoder) {
            (Some(s), Some(e)) => Some(Resampler::new(s.format(), e.format)?),
            (Some(s), None) => {
                resample::check(s.format())?;
                None
            }
            (None, _) => None,
        };
        self.resampler = resampler;
        self.waiting.clear();
        (self.stalled, self.ended, self.last_data) = (false, false, now);
        Ok(std::mem::replace(&mut self.source, source))
    }

    pub(super) fn add_processor(&mut self, processor: Box<dyn Processor>) {
        self.processors.push(processor);
    }

    pub(super) fn source_fault(&self) -> Option<String> {
        self.source.as_ref().and_then(|s| s.fault())
    }

    pub(super) fn expect_loss(&mut self, percent: u8) {
        if let Some(e) = &mut self.encoder {
            e.encoder.expect_loss(percent);
        }
    }

    /// When there is work next; `None` when nothing is sent.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let drains = self.source.as_ref().is_some_and(|s| s.available().is_some());
        (self.enabled || drains).then_some(self.next)
    }

    /// Does what is due.
    pub(super) fn run(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        if self.next > now {
            return;
        }
        if !self.enabled {
            self.drain_device(now);
            return;
        }
        let device = !self.ended && self.source.as_ref().is_some_and(|s| s.available().is_some());
        if device && self.run_device(now, outlet) {
            return;
        }
        let mut packets = 0;
        while self.next <= now {
            if packets == self.max_catch_up {
                let behind = now - self.next;
                let lost = (behind.as_nanos() / self.ptime.as_nanos().max(1)) as u32 + 1;
                self.skip(self.ptime * lost);
                self.next += self.ptime * lost;
                break;
            }
            while self.waiting.len() < self.packet_samples() {
                self.read_block(now, outlet);
            }
            let due = self.next;
            self.send_packet(due, now, outlet);
            self.next += self.ptime;
            packets += 1;
        }
    }

    // Device pace. False when the device has stalled and the timer has to do.
    fn run_device(&mut self, now: Instant, outlet: &mut Outlet<'_>) -> bool {
        let Some(source) = &self.source else { return false };
        let format = source.format();
        let block = block_samples(format);
        let ready = source.available().unwrap_or(0);
        if ready >= block {
            (self.last_data, self.stalled) = (now, false);
        } else if self.stalled || now.saturating_duration_since(self.last_data) > DEVICE_STALL {
            self.stalled = true;
            return false;
        }
        // What a late owner has let pile up.
        let limit = format.samples(self.ptime * (self.max_catch_up + 1)).max(2 * block);
        if ready > limit {
            let excess = (ready - format.samples(self.ptime)) / block;
            for _ in 0..excess {
                self.discard_block();
            }
            self.skip(BLOCK * excess as u32);
        }
        while self.source.as_ref().and_then(|s| s.available()).unwrap_or(0) >= block {
            self.read_block(now, outlet);
            while self.waiting.len() >= self.packet_samples() {
                self.send_packet(now, now, outlet);
            }
        }
        let missing = self.packet_samples().saturating_sub(self.waiting.len());
        let wait = self.codec_format().map_or(BLOCK, |f| f.duration(missing));
        self.next = now + wait.clamp(DEVICE_WAIT, self.ptime / 2);
        true
    }

    // On hold: what the microphone hears must not wait for the call to go on.
    fn drain_device(&mut self, now: Instant) {
        let Some(source) = &self.source else { return };
        let block = block_samples(source.format());
        for _ in 0..source.available().unwrap_or(0) / block {
            self.discard_block();
        }
        self.next = now + Duration::from_millis(100);
    }

    fn discard_block(&mut self) {
        if let Some(source) = &mut self.source {
            self.block.resize(block_samples(source.format()), 0);
            source.read(&mut self.block);
        }
    }

    // One block from the source to what waits for a packet.
    fn read_block(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        let Some(source) = &mut self.source else {
            let samples = self.packet_samples();
            self.waiting.resize(samples, 0);
            return;
        };
        let format = source.format();
        self.block.clear();
        self.block.resize(block_samples(format), 0);
        let read = source.read(&mut self.block).min(self.block.len());
        self.block[read..].fill(0);
        if !self.ended && source.finished() {
            (self.ended, self.source_ended) = (true, true);
        }
        if self.muted {
            self.block.fill(0);
        }
        for p in &mut self.processors {
            p.process(format, &mut self.block);
        }
        self.level.update(format, &self.block);
        if let Some(recorder) = outlet.recorder {
            recorder.write(now, Channel::Sent, format, &self.block);
        }
        match &mut self.resampler {
            Some(r) => r.process(&self.block, &mut self.waiting),
            None => self.waiting.extend_from_slice(&self.block),
        }
    }

    // Sends one packet time of what waits, as sound or as an event.
    fn send_packet(&mut self, due: Instant, now: Instant, outlet: &mut Outlet<'_>) {
        let samples = self.packet_samples();
        let ticks = self.ticks;
        self.digits.advance(self.ptime);
        let mut events = false;
        while let Some((pt, packet)) = self.digits.next_event(ticks) {
            events = true;
            let Some(pt) = PayloadType::new(pt) else { continue };
            let mut data = take_buffer(outlet.pool);
            let sent = outlet.session.send(
                now,
                pt,
                packet.marker,
                packet.ticks,
                &packet.payload,
                &mut data,
            );
            finish(outlet, data, sent.ok());
        }
        if events {
            // RFC 4733 §2.5.1.3: sound after an event is a new talk spurt.
            self.marker = true;
        } else {
            self.send_sound(samples, now, outlet);
        }
        self.waiting.drain(..samples.min(self.waiting.len()));
        self.advance_ticks(self.ptime);
        self.ticks_at = due + self.ptime;
    }

    fn send_sound(&mut self, samples: usize, now: Instant, outlet: &mut Outlet<'_>) {
        let Some(e) = &mut self.encoder else { return };
        let Some(pcm) = self.waiting.get_mut(..samples) else { return };
        self.digits.write_tones(e.format, pcm);
        let mut data = take_buffer(outlet.pool);
        let (encoder, dtx, limit) = (&mut e.encoder, self.dtx, self.max_packet);
        let mut failed = false;
        let sent = outlet.session.send_with(
            now,
            e.payload_type,
            self.marker,
            self.ticks,
            &mut data,
            |out| {
                let begin = out.len();
                let result = encoder.encode(pcm, out);
                let length = out.len() - begin;
                failed = result.is_err() || out.len() > limit;
                // Silence is left out, unless the encoder has made something of it all the same.
                !failed && length > 0 && (matches!(result, Ok(Encoded::Packet)) || !dtx)
            },
        );
        self.errors += u64::from(failed);
        match sent {
            Ok(Some(to)) => {
                self.marker = false;
                finish(outlet, data, Some(to));
            }
            Ok(None) => {
                self.marker = true;
                finish(outlet, data, None);
            }
            // Nobody to send to yet, or the session is over.
            Err(_) => finish(outlet, data, None),
        }
    }

    fn skip(&mut self, span: Duration) {
        self.advance_ticks(span);
        self.ticks_at += span;
        self.skipped += span;
        self.marker = true;
    }

    // Brings the media clock to `now` after a pause.
    fn jump(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.ticks_at);
        self.advance_ticks(span);
        self.ticks_at = now;
        self.marker = true;
    }

    fn advance_ticks(&mut self, span: Duration) {
        let rate = self.encoder.as_ref().map_or(8_000, |e| e.clock_rate);
        let total = u128::from(self.tick_rest) + span.as_nanos() * u128::from(rate);
        self.ticks = self.ticks.wrapping_add((total / 1_000_000_000) as u32);
        self.tick_rest = (total % 1_000_000_000) as u64;
    }

    fn codec_format(&self) -> Option<AudioFormat> {
        self.encoder.as_ref().map(|e| e.format)
    }

    fn packet_samples(&self) -> usize {
        self.codec_format().map_or(1, |f| f.samples(self.ptime).max(1))
    }
}

fn block_samples(format: AudioFormat) -> usize {
    format.samples(BLOCK).max(usize::from(format.channels.max(1)))
}

fn take_buffer(pool: &mut Vec<Vec<u8>>) -> Vec<u8> {
    let mut data = pool.pop().unwrap_or_else(|| Vec::with_capacity(512));
    data.clear();
    data
}

fn finish(outlet: &mut Outlet<'_>, data: Vec<u8>, to: Option<std::net::SocketAddr>) {
    match to {
        Some(to) => outlet.outbox.push_back(Transmit { component: Component::Rtp, to, data }),
        None => outlet.pool.push(data),
    }
}
