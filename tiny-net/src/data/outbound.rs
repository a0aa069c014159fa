//! What goes out: messages that wait, pieces on their way, how many at a time (RFC 9260 §6.1, §7.2),
//! which are sent again (§6.3.3, §7.2.4) and which are given up (RFC 3758 §3.5).

use super::chunk::{self, BEGIN, DATA_HEADER, Data, END, ForwardTsn, Piece, Sack, UNORDERED};
use super::rto::Rto;
use super::{Config, Error, Flight};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Packets that one input may have sent (RFC 9260 §6.1 D: Max.Burst).
const MAX_BURST: u32 = 4;
/// Acknowledgements of something later that make a piece count as lost (§7.2.4).
const MISSES: u8 = 3;
/// Streams that one FORWARD TSN names; the other ones follow as the point advances.
const MAX_SKIPS: usize = 64;

/// A message to send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) ppid: u32,
    pub(super) unordered: bool,
    pub(super) data: Bytes,
    pub(super) limits: Limits,
}

/// How long a message is tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) retransmits: Option<u32>,
    pub(super) expires: Option<Instant>,
}

impl Limits {
    fn over(&self, now: Instant, resent: u32) -> bool {
        self.retransmits.is_some_and(|max| resent >= max) || self.expired(now)
    }

    fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| now >= at)
    }
}

#[derive(Debug, Default)]
struct Stream {
    next_ssn: u16,
    /// Pieces that are not acknowledged for good.
    flying: usize,
    waiting: VecDeque<Outgoing>,
}

/// A message of which a part is on its way.
#[derive(Debug)]
struct Begun {
    stream: u16,
    ssn: u16,
    message: Outgoing,
    offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Flying,
    Lost,
    /// A gap block has it.
    Acked,
    GivenUp,
}

#[derive(Debug)]
struct Sent {
    piece: Piece,
    limits: Limits,
    state: State,
    at: Instant,
    resent: u32,
    misses: u8,
    /// TSNs from here on went out later than this did last.
    before: u64,
}

#[derive(Debug)]
pub(super) struct Outbound {
    config: Arc<Config>,
    /// The peer takes FORWARD TSN.
    forwards: bool,
    streams: HashMap<u16, Stream>,
    /// Streams with messages, in turn.
    turns: VecDeque<u16>,
    begun: Option<Begun>,
    waiting_bytes: usize,
    flight: VecDeque<Sent>,
    /// The TSN of the first in flight.
    base: u64,
    flying_bytes: usize,
    lost: usize,
    window: usize,
    cwnd: usize,
    ssthresh: usize,
    partial: usize,
    /// Until this is acknowledged no further loss counts.
    recovery: Option<u64>,
    /// A piece goes out whatever the window.
    fast: bool,
    measured: Option<u64>,
    burst: u32,
    pub(super) t3: Option<Instant>,
    forward_due: bool,
    /// Bytes that have gone from what waits, by stream.
    pub(super) released: Vec<(u16, usize)>,
    pub(super) retransmitted: u64,
    pub(super) abandoned: u64,
    pub(super) timeouts: u64,
}

impl Outbound {
    pub(super) fn new(config: Arc<Config>, first: u32) -> Self {
        let mtu = config.mtu;
        Self {
            forwards: false,
            streams: HashMap::new(),
            turns: VecDeque::new(),
            begun: None,
            waiting_bytes: 0,
            flight: VecDeque::new(),
            base: chunk::first_of(first),
            flying_bytes: 0,
            lost: 0,
            window: 0,
            // §7.2.1
            cwnd: (4 * mtu).min((2 * mtu).max(4380)),
            ssthresh: config.max_flight,
            partial: 0,
            recovery: None,
            fast: false,
            measured: None,
            burst: MAX_BURST,
            t3: None,
            forward_due: false,
            released: Vec::new(),
            retransmitted: 0,
            abandoned: 0,
            timeouts: 0,
            config,
        }
    }

    /// What the peer's INIT says.
    pub(super) fn peer(&mut self, window: u32, forwards: bool) {
        self.window = window as usize;
        self.forwards = forwards;
    }

    fn next_tsn(&self) -> u64 {
        self.base + self.flight.len() as u64
    }

    /// The last TSN that has been given out.
    pub(super) fn last_tsn(&self) -> u32 {
        (self.next_tsn() - 1) as u32
    }

    /// Bytes that wait to be sent for the first time.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub(super) fn reading(&self) -> Flight {
        Flight {
            waiting: self.waiting_bytes,
            flying: self.flying_bytes,
            congestion_window: self.cwnd,
            window: self.window,
        }
    }

    pub(super) fn in_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flight.is_empty() && self.turns.is_empty() && self.begun.is_none()
    }

    /// Whether all of a stream has been delivered.
    pub(super) fn is_through(&self, stream: u16) -> bool {
        self.streams.get(&stream).is_none_or(|s| s.waiting.is_empty() && s.flying == 0)
            && self.begun.as_ref().is_none_or(|b| b.stream != stream)
    }

    pub(super) fn send(&mut self, stream: u16, message: Outgoing) {
        self.waiting_bytes += message.data.len();
        let waiting = &mut self.streams.entry(stream).or_default().waiting;
        if waiting.is_empty() {
            self.turns.push_back(stream);
        }
        waiting.push_back(message);
    }

    /// The peer has taken note: the stream counts from 0 again (RFC 6525 §5.2.7).
    pub(super) fn reset(&mut self, stream: u16) {
        self.discard(stream);
        self.streams.remove(&stream);
    }

    /// Drops the messages of a stream of which nothing has been sent.
    pub(super) fn discard(&mut self, stream: u16) {
        self.turns.retain(|s| *s != stream);
        let Some(state) = self.streams.get_mut(&stream) else { return };
        let bytes = state.waiting.drain(..).map(|message| message.data.len()).sum();
        self.waiting_bytes -= bytes;
        self.released.push((stream, bytes));
    }

    /// Something has happened: so many packets more may go.
    pub(super) fn refill(&mut self) {
        self.burst = MAX_BURST;
    }

    /// Takes in an acknowledgement (§6.2.1); true when it brought something new.
    pub(super) fn sack(&mut self, now: Instant, sack: &Sack, rto: &mut Rto) -> Result<bool, Error> {
        let cumulative = chunk::near(sack.cumulative, self.base);
        if cumulative + 1 < self.base {
            return Ok(false);
        }
        if cumulative >= self.next_tsn() {
            return Err(Error::Protocol("what was never sent is acknowledged"));
        }
        let full = self.flying_bytes + self.config.mtu > self.cwnd;
        let advanced = cumulative + 1 > self.base;
        let (mut acked, mut newest) = (0, 0);
        while self.base <= cumulative
            && let Some(sent) = self.flight.pop_front()
        {
            let tsn = self.base;
            self.base += 1;
            if matches!(sent.state, State::Flying | State::Lost) {
                newest = tsn;
                acked += sent.piece.data.len();
            }
            self.left(&sent);
            if let Some(stream) = self.streams.get_mut(&sent.piece.stream) {
                stream.flying = stream.flying.saturating_sub(1);
            }
            self.measure(now, tsn, &sent, rto);
        }
        let mut highest = 0;
        for (first, last) in &sack.gaps {
            let (first, last) = (cumulative + u64::from(*first), cumulative + u64::from(*last));
            // They stand in order and apart (§3.3.4): the flight is gone through once, whatever is said.
            if first <= cumulative.max(highest) || first > last || last >= self.next_tsn() {
                continue;
            }
            highest = last;
            for tsn in first..=last {
                let at = (tsn - self.base) as usize;
                let Some(sent) = self.flight.get_mut(at) else { continue };
                let before = sent.state;
                if !matches!(before, State::Flying | State::Lost) {
                    continue;
                }
                sent.state = State::Acked;
                let (length, again, since) = (sent.piece.data.len(), sent.resent > 0, sent.at);
                newest = newest.max(tsn);
                acked += length;
                match before {
                    State::Flying => self.flying_bytes -= length,
                    _ => self.lost -= 1,
                }
                if self.measured == Some(tsn) {
                    self.measured = None;
                    if !again {
                        rto.measured(now.saturating_duration_since(since));
                    }
                }
            }
        }
        if self.recovery.is_some_and(|exit| cumulative >= exit) {
            self.recovery = None;
        }
        if advanced && self.recovery.is_none() && full {
            self.grow(acked);
        }
        let reach = if self.recovery.is_some() && advanced { highest.max(newest) } else { newest };
        if highest > 0 {
            self.miss(now, reach);
        }
        self.window = (sack.window as usize).saturating_sub(self.flying_bytes);
        if advanced || self.t3.is_none() {
            self.t3 = self.in_flight().then(|| now + rto.get());
        }
        if self.forwards && self.flight.front().is_some_and(|s| s.state == State::GivenUp) {
            self.forward_due = true;
        }
        Ok(advanced || acked > 0)
    }

    /// A piece leaves the flight.
    fn left(&mut self, sent: &Sent) {
        match sent.state {
            State::Flying => self.flying_bytes -= sent.piece.data.len(),
            State::Lost => self.lost -= 1,
            State::Acked | State::GivenUp => {}
        }
    }

    /// §6.3.1 C4, C5: one at a time, and nothing that was sent twice.
    fn measure(&mut self, now: Instant, tsn: u64, sent: &Sent, rto: &mut Rto) {
        if self.measured.is_some_and(|measured| measured <= tsn) {
            let clear = self.measured == Some(tsn) && sent.resent == 0;
            if clear && sent.state == State::Flying {
                rto.measured(now.saturating_duration_since(sent.at));
            }
            self.measured = None;
        }
    }

    /// §7.2.1, §7.2.2
    fn grow(&mut self, acked: usize) {
        let mtu = self.config.mtu;
        if self.cwnd <= self.ssthresh {
            self.cwnd += acked.min(mtu);
        } else {
            self.partial += acked;
            if self.partial >= self.cwnd {
                self.partial -= self.cwnd;
                self.cwnd += mtu;
            }
        }
        self.cwnd = self.cwnd.min(self.config.max_flight.max(4 * mtu));
    }

    fn shrink(&mut self) {
        self.ssthresh = (self.cwnd / 2).max(4 * self.config.mtu);
        self.partial = 0;
    }

    /// §7.2.4: what is still missing while later ones are there.
    fn miss(&mut self, now: Instant, reach: u64) {
        let mut lost = false;
        for at in 0..self.flight.len() {
            let tsn = self.base + at as u64;
            if tsn >= reach {
                break;
            }
            let sent = &mut self.flight[at];
            // What was sent again is missed by those that went out later still.
            if sent.state != State::Flying || sent.before > reach {
                continue;
            }
            sent.misses += 1;
            if sent.misses >= MISSES {
                lost |= self.lose(now, at);
            }
        }
        if lost && self.recovery.is_none() {
            self.shrink();
            self.cwnd = self.ssthresh;
            self.recovery = Some(self.next_tsn() - 1);
            self.fast = true;
        }
    }

    /// A piece counts as lost: it goes out again, or its message is given up.
    fn lose(&mut self, now: Instant, at: usize) -> bool {
        let Some(sent) = self.flight.get_mut(at) else { return false };
        match sent.state {
            State::Flying => self.flying_bytes -= sent.piece.data.len(),
            State::Acked => {}
            State::Lost | State::GivenUp => return false,
        }
        sent.state = State::Lost;
        self.lost += 1;
        if self.forwards && sent.limits.over(now, sent.resent) {
            self.give_up(now, at);
        }
        true
    }

    /// Gives up the message of a piece: all of it that is on its way, and what is not yet.
    fn give_up(&mut self, now: Instant, at: usize) {
        let mut first = at;
        while first > 0 && self.flight[first].piece.flags & BEGIN == 0 {
            first -= 1;
        }
        let (mut ended, mut news) = (false, true);
        for at in first..self.flight.len() {
            let sent = &mut self.flight[at];
            let (state, length) = (sent.state, sent.piece.data.len());
            sent.state = State::GivenUp;
            sent.piece.data = Bytes::new();
            news &= state != State::GivenUp;
            match state {
                State::Flying => self.flying_bytes -= length,
                State::Lost => self.lost -= 1,
                State::Acked | State::GivenUp => {}
            }
            if sent.piece.flags & END != 0 {
                ended = true;
                break;
            }
        }
        if !ended {
            self.drop_begun(now);
        }
        self.abandoned += u64::from(news);
        self.forward_due = true;
    }

    /// What is left of the message that was begun will not be sent. A TSN that nobody sends stands for
    /// it, so that the peer learns of it even if it has all that was sent.
    fn drop_begun(&mut self, now: Instant) {
        let Some(Begun { stream, ssn, message, offset }) = self.begun.take() else { return };
        let rest = message.data.len() - offset;
        self.waiting_bytes -= rest;
        self.released.push((stream, rest));
        let flags = END | if message.unordered { UNORDERED } else { 0 };
        let piece = Piece { flags, stream, ssn, ppid: message.ppid, data: Bytes::new() };
        let before = self.next_tsn() + 1;
        let (state, limits) = (State::GivenUp, message.limits);
        self.fly(Sent { piece, limits, state, at: now, resent: 0, misses: 0, before });
        self.forward_due = true;
    }

    /// Nothing was acknowledged for too long (§6.3.3); false when nothing was on its way.
    pub(super) fn timed_out(&mut self, now: Instant, rto: &mut Rto) -> bool {
        self.t3 = None;
        if self.flight.is_empty() {
            return false;
        }
        self.timeouts += 1;
        rto.back_off();
        self.shrink();
        self.cwnd = self.config.mtu;
        self.recovery = None;
        self.measured = None;
        for at in 0..self.flight.len() {
            // §6.2.1: the first one cannot have been acknowledged, or the peer has thought better of it.
            if at == 0 || self.flight[at].state == State::Flying {
                self.lose(now, at);
            }
        }
        if self.forwards && self.flight.front().is_some_and(|s| s.state == State::GivenUp) {
            self.forward_due = true;
        }
        self.t3 = Some(now + rto.get());
        true
    }

    /// Whether there is something that may go out now.
    pub(super) fn wants_out(&self) -> bool {
        self.forward_due || self.may_send()
    }

    fn may_send(&self) -> bool {
        let next = if self.lost > 0 {
            true
        } else if self.turns.is_empty() && self.begun.is_none() {
            return false;
        } else {
            // §6.1 A: with nothing on its way, one piece finds out whether the window is open again.
            self.window >= self.config.mtu || self.flying_bytes == 0
        };
        next && self.burst > 0 && (self.flying_bytes < self.cwnd || (self.fast && self.lost > 0))
    }

    /// Puts what may go out into a packet that has room for so many bytes.
    pub(super) fn fill(&mut self, now: Instant, packet: &mut Vec<u8>, rto: &Rto) {
        if self.forward_due && packet.len() + 8 + 4 * MAX_SKIPS <= self.config.mtu {
            self.forward_due = false;
            if let Some(forward) = self.forward() {
                forward.put(packet);
                self.t3.get_or_insert(now + rto.get());
            }
        }
        if !self.may_send() {
            return;
        }
        let before = packet.len();
        self.fill_lost(now, packet);
        while self.lost == 0 && self.may_send() && self.fill_new(now, packet) {}
        if packet.len() > before {
            self.burst -= 1;
            self.fast = false;
            self.t3.get_or_insert(now + rto.get());
        }
    }

    fn room(&self, packet: &[u8]) -> usize {
        self.config.mtu.saturating_sub(packet.len() + DATA_HEADER)
    }

    fn fill_lost(&mut self, now: Instant, packet: &mut Vec<u8>) {
        let mut at = 0;
        while self.lost > 0 && at < self.flight.len() {
            let room = self.room(packet);
            let next = self.next_tsn();
            let Some(sent) = self.flight.get_mut(at) else { return };
            if sent.state == State::Lost {
                let length = sent.piece.data.len();
                if length > room || (self.flying_bytes >= self.cwnd && !self.fast) {
                    return;
                }
                // Time may have run out while it waited.
                if self.forwards && sent.limits.expired(now) {
                    self.give_up(now, at);
                    continue;
                }
                (sent.state, sent.at, sent.misses) = (State::Flying, now, 0);
                sent.resent += 1;
                sent.before = next;
                write(&sent.piece, self.base + at as u64, packet);
                self.lost -= 1;
                self.flying_bytes += length;
                self.retransmitted += 1;
            }
            at += 1;
        }
    }

    fn fill_new(&mut self, now: Instant, packet: &mut Vec<u8>) -> bool {
        let room = self.room(packet);
        // Splitting for the sake of a few bytes is not worth a header.
        let least = 64.min(self.config.mtu / 4);
        let Some(mut begun) = self.begun.take().or_else(|| self.next_message(now)) else {
            return false;
        };
        let left = begun.message.data.len() - begun.offset;
        if room < left.min(least) {
            self.begun = Some(begun);
            return false;
        }
        if begun.offset > 0 && self.forwards && begun.message.limits.expired(now) {
            // What is on its way may still arrive, and is given up where it does not.
            self.begun = Some(begun);
            self.abandoned += 1;
            self.drop_begun(now);
            return true;
        }
        let length = left.min(room);
        let Begun { stream, ssn, message, offset } = &mut begun;
        let mut flags = if message.unordered { UNORDERED } else { 0 };
        if *offset == 0 {
            flags |= BEGIN;
        }
        let data = message.data.slice(*offset..*offset + length);
        *offset += length;
        let ended = *offset == message.data.len();
        if ended {
            flags |= END;
        }
        let (stream, limits) = (*stream, message.limits);
        let piece = Piece { flags, stream, ssn: *ssn, ppid: message.ppid, data };
        let tsn = self.next_tsn();
        write(&piece, tsn, packet);
        let (state, before) = (State::Flying, tsn + 1);
        self.fly(Sent { piece, limits, state, at: now, resent: 0, misses: 0, before });
        self.measured.get_or_insert(tsn);
        self.flying_bytes += length;
        self.window = self.window.saturating_sub(length);
        self.waiting_bytes -= length;
        self.released.push((stream, length));
        if !ended {
            self.begun = Some(begun);
        }
        true
    }

    fn fly(&mut self, sent: Sent) {
        self.streams.entry(sent.piece.stream).or_default().flying += 1;
        self.flight.push_back(sent);
    }

    /// The first message of the stream whose turn it is. Those whose time has run out are dropped.
    fn next_message(&mut self, now: Instant) -> Option<Begun> {
        while let Some(stream) = self.turns.pop_front() {
            let Some(state) = self.streams.get_mut(&stream) else { continue };
            while let Some(message) = state.waiting.pop_front() {
                if message.limits.expired(now) {
                    self.abandoned += 1;
                    self.waiting_bytes -= message.data.len();
                    self.released.push((stream, message.data.len()));
                    continue;
                }
                let ssn = state.next_ssn;
                if !message.unordered {
                    state.next_ssn = ssn.wrapping_add(1);
                }
                if !state.waiting.is_empty() {
                    self.turns.push_back(stream);
                }
                return Some(Begun { stream, ssn, message, offset: 0 });
            }
        }
        None
    }

    /// RFC 3758 §3.5 C: up to where the peer need not wait.
    fn forward(&self) -> Option<ForwardTsn> {
        let given_up = self.flight.iter().take_while(|s| s.state == State::GivenUp);
        let mut streams: Vec<(u16, u16)> = Vec::new();
        let mut count = 0;
        for sent in given_up {
            let piece = &sent.piece;
            if piece.flags & UNORDERED == 0 {
                match streams.iter().position(|(stream, _)| *stream == piece.stream) {
                    Some(at) => streams[at].1 = piece.ssn,
                    None if streams.len() == MAX_SKIPS => break,
                    None => streams.push((piece.stream, piece.ssn)),
                }
            }
            count += 1;
        }
        let cumulative = (self.base - 1 + count) as u32;
        (count > 0).then_some(ForwardTsn { cumulative, streams })
    }
}

fn write(piece: &Piece, tsn: u64, packet: &mut Vec<u8>) {
    let Piece { flags, stream, ssn, ppid, ref data } = *piece;
    Data { flags, tsn: tsn as u32, stream, ssn, ppid, data }.put(packet);
}
