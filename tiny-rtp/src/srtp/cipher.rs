//! AES in segmented integer counter mode (RFC 3711 §4.1.1, RFC 6188 §2) and in f8 mode (RFC 3711
//! §4.1.2). Keys are wiped on drop.

use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use ctr::{CtrCore, flavors::Ctr128BE};
use zeroize::Zeroizing;

/// An expanded AES key. Boxed, so that a move copies no key.
pub(super) enum AesCm {
    Aes128(Box<Aes128Enc>),
    Aes192(Box<Aes192Enc>),
    Aes256(Box<Aes256Enc>),
}

impl AesCm {
    /// A key of 16, 24 or 32 octets.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        Some(match key.len() {
            16 => Self::Aes128(Box::new(Aes128Enc::new_from_slice(key).ok()?)),
            24 => Self::Aes192(Box::new(Aes192Enc::new_from_slice(key).ok()?)),
            32 => Self::Aes256(Box::new(Aes256Enc::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    /// Adds the keystream that begins at `iv`: encrypts and decrypts.
    #[inline]
    pub(super) fn apply(&self, iv: &[u8; 16], data: &mut [u8]) {
        macro_rules! with {
            ($key:expr) => {{
                let core = CtrCore::<_, Ctr128BE>::inner_iv_init(&**$key, iv.into());
                StreamCipherCoreWrapper::from_core(core).apply_keystream(data)
            }};
        }
        match self {
            Self::Aes128(key) => with!(key),
            Self::Aes192(key) => with!(key),
            Self::Aes256(key) => with!(key),
        }
    }
}

/// The keys of f8 mode: the session key, and the same under the mask of salt and 0x55.
pub(super) struct AesF8 {
    key: AesCm,
    masked: AesCm,
}

impl AesF8 {
    /// RFC 3711 §4.1.2.1: the mask is the salt, filled up to the length of the key.
    pub(super) fn new(key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut masked = Zeroizing::new([0x55u8; 32]);
        let masked = masked.get_mut(..key.len())?;
        masked.get_mut(..salt.len())?.copy_from_slice(salt);
        for (m, k) in masked.iter_mut().zip(key) {
            *m ^= k;
        }
        Some(Self { key: AesCm::new(key)?, masked: AesCm::new(masked)? })
    }

    /// Adds the keystream: encrypts and decrypts. Each block feeds the next.
    pub(super) fn apply(&self, iv: &[u8; 16], data: &mut [u8]) {
        let block = |key: &AesCm, input: u128| {
            let mut out = [0u8; 16];
            key.apply(&input.to_be_bytes(), &mut out);
            u128::from_be_bytes(out)
        };
        let start = block(&self.masked, u128::from_be_bytes(*iv));
        let mut stream = 0;
        for (j, chunk) in data.chunks_mut(16).enumerate() {
            stream = block(&self.key, start ^ j as u128 ^ stream);
            for (octet, key) in chunk.iter_mut().zip(stream.to_be_bytes()) {
                *octet ^= key;
            }
        }
    }
}
