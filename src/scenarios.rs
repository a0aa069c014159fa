//! Whole call flows in virtual time: agents' cores, driven through the handles that applications
//! hold, and proxies of the testkit, on the simulated network.

mod caller;
mod conference;
mod early;
mod events;
mod headers;
mod policies;
mod referral;
mod rfc3665;
mod rfc5359;
mod rfc5589;
mod roaming;
mod storm;
mod village;
