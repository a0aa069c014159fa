//! Any octets as an RTP packet: parsed or refused; what is parsed stays inside the datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_rtp::{PacketKind, RTP_HEADER_LEN, RtpPacket};

fuzz_target!(|data: &[u8]| {
    let _ = PacketKind::of(data);
    if let Ok(p) = RtpPacket::parse(data) {
        let elements: usize = p.extensions().map(|e| e.data.len()).sum();
        let parts = RTP_HEADER_LEN + p.csrcs().len() * 4 + elements + p.payload().len();
        assert!(parts + usize::from(p.padding()) <= data.len());
    }
});
