//! UPDATE (RFC 3311) in early and confirmed dialogs, both sides: it shares the queue of changes with
//! re-INVITE, so that offers never overlap.

use super::call::Phase;
use super::reinvite::{Change, How};
use crate::dialog::DialogKey;
use crate::endpoint::{Body, CallKey, Endpoint, Error, Event, Headers, Purpose, ServerKey, check};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use std::time::Instant;

impl Endpoint {
    /// Whether the peer of a call has said that it takes UPDATE.
    pub fn allows_update(&self, call: CallKey) -> bool {
        self.calls.get(call).is_some_and(|state| state.allows_update)
    }

    /// Whether an offer could go out now by UPDATE: the peer takes it, and the first offer of the
    /// dialog has its answer (RFC 3311 §5.1). `fork` as for [`update`](Self::update).
    pub fn can_update(&mut self, call: CallKey, fork: Option<&str>) -> bool {
        let fork = match fork.map(|tag| self.fork(call, tag)) {
            Some(Err(_)) => return false,
            Some(Ok(dialog)) => Some(dialog),
            None => None,
        };
        let Some(state) = self.calls.get_mut(call) else { return false };
        let dialog = fork.or(state.dialog).or(state.forks.first().copied());
        state.allows_update
            && state.ending.is_none()
            && dialog.is_some_and(|d| state.is_agreed(d) && !state.offers_in_prack(d))
    }

    /// Whether an offer could go out now by re-INVITE.
    pub fn can_reinvite(&self, call: CallKey) -> bool {
        let state = self.calls.get(call);
        state.is_some_and(|s| s.phase == Phase::Established && s.ending.is_none())
    }

    /// Sends an UPDATE: with a body an offer, without one a refresh of target and session.
    /// `fork` is the remote tag of an early dialog of a call that we place; `None` takes the dialog
    /// that there is. `ReinviteAccepted` or `ReinviteRejected` follows; 491, and 500 with
    /// Retry-After, are tried again.
    ///
    /// # Errors
    /// A stale key, a peer that does not take UPDATE, an early dialog whose first offer has no
    /// answer yet, a header field that cannot be sent, or a limit.
    pub fn update(
        &mut self,
        now: Instant,
        call: CallKey,
        fork: Option<&str>,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        self.room()?;
        let fork = fork.map(|tag| self.fork(call, tag)).transpose()?;
        let state = self.calls.get_mut(call).ok_or(Error::Stale("call"))?;
        if state.ending.is_some() {
            return Err(Error::State("the call is ending"));
        }
        if !state.allows_update {
            return Err(Error::State("the peer does not take UPDATE"));
        }
        let dialog = fork.or(state.dialog).or(state.forks.first().copied());
        let Some(dialog) = dialog else { return Err(Error::State("the call has no dialog yet")) };
        if body.is_some() && !state.is_agreed(dialog) {
            return Err(Error::State("the first offer has no answer yet"));
        }
        self.queue_change(call, Change::new(How::Update, fork, headers, body))?;
        self.next_reinvite(now, call);
        Ok(())
    }

    /// The peer's UPDATE.
    pub(crate) fn on_update(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        dialog: DialogKey,
        request: Message,
    ) {
        if request.body().is_empty() {
            return self.accept_refresh(now, key, call, dialog, &request);
        }
        let Some(state) = self.calls.get_mut(call) else { return };
        // §5.2: our offer has no answer, so that the peer cannot have seen it: 491. The peer's own
        // offer has no answer: 500 with Retry-After.
        let unanswered = state.answer.as_ref().is_some_and(|answer| answer.offer);
        let early = !state.is_agreed(dialog);
        let glare = match state.phase {
            Phase::Calling { .. } => early || state.offers_in_prack(dialog),
            Phase::Unacknowledged { .. } => true,
            Phase::Ringing(_) => false,
            Phase::Answered | Phase::Established => unanswered,
        };
        if glare {
            return self.respond_core(now, key, 491, &[]);
        }
        if matches!(state.phase, Phase::Ringing(_)) && early {
            return self.put_off(now, key);
        }
        self.take_offer(now, key, call, dialog, request);
    }

    /// 500 with a Retry-After of 0 to 10 s (RFC 3311 §5.2, RFC 3261 §14.2).
    pub(crate) fn put_off(&mut self, now: Instant, key: ServerKey) {
        let seconds = self.rng.below(11).to_string();
        self.respond_core(now, key, 500, &[(H::RetryAfter, seconds.as_str())]);
    }

    /// An offer in an UPDATE or PRACK, for the owner to answer.
    pub(crate) fn take_offer(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        dialog: DialogKey,
        request: Message,
    ) {
        if self.has_moved(dialog, &request) {
            self.peer_moved(now, call);
        }
        let Some(state) = self.calls.get_mut(call) else { return };
        let modification = state.modification.get_or_insert_default();
        if modification.incoming.is_some() {
            return self.put_off(now, key);
        }
        if modification.is_offering() {
            return self.respond_core(now, key, 491, &[]);
        }
        modification.incoming = Some((key, dialog));
        if let Some(server) = self.servers.get_mut(key) {
            server.purpose = Purpose::Update;
        }
        self.event(Event::Reinvite { call, request });
    }

    /// An UPDATE without an offer: the target and the session timer are refreshed at once.
    fn accept_refresh(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        dialog: DialogKey,
        request: &Message,
    ) {
        let headers = self.grant_session(now, call, request);
        if self.answer_update(now, key, call, &headers, None).is_err() {
            return self.respond_core(now, key, 500, &[]);
        }
        let moved = self.has_moved(dialog, request);
        if let Some(dialog) = self.dialogs.get_mut(dialog) {
            dialog.refresh(request);
        }
        if moved {
            self.peer_moved(now, call);
            self.follow_target(now, dialog);
        }
    }

    /// The 200 to an UPDATE or PRACK; a PRACK refreshes no target, so that its 200 has no Contact.
    pub(crate) fn answer_update(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        headers: &Headers,
        body: Option<&Body>,
    ) -> Result<(), Error> {
        let request = self.servers.get(key).and_then(|server| server.request.as_ref());
        if request.is_some_and(|request| request.method() == Some(&Method::Prack)) {
            return self.respond_with(now, key, 200, "", &[], headers, body);
        }
        let ok = crate::status::StatusCode::OK;
        let bytes = self.call_response(call, key, ok, "", headers, body)?;
        self.respond_bytes(now, key, ok, bytes);
        Ok(())
    }

    /// The peer took our UPDATE.
    pub(crate) fn update_accepted(&mut self, now: Instant, call: CallKey, message: &Message) {
        let Some(state) = self.calls.get_mut(call) else { return };
        state.note_allow(message);
        let Some(modification) = &mut state.modification else { return };
        let (how, fork) = modification.finish();
        let dialog = fork.or(state.dialog);
        if let Some(dialog) = dialog.and_then(|key| self.dialogs.get_mut(key)) {
            dialog.refresh(message);
        }
        self.session_agreed(now, call, message);
        if how != How::Refresh {
            let response = message.clone();
            self.event(Event::ReinviteAccepted { call, response, needs_answer: false });
        }
        self.next_reinvite(now, call);
        self.answer_held(now, call);
    }
}

impl super::call::Call {
    /// What the peer's Allow says; no Allow says nothing.
    pub(crate) fn note_allow(&mut self, message: &Message) {
        if message.header(H::Allow).is_some() {
            // Methods are tokens: a comma is nothing but a border.
            let update = |line: &str| {
                let mut methods = line.as_bytes().split(|b| *b == b',');
                methods.any(|method| method.trim_ascii().eq_ignore_ascii_case(b"UPDATE"))
            };
            self.allows_update = message.headers(H::Allow).any(update);
        }
    }

    /// Whether the first offer of a dialog has its answer: until then no other may be made (RFC 3311
    /// §5.1).
    fn is_agreed(&mut self, dialog: DialogKey) -> bool {
        match self.phase {
            Phase::Calling { .. } => self.early(dialog).is_some_and(|early| early.agreed),
            Phase::Ringing(_) => {
                let extras = self.extras.as_ref().and_then(|extras| extras.sending.as_ref());
                extras.is_some_and(|sending| sending.agreed)
            }
            Phase::Unacknowledged { .. } => false,
            Phase::Answered => self.answer.as_ref().is_none_or(|answer| !answer.offer),
            Phase::Established => true,
        }
    }
}
