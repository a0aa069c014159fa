//! Long-term credentials (RFC 8489 §9.2): the challenge of a server, what is answered to it, and when
//! not to answer. A server whose nonce promises password algorithms that the message lacks is taken for
//! an attacker's work (§9.2.1) and not answered.

use super::attr;
use super::builder::Builder;
use super::integrity::{Integrity, Key, userhash};
use super::message::Message;
use bytes::Bytes;
use tiny_sak::Secret;

/// How a long-term key is made of the password (RFC 8489 §18.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// MD5: what every server understands.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// The number in the registry.
    pub fn number(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Md5),
            2 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// The longest realm, in octets, and nonce (§14.9, §14.10 have 763).
const LONGEST: usize = 763;
/// The first part of the nonce of a server that obeys RFC 8489 (§9.2).
const COOKIE: &[u8] = b"obMatJos2";

/// A server's challenge: a 401 or 438.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: Bytes,
    // As received: it is sent back with the same content.
    algorithms: Option<Bytes>,
    algorithm: Option<Algorithm>,
    anonymous: bool,
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// No realm or no nonce, or one too long.
    #[error("the server's challenge lacks a realm or a nonce")]
    Incomplete,
    /// The nonce promises password algorithms, and none are there: a bid-down attack (§9.2.1).
    #[error("somebody took the password algorithms out of the server's challenge")]
    BidDown,
    /// None of the algorithms is known here.
    #[error("the server wants a password algorithm that is not known here")]
    NoAlgorithm,
}

/// Whether a nonce sets a feature bit; bit 0 is the most significant one (§9.2).
fn feature(nonce: &[u8], bit: u32) -> bool {
    let Some(code) = nonce.strip_prefix(COOKIE).and_then(|rest| rest.get(..4)) else {
        return false;
    };
    let mut features = 0u32;
    for letter in code {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return false,
        };
        features = features << 6 | u32::from(value);
    }
    features >> (23 - bit) & 1 == 1
}

impl Challenge {
    /// Reads the challenge of a 401 or 438.
    ///
    /// # Errors
    /// [`ChallengeError`] where the request must not be tried again.
    pub fn read(message: &Message<'_>) -> Result<Self, ChallengeError> {
        let nonce = message.get(attr::NONCE).filter(|n| n.len() <= LONGEST);
        let realm = message.text(attr::REALM).filter(|r| r.len() <= LONGEST);
        let (Some(nonce), Some(realm)) = (nonce, realm) else {
            return Err(ChallengeError::Incomplete);
        };
        let algorithms = message.get(attr::PASSWORD_ALGORITHMS);
        let algorithm = match algorithms {
            None if feature(nonce, 0) => return Err(ChallengeError::BidDown),
            None => None,
            // §9.2.5: the first that is understood.
            Some(list) => Some(first_known(list).ok_or(ChallengeError::NoAlgorithm)?),
        };
        Ok(Self {
            realm: realm.to_owned(),
            nonce: Bytes::copy_from_slice(nonce),
            algorithms: algorithms.map(Bytes::copy_from_slice),
            algorithm,
            anonymous: feature(nonce, 1),
        })
    }

    // The realm as it goes into keys, without quotes (§9.2.2).
    fn bare(&self) -> &str {
        self.realm.trim_matches('"')
    }
}

// Each entry: number, length of parameters, parameters with padding (§14.11, §14.12).
fn first_known(mut list: &[u8]) -> Option<Algorithm> {
    while let Some(head) = list.get(..4) {
        let number = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        // Both algorithms have no parameters.
        if let Some(algorithm) = Algorithm::from_number(number).filter(|_| length == 0) {
            return Some(algorithm);
        }
        list = list.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// A user at a server, with what the server last asked for.
#[derive(Debug, Clone)]
pub struct LongTerm {
    username: String,
    password: Secret,
    challenge: Option<(Challenge, Key)>,
}

impl LongTerm {
    /// Before the first request, which carries none of this (§9.2.3.1).
    pub fn new(username: &str, password: Secret) -> Self {
        Self { username: username.to_owned(), password, challenge: None }
    }

    /// Takes a challenge. False where it brings nothing new for a 401, so that trying again would
    /// be the same again (§9.2.5).
    pub fn challenged(&mut self, challenge: Challenge) -> bool {
        let new = self.challenge.as_ref().is_none_or(|(old, _)| {
            (&old.realm, &old.algorithms) != (&challenge.realm, &challenge.algorithms)
        });
        let algorithm = challenge.algorithm.unwrap_or(Algorithm::Md5);
        let key = Key::long_term(&self.username, challenge.bare(), &self.password, algorithm);
        self.challenge = Some((challenge, key));
        new
    }

    /// Whether a server has challenged, so that requests carry credentials.
    pub fn is_challenged(&self) -> bool {
        self.challenge.is_some()
    }

    /// Which algorithm makes the key.
    pub fn algorithm(&self) -> Algorithm {
        self.challenge.as_ref().and_then(|c| c.0.algorithm).unwrap_or(Algorithm::Md5)
    }

    /// Adds the credentials and the integrity to a request; without a challenge so far, nothing.
    pub fn sign(&self, request: Builder) -> Builder {
        let Some((challenge, key)) = &self.challenge else { return request };
        let request = if challenge.anonymous {
            request.attribute(attr::USERHASH, &userhash(&self.username, challenge.bare()))
        } else {
            request.text(attr::USERNAME, &self.username)
        };
        let request =
            request.text(attr::REALM, &challenge.realm).attribute(attr::NONCE, &challenge.nonce);
        let Some((list, algorithm)) = challenge.algorithms.as_ref().zip(challenge.algorithm) else {
            return request.integrity(key);
        };
        // §9.2.5: with a choice of algorithms, only the newer integrity.
        request
            .attribute(attr::PASSWORD_ALGORITHMS, list)
            .u16(attr::PASSWORD_ALGORITHM, algorithm.number())
            .integrity_sha256(key)
    }

    /// Checks a response to a signed request. Where the server gave a choice of algorithms, only
    /// MESSAGE-INTEGRITY-SHA256 counts.
    pub fn verify(&self, response: &Message<'_>) -> Integrity {
        match &self.challenge {
            None => Integrity::Absent,
            Some((challenge, key)) if challenge.algorithm.is_some() => response.verify_sha256(key),
            Some((_, key)) => response.verify(key),
        }
    }
}
