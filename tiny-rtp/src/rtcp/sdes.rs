//! Source descriptions (RFC 3550 §6.5): CNAME and its optional companions.

use super::word;
use crate::Ssrc;

/// What an item describes (§6.5.1–6.5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SdesKind {
    /// The canonical name that binds the streams of one participant.
    Cname,
    /// A name for people.
    Name,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A place.
    Location,
    /// The program.
    Tool,
    /// A passing note.
    Note,
    /// A private extension: prefix length, prefix, value.
    Private,
    /// The media identification tag (RFC 8843 §15.2).
    Mid,
    /// Any other.
    Other(u8),
}

impl SdesKind {
    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Cname,
            2 => Self::Name,
            3 => Self::Email,
            4 => Self::Phone,
            5 => Self::Location,
            6 => Self::Tool,
            7 => Self::Note,
            8 => Self::Private,
            15 => Self::Mid,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Cname => 1,
            Self::Name => 2,
            Self::Email => 3,
            Self::Phone => 4,
            Self::Location => 5,
            Self::Tool => 6,
            Self::Note => 7,
            Self::Private => 8,
            Self::Mid => 15,
            Self::Other(code) => code,
        }
    }
}

/// One item; its text is UTF-8 by the rules, but nobody has checked it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdesItem<'a> {
    /// What it describes.
    pub kind: SdesKind,
    /// The octets, at most 255.
    pub text: &'a [u8],
}

/// The items of one source.
#[derive(Debug, Clone, Copy)]
pub struct SdesChunk<'a> {
    /// The source that is described.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

impl<'a> SdesChunk<'a> {
    /// The items in order.
    pub fn items(&self) -> impl Iterator<Item = SdesItem<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (item, after) = split_item(rest)?;
            rest = after;
            Some(item)
        })
    }

    /// The canonical name.
    pub fn cname(&self) -> Option<&'a [u8]> {
        self.items().find(|i| i.kind == SdesKind::Cname).map(|i| i.text)
    }
}

// `None` at the terminating null, at the end, and where an item does not fit.
fn split_item(data: &[u8]) -> Option<(SdesItem<'_>, &[u8])> {
    let (&[code, len], rest) = data.split_first_chunk::<2>()?;
    if code == 0 {
        return None;
    }
    let (text, rest) = rest.split_at_checked(usize::from(len))?;
    Some((SdesItem { kind: SdesKind::from_code(code), text }, rest))
}

/// A source description packet; every chunk has been checked for form.
#[derive(Debug, Clone, Copy)]
pub struct SourceDescription<'a> {
    count: u8,
    body: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(crate) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        for _ in 0..count {
            (_, rest) = split_chunk(rest)?;
        }
        Some(Self { count, body })
    }

    /// The chunks, at most 31.
    pub fn chunks(&self) -> impl Iterator<Item = SdesChunk<'a>> + use<'a> {
        let mut rest = self.body;
        (0..self.count).map_while(move |_| {
            let (chunk, after) = split_chunk(rest)?;
            rest = after;
            Some(chunk)
        })
    }
}

fn split_chunk(data: &[u8]) -> Option<(SdesChunk<'_>, &[u8])> {
    let ssrc = Ssrc(word(data, 0)?);
    let items = &data[4..];
    let mut len = 0;
    loop {
        match items.get(len) {
            // §6.5: one or more nulls end the list and fill up to a 32-bit boundary.
            Some(0) => break,
            Some(_) => len += 2 + usize::from(*items.get(len + 1)?),
            None => return None,
        }
    }
    let list = items.get(..len)?;
    let end = (len + 1).next_multiple_of(4);
    Some((SdesChunk { ssrc, items: list }, items.get(end..)?))
}
