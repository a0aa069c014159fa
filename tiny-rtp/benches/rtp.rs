//! What one RTP packet costs: `cargo bench -p tiny-rtp`. Without `--bench` it runs once, as a test.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;
use tiny_rtp::*;

fn session(now: Instant, seed: u64) -> Session {
    let mut config = SessionConfig::new(NtpClock::elapsed_from(now), 8000);
    config.payloads = vec![WirePayload::media(PayloadType::PCMU, 8000)];
    config.remote = "192.0.2.1:4000".parse().ok().map(Remote::new);
    Session::new(now, config, tiny_sak::Rng::from_seed(seed))
}

fn measure(name: &str, rounds: u32, mut work: impl FnMut(u32)) {
    let start = Instant::now();
    (0..rounds).for_each(&mut work);
    let ns = start.elapsed().as_nanos() as f64 / f64::from(rounds);
    println!("{name} {ns:.1} ns");
}

fn main() {
    let rounds = if std::env::args().any(|a| a == "--bench") { 10_000_000 } else { 1 };
    let now = Instant::now();
    let from = "192.0.2.1:4000".parse().expect("an address");
    let (mut alice, mut bob) = (session(now, 1), session(now, 2));
    let mut out = Vec::with_capacity(200);
    alice.send(now, PayloadType::PCMU, false, 0, &[0; 160], &mut out).expect("sent");
    let mut data = out.clone();
    measure("rtp_view", rounds, |_| {
        let packet = RtpPacket::parse(black_box(&data)).expect("a packet");
        black_box((packet.sequence(), packet.timestamp(), packet.payload().len()));
    });
    measure("rtp_send", rounds, |n| {
        out.clear();
        let ticks = n.wrapping_mul(160);
        let sent = alice.send(now, PayloadType::PCMU, false, ticks, black_box(&[0; 160]), &mut out);
        black_box(&sent);
    });
    measure("rtp_receive", rounds, |n| {
        data[2..4].copy_from_slice(&(n as u16).to_be_bytes());
        data[4..8].copy_from_slice(&n.wrapping_mul(160).to_be_bytes());
        let _ = black_box(bob.receive(now, from, &data));
    });
}
