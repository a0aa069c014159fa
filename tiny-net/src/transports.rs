//! The sockets of one engine behind one await point.

use crate::streams::Streams;
use crate::tls::{TlsConfig, TlsError};
use crate::udp::UdpSocket;
use crate::{BindError, Config, NetEvent, Stats};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use tiny_sak::{Flow, Transport};

#[cfg(test)]
mod tests;

/// What this build can carry, in the order of preference where nobody has one.
pub(crate) const DRIVERS: &[Transport] = &[
    Transport::Udp,
    Transport::Tcp,
    #[cfg(feature = "tls")]
    Transport::Tls,
    #[cfg(feature = "ws")]
    Transport::Ws,
    #[cfg(all(feature = "ws", feature = "tls"))]
    Transport::Wss,
];

/// The datagram sockets, listeners and connections of one engine task.
///
/// It belongs to a tokio runtime with I/O and time enabled. Nothing here waits but
/// [`recv`](Self::recv). Dropping it closes all sockets; what is queued on open connections is
/// still written while the runtime lives.
///
/// ```
/// # async fn demo() -> Result<(), tiny_net::BindError> {
/// use tiny_net::{Config, NetEvent, SipTransports};
/// use tiny_sak::Transport;
///
/// let mut net = SipTransports::new(Config::default());
/// let ours = net.bind(Transport::Udp, "127.0.0.1:0".parse().unwrap())?;
/// assert_ne!(ours.port(), 0);
/// loop {
///     match net.recv().await {
///         NetEvent::Datagram { flow, data } => net.send(flow, data), // echo
///         _ => break,
///     }
/// }
/// # Ok(()) }
/// ```
pub struct SipTransports {
    udp: Vec<UdpSocket>,
    streams: Streams,
    failed: VecDeque<NetEvent>,
    // The socket that is asked first, so that a flooded one does not silence the others.
    turn: usize,
    config: Arc<Config>,
    stats: Stats,
}

impl SipTransports {
    /// No socket yet.
    pub fn new(config: Config) -> Self {
        let config = Arc::new(config);
        Self {
            udp: Vec::new(),
            streams: Streams::new(Arc::clone(&config)),
            failed: VecDeque::new(),
            turn: 0,
            config,
            stats: Stats::default(),
        }
    }

    /// Opens a datagram socket or a listener and returns its address; port 0 picks a free port.
    /// `[::]` means all IPv6 addresses only: bind `0.0.0.0` beside it for both families.
    ///
    /// # Errors
    /// [`BindError`] names the address and the port.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(
        &mut self,
        transport: Transport,
        addr: SocketAddr,
    ) -> Result<SocketAddr, BindError> {
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind(addr, &self.config)?;
                let local = socket.local();
                self.udp.push(socket);
                Ok(local)
            }
            _ if DRIVERS.contains(&transport) => self.streams.bind(transport, addr),
            _ => Err(BindError::NoDriver { transport }),
        }
    }

    /// Closes the socket or listener at an address; the connections that it took stay.
    pub fn unbind(&mut self, transport: Transport, local: SocketAddr) {
        match transport {
            Transport::Udp => {
                self.flush();
                self.udp.retain(|socket| socket.local() != local);
            }
            _ => self.streams.unbind(transport, local),
        }
    }

    /// Binds anew after a change of network: the old socket is closed first, so that the new one can
    /// have its port even at the same address. Another port is taken where that one is taken.
    ///
    /// # Errors
    /// [`BindError`] when the address is not there.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn rebind(
        &mut self,
        transport: Transport,
        old: SocketAddr,
        new: SocketAddr,
    ) -> Result<SocketAddr, BindError> {
        self.unbind(transport, old);
        match self.bind(transport, new) {
            Err(BindError::PortInUse { .. }) => self.bind(transport, SocketAddr::new(new.ip(), 0)),
            bound => bound,
        }
    }

    /// Ends at once, and without an event, all connections from addresses that are not ours any
    /// more: nothing that is queued on them would arrive. Gives back their flows.
    pub fn drop_connections(&mut self, gone: impl Fn(IpAddr) -> bool) -> Vec<Flow> {
        self.streams.drop_connections(gone)
    }

    /// The address that connections to peers who cannot connect back will come from: this one with
    /// a port of its own, kept for as long as there is a driver, so that it can be told before they
    /// are open. Port 0 where the system cannot promise one.
    pub fn client_address(&mut self, transport: Transport, ip: IpAddr) -> SocketAddr {
        self.streams.client_address(transport, ip)
    }

    /// What this build can carry.
    pub fn supported() -> &'static [Transport] {
        DRIVERS
    }

    /// The addresses bound so far.
    pub fn listening(&self) -> impl Iterator<Item = (Transport, SocketAddr)> + '_ {
        let udp = self.udp.iter().map(|s| (Transport::Udp, s.local()));
        udp.chain(self.streams.listeners())
    }

    /// Sends without waiting. What cannot be sent comes back as [`NetEvent::SendFailed`].
    ///
    /// A datagram leaves through the socket bound to `flow.local` (an exact match, else the same
    /// port on a wildcard address, else any socket of the family), at the latest with the next
    /// [`recv`](Self::recv) or [`flush`](Self::flush). A stream message joins the queue of the
    /// connection to `flow.remote`, which is opened, from `flow.local`'s address, if there is none;
    /// a WebSocket message must be one whole SIP message.
    ///
    /// A TLS server must prove to be the domain told by [`expect_name`](Self::expect_name), or
    /// failing that the bare address of `flow.remote`; [`send_to`](Self::send_to) tells the domain
    /// itself.
    pub fn send(&mut self, flow: Flow, data: Bytes) {
        self.dispatch(flow, None, data);
    }

    /// [`send`](Self::send) to a SIP domain: the host of the URI that was looked up, not what the
    /// look-up led to (RFC 5922 §7.3).
    ///
    /// Under TLS, a connection is used whose far end proved to be `name`, whatever it was first
    /// opened for; else one is opened to `flow.remote` that asks for `name` (SNI) and is given up
    /// if the certificate does not have it. So one address can serve several domains. Such a
    /// further connection to one address has its own port in its events' `flow.local`. Over
    /// WebSocket the name is the `Host` as well; elsewhere it has no meaning.
    pub fn send_to(&mut self, flow: Flow, name: &str, data: Bytes) {
        self.dispatch(flow, Some(name), data);
    }

    /// Tells which SIP domain [`send`](Self::send) means by an address, from now on: for a caller
    /// whose flows do not carry names. Where one address serves several domains, use
    /// [`send_to`](Self::send_to).
    pub fn expect_name(&mut self, transport: Transport, remote: SocketAddr, name: &str) {
        self.streams.expect_name(transport, remote, name);
    }

    /// Uses a connection that the peer opened for requests to `sent_by` too: the address in its Via
    /// with the `alias` parameter (RFC 5923). False where that may not be: we opened it, or it is
    /// under TLS and the peer showed no certificate.
    pub fn alias(&mut self, flow: Flow, sent_by: SocketAddr) -> bool {
        self.streams.alias(flow, sent_by)
    }

    /// Puts other certificates, keys and authorities in force, or the same ones read from their
    /// files again. Connections that stand go on; those opened from now on use the new ones.
    ///
    /// # Errors
    /// [`TlsError`] names what is wrong; the old settings stay in force.
    pub fn set_tls(&mut self, config: &TlsConfig) -> Result<(), TlsError> {
        self.streams.set_tls(config)
    }

    /// Why the last connection to `flow.remote` could not be opened, in words: the certificate's
    /// names, what the server answered… The last 64 are remembered.
    pub fn failure(&self, flow: Flow) -> Option<&str> {
        self.streams.failure(flow)
    }

    /// Opens the connection that [`send_to`](Self::send_to) would use, if it is not there, and tells
    /// whether it stands already. If not, `Opened` or `SendFailed` will tell what becomes of it.
    pub fn connect(&mut self, flow: Flow, name: Option<&str>) -> bool {
        match flow.transport {
            Transport::Udp => true,
            t if DRIVERS.contains(&t) => self.streams.connect(flow, name, &mut self.stats),
            _ => {
                self.fail(flow, io::ErrorKind::Unsupported);
                false
            }
        }
    }

    fn dispatch(&mut self, flow: Flow, name: Option<&str>, data: Bytes) {
        match flow.transport {
            Transport::Udp => match self.udp_socket(&flow) {
                Some(i) => self.udp[i].send(flow, data, &mut self.stats),
                None => self.fail(flow, io::ErrorKind::AddrNotAvailable),
            },
            t if DRIVERS.contains(&t) => self.streams.send(flow, name, data, &mut self.stats),
            _ => self.fail(flow, io::ErrorKind::Unsupported),
        }
    }

    fn fail(&mut self, flow: Flow, error: io::ErrorKind) {
        self.stats.send_failures += 1;
        self.failed.push_back(NetEvent::SendFailed { flow, error });
    }

    fn udp_socket(&self, flow: &Flow) -> Option<usize> {
        let rank = |socket: &UdpSocket| {
            let ours = socket.local();
            match () {
                () if ours.is_ipv4() != flow.remote.is_ipv4() => None,
                () if ours == flow.local => Some(0),
                () if ours.port() == flow.local.port() && ours.ip().is_unspecified() => Some(1),
                () if ours.ip() == flow.local.ip() => Some(2),
                () => Some(3),
            }
        };
        let ranked = self.udp.iter().enumerate().filter_map(|(i, s)| Some((rank(s)?, i)));
        ranked.min().map(|(_, i)| i)
    }

    /// Ends a connection after writing what is queued. No event follows.
    pub fn close(&mut self, flow: Flow) {
        self.streams.close(flow);
    }

    /// Gives queued datagrams to the system now, for a caller that will not
    /// [`recv`](Self::recv) soon.
    pub fn flush(&mut self) {
        self.udp.iter_mut().for_each(|socket| socket.flush(&mut self.stats));
    }

    /// The next event. Cancelling the future loses nothing, so it fits a `select!`.
    pub async fn recv(&mut self) -> NetEvent {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv) for a caller that polls by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<NetEvent> {
        if let Some(event) = self.failed.pop_front() {
            return Poll::Ready(event);
        }
        let sources = self.udp.len() + 1;
        for i in 0..sources {
            let source = (self.turn + i) % sources;
            let event = match self.udp.get_mut(source) {
                Some(socket) => socket.poll_recv(cx, &mut self.stats),
                None => self.streams.poll_recv(cx, &mut self.stats),
            };
            if event.is_ready() {
                // A source keeps its turn for one batch at most.
                self.turn = (source + 1) % sources;
                return event;
            }
        }
        Poll::Pending
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        Stats { connections: self.streams.len(), ..self.stats }
    }
}

impl std::fmt::Debug for SipTransports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SipTransports")
            .field("listening", &self.listening().collect::<Vec<_>>())
            .field("connections", &self.streams.len())
            .finish_non_exhaustive()
    }
}

impl Drop for SipTransports {
    fn drop(&mut self) {
        self.flush();
    }
}
