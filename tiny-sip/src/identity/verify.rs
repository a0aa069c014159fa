//! Verifying an Identity header field (RFC 8224 §6.2, RFC 8588 §5): the claims against the request,
//! the time, the certificate against the anchors, the signature. The first fault is the answer.

use super::cert::{Authority, CertificateError, Leaf, TrustAnchors, chain};
use super::header::IdentityHeader;
use super::passport::{Attestation, Party, Passport};
use crate::base64::{Alphabet, decode};
use crate::header::HeaderName;
use crate::message::Message;
use std::time::Duration;

/// A caller whose identity is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCaller {
    /// Who calls.
    pub orig: Party,
    /// SHAKEN's attestation; `None` for a base PASSporT.
    pub attest: Option<Attestation>,
    /// SHAKEN's origination identifier.
    pub origid: Option<String>,
    /// When it was signed, in seconds since 1970.
    pub iat: i64,
    /// Whom the certificate speaks for: the entry that covers the caller.
    pub authority: Authority,
    /// Where the certificate came from.
    pub x5u: String,
}

/// Why a caller's identity is not proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no Identity header field that this build understands.
    #[error("the call carries no identity")]
    Missing,
    /// It cannot be read.
    #[error("the identity cannot be read: {0}")]
    Malformed(&'static str),
    /// It was signed too long ago, or in the future.
    #[error("the identity was signed {0} s away from now")]
    Stale(i64),
    /// The certificate could not be had.
    #[error("the certificate could not be had")]
    NoCertificate,
    /// The certificate is not good.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    /// The certificate does not speak for this caller.
    #[error("the certificate does not speak for the caller")]
    NotAuthorised,
    /// The claims are those of another call.
    #[error("the identity is that of another call: {0}")]
    Mismatch(&'static str),
    /// The signature does not fit.
    #[error("the signature is wrong")]
    Signature,
}

impl IdentityError {
    /// The status that a strict verifier refuses the call with (RFC 8224 §6.2.2), and its reason.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Missing => (428, "Use Identity Header"),
            Self::Stale(_) => (403, "Stale Date"),
            Self::NoCertificate => (436, "Bad Identity Info"),
            Self::Certificate(_) | Self::NotAuthorised => (437, "Unsupported Credential"),
            Self::Malformed(_) | Self::Mismatch(_) | Self::Signature => {
                (438, "Invalid Identity Header")
            }
        }
    }
}

/// What a request says about its two ends, as far as an identity is held against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// P-Asserted-Identity and From, in canonical form.
    pub callers: Vec<Party>,
    /// To.
    pub called: Party,
    /// Date, in seconds since 1970.
    pub date: Option<i64>,
    /// The Identity header field.
    pub identity: String,
    /// Where its certificate is.
    pub info: String,
}

impl Facts {
    /// Reads a request: the first of its Identity header fields that this build understands.
    ///
    /// # Errors
    /// [`IdentityError::Missing`] or [`IdentityError::Malformed`].
    pub fn of(request: &Message) -> Result<Self, IdentityError> {
        let mut broken = false;
        let found = request.headers(HeaderName::Identity).find_map(|value| {
            match IdentityHeader::parse(value) {
                Ok(header) if header.is_known() => Some((value, header)),
                Ok(_) => None,
                Err(_) => {
                    broken = true;
                    None
                }
            }
        });
        let Some((value, header)) = found else {
            return Err(if broken {
                IdentityError::Malformed("it does not follow the grammar")
            } else {
                IdentityError::Missing
            });
        };
        let from = request.from().ok().and_then(|from| Party::of(from.uri.as_str()));
        let asserted = request.headers(HeaderName::PAssertedIdentity).flat_map(|value| {
            crate::header::NameAddrs::new(value).flatten().filter_map(|a| Party::of(a.uri.as_str()))
        });
        let callers: Vec<_> = asserted.take(4).chain(from).collect();
        let called = request.to().ok().and_then(|to| Party::of(to.uri.as_str()));
        let called = called.ok_or(IdentityError::Malformed("To has no URI that can be signed"))?;
        Ok(Self {
            callers,
            called,
            date: request.date().and_then(Result::ok).map(|date| date.unix()),
            info: header.info.to_owned(),
            identity: value.to_owned(),
        })
    }
}

/// Verifies an identity. `certificate` is what was fetched from [`Facts::info`] (PEM with its chain,
/// or one DER); `now` is the time of day in seconds since 1970; `max_age` how far the signing may lie
/// from it (RFC 8224 §4: 60 s is what operators take).
///
/// # Errors
/// The first fault.
pub fn verify(
    facts: &Facts,
    certificate: &[u8],
    anchors: &TrustAnchors,
    now: i64,
    max_age: Duration,
) -> Result<VerifiedCaller, IdentityError> {
    let malformed = |_| IdentityError::Malformed("it does not follow the grammar");
    let header = IdentityHeader::parse(&facts.identity).map_err(malformed)?;
    let signature = decode(Alphabet::Url, header.signature)
        .ok_or(IdentityError::Malformed("its signature is no base64"))?;
    let (passport, input) = match header.parts {
        Some((head, payload)) => {
            let passport = Passport::parse(head, payload).map_err(IdentityError::Malformed)?;
            // "the 'x5u' … MUST" lead where `info` does (RFC 8224 §4.1).
            if passport.x5u != header.info {
                return Err(IdentityError::Mismatch("info and x5u differ"));
            }
            (passport, format!("{head}.{payload}"))
        }
        None if header.ppt.is_some() => {
            return Err(IdentityError::Malformed("a SHAKEN PASSporT has no compact form"));
        }
        None => {
            // §4.1.1: made again from the request.
            let iat = facts.date.ok_or(IdentityError::Malformed("compact, but without Date"))?;
            let orig = facts.callers.last().cloned();
            let orig =
                orig.ok_or(IdentityError::Malformed("From has no URI that can be signed"))?;
            let (dest, x5u) = (vec![facts.called.clone()], header.info.to_owned());
            let passport = Passport { orig, dest, iat, attest: None, origid: None, x5u };
            let input = passport.signing_input();
            (passport, input)
        }
    };
    if !facts.callers.contains(&passport.orig) {
        return Err(IdentityError::Mismatch("somebody else calls"));
    }
    if !passport.dest.contains(&facts.called) {
        return Err(IdentityError::Mismatch("somebody else is called"));
    }
    let away = now.saturating_sub(passport.iat);
    if away.unsigned_abs() > max_age.as_secs() {
        return Err(IdentityError::Stale(away));
    }
    let chain = chain(certificate)?;
    let leaf = Leaf::trusted(&chain, anchors, now)?;
    let covers = |authority: &&Authority| match &passport.orig {
        Party::Number(number) => authority.covers(number),
        // A number's certificate says nothing about other names.
        Party::Uri(_) => matches!(authority, Authority::Provider(_)),
    };
    let authority = leaf.authority.iter().find(covers).cloned();
    let authority = authority.ok_or(IdentityError::NotAuthorised)?;
    if !leaf.is_signed(input.as_bytes(), &signature) {
        return Err(IdentityError::Signature);
    }
    let Passport { orig, attest, origid, iat, x5u, .. } = passport;
    Ok(VerifiedCaller { orig, attest, origid, iat, authority, x5u })
}
