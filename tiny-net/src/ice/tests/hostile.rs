//! What a peer, a stranger or a server does that it should not.

use super::*;
use crate::stun::{Builder, Class, Key, Message, attr, method};
use proptest::prelude::*;
use tiny_sak::{Flow, Rng};

const OURS: &str = "203.0.113.1:4000";
const THEIRS: &str = "203.0.113.66:6666";

struct Alone {
    agent: Agent,
    now: Instant,
}

impl Alone {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let mut agent = Agent::new(config, true, Rng::from_seed(1));
        agent.add_local(now, cable(OURS));
        let mut alone = Self { agent, now };
        alone.drain();
        alone
    }

    fn key(&self) -> Key {
        Key::short_term(self.agent.credentials().1)
    }

    fn request(&self, user: &str) -> Builder {
        Builder::new(Class::Request, method::BINDING, [3; 12])
            .text(attr::USERNAME, user)
            .u32(attr::PRIORITY, 1000)
            .u64(attr::ICE_CONTROLLED, 0)
    }

    fn user(&self) -> String {
        format!("{}:them", self.agent.credentials().0)
    }

    fn come(&mut self, from: &str, data: impl Into<Bytes>) -> Vec<Bytes> {
        let flow = Flow { transport: Transport::Udp, local: at(OURS), remote: at(from) };
        let event = NetEvent::Datagram { flow, data: data.into() };
        self.agent.handle(self.now, Input::Net(event));
        self.drain()
    }

    fn drain(&mut self) -> Vec<Bytes> {
        let mut sent = Vec::new();
        loop {
            match self.agent.poll(self.now) {
                Output::Transmit(Transmit::Send { data, .. }) => sent.push(data),
                Output::Timeout(_) => return sent,
                _ => {}
            }
        }
    }

    fn know(&mut self) {
        let peer = Peer {
            ufrag: "them".into(),
            password: "theirpasswordtheirpassword".into(),
            lite: false,
            options: IceOptions::default(),
            pace: None,
        };
        self.agent.set_peer(self.now, peer);
    }
}

fn refusal(sent: &[Bytes]) -> Option<u16> {
    let [only] = sent else { return None };
    Message::parse(only).ok()?.error().map(|e| e.0)
}

#[test]
fn strangers_and_wrong_integrity_are_refused_by_code_and_counted() {
    let mut alone = Alone::new(Config::default());
    let (user, key) = (alone.user(), alone.key());
    let wrong = alone.request(&user).integrity(&Key::short_term(&"guess".into())).fingerprint();
    assert_eq!(refusal(&alone.come(THEIRS, wrong.finish())), Some(401));
    let bare = alone.request(&user).fingerprint();
    assert_eq!(refusal(&alone.come(THEIRS, bare.finish())), Some(400));
    let stranger = alone.request("nobody:them").integrity(&key).fingerprint();
    assert_eq!(refusal(&alone.come(THEIRS, stranger.finish())), Some(401));
    let unknown = alone.request(&user).flag(0x7fff).integrity(&key).fingerprint();
    assert_eq!(refusal(&alone.come(THEIRS, unknown.finish())), Some(420));
    assert!(alone.come(THEIRS, vec![0, 1, 2, 3]).is_empty());
    assert!(alone.come(THEIRS, b"\x80 stray voice".to_vec()).is_empty());
    let counters = alone.agent.report().counters;
    assert_eq!((counters.integrity, counters.unknown_user), (2, 1));
    assert_eq!((counters.malformed, counters.stray_data), (1, 1));
    assert!(alone.agent.report().pairs.is_empty() && alone.agent.report().remote.is_empty());
    let right = alone.request(&user).integrity(&key).fingerprint();
    let sent = alone.come(THEIRS, right.finish());
    let answer = Message::parse(&sent[0]).unwrap();
    assert_eq!((answer.class(), answer.mapped()), (Class::Success, Some(at(THEIRS))));
    assert!(answer.verify(&key).is_valid());
}

#[test]
fn forged_answers_make_no_path() {
    let mut alone = Alone::new(Config::default());
    alone.know();
    let line = "1 1 udp 2130706431 203.0.113.66 6666 typ host";
    alone.agent.add_remote(alone.now, line.parse().unwrap()).unwrap();
    alone.agent.handle(alone.now, Input::Timeout);
    let sent = alone.drain();
    let id = Message::parse(&sent[0]).unwrap().id();
    let answer = |id, password: &str| {
        Builder::new(Class::Success, method::BINDING, id)
            .xor_address(attr::XOR_MAPPED_ADDRESS, at(OURS))
            .integrity(&Key::short_term(&password.into()))
            .fingerprint()
            .finish()
    };
    alone.come(THEIRS, answer(id, "guess"));
    alone.come(THEIRS, answer([9; 12], "theirpasswordtheirpassword"));
    assert!(alone.agent.selected(1).is_none());
    let counters = alone.agent.report().counters;
    assert_eq!((counters.integrity, counters.unsolicited), (1, 1));
    // From elsewhere it fails the pair (RFC 8445 §7.2.5.2.1).
    alone.come("203.0.113.67:6666", answer(id, "theirpasswordtheirpassword"));
    let pair = &alone.agent.report().pairs[0];
    assert_eq!((pair.state, pair.failure), (PairState::Failed, Some(PairFailure::Asymmetric)));
}

#[test]
fn a_forbidden_path_is_left_at_once() {
    let mut alone = Alone::new(Config::default());
    alone.know();
    let line = "1 1 udp 2130706431 203.0.113.66 6666 typ host";
    alone.agent.add_remote(alone.now, line.parse().unwrap()).unwrap();
    alone.agent.handle(alone.now, Input::Timeout);
    let key = Key::short_term(&"theirpasswordtheirpassword".into());
    let mut code = 0;
    for _ in 0..200 {
        for data in alone.drain() {
            let id = Message::parse(&data).unwrap().id();
            let class = if code == 0 { Class::Success } else { Class::Error };
            let mut answer = Builder::new(class, method::BINDING, id);
            answer = match code {
                0 => answer.xor_address(attr::XOR_MAPPED_ADDRESS, at(OURS)),
                code => answer.error(code, "Forbidden"),
            };
            alone.come(THEIRS, answer.integrity(&key).fingerprint().finish());
        }
        if alone.agent.state() == State::Completed {
            code = 403;
        }
        alone.now += ms(100);
        alone.agent.handle(alone.now, Input::Timeout);
    }
    assert_eq!(alone.agent.report().failure, Some(IceFailure::ConsentRevoked));
    assert_eq!(alone.agent.report().pairs[0].failure, Some(PairFailure::ConsentRevoked));
}

#[test]
fn a_flood_of_candidates_is_limited_and_so_are_the_checks() {
    let mut alone = Alone::new(Config::default());
    alone.know();
    let mut refused = 0;
    for n in 0..5000u32 {
        let line =
            format!("{n} 1 udp {} 198.51.100.{} {} typ host", n + 1, n % 250 + 1, n % 60_000 + 1);
        let taken = alone.agent.add_remote(alone.now, line.parse().unwrap());
        refused += u64::from(taken == Err(RemoteError::TooMany));
    }
    let report = alone.agent.report();
    assert_eq!((report.remote.len(), report.pairs.len()), (64, 64));
    assert_eq!((refused, report.counters.candidates_refused), (5000 - 64, 5000 - 64));
    // Those learnt from checks count too.
    let (user, key) = (alone.user(), alone.key());
    let check = alone.request(&user).integrity(&key).fingerprint().finish();
    assert_eq!(alone.come(THEIRS, check).len(), 2, "an answer and a check that was due");
    assert_eq!(alone.agent.report().remote.len(), 64);
    // One check each 50 ms, eleven times at most.
    let mut sent = 0;
    for _ in 0..800 {
        alone.now += ms(50);
        alone.agent.handle(alone.now, Input::Timeout);
        sent += alone.drain().len();
    }
    assert!(sent <= 64 * 11, "{sent}");
    let named = "1 1 udp 1 flood.local 9 typ host".parse::<Candidate>().unwrap();
    assert_eq!(alone.agent.add_remote(alone.now, named), Err(RemoteError::TooMany));
}

#[test]
fn candidates_of_no_use_are_refused_by_name() {
    let mut alone = Alone::new(Config::default());
    alone.know();
    let mut add = |line: &str| alone.agent.add_remote(alone.now, line.parse().unwrap());
    assert_eq!(add("1 2 udp 1 198.51.100.1 9 typ host"), Err(RemoteError::Component));
    assert_eq!(add("1 1 udp 1 0.0.0.0 9 typ host"), Err(RemoteError::Address));
    assert_eq!(add("1 1 udp 1 239.1.2.3 9 typ host"), Err(RemoteError::Address));
    assert_eq!(add("1 1 udp 1 198.51.100.1 0 typ host"), Err(RemoteError::Address));
    assert_eq!(add("1 1 udp 1 198.51.100.1 9 typ host ufrag else"), Err(RemoteError::Generation));
    assert_eq!(add("1 1 udp 1 198.51.100.1 9 typ host ufrag them"), Ok(()));
    // Of loopback and link-local addresses no pairs are made with others.
    assert_eq!(add("1 1 udp 1 127.0.0.1 9 typ host"), Ok(()));
    assert_eq!(alone.agent.report().pairs.len(), 1);
}

#[test]
fn pairs_beyond_the_limit_give_way_to_better_ones() {
    let config = Config { max_pairs: 5, ..Config::default() };
    let mut alone = Alone::new(config);
    alone.know();
    for n in 1..=20u32 {
        let line = format!("{n} 1 udp {} 198.51.100.{n} 9 typ host", n * 1000);
        alone.agent.add_remote(alone.now, line.parse().unwrap()).unwrap();
    }
    let pairs = alone.agent.report().pairs;
    let last: Vec<u8> = pairs
        .iter()
        .map(|p| match p.remote.ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => 0,
        })
        .collect();
    assert_eq!(last, [20, 19, 18, 17, 16]);
}

#[test]
fn a_peer_without_candidates_is_a_failure_of_its_own() {
    let mut alone = Alone::new(Config::default());
    alone.know();
    alone.now += ms(39_500);
    alone.agent.handle(alone.now, Input::Timeout);
    assert_eq!(alone.agent.report().failure, Some(IceFailure::NoRemoteCandidates));
}

#[test]
fn lying_relays_are_left_out_and_told() {
    for lie in [lab::Lie::RelayedOfOtherFamily, lab::Lie::NoIntegrity, lab::Lie::EndlessStale] {
        let mut lab = Lab::new(1, Link::new().latency(ms(10)));
        let mut server = lab::Server::new(ip(SERVER));
        server.lie = Some(lie);
        let server = lab.server_with(server);
        lab.side(with_turn(server), true, None, &[cable(OURS)]);
        lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
        lab.connect();
        assert!(lab.completed(secs(2)), "{lie:?}");
        assert!(
            lab.until(secs(41), |lab| !lab.agent(0).report().relay_failures.is_empty()),
            "{lie:?}"
        );
        let told = lab.agent(0).local_candidates();
        assert!(told.iter().all(|c| c.kind != CandidateKind::Relayed));
    }
}

proptest! {
    #[test]
    fn no_packet_makes_an_agent_panic(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20),
        signed in any::<bool>(),
    ) {
        let mut alone = Alone::new(Config::default());
        alone.know();
        let (user, key) = (alone.user(), alone.key());
        for (n, packet) in packets.into_iter().enumerate() {
            let data = if signed {
                let kind = u16::from(packet.first().copied().unwrap_or(0)) | 0x20;
                alone.request(&user).attribute(kind, &packet).integrity(&key).fingerprint().finish()
            } else {
                packet.into()
            };
            alone.come(&format!("203.0.113.{}:99", n + 5), data);
            alone.now += ms(70);
            alone.agent.handle(alone.now, Input::Timeout);
            alone.drain();
        }
    }
}
