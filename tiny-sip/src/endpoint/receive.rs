//! What comes in: datagrams, streams, failures; then the user agent server's checks of RFC 3261 §8.2
//! in their order, up to the point where a usage takes over.

use super::fingerprint::Fingerprint;
use super::servers::Purpose;
use super::{Endpoint, Event, ServerKey};
use crate::header::HeaderName as H;
use crate::message::{Message, ParseError};
use crate::method::Method;
use crate::transaction::ServerEvent;
use crate::uri::Uri;
use bytes::Bytes;
use std::time::Instant;
use tiny_sak::{Flow, id};

/// §20.43: miscellaneous, by a pseudonym.
const NO_SDP: &str = "399 tiny-ua \"Accept lists no application/sdp\"";

impl Endpoint {
    pub(crate) fn on_datagram(&mut self, now: Instant, flow: Flow, data: Bytes) {
        if crate::stun::is_stun(&data) {
            return self.on_stun(now, flow, &data);
        }
        // Empty lines before the message (§7.5); nothing else is a keep-alive.
        let blank = data.iter().take_while(|b| matches!(b, b'\r' | b'\n' | 0)).count();
        if blank == data.len() {
            return;
        }
        self.on_message(now, flow, data.slice(blank..));
    }

    /// A stream closed: what went over it fails at once; answers take a new connection.
    pub(crate) fn on_closed(&mut self, now: Instant, flow: Flow, why: Option<&str>) {
        self.forget_stream(flow);
        let same = |other: &Flow| other.transport == flow.transport && other.remote == flow.remote;
        let lost: Vec<_> =
            self.clients.iter().filter(|(_, c)| same(&c.flow)).map(|c| c.0).collect();
        let answers: Vec<_> =
            self.servers.iter().filter(|(_, s)| s.flow == flow).map(|s| s.0).collect();
        for key in answers {
            let Some(server) = self.servers.get(key) else { continue };
            if let Some(request) = server.request.clone() {
                let back = self.way_back_without_connection(&request, flow);
                if let Some(server) = self.servers.get_mut(key) {
                    server.flow = back;
                }
            }
        }
        let why = why.unwrap_or("the connection closed");
        for key in lost {
            self.client_lost(now, key, why);
        }
        self.flow_lost(now, flow);
    }

    /// An ICMP error or a refused connection: like a 503 (§18.4, §8.1.3.1).
    pub(crate) fn on_send_failed(&mut self, now: Instant, flow: Flow, why: Option<&str>) {
        let why = why.unwrap_or("the next hop cannot be reached");
        if flow.transport.is_reliable() {
            self.ways_lost(flow);
            return self.on_closed(now, flow, Some(why));
        }
        let lost: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, c)| c.flow.transport == flow.transport && c.flow.remote == flow.remote)
            .map(|c| c.0)
            .collect();
        for key in lost {
            self.client_lost(now, key, why);
        }
        self.flow_lost(now, flow);
    }

    pub(super) fn on_message(&mut self, now: Instant, flow: Flow, data: Bytes) {
        self.counters.received += 1;
        match Message::parse(data, &self.config.limits) {
            Ok(message) if message.is_request() => self.on_request(now, flow, message),
            Ok(message) => self.on_response(now, message),
            Err(ParseError::Request { partial: Some(request), what }) => {
                self.reject_malformed(flow, &request, what);
            }
            Err(_) => self.counters.dropped_garbage += 1,
        }
    }

    /// "as specific as possible" (§21.4.1); never for an ACK, and only when there is what an answer
    /// needs: a Via to follow and a Call-ID, From, To and CSeq to copy.
    fn reject_malformed(&mut self, flow: Flow, request: &Message, what: crate::message::Defect) {
        // A Via of another version is none to follow: the answer goes back where it came from.
        let other_version = what == crate::message::Defect::Version;
        let answerable = (other_version || request.top_via().is_ok())
            && [H::From, H::To, H::CallId, H::CSeq]
                .iter()
                .all(|name| request.header(*name).is_some());
        if !answerable || request.method() == Some(&Method::Ack) {
            self.counters.dropped_garbage += 1;
            return;
        }
        self.counters.rejected_malformed += 1;
        self.answer_statelessly(flow, request, what.status().code(), &what.reason(), &[]);
    }

    fn on_request(&mut self, now: Instant, flow: Flow, request: Message) {
        let Some(method) = request.method().cloned() else { return };
        let matched = match method {
            Method::Ack => "INVITE",
            _ => method.as_str(),
        };
        let Some(print) = self.server_print(&request, matched) else {
            return match request.validate() {
                Err(what) => self.reject_malformed(flow, &request, what),
                Ok(()) => self.counters.dropped_garbage += 1,
            };
        };
        if let Some(key) = self.server_index.get(&print).copied() {
            let event = match method {
                Method::Ack => ServerEvent::Ack,
                _ => ServerEvent::Request,
            };
            if method == Method::Ack && self.is_refused_invite(key) {
                self.show_request(&request);
            }
            self.server_event(now, key, event);
            // The ACK of a 2xx is the dialog's even where a peer gives it the INVITE's branch.
            if method != Method::Ack || !self.is_accepted_invite(key) {
                return;
            }
        }
        let (from_tag, to_tag) = match request.validated() {
            Ok(tags) => tags,
            Err(what) => return self.reject_malformed(flow, &request, what),
        };
        if let Some(sent_by) = self.offered_alias(&request, flow) {
            self.event(Event::Alias { flow, sent_by });
        }
        self.show_request(&request);
        let call_id = request.call_id().unwrap_or_default();
        if method == Method::Ack {
            let dialog = self.dialog_print(call_id, to_tag, from_tag);
            return self.on_ack(now, dialog, &request);
        }
        let full = self.clients.len() + self.servers.len() >= self.config.max_transactions;
        // Calls beyond the limit are refused without state: a flood of them is to cost nothing.
        let call = method == Method::Invite && to_tag.is_empty();
        if full || call && (self.calls.len() >= self.config.max_calls || self.rings_too_often(flow))
        {
            self.counters.rejected_limit += 1;
            return self.answer_statelessly(flow, &request, 503, "", &[(H::RetryAfter, "10")]);
        }
        if method == Method::Cancel {
            return self.on_cancel(now, flow, print, &request);
        }
        // RFC 3891 §3, RFC 3911 §4: in nothing but an INVITE.
        let about = |name| request.header(name).is_some();
        if method != Method::Invite && (about(H::Replaces) || about(H::Join)) {
            let key = self.new_server(now, print, None, flow, &request, None);
            return self.respond_core(now, key, 400, &[]);
        }
        if !to_tag.is_empty() {
            let dialog = self.dialog_print(call_id, to_tag, from_tag);
            let key = self.new_server(now, print, None, flow, &request, None);
            self.note_dialog(key, self.dialog_index.get(&dialog).copied());
            if self.accept_method(now, key, &method) {
                self.on_dialog_request(now, key, dialog, method, request, flow);
            }
            return;
        }
        // §8.2.2.2: the same request by another way.
        let merged = request.cseq().ok().map(|cseq| {
            let number = cseq.number.to_be_bytes();
            self.prints.of_bytes(&[
                b"m",
                call_id.as_bytes(),
                from_tag.as_bytes(),
                &number,
                cseq.method.as_bytes(),
            ])
        });
        let duplicate = merged.is_some_and(|print| self.merged_index.contains_key(&print));
        let tag = id::tag(&mut self.rng);
        let merged = merged.filter(|_| !duplicate);
        let key = self.new_server(now, print, merged, flow, &request, Some(tag));
        if duplicate {
            self.counters.rejected_merged += 1;
            return self.respond_core(now, key, 482, &[]);
        }
        if !self.accept_method(now, key, &method) {
            return;
        }
        if !Uri::parse(request.request_uri()).is_ok_and(|uri| uri.is_sip() || is_tel(&uri)) {
            return self.respond_core(now, key, 416, &[]);
        }
        if !self.accept_extensions(now, key, &request) || !self.accept_body(now, key, &request) {
            return;
        }
        match method {
            Method::Invite => self.on_invite(now, key, request, flow, &tag),
            Method::Options if self.answers_options() => self.answer_options(now, key),
            Method::Notify if self.config.ask_requests || self.is_unsolicited(&request) => {
                self.plain_request(now, key, None, request, flow);
            }
            // §15.1.2: a BYE that matches no dialog.
            // RFC 6665 §4.1.3: nor does a NOTIFY come without a subscription.
            Method::Bye | Method::Prack | Method::Update | Method::Notify => {
                self.respond_core(now, key, 481, &[]);
            }
            Method::Subscribe => self.on_subscribe(now, key, request, flow, &tag),
            Method::Refer if !self.config.ask_requests => {
                self.on_refer_outside(now, key, request, &tag)
            }
            _ => self.plain_request(now, key, None, request, flow),
        }
    }

    /// §8.2.1: 405 for what we know and do not take, 501 for what we do not know (§21.5.2).
    fn accept_method(&mut self, now: Instant, key: ServerKey, method: &Method) -> bool {
        if self.config.allow.contains(method) || self.config.ask_requests && is_plain(method) {
            return true;
        }
        self.refuse_method(now, key, method);
        false
    }

    fn refuse_method(&mut self, now: Instant, key: ServerKey, method: &Method) {
        let allow = std::mem::take(&mut self.allow);
        let status = if method.is_known() { 405 } else { 501 };
        self.respond_core(now, key, status, &[(H::Allow, &allow)]);
        self.allow = allow;
    }

    /// Answers a request that was handed to the owner because of
    /// [`Config::ask_requests`](super::Config::ask_requests) as it is answered without that: OPTIONS
    /// with 200 and what we can do, a NOTIFY with 481, others with 405, or 501 where the method is
    /// unknown.
    ///
    /// # Errors
    /// A stale key (it was answered, or its sender has given up).
    pub fn respond_by_default(&mut self, now: Instant, key: ServerKey) -> Result<(), super::Error> {
        let server = self.servers.get(key).filter(|s| s.purpose == Purpose::Plain);
        let request = server.and_then(|server| server.request.as_ref());
        let method = request.and_then(Message::method).cloned();
        match method.ok_or(super::Error::Stale("request"))? {
            method if !self.config.allow.contains(&method) => self.refuse_method(now, key, &method),
            Method::Options => self.answer_options(now, key),
            Method::Notify => self.respond_core(now, key, 481, &[]),
            method => self.refuse_method(now, key, &method),
        }
        Ok(())
    }

    /// A NOTIFY that the owner takes without a subscription.
    fn is_unsolicited(&self, request: &Message) -> bool {
        let package = request.event().and_then(Result::ok);
        package.is_some_and(|event| {
            let mut all = self.config.unsolicited_packages.iter();
            all.any(|taken| taken.eq_ignore_ascii_case(event.value))
        })
    }

    /// Whether OPTIONS is no business of the owner's.
    pub(crate) fn answers_options(&self) -> bool {
        self.config.answer_options && !self.config.ask_requests
    }

    /// §8.2.2.3
    pub(crate) fn accept_extensions(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: &Message,
    ) -> bool {
        self.accept_more_extensions(now, key, request, &[])
    }

    /// The same where a usage knows more extensions than every request.
    pub(crate) fn accept_more_extensions(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: &Message,
        more: &[&str],
    ) -> bool {
        let known = |tag: &&str| {
            let own = self.supported.split(", ");
            let owner = self.config.owner_extensions.iter().map(String::as_str);
            own.chain(owner).chain(more.iter().copied()).any(|s| s.eq_ignore_ascii_case(tag))
        };
        let unknown: Vec<&str> = request.list(H::Require).filter(|tag| !known(tag)).collect();
        if unknown.is_empty() {
            return true;
        }
        let unknown = unknown.join(", ");
        self.respond_core(now, key, 420, &[(H::Unsupported, &unknown)]);
        false
    }

    /// §8.2.3: 415 for a body that cannot be read, 406 for a caller that takes no session
    /// description (§21.4.7), with a Warning that says so (RFC 4475 §3.3.15).
    pub(crate) fn accept_body(&mut self, now: Instant, key: ServerKey, request: &Message) -> bool {
        let invite = request.method() == Some(&Method::Invite);
        let accept = std::mem::take(&mut self.accept);
        let mut refused: Option<(u16, H, &str)> = None;
        if !request.body().is_empty() {
            if request.list(H::ContentEncoding).any(|c| !c.eq_ignore_ascii_case("identity")) {
                refused = Some((415, H::AcceptEncoding, "identity"));
            } else if invite && !self.config.accept.is_empty() && !self.is_accepted(request) {
                refused = Some((415, H::Accept, &accept));
            }
        }
        if refused.is_none() && invite && request.header(H::Accept).is_some() {
            let sdp = crate::header::MediaType::parse("application/sdp");
            let takes =
                sdp.is_ok_and(|sdp| request.accepts().flatten().any(|range| range.accepts(&sdp)));
            if !takes {
                refused = Some((406, H::Warning, NO_SDP));
            }
        }
        if let Some((status, name, value)) = refused {
            self.respond_core(now, key, status, &[(name, value)]);
        }
        let fine = refused.is_none();
        self.accept = accept;
        fine
    }

    fn is_accepted(&self, request: &Message) -> bool {
        let Some(Ok(kind)) = request.content_type() else { return false };
        self.config
            .accept
            .iter()
            .any(|accepted| accepted.split_once('/').is_some_and(|(main, sub)| kind.is(main, sub)))
    }

    /// §11.2
    pub(crate) fn answer_options(&mut self, now: Instant, key: ServerKey) {
        let (allow, accept) = (std::mem::take(&mut self.allow), std::mem::take(&mut self.accept));
        let supported = std::mem::take(&mut self.supported);
        let events = std::mem::take(&mut self.allow_events);
        let extra = [
            (H::Allow, &*allow),
            (H::Accept, &*accept),
            (H::Supported, &*supported),
            (H::AllowEvents, &*events),
        ];
        let extra = if events.is_empty() { &extra[..3] } else { &extra[..] };
        self.respond_core(now, key, 200, extra);
        self.allow_events = events;
        (self.allow, self.accept, self.supported) = (allow, accept, supported);
    }

    /// The call whose INVITE a CANCEL is for.
    pub(crate) fn call_of_cancel(&self, request: &Message) -> Option<super::CallKey> {
        let invite = self.server_index.get(&self.server_print(request, "INVITE")?)?;
        match self.servers.get(*invite)?.purpose {
            Purpose::Invite(call) | Purpose::Reinvite(call) => Some(call),
            _ => None,
        }
    }

    /// §9.2: the INVITE is the one with the same branch and sent-by.
    fn on_cancel(&mut self, now: Instant, flow: Flow, print: Fingerprint, request: &Message) {
        let invite = self
            .server_print(request, "INVITE")
            .and_then(|print| self.server_index.get(&print).copied());
        // "the To tag of the response to the CANCEL and the To tag in the response to the original
        // request SHOULD be the same"
        let tag = invite.and_then(|key| self.servers.get(key)?.tag);
        let tag = tag.unwrap_or_else(|| id::tag(&mut self.rng));
        let key = self.new_server(now, print, None, flow, request, Some(tag));
        let Some(invite) = invite else { return self.respond_core(now, key, 481, &[]) };
        self.respond_core(now, key, 200, &[]);
        match self.servers.get(invite).map(|server| server.purpose) {
            Some(Purpose::Invite(call)) if self.is_unanswered(invite) => {
                self.on_cancelled(now, call, invite, request);
            }
            Some(Purpose::Reinvite(call)) if self.is_unanswered(invite) => {
                self.on_reinvite_cancelled(now, call, invite);
            }
            _ => {}
        }
    }

    /// A request for the owner to answer.
    pub(crate) fn plain_request(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: Option<super::CallKey>,
        request: Message,
        flow: Flow,
    ) {
        if let Some(server) = self.servers.get_mut(key) {
            server.purpose = Purpose::Plain;
        }
        self.guard_server(now, key);
        self.event(Event::Request { key, call, request, flow });
    }

    pub(crate) fn dialog_print(
        &self,
        call_id: &str,
        local_tag: &str,
        remote_tag: &str,
    ) -> Fingerprint {
        self.prints.of(&["d", call_id, local_tag, remote_tag])
    }
}

/// Methods that no usage of the endpoint's takes.
fn is_plain(method: &Method) -> bool {
    !matches!(
        method,
        Method::Invite
            | Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Prack
            | Method::Update
            | Method::Refer
            | Method::Notify
            | Method::Subscribe
            | Method::Message
    )
}

fn is_tel(uri: &Uri<'_>) -> bool {
    uri.scheme() == crate::uri::Scheme::Tel
}
