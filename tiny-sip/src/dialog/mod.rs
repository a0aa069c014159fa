//! Dialogs (RFC 3261 §12): identity, route set, remote target and sequence numbers.
//!
//! All strings of a dialog live in one block, because an endpoint may hold tens of thousands of
//! them. A dialog sends nothing itself: it says how a request inside it must look.

use crate::endpoint::{CallKey, Fingerprint, SubscriptionKey, Target, WatcherKey};
use crate::header::NameAddr;
use crate::message::Message;
use crate::uri::Uri;
use std::sync::Arc;

#[cfg(test)]
mod tests;

slotmap::new_key_type! {
    /// Names a dialog.
    pub(crate) struct DialogKey;
}

/// One dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// Where the endpoint finds it: Call-ID, local tag, remote tag.
    pub(crate) print: Fingerprint,
    /// What it is for.
    pub(crate) usage: Usage,
    /// Number of our latest request.
    pub(crate) local_cseq: u32,
    /// Number of the peer's latest request; `None` before the first.
    pub(crate) remote_cseq: Option<u32>,
    /// Where the latest request of ours went, as long as route set and target stay.
    pub(crate) hop: Option<Target>,
    /// The domain that it was set up with, under TLS or over WebSocket.
    pub(crate) name: Option<Arc<str>>,
    /// Our requests go over the connection that it came by.
    pub(crate) back: bool,
    /// Set up over secure WebSocket.
    pub(crate) wss: bool,
    /// The peer's half of Session-ID (RFC 7989).
    pub(crate) peer_session: crate::usage::session_id::Uuid,
    text: Box<str>,
    ends: [u32; 4],
}

/// What a dialog is for (RFC 5057): whoever gets the requests that come inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Nothing any more: it lives as long as a BYE or ACK of it may have to be repeated.
    None,
    /// A call.
    Call(CallKey),
    /// A subscription of ours.
    Subscription(SubscriptionKey),
    /// A peer's subscription to our state.
    Watcher(WatcherKey),
}

impl Usage {
    /// The call, where it is one.
    pub(crate) fn call(self) -> Option<CallKey> {
        match self {
            Self::Call(call) => Some(call),
            Self::None | Self::Subscription(_) | Self::Watcher(_) => None,
        }
    }
}

/// The strings that make a dialog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) call_id: &'a str,
    /// The value of From in our requests, tag included.
    pub(crate) local: &'a str,
    /// The value of To in our requests, tag included.
    pub(crate) remote: &'a str,
    /// The peer's Contact URI.
    pub(crate) target: &'a str,
    /// The route set as a Route header field's value.
    pub(crate) routes: &'a str,
}

/// Where a request inside the dialog goes (§12.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// The Request-URI.
    pub(crate) uri: Box<str>,
    /// The value of Route; empty for none.
    pub(crate) routes: Box<str>,
}

impl Dialog {
    pub(crate) fn new(print: Fingerprint, usage: Usage, parts: &Parts<'_>) -> Self {
        let (text, ends) = Self::block(parts);
        Self {
            print,
            usage,
            local_cseq: 0,
            remote_cseq: None,
            hop: None,
            name: None,
            back: false,
            wss: false,
            peer_session: [0; 16],
            text,
            ends,
        }
    }

    fn block(p: &Parts<'_>) -> (Box<str>, [u32; 4]) {
        let all = [p.call_id, p.local, p.remote, p.target, p.routes];
        let mut text = String::with_capacity(all.iter().map(|part| part.len()).sum());
        let mut ends = [0; 4];
        for (i, part) in all.iter().enumerate() {
            text.push_str(part);
            if let Some(end) = ends.get_mut(i) {
                *end = text.len() as u32;
            }
        }
        (text.into_boxed_str(), ends)
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        let [a, b, c, d] = self.ends.map(|end| end as usize);
        let slice = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        Parts {
            call_id: slice(0, a),
            local: slice(a, b),
            remote: slice(b, c),
            target: slice(c, d),
            routes: slice(d, self.text.len()),
        }
    }

    /// Target refresh (§12.2.1.2, §12.2.2): only the remote target changes, never the route set.
    pub(crate) fn refresh(&mut self, message: &Message) {
        let Some(Ok(contact)) = message.contacts().next() else { return };
        let parts = self.parts();
        let target = contact.uri.as_str();
        if target == parts.target {
            return;
        }
        if parts.routes.is_empty() {
            self.hop = None;
            self.back = false;
        }
        let (text, ends) = Self::block(&Parts { target, ..self.parts() });
        (self.text, self.ends) = (text, ends);
    }

    /// The number of the next request.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.local_cseq
    }

    pub(crate) fn path(&self) -> Path {
        let parts = self.parts();
        path(parts.target, parts.routes)
    }
}

/// Loose and strict routing (§12.2.1.1).
pub(crate) fn path(target: &str, routes: &str) -> Path {
    let (uri, routes) = match first_route(routes) {
        None => (target.into(), "".into()),
        Some(first) if first.uri.is_loose_router() => (target.into(), routes.into()),
        Some(first) => {
            // "the UAC MUST place the first URI from the route set into the Request-URI,
            // stripping any parameters that are not allowed in a Request-URI … MUST then place
            // the remote target URI into the Route header field as the last value."
            let rest = routes.get(first.as_str().len()..).unwrap_or_default();
            let rest = rest.trim_start_matches([' ', '\t', ',']);
            let comma = if rest.is_empty() { "" } else { ", " };
            (first.uri.without_headers().into(), format!("{rest}{comma}<{target}>").into())
        }
    };
    Path { uri, routes }
}

/// The first element of a Route header field's value.
pub(crate) fn first_route(routes: &str) -> Option<NameAddr<'_>> {
    if routes.is_empty() {
        return None;
    }
    let first = crate::header::split_commas(routes).next()?;
    NameAddr::parse(first).ok()
}

/// The URI that decides where a request is sent (§8.1.2).
pub(crate) fn next_hop<'a>(uri: &'a str, routes: &'a str) -> &'a str {
    match first_route(routes) {
        Some(first) if first.uri.is_loose_router() => first.uri.as_str(),
        // After strict-router handling the Request-URI is the router's.
        _ => uri,
    }
}

/// The route set of a callee: Record-Route as it stands (§12.1.1).
pub(crate) fn routes_of_request(request: &Message) -> String {
    let mut routes = String::new();
    for route in request.record_routes().flatten() {
        push_route(&mut routes, &route);
    }
    routes
}

/// The route set of a caller: Record-Route backwards (§12.1.2).
pub(crate) fn routes_of_response(response: &Message) -> String {
    let mut all: smallvec::SmallVec<[NameAddr<'_>; 4]> =
        response.record_routes().flatten().collect();
    all.reverse();
    let mut routes = String::new();
    for route in &all {
        push_route(&mut routes, route);
    }
    routes
}

pub(crate) fn push_route(routes: &mut String, route: &NameAddr<'_>) {
    if !routes.is_empty() {
        routes.push_str(", ");
    }
    let text = route.as_str();
    // A bare URI's parameters would become the header field's: enclose it.
    if text.contains('<') {
        routes.push_str(text);
    } else {
        routes.push('<');
        routes.push_str(route.uri.as_str());
        routes.push('>');
        routes.push_str(route.params.as_str());
    }
}

/// The peer's Contact URI; where it is missing, what comes closest: the fallback.
pub(crate) fn target_of<'a>(message: &'a Message, fallback: &'a str) -> &'a str {
    match message.contacts().next() {
        Some(Ok(contact)) if contact.uri.is_sip() => contact.uri.as_str(),
        _ => fallback,
    }
}

/// Whether a request may be sent to a URI at all: SIP or SIPS.
pub(crate) fn is_routable(uri: &str) -> bool {
    Uri::parse(uri).is_ok_and(|uri| uri.is_sip() && !uri.host().is_empty())
}

/// The tags of a message: From's and To's; empty where there is none (RFC 2543 peers, §12.1.1).
pub(crate) fn tags(message: &Message) -> (&str, &str) {
    let from = message.from().ok().and_then(|from| from.tag()).unwrap_or_default();
    let to = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
    (from, to)
}
