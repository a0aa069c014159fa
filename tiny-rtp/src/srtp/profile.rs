//! What SRTP can be: the protection profiles with their key sizes and tags, and the policy of one
//! context (RFC 3711 §5 and §8.2, RFC 4568 §6.2, RFC 5764 §4.1.2, RFC 6188 §4, RFC 7714 §12).

use super::error::KeyError;

/// A cipher with its authentication: what SDP calls a crypto suite and DTLS a protection profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// AES-128 in counter mode, HMAC-SHA1 with 80 bits: what everyone has (RFC 3711).
    AesCm128HmacSha1_80,
    /// The same with 32 bits of tag on RTP; RTCP keeps 80.
    AesCm128HmacSha1_32,
    /// AES-128 in f8 mode (RFC 3711 §4.1.2, RFC 4568 §6.2.3): optional, slow, hardly anywhere.
    AesF8128HmacSha1_80,
    /// AES-192 in counter mode (RFC 6188).
    AesCm192HmacSha1_80,
    /// AES-192 with 32 bits of tag on RTP.
    AesCm192HmacSha1_32,
    /// AES-256 in counter mode (RFC 6188).
    AesCm256HmacSha1_80,
    /// AES-256 with 32 bits of tag on RTP.
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode (RFC 7714).
    AeadAes256Gcm,
    /// No encryption, only authentication with 80 bits (RFC 3711 §4.1.3, RFC 5764).
    NullHmacSha1_80,
    /// No encryption, 32 bits of tag on RTP.
    NullHmacSha1_32,
}

impl Profile {
    /// Every profile, strongest first, those without encryption last.
    pub const ALL: [Self; 11] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AesCm192HmacSha1_80,
        Self::AesCm192HmacSha1_32,
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesF8128HmacSha1_80,
        Self::NullHmacSha1_80,
        Self::NullHmacSha1_32,
    ];

    /// Octets of master key. The profiles without a cipher take 16 for the key derivation.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80
            | Self::AesCm128HmacSha1_32
            | Self::AesF8128HmacSha1_80
            | Self::AeadAes128Gcm
            | Self::NullHmacSha1_80
            | Self::NullHmacSha1_32 => 16,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 24,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Octets of master salt.
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Octets that authenticate an RTP packet.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::AesCm128HmacSha1_32
            | Self::AesCm192HmacSha1_32
            | Self::AesCm256HmacSha1_32
            | Self::NullHmacSha1_32 => 4,
            _ => 10,
        }
    }

    /// Octets that authenticate an RTCP packet: never fewer than 10 (RFC 3711 §5.2).
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// True for the AEAD profiles.
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }

    /// False for the profiles that only authenticate.
    pub const fn encrypts(self) -> bool {
        !matches!(self, Self::NullHmacSha1_80 | Self::NullHmacSha1_32)
    }

    /// The name in `a=crypto` lines. The profiles without a cipher have none: there, encryption is
    /// switched off by session parameters (RFC 4568 §6.3.2).
    pub const fn suite_name(self) -> Option<&'static str> {
        Some(match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesF8128HmacSha1_80 => "F8_128_HMAC_SHA1_80",
            Self::AesCm192HmacSha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Self::AesCm192HmacSha1_32 => "AES_192_CM_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::NullHmacSha1_80 | Self::NullHmacSha1_32 => return None,
        })
    }

    /// The profile of a crypto suite, whose name is compared without regard to case. The spelling
    /// `AES_CM_256_…` and `AES_CM_192_…` of older software is understood too.
    pub fn from_suite_name(name: &str) -> Option<Self> {
        let known = Self::ALL.into_iter();
        known
            .filter_map(|p| Some((p, p.suite_name()?)))
            .find_map(|(p, n)| n.eq_ignore_ascii_case(name).then_some(p))
            .or_else(|| {
                let alias = [
                    ("AES_CM_192_HMAC_SHA1_80", Self::AesCm192HmacSha1_80),
                    ("AES_CM_192_HMAC_SHA1_32", Self::AesCm192HmacSha1_32),
                    ("AES_CM_256_HMAC_SHA1_80", Self::AesCm256HmacSha1_80),
                    ("AES_CM_256_HMAC_SHA1_32", Self::AesCm256HmacSha1_32),
                ];
                alias.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, p)| p)
            })
    }

    /// The number in the `use_srtp` extension of DTLS; the RFC 6188 profiles and f8 have none.
    pub const fn dtls_id(self) -> Option<u16> {
        Some(match self {
            Self::AesCm128HmacSha1_80 => 0x0001,
            Self::AesCm128HmacSha1_32 => 0x0002,
            Self::NullHmacSha1_80 => 0x0005,
            Self::NullHmacSha1_32 => 0x0006,
            Self::AeadAes128Gcm => 0x0007,
            Self::AeadAes256Gcm => 0x0008,
            _ => return None,
        })
    }

    /// The profile that DTLS agreed on.
    pub fn from_dtls_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.dtls_id() == Some(id))
    }
}

/// What one context does with packets. Both ends must agree on all but the windows and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The cipher and its authentication.
    pub profile: Profile,
    /// RTP payloads are encrypted. Default: true, unless the profile has no cipher.
    pub encrypt_rtp: bool,
    /// RTCP is encrypted. Default: true, unless the profile has no cipher.
    pub encrypt_rtcp: bool,
    /// How many RTP packets behind the newest one still get in: 64 (RFC 3711 §3.3.2) to 32,768.
    /// Default 1024, which holds a second of video.
    pub rtp_window: u32,
    /// The same for RTCP. Default 128.
    pub rtcp_window: u32,
    /// How many SSRCs may use the keys, 1 to 4096. Default 64.
    pub max_sources: usize,
    /// After how many packets under new keys the old ones are dropped. Default 500: ten seconds of
    /// speech, for RFC 4568 §7.1.4 wants both accepted for a while.
    pub rekey_overlap: u32,
}

impl Policy {
    /// The defaults for a profile.
    pub const fn new(profile: Profile) -> Self {
        Self {
            profile,
            encrypt_rtp: profile.encrypts(),
            encrypt_rtcp: profile.encrypts(),
            rtp_window: 1024,
            rtcp_window: 128,
            max_sources: 64,
            rekey_overlap: 500,
        }
    }

    pub(super) fn check(&self) -> Result<(), KeyError> {
        let windows = [self.rtp_window, self.rtcp_window];
        let held = windows.iter().all(|w| (64..=32_768).contains(w));
        if held && (1..=4096).contains(&self.max_sources) { Ok(()) } else { Err(KeyError::Limits) }
    }
}
