//! What proves that a message is whole and from who knows the password: MESSAGE-INTEGRITY with
//! HMAC-SHA1, MESSAGE-INTEGRITY-SHA256, and the CRC of FINGERPRINT (RFC 8489 §14.5 to §14.7). Tags are
//! compared in constant time; keys are wiped when dropped and never shown.

use super::attr;
use super::credentials::Algorithm;
use super::message::Message;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tiny_sak::Secret;
use zeroize::Zeroizing;

/// The key of an HMAC.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

/// What a look at the integrity of a message found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// No integrity attribute of the kind looked for.
    Absent,
    /// Whole, and made with the key.
    Valid,
    /// Changed, or made with another key.
    Wrong,
}

impl Integrity {
    /// Whether it was there and right.
    pub fn is_valid(self) -> bool {
        self == Self::Valid
    }
}

impl Key {
    /// Of a short-term credential: the password (§9.1.1). It is taken as already prepared by
    /// OpaqueString (RFC 8265), which leaves the characters of ICE passwords as they are.
    pub fn short_term(password: &Secret) -> Self {
        Self(Zeroizing::new(password.expose().as_bytes().to_vec()))
    }

    /// Of a long-term credential (§9.2.2, §18.5.1), whose parts are taken as already prepared by
    /// OpaqueString.
    pub fn long_term(username: &str, realm: &str, password: &Secret, algorithm: Algorithm) -> Self {
        let parts = [username, ":", realm, ":", password.expose()];
        let text = Zeroizing::new(parts.concat());
        Self(Zeroizing::new(match algorithm {
            Algorithm::Md5 => Md5::digest(text.as_bytes()).to_vec(),
            Algorithm::Sha256 => Sha256::digest(text.as_bytes()).to_vec(),
        }))
    }

    pub(super) fn sha1(&self, data: &[u8]) -> [u8; 20] {
        // A key of any length is one (RFC 2104 §2).
        let Ok(mac) = Hmac::<Sha1>::new_from_slice(&self.0) else { return [0; 20] };
        mac.chain_update(data).finalize().into_bytes().into()
    }

    pub(super) fn sha256(&self, data: &[u8]) -> [u8; 32] {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        mac.chain_update(data).finalize().into_bytes().into()
    }

    // The tag of the message up to `at`, with a header whose length ends behind an attribute of
    // `length` octets there.
    fn tag<const N: usize>(
        data: &[u8],
        at: usize,
        make: impl FnOnce(&[u8]) -> [u8; N],
    ) -> Option<[u8; N]> {
        let mut covered = smallvec::SmallVec::<[u8; 256]>::from_slice(data.get(..at)?);
        let length = u16::try_from(at - 20 + 4 + N).ok()?;
        covered.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
        Some(make(&covered))
    }
}

impl Message<'_> {
    /// Checks MESSAGE-INTEGRITY-SHA256 where there is one, else MESSAGE-INTEGRITY (§9.1.3). A
    /// shortened HMAC-SHA256 is wrong: no usage here allows one (§14.6).
    pub fn verify(&self, key: &Key) -> Integrity {
        match self.verify_sha256(key) {
            Integrity::Absent => self.verify_sha1(key),
            found => found,
        }
    }

    /// Checks MESSAGE-INTEGRITY alone.
    pub fn verify_sha1(&self, key: &Key) -> Integrity {
        self.check(attr::MESSAGE_INTEGRITY, |data| key.sha1(data))
    }

    /// Checks MESSAGE-INTEGRITY-SHA256 alone.
    pub fn verify_sha256(&self, key: &Key) -> Integrity {
        self.check(attr::MESSAGE_INTEGRITY_SHA256, |data| key.sha256(data))
    }

    fn check<const N: usize>(&self, kind: u16, make: impl FnOnce(&[u8]) -> [u8; N]) -> Integrity {
        let mut attributes = self.attributes();
        while let Some((at, found, value)) = attributes.next_at() {
            if found == kind {
                let expected = Key::tag(self.bytes(), at, make);
                let equal = expected.is_some_and(|tag| tag.as_slice().ct_eq(value).into());
                return if equal { Integrity::Valid } else { Integrity::Wrong };
            }
        }
        Integrity::Absent
    }
}

/// USERHASH: who asks, told to nobody who does not know already (§14.4).
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    Sha256::digest([username, ":", realm].concat().as_bytes()).into()
}

/// The value of FINGERPRINT over what stands before it; the length in the header already counts it.
pub(super) fn fingerprint(data: &[u8]) -> [u8; 4] {
    (crc32(data) ^ 0x5354_554e).to_be_bytes()
}

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let (mut value, mut bit) = (i as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
};

// The CRC of ITU V.42.
fn crc32(data: &[u8]) -> u32 {
    !data
        .iter()
        .fold(!0u32, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 255) as usize] ^ crc >> 8)
}
