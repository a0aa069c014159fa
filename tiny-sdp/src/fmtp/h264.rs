//! The configuration of H.264 (RFC 6184 §8.1, §8.2.2): profile and packetization mode must be the
//! same on both sides, the level may differ or is the lower of the two.

use super::parameters;
use crate::Text;
use std::fmt::Write as _;

/// A sub-profile: the rows of RFC 6184 table 5, whose several spellings mean the same tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum H264Profile {
    /// Constrained Baseline
    ConstrainedBaseline,
    /// Baseline
    Baseline,
    /// Main
    Main,
    /// Extended
    Extended,
    /// High
    High,
    /// High with constraint_set4 and 5 set: no interlace, no B slices (ITU-T H.264 A.2.4.2)
    ConstrainedHigh,
    /// High 10
    High10,
    /// High 4:2:2
    High422,
    /// High 4:4:4 Predictive
    High444,
    /// High 10 Intra
    High10Intra,
    /// High 4:2:2 Intra
    High422Intra,
    /// High 4:4:4 Intra
    High444Intra,
    /// CAVLC 4:4:4 Intra
    Cavlc444Intra,
}

/// A level, ordered from low to high: ten times its number, with 1b between 1 and 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct H264Level {
    idc: u8,
    above: bool,
}

impl H264Level {
    /// Level 1b.
    pub const B1: Self = Self { idc: 10, above: true };

    /// A level by ten times its number: 31 is level 3.1.
    pub const fn new(idc: u8) -> Self {
        Self { idc, above: false }
    }
}

/// The parameters that configure an H.264 stream.
///
/// ```
/// use tiny_sdp::fmtp::{H264Level, H264Params, H264Profile};
/// let p = H264Params::parse("profile-level-id=42e01f;packetization-mode=1").unwrap();
/// assert_eq!(p.profile(), Some(H264Profile::ConstrainedBaseline));
/// assert_eq!(p.level(), H264Level::new(31));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct H264Params {
    /// First octet of `profile-level-id`.
    pub profile_idc: u8,
    /// Second octet: constraint_set0 (bit 7) to constraint_set5 (bit 2).
    pub constraints: u8,
    /// Third octet.
    pub level_idc: u8,
    /// 0 single NAL unit, 1 non-interleaved, 2 interleaved.
    pub packetization_mode: u8,
    /// `level-asymmetry-allowed=1`
    pub level_asymmetry_allowed: bool,
}

impl Default for H264Params {
    /// Baseline at level 1 in single NAL unit mode (§8.1).
    fn default() -> Self {
        Self {
            profile_idc: 0x42,
            constraints: 0,
            level_idc: 10,
            packetization_mode: 0,
            level_asymmetry_allowed: false,
        }
    }
}

impl H264Params {
    /// Reads the parameters; those not said have their defaults. `None` when one cannot be read.
    pub fn parse(fmtp: &str) -> Option<Self> {
        let mut p = Self::default();
        for (name, value) in parameters(fmtp) {
            if name.eq_ignore_ascii_case("profile-level-id") {
                if value.len() != 6 || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                let [_, profile, constraints, level] =
                    u32::from_str_radix(value, 16).ok()?.to_be_bytes();
                (p.profile_idc, p.constraints, p.level_idc) = (profile, constraints, level);
            } else if name.eq_ignore_ascii_case("packetization-mode") {
                p.packetization_mode = value.parse().ok().filter(|m| *m <= 2)?;
            } else if name.eq_ignore_ascii_case("level-asymmetry-allowed") {
                p.level_asymmetry_allowed = value == "1";
            }
        }
        Some(p)
    }

    /// The sub-profile, by table 5. `None` for combinations that are not in it.
    pub fn profile(&self) -> Option<H264Profile> {
        use H264Profile::*;
        // (profile_idc, bits that matter, their value, sub-profile); constraint_set3 of the first
        // three idc belongs to level 1b, so it does not matter there.
        const TABLE: [(u8, u8, u8, H264Profile); 16] = [
            (0x42, 0b0100_1111, 0b0100_0000, ConstrainedBaseline),
            (0x4d, 0b1000_1111, 0b1000_0000, ConstrainedBaseline),
            (0x58, 0b1100_1111, 0b1100_0000, ConstrainedBaseline),
            (0x42, 0b0100_1111, 0b0000_0000, Baseline),
            (0x58, 0b1100_1111, 0b1000_0000, Baseline),
            (0x4d, 0b1010_1111, 0b0000_0000, Main),
            (0x58, 0b1100_1111, 0b0000_0000, Extended),
            (0x64, 0b1111_1111, 0b0000_0000, High),
            (0x64, 0b1111_1111, 0b0000_1100, ConstrainedHigh),
            (0x6e, 0b1111_1111, 0b0000_0000, High10),
            (0x7a, 0b1111_1111, 0b0000_0000, High422),
            (0xf4, 0b1111_1111, 0b0000_0000, High444),
            (0x6e, 0b1111_1111, 0b0001_0000, High10Intra),
            (0x7a, 0b1111_1111, 0b0001_0000, High422Intra),
            (0xf4, 0b1111_1111, 0b0001_0000, High444Intra),
            (0x2c, 0b1111_1111, 0b0001_0000, Cavlc444Intra),
        ];
        TABLE
            .iter()
            .find(|(idc, mask, value, _)| {
                *idc == self.profile_idc && self.constraints & mask == *value
            })
            .map(|row| row.3)
    }

    fn has_1b_in_constraints(&self) -> bool {
        matches!(self.profile_idc, 0x42 | 0x4d | 0x58)
    }

    /// The level.
    pub fn level(&self) -> H264Level {
        let flagged = self.level_idc == 11 && self.constraints & 0x10 != 0;
        if (self.has_1b_in_constraints() && flagged)
            || (!self.has_1b_in_constraints() && self.level_idc == 9)
        {
            H264Level::B1
        } else {
            H264Level::new(self.level_idc)
        }
    }

    /// The same profile at another level.
    #[must_use]
    pub fn with_level(mut self, level: H264Level) -> Self {
        if self.has_1b_in_constraints() {
            self.constraints &= !0x10;
            if level == H264Level::B1 {
                self.constraints |= 0x10;
            }
            self.level_idc = if level == H264Level::B1 { 11 } else { level.idc };
        } else {
            self.level_idc = if level == H264Level::B1 { 9 } else { level.idc };
        }
        self
    }

    /// Whether profile and packetization mode are the same: the level does not matter.
    pub fn same_configuration(&self, other: &Self) -> bool {
        let profile = match (self.profile(), other.profile()) {
            (Some(a), Some(b)) => a == b,
            (None, None) => {
                self.profile_idc == other.profile_idc && self.constraints == other.constraints
            }
            _ => false,
        };
        profile && self.packetization_mode == other.packetization_mode
    }

    /// Profile and packetization mode in one number. The two lowest constraint bits are reserved, so
    /// the mode fits there; what marks level 1b is left out.
    pub(super) fn variant(&self) -> u16 {
        let mask = if self.has_1b_in_constraints() { 0xec } else { 0xfc };
        let low = (self.constraints & mask) | self.packetization_mode;
        u16::from_be_bytes([self.profile_idc, low])
    }

    fn profile_level_id(&self) -> u32 {
        u32::from_be_bytes([0, self.profile_idc, self.constraints, self.level_idc])
    }
}

/// Our parameters for an answer: the offer's spelling of the profile, and the level by §8.2.2.
pub(super) fn answer(ours: &Text, offered: &str) -> Option<Text> {
    let mine = H264Params::parse(ours)?;
    let theirs = H264Params::parse(offered)?;
    if !mine.same_configuration(&theirs) {
        return None;
    }
    // §8.2.2: without asymmetry on both sides the level in the answer is at most the offer's.
    let level = if mine.level_asymmetry_allowed && theirs.level_asymmetry_allowed {
        mine.level()
    } else {
        mine.level().min(theirs.level())
    };
    let agreed = theirs.with_level(level).profile_level_id();
    if agreed == mine.profile_level_id() {
        return Some(ours.clone());
    }
    let mut out = format!("profile-level-id={agreed:06x}");
    for (name, value) in parameters(ours) {
        if !name.eq_ignore_ascii_case("profile-level-id") {
            let _ = write!(out, ";{name}{}{value}", if value.is_empty() { "" } else { "=" });
        }
    }
    Some(Text::from(out))
}

/// Whether an answer keeps the configuration that we offered.
pub(super) fn fits(offered: &str, answered: &str) -> bool {
    match (H264Params::parse(offered), H264Params::parse(answered)) {
        (Some(a), Some(b)) => a.same_configuration(&b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(id: &str) -> Option<H264Profile> {
        H264Params::parse(&format!("profile-level-id={id}")).unwrap().profile()
    }

    #[test]
    fn rfc6184_table_5_spellings_of_a_profile_are_equal() {
        use H264Profile::*;
        for id in ["42e01f", "42401f", "42c01f", "4d801f", "4de01f", "58c01f", "58f00b"] {
            assert_eq!(profile(id), Some(ConstrainedBaseline), "{id}");
        }
        for id in ["42001f", "42801f", "42A01f", "58801f"] {
            assert_eq!(profile(id), Some(Baseline), "{id}");
        }
        assert_eq!(profile("4d001f"), Some(Main));
        assert_eq!(profile("4d401f"), Some(Main));
        assert_eq!(profile("4d501f"), Some(Main));
        assert_eq!(profile("58001f"), Some(Extended));
        assert_eq!(profile("64001f"), Some(High));
        assert_eq!(profile("640c1f"), Some(ConstrainedHigh));
        assert_eq!(profile("6e001f"), Some(High10));
        assert_eq!(profile("6e101f"), Some(High10Intra));
        assert_eq!(profile("7a001f"), Some(High422));
        assert_eq!(profile("7a101f"), Some(High422Intra));
        assert_eq!(profile("f4001f"), Some(High444));
        assert_eq!(profile("f4101f"), Some(High444Intra));
        assert_eq!(profile("2c101f"), Some(Cavlc444Intra));
        assert_eq!(profile("99001f"), None);
    }

    #[test]
    fn level_1b_lies_between_1_and_1_1_in_both_spellings() {
        let level =
            |id: &str| H264Params::parse(&format!("profile-level-id={id}")).unwrap().level();
        assert_eq!(level("42f00b"), H264Level::B1);
        assert_eq!(level("640009"), H264Level::B1);
        assert!(level("42e00a") < level("42f00b") && level("42f00b") < level("42e00b"));
        let high = H264Params::parse("profile-level-id=64001f").unwrap();
        assert_eq!(high.with_level(H264Level::B1).profile_level_id(), 0x64_0009);
        let base = H264Params::parse("profile-level-id=42e01f").unwrap();
        assert_eq!(base.with_level(H264Level::B1).profile_level_id(), 0x42_f00b);
    }

    #[test]
    fn without_asymmetry_the_answer_takes_the_lower_level() {
        let ours = Text::from("profile-level-id=42e01f;packetization-mode=1;max-fs=3600");
        let low = answer(&ours, "packetization-mode=1;profile-level-id=42e00d").unwrap();
        assert_eq!(low, "profile-level-id=42e00d;packetization-mode=1;max-fs=3600");
        let high = answer(&ours, "packetization-mode=1;profile-level-id=42c02a").unwrap();
        // The offer's spelling of the profile, our level.
        assert_eq!(high, "profile-level-id=42c01f;packetization-mode=1;max-fs=3600");
    }

    #[test]
    fn with_asymmetry_each_side_keeps_its_level() {
        let ours = Text::from("profile-level-id=42e01f;level-asymmetry-allowed=1");
        let offer = "profile-level-id=42e00d;level-asymmetry-allowed=1";
        assert_eq!(answer(&ours, offer).unwrap(), ours);
    }

    #[test]
    fn packetization_mode_and_profile_must_be_the_same() {
        let ours = Text::from("profile-level-id=42e01f;packetization-mode=1");
        assert_eq!(answer(&ours, "profile-level-id=42e01f"), None);
        assert_eq!(answer(&ours, "profile-level-id=64001f;packetization-mode=1"), None);
        assert_eq!(answer(&ours, "profile-level-id=zz;packetization-mode=1"), None);
        // Nothing said is Baseline, level 1, mode 0 (§8.1).
        assert!(answer(&Text::from("profile-level-id=42000a"), "").is_some());
        assert!(!fits("profile-level-id=42e01f", "profile-level-id=42e01f;packetization-mode=1"));
    }
}
