//! The quantizers of G.722: decision levels, codes, output values and step changes (ITU-T G.722
//! §6.2, blocks 1 to 3 and 5, tables of the Recommendation).

use super::band::Band;

/// The lower band: six bits a sample, four of which steer the adaptation.
pub(super) mod lower {
    use super::Band;

    /// A band at rest.
    pub(crate) fn band() -> Band {
        Band::new(32)
    }

    /// The six-bit code of a prediction error (`QUANTL`).
    #[inline]
    pub(crate) fn quantize(band: &Band, error: i32) -> u8 {
        let (magnitude, negative) = if error < 0 { (!error, true) } else { (error, false) };
        // How many decision levels lie at or under the error: they rise, so the count is the place.
        let place = LEVELS.partition_point(|&level| magnitude >= (level * band.det) >> 12);
        match (negative, place) {
            (false, place) => 61 - place as u8,
            (true, place @ 0..2) => 63 - place as u8,
            (true, place) => 33 - place as u8,
        }
    }

    /// Adapts the band to a code, by its upper four bits only, so that a network may steal the other
    /// two (`INVQAL`, `LOGSCL`, `SCALEL`).
    #[inline]
    pub(crate) fn adapt(band: &mut Band, code: u8) {
        let index = usize::from(code >> 2);
        let difference = (band.det * OUTPUT_4_BIT[index]) >> 15;
        band.adapt_step(STEP_CHANGE[index], 18_432, 8);
        band.adapt_predictor(difference);
    }

    /// The sample that a code stands for at 64 kbit/s (`INVQBL`, block 5L; `LIMIT`).
    #[inline]
    pub(crate) fn reconstruct(band: &Band, code: u8) -> i32 {
        let difference = (band.det * OUTPUT_6_BIT[usize::from(code)]) >> 15;
        (band.prediction + difference).clamp(-16_384, 16_383)
    }

    // Decision levels 1 to 29 of the 60-level quantizer.
    #[rustfmt::skip]
    static LEVELS: [i32; 29] = [
        35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714,
        786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
    ];

    #[rustfmt::skip]
    static OUTPUT_4_BIT: [i32; 16] = [
        0, -20456, -12896, -8968, -6288, -4240, -2584, -1200,
        20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
    ];

    #[rustfmt::skip]
    static OUTPUT_6_BIT: [i32; 64] = [
        -136, -136, -136, -136, -24808, -21904, -19008, -16704,
        -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
        -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576,
        -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
        24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192,
        10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
        4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032,
        1688, 1360, 1040, 728, 432, 136, -432, -136,
    ];

    // WL of RL42 of the four-bit code.
    #[rustfmt::skip]
    static STEP_CHANGE: [i32; 16] = [
        -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
    ];
}

/// The higher band: two bits a sample.
pub(super) mod higher {
    use super::Band;

    /// A band at rest.
    pub(crate) fn band() -> Band {
        Band::new(8)
    }

    /// The two-bit code of a prediction error (`QUANTH`).
    #[inline]
    pub(crate) fn quantize(band: &Band, error: i32) -> u8 {
        let magnitude = if error < 0 { !error } else { error };
        let large = magnitude >= (564 * band.det) >> 12;
        match (error < 0, large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }

    /// Adapts the band to a code (`INVQAH`, `LOGSCH`, `SCALEH`).
    #[inline]
    pub(crate) fn adapt(band: &mut Band, code: u8) {
        let difference = difference(band, code);
        band.adapt_step(STEP_CHANGE[usize::from(code)], 22_528, 10);
        band.adapt_predictor(difference);
    }

    /// The sample that a code stands for (block 5H; `LIMIT`).
    #[inline]
    pub(crate) fn reconstruct(band: &Band, code: u8) -> i32 {
        (band.prediction + difference(band, code)).clamp(-16_384, 16_383)
    }

    #[inline]
    fn difference(band: &Band, code: u8) -> i32 {
        (band.det * OUTPUT[usize::from(code)]) >> 15
    }

    static OUTPUT: [i32; 4] = [-7408, -1616, 7408, 1616];

    // WH of RH2 of the code.
    static STEP_CHANGE: [i32; 4] = [798, -214, 798, -214];
}
