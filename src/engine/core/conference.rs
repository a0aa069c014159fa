//! Conferences that we host: who takes part, whose Contact shows the focus (RFC 4579 §5.2), and calls
//! that want to join (RFC 3911 §4). Mixing is the media plane's; who watches is in `roster`.

use super::entry::HoldChange;
use super::ice::Answerer;
use super::warnings::Refused;
use super::{Core, sip_error};
use crate::command::{Headers, Reply};
use crate::conference::{
    Conference, ConferenceCommand, ConferenceId, ConferenceInner, ConferenceSpec, HostSound, Member,
};
use crate::media::{MediaPlane, MixCommand, MixerId, Seat};
use crate::policy::JoinPolicy;
use crate::{Audio, Call, CallId, Error, Event, SipMessage};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tiny_media::MixerConfig;
use tiny_sip::{AccountKey, CallKey, Outgoing, Related};

/// What the engine knows of conferences.
#[derive(Default)]
pub(super) struct Conferences {
    pub(super) open: HashMap<ConferenceId, Hosted>,
    /// The conference of a call.
    pub(super) of: HashMap<CallKey, ConferenceId>,
    /// Calls that are let in: the one that they join, and themselves.
    joining: Vec<(Option<CallKey>, CallKey)>,
    pub(super) roster: super::roster::Roster,
    last: u64,
}

/// A conference.
pub(super) struct Hosted {
    handle: Weak<ConferenceInner>,
    pub(super) name: String,
    pub(super) subject: Option<String>,
    /// The account of the first call.
    pub(super) account: Option<AccountKey>,
    dial_in: bool,
    /// There is, or may be, somebody here.
    host: bool,
    host_muted: bool,
    /// The host's sound is to be that of a call; which one has lent it.
    borrows: bool,
    lender: Option<CallKey>,
    pub(super) members: Vec<Seated>,
}

/// A call in a conference.
pub(super) struct Seated {
    pub(super) call: CallKey,
    /// Its stream is connected to the mixer.
    connected: bool,
    /// Its peer was shown the focus.
    told: bool,
    /// Its own sound may become the host's.
    lends: bool,
    pub(super) muted: bool,
}

impl Hosted {
    fn member(&mut self, call: CallKey) -> Option<&mut Seated> {
        self.members.iter_mut().find(|member| member.call == call)
    }
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn conference_command(&mut self, now: Instant, command: ConferenceCommand) {
        use ConferenceCommand as C;
        match command {
            C::Open { spec, reply } => drop(reply.send(self.open_conference(*spec))),
            C::Add { conference, call, reply } => {
                let _ = reply.send(self.add_to_conference(now, conference, call));
            }
            C::Remove { conference, call, reply } => {
                let result = match self.conferences.of.get(&call) == Some(&conference) {
                    true => {
                        self.leave(now, call, true);
                        Ok(())
                    }
                    false => Err(Error::state("the call does not take part")),
                };
                let _ = reply.send(result);
            }
            C::Mute { conference, call, on } => {
                let Some(hosted) = self.conferences.open.get_mut(&conference) else { return };
                match call {
                    None => hosted.host_muted = on,
                    Some(call) => match hosted.member(call) {
                        Some(member) => member.muted = on,
                        None => return,
                    },
                }
                if let Some(seat) = self.seat_of(call) {
                    self.plane.mix(MixerId(conference.0), MixCommand::Mute(seat, on));
                }
            }
            C::Gain { conference, call, db } => {
                if let Some(seat) = self.seat_of(call) {
                    self.plane.mix(MixerId(conference.0), MixCommand::Gain(seat, db));
                }
            }
            C::Members { conference, reply } => self.members(conference, reply),
            C::Close { conference, hangup } => self.close_conference(now, conference, hangup),
        }
    }

    fn seat_of(&self, call: Option<CallKey>) -> Option<Seat> {
        let Some(call) = call else { return Some(Seat::Host) };
        Some(Seat::Stream(self.calls.get(&call)?.ports?.id))
    }

    fn open_conference(&mut self, spec: ConferenceSpec) -> Result<Conference, Error> {
        let shared = self.shared.upgrade().filter(|_| self.shutdown.is_none());
        let shared = shared.ok_or(Error::Ended("the agent"))?;
        if self.conferences.open.len() >= self.config.max_conferences {
            let what = format!("max_conferences = {}", self.config.max_conferences);
            return Err(Error::Limit(what));
        }
        self.conferences.last += 1;
        let id = ConferenceId(self.conferences.last);
        let name = format!("conference-{}", tiny_sak::id::tag(&mut self.rng));
        self.endpoint.open_conference(&name);
        let max_participants = self.config.max_conference_members.saturating_add(1);
        let config = MixerConfig { rate: spec.rate, max_participants, ..MixerConfig::default() };
        let mixer = MixerId(id.0);
        self.plane.mix(mixer, MixCommand::Open(config));
        let (host, borrows) = match spec.host {
            HostSound::OfCalls => (true, true),
            HostSound::Own(audio) => {
                self.plane.mix(mixer, MixCommand::Host(audio));
                (true, false)
            }
            HostSound::Nobody => (false, false),
        };
        let inner = Arc::new(ConferenceInner { shared, id, name: name.clone() });
        let hosted = Hosted {
            handle: Arc::downgrade(&inner),
            name,
            subject: spec.subject,
            account: None,
            dial_in: spec.dial_in,
            host,
            host_muted: false,
            borrows,
            lender: None,
            members: Vec::new(),
        };
        self.conferences.open.insert(id, hosted);
        Ok(Conference { inner })
    }

    fn room_in(&self, id: ConferenceId) -> Result<&Hosted, Error> {
        let hosted = self.conferences.open.get(&id).ok_or(Error::Ended("the conference"))?;
        let max = self.config.max_conference_members;
        if hosted.members.len() >= max {
            return Err(Error::Limit(format!("max_conference_members = {max}")));
        }
        Ok(hosted)
    }

    fn add_to_conference(
        &mut self,
        now: Instant,
        id: ConferenceId,
        key: CallKey,
    ) -> Result<(), Error> {
        let entry = self.calls.get(&key).filter(|e| e.end.is_none());
        let answered = entry.ok_or(Error::Ended("the call"))?.answered_at.is_some();
        match self.conferences.of.get(&key) {
            Some(its) if *its == id => return Ok(()),
            Some(_) => return Err(Error::state("the call takes part in another conference")),
            None => {}
        }
        self.room_in(id)?;
        // The 200 of a call that rings here shows it; a call that we have placed has its INVITE out.
        let told = !answered && self.calls.get(&key).is_some_and(|e| e.placed_to.is_none());
        self.seat(id, key, told, true);
        self.take_seat(key);
        self.tell_focus(now, key);
        Ok(())
    }

    /// An INVITE of ours, on behalf of a conference or not.
    pub(super) fn invite(
        &mut self,
        now: Instant,
        account: AccountKey,
        outgoing: Outgoing,
        conference: Option<ConferenceId>,
    ) -> Result<CallKey, Error> {
        let sent = match conference {
            Some(id) => {
                let name = self.room_in(id)?.name.clone();
                self.endpoint.invite_to_conference(now, account, outgoing, &name)
            }
            None => self.endpoint.invite(now, account, outgoing),
        };
        sent.map_err(sip_error)
    }

    /// A call takes part from now on; its sound does when it is up.
    pub(super) fn seat(&mut self, id: ConferenceId, key: CallKey, told: bool, lends: bool) {
        let account = self.endpoint.account_of(key);
        let Some(hosted) = self.conferences.open.get_mut(&id) else { return };
        hosted.account = hosted.account.or(account);
        hosted.members.push(Seated { call: key, connected: false, told, lends, muted: false });
        self.endpoint.set_focus(key, Some(&hosted.name));
        self.conferences.of.insert(key, id);
    }

    /// Connects the stream of a call that is up and takes part.
    pub(super) fn take_seat(&mut self, key: CallKey) {
        let Some(id) = self.conferences.of.get(&key).copied() else { return };
        let Some(entry) = self.calls.get(&key).filter(|e| e.established() && e.started) else {
            return;
        };
        let Some(ports) = entry.ports else { return };
        let Some(hosted) = self.conferences.open.get_mut(&id) else { return };
        let (borrows, lender) = (hosted.borrows, hosted.lender);
        let Some(member) = hosted.member(key).filter(|member| !member.connected) else { return };
        member.connected = true;
        let (muted, borrow) = (member.muted, borrows && lender.is_none() && member.lends);
        let mixer = MixerId(id.0);
        self.plane.mix(mixer, MixCommand::Join(ports.id));
        if muted {
            self.plane.mix(mixer, MixCommand::Mute(Seat::Stream(ports.id), true));
        }
        if borrow {
            hosted.lender = Some(key);
            self.plane.mix(mixer, MixCommand::Borrow(ports.id));
        }
    }

    /// Shows the focus to the peer of a call that is up: a re-INVITE (RFC 5359 §2.10), which takes it
    /// off hold, too.
    pub(super) fn tell_focus(&mut self, now: Instant, key: CallKey) {
        let Some(id) = self.conferences.of.get(&key).copied() else { return };
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.established()) else { return };
        let hosted = self.conferences.open.get_mut(&id);
        let Some(member) = hosted.and_then(|hosted| hosted.member(key)) else { return };
        if !std::mem::replace(&mut member.told, true) {
            let change = HoldChange { on: Some(false), ..HoldChange::again(None) };
            entry.changes.push_back(change);
            self.next_change(now, key);
        }
    }

    /// A call goes on without the conference. `again`: the conference goes on as well.
    fn leave(&mut self, now: Instant, key: CallKey, again: bool) {
        let Some(id) = self.conferences.of.remove(&key) else { return };
        self.endpoint.set_focus(key, None);
        let Some(hosted) = self.conferences.open.get_mut(&id) else { return };
        let Some(at) = hosted.members.iter().position(|member| member.call == key) else { return };
        let member = hosted.members.remove(at);
        let lender = hosted.lender == Some(key);
        let mut next = None;
        if lender {
            let others = || hosted.members.iter().find(|other| other.connected && other.lends);
            next = others().map(|other| other.call).filter(|_| again);
            hosted.lender = next;
        }
        let mixer = MixerId(id.0);
        if let Some(ports) = self.calls.get(&key).and_then(|e| e.ports).filter(|_| member.connected)
        {
            self.plane.mix(mixer, MixCommand::Leave { stream: ports.id, lender });
        }
        if let Some(ports) = next.and_then(|next| self.calls.get(&next)).and_then(|e| e.ports) {
            self.plane.mix(mixer, MixCommand::Borrow(ports.id));
        }
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.established()) else { return };
        let change = HoldChange::again(None);
        entry.changes.push_back(change);
        self.next_change(now, key);
    }

    /// A call has ended. What it has lent stays: the host talks on.
    pub(super) fn member_gone(&mut self, now: Instant, key: CallKey) {
        self.conferences.joining.retain(|(_, new)| *new != key);
        self.focus_told(now, key);
        let Some(id) = self.conferences.of.remove(&key) else { return };
        if let Some(hosted) = self.conferences.open.get_mut(&id) {
            hosted.members.retain(|member| member.call != key);
        }
        if let Some(ports) = self.calls.get(&key).and_then(|e| e.ports) {
            self.plane.mix(MixerId(id.0), MixCommand::Gone(ports.id));
        }
    }

    fn close_conference(&mut self, now: Instant, id: ConferenceId, hangup: bool) {
        let Some(hosted) = self.conferences.open.get(&id) else { return };
        let calls: Vec<_> = hosted.members.iter().map(|member| member.call).collect();
        for call in calls {
            match hangup {
                true => {
                    self.conferences.of.remove(&call);
                    self.hangup(now, call, Headers::new());
                }
                false => self.leave(now, call, false),
            }
        }
        if let Some(hosted) = self.conferences.open.remove(&id) {
            self.endpoint.close_conference(&hosted.name);
            self.end_watchers(now, id);
            self.plane.mix(MixerId(id.0), MixCommand::Close);
        }
    }

    fn members(&mut self, id: ConferenceId, reply: Reply<Vec<Member>>) {
        let Some(hosted) = self.conferences.open.get(&id) else {
            let _ = reply.send(Err(Error::Ended("the conference")));
            return;
        };
        let host = Member {
            call: None,
            uri: String::new(),
            connected: true,
            muted: hosted.host_muted,
            level_db: None,
        };
        let mut members: Vec<_> = hosted.host.then_some((Seat::Host, host)).into_iter().collect();
        for seated in &hosted.members {
            let Some(entry) = self.calls.get(&seated.call) else { continue };
            // Nobody at the mixer has this number.
            let nowhere = Seat::Stream(crate::media::MediaId(u64::MAX));
            let seat = entry.ports.filter(|_| seated.connected).map(|p| Seat::Stream(p.id));
            let uri = self.endpoint.describe(seated.call).map(|about| about.remote);
            let member = Member {
                call: Some(CallId(seated.call)),
                uri: uri.unwrap_or_default(),
                connected: seated.connected,
                muted: seated.muted,
                level_db: None,
            };
            members.push((seat.unwrap_or(nowhere), member));
        }
        self.plane.mix(MixerId(id.0), MixCommand::Levels { members, reply });
    }

    /// Whether a call that comes in takes part in a conference by itself, and in which; `Err`: it would,
    /// if there were room.
    pub(super) fn lets_in(
        &mut self,
        account: Option<AccountKey>,
        related: Option<Related>,
        request: &SipMessage,
    ) -> Result<Option<(Conference, Option<CallKey>)>, ()> {
        if let Some(name) = self.endpoint.conference_called(request) {
            let mut open = self.conferences.open.iter();
            let called = open.find(|(_, hosted)| hosted.name == name && hosted.dial_in);
            let Some((id, hosted)) = called else { return Ok(None) };
            let handle = hosted.handle.upgrade().filter(|_| self.room_in(*id).is_ok());
            return handle.map(|inner| Some((Conference { inner }, None))).ok_or(());
        }
        let Some(Related::Joins(old)) = related else { return Ok(None) };
        let policy = account.and_then(|account| self.policy_of(account));
        if policy.is_none_or(|policy| policy.joins != JoinPolicy::Mix) {
            return Ok(None);
        }
        let id = self.conferences.of.get(&old);
        let handle = id.and_then(|id| self.conferences.open.get(id)).map(|h| h.handle.upgrade());
        let conference = match handle {
            Some(inner) => Conference { inner: inner.ok_or(())? },
            None => {
                let spec = ConferenceSpec {
                    host: HostSound::OfCalls,
                    rate: 48_000,
                    subject: None,
                    dial_in: false,
                };
                self.open_conference(spec).map_err(drop)?
            }
        };
        self.room_in(conference.id()).map_err(drop)?;
        Ok(Some((conference, Some(old))))
    }

    /// Tells the application of a call that is let in.
    pub(super) fn let_in(
        &mut self,
        conference: Conference,
        joined: Option<CallKey>,
        call: Call,
    ) -> Result<(), Refused> {
        let (id, key) = (conference.id(), call.inner.key);
        let event = Event::CallJoins { conference, joined: joined.map(CallId), call };
        self.events.try_send(event).map_err(|_| Refused::new(503))?;
        self.seat(id, key, true, false);
        self.conferences.joining.push((joined, key));
        Ok(())
    }

    /// Calls that were let in ring; they are answered when the peer of the call that they join knows
    /// of the focus (RFC 5359 §2.11).
    pub(super) fn ring_members(&mut self, now: Instant, key: CallKey) {
        let Some(at) = self.conferences.joining.iter().position(|(_, new)| *new == key) else {
            return;
        };
        let result = self.endpoint.provisional(now, key, 180, None, Headers::new(), None);
        self.tolerate("ring", result);
        let (Some(old), id) = (self.conferences.joining[at].0, self.conferences.of.get(&key))
        else {
            self.conferences.joining.remove(at);
            return self.answer_member(now, key);
        };
        if let Some(id) = id.copied() {
            let result = self.add_to_conference(now, id, old);
            if let Err(e) = result {
                tracing::info!("not added to the conference: {e}");
            }
        }
        let busy = self.calls.get(&old).is_some_and(|e| e.established() && e.changing.is_some());
        if !busy {
            self.focus_told(now, old);
        }
    }

    /// No change of a call is under way: who waits for that is answered.
    pub(super) fn focus_told(&mut self, now: Instant, old: CallKey) {
        while let Some(at) = self.conferences.joining.iter().position(|(its, _)| *its == Some(old))
        {
            let (_, new) = self.conferences.joining.remove(at);
            self.answer_member(now, new);
        }
    }

    fn answer_member(&mut self, now: Instant, key: CallKey) {
        let audio = Audio::silent().open(&self.registry);
        match audio {
            Ok(audio) => {
                self.answer_call(now, key, Headers::new(), Some(audio), Answerer::Agent(488));
            }
            Err(e) => {
                tracing::info!("a call that joins cannot be answered: {e}");
                let result = self.endpoint.reject(now, key, 488, None, Headers::new());
                self.tolerate("reject", result);
            }
        }
    }
}
