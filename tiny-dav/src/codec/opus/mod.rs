//! Opus in RTP (RFC 7587) over the `opus-pure` crate, which is reached from this folder only, so
//! that another Opus can take its place. 48 kHz; mono or stereo PCM as configured.

mod budget;
mod config;
mod decimate;
mod decoder;
mod encoder;
mod redundancy;

pub use config::OpusConfig;

use tiny_media::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, Fmtp, MediaError,
};

/// Opus, `opus/48000/2`, a dynamic payload type. Whether PCM is mono or stereo is set in
/// [`OpusConfig::channels`]; what is sent honours the peer's `stereo` on top of that.
pub struct Opus {
    description: CodecDescription,
    config: OpusConfig,
}

impl Opus {
    /// The codec with settings of one's own.
    ///
    /// # Errors
    /// [`MediaError::Config`] when a setting is out of its range.
    pub fn new(config: OpusConfig) -> Result<Self, MediaError> {
        config.check()?;
        let description = CodecDescription {
            name: "opus",
            // RFC 7587 §7: 48000 and 2 whatever is sent.
            clock_rate: 48_000,
            rtpmap_channels: 2,
            payload_type: None,
            format: AudioFormat::new(48_000, config.channels),
            ptime_ms: 20,
            fmtp: config.fmtp(),
        };
        Ok(Self { description, config })
    }
}

impl AudioCodec for Opus {
    fn description(&self) -> &CodecDescription {
        &self.description
    }

    fn encoder(&self, remote: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError> {
        Ok(Box::new(encoder::Encoder::new(&self.config, remote)?))
    }

    fn decoder(&self, _local: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError> {
        // RFC 7587 §6.1: whatever we said about ourselves, everything must be decodable.
        Ok(Box::new(decoder::Decoder::new(self.config.channels)?))
    }
}

/// An error of the engine when a codec is made.
fn engine_error(error: opus_pure::Error) -> MediaError {
    MediaError::Config { what: "opus", reason: error.to_string() }
}

#[cfg(test)]
mod tests;
