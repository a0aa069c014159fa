//! One generation of ICE: the credentials of both sides, the peer's candidates, the pairs. A restart
//! makes a new one; the old one lives on until the new one has a path (RFC 8445 §9).

use super::attributes::IceOptions;
use super::candidate::Candidate;
use super::pair::Pair;
use crate::stun::Key;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;
use tiny_sak::{Rng, Secret};

/// Why a candidate of the peer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// There are too many: see [`Config::max_remote`](super::Config).
    #[error("too many candidates of the peer")]
    TooMany,
    /// A component that this agent does not have.
    #[error("a candidate of a component that there is none of")]
    Component,
    /// It belongs to another generation.
    #[error("a candidate of another generation")]
    Generation,
    /// Nothing can be sent to this address.
    #[error("a candidate with an address that cannot be reached")]
    Address,
}

#[derive(Debug)]
pub(super) struct RemoteCandidate {
    pub(super) candidate: Candidate,
    pub(super) addr: SocketAddr,
    // From a check of the peer's, not from signalling.
    pub(super) learnt: bool,
}

/// What the peer said of itself.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) ufrag: String,
    pub(super) password: Secret,
    pub(super) key: Key,
    pub(super) options: IceOptions,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) generation: u32,
    pub(super) ufrag: String,
    pub(super) password: Secret,
    pub(super) key: Key,
    pub(super) remote: Option<Remote>,
    pub(super) remotes: Vec<RemoteCandidate>,
    pub(super) unresolved: Vec<Candidate>,
    pub(super) pairs: Vec<Pair>,
    pub(super) triggered: VecDeque<u32>,
    pub(super) started: Option<Instant>,
    pub(super) remote_done: bool,
    // When each component first had a path.
    pub(super) first_valid: [Option<Instant>; 2],
}

impl Session {
    pub(super) fn new(generation: u32, rng: &mut Rng) -> Self {
        // RFC 8839 §5.4: 24 bits of randomness in the fragment, 128 in the password.
        let (ufrag, password) = (ice_text(rng, 8), Secret::from(ice_text(rng, 24)));
        let key = Key::short_term(&password);
        Self {
            generation,
            ufrag,
            password,
            key,
            remote: None,
            remotes: Vec::new(),
            unresolved: Vec::new(),
            pairs: Vec::new(),
            triggered: VecDeque::new(),
            started: None,
            remote_done: false,
            first_valid: [None; 2],
        }
    }

    /// Forgets all of the peer's; what we have signalled stays.
    pub(super) fn replace(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.remote = None;
        self.remotes.clear();
        self.unresolved.clear();
        self.pairs.clear();
        self.triggered.clear();
        (self.started, self.remote_done, self.first_valid) = (None, false, [None; 2]);
    }

    pub(super) fn pair(&mut self, id: u32) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|p| p.id == id)
    }

    pub(super) fn pair_of(&mut self, base: usize, remote: SocketAddr) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|p| p.base == base && p.remote == remote)
    }

    pub(super) fn options(&self) -> IceOptions {
        self.remote.as_ref().map(|r| r.options).unwrap_or_default()
    }

    pub(super) fn enqueue(&mut self, id: u32) {
        if !self.triggered.contains(&id) {
            self.triggered.push_back(id);
        }
    }
}

// Six bits a character, of the `ice-char` of RFC 8839.
fn ice_text(rng: &mut Rng, length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..length).map(|_| char::from(ALPHABET[(rng.u32() & 63) as usize])).collect()
}
