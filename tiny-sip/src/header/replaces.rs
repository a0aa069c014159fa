//! The name of a dialog in another request: Replaces (RFC 3891 §6.1) and Join (RFC 3911 §7.1).
//! Whether there is such a dialog is not known here.

use super::{Flaw, Params, chars};
use std::fmt;

/// Replaces, or Join, which has the same form but for `early-only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// Call-ID of the dialog.
    pub call_id: &'a str,
    /// The tag of whoever receives this; `0` stands for none, too (§6.1).
    pub to_tag: &'a str,
    /// The tag of the other end of that dialog.
    pub from_tag: &'a str,
    /// Only an early dialog is meant (§3).
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads `12345@example.com;to-tag=a;from-tag=b;early-only`. "A Replaces header field MUST
    /// contain exactly one to-tag parameter and exactly one from-tag parameter" (§6.1).
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let text = chars::trim(text);
        let end = text.find(';').unwrap_or(text.len());
        let (call_id, params) = text.split_at(end);
        let call_id = chars::trim(call_id);
        if call_id.is_empty() {
            return Err(Flaw::Empty);
        }
        if call_id.bytes().any(|b| b <= b' ' || b == b',') {
            return Err(Flaw::Token);
        }
        let params = Params::parse(params)?;
        let only = |name: &str| {
            let mut same = params.iter().filter(|p| p.name.eq_ignore_ascii_case(name));
            match (same.next().and_then(|p| p.value), same.next()) {
                (Some(tag), None) if !tag.is_empty() => Ok(tag),
                _ => Err(Flaw::Param),
            }
        };
        let (to_tag, from_tag) = (only("to-tag")?, only("from-tag")?);
        Ok(Self { call_id, to_tag, from_tag, early_only: params.has("early-only") })
    }
}

impl fmt::Display for Replaces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let early = if self.early_only { ";early-only" } else { "" };
        let Self { call_id, to_tag, from_tag, .. } = self;
        write!(f, "{call_id};to-tag={to_tag};from-tag={from_tag}{early}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_named_by_call_id_and_both_tags() {
        let text = "98732@sip.example.com ; from-tag=r33th4x0r;to-tag=ff87ff; early-only";
        let replaces = Replaces::parse(text).unwrap();
        assert_eq!(replaces.call_id, "98732@sip.example.com");
        assert_eq!((replaces.to_tag, replaces.from_tag), ("ff87ff", "r33th4x0r"));
        assert!(replaces.early_only);
        let printed = replaces.to_string();
        assert_eq!(Replaces::parse(&printed).unwrap(), replaces);
        for wrong in [
            "",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;from-tag=2",
            "a;to-tag=1;to-tag=2;from-tag=3",
            "a;to-tag;from-tag=2",
            "a b;to-tag=1;from-tag=2",
            "a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2",
        ] {
            assert!(Replaces::parse(wrong).is_err(), "{wrong}");
        }
    }
}
