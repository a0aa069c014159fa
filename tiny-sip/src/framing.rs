//! Messages and keep-alives out of a byte stream (RFC 3261 §18.3, §7.5; RFC 5626 §4.4.1).
//! It cuts; it does not parse. What it holds back is bounded by [`Limits`].

use crate::Limits;
use crate::header::{HeaderName, chars};
use bytes::{Buf, Bytes, BytesMut};

/// Cuts a stream into messages. Pipelined messages come out one by one.
///
/// After an error the stream cannot be trusted to begin a message anywhere: close it
/// (RFC 4475 §3.1.2.3); every further call gives the same error.
#[derive(Debug)]
pub struct StreamFramer {
    buffer: BytesMut,
    // How much of `buffer` was searched in vain for the end of the head.
    searched: usize,
    // The length of the message at the front, once its head is complete.
    message: Option<usize>,
    awaiting_pong: bool,
    broken: Option<FrameError>,
    limits: Limits,
}

/// A piece of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// One message, head and body, for [`crate::Message::parse`].
    Message(Bytes),
    /// CR LF CR LF between messages: to be answered by CR LF.
    Ping,
    /// CR LF between messages, after [`StreamFramer::expect_pong`].
    Pong,
}

/// Why a stream cannot be read on. Each carries the head of the message at fault where there is
/// one, so that a request may be answered before the stream is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Head larger than [`Limits::max_head`], or no end of it in sight by then.
    #[error("the head of a message is larger than the limit")]
    HeadTooLarge,
    /// Head and body larger than [`Limits::max_message`].
    #[error("a message is larger than the limit")]
    TooLarge {
        /// The head of the message.
        head: Bytes,
    },
    /// Content-Length is absent, repeated or not a number (RFC 3261 §18.3, §20.14).
    #[error("a message on a stream has no valid Content-Length")]
    ContentLength {
        /// The head of the message.
        head: Bytes,
    },
}

impl StreamFramer {
    /// For one direction of one stream.
    pub fn new(limits: &Limits) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            message: None,
            awaiting_pong: false,
            broken: None,
            limits: *limits,
        }
    }

    /// Adds what arrived.
    pub fn push(&mut self, data: Bytes) {
        if self.broken.is_some() {
            return;
        }
        if self.buffer.is_empty() {
            // The whole buffer is taken over when nobody else holds it.
            match data.try_into_mut() {
                Ok(data) => self.buffer = data,
                Err(data) => self.buffer.extend_from_slice(&data),
            }
        } else {
            self.buffer.extend_from_slice(&data);
        }
    }

    /// A ping was sent: the next single CR LF is its answer. Without this a single CR LF waits for
    /// the second one that makes it a ping.
    pub fn expect_pong(&mut self) {
        self.awaiting_pong = true;
    }

    /// Octets held back until more arrive.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// A message has begun and is not complete; empty lines between messages do not count.
    pub fn is_within_message(&self) -> bool {
        self.message.is_some() || self.buffer.first().is_some_and(|b| !matches!(b, b'\r' | b'\n'))
    }

    /// The next piece; `None` until more arrives.
    ///
    /// # Errors
    /// The stream is to be closed.
    #[allow(clippy::should_implement_trait)] // It is fallible and resumes: not an iterator.
    pub fn next(&mut self) -> Result<Option<Framed>, FrameError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let result = self.cut();
        if let Err(error) = &result {
            self.broken = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        result
    }

    fn cut(&mut self) -> Result<Option<Framed>, FrameError> {
        if self.message.is_none() {
            if let Some(keepalive) = self.keepalive() {
                return Ok(keepalive);
            }
            let Some(head) = self.head_end() else {
                if self.buffer.len() > self.limits.max_head {
                    return Err(FrameError::HeadTooLarge);
                }
                return Ok(None);
            };
            if head > self.limits.max_head {
                return Err(FrameError::HeadTooLarge);
            }
            let copy = |buffer: &BytesMut| Bytes::copy_from_slice(&buffer[..head]);
            let Some(length) = content_length(&self.buffer[..head]) else {
                return Err(FrameError::ContentLength { head: copy(&self.buffer) });
            };
            match head.checked_add(length) {
                Some(total) if total <= self.limits.max_message => self.message = Some(total),
                _ => return Err(FrameError::TooLarge { head: copy(&self.buffer) }),
            }
        }
        match self.message {
            Some(total) if self.buffer.len() >= total => {
                self.message = None;
                self.searched = 0;
                Ok(Some(Framed::Message(self.buffer.split_to(total).freeze())))
            }
            _ => Ok(None),
        }
    }

    /// Empty lines before a message. `Some(None)`: undecided until more arrives.
    fn keepalive(&mut self) -> Option<Option<Framed>> {
        while self.buffer.first().is_some_and(|b| matches!(b, b'\r' | b'\n')) {
            if self.buffer.starts_with(b"\r\n\r\n") {
                self.buffer.advance(4);
                return Some(Some(Framed::Ping));
            }
            if self.awaiting_pong && self.buffer.starts_with(b"\r\n") {
                self.awaiting_pong = false;
                self.buffer.advance(2);
                return Some(Some(Framed::Pong));
            }
            if b"\r\n\r\n".starts_with(&self.buffer) {
                return Some(None);
            }
            // A stray CR LF before a message is skipped (§7.5).
            self.buffer.advance(1);
        }
        if self.buffer.is_empty() { Some(None) } else { None }
    }

    /// Where the head at the front ends: after its empty line.
    fn head_end(&mut self) -> Option<usize> {
        let mut from = self.searched;
        while let Some(n) = memchr::memchr(b'\n', &self.buffer[from..]) {
            let at = from + n;
            match &self.buffer[at + 1..] {
                [b'\n', ..] => return Some(at + 2),
                [b'\r', b'\n', ..] => return Some(at + 3),
                // The end of the line is here but not yet what follows: look again from here.
                [] | [b'\r'] => {
                    self.searched = at;
                    return None;
                }
                _ => from = at + 1,
            }
        }
        self.searched = self.buffer.len();
        None
    }
}

/// The one Content-Length of a head.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut length = None;
    let mut pos = 0;
    while let Some(n) = memchr::memchr(b'\n', &head[pos..]) {
        let (line, next) = (&head[pos..pos + n], pos + n + 1);
        pos = next;
        let name = chars::span(line, chars::TOKEN);
        if HeaderName::from_token(&line[..name]) != HeaderName::ContentLength {
            continue;
        }
        let mut value = line[name..].trim_ascii_start().strip_prefix(b":")?.trim_ascii();
        // Folded: the number is on the line after.
        while value.is_empty() && head.get(pos).is_some_and(|b| chars::is_blank(*b)) {
            let end = pos + memchr::memchr(b'\n', &head[pos..])?;
            value = head[pos..end].trim_ascii();
            pos = end + 1;
        }
        let number = std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'))?;
        if length.replace(number.parse().ok()?).is_some() {
            return None;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody";
    const B: &[u8] = b"SIP/2.0 200 OK\r\nX: y\r\nl : 0\r\n\r\n";

    fn framer() -> StreamFramer {
        StreamFramer::new(&Limits::default())
    }

    fn message(bytes: &'static [u8]) -> Result<Option<Framed>, FrameError> {
        Ok(Some(Framed::Message(Bytes::from_static(bytes))))
    }

    #[test]
    fn pipelined_messages_come_out_one_by_one() {
        let mut framer = framer();
        framer.push([A, B, A].concat().into());
        assert_eq!(framer.next(), message(A));
        assert_eq!(framer.next(), message(B));
        assert_eq!(framer.next(), message(A));
        assert_eq!(framer.next(), Ok(None));
        assert_eq!(framer.buffered(), 0);
    }

    #[test]
    fn octet_by_octet_gives_the_same() {
        let mut framer = framer();
        let mut out = Vec::new();
        for b in [b"\r\n\r\n", A, b"\r\n", B].concat() {
            framer.push(Bytes::copy_from_slice(&[b]));
            while let Some(framed) = framer.next().unwrap() {
                out.push(framed);
            }
        }
        let (a, b) = (Bytes::from_static(A), Bytes::from_static(B));
        assert_eq!(out, [Framed::Ping, Framed::Message(a), Framed::Message(b)]);
    }

    #[test]
    fn a_single_crlf_is_a_pong_only_when_one_is_due() {
        let mut framer = framer();
        framer.push(Bytes::from_static(b"\r\n"));
        assert_eq!(framer.next(), Ok(None));
        framer.expect_pong();
        assert_eq!(framer.next(), Ok(Some(Framed::Pong)));
        framer.push(Bytes::from_static(b"\r\n"));
        assert_eq!(framer.next(), Ok(None));
        framer.push(Bytes::from_static(b"\r\n"));
        assert_eq!(framer.next(), Ok(Some(Framed::Ping)));
    }

    #[test]
    fn bodies_end_where_content_length_says_whatever_they_hold() {
        let text = b"MESSAGE sip:a SIP/2.0\r\nContent-Length:\r\n  8\r\n\r\n\r\n\r\n\r\n\r\n";
        let mut framer = framer();
        framer.push(Bytes::from_static(text));
        assert_eq!(framer.next(), message(text));
    }

    #[test]
    fn streams_without_a_valid_length_are_given_up() {
        for bad in [
            "X: y",
            "l: -5",
            "l: +5",
            "l: 5\r\nContent-Length: 5",
            "l:",
            "l: 5x",
            "l: 99999999999999999999",
        ] {
            let mut framer = framer();
            framer.push(format!("BYE sip:a SIP/2.0\r\n{bad}\r\n\r\n").into());
            assert!(matches!(framer.next(), Err(FrameError::ContentLength { .. })), "{bad}");
            framer.push(Bytes::from_static(A));
            assert!(framer.next().is_err());
            assert_eq!(framer.buffered(), 0);
        }
    }

    #[test]
    fn size_limits_hold() {
        let limits = Limits { max_head: 100, max_message: 200, ..Limits::default() };
        let mut framer = StreamFramer::new(&limits);
        framer.push(vec![b'a'; 101].into());
        assert_eq!(framer.next(), Err(FrameError::HeadTooLarge));
        let mut framer = StreamFramer::new(&limits);
        framer.push(Bytes::from_static(b"BYE sip:a SIP/2.0\r\nl: 190\r\n\r\n"));
        assert!(matches!(framer.next(), Err(FrameError::TooLarge { .. })));
    }
}
