//! SRTP side by side in one run: protect and unprotect packets of 160 and 1200 octets of payload, with
//! AES-CM-128-HMAC-SHA1-80 and AES-128-GCM, each library through its own API, replay protection on
//! where it has one. The rounds interleave, so that a change of clock speed or a neighbour's load falls
//! on all alike; the best round of each counts. The ratio of a profile is that of the whole mix: the
//! four times added up, the fastest peer's over ours; cell by cell it is in the table.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

mod libsrtp;
mod peers;

const ROUNDS: usize = 60;
const PACKETS: usize = 1000;
const SIZES: [usize; 2] = [160, 1200];

/// The two profiles that every contestant has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Suite {
    Cm,
    Gcm,
}

impl Suite {
    fn salt_len(self) -> usize {
        if self == Self::Cm { 14 } else { 12 }
    }
}

const KEY: [u8; 16] = *b"0123456789abcdef";
const SALT: [u8; 14] = *b"fedcba98765432";

/// A sender and a receiver under one key.
trait Contestant {
    /// Protects all packets; gives the time.
    fn protect(&mut self, packets: &mut [Vec<u8>]) -> Duration;
    /// Unprotects them.
    fn unprotect(&mut self, packets: &mut [Vec<u8>]) -> Duration;
}

fn packet(sequence: u16, payload: usize) -> Vec<u8> {
    // Room for what is added, as a sender's buffers have it.
    let mut packet = Vec::with_capacity(12 + payload + 32);
    packet.extend_from_slice(&[0x80, 96]);
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 7]);
    packet.resize(12 + payload, 0x55);
    packet
}

/// Nanoseconds a packet: protect, unprotect.
type Times = [f64; 2];

struct Entry {
    name: &'static str,
    run: Box<dyn FnMut(u16) -> Times>,
    best: Times,
}

fn entry(
    name: &'static str,
    payload: usize,
    mut contestant: Box<dyn Contestant>,
    suite: Suite,
) -> Entry {
    let run = move |first: u16| {
        let mut packets: Vec<Vec<u8>> =
            (0..PACKETS).map(|i| packet(first.wrapping_add(i as u16), payload)).collect();
        let protect = contestant.protect(&mut packets);
        let tag = if suite == Suite::Cm { 10 } else { 16 };
        assert_eq!(packets[PACKETS - 1].len(), 12 + payload + tag, "{name}");
        let unprotect = contestant.unprotect(&mut packets);
        for (i, p) in packets.iter().enumerate() {
            assert_eq!(*p, packet(first.wrapping_add(i as u16), payload), "{name}");
        }
        [protect, unprotect].map(|t| t.as_nanos() as f64 / PACKETS as f64)
    };
    Entry { name, run: Box::new(run), best: [f64::MAX; 2] }
}

fn timed(f: impl FnOnce()) -> Duration {
    let started = Instant::now();
    f();
    started.elapsed()
}

fn main() {
    peers::agree();
    let mut ratios = Vec::new();
    for suite in [Suite::Cm, Suite::Gcm] {
        let mut sums: Vec<(&'static str, f64)> = Vec::new();
        for payload in SIZES {
            let mut entries: Vec<Entry> = peers::all(suite)
                .into_iter()
                .map(|(name, contestant)| entry(name, payload, contestant, suite))
                .collect();
            entries.extend(libsrtp::entry(suite, payload));
            for round in 0..ROUNDS {
                let first = (round * PACKETS) as u16;
                for entry in &mut entries {
                    let times = (entry.run)(first);
                    for (best, time) in entry.best.iter_mut().zip(times) {
                        *best = best.min(time);
                    }
                }
            }
            println!(
                "\n{suite:?}, {payload} octets; best of {ROUNDS} interleaved rounds, ns a packet"
            );
            println!("{:<18} {:>10} {:>10} {:>8}", "", "protect", "unprotect", "ratio");
            let ours: f64 = entries[0].best.iter().sum();
            for (at, entry) in entries.iter().enumerate() {
                let [protect, unprotect] = entry.best;
                let ratio = (protect + unprotect) / ours;
                println!("{:<18} {protect:>10.1} {unprotect:>10.1} {ratio:>8.2}", entry.name);
                match sums.get_mut(at) {
                    Some((_, sum)) => *sum += protect + unprotect,
                    None => sums.push((entry.name, protect + unprotect)),
                }
            }
        }
        let (ours, peers) = sums.split_first().expect("tiny-rtp is the first");
        let fastest = peers.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are peers");
        ratios.push((suite, fastest.0, fastest.1 / ours.1));
    }
    println!();
    for (suite, name, _) in &ratios {
        println!("fastest peer {suite:?}: {name}");
    }
    for (suite, _, ratio) in ratios {
        let name = if suite == Suite::Cm { "cm" } else { "gcm" };
        println!("ratio srtp_{name} {ratio:.2}");
    }
}
