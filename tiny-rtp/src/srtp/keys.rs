//! Master keys with salt, identifier and lifetime (RFC 3711 §3.2.1, §9.2; RFC 4568 §6.1; RFC 5764 §4.2).
//! Wiped on drop, never printed.

use super::{KeyError, Profile};
use subtle::ConstantTimeEq;
use tiny_sak::Rng;
use zeroize::Zeroizing;

/// How many packets a master key may protect (RFC 3711 §9.2): at most 2^48 RTP and 2^31 RTCP packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// RTP packets of all sources together.
    pub rtp: u64,
    /// RTCP packets of all sources together.
    pub rtcp: u64,
}

impl Lifetime {
    /// What the transforms allow at most, and the default.
    pub const MAX: Self = Self { rtp: 1 << 48, rtcp: 1 << 31 };
}

impl Default for Lifetime {
    fn default() -> Self {
        Self::MAX
    }
}

/// A master key and its salt.
#[derive(Clone)]
pub struct MasterKey {
    profile: Profile,
    // Key and salt behind one another, as they travel in SDP.
    octets: Zeroizing<Vec<u8>>,
    mki: Vec<u8>,
    lifetime: Lifetime,
}

impl MasterKey {
    /// A key and a salt of the lengths that the profile takes.
    ///
    /// # Errors
    /// [`KeyError::KeyLength`], [`KeyError::SaltLength`].
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        if key.len() != profile.key_len() {
            return Err(KeyError::KeyLength { expected: profile.key_len(), actual: key.len() });
        }
        if salt.len() != profile.salt_len() {
            return Err(KeyError::SaltLength { expected: profile.salt_len(), actual: salt.len() });
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(key.len() + salt.len()));
        octets.extend_from_slice(key);
        octets.extend_from_slice(salt);
        Ok(Self { profile, octets, mki: Vec::new(), lifetime: Lifetime::MAX })
    }

    /// A random key and salt.
    pub fn generate(profile: Profile, rng: &mut Rng) -> Self {
        let mut octets = Zeroizing::new(vec![0; profile.key_len() + profile.salt_len()]);
        rng.fill(&mut octets);
        Self { profile, octets, mki: Vec::new(), lifetime: Lifetime::MAX }
    }

    /// The keys of client and server, in this order, out of what DTLS exports under the label
    /// `EXTRACTOR-dtls_srtp` (RFC 5764 §4.2: both keys, then both salts).
    ///
    /// # Errors
    /// [`KeyError::KeyLength`] when there are not twice a key and a salt.
    pub fn from_dtls(profile: Profile, exported: &[u8]) -> Result<(Self, Self), KeyError> {
        let (key, salt) = (profile.key_len(), profile.salt_len());
        let expected = Self::dtls_len(profile);
        if exported.len() != expected {
            return Err(KeyError::KeyLength { expected, actual: exported.len() });
        }
        let (keys, salts) = exported.split_at(2 * key);
        Ok((
            Self::new(profile, &keys[..key], &salts[..salt])?,
            Self::new(profile, &keys[key..], &salts[salt..])?,
        ))
    }

    /// How many octets DTLS must export for a profile.
    pub const fn dtls_len(profile: Profile) -> usize {
        2 * (profile.key_len() + profile.salt_len())
    }

    /// With an identifier that travels in each packet.
    ///
    /// # Errors
    /// [`KeyError::MkiSize`] unless it has 1 to 128 octets.
    pub fn with_mki(mut self, mki: &[u8]) -> Result<Self, KeyError> {
        if mki.is_empty() || mki.len() > 128 {
            return Err(KeyError::MkiSize);
        }
        self.mki = mki.to_vec();
        Ok(self)
    }

    /// With a shorter lifetime than the transform allows.
    ///
    /// # Errors
    /// [`KeyError::Lifetime`] when it is zero or longer than [`Lifetime::MAX`].
    pub fn with_lifetime(mut self, lifetime: Lifetime) -> Result<Self, KeyError> {
        let max = Lifetime::MAX;
        if !(1..=max.rtp).contains(&lifetime.rtp) || !(1..=max.rtcp).contains(&lifetime.rtcp) {
            return Err(KeyError::Lifetime);
        }
        self.lifetime = lifetime;
        Ok(self)
    }

    /// The profile that the key is for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The identifier; empty when there is none.
    pub fn mki(&self) -> &[u8] {
        &self.mki
    }

    /// How many packets it may protect.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Key and salt behind one another: for writing them where they belong, not for keeping.
    pub fn expose(&self) -> &[u8] {
        &self.octets
    }

    /// True when the other has the same key and salt; takes the same time whatever they are.
    pub fn same_as(&self, other: &Self) -> bool {
        self.octets.ct_eq(&other.octets).into()
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.octets[..self.profile.key_len()]
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.octets[self.profile.key_len()..]
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey")
            .field("profile", &self.profile)
            .field("octets", &"***")
            .field("mki", &self.mki)
            .field("lifetime", &self.lifetime)
            .finish()
    }
}
