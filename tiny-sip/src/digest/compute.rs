//! The hashes of RFC 7616 §3.4.

use md5::Md5;
use sha2::{Sha256, Sha512_256};
use tiny_sak::Secret;

/// A digest algorithm (RFC 8760 §2.1), plain or with a session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `MD5`: what is meant when none is named.
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`
    Sha512_256,
    /// `SHA-512-256-sess`
    Sha512_256Sess,
    /// `AKAv1-MD5` (RFC 3310): MD5 with what a USIM gives for a password.
    AkaV1Md5,
    /// `AKAv2-MD5` (RFC 4169): the same, bound to the session keys too.
    AkaV2Md5,
}

impl Algorithm {
    const ALL: [Self; 8] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
        Self::AkaV1Md5,
        Self::AkaV2Md5,
    ];

    /// Reads the token of a challenge, in any case; `None` for one that is not known here.
    pub fn parse(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(token))
    }

    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
            Self::AkaV1Md5 => "AKAv1-MD5",
            Self::AkaV2Md5 => "AKAv2-MD5",
        }
    }

    /// Whether the key is bound to nonce and client nonce (`-sess`).
    pub fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// Whether the password comes out of a USIM.
    pub fn is_aka(self) -> bool {
        matches!(self, Self::AkaV1Md5 | Self::AkaV2Md5)
    }

    /// Stronger is more: of what one realm offers, a policy may take the strongest.
    pub(crate) fn strength(self) -> u8 {
        match self {
            Self::Md5 | Self::Md5Sess => 0,
            Self::AkaV1Md5 => 1,
            Self::AkaV2Md5 => 2,
            Self::Sha256 | Self::Sha256Sess => 3,
            Self::Sha512_256 | Self::Sha512_256Sess => 4,
        }
    }

    /// The hash of the pieces joined by colons, in lower-case hexadecimal.
    pub(super) fn hash(self, pieces: &[&[u8]]) -> String {
        match self {
            Self::Md5 | Self::Md5Sess | Self::AkaV1Md5 | Self::AkaV2Md5 => {
                hex(&joined::<Md5>(pieces))
            }
            Self::Sha256 | Self::Sha256Sess => hex(&joined::<Sha256>(pieces)),
            Self::Sha512_256 | Self::Sha512_256Sess => hex(&joined::<Sha512_256>(pieces)),
        }
    }
}

fn joined<D: md5::Digest>(pieces: &[&[u8]]) -> Vec<u8> {
    let mut hasher = D::new();
    for (i, piece) in pieces.iter().enumerate() {
        if i > 0 {
            hasher.update(b":");
        }
        hasher.update(piece);
    }
    hasher.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        text.push(HEX[usize::from(b >> 4)] as char);
        text.push(HEX[usize::from(b & 15)] as char);
    }
    text
}

/// A quality of protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`
    Auth,
    /// `auth-int`: the body is part of the hash.
    AuthInt,
}

impl Qop {
    /// Reads the token, in any case.
    pub fn parse(token: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|q| q.as_str().eq_ignore_ascii_case(token))
    }

    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// The hash of user, realm and password: as good as the password within its realm, so it is kept
/// like one. A server may store it in place of the password.
#[derive(Debug, Clone)]
pub struct Ha1(Secret);

impl Ha1 {
    /// `H(username:realm:password)`, without the session part.
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &Secret) -> Self {
        Self::of_bytes(algorithm, username, realm, password.expose().as_bytes())
    }

    /// The same of a password that is no text: RES of an AKA exchange.
    pub(crate) fn of_bytes(
        algorithm: Algorithm,
        username: &str,
        realm: &str,
        password: &[u8],
    ) -> Self {
        let pieces = [username.as_bytes(), realm.as_bytes(), password];
        Self(Secret::from(algorithm.hash(&pieces)))
    }

    /// From its hexadecimal form, as a server stores it.
    pub fn from_hex(hex: &str) -> Self {
        Self(Secret::from(hex.to_ascii_lowercase()))
    }
}

/// What goes into a response, beside the key.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The `uri` parameter of the credentials.
    pub uri: &'a str,
    /// The server's nonce.
    pub nonce: &'a str,
    /// The client's nonce; used with a qop or a session algorithm.
    pub cnonce: &'a str,
    /// The nonce count; used with a qop.
    pub nc: u32,
    /// The quality of protection; `None` is the form of RFC 2069.
    pub qop: Option<Qop>,
    /// The body; used with `auth-int`.
    pub body: &'a [u8],
}

/// The `response` of RFC 7616 §3.4.1.
pub fn response(algorithm: Algorithm, ha1: &Ha1, inputs: &Inputs<'_>) -> String {
    let (nonce, cnonce) = (inputs.nonce.as_bytes(), inputs.cnonce.as_bytes());
    let ha1 = ha1.0.expose().as_bytes();
    // §3.4.2: a session's key is bound to both nonces.
    let session;
    let key = if algorithm.is_session() {
        session = Secret::from(algorithm.hash(&[ha1, nonce, cnonce]));
        session.expose().as_bytes()
    } else {
        ha1
    };
    let (method, uri) = (inputs.method.as_bytes(), inputs.uri.as_bytes());
    // §3.4.3
    let ha2 = if inputs.qop == Some(Qop::AuthInt) {
        let body = algorithm.hash(&[inputs.body]);
        algorithm.hash(&[method, uri, body.as_bytes()])
    } else {
        algorithm.hash(&[method, uri])
    };
    match inputs.qop {
        None => algorithm.hash(&[key, nonce, ha2.as_bytes()]),
        Some(qop) => {
            let nc = format!("{:08x}", inputs.nc);
            let qop = qop.as_str().as_bytes();
            algorithm.hash(&[key, nonce, nc.as_bytes(), cnonce, qop, ha2.as_bytes()])
        }
    }
}
