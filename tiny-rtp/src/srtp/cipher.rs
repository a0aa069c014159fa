//! AES in segmented integer counter mode (RFC 3711 §4.1.1, RFC 6188 §2). Keys are wiped on drop.

use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use ctr::{CtrCore, flavors::Ctr128BE};

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
