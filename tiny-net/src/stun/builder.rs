//! Writing STUN messages (RFC 8489 §5, §14). Values longer than 65 535 octets are cut, so that what is
//! written always parses; the integrity and then the fingerprint come last.

use super::attr;
use super::credentials::Algorithm;
use super::integrity::{Key, fingerprint};
use super::message::{COOKIE, Class, HEADER, TransactionId, mask};
use bytes::{BufMut, Bytes, BytesMut};
use std::net::{IpAddr, SocketAddr};

/// Writes one message.
#[derive(Debug, Clone)]
pub struct Builder {
    out: BytesMut,
    id: TransactionId,
}

impl Builder {
    /// A message without attributes.
    pub fn new(class: Class, method: u16, id: TransactionId) -> Self {
        let class = match class {
            Class::Request => 0x0000,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        };
        let kind = method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2 | class;
        let mut out = BytesMut::with_capacity(160);
        out.put_u16(kind);
        out.put_u16(0);
        out.put_u32(COOKIE);
        out.put_slice(&id);
        Self { out, id }
    }

    /// An attribute as it is.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        // What no longer fits is left out as a whole: the length has 16 bits.
        let room = (0xfffc - (self.out.len() - HEADER)).saturating_sub(4 + 64);
        let value = value.get(..value.len().min(room)).unwrap_or_default();
        self.out.put_u16(kind);
        self.out.put_u16(value.len() as u16);
        self.out.put_slice(value);
        self.out.put_bytes(0, value.len().next_multiple_of(4) - value.len());
        self.set_length(0);
        self
    }

    /// A text.
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, value.as_bytes())
    }

    /// An attribute without a value, such as USE-CANDIDATE.
    pub fn flag(self, kind: u16) -> Self {
        self.attribute(kind, &[])
    }

    /// Sixteen bits and two reserved octets, as CHANNEL-NUMBER has it.
    pub fn u16(self, kind: u16, value: u16) -> Self {
        self.u32(kind, u32::from(value) << 16)
    }

    /// Thirty-two bits.
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Sixty-four bits.
    pub fn u64(self, kind: u16, value: u64) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// A plain address (§14.1).
    pub fn address(self, kind: u16, addr: SocketAddr) -> Self {
        self.put_address(kind, addr, &[0; 16])
    }

    /// A covered address (§14.2).
    pub fn xor_address(self, kind: u16, addr: SocketAddr) -> Self {
        let mask = mask(&self.id);
        self.put_address(kind, addr, &mask)
    }

    fn put_address(self, kind: u16, addr: SocketAddr, mask: &[u8; 16]) -> Self {
        let mut value = [0u8; 20];
        let port = addr.port() ^ u16::from_be_bytes([mask[0], mask[1]]);
        value[2..4].copy_from_slice(&port.to_be_bytes());
        let length = match addr.ip() {
            IpAddr::V4(ip) => {
                value[1] = 1;
                value[4..8].copy_from_slice(&ip.octets());
                8
            }
            IpAddr::V6(ip) => {
                value[1] = 2;
                value[4..20].copy_from_slice(&ip.octets());
                20
            }
        };
        value[4..length].iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
        self.attribute(kind, &value[..length])
    }

    /// ERROR-CODE (§14.8).
    pub fn error(self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        self.attribute(attr::ERROR_CODE, &value)
    }

    /// UNKNOWN-ATTRIBUTES (§14.13).
    pub fn unknown_attributes(self, kinds: &[u16]) -> Self {
        let value: Vec<u8> = kinds.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        self.attribute(attr::UNKNOWN_ATTRIBUTES, &value)
    }

    /// PASSWORD-ALGORITHMS (§14.11).
    pub fn password_algorithms(self, algorithms: &[Algorithm]) -> Self {
        let each = algorithms.iter().flat_map(|a| [0, a.number() as u8, 0, 0]);
        let value: Vec<u8> = each.collect();
        self.attribute(attr::PASSWORD_ALGORITHMS, &value)
    }

    /// MESSAGE-INTEGRITY, HMAC-SHA1 (§14.5).
    pub fn integrity(mut self, key: &Key) -> Self {
        self.set_length(24);
        let tag = key.sha1(&self.out);
        self.attribute(attr::MESSAGE_INTEGRITY, &tag)
    }

    /// MESSAGE-INTEGRITY-SHA256, whole (§14.6).
    pub fn integrity_sha256(mut self, key: &Key) -> Self {
        self.set_length(36);
        let tag = key.sha256(&self.out);
        self.attribute(attr::MESSAGE_INTEGRITY_SHA256, &tag)
    }

    /// FINGERPRINT (§14.7), the last attribute.
    pub fn fingerprint(mut self) -> Self {
        self.set_length(8);
        let value = fingerprint(&self.out);
        self.attribute(attr::FINGERPRINT, &value)
    }

    /// The message.
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    // The length with `more` octets that are still to come, as integrity and fingerprint count it.
    fn set_length(&mut self, more: usize) {
        let length = (self.out.len() - HEADER + more) as u16;
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
    }
}
