//! The m-line of a bundle, told and heard (RFC 9143 §9.2, §15).

use super::*;
use crate::rtcp::{ReportBlock, RtcpWriter, SdesKind};
use crate::{Extension, Ssrc};

fn mid(id: u8, text: &str) -> Option<MidExtension> {
    Some(MidExtension { id, mid: text.to_owned() })
}

/// Sends packets and says which of them carried `audio` as element 3.
fn carried(s: &mut Session, now: Instant, packets: u32) -> Vec<bool> {
    let told = |data: &[u8]| {
        let packet = RtpPacket::parse(data).unwrap();
        assert_eq!(packet.payload(), [7; 160]);
        let told = packet.extension(3);
        assert!(told.is_none_or(|mid| mid == b"audio"));
        assert_eq!(told.is_some(), packet.raw_extension().is_some());
        told.is_some()
    };
    (0..packets)
        .map(|n| {
            let mut data = Vec::new();
            if n % 2 == 0 {
                s.send(now, PCMU, false, n * 160, &[7; 160], &mut data).unwrap();
            } else {
                let fill = |out: &mut Vec<u8>| {
                    out.extend([7; 160]);
                    true
                };
                s.send_with(now, PCMU, false, n * 160, &mut data, fill).unwrap();
            }
            told(&data)
        })
        .collect()
}

fn report(s: &mut Session, now: Instant, highest: u16) {
    let block = ReportBlock {
        ssrc: s.ssrc(),
        fraction_lost: 0,
        cumulative_lost: 0,
        highest_sequence: u32::from(highest),
        jitter: 0,
        last_sr: 0,
        delay_since_last_sr: 0,
    };
    let mut data = Vec::new();
    RtcpWriter::new(&mut data).receiver_report(Ssrc(7), &[block]).unwrap();
    s.handle(now, Input::Rtcp { from: rtcp_of(bob()), data: &data }).unwrap();
}

#[test]
fn the_mid_is_told_at_first_and_now_and_then_until_the_peer_has_heard_it() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    assert!(!carried(&mut s, now, 1)[0], "nobody asked for it");
    s.set_mid(mid(3, "audio"));
    let first = s.next_sequence();
    let told = carried(&mut s, now, 101);
    let which: Vec<_> = (0..told.len()).filter(|n| told[*n]).collect();
    assert_eq!(which, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 50, 100]);
    // Nine packets heard may be those before a loss; the tenth settles it.
    report(&mut s, now, first.0.wrapping_add(8));
    assert_eq!(carried(&mut s, now, 50).iter().filter(|t| **t).count(), 1);
    report(&mut s, now, first.0.wrapping_add(9));
    assert!(carried(&mut s, now, 200).iter().all(|t| !t));
    // The same again changes nothing; another SSRC is unknown to the peer.
    s.set_mid(mid(3, "audio"));
    assert!(!carried(&mut s, now, 1)[0]);
    s.renew_ssrc(now);
    assert!(carried(&mut s, now, 10).iter().all(|t| *t));
    s.set_mid(None);
    assert!(carried(&mut s, now, 60).iter().all(|t| !t));
}

#[test]
fn a_packet_of_another_m_line_is_not_taken() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    s.set_mid(mid(3, "audio"));
    let mut take = |sequence: u16, extensions: &[Extension<'_>]| {
        let (sequence, timestamp) = (SequenceNumber(sequence), RtpTimestamp(0));
        let header = RtpHeader { extensions, ..RtpHeader::new(PCMU, sequence, timestamp, Ssrc(9)) };
        let mut data = Vec::new();
        header.write(&[1; 160], &mut data).unwrap();
        s.receive(now, bob(), &data).map(|_| ())
    };
    let of = |data| Extension { id: 3, data };
    assert_eq!(take(1, &[of(b"video")]), Err(DropReason::OtherMid));
    assert_eq!(take(2, &[of(b"")]), Err(DropReason::OtherMid));
    // Those of ours begin a source as ever; who says nothing, or something else, is not refused.
    assert_eq!(take(3, &[of(b"audio")]), Err(DropReason::Probation));
    assert_eq!(take(4, &[]), Ok(()));
    assert_eq!(take(5, &[Extension { id: 4, data: b"video" }]), Ok(()));
    assert_eq!(s.stats().drops.other_mid, 2);
}

#[test]
fn reports_name_the_m_line_beside_the_cname() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    s.set_mid(mid(20, "a mid that is longer than one byte of header can say"));
    let mut data = Vec::new();
    s.send(now, PCMU, false, 0, &[7; 160], &mut data).unwrap();
    let packet = RtpPacket::parse(&data).unwrap();
    assert_eq!(packet.raw_extension().unwrap().0, 0x1000, "the two-byte form");
    assert_eq!(packet.extension(20).unwrap().len(), 52);
    let until = now + secs(10);
    let (sent, _) = run_until(&mut s, &mut now, until);
    assert!(!sent.is_empty());
    for (_, transmit) in sent {
        let parsed = parsed(&transmit.data);
        let sdes = parsed.iter().find_map(|p| match p {
            RtcpPacket::SourceDescription(sdes) => Some(*sdes),
            _ => None,
        });
        let items: Vec<_> = sdes.unwrap().chunks().flat_map(|c| c.items()).collect();
        assert_eq!(items[0].kind, SdesKind::Cname);
        assert_eq!((items[1].kind, items[1].text.len()), (SdesKind::Mid, 52));
    }
}

#[test]
fn what_no_header_extension_can_carry_is_not_told() {
    let now = Instant::now();
    for bad in [mid(0, "audio"), mid(3, ""), mid(3, &"m".repeat(256))] {
        assert!(!bad.as_ref().unwrap().is_valid());
        let mut s = session(now, bob(), 1);
        s.set_mid(bad);
        assert!(carried(&mut s, now, 3).iter().all(|t| !t));
    }
}
