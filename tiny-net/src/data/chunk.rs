//! Packets and chunks (RFC 9260 §3, RFC 3758 §3, RFC 6525 §3, §4), read without copies and written in
//! place. Lengths are checked here, meanings where they are used.

use super::crc;
use bytes::Bytes;

pub(super) const HEADER: usize = 12;
/// Of a DATA chunk (RFC 9260 §3.3.1).
pub(super) const DATA_HEADER: usize = 16;

pub(super) const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const SACK: u8 = 3;
pub(super) const HEARTBEAT: u8 = 4;
pub(super) const HEARTBEAT_ACK: u8 = 5;
pub(super) const ABORT: u8 = 6;
pub(super) const SHUTDOWN: u8 = 7;
pub(super) const SHUTDOWN_ACK: u8 = 8;
pub(super) const ERROR: u8 = 9;
pub(super) const COOKIE_ECHO: u8 = 10;
pub(super) const COOKIE_ACK: u8 = 11;
pub(super) const SHUTDOWN_COMPLETE: u8 = 14;
pub(super) const RE_CONFIG: u8 = 130;
pub(super) const FORWARD_TSN: u8 = 192;

// Flags of a DATA chunk.
pub(super) const END: u8 = 1;
pub(super) const BEGIN: u8 = 2;
pub(super) const UNORDERED: u8 = 4;
pub(super) const IMMEDIATE: u8 = 8;

// Parameters of INIT and INIT ACK.
const STATE_COOKIE: u16 = 7;
const SUPPORTED_EXTENSIONS: u16 = 0x8008;
const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
const HEARTBEAT_INFO: u16 = 1;

// Parameters of RE-CONFIG.
const OUTGOING_RESET: u16 = 13;
const RESPONSE: u16 = 16;

// Error causes (RFC 9260 §3.3.10).
pub(super) const CAUSE_RESOURCES: u16 = 4;
pub(super) const CAUSE_CHUNK: u16 = 6;
pub(super) const CAUSE_NO_DATA: u16 = 9;
pub(super) const CAUSE_USER: u16 = 12;
pub(super) const CAUSE_PROTOCOL: u16 = 13;

/// The common header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) tag: u32,
}

impl Header {
    /// The header and the chunks behind it, when the checksum is right.
    pub(super) fn split(packet: &[u8]) -> Option<(Self, Chunks<'_>)> {
        let (head, rest) = packet.split_first_chunk::<HEADER>()?;
        let [a, b, c, d, e, f, g, h, sum @ ..] = *head;
        if crc::of_packet(packet) != sum {
            return None;
        }
        let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let tag = u32::from_be_bytes([e, f, g, h]);
        Some((Self { source, destination, tag }, Chunks(rest)))
    }

    pub(super) fn begin(self, capacity: usize) -> Vec<u8> {
        let mut packet = Vec::with_capacity(capacity);
        packet.extend_from_slice(&self.source.to_be_bytes());
        packet.extend_from_slice(&self.destination.to_be_bytes());
        packet.extend_from_slice(&self.tag.to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        packet
    }
}

/// Puts the checksum into a packet.
pub(super) fn seal(packet: &mut [u8]) {
    let sum = crc::of_packet(packet);
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&sum);
    }
}

/// One chunk, or one parameter of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) value: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// The chunks of a packet; ends at the first that does not fit.
pub(super) struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let [kind, flags, a, b, ..] = *self.0 else { return None };
        let length = usize::from(u16::from_be_bytes([a, b]));
        let whole = self.0.get(..length)?;
        let value = whole.get(4..)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Raw { kind, flags, value, whole })
    }
}

/// Parameters: the same with a type of 16 bits.
struct Parameters<'a>(Chunks<'a>);

impl<'a> Iterator for Parameters<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|raw| (u16::from_be_bytes([raw.kind, raw.flags]), raw.value))
    }
}

fn parameters(value: &[u8]) -> Parameters<'_> {
    Parameters(Chunks(value))
}

fn u32_at(value: &[u8], at: usize) -> Option<u32> {
    value.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn u16_at(value: &[u8], at: usize) -> Option<u16> {
    value.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// Appends a chunk, padded.
pub(super) fn put(packet: &mut Vec<u8>, kind: u8, flags: u8, parts: &[&[u8]]) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    packet.extend_from_slice(&[kind, flags]);
    packet.extend_from_slice(&(length as u16).to_be_bytes());
    parts.iter().for_each(|part| packet.extend_from_slice(part));
    packet.resize(packet.len().next_multiple_of(4), 0);
}

fn put_parameter(value: &mut Vec<u8>, kind: u16, content: &[u8]) {
    let [high, low] = kind.to_be_bytes();
    put(value, high, low, &[content]);
}

/// An error cause as ERROR and ABORT have it.
pub(super) fn cause(code: u16, content: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    put_parameter(&mut value, code, content);
    value
}

/// What the causes of an ABORT say, in words.
pub(super) fn causes(value: &[u8]) -> String {
    let Some((code, content)) = parameters(value).next() else { return "without a cause".into() };
    let text = std::str::from_utf8(content).ok().filter(|t| !t.is_empty());
    let text = text.filter(|t| t.chars().all(|c| !c.is_control())).unwrap_or_default();
    let text: String = text.chars().take(128).collect();
    match (code, text.as_str()) {
        (CAUSE_USER, "") => "its user ended them".into(),
        (CAUSE_USER, text) => text.into(),
        (code, "") => format!("cause {code}"),
        (code, text) => format!("cause {code}, {text}"),
    }
}

/// INIT and INIT ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) tag: u32,
    pub(super) window: u32,
    pub(super) outgoing: u16,
    pub(super) incoming: u16,
    pub(super) tsn: u32,
    pub(super) forward_tsn: bool,
    pub(super) re_config: bool,
}

impl Init {
    /// With the cookie, which an INIT ACK has.
    pub(super) fn parse(value: &[u8]) -> Option<(Self, Option<&[u8]>)> {
        let mut init = Self {
            tag: u32_at(value, 0)?,
            window: u32_at(value, 4)?,
            outgoing: u16_at(value, 8)?,
            incoming: u16_at(value, 10)?,
            tsn: u32_at(value, 12)?,
            forward_tsn: false,
            re_config: false,
        };
        let mut cookie = None;
        for (kind, content) in parameters(value.get(16..)?) {
            match kind {
                STATE_COOKIE => cookie = Some(content),
                FORWARD_TSN_SUPPORTED => init.forward_tsn = true,
                SUPPORTED_EXTENSIONS => {
                    init.forward_tsn |= content.contains(&FORWARD_TSN);
                    init.re_config |= content.contains(&RE_CONFIG);
                }
                // §3.2.1: the highest bit says whether to go on.
                kind if kind & 0x8000 == 0 && !matches!(kind, 5 | 6 | 9 | 11 | 12) => break,
                _ => {}
            }
        }
        Some((init, cookie))
    }

    pub(super) fn write(&self, cookie: Option<&[u8]>) -> Vec<u8> {
        let mut value = Vec::new();
        value.extend_from_slice(&self.tag.to_be_bytes());
        value.extend_from_slice(&self.window.to_be_bytes());
        value.extend_from_slice(&self.outgoing.to_be_bytes());
        value.extend_from_slice(&self.incoming.to_be_bytes());
        value.extend_from_slice(&self.tsn.to_be_bytes());
        put_parameter(&mut value, FORWARD_TSN_SUPPORTED, &[]);
        put_parameter(&mut value, SUPPORTED_EXTENSIONS, &[RE_CONFIG, FORWARD_TSN]);
        if let Some(cookie) = cookie {
            put_parameter(&mut value, STATE_COOKIE, cookie);
        }
        value
    }
}

/// A DATA chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) flags: u8,
    pub(super) tsn: u32,
    pub(super) stream: u16,
    pub(super) ssn: u16,
    pub(super) ppid: u32,
    pub(super) data: &'a [u8],
}

impl<'a> Data<'a> {
    pub(super) fn parse(raw: Raw<'a>) -> Option<Self> {
        Some(Self {
            flags: raw.flags,
            tsn: u32_at(raw.value, 0)?,
            stream: u16_at(raw.value, 4)?,
            ssn: u16_at(raw.value, 6)?,
            ppid: u32_at(raw.value, 8)?,
            data: raw.value.get(12..)?,
        })
    }

    pub(super) fn put(&self, packet: &mut Vec<u8>) {
        let (tsn, stream) = (self.tsn.to_be_bytes(), self.stream.to_be_bytes());
        let (ssn, ppid) = (self.ssn.to_be_bytes(), self.ppid.to_be_bytes());
        put(packet, DATA, self.flags, &[&tsn, &stream, &ssn, &ppid, self.data]);
    }
}

/// A SACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sack {
    pub(super) cumulative: u32,
    pub(super) window: u32,
    /// First and last, counted from the cumulative TSN.
    pub(super) gaps: Vec<(u16, u16)>,
    /// TSNs that came again.
    pub(super) duplicates: Vec<u32>,
}

impl Sack {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let gaps = usize::from(u16_at(value, 8)?);
        let (gaps, _) = value.get(12..)?.split_at_checked(gaps * 4)?;
        let (gaps, _) = gaps.as_chunks::<4>();
        let pair =
            |&[a, b, c, d]: &[u8; 4]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Some(Self {
            cumulative: u32_at(value, 0)?,
            window: u32_at(value, 4)?,
            gaps: gaps.iter().map(pair).collect(),
            duplicates: Vec::new(),
        })
    }

    pub(super) fn put(&self, packet: &mut Vec<u8>) {
        let mut value = Vec::with_capacity(12 + 4 * (self.gaps.len() + self.duplicates.len()));
        value.extend_from_slice(&self.cumulative.to_be_bytes());
        value.extend_from_slice(&self.window.to_be_bytes());
        value.extend_from_slice(&(self.gaps.len() as u16).to_be_bytes());
        value.extend_from_slice(&(self.duplicates.len() as u16).to_be_bytes());
        for (first, last) in &self.gaps {
            value.extend_from_slice(&first.to_be_bytes());
            value.extend_from_slice(&last.to_be_bytes());
        }
        for tsn in &self.duplicates {
            value.extend_from_slice(&tsn.to_be_bytes());
        }
        put(packet, SACK, 0, &[&value]);
    }
}

/// A FORWARD TSN (RFC 3758 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForwardTsn {
    pub(super) cumulative: u32,
    /// Ordered streams that skip, and to which number.
    pub(super) streams: Vec<(u16, u16)>,
}

impl ForwardTsn {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (streams, _) = value.get(4..)?.as_chunks::<4>();
        let pair =
            |&[a, b, c, d]: &[u8; 4]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Some(Self { cumulative: u32_at(value, 0)?, streams: streams.iter().map(pair).collect() })
    }

    pub(super) fn put(&self, packet: &mut Vec<u8>) {
        let mut value = self.cumulative.to_be_bytes().to_vec();
        for (stream, ssn) in &self.streams {
            value.extend_from_slice(&stream.to_be_bytes());
            value.extend_from_slice(&ssn.to_be_bytes());
        }
        put(packet, FORWARD_TSN, 0, &[&value]);
    }
}

/// A parameter of RE-CONFIG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReConfig {
    Outgoing {
        request: u32,
        response: u32,
        last_tsn: u32,
        streams: Vec<u16>,
    },
    Response {
        request: u32,
        result: u32,
    },
    /// A request of a kind that nobody needs here.
    Other {
        request: u32,
    },
}

impl ReConfig {
    /// At most two, as §3.1 allows.
    pub(super) fn parse(value: &[u8]) -> impl Iterator<Item = Self> {
        parameters(value).take(2).filter_map(|(kind, value)| {
            let request = u32_at(value, 0)?;
            Some(match kind {
                OUTGOING_RESET => {
                    let (streams, _) = value.get(12..)?.as_chunks::<2>();
                    Self::Outgoing {
                        request,
                        response: u32_at(value, 4)?,
                        last_tsn: u32_at(value, 8)?,
                        streams: streams.iter().copied().map(u16::from_be_bytes).collect(),
                    }
                }
                RESPONSE => Self::Response { request, result: u32_at(value, 4)? },
                _ => Self::Other { request },
            })
        })
    }

    pub(super) fn put(&self, packet: &mut Vec<u8>) {
        let mut value = Vec::new();
        match self {
            Self::Outgoing { request, response, last_tsn, streams } => {
                let mut content = Vec::with_capacity(12 + 2 * streams.len());
                content.extend_from_slice(&request.to_be_bytes());
                content.extend_from_slice(&response.to_be_bytes());
                content.extend_from_slice(&last_tsn.to_be_bytes());
                streams.iter().for_each(|s| content.extend_from_slice(&s.to_be_bytes()));
                // RFC 6525 §3.1: the padding of the last parameter is the chunk's.
                let length = 4 + content.len();
                put_parameter(&mut value, OUTGOING_RESET, &content);
                value.truncate(length);
            }
            Self::Response { request, result } => {
                let content = [request.to_be_bytes(), result.to_be_bytes()].concat();
                put_parameter(&mut value, RESPONSE, &content);
            }
            Self::Other { .. } => return,
        }
        put(packet, RE_CONFIG, 0, &[&value]);
    }
}

/// A HEARTBEAT that asks with this number.
pub(super) fn put_heartbeat(packet: &mut Vec<u8>, nonce: u64) {
    let mut value = Vec::new();
    put_parameter(&mut value, HEARTBEAT_INFO, &nonce.to_be_bytes());
    put(packet, HEARTBEAT, 0, &[&value]);
}

/// The number that a HEARTBEAT ACK brings back.
pub(super) fn heartbeat_nonce(value: &[u8]) -> Option<u64> {
    let (kind, content) = parameters(value).next()?;
    let content = content.first_chunk().filter(|_| kind == HEARTBEAT_INFO)?;
    Some(u64::from_be_bytes(*content))
}

/// A number of 32 bits that goes round, as the one of 64 that is nearest to another.
pub(super) fn near(value: u32, other: u64) -> u64 {
    let off = value.wrapping_sub(other as u32) as i32;
    other.wrapping_add_signed(off.into())
}

/// The same of 16 bits.
pub(super) fn near16(value: u16, other: u64) -> u64 {
    let off = value.wrapping_sub(other as u16) as i16;
    other.wrapping_add_signed(off.into())
}

/// Where numbers of 64 bits begin, so that none is ever before the first.
pub(super) fn first_of(value: u32) -> u64 {
    (1 << 33) + u64::from(value)
}

/// A piece of a message that has its number.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) flags: u8,
    pub(super) stream: u16,
    pub(super) ssn: u16,
    pub(super) ppid: u32,
    pub(super) data: Bytes,
}
