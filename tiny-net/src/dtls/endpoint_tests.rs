//! The peer and strangers at the port of a passive side.

use super::*;
use proptest::prelude::*;
use std::time::Duration;
use tiny_sak::Rng;

fn at(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000 + n))
}

/// A passive side that is signalled its peer at `at(1)`, and callers by number.
struct Stage {
    now: Instant,
    rng: Rng,
    identities: [Identity; 2],
    passive: Endpoint,
    callers: Vec<(SocketAddr, Association)>,
    // Nothing of these arrives.
    mute: Vec<SocketAddr>,
    connected: Option<Fingerprint>,
    failed: Option<Error>,
    told: Vec<Error>,
}

impl Stage {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let mut rng = Rng::from_seed(11);
        let identities = [Identity::generate().unwrap(), Identity::generate().unwrap()];
        let [ours, theirs] = &identities;
        let passive = Endpoint::new(
            now,
            Role::Passive,
            ours.clone(),
            vec![theirs.fingerprint()],
            Some(at(1)),
            Arc::new(config),
            rng.fork(),
        );
        Self {
            now,
            rng,
            passive: passive.unwrap(),
            identities,
            callers: Vec::new(),
            mute: Vec::new(),
            connected: None,
            failed: None,
            told: Vec::new(),
        }
    }

    /// Somebody calls from an address: the peer, or a stranger with a certificate of its own.
    fn caller(&mut self, from: SocketAddr, peer: bool) {
        let identity =
            if peer { self.identities[1].clone() } else { Identity::generate().unwrap() };
        let knows = vec![self.identities[0].fingerprint()];
        let (config, rng) = (Arc::default(), self.rng.fork());
        let new =
            Association::new(self.now, Role::Active, identity, knows, Some(at(0)), config, rng);
        self.callers.push((from, new.unwrap()));
    }

    /// Passes datagrams until nobody has any.
    fn exchange(&mut self) {
        let mut idle = false;
        while !std::mem::replace(&mut idle, true) {
            for (from, caller) in &mut self.callers {
                match caller.poll(self.now) {
                    Output::Transmit(packet) if !self.mute.contains(from) => {
                        self.passive.handle(self.now, *from, &packet.data);
                        idle = false;
                    }
                    Output::Event(Event::Failed(error)) => self.told.push(error),
                    Output::Timeout(_) => continue,
                    _ => idle = false,
                }
            }
            match self.passive.poll(self.now) {
                Output::Transmit(packet) => {
                    let caller = self.callers.iter_mut().find(|(at, _)| *at == packet.to);
                    if let Some((_, caller)) = caller {
                        caller.handle(self.now, at(0), &packet.data);
                    }
                    idle = false;
                }
                Output::Event(Event::Connected(session)) => {
                    self.connected = Some(session.peer().clone());
                    idle = false;
                }
                Output::Event(Event::Failed(error)) => {
                    self.failed = Some(error);
                    idle = false;
                }
                Output::Event(_) => idle = false,
                Output::Timeout(_) => {}
            }
        }
    }

    fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now += Duration::from_millis(200);
            self.passive.handle_timeout(self.now);
            self.exchange();
        }
    }

    fn is_the_peers(&self) -> bool {
        self.connected == Some(self.identities[1].fingerprint())
    }
}

#[test]
fn a_strangers_handshake_is_refused_and_the_peer_still_gets_through() {
    let mut stage = Stage::new(Config::default());
    stage.caller(at(7), false);
    stage.exchange();
    assert_eq!(stage.told, [Error::Alert(42)], "bad certificate");
    assert_eq!((stage.failed.clone(), stage.passive.counts().refused), (None, 1));
    stage.caller(at(1), true);
    stage.exchange();
    assert!(stage.is_the_peers() && stage.passive.is_connected());
    assert_eq!(stage.passive.counts().refused, 1);
}

#[test]
fn a_stranger_who_stalls_does_not_hold_up_a_peer_behind_a_nat() {
    let mut stage = Stage::new(Config::default());
    stage.caller(at(7), false);
    // Its hello, the cookie, its hello again, our flight: then silence.
    for _ in 0..2 {
        let Output::Transmit(hello) = stage.callers[0].1.poll(stage.now) else { panic!("a hello") };
        stage.passive.handle(stage.now, at(7), &hello.data);
        while let Output::Transmit(packet) = stage.passive.poll(stage.now) {
            stage.callers[0].1.handle(stage.now, at(0), &packet.data);
        }
    }
    stage.mute.push(at(7));
    // Not where signalling says.
    stage.caller(at(9), true);
    stage.exchange();
    assert!(stage.is_the_peers(), "at once: {:?}", stage.passive);
}

#[test]
fn a_wrong_certificate_at_the_signalled_address_ends_it_by_name() {
    let mut stage = Stage::new(Config::default());
    stage.caller(at(1), false);
    stage.exchange();
    assert_eq!(stage.failed, Some(Error::Fingerprint));
    stage.caller(at(9), true);
    stage.exchange();
    assert_eq!(stage.connected, None, "it is over");
}

#[test]
fn where_nobody_but_strangers_came_the_end_says_why_they_were_refused() {
    let mut stage = Stage::new(Config::default());
    stage.caller(at(7), false);
    stage.wait(Duration::from_secs(29));
    assert_eq!(stage.failed, None);
    stage.wait(Duration::from_secs(2));
    assert_eq!(stage.failed, Some(Error::Fingerprint));
    let mut stage = Stage::new(Config::default());
    stage.wait(Duration::from_secs(31));
    assert_eq!(stage.failed, Some(Error::Timeout));
}

#[test]
fn a_crowd_is_bounded_and_the_peer_passes_through_it() {
    let config = Config { max_attempts: 4, ..Config::default() };
    let mut stage = Stage::new(config);
    for n in 10..60 {
        stage.caller(at(n), false);
        let at_last = stage.callers.len() - 1;
        let Output::Transmit(hello) = stage.callers[at_last].1.poll(stage.now) else { panic!() };
        stage.passive.handle(stage.now, at(n), &hello.data);
    }
    let State::Trials(attempts) = &stage.passive.state else { panic!() };
    assert_eq!(attempts.len(), 4);
    assert_eq!(stage.passive.counts().refused, 46);
    stage.callers.clear();
    stage.caller(at(9), true);
    stage.exchange();
    assert!(stage.is_the_peers());
}

#[test]
fn what_anybody_can_write_from_the_signalled_address_ends_nothing() {
    let mut stage = Stage::new(Config::default());
    stage.caller(at(1), true);
    let Output::Transmit(hello) = stage.callers[0].1.poll(stage.now) else { panic!() };
    // A hello of another version, cut, and an alert: no cookie has come back yet.
    let mut broken = hello.data.clone();
    broken[25] = 0x01;
    broken[26] = 0x01;
    stage.passive.handle(stage.now, at(1), &broken);
    stage.passive.handle(stage.now, at(1), &hello.data[..40]);
    stage.passive.handle(stage.now, at(1), &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40]);
    assert_eq!(stage.failed, None);
    stage.passive.handle(stage.now, at(1), &hello.data);
    stage.exchange();
    stage.wait(Duration::from_secs(2));
    assert!(stage.failed.is_none() && stage.is_the_peers(), "{:?}", stage.passive);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn noise_from_everywhere_ends_nothing(datagrams in proptest::collection::vec(
        (0u16..20, prop_oneof![Just(22u8), Just(21), Just(20), any::<u8>()],
         proptest::collection::vec(any::<u8>(), 0..80)), 0..60)) {
        let mut stage = Stage::new(Config::default());
        for (from, kind, mut data) in datagrams {
            if data.len() > 12 {
                (data[0], data[1], data[2], data[3], data[4]) = (kind, 0xfe, 0xfd, 0, 0);
                let rest = (data.len() - 13) as u16;
                data[11..13].copy_from_slice(&rest.to_be_bytes());
            }
            stage.passive.handle(stage.now, at(from), &data);
            stage.exchange();
        }
        prop_assert_eq!(&stage.failed, &None);
        stage.caller(at(30), true);
        stage.exchange();
        prop_assert!(stage.is_the_peers());
    }
}
