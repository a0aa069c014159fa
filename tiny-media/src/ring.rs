//! Raw PCM between an application (or a device callback) and a stream: wait-free single-producer,
//! single-consumer rings. Both ends are `Send`; neither ever blocks, locks or allocates after
//! creation. What does not fit is dropped whole frames at a time and counted.
//!
//! - [`source`] makes a [`PcmWriter`] (the application talks) and an [`AppSource`] (a [`Source`]).
//! - [`sink`] makes an [`AppSink`] (a [`Sink`]) and a [`PcmReader`] (the application listens).

use crate::plugin::{AudioFormat, Sink, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tiny_sak::Counter;

/// Whose clock moves the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// The stream's timer. Right for an application that writes in bursts (speech synthesis) or
    /// reads when it likes.
    Timer,
    /// The other end of the ring, which has a clock of its own: a sound card's callback.
    Device,
}

#[derive(Debug, Default)]
struct Shared {
    // Samples that did not fit.
    dropped: Counter,
    // Samples that were wanted and not there.
    missing: Counter,
    // The other end is gone, or has said that it is done.
    closed: AtomicBool,
}

/// Rounds a capacity up to whole frames, at least one.
fn ring_samples(format: AudioFormat, capacity: Duration) -> usize {
    format.samples(capacity).max(usize::from(format.channels.max(1)))
}

/// A channel from the application into a stream that holds up to `capacity` of sound.
///
/// ```
/// use std::time::Duration;
/// use tiny_media::{AudioFormat, Source, ring};
/// let format = AudioFormat::new(16_000, 1);
/// let (mut writer, mut source) = ring::source(format, Duration::from_secs(1), ring::Pace::Timer);
/// assert_eq!(writer.write(&[1, 2, 3]), 3);
/// let mut block = [0; 4];
/// assert_eq!(source.read(&mut block), 3);
/// assert_eq!(block, [1, 2, 3, 0]);
/// ```
pub fn source(format: AudioFormat, capacity: Duration, pace: Pace) -> (PcmWriter, AppSource) {
    let (producer, consumer) = rtrb::RingBuffer::new(ring_samples(format, capacity));
    let shared = Arc::new(Shared::default());
    (
        PcmWriter { producer, format, shared: Arc::clone(&shared) },
        AppSource { consumer, format, pace, shared },
    )
}

/// A channel from a stream to the application that holds up to `capacity` of sound.
pub fn sink(format: AudioFormat, capacity: Duration, pace: Pace) -> (AppSink, PcmReader) {
    let (producer, consumer) = rtrb::RingBuffer::new(ring_samples(format, capacity));
    let shared = Arc::new(Shared::default());
    (
        AppSink { producer, format, pace, shared: Arc::clone(&shared) },
        PcmReader { consumer, format, shared },
    )
}

fn push(producer: &mut rtrb::Producer<i16>, format: AudioFormat, pcm: &[i16]) -> usize {
    let channels = usize::from(format.channels.max(1));
    let room = producer.slots().min(pcm.len());
    let whole = room - room % channels;
    producer.push_partial_slice(&pcm[..whole]).0.len()
}

/// The application's end of an [`AppSource`]. Dropping it ends the source once it is drained.
#[derive(Debug)]
pub struct PcmWriter {
    producer: rtrb::Producer<i16>,
    format: AudioFormat,
    shared: Arc<Shared>,
}

impl PcmWriter {
    /// The PCM that [`write`](Self::write) takes.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Appends as many whole frames as fit and returns how many samples that were. The rest is
    /// counted as dropped.
    pub fn write(&mut self, pcm: &[i16]) -> usize {
        let written = push(&mut self.producer, self.format, pcm);
        if written < pcm.len() {
            self.shared.dropped.add((pcm.len() - written) as u64);
        }
        written
    }

    /// Like [`write`](Self::write), for a caller that will offer the rest again: nothing is counted
    /// as dropped.
    pub fn offer(&mut self, pcm: &[i16]) -> usize {
        push(&mut self.producer, self.format, pcm)
    }

    /// Samples that would fit now.
    pub fn room(&self) -> usize {
        self.producer.slots()
    }

    /// Samples written and not yet taken by the stream.
    pub fn queued(&self) -> usize {
        self.capacity() - self.producer.slots()
    }

    /// Samples that fit in all.
    pub fn capacity(&self) -> usize {
        self.producer.buffer().capacity()
    }

    /// Samples dropped by [`write`](Self::write) for lack of room.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.value()
    }

    /// Samples that the stream wanted when there were none.
    pub fn missing(&self) -> u64 {
        self.shared.missing.value()
    }

    /// True when the stream has let go of the source.
    pub fn is_abandoned(&self) -> bool {
        self.producer.is_abandoned()
    }

    /// Says that nothing will follow: the source is finished once it is drained.
    pub fn finish(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

/// A [`Source`] fed by a [`PcmWriter`].
#[derive(Debug)]
pub struct AppSource {
    consumer: rtrb::Consumer<i16>,
    format: AudioFormat,
    pace: Pace,
    shared: Arc<Shared>,
}

impl AppSource {
    /// Samples that the writer could not place.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.value()
    }
}

impl Source for AppSource {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn available(&self) -> Option<usize> {
        match self.pace {
            Pace::Timer => None,
            Pace::Device => {
                let n = self.consumer.slots();
                Some(n - n % usize::from(self.format.channels.max(1)))
            }
        }
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        let n = self.consumer.pop_partial_slice(out).0.len();
        if n < out.len() {
            self.shared.missing.add((out.len() - n) as u64);
        }
        n
    }

    fn finished(&self) -> bool {
        // The flag is read before the level, so that a last write is never missed.
        let closed = self.shared.closed.load(Ordering::Acquire) || self.consumer.is_abandoned();
        closed && self.consumer.is_empty()
    }
}

/// A [`Sink`] that a [`PcmReader`] drains.
#[derive(Debug)]
pub struct AppSink {
    producer: rtrb::Producer<i16>,
    format: AudioFormat,
    pace: Pace,
    shared: Arc<Shared>,
}

impl Sink for AppSink {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn queued(&self) -> Option<usize> {
        match self.pace {
            Pace::Timer => None,
            Pace::Device => Some(self.producer.buffer().capacity() - self.producer.slots()),
        }
    }

    fn write(&mut self, pcm: &[i16]) {
        let written = push(&mut self.producer, self.format, pcm);
        if written < pcm.len() {
            self.shared.dropped.add((pcm.len() - written) as u64);
        }
    }
}

impl Drop for AppSink {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

/// The application's end of an [`AppSink`].
#[derive(Debug)]
pub struct PcmReader {
    consumer: rtrb::Consumer<i16>,
    format: AudioFormat,
    shared: Arc<Shared>,
}

impl PcmReader {
    /// The PCM that [`read`](Self::read) gives.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Fills `out` from the start with what there is and returns the number of samples. A shortfall
    /// is no error and is not counted; see [`read_all`](Self::read_all).
    pub fn read(&mut self, out: &mut [i16]) -> usize {
        let whole = out.len() - out.len() % usize::from(self.format.channels.max(1));
        self.consumer.pop_partial_slice(&mut out[..whole]).0.len()
    }

    /// Fills all of `out`, with silence where there is nothing, as a device callback must. Returns
    /// how many samples were sound; the rest is counted as missing.
    pub fn read_all(&mut self, out: &mut [i16]) -> usize {
        let n = self.consumer.pop_partial_slice(out).0.len();
        if n < out.len() {
            out[n..].fill(0);
            self.shared.missing.add((out.len() - n) as u64);
        }
        n
    }

    /// Samples ready to be read.
    pub fn available(&self) -> usize {
        self.consumer.slots()
    }

    /// Samples that fit in all.
    pub fn capacity(&self) -> usize {
        self.consumer.buffer().capacity()
    }

    /// Samples that the stream dropped because the application did not read.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.value()
    }

    /// Samples that [`read_all`](Self::read_all) had to make up.
    pub fn missing(&self) -> u64 {
        self.shared.missing.value()
    }

    /// True when the stream has let go of the sink and everything was read.
    pub fn finished(&self) -> bool {
        let closed = self.shared.closed.load(Ordering::Acquire) || self.consumer.is_abandoned();
        closed && self.consumer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEREO: AudioFormat = AudioFormat::new(8000, 2);

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn what_does_not_fit_is_dropped_in_whole_frames_and_counted() {
        let (mut w, mut s) = source(STEREO, Duration::from_millis(1), Pace::Device);
        is_send(&w);
        is_send(&s);
        assert_eq!(w.capacity(), 16);
        assert_eq!(w.write(&[7; 15]), 14);
        assert_eq!((w.dropped(), w.queued(), w.room()), (1, 14, 2));
        assert_eq!(s.available(), Some(14));
        let mut out = [0; 16];
        assert_eq!(s.read(&mut out), 14);
        assert_eq!(w.missing(), 2);
    }

    #[test]
    fn a_source_finishes_when_its_writer_is_done_and_it_is_drained() {
        let (mut w, mut s) = source(STEREO, Duration::from_millis(10), Pace::Timer);
        assert_eq!(s.available(), None);
        w.write(&[1, 2]);
        w.finish();
        assert!(!s.finished());
        let mut out = [0; 2];
        s.read(&mut out);
        assert!(s.finished());
        let (w, s) = source(STEREO, Duration::from_millis(10), Pace::Timer);
        drop(w);
        assert!(s.finished());
    }

    #[test]
    fn a_device_reader_gets_silence_where_nothing_is() {
        let (mut s, mut r) = sink(STEREO, Duration::from_millis(1), Pace::Device);
        is_send(&r);
        s.write(&[5; 4]);
        assert_eq!((s.queued(), r.available()), (Some(4), 4));
        let mut out = [9; 6];
        assert_eq!(r.read_all(&mut out), 4);
        assert_eq!((out, r.missing()), ([5, 5, 5, 5, 0, 0], 2));
        s.write(&[1; 40]);
        assert_eq!(r.dropped(), 24);
        drop(s);
        assert!(!r.finished());
        r.read(&mut [0; 16]);
        assert!(r.finished());
    }
}
