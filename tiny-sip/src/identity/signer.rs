//! Signing outgoing INVITEs (RFC 8224 §4, §6.1; RFC 8588): an ES256 key and what it vouches for. The
//! signature is that of RFC 6979, so that no randomness is drawn.

use super::header::is_info;
use super::passport::{Attestation, Party, Passport};
use crate::base64::{Alphabet, encode};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use std::fmt;
use tiny_sak::Secret;

/// How much of the token travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Header, claims and signature.
    #[default]
    Full,
    /// The signature alone; the rest is made again from From, To and Date (RFC 8224 §4.1.1).
    Compact,
}

/// Why a [`Signer`] cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The key is not a P-256 private key in PKCS #8.
    #[error("the key is not a P-256 private key in PKCS #8 PEM")]
    Key,
    /// The certificate's URI cannot stand in `info`.
    #[error("the certificate's URI must be an http or https URI")]
    Certificate,
    /// SHAKEN needs the whole token.
    #[error("a SHAKEN PASSporT has no compact form (RFC 8588)")]
    Compact,
}

/// A key, where its certificate is, and what it says about callers. The key is overwritten on drop.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    x5u: String,
    form: Form,
    shaken: Option<(Attestation, String)>,
}

impl Signer {
    /// A signer of base PASSporTs: a P-256 key in PKCS #8 PEM, and the https URI of its certificate.
    ///
    /// # Errors
    /// A key or URI that cannot be used.
    pub fn new(key: &Secret, certificate: &str) -> Result<Self, SignerError> {
        let key = SigningKey::from_pkcs8_pem(key.expose()).map_err(|_| SignerError::Key)?;
        let web = certificate.starts_with("https://") || certificate.starts_with("http://");
        if !web || !is_info(certificate) {
            return Err(SignerError::Certificate);
        }
        Ok(Self { key, x5u: certificate.to_owned(), form: Form::Full, shaken: None })
    }

    /// Signs SHAKEN PASSporTs: how sure we are of the caller, and a name of where its calls come in
    /// (a UUID).
    ///
    /// # Errors
    /// [`SignerError::Compact`] after [`form`](Self::form) with the compact one.
    pub fn shaken(
        mut self,
        attest: Attestation,
        origid: impl Into<String>,
    ) -> Result<Self, SignerError> {
        if self.form == Form::Compact {
            return Err(SignerError::Compact);
        }
        self.shaken = Some((attest, origid.into()));
        Ok(self)
    }

    /// How much of the token travels.
    ///
    /// # Errors
    /// [`SignerError::Compact`] for a SHAKEN signer.
    pub fn form(mut self, form: Form) -> Result<Self, SignerError> {
        if form == Form::Compact && self.shaken.is_some() {
            return Err(SignerError::Compact);
        }
        self.form = form;
        Ok(self)
    }

    /// The value of Identity for a request from `orig` to `dest`, at `now` (seconds since 1970; the
    /// request's Date must say the same).
    pub fn sign(&self, orig: Party, dest: Vec<Party>, now: i64) -> String {
        let (attest, origid) = self.shaken.clone().unzip();
        let passport = Passport { orig, dest, iat: now, attest, origid, x5u: self.x5u.clone() };
        let input = passport.signing_input();
        let signature: Signature = self.key.sign(input.as_bytes());
        let signature = encode(Alphabet::Url, &signature.to_bytes());
        let token = match self.form {
            Form::Full => format!("{input}.{signature}"),
            Form::Compact => format!("..{signature}"),
        };
        let ppt = passport.ppt().map(|ppt| format!(";ppt=\"{ppt}\"")).unwrap_or_default();
        format!("{token};info=<{}>;alg=ES256{ppt}", self.x5u)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("x5u", &self.x5u).finish_non_exhaustive()
    }
}
