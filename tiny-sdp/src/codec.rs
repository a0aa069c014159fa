//! Payload types and encoding names: the static assignments of RFC 3551 §6, and the ranges that a
//! dynamic one may come from.

/// `(payload type, name, clock rate, channels)` of RFC 3551 tables 4 and 5. The DVI4, LPC and QCELP
/// rows are there so that such an offer is understood, not because anything speaks them.
const STATIC: [(u8, &str, u32, u8); 24] = [
    (0, "PCMU", 8000, 1),
    (3, "GSM", 8000, 1),
    (4, "G723", 8000, 1),
    (5, "DVI4", 8000, 1),
    (6, "DVI4", 16000, 1),
    (7, "LPC", 8000, 1),
    (8, "PCMA", 8000, 1),
    (9, "G722", 8000, 1),
    (10, "L16", 44100, 2),
    (11, "L16", 44100, 1),
    (12, "QCELP", 8000, 1),
    (13, "CN", 8000, 1),
    (14, "MPA", 90000, 1),
    (15, "G728", 8000, 1),
    (16, "DVI4", 11025, 1),
    (17, "DVI4", 22050, 1),
    (18, "G729", 8000, 1),
    (25, "CelB", 90000, 1),
    (26, "JPEG", 90000, 1),
    (28, "nv", 90000, 1),
    (31, "H261", 90000, 1),
    (32, "MPV", 90000, 1),
    (33, "MP2T", 90000, 1),
    (34, "H263", 90000, 1),
];

/// The encoding of a static payload type: name, clock rate, channels.
pub(crate) fn static_codec(pt: u8) -> Option<(&'static str, u32, u8)> {
    STATIC.iter().find(|s| s.0 == pt).map(|s| (s.1, s.2, s.3))
}

/// The static payload type of an encoding.
pub(crate) fn static_payload_type(name: &str, clock_rate: u32, channels: u8) -> Option<u8> {
    STATIC
        .iter()
        .find(|s| s.1.eq_ignore_ascii_case(name) && s.2 == clock_rate && s.3 == channels)
        .map(|s| s.0)
}

/// Payload types to choose from, best first: the dynamic range of RFC 3551 §6, then the unassigned
/// ones below 64. 64–95 could be taken for RTCP on a multiplexed port (RFC 5761 §4).
pub(crate) fn dynamic_range() -> impl Iterator<Item = u8> {
    (96..=127).chain(35..=63)
}

/// Formats that accompany a codec but carry no media of their own: a stream needs more than these,
/// unless they are all that was offered.
pub(crate) fn is_auxiliary(name: &str) -> bool {
    const AUXILIARY: [&str; 7] =
        ["telephone-event", "CN", "red", "rtx", "ulpfec", "flexfec-03", "flexfec"];
    AUXILIARY.iter().any(|a| a.eq_ignore_ascii_case(name))
}
