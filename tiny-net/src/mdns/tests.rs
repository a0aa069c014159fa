//! Names looked up over real sockets, and hostile answers.

use super::*;
use proptest::prelude::*;
use std::time::Instant;
use tiny_sak::Rng;

const UUID: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn limits() -> MdnsConfig {
    MdnsConfig::default()
}

fn name() -> HiddenName {
    HiddenName::parse(UUID).unwrap()
}

/// An answer with these records, each a name of wire octets, type, TTL and body.
fn answer(id: u16, records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [id, 0x8400, 0, records.len() as u16, 0, 0] {
        out.extend(word.to_be_bytes());
    }
    for (owner, kind, ttl, body) in records {
        out.extend_from_slice(owner);
        out.extend(kind.to_be_bytes());
        out.extend(0x8001u16.to_be_bytes());
        out.extend(ttl.to_be_bytes());
        out.extend((body.len() as u16).to_be_bytes());
        out.extend_from_slice(body);
    }
    out
}

fn wire(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.split('.') {
        out.push(label.len() as u8);
        out.extend(label.bytes());
    }
    out.push(0);
    out
}

#[test]
fn only_one_uuid_under_local_is_a_hidden_name() {
    let upper = HiddenName::parse(&UUID.to_ascii_uppercase()).unwrap();
    assert_eq!((upper.as_str(), HiddenName::parse(&format!("{UUID}.")).unwrap()), (UUID, name()));
    for bad in [
        "printer.local",
        "local",
        ".local",
        "",
        "1f4712db-ea17-4bcf-a596-105139dfd8bf",
        "1f4712db-ea17-4bcf-a596-105139dfd8bf.example",
        "x.1f4712db-ea17-4bcf-a596-105139dfd8bf.local",
        "1f4712db-ea17-4bcf-a596-105139dfd8bg.local",
        "1f4712db-ea17-4bcf-a596105139dfd8bf.local",
        "1f4712dbea174bcfa596105139dfd8bf.local",
        "1f4712db-ea17-4bcf-a596-105139dfd8bf.local.local",
    ] {
        assert_eq!(HiddenName::parse(bad), Err(MdnsError::Name), "{bad}");
    }
    let mut rng = Rng::from_seed(1);
    let (a, b) = (HiddenName::random(&mut rng), HiddenName::random(&mut rng));
    assert_ne!(a, b);
    assert_eq!(HiddenName::parse(a.as_str()).unwrap(), a);
    assert_eq!(&a.as_str()[14..15], "4");
}

#[test]
fn a_question_is_what_every_responder_reads() {
    let mut expected = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 36];
    expected.extend(UUID[..36].bytes());
    expected.extend(b"\x05local\0\0\x1c\0\x01");
    assert_eq!(query(0x1234, &name(), Question::Aaaa), expected);
}

#[test]
fn addresses_are_read_through_compression_and_in_any_case() {
    let owner = wire(&UUID.to_ascii_uppercase());
    let v6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let records: [(&[u8], u16, u32, &[u8]); 5] = [
        (&owner, 1, 120, &[192, 0, 2, 7]),
        (&[0xc0, 12], 28, 120, &v6),
        // Said before; another name; gone.
        (&[0xc0, 12], 1, 120, &[192, 0, 2, 7]),
        (b"\x05other\x05local\0", 1, 120, &[192, 0, 2, 8]),
        (&[0xc0, 12], 1, 0, &[192, 0, 2, 9]),
    ];
    let read = read_answer(&answer(7, &records), &name(), &limits()).unwrap();
    let expected: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    assert_eq!((read.id, read.addresses), (7, expected.to_vec()));
}

#[test]
fn hostile_answers_are_refused_or_mean_nothing() {
    let owner = wire(UUID);
    let none = |data: &[u8]| read_answer(data, &name(), &limits()).map(|a| a.addresses);
    // Nobody sends there.
    for body in [[0, 0, 0, 0], [0, 1, 2, 3], [224, 0, 0, 251], [255, 255, 255, 255]] {
        assert_eq!(none(&answer(1, &[(&owner, 1, 120, &body)])), Ok(vec![]));
    }
    for text in ["::", "ff02::1", "fe80::1", "::ffff:192.0.2.1"] {
        let ip: Ipv6Addr = text.parse().unwrap();
        assert_eq!(none(&answer(1, &[(&owner, 28, 120, &ip.octets())])), Ok(vec![]), "{text}");
    }
    assert_eq!(none(&answer(1, &[(&owner, 1, 120, &[1, 2, 3])])), Err(MdnsError::Malformed));
    // A name that points at itself, ahead, or in a circle.
    for pointer in [[0xc0, 12], [0xc0, 200], [0xff, 0xff]] {
        assert_eq!(
            none(&answer(1, &[(&pointer, 1, 120, &[1, 2, 3, 4])])),
            Err(MdnsError::Malformed)
        );
    }
    // A name without end.
    let long = wire(&vec!["a".repeat(63); 5].join("."));
    assert_eq!(none(&answer(1, &[(&long, 1, 120, &[1, 2, 3, 4])])), Err(MdnsError::Malformed));
    let mut flood = answer(1, &[]);
    flood[6..8].copy_from_slice(&9000u16.to_be_bytes());
    assert_eq!(none(&flood), Err(MdnsError::TooMany(9000)));
    let many: Vec<[u8; 4]> = (1..=30).map(|n| [192, 0, 2, n]).collect();
    let many: Vec<(&[u8], u16, u32, &[u8])> =
        many.iter().map(|b| (&owner[..], 1, 120, &b[..])).collect();
    assert_eq!(none(&answer(1, &many)).unwrap().len(), 8);
    assert_eq!(none(&query(1, &name(), Question::A)), Err(MdnsError::Direction));
    let mut failed = answer(1, &[]);
    failed[3] = 3;
    assert_eq!(none(&failed), Err(MdnsError::Code(3)));
}

#[test]
fn a_registry_answers_for_its_names_and_no_others() {
    let mut rng = Rng::from_seed(3);
    let mut registry = Registry::new(MdnsConfig { max_names: 2, ..limits() });
    let ip: IpAddr = "192.0.2.7".parse().unwrap();
    let ours = registry.register(ip, &mut rng).unwrap();
    assert_eq!(registry.register(ip, &mut rng).unwrap(), ours);
    let plain = registry.answer(&query(9, &ours, Question::A), 40_000).unwrap().unwrap();
    let read = read_answer(&plain.data, &ours, &limits()).unwrap();
    assert_eq!((plain.unicast, read.id, read.addresses), (true, 9, vec![ip]));
    // From the port of multicast DNS everybody hears it, without a number, to be kept.
    let told = registry.answer(&query(9, &ours, Question::A), PORT).unwrap().unwrap();
    assert_eq!((told.unicast, read_answer(&told.data, &ours, &limits()).unwrap().id), (false, 0));
    let mut please = query(9, &ours, Question::A);
    let class = please.len() - 2;
    please[class] = 0x80;
    assert!(registry.answer(&please, PORT).unwrap().unwrap().unicast);
    // It has no such address: said so (NSEC), with none to take.
    let no = registry.answer(&query(9, &ours, Question::Aaaa), PORT).unwrap().unwrap();
    assert!(read_answer(&no.data, &ours, &limits()).unwrap().addresses.is_empty());
    assert_eq!(no.data[12 + 44..][..2], [0, 47]);
    assert_eq!(registry.answer(&query(9, &name(), Question::A), PORT), Ok(None));
    assert_eq!(registry.answer(&told.data, PORT), Err(MdnsError::Direction));
    registry.register("192.0.2.8".parse().unwrap(), &mut rng).unwrap();
    let third = registry.register("192.0.2.9".parse().unwrap(), &mut rng);
    assert_eq!(third, Err(MdnsError::Full(2)));
    registry.forget(&ours);
    assert_eq!(registry.answer(&query(9, &ours, Question::A), PORT), Ok(None));
}

/// Asks a socket of our own in place of the group.
fn unicast(port: u16) -> MdnsConfig {
    MdnsConfig {
        group_v4: SocketAddr::new(LOOPBACK, port),
        timeout: Duration::from_millis(800),
        repeat: Duration::from_millis(100),
        ..MdnsConfig::default()
    }
}

fn free_port() -> u16 {
    std::net::UdpSocket::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_name_of_another_agent_is_found() {
    let config = unicast(free_port());
    let mut rng = Rng::from_seed(4);
    let responder = Responder::start(&[LOOPBACK], &config).unwrap();
    let ip: IpAddr = "192.0.2.33".parse().unwrap();
    let theirs = responder.register(ip, &mut rng).unwrap();
    assert_eq!(lookup(&theirs, &[LOOPBACK], &config, &mut rng).await, Some(ip));
    let v6: IpAddr = "fd00::33".parse().unwrap();
    let other = responder.register(v6, &mut rng).unwrap();
    assert_eq!(lookup(&other, &[LOOPBACK], &config, &mut rng).await, Some(v6));
    responder.forget(&theirs);
    let begun = Instant::now();
    assert_eq!(lookup(&theirs, &[LOOPBACK], &config, &mut rng).await, None);
    assert!((800..2_000).contains(&begun.elapsed().as_millis()), "it ends in time");
}

#[tokio::test]
async fn answers_told_to_the_group_are_heard() {
    // Real multicast, on a port of its own, over the loopback interface.
    let port = free_port();
    let config = MdnsConfig {
        group_v4: SocketAddr::new(Ipv4Addr::new(224, 0, 0, 251).into(), port),
        ..MdnsConfig::default()
    };
    let mut rng = Rng::from_seed(5);
    let responder = Responder::start(&[LOOPBACK], &config).unwrap();
    let ip: IpAddr = "192.0.2.34".parse().unwrap();
    let theirs = responder.register(ip, &mut rng).unwrap();
    assert_eq!(lookup(&theirs, &[LOOPBACK], &config, &mut rng).await, Some(ip));
}

#[tokio::test]
async fn strangers_wrong_numbers_and_noise_do_not_answer() {
    let server = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let stranger = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let config = unicast(server.local_addr().unwrap().port());
    let fake = tokio::spawn(async move {
        let mut buffer = [0u8; 512];
        let owner = wire(UUID);
        loop {
            let (_, from) = server.recv_from(&mut buffer).await.unwrap();
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            let lie = answer(id, &[(&owner, 1, 120, &[192, 0, 2, 66])]);
            stranger.send_to(&lie, from).await.unwrap();
            let guess = answer(id ^ 1, &[(&owner, 1, 120, &[192, 0, 2, 67])]);
            server.send_to(&guess, from).await.unwrap();
            for noise in [&b""[..], b"\x80", &[0xff; 300]] {
                server.send_to(noise, from).await.unwrap();
            }
        }
    });
    let mut rng = Rng::from_seed(6);
    assert_eq!(lookup(&name(), &[LOOPBACK], &config, &mut rng).await, None);
    fake.abort();
}

proptest! {
    #[test]
    fn no_message_panics(
        data in proptest::collection::vec(any::<u8>(), 0..200),
        records in 0u8..5,
        response: bool,
    ) {
        let mut rng = Rng::from_seed(7);
        let mut registry = Registry::new(MdnsConfig { max_names: 4, ..limits() });
        let ours = registry.register(LOOPBACK, &mut rng).unwrap();
        let mut shaped = vec![0, 1, u8::from(response) << 7, 0, 0, 1, 0, records, 0, 0, 0, 0];
        shaped.extend(&data);
        for data in [&data[..], &shaped] {
            if let Ok(read) = read_answer(data, &ours, &limits()) {
                prop_assert!(read.addresses.len() <= 8);
            }
            if let Ok(Some(reply)) = registry.answer(data, 1) {
                prop_assert!(read_answer(&reply.data, &ours, &limits()).is_ok());
            }
        }
    }
}
