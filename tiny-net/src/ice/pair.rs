//! A pair of addresses and all that is known of it.

use super::candidate::CandidateKind;
use super::report::{PairFailure, PairState};
use crate::stun::{Transaction, TransactionId};
use bytes::Bytes;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A request that may be repeated.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) id: TransactionId,
    pub(super) transaction: Transaction,
    pub(super) message: Bytes,
    pub(super) controlling: bool,
    pub(super) nominate: bool,
}

/// A request that is sent once, or is not repeated any more: its answer still counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ping {
    pub(super) id: TransactionId,
    pub(super) at: Instant,
    // Whether it was sent once, so that its answer tells the round trip.
    pub(super) once: bool,
    pub(super) controlling: bool,
    pub(super) nominate: bool,
}

/// How many pings are remembered: an answer to an older one is none.
const PINGS: usize = 8;

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) id: u32,
    pub(super) component: u16,
    pub(super) base: usize,
    pub(super) remote: SocketAddr,
    pub(super) remote_kind: CandidateKind,
    pub(super) remote_cost: u16,
    pub(super) tcp: bool,
    // Local and remote foundations.
    pub(super) foundation: (u32, String),
    pub(super) local_priority: u32,
    pub(super) remote_priority: u32,
    pub(super) priority: u64,
    pub(super) state: PairState,
    pub(super) check: Option<Check>,
    pub(super) pings: SmallVec<[Ping; 2]>,
    // It works: a check was answered, or (lite) it was nominated.
    pub(super) valid: bool,
    pub(super) nominated: bool,
    // The counter of the nomination that the peer sent, or we.
    pub(super) nomination: u32,
    // The next check shall nominate, or (controlled) the peer has.
    pub(super) wants_nomination: bool,
    // It worked and is silent now.
    pub(super) dead: bool,
    // It has carried data, so that lost consent is lost for good (RFC 7675 §5.1).
    pub(super) used: bool,
    pub(super) mapped: Option<SocketAddr>,
    pub(super) rtt: Option<Duration>,
    pub(super) last_answer: Option<Instant>,
    pub(super) last_heard: Option<Instant>,
    pub(super) last_ping: Option<Instant>,
    pub(super) unanswered: u32,
    pub(super) failure: Option<PairFailure>,
    // What failed last, should it fail altogether.
    pub(super) hint: Option<PairFailure>,
    pub(super) sent: u64,
    pub(super) answered: u64,
}

impl Pair {
    /// Whether a check of it is still to come or under way.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, PairState::Frozen | PairState::Waiting | PairState::InProgress)
    }

    /// Whether data could go over it.
    pub(super) fn is_usable(&self) -> bool {
        self.valid && !self.dead
    }

    pub(super) fn note_ping(&mut self, ping: Ping) {
        if self.pings.len() >= PINGS {
            self.pings.remove(0);
        }
        self.pings.push(ping);
    }

    /// A check under way is not repeated any more (RFC 8445 §7.3.1.4); its answer still counts.
    pub(super) fn cancel(&mut self, now: Instant) {
        if let Some(check) = self.check.take() {
            let Check { id, controlling, nominate, transaction, .. } = check;
            let once = transaction.sent() == 1;
            let ago = transaction.round_trip(now).unwrap_or_default();
            self.note_ping(Ping { id, at: now - ago, once, controlling, nominate });
        }
    }

    pub(super) fn fail(&mut self, failure: PairFailure) {
        self.check = None;
        self.state = PairState::Failed;
        self.failure = Some(failure);
        (self.valid, self.nominated, self.wants_nomination) = (false, false, false);
    }

    pub(super) fn measured(&mut self, rtt: Duration) {
        self.rtt = Some(self.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
    }
}
