//! Whom an allocation relays for: permissions (RFC 8656 §9) and channels (§12). Times only; the requests
//! are the client's.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Permissions end after this (§9).
const PERMISSION: Duration = Duration::from_secs(300);
/// Channels end after this (§12).
const CHANNEL: Duration = Duration::from_secs(600);
const FIRST_CHANNEL: u16 = 0x4000;
const LAST_CHANNEL: u16 = 0x4fff;

#[derive(Debug)]
pub(super) struct Permission {
    pub(super) ip: IpAddr,
    // Until when the server lets data pass; none before it agreed.
    pub(super) until: Option<Instant>,
    pub(super) renew: Option<Instant>,
    pub(super) refused: bool,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) peer: SocketAddr,
    pub(super) until: Option<Instant>,
    pub(super) renew: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    pub(super) permissions: Vec<Permission>,
    pub(super) channels: Vec<Channel>,
    used: u16,
}

impl Peers {
    pub(super) fn permission(&mut self, ip: IpAddr) -> Option<&mut Permission> {
        self.permissions.iter_mut().find(|p| p.ip == ip)
    }

    pub(super) fn permits(&self, now: Instant, ip: IpAddr) -> bool {
        self.permissions.iter().any(|p| p.ip == ip && p.until.is_some_and(|until| now < until))
    }

    /// The channel that stands to a peer.
    pub(super) fn bound(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let stands = |c: &&Channel| c.peer == peer && c.until.is_some_and(|until| now < until);
        self.channels.iter().find(stands).map(|c| c.number)
    }

    /// The peer of a channel that stands.
    pub(super) fn peer_of(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let stands = |c: &&Channel| c.number == number && c.until.is_some_and(|until| now < until);
        self.channels.iter().find(stands).map(|c| c.peer)
    }

    pub(super) fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|c| c.number == number)
    }

    /// A number that this allocation has not used: a channel may not go to another peer for a
    /// while after its end (§12).
    pub(super) fn new_channel(&mut self, peer: SocketAddr) -> Option<u16> {
        let number = FIRST_CHANNEL.checked_add(self.used).filter(|n| *n <= LAST_CHANNEL)?;
        self.used += 1;
        self.channels.push(Channel { number, peer, until: None, renew: None });
        Some(number)
    }

    pub(super) fn granted(&mut self, now: Instant, ip: IpAddr, refresh: Duration) {
        if let Some(permission) = self.permission(ip) {
            permission.until = Some(now + PERMISSION);
            permission.renew = Some(now + refresh);
        }
    }

    pub(super) fn channel_bound(&mut self, now: Instant, number: u16, refresh: Duration) {
        let Some(channel) = self.channel(number) else { return };
        channel.until = Some(now + CHANNEL);
        channel.renew = Some(now + refresh);
        let ip = channel.peer.ip();
        // A ChannelBind installs or renews the permission too (§12.2).
        if let Some(permission) = self.permission(ip) {
            permission.until = Some(now + PERMISSION);
            permission.renew = Some(now + refresh + Duration::from_secs(20));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let permissions = self.permissions.iter().filter_map(|p| p.renew);
        permissions.chain(self.channels.iter().filter_map(|c| c.renew)).min()
    }

    /// What is due for renewal; it is not due again before it was answered.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<IpAddr>, Vec<(u16, SocketAddr)>) {
        let due = |renew: &mut Option<Instant>| renew.take_if(|at| *at <= now).is_some();
        let channels = self
            .channels
            .iter_mut()
            .filter_map(|c| due(&mut c.renew).then_some((c.number, c.peer)));
        let channels = channels.collect();
        let ips = self.permissions.iter_mut().filter_map(|p| due(&mut p.renew).then_some(p.ip));
        (ips.collect(), channels)
    }
}
