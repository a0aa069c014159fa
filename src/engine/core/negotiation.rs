//! The offer/answer state of one call together with its keys: which `m=` protocol and which
//! `a=crypto` lines go out, which come in, and what follows (RFC 3264, RFC 4568, RFC 8643).
//!
//! Once encryption is agreed, no later description takes it back.

// Without the feature, what DTLS would bring cannot exist, and the compiler knows.
#![cfg_attr(not(feature = "dtls"), allow(unreachable_code, unused_variables))]

use super::described::{Described, wants_us_passive};
use super::dtls::{Certified, DtlsSide};
use super::lines::{Lines, Source, wants_ice};
use crate::media::{DataAgreement, DtlsAgreement, IcePeer, LocalIce, SdesKeys, Security};
use crate::{Error, Srtp};
use std::sync::Arc;
use tiny_rtp::srtp::sdes::{self, Agreement, CryptoAttribute};
use tiny_rtp::srtp::{MasterKey, Profile};
use tiny_sak::Rng;
use tiny_sdp::attribute::Setup;
use tiny_sdp::{
    AgreedLine, Answer, AttributeList, Description, Direction, IceRefusal, LocalAttribute,
    LocalData, LocalSession, MediaDescription, MediaKind, NegotiatedMedia, NegotiatedSession,
    Negotiator, Protocol, QosTable, RemoteAddress,
};

/// What of an offered stream can be taken: its protocol, and the keys of both sides.
struct Plan {
    index: usize,
    protocol: Protocol,
    keys: Option<Agreement>,
}

/// What is in force.
#[derive(Clone)]
struct Agreed {
    protocol: Protocol,
    keys: Option<Agreement>,
    /// Keys come from a handshake of media; with the port of RTCP shared or not.
    dtls: Option<(DtlsAgreement, bool)>,
    peer: Option<RemoteAddress>,
    moved: bool,
}

/// A [`Negotiator`] that knows about keys. Each fork of an INVITE goes on with its own clone.
#[derive(Clone)]
pub(super) struct Negotiation {
    sdp: Negotiator,
    limits: Arc<tiny_sdp::Config>,
    policy: Srtp,
    /// Suites of an offer; answers take any that encrypts.
    suites: Vec<Profile>,
    /// The lines of our offer that waits for its answer.
    offered: Vec<CryptoAttribute>,
    agreed: Option<Agreed>,
    rekey: bool,
    dtls: Option<Box<DtlsSide>>,
    qos: Option<Qos>,
    lines: Lines,
    /// The direction of our sound in the offer that waits.
    offered_way: Direction,
    /// Our sound, as the descriptions in force have it.
    line: Option<AgreedLine>,
    /// The application knows that the peer has yet to hear of something.
    needed: bool,
}

/// The preconditions of a call, where it may have them.
#[derive(Clone)]
struct Qos {
    table: QosTable,
    /// Our resources are there.
    reserved: bool,
    /// We wait for the caller's word: it is asked for.
    callee: bool,
}

impl Negotiation {
    pub(super) fn new(
        sdp: Negotiator,
        limits: Arc<tiny_sdp::Config>,
        policy: Srtp,
        suites: Vec<Profile>,
        dtls: Option<Box<DtlsSide>>,
        lines: Lines,
    ) -> Self {
        Self {
            sdp,
            limits,
            policy,
            suites,
            offered: Vec::new(),
            agreed: None,
            rekey: false,
            dtls,
            qos: None,
            lines,
            offered_way: Direction::SendRecv,
            line: None,
            needed: false,
        }
    }

    /// Our source of sound, as descriptions and packets name it.
    pub(super) fn source(&self) -> &Source {
        self.lines.source()
    }

    /// The next offer or answer brings a new key of ours.
    pub(super) fn rekey(&mut self) {
        self.rekey = true;
    }

    /// The next offer brings a new key of ours, or asks for another handshake.
    pub(super) fn renew(&mut self) -> Result<(), Error> {
        match (&self.agreed, &mut self.dtls) {
            (Some(Agreed { dtls: Some((agreement, _)), .. }), Some(side)) => side.renew(agreement),
            (Some(Agreed { keys: Some(_), .. }), _) => {
                self.rekey = true;
                Ok(())
            }
            _ => Err(Error::state("the call is not encrypted")),
        }
    }

    /// What the packets of the stream need now.
    pub(super) fn security(&self) -> Security {
        match &self.agreed {
            Some(Agreed { keys: Some(agreement), moved, .. }) => {
                let agreement = agreement.clone();
                Security::Sdes(Box::new(SdesKeys { agreement, moved: *moved }))
            }
            Some(Agreed { dtls: Some((agreement, mux)), .. }) => match &self.dtls {
                Some(side) => Security::Dtls(Box::new(side.keys(agreement, *mux))),
                None => Security::Plain,
            },
            _ => Security::Plain,
        }
    }

    /// The call may have preconditions: these of ours, and those that the peer adds.
    pub(super) fn expect(&mut self, table: QosTable, reserved: bool, callee: bool) {
        self.qos = Some(Qos { table, reserved, callee });
    }

    /// The call begins anew, with the demands that it had.
    pub(super) fn demand_like(&mut self, before: &Self) {
        self.qos = before.qos.clone();
        self.lines.like(&before.lines);
    }

    pub(super) fn knows_preconditions(&self) -> bool {
        self.qos.is_some()
    }

    pub(super) fn has_preconditions(&self) -> bool {
        self.qos.as_ref().is_some_and(|qos| !qos.table.is_empty())
    }

    /// Whether the next offer demands that the peer knows preconditions.
    pub(super) fn requires_preconditions(&self) -> bool {
        self.qos.as_ref().is_some_and(|qos| qos.table.is_mandatory())
    }

    /// Whether a mandatory precondition is not met.
    pub(super) fn waits(&self) -> bool {
        self.qos.as_ref().is_some_and(|qos| !qos.table.is_met())
    }

    /// Whether it is for us to reserve.
    pub(super) fn wants_resources(&self) -> bool {
        self.waits() && self.qos.as_ref().is_some_and(|qos| !qos.reserved)
    }

    /// Our resources are there.
    pub(super) fn reserved(&mut self) {
        if let Some(qos) = &mut self.qos {
            qos.reserved = true;
            qos.table.reserved(true);
        }
    }

    /// Whether the peer is to be told so.
    pub(super) fn take_confirm_due(&mut self) -> bool {
        self.qos.as_mut().is_some_and(|qos| qos.table.take_confirm_due())
    }

    /// What is not met, as a 580 says it.
    pub(super) fn failures(&self) -> Vec<String> {
        self.qos.as_ref().map(|qos| qos.table.failures()).unwrap_or_default()
    }

    /// The call is up: later descriptions demand nothing by themselves.
    pub(super) fn settle(&mut self) {
        if let Some(qos) = &mut self.qos {
            qos.table = QosTable::default();
        }
    }

    fn in_force(&self) -> Option<&Agreement> {
        self.agreed.as_ref().and_then(|a| a.keys.as_ref())
    }

    /// RFC 5763 §5: an anonymous call is not known again by its certificate.
    pub(super) fn show_another_certificate(&mut self, config: &crate::config::Config) {
        if let Some(side) = &mut self.dtls
            && let Ok(certified) = Certified::fresh(config)
        {
            **side = DtlsSide::new(certified);
        }
    }

    fn dtls_in_force(&self) -> Option<&DtlsAgreement> {
        self.agreed.as_ref().and_then(|a| a.dtls.as_ref()).map(|(agreement, _)| agreement)
    }

    /// Puts our side of DTLS into the stream that is protected.
    fn write_dtls(&mut self, local: &mut LocalSession, rng: &mut Rng) {
        if let (Some(media), Some(side)) = (local.media.first_mut(), &mut self.dtls)
            && media.protocol.is_dtls()
        {
            media.dtls = Some(Box::new(side.local(rng)));
        }
    }

    /// The association that follows from a description, if there is one. In a bundle the line that
    /// carries the stream has it.
    fn dtls_from(
        &self,
        session: &NegotiatedSession,
        audio: &NegotiatedMedia,
    ) -> Result<Option<(DtlsAgreement, bool)>, String> {
        let transport = session.transport(audio);
        match &self.dtls {
            Some(side) if audio.protocol.is_dtls() || transport.dtls.is_some() => {
                let agreement = side.agree(transport, self.dtls_in_force())?;
                Ok(Some((agreement, audio.rtcp_mux)))
            }
            _ => Ok(None),
        }
    }

    fn sdes(&self, profiles: Vec<Profile>) -> sdes::Config {
        let mut config = sdes::Config::default();
        config.profiles = profiles;
        config
    }

    /// Every suite that encrypts, for taking what a peer offers.
    fn all(&self) -> sdes::Config {
        self.sdes(Profile::ALL.into_iter().filter(|p| p.encrypts()).collect())
    }

    /// Writes an offer. The first stream of `local` is the one that is protected.
    pub(super) fn offer(
        &mut self,
        local: &mut LocalSession,
        rng: &mut Rng,
    ) -> Result<String, Error> {
        let mut lines = Vec::new();
        let protocol = match &self.agreed {
            Some(agreed) => {
                if let Some(keys) = &agreed.keys {
                    lines = self.lines_again(keys, rng);
                }
                agreed.protocol.clone()
            }
            None => {
                if matches!(self.policy, Srtp::Optional | Srtp::Sdes) {
                    lines = sdes::offer(&self.sdes(self.suites.clone()), rng);
                }
                match self.policy {
                    Srtp::Off | Srtp::Optional => Protocol::RtpAvp,
                    Srtp::Sdes => Protocol::RtpSavp,
                    Srtp::Dtls if self.dtls.is_some() && self.lines.webrtc() => {
                        Protocol::UdpTlsRtpSavpf
                    }
                    Srtp::Dtls if self.dtls.is_some() => Protocol::UdpTlsRtpSavp,
                    Srtp::Dtls => return Err(no_dtls()),
                }
            }
        };
        write(local, protocol, &lines);
        self.write_dtls(local, rng);
        self.lines.write_offer(local, self.sdp.is_bundled()).map_err(sdp_error)?;
        if let Some(qos) = &self.qos {
            demand(local, qos);
        }
        let offer = self.sdp.offer(local).map_err(sdp_error)?;
        self.offered_way = local.media.first().map_or(Direction::Inactive, |m| m.direction);
        self.offered = lines;
        Ok(offer)
    }

    /// RFC 4568 §7.1.4: the line in force first, with the key that it has unless that is worn out;
    /// then the other suites, should the call have got another peer.
    fn lines_again(&self, keys: &Agreement, rng: &mut Rng) -> Vec<CryptoAttribute> {
        let current = &keys.local;
        let others = self.suites.iter().copied().filter(|p| *p != current.profile());
        let mut profiles = vec![current.profile()];
        profiles.extend(others);
        let fresh = sdes::offer(&self.sdes(profiles), rng);
        let again = |line: CryptoAttribute| {
            if line.profile() != current.profile() || self.rekey {
                return line;
            }
            let keys = current.keys().to_vec();
            CryptoAttribute::new(line.tag(), keys, current.parameters()).unwrap_or(line)
        };
        fresh.into_iter().map(again).collect()
    }

    /// Answers an offer.
    pub(super) fn answer(
        &mut self,
        offer: &[u8],
        local: &mut LocalSession,
        rng: &mut Rng,
    ) -> Result<Answer, tiny_sdp::Error> {
        let description = Description::parse(offer, &self.limits.limits)?;
        self.lines.fits(&description)?;
        let plan = self.plan(&description, rng)?;
        if let Some(plan) = &plan {
            let lines = plan.keys.as_ref().map(|k| &k.local);
            write(local, plan.protocol.clone(), lines);
            self.write_dtls(local, rng);
            let waits = wants_us_passive(&description) || self.lines.opens_the_way(&description);
            let first = self.dtls_in_force().is_none() && waits;
            let sound = local.media.first_mut().filter(|_| first);
            if let Some(dtls) = sound.and_then(|media| media.dtls.as_mut()) {
                dtls.setup = Setup::Passive;
            }
        }
        // Nothing is changed by an answer that turns out unfit.
        let mut qos = self.qos.clone();
        if let Some(qos) = &mut qos
            && let Some(media) = plan.as_ref().and_then(|plan| description.media(plan.index))
        {
            qos.learn(&media)?;
            demand(local, qos);
        }
        let (sdp, answer) = self.answer_with(&description, local)?;
        let mut lines = self.lines.clone();
        if let Some(audio) = answer.session.audio() {
            lines.learn(&answer.session, audio, false)?;
            match plan.filter(|p| p.index == audio.index) {
                Some(plan) => {
                    let dtls = self.dtls_from(&answer.session, audio).map_err(|e| refused(&e))?;
                    self.agree(plan.protocol, plan.keys, dtls, &answer.session, audio);
                }
                None => return Err(refused("no stream has both a codec and keys in common")),
            }
        }
        (self.sdp, self.qos, self.lines) = (sdp, qos, lines);
        let line = answer.session.local(0);
        self.settle_line(line.map(|m| AgreedLine::of_answer(m, &description, Vec::new())));
        Ok(answer)
    }

    /// The answer with data channels where they share the transport of the sound, else without: a
    /// transport of their own is not there for them.
    fn answer_with(
        &self,
        offer: &Description,
        local: &LocalSession,
    ) -> Result<(Negotiator, Answer), tiny_sdp::Error> {
        for data in [true, false] {
            let (mut sdp, mut local) = (self.sdp.clone(), local.clone());
            self.lines.write_answer(&mut local, offer, data);
            let answer = sdp.answer_to(offer, &local)?;
            if !data || !Lines::stands_alone(&answer.session) {
                return Ok((sdp, answer));
            }
        }
        Err(refused("data channels stand alone"))
    }

    /// Which stream of sound of an offer to take: one with keys before one without. Of each protocol
    /// only the first is looked at.
    fn plan(&self, offer: &Description, rng: &mut Rng) -> Result<Option<Plan>, tiny_sdp::Error> {
        let (mut plain, mut error, mut seen) = (None, None, Vec::new());
        for (index, media) in offer.all_media().enumerate() {
            let protocol = self.meant(&media);
            let known = !matches!(protocol, Protocol::Other(_)) && !seen.contains(&protocol);
            // RFC 9143 §6: without a port of its own, but bundled.
            let off = media.port() == 0 && !media.has("bundle-only");
            if media.kind() != MediaKind::Audio || off || !known {
                continue;
            }
            seen.push(protocol.clone());
            match self.keys_for(offer, &media, &protocol, rng) {
                Ok(None) if !protocol.is_dtls() => {
                    plain.get_or_insert(Plan { index, protocol, keys: None });
                }
                Ok(keys) => return Ok(Some(Plan { index, protocol, keys })),
                Err(e) => error = error.or(Some(e)),
            }
        }
        match (plain, error) {
            (Some(plan), _) => Ok(Some(plan)),
            (None, Some(e)) => Err(refused(&e)),
            (None, None) => Ok(None),
        }
    }

    /// Old peers write `RTP/SAVPF` and mean DTLS (RFC 8829 §5.1.2): there is a fingerprint then, and
    /// no key.
    fn meant(&self, media: &MediaDescription<'_>) -> Protocol {
        let over_dtls = match media.protocol() {
            Protocol::RtpSavp => Protocol::UdpTlsRtpSavp,
            Protocol::RtpSavpf => Protocol::UdpTlsRtpSavpf,
            protocol => return protocol,
        };
        let keys = media.values("crypto").next().is_some() && self.policy != Srtp::Dtls;
        match self.dtls.is_some() && !keys && has_fingerprint(media) {
            true => over_dtls,
            false => media.protocol(),
        }
    }

    /// The keys for an offered stream; `None` to talk in the clear.
    fn keys_for(
        &self,
        offer: &Description,
        media: &MediaDescription<'_>,
        protocol: &Protocol,
        rng: &mut Rng,
    ) -> Result<Option<Agreement>, String> {
        let demanded = match protocol {
            Protocol::RtpAvp | Protocol::RtpAvpf => false,
            Protocol::RtpSavp | Protocol::RtpSavpf => true,
            Protocol::UdpTlsRtpSavp | Protocol::UdpTlsRtpSavpf => {
                return self.takes_dtls(offer).map(|()| None);
            }
            // Never planned with.
            Protocol::Other(_) => return Err("transport protocol not supported".into()),
        };
        if self.dtls_in_force().is_some() {
            return Err("encryption by DTLS cannot be taken back".into());
        }
        let forced = self.in_force().is_some() || matches!(self.policy, Srtp::Sdes | Srtp::Dtls);
        match self.policy {
            Srtp::Off if demanded => return Err("encryption is switched off here".into()),
            Srtp::Off => return Ok(None),
            Srtp::Dtls => return Err("encryption by DTLS is demanded here".into()),
            _ => {}
        }
        let lines: Vec<&str> = media.values("crypto").collect();
        if lines.is_empty() {
            return match (demanded || forced, self.in_force()) {
                (false, _) => Ok(None),
                (true, Some(_)) => Err("encryption cannot be taken back".into()),
                (true, None) if demanded => Err("RTP/SAVP without a crypto line".into()),
                (true, None) => Err("encryption is demanded here".into()),
            };
        }
        match sdes::answer(lines, &self.all(), rng) {
            Ok(agreement) => Ok(Some(self.keep_key(agreement))),
            // RFC 8643 §3: what cannot be taken is as if it was not offered.
            Err(e) if !demanded && !forced => {
                tracing::info!("talking in the clear: {e}");
                Ok(None)
            }
            Err(e) => Err(e.to_string()),
        }
    }

    /// Whether an offered stream of DTLS-SRTP can be ours; the sentence why not.
    fn takes_dtls(&self, offer: &Description) -> Result<(), String> {
        // In a bundle another line may say it.
        let known = offer.all_media().any(|media| has_fingerprint(&media));
        match self.policy {
            Srtp::Off => Err("encryption is switched off here".into()),
            Srtp::Sdes => Err("keys in the session description are demanded here".into()),
            _ if self.dtls.is_none() => Err("DTLS-SRTP is not in this build".into()),
            _ if self.in_force().is_some() => Err("the kind of encryption cannot change".into()),
            // RFC 5763 §5: without one nobody knows who is there.
            _ if !known => Err("no certificate fingerprint".into()),
            _ => Ok(()),
        }
    }

    /// An answer within a call keeps our key if suite and peer stay.
    fn keep_key(&self, new: Agreement) -> Agreement {
        let Some(old) = self.in_force().filter(|_| !self.rekey) else { return new };
        let stays = old.profile() == new.profile() && new.continues(old).1;
        let keys: Vec<MasterKey> = old.local.keys().to_vec();
        match CryptoAttribute::new(new.local.tag(), keys, new.local.parameters()) {
            Ok(local) if stays => Agreement { local, ..new },
            _ => new,
        }
    }

    /// Takes the peer's answer to our offer.
    pub(super) fn accept_answer(&mut self, answer: &[u8]) -> Result<NegotiatedSession, Error> {
        if !self.sdp.is_offering() {
            return Err(sdp_error(tiny_sdp::Error::NoOffer));
        }
        let description = Description::parse(answer, &self.limits.limits)
            .map_err(|e| sdp_error(tiny_sdp::Error::Parse(e)))?;
        let mut sdp = self.sdp.clone();
        let session = sdp.accept_parsed_answer(&description).map_err(sdp_error)?;
        if let Some(audio) = session.audio() {
            let media = description.media(audio.index);
            if let (Some(qos), Some(media)) = (&mut self.qos, &media)
                && !qos.learn(media).map_err(sdp_error)?
            {
                // The peer knows nothing of them: nobody waits (§11).
                qos.table = QosTable::default();
            }
            let keys = match media {
                Some(media) => self.keys_from(&media, audio)?,
                None => None,
            };
            let dtls = self.dtls_from(&session, audio);
            let dtls = dtls.map_err(|e| Error::state(format!("encryption: {e}")))?;
            self.lines.learn(&session, audio, true).map_err(sdp_error)?;
            self.lines.answered();
            self.agree(audio.protocol.clone(), keys, dtls, &session, audio);
        }
        self.offered.clear();
        self.sdp = sdp;
        let (line, way) = (session.local(0), self.offered_way);
        self.settle_line(line.map(|m| AgreedLine::of_offer(m, &description, way, Vec::new())));
        Ok(session)
    }

    fn keys_from(
        &self,
        media: &MediaDescription<'_>,
        audio: &NegotiatedMedia,
    ) -> Result<Option<Agreement>, Error> {
        if self.offered.is_empty() {
            return Ok(None);
        }
        let lines: Vec<&str> = media.values("crypto").collect();
        if lines.is_empty() {
            let may = !audio.protocol.is_secure() && self.in_force().is_none();
            return match self.policy {
                Srtp::Off | Srtp::Optional if may => Ok(None),
                _ => Err(Error::state("encryption: the answer has no crypto line")),
            };
        }
        sdes::accept(&self.offered, lines, &self.all())
            .map(Some)
            .map_err(|e| Error::state(format!("encryption: {e}")))
    }

    fn agree(
        &mut self,
        protocol: Protocol,
        keys: Option<Agreement>,
        dtls: Option<(DtlsAgreement, bool)>,
        session: &NegotiatedSession,
        audio: &NegotiatedMedia,
    ) {
        // On hold the peer may have no address: that is no move.
        let before = self.agreed.as_ref().and_then(|a| a.peer.clone());
        let peer = audio.remote_rtp.clone().or_else(|| before.clone());
        // With ICE another address in the description is another path to the same peer.
        let other = session.transport(audio).ice.as_ref().is_none_or(|ice| ice.restarted);
        let moved = before.is_some() && before != peer && other;
        self.rekey = false;
        self.agreed = Some(Agreed { protocol, keys, dtls, peer, moved });
    }

    /// Forgets an offer that was refused.
    pub(super) fn rollback(&mut self) {
        self.offered.clear();
        self.lines.described_mut().rollback();
        self.sdp.rollback();
    }
}

// Directions (W3C WebRTC §4.7.3). A call has one stream of sound, whose name never changes: names of media
// streams are no reason to ask the peer.
impl Negotiation {
    /// An exchange is complete; without a line of ours, it was rejected.
    fn settle_line(&mut self, line: Option<AgreedLine>) {
        let rejected = || Some(AgreedLine { rejected: true, ..self.line.clone()? });
        (self.line, self.needed) = (line.or_else(rejected), false);
    }

    /// Our sound, as the descriptions in force have it.
    pub(super) fn line(&self) -> Option<&AgreedLine> {
        self.line.as_ref()
    }

    /// Whether an offer of ours waits for its answer.
    pub(super) fn is_offering(&self) -> bool {
        self.sdp.is_offering()
    }

    /// Whether the peer has yet to hear of this direction.
    pub(super) fn must_tell(&self, wished: Direction) -> bool {
        let line = self.line.as_ref().filter(|line| !line.rejected);
        line.is_some_and(|line| line.must_tell(wished, &[]))
    }

    /// Sets what the application knows; what it knew.
    pub(super) fn note_needed(&mut self, needed: bool) -> bool {
        std::mem::replace(&mut self.needed, needed)
    }
}

// What the engine says and asks of the transport.
impl Negotiation {
    /// The browser profile (JSEP): ICE, DTLS and one port, or nothing. The policy is
    /// [`Srtp::Dtls`] then.
    pub(super) fn set_webrtc(&mut self, on: bool) {
        self.lines.set_webrtc(on);
        if on {
            self.policy = Srtp::Dtls;
        }
    }

    /// What the next descriptions say of ICE; `None` for none.
    pub(super) fn set_ice(&mut self, ice: Option<LocalIce>) {
        self.lines.set_ice(ice);
    }

    /// The peer is known to have no ICE.
    pub(super) fn refuse_ice(&mut self) {
        self.lines.refuse_ice();
    }

    /// The peer's side of ICE, after an exchange that agreed on it.
    pub(super) fn ice_peer(&self) -> Option<IcePeer> {
        self.lines.peer()
    }

    /// Why the last exchange brought no ICE although we wanted it.
    pub(super) fn ice_refusal(&self) -> Option<IceRefusal> {
        self.lines.refusal()
    }

    /// Whether an offer has ICE.
    pub(super) fn wants_ice(&self, offer: &[u8]) -> bool {
        Description::parse(offer, &self.limits.limits).is_ok_and(|offer| wants_ice(&offer))
    }

    /// Whether an offer of the peer restarts ICE: its answer needs new credentials of ours.
    pub(super) fn peer_restarts_ice(&self, offer: &[u8]) -> bool {
        let offer = Description::parse(offer, &self.limits.limits);
        offer.is_ok_and(|offer| self.sdp.ice_restart(&offer))
    }

    /// Data channels as we take them where they are offered over DTLS with the sound; `None`
    /// rejects them.
    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) fn take_data(&mut self, data: Option<LocalData>) {
        self.lines.take_data(data);
    }

    /// Whether the next offer has a line of data channels. Once agreed it stays.
    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) fn offer_data(&mut self, on: bool) {
        self.lines.offer_data(on);
    }

    /// The data channels that descriptions set up.
    pub(super) fn described(&self) -> &Described {
        self.lines.described()
    }

    /// To change which ones.
    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) fn described_mut(&mut self) -> &mut Described {
        self.lines.described_mut()
    }

    /// The data channels that were agreed on.
    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) fn data(&self) -> Option<DataAgreement> {
        self.lines.data().cloned()
    }
}

impl Qos {
    /// Takes the peer's word on the stream.
    fn learn(&mut self, media: &MediaDescription<'_>) -> Result<bool, tiny_sdp::Error> {
        let learnt = self.table.learn(media, self.reserved);
        learnt.map_err(|unknown| tiny_sdp::Error::Precondition(unknown.kind))
    }
}

/// Writes the preconditions of the first stream.
fn demand(local: &mut LocalSession, qos: &Qos) {
    if let Some(media) = local.media.first_mut() {
        media.attributes.extend(qos.table.attributes(qos.callee));
    }
}

fn write<'a>(
    local: &mut LocalSession,
    protocol: Protocol,
    lines: impl IntoIterator<Item = &'a CryptoAttribute>,
) {
    let Some(media) = local.media.first_mut() else { return };
    media.protocol = protocol;
    let lines = lines.into_iter().map(|l| LocalAttribute::new("crypto", l.to_string()));
    media.attributes.extend(lines);
}

fn has_fingerprint(media: &MediaDescription<'_>) -> bool {
    media.fingerprints().into_iter().any(|f| f.is_ok())
}

fn no_dtls() -> Error {
    Error::config("srtp", "DTLS-SRTP is not in this build")
}

/// An offer whose encryption does not fit, as the negotiator would say it.
fn refused(what: &str) -> tiny_sdp::Error {
    tiny_sdp::Error::Security(what.to_owned())
}

pub(super) fn sdp_error(e: tiny_sdp::Error) -> Error {
    match e {
        tiny_sdp::Error::Security(what) => Error::state(format!("encryption: {what}")),
        tiny_sdp::Error::Ice(why) => Error::state(format!("ICE: {why}")),
        e => Error::state(format!("session description: {e}")),
    }
}
