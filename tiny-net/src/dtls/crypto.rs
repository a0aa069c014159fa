//! Cipher suites, the pseudorandom function, key agreement and the keys of records (RFC 5246 §5, §8;
//! RFC 5288; RFC 5289; RFC 7627; RFC 8422). The arithmetic is ring's.

use super::Error;
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use ring::rand::SystemRandom;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// What an AEAD record is longer than its content: the explicit nonce and the tag (RFC 5288 §3).
pub(super) const OVERHEAD: usize = 8 + 16;

/// ECDHE with AES-GCM; which of the two signatures, the certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    EcdsaAes128,
    RsaAes128,
    EcdsaAes256,
    RsaAes256,
}

impl Suite {
    pub(super) const ALL: [Self; 4] =
        [Self::EcdsaAes128, Self::RsaAes128, Self::EcdsaAes256, Self::RsaAes256];

    pub(super) const fn id(self) -> u16 {
        match self {
            Self::EcdsaAes128 => 0xc02b,
            Self::RsaAes128 => 0xc02f,
            Self::EcdsaAes256 => 0xc02c,
            Self::RsaAes256 => 0xc030,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EcdsaAes128 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Self::RsaAes128 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Self::EcdsaAes256 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Self::RsaAes256 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        }
    }

    pub(super) const fn is_rsa(self) -> bool {
        matches!(self, Self::RsaAes128 | Self::RsaAes256)
    }

    const fn is_256(self) -> bool {
        matches!(self, Self::EcdsaAes256 | Self::RsaAes256)
    }

    /// The hash of the handshake under this suite.
    pub(super) fn hash(self, message: &[u8]) -> digest::Digest {
        digest::digest(if self.is_256() { &digest::SHA384 } else { &digest::SHA256 }, message)
    }

    /// The pseudorandom function (RFC 5246 §5).
    pub(super) fn prf(self, secret: &[u8], label: &str, seeds: &[&[u8]], out: &mut [u8]) {
        let algorithm = if self.is_256() { hmac::HMAC_SHA384 } else { hmac::HMAC_SHA256 };
        let key = hmac::Key::new(algorithm, secret);
        let seeded = |mut context: hmac::Context| {
            context.update(label.as_bytes());
            seeds.iter().for_each(|seed| context.update(seed));
            context.sign()
        };
        let mut a = seeded(hmac::Context::with_key(&key));
        for piece in out.chunks_mut(algorithm.digest_algorithm().output_len()) {
            let mut context = hmac::Context::with_key(&key);
            context.update(a.as_ref());
            piece.copy_from_slice(&seeded(context).as_ref()[..piece.len()]);
            a = hmac::sign(&key, a.as_ref());
        }
    }

    /// The keys of both directions: the active side's and the passive side's (RFC 5246 §6.3).
    pub(super) fn keys(self, master: &[u8], client: &[u8], server: &[u8]) -> Option<[Key; 2]> {
        let (algorithm, length) =
            if self.is_256() { (&aead::AES_256_GCM, 32) } else { (&aead::AES_128_GCM, 16) };
        let mut block = Zeroizing::new([0; 2 * (32 + 4)]);
        let block = &mut block[..2 * (length + 4)];
        self.prf(master, "key expansion", &[server, client], block);
        let (keys, salts) = block.split_at(2 * length);
        let key = |n: usize| {
            let key = UnboundKey::new(algorithm, &keys[n * length..][..length]).ok()?;
            let salt = salts[n * 4..][..4].try_into().ok()?;
            Some(Key { key: LessSafeKey::new(key), salt })
        };
        Some([key(0)?, key(1)?])
    }
}

/// The key of one direction.
pub(super) struct Key {
    key: LessSafeKey,
    salt: [u8; 4],
}

impl Drop for Key {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl Key {
    fn nonce(&self, explicit: [u8; 8]) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(&explicit);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Appends the explicit nonce, the encrypted content and the tag to `out`. `header` is what is
    /// authenticated with it; `number` is used only once.
    pub(super) fn seal(
        &self,
        number: [u8; 8],
        header: [u8; 13],
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.extend_from_slice(&number);
        let start = out.len();
        out.extend_from_slice(content);
        let nonce = self.nonce(number);
        let sealed = &mut out[start..];
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(header), sealed).ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(())
    }

    /// The content of an encrypted record; `header` names the length of the content.
    pub(super) fn open(&self, header: [u8; 13], fragment: &[u8]) -> Option<Vec<u8>> {
        let (explicit, sealed) = fragment.split_first_chunk::<8>()?;
        let mut content = sealed.to_vec();
        let nonce = self.nonce(*explicit);
        let length = self.key.open_in_place(nonce, Aad::from(header), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }
}

/// The curves of key agreement, the favourite first.
pub(super) const GROUPS: [u16; 3] = [29, 23, 24];

/// Our half of a key agreement, good for one.
pub(super) struct Exchange {
    private: EphemeralPrivateKey,
    pub(super) group: u16,
    pub(super) public: Vec<u8>,
}

impl Exchange {
    pub(super) fn new(group: u16) -> Result<Self, Error> {
        let algorithm = algorithm(group).ok_or(Error::NothingInCommon("curve"))?;
        let failed = |_| Error::Crypto("no ephemeral key");
        let private =
            EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).map_err(failed)?;
        let public = private.compute_public_key().map_err(failed)?.as_ref().to_vec();
        Ok(Self { private, group, public })
    }

    /// The premaster secret.
    pub(super) fn complete(self, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let bad = Error::Malformed("key exchange");
        let algorithm = algorithm(self.group).ok_or(Error::NothingInCommon("curve"))?;
        let theirs = UnparsedPublicKey::new(algorithm, theirs);
        let keep = |secret: &[u8]| Zeroizing::new(secret.to_vec());
        agreement::agree_ephemeral(self.private, &theirs, keep).map_err(|_| bad)
    }
}

fn algorithm(group: u16) -> Option<&'static agreement::Algorithm> {
    match group {
        23 => Some(&agreement::ECDH_P256),
        24 => Some(&agreement::ECDH_P384),
        29 => Some(&agreement::X25519),
        _ => None,
    }
}

/// Compares in a time that says nothing.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// The cookie of an address and a ClientHello (RFC 6347 §4.2.1).
pub(super) fn cookie(key: &[u8; 32], from: std::net::SocketAddr, random: &[u8]) -> [u8; 20] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    match from.ip() {
        std::net::IpAddr::V4(ip) => context.update(&ip.octets()),
        std::net::IpAddr::V6(ip) => context.update(&ip.octets()),
    }
    context.update(&from.port().to_be_bytes());
    context.update(random);
    let mut cookie = [0; 20];
    cookie.copy_from_slice(&context.sign().as_ref()[..20]);
    cookie
}
