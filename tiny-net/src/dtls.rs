//! DTLS 1.2 for media, as a machine without socket or clock (RFC 6347, RFC 5246): the keys of SRTP
//! (RFC 5763, RFC 5764) and a channel for application data, between two peers that know each other by
//! the fingerprints of their certificates (RFC 8122).
//!
//! Narrow on purpose: ephemeral Diffie-Hellman on curves, AES-GCM, certificates with EC or RSA keys on
//! the peer's side and EC on ours. No renegotiation, no resumption, no compression, no CBC, no PSK.
//! Nothing is exported and no data passes before the peer's certificate matched a fingerprint and its
//! key signed the handshake. All primitives are ring's, which also draws the ephemeral keys from the
//! operating system; everything else random comes in as a [`tiny_sak::Rng`].
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//! use tiny_net::dtls::{Association, Config, Event, Identity, Role};
//! use tiny_sak::{Output, Rng};
//!
//! let (now, config) = (Instant::now(), Arc::new(Config::default()));
//! let (a, b) = (Identity::generate()?, Identity::generate()?);
//! let (at_a, at_b) = ("192.0.2.1:4000".parse()?, "192.0.2.2:4000".parse()?);
//! let (knows_b, knows_a) = (vec![b.fingerprint()], vec![a.fingerprint()]);
//! let (config_b, rng) = (config.clone(), Rng::from_seed);
//! let mut ends = [
//!     (at_a, Association::new(now, Role::Active, a, knows_b, Some(at_b), config, rng(1))?),
//!     (at_b, Association::new(now, Role::Passive, b, knows_a, None, config_b, rng(2))?),
//! ];
//! let mut keys = Vec::new();
//! while keys.len() < 2 {
//!     for end in 0..2 {
//!         match ends[end].1.poll(now) {
//!             Output::Transmit(packet) => {
//!                 let from = ends[end].0;
//!                 ends[1 - end].1.handle(now, from, &packet.data);
//!             }
//!             Output::Event(Event::Connected(session)) => keys.push(session.keying().to_vec()),
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(keys[0], keys[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod association;
mod certificate;
mod client;
mod config;
mod crypto;
mod endpoint;
mod error;
mod fingerprint;
mod identity;
mod inbox;
mod message;
mod record;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod wire;

pub use association::{Association, Event, Role, Transmit};
pub use config::Config;
pub use endpoint::Endpoint;
pub use error::Error;
pub use fingerprint::{Fingerprint, FingerprintError, Hash};
pub use identity::Identity;
pub use session::{Counts, Session, SrtpProfile};
