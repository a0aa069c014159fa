//! What can go wrong with data channels, and whose doing it is.

/// Why something was refused, or why the association is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting does not make sense.
    #[error("data channels: {0}")]
    Config(&'static str),
    /// The channel is closed or closing.
    #[error("the data channel is closed")]
    Closed,
    /// The association is over.
    #[error("the data channels' association is over")]
    Over,
    /// A limit of [`Config`](super::Config), by its name.
    #[error("limit of data channels: {0}")]
    Limit(&'static str),
    /// Too much waits to be sent ([`Config::max_buffered`](super::Config::max_buffered)).
    #[error("{buffered} bytes wait to be sent already")]
    Full {
        /// How much waits, of all channels.
        buffered: usize,
    },
    /// The peer does not take messages of that size.
    #[error("a message of {size} bytes, and the peer takes {max}")]
    TooBig {
        /// Of the message.
        size: usize,
        /// What the peer's description says.
        max: u64,
    },
    /// Another channel has this stream, or there is none of that number.
    #[error("stream {0} is in use or does not exist")]
    Stream(u16),
    /// The peer ended the association.
    #[error("the peer aborted the data channels: {0}")]
    Aborted(String),
    /// The peer ended the association in order.
    #[error("the peer shut the data channels down")]
    Shutdown,
    /// The peer does not answer any more, or never did.
    #[error("the peer does not answer on the data channels")]
    Timeout,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol of data channels: {0}")]
    Protocol(&'static str),
}

/// What an association has on its way, and what it dares: readings of one moment, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flight {
    /// Waits to be sent for the first time.
    pub waiting: usize,
    /// Is on its way, and neither acknowledged nor lost.
    pub flying: usize,
    /// May be on its way (RFC 9260 §7.2).
    pub congestion_window: usize,
    /// The peer takes beyond what is on its way.
    pub window: usize,
}

/// Figures of an association.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Packets that went out.
    pub packets_sent: u64,
    /// Packets that came in and were ours.
    pub packets_received: u64,
    /// Messages of the application that were taken to be sent.
    pub messages_sent: u64,
    /// Messages that came whole.
    pub messages_received: u64,
    /// Their bytes, of the first kind.
    pub bytes_sent: u64,
    /// Of the second.
    pub bytes_received: u64,
    /// Pieces that were sent again.
    pub retransmitted: u64,
    /// Times that nothing was acknowledged for too long, and all that was on its way counted as lost.
    pub timeouts: u64,
    /// Messages that were given up as their reliability says.
    pub abandoned: u64,
    /// Pieces that came again.
    pub duplicates: u64,
    /// Packets that are no SCTP, of another checksum, tag or port.
    pub discarded: u64,
    /// Messages that nobody knows how to read, or on streams without a channel.
    pub unread: u64,
    /// What was beyond a limit of [`Config`](super::Config).
    pub over_limit: u64,
}
