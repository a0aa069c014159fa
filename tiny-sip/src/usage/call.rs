//! A call: what caller and callee have in common, from answer to end (RFC 3261 §13.3, §15).

use super::extras::Extras;
use super::regain;
use super::reinvite::Modification;
use crate::dialog::{DialogKey, Usage};
use crate::endpoint::{
    AccountKey, Body, CallKey, ClientKey, Due, EndedBy, Endpoint, Error, Event, Headers, Leg,
    Owner, ServerKey, check,
};
use crate::header::{HeaderName, NameAddr};
use crate::message::Message;
use crate::method::Method;
use crate::status::StatusCode;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, TimerKey};

/// A call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) account: Option<AccountKey>,
    /// We made the Call-ID: decides who waits longer after glare (§14.1).
    pub(crate) caller: bool,
    pub(crate) phase: Phase,
    /// The dialog; of a caller, once it is confirmed.
    pub(crate) dialog: Option<DialogKey>,
    /// Early dialogs of a caller.
    pub(crate) forks: Vec<DialogKey>,
    /// How it will end, once somebody wants it to.
    pub(crate) ending: Option<Box<Ending>>,
    /// A 2xx of ours that waits for its ACK.
    pub(crate) answer: Option<Box<Unconfirmed>>,
    /// re-INVITEs and UPDATEs, while there are any.
    pub(crate) modification: Option<Box<Modification>>,
    /// What most calls do without.
    pub(crate) extras: Option<Box<Extras>>,
    /// The peer has announced UPDATE.
    pub(crate) allows_update: bool,
    pub(crate) timer: Option<TimerKey>,
    /// Our half of Session-ID (RFC 7989).
    pub(crate) session: super::session_id::Uuid,
}

/// Who a call is with, and what names its dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallDescription {
    /// We made the call.
    pub caller: bool,
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty where it has none.
    pub remote_tag: String,
    /// Our URI, as the peer knows it: not ours where it is withheld.
    pub local: String,
    /// The peer's URI.
    pub remote: String,
    /// The peer's display name.
    pub display: Option<String>,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Our INVITE has no final response.
    Calling { leg: Leg, cancelled: bool },
    /// Our INVITE has a 2xx with an offer; the ACK waits for the answer.
    Unacknowledged { invite: ClientKey, number: u32 },
    /// The peer's INVITE has no final response.
    Ringing(ServerKey),
    /// Our 2xx has no ACK.
    Answered,
    /// Both know.
    Established,
}

/// How a call ends.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) by: EndedBy,
    pub(crate) status: Option<u16>,
    pub(crate) reason: &'static str,
    pub(crate) headers: Headers,
}

/// A 2xx that is repeated until its ACK comes (§13.3.1.4).
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) bytes: Bytes,
    pub(crate) flow: Flow,
    pub(crate) number: u32,
    pub(crate) interval: Duration,
    pub(crate) until: Instant,
    pub(crate) reinvite: bool,
    /// It carries an offer: the answer comes in the ACK.
    pub(crate) offer: bool,
    /// Should it not arrive, its caller can be called with Replaces.
    pub(crate) replaceable: bool,
    /// We moved after the INVITE came: an ACK that follows its route set may lead to where we were.
    /// Until when it is waited for.
    pub(crate) moved: Option<Instant>,
}

impl Call {
    pub(crate) fn new(account: Option<AccountKey>, caller: bool, phase: Phase) -> Self {
        Self {
            account,
            caller,
            phase,
            dialog: None,
            forks: Vec::new(),
            ending: None,
            answer: None,
            modification: None,
            extras: None,
            allows_update: false,
            timer: None,
            session: [0; 16],
        }
    }

    pub(crate) fn set_leg(&mut self, new: Leg) {
        if let Phase::Calling { leg, .. } = &mut self.phase {
            *leg = new;
        }
    }

    pub(crate) fn set_reinvite_leg(&mut self, leg: Leg) {
        if let Some(modification) = &mut self.modification {
            modification.set_leg(leg);
        }
    }

    pub(crate) fn is_calling(&self) -> bool {
        matches!(self.phase, Phase::Calling { .. })
    }

    pub(crate) fn is_hanging_up(&self) -> bool {
        self.ending.is_some()
    }
}

impl Endpoint {
    /// The account that a call belongs to: who makes it, or whom the Request-URI or To names.
    pub fn account_of(&self, call: CallKey) -> Option<AccountKey> {
        self.calls.get(call)?.account
    }

    /// Whether both sides know that the call is up: its 2xx has its ACK.
    pub fn is_established(&self, call: CallKey) -> bool {
        self.calls.get(call).is_some_and(|state| state.phase == Phase::Established)
    }

    /// Who a call is with, and what names its dialog; `None` while there is no dialog.
    pub fn describe(&self, call: CallKey) -> Option<CallDescription> {
        let state = self.calls.get(call)?;
        let dialog = self.dialogs.get(state.dialog.or(state.forks.first().copied())?)?;
        let parts = dialog.parts();
        let tag = |text| NameAddr::parse(text).ok()?.tag().map(str::to_owned);
        let remote = NameAddr::parse(parts.remote).ok();
        let display = remote.as_ref().map(|remote| remote.display_name());
        Some(CallDescription {
            caller: state.caller,
            call_id: parts.call_id.to_owned(),
            local_tag: tag(parts.local).unwrap_or_default(),
            remote_tag: tag(parts.remote).unwrap_or_default(),
            local: NameAddr::parse(parts.local)
                .map(|local| local.uri.as_str().to_owned())
                .unwrap_or_default(),
            remote: remote.map(|remote| remote.uri.as_str().to_owned()).unwrap_or_default(),
            display: display.map(|name| name.into_owned()).filter(|name| !name.is_empty()),
        })
    }

    /// Ends a call as its state demands: CANCEL (once the INVITE has a provisional response, §9.1),
    /// 480, or BYE — for a callee after the ACK came (§15). `Ended` tells when it is over.
    ///
    /// # Errors
    /// A stale key, or a header field that cannot be sent. Hanging up twice is no error.
    pub fn hangup(&mut self, now: Instant, call: CallKey, headers: Headers) -> Result<(), Error> {
        self.hang_up_as(now, call, headers, "hung up")
    }

    /// Hangs up, with this reason in `Ended`.
    pub(crate) fn hang_up_as(
        &mut self,
        now: Instant,
        call: CallKey,
        headers: Headers,
        reason: &'static str,
    ) -> Result<(), Error> {
        check(&headers, None)?;
        let Some(state) = self.calls.get_mut(call) else { return Err(Error::Stale("call")) };
        if state.ending.is_some() {
            return Ok(());
        }
        let (by, status) = (EndedBy::Local, None);
        let ending = Ending { by, status, reason, headers };
        match state.phase {
            Phase::Calling { leg: Leg::Sent(_), .. } => {
                state.ending = Some(Box::new(ending));
                self.cancel(now, call);
            }
            Phase::Calling { .. } => self.end_call(now, call, by, None, reason, None),
            Phase::Unacknowledged { .. } => {
                // The 2xx must be acknowledged even so (§13.2.2.4).
                self.acknowledge(now, call, None)?;
                self.bye(now, call, ending.headers);
                self.end_call(now, call, by, None, ending.reason, None);
            }
            Phase::Ringing(_) => return self.reject(now, call, 480, None, ending.headers),
            // "MUST NOT send a BYE on a confirmed dialog until it has received an ACK" (§15)
            Phase::Answered => state.ending = Some(Box::new(ending)),
            Phase::Established => {
                if state.modification.as_ref().is_some_and(|m| m.is_unacknowledged()) {
                    self.acknowledge(now, call, None)?;
                }
                self.bye(now, call, ending.headers);
                self.end_call(now, call, by, None, ending.reason, None);
            }
        }
        Ok(())
    }

    /// Sends a BYE, which outlives its call.
    pub(crate) fn bye(&mut self, now: Instant, call: CallKey, headers: Headers) {
        let Some(state) = self.calls.get(call) else { return };
        let (account, Some(dialog)) = (state.account, state.dialog) else { return };
        if let Some(mut bye) = self.in_dialog(dialog, Owner::Bye(call), account, Method::Bye) {
            bye.headers = headers;
            self.start(now, bye);
        }
    }

    /// Forgets a call and tells the owner.
    pub(crate) fn end_call(
        &mut self,
        now: Instant,
        key: CallKey,
        by: EndedBy,
        status: Option<u16>,
        reason: &str,
        message: Option<Message>,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        // §15.1.2: pending requests are answered 487.
        let invite = match call.phase {
            Phase::Ringing(invite) => Some(invite),
            _ => None,
        };
        let other = call.modification.as_ref().and_then(|m| m.incoming).map(|(other, _)| other);
        for pending in invite.into_iter().chain(other) {
            self.respond_core(now, pending, 487, &[]);
        }
        let Some(call) = self.calls.remove(key) else { return };
        if let Some(timer) = call.timer {
            self.timers.cancel(timer);
        }
        if let Phase::Calling { leg, .. } = call.phase {
            self.drop_leg(leg);
        }
        if let Some(modification) = call.modification {
            self.end_modification(*modification);
        }
        if let Some(extras) = call.extras {
            self.drop_extras(*extras);
        }
        if let Some(dialog) = call.dialog.and_then(|dialog| self.dialogs.get(dialog)) {
            let print = dialog.print;
            self.remember_end(print);
        }
        if !self.related.is_empty() {
            self.related.remove(&key);
        }
        if !self.redirected.is_empty() {
            self.redirected.remove(&key);
        }
        self.forget_focus(key);
        if !self.regains.is_empty() {
            self.regain_over(now, key);
        }
        if !self.parked.is_empty() {
            self.forget_parked(now, key);
        }
        let kept = self.referrals_outlive(now, key);
        for dialog in call.forks.into_iter().chain(call.dialog) {
            if kept != Some(dialog) {
                self.remove_dialog(dialog);
            }
        }
        // A caller that was asked to end says so, whatever the last response was.
        let by = call.ending.as_ref().map_or(by, |ending| ending.by);
        let reason = reason.to_owned();
        self.event(Event::Ended { call: key, by, status, reason, message });
    }

    pub(crate) fn remove_dialog(&mut self, key: DialogKey) {
        if let Some(dialog) = self.dialogs.remove(key)
            && self.dialog_index.get(&dialog.print) == Some(&key)
        {
            self.dialog_index.remove(&dialog.print);
        }
    }

    pub(crate) fn set_call_timer(&mut self, call: CallKey, at: Instant, due: Due) {
        self.stop_call_timer(call);
        let timer = self.timers.insert(at, due);
        if let Some(call) = self.calls.get_mut(call) {
            call.timer = Some(timer);
        }
    }

    pub(crate) fn stop_call_timer(&mut self, call: CallKey) {
        if let Some(timer) = self.calls.get_mut(call).and_then(|call| call.timer.take()) {
            self.timers.cancel(timer);
        }
    }

    /// The 2xx of an INVITE or re-INVITE: sent now, and again until its ACK comes.
    pub(crate) fn send_answer(
        &mut self,
        now: Instant,
        call: CallKey,
        invite: ServerKey,
        headers: &Headers,
        body: Option<&Body>,
        reinvite: bool,
    ) -> Result<(), Error> {
        let request = self.servers.get(invite).and_then(|server| server.request.clone());
        let Some(request) = request else { return Err(Error::Stale("call")) };
        let granted = self.grant_session(now, call, &request);
        let all: Headers = headers.iter().cloned().chain(granted).collect();
        let bytes = self.call_response(call, invite, StatusCode::OK, "", &all, body)?;
        let Some(server) = self.servers.get(invite) else { return Err(Error::Stale("call")) };
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let offer = body.is_some() && request.body().is_empty();
        let flow = server.flow;
        let moved = server.moved.then(|| now + regain::ACK_PATIENCE);
        let replaceable = !reinvite && regain::knows(&request);
        let interval = self.config.timers.t1;
        let until = now + self.config.timers.patience();
        // The writer's buffer may be larger than what is in it, and this copy is kept.
        let kept = Bytes::copy_from_slice(&bytes);
        let answer = Unconfirmed {
            bytes: kept,
            flow,
            number,
            interval,
            until,
            reinvite,
            offer,
            replaceable,
            moved,
        };
        if let Some(state) = self.calls.get_mut(call) {
            state.answer = Some(Box::new(answer));
        }
        self.respond_bytes(now, invite, StatusCode::OK, bytes);
        self.set_call_timer(call, now + interval, Due::Answer(call));
        Ok(())
    }

    /// A response that belongs to the call's dialog: Record-Route and Contact (§12.1.1).
    pub(crate) fn call_response(
        &mut self,
        call: CallKey,
        invite: ServerKey,
        status: StatusCode,
        reason: &str,
        headers: &Headers,
        body: Option<&Body>,
    ) -> Result<Bytes, Error> {
        let state = self.calls.get(call).ok_or(Error::Stale("call"))?;
        let server = self.servers.get(invite).ok_or(Error::Stale("call"))?;
        let request = server.request.as_ref().ok_or(Error::Stale("call"))?;
        let account = state.account.and_then(|key| self.accounts.get(key));
        let called = crate::uri::Uri::parse(request.request_uri()).ok();
        let user = called.and_then(|uri| uri.user());
        let mut w = self.response(request, server.source().remote, status, reason, server.tag());
        if status.code() < 300 {
            let focus = self.focus_of(call);
            let contact = self.contact_uri(account, user, server.source()).of_focus(focus);
            let focus = if focus.is_some() { ";isfocus" } else { "" };
            w = w.copy(request, HeaderName::RecordRoute);
            // There is one of it: the owner's goes in place of ours.
            if !headers.iter().any(|(name, _)| HeaderName::parse(name) == HeaderName::Contact) {
                w = w.header(HeaderName::Contact, contact.then([focus, ""]));
            }
            w = w.header(HeaderName::Allow, self.allow.as_str());
            if !self.supported.is_empty() {
                w = w.header(HeaderName::Supported, self.supported.as_str());
            }
            if !self.allow_events.is_empty() {
                w = w.header(HeaderName::AllowEvents, self.allow_events.as_str());
            }
        }
        self.finish(w, request, Some(server), headers, body)
    }

    /// §13.3.1.4: the interval doubles up to T2, over reliable transports too.
    pub(crate) fn repeat_answer(&mut self, now: Instant, call: CallKey) {
        let t2 = self.config.timers.t2;
        let Some(state) = self.calls.get_mut(call) else { return };
        state.timer = None;
        let Some(answer) = &mut state.answer else { return };
        if now >= answer.until {
            // "If the server retransmits the 2xx response for 64*T1 seconds without receiving an
            // ACK, the dialog is confirmed, but the session SHOULD be terminated … with a BYE"
            state.answer = None;
            let headers = state.ending.as_mut().map(|e| std::mem::take(&mut e.headers));
            self.bye(now, call, headers.unwrap_or_default());
            let reason = "no ACK came";
            return self.end_call(now, call, EndedBy::Network, Some(408), reason, None);
        }
        let (flow, bytes) = (answer.flow, answer.bytes.clone());
        answer.interval = (answer.interval * 2).min(t2);
        let at = (now + answer.interval).min(answer.until);
        let lost = answer.moved.is_some_and(|patience| now >= patience);
        self.counters.retransmitted += 1;
        self.transmit(flow, bytes);
        self.set_call_timer(call, at, Due::Answer(call));
        if lost {
            self.answer_lost(call);
        }
    }

    /// An ACK that belongs to a dialog.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        print: crate::endpoint::Fingerprint,
        ack: &Message,
    ) {
        let dialog = self.dialog_index.get(&print).copied();
        let call = dialog.and_then(|key| self.dialogs.get(key)?.usage.call());
        let number = ack.cseq().map_or(0, |cseq| cseq.number);
        let Some((call, state)) = call.and_then(|key| Some((key, self.calls.get_mut(key)?))) else {
            self.counters.dropped_acks += 1;
            return;
        };
        let Some(answer) = state.answer.take_if(|answer| answer.number == number) else {
            self.counters.dropped_acks += 1;
            return;
        };
        let body = (!ack.body().is_empty()).then(|| ack.clone());
        if !answer.reinvite {
            state.phase = Phase::Established;
            if let Some(extras) = &mut state.extras {
                extras.sending = None;
            }
        }
        let ending = state.ending.take();
        self.stop_call_timer(call);
        self.learn_session(ack, dialog);
        if answer.reinvite {
            self.event(Event::ReinviteConfirmed { call, ack: body });
        } else {
            self.event(Event::Confirmed { call, ack: body });
        }
        if let Some(ending) = ending {
            self.bye(now, call, ending.headers);
            return self.end_call(now, call, ending.by, ending.status, ending.reason, None);
        }
        self.next_reinvite(now, call);
    }

    /// A request inside a dialog (§12.2.2).
    pub(crate) fn on_dialog_request(
        &mut self,
        now: Instant,
        key: ServerKey,
        print: crate::endpoint::Fingerprint,
        method: Method,
        request: Message,
        flow: Flow,
    ) {
        let dialog_key = self.dialog_index.get(&print).copied();
        let Some((dialog_key, dialog)) =
            dialog_key.and_then(|key| Some((key, self.dialogs.get_mut(key)?)))
        else {
            // §4.4.1 of RFC 6665: a dialog that begins with a NOTIFY.
            if method == Method::Notify {
                if super::refer::is_refer(&request)
                    && self.on_first_refer_notify(now, key, print, &request)
                {
                    return;
                }
                return self.on_first_notify(now, key, print, request);
            }
            return self.respond_core(now, key, 481, &[]);
        };
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        if dialog.remote_cseq.is_some_and(|last| number < last) {
            self.counters.rejected_cseq += 1;
            return self.respond_core(now, key, 500, &[]);
        }
        dialog.remote_cseq = Some(number);
        let usage = dialog.usage;
        if let Usage::Subscription(subscription) = usage {
            return self.in_subscription(now, key, subscription, method, request);
        }
        if !self.accept_extensions(now, key, &request) || !self.accept_body(now, key, &request) {
            return;
        }
        if let Usage::Watcher(watcher) = usage {
            return self.in_watcher(now, key, watcher, method, request);
        }
        let Usage::Call(call) = usage else {
            // §12.2.2 with RFC 5057: nothing is left that could take it. A BYE is what was wanted.
            let status = if method == Method::Bye { 200 } else { 481 };
            return self.respond_core(now, key, status, &[]);
        };
        if matches!(method, Method::Invite | Method::Update)
            && !self.accept_interval(now, key, &request)
        {
            return;
        }
        match method {
            Method::Bye => self.on_bye(now, key, call, dialog_key, request),
            Method::Prack if self.calls.contains_key(call) => {
                self.on_prack(now, key, call, dialog_key, request);
            }
            Method::Update if self.calls.contains_key(call) => {
                self.on_update(now, key, call, dialog_key, request);
            }
            Method::Invite if self.calls.contains_key(call) => {
                self.on_reinvite(now, key, call, request);
            }
            Method::Notify if super::refer::is_refer(&request) => {
                self.on_refer_notify(now, key, call, &request);
            }
            _ if !self.calls.contains_key(call) => self.respond_core(now, key, 481, &[]),
            Method::Refer => self.on_refer(now, key, call, request),
            Method::Options if self.answers_options() => self.answer_options(now, key),
            _ => self.plain_request(now, key, Some(call), request, flow),
        }
    }

    /// §15.1.2
    fn on_bye(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        dialog: DialogKey,
        request: Message,
    ) {
        if !self.calls.contains_key(call) {
            return self.respond_core(now, key, 481, &[]);
        }
        self.respond_core(now, key, 200, &[]);
        if self.regains.contains_key(&call) {
            // The caller may have let go of what we replace: the new call's INVITE tells.
            return;
        }
        let Some(state) = self.calls.get(call) else { return };
        let whole = state.dialog == Some(dialog);
        if whole {
            self.end_call(now, call, EndedBy::Remote, None, "hung up", Some(request));
        } else if let Some(state) = self.calls.get_mut(call) {
            // One branch of a fork has gone; the others still ring.
            state.forks.retain(|fork| *fork != dialog);
            self.remove_dialog(dialog);
        }
    }
}
