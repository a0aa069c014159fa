//! The state of an agent, for people: candidates, pairs, round trips, and why a pair failed.

use super::candidate::{Candidate, CandidateKind};
use super::priority::Network;
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

/// The state of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum State {
    /// The peer is not known yet.
    #[default]
    New,
    /// Paths are looked for.
    Checking,
    /// There is a path for each component: data can be sent.
    Connected,
    /// A path is nominated for each component.
    Completed,
    /// The path in use is silent and there is no other; it may come back.
    Disconnected,
    /// There is no path.
    Failed,
    /// Closed by its owner.
    Closed,
}

/// Why there is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IceFailure {
    /// The peer gave no candidate.
    #[error("the peer gave no address that could be tried")]
    NoRemoteCandidates,
    /// We have none.
    #[error("no address of ours could be used")]
    NoLocalCandidates,
    /// All pairs were tried.
    #[error("no path to the peer works: all {0} pairs of addresses were tried")]
    NoPath(usize),
    /// The peer stopped to consent (RFC 7675).
    #[error("the peer no longer answers")]
    ConsentExpired,
    /// The peer took its consent back (403).
    #[error("the peer does not want to receive any more")]
    ConsentRevoked,
    /// All local addresses went away.
    #[error("the network is gone")]
    NetworkGone,
}

/// The state of a pair (RFC 8445 §6.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PairState {
    /// Waits for another of its foundation.
    Frozen,
    /// Will be checked.
    Waiting,
    /// A check is under way.
    InProgress,
    /// It works.
    Succeeded,
    /// It does not.
    Failed,
    /// It works, and is no longer kept.
    Pruned,
}

/// Why a pair failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PairFailure {
    /// No answer came.
    Timeout,
    /// The peer answered with this error.
    Error(u16),
    /// The system or a router says it cannot be reached.
    Unreachable(ErrorKind),
    /// The answer came from elsewhere (RFC 8445 §7.2.5.2.1).
    Asymmetric,
    /// The relay refuses this peer.
    RelayRefused,
    /// Our address went away, or the relay.
    Gone,
    /// It worked, then there was no answer for 30 s.
    ConsentExpired,
    /// It worked, then the peer took its consent back.
    ConsentRevoked,
}

impl fmt::Display for PairFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer"),
            Self::Error(code) => write!(f, "refused with {code}"),
            Self::Unreachable(error) => write!(f, "{error}"),
            Self::Asymmetric => f.write_str("answered from elsewhere"),
            Self::RelayRefused => f.write_str("the relay refuses this peer"),
            Self::Gone => f.write_str("our address is gone"),
            Self::ConsentExpired => f.write_str("worked, then no answer"),
            Self::ConsentRevoked => f.write_str("worked, then the peer took its consent back"),
        }
    }
}

/// Why another path is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwitchReason {
    /// It is the first.
    First,
    /// The peer, or we, nominated it.
    Nominated,
    /// The one before died.
    Died,
    /// It is cheaper, more direct, or liked better.
    Better,
    /// It is quicker.
    Quicker,
}

/// One pair.
#[derive(Debug, Clone)]
pub struct PairReport {
    /// 1 or 2.
    pub component: u16,
    /// The socket or the relayed address that it sends from.
    pub local: SocketAddr,
    /// What that is: host or relay.
    pub local_kind: CandidateKind,
    /// Our address as the peer sees it, once it works.
    pub mapped: Option<SocketAddr>,
    /// The peer's address.
    pub remote: SocketAddr,
    /// What that is.
    pub remote_kind: CandidateKind,
    /// The network that it uses.
    pub network: Network,
    /// Its priority.
    pub priority: u64,
    /// Its state.
    pub state: PairState,
    /// Whether it was nominated.
    pub nominated: bool,
    /// Whether it carries the data.
    pub selected: bool,
    /// The smoothed round trip.
    pub rtt: Option<Duration>,
    /// Checks sent, repetitions included.
    pub sent: u64,
    /// Answers received.
    pub answered: u64,
    /// Why it failed.
    pub failure: Option<PairFailure>,
}

impl PairReport {
    /// Why it does not carry anything; `None` of one that works.
    pub fn trouble(&self) -> Option<String> {
        match self.failure {
            Some(failure) => Some(failure.to_string()),
            None if matches!(self.state, PairState::Succeeded | PairState::Pruned) => None,
            None if self.sent == 0 => Some("not tried".to_owned()),
            None => Some(PairFailure::Timeout.to_string()),
        }
    }
}

impl fmt::Display for PairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, local, remote, state, .. } = self;
        let (ours, theirs) = (self.local_kind.name(), self.remote_kind.name());
        write!(f, "{component} {ours} {local} -> {theirs} {remote} {state:?}")?;
        if let Some(failure) = self.failure {
            write!(f, " ({failure:?})")?;
        }
        if let Some(rtt) = self.rtt {
            write!(f, " {} ms", rtt.as_millis())?;
        }
        f.write_str(match (self.selected, self.nominated) {
            (true, _) => " selected",
            (false, true) => " nominated",
            _ => "",
        })
    }
}

/// What was refused or went wrong so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IceCounters {
    /// STUN messages that could not be read.
    pub malformed: u64,
    /// Requests and responses with a wrong or no integrity.
    pub integrity: u64,
    /// Requests for a user that we are not.
    pub unknown_user: u64,
    /// Responses to nothing that was asked.
    pub unsolicited: u64,
    /// Candidates beyond a limit or of no use.
    pub candidates_refused: u64,
    /// Data from addresses that no pair has.
    pub stray_data: u64,
    /// Packets that could not be sent, as there was no path.
    pub unsent: u64,
    /// Role conflicts, seen or told of.
    pub role_conflicts: u64,
    /// TCP connections closed for their limit or their framing.
    pub connections_refused: u64,
    /// Changes of the path in use.
    pub switches: u64,
}

/// The state of an agent at one time.
#[derive(Debug, Clone, Default)]
pub struct IceReport {
    /// The state.
    pub state: State,
    /// Why it failed.
    pub failure: Option<IceFailure>,
    /// Whether we nominate.
    pub controlling: bool,
    /// Our candidates, with their addresses also where the peer is told a name.
    pub local: Vec<Candidate>,
    /// The peer's, those learnt from its checks included.
    pub remote: Vec<Candidate>,
    /// All pairs, the best first.
    pub pairs: Vec<PairReport>,
    /// Why relays are missing.
    pub relay_failures: Vec<crate::turn::Failure>,
    /// What relays said that was not believed, all of them together.
    pub relay_counters: crate::turn::Counters,
    /// What was refused.
    pub counters: IceCounters,
}

impl IceReport {
    /// A sentence that says of the best `most` pairs why they do not work, and how many more there are;
    /// empty where there is none.
    pub fn why(&self, most: usize) -> String {
        let told = |p: &PairReport| {
            let (ours, theirs) = (p.local_kind.name(), p.remote_kind.name());
            let why = p.trouble()?;
            Some(format!("{ours} {} to {theirs} {}: {why}", p.local, p.remote))
        };
        let all: Vec<String> = self.pairs.iter().filter_map(told).collect();
        let (named, more) = all.split_at(most.min(all.len()));
        let mut why = named.join(", ");
        if !more.is_empty() {
            let and = if named.is_empty() { "" } else { ", and " };
            why += &format!("{and}{} more", more.len());
        }
        why
    }
}
