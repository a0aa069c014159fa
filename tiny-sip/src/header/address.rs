//! `name-addr` and `addr-spec` with their parameters: From, To, Contact, Route, Record-Route,
//! Reply-To, Refer-To, Path … (RFC 3261 §20.10, §25.1).

use super::{Cursor, Flaw, Params, chars, unquote};
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
    text: &'a str,
}

impl<'a> NameAddr<'a> {
    /// Reads one address and nothing after it.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        let address = Self::read(&mut cursor)?;
        cursor.end()?;
        Ok(address)
    }

    #[inline]
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
        let mut tag = None;
        let params = cursor.params(|name, value| {
            if name.len() == 3 && name.eq_ignore_ascii_case("tag") && tag.is_none() {
                tag = value;
            }
        })?;
        let text = whole.get(..whole.len() - cursor.rest().len()).unwrap_or_default();
        Ok(Self { display, uri, params, tag, text: text.trim_end_matches([' ', '\t']) })
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
        self.text
    }
}

impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
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
        let item = NameAddr::read(&mut cursor)
            .and_then(|address| cursor.end_of_element().map(|()| address));
        if item.is_ok() && !cursor.bytes().is_empty() {
            self.0 = Some(cursor);
        }
        Some(item)
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
