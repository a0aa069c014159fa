//! Puts handshake messages together and in order (RFC 6347 §4.2.2, §4.2.3): pieces come in any order,
//! twice or overlapping. Bounded in messages, bytes and pieces; a piece that contradicts earlier ones
//! is dropped.

use super::wire::{Reader, Write};
use super::{Config, Error};
use std::collections::BTreeMap;

/// The octets before each handshake message.
pub(super) const HEADER: usize = 12;

/// A piece of a handshake message.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) kind: u8,
    pub(super) sequence: u16,
    pub(super) offset: usize,
    length: usize,
    data: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Splits the first piece off a record.
    pub(super) fn split(record: &mut &'a [u8]) -> Option<Self> {
        let mut reader = Reader(record);
        let kind = reader.u8()?;
        let length = reader.number(3)? as usize;
        let sequence = reader.u16()?;
        let offset = reader.number(3)? as usize;
        let data = reader.vector(3)?;
        *record = reader.0;
        let inside = offset + data.len() <= length && (length == 0 || !data.is_empty());
        inside.then_some(Self { kind, sequence, offset, length, data })
    }
}

/// A whole message, with the header that goes into the hash of the handshake.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) sequence: u16,
    raw: Vec<u8>,
}

impl Message {
    pub(super) fn body(&self) -> &[u8] {
        &self.raw[HEADER..]
    }

    /// As if it had come in one piece (RFC 6347 §4.2.6).
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }
}

/// The header of a message in one piece.
pub(super) fn header(kind: u8, sequence: u16, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + length);
    out.push(kind);
    out.u24(length);
    out.u16(sequence);
    out.u24(0);
    out.u24(length);
    out
}

struct Partial {
    raw: Vec<u8>,
    // Ascending, neither touching nor overlapping.
    have: Vec<(usize, usize)>,
}

impl Partial {
    fn is_whole(&self) -> bool {
        let length = self.raw.len() - HEADER;
        length == 0 || self.have == [(0, length)]
    }

    /// Takes the piece in; false when there are too many holes.
    fn fill(&mut self, piece: Piece<'_>, max_pieces: usize) -> bool {
        let (mut start, mut end) = (piece.offset, piece.offset + piece.data.len());
        let touching = |&(s, e): &(usize, usize)| s <= end && e >= start;
        let merged = self.have.iter().filter(|r| touching(r)).count();
        if merged == 0 && self.have.len() >= max_pieces {
            return false;
        }
        // What came first stays.
        for (n, octet) in piece.data.iter().enumerate() {
            let at = piece.offset + n;
            if !self.have.iter().any(|&(s, e)| s <= at && at < e) {
                self.raw[HEADER + at] = *octet;
            }
        }
        let (s, e) = (start, end);
        self.have.retain(|&(from, to)| {
            let apart = from > e || to < s;
            if !apart {
                start = start.min(from);
                end = end.max(to);
            }
            apart
        });
        let at = self.have.partition_point(|&(from, _)| from < start);
        self.have.insert(at, (start, end));
        true
    }
}

/// What became of a piece.
#[derive(PartialEq, Eq)]
pub(super) enum Taken {
    Kept,
    /// It belongs to a message that was dealt with.
    Old,
    /// Beyond a limit, or at odds with earlier pieces.
    Dropped,
}

/// Messages on their way in.
#[derive(Default)]
pub(super) struct Inbox {
    next: u16,
    partial: BTreeMap<u16, Partial>,
}

impl Inbox {
    pub(super) fn take(&mut self, piece: Piece<'_>, config: &Config) -> Result<Taken, Error> {
        let ahead = match piece.sequence.checked_sub(self.next) {
            Some(ahead) => usize::from(ahead),
            None => return Ok(Taken::Old),
        };
        if ahead >= config.max_ahead.max(1) {
            return Ok(Taken::Dropped);
        }
        if piece.length > config.max_message {
            return Err(Error::TooLong);
        }
        let partial = self.partial.entry(piece.sequence).or_insert_with(|| {
            let mut raw = header(piece.kind, piece.sequence, piece.length);
            raw.resize(HEADER + piece.length, 0);
            Partial { raw, have: Vec::new() }
        });
        let same = partial.raw[0] == piece.kind && partial.raw.len() == HEADER + piece.length;
        let kept = same && (piece.length == 0 || partial.fill(piece, config.max_pieces));
        Ok(if kept { Taken::Kept } else { Taken::Dropped })
    }

    /// The next message, if it is whole.
    pub(super) fn next(&mut self) -> Option<Message> {
        let first = self.partial.first_entry()?;
        if *first.key() != self.next || !first.get().is_whole() {
            return None;
        }
        let raw = first.remove().raw;
        let sequence = self.next;
        // At its end nothing more is expected; a handshake has a dozen messages.
        self.next = self.next.saturating_add(1);
        Some(Message { kind: raw[0], sequence, raw })
    }

    /// Forgets all, and expects this message next.
    pub(super) fn restart(&mut self, next: u16) {
        self.partial.clear();
        self.next = next;
    }

    pub(super) fn expected(&self) -> u16 {
        self.next
    }
}
