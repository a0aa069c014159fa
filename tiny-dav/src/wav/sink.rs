//! A WAV file as a sink: the media path puts samples into a ring, a thread writes them.

use super::file_error;
use super::writer::WavWriter;
use rtrb::{Consumer, Producer, RingBuffer};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tiny_media::{AudioFormat, MediaError, Sink};
use tiny_sak::Counter;

/// Sound that wakes the thread.
const WAKE: Duration = Duration::from_millis(100);

/// Records into a WAV file of 16-bit samples, which is valid at every moment.
///
/// Dropping it waits until everything is in the file.
pub struct WavSink {
    format: AudioFormat,
    ring: Producer<i16>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Samples since the thread was last woken.
    unannounced: usize,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    dropped: Counter,
    fault: OnceLock<String>,
}

impl WavSink {
    /// Creates a file, or empties one that exists. `buffer` is how much sound may wait for the disk;
    /// what comes beyond is dropped and counted.
    ///
    /// # Errors
    /// [`MediaError::File`] when the file cannot be created.
    pub fn create(path: &Path, format: AudioFormat, buffer: Duration) -> Result<Self, MediaError> {
        let writer = WavWriter::create(path, format)?;
        let (ring, consumer) = RingBuffer::new(format.samples(buffer.max(WAKE)));
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("wav-writer".into())
            .spawn(move || drain(writer, consumer, &theirs))
            .map_err(|e| file_error(path, e))?;
        Ok(Self { format, ring, shared, thread: Some(thread), unannounced: 0 })
    }

    /// Samples that were dropped, because the disk was too slow or refused.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.value()
    }
}

impl Sink for WavSink {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn write(&mut self, pcm: &[i16]) {
        let frame = usize::from(self.format.channels);
        // Whole frames only, so that channels never change places.
        let fits = self.ring.slots().min(pcm.len()) / frame * frame;
        let (pushed, _) = self.ring.push_partial_slice(&pcm[..fits]);
        let pushed = pushed.len();
        self.shared.dropped.add((pcm.len() - pushed) as u64);
        self.unannounced += pushed;
        if self.unannounced >= self.format.samples(WAKE) {
            self.unannounced = 0;
            if let Some(thread) = &self.thread {
                thread.thread().unpark();
            }
        }
    }

    fn fault(&self) -> Option<String> {
        self.shared.fault.get().cloned()
    }
}

impl Drop for WavSink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Writes what comes until the sink is gone. After an error it goes on emptying the ring and counts.
fn drain(mut writer: WavWriter, mut ring: Consumer<i16>, shared: &Shared) {
    loop {
        // In this order: nothing is pushed after the sink is gone.
        let last = shared.stop.load(Ordering::Acquire);
        if let Ok(chunk) = ring.read_chunk(ring.slots()) {
            let (first, second) = chunk.as_slices();
            for pcm in [first, second] {
                if shared.fault.get().is_some() {
                    shared.dropped.add(pcm.len() as u64);
                } else if let Err(error) = writer.write(pcm) {
                    shared.dropped.add(pcm.len() as u64);
                    let _ = shared.fault.set(error.to_string());
                }
            }
            chunk.commit_all();
        }
        if last {
            return;
        }
        if ring.is_empty() {
            thread::park();
        } else {
            thread::park_timeout(WAKE);
        }
    }
}
