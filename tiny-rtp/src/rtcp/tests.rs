use super::*;
use crate::{NtpTime, RtpTimestamp, Ssrc};

fn block(ssrc: u32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: 64,
        cumulative_lost: -3,
        highest_sequence: 0x0001_fffe,
        jitter: 77,
        last_sr: 0xb705_2000,
        delay_since_last_sr: 0x0005_4000,
    }
}

fn info() -> SenderInfo {
    SenderInfo {
        ntp: NtpTime(0xb44d_b705_2000_0000),
        rtp: RtpTimestamp(0x1122_3344),
        packets: 10,
        octets: 1600,
    }
}

fn parse(octets: &[u8]) -> Result<Vec<Result<RtcpPacket<'_>, RtcpError>>, RtcpError> {
    Ok(Compound::parse(octets, Size::Compound)?.packets().collect())
}

#[test]
fn a_sender_report_is_written_as_section_6_4_1_draws_it() {
    let mut out = Vec::new();
    RtcpWriter::new(&mut out).sender_report(Ssrc(0xa1b2_c3d4), &info(), &[block(5)]).unwrap();
    let expected = [
        0x81, 200, 0, 12, 0xa1, 0xb2, 0xc3, 0xd4, // header
        0xb4, 0x4d, 0xb7, 0x05, 0x20, 0, 0, 0, // NTP
        0x11, 0x22, 0x33, 0x44, 0, 0, 0, 10, 0, 0, 0x06, 0x40, // RTP, counts
        0, 0, 0, 5, 64, 0xff, 0xff, 0xfd, 0, 1, 0xff, 0xfe, 0, 0, 0, 77, // block
        0xb7, 0x05, 0x20, 0, 0, 5, 0x40, 0,
    ];
    assert_eq!(out, expected);
    let packets = parse(&out).unwrap();
    let Ok(RtcpPacket::SenderReport(sr)) = packets[0] else { panic!() };
    assert_eq!((sr.ssrc, sr.info), (Ssrc(0xa1b2_c3d4), info()));
    assert_eq!(sr.blocks().collect::<Vec<_>>(), [block(5)]);
}

#[test]
fn the_loss_count_is_clamped_to_24_bits_and_keeps_its_sign() {
    for (lost, read) in [(0x7f_ffff + 1, 0x7f_ffff), (-0x80_0001, -0x80_0000), (-1, -1), (5, 5)] {
        let bytes = ReportBlock { cumulative_lost: lost, ..block(1) }.to_bytes();
        assert_eq!(ReportBlock::parse(&bytes).cumulative_lost, read);
    }
}

#[test]
fn a_whole_compound_is_written_and_read_back_in_order() {
    let mut out = Vec::new();
    let mut writer = RtcpWriter::new(&mut out);
    writer.receiver_report(Ssrc(7), &[block(1), block(2)]).unwrap();
    let items = [
        SdesText { kind: SdesKind::Cname, text: "user@host" },
        SdesText { kind: SdesKind::Tool, text: "tiny" },
    ];
    writer.sdes(Ssrc(7), &items).unwrap();
    writer.app(3, Ssrc(7), *b"test", &[1, 2, 3]).unwrap();
    writer.feedback(FeedbackKind::Payload, 1, Ssrc(7), Ssrc(1), &[]).unwrap();
    writer.feedback(FeedbackKind::Transport, 1, Ssrc(7), Ssrc(1), &[0, 9, 0, 0]).unwrap();
    writer.bye(&[Ssrc(7), Ssrc(8)], Some("bye bye")).unwrap();
    let packets = parse(&out).unwrap();
    assert_eq!(packets.len(), 6);
    let Ok(RtcpPacket::ReceiverReport(rr)) = packets[0] else { panic!() };
    assert_eq!(rr.blocks().map(|b| b.ssrc).collect::<Vec<_>>(), [Ssrc(1), Ssrc(2)]);
    let Ok(RtcpPacket::SourceDescription(sdes)) = packets[1] else { panic!() };
    let chunk = sdes.chunks().next().unwrap();
    assert_eq!((chunk.ssrc, chunk.cname()), (Ssrc(7), Some(&b"user@host"[..])));
    assert_eq!(
        chunk.items().map(|i| i.kind).collect::<Vec<_>>(),
        [SdesKind::Cname, SdesKind::Tool]
    );
    let Ok(RtcpPacket::App(app)) = packets[2] else { panic!() };
    assert_eq!((app.subtype, app.name, app.data), (3, *b"test", &[1u8, 2, 3, 0][..]));
    let Ok(RtcpPacket::Feedback(pli)) = packets[3] else { panic!() };
    assert_eq!((pli.kind, pli.format, pli.media), (FeedbackKind::Payload, 1, Ssrc(1)));
    let Ok(RtcpPacket::Feedback(nack)) = packets[4] else { panic!() };
    assert_eq!((nack.kind, nack.control), (FeedbackKind::Transport, &[0u8, 9, 0, 0][..]));
    let Ok(RtcpPacket::Bye(bye)) = packets[5] else { panic!() };
    assert_eq!(bye.sources().collect::<Vec<_>>(), [Ssrc(7), Ssrc(8)]);
    assert_eq!(bye.reason, Some(&b"bye bye"[..]));
}

#[test]
fn sdes_chunks_end_on_word_boundaries_for_every_length() {
    for len in 0..260usize {
        let text = "x".repeat(len);
        let mut out = Vec::new();
        let mut writer = RtcpWriter::new(&mut out);
        writer.receiver_report(Ssrc(1), &[]).unwrap();
        writer.sdes(Ssrc(1), &[SdesText { kind: SdesKind::Cname, text: &text }]).unwrap();
        assert_eq!(out.len() % 4, 0);
        let packets = parse(&out).unwrap();
        let Ok(RtcpPacket::SourceDescription(sdes)) = packets[1] else { panic!() };
        let cname = sdes.chunks().next().unwrap().cname().unwrap();
        assert_eq!(cname.len(), len.min(255), "longer texts are cut");
    }
}

#[test]
fn the_private_extension_item_and_several_chunks_are_kept() {
    // §6.5.8: prefix length, prefix, value. Two chunks, the second without items.
    let mut octets = vec![0x80, RR, 0, 1, 0, 0, 0, 1];
    octets.extend([0x82, SDES, 0, 5]);
    octets.extend([0, 0, 0, 1, 8, 5, 2, b'a', b'b', b'c', b'd', 0]);
    octets.extend([0, 0, 0, 2, 0, 0, 0, 0]);
    let packets = parse(&octets).unwrap();
    let Ok(RtcpPacket::SourceDescription(sdes)) = packets[1] else { panic!() };
    let chunks: Vec<_> = sdes.chunks().collect();
    assert_eq!((chunks[0].ssrc, chunks[1].ssrc), (Ssrc(1), Ssrc(2)));
    let item = chunks[0].items().next().unwrap();
    assert_eq!((item.kind, item.text), (SdesKind::Private, &b"\x02abcd"[..]));
    assert_eq!(chunks[1].items().count(), 0);
}

#[test]
fn the_header_rules_of_a_2_are_enforced() {
    let rr = [0x80, RR, 0, 1, 0, 0, 0, 1];
    let join = |parts: &[&[u8]]| parts.concat();
    assert!(parse(&rr).is_ok());
    assert_eq!(parse(&rr[..3]).unwrap_err(), RtcpError::Short(3));
    assert_eq!(parse(&[0x40, RR, 0, 1, 0, 0, 0, 1]).unwrap_err(), RtcpError::Version(1));
    let bye = [0x81, BYE, 0, 1, 0, 0, 0, 1];
    assert_eq!(parse(&bye).unwrap_err(), RtcpError::First(BYE));
    assert_eq!(parse(&rr[..6]).unwrap_err(), RtcpError::Length);
    assert_eq!(parse(&join(&[&rr, &[0x80, BYE, 0]])).unwrap_err(), RtcpError::Length);
    assert_eq!(parse(&join(&[&rr, &[0x80, BYE, 0, 9]])).unwrap_err(), RtcpError::Length);
    assert_eq!(parse(&join(&[&rr, &[0, BYE, 0, 0]])).unwrap_err(), RtcpError::Version(0));
    assert_eq!(parse(&join(&[&rr, &[0x80, 96, 0, 0]])).unwrap_err(), RtcpError::Type(96));
    // Padding: on the first of two, and by a count that is zero, odd or too large.
    let padded = [0xa0, RR, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4];
    assert!(parse(&padded).is_ok());
    assert_eq!(parse(&join(&[&padded, &bye])).unwrap_err(), RtcpError::Padding);
    for count in [0, 3, 12, 255] {
        let mut bad = padded;
        bad[11] = count;
        assert_eq!(parse(&bad).unwrap_err(), RtcpError::Padding, "{count}");
    }
}

#[test]
fn padding_on_the_last_packet_is_no_part_of_it() {
    let octets = [0x80, RR, 0, 1, 0, 0, 0, 1, 0xa1, BYE, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4];
    let packets = parse(&octets).unwrap();
    let Ok(RtcpPacket::Bye(bye)) = packets[1] else { panic!() };
    assert_eq!((bye.sources().collect::<Vec<_>>(), bye.reason), (vec![Ssrc(9)], None));
}

#[test]
fn reduced_size_packets_need_no_report_in_front() {
    let pli = [0x81, PSFB, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(Compound::parse(&pli, Size::Compound).unwrap_err(), RtcpError::First(PSFB));
    let reduced = Compound::parse(&pli, Size::Reduced).unwrap();
    assert!(matches!(reduced.packets().next(), Some(Ok(RtcpPacket::Feedback(_)))));
    assert_eq!(reduced.as_bytes(), pli);
}

#[test]
fn a_short_packet_is_an_error_in_its_place_and_hides_nothing() {
    // An SR whose count promises a block that is not there, then a BYE, then an unknown type.
    let mut octets = vec![0x81, SR, 0, 6];
    octets.extend([0; 24]);
    octets.extend([0x81, BYE, 0, 1, 0, 0, 0, 3]);
    octets.extend([0x85, 207, 0, 1, 1, 2, 3, 4]);
    let packets = parse(&octets).unwrap();
    assert_eq!(packets[0].as_ref().unwrap_err(), &RtcpError::Truncated(SR));
    assert!(matches!(packets[1], Ok(RtcpPacket::Bye(_))));
    let Ok(RtcpPacket::Unknown(unknown)) = packets[2] else { panic!() };
    assert_eq!((unknown.packet_type, unknown.count, unknown.body), (207, 5, &[1u8, 2, 3, 4][..]));
}

#[test]
fn counts_that_lie_are_truncated_packets() {
    let rr = [0x80, RR, 0, 1, 0, 0, 0, 1];
    for packet in [
        &[0x9f, SDES, 0, 1, 0, 0, 0, 1][..],
        &[0x81, SDES, 0, 2, 0, 0, 0, 1, 1, 200, b'a', b'b'],
        // A chunk whose list of items has no end.
        &[0x81, SDES, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b'],
        &[0x9f, BYE, 0, 1, 0, 0, 0, 1],
        &[0x81, BYE, 0, 2, 0, 0, 0, 1, 9, b'a', b'b', b'c'],
        &[0x80, APP, 0, 1, 0, 0, 0, 1],
        &[0x80, RTPFB, 0, 1, 0, 0, 0, 1],
    ] {
        let octets = [&rr[..], packet].concat();
        let packets = parse(&octets).unwrap();
        assert_eq!(packets[1].as_ref().unwrap_err(), &RtcpError::Truncated(packet[1]));
    }
}

#[test]
fn a_buffer_without_room_is_refused() {
    let mut slice = [0u8; 10];
    let mut room = &mut slice[..];
    let mut writer = RtcpWriter::new(&mut room);
    assert!(writer.receiver_report(Ssrc(1), &[block(1)]).is_err());
    assert!(writer.receiver_report(Ssrc(1), &[]).is_ok());
    assert_eq!(slice[..8], [0x80, RR, 0, 1, 0, 0, 0, 1]);
}
