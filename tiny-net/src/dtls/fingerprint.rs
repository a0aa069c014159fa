//! Fingerprints of certificates, as session descriptions carry them (RFC 8122 §5).
//!
//! SHA-1 and MD5 are no evidence any more: a fingerprint made by them cannot be held here.

use ring::digest;

/// The hash function of a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hash {
    /// What everyone has (RFC 8122 §5.1).
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Why a fingerprint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// A hash function that is broken or unknown.
    #[error("fingerprints by {0} are not accepted")]
    Hash(String),
    /// Not a hash function and pairs of hexadecimal digits with colons.
    #[error("malformed fingerprint")]
    Malformed,
}

/// The hash of a certificate, written `sha-256 AB:CD:…`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

impl Hash {
    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// Its name in session descriptions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(hash: Hash, certificate: &[u8]) -> Self {
        let digest = digest::digest(hash.algorithm(), certificate).as_ref().to_vec();
        Self { hash, digest }
    }

    /// Reads the value of an `a=fingerprint`. Names and digits are taken in either case.
    ///
    /// # Errors
    /// [`FingerprintError`].
    pub fn parse(value: &str) -> Result<Self, FingerprintError> {
        let (name, digits) = value.trim().split_once(' ').ok_or(FingerprintError::Malformed)?;
        let known = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
        let hash = known.into_iter().find(|h| h.name().eq_ignore_ascii_case(name));
        let hash = hash.ok_or_else(|| {
            let shown = name.chars().filter(char::is_ascii_graphic).take(16);
            FingerprintError::Hash(shown.collect())
        })?;
        let octet = |pair: &str| {
            let hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let pairs = digits.trim().split(':').take(hash.algorithm().output_len() + 1);
        let digest: Option<Vec<u8>> = pairs.map(octet).collect();
        match digest {
            Some(digest) if digest.len() == hash.algorithm().output_len() => {
                Ok(Self { hash, digest })
            }
            _ => Err(FingerprintError::Malformed),
        }
    }

    /// The hash itself.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// The hash function that made it.
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

/// RFC 8122 §5.1: of all that are given, those by the strongest hash function count, and one of
/// them must fit. The one that fits.
pub(super) fn matching<'a>(
    given: &'a [Fingerprint],
    certificate: &[u8],
) -> Option<&'a Fingerprint> {
    let strongest = given.iter().map(|f| f.hash).max()?;
    let shown = Fingerprint::of(strongest, certificate);
    given.iter().find(|f| **f == shown)
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.hash.name())?;
        for (n, octet) in self.digest.iter().enumerate() {
            write!(f, "{}{octet:02X}", if n == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
