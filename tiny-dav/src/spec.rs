//! Sources and sinks by what a person types: `default`, a device id, `file.wav`, `tone:440`,
//! `silence`; and `default`, a device id, `file.wav`, `null`.

use crate::{Null, Silence, Tone, WavSink, WavSource};
use std::path::Path;
use std::time::Duration;
use tiny_media::{AudioFormat, DeviceBackend, DeviceKind, MediaError, Registry, Sink, Source};

/// How sources are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceOptions {
    /// A file starts again at its end. Default false.
    pub looped: bool,
    /// Files that take at most this many bytes as 16-bit sound are read into memory; longer ones are
    /// read on the go. Default 64 MiB, eleven minutes of mono at 48 kHz.
    pub preload: u64,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self { looped: false, preload: 64 << 20 }
    }
}

impl SourceOptions {
    /// The defaults, with files looped or not.
    pub fn looped(looped: bool) -> Self {
        Self { looped, ..Self::default() }
    }
}

/// How sinks are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkOptions {
    /// How much sound may wait for a slow disk before some is dropped. Default 5 s.
    pub buffer: Duration,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self { buffer: Duration::from_secs(5) }
    }
}

/// Opens a source by its specification. Tone and silence come in the format `wanted`; files and
/// devices in their own, which the stream adapts.
///
/// | Specification | Source |
/// |---|---|
/// | `default` | the system's microphone |
/// | `file.wav` | a file |
/// | `tone:440`, `tone:350+440`, `tone:440@-20` | one or more sines, their level in dB (default -12) |
/// | `silence` | silence |
/// | anything else | a device by its id |
///
/// ```
/// use tiny_dav::{SourceOptions, builtin_registry, open_source};
/// use tiny_media::AudioFormat;
/// let format = AudioFormat::new(16_000, 1);
/// let options = SourceOptions::default();
/// let mut tone = open_source(&builtin_registry(), "tone:440@-20", &options, format)?;
/// let mut pcm = [0; 320];
/// assert_eq!(tone.read(&mut pcm), 320);
/// # Ok::<(), tiny_media::MediaError>(())
/// ```
///
/// # Errors
/// One line that names the device, the file, or what is wrong with the specification.
pub fn open_source(
    registry: &Registry,
    spec: &str,
    options: &SourceOptions,
    wanted: AudioFormat,
) -> Result<Box<dyn Source>, MediaError> {
    match Spec::parse(spec) {
        Spec::Silence => Ok(Box::new(Silence::new(wanted))),
        Spec::Tone(tone) => Ok(Box::new(parse_tone(tone, wanted)?)),
        Spec::File(path) => Ok(Box::new(WavSource::open(path, options.looped, options.preload)?)),
        Spec::Null => Err(refuse("input", "'null' is an output; the silent input is 'silence'")),
        Spec::Device(id) => device(registry, id, DeviceKind::Input, |b| b.open_source(id, wanted)),
    }
}

/// Opens a sink by its specification. A file takes the format `wanted`; a device says its own.
///
/// | Specification | Sink |
/// |---|---|
/// | `default` | the system's loudspeaker |
/// | `file.wav` | a file, created or emptied |
/// | `null` | nothing |
/// | anything else | a device by its id |
///
/// # Errors
/// One line that names the device, the file, or what is wrong with the specification.
pub fn open_sink(
    registry: &Registry,
    spec: &str,
    options: &SinkOptions,
    wanted: AudioFormat,
) -> Result<Box<dyn Sink>, MediaError> {
    match Spec::parse(spec) {
        Spec::Null => Ok(Box::new(Null::new(wanted))),
        Spec::File(path) => Ok(Box::new(WavSink::create(path, wanted, options.buffer)?)),
        Spec::Silence => Err(refuse("output", "'silence' is an input; the mute output is 'null'")),
        Spec::Tone(_) => Err(refuse("output", "a tone is an input, not an output")),
        Spec::Device(id) => device(registry, id, DeviceKind::Output, |b| b.open_sink(id, wanted)),
    }
}

/// A specification taken apart.
enum Spec<'a> {
    Silence,
    Null,
    Tone(&'a str),
    File(&'a Path),
    Device(&'a str),
}

impl<'a> Spec<'a> {
    fn parse(spec: &'a str) -> Self {
        let path = Path::new(spec);
        let wav = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("wav") || e.eq_ignore_ascii_case("wave"));
        match spec {
            "silence" => Self::Silence,
            "null" => Self::Null,
            "tone" => Self::Tone("440"),
            _ if wav => Self::File(path),
            _ => spec.strip_prefix("tone:").map_or(Self::Device(spec), Self::Tone),
        }
    }
}

fn parse_tone(text: &str, format: AudioFormat) -> Result<Tone, MediaError> {
    let number = |text: &str, what| {
        text.trim().parse::<f64>().map_err(|_| {
            let reason = format!("'{text}' is not {what}; e.g. tone:440 or tone:440@-12");
            MediaError::Config { what: "tone", reason }
        })
    };
    let (frequencies, level) = text.split_once('@').unwrap_or((text, ""));
    let frequencies: Vec<f64> = frequencies
        .split('+')
        .map(|hz| number(hz, "a frequency in Hz"))
        .collect::<Result<_, _>>()?;
    let level =
        if level.is_empty() { Tone::DEFAULT_LEVEL_DB } else { number(level, "a level in dB")? };
    Tone::new(format, &frequencies, level)
}

fn refuse(what: &'static str, reason: &str) -> MediaError {
    MediaError::Config { what, reason: reason.to_owned() }
}

/// Opens a device with the back end that knows it.
fn device<T>(
    registry: &Registry,
    id: &str,
    kind: DeviceKind,
    open: impl Fn(&dyn DeviceBackend) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    let mut error = None;
    let mut known = Vec::new();
    for backend in registry.backends() {
        let here = id == "default" || {
            let devices = backend.devices().unwrap_or_default();
            let ids = devices.into_iter().filter(|d| d.kind == kind).map(|d| d.id);
            let first = known.len();
            known.extend(ids);
            known[first..].iter().any(|k| k == id)
        };
        if here {
            match open(&**backend) {
                Ok(device) => return Ok(device),
                Err(e) => error = Some(e),
            }
        }
    }
    let reason = match error {
        Some(MediaError::Device { reason, .. }) => reason,
        Some(other) => return Err(other),
        None if registry.backends().is_empty() => "this build has no sound cards".to_owned(),
        None if known.is_empty() => "there is no such device, nor any other".to_owned(),
        None => {
            let more = if known.len() > 4 { ", …" } else { "" };
            known.truncate(4);
            format!("there is no such device; there are {}{more}", known.join(", "))
        }
    };
    let instead = match kind {
        DeviceKind::Input => "use input tone:440, file.wav or silence instead",
        DeviceKind::Output => "use output file.wav or null instead",
    };
    Err(MediaError::Device { id: id.to_owned(), reason: format!("{reason} ({instead})") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{level_db, tone_db};
    use std::sync::Arc;
    use tiny_media::DeviceInfo;

    const FORMAT: AudioFormat = AudioFormat::new(48_000, 1);

    fn source(spec: &str) -> Result<Box<dyn Source>, MediaError> {
        open_source(&with_cards(), spec, &SourceOptions::default(), FORMAT)
    }

    fn sink(spec: &str) -> Result<Box<dyn Sink>, MediaError> {
        open_sink(&with_cards(), spec, &SinkOptions::default(), FORMAT)
    }

    fn error<T>(result: Result<T, MediaError>) -> String {
        result.err().expect("an error").to_string()
    }

    /// A back end with one microphone that works and one that is busy.
    struct Cards;

    impl DeviceBackend for Cards {
        fn name(&self) -> &'static str {
            "cards"
        }

        fn devices(&self) -> Result<Vec<DeviceInfo>, MediaError> {
            let info = |id: &str, kind| DeviceInfo {
                id: id.into(),
                name: id.into(),
                kind,
                is_default: false,
                format: None,
            };
            let (input, output) = (DeviceKind::Input, DeviceKind::Output);
            Ok(vec![info("mic:1", input), info("mic:2", input), info("speaker", output)])
        }

        fn open_source(
            &self,
            id: &str,
            wanted: AudioFormat,
        ) -> Result<Box<dyn Source>, MediaError> {
            match id {
                "mic:1" => Ok(Box::new(Silence::new(wanted))),
                _ => Err(MediaError::Device { id: id.into(), reason: "it is busy".into() }),
            }
        }

        fn open_sink(&self, _: &str, wanted: AudioFormat) -> Result<Box<dyn Sink>, MediaError> {
            Ok(Box::new(Null::new(wanted)))
        }
    }

    fn with_cards() -> Registry {
        let mut registry = Registry::new();
        registry.add_backend(Arc::new(Cards));
        registry
    }

    #[test]
    fn tones_by_frequency_and_level() {
        for (spec, level) in [("tone:440", -12.0), ("tone", -12.0), ("tone:440@-20", -20.0)] {
            let mut pcm = vec![0; 48_000];
            assert_eq!(source(spec).unwrap().read(&mut pcm), 48_000);
            assert!((tone_db(&pcm, 48_000, 440.0) - level).abs() < 0.1, "{spec}");
            assert!((level_db(&pcm) - level).abs() < 0.1, "{spec}");
        }
        assert!(source("tone:350+440").is_ok());
    }

    #[test]
    fn a_wrong_tone_is_one_clear_line() {
        assert_eq!(
            error(source("tone:loud")),
            "tone: 'loud' is not a frequency in Hz; e.g. tone:440 or tone:440@-12"
        );
        assert_eq!(
            error(source("tone:440@x")),
            "tone: 'x' is not a level in dB; e.g. tone:440 or tone:440@-12"
        );
        assert_eq!(
            error(source("tone:30000")),
            "tone: 30000 Hz is not between 0 and 24000 Hz, half the sample rate"
        );
    }

    #[test]
    fn inputs_and_outputs_are_not_mixed_up() {
        assert_eq!(
            error(source("null")),
            "input: 'null' is an output; the silent input is 'silence'"
        );
        assert_eq!(
            error(sink("silence")),
            "output: 'silence' is an input; the mute output is 'null'"
        );
        assert!(sink("tone:440").is_err());
        assert!(source("silence").is_ok());
        assert!(sink("null").is_ok());
    }

    #[test]
    fn a_missing_file_is_named() {
        assert_eq!(
            error(source("/nowhere/hello.wav")),
            "/nowhere/hello.wav: No such file or directory (os error 2)"
        );
        assert_eq!(
            error(sink("/nowhere/out.WAV")),
            "/nowhere/out.WAV: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn devices_are_found_by_id_and_errors_say_what_to_do() {
        assert!(source("mic:1").is_ok());
        assert!(sink("speaker").is_ok());
        assert!(sink("default").is_ok());
        assert_eq!(
            error(source("mic:2")),
            "audio device 'mic:2': it is busy (use input tone:440, file.wav or silence instead)"
        );
        assert_eq!(
            error(source("hello.mp3")),
            "audio device 'hello.mp3': there is no such device; there are mic:1, mic:2 \
             (use input tone:440, file.wav or silence instead)"
        );
        assert_eq!(
            error(open_sink(&Registry::new(), "default", &SinkOptions::default(), FORMAT)),
            "audio device 'default': this build has no sound cards \
             (use output file.wav or null instead)"
        );
    }
}
