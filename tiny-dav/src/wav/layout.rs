//! Where the sound lies in a WAV file and how its samples are coded. Knows RIFF and RF64, plain and
//! extensible formats; trusts no size: a file cut short, or still being written, reads as far as it
//! goes.

use crate::codec::g711;
use std::io::{self, Read, Seek, SeekFrom};
use tiny_media::AudioFormat;

/// How one sample is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Unsigned, 8 bits.
    Unsigned8,
    /// Signed integers of so many octets, 2 to 4, the highest bits used.
    Signed(usize),
    /// Floats of 4 octets, 1.0 is full scale.
    Float32,
    /// Floats of 8 octets.
    Float64,
    /// G.711 A-law.
    Alaw,
    /// G.711 µ-law.
    Ulaw,
}

impl Coding {
    /// Octets a sample.
    fn octets(self) -> usize {
        match self {
            Self::Unsigned8 | Self::Alaw | Self::Ulaw => 1,
            Self::Signed(octets) => octets,
            Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// One sample as 16 bits; `raw` has [`octets`](Self::octets) octets.
    fn sample(self, raw: &[u8]) -> i16 {
        match self {
            Self::Unsigned8 => (i16::from(raw[0]) - 128) << 8,
            Self::Signed(octets) => i16::from_le_bytes([raw[octets - 2], raw[octets - 1]]),
            Self::Float32 => from_float(f64::from(f32::from_le_bytes(first(raw)))),
            Self::Float64 => from_float(f64::from_le_bytes(first(raw))),
            Self::Alaw => g711::alaw_to_linear(raw[0]),
            Self::Ulaw => g711::ulaw_to_linear(raw[0]),
        }
    }
}

fn first<const N: usize>(raw: &[u8]) -> [u8; N] {
    let mut octets = [0; N];
    octets.copy_from_slice(&raw[..N]);
    octets
}

// A cast saturates, and makes zero of what is not a number.
fn from_float(value: f64) -> i16 {
    (value * 32_768.0).round() as i16
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) coding: Coding,
    pub(super) rate: u32,
    /// Channels in the file.
    pub(super) channels: u16,
    /// Where the sound starts, in octets.
    pub(super) start: u64,
    /// Whole frames that are there.
    pub(super) frames: u64,
}

/// The most that a header may take before the sound starts; a picture may be embedded.
const MAX_CHUNKS: usize = 1_000;

impl Layout {
    /// Reads the chunks up to the sound.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut head = [0; 12];
        file.read_exact(&mut head).map_err(|_| not_wav("it is too short"))?;
        if !(head.starts_with(b"RIFF") || head.starts_with(b"RF64")) || &head[8..] != b"WAVE" {
            return Err(not_wav("it does not start with RIFF and WAVE"));
        }
        let mut shape = None;
        for _ in 0..MAX_CHUNKS {
            let mut chunk = [0; 8];
            file.read_exact(&mut chunk).map_err(|_| not_wav("it has no data chunk"))?;
            let size = u64::from(u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]));
            match &chunk[..4] {
                b"fmt " => {
                    let mut fmt = [0; 40];
                    let used = size.min(40) as usize;
                    file.read_exact(&mut fmt[..used]).map_err(|_| not_wav("it is cut short"))?;
                    shape = Some(shape_of(&fmt[..used])?);
                    skip(file, size - used as u64 + size % 2)?;
                }
                b"data" => {
                    let (coding, rate, channels) =
                        shape.ok_or_else(|| not_wav("its data come before its format"))?;
                    let start = file.stream_position()?;
                    // A size beyond the end means a cut file, or one written to a pipe.
                    let octets = size.min(length.saturating_sub(start));
                    let frames = octets / (coding.octets() as u64 * u64::from(channels));
                    return Ok(Self { coding, rate, channels, start, frames });
                }
                _ => skip(file, size + size % 2)?,
            }
        }
        Err(not_wav("it has too many chunks before its data"))
    }

    /// The sound as it is handed out: more than two channels are mixed to one.
    pub(super) fn format(&self) -> AudioFormat {
        AudioFormat::new(self.rate, if self.channels > 2 { 1 } else { self.channels })
    }

    /// Octets a frame in the file.
    pub(super) fn frame_octets(&self) -> usize {
        self.coding.octets() * usize::from(self.channels)
    }

    /// Appends the sound of whole frames as coded in the file.
    pub(super) fn convert(&self, raw: &[u8], out: &mut Vec<i16>) {
        let octets = self.coding.octets();
        if self.channels <= 2 {
            out.extend(raw.chunks_exact(octets).map(|s| self.coding.sample(s)));
            return;
        }
        let channels = i32::from(self.channels);
        for frame in raw.chunks_exact(self.frame_octets()) {
            let samples = frame.chunks_exact(octets).map(|s| i32::from(self.coding.sample(s)));
            out.push((samples.sum::<i32>() / channels) as i16);
        }
    }
}

/// Coding, rate and channels out of a format chunk.
fn shape_of(fmt: &[u8]) -> io::Result<(Coding, u32, u16)> {
    if fmt.len() < 16 {
        return Err(not_wav("its format chunk is too short"));
    }
    let u16_at = |i: usize| u16::from_le_bytes([fmt[i], fmt[i + 1]]);
    let channels = u16_at(2);
    let rate = u32::from_le_bytes([fmt[4], fmt[5], fmt[6], fmt[7]]);
    let bits = u16_at(14);
    // Extensible: the tag proper is at the start of a GUID.
    let tag = if u16_at(0) == 0xFFFE && fmt.len() >= 26 { u16_at(24) } else { u16_at(0) };
    let coding = match (tag, bits) {
        (1, 1..=8) => Coding::Unsigned8,
        (1, 9..=32) => Coding::Signed(usize::from(bits.div_ceil(8))),
        (3, 32) => Coding::Float32,
        (3, 64) => Coding::Float64,
        (6, 8) => Coding::Alaw,
        (7, 8) => Coding::Ulaw,
        _ => return Err(not_wav(&format!("coding {tag} of {bits} bits is not known"))),
    };
    if !(1..=32).contains(&channels) {
        return Err(not_wav(&format!("{channels} channels are not in 1 to 32")));
    }
    if !(1_000..=384_000).contains(&rate) {
        return Err(not_wav(&format!("{rate} Hz is not in 1000 to 384000")));
    }
    Ok((coding, rate, channels))
}

fn skip(file: &mut impl Seek, octets: u64) -> io::Result<()> {
    file.seek(SeekFrom::Current(octets as i64)).map(|_| ())
}

fn not_wav(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a WAV file that can be played: {why}"))
}
