//! One sub-band of G.722: the predictor of two poles and six zeros (blocks 4L and 4H of ITU-T G.722
//! §6.2) and the logarithmic scale factor (block 3).

/// Saturates to 16 bits, as every adder of the Recommendation does.
#[inline]
pub(super) fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// The state that encoder and decoder of a band keep in step.
#[derive(Clone)]
pub(super) struct Band {
    /// Quantizer step (`DET`).
    pub(super) det: i32,
    /// What the predictor expects next (`S`).
    pub(super) prediction: i32,
    /// Logarithm of the step (`NB`).
    log_step: i32,
    /// What the zeros alone expect next (`SZ`).
    zeros: i32,
    /// Pole coefficients `A1`, `A2`.
    poles: [i32; 2],
    /// Zero coefficients `B1` to `B6`.
    weights: [i32; 6],
    /// The last six quantized differences, newest first.
    differences: [i32; 6],
    /// The last reconstructed sample; the predictor needs no older one beside the current.
    reconstructed: i32,
    /// Signs of the last two partial reconstructions, newest first.
    signs: [i32; 2],
}

impl Band {
    /// A band at rest, with its first quantizer step.
    pub(super) fn new(det: i32) -> Self {
        Self {
            det,
            prediction: 0,
            log_step: 0,
            zeros: 0,
            poles: [0; 2],
            weights: [0; 6],
            differences: [0; 6],
            reconstructed: 0,
            signs: [0; 2],
        }
    }

    /// Adapts the quantizer step by `change` of its logarithm. `ceiling` bounds the logarithm and
    /// `shift` scales the step; both differ between the bands (`LOGSCL`, `SCALEL`; `LOGSCH`, `SCALEH`).
    #[inline]
    pub(super) fn adapt_step(&mut self, change: i32, ceiling: i32, shift: i32) {
        self.log_step = (((self.log_step * 127) >> 7) + change).clamp(0, ceiling);
        let mantissa = EXP2[(self.log_step >> 6 & 31) as usize];
        let shift = shift - (self.log_step >> 11);
        let step = if shift < 0 { mantissa << -shift } else { mantissa >> shift };
        self.det = step << 2;
    }

    /// Takes the quantized difference in and predicts the next sample.
    #[inline]
    pub(super) fn adapt_predictor(&mut self, difference: i32) {
        let reconstructed = saturate(self.prediction + difference); // RECONS
        let partial = saturate(self.zeros + difference); // PARREC
        let sign = partial >> 15;

        self.adapt_poles(sign);
        self.adapt_zeros(difference);

        // DELAYA
        self.signs = [sign, self.signs[0]];
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;

        // FILTEP, FILTEZ, PREDIC
        let newest = (self.poles[0] * saturate(2 * reconstructed)) >> 15;
        let older = (self.poles[1] * saturate(2 * self.reconstructed)) >> 15;
        self.reconstructed = reconstructed;
        let zeros: i32 = self
            .weights
            .iter()
            .zip(&self.differences)
            .map(|(weight, d)| (weight * saturate(2 * d)) >> 15)
            .sum();
        self.zeros = saturate(zeros);
        self.prediction = saturate(saturate(newest + older) + self.zeros);
    }

    // UPPOL2, UPPOL1
    fn adapt_poles(&mut self, sign: i32) {
        let [a1, a2] = self.poles;
        let lean = saturate(a1 << 2);
        let lean = if sign == self.signs[0] { saturate(-lean) } else { lean };
        let push = if sign == self.signs[1] { 128 } else { -128 };
        let a2 = ((lean >> 7) + push + ((a2 * 32_512) >> 15)).clamp(-12_288, 12_288);

        let push = if sign == self.signs[0] { 192 } else { -192 };
        let bound = saturate(15_360 - a2);
        let a1 = saturate(push + ((a1 * 32_640) >> 15)).clamp(-bound, bound);
        self.poles = [a1, a2];
    }

    // UPZERO
    fn adapt_zeros(&mut self, difference: i32) {
        let push = if difference == 0 { 0 } else { 128 };
        let sign = difference >> 15;
        for (weight, old) in self.weights.iter_mut().zip(&self.differences) {
            let push = if old >> 15 == sign { push } else { -push };
            *weight = saturate(push + ((*weight * 32_640) >> 15));
        }
    }
}

/// 2048 times two to the power of n/32 (`ILB`).
#[rustfmt::skip]
static EXP2: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
