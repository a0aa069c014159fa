//! What the application says of a changed network, and what it hears of it.

use std::net::{IpAddr, SocketAddr};
use tiny_sak::Transport;

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
