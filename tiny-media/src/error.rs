//! What can go wrong with media.

/// Why a codec, device or stream refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// A device that does not exist or went away.
    #[error("audio device '{id}': {reason}")]
    Device {
        /// The id that was asked for.
        id: String,
        /// What the system said, or what is missing.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The path as given.
        path: String,
        /// What the system said, or what is wrong with the content.
        reason: String,
    },
    /// A payload that the codec cannot decode. The stream goes on: the frame is concealed.
    #[error("{codec}: malformed payload: {reason}")]
    Payload {
        /// The codec's name.
        codec: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A setting that the plugin cannot honour.
    #[error("{what}: {reason}")]
    Config {
        /// The setting.
        what: &'static str,
        /// Why not, and what would do.
        reason: String,
    },
}
