//! Requests of ours on their way out: next hop (RFC 3261 §8.1.2), the choice between UDP and TCP
//! (§18.1.1), composition, fail-over to the next target. Nothing here knows what a response means.

use super::clients::{ClientKey, Owner};
use super::secagree::SecurityMechanism;
use super::{AccountKey, Body, Cause, Endpoint, Error, Event, Headers, Target, Transmit};
use crate::dialog::{self, DialogKey};
use crate::header::{HeaderName, Privacy, SessionId};
use crate::method::Method;
use crate::uri::Uri;
use crate::writer::{WriteError, Writer};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Instant;
use tiny_sak::id::{self, Token};
use tiny_sak::{Flow, Transport};

/// A request and all that is needed to send it again: to another target, or with credentials.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) owner: Owner,
    pub(crate) account: Option<AccountKey>,
    pub(crate) dialog: Option<DialogKey>,
    pub(crate) method: Method,
    pub(crate) uri: Box<str>,
    /// Value of Route; empty for none.
    pub(crate) routes: Box<str>,
    /// Value of From, tag included.
    pub(crate) from: Box<str>,
    /// Value of To.
    pub(crate) to: Box<str>,
    pub(crate) call_id: Box<str>,
    pub(crate) cseq: u32,
    pub(crate) contact: Contact,
    pub(crate) headers: Headers,
    /// What header rules add.
    pub(crate) ruled: Headers,
    /// Session-ID.
    pub(crate) session: Option<SessionId>,
    pub(crate) body: Option<Body>,
    /// Branch of the latest attempt; a CANCEL has its INVITE's (§9.1).
    pub(crate) branch: Option<Token>,
    /// Where it can go, and which of these comes next.
    pub(crate) targets: SmallVec<[Target; 1]>,
    pub(crate) next: usize,
    /// The datagram target behind an attempt over TCP (§18.1.1).
    pub(crate) fallback: Option<Target>,
    pub(crate) no_switch: bool,
    /// Credentials as sent with the latest attempt.
    pub(crate) auth: Vec<(HeaderName, String)>,
    /// Realms that challenged this request.
    pub(crate) challenged: Vec<(HeaderName, String)>,
    pub(crate) auth_attempts: u8,
    /// A 3xx is for the owner to decide on.
    pub(crate) redirects: bool,
    /// What its owner was asked for (`Event::CredentialsWanted`).
    pub(crate) waiting: Option<Box<super::auth::Waiting>>,
    /// Why the latest target could not be reached.
    pub(crate) trouble: Option<Box<str>>,
    /// It goes to the Contact of a 3xx.
    pub(crate) retargeted: bool,
    /// The same of what is no INVITE.
    pub(crate) elsewhere: Option<Box<super::elsewhere::Elsewhere>>,
}

/// What Contact a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contact {
    None,
    /// Where we can be reached (§8.1.1.8).
    Ours,
    /// The same with this lifetime (REGISTER), over which of the account's flows.
    Binding {
        expires: u32,
        flow: u8,
    },
}

/// Who sends a request with privacy (RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// Nowhere: it failed at once.
    None,
    /// Waiting for a resolution.
    Pending(super::QueryKey),
    /// Sent.
    Sent(ClientKey),
}

/// What a resolution needs to know.
struct Hop<'a> {
    host: &'a str,
    ip: Option<std::net::IpAddr>,
    port: Option<u16>,
    transport: Option<Transport>,
    secure: bool,
}

impl Endpoint {
    /// Sends a request, or asks where to.
    pub(crate) fn start(&mut self, now: Instant, mut request: Box<Request>) -> Leg {
        self.withhold(&mut request);
        self.rule_request(&mut request);
        self.name_session(&mut request);
        if let Some(target) = request.dialog.and_then(|key| self.dialogs.get(key)?.hop) {
            request.targets.push(target);
            return self.attempt(now, request);
        }
        if !request.targets.is_empty() {
            return self.attempt(now, request);
        }
        let account = request.account.and_then(|key| self.accounts.get(key));
        let preferred = account.and_then(|account| account.account.transport);
        let uri = dialog::next_hop(&request.uri, &request.routes);
        // RFC 3329 §2.4: once TLS is agreed on, every URI is as if it were a sips: one.
        let agreed = account.and_then(|account| account.agreement.as_ref());
        let over_tls = agreed.is_some_and(|a| a.mechanism == SecurityMechanism::Tls);
        let found = hop(uri, preferred).map(|hop| match over_tls {
            true => Hop { secure: true, transport: Some(Transport::Tls), ..hop },
            false => hop,
        });
        let Some(mut hop) = found else {
            let reason = "the next hop is no SIP URI";
            self.request_failed(now, request, Cause::Network, reason);
            return Leg::None;
        };
        // RFC 7118 §5.2 has one name for both kinds of WebSocket.
        let dialog = request.dialog.and_then(|key| self.dialogs.get(key));
        let wss = preferred == Some(Transport::Wss) || dialog.is_some_and(|dialog| dialog.wss);
        if wss && hop.transport == Some(Transport::Ws) {
            hop.transport = Some(Transport::Wss);
        }
        if let Some(target) = self.literal_target(&hop) {
            request.targets.push(target);
            if let Err(reason) = self.order_targets(now, &mut request) {
                self.request_failed(now, request, Cause::Network, &reason);
                return Leg::None;
            }
            return self.attempt(now, request);
        }
        if self.pending.len() >= self.config.max_pending {
            self.request_failed(now, request, Cause::Network, "too many pending resolutions");
            return Leg::None;
        }
        let host = hop.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (port, transport, secure) = (hop.port, hop.transport, hop.secure);
        let owner = request.owner;
        // Datagrams to a known port have no use for it.
        let name = match transport {
            Some(Transport::Udp | Transport::Tcp) => None,
            _ => self.server_name(&request),
        };
        let query = self.pending.insert(request);
        self.event(Event::Resolve { query, host, port, transport, secure, name });
        self.set_leg(owner, Leg::Pending(query));
        Leg::Pending(query)
    }

    /// A request with `Privacy: user` goes out under nobody's name (RFC 3323 §4.1.1.3). Registrations
    /// and publications are about somebody and keep theirs.
    fn withhold(&self, request: &mut Request) {
        let about = [Method::Register, Method::Publish, Method::Ack, Method::Cancel];
        if request.dialog.is_some() || about.contains(&request.method) {
            return;
        }
        let account = request.account.and_then(|key| self.accounts.get(key));
        let common = account.map_or(&[][..], |account| &account.account.headers);
        let asked = common.iter().chain(&request.headers).any(|(name, value)| {
            HeaderName::parse(name) == HeaderName::Privacy
                && Privacy::parse(value).is_ok_and(|privacy| privacy.user && !privacy.none)
        });
        if asked && let Some((_, tag)) = request.from.rsplit_once(";tag=") {
            request.from = format!("{ANONYMOUS};tag={tag}").into();
        }
    }

    /// An answer to `Event::Resolve`.
    pub(crate) fn resolved(&mut self, now: Instant, query: super::QueryKey, targets: Vec<Target>) {
        // A question for credentials is not answered by addresses.
        if self.pending.get(query).is_some_and(|request| request.waiting.is_some()) {
            return;
        }
        let Some(mut request) = self.pending.remove(query) else { return };
        if targets.is_empty() {
            let uri = dialog::next_hop(&request.uri, &request.routes);
            let reason = match hop(uri, None) {
                Some(Hop { host, ip: None, .. }) => format!("no address is known for host {host}"),
                Some(Hop { host, .. }) => format!("no address of ours reaches {host}"),
                None => "the next hop is no SIP URI".to_owned(),
            };
            return self.request_failed(now, request, Cause::Network, &reason);
        }
        // "bounded": nobody has more addresses than this.
        request.targets = targets.into_iter().take(16).collect();
        if let Err(reason) = self.order_targets(now, &mut request) {
            return self.request_failed(now, request, Cause::Network, &reason);
        }
        self.attempt(now, request);
    }

    pub(crate) fn unresolved(&mut self, now: Instant, query: super::QueryKey, reason: &str) {
        if let Some(request) = self.pending.remove(query) {
            self.request_failed(now, request, Cause::Network, reason);
        }
    }

    /// No question needs to be asked for an IP literal of a family we are bound to (RFC 3263 §4.1).
    fn literal_target(&self, hop: &Hop<'_>) -> Option<Target> {
        let ip = hop.ip?;
        let default = if hop.secure { Transport::Tls } else { Transport::Udp };
        let transport = hop.transport.unwrap_or(default);
        let (_, local) = self.bound.iter().find(|(t, local)| {
            *t == transport && !local.ip().is_unspecified() && local.is_ipv4() == ip.is_ipv4()
        })?;
        let addr = (ip, hop.port.unwrap_or(transport.default_port())).into();
        Some(Target { transport, addr, local: *local })
    }

    /// Sends a request to its next target.
    pub(crate) fn attempt(&mut self, now: Instant, mut request: Box<Request>) -> Leg {
        let Some(mut target) = request.targets.get(request.next).copied() else {
            self.request_failed(now, request, Cause::Network, "no target is left");
            return Leg::None;
        };
        let cancel = request.method == Method::Cancel;
        let branch = match request.branch {
            Some(branch) if cancel => branch,
            _ => id::branch(&mut self.rng),
        };
        request.branch = Some(branch);
        request.fallback = None;
        self.authorize(&mut request, &target);
        let mut bytes = self.compose(&request, &target, &target, &branch);
        // §18.1.1: large requests need congestion control. A CANCEL follows its INVITE.
        if let Ok(large) = &bytes
            && large.len() > self.config.max_datagram_request()
            && target.transport == Transport::Udp
            && !request.no_switch
            && !cancel
            && let Some(stream) = self.stream_twin(&target)
        {
            request.fallback = Some(target);
            bytes = self.compose(&request, &stream, &target, &branch);
            target = stream;
        }
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                let reason = error.to_string();
                self.request_failed(now, request, Cause::Network, &reason);
                return Leg::None;
            }
        };
        if let Some(dialog) = request.dialog.and_then(|key| self.dialogs.get_mut(key)) {
            // The switch to TCP is this request's alone.
            dialog.hop = Some(request.fallback.unwrap_or(target));
        }
        let flow = Flow { transport: target.transport, local: target.local, remote: target.addr };
        if request.method == Method::Ack {
            let name = self.name_for(&request, flow.transport);
            self.send_ack(request, flow, name, bytes);
            return Leg::None;
        }
        let owner = request.owner;
        let key = self.new_client(now, request, flow, bytes, &branch);
        self.set_leg(owner, Leg::Sent(key));
        Leg::Sent(key)
    }

    /// The TCP way to a datagram target, if a TCP address of its family is bound.
    fn stream_twin(&self, target: &Target) -> Option<Target> {
        if !self.config.switch_to_tcp {
            return None;
        }
        let (_, bound) = self.bound.iter().find(|(transport, local)| {
            *transport == Transport::Tcp && local.is_ipv4() == target.addr.is_ipv4()
        })?;
        let local = (target.local.ip(), bound.port()).into();
        Some(Target { transport: Transport::Tcp, local, ..*target })
    }

    /// The ACK of a 2xx: it belongs to no transaction, but is kept with the INVITE's so that it can
    /// be repeated (§13.2.2.4).
    fn send_ack(
        &mut self,
        request: Box<Request>,
        flow: Flow,
        name: Option<Arc<str>>,
        bytes: Bytes,
    ) {
        if let Owner::Ack(invite, stray) = request.owner
            && let Some(client) = self.clients.get_mut(invite)
        {
            let kept = Bytes::copy_from_slice(&bytes);
            match stray {
                None => {
                    client.bytes = kept;
                    client.acked = true;
                    let same = client.flow == flow && client.name == name;
                    client.ack_flow = (!same).then(|| Box::new((flow, name.clone())));
                }
                Some(stray) => {
                    if let Some(stray) = client.strays.get_mut(stray as usize) {
                        (stray.1, stray.2) = (kept, flow);
                    }
                }
            }
        }
        self.transmit_to(flow, name, bytes);
    }

    /// Tries the next way of sending; gives the request back when there is none.
    pub(crate) fn fail_over(
        &mut self,
        now: Instant,
        mut request: Box<Request>,
    ) -> Result<(), Box<Request>> {
        if request.method == Method::Cancel || matches!(request.owner, Owner::Stale(_)) {
            return Err(request);
        }
        if let Some(target) = request.fallback.take() {
            // "if the TCP connection is refused … the element SHOULD retry the request, using UDP"
            request.no_switch = true;
            if let Some(dialog) = request.dialog.and_then(|key| self.dialogs.get_mut(key)) {
                dialog.hop = Some(target);
            }
        } else {
            if let Some(dialog) = request.dialog.and_then(|key| self.dialogs.get_mut(key)) {
                dialog.hop = None;
            }
            request.next += 1;
            request.no_switch = false;
            if request.next >= request.targets.len() && !self.next_flow(&mut request) {
                return Err(request);
            }
        }
        self.attempt(now, request);
        Ok(())
    }

    pub(crate) fn compose(
        &self,
        request: &Request,
        target: &Target,
        reachable: &Target,
        branch: &str,
    ) -> Result<Bytes, WriteError> {
        let mut w = Writer::request(&request.method, &request.uri)
            .via(target.transport, self.via_host(target.transport, target.local), branch)
            .header(HeaderName::MaxForwards, 70u8);
        if !request.routes.is_empty() {
            w = w.header(HeaderName::Route, &*request.routes);
        }
        w = w
            .header(HeaderName::From, &*request.from)
            .header(HeaderName::To, &*request.to)
            .header(HeaderName::CallId, &*request.call_id)
            .cseq(request.cseq, &request.method);
        let account = request.account.and_then(|key| self.accounts.get(key));
        let outside = request.dialog.is_none() && request.method != Method::Cancel;
        let common = account.filter(|_| outside).map_or(&[][..], |a| &a.account.headers);
        // There is one of each of these: the owner's goes in place of ours.
        let owners = |name: HeaderName| {
            let given = common.iter().chain(&request.headers).chain(&request.ruled);
            given.into_iter().any(|(given, _)| HeaderName::parse(given) == name)
        };
        if request.contact != Contact::None && !owners(HeaderName::Contact) {
            let params = account.map_or("", |account| account.contact_params.as_str());
            w = match (request.contact, account) {
                (Contact::Binding { expires, flow }, Some(account)) => {
                    let contact = self.binding_contact(account, flow, expires, reachable.flow());
                    w.header(HeaderName::Contact, contact)
                }
                _ => {
                    let mut uri = self.contact_uri(account, None, reachable.flow());
                    let mut params = params;
                    let focus = self.focus_of_owner(request.owner);
                    uri = uri.of_focus(focus);
                    if request.from.starts_with(ANONYMOUS) {
                        (uri, params) = (uri.withheld(), "");
                    }
                    let focus = if focus.is_some() { ";isfocus" } else { "" };
                    w.header(HeaderName::Contact, uri.then([focus, params]))
                }
            };
        }
        for (name, value) in &request.auth {
            w = w.header(*name, value);
        }
        if matches!(
            request.method,
            Method::Invite | Method::Register | Method::Options | Method::Update
        ) {
            w = w.header(HeaderName::Allow, self.allow.as_str());
            let tags = account.map_or("", |account| account.option_tags(&request.method));
            let comma = if tags.is_empty() || self.supported.is_empty() { "" } else { ", " };
            if !(self.supported.is_empty() && tags.is_empty()) {
                w = w.header(HeaderName::Supported, [&self.supported, comma, tags]);
            }
        }
        // RFC 6665 §4.4.4
        if !self.allow_events.is_empty()
            && matches!(request.method, Method::Invite | Method::Options | Method::Subscribe)
        {
            w = w.header(HeaderName::AllowEvents, self.allow_events.as_str());
        }
        if let Some(agent) = &self.config.user_agent
            && !owners(HeaderName::UserAgent)
        {
            w = w.header(HeaderName::UserAgent, agent);
        }
        if let Some(session) = request.session.filter(|_| !owners(HeaderName::SessionId)) {
            w = w.header(HeaderName::SessionId, session);
        }
        for (name, value) in common.iter().chain(&request.headers).chain(&request.ruled) {
            w = w.header_named(name, value);
        }
        if let Some(body) = &request.body {
            w = w.body(&body.content_type, body.data.clone());
        }
        w.finish()
    }

    /// A request inside a dialog, without owner's extras.
    pub(crate) fn in_dialog(
        &mut self,
        key: DialogKey,
        owner: Owner,
        account: Option<AccountKey>,
        method: Method,
    ) -> Option<Box<Request>> {
        let dialog = self.dialogs.get_mut(key)?;
        let cseq = dialog.next_cseq();
        let path = dialog.path();
        let parts = dialog.parts();
        Some(Box::new(Request {
            owner,
            account,
            dialog: Some(key),
            uri: path.uri,
            routes: path.routes,
            from: parts.local.into(),
            to: parts.remote.into(),
            call_id: parts.call_id.into(),
            cseq,
            contact: match method {
                Method::Invite | Method::Update | Method::Subscribe | Method::Notify => {
                    Contact::Ours
                }
                _ => Contact::None,
            },
            method,
            ..Request::empty(owner)
        }))
    }

    /// A request outside dialogs, without the owner's extras.
    pub(crate) fn out_of_dialog(
        &mut self,
        account: AccountKey,
        owner: Owner,
        method: Method,
        to: &str,
    ) -> Result<Box<Request>, Error> {
        let uri = Uri::parse(to).map_err(|_| bad_uri(to, "it is no URI"))?;
        let Some(state) = self.accounts.get(account) else { return Err(Error::Stale("account")) };
        // Registered: Service-Route (RFC 3608 §6.1) and the flow of RFC 5626 §4.3.
        let way = state.binding.as_deref().filter(|_| method != Method::Register);
        let (routes, target) =
            way.and_then(|binding| binding.way_out()).unwrap_or((&state.routes, None));
        if !uri.is_sip() && routes.is_empty() {
            return Err(bad_uri(to, "without an outbound proxy it must be a sip: or sips: URI"));
        }
        let path = dialog::path(uri.without_headers(), routes);
        let tag = id::tag(&mut self.rng);
        Ok(Box::new(Request {
            account: Some(account),
            uri: path.uri,
            routes: path.routes,
            from: format!("{};tag={tag}", state.from).into(),
            to: format!("<{}>", uri.without_headers()).into(),
            call_id: id::call_id(&mut self.rng).as_str().into(),
            cseq: 1,
            method,
            targets: target.into_iter().collect(),
            ..Request::empty(owner)
        }))
    }

    /// The ACK of a 2xx (§13.2.2.4), through its dialog if that lives, else as the INVITE went.
    pub(crate) fn ack(
        &mut self,
        now: Instant,
        invite: ClientKey,
        stray: Option<u32>,
        dialog: Option<DialogKey>,
        number: u32,
        body: Option<Body>,
    ) {
        let owner = Owner::Ack(invite, stray);
        let Some(client) = self.clients.get(invite) else { return };
        let (account, flow) = (client.account, client.flow);
        let auth = client.request.as_ref().map(|r| r.auth.clone()).unwrap_or_default();
        let Some(dialog) = dialog.and_then(|key| Some((key, self.dialogs.get_mut(key)?))) else {
            return;
        };
        let (key, dialog) = dialog;
        let path = dialog.path();
        let parts = dialog.parts();
        let mut ack = Box::new(Request {
            account,
            dialog: Some(key),
            uri: path.uri,
            routes: path.routes,
            from: parts.local.into(),
            to: parts.remote.into(),
            call_id: parts.call_id.into(),
            // "The sequence number … MUST be the same as the INVITE being acknowledged, but the
            // CSeq method MUST be ACK", with the same credentials.
            cseq: number,
            auth,
            body,
            method: Method::Ack,
            ..Request::empty(owner)
        });
        // The way that the INVITE went serves again when the ACK has the same next hop.
        let same_hop = self.clients.get(invite).and_then(|c| c.hop.as_deref())
            == Some(dialog::next_hop(&ack.uri, &ack.routes));
        if same_hop
            && ack.dialog.is_some_and(|k| self.dialogs.get(k).is_some_and(|d| d.hop.is_none()))
        {
            ack.targets.push(Target {
                transport: flow.transport,
                addr: flow.remote,
                local: flow.local,
            });
        }
        self.start(now, ack);
    }

    /// Sends over the connection that there is, or as a datagram.
    pub(crate) fn transmit(&mut self, flow: Flow, data: Bytes) {
        self.transmit_to(flow, None, data);
    }

    /// The same to a server that must be this one.
    pub(crate) fn transmit_to(&mut self, flow: Flow, name: Option<Arc<str>>, data: Bytes) {
        self.counters.sent += 1;
        self.out.push_back(super::Out::Transmit(Transmit { flow, name, data }));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.push_back(super::Out::Event(event));
    }

    /// Forgets a request that waits for a resolution.
    pub(crate) fn drop_leg(&mut self, leg: Leg) {
        if let Leg::Pending(query) = leg
            && let Some(request) = self.pending.remove(query)
            && let Some(waiting) = request.waiting
        {
            self.timers.cancel(waiting.timer);
        }
    }

    /// Takes back a request that waits for a resolution or for credentials.
    pub(crate) fn take_pending(&mut self, query: super::QueryKey) -> Option<Box<Request>> {
        let mut request = self.pending.remove(query)?;
        if let Some(waiting) = request.waiting.take() {
            self.timers.cancel(waiting.timer);
        }
        Some(request)
    }

    /// Tells the owner where its request stands.
    pub(super) fn set_leg(&mut self, owner: Owner, leg: Leg) {
        match owner {
            Owner::Invite(call) => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.set_leg(leg);
                }
            }
            Owner::Reinvite(call) | Owner::Update(call) => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.set_reinvite_leg(leg);
                }
            }
            Owner::Register(account, flow) => {
                if let Some(account) = self.accounts.get_mut(account) {
                    account.set_leg(flow, leg);
                }
            }
            Owner::Subscribe(key) => {
                if let Some(subscriber) = self.subscriptions.get_mut(key) {
                    subscriber.leg = leg;
                }
            }
            Owner::Publish(key) => {
                if let Some(publication) = self.publications.get_mut(key) {
                    publication.leg = leg;
                }
            }
            Owner::Notify(key) => {
                if let Some(watcher) = self.watchers.get_mut(key) {
                    watcher.leg = leg;
                }
            }
            Owner::Prack(..)
            | Owner::Plain(_)
            | Owner::Bye(_)
            | Owner::Cancel(_)
            | Owner::Stale(_)
            | Owner::Ack(..)
            | Owner::Refer(_)
            | Owner::ReferNotify(_) => {}
        }
    }
}

impl Request {
    pub(crate) fn empty(owner: Owner) -> Self {
        Self {
            owner,
            account: None,
            dialog: None,
            method: Method::Options,
            uri: "".into(),
            routes: "".into(),
            from: "".into(),
            to: "".into(),
            call_id: "".into(),
            cseq: 1,
            contact: Contact::None,
            headers: Vec::new(),
            ruled: Vec::new(),
            session: None,
            body: None,
            branch: None,
            targets: SmallVec::new(),
            next: 0,
            fallback: None,
            no_switch: false,
            auth: Vec::new(),
            challenged: Vec::new(),
            auth_attempts: 0,
            redirects: false,
            waiting: None,
            trouble: None,
            retargeted: false,
            elsewhere: None,
        }
    }
}

pub(crate) fn bad_uri(uri: &str, why: &'static str) -> Error {
    Error::Uri { uri: uri.to_owned(), why }
}

/// What a URI says about the way to it (RFC 3263 §4).
fn hop(uri: &str, preferred: Option<Transport>) -> Option<Hop<'_>> {
    let uri = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    // "If the URI … contains a maddr parameter" it replaces the host (RFC 3261 §19.1.1).
    let host = uri.maddr().filter(|host| !host.is_empty()).unwrap_or(uri.host());
    let secure = uri.is_sips();
    let transport = uri.transport().or(preferred).map(|transport| match (secure, transport) {
        (true, Transport::Tcp | Transport::Udp) => Transport::Tls,
        (true, Transport::Ws) => Transport::Wss,
        (_, other) => other,
    });
    Some(Hop { host, ip: crate::uri::host_ip(host), port: uri.port(), transport, secure })
}

/// Refuses header fields that could not be written, or that are the endpoint's own.
pub(crate) fn check(headers: &[(String, String)], body: Option<&Body>) -> Result<(), Error> {
    let refuse = |name: &str, why: String| Error::Header { name: name.to_owned(), why };
    for (name, value) in headers {
        Writer::check(name, value).map_err(|error| refuse(name, error.to_string()))?;
        let known = HeaderName::parse(name);
        if OWN.contains(&known) {
            return Err(refuse(name, "it is written by the endpoint".to_owned()));
        }
    }
    if let Some(body) = body {
        let name = HeaderName::ContentType.as_str();
        Writer::check(name, &body.content_type).map_err(|e| refuse(name, e.to_string()))?;
    }
    Ok(())
}

/// What the endpoint writes into every message.
pub(super) const OWN: [HeaderName; 10] = [
    HeaderName::Via,
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::Route,
    HeaderName::RecordRoute,
    HeaderName::ContentType,
    HeaderName::ContentLength,
];
