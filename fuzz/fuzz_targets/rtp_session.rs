//! A session under arbitrary datagrams from a few addresses, with time passing: nothing panics,
//! tables stay bounded, what it sends is well-formed RTCP, and polling always ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_rtp::rtcp::{Compound, Size};
use tiny_rtp::{
    Input, NtpClock, PayloadType, Remote, Session, SessionConfig, SourcePolicy, WirePayload,
};
use tiny_sak::{Output, Rng};

fuzz_target!(|data: &[u8]| {
    let Some((&setup, mut rest)) = data.split_first() else { return };
    let address = |n: u8| SocketAddr::from(([192, 0, 2, n & 3], 4000));
    let mut now = Instant::now();
    let mut config = SessionConfig::new(NtpClock::elapsed_from(now), 8000);
    config.payloads = vec![WirePayload::media(PayloadType::PCMU, 8000)];
    config.remote = Some(Remote::new(address(0)));
    config.rtcp_mux = setup & 1 != 0;
    if setup & 2 != 0 {
        config.source_policy = SourcePolicy::Any;
    }
    config.max_sources = 4;
    let mut session = Session::new(now, config, Rng::from_seed(u64::from(setup)));
    // Records of: what, wait in 1/8 s, length, datagram.
    while let Some((&[what, wait, len], after)) = rest.split_first_chunk::<3>() {
        let (datagram, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(wait) * 125);
        let from = address(what >> 2);
        match what & 3 {
            0 | 1 => {
                let _ = session.receive(now, from, datagram);
                while session.next_held().is_some() {}
            }
            2 => {
                let _ = session.handle(now, Input::Rtcp { from, data: datagram });
            }
            _ if wait == 255 => session.end(now, None),
            _ => {
                let mut out = Vec::new();
                let _ = session.send(now, PayloadType::PCMU, false, 0, datagram, &mut out);
            }
        }
        loop {
            match session.poll(now) {
                Output::Transmit(t) => {
                    let compound = Compound::parse(&t.data, Size::Compound).expect("well-formed");
                    assert!(compound.packets().all(|p| p.is_ok()));
                    session.recycle(t.data);
                }
                Output::Event(_) => {}
                Output::Timeout(deadline) => {
                    assert!(deadline.is_none_or(|at| at > now));
                    break;
                }
            }
        }
        assert!(session.sources().count() <= 4);
    }
});
