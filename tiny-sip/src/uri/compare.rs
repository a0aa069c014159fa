//! When two URIs are the same (RFC 3261 §19.1.4, RFC 3966 §5).

use super::{Scheme, Uri, unescape};
use crate::header::{Param, chars};

const MAX_PARTS: usize = 64;

pub(super) fn equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    if a.scheme != b.scheme {
        return false;
    }
    // The comparison below is quadratic in the number of parts: hostile lists are compared as text.
    if [a, b].iter().any(|uri| uri.params().iter().count() + uri.headers().count() > MAX_PARTS) {
        return a.as_str() == b.as_str();
    }
    match a.scheme {
        Scheme::Sip | Scheme::Sips => sip(a, b),
        Scheme::Tel => tel(a, b),
        Scheme::Other => {
            let (scheme_a, scheme_b) = (a.scheme_str(), b.scheme_str());
            scheme_a.eq_ignore_ascii_case(scheme_b)
                && a.as_str()[scheme_a.len()..] == b.as_str()[scheme_b.len()..]
        }
    }
}

fn sip(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    same_userinfo(a.userinfo(), b.userinfo())
        && same_host(a, b)
        && a.port == b.port
        && params_agree(a, b)
        && params_agree(b, a)
        && headers_within(a, b)
        && headers_within(b, a)
}

// Case-sensitive; an escape equals the character it stands for. A colon divides user and password
// and is not equal to an escaped one.
fn same_userinfo(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let split =
                |text: &str| text.split_once(':').map_or(text.len(), |(user, _)| user.len());
            let (at_a, at_b) = (split(a), split(b));
            (at_a == a.len()) == (at_b == b.len())
                && same_escaped(&a[..at_a], &b[..at_b], false)
                && same_escaped(&a[at_a..], &b[at_b..], false)
        }
        _ => false,
    }
}

fn same_host(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.host().eq_ignore_ascii_case(b.host())
        || matches!((a.ip(), b.ip()), (Some(ip_a), Some(ip_b)) if ip_a == ip_b)
}

/// Equality after one pass of unescaping. An escaped reserved character is not the same as the
/// plain one, since only the latter divides (RFC 2396 §2.2).
fn same_escaped(a: &str, b: &str, any_case: bool) -> bool {
    let (mut a, mut b) = (Units(a.as_bytes()), Units(b.as_bytes()));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) => {
                let same = if any_case { x.0.eq_ignore_ascii_case(&y.0) } else { x.0 == y.0 };
                if !same || x.1 != y.1 {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

// Bytes, each with whether it is an escaped reserved character.
struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    type Item = (u8, bool);
    fn next(&mut self) -> Option<(u8, bool)> {
        let (&first, rest) = self.0.split_first()?;
        if first == b'%' && chars::is_escape(self.0, 0) {
            let byte = super::escape::digit(self.0[1]) << 4 | super::escape::digit(self.0[2]);
            self.0 = &self.0[3..];
            return Some((byte, b";/?:@&=+$,".contains(&byte)));
        }
        self.0 = rest;
        Some((first, false))
    }
}

/// Every parameter of `a` that `b` has too must match; those that change where a request goes, or
/// whom it means, must be in both.
fn params_agree(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    a.params().iter().all(|p| {
        let mut named = all_named(b, p.name).peekable();
        if named.peek().is_none() {
            return !DECISIVE.iter().any(|name| p.name.eq_ignore_ascii_case(name));
        }
        // A name may not occur twice; where one does, any of its values will do.
        let any_case = !p.name.eq_ignore_ascii_case("method");
        let value = p.value.unwrap_or_default();
        named.any(|q| same_escaped(value, q.value.unwrap_or_default(), any_case))
    })
}

fn all_named<'a>(uri: &Uri<'a>, name: &str) -> impl Iterator<Item = Param<'a>> {
    uri.params().iter().filter(move |p| same_escaped(p.name, name, true))
}

/// Header parts are never ignored: each of `a` must be in `b` with the same value.
fn headers_within(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.headers().count() == b.headers().count()
        && a.headers().all(|(name, value)| {
            b.headers().any(|(n, v)| same_escaped(name, n, true) && same_escaped(value, v, false))
        })
}

// RFC 3966 §5: visual separators do not count, parameters in any order and all of them do.
fn tel(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let number = |uri: &Uri<'_>| -> Vec<u8> {
        let user = uri.user().unwrap_or_default();
        user.bytes()
            .filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')'))
            .map(|b| b.to_ascii_lowercase())
            .collect()
    };
    let within = |a: &Uri<'_>, b: &Uri<'_>| {
        a.params().iter().all(|p| {
            let same_value = |q: Param<'_>| {
                // A context is a global number or a domain name, in which dots do count.
                let phone = p.name.eq_ignore_ascii_case("ext")
                    || p.value.is_some_and(|value| value.starts_with('+'));
                let plain = |text: &str| -> Vec<u8> {
                    unescape(text)
                        .iter()
                        .filter(|b| !phone || !matches!(b, b'-' | b'.' | b'(' | b')'))
                        .map(|b| b.to_ascii_lowercase())
                        .collect()
                };
                plain(p.value.unwrap_or_default()) == plain(q.value.unwrap_or_default())
            };
            all_named(b, p.name).any(same_value)
        })
    };
    number(a) == number(b) && within(a, b) && within(b, a)
}
