//! Checks of the peer: who may ask, what is answered, and what follows from it (RFC 8445 §7.3).

use super::agent::Agent;
use super::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport};
use super::checks::Far;
use super::report::PairState;
use crate::stun::{Builder, Class, Integrity, Message, attr, method};
use std::net::SocketAddr;
use std::time::Instant;

/// What a check may carry that must be understood.
const KNOWN: &[u16] = &[attr::USERNAME, attr::PRIORITY, attr::USE_CANDIDATE];

impl Agent {
    pub(super) fn answer(
        &mut self,
        now: Instant,
        base: usize,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let id = message.id();
        let refuse =
            |code, reason| Builder::new(Class::Error, method::BINDING, id).error(code, reason);
        let username = message.text(attr::USERNAME).and_then(|name| name.split_once(':'));
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let session = username.and_then(|(ours, _)| sessions.clone().find(|s| s.ufrag == ours));
        // RFC 8489 §9.1.3: without an integrity there is nothing to sign the refusal with.
        let Some((session, (_, theirs))) = session.zip(username) else {
            self.counters.unknown_user += 1;
            let code = if username.is_none() { 400 } else { 401 };
            let refusal = refuse(code, "").fingerprint().finish();
            return self.emit(now, base, from, refusal);
        };
        match message.verify(&session.key) {
            Integrity::Valid => {}
            found => {
                self.counters.integrity += 1;
                let code = if found == Integrity::Absent { 400 } else { 401 };
                let refusal = refuse(code, "").fingerprint().finish();
                return self.emit(now, base, from, refusal);
            }
        }
        let (generation, key) = (session.generation, session.key.clone());
        let unknown = message.not_understood(KNOWN);
        if !unknown.is_empty() {
            let refusal = refuse(420, "").unknown_attributes(&unknown).integrity(&key);
            return self.emit(now, base, from, refusal.fingerprint().finish());
        }
        // A fork, or a generation that we have not heard of yet: answered, nothing more.
        let stranger = session.remote.as_ref().is_some_and(|r| r.ufrag != theirs);
        if !self.settle_roles(message) {
            self.counters.role_conflicts += 1;
            let refusal = refuse(487, "Role Conflict").integrity(&key).fingerprint();
            return self.emit(now, base, from, refusal.finish());
        }
        let success = Builder::new(Class::Success, method::BINDING, id)
            .xor_address(attr::XOR_MAPPED_ADDRESS, from)
            .integrity(&key)
            .fingerprint();
        self.emit(now, base, from, success.finish());
        if stranger || self.closed || self.plain || self.failure.is_some() {
            return;
        }
        self.heard(now, base, from, false);
        if generation == self.session.generation && self.bases[base].open {
            self.triggered(now, base, from, message);
        }
        self.choose(now);
    }

    /// An offer of who controls names what it has chosen (RFC 8839 §4.4.1.2.2): our address of a
    /// component as the peer sees it, and its own. The offer may be quicker than the check that
    /// nominates; the pair is used once it works (RFC 8445 §7.3.1.5).
    pub fn chosen(&mut self, now: Instant, component: u16, ours: SocketAddr, theirs: SocketAddr) {
        if self.controlling || self.closed || self.failure.is_some() {
            return;
        }
        let candidates = self.locals.iter().filter(|l| l.candidate.address.ip() == Some(ours));
        let bases: Vec<usize> = candidates.map(|l| l.base).collect();
        let named = |p: &&mut super::pair::Pair| {
            let mine = p.mapped == Some(ours) || bases.contains(&p.base);
            p.component == component && p.remote == theirs && mine
        };
        let Some(pair) = self.session.pairs.iter_mut().find(named) else { return };
        if pair.nominated {
            return;
        }
        if pair.valid {
            pair.nominated = true;
            return self.choose(now);
        }
        // The other side has seen it work, whatever became of our checks.
        pair.wants_nomination = true;
        let (id, idle) =
            (pair.id, pair.check.is_none() && pair.failure.is_none_or(super::watch::may_recover));
        if idle {
            pair.state = PairState::Waiting;
            self.session.enqueue(id);
            self.wake(now);
        }
    }

    /// §7.3.1.1. False where the peer has to give way.
    fn settle_roles(&mut self, message: &Message<'_>) -> bool {
        let theirs = message.u64(attr::ICE_CONTROLLING);
        if let Some(theirs) = theirs.filter(|_| self.controlling) {
            // A full agent controls a lite one, whatever the numbers say.
            if self.config.lite {
                self.set_role(false);
                return true;
            }
            if self.tie_breaker >= theirs {
                return false;
            }
            self.counters.role_conflicts += 1;
            self.set_role(false);
        } else if let Some(theirs) = message.u64(attr::ICE_CONTROLLED).filter(|_| !self.controlling)
        {
            if self.tie_breaker < theirs {
                return false;
            }
            self.counters.role_conflicts += 1;
            self.set_role(true);
        }
        true
    }

    // §7.3.1.3 to §7.3.1.5, §7.3.2.
    fn triggered(&mut self, now: Instant, base: usize, from: SocketAddr, message: &Message<'_>) {
        let Some(pair) = self.known_pair(now, base, from, message) else { return };
        let (lite, controlling) = (self.config.lite, self.controlling);
        let counter = message.u32(attr::NOMINATION).unwrap_or(0);
        let nominates = message.has(attr::USE_CANDIDATE) && !controlling;
        let Some(pair) = self.session.pair(pair) else { return };
        if nominates {
            pair.nomination = pair.nomination.max(counter);
            if lite {
                // §7.3.2: what reaches a lite agent works.
                (pair.valid, pair.nominated, pair.state) = (true, true, PairState::Succeeded);
                (pair.dead, pair.last_answer) = (false, Some(now));
            } else if pair.valid {
                pair.nominated = true;
            } else {
                pair.wants_nomination = true;
            }
        }
        if lite {
            return;
        }
        let id = pair.id;
        match pair.state {
            // A path that was silent may be back.
            PairState::Succeeded if !pair.dead => return,
            PairState::Succeeded | PairState::Pruned => {
                return self.ping(now, self.session.generation, id);
            }
            PairState::InProgress => pair.cancel(now),
            _ => {}
        }
        if pair.failure.is_some_and(|f| !super::watch::may_recover(f)) {
            return;
        }
        pair.state = PairState::Waiting;
        self.session.enqueue(id);
        self.wake(now);
    }

    // The pair that a check came over, new if need be.
    fn known_pair(
        &mut self,
        now: Instant,
        base: usize,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Option<u32> {
        if let Some(pair) = self.session.pair_of(base, from) {
            return Some(pair.id);
        }
        let component = self.bases[base].component;
        let transport = match self.bases[base].transport() {
            CandidateTransport::Udp => CandidateTransport::Udp,
            CandidateTransport::Tcp(kind) => CandidateTransport::Tcp(kind.counterpart()),
        };
        let known = self.session.remotes.iter().find(|r| {
            r.addr == from
                && r.candidate.component == component
                && r.candidate.transport == transport
        });
        let far = match known.map(|r| &r.candidate) {
            Some(c) => Far {
                addr: from,
                kind: c.kind,
                priority: c.priority,
                foundation: c.foundation.clone(),
                cost: c.network_cost.unwrap_or(0),
            },
            None => {
                // §7.3.1.3: a foundation that no other has.
                let priority = message.u32(attr::PRIORITY)?.clamp(1, 0x7fff_ffff);
                let foundation = format!("p{}", self.next_pair);
                let kind = CandidateKind::PeerReflexive;
                let candidate = Candidate {
                    foundation: foundation.clone(),
                    component,
                    transport,
                    priority,
                    address: CandidateAddress::Ip(from),
                    kind,
                    related: None,
                    ufrag: None,
                    network_cost: None,
                    extensions: Vec::new(),
                };
                if self.insert_remote(now, candidate, from, true).is_err() {
                    self.counters.candidates_refused += 1;
                    return None;
                }
                Far { addr: from, kind, priority, foundation, cost: 0 }
            }
        };
        let id = self.add_pair(now, base, &far);
        self.limit_pairs();
        // The limit may have taken it, if all others work.
        self.session.pair(id).map(|p| p.id)
    }
}
