//! ICE (RFC 8445) as applications set it and see it: the policy of agent, account and call, the
//! servers by their URIs (RFC 7064, RFC 7065), and what [`Call::ice`](crate::Call::ice) tells.

use crate::{Error, Secret, Transport};
use std::fmt;
use std::str::FromStr;

pub use tiny_net::ice::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, Config, IceCounters,
    IceFailure, IceReport, Network, NetworkKind, PairFailure, PairReport, PairState, Policy, State,
    SwitchReason, TcpCandidates, TcpType,
};
pub use tiny_net::turn::{Counters as RelayCounters, Failure as RelayFailure};

/// Whether calls look for a way through NATs and firewalls.
///
/// With ICE both sides tell all addresses that they may be reached at, try all pairs of them, and send
/// where the other has agreed to receive, and nowhere else. A peer without ICE is spoken with as if
/// there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ice {
    /// Media goes to the address of the peer's session description.
    #[default]
    Off,
    /// Looks for ways itself; what telephones want.
    Full,
    /// Answers the peer's checks and makes none (RFC 8445 §2.5): for servers with a public address.
    Lite,
}

impl Ice {
    /// `off`, `full` or `lite`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Full => "full",
            Self::Lite => "lite",
        }
    }
}

impl fmt::Display for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Ice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::Off, Self::Full, Self::Lite];
        all.into_iter()
            .find(|ice| ice.as_str() == text)
            .ok_or_else(|| Error::config("ice", format!("'{text}' is none of off, full, lite")))
    }
}

/// A server that helps ICE: STUN tells our outer address, TURN lends one.
///
/// Read from a URI: `stun:host[:port]` (RFC 7064), `turn:host[:port][?transport=udp|tcp]` or
/// `turns:host[:port]` (RFC 7065). Name and password of a relay may stand before the host, as in
/// `turn:alice:secret@turn.example.com`, where `:`, `@` and `/` in the name are written as `%3A`,
/// `%40` and `%2F`; or they are given by [`credentials`](Self::credentials). The default port is
/// 3478, and 5349 for `turns:`.
///
/// ```
/// use tiny_ua::IceServer;
/// let stun: IceServer = "stun:stun.example.com".parse()?;
/// let turn: IceServer = "turns:turn.example.com?transport=tcp".parse()?;
/// let turn = turn.credentials("alice", "secret");
/// # let _ = (stun, turn);
/// # Ok::<(), tiny_ua::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct IceServer {
    pub(crate) kind: IceServerKind,
    pub(crate) host: String,
    pub(crate) port: u16,
}

#[derive(Debug, Clone)]
pub(crate) enum IceServerKind {
    Stun,
    /// Over UDP, TCP or TLS.
    Turn {
        transport: Transport,
        username: String,
        password: Secret,
    },
}

impl IceServer {
    /// Name and password of a relay; a STUN server asks for none, and they are left out.
    #[must_use]
    pub fn credentials(mut self, user: impl Into<String>, secret: impl Into<Secret>) -> Self {
        if let IceServerKind::Turn { username, password, .. } = &mut self.kind {
            (*username, *password) = (user.into(), secret.into());
        }
        self
    }

    /// Refuses a relay that nobody can ask (RFC 8656 §7.2: it is asked with credentials).
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.kind {
            IceServerKind::Turn { username, .. } if username.is_empty() => {
                let what = "has no name and password: turn:name:password@host";
                Err(Error::config("ice server", format!("{self} {what}")))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for IceServer {
    /// The URI, without name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, query) = match &self.kind {
            IceServerKind::Stun => ("stun", ""),
            IceServerKind::Turn { transport: Transport::Tls, .. } => ("turns", ""),
            IceServerKind::Turn { transport: Transport::Tcp, .. } => ("turn", "?transport=tcp"),
            IceServerKind::Turn { .. } => ("turn", ""),
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}:[{}]:{}{query}", self.host, self.port),
            false => write!(f, "{scheme}:{}:{}{query}", self.host, self.port),
        }
    }
}

impl FromStr for IceServer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|what| Error::config("ice server", what))
    }
}

// What is shown of it in errors: never what stands before an `@`, or would, had it not been forgotten.
fn shown(text: &str) -> &str {
    match (text.rsplit_once('@'), text.split_once(':')) {
        (Some((_, host)), _) => host,
        (None, Some((scheme, _))) if scheme.to_ascii_lowercase().starts_with("turn") => scheme,
        _ => text,
    }
}

fn parse(text: &str) -> Result<IceServer, String> {
    let expected = "expected stun:host, turn:name:password@host or turns:name:password@host";
    let bad = |what: &str| Err(format!("'{}': {what}", shown(text)));
    let Some((scheme, rest)) = text.split_once(':') else {
        return bad(expected);
    };
    if rest.starts_with("//") {
        return bad("there is no // in the URI of a server");
    }
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let transport = match query.map(|q| q.strip_prefix("transport=")) {
        None => None,
        Some(Some("udp")) => Some(Transport::Udp),
        Some(Some("tcp")) => Some(Transport::Tcp),
        Some(_) => return bad("behind the ? stands transport=udp or transport=tcp"),
    };
    let (turn, port) = match (scheme.to_ascii_lowercase().as_str(), transport) {
        ("stun", None) => (None, 3478),
        ("stun", Some(_)) => {
            return bad("a STUN server is asked over UDP; leave out the transport");
        }
        ("stuns", _) => return bad("STUN over TLS is not in this build; use stun: or turns:"),
        ("turn", transport) => (Some(transport.unwrap_or(Transport::Udp)), 3478),
        ("turns", None | Some(Transport::Tcp)) => (Some(Transport::Tls), 5349),
        ("turns", _) => return bad("TURN over DTLS is not in this build; use ?transport=tcp"),
        _ => return bad(expected),
    };
    let (host, port) = match address(host, port) {
        Ok(address) => address,
        Err(what) => return bad(what),
    };
    let kind = match (turn, user) {
        (None, None) => IceServerKind::Stun,
        (None, Some(_)) => return bad("a STUN server asks for no name; leave it out"),
        (Some(transport), user) => {
            let (username, password) = match user.map(|user| user.split_once(':')) {
                None => (String::new(), String::new()),
                Some(None) => return bad("the password is missing: turn:name:password@host"),
                Some(Some((name, password))) => match (plain(name), plain(password)) {
                    (Some(name), Some(_)) if name.is_empty() => {
                        return bad("the name is missing: turn:name:password@host");
                    }
                    (Some(name), Some(password)) => (name, password),
                    _ => return bad("a % in name or password is not followed by two hex digits"),
                },
            };
            IceServerKind::Turn { transport, username, password: Secret::from(password) }
        }
    };
    Ok(IceServer { kind, host, port })
}

/// `host[:port]`, IPv6 in brackets.
fn address(text: &str, default: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a ] is missing")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "in [] stands an IPv6 address")?;
            (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some("?")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || host.len() > 253 || !host.chars().all(name) {
        return Err("the host is missing or malformed");
    }
    match port.map(str::parse::<u16>) {
        None => Ok((host.to_owned(), default)),
        Some(Ok(port)) if port > 0 => Ok((host.to_owned(), port)),
        Some(_) => Err("the port is a number from 1 to 65535"),
    }
}

/// Percent-encoding (RFC 3986 §2.1) undone.
fn plain(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (hex, tail) = rest.split_at_checked(2)?;
        let digit = |b: u8| char::from(b).to_digit(16);
        bytes.push((digit(hex[0])? * 16 + digit(hex[1])?) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

/// Data channels go by DTLS.
pub(crate) fn check_data(on: Option<bool>) -> Result<(), Error> {
    match on == Some(true) && !cfg!(feature = "dtls") {
        true => Err(Error::config("data", "DTLS is not in this build")),
        false => Ok(()),
    }
}

/// The browser profile is encrypted by DTLS.
pub(crate) fn check_webrtc(on: Option<bool>) -> Result<(), Error> {
    match on == Some(true) && !cfg!(feature = "dtls") {
        true => Err(Error::config("webrtc", "DTLS-SRTP is not in this build")),
        false => Ok(()),
    }
}

/// How the media of calls travels: what agent, account and call say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) srtp: crate::Srtp,
    pub(crate) ice: Ice,
    pub(crate) webrtc: bool,
    /// The first offer has data channels.
    pub(crate) data: bool,
}

impl Terms {
    /// The browser profile brings ICE and DTLS with it.
    pub(crate) fn new(srtp: crate::Srtp, ice: Ice, webrtc: bool) -> Self {
        match (webrtc, ice) {
            (false, _) => Self { srtp, ice, webrtc, data: false },
            (true, Ice::Lite) => Self { srtp: crate::Srtp::Dtls, ice, webrtc, data: false },
            (true, _) => Self { srtp: crate::Srtp::Dtls, ice: Ice::Full, webrtc, data: false },
        }
    }

    /// Data channels bring DTLS with them.
    pub(crate) fn with_data(self, on: bool) -> Self {
        match on {
            true => Self { srtp: crate::Srtp::Dtls, data: true, ..self },
            false => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_their_uris() {
        for (uri, shown) in [
            ("stun:stun.example.com", "stun:stun.example.com:3478"),
            ("STUN:192.0.2.1:19302", "stun:192.0.2.1:19302"),
            ("stun:[2001:db8::1]", "stun:[2001:db8::1]:3478"),
            ("turn:a:b@turn.example.com", "turn:turn.example.com:3478"),
            ("turn:a:b@[2001:db8::1]:99?transport=tcp", "turn:[2001:db8::1]:99?transport=tcp"),
            ("turn:a:b@h?transport=udp", "turn:h:3478"),
            ("turns:a:b@h", "turns:h:5349"),
            ("turns:a:b@h:443?transport=tcp", "turns:h:443"),
        ] {
            let server: IceServer = uri.parse().unwrap();
            assert_eq!(server.to_string(), shown);
            assert!(server.check().is_ok(), "{uri}");
        }
    }

    #[test]
    fn name_and_password_are_read_and_kept_secret() {
        let server: IceServer = "turn:17%3Aa%40b:p:w%25@h".parse().unwrap();
        let IceServerKind::Turn { username, password, .. } = &server.kind else { panic!() };
        assert_eq!((username.as_str(), password.expose()), ("17:a@b", "p:w%"));
        assert!(!format!("{server:?}").contains("p:w%"));
        let server: IceServer = "turn:h".parse().unwrap();
        let refused = server.check().unwrap_err().to_string();
        assert!(refused.contains("turn:h:3478 has no name and password"), "{refused}");
        assert!(server.credentials("u", "p").check().is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_server_is_said_without_its_password() {
        for (uri, named) in [
            ("example.com", "expected stun:host"),
            ("http:example.com", "expected stun:host"),
            ("stun://example.com", "no //"),
            ("stuns:h", "STUN over TLS"),
            ("stun:h?transport=tcp", "leave out the transport"),
            ("stun:geheim:geheim@h", "asks for no name"),
            ("turn:geheim@h", "the password is missing"),
            ("turn::geheim@h", "the name is missing"),
            ("turn:a:%g1geheim@h", "two hex digits"),
            ("turns:a:geheim@h?transport=udp", "TURN over DTLS"),
            ("turn:a:geheim@h?transport=sctp", "transport=udp or transport=tcp"),
            ("turn:a:geheim@", "the host is missing"),
            ("turn:a:geheim", "the port"),
            ("turn:a:geheim@h:0", "the port"),
            ("turn:a:geheim@h:x", "the port"),
            ("stun:[::1", "a ] is missing"),
            ("stun:[::1]x", "the port"),
            ("stun:[h]", "an IPv6 address"),
        ] {
            let said = uri.parse::<IceServer>().unwrap_err().to_string();
            assert!(said.contains(named) && !said.contains("geheim"), "{uri}: {said}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(stun|turn|turns)?:?\\PC{0,40}") {
            let _ = text.parse::<IceServer>();
        }
    }
}
