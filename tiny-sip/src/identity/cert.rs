//! The certificates behind a PASSporT (RFC 8226): a chain up to one of the owner's trust anchors, and
//! the numbers or providers that the leaf speaks for (TNAuthList). Path building is webpki's; ES256
//! signatures are the only ones taken, as SHAKEN's certificates have no others.

use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    TrustAnchor, UnixTime, alg_id,
};
use std::time::Duration;

// A leaf and the longest path that anybody uses.
const MAX_CHAIN: usize = 8;
// Entries of one TNAuthList that are looked at.
const MAX_ENTRIES: usize = 1024;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No path leads from it to a trust anchor at this time.
    #[error("no valid path leads from the certificate to a trust anchor")]
    Untrusted,
    /// It says nothing about telephone numbers or providers (RFC 8226 §9).
    #[error("the certificate has no TNAuthList")]
    NoAuthority,
}

/// Whom a certificate speaks for: an entry of its TNAuthList (RFC 8226 §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// All numbers of a provider, by its code (SPC).
    Provider(String),
    /// Numbers from the first on, this many.
    Range {
        /// Digits.
        first: String,
        /// How many.
        count: u64,
    },
    /// One number.
    Number(String),
}

impl Authority {
    /// Whether it covers a number. A provider's code covers all: which numbers are the provider's is
    /// not to be known from here.
    pub fn covers(&self, number: &str) -> bool {
        match self {
            Self::Provider(_) => true,
            Self::Number(one) => one == number,
            Self::Range { first, count } => {
                let value = |text: &str| text.parse::<u128>().ok();
                let (Some(from), Some(n)) = (value(first), value(number)) else { return false };
                first.len() == number.len() && n >= from && n - from < u128::from(*count)
            }
        }
    }
}

/// The roots that a verifier trusts (the STI-CAs of its country).
#[derive(Debug, Clone, Default)]
pub struct TrustAnchors(Vec<TrustAnchor<'static>>);

impl TrustAnchors {
    /// Reads certificates in PEM, one after the other.
    ///
    /// # Errors
    /// A certificate that cannot be read, or none at all.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let mut anchors = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            let der = der.map_err(|_| CertificateError::Unreadable)?;
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|_| CertificateError::Unreadable)?
                .to_owned();
            anchors.push(anchor);
        }
        if anchors.is_empty() { Err(CertificateError::Unreadable) } else { Ok(Self(anchors)) }
    }
}

/// A leaf that chains up, ready to check a signature.
pub(super) struct Leaf<'a> {
    entity: webpki::EndEntityCert<'a>,
    pub(super) authority: Vec<Authority>,
}

/// Reads what was fetched: PEM with the leaf first, or one certificate in DER.
pub(super) fn chain(data: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = data.windows(10).any(|w| w == b"-----BEGIN");
    let all: Vec<_> = if pem {
        CertificateDer::pem_slice_iter(data)
            .take(MAX_CHAIN)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::Unreadable)?
    } else {
        vec![CertificateDer::from(data.to_vec())]
    };
    if all.is_empty() { Err(CertificateError::Unreadable) } else { Ok(all) }
}

impl<'a> Leaf<'a> {
    pub(super) fn trusted(
        chain: &'a [CertificateDer<'a>],
        anchors: &TrustAnchors,
        now: i64,
    ) -> Result<Self, CertificateError> {
        let (first, rest) = chain.split_first().ok_or(CertificateError::Unreadable)?;
        let entity =
            webpki::EndEntityCert::try_from(first).map_err(|_| CertificateError::Unreadable)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now.max(0).unsigned_abs()));
        // These certificates name no extended use; one that does must not be a TLS server's alone.
        let usage = webpki::KeyUsage::client_auth();
        entity
            .verify_for_usage(&[&Es256], &anchors.0, rest, time, usage, None, None)
            .map_err(|_| CertificateError::Untrusted)?;
        let authority = tn_auth_list(first).ok_or(CertificateError::NoAuthority)?;
        Ok(Self { entity, authority })
    }

    /// Checks r || s (RFC 7518 §3.4).
    pub(super) fn is_signed(&self, input: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        let der = signature.to_der();
        self.entity.verify_signature(&Es256, input, der.as_bytes()).is_ok()
    }
}

/// ECDSA with P-256 and SHA-256.
#[derive(Debug)]
struct Es256;

impl SignatureVerificationAlgorithm for Es256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// id-pe-TNAuthList, 1.3.6.1.5.5.7.1.26.
const TN_AUTH_LIST: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 26];

/// The entries of a certificate's TNAuthList; `None` without one that can be read.
fn tn_auth_list(certificate: &[u8]) -> Option<Vec<Authority>> {
    let (certificate, _) = Der(certificate).enter(0x30)?;
    let (mut fields, _) = certificate.enter(0x30)?;
    let extensions = loop {
        let (tag, content, rest) = fields.next()?;
        if tag == 0xa3 {
            break content;
        }
        fields = rest;
    };
    let (mut extensions, _) = extensions.enter(0x30)?;
    while let Some((0x30, extension, rest)) = extensions.next() {
        extensions = rest;
        let (id, mut after) = extension.enter(0x06)?;
        if id.0 != TN_AUTH_LIST {
            continue;
        }
        // critical BOOLEAN DEFAULT FALSE
        if let Some((0x01, _, rest)) = after.next() {
            after = rest;
        }
        let (value, _) = after.enter(0x04)?;
        let (list, _) = value.enter(0x30)?;
        return entries(list);
    }
    None
}

/// The module has explicit tags (RFC 8226 appendix A).
fn entries(mut list: Der<'_>) -> Option<Vec<Authority>> {
    const IA5: u8 = 0x16;
    let mut all = Vec::new();
    while let Some((tag, entry, rest)) = list.next() {
        list = rest;
        let entry = match tag {
            0xa0 => Authority::Provider(entry.enter(IA5)?.0.text()?),
            0xa1 => {
                let (range, _) = entry.enter(0x30)?;
                let (first, after) = range.enter(IA5)?;
                let (count, _) = after.enter(0x02)?;
                if count.0.is_empty() || count.0.len() > 8 || count.0[0] & 0x80 != 0 {
                    return None;
                }
                let count = count.0.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
                Authority::Range { first: first.text()?, count }
            }
            0xa2 => Authority::Number(entry.enter(IA5)?.0.text()?),
            _ => return None,
        };
        all.push(entry);
        if all.len() >= MAX_ENTRIES {
            break;
        }
    }
    (list.0.is_empty() || all.len() >= MAX_ENTRIES).then_some(all).filter(|all| !all.is_empty())
}

/// A piece of DER that is walked, not copied.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Tag, content and what follows.
    fn next(self) -> Option<(u8, Der<'a>, Der<'a>)> {
        let (tag, rest) = self.0.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x83 => {
                let (octets, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (octets.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((*tag, Der(content), Der(rest)))
    }

    /// The content of the next element, if it is of this kind.
    fn enter(self, tag: u8) -> Option<(Der<'a>, Der<'a>)> {
        self.next().filter(|(t, ..)| *t == tag).map(|(_, content, rest)| (content, rest))
    }

    fn text(self) -> Option<String> {
        std::str::from_utf8(self.0).ok().map(str::to_owned)
    }
}
