//! The record layer: headers, epochs, sequence numbers, encryption, the window against replays
//! (RFC 6347 §4.1). There are two epochs, in the clear and encrypted; there is no third.

use super::crypto::{Key, OVERHEAD};
use super::session::Counts;
use super::wire::{Reader, Write};

pub(super) const HEADER: usize = 13;
/// The longest content (RFC 5246 §6.2.1).
const MAX_CONTENT: usize = 1 << 14;
const WINDOW: u64 = 64;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION: u8 = 23;

/// DTLS 1.2, the ones' complement of TLS 1.2.
pub(super) const VERSION: u16 = 0xfefd;

/// A record as it arrives.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) kind: u8,
    pub(super) epoch: u16,
    version: u16,
    number: u64,
    fragment: &'a [u8],
    /// All of it, for keeping.
    pub(super) whole: &'a [u8],
}

impl<'a> Record<'a> {
    /// Splits the first record off a datagram.
    pub(super) fn split(datagram: &mut &'a [u8]) -> Option<Self> {
        let mut reader = Reader(datagram);
        let (kind, version) = (reader.u8()?, reader.u16()?);
        let (epoch, number) = (reader.u16()?, reader.number(6)?);
        let fragment = reader.vector(2)?;
        let known = (CHANGE_CIPHER_SPEC..=APPLICATION).contains(&kind) && version >> 8 == 0xfe;
        if !known || fragment.len() > MAX_CONTENT + OVERHEAD {
            return None;
        }
        let whole = &datagram[..datagram.len() - reader.0.len()];
        *datagram = reader.0;
        Some(Self { kind, epoch, version, number, fragment, whole })
    }
}

struct Reading {
    key: Key,
    highest: u64,
    // Bit n: the number `highest - n` has come.
    seen: u64,
}

/// Both directions.
#[derive(Default)]
pub(super) struct Records {
    next: [u64; 2],
    writing: Option<Key>,
    reading: Option<Reading>,
}

impl Records {
    pub(super) fn install(&mut self, writing: Key, reading: Key) {
        self.writing = Some(writing);
        self.reading = Some(Reading { key: reading, highest: 0, seen: 0 });
    }

    pub(super) fn has_keys(&self) -> bool {
        self.reading.is_some()
    }

    /// Appends a record. `None` when the numbers are used up: then nothing more is sent.
    pub(super) fn write(
        &mut self,
        kind: u8,
        encrypted: bool,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let epoch = usize::from(encrypted);
        let number = self.next[epoch];
        if number >> 48 != 0 {
            return None;
        }
        self.next[epoch] += 1;
        let numbered = (epoch as u64) << 48 | number;
        out.push(kind);
        out.u16(VERSION);
        out.extend_from_slice(&numbered.to_be_bytes());
        if !encrypted {
            out.u16(content.len() as u16);
            out.extend_from_slice(content);
            return Some(());
        }
        out.u16((content.len() + OVERHEAD) as u16);
        let header = authenticated(numbered, kind, VERSION, content.len());
        self.writing.as_ref()?.seal(numbered.to_be_bytes(), header, content, out)
    }

    /// The content of a record of the encrypted epoch.
    pub(super) fn open(&mut self, record: Record<'_>, counts: &mut Counts) -> Option<Vec<u8>> {
        let reading = self.reading.as_mut()?;
        let behind = reading.highest.checked_sub(record.number);
        if behind.is_some_and(|n| n >= WINDOW || reading.seen >> n & 1 == 1) {
            counts.replayed += 1;
            return None;
        }
        let numbered = u64::from(record.epoch) << 48 | record.number;
        let opened = record.fragment.len().checked_sub(OVERHEAD).and_then(|length| {
            let header = authenticated(numbered, record.kind, record.version, length);
            reading.key.open(header, record.fragment)
        });
        let Some(content) = opened else {
            counts.forged += 1;
            return None;
        };
        match behind {
            Some(n) => reading.seen |= 1 << n,
            None => {
                let ahead = record.number - reading.highest;
                reading.seen = if ahead < WINDOW { reading.seen << ahead } else { 0 } | 1;
                reading.highest = record.number;
            }
        }
        Some(content)
    }
}

impl<'a> Record<'a> {
    /// The content of a record in the clear.
    pub(super) fn content(&self) -> &'a [u8] {
        self.fragment
    }
}

/// What is authenticated with the content (RFC 5246 §6.2.3.3).
fn authenticated(numbered: u64, kind: u8, version: u16, length: usize) -> [u8; 13] {
    let mut header = [0; 13];
    header[..8].copy_from_slice(&numbered.to_be_bytes());
    header[8] = kind;
    header[9..11].copy_from_slice(&version.to_be_bytes());
    header[11..].copy_from_slice(&(length as u16).to_be_bytes());
    header
}
