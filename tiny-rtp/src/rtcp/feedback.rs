//! Goodbye, application-defined, feedback and unknown packets (RFC 3550 §6.6, §6.7; RFC 4585 §6.1).

use super::word;
use crate::Ssrc;

/// Sources that leave.
#[derive(Debug, Clone, Copy)]
pub struct Bye<'a> {
    sources: &'a [u8],
    /// Why, when the sender says so; UTF-8 by the rules, unchecked.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    pub(crate) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (sources, rest) = body.split_at_checked(usize::from(count) * 4)?;
        let reason = match rest.split_first() {
            Some((&len, text)) => Some(text.get(..usize::from(len))?),
            None => None,
        };
        Some(Self { sources, reason })
    }

    /// Who leaves, at most 31.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ssrc> + 'a {
        self.sources.as_chunks::<4>().0.iter().map(|w| Ssrc(u32::from_be_bytes(*w)))
    }
}

/// An application-defined packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct App<'a> {
    /// Five bits for the application's use.
    pub subtype: u8,
    /// Who sends it.
    pub ssrc: Ssrc,
    /// Four ASCII characters.
    pub name: [u8; 4],
    /// The rest.
    pub data: &'a [u8],
}

impl<'a> App<'a> {
    pub(crate) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (head, data) = body.split_first_chunk::<8>()?;
        let [a, b, c, d, name @ ..] = *head;
        Some(Self { subtype: count, ssrc: Ssrc(u32::from_be_bytes([a, b, c, d])), name, data })
    }
}

/// The two families of feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedbackKind {
    /// Type 205: about packets, e.g. generic NACK.
    Transport,
    /// Type 206: about what they carry, e.g. picture loss.
    Payload,
}

/// A feedback packet; what it asks for is left to whoever knows the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// The family.
    pub kind: FeedbackKind,
    /// The feedback message type, five bits.
    pub format: u8,
    /// Who sends it.
    pub sender: Ssrc,
    /// The source it is about; some formats leave it 0.
    pub media: Ssrc,
    /// The feedback control information.
    pub control: &'a [u8],
}

impl<'a> Feedback<'a> {
    pub(crate) fn parse(kind: FeedbackKind, format: u8, body: &'a [u8]) -> Option<Self> {
        let (sender, media) = (Ssrc(word(body, 0)?), Ssrc(word(body, 4)?));
        Some(Self { kind, format, sender, media, control: &body[8..] })
    }
}

/// A packet of a type that is not interpreted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The packet type, 192 to 223.
    pub packet_type: u8,
    /// The five bits behind the padding bit.
    pub count: u8,
    /// What follows the header word.
    pub body: &'a [u8],
}
