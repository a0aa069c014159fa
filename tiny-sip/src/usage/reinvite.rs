//! Changing a session: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311) in both directions, one at a
//! time, with glare. Whatever wants a change, hold or refresh or a new address, waits in one queue.

use super::call::Phase;
use crate::dialog::DialogKey;
use crate::endpoint::{
    Body, CallKey, ClientKey, Due, EndedBy, Endpoint, Error, Event, Headers, Leg, Owner, Purpose,
    Request, ServerKey, check,
};
use crate::message::Message;
use crate::method::Method;
use crate::status::StatusCode;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tiny_sak::TimerKey;

/// A change of the session that waits its turn.
#[derive(Debug)]
pub(crate) struct Change {
    how: How,
    /// The early dialog that it is for; `None` for the call's.
    fork: Option<DialogKey>,
    headers: Headers,
    body: Option<Body>,
    /// How often the peer has put it off.
    tries: u8,
}

/// How a change goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum How {
    /// A re-INVITE.
    #[default]
    Invite,
    /// An UPDATE (RFC 3311).
    Update,
    /// The endpoint's own UPDATE that keeps the session alive (RFC 4028).
    Refresh,
}

/// What is going on with re-INVITEs and UPDATEs.
#[derive(Debug, Default)]
pub(crate) struct Modification {
    own: Own,
    /// Of what is sent or waits.
    how: How,
    fork: Option<DialogKey>,
    /// It has an offer, or asks for one.
    offering: bool,
    tries: u8,
    /// The number of a re-INVITE whose response went to an address that is gone.
    unheard: Option<u32>,
    /// The peer's, while it has no final response, and the dialog it came in.
    pub(crate) incoming: Option<(ServerKey, DialogKey)>,
    queue: VecDeque<Change>,
}

#[derive(Debug, Default)]
enum Own {
    #[default]
    Idle,
    /// Sent.
    Running(Leg),
    /// Refused with 491, or 500 and Retry-After: to be sent again.
    Waiting(TimerKey),
    /// Accepted with an offer; the ACK waits for the answer.
    Unacknowledged { invite: ClientKey, number: u32 },
}

impl Change {
    pub(crate) fn new(
        how: How,
        fork: Option<DialogKey>,
        headers: Headers,
        body: Option<Body>,
    ) -> Self {
        Self { how, fork, headers, body, tries: 0 }
    }
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

    /// What ran is over.
    pub(crate) fn finish(&mut self) -> (How, Option<DialogKey>) {
        self.own = Own::Idle;
        (self.how, self.fork.take())
    }

    /// An offer of ours is out, or the peer's is asked for.
    pub(crate) fn is_offering(&self) -> bool {
        match self.own {
            Own::Running(_) => self.offering,
            Own::Unacknowledged { .. } => true,
            Own::Idle | Own::Waiting(_) => false,
        }
    }

    /// An offer is under way in either direction.
    pub(crate) fn is_negotiating(&self) -> bool {
        self.incoming.is_some() || self.is_offering()
    }

    /// A fork has won: what was meant for it is now meant for the call's dialog.
    pub(crate) fn confirm(&mut self, winner: Option<DialogKey>) {
        for fork in self.queue.iter_mut().map(|c| &mut c.fork).chain([&mut self.fork]) {
            fork.take_if(|fork| Some(*fork) == winner);
        }
    }

    fn is_over(&self) -> bool {
        let idle = matches!(self.own, Own::Idle) && self.unheard.is_none();
        idle && self.incoming.is_none() && self.queue.is_empty()
    }

    /// The transaction of what is sent.
    pub(crate) fn sent(&self) -> Option<ClientKey> {
        match self.own {
            Own::Running(Leg::Sent(key)) => Some(key),
            _ => None,
        }
    }
}

impl Endpoint {
    /// Offers a change of the session (no body: asks the peer for an offer). One runs at a time,
    /// others wait their turn; a 491 is tried again after the time of §14.1.
    ///
    /// One that is asked for between our 2xx and its ACK goes out after the ACK.
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
        let Some(state) = self.calls.get_mut(call) else { return Err(Error::Stale("call")) };
        if !matches!(state.phase, Phase::Established | Phase::Answered) || state.ending.is_some() {
            return Err(Error::State("the call is not established"));
        }
        self.queue_change(call, Change::new(How::Invite, None, headers, body))?;
        self.next_reinvite(now, call);
        Ok(())
    }

    /// Puts a change behind the others.
    pub(crate) fn queue_change(&mut self, call: CallKey, change: Change) -> Result<(), Error> {
        let max = self.config.max_queued_reinvites;
        let Some(state) = self.calls.get_mut(call) else { return Err(Error::Stale("call")) };
        let modification = state.modification.get_or_insert_default();
        if modification.queue.len() >= max {
            return Err(Error::Limit("max_queued_reinvites"));
        }
        modification.queue.push_back(change);
        Ok(())
    }

    /// §14.1: no INVITE while another one is in progress in either direction.
    pub(crate) fn next_reinvite(&mut self, now: Instant, call: CallKey) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let (account, dialog) = (state.account, state.dialog);
        // Our 2xx waits for its ACK.
        let busy = state.answer.is_some() || state.phase == Phase::Answered;
        let Some(modification) = &mut state.modification else { return };
        if modification.is_over() {
            state.modification = None;
            return;
        }
        let idle = matches!(modification.own, Own::Idle);
        if self.offline || busy || modification.incoming.is_some() || !idle {
            return;
        }
        let Some(change) = modification.queue.front() else { return };
        let early = change.fork.or(dialog).or(state.forks.first().copied());
        if state.extras.is_some() && early.is_some_and(|early| state.is_pracking(early)) {
            return;
        }
        let Some(modification) = &mut state.modification else { return };
        let Some(change) = modification.queue.pop_front() else { return };
        modification.own = Own::Running(Leg::None);
        (modification.how, modification.fork) = (change.how, change.fork);
        modification.offering = change.body.is_some() || change.how == How::Invite;
        modification.tries = change.tries;
        let dialog = change.fork.or(dialog).or(state.forks.first().copied());
        if let Some(number) = modification.unheard {
            self.acknowledge_unheard(now, call, number);
        }
        let (owner, method) = match change.how {
            How::Invite => (Owner::Reinvite(call), Method::Invite),
            How::Update | How::Refresh => (Owner::Update(call), Method::Update),
        };
        let request = dialog.and_then(|dialog| self.in_dialog(dialog, owner, account, method));
        let Some(mut request) = request else {
            // Its early dialog is gone.
            let reason = "Call/Transaction Does Not Exist";
            return self.reinvite_over(now, call, 481, reason, None);
        };
        request.headers = change.headers;
        self.ask_session(call, &mut request.headers);
        request.body = change.body;
        self.start(now, request);
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
            let dialog = self.calls.get(call).and_then(|state| state.dialog);
            if !self.follow_answer(now, key, dialog, message) {
                self.repeat_ack(key);
            }
            return;
        }
        let Some(state) = self.calls.get_mut(call) else {
            // The call ended meanwhile; the 2xx must be acknowledged all the same.
            return self.ack_as_sent(now, key);
        };
        let dialog = state.dialog;
        state.note_allow(message);
        let late = client.request.as_ref().is_some_and(|request| request.body.is_none())
            && !message.body().is_empty();
        if let Some(modification) = &mut state.modification {
            modification.own = match late {
                true => Own::Unacknowledged { invite: key, number },
                false => Own::Idle,
            };
            modification.unheard = None;
        }
        if let Some(dialog) = dialog.and_then(|key| self.dialogs.get_mut(key)) {
            dialog.refresh(message);
        }
        self.session_agreed(now, call, message);
        if !late {
            self.ack(now, key, None, dialog, number, None);
        }
        let response = message.clone();
        self.event(Event::ReinviteAccepted { call, response, needs_answer: late });
        self.next_reinvite(now, call);
    }

    /// The ACK of a re-INVITE whose dialog is gone: by the way of the re-INVITE itself.
    pub(crate) fn ack_as_sent(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        let Some(request) = &client.request else { return };
        let mut ack = Request {
            owner: Owner::Ack(key, None),
            method: Method::Ack,
            dialog: None,
            headers: Headers::new(),
            ruled: Headers::new(),
            body: None,
            ..(**request).clone()
        };
        self.rule_request(&mut ack);
        self.attempt(now, Box::new(ack));
    }

    /// Our re-INVITE or UPDATE was refused, or got no response.
    pub(crate) fn reinvite_refused(
        &mut self,
        now: Instant,
        call: CallKey,
        request: Box<Request>,
        status: u16,
        reason: &str,
        response: Option<&Message>,
    ) {
        let pause = response.and_then(|response| response.retry_after()?.ok()?.seconds.into());
        let max = self.config.max_modification_retries;
        let Some(state) = self.calls.get_mut(call) else { return };
        let (caller, established) = (state.caller, state.phase == Phase::Established);
        let Some(modification) = &mut state.modification else { return };
        let again = modification.tries < max;
        match (status, pause) {
            (491, _) if again => {
                // §14.1: the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, both in
                // units of 10 ms.
                self.acknowledge_again(now, call);
                let tens = match caller {
                    true => 210 + self.rng.below(191),
                    false => self.rng.below(201),
                };
                self.try_again(call, request, now + Duration::from_millis(10 * tens));
            }
            // The peer has an offer of ours still to answer (RFC 3311 §5.2, RFC 3261 §14.2): it
            // says 0 to 10 s. A longer pause is no glare.
            (500, Some(seconds @ 0..=32)) if again => {
                self.try_again(call, request, now + Duration::from_secs(seconds.into()));
            }
            (405 | 501, _) if established && request.method == Method::Update => {
                state.allows_update = false;
                let (how, _) = modification.finish();
                if how == How::Refresh {
                    self.event(Event::RefreshDue { call });
                } else {
                    let mut headers = request.headers;
                    Self::forget_session(&mut headers);
                    let change = Change::new(How::Invite, None, headers, request.body);
                    modification.queue.push_front(change);
                }
                self.next_reinvite(now, call);
            }
            // §12.2.1.2: the peer knows the dialog no more, or is gone. (That of a branch that lost
            // is none of the call's.)
            (408 | 481, _) if established && modification.fork.is_none() => {
                modification.own = Own::Idle;
                self.bye(now, call, Headers::new());
                let by = if status == 408 { EndedBy::Network } else { EndedBy::Remote };
                self.end_call(now, call, by, Some(status), reason, None);
            }
            _ => self.reinvite_over(now, call, status, reason, response),
        }
    }

    /// A change is refused for good.
    fn reinvite_over(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        reason: &str,
        response: Option<&Message>,
    ) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let Some(modification) = &mut state.modification else { return };
        match modification.finish().0 {
            // The other way to keep the session alive.
            How::Refresh => self.event(Event::RefreshDue { call }),
            How::Invite | How::Update => {
                let (reason, response) = (reason.to_owned(), response.cloned());
                self.event(Event::ReinviteRejected { call, status, reason, response });
            }
        }
        self.next_reinvite(now, call);
        self.answer_held(now, call);
    }

    pub(crate) fn try_again(&mut self, call: CallKey, request: Box<Request>, at: Instant) {
        let timer = self.timers.insert(at, Due::Glare(call));
        let Some(modification) =
            self.calls.get_mut(call).and_then(|state| state.modification.as_mut())
        else {
            return;
        };
        modification.own = Own::Waiting(timer);
        let mut headers = request.headers;
        Self::forget_session(&mut headers);
        modification.queue.push_front(Change {
            how: modification.how,
            fork: modification.fork,
            headers,
            body: request.body,
            tries: modification.tries + 1,
        });
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
        state.note_allow(&request);
        let Some(dialog) = state.dialog else { return };
        match state.phase {
            // "a second INVITE before it sends the final response to a first INVITE with a lower
            // CSeq … MUST return a 500 … and MUST include a Retry-After"
            Phase::Ringing(_) => return self.put_off(now, key),
            Phase::Calling { .. } | Phase::Unacknowledged { .. } | Phase::Answered => {
                return self.respond_core(now, key, 491, &[]);
            }
            Phase::Established => {}
        }
        if state.answer.is_some() {
            return self.respond_core(now, key, 491, &[]);
        }
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
            server.purpose = Purpose::Reinvite(call);
        }
        self.event(Event::Reinvite { call, request });
    }

    fn incoming(&self, call: CallKey) -> Result<(ServerKey, DialogKey), Error> {
        let state = self.calls.get(call).ok_or(Error::Stale("call"))?;
        let incoming = state.modification.as_ref().and_then(|m| m.incoming);
        incoming.ok_or(Error::State("no re-INVITE waits for an answer"))
    }

    /// Takes the peer's re-INVITE, UPDATE or offer in a PRACK; `ReinviteConfirmed` follows with the
    /// ACK of a re-INVITE. An own re-INVITE that
    /// waits after a 491 is withdrawn: `ReinviteRejected` with 491 asks for a new one, since its
    /// offer was made before this change; the new one waits for the rest of the pause (§14.1).
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
        let (key, dialog) = self.incoming(call)?;
        let request = self.servers.get(key).and_then(|server| server.request.clone());
        let method = request.as_ref().and_then(Message::method);
        let invite = method == Some(&Method::Invite);
        let refreshes = method != Some(&Method::Prack);
        if invite {
            self.send_answer(now, call, key, &headers, body.as_ref(), true)?;
        } else {
            let mut all = headers;
            if let Some(request) = request.as_ref().filter(|_| refreshes) {
                all.extend(self.grant_session(now, call, request));
            }
            self.answer_update(now, key, call, &all, body.as_ref())?;
        }
        let Some(state) = self.calls.get_mut(call) else { return Ok(()) };
        if let Some(modification) = &mut state.modification {
            modification.incoming = None;
        }
        if let Some(request) = request.filter(|_| refreshes) {
            let moved = self.has_moved(dialog, &request);
            if let Some(dialog) = self.dialogs.get_mut(dialog) {
                dialog.refresh(&request);
            }
            if moved {
                self.follow_target(now, dialog);
            }
        }
        self.withdraw_waiting(call);
        if !invite {
            self.next_reinvite(now, call);
            self.answer_held(now, call);
        }
        Ok(())
    }

    /// Changes of ours on a network that is gone: whoever made them is told to make them anew.
    pub(crate) fn withdraw_changes(&mut self, call: CallKey) {
        let Some(modification) =
            self.calls.get_mut(call).and_then(|state| state.modification.as_mut())
        else {
            return;
        };
        let mut told = modification.queue.drain(..).filter(|c| c.how != How::Refresh).count();
        let (own, how) = (std::mem::take(&mut modification.own), modification.how);
        match own {
            Own::Running(leg) => {
                told += usize::from(how != How::Refresh);
                let sent = match leg {
                    Leg::Sent(key) => self.clients.get(key).map(|client| (key, client)),
                    _ => None,
                };
                let number = sent.and_then(|(_, c)| c.request.as_ref().map(|r| r.cseq));
                if let Some(key) = sent.map(|(key, _)| key) {
                    self.remove_client(key);
                }
                self.drop_leg(leg);
                if let Some(modification) =
                    self.calls.get_mut(call).and_then(|state| state.modification.as_mut())
                    && how == How::Invite
                {
                    modification.unheard = number.or(modification.unheard);
                }
            }
            // It was in the queue.
            Own::Waiting(timer) => {
                self.timers.cancel(timer);
            }
            own @ (Own::Unacknowledged { .. } | Own::Idle) => modification.own = own,
        }
        for _ in 0..told {
            let (reason, response) = ("Request Pending".to_owned(), None);
            self.event(Event::ReinviteRejected { call, status: 491, reason, response });
        }
    }

    /// Our own re-INVITE that waits for its repetition after a 491 was made for the session as it
    /// was before: the owner is told to make it anew.
    fn withdraw_waiting(&mut self, call: CallKey) {
        let Some(modification) =
            self.calls.get_mut(call).and_then(|state| state.modification.as_mut())
        else {
            return;
        };
        // The pause goes on: §14.1 wants nothing of ours before it is over.
        if let Own::Waiting(_) = modification.own
            && let Some(change) = modification.queue.pop_front()
        {
            // The peer's change has kept the session alive as well.
            if change.how != How::Refresh {
                let reason = "Request Pending".to_owned();
                let response = None;
                self.event(Event::ReinviteRejected { call, status: 491, reason, response });
            }
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
        let (invite, _) = self.incoming(call)?;
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
        self.answer_held(now, call);
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
        if let Some((invite, _)) = modification.incoming {
            self.respond_core(now, invite, 487, &[]);
        }
    }
}
