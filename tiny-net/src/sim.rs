//! A network in virtual time: hosts, NATs and links whose faults are drawn from one seed.
//!
//! [`Network`] carries datagrams and connections between hosts and speaks the same
//! [`NetEvent`](crate::NetEvent) as the real drivers, so that a core under test cannot tell them apart. [`World`]
//! adds [`Node`]s and a clock. Nothing here reads a clock, sleeps or opens a socket: the same seed
//! and the same inputs give the same run.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use tiny_net::{NetEvent, sim::{Link, Network}};
//! use tiny_sak::{Flow, Output, Transport};
//!
//! let start = Instant::now();
//! let mut net = Network::new(7);
//! net.set_default_path(Link::new().latency(Duration::from_millis(20)));
//! let alice = net.add_host("192.0.2.1".parse().unwrap());
//! let bob = net.add_host("192.0.2.2".parse().unwrap());
//! let flow = Flow {
//!     transport: Transport::Udp,
//!     local: "192.0.2.1:5060".parse().unwrap(),
//!     remote: "192.0.2.2:5060".parse().unwrap(),
//! };
//! net.send(start, alice, flow, "hello".into());
//! assert_eq!(net.poll(start), Output::Timeout(Some(start + Duration::from_millis(20))));
//! let Output::Event(got) = net.poll(start + Duration::from_millis(20)) else { panic!() };
//! assert_eq!(got.host, bob);
//! assert!(matches!(got.event, NetEvent::Datagram { data, .. } if data == "hello"));
//! ```

mod link;
mod nat;
mod network;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
mod world;

pub use link::{Burst, Link};
pub use nat::{Dependence, Nat};
pub use network::{Delivery, HostId, NatId, Network};
pub use trace::{Fate, TraceEntry};
pub use world::{Input, Node, NodeId, Transmit, World};
