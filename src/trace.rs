//! Seeing what goes over the wire.

use std::time::SystemTime;
use tiny_sak::Flow;

/// What a traced packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceKind {
    /// A SIP message, or a piece of a stream of them.
    Sip,
    /// An RTP packet.
    Rtp,
    /// An RTCP packet.
    Rtcp,
}

/// One packet, sent or received.
#[derive(Debug, Clone, Copy)]
pub struct TracePacket<'a> {
    /// When.
    pub at: SystemTime,
    /// True when we sent it.
    pub outgoing: bool,
    /// What it is.
    pub kind: TraceKind,
    /// Its path, from our point of view.
    pub flow: Flow,
    /// Its bytes.
    pub data: &'a [u8],
}

/// Receives a copy of everything that is sent and received.
///
/// Called from the engine task and from media workers: it must return at once. An implementation
/// hands a copy to a thread of its own through a bounded queue and drops when that is full.
pub trait Trace: Send + Sync {
    /// Takes one packet.
    fn packet(&self, packet: TracePacket<'_>);
}
