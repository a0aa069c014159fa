//! What a channel is to be like, and what goes over it (RFC 8831 §6.4, §6.6; RFC 8832 §5.1).

use bytes::Bytes;
use std::time::Duration;

/// Normal, of RFC 8831 §6.4.
const PRIORITY: u16 = 256;

/// How long a message is tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reliability {
    /// Until it has arrived.
    #[default]
    Full,
    /// It is sent again so many times at most.
    Retransmits(u32),
    /// It is sent for so long at most, in whole milliseconds.
    Lifetime(Duration),
}

/// What a channel is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelOptions {
    /// Name for the application.
    pub label: String,
    /// What is spoken in it; empty for nothing in particular.
    pub protocol: String,
    /// Whether messages keep their order.
    pub ordered: bool,
    /// How long they are tried.
    pub reliability: Reliability,
    /// Weight beside other channels, told to the peer (RFC 8832 §5.1). Default: 256, normal.
    pub priority: u16,
    /// The stream, of a channel that both sides open without a word on the wire.
    pub negotiated: Option<u16>,
}

impl ChannelOptions {
    /// A reliable channel in order, that the peer is told of.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            protocol: String::new(),
            ordered: true,
            reliability: Reliability::Full,
            priority: PRIORITY,
            negotiated: None,
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Anything else.
    Binary(Bytes),
}

impl Message {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(data) => data.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
