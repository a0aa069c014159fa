//! Format parameters (`a=fmtp`): reading them, and whether two sides' parameters of one codec can
//! meet. Every codec has its own rules: here are those of Opus (RFC 7587 §7.1), H.264 (RFC 6184
//! §8.2.2), telephone-event (RFC 4733 §2.4.1) and the parameters of a few others that must be equal.
//! A codec without a rule here agrees with any parameters, each side's holding for what it receives.

mod events;
mod h264;
mod opus;

pub use events::EventSet;
pub use h264::{H264Level, H264Params, H264Profile};
pub use opus::OpusParams;

use crate::Text;

/// The parameters `name=value;name=value` of a format, in order. A parameter without `=` has the
/// value `""`.
pub fn parameters(fmtp: &str) -> impl Iterator<Item = (&str, &str)> {
    fmtp.split(';').map(str::trim).filter(|p| !p.is_empty()).map(|p| {
        let (name, value) = p.split_once('=').unwrap_or((p, ""));
        (name.trim_end(), value.trim_start())
    })
}

/// The value of one parameter; names are compared without case (RFC 4855 §3).
pub fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    parameters(fmtp).find(|p| p.0.eq_ignore_ascii_case(name)).map(|p| p.1)
}

/// What tells one configuration of a codec from another under the same name: a payload type stands
/// for name, clock rate, channels and this (RFC 3264 §8.3.2).
pub(crate) fn variant(name: &str, fmtp: &str) -> u16 {
    if name.eq_ignore_ascii_case("H264") {
        return H264Params::parse(fmtp).unwrap_or_default().variant();
    }
    symmetric(name).map_or(0, |(parameter_name, default)| {
        let value = parameter(fmtp, parameter_name).unwrap_or(default);
        value.bytes().fold(1, |h: u16, b| h.wrapping_mul(31).wrapping_add(u16::from(b)))
    })
}

/// Codecs with one parameter that both sides must have equal, and its default.
fn symmetric(name: &str) -> Option<(&'static str, &'static str)> {
    const SYMMETRIC: [(&str, &str, &str); 5] = [
        ("AMR", "octet-align", "0"),    // RFC 4867 §8.3.1
        ("AMR-WB", "octet-align", "0"), // RFC 4867 §8.3.1
        ("G7221", "bitrate", ""),       // RFC 5577 §4.1
        ("VP9", "profile-id", "0"),     // RFC 9628 §6.1
        ("rtx", "apt", ""),             // RFC 4588 §8.6; equal when payload types are mirrored
    ];
    SYMMETRIC.iter().find(|s| s.0.eq_ignore_ascii_case(name)).map(|s| (s.1, s.2))
}

/// Whether our parameters and the peer's of one codec can meet, and what an answer of ours says
/// then. `None`: they cannot.
pub(crate) fn answer(name: &str, ours: &Text, offered: &str) -> Option<Text> {
    if name.eq_ignore_ascii_case("H264") {
        return h264::answer(ours, offered);
    }
    if name.eq_ignore_ascii_case("telephone-event") {
        return events::answer(ours, offered);
    }
    // RFC 7587 §7.1: Opus parameters of offer and answer are orthogonal; ours are said as they are.
    symmetric_agrees(name, ours, offered).then(|| ours.clone())
}

/// Whether the parameters of an answer fit those we offered.
pub(crate) fn answer_fits(name: &str, offered: &str, answered: &str) -> bool {
    if name.eq_ignore_ascii_case("H264") {
        return h264::fits(offered, answered);
    }
    symmetric_agrees(name, offered, answered)
}

fn symmetric_agrees(name: &str, a: &str, b: &str) -> bool {
    symmetric(name).is_none_or(|(p, default)| {
        parameter(a, p).unwrap_or(default).eq_ignore_ascii_case(parameter(b, p).unwrap_or(default))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_any_spacing_and_case() {
        let fmtp = " profile-level-id = 42e01f ;Packetization-Mode=1; x ;";
        assert_eq!(
            parameters(fmtp).collect::<Vec<_>>(),
            [("profile-level-id", "42e01f"), ("Packetization-Mode", "1"), ("x", "")]
        );
        assert_eq!(parameter(fmtp, "packetization-mode"), Some("1"));
        assert_eq!(parameter(fmtp, "max-fs"), None);
    }

    #[test]
    fn amr_frames_must_be_aligned_alike() {
        assert!(answer("AMR", &Text::EMPTY, "mode-set=0,7").is_some());
        assert!(answer("AMR", &Text::EMPTY, "octet-align=1").is_none());
        assert!(answer("amr-wb", &"octet-align=1".into(), "octet-align=1").is_some());
        assert!(answer("VP9", &"profile-id=0".into(), "").is_some());
        assert!(answer("VP9", &"profile-id=2".into(), "").is_none());
    }

    #[test]
    fn opus_parameters_of_the_two_sides_never_disagree() {
        let ours = Text::from("maxplaybackrate=16000;stereo=0");
        let answer = answer("opus", &ours, "stereo=1;unknown=7;cbr=1");
        // RFC 7587 §7.1: an unknown parameter of the offer must not be in the answer.
        assert_eq!(answer, Some(ours));
    }
}
