//! What became of each packet, for proofs and for looking at a failed run.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

/// The end of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It reached a host.
    Delivered,
    /// A link lost it at random.
    Lost,
    /// It found a queue full.
    QueueFull,
    /// It was longer than an MTU and a fragment of it did not arrive.
    Fragmented,
    /// A link was down.
    LinkDown,
    /// A NAT had no mapping for it, or its filter kept it out.
    Filtered,
    /// A NAT had no port left for it.
    NoPort,
    /// No host and no gateway has its destination.
    NoRoute,
    /// Its host is dead.
    BlackHole,
    /// Its host refused it.
    Refused,
}

/// One packet's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEntry {
    /// When it ended.
    pub at: Instant,
    /// Its source, as last translated.
    pub src: SocketAddr,
    /// Its destination, as last translated.
    pub dst: SocketAddr,
    /// What it was: `udp`, `icmp`, `syn`, `data`…
    pub kind: &'static str,
    /// Its payload in bytes.
    pub size: usize,
    /// What became of it.
    pub fate: Fate,
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { src, dst, kind, size, fate, .. } = self;
        write!(f, "{kind} {src} -> {dst} {size} bytes: {fate:?}")
    }
}
