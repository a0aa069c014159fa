//! The way of media around the agent: what came to a socket is told apart without a copy, and what goes
//! out by [`Route`](super::Route) is told, so that the agent knows that its path lives.

use super::agent::Agent;
use super::local::Via;
use super::report::State;
use crate::stun::{Packet, demux};
use crate::turn::split_channel;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;
use tiny_sak::Transport;

/// What a datagram is that came to one of the agent's sockets (RFC 7983 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// The peer's packet, over a pair that the agent knows.
    Packet {
        /// 1 or 2.
        component: u16,
        /// Its sender.
        from: SocketAddr,
        /// Where it lies in the datagram: behind the head of ChannelData, or all of it.
        content: Range<usize>,
    },
    /// The agent's: to be handed to [`Agent::handle`].
    Agent,
    /// Of somebody who did not prove that it is the peer: to be dropped.
    Stray,
}

impl Agent {
    /// Tells what a datagram is. A packet of the peer is a sign of life, which is noted.
    pub fn arrived(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Arrival {
        let (base, from, content) = match demux(data) {
            Packet::Stun => return Arrival::Agent,
            Packet::Channel => match self.channelled(now, local, remote, data) {
                Some(found) if demux(&data[found.2.clone()]) != Packet::Stun => found,
                // What it is, and whether it is counted, the relay's client knows.
                _ => return Arrival::Agent,
            },
            _ => match self.bases.iter().position(|b| b.is_socket(local)) {
                Some(base) => (base, remote, 0..data.len()),
                None => return Arrival::Stray,
            },
        };
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let mut pairs = sessions.flat_map(|s| &s.pairs);
        if self.closed || !pairs.any(|p| p.base == base && p.remote == from) {
            self.counters.stray_data += 1;
            return Arrival::Stray;
        }
        let component = self.bases[base].component;
        self.heard(now, base, from, true);
        if self.told == State::Disconnected {
            self.settle(now);
        }
        Arrival::Packet { component, from, content }
    }

    // The relayed base, the peer and the content of ChannelData over UDP.
    fn channelled(
        &self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Option<(usize, SocketAddr, Range<usize>)> {
        let (number, content) = split_channel(data)?;
        self.bases.iter().enumerate().find_map(|(base, b)| {
            let Via::Relay(at) = b.via else { return None };
            let client = &self.relays.get(at).filter(|_| !b.gone)?.client;
            let flow = client.flow();
            let mine =
                flow.transport == Transport::Udp && (flow.local, flow.remote) == (local, remote);
            let peer = client.channel_peer(now, number).filter(|_| mine)?;
            // A relay of both address families has a base for each.
            if peer.is_ipv4() != b.addr.is_ipv4() {
                return None;
            }
            Some((base, peer, content.clone()))
        })
    }

    /// A packet of a component has gone out by its [`Route`](super::Route).
    pub fn sent(&mut self, now: Instant, component: u16) {
        let slot = usize::from(component.clamp(1, 2) - 1);
        if let Some(selected) = &mut self.selected[slot] {
            selected.sent(now);
        }
    }
}
