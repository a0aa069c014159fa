//! A small registrar and proxy for demos and tests. Not a server to run in production: it keeps
//! everything in memory, knows one domain, and looks up no names.
//!
//! It registers with digest (RFC 3261 §10, §22), forks in parallel and chooses the best answer
//! (§16.7), records routes, retransmits as a stateful proxy does (§17), and answers a few numbers
//! by itself:
//!
//! | user part | what happens |
//! |---|---|
//! | `reply-NNN` | the proxy answers NNN (300 to 699) |
//! | `fork` | everyone registered rings, but the caller; or [`ServerConfig::fork_to`] |
//! | none | OPTIONS to the proxy itself: 200 |
//!
//! It keeps Path (RFC 3327), flows (RFC 5626 §6, §7) and GRUUs (RFC 5627), can give a Service-Route
//! (RFC 3608), and can be the edge proxy in front of another one of its kind
//! ([`ServerConfig::edge_of`]).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use tiny_ua::testkit::Registrar;
//!
//! let registrar = Registrar::builder("example.test").user("bob", "secret").start().await?;
//! println!("register at sip:{} over UDP or TCP", registrar.address());
//! # Ok::<(), tiny_net::BindError>(()) }).unwrap();
//! ```

mod auth;
mod config;
mod edge;
mod edit;
mod location;
mod proxy;
mod registrar;
mod responses;
mod route;
mod server;
mod spawn;
#[cfg(test)]
mod tests;
mod transaction;

pub use config::{ServerConfig, User};
pub use server::{Server, ServerEvent};
pub use spawn::{Registrar, spawn};
