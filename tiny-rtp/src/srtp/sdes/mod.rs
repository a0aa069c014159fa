//! Keys in session descriptions: `a=crypto` lines (RFC 4568), with the suites of RFC 6188 and RFC 7714.
//!
//! [`CryptoAttribute`] is one line, read and written. [`offer`] makes the lines of an offer, [`answer`]
//! chooses among those of the peer's, [`accept`] checks what the peer chose; the latter two end in an
//! [`Agreement`], which makes the two directions of a context. Keys travel in these lines as they are:
//! only what encrypts the signalling protects them (§8.3), and they are never logged.
//!
//! ```
//! use tiny_rtp::srtp::{Profile, sdes};
//! let (mut alice, mut bob) = (tiny_sak::Rng::from_seed(1), tiny_sak::Rng::from_seed(2));
//! let config = sdes::Config::default();
//! let offered = sdes::offer(&config, &mut alice);
//! let lines: Vec<String> = offered.iter().map(|line| line.to_string()).collect();
//!
//! let bobs = sdes::answer(lines.iter().map(String::as_str), &config, &mut bob).unwrap();
//! let answer = bobs.local.to_string();
//! let alices = sdes::accept(&offered, [answer.as_str()], &config).unwrap();
//! assert_eq!(alices.profile(), bobs.profile());
//!
//! let mut packet = vec![0x80, 0, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4, 0xd5, 0xd5];
//! alices.protector().unwrap().protect_rtp(&mut packet).unwrap();
//! assert_eq!(bobs.unprotector().unwrap().unprotect_rtp(&mut packet), Ok(14));
//! ```

mod attribute;
mod base64;
mod negotiate;

pub use attribute::{CryptoAttribute, CryptoError, SessionParameters};
pub use negotiate::{Agreement, Config, Refusal, accept, answer, offer};

#[cfg(test)]
mod tests;
