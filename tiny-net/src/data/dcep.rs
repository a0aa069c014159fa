//! The Data Channel Establishment Protocol (RFC 8832 §5): two messages.

use super::Error;
use super::options::Reliability;

/// The payload protocol identifier of its messages (§8.1).
pub const PPID: u32 = 50;
/// §8.2.1
const ACK: u8 = 2;
const OPEN: u8 = 3;
const UNORDERED: u8 = 0x80;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dcep {
    /// A channel is opened on the stream that this comes on.
    Open(Open),
    /// The other side has it, too.
    Ack,
}

/// The properties of a channel (§5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Messages keep their order.
    pub ordered: bool,
    /// How long a message is tried.
    pub reliability: Reliability,
    /// Weight beside other channels: 128, 256, 512, 1024 are low, normal, high, extra high.
    pub priority: u16,
    /// Name for the application.
    pub label: String,
    /// What is spoken in it; a registered WebSocket subprotocol.
    pub protocol: String,
}

impl Dcep {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Error::Protocol`].
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        const SHORT: Error = Error::Protocol("an open message that ends too soon");
        match message {
            [ACK, ..] => return Ok(Self::Ack),
            [OPEN, ..] => {}
            _ => return Err(Error::Protocol("an unknown message of the establishment protocol")),
        }
        let (head, rest) = message.split_first_chunk::<12>().ok_or(SHORT)?;
        let short = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let parameter = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let reliability = match head[1] & !UNORDERED {
            0 => Reliability::Full,
            1 => Reliability::Retransmits(parameter),
            2 => Reliability::Lifetime(std::time::Duration::from_millis(parameter.into())),
            _ => return Err(Error::Protocol("an unknown channel type")),
        };
        let (label, rest) = rest.split_at_checked(short(8).into()).ok_or(SHORT)?;
        let (protocol, _) = rest.split_at_checked(short(10).into()).ok_or(SHORT)?;
        let text = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|_| Error::Protocol("a label that is not UTF-8"))
        };
        Ok(Self::Open(Open {
            ordered: head[1] & UNORDERED == 0,
            reliability,
            priority: short(2),
            label: text(label)?,
            protocol: text(protocol)?,
        }))
    }

    /// Writes a message. What is longer than its length field is cut.
    pub fn write(&self) -> Vec<u8> {
        let Self::Open(open) = self else { return vec![ACK] };
        let (mut kind, parameter) = match open.reliability {
            Reliability::Full => (0, 0),
            Reliability::Retransmits(n) => (1, n),
            Reliability::Lifetime(d) => (2, u32::try_from(d.as_millis()).unwrap_or(u32::MAX)),
        };
        if !open.ordered {
            kind |= UNORDERED;
        }
        let cut = |text: &str| text.floor_char_boundary(u16::MAX.into());
        let (label, protocol) = (cut(&open.label), cut(&open.protocol));
        let mut message = vec![OPEN, kind];
        message.extend_from_slice(&open.priority.to_be_bytes());
        message.extend_from_slice(&parameter.to_be_bytes());
        message.extend_from_slice(&(label as u16).to_be_bytes());
        message.extend_from_slice(&(protocol as u16).to_be_bytes());
        message.extend_from_slice(&open.label.as_bytes()[..label]);
        message.extend_from_slice(&open.protocol.as_bytes()[..protocol]);
        message
    }
}
