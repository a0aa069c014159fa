//! The grammar of the digest header fields (RFC 3261 §20.6, §20.7, §20.27, §20.28, §20.44): a scheme
//! and `name=value` pairs divided by commas. What they mean is in [`crate::digest`].

use super::{Cursor, Flaw, chars};

/// The `name=value` pairs after the scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthParams<'a>(&'a str);

impl<'a> AuthParams<'a> {
    /// Reads pairs divided by commas, as in Authentication-Info (which has no scheme).
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        loop {
            while cursor.eat_spaced(b',') {}
            if cursor.peek().is_none() {
                return Ok(Self(text));
            }
            Self::pair(&mut cursor)?;
            cursor.blanks();
            if !matches!(cursor.peek(), None | Some(b',')) {
                return Err(Flaw::Trailing);
            }
        }
    }

    fn pair(cursor: &mut Cursor<'a>) -> Result<(&'a str, &'a str), Flaw> {
        let name = cursor.token()?;
        if !cursor.eat_spaced(b'=') {
            return Err(Flaw::Param);
        }
        let value = if cursor.peek() == Some(b'"') {
            cursor.quoted()?
        } else {
            let value = cursor.run(chars::VALUE);
            if value.is_empty() {
                return Err(Flaw::Param);
            }
            value
        };
        Ok((name, value))
    }

    /// In order; values without quotes, escapes kept. It ends where the text is no pair.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || {
            while cursor.eat_spaced(b',') {}
            Self::pair(&mut cursor).ok()
        })
    }

    /// The first value of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The text after the scheme.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

fn scheme_and_params(text: &str) -> Result<(&str, AuthParams<'_>), Flaw> {
    let mut cursor = Cursor::new(text);
    cursor.blanks();
    let scheme = cursor.token()?;
    if !matches!(cursor.peek(), None | Some(b' ' | b'\t')) {
        return Err(Flaw::Token);
    }
    cursor.blanks();
    let rest = cursor.rest();
    // Another scheme may have a grammar of its own (RFC 7235 `token68`): it is not looked into.
    if scheme.eq_ignore_ascii_case("Digest") {
        return Ok((scheme, AuthParams::parse(rest)?));
    }
    Ok((scheme, AuthParams(rest)))
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $key:literal)*) => {
        $($(#[$doc])* pub fn $name(&self) -> Option<&'a str> { self.params.get($key) })*
    };
}

/// A challenge: the value of WWW-Authenticate or Proxy-Authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// `Digest`, or another one that is not understood here.
    pub scheme: &'a str,
    /// Its parameters.
    pub params: AuthParams<'a>,
}

impl<'a> Challenge<'a> {
    /// Reads one header line.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let (scheme, params) = scheme_and_params(text)?;
        Ok(Self { scheme, params })
    }

    /// Whether the scheme is `Digest`.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    texts! {
        /// The protection space, escapes kept.
        realm "realm"
        /// The server's nonce.
        nonce "nonce"
        /// To be returned as it came.
        opaque "opaque"
        /// The algorithm's token; MD5 when absent.
        algorithm "algorithm"
        /// The list of qualities of protection.
        qop "qop"
        /// The protection space's URIs.
        domain "domain"
    }

    /// Whether only the nonce was too old, so that no new password is needed.
    pub fn stale(&self) -> bool {
        self.params.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
    }

    /// Whether the server takes hashed user names (RFC 7616 §3.4.4).
    pub fn userhash(&self) -> bool {
        self.params.get("userhash").is_some_and(|hash| hash.eq_ignore_ascii_case("true"))
    }
}

/// Credentials: the value of Authorization or Proxy-Authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// `Digest`, or another one that is not understood here.
    pub scheme: &'a str,
    /// Its parameters.
    pub params: AuthParams<'a>,
}

impl<'a> Credentials<'a> {
    /// Reads one header line.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let (scheme, params) = scheme_and_params(text)?;
        Ok(Self { scheme, params })
    }

    /// Whether the scheme is `Digest`.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    texts! {
        /// The user, or its hash; escapes kept.
        username "username"
        /// The protection space, escapes kept.
        realm "realm"
        /// The server's nonce.
        nonce "nonce"
        /// The request's URI as the client put it into the hash.
        uri "uri"
        /// The hash, in hexadecimal.
        response "response"
        /// The algorithm's token; MD5 when absent.
        algorithm "algorithm"
        /// The client's nonce.
        cnonce "cnonce"
        /// The server's opaque value.
        opaque "opaque"
        /// The quality of protection used.
        qop "qop"
        /// The nonce count, eight hexadecimal digits.
        nc "nc"
    }

    /// Whether the user name is hashed.
    pub fn userhash(&self) -> bool {
        self.params.get("userhash").is_some_and(|hash| hash.eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_keeps_its_commas() {
        let c = Challenge::parse(
            r#"Digest realm="a, \"b\"", qop="auth,auth-int" ,nonce="x=", stale=TRUE,algorithm=MD5"#,
        )
        .unwrap();
        assert!(c.is_digest() && c.stale());
        assert_eq!(
            (c.realm(), c.qop(), c.nonce()),
            (Some(r#"a, \"b\""#), Some("auth,auth-int"), Some("x="))
        );
        assert_eq!((c.algorithm(), c.opaque()), (Some("MD5"), None));
    }

    #[test]
    fn unknown_schemes_are_kept_opaque_and_broken_digests_refused() {
        let c = Credentials::parse("NoOneKnowsThisScheme opaque-data=here").unwrap();
        assert!(!c.is_digest());
        assert_eq!(Credentials::parse("Bearer abc==").unwrap().params.as_str(), "abc==");
        assert!(Credentials::parse("Digest username=\"a").is_err());
        assert!(Credentials::parse("Digest username").is_err());
        assert!(Credentials::parse("").is_err());
    }
}
