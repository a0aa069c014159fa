//! ICE of calls (RFC 8445, RFC 8839): who wants it, what waits for candidates, what the agent of a
//! stream is told of the peer, and what becomes of its word. The agent itself belongs to media; what
//! descriptions say is written in `lines`.

use super::Core;
use super::entry::{CallEntry, HoldChange};
use super::incoming::retry_later;
use super::transfer::Placed;
use super::trickle::Trickle;
use super::warnings::Refused;
use crate::audio::OpenAudio;
use crate::command::{Headers, PlaceCall, Reply};
use crate::event::CallEvent;
use crate::ice::{Ice, IceFailure, IceReport, Terms};
use crate::media::{
    IceCommand, IceNotice, IcePeer, IceSetup, LocalIce, MediaCommand, MediaId, MediaPlane,
    MediaPorts,
};
use crate::{Error, SipMessage};
use std::net::IpAddr;
use std::time::Instant;
use tiny_sdp::{AttributeList, Description, MediaKind};
use tiny_sip::{AccountKey, CallKey};

/// A call of ours that waits for its candidates.
pub(super) struct Gathering {
    pub(super) call: PlaceCall,
    pub(super) who: Placed,
    pub(super) ports: MediaPorts,
    pub(super) terms: Terms,
}

/// What waits for candidates within a call.
pub(super) enum Waiting {
    Answer {
        headers: Headers,
        audio: Option<OpenAudio>,
        who: Answerer,
    },
    Ring {
        status: u16,
        headers: Headers,
        audio: Box<OpenAudio>,
        reply: Reply<()>,
    },
    /// The description of a call that nobody is told of yet; whether our resources are asked for.
    Suspended(bool),
    /// An offer of the peer that restarts ICE.
    Offer(SipMessage),
    /// To be placed anew, from another network.
    Restart,
    /// The caller is to be called, whom our answer cannot reach.
    CallBack,
}

/// Who wants a call answered.
pub(super) enum Answerer {
    Application(Reply<()>),
    /// The agent itself, which refuses with this status what it cannot answer.
    Agent(u16),
}

/// What the agent was told of the peer.
enum Told {
    Nothing,
    Peer(Box<IcePeer>),
    /// It has no ICE.
    NoPeer,
}

/// ICE of one call.
pub(super) struct IceSide {
    pub(super) ports: MediaPorts,
    /// Our side, as descriptions say it.
    local: Option<LocalIce>,
    /// Our side after a restart, of which the peer has not heard.
    next: Option<LocalIce>,
    /// The offer that is under way says that.
    offering: bool,
    /// Our candidates are on their way.
    gathering: bool,
    waiting: Vec<Waiting>,
    told: Told,
    connected: bool,
    /// A restart for a path that died has brought none yet.
    retried: bool,
    failed: Option<(IceFailure, Box<IceReport>)>,
    /// What ended the call.
    pub(super) lost: Option<Box<IceReport>>,
    pub(super) trickle: Trickle,
}

impl IceSide {
    pub(super) fn new(ports: MediaPorts, local: Option<LocalIce>) -> Self {
        Self {
            ports,
            gathering: local.is_none(),
            local,
            next: None,
            offering: false,
            waiting: Vec::new(),
            told: Told::Nothing,
            connected: false,
            retried: false,
            failed: None,
            lost: None,
            trickle: Trickle::default(),
        }
    }

    /// The peer has no ICE.
    pub(super) fn is_off(&self) -> bool {
        matches!(self.told, Told::NoPeer)
    }

    /// What an offer says.
    pub(super) fn to_offer(&self) -> Option<LocalIce> {
        self.next.as_ref().or(self.local.as_ref()).cloned()
    }

    /// What an answer says, to a peer that restarts or does not.
    pub(super) fn to_answer(&self, restarts: bool) -> Option<LocalIce> {
        if restarts { self.to_offer() } else { self.local.clone() }
    }

    /// An offer with what [`to_offer`](Self::to_offer) says goes out.
    pub(super) fn offers(&mut self) {
        self.offering = self.next.is_some();
    }

    /// It was taken or refused. True for a restart that was to bring a path again.
    pub(super) fn offer_over(&mut self, taken: bool) -> bool {
        let restart = std::mem::take(&mut self.offering);
        if restart && taken {
            self.offered();
        }
        restart && self.retried
    }

    /// Whether the peer has yet to hear of a restart.
    pub(super) fn restarts(&self) -> bool {
        self.next.is_some()
    }

    /// The peer has what [`to_offer`](Self::to_offer) says.
    pub(super) fn offered(&mut self) {
        if let Some(next) = self.next.take() {
            self.local = Some(next);
            self.told = Told::Nothing;
            self.trickle.renew();
        }
    }

    /// Our side as the peer knows it.
    pub(super) fn local(&self) -> Option<&LocalIce> {
        self.local.as_ref()
    }

    /// Our side after a restart, and as the peer knows it.
    pub(super) fn sides(&mut self) -> (Option<&mut LocalIce>, Option<&mut LocalIce>) {
        (self.next.as_mut(), self.local.as_mut())
    }

    /// Whether the agent knows the peer by this name.
    pub(super) fn is_peer(&self, ufrag: &str) -> bool {
        matches!(&self.told, Told::Peer(peer) if peer.ufrag == ufrag)
    }

    /// Whether the peer's description takes late candidates.
    pub(super) fn peer_trickles(&self) -> bool {
        matches!(&self.told, Told::Peer(peer) if peer.options.trickle)
    }

    /// What waits gets this word.
    pub(super) fn refuse_waiting(&mut self) {
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Answer { who: Answerer::Application(reply), .. }
                | Waiting::Ring { reply, .. } => {
                    let _ = reply.send(Err(Error::Ended("the call")));
                }
                _ => {}
            }
        }
    }
}

impl CallEntry {
    /// ICE, where the peer has it or may have it.
    pub(super) fn live_ice(&mut self) -> Option<&mut IceSide> {
        self.ice.as_deref_mut().filter(|ice| !ice.is_off())
    }

    /// Whether descriptions have to wait for candidates.
    pub(super) fn gathers(&self) -> bool {
        self.ice.as_ref().is_some_and(|ice| ice.gathering)
    }

    /// Whether media goes where ICE says.
    pub(super) fn has_ice(&self) -> bool {
        self.ice.is_some() && self.negotiator.ice_peer().is_some()
    }

    /// Its ports are others: what servers told of the old ones is not true any more. A peer without
    /// ICE is told of them as they are.
    pub(super) fn forget_outer(&mut self) {
        let Some(ice) = self.ice.as_deref_mut().filter(|ice| ice.is_off()) else { return };
        let hidden = ice.local.take().filter(|local| local.hidden);
        ice.local = hidden.map(LocalIce::nowhere);
        self.negotiator.set_ice(ice.local.clone());
    }

    /// The ports that are open.
    pub(super) fn open_ports(&self) -> Option<MediaPorts> {
        self.ports.or(self.ice.as_ref().map(|ice| ice.ports))
    }
}

fn same(a: &IcePeer, b: &IcePeer) -> bool {
    let words = |p: &IcePeer| (p.ufrag.clone(), p.lite, p.done, p.chosen.clone());
    words(a) == words(b)
        && a.password.expose() == b.password.expose()
        && a.candidates == b.candidates
}

impl<P: MediaPlane> Core<P> {
    /// How the media of an account's calls travels.
    pub(super) fn terms(&self, account: Option<AccountKey>) -> Terms {
        let spec = account.and_then(|key| self.accounts.get(&key)).map(|a| &a.spec);
        let (srtp, ice) = (spec.and_then(|s| s.srtp), spec.and_then(|s| s.ice));
        let webrtc = spec.and_then(|s| s.webrtc).unwrap_or(self.config.webrtc);
        let data = spec.and_then(|s| s.data).unwrap_or(self.config.offer_data);
        Terms::new(srtp.unwrap_or(self.config.srtp), ice.unwrap_or(self.config.ice), webrtc)
            .with_data(data)
    }

    /// How the media of a call of ours travels.
    pub(super) fn terms_of(&self, call: &PlaceCall) -> Terms {
        if let Some(terms) = call.terms {
            return terms;
        }
        let spec = self.accounts.get(&call.account).map(|a| &a.spec);
        let srtp = call.srtp.or(spec.and_then(|s| s.srtp)).unwrap_or(self.config.srtp);
        let ice = call.ice.or(spec.and_then(|s| s.ice)).unwrap_or(self.config.ice);
        let webrtc = call.webrtc.or(spec.and_then(|s| s.webrtc)).unwrap_or(self.config.webrtc);
        let data = call.data.or(spec.and_then(|s| s.data)).unwrap_or(self.config.offer_data);
        Terms::new(srtp, ice, webrtc).with_data(data)
    }

    /// Takes ports and begins to gather. Who sends the offer controls (RFC 8445 §6.1.1).
    fn gather(
        &mut self,
        local: IpAddr,
        terms: Terms,
        controlling: bool,
        mux: bool,
    ) -> Result<MediaPorts, Error> {
        let mut config = self.config.ice_limits.clone();
        config.lite = terms.ice == Ice::Lite;
        config.components = if mux || terms.webrtc { 1 } else { 2 };
        let mut servers = self.config.ice_servers.clone();
        if config.lite {
            // §2.5: it has host candidates and no others.
            servers.clear();
            (config.stun_servers, config.turn_servers) = (Vec::new(), Vec::new());
        }
        let all_networks = self.config.media_address.is_none();
        self.plane.open_ice(local, IceSetup { config, servers, controlling, all_networks })
    }

    /// Opens the ports of a call that we place; one with ICE is placed when it has its candidates.
    pub(super) fn place(&mut self, now: Instant, call: PlaceCall, local: IpAddr, who: Placed) {
        let terms = self.terms_of(&call);
        let opened = match terms.ice {
            Ice::Off => self.plane.open(local),
            _ => self.gather(local, terms, !call.late_offer, false),
        };
        match opened {
            Ok(ports) if terms.ice == Ice::Off => {
                let placed = self.try_place(now, call, ports, terms, None);
                self.placed(now, who, placed);
            }
            Ok(ports) => {
                self.gathering.insert(ports.id, Gathering { call, who, ports, terms });
            }
            Err(e) => self.placed(now, who, Err(e)),
        }
    }

    /// Calls that wait for candidates are given up.
    pub(super) fn give_up_gathering(&mut self, now: Instant) {
        let gathering: Vec<_> = self.gathering.drain().collect();
        for (id, Gathering { who, .. }) in gathering {
            self.plane.close(id);
            self.placed(now, who, Err(Error::Ended("the agent")));
        }
    }

    /// A call comes in: candidates are gathered while it rings, where the caller has ICE or we make
    /// the offer.
    pub(super) fn gather_for_caller(&mut self, key: CallKey) -> Result<(), Refused> {
        let Some(entry) = self.calls.get(&key).filter(|e| e.terms.ice != Ice::Off) else {
            return Ok(());
        };
        // Who has no ICE has to be told an address that it can reach, or of a relay alone.
        let servers = !self.config.ice_servers.is_empty() && entry.terms.ice == Ice::Full;
        // And where no description may show ours, one has to be gathered, or none told.
        let servers = servers || self.config.ice_limits.shows_no_host();
        let wanted = match &entry.offer {
            Some(offer) => servers || entry.negotiator.wants_ice(offer),
            None => true,
        };
        let Some(local) = self.config.media_address.or(entry.local).filter(|_| wanted) else {
            return Ok(());
        };
        let (terms, offers) = (entry.terms, entry.offer.is_none());
        let mux = self.config.rtcp_mux && entry.offer.as_ref().is_some_and(|o| self.muxes(o));
        match self.gather(local, terms, offers, mux) {
            Ok(ports) => {
                self.media.insert(ports.id, key);
                if let Some(entry) = self.calls.get_mut(&key) {
                    entry.ice = Some(Box::new(IceSide::new(ports, None)));
                }
                Ok(())
            }
            Err(e) => {
                tracing::info!("call declined: {e}");
                Err(Refused { headers: retry_later(503), ..Refused::new(503) })
            }
        }
    }

    fn muxes(&self, offer: &[u8]) -> bool {
        let Ok(offer) = Description::parse(offer, &self.sdp.limits) else { return false };
        let mut sound = offer.all_media().filter(|m| m.kind() == MediaKind::Audio);
        sound.next().is_some_and(|m| m.has("rtcp-mux"))
    }

    /// Answers at once, or when there are candidates.
    pub(super) fn answer_call(
        &mut self,
        now: Instant,
        key: CallKey,
        headers: Headers,
        audio: Option<OpenAudio>,
        who: Answerer,
    ) {
        if let Some(ice) = self.unready(key) {
            return ice.waiting.push(Waiting::Answer { headers, audio, who });
        }
        let answered = self.answer(now, key, headers, audio);
        match (who, answered) {
            (Answerer::Application(reply), answered) => {
                let _ = reply.send(answered);
            }
            (Answerer::Agent(_), Ok(())) => {}
            (Answerer::Agent(status), Err(e)) => {
                tracing::info!("a call cannot be answered: {e}");
                let result = self.endpoint.reject(now, key, status, None, Headers::new());
                self.tolerate("reject", result);
            }
        }
    }

    /// Rings with sound at once, or when there are candidates.
    pub(super) fn ring_call(
        &mut self,
        now: Instant,
        key: CallKey,
        (status, headers): (u16, Headers),
        audio: Box<OpenAudio>,
        reply: Reply<()>,
    ) {
        if let Some(ice) = self.unready(key) {
            return ice.waiting.push(Waiting::Ring { status, headers, audio, reply });
        }
        let _ = reply.send(self.ring_with_media(now, key, status, headers, *audio));
    }

    /// The side of a call that has to wait.
    fn unready(&mut self, key: CallKey) -> Option<&mut IceSide> {
        let entry = self.calls.get_mut(&key).filter(|e| e.end.is_none())?;
        entry.ice.as_deref_mut().filter(|ice| ice.gathering)
    }

    /// Something waits if candidates are on their way.
    pub(super) fn waits_for_ice(&mut self, key: CallKey, waiting: Waiting) -> bool {
        let unready = self.unready(key);
        let waits = unready.is_some();
        if let Some(ice) = unready {
            ice.waiting.push(waiting);
        }
        waits
    }

    /// An offer of the peer that restarts ICE waits for new credentials of ours (RFC 8839 §4.4.2).
    pub(super) fn offer_waits(&mut self, key: CallKey, offer: &[u8], request: &SipMessage) -> bool {
        let early = self.branch_of(key, request);
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.end.is_none()) else {
            return false;
        };
        let branch = early.and_then(|tag| entry.branches.get(&tag)).map(|b| &b.negotiator);
        let restarts = branch.unwrap_or(&entry.negotiator).peer_restarts_ice(offer);
        let Some(ice) = entry.live_ice().filter(|ice| restarts && ice.next.is_none()) else {
            return false;
        };
        ice.waiting.push(Waiting::Offer(request.clone()));
        self.restart_ice(key);
        true
    }

    /// New credentials are asked of the agent, which has them at once but may gather anew.
    pub(super) fn restart_ice(&mut self, key: CallKey) {
        let Some(ice) = self.calls.get_mut(&key).and_then(CallEntry::live_ice) else { return };
        if !std::mem::replace(&mut ice.gathering, true) {
            let restart = MediaCommand::Ice(IceCommand::Restart);
            self.plane.tell(ice.ports.id, restart);
        }
    }

    /// Our addresses are others: agents use them, and begin anew (RFC 8445 §9).
    pub(super) fn ice_moves(&mut self, addresses: &[IpAddr]) {
        let tell = |plane: &mut P, id| {
            plane.tell(id, MediaCommand::Ice(IceCommand::Network(addresses.to_vec())));
        };
        for id in self.gathering.keys() {
            tell(&mut self.plane, *id);
        }
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            let entry = self.calls.get_mut(&key).filter(|e| e.end.is_none());
            if let Some(ice) = entry.and_then(CallEntry::live_ice) {
                tell(&mut self.plane, ice.ports.id);
                self.restart_ice(key);
            }
        }
    }

    /// Tells the agent who the peer of the call is now.
    pub(super) fn follow_ice(&mut self, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.session.is_some()) else { return };
        let (peer, refusal) = (entry.negotiator.ice_peer(), entry.negotiator.ice_refusal());
        let Some(ice) = entry.ice.as_deref_mut() else { return };
        let id = ice.ports.id;
        match (peer, &ice.told) {
            (_, Told::NoPeer) => {}
            (Some(peer), Told::Peer(known)) if same(&peer, known) => {}
            (Some(peer), _) => {
                ice.failed = None;
                ice.told = Told::Peer(Box::new(peer.clone()));
                let early = ice.trickle.take_early();
                self.plane.tell(id, MediaCommand::Ice(IceCommand::Peer(Box::new(peer))));
                if let Some(early) = early {
                    self.trickled(key, &early);
                }
            }
            (None, _) => {
                ice.failed = None;
                ice.told = Told::NoPeer;
                let reason = refusal.map_or_else(String::new, |why| why.to_string());
                tracing::info!("media goes without ICE: {reason}");
                entry.tell(CallEvent::WithoutIce { reason });
                self.plane.tell(id, MediaCommand::Ice(IceCommand::NoPeer));
            }
        }
    }

    /// [`Call::ice`](crate::Call::ice).
    pub(super) fn ice_report(&mut self, key: CallKey, reply: Reply<IceReport>) {
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.end.is_none()) else {
            let _ = reply.send(Err(Error::Ended("the call")));
            return;
        };
        match entry.live_ice() {
            Some(ice) => {
                let report = MediaCommand::Ice(IceCommand::Report(reply));
                self.plane.tell(ice.ports.id, report);
            }
            None => drop(reply.send(Err(Error::state("the call does without ICE")))),
        }
    }

    pub(super) fn ice_notice(&mut self, now: Instant, id: MediaId, notice: IceNotice) {
        if let Some(gathering) = self.gathering.remove(&id) {
            return self.ice_of_placing(now, gathering, notice);
        }
        let Some(key) = self.media.get(&id).copied() else { return };
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.end.is_none()) else { return };
        match (notice, entry.live_ice()) {
            (IceNotice::Gathered(local), Some(_)) => self.gathered(now, key, *local),
            (IceNotice::Selected { pair, reason }, Some(ice)) => {
                (ice.connected, ice.retried, ice.failed) = (true, false, None);
                entry.tell(CallEvent::IcePath { pair, reason });
            }
            (IceNotice::Failed(failure, report), _) => self.ice_failed(now, key, failure, report),
            (IceNotice::Candidate(candidate), Some(_)) => {
                let described = entry.ports.is_some();
                let Some(ice) = entry.ice.as_deref_mut() else { return };
                ice.late(*candidate, described);
                if !described {
                    let local = ice.local().cloned();
                    entry.negotiator.set_ice(local);
                }
                self.trickle(now, key);
            }
            (IceNotice::Done, Some(ice)) => {
                ice.trickle.end();
                let (next, local) = ice.sides();
                if let Some(local) = next.or(local) {
                    local.done = true;
                }
                self.trickle(now, key);
            }
            (_, None) => {}
        }
    }

    /// The agent of a call that is not placed yet.
    fn ice_of_placing(&mut self, now: Instant, gathering: Gathering, notice: IceNotice) {
        let Gathering { call, who, ports, terms } = gathering;
        match notice {
            // Nobody waits for it any more.
            IceNotice::Gathered(_) if who.is_gone() => self.plane.close(ports.id),
            IceNotice::Gathered(local) => {
                let placed = self.try_place(now, call, ports, terms, Some(*local));
                self.placed(now, who, placed);
            }
            IceNotice::Failed(failure, _) => {
                self.plane.close(ports.id);
                self.placed(now, who, Err(Error::Network(failure.to_string())));
            }
            _ => {
                self.gathering.insert(ports.id, Gathering { call, who, ports, terms });
            }
        }
    }

    /// A description can be written: what waits for it goes on.
    fn gathered(&mut self, now: Instant, key: CallKey, local: LocalIce) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some(ice) = entry.ice.as_deref_mut() else { return };
        ice.gathering = false;
        match ice.local {
            Some(_) => ice.next = Some(local),
            None => {
                ice.local = Some(local.clone());
                entry.negotiator.set_ice(Some(local));
            }
        }
        for waiting in std::mem::take(&mut ice.waiting) {
            match waiting {
                Waiting::Answer { headers, audio, who } => {
                    self.answer_call(now, key, headers, audio, who);
                }
                Waiting::Ring { status, headers, audio, reply } => {
                    self.ring_call(now, key, (status, headers), audio, reply);
                }
                Waiting::Suspended(asks) => self.describe_waiting(now, key, asks),
                Waiting::Offer(request) => self.take_offer(now, key, &request),
                Waiting::Restart => self.restart(now, key),
                Waiting::CallBack => self.answer_lost(now, key),
            }
        }
        self.next_change(now, key);
    }

    /// There is no path, or none any more. One that worked is looked for once more (RFC 8445 §9).
    fn ice_failed(
        &mut self,
        now: Instant,
        key: CallKey,
        failure: IceFailure,
        report: Box<IceReport>,
    ) {
        // Calls without a network have their own patience.
        if self.offline.is_some() {
            return;
        }
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let up = entry.established();
        // A peer without ICE has no path of ours but through a relay, if that is all it may see.
        let hidden = self.config.ice_limits.shows_no_host();
        let ice = entry.ice.as_deref_mut().filter(|ice| hidden || !ice.is_off());
        let Some(ice) = ice else { return };
        if !up {
            // Another branch of a fork may answer.
            ice.failed = Some((failure, report));
            return;
        }
        if !ice.is_off() && ice.connected && !std::mem::replace(&mut ice.retried, true) {
            tracing::info!("ICE begins anew: {failure}");
            ice.failed = None;
            entry.changes.push_back(HoldChange::again(None));
            self.restart_ice(key);
            return self.next_change(now, key);
        }
        let mut why = format!("no way for media: {failure}");
        let pairs = report.why(self.config.ice_limits.max_named_pairs);
        if !pairs.is_empty() {
            why = format!("{why} ({pairs})");
        }
        ice.lost = Some(report);
        // The peer is told why, too: not with our addresses.
        let told = match self.config.ice_limits.hide_addresses {
            true => format!("no way for media: {failure}"),
            false => why.clone(),
        };
        entry.failure.get_or_insert(why);
        self.fail(now, key, &told);
    }

    /// The call is up: what was known before counts now.
    pub(super) fn check_ice(&mut self, now: Instant, key: CallKey) {
        let ice = self.calls.get_mut(&key).and_then(|entry| entry.ice.as_deref_mut());
        if let Some((failure, report)) = ice.and_then(|ice| ice.failed.take()) {
            self.ice_failed(now, key, failure, report);
        }
    }

    /// Ends what a call that never was has taken.
    pub(super) fn forget_call(&mut self, key: CallKey) {
        let Some(mut entry) = self.calls.remove(&key) else { return };
        if let Some(ice) = &mut entry.ice {
            ice.refuse_waiting();
            self.media.remove(&ice.ports.id);
            self.plane.close(ice.ports.id);
        }
    }
}
