//! Base64 (RFC 4648): §4 as the AKA parameters have it, §5 without padding as PASSporTs have it.
//! Decoding is strict: no blanks, no bits left over, padding complete or absent.

/// Which of the two alphabets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// `+` and `/`, padded.
    Standard,
    /// `-` and `_`, without padding.
    Url,
}

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub(crate) fn encode(alphabet: Alphabet, data: &[u8]) -> String {
    let letter = |six: u32| match (six & 63, alphabet) {
        (62, Alphabet::Standard) => '+',
        (63, Alphabet::Standard) => '/',
        (62, Alphabet::Url) => '-',
        (63, Alphabet::Url) => '_',
        (n, _) => char::from(LETTERS[n as usize]),
    };
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4u32 {
            if i as usize <= chunk.len() {
                text.push(letter(bits >> (18 - 6 * i)));
            } else if alphabet == Alphabet::Standard {
                text.push('=');
            }
        }
    }
    text
}

pub(crate) fn decode(alphabet: Alphabet, text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    let padding = text.len() - bare.len();
    if padding > 0 && (alphabet == Alphabet::Url || padding > 2 || !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut data = Vec::with_capacity(bare.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0u32);
    for b in bare.bytes() {
        let six = match (b, alphabet) {
            (b'A'..=b'Z', _) => b - b'A',
            (b'a'..=b'z', _) => b - b'a' + 26,
            (b'0'..=b'9', _) => b - b'0' + 52,
            (b'+', Alphabet::Standard) | (b'-', Alphabet::Url) => 62,
            (b'/', Alphabet::Standard) | (b'_', Alphabet::Url) => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            data.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // A lone letter, or bits that no encoder leaves.
    (count < 6 && bits == 0).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4648_section_10() {
        let all = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in all {
            assert_eq!(encode(Alphabet::Standard, plain.as_bytes()), coded);
            assert_eq!(decode(Alphabet::Standard, coded).unwrap(), plain.as_bytes());
            let bare = coded.trim_end_matches('=');
            assert_eq!(encode(Alphabet::Url, plain.as_bytes()), bare);
            assert_eq!(decode(Alphabet::Url, bare).unwrap(), plain.as_bytes());
        }
        assert_eq!(encode(Alphabet::Url, &[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        for bad in ["A", "Zh==", "Zm9=v", "Z g=", "Zg===", "Zm-v", "====", "Zg="] {
            assert_eq!(decode(Alphabet::Standard, bad), None, "{bad}");
        }
        assert_eq!(decode(Alphabet::Url, "Zg=="), None);
    }
}
