//! Why a message is refused, and how a request may be answered for it.

use super::Message;
use crate::StatusCode;
use crate::header::{HeaderError, HeaderName};

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The first line belongs to no SIP message, or there is none.
    #[error("not a SIP message")]
    NotSip,
    /// Larger than [`super::Limits::max_message`].
    #[error("the message is too large")]
    TooLarge,
    /// Larger than [`super::Limits::max_head`].
    #[error("the head of the message is too large")]
    HeadTooLarge,
    /// More than [`super::Limits::max_headers`].
    #[error("there are too many header fields")]
    TooManyHeaders,
    /// A line longer than [`super::Limits::max_line`].
    #[error("a header line is too long")]
    LineTooLong,
    /// A protocol version other than SIP/2.0.
    #[error("the protocol version is not SIP/2.0")]
    Version,
    /// A request line that breaks RFC 3261 §7.1.
    #[error("malformed request line")]
    RequestLine,
    /// A Request-URI that breaks its grammar or has a header part.
    #[error("malformed Request-URI")]
    RequestUri,
    /// A status line that breaks RFC 3261 §7.2.
    #[error("malformed status line")]
    StatusLine,
    /// A header line without a name or a colon.
    #[error("malformed header line")]
    HeaderLine,
    /// A CR that ends no line, or a NUL that is not quoted.
    #[error("a CR or NUL in the head where it may not be")]
    Control,
    /// A head that is not UTF-8.
    #[error("the head is not UTF-8")]
    Encoding,
    /// No empty line after the header fields.
    #[error("no empty line after the header fields")]
    Unfinished,
    /// Content-Length is not a number, or there are several.
    #[error("bad Content-Length header field")]
    ContentLength,
    /// Content-Length gives more octets than there are.
    #[error("the body is shorter than Content-Length")]
    BodyShort,
    /// A header field that may occur once occurs again.
    #[error("more than one {0} header field")]
    Repeated(HeaderName),
    /// The method of CSeq is not that of the request line.
    #[error("the methods of CSeq and request line differ")]
    CSeqMethod,
    /// A header field that every message needs is absent or malformed.
    #[error(transparent)]
    Header(HeaderError),
}

impl Defect {
    /// The status with which a request that has it is answered.
    pub fn status(&self) -> StatusCode {
        StatusCode::known(match self {
            Self::Version => 505,
            Self::TooLarge | Self::HeadTooLarge | Self::LineTooLong | Self::TooManyHeaders => 513,
            _ => 400,
        })
    }

    /// The reason phrase for that answer: as specific as possible (RFC 3261 §21.4.1).
    pub fn reason(&self) -> String {
        match self {
            Self::Version | Self::TooLarge => self.status().default_reason().to_owned(),
            other => format!("Bad Request - {other}"),
        }
    }
}

/// A message that cannot be processed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A malformed request.
    #[error("bad request: {what}")]
    Request {
        /// What could be read of it, enough to build an answer from, if anything could: ask it for
        /// the raw [`Message::headers`] of Via, From, To, Call-ID, CSeq.
        partial: Option<Box<Message>>,
        /// What is wrong.
        what: Defect,
    },
    /// A malformed response: to be discarded (RFC 3261 §18.1.2).
    #[error("bad response: {what}")]
    Response {
        /// What is wrong.
        what: Defect,
    },
    /// Not recognizable as either: to be discarded.
    #[error("{what}")]
    Unknown {
        /// What is wrong.
        what: Defect,
    },
}

impl ParseError {
    /// What is wrong.
    pub fn what(&self) -> Defect {
        match *self {
            Self::Request { what, .. } | Self::Response { what } | Self::Unknown { what } => what,
        }
    }
}
