//! Client transactions: the machines of [`crate::transaction`] with their bytes, timers and owners,
//! and the matching of responses to them (RFC 3261 §17.1.3).

use super::auth::Challenged;
use super::fingerprint::Fingerprint;
use super::outgoing::Request;
use super::secagree::Security;
use super::{
    AccountKey, CallKey, Cause, Due, Endpoint, PublicationKey, RequestKey, SubscriptionKey,
    WatcherKey,
};
use crate::header::{HeaderName, NameAddr};
use crate::message::Message;
use crate::method::Method;
use crate::transaction::{Action, Actions, Client, ClientEvent, InviteClient, Timer, TimerSlot};
use crate::writer::Writer;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use tiny_sak::{Flow, TimerKey};

slotmap::new_key_type! {
    /// Names a client transaction.
    pub(crate) struct ClientKey;
}

/// Who wants to know about the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Invite(CallKey),
    Reinvite(CallKey),
    /// An UPDATE (RFC 3311).
    Update(CallKey),
    /// A re-INVITE or UPDATE that was given up because the peer is elsewhere now.
    Stale(CallKey),
    /// The PRACK of a reliable provisional response (RFC 3262).
    /// and whether it has an offer.
    Prack(CallKey, bool),
    /// Nobody but for challenges: the call is over already, or that of a fork which lost goes on.
    Bye(CallKey),
    /// The CANCEL of a call's INVITE.
    Cancel(CallKey),
    /// The ACK of an INVITE transaction's 2xx; of which of its strays, if not of the winner.
    Ack(ClientKey, Option<u32>),
    /// The REGISTER of one of an account's flows.
    Register(AccountKey, u8),
    Plain(RequestKey),
    /// A REFER of ours.
    Refer(CallKey),
    /// A NOTIFY on a REFER of the peer's.
    ReferNotify(CallKey),
    Subscribe(SubscriptionKey),
    Notify(WatcherKey),
    Publish(PublicationKey),
}

#[derive(Debug, Clone, Copy)]
enum Machine {
    Invite(InviteClient),
    Other(Client),
}

/// A client transaction.
#[derive(Debug)]
pub(crate) struct ClientTx {
    machine: Machine,
    print: Fingerprint,
    timers: [Option<TimerKey>; 2],
    pub(crate) owner: Owner,
    pub(crate) account: Option<AccountKey>,
    pub(crate) flow: Flow,
    /// The domain that the next hop must prove to be.
    pub(crate) name: Option<Arc<str>>,
    /// What may have to be sent again: the request, then its ACK.
    pub(crate) bytes: Bytes,
    /// What the request was made of; until the final response, of an INVITE with credentials
    /// longer, because its ACKs need them.
    pub(crate) request: Option<Box<Request>>,
    /// The ACK of a 2xx is sent.
    pub(crate) acked: bool,
    /// Where it went, if not where the INVITE did.
    pub(crate) ack_flow: Option<Box<(Flow, Option<Arc<str>>)>>,
    /// The next-hop URI of an INVITE.
    pub(crate) hop: Option<Box<str>>,
    /// The dialog of the 2xx that won.
    pub(crate) winner: Option<Fingerprint>,
    /// The other dialogs of a fork that answered 2xx, with their ACKs.
    pub(crate) strays: Vec<(Fingerprint, Bytes, Flow)>,
}

impl ClientTx {
    /// It has no final response.
    pub(crate) fn is_waiting(&self) -> bool {
        use crate::transaction::{ClientState as C, InviteClientState as I};
        match self.machine {
            Machine::Invite(machine) => matches!(machine.state(), I::Calling | I::Proceeding),
            Machine::Other(machine) => matches!(machine.state(), C::Trying | C::Proceeding),
        }
    }

    /// Whether a response of this branch and method can be meant: From tag and Call-ID are those of
    /// the request (RFC 3261 §8.2.6.2), and To can be read. What it says goes into a dialog, and from
    /// there into our ACK and BYE.
    fn is_answered_by(&self, response: &Message) -> bool {
        let (Ok(_), Ok(call_id)) = (response.to(), response.call_id()) else { return false };
        let Some(request) = &self.request else { return response.from().is_ok() };
        // Mostly it comes back as it was.
        let same = || {
            let (own, from) = (NameAddr::parse(&request.from), response.from());
            own.is_ok_and(|own| from.is_ok_and(|from| own.tag() == from.tag()))
        };
        *request.call_id == *call_id
            && (response.header(HeaderName::From) == Some(&*request.from) || same())
    }
}

impl Endpoint {
    /// Creates the transaction and sends the request.
    pub(crate) fn new_client(
        &mut self,
        now: Instant,
        request: Box<Request>,
        flow: Flow,
        bytes: Bytes,
        branch: &str,
    ) -> ClientKey {
        let reliable = flow.transport.is_reliable();
        let timers = &self.config.timers;
        let invite = request.method == Method::Invite;
        let (machine, actions) = if invite {
            let (machine, actions) = InviteClient::new(reliable, timers);
            (Machine::Invite(machine), actions)
        } else {
            let (machine, actions) = Client::new(reliable, timers);
            (Machine::Other(machine), actions)
        };
        let hop = invite
            .then(|| crate::dialog::next_hop(&request.uri, &request.routes).into())
            .filter(|_| !matches!(request.owner, Owner::Reinvite(_)));
        let print = self.prints.of(&["c", branch, request.method.as_str()]);
        let name = self.name_for(&request, flow.transport);
        let key = self.clients.insert(ClientTx {
            machine,
            print,
            timers: [None; 2],
            owner: request.owner,
            account: request.account,
            flow,
            name,
            bytes,
            request: Some(request),
            acked: false,
            ack_flow: None,
            hop,
            winner: None,
            strays: Vec::new(),
        });
        self.client_index.insert(print, key);
        self.run_client(now, key, actions, None);
        key
    }

    /// A response: its transaction is that of the top Via's branch and the CSeq's method.
    pub(crate) fn on_response(&mut self, now: Instant, message: Message) {
        let print = match (message.top_via(), message.cseq()) {
            (Ok(via), Ok(cseq)) if via.branch().is_some() => {
                self.prints.of(&["c", via.branch().unwrap_or_default(), cseq.method])
            }
            _ => {
                self.counters.dropped_garbage += 1;
                return;
            }
        };
        let Some(key) = self.client_index.get(&print).copied() else {
            self.counters.dropped_responses += 1;
            return;
        };
        if !self.clients.get(key).is_some_and(|client| client.is_answered_by(&message)) {
            self.counters.dropped_responses += 1;
            return;
        }
        if let Some(client) = self.clients.get(key)
            && let Owner::Register(account, _) = client.owner
        {
            self.learn_address(account, client.flow, &message);
        }
        let status = message.status().map_or(0, |status| status.code());
        self.client_event(now, key, ClientEvent::of_status(status), Some(&message));
    }

    /// What was sent did not arrive, or its connection is gone.
    pub(crate) fn client_lost(&mut self, now: Instant, key: ClientKey, why: &str) {
        if let Some(client) = self.clients.get_mut(key)
            && let Some(request) = &mut client.request
        {
            request.trouble = Some(format!("{}: {why}", client.flow.remote).into());
        }
        self.client_event(now, key, ClientEvent::TransportError, None);
    }

    /// One step of a machine.
    pub(crate) fn client_event(
        &mut self,
        now: Instant,
        key: ClientKey,
        event: ClientEvent,
        message: Option<&Message>,
    ) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if let ClientEvent::Timer(timer) = event {
            client.timers[timer.slot() as usize] = None;
        }
        let timers = &self.config.timers;
        let actions = match &mut client.machine {
            Machine::Invite(machine) => machine.handle(event, timers),
            Machine::Other(machine) => machine.handle(event, timers),
        };
        if let ClientEvent::Timer(Timer::A | Timer::E) = event {
            self.counters.retransmitted += u64::from(!actions.is_empty());
        }
        self.run_client(now, key, actions, message);
    }

    fn run_client(
        &mut self,
        now: Instant,
        key: ClientKey,
        actions: Actions,
        message: Option<&Message>,
    ) {
        // The transaction leaves the tables before its user hears of the end, so that whatever the
        // user does next finds no half-dead transaction.
        let mut orphan = None;
        let over = actions.contains(&Action::Terminate);
        for action in actions {
            let Some(client) = self.clients.get_mut(key) else { break };
            match action {
                Action::Send => {
                    let (flow, name) = (client.flow, client.name.clone());
                    let bytes = client.bytes.clone();
                    self.transmit_to(flow, name, bytes);
                }
                Action::SendAck => {
                    if let Some(message) = message {
                        self.refusal_ack(key, message);
                    }
                }
                Action::Set(timer, after) => self.set_client_timer(key, timer, now + after),
                Action::Stop(slot) => self.stop_client_timer(key, slot),
                Action::Deliver => {
                    if let Some(message) = message {
                        self.deliver(now, key, message);
                    }
                }
                Action::Timeout => {
                    orphan = client.request.take().map(|r| (r, Cause::Timeout, "no response"));
                }
                Action::Failed => {
                    let reason = "the next hop cannot be reached";
                    orphan = client.request.take().map(|r| (r, Cause::Network, reason));
                }
                Action::Terminate | Action::SendTrying => {}
            }
        }
        if over {
            self.remove_client(key);
        }
        if let Some((request, cause, reason)) = orphan {
            // RFC 3263 §4.3: a transport failure or time-out moves on to the next target.
            if let Err(mut request) = self.fail_over(now, request) {
                let trouble = request.trouble.take().filter(|_| cause == Cause::Network);
                self.request_failed(now, request, cause, trouble.as_deref().unwrap_or(reason));
            }
        }
    }

    /// The ACK of a 3xx–6xx (§17.1.1.3): to where the INVITE went, with its branch.
    fn refusal_ack(&mut self, key: ClientKey, message: &Message) {
        let Some(client) = self.clients.get(key) else { return };
        if let Some(request) = &client.request {
            let branch = request.branch.as_ref().map_or("", |branch| branch.as_str());
            let mut w = Writer::request(&Method::Ack, &request.uri)
                .via(
                    client.flow.transport,
                    self.via_host(client.flow.transport, client.flow.local),
                    branch,
                )
                .header(HeaderName::MaxForwards, 70u8);
            if !request.routes.is_empty() {
                w = w.header(HeaderName::Route, &*request.routes);
            }
            w = w
                .header(HeaderName::From, &*request.from)
                // "The To header field in the ACK MUST equal the To … in the response"
                .copy(message, HeaderName::To)
                .header(HeaderName::CallId, &*request.call_id)
                .cseq(request.cseq, &Method::Ack);
            if let Some(session) = self.refusal_session(request, message) {
                w = w.header(HeaderName::SessionId, session);
            }
            for (name, value) in self.rule_refusal_ack(request) {
                w = w.header_named(&name, value);
            }
            let Ok(bytes) = w.finish() else { return };
            if let Some(client) = self.clients.get_mut(key) {
                client.bytes = bytes;
            }
        }
        let Some(client) = self.clients.get(key) else { return };
        let (flow, name, bytes) = (client.flow, client.name.clone(), client.bytes.clone());
        self.transmit_to(flow, name, bytes);
    }

    fn set_client_timer(&mut self, key: ClientKey, timer: Timer, at: Instant) {
        self.stop_client_timer(key, timer.slot());
        let set = self.timers.insert(at, Due::Client(key, timer));
        if let Some(client) = self.clients.get_mut(key) {
            client.timers[timer.slot() as usize] = Some(set);
        }
    }

    fn stop_client_timer(&mut self, key: ClientKey, slot: TimerSlot) {
        if let Some(client) = self.clients.get_mut(key)
            && let Some(timer) = client.timers[slot as usize].take()
        {
            self.timers.cancel(timer);
        }
    }

    /// Ends a transaction without a word to its owner.
    pub(crate) fn remove_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.remove(key) else { return };
        client.timers.into_iter().flatten().for_each(|timer| {
            self.timers.cancel(timer);
        });
        if self.client_index.get(&client.print) == Some(&key) {
            self.client_index.remove(&client.print);
        }
        // Dialogs of forked 2xx live as long as they can be repeated.
        for (print, ..) in client.strays {
            if let Some(dialog) = self.dialog_index.remove(&print) {
                self.dialogs.remove(dialog);
            }
        }
    }

    /// Whether an INVITE has been answered provisionally, so that it may be cancelled (§9.1).
    pub(crate) fn is_proceeding(&self, key: ClientKey) -> bool {
        matches!(
            self.clients.get(key).map(|client| client.machine),
            Some(Machine::Invite(machine))
                if machine.state() == crate::transaction::InviteClientState::Proceeding
        )
    }

    /// A response for the transaction user.
    fn deliver(&mut self, now: Instant, key: ClientKey, message: &Message) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let (owner, account) = (client.owner, client.account);
        let status = message.status().map_or(0, |status| status.code());
        self.show_response(owner, account, message);
        if status < 400 {
            self.learn_response_session(owner, status, message);
        }
        let Some(client) = self.clients.get_mut(key) else { return };
        if status >= 300 {
            // The final response: what the request was made of is free for another attempt.
            let Some(request) = client.request.take() else { return };
            return self.refused(now, key, request, status, message);
        }
        if status >= 200 {
            self.authentication_info(key, message);
        }
        match owner {
            Owner::Invite(call) => self.invite_response(now, call, key, status, message),
            Owner::Reinvite(call) => self.reinvite_response(now, call, key, status, message),
            Owner::Stale(call) if status >= 200 => self.stale_accepted(now, call, key, message),
            Owner::Cancel(call) if status >= 200 => self.begin_anew(now, call),
            Owner::Update(call) if status >= 200 => self.update_accepted(now, call, message),
            Owner::Prack(call, offers) if status >= 200 => {
                let request = self.clients.get(key).and_then(|client| client.request.as_ref());
                let dialog = request.and_then(|request| request.dialog);
                self.prack_answered(now, call, dialog, offers, Some(message));
            }
            Owner::Register(account, flow) if status >= 200 => {
                self.register_accepted(now, account, flow, key, message);
            }
            Owner::Plain(request) if status >= 200 => self.plain_response(now, request, message),
            Owner::Refer(call) if status >= 200 => self.refer_accepted(now, call, message),
            Owner::ReferNotify(call) if status >= 200 => self.refer_notified(now, call, true),
            Owner::Subscribe(key) if status >= 200 => {
                self.subscribe_accepted(now, key, status, message);
            }
            Owner::Notify(key) if status >= 200 => self.notify_over(now, key, None),
            Owner::Publish(key) if status >= 200 => self.publish_accepted(now, key, message),
            _ => {}
        }
        if status >= 200
            && let Some(client) = self.clients.get_mut(key)
            && client.request.as_ref().is_some_and(|request| request.auth.is_empty())
        {
            client.request = None;
            if !matches!(owner, Owner::Invite(_) | Owner::Reinvite(_) | Owner::Stale(_)) {
                client.bytes = Bytes::new();
            }
        }
    }

    /// A 3xx–6xx: credentials, the next target, or the owner's business.
    fn refused(
        &mut self,
        now: Instant,
        key: ClientKey,
        request: Box<Request>,
        status: u16,
        message: &Message,
    ) {
        let owner = request.owner;
        let mut cause = Cause::Peer;
        let mut kept = request;
        let flow = self.clients.get(key).map(|client| client.flow);
        let security = match flow {
            Some(flow) if matches!(status, 401 | 407 | 494) && self.wants_retry(owner) => {
                let secure = flow.transport.is_secure();
                self.take_security(&mut kept, message, flow.remote, secure)
            }
            _ => Security::Unchanged,
        };
        let challenged = match security {
            Security::OverTls if kept.auth_attempts < self.config.max_auth_attempts => {
                let again = self.answered_challenge(kept, Vec::new());
                self.start(now, again);
                return;
            }
            Security::OverTls | Security::Refused => {
                return self.tell_refused(now, kept, status, message, cause);
            }
            Security::Challenge => true,
            Security::Unchanged => matches!(status, 401 | 407),
        };
        if challenged && self.wants_retry(owner) {
            match self.answer_challenge(now, key, kept, message) {
                Challenged::Again(again) => {
                    self.attempt(now, again);
                    return;
                }
                Challenged::Waits => return,
                Challenged::Refused(request) => {
                    kept = request;
                    cause = Cause::Unauthorized;
                }
            }
        } else if status == 422 && self.wants_retry(owner) {
            match self.lengthen_session(kept, message) {
                Ok(again) => {
                    self.attempt(now, again);
                    return;
                }
                Err(request) => kept = request,
            }
        } else if status == 503 && self.wants_retry(owner) {
            // RFC 3263 §4.3: a 503 is a failure of this target.
            if let Some(flow) = self.clients.get(key).map(|client| client.flow) {
                self.note_unavailable(now, flow, message);
            }
            match self.fail_over(now, kept) {
                Ok(()) => return,
                Err(request) => kept = request,
            }
        }
        if matches!(owner, Owner::Bye(_))
            && status == 500
            && kept.auth_attempts < self.config.max_auth_attempts
        {
            // A later request has overtaken it, so it came out of order (§12.2.2): the NOTIFY of a
            // referral that outlives the call. "higher … by more than one. This is not an error", and
            // where the dialog is gone nobody knows how many there were.
            kept.auth_attempts += 1;
            kept.cseq = match kept.dialog.and_then(|key| self.dialogs.get_mut(key)) {
                Some(dialog) => dialog.next_cseq(),
                None => kept.cseq.wrapping_add(1000) & 0x7fff_ffff,
            };
            self.start(now, kept);
            return;
        }
        if let Owner::Invite(call) = owner
            && self.is_redirected(call, &kept, status)
        {
            return self.hold_redirected(call, kept, message);
        }
        if status < 400 || kept.elsewhere.is_some() {
            match self.redirect(now, kept, status, message) {
                Ok(()) => return,
                Err(request) => kept = request,
            }
        }
        self.tell_refused(now, kept, status, message, cause);
    }

    /// Tells the owner of a request that it was refused for good.
    pub(super) fn tell_refused(
        &mut self,
        now: Instant,
        request: Box<Request>,
        status: u16,
        message: &Message,
        cause: Cause,
    ) {
        match request.owner {
            Owner::Invite(call) => self.invite_refused(now, call, status, message),
            Owner::Refer(call) => self.refer_refused(now, call, request.dialog, status, message),
            Owner::ReferNotify(call) => self.refer_notified(now, call, false),
            Owner::Reinvite(call) | Owner::Update(call) => {
                let reason = message.reason();
                self.reinvite_refused(now, call, request, status, reason, Some(message));
            }
            Owner::Prack(call, offers) => {
                self.prack_answered(now, call, request.dialog, offers, Some(message));
            }
            Owner::Register(account, flow) => {
                self.register_refused(now, account, flow, message, cause);
            }
            Owner::Plain(key) => {
                self.plain_refused(now, key, request.dialog, status, message, cause);
            }
            Owner::Subscribe(key) => self.subscribe_refused(now, key, status, message, cause),
            Owner::Notify(key) => self.notify_over(now, key, Some(status)),
            Owner::Publish(key) => self.publish_refused(now, key, status, message, cause),
            Owner::Cancel(call) => self.begin_anew(now, call),
            Owner::Bye(_) | Owner::Stale(_) | Owner::Ack(..) => {}
        }
    }

    /// A caller who has hung up does not try again.
    fn wants_retry(&self, owner: Owner) -> bool {
        match owner {
            Owner::Invite(call) => self.calls.get(call).is_some_and(|call| !call.is_hanging_up()),
            Owner::Cancel(_) | Owner::Stale(_) | Owner::Ack(..) => false,
            _ => true,
        }
    }

    /// A request that has no response.
    pub(crate) fn request_failed(
        &mut self,
        now: Instant,
        request: Box<Request>,
        cause: Cause,
        reason: &str,
    ) {
        let request = match self.redirect_unanswered(now, request, cause) {
            Ok(()) => return,
            Err(request) => request,
        };
        match request.owner {
            Owner::Invite(call) => {
                // Another Contact of the 3xx may answer.
                if self.hold_unanswered(call, request, cause, reason).is_some() {
                    self.invite_failed(now, call, cause, reason);
                }
            }
            Owner::Reinvite(call) | Owner::Update(call) => {
                // §14.1 and §8.1.3.1: no response is a 408, no connection a 503.
                let status = if cause == Cause::Timeout { 408 } else { 503 };
                self.reinvite_refused(now, call, request, status, reason, None);
            }
            Owner::Prack(call, offers) => {
                self.prack_answered(now, call, request.dialog, offers, None);
            }
            Owner::Register(account, flow) => {
                self.register_failed(now, account, flow, cause, reason);
            }
            Owner::Plain(key) => self.plain_failed(now, key, cause, reason),
            Owner::Refer(call) => self.refer_failed(now, call, cause, reason),
            Owner::ReferNotify(call) => self.refer_notified(now, call, false),
            Owner::Subscribe(key) => self.subscribe_failed(now, key, cause, reason),
            Owner::Notify(key) => {
                let status = if cause == Cause::Timeout { 408 } else { 503 };
                self.notify_over(now, key, Some(status));
            }
            Owner::Publish(key) => self.publish_failed(now, key, cause, reason),
            Owner::Cancel(call) => self.begin_anew(now, call),
            Owner::Bye(_) | Owner::Stale(_) | Owner::Ack(..) => {}
        }
    }
}
