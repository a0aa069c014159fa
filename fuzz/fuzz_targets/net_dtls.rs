//! DTLS: two associations in a handshake, some of whose datagrams are changed, dropped or made up.
//! Whatever arrives, nothing panics, and two that connect have the same keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tiny_net::dtls::{Association, Config, Event, Fingerprint, Identity, Role};
use tiny_sak::{Output, Rng};

static IDENTITIES: LazyLock<[Identity; 2]> =
    LazyLock::new(|| [Identity::generate().expect("a key"), Identity::generate().expect("a key")]);

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(fingerprint) = Fingerprint::parse(text)
    {
        assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Ok(fingerprint));
    }
    let [a, b] = &*IDENTITIES;
    let at: [SocketAddr; 2] = [([192, 0, 2, 1], 4000).into(), ([192, 0, 2, 2], 4000).into()];
    let mut config = Config::default();
    config.cookies = data.first().is_some_and(|octet| octet & 1 == 0);
    let config = Arc::new(config);
    let mut now = Instant::now();
    let active = Association::new(
        now,
        Role::Active,
        a.clone(),
        vec![b.fingerprint()],
        Some(at[1]),
        config.clone(),
        Rng::from_seed(1),
    );
    let passive = Association::new(
        now,
        Role::Passive,
        b.clone(),
        vec![a.fingerprint()],
        None,
        config,
        Rng::from_seed(2),
    );
    let mut ends = [active.expect("a config"), passive.expect("a config")];
    let mut keys: [Option<Vec<u8>>; 2] = [None, None];
    let mut program = data.iter().copied();
    for _ in 0..200 {
        let mut idle = true;
        for end in 0..2 {
            match ends[end].poll(now) {
                Output::Transmit(mut packet) => {
                    idle = false;
                    match program.next().map(|op| op % 8) {
                        Some(0) => continue,
                        Some(1) => {
                            let n = usize::from(program.next().unwrap_or(0)) % packet.data.len();
                            packet.data[n] ^= program.next().unwrap_or(1);
                        }
                        Some(2) => ends[1 - end].handle(now, at[end], &packet.data),
                        Some(3) => {
                            let length = usize::from(program.next().unwrap_or(0));
                            let made: Vec<u8> = program.by_ref().take(length).collect();
                            ends[1 - end].handle(now, at[end], &made);
                        }
                        Some(4) => packet.data.truncate(usize::from(program.next().unwrap_or(0))),
                        _ => {}
                    }
                    ends[1 - end].handle(now, at[end], &packet.data);
                }
                Output::Event(Event::Connected(session)) => {
                    idle = false;
                    keys[end] = Some(session.keying().to_vec());
                }
                Output::Event(_) => idle = false,
                Output::Timeout(_) => {}
            }
        }
        if idle {
            now += Duration::from_secs(1);
            ends.iter_mut().for_each(|end| end.handle_timeout(now));
        }
    }
    if let [Some(a), Some(b)] = keys {
        assert_eq!(a, b);
    }
});
