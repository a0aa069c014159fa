//! Data channels: two ends, some of whose packets are changed, dropped or made up. Whatever arrives,
//! nothing panics and no message is other than one that was sent, unless the packets were changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_net::data::dcep::Dcep;
use tiny_net::data::{ChannelOptions, Channels, Config, Event, Message, Peer, Reliability};
use tiny_sak::{Output, Rng};

/// Puts the right checksum into a packet, as an authenticated peer would.
fn seal(packet: &mut [u8]) {
    if packet.len() < 12 {
        return;
    }
    packet[8..12].fill(0);
    let mut crc = !0u32;
    for byte in packet.iter() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
}

fuzz_target!(|data: &[u8]| {
    if let Ok(dcep) = Dcep::parse(data) {
        assert_eq!(Dcep::parse(&dcep.write()), Ok(dcep));
    }
    let mut now = Instant::now();
    let config = Arc::new(Config::default());
    let end = |active, seed| {
        let rng = Rng::from_seed(seed);
        Channels::new(now, active, Peer::default(), config.clone(), rng).expect("a config")
    };
    let mut ends = [end(true, 1), end(false, 2)];
    let mut options = ChannelOptions::new("x");
    let first = data.first().copied().unwrap_or(0);
    options.ordered = first & 1 == 0;
    if first & 2 != 0 {
        options.reliability = Reliability::Retransmits(1);
    }
    let id = ends[0].open(now, options).expect("a channel");
    for n in 0..20u8 {
        let message = Message::Binary(vec![n; 700 * usize::from(n)].into());
        ends[0].send(now, id, message).expect("room");
    }
    let (mut program, mut changed) = (data.iter().copied(), false);
    for _ in 0..400 {
        let mut idle = true;
        for end in 0..2 {
            match ends[end].poll(now) {
                Output::Transmit(mut packet) => {
                    idle = false;
                    match program.next().map(|op| op % 8) {
                        Some(0) => continue,
                        Some(1) => {
                            let n = usize::from(program.next().unwrap_or(0)) % packet.len();
                            packet[n] ^= program.next().unwrap_or(1);
                            seal(&mut packet);
                            changed = true;
                        }
                        Some(2) => ends[1 - end].handle(now, &packet),
                        Some(3) => {
                            // A header that fits, and chunks that are made up.
                            let length = usize::from(program.next().unwrap_or(0));
                            let mut made = packet[..12].to_vec();
                            made.extend(program.by_ref().take(length));
                            seal(&mut made);
                            ends[1 - end].handle(now, &made);
                            changed = true;
                        }
                        Some(4) => packet.truncate(usize::from(program.next().unwrap_or(0))),
                        _ => {}
                    }
                    ends[1 - end].handle(now, &packet);
                }
                Output::Event(Event::Readable(id)) => {
                    idle = false;
                    while let Some(message) = ends[end].read(now, id) {
                        if let Message::Binary(data) = message
                            && !changed
                        {
                            let n = data.first().copied().unwrap_or(0);
                            assert!(data.len() == 700 * usize::from(n));
                            assert!(data.iter().all(|byte| *byte == n));
                        }
                    }
                }
                Output::Event(_) => idle = false,
                Output::Timeout(_) => {}
            }
        }
        if idle {
            now += Duration::from_millis(700);
            if program.next() == Some(9) {
                ends[0].close(now, id);
            }
            ends.iter_mut().for_each(|end| end.handle_timeout(now));
        }
    }
});
