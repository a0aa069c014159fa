//! A redirected INVITE (RFC 3261 §8.1.3.4): it waits for its owner's word and is sent to another
//! URI within the same call, or the call ends. Which URI, and whether at all, is the owner's choice.

use super::call::Phase;
use crate::dialog;
use crate::endpoint::{
    CallKey, Cause, Endpoint, Error, Event, Headers, Leg, Request, bad_uri, check,
};
use crate::message::Message;
use crate::uri::Uri;
use std::time::Instant;

/// A redirected INVITE that waits for its owner's word.
#[derive(Debug)]
pub(crate) struct Held {
    request: Request,
    /// What it got last.
    message: Message,
    /// Where a 3xx has sent it, nobody has answered.
    failed: Option<(Cause, String)>,
}

impl Endpoint {
    /// Whether a refusal is for the owner to decide on: a 3xx, a 485 (whose Contacts say whom the URI
    /// may mean, §21.4.23), or what one of its Contacts said, so that the next can be tried. A 6xx is
    /// final (§8.1.3.4).
    pub(crate) fn is_redirected(&self, call: CallKey, request: &Request, status: u16) -> bool {
        let asks = status < 400 || status == 485;
        let open = request.redirects && (asks || (request.retargeted && status < 600));
        open && self.calls.get(call).is_some_and(|state| !state.is_hanging_up())
    }

    /// A 3xx that waits for a word.
    pub(crate) fn hold_redirected(
        &mut self,
        call: CallKey,
        request: Box<Request>,
        message: &Message,
    ) {
        self.hold(call, Held { request: *request, message: message.clone(), failed: None });
    }

    /// An INVITE that nobody has answered where a 3xx has sent it: its owner may try the next Contact, as
    /// if it had got a 408 (§8.1.3.1) or 503. Gives it back when that makes no sense.
    pub(crate) fn hold_unanswered(
        &mut self,
        call: CallKey,
        request: Box<Request>,
        cause: Cause,
        reason: &str,
    ) -> Option<Box<Request>> {
        let (status, phrase) = match cause {
            Cause::Timeout => (408, "Request Timeout"),
            _ => (503, "Service Unavailable"),
        };
        if !request.retargeted || !self.is_redirected(call, &request, status) {
            return Some(request);
        }
        let text = format!(
            "SIP/2.0 {status} {phrase}\r\nVia: SIP/2.0/UDP localhost;branch=z9hG4bKnobody\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} INVITE\r\nContent-Length: 0\r\n\r\n",
            request.from, request.to, request.call_id, request.cseq
        );
        let Ok(message) = Message::parse(text.into(), &self.config.limits) else {
            return Some(request);
        };
        let failed = Some((cause, reason.to_owned()));
        self.hold(call, Held { request: *request, message, failed });
        None
    }

    fn hold(&mut self, call: CallKey, held: Held) {
        self.stop_call_timer(call);
        let Some(state) = self.calls.get_mut(call) else { return };
        state.set_leg(Leg::None);
        for fork in std::mem::take(&mut state.forks) {
            self.remove_dialog(fork);
        }
        let response = held.message.clone();
        self.redirected.insert(call, Box::new(held));
        self.event(Event::Redirected { call, response });
    }

    /// Sends a redirected INVITE to another URI, with these extra header fields.
    ///
    /// # Errors
    /// A stale key, a call that is not redirected, or a URI or header field that cannot be used;
    /// the call still waits for a word.
    pub fn retarget(
        &mut self,
        now: Instant,
        call: CallKey,
        to: &str,
        headers: Headers,
    ) -> Result<(), Error> {
        check(&headers, None)?;
        let uri = Uri::parse(to).map_err(|_| bad_uri(to, "it is no URI"))?;
        if !self.calls.contains_key(call) {
            return Err(Error::Stale("call"));
        }
        let Some(held) = self.redirected.get(&call) else {
            return Err(Error::State("the call is not redirected"));
        };
        let account = held.request.account.and_then(|key| self.accounts.get(key));
        let routes = account.map_or("", |account| account.routes.as_str());
        if !uri.is_sip() && routes.is_empty() {
            return Err(bad_uri(to, "without an outbound proxy it must be a sip: or sips: URI"));
        }
        let path = dialog::path(uri.without_headers(), routes);
        let Some(held) = self.redirected.remove(&call) else { return Ok(()) };
        let mut request = Box::new(held.request);
        // "the UAC SHOULD … reuse the same To, From, and Call-ID used in the original redirected
        // request" (§8.1.3.4); a new CSeq makes it a new transaction, as in §8.1.3.5.
        request.cseq = request.cseq.wrapping_add(1) & 0x7fff_ffff;
        (request.uri, request.routes) = (path.uri, path.routes);
        request.headers.extend(headers);
        request.retargeted = true;
        request.branch = None;
        request.targets.clear();
        request.next = 0;
        request.fallback = None;
        request.trouble = None;
        request.no_switch = false;
        request.challenged.clear();
        request.auth.clear();
        request.auth_attempts = 0;
        if let Some(state) = self.calls.get_mut(call) {
            state.phase = Phase::Calling { leg: Leg::None, cancelled: false };
        }
        self.start(now, request);
        Ok(())
    }

    /// Ends a call that waits for a word on its redirection; `Ended` has the 3xx.
    ///
    /// # Errors
    /// A stale key, or a call that is not redirected.
    pub fn end_redirected(&mut self, now: Instant, call: CallKey) -> Result<(), Error> {
        let Some(held) = self.redirected.remove(&call) else {
            return Err(Error::State("the call is not redirected"));
        };
        if let Some((cause, reason)) = held.failed {
            self.invite_failed(now, call, cause, &reason);
            return Ok(());
        }
        let status = held.message.status().map_or(300, |status| status.code());
        self.invite_refused(now, call, status, &held.message);
        Ok(())
    }
}
