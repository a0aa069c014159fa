//! URIs: `sip:` and `sips:` (RFC 3261 §19.1), `tel:` (RFC 3966); any other scheme stays opaque.
//! A view into the text it was read from; it never resolves, follows or normalizes anything.

mod compare;
mod escape;

pub(crate) use escape::escape_param;
pub use escape::{escape_header, escape_user, unescape};

use crate::header::{Flaw, Params, chars};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use tiny_sak::Transport;

/// The scheme of a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other; the URI is opaque.
    Other,
}

/// A URI, borrowed from a message or from the application's text.
#[derive(Clone, Copy)]
pub struct Uri<'a> {
    text: &'a str,
    scheme: Scheme,
    // Offsets into `text`, in this order: user, password, host, port, parameters, header fields.
    // A part that is absent begins where it ends.
    user_end: u32,
    host: u32,
    host_end: u32,
    params: u32,
    headers: u32,
    port: Option<u16>,
    has_user: bool,
}

impl<'a> Uri<'a> {
    /// Reads a URI and nothing around it.
    #[inline]
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let bytes = text.as_bytes();
        let Ok(len) = u32::try_from(bytes.len()) else { return Err(Flaw::TooMany) };
        match bytes {
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', ..] => Self::sip(text, Scheme::Sip, 4),
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', ..] => {
                Self::sip(text, Scheme::Sips, 5)
            }
            [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', ..] => Self::tel(text, len),
            _ => Self::other(text, len),
        }
    }

    #[inline(always)]
    fn sip(text: &'a str, scheme: Scheme, start: usize) -> Result<Self, Flaw> {
        let bytes = text.as_bytes();
        let (mut user_end, mut host, mut has_user) = (start, start, false);
        // A user part that needs a closer look stops this run short of its `@`.
        let run = start + chars::span_short(&bytes[start..], chars::USER);
        let at = match bytes.get(run) {
            None => None,
            Some(b'@') => Some(run),
            Some(_) => memchr::memchr(b'@', &bytes[run..]).map(|n| run + n),
        };
        if let Some(at) = at {
            if at == start
                || bytes[start] == b':'
                || (at > run && !chars::all_escaped(&bytes[run..at], chars::USER))
            {
                return Err(Flaw::User);
            }
            (user_end, host, has_user) = (at, at + 1, true);
        }
        let host_end = host + host_len(&bytes[host..]).ok_or(Flaw::Host)?;
        let mut params = host_end;
        let mut port = None;
        if bytes.get(host_end) == Some(&b':') {
            let (number, len) = leading_port(&bytes[host_end + 1..]).ok_or(Flaw::Port)?;
            (port, params) = (Some(number), host_end + 1 + len);
        }
        let mut headers = params;
        match bytes.get(params) {
            None => {}
            Some(b';') => {
                headers += chars::span(&bytes[headers..], chars::URI_PARAM);
                while let Some(&b) = bytes.get(headers) {
                    if chars::is(b, chars::URI_PARAM) {
                        headers += 1;
                    } else if b == b'%' && chars::is_escape(bytes, headers) {
                        headers += 3;
                    } else if b == b'?' {
                        break;
                    } else {
                        return Err(Flaw::Param);
                    }
                }
            }
            Some(b'?') => {}
            Some(_) => return Err(Flaw::Host),
        }
        if headers < bytes.len() && !chars::all_escaped(&bytes[headers + 1..], chars::URI) {
            return Err(Flaw::UriHeaders);
        }
        Ok(Self {
            text,
            scheme,
            user_end: user_end as u32,
            host: host as u32,
            host_end: host_end as u32,
            params: params as u32,
            headers: headers as u32,
            port,
            has_user,
        })
    }

    // RFC 3966 §3: the number takes the place of the user part.
    #[inline(never)]
    fn tel(text: &'a str, len: u32) -> Result<Self, Flaw> {
        let bytes = text.as_bytes();
        let end = 4 + memchr::memchr(b';', &bytes[4..]).unwrap_or(bytes.len() - 4);
        let number = &bytes[4..end];
        let digits = number.strip_prefix(b"+").unwrap_or(number);
        let global = digits.len() < number.len();
        // A global number has decimal digits; a local one may have hexadecimal digits, `*` and `#`.
        let phone = |b: &u8| match b {
            b'0'..=b'9' | b'-' | b'.' | b'(' | b')' => true,
            b'*' | b'#' | b'a'..=b'f' | b'A'..=b'F' => !global,
            _ => false,
        };
        let some = digits.iter().any(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'#'));
        if !some || !digits.iter().all(phone) {
            return Err(Flaw::Telephone);
        }
        if !chars::all_escaped(&bytes[end..], chars::URI_PARAM) {
            return Err(Flaw::Param);
        }
        let end = end as u32;
        Ok(Self {
            text,
            scheme: Scheme::Tel,
            user_end: end,
            host: end,
            host_end: end,
            params: end,
            headers: len,
            port: None,
            has_user: true,
        })
    }

    #[inline(never)]
    fn other(text: &'a str, len: u32) -> Result<Self, Flaw> {
        let bytes = text.as_bytes();
        let colon = chars::span(bytes, chars::SCHEME);
        if bytes.get(colon) != Some(&b':') || !bytes[0].is_ascii_alphabetic() {
            return Err(Flaw::Scheme);
        }
        if colon + 1 == bytes.len() || !chars::all_escaped(&bytes[colon + 1..], chars::URI) {
            return Err(Flaw::Host);
        }
        Ok(Self {
            text,
            scheme: Scheme::Other,
            user_end: colon as u32,
            host: len,
            host_end: len,
            params: len,
            headers: len,
            port: None,
            has_user: false,
        })
    }

    fn slice(&self, from: u32, to: u32) -> &'a str {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }

    /// The whole URI as written.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The scheme as written, without its colon.
    pub fn scheme_str(&self) -> &'a str {
        self.text.split(':').next().unwrap_or_default()
    }

    /// `sip:` or `sips:`.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// `sips:`.
    pub fn is_sips(&self) -> bool {
        self.scheme == Scheme::Sips
    }

    // User and password together, in a sip: or sips: URI.
    fn userinfo(&self) -> Option<&'a str> {
        let start = match self.scheme {
            Scheme::Sip | Scheme::Tel => 4,
            Scheme::Sips => 5,
            Scheme::Other => return None,
        };
        self.has_user.then(|| self.slice(start, self.user_end))
    }

    /// The user part, escapes kept (see [`unescape`]); of a `tel:` URI the number.
    pub fn user(&self) -> Option<&'a str> {
        let userinfo = self.userinfo()?;
        Some(userinfo.split_once(':').map_or(userinfo, |(user, _)| user))
    }

    /// The password, escapes kept.
    pub fn password(&self) -> Option<&'a str> {
        self.userinfo()?.split_once(':').map(|(_, password)| password)
    }

    /// The host as written, an IPv6 address in brackets; `""` where the scheme has none.
    pub fn host(&self) -> &'a str {
        self.slice(self.host, self.host_end)
    }

    /// The host as an address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        host_ip(self.host())
    }

    /// The port, if written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Host and port as written.
    pub fn host_port(&self) -> &'a str {
        self.slice(self.host, self.params)
    }

    /// The URI parameters.
    pub fn params(&self) -> Params<'a> {
        Params::checked(self.slice(self.params, self.headers))
    }

    /// A URI parameter, escapes kept: `""` when it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params().get(name)
    }

    /// Whether there is a URI parameter of that name.
    pub fn has_param(&self, name: &str) -> bool {
        self.param(name).is_some()
    }

    /// The `transport` parameter, if it names one that is known here.
    pub fn transport(&self) -> Option<Transport> {
        let name = self.param("transport")?;
        if name.eq_ignore_ascii_case("wss") {
            return Some(Transport::Wss);
        }
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws]
            .into_iter()
            .find(|transport| transport.uri_name().eq_ignore_ascii_case(name))
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<&'a str> {
        self.param("maddr")
    }

    /// Whether a Route entry is of a loose router (RFC 3261 §16.4).
    pub fn is_loose_router(&self) -> bool {
        self.has_param("lr")
    }

    /// The header part after `?`, escapes kept; `""` when there is none.
    pub fn headers_str(&self) -> &'a str {
        if self.scheme == Scheme::Other || self.headers as usize >= self.text.len() {
            return "";
        }
        self.slice(self.headers + 1, self.text.len() as u32)
    }

    /// The names and values of the header part, escapes kept.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.headers_str()
            .split('&')
            .filter(|header| !header.is_empty())
            .map(|header| header.split_once('=').unwrap_or((header, "")))
    }

    /// The URI without its header part: what may stand in a Request-URI (RFC 3261 §19.1.5).
    pub fn without_headers(&self) -> &'a str {
        if self.scheme == Scheme::Other { self.text } else { self.slice(0, self.headers) }
    }

    /// Whether both name the same resource by the rules of RFC 3261 §19.1.4, RFC 3966 §5 for
    /// `tel:`; other schemes are compared as text. Not transitive, hence no `PartialEq`.
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        compare::equivalent(self, other)
    }
}

impl fmt::Debug for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text, f)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// The length of the host at the beginning of `bytes`, if there is one.
#[inline]
pub(crate) fn host_len(bytes: &[u8]) -> Option<usize> {
    let len = chars::span(bytes, chars::HOST);
    if len == 0 { ipv6_len(bytes) } else { Some(len) }
}

#[cold]
fn ipv6_len(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b']', bytes.strip_prefix(b"[")?)?;
    let address = std::str::from_utf8(&bytes[1..=end]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(end + 2)
}

/// The port at the beginning of `bytes` and how many digits it has: at least one, and no letter or
/// the like after them.
#[inline]
pub(crate) fn leading_port(bytes: &[u8]) -> Option<(u16, usize)> {
    let (mut port, mut len) = (0u32, 0);
    while let Some(digit @ b'0'..=b'9') = bytes.get(len) {
        port = port * 10 + u32::from(digit - b'0');
        if port > u32::from(u16::MAX) {
            return None;
        }
        len += 1;
    }
    let more = bytes.get(len).is_some_and(|b| chars::is(*b, chars::HOST));
    (len > 0 && !more).then_some((port as u16, len))
}

/// An IP literal, IPv6 with or without brackets.
pub(crate) fn host_ip(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    // Host names begin with a letter far more often than not: spare them the attempt.
    let first = *inner.as_bytes().first()?;
    if !first.is_ascii_hexdigit() && first != b':' {
        return None;
    }
    inner.parse().ok()
}

#[cfg(test)]
mod tests;
