//! Fragments of SIP messages (RFC 3420, `message/sipfrag`): what a NOTIFY of a REFER carries
//! (RFC 3515 §2.4.5). Any part of a message may be missing; header fields are not looked into.

use super::{BodyError, Limits};
use crate::header::StatusLine;
use crate::{Method, StatusCode, Uri};
use std::fmt::Write as _;

/// The media type.
pub const CONTENT_TYPE: &str = "message/sipfrag;version=2.0";

/// A start line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Of a response.
    Status {
        /// The status.
        code: StatusCode,
        /// The reason phrase.
        reason: String,
    },
    /// Of a request.
    Request {
        /// The method.
        method: Method,
        /// The Request-URI.
        uri: String,
    },
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SipFrag {
    /// The start line, if there is one.
    pub start: Option<Start>,
    /// Header fields in order, unfolded.
    pub headers: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: Vec<u8>,
}

impl SipFrag {
    /// A status line and nothing else; an empty reason gives the status's usual one.
    pub fn of_status(code: StatusCode, reason: &str) -> Self {
        let reason = if reason.is_empty() { code.default_reason() } else { reason };
        let start = Start::Status { code, reason: reason.to_owned() };
        Self { start: Some(start), ..Self::default() }
    }

    /// Reads a fragment.
    ///
    /// # Errors
    /// Too large, too many lines, not UTF-8 before the body, or a bad start or header line (§3.2).
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        if body.len() > limits.max_bytes {
            return Err(BodyError::Limit("max_bytes"));
        }
        let mut frag = Self::default();
        let mut rest = body;
        let mut first = true;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) = match end {
                Some(n) => (&rest[..n], &rest[n + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = after;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                frag.body = rest.to_vec();
                break;
            }
            let line = std::str::from_utf8(line).map_err(|_| BodyError::NotUtf8)?;
            frag.line(line, first, limits)?;
            first = false;
        }
        Ok(frag)
    }

    fn line(&mut self, line: &str, first: bool, limits: &Limits) -> Result<(), BodyError> {
        const BAD: BodyError = BodyError::Invalid("header line");
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return Err(BAD);
        }
        if line.starts_with([' ', '\t']) {
            let (_, value) = self.headers.last_mut().ok_or(BAD)?;
            let more = line.trim();
            if !value.is_empty() && !more.is_empty() {
                value.push(' ');
            }
            value.push_str(more);
            return Ok(());
        }
        if first && let Some(start) = start_line(line)? {
            self.start = Some(start);
            return Ok(());
        }
        if self.headers.len() >= limits.max_rows {
            return Err(BodyError::Limit("max_rows"));
        }
        let (name, value) = line.split_once(':').ok_or(BAD)?;
        let name = name.trim_end();
        if !is_token(name) {
            return Err(BAD);
        }
        self.headers.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }

    /// The status, if the fragment begins with a status line.
    pub fn status(&self) -> Option<StatusCode> {
        match self.start {
            Some(Start::Status { code, .. }) => Some(code),
            _ => None,
        }
    }

    /// The reason phrase of the status line.
    pub fn reason(&self) -> Option<&str> {
        match &self.start {
            Some(Start::Status { reason, .. }) => Some(reason),
            _ => None,
        }
    }

    /// The first header field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(its, _)| its.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The fragment as it goes out. Control characters are dropped from lines: they could end them.
    pub fn to_body(&self) -> Vec<u8> {
        let mut out = String::new();
        match &self.start {
            Some(Start::Status { code, reason }) => {
                let _ = write!(out, "SIP/2.0 {} ", code.code());
                clean(&mut out, reason);
            }
            Some(Start::Request { method, uri }) => {
                clean(&mut out, method.as_str());
                out.push(' ');
                clean(&mut out, uri);
                out.push_str(" SIP/2.0");
            }
            None => {}
        }
        if self.start.is_some() {
            out.push_str("\r\n");
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| is_token(name)) {
            let _ = write!(out, "{name}: ");
            clean(&mut out, value);
            out.push_str("\r\n");
        }
        let mut out = out.into_bytes();
        if !self.body.is_empty() {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&self.body);
        }
        out
    }
}

fn is_token(name: &str) -> bool {
    use crate::header::chars;
    !name.is_empty() && chars::all(name.as_bytes(), chars::TOKEN)
}

fn clean(out: &mut String, text: &str) {
    out.extend(text.chars().filter(|c| !c.is_control()));
}

fn start_line(line: &str) -> Result<Option<Start>, BodyError> {
    const BAD: BodyError = BodyError::Invalid("start line");
    if line.starts_with("SIP/2.0 ") {
        let read = StatusLine::parse(line.as_bytes()).ok_or(BAD)?;
        let code = StatusCode::new(read.status).ok_or(BAD)?;
        return Ok(Some(Start::Status { code, reason: read.reason.to_owned() }));
    }
    let Some(head) = line.strip_suffix(" SIP/2.0") else { return Ok(None) };
    let Some((method, uri)) = head.split_once(' ') else { return Ok(None) };
    if !is_token(method) {
        return Ok(None);
    }
    Uri::parse(uri).map_err(|_| BAD)?;
    let method = Method::parse(method).ok_or(BAD)?;
    Ok(Some(Start::Request { method, uri: uri.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SipFrag, BodyError> {
        SipFrag::parse(text.as_bytes(), &Limits::default())
    }

    // RFC 3420 §3.1.
    #[test]
    fn the_valid_fragments_of_the_rfc_are_read_and_printed() {
        let frag = parse("SIP/2.0 603 Declined").unwrap();
        assert_eq!((frag.status().unwrap().code(), frag.reason()), (603, Some("Declined")));
        assert_eq!(frag.to_body(), b"SIP/2.0 603 Declined\r\n");
        let frag = parse("INVITE sip:alice@atlanta.com SIP/2.0").unwrap();
        assert!(matches!(&frag.start, Some(Start::Request { method: Method::Invite, .. })));
        let frag = parse(
            "REGISTER sip:atlanta.com SIP/2.0\r\nTo: sip:alice@atlanta.com\r\n\
             Contact: <sip:alicepc@atlanta.com>;q=0.9,\r\n         <sip:alicemobile@atlanta.com>;q=0.1\r\n",
        )
        .unwrap();
        assert_eq!(
            frag.header("contact"),
            Some("<sip:alicepc@atlanta.com>;q=0.9, <sip:alicemobile@atlanta.com>;q=0.1")
        );
        assert_eq!(parse(std::str::from_utf8(&frag.to_body()).unwrap()).unwrap(), frag);
        let frag = parse(
            "From: Alice <sip:alice@atlanta.com>\r\nDate: Thu, 21 Feb 2002 13:02:03 GMT\r\n\
             Cseq: 314159 INVITE\r\n",
        )
        .unwrap();
        assert_eq!((frag.status(), frag.header("CSEQ")), (None, Some("314159 INVITE")));
        let frag = parse("Content-Type: text/plain\r\nContent-Length: 11\r\n\r\nHi There!\r\n");
        let frag = frag.unwrap();
        assert_eq!(frag.body, b"Hi There!\r\n");
        assert_eq!(SipFrag::parse(&frag.to_body(), &Limits::default()).unwrap(), frag);
    }

    // RFC 3420 §3.2, and line ends that servers in the field send.
    #[test]
    fn incomplete_start_lines_are_refused_and_bare_line_feeds_are_not() {
        for bad in [
            "INVITE",
            "INVITE sip:alice@atlanta.com SIP/1.09",
            "SIP/2.0",
            "SIP/2.0 1 x",
            "SIP/2.0 1000 x",
            "404 Not Found",
            " folded",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("NS: \u{1}  <\r\n").is_err(), "control characters");
        for folded in ["NS:\r\n <x>\r\n", "NS: <x>\r\n \r\n"] {
            let frag = parse(folded).unwrap();
            assert_eq!(frag.to_body(), b"NS: <x>\r\n", "{folded:?}");
        }
        assert_eq!(parse("SIP/2.0 200 OK\n").unwrap().status().unwrap().code(), 200);
        assert_eq!(parse("SIP/2.0 180").unwrap().reason(), Some(""));
        assert_eq!(parse("").unwrap(), SipFrag::default());
        let frag = SipFrag::of_status(StatusCode::new(100).unwrap(), "");
        assert_eq!(frag.to_body(), b"SIP/2.0 100 Trying\r\n");
        let frag = SipFrag::of_status(StatusCode::new(200).unwrap(), "OK\r\nBCC: x");
        assert_eq!(frag.to_body(), b"SIP/2.0 200 OKBCC: x\r\n");
    }
}
