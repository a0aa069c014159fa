//! Utilities that every floor of tiny-ua stands on.
//!
//! - [`Output`]: the poll contract shared by every sans-IO core.
//! - [`TimerQueue`]: many deadlines, one `next_deadline`.
//! - [`Rng`]: injected randomness; the only source of ids and nonces.
//! - [`Transport`], [`Flow`]: where bytes travel.
//! - [`id`]: branch, tag, Call-ID, CNAME, SSRC.
//! - [`Secret`]: zeroized on drop, never printed.
//! - [`Counter`], [`Histogram`]: figures cheap enough for a packet path.
//!
//! Nothing here reads a clock or the operating system's entropy, with the one exception of
//! [`Rng::from_os`], which only the edges of the system (facade, tools) may call.

mod flow;
pub mod id;
mod poll;
mod rng;
mod secret;
mod stats;
mod timer;

pub use flow::{Flow, Transport};
pub use poll::Output;
pub use rng::Rng;
pub use secret::Secret;
pub use stats::{Counter, Histogram};
pub use timer::{TimerKey, TimerQueue};
