//! Puts the built-in plugins into a registry.

use crate::{Config, G711, G722, Opus};
use std::sync::Arc;
use tiny_media::{MediaError, Registry};

/// Everything built in, with default settings: Opus, G.722, PCMU, PCMA in this order of preference,
/// and the system's sound cards when the crate has feature `device`.
pub fn builtin_registry() -> Registry {
    // The defaults are valid; a test holds them to it. Were they not, a codec would be missing
    // rather than the program ended.
    registry(&Config::default()).unwrap_or_default()
}

/// Everything built in, with settings of one's own.
///
/// # Errors
/// [`MediaError::Config`] when a setting is out of its range.
pub fn registry(config: &Config) -> Result<Registry, MediaError> {
    let mut registry = Registry::new();
    registry.add_codec(Arc::new(Opus::new(config.opus.clone())?));
    registry.add_codec(Arc::new(G722::new(config.max_packet)));
    registry.add_codec(Arc::new(G711::pcmu(config.max_packet)));
    registry.add_codec(Arc::new(G711::pcma(config.max_packet)));
    #[cfg(feature = "device")]
    registry.add_backend(Arc::new(crate::CpalBackend::new(config.device.clone())));
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_codecs_come_in_the_order_of_preference() {
        let registry = registry(&Config::default()).unwrap();
        let described: Vec<_> = registry
            .codecs()
            .iter()
            .map(|c| {
                let d = c.description();
                (d.name, d.clock_rate, d.rtpmap_channels, d.payload_type, d.format.rate)
            })
            .collect();
        assert_eq!(
            described,
            [
                ("opus", 48_000, 2, None, 48_000),
                ("G722", 8_000, 1, Some(9), 16_000),
                ("PCMU", 8_000, 1, Some(0), 8_000),
                ("PCMA", 8_000, 1, Some(8), 8_000),
            ]
        );
        assert_eq!(builtin_registry().codecs().len(), 4);
        assert_eq!(builtin_registry().backends().len(), usize::from(cfg!(feature = "device")));
    }

    #[test]
    fn a_setting_out_of_range_is_refused_by_name() {
        let mut config = Config::default();
        config.opus.channels = 3;
        let error = registry(&config).unwrap_err().to_string();
        assert_eq!(error, "opus channels: 3 is neither 1 (mono) nor 2 (stereo)");
    }
}
