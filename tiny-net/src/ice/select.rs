//! Which path carries the data: chosen among those that work, nominated, and changed when it dies or a
//! better one appears (RFC 8445 §8.1; the changing is beyond it, as browsers do).
//!
//! The order is: alive, nominated (for who is controlled), the cost of the networks, direct before
//! relayed and UDP before TCP, then round trip where it differs by more than the damping, then priority.

use super::agent::{Agent, Event};
use super::candidate::CandidateKind;
use super::local::Via;
use super::pair::Pair;
use super::report::{IceFailure, PairState, State, SwitchReason};
use std::time::Instant;
use tiny_sak::Output;

/// The path of a component.
#[derive(Debug, Clone)]
pub(super) struct Selected {
    pub(super) generation: u32,
    pub(super) pair: u32,
    pub(super) since: Instant,
    pub(super) consent_at: Instant,
    pub(super) last_sent: Instant,
    // The last packet that was not STUN, either way.
    pub(super) last_data: Option<Instant>,
    // It is asked for a sign of life since, and was last.
    pub(super) silent_since: Option<Instant>,
    pub(super) asked_at: Option<Instant>,
}

impl Selected {
    pub(super) fn sent(&mut self, now: Instant) {
        (self.last_sent, self.last_data) = (now, Some(now));
    }
}

/// What can be said of a path without measuring: the greater, the better.
type Rank = (u16, u8, u64);

impl Agent {
    fn rank(&self, pair: &Pair) -> Rank {
        let base = &self.bases[pair.base];
        let cost = base.network.kind.cost().saturating_add(pair.remote_cost);
        let relays = u8::from(matches!(base.via, Via::Relay(_)))
            + u8::from(pair.remote_kind == CandidateKind::Relayed);
        (u16::MAX - cost, u8::MAX - (2 * relays + u8::from(pair.tcp)), pair.priority)
    }

    // What is worth more than any figure: life, and for who is controlled the word of the other.
    fn standing(&self, pair: &Pair) -> (bool, bool, u32) {
        let told = !self.controlling && pair.nominated;
        let counter = if told && self.session.options().renomination { pair.nomination } else { 0 };
        (pair.is_usable(), told, counter)
    }

    // Why `new` should be used and not `old`; none if it should not.
    fn improves(&self, old: &Pair, new: &Pair) -> Option<SwitchReason> {
        let (before, after) = (self.standing(old), self.standing(new));
        if before != after {
            return (after > before).then_some(match (before.0, after.0) {
                (false, true) => SwitchReason::Died,
                _ => SwitchReason::Nominated,
            });
        }
        let (before, after) = (self.rank(old), self.rank(new));
        if (before.0, before.1) != (after.0, after.1) {
            return ((after.0, after.1) > (before.0, before.1)).then_some(SwitchReason::Better);
        }
        let gain = self.config.rtt_gain;
        let quicker = |a: &Pair, b: &Pair| a.rtt.zip(b.rtt).is_some_and(|(a, b)| a + gain <= b);
        // Who is controlled leaves such fine choices to the other.
        if self.controlling && quicker(new, old) {
            return Some(SwitchReason::Quicker);
        }
        (after.2 > before.2 && !quicker(old, new)).then_some(SwitchReason::Better)
    }

    /// Looks at everything anew: which path to use, what to nominate.
    pub(super) fn choose(&mut self, now: Instant) {
        if self.closed || self.failure.is_some() {
            return;
        }
        if self.plain {
            return self.check_plain();
        }
        for component in 1..=self.components() {
            self.choose_path(now, component);
        }
        self.drop_old();
        if self.controlling && !self.config.lite {
            self.nominate(now);
        }
        self.prune();
    }

    fn choose_path(&mut self, now: Instant, component: u16) {
        let slot = usize::from(component - 1);
        let candidates = self.session.pairs.iter();
        let mut works = candidates.filter(|p| p.component == component && p.valid);
        let Some(first) = works.next() else { return self.drop_gone(slot) };
        let best =
            works.fold(first, |best, p| if self.improves(best, p).is_some() { p } else { best });
        let (best_id, best_nominated) = (best.id, best.nominated);
        let (mut reason, mut take) = (SwitchReason::First, true);
        if let Some(selected) = &self.selected[slot] {
            let generation = self.session.generation;
            let current = self.session.pairs.iter().find(|p| p.id == selected.pair);
            match current.filter(|p| selected.generation == generation && p.valid) {
                Some(current) => match self.improves(current, best) {
                    Some(why) => {
                        reason = why;
                        take = self.may_switch(now, selected, current, best, why);
                        let later = selected.since + self.config.settle;
                        if !take && later > now {
                            self.review_at = Some(later);
                        }
                    }
                    None => take = false,
                },
                // Of an old generation (RFC 8445 §12.1: until the new one has concluded), or gone.
                None => {
                    let old = self.old.as_ref().filter(|o| o.generation == selected.generation);
                    let stands = |o: &super::session::Session| {
                        o.pairs.iter().any(|p| p.id == selected.pair && p.is_usable())
                    };
                    let alive = old.is_some_and(stands);
                    take = !alive || best_nominated;
                    reason = if alive { SwitchReason::Nominated } else { SwitchReason::Died };
                }
            }
        }
        if take {
            self.take(now, slot, best_id, reason);
        }
    }

    // A change that is no necessity waits until the last one has settled, and asks whether the peer
    // can follow.
    fn may_switch(
        &self,
        now: Instant,
        selected: &Selected,
        current: &Pair,
        best: &Pair,
        why: SwitchReason,
    ) -> bool {
        if matches!(why, SwitchReason::Died | SwitchReason::Nominated) {
            return true;
        }
        // What the peer nominated is between its word and its priorities.
        if !current.nominated || !self.controlling {
            return true;
        }
        // §8.1.1: an agent of RFC 8445 takes no second nomination; one of RFC 5245 takes that of a
        // higher priority; with the option `renomination` the last one counts.
        let options = self.session.options();
        let follows = options.renomination || !options.ice2 && best.priority > current.priority;
        follows && selected.since + self.config.settle <= now
    }

    pub(super) fn take(&mut self, now: Instant, slot: usize, id: u32, reason: SwitchReason) {
        let generation = self.session.generation;
        let last = self.selected[slot].as_ref().and_then(|s| s.last_data);
        if self.selected[slot].is_some() {
            self.counters.switches += 1;
        }
        self.selected[slot] = Some(Selected {
            generation,
            pair: id,
            since: now,
            consent_at: now + self.config.consent_interval.mul_f64(0.8 + 0.4 * self.rng.unit()),
            last_sent: now,
            last_data: last,
            silent_since: None,
            asked_at: None,
        });
        let Some(pair) = self.session.pair(id) else { return };
        pair.used = true;
        let (base, remote) = (pair.base, pair.remote);
        // §12.1: a channel towards the peer of a relayed path.
        if let Via::Relay(at) = self.bases[base].via {
            let _ = self.relays[at].client.bind(now, remote);
            self.drain_relay(now, at);
        }
        if let Some(pair) = self.session.pairs.iter().find(|p| p.id == id) {
            let (component, pair) = (pair.component, Box::new(self.describe(pair)));
            self.out.push_back(Output::Event(Event::Selected { component, pair, reason }));
        }
    }

    // A path that failed, and nothing takes its place.
    fn drop_gone(&mut self, slot: usize) {
        let Some(selected) = &self.selected[slot] else { return };
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let mut pairs = sessions.flat_map(|s| &s.pairs);
        if !pairs.any(|p| p.id == selected.pair && p.valid) {
            self.selected[slot] = None;
            if self.session.started.is_some() && self.bases.iter().all(|b| b.gone) {
                self.failed(IceFailure::NetworkGone);
            }
        }
    }

    fn drop_old(&mut self) {
        let generation = self.session.generation;
        if self.selected.iter().flatten().all(|s| s.generation == generation)
            && self.selected.iter().any(Option::is_some)
        {
            self.old = None;
        }
    }

    // §8.1.1: what we use is what we nominate, once nothing better can be expected soon.
    fn nominate(&mut self, now: Instant) {
        self.nominate_at = None;
        for slot in 0..self.selected.len() {
            let component = slot as u16 + 1;
            let mut best: Option<&Pair> = None;
            let works = |p: &&Pair| p.component == component && p.is_usable();
            for pair in self.session.pairs.iter().filter(works) {
                if best.is_none_or(|b| self.improves(b, pair).is_some()) {
                    best = Some(pair);
                }
            }
            // After a change of the path, the one in use.
            let in_use =
                self.selected[slot].as_ref().filter(|s| s.generation == self.session.generation);
            let used = self.session.pairs.iter().find(|p| in_use.is_some_and(|s| s.pair == p.id));
            let Some(pair) = used.filter(|p| p.is_usable()).or(best) else { continue };
            let under_way = |p: &Pair| p.wants_nomination && p.check.is_some();
            let asked = self.session.triggered.contains(&pair.id) && pair.wants_nomination;
            if pair.nominated || under_way(pair) || asked {
                continue;
            }
            let nominated =
                self.session.pairs.iter().any(|p| p.component == component && p.nominated);
            if !nominated {
                let rank = self.rank(pair);
                let better =
                    |p: &Pair| p.component == component && p.is_open() && self.rank(p) > rank;
                let wait = if rank.1 == u8::MAX {
                    self.config.nominate_direct_after
                } else {
                    self.config.nominate_relayed_after
                };
                let until = self.session.first_valid[slot].map_or(now, |first| first + wait);
                if self.session.pairs.iter().any(better) && now < until {
                    self.nominate_at = Some(self.nominate_at.map_or(until, |at| at.min(until)));
                    continue;
                }
            }
            let id = pair.id;
            for other in self.session.pairs.iter_mut().filter(|p| p.component == component) {
                other.wants_nomination = other.id == id;
                if other.id == id {
                    other.cancel(now);
                }
            }
            self.session.enqueue(id);
            self.wake(now);
        }
    }

    // Of what works besides, only so much is kept; the best of it.
    fn prune(&mut self) {
        for component in 1..=self.components() {
            let spare = |p: &&Pair| p.component == component && p.valid && !self.is_selected(p);
            let mut order: Vec<(Rank, u32)> =
                self.session.pairs.iter().filter(spare).map(|p| (self.rank(p), p.id)).collect();
            order.sort_by(|a, b| b.cmp(a));
            for (at, (_, id)) in order.into_iter().enumerate() {
                let kept = at < self.config.max_backups;
                let Some(pair) = self.session.pair(id) else { continue };
                match pair.state {
                    PairState::Succeeded if !kept && !pair.nominated => {
                        pair.state = PairState::Pruned
                    }
                    PairState::Pruned if kept => pair.state = PairState::Succeeded,
                    _ => {}
                }
            }
        }
    }

    /// How many components there are on both sides (RFC 8445 §6.1.2.2).
    fn common_components(&self) -> u16 {
        let theirs = self.session.remotes.iter().map(|r| r.candidate.component).max();
        self.components().min(theirs.unwrap_or(u16::MAX))
    }

    /// Two lite agents do without checks: the best pair is the path (RFC 8445 §8.2.2).
    fn conclude_lite(&mut self, now: Instant) {
        for component in 1..=self.common_components() {
            let slot = usize::from(component - 1);
            if self.selected[slot].is_some() {
                continue;
            }
            let of = self.session.pairs.iter_mut().filter(|p| p.component == component);
            if let Some(pair) = of.max_by_key(|p| p.priority) {
                (pair.valid, pair.nominated, pair.state) = (true, true, PairState::Succeeded);
                let id = pair.id;
                self.take(now, slot, id, SwitchReason::First);
            }
        }
    }

    pub(super) fn failed(&mut self, failure: IceFailure) {
        if self.failure.is_none() {
            self.failure = Some(failure);
            self.selected = [None, None];
            self.old = None;
            self.session.triggered.clear();
            self.probes.clear();
            self.starts.clear();
            self.keeps.clear();
            for pair in &mut self.session.pairs {
                pair.check = None;
                pair.valid = false;
            }
            self.out.push_back(Output::Event(Event::Failed(failure)));
        }
    }

    /// When a lack of any path becomes a failure (RFC 8863 §4).
    pub(super) fn failure_deadline(&self) -> Option<Instant> {
        let started = self.session.started.filter(|_| self.failure.is_none() && !self.closed)?;
        let lacking =
            (0..usize::from(self.common_components())).any(|c| self.selected[c].is_none());
        let at = started + self.config.patience;
        let late = started + 2 * self.config.patience;
        let open = self.session.pairs.iter().any(Pair::is_open);
        lacking.then_some(if open && self.past_patience { late } else { at })
    }

    fn check_failure(&mut self, now: Instant) {
        let Some(started) = self.session.started.filter(|_| self.failure.is_none() && !self.closed)
        else {
            return;
        };
        self.past_patience = now >= started + self.config.patience;
        let lacking =
            (0..usize::from(self.common_components())).any(|c| self.selected[c].is_none());
        if !lacking || !self.past_patience {
            return;
        }
        let open = self.session.pairs.iter().any(Pair::is_open);
        if open && now < started + 2 * self.config.patience {
            return;
        }
        let failure = if self.session.remotes.is_empty() {
            IceFailure::NoRemoteCandidates
        } else if self.bases.iter().all(|b| b.gone || !b.open) {
            IceFailure::NoLocalCandidates
        } else {
            IceFailure::NoPath(self.session.pairs.len())
        };
        self.failed(failure);
    }

    /// After anything happened: conclusions, and the state.
    pub(super) fn settle(&mut self, now: Instant) {
        if !self.closed {
            self.finish_gathering(now);
            if self.config.lite && self.peer_lite {
                self.conclude_lite(now);
            }
            if self.nominate_at.is_some_and(|at| at <= now)
                || self.review_at.take_if(|at| *at <= now).is_some()
            {
                self.choose(now);
            }
            self.check_failure(now);
        }
        let state = self.derive_state();
        if state != self.told {
            self.told = state;
            self.out.push_back(Output::Event(Event::State(state)));
        }
    }

    fn derive_state(&self) -> State {
        if self.closed {
            return State::Closed;
        }
        if self.failure.is_some() {
            return State::Failed;
        }
        let components = usize::from(self.common_components());
        let generation = self.session.generation;
        let selected = self.selected.get(..components).unwrap_or_default();
        if self.session.remote.is_none() && selected.iter().all(Option::is_none) {
            return State::New;
        }
        if selected.iter().any(|s| s.as_ref().is_none_or(|s| s.generation != generation)) {
            return State::Checking;
        }
        let pairs = selected
            .iter()
            .flatten()
            .filter_map(|s| self.session.pairs.iter().find(|p| p.id == s.pair));
        let pairs: Vec<&Pair> = pairs.collect();
        if pairs.iter().any(|p| p.dead) {
            State::Disconnected
        } else if pairs.iter().all(|p| p.nominated) {
            State::Completed
        } else {
            State::Connected
        }
    }
}
