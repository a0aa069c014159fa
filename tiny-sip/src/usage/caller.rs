//! The caller's side of an INVITE (RFC 3261 §13.2, §9.1): forks, answers, CANCEL and its races.

use super::call::{Call, Ending, Phase};
use super::prack::Arrival;
use crate::dialog::{self, Dialog, DialogKey, Parts, Usage};
use crate::endpoint::{
    AccountKey, Body, CallKey, Cause, ClientKey, Contact, Due, EndedBy, Endpoint, Error, Event,
    Fingerprint, Headers, Leg, Outgoing, Owner, Request, Target, check,
};
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use bytes::Bytes;
use std::time::Instant;

impl Endpoint {
    /// Calls somebody. `Progress`, `Answered` and `Ended` tell what becomes of it.
    ///
    /// # Errors
    /// A stale account, a URI or header field that cannot be used, or a limit.
    pub fn invite(
        &mut self,
        now: Instant,
        account: AccountKey,
        outgoing: Outgoing,
    ) -> Result<CallKey, Error> {
        self.invite_as(now, account, outgoing, None)
    }

    /// The same for a conference of ours ([`open_conference`](Self::open_conference)), which Contact
    /// shows with `isfocus` (RFC 4579 §5.2).
    ///
    /// # Errors
    /// As [`invite`](Self::invite).
    pub fn invite_to_conference(
        &mut self,
        now: Instant,
        account: AccountKey,
        outgoing: Outgoing,
        conference: &str,
    ) -> Result<CallKey, Error> {
        self.invite_as(now, account, outgoing, Some(conference))
    }

    fn invite_as(
        &mut self,
        now: Instant,
        account: AccountKey,
        outgoing: Outgoing,
        conference: Option<&str>,
    ) -> Result<CallKey, Error> {
        check(&outgoing.headers, outgoing.body.as_ref())?;
        if self.calls.len() >= self.config.max_calls {
            return Err(Error::Limit("max_calls"));
        }
        self.room()?;
        let phase = Phase::Calling { leg: Leg::None, cancelled: false };
        let call = self.calls.insert(Call::new(Some(account), true, phase));
        let owner = Owner::Invite(call);
        let mut request = match self.out_of_dialog(account, owner, Method::Invite, &outgoing.to) {
            Ok(request) => request,
            Err(error) => {
                self.calls.remove(call);
                return Err(error);
            }
        };
        self.set_focus(call, conference);
        request.contact = Contact::Ours;
        request.headers = outgoing.headers;
        request.session = self.begin_session(call, outgoing.session, &request.headers);
        let ruled = self.set_header_rules(call, outgoing.rules);
        if let Err(error) = ruled {
            self.calls.remove(call);
            return Err(error);
        }
        // "If the time … is reached and no final answer to the INVITE has been received, the UAC
        // core SHOULD generate a CANCEL" (§13.2.1).
        let expires = |(name, value): &(String, String)| {
            let named = HeaderName::parse(name) == HeaderName::Expires;
            named.then(|| crate::header::parse_seconds(value).ok()).flatten()
        };
        if let Some(seconds) = request.headers.iter().find_map(expires) {
            let at = now + std::time::Duration::from_secs(seconds.into());
            self.set_call_timer(call, at, Due::Patience(call));
        }
        self.ask_extensions(&mut request.headers);
        request.body = outgoing.body;
        request.redirects = outgoing.redirects;
        self.start(now, request);
        Ok(call)
    }

    /// Gives the answer to the offer of a 2xx: after `Answered` or `ReinviteAccepted` with
    /// `needs_answer`.
    ///
    /// # Errors
    /// A stale key, or nothing waits for an answer.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        call: CallKey,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&[], body.as_ref())?;
        let Some(state) = self.calls.get_mut(call) else { return Err(Error::Stale("call")) };
        let dialog = state.dialog;
        if let Phase::Unacknowledged { invite, number } = state.phase {
            state.phase = Phase::Established;
            self.ack(now, invite, None, dialog, number, body);
            return Ok(());
        }
        if let Some((invite, number)) = state.modification.as_mut().and_then(|m| m.acknowledged()) {
            self.ack(now, invite, None, dialog, number, body);
            self.next_reinvite(now, call);
            return Ok(());
        }
        Err(Error::State("no answer is awaited"))
    }

    /// A response below 300 to a call's INVITE.
    pub(crate) fn invite_response(
        &mut self,
        now: Instant,
        call: CallKey,
        key: ClientKey,
        status: u16,
        message: &Message,
    ) {
        if status >= 200 {
            return self.invite_accepted(now, call, key, message);
        }
        let Some(state) = self.calls.get_mut(call) else { return };
        if status > 100 {
            state.note_allow(message);
            if !state.is_hanging_up() {
                self.early_dialog(call, key, message);
                let Some(arrival) = self.take_provisional(now, call, key, message) else { return };
                let Arrival { reliable, needs_answer, may_offer } = arrival;
                let response = message.clone();
                self.event(Event::Progress { call, response, reliable, needs_answer, may_offer });
            }
            // Once it runs it is not renewed: a callee repeats its 180 for ever.
            let waits = self.calls.get(call).is_some_and(|state| state.timer.is_some());
            if let Some(patience) = self.config.ring_timeout
                && !waits
            {
                self.set_call_timer(call, now + patience, Due::Patience(call));
            }
        }
        if self.calls.get(call).is_some_and(Call::is_hanging_up) {
            self.cancel(now, call);
        }
    }

    /// §13.2.2.1: each To tag of a provisional response makes an early dialog.
    fn early_dialog(&mut self, call: CallKey, invite: ClientKey, message: &Message) {
        let (local, remote) = dialog::tags(message);
        let print = self.dialog_print(message.call_id().unwrap_or_default(), local, remote);
        let forks = self.calls.get(call).map_or(0, |state| state.forks.len());
        // Without a Contact the dialog could carry no request (§12.1).
        let usable = message.contacts().next().is_some_and(|contact| contact.is_ok());
        if remote.is_empty()
            || !usable
            || forks >= self.config.max_forks
            || self.dialog_index.contains_key(&print)
        {
            return;
        }
        let key = self.dialog_of_response(print, Usage::Call(call), invite, message);
        if let Some(state) = self.calls.get_mut(call) {
            state.forks.push(key);
        }
    }

    /// §12.1.2
    pub(crate) fn dialog_of_response(
        &mut self,
        print: Fingerprint,
        usage: Usage,
        invite: ClientKey,
        message: &Message,
    ) -> DialogKey {
        let request = self.clients.get(invite).and_then(|client| client.request.as_deref());
        let fallback = request.map_or("", |request| &*request.uri);
        let routes = dialog::routes_of_response(message);
        let parts = Parts {
            call_id: message.call_id().unwrap_or_default(),
            local: message.header(HeaderName::From).unwrap_or_default(),
            remote: message.header(HeaderName::To).unwrap_or_default(),
            target: dialog::target_of(message, fallback),
            routes: &routes,
        };
        let mut dialog = Dialog::new(print, usage, &parts);
        dialog.local_cseq = message.cseq().map_or(1, |cseq| cseq.number);
        dialog.peer_session = super::session_id::peer_of(message).unwrap_or_default();
        let way = self.clients.get(invite).map(|c| (c.account, c.flow, c.name.clone()));
        let key = self.dialogs.insert(dialog);
        self.dialog_index.insert(print, key);
        if let Some((account, flow, name)) = way {
            self.note_way(key, flow.transport, name);
            self.keep_flow(key, account, flow);
        }
        key
    }

    /// A 2xx (§13.2.2.4): the first wins; others are acknowledged and ended.
    fn invite_accepted(&mut self, now: Instant, call: CallKey, key: ClientKey, message: &Message) {
        let (local, remote) = dialog::tags(message);
        let print = self.dialog_print(message.call_id().unwrap_or_default(), local, remote);
        let number = message.cseq().map_or(1, |cseq| cseq.number);
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.winner == Some(print) {
            let dialog = self.calls.get(call).and_then(|state| state.dialog);
            if !self.follow_answer(now, key, dialog, message) {
                self.repeat_ack(key);
            }
            return;
        }
        let alive = self.calls.get(call).is_some_and(|c| matches!(c.phase, Phase::Calling { .. }));
        if client.winner.is_some() || !alive {
            return self.stray_accepted(now, key, print, number, message);
        }
        client.winner = Some(print);
        let asked = client.request.as_ref().is_some_and(|request| request.body.is_none());
        let fork = self.dialog_index.get(&print).copied();
        let early = fork.and_then(|key| self.calls.get_mut(call)?.early(key));
        let agreed = early.is_some_and(|early| early.agreed);
        let late = asked && !agreed && !message.body().is_empty();
        self.stop_call_timer(call);
        self.early_over(call);
        self.regained(now, call);
        // The winner's early dialog may have sent requests: numbers go on. The route set is taken
        // anew from the 2xx.
        let early = self.dialog_index.get(&print).and_then(|key| self.dialogs.get(*key));
        let numbers = early.map(|early| (early.local_cseq, early.remote_cseq));
        let forks = match self.calls.get_mut(call) {
            Some(state) => std::mem::take(&mut state.forks),
            None => Vec::new(),
        };
        for fork in forks {
            self.remove_dialog(fork);
        }
        let dialog = self.dialog_of_response(print, Usage::Call(call), key, message);
        if let (Some((local, remote)), Some(dialog)) = (numbers, self.dialogs.get_mut(dialog)) {
            dialog.local_cseq = dialog.local_cseq.max(local);
            dialog.remote_cseq = remote;
        }
        let Some(state) = self.calls.get_mut(call) else { return };
        state.dialog = Some(dialog);
        state.note_allow(message);
        if let Some(modification) = &mut state.modification {
            modification.confirm(fork);
        }
        if let Some(ending) = state.ending.take() {
            // The 2xx crossed our CANCEL (§9.1).
            state.phase = Phase::Established;
            self.ack(now, key, None, Some(dialog), number, None);
            self.bye(now, call, ending.headers);
            return self.end_call(now, call, ending.by, ending.status, ending.reason, None);
        }
        let response = message.clone();
        if late {
            state.phase = Phase::Unacknowledged { invite: key, number };
        } else {
            state.phase = Phase::Established;
            self.ack(now, key, None, Some(dialog), number, None);
        }
        self.session_agreed(now, call, message);
        self.event(Event::Answered { call, response, needs_answer: late });
        self.next_reinvite(now, call);
    }

    /// A repeated 2xx gets its ACK again.
    pub(crate) fn repeat_ack(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get(key)
            && client.acked
        {
            let as_invite = || (client.flow, client.name.clone());
            let (flow, name) = client.ack_flow.as_deref().cloned().unwrap_or_else(as_invite);
            let bytes = client.bytes.clone();
            self.counters.retransmitted += 1;
            self.transmit_to(flow, name, bytes);
        }
    }

    /// A 2xx of a fork that lost, or of a call that is over.
    fn stray_accepted(
        &mut self,
        now: Instant,
        key: ClientKey,
        print: Fingerprint,
        number: u32,
        message: &Message,
    ) {
        let max = self.config.max_forks;
        let Some(client) = self.clients.get_mut(key) else { return };
        if let Some((_, bytes, flow)) = client.strays.iter().find(|stray| stray.0 == print) {
            let (flow, name, bytes) = (*flow, client.name.clone(), bytes.clone());
            if !bytes.is_empty() {
                self.transmit_to(flow, name, bytes);
            }
            return;
        }
        if client.strays.len() >= max {
            return;
        }
        let (account, flow, owner) = (client.account, client.flow, client.owner);
        let stray = client.strays.len() as u32;
        client.strays.push((print, Bytes::new(), flow));
        let dialog = self.dialog_of_response(print, Usage::None, key, message);
        self.ack(now, key, Some(stray), Some(dialog), number, None);
        let Some(call) = self.call_of(owner) else { return };
        if let Some(bye) = self.in_dialog(dialog, Owner::Bye(call), account, Method::Bye) {
            self.start(now, bye);
        }
    }

    /// Sends the CANCEL, or leaves it until a provisional response came (§9.1).
    pub(crate) fn cancel(&mut self, now: Instant, call: CallKey) {
        let leg = self.calls.get(call).map(|state| state.phase);
        let Some(Phase::Calling { leg: Leg::Sent(invite), cancelled: false }) = leg else { return };
        if !self.is_proceeding(invite) {
            return;
        }
        let Some(state) = self.calls.get_mut(call) else { return };
        state.phase = Phase::Calling { leg: Leg::Sent(invite), cancelled: true };
        let headers = state.ending.as_mut().map(|e| std::mem::take(&mut e.headers));
        let Some(mut cancel) = self.cancel_of(call, invite) else { return };
        cancel.headers = headers.unwrap_or_default();
        self.start(now, cancel);
        // "If there is no final response for the original request in 64*T1 seconds … the client
        // SHOULD then consider the original transaction cancelled" (§9.1)
        let at = now + self.config.timers.patience();
        self.set_call_timer(call, at, Due::Patience(call));
    }

    /// The CANCEL of an INVITE that was sent (§9.1).
    pub(crate) fn cancel_of(&self, call: CallKey, invite: ClientKey) -> Option<Box<Request>> {
        let client = self.clients.get(invite)?;
        let request = client.request.as_ref()?;
        let flow = client.flow;
        let mut cancel = Box::new(Request {
            account: client.account,
            method: Method::Cancel,
            uri: request.uri.clone(),
            routes: request.routes.clone(),
            from: request.from.clone(),
            to: request.to.clone(),
            call_id: request.call_id.clone(),
            cseq: request.cseq,
            branch: request.branch,
            session: request.session,
            ..Request::empty(Owner::Cancel(call))
        });
        cancel.targets.push(Target {
            transport: flow.transport,
            addr: flow.remote,
            local: flow.local,
        });
        Some(cancel)
    }

    /// A caller's patience with ringing, or with a cancelled call, is over.
    pub(crate) fn patience_over(&mut self, now: Instant, call: CallKey) {
        let Some(state) = self.calls.get_mut(call) else { return };
        state.timer = None;
        let Phase::Calling { leg, cancelled } = state.phase else { return };
        if self.end_parked(now, call) {
            return;
        }
        let Some(state) = self.calls.get_mut(call) else { return };
        if cancelled {
            if let Leg::Sent(invite) = leg {
                self.remove_client(invite);
            }
            let (status, reason) = self.ending_of(call, None, "no response to CANCEL");
            return self.end_call(now, call, EndedBy::Network, status, reason, None);
        }
        let reason = "nobody answered";
        let (by, status, headers) = (EndedBy::Network, Some(408), Headers::new());
        state.ending = Some(Box::new(Ending { by, status, reason, headers }));
        self.cancel(now, call);
    }

    fn ending_of(
        &self,
        call: CallKey,
        status: Option<u16>,
        reason: &'static str,
    ) -> (Option<u16>, &'static str) {
        match self.calls.get(call).and_then(|state| state.ending.as_ref()) {
            Some(ending) if ending.by == EndedBy::Network => (ending.status, ending.reason),
            _ => (status, reason),
        }
    }

    /// A 3xx–6xx to a call's INVITE that is final for us.
    pub(crate) fn invite_refused(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        message: &Message,
    ) {
        if self.regain_failed(now, call, Some(status)) {
            return;
        }
        let reason = message.reason().to_owned();
        let (by, message) = (EndedBy::Remote, Some(message.clone()));
        match self.ending_of(call, None, "") {
            (Some(status), reason) => self.end_call(now, call, by, Some(status), reason, message),
            _ => self.end_call(now, call, by, Some(status), &reason, message),
        }
    }

    /// A call's INVITE has no final response.
    pub(crate) fn invite_failed(
        &mut self,
        now: Instant,
        call: CallKey,
        cause: Cause,
        reason: &str,
    ) {
        let status = if cause == Cause::Timeout { 408 } else { 503 };
        if self.regain_failed(now, call, Some(status)) {
            return;
        }
        self.end_call(now, call, EndedBy::Network, Some(status), reason, None);
    }
}
