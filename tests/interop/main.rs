//! Against real peers on loopback: Kamailio, baresip and SIPp, started and stopped here.
//!
//! Without a peer its tests say `skipped: … not installed`; with `CI` set in the environment they
//! fail instead, because CI installs the peers.
#![allow(missing_docs, clippy::print_stdout)]

mod baresip;
#[cfg(target_os = "linux")]
mod browser;
mod called;
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod events;
mod extensions;
mod hold;
mod kamailio;
#[cfg(target_os = "linux")]
mod nat;
#[cfg(target_os = "linux")]
mod network;
mod outbound;
mod peers;
mod scenario;
mod secure;
mod sipp;
mod sound;
mod transfer;
