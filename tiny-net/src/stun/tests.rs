use super::*;
use crate::sim::{self, Dependence, Nat, Node, World};
use crate::turn::lab::{ALT_PORT, PORT, Server};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng, Transport};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/vectors/stun/rfc5769-", $name, ".bin")).as_slice()
    };
}

fn short() -> Key {
    Key::short_term(&PASSWORD.into())
}

#[test]
fn the_request_of_rfc_5769_2_1_is_read_and_whole() {
    let message = Message::parse(vector!("2.1-sample-request")).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, method::BINDING));
    assert_eq!(message.text(attr::SOFTWARE), Some("STUN test client"));
    assert_eq!(message.text(attr::USERNAME), Some("evtj:h6vY"));
    assert_eq!(message.u32(attr::PRIORITY), Some(0x6e00_01ff));
    assert_eq!(message.u64(attr::ICE_CONTROLLED), Some(0x932f_f9b1_5126_3b36));
    assert!(message.has(attr::FINGERPRINT));
    assert_eq!(message.verify(&short()), Integrity::Valid);
    assert_eq!(message.verify(&Key::short_term(&"another".into())), Integrity::Wrong);
    assert_eq!(message.verify_sha256(&short()), Integrity::Absent);
}

#[test]
fn the_responses_of_rfc_5769_2_2_and_2_3_are_read_and_whole() {
    let rows = [
        (vector!("2.2-sample-ipv4-response"), "192.0.2.1:32853"),
        (vector!("2.3-sample-ipv6-response"), "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ];
    for (data, mapped) in rows {
        let message = Message::parse(data).unwrap();
        assert_eq!(message.class(), Class::Success);
        assert_eq!(message.text(attr::SOFTWARE), Some("test vector"));
        assert_eq!(message.mapped(), Some(mapped.parse().unwrap()));
        assert_eq!(message.verify(&short()), Integrity::Valid);
        // One bit anywhere but in the type of the fingerprint itself, and it is none.
        for at in (0..data.len()).filter(|at| !(data.len() - 8..data.len() - 6).contains(at)) {
            let mut changed = data.to_vec();
            changed[at] ^= 1;
            assert!(Message::parse(&changed).is_err(), "octet {at}");
        }
    }
}

#[test]
fn the_long_term_request_of_rfc_5769_2_4_is_made_octet_by_octet() {
    let vector = vector!("2.4-sample-request-long-term-auth");
    let id = vector[8..20].try_into().unwrap();
    let user = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    let key = Key::long_term(user, "example.org", &"TheMatrIX".into(), Algorithm::Md5);
    assert_eq!(Message::parse(vector).unwrap().verify(&key), Integrity::Valid);
    let ours = Builder::new(Class::Request, method::BINDING, id)
        .text(attr::USERNAME, user)
        .text(attr::NONCE, "f//499k954d6OL34oL9FSTvy64sA")
        .text(attr::REALM, "example.org")
        .integrity(&key)
        .finish();
    assert_eq!(ours, vector);
}

// RFC 8489 B.1 as corrected by its verified erratum: PASSWORD-ALGORITHM is there, the key is SHA-256.
#[test]
fn the_request_of_rfc_8489_b_1_has_the_userhash_and_the_integrity_printed_there() {
    let id = [0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e];
    let user = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    let hash = userhash(user, "example.org");
    assert_eq!(hash[..8], [0x4a, 0x3c, 0xf3, 0x8f, 0xef, 0x69, 0x92, 0xbd]);
    assert_eq!(hash[24..], [0x05, 0xc4, 0x6e, 0x41, 0x40, 0x7f, 0x17, 0x04]);
    let key = Key::long_term(user, "example.org", &"TheMatrIX".into(), Algorithm::Sha256);
    let message = Builder::new(Class::Request, method::BINDING, id)
        .attribute(attr::USERHASH, &hash)
        .text(attr::NONCE, "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .text(attr::REALM, "example.org")
        .u16(attr::PASSWORD_ALGORITHM, 2)
        .integrity_sha256(&key)
        .finish();
    let expected = [
        0xb5, 0xc7, 0xbf, 0x00, 0x5b, 0x6c, 0x52, 0xa2, 0x1c, 0x51, 0xc5, 0xe8, 0x92, 0xf8, 0x19,
        0x24, 0x13, 0x62, 0x96, 0xcb, 0x92, 0x7c, 0x43, 0x14, 0x93, 0x09, 0x27, 0x8c, 0xc6, 0x51,
        0x8e, 0x65,
    ];
    let message = Message::parse(&message).unwrap();
    assert_eq!(message.get(attr::MESSAGE_INTEGRITY_SHA256), Some(&expected[..]));
    assert_eq!(message.verify(&key), Integrity::Valid);
}

// The example of RFC 8489 §9.2.2.
#[test]
fn the_long_term_key_is_that_of_rfc_8489() {
    let key = Key::long_term("user", "realm", &"pass".into(), Algorithm::Md5);
    let same = Builder::new(Class::Request, 1, [0; 12]).integrity(&key).finish();
    let message = Message::parse(&same).unwrap();
    let octets = 0x8493_fbc5_3ba5_82fb_4c04_4c45_6bdc_40eb_u128.to_be_bytes();
    use md5::Digest;
    assert_eq!(md5::Md5::digest(b"user:realm:pass").as_slice(), octets);
    assert_eq!(message.verify(&key), Integrity::Valid);
    assert_eq!(format!("{key:?}"), "Key(***)");
}

#[test]
fn both_integrities_may_stand_together_and_the_stronger_counts() {
    let message = Builder::new(Class::Request, method::BINDING, [1; 12])
        .integrity(&short())
        .integrity_sha256(&Key::short_term(&"other".into()))
        .fingerprint()
        .finish();
    let message = Message::parse(&message).unwrap();
    assert_eq!(message.verify_sha1(&short()), Integrity::Valid);
    assert_eq!(message.verify(&short()), Integrity::Wrong);
}

#[test]
fn what_stands_behind_the_integrity_does_not_count() {
    let message = Builder::new(Class::Request, method::BINDING, [1; 12])
        .integrity(&short())
        .text(attr::USERNAME, "smuggled")
        .integrity_sha256(&short())
        .text(attr::REALM, "smuggled")
        .fingerprint()
        .finish();
    let message = Message::parse(&message).unwrap();
    assert_eq!((message.text(attr::USERNAME), message.text(attr::REALM)), (None, None));
    assert!(message.has(attr::FINGERPRINT) && message.has(attr::MESSAGE_INTEGRITY_SHA256));
}

#[test]
fn a_shortened_sha256_integrity_is_wrong() {
    let whole = Builder::new(Class::Request, method::BINDING, [1; 12]);
    let tag = Message::parse(&whole.clone().integrity_sha256(&short()).finish())
        .map(|m| m.get(attr::MESSAGE_INTEGRITY_SHA256).unwrap()[..16].to_vec())
        .unwrap();
    let short_one = whole.attribute(attr::MESSAGE_INTEGRITY_SHA256, &tag).finish();
    assert_eq!(Message::parse(&short_one).unwrap().verify(&short()), Integrity::Wrong);
}

#[test]
fn errors_unknown_attributes_and_alternates_are_written_and_read() {
    let message = Builder::new(Class::Error, method::ALLOCATE, [2; 12])
        .error(420, "Unknown Attribute")
        .unknown_attributes(&[0x7777, 0x0003])
        .address(attr::ALTERNATE_SERVER, "192.0.2.9:3478".parse().unwrap())
        .finish();
    let message = Message::parse(&message).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Error, method::ALLOCATE));
    assert_eq!(message.error(), Some((420, "Unknown Attribute")));
    assert_eq!(message.unknown_attributes().as_slice(), [0x7777, 0x0003]);
    assert_eq!(message.address(attr::ALTERNATE_SERVER), "192.0.2.9:3478".parse().ok());
    let request = Builder::new(Class::Request, 1, [0; 12])
        .flag(0x7777)
        .flag(0xbeef)
        .flag(attr::USE_CANDIDATE)
        .flag(0x7777)
        .integrity(&short());
    let request = request.finish();
    let unknown = Message::parse(&request).unwrap().not_understood(&[attr::USE_CANDIDATE]);
    assert_eq!(unknown.as_slice(), [0x7777]);
}

#[test]
fn every_class_and_method_keeps_its_bits() {
    for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
        for method in [1, 2, 9, 0x7f, 0x80, 0xabc, 0xfff] {
            let message = Builder::new(class, method, [3; 12]).finish();
            let message = Message::parse(&message).unwrap();
            assert_eq!((message.class(), message.method(), message.id()), (class, method, [3; 12]));
        }
    }
}

#[test]
fn what_is_badly_framed_is_refused_by_name() {
    let good = Builder::new(Class::Request, 1, [0; 12]).text(attr::USERNAME, "abcd").finish();
    let changed = |at: usize, to: u8| {
        let mut data = good.to_vec();
        data[at] = to;
        Message::parse(&data).err()
    };
    assert_eq!(changed(0, 0x80), Some(ParseError::NotStun));
    assert_eq!(changed(4, 0), Some(ParseError::NotStun));
    assert_eq!(changed(3, 12), Some(ParseError::Length));
    assert_eq!(changed(3, 7), Some(ParseError::Length));
    assert_eq!(changed(23, 5), Some(ParseError::Attribute(attr::USERNAME)));
    assert_eq!(Message::parse(&good[..19]).err(), Some(ParseError::NotStun));
    let printed = Builder::new(Class::Request, 1, [0; 12]).u32(attr::FINGERPRINT, 7).finish();
    assert_eq!(Message::parse(&printed).err(), Some(ParseError::Fingerprint));
}

// RFC 8489 §6.2.1: at 0, 500, 1500, 3500, 7500, 15 500 and 31 500 ms; given up at 39 500 ms.
#[test]
fn a_request_is_repeated_and_given_up_at_the_times_of_rfc_8489() {
    let start = Instant::now();
    let at = |mut transaction: Transaction| {
        let mut times = Vec::new();
        loop {
            let now = transaction.deadline();
            let since = (now - start).as_millis();
            match transaction.due(now) {
                Some(Step::Send) => times.push(since),
                Some(Step::GiveUp) => {
                    times.push(since);
                    return times;
                }
                None => unreachable!("the deadline is when something is due"),
            }
        }
    };
    let udp = at(Transaction::new(start, Timing::default(), false));
    assert_eq!(udp, [0, 500, 1500, 3500, 7500, 15_500, 31_500, 39_500]);
    let tcp = at(Transaction::new(start, Timing::default(), true));
    assert_eq!(tcp, [0, 39_500]);
    let mut once = Transaction::new(start, Timing::default(), false);
    assert_eq!(once.due(start), Some(Step::Send));
    let later = start + Duration::from_millis(30);
    assert_eq!(once.round_trip(later), Some(Duration::from_millis(30)));
    assert_eq!(once.due(start + Duration::from_secs(1)), Some(Step::Send));
    assert_eq!(once.round_trip(later), None);
}

// RFC 7983 §7.
#[test]
fn what_shares_a_port_is_told_apart_by_the_first_octet() {
    let expected = |octet: u8| match octet {
        0..=3 => Packet::Stun,
        16..=19 => Packet::Zrtp,
        20..=63 => Packet::Dtls,
        64..=79 => Packet::Channel,
        128..=191 => Packet::Rtp,
        _ => Packet::Unknown,
    };
    for octet in 0..=255 {
        assert_eq!(demux(&[octet, 0]), expected(octet));
    }
    assert_eq!(demux(&[]), Packet::Unknown);
}

#[test]
fn a_challenge_without_the_algorithms_that_its_nonce_promises_is_not_answered() {
    let challenge = |nonce: &str, algorithms: &[u8]| {
        let mut message = Builder::new(Class::Error, method::ALLOCATE, [0; 12])
            .error(401, "")
            .text(attr::REALM, "example.org")
            .text(attr::NONCE, nonce);
        if !algorithms.is_empty() {
            message = message.attribute(attr::PASSWORD_ALGORITHMS, algorithms);
        }
        Challenge::read(&Message::parse(&message.finish()).unwrap())
    };
    assert_eq!(challenge("obMatJos2gAAAx", &[]), Err(ChallengeError::BidDown));
    assert!(challenge("obMatJos2AAAAx", &[]).is_ok());
    assert!(challenge("plain", &[]).is_ok());
    let unknown = [0, 9, 0, 0];
    assert_eq!(challenge("obMatJos2gAAAx", &unknown), Err(ChallengeError::NoAlgorithm));
    // The first one that is known, behind one with parameters that is not.
    let list = [0, 9, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0];
    let mut user = LongTerm::new("u", "p".into());
    assert!(user.challenged(challenge("obMatJos2wAAAx", &list).unwrap()));
    assert_eq!(user.algorithm(), Algorithm::Sha256);
    let request = user.sign(Builder::new(Class::Request, method::REFRESH, [0; 12])).finish();
    let request = Message::parse(&request).unwrap();
    assert_eq!(request.get(attr::USERHASH), Some(&userhash("u", "example.org")[..]));
    assert_eq!(request.get(attr::PASSWORD_ALGORITHMS), Some(&list[..]));
    assert_eq!(request.u16(attr::PASSWORD_ALGORITHM), Some(2));
    assert!(!request.has(attr::USERNAME) && !request.has(attr::MESSAGE_INTEGRITY));
    assert_eq!(user.verify(&request), Integrity::Valid);
    // The same challenge again is no reason to try again; another realm is.
    assert!(!user.challenged(challenge("obMatJos2wAAAy", &list).unwrap()));
}

proptest! {
    #[test]
    fn no_input_makes_the_reader_panic(mut data in proptest::collection::vec(any::<u8>(), 0..200)) {
        look_at(&data);
        if data.len() >= 20 {
            data[0] &= 0x3f;
            data[4..8].copy_from_slice(&0x2112_a442_u32.to_be_bytes());
            data.truncate(data.len() / 4 * 4);
            let length = data.len() as u16 - 20;
            data[2..4].copy_from_slice(&length.to_be_bytes());
            look_at(&data);
        }
    }

    #[test]
    fn what_is_written_is_read_alike(
        attributes in proptest::collection::vec(
            (0x0030u16..0x9000, proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
    ) {
        let mut message = Builder::new(Class::Indication, method::DATA, [5; 12]);
        for (kind, value) in &attributes {
            message = message.attribute(*kind, value);
        }
        let message = message.integrity(&short()).fingerprint().finish();
        let message = Message::parse(&message).unwrap();
        prop_assert!(message.verify(&short()).is_valid());
        let read: Vec<_> = message.attributes().map(|(k, v)| (k, v.to_vec())).collect();
        prop_assert_eq!(&read[..attributes.len()], &attributes[..]);
    }
}

fn look_at(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    let _ = (message.class(), message.method(), message.id(), message.mapped(), message.error());
    let _ = (message.verify(&short()), message.unknown_attributes(), message.not_understood(&[]));
    let _ = (Challenge::read(&message), message.u16(attr::CHANNEL_NUMBER));
    assert!(message.attributes().count() <= data.len() / 4);
}

struct Prober(Discovery);

impl Node for Prober {
    type Event = NatReport;
    fn handle(&mut self, now: Instant, input: sim::Input) {
        let input = match input {
            sim::Input::Net(event) => Input::Net(event),
            _ => Input::Timeout,
        };
        self.0.handle(now, input);
    }
    fn poll(&mut self, now: Instant) -> Output<sim::Transmit, NatReport> {
        match self.0.poll(now) {
            Output::Transmit(Transmit::Send { flow, data }) => {
                Output::Transmit(sim::Transmit::Send { flow, data })
            }
            Output::Transmit(Transmit::Close { flow }) => {
                Output::Transmit(sim::Transmit::Close { flow })
            }
            Output::Event(event) => Output::Event(event),
            Output::Timeout(at) => Output::Timeout(at),
        }
    }
}

enum Someone {
    Prober(Box<Prober>),
    Server(Box<Server>),
}

impl Node for Someone {
    type Event = NatReport;
    fn handle(&mut self, now: Instant, input: sim::Input) {
        match self {
            Self::Prober(node) => node.handle(now, input),
            Self::Server(node) => node.handle(now, input),
        }
    }
    fn poll(&mut self, now: Instant) -> Output<sim::Transmit, NatReport> {
        match self {
            Self::Prober(node) => node.poll(now),
            Self::Server(node) => match node.poll(now) {
                Output::Transmit(transmit) => Output::Transmit(transmit),
                Output::Event(()) => unreachable!("the lab tells nothing"),
                Output::Timeout(at) => Output::Timeout(at),
            },
        }
    }
}

/// What is found out behind a NAT with servers that have a second address, or not.
fn report(nat: Option<Nat>, second: bool, servers: usize, loss: f64) -> NatReport {
    let mut world = World::new(Instant::now(), 5);
    let path = sim::Link::new().latency(Duration::from_millis(20)).loss(loss);
    world.network.set_default_path(path);
    let mut addresses = Vec::new();
    for n in 0..servers {
        let ip = format!("192.0.2.{}", 10 + n).parse().unwrap();
        let mut server = Server::new(ip);
        let host = world.network.add_host(ip);
        if second {
            let alt = format!("192.0.2.{}", 100 + n).parse().unwrap();
            server.alt = Some(alt);
            world.network.add_address(host, alt);
        }
        world.add_on(host, Someone::Server(Box::new(server)));
        addresses.push(SocketAddr::new(ip, PORT));
    }
    let (host, local) = match nat {
        Some(nat) => {
            let nat = world.network.add_nat(nat);
            let ip = "10.0.0.2".parse().unwrap();
            (world.network.add_host_behind(nat, ip), SocketAddr::new(ip, 4000))
        }
        None => {
            let ip = "203.0.113.5".parse().unwrap();
            (world.network.add_host(ip), SocketAddr::new(ip, 4000))
        }
    };
    let (now, rng) = (world.now(), Rng::from_seed(1));
    let config = DiscoveryConfig::default();
    let prober = Discovery::new(now, config, local, addresses, rng);
    world.add_on(host, Someone::Prober(Box::new(Prober(prober))));
    world.next_event(now + Duration::from_secs(60)).expect("a report").1
}

#[test]
fn the_kind_of_nat_is_found_where_the_server_has_a_second_address() {
    use Dependence as On;
    let all = [
        (On::EndpointIndependent, Behaviour::EndpointIndependent),
        (On::AddressDependent, Behaviour::AddressDependent),
        (On::AddressAndPortDependent, Behaviour::AddressAndPortDependent),
    ];
    for (mapping, mapped) in all {
        for (filtering, filtered) in all {
            let nat = Nat::new("198.51.100.1".parse().unwrap());
            let nat = nat.mapping(mapping).filtering(filtering).preserve_ports(false);
            let found = report(Some(nat), true, 1, 0.0);
            assert_eq!(
                (found.mapping, found.filtering),
                (mapped, filtered),
                "{mapping:?} {filtering:?}"
            );
            assert!(found.translated);
        }
    }
    let open = report(None, true, 1, 0.0);
    assert_eq!(open.mapped, Some(open.local));
    assert!(!open.translated);
    assert_eq!(open.filtering, Behaviour::EndpointIndependent);
    assert_ne!(PORT, ALT_PORT);
}

#[test]
fn two_plain_servers_tell_whether_the_mapping_depends_on_the_other_side() {
    let nat = |cone: bool| {
        let ip = "198.51.100.1".parse().unwrap();
        if cone { Nat::port_restricted(ip) } else { Nat::symmetric(ip) }
    };
    let found = report(Some(nat(true)), false, 2, 0.0);
    assert_eq!(
        (found.mapping, found.filtering),
        (Behaviour::EndpointIndependent, Behaviour::Unknown)
    );
    let found = report(Some(nat(false)), false, 2, 0.0);
    assert_eq!(found.mapping, Behaviour::Dependent);
    // One plain server tells the address and nothing else; none tells nothing, in a few seconds.
    let found = report(Some(nat(false)), false, 1, 0.0);
    assert!(found.mapped.is_some() && found.mapping == Behaviour::Unknown);
    let found = report(Some(nat(false)), false, 1, 1.0);
    assert_eq!((found.mapped, found.translated), (None, false));
}

#[test]
fn an_answer_from_elsewhere_is_not_believed() {
    let now = Instant::now();
    let local: SocketAddr = "10.0.0.2:4000".parse().unwrap();
    let server: SocketAddr = "192.0.2.10:3478".parse().unwrap();
    let config = DiscoveryConfig::default();
    let mut probe = Discovery::new(now, config, local, vec![server], Rng::from_seed(1));
    let Output::Transmit(Transmit::Send { data, .. }) = probe.poll(now) else { panic!() };
    let id = Message::parse(&data).unwrap().id();
    let answer = Builder::new(Class::Success, method::BINDING, id)
        .xor_address(attr::XOR_MAPPED_ADDRESS, "203.0.113.66:666".parse().unwrap())
        .finish();
    let mut from = |remote: &str| {
        let remote = remote.parse().unwrap();
        let flow = Flow { transport: Transport::Udp, local, remote };
        probe.handle(now, Input::Net(NetEvent::Datagram { flow, data: answer.clone() }));
        matches!(probe.poll(now), Output::Event(_))
    };
    assert!(!from("192.0.2.66:3478"));
    assert!(from("192.0.2.10:3478"));
}
