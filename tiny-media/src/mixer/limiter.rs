//! Turns down what would not fit into 16 bits: at once within a quarter of a block, and back up
//! over some hundred ms. Without it a sum would wrap or clip; with it a loud moment is softer.

const FULL: f32 = i16::MAX as f32;
/// Share of the way back to full loudness in each block.
const RELEASE: f32 = 0.06;

#[derive(Debug)]
pub(super) struct Limiter {
    gain: f32,
}

impl Limiter {
    pub(super) fn new() -> Self {
        Self { gain: 1.0 }
    }

    /// Writes the sum without one's own part.
    pub(super) fn apply(&mut self, sum: &[i32], own: &[i32], out: &mut [i16]) {
        let others = || sum.iter().zip(own).map(|(sum, own)| sum - own);
        let peak = others().map(i32::unsigned_abs).max().unwrap_or(0);
        if self.gain == 1.0 && peak <= i16::MAX as u32 {
            for (out, x) in out.iter_mut().zip(others()) {
                *out = x as i16;
            }
            return;
        }
        let wanted = (FULL / peak.max(1) as f32).min(1.0);
        let from = self.gain;
        let (to, ramp) = match wanted < from {
            true => (wanted, out.len().div_ceil(4)),
            false => (from + (wanted - from) * RELEASE, out.len()),
        };
        let step = (to - from) / ramp.max(1) as f32;
        for (n, (out, x)) in out.iter_mut().zip(others()).enumerate() {
            let gain = if n < ramp { from + step * n as f32 } else { to };
            // A cast from float saturates: what the ramp is too late for is clipped.
            *out = (x as f32 * gain) as i16;
        }
        self.gain = if to > 0.999 { 1.0 } else { to };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_passes_as_it_is() {
        let mut out = [0; 3];
        Limiter::new().apply(&[5, -7, 32_767], &[1, 1, 0], &mut out);
        assert_eq!(out, [4, -8, 32_767]);
    }

    #[test]
    fn what_does_not_fit_is_turned_down_and_never_wraps() {
        let mut limiter = Limiter::new();
        let loud: Vec<i32> =
            (0..480).map(|i| if (i / 24) & 1 == 0 { 98_301 } else { -98_301 }).collect();
        let (own, mut out) = (vec![0; 480], vec![0; 480]);
        for _ in 0..3 {
            limiter.apply(&loud, &own, &mut out);
            for (x, y) in loud.iter().zip(&out) {
                assert_eq!(x.signum(), i32::from(*y).signum());
            }
        }
        assert!((limiter.gain - 1.0 / 3.0).abs() < 0.001, "{}", limiter.gain);
        // Back to full loudness within a second and a half.
        let soft = vec![1000; 480];
        for _ in 0..150 {
            limiter.apply(&soft, &own, &mut out);
        }
        assert_eq!(out[479], 1000);
    }
}
