//! WAV files in and out. Reading and writing happen on threads of their own or before the sound
//! starts, never in the media path.

mod layout;
mod reader;
mod sink;
mod source;
mod writer;

pub use reader::WavFile;
pub use sink::WavSink;
pub use source::WavSource;
pub use writer::WavWriter;

use std::path::Path;
use tiny_media::MediaError;

/// An error that names the file.
fn file_error(path: &Path, reason: impl ToString) -> MediaError {
    MediaError::File { path: path.display().to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
