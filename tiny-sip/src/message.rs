//! A SIP message (RFC 3261 §7): one buffer and an index of its header lines. Nothing is copied
//! (folded header fields aside) and no header field is looked into before it is asked for.
//! What a message means is decided elsewhere.

mod error;
mod extensions;
mod fields;
mod limits;
mod parse;
mod validate;

pub use error::{Defect, ParseError};
pub use limits::Limits;

use crate::header::HeaderName;
use crate::{Method, StatusCode};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// A request or a response. Cloning copies two pointers.
#[derive(Clone)]
pub struct Message {
    data: Bytes,
    lines: Arc<[Line]>,
    start: Start,
    body: u32,
}

#[derive(Clone)]
enum Start {
    Request { method: Method, uri: Span },
    Response { status: StatusCode, reason: Span },
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    at: u32,
    len: u32,
}

// One header line: where its name and its trimmed value are.
#[derive(Debug, Clone, Copy)]
struct Line {
    name_at: u32,
    value_at: u32,
    value_len: u32,
    name_len: u16,
    name: HeaderName,
}

impl Message {
    /// Parses a complete message: a datagram, or what a [`crate::StreamFramer`] cut out of a
    /// stream. Octets after the length that Content-Length gives are dropped; without
    /// Content-Length the body goes to the end (RFC 3261 §18.3).
    ///
    /// # Errors
    /// [`ParseError::Request`] where the request may be answered, with what could be read of it.
    pub fn parse(data: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        parse::parse(data, limits)
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI as written; `""` in a response. [`crate::Uri::parse`] gives the typed view.
    pub fn request_uri(&self) -> &str {
        match self.start {
            Start::Request { uri, .. } => self.text(uri),
            Start::Response { .. } => "",
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<StatusCode> {
        match self.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// The reason phrase; `""` in a request.
    pub fn reason(&self) -> &str {
        match self.start {
            Start::Response { reason, .. } => self.text(reason),
            Start::Request { .. } => "",
        }
    }

    /// The first line of that name: unfolded and trimmed.
    #[inline]
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.lines.iter().find(|line| line.name == name).map(|line| self.value(line))
    }

    /// Every line of that name, in order.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> + Clone {
        self.lines.iter().filter(move |line| line.name == name).map(|line| self.value(line))
    }

    /// The first line of a name given as text: any case, compact forms too.
    pub fn header_named(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// Every line of a name given as text: any case, compact forms too.
    pub fn headers_named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + Clone {
        let known = HeaderName::parse(name);
        self.lines
            .iter()
            .filter(move |line| {
                line.name == known
                    && (known != HeaderName::Other || self.name(line).eq_ignore_ascii_case(name))
            })
            .map(|line| self.value(line))
    }

    /// Every header line in order: the name as written, the value unfolded and trimmed.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.lines.iter().map(|line| (self.name(line), self.value(line)))
    }

    /// The body; empty when there is none.
    pub fn body(&self) -> &[u8] {
        self.data.get(self.body as usize..).unwrap_or_default()
    }

    /// The body, sharing the message's buffer.
    pub fn body_bytes(&self) -> Bytes {
        self.data.slice((self.body as usize).min(self.data.len())..)
    }

    /// The whole message as it came (folds replaced by blanks, trailing octets dropped).
    pub fn as_bytes(&self) -> &Bytes {
        &self.data
    }

    fn name(&self, line: &Line) -> &str {
        self.text(Span { at: line.name_at, len: line.name_len.into() })
    }

    #[inline]
    fn value(&self, line: &Line) -> &str {
        self.text(Span { at: line.value_at, len: line.value_len })
    }

    // The head was found to be UTF-8 when it was parsed, and spans end beside ASCII characters.
    // Looking again costs a few nanoseconds a field; keeping a `&str` would take `unsafe`.
    #[inline]
    fn text(&self, span: Span) -> &str {
        let (from, to) = (span.at as usize, span.at as usize + span.len as usize);
        self.data
            .get(from..to)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            Start::Request { method, .. } => write!(f, "{method} {}", self.request_uri())?,
            Start::Response { status, .. } => write!(f, "{status} {}", self.reason())?,
        }
        write!(f, " ({} header lines, body of {} octets)", self.lines.len(), self.body().len())
    }
}

/// The same octets. (Header fields in another order or spelling make another message.)
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

#[cfg(test)]
mod tests;
