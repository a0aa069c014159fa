//! Media for tiny-ua: plugin traits and their registry, streams, clocks, the jitter buffer, levels
//! and quality. This crate knows no SIP and no socket.

mod error;
pub mod jitter;
pub mod plugin;
pub mod ring;
pub mod stream;

pub use error::MediaError;
pub use jitter::JitterConfig;
pub use plugin::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, DeviceBackend,
    DeviceInfo, DeviceKind, Encoded, Fmtp, Processor, Registry, Sink, Source,
};
pub use ring::{AppSink, AppSource, Pace, PcmReader, PcmWriter};
pub use stream::{
    AudioStream, Component, Direction, DtmfVia, EventPayload, Input, Side, StreamCodec,
    StreamConfig, StreamEvent, StreamStats, Transmit,
};
