//! Writes a WAV file that is valid at every moment: sound first, then the header that claims it. A
//! process that ends in whatever way leaves a file that plays, short of the last quarter second.

use super::file_error;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tiny_media::{AudioFormat, MediaError};

/// Octets before the sound.
const HEADER: u64 = 44;

/// The sizes of RIFF have 32 bits, and one of them counts the header from its ninth octet on.
const MOST: u64 = u32::MAX as u64 - (HEADER - 8);

/// A WAV file of 16-bit samples being written. It blocks on the disk: see [`WavSink`](crate::WavSink)
/// for the media path.
#[derive(Debug)]
pub struct WavWriter {
    path: PathBuf,
    file: File,
    format: AudioFormat,
    /// Octets of sound in the file.
    written: u64,
    /// Octets of sound that the header claims.
    claimed: u64,
    raw: Vec<u8>,
}

impl WavWriter {
    /// Creates a file, or empties one that exists, and writes its header.
    ///
    /// # Errors
    /// [`MediaError::File`] when it cannot be created, [`MediaError::Config`] for a format without
    /// channels or rate.
    pub fn create(path: &Path, format: AudioFormat) -> Result<Self, MediaError> {
        if format.rate == 0 || format.channels == 0 {
            let reason =
                format!("{} Hz with {} channels is no sound", format.rate, format.channels);
            return Err(MediaError::Config { what: "WAV format", reason });
        }
        let create = || {
            let mut file = File::create(path)?;
            file.write_all(&header(format, 0))?;
            Ok(file)
        };
        let file = create().map_err(|e: io::Error| file_error(path, e))?;
        let path = path.to_owned();
        Ok(Self { path, file, format, written: 0, claimed: 0, raw: Vec::new() })
    }

    /// The format of the file.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Appends sound, and has the header claim it once a quarter of a second has come together.
    ///
    /// # Errors
    /// [`MediaError::File`] when the disk is full, or the file is at the 4 GiB that WAV can hold. What
    /// was written before stays valid.
    pub fn write(&mut self, pcm: &[i16]) -> Result<(), MediaError> {
        self.raw.clear();
        self.raw.extend(pcm.iter().flat_map(|s| s.to_le_bytes()));
        let octets = self.raw.len() as u64;
        if self.written + octets > MOST {
            return Err(file_error(&self.path, "full: a WAV file holds no more than 4 GiB"));
        }
        // After a write that failed half-way, the next starts where the good sound ends.
        let mut append = || {
            self.file.seek(SeekFrom::Start(HEADER + self.written))?;
            self.file.write_all(&self.raw)
        };
        append().map_err(|e| file_error(&self.path, e))?;
        self.written += octets;
        let quarter = u64::from(self.format.rate) * u64::from(self.format.channels) / 2;
        if self.written - self.claimed >= quarter { self.claim() } else { Ok(()) }
    }

    /// Has the header claim all that is written.
    ///
    /// # Errors
    /// [`MediaError::File`] when the disk refuses.
    pub fn claim(&mut self) -> Result<(), MediaError> {
        if self.claimed == self.written {
            return Ok(());
        }
        let head = header(self.format, self.written as u32);
        let mut rewrite = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&head)
        };
        rewrite().map_err(|e| file_error(&self.path, e))?;
        self.claimed = self.written;
        Ok(())
    }
}

impl Drop for WavWriter {
    fn drop(&mut self) {
        let _ = self.claim();
    }
}

fn header(format: AudioFormat, octets: u32) -> [u8; HEADER as usize] {
    let frame = format.channels.wrapping_mul(2);
    let mut head = [0; HEADER as usize];
    let mut at = 0;
    let mut put = |octets: &[u8]| {
        head[at..at + octets.len()].copy_from_slice(octets);
        at += octets.len();
    };
    put(b"RIFF");
    put(&(octets + (HEADER as u32 - 8)).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&1_u16.to_le_bytes());
    put(&format.channels.to_le_bytes());
    put(&format.rate.to_le_bytes());
    put(&format.rate.wrapping_mul(u32::from(frame)).to_le_bytes());
    put(&frame.to_le_bytes());
    put(&16_u16.to_le_bytes());
    put(b"data");
    put(&octets.to_le_bytes());
    head
}
