//! The doors through which everything plugs in: codecs, sources, sinks, processors, devices.
//!
//! All sound inside tiny-ua is signed 16-bit PCM, interleaved. "Samples" counts every channel;
//! "frames" counts one sample of each channel together.

use crate::MediaError;
use std::sync::Arc;
use std::time::Duration;

/// The shape of PCM sound: 16-bit signed, interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioFormat {
    /// Frames a second, in Hz.
    pub rate: u32,
    /// Interleaved channels: 1 mono, 2 stereo.
    pub channels: u16,
}

impl AudioFormat {
    /// A format of `rate` Hz with `channels` channels.
    pub const fn new(rate: u32, channels: u16) -> Self {
        Self { rate, channels }
    }

    /// Samples (over all channels) in a span of time.
    pub fn samples(self, span: Duration) -> usize {
        let frames = u64::from(self.rate) * span.as_micros() as u64 / 1_000_000;
        frames as usize * usize::from(self.channels)
    }

    /// The time that `samples` (over all channels) take.
    pub fn duration(self, samples: usize) -> Duration {
        let frames = samples as u64 / u64::from(self.channels.max(1));
        Duration::from_nanos(frames * 1_000_000_000 / u64::from(self.rate.max(1)))
    }
}

/// The parameters of an `a=fmtp` line, in the text form `key=value;key=value` of the codec's own
/// payload format document. Empty when there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fmtp(pub String);

impl Fmtp {
    /// The value of a parameter, its name compared without case; `Some("")` when it has no value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.split(';').find_map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            k.trim().eq_ignore_ascii_case(name).then(|| v.trim())
        })
    }

    /// A flag written as `name=1`.
    pub fn flag(&self, name: &str) -> bool {
        self.value(name) == Some("1")
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.value(name)?.parse().ok()
    }
}

/// What a codec is, in the words of SDP and of PCM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecDescription {
    /// The encoding name of `a=rtpmap`, e.g. `opus`, `PCMU`, `G722`; compared without case.
    pub name: &'static str,
    /// The RTP clock rate in Hz. For G.722 this is 8000 although it codes 16 kHz (RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// Channels in `a=rtpmap`; Opus always says 2 (RFC 7587 §7).
    pub rtpmap_channels: u16,
    /// The static payload type of RFC 3551 §6, or `None` for a dynamic one.
    pub payload_type: Option<u8>,
    /// The PCM that encoders take and decoders give.
    pub format: AudioFormat,
    /// The packet time to offer, in ms.
    pub ptime_ms: u32,
    /// What we say about ourselves in `a=fmtp`.
    pub fmtp: Fmtp,
}

/// A codec in the registry: makes encoders and decoders.
pub trait AudioCodec: Send + Sync {
    /// What it is.
    fn description(&self) -> &CodecDescription;

    /// A new encoder. `remote` is the peer's `a=fmtp`: what it wishes to receive.
    ///
    /// # Errors
    /// [`MediaError::Config`] when the peer asks for what the codec cannot do.
    fn encoder(&self, remote: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError>;

    /// A new decoder. `local` is our own `a=fmtp`.
    ///
    /// # Errors
    /// [`MediaError::Config`] when the parameters make no sense.
    fn decoder(&self, local: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError>;
}

/// What became of one block of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// A payload was appended and should be sent.
    Packet,
    /// Discontinuous transmission: nothing need be sent for this block.
    Silence,
}

/// Turns PCM into payloads.
pub trait AudioEncoder: Send {
    /// Encodes one packet time of PCM in the codec's [`CodecDescription::format`] and appends the
    /// payload to `out`. Does not allocate when `out` has room.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a block length that the codec has no frame for.
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError>;

    /// Hints how much of what is sent gets lost (percent), for codecs that can spend bits on repair.
    fn expect_loss(&mut self, _percent: u8) {}
}

/// Turns payloads into PCM.
pub trait AudioDecoder: Send {
    /// How long a payload plays, in RTP clock ticks; `None` when it is malformed.
    fn ticks(&self, payload: &[u8]) -> Option<u32>;

    /// Decodes one payload and appends PCM in the codec's format to `out`.
    ///
    /// # Errors
    /// [`MediaError::Payload`]; nothing is appended then.
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError>;

    /// Appends `frames` frames in place of a packet that is lost for good. Returns false when the
    /// codec has no concealment of its own; the stream's generic one is used then.
    fn conceal(&mut self, _frames: usize, _out: &mut Vec<i16>) -> bool {
        false
    }

    /// Rebuilds a lost packet of `frames` frames from the redundancy in the packet that follows it.
    /// Returns false when there is none.
    fn recover(&mut self, _next: &[u8], _frames: usize, _out: &mut Vec<i16>) -> bool {
        false
    }
}

/// Where sound comes from.
pub trait Source: Send {
    /// The PCM that [`read`](Self::read) gives.
    fn format(&self) -> AudioFormat;

    /// `Some(n)`: a device with a clock of its own has `n` samples ready, and its pace is the pace
    /// of the stream. `None`: as much as wanted, whenever wanted; a timer sets the pace.
    fn available(&self) -> Option<usize> {
        None
    }

    /// Fills `out` from the start and returns how many samples it has written. Fewer than asked
    /// for means that there is no more just now; the stream fills up with silence.
    fn read(&mut self, out: &mut [i16]) -> usize;

    /// True when nothing will ever come again, e.g. at the end of a file.
    fn finished(&self) -> bool {
        false
    }

    /// Why nothing will ever come again, when that is an error, e.g. the device was unplugged.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// Where sound goes to.
pub trait Sink: Send {
    /// The PCM that [`write`](Self::write) takes.
    fn format(&self) -> AudioFormat;

    /// `Some(n)`: a device with a clock of its own still holds `n` samples that it has not played,
    /// and its pace is the pace of playout. `None`: a timer sets the pace.
    fn queued(&self) -> Option<usize> {
        None
    }

    /// Plays or stores samples. What does not fit is dropped.
    fn write(&mut self, pcm: &[i16]);

    /// Why nothing will ever be played or stored again, e.g. the device was unplugged or the disk is
    /// full.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// Works on sound in place, between source and encoder or between decoder and sink.
pub trait Processor: Send {
    /// Processes one block.
    fn process(&mut self, format: AudioFormat, pcm: &mut [i16]);
}

/// Whether a device records or plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// A microphone or other source.
    Input,
    /// A loudspeaker or other sink.
    Output,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// A stable id, to be given to `open_source` or `open_sink`.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// What it does.
    pub kind: DeviceKind,
    /// Whether the system prefers it.
    pub is_default: bool,
    /// The format it runs at by preference, where the system tells.
    pub format: Option<AudioFormat>,
}

/// A family of devices, e.g. the system's sound cards.
pub trait DeviceBackend: Send + Sync {
    /// A short name, e.g. `cpal`.
    fn name(&self) -> &'static str;

    /// The devices there are now. An empty list is no error.
    ///
    /// # Errors
    /// [`MediaError::Device`] when the system cannot be asked.
    fn devices(&self) -> Result<Vec<DeviceInfo>, MediaError>;

    /// Opens a source by id; `default` is the system's choice. `wanted` is a wish: the source says
    /// in [`Source::format`] what it is.
    ///
    /// # Errors
    /// [`MediaError::Device`] names the device and the reason.
    fn open_source(&self, id: &str, wanted: AudioFormat) -> Result<Box<dyn Source>, MediaError>;

    /// Opens a sink by id; as [`open_source`](Self::open_source).
    ///
    /// # Errors
    /// [`MediaError::Device`] names the device and the reason.
    fn open_sink(&self, id: &str, wanted: AudioFormat) -> Result<Box<dyn Sink>, MediaError>;
}

/// What is plugged in. Cheap to clone; the order of codecs is the order of preference.
#[derive(Clone, Default)]
pub struct Registry {
    codecs: Vec<Arc<dyn AudioCodec>>,
    backends: Vec<Arc<dyn DeviceBackend>>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a codec behind those already there. One of the same name and clock rate is replaced,
    /// so that an application can put its own in place of a built-in.
    pub fn add_codec(&mut self, codec: Arc<dyn AudioCodec>) {
        let new = codec.description();
        let same = self.codecs.iter_mut().find(|c| {
            let old = c.description();
            old.name.eq_ignore_ascii_case(new.name) && old.clock_rate == new.clock_rate
        });
        match same {
            Some(slot) => *slot = codec,
            None => self.codecs.push(codec),
        }
    }

    /// Adds a device back end.
    pub fn add_backend(&mut self, backend: Arc<dyn DeviceBackend>) {
        self.backends.push(backend);
    }

    /// The codecs, most preferred first.
    pub fn codecs(&self) -> &[Arc<dyn AudioCodec>] {
        &self.codecs
    }

    /// The device back ends.
    pub fn backends(&self) -> &[Arc<dyn DeviceBackend>] {
        &self.backends
    }

    /// A codec by name (without case) and RTP clock rate.
    pub fn codec(&self, name: &str, clock_rate: u32) -> Option<&Arc<dyn AudioCodec>> {
        self.codecs.iter().find(|c| {
            let d = c.description();
            d.name.eq_ignore_ascii_case(name) && d.clock_rate == clock_rate
        })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let codecs: Vec<_> = self.codecs.iter().map(|c| c.description().name).collect();
        let backends: Vec<_> = self.backends.iter().map(|b| b.name()).collect();
        f.debug_struct("Registry").field("codecs", &codecs).field("backends", &backends).finish()
    }
}
