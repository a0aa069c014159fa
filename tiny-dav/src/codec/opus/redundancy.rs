//! Tells whether an Opus packet carries a copy of the sound before it (RFC 6716 §4.2.3: the LBRR
//! flags). Reads a handful of header bits; decodes nothing.

/// True when the first frame of a packet has redundancy in any of its channels.
pub(super) fn has_redundancy(packet: &[u8]) -> bool {
    let Some(&toc) = packet.first() else { return false };
    let config = toc >> 3;
    // RFC 6716 §3.1, table 2: 0 to 11 SILK, 12 to 15 hybrid, from 16 CELT, which has none.
    let silk_frames = match config {
        // SILK of 10, 20, 40, 60 ms; its frames are 20 ms at most.
        0..12 => [1, 1, 2, 3][usize::from(config & 3)],
        12..16 => 1,
        _ => return false,
    };
    let stereo = toc & 4 != 0;
    let Some(&flags) = first_frame(packet).and_then(|frame| frame.first()) else { return false };
    // RFC 6716 §4.2.3: per channel one voice flag a SILK frame, then the LBRR flag. All have even
    // odds, so the range coder leaves them as they are, from the highest bit down.
    let mid = flags >> (7 - silk_frames) & 1 != 0;
    let side = stereo && flags >> (6 - 2 * silk_frames) & 1 != 0;
    mid || side
}

/// The first frame of a packet (RFC 6716 §3.2).
fn first_frame(packet: &[u8]) -> Option<&[u8]> {
    let (&toc, rest) = packet.split_first()?;
    match toc & 3 {
        0 => Some(rest),
        1 => rest.get(..rest.len() / 2),
        2 => {
            let (length, rest) = frame_length(rest)?;
            rest.get(..length)
        }
        _ => {
            let (&count, mut rest) = rest.split_first()?;
            let (variable, padded, frames) = (count & 0x80 != 0, count & 0x40 != 0, count & 0x3F);
            let mut padding = 0;
            if padded {
                loop {
                    let (&octet, after) = rest.split_first()?;
                    rest = after;
                    padding += usize::from(octet.min(254));
                    if octet != 255 {
                        break;
                    }
                }
            }
            let mut first = None;
            if variable {
                for _ in 1..frames {
                    let (length, after) = frame_length(rest)?;
                    rest = after;
                    first.get_or_insert(length);
                }
            }
            let sound = rest.get(..rest.len().checked_sub(padding)?)?;
            let first = match first {
                Some(length) => length,
                None => sound.len() / usize::from(frames.max(1)),
            };
            sound.get(..first)
        }
    }
}

/// A frame length of one or two octets (RFC 6716 §3.2.1) and what follows it.
fn frame_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 252 {
        return Some((usize::from(first), rest));
    }
    let (&second, rest) = rest.split_first()?;
    Some((usize::from(second) * 4 + usize::from(first), rest))
}

#[cfg(test)]
mod tests {
    use super::has_redundancy;

    // Packets laid out by hand: the table of contents, framing, and the flag octet.
    #[test]
    fn flags_are_found_in_every_framing() {
        let wideband_20ms = 9 << 3;
        assert!(has_redundancy(&[wideband_20ms, 0b0100_0000, 1, 2]), "code 0");
        assert!(!has_redundancy(&[wideband_20ms, 0b1011_1111, 1, 2]), "code 0, flag clear");
        assert!(has_redundancy(&[wideband_20ms | 1, 0b0100_0000, 1, 0, 0]), "code 1");
        assert!(has_redundancy(&[wideband_20ms | 2, 2, 0b0100_0000, 1, 9]), "code 2");
        let variable = [wideband_20ms | 3, 0x82, 1, 0b0100_0000, 9];
        assert!(has_redundancy(&variable), "code 3, variable");
        let padded = [wideband_20ms | 3, 0x41, 2, 0b0100_0000, 9, 0, 0];
        assert!(has_redundancy(&padded), "code 3, padded");
    }

    #[test]
    fn the_place_of_the_flag_follows_frames_and_channels() {
        assert!(has_redundancy(&[11 << 3, 0b0001_0000]), "60 ms: behind three voice flags");
        assert!(!has_redundancy(&[11 << 3, 0b1110_1111]), "60 ms, flag clear");
        assert!(has_redundancy(&[10 << 3, 0b0010_0000]), "40 ms: behind two");
        let stereo = 9 << 3 | 4;
        assert!(has_redundancy(&[stereo, 0b0001_0000]), "side channel only");
        assert!(!has_redundancy(&[stereo, 0b1010_1111]), "stereo, both clear");
        assert!(has_redundancy(&[13 << 3, 0b0100_0000]), "hybrid");
        assert!(!has_redundancy(&[31 << 3, 0xFF]), "CELT has none");
    }

    #[test]
    fn torn_packets_have_none() {
        for packet in [&[][..], &[9 << 3], &[9 << 3 | 2], &[9 << 3 | 2, 9, 0xFF], &[9 << 3 | 3]] {
            assert!(!has_redundancy(packet), "{packet:?}");
        }
        assert!(!has_redundancy(&[9 << 3 | 3, 0x41, 255, 255]), "padding without end");
        assert!(!has_redundancy(&[9 << 3 | 3, 0x41, 9, 0xFF]), "padding beyond the packet");
        assert!(!has_redundancy(&[9 << 3 | 3, 0x83, 252]), "length without its second octet");
    }
}
