//! Keys of the look-up tables: a keyed 128-bit hash (SipHash-1-3) of the strings that identify a
//! transaction or dialog, so that the tables hold no strings and a peer that does not know the key
//! cannot make two entries meet.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use tiny_sak::Rng;

/// What stands for a list of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u64, u64);

impl Fingerprint {
    /// The 128 bits, for a tag that a stateless answer must repeat.
    pub(crate) fn bits(self) -> (u64, u64) {
        (self.0, self.1)
    }
}

/// The secret key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprinter(u64, u64);

impl Fingerprinter {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self(rng.u64(), rng.u64())
    }

    /// Each part is hashed behind its length, so that shifting a border changes the result.
    pub(crate) fn of<const N: usize>(&self, parts: &[&str; N]) -> Fingerprint {
        self.of_bytes(&parts.map(str::as_bytes))
    }

    /// The same where not all of it is text.
    pub(crate) fn of_bytes(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut s = State([
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ]);
        for part in parts {
            s.absorb(part.len() as u64);
            let mut chunks = part.chunks_exact(8);
            for chunk in &mut chunks {
                s.absorb(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
            }
            let rest = chunks.remainder();
            if !rest.is_empty() {
                let mut last = [0u8; 8];
                last[..rest.len()].copy_from_slice(rest);
                s.absorb(u64::from_le_bytes(last));
            }
        }
        s.0[2] ^= 0xee;
        let low = s.squeeze();
        s.0[1] ^= 0xdd;
        Fingerprint(low, s.squeeze())
    }
}

struct State([u64; 4]);

impl State {
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    fn squeeze(&mut self) -> u64 {
        for _ in 0..3 {
            self.round();
        }
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

/// A table by fingerprint. The fingerprint is its own hash.
pub(crate) type Index<K> = HashMap<Fingerprint, K, BuildHasherDefault<Direct>>;

/// Takes the first 64 bits as they are.
#[derive(Debug, Default)]
pub(crate) struct Direct(u64);

impl Hasher for Direct {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }

    fn write_u64(&mut self, word: u64) {
        if self.0 == 0 {
            self.0 = word;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_between_parts_and_the_key_matter() {
        let mut rng = Rng::from_seed(1);
        let (a, b) = (Fingerprinter::new(&mut rng), Fingerprinter::new(&mut rng));
        assert_eq!(a.of(&["ab", "c"]), a.of(&["ab", "c"]));
        assert_ne!(a.of(&["ab", "c"]), a.of(&["a", "bc"]));
        assert_ne!(a.of(&["ab", "c"]), a.of(&["abc"]));
        assert_ne!(a.of(&["12345678"]), a.of(&["12345678", ""]));
        assert_ne!(a.of(&["ab", "c"]), b.of(&["ab", "c"]));
    }
}
