//! What a call sounds like: where its sound comes from and goes to.

use crate::Error;
use std::time::Duration;
use tiny_dav::{SinkOptions, SourceOptions};
use tiny_media::ring::{PcmReader, PcmWriter};
use tiny_media::{AudioFormat, Pace, Registry, Sink, Source, ring};

/// The sound of one call.
///
/// ```no_run
/// use tiny_ua::Audio;
/// let devices = Audio::default_devices();
/// let files = Audio::new("question.wav", "answer.wav");
/// let (agent, mut to_peer, mut from_peer) = Audio::pcm(16_000, 1);
/// # let _ = (devices, files, agent, &mut to_peer, &mut from_peer);
/// ```
#[derive(Debug)]
#[must_use]
pub struct Audio {
    input: Input,
    output: Output,
    record: Option<String>,
    /// What this is another take of.
    spec: Option<AudioSpec>,
}

enum Input {
    Named { spec: String, looped: bool },
    Custom(Box<dyn Source>),
}

enum Output {
    Named(String),
    Custom(Box<dyn Sink>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named { spec, .. } => f.write_str(spec),
            Self::Custom(_) => f.write_str("custom"),
        }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(spec) => f.write_str(spec),
            Self::Custom(_) => f.write_str("custom"),
        }
    }
}

impl Default for Audio {
    fn default() -> Self {
        Self::default_devices()
    }
}

impl Audio {
    /// The system's microphone and loudspeaker.
    pub fn default_devices() -> Self {
        Self::new("default", "default")
    }

    /// Sends silence and throws away what is heard: for servers and tests.
    pub fn silent() -> Self {
        Self::new("silence", "null")
    }

    /// An input and an output by name. Inputs: `default`, a device id, `file.wav`, `tone:440`,
    /// `silence`. Outputs: `default`, a device id, `file.wav`, `null`.
    pub fn new(input: impl Into<String>, output: impl Into<String>) -> Self {
        Self {
            input: Input::Named { spec: input.into(), looped: false },
            output: Output::Named(output.into()),
            record: None,
            spec: None,
        }
    }

    /// Raw 16-bit PCM from and to the application at a rate (Hz) and channel count of its choice.
    /// The writer is what the peer will hear; the reader is what the peer says. Each holds up to
    /// one second; both may move to any thread and never block.
    pub fn pcm(rate: u32, channels: u16) -> (Self, PcmWriter, PcmReader) {
        let format = AudioFormat::new(rate, channels);
        let capacity = Duration::from_secs(1);
        let (writer, source) = ring::source(format, capacity, Pace::Timer);
        let (sink, reader) = ring::sink(format, capacity, Pace::Timer);
        let audio = Self {
            input: Input::Custom(Box::new(source)),
            output: Output::Custom(Box::new(sink)),
            record: None,
            spec: None,
        };
        (audio, writer, reader)
    }

    /// A source and a sink of the application's own make.
    pub fn custom(source: Box<dyn Source>, sink: Box<dyn Sink>) -> Self {
        Self {
            input: Input::Custom(source),
            output: Output::Custom(sink),
            record: None,
            spec: None,
        }
    }

    /// Repeats a file for as long as the call lasts.
    pub fn looped(mut self, on: bool) -> Self {
        if let Input::Named { looped, .. } = &mut self.input {
            *looped = on;
        }
        self
    }

    /// Records both directions into a stereo WAV: left what is sent, right what is heard.
    pub fn record(mut self, path: impl Into<String>) -> Self {
        self.record = Some(path.into());
        self
    }

    /// Opens devices and files. May block for as long as a sound card takes to start.
    pub(crate) fn open(self, registry: &Registry) -> Result<OpenAudio, Error> {
        const WANTED: AudioFormat = AudioFormat::new(48_000, 1);
        const STEREO: AudioFormat = AudioFormat::new(48_000, 2);
        let again = self.spec.clone().or_else(|| AudioSpec::of(&self));
        let source = match self.input {
            Input::Custom(source) => source,
            Input::Named { spec, looped } => {
                tiny_dav::open_source(registry, &spec, &SourceOptions::looped(looped), WANTED)?
            }
        };
        let sink = match self.output {
            Output::Custom(sink) => sink,
            Output::Named(spec) => {
                tiny_dav::open_sink(registry, &spec, &SinkOptions::default(), WANTED)?
            }
        };
        let recorder = match self.record {
            Some(path) => {
                Some(tiny_dav::open_sink(registry, &path, &SinkOptions::default(), STEREO)?)
            }
            None => None,
        };
        Ok(OpenAudio { source, sink, recorder, again })
    }
}

/// Sources and sinks that are open.
pub(crate) struct OpenAudio {
    pub(crate) source: Box<dyn Source>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) recorder: Option<Box<dyn Sink>>,
    /// How to open the same once more; `None` for what the application made itself.
    pub(crate) again: Option<AudioSpec>,
}

/// Sound by its names, for calls that continue others.
#[derive(Debug, Clone)]
pub(crate) struct AudioSpec {
    input: String,
    looped: bool,
    output: String,
    record: Option<String>,
    take: u32,
}

impl AudioSpec {
    /// The names in an `Audio`; `None` for what the application made itself.
    pub(crate) fn of(audio: &Audio) -> Option<Self> {
        let (Input::Named { spec, looped }, Output::Named(output)) = (&audio.input, &audio.output)
        else {
            return None;
        };
        let (input, output) = (spec.clone(), output.clone());
        Some(Self { input, looped: *looped, output, record: audio.record.clone(), take: 1 })
    }

    /// The same sound once more. Files get a number in their names, so that what was heard before is
    /// not written over: `heard.wav`, `heard-2.wav`, …
    pub(crate) fn again(&self) -> Audio {
        let take = self.take + 1;
        let numbered = |path: &str| match path.rsplit_once('.') {
            Some((stem, ext)) if !stem.is_empty() && !ext.contains(['/', '\\']) => {
                format!("{stem}-{take}.{ext}")
            }
            _ => path.to_owned(),
        };
        let is_file = |path: &str| path.to_ascii_lowercase().ends_with(".wav");
        let output =
            if is_file(&self.output) { numbered(&self.output) } else { self.output.clone() };
        let mut audio = Audio::new(self.input.clone(), output).looped(self.looped);
        audio.record = self.record.as_deref().map(numbered);
        audio.spec = Some(Self { take, ..self.clone() });
        audio
    }
}

impl std::fmt::Debug for OpenAudio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenAudio")
    }
}
