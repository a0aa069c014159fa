//! `;name=value` lists of header fields and URIs (RFC 3261 §25.1 `generic-param`), and quoted
//! strings. Names are case-insensitive.

use super::{Cursor, Flaw, chars};
use std::borrow::Cow;
use std::fmt;

/// A parameter list, as written: `;tag=abc;lr`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Params<'a>(&'a str);

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Param<'a> {
    /// The name as written.
    pub name: &'a str,
    /// The value without the quotes around it; escapes in a quoted value stay (see [`unquote`]).
    pub value: Option<&'a str>,
    /// Whether the value was a quoted string.
    pub quoted: bool,
}

impl<'a> Params<'a> {
    /// Reads `;a=b;c` with nothing before or after.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        let (params, _) = cursor.params("")?;
        cursor.end()?;
        Ok(params)
    }

    #[inline]
    pub(crate) fn checked(text: &'a str) -> Self {
        Self(text)
    }

    /// The list as written, with its leading semicolon; `""` when there is none.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order of appearance.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || {
            while cursor.eat_spaced(b';') {}
            cursor.peek()?;
            let bytes = cursor.bytes();
            let end = bytes
                .iter()
                .position(|&b| matches!(b, b';' | b'=') || chars::is_blank(b))
                .unwrap_or(bytes.len());
            let name = cursor.take(end);
            if !cursor.eat_spaced(b'=') {
                return Some(Param { name, value: None, quoted: false });
            }
            let quoted = cursor.peek() == Some(b'"');
            let value = if quoted {
                cursor.quoted().unwrap_or_default()
            } else {
                let bytes = cursor.bytes();
                let end = bytes
                    .iter()
                    .position(|&b| b == b';' || chars::is_blank(b))
                    .unwrap_or(bytes.len());
                cursor.take(end)
            };
            Some(Param { name, value: Some(value), quoted })
        })
    }

    /// The first value of that name: `""` for a parameter without one.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        self.iter().find(|p| p.name.eq_ignore_ascii_case(name)).map(|p| p.value.unwrap_or_default())
    }

    /// Whether there is a parameter of that name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Resolves the `\x` escapes inside a quoted string (its quotes already gone).
pub fn unquote(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    Cow::Owned(text)
}

/// A quoted string: with quotes around, and `"` and `\` escaped. Control characters, which no
/// quoted string can hold, are dropped.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| !c.is_ascii_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_any_case_quoted_or_bare() {
        let params = Params::parse(r#" ; Tag = abc ;lr; note="a;b \"c\"" ;x="#);
        assert_eq!(params, Err(Flaw::Param));
        let params = Params::parse(r#";Tag = abc ;lr; note="a;b \"c\"" ;"#).unwrap();
        assert_eq!(params.get("tag"), Some("abc"));
        assert_eq!(params.get("LR"), Some(""));
        assert_eq!(params.get("note").map(unquote).as_deref(), Some(r#"a;b "c""#));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.iter().count(), 3);
    }

    #[test]
    fn quoting_is_undone_by_unquoting() {
        let text = r#"a "b" \c é"#;
        let quoted = quote(text);
        assert_eq!(unquote(&quoted[1..quoted.len() - 1]), text);
        assert_eq!(quote("a\r\nVia: x"), "\"aVia: x\"");
    }
}
