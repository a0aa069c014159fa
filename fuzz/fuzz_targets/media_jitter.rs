//! The jitter buffer under any sequence of packets and pulls.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};
use tiny_media::jitter::{Arrival, Decoder, JitterBuffer, JitterConfig};
use tiny_media::{AudioDecoder, AudioFormat, MediaError};

struct Linear;

impl AudioDecoder for Linear {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        payload.len().is_multiple_of(2).then_some(payload.len() as u32 / 2)
    }
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        out.extend(payload.chunks_exact(2).map(|b| i16::from_be_bytes([b[0], b[1]])));
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let decoder = |payload_type, rate, channels| Decoder {
        payload_type,
        clock_rate: rate,
        format: AudioFormat::new(rate, channels),
        decoder: Box::new(Linear),
    };
    let config = JitterConfig { max_packets: 32, ..JitterConfig::default() };
    let mut buffer = JitterBuffer::new(config, vec![decoder(0, 8_000, 1), decoder(1, 48_000, 2)]);
    let mut now = Instant::now();
    let mut out = Vec::new();
    // Ten octets a step: time, what, sequence, timestamp, length, frames.
    for step in data.chunks_exact(10) {
        now += Duration::from_millis(u64::from(step[0]));
        let sequence = u16::from_be_bytes([step[2], step[3]]);
        let timestamp = u32::from_be_bytes([step[4], step[5], step[6], step[7]]);
        let payload = vec![step[8]; usize::from(step[8]) * 4];
        let ssrc = u32::from(step[1] >> 6);
        if step[1] & 0x20 != 0 {
            buffer.skip(now, ssrc, sequence);
        } else {
            let payload_type = step[1] & 3;
            let payload = &payload[..];
            let packet = Arrival { ssrc, sequence, timestamp, payload_type, payload };
            buffer.insert(now, &packet);
        }
        out.clear();
        buffer.pull(now, usize::from(step[9]) * 8, &mut out);
        assert!(buffer.stats().waiting <= 32);
    }
});
