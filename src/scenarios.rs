//! Whole call flows in virtual time: agents' cores, driven through the handles that applications
//! hold, and proxies of the testkit, on the simulated network.

mod events;
mod rfc3665;
mod village;
