//! How good a call sounds, estimated without listening: the E-model of ITU-T G.107, with the
//! equipment impairments of G.113 Appendix I. See `docs/quality.md` for what is approximated.
//! A figure for comparing and alarming, not a measurement of speech quality.

use std::time::Duration;

/// What a codec costs: G.113's equipment impairment and its robustness against loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodecImpairment {
    /// `Ie`: impairment without loss; 0 is G.711.
    pub ie: f64,
    /// `Bpl`: the higher, the better lost packets are hidden.
    pub bpl: f64,
}

impl CodecImpairment {
    /// For a codec by its name in SDP. An unknown one is taken for a G.729.
    pub fn of(name: &str) -> Self {
        // G.113 Appendix I where it has the codec; which figures are estimates says
        // docs/quality.md.
        const TABLE: [(&str, f64, f64); 13] = [
            ("PCMU", 0.0, 25.1),
            ("PCMA", 0.0, 25.1),
            ("L16", 0.0, 25.1),
            ("opus", 0.0, 30.0),
            ("G722", 0.0, 20.0),
            ("G726-32", 7.0, 25.1),
            ("GSM", 20.0, 43.0),
            ("iLBC", 11.0, 32.0),
            ("AMR", 5.0, 10.0),
            ("AMR-WB", 1.0, 15.0),
            ("speex", 11.0, 19.0),
            ("G723", 15.0, 16.1),
            ("G729", 11.0, 19.0),
        ];
        let found = TABLE.iter().find(|(n, ..)| n.eq_ignore_ascii_case(name));
        found.map_or(Self { ie: 11.0, bpl: 19.0 }, |&(_, ie, bpl)| Self { ie, bpl })
    }
}

/// What the sound went through on its way to the ear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// The codec.
    pub codec: CodecImpairment,
    /// Mouth to ear: network, jitter buffer, packet time, codec and device.
    pub delay: Duration,
    /// Share of packets missing at their time to play, 0.0 to 1.0.
    pub loss: f64,
    /// Mean length of a run of losses over that of random loss (`BurstR`); 1.0 is random.
    pub burst_ratio: f64,
}

/// The transmission rating R, 0 (useless) to 93.2 (a perfect narrow-band line), by G.107 (06/2015)
/// with its default values for everything that is not in [`Conditions`].
pub fn rating(c: &Conditions) -> f64 {
    let loss = (c.loss * 100.0).clamp(0.0, 100.0);
    let burst = c.burst_ratio.max(1.0);
    // G.107 eq. 7-29.
    let ie_eff = c.codec.ie + (95.0 - c.codec.ie) * loss / (loss / burst + c.codec.bpl);
    (R0_LESS_IS - delay_impairment(c.delay) - ie_eff).clamp(0.0, 100.0)
}

/// Mean opinion score of listeners, 1.0 to 4.5, from a rating (G.107 Annex B).
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

// G.107 table 1 defaults: Ro = 94.77 and Is = 1.41, whose rest after Idle at no delay is 93.2.
const RO: f64 = 94.77;
const R0_LESS_IS: f64 = 93.355;
// Noise sum No behind Ro = 15 − 1.5 (SLR + No), SLR = 8 dB.
const NO: f64 = -61.18;
const RLR: f64 = 2.0;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;

// Id = Idte + Idle + Idd (G.107 §7.4), for T = Ta = Tr / 2.
fn delay_impairment(delay: Duration) -> f64 {
    let t = delay.as_secs_f64() * 1000.0;
    // Talker echo (eq. 7-19 to 7-22).
    let terv =
        TELR - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10() + 6.0 * (-0.3 * t * t).exp();
    let re = 80.0 + 2.5 * (terv - 14.0);
    let roe = -1.5 * (NO - RLR);
    let half = (roe - re) / 2.0;
    let idte = (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp());
    // Listener echo (eq. 7-25, 7-26).
    let rle = 10.5 * (WEPL + 7.0) * (2.0 * t + 1.0).powf(-0.25);
    let half = (RO - rle) / 2.0;
    let idle = half + (half * half + 169.0).sqrt();
    // Too late for conversation (eq. 7-27, 7-28).
    let idd = if t <= 100.0 {
        0.0
    } else {
        let x = (t / 100.0).log2();
        let sixth = |v: f64| (1.0 + v.powi(6)).powf(1.0 / 6.0);
        25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
    };
    idte.max(0.0) + idle + idd
}

/// Watches the order of played and lost packets, for `BurstR` of the two-state Markov model
/// (G.107 §7.5): `1 / (p + q)`, with forgetting, so that it speaks of the last minute or so.
#[derive(Debug, Clone, Default)]
pub struct LossPattern {
    played: f64,
    lost: f64,
    // Transitions played → lost and lost → played.
    to_lost: f64,
    to_played: f64,
    last_lost: bool,
}

impl LossPattern {
    // Weight left after each packet: half after 1,000 packets.
    const MEMORY: f64 = 0.999_307;

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next packet in order was played (false) or was missing (true).
    pub fn record(&mut self, lost: bool) {
        for v in [&mut self.played, &mut self.lost, &mut self.to_lost, &mut self.to_played] {
            *v *= Self::MEMORY;
        }
        if lost {
            self.lost += 1.0;
        } else {
            self.played += 1.0;
        }
        match (self.last_lost, lost) {
            (false, true) => self.to_lost += 1.0,
            (true, false) => self.to_played += 1.0,
            _ => {}
        }
        self.last_lost = lost;
    }

    /// The recent share of packets missing, 0.0 to 1.0.
    pub fn loss(&self) -> f64 {
        let all = self.played + self.lost;
        if all < 1.0 { 0.0 } else { self.lost / all }
    }

    /// The burst ratio, 1.0 when losses are random or too few to tell.
    pub fn burst_ratio(&self) -> f64 {
        if self.lost < 3.0 || self.played < 3.0 {
            return 1.0;
        }
        let p = self.to_lost / self.played;
        let q = self.to_played / self.lost;
        if p + q <= 0.0 { 1.0 } else { (1.0 / (p + q)).clamp(1.0, 10.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(codec: &str, delay_ms: u64, loss: f64) -> f64 {
        rating(&Conditions {
            codec: CodecImpairment::of(codec),
            delay: Duration::from_millis(delay_ms),
            loss,
            burst_ratio: 1.0,
        })
    }

    #[test]
    fn a_perfect_line_has_the_rating_of_the_standard() {
        let r = line("PCMA", 0, 0.0);
        assert!((r - 93.2).abs() < 0.05, "{r}");
        // G.107 Annex B: R = 93.2 is MOS 4.41.
        assert!((mos(r) - 4.41).abs() < 0.01);
        assert!((mos(50.0) - 2.58).abs() < 0.01);
        assert_eq!((mos(-3.0), mos(0.0), mos(120.0)), (1.0, 1.0, 4.5));
    }

    #[test]
    fn delay_hurts_as_the_well_known_approximation_says() {
        // Cole & Rosenbluth: Id = 0.024 d + 0.11 (d − 177.3) above 177.3 ms.
        for d in [50u64, 100, 150, 200, 300, 400] {
            let x = d as f64;
            let id = 0.024 * x + if x > 177.3 { 0.11 * (x - 177.3) } else { 0.0 };
            let r = line("PCMU", d, 0.0);
            assert!((93.2 - id - r).abs() < 3.5, "{d} ms: {r} against {}", 93.2 - id);
        }
    }

    #[test]
    fn loss_hurts_by_the_codecs_robustness_and_bursts_more() {
        // G.711 with concealment at 5 % random loss: Ie,eff = 95 · 5 / (5 + 25.1) = 15.8.
        assert!((line("PCMU", 0, 0.0) - line("PCMU", 0, 0.05) - 15.78).abs() < 0.05);
        assert!(line("G729", 0, 0.05) < line("PCMU", 0, 0.05));
        let burst = Conditions {
            codec: CodecImpairment::of("PCMU"),
            delay: Duration::ZERO,
            loss: 0.05,
            burst_ratio: 2.0,
        };
        assert!(rating(&burst) < line("PCMU", 0, 0.05));
        assert_eq!(line("G723", 2_000, 1.0), 0.0);
    }

    #[test]
    fn a_pattern_of_losses_is_told_from_random_ones() {
        let mut rng = tiny_sak::Rng::from_seed(5);
        let mut random = LossPattern::new();
        (0..20_000).for_each(|_| random.record(rng.chance(0.1)));
        assert!((random.loss() - 0.1).abs() < 0.04);
        assert!((random.burst_ratio() - 1.0).abs() < 0.15, "{}", random.burst_ratio());
        let mut bursts = LossPattern::new();
        (0..20_000).for_each(|i| bursts.record(i % 50 < 5));
        assert!((bursts.loss() - 0.1).abs() < 0.02);
        // p = 1/45, q = 1/5.
        assert!((bursts.burst_ratio() - 4.5).abs() < 0.4, "{}", bursts.burst_ratio());
        let clean = LossPattern::new();
        assert_eq!((clean.loss(), clean.burst_ratio()), (0.0, 1.0));
    }
}
