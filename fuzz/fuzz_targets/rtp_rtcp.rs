//! Any octets as RTCP, compound and reduced-size: every packet, block, chunk and item is walked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_rtp::rtcp::{Compound, RtcpPacket, Size};

fuzz_target!(|data: &[u8]| {
    for size in [Size::Compound, Size::Reduced] {
        let Ok(compound) = Compound::parse(data, size) else { continue };
        for packet in compound.packets().flatten() {
            match packet {
                RtcpPacket::SenderReport(sr) => assert!(sr.blocks().count() <= 31),
                RtcpPacket::ReceiverReport(rr) => assert!(rr.blocks().count() <= 31),
                RtcpPacket::SourceDescription(sdes) => {
                    let items = sdes.chunks().flat_map(|c| c.items());
                    let octets: usize = items.map(|i| 2 + i.text.len()).sum();
                    assert!(octets <= data.len());
                }
                RtcpPacket::Bye(bye) => assert!(bye.sources().count() <= 31),
                _ => {}
            }
        }
    }
});
