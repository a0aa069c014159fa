//! The audio codecs, one a file.

mod companded;
pub mod g711;
mod g722;
mod l16;
mod opus;

pub use companded::G711;
pub use g722::G722;
pub use l16::L16;
pub use opus::{Opus, OpusConfig};

use std::time::Duration;
use tiny_media::{AudioFormat, MediaError};

/// Bytes of payload that fill `span`, for a codec of `rate` bytes a second.
fn payload_limit(span: Duration, rate: u32) -> usize {
    AudioFormat::new(rate, 1).samples(span)
}

/// Refuses a payload that a codec of constant bit rate cannot have sent: empty, longer than the
/// limit, or not a whole number of `unit`s.
fn check_payload(
    codec: &'static str,
    payload: &[u8],
    unit: usize,
    limit: usize,
) -> Result<(), MediaError> {
    let reason = if payload.is_empty() {
        "no sound in it".to_owned()
    } else if payload.len() > limit {
        format!("{} bytes, more than the limit of {limit}", payload.len())
    } else if !payload.len().is_multiple_of(unit) {
        format!("{} bytes are not a multiple of {unit}", payload.len())
    } else {
        return Ok(());
    };
    Err(MediaError::Payload { codec, reason })
}

/// The error for a block of PCM that a codec has no frame for.
fn bad_block(what: &'static str, samples: usize, wanted: &str) -> MediaError {
    MediaError::Config { what, reason: format!("{samples} samples; it takes {wanted}") }
}

#[cfg(test)]
pub(crate) mod testing;
