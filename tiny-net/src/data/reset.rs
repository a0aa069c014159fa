//! Resets of streams (RFC 6525 §5): ours, one request at a time, and the peer's, which wait until all
//! that was sent before has come.

use super::chunk::{self, ReConfig};
use super::outbound::Outbound;
use super::rto::Rto;
use std::time::Instant;

const NOTHING_TO_DO: u32 = 0;
const PERFORMED: u32 = 1;
const DENIED: u32 = 2;
const BAD_SEQUENCE: u32 = 5;
const IN_PROGRESS: u32 = 6;
/// Streams that one request names.
const MAX_STREAMS: usize = 96;
/// What a request and two answers take.
pub(super) const MAX_SIZE: usize = 4 + 16 + 2 * MAX_STREAMS + 2 * 16;
const _: () = assert!(chunk::HEADER + MAX_SIZE <= 512);

#[derive(Debug)]
pub(super) struct Resets {
    /// The peer knows RE-CONFIG.
    pub(super) known: bool,
    /// Streams of ours that are done.
    wanted: Vec<u16>,
    ours: Option<Ours>,
    next_request: u32,
    /// The request that the peer makes next.
    expected: u32,
    theirs: Option<Theirs>,
    /// What the last request was answered with.
    last_result: u32,
    answers: Vec<ReConfig>,
}

#[derive(Debug)]
struct Ours {
    request: u32,
    last_tsn: u32,
    streams: Vec<u16>,
    repeat_at: Instant,
    due: bool,
}

#[derive(Debug)]
struct Theirs {
    request: u32,
    last_tsn: u32,
    streams: Vec<u16>,
}

impl Resets {
    pub(super) fn new(first: u32, peers_first: u32) -> Self {
        Self {
            known: false,
            wanted: Vec::new(),
            ours: None,
            next_request: first,
            expected: peers_first,
            theirs: None,
            last_result: NOTHING_TO_DO,
            answers: Vec::new(),
        }
    }

    /// The peer begins to count here.
    pub(super) fn peer(&mut self, first: u32, known: bool) {
        (self.expected, self.known) = (first, known);
    }

    /// A stream of ours will have nothing more.
    pub(super) fn want(&mut self, stream: u16) {
        if !self.wanted.contains(&stream) {
            self.wanted.push(stream);
        }
    }

    /// Asks for what is wanted and through, unless an answer is awaited. Without RE-CONFIG streams
    /// are done when they are through.
    pub(super) fn begin(&mut self, now: Instant, out: &Outbound, rto: &Rto) -> Vec<u16> {
        if self.ours.is_some() || self.wanted.is_empty() {
            return Vec::new();
        }
        let (mut through, mut rest) = (Vec::new(), Vec::new());
        for stream in self.wanted.drain(..) {
            match through.len() < MAX_STREAMS && out.is_through(stream) {
                true => through.push(stream),
                false => rest.push(stream),
            }
        }
        self.wanted = rest;
        if !self.known {
            return through;
        }
        if !through.is_empty() {
            let request = self.next_request;
            self.next_request = request.wrapping_add(1);
            let (last_tsn, repeat_at) = (out.last_tsn(), now + rto.get());
            self.ours = Some(Ours { request, last_tsn, streams: through, repeat_at, due: true });
        }
        Vec::new()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ours.as_ref().map(|ours| ours.repeat_at)
    }

    /// True when an answer did not come in time.
    pub(super) fn timed_out(&mut self, now: Instant, rto: &mut Rto) -> bool {
        let Some(ours) = self.ours.as_mut().filter(|ours| now >= ours.repeat_at) else {
            return false;
        };
        rto.back_off();
        (ours.due, ours.repeat_at) = (true, now + rto.get());
        true
    }

    /// A request of the peer: the streams to reset now.
    pub(super) fn requested(
        &mut self,
        parameter: ReConfig,
        has_all: impl Fn(u32) -> bool,
    ) -> Option<Vec<u16>> {
        let (request, asked) = match parameter {
            ReConfig::Outgoing { request, last_tsn, streams, .. } => {
                (request, Some(Theirs { request, last_tsn, streams }))
            }
            ReConfig::Other { request } => (request, None),
            ReConfig::Response { .. } => return None,
        };
        if request == self.expected.wrapping_sub(1) {
            self.answer(request, self.last_result);
            return None;
        }
        if request != self.expected {
            self.answer(request, BAD_SEQUENCE);
            return None;
        }
        let Some(theirs) = asked else {
            self.settle(request, DENIED);
            return None;
        };
        self.theirs = Some(theirs);
        let streams = self.ready(&has_all);
        if streams.is_none() {
            self.answer(request, IN_PROGRESS);
        }
        streams
    }

    /// The streams to reset, once all that was sent before is there (§5.2.2 E2, E3).
    pub(super) fn ready(&mut self, has_all: impl Fn(u32) -> bool) -> Option<Vec<u16>> {
        let theirs = self.theirs.take_if(|theirs| has_all(theirs.last_tsn))?;
        self.settle(theirs.request, PERFORMED);
        Some(theirs.streams)
    }

    fn settle(&mut self, request: u32, result: u32) {
        (self.expected, self.last_result) = (request.wrapping_add(1), result);
        self.answer(request, result);
    }

    fn answer(&mut self, request: u32, result: u32) {
        // Two fit into a chunk, and nobody asks for more at a time.
        if self.answers.len() < 2 {
            self.answers.push(ReConfig::Response { request, result });
        }
    }

    /// The peer's answer: the streams of ours that count from 0 again.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        request: u32,
        result: u32,
        rto: &Rto,
    ) -> Vec<u16> {
        let Some(ours) = self.ours.as_mut().filter(|ours| ours.request == request) else {
            return Vec::new();
        };
        if result == IN_PROGRESS {
            // §5.2.7: asked again later.
            ours.repeat_at = now + rto.get();
            return Vec::new();
        }
        // Refused or not, nothing more is sent there.
        self.ours.take().map(|ours| ours.streams).unwrap_or_default()
    }

    pub(super) fn wants_out(&self) -> bool {
        !self.answers.is_empty() || self.ours.as_ref().is_some_and(|ours| ours.due)
    }

    pub(super) fn put(&mut self, packet: &mut Vec<u8>) {
        self.answers.drain(..).for_each(|answer| answer.put(packet));
        if let Some(ours) = self.ours.as_mut().filter(|ours| ours.due) {
            ours.due = false;
            let Ours { request, last_tsn, ref streams, .. } = *ours;
            let response = self.expected.wrapping_sub(1);
            ReConfig::Outgoing { request, response, last_tsn, streams: streams.clone() }
                .put(packet);
        }
    }
}

/// Which streams a request means: none named is all (§4.1).
pub(super) fn meant(named: Vec<u16>, all: impl FnOnce() -> Vec<u16>) -> Vec<u16> {
    if named.is_empty() { all() } else { named }
}
