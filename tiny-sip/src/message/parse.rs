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
    let mut ends = LineEnds::new(&data);
    let Some((line_end, next)) = ends.next() else { return unknown(Defect::NotSip) };
    let Some((start, start_defect)) = start_line(&data[..line_end]) else {
        return unknown(Defect::NotSip);
    };

    let mut lines = Lines::new();
    let head = index(&data, next, &mut ends, limits, &mut lines);
    let mut defect = start_defect.or(head.defect);

    // Nearly every head is printable ASCII and line breaks.
    if ends.odd
        && let Err(what) = check_text(&data[..head.end])
    {
        defect = defect.or(Some(what));
        data = blank_out(&data, head.end);
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

impl Head {
    /// Keeps the first defect.
    #[cold]
    fn set(&mut self, defect: Defect) {
        self.defect = self.defect.or(Some(defect));
    }
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
// Neither this nor what is unusual in it is inlined: it keeps what it needs in registers.
#[inline(never)]
fn index(
    data: &[u8],
    mut pos: usize,
    ends: &mut LineEnds<'_>,
    limits: &Limits,
    lines: &mut Lines,
) -> Head {
    let mut head = Head::default();
    let mut count = 0;
    loop {
        let Some((mut end, mut next)) = ends.next() else {
            head.end = data.len();
            head.set(Defect::Unfinished);
            break;
        };
        if end == pos {
            head.end = next;
            break;
        }
        // §7.3.1: a line that begins with a blank continues the one before.
        if data.get(next).is_some_and(|b| chars::is_blank(*b)) {
            (end, next) = end_of_folds(data, ends, end, next);
            head.folded = true;
        }
        // The usual case, a known name and its colon, is told in one step.
        let known = data.get(pos..).and_then(HeaderName::before_colon);
        let known = known.map(|(name, len)| (name, len, len));
        let Some((name, name_len, colon)) = known.or_else(|| any_name(data, pos, end)) else {
            head.set(Defect::HeaderLine);
            pos = next;
            continue;
        };
        if next - pos > limits.max_line {
            head.set(Defect::LineTooLong);
        } else if count >= limits.max_headers {
            head.set(Defect::TooManyHeaders);
        } else {
            let (value_at, value_len) = trim(data, pos + colon + 1, end);
            if name == HeaderName::ContentLength {
                let value = &data[value_at..value_at + value_len];
                head.length = content_length(value, head.length);
            }
            count += 1;
            lines.push(Line {
                name_at: pos as u32,
                value_at: value_at as u32,
                value_len: value_len as u32,
                name_len: name_len as u16,
                name,
            });
        }
        pos = next;
    }
    if head.end > limits.max_head {
        head.set(Defect::HeadTooLarge);
    }
    head
}

#[cold]
fn end_of_folds(
    data: &[u8],
    ends: &mut LineEnds<'_>,
    mut end: usize,
    mut next: usize,
) -> (usize, usize) {
    while data.get(next).is_some_and(|b| chars::is_blank(*b)) {
        let Some(eol) = ends.next() else { break };
        (end, next) = eol;
    }
    (end, next)
}

/// A name of any sort: what it is, its length, and how far away the colon is.
#[cold]
fn any_name(data: &[u8], pos: usize, end: usize) -> Option<(HeaderName, usize, usize)> {
    let line = &data[pos..end];
    let len = chars::span_short(line, chars::TOKEN);
    let colon = len + line[len..].iter().take_while(|b| chars::is_blank(**b)).count();
    let valid = len > 0 && len <= usize::from(u16::MAX) && line.get(colon) == Some(&b':');
    valid.then(|| (HeaderName::from_token(&line[..len]), len, colon))
}

/// Beginning and length of a value without the blanks, and line breaks of folds, around it.
#[inline]
fn trim(data: &[u8], from: usize, end: usize) -> (usize, usize) {
    let value = &data[from..end];
    if let [b' ', first, .., last] = value
        && *first > b' '
        && *last > b' '
    {
        return (from + 1, value.len() - 1);
    }
    let leading = value.iter().take_while(|b| **b <= b' ').count();
    let value = &value[leading..];
    let trailing = value.iter().rev().take_while(|b| **b <= b' ').count();
    (from + leading, value.len() - trailing)
}

/// The ends of lines, found a block at a time: where the next lines end is known before the
/// present one has been looked at. What is neither printable ASCII nor a line break is noted.
struct LineEnds<'a> {
    text: &'a [u8],
    block: usize,
    // Bit n: the octet at `block` + n is not printable ASCII. Those looked at are cleared.
    mask: u64,
    // Whether the next block begins with the LF of a CR that ended this one.
    split: bool,
    // Whether there was anything else than line breaks so far.
    odd: bool,
}

impl<'a> LineEnds<'a> {
    #[inline]
    fn new(text: &'a [u8]) -> Self {
        Self { text, block: 0, mask: Self::mask(text), split: false, odd: false }
    }

    #[inline]
    fn mask(text: &[u8]) -> u64 {
        const BLOCK: usize = 64;
        let padded;
        let block = match text.first_chunk::<BLOCK>() {
            Some(block) => block,
            None => {
                let mut copy = [b' '; BLOCK];
                copy[..text.len()].copy_from_slice(text);
                padded = copy;
                &padded
            }
        };
        let mut bits = [0u8; 8];
        columns(block, &mut bits);
        transpose(u64::from_le_bytes(bits))
    }

    /// The end of the next line, before its CR LF or LF, and the beginning of the one after it.
    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            if self.mask == 0 {
                self.load()?;
                continue;
            }
            let at = self.block + self.mask.trailing_zeros() as usize;
            self.mask &= self.mask - 1;
            match self.text.get(at..)? {
                [b'\r', b'\n', ..] => {
                    // The LF's bit is the next one, here or in the next block.
                    self.split = self.mask == 0;
                    self.mask &= self.mask.wrapping_sub(1);
                    return Some((at, at + 2));
                }
                [b'\n', ..] => return Some((at, at + 1)),
                _ => self.odd = true,
            }
        }
    }

    #[inline(never)]
    fn load(&mut self) -> Option<()> {
        self.block += 64;
        let rest = self.text.get(self.block..).filter(|rest| !rest.is_empty())?;
        self.mask = Self::mask(rest) & !u64::from(self.split);
        self.split = false;
        Some(())
    }
}

/// Bit k of octet i tells whether the octet 8k + i of the block is other than printable ASCII.
// Loops that become vector instructions, as long as they are not inlined into anything else.
#[inline(never)]
fn columns(block: &[u8; 64], columns: &mut [u8; 8]) {
    let hit = |b: u8| u8::from(b.wrapping_sub(b' ') > b'~' - b' ');
    let mut half = [0u8; 32];
    for i in 0..32 {
        half[i] = hit(block[i]) | hit(block[i + 32]) << 4;
    }
    let mut quarter = [0u8; 16];
    for i in 0..16 {
        quarter[i] = half[i] | half[i + 16] << 2;
    }
    for i in 0..8 {
        columns[i] = quarter[i] | quarter[i + 8] << 1;
    }
}

/// Turns 8 octets of 8 bits about their diagonal.
#[inline]
fn transpose(mut bits: u64) -> u64 {
    for (distance, places) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let differ = (bits ^ (bits >> distance)) & places;
        bits ^= differ ^ (differ << distance);
    }
    bits
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

/// UTF-8, CR only before LF, NUL only after a backslash. Other control characters, too, have their
/// place in quoted strings alone (§25.1 `quoted-pair`), but do no harm elsewhere.
fn check_text(head: &[u8]) -> Result<(), Defect> {
    if (0..head.len()).any(|i| is_harmful(head, i)) {
        return Err(Defect::Control);
    }
    if std::str::from_utf8(head).is_err() { Err(Defect::Encoding) } else { Ok(()) }
}

fn is_harmful(head: &[u8], i: usize) -> bool {
    match head[i] {
        b'\r' => head.get(i + 1) != Some(&b'\n'),
        0 => i == 0 || head[i - 1] != b'\\',
        _ => false,
    }
}

/// A copy in which what [`check_text`] objects to is replaced, so that the rest can be read.
fn blank_out(data: &[u8], end: usize) -> Bytes {
    let utf8 = std::str::from_utf8(&data[..end]).is_ok();
    let mut copy = BytesMut::from(data);
    for i in 0..end {
        if is_harmful(&copy, i) || (copy[i] >= 0x80 && !utf8) {
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
