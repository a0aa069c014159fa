//! From a host name to targets, and from a target to our own address.
//!
//! Today a name is looked up by the system (A and AAAA, the hosts file) and the transport is the one
//! asked for, else TLS for `sips`, else UDP. NAPTR and SRV (RFC 3263 §4.1, §4.2) will come in
//! behind [`targets`], which already has their shape: several targets, best first.

use crate::{Config, ResolveError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tiny_sak::Transport;

/// A next hop as a URI or Via names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// A name or an IP literal, with or without brackets.
    pub host: String,
    /// The port, when the URI has one.
    pub port: Option<u16>,
    /// The transport, when the URI has one.
    pub transport: Option<Transport>,
    /// True for a `sips` URI.
    pub secure: bool,
}

/// One way to reach a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The transport.
    pub transport: Transport,
    /// Where to send.
    pub addr: SocketAddr,
    /// Our address as this target sees it; unspecified where the system has no route.
    pub local: IpAddr,
}

/// The ways to reach a next hop, best first, never empty.
///
/// # Errors
/// [`ResolveError`] names the host.
pub async fn targets(query: &Query, config: &Config) -> Result<Vec<Target>, ResolveError> {
    let default = if query.secure { Transport::Tls } else { Transport::Udp };
    let transport = query.transport.unwrap_or(default);
    let port = query.port.unwrap_or(transport.default_port());
    let found = resolve(&query.host, port, config).await?;
    let target = |addr: SocketAddr| {
        let nowhere = match addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Target { transport, addr, local: local_address_for(addr).unwrap_or(nowhere) }
    };
    Ok(found.into_iter().map(target).collect())
}

/// The addresses of a host, in the system's order of preference, never empty.
///
/// # Errors
/// [`ResolveError`] names the host.
pub async fn resolve(
    host: &str,
    port: u16,
    config: &Config,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = || host.to_owned();
    // A final dot says "fully qualified"; the system's resolver knows it too.
    if bare.is_empty() || bare.len() > 254 {
        return Err(ResolveError::NotFound { host: name() });
    }
    let look_up = tokio::net::lookup_host((bare, port));
    let found = match tokio::time::timeout(config.resolve_timeout, look_up).await {
        Err(_) => return Err(ResolveError::Timeout { host: name() }),
        // getaddrinfo's "no such name" has no kind of its own.
        Ok(Err(e)) if e.raw_os_error().is_none() => {
            tracing::debug!(host, error = %e, "name not resolved");
            return Err(ResolveError::NotFound { host: name() });
        }
        Ok(Err(source)) => return Err(ResolveError::Io { host: name(), source }),
        Ok(Ok(found)) => found,
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for addr in found {
        if addresses.len() < config.max_resolved.max(1) && !addresses.contains(&addr) {
            addresses.push(addr);
        }
    }
    if addresses.is_empty() { Err(ResolveError::NotFound { host: name() }) } else { Ok(addresses) }
}

/// The address that this machine would send from to reach `remote`. Nothing is sent.
///
/// # Errors
/// When the system has no route.
pub fn local_address_for(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn query(host: &str) -> Query {
        Query { host: host.into(), port: None, transport: None, secure: false }
    }

    #[tokio::test]
    async fn literals_need_no_look_up_and_ports_default_by_transport() {
        let config = Config::default();
        let all = targets(&query("127.0.0.1"), &config).await.unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].addr, "127.0.0.1:5060".parse().unwrap());
        assert_eq!(all[0].transport, Transport::Udp);
        assert_eq!(all[0].local, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let secure = Query { secure: true, ..query("[::1]") };
        let all = targets(&secure, &config).await.unwrap();
        assert_eq!(
            (all[0].transport, all[0].addr),
            (Transport::Tls, "[::1]:5061".parse().unwrap())
        );
        let tcp = Query { port: Some(7), transport: Some(Transport::Tcp), ..query("10.1.2.3") };
        let all = targets(&tcp, &config).await.unwrap();
        assert_eq!(
            (all[0].transport, all[0].addr),
            (Transport::Tcp, "10.1.2.3:7".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn localhost_is_found_through_the_system() {
        let all = resolve("localhost", 5060, &Config::default()).await.unwrap();
        assert!(all.iter().all(|a| a.ip().is_loopback() && a.port() == 5060), "{all:?}");
    }

    #[tokio::test]
    async fn an_unknown_name_is_named_in_the_error() {
        let config = Config { resolve_timeout: Duration::from_secs(2), ..Config::default() };
        let error = resolve("no-such-host.invalid", 5060, &config).await.unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
        let error = resolve("", 5060, &config).await.unwrap_err();
        assert!(matches!(error, ResolveError::NotFound { .. }));
    }
}
