//! One stream of sound, sans-IO: capture → processors → resample → encode → packetize, and
//! receive → jitter buffer → decode → conceal → resample → processors → sink.
//!
//! It obeys the poll contract of [`tiny_sak::Output`]. In the steady state nothing in here locks,
//! allocates or logs; nothing that a source, a sink or a peer does can stop signalling.

mod config;
mod event;
mod stats;

pub use config::{Direction, EventPayload, StreamCodec, StreamConfig};
pub use event::{Component, DtmfVia, Input, StreamEvent, Transmit};
pub use stats::StreamStats;

use crate::MediaError;
use crate::plugin::{Processor, Sink, Source};
use std::time::Instant;
use tiny_sak::{Output, Rng};

/// Which path a processor works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Between source and encoder, in the source's format.
    Capture,
    /// Between decoder and sink, in the sink's format.
    Playback,
}

/// One stream of sound. See the [module](self).
pub struct AudioStream {
    config: StreamConfig,
    source: Option<Box<dyn Source>>,
    sink: Option<Box<dyn Sink>>,
    recorder: Option<Box<dyn Sink>>,
    processors: Vec<(Side, Box<dyn Processor>)>,
    muted: bool,
    _rng: Rng,
}

impl AudioStream {
    /// A stream that is ready to send and receive from `now` on.
    ///
    /// # Errors
    /// [`MediaError::Config`] when a codec refuses its parameters.
    pub fn new(_now: Instant, config: StreamConfig, rng: Rng) -> Result<Self, MediaError> {
        Ok(Self {
            config,
            source: None,
            sink: None,
            recorder: None,
            processors: Vec::new(),
            muted: false,
            _rng: rng,
        })
    }

    /// Takes over the outcome of a new negotiation: other codecs, hold, another address. The
    /// sequence numbers, timestamps and SSRC of what we send go on without a break.
    ///
    /// # Errors
    /// [`MediaError::Config`] when a codec refuses its parameters; the stream stays as it was.
    pub fn reconfigure(&mut self, _now: Instant, config: StreamConfig) -> Result<(), MediaError> {
        self.config = config;
        Ok(())
    }

    /// The configuration in force.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// Where sound comes from; `None` sends silence. Returns the source used so far.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a format that cannot be resampled; the old source stays.
    pub fn set_source(
        &mut self,
        _now: Instant,
        source: Option<Box<dyn Source>>,
    ) -> Result<Option<Box<dyn Source>>, MediaError> {
        Ok(std::mem::replace(&mut self.source, source))
    }

    /// Where sound goes to; `None` throws it away. Returns the sink used so far.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a format that cannot be resampled; the old sink stays.
    pub fn set_sink(
        &mut self,
        _now: Instant,
        sink: Option<Box<dyn Sink>>,
    ) -> Result<Option<Box<dyn Sink>>, MediaError> {
        Ok(std::mem::replace(&mut self.sink, sink))
    }

    /// Records both directions: a stereo sink gets what is sent on the left and what is heard on
    /// the right, aligned in time; a mono one gets the sum. Returns the recorder used so far.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a format that cannot be resampled; the old recorder stays.
    pub fn set_recorder(
        &mut self,
        _now: Instant,
        recorder: Option<Box<dyn Sink>>,
    ) -> Result<Option<Box<dyn Sink>>, MediaError> {
        Ok(std::mem::replace(&mut self.recorder, recorder))
    }

    /// Adds a processor behind those already on its path.
    pub fn add_processor(&mut self, side: Side, processor: Box<dyn Processor>) {
        self.processors.push((side, processor));
    }

    /// Sends silence in place of the source, which is still read so that its clock goes on.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Whether the stream is muted.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Queues digits (`0`–`9`, `*`, `#`, `A`–`D`, and `,` for a pause of one second).
    ///
    /// # Errors
    /// [`MediaError::Config`] for a character that is no digit, for too many digits, or for
    /// RFC 4733 when the peer takes no telephone-events.
    pub fn send_dtmf(
        &mut self,
        _now: Instant,
        _digits: &str,
        _via: DtmfVia,
        _duration_ms: u32,
        _gap_ms: u32,
    ) -> Result<(), MediaError> {
        Ok(())
    }

    /// Ends the stream: an RTCP BYE is handed out by the next polls, and nothing else afterwards.
    pub fn end(&mut self, _now: Instant) {}

    /// A datagram arrived, or the deadline of the last poll was reached.
    pub fn handle(&mut self, _now: Instant, _input: Input<'_>) {}

    /// What to send or to know next; `Timeout` when all is drained.
    pub fn poll(&mut self, _now: Instant) -> Output<Transmit, StreamEvent> {
        Output::Timeout(None)
    }

    /// Gives back the buffer of a [`Transmit`] that was sent.
    pub fn recycle(&mut self, _buffer: Vec<u8>) {}

    /// The figures at this moment.
    pub fn stats(&self, _now: Instant) -> StreamStats {
        StreamStats::default()
    }
}
