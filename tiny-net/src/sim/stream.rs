//! Connections of the simulated network: opened, refused, cut into pieces, ended in order, reset,
//! or dead of silence. The bytes always arrive whole and in order; losses only delay them.

use super::network::{Body, HostId, Network, Packet};
use crate::NetEvent;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Transport};

/// One end of a connection, named as the drivers name it.
pub(super) type StreamKey = (HostId, Transport, SocketAddr);

#[derive(Debug, Clone)]
pub(super) enum Segment {
    Open(Transport),
    Accept(Transport),
    Reset(Transport),
    // A numbered piece; none is the end.
    Piece(Transport, u64, Option<Bytes>),
}

impl Segment {
    pub(super) fn size(&self) -> usize {
        if let Self::Piece(_, _, Some(data)) = self { data.len() } else { 0 }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "syn",
            Self::Accept(_) => "syn-ack",
            Self::Reset(_) => "rst",
            Self::Piece(_, _, Some(_)) => "data",
            Self::Piece(_, _, None) => "fin",
        }
    }
}

#[derive(Debug)]
struct Stream {
    // As the owner knows it.
    flow: Flow,
    // The real local socket.
    local: SocketAddr,
    open: bool,
    // Sent when the connection stands.
    queued: Vec<Option<Bytes>>,
    next_out: u64,
    next_in: u64,
    early: BTreeMap<u64, Option<Bytes>>,
    // Tells this connection from an older one of the same name.
    patience: u64,
    stalled: bool,
}

#[derive(Debug)]
pub(super) struct Streams {
    all: HashMap<StreamKey, Stream>,
    listeners: HashSet<(HostId, Transport, u16)>,
    next_port: HashMap<HostId, u16>,
    next_patience: u64,
    pub(super) connect_timeout: Duration,
    pub(super) stream_timeout: Duration,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            all: HashMap::new(),
            listeners: HashSet::new(),
            next_port: HashMap::new(),
            next_patience: 0,
            connect_timeout: Duration::from_secs(10),
            stream_timeout: Duration::from_secs(60),
        }
    }
}

impl Streams {
    pub(super) fn listen(&mut self, host: HostId, transport: Transport, port: u16) {
        self.listeners.insert((host, transport, port));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The connections of a host that has left.
    pub(super) fn forget_host(&mut self, host: HostId) {
        self.all.retain(|(owner, ..), _| *owner != host);
    }

    fn insert(&mut self, key: StreamKey, flow: Flow, local: SocketAddr, open: bool) -> u64 {
        self.next_patience += 1;
        let stream = Stream {
            flow,
            local,
            open,
            queued: Vec::new(),
            next_out: 0,
            next_in: 0,
            early: BTreeMap::new(),
            patience: self.next_patience,
            stalled: false,
        };
        self.all.insert(key, stream);
        self.next_patience
    }
}

impl Network {
    pub(super) fn stream_send(&mut self, now: Instant, host: HostId, flow: Flow, data: Bytes) {
        let key = (host, flow.transport, flow.remote);
        if !self.streams.all.contains_key(&key) {
            // Ephemeral ports count up from where Linux's begin.
            let port = self.streams.next_port.entry(host).or_insert(32_767);
            *port = if *port == u16::MAX { 32_768 } else { *port + 1 };
            let local = SocketAddr::new(flow.local.ip(), *port);
            let patience = self.streams.insert(key, flow, local, false);
            self.schedule_give_up(now + self.streams.connect_timeout, key, patience);
            self.segment(now, key, local, Segment::Open(flow.transport));
        }
        if let Some(stream) = self.streams.all.get_mut(&key) {
            stream.queued.push(Some(data));
        }
        self.stream_flush(now, key);
    }

    fn stream_flush(&mut self, now: Instant, key: StreamKey) {
        let Some(stream) = self.streams.all.get_mut(&key).filter(|s| s.open) else { return };
        let local = stream.local;
        let first = stream.next_out;
        let pieces = std::mem::take(&mut stream.queued);
        stream.next_out += pieces.len() as u64;
        for (number, piece) in (first..).zip(pieces) {
            let end = piece.is_none();
            self.segment(now, key, local, Segment::Piece(key.1, number, piece));
            if end {
                self.streams.all.remove(&key);
            }
        }
    }

    fn segment(&mut self, now: Instant, key: StreamKey, local: SocketAddr, segment: Segment) {
        let packet = Packet { src: local, dst: key.2, body: Body::Segment(segment, key) };
        self.launch(now, key.0, packet);
    }

    pub(super) fn stream_close(&mut self, now: Instant, host: HostId, flow: Flow, reset: bool) {
        let key = (host, flow.transport, flow.remote);
        let Some(stream) = self.streams.all.get_mut(&key) else { return };
        let local = stream.local;
        if reset {
            self.streams.all.remove(&key);
            self.segment(now, key, local, Segment::Reset(flow.transport));
        } else if stream.open {
            stream.queued.push(None);
            self.stream_flush(now, key);
        } else {
            self.streams.all.remove(&key);
        }
    }

    /// A part of a connection reached `host`.
    pub(super) fn stream_segment(
        &mut self,
        now: Instant,
        host: HostId,
        local: SocketAddr,
        remote: SocketAddr,
        segment: Segment,
        refused: bool,
    ) {
        let transport = match segment {
            Segment::Open(t) | Segment::Accept(t) | Segment::Reset(t) => t,
            Segment::Piece(t, _, _) => t,
        };
        let key = (host, transport, remote);
        let flow = Flow { transport, local, remote };
        if let Segment::Open(_) = segment {
            let heard = self.streams.listeners.contains(&(host, transport, local.port()));
            if refused || !heard {
                return self.segment(now, key, local, Segment::Reset(transport));
            }
            self.streams.insert(key, flow, local, true);
            self.deliver(host, NetEvent::Opened { flow });
            return self.segment(now, key, local, Segment::Accept(transport));
        }
        let known = self.streams.all.get_mut(&key).filter(|s| s.local == local);
        let Some(stream) = known else {
            // For a connection that is no more: a reset, unless this is one.
            if !matches!(segment, Segment::Reset(_)) {
                self.segment(now, key, local, Segment::Reset(transport));
            }
            return;
        };
        let flow = stream.flow;
        match segment {
            Segment::Open(_) => {}
            Segment::Accept(_) => {
                stream.open = true;
                self.deliver(host, NetEvent::Opened { flow });
                self.stream_flush(now, key);
            }
            Segment::Reset(_) => {
                let open = stream.open;
                self.streams.all.remove(&key);
                self.deliver(
                    host,
                    if open {
                        NetEvent::Closed { flow, error: Some(ErrorKind::ConnectionReset) }
                    } else {
                        NetEvent::SendFailed { flow, error: ErrorKind::ConnectionRefused }
                    },
                );
            }
            Segment::Piece(_, number, piece) => {
                stream.early.insert(number, piece);
                let mut events = Vec::new();
                while let Some(piece) = stream.early.remove(&stream.next_in) {
                    stream.next_in += 1;
                    events.push(match piece {
                        Some(data) => NetEvent::Stream { flow, data },
                        None => NetEvent::Closed { flow, error: None },
                    });
                }
                for event in events {
                    if matches!(event, NetEvent::Closed { .. }) {
                        self.streams.all.remove(&key);
                    }
                    self.deliver(host, event);
                }
            }
        }
    }

    /// Something that this end sent will never arrive.
    pub(super) fn stream_stalled(&mut self, now: Instant, key: StreamKey) {
        let Some(stream) = self.streams.all.get_mut(&key) else { return };
        if stream.open && !stream.stalled {
            stream.stalled = true;
            // A new number, so that the time set for opening does not count.
            self.streams.next_patience += 1;
            let patience = self.streams.next_patience;
            stream.patience = patience;
            self.schedule_give_up(now + self.streams.stream_timeout, key, patience);
        }
    }

    /// The time is up for a connection that is still opening, or stalled.
    pub(super) fn stream_give_up(&mut self, key: StreamKey, patience: u64) {
        let waiting = |s: &Stream| s.patience == patience && (!s.open || s.stalled);
        if !self.streams.all.get(&key).is_some_and(waiting) {
            return;
        }
        let Some(stream) = self.streams.all.remove(&key) else { return };
        let (flow, error) = (stream.flow, ErrorKind::TimedOut);
        self.deliver(
            key.0,
            if stream.open {
                NetEvent::Closed { flow, error: Some(error) }
            } else {
                NetEvent::SendFailed { flow, error }
            },
        );
    }
}
