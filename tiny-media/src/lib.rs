//! Media for tiny-ua: plugin traits and their registry, streams, clocks, the jitter buffer, levels
//! and quality. This crate knows no SIP and no socket.

mod error;
pub mod jitter;
pub mod level;
pub mod mixer;
pub mod plugin;
pub mod quality;
pub mod resample;
pub mod ring;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod tone;

pub use error::MediaError;
pub use jitter::{JitterBuffer, JitterConfig, JitterStats};
pub use level::Level;
pub use mixer::{Mixer, MixerConfig};
pub use plugin::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, DeviceBackend,
    DeviceInfo, DeviceKind, Encoded, Fmtp, Processor, Registry, Sink, Source,
};
pub use resample::Resampler;
pub use ring::{AppSink, AppSource, Pace, PcmReader, PcmWriter};
pub use stream::{
    AudioStream, Component, DataStats, Direction, DtmfVia, EventPayload, Input, MidExtension, Side,
    StreamCodec, StreamConfig, StreamEvent, StreamStats, Transmit,
};
