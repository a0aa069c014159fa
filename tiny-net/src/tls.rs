//! Who we are and whom we trust under TLS: settings, and what can be wrong with them.
//!
//! A server must prove the SIP domain that was asked for (RFC 5922 §7), not the host that the DNS
//! led to. These types are in every build; the `tls` feature brings the driver (rustls).

#[cfg(feature = "tls")]
pub(crate) mod engine;
#[cfg(feature = "tls")]
mod identity;
#[cfg(all(test, feature = "tls"))]
pub(crate) mod tests;

#[cfg(feature = "tls")]
pub(crate) use identity::PeerIdentity;

use std::io;
use std::path::PathBuf;
use tiny_sak::Secret;
use zeroize::Zeroizing;

/// How TLS connections are made and accepted. The default verifies servers against the platform's
/// roots and has no certificate of its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Who may vouch for servers. Default: the platform's roots.
    pub roots: Roots,
    /// What we show to servers that ask for it. Default: nothing.
    pub client: Option<Identity>,
    /// What we show to clients; without it, nobody can connect to us. Default: nothing.
    pub server: Option<Identity>,
    /// Whether clients must show a certificate. Default: they are not asked.
    pub client_auth: ClientAuth,
    /// Accepts every server, whoever it is: for a laboratory. Default false.
    pub insecure: bool,
    /// Whether `*.example.com` in a certificate is good for `pbx.example.com`. RFC 5922 §7.2 says
    /// no for SIP; some providers rely on it. Secure WebSocket always allows it, as HTTPS does
    /// (RFC 7118 §9.1). Default false.
    pub wildcards: bool,
    /// Sessions remembered for resumption, each way. Default 256; 0 switches resumption off.
    pub sessions: usize,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            roots: Roots::Platform,
            client: None,
            server: None,
            client_auth: ClientAuth::None,
            insecure: false,
            wildcards: false,
            sessions: 256,
        }
    }
}

/// Certificates that others are checked against.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Roots {
    /// What the platform trusts.
    Platform,
    /// These alone: the certificates of one's own authorities.
    Only(Vec<Material>),
}

/// A certificate with its chain, and its private key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Our certificate, then those between it and the root.
    pub chain: Material,
    /// The key, in PKCS#8, PKCS#1 or SEC1 form.
    pub key: Material,
}

/// Something in PEM or DER form. Files are read when the settings are applied, so applying them
/// again reads what has been renewed since. What is held in memory is zeroized on drop.
#[derive(Clone)]
#[non_exhaustive]
pub enum Material {
    /// A file in either form.
    File(PathBuf),
    /// PEM text.
    Pem(Secret),
    /// DER. More than one certificate is a chain.
    Der(Vec<Zeroizing<Vec<u8>>>),
}

impl Material {
    /// A file in PEM or DER form.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// PEM text.
    pub fn pem(text: impl Into<String>) -> Self {
        Self::Pem(Secret::from(text.into()))
    }

    /// One certificate or key in DER form.
    pub fn der(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Der(vec![Zeroizing::new(bytes.into())])
    }
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Pem(_) => f.write_str("Pem(***)"),
            Self::Der(_) => f.write_str("Der(***)"),
        }
    }
}

/// What is asked of clients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate by these authorities, where they have one.
    Optional(Roots),
    /// A certificate by these authorities.
    Required(Roots),
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// There is no certificate, or no key, where one should be.
    #[error("{what} holds no {wanted}")]
    Missing {
        /// The setting.
        what: &'static str,
        /// A certificate or a key.
        wanted: &'static str,
    },
    /// A certificate or key is of no use.
    #[error("{what} cannot be used: {detail}")]
    Unusable {
        /// The setting.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// Listening needs a certificate.
    #[error("listening for TLS needs a server certificate and key")]
    NoServerIdentity,
    /// Clients cannot be checked against the platform's roots.
    #[error("client certificates need authorities of their own, not the platform's")]
    PlatformForClients,
}
