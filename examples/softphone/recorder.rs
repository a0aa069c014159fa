//! Writes down what goes over the wire: into a pcapng file, and into the rows of the ladder diagram.
//!
//! The agent's tasks hand copies to one thread through a bounded queue; when the thread cannot keep
//! up, packets are dropped and counted, and the call goes on undisturbed.

use crate::report::{Row, RowKind};
use crate::settings::Problem;
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;
use tiny_net::pcapng::{Direction, Writer};
use tiny_sip::{Framed, Limits, StreamFramer};
use tiny_ua::{Flow, SipMessage, Trace, TraceKind, TracePacket, Transport};

/// Packets that may wait for the thread.
const QUEUE: usize = 16_384;
/// What the ladder remembers; the page shows fewer.
const MOST_ROWS: usize = 2000;
const MOST_STREAMS: usize = 200;
const MOST_COLUMNS: usize = 8;
const MOST_FRAMERS: usize = 256;

enum Item {
    Packet(Packet),
    /// An address belongs to a column.
    Name(SocketAddr, usize),
    Stop,
}

struct Packet {
    at: SystemTime,
    outgoing: bool,
    kind: TraceKind,
    flow: Flow,
    /// For media without a capture to write: the first two bytes, which tell RTP from RTCP.
    data: Bytes,
    column: usize,
}

/// The recorder's handle.
pub(crate) struct Recorder {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
    capture: bool,
    thread: JoinHandle<Ladder>,
}

/// What the recorder has seen.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    pub(crate) participants: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// Why the capture is incomplete, if it is.
    pub(crate) trouble: Option<String>,
}

impl Recorder {
    /// Starts the thread. `columns` are the participants known from the start; time is counted
    /// from `start`.
    pub(crate) fn start(
        trace: Option<&Path>,
        columns: Vec<String>,
        start: SystemTime,
    ) -> Result<Self, Problem> {
        let problem = |e: std::io::Error| {
            let path = trace.unwrap_or(Path::new("")).display();
            Problem::new("--trace", format!("{path}: {e}"))
        };
        let writer = match trace {
            Some(path) => {
                let file = File::create(path).map_err(problem)?;
                Some(Writer::new(file, "softphone").map_err(problem)?)
            }
            None => None,
        };
        let (queue, inbox) = sync_channel(QUEUE);
        let capture = writer.is_some();
        let scribe = Scribe::new(writer, columns, start);
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || scribe.run(&inbox))
            .map_err(problem)?;
        Ok(Self { queue, dropped: Arc::default(), capture, thread })
    }

    /// What the agent of a participant reports to.
    pub(crate) fn tap(&self, column: usize) -> Arc<dyn Trace> {
        let (queue, dropped) = (self.queue.clone(), self.dropped.clone());
        Arc::new(Tap { queue, dropped, capture: self.capture, column })
    }

    /// Says whose an address is.
    pub(crate) fn name(&self, address: SocketAddr, column: usize) {
        let _ = self.queue.send(Item::Name(address, column));
    }

    /// Writes the rest and gives what was seen.
    pub(crate) fn finish(self) -> Ladder {
        let _ = self.queue.send(Item::Stop);
        let mut ladder = self.thread.join().unwrap_or_default();
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 && ladder.trouble.is_none() {
            ladder.trouble = Some(format!("{dropped} packets came too fast to be recorded"));
        }
        ladder
    }
}

struct Tap {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
    capture: bool,
    column: usize,
}

impl Trace for Tap {
    fn packet(&self, packet: TracePacket<'_>) {
        let keep = self.capture || packet.kind == TraceKind::Sip;
        let length = if keep { packet.data.len() } else { packet.data.len().min(2) };
        let data = Bytes::copy_from_slice(&packet.data[..length]);
        let TracePacket { at, outgoing, kind, flow, .. } = packet;
        let item = Packet { at, outgoing, kind, flow, data, column: self.column };
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Item::Packet(item)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread's state.
struct Scribe {
    writer: Option<Writer<File>>,
    start: SystemTime,
    ladder: Ladder,
    /// Whose an address is.
    columns: HashMap<SocketAddr, usize>,
    /// How many columns are phones of ours, which report what they send themselves.
    own: Vec<usize>,
    framers: HashMap<Flow, [StreamFramer; 2]>,
    streams: HashMap<(SocketAddr, SocketAddr), Stream>,
}

/// One RTP stream pair.
struct Stream {
    first: f64,
    last: f64,
    from: usize,
    to: usize,
    /// Packets from and to the first one's sender.
    packets: [u64; 2],
    path: String,
}

impl Scribe {
    fn new(writer: Option<Writer<File>>, participants: Vec<String>, start: SystemTime) -> Self {
        Self {
            writer,
            start,
            ladder: Ladder { participants, ..Ladder::default() },
            columns: HashMap::new(),
            own: Vec::new(),
            framers: HashMap::new(),
            streams: HashMap::new(),
        }
    }

    fn run(mut self, inbox: &Receiver<Item>) -> Ladder {
        while let Ok(item) = inbox.recv() {
            match item {
                Item::Packet(packet) => self.packet(&packet),
                Item::Name(address, column) => {
                    self.columns.insert(address, column);
                }
                Item::Stop => break,
            }
        }
        let streams = std::mem::take(&mut self.streams);
        self.ladder.rows.extend(streams.into_values().map(Stream::row));
        self.ladder.rows.sort_by(|a, b| a.t.total_cmp(&b.t));
        self.ladder
    }

    fn packet(&mut self, packet: &Packet) {
        if !self.own.contains(&packet.column) {
            self.own.push(packet.column);
        }
        self.columns.entry(packet.flow.local).or_insert(packet.column);
        let t = packet.at.duration_since(self.start).map_or(0.0, |d| d.as_secs_f64());
        let remote = self.column_of(packet.flow.remote, packet.kind);
        // Between two phones of ours, the one that sends has reported it.
        if !packet.outgoing && remote != packet.column && self.own.contains(&remote) {
            return;
        }
        self.capture(packet);
        let (from, to) =
            if packet.outgoing { (packet.column, remote) } else { (remote, packet.column) };
        match packet.kind {
            TraceKind::Sip => self.sip(packet, t, from, to),
            TraceKind::Rtp if !is_rtcp(&packet.data) => self.rtp(packet, t, from, to),
            _ => {}
        }
    }

    fn capture(&mut self, packet: &Packet) {
        let Some(writer) = &mut self.writer else { return };
        let Flow { transport, local, remote } = packet.flow;
        let (direction, source, destination) = if packet.outgoing {
            (Direction::Outbound, local, remote)
        } else {
            (Direction::Inbound, remote, local)
        };
        let stream = packet.kind == TraceKind::Sip && transport != Transport::Udp;
        let result = if stream {
            writer.tcp(packet.at, direction, source, destination, &packet.data)
        } else {
            writer.udp(packet.at, direction, source, destination, &packet.data)
        };
        if let Err(e) = result {
            self.ladder.trouble = Some(format!("the capture ends early: {e}"));
            self.writer = None;
        }
    }

    /// The column of an address that is not ours.
    fn column_of(&mut self, address: SocketAddr, kind: TraceKind) -> usize {
        if let Some(column) = self.columns.get(&address) {
            return *column;
        }
        // Media comes from another port of a host that is known by its signalling.
        let same_host = self.columns.iter().find(|(known, column)| {
            kind != TraceKind::Sip && known.ip() == address.ip() && !self.own.contains(column)
        });
        let column = match same_host {
            Some((_, column)) => *column,
            None if self.ladder.participants.len() < MOST_COLUMNS => {
                self.ladder.participants.push(address.to_string());
                self.ladder.participants.len() - 1
            }
            None => {
                if self.ladder.participants.len() == MOST_COLUMNS {
                    self.ladder.participants.push("others".into());
                }
                return MOST_COLUMNS;
            }
        };
        self.columns.insert(address, column);
        column
    }

    fn sip(&mut self, packet: &Packet, t: f64, from: usize, to: usize) {
        if self.ladder.rows.len() >= MOST_ROWS {
            return;
        }
        let path = path(packet);
        if packet.flow.transport == Transport::Udp {
            self.message(&packet.data, t, from, to, &path);
            return;
        }
        if self.framers.len() >= MOST_FRAMERS && !self.framers.contains_key(&packet.flow) {
            return;
        }
        let limits = Limits::default();
        let both = || [StreamFramer::new(&limits), StreamFramer::new(&limits)];
        let framer =
            &mut self.framers.entry(packet.flow).or_insert_with(both)[usize::from(packet.outgoing)];
        framer.push(packet.data.clone());
        let mut messages = Vec::new();
        while let Ok(Some(framed)) = framer.next() {
            if let Framed::Message(data) = framed {
                messages.push(data);
            }
        }
        for data in messages {
            self.message(&data, t, from, to, &path);
        }
    }

    fn message(&mut self, data: &Bytes, t: f64, from: usize, to: usize, path: &str) {
        let text = String::from_utf8_lossy(data).into_owned();
        if text.trim().is_empty() {
            return; // a keep-alive
        }
        let (mut label, kind) = match SipMessage::parse(data.clone(), &Limits::default()) {
            Ok(message) => {
                for address in media_addresses(&message) {
                    self.columns.entry(address).or_insert(from);
                }
                describe(&message)
            }
            Err(_) => ("(unreadable)".into(), RowKind::Response(4)),
        };
        if self.ladder.rows.iter().rev().take(50).any(|r| r.from == from && r.text == text) {
            label.push_str(" (again)");
        }
        self.ladder.rows.push(Row { t, from, to, label, kind, text, path: path.to_owned() });
    }

    fn rtp(&mut self, packet: &Packet, t: f64, from: usize, to: usize) {
        let Flow { local, remote, .. } = packet.flow;
        let key = (local.min(remote), local.max(remote));
        if self.streams.len() >= MOST_STREAMS && !self.streams.contains_key(&key) {
            return;
        }
        let new = || Stream { first: t, last: t, from, to, packets: [0; 2], path: path(packet) };
        let stream = self.streams.entry(key).or_insert_with(new);
        stream.last = stream.last.max(t);
        stream.packets[usize::from(stream.from != from)] += 1;
    }
}

impl Stream {
    fn row(self) -> Row {
        let Self { first, last, from, to, packets: [there, back], path } = self;
        let label = format!("RTP {there} → ← {back}, {:.1} s", last - first);
        let text = format!(
            "{there} packets one way and {back} the other, from {first:.3} s to {last:.3} s.\n\
             The capture (--trace) holds them all."
        );
        Row { t: first, from, to, label, kind: RowKind::Media, text, path }
    }
}

fn path(packet: &Packet) -> String {
    let Flow { transport, local, remote } = packet.flow;
    let (a, b) = if packet.outgoing { (local, remote) } else { (remote, local) };
    format!("{transport} {a} → {b}")
}

/// RTCP on RTP's port: packet types 192 to 223 (RFC 5761 §4).
fn is_rtcp(data: &[u8]) -> bool {
    data.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// Where the session description of a message wants media: that is whose address it is.
fn media_addresses(message: &SipMessage) -> Vec<SocketAddr> {
    let body = String::from_utf8_lossy(message.body());
    let mut address: Option<IpAddr> = None;
    let mut found = Vec::new();
    for line in body.lines().take(200) {
        if let Some(host) = line.strip_prefix("c=IN IP") {
            let host = host.split_whitespace().nth(1).unwrap_or("");
            address = host.parse().ok();
        } else if let Some(media) = line.strip_prefix("m=") {
            let port = media.split_whitespace().nth(1).and_then(|p| p.parse::<u16>().ok());
            if let (Some(ip), Some(port)) = (address, port) {
                found.push(SocketAddr::new(ip, port));
            }
        }
    }
    found
}

/// What stands on the arrow.
fn describe(message: &SipMessage) -> (String, RowKind) {
    let mut notes = Vec::new();
    let kind;
    let mut label;
    if let Some(method) = message.method() {
        kind = RowKind::Request;
        let method = method.to_string();
        let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
        label = match (method.as_str(), in_dialog) {
            ("INVITE", true) => "re-INVITE".to_owned(),
            (_, true) => method,
            (_, false) => format!("{method} {}", message.request_uri()),
        };
    } else {
        let status = message.status().map_or(0, |s| s.code());
        kind = RowKind::Response((status / 100) as u8);
        label = format!("{status} {}", message.reason());
        if let Ok(cseq) = message.cseq()
            && status >= 200
        {
            notes.push(cseq.method.to_string());
        }
    }
    let body = String::from_utf8_lossy(message.body());
    if body.starts_with("v=0") {
        let direction = ["sendonly", "recvonly", "inactive"]
            .into_iter()
            .find(|d| body.lines().any(|l| l.trim_end() == format!("a={d}")));
        notes.push(direction.map_or("SDP".into(), |d| format!("SDP {d}")));
    }
    if !notes.is_empty() {
        label.push_str(&format!(" ({})", notes.join(", ")));
    }
    (label, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const INVITE: &str = "INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\r\n\
        From: <sip:alice@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\
        Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
    const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\r\n\
        From: <sip:alice@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.2>;tag=2\r\nCall-ID: a\r\n\
        CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: 17\r\n\r\nv=0\r\na=sendonly\r\n";

    fn flow(transport: Transport, local: &str, remote: &str) -> Flow {
        Flow { transport, local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    fn record(
        columns: &[&str],
        packets: impl FnOnce(&Recorder, &mut dyn FnMut(usize, f64, bool, TraceKind, Flow, &str)),
    ) -> Ladder {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        let recorder = Recorder::start(None, columns, start).unwrap();
        let mut put = |column, t, outgoing, kind, flow, data: &str| {
            let at = start + Duration::from_secs_f64(t);
            let data = data.as_bytes();
            recorder.tap(column).packet(TracePacket { at, outgoing, kind, flow, data });
        };
        packets(&recorder, &mut put);
        recorder.finish()
    }

    #[test]
    fn messages_become_arrows_with_short_labels() {
        let udp = flow(Transport::Udp, "192.0.2.1:5060", "192.0.2.2:5060");
        let ladder = record(&["alice"], |_, put| {
            put(0, 0.1, true, TraceKind::Sip, udp, INVITE);
            put(0, 0.6, true, TraceKind::Sip, udp, INVITE);
            put(0, 0.7, false, TraceKind::Sip, udp, OK);
            put(0, 0.8, false, TraceKind::Sip, udp, "\r\n\r\n");
        });
        assert_eq!(ladder.participants, ["alice", "192.0.2.2:5060"]);
        let rows: Vec<_> = ladder.rows.iter().map(|r| (r.from, r.to, r.label.as_str())).collect();
        let expected = [
            (0, 1, "INVITE sip:bob@192.0.2.2"),
            (0, 1, "INVITE sip:bob@192.0.2.2 (again)"),
            (1, 0, "200 OK (INVITE, SDP sendonly)"),
        ];
        assert_eq!(rows, expected);
        assert_eq!(ladder.rows[2].kind, RowKind::Response(2));
        assert_eq!(ladder.rows[0].path, "UDP 192.0.2.1:5060 → 192.0.2.2:5060");
    }

    #[test]
    fn a_stream_is_cut_into_messages() {
        let tcp = flow(Transport::Tcp, "192.0.2.1:40000", "192.0.2.2:5060");
        let text = [INVITE, INVITE].concat();
        let ladder = record(&["alice"], |_, put| {
            put(0, 0.1, true, TraceKind::Sip, tcp, &text[..40]);
            put(0, 0.2, true, TraceKind::Sip, tcp, &text[40..]);
        });
        assert_eq!(ladder.rows.len(), 2);
    }

    #[test]
    fn what_two_phones_of_ours_say_to_each_other_is_shown_once() {
        let (a, b) = ("127.0.0.1:1000", "127.0.0.1:2000");
        let (there, back) = (flow(Transport::Udp, a, b), flow(Transport::Udp, b, a));
        let ladder = record(&["alice", "registrar", "bob"], |recorder, put| {
            recorder.name(a.parse().unwrap(), 0);
            recorder.name(b.parse().unwrap(), 2);
            put(2, 0.0, true, TraceKind::Rtcp, back, "");
            put(0, 0.1, true, TraceKind::Sip, there, INVITE);
            put(2, 0.1, false, TraceKind::Sip, back, INVITE);
            // Its second byte, 0xC3, is an RTCP packet type: no part of the stream.
            put(0, 0.5, true, TraceKind::Rtp, there, "a\u{c8}");
            for n in 0..5 {
                put(0, 1.0 + f64::from(n), true, TraceKind::Rtp, there, "");
                put(2, 1.0 + f64::from(n), false, TraceKind::Rtp, back, "");
                put(2, 1.5 + f64::from(n), true, TraceKind::Rtp, back, "");
            }
        });
        assert_eq!(ladder.participants.len(), 3);
        let rows: Vec<_> = ladder.rows.iter().map(|r| (r.from, r.to, r.label.as_str())).collect();
        assert_eq!(rows, [(0, 2, "INVITE sip:bob@192.0.2.2"), (0, 2, "RTP 5 → ← 5, 4.5 s")]);
    }

    #[test]
    fn a_crowd_of_peers_stays_bounded() {
        let ladder = record(&["me"], |_, put| {
            for n in 0..3000_u32 {
                let remote = format!("192.0.2.{}:{}", n % 200, 5060 + n);
                let flow = flow(Transport::Udp, "192.0.2.250:5060", &remote);
                put(0, f64::from(n), false, TraceKind::Sip, flow, INVITE);
                put(0, f64::from(n), false, TraceKind::Rtp, flow, "");
            }
        });
        assert_eq!(ladder.participants.len(), MOST_COLUMNS + 1);
        assert!(ladder.rows.len() <= MOST_ROWS + MOST_STREAMS);
        assert!(ladder.rows.iter().all(|r| r.from < ladder.participants.len()));
    }
}
