//! Media sockets: an even port for RTP and the odd one above it for RTCP (RFC 3550 §11).
//!
//! A pair is bound anywhere and then attached to the runtime of the media thread that will poll it.
//! The packet path does not allocate, lock or wait: one call moves one packet between the system and
//! a buffer of the caller.

use crate::{BindError, Config};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::ops::RangeInclusive;
use std::task::{Context, Poll};
use tiny_sak::{Rng, Transport};
use tokio::net::UdpSocket as TokioSocket;

/// Hands out port pairs of a range. It begins at a random place and goes round, so that a port is
/// not used again at once by another call (late packets of the old one would reach it).
#[derive(Debug)]
pub struct RtpPorts {
    first: u16,
    pairs: u16,
    next: u16,
}

impl RtpPorts {
    /// The pairs that lie wholly within a range. A range without one (`[5, 6]`, say) is allowed and
    /// refuses every [`bind`](Self::bind).
    pub fn new(range: RangeInclusive<u16>, rng: &mut Rng) -> Self {
        let first = u32::from(*range.start()).next_multiple_of(2).max(2);
        let pairs = (u32::from(*range.end()) + 1).saturating_sub(first) / 2;
        let pairs = if range.is_empty() { 0 } else { pairs as u16 };
        let next = rng.below(u64::from(pairs)) as u16;
        Self { first: first.min(65_534) as u16, pairs, next }
    }

    /// How many calls the range can carry at once.
    pub fn pairs(&self) -> u16 {
        self.pairs
    }

    /// Binds the next free pair on an address of this machine.
    ///
    /// # Errors
    /// [`BindError::NoFreePair`] when all are taken; any other error of the system at once.
    pub fn bind(&mut self, ip: IpAddr, config: &Config) -> Result<RtpPair, BindError> {
        for _ in 0..self.pairs {
            let port = self.first + 2 * self.next;
            self.next = (self.next + 1) % self.pairs;
            match RtpPair::bind(ip, port, config) {
                Err(BindError::PortInUse { .. }) => {}
                outcome => return outcome,
            }
        }
        let last = self.first.saturating_add((2 * self.pairs).saturating_sub(1));
        Err(BindError::NoFreePair { ip, first: self.first, last })
    }
}

/// Two bound sockets that belong to no runtime yet.
#[derive(Debug)]
pub struct RtpPair {
    rtp: StdSocket,
    rtcp: StdSocket,
    local: SocketAddr,
}

impl RtpPair {
    /// Binds `port` for RTP and `port + 1` for RTCP.
    ///
    /// # Errors
    /// [`BindError`] names the port that could not be had. An odd port is refused as
    /// `NoFreePair`.
    pub fn bind(ip: IpAddr, port: u16, config: &Config) -> Result<Self, BindError> {
        if !port.is_multiple_of(2) || port == 0 {
            return Err(BindError::NoFreePair { ip, first: port, last: port });
        }
        let local = SocketAddr::new(ip, port);
        Ok(Self {
            rtp: open(local, config)?,
            rtcp: open(SocketAddr::new(ip, port + 1), config)?,
            local,
        })
    }

    /// The address of the RTP socket; RTCP has the port above it.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Attaches both to the tokio runtime that this is called in: RTP first, then RTCP.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn attach(self) -> io::Result<(RtpSocket, RtpSocket)> {
        Ok((RtpSocket::new(self.rtp)?, RtpSocket::new(self.rtcp)?))
    }
}

fn open(addr: SocketAddr, config: &Config) -> Result<StdSocket, BindError> {
    let open = || -> io::Result<StdSocket> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        let _ = socket.set_recv_buffer_size(config.rtp_receive_buffer);
        let _ = socket.set_send_buffer_size(config.rtp_send_buffer);
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        Ok(socket.into())
    };
    open().map_err(|e| BindError::new(Transport::Udp, addr, e))
}

/// One media socket on the current runtime.
#[derive(Debug)]
pub struct RtpSocket {
    io: TokioSocket,
    local: SocketAddr,
}

impl RtpSocket {
    fn new(socket: StdSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        Ok(Self { io: TokioSocket::from_std(socket)?, local })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits until a packet may be there. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// [`readable`](Self::readable) for a worker that polls many sockets by hand.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_recv_ready(cx)
    }

    /// Takes one packet, if there is one: its length and sender. A packet longer than the buffer is
    /// cut.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.try_recv_from(buffer)
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// `WouldBlock` when the send buffer is full: media does not wait, so the packet is lost.
    pub fn try_send_to(&self, packet: &[u8], remote: SocketAddr) -> io::Result<()> {
        // Straight to the system: the runtime may not have seen the new socket ready yet.
        socket2::SockRef::from(&self.io).send_to(packet, &remote.into()).map(|_| ())
    }

    /// Marks packets for the network (RFC 2474): 46 is "expedited forwarding", usual for voice.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_dscp(&self, dscp: u8) -> io::Result<()> {
        let socket = socket2::SockRef::from(&self.io);
        let field = u32::from(dscp & 0x3f) << 2;
        if self.local.is_ipv4() { socket.set_tos_v4(field) } else { socket.set_tclass_v6(field) }
    }
}

#[cfg(test)]
mod tests;
