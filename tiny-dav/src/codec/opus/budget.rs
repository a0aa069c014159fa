//! Keeps the average bit rate under the peer's limit: what the encoder overspends it pays back.
//! A variable rate aims at its target, and exceeds it by a tenth and more on some speech.

/// The lowest rate to steer down to; below, Opus is no speech any more.
const LOWEST: i64 = 6_000;

/// An account of bits.
pub(super) struct Budget {
    /// The rate to keep on average, in bit/s.
    rate: i64,
    /// What the encoder is to aim at when there is no debt, in bit/s.
    target: i64,
    /// Bits spent beyond the rate, in 1/48000 bit.
    debt: i64,
}

impl Budget {
    /// Keeps a sixteenth below `limit`, so that a short look finds the limit kept, too.
    pub(super) fn new(wanted: u32, limit: u32) -> Self {
        let rate = i64::from(limit) / 16 * 15;
        Self { rate, target: rate.min(i64::from(wanted)), debt: 0 }
    }

    /// The rate to aim the next packet at.
    pub(super) fn target(&self) -> i32 {
        // Debt is paid back within about a second.
        let target = self.target - (self.debt / 48_000).max(0);
        target.max(LOWEST.min(self.target)) as i32
    }

    /// Books a packet of `bytes` that plays `frames` at 48 kHz.
    pub(super) fn spend(&mut self, bytes: usize, frames: usize) {
        self.debt += bytes as i64 * 8 * 48_000 - self.rate * frames as i64;
        // What was saved in a pause may be spent in the quarter second after it, not hoarded.
        self.debt = self.debt.max(-self.rate * 12_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_that_always_spends_a_fifth_too_much_is_held_to_the_limit() {
        let mut budget = Budget::new(64_000, 16_000);
        assert_eq!(budget.target(), 15_000);
        let mut bits = 0;
        for _ in 0..500 {
            let bytes = budget.target() as usize * 12 / 10 / 50 / 8;
            budget.spend(bytes, 960);
            bits += bytes * 8;
        }
        let rate = bits / 10;
        assert!((14_000..16_000).contains(&rate), "{rate} bit/s");
    }

    #[test]
    fn a_pause_does_not_pay_for_more_than_a_quarter_second() {
        let mut budget = Budget::new(16_000, 16_000);
        (0..1_000).for_each(|_| budget.spend(1, 960));
        // 100 ms at ten times the rate use that up, and four times as much again.
        (0..5).for_each(|_| budget.spend(375, 960));
        assert_eq!(budget.target(), 6_000);
    }

    #[test]
    fn a_wish_below_the_limit_stays_as_it_is() {
        let mut budget = Budget::new(10_000, 64_000);
        (0..100).for_each(|_| budget.spend(30, 960));
        assert_eq!(budget.target(), 10_000);
        assert_eq!(Budget::new(5_000, 64_000).target(), 5_000);
    }
}
