//! `name-addr` and `addr-spec` with their parameters: From, To, Contact, Route, Record-Route,
//! Reply-To, Refer-To, Path … (RFC 3261 §20.10, §25.1).

use super::{Cursor, Flaw, HeaderError, HeaderName, Params, chars, unquote};
use crate::Uri;
use std::borrow::Cow;
use std::fmt;

/// An address: display name, URI, and the header field's own parameters.
#[derive(Debug, Clone, Copy)]
pub struct NameAddr<'a> {
    /// The display name as written, without the quotes around it; `""` when there is none.
    /// [`NameAddr::display_name`] resolves its escapes.
    pub display: &'a str,
    /// The URI.
    pub uri: Uri<'a>,
    /// The parameters after the URI.
    pub params: Params<'a>,
    tag: Option<&'a str>,
    // What it was read from, and how much of that it is.
    text: &'a str,
    len: usize,
}

impl<'a> NameAddr<'a> {
    /// Reads one address and nothing after it.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        if let Some(address) = Self::usual(text) {
            return Ok(address);
        }
        Self::parse_any(text)
    }

    /// [`NameAddr::parse`] for a header field of that name. (The result is built where it is
    /// wanted: moving it about costs as much as reading it.)
    #[inline(never)]
    pub(crate) fn parse_as(text: &'a str, name: HeaderName) -> Result<Self, HeaderError> {
        if let Some(address) = Self::usual(text) {
            return Ok(address);
        }
        Self::parse_any(text).map_err(|flaw| HeaderError::Malformed { name, flaw })
    }

    /// The first address of a line; others may follow.
    #[inline(never)]
    pub(crate) fn first_as(line: &'a str, name: HeaderName) -> Result<Self, HeaderError> {
        if let Some(address) = Self::usual(line) {
            return Ok(address);
        }
        let first = NameAddrs::new(line).next().unwrap_or(Err(Flaw::Empty));
        first.map_err(|flaw| HeaderError::Malformed { name, flaw })
    }

    #[inline(never)]
    fn parse_any(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        let address = Self::read(&mut cursor)?;
        cursor.end()?;
        Ok(address)
    }

    /// The first address of a line, where it is the only one and of the usual form: a display name
    /// in quotes or none, a URI in brackets, no parameter but a tag. `None` tells nothing.
    #[inline(always)]
    pub(crate) fn usual(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let open = bytes.iter().position(|b| *b == b'<')?;
        let display = match &bytes[..open] {
            [] => "",
            [b'"', inside @ .., b'"'] | [b'"', inside @ .., b'"', b' ']
                if chars::all(inside, chars::DISPLAY) =>
            {
                text.get(1..1 + inside.len())?
            }
            _ => return None,
        };
        let close = open + memchr::memchr(b'>', &bytes[open..])?;
        let (tag, params) = match &bytes[close + 1..] {
            [] => (None, ""),
            [b';', b't', b'a', b'g', b'=', tag @ ..]
                if !tag.is_empty() && chars::all(tag, chars::TOKEN) =>
            {
                (text.get(close + 6..), text.get(close + 1..)?)
            }
            _ => return None,
        };
        let uri = Uri::parse(text.get(open + 1..close)?).ok()?;
        let params = Params::checked(params);
        Some(Self { display, uri, params, tag, text, len: text.len() })
    }

    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Flaw> {
        cursor.blanks();
        let whole = cursor.rest();
        let display = match cursor.peek() {
            None => return Err(Flaw::Empty),
            Some(b'<') => "",
            Some(b'"') => {
                let display = cursor.quoted()?;
                cursor.blanks();
                if cursor.peek() != Some(b'<') {
                    return Err(Flaw::Brackets);
                }
                display
            }
            Some(_) => {
                // Either words before a `<` or a bare URI: the first character that is neither
                // of a display name nor a blank tells.
                let mut ahead = *cursor;
                let words = ahead.run(chars::DISPLAY);
                match ahead.peek() {
                    Some(b'<') => {
                        *cursor = ahead;
                        words.trim_end_matches([' ', '\t'])
                    }
                    Some(b':') => return Self::read_bare(cursor, whole),
                    _ => return Err(Flaw::DisplayName),
                }
            }
        };
        cursor.eat(b'<');
        let end = memchr::memchr(b'>', cursor.bytes()).ok_or(Flaw::Brackets)?;
        let uri = Uri::parse(cursor.take(end))?;
        cursor.eat(b'>');
        Self::read_params(cursor, whole, display, uri)
    }

    /// A URI without `<` and `>`: semicolons after it belong to the header field, and it can have
    /// neither comma nor question mark (RFC 3261 §20.10).
    fn read_bare(cursor: &mut Cursor<'a>, whole: &'a str) -> Result<Self, Flaw> {
        let bytes = cursor.bytes();
        let end = bytes
            .iter()
            .position(|&b| matches!(b, b';' | b',' | b'?' | b' ' | b'\t' | b'<' | b'>' | b'"'))
            .unwrap_or(bytes.len());
        if matches!(bytes.get(end), Some(b'?' | b'<' | b'>' | b'"')) {
            return Err(Flaw::Brackets);
        }
        let uri = Uri::parse(cursor.take(end))?;
        Self::read_params(cursor, whole, "", uri)
    }

    #[inline]
    fn read_params(
        cursor: &mut Cursor<'a>,
        whole: &'a str,
        display: &'a str,
        uri: Uri<'a>,
    ) -> Result<Self, Flaw> {
        let (params, tag) = cursor.params("tag")?;
        let len = whole.len() - cursor.bytes().len();
        Ok(Self { display, uri, params, tag, text: whole, len })
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.tag
    }

    /// A parameter of the header field, not of the URI: `""` when it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// The display name with escapes resolved.
    pub fn display_name(&self) -> Cow<'a, str> {
        unquote(self.display)
    }

    /// The whole address as written.
    pub fn as_str(&self) -> &'a str {
        let text = self.text.get(..self.len).unwrap_or_default();
        text.trim_end_matches([' ', '\t'])
    }
}

impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The addresses of one line, separated by commas. It ends after the first malformed one.
#[derive(Clone)]
pub struct NameAddrs<'a>(Option<Cursor<'a>>);

impl<'a> NameAddrs<'a> {
    /// Over the value of one header line.
    pub fn new(value: &'a str) -> Self {
        Self(Some(Cursor::new(value)))
    }
}

impl<'a> Iterator for NameAddrs<'a> {
    type Item = Result<NameAddr<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut cursor = self.0.take()?;
        let address = match NameAddr::read(&mut cursor) {
            Ok(address) => address,
            Err(flaw) => return Some(Err(flaw)),
        };
        if let Err(flaw) = cursor.end_of_element() {
            return Some(Err(flaw));
        }
        if !cursor.bytes().is_empty() {
            self.0 = Some(cursor);
        }
        Some(Ok(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_quoted_bare_and_absent() {
        let a = NameAddr::parse(r#""A \"B\" <c>" <sip:a@b>;tag=x"#).unwrap();
        assert_eq!(
            (a.display_name().as_ref(), a.uri.as_str(), a.tag()),
            (r#"A "B" <c>"#, "sip:a@b", Some("x"))
        );
        let a = NameAddr::parse("A. Bell  <sip:a.g.bell@example.com>;tag=qweoiqpe").unwrap();
        assert_eq!((a.display, a.tag()), ("A. Bell", Some("qweoiqpe")));
        let a = NameAddr::parse("caller<sip:caller@example.com>;tag=323").unwrap();
        assert_eq!(a.display, "caller");
        let a = NameAddr::parse("<sip:a@b;lr>").unwrap();
        assert_eq!((a.display, a.tag(), a.uri.param("lr")), ("", None, Some("")));
    }

    #[test]
    fn a_bare_uri_leaves_its_semicolons_to_the_header_field() {
        let a = NameAddr::parse("sip:a@b;tag=1;user=phone").unwrap();
        assert_eq!(
            (a.uri.as_str(), a.tag(), a.param("user")),
            ("sip:a@b", Some("1"), Some("phone"))
        );
        assert_eq!(a.uri.param("user"), None);
        assert!(matches!(NameAddr::parse("sip:a@b?Route=x"), Err(Flaw::Brackets)));
    }

    #[test]
    fn lists_split_at_commas_outside_quotes_and_brackets() {
        let list = r#""a, b" <sip:a@b?x=1,2>;q=0.5 , <sip:c@d>,sip:e@f"#;
        let all: Vec<_> = NameAddrs::new(list).map(|a| a.unwrap().as_str()).collect();
        assert_eq!(all, [r#""a, b" <sip:a@b?x=1,2>;q=0.5"#, "<sip:c@d>", "sip:e@f"]);
        assert!(NameAddrs::new("Bell, A <sip:a@b>").next().unwrap().is_err());
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for bad in [
            "",
            "<",
            "<>",
            "<sip:a@b",
            "\"a <sip:a@b>",
            "< sip:a@b >",
            "a@b",
            "<sip:a@b> x",
            "<sip:a@b>;=1",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{bad}");
        }
    }
}
