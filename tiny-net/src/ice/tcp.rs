//! Checks and data over TCP (RFC 6544 §7, §10): each packet behind its length (RFC 4571 §2). Connections
//! are opened by the first check, or by the peer; a frame beyond the limit ends one.

use super::agent::Agent;
use super::candidate::TcpType;
use super::local::Via;
use super::report::PairFailure;
use crate::NetEvent;
use crate::stun::Transmit;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::net::SocketAddr;
use std::time::Instant;
use tiny_sak::{Flow, Output, Transport};

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) base: usize,
    pub(super) flow: Flow,
    buffer: BytesMut,
}

impl Agent {
    /// Sends over the connection of a pair; the active side opens it by that.
    pub(super) fn send_tcp(&mut self, base: usize, remote: SocketAddr, data: &[u8]) {
        let known = self.connections.iter().find(|c| c.base == base && c.flow.remote == remote);
        let flow = match (known.map(|c| c.flow), self.bases[base].via) {
            (Some(flow), _) => flow,
            // Only the peer can open it.
            (None, Via::Tcp(TcpType::Passive)) => return,
            (None, _) => {
                let local = self.bases[base].addr;
                let flow = Flow { transport: Transport::Tcp, local, remote };
                if !self.new_connection(base, flow) {
                    return;
                }
                flow
            }
        };
        let mut framed = BytesMut::with_capacity(2 + data.len());
        framed.put_u16(data.len().min(usize::from(u16::MAX)) as u16);
        framed.put_slice(data.get(..data.len().min(usize::from(u16::MAX))).unwrap_or_default());
        self.out.push_back(Output::Transmit(Transmit::Send { flow, data: framed.freeze() }));
    }

    fn new_connection(&mut self, base: usize, flow: Flow) -> bool {
        if self.connections.len() >= self.config.max_connections {
            self.counters.connections_refused += 1;
            // A stranger can open one and keep it; who has shown that it knows us has a pair.
            let stranger = |c: &Connection| !self.has_pair(c.base, c.flow.remote);
            let Some(at) = self.connections.iter().position(stranger) else { return false };
            let flow = self.connections.remove(at).flow;
            self.out.push_back(Output::Transmit(Transmit::Close { flow }));
        }
        self.connections.push(Connection { base, flow, buffer: BytesMut::new() });
        true
    }

    fn has_pair(&self, base: usize, remote: SocketAddr) -> bool {
        let mut sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        sessions.any(|s| s.pairs.iter().any(|pair| (pair.base, pair.remote) == (base, remote)))
    }

    /// An event of a connection that is no relay's.
    pub(super) fn tcp_event(&mut self, now: Instant, event: &NetEvent) {
        let flow = event.flow();
        let known = self.connections.iter().position(|c| c.flow == flow);
        match event {
            NetEvent::Opened { .. } | NetEvent::Stream { .. } if known.is_none() => {
                let listens =
                    |via| matches!(via, Via::Tcp(TcpType::Passive | TcpType::SimultaneousOpen));
                let mine =
                    |b: &super::local::Base| !b.gone && b.addr == flow.local && listens(b.via);
                let Some(base) = self.bases.iter().position(mine) else { return };
                if !self.new_connection(base, flow) {
                    self.out.push_back(Output::Transmit(Transmit::Close { flow }));
                    return;
                }
                let at = self.connections.len() - 1;
                if let NetEvent::Stream { data, .. } = event {
                    self.tcp_data(now, at, data);
                }
            }
            NetEvent::Stream { data, .. } => {
                if let Some(at) = known {
                    self.tcp_data(now, at, data);
                }
            }
            NetEvent::Closed { error, .. } => {
                let kind = error.unwrap_or(std::io::ErrorKind::ConnectionAborted);
                self.tcp_ended(now, flow, kind);
            }
            NetEvent::SendFailed { error, .. } => self.tcp_ended(now, flow, *error),
            _ => {}
        }
    }

    fn tcp_data(&mut self, now: Instant, at: usize, data: &Bytes) {
        self.connections[at].buffer.extend_from_slice(data);
        let flow = self.connections[at].flow;
        // What is read may end the connection.
        while let Some(connection) = self.connections.iter_mut().find(|c| c.flow == flow) {
            let Some(&head) = connection.buffer.first_chunk::<2>() else { return };
            let length = usize::from(u16::from_be_bytes(head));
            if length > self.config.max_frame {
                self.counters.connections_refused += 1;
                self.out.push_back(Output::Transmit(Transmit::Close { flow }));
                return self.tcp_ended(now, flow, std::io::ErrorKind::InvalidData);
            }
            if connection.buffer.len() < 2 + length {
                return;
            }
            connection.buffer.advance(2);
            let packet = connection.buffer.split_to(length).freeze();
            let base = connection.base;
            self.received(now, base, flow.remote, packet);
        }
    }

    fn tcp_ended(&mut self, now: Instant, flow: Flow, error: std::io::ErrorKind) {
        let Some(at) = self.connections.iter().position(|c| c.flow == flow) else { return };
        let base = self.connections.swap_remove(at).base;
        for session in std::iter::once(&mut self.session).chain(self.old.as_mut()) {
            if let Some(pair) = session.pair_of(base, flow.remote) {
                pair.fail(PairFailure::Unreachable(error));
            }
        }
        self.choose(now);
    }
}
