//! From octets to an index of header lines (RFC 3261 §7, §7.3.1, §18.3).

use super::{Defect, Limits, Line, Message, ParseError, Span, Start};
use crate::header::{HeaderName, chars};
use crate::{Method, StatusCode};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::sync::Arc;

type Lines = SmallVec<[Line; 32]>;

pub(super) fn parse(mut data: Bytes, limits: &Limits) -> Result<Message, ParseError> {
    let unknown = |what| Err(ParseError::Unknown { what });
    if data.len() > limits.max_message || u32::try_from(data.len()).is_err() {
        return unknown(Defect::TooLarge);
    }
    // §7.5: empty lines before the start line are ignored.
    let leading = data.iter().position(|b| !matches!(b, b'\r' | b'\n'));
    if let Some(leading @ 1..) = leading {
        data = data.slice(leading..);
    }
    let Some(eol) = memchr::memchr(b'\n', &data) else { return unknown(Defect::NotSip) };
    let line_end = eol - usize::from(eol > 0 && data[eol - 1] == b'\r');
    let Some((start, start_defect)) = start_line(&data[..line_end]) else {
        return unknown(Defect::NotSip);
    };

    let mut lines = Lines::new();
    let mut head = Head::default();
    index(&data, eol + 1, limits, &mut lines, &mut head);
    let mut defect = start_defect.or(head.defect);

    match check_text(&data[..head.end]) {
        Ok(()) => {}
        Err(what) => {
            defect = defect.or(Some(what));
            data = blank_out(&data, head.end);
        }
    }
    if head.folded {
        data = unfold(&data, &lines);
    }
    // §18.3: octets beyond Content-Length are dropped, too few of them are an error.
    let body = data.len() - head.end;
    match head.length {
        Length::Absent => {}
        Length::Octets(n) if n <= body => data.truncate(head.end + n),
        Length::Octets(_) => defect = defect.or(Some(Defect::BodyShort)),
        Length::Bad => defect = defect.or(Some(Defect::ContentLength)),
    }
    let message =
        Message { data, lines: Arc::from(lines.as_slice()), start, body: head.end as u32 };
    match defect {
        None => Ok(message),
        Some(what) if message.is_request() => {
            Err(ParseError::Request { partial: Some(Box::new(message)), what })
        }
        Some(what) => Err(ParseError::Response { what }),
    }
}

#[derive(Default)]
struct Head {
    end: usize,
    folded: bool,
    length: Length,
    defect: Option<Defect>,
}

#[derive(Default, Clone, Copy)]
enum Length {
    #[default]
    Absent,
    Octets(usize),
    Bad,
}

/// The start line; a request line that is recognizable but wrong comes with its defect.
fn start_line(line: &[u8]) -> Option<(Start, Option<Defect>)> {
    // §7.1: the version is case-insensitive.
    if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        return Some(status_line(line));
    }
    let method_len = chars::span(line, chars::TOKEN);
    let method = Method::from_bytes(&line[..method_len])?;
    if line.get(method_len) != Some(&b' ') {
        return None;
    }
    let rest = &line[method_len + 1..];
    if let Some(uri) = rest.strip_suffix(b" SIP/2.0") {
        let uri_at = method_len + 1;
        let mut defect = None;
        if uri.is_empty() || uri.iter().any(|b| *b <= b' ') {
            defect = Some(Defect::RequestLine);
        }
        let uri = Span { at: uri_at as u32, len: uri.len() as u32 };
        return Some((Start::Request { method, uri }, defect));
    }
    // Something that calls itself SIP, in another version or with blanks where none may be.
    let trimmed = rest.trim_ascii();
    let version = trimmed.rsplit(|b| chars::is_blank(*b)).next()?;
    if version.len() < 4 || !version[..4].eq_ignore_ascii_case(b"SIP/") {
        return None;
    }
    let defect = match &version[4..] {
        b"2.0" if rest.len() == trimmed.len() => None, // §7.1: `sip/2.0` is the same.
        b"2.0" => Some(Defect::RequestLine),
        _ => Some(Defect::Version),
    };
    let uri_at = method_len + 1 + rest.len() - rest.trim_ascii_start().len();
    let uri = trimmed[..trimmed.len() - version.len()].trim_ascii_end();
    let blank = uri.is_empty() || uri.iter().any(|b| *b <= b' ');
    let defect = if blank && defect.is_none() { Some(Defect::RequestLine) } else { defect };
    let uri = Span { at: uri_at as u32, len: uri.len() as u32 };
    Some((Start::Request { method, uri }, defect))
}

fn status_line(line: &[u8]) -> (Start, Option<Defect>) {
    let bad = |what| {
        let start = Start::Response { status: StatusCode::BAD_REQUEST, reason: Span::default() };
        (start, Some(what))
    };
    let Some(space) = memchr::memchr(b' ', line) else { return bad(Defect::StatusLine) };
    if &line[4..space] != b"2.0" {
        return bad(Defect::Version);
    }
    let digits = chars::span(&line[space + 1..], chars::TOKEN);
    let after = space + 1 + digits;
    let [a, b, c] = line[space + 1..after] else { return bad(Defect::StatusLine) };
    let code = [a, b, c].iter().try_fold(0u16, |code, digit| {
        digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0'))
    });
    let Some(status) = code.and_then(StatusCode::new) else { return bad(Defect::StatusLine) };
    // The blank before an empty reason phrase is often left out.
    let reason = match line.get(after) {
        None => Span::default(),
        Some(b' ') => Span { at: after as u32 + 1, len: (line.len() - after - 1) as u32 },
        Some(_) => return bad(Defect::StatusLine),
    };
    (Start::Response { status, reason }, None)
}

/// Walks the header lines from `pos` on. After a bad line it goes on, so that an answer can be
/// built from the rest.
fn index(data: &[u8], mut pos: usize, limits: &Limits, lines: &mut Lines, head: &mut Head) {
    loop {
        match data.get(pos) {
            Some(b'\r') if data.get(pos + 1) == Some(&b'\n') => {
                head.end = pos + 2;
                break;
            }
            Some(b'\n') => {
                head.end = pos + 1;
                break;
            }
            None => {
                head.end = data.len();
                head.defect = head.defect.or(Some(Defect::Unfinished));
                break;
            }
            Some(_) => {}
        }
        let name_len = chars::span(&data[pos..], chars::TOKEN);
        let mut colon = pos + name_len;
        while data.get(colon).is_some_and(|b| chars::is_blank(*b)) {
            colon += 1;
        }
        // The end of the line; a line that begins with a blank continues it (§7.3.1).
        let (mut next, mut complete) = (colon, true);
        loop {
            match memchr::memchr(b'\n', data.get(next..).unwrap_or_default()) {
                Some(n) => next += n + 1,
                None => {
                    (next, complete) = (data.len(), false);
                    break;
                }
            }
            if !data.get(next).is_some_and(|b| chars::is_blank(*b)) {
                break;
            }
            head.folded = true;
        }
        let good = name_len > 0 && data.get(colon) == Some(&b':') && complete;
        if good {
            let (mut from, mut to) = (colon + 1, next - 1);
            while from < to && is_space(data[from]) {
                from += 1;
            }
            while to > from && is_space(data[to - 1]) {
                to -= 1;
            }
            let name = HeaderName::from_token(&data[pos..pos + name_len]);
            if name == HeaderName::ContentLength {
                head.length = content_length(&data[from..to], head.length);
            }
            if next - pos > limits.max_line || name_len > usize::from(u16::MAX) {
                head.defect = head.defect.or(Some(Defect::LineTooLong));
            } else if lines.len() >= limits.max_headers {
                head.defect = head.defect.or(Some(Defect::TooManyHeaders));
            } else {
                lines.push(Line {
                    name_at: pos as u32,
                    value_at: from as u32,
                    value_len: (to - from) as u32,
                    name_len: name_len as u16,
                    name,
                });
            }
        } else {
            let what = if complete { Defect::HeaderLine } else { Defect::Unfinished };
            head.defect = head.defect.or(Some(what));
        }
        pos = next;
    }
    if head.end > limits.max_head {
        head.defect = head.defect.or(Some(Defect::HeadTooLarge));
    }
}

#[inline]
fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

// §20.14: one number; a second one is an error even if it is the same.
fn content_length(value: &[u8], before: Length) -> Length {
    if !matches!(before, Length::Absent) || value.is_empty() {
        return Length::Bad;
    }
    let octets = value.iter().try_fold(0usize, |n, b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n.checked_mul(10)?.checked_add(digit.into())
    });
    octets.map_or(Length::Bad, Length::Octets)
}

/// UTF-8, no control characters but HTAB, and CR only before LF. Plain loops over bytes, which the
/// compiler turns into vector instructions.
fn check_text(head: &[u8]) -> Result<(), Defect> {
    let mut seen = 0u8;
    for &b in head {
        let control = (b < 0x20) & (b != b'\t') & (b != b'\r') & (b != b'\n');
        seen |= (b & 0x80) | u8::from(control | (b == 0x7f));
    }
    let mut lone = false;
    for (&a, &b) in head.iter().zip(head.get(1..).unwrap_or_default()) {
        lone |= (a == b'\r') & (b != b'\n');
    }
    if seen & 1 != 0 || lone || head.last() == Some(&b'\r') {
        return Err(Defect::Control);
    }
    if seen & 0x80 != 0 && std::str::from_utf8(head).is_err() {
        return Err(Defect::Encoding);
    }
    Ok(())
}

/// A copy in which what [`check_text`] objects to is replaced, so that the rest can be read.
fn blank_out(data: &[u8], end: usize) -> Bytes {
    let ascii = std::str::from_utf8(&data[..end]).is_ok();
    let mut copy = BytesMut::from(data);
    for i in 0..end {
        let b = copy[i];
        let control = b < 0x20 && !matches!(b, b'\t' | b'\r' | b'\n') || b == 0x7f;
        let lone = b == b'\r' && copy.get(i + 1) != Some(&b'\n');
        if control || lone || (b >= 0x80 && !ascii) {
            copy[i] = b'?';
        }
    }
    copy.freeze()
}

/// A copy in which folds are blanks, so that every value is in one piece.
fn unfold(data: &[u8], lines: &Lines) -> Bytes {
    let mut copy = BytesMut::from(data);
    for line in lines {
        let (from, len) = (line.value_at as usize, line.value_len as usize);
        for b in &mut copy[from..from + len] {
            if matches!(*b, b'\r' | b'\n') {
                *b = b' ';
            }
        }
    }
    copy.freeze()
}
