//! The static payload types of RFC 3551 §6. Numbers 96–127 are negotiated and not listed.

use crate::PayloadType;

/// What a static payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticPayload {
    /// The encoding name of `a=rtpmap`.
    pub name: &'static str,
    /// The RTP clock in Hz.
    pub clock_rate: u32,
    /// Audio channels; 0 for video.
    pub channels: u8,
}

/// The meaning of a static payload type; `None` when the number is unassigned, reserved or dynamic.
///
/// ```
/// use tiny_rtp::{PayloadType, static_payload};
/// let g722 = static_payload(PayloadType::G722).unwrap();
/// assert_eq!((g722.name, g722.clock_rate), ("G722", 8000));
/// ```
pub const fn static_payload(payload_type: PayloadType) -> Option<StaticPayload> {
    let (name, clock_rate, channels) = match payload_type.value() {
        0 => ("PCMU", 8000, 1),
        3 => ("GSM", 8000, 1),
        4 => ("G723", 8000, 1),
        5 => ("DVI4", 8000, 1),
        6 => ("DVI4", 16_000, 1),
        7 => ("LPC", 8000, 1),
        8 => ("PCMA", 8000, 1),
        9 => ("G722", 8000, 1),
        10 => ("L16", 44_100, 2),
        11 => ("L16", 44_100, 1),
        12 => ("QCELP", 8000, 1),
        13 => ("CN", 8000, 1),
        14 => ("MPA", 90_000, 1),
        15 => ("G728", 8000, 1),
        16 => ("DVI4", 11_025, 1),
        17 => ("DVI4", 22_050, 1),
        18 => ("G729", 8000, 1),
        25 => ("CelB", 90_000, 0),
        26 => ("JPEG", 90_000, 0),
        28 => ("nv", 90_000, 0),
        31 => ("H261", 90_000, 0),
        32 => ("MPV", 90_000, 0),
        33 => ("MP2T", 90_000, 0),
        34 => ("H263", 90_000, 0),
        _ => return None,
    };
    Some(StaticPayload { name, clock_rate, channels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_4_and_5_of_rfc_3551_are_reproduced() {
        let assigned: Vec<u8> =
            (0..128).filter(|p| static_payload(PayloadType::new(*p).unwrap()).is_some()).collect();
        let audio = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];
        let video = [25, 26, 28, 31, 32, 33, 34];
        assert_eq!(assigned, [&audio[..], &video[..]].concat());
        let of = |p| static_payload(PayloadType::new(p).unwrap()).unwrap();
        assert_eq!(of(9).clock_rate, 8000, "G.722 codes 16 kHz but its RTP clock is 8 kHz");
        assert_eq!((of(10).channels, of(11).channels), (2, 1));
        assert_eq!(of(14).clock_rate, 90_000);
    }
}
