//! What the network tells a core, real or simulated.

use bytes::Bytes;
use std::io;
use tiny_sak::Flow;

/// Something that happened on the network.
///
/// The flow of a datagram always has the specific local address that the peer sent to. The flow of
/// a connection that we opened is the one that the first [`send`](crate::SipTransports::send)
/// named; of one that the peer opened, the addresses of its two ends. Either way a connection is
/// known by its transport and its remote address, unless several domains behind one address got one
/// each: see [`send_to`](crate::SipTransports::send_to).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetEvent {
    /// One datagram, or one WebSocket message, came in.
    Datagram {
        /// Its path.
        flow: Flow,
        /// Its content.
        data: Bytes,
    },
    /// Bytes of a stream came in, cut anywhere.
    Stream {
        /// The connection.
        flow: Flow,
        /// The bytes.
        data: Bytes,
    },
    /// A connection stands, opened by either side.
    Opened {
        /// The connection.
        flow: Flow,
    },
    /// A connection that stood has ended.
    Closed {
        /// The connection.
        flow: Flow,
        /// Why, when it did not end in order: reset, timed out…
        error: Option<io::ErrorKind>,
    },
    /// Something sent on this flow did not get out or did not arrive: an ICMP error, a refused or
    /// timed-out connection, a full queue (`QuotaExceeded`).
    SendFailed {
        /// The flow.
        flow: Flow,
        /// What went wrong.
        error: io::ErrorKind,
    },
}

impl NetEvent {
    /// The flow that the event is about.
    pub fn flow(&self) -> Flow {
        match self {
            Self::Datagram { flow, .. }
            | Self::Stream { flow, .. }
            | Self::Opened { flow }
            | Self::Closed { flow, .. }
            | Self::SendFailed { flow, .. } => *flow,
        }
    }
}
