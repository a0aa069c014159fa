//! What comes in: which TSNs there are and what is acknowledged (RFC 9260 §6.2), messages put together
//! (§6.9), in order or not (§6.6), and what the peer will not send any more (RFC 3758 §3.6).
//!
//! What a message's pieces take is counted, with something for each piece, until the message is read.

use super::chunk::{self, BEGIN, Data, END, ForwardTsn, IMMEDIATE, Sack, UNORDERED};
use super::{Config, Counts, Error};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// What a piece takes beside its bytes.
const PIECE: usize = 64;
/// Of gaps and duplicates that one SACK names.
const MAX_GAPS: usize = 128;
const MAX_DUPLICATES: usize = 16;
/// How far beyond the cumulative TSN something is kept: what a gap block can say.
const MAX_AHEAD: u64 = u16::MAX as u64;

/// A whole message.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) stream: u16,
    pub(super) ppid: u32,
    pub(super) data: Vec<u8>,
    /// What it counts until it is read.
    pub(super) cost: usize,
}

/// Neighbouring pieces of one message.
#[derive(Debug)]
struct Run {
    stream: u16,
    ssn: u16,
    ppid: u32,
    unordered: bool,
    begun: bool,
    ended: bool,
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Run {
    fn cost(&self) -> usize {
        self.bytes + self.pieces.len() * PIECE
    }

    /// RFC 9260 §6.9: what stands side by side belongs together.
    fn fits(&self, next: &Self) -> bool {
        self.stream == next.stream
            && self.unordered == next.unordered
            && (self.unordered || self.ssn == next.ssn)
    }

    fn join(&mut self, next: Self) {
        self.ended = next.ended;
        self.bytes += next.bytes;
        self.pieces.extend(next.pieces);
    }
}

#[derive(Debug)]
struct Order {
    /// The number that is delivered next.
    next: u64,
    /// Whole messages that wait for an earlier one.
    waiting: BTreeMap<u64, Whole>,
    /// Where in `runs` its messages are that are not whole.
    parts: BTreeSet<u64>,
    /// Nothing of this stream is wanted before it is reset.
    deaf: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            next: chunk::first_of(0),
            waiting: BTreeMap::new(),
            parts: BTreeSet::new(),
            deaf: false,
        }
    }
}

/// When to acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    No,
    At(Instant),
    Now,
}

#[derive(Debug)]
pub(super) struct Inbound {
    config: Arc<Config>,
    /// All TSNs up to here are there.
    cumulative: u64,
    /// Those beyond, as first → last.
    beyond: BTreeMap<u64, u64>,
    /// Messages that are not whole, by their first TSN.
    runs: BTreeMap<u64, Run>,
    streams: HashMap<u16, Order>,
    used: usize,
    /// Of that, what whole messages take that can be read.
    readable: usize,
    told_window: usize,
    duplicates: Vec<u32>,
    due: Due,
    packets: u32,
    pub(super) whole: VecDeque<Whole>,
    /// Streams with a message that is larger than we take.
    pub(super) too_big: Vec<u16>,
}

impl Inbound {
    pub(super) fn new(config: Arc<Config>, first: u32) -> Self {
        Self {
            told_window: config.receive_buffer,
            config,
            cumulative: chunk::first_of(first) - 1,
            beyond: BTreeMap::new(),
            runs: BTreeMap::new(),
            streams: HashMap::new(),
            used: 0,
            readable: 0,
            duplicates: Vec::new(),
            due: Due::No,
            packets: 0,
            whole: VecDeque::new(),
            too_big: Vec::new(),
        }
    }

    fn window(&self) -> usize {
        self.config.receive_buffer.saturating_sub(self.used)
    }

    /// One piece.
    pub(super) fn data(&mut self, data: &Data<'_>, counts: &mut Counts) -> Result<(), Error> {
        let tsn = chunk::near(data.tsn, self.cumulative);
        if tsn <= self.cumulative || self.covers(tsn) {
            counts.duplicates += 1;
            if self.duplicates.len() < MAX_DUPLICATES {
                self.duplicates.push(data.tsn);
            }
            self.due = Due::Now;
            return Ok(());
        }
        let cost = data.data.len() + PIECE;
        if cost > self.window() {
            // The very next one is taken beyond what we told, lest nothing ever fits together; but not
            // where the application only has to read.
            let needed = tsn == self.cumulative + 1 && self.readable == 0;
            if needed && self.used > 2 * self.config.receive_buffer {
                return Err(Error::Limit("receive_buffer"));
            }
            if !needed {
                counts.over_limit += 1;
                self.due = Due::Now;
                return Ok(());
            }
        }
        if tsn > self.cumulative + MAX_AHEAD {
            counts.over_limit += 1;
            return Ok(());
        }
        self.note(tsn);
        // §6.2: at once what tells of a gap or what the peer wants told.
        if !self.beyond.is_empty() || data.flags & IMMEDIATE != 0 {
            self.due = Due::Now;
        }
        if self.streams.len() >= self.config.max_channels * 2
            && !self.streams.contains_key(&data.stream)
        {
            counts.over_limit += 1;
            return Ok(());
        }
        let order = self.streams.entry(data.stream).or_default();
        if order.deaf {
            counts.unread += 1;
            return Ok(());
        }
        let run = Run {
            stream: data.stream,
            ssn: data.ssn,
            ppid: data.ppid,
            unordered: data.flags & UNORDERED != 0,
            begun: data.flags & BEGIN != 0,
            ended: data.flags & END != 0,
            bytes: data.data.len(),
            pieces: VecDeque::from([data.data.to_vec()]),
        };
        self.used += cost;
        self.assemble(tsn, run)
    }

    fn covers(&self, tsn: u64) -> bool {
        self.beyond.range(..=tsn).next_back().is_some_and(|(_, last)| tsn <= *last)
    }

    fn note(&mut self, tsn: u64) {
        if tsn == self.cumulative + 1 {
            self.advance(tsn);
            return;
        }
        let mut last = tsn;
        if let Some(end) = self.beyond.remove(&(tsn + 1)) {
            last = end;
        }
        match self.beyond.range_mut(..tsn).next_back() {
            Some((_, end)) if *end + 1 == tsn => *end = last,
            _ => {
                self.beyond.insert(tsn, last);
            }
        }
    }

    fn advance(&mut self, to: u64) {
        self.cumulative = to;
        while let Some(entry) = self.beyond.first_entry()
            && *entry.key() <= self.cumulative + 1
        {
            self.cumulative = self.cumulative.max(entry.remove());
        }
    }

    fn assemble(&mut self, tsn: u64, mut run: Run) -> Result<(), Error> {
        let mut first = tsn;
        let mut end = tsn;
        if !run.ended
            && let Some(next) = self.take_run(tsn + 1)
        {
            if next.begun || !run.fits(&next) {
                return Err(Error::Protocol("a message that does not go on"));
            }
            end += next.pieces.len() as u64;
            if run.pieces.len() < next.pieces.len() {
                // The piece goes before what is there.
                let Run { begun, ppid, bytes, mut pieces, .. } = run;
                run = next;
                pieces.drain(..).rev().for_each(|piece| run.pieces.push_front(piece));
                (run.begun, run.ppid) = (begun, ppid);
                run.bytes += bytes;
            } else {
                run.join(next);
            }
        }
        if !run.begun
            && let Some((&at, before)) = self.runs.range_mut(..tsn).next_back()
            && at + before.pieces.len() as u64 == tsn
        {
            if before.ended || !before.fits(&run) {
                return Err(Error::Protocol("a message that was not begun"));
            }
            before.join(run);
            let goes_on = !(before.begun && before.ended);
            if goes_on && before.bytes <= self.config.max_message_size {
                return Ok(());
            }
            match self.take_run(at) {
                Some(before) => (first, run) = (at, before),
                None => return Ok(()),
            }
        }
        debug_assert_eq!(end - first + 1, run.pieces.len() as u64);
        if run.bytes > self.config.max_message_size {
            self.used -= run.cost();
            self.deafen(run.stream);
            self.too_big.push(run.stream);
        } else if run.begun && run.ended {
            self.complete(run);
        } else {
            if let Some(order) = self.streams.get_mut(&run.stream) {
                order.parts.insert(first);
            }
            self.runs.insert(first, run);
        }
        Ok(())
    }

    fn take_run(&mut self, first: u64) -> Option<Run> {
        let run = self.runs.remove(&first)?;
        if let Some(order) = self.streams.get_mut(&run.stream) {
            order.parts.remove(&first);
        }
        Some(run)
    }

    fn complete(&mut self, run: Run) {
        let cost = run.cost();
        let Run { stream, ssn, ppid, unordered, bytes, mut pieces, .. } = run;
        let data = match pieces.pop_front() {
            Some(only) if pieces.is_empty() => only,
            first => {
                let mut data = Vec::with_capacity(bytes);
                first.into_iter().chain(pieces).for_each(|piece| data.extend(piece));
                data
            }
        };
        let whole = Whole { stream, ppid, data, cost };
        if unordered {
            self.give(whole);
            return;
        }
        let Some(order) = self.streams.get_mut(&stream) else { return };
        let at = chunk::near16(ssn, order.next);
        if at < order.next || order.waiting.contains_key(&at) {
            // The same number twice: whoever does that has only itself to blame.
            self.used -= cost;
            return;
        }
        order.waiting.insert(at, whole);
        self.in_order(stream);
    }

    fn in_order(&mut self, stream: u16) {
        let Some(order) = self.streams.get_mut(&stream) else { return };
        while let Some(whole) = order.waiting.remove(&order.next) {
            order.next += 1;
            self.readable += whole.cost;
            self.whole.push_back(whole);
        }
    }

    fn give(&mut self, whole: Whole) {
        self.readable += whole.cost;
        self.whole.push_back(whole);
    }

    /// Nothing more of a stream is wanted before its reset.
    pub(super) fn deafen(&mut self, stream: u16) {
        if let Some(order) = self.streams.get_mut(&stream) {
            let before = std::mem::take(order);
            order.deaf = true;
            self.drop_parts(before);
        }
    }

    /// The peer begins anew on a stream (RFC 6525 §5.2.2): all that it had sent there has come, and it
    /// sends nothing before it has our answer.
    pub(super) fn reset(&mut self, stream: u16) {
        if let Some(before) = self.streams.remove(&stream) {
            self.drop_parts(before);
        }
    }

    /// Drops what has come and cannot be delivered any more.
    fn drop_parts(&mut self, order: Order) {
        for first in order.parts {
            self.used -= self.runs.remove(&first).map_or(0, |run| run.cost());
        }
        self.used -= order.waiting.values().map(|whole| whole.cost).sum::<usize>();
    }

    /// Streams that are known.
    pub(super) fn streams(&self) -> Vec<u16> {
        self.streams.keys().copied().collect()
    }

    /// Whether all TSNs up to one are there.
    pub(super) fn has_all(&self, tsn: u32) -> bool {
        chunk::near(tsn, self.cumulative) <= self.cumulative
    }

    /// The peer gives up what it has not got through (RFC 3758 §3.6).
    pub(super) fn forward(&mut self, forward: &ForwardTsn) {
        self.due = Due::Now;
        let to = chunk::near(forward.cumulative, self.cumulative);
        if to <= self.cumulative {
            return;
        }
        self.advance(to);
        // Nothing that is not whole and began before can become whole.
        while let Some(entry) = self.runs.first_entry()
            && *entry.key() <= to
        {
            let (first, run) = entry.remove_entry();
            self.used -= run.cost();
            if let Some(order) = self.streams.get_mut(&run.stream) {
                order.parts.remove(&first);
            }
        }
        for (stream, ssn) in &forward.streams {
            let Some(order) = self.streams.get_mut(stream) else { continue };
            let to = chunk::near16(*ssn, order.next);
            if to < order.next {
                continue;
            }
            let later = order.waiting.split_off(&(to + 1));
            order.next = to + 1;
            let skipped = std::mem::replace(&mut order.waiting, later);
            skipped.into_values().for_each(|whole| self.give(whole));
            self.in_order(*stream);
        }
    }

    /// A message was read.
    pub(super) fn read(&mut self, cost: usize) {
        self.used = self.used.saturating_sub(cost);
        self.readable = self.readable.saturating_sub(cost);
        // A peer that was told to wait is told that it need not.
        let half = self.config.receive_buffer / 2;
        if self.told_window < half && self.window() >= half {
            self.due = Due::Now;
        }
    }

    /// A packet with DATA is through (§6.2): every second is acknowledged at once.
    pub(super) fn packet_done(&mut self, now: Instant) {
        self.packets += 1;
        match self.due {
            _ if self.packets >= 2 => self.due = Due::Now,
            Due::No => self.due = Due::At(now + self.config.sack_delay),
            _ => {}
        }
    }

    /// When an acknowledgement is due, at a time that may be over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.due {
            Due::At(at) => Some(at),
            _ => None,
        }
    }

    pub(super) fn sack_due(&self, now: Instant) -> bool {
        match self.due {
            Due::No => false,
            Due::At(at) => now >= at,
            Due::Now => true,
        }
    }

    /// Whether an acknowledgement waits, which goes with whatever is sent.
    pub(super) fn sack_waits(&self) -> bool {
        self.due != Due::No
    }

    /// An acknowledgement that takes no more than so many bytes.
    pub(super) fn take_sack(&mut self, room: usize) -> Sack {
        self.due = Due::No;
        self.packets = 0;
        self.told_window = self.window();
        let offset = |tsn: u64| (tsn - self.cumulative) as u16;
        let lines = room.saturating_sub(16) / 4;
        let gaps = self.beyond.iter().take(MAX_GAPS.min(lines));
        let mut duplicates = std::mem::take(&mut self.duplicates);
        duplicates.truncate(lines.saturating_sub(gaps.len()));
        Sack {
            cumulative: self.cumulative as u32,
            window: self.told_window as u32,
            gaps: gaps.map(|(first, last)| (offset(*first), offset(*last))).collect(),
            duplicates,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.used
    }
}
