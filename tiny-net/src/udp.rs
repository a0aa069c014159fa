//! One SIP datagram socket on tokio, polled by the engine itself: no task and no channel between
//! the system and the core.
//!
//! Received datagrams are handed up as `Bytes` of exactly their length. A shared arena would save
//! one small allocation a message, but one message kept by a dialog would then pin its neighbours.
//! It never parses, and never waits in [`UdpSocket::send`].

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as system;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use portable as system;
#[cfg(test)]
mod tests;

use crate::{BindError, Config, NetEvent, Stats};
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tiny_sak::{Flow, Transport};
use tokio::io::Interest;
use tokio::net::UdpSocket as TokioSocket;

/// What a system call told about one datagram.
struct Received {
    len: usize,
    truncated: bool,
    remote: SocketAddr,
    local: Option<IpAddr>,
}

type Readiness = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

pub(crate) struct UdpSocket {
    io: Arc<TokioSocket>,
    local: SocketAddr,
    // One buffer a datagram of a batch; untouched pages cost nothing.
    scratch: Vec<u8>,
    buffer_size: usize,
    batch: usize,
    // The last call found more than one datagram: use the batch call next.
    busy: bool,
    results: Vec<io::Result<Received>>,
    inbox: VecDeque<NetEvent>,
    outbox: VecDeque<(Flow, Bytes)>,
    outbox_limit: usize,
    blocked: bool,
    // Pending while the socket has no ICMP error to tell.
    error_ready: Option<Readiness>,
}

impl UdpSocket {
    pub(crate) fn bind(addr: SocketAddr, config: &Config) -> Result<Self, BindError> {
        Self::open(addr, config).map_err(|e| BindError::new(Transport::Udp, addr, e))
    }

    fn open(addr: SocketAddr, config: &Config) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            // So that [::] and 0.0.0.0 can be bound side by side, and no peer looks like
            // ::ffff:192.0.2.1.
            socket.set_only_v6(true)?;
        }
        // What the system does not grant is no reason to fail.
        let _ = socket.set_recv_buffer_size(config.udp_receive_buffer);
        let _ = socket.set_send_buffer_size(config.udp_send_buffer);
        system::configure(&socket, addr.is_ipv6())?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let io = TokioSocket::from_std(socket.into())?;
        let local = io.local_addr()?;
        let batch = config.udp_receive_batch.clamp(1, 64);
        // One byte more than the limit tells a datagram that is too long from one that fits.
        let buffer_size = config.max_datagram.min(65_535) + 1;
        Ok(Self {
            io: Arc::new(io),
            local,
            scratch: vec![0; batch * buffer_size],
            buffer_size,
            batch,
            busy: false,
            results: Vec::with_capacity(batch),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            outbox_limit: config.udp_send_queue,
            blocked: false,
            error_ready: None,
        })
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes a datagram to send. It leaves with the next [`flush`](Self::flush), or at once when a
    /// batch is full.
    pub(crate) fn send(&mut self, flow: Flow, data: Bytes, stats: &mut Stats) {
        if self.outbox.len() >= self.outbox_limit {
            self.flush(stats);
        }
        if self.outbox.len() >= self.outbox_limit {
            return self.fail(flow, io::ErrorKind::QuotaExceeded, stats);
        }
        self.outbox.push_back((flow, data));
        if self.outbox.len() >= self.batch && !self.blocked {
            self.flush(stats);
        }
    }

    /// Gives the system what waits, until it takes no more.
    pub(crate) fn flush(&mut self, stats: &mut Stats) {
        let mut retried = false;
        while let Some((flow, _)) = self.outbox.front() {
            let flow = *flow;
            match self.send_front(flow) {
                Ok(sent) => {
                    self.outbox.drain(..sent);
                    stats.datagrams_out += sent as u64;
                    retried = false;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The system reports the ICMP answer to an earlier datagram, perhaps to someone
                // else, in place of sending this one: read the queue of errors, then try again.
                Err(e) if !retried && system::is_pending_icmp(&e) => {
                    self.drain_errors(stats);
                    retried = true;
                }
                Err(e) => {
                    self.outbox.pop_front();
                    self.fail(flow, e.kind(), stats);
                    retried = false;
                }
            }
        }
        self.blocked = false;
    }

    fn send_front(&self, flow: Flow) -> io::Result<usize> {
        // A socket bound to one address needs no help in choosing it.
        let source = |flow: &Flow| {
            let ip = flow.local.ip();
            (self.local.ip().is_unspecified() && !ip.is_unspecified()).then_some(ip)
        };
        let from = source(&flow);
        let same = self.outbox.iter().take_while(|(f, _)| source(f) == from);
        let run = same.clone().take(2).count();
        let send = || {
            if run == 1 {
                let data = &self.outbox[0].1;
                return system::send_one(&*self.io, data, flow.remote, from).map(|()| 1);
            }
            system::send_many(&*self.io, same.clone().map(|(f, d)| (&d[..], f.remote)), from)
        };
        // Ask the system first: a socket that the runtime has not yet seen ready is mostly writable.
        match send() {
            // Once more under the runtime's eyes, so that it waits for the socket without missing
            // the moment.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.io.try_io(Interest::WRITABLE, send)
            }
            outcome => outcome,
        }
    }

    fn fail(&mut self, flow: Flow, error: io::ErrorKind, stats: &mut Stats) {
        stats.send_failures += 1;
        self.inbox.push_back(NetEvent::SendFailed { flow, error });
    }

    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, stats: &mut Stats) -> Poll<NetEvent> {
        loop {
            if self.blocked && self.io.poll_send_ready(cx).is_ready() {
                self.blocked = false;
            }
            if !self.blocked {
                self.flush(stats);
                // Readiness that was spent: ask for the wake-up.
                if self.blocked {
                    continue;
                }
            }
            if let Some(event) = self.inbox.pop_front() {
                return Poll::Ready(event);
            }
            self.poll_errors(cx, stats);
            if !self.inbox.is_empty() {
                continue;
            }
            if ready!(self.io.poll_recv_ready(cx)).is_err() {
                // The runtime is shutting down.
                return Poll::Pending;
            }
            self.receive(stats);
        }
    }

    fn receive(&mut self, stats: &mut Stats) {
        self.results.clear();
        let (io, results) = (&self.io, &mut self.results);
        let scratch =
            if self.busy { &mut self.scratch[..] } else { &mut self.scratch[..self.buffer_size] };
        let size = self.buffer_size;
        let outcome = if self.busy {
            io.try_io(Interest::READABLE, || system::receive_many(&**io, scratch, size, results))
        } else {
            io.try_io(Interest::READABLE, || system::receive_one(&**io, scratch))
                .map(|r| results.push(Ok(r)))
        };
        match outcome {
            Ok(()) => {
                // A batch that found one datagram is slower than the plain call; one datagram
                // right behind another is what the batch is for.
                self.busy = self.batch > 1 && (!self.busy || self.results.len() > 1);
                stats.receive_batches += 1;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.busy = false;
                return;
            }
            Err(_) => return self.drain_errors(stats),
        }
        let mut results = std::mem::take(&mut self.results);
        for (i, result) in results.drain(..).enumerate() {
            let Ok(r) = result else { continue };
            if r.truncated || r.len >= self.buffer_size {
                stats.datagrams_too_long += 1;
                continue;
            }
            stats.datagrams_in += 1;
            let data = Bytes::copy_from_slice(&self.scratch[i * size..i * size + r.len]);
            let flow = self.flow(r.remote, r.local);
            self.inbox.push_back(NetEvent::Datagram { flow, data });
        }
        self.results = results;
    }

    fn flow(&self, remote: SocketAddr, local: Option<IpAddr>) -> Flow {
        let mut ours = self.local;
        if ours.ip().is_unspecified() {
            let local = local.filter(|ip| ip.is_ipv4() == ours.is_ipv4());
            if let Some(ip) = local.or_else(|| crate::local_address_for(remote).ok()) {
                ours.set_ip(ip);
            }
        }
        Flow { transport: Transport::Udp, local: ours, remote }
    }

    fn poll_errors(&mut self, cx: &mut Context<'_>, stats: &mut Stats) {
        loop {
            let waiting = self.error_ready.get_or_insert_with(|| {
                let io = Arc::clone(&self.io);
                Box::pin(async move { io.ready(Interest::ERROR).await.map(|_| ()) })
            });
            match waiting.as_mut().poll(cx) {
                Poll::Pending | Poll::Ready(Err(_)) => return,
                Poll::Ready(Ok(())) => {
                    self.error_ready = None;
                    self.drain_errors(stats);
                }
            }
        }
    }

    fn drain_errors(&mut self, stats: &mut Stats) {
        // Bounded, lest a flood of ICMP starve the datagrams.
        for _ in 0..64 {
            let next = self.io.try_io(Interest::ERROR, || {
                system::receive_error(&*self.io).ok_or_else(|| io::ErrorKind::WouldBlock.into())
            });
            match next {
                Ok(Some(e)) => {
                    let flow = self.flow(e.remote, e.local);
                    self.fail(flow, e.kind, stats);
                }
                Ok(None) => {}
                Err(_) => break,
            }
        }
    }
}
