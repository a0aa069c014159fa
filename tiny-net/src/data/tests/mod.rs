//! Two ends over a path in virtual time.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng};

mod closing;
mod hostile;
mod opening;
mod parts;
mod transfer;

/// What the path does.
#[derive(Clone, Copy, Default)]
pub(super) struct Path {
    pub(super) loss: f64,
    pub(super) twice: f64,
    /// Up to so much is added to the 10 ms of each packet: they overtake one another.
    pub(super) jitter: Duration,
}

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) ends: [Channels; 2],
    pub(super) events: [VecDeque<Event>; 2],
    pub(super) path: Path,
    pub(super) rng: Rng,
    /// Every packet that was sent, and by whom.
    pub(super) sent: Option<Vec<(usize, Vec<u8>)>>,
    /// Says which packets are lost, beside chance.
    pub(super) drops: fn(usize, &[u8]) -> bool,
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    number: u64,
}

pub(super) fn pair(seed: u64, path: Path) -> Pair {
    pair_of(seed, path, [Config::default(), Config::default()], [Peer::default(); 2])
}

/// End 0 was the client of DTLS.
pub(super) fn pair_of(seed: u64, path: Path, configs: [Config; 2], peers: [Peer; 2]) -> Pair {
    let now = Instant::now();
    let mut rng = Rng::from_seed(seed);
    let [ca, cb] = configs.map(Arc::new);
    let [pa, pb] = peers;
    let a = Channels::new(now, true, pa, ca, rng.fork()).unwrap();
    let b = Channels::new(now, false, pb, cb, rng.fork()).unwrap();
    Pair {
        now,
        start: now,
        ends: [a, b],
        events: Default::default(),
        path,
        rng,
        sent: None,
        drops: |_, _| false,
        flying: BTreeMap::new(),
        number: 0,
    }
}

impl Pair {
    /// Drains both ends; the earliest deadline of theirs.
    pub(super) fn drain(&mut self) -> Option<Instant> {
        let mut deadline: Option<Instant> = None;
        for end in 0..2 {
            let mut polls = 0;
            loop {
                polls += 1;
                assert!(polls < 10_000, "an end that is never done");
                match self.ends[end].poll(self.now) {
                    Output::Transmit(packet) => {
                        assert!(packet.len() <= 1160, "{} bytes", packet.len());
                        if let Some(sent) = &mut self.sent {
                            sent.push((end, packet.clone()));
                        }
                        let copies = 1 + usize::from(self.rng.chance(self.path.twice));
                        for _ in 0..copies {
                            if self.rng.chance(self.path.loss) || (self.drops)(end, &packet) {
                                continue;
                            }
                            let late = self.path.jitter.mul_f64(self.rng.unit());
                            let at = self.now + Duration::from_millis(10) + late;
                            self.number += 1;
                            self.flying.insert((at, self.number), (1 - end, packet.clone()));
                        }
                    }
                    Output::Event(event) => self.events[end].push_back(event),
                    Output::Timeout(at) => {
                        deadline = deadline.into_iter().chain(at).min();
                        break;
                    }
                }
            }
        }
        deadline
    }

    /// To the next thing that happens; false when nothing ever will.
    pub(super) fn step(&mut self) -> bool {
        let deadline = self.drain();
        let first = self.flying.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = deadline.into_iter().chain(first).min() else { return false };
        self.now = self.now.max(next);
        if first.is_some_and(|at| at <= self.now) {
            if let Some((_, (end, packet))) = self.flying.pop_first() {
                self.ends[end].handle(self.now, &packet);
            }
        } else {
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        }
        true
    }

    /// Until something holds, within so many seconds of virtual time.
    pub(super) fn until(&mut self, seconds: u64, mut what: impl FnMut(&mut Self) -> bool) {
        let end = self.now + Duration::from_secs(seconds);
        self.drain();
        while !what(self) {
            assert!(self.step(), "nothing happens any more: {:?}", self.events);
            assert!(self.now < end, "{seconds} s are over: {:?}", self.events);
            self.drain();
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadline = self.drain();
            let first = self.flying.first_key_value().map(|((at, _), _)| *at);
            let next = deadline.into_iter().chain(first).min();
            if next.is_none_or(|next| next > end) {
                break;
            }
            self.step();
        }
        self.now = end;
    }

    /// The next event of one end that is of interest, skipping those that are not.
    pub(super) fn expect<T>(
        &mut self,
        end: usize,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let mut found = None;
        self.until(60, |pair| {
            while let Some(event) = pair.events[end].pop_front() {
                found = wanted(&event);
                if found.is_some() {
                    return true;
                }
            }
            false
        });
        found.unwrap()
    }

    /// A channel that end `from` opens, as both know it.
    pub(super) fn open(&mut self, from: usize, options: ChannelOptions) -> [ChannelId; 2] {
        let ours = self.ends[from].open(self.now, options).unwrap();
        let theirs = self.expect(1 - from, |event| match event {
            Event::Incoming(id) => Some(*id),
            _ => None,
        });
        self.expect(from, |event| (*event == Event::Opened(ours)).then_some(()));
        if from == 0 { [ours, theirs] } else { [theirs, ours] }
    }

    pub(super) fn read(&mut self, end: usize, channel: ChannelId) -> Message {
        let mut message = None;
        self.until(60, |pair| {
            message = pair.ends[end].read(pair.now, channel);
            message.is_some()
        });
        message.unwrap()
    }

    /// The number that the first reset of this end has (RFC 6525 §4.1): that of its first piece.
    pub(super) fn first_request(&self, end: usize) -> u32 {
        self.ends[end].first_tsn_for_test()
    }

    pub(super) fn send(&mut self, end: usize, channel: ChannelId, text: &str) {
        self.ends[end].send(self.now, channel, Message::Text(text.into())).unwrap();
    }

    pub(super) fn closed(&mut self, end: usize, channel: ChannelId) -> Option<Error> {
        self.expect(end, |event| match event {
            Event::Closed { channel: id, error } if *id == channel => Some(error.clone()),
            _ => None,
        })
    }
}

/// The types of the chunks in a packet.
pub(super) fn kinds(packet: &[u8]) -> Vec<u8> {
    let (_, chunks) = chunk::Header::split(packet).unwrap();
    chunks.map(|raw| raw.kind).collect()
}

/// The DATA chunks of what one end has sent: flags, stream, payload protocol and data.
pub(super) fn data_of(pair: &Pair, end: usize) -> Vec<(u8, u16, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for (from, packet) in pair.sent.iter().flatten() {
        let (_, chunks) = chunk::Header::split(packet).unwrap();
        for raw in chunks.filter(|raw| *from == end && raw.kind == chunk::DATA) {
            let data = chunk::Data::parse(raw).unwrap();
            found.push((data.flags, data.stream, data.ppid, data.data.to_vec()));
        }
    }
    found
}
