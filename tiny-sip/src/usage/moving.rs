//! Calls across a change of network, ours or the peer's. An INVITE of ours without a final response is
//! begun anew, since its response follows a Via that leads nowhere (RFC 3261 §18.2.2); a running call is
//! refreshed (§12.2); one that rings here goes on ringing. `docs/adr` says why not otherwise.

use super::call::Phase;
use super::regain;
use super::reinvite::{Change, How};
use crate::dialog::{DialogKey, Path};
use crate::endpoint::{
    Body, CallKey, ClientKey, Due, EndedBy, Endpoint, Error, Headers, Leg, Owner, Request,
    ServerKey, with_contact_at,
};
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use crate::writer::text;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, TimerKey, id};

/// How long a new INVITE waits until the old one is cancelled.
const CANCEL_PATIENCE: Duration = Duration::from_secs(4);

/// An INVITE that is to be sent anew.
#[derive(Debug)]
pub(crate) struct Parked {
    request: Box<Request>,
    /// The CANCEL of the old one, as the old one's server knows it.
    cancel: Option<Cancel>,
    /// The owner's word has come.
    ready: bool,
    /// It waits for the registration, whose flow it is to take.
    waits: bool,
    timer: Option<TimerKey>,
}

#[derive(Debug)]
struct Cancel {
    request: Box<Request>,
    flow: Flow,
    bytes: Bytes,
}

impl Endpoint {
    /// Whether a call that we place has lost its INVITE with the old network: it waits for
    /// [`restart`](Self::restart).
    pub fn awaits_restart(&self, call: CallKey) -> bool {
        self.parked.get(&call).is_some_and(|parked| !parked.ready)
    }

    /// Whether the INVITE that [`restart`](Self::restart) is to send carried an offer.
    pub fn offers_at_restart(&self, call: CallKey) -> bool {
        self.parked.get(&call).is_some_and(|parked| parked.request.body.is_some())
    }

    /// Places a call anew from our address of now: the old INVITE is cancelled, then another goes out,
    /// with its own Call-ID and tag and this body.
    ///
    /// # Errors
    /// A stale key, a call that does not wait for it, no network, or a body that cannot be sent.
    pub fn restart(
        &mut self,
        now: Instant,
        call: CallKey,
        body: Option<Body>,
    ) -> Result<(), Error> {
        crate::endpoint::check(&[], body.as_ref())?;
        if self.offline {
            return Err(Error::State("there is no network"));
        }
        let parked = self.parked.get_mut(&call).filter(|parked| !parked.ready);
        let parked = parked.ok_or(Error::State("the call does not wait for a new INVITE"))?;
        parked.request.body = body;
        parked.ready = true;
        match parked.cancel.take() {
            None => self.begin_anew(now, call),
            Some(cancel) => {
                let timer = self.timers.insert(now + CANCEL_PATIENCE, Due::Restart(call));
                if let Some(parked) = self.parked.get_mut(&call) {
                    parked.timer = Some(timer);
                }
                self.send_late_cancel(now, cancel);
            }
        }
        Ok(())
    }

    /// The CANCEL is answered, or was waited for long enough.
    pub(crate) fn begin_anew(&mut self, now: Instant, call: CallKey) {
        let account = self.calls.get(call).and_then(|state| state.account);
        let registering = account.is_some_and(|account| self.is_registering(account));
        let Some(parked) = self.parked.get_mut(&call).filter(|parked| parked.ready) else { return };
        if registering && !std::mem::replace(&mut parked.waits, true) {
            let timer = self.timers.insert(now + regain::PATIENCE, Due::Restart(call));
            if let Some(before) = parked.timer.replace(timer) {
                self.timers.cancel(before);
            }
            return;
        }
        let Some(parked) = self.parked.remove(&call) else { return };
        if let Some(timer) = parked.timer {
            self.timers.cancel(timer);
        }
        let tag = id::tag(&mut self.rng);
        let mut request = parked.request;
        // "MUST be … a globally unique identifier" over space and time (§8.1.1.4): with the old one
        // it would be taken for the same call by another way (§8.2.2.2).
        request.call_id = id::call_id(&mut self.rng).as_str().into();
        if let Some((from, _)) = request.from.rsplit_once(";tag=") {
            request.from = format!("{from};tag={tag}").into();
        }
        request.cseq = 1;
        (request.branch, request.fallback, request.trouble) = (None, None, None);
        (request.next, request.no_switch, request.auth_attempts) = (0, false, 0);
        request.targets.clear();
        request.auth.clear();
        request.challenged.clear();
        if let Some((routes, target @ Some(_))) = account
            .filter(|_| parked.waits)
            .and_then(|account| self.accounts.get(account)?.binding.as_deref()?.way_out())
        {
            // The flow that has just been registered (RFC 5626 §4.3).
            request.routes = routes.into();
            request.targets.extend(target);
        }
        self.start(now, request);
    }

    /// The registration that a new INVITE waits for is made.
    pub(crate) fn unpark(&mut self, now: Instant, call: CallKey) {
        if self.parked.get(&call).is_some_and(|parked| parked.waits) {
            self.begin_anew(now, call);
        }
    }

    /// An INVITE without a final response whose Via leads nowhere any more.
    pub(crate) fn park_invite(&mut self, now: Instant, call: CallKey) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let Phase::Calling { leg, cancelled } = state.phase else { return };
        let parked = match leg {
            Leg::Sent(key) => self.taken_back(key),
            Leg::Pending(query) => self.take_pending(query).map(|request| (request, None)),
            Leg::None => None,
        };
        let Some((request, cancel)) = parked else { return };
        let Some(state) = self.calls.get_mut(call) else { return };
        state.phase = Phase::Calling { leg: Leg::None, cancelled: false };
        let (forks, modification) = (std::mem::take(&mut state.forks), state.modification.take());
        if let Some(modification) = modification {
            if let Some((update, _)) = modification.incoming {
                self.respond_core(now, update, 487, &[]);
            }
            self.end_modification(*modification);
        }
        self.early_over(call);
        for fork in forks {
            self.remove_dialog(fork);
        }
        // One CANCEL is under way already, and goes on by itself.
        let cancel = cancel.filter(|_| !cancelled);
        let parked = Parked { request, cancel, ready: false, waits: false, timer: None };
        self.parked.insert(call, Box::new(parked));
        let ending = self.calls.get(call).and_then(|state| state.ending.as_ref());
        if let Some((by, status, reason)) = ending.map(|e| (e.by, e.status, e.reason)) {
            // Its last word would follow the Via, too.
            self.end_call(now, call, by, status, reason, None);
        }
    }

    /// Takes the request out of its transaction, which ends; and makes its CANCEL, with the Via that
    /// it had (§9.1). That there may be no provisional response yet is no reason to wait: none can
    /// come any more, and where the INVITE never arrived the CANCEL gets a 481.
    fn taken_back(&mut self, key: ClientKey) -> Option<(Box<Request>, Option<Cancel>)> {
        let client = self.clients.get_mut(key)?;
        let (request, flow) = (client.request.take()?, client.flow);
        let Owner::Invite(call) = request.owner else { return None };
        let account = client.account;
        self.remove_client(key);
        let mut cancel = Box::new(Request {
            account,
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
        self.rule_request(&mut cancel);
        let target = crate::endpoint::Target::of(&flow);
        cancel.targets.push(target);
        let branch = request.branch?;
        let bytes = self.compose(&cancel, &target, &target, &branch).ok();
        Some((request, bytes.map(|bytes| Cancel { request: cancel, flow, bytes })))
    }

    fn send_late_cancel(&mut self, now: Instant, cancel: Cancel) {
        let Cancel { request, flow, bytes } = cancel;
        let Some(branch) = request.branch else { return };
        let flow = self.rehomed(flow);
        self.new_client(now, request, flow, bytes, branch.as_str());
    }

    /// A call that waits to be placed anew ends: whoever rings is told.
    pub(crate) fn forget_parked(&mut self, now: Instant, call: CallKey) {
        let Some(parked) = self.parked.remove(&call) else { return };
        if let Some(timer) = parked.timer {
            self.timers.cancel(timer);
        }
        if let Some(cancel) = parked.cancel {
            self.send_late_cancel(now, cancel);
        }
    }

    /// Calls when addresses of ours are gone: INVITEs are parked, changes of running calls given back.
    pub(crate) fn leave(&mut self, now: Instant, gone: impl Fn(&Flow) -> bool) {
        let calls: Vec<CallKey> = self.calls.keys().collect();
        for call in calls {
            let Some(state) = self.calls.get(call) else { continue };
            match state.phase {
                Phase::Calling { leg: Leg::Sent(key), .. } => {
                    if self.clients.get(key).is_some_and(|client| gone(&client.flow)) {
                        self.park_invite(now, call);
                    }
                }
                Phase::Calling { .. } => self.park_invite(now, call),
                _ => {
                    let hop = state.dialog.and_then(|key| self.dialogs.get(key)?.hop);
                    if hop.is_none_or(|hop| gone(&hop.flow())) {
                        self.withdraw_changes(call);
                    }
                }
            }
        }
    }

    /// Responses of calls that wait for something of the peer's go out again with the new Contact, and
    /// a caller that takes UPDATE learns of it while it rings here.
    pub(crate) fn answers_anew(&mut self, now: Instant) {
        let calls: Vec<CallKey> = self.calls.keys().collect();
        for call in calls {
            let Some(state) = self.calls.get(call) else { continue };
            if let Phase::Ringing(invite) = state.phase {
                self.ring_anew(now, call, invite);
                continue;
            }
            let Some(flow) = state.answer.as_ref().map(|answer| answer.flow) else { continue };
            let moved = self.rehomed(flow);
            if moved == flow {
                continue;
            }
            let sent_by = text(self.sent_by(moved.transport, moved.local));
            let Some(answer) = self.calls.get_mut(call).and_then(|s| s.answer.as_mut()) else {
                continue;
            };
            answer.flow = moved;
            answer.moved = Some(now + regain::ACK_PATIENCE);
            if let Some(bytes) = with_contact_at(&answer.bytes, &sent_by) {
                answer.bytes = bytes;
            }
            let bytes = answer.bytes.clone();
            self.counters.retransmitted += 1;
            self.transmit(moved, bytes);
        }
    }

    fn ring_anew(&mut self, now: Instant, call: CallKey, invite: ServerKey) {
        let Some(flow) = self.servers.get(invite).map(|server| server.source()) else { return };
        let sent_by = text(self.sent_by(flow.transport, flow.local));
        if !self.change_provisional(invite, |bytes| with_contact_at(bytes, &sent_by)) {
            return;
        }
        self.repeat_provisional(invite);
        if self.allows_update(call) {
            let change = Change::new(How::Refresh, None, Headers::new(), None);
            let _ = self.queue_change(call, change);
            self.next_reinvite(now, call);
        }
    }

    /// The ACK of a re-INVITE whose 2xx, if there was one, went to an address that is gone: without it
    /// the peer would take no other, and end the call after 32 s (§13.3.1.4). One that has sent none
    /// drops it.
    pub(crate) fn acknowledge_unheard(&mut self, now: Instant, call: CallKey, number: u32) {
        let Some(state) = self.calls.get(call) else { return };
        let (account, Some(dialog)) = (state.account, state.dialog) else { return };
        let before = self.dialogs.get(dialog).map(|dialog| dialog.local_cseq);
        let Some(mut ack) = self.in_dialog(dialog, Owner::Stale(call), account, Method::Ack) else {
            return;
        };
        if let (Some(dialog), Some(before)) = (self.dialogs.get_mut(dialog), before) {
            dialog.local_cseq = before;
        }
        ack.cseq = number;
        self.start(now, ack);
    }

    /// A 491 after we moved may mean that the peer still waits for an ACK that was lost on the way.
    pub(crate) fn acknowledge_again(&mut self, now: Instant, call: CallKey) {
        let patience = self.config.timers.patience();
        if self.moved_at.is_none_or(|at| now > at + patience) {
            return;
        }
        let of_call = |owner| matches!(owner, Owner::Invite(c) | Owner::Reinvite(c) if c == call);
        let acked = self.clients.iter().filter(|(_, c)| of_call(c.owner) && c.acked);
        let acked: Vec<ClientKey> = acked.map(|(key, _)| key).collect();
        acked.into_iter().for_each(|key| self.repeat_ack(key));
    }

    /// Whether a request shows that its sender is elsewhere now.
    pub(crate) fn has_moved(&self, dialog: DialogKey, message: &Message) -> bool {
        let Some(dialog) = self.dialogs.get(dialog) else { return false };
        let (Some(Ok(contact)), Ok(old)) =
            (message.contacts().next(), Uri::parse(dialog.parts().target))
        else {
            return false;
        };
        !contact.uri.host_port().eq_ignore_ascii_case(old.host_port())
    }

    /// The peer has moved while a change of ours was on its way to where it was. Ours is as if it had
    /// met with a 491, and the peer's is taken.
    pub(crate) fn peer_moved(&mut self, now: Instant, call: CallKey) {
        let running = self.calls.get(call).and_then(|state| state.modification.as_ref());
        let Some(key) = running.and_then(|modification| modification.sent()) else { return };
        let Some(client) = self.clients.get_mut(key).filter(|client| client.is_waiting()) else {
            return;
        };
        // Should it have arrived after all, its 2xx is acknowledged.
        client.owner = Owner::Stale(call);
        let Some(request) = &mut client.request else { return };
        let again = request.clone();
        request.owner = Owner::Stale(call);
        self.try_again(call, again, now + self.config.timers.t1);
    }

    /// A 2xx to a change of ours that we gave up.
    pub(crate) fn stale_accepted(
        &mut self,
        now: Instant,
        call: CallKey,
        key: ClientKey,
        message: &Message,
    ) {
        let print = self.prints.of(&["re"]);
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.request.as_ref().is_some_and(|request| request.method != Method::Invite) {
            return;
        }
        if client.winner.replace(print).is_some() {
            return self.repeat_ack(key);
        }
        let dialog = self.calls.get(call).and_then(|state| state.dialog);
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        match dialog {
            Some(_) => self.ack(now, key, None, dialog, number, None),
            None => self.ack_as_sent(now, key),
        }
    }

    /// A 2xx came again, from an address that its sender did not have before: its ACK goes there.
    /// True when it did.
    pub(crate) fn follow_answer(
        &mut self,
        now: Instant,
        key: ClientKey,
        dialog: Option<DialogKey>,
        message: &Message,
    ) -> bool {
        let Some(known) = dialog.filter(|dialog| self.has_moved(*dialog, message)) else {
            return false;
        };
        let Some(client) = self.clients.get(key) else { return false };
        if !client.acked {
            return false;
        }
        let limits = &crate::message::Limits::default();
        let before = Message::parse(client.bytes.clone(), limits).ok();
        let body = before.filter(|ack| !ack.body().is_empty()).map(|ack| {
            let kind = ack.header(HeaderName::ContentType).unwrap_or("application/sdp");
            Body::new(kind.to_owned(), ack.body_bytes())
        });
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        if let Some(dialog) = self.dialogs.get_mut(known) {
            dialog.refresh(message);
        }
        self.ack(now, key, None, dialog, number, body);
        true
    }

    /// The peer's target is another: what waits for an answer from the old one is asked there.
    pub(crate) fn follow_target(&mut self, now: Instant, dialog: DialogKey) {
        let inside = |client: &crate::endpoint::ClientTx| {
            let within = client.request.as_ref().is_some_and(|r| r.dialog == Some(dialog));
            let kept = matches!(
                client.owner,
                Owner::Plain(_)
                    | Owner::Refer(_)
                    | Owner::ReferNotify(_)
                    | Owner::Notify(_)
                    | Owner::Prack(..)
            );
            within && kept && client.is_waiting()
        };
        let all: Vec<ClientKey> =
            self.clients.iter().filter(|(_, c)| inside(c)).map(|(key, _)| key).collect();
        for key in all {
            let Some(mut request) = self.clients.get_mut(key).and_then(|c| c.request.take()) else {
                continue;
            };
            self.remove_client(key);
            let Some(dialog) = self.dialogs.get_mut(dialog) else { continue };
            let Path { uri, routes } = dialog.path();
            (request.uri, request.routes) = (uri, routes);
            request.cseq = dialog.next_cseq();
            (request.branch, request.next, request.fallback) = (None, 0, None);
            request.targets.clear();
            self.start(now, request);
        }
    }

    /// Ends a call that nobody answered and that waits to be placed anew.
    pub(crate) fn end_parked(&mut self, now: Instant, call: CallKey) -> bool {
        let parked = self.parked.contains_key(&call);
        if parked {
            let (by, reason) = (EndedBy::Network, "nobody answered");
            self.end_call(now, call, by, Some(408), reason, None);
        }
        parked
    }
}
