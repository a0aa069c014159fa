//! The part of STUN (RFC 8489) that keeps SIP flows over UDP alive (RFC 5626 §4.4.2, §8): Binding
//! requests without attributes, and the address in their answers. Told apart from SIP by the first
//! octet and the magic cookie. It authenticates nothing and never answers an indication.

use bytes::{BufMut, Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const COOKIE: u32 = 0x2112_A442;
const HEADER: usize = 20;
const BINDING: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// What ties an answer to its request.
pub type TransactionId = [u8; 12];

/// A message of the Binding method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Asks for one's own address.
    Request(TransactionId),
    /// The sender's address as the server sees it.
    Success(TransactionId, SocketAddr),
    /// The server refused, or answered without an address.
    Error(TransactionId),
}

/// Whether a datagram is STUN and not SIP: SIP begins with a letter, STUN with two zero bits, and it
/// has the cookie.
pub fn is_stun(data: &[u8]) -> bool {
    data.len() >= HEADER
        && data.first().is_some_and(|first| first & 0xc0 == 0)
        && data.get(4..8) == Some(&COOKIE.to_be_bytes())
}

impl Binding {
    /// Reads a message; `None` for another method, another class or a malformed one.
    pub fn parse(data: &[u8]) -> Option<Self> {
        if !is_stun(data) {
            return None;
        }
        let kind = number(data, 0)?;
        let length = usize::from(number(data, 2)?);
        let id: TransactionId = data.get(8..HEADER)?.try_into().ok()?;
        let attributes = data.get(HEADER..)?;
        if length != attributes.len() || length % 4 != 0 {
            return None;
        }
        match kind {
            BINDING => Some(Self::Request(id)),
            ERROR => Some(Self::Error(id)),
            SUCCESS => Some(match address(attributes, &id) {
                Some(addr) => Self::Success(id, addr),
                None => Self::Error(id),
            }),
            _ => None,
        }
    }

    /// The message as it is sent. An error says 400.
    pub fn to_bytes(self) -> Bytes {
        let mut body = BytesMut::new();
        let (kind, id) = match self {
            Self::Request(id) => (BINDING, id),
            Self::Success(id, addr) => {
                put_address(&mut body, addr, &id);
                (SUCCESS, id)
            }
            Self::Error(id) => {
                // ERROR-CODE (RFC 8489 §14.8): class 4, number 0, no reason phrase.
                body.put_slice(&[0x00, 0x09, 0x00, 0x04, 0, 0, 4, 0]);
                (ERROR, id)
            }
        };
        let mut out = BytesMut::with_capacity(HEADER + body.len());
        out.put_u16(kind);
        out.put_u16(body.len() as u16);
        out.put_u32(COOKIE);
        out.put_slice(&id);
        out.put_slice(&body);
        out.freeze()
    }
}

fn number(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

/// XOR-MAPPED-ADDRESS (§14.2), or the MAPPED-ADDRESS of an older server (§14.1).
fn address(mut attributes: &[u8], id: &TransactionId) -> Option<SocketAddr> {
    let mut plain = None;
    while attributes.len() >= 4 {
        let (kind, length) = (number(attributes, 0)?, usize::from(number(attributes, 2)?));
        let value = attributes.get(4..4 + length)?;
        match kind {
            XOR_MAPPED_ADDRESS => return read_address(value, Some(id)),
            MAPPED_ADDRESS => plain = read_address(value, None),
            _ => {}
        }
        attributes = attributes.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    plain
}

/// What an address is covered with: the cookie, then the transaction.
fn mask(id: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(id);
    mask
}

fn read_address(value: &[u8], id: Option<&TransactionId>) -> Option<SocketAddr> {
    let mask = id.map_or([0; 16], mask);
    let port = number(value, 2)? ^ u16::from_be_bytes([mask[0], mask[1]]);
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

fn put_address(out: &mut BytesMut, addr: SocketAddr, id: &TransactionId) {
    let mask = mask(id);
    let (family, octets) = match addr.ip() {
        IpAddr::V4(ip) => (1u16, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2u16, ip.octets().to_vec()),
    };
    out.put_u16(XOR_MAPPED_ADDRESS);
    out.put_u16(4 + octets.len() as u16);
    out.put_u16(family);
    out.put_u16(addr.port() ^ u16::from_be_bytes([mask[0], mask[1]]));
    octets.iter().zip(mask).for_each(|(octet, mask)| out.put_u8(octet ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_both_families_come_back() {
        for addr in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let message = Binding::Success([7; 12], addr.parse().unwrap());
            assert_eq!(Binding::parse(&message.to_bytes()), Some(message));
        }
        let request = Binding::Request([1; 12]);
        assert_eq!(request.to_bytes().len(), 20);
        assert_eq!(Binding::parse(&request.to_bytes()), Some(request));
        let error = Binding::Error([2; 12]);
        assert_eq!(Binding::parse(&error.to_bytes()), Some(error));
    }

    // RFC 5769 §2.2 and §2.3.
    #[test]
    fn the_sample_responses_are_read() {
        let id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let head = |length: u8| {
            let mut data = vec![0x01, 0x01, 0x00, length, 0x21, 0x12, 0xa4, 0x42];
            data.extend_from_slice(&id);
            data
        };
        let mut v4 = head(28);
        v4.extend_from_slice(b"\x80\x22\x00\x0btest vector ");
        v4.extend_from_slice(b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43");
        let addr = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(Binding::parse(&v4), Some(Binding::Success(id, addr)));
        let mut v6 = head(24);
        v6.extend_from_slice(b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79");
        v6.extend_from_slice(b"\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9");
        let addr = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(Binding::parse(&v6), Some(Binding::Success(id, addr)));
    }

    #[test]
    fn sip_and_keep_alives_are_not_taken_for_stun() {
        for text in ["OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n", "\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"]
        {
            assert!(!is_stun(text.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn it_never_panics(mut data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Binding::parse(&data);
            if data.len() >= 8 {
                data[..2].copy_from_slice(&SUCCESS.to_be_bytes());
                data[4..8].copy_from_slice(&COOKIE.to_be_bytes());
                let length = data.len().saturating_sub(HEADER) as u16;
                data[2..4].copy_from_slice(&length.to_be_bytes());
                let _ = Binding::parse(&data);
            }
        }
    }
}
