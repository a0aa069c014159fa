//! Transceivers above offer and answer (JSEP, RFC 8829 §3.4, §5.2–5.3, §5.10; W3C WebRTC §4.7.3):
//! which stream of ours is which `m=` line, and whether the peer has yet to hear of something. A pure
//! state machine: it moves no media, and asks nobody.

use crate::attribute::Msid;
use crate::{
    AgreedLine, Answer, Description, Direction, Error, Limits, LocalMedia, LocalSession, MediaKind,
    NegotiatedSession, Negotiator, Text,
};

/// Names a transceiver, or the data channels, for the life of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransceiverId(usize);

/// One stream in both directions.
#[derive(Debug, Clone)]
pub struct Transceiver {
    media: LocalMedia,
    direction: Direction,
    current: Option<Direction>,
    stop: Stop,
    /// Made to send by the application, so that an offer of the peer may meet it (JSEP §5.10).
    by_track: bool,
    agreed: Option<AgreedLine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// The peer does not know yet.
    Stopping,
    Stopped,
}

impl Transceiver {
    /// Audio or video; application for the data channels.
    pub fn kind(&self) -> &MediaKind {
        &self.media.kind
    }

    /// Its `a=mid`, once a description in force has it.
    pub fn mid(&self) -> Option<&Text> {
        self.agreed.as_ref().filter(|a| !a.rejected).and_then(|a| a.mid.as_ref())
    }

    /// What we wish.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// What both sides do now; `None` before the first exchange and when stopped.
    pub fn current_direction(&self) -> Option<Direction> {
        self.current
    }

    /// Whether it is stopped, or about to be.
    pub fn is_stopped(&self) -> bool {
        self.stop != Stop::No
    }

    /// What it brings to descriptions: addresses, codecs, ICE, DTLS. Its direction and name are not
    /// looked at.
    pub fn media(&self) -> &LocalMedia {
        &self.media
    }
}

/// All transceivers of a session, with its offer/answer state.
///
/// ```
/// use std::sync::Arc;
/// use tiny_sdp::{BundlePolicy, Config, Direction, LocalCodec, LocalMedia, LocalSession, Negotiator,
///     Transceivers};
///
/// let side = |id| {
///     let mut session = LocalSession::new("192.0.2.1", Vec::new());
///     session.bundle = BundlePolicy::MaxBundle;
///     Transceivers::new(Negotiator::new(Arc::new(Config::default()), id, 1), session)
/// };
/// let audio = || LocalMedia::audio(4000, vec![LocalCodec::opus()]);
/// let (mut alice, mut bob) = (side(1), side(2));
/// bob.receive(audio());
/// let track = alice.add(audio(), Direction::SendRecv);
/// assert!(alice.negotiation_needed());
/// let answer = bob.answer(alice.offer()?.as_bytes())?;
/// alice.accept_answer(answer.sdp.as_bytes())?;
/// assert!(!alice.negotiation_needed() && !bob.negotiation_needed());
/// // Bob had nothing to send.
/// assert_eq!(alice.get(track).unwrap().current_direction(), Some(Direction::SendOnly));
/// # Ok::<(), tiny_sdp::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Transceivers {
    negotiator: Negotiator,
    session: LocalSession,
    limits: Limits,
    all: Vec<Transceiver>,
    /// What is made for a peer's stream that none of ours meets, by kind.
    templates: Vec<LocalMedia>,
    /// What each said in our offer that waits: direction and streams.
    pending: Vec<(Direction, Vec<Msid>)>,
    restart: bool,
    next_mid: u32,
}

impl Transceivers {
    /// A session without streams; whatever `session` has in its list is replaced.
    pub fn new(negotiator: Negotiator, session: LocalSession) -> Self {
        Self {
            limits: negotiator.limits().clone(),
            negotiator,
            session,
            all: Vec::new(),
            templates: Vec::new(),
            pending: Vec::new(),
            restart: false,
            next_mid: 0,
        }
    }

    /// What new streams of the peer are received with, one for each kind. Those of another kind are
    /// rejected.
    pub fn receive(&mut self, template: LocalMedia) {
        self.templates.retain(|t| t.kind != template.kind);
        self.templates.push(template);
    }

    /// Adds a transceiver (W3C `addTransceiver`). No offer of the peer meets it: it gets a line in an
    /// offer of ours.
    pub fn add(&mut self, media: LocalMedia, direction: Direction) -> TransceiverId {
        self.push(media, direction, false)
    }

    /// Adds something to send (W3C `addTrack`): on a transceiver of the kind that never sent, else on
    /// a new one, which an offer of the peer may meet. `media` replaces what the transceiver brings.
    pub fn add_track(&mut self, media: LocalMedia) -> TransceiverId {
        let unused = |t: &Transceiver| {
            t.media.kind == media.kind
                && t.stop == Stop::No
                && !t.direction.sends()
                && t.agreed.as_ref().is_none_or(|a| !a.local.sends())
                && media.kind != MediaKind::Application
        };
        match self.all.iter().position(unused) {
            Some(at) => {
                let t = &mut self.all[at];
                t.direction = Direction::new(true, t.direction.receives());
                t.media = media;
                t.by_track = true;
                TransceiverId(at)
            }
            None => self.push(media, Direction::SendRecv, true),
        }
    }

    /// The data channels of the session: one line, made of
    /// [`LocalMedia::data_channel`]. An offer of the peer may meet it.
    pub fn add_data(&mut self, media: LocalMedia) -> TransceiverId {
        match self.all.iter().position(|t| t.media.data.is_some() && t.stop == Stop::No) {
            Some(at) => TransceiverId(at),
            None => self.push(media, Direction::SendRecv, true),
        }
    }

    fn push(&mut self, media: LocalMedia, direction: Direction, by_track: bool) -> TransceiverId {
        self.all.push(Transceiver {
            media,
            direction,
            current: None,
            stop: Stop::No,
            by_track,
            agreed: None,
        });
        TransceiverId(self.all.len() - 1)
    }

    /// One of them.
    pub fn get(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.all.get(id.0)
    }

    /// All, stopped ones too, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = (TransceiverId, &Transceiver)> {
        self.all.iter().enumerate().map(|(i, t)| (TransceiverId(i), t))
    }

    /// The transceiver with a name in force.
    pub fn by_mid(&self, mid: &str) -> Option<TransceiverId> {
        self.iter().find(|(_, t)| t.mid().is_some_and(|m| **m == *mid)).map(|(id, _)| id)
    }

    /// To change what one brings: candidates, ports, codecs. `None` for one that is stopped.
    pub fn media_mut(&mut self, id: TransceiverId) -> Option<&mut LocalMedia> {
        self.all.get_mut(id.0).filter(|t| t.stop == Stop::No).map(|t| &mut t.media)
    }

    /// To change what the session says: address, ICE options. Its list of streams is not looked at.
    pub fn session_mut(&mut self) -> &mut LocalSession {
        &mut self.session
    }

    /// Sets what we wish. Nothing happens to one that is stopped.
    pub fn set_direction(&mut self, id: TransceiverId, direction: Direction) {
        if let Some(t) = self.all.get_mut(id.0).filter(|t| t.stop == Stop::No) {
            t.direction = direction;
        }
    }

    /// Sends no longer (W3C `removeTrack`).
    pub fn remove_track(&mut self, id: TransceiverId) {
        if let Some(t) = self.all.get_mut(id.0).filter(|t| t.stop == Stop::No) {
            t.direction = Direction::new(false, t.direction.receives());
        }
    }

    /// Stops one for good; its line may carry another later (JSEP §5.2.2).
    pub fn stop(&mut self, id: TransceiverId) {
        if let Some(t) = self.all.get_mut(id.0).filter(|t| t.stop == Stop::No) {
            t.stop = if t.agreed.is_some() { Stop::Stopping } else { Stop::Stopped };
            t.direction = Direction::Inactive;
            t.current = None;
        }
    }

    /// Wishes an ICE restart: a negotiation is needed until one was made with new credentials, which
    /// the application puts into [`media_mut`](Self::media_mut).
    pub fn restart_ice(&mut self) {
        self.restart = true;
    }

    /// The offer/answer state.
    pub fn negotiator(&self) -> &Negotiator {
        &self.negotiator
    }

    /// Whether the peer has yet to hear of something ("check if negotiation is needed", W3C WebRTC
    /// §4.7.3). False while an offer of ours waits: it is to be asked again then.
    pub fn negotiation_needed(&self) -> bool {
        if self.negotiator.is_offering() {
            return false;
        }
        self.restart || self.all.iter().any(|t| self.needs(t))
    }

    fn needs(&self, t: &Transceiver) -> bool {
        match (&t.agreed, t.stop) {
            (_, Stop::Stopping) => true,
            (None, Stop::Stopped) => false,
            (Some(agreed), Stop::Stopped) => !agreed.rejected,
            (None, Stop::No) => true,
            (Some(agreed), Stop::No) => agreed.must_tell(t.direction, &msids(&t.media)),
        }
    }

    /// Makes an offer (JSEP §5.2).
    ///
    /// # Errors
    /// As [`Negotiator::offer`].
    pub fn offer(&mut self) -> Result<String, Error> {
        self.name_all();
        let local = self.local();
        let sdp = self.negotiator.offer(&local)?;
        self.pending = self.all.iter().map(|t| (t.direction, written(t, t.direction))).collect();
        Ok(sdp)
    }

    /// Answers a peer's offer (JSEP §5.3, §5.10): each new line meets a transceiver that was made by
    /// [`add_track`](Self::add_track), else a new one that receives.
    ///
    /// # Errors
    /// As [`Negotiator::answer`]; all is then as before.
    pub fn answer(&mut self, offer: &[u8]) -> Result<Answer, Error> {
        let description = Description::parse(offer, &self.limits)?;
        let mut next = self.clone();
        let answer = next.answer_to(&description)?;
        *self = next;
        Ok(answer)
    }

    fn answer_to(&mut self, offer: &Description) -> Result<Answer, Error> {
        let lines = self.meet(offer);
        let mut local = self.local();
        for (at, media) in local.media.iter_mut().enumerate() {
            match lines.iter().find(|(_, t)| *t == at) {
                Some((line, _)) => media.line = u16::try_from(*line).ok(),
                None if self.all[at].agreed.is_none() => media.port = 0,
                None => {}
            }
        }
        let answer = self.negotiator.answer_to(offer, &local)?;
        self.restart = false;
        for media in &answer.session.media {
            let Some(at) = media.local.or_else(|| Self::met(&lines, media.index)) else { continue };
            let Some(t) = self.all.get_mut(at) else { continue };
            let msids = written(t, media.direction);
            t.settle(AgreedLine::of_answer(media, offer, msids));
        }
        Ok(answer)
    }

    fn met(lines: &[(usize, usize)], index: usize) -> Option<usize> {
        lines.iter().find(|(line, _)| *line == index).map(|(_, at)| *at)
    }

    /// JSEP §5.10: which transceiver each line of an offer is for that none has yet, as (line, place).
    fn meet(&mut self, offer: &Description) -> Vec<(usize, usize)> {
        let mut lines: Vec<(usize, usize)> = Vec::new();
        for (line, media) in offer.all_media().enumerate() {
            let has_one = self.negotiator.place_of(line).is_some_and(|at| {
                self.all.get(at).is_some_and(|t| t.agreed.as_ref().is_some_and(|a| !a.rejected))
            });
            if has_one || (media.port() == 0 && !crate::AttributeList::has(&media, "bundle-only")) {
                continue;
            }
            let kind = media.kind();
            let free = |(at, t): (usize, &Transceiver)| {
                t.media.kind == kind
                    && t.by_track
                    && t.stop == Stop::No
                    && t.agreed.is_none()
                    && !lines.iter().any(|(_, used)| *used == at)
            };
            // What the peer does not want to receive has no use for what we send.
            let receives = media.direction().receives() || kind == MediaKind::Application;
            let found = self.all.iter().enumerate().position(free).filter(|_| receives);
            let at = found.or_else(|| {
                let template = self.templates.iter().find(|t| t.kind == kind)?.clone();
                let data = template.data.is_some();
                let way = if data { Direction::SendRecv } else { Direction::RecvOnly };
                Some(self.push(template, way, data).0)
            });
            if let Some(at) = at {
                lines.push((line, at));
            }
        }
        lines
    }

    /// Takes the peer's answer.
    ///
    /// # Errors
    /// As [`Negotiator::accept_answer`]; the offer still waits then.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<NegotiatedSession, Error> {
        let description = Description::parse(answer, &self.limits)?;
        let session = self.negotiator.accept_parsed_answer(&description)?;
        self.restart = false;
        let pending = std::mem::take(&mut self.pending);
        for media in &session.media {
            let Some(at) = media.local else { continue };
            let (Some(t), Some((local, msids))) = (self.all.get_mut(at), pending.get(at)) else {
                continue;
            };
            // What was wished since the offer is for the next one.
            t.settle(AgreedLine::of_offer(media, &description, *local, msids.clone()));
        }
        Ok(session)
    }

    /// Forgets an offer that the peer refused.
    pub fn rollback(&mut self) {
        self.negotiator.rollback();
        self.pending.clear();
    }

    /// What we have now, for the negotiator.
    fn local(&self) -> LocalSession {
        let mut local = self.session.clone();
        local.media = self.all.iter().map(Transceiver::written).collect();
        local
    }

    /// Names those that have none (JSEP §5.2.1). A name is never used again.
    fn name_all(&mut self) {
        for at in 0..self.all.len() {
            while self.all[at].media.mid.is_none() && self.all[at].stop == Stop::No {
                let mid = Text::from(self.next_mid.to_string());
                self.next_mid = self.next_mid.saturating_add(1);
                let used = |t: &Transceiver| {
                    t.media.mid.as_ref() == Some(&mid)
                        || t.agreed.as_ref().is_some_and(|a| a.mid.as_ref() == Some(&mid))
                };
                if !self.all.iter().any(used) {
                    self.all[at].media.mid = Some(mid);
                }
            }
        }
    }
}

impl Transceiver {
    fn written(&self) -> LocalMedia {
        let mut media = self.media.clone();
        media.direction = self.direction;
        if self.stop != Stop::No {
            media.port = 0;
            media.stopped = true;
        }
        media
    }

    /// JSEP §5.11: what a whole exchange makes of it. A rejected line stops it.
    fn settle(&mut self, agreed: AgreedLine) {
        if agreed.rejected {
            self.stop = Stop::Stopped;
            self.direction = Direction::Inactive;
        }
        self.current = agreed.current();
        self.agreed = Some(agreed);
    }
}

fn msids(media: &LocalMedia) -> Vec<Msid> {
    media.rtp.as_ref().map(|r| r.msids.clone()).unwrap_or_default()
}

/// The streams that a description of this direction names.
fn written(t: &Transceiver, direction: Direction) -> Vec<Msid> {
    if direction.sends() { msids(&t.media) } else { Vec::new() }
}
