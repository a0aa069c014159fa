//! The status line that a `message/sipfrag` body begins with (RFC 3420), all that a NOTIFY of a referral
//! needs (RFC 3515 §2.4.5). Nothing behind it is read.

use super::chars;

/// What a referred party has got so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// 100 to 699.
    pub status: u16,
    /// The reason phrase, at most 128 bytes of it.
    pub reason: &'a str,
}

const LONGEST: usize = 128;

impl<'a> StatusLine<'a> {
    /// Reads `SIP/2.0 180 Ringing`. "Each NOTIFY MUST contain a body of type message/sipfrag …
    /// The body of a NOTIFY MUST begin with a SIP Response Status-Line" (RFC 3515 §2.4.5).
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let end = body.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(body.len());
        let line = body.get(..end.min(LONGEST * 2))?;
        let (version, rest) = line.split_at_checked(8)?;
        if !version.eq_ignore_ascii_case(b"SIP/2.0 ") {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(3)?;
        let status = std::str::from_utf8(digits).ok()?;
        let plain = status.bytes().all(|b| b.is_ascii_digit());
        let status = status.parse().ok().filter(|s| plain && (100..700).contains(s))?;
        let reason = match rest {
            [] => &[][..],
            [b' ', reason @ ..] => reason,
            _ => return None,
        };
        let reason = match std::str::from_utf8(reason) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(reason.get(..e.valid_up_to())?).ok()?,
        };
        let cut = (0..=LONGEST.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at))?;
        Some(Self { status, reason: chars::trim(reason.get(..cut)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_of_a_fragment_is_read() {
        let frag =
            |text: &'static str| StatusLine::parse(text.as_bytes()).map(|f| (f.status, f.reason));
        assert_eq!(frag("SIP/2.0 100 Trying"), Some((100, "Trying")));
        assert_eq!(frag("SIP/2.0 200 OK\r\nTo: x\r\n"), Some((200, "OK")));
        assert_eq!(frag("SIP/2.0 603 "), Some((603, "")));
        assert_eq!(frag("SIP/2.0 486"), Some((486, "")));
        for wrong in ["", "SIP/2.0 ", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 2000 x", "INVITE"] {
            assert_eq!(frag(wrong), None, "{wrong}");
        }
        let long = format!("SIP/2.0 200 {}", "é".repeat(4000));
        assert!(StatusLine::parse(long.as_bytes()).unwrap().reason.len() <= LONGEST);
    }
}
