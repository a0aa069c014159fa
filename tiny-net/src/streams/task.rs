//! The task of one connection: it opens it, then carries bytes both ways until either end, idleness
//! or an error ends it.

use super::PeerIdentity;
use crate::Config;
use bytes::{Buf, Bytes, BytesMut};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tiny_sak::{Flow, Transport};
#[cfg(feature = "tls")]
use tokio::io::AsyncReadExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

#[cfg(feature = "tls")]
type TlsStream = tokio_rustls::TlsStream<TcpStream>;

pub(super) struct TaskEvent {
    pub(super) id: u64,
    pub(super) flow: Flow,
    pub(super) what: What,
}

pub(super) enum What {
    Connected(Option<Arc<PeerIdentity>>),
    Failed(io::ErrorKind, String),
    Data(Bytes),
    // One whole message.
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "only WebSocket has messages"))]
    Message(Bytes),
    Closed(Option<io::ErrorKind>),
}

/// How a connection comes to stand.
pub(super) struct Opening {
    pub(super) accepted: Option<TcpStream>,
    /// The local port is one that connections share.
    pub(super) shared_port: bool,
    /// The domain to be proven, and what a WebSocket server is called.
    #[cfg_attr(
        not(any(feature = "ws", feature = "tls")),
        allow(dead_code, reason = "TCP has no names")
    )]
    pub(super) name: Arc<str>,
    pub(super) distinct: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<crate::tls::engine::Engine>,
}

// A connection's own half of the two queues.
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) flow: Flow,
    pub(super) events: mpsc::Sender<TaskEvent>,
    pub(super) waiting: mpsc::Receiver<Bytes>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) config: Arc<Config>,
}

// How long a connection that ends may take to pass on what is under way.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// A connection that stands.
enum Line {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
    #[cfg(feature = "ws")]
    Ws(Box<super::ws::Socket<TcpStream>>),
    #[cfg(all(feature = "ws", feature = "tls"))]
    Wss(Box<super::ws::Socket<TlsStream>>),
}

/// Why a connection does not stand.
pub(super) struct Failure(pub(super) io::ErrorKind, pub(super) String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.kind(), error.to_string())
    }
}

impl Task {
    pub(super) async fn run(self, mut opening: Opening) {
        let Self { id, mut flow, events, waiting, queued_bytes, config } = self;
        let up = |flow| Up { id, flow, events };
        let accepted = opening.accepted.take();
        let silent = accepted.is_some() && flow.transport == Transport::Tcp;
        let stream = match accepted {
            Some(stream) => Ok(stream),
            None => match timeout(config.connect_timeout, connect(flow, opening.shared_port)).await
            {
                Ok(connected) => connected.map_err(Failure::from),
                Err(_) => Err(Failure(io::ErrorKind::TimedOut, "connecting took too long".into())),
            },
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(Failure(kind, detail)) => {
                return up(flow).tell(What::Failed(kind, detail)).await;
            }
        };
        if opening.distinct
            && let Ok(local) = stream.local_addr()
        {
            flow.local = local;
        }
        // SIP messages are small and wait for nothing.
        let _ = stream.set_nodelay(true);
        let late = || Failure(io::ErrorKind::TimedOut, "the handshake took too long".into());
        let shake = handshake(flow, stream, &opening, silent, &config);
        let shaken = timeout(config.handshake_timeout, shake).await.unwrap_or_else(|_| Err(late()));
        let (line, identity) = match shaken {
            Ok(shaken) => shaken,
            Err(Failure(kind, detail)) => {
                return up(flow).tell(What::Failed(kind, detail)).await;
            }
        };
        let up = up(flow);
        if !silent {
            up.tell(What::Connected(identity.map(Arc::new))).await;
        }
        match line {
            Line::Tcp(stream) => {
                let (read, write) = stream.into_split();
                let down = Down { write, waiting, queued_bytes, timeout: config.write_timeout };
                carry(Read::Tcp(read), down, &up, &config).await;
            }
            #[cfg(feature = "tls")]
            Line::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                let down = Down { write, waiting, queued_bytes, timeout: config.write_timeout };
                carry(Read::Tls(read), down, &up, &config).await;
            }
            #[cfg(feature = "ws")]
            Line::Ws(socket) => {
                super::ws::carry(*socket, waiting, &queued_bytes, &up, &config).await;
            }
            #[cfg(all(feature = "ws", feature = "tls"))]
            Line::Wss(socket) => {
                super::ws::carry(*socket, waiting, &queued_bytes, &up, &config).await;
            }
        }
    }
}

async fn connect(flow: Flow, shared_port: bool) -> io::Result<TcpStream> {
    let new = || if flow.remote.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let ip = flow.local.ip();
    if shared_port {
        let socket = new()?;
        socket.set_reuseaddr(true)?;
        let outcome = match socket.bind(flow.local) {
            Ok(()) => socket.connect(flow.remote).await,
            Err(e) => Err(e),
        };
        match outcome {
            // The same two ends have met a moment ago (TIME_WAIT), or meet already.
            Err(e) if matches!(e.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            other => return other,
        }
    }
    let socket = new()?;
    if !ip.is_unspecified() && ip.is_ipv4() == flow.remote.is_ipv4() {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(flow.remote).await
}

#[cfg_attr(
    not(all(feature = "ws", feature = "tls")),
    allow(unused_variables, clippy::unused_async, reason = "not every transport needs all of it")
)]
async fn handshake(
    flow: Flow,
    stream: TcpStream,
    opening: &Opening,
    accepted_tcp: bool,
    config: &Config,
) -> Result<(Line, Option<PeerIdentity>), Failure> {
    if accepted_tcp || flow.transport == Transport::Tcp {
        return Ok((Line::Tcp(stream), None));
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = &opening.tls {
        let websocket = flow.transport == Transport::Wss;
        // The server names nobody.
        let (stream, identity) = match opening.name.is_empty() {
            true => tls.accept(stream).await,
            false => tls.connect(&opening.name, websocket, stream).await,
        }
        .map_err(tls_failure)?;
        #[cfg(feature = "ws")]
        if websocket {
            let socket = super::ws::open(flow, &opening.name, stream, config).await?;
            return Ok((Line::Wss(Box::new(socket)), identity));
        }
        return Ok((Line::Tls(Box::new(stream)), identity));
    }
    #[cfg(feature = "ws")]
    if flow.transport == Transport::Ws {
        let socket = super::ws::open(flow, &opening.name, stream, config).await?;
        return Ok((Line::Ws(Box::new(socket)), None));
    }
    Err(Failure(io::ErrorKind::Unsupported, format!("{} is not in this build", flow.transport)))
}

/// A certificate that will not do is a refusal of ours; the rest is what rustls says.
#[cfg(feature = "tls")]
fn tls_failure(error: io::Error) -> Failure {
    use tokio_rustls::rustls::Error;
    let certificate = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    let kind = match certificate {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            io::ErrorKind::PermissionDenied
        }
        _ => error.kind(),
    };
    Failure(kind, format!("TLS: {error}"))
}

/// Carries bytes both ways until something ends the connection.
async fn carry<W: AsyncWrite + Unpin>(mut read: Read, mut down: Down<W>, up: &Up, config: &Config) {
    let activity = Activity::new();
    let ended = tokio::select! {
        end = read_all(&mut read, up, config.stream_read_size, &activity) => End::Peer(end),
        end = down.write_all(&activity) => End::Local(end),
        () = activity.idle_for(config.idle_timeout) => End::Local(Ok(())),
    };
    match ended {
        End::Peer(Ok(())) => {
            up.tell(What::Closed(None)).await;
            // The peer may have closed its own direction only: answers still go out.
            down.waiting.close();
            let _ = timeout(LINGER, down.write_all(&activity)).await;
            let _ = timeout(LINGER, down.write.shutdown()).await;
        }
        End::Local(Ok(())) => {
            up.tell(What::Closed(None)).await;
            let _ = timeout(LINGER, down.write.shutdown()).await;
            // Closing with bytes unread would reset the connection and could destroy what was
            // just written.
            let mut rest = BytesMut::with_capacity(1024);
            let drain = async {
                while let Ok(1..) = read.next(&mut rest, 1024).await {
                    rest.clear();
                }
            };
            let _ = timeout(LINGER, drain).await;
        }
        End::Peer(Err(e)) | End::Local(Err(e)) => up.tell(What::Closed(Some(e.kind()))).await,
    }
}

enum End {
    Peer(io::Result<()>),
    Local(io::Result<()>),
}

pub(super) struct Up {
    id: u64,
    flow: Flow,
    events: mpsc::Sender<TaskEvent>,
}

impl Up {
    // Waits while the engine is behind; gone when the engine is.
    pub(super) async fn tell(&self, what: What) {
        let _ = self.events.send(TaskEvent { id: self.id, flow: self.flow, what }).await;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.events.is_closed()
    }
}

enum Read {
    Tcp(OwnedReadHalf),
    #[cfg(feature = "tls")]
    Tls(tokio::io::ReadHalf<TlsStream>),
}

impl Read {
    // Adds what there is, at most `size`; 0 at the end.
    async fn next(&mut self, buffer: &mut BytesMut, size: usize) -> io::Result<usize> {
        match self {
            Self::Tcp(read) => loop {
                // Memory is held only while there is something to read.
                read.readable().await?;
                buffer.reserve(size.max(1));
                match read.try_read_buf(buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => *buffer = BytesMut::new(),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            },
            #[cfg(feature = "tls")]
            Self::Tls(read) => {
                buffer.reserve(size.max(1));
                match read.read_buf(buffer).await {
                    // RFC 8446 §6.1 wants a farewell; SIP's own framing shows whether a message was
                    // cut short, and many peers just go.
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                    other => other,
                }
            }
        }
    }
}

async fn read_all(read: &mut Read, up: &Up, size: usize, activity: &Activity) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        if read.next(&mut buffer, size).await? == 0 {
            return Ok(());
        }
        activity.touch();
        // A short piece is copied, lest a message kept by a core pin the whole buffer.
        let short = buffer.len() < size / 2;
        let data = if short { Bytes::copy_from_slice(&buffer) } else { buffer.split().freeze() };
        buffer.clear();
        up.tell(What::Data(data)).await;
        if up.is_gone() {
            return Ok(());
        }
    }
}

struct Down<W> {
    write: W,
    waiting: mpsc::Receiver<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    timeout: Duration,
}

const WRITE_BATCH: usize = 16;

impl<W: AsyncWrite + Unpin> Down<W> {
    // Ends well when the engine has let go of the queue and all of it is written.
    async fn write_all(&mut self, activity: &Activity) -> io::Result<()> {
        let mut batch: Vec<Bytes> = Vec::new();
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
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
                let written = timeout(self.timeout, write).await.map_err(late)??;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                activity.touch();
                self.queued_bytes.fetch_sub(written, Relaxed);
                first += advance(&mut batch[first..], written);
            }
            batch.clear();
            timeout(self.timeout, self.write.flush()).await.map_err(late)??;
        }
    }
}

// Steps over bytes that were written; returns how many pieces are done with.
pub(super) fn advance(pieces: &mut [Bytes], mut written: usize) -> usize {
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
pub(super) struct Activity {
    start: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    pub(super) fn touch(&self) {
        self.last_ms.store(self.start.elapsed().as_millis() as u64, Relaxed);
    }

    // To the millisecond.
    #[cfg(feature = "ws")]
    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last_ms.load(Relaxed))
    }

    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let until = self.start + Duration::from_millis(self.last_ms.load(Relaxed)) + limit;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}
