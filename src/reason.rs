//! Why a call ends, in the words of RFC 3326.

use crate::{CallEnd, HeaderName};

/// A Reason header field (RFC 3326 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, …
    pub protocol: String,
    /// The cause, e.g. a SIP status.
    pub cause: Option<u16>,
    /// Text for people.
    pub text: Option<String>,
}

impl Reason {
    /// A SIP status as the reason.
    pub fn sip(cause: u16, text: impl Into<String>) -> Self {
        Self { protocol: "SIP".into(), cause: Some(cause), text: Some(text.into()) }
    }

    pub(crate) fn header(&self) -> (String, String) {
        let mut value = self.protocol.clone();
        if let Some(cause) = self.cause {
            value.push_str(&format!(";cause={cause}"));
        }
        if let Some(text) = &self.text {
            value.push_str(&format!(";text={}", tiny_sip::header::quote(text)));
        }
        (HeaderName::Reason.as_str().to_owned(), value)
    }
}

impl CallEnd {
    /// What the BYE, CANCEL or response that ended the call says about why; at most 16 of them.
    pub fn reasons(&self) -> Vec<Reason> {
        let Some(message) = &self.message else { return Vec::new() };
        let items = message.items(HeaderName::Reason).flatten().take(16);
        let reason = |item: tiny_sip::header::Item<'_>| Reason {
            protocol: item.value.to_owned(),
            cause: item.param("cause").and_then(|c| c.parse().ok()),
            text: item.param("text").map(|t| tiny_sip::header::unquote(t).into_owned()),
        };
        items.map(reason).collect()
    }

    /// Another telephone has taken the call: the CANCEL says `SIP;cause=200` (RFC 3326 §3.1).
    pub fn answered_elsewhere(&self) -> bool {
        let sip = |r: &Reason| r.protocol.eq_ignore_ascii_case("SIP") && r.cause == Some(200);
        self.reasons().iter().any(sip)
    }
}
