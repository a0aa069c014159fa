//! Nothing is allocated per packet once a stream has warmed up, with loss, reordering, resampling
//! on both sides, time-stretching, RTCP and a recorder; nor in a conference.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_media::*;
use tiny_sak::{Output, Rng};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

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
        Some(payload.len() as u32 / 2)
    }
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        out.extend(payload.chunks_exact(2).map(|b| i16::from_be_bytes([b[0], b[1]])));
        Ok(())
    }
}

struct Wave(AudioFormat, u32);

impl Source for Wave {
    fn format(&self) -> AudioFormat {
        self.0
    }
    fn read(&mut self, out: &mut [i16]) -> usize {
        for s in out.iter_mut() {
            self.1 = self.1.wrapping_add(1);
            *s = ((self.1 % 200) as i16 - 100) * 80;
        }
        out.len()
    }
}

struct Count(AudioFormat, u64);

impl Sink for Count {
    fn format(&self) -> AudioFormat {
        self.0
    }
    fn write(&mut self, pcm: &[i16]) {
        self.1 += pcm.len() as u64;
    }
}

/// The only thread of its process (`harness = false`): a test runner's own would be counted too.
fn main() {
    ten_seconds_of_a_call_allocate_nothing();
    eprintln!("test ten_seconds_of_a_call_allocate_nothing ... ok");
    ten_seconds_of_a_conference_allocate_nothing();
    eprintln!("test ten_seconds_of_a_conference_allocate_nothing ... ok");
}

fn ten_seconds_of_a_conference_allocate_nothing() {
    let t0 = Instant::now();
    let mut mixer = Mixer::new(MixerConfig::default()).unwrap();
    let mut ends = Vec::new();
    for (id, rate) in [8_000, 16_000, 44_100, 48_000].into_iter().enumerate() {
        let format = AudioFormat::new(rate, 1);
        let (to_mixer, from_stream) = tiny_media::mixer::leg(format, Duration::from_millis(20));
        let (to_stream, from_mixer) = tiny_media::mixer::leg(format, Duration::from_millis(20));
        mixer.add(id as u64, Box::new(from_stream), Box::new(to_stream)).unwrap();
        let block = vec![0; format.samples(Duration::from_millis(20))];
        ends.push((Wave(format, 0), to_mixer, from_mixer, block));
    }
    let mut run = |from_ms: u64, to_ms: u64| {
        for ms in from_ms..to_ms {
            mixer.poll(t0 + Duration::from_millis(ms));
            if ms % 20 == 7 {
                for (wave, to_mixer, from_mixer, block) in &mut ends {
                    wave.read(block);
                    to_mixer.write(block);
                    from_mixer.read(block);
                }
            }
        }
    };
    run(0, 5_000);
    let region = Region::new(ALLOCATOR);
    run(5_000, 15_000);
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
}

fn ten_seconds_of_a_call_allocate_nothing() {
    let t0 = Instant::now();
    let codec: Arc<dyn AudioCodec> = Arc::new(Linear(CodecDescription {
        name: "L16",
        clock_rate: 8_000,
        rtpmap_channels: 1,
        payload_type: None,
        format: AudioFormat::new(8_000, 1),
        ptime_ms: 20,
        fmtp: Fmtp::default(),
    }));
    let addresses = ["192.0.2.1:4000".parse().unwrap(), "192.0.2.2:4000".parse().unwrap()];
    let mut rng = Rng::from_seed(9);
    let mut streams = [0usize, 1].map(|who| {
        let send = StreamCodec::new(codec.clone(), 96, Fmtp::default());
        let mut config = StreamConfig::new(send, who as u32 + 1, "cname");
        config.remote_rtp = Some(addresses[1 - who]);
        config.rtcp_mux = true;
        let mut s = AudioStream::new(t0, config, rng.fork()).unwrap();
        let format = AudioFormat::new(48_000, 1);
        s.set_source(t0, Some(Box::new(Wave(format, 0)))).unwrap();
        s.set_sink(t0, Some(Box::new(Count(format, 0)))).unwrap();
        let stereo = AudioFormat::new(16_000, 2);
        s.set_recorder(t0, Some(Box::new(Count(stereo, 0)))).unwrap();
        s
    });
    // One packet may be kept back on the way, so that the next overtakes it.
    let mut late: [Option<Vec<u8>>; 2] = [None, None];
    let mut packets = 0u64;
    let mut run = |from_ms: u64, to_ms: u64| {
        for ms in from_ms..to_ms {
            let now = t0 + Duration::from_millis(ms);
            for who in 0..2 {
                loop {
                    let transmit = match streams[who].poll(now) {
                        Output::Transmit(t) => t,
                        Output::Event(_) => continue,
                        Output::Timeout(_) => break,
                    };
                    packets += 1;
                    let from = addresses[who];
                    let mut data = transmit.data;
                    if rng.chance(0.1) {
                        std::mem::swap(late[who].get_or_insert_default(), &mut data);
                    } else if !rng.chance(0.1) {
                        let component = Component::Rtp;
                        let input = Input::Packet { from, component, data: &data };
                        streams[1 - who].handle(now, input);
                        if let Some(held) = &mut late[who] {
                            let input = Input::Packet { from, component, data: held };
                            streams[1 - who].handle(now, input);
                            held.clear();
                        }
                    }
                    streams[who].recycle(data);
                }
            }
        }
        packets
    };
    let before = run(0, 60_000);
    assert!(ALLOCATOR.stats().allocations > 0, "the counting allocator is not in use");
    let region = Region::new(ALLOCATOR);
    let after = run(60_000, 70_000);
    let change = region.change();
    assert!(after - before >= 1000);
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
    let stats = streams[0].stats(t0 + Duration::from_secs(70));
    assert!(stats.concealed_ms > 1000 && stats.reordered > 50, "{stats:?}");
}
