//! Whole call flows in virtual time: agents' cores, driven through the handles that applications
//! hold, and proxies of the testkit, on the simulated network.

mod caller;
mod conference;
#[cfg(feature = "dtls")]
mod described;
mod directions;
mod early;
mod events;
mod headers;
mod ice;
mod messages;
mod outbound;
mod policies;
mod preconditions;
mod redirected;
mod referral;
mod regained;
mod rfc3665;
mod rfc5359;
mod rfc5589;
mod roaming;
mod session_id;
mod storm;
mod village;
