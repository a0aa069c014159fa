//! How a request came here and why: History-Info (RFC 7044 §5), Diversion (RFC 5806 §3),
//! Reason (RFC 3326 §2). What is read is what the network claims.

use super::{Flaw, Item, NameAddr, number, quote, unquote};
use crate::unescape;
use std::borrow::Cow;
use std::fmt;

/// One entry of a request's history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryEntry<'a> {
    /// Where it was sent. Its URI may carry Reason and Privacy as header fields.
    pub address: NameAddr<'a>,
    /// The place in the tree of forwardings: `1.2.1`.
    pub index: &'a str,
}

impl<'a> HistoryEntry<'a> {
    /// Reads `<sip:bob@example.com?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        Self::of(NameAddr::parse(text)?)
    }

    pub(crate) fn of(address: NameAddr<'a>) -> Result<Self, Flaw> {
        let index = address.param("index").ok_or(Flaw::Param)?;
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !index.split('.').all(plain) {
            return Err(Flaw::Number);
        }
        Ok(Self { address, index })
    }

    /// The index of the entry that this one came from by a change of the user (`mp`), by a contact
    /// of a registration (`rc`) or with no change (`np`) (§10.3).
    pub fn previous(&self) -> Option<&'a str> {
        ["mp", "rc", "np"].iter().find_map(|name| self.address.param(name))
    }

    /// Whether the request was diverted to another user here.
    pub fn is_other_user(&self) -> bool {
        self.address.param("mp").is_some()
    }

    /// The Reason in the URI, without escapes: why the request went on from here.
    pub fn reason(&self) -> Option<String> {
        self.header("Reason")
    }

    /// The Privacy in the URI: what of this entry may not be told.
    pub fn privacy(&self) -> Option<super::Privacy> {
        super::Privacy::parse(&self.header("Privacy")?).ok()
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.address.uri.headers();
        let (_, value) = headers.find(|(its, _)| its.eq_ignore_ascii_case(name))?;
        String::from_utf8(unescape(value).into_owned()).ok()
    }
}

impl fmt::Display for HistoryEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// One diversion: who sent the call on.
#[derive(Debug, Clone, Copy)]
pub struct Diversion<'a> {
    /// Who.
    pub address: NameAddr<'a>,
}

impl<'a> Diversion<'a> {
    /// Reads `<sip:bob@example.com>;reason=user-busy;counter=1`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        NameAddr::parse(text).map(|address| Self { address })
    }

    /// `user-busy`, `no-answer`, `unconditional`, `deflection`, `unavailable`, …
    pub fn reason(&self) -> Option<&'a str> {
        self.address.param("reason")
    }

    /// How many diversions this entry stands for; one unless it says otherwise (§3).
    pub fn counter(&self) -> u32 {
        self.address.param("counter").and_then(|n| number(n).ok()).unwrap_or(1)
    }

    /// `full`, `name`, `uri`, `off`: what may be shown.
    pub fn privacy(&self) -> Option<&'a str> {
        self.address.param("privacy")
    }
}

impl fmt::Display for Diversion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Why a request was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, …
    pub protocol: &'a str,
    /// The cause: a SIP status, an ISDN cause value.
    pub cause: Option<u16>,
    /// Text for people, without escapes.
    pub text: Option<Cow<'a, str>>,
}

impl<'a> Reason<'a> {
    /// Reads `SIP;cause=200;text="Call completed elsewhere"`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let item = Item::parse(text)?;
        let cause = item.param("cause").map(number).transpose()?;
        Ok(Self {
            protocol: item.value,
            cause: cause.map(|n| u16::try_from(n).map_err(|_| Flaw::Range)).transpose()?,
            text: item.param("text").map(unquote),
        })
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", quote(text)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7044 §5.4 and Appendix B.
    #[test]
    fn history_entries_of_rfc_7044() {
        let text = "<sip:office@example.com?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22\
                    &Privacy=history>;index=1.2.1;mp=1";
        let entry = HistoryEntry::parse(text).unwrap();
        assert_eq!((entry.index, entry.previous()), ("1.2.1", Some("1")));
        assert!(entry.is_other_user() && entry.privacy().unwrap().history);
        let reason = entry.reason().unwrap();
        let reason = Reason::parse(&reason).unwrap();
        assert_eq!((reason.cause, reason.text.as_deref()), (Some(302), Some("Moved")));
        assert_eq!(entry.to_string(), text);
        for bad in ["<sip:a@b>", "<sip:a@b>;index=", "<sip:a@b>;index=1..2", "<sip:a@b>;index=a"] {
            assert!(HistoryEntry::parse(bad).is_err(), "{bad}");
        }
    }

    // RFC 5806 §8.
    #[test]
    fn a_diversion_of_rfc_5806() {
        let text = "<sip:B@example.com>;reason=user-busy;counter=3;privacy=full";
        let diversion = Diversion::parse(text).unwrap();
        assert_eq!((diversion.reason(), diversion.counter()), (Some("user-busy"), 3));
        assert_eq!((diversion.privacy(), diversion.to_string().as_str()), (Some("full"), text));
        assert_eq!(Diversion::parse("<tel:+1234>;reason=\"no-answer\"").unwrap().counter(), 1);
    }

    // RFC 3326 §2.
    #[test]
    fn reasons_of_rfc_3326() {
        for text in [
            "SIP;cause=200;text=\"Call completed elsewhere\"",
            "Q.850;cause=16;text=\"Terminated\"",
            "SIP;cause=600;text=\"Busy \\\"Everywhere\\\"\"",
            "preemption",
        ] {
            assert_eq!(Reason::parse(text).unwrap().to_string(), text);
        }
        assert!(Reason::parse("SIP;cause=x").is_err() && Reason::parse("SIP;cause=70000").is_err());
    }
}
