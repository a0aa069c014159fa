//! Calls and requests that come in.

use super::entry::CallEntry;
use super::warnings::Refused;
use super::{Core, session, trickle};
use crate::command::Headers;
use crate::event::CallEvent;
use crate::identity::CallerIdentity;
use crate::media::MediaPlane;
use crate::policy::{JoinPolicy, LateOfferPolicy};
use crate::{AccountId, DtmfMode, Error, IncomingCall, Party, SipMessage};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Transport};
use tiny_sdp::QosTable;
use tiny_sip::{CallKey, Method, Related, ServerKey};

/// A sentence as a reason phrase: one line, and none of the peer's octets beyond ASCII.
pub(super) fn phrase(what: &impl ToString) -> String {
    what.to_string().chars().filter(|c| (' '..='~').contains(c)).take(200).collect()
}

/// With 503: when to come back, in seconds (RFC 3261 §20.33).
pub(super) fn retry_later(status: u16) -> Headers {
    let wanted = (status == 503).then(|| ("Retry-After".to_owned(), "10".to_owned()));
    wanted.into_iter().collect()
}

impl<P: MediaPlane> Core<P> {
    /// A call whose caller was looked at.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        key: CallKey,
        request: SipMessage,
        flow: Flow,
        identity: CallerIdentity,
    ) {
        let related = self.endpoint.related_to(key);
        let account = self.endpoint.account_for(&request);
        let policy = account.and_then(|account| self.policy_of(account));
        let joins = policy.is_some_and(|policy| policy.joins != JoinPolicy::Refuse);
        if matches!(related, Some(Related::Joins(_))) && !joins {
            // "incapable of satisfying the Join request … 488" (RFC 3911 §4)
            let result = self.endpoint.reject(now, key, 488, None, Vec::new());
            return self.tolerate("reject", result);
        }
        if related.is_none()
            && self.endpoint.conference_called(&request).is_none()
            && let Some(account) = account
            && let Some(refusal) = self.refusal(account, key, &request)
        {
            return self.refuse(now, account, key, request, refusal);
        }
        let ringing = account.map(|account| (account, request.clone()));
        if let Err(refused) = self.try_incoming(now, key, request, flow, identity) {
            self.forget_call(key);
            let Refused { status, reason, headers, body } = refused;
            let reason = reason.as_deref();
            let result = self.endpoint.reject_with(now, key, status, reason, headers, body);
            self.tolerate("reject", result);
        } else if related.is_none()
            && let Some((account, request)) = ringing
        {
            self.begin_patience(now, account, key, &request);
        }
        self.ring_members(now, key);
    }

    fn try_incoming(
        &mut self,
        now: Instant,
        key: CallKey,
        request: SipMessage,
        flow: Flow,
        identity: CallerIdentity,
    ) -> Result<(), Refused> {
        let shared = self.shared.upgrade().filter(|_| self.shutdown.is_none());
        let shared = shared.ok_or_else(|| Refused::new(480))?;
        if self.busy() >= self.config.max_calls {
            return Err(Refused::new(486));
        }
        let offer = session::sdp_of(&request);
        let account = self.endpoint.account_for(&request);
        // What takes the place of a call is as that one.
        let old = match self.endpoint.related_to(key) {
            Some(Related::Replaces(old)) => self.calls.get(&old),
            _ => None,
        };
        let terms = old.map_or_else(|| self.terms(account), |old| old.terms);
        self.note_keys(terms.srtp, matches!(flow.transport, Transport::Tls | Transport::Wss));
        let mut negotiator = self.negotiator(terms);
        let reserved = self.precondition_policy(account, &request)?;
        if let Some(reserved) = reserved {
            negotiator.expect(QosTable::default(), reserved, true);
        }
        let mut trial = negotiator.clone();
        let agent = Some(flow.local.ip());
        if let Some(offer) = &offer {
            // Better now than when somebody has picked up: 488 when nothing fits, 400 when the offer
            // makes no sense.
            let mut local = self.trial_session(flow.local.ip());
            if let Err(e) = trial.answer(offer, &mut local, &mut self.rng) {
                tracing::info!("call declined: {e}");
                return Err(Refused::offer(agent, &e).with_body(offer, &self.sdp));
            }
        } else if account
            .and_then(|account| self.policy_of(account))
            .is_some_and(|policy| policy.late_offers == LateOfferPolicy::Refuse)
        {
            return Err(Refused::not_acceptable(agent, 399, "an offer is wanted in the INVITE"));
        }
        let from = request.from().map(|f| f.uri.as_str().to_owned()).unwrap_or_default();
        let max = self.config.max_pending_call_events;
        let (mut entry, call) = CallEntry::new(shared, key, from, (terms, negotiator), max);
        entry.offer = offer;
        entry.local = Some(flow.local.ip());
        self.calls.insert(key, entry);
        self.gather_for_caller(key)?;
        self.learn_trickle(key, &request);
        let related = self.endpoint.related_to(key);
        // A call that takes the place of another is its continuation: nobody is asked.
        if let Some(Related::Replaces(old)) = related
            && let Some(audio) = self.calls.get(&old).and_then(|old| old.again.clone())
        {
            return match self.continue_call(old, call, &audio) {
                true => Ok(()),
                false => Err(Refused::new(503)),
            };
        }
        match self.lets_in(account, related, &request) {
            // "incapable of satisfying the Join request … 488" (RFC 3911 §4)
            Err(()) => return Err(Refused::new(488)),
            Ok(Some((conference, joined))) => return self.let_in(conference, joined, call),
            Ok(None) => {}
        }
        let wanted = self.wanted_answer(account, &request);
        let about = crate::call::About { related, wanted };
        let account = account.map(AccountId);
        let incoming = IncomingCall { call, account, request, identity, about };
        if trial.waits() {
            return self.suspend(now, key, incoming, reserved == Some(false));
        }
        self.announce(incoming)
    }

    /// The ACK of a call that we answered, or of a re-INVITE.
    pub(super) fn confirmed(&mut self, now: Instant, key: CallKey, ack: Option<SipMessage>) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if !std::mem::take(&mut entry.answer_in_ack) {
            return self.next_change(now, key);
        }
        let was_up = entry.answered_at.is_some();
        let result = match ack.as_ref().and_then(session::sdp_of) {
            Some(answer) => self.apply_answer(key, &answer),
            None => Err(Error::state("the ACK has no answer to our offer")),
        };
        match result {
            Ok(()) if was_up => {
                self.note_peer_hold(key);
                self.run_media(key);
                self.next_change(now, key);
            }
            Ok(()) => {
                self.up(now, key, None);
                self.next_change(now, key);
            }
            Err(e) => {
                tracing::info!("call ended: {e}");
                self.fail(now, key, &e.to_string());
            }
        }
    }

    pub(super) fn reinvited(&mut self, now: Instant, key: CallKey, request: SipMessage) {
        if let Some(entry) = self.calls.get(&key) {
            entry.tell(CallEvent::Request { request: request.clone() });
        }
        self.take_offer(now, key, &request);
    }

    /// Answers a request that changes media, or lets it wait for candidates.
    pub(super) fn take_offer(&mut self, now: Instant, key: CallKey, request: &SipMessage) {
        let offer = session::sdp_of(request);
        if offer.is_some_and(|offer| self.offer_waits(key, &offer, request)) {
            return;
        }
        let result = self.try_reinvited(now, key, request);
        if let Err(Refused { status, reason, headers, .. }) = result {
            let reason = reason.as_deref();
            let result = self.endpoint.reject_reinvite(now, key, status, reason, headers);
            self.tolerate("reject re-INVITE", result);
        }
    }

    fn try_reinvited(
        &mut self,
        now: Instant,
        key: CallKey,
        request: &SipMessage,
    ) -> Result<(), Refused> {
        if let Some(offer) = session::sdp_of(request) {
            self.follow_family(key, &offer);
        }
        let gone = || Refused::new(481);
        self.may_require(key, request)?;
        let early = self.branch_of(key, request);
        let entry = self.calls.get_mut(&key).filter(|e| e.end.is_none()).ok_or_else(gone)?;
        let ports = entry.ports.ok_or_else(gone)?;
        let branch = match &early {
            Some(tag) => entry.branches.get_mut(tag),
            None => None,
        };
        let held = branch.as_ref().map_or(entry.held, |b| b.held);
        let own = branch.map_or(&mut entry.negotiator, |b| &mut b.negotiator);
        // Our own offer waits for its retry after a 491: it is made anew when its turn comes.
        if entry.changing.is_some() {
            own.rollback();
        }
        let mut negotiator = own.clone();
        let direction = entry.way(held);
        let offer = session::sdp_of(request);
        let restarts = offer.as_ref().is_some_and(|offer| negotiator.peer_restarts_ice(offer));
        if let Some(ice) = &entry.ice {
            negotiator.set_ice(ice.to_answer(restarts));
        }
        let agent = Some(ports.rtp.ip());
        let (body, session) = match offer {
            Some(offer) => {
                let answered = self.try_answer(&mut negotiator, &offer, &ports, direction);
                answered.map_err(|e| Refused::offer(agent, &e))?
            }
            None => {
                let offer = self.offer(&mut negotiator, &ports, direction);
                let refuse = |e: Error| Refused::not_acceptable(agent, 399, &e.to_string());
                (offer.map_err(refuse)?, None)
            }
        };
        let taken = self.endpoint.accept_reinvite(now, key, Vec::new(), Some(body));
        taken.map_err(|e| Refused { reason: Some(e.to_string()), ..Refused::new(500) })?;
        let Some(entry) = self.calls.get_mut(&key) else { return Ok(()) };
        if let Some(ice) = entry.ice.as_deref_mut().filter(|_| restarts) {
            ice.offered();
        }
        if let Some(tag) = early {
            if let Some(branch) = entry.branches.get_mut(&tag) {
                (branch.negotiator, branch.session) = (negotiator, session);
            }
            self.check_branch(key, &tag);
            self.hear(key, &tag);
            return Ok(());
        }
        entry.negotiator = negotiator;
        match session {
            Some(session) => {
                entry.session = Some(session);
                self.note_peer_hold(key);
                self.run_media(key);
                self.resume_suspended(now, key);
                self.check_negotiation(key);
            }
            None => entry.answer_in_ack = true,
        }
        Ok(())
    }

    /// Tells the application when the peer's direction shows a hold or its end.
    pub(super) fn note_peer_hold(&mut self, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let media = entry.session.as_ref().and_then(session::audio_of);
        let held = media.is_some_and(|m| m.on_hold_by_peer);
        if held != entry.held_by_peer {
            entry.held_by_peer = held;
            let by = Party::Remote;
            entry.tell(if held { CallEvent::Held { by } } else { CallEvent::Resumed { by } });
            entry.publish();
        }
    }

    pub(super) fn requested(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: Option<CallKey>,
        request: SipMessage,
    ) {
        let status = match request.method() {
            Some(Method::Notify) if call.is_none() && self.is_unsolicited(&request) => {
                self.notified(request)
            }
            Some(Method::Message) => match self.message(now, key, call, request) {
                Ok(()) => return,
                Err(status) => status,
            },
            Some(Method::Info) => match self.info(call, &request) {
                status @ (415 | 469) if self.config.sip.ask_requests => {
                    return self.ask_request(now, key, call, request, Some(status));
                }
                status => status,
            },
            // Calls are transferred from inside only.
            Some(Method::Refer) if self.config.sip.ask_requests => {
                return self.ask_request(now, key, call, request, Some(403));
            }
            _ if self.config.sip.ask_requests => {
                return self.ask_request(now, key, call, request, None);
            }
            Some(Method::Options) => 200,
            Some(Method::Refer) => 403,
            // Nobody has subscribed.
            Some(Method::Notify) => 481,
            _ => 405,
        };
        let mut headers = retry_later(status);
        headers.extend((status == 469).then(trickle::taken));
        let result = self.endpoint.respond(now, key, status, None, headers, None);
        self.tolerate("respond", result);
    }

    /// INFO within a call: keys, candidates, or an empty probe. Anything else has no meaning here (RFC
    /// 6086).
    fn info(&mut self, call: Option<CallKey>, request: &SipMessage) -> u16 {
        let Some((key, entry)) = call.and_then(|key| Some((key, self.calls.get(&key)?))) else {
            return 481;
        };
        entry.tell(CallEvent::Request { request: request.clone() });
        let package = trickle::package(request);
        if package.is_some_and(trickle::is_it) && entry.ice.is_some() {
            return self.trickled(key, request);
        }
        if request.body().is_empty() {
            return 200;
        }
        match session::parse_dtmf(request) {
            Some((digit, ms)) => {
                let duration = Duration::from_millis(u64::from(ms));
                entry.tell(CallEvent::Dtmf { digit, duration, via: DtmfMode::Info });
                200
            }
            // "the UA MUST send a 469" (RFC 6086 §4.2.2)
            None if package.is_some() => 469,
            None => 415,
        }
    }
}
