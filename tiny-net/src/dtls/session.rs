//! What an association has agreed on, and what it counted.

use super::Fingerprint;
use zeroize::Zeroizing;

/// An SRTP protection profile of the `use_srtp` extension (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SrtpProfile {
    /// AES-128 in counter mode, 80 bits of tag.
    Aes128CmSha1_80 = 0x0001,
    /// AES-128 in counter mode, 32 bits of tag on RTP.
    Aes128CmSha1_32 = 0x0002,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm = 0x0007,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm = 0x0008,
}

impl SrtpProfile {
    /// Its number in the extension.
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// The profile of a number.
    pub fn from_id(id: u16) -> Option<Self> {
        let all = [
            Self::Aes128CmSha1_80,
            Self::Aes128CmSha1_32,
            Self::AeadAes128Gcm,
            Self::AeadAes256Gcm,
        ];
        all.into_iter().find(|p| p.id() == id)
    }

    /// Octets of both keys and both salts (RFC 5764 §4.2, RFC 7714 §12).
    pub(super) const fn keying_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 2 * (16 + 14),
            Self::AeadAes128Gcm => 2 * (16 + 12),
            Self::AeadAes256Gcm => 2 * (32 + 12),
        }
    }
}

/// An association whose peer has proved to be the one of the fingerprint.
#[derive(Clone)]
pub struct Session {
    pub(super) profile: Option<SrtpProfile>,
    pub(super) keying: Zeroizing<Vec<u8>>,
    pub(super) cipher: &'static str,
    pub(super) peer: Fingerprint,
    pub(super) active: bool,
}

impl Session {
    /// The SRTP profile; none when [`Config::profiles`](super::Config::profiles) is empty.
    pub fn profile(&self) -> Option<SrtpProfile> {
        self.profile
    }

    /// The keys of the active side and of the passive side, then the salts of both, as RFC 5764 §4.2
    /// lays them out.
    pub fn keying(&self) -> &[u8] {
        &self.keying
    }

    /// The cipher suite of DTLS itself, by its registered name.
    pub fn cipher(&self) -> &'static str {
        self.cipher
    }

    /// The fingerprint that the peer's certificate matched.
    pub fn peer(&self) -> &Fingerprint {
        &self.peer
    }

    /// True when we sent the ClientHello: then the first half of the keys is ours.
    pub fn is_active(&self) -> bool {
        self.active
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("profile", &self.profile)
            .field("keying", &"***")
            .field("cipher", &self.cipher)
            .field("peer", &self.peer)
            .field("active", &self.active)
            .finish()
    }
}

/// What came in and was not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Records that are no DTLS, of another epoch, or not expected.
    pub discarded: u64,
    /// Records that were not encrypted by the peer.
    pub forged: u64,
    /// Records that had come before.
    pub replayed: u64,
    /// Messages and records beyond a limit of [`Config`](super::Config).
    pub over_limit: u64,
    /// Datagrams from an address other than the peer's, during the handshake.
    pub strangers: u64,
    /// Flights that we sent again.
    pub retransmitted: u64,
    /// Handshakes of others than the peer that came to nothing, at the port of a passive side.
    pub refused: u64,
}

impl Counts {
    pub(super) fn add(&mut self, more: &Self) {
        self.discarded += more.discarded;
        self.forged += more.forged;
        self.replayed += more.replayed;
        self.over_limit += more.over_limit;
        self.strangers += more.strangers;
        self.retransmitted += more.retransmitted;
        self.refused += more.refused;
    }
}
