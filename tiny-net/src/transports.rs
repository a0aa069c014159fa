//! The sockets of one engine behind one await point.

use crate::tcp::Tcp;
use crate::udp::UdpSocket;
use crate::{BindError, Config, NetEvent, Stats};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tiny_sak::{Flow, Transport};

#[cfg(test)]
mod tests;

/// What this build can carry, in the order of preference where nobody has one.
pub(crate) const DRIVERS: &[Transport] = &[Transport::Udp, Transport::Tcp];

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
    tcp: Tcp,
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
            tcp: Tcp::new(Arc::clone(&config)),
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
            Transport::Tcp => self.tcp.bind(addr),
            _ => Err(BindError::NoDriver { transport }),
        }
    }

    /// The addresses bound so far.
    pub fn listening(&self) -> impl Iterator<Item = (Transport, SocketAddr)> + '_ {
        let udp = self.udp.iter().map(|s| (Transport::Udp, s.local()));
        udp.chain(self.tcp.listeners().map(|local| (Transport::Tcp, local)))
    }

    /// Sends without waiting. What cannot be sent comes back as [`NetEvent::SendFailed`].
    ///
    /// A datagram leaves through the socket bound to `flow.local` (an exact match, else the same
    /// port on a wildcard address, else any socket of the family), at the latest with the next
    /// [`recv`](Self::recv) or [`flush`](Self::flush). A stream message joins the queue of the
    /// connection to `flow.remote`, which is opened, from `flow.local`'s address, if there is none.
    pub fn send(&mut self, flow: Flow, data: Bytes) {
        match flow.transport {
            Transport::Udp => match self.udp_socket(&flow) {
                Some(i) => self.udp[i].send(flow, data, &mut self.stats),
                None => self.fail(flow, io::ErrorKind::AddrNotAvailable),
            },
            Transport::Tcp => self.tcp.send(flow, data, &mut self.stats),
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
        self.tcp.close(flow);
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
                None => self.tcp.poll_recv(cx, &mut self.stats),
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
        Stats { connections: self.tcp.len(), ..self.stats }
    }
}

impl std::fmt::Debug for SipTransports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SipTransports")
            .field("listening", &self.listening().collect::<Vec<_>>())
            .field("connections", &self.tcp.len())
            .finish_non_exhaustive()
    }
}

impl Drop for SipTransports {
    fn drop(&mut self) {
        self.flush();
    }
}
