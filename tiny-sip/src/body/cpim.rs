//! Messages in an envelope of their own (RFC 3862, `message/cpim`): who wrote to whom and when,
//! whatever carried it. Header fields keep their order and octets (§2.2); `Require` is shown, and
//! honouring it is the reader's duty.

use super::{BodyError, Limits};
use crate::header::chars;
use std::fmt::Write as _;

/// The media type.
pub const CONTENT_TYPE: &str = "message/cpim";

/// A header field of the message or of its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The name with its prefix, as written: `imdn.Message-ID`. Case matters in the message's part.
    pub name: String,
    /// The language that `;lang=` gives.
    pub lang: Option<String>,
    /// The value as written, escapes kept: see [`unescape`].
    pub value: String,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cpim {
    /// Header fields of the message: From, To, cc, DateTime, Subject, NS, Require …
    pub headers: Vec<Field>,
    /// MIME header fields of the content: Content-type …
    pub content_headers: Vec<Field>,
    /// The content.
    pub body: Vec<u8>,
}

impl Cpim {
    /// A message of one sender and receiver, each `Name <uri>` or `<uri>`.
    ///
    /// ```
    /// use tiny_sip::body::cpim::Cpim;
    /// let mut message = Cpim::new("Alice <im:a@b>", "<im:c@d>", "text/plain", b"hello");
    /// message.add("Subject", "caf\u{e9}\n");
    /// assert_eq!(
    ///     String::from_utf8(message.to_body()).unwrap(),
    ///     "From: Alice <im:a@b>\r\nTo: <im:c@d>\r\nSubject: caf\u{e9}\\n\r\n\r\n\
    ///      Content-type: text/plain\r\n\r\nhello"
    /// );
    /// ```
    pub fn new(from: &str, to: &str, content_type: &str, body: &[u8]) -> Self {
        let mut cpim = Self { body: body.to_vec(), ..Self::default() };
        cpim.add("From", from);
        cpim.add("To", to);
        cpim.add_content("Content-type", content_type);
        cpim
    }

    /// Adds a header field of the message; its value is escaped.
    pub fn add(&mut self, name: &str, value: &str) {
        let value = escape(value);
        self.headers.push(Field { name: name.to_owned(), lang: None, value });
    }

    /// Adds a header field of the content.
    pub fn add_content(&mut self, name: &str, value: &str) {
        let value = value.chars().filter(|c| !c.is_control()).collect();
        self.content_headers.push(Field { name: name.to_owned(), lang: None, value });
    }

    /// Reads a message. A line feed alone ends a line as well.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, header fields that are not UTF-8 or none, no empty line
    /// after them.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        if body.len() > limits.max_bytes {
            return Err(BodyError::Limit("max_bytes"));
        }
        let mut rest = body;
        // An outer layer of MIME header fields was not taken off (§2.1 shows one).
        let mut headers = fields(&mut rest, limits, true)?;
        if headers.iter().all(|field| field.name.to_ascii_lowercase().starts_with("content-"))
            && !headers.is_empty()
        {
            headers = fields(&mut rest, limits, true)?;
        }
        let content_headers = fields(&mut rest, limits, false)?;
        if headers.is_empty() {
            return Err(BodyError::Missing("header field"));
        }
        Ok(Self { headers, content_headers, body: rest.to_vec() })
    }

    /// The first header field of the message of that name, without escapes.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|field| field.name == name).map(|field| unescape(&field.value))
    }

    /// From.
    pub fn from(&self) -> Option<String> {
        self.header("From")
    }

    /// To.
    pub fn to(&self) -> Option<String> {
        self.header("To")
    }

    /// When it was written (RFC 3339).
    pub fn date_time(&self) -> Option<String> {
        self.header("DateTime")
    }

    /// Content-type; `text/plain` when there is none.
    pub fn content_type(&self) -> &str {
        let named = |field: &&Field| field.name.eq_ignore_ascii_case("Content-type");
        self.content_headers.iter().find(named).map_or("text/plain", |field| &field.value)
    }

    /// The header fields of a namespace by their own names, whatever prefix `NS` gave it (§4.6).
    pub fn of_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a str, String)> + 'a {
        let declared = |field: &&Field| {
            let uri = field.value.rsplit_once('<').map(|(_, uri)| uri.trim_end_matches('>'));
            field.name == "NS" && uri == Some(namespace)
        };
        let prefix = self
            .headers
            .iter()
            .find(declared)
            .map(|field| field.value.split(['<', ' ']).next().unwrap_or_default());
        self.headers.iter().filter_map(move |field| {
            let prefix = prefix.filter(|prefix| !prefix.is_empty())?;
            let name = field.name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name, unescape(&field.value)))
        })
    }

    /// The message as it goes out. Fields whose names are no tokens are left out.
    pub fn to_body(&self) -> Vec<u8> {
        let mut out = String::new();
        for part in [&self.headers, &self.content_headers] {
            for field in part.iter().filter(|field| is_name(&field.name)) {
                let _ = write!(out, "{}:", field.name);
                if let Some(lang) = field.lang.as_deref().filter(|lang| is_name(lang)) {
                    let _ = write!(out, ";lang={lang}");
                }
                out.push(' ');
                out.extend(field.value.chars().filter(|c| !c.is_control()));
                out.push_str("\r\n");
            }
            out.push_str("\r\n");
        }
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && chars::all(text.as_bytes(), chars::TOKEN)
}

/// The fields up to an empty line, which is consumed.
fn fields(rest: &mut &[u8], limits: &Limits, message: bool) -> Result<Vec<Field>, BodyError> {
    let mut fields = Vec::new();
    loop {
        let end = memchr::memchr(b'\n', rest).ok_or(BodyError::Missing("empty line"))?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        *rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok(fields);
        }
        if fields.len() >= limits.max_rows {
            return Err(BodyError::Limit("max_rows"));
        }
        let line = std::str::from_utf8(line).map_err(|_| BodyError::NotUtf8)?;
        let field = field(line, message).ok_or(BodyError::Invalid("header line"))?;
        fields.push(field);
    }
}

/// `Name: value`, or `Name:;lang=fr value` in the message's part.
fn field(line: &str, message: bool) -> Option<Field> {
    let (name, value) = line.split_once(':')?;
    if !is_name(name) {
        return None;
    }
    let (lang, value) = match value.strip_prefix(";") {
        Some(params) if message => {
            let (params, value) = params.split_once(' ')?;
            (params.split(';').find_map(|param| param.strip_prefix("lang=")), value)
        }
        _ => (None, value),
    };
    let value = value.strip_prefix(' ').unwrap_or(value);
    let value = value.chars().filter(|c| !c.is_control()).collect();
    Some(Field {
        name: name.to_owned(),
        lang: lang.filter(|l| is_name(l)).map(str::to_owned),
        value,
    })
}

/// Escapes control characters and backslashes (§2.3).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// Resolves escapes (§2.3). One that is none stays as it is.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let next = rest.chars().next();
        let plain = match next {
            Some('b') => Some('\u{8}'),
            Some('t') => Some('\t'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some(c @ ('\\' | '"' | '\'')) => Some(c),
            _ => None,
        };
        if let Some(c) = plain {
            out.push(c);
            rest = &rest[1..];
        } else if let Some((c, len)) = code(rest) {
            out.push(c);
            rest = &rest[len..];
        } else {
            out.push('\\');
        }
    }
    out.push_str(rest);
    out
}

/// `uxxxx` and how long it is; a pair of surrogates is one character.
fn code(text: &str) -> Option<(char, usize)> {
    let unit = |text: &str| {
        let digits = text.strip_prefix('u')?.get(..4)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(text)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((c, 5));
    }
    let second = text.get(5..)?.strip_prefix('\\').and_then(unit)?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, 11))
}
