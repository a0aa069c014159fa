//! Mixes sound: everybody hears the sum of all others (N−1), at one rate and in mono, in blocks of
//! 10 ms. Sans-IO: sound comes from [`Source`]s and goes to [`Sink`]s, time is an argument. What is
//! too loud is turned down by a limiter for each listener; nothing ever wraps. Between
//! [`Mixer::add`]s nothing allocates, locks or logs.

mod leg;
mod limiter;
#[cfg(test)]
mod tests;

pub use leg::{Cushion, leg};

use crate::MediaError;
use crate::level::Level;
use crate::plugin::{AudioFormat, Sink, Source};
use crate::resample::Resampler;
use limiter::Limiter;
use std::time::{Duration, Instant};

/// What is mixed at a time.
pub const BLOCK: Duration = Duration::from_millis(10);
/// What a device that plays is given ahead, and how much more it may hold before a block is left out.
const AHEAD: Duration = Duration::from_millis(40);
const TOO_FAR_AHEAD: Duration = Duration::from_millis(80);

/// The settings of a [`Mixer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixerConfig {
    /// The rate at which everything is mixed, in Hz. Default: 48,000; a bridge of narrowband calls
    /// saves work with 8,000 or 16,000.
    pub rate: u32,
    /// Most participants; one more is refused. Default: 64.
    pub max_participants: usize,
    /// Blocks made up for in one go when the owner comes late; more are skipped and counted.
    /// Default: 10.
    pub max_catch_up: u32,
}

impl Default for MixerConfig {
    fn default() -> Self {
        Self { rate: 48_000, max_participants: 64, max_catch_up: 10 }
    }
}

/// A mixer. [`poll`](Self::poll) it whenever its deadline has come:
///
/// ```
/// # use std::time::{Duration, Instant};
/// use tiny_media::mixer::{Mixer, MixerConfig, leg};
/// let now = Instant::now();
/// let mut mixer = Mixer::new(MixerConfig::default())?;
/// // One end of each leg goes to the mixer, the other to a stream.
/// let (to_mixer, from_stream) = leg(mixer.format(), Duration::from_millis(20));
/// let (to_stream, from_mixer) = leg(mixer.format(), Duration::from_millis(20));
/// mixer.add(1, Box::new(from_stream), Box::new(to_stream))?;
/// let deadline = mixer.poll(now);
/// # let _ = (to_mixer, from_mixer, deadline);
/// # Ok::<(), tiny_media::MediaError>(())
/// ```
pub struct Mixer {
    config: MixerConfig,
    format: AudioFormat,
    seats: Vec<Seat>,
    sum: Vec<i32>,
    mixed: Vec<i16>,
    next: Option<Instant>,
    skipped: Duration,
}

/// A participant.
struct Seat {
    id: u64,
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    intake: Resampler,
    outlet: Resampler,
    // What the source gave in one read, and what of it waits in the mixer's format.
    raw: Vec<i16>,
    waiting: Vec<i16>,
    // Its part of the sum.
    own: Vec<i32>,
    converted: Vec<i16>,
    gain: f32,
    muted: bool,
    limiter: Limiter,
    level: Level,
    started: bool,
}

impl Mixer {
    /// A mixer without participants.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a rate outside 1 to 384 kHz.
    pub fn new(config: MixerConfig) -> Result<Self, MediaError> {
        let format = AudioFormat::new(config.rate, 1);
        crate::resample::check(format)?;
        let samples = format.samples(BLOCK).max(1);
        Ok(Self {
            config,
            format,
            seats: Vec::new(),
            sum: vec![0; samples],
            mixed: vec![0; samples],
            next: None,
            skipped: Duration::ZERO,
        })
    }

    /// The format in which it mixes. Sound in another one is resampled.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// A participant joins under a number of the caller's choice: `source` is what it says, `sink`
    /// what it hears. A device is evened out here, whatever its clock.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a format that cannot be resampled, a number that is in use, or when
    /// there are [`MixerConfig::max_participants`].
    pub fn add(
        &mut self,
        id: u64,
        source: Box<dyn Source>,
        sink: Box<dyn Sink>,
    ) -> Result<(), MediaError> {
        let refuse = |reason: String| Err(MediaError::Config { what: "mixer", reason });
        if self.seats.iter().any(|seat| seat.id == id) {
            return refuse(format!("participant {id} is there already"));
        }
        if self.seats.len() >= self.config.max_participants {
            return refuse(format!("max_participants = {}", self.config.max_participants));
        }
        let source = match source.available() {
            Some(_) => Box::new(Cushion::new(source, 2 * BLOCK)),
            None => source,
        };
        let intake = Resampler::new(source.format(), self.format)?;
        let outlet = Resampler::new(self.format, sink.format())?;
        let samples = self.mixed.len();
        self.seats.push(Seat {
            id,
            raw: vec![0; block_samples(source.format())],
            waiting: Vec::with_capacity(4 * samples),
            own: vec![0; samples],
            converted: Vec::with_capacity(4 * block_samples(sink.format())),
            gain: 1.0,
            muted: false,
            limiter: Limiter::new(),
            level: Level::new(),
            started: false,
            source,
            sink,
            intake,
            outlet,
        });
        Ok(())
    }

    /// A participant leaves; its source and sink are given back, a device's evened out as it was here.
    pub fn remove(&mut self, id: u64) -> Option<(Box<dyn Source>, Box<dyn Sink>)> {
        let at = self.seats.iter().position(|seat| seat.id == id)?;
        let seat = self.seats.remove(at);
        Some((seat.source, seat.sink))
    }

    /// Whether the others hear nothing of a participant, who still hears them.
    pub fn set_muted(&mut self, id: u64, muted: bool) {
        if let Some(seat) = self.seat(id) {
            seat.muted = muted;
        }
    }

    /// How much louder (or softer, below zero) the others hear a participant, in dB; within ±40.
    pub fn set_gain_db(&mut self, id: u64, db: f32) {
        if let Some(seat) = self.seat(id) {
            let db = if db.is_finite() { db.clamp(-40.0, 40.0) } else { 0.0 };
            seat.gain = 10f32.powf(db / 20.0);
        }
    }

    /// How loud a participant is, before its gain, in dBFS RMS over 300 ms.
    pub fn level_db(&self, id: u64) -> Option<f64> {
        self.seats.iter().find(|seat| seat.id == id).map(|seat| seat.level.rms_db())
    }

    /// Who takes part, in the order of joining.
    pub fn participants(&self) -> impl Iterator<Item = u64> + '_ {
        self.seats.iter().map(|seat| seat.id)
    }

    /// Time that was skipped because the owner came too late.
    pub fn skipped(&self) -> Duration {
        self.skipped
    }

    /// Mixes what is due and returns when to come again; `None` while nobody takes part.
    pub fn poll(&mut self, now: Instant) -> Option<Instant> {
        if self.seats.is_empty() {
            self.next = None;
            return None;
        }
        let mut next = *self.next.get_or_insert(now);
        let mut blocks = 0;
        while next <= now {
            if blocks == self.config.max_catch_up.max(1) {
                let behind = now - next;
                let lost = (behind.as_nanos() / BLOCK.as_nanos()) as u32 + 1;
                self.skipped += BLOCK * lost;
                next += BLOCK * lost;
                break;
            }
            self.mix();
            next += BLOCK;
            blocks += 1;
        }
        self.next = Some(next);
        self.next
    }

    fn seat(&mut self, id: u64) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.id == id)
    }

    fn mix(&mut self) {
        self.sum.fill(0);
        for seat in &mut self.seats {
            seat.take(self.format);
            for (sum, own) in self.sum.iter_mut().zip(&seat.own) {
                *sum += own;
            }
        }
        for seat in &mut self.seats {
            seat.limiter.apply(&self.sum, &seat.own, &mut self.mixed);
            seat.give(&self.mixed);
        }
    }
}

impl Seat {
    /// One block of what it says.
    fn take(&mut self, format: AudioFormat) {
        let wanted = self.own.len();
        // A resampler gives a little less at first; what does not come is silence.
        for _ in 0..4 {
            if self.waiting.len() >= wanted {
                break;
            }
            let read = self.source.read(&mut self.raw).min(self.raw.len());
            self.raw[read..].fill(0);
            self.intake.process(&self.raw, &mut self.waiting);
        }
        if self.waiting.len() < wanted {
            self.waiting.resize(wanted, 0);
        }
        self.level.update(format, &self.waiting[..wanted]);
        let gain = if self.muted { 0.0 } else { self.gain };
        for (own, sample) in self.own.iter_mut().zip(&self.waiting) {
            *own = match gain == 1.0 {
                true => i32::from(*sample),
                false => (f32::from(*sample) * gain) as i32,
            };
        }
        self.waiting.drain(..wanted);
    }

    /// One block of what it hears.
    fn give(&mut self, mixed: &[i16]) {
        self.converted.clear();
        self.outlet.process(mixed, &mut self.converted);
        let format = self.sink.format();
        if let Some(queued) = self.sink.queued() {
            if !std::mem::replace(&mut self.started, true) || queued == 0 {
                let silence = [0; 64];
                let mut left = format.samples(AHEAD).saturating_sub(queued);
                while left > 0 {
                    self.sink.write(&silence[..left.min(64)]);
                    left -= left.min(64);
                }
            } else if queued > format.samples(TOO_FAR_AHEAD) {
                // The device is slower than our clock.
                return;
            }
        }
        self.sink.write(&self.converted);
    }
}

fn block_samples(format: AudioFormat) -> usize {
    format.samples(BLOCK).max(usize::from(format.channels.max(1)))
}

impl std::fmt::Debug for Mixer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let participants: Vec<_> = self.participants().collect();
        f.debug_struct("Mixer")
            .field("format", &self.format)
            .field("participants", &participants)
            .finish_non_exhaustive()
    }
}
