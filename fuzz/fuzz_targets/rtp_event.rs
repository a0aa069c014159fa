//! Any telephone-event payloads at any time: each press that starts ends once, memory is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};
use tiny_rtp::{EventReceiver, EventReceiverConfig, RtpTimestamp, ToneEvent};
use tiny_sak::Output;

fuzz_target!(|data: &[u8]| {
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    let mut now = Instant::now();
    let mut down = 0i32;
    // Records of: wait in ms, timestamp, one or two reports.
    for record in data.chunks(13) {
        let Some((&[wait, a, b, c, d], payload)) = record.split_first_chunk::<5>() else { break };
        now += Duration::from_millis(u64::from(wait));
        receiver.receive(now, RtpTimestamp(u32::from_be_bytes([a, b, c, d])), payload);
        while let Output::Event(event) = receiver.poll(now) {
            match event {
                ToneEvent::Started { .. } => down += 1,
                ToneEvent::Ended { .. } => down -= 1,
                _ => {}
            }
        }
        assert_eq!(down, i32::from(receiver.is_active()));
    }
});
