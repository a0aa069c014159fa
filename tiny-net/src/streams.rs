//! Stream connections on tokio: a listener is polled by the engine, a connection has a task of its
//! own with a bounded queue each way.
//!
//! Connections are kept by transport and remote address, under TLS also by the domain that the
//! peer proved to be, and used both ways (RFC 3261 §18, RFC 5923). Bytes go up as they come:
//! framing is the core's, except that WebSocket has its own.

mod task;
#[cfg(test)]
mod tests;
#[cfg(feature = "ws")]
mod ws;
#[cfg(all(test, feature = "ws"))]
mod ws_tests;

use crate::tls::{TlsConfig, TlsError};
use crate::{BindError, Config, NetEvent, Stats};
use bytes::Bytes;
use smallvec::SmallVec;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use task::{Opening, Task, TaskEvent, What};
use tiny_sak::{Flow, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

#[cfg(feature = "tls")]
use crate::tls::{PeerIdentity, engine::Engine};
/// Without TLS nobody proves anything.
#[cfg(not(feature = "tls"))]
pub(crate) enum PeerIdentity {}
#[cfg(not(feature = "tls"))]
impl PeerIdentity {
    fn covers(&self, _: &str) -> bool {
        match *self {}
    }
}

type Key = (Transport, SocketAddr);

pub(crate) struct Streams {
    listeners: Vec<(TcpListener, SocketAddr, Transport)>,
    connections: HashMap<u64, Connection>,
    by_remote: HashMap<Key, SmallVec<[u64; 1]>>,
    // The domains that `expect_name` told.
    names: HashMap<Key, Arc<str>>,
    // Ports that our own connections come from, see `client_address`.
    client_ports: HashMap<(Transport, IpAddr), (Socket, u16)>,
    // Why connections failed lately, newest last.
    failures: VecDeque<(Flow, String)>,
    #[cfg(feature = "tls")]
    tls: Option<Engine>,
    events: mpsc::Receiver<TaskEvent>,
    // Handed to each connection's task.
    sender: mpsc::Sender<TaskEvent>,
    inbox: VecDeque<NetEvent>,
    next_id: u64,
    // Connections to one address are told apart by where they come from.
    exact: bool,
    config: Arc<Config>,
}

struct Connection {
    flow: Flow,
    // The remote address, and those it is an alias for.
    keys: SmallVec<[Key; 1]>,
    // The domain it was opened for, and the one its far end proved to be.
    name: Option<Arc<str>>,
    identity: Option<Arc<PeerIdentity>>,
    queue: mpsc::Sender<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    task: AbortHandle,
    open: bool,
    accepted: bool,
}

impl Connection {
    fn serves(&self, name: &str) -> bool {
        let opened_for = self.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        opened_for || self.identity.as_ref().is_some_and(|identity| identity.covers(name))
    }
}

// Names expected and failures remembered, at most.
const MOST_NAMES: usize = 1024;
const MOST_FAILURES: usize = 64;
const MOST_CLIENT_PORTS: usize = 64;

impl Streams {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        let (sender, events) = mpsc::channel(config.stream_event_queue.max(1));
        Self {
            listeners: Vec::new(),
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            names: HashMap::new(),
            client_ports: HashMap::new(),
            failures: VecDeque::new(),
            #[cfg(feature = "tls")]
            tls: None,
            events,
            sender,
            inbox: VecDeque::new(),
            next_id: 0,
            exact: false,
            config,
        }
    }

    /// Each flow has a connection of its own, which keeps its name.
    pub(crate) fn with_exact_flows(config: Arc<Config>) -> Self {
        let mut streams = Self::new(config);
        streams.exact = true;
        streams
    }

    pub(crate) fn bind(
        &mut self,
        transport: Transport,
        addr: SocketAddr,
    ) -> Result<SocketAddr, BindError> {
        if transport.is_secure() {
            self.can_accept().map_err(|source| BindError::Tls { transport, addr, source })?;
        }
        let open = || -> io::Result<(TcpListener, SocketAddr)> {
            let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
            if addr.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // So that a restart does not wait for the old connections' TIME_WAIT; a second
            // listener is still refused. On Windows the option would mean something else.
            #[cfg(not(windows))]
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&addr.into())?;
            socket.listen(self.config.tcp_backlog.min(i32::MAX as u32) as i32)?;
            let listener = TcpListener::from_std(socket.into())?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        };
        let (listener, local) = open().map_err(|e| BindError::new(transport, addr, e))?;
        self.listeners.push((listener, local, transport));
        Ok(local)
    }

    pub(crate) fn unbind(&mut self, transport: Transport, local: SocketAddr) {
        self.listeners.retain(|(_, bound, t)| *t != transport || *bound != local);
    }

    /// Ends connections from addresses that are gone. They cannot end in order any more.
    pub(crate) fn drop_connections(&mut self, gone: impl Fn(IpAddr) -> bool) -> Vec<Flow> {
        self.client_ports.retain(|(_, ip), _| !gone(*ip));
        let lost = self.connections.iter().filter(|(_, c)| gone(c.flow.local.ip()));
        let lost: Vec<(u64, Flow)> = lost.map(|(id, c)| (*id, c.flow)).collect();
        for (id, _) in &lost {
            if let Some(connection) = self.connections.get(id) {
                connection.task.abort();
            }
            self.forget(*id);
        }
        lost.into_iter().map(|(_, flow)| flow).collect()
    }

    #[cfg(feature = "tls")]
    fn can_accept(&mut self) -> Result<(), TlsError> {
        if self.engine()?.can_accept() { Ok(()) } else { Err(TlsError::NoServerIdentity) }
    }

    #[cfg(not(feature = "tls"))]
    fn can_accept(&mut self) -> Result<(), TlsError> {
        Err(TlsError::NoServerIdentity)
    }

    // The settings are read when they are first needed.
    #[cfg(feature = "tls")]
    fn engine(&mut self) -> Result<Engine, TlsError> {
        if self.tls.is_none() {
            self.tls = Some(Engine::new(&self.config.tls)?);
        }
        self.tls.clone().ok_or(TlsError::NoServerIdentity)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn set_tls(&mut self, config: &TlsConfig) -> Result<(), TlsError> {
        let engine = Engine::new(config)?;
        let listening = self.listeners.iter().any(|(_, _, transport)| transport.is_secure());
        if listening && !engine.can_accept() {
            return Err(TlsError::NoServerIdentity);
        }
        self.tls = Some(engine);
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn set_tls(&mut self, _: &TlsConfig) -> Result<(), TlsError> {
        Err(TlsError::Unusable { what: "TLS", detail: "it is not in this build".to_owned() })
    }

    /// An address that connections from this one will come from, whatever they lead to. The socket
    /// that holds the port neither listens nor connects.
    pub(crate) fn client_address(&mut self, transport: Transport, ip: IpAddr) -> SocketAddr {
        let open = || -> io::Result<(Socket, u16)> {
            let any = SocketAddr::new(ip, 0);
            let socket = Socket::new(Domain::for_address(any), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&any.into())?;
            let port = socket.local_addr()?.as_socket().map_or(0, |local| local.port());
            Ok((socket, port))
        };
        let known = self.client_ports.get(&(transport, ip)).map(|(_, port)| *port);
        let port = known.unwrap_or_else(|| {
            // Addresses that are gone give their ports back.
            if self.client_ports.len() >= MOST_CLIENT_PORTS {
                self.client_ports.clear();
            }
            // On Windows sharing a port would mean something else.
            let opened = if cfg!(windows) { None } else { open().ok() };
            opened.map_or(0, |(socket, port)| {
                self.client_ports.insert((transport, ip), (socket, port));
                port
            })
        });
        SocketAddr::new(ip, port)
    }

    pub(crate) fn listeners(&self) -> impl Iterator<Item = (Transport, SocketAddr)> + '_ {
        self.listeners.iter().map(|(_, local, transport)| (*transport, *local))
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn expect_name(&mut self, transport: Transport, remote: SocketAddr, name: &str) {
        let key = (transport, remote);
        // Beyond the bound an arbitrary one is forgotten; its next connection would have to prove
        // the bare address, and fails closed.
        if self.names.len() >= MOST_NAMES
            && !self.names.contains_key(&key)
            && let Some(old) = self.names.keys().next().copied()
        {
            self.names.remove(&old);
        }
        self.names.insert(key, plain(name).into());
    }

    pub(crate) fn alias(&mut self, flow: Flow, sent_by: SocketAddr) -> bool {
        let Some(id) = self.exact(flow) else { return false };
        let key = (flow.transport, sent_by);
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        // RFC 5923 §9.2: only where the far end has proved who it is; one alias a connection.
        let proven = !flow.transport.is_secure() || connection.identity.is_some();
        if !connection.accepted || !proven || connection.keys.len() > 1 {
            return connection.keys.contains(&key);
        }
        connection.keys.push(key);
        self.by_remote.entry(key).or_default().push(id);
        true
    }

    pub(crate) fn failure(&self, flow: Flow) -> Option<&str> {
        let same = |known: &&(Flow, String)| {
            known.0.transport == flow.transport && known.0.remote == flow.remote
        };
        self.failures.iter().rev().find(same).map(|(_, detail)| detail.as_str())
    }

    pub(crate) fn connect(&mut self, flow: Flow, name: Option<&str>, stats: &mut Stats) -> bool {
        let id = self.find_or_open(flow, name, stats);
        id.and_then(|id| self.connections.get(&id)).is_some_and(|connection| connection.open)
    }

    fn find_or_open(&mut self, flow: Flow, name: Option<&str>, stats: &mut Stats) -> Option<u64> {
        if let Some(id) = self.find(flow, name) {
            return Some(id);
        }
        if self.connections.len() >= self.config.max_connections {
            stats.refused += 1;
            self.fail(flow, io::ErrorKind::QuotaExceeded, stats);
            return None;
        }
        match self.open(flow, name) {
            Ok(id) => Some(id),
            Err(detail) => {
                self.remember(flow, detail);
                self.fail(flow, io::ErrorKind::InvalidInput, stats);
                None
            }
        }
    }

    pub(crate) fn send(&mut self, flow: Flow, name: Option<&str>, data: Bytes, stats: &mut Stats) {
        let Some(id) = self.find_or_open(flow, name, stats) else { return };
        let Some(connection) = self.connections.get(&id) else { return };
        let length = data.len();
        let waiting = connection.queued_bytes.fetch_add(length, Relaxed);
        // One message always fits into an empty queue, however long.
        let fits = waiting == 0 || waiting + length <= self.config.write_queue_bytes;
        if !fits || connection.queue.try_send(data).is_err() {
            connection.queued_bytes.fetch_sub(length, Relaxed);
            self.fail(flow, io::ErrorKind::QuotaExceeded, stats);
        }
    }

    /// The connection to use: to the right address, and under TLS to the right domain.
    fn find(&mut self, flow: Flow, name: Option<&str>) -> Option<u64> {
        let key = (flow.transport, flow.remote);
        let ids = self.by_remote.get(&key)?;
        // A connection whose task has ended, but whose end has not been read yet, is replaced.
        let dead = |id: &u64| self.connections.get(id).is_none_or(|c| c.queue.is_closed());
        for id in ids.iter().copied().filter(dead).collect::<SmallVec<[u64; 1]>>() {
            self.forget(id);
        }
        let ids = self.by_remote.get(&key)?;
        let all = || ids.iter().filter_map(|id| Some((*id, self.connections.get(id)?)));
        let exact = || all().find(|(_, c)| c.flow.local == flow.local);
        if self.exact {
            return exact().map(|(id, _)| id);
        }
        let found = match name {
            Some(name) if flow.transport.is_secure() => all().find(|(_, c)| c.serves(plain(name))),
            None if flow.transport.is_secure() => {
                // An answer to a connection of theirs goes back on it, whoever they are.
                let theirs = exact().filter(|(_, c)| c.accepted);
                theirs.or_else(|| match self.names.get(&key) {
                    Some(name) => all().find(|(_, c)| c.serves(name)),
                    // RFC 5923 §8.2: an alias is for the domains in its certificate only.
                    None => {
                        let own = |(_, c): &(u64, &Connection)| c.keys.first() == Some(&key);
                        exact().filter(own).or_else(|| all().find(own))
                    }
                })
            }
            _ => exact().or_else(|| all().next()),
        };
        found.map(|(id, _)| id)
    }

    fn exact(&self, flow: Flow) -> Option<u64> {
        let ids = self.by_remote.get(&(flow.transport, flow.remote))?;
        let same = |id: &&u64| self.connections.get(*id).is_some_and(|c| c.flow == flow);
        ids.iter().find(same).or(ids.first().filter(|_| !self.exact)).copied()
    }

    fn open(&mut self, flow: Flow, name: Option<&str>) -> Result<u64, String> {
        let key = (flow.transport, flow.remote);
        let told = name.map(|name| plain(name).into()).or_else(|| self.names.get(&key).cloned());
        let opening = Opening {
            accepted: None,
            shared_port: self
                .client_ports
                .get(&(flow.transport, flow.local.ip()))
                .is_some_and(|(_, port)| *port == flow.local.port()),
            name: told.clone().unwrap_or_else(|| flow.remote.ip().to_string().into()),
            // A second connection to one address is known by its own local address.
            distinct: self.exact(flow).is_some(),
            #[cfg(feature = "tls")]
            tls: self.engine_for(flow.transport).map_err(|e| e.to_string())?,
        };
        Ok(self.start(flow, told, opening))
    }

    #[cfg(feature = "tls")]
    fn engine_for(&mut self, transport: Transport) -> Result<Option<Engine>, TlsError> {
        transport.is_secure().then(|| self.engine()).transpose()
    }

    pub(crate) fn close(&mut self, flow: Flow) {
        // The task writes what is queued, then ends by itself.
        if let Some(id) = self.exact(flow) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        for key in connection.keys {
            if let Some(ids) = self.by_remote.get_mut(&key) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_remote.remove(&key);
                }
            }
        }
    }

    fn fail(&mut self, flow: Flow, error: io::ErrorKind, stats: &mut Stats) {
        stats.send_failures += 1;
        self.inbox.push_back(NetEvent::SendFailed { flow, error });
    }

    fn remember(&mut self, flow: Flow, detail: String) {
        while self.failures.len() >= MOST_FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back((flow, detail));
    }

    fn start(&mut self, flow: Flow, name: Option<Arc<str>>, opening: Opening) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let (queue, waiting) = mpsc::channel(self.config.write_queue_messages.max(1));
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let accepted = opening.accepted.is_some();
        let task = Task {
            id,
            flow,
            events: self.sender.clone(),
            waiting,
            queued_bytes: Arc::clone(&queued_bytes),
            config: Arc::clone(&self.config),
        };
        let task = tokio::spawn(task.run(opening)).abort_handle();
        let key = (flow.transport, flow.remote);
        let connection = Connection {
            flow,
            keys: SmallVec::from_buf([key]),
            name,
            identity: None,
            queue,
            queued_bytes,
            task,
            open: accepted && flow.transport == Transport::Tcp,
            accepted,
        };
        self.connections.insert(id, connection);
        self.by_remote.entry(key).or_default().push(id);
        id
    }

    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, stats: &mut Stats) -> Poll<NetEvent> {
        loop {
            if let Some(event) = self.inbox.pop_front() {
                return Poll::Ready(event);
            }
            let mut idle = self.poll_accept(cx, stats).is_pending();
            if let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
                idle = false;
                if let Some(event) = self.task_event(event, stats) {
                    self.inbox.push_back(event);
                }
            }
            if idle && self.inbox.is_empty() {
                return Poll::Pending;
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>, stats: &mut Stats) -> Poll<()> {
        let mut outcome = Poll::Pending;
        for i in 0..self.listeners.len() {
            let (listener, _, transport) = &self.listeners[i];
            let transport = *transport;
            let Poll::Ready(accepted) = listener.poll_accept(cx) else { continue };
            // An error here is about one connection that died in the queue, or about descriptors
            // having run out; neither ends the listener.
            let Ok((stream, remote)) = accepted else {
                stats.refused += 1;
                continue;
            };
            outcome = Poll::Ready(());
            if let Some(event) = self.accept(transport, stream, remote, stats) {
                self.inbox.push_back(event);
            }
        }
        outcome
    }

    fn accept(
        &mut self,
        transport: Transport,
        stream: TcpStream,
        remote: SocketAddr,
        stats: &mut Stats,
    ) -> Option<NetEvent> {
        let local = stream.local_addr().ok()?;
        if self.connections.len() >= self.config.max_connections {
            stats.refused += 1;
            return None;
        }
        let flow = Flow { transport, local, remote };
        let opening = Opening {
            accepted: Some(stream),
            shared_port: false,
            name: Arc::default(),
            distinct: false,
            #[cfg(feature = "tls")]
            tls: self.engine_for(transport).ok()?,
        };
        self.start(flow, None, opening);
        // The others stand when their handshake is done.
        (transport == Transport::Tcp).then(|| {
            stats.accepted += 1;
            NetEvent::Opened { flow }
        })
    }

    fn task_event(&mut self, event: TaskEvent, stats: &mut Stats) -> Option<NetEvent> {
        let TaskEvent { id, flow, what } = event;
        // A connection that was replaced or closed by us says nothing more.
        let connection = self.connections.get_mut(&id)?;
        match what {
            What::Connected(identity) => {
                connection.open = true;
                connection.identity = identity;
                connection.flow = flow;
                match connection.accepted {
                    true => stats.accepted += 1,
                    false => stats.connected += 1,
                }
                Some(NetEvent::Opened { flow })
            }
            What::Data(data) => Some(NetEvent::Stream { flow, data }),
            What::Message(data) => Some(NetEvent::Datagram { flow, data }),
            What::Failed(error, detail) => {
                let accepted = connection.accepted;
                self.forget(id);
                if accepted {
                    tracing::debug!(%flow, detail, "handshake failed");
                    stats.failed_handshakes += 1;
                    return None;
                }
                tracing::debug!(%flow, detail, "not connected");
                self.remember(flow, detail);
                stats.send_failures += 1;
                Some(NetEvent::SendFailed { flow, error })
            }
            What::Closed(error) => {
                self.forget(id);
                Some(NetEvent::Closed { flow, error })
            }
        }
    }
}

/// A name as certificates have it: no brackets, no final dot.
fn plain(name: &str) -> &str {
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    bare.strip_suffix('.').unwrap_or(bare)
}

impl Drop for Streams {
    fn drop(&mut self) {
        // What is queued on open connections still leaves; nobody waits for one that is opening.
        for connection in self.connections.values().filter(|c| !c.open) {
            tracing::debug!(flow = %connection.flow, "abandoned while connecting");
            connection.task.abort();
        }
    }
}
