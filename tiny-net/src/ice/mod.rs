//! ICE (RFC 8445): finds the paths between two agents, chooses one, watches it and changes it.
//!
//! One [`Agent`] serves one data stream with one or two components, full or lite, with trickle (RFC 8838),
//! consent (RFC 7675), relays, and TCP candidates (RFC 6544). Beyond the RFCs it keeps paths that work in
//! reserve and turns to them when the one in use dies or a better one appears, as browsers do. It opens
//! no socket and resolves no name: addresses are given to it, names are asked of its owner. Nothing is
//! sent to anybody who did not consent, but checks at their pace.
//!
//! The grammar of the attributes in session descriptions (RFC 8839) is in [`Candidate`] and
//! [`IceAttribute`].

mod agent;
mod answer;
mod attributes;
mod candidate;
mod carry;
mod checks;
mod config;
mod gather;
mod local;
mod pair;
mod plain;
mod priority;
mod report;
mod select;
mod session;
mod tcp;
#[cfg(test)]
mod tests;
mod watch;

pub use agent::{Agent, Event, HostAddress, Peer, Route, SendError};
pub use attributes::{IceAttribute, IceAttributeError, IceOptions, is_mismatch};
pub use candidate::{
    Candidate, CandidateAddress, CandidateError, CandidateKind, CandidateTransport, TcpType,
};
pub use carry::Arrival;
pub use config::{Config, Policy, TcpCandidates};
pub use priority::{Network, NetworkKind};
pub use report::{
    IceCounters, IceFailure, IceReport, PairFailure, PairReport, PairState, State, SwitchReason,
};
pub use session::RemoteError;
