//! The printer of every message that is sent (RFC 3261 §7): straight into one buffer. No value can
//! break out of its header field: CR, LF and NUL make the message an error. It never sends.

use crate::header::{CSeq, HeaderName, NameAddr, Params, Via, chars};
use crate::{Message, Method, StatusCode, Uri};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

/// A value that would have broken the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A header field's value has CR, LF or NUL in it.
    #[error("the value of {name} holds a line break or NUL")]
    Value {
        /// Which header field.
        name: String,
    },
    /// A header field's name is not a token.
    #[error("{name:?} is not a header field name")]
    Name {
        /// The name.
        name: String,
    },
    /// A Request-URI or reason phrase with characters that may not be there.
    #[error("the start line holds a character that may not be there")]
    StartLine,
}

/// What can be written as (part of) a header field's value. `format_args!` is, for all that prints.
pub trait Value {
    /// Appends the value.
    fn write(&self, out: &mut String);
}

/// A value by itself.
pub(crate) fn text(value: impl Value) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

/// Prints one message, in the order of the calls. Errors are kept and told by
/// [`Writer::finish`].
///
/// ```
/// use tiny_sip::{HeaderName, Method, Writer};
/// let request = Writer::request(&Method::Options, "sip:bob@example.com")
///     .header(HeaderName::MaxForwards, 70u32)
///     .header_named("X-Colour", "blue")
///     .finish()
///     .unwrap();
/// assert_eq!(
///     &request[..],
///     b"OPTIONS sip:bob@example.com SIP/2.0\r\nMax-Forwards: 70\r\nX-Colour: blue\r\n\
///       Content-Length: 0\r\n\r\n"
/// );
/// ```
#[derive(Debug)]
pub struct Writer {
    out: String,
    body: Bytes,
    error: Option<WriteError>,
}

impl Writer {
    /// Begins a request.
    pub fn request(method: &Method, uri: &str) -> Self {
        let mut writer = Self::start();
        // The URI may come from an application: a blank in it would forge the request line.
        if uri.is_empty() || uri.bytes().any(|b| b <= b' ') {
            writer.error = Some(WriteError::StartLine);
        }
        if let Method::Other(text) = method
            && (text.is_empty() || !chars::all(text.as_bytes(), chars::TOKEN))
        {
            writer.error = Some(WriteError::StartLine);
        }
        writer.out.push_str(method.as_str());
        writer.out.push(' ');
        writer.out.push_str(uri);
        writer.out.push_str(" SIP/2.0\r\n");
        writer
    }

    /// Begins a response; an empty reason gives the status's usual one.
    pub fn response(status: StatusCode, reason: &str) -> Self {
        let mut writer = Self::start();
        writer.out.push_str("SIP/2.0 ");
        put_number(&mut writer.out, status.code().into());
        writer.out.push(' ');
        let reason = if reason.is_empty() { status.default_reason() } else { reason };
        if !is_safe(reason.as_bytes()) {
            writer.error = Some(WriteError::StartLine);
        }
        writer.out.push_str(reason);
        writer.out.push_str("\r\n");
        writer
    }

    /// Begins with the start line of another message, as it came.
    pub fn start_line_of(message: &Message) -> Self {
        let mut writer = Self::start();
        if let Some(method) = message.method() {
            return Self::request(method, message.request_uri());
        }
        writer.out.push_str("SIP/2.0 ");
        let status = message.status().map_or(0, StatusCode::code);
        put_number(&mut writer.out, status.into());
        writer.out.push(' ');
        writer.out.push_str(message.reason());
        writer.out.push_str("\r\n");
        writer
    }

    fn start() -> Self {
        // More than nearly every head, and less than what the system's allocator takes for large.
        Self { out: String::with_capacity(1000), body: Bytes::new(), error: None }
    }

    /// A Via of ours: `SIP/2.0/UDP host:port;branch=…;rport` (RFC 3261 §8.1.1.7, RFC 3581).
    pub fn via(self, transport: tiny_sak::Transport, sent_by: impl Value, branch: &str) -> Self {
        self.line(HeaderName::Via.as_str(), |out| {
            out.push_str("SIP/2.0/");
            out.push_str(transport.via_name());
            out.push(' ');
            sent_by.write(out);
            out.push_str(";branch=");
            out.push_str(branch);
            out.push_str(";rport");
        })
    }

    /// CSeq.
    pub fn cseq(self, number: u32, method: &Method) -> Self {
        self.line(HeaderName::CSeq.as_str(), |out| {
            put_number(out, number.into());
            out.push(' ');
            out.push_str(method.as_str());
        })
    }

    /// One header line. [`HeaderName::Other`] is refused: use [`Writer::header_named`].
    pub fn header(self, name: HeaderName, value: impl Value) -> Self {
        match name {
            HeaderName::Other => self.put(name.as_str(), |out| value.write(out)),
            known => self.line(known.as_str(), |out| value.write(out)),
        }
    }

    /// One header line under a name given as text. Content-Length is ignored: it is always written
    /// by [`Writer::finish`].
    pub fn header_named(self, name: &str, value: impl Value) -> Self {
        if HeaderName::parse(name) == HeaderName::ContentLength {
            return self;
        }
        self.put(name, |out| value.write(out))
    }

    /// Every line of that name in `message`, verbatim and in order, under its canonical name.
    pub fn copy(mut self, message: &Message, name: HeaderName) -> Self {
        for value in message.headers(name) {
            self = self.header(name, value);
        }
        self
    }

    /// Content-Type and body. An empty body with an empty type is none.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        if content_type.is_empty() {
            return self;
        }
        self.header(HeaderName::ContentType, content_type)
    }

    /// The message, with Content-Length and body.
    ///
    /// # Errors
    /// The first value that was refused.
    pub fn finish(mut self) -> Result<Bytes, WriteError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.out.push_str("Content-Length: ");
        put_number(&mut self.out, self.body.len() as u64);
        self.out.push_str("\r\n\r\n");
        let mut out = self.out.into_bytes();
        out.reserve_exact(self.body.len());
        out.extend_from_slice(&self.body);
        Ok(out.into())
    }

    fn put(mut self, name: &str, write: impl FnOnce(&mut String)) -> Self {
        if name.is_empty() || !chars::all(name.as_bytes(), chars::TOKEN) {
            let error = WriteError::Name { name: name.to_owned() };
            self.error = self.error.or(Some(error));
            return self;
        }
        self.line(name, write)
    }

    /// One header line under a name that is known to be one.
    fn line(mut self, name: &str, write: impl FnOnce(&mut String)) -> Self {
        if self.error.is_some() {
            return self;
        }
        self.out.push_str(name);
        self.out.push_str(": ");
        let at = self.out.len();
        write(&mut self.out);
        if !is_safe(&self.out.as_bytes()[at..]) {
            self.error = Some(WriteError::Value { name: name.to_owned() });
        }
        self.out.push_str("\r\n");
        self
    }

    /// Whether a header field of an application's choice could be written: for telling it at once.
    ///
    /// # Errors
    /// What [`Writer::finish`] would say.
    pub fn check(name: &str, value: &str) -> Result<(), WriteError> {
        let mut writer = Self { out: String::new(), body: Bytes::new(), error: None };
        writer = writer.put(name, |out| out.push_str(value));
        writer.error.map_or(Ok(()), Err)
    }
}

/// No CR and no LF, and NUL only where a backslash quotes it (RFC 3261 §25.1 `quoted-pair`), as a
/// display name copied from a peer may have it.
fn is_safe(value: &[u8]) -> bool {
    let mut odd = false;
    for &b in value {
        odd |= (b < 0x20) & (b != b'\t');
    }
    let before = [b' '].iter().chain(value);
    let breaks = |(b, before): (&u8, &u8)| match b {
        b'\r' | b'\n' => true,
        0 => *before != b'\\',
        _ => false,
    };
    !odd || !value.iter().zip(before).any(breaks)
}

fn put_number(out: &mut String, number: u64) {
    if number > 9 {
        put_number(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

macro_rules! text_values {
    ($($type:ty),*) => {
        $(impl Value for $type {
            fn write(&self, out: &mut String) {
                out.push_str(self);
            }
        })*
    };
}
text_values!(str, String, Box<str>, Cow<'_, str>, tiny_sak::id::Token);

macro_rules! number_values {
    ($($type:ty),*) => {
        $(impl Value for $type {
            fn write(&self, out: &mut String) {
                put_number(out, *self as u64);
            }
        })*
    };
}
number_values!(u8, u16, u32, u64, usize);

macro_rules! view_values {
    ($($type:ty),*) => {
        $(impl Value for $type {
            fn write(&self, out: &mut String) {
                out.push_str(self.as_str());
            }
        })*
    };
}
view_values!(NameAddr<'_>, Via<'_>, Uri<'_>, Params<'_>, Method);

impl Value for CSeq<'_> {
    fn write(&self, out: &mut String) {
        put_number(out, self.number.into());
        out.push(' ');
        out.push_str(self.method);
    }
}

impl Value for fmt::Arguments<'_> {
    fn write(&self, out: &mut String) {
        // Writing to a buffer that grows does not fail.
        let _ = out.write_fmt(*self);
    }
}

/// One after the other.
impl<const N: usize> Value for [&str; N] {
    fn write(&self, out: &mut String) {
        self.iter().for_each(|part| out.push_str(part));
    }
}

impl Value for IpAddr {
    fn write(&self, out: &mut String) {
        let IpAddr::V4(ip) = self else { return format_args!("{self}").write(out) };
        for (octet, dot) in ip.octets().into_iter().zip([".", ".", ".", ""]) {
            put_number(out, octet.into());
            out.push_str(dot);
        }
    }
}

impl Value for SocketAddr {
    fn write(&self, out: &mut String) {
        if self.is_ipv6() {
            return format_args!("{self}").write(out);
        }
        self.ip().write(out);
        out.push(':');
        put_number(out, self.port().into());
    }
}

impl<T: Value + ?Sized> Value for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

#[cfg(test)]
mod tests;
