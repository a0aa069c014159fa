//! What the application says of a changed network, and what it hears of it.

use crate::Error;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use tiny_net::nat;
use tiny_net::stun::{DiscoveryConfig, NatReport};
use tiny_sak::{Rng, Transport};

/// What is known of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkNews {
    /// It is another one: look.
    Changed,
    /// Our address is this one now.
    MovedTo(IpAddr),
    /// There is none.
    Lost,
}

/// What [`UserAgent::network_changed`](crate::UserAgent::network_changed) set going. How it ends,
/// events tell: registrations with [`Event::Registered`](crate::Event::Registered), calls by going on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkReport {
    /// There is no network: calls wait for [`Config::network_patience`](crate::Config::network_patience).
    pub offline: bool,
    /// Where the agent listens now.
    pub addresses: Vec<(Transport, SocketAddr)>,
    /// Calls that are up and are being told our new address by re-INVITE.
    pub moved: usize,
    /// Calls that nobody had answered: they are placed anew.
    pub restarted: usize,
    /// Calls that ring here, or were answered just now.
    pub waiting: usize,
    /// Accounts that are registered again.
    pub registrations: usize,
}

/// The STUN port (RFC 8489 §18.6).
const STUN_PORT: u16 = 3478;

/// Looks at the NAT in the way; it waits, so that it wants a thread of its own.
pub(crate) fn nat_report(servers: &[String]) -> Result<NatReport, Error> {
    let found = servers.iter().flat_map(|server| {
        let whole =
            server.to_socket_addrs().or_else(|_| (server.as_str(), STUN_PORT).to_socket_addrs());
        whole.into_iter().flatten()
    });
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() {
        return Err(Error::Network(format!("no address of a STUN server: {}", servers.join(", "))));
    }
    let failed = |e: std::io::Error| Error::Network(format!("the NAT could not be looked at: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let config = DiscoveryConfig::default();
    let looked = nat::discover(None, found, config, Rng::from_os().map_err(failed)?);
    runtime.map_err(failed)?.block_on(looked).map_err(failed)
}
