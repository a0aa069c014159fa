//! The engine: one owner of all signalling state.
//!
//! [`core`] is sans-IO: it takes commands, SIP input and media notices with the time they came at,
//! and hands out what to send. [`driver`] runs it on tokio.

pub(crate) mod core;
pub(crate) mod driver;
mod reach;
