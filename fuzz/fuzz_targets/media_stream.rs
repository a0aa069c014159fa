//! A whole stream under any datagrams: a first octet of time and port, a second of length, then
//! the datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_media::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, AudioStream, CodecDescription, Component,
    Encoded, EventPayload, Fmtp, Input, MediaError, StreamCodec, StreamConfig,
};
use tiny_sak::{Output, Rng};

struct Linear(CodecDescription);
struct Coder;

impl AudioCodec for Linear {
    fn description(&self) -> &CodecDescription {
        &self.0
    }
    fn encoder(&self, _: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError> {
        Ok(Box::new(Coder))
    }
    fn decoder(&self, _: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError> {
        Ok(Box::new(Coder))
    }
}

impl AudioEncoder for Coder {
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError> {
        out.extend(pcm.iter().flat_map(|s| s.to_be_bytes()));
        Ok(Encoded::Packet)
    }
}

impl AudioDecoder for Coder {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        Some(payload.len() as u32)
    }
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        out.extend(payload.iter().map(|b| i16::from(*b) << 7));
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let codec: Arc<dyn AudioCodec> = Arc::new(Linear(CodecDescription {
        name: "L8",
        clock_rate: 8_000,
        rtpmap_channels: 1,
        payload_type: Some(0),
        format: AudioFormat::new(8_000, 1),
        ptime_ms: 20,
        fmtp: Fmtp::default(),
    }));
    let from = "192.0.2.1:4000".parse().expect("an address");
    let mut config = StreamConfig::new(StreamCodec::new(codec, 0, Fmtp::default()), 1, "fuzz");
    config.remote_rtp = Some(from);
    config.rtcp_mux = true;
    config.event_receive = vec![EventPayload { payload_type: 101, clock_rate: 8_000 }];
    let mut now = Instant::now();
    let mut stream = AudioStream::new(now, config, Rng::from_seed(1)).expect("a stream");
    let mut rest = data;
    while let [head, length, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at((*length as usize).min(tail.len()));
        rest = tail;
        now += Duration::from_millis(u64::from(head >> 1));
        let component = if head & 1 == 0 { Component::Rtp } else { Component::Rtcp };
        stream.handle(now, Input::Packet { from, component, data: datagram });
        loop {
            match stream.poll(now) {
                Output::Transmit(t) => stream.recycle(t.data),
                Output::Event(_) => {}
                Output::Timeout(at) => {
                    assert!(at.is_none_or(|at| at > now));
                    break;
                }
            }
        }
    }
});
