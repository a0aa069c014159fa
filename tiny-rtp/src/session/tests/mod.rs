//! Sessions under test: a harness with virtual time, and scenarios by theme.

mod conflicts;
mod control;
mod media;
mod mid;
mod nat;

use super::*;
use crate::rtcp::{Compound, RtcpPacket, Size};
use crate::{NtpClock, NtpTime, RtpHeader, RtpPacket};
use std::time::Duration;

const PCMU: PayloadType = PayloadType::PCMU;

fn events_type() -> PayloadType {
    PayloadType::new(101).unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn alice() -> SocketAddr {
    addr("192.0.2.1:4000")
}

fn bob() -> SocketAddr {
    addr("192.0.2.2:5000")
}

fn rtcp_of(rtp: SocketAddr) -> SocketAddr {
    Remote::new(rtp).rtcp
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn config(now: Instant, remote: SocketAddr) -> SessionConfig {
    let clock = NtpClock::new(now, NtpTime(0xe000_0000 << 32));
    let mut config = SessionConfig::new(clock, 8000);
    config.payloads =
        vec![WirePayload::media(PCMU, 8000), WirePayload::events(events_type(), 8000)];
    config.remote = Some(Remote::new(remote));
    config
}

fn session(now: Instant, remote: SocketAddr, seed: u64) -> Session {
    Session::new(now, config(now, remote), Rng::from_seed(seed))
}

/// A packet of a peer that is no session.
fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut out = Vec::new();
    RtpHeader::new(PCMU, SequenceNumber(sequence), RtpTimestamp(timestamp), Ssrc(ssrc))
        .write(&[0xff; 160], &mut out)
        .unwrap();
    out
}

/// Feeds a run of packets 20 ms apart and returns how many came out, held ones included.
fn feed(
    s: &mut Session,
    now: &mut Instant,
    from: SocketAddr,
    ssrc: u32,
    first: u16,
    n: u16,
) -> u32 {
    let mut out = 0;
    for i in 0..n {
        let sequence = first.wrapping_add(i);
        let data = packet(ssrc, sequence, u32::from(sequence) * 160);
        out += u32::from(s.receive(*now, from, &data).is_ok());
        while let Some(held) = s.next_held() {
            assert_eq!(held.packet().unwrap().ssrc(), Ssrc(ssrc));
            out += 1;
            s.recycle(held.data);
        }
        *now += ms(20);
    }
    out
}

/// Everything that a session wants just now.
fn drain(s: &mut Session, now: Instant) -> (Vec<Transmit>, Vec<Event>, Option<Instant>) {
    let (mut transmits, mut events) = (Vec::new(), Vec::new());
    loop {
        match s.poll(now) {
            Output::Transmit(t) => transmits.push(t),
            Output::Event(e) => events.push(e),
            Output::Timeout(at) => return (transmits, events, at),
        }
    }
}

/// Lets time pass until `until`, and returns what was sent and when, and the events.
fn run_until(
    s: &mut Session,
    now: &mut Instant,
    until: Instant,
) -> (Vec<(Instant, Transmit)>, Vec<Event>) {
    let (mut sent, mut all) = (Vec::new(), Vec::new());
    loop {
        let (transmits, events, deadline) = drain(s, *now);
        sent.extend(transmits.into_iter().map(|t| (*now, t)));
        all.extend(events);
        match deadline {
            Some(at) if at <= until => {
                assert!(at > *now, "a deadline that is not ahead would spin");
                *now = at;
                s.handle(*now, Input::Timeout).unwrap();
            }
            _ => {
                *now = until;
                return (sent, all);
            }
        }
    }
}

fn parsed(data: &[u8]) -> Vec<RtcpPacket<'_>> {
    Compound::parse(data, Size::Compound).unwrap().packets().map(Result::unwrap).collect()
}

/// Two sessions and a line with a fixed delay and a dice.
struct Call {
    now: Instant,
    sides: [(SocketAddr, Session); 2],
    delay: Duration,
    loss: f64,
    dice: Rng,
    // When, to which side, on which component, what.
    line: Vec<(Instant, usize, Component, Vec<u8>)>,
    events: [Vec<Event>; 2],
    rtcp_sent: [u32; 2],
}

impl Call {
    fn new(seed: u64, delay: Duration, loss: f64) -> Self {
        let now = Instant::now();
        Self {
            now,
            sides: [(alice(), session(now, bob(), seed)), (bob(), session(now, alice(), seed + 1))],
            delay,
            loss,
            dice: Rng::from_seed(seed + 2),
            line: Vec::new(),
            events: [Vec::new(), Vec::new()],
            rtcp_sent: [0, 0],
        }
    }

    /// One packet time: each side sends if `talking`, and what has arrived is taken.
    fn tick(&mut self, n: u32, talking: [bool; 2]) {
        let until = self.now + ms(20);
        for (side, talks) in talking.into_iter().enumerate() {
            if talks {
                let mut out = Vec::new();
                let ticks = n.wrapping_mul(160);
                let session = &mut self.sides[side].1;
                session.send(self.now, PCMU, n == 0, ticks, &[7; 160], &mut out).unwrap();
                self.post(side, Component::Rtp, out, true);
            }
        }
        loop {
            for side in 0..2 {
                let (transmits, events, _) = drain(&mut self.sides[side].1, self.now);
                self.events[side].extend(events);
                for t in transmits {
                    let to = self.sides[1 - side].0;
                    let expected = if t.component == Component::Rtp { to } else { rtcp_of(to) };
                    assert_eq!(t.to, expected);
                    self.rtcp_sent[side] += 1;
                    self.post(side, t.component, t.data, false);
                }
            }
            let arrival = self.line.iter().map(|(at, ..)| *at).min();
            let timer = self.sides.iter_mut().filter_map(|(_, s)| match s.poll(self.now) {
                Output::Timeout(at) => at,
                _ => None,
            });
            let next = timer.chain(arrival).min().filter(|at| *at <= until);
            let Some(next) = next else { break };
            self.now = next;
            self.deliver();
            self.sides.iter_mut().for_each(|(_, s)| s.handle(next, Input::Timeout).unwrap());
        }
        self.now = until;
    }

    fn post(&mut self, side: usize, component: Component, data: Vec<u8>, may_lose: bool) {
        if !(may_lose && self.dice.chance(self.loss)) {
            self.line.push((self.now + self.delay, 1 - side, component, data));
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, rest) = std::mem::take(&mut self.line).into_iter().partition(|l| l.0 <= now);
        self.line = rest;
        let due: Vec<(Instant, usize, Component, Vec<u8>)> = due;
        for (_, side, component, data) in due {
            let from = self.sides[1 - side].0;
            let session = &mut self.sides[side].1;
            match component {
                Component::Rtp => {
                    let _ = session.receive(now, from, &data);
                    while session.next_held().is_some() {}
                }
                Component::Rtcp => {
                    let from = rtcp_of(from);
                    session.handle(now, Input::Rtcp { from, data: &data }).unwrap();
                }
            }
        }
    }
}
