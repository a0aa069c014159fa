use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)
}

/// (type, body without the two lengths) of each block; fails on a torn one.
fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |b: &[u8]| u32::from_le_bytes(b[..4].try_into().unwrap());
    let mut found = Vec::new();
    while !file.is_empty() {
        let total = word(&file[4..]) as usize;
        assert_eq!(total % 4, 0, "blocks are padded to 32 bits");
        assert_eq!(word(&file[total - 4..]) as usize, total, "both lengths agree");
        found.push((word(file), file[8..total - 4].to_vec()));
        file = &file[total..];
    }
    found
}

/// The captured packets, without block headers.
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let enhanced = blocks(file).into_iter().filter(|(kind, _)| *kind == ENHANCED_PACKET);
    enhanced
        .map(|(_, body)| {
            let length = u32::from_le_bytes(body[12..16].try_into().unwrap()) as usize;
            body[20..20 + length].to_vec()
        })
        .collect()
}

/// Sums the pseudo-header and transport part of an IPv4 packet: all ones when the checksum is right.
fn transport_sum_v4(packet: &[u8]) -> u16 {
    let mut sum = Sum::default();
    sum.bytes(&packet[12..20]);
    sum.word(u16::from(packet[9]));
    sum.word((packet.len() - 20) as u16);
    sum.bytes(&packet[20..]);
    sum.checksum()
}

#[test]
fn a_datagram_has_right_lengths_checksums_and_nanoseconds() {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, "test").unwrap();
    let (a, b) = (addr("192.0.2.1:5060"), addr("198.51.100.7:5070"));
    writer.udp(noon(), Direction::Outbound, a, b, b"hello").unwrap();
    assert_eq!(writer.packets(), 1);

    let blocks = blocks(&file);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]);
    assert_eq!(blocks[1].1[..2], LINKTYPE_RAW.to_le_bytes());
    let body = &blocks[2].1;
    let high = u64::from(u32::from_le_bytes(body[4..8].try_into().unwrap()));
    let low = u64::from(u32::from_le_bytes(body[8..12].try_into().unwrap()));
    assert_eq!((high << 32) | low, 1_700_000_000_123_456_789);

    let packet = &packets(&file)[0];
    assert_eq!(packet.len(), 20 + 8 + 5);
    assert_eq!(packet[2..4], 33_u16.to_be_bytes());
    let mut sum = Sum::default();
    sum.bytes(&packet[..20]);
    assert_eq!(sum.checksum(), 0, "IPv4 header checksum");
    assert_eq!(transport_sum_v4(packet), 0, "UDP checksum");
    assert_eq!(&packet[28..], b"hello");
}

#[test]
fn ipv6_and_odd_lengths_sum_up_too() {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, "test").unwrap();
    writer
        .udp(noon(), Direction::Inbound, addr("[::1]:1"), addr("[2001:db8::2]:2"), b"abc")
        .unwrap();
    let packet = &packets(&file)[0];
    assert_eq!(packet[0] >> 4, 6);
    let mut sum = Sum::default();
    sum.bytes(&packet[8..40]);
    sum.word(17);
    sum.word(11);
    sum.bytes(&packet[40..]);
    assert_eq!(sum.checksum(), 0);
}

#[test]
fn a_tcp_conversation_counts_its_bytes() {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, "test").unwrap();
    let (a, b) = (addr("127.0.0.1:40000"), addr("127.0.0.1:5060"));
    writer.tcp(noon(), Direction::Outbound, a, b, b"12345").unwrap();
    writer.tcp(noon(), Direction::Inbound, b, a, b"123").unwrap();
    writer.tcp(noon(), Direction::Outbound, a, b, b"6").unwrap();
    writer.tcp_closed(noon(), Direction::Outbound, a, b).unwrap();
    let packets = packets(&file);
    let fields: Vec<(u32, u32, u8, usize)> = packets
        .iter()
        .map(|p| {
            assert_eq!(transport_sum_v4(p), 0, "TCP checksum");
            let word = |at: usize| u32::from_be_bytes(p[at..at + 4].try_into().unwrap());
            (word(24), word(28), p[33], p.len() - 40)
        })
        .collect();
    let (x, y) = (fields[0].0, fields[1].0);
    let expected = [
        (x, 0, SYN, 0),
        (y, x + 1, SYN | ACK, 0),
        (x + 1, y + 1, ACK, 0),
        (x + 1, y + 1, PSH | ACK, 5),
        (y + 1, x + 6, PSH | ACK, 3),
        (x + 6, y + 4, PSH | ACK, 1),
        (x + 7, y + 4, FIN | ACK, 0),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn large_writes_become_segments_and_connections_are_bounded() {
    let mut file = Vec::new();
    let config = Config { max_connections: 2 };
    let mut writer = Writer::with_config(&mut file, "test", config).unwrap();
    let server = addr("127.0.0.1:5060");
    for port in 1..=5 {
        let client = SocketAddr::new(server.ip(), port);
        writer.tcp(noon(), Direction::Inbound, client, server, &vec![b'x'; 150_000]).unwrap();
        assert!(writer.connections.len() <= 2 && writer.order.len() <= 2);
    }
    assert_eq!(packets(&file).len(), 5 * (3 + 3));
}

#[test]
fn the_file_is_whole_after_every_write() {
    #[derive(Default)]
    struct Pieces(Vec<Vec<u8>>);
    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::new(Pieces::default(), "test").unwrap();
    let (a, b) = (addr("127.0.0.1:1"), addr("127.0.0.1:2"));
    writer.udp(noon(), Direction::Outbound, a, b, &[7; 999]).unwrap();
    writer.tcp(noon(), Direction::Outbound, a, b, &[7; 99]).unwrap();
    for piece in writer.into_inner().0 {
        assert!(!blocks(&piece).is_empty(), "each write is a row of whole blocks");
    }
}
