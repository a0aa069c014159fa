//! Between two owners that each have a timer: a ring that holds a little sound, so that the one may
//! be late without the other running dry. Clocks that drift apart, or a pause at one end, cost a short
//! cross-fade and never a growing delay.

use crate::plugin::{AudioFormat, Sink, Source};
use crate::ring::{self, Pace, PcmWriter};
use std::time::Duration;

/// How much a leg holds at most.
const CAPACITY: Duration = Duration::from_millis(500);
/// Sound beyond the cushion at which some is left out at once.
const SLACK: Duration = Duration::from_millis(100);
/// Reads over which the least of what waits is taken.
const WINDOW: u32 = 200;
/// The length of a cross-fade.
const FADE: Duration = Duration::from_millis(3);

/// One way between a mixer and a stream: what is written at one end is read at the other, `cushion`
/// later.
pub fn leg(format: AudioFormat, cushion: Duration) -> (PcmWriter, Cushion) {
    let (writer, source) = ring::source(format, CAPACITY, Pace::Device);
    (writer, Cushion::new(Box::new(source), cushion))
}

impl Sink for PcmWriter {
    fn format(&self) -> AudioFormat {
        PcmWriter::format(self)
    }

    fn write(&mut self, pcm: &[i16]) {
        PcmWriter::write(self, pcm);
    }
}

/// A source with a clock of its own, read at another's pace.
pub struct Cushion {
    source: Box<dyn Source>,
    format: AudioFormat,
    // In samples.
    target: usize,
    slack: usize,
    filled: bool,
    // The least that was left after a read, and for how many reads.
    least: usize,
    reads: u32,
    faded: Vec<i16>,
    waste: Vec<i16>,
}

impl Cushion {
    /// Holds about so much of what `source` has ready ([`Source::available`]).
    pub fn new(source: Box<dyn Source>, cushion: Duration) -> Self {
        let format = source.format();
        Self {
            format,
            target: format.samples(cushion),
            slack: format.samples(SLACK),
            filled: false,
            least: usize::MAX,
            reads: 0,
            faded: vec![0; format.samples(FADE)],
            waste: vec![0; 256 * usize::from(format.channels.max(1))],
            source,
        }
    }

    /// Reads a block after leaving out `excess` samples, so that nothing clicks.
    fn read_after(&mut self, excess: usize, out: &mut [i16]) -> usize {
        let fade = self.faded.len().min(excess).min(out.len());
        let faded = self.source.read(&mut self.faded[..fade]);
        let mut left = excess - fade;
        while left > 0 {
            let part = left.min(self.waste.len());
            if self.source.read(&mut self.waste[..part]) == 0 {
                break;
            }
            left -= part;
        }
        let read = self.source.read(out);
        for (n, (new, old)) in out[..read].iter_mut().zip(&self.faded[..faded]).enumerate() {
            let share = (n + 1) as f32 / (faded + 1) as f32;
            *new = (f32::from(*new) * share + f32::from(*old) * (1.0 - share)) as i16;
        }
        read
    }
}

impl Source for Cushion {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        let Some(ready) = self.source.available() else { return self.source.read(out) };
        if !self.filled {
            if ready < out.len() + self.target {
                return 0;
            }
            (self.filled, self.least, self.reads) = (true, usize::MAX, 0);
        }
        let channels = usize::from(self.format.channels.max(1));
        let after = ready.saturating_sub(out.len());
        self.least = self.least.min(after);
        self.reads += 1;
        let mut excess = 0;
        if after > self.target + self.slack {
            // The other end came late, or was not read for a while.
            excess = after - self.target;
        } else if self.reads == WINDOW {
            // For two seconds there was always more than wanted: the clocks differ.
            if self.least > self.target + out.len() {
                excess = self.least - self.target;
            }
            (self.least, self.reads) = (usize::MAX, 0);
        }
        excess -= excess % channels;
        let read = match excess {
            0 => self.source.read(out),
            _ => {
                (self.least, self.reads) = (usize::MAX, 0);
                self.read_after(excess, out)
            }
        };
        // Dry: fill up anew.
        self.filled = read > 0;
        read
    }

    fn finished(&self) -> bool {
        self.source.finished()
    }

    fn fault(&self) -> Option<String> {
        self.source.fault()
    }
}

impl std::fmt::Debug for Cushion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cushion").field("format", &self.format).finish_non_exhaustive()
    }
}
