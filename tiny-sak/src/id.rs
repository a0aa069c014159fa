//! Identifiers of the protocols, drawn from an injected [`Rng`].

use crate::Rng;
use std::fmt;

/// The magic cookie that starts every branch of RFC 3261 §8.1.1.7.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

// 32 characters, so that five bits make one; all of them are `token` characters of RFC 3261.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A short random token that lives on the stack: up to 32 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    bytes: [u8; 32],
    len: u8,
}

impl Token {
    fn random(rng: &mut Rng, prefix: &str, chars: usize) -> Self {
        let mut bytes = [0u8; 32];
        let mut len = prefix.len();
        bytes[..len].copy_from_slice(prefix.as_bytes());
        let (mut pool, mut bits) = (0u64, 0u32);
        for _ in 0..chars.min(32 - prefix.len()) {
            if bits < 5 {
                (pool, bits) = (rng.u64(), 64);
            }
            bytes[len] = ALPHABET[(pool & 31) as usize];
            (pool, bits, len) = (pool >> 5, bits - 5, len + 1);
        }
        Self { bytes, len: len as u8 }
    }

    /// The token's characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len as usize]).unwrap_or_default()
    }
}

impl std::ops::Deref for Token {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A Via branch: the cookie and 60 random bits (RFC 3261 §8.1.1.7).
pub fn branch(rng: &mut Rng) -> Token {
    Token::random(rng, BRANCH_COOKIE, 12)
}

/// A From or To tag with 60 random bits (RFC 3261 §19.3 asks for at least 32).
pub fn tag(rng: &mut Rng) -> Token {
    Token::random(rng, "", 12)
}

/// A Call-ID with 120 random bits and no host part, so that it tells nothing about the machine
/// (RFC 3261 §8.1.1.4).
pub fn call_id(rng: &mut Rng) -> Token {
    Token::random(rng, "", 24)
}

/// An RTCP CNAME with 95 random bits that is not derived from an address (RFC 7022 §4.2).
pub fn cname(rng: &mut Rng) -> Token {
    Token::random(rng, "", 19)
}

/// An RTP synchronization source (RFC 3550 §8): any 32 bits but zero, which many tools take for
/// "unknown".
pub fn ssrc(rng: &mut Rng) -> u32 {
    loop {
        let ssrc = rng.u32();
        if ssrc != 0 {
            return ssrc;
        }
    }
}

/// The client nonce of a digest (RFC 7616 §3.4).
pub fn cnonce(rng: &mut Rng) -> Token {
    Token::random(rng, "", 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn branches_carry_the_cookie_and_do_not_repeat() {
        let mut rng = Rng::from_seed(1);
        let all: HashSet<_> = (0..10_000).map(|_| branch(&mut rng)).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|b| b.starts_with(BRANCH_COOKIE) && b.len() == 19));
    }

    #[test]
    fn ids_have_their_documented_lengths() {
        let mut rng = Rng::from_seed(2);
        assert_eq!(tag(&mut rng).len(), 12);
        assert_eq!(call_id(&mut rng).len(), 24);
        assert_eq!(cname(&mut rng).len(), 19);
        assert_ne!(ssrc(&mut rng), 0);
    }
}
