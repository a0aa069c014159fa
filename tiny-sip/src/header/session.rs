//! RAck (RFC 3262 §7.2) and Session-Expires (RFC 4028 §4).

use super::plain::number;
use super::{CSeq, Cursor, Flaw, chars, parse_seconds};

/// What a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RAck<'a> {
    /// The RSeq of the provisional response.
    pub rseq: u32,
    /// The CSeq number of the response.
    pub number: u32,
    /// The CSeq method of the response.
    pub method: &'a str,
}

impl<'a> RAck<'a> {
    /// Reads `776656 1 INVITE`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let text = chars::trim(text);
        let digits = Cursor::new(text).run(chars::TOKEN);
        let rseq = number(digits)?;
        let rest = text.get(digits.len()..).unwrap_or_default();
        if !rest.starts_with([' ', '\t']) {
            return Err(Flaw::Token);
        }
        let cseq = CSeq::parse(rest)?;
        Ok(Self { rseq, number: cseq.number, method: cseq.method })
    }
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request that this header field, or its response, belongs to.
    Uac,
    /// Who answers it.
    Uas,
}

/// Session-Expires (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes, where it is said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads `1800;refresher=uac`. An unknown refresher counts as none.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let (seconds, params) = super::Item::parse(text).map(|item| (item.value, item.params))?;
        let refresher = match params.get("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Ok(Self { seconds: parse_seconds(seconds)?, refresher })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rack_is_two_numbers_and_a_method() {
        let rack = RAck::parse("776656  1 INVITE").unwrap();
        assert_eq!((rack.rseq, rack.number, rack.method), (776_656, 1, "INVITE"));
        for bad in ["", "1", "1 INVITE", "1 2", "x 1 INVITE", "1 2 INVITE z", "4294967296 1 INVITE"]
        {
            assert!(RAck::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn session_expires_is_an_interval_and_who_refreshes() {
        let uas = SessionExpires { seconds: 90, refresher: Some(Refresher::Uas) };
        assert_eq!(SessionExpires::parse("90;refresher=UAS;x=y"), Ok(uas));
        let none = SessionExpires { seconds: 1800, refresher: None };
        assert_eq!(SessionExpires::parse("1800;refresher=me"), Ok(none));
        assert_eq!(SessionExpires::parse("99999999999").unwrap().seconds, u32::MAX);
        assert!(SessionExpires::parse("soon").is_err() && SessionExpires::parse("").is_err());
    }
}
