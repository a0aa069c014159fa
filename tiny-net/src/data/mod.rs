//! Data channels, as a machine without socket or clock (RFC 8831, RFC 8832): SCTP (RFC 9260) with
//! partial reliability (RFC 3758) and stream resets (RFC 6525) in packets that DTLS carries, and the
//! protocol that opens channels.
//!
//! Narrow on purpose: one path, one association for the life of a DTLS association, no restart of it,
//! no interleaving of messages. It trusts its transport to have authenticated the peer, and trusts the
//! peer with nothing: memory is bounded by [`Config`], whatever arrives.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//! use tiny_net::data::{ChannelOptions, Channels, Config, Event, Message, Peer};
//! use tiny_sak::{Output, Rng};
//!
//! let (now, config) = (Instant::now(), Arc::new(Config::default()));
//! let side = |active, seed| {
//!     Channels::new(now, active, Peer::default(), config.clone(), Rng::from_seed(seed))
//! };
//! let mut ends = [side(true, 1)?, side(false, 2)?];
//! let channel = ends[0].open(now, ChannelOptions::new("chat"))?;
//! ends[0].send(now, channel, Message::Text("hello".into()))?;
//! let mut heard = None;
//! while heard.is_none() {
//!     for end in 0..2 {
//!         match ends[end].poll(now) {
//!             Output::Transmit(packet) => ends[1 - end].handle(now, &packet),
//!             Output::Event(Event::Readable(channel)) => heard = ends[end].read(now, channel),
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(heard, Some(Message::Text("hello".into())));
//! # Ok::<(), tiny_net::data::Error>(())
//! ```

mod association;
mod channels;
mod chunk;
mod config;
mod crc;
pub mod dcep;
mod error;
mod inbound;
mod options;
mod outbound;
mod reset;
mod rto;
#[cfg(test)]
mod tests;

pub use channels::{Channel, ChannelId, Channels, Event};
pub use config::{Config, Peer};
pub use error::{Counts, Error, Flight};
pub use options::{ChannelOptions, Message, Reliability};
