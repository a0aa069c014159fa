//! Sockets and the simulated network for tiny-ua.
//!
//! The drivers carry out what sans-IO cores decide; nothing here knows SIP or RTP.
//!
//! - [`SipTransports`]: the datagram sockets and stream connections of one engine, one await point.
//! - [`NetEvent`]: what the network tells a core.
//! - [`tls`]: who we are and whom we trust on secure connections.
//! - [`rtp`]: pairs of media sockets for a media thread.
//! - [`locate`]: the servers of a SIP domain (RFC 3263), as a machine in virtual time.
//! - [`resolve`]: the same over real name servers, and our own address as a target sees it.
//! - [`stun`]: STUN messages and transactions, and what kind of NAT is in the way.
//! - [`turn`]: a relay's client.
//! - [`interfaces()`]: the addresses of this machine.
//! - [`Links`]: the connections of an ICE agent.
//! - [`ice`]: which path carries the media, found and watched.
//! - [`mdns`]: addresses that hide behind names of the local link.
//! - [`sim`]: a network in virtual time, repeatable from one seed.
//! - [`nat`]: what kind of NAT is in the way.
//! - [`pcapng`]: captures that Wireshark reads.
//! - [`dtls`]: keys for media between peers that know each other by fingerprint (feature `dtls`).
//! - [`data`]: channels for messages beside media, in records of DTLS (feature `data`).
//! - [`Config`]: every limit.

mod config;
#[cfg(feature = "data")]
pub mod data;
#[cfg(feature = "dtls")]
pub mod dtls;
mod error;
mod event;
pub mod ice;
mod interfaces;
mod links;
pub mod locate;
pub mod mdns;
pub mod nat;
pub mod pcapng;
pub mod resolve;
pub mod rtp;
pub mod sim;
mod stats;
mod streams;
pub mod stun;
pub mod tls;
mod transports;
pub mod turn;
mod udp;

pub use config::Config;
pub use error::{BindError, ResolveError};
pub use event::NetEvent;
pub use interfaces::{Interface, interfaces};
pub use links::Links;
pub use resolve::{is_own_address, local_address_for};
pub use stats::Stats;
pub use transports::SipTransports;
