//! Via (RFC 3261 §20.42): protocol, sent-by and parameters; rport of RFC 3581.

use super::{Cursor, Flaw, Params, chars};
use std::fmt;
use std::net::IpAddr;
use tiny_sak::Transport;

/// One Via element.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// The transport as written: `UDP`, `TCP`, `TLS`, … or any token.
    pub transport: &'a str,
    /// The host of sent-by as written, an IPv6 address in brackets.
    pub host: &'a str,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    branch: Option<&'a str>,
    // What it was read from, and how much of that it is.
    text: &'a str,
    len: usize,
}

impl<'a> Via<'a> {
    /// Reads one element and nothing after it.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        let via = Self::read(&mut cursor)?;
        cursor.end()?;
        Ok(via)
    }

    #[inline]
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Flaw> {
        cursor.blanks();
        let whole = cursor.rest();
        // The usual spelling first; blanks may stand around both slashes.
        if whole.starts_with("SIP/2.0/") {
            cursor.take(8);
        } else {
            let name = cursor.token()?;
            let slash = cursor.eat_spaced(b'/');
            let version = cursor.token()?;
            if !name.eq_ignore_ascii_case("SIP") || !slash || version != "2.0" {
                return Err(Flaw::Version);
            }
            if !cursor.eat_spaced(b'/') {
                return Err(Flaw::Token);
            }
        }
        let transport = cursor.run_short(chars::TOKEN);
        if transport.is_empty() {
            return Err(Flaw::Token);
        }
        if !cursor.peek().is_some_and(chars::is_blank) {
            return Err(Flaw::Host);
        }
        cursor.blanks();
        let host = read_host(cursor)?;
        let port = if cursor.eat_spaced(b':') {
            let (port, len) = crate::uri::leading_port(cursor.bytes()).ok_or(Flaw::Port)?;
            cursor.take(len);
            Some(port)
        } else {
            None
        };
        let (params, branch) = cursor.params("branch")?;
        let len = whole.len() - cursor.bytes().len();
        Ok(Self { transport, host, port, params, branch, text: whole, len })
    }

    /// Reads the first element of a line; others may follow.
    #[inline]
    pub(crate) fn first(line: &'a str) -> Result<Self, Flaw> {
        match Self::usual(line) {
            Some(via) => Ok(via),
            None => Self::first_of_any(line),
        }
    }

    #[inline(never)]
    fn first_of_any(line: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(line);
        let via = Self::read(&mut cursor)?;
        cursor.end_of_element()?;
        Ok(via)
    }

    /// The only element of a line, if it is of the usual form: a known transport, a host, perhaps
    /// a port, then a branch and perhaps an empty rport. `None` tells nothing.
    #[inline]
    fn usual(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let rest = bytes.strip_prefix(b"SIP/2.0/")?;
        let ([b'U', b'D', b'P', b' ', sent_by @ ..]
        | [b'T', b'C', b'P', b' ', sent_by @ ..]
        | [b'T', b'L', b'S', b' ', sent_by @ ..]) = rest
        else {
            return None;
        };
        let mut at = chars::span(sent_by, chars::HOST);
        let host = text.get(12..12 + at).filter(|host| !host.is_empty())?;
        let mut port = None;
        if sent_by.get(at) == Some(&b':') {
            let (number, len) = crate::uri::leading_port(&sent_by[at + 1..])?;
            port = Some(number);
            at += 1 + len;
        }
        let params = text.get(12 + at..)?;
        let value = params.as_bytes().strip_prefix(b";branch=")?;
        let len = chars::span(value, chars::TOKEN);
        if len == 0 || !matches!(&value[len..], b"" | b";rport") {
            return None;
        }
        Some(Self {
            transport: text.get(8..11)?,
            host,
            port,
            params: Params::checked(params),
            branch: params.get(8..8 + len),
            text,
            len: text.len(),
        })
    }

    /// The branch parameter, which identifies the transaction.
    pub fn branch(&self) -> Option<&'a str> {
        self.branch
    }

    /// Whether the branch begins with the cookie of RFC 3261 §8.1.1.7 and has something after it;
    /// if not, transactions are matched by the rules of RFC 2543 (§17.2.3).
    pub fn has_unique_branch(&self) -> bool {
        const COOKIE: &[u8] = tiny_sak::id::BRANCH_COOKIE.as_bytes();
        self.branch.is_some_and(|branch| {
            let branch = branch.as_bytes();
            branch.len() > COOKIE.len() && branch[..COOKIE.len()].eq_ignore_ascii_case(COOKIE)
        })
    }

    /// A parameter: `""` when it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// The address from which the request really came (§18.2.1).
    pub fn received(&self) -> Option<&'a str> {
        self.param("received")
    }

    /// `Some(None)` when the sender asks for the port (RFC 3581), `Some(Some(port))` when it is
    /// filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.param("rport").map(|port| port.parse().ok())
    }

    /// The multicast address to answer to.
    pub fn maddr(&self) -> Option<&'a str> {
        self.param("maddr")
    }

    /// The transport, if it is one of those known here.
    pub fn transport_kind(&self) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
            .into_iter()
            .find(|kind| kind.via_name().eq_ignore_ascii_case(self.transport))
    }

    /// The host as an address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        crate::uri::host_ip(self.host)
    }

    /// Whether host and port are the same (§18.1.2, §17.2.3), with the transport's default port
    /// where none is written.
    pub fn same_sent_by(&self, other: &Via<'_>) -> bool {
        let default = |via: &Via<'_>| via.transport_kind().map_or(5060, Transport::default_port);
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default(self)) == other.port.unwrap_or(default(other))
    }

    /// The whole element as written.
    pub fn as_str(&self) -> &'a str {
        let text = self.text.get(..self.len).unwrap_or_default();
        text.trim_end_matches([' ', '\t'])
    }
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn read_host<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Flaw> {
    let len = crate::uri::host_len(cursor.bytes()).ok_or(Flaw::Host)?;
    Ok(cursor.take(len))
}

/// The elements of one line, separated by commas. It ends after the first malformed one.
#[derive(Clone)]
pub struct Vias<'a>(Option<Cursor<'a>>);

impl<'a> Vias<'a> {
    /// Over the value of one header line.
    pub fn new(value: &'a str) -> Self {
        Self(Some(Cursor::new(value)))
    }
}

impl<'a> Iterator for Vias<'a> {
    type Item = Result<Via<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut cursor = self.0.take()?;
        let via = match Via::read(&mut cursor) {
            Ok(via) => via,
            Err(flaw) => return Some(Err(flaw)),
        };
        if let Err(flaw) = cursor.end_of_element() {
            return Some(Err(flaw));
        }
        if !cursor.bytes().is_empty() {
            self.0 = Some(cursor);
        }
        Some(Ok(via))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_with_blanks_everywhere() {
        let via = Via::parse(
            "SIP  / 2.0\t/ TCP   spindle.example.com  :  5061 ;\tbranch  =   z9hG4bK9ikj8  ; rport",
        )
        .unwrap();
        assert_eq!((via.transport, via.host, via.port), ("TCP", "spindle.example.com", Some(5061)));
        assert_eq!((via.branch(), via.rport()), (Some("z9hG4bK9ikj8"), Some(None)));
        assert!(via.has_unique_branch());
    }

    #[test]
    fn ipv6_and_filled_in_parameters() {
        let via = Via::parse(
            "SIP/2.0/UDP [2001:db8::9:1]:6050;received=192.0.2.1;rport=5090;branch=z9hG4bK",
        )
        .unwrap();
        assert_eq!((via.host, via.port), ("[2001:db8::9:1]", Some(6050)));
        assert_eq!(via.ip(), "2001:db8::9:1".parse().ok());
        assert_eq!((via.received(), via.rport()), (Some("192.0.2.1"), Some(Some(5090))));
        assert!(!via.has_unique_branch());
    }

    #[test]
    fn lists_and_refusals() {
        let list: Vec<_> = Vias::new("SIP/2.0/UDP a ;branch=1, SIP/2.0/XYZ b:1")
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!((list[0].host, list[1].transport, list[1].port), ("a", "XYZ", Some(1)));
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP a",
            "SIP/2.0/UDP a:x",
            "SIP/2.0/UDP a:70000",
            "SIP/2.0 UDP a",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP a;branch=",
        ] {
            assert!(Via::parse(bad).is_err(), "{bad}");
        }
    }
}
