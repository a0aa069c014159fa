//! Why a packet was not transformed, why keys were not taken, and how often each happened.

/// Why a packet was not protected or unprotected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// Not an RTP or RTCP packet, or too short for what SRTP adds.
    #[error("the packet is malformed or too short for its security fields")]
    Malformed,
    /// Longer than a datagram can be.
    #[error("the packet is longer than a datagram")]
    TooLong,
    /// The buffer has no room for what SRTP adds.
    #[error("the buffer has no room for the security fields")]
    NoRoom,
    /// The authentication tag is not what the key says: forged, damaged, or under another key.
    #[error("authentication failed")]
    AuthFailed,
    /// This index was already received, or already sent.
    #[error("the packet was seen before")]
    Replayed,
    /// Behind the replay window.
    #[error("the packet is older than the replay window")]
    TooOld,
    /// No master key has this identifier.
    #[error("no master key has this MKI")]
    UnknownMki,
    /// The master key has protected as many packets as it may.
    #[error("the master key is exhausted")]
    KeyExhausted,
    /// RTCP came without encryption although encryption was agreed.
    #[error("the RTCP packet is not encrypted although that was agreed")]
    NotEncrypted,
    /// RTCP came encrypted although the parties agreed not to.
    #[error("the RTCP packet is encrypted although that was not agreed")]
    Encrypted,
    /// More sources than the policy allows.
    #[error("too many sources share this key")]
    TooManySources,
}

/// Why master keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No master key at all.
    #[error("there is no master key")]
    NoKey,
    /// The master key has the wrong length.
    #[error("the profile takes a master key of {expected} octets, this one has {actual}")]
    KeyLength {
        /// What the profile takes.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// The master salt has the wrong length.
    #[error("the profile takes a master salt of {expected} octets, this one has {actual}")]
    SaltLength {
        /// What the profile takes.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// The key was made for another profile.
    #[error("the master key was made for another profile")]
    OtherProfile,
    /// One of several keys has no identifier, or their identifiers differ in length.
    #[error("several master keys need identifiers of one length")]
    MkiLength,
    /// Two keys have the same identifier.
    #[error("two master keys have the same identifier")]
    MkiTwice,
    /// An identifier of more than 128 octets, or of none.
    #[error("a master key identifier has 1 to 128 octets")]
    MkiSize,
    /// A lifetime of zero packets, or of more than the profile allows.
    #[error("the lifetime of the master key is out of range")]
    Lifetime,
    /// Counters cannot start again under a key that was already used.
    #[error("the master key was used before: its counters cannot be reset")]
    KeyReused,
    /// The limits of the policy are out of range.
    #[error("the replay window or the number of sources is out of range")]
    Limits,
}

/// How many packets passed, and how many did not, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SrtpCounts {
    /// RTP packets transformed.
    pub rtp: u64,
    /// RTCP packets transformed.
    pub rtcp: u64,
    /// Malformed, too long, or without room.
    pub malformed: u64,
    /// Authentication failed.
    pub auth_failed: u64,
    /// Seen before.
    pub replayed: u64,
    /// Behind the replay window.
    pub too_old: u64,
    /// Under an unknown master key identifier.
    pub unknown_mki: u64,
    /// Refused because the key is exhausted.
    pub key_exhausted: u64,
    /// RTCP whose encryption is not what was agreed.
    pub wrong_encryption: u64,
    /// From more sources than allowed.
    pub too_many_sources: u64,
}

impl SrtpCounts {
    /// All that was refused.
    pub fn refused(&self) -> u64 {
        self.malformed
            + self.auth_failed
            + self.replayed
            + self.too_old
            + self.unknown_mki
            + self.key_exhausted
            + self.wrong_encryption
            + self.too_many_sources
    }

    pub(super) fn note(&mut self, error: SrtpError) {
        let counter = match error {
            SrtpError::Malformed | SrtpError::TooLong | SrtpError::NoRoom => &mut self.malformed,
            SrtpError::AuthFailed => &mut self.auth_failed,
            SrtpError::Replayed => &mut self.replayed,
            SrtpError::TooOld => &mut self.too_old,
            SrtpError::UnknownMki => &mut self.unknown_mki,
            SrtpError::KeyExhausted => &mut self.key_exhausted,
            SrtpError::NotEncrypted | SrtpError::Encrypted => &mut self.wrong_encryption,
            SrtpError::TooManySources => &mut self.too_many_sources,
        };
        *counter += 1;
    }
}
