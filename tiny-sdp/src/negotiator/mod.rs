//! Offer and answer over the life of one session (RFC 3264, with RFC 6157 §4.1): keeps what later
//! offers must respect (the `o=` line and its version, the `m=` lines and their order, the meaning
//! of payload types) and nothing else. Never opens a port, never decides who may be called.

mod answer;
mod bundle;
mod offer;
mod print;
mod section;
mod slot;
#[cfg(test)]
mod tests;

use crate::{
    Answer, Config, Description, Error, LocalCodec, LocalSession, NegotiatedCodec, NegotiatedMedia,
    NegotiatedSession, Text,
};
use print::Printer;
use slot::Slot;
use std::hash::Hasher as _;
use std::sync::Arc;

/// The offer/answer state of one call.
///
/// One side calls [`offer`](Self::offer) and later [`accept_answer`](Self::accept_answer) (or
/// [`rollback`](Self::rollback)), the other [`answer`](Self::answer); any number of times, in either
/// role. An INVITE without a description changes nothing: the called side offers in its response.
/// When an INVITE forks, each dialog continues with its own clone.
///
/// ```
/// use std::sync::Arc;
/// use tiny_sdp::{Config, LocalCodec, LocalMedia, LocalSession, Negotiator};
///
/// let config = Arc::new(Config::default());
/// let codecs = vec![LocalCodec::opus(), LocalCodec::pcmu()];
/// let audio = LocalMedia::audio(4000, codecs).with_telephone_events();
/// let alice_has = LocalSession::new("192.0.2.1", vec![audio]);
/// let bob_has = LocalSession::new(
///     "192.0.2.2",
///     vec![LocalMedia::audio(6000, vec![LocalCodec::pcma(), LocalCodec::pcmu()])],
/// );
///
/// let mut alice = Negotiator::new(config.clone(), 1001, 1);
/// let mut bob = Negotiator::new(config, 2002, 1);
/// let offer = alice.offer(&alice_has)?;
/// let answer = bob.answer(offer.as_bytes(), &bob_has)?;
/// let session = alice.accept_answer(answer.sdp.as_bytes())?;
///
/// let audio = session.audio().unwrap();
/// assert_eq!(audio.codecs[0].name, "PCMU");
/// assert_eq!(audio.remote_rtp.as_ref().unwrap().to_string(), "192.0.2.2:6000");
///
/// // Alice holds: same payload types, next version.
/// let mut held = alice_has.clone();
/// held.media[0].direction = held.media[0].direction.held();
/// let offer = alice.offer(&held)?;
/// assert!(offer.contains("o=- 1001 2 IN") && offer.contains("a=sendonly"));
/// let answer = bob.answer(offer.as_bytes(), &bob_has)?;
/// assert!(answer.session.audio().unwrap().on_hold_by_peer);
/// # Ok::<(), tiny_sdp::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Negotiator {
    config: Arc<Config>,
    id: u64,
    version: u64,
    /// Hash of what was last sent under `version`, from the `s=` line on.
    sent: Option<u64>,
    /// `user IN IP4 host` of our `o=` line, fixed by the first description (RFC 3264 §8).
    origin: Text,
    slots: Vec<Slot>,
    pending: Option<Box<Pending>>,
}

/// An offer of ours that waits for its answer.
#[derive(Debug, Clone)]
struct Pending {
    slots: Vec<Slot>,
    media: Vec<OfferedMedia>,
}

#[derive(Debug, Clone)]
struct OfferedMedia {
    direction: crate::Direction,
    rtcp_mux: bool,
    rtcp_mux_only: bool,
    share: bundle::Share,
    /// The bundle that it is offered in.
    group: Option<u16>,
    extra: Option<Box<section::Offered>>,
    codecs: Vec<(u8, LocalCodec)>,
    formats: Vec<Text>,
}

impl Negotiator {
    /// A session with its `o=` id and first version. RFC 3264 §5: both fit 63 bits, the version 62.
    pub fn new(config: Arc<Config>, session_id: u64, first_version: u64) -> Self {
        Self {
            config,
            id: session_id & (u64::MAX >> 1),
            version: first_version & (u64::MAX >> 2),
            sent: None,
            origin: Text::EMPTY,
            slots: Vec::new(),
            pending: None,
        }
    }

    /// A session with a random id.
    pub fn random(config: Arc<Config>, rng: &mut tiny_sak::Rng) -> Self {
        Self::new(config, rng.u64() >> 2, 1)
    }

    /// Makes an offer: the session's first one, or a later one that changes it.
    ///
    /// A stream that the peer rejected before is offered again unless its port is now 0. The
    /// session stays as it was until [`accept_answer`](Self::accept_answer).
    ///
    /// # Errors
    /// [`Error::OfferPending`], or [`Error::Local`] when something cannot be written.
    pub fn offer(&mut self, local: &LocalSession) -> Result<String, Error> {
        if self.pending.is_some() {
            return Err(Error::OfferPending);
        }
        let (printer, pending) = self.make_offer(local)?;
        let sdp = self.seal(printer, local)?;
        self.pending = Some(Box::new(pending));
        Ok(sdp)
    }

    /// Answers a peer's offer.
    ///
    /// # Errors
    /// [`Error::Parse`]; [`Error::OfferPending`] when an offer of ours is under way;
    /// [`Error::NothingInCommon`] when no stream could be accepted; [`Error::MediaCount`] when the
    /// offer lost `m=` lines; [`Error::Local`]. The session is then what it was before.
    pub fn answer(&mut self, offer: &[u8], local: &LocalSession) -> Result<Answer, Error> {
        self.answer_to(&Description::parse(offer, &self.config.limits)?, local)
    }

    /// [`answer`](Self::answer) to an offer that is parsed already.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn answer_to(
        &mut self,
        offer: &Description,
        local: &LocalSession,
    ) -> Result<Answer, Error> {
        if self.pending.is_some() {
            return Err(Error::OfferPending);
        }
        let (printer, slots, session) = self.make_answer(offer, local)?;
        let sdp = self.seal(printer, local)?;
        self.slots = slots;
        Ok(Answer { sdp, session })
    }

    /// Takes the peer's answer to our offer; the session is then what both agreed on.
    ///
    /// # Errors
    /// [`Error::NoOffer`]; [`Error::Parse`]; [`Error::MediaCount`], [`Error::AnswerMismatch`] and
    /// [`Error::AnswerFormats`] for an answer that does not belong to the offer. The offer is then
    /// still pending.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<NegotiatedSession, Error> {
        if self.pending.is_none() {
            return Err(Error::NoOffer);
        }
        self.accept_parsed_answer(&Description::parse(answer, &self.config.limits)?)
    }

    /// [`accept_answer`](Self::accept_answer) of an answer that is parsed already.
    ///
    /// # Errors
    /// As [`accept_answer`](Self::accept_answer).
    pub fn accept_parsed_answer(
        &mut self,
        answer: &Description,
    ) -> Result<NegotiatedSession, Error> {
        let Some(pending) = &self.pending else { return Err(Error::NoOffer) };
        let (slots, media) = pending.accept(answer, &self.config)?;
        self.slots = slots;
        self.pending = None;
        Ok(NegotiatedSession { media })
    }

    /// Forgets an offer that the peer refused (488, 491, …): the session is as before it (RFC 3261
    /// §14.1). The version is not used again. Does nothing when none is pending.
    pub fn rollback(&mut self) {
        self.pending = None;
    }

    /// Whether an offer of ours waits for its answer.
    pub fn is_offering(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether an offer of the peer restarts ICE: an answer then needs new
    /// [`IceCredentials`](crate::IceCredentials) for every stream with ICE (RFC 8839 §4.4.2).
    pub fn ice_restart(&self, offer: &Description) -> bool {
        self.slots.iter().enumerate().any(|(index, slot)| {
            let state = slot.transport.as_ref().and_then(|t| t.ice.as_ref());
            let media = offer.media(index);
            let said = media.as_ref().and_then(|m| Some((m.ice_ufrag()?, m.ice_pwd()?)));
            state
                .zip(said)
                .is_some_and(|(s, (ufrag, pwd))| *s.remote.ufrag != *ufrag && *s.remote.pwd != *pwd)
        })
    }

    /// Whether streams share a transport (RFC 9143), by the descriptions in force.
    pub fn is_bundled(&self) -> bool {
        self.slots.iter().any(|slot| slot.active && slot.bundle.is_some())
    }

    pub(crate) fn limits(&self) -> &crate::Limits {
        &self.config.limits
    }

    /// Which stream of ours a line carries.
    pub(crate) fn place_of(&self, line: usize) -> Option<usize> {
        self.slots.get(line).filter(|s| s.active).and_then(|s| s.local).map(usize::from)
    }

    /// How many `m=` lines the session has.
    pub fn media_count(&self) -> usize {
        self.slots.len()
    }

    /// Puts the first lines before a description. RFC 3264 §8: the version grows by one if anything
    /// differs from the last description we gave, else it stays.
    fn seal(&mut self, printer: Printer, local: &LocalSession) -> Result<String, Error> {
        if self.origin.is_empty() {
            self.origin = print::origin(local)?;
        }
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(printer.body().as_bytes());
        let hash = hasher.finish();
        if self.sent.is_some_and(|sent| sent != hash) {
            self.version += 1;
        }
        self.sent = Some(hash);
        Ok(printer.finish(&self.origin, self.id, self.version))
    }
}

/// Files an agreed codec under codecs or events.
fn file(media: &mut NegotiatedMedia, codec: NegotiatedCodec, expected: usize) {
    if codec.name.eq_ignore_ascii_case("telephone-event") {
        media.telephone_events.push(codec);
    } else {
        if media.codecs.is_empty() {
            media.codecs.reserve_exact(expected);
        }
        media.codecs.push(codec);
    }
}

/// Whether a format of the peer is this codec of ours, parameters aside. Names have no case (RFC
/// 4855 §3); channels count for audio only, and Opus is always written with two (RFC 7587 §7),
/// though some leave them out.
fn same_encoding(codec: &LocalCodec, name: &str, clock_rate: u32, channels: u8) -> bool {
    codec.clock_rate == clock_rate
        && codec.name.eq_ignore_ascii_case(name)
        && (codec.channels == channels || name.eq_ignore_ascii_case("opus"))
}
