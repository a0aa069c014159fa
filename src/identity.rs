//! Who calls, proved (RFC 8224, RFC 8588): what the application learns of a caller, how strict the
//! agent is, and the certificates that the application fetches for it.

use crate::agent::Shared;
use crate::command::Command;
use std::sync::Arc;
use std::time::Duration;
use tiny_sip::CallKey;
use tiny_sip::identity::{Attestation, IdentityError, TrustAnchors, VerifiedCaller};

/// What the Identity header field of a call has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerIdentity {
    /// Nobody looked: [`Config::identity`](crate::Config::identity) is not set.
    NotChecked,
    /// The caller is who it says.
    Verified(VerifiedCaller),
    /// It is not proved, and why.
    Failed(IdentityError),
}

impl CallerIdentity {
    /// SHAKEN's attestation of a verified caller.
    pub fn attestation(&self) -> Option<Attestation> {
        match self {
            Self::Verified(caller) => caller.attest,
            _ => None,
        }
    }

    /// Whether the caller is proved.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Verified(_))
    }
}

/// What happens to a call whose caller is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityRule {
    /// It rings; [`IncomingCall::caller_identity`](crate::IncomingCall::caller_identity) tells.
    #[default]
    Report,
    /// An identity that is wrong is refused (403, 436, 437, 438); a call without one rings.
    RefuseInvalid,
    /// A call without one is refused too (428).
    Require,
}

/// How callers are verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdentityConfig {
    /// The roots that certificates must lead to.
    pub anchors: TrustAnchors,
    /// What happens to others. Default: they ring.
    pub rule: IdentityRule,
    /// How far the signing may lie from now. Default 60 s (ATIS-1000074).
    pub max_age: Duration,
    /// How long a call waits for its certificate; then there is none (436). Default 5 s.
    pub certificate_timeout: Duration,
    /// Certificates that are remembered, by URI; beyond that the oldest goes. Default 64.
    pub max_certificates: usize,
    /// How long. Default 1 h.
    pub certificate_ttl: Duration,
}

impl IdentityConfig {
    /// Verification against these roots.
    pub fn new(anchors: TrustAnchors) -> Self {
        Self {
            anchors,
            rule: IdentityRule::Report,
            max_age: Duration::from_secs(60),
            certificate_timeout: Duration::from_secs(5),
            max_certificates: 64,
            certificate_ttl: Duration::from_secs(3600),
        }
    }
}

/// A caller's certificate is to be fetched; comes with
/// [`Event::CertificateWanted`](crate::Event::CertificateWanted). The call waits, and nothing else.
/// Dropped unanswered, the certificate counts as not to be had.
#[derive(Debug)]
pub struct CertificateRequest {
    shared: Option<Arc<Shared>>,
    call: CallKey,
    uri: String,
}

impl CertificateRequest {
    pub(crate) fn new(shared: Arc<Shared>, call: CallKey, uri: String) -> Self {
        Self { shared: Some(shared), call, uri }
    }

    /// Where it is: an https URI that the caller's provider names. Whoever calls chooses it: fetch it
    /// with bounds, and not from your own network.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Gives what was found there: PEM with the chain, or one certificate in DER.
    pub fn found(mut self, certificate: impl Into<Vec<u8>>) {
        self.reply(Some(certificate.into()));
    }

    fn reply(&mut self, data: Option<Vec<u8>>) {
        if let Some(shared) = self.shared.take() {
            shared.commands.tell(Command::Certificate { call: self.call, data });
        }
    }
}

impl Drop for CertificateRequest {
    fn drop(&mut self) {
        self.reply(None);
    }
}
