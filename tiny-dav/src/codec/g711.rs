//! G.711: the two companding laws of ITU-T G.711, sample by sample.
//!
//! µ-law keeps 14 bits and A-law 13 bits of a 16-bit sample; each code stands for the middle of its
//! interval. Decoding is a table of 256; encoding is arithmetic without a branch.

/// The 16-bit value of each µ-law code.
pub static ULAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = ulaw_expand(code as u8);
        code += 1;
    }
    table
};

/// The 16-bit value of each A-law code.
pub static ALAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = alaw_expand(code as u8);
        code += 1;
    }
    table
};

/// The µ-law code of a sample (G.711 table 2).
#[inline]
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    // All ones for negative samples: their magnitude is the one's complement, as in the
    // Recommendation, so that the intervals of both signs mirror each other.
    let sign = sample >> 15;
    // 14 bits and the bias of 33, so that the segment is the position of the highest bit.
    let biased = (((sample ^ sign) >> 2) + 33) as u16;
    let magnitude = if biased > 0x1FFF { 0x1FFF } else { biased };
    let segment = 10 - magnitude.leading_zeros() as u16;
    let step = (magnitude >> (segment + 1)) & 0x0F;
    let code = (segment << 4) | step;
    // Inverted on the wire; the sign bit is 1 for positive samples.
    !(code as u8 | (sign as u8 & 0x80))
}

/// The A-law code of a sample (G.711 table 1).
#[inline]
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let sign = sample >> 15;
    let magnitude = ((sample ^ sign) >> 4) as u16;
    // Segments 0 and 1 share the finest step; above, each doubles it.
    let segment = 12 - (magnitude | 0x0F).leading_zeros() as u16;
    let shift = segment.saturating_sub(1);
    let step = (magnitude >> shift) & 0x0F;
    let code = (segment << 4) | step;
    // Even bits are inverted on the wire; the sign bit is 1 for positive samples.
    (code as u8 | (!sign as u8 & 0x80)) ^ 0x55
}

/// The value of a µ-law code.
#[inline]
pub fn ulaw_to_linear(code: u8) -> i16 {
    ULAW_TO_LINEAR[code as usize]
}

/// The value of an A-law code.
#[inline]
pub fn alaw_to_linear(code: u8) -> i16 {
    ALAW_TO_LINEAR[code as usize]
}

const fn ulaw_expand(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0F) as i16;
    let magnitude = ((((step << 1) + 33) << segment) - 33) << 2;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn alaw_expand(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0F) as i16;
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(text: &str) -> Vec<(u8, i16)> {
        let rows = text.lines().skip(1).map(|line| {
            let (code, linear) = line.split_once('\t').unwrap();
            (code.parse().unwrap(), linear.parse().unwrap())
        });
        rows.collect()
    }

    #[test]
    fn both_decode_tables_equal_the_published_ones() {
        let ulaw = vectors(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/vectors/g711/g711-ulaw-decode-256.tsv"
        )));
        let alaw = vectors(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/vectors/g711/g711-alaw-decode-256.tsv"
        )));
        assert_eq!((ulaw.len(), alaw.len()), (256, 256));
        for (code, linear) in ulaw {
            assert_eq!(ulaw_to_linear(code), linear, "µ-law code {code}");
        }
        for (code, linear) in alaw {
            assert_eq!(alaw_to_linear(code), linear, "A-law code {code}");
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=255 {
            assert_eq!(linear_to_alaw(alaw_to_linear(code)), code, "A-law code {code}");
            // µ-law has two zeros; both encode to the positive one.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(linear_to_ulaw(ulaw_to_linear(code)), expected, "µ-law code {code}");
        }
    }

    // A code stands for the middle of its interval: no sample is further from it than half the
    // interval, and what is cut off the input below the law's own precision. Beyond the highest
    // interval there is nothing but its middle.
    #[test]
    fn every_sample_lies_in_the_interval_of_its_code() {
        for sample in i16::MIN..=i16::MAX {
            let code = linear_to_ulaw(sample);
            let off = (i32::from(ulaw_to_linear(code)) - i32::from(sample)).abs();
            let half = 4 << (!code >> 4 & 7);
            assert!(off <= half || sample.unsigned_abs() > 32_124, "µ-law {sample}: {off} off");

            let code = linear_to_alaw(sample);
            let off = (i32::from(alaw_to_linear(code)) - i32::from(sample)).abs();
            let segment = (code ^ 0x55) >> 4 & 7;
            let half = 8 << segment.saturating_sub(1);
            assert!(off <= half, "A-law {sample}: {off} off");
        }
    }

    #[test]
    fn codes_never_fall_as_samples_rise() {
        for sample in i16::MIN..i16::MAX {
            let next = sample + 1;
            assert!(ulaw_to_linear(linear_to_ulaw(sample)) <= ulaw_to_linear(linear_to_ulaw(next)));
            assert!(alaw_to_linear(linear_to_alaw(sample)) <= alaw_to_linear(linear_to_alaw(next)));
        }
    }

    #[test]
    fn known_codes() {
        assert_eq!(linear_to_ulaw(0), 0xFF);
        assert_eq!(linear_to_ulaw(i16::MAX), 0x80);
        assert_eq!(linear_to_ulaw(i16::MIN), 0x00);
        assert_eq!(linear_to_alaw(0), 0xD5);
        assert_eq!(linear_to_alaw(i16::MAX), 0xAA);
        assert_eq!(linear_to_alaw(i16::MIN), 0x2A);
    }
}
