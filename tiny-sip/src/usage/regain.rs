//! A call that came in and whose caller our answer does not reach any more: the connection or the flow of
//! RFC 5626 that its INVITE came by is dead. The caller is called from where we are now, by an INVITE with
//! Replaces that names the dialog it began (RFC 3891 §4): it accepts that one and lets go of its own (§3).
//! For the owner it stays one call. Whoever does not say that it knows Replaces is never called so.

use super::call::Phase;
use crate::dialog::DialogKey;
use crate::endpoint::{
    AccountKey, Body, CallKey, ClientKey, Contact, Due, EndedBy, Endpoint, Error, Event, Headers,
    Leg, Owner, ServerKey, check,
};
use crate::header::{HeaderName as H, NameAddr, Replaces};
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, TimerKey};

/// How long a registration, or the first response of the caller, is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);
/// The same of the ACK of a 2xx: three repetitions.
pub(crate) const ACK_PATIENCE: Duration = Duration::from_secs(3);

/// A call whose caller is being called.
#[derive(Debug)]
pub(crate) struct Regain {
    /// The dialog that is to be replaced, and its INVITE while that has no final response.
    old: DialogKey,
    invite: Option<ServerKey>,
    /// What the new INVITE carries.
    headers: Headers,
    body: Option<Body>,
    next: Option<Step>,
    timer: Option<TimerKey>,
}

/// Where the INVITE goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// To the Contact of the caller, when the account is registered: "implementations SHOULD only
    /// address replacement requests … to the SIP Contact URI of the target" (§4).
    Contact,
    /// To its address of record: where the Contact is no name that others reach.
    Record,
}

impl Endpoint {
    /// Whether the answer to a call that rings here has no way to its caller, who can be
    /// [called](Self::regain) instead.
    pub fn is_cut_off(&self, call: CallKey) -> bool {
        let Some(state) = self.calls.get(call) else { return false };
        let Phase::Ringing(invite) = state.phase else { return false };
        state.account.is_some()
            && self.servers.get(invite).is_some_and(|server| {
                server.lost
                    && server.has_early_dialog()
                    && server.request.as_ref().is_some_and(knows)
            })
    }

    /// Calls the caller of a call that [is cut off](Self::is_cut_off), or that [`Event::AnswerLost`]
    /// told of, with this offer; `Answered` or `Ended` follows, as for a call of ours.
    ///
    /// # Errors
    /// A stale key, a call that is up or that we placed, one without an account, or a header field that
    /// cannot be sent.
    pub fn regain(
        &mut self,
        now: Instant,
        call: CallKey,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        let state = self.calls.get_mut(call).ok_or(Error::Stale("call"))?;
        let (Some(_), Some(old)) = (state.account, state.dialog) else {
            return Err(Error::State("the call belongs to no account"));
        };
        let invite = match state.phase {
            Phase::Ringing(invite) => Some(invite),
            Phase::Answered => None,
            _ => return Err(Error::State("the call does not wait for its caller")),
        };
        state.phase = Phase::Calling { leg: Leg::None, cancelled: false };
        state.answer = None;
        let modification = state.modification.take();
        self.stop_call_timer(call);
        self.provisionals_over(call);
        self.early_over(call);
        if let Some(modification) = modification {
            self.end_modification(*modification);
        }
        if let Some(invite) = invite {
            self.rings_no_more(invite);
        }
        let (next, timer) = (Some(Step::Contact), None);
        let regain = Regain { old, invite, headers, body, next, timer };
        self.regains.insert(call, Box::new(regain));
        match self.calls.get(call).and_then(|state| state.account) {
            Some(account) if self.is_registering(account) => self.regain_waits(now, call),
            _ => self.regain_step(now, call),
        }
        Ok(())
    }

    fn regain_waits(&mut self, now: Instant, call: CallKey) {
        let timer = self.timers.insert(now + PATIENCE, Due::Regain(call));
        let Some(regain) = self.regains.get_mut(&call) else { return };
        if let Some(before) = regain.timer.replace(timer) {
            self.timers.cancel(before);
        }
    }

    /// A registration is being made anew, and none is in force: requests have no flow yet.
    pub(crate) fn is_registering(&self, account: AccountKey) -> bool {
        let binding = self.accounts.get(account).and_then(|state| state.binding.as_ref());
        binding.is_some_and(|binding| {
            binding.wanted
                && binding.flows.iter().all(|flow| flow.flow.is_none())
                && binding.flows.iter().any(|flow| flow.running)
        })
    }

    /// An account is registered: calls that wait for it go out.
    pub(crate) fn registered_again(&mut self, now: Instant, account: AccountKey) {
        if self.regains.is_empty() && self.parked.is_empty() {
            return;
        }
        let of_account = |call: &CallKey| {
            self.calls.get(*call).is_some_and(|state| state.account == Some(account))
        };
        let waits = self.regains.iter().filter(|(_, regain)| regain.next == Some(Step::Contact));
        let waits: Vec<CallKey> = waits.map(|(call, _)| *call).filter(of_account).collect();
        let parked: Vec<CallKey> = self.parked.keys().copied().filter(of_account).collect();
        waits.into_iter().for_each(|call| self.regain_step(now, call));
        parked.into_iter().for_each(|call| self.unpark(now, call));
    }

    /// A registration has come too late, or the caller's Contact does not answer.
    pub(crate) fn regain_due(&mut self, now: Instant, call: CallKey) {
        let Some(regain) = self.regains.get_mut(&call) else { return };
        regain.timer = None;
        let Some(state) = self.calls.get(call) else { return };
        let Phase::Calling { leg, cancelled: false } = state.phase else { return };
        // Only a proxy's 100 came, if anything.
        let silent = state.forks.is_empty();
        match leg {
            Leg::Sent(key) if silent && self.has_next(call) => {
                self.give_up(now, call, key);
                self.regain_step(now, call);
            }
            Leg::Sent(_) => {}
            Leg::Pending(_) => {}
            Leg::None => self.regain_step(now, call),
        }
    }

    /// An INVITE that nobody answers: cancelled where somebody has it, and forgotten.
    fn give_up(&mut self, now: Instant, call: CallKey, key: ClientKey) {
        let cancel = self.cancel_of(call, key).filter(|_| self.is_proceeding(key));
        let Some(cancel) = cancel else { return self.remove_client(key) };
        if let Some(client) = self.clients.get_mut(key) {
            client.owner = Owner::Stale(call);
            if let Some(request) = &mut client.request {
                request.owner = Owner::Stale(call);
            }
        }
        self.start(now, cancel);
    }

    fn has_next(&self, call: CallKey) -> bool {
        self.regains.get(&call).is_some_and(|regain| regain.next.is_some())
    }

    /// Sends the INVITE of the next step; the last one that cannot be sent ends the call.
    fn regain_step(&mut self, now: Instant, call: CallKey) {
        let Some(account) = self.calls.get(call).and_then(|state| state.account) else { return };
        let Some(regain) = self.regains.get_mut(&call) else { return };
        let Some(step) = regain.next.take() else { return };
        if let Some(timer) = regain.timer.take() {
            self.timers.cancel(timer);
        }
        let early_only = regain.invite.is_some();
        let (headers, body) = (regain.headers.clone(), regain.body.clone());
        let Some(parts) = self.dialogs.get(regain.old).map(|dialog| dialog.parts()) else { return };
        let (Ok(local), Ok(remote)) = (NameAddr::parse(parts.local), NameAddr::parse(parts.remote))
        else {
            self.regain_failed(now, call, None);
            return;
        };
        let replaces = Replaces {
            call_id: parts.call_id,
            to_tag: remote.tag().unwrap_or("0"),
            from_tag: local.tag().unwrap_or("0"),
            early_only,
        };
        let replaces = replaces.to_string();
        let record = remote.uri.without_headers().to_owned();
        let contact = parts.target.to_owned();
        let to = match step {
            Step::Contact => contact.clone(),
            Step::Record => record.clone(),
        };
        let same = match (Uri::parse(&record), Uri::parse(&contact)) {
            (Ok(record), Ok(contact)) => record.is_equivalent(&contact) || !record.is_sip(),
            _ => true,
        };
        if step == Step::Contact && !same {
            if let Some(regain) = self.regains.get_mut(&call) {
                regain.next = Some(Step::Record);
            }
            self.regain_waits(now, call);
        }
        let owner = Owner::Invite(call);
        let Ok(mut request) = self.out_of_dialog(account, owner, Method::Invite, &to) else {
            self.regain_failed(now, call, None);
            return;
        };
        request.to = format!("<{record}>").into();
        request.contact = Contact::Ours;
        request.headers = headers;
        let mut add = |name: H, value: &str| {
            request.headers.push((name.as_str().to_owned(), value.to_owned()));
        };
        add(H::Require, "replaces");
        add(H::Replaces, &replaces);
        self.ask_extensions(&mut request.headers);
        request.body = body;
        self.start(now, request);
    }

    /// The INVITE was refused or has no answer. False where the call is not one of these; else it goes
    /// to the next address, or has ended.
    pub(crate) fn regain_failed(
        &mut self,
        now: Instant,
        call: CallKey,
        status: Option<u16>,
    ) -> bool {
        let wanted = self.calls.get(call).is_some_and(|state| !state.is_hanging_up());
        if !wanted || !self.regains.contains_key(&call) {
            return false;
        }
        // Who has spoken knows the dialog and does not want it replaced, or has ended it.
        let said = matches!(status, Some(401 | 403 | 407 | 420 | 481 | 486 | 487 | 488 | 603));
        if self.has_next(call) && !said {
            if let Some(state) = self.calls.get_mut(call) {
                state.set_leg(Leg::None);
            }
            self.regain_step(now, call);
            return true;
        }
        let gone = matches!(status, Some(481 | 486 | 487 | 603));
        let (by, reason) = match gone {
            true => (EndedBy::Remote, "the caller is gone"),
            false => (EndedBy::Network, "the caller cannot be reached from the new network"),
        };
        self.end_call(now, call, by, status, reason, None);
        true
    }

    /// The caller has taken the new call: the old dialog is its to end, and here it is over.
    pub(crate) fn regained(&mut self, now: Instant, call: CallKey) {
        let Some(regain) = self.regains.remove(&call) else { return };
        if let Some(timer) = regain.timer {
            self.timers.cancel(timer);
        }
        if let Some(invite) = regain.invite {
            self.respond_core(now, invite, 487, &[]);
        }
        self.remove_dialog(regain.old);
        if let Some(state) = self.calls.get_mut(call) {
            // The Call-ID of the dialog is ours now.
            state.caller = true;
        }
    }

    /// The call has ended before the caller took it.
    pub(crate) fn regain_over(&mut self, now: Instant, call: CallKey) {
        let Some(regain) = self.regains.remove(&call) else { return };
        if let Some(timer) = regain.timer {
            self.timers.cancel(timer);
        }
        match regain.invite {
            Some(invite) => self.respond_core(now, invite, 480, &[]),
            // Should our 2xx have arrived, the caller is not to go on alone.
            None => {
                let bye = self.in_dialog(regain.old, Owner::Bye(call), None, Method::Bye);
                if let Some(bye) = bye {
                    self.start(now, bye);
                }
            }
        }
    }

    /// A connection could not be opened: answers have no other way than that.
    pub(crate) fn ways_lost(&mut self, flow: Flow) {
        let same = |other: &Flow| other.transport == flow.transport && other.remote == flow.remote;
        let answers: Vec<ServerKey> = self
            .servers
            .iter()
            .filter(|(_, server)| same(&server.flow))
            .filter(|(_, server)| {
                let back = |request| self.way_back_without_connection(request, flow);
                server.request.as_ref().is_some_and(|request| same(&back(request)))
            })
            .map(|(key, _)| key)
            .collect();
        for key in answers {
            if let Some(server) = self.servers.get_mut(key) {
                server.lost = true;
            }
        }
        let answered = |(_, state): &(CallKey, &super::call::Call)| {
            state.answer.as_ref().is_some_and(|answer| same(&answer.flow))
        };
        let calls: Vec<CallKey> = self.calls.iter().filter(answered).map(|(key, _)| key).collect();
        calls.into_iter().for_each(|call| self.answer_lost(call));
    }

    /// A 2xx did not arrive, or its ACK did not: the owner is asked for an offer, once.
    pub(crate) fn answer_lost(&mut self, call: CallKey) {
        let Some(state) = self.calls.get_mut(call).filter(|state| state.account.is_some()) else {
            return;
        };
        let hanging_up = state.is_hanging_up();
        let Some(answer) = state.answer.as_mut().filter(|answer| !answer.reinvite) else { return };
        if !hanging_up && std::mem::take(&mut answer.replaceable) {
            self.event(Event::AnswerLost { call });
        }
    }
}

/// Whether the sender of an INVITE says that it knows Replaces.
pub(crate) fn knows(invite: &Message) -> bool {
    invite.list(H::Supported).any(|tag| tag.eq_ignore_ascii_case("replaces"))
}
