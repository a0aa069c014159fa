//! How much delay the path needs: a histogram of how late packets come, with forgetting, and the
//! quantile of it that is to arrive in time.
//!
//! "Late" is against the earliest packet of the last two seconds, so that neither the absolute
//! transit time nor a drift between the two clocks plays a role.

use super::config::JitterConfig;

/// Width of a bin.
const BIN_NS: i64 = 4_000_000;
/// Bins: the last one takes everything later.
const BINS: usize = 150;
/// The window of the earliest packet: so many slices …
const SLICES: usize = 8;
/// … of so long.
const SLICE_NS: i64 = 250_000_000;
/// Weight of a packet that comes together with the one before it.
const BURST_SHARE: f64 = 0.05;
/// Weight of the start delay before anything is known, in packets.
const PRIOR: f64 = 1.0;

#[derive(Debug)]
pub(super) struct DelayEstimator {
    // Transit of the earliest packet in each slice, by the number of the slice.
    earliest: [(i64, i64); SLICES],
    base: Option<i64>,
    bins: [f32; BINS],
    total: f64,
    // Weight of the next packet: it grows, which is the same as the others shrinking.
    weight: f64,
    memory: f64,
    quantile: f64,
    min: i64,
    max: i64,
    target: i64,
    last_arrival: Option<i64>,
}

impl DelayEstimator {
    pub(super) fn new(config: &JitterConfig) -> Self {
        let ns = |d: std::time::Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX / 4);
        let (min, max) = (ns(config.min_delay), ns(config.max_delay.max(config.min_delay)));
        let start = ns(config.start_delay).clamp(min, max);
        let mut bins = [0.0; BINS];
        bins[((start / BIN_NS) as usize).saturating_sub(1).min(BINS - 1)] = PRIOR as f32;
        Self {
            earliest: [(i64::MIN, i64::MAX); SLICES],
            base: None,
            bins,
            total: PRIOR,
            weight: 1.0,
            memory: config.memory.clamp(0.5, 1.0),
            quantile: config.quantile.clamp(0.0, 1.0),
            min,
            max,
            target: start,
            last_arrival: None,
        }
    }

    /// A packet with `length` of sound of media time `time` came at `arrival`.
    pub(super) fn record(&mut self, arrival: i64, time: i64, length: i64) {
        let transit = arrival - time;
        self.update_base(arrival, transit);
        let late = transit - self.base.unwrap_or(transit);
        let bin = ((late / BIN_NS).max(0) as usize).min(BINS - 1);
        // What comes in one burst is late for one reason: only its first packet counts in full.
        let gap = arrival - self.last_arrival.unwrap_or(arrival - length);
        self.last_arrival = Some(arrival);
        let share = (gap as f64 / length.max(1) as f64).clamp(BURST_SHARE, 1.0);
        self.bins[bin] += (self.weight * share) as f32;
        self.total += self.weight * share;
        self.weight /= self.memory;
        if self.weight > 1e6 {
            let scale = 1.0 / self.weight;
            self.bins.iter_mut().for_each(|b| *b *= scale as f32);
            self.total *= scale;
            self.weight = 1.0;
        }
        self.target = self.quantile_ns().clamp(self.min, self.max);
    }

    /// The sender began anew: transit times cannot be compared with earlier ones. The histogram
    /// stays, as the path is the same.
    pub(super) fn restart(&mut self) {
        self.earliest = [(i64::MIN, i64::MAX); SLICES];
        self.base = None;
    }

    /// The transit time of the earliest packet.
    pub(super) fn base(&self) -> Option<i64> {
        self.base
    }

    /// How long after its earliest possible arrival a packet should be decoded.
    pub(super) fn target(&self) -> i64 {
        self.target
    }

    fn update_base(&mut self, arrival: i64, transit: i64) {
        let slice = arrival.div_euclid(SLICE_NS);
        let slot = &mut self.earliest[slice.rem_euclid(SLICES as i64) as usize];
        if slot.0 == slice {
            slot.1 = slot.1.min(transit);
        } else {
            *slot = (slice, transit);
        }
        let oldest = slice - SLICES as i64;
        let window = self.earliest.iter().filter(|(n, _)| *n > oldest);
        self.base = window.map(|(_, t)| *t).min();
    }

    fn quantile_ns(&self) -> i64 {
        let wanted = self.quantile * self.total;
        let mut sum = 0.0;
        for (i, bin) in self.bins.iter().enumerate() {
            sum += f64::from(*bin);
            // The sums of f32 and f64 differ a little.
            if sum >= wanted * (1.0 - 1e-4) {
                return (i as i64 + 1) * BIN_NS;
            }
        }
        BINS as i64 * BIN_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_sak::Rng;

    const MS: i64 = 1_000_000;

    fn run(delay: &mut DelayEstimator, from: i64, packets: i64, late: impl FnMut() -> i64) {
        let mut late = late;
        for n in from..from + packets {
            let time = n * 20 * MS;
            delay.record(time + 55 * MS + late(), time, 20 * MS);
        }
    }

    #[test]
    fn the_target_is_the_quantile_of_the_jitter_and_follows_it_down() {
        let mut rng = Rng::from_seed(1);
        let mut d = DelayEstimator::new(&JitterConfig::default());
        assert_eq!(d.target(), 40 * MS);
        run(&mut d, 0, 1500, || rng.below(60) as i64 * MS);
        assert!((52..=64).contains(&(d.target() / MS)), "{}", d.target());
        run(&mut d, 1500, 3000, || rng.below(4) as i64 * MS);
        assert!(d.target() <= 10 * MS, "{}", d.target());
    }

    #[test]
    fn drift_between_the_clocks_is_no_jitter() {
        let mut d = DelayEstimator::new(&JitterConfig::default());
        for n in 0..30_000i64 {
            let time = n * 20 * MS;
            d.record(time + time / 5_000, time, 20 * MS);
        }
        assert!(d.target() <= 10 * MS, "{}", d.target());
    }

    #[test]
    fn limits_are_kept() {
        let ms = std::time::Duration::from_millis;
        let mut d = DelayEstimator::new(&JitterConfig {
            min_delay: ms(30),
            max_delay: ms(100),
            ..JitterConfig::default()
        });
        run(&mut d, 0, 500, || 0);
        assert_eq!(d.target(), 30 * MS);
        let mut i = 0;
        run(&mut d, 500, 500, || {
            i += 1;
            (i % 4) * 300 * MS
        });
        assert_eq!(d.target(), 100 * MS);
        let mut fixed = DelayEstimator::new(&JitterConfig::fixed(ms(60)));
        run(&mut fixed, 0, 100, || 0);
        assert_eq!(fixed.target(), 60 * MS);
    }
}
