//! Chunks and messages of DCEP by themselves.

use super::dcep::{Dcep, Open};
use super::*;

#[test]
fn the_open_message_is_written_as_rfc8832_draws_it() {
    let open = Open {
        ordered: false,
        reliability: Reliability::Lifetime(Duration::from_millis(0x01020304)),
        priority: 0x0100,
        label: "ab".into(),
        protocol: "c".into(),
    };
    let wire = [3, 0x82, 1, 0, 1, 2, 3, 4, 0, 2, 0, 1, b'a', b'b', b'c'];
    assert_eq!(Dcep::Open(open.clone()).write(), wire);
    assert_eq!(Dcep::parse(&wire), Ok(Dcep::Open(open)));
    assert_eq!(Dcep::parse(&[2]), Ok(Dcep::Ack));
}

#[test]
fn bad_messages_of_dcep_are_refused() {
    let wire = [3, 0, 1, 0, 1, 2, 3, 4, 0, 2, 0, 1, b'a', b'b', b'c'];
    for length in 0..wire.len() {
        assert!(Dcep::parse(&wire[..length]).is_err(), "{length}");
    }
    for (at, octet) in [(0, 1), (0, 4), (1, 3), (1, 0x7f), (12, 0xff)] {
        let mut wire = wire;
        wire[at] = octet;
        assert!(Dcep::parse(&wire).is_err(), "{at}");
    }
}

#[test]
fn numbers_that_go_round_are_the_nearest() {
    let first = chunk::first_of(u32::MAX);
    assert_eq!(chunk::near(0, first), first + 1);
    assert_eq!(chunk::near(u32::MAX - 5, first), first - 5);
    assert_eq!(chunk::near16(2, 65_535), 65_538);
    assert_eq!(chunk::near16(65_533, 65_538), 65_533);
}

#[test]
fn sacks_and_resets_are_read_as_they_were_written() {
    let sack = chunk::Sack {
        cumulative: 7,
        window: 9,
        gaps: vec![(2, 3), (5, 5)],
        duplicates: vec![1, 2],
    };
    let mut packet = chunk::Header { source: 1, destination: 2, tag: 3 }.begin(100);
    sack.put(&mut packet);
    let reset =
        chunk::ReConfig::Outgoing { request: 1, response: 2, last_tsn: 3, streams: vec![9] };
    reset.put(&mut packet);
    chunk::seal(&mut packet);
    let (header, mut chunks) = chunk::Header::split(&packet).unwrap();
    assert_eq!(header, chunk::Header { source: 1, destination: 2, tag: 3 });
    let read = chunk::Sack::parse(chunks.next().unwrap().value).unwrap();
    assert_eq!(chunk::Sack { duplicates: vec![1, 2], ..read }, sack);
    let raw = chunks.next().unwrap();
    // One stream: 16 octets of parameter, 2 of stream, no padding that counts.
    assert_eq!(raw.whole.len(), 4 + 18);
    assert_eq!(chunk::ReConfig::parse(raw.value).collect::<Vec<_>>(), [reset]);
    packet[20] ^= 1;
    assert!(chunk::Header::split(&packet).is_none());
}

proptest! {
    #[test]
    fn what_dcep_reads_it_writes_again(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(dcep) = Dcep::parse(&octets) {
            prop_assert_eq!(Dcep::parse(&dcep.write()), Ok(dcep));
        }
    }
}
