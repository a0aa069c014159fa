//! The callee's side of an INVITE (RFC 3261 §13.3, §9.2).

use super::call::{Call, Phase};
use super::reliable::Provisional;
use crate::dialog::{self, Dialog, DialogKey, Parts, Usage};
use crate::endpoint::{
    Body, CallKey, Due, EndedBy, Endpoint, Error, Event, Headers, Policy, ServerKey, check,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::status::StatusCode;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, id};

const REPEAT_RINGING: Duration = Duration::from_secs(60);

impl Endpoint {
    /// A new call comes in.
    pub(crate) fn on_invite(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: Message,
        flow: Flow,
        tag: &str,
    ) {
        // "Contact … MUST be present" (§8.1.1.8): without it the dialog would lead nowhere. A peer of
        // RFC 2543, whose branches have no magic cookie, means the URI of From (RFC 4475 §3.4.1).
        let old = request.header(H::Contact).is_none()
            && !request
                .top_via()
                .is_ok_and(|via| via.branch().is_some_and(|b| b.starts_with(id::BRANCH_COOKIE)));
        let from = old.then(|| request.from().ok()).flatten().filter(|from| from.uri.is_sip());
        let fallback = from.map_or("", |from| from.uri.as_str());
        if dialog::target_of(&request, fallback).is_empty() {
            return self.respond_core(now, key, 400, &[]);
        }
        if !self.accept_policies(now, key, &request) || !self.accept_interval(now, key, &request) {
            return;
        }
        let related = match self.find_related(&request) {
            Ok(related) => related,
            Err(status) => return self.respond_core(now, key, status, &[]),
        };
        let account = self.account_for(&request);
        let call = self.calls.insert(Call::new(account, false, Phase::Ringing(key)));
        let dialog = self.dialog_of_request(Usage::Call(call), &request, tag, fallback);
        self.answer_session(call, related);
        let name = self.caller_name(account, flow);
        self.note_way(dialog, flow.transport, name);
        self.note_flow(dialog, flow);
        self.keep_flow(dialog, account, flow);
        let expires = request.expires().and_then(Result::ok);
        let expiry = expires.map(|seconds| {
            let at = now + Duration::from_secs(seconds.into());
            self.timers.insert(at, Due::Expired(call))
        });
        if let Some(state) = self.calls.get_mut(call) {
            state.dialog = Some(dialog);
            state.note_allow(&request);
            if expiry.is_some() {
                state.extras().expiry = expiry;
            }
        }
        self.note_dialog(key, Some(dialog));
        self.begin_ringing(now, key, call);
        if let Some(related) = related {
            self.related.insert(call, related);
        }
        self.event(Event::Incoming { call, request, flow, related });
    }

    /// §12.1.1
    pub(crate) fn dialog_of_request(
        &mut self,
        usage: Usage,
        request: &Message,
        tag: &str,
        fallback: &str,
    ) -> DialogKey {
        let call_id = request.call_id().unwrap_or_default();
        let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let print = self.dialog_print(call_id, tag, from_tag);
        let local = format!("{};tag={tag}", request.header(H::To).unwrap_or_default());
        let routes = dialog::routes_of_request(request);
        let mut dialog = Dialog::new(
            print,
            usage,
            &Parts {
                call_id,
                local: &local,
                remote: request.header(H::From).unwrap_or_default(),
                target: dialog::target_of(request, fallback),
                routes: &routes,
            },
        );
        dialog.remote_cseq = request.cseq().ok().map(|cseq| cseq.number);
        dialog.peer_session = super::session_id::peer_of(request).unwrap_or_default();
        let key = self.dialogs.insert(dialog);
        self.dialog_index.insert(print, key);
        key
    }

    /// What we require of a caller (RFC 3261 §21.4.15): 421 names it.
    fn accept_policies(&mut self, now: Instant, key: ServerKey, request: &Message) -> bool {
        let required = [(self.config.reliable, "100rel"), (self.config.session_timer, "timer")];
        for (policy, tag) in required {
            let knows = |name| request.list(name).any(|given| given.eq_ignore_ascii_case(tag));
            if policy == Policy::Required && !knows(H::Supported) && !knows(H::Require) {
                self.respond_core(now, key, 421, &[(H::Require, tag)]);
                return false;
            }
        }
        true
    }

    /// The caller's Expires has passed: "a 487 (Request Terminated) response SHOULD be generated"
    /// (§13.3.1).
    pub(crate) fn invite_expired(&mut self, now: Instant, call: CallKey) {
        if let Some(extras) = self.calls.get_mut(call).and_then(|state| state.extras.as_mut()) {
            extras.expiry = None;
        }
        if let Ok(invite) = self.ringing(call) {
            self.respond_core(now, invite, 487, &[]);
            let reason = "the caller's time has passed";
            self.end_call(now, call, EndedBy::Remote, Some(487), reason, None);
        }
    }

    pub(crate) fn ringing(&self, call: CallKey) -> Result<ServerKey, Error> {
        match self.calls.get(call).ok_or(Error::Stale("call"))?.phase {
            Phase::Ringing(invite) if self.is_unanswered(invite) => Ok(invite),
            _ => Err(Error::State("the call is not waiting to be answered")),
        }
    }

    /// Sends 101 to 199: ringing, or early media with a body. It goes out reliably (RFC 3262) as
    /// [`Config::reliable`](crate::Config::reliable) says: then `ProvisionalConfirmed` follows, and a
    /// body is the answer itself, or our offer when the INVITE has none; later bodies are left out.
    ///
    /// # Errors
    /// A stale key, a call that does not wait for an answer, another status, or a header field that
    /// cannot be sent.
    pub fn provisional(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        reason: Option<&str>,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        let invite = self.ringing(call)?;
        let code = StatusCode::new(status)
            .filter(|code| (101..200).contains(&code.code()))
            .ok_or(Error::Status(status))?;
        if self.is_accepting(call) {
            return Err(Error::State("the call is answered already"));
        }
        let reason = reason.unwrap_or_default();
        if self.is_reliable(invite, body.is_some()) {
            let reason = reason.to_owned();
            let provisional = Provisional { status: code, reason, headers, body };
            self.send_reliable(now, call, invite, provisional)?;
        } else {
            let bytes = self.call_response(call, invite, code, reason, &headers, body.as_ref())?;
            self.respond_bytes(now, invite, code, bytes);
        }
        // Proxies forget a call that shows no life for three minutes (§13.3.1.1).
        self.set_call_timer(call, now + REPEAT_RINGING, Due::Ringing(call));
        Ok(())
    }

    /// Whether a provisional response with a body would go out reliably: only then can it be an offer,
    /// where the INVITE has none (RFC 3262 §5).
    pub fn rings_reliably(&self, call: CallKey) -> bool {
        self.ringing(call).is_ok_and(|invite| self.is_reliable(invite, true))
    }

    /// "SHOULD send a non-100 provisional response at every minute, to handle the possibility of
    /// lost provisional responses" (§13.3.1.1).
    pub(crate) fn repeat_ringing(&mut self, now: Instant, call: CallKey) {
        if let Ok(invite) = self.ringing(call) {
            self.repeat_provisional(invite);
            self.set_call_timer(call, now + REPEAT_RINGING, Due::Ringing(call));
        }
    }

    /// Answers with 200, repeated until the ACK comes (`Confirmed`). It waits for the PRACK of a
    /// reliable response with a body, and has no body itself when the session was agreed on before.
    ///
    /// # Errors
    /// A stale key, a call that does not wait for an answer, or a header field that cannot be sent.
    pub fn accept(
        &mut self,
        now: Instant,
        call: CallKey,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        let invite = self.ringing(call)?;
        if self.is_accepting(call) {
            return Err(Error::State("the call is answered already"));
        }
        match self.hold_answer(call, headers, body) {
            Some((headers, body)) => self.accept_now(now, call, invite, &headers, body.as_ref()),
            None => Ok(()),
        }
    }

    pub(crate) fn accept_now(
        &mut self,
        now: Instant,
        call: CallKey,
        invite: ServerKey,
        headers: &Headers,
        body: Option<&Body>,
    ) -> Result<(), Error> {
        self.send_answer(now, call, invite, headers, body, false)?;
        self.provisionals_over(call);
        self.early_over(call);
        if let Some(state) = self.calls.get_mut(call) {
            state.phase = Phase::Answered;
        }
        self.replace(now, call);
        Ok(())
    }

    /// Refuses with 300 to 699 (a 3xx with Contact header fields redirects). `Ended` follows.
    ///
    /// # Errors
    /// A stale key, a call that does not wait for an answer, another status, or a header field that
    /// cannot be sent.
    pub fn reject(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        reason: Option<&str>,
        headers: Headers,
    ) -> Result<(), Error> {
        self.reject_with(now, call, status, reason, headers, None)
    }

    /// The same with a body: what is offered instead (380), or what cannot be had (580).
    ///
    /// # Errors
    /// As [`reject`](Self::reject).
    pub fn reject_with(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        reason: Option<&str>,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        let invite = self.ringing(call)?;
        let code = StatusCode::new(status)
            .filter(|code| code.code() >= 300)
            .ok_or(Error::Status(status))?;
        let reason = reason.unwrap_or(code.default_reason());
        let bytes = self.call_response(call, invite, code, reason, &headers, body.as_ref())?;
        self.respond_bytes(now, invite, code, bytes);
        self.end_call(now, call, EndedBy::Local, Some(status), reason, None);
        Ok(())
    }

    /// The caller has hung up before we answered.
    pub(crate) fn on_cancelled(
        &mut self,
        now: Instant,
        call: CallKey,
        invite: ServerKey,
        request: &Message,
    ) {
        self.respond_core(now, invite, 487, &[]);
        let message = Some(request.clone());
        self.end_call(now, call, EndedBy::Remote, Some(487), "cancelled", message);
    }
}
