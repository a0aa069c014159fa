//! The key in a peer's certificate (RFC 5280 §4.1), its signatures (RFC 5246 §4.7, RFC 8422 §5.10),
//! and the certificate that we make for ourselves.
//!
//! Nothing else of a certificate is looked at: the fingerprint in the signalling vouches for it.

use super::Error;
use super::wire::{Reader, Write};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
const UTF8: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// The signatures that we verify: ECDSA, RSA as of old, RSA-PSS.
pub(super) const SCHEMES: [u16; 8] =
    [0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601];
/// The signature that we make: ECDSA on P-256 with SHA-256.
pub(super) const OUR_SCHEME: u16 = 0x0403;

/// A public key: a point, or the modulus and exponent in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublicKey<'a> {
    P256(&'a [u8]),
    P384(&'a [u8]),
    Rsa(&'a [u8]),
}

impl<'a> PublicKey<'a> {
    /// The key of a certificate in DER.
    pub(super) fn of(certificate: &'a [u8]) -> Result<Self, Error> {
        subject_key(certificate).ok_or(Error::Certificate)
    }

    /// Checks a signature. The schemes of TLS 1.2 name no curve: that is the key's.
    pub(super) fn verify(self, scheme: u16, message: &[u8], signed: &[u8]) -> Result<(), Error> {
        let (key, algorithm): (&[u8], &dyn VerificationAlgorithm) = match (self, scheme) {
            (Self::P256(key), 0x0403) => (key, &signature::ECDSA_P256_SHA256_ASN1),
            (Self::P256(key), 0x0503) => (key, &signature::ECDSA_P256_SHA384_ASN1),
            (Self::P384(key), 0x0403) => (key, &signature::ECDSA_P384_SHA256_ASN1),
            (Self::P384(key), 0x0503) => (key, &signature::ECDSA_P384_SHA384_ASN1),
            (Self::Rsa(key), 0x0401) => (key, &signature::RSA_PKCS1_2048_8192_SHA256),
            (Self::Rsa(key), 0x0501) => (key, &signature::RSA_PKCS1_2048_8192_SHA384),
            (Self::Rsa(key), 0x0601) => (key, &signature::RSA_PKCS1_2048_8192_SHA512),
            (Self::Rsa(key), 0x0804) => (key, &signature::RSA_PSS_2048_8192_SHA256),
            (Self::Rsa(key), 0x0805) => (key, &signature::RSA_PSS_2048_8192_SHA384),
            (Self::Rsa(key), 0x0806) => (key, &signature::RSA_PSS_2048_8192_SHA512),
            _ => return Err(Error::Signature),
        };
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify(message, signed).map_err(|_| Error::Signature)
    }
}

/// One element of DER: its tag and what is in it.
fn element<'a>(from: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let tag = from.u8()?;
    let length = match from.u8()? {
        short @ 0..=0x7f => usize::from(short),
        long @ 0x81..=0x83 => from.number(usize::from(long & 0x7f))? as usize,
        _ => return None,
    };
    Some((tag, from.take(length)?))
}

fn expect<'a>(from: &mut Reader<'a>, wanted: u8) -> Option<Reader<'a>> {
    let (tag, content) = element(from)?;
    (tag == wanted).then_some(Reader(content))
}

fn subject_key(certificate: &[u8]) -> Option<PublicKey<'_>> {
    let mut certificate = expect(&mut Reader(certificate), SEQUENCE)?;
    let mut fields = expect(&mut certificate, SEQUENCE)?;
    if fields.0.first() == Some(&VERSION) {
        element(&mut fields)?;
    }
    // Serial number, signature algorithm, issuer, validity, subject.
    expect(&mut fields, INTEGER)?;
    for _ in 0..4 {
        expect(&mut fields, SEQUENCE)?;
    }
    let mut info = expect(&mut fields, SEQUENCE)?;
    let mut algorithm = expect(&mut info, SEQUENCE)?;
    let kind = expect(&mut algorithm, OBJECT)?.0;
    // No unused bits at the end.
    let key = expect(&mut info, BIT_STRING)?.0.strip_prefix(&[0])?;
    if kind == RSA {
        return Some(PublicKey::Rsa(key));
    }
    let curve = (kind == EC).then(|| expect(&mut algorithm, OBJECT)).flatten()?.0;
    match curve {
        P256 => Some(PublicKey::P256(key)),
        P384 => Some(PublicKey::P384(key)),
        _ => None,
    }
}

fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        medium @ 0x80..=0xff => out.extend_from_slice(&[0x81, medium as u8]),
        long => {
            out.push(0x82);
            out.u16(long as u16);
        }
    }
    out.extend_from_slice(content);
}

fn nested(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, tag, &parts.concat());
    out
}

/// A certificate of P-256 by itself, signed with `sign`. It has no end (RFC 5280 §4.1.2.5) and says
/// nothing of who uses it.
pub(super) fn self_signed(
    point: &[u8],
    serial: [u8; 8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    let algorithm = nested(SEQUENCE, &[&nested(OBJECT, &[ECDSA_SHA256])]);
    let common = [nested(OBJECT, &[COMMON_NAME]), nested(UTF8, &[b"tiny-ua"])].concat();
    let name = nested(SEQUENCE, &[&nested(SET, &[&nested(SEQUENCE, &[&common])])]);
    let from = nested(GENERALIZED_TIME, &[b"20000101000000Z"]);
    let until = nested(GENERALIZED_TIME, &[b"99991231235959Z"]);
    let key_kind = nested(SEQUENCE, &[&nested(OBJECT, &[EC]), &nested(OBJECT, &[P256])]);
    let key = nested(SEQUENCE, &[&key_kind, &nested(BIT_STRING, &[&[0], point])]);
    // Positive, and of full length.
    let mut serial = serial;
    serial[0] = serial[0] & 0x3f | 0x40;
    let to_sign = nested(
        SEQUENCE,
        &[
            &nested(VERSION, &[&nested(INTEGER, &[&[2]])]),
            &nested(INTEGER, &[&serial]),
            &algorithm,
            &name,
            &nested(SEQUENCE, &[&from, &until]),
            &name,
            &key,
        ],
    );
    let signed = sign(&to_sign)?;
    Ok(nested(SEQUENCE, &[&to_sign, &algorithm, &nested(BIT_STRING, &[&[0], &signed])]))
}
