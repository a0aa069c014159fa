//! Whether the media of calls is encrypted: the policy that agent, account and call have.

use std::fmt;
use std::str::FromStr;

/// How calls treat encryption of their media.
///
/// Whatever is asked for here, a call that has agreed on encryption keeps it: nothing leaves and
/// nothing enters it in the clear, and a peer that takes encryption back is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Srtp {
    /// Never: keys are not offered, and calls that demand encryption are refused with 488.
    Off,
    /// Offer keys beside plain RTP and use them if the peer does (RFC 8643); take what a peer
    /// demands, DTLS too; talk in the clear with a peer that has no encryption.
    #[default]
    Optional,
    /// Demand keys in the session description (RFC 4568); never without.
    Sdes,
    /// Demand keys from a DTLS handshake (RFC 5764) with the peer whose certificate the session
    /// description names; never without. The certificate is [`Config::dtls_identity`](crate::Config).
    Dtls,
}

impl Srtp {
    /// `off`, `optional`, `sdes` or `dtls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Sdes => "sdes",
            Self::Dtls => "dtls",
        }
    }
}

impl fmt::Display for Srtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Srtp {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, crate::Error> {
        let all = [Self::Off, Self::Optional, Self::Sdes, Self::Dtls];
        all.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
            crate::Error::config("srtp", format!("'{text}' is none of off, optional, sdes, dtls"))
        })
    }
}
