//! Measures offer, answer and taking the answer, one after the other on one core, and the memory
//! that a negotiator keeps while its call is up. Run with
//! `cargo run --release -p tiny-sdp --example negotiation_cost`.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use tiny_sdp::{Config, Error, LocalCodec, LocalMedia, LocalSession, Negotiator};

fn main() -> Result<(), Error> {
    let config = Arc::new(Config::default());
    let codecs =
        || vec![LocalCodec::opus(), LocalCodec::g722(), LocalCodec::pcmu(), LocalCodec::pcma()];
    let media = |port| {
        let mut audio = LocalMedia::audio(port, codecs()).with_telephone_events();
        audio.ptime = Some(20);
        audio.rtcp_mux = true;
        vec![audio]
    };
    let alice = LocalSession::new("192.0.2.1", media(4000));
    let bob = LocalSession::new("192.0.2.2", media(6000));
    let call = |id| -> Result<(Negotiator, Negotiator, usize), Error> {
        let mut a = Negotiator::new(config.clone(), id, 1);
        let mut b = Negotiator::new(config.clone(), id, 1);
        let offer = a.offer(&alice)?;
        let answer = b.answer(offer.as_bytes(), &bob)?;
        let session = a.accept_answer(answer.sdp.as_bytes())?;
        black_box((&answer.session, &session));
        Ok((a, b, offer.len()))
    };

    const ROUNDS: u32 = 100_000;
    let mut best = f64::MAX;
    let mut bytes = 0;
    for _ in 0..5 {
        let start = Instant::now();
        for id in 0..ROUNDS {
            bytes = call(id.into())?.2;
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(ROUNDS));
    }
    println!("offer + answer + accept_answer: {:.2} us (offer of {bytes} bytes)", best * 1e6);

    const CALLS: usize = 50_000;
    let mut kept = Vec::with_capacity(CALLS);
    let before = resident();
    for id in 0..CALLS as u64 {
        let (a, b, _) = call(id)?;
        kept.push((a, b));
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("memory a negotiator: {} bytes", (after - before) / (2 * CALLS));
    }
    black_box(kept);
    Ok(())
}

/// Resident bytes of this process, on Linux.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_ascii_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}
