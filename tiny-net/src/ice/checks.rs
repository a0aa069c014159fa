//! The checklist: which pairs there are, in which order they are checked, and what an answer means
//! (RFC 8445 §6.1.2, §6.1.4, §7.2).

use super::agent::{Agent, prioritized};
use super::candidate::{CandidateKind, CandidateTransport, TcpType};
use super::local::Via;
use super::pair::{Check, Pair, Ping};
use super::priority::may_pair;
use super::report::{PairFailure, PairState};
use crate::stun::{Builder, Class, Integrity, Message, Step, Timing, Transaction, attr, method};
use bytes::Bytes;
use smallvec::SmallVec;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// What a pair needs to know of the peer's candidate.
#[derive(Debug, Clone)]
pub(super) struct Far {
    pub(super) addr: SocketAddr,
    pub(super) kind: CandidateKind,
    pub(super) priority: u32,
    pub(super) foundation: String,
    pub(super) cost: u16,
}

impl Agent {
    /// Pairs what is not paired yet (§6.1.2.2). Reflexive candidates are their bases here, so that
    /// no pair is twice (§6.1.2.4).
    pub(super) fn pair_up(&mut self, now: Instant) {
        if self.config.lite && !self.peer_lite
            || self.closed
            || self.plain
            || self.failure.is_some()
        {
            return;
        }
        let mut new = false;
        for base in 0..self.bases.len() {
            let from = &self.bases[base];
            if from.gone || !from.open {
                continue;
            }
            let wanted = match from.transport() {
                CandidateTransport::Udp => CandidateTransport::Udp,
                // Passive ones wait for the peer (RFC 6544 §6.2).
                CandidateTransport::Tcp(TcpType::Passive) => continue,
                CandidateTransport::Tcp(kind) => CandidateTransport::Tcp(kind.counterpart()),
            };
            let (component, ip) = (from.component, from.addr.ip());
            let fits = self.session.remotes.iter().filter(|r| {
                r.candidate.component == component
                    && r.candidate.transport == wanted
                    && !r.learnt
                    && may_pair(ip, r.addr.ip())
            });
            let far: Vec<Far> = fits
                .map(|r| Far {
                    addr: r.addr,
                    kind: r.candidate.kind,
                    priority: r.candidate.priority,
                    foundation: r.candidate.foundation.clone(),
                    cost: r.candidate.network_cost.unwrap_or(0),
                })
                .collect();
            for far in far {
                if self.session.pair_of(base, far.addr).is_none() {
                    self.add_pair(now, base, &far);
                    new = true;
                }
            }
        }
        if new {
            self.limit_pairs();
            self.unfreeze();
            self.wake(now);
        }
    }

    pub(super) fn add_pair(&mut self, now: Instant, base: usize, far: &Far) -> u32 {
        let from = &self.bases[base];
        let id = self.next_pair;
        self.next_pair = self.next_pair.wrapping_add(1);
        let mut pair = Pair {
            id,
            component: from.component,
            base,
            remote: far.addr,
            remote_kind: far.kind,
            remote_cost: far.cost,
            tcp: matches!(from.via, Via::Tcp(_)),
            foundation: (from.foundation, far.foundation.clone()),
            local_priority: from.priority,
            remote_priority: far.priority,
            priority: 0,
            state: PairState::Frozen,
            check: None,
            pings: SmallVec::new(),
            valid: false,
            nominated: false,
            nomination: 0,
            wants_nomination: false,
            dead: false,
            used: false,
            mapped: None,
            rtt: None,
            last_answer: None,
            last_heard: None,
            last_ping: None,
            unanswered: 0,
            failure: None,
            hint: None,
            sent: 0,
            answered: 0,
        };
        pair.priority = prioritized(&pair, self.controlling);
        self.session.pairs.push(pair);
        // §7.2.1: the relay lets the peer's checks in from now on.
        if let Via::Relay(at) = self.bases[base].via {
            let _ = self.relays[at].client.permit(now, far.addr.ip());
            self.drain_relay(now, at);
        }
        id
    }

    /// §6.1.2.5: the least liked that never worked give way.
    pub(super) fn limit_pairs(&mut self) {
        while self.session.pairs.len() > self.config.max_pairs {
            let spare = self.session.pairs.iter().enumerate().filter(|(_, p)| !p.valid);
            let worst = spare.min_by_key(|(_, p)| (p.is_open(), p.priority)).map(|(at, _)| at);
            let Some(at) = worst else { return };
            let id = self.session.pairs.remove(at).id;
            self.session.triggered.retain(|t| *t != id);
        }
    }

    /// §6.1.2.6, and §12 of RFC 8838 for those that come later: of each foundation one waits, or is
    /// under way, or all wait once one succeeded.
    pub(super) fn unfreeze(&mut self) {
        let pairs = &mut self.session.pairs;
        let mut order: Vec<usize> =
            (0..pairs.len()).filter(|at| pairs[*at].state == PairState::Frozen).collect();
        order.sort_by_key(|at| (pairs[*at].component, std::cmp::Reverse(pairs[*at].priority)));
        for at in order {
            let same = |p: &&Pair| p.foundation == pairs[at].foundation;
            let active = |p: &&Pair| matches!(p.state, PairState::Waiting | PairState::InProgress);
            let succeeded = pairs.iter().filter(same).any(|p| p.state == PairState::Succeeded);
            if succeeded || !pairs.iter().filter(same).any(|p| active(&p)) {
                pairs[at].state = PairState::Waiting;
            }
        }
    }

    /// Sends the next check (§6.1.4.2). False where there is none to send.
    pub(super) fn start_check(&mut self, now: Instant) -> bool {
        if self.session.remote.is_none() || self.failure.is_some() || self.config.lite {
            return false;
        }
        while let Some(id) = self.session.triggered.pop_front() {
            if self.session.pair(id).is_some_and(|p| p.check.is_none()) {
                self.check(now, id);
                return true;
            }
        }
        self.unfreeze();
        let waiting = self.session.pairs.iter().filter(|p| p.state == PairState::Waiting);
        let best = waiting.max_by_key(|p| (p.priority, std::cmp::Reverse(p.component)));
        let Some(id) = best.map(|p| p.id) else { return false };
        self.check(now, id);
        true
    }

    fn check(&mut self, now: Instant, id: u32) {
        let Some(pair) = self.session.pair(id) else { return };
        let (base, remote, tcp) = (pair.base, pair.remote, pair.tcp);
        let nominate = self.controlling && pair.wants_nomination;
        let counter = if nominate && self.session.options().renomination {
            self.nomination += 1;
            self.nomination
        } else {
            0
        };
        let Some((transaction_id, message)) =
            self.request(base, self.session.generation, nominate, counter)
        else {
            return;
        };
        let rto = self.config.timing.rto.max(Duration::from_millis(500));
        let timing = Timing { rto, ..self.config.timing };
        let mut transaction = Transaction::new(now, timing, tcp);
        transaction.due(now);
        let controlling = self.controlling;
        let Some(pair) = self.session.pair(id) else { return };
        if !pair.valid {
            pair.state = PairState::InProgress;
        }
        pair.nomination = pair.nomination.max(counter);
        pair.sent += 1;
        let data = message.clone();
        pair.check =
            Some(Check { id: transaction_id, transaction, message, controlling, nominate });
        self.emit(now, base, remote, data);
    }

    /// A Binding request to the peer (§7.1, §7.2.2).
    pub(super) fn request(
        &mut self,
        base: usize,
        generation: u32,
        nominate: bool,
        counter: u32,
    ) -> Option<([u8; 12], Bytes)> {
        let id = self.new_id();
        let old = self.old.as_ref().filter(|old| old.generation == generation);
        let session = old.unwrap_or(&self.session);
        let remote = session.remote.as_ref()?;
        let role = if self.controlling { attr::ICE_CONTROLLING } else { attr::ICE_CONTROLLED };
        let username = [remote.ufrag.as_str(), ":", session.ufrag.as_str()].concat();
        let mut request = Builder::new(Class::Request, method::BINDING, id)
            .text(attr::USERNAME, &username)
            .u32(attr::PRIORITY, self.bases[base].reflexive_priority())
            .u64(role, self.tie_breaker);
        if nominate {
            request = request.flag(attr::USE_CANDIDATE);
        }
        if counter > 0 {
            request = request.u32(attr::NOMINATION, counter);
        }
        Some((id, request.integrity(&remote.key).fingerprint().finish()))
    }

    pub(super) fn tick_checks(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(pair) = self.session.pairs.get_mut(at) {
            at += 1;
            let Some(check) = &mut pair.check else { continue };
            match check.transaction.due(now) {
                None => {}
                Some(Step::Send) => {
                    pair.sent += 1;
                    let (base, remote, data) = (pair.base, pair.remote, check.message.clone());
                    self.emit(now, base, remote, data);
                }
                Some(Step::GiveUp) => {
                    let failure = pair.hint.unwrap_or(PairFailure::Timeout);
                    // §7.2.5.3.4 fails a pair whose nomination gets no answer. Where other checks
                    // of it are answered, that was loss: it is nominated again; else its consent
                    // ends soon.
                    if pair.valid {
                        pair.check = None;
                    } else {
                        pair.fail(failure);
                    }
                    self.choose(now);
                    self.wake(now);
                }
            }
        }
    }

    /// An answer to a check or a ping (§7.2.5).
    pub(super) fn answered(
        &mut self,
        now: Instant,
        base: usize,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let id = message.id();
        let asked = |p: &Pair| {
            p.check.as_ref().is_some_and(|c| c.id == id) || p.pings.iter().any(|ping| ping.id == id)
        };
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let found =
            sessions.flat_map(|s| s.pairs.iter().map(move |p| (s, p))).find(|(_, p)| asked(p));
        let Some((session, pair)) = found else {
            self.counters.unsolicited += 1;
            return;
        };
        let (generation, pair_id) = (session.generation, pair.id);
        let symmetric = pair.base == base && pair.remote == from;
        let whole = session.remote.as_ref().map(|r| message.verify(&r.key));
        let error = match message.class() {
            Class::Success => None,
            _ => Some(message.error().map_or(400, |e| e.0)),
        };
        if whole != Some(Integrity::Valid) {
            // An error without integrity may be forged: it is a hint, and time decides.
            if let Some(code) = error
                && let Some(pair) = self.pair_in(generation, pair_id)
            {
                pair.hint = Some(PairFailure::Error(code));
            }
            self.counters.integrity += 1;
            return;
        }
        let Some(pair) = self.pair_in(generation, pair_id) else { return };
        let check = pair.check.take_if(|c| c.id == id).map(|c| {
            let at = c.transaction.round_trip(now).map_or(now, |rtt| now - rtt);
            let once = c.transaction.round_trip(now).is_some();
            Ping { id, at, once, controlling: c.controlling, nominate: c.nominate }
        });
        let at = pair.pings.iter().position(|ping| ping.id == id);
        let Some(ping) = check.or_else(|| at.map(|at| pair.pings.remove(at))) else { return };
        match error {
            _ if !symmetric => {
                pair.fail(PairFailure::Asymmetric);
                self.choose(now);
            }
            Some(487) => self.conflict(now, pair_id, ping),
            Some(403) if pair.valid => self.revoked(now, generation, pair_id),
            Some(code) => {
                if !pair.valid {
                    pair.fail(PairFailure::Error(code));
                }
                self.choose(now);
                self.wake(now);
            }
            None => self.succeeded(now, generation, pair_id, ping, message.mapped()),
        }
    }

    // §7.2.5.1.
    fn conflict(&mut self, now: Instant, id: u32, ping: Ping) {
        self.counters.role_conflicts += 1;
        if self.controlling == ping.controlling {
            self.set_role(!ping.controlling);
        }
        if let Some(pair) = self.session.pair(id).filter(|p| !p.valid) {
            pair.state = PairState::Waiting;
            self.session.enqueue(id);
            self.wake(now);
        }
    }

    fn succeeded(
        &mut self,
        now: Instant,
        generation: u32,
        id: u32,
        ping: Ping,
        mapped: Option<SocketAddr>,
    ) {
        let current = generation == self.session.generation;
        let controlling = self.controlling;
        let Some(pair) = self.pair_in(generation, id) else { return };
        // Consent that was lost does not come back by a late answer (RFC 7675 §5.1).
        if matches!(
            pair.failure,
            Some(PairFailure::ConsentExpired | PairFailure::ConsentRevoked | PairFailure::Gone)
        ) {
            return;
        }
        if ping.once {
            pair.measured(now.saturating_duration_since(ping.at));
        }
        pair.answered += 1;
        (pair.unanswered, pair.failure, pair.hint) = (0, None, None);
        (pair.last_answer, pair.last_heard) = (Some(now), Some(now));
        (pair.valid, pair.dead) = (true, false);
        pair.state = PairState::Succeeded;
        pair.mapped = mapped.or(pair.mapped);
        // §7.2.5.3.4: ours was answered; or the peer's came before we knew that the pair works.
        if ping.nominate && controlling || pair.wants_nomination && !controlling {
            (pair.nominated, pair.wants_nomination) = (true, false);
            pair.cancel(now);
            // Of ours, the last one counts.
            let (component, session) = (pair.component, self.session.pairs.iter_mut());
            if controlling && current {
                for other in session.filter(|p| p.component == component && p.id != id) {
                    other.nominated = false;
                }
            }
        }
        let Some(pair) = self.pair_in(generation, id) else { return };
        let (component, base, remote) = (pair.component, pair.base, pair.remote);
        if current {
            let slot = usize::from(component - 1);
            self.session.first_valid[slot].get_or_insert(now);
            // §7.2.5.3.3: all others of the foundation may go on.
            self.unfreeze();
            self.wake(now);
        }
        self.heard(now, base, remote, false);
        self.choose(now);
    }

    /// The system or a router says that a peer's address cannot be reached (§7.2.5.2.2).
    pub(super) fn unreachable(
        &mut self,
        now: Instant,
        base: usize,
        remote: SocketAddr,
        error: ErrorKind,
    ) {
        // What our own system says is certain; what a router says can be forged, and some NATs say
        // it before the peer's first check has opened them.
        let own = matches!(
            error,
            ErrorKind::NetworkUnreachable
                | ErrorKind::AddrNotAvailable
                | ErrorKind::NetworkDown
                | ErrorKind::PermissionDenied
        );
        for session in std::iter::once(&mut self.session).chain(self.old.as_mut()) {
            let Some(pair) = session.pair_of(base, remote) else { continue };
            pair.hint = Some(PairFailure::Unreachable(error));
            if own && !pair.valid {
                pair.fail(PairFailure::Unreachable(error));
            }
        }
        self.suspect(now, base, remote);
        self.choose(now);
    }

    pub(super) fn relay_refused(&mut self, relay: usize, peer: IpAddr) {
        let Some(base) = self.relay_base(relay, peer) else { return };
        for pair in &mut self.session.pairs {
            if pair.base == base && pair.remote.ip() == peer && (!pair.valid || self.plain) {
                pair.fail(PairFailure::RelayRefused);
            }
        }
        if self.plain {
            self.check_plain();
        }
    }
}
