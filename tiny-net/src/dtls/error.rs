//! Why an association failed, and the alert that tells the peer (RFC 5246 §7.2).

/// Why there is no association.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the certificate that signalling announced.
    #[error("the peer's certificate does not match its fingerprint")]
    Fingerprint,
    /// The peer has shown none.
    #[error("the peer shows no certificate")]
    NoCertificate,
    /// Neither an EC key on P-256 or P-384 nor an RSA key, or not readable.
    #[error("the peer's certificate cannot be read or has a key of an unknown kind")]
    Certificate,
    /// The peer does not hold the key of its certificate, or the handshake was meddled with.
    #[error("the peer's signature is wrong")]
    Signature,
    /// The two sides have not seen the same handshake.
    #[error("the handshake was meddled with")]
    Finished,
    /// Only DTLS 1.2 is spoken here.
    #[error("the peer does not speak DTLS 1.2")]
    Version,
    /// Nothing in common.
    #[error("no {0} in common with the peer")]
    NothingInCommon(&'static str),
    /// Without `use_srtp` there are no keys for media (RFC 5764 §4.1).
    #[error("the peer agrees on no SRTP profile")]
    NoSrtp,
    /// See [`Config::require_extended_master_secret`](super::Config::require_extended_master_secret).
    #[error("the peer has no extended master secret")]
    NoExtendedMasterSecret,
    /// A message that breaks the grammar.
    #[error("the peer sent a malformed {0}")]
    Malformed(&'static str),
    /// A message that does not belong here.
    #[error("the peer sent message {0} out of place")]
    Unexpected(u8),
    /// A message beyond [`Config::max_message`](super::Config::max_message).
    #[error("the peer sent a message that is too long")]
    TooLong,
    /// The peer gave up, for the reason of this alert.
    #[error("the peer refused: alert {0} ({name})", name = alert_name(*.0))]
    Alert(u8),
    /// The peer has not answered, or not enough.
    #[error("the peer does not answer")]
    Timeout,
    /// The association was ended.
    #[error("the association is closed")]
    Closed,
    /// Application data before the handshake, or more at once than a datagram holds.
    #[error("{0}")]
    State(&'static str),
    /// A setting that cannot work.
    #[error("{0}")]
    Config(&'static str),
    /// A primitive failed on our side.
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
}

impl Error {
    /// What the peer is told; nothing where it could not help.
    pub(super) fn alert(&self) -> Option<u8> {
        Some(match self {
            Self::Fingerprint | Self::NoCertificate => 42,
            Self::Certificate => 43,
            Self::Signature | Self::Finished => 51,
            Self::Version => 70,
            Self::NothingInCommon(_) | Self::NoSrtp => 40,
            Self::NoExtendedMasterSecret => 71,
            Self::Malformed(_) => 50,
            Self::Unexpected(_) => 10,
            Self::TooLong => 47,
            Self::Crypto(_) => 80,
            Self::Alert(_) | Self::Timeout | Self::Closed => return None,
            Self::State(_) | Self::Config(_) => return None,
        })
    }
}

fn alert_name(alert: u8) -> &'static str {
    match alert {
        10 => "unexpected message",
        20 => "bad record MAC",
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown CA",
        50 => "decode error",
        51 => "decrypt error",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        _ => "of another kind",
    }
}
