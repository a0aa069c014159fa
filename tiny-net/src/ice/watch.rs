//! Watching the paths that work: consent (RFC 7675), signs of life of the one in use, the others kept in
//! reserve, keep-alives (RFC 8445 §11).
//!
//! A path in use is asked when its conversation goes silent, not by a clock: while the peer's packets come
//! in, there is nothing but consent. Where only we talk, a few questions a second stand for them.

use super::agent::Agent;
use super::pair::{Pair, Ping};
use super::report::{IceFailure, PairFailure, PairState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A conversation is running this long after its last packet, either way.
const RUNNING: Duration = Duration::from_secs(2);
/// Between two questions to a silent path.
const QUESTION: Duration = Duration::from_millis(100);
/// The same, once it counts as dead and there is no other.
const QUESTION_DEAD: Duration = Duration::from_millis(500);
/// Between two questions to each path in reserve, while the one in use is silent.
const ROUND: Duration = Duration::from_millis(200);
/// Pings without an answer after which a path in reserve counts as dead.
const UNANSWERED: u32 = 5;
/// Between two questions to a path in use that left the last one without an answer, conversation or
/// not: consent outlives losses by them, while the period of its own checks stays (RFC 7675 §5.1).
const AGAIN: Duration = Duration::from_secs(1);

/// Whether a pair that failed so may be tried again within its generation.
pub(super) fn may_recover(failure: PairFailure) -> bool {
    use PairFailure as F;
    !matches!(failure, F::ConsentExpired | F::ConsentRevoked | F::Gone | F::RelayRefused)
}

impl Agent {
    /// Something of the peer came in over a pair.
    pub(super) fn heard(&mut self, now: Instant, base: usize, remote: SocketAddr, data: bool) {
        let mut revived = false;
        for session in std::iter::once(&mut self.session).chain(self.old.as_mut()) {
            let Some(pair) = session.pair_of(base, remote) else { continue };
            pair.last_heard = Some(now);
            let id = pair.id;
            for selected in self.selected.iter_mut().flatten() {
                if selected.pair == id {
                    selected.silent_since = None;
                    if data {
                        selected.last_data = Some(now);
                    }
                    revived |= std::mem::take(&mut pair.dead);
                }
            }
        }
        if revived {
            self.choose(now);
        }
    }

    /// A router complains about the path in use: it is asked at once.
    pub(super) fn suspect(&mut self, now: Instant, base: usize, remote: SocketAddr) {
        for slot in 0..self.selected.len() {
            let Some(selected) = &self.selected[slot] else { continue };
            let (generation, id) = (selected.generation, selected.pair);
            let same = |p: &&mut Pair| p.base == base && p.remote == remote;
            if self.pair_in(generation, id).filter(same).is_some()
                && let Some(selected) = &mut self.selected[slot]
                && selected.silent_since.is_none()
            {
                (selected.silent_since, selected.asked_at) = (Some(now), None);
            }
        }
    }

    /// One Binding request without repetition.
    pub(super) fn ping(&mut self, now: Instant, generation: u32, id: u32) {
        let controlling = self.controlling;
        let Some(pair) = self.pair_in(generation, id) else { return };
        let (base, remote) = (pair.base, pair.remote);
        // Until it is answered, a nomination goes with every request.
        let nominate = controlling && pair.wants_nomination;
        let counter = if nominate { pair.nomination } else { 0 };
        let Some((transaction, message)) = self.request(base, generation, nominate, counter) else {
            return;
        };
        let Some(pair) = self.pair_in(generation, id) else { return };
        let ping = Ping { id: transaction, at: now, once: true, controlling, nominate };
        pair.note_ping(ping);
        pair.sent += 1;
        pair.unanswered += 1;
        pair.last_ping = Some(now);
        if pair.unanswered > UNANSWERED {
            pair.dead = true;
        }
        self.emit(now, base, remote, message);
    }

    pub(super) fn watch_deadline(&self) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        let mut at = |time: Instant| earliest = Some(earliest.map_or(time, |e| e.min(time)));
        for selected in self.selected.iter().flatten().filter(|_| !self.plain) {
            if self.config.lite {
                at(selected.last_sent + self.config.keep_alive);
                continue;
            }
            let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
            let pair = sessions.flat_map(|s| &s.pairs).find(|p| p.id == selected.pair);
            let Some(pair) = pair else { continue };
            at(consent_due(selected, pair));
            if let Some(answer) = pair.last_answer {
                at(answer + self.config.consent_expiry);
            }
            if let Some(question) = self.next_question(selected, pair) {
                at(question);
            }
        }
        if self.selected.iter().any(Option::is_some) && !self.plain {
            for last in self.reserve().filter_map(|p| p.last_ping.or(p.last_answer)) {
                at(last + self.config.backup_interval);
            }
        }
        earliest
    }

    // When a silent path is asked next; none where it need not be.
    fn next_question(&self, selected: &super::select::Selected, pair: &Pair) -> Option<Instant> {
        let wait = if pair.dead { QUESTION_DEAD } else { QUESTION };
        let question = match (selected.silent_since, selected.asked_at) {
            (Some(_), Some(asked)) => asked + wait,
            // A router complained.
            (Some(since), None) => return Some(since),
            (None, _) => pair.last_heard.max(Some(selected.since))? + self.config.silence,
        };
        // A conversation that ended is no reason to go on asking; consent is still looked after.
        selected.last_data.filter(|data| question <= *data + RUNNING).map(|_| question)
    }

    // Paths that work besides those in use; lite agents and those who wait keep none.
    pub(super) fn reserve(&self) -> impl Iterator<Item = &Pair> {
        let full = !self.config.lite;
        let spare = move |p: &&Pair| full && p.valid && p.state == PairState::Succeeded;
        self.session
            .pairs
            .iter()
            .filter(spare)
            .filter(|p| p.check.is_none() && !self.is_selected(p))
    }

    pub(super) fn tick_watch(&mut self, now: Instant) {
        if self.plain {
            return;
        }
        for slot in 0..self.selected.len() {
            let Some(selected) = self.selected[slot].clone() else { continue };
            let (generation, id) = (selected.generation, selected.pair);
            let Some(pair) = self.pair_in(generation, id) else { continue };
            let (base, remote, rtt) = (pair.base, pair.remote, pair.rtt.unwrap_or_default());
            let due = consent_due(&selected, pair) <= now;
            let expiry = pair.last_answer.map(|answer| answer + self.config.consent_expiry);
            if self.config.lite {
                if selected.last_sent + self.config.keep_alive <= now {
                    self.touch(slot, now);
                    self.keep_alive(now, base, remote);
                }
                continue;
            }
            if expiry.is_some_and(|at| at <= now) {
                self.lost_consent(
                    now,
                    slot,
                    PairFailure::ConsentExpired,
                    IceFailure::ConsentExpired,
                );
                continue;
            }
            if selected.consent_at <= now {
                // RFC 7675 §5.1: 0.8 to 1.2 of the interval, and never below 4 s.
                let factor = 0.8 + 0.4 * self.rng.unit();
                let wait = self.config.consent_interval.mul_f64(factor).max(Duration::from_secs(4));
                if let Some(selected) = &mut self.selected[slot] {
                    selected.consent_at = now + wait;
                }
            }
            if due {
                self.touch(slot, now);
                self.ping(now, generation, id);
            }
            self.question(now, slot, rtt);
        }
        let interval = self.config.backup_interval;
        if self.selected.iter().any(Option::is_some) {
            let due =
                |p: &&Pair| p.last_ping.or(p.last_answer).is_none_or(|at| at + interval <= now);
            let ids: Vec<u32> = self.reserve().filter(due).map(|p| p.id).collect();
            for id in ids {
                self.ping(now, self.session.generation, id);
            }
        }
    }

    fn touch(&mut self, slot: usize, now: Instant) {
        if let Some(selected) = &mut self.selected[slot] {
            selected.last_sent = now;
        }
    }

    fn question(&mut self, now: Instant, slot: usize, rtt: Duration) {
        let Some(selected) = self.selected[slot].clone() else { return };
        let (generation, id) = (selected.generation, selected.pair);
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let pair = sessions.flat_map(|s| &s.pairs).find(|p| p.id == id);
        let Some(pair) =
            pair.filter(|p| self.next_question(&selected, p).is_some_and(|at| at <= now))
        else {
            return;
        };
        let was_dead = pair.dead;
        // After a pause the count begins anew.
        let fresh = selected.asked_at.is_none_or(|asked| now < asked + RUNNING);
        let since = selected.silent_since.filter(|_| fresh).unwrap_or(now);
        let dead = now >= since + self.config.dead_after.max(rtt * 3);
        if let Some(selected) = &mut self.selected[slot] {
            (selected.silent_since, selected.asked_at) = (Some(since), Some(now));
        }
        self.ping(now, generation, id);
        // The others are asked too, so that it is known who lives when it comes to that.
        let others = self.session.pairs.iter().filter(|p| p.valid && p.id != id);
        let due = others.filter(|p| p.last_ping.is_none_or(|at| at + ROUND <= now));
        let ids: Vec<u32> = due.map(|p| p.id).collect();
        for other in ids {
            self.ping(now, self.session.generation, other);
        }
        if dead && !was_dead {
            if let Some(pair) = self.pair_in(generation, id) {
                pair.dead = true;
            }
            self.choose(now);
        }
    }

    /// The peer answered 403 (RFC 7675 §5.2).
    pub(super) fn revoked(&mut self, now: Instant, generation: u32, id: u32) {
        let mine = |s: &super::select::Selected| s.generation == generation && s.pair == id;
        let slot = self.selected.iter().position(|s| s.as_ref().is_some_and(mine));
        match slot {
            Some(slot) => {
                self.lost_consent(
                    now,
                    slot,
                    PairFailure::ConsentRevoked,
                    IceFailure::ConsentRevoked,
                );
            }
            None => {
                if let Some(pair) = self.pair_in(generation, id) {
                    pair.fail(PairFailure::ConsentRevoked);
                }
            }
        }
    }

    fn lost_consent(
        &mut self,
        now: Instant,
        slot: usize,
        pair_failure: PairFailure,
        failure: IceFailure,
    ) {
        let Some(selected) = self.selected[slot].take() else { return };
        if let Some(pair) = self.pair_in(selected.generation, selected.pair) {
            pair.fail(pair_failure);
        }
        self.choose(now);
        // Not while a new generation looks for a path of its own.
        let checking = selected.generation != self.session.generation;
        if self.selected[slot].is_none() && !checking {
            self.failed(failure);
        }
    }
}

// The next check of consent, or the next after one without an answer.
fn consent_due(selected: &super::select::Selected, pair: &Pair) -> Instant {
    let again = pair.last_ping.filter(|_| pair.unanswered > 0).map(|last| last + AGAIN);
    again.map_or(selected.consent_at, |again| again.min(selected.consent_at))
}
