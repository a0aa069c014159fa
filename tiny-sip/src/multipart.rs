//! Multipart bodies (RFC 2046 §5.1, as RFC 5621 uses them in SIP): cut and put together. Parts are
//! slices of the body; one inside another is cut by a further call, so that depth is the caller's.

use crate::Limits;
use crate::header::{Flaw, HeaderName, MediaType, chars};
use bytes::{BufMut, Bytes, BytesMut};

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    head: Bytes,
    /// The part's content.
    pub body: Bytes,
}

impl Part {
    /// The part's header lines: name and trimmed value; folded ones keep their line breaks' place
    /// as part of the value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = std::str::from_utf8(&self.head).unwrap_or_default();
        Lines(text).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((chars::trim(name), value.trim()))
        })
    }

    /// The first header line of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The part's Content-Type; `None` when it has none (it is then `text/plain`) or a bad one.
    pub fn content_type(&self) -> Option<MediaType<'_>> {
        MediaType::parse(self.header(HeaderName::ContentType.as_str())?).ok()
    }
}

// Header lines with the folded ones in one piece.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = self.0.as_bytes();
        let mut end = 0;
        while end < bytes.len() {
            end += memchr::memchr(b'\n', &bytes[end..]).map_or(bytes.len() - end, |n| n + 1);
            if !bytes.get(end).is_some_and(|b| chars::is_blank(*b)) {
                break;
            }
        }
        let (line, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(line.trim_end_matches(['\r', '\n']))
    }
}

/// Cuts a body by the `boundary` of its Content-Type. What stands before the first and after the
/// last delimiter is skipped; a missing last delimiter is forgiven.
///
/// # Errors
/// No boundary or a bad one, no delimiter at all, or more parts than [`Limits::max_parts`].
pub fn parse(
    content_type: &MediaType<'_>,
    body: &Bytes,
    limits: &Limits,
) -> Result<Vec<Part>, Flaw> {
    let boundary = content_type.param("boundary").ok_or(Flaw::Param)?;
    if boundary.is_empty() || boundary.len() > 70 {
        return Err(Flaw::Param);
    }
    let mut parts = Vec::new();
    let (_, mut from, mut last) = delimiter(body, 0, boundary).ok_or(Flaw::Empty)?;
    while !last {
        if parts.len() >= limits.max_parts {
            return Err(Flaw::TooMany);
        }
        let end;
        let start = from;
        match delimiter(body, from, boundary) {
            Some((at, after, closing)) => (end, from, last) = (at, after, closing),
            None => (end, last) = (body.len(), true),
        }
        // The line break before a delimiter belongs to the delimiter.
        let end = end.max(start);
        let whole = body.slice(start..end);
        let whole = match whole.as_ref() {
            [.., b'\r', b'\n'] => whole.slice(..whole.len() - 2),
            [.., b'\n'] => whole.slice(..whole.len() - 1),
            _ => whole,
        };
        parts.push(split(&whole));
    }
    Ok(parts)
}

/// The next delimiter line at or after `from`: where it begins, where the part after it begins,
/// whether it is the closing one.
fn delimiter(body: &[u8], from: usize, boundary: &str) -> Option<(usize, usize, bool)> {
    let mut at = from;
    loop {
        let line_end = at + memchr::memchr(b'\n', &body[at..]).map_or(body.len() - at, |n| n + 1);
        if let Some(rest) = body[at..line_end]
            .strip_prefix(b"--")
            .and_then(|rest| rest.strip_prefix(boundary.as_bytes()))
        {
            let rest = rest.trim_ascii_end();
            if rest.is_empty() || rest == b"--" {
                return Some((at, line_end, !rest.is_empty()));
            }
        }
        if line_end >= body.len() {
            return None;
        }
        at = line_end;
    }
}

fn split(part: &Bytes) -> Part {
    // No header lines at all: the part begins with its empty line.
    for (prefix, len) in [(&b"\r\n"[..], 2), (&b"\n"[..], 1)] {
        if part.starts_with(prefix) {
            return Part { head: Bytes::new(), body: part.slice(len..) };
        }
    }
    let mut at = 0;
    while let Some(n) = memchr::memchr(b'\n', &part[at..]) {
        at += n + 1;
        let skip = match &part[at..] {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => continue,
        };
        return Part { head: part.slice(..at), body: part.slice(at + skip..) };
    }
    Part { head: part.clone(), body: Bytes::new() }
}

/// Puts a multipart body together.
///
/// ```
/// use tiny_sip::multipart::Builder;
/// let (content_type, body) = Builder::new("mixed", "x7Gq")
///     .part("text/plain", &[("Content-ID", "<1@a>")], b"hello")
///     .finish();
/// assert_eq!(content_type, "multipart/mixed;boundary=\"x7Gq\"");
/// assert_eq!(
///     &body[..],
///     b"--x7Gq\r\nContent-Type: text/plain\r\nContent-ID: <1@a>\r\n\r\nhello\r\n--x7Gq--\r\n"
/// );
/// ```
#[derive(Debug)]
pub struct Builder {
    subtype: String,
    boundary: String,
    out: BytesMut,
}

impl Builder {
    /// `boundary` must not occur in any part: make it of random characters. Characters that a
    /// boundary cannot have are dropped, and so is what exceeds 70 of them.
    pub fn new(subtype: &str, boundary: &str) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "'()+_,-./:=?".contains(*c);
        Self {
            subtype: subtype.chars().filter(|c| c.is_ascii_graphic()).collect(),
            boundary: boundary.chars().filter(plain).take(70).collect(),
            out: BytesMut::new(),
        }
    }

    /// Adds a part. Control characters in header values are dropped: they could end the part.
    pub fn part(mut self, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let out = &mut self.out;
        out.put_slice(b"--");
        out.put_slice(self.boundary.as_bytes());
        out.put_slice(b"\r\n");
        for (name, value) in [("Content-Type", content_type)].iter().chain(headers) {
            if value.is_empty() || !chars::all(name.as_bytes(), chars::TOKEN) {
                continue;
            }
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.extend(value.bytes().filter(|b| !b.is_ascii_control()));
            out.put_slice(b"\r\n");
        }
        out.put_slice(b"\r\n");
        out.put_slice(body);
        out.put_slice(b"\r\n");
        self
    }

    /// The Content-Type and the body.
    pub fn finish(mut self) -> (String, Bytes) {
        self.out.put_slice(b"--");
        self.out.put_slice(self.boundary.as_bytes());
        self.out.put_slice(b"--\r\n");
        let content_type = format!("multipart/{};boundary=\"{}\"", self.subtype, self.boundary);
        (content_type, self.out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(boundary: &str, body: &'static [u8]) -> Result<Vec<Part>, Flaw> {
        let kind = format!("multipart/mixed;boundary=\"{boundary}\"");
        let kind = MediaType::parse(&kind).unwrap();
        parse(&kind, &Bytes::from_static(body), &Limits::default())
    }

    #[test]
    fn parts_with_preamble_epilogue_and_near_misses() {
        let parts = cut(
            "b",
            b"preamble\r\n--b \r\nContent-Type: text/plain\r\nX: a\r\n b\r\n\r\none\r\n--bc\r\n\
              --b\r\n\r\ntwo\r\n\r\n--b\r\nA: b\r\n--b--\r\nepilogue --b",
        )
        .unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(&parts[0].body[..], b"one\r\n--bc");
        assert!(parts[0].content_type().unwrap().is("text", "plain"));
        assert_eq!(parts[0].header("x"), Some("a\r\n b"));
        assert_eq!(&parts[1].body[..], b"two\r\n");
        assert_eq!((parts[2].header("A"), &parts[2].body[..]), (Some("b"), &b""[..]));
    }

    #[test]
    fn a_missing_last_delimiter_is_forgiven_and_a_missing_first_is_not() {
        assert_eq!(&cut("b", b"--b\n\nx").unwrap()[0].body[..], b"x");
        assert_eq!(cut("b", b"nothing"), Err(Flaw::Empty));
        assert_eq!(cut("b", b""), Err(Flaw::Empty));
    }

    #[test]
    fn the_number_of_parts_is_limited() {
        let body: Bytes = "--b\r\n\r\n".repeat(40).into();
        let kind = MediaType::parse("multipart/mixed;boundary=b").unwrap();
        assert_eq!(parse(&kind, &body, &Limits::default()), Err(Flaw::TooMany));
    }

    #[test]
    fn what_is_built_is_cut_again() {
        let (kind, body) = Builder::new("mixed", "b\r\n\"ound")
            .part("application/sdp", &[("Content-Disposition", "session\r\n\r\n--")], b"v=0\r\n")
            .part("application/octet-stream", &[], &[0, 1, 2, 13, 10])
            .finish();
        let parts = parse(&MediaType::parse(&kind).unwrap(), &body, &Limits::default()).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(&parts[0].body[..], b"v=0\r\n");
        assert_eq!(parts[0].header("content-disposition"), Some("session--"));
        assert_eq!(&parts[1].body[..], &[0, 1, 2, 13, 10]);
    }
}
