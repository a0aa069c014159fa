//! The recording tap: what is sent on the left, what is heard on the right, aligned in time.
//!
//! Each side has its own clock and may pause. A side that falls behind the owner's clock by more
//! than [`SLIP`] is filled up with silence, one that runs ahead loses as much.

use crate::MediaError;
use crate::plugin::{AudioFormat, Sink};
use crate::resample::{self, Resampler};
use std::time::{Duration, Instant};

/// Distance from the owner's clock that is let be.
const SLIP: Duration = Duration::from_millis(120);
/// A side that was not heard of for so long is silent.
const SILENT: Duration = Duration::from_millis(250);
/// Silence is written in pieces of at most so many frames.
const PIECE: usize = 4_800;

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Sent,
    Heard,
}

#[derive(Debug)]
struct Lane {
    // From the side's present format to mono at the recorder's rate.
    resampler: Option<Resampler>,
    waiting: Vec<i16>,
    // Frames taken so far.
    frames: u64,
    last: Option<Instant>,
}

pub(super) struct Recorder {
    sink: Box<dyn Sink>,
    format: AudioFormat,
    start: Instant,
    lanes: [Lane; 2],
    mixed: Vec<i16>,
}

impl Recorder {
    pub(super) fn new(now: Instant, sink: Box<dyn Sink>) -> Result<Self, MediaError> {
        let format = sink.format();
        resample::check(format)?;
        let lane = || Lane { resampler: None, waiting: Vec::new(), frames: 0, last: None };
        Ok(Self { sink, format, start: now, lanes: [lane(), lane()], mixed: Vec::new() })
    }

    /// Sound of one side that ends at `now`.
    pub(super) fn write(
        &mut self,
        now: Instant,
        channel: Channel,
        format: AudioFormat,
        pcm: &[i16],
    ) {
        if pcm.is_empty() {
            return;
        }
        let mono = AudioFormat::new(self.format.rate, 1);
        let expected = self.frames_at(now);
        let slip = frames(SLIP, mono.rate);
        let lane = &mut self.lanes[channel as usize];
        if lane.resampler.as_ref().is_none_or(|r| r.from() != format) {
            // Formats were checked where they came in; were one refused here, the side is silent.
            let Ok(new) = Resampler::new(format, mono) else { return };
            lane.resampler = Some(new);
        }
        let before = lane.waiting.len();
        if let Some(resampler) = &mut lane.resampler {
            resampler.process(pcm, &mut lane.waiting);
        }
        lane.last = Some(now);
        let made = (lane.waiting.len() - before) as u64;
        let behind = expected.saturating_sub(lane.frames + made);
        let ahead = (lane.frames + made).saturating_sub(expected);
        if behind > slip {
            // Silence goes before the new sound.
            lane.waiting.resize(lane.waiting.len() + behind as usize, 0);
            lane.waiting[before..].rotate_right(behind as usize);
            lane.frames += made + behind;
        } else if ahead > slip {
            let cut = ahead.min(made);
            lane.waiting.truncate(lane.waiting.len() - cut as usize);
            lane.frames += made - cut;
        } else {
            lane.frames += made;
        }
        self.flush(now);
    }

    /// Time goes on, with or without sound.
    pub(super) fn flush(&mut self, now: Instant) {
        let expected = self.frames_at(now);
        let slip = frames(SLIP, self.format.rate);
        for lane in &mut self.lanes {
            let since = lane.last.unwrap_or(self.start);
            if now.saturating_duration_since(since) > SILENT {
                let behind = expected.saturating_sub(slip).saturating_sub(lane.frames);
                let piece = behind.min(self.format.rate.into());
                lane.waiting.resize(lane.waiting.len() + piece as usize, 0);
                lane.frames += piece;
            }
        }
        self.write_out();
    }

    /// The end: the shorter side is filled up with silence.
    pub(super) fn finish(mut self, now: Instant) -> Box<dyn Sink> {
        self.flush(now);
        let longest = self.lanes[0].waiting.len().max(self.lanes[1].waiting.len());
        self.lanes.iter_mut().for_each(|l| l.waiting.resize(longest, 0));
        self.write_out();
        self.sink
    }

    fn write_out(&mut self) {
        let ready = self.lanes[0].waiting.len().min(self.lanes[1].waiting.len());
        if ready == 0 {
            return;
        }
        let [left, right] = &mut self.lanes;
        let channels = usize::from(self.format.channels);
        let pieces = left.waiting[..ready].chunks(PIECE).zip(right.waiting[..ready].chunks(PIECE));
        for (sent, heard) in pieces {
            self.mixed.clear();
            for (l, r) in sent.iter().zip(heard) {
                match channels {
                    1 => self.mixed.push(l.saturating_add(*r)),
                    n => self.mixed.extend((0..n).map(|c| match c {
                        0 => *l,
                        1 => *r,
                        _ => 0,
                    })),
                }
            }
            self.sink.write(&self.mixed);
        }
        left.waiting.drain(..ready);
        right.waiting.drain(..ready);
    }

    fn frames_at(&self, now: Instant) -> u64 {
        frames(now.saturating_duration_since(self.start), self.format.rate)
    }
}

fn frames(span: Duration, rate: u32) -> u64 {
    (span.as_nanos() * u128::from(rate) / 1_000_000_000) as u64
}
