//! Stream connections on tokio: a listener is polled by the engine, a connection has a task of its
//! own with a bounded queue each way.
//!
//! Connections are kept by transport and remote address and used both ways (RFC 3261 §18, RFC
//! 5923's idea without its `alias` parameter). Bytes go up as they come: framing is the core's.

use crate::{BindError, Config, NetEvent, Stats};
use bytes::{Buf, Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tiny_sak::{Flow, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

#[cfg(test)]
mod tests;

pub(crate) struct Tcp {
    listeners: Vec<(TcpListener, SocketAddr)>,
    connections: HashMap<(Transport, SocketAddr), Connection>,
    events: mpsc::Receiver<TaskEvent>,
    // Handed to each connection's task.
    sender: mpsc::Sender<TaskEvent>,
    inbox: VecDeque<NetEvent>,
    next_id: u64,
    config: Arc<Config>,
}

struct Connection {
    id: u64,
    flow: Flow,
    queue: mpsc::Sender<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    task: AbortHandle,
    open: bool,
}

struct TaskEvent {
    id: u64,
    flow: Flow,
    what: What,
}

enum What {
    Connected,
    Failed(io::ErrorKind),
    Data(Bytes),
    Closed(Option<io::ErrorKind>),
}

impl Tcp {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        let (sender, events) = mpsc::channel(config.stream_event_queue.max(1));
        Self {
            listeners: Vec::new(),
            connections: HashMap::new(),
            events,
            sender,
            inbox: VecDeque::new(),
            next_id: 0,
            config,
        }
    }

    pub(crate) fn bind(&mut self, addr: SocketAddr) -> Result<SocketAddr, BindError> {
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
        let (listener, local) = open().map_err(|e| BindError::new(Transport::Tcp, addr, e))?;
        self.listeners.push((listener, local));
        Ok(local)
    }

    pub(crate) fn listeners(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listeners.iter().map(|(_, local)| *local)
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn send(&mut self, flow: Flow, data: Bytes, stats: &mut Stats) {
        let key = (flow.transport, flow.remote);
        // A connection whose task has ended, but whose end has not been read yet, is replaced.
        if self.connections.get(&key).is_some_and(|c| c.queue.is_closed()) {
            self.connections.remove(&key);
        }
        if !self.connections.contains_key(&key) {
            if self.connections.len() >= self.config.max_connections {
                stats.refused += 1;
                return self.fail(flow, io::ErrorKind::QuotaExceeded, stats);
            }
            self.start(flow, None);
        }
        let Some(connection) = self.connections.get(&key) else { return };
        let length = data.len();
        let waiting = connection.queued_bytes.fetch_add(length, Relaxed);
        // One message always fits into an empty queue, however long.
        let fits = waiting == 0 || waiting + length <= self.config.write_queue_bytes;
        if !fits || connection.queue.try_send(data).is_err() {
            connection.queued_bytes.fetch_sub(length, Relaxed);
            self.fail(flow, io::ErrorKind::QuotaExceeded, stats);
        }
    }

    pub(crate) fn close(&mut self, flow: Flow) {
        // The task writes what is queued, then ends by itself.
        self.connections.remove(&(flow.transport, flow.remote));
    }

    fn fail(&mut self, flow: Flow, error: io::ErrorKind, stats: &mut Stats) {
        stats.send_failures += 1;
        self.inbox.push_back(NetEvent::SendFailed { flow, error });
    }

    fn start(&mut self, flow: Flow, accepted: Option<TcpStream>) {
        self.next_id += 1;
        let (queue, waiting) = mpsc::channel(self.config.write_queue_messages.max(1));
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let open = accepted.is_some();
        let task = Task {
            id: self.next_id,
            flow,
            events: self.sender.clone(),
            waiting,
            queued_bytes: Arc::clone(&queued_bytes),
            config: Arc::clone(&self.config),
        };
        let task = tokio::spawn(task.run(accepted)).abort_handle();
        let connection = Connection { id: self.next_id, flow, queue, queued_bytes, task, open };
        self.connections.insert((flow.transport, flow.remote), connection);
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
            let Poll::Ready(accepted) = self.listeners[i].0.poll_accept(cx) else { continue };
            // An error here is about one connection that died in the queue, or about descriptors
            // having run out; neither ends the listener.
            let Ok((stream, remote)) = accepted else {
                stats.refused += 1;
                continue;
            };
            outcome = Poll::Ready(());
            let Ok(local) = stream.local_addr() else { continue };
            if self.connections.len() >= self.config.max_connections {
                stats.refused += 1;
                continue;
            }
            stats.accepted += 1;
            let flow = Flow { transport: Transport::Tcp, local, remote };
            self.start(flow, Some(stream));
            self.inbox.push_back(NetEvent::Opened { flow });
        }
        outcome
    }

    fn task_event(&mut self, event: TaskEvent, stats: &mut Stats) -> Option<NetEvent> {
        let TaskEvent { id, flow, what } = event;
        let key = (flow.transport, flow.remote);
        // A connection that was replaced or closed by us says nothing more.
        let connection = self.connections.get_mut(&key).filter(|c| c.id == id)?;
        match what {
            What::Connected => {
                connection.open = true;
                stats.connected += 1;
                Some(NetEvent::Opened { flow })
            }
            What::Data(data) => Some(NetEvent::Stream { flow, data }),
            What::Failed(error) => {
                self.connections.remove(&key);
                stats.send_failures += 1;
                Some(NetEvent::SendFailed { flow, error })
            }
            What::Closed(error) => {
                self.connections.remove(&key);
                Some(NetEvent::Closed { flow, error })
            }
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        // What is queued on open connections still leaves; nobody waits for one that is opening.
        for connection in self.connections.values().filter(|c| !c.open) {
            tracing::debug!(flow = %connection.flow, "abandoned while connecting");
            connection.task.abort();
        }
    }
}

// A connection's own half of the two queues.
struct Task {
    id: u64,
    flow: Flow,
    events: mpsc::Sender<TaskEvent>,
    waiting: mpsc::Receiver<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    config: Arc<Config>,
}

// How long a connection that ends may take to pass on what is under way.
const LINGER: Duration = Duration::from_secs(1);

impl Task {
    async fn run(self, accepted: Option<TcpStream>) {
        let Self { id, flow, events, waiting, queued_bytes, config } = self;
        let up = Up { id, flow, events };
        let stream = match accepted {
            Some(stream) => stream,
            None => match timeout(config.connect_timeout, connect(flow)).await {
                Ok(Ok(stream)) => {
                    up.tell(What::Connected).await;
                    stream
                }
                Ok(Err(e)) => return up.tell(What::Failed(e.kind())).await,
                Err(_) => return up.tell(What::Failed(io::ErrorKind::TimedOut)).await,
            },
        };
        // SIP messages are small and wait for nothing.
        let _ = stream.set_nodelay(true);
        let (mut read, write) = stream.into_split();
        let mut down = Down { write, waiting, queued_bytes, timeout: config.write_timeout };
        let activity = Activity::new();
        let ended = tokio::select! {
            end = read_all(&mut read, &up, config.stream_read_size, &activity) => End::Peer(end),
            end = down.write_all(&activity) => End::Local(end),
            () = activity.idle_for(config.idle_timeout) => End::Local(Ok(())),
        };
        match ended {
            End::Peer(Ok(())) => {
                up.tell(What::Closed(None)).await;
                // The peer may have closed its own direction only: answers still go out.
                down.waiting.close();
                let _ = timeout(LINGER, down.write_all(&activity)).await;
            }
            End::Local(Ok(())) => {
                up.tell(What::Closed(None)).await;
                let _ = down.write.shutdown().await;
                // Closing with bytes unread would reset the connection and could destroy what was
                // just written.
                let mut rest = [0u8; 1024];
                let drain = async { while let Ok(1..) = read.read(&mut rest).await {} };
                let _ = timeout(LINGER, drain).await;
            }
            End::Peer(Err(e)) | End::Local(Err(e)) => up.tell(What::Closed(Some(e.kind()))).await,
        }
    }
}

enum End {
    Peer(io::Result<()>),
    Local(io::Result<()>),
}

async fn connect(flow: Flow) -> io::Result<TcpStream> {
    let socket = if flow.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let ip = flow.local.ip();
    if !ip.is_unspecified() && ip.is_ipv4() == flow.remote.is_ipv4() {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(flow.remote).await
}

struct Up {
    id: u64,
    flow: Flow,
    events: mpsc::Sender<TaskEvent>,
}

impl Up {
    // Waits while the engine is behind; gone when the engine is.
    async fn tell(&self, what: What) {
        let _ = self.events.send(TaskEvent { id: self.id, flow: self.flow, what }).await;
    }
}

async fn read_all(
    read: &mut OwnedReadHalf,
    up: &Up,
    size: usize,
    activity: &Activity,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        // Memory is held only while there is something to read.
        read.readable().await?;
        buffer.reserve(size.max(1));
        match read.try_read_buf(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                activity.touch();
                // A short piece is copied, lest a message kept by a core pin the whole buffer.
                let short = buffer.len() < size / 2;
                let data =
                    if short { Bytes::copy_from_slice(&buffer) } else { buffer.split().freeze() };
                buffer.clear();
                up.tell(What::Data(data)).await;
                if up.events.is_closed() {
                    return Ok(());
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => buffer = BytesMut::new(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

struct Down {
    write: OwnedWriteHalf,
    waiting: mpsc::Receiver<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    timeout: Duration,
}

const WRITE_BATCH: usize = 16;

impl Down {
    // Ends well when the engine has let go of the queue and all of it is written.
    async fn write_all(&mut self, activity: &Activity) -> io::Result<()> {
        let mut batch: Vec<Bytes> = Vec::new();
        loop {
            if self.waiting.recv_many(&mut batch, WRITE_BATCH).await == 0 {
                return Ok(());
            }
            let mut first = 0;
            while first < batch.len() {
                let mut slices = [IoSlice::new(&[]); WRITE_BATCH];
                let part = &batch[first..];
                slices.iter_mut().zip(part).for_each(|(slice, data)| *slice = IoSlice::new(data));
                let write = self.write.write_vectored(&slices[..part.len()]);
                let written = match timeout(self.timeout, write).await {
                    Ok(written) => written?,
                    Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                };
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                activity.touch();
                self.queued_bytes.fetch_sub(written, Relaxed);
                first += advance(&mut batch[first..], written);
            }
            batch.clear();
        }
    }
}

// Steps over bytes that were written; returns how many pieces are done with.
fn advance(pieces: &mut [Bytes], mut written: usize) -> usize {
    let mut done = 0;
    for piece in pieces {
        let step = piece.len().min(written);
        piece.advance(step);
        written -= step;
        if !piece.is_empty() {
            break;
        }
        done += 1;
    }
    done
}

// When bytes last moved: written by both directions, read once an idle period.
struct Activity {
    start: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn touch(&self) {
        self.last_ms.store(self.start.elapsed().as_millis() as u64, Relaxed);
    }

    async fn idle_for(&self, limit: Duration) {
        loop {
            let until = self.start + Duration::from_millis(self.last_ms.load(Relaxed)) + limit;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}
