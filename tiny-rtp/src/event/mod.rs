//! Telephone events in RTP (RFC 4733): digits and hook flash as packets beside the sound.
//!
//! [`EventSender`] turns key presses into packets, [`EventReceiver`] turns packets into one report
//! per press. Neither sends nor counts RTP: the [`Session`](crate::Session) does.

mod receiver;
mod sender;

pub use receiver::{EventReceiver, EventReceiverConfig, ToneEvent};
pub use sender::{EventPacket, EventSender, EventSenderConfig, QueueError};

use std::fmt;

/// An event code of the registry that RFC 4733 §7 opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TelephoneEvent(pub u8);

impl TelephoneEvent {
    /// Hook flash, code 16: defined by RFC 2833 §3.10, deprecated by RFC 4733 §7, and still asked
    /// for by gateways. Sent only to a peer that lists it.
    pub const FLASH: Self = Self(16);

    const KEYS: &'static [u8; 16] = b"0123456789*#ABCD";

    /// The event of a key: `0`–`9`, `*`, `#`, `A`–`D` (either case), and `!` or `R` for flash.
    ///
    /// ```
    /// use tiny_rtp::TelephoneEvent;
    /// assert_eq!(TelephoneEvent::from_char('#'), Some(TelephoneEvent(11)));
    /// assert_eq!(TelephoneEvent(15).as_char(), Some('D'));
    /// assert_eq!(TelephoneEvent::from_char('x'), None);
    /// ```
    pub fn from_char(key: char) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        if matches!(key, '!' | 'R') {
            return Some(Self::FLASH);
        }
        let at = Self::KEYS.iter().position(|k| char::from(*k) == key)?;
        Some(Self(at as u8))
    }

    /// The key of the event; `!` for flash, `None` for everything that is no key.
    pub fn as_char(self) -> Option<char> {
        match self {
            Self::FLASH => Some('!'),
            Self(code) => Self::KEYS.get(usize::from(code)).map(|k| char::from(*k)),
        }
    }

    // §2.3.4: volume is defined for tones; flash is none.
    fn has_volume(self) -> bool {
        self.0 < 16
    }
}

impl fmt::Display for TelephoneEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_char() {
            Some(c) => write!(f, "{c}"),
            None => write!(f, "event {}", self.0),
        }
    }
}

/// The four octets that report one event (§2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPayload {
    /// Which event.
    pub event: TelephoneEvent,
    /// The E bit: the event is over.
    pub end: bool,
    /// Power in -dBm0, 0 to 63; larger is softer.
    pub volume: u8,
    /// How long it has lasted since the packet's timestamp, in ticks.
    pub duration: u16,
}

impl EventPayload {
    /// Octets on the wire.
    pub const LEN: usize = 4;

    /// Reads one report. The reserved bit is ignored (§2.3.3).
    pub const fn parse(octets: [u8; 4]) -> Self {
        let [event, flags, hi, lo] = octets;
        Self {
            event: TelephoneEvent(event),
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([hi, lo]),
        }
    }

    /// Writes one report.
    pub const fn to_bytes(self) -> [u8; 4] {
        let volume = if self.volume > 63 { 63 } else { self.volume };
        let [hi, lo] = self.duration.to_be_bytes();
        [self.event.0, (self.end as u8) << 7 | volume, hi, lo]
    }
}

/// A set of event codes, as listed in `a=fmtp` (§2.4.1).
///
/// ```
/// use tiny_rtp::{EventSet, TelephoneEvent};
/// let set = EventSet::parse("0-15,66,70").unwrap();
/// assert!(set.contains(TelephoneEvent(66)) && !set.contains(TelephoneEvent::FLASH));
/// assert_eq!(set.to_string(), "0-15,66,70");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventSet([u64; 4]);

impl EventSet {
    /// The sixteen keys, 0–15: what is to be assumed when the peer lists nothing (§2.5.1.1).
    pub const DTMF: Self = Self([0xffff, 0, 0, 0]);
    /// The sixteen keys and hook flash.
    pub const DTMF_AND_FLASH: Self = Self([0x1_ffff, 0, 0, 0]);

    /// Reads a list of numbers and ranges. `None` when it is malformed; white space around
    /// elements is let pass although §2.4 has none.
    pub fn parse(list: &str) -> Option<Self> {
        let mut set = Self::default();
        for element in list.split(',') {
            let (low, high) = match element.split_once('-') {
                Some((low, high)) => (low.trim().parse().ok()?, high.trim().parse().ok()?),
                None => {
                    let only: u8 = element.trim().parse().ok()?;
                    (only, only)
                }
            };
            if low > high {
                return None;
            }
            (low..=high).for_each(|code| set.insert(TelephoneEvent(code)));
        }
        Some(set)
    }

    /// Adds an event.
    pub fn insert(&mut self, event: TelephoneEvent) {
        self.0[usize::from(event.0 >> 6)] |= 1 << (event.0 & 63);
    }

    /// Whether the event is in it.
    pub const fn contains(&self, event: TelephoneEvent) -> bool {
        self.0[(event.0 >> 6) as usize] & 1 << (event.0 & 63) != 0
    }
}

impl fmt::Display for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut code = 0u16;
        let mut first = true;
        let has = |c: u16| u8::try_from(c).is_ok_and(|c| self.contains(TelephoneEvent(c)));
        while code < 256 {
            if !has(code) {
                code += 1;
                continue;
            }
            let low = code;
            while has(code + 1) {
                code += 1;
            }
            if !first {
                f.write_str(",")?;
            }
            first = false;
            match low == code {
                true => write!(f, "{low}")?,
                false => write!(f, "{low}-{code}")?,
            }
            code += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
