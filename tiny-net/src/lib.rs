//! Sockets and the simulated network for tiny-ua

pub mod pcapng;
