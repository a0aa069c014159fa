//! A candidate as it is signalled (RFC 8839 §5.1, RFC 6544 §4.5): read, written, its priority and the
//! numbers behind it (RFC 8445 §5.1.2). Extensions that are not known are kept, up to a number.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Where a candidate comes from (RFC 8445 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandidateKind {
    /// A socket of the host.
    Host,
    /// What a peer saw, unknown before.
    PeerReflexive,
    /// What a STUN server saw.
    ServerReflexive,
    /// A relay's address.
    Relayed,
}

impl CandidateKind {
    /// The word behind `typ`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::PeerReflexive => "prflx",
            Self::ServerReflexive => "srflx",
            Self::Relayed => "relay",
        }
    }
}

/// Who opens a TCP connection (RFC 6544 §4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpType {
    /// We connect; the port means nothing (9).
    Active,
    /// We listen.
    Passive,
    /// Both connect at once.
    SimultaneousOpen,
}

impl TcpType {
    /// The word behind `tcptype`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }

    /// The type that it connects with (RFC 6544 §6.2).
    pub fn counterpart(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
            Self::SimultaneousOpen => Self::SimultaneousOpen,
        }
    }
}

/// What a candidate's address is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateTransport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp(TcpType),
}

/// An address, or a name to be asked for: `….local` hides a host's address (mDNS).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CandidateAddress {
    /// An address.
    Ip(SocketAddr),
    /// A name and a port.
    Name(String, u16),
}

impl CandidateAddress {
    /// The address, where it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            Self::Name(..) => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(addr) => addr.port(),
            Self::Name(_, port) => *port,
        }
    }
}

/// One candidate. `Display` gives the value of `a=candidate`, without the name of the attribute;
/// `FromStr` takes it with or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Candidates of one kind, base and server have the same (RFC 8445 §5.1.1.3).
    pub foundation: String,
    /// 1 for RTP or everything, 2 for RTCP.
    pub component: u16,
    /// UDP, or TCP with its direction.
    pub transport: CandidateTransport,
    /// How much it is liked, 1 to 2³¹−1.
    pub priority: u32,
    /// Where it is reached.
    pub address: CandidateAddress,
    /// Where it comes from.
    pub kind: CandidateKind,
    /// What it was derived from, for diagnosis.
    pub related: Option<SocketAddr>,
    /// The generation's user name fragment, as trickled candidates carry it (RFC 8840 §4.4).
    pub ufrag: Option<String>,
    /// What the network costs, 0 to 999, as browsers tell it.
    pub network_cost: Option<u16>,
    /// Other extensions: names and values.
    pub extensions: Vec<(String, String)>,
}

/// Why a line is no candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CandidateError {
    /// A field is missing or malformed.
    #[error("the candidate's {0} is missing or malformed")]
    Field(&'static str),
    /// A transport that is neither UDP nor TCP: to be left out (RFC 8839 §5.1).
    #[error("the candidate's transport is not known")]
    Transport,
    /// A kind that is not known: to be left out.
    #[error("the candidate's type is not known")]
    Kind,
    /// A line longer than 1024 octets, or with more than 16 extensions.
    #[error("the candidate is too long")]
    TooLong,
}

const LONGEST_LINE: usize = 1024;
const MOST_EXTENSIONS: usize = 16;
const LONGEST_NAME: usize = 255;

/// `ice-char` of RFC 8839 §5.1.
pub(super) fn is_ice_text(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

fn number<T: FromStr>(
    word: Option<&str>,
    name: &'static str,
    digits: usize,
) -> Result<T, CandidateError> {
    word.filter(|w| w.len() <= digits && w.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|w| w.parse().ok())
        .ok_or(CandidateError::Field(name))
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && name.bytes().any(|b| b.is_ascii_alphabetic())
}

impl FromStr for Candidate {
    type Err = CandidateError;

    fn from_str(line: &str) -> Result<Self, CandidateError> {
        if line.len() > LONGEST_LINE {
            return Err(CandidateError::TooLong);
        }
        let line = line.trim_matches([' ', '\r', '\n']);
        let line = line.strip_prefix("a=").unwrap_or(line);
        let line = line.strip_prefix("candidate:").unwrap_or(line);
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let foundation = words.next().filter(|f| is_ice_text(f, 1..=32));
        let foundation = foundation.ok_or(CandidateError::Field("foundation"))?.to_owned();
        let component: u16 = number(words.next(), "component", 3)?;
        if !(1..=256).contains(&component) {
            return Err(CandidateError::Field("component"));
        }
        let transport = words.next().ok_or(CandidateError::Field("transport"))?;
        let priority: u32 = number(words.next(), "priority", 10)?;
        if !(1..=0x7fff_ffff).contains(&priority) {
            return Err(CandidateError::Field("priority"));
        }
        let host = words.next().ok_or(CandidateError::Field("address"))?;
        let port: u16 = number(words.next(), "port", 5)?;
        let address = match host.parse::<IpAddr>() {
            Ok(ip) => CandidateAddress::Ip(SocketAddr::new(ip, port)),
            Err(_) if is_host_name(host) => CandidateAddress::Name(host.to_owned(), port),
            Err(_) => return Err(CandidateError::Field("address")),
        };
        if words.next() != Some("typ") {
            return Err(CandidateError::Field("type"));
        }
        let kind = match words.next() {
            Some("host") => CandidateKind::Host,
            Some("srflx") => CandidateKind::ServerReflexive,
            Some("prflx") => CandidateKind::PeerReflexive,
            Some("relay") => CandidateKind::Relayed,
            Some(_) => return Err(CandidateError::Kind),
            None => return Err(CandidateError::Field("type")),
        };
        let mut candidate = Self {
            foundation,
            component,
            transport: CandidateTransport::Udp,
            priority,
            address,
            kind,
            related: None,
            ufrag: None,
            network_cost: None,
            extensions: Vec::new(),
        };
        let tcp_type = candidate.extended(&mut words)?;
        candidate.transport = if transport.eq_ignore_ascii_case("udp") {
            CandidateTransport::Udp
        } else if transport.eq_ignore_ascii_case("tcp") {
            CandidateTransport::Tcp(tcp_type.ok_or(CandidateError::Field("tcptype"))?)
        } else {
            return Err(CandidateError::Transport);
        };
        Ok(candidate)
    }
}

impl Candidate {
    // The pairs of names and values behind the type; the TCP type among them is returned.
    fn extended<'a>(
        &mut self,
        words: &mut impl Iterator<Item = &'a str>,
    ) -> Result<Option<TcpType>, CandidateError> {
        let (mut related_ip, mut related_port, mut tcp_type) = (None, None, None);
        while let Some(name) = words.next() {
            // A name without a value at the end is let pass: it says nothing.
            let Some(value) = words.next() else { break };
            match name {
                "raddr" => related_ip = value.parse::<IpAddr>().ok(),
                "rport" => related_port = value.parse::<u16>().ok(),
                "tcptype" => {
                    tcp_type = Some(match value {
                        "active" => TcpType::Active,
                        "passive" => TcpType::Passive,
                        "so" => TcpType::SimultaneousOpen,
                        _ => return Err(CandidateError::Field("tcptype")),
                    });
                }
                "ufrag" => self.ufrag = is_ice_text(value, 1..=256).then(|| value.to_owned()),
                "network-cost" => self.network_cost = value.parse().ok().map(|c: u16| c.min(999)),
                _ if self.extensions.len() >= MOST_EXTENSIONS => {
                    return Err(CandidateError::TooLong);
                }
                _ => self.extensions.push((name.to_owned(), value.to_owned())),
            }
        }
        self.related = related_ip.zip(related_port).map(|(ip, port)| SocketAddr::new(ip, port));
        Ok(tcp_type)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, priority, .. } = self;
        let transport = match self.transport {
            CandidateTransport::Udp => "udp",
            CandidateTransport::Tcp(_) => "tcp",
        };
        write!(f, "{foundation} {component} {transport} {priority} ")?;
        match &self.address {
            CandidateAddress::Ip(addr) => write!(f, "{} {}", addr.ip(), addr.port())?,
            CandidateAddress::Name(name, port) => write!(f, "{name} {port}")?,
        }
        write!(f, " typ {}", self.kind.name())?;
        if let Some(related) = self.related {
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        if let CandidateTransport::Tcp(kind) = self.transport {
            write!(f, " tcptype {}", kind.name())?;
        }
        if let Some(ufrag) = &self.ufrag {
            write!(f, " ufrag {ufrag}")?;
        }
        if let Some(cost) = self.network_cost {
            write!(f, " network-cost {cost}")?;
        }
        for (name, value) in &self.extensions {
            write!(f, " {name} {value}")?;
        }
        Ok(())
    }
}
