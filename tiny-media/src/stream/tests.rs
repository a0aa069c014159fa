//! Two streams and a network between them, in virtual time from a seed.

use super::*;
use crate::plugin::{AudioCodec, AudioFormat, Fmtp};
use crate::ring::{self, Pace};
use crate::testing::{Linear, Tape, ToneSource, octets, share_of_tone, tone};
use crate::tone::{dtmf_frequencies, strongest_tone, tone_level_db};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiny_rtp::{PacketKind, RtpHeader, RtpTimestamp, SequenceNumber};

const ALICE: &str = "192.0.2.1:4000";
const BOB: &str = "192.0.2.2:5000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn config(codec: &Arc<dyn AudioCodec>, remote: &str, ssrc: u32) -> StreamConfig {
    let mut c = StreamConfig::new(StreamCodec::new(codec.clone(), 96, Fmtp::default()), ssrc, "x");
    c.remote_rtp = Some(address(remote));
    c.rtcp_mux = true;
    c
}

#[derive(Default)]
struct Net {
    loss: f64,
    jitter_ms: u64,
}

/// Alice (0) and Bob (1).
struct Pair {
    start: Instant,
    now: Instant,
    streams: [AudioStream; 2],
    addresses: [SocketAddr; 2],
    net: Net,
    rng: Rng,
    wire: BTreeMap<(Instant, u64), (usize, Component, Vec<u8>)>,
    sent: u64,
    events: [Vec<(Duration, StreamEvent)>; 2],
    // What each has sent: when, on which component, the bytes.
    log: [Vec<(Duration, Component, Vec<u8>)>; 2],
}

impl Pair {
    fn new(a: StreamConfig, b: StreamConfig) -> Self {
        let now = Instant::now();
        let mut rng = Rng::from_seed(42);
        let streams = [a, b].map(|c| AudioStream::new(now, c, rng.fork()).unwrap());
        Self {
            start: now,
            now,
            streams,
            addresses: [address(ALICE), address(BOB)],
            net: Net::default(),
            rng,
            wire: BTreeMap::new(),
            sent: 0,
            events: Default::default(),
            log: Default::default(),
        }
    }

    fn symmetric() -> Self {
        let codec = Linear::codec("L16", 16_000, 1);
        Self::new(config(&codec, BOB, 1), config(&codec, ALICE, 2))
    }

    fn tone(&mut self, who: usize, rate: u32, hz: f64) {
        let source = ToneSource { format: AudioFormat::new(rate, 1), hz, position: 0 };
        self.streams[who].set_source(self.now, Some(Box::new(source))).unwrap();
    }

    fn tape(&mut self, who: usize, rate: u32) -> Tape {
        let tape = Tape::new(rate, 1);
        self.streams[who].set_sink(self.now, Some(Box::new(tape.clone()))).unwrap();
        tape
    }

    fn drain(&mut self, who: usize) -> Option<Instant> {
        loop {
            match self.streams[who].poll(self.now) {
                Output::Transmit(t) => {
                    self.log[who].push((self.now - self.start, t.component, t.data.clone()));
                    if !self.rng.chance(self.net.loss) {
                        let late = self.rng.below(self.net.jitter_ms * 1000 + 1);
                        let at = self.now + ms(30) + Duration::from_micros(late);
                        self.sent += 1;
                        let entry = (1 - who, t.component, t.data.clone());
                        self.wire.insert((at, self.sent), entry);
                    }
                    self.streams[who].recycle(t.data);
                }
                Output::Event(e) => self.events[who].push((self.now - self.start, e)),
                Output::Timeout(at) => return at,
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let mut next = end;
            for who in 0..2 {
                if let Some(at) = self.drain(who) {
                    assert!(at > self.now, "a deadline that is not ahead");
                    next = next.min(at);
                }
            }
            if let Some((key, _)) = self.wire.first_key_value() {
                next = next.min(key.0);
            }
            self.now = next;
            if self.now >= end {
                return;
            }
            while let Some(e) = self.wire.first_entry()
                && e.key().0 <= self.now
            {
                let (to, component, data) = e.remove();
                let from = self.addresses[1 - to];
                self.streams[to].handle(self.now, Input::Packet { from, component, data: &data });
            }
            (0..2).for_each(|w| self.streams[w].handle(self.now, Input::Timeout));
        }
    }

    fn digits(&self, who: usize) -> String {
        let digit = |(_, e): &(Duration, StreamEvent)| match e {
            StreamEvent::Dtmf { digit, .. } => Some(*digit),
            _ => None,
        };
        self.events[who].iter().filter_map(digit).collect()
    }

    fn rtp_sent(&self, who: usize) -> Vec<(Duration, RtpPacket<'_>)> {
        let rtp = self.log[who].iter().filter(|(_, _, d)| PacketKind::of(d) == PacketKind::Rtp);
        rtp.map(|(at, _, d)| (*at, RtpPacket::parse(d).unwrap())).collect()
    }
}

#[test]
fn a_tone_arrives_through_loss_jitter_and_two_resamplers() {
    let mut p = Pair::symmetric();
    p.net = Net { loss: 0.1, jitter_ms: 40 };
    p.tone(0, 48_000, 440.0);
    let tape = p.tape(1, 44_100);
    p.run(Duration::from_secs(30));
    let heard = tape.heard();
    let seconds = heard.len() as f64 / 44_100.0;
    assert!((29.9..=30.1).contains(&seconds), "{seconds}");
    let settled = &heard[2 * 44_100..];
    let tone = strongest_tone(settled, 44_100).unwrap();
    assert!((tone.frequency / 440.0 - 1.0).abs() < 0.01, "{tone:?}");
    assert!(share_of_tone(settled, 44_100, 440.0) > 0.85);
    let s = p.streams[1].stats(p.now);
    assert!((120..=190).contains(&s.lost), "{s:?}");
    assert!((2_000..6_000).contains(&s.concealed_ms), "{s:?}");
    assert!(s.buffer_ms < 90.0 && s.jitter_ms > 5.0, "{s:?}");
    assert!((1.5..4.0).contains(&s.mos), "{s:?}");
    assert!((s.output_level_db + 15.3).abs() < 3.0, "{s:?}");
    let a = p.streams[0].stats(p.now);
    assert_eq!(a.tx_packets, 1500);
    assert!((a.input_level_db + 15.3).abs() < 0.5);
    // The peer's reports tell loss and round trip.
    assert!(a.remote_loss.is_some_and(|l| l > 0.03), "{a:?}");
    assert!(a.rtt_ms.is_some_and(|r| (60.0..=150.0).contains(&r)), "{a:?}");
    assert!(p.events[1].iter().any(|(_, e)| matches!(e, StreamEvent::Started { .. })));
}

#[test]
fn a_clean_line_has_full_marks_and_no_concealment() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    p.tone(1, 8_000, 1000.0);
    let (at_bob, at_alice) = (p.tape(1, 16_000), p.tape(0, 8_000));
    p.run(Duration::from_secs(10));
    for who in 0..2 {
        let s = p.streams[who].stats(p.now);
        assert_eq!((s.lost, s.late, s.concealed_ms, s.rejected), (0, 0, 0, 0), "{s:?}");
        assert_eq!((s.tx_packets, s.rx_packets), (500, 499), "{s:?}");
        assert!(s.mos > 4.2, "{s:?}");
        assert_eq!((s.tx_skipped_ms, s.rx_skipped_ms), (0, 0));
    }
    assert_eq!(share_of_tone(&at_bob.heard()[16_000..], 16_000, 440.0), 1.0);
    assert_eq!(share_of_tone(&at_alice.heard()[8_000..], 8_000, 1000.0), 1.0);
    // One packet each 20 ms, sequence and timestamp without a gap.
    let sent = p.rtp_sent(0);
    assert!(sent[0].1.marker() && !sent[1].1.marker());
    for (i, w) in sent.windows(2).enumerate() {
        assert_eq!(w[1].0, ms(20 * (i as u64 + 1)));
        assert_eq!(w[1].1.sequence(), w[0].1.sequence().next());
        assert_eq!(w[1].1.timestamp() - w[0].1.timestamp(), 320);
    }
}

#[test]
fn digits_travel_as_events_both_ways_and_through_loss() {
    let mut p = Pair::symmetric();
    let event = EventPayload { payload_type: 101, clock_rate: 16_000 };
    for who in 0..2 {
        let mut c = p.streams[who].config().clone();
        c.event_send = Some(event);
        c.event_receive = vec![event];
        p.streams[who].reconfigure(p.now, c).unwrap();
    }
    p.tone(0, 16_000, 440.0);
    p.net = Net { loss: 0.1, jitter_ms: 20 };
    p.run(ms(500));
    p.streams[0].send_dtmf(p.now, "42#", DtmfVia::Rfc4733, 100, 60).unwrap();
    p.streams[1].send_dtmf(p.now, "1,D*", DtmfVia::Rfc4733, 100, 60).unwrap();
    p.run(Duration::from_secs(4));
    assert_eq!((p.digits(1).as_str(), p.digits(0).as_str()), ("42#", "1D*"));
    let mut durations = p.events[1].iter().filter_map(|(_, e)| match e {
        StreamEvent::Dtmf { duration_ms, via: DtmfVia::Rfc4733, .. } => Some(*duration_ms),
        _ => None,
    });
    assert!(durations.all(|d| (80..=100).contains(&d)), "{:?}", p.events[1]);
    for who in 0..2 {
        assert_eq!(p.events[who].iter().filter(|e| e.1 == StreamEvent::DtmfSent).count(), 1);
    }
    // The pause was kept.
    let at = |d| {
        let is = |e: &&(Duration, StreamEvent)| matches!(e.1, StreamEvent::Dtmf { digit, .. } if digit == d);
        p.events[0].iter().find(is).unwrap().0
    };
    assert!(at('D') - at('1') > ms(1000));
}

#[test]
fn digits_travel_in_the_sound() {
    let mut p = Pair::symmetric();
    let tape = p.tape(1, 16_000);
    p.tone(0, 16_000, 300.0);
    p.run(ms(1000));
    p.streams[0].send_dtmf(p.now, "5", DtmfVia::Inband, 200, 60).unwrap();
    p.run(ms(1000));
    let heard = tape.heard();
    let (low, high) = dtmf_frequencies('5').unwrap();
    let is_digit = |b: &&[i16]| {
        tone_level_db(b, 16_000, low) > -14.0 && tone_level_db(b, 16_000, high) > -12.0
    };
    let blocks = heard.chunks_exact(320).filter(is_digit).count();
    assert!((8..=11).contains(&blocks), "{blocks}");
}

#[test]
fn digits_that_cannot_be_sent_are_refused_with_the_reason() {
    let mut p = Pair::symmetric();
    let a = &mut p.streams[0];
    let refusal = |r: Result<(), MediaError>| r.unwrap_err().to_string();
    let e = refusal(a.send_dtmf(p.now, "1", DtmfVia::Rfc4733, 100, 60));
    assert!(e.contains("telephone-event"), "{e}");
    let e = refusal(a.send_dtmf(p.now, "1x", DtmfVia::Inband, 100, 60));
    assert!(e.contains("'x'"), "{e}");
    let e = refusal(a.send_dtmf(p.now, &"1".repeat(65), DtmfVia::Inband, 100, 60));
    assert!(e.contains("64"), "{e}");
}

#[test]
fn hold_sends_nothing_but_rtcp_and_resume_goes_on_in_sequence() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    let tape = p.tape(1, 16_000);
    p.run(Duration::from_secs(2));
    let with = |p: &Pair, who: usize, direction| StreamConfig {
        direction,
        ..p.streams[who].config().clone()
    };
    for who in 0..2 {
        let c = with(&p, who, Direction::Inactive);
        p.streams[who].reconfigure(p.now, c).unwrap();
    }
    let held_from = p.now - p.start;
    p.run(Duration::from_secs(10));
    let held_to = p.now - p.start;
    for who in 0..2 {
        let c = with(&p, who, Direction::SendRecv);
        p.streams[who].reconfigure(p.now, c).unwrap();
    }
    p.run(Duration::from_secs(2));
    let during = |at: Duration| at > held_from && at < held_to;
    let rtp = p.rtp_sent(0);
    assert!(rtp.iter().all(|(at, _)| !during(*at)));
    let rtcp = |d: &[u8]| PacketKind::of(d) == PacketKind::Rtcp;
    assert!(p.log[0].iter().any(|(at, _, d)| during(*at) && rtcp(d)), "no RTCP on hold");
    let after = rtp.iter().position(|(at, _)| *at >= held_to).unwrap();
    let (before, resumed) = (&rtp[after - 1].1, &rtp[after].1);
    assert_eq!(resumed.sequence(), before.sequence().next());
    assert_eq!(resumed.ssrc(), before.ssrc());
    assert!(resumed.marker());
    // The media clock has gone on by ten seconds.
    let ticks = resumed.timestamp() - before.timestamp();
    assert!((ticks - 160_000).abs() <= 640, "{ticks}");
    // Silence on hold, sound afterwards, and the tape did not stop.
    let heard = tape.heard();
    assert!(heard.len() >= 16_000 * 139 / 10);
    assert!(heard[16_000 * 3..16_000 * 11].iter().all(|s| *s == 0));
    assert_eq!(share_of_tone(&heard[heard.len() - 24_000..], 16_000, 440.0), 1.0);
    assert_eq!(p.streams[1].stats(p.now).lost, 0);
}

#[test]
fn a_new_codec_and_payload_type_take_over_without_a_break() {
    let (narrow, wide) = (Linear::codec("narrow", 8_000, 1), Linear::codec("wide", 16_000, 1));
    let mut a = config(&narrow, BOB, 1);
    let mut b = config(&narrow, ALICE, 2);
    b.receive.push(StreamCodec::new(wide.clone(), 97, Fmtp::default()));
    let mut p = Pair::new(a.clone(), b);
    p.tone(0, 48_000, 440.0);
    let tape = p.tape(1, 48_000);
    p.run(Duration::from_secs(3));
    a.send = Some(StreamCodec::new(wide, 97, Fmtp::default()));
    p.streams[0].reconfigure(p.now, a).unwrap();
    p.run(Duration::from_secs(3));
    let rtp = p.rtp_sent(0);
    assert_eq!(rtp.len(), 300);
    assert!(rtp.windows(2).all(|w| w[1].1.sequence() == w[0].1.sequence().next()));
    assert!(rtp.iter().all(|(_, r)| r.ssrc() == rtp[0].1.ssrc()));
    let switched = p.events[1].iter().find_map(|(_, e)| match e {
        StreamEvent::CodecSwitched { payload_type, name, clock_rate } => {
            Some((*payload_type, *name, *clock_rate))
        }
        _ => None,
    });
    assert_eq!(switched, Some((97, "wide", 16_000)));
    let heard = tape.heard();
    assert!(share_of_tone(&heard[48_000..], 48_000, 440.0) > 0.97);
    assert_eq!(p.streams[1].stats(p.now).lost, 0);
}

#[test]
fn a_codec_that_refuses_leaves_the_stream_as_it_was() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    let tape = p.tape(1, 16_000);
    let mut c = p.streams[0].config().clone();
    let other = Linear::codec("other", 8_000, 1);
    c.send = Some(StreamCodec::new(other, 97, Fmtp("refuse=1".into())));
    c.direction = Direction::Inactive;
    assert!(p.streams[0].reconfigure(p.now, c).is_err());
    p.run(Duration::from_secs(2));
    assert_eq!(share_of_tone(&tape.heard()[16_000..], 16_000, 440.0), 1.0);
}

#[test]
fn a_peer_behind_a_nat_is_followed_after_it_has_proved_itself() {
    let mut p = Pair::symmetric();
    p.tone(1, 16_000, 440.0);
    let nat = address("198.51.100.7:61000");
    p.addresses[1] = nat;
    p.run(Duration::from_secs(2));
    let moved =
        p.events[0].iter().any(|(_, e)| *e == StreamEvent::RemoteAddressChanged { to: nat });
    assert!(moved, "{:?}", p.events[0]);
    assert_eq!(p.streams[0].remote(), Some(nat));
}

#[test]
fn silence_of_the_peer_is_told_once_and_again_after_it_spoke() {
    let mut p = Pair::symmetric();
    for who in 0..2 {
        let mut c = p.streams[who].config().clone();
        c.media_timeout = Some(Duration::from_secs(3));
        p.streams[who].reconfigure(p.now, c).unwrap();
    }
    p.net.loss = 1.0;
    p.run(Duration::from_secs(10));
    let told = |p: &Pair| {
        let is = |e: &&(Duration, StreamEvent)| e.1 == StreamEvent::MediaTimeout;
        p.events[0].iter().filter(is).map(|e| e.0).collect::<Vec<_>>()
    };
    assert_eq!(told(&p), [Duration::from_secs(3)]);
    p.net.loss = 0.0;
    p.run(Duration::from_secs(1));
    p.net.loss = 1.0;
    p.run(Duration::from_secs(10));
    assert_eq!(told(&p).len(), 2);
}

#[test]
fn a_stalled_owner_sends_no_storm_and_the_timestamps_tell_the_gap() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    p.tape(1, 16_000);
    p.run(Duration::from_secs(1));
    let before = p.rtp_sent(0).len();
    p.now += ms(1000);
    p.drain(0);
    let burst = p.rtp_sent(0).len() - before;
    assert_eq!(burst, 3);
    p.run(ms(100));
    let rtp = p.rtp_sent(0);
    let ticks = rtp[rtp.len() - 1].1.timestamp() - rtp[before - 1].1.timestamp();
    let expected = (ms(1100).as_millis() * 16) as i32;
    assert!((ticks - expected).abs() <= 640, "{ticks} {expected}");
    assert!(rtp[before + 3].1.marker());
    let s = p.streams[0].stats(p.now);
    assert!((900..=1000).contains(&s.tx_skipped_ms), "{s:?}");
    assert!(p.streams[1].stats(p.now).rx_skipped_ms > 500);
}

#[test]
fn devices_set_the_pace_and_drift_does_not_matter() {
    // Alice's sound card is 200 ppm fast, Bob's is 200 ppm slow.
    let mut p = Pair::symmetric();
    let f = AudioFormat::new(16_000, 1);
    let (mut mic, source) = ring::source(f, ms(200), Pace::Device);
    p.streams[0].set_source(p.now, Some(Box::new(source))).unwrap();
    let (sink, mut speaker) = ring::sink(f, ms(200), Pace::Device);
    p.streams[1].set_sink(p.now, Some(Box::new(sink))).unwrap();
    let (mut made, mut heard) = (0.0f64, Vec::new());
    let mut position = 0;
    let mut owed = 0.0f64;
    let mut fill = (usize::MAX, 0);
    for step in 0..60_000u32 {
        made += 160.0 * (1.0 + 200e-6);
        let n = made as usize - position;
        assert_eq!(mic.write(&tone(16_000, 440.0, position, n)), n);
        position += n;
        owed += 160.0 * (1.0 - 200e-6);
        let mut block = vec![0; owed as usize];
        owed -= block.len() as f64;
        speaker.read_all(&mut block);
        heard.extend(block);
        if heard.len() > 48_000 * 20 {
            heard.drain(..48_000);
        }
        if step > 500 {
            fill = (fill.0.min(speaker.available()), fill.1.max(speaker.available()));
        }
        p.run(ms(10));
    }
    assert_eq!((mic.dropped(), speaker.dropped()), (0, 0));
    // Ten minutes: the loudspeaker never ran dry after it had started, and never piled up.
    assert!(speaker.missing() < 16_000 / 5, "{}", speaker.missing());
    assert!(fill.1 <= 16 * 60, "{fill:?}");
    let s = p.streams[1].stats(p.now);
    assert!(s.buffer_ms < 80.0, "{s:?}");
    assert!(s.concealed_ms < 500, "{s:?}");
    assert_eq!((s.lost, s.late), (0, 0), "{s:?}");
    assert!(share_of_tone(&heard, 16_000, 440.0) > 0.99);
    let sent = p.streams[0].stats(p.now);
    assert!((30_000..=30_010).contains(&sent.tx_packets), "{sent:?}");
}

#[test]
fn a_device_that_takes_much_at_a_time_gets_more_to_take() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    let (sink, mut speaker) = ring::sink(AudioFormat::new(16_000, 1), ms(500), Pace::Device);
    p.streams[1].set_sink(p.now, Some(Box::new(sink))).unwrap();
    let mut block = [0; 16 * 85];
    for _ in 0..100 {
        p.run(ms(85));
        speaker.read_all(&mut block);
    }
    let early = speaker.missing();
    for _ in 0..200 {
        p.run(ms(85));
        speaker.read_all(&mut block);
    }
    assert_eq!(speaker.missing(), early);
    assert!(speaker.available() < 16 * 150, "{}", speaker.available());
    let s = p.streams[1].stats(p.now);
    assert!(s.concealed_ms < 300, "{s:?} {:?}", p.streams[1].receiver.buffer.stats());
}

#[test]
fn a_device_that_goes_silent_does_not_stop_the_packets() {
    let mut p = Pair::symmetric();
    let (mut mic, source) = ring::source(AudioFormat::new(16_000, 1), ms(200), Pace::Device);
    p.streams[0].set_source(p.now, Some(Box::new(source))).unwrap();
    for _ in 0..100 {
        mic.write(&[100; 160]);
        p.run(ms(10));
    }
    let before = p.rtp_sent(0).len();
    assert!((49..=51).contains(&before), "{before}");
    p.run(Duration::from_secs(3));
    let stalled = p.rtp_sent(0).len() - before;
    assert!((120..=160).contains(&stalled), "{stalled}");
    drop(mic);
    p.run(Duration::from_secs(1));
    assert!(p.events[0].iter().any(|e| e.1 == StreamEvent::SourceEnded));
}

#[test]
fn the_end_of_a_source_is_told_once_and_silence_follows() {
    let mut p = Pair::symmetric();
    let (mut w, source) = ring::source(AudioFormat::new(8_000, 1), ms(1000), Pace::Timer);
    w.write(&tone(8_000, 440.0, 0, 8_000));
    w.finish();
    p.streams[0].set_source(p.now, Some(Box::new(source))).unwrap();
    p.run(Duration::from_secs(3));
    let ends: Vec<_> =
        p.events[0].iter().filter(|e| e.1 == StreamEvent::SourceEnded).map(|e| e.0).collect();
    assert_eq!(ends.len(), 1);
    assert!((980..=1020).contains(&ends[0].as_millis()), "{ends:?}");
    assert_eq!(p.rtp_sent(0).len(), 150);
}

#[test]
fn mute_sends_silence_and_comes_back() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    let tape = p.tape(1, 16_000);
    p.run(ms(1000));
    p.streams[0].set_muted(true);
    p.run(ms(1000));
    p.streams[0].set_muted(false);
    p.run(ms(1000));
    let heard = tape.heard();
    assert!(heard[16_000 * 12 / 10..16_000 * 19 / 10].iter().all(|s| *s == 0));
    assert_eq!(share_of_tone(&heard[16_000 * 23 / 10..], 16_000, 440.0), 1.0);
    assert_eq!(p.rtp_sent(0).len(), 150);
}

struct Gain(i16);

impl Processor for Gain {
    fn process(&mut self, _: AudioFormat, pcm: &mut [i16]) {
        pcm.iter_mut().for_each(|s| *s /= self.0);
    }
}

#[test]
fn processors_work_on_their_side() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    let tape = p.tape(1, 16_000);
    p.streams[0].add_processor(Side::Capture, Box::new(Gain(2)));
    p.streams[1].add_processor(Side::Playback, Box::new(Gain(5)));
    p.run(Duration::from_secs(2));
    let level = strongest_tone(&tape.heard()[16_000..], 16_000).unwrap().level_db;
    assert!((level - (-15.26 - 20.0)).abs() < 0.3, "{level}");
}

#[test]
fn the_recorder_has_what_is_sent_on_the_left_and_what_is_heard_on_the_right() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    p.tone(1, 8_000, 1000.0);
    p.tape(0, 48_000);
    let tape = Tape::new(24_000, 2);
    p.streams[0].set_recorder(p.now, Some(Box::new(tape.clone()))).unwrap();
    p.run(Duration::from_secs(4));
    // Hold for two seconds: silence on both sides, in time.
    let mut c = p.streams[0].config().clone();
    c.direction = Direction::Inactive;
    p.streams[0].reconfigure(p.now, c.clone()).unwrap();
    p.run(Duration::from_secs(2));
    c.direction = Direction::SendRecv;
    p.streams[0].reconfigure(p.now, c).unwrap();
    p.run(Duration::from_secs(2));
    p.streams[0].end(p.now);
    let both = tape.heard();
    let seconds = both.len() as f64 / 48_000.0;
    assert!((7.8..=8.1).contains(&seconds), "{seconds}");
    let side = |c: usize| both.iter().skip(c).step_by(2).copied().collect::<Vec<i16>>();
    let (left, right) = (side(0), side(1));
    let part =
        |v: &[i16], from: f64, to: f64| v[(from * 24e3) as usize..(to * 24e3) as usize].to_vec();
    for (v, hz) in [(&left, 440.0), (&right, 1000.0)] {
        assert_eq!(share_of_tone(&part(v, 0.5, 3.9), 24_000, hz), 1.0, "{hz}");
        assert!(part(v, 4.3, 5.7).iter().all(|s| *s == 0), "{hz}");
        assert!(share_of_tone(&part(v, 6.4, 7.7), 24_000, hz) > 0.97, "{hz}");
    }
}

#[test]
fn the_end_is_a_bye_and_then_nothing() {
    let mut p = Pair::symmetric();
    p.tone(0, 16_000, 440.0);
    p.run(Duration::from_secs(1));
    p.streams[0].end(p.now);
    let sent = p.log[0].len();
    p.run(Duration::from_secs(5));
    let last = &p.log[0][sent..];
    assert_eq!(last.len(), 1, "only the BYE");
    assert_eq!(PacketKind::of(&last[0].2), PacketKind::Rtcp);
    assert!(last[0].2.windows(2).any(|w| w[1] == 203));
    assert!(p.events[1].iter().any(|e| matches!(e.1, StreamEvent::RemoteBye { .. })));
    assert!(matches!(p.streams[0].poll(p.now), Output::Timeout(None)));
}

#[test]
fn rtcp_goes_to_its_own_port_without_rtcp_mux() {
    let codec = Linear::codec("L16", 8_000, 1);
    let mut a = config(&codec, BOB, 1);
    a.rtcp_mux = false;
    let mut s = AudioStream::new(Instant::now(), a, Rng::from_seed(1)).unwrap();
    let mut now = Instant::now();
    let end = now + Duration::from_secs(10);
    let mut control = Vec::new();
    while now < end {
        match s.poll(now) {
            Output::Transmit(t) => {
                if t.component == Component::Rtcp {
                    control.push(t.to);
                }
                s.recycle(t.data);
            }
            Output::Event(_) => {}
            Output::Timeout(at) => now = at.unwrap(),
        }
    }
    assert!(!control.is_empty() && control.iter().all(|to| *to == address("192.0.2.2:5001")));
}

#[test]
fn bundled_streams_name_their_m_line_and_are_heard() {
    let mut pair = Pair::symmetric();
    for stream in &mut pair.streams {
        let mut config = stream.config().clone();
        config.mid = Some(MidExtension { id: 4, mid: "0".into() });
        stream.reconfigure(pair.now, config).unwrap();
    }
    pair.tone(0, 16_000, 440.0);
    let tape = pair.tape(1, 16_000);
    pair.run(ms(2_000));
    let sent = pair.rtp_sent(0);
    assert!(sent[..10].iter().all(|(_, p)| p.extension(4) == Some(b"0")));
    assert!(sent[10..50].iter().all(|(_, p)| p.raw_extension().is_none()));
    assert!(share_of_tone(&tape.heard()[16_000..], 16_000, 440.0) > 0.9);
    // Bob was told of another m-line: he takes none of it.
    let mut config = pair.streams[1].config().clone();
    config.mid = Some(MidExtension { id: 4, mid: "1".into() });
    let before = pair.streams[1].stats(pair.now);
    pair.streams[1].reconfigure(pair.now, config.clone()).unwrap();
    let mut other = pair.streams[0].config().clone();
    other.mid = Some(MidExtension { id: 4, mid: "2".into() });
    pair.streams[0].reconfigure(pair.now, other).unwrap();
    pair.run(ms(100));
    let after = pair.streams[1].stats(pair.now);
    assert!(after.rejected - before.rejected >= 4, "{after:?}");
    config.mid = Some(MidExtension { id: 0, mid: "1".into() });
    let refused = pair.streams[1].reconfigure(pair.now, config).unwrap_err();
    assert!(refused.to_string().contains("mid"), "{refused}");
}

#[test]
fn comfort_noise_and_strangers_are_no_sound() {
    let mut p = Pair::symmetric();
    p.run(ms(100));
    let from = address(BOB);
    let send = |pt: u8, n: u16, payload: &[u8], p: &mut Pair| {
        let pt = tiny_rtp::PayloadType::new(pt).unwrap();
        let header =
            RtpHeader::new(pt, SequenceNumber(n), RtpTimestamp(u32::from(n) * 320), Ssrc(77));
        let mut data = Vec::new();
        header.write(payload, &mut data).unwrap();
        let now = p.now;
        p.streams[0].handle(now, Input::Packet { from, component: Component::Rtp, data: &data });
    };
    for n in 0..100 {
        let (pt, payload) = if n % 10 == 5 { (13, vec![40]) } else { (96, octets(&[0; 320])) };
        send(pt, n, &payload, &mut p);
        p.run(ms(20));
    }
    send(55, 100, &[0; 10], &mut p);
    let s = p.streams[0].stats(p.now);
    assert_eq!((s.lost, s.rejected), (0, 1), "{s:?}");
    assert!(s.concealed_ms < 40, "{s:?}");
}

proptest::proptest! {
    #[test]
    fn no_datagram_breaks_a_stream(
        datagrams in proptest::collection::vec(
            (proptest::collection::vec(proptest::num::u8::ANY, 0..100), 0u16..5, proptest::bool::ANY, 0u64..60),
            0..60,
        ),
    ) {
        let mut p = Pair::symmetric();
        let tape = p.tape(0, 48_000);
        for (bytes, n, rtcp, wait) in datagrams {
            let mut data = bytes;
            if n > 0 && data.len() >= 12 {
                // Near enough to be taken for RTP of the peer.
                (data[0], data[1]) = (0x80, 96);
                data[2..4].copy_from_slice(&n.to_be_bytes());
                data[8..12].copy_from_slice(&[0, 0, 0, 2]);
            }
            let component = if rtcp { Component::Rtcp } else { Component::Rtp };
            let input = Input::Packet { from: address(BOB), component, data: &data };
            let now = p.now;
            p.streams[0].handle(now, input);
            p.run(ms(wait));
        }
        drop(tape);
    }
}
