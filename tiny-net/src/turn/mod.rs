//! The client of a TURN relay (RFC 8656): one allocation over UDP, TCP or TLS, kept alive; permissions,
//! channels, and data both ways. Several servers are tried in turn.
//!
//! [`Client`] has no socket and no clock: the owner carries its bytes, and opens connections (under TLS
//! where the flow says so) when the first bytes for a flow come out. It believes a server nothing that
//! it did not ask for: data of peers without a permission is dropped and counted.

mod client;
mod config;
mod error;
mod framing;
#[cfg(test)]
pub(crate) mod lab;
mod peers;
mod pending;
#[cfg(test)]
mod tests;

pub use client::{Client, Event};
pub use config::{Config, Server};
pub use error::{Failure, SendError};
pub(crate) use framing::split_channel;
pub use framing::{FrameError, Framer, channel_data, split_channel_data, write_channel_data};

/// Which kind of address a relay should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6: REQUESTED-ADDRESS-FAMILY is sent (RFC 8656 §18.8).
    V6,
    /// Both at once, as far as the server has both: ADDITIONAL-ADDRESS-FAMILY is sent (RFC 8656 §7.1).
    /// One that does not know it gives an IPv4 address alone.
    Both,
}

impl Family {
    /// Whether an address is of this family.
    pub fn has(self, ip: std::net::IpAddr) -> bool {
        match self {
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
            Self::Both => true,
        }
    }
}

/// What a [`Client`] refused or missed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of the server that could not be read.
    pub malformed: u64,
    /// Responses whose integrity was wrong or missing.
    pub integrity: u64,
    /// Responses to nothing that was asked.
    pub unsolicited: u64,
    /// Data of peers without a permission, or on channels that are not bound.
    pub unasked: u64,
    /// Data that found the queue full while a permission was asked for.
    pub dropped: u64,
    /// Peers that the relay reported as unreachable (ICMP, RFC 8656 §11.5).
    pub unreachable: u64,
}

impl Counters {
    pub(crate) fn add(&mut self, other: &Self) {
        self.malformed += other.malformed;
        self.integrity += other.integrity;
        self.unsolicited += other.unsolicited;
        self.unasked += other.unasked;
        self.dropped += other.dropped;
        self.unreachable += other.unreachable;
    }
}
