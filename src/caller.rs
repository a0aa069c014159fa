//! Who calls and what is told of it, in the words an application has for it: identities and privacy
//! (RFC 3323, RFC 3325), diversions and history (RFC 5806, RFC 7044), User-to-User (RFC 7433),
//! caller preferences (RFC 3841). What a peer claims is handed out as a claim.

use crate::command::Headers;
use crate::{AccountBuilder, CallBuilder, HeaderName, IncomingCall};
use tiny_sip::NameAddr;
use tiny_sip::header::{
    AnswerMode, Privacy, Reason, RequestDisposition, SessionId, UserToUser, quote,
};

/// More entries of one header field than this are not looked at.
const MOST: usize = 32;

/// What an account says of itself in each call and request.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerSpec {
    privacy: Option<Privacy>,
    preferred: Option<String>,
}

impl CallerSpec {
    /// Adds what the call or request does not say by itself.
    pub(crate) fn add_to(&self, headers: &mut Headers) {
        let has = |headers: &Headers, name| headers.iter().any(|(its, _)| is(its, name));
        if let Some(privacy) = self.privacy
            && !has(headers, HeaderName::Privacy)
        {
            headers.push(privacy_line(privacy));
        }
        if let Some(uri) = &self.preferred
            && !has(headers, HeaderName::PPreferredIdentity)
        {
            headers.push(line(HeaderName::PPreferredIdentity, format!("<{uri}>")));
        }
        // A privacy that asks for nothing says nothing.
        headers.retain(|(name, value)| !value.is_empty() || !is(name, HeaderName::Privacy));
    }
}

/// Whether these header fields ask for the caller not to be told: such a call is not signed with
/// the caller's number.
pub(crate) fn is_withheld(headers: &Headers) -> bool {
    let mut privacy = headers.iter().filter(|(name, _)| is(name, HeaderName::Privacy));
    privacy.any(|(_, value)| Privacy::parse(value).is_ok_and(|p| p.hides_caller()))
}

fn is(name: &str, header: HeaderName) -> bool {
    HeaderName::parse(name) == header
}

fn line(name: HeaderName, value: String) -> (String, String) {
    (name.as_str().to_owned(), value)
}

fn privacy_line(privacy: Privacy) -> (String, String) {
    line(HeaderName::Privacy, privacy.to_string())
}

impl AccountBuilder {
    /// Which of our identities the network is to assert (P-Preferred-Identity, RFC 3325 §9.2), a
    /// URI: of calls and requests, not of registrations.
    pub fn preferred_identity(mut self, uri: impl Into<String>) -> Self {
        self.spec.caller.preferred = Some(uri.into());
        self
    }

    /// What to hide in each call and request. With [`Privacy::ANONYMOUS`] they go out as
    /// `"Anonymous" <sip:anonymous@anonymous.invalid>` with a Contact that does not name us
    /// (RFC 3323 §4.1); the network asserts who we are to those it trusts only.
    pub fn privacy(mut self, privacy: Privacy) -> Self {
        self.spec.caller.privacy = Some(privacy);
        self
    }
}

impl CallBuilder {
    /// What to hide in this call, in place of what the account says: [`Privacy::NONE`] shows the
    /// caller to everybody. See [`AccountBuilder::privacy`].
    pub fn privacy(mut self, privacy: Privacy) -> Self {
        self.headers.retain(|(name, _)| !is(name, HeaderName::Privacy));
        self.headers.push(privacy_line(privacy));
        self
    }

    /// Withholds name and number: [`Privacy::ANONYMOUS`].
    pub fn anonymous(self) -> Self {
        self.privacy(Privacy::ANONYMOUS)
    }

    /// Which of our identities the network is to assert for this call, a URI.
    pub fn preferred_identity(mut self, uri: impl Into<String>) -> Self {
        self.headers.retain(|(name, _)| !is(name, HeaderName::PPreferredIdentity));
        self.headers.push(line(HeaderName::PPreferredIdentity, format!("<{}>", uri.into())));
        self
    }

    /// Octets for the application at the other end (RFC 7433), for instance with the purpose
    /// `isdn-uui`; an empty purpose is left out.
    pub fn user_to_user(mut self, octets: &[u8], purpose: &str) -> Self {
        self.headers.push(line(HeaderName::UserToUser, UserToUser::of_octets(octets, purpose)));
        self
    }

    /// Says that the call was diverted by `uri` (RFC 5806), for instance for `user-busy`. To be
    /// called for the last diversion first.
    pub fn diverted_by(mut self, uri: &str, reason: &str) -> Self {
        let reason = match reason {
            "" => String::new(),
            word if word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                format!(";reason={word}")
            }
            text => format!(";reason={}", quote(text)),
        };
        self.headers.push(line(HeaderName::Diversion, format!("<{uri}>{reason}")));
        self
    }

    /// The way the call has taken (RFC 7044), oldest first: `1`, `1.1`, `1.1.1` …
    pub fn history<'a>(mut self, uris: impl IntoIterator<Item = &'a str>) -> Self {
        let mut index = String::new();
        let mut value = String::new();
        for uri in uris {
            index.push_str(if index.is_empty() { "1" } else { ".1" });
            let comma = if value.is_empty() { "" } else { ", " };
            value.push_str(&format!("{comma}<{uri}>;index={index}"));
        }
        if !value.is_empty() {
            self.headers.push(line(HeaderName::HistoryInfo, value));
        }
        self
    }

    /// Features that a device must or should have to get the call (RFC 3841), without the leading
    /// `*;`: `"audio;require"`.
    pub fn accept_contact(mut self, features: &str) -> Self {
        self.headers.push(line(HeaderName::AcceptContact, format!("*;{features}")));
        self
    }

    /// Features that a device must not have to get the call (RFC 3841): `"automata"`.
    pub fn reject_contact(mut self, features: &str) -> Self {
        self.headers.push(line(HeaderName::RejectContact, format!("*;{features}")));
        self
    }

    /// How proxies are to handle the call (RFC 3841 §9.1).
    pub fn disposition(mut self, disposition: RequestDisposition) -> Self {
        let value = disposition.to_string();
        if !value.is_empty() {
            self.headers.push(line(HeaderName::RequestDisposition, value));
        }
        self
    }

    /// How the callee's telephone is to answer (RFC 5373); it does as its owner allows.
    pub fn answer_mode(mut self, mode: AnswerMode) -> Self {
        self.headers.push(line(HeaderName::AnswerMode, mode.to_string()));
        self
    }

    /// Where the caller is, by reference (RFC 6442): a URI.
    pub fn geolocation(mut self, uri: &str) -> Self {
        self.headers.push(line(HeaderName::Geolocation, format!("<{uri}>")));
        self
    }
}

/// Somebody a peer has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The URI.
    pub uri: String,
    /// The display name, `""` when there is none.
    pub display_name: String,
}

impl Named {
    fn of(address: &NameAddr<'_>) -> Self {
        Self {
            uri: address.uri.as_str().to_owned(),
            display_name: address.display_name().into_owned(),
        }
    }
}

/// Who has sent a call on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverted {
    /// Who was called before.
    pub by: Named,
    /// `user-busy`, `no-answer`, `unconditional`, … of Diversion; of History-Info the Reason as it
    /// came: `SIP;cause=486`.
    pub reason: Option<String>,
}

impl IncomingCall {
    /// Who calls as the network asserts it (P-Asserted-Identity, RFC 3325). Any peer can send that
    /// header field: believe it only of a proxy that you trust to remove forged ones.
    pub fn asserted_identity(&self) -> Option<Named> {
        self.asserted_identities().into_iter().next()
    }

    /// All asserted identities: at most a SIP URI and a telephone number are allowed.
    pub fn asserted_identities(&self) -> Vec<Named> {
        let all = self.request.asserted_identities().flatten().take(MOST);
        all.map(|address| Named::of(&address)).collect()
    }

    /// What the caller asks to be hidden. Whoever shows the caller's name obeys it.
    pub fn privacy(&self) -> Privacy {
        self.request.privacy().and_then(Result::ok).unwrap_or_default()
    }

    /// Whether the caller withholds name and number.
    pub fn is_anonymous(&self) -> bool {
        let from = self.request.from();
        self.privacy().hides_caller()
            || from.is_ok_and(|a| a.uri.host().eq_ignore_ascii_case("anonymous.invalid"))
    }

    /// Who has sent the call on, the last one first: by Diversion (RFC 5806) or, without one, by
    /// History-Info (RFC 7044), where a change of user tells of a diversion.
    pub fn diverted_by(&self) -> Vec<Diverted> {
        let diversions = self.request.diversions().flatten().take(MOST);
        let list: Vec<_> = diversions
            .map(|diversion| Diverted {
                by: Named::of(&diversion.address),
                reason: diversion.reason().map(str::to_owned),
            })
            .collect();
        if !list.is_empty() {
            return list;
        }
        let history: Vec<_> = self.request.history().flatten().take(MOST).collect();
        let before = |index: &str| history.iter().find(|entry| entry.index == index);
        let moves = history.iter().rev().filter(|entry| entry.is_other_user());
        let from = moves.filter_map(|entry| before(entry.previous()?));
        from.map(|entry| Diverted {
            by: Named {
                uri: entry.address.uri.without_headers().to_owned(),
                ..Named::of(&entry.address)
            },
            reason: entry.reason(),
        })
        .collect()
    }

    /// The way the call has taken, oldest first (RFC 7044): index and URI without header fields.
    pub fn history(&self) -> Vec<(String, String)> {
        let entries = self.request.history().flatten().take(MOST);
        let text = |uri: &tiny_sip::Uri<'_>| uri.without_headers().to_owned();
        entries.map(|entry| (entry.index.to_owned(), text(&entry.address.uri))).collect()
    }

    /// What the caller's application sends (RFC 7433): the octets and their purpose.
    pub fn user_to_user(&self) -> Vec<(Vec<u8>, Option<String>)> {
        let all = self.request.user_to_user().flatten().take(MOST);
        all.filter_map(|uui| Some((uui.octets()?, uui.purpose().map(str::to_owned)))).collect()
    }

    /// The number that was dialled, as the network tells it (P-Called-Party-ID, RFC 7315).
    pub fn called_party(&self) -> Option<Named> {
        self.request.called_party_id()?.ok().map(|address| Named::of(&address))
    }

    /// The session's name across servers in between (RFC 7989), as the caller sees it.
    pub fn session_id(&self) -> Option<SessionId> {
        self.request.session_id()?.ok()
    }

    /// Why the call comes, if the INVITE says so (RFC 3326).
    pub fn reasons(&self) -> impl Iterator<Item = Reason<'_>> {
        self.request.reasons().flatten().take(MOST)
    }
}
