//! The quadrature mirror filters that split 16 kHz sound into two bands of 8 kHz and join them again
//! (ITU-T G.722 §5.2.1 and §5.2.2). They work on short blocks so that the history is moved once a
//! block, not once a sample.

use super::band::saturate;

/// Sample pairs a block.
pub(super) const BLOCK: usize = 80;

/// Taps of one phase; the other phase is its mirror.
const TAPS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Samples that the filter remembers between blocks: its length less the newest pair.
const HISTORY: usize = 22;

/// A delay line with room for one block.
#[derive(Clone)]
struct Line([i32; HISTORY + 2 * BLOCK]);

impl Line {
    fn new() -> Self {
        Self([0; HISTORY + 2 * BLOCK])
    }

    /// The sums over the two phases for pair `n` of the block.
    #[inline]
    fn phases(&self, n: usize) -> (i32, i32) {
        let window = &self.0[2 * n..2 * n + 24];
        let (mut first, mut second) = (0, 0);
        for (i, pair) in window.chunks_exact(2).enumerate() {
            first += pair[0] * TAPS[i];
            second += pair[1] * TAPS[11 - i];
        }
        (first, second)
    }

    /// Keeps the end of a block of `pairs` as the history of the next.
    fn advance(&mut self, pairs: usize) {
        self.0.copy_within(2 * pairs..2 * pairs + HISTORY, 0);
    }
}

/// Splits sound into bands.
#[derive(Clone)]
pub(super) struct Split(Line);

impl Split {
    pub(super) fn new() -> Self {
        Self(Line::new())
    }

    /// Splits up to [`BLOCK`] pairs of samples, and calls `each` with every (lower, higher) pair.
    #[inline]
    pub(super) fn run(&mut self, pcm: &[i16], mut each: impl FnMut(i32, i32)) {
        let pairs = pcm.len() / 2;
        for (slot, &sample) in self.0.0[HISTORY..].iter_mut().zip(pcm) {
            *slot = i32::from(sample);
        }
        for n in 0..pairs {
            let (odd, even) = self.0.phases(n);
            each((even + odd) >> 14, (even - odd) >> 14);
        }
        self.0.advance(pairs);
    }
}

/// Joins bands into sound.
#[derive(Clone)]
pub(super) struct Join(Line);

impl Join {
    pub(super) fn new() -> Self {
        Self(Line::new())
    }

    /// Joins up to [`BLOCK`] pairs that `next` gives, (lower, higher), and appends two samples each.
    #[inline]
    pub(super) fn run(
        &mut self,
        pairs: usize,
        out: &mut Vec<i16>,
        mut next: impl FnMut(usize) -> (i32, i32),
    ) {
        for (n, slot) in self.0.0[HISTORY..].chunks_exact_mut(2).take(pairs).enumerate() {
            let (lower, higher) = next(n);
            slot[0] = lower + higher;
            slot[1] = lower - higher;
        }
        for n in 0..pairs {
            let (first, second) = self.0.phases(n);
            out.push(saturate(second >> 11) as i16);
            out.push(saturate(first >> 11) as i16);
        }
        self.0.advance(pairs);
    }
}
