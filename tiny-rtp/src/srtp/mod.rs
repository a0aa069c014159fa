//! Secure RTP and secure RTCP: an in-place transform without allocation per packet (RFC 3711, RFC 6188,
//! RFC 7714), and its keys in session descriptions ([`sdes`], RFC 4568).
//!
//! A [`Protector`] holds the keys of what is sent, an [`Unprotector`] those of what is received: no
//! context has both, because a key shared by both directions is a keystream used twice. Rollover,
//! replay windows and limits are kept for each SSRC. No clock, no randomness; nothing leaves in the
//! clear unless the [`Policy`] says so in so many words. Key derivation rates other than 0 and encrypted
//! header extensions (RFC 6904) are not built.
//!
//! ```
//! use tiny_rtp::srtp::{MasterKey, Policy, Profile, Protector, Unprotector};
//! let policy = Policy::new(Profile::AesCm128HmacSha1_80);
//! let key = || MasterKey::new(policy.profile, &[1; 16], &[2; 14]).unwrap();
//! let mut sender = Protector::new(policy, vec![key()]).unwrap();
//! let mut receiver = Unprotector::new(policy, vec![key()]).unwrap();
//!
//! let clear = [0x80, 0, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4, 0xd5, 0xd5];
//! let mut packet = clear.to_vec();
//! sender.protect_rtp(&mut packet).unwrap();
//! assert_eq!(packet.len(), clear.len() + 10);
//! let len = receiver.unprotect_rtp(&mut packet).unwrap();
//! assert_eq!(packet[..len], clear);
//! ```

mod cipher;
mod context;
mod error;
mod gcm;
mod kdf;
mod keys;
mod mac;
mod profile;
mod protector;
pub mod sdes;
mod transform;
mod unprotector;
mod window;

pub use context::Continuity;
pub use error::{KeyError, SrtpCounts, SrtpError};
pub use keys::{Lifetime, MasterKey};
pub use profile::{Policy, Profile};
pub use protector::Protector;
pub use unprotector::Unprotector;

#[cfg(test)]
mod tests;
