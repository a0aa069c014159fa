//! Base64 of keys (RFC 4648 §4), whose memory is wiped. Padding may be missing (RFC 4568 §6.1).

use zeroize::Zeroizing;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(octets: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(octets.len().div_ceil(3) * 4));
    for chunk in octets.chunks(3) {
        let mut word = [0u8; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for at in 0..4 {
            let sextet = (word >> (18 - at * 6)) as usize & 63;
            text.push(if at <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

pub(super) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(digits.len() * 3 / 4));
    for chunk in digits.as_bytes().chunks(4) {
        let mut word = 0u32;
        for at in 0..4 {
            word = word << 6 | chunk.get(at).map_or(Some(0), |digit| value(*digit))?;
        }
        let bytes = word.to_be_bytes();
        octets.extend_from_slice(&bytes[1..chunk.len()]);
    }
    Some(octets)
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4648_10() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (clear, text) in examples {
            assert_eq!(*encode(clear.as_bytes()), text);
            assert_eq!(**decode(text).unwrap(), *clear.as_bytes());
            assert_eq!(**decode(text.trim_end_matches('=')).unwrap(), *clear.as_bytes());
        }
        for bad in ["Z", "Zg===", "Zm9v!", "Zm 9v", "Z=g="] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }
}
