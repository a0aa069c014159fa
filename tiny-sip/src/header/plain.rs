//! Header fields of numbers and words: CSeq, Max-Forwards, Expires, Retry-After, Timestamp,
//! Warning, Call-Info and its kin (RFC 3261 §20).

use super::{Cursor, Flaw, Params, chars};
use crate::Method;
use std::fmt;

/// The sequence number and method of a request (RFC 3261 §20.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CSeq<'a> {
    /// Below 2³¹ (§8.1.1.5).
    pub number: u32,
    /// The method as written; comparable with a [`Method`].
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads `4711 INVITE`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let number = cursor.run_short(chars::TOKEN);
        let number: u32 = self::number(number)?;
        if number >= 1 << 31 {
            return Err(Flaw::Range);
        }
        cursor.blanks();
        let method = cursor.token()?;
        cursor.end()?;
        Ok(Self { number, method })
    }

    /// The method, owned.
    pub fn method(&self) -> Method {
        Method::parse(self.method).unwrap_or_else(|| Method::Other(self.method.into()))
    }
}

impl fmt::Display for CSeq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// Decimal digits and nothing else; too many of them are [`Flaw::Range`].
pub(crate) fn number(text: &str) -> Result<u32, Flaw> {
    if text.is_empty() {
        return Err(Flaw::Number);
    }
    let mut value = Some(0u32);
    for b in text.bytes() {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Flaw::Number);
        }
        value = value.and_then(|v| v.checked_mul(10)).and_then(|v| v.checked_add(digit.into()));
    }
    value.ok_or(Flaw::Range)
}

/// `delta-seconds`: a number too large for 32 bits counts as the largest (RFC 3261 §20.19).
pub fn parse_seconds(text: &str) -> Result<u32, Flaw> {
    match number(chars::trim(text)) {
        Err(Flaw::Range) => Ok(u32::MAX),
        other => other,
    }
}

/// Retry-After (RFC 3261 §20.33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter<'a> {
    /// After how many seconds to try again.
    pub seconds: u32,
    /// The comment, without its parentheses.
    pub comment: Option<&'a str>,
    /// `duration` and others.
    pub params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// Reads `18000 (in a meeting);duration=3600`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let seconds = parse_seconds(cursor.run(chars::TOKEN))?;
        cursor.blanks();
        let comment = if cursor.peek() == Some(b'(') { Some(comment(&mut cursor)?) } else { None };
        let (params, _) = cursor.params("")?;
        cursor.end()?;
        Ok(Self { seconds, comment, params })
    }

    /// For how long the callee is reachable from then on, in seconds.
    pub fn duration(&self) -> Option<u32> {
        self.params.get("duration").and_then(|text| parse_seconds(text).ok())
    }
}

/// A comment with nested ones and escapes; the cursor stands on `(`.
fn comment<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Flaw> {
    let bytes = cursor.bytes();
    let (mut depth, mut i) = (0u32, 0);
    while let Some(&b) = bytes.get(i) {
        match b {
            b'\\' => i += 1,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            cursor.take(1);
            let inside = cursor.take(i - 1);
            cursor.take(1);
            return Ok(inside);
        }
        i += 1;
    }
    Err(Flaw::Quote)
}

/// Timestamp (RFC 3261 §20.38).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// The sender's time, digits with at most one dot; to be given back as it came.
    pub time: &'a str,
    /// The delay that the answering side adds, in the same form.
    pub delay: Option<&'a str>,
}

impl<'a> Timestamp<'a> {
    /// Reads `54.21 0.5`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
        let time = words.next().ok_or(Flaw::Empty)?;
        let delay = words.next();
        if words.next().is_some() {
            return Err(Flaw::Trailing);
        }
        let decimal = |word: &str| {
            word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
                && word.bytes().filter(|b| *b == b'.').count() <= 1
        };
        if !decimal(time) || !time.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Flaw::Number);
        }
        if delay.is_some_and(|delay| !decimal(delay)) {
            return Err(Flaw::Number);
        }
        Ok(Self { time, delay })
    }
}

/// One Warning (RFC 3261 §20.43).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning<'a> {
    /// Three digits.
    pub code: u16,
    /// Host or pseudonym of who warns.
    pub agent: &'a str,
    /// The text, its escapes kept (see [`super::unquote`]).
    pub text: &'a str,
}

impl<'a> Warning<'a> {
    /// Reads `399 example.com "Incompatible bandwidth"`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let digits = cursor.run(chars::TOKEN);
        if digits.len() != 3 {
            return Err(Flaw::Number);
        }
        let code = number(digits)? as u16;
        cursor.blanks();
        let agent = cursor.run(chars::VALUE);
        cursor.blanks();
        if agent.is_empty() {
            return Err(Flaw::Host);
        }
        if cursor.peek() != Some(b'"') {
            return Err(Flaw::Quote);
        }
        let text = cursor.quoted()?;
        cursor.end()?;
        Ok(Self { code, agent, text })
    }
}

/// `<uri>;params`: one element of Call-Info, Alert-Info, Error-Info (RFC 3261 §20.4, §20.9,
/// §20.18). The URI may be of any scheme and is not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfoUri<'a> {
    /// What stands between `<` and `>`.
    pub uri: &'a str,
    /// `purpose` and others.
    pub params: Params<'a>,
}

impl<'a> InfoUri<'a> {
    /// Reads one element.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        if !cursor.eat(b'<') {
            return Err(Flaw::Brackets);
        }
        let end = memchr::memchr(b'>', cursor.bytes()).ok_or(Flaw::Brackets)?;
        let uri = cursor.take(end);
        cursor.eat(b'>');
        let (params, _) = cursor.params("")?;
        cursor.end()?;
        Ok(Self { uri, params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cseq_is_a_number_below_two_to_the_31_and_a_method() {
        let cseq = CSeq::parse("0009  INVITE").unwrap();
        assert_eq!(cseq.number, 9);
        assert_eq!(cseq.method, Method::Invite);
        assert_eq!(CSeq::parse("2147483647 ACK").unwrap().number, 2_147_483_647);
        assert_eq!(CSeq::parse("2147483648 ACK"), Err(Flaw::Range));
        assert_eq!(CSeq::parse("36893488147419103232 REGISTER"), Err(Flaw::Range));
        assert_eq!(CSeq::parse("-1 ACK"), Err(Flaw::Number));
        assert_eq!(CSeq::parse("1"), Err(Flaw::Token));
        assert_eq!(CSeq::parse("1 ACK x"), Err(Flaw::Trailing));
    }

    #[test]
    fn seconds_saturate() {
        assert_eq!(parse_seconds(" 3600 "), Ok(3600));
        assert_eq!(parse_seconds("100000000000000000000"), Ok(u32::MAX));
        assert_eq!(parse_seconds("1h"), Err(Flaw::Number));
    }

    #[test]
    fn retry_after_with_comment_and_duration() {
        let retry = RetryAfter::parse("18000 (in a (long) \\) meeting);duration=3600").unwrap();
        assert_eq!((retry.seconds, retry.duration()), (18_000, Some(3600)));
        assert_eq!(retry.comment, Some("in a (long) \\) meeting"));
        assert_eq!(RetryAfter::parse("5 (x"), Err(Flaw::Quote));
        assert_eq!(RetryAfter::parse("120").unwrap().comment, None);
    }

    #[test]
    fn timestamp_warning_and_info() {
        assert_eq!(
            Timestamp::parse("54.2 0.1"),
            Ok(Timestamp { time: "54.2", delay: Some("0.1") })
        );
        assert!(Timestamp::parse("1.2.3").is_err() && Timestamp::parse(".5").is_err());
        let warning = Warning::parse(r#"307 isi.edu:5060 "Session \"foo\" x""#).unwrap();
        assert_eq!((warning.code, warning.agent), (307, "isi.edu:5060"));
        assert!(Warning::parse("30 a \"b\"").is_err() && Warning::parse("300 a b").is_err());
        let info = InfoUri::parse("<http://www.example.com/a;b?c>;purpose=icon").unwrap();
        assert_eq!(
            (info.uri, info.params.get("purpose")),
            ("http://www.example.com/a;b?c", Some("icon"))
        );
    }
}
