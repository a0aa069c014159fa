//! Media types (Content-Type, Accept) and words with parameters (Content-Disposition,
//! Accept-Encoding, Accept-Language, Event, Reason, Session-Expires …).

use super::{Cursor, Flaw, Params, chars};
use std::fmt;

/// `type/subtype;parameters` (RFC 3261 §20.1, §20.15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type, `*` in an Accept.
    pub kind: &'a str,
    /// The subtype, `*` in an Accept.
    pub subtype: &'a str,
    /// `boundary`, `charset`, `q`, …
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads one media type or range.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let kind = cursor.token()?;
        if !cursor.eat_spaced(b'/') {
            return Err(Flaw::Token);
        }
        let subtype = cursor.token()?;
        let (params, _) = cursor.params("")?;
        cursor.end()?;
        Ok(Self { kind, subtype, params })
    }

    /// Whether it is `kind/subtype`, in any case, whatever its parameters.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether this range of an Accept covers `other`.
    pub fn accepts(&self, other: &MediaType<'_>) -> bool {
        self.kind == "*"
            || self.kind.eq_ignore_ascii_case(other.kind)
                && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(other.subtype))
    }

    /// A parameter's value without quotes.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }
}

impl fmt::Display for MediaType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

/// A word with parameters: `gzip;q=0.5`, `session;handling=optional`, `presence;id=7`,
/// `Q.850;cause=16`, `1800;refresher=uac`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The word.
    pub value: &'a str,
    /// Its parameters.
    pub params: Params<'a>,
}

impl<'a> Item<'a> {
    /// Reads one.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let value = cursor.run(chars::VALUE);
        if value.is_empty() {
            return Err(Flaw::Token);
        }
        let (params, _) = cursor.params("")?;
        cursor.end()?;
        Ok(Self { value, params })
    }

    /// A parameter's value without quotes: `""` when it has none.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// The `q` parameter in thousandths; 1000 when absent or malformed (RFC 3261 §20.2).
    pub fn quality(&self) -> u16 {
        self.param("q").and_then(quality).unwrap_or(1000)
    }
}

/// A `qvalue` in thousandths: `0.5` is 500.
pub(crate) fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    let whole = match whole {
        "0" | "" => 0,
        "1" => 1000,
        _ => return None,
    };
    let fraction = fraction.bytes().chain([b'0'; 3]).take(3);
    let value = whole + fraction.fold(0, |n, b| n * 10 + u16::from(b.wrapping_sub(b'0')));
    (digits && value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_and_ranges() {
        let kind = MediaType::parse("Multipart/Mixed ; boundary=\"a;b\"").unwrap();
        assert!(kind.is("multipart", "mixed"));
        assert_eq!(kind.param("Boundary"), Some("a;b"));
        let sdp = MediaType::parse("application/sdp").unwrap();
        assert!(MediaType::parse("*/*;q=0.1").unwrap().accepts(&sdp));
        assert!(MediaType::parse("application/*").unwrap().accepts(&sdp));
        assert!(!MediaType::parse("text/*").unwrap().accepts(&sdp));
        assert!(MediaType::parse("application").is_err() && MediaType::parse("a/b c").is_err());
    }

    #[test]
    fn words_with_quality() {
        assert_eq!(Item::parse("en-gb;q=0.8").unwrap().quality(), 800);
        assert_eq!(Item::parse("da").unwrap().quality(), 1000);
        assert_eq!(
            Item::parse("session;handling=optional").unwrap().param("handling"),
            Some("optional")
        );
        assert_eq!(
            (quality("1.000"), quality("0.05"), quality("1.1"), quality("0.x")),
            (Some(1000), Some(50), None, None)
        );
    }
}
