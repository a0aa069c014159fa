//! A WAV file as a source: from memory when it is short, else behind a thread that reads ahead, so
//! that the media path never touches the disk.

use super::file_error;
use super::reader::{Reader, WavFile};
use rtrb::{Consumer, Producer, RingBuffer};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tiny_media::{AudioFormat, MediaError, Source};

/// Sound read ahead of a file that is too long for memory.
const READ_AHEAD: Duration = Duration::from_secs(2);

/// Plays a WAV file, once or for ever.
pub struct WavSource {
    format: AudioFormat,
    feed: Feed,
}

enum Feed {
    Memory { pcm: Arc<[i16]>, at: usize, looped: bool },
    Disk { ring: Consumer<i16>, shared: Arc<Shared>, thread: Option<JoinHandle<()>> },
}

#[derive(Default)]
struct Shared {
    /// The source is gone.
    stop: AtomicBool,
    /// Everything is in the ring.
    done: AtomicBool,
}

impl WavSource {
    /// Opens a file; `looped` starts it again at its end. Files that take more than `preload` bytes
    /// as 16-bit sound are read on the go by a thread.
    ///
    /// # Errors
    /// [`MediaError::File`] when it cannot be read or is no WAV file.
    pub fn open(path: &Path, looped: bool, preload: u64) -> Result<Self, MediaError> {
        let reader = Reader::open(path)?;
        if reader.decoded_octets() <= preload {
            let file = reader.load().map_err(|e| file_error(path, e))?;
            return Ok(Self::from_file(&file, looped));
        }
        let format = reader.format();
        let (mut producer, ring) = RingBuffer::new(format.samples(READ_AHEAD));
        let mut ahead = Ahead { reader, looped, pcm: Vec::new(), at: 0 };
        // The first reads find sound already there.
        let done = ahead.fill(&mut producer);
        let shared = Arc::new(Shared::default());
        shared.done.store(done, Ordering::Release);
        let thread = if done {
            None
        } else {
            let shared = shared.clone();
            let run = move || ahead.run(&mut producer, &shared);
            let spawned = thread::Builder::new().name("wav-reader".into()).spawn(run);
            Some(spawned.map_err(|e| file_error(path, e))?)
        };
        Ok(Self { format, feed: Feed::Disk { ring, shared, thread } })
    }

    /// Plays sound that is in memory already.
    pub fn from_file(file: &WavFile, looped: bool) -> Self {
        let feed = Feed::Memory { pcm: file.shared(), at: 0, looped };
        Self { format: file.format(), feed }
    }
}

impl Source for WavSource {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        match &mut self.feed {
            Feed::Memory { pcm, at, looped } => {
                let mut written = 0;
                while written < out.len() && !pcm.is_empty() {
                    if *at == pcm.len() {
                        if !*looped {
                            break;
                        }
                        *at = 0;
                    }
                    let n = (out.len() - written).min(pcm.len() - *at);
                    out[written..written + n].copy_from_slice(&pcm[*at..*at + n]);
                    (written, *at) = (written + n, *at + n);
                }
                written
            }
            Feed::Disk { ring, thread, .. } => {
                let (read, _) = ring.pop_partial_slice(out);
                let n = read.len();
                if let Some(thread) = thread
                    && ring.slots() < ring.buffer().capacity() / 2
                {
                    thread.thread().unpark();
                }
                n
            }
        }
    }

    fn finished(&self) -> bool {
        match &self.feed {
            Feed::Memory { pcm, at, looped } => !looped && *at == pcm.len(),
            // In this order: what is seen as done is in the ring.
            Feed::Disk { ring, shared, .. } => {
                shared.done.load(Ordering::Acquire) && ring.is_empty()
            }
        }
    }
}

impl Drop for WavSource {
    fn drop(&mut self) {
        if let Feed::Disk { shared, thread, .. } = &mut self.feed
            && let Some(thread) = thread.take()
        {
            shared.stop.store(true, Ordering::Release);
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// The reading side of a file that is too long for memory.
struct Ahead {
    reader: Reader<BufReader<File>>,
    looped: bool,
    /// A block that did not fit the ring, from `at` on.
    pcm: Vec<i16>,
    at: usize,
}

impl Ahead {
    fn run(&mut self, ring: &mut Producer<i16>, shared: &Shared) {
        while !shared.stop.load(Ordering::Acquire) {
            if self.fill(ring) {
                shared.done.store(true, Ordering::Release);
                return;
            }
            thread::park();
        }
    }

    /// Fills the ring; true when nothing more will come. A file that cannot be read any more ends.
    fn fill(&mut self, ring: &mut Producer<i16>) -> bool {
        loop {
            let (_, rest) = ring.push_partial_slice(&self.pcm[self.at..]);
            if !rest.is_empty() {
                self.at = self.pcm.len() - rest.len();
                return false;
            }
            (self.at, _) = (0, self.pcm.clear());
            match self.reader.block(&mut self.pcm) {
                Ok(true) => {}
                Ok(false) if self.looped && self.reader.rewind().is_ok() => {}
                Ok(false) | Err(_) => return true,
            }
        }
    }
}
