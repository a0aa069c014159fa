use super::*;
use crate::{BuildError, RtpHeader};
use bytes::BytesMut;

fn header() -> RtpHeader<'static> {
    let payload_type = PayloadType::new(111).unwrap();
    RtpHeader::new(
        payload_type,
        SequenceNumber(0x1234),
        RtpTimestamp(0x0102_0304),
        Ssrc(0xdead_beef),
    )
}

#[test]
fn the_fixed_header_is_written_octet_by_octet_as_section_5_1_draws_it() {
    let mut out = Vec::new();
    RtpHeader { marker: true, ..header() }.write(&[9, 8, 7], &mut out).unwrap();
    let expected =
        [0x80, 0x80 | 111, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xde, 0xad, 0xbe, 0xef, 9, 8, 7];
    assert_eq!(out, expected);
}

#[test]
fn everything_at_once_is_written_and_read_back() {
    let csrcs = [Ssrc(1), Ssrc(2), Ssrc(3)];
    let extensions = [Extension { id: 1, data: &[0xaa] }, Extension { id: 14, data: &[1; 16] }];
    let mut out = BytesMut::with_capacity(128);
    let long = RtpHeader { csrcs: &csrcs, extensions: &extensions, padding: 4, ..header() };
    long.write(&[5; 10], &mut out).unwrap();
    assert_eq!(out[0], 0x80 | 0x20 | 0x10 | 3);
    assert_eq!(out[24..28], [0xbe, 0xde, 0, 5], "19 octets of elements fill five words");
    let view = RtpPacket::parse(&out).unwrap();
    assert_eq!(view.csrcs().collect::<Vec<_>>(), csrcs);
    assert_eq!(view.extensions().collect::<Vec<_>>(), extensions);
    assert_eq!(view.extension(14), Some(&[1u8; 16][..]));
    assert_eq!(view.extension(2), None);
    assert_eq!((view.payload(), view.padding()), (&[5u8; 10][..], 4));
    assert_eq!(&out[out.len() - 4..], [0, 0, 0, 4]);
}

#[test]
fn an_element_that_the_one_byte_form_cannot_carry_switches_to_the_two_byte_form() {
    for element in [
        Extension { id: 15, data: &[7] },
        Extension { id: 200, data: &[7] },
        Extension { id: 1, data: &[] },
        Extension { id: 1, data: &[3; 17] },
    ] {
        let mut out = Vec::new();
        let all = [Extension { id: 2, data: &[1, 2] }, element];
        RtpHeader { extensions: &all, ..header() }.write(&[1], &mut out).unwrap();
        assert_eq!(out[12..14], [0x10, 0x00]);
        let view = RtpPacket::parse(&out).unwrap();
        assert_eq!(view.extensions().collect::<Vec<_>>(), all);
        assert_eq!(view.payload(), [1]);
    }
}

#[test]
fn the_one_byte_example_of_rfc_8285_is_read_past_padding_and_stops_at_15() {
    // RFC 8285 §4.2: elements of 1, 2 and 4 octets with padding between; then id 15 and rubbish.
    let mut octets = vec![0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 5];
    octets
        .extend([0x10, 0xaa, 0x21, 1, 2, 0, 0, 0, 0x33, 4, 5, 6, 7, 0xf0, 0x10, 0xbb, 0, 0, 0, 0]);
    octets.push(0x77);
    let view = RtpPacket::parse(&octets).unwrap();
    let elements: Vec<_> = view.extensions().map(|e| (e.id, e.data.to_vec())).collect();
    assert_eq!(elements, [(1, vec![0xaa]), (2, vec![1, 2]), (3, vec![4, 5, 6, 7])]);
    assert_eq!(view.payload(), [0x77]);
}

#[test]
fn an_extension_of_another_profile_is_kept_raw() {
    let mut octets = vec![0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x12, 0x34, 0, 1];
    octets.extend([1, 2, 3, 4, 0x55]);
    let view = RtpPacket::parse(&octets).unwrap();
    assert_eq!(view.raw_extension(), Some((0x1234, &[1u8, 2, 3, 4][..])));
    assert_eq!(view.extensions().count(), 0);
    assert_eq!(view.payload(), [0x55]);
}

#[test]
fn an_extension_element_that_overruns_ends_the_list() {
    let mut octets = vec![0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1];
    octets.extend([0x10, 0xaa, 0x2f, 1]);
    let view = RtpPacket::parse(&octets).unwrap();
    assert_eq!(view.extensions().count(), 1);
}

#[test]
fn packets_that_break_the_rules_of_a_1_are_named() {
    let parse = |octets: &[u8]| RtpPacket::parse(octets).unwrap_err();
    let fixed = |first: u8| [first, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
    assert_eq!(parse(&[0x80; 11]), RtpError::Short(11));
    assert_eq!(parse(&fixed(0x40)), RtpError::Version(1));
    assert_eq!(parse(&fixed(0x00)), RtpError::Version(0));
    assert_eq!(parse(&fixed(0x8f)), RtpError::Csrc(15));
    assert_eq!(parse(&fixed(0x90)), RtpError::Extension(4));
    let mut extended = fixed(0x90).to_vec();
    extended.extend([0xbe, 0xde, 0xff, 0xff]);
    assert_eq!(parse(&extended), RtpError::Extension(0xffff * 4));
    assert_eq!(parse(&fixed(0xa0)), RtpError::Padding(0));
    for (count, good) in [(0u8, false), (1, true), (3, true), (4, false), (255, false)] {
        let mut padded = fixed(0xa0).to_vec();
        padded.extend([0, 0, count]);
        assert_eq!(RtpPacket::parse(&padded).is_ok(), good, "{count}");
    }
}

#[test]
fn a_header_alone_is_a_packet_with_an_empty_payload() {
    let octets = [0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
    assert!(RtpPacket::parse(&octets).unwrap().payload().is_empty());
}

#[test]
fn what_cannot_be_written_is_refused_and_writes_nothing() {
    let mut out = Vec::new();
    let csrcs = [Ssrc(1); 16];
    let refused = RtpHeader { csrcs: &csrcs, ..header() }.write(&[], &mut out);
    assert_eq!(refused, Err(BuildError::Csrcs(16)));
    let zero = [Extension { id: 0, data: &[1] }];
    let refused = RtpHeader { extensions: &zero, ..header() }.write(&[], &mut out);
    assert_eq!(refused, Err(BuildError::Extension { id: 0, len: 1 }));
    let long = [Extension { id: 1, data: &[1; 256] }];
    let refused = RtpHeader { extensions: &long, ..header() }.write(&[], &mut out);
    assert_eq!(refused, Err(BuildError::Extension { id: 1, len: 256 }));
    assert!(out.is_empty());
    let mut slice = [0u8; 20];
    let refused = header().write(&[0; 9], &mut &mut slice[..]);
    assert_eq!(refused, Err(BuildError::NoRoom { room: 20, need: 21 }));
    assert_eq!(slice, [0; 20]);
    assert!(header().write(&[0; 8], &mut &mut slice[..]).is_ok());
}

#[test]
fn writing_into_a_buffer_with_room_does_not_move_it() {
    let mut out = Vec::with_capacity(172);
    let before = out.as_ptr();
    header().write(&[0xd5; 160], &mut out).unwrap();
    assert_eq!((out.as_ptr(), out.capacity(), out.len()), (before, 172, 172));
}
