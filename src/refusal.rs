//! What a refusal says besides its status: warnings (RFC 3261 §20.43), and where else the callee might
//! be reached (Contacts of a 3xx or 485, the body of a 380; §21.3, §21.4.23).

use crate::event::CallEnd;
use crate::{Error, SipMessage};
use tiny_sip::Scheme;

/// A Warning: what of a session description did not match, in most cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Three digits, e.g. 304 (media type not available), 305 (incompatible media format).
    pub code: u16,
    /// The host that warns, or a pseudonym.
    pub agent: String,
    /// For people.
    pub text: String,
}

/// A place to call instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// Its URI.
    pub uri: String,
    /// Its display name.
    pub display: Option<String>,
    /// How much it is preferred, in thousandths (`q`): 1000 is most.
    pub preference: u16,
}

/// What a callee offers in place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternatives {
    /// 300 Multiple Choices, 302 Moved Temporarily, 380 Alternative Service, 485 Ambiguous, …
    pub status: u16,
    /// Where to call, best first. Of a 485: whom the address may mean.
    pub targets: Vec<Alternative>,
    /// Content type and bytes of the body: of a 380, it describes the services (3GPP TS 24.229 §7.6
    /// does so for emergency calls).
    pub content: Option<(String, Vec<u8>)>,
}

/// Contacts that are read of one response.
const MOST: usize = 32;

impl Alternatives {
    /// Reads them from a response; `None` of one that offers nothing.
    pub fn of(response: &SipMessage) -> Option<Self> {
        let status = response.status().map(|s| s.code()).filter(|s| matches!(s, 300..400 | 485))?;
        let mut targets: Vec<Alternative> = response
            .contacts()
            .flatten()
            .take(MOST)
            .filter(|c| matches!(c.uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel))
            .map(|contact| {
                let q = contact.params.get("q").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
                let display = contact.display_name().into_owned();
                Alternative {
                    uri: contact.uri.without_headers().to_owned(),
                    display: Some(display).filter(|name| !name.is_empty()),
                    preference: (q.clamp(0.0, 1.0) * 1000.0) as u16,
                }
            })
            .collect();
        targets.sort_by_key(|target| std::cmp::Reverse(target.preference));
        let kind = response.header(tiny_sip::HeaderName::ContentType);
        let body = Some(response.body()).filter(|body| !body.is_empty());
        let content = body.map(|body| (kind.unwrap_or_default().to_owned(), body.to_vec()));
        Some(Self { status, targets, content })
    }
}

/// The Warnings of a response, those that can be read.
pub(crate) fn warnings(response: &SipMessage) -> Vec<Warning> {
    let read = response.warnings().flatten().take(MOST);
    read.map(|warning| Warning {
        code: warning.code,
        agent: warning.agent.to_owned(),
        text: tiny_sip::header::unquote(warning.text).into_owned(),
    })
    .collect()
}

impl CallEnd {
    /// Why the peer refused, as far as it says.
    pub fn warnings(&self) -> Vec<Warning> {
        self.message.as_ref().map(warnings).unwrap_or_default()
    }

    /// Where else the callee might be reached, if the refusal names something: a 3xx that was not
    /// followed, a 380, a 485.
    pub fn alternatives(&self) -> Option<Alternatives> {
        Alternatives::of(self.message.as_ref()?)
    }

    /// The refusal as an error.
    pub(crate) fn refusal(&self, status: u16) -> Error {
        let response = self.message.clone().map(Box::new);
        Error::Peer { status, reason: self.reason.clone(), response }
    }
}

impl Error {
    /// Why the peer refused, as far as its response says.
    pub fn warnings(&self) -> Vec<Warning> {
        match self {
            Self::Peer { response: Some(response), .. } => warnings(response),
            _ => Vec::new(),
        }
    }
}
