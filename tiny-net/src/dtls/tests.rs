//! Two associations over a path in virtual time.

use super::*;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng};

mod handshake;
mod hostile;
mod newer;
mod parts;

pub(super) const AT: [&str; 2] = ["192.0.2.1:4000", "192.0.2.2:4002"];

pub(super) fn address(end: usize) -> SocketAddr {
    AT[end].parse().unwrap()
}

/// What the path does.
#[derive(Clone, Copy, Default)]
pub(super) struct Path {
    pub(super) loss: f64,
    pub(super) twice: f64,
    /// Up to so much is added to the 10 ms of each datagram: they overtake one another.
    pub(super) jitter: Duration,
}

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) ends: [Association; 2],
    pub(super) sessions: [Option<Session>; 2],
    pub(super) failed: [Option<Error>; 2],
    pub(super) closed: [bool; 2],
    /// How much was sent before that was told.
    pub(super) sent_before: [usize; 2],
    pub(super) data: [Vec<Vec<u8>>; 2],
    /// Every datagram that was sent, and by whom.
    pub(super) sent: Vec<(usize, Vec<u8>)>,
    path: Path,
    rng: Rng,
    flying: Vec<(Instant, usize, Vec<u8>)>,
}

pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) path: Path,
    pub(super) configs: [Config; 2],
    pub(super) identities: [Identity; 2],
    pub(super) expected: [Vec<Fingerprint>; 2],
}

impl Setup {
    /// End 0 is active, and both know each other.
    pub(super) fn new(seed: u64) -> Self {
        let identities = [Identity::generate().unwrap(), Identity::generate().unwrap()];
        let expected = [vec![identities[1].fingerprint()], vec![identities[0].fingerprint()]];
        let configs = [Config::default(), Config::default()];
        Self { seed, path: Path::default(), configs, identities, expected }
    }

    pub(super) fn start(self) -> Pair {
        let now = Instant::now();
        let mut rng = Rng::from_seed(self.seed);
        let [ia, ib] = self.identities;
        let [ea, eb] = self.expected;
        let [ca, cb] = self.configs.map(Arc::new);
        let (ra, rb) = (rng.fork(), rng.fork());
        let peer = Some(address(1));
        let a = Association::new(now, Role::Active, ia, ea, peer, ca, ra).unwrap();
        let b = Association::new(now, Role::Passive, ib, eb, None, cb, rb).unwrap();
        Pair {
            now,
            start: now,
            ends: [a, b],
            sessions: [None, None],
            failed: [None, None],
            closed: [false, false],
            sent_before: [0, 0],
            data: [Vec::new(), Vec::new()],
            sent: Vec::new(),
            path: self.path,
            rng,
            flying: Vec::new(),
        }
    }
}

impl Pair {
    /// Drains both ends; the earliest deadline of theirs.
    pub(super) fn drain(&mut self) -> Option<Instant> {
        let mut deadline: Option<Instant> = None;
        for end in 0..2 {
            loop {
                match self.ends[end].poll(self.now) {
                    Output::Transmit(Transmit { to, data }) => {
                        assert_eq!(to, address(1 - end));
                        assert!(data.len() <= 1200, "{} bytes", data.len());
                        self.sent.push((end, data.clone()));
                        let copies = 1 + usize::from(self.rng.chance(self.path.twice));
                        for _ in 0..copies {
                            if self.rng.chance(self.path.loss) {
                                continue;
                            }
                            let late = self.path.jitter.mul_f64(self.rng.unit());
                            let at = self.now + Duration::from_millis(10) + late;
                            self.flying.push((at, 1 - end, data.clone()));
                        }
                    }
                    Output::Event(Event::Connected(session)) => {
                        assert!(self.sessions[end].replace(*session).is_none());
                    }
                    Output::Event(Event::Failed(error)) => {
                        self.failed[end] = Some(error);
                        self.sent_before[end] = self.sent.len();
                    }
                    Output::Event(Event::Closed) => self.closed[end] = true,
                    Output::Event(Event::Data(data)) => self.data[end].push(data),
                    Output::Timeout(at) => {
                        deadline = deadline.into_iter().chain(at).min();
                        break;
                    }
                }
            }
        }
        deadline
    }

    /// Runs until nothing is left to happen, or so much time has passed.
    pub(super) fn run(&mut self, limit: Duration) {
        let end = self.now + limit;
        loop {
            let deadline = self.drain();
            let next = self.flying.iter().map(|(at, ..)| *at).chain(deadline).min();
            let Some(next) = next.filter(|next| *next <= end) else { return };
            self.now = self.now.max(next);
            let arrived = self.flying.iter().position(|(at, ..)| *at <= self.now);
            match arrived {
                Some(n) => {
                    let (_, end, data) = self.flying.remove(n);
                    self.ends[end].handle(self.now, address(1 - end), &data);
                }
                None => self.ends.iter_mut().for_each(|end| end.handle_timeout(next)),
            }
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        match &self.sessions {
            [Some(a), Some(b)] => {
                assert_eq!(a.keying(), b.keying());
                assert_eq!(a.profile(), b.profile());
                assert_eq!(a.cipher(), b.cipher());
                true
            }
            _ => false,
        }
    }

    pub(super) fn took(&self) -> Duration {
        self.now - self.start
    }
}

proptest! {
    #[test]
    fn noise_never_panics_an_association(datagrams in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..300), 0..8,
    )) {
        let mut pair = Setup::new(1).start();
        pair.drain();
        for datagram in datagrams {
            for end in 0..2 {
                pair.ends[end].handle(pair.now, address(1 - end), &datagram);
            }
        }
        pair.run(Duration::from_secs(60));
    }

    #[test]
    fn a_changed_octet_never_panics_nor_lets_a_wrong_handshake_through(
        nth in 0usize..12, at in any::<prop::sample::Index>(), with in 1u8..,
    ) {
        let mut pair = Setup::new(1).start();
        let mut count = 0;
        loop {
            pair.drain();
            let Some((_, end, mut data)) = pair.flying.pop() else { break };
            if count == nth {
                let n = at.index(data.len());
                data[n] ^= with;
            }
            count += 1;
            pair.ends[end].handle(pair.now, address(1 - end), &data);
        }
        if let [Some(a), Some(b)] = &pair.sessions {
            assert_eq!(a.keying(), b.keying());
        }
    }
}
