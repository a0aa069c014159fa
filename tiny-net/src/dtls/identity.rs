//! Who we are to DTLS peers: a key and the certificate that it signed itself. Made once and kept, so
//! that the fingerprint stays; wiped on drop, never printed.

use super::certificate::{self, PublicKey};
use super::{Error, Fingerprint, Hash};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A key on P-256 with its certificate. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    key: EcdsaKeyPair,
    // In PKCS #8, for whoever wants to store it.
    stored: Zeroizing<Vec<u8>>,
    certificate: Vec<u8>,
}

fn failed(what: &'static str) -> Error {
    Error::Crypto(what)
}

impl Identity {
    /// A new key, from the randomness of the operating system, and a certificate for it.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| failed("no key could be made"))?;
        let stored = Zeroizing::new(document.as_ref().to_vec());
        let key = read(&stored)?;
        let serial =
            ring::rand::generate::<[u8; 8]>(&random).map_err(|_| failed("no randomness"))?.expose();
        let sign = |message: &[u8]| sign(&key, message);
        let certificate = certificate::self_signed(key.public_key().as_ref(), serial, sign)?;
        Ok(Self(Arc::new(Inner { key, stored, certificate })))
    }

    /// Takes up what [`Identity::key`] and [`Identity::certificate`] gave, or a key and certificate
    /// from elsewhere: the key in PKCS #8, the certificate in DER, both on P-256.
    ///
    /// # Errors
    /// [`Error::Certificate`], [`Error::Crypto`] or, when they do not belong together,
    /// [`Error::Config`].
    pub fn import(key: &[u8], certificate: &[u8]) -> Result<Self, Error> {
        let stored = Zeroizing::new(key.to_vec());
        let key = read(&stored)?;
        match PublicKey::of(certificate)? {
            PublicKey::P256(point) if point == key.public_key().as_ref() => {}
            _ => return Err(Error::Config("the certificate is not of this key")),
        }
        Ok(Self(Arc::new(Inner { key, stored, certificate: certificate.to_vec() })))
    }

    /// The private key in PKCS #8: for storing it where it is safe, nothing else.
    pub fn key(&self) -> &[u8] {
        &self.0.stored
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.0.certificate
    }

    /// What session descriptions say of it: by SHA-256, which also signed it (RFC 8122 §5.1).
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(Hash::Sha256, self.certificate())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        sign(&self.0.key, message)
    }
}

fn read(stored: &[u8]) -> Result<EcdsaKeyPair, Error> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, stored, &SystemRandom::new())
        .map_err(|_| failed("not a key on P-256 in PKCS #8"))
}

fn sign(key: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Error> {
    let signed = key.sign(&SystemRandom::new(), message);
    Ok(signed.map_err(|_| failed("signing"))?.as_ref().to_vec())
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.fingerprint()).finish()
    }
}
