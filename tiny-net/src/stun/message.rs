//! A STUN message read in place (RFC 8489 §5, §14). What is not well framed is refused as a whole; what
//! stands behind the integrity is not looked at (§14.5, §14.6).

use super::attr;
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What ties an answer to its request.
pub type TransactionId = [u8; 12];

pub(super) const COOKIE: u32 = 0x2112_A442;
pub(super) const HEADER: usize = 20;

/// The class of a message (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer, granted.
    Success,
    /// The answer, refused.
    Error,
}

/// Why bytes are no STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The first two bits or the cookie are those of something else.
    #[error("not STUN")]
    NotStun,
    /// The length of the header is not that of the message, or no multiple of four.
    #[error("the length of the STUN header is wrong")]
    Length,
    /// An attribute reaches over the end.
    #[error("STUN attribute {0:#06x} reaches over the end")]
    Attribute(u16),
    /// FINGERPRINT is there and wrong.
    #[error("the STUN fingerprint is wrong")]
    Fingerprint,
}

/// A message, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    data: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message that fills `data`. A FINGERPRINT, where there is one, has to be right
    /// (§14.7).
    ///
    /// # Errors
    /// [`ParseError`] says what is wrong.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        if !is_stun(data) {
            return Err(ParseError::NotStun);
        }
        let length = usize::from(u16_at(data, 2).unwrap_or_default());
        if length != data.len() - HEADER || !length.is_multiple_of(4) {
            return Err(ParseError::Length);
        }
        let message = Self { data };
        let mut at = HEADER;
        while at < data.len() {
            let kind = u16_at(data, at).ok_or(ParseError::Length)?;
            let length = usize::from(u16_at(data, at + 2).ok_or(ParseError::Attribute(kind))?);
            let next = at + 4 + length.next_multiple_of(4);
            if next > data.len() {
                return Err(ParseError::Attribute(kind));
            }
            // §14.7: the fingerprint is the last attribute.
            if kind == attr::FINGERPRINT && next == data.len() {
                let expected = super::integrity::fingerprint(data.get(..at).unwrap_or_default());
                if data.get(at + 4..next) != Some(&expected[..]) {
                    return Err(ParseError::Fingerprint);
                }
            }
            at = next;
        }
        Ok(message)
    }

    /// The bytes of the message.
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// The class.
    pub fn class(&self) -> Class {
        match self.kind() & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        }
    }

    /// The method: see [`method`](super::method).
    pub fn method(&self) -> u16 {
        let kind = self.kind();
        kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2
    }

    /// The transaction.
    pub fn id(&self) -> TransactionId {
        self.data.get(8..HEADER).and_then(|id| id.try_into().ok()).unwrap_or_default()
    }

    fn kind(&self) -> u16 {
        u16_at(self.data, 0).unwrap_or_default()
    }

    /// The attributes that count, in order: behind MESSAGE-INTEGRITY only those that may stand
    /// there (§14.5).
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { data: self.data, at: HEADER, behind: 0 }
    }

    /// The value of the first attribute of a type.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|a| a.0 == kind).map(|a| a.1)
    }

    /// Whether an attribute is there.
    pub fn has(&self, kind: u16) -> bool {
        self.get(kind).is_some()
    }

    /// A text attribute; `None` when it is absent or no UTF-8.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.get(kind)?).ok()
    }

    /// An attribute of 32 bits.
    pub fn u32(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// An attribute of 64 bits.
    pub fn u64(&self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// A number of 16 bits with two reserved octets behind it, as CHANNEL-NUMBER has it.
    pub fn u16(&self, kind: u16) -> Option<u16> {
        let value = self.get(kind)?;
        if value.len() == 4 { u16_at(value, 0) } else { None }
    }

    /// A plain address: MAPPED-ADDRESS, ALTERNATE-SERVER, OTHER-ADDRESS… (§14.1).
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        read_address(self.get(kind)?, &[0; 16])
    }

    /// A covered address: XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS… (§14.2).
    pub fn xor_address(&self, kind: u16) -> Option<SocketAddr> {
        read_address(self.get(kind)?, &mask(&self.id()))
    }

    /// The same of each attribute of that type.
    pub fn xor_addresses(&self, kind: u16) -> impl Iterator<Item = SocketAddr> + 'a {
        let mask = mask(&self.id());
        self.attributes().filter(move |a| a.0 == kind).filter_map(move |a| read_address(a.1, &mask))
    }

    /// The sender's address as the other side sees it: XOR-MAPPED-ADDRESS, or the MAPPED-ADDRESS
    /// of an older server.
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.xor_address(attr::XOR_MAPPED_ADDRESS).or_else(|| self.address(attr::MAPPED_ADDRESS))
    }

    /// ERROR-CODE (§14.8): 300 to 699 and its phrase.
    pub fn error(&self) -> Option<(u16, &'a str)> {
        let value = self.get(attr::ERROR_CODE)?;
        let (class, number) = (*value.get(2)? & 7, *value.get(3)?);
        if !(3..=6).contains(&class) || number > 99 {
            return None;
        }
        let phrase = std::str::from_utf8(value.get(4..)?).unwrap_or_default();
        Some((u16::from(class) * 100 + u16::from(number), phrase))
    }

    /// UNKNOWN-ATTRIBUTES (§14.13).
    pub fn unknown_attributes(&self) -> SmallVec<[u16; 8]> {
        let value = self.get(attr::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        value.as_chunks::<2>().0.iter().map(|c| u16::from_be_bytes(*c)).collect()
    }

    /// Attributes that must be understood and are not among `known` (§6.3.1): types below 0x8000.
    pub fn not_understood(&self, known: &[u16]) -> SmallVec<[u16; 8]> {
        let mut unknown = SmallVec::new();
        for (kind, _) in self.attributes() {
            let framed = matches!(kind, attr::MESSAGE_INTEGRITY | attr::MESSAGE_INTEGRITY_SHA256);
            if kind < 0x8000 && !framed && !known.contains(&kind) && !unknown.contains(&kind) {
                unknown.push(kind);
            }
        }
        unknown
    }
}

/// The attributes of a [`Message`] as types and values.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    data: &'a [u8],
    at: usize,
    // The integrity attribute that has gone by; 0 before any.
    behind: u16,
}

impl<'a> Attributes<'a> {
    /// The next attribute with its place in the message.
    pub(super) fn next_at(&mut self) -> Option<(usize, u16, &'a [u8])> {
        loop {
            let at = self.at;
            let kind = u16_at(self.data, at)?;
            let length = usize::from(u16_at(self.data, at + 2)?);
            let value = self.data.get(at + 4..at + 4 + length)?;
            self.at = at + 4 + length.next_multiple_of(4);
            let counts = match self.behind {
                0 => true,
                attr::MESSAGE_INTEGRITY => {
                    matches!(kind, attr::MESSAGE_INTEGRITY_SHA256 | attr::FINGERPRINT)
                }
                _ => kind == attr::FINGERPRINT,
            };
            if !counts {
                continue;
            }
            if matches!(kind, attr::MESSAGE_INTEGRITY | attr::MESSAGE_INTEGRITY_SHA256) {
                self.behind = kind;
            }
            return Some((at, kind, value));
        }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_at().map(|(_, kind, value)| (kind, value))
    }
}

pub(super) fn is_stun(data: &[u8]) -> bool {
    data.len() >= HEADER
        && data.first().is_some_and(|first| first & 0xc0 == 0)
        && data.get(4..8) == Some(&COOKIE.to_be_bytes())
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

/// What an address is covered with: the cookie, then the transaction.
pub(super) fn mask(id: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(id);
    mask
}

fn read_address(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let port = u16_at(value, 2)? ^ u16::from_be_bytes([mask[0], mask[1]]);
    let covered = value.get(4..)?;
    let ip: IpAddr = match (value.get(1)?, covered.len()) {
        (1, 4) => {
            let mut octets: [u8; 4] = covered.try_into().ok()?;
            octets.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
            Ipv4Addr::from(octets).into()
        }
        (2, 16) => {
            let mut octets: [u8; 16] = covered.try_into().ok()?;
            octets.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
