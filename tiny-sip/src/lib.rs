//! SIP for tiny-ua, without I/O: messages, transactions, dialogs, usages.
//!
//! The message half (RFC 3261 §7, §19, §20, §25):
//! - [`Message`]: a received message, parsed without copying; header fields are typed on demand.
//! - [`Writer`]: the printer of every message that is sent; safe against header injection.
//! - [`Uri`], [`NameAddr`], [`Via`], [`CSeq`], [`header`]: the typed header fields.
//! - [`StreamFramer`]: messages and keep-alives out of a byte stream (§18.3, RFC 5626).
//! - [`digest`]: RFC 7616 authentication, both sides. [`multipart`]: RFC 2046 bodies.
//!
//! Nothing here reads a clock, a socket or the operating system's entropy.

pub mod digest;
mod framing;
pub mod header;
mod message;
mod method;
pub mod multipart;
mod status;
mod uri;
mod writer;

pub use framing::{FrameError, Framed, StreamFramer};
pub use header::{CSeq, Challenge, Flaw, HeaderError, HeaderName, NameAddr, Params, Via};
pub use message::{Defect, Limits, Message, ParseError};
pub use method::{Method, SmallStr};
pub use status::StatusCode;
pub use uri::{Scheme, Uri, escape_user, unescape};
pub use writer::{Value, WriteError, Writer};
