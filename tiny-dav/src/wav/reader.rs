//! Reads sound out of a WAV file, by blocks or all at once.

use super::file_error;
use super::layout::Layout;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use tiny_media::{AudioFormat, MediaError};

/// The sound of a WAV file, in memory. Cheap to clone.
///
/// Integer samples of 8 to 32 bits, floats, A-law and µ-law become 16 bits; more than two channels
/// are mixed to one; the rate stays.
#[derive(Debug, Clone)]
pub struct WavFile {
    format: AudioFormat,
    samples: Arc<[i16]>,
}

impl WavFile {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`MediaError::File`] when it cannot be read or is no WAV file.
    pub fn load(path: &Path) -> Result<Self, MediaError> {
        Reader::open(path)?.load().map_err(|e| file_error(path, e))
    }

    /// Reads a whole file that is in memory already.
    ///
    /// # Errors
    /// [`MediaError::File`] when it is no WAV file.
    pub fn parse(bytes: &[u8]) -> Result<Self, MediaError> {
        let load = || Reader::new(io::Cursor::new(bytes))?.load();
        load().map_err(|e| file_error(Path::new("WAV data"), e))
    }

    /// The shape of the sound.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// All samples, interleaved.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    pub(super) fn shared(&self) -> Arc<[i16]> {
        self.samples.clone()
    }
}

/// An open file, read from the start by blocks.
pub(super) struct Reader<R> {
    file: R,
    layout: Layout,
    /// Frames not read yet.
    left: u64,
    raw: Vec<u8>,
}

/// Frames read at a time.
const BLOCK: u64 = 4_096;

impl Reader<BufReader<File>> {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self, MediaError> {
        let open = || Self::new(BufReader::new(File::open(path)?));
        open().map_err(|e| file_error(path, e))
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads the header.
    pub(super) fn new(mut file: R) -> io::Result<Self> {
        let layout = Layout::read(&mut file)?;
        if layout.frames == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no sound"));
        }
        Ok(Self { file, layout, left: layout.frames, raw: Vec::new() })
    }

    /// The shape of the sound.
    pub(super) fn format(&self) -> AudioFormat {
        self.layout.format()
    }

    /// Octets that the whole file takes as 16-bit sound.
    pub(super) fn decoded_octets(&self) -> u64 {
        self.layout.frames.saturating_mul(2 * u64::from(self.format().channels))
    }

    /// Appends the next block of sound; false at the end.
    pub(super) fn block(&mut self, out: &mut Vec<i16>) -> io::Result<bool> {
        let frames = self.left.min(BLOCK);
        if frames == 0 {
            return Ok(false);
        }
        self.raw.resize(frames as usize * self.layout.frame_octets(), 0);
        self.file.read_exact(&mut self.raw)?;
        self.layout.convert(&self.raw, out);
        self.left -= frames;
        Ok(true)
    }

    /// Starts again.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.layout.start))?;
        self.left = self.layout.frames;
        Ok(())
    }

    /// Reads the rest.
    pub(super) fn load(mut self) -> io::Result<WavFile> {
        let mut samples = Vec::new();
        while self.block(&mut samples)? {}
        Ok(WavFile { format: self.format(), samples: samples.into() })
    }
}
