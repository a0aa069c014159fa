//! STUN (RFC 8489): messages read in place and written, their integrity, credentials, and the client
//! transaction with its back-off; besides, telling STUN from what shares its port (RFC 7983), and what
//! kind of NAT is in the way (RFC 5780).
//!
//! Nothing here has a socket, a clock or randomness of its own, and nothing panics on any input.
//!
//! ```
//! use tiny_net::stun::{Builder, Class, Key, Message, attr, method};
//! let key = Key::short_term(&"VOkJxbRl1RmTxUk/WvJxBt".into());
//! let request = Builder::new(Class::Request, method::BINDING, [7; 12])
//!     .text(attr::USERNAME, "evtj:h6vY")
//!     .integrity(&key)
//!     .fingerprint()
//!     .finish();
//! let message = Message::parse(&request).unwrap();
//! assert_eq!(message.text(attr::USERNAME), Some("evtj:h6vY"));
//! assert!(message.verify(&key).is_valid());
//! ```

mod behaviour;
mod builder;
mod credentials;
mod demux;
mod integrity;
mod message;
#[cfg(test)]
mod tests;
mod transaction;

pub use behaviour::{Behaviour, Discovery, DiscoveryConfig, NatReport};
pub use builder::Builder;
pub use credentials::{Algorithm, Challenge, ChallengeError, LongTerm};
pub use demux::{Packet, demux};
pub use integrity::{Integrity, Key, userhash};
pub use message::{Attributes, Class, Message, ParseError, TransactionId};
pub use transaction::{Step, Timing, Transaction};

use crate::NetEvent;
use bytes::Bytes;
use tiny_sak::Flow;

/// Methods (RFC 8489 §18.2, RFC 8656 §17).
pub mod method {
    /// Binding: what is my address?
    pub const BINDING: u16 = 0x001;
    /// Allocate (TURN).
    pub const ALLOCATE: u16 = 0x003;
    /// Refresh (TURN).
    pub const REFRESH: u16 = 0x004;
    /// Send, an indication (TURN).
    pub const SEND: u16 = 0x006;
    /// Data, an indication (TURN).
    pub const DATA: u16 = 0x007;
    /// CreatePermission (TURN).
    pub const CREATE_PERMISSION: u16 = 0x008;
    /// ChannelBind (TURN).
    pub const CHANNEL_BIND: u16 = 0x009;
}

/// Attribute types (RFC 8489 §18.3, RFC 8656 §18, RFC 8445 §16.1, RFC 5780 §7).
pub mod attr {
    #![allow(missing_docs, reason = "the names are the registry's")]
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    pub const CHANGE_REQUEST: u16 = 0x0003;
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub const CHANNEL_NUMBER: u16 = 0x000c;
    pub const LIFETIME: u16 = 0x000d;
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub const DATA: u16 = 0x0013;
    pub const REALM: u16 = 0x0014;
    pub const NONCE: u16 = 0x0015;
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub const PASSWORD_ALGORITHM: u16 = 0x001d;
    pub const USERHASH: u16 = 0x001e;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const PRIORITY: u16 = 0x0024;
    pub const USE_CANDIDATE: u16 = 0x0025;
    pub const PADDING: u16 = 0x0026;
    pub const RESPONSE_PORT: u16 = 0x0027;
    pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
    pub const ALTERNATE_DOMAIN: u16 = 0x8003;
    pub const ICMP: u16 = 0x8004;
    pub const SOFTWARE: u16 = 0x8022;
    pub const ALTERNATE_SERVER: u16 = 0x8023;
    pub const FINGERPRINT: u16 = 0x8028;
    pub const ICE_CONTROLLED: u16 = 0x8029;
    pub const ICE_CONTROLLING: u16 = 0x802a;
    pub const RESPONSE_ORIGIN: u16 = 0x802b;
    pub const OTHER_ADDRESS: u16 = 0x802c;
    /// The counter of nominations, as browsers send it where both sides have the ICE option
    /// `renomination`.
    pub const NOMINATION: u16 = 0xc001;
}

/// What a machine of this crate wants sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transmit {
    /// Send on a flow. A connection is opened where there is none.
    Send {
        /// The path. Of a connection that we open, the local port is only a name unless it is one
        /// that the owner listens on.
        flow: Flow,
        /// The bytes.
        data: Bytes,
    },
    /// End a connection.
    Close {
        /// The connection.
        flow: Flow,
    },
}

/// What such a machine is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// The network has something.
    Net(NetEvent),
    /// The deadline of the last `Output::Timeout` is due.
    Timeout,
}
