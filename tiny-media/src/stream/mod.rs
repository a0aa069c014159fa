//! One stream of sound, sans-IO: capture → processors → resample → encode → packetize, and
//! receive → jitter buffer → decode → conceal → resample → processors → sink.
//!
//! It obeys the poll contract of [`tiny_sak::Output`]. In the steady state nothing in here locks,
//! allocates or logs; nothing that a source, a sink or a peer does can stop signalling.

mod config;
mod digits;
mod event;
mod receive;
mod record;
mod send;
mod stats;

#[cfg(test)]
mod tests;

pub use config::{Direction, EventPayload, StreamCodec, StreamConfig};
pub use event::{DtmfVia, Input, StreamEvent};
pub use stats::{DataStats, StreamStats};
pub use tiny_rtp::{Component, MidExtension, Transmit};

use crate::MediaError;
use crate::plugin::{Processor, Sink, Source};
use receive::{Receiver, Taken};
use record::Recorder;
use send::{Outlet, Sender};
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_rtp::rtcp::Size;
use tiny_rtp::{
    NtpClock, Received, Remote, Removal, RtcpBandwidth, RtpPacket, Session, SessionConfig,
    SourcePolicy, Ssrc, SymmetricConfig, ToneEvent,
};
use tiny_sak::{Output, Rng};

/// Buffers kept for packets to come; further ones go to the session, which sends RTCP.
const POOL: usize = 8;
/// Events that may wait to be polled.
const MAX_EVENTS: usize = 64;
/// How often a sink is asked whether it still works.
const FAULT_CHECK: Duration = Duration::from_secs(1);

/// Which path a processor works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Between source and encoder, in the source's format, in blocks of 10 ms.
    Capture,
    /// Between decoder and sink, in the sink's format, in blocks of 10 to 20 ms whose length may
    /// vary by a few samples.
    Playback,
}

/// One stream of sound. Give it packets and deadlines, send what it hands out:
///
/// ```
/// # use std::time::Instant;
/// # use tiny_media::stream::*;
/// # use tiny_sak::Output;
/// # fn send(_: &Transmit) {}
/// fn drive(stream: &mut AudioStream, now: Instant) -> Option<Instant> {
///     loop {
///         match stream.poll(now) {
///             Output::Transmit(packet) => {
///                 send(&packet);
///                 stream.recycle(packet.data);
///             }
///             Output::Event(event) => println!("{event:?}"),
///             Output::Timeout(deadline) => return deadline,
///         }
///     }
/// }
/// ```
///
/// # Buffers
/// The `data` of a [`Transmit`] is owned by whoever sends it, so that it can be encrypted in place
/// or queued. Giving it back with [`recycle`](Self::recycle) keeps the steady state free of
/// allocation; one that is never given back is merely replaced.
///
/// # Clocks
/// A source with [`Source::available`] and a sink with [`Sink::queued`] set the pace of their own
/// side, and the stream asks to be polled every half packet or so. Else the stream's deadlines are
/// exact multiples of the packet time. An owner who comes late is caught up with by a few packets;
/// the rest is skipped, counted, and the timestamps jump accordingly.
pub struct AudioStream {
    config: StreamConfig,
    session: Session,
    sender: Sender,
    receiver: Receiver,
    recorder: Option<Recorder>,
    outbox: VecDeque<Transmit>,
    events: VecDeque<StreamEvent>,
    pool: Vec<Vec<u8>>,
    begun: bool,
    heard: Option<u8>,
    last_packet: Instant,
    timed_out: bool,
    // When a key that is down is up for want of news.
    keys_due: Option<Instant>,
    next_fault_check: Instant,
    sink_failed: bool,
    refused: u64,
    ended: bool,
}

impl AudioStream {
    /// A stream that is ready to send and receive from `now` on.
    ///
    /// # Errors
    /// [`MediaError::Config`] when a codec refuses its parameters, a payload type is above 127 or a
    /// mid cannot be a header extension.
    pub fn new(now: Instant, config: StreamConfig, rng: Rng) -> Result<Self, MediaError> {
        let mut sender = Sender::new(now, &config);
        let mut receiver = Receiver::new(now, &config);
        let prepared = sender.prepare(&config)?;
        receiver.configure(now, &config)?;
        check_mid(&config)?;
        let mut session = Session::new(now, session_config(now, &config), rng);
        session.set_mid(config.mid.clone());
        sender.apply(now, &config, prepared, &mut session);
        Ok(Self {
            session,
            sender,
            receiver,
            recorder: None,
            outbox: VecDeque::with_capacity(8),
            events: VecDeque::with_capacity(8),
            pool: Vec::with_capacity(POOL),
            begun: false,
            heard: None,
            last_packet: now,
            timed_out: false,
            keys_due: None,
            next_fault_check: now + FAULT_CHECK,
            sink_failed: false,
            refused: 0,
            ended: false,
            config,
        })
    }

    /// Takes over the outcome of a new negotiation: other codecs, hold, another address. The
    /// sequence numbers, timestamps and SSRC of what we send go on without a break; `ssrc`,
    /// `cname`, `ntp`, `symmetric`, `rtcp_bandwidth` and `jitter` are those of the beginning.
    ///
    /// # Errors
    /// [`MediaError::Config`] as in [`new`](Self::new); the stream stays as it was.
    pub fn reconfigure(&mut self, now: Instant, config: StreamConfig) -> Result<(), MediaError> {
        check_mid(&config)?;
        let prepared = self.sender.prepare(&config)?;
        self.receiver.configure(now, &config)?;
        self.sender.apply(now, &config, prepared, &mut self.session);
        self.session.set_payloads(&Receiver::payloads(&config));
        self.session.set_rtcp_mux(config.rtcp_mux);
        self.session.set_rtcp_size(rtcp_size(&config));
        self.session.set_mid(config.mid.clone());
        self.session.set_remote(remote(&config));
        if config.direction.receives() && !self.config.direction.receives() {
            self.last_packet = now;
            self.timed_out = false;
        }
        self.config = config;
        Ok(())
    }

    /// The configuration in force.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// Where RTP goes now: where signalling says, or where a symmetric peer has proved itself.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.session.rtp_destination()
    }

    /// Where sound comes from; `None` sends silence. Returns the source used so far.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a format that cannot be resampled; the old source stays.
    pub fn set_source(
        &mut self,
        now: Instant,
        source: Option<Box<dyn Source>>,
    ) -> Result<Option<Box<dyn Source>>, MediaError> {
        self.sender.set_source(now, source)
    }

    /// Where sound goes to; `None` throws it away. Returns the sink used so far.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a format that cannot be resampled; the old sink stays.
    pub fn set_sink(
        &mut self,
        now: Instant,
        sink: Option<Box<dyn Sink>>,
    ) -> Result<Option<Box<dyn Sink>>, MediaError> {
        let old = self.receiver.set_sink(now, sink)?;
        self.sink_failed = false;
        Ok(old)
    }

    /// Records both directions: a stereo sink gets what is sent on the left and what is heard on
    /// the right, aligned in time; a mono one gets the sum. Returns the recorder used so far.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a format that cannot be resampled; the old recorder stays.
    pub fn set_recorder(
        &mut self,
        now: Instant,
        recorder: Option<Box<dyn Sink>>,
    ) -> Result<Option<Box<dyn Sink>>, MediaError> {
        let new = recorder.map(|sink| Recorder::new(now, sink)).transpose()?;
        let old = std::mem::replace(&mut self.recorder, new);
        Ok(old.map(|r| r.finish(now)))
    }

    /// Adds a processor behind those already on its path.
    pub fn add_processor(&mut self, side: Side, processor: Box<dyn Processor>) {
        match side {
            Side::Capture => self.sender.add_processor(processor),
            Side::Playback => self.receiver.add_processor(processor),
        }
    }

    /// Sends silence in place of the source, which is still read so that its clock goes on.
    pub fn set_muted(&mut self, muted: bool) {
        self.sender.muted = muted;
    }

    /// Whether the stream is muted.
    pub fn is_muted(&self) -> bool {
        self.sender.muted
    }

    /// Queues digits (`0`–`9`, `*`, `#`, `A`–`D`, and `,` for a pause of one second). Durations
    /// and gaps are kept within 40 to 8,000 ms. [`StreamEvent::DtmfSent`] follows the last one.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a character that is no digit, for too many digits, or for
    /// RFC 4733 when the peer takes no telephone-events; nothing is queued then.
    pub fn send_dtmf(
        &mut self,
        _now: Instant,
        digits: &str,
        via: DtmfVia,
        duration_ms: u32,
        gap_ms: u32,
    ) -> Result<(), MediaError> {
        self.sender.digits.queue(digits, via, duration_ms, gap_ms)
    }

    /// Why the source gives nothing any more, when that is an error.
    pub fn source_fault(&self) -> Option<String> {
        self.sender.source_fault()
    }

    /// Why the sink takes nothing any more, when that is an error.
    pub fn sink_fault(&self) -> Option<String> {
        self.receiver.sink_fault()
    }

    /// Ends the stream: an RTCP BYE is handed out by the next polls, and nothing else afterwards.
    pub fn end(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.session.end(now, None);
        // What was recorded is complete before the stream is dropped.
        drop(self.recorder.take().map(|r| r.finish(now)));
    }

    /// A datagram arrived, or the deadline of the last poll was reached.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Packet { from, component: Component::Rtp, data } => {
                self.receive_rtp(now, from, data);
            }
            Input::Packet { from, component: Component::Rtcp, data } => {
                // What is dropped is counted by the session.
                let _ = self.session.handle(now, tiny_rtp::Input::Rtcp { from, data });
            }
            Input::Timeout => {}
        }
    }

    /// What to send or to know next; `Timeout` when all is drained.
    pub fn poll(&mut self, now: Instant) -> Output<Transmit, StreamEvent> {
        loop {
            if let Some(packet) = self.outbox.pop_front() {
                return Output::Transmit(packet);
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if !self.ended && self.work(now) {
                continue;
            }
            match self.session.poll(now) {
                Output::Transmit(packet) => return Output::Transmit(packet),
                Output::Event(event) => self.session_event(event),
                Output::Timeout(deadline) => {
                    if self.outbox.is_empty() && self.events.is_empty() {
                        return Output::Timeout(earliest([deadline, self.deadline()]));
                    }
                }
            }
        }
    }

    /// Gives back the buffer of a [`Transmit`] that was sent.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if self.pool.len() < POOL {
            self.pool.push(buffer);
        } else {
            self.session.recycle(buffer);
        }
    }

    /// The figures at this moment.
    pub fn stats(&self, _now: Instant) -> StreamStats {
        stats::read(self)
    }

    // Does what is due; true when something was.
    fn work(&mut self, now: Instant) -> bool {
        let mut worked = false;
        if self.sender.deadline().is_some_and(|at| at <= now) {
            self.sender.run(
                now,
                &mut Outlet {
                    session: &mut self.session,
                    outbox: &mut self.outbox,
                    pool: &mut self.pool,
                    recorder: &mut self.recorder,
                },
            );
            if std::mem::take(&mut self.sender.source_ended) {
                self.emit(StreamEvent::SourceEnded);
            }
            if self.sender.digits.take_sent() {
                self.emit(StreamEvent::DtmfSent);
            }
            worked = true;
        }
        if self.receiver.deadline(self.recorder.is_some()).is_some_and(|at| at <= now) {
            self.receiver.run(now, &mut self.recorder);
            if let Some(recorder) = &mut self.recorder {
                recorder.flush(now);
            }
            self.note_codec();
            self.check_sink(now);
            worked = true;
        }
        self.poll_digits(now);
        if self.media_deadline().is_some_and(|at| at <= now) {
            self.timed_out = true;
            self.emit(StreamEvent::MediaTimeout);
        }
        worked
    }

    fn deadline(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        earliest([
            self.sender.deadline(),
            self.receiver.deadline(self.recorder.is_some()),
            self.media_deadline(),
            self.keys_due,
        ])
    }

    fn media_deadline(&self) -> Option<Instant> {
        if self.timed_out || !self.config.direction.receives() {
            return None;
        }
        self.config.media_timeout.map(|span| self.last_packet + span)
    }

    fn receive_rtp(&mut self, now: Instant, from: SocketAddr, data: &[u8]) {
        if self.ended {
            return;
        }
        let Ok(Received::Rtp(media)) = self.session.receive(now, from, data) else { return };
        if media.held {
            while let Some(held) = self.session.next_held() {
                if let Some(packet) = held.packet() {
                    self.take(held.arrival, from, &packet);
                }
                self.session.recycle(held.data);
            }
        }
        self.take(now, from, &media.packet);
    }

    fn take(&mut self, now: Instant, from: SocketAddr, packet: &RtpPacket<'_>) {
        self.last_packet = self.last_packet.max(now);
        self.timed_out = false;
        match self.receiver.take(now, packet) {
            Taken::Sound if !self.begun => {
                self.begun = true;
                let payload_type = packet.payload_type().value();
                self.emit(StreamEvent::Started { payload_type, from });
            }
            Taken::Sound | Taken::Other => {}
            Taken::Refused => self.refused += 1,
        }
    }

    fn session_event(&mut self, event: tiny_rtp::Event) {
        use tiny_rtp::Event;
        match event {
            Event::RemoteMoved { component: Component::Rtp, to, .. } => {
                self.emit(StreamEvent::RemoteAddressChanged { to });
            }
            Event::Report(report) => {
                self.sender.expect_loss((report.fraction_lost * 100.0).round() as u8);
            }
            Event::SourceRestarted { .. } => {
                self.receiver.events.iter_mut().for_each(|e| e.receiver.reset());
            }
            Event::SourceRemoved { ssrc, why: Removal::Bye(_), .. } => {
                self.emit(StreamEvent::RemoteBye { ssrc: ssrc.0 });
            }
            _ => {}
        }
    }

    fn poll_digits(&mut self, now: Instant) {
        let mut due = None;
        for i in 0..self.receiver.events.len() {
            loop {
                match self.receiver.events[i].receiver.poll(now) {
                    Output::Event(ToneEvent::Ended { event, duration_ms, .. }) => {
                        if let Some(digit) = event.as_char() {
                            let via = DtmfVia::Rfc4733;
                            self.emit(StreamEvent::Dtmf { digit, duration_ms, via });
                        }
                    }
                    Output::Event(_) => {}
                    Output::Transmit(never) => match never {},
                    Output::Timeout(deadline) => {
                        due = earliest([due, deadline]);
                        break;
                    }
                }
            }
        }
        self.keys_due = due;
    }

    // Tells when another codec is heard than before.
    fn note_codec(&mut self) {
        let playing = self.receiver.buffer.payload_type();
        if playing == self.heard {
            return;
        }
        let first = self.heard.is_none();
        self.heard = playing;
        if first {
            return;
        }
        if let Some(codec) = self.receiver.codec() {
            let d = codec.codec.description();
            self.emit(StreamEvent::CodecSwitched {
                payload_type: codec.payload_type,
                name: d.name,
                clock_rate: d.clock_rate,
            });
        }
    }

    fn check_sink(&mut self, now: Instant) {
        if self.sink_failed || now < self.next_fault_check {
            return;
        }
        self.next_fault_check = now + FAULT_CHECK;
        if self.receiver.sink_fault().is_some() {
            self.sink_failed = true;
            self.emit(StreamEvent::SinkFailed);
        }
    }

    fn emit(&mut self, event: StreamEvent) {
        // An owner who never polls loses the newest, not memory.
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

impl fmt::Debug for AudioStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioStream").field("config", &self.config).finish_non_exhaustive()
    }
}

fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    deadlines.into_iter().flatten().min()
}

fn check_mid(config: &StreamConfig) -> Result<(), MediaError> {
    match &config.mid {
        Some(mid) if !mid.is_valid() => Err(MediaError::Config {
            what: "mid",
            reason: format!("{:?} as header extension {} does not fit RFC 8285", mid.mid, mid.id),
        }),
        _ => Ok(()),
    }
}

fn remote(config: &StreamConfig) -> Option<Remote> {
    let rtp = config.remote_rtp?;
    Some(Remote::with_rtcp(rtp, config.rtcp_address()?))
}

fn rtcp_size(config: &StreamConfig) -> Size {
    if config.rtcp_reduced { Size::Reduced } else { Size::Compound }
}

fn session_config(now: Instant, config: &StreamConfig) -> SessionConfig {
    let clock_rate = config.send.as_ref().map_or(8_000, |c| c.codec.description().clock_rate);
    let clock = config.ntp.unwrap_or_else(|| NtpClock::elapsed_from(now));
    let source_policy = if config.symmetric {
        SourcePolicy::Symmetric(SymmetricConfig::default())
    } else {
        SourcePolicy::SignalledOnly
    };
    SessionConfig {
        payloads: Receiver::payloads(config),
        remote: remote(config),
        rtcp_mux: config.rtcp_mux,
        rtcp_size: rtcp_size(config),
        source_policy,
        ssrc: (config.ssrc != 0).then_some(Ssrc(config.ssrc)),
        cname: (!config.cname.is_empty()).then(|| config.cname.clone()),
        rtcp_bandwidth: Some(RtcpBandwidth {
            senders: f64::from(config.rtcp_bandwidth) * 0.25,
            receivers: f64::from(config.rtcp_bandwidth) * 0.75,
        }),
        ..SessionConfig::new(clock, clock_rate)
    }
}
