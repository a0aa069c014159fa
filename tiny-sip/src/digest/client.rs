//! The client: from a challenge to credentials, and on to the next request without a new challenge.

use super::compute::{Algorithm, Ha1, Inputs, Qop, response};
use crate::base64::{Alphabet, encode};
use crate::header::{AuthParams, Challenge, Credentials, quote, unquote};
use tiny_sak::Secret;

/// One accepted challenge: realm, nonce and how often the nonce was used. It answers for as many
/// requests as the server takes the nonce (RFC 7616 §3.4, RFC 3261 §22.3).
#[derive(Debug, Clone)]
pub struct Session {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    // Whether the challenge named it, so that the credentials do too.
    algorithm_named: bool,
    qop: Option<Qop>,
    userhash: bool,
    stale: bool,
    count: u32,
    // The session algorithms bind their key to the first client nonce.
    first_cnonce: Option<String>,
}

/// What an answer is made of, beside the challenge.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The user.
    pub username: &'a str,
    /// Its password.
    pub password: &'a Secret,
    /// The request's method.
    pub method: &'a str,
    /// The request's URI, as in its request line.
    pub uri: &'a str,
    /// The request's body.
    pub body: &'a [u8],
    /// A fresh random token (`tiny_sak::id::cnonce`).
    pub cnonce: &'a str,
}

/// Which quality of protection to take where a challenge leaves the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QopPolicy {
    /// `auth` where it is offered.
    #[default]
    PreferAuth,
    /// `auth-int` where it is offered: the body is protected.
    PreferAuthInt,
    /// Nothing but `auth-int`; challenges without it are not answered.
    RequireAuthInt,
}

impl Session {
    /// Takes up a challenge. `None` when it is not one that can be answered: another scheme, an
    /// unknown algorithm, only unknown qops, no realm or no nonce. Where several challenges of one
    /// realm come, the first that gives a session is the one to take (RFC 8760 §2.3).
    ///
    /// `auth` is preferred to `auth-int`: the latter breaks where a border element changes bodies.
    pub fn new(challenge: &Challenge<'_>) -> Option<Self> {
        Self::with_qop(challenge, QopPolicy::PreferAuth)
    }

    /// The same with another choice of the quality of protection.
    pub fn with_qop(challenge: &Challenge<'_>, policy: QopPolicy) -> Option<Self> {
        if !challenge.is_digest() {
            return None;
        }
        let algorithm = match challenge.algorithm() {
            None => Algorithm::Md5,
            Some(token) => Algorithm::parse(token)?,
        };
        let qop = match challenge.qop() {
            None if policy == QopPolicy::RequireAuthInt => return None,
            None => None,
            Some(list) => {
                let offered =
                    |qop: Qop| list.split(',').any(|token| Qop::parse(token.trim()) == Some(qop));
                match (offered(Qop::Auth), offered(Qop::AuthInt), policy) {
                    (_, true, QopPolicy::PreferAuthInt | QopPolicy::RequireAuthInt) => {
                        Some(Qop::AuthInt)
                    }
                    (_, _, QopPolicy::RequireAuthInt) | (false, false, _) => return None,
                    (true, ..) => Some(Qop::Auth),
                    (false, ..) => Some(Qop::AuthInt),
                }
            }
        };
        Some(Self {
            realm: unquote(challenge.realm()?).into_owned(),
            nonce: challenge.nonce()?.to_owned(),
            opaque: challenge.opaque().map(str::to_owned),
            algorithm,
            algorithm_named: challenge.algorithm().is_some(),
            qop,
            userhash: challenge.userhash(),
            stale: challenge.stale(),
            count: 0,
            first_cnonce: None,
        })
    }

    /// The protection space.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The server's nonce.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The quality of protection that is used.
    pub fn qop(&self) -> Option<Qop> {
        self.qop
    }

    /// Whether the challenge said that only the nonce was too old: the same password may be tried
    /// again. Otherwise a second challenge after an answer means that the password is wrong.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// How often the nonce was used.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes over the `nextnonce` of an Authentication-Info (RFC 7616 §3.5).
    pub fn set_next_nonce(&mut self, nonce: &str) {
        self.nonce = nonce.to_owned();
        self.count = 0;
        self.first_cnonce = None;
    }

    /// The value of Authorization or Proxy-Authorization for one request. Counts the nonce up.
    pub fn authorize(&mut self, answer: &Answer<'_>) -> String {
        let ha1 = Ha1::new(self.algorithm, answer.username, &self.realm, answer.password);
        self.authorize_with(&ha1, answer, None)
    }

    /// The same with a key made before; the password of `answer` is not looked at. `auts` asks the
    /// home network of a USIM to synchronise (RFC 3310 §3.4).
    pub(crate) fn authorize_with(
        &mut self,
        ha1: &Ha1,
        answer: &Answer<'_>,
        auts: Option<&[u8; 14]>,
    ) -> String {
        self.count = self.count.saturating_add(1);
        let cnonce = if self.algorithm.is_session() {
            self.first_cnonce.get_or_insert_with(|| answer.cnonce.to_owned()).as_str()
        } else {
            answer.cnonce
        };
        let inputs = Inputs {
            method: answer.method,
            uri: answer.uri,
            nonce: &self.nonce,
            cnonce,
            nc: self.count,
            qop: self.qop,
            body: answer.body,
        };
        let response = response(self.algorithm, ha1, &inputs);
        let username = if self.userhash {
            self.algorithm.hash(&[answer.username.as_bytes(), self.realm.as_bytes()])
        } else {
            answer.username.to_owned()
        };
        let mut value = String::with_capacity(320);
        let mut put = |text: &str| value.push_str(text);
        put("Digest username=");
        put(&quote(&username));
        put(", realm=");
        put(&quote(&self.realm));
        // Nonce and opaque go back exactly as they came, escapes included.
        put(", nonce=\"");
        put(&self.nonce);
        put("\", uri=");
        put(&quote(answer.uri));
        put(", response=\"");
        put(&response);
        put("\"");
        if self.algorithm_named {
            put(", algorithm=");
            put(self.algorithm.as_str());
        }
        if let Some(qop) = self.qop {
            put(", qop=");
            put(qop.as_str());
            put(&format!(", nc={:08x}", self.count));
        }
        if self.qop.is_some() || self.algorithm.is_session() {
            put(", cnonce=");
            put(&quote(cnonce));
        }
        if let Some(opaque) = &self.opaque {
            put(", opaque=\"");
            put(opaque);
            put("\"");
        }
        if let Some(auts) = auts {
            put(", auts=\"");
            put(&encode(Alphabet::Standard, auts));
            put("\"");
        }
        if self.userhash {
            put(", userhash=true");
        }
        value
    }
}

/// What an Authentication-Info says about the server (RFC 7616 §3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProof {
    /// It said nothing.
    None,
    /// It knows the password too.
    Right,
    /// It does not.
    Wrong,
}

/// Checks `rspauth` against the credentials that the request was sent with: as the response is made,
/// but without a method and with the body of the answer.
pub fn check_rspauth(
    info: &AuthParams<'_>,
    sent: &Credentials<'_>,
    algorithm: Algorithm,
    ha1: &Ha1,
    body: &[u8],
) -> ServerProof {
    let Some(given) = info.get("rspauth") else { return ServerProof::None };
    let qop = info.get("qop").or(sent.qop()).and_then(Qop::parse);
    let (Some(uri), Some(nonce)) = (sent.uri(), sent.nonce()) else { return ServerProof::Wrong };
    let nc = sent.nc().and_then(super::parse_nonce_count).unwrap_or_default();
    let cnonce = sent.cnonce().unwrap_or_default();
    // What it names must be what we sent, or an old proof would do.
    let fresh = info.get("cnonce").is_none_or(|c| c == cnonce)
        && info.get("nc").is_none_or(|n| super::parse_nonce_count(n) == Some(nc));
    let uri = unquote(uri);
    let inputs = Inputs { method: "", uri: &uri, nonce, cnonce, nc, qop, body };
    if fresh && response(algorithm, ha1, &inputs).eq_ignore_ascii_case(given) {
        ServerProof::Right
    } else {
        ServerProof::Wrong
    }
}
