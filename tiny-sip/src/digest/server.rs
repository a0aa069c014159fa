//! The server: building a challenge and checking credentials. Which nonces are good, and which
//! counts were seen, is for the caller to remember.

use super::compute::{Algorithm, Ha1, Inputs, Qop, response};
use crate::header::{Credentials, quote};

/// What a check of credentials found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The response is right.
    Right,
    /// The response is wrong: wrong password, or a request other than the one that was signed.
    Wrong,
    /// A parameter is missing or not understood: 400 (RFC 7616 §3.4).
    Malformed,
}

/// The value of a WWW-Authenticate or Proxy-Authenticate header field.
pub fn challenge(
    algorithm: Algorithm,
    realm: &str,
    nonce: &str,
    qops: &[Qop],
    opaque: Option<&str>,
    stale: bool,
) -> String {
    let mut value = format!("Digest realm={}, nonce={}", quote(realm), quote(nonce));
    if !qops.is_empty() {
        let list: Vec<_> = qops.iter().map(|qop| qop.as_str()).collect();
        value.push_str(&format!(", qop=\"{}\"", list.join(",")));
    }
    value.push_str(", algorithm=");
    value.push_str(algorithm.as_str());
    if let Some(opaque) = opaque {
        value.push_str(&format!(", opaque={}", quote(opaque)));
    }
    if stale {
        value.push_str(", stale=true");
    }
    value
}

/// Checks credentials against the key of their user. The caller has found the user by
/// [`Credentials::username`], compared realm and nonce with its challenge, and compares
/// [`Credentials::uri`] with the Request-URI as far as it trusts the proxies between. The
/// algorithm must be the one challenged with, or a client could choose a weaker one.
pub fn verify(
    credentials: &Credentials<'_>,
    algorithm: Algorithm,
    ha1: &Ha1,
    method: &str,
    body: &[u8],
) -> Verdict {
    let named = match credentials.algorithm() {
        None => Some(Algorithm::Md5),
        Some(token) => Algorithm::parse(token),
    };
    let qop = match credentials.qop() {
        None => Ok(None),
        Some(token) => Qop::parse(token).map(Some).ok_or(()),
    };
    let (Some(named), Ok(qop)) = (named, qop) else { return Verdict::Malformed };
    let (Some(uri), Some(nonce), Some(given)) =
        (credentials.uri(), credentials.nonce(), credentials.response())
    else {
        return Verdict::Malformed;
    };
    let nc = credentials.nc().map(parse_nonce_count);
    let needs_cnonce = qop.is_some() || named.is_session();
    let (cnonce, nc) = match (credentials.cnonce(), nc) {
        (None, _) if needs_cnonce => return Verdict::Malformed,
        (_, None | Some(None)) if qop.is_some() => return Verdict::Malformed,
        (cnonce, nc) => (cnonce.unwrap_or_default(), nc.flatten().unwrap_or_default()),
    };
    if named != algorithm {
        return Verdict::Wrong;
    }
    let inputs = Inputs { method, uri, nonce, cnonce, nc, qop, body };
    if same(response(algorithm, ha1, &inputs).as_bytes(), given.as_bytes()) {
        Verdict::Right
    } else {
        Verdict::Wrong
    }
}

/// The nonce count: eight hexadecimal digits. It must grow with each use of a nonce; one that was
/// seen before is a replay (RFC 7616 §3.4).
pub fn parse_nonce_count(text: &str) -> Option<u32> {
    let valid = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

// In a time that does not tell how much is right. Hexadecimal digits in either case.
fn same(ours: &[u8], given: &[u8]) -> bool {
    let differences = ours.iter().zip(given).fold(0, |d, (a, b)| d | (a ^ b.to_ascii_lowercase()));
    ours.len() == given.len() && differences == 0
}
