//! Sound cards through cpal. Every open stream has a small thread that owns the cpal stream (on some
//! systems it must not move between threads); the system's callback and the media worker meet at a
//! lock-free ring of tiny-media and nowhere else.

mod choice;
mod quiet;
mod stream;

use cpal::traits::{DeviceTrait, HostTrait};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use stream::{DeviceSink, DeviceSource};
use tiny_media::{AudioFormat, DeviceBackend, DeviceInfo, DeviceKind, MediaError, Sink, Source};

/// Settings of sound cards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceConfig {
    /// How much sound the system hands over at a time, where it lets us choose. Default 20 ms: less
    /// saves delay, and glitches on busy machines.
    pub period: Duration,
    /// How much sound the ring between the system and the media worker holds. Default 250 ms.
    pub buffer: Duration,
    /// How long the system may take to list devices or to open one. Default 5 s.
    pub patience: Duration,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            period: Duration::from_millis(20),
            buffer: Duration::from_millis(250),
            patience: Duration::from_secs(5),
        }
    }
}

/// The system's sound cards: ALSA, CoreAudio, WASAPI, whatever cpal finds.
///
/// A device that goes away ends its source ([`Source::finished`]) and says why
/// ([`Source::fault`], [`Sink::fault`]); from then on a timer sets the pace, so the call goes on.
#[derive(Debug, Clone, Default)]
pub struct CpalBackend {
    config: DeviceConfig,
}

impl CpalBackend {
    /// The sound cards with settings of one's own.
    pub fn new(config: DeviceConfig) -> Self {
        Self { config }
    }
}

impl DeviceBackend for CpalBackend {
    fn name(&self) -> &'static str {
        "cpal"
    }

    fn devices(&self) -> Result<Vec<DeviceInfo>, MediaError> {
        // On a thread of its own: ALSA is kept quiet a thread at a time, and may hang.
        let (answer, wait) = mpsc::sync_channel(1);
        let spawned = thread::Builder::new().name("audio-devices".into()).spawn(move || {
            let _quiet = quiet::this_thread();
            let _ = answer.send(list());
        });
        spawned.map_err(|e| device_error("*", e))?;
        match wait.recv_timeout(self.config.patience) {
            Ok(list) => list.map_err(|e| device_error("*", e)),
            Err(_) => Err(device_error("*", "the system does not answer")),
        }
    }

    fn open_source(&self, id: &str, wanted: AudioFormat) -> Result<Box<dyn Source>, MediaError> {
        Ok(Box::new(DeviceSource::open(&self.config, id, wanted)?))
    }

    fn open_sink(&self, id: &str, wanted: AudioFormat) -> Result<Box<dyn Sink>, MediaError> {
        Ok(Box::new(DeviceSink::open(&self.config, id, wanted)?))
    }
}

fn device_error(id: &str, reason: impl ToString) -> MediaError {
    MediaError::Device { id: id.to_owned(), reason: reason.to_string() }
}

/// What ALSA lists although it is no device: converters that stand before one, and a bin.
const CONVERTERS: [&str; 8] =
    ["null", "lavrate", "samplerate", "speexrate", "speex", "upmix", "vdownmix", "oss"];

fn list() -> Result<Vec<DeviceInfo>, cpal::Error> {
    let host = cpal::default_host();
    let default_id = |device: Option<cpal::Device>| device.and_then(|d| d.id().ok());
    let defaults = [
        (DeviceKind::Input, default_id(host.default_input_device())),
        (DeviceKind::Output, default_id(host.default_output_device())),
    ];
    let mut found = Vec::new();
    for device in host.devices()? {
        let Ok(id) = device.id() else { continue };
        if CONVERTERS.contains(&id.id()) {
            continue;
        }
        let name =
            device.description().map_or_else(|_| id.id().to_owned(), |d| d.name().to_owned());
        for (kind, default) in &defaults {
            let does = match kind {
                DeviceKind::Input => device.supports_input(),
                DeviceKind::Output => device.supports_output(),
            };
            if does {
                found.push(DeviceInfo {
                    id: id.to_string(),
                    name: name.clone(),
                    kind: *kind,
                    is_default: default.as_ref() == Some(&id),
                    format: format_of(&device, *kind),
                });
            }
        }
    }
    Ok(found)
}

/// The format a device prefers. ALSA would have to open it, which can disturb others: not asked.
fn format_of(device: &cpal::Device, kind: DeviceKind) -> Option<AudioFormat> {
    if cfg!(any(target_os = "linux", target_os = "freebsd", target_os = "netbsd")) {
        return None;
    }
    let config = match kind {
        DeviceKind::Input => device.default_input_config(),
        DeviceKind::Output => device.default_output_config(),
    };
    config.ok().map(|c| AudioFormat::new(c.sample_rate(), c.channels()))
}

#[cfg(test)]
mod tests;
