//! Errors of the drivers: each names the address, port or host it is about.

use crate::tls::TlsError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tiny_sak::Transport;

/// Why a local address could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket holds the port.
    #[error("{transport} port {} on {} is in use by another program; choose another port, or port 0 for any free one", addr.port(), addr.ip())]
    PortInUse {
        /// The transport asked for.
        transport: Transport,
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The machine has no such address.
    #[error("{} is not an address of this machine ({transport})", addr.ip())]
    NoSuchAddress {
        /// The transport asked for.
        transport: Transport,
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The port needs rights that the process lacks.
    #[error("{transport} port {} on {} needs more rights than this process has; ports from 1024 up do not", addr.port(), addr.ip())]
    NotPermitted {
        /// The transport asked for.
        transport: Transport,
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The build has no driver for the transport.
    #[error("transport {transport} is not in this build")]
    NoDriver {
        /// The transport asked for.
        transport: Transport,
    },
    /// The certificate settings are of no use.
    #[error("cannot listen for {transport} on {addr}: {source}")]
    Tls {
        /// The transport asked for.
        transport: Transport,
        /// The address asked for.
        addr: SocketAddr,
        /// What is wrong with them.
        source: TlsError,
    },
    /// No free pair of ports is left for RTP and RTCP.
    #[error("no free even/odd pair of UDP ports from {first} to {last} on {ip}")]
    NoFreePair {
        /// The address asked for.
        ip: IpAddr,
        /// The first port of the range.
        first: u16,
        /// The last port of the range.
        last: u16,
    },
    /// Anything else that the system says.
    #[error("cannot open {transport} {addr}: {source}")]
    Io {
        /// The transport asked for.
        transport: Transport,
        /// The address asked for.
        addr: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn new(transport: Transport, addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { transport, addr },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { transport, addr },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { transport, addr },
            _ => Self::Io { transport, addr, source },
        }
    }
}

/// Why a host name led nowhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name has no address.
    #[error("no address is known for host {host}")]
    NotFound {
        /// The name asked for.
        host: String,
    },
    /// The system did not answer in time.
    #[error("looking up host {host} took too long")]
    Timeout {
        /// The name asked for.
        host: String,
    },
    /// The name servers answered with a failure of their own.
    #[error("the name servers cannot answer for host {host}")]
    ServerFailure {
        /// The name asked for.
        host: String,
    },
    /// The domain says that it offers no SIP by any transport that we can use.
    #[error("{host} does not offer SIP by any transport of this client")]
    NotOffered {
        /// The name asked for.
        host: String,
    },
    /// The URI asks for a transport that we do not have, or that `sips` forbids.
    #[error("no transport for {host}: {} is {}", wanted(*.transport, *.secure), why_not(*.transport, *.secure))]
    NoTransport {
        /// The name asked for.
        host: String,
        /// The transport asked for.
        transport: Option<Transport>,
        /// Whether the URI is a `sips` URI.
        secure: bool,
    },
    /// Too many searches are under way, see
    /// [`Config::dns_max_searches`](crate::Config::dns_max_searches).
    #[error("too many searches are under way to look up host {host}")]
    TooMany {
        /// The name asked for.
        host: String,
    },
    /// The look-up itself failed.
    #[error("cannot look up host {host}: {source}")]
    Io {
        /// The name asked for.
        host: String,
        /// The system's words.
        source: io::Error,
    },
}

fn wanted(transport: Option<Transport>, secure: bool) -> &'static str {
    match transport {
        Some(transport) => transport.via_name(),
        None if secure => "a secure transport",
        None => "any transport",
    }
}

fn why_not(transport: Option<Transport>, secure: bool) -> &'static str {
    match (transport, secure) {
        (Some(Transport::Udp), true) => "not allowed for a sips URI",
        _ => "not available here",
    }
}
