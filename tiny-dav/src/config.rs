//! The limits and defaults of this crate in one place.

use crate::OpusConfig;
use std::time::Duration;

/// Limits and defaults of the built-in plugins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The longest payload that the waveform codecs (G.711, G.722, L16) decode. Default 200 ms, what
    /// RFC 3551 §4.2 wants every receiver to accept. Opus has a limit of its own, 120 ms.
    pub max_packet: Duration,
    /// Opus.
    pub opus: OpusConfig,
    /// Sound cards.
    #[cfg(feature = "device")]
    pub device: crate::DeviceConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_packet: Duration::from_millis(200),
            opus: OpusConfig::default(),
            #[cfg(feature = "device")]
            device: crate::DeviceConfig::default(),
        }
    }
}
