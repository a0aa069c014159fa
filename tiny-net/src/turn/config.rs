//! Servers, limits and times.

use crate::stun::Timing;
use std::net::SocketAddr;
use std::time::Duration;
use tiny_sak::{Secret, Transport};

/// A relay and who we are there.
#[derive(Debug, Clone)]
pub struct Server {
    /// `Udp`, `Tcp` or `Tls`; another is never tried.
    pub transport: Transport,
    /// Its address.
    pub addr: SocketAddr,
    /// The user, already prepared by OpaqueString (RFC 8265).
    pub username: String,
    /// The password, likewise.
    pub password: Secret,
}

/// Limits and times of a [`Client`](super::Client).
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The lifetime asked for: 600 s, RFC 8656's own (§3.2).
    pub lifetime: Duration,
    /// The longest lifetime believed: 3600 s. A longer one is refreshed after this time.
    pub max_lifetime: Duration,
    /// How long before its end an allocation is refreshed: 60 s (§8), or half of a shorter one.
    pub refresh_margin: Duration,
    /// How old a permission gets before it is asked for again: 240 s of its 300 (§9).
    pub permission_refresh: Duration,
    /// How old a channel gets before it is bound again: 240 s, so that its permission, which the
    /// same request renews, does not end before (§12).
    pub channel_refresh: Duration,
    /// After how long without a word over UDP a Binding indication keeps NATs on the way to the
    /// server from forgetting us: 25 s, as mappings of 30 s are common. `None` on networks that
    /// need none.
    pub keep_alive: Option<Duration>,
    /// Peer addresses with a permission: 64; more are refused with [`SendError::TooManyPeers`](super::SendError).
    pub max_permissions: usize,
    /// Channels: 32; peers beyond them are reached by Send indications.
    pub max_channels: usize,
    /// Datagrams kept while permissions are asked for: 32; more are dropped and counted.
    pub max_queued: usize,
    /// The longest frame of a server over TCP and TLS: 16 KiB; a longer one ends the connection.
    pub max_frame: usize,
    /// How often one request is challenged before the server is given up: 4.
    pub max_challenges: u8,
    /// How many alternate servers are followed (300): 3.
    pub max_redirects: u8,
    /// How many servers are tried: 8; the rest is not.
    pub max_servers: usize,
    /// How long one server may stay silent while others are left to try: 3 s.
    pub next_server_after: Duration,
    /// When requests are repeated and given up.
    pub timing: Timing,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3600),
            refresh_margin: Duration::from_secs(60),
            permission_refresh: Duration::from_secs(240),
            channel_refresh: Duration::from_secs(240),
            keep_alive: Some(Duration::from_secs(25)),
            max_permissions: 64,
            max_channels: 32,
            max_queued: 32,
            max_frame: 16 * 1024,
            max_challenges: 4,
            max_redirects: 3,
            max_servers: 8,
            next_server_after: Duration::from_secs(3),
            timing: Timing::default(),
        }
    }
}
