//! Who may shake hands (RFC 5763 §6.7.1): the active side talks to whom it has asked; the passive side
//! hears several callers at once, each by its address, until one has proved to be the peer. Strangers
//! come and go, and neither end nor delay the association; a wrong certificate at the address that
//! signalling named ends it by name.

use super::association::{Association, Event, Role, Transmit, next_of};
use super::fingerprint::Fingerprint;
use super::record::HANDSHAKE;
use super::session::Counts;
use super::{Config, Error, Identity};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tiny_sak::{Output, Rng};
use zeroize::Zeroizing;

/// One end of an association whose peer is known by fingerprint, and perhaps by address. It is driven
/// like an [`Association`].
pub struct Endpoint {
    role: Role,
    identity: Identity,
    expected: Vec<Fingerprint>,
    config: Arc<Config>,
    rng: Rng,
    // Of all attempts: what one has sent, another one takes back.
    cookie_key: Zeroizing<[u8; 32]>,
    // Where signalling says that the peer is.
    signalled: Option<SocketAddr>,
    deadline: Instant,
    state: State,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    // Of those that are gone.
    counts: Counts,
    last_refusal: Option<Error>,
}

enum State {
    /// Callers in the order in which they came.
    Trials(Vec<Attempt>),
    Settled(Box<Association>),
    Over,
}

struct Attempt {
    from: SocketAddr,
    association: Association,
}

impl Endpoint {
    /// As [`Association::new`]; the address of a passive side's peer is where a failure counts as the
    /// peer's own.
    ///
    /// # Errors
    /// As [`Association::new`].
    pub fn new(
        now: Instant,
        role: Role,
        identity: Identity,
        expected: Vec<Fingerprint>,
        peer: Option<SocketAddr>,
        config: Arc<Config>,
        mut rng: Rng,
    ) -> Result<Self, Error> {
        let deadline = now + config.handshake_timeout;
        let first = Association::new(
            now,
            role,
            identity.clone(),
            expected.clone(),
            peer,
            Arc::clone(&config),
            rng.fork(),
        )?;
        let state = match role {
            Role::Active => State::Settled(Box::new(first)),
            // It has shown that the settings work.
            Role::Passive => State::Trials(Vec::new()),
        };
        let mut cookie_key = Zeroizing::new([0; 32]);
        rng.fill(&mut *cookie_key);
        Ok(Self {
            role,
            identity,
            expected,
            config,
            rng,
            cookie_key,
            signalled: peer,
            deadline,
            state,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counts: Counts::default(),
            last_refusal: None,
        })
    }

    /// Signalling names the peer's address. The active side sends its ClientHello at the first.
    pub fn set_peer(&mut self, now: Instant, peer: SocketAddr) {
        self.signalled = Some(peer);
        if let State::Settled(association) = &mut self.state {
            association.set_peer(now, peer);
        }
    }

    /// Which role it has.
    pub fn role(&self) -> Role {
        self.role
    }

    /// True from [`Event::Connected`] on, until the end.
    pub fn is_connected(&self) -> bool {
        matches!(&self.state, State::Settled(association) if association.is_connected())
    }

    /// Figures of what was not used, of all who have tried.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        match &self.state {
            State::Trials(attempts) => {
                attempts.iter().for_each(|a| counts.add(&a.association.counts()));
            }
            State::Settled(association) => counts.add(&association.counts()),
            State::Over => {}
        }
        counts
    }

    /// Takes in a datagram.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        match &mut self.state {
            State::Over => {}
            State::Settled(association) => association.handle(now, from, datagram),
            State::Trials(_) => {
                if let Some(attempt) = self.attempt(now, from, datagram) {
                    attempt.association.handle(now, from, datagram);
                }
                self.sift(now);
            }
        }
    }

    /// The attempt of a caller; a new one only for what begins like a handshake.
    fn attempt(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Option<&mut Attempt> {
        let State::Trials(attempts) = &mut self.state else { return None };
        if let Some(at) = attempts.iter().position(|a| a.from == from) {
            return attempts.get_mut(at);
        }
        if datagram.first() != Some(&HANDSHAKE) {
            self.counts.discarded += 1;
            return None;
        }
        let signalled = self.signalled;
        let stranger = |from| Some(from) != signalled;
        let strangers = attempts.iter().filter(|a| stranger(a.from)).count();
        if stranger(from) && strangers >= self.config.max_attempts.max(1) {
            // Who has not brought its cookie back costs nothing to send away.
            let unproved = |a: &Attempt| stranger(a.from) && !a.association.is_bound();
            let gone = attempts.iter().position(unproved);
            let gone = gone.or_else(|| attempts.iter().position(|a| stranger(a.from)))?;
            let gone = attempts.remove(gone);
            self.counts.add(&gone.association.counts());
            self.counts.refused += 1;
        }
        // The settings were checked at the beginning.
        let new = Association::new(
            now,
            Role::Passive,
            self.identity.clone(),
            self.expected.clone(),
            None,
            Arc::clone(&self.config),
            self.rng.fork(),
        );
        let mut association = new.ok()?;
        association.set_cookie_key(&self.cookie_key);
        attempts.push(Attempt { from, association });
        attempts.last_mut()
    }

    /// Takes what the attempts have: packets, failures, and the peer where one has proved to be it.
    fn sift(&mut self, now: Instant) {
        let State::Trials(attempts) = &mut self.state else { return };
        let mut at = 0;
        while let Some(attempt) = attempts.get_mut(at) {
            match attempt.association.poll(now) {
                Output::Transmit(packet) => self.transmits.push_back(packet),
                Output::Timeout(_) => at += 1,
                Output::Event(event @ Event::Connected(_)) => {
                    self.events.push_back(event);
                    let settled = attempts.swap_remove(at);
                    attempts.iter().for_each(|a| self.counts.add(&a.association.counts()));
                    self.state = State::Settled(Box::new(settled.association));
                    return;
                }
                Output::Event(Event::Failed(error)) => {
                    let mut gone = attempts.remove(at);
                    self.transmits.extend(gone.association.take_transmits());
                    self.counts.add(&gone.association.counts());
                    // Before the cookie came back anybody can have written it.
                    if Some(gone.from) == self.signalled && gone.association.is_bound() {
                        return self.fail(error);
                    }
                    self.counts.refused += 1;
                    self.last_refusal = Some(error);
                }
                Output::Event(_) => {}
            }
        }
    }

    fn fail(&mut self, error: Error) {
        if let State::Trials(attempts) = &self.state {
            attempts.iter().for_each(|a| self.counts.add(&a.association.counts()));
        }
        self.state = State::Over;
        self.events.push_back(Event::Failed(error));
    }

    /// The deadline that [`poll`](Self::poll) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Over => {}
            State::Settled(association) => association.handle_timeout(now),
            State::Trials(attempts) => {
                attempts.iter_mut().for_each(|a| a.association.handle_timeout(now));
                self.sift(now);
                if matches!(self.state, State::Trials(_)) && now >= self.deadline {
                    // Nobody else came than those who were refused.
                    let error = self.last_refusal.take().unwrap_or(Error::Timeout);
                    self.fail(error);
                }
            }
        }
    }

    /// What to send, to know, or when to come again.
    pub fn poll(&mut self, now: Instant) -> Output<Transmit, Event> {
        let over = matches!(self.state, State::Over);
        if let Some(next) = next_of(over, &mut self.transmits, &mut self.events) {
            return next;
        }
        match &mut self.state {
            State::Over => Output::Timeout(None),
            State::Settled(association) => association.poll(now),
            State::Trials(attempts) => {
                let next = attempts.iter().filter_map(|a| a.association.deadline()).min();
                Output::Timeout(Some(next.map_or(self.deadline, |at| at.min(self.deadline))))
            }
        }
    }

    /// As [`Association::send`].
    ///
    /// # Errors
    /// As [`Association::send`].
    pub fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        match &mut self.state {
            State::Settled(association) => association.send(data),
            State::Trials(_) => Err(Error::State("the handshake is not done")),
            State::Over => Err(Error::Closed),
        }
    }

    /// The most that [`send`](Self::send) takes, in bytes.
    pub fn max_data(&self) -> usize {
        self.config.max_data()
    }

    /// Ends it and tells the peer, and whoever is in the middle of a handshake.
    pub fn close(&mut self) {
        match &mut self.state {
            State::Over => {}
            State::Settled(association) => association.close(),
            State::Trials(attempts) => {
                for attempt in attempts {
                    attempt.association.close();
                    self.transmits.extend(attempt.association.take_transmits());
                }
                self.state = State::Over;
            }
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("role", &self.role)
            .field("signalled", &self.signalled)
            .field("connected", &self.is_connected())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
