//! Counters and histograms for packet paths: no lock, no allocation after creation.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, readable from any thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

const SUB_BITS: u32 = 4;
const SUB: usize = 1 << SUB_BITS;
const BUCKETS: usize = (64 - SUB_BITS as usize + 1) * SUB;

/// A histogram of non-negative integers with a relative error under 1/16 and fixed memory (8 kB).
///
/// ```
/// let mut h = tiny_sak::Histogram::new();
/// for ms in 1..=100 {
///     h.record(ms);
/// }
/// assert!((48..=52).contains(&h.quantile(0.5)));
/// assert_eq!(h.max(), 100);
/// ```
#[derive(Clone)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        let buckets = vec![0; BUCKETS].into_boxed_slice();
        Self { buckets, count: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.buckets[index(value)] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value; 0 when empty.
    pub fn min(&self) -> u64 {
        if self.count == 0 { 0 } else { self.min }
    }

    /// The largest value; 0 when empty.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The arithmetic mean; 0 when empty.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The value that a share `q` (0.0 to 1.0) of all values does not exceed; 0 when empty.
    pub fn quantile(&self, q: f64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return upper_bound(i).min(self.max);
            }
        }
        self.max
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("min", &self.min())
            .field("median", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max)
            .finish()
    }
}

// Values below SUB have a bucket each; above, each power of two is split into SUB equal parts.
fn index(value: u64) -> usize {
    if value < SUB as u64 {
        return value as usize;
    }
    let exponent = 63 - value.leading_zeros();
    let part = (value >> (exponent - SUB_BITS)) as usize & (SUB - 1);
    (exponent - SUB_BITS + 1) as usize * SUB + part
}

fn upper_bound(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let shift = (index / SUB - 1) as u32;
    let low = ((SUB + index % SUB) as u64) << shift;
    low + ((1u64 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_under_the_bound_of_its_bucket() {
        for v in (0..10_000).chain([u64::MAX, u64::MAX - 1, 1 << 40, (1 << 40) + 12345]) {
            let bound = upper_bound(index(v));
            assert!(bound >= v, "{v} {bound}");
            assert!((bound - v) as f64 <= v as f64 / 16.0, "{v} {bound}");
        }
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut h = Histogram::new();
        assert_eq!((h.min(), h.max(), h.quantile(0.5)), (0, 0, 0));
        (0..=1000).for_each(|v| h.record(v));
        assert!((475..=535).contains(&h.quantile(0.5)));
        assert_eq!(h.quantile(1.0), 1000);
        assert_eq!(h.quantile(0.0), 0);
        assert!((h.mean() - 500.0).abs() < 1e-9);
    }

    #[test]
    fn counter_counts() {
        let c = Counter::default();
        c.increment();
        c.add(4);
        assert_eq!(c.value(), 5);
    }
}
