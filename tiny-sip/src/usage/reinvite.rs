//! Changing a session: re-INVITE in both directions (RFC 3261 §14), one at a time, with glare.

use super::call::Phase;
use crate::endpoint::{
    Body, CallKey, ClientKey, Due, EndedBy, Endpoint, Error, Event, Headers, Leg, Owner, Purpose,
    Request, ServerKey, check,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use crate::status::StatusCode;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tiny_sak::TimerKey;

type Wanted = (Headers, Option<Body>);

/// What is going on with re-INVITEs.
#[derive(Debug, Default)]
pub(crate) struct Modification {
    own: Own,
    /// The peer's, while it has no final response.
    incoming: Option<ServerKey>,
    queue: VecDeque<Wanted>,
}

#[derive(Debug, Default)]
enum Own {
    #[default]
    Idle,
    /// Sent.
    Running(Leg),
    /// Refused with 491: to be sent again.
    Waiting(TimerKey),
    /// Accepted with an offer; the ACK waits for the answer.
    Unacknowledged { invite: ClientKey, number: u32 },
}

impl Modification {
    pub(crate) fn set_leg(&mut self, new: Leg) {
        if let Own::Running(leg) = &mut self.own {
            *leg = new;
        }
    }

    /// The INVITE whose ACK can be sent now.
    pub(crate) fn acknowledged(&mut self) -> Option<(ClientKey, u32)> {
        let Own::Unacknowledged { invite, number } = self.own else { return None };
        self.own = Own::Idle;
        Some((invite, number))
    }

    pub(crate) fn is_unacknowledged(&self) -> bool {
        matches!(self.own, Own::Unacknowledged { .. })
    }

    fn is_over(&self) -> bool {
        matches!(self.own, Own::Idle) && self.incoming.is_none() && self.queue.is_empty()
    }
}

impl Endpoint {
    /// Offers a change of the session (no body: asks the peer for an offer). One runs at a time,
    /// others wait their turn; a 491 is tried again after the time of §14.1.
    ///
    /// # Errors
    /// A stale key, a call that is not established, a header field that cannot be sent, or a limit.
    pub fn reinvite(
        &mut self,
        now: Instant,
        call: CallKey,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        self.room()?;
        let max = self.config.max_queued_reinvites;
        let Some(state) = self.calls.get_mut(call) else { return Err(Error::Stale("call")) };
        if state.phase != Phase::Established || state.ending.is_some() {
            return Err(Error::State("the call is not established"));
        }
        let modification = state.modification.get_or_insert_default();
        if modification.queue.len() >= max {
            return Err(Error::Limit("max_queued_reinvites"));
        }
        modification.queue.push_back((headers, body));
        self.next_reinvite(now, call);
        Ok(())
    }

    /// §14.1: no INVITE while another one is in progress in either direction.
    pub(crate) fn next_reinvite(&mut self, now: Instant, call: CallKey) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let (account, dialog, busy) = (state.account, state.dialog, state.answer.is_some());
        let Some(modification) = &mut state.modification else { return };
        if modification.is_over() {
            state.modification = None;
            return;
        }
        if busy || modification.incoming.is_some() || !matches!(modification.own, Own::Idle) {
            return;
        }
        let Some((headers, body)) = modification.queue.pop_front() else { return };
        modification.own = Own::Running(Leg::None);
        let Some(dialog) = dialog else { return };
        let owner = Owner::Reinvite(call);
        if let Some(mut request) = self.in_dialog(dialog, owner, account, Method::Invite) {
            request.headers = headers;
            request.body = body;
            self.start(now, request);
        }
    }

    /// A response below 300 to our re-INVITE.
    pub(crate) fn reinvite_response(
        &mut self,
        now: Instant,
        call: CallKey,
        key: ClientKey,
        status: u16,
        message: &Message,
    ) {
        if status < 200 {
            return;
        }
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let print = self.prints.of(&["re"]);
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.winner.replace(print).is_some() {
            return self.repeat_ack(key);
        }
        let Some(state) = self.calls.get_mut(call) else {
            // The call ended meanwhile; the 2xx must be acknowledged all the same.
            return self.ack_as_sent(now, key);
        };
        let dialog = state.dialog;
        let late = client.request.as_ref().is_some_and(|request| request.body.is_none())
            && !message.body().is_empty();
        if let Some(modification) = &mut state.modification {
            modification.own = match late {
                true => Own::Unacknowledged { invite: key, number },
                false => Own::Idle,
            };
        }
        if let Some(dialog) = dialog.and_then(|key| self.dialogs.get_mut(key)) {
            dialog.refresh(message);
        }
        if !late {
            self.ack(now, key, None, dialog, number, None);
        }
        let response = message.clone();
        self.event(Event::ReinviteAccepted { call, response, needs_answer: late });
        self.next_reinvite(now, call);
    }

    /// The ACK of a re-INVITE whose dialog is gone: by the way of the re-INVITE itself.
    fn ack_as_sent(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        let Some(request) = &client.request else { return };
        let ack = Request {
            owner: Owner::Ack(key, None),
            method: Method::Ack,
            dialog: None,
            headers: Headers::new(),
            body: None,
            ..(**request).clone()
        };
        self.attempt(now, Box::new(ack));
    }

    /// Our re-INVITE was refused, or got no response.
    pub(crate) fn reinvite_refused(
        &mut self,
        now: Instant,
        call: CallKey,
        request: Box<Request>,
        status: u16,
        reason: &str,
    ) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let caller = state.caller;
        let Some(modification) = &mut state.modification else { return };
        match status {
            491 => {
                // §14.1: the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, both in
                // units of 10 ms.
                let tens = match caller {
                    true => 210 + self.rng.below(191),
                    false => self.rng.below(201),
                };
                let at = now + Duration::from_millis(10 * tens);
                let timer = self.timers.insert(at, Due::Glare(call));
                modification.own = Own::Waiting(timer);
                modification.queue.push_front((request.headers, request.body));
            }
            // §12.2.1.2: the peer knows the dialog no more, or is gone.
            408 | 481 => {
                modification.own = Own::Idle;
                self.bye(now, call, Headers::new());
                let by = if status == 408 { EndedBy::Network } else { EndedBy::Remote };
                self.end_call(now, call, by, Some(status), reason, None);
            }
            _ => {
                modification.own = Own::Idle;
                let reason = reason.to_owned();
                self.event(Event::ReinviteRejected { call, status, reason });
                self.next_reinvite(now, call);
            }
        }
    }

    /// The pause after a 491 is over.
    pub(crate) fn glare_over(&mut self, now: Instant, call: CallKey) {
        if let Some(state) = self.calls.get_mut(call)
            && let Some(modification) = &mut state.modification
        {
            modification.own = Own::Idle;
            self.next_reinvite(now, call);
        }
    }

    /// The peer's re-INVITE (§14.2).
    pub(crate) fn on_reinvite(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        request: Message,
    ) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let seconds = self.rng.below(11).to_string();
        let overlap = [(H::RetryAfter, seconds.as_str())];
        match state.phase {
            // "a second INVITE before it sends the final response to a first INVITE with a lower
            // CSeq … MUST return a 500 … and MUST include a Retry-After"
            Phase::Ringing(_) => return self.respond_core(now, key, 500, &overlap),
            Phase::Calling { .. } | Phase::Unacknowledged { .. } | Phase::Answered => {
                return self.respond_core(now, key, 491, &[]);
            }
            Phase::Established => {}
        }
        if state.answer.is_some() {
            return self.respond_core(now, key, 491, &[]);
        }
        let modification = state.modification.get_or_insert_default();
        if modification.incoming.is_some() {
            return self.respond_core(now, key, 500, &overlap);
        }
        if matches!(modification.own, Own::Running(_) | Own::Unacknowledged { .. }) {
            return self.respond_core(now, key, 491, &[]);
        }
        modification.incoming = Some(key);
        if let Some(server) = self.servers.get_mut(key) {
            server.purpose = Purpose::Reinvite(call);
        }
        self.event(Event::Reinvite { call, request });
    }

    fn incoming(&self, call: CallKey) -> Result<ServerKey, Error> {
        let state = self.calls.get(call).ok_or(Error::Stale("call"))?;
        let incoming = state.modification.as_ref().and_then(|m| m.incoming);
        incoming.ok_or(Error::State("no re-INVITE waits for an answer"))
    }

    /// Takes the peer's re-INVITE; `ReinviteConfirmed` follows with its ACK. An own re-INVITE that
    /// waits after a 491 is withdrawn: `ReinviteRejected` with 491 asks for a new one, since its
    /// offer was made before this change.
    ///
    /// # Errors
    /// A stale key, no re-INVITE that waits, or a header field that cannot be sent.
    pub fn accept_reinvite(
        &mut self,
        now: Instant,
        call: CallKey,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        let invite = self.incoming(call)?;
        let request = self.servers.get(invite).and_then(|server| server.request.clone());
        self.send_answer(now, call, invite, &headers, body.as_ref(), true)?;
        let Some(state) = self.calls.get_mut(call) else { return Ok(()) };
        if let Some(modification) = &mut state.modification {
            modification.incoming = None;
        }
        if let Some(dialog) = state.dialog.and_then(|key| self.dialogs.get_mut(key))
            && let Some(request) = request
        {
            dialog.refresh(&request);
        }
        self.withdraw_waiting(call);
        Ok(())
    }

    /// Our own re-INVITE that waits for its repetition after a 491 was made for the session as it
    /// was before: the owner is told to make it anew.
    fn withdraw_waiting(&mut self, call: CallKey) {
        let Some(modification) =
            self.calls.get_mut(call).and_then(|state| state.modification.as_mut())
        else {
            return;
        };
        if let Own::Waiting(timer) = modification.own {
            self.timers.cancel(timer);
            modification.own = Own::Idle;
            modification.queue.pop_front();
            let reason = "Request Pending".to_owned();
            self.event(Event::ReinviteRejected { call, status: 491, reason });
        }
    }

    /// Refuses the peer's re-INVITE with 300 to 699; the session stays as it was.
    ///
    /// # Errors
    /// A stale key, no re-INVITE that waits, another status, or a header field that cannot be sent.
    pub fn reject_reinvite(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        reason: Option<&str>,
        headers: Headers,
    ) -> Result<(), Error> {
        check(&headers, None)?;
        let invite = self.incoming(call)?;
        let code = StatusCode::new(status)
            .filter(|code| code.code() >= 300)
            .ok_or(Error::Status(status))?;
        let reason = reason.unwrap_or_default();
        let bytes = self.call_response(call, invite, code, reason, &headers, None)?;
        self.respond_bytes(now, invite, code, bytes);
        self.incoming_over(now, call);
        Ok(())
    }

    fn incoming_over(&mut self, now: Instant, call: CallKey) {
        if let Some(modification) =
            self.calls.get_mut(call).and_then(|state| state.modification.as_mut())
        {
            modification.incoming = None;
        }
        self.next_reinvite(now, call);
    }

    /// The peer's CANCEL of its re-INVITE.
    pub(crate) fn on_reinvite_cancelled(&mut self, now: Instant, call: CallKey, invite: ServerKey) {
        self.respond_core(now, invite, 487, &[]);
        self.event(Event::ReinviteCancelled { call });
        self.incoming_over(now, call);
    }

    /// The call ends: what is left of its re-INVITEs.
    pub(crate) fn end_modification(&mut self, now: Instant, modification: Modification) {
        match modification.own {
            Own::Running(leg) => self.drop_leg(leg),
            Own::Waiting(timer) => {
                self.timers.cancel(timer);
            }
            Own::Unacknowledged { .. } | Own::Idle => {}
        }
        if let Some(invite) = modification.incoming {
            self.respond_core(now, invite, 487, &[]);
        }
    }
}
