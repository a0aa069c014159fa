//! SIP for tiny-ua, without I/O: messages, transactions, dialogs, usages.
//!
//! The message half (RFC 3261 §7, §19, §20, §25):
//! - [`Message`]: a received message, parsed without copying; header fields are typed on demand.
//! - [`Writer`]: the printer of every message that is sent; safe against header injection.
//! - [`Uri`], [`NameAddr`], [`Via`], [`CSeq`], [`header`]: the typed header fields.
//! - [`StreamFramer`]: messages and keep-alives out of a byte stream (§18.3, RFC 5626).
//! - [`body`]: what events and messages carry: presence, dialogs, mailboxes, fragments of messages.
//! - [`digest`]: RFC 7616 authentication, both sides; [`aka`]: RFC 3310 and 4169.
//! - [`multipart`]: RFC 2046 bodies.
//! - [`identity`]: callers signed and verified (RFC 8224, 8225, 8588).
//!
//! The endpoint half (RFC 3261 §8–§18):
//! - [`Endpoint`]: the sans-IO core. [`Input`] in, [`Event`] and [`Transmit`] out; [`Config`].
//! - [`transaction`]: the four machines of §17 with RFC 6026.
//! - dialogs (§12) and usages (INVITE §13–15, REGISTER §10, plain requests) live behind it.
//!
//! Nothing here reads a clock, a socket or the operating system's entropy.

pub mod aka;
mod base64;
pub mod body;
mod dialog;
pub mod digest;
mod endpoint;
mod framing;
pub mod header;
pub mod identity;
mod message;
mod method;
pub mod multipart;
mod status;
pub mod stun;
pub mod transaction;
mod uri;
mod usage;
mod writer;

pub use endpoint::{
    Account, AccountKey, AuthPolicy, AuthScheme, Body, CallKey, Cause, ChallengeOrder, Config,
    Credentials, CredentialsReply, CredentialsRequest, EndedBy, Endpoint, Error, Event, FlowInfo,
    HeaderRule, Headers, Input, Network, Outgoing, Policy, PublicationEvent, PublicationKey,
    Publish, Push, QueryKey, Registration, RegistrationInfo, RequestKey, SecurityMechanism,
    ServerKey, Stats, Subscribe, SubscriptionEvent, SubscriptionKey, SubscriptionState, Target,
    Termination, Transmit, WatcherEvent, WatcherKey, check_headers,
};
pub use framing::{FrameError, Framed, StreamFramer};
pub use header::{CSeq, Challenge, Flaw, HeaderError, HeaderName, NameAddr, Params, Via};
pub use message::{Defect, Limits, Message, ParseError};
pub use method::{Method, SmallStr};
pub use status::StatusCode;
pub use uri::{Scheme, Uri, escape_header, escape_user, unescape};
pub use usage::{CallDescription, ReferOutcome, Referral, Related};
pub use writer::{Value, WriteError, Writer};
