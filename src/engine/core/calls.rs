//! Calls that we place, and what both kinds of call have in common once they are up.

use super::accounts::dialable;
use super::branches::{Branches, to_tag};
use super::entry::{CallEntry, HoldChange};
use super::ice::IceSide;
use super::transfer::Placed;
use super::{Core, Request, session, sip_error};
use crate::command::{Headers, PlaceCall, Reply};
use crate::event::CallEvent;
use crate::ice::Terms;
use crate::media::{LocalIce, MediaCommand, MediaId, MediaPlane, MediaPorts};
use crate::policy::{ChangePolicy, EarlyMediaPolicy};
use crate::{Call, CallStats, DtmfMode, Error, Party, SipMessage};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tiny_media::StreamEvent;
use tiny_sak::Transport;
use tiny_sip::{CallKey, Method, Outgoing, Uri};

/// How an offer goes out.
enum Way {
    Reinvite,
    Update,
    /// By UPDATE in the early dialog with this tag.
    Early(String),
}

impl Way {
    fn branch(&self) -> Option<String> {
        match self {
            Self::Early(tag) => Some(tag.clone()),
            _ => None,
        }
    }
}

impl<P: MediaPlane> Core<P> {
    /// Finds out which of our addresses faces the next hop, for the SDP; then places the call.
    pub(super) fn locate(&mut self, now: Instant, mut call: PlaceCall, who: Placed) {
        if self.shutdown.is_some() {
            self.placed(now, who, Err(Error::Ended("the agent")));
            return;
        }
        if self.offline.is_some() {
            self.placed(now, who, Err(Error::Network("there is no network".into())));
            return;
        }
        if self.busy() >= self.config.max_calls {
            let what = format!("max_calls = {}", self.config.max_calls);
            self.placed(now, who, Err(Error::Limit(what)));
            return;
        }
        let Some(account) = self.accounts.get(&call.account) else {
            self.placed(now, who, Err(Error::Ended("the account")));
            return;
        };
        call.to = match dialable(account, call.to) {
            Ok(to) => to,
            Err(e) => {
                self.placed(now, who, Err(e));
                return;
            }
        };
        if let Some(address) = self.config.media_address {
            self.place(now, call, address, who);
            return;
        }
        let mut proxies = account.spec.route.iter().chain(&account.spec.flows);
        let hop = proxies.next().unwrap_or(&call.to);
        let (uri, transport) = (hop.clone(), account.spec.transport);
        let host = match Uri::parse(hop) {
            Ok(uri) => uri.host().trim_matches(['[', ']']).to_owned(),
            Err(e) => {
                self.placed(now, who, Err(Error::config("call target", e)));
                return;
            }
        };
        match host.parse::<IpAddr>() {
            Ok(remote) => self.place_towards(now, call, remote, who),
            Err(_) => {
                self.next_job += 1;
                self.placing.insert(self.next_job, (call, who));
                self.asks.push_back(Request::Locate { job: self.next_job, uri, transport });
            }
        }
    }

    /// How many calls there are, with those that wait for an address or for candidates.
    pub(super) fn busy(&self) -> usize {
        self.calls.len() + self.gathering.len() + self.placing.len()
    }

    pub(super) fn located(&mut self, now: Instant, job: u64, address: Result<IpAddr, Error>) {
        let Some((call, who)) = self.placing.remove(&job) else { return };
        match address {
            Ok(remote) => self.place_towards(now, call, remote, who),
            Err(e) => {
                self.placed(now, who, Err(e));
            }
        }
    }

    fn place_towards(&mut self, now: Instant, call: PlaceCall, remote: IpAddr, who: Placed) {
        match self.plane.local_address_for(remote) {
            Some(local) => self.place(now, call, local, who),
            None => {
                self.placed(now, who, Err(Error::Network(format!("no route to {remote}"))));
            }
        }
    }

    /// Places a call from ports that are open; they are closed where it cannot be.
    pub(super) fn try_place(
        &mut self,
        now: Instant,
        call: PlaceCall,
        ports: MediaPorts,
        terms: Terms,
        ice: Option<LocalIce>,
    ) -> Result<Call, Error> {
        let placed = self.place_from(now, call, ports, terms, ice);
        placed.inspect_err(|_| self.plane.close(ports.id))
    }

    fn place_from(
        &mut self,
        now: Instant,
        call: PlaceCall,
        ports: MediaPorts,
        terms: Terms,
        ice: Option<LocalIce>,
    ) -> Result<Call, Error> {
        let shared = self.shared.upgrade().ok_or(Error::Ended("the agent"))?;
        let mut call = call;
        if let Some(account) = self.accounts.get(&call.account) {
            account.spec.caller.add_to(&mut call.headers);
            if account.spec.policy.early_media == EarlyMediaPolicy::Authorized {
                call.headers.push(("P-Early-Media".to_owned(), "supported".to_owned()));
            }
        }
        if let Some(account) = self.accounts.get(&call.account)
            && let Some(signer) = &account.spec.auth.signer
            && !crate::caller::is_withheld(&call.headers)
        {
            self.sign(now, signer, &account.spec.aor, &call.to, &mut call.headers)?;
        }
        self.demand(&mut call)?;
        let transport = self.accounts.get(&call.account).and_then(|a| a.spec.transport);
        let by_tls = matches!(transport, Some(Transport::Tls | Transport::Wss));
        self.note_keys(terms.srtp, by_tls || call.to.starts_with("sips:"));
        let mut negotiator = self.negotiator(terms);
        negotiator.set_ice(ice.clone());
        if ice.is_some() {
            self.announce_trickle(terms.ice, &mut call.headers);
        }
        if crate::caller::is_withheld(&call.headers) {
            negotiator.show_another_certificate(&self.config);
        }
        if let Some(wanted) = &call.preconditions {
            negotiator.expect(wanted.table, wanted.reserved, false);
        }
        #[cfg(feature = "dtls")]
        self.first_channels(&mut negotiator, std::mem::take(&mut call.channels))?;
        let body = match call.late_offer {
            true => None,
            false => Some(self.offer(&mut negotiator, &ports, call.direction)?),
        };
        let (to, headers) = (call.to.clone(), call.headers);
        let (rules, session) = (call.rules, call.session);
        let outgoing = Outgoing { to, headers, body, redirects: true, rules, session };
        let key = self.invite(now, call.account, outgoing, call.conference)?;
        let max = self.config.max_pending_call_events;
        let (mut entry, handle) = CallEntry::new(shared, key, call.to, (terms, negotiator), max);
        entry.ports = Some(ports);
        entry.ice = ice.map(|local| Box::new(IceSide::new(ports, Some(local))));
        entry.wished = call.direction;
        entry.again = call.audio.again.clone();
        entry.audio = Some(call.audio);
        entry.placed_to = Some(handle.remote_uri().to_owned());
        self.media.insert(ports.id, key);
        self.calls.insert(key, entry);
        if let Some(conference) = call.conference {
            self.seat(conference, key, true, false);
        }
        Ok(handle)
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        key: CallKey,
        response: SipMessage,
        needs_answer: bool,
    ) {
        match self.calls.get(&key) {
            None => return,
            Some(entry) if entry.answered_at.is_some() => {
                return self.called_back(now, key, &response);
            }
            Some(_) => {}
        }
        let sdp = session::sdp_of(&response);
        let result = match (&sdp, needs_answer) {
            (Some(offer), true) => self.answer_late_offer(now, key, offer),
            (answer, _) => self.branch_won(key, &response, answer.as_ref()),
        };
        if let Err(e) = result {
            // Up without media that we understand: end it (RFC 3261 §13.2.2.4).
            tracing::info!("call answered but unusable: {e}");
            self.fail(now, key, &e.to_string());
            return;
        }
        self.learn_trickle(key, &response);
        self.errand_response(now, key, &response);
        let winner = to_tag(&response);
        self.up(now, key, Some(response));
        if let Some(entry) = self.calls.get_mut(&key) {
            // A change that runs in the dialog that has won goes on in the call's.
            entry.changing_in.take_if(|tag| *tag == winner);
        }
        self.next_change(now, key);
    }

    /// The call is up: media runs, the application is told.
    pub(super) fn up(&mut self, now: Instant, key: CallKey, response: Option<SipMessage>) {
        self.run_media(key);
        let Some(entry) = self.calls.get_mut(&key) else { return };
        entry.answered_at = Some(now);
        (entry.offered, entry.early) = (None, None);
        entry.negotiator.settle();
        entry.branches = Branches::default();
        entry.publish();
        entry.tell(CallEvent::Answered { codec: entry.codec.clone(), response });
        self.take_seat(key);
        self.tell_focus(now, key);
        self.check_ice(now, key);
        self.trickle(now, key);
        self.check_negotiation(key);
    }

    pub(super) fn hold(&mut self, now: Instant, key: CallKey, change: HoldChange) {
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.end.is_none()) else {
            change.done(Err(Error::Ended("the call")));
            return;
        };
        entry.changes.push_back(change);
        self.next_change(now, key);
    }

    /// Starts the next change when none is under way: offers must not overlap (RFC 3264 §4).
    pub(super) fn next_change(&mut self, now: Instant, key: CallKey) {
        let offline = self.offline.is_some();
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let busy = entry.changing.is_some() || entry.answer_in_ack || entry.end.is_some();
        if offline || busy || entry.gathers() {
            return;
        }
        let Some(change) = entry.changes.front() else {
            self.settle_channels(now, key);
            self.focus_told(now, key);
            return self.check_negotiation(key);
        };
        if change.on == Some(entry.held) && change.reply.is_some() {
            if let Some(change) = entry.changes.pop_front() {
                change.done(Ok(()));
            }
            return self.next_change(now, key);
        }
        let Some(way) = self.way_of_change(key) else { return };
        let Some(change) = self.calls.get_mut(&key).and_then(|e| e.changes.pop_front()) else {
            return;
        };
        let held = change.on.unwrap_or_else(|| self.calls.get(&key).is_some_and(|e| e.held));
        match self.send_offer(now, key, &way, held, change.headers.clone()) {
            Ok(()) => {
                if let Some(entry) = self.calls.get_mut(&key) {
                    entry.changing = Some(change);
                    entry.changing_in = way.branch();
                }
            }
            Err(e) => {
                change.done(Err(e));
                self.channels_refused(key);
                self.next_change(now, key);
            }
        }
    }

    /// How an offer can go out now. Before the answer: by UPDATE, once the first offer of an early
    /// dialog has its answer (RFC 3311 §5.1), or with the next PRACK that may carry one; else it waits
    /// until the call is up.
    fn way_of_change(&mut self, key: CallKey) -> Option<Way> {
        let account = self.endpoint.account_of(key);
        let by_update = account.and_then(|account| self.policy_of(account));
        let by_update = by_update.is_some_and(|p| p.changes == ChangePolicy::Update);
        let entry = self.calls.get(&key)?;
        if entry.answered_at.is_some() {
            let update = by_update && self.endpoint.can_update(key, None);
            let invite = self.endpoint.can_reinvite(key);
            return invite.then_some(if update { Way::Update } else { Way::Reinvite });
        }
        if entry.placed_to.is_none() {
            // Ours was the answer, so that the PRACK of it must have come.
            let early = entry.session.is_some() && !entry.accepted;
            return (early && self.endpoint.can_update(key, None)).then_some(Way::Update);
        }
        let named = entry.changes.front().and_then(|change| change.to.clone());
        let tag = named.or_else(|| entry.branches.changeable().map(str::to_owned));
        match tag.filter(|tag| self.endpoint.can_update(key, Some(tag))) {
            Some(tag) => Some(Way::Early(tag)),
            None => {
                let result = self.endpoint.offer_in_prack(key);
                self.tolerate("offer in PRACK", result);
                None
            }
        }
    }

    fn send_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        by: &Way,
        held: bool,
        mut headers: Headers,
    ) -> Result<(), Error> {
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        let ports = entry.ports.ok_or_else(|| Error::state("the call has no media"))?;
        let (branch, way) = (by.branch(), entry.way(held));
        let early = branch.as_ref().and_then(|tag| entry.branches.get(tag));
        let mut negotiator = early.map_or(&entry.negotiator, |b| &b.negotiator).clone();
        if let Some(ice) = &entry.ice {
            negotiator.set_ice(ice.to_offer());
        }
        if negotiator.requires_preconditions() {
            headers.push(super::preconditions::require());
        }
        let body = Some(self.offer(&mut negotiator, &ports, way)?);
        let sent = match by {
            Way::Reinvite => self.endpoint.reinvite(now, key, headers, body),
            Way::Update | Way::Early(_) => {
                self.endpoint.update(now, key, branch.as_deref(), headers, body)
            }
        };
        sent.map_err(sip_error)?;
        let Some(entry) = self.calls.get_mut(&key) else { return Ok(()) };
        if let Some(ice) = &mut entry.ice {
            ice.offers();
        }
        let early = match &branch {
            Some(tag) => entry.branches.get_mut(tag),
            None => None,
        };
        *early.map_or(&mut entry.negotiator, |b| &mut b.negotiator) = negotiator;
        Ok(())
    }

    /// Our offer in a re-INVITE, UPDATE or PRACK was taken.
    pub(super) fn reinvite_accepted(&mut self, now: Instant, key: CallKey, response: SipMessage) {
        let answer = session::sdp_of(&response);
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some(change) = entry.changing.take() else { return };
        let held = change.on.unwrap_or(entry.held);
        if let Some(ice) = &mut entry.ice {
            ice.offer_over(answer.is_some());
        }
        let result = match (answer, entry.changing_in.take()) {
            (Some(sdp), None) => self.apply_answer(key, &sdp),
            (Some(sdp), Some(tag)) => match entry.branches.get_mut(&tag) {
                Some(branch) => {
                    let session = branch.negotiator.accept_answer(&sdp);
                    let result = session.map(|session| {
                        (branch.session, branch.held) = (Some(session), held);
                    });
                    self.hear(key, &tag);
                    result
                }
                None => {
                    // Another branch has won: it is told as well.
                    entry.changes.push_front(change);
                    return self.next_change(now, key);
                }
            },
            (None, _) => Err(Error::state("the peer's answer has no session description")),
        };
        let Some(entry) = self.calls.get_mut(&key) else { return };
        match result {
            Ok(()) => {
                if entry.held != held {
                    entry.held = held;
                    let by = Party::Local;
                    let event =
                        if held { CallEvent::Held { by } } else { CallEvent::Resumed { by } };
                    entry.tell(event);
                }
                if entry.started || entry.answered_at.is_some() {
                    self.run_media(key);
                }
                if let Some(entry) = self.calls.get(&key) {
                    entry.publish();
                }
                change.done(Ok(()));
                self.trickle(now, key);
            }
            Err(e) => {
                entry.negotiator.rollback();
                let (why, encrypted) = (e.to_string(), entry.encrypted());
                change.done(Err(e));
                if encrypted {
                    // What the peer does now is not what was agreed: not a word more (RFC 4568 §7.1.3).
                    self.fail(now, key, &why);
                    return;
                }
            }
        }
        self.next_change(now, key);
    }

    pub(super) fn reinvite_rejected(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        reason: String,
        response: Option<SipMessage>,
    ) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let last_hope = entry.ice.as_mut().is_some_and(|ice| ice.offer_over(false));
        let branch = entry.changing_in.take();
        let lost = match branch.as_ref().map(|tag| entry.branches.get_mut(tag)) {
            Some(Some(branch)) => {
                branch.negotiator.rollback();
                false
            }
            Some(None) => true,
            None => {
                entry.negotiator.rollback();
                false
            }
        };
        match entry.changing.take() {
            // The peer's change came first: ours is offered anew on top of it. So it is where another
            // branch of a fork has won meanwhile.
            Some(change) if status == 491 || lost => entry.changes.push_front(change),
            Some(change) => {
                let response = response.map(Box::new);
                let why =
                    format!("no way for media: the peer looks for no other ({status} {reason})");
                change.done(Err(Error::Peer { status, reason, response }));
                self.channels_refused(key);
                if last_hope {
                    return self.fail(now, key, &why);
                }
            }
            None => {}
        }
        self.next_change(now, key);
    }

    pub(super) fn mute(&mut self, key: CallKey, on: bool) {
        if let Some(ports) = self.calls.get(&key).filter(|e| e.started).and_then(|e| e.ports) {
            self.plane.tell(ports.id, MediaCommand::Mute(on));
        }
    }

    pub(super) fn stats(&mut self, key: CallKey, reply: Reply<CallStats>) {
        match self.calls.get(&key) {
            None => {
                let _ = reply.send(Err(Error::Ended("the call")));
            }
            Some(CallEntry { ports: Some(ports), started: true, .. }) => {
                self.plane.tell(ports.id, MediaCommand::Stats(reply));
            }
            Some(_) => {
                let _ = reply.send(Err(Error::state("the call has no media yet")));
            }
        }
    }

    pub(super) fn dtmf(
        &mut self,
        now: Instant,
        key: CallKey,
        digits: String,
        mode: DtmfMode,
        reply: Reply<()>,
    ) {
        let Some(entry) = self.calls.get(&key) else {
            let _ = reply.send(Err(Error::Ended("the call")));
            return;
        };
        if !entry.established() {
            let _ = reply.send(Err(Error::state("the call is not up")));
            return;
        }
        if mode == DtmfMode::Info {
            let _ = reply.send(self.dtmf_by_info(now, key, &digits));
            return;
        }
        match entry.ports.filter(|_| entry.started) {
            Some(ports) => {
                let inband = mode == DtmfMode::Inband;
                self.plane.tell(ports.id, MediaCommand::Dtmf { digits, inband, reply });
            }
            None => {
                let _ = reply.send(Err(Error::state("the call has no media")));
            }
        }
    }

    fn dtmf_by_info(&mut self, now: Instant, key: CallKey, digits: &str) -> Result<(), Error> {
        for digit in digits.chars() {
            let body = session::dtmf_relay(digit);
            self.endpoint
                .request_in_call(now, key, Method::Info, Vec::new(), Some(body))
                .map_err(sip_error)?;
        }
        Ok(())
    }

    pub(super) fn media_event(&mut self, id: MediaId, event: StreamEvent) {
        let Some(entry) = self.media.get(&id).and_then(|key| self.calls.get_mut(key)) else {
            return;
        };
        match event {
            StreamEvent::Dtmf { digit, duration_ms, via } => {
                let duration = Duration::from_millis(u64::from(duration_ms));
                entry.tell(CallEvent::Dtmf { digit, duration, via: via.into() });
            }
            StreamEvent::SourceEnded => entry.tell(CallEvent::InputEnded),
            StreamEvent::MediaTimeout => entry.tell(CallEvent::MediaTimeout),
            _ => {}
        }
    }
}
