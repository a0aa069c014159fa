//! What the descriptions of a call say of its transport beside keys: ICE (RFC 8839), the browser
//! profile (JSEP, RFC 8829), one transport for all (RFC 9143), data channels (RFC 8841). Gathers
//! nothing, checks no path, opens no channel.

use super::described::Described;
use crate::media::{DataAgreement, IcePeer, LocalIce};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tiny_media::MidExtension;
use tiny_net::ice::{IceAttribute, IceOptions};
use tiny_sak::{Rng, id};
use tiny_sdp::attribute::{Msid, RemoteCandidate, Ssrc, SsrcAttribute};
use tiny_sdp::{
    AttributeList, BundlePolicy, Description, Error, Host, IceCredentials, IceRefusal, LocalData,
    LocalMedia, LocalRtp, LocalSession, MID_EXTENSION, MediaKind, NegotiatedIce, NegotiatedMedia,
    NegotiatedSession, Text,
};

/// RFC 8841 §6.1: what is taken of who says nothing.
const DEFAULT_MESSAGE_SIZE: u64 = 65_536;

/// The place of the data channels in our list of streams; sound is the first.
const DATA: usize = 1;

/// What is written, and what follows from the peer's word. Each fork of an INVITE has its own.
#[derive(Clone)]
pub(super) struct Lines {
    ice: Option<Box<LocalIce>>,
    webrtc: bool,
    /// Data channels as we take them; `None` rejects their line.
    data: Option<LocalData>,
    offers_data: bool,
    /// Those that descriptions set up.
    described: Described,
    /// Our offer that waits has their line.
    asked: bool,
    source: Source,
    agreed: Agreed,
}

/// Our synchronization source and canonical name, for the life of the call.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) cname: String,
}

/// What the last exchange brought.
#[derive(Clone, Default)]
struct Agreed {
    peer: Option<Box<IcePeer>>,
    /// Why there is no ICE, and under which name of ours it was refused.
    refusal: Option<(IceRefusal, String)>,
    mux: bool,
    data: Option<DataAgreement>,
}

impl Lines {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            ice: None,
            webrtc: false,
            data: None,
            offers_data: false,
            described: Described::default(),
            asked: false,
            source: Source { ssrc: id::ssrc(rng), cname: id::cname(rng).to_string() },
            agreed: Agreed::default(),
        }
    }

    /// The call begins anew, with the wishes that it had; its source stays what it is.
    pub(super) fn like(&mut self, before: &Self) {
        self.source = before.source.clone();
        (self.webrtc, self.ice) = (before.webrtc, before.ice.clone());
        (self.data, self.offers_data) = (before.data.clone(), before.offers_data);
        self.described.like(&before.described);
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn set_webrtc(&mut self, on: bool) {
        self.webrtc = on;
    }

    pub(super) fn webrtc(&self) -> bool {
        self.webrtc
    }

    pub(super) fn set_ice(&mut self, ice: Option<LocalIce>) {
        self.ice = ice.map(Box::new);
    }

    pub(super) fn peer(&self) -> Option<IcePeer> {
        self.agreed.peer.as_deref().cloned()
    }

    pub(super) fn refusal(&self) -> Option<IceRefusal> {
        self.agreed.refusal.as_ref().map(|(why, _)| *why)
    }

    /// The peer is known to have no ICE: it is offered none, but the address that we have with it.
    pub(super) fn refuse_ice(&mut self) {
        let ufrag = self.ice.as_ref().map(|ice| ice.ufrag.clone());
        self.agreed.refusal = ufrag.map(|ufrag| (IceRefusal::NotSupported, ufrag));
    }

    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) fn take_data(&mut self, data: Option<LocalData>) {
        self.data = data;
    }

    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) fn offer_data(&mut self, on: bool) {
        self.offers_data = on;
    }

    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) fn data(&self) -> Option<&DataAgreement> {
        self.agreed.data.as_ref()
    }

    pub(super) fn described(&self) -> &Described {
        &self.described
    }

    pub(super) fn described_mut(&mut self) -> &mut Described {
        &mut self.described
    }

    /// Whether the peer's offer can be answered in the profile at all.
    pub(super) fn fits(&self, offer: &Description) -> Result<(), Error> {
        match self.webrtc && !wants_ice(offer) {
            // RFC 8835 §3.4: no browser sends to where no check went.
            true => Err(Error::Ice(IceRefusal::NotSupported)),
            false => Ok(()),
        }
    }

    /// Completes an offer, whose first stream has its keys already. `bundled`: streams share their
    /// transport already.
    pub(super) fn write_offer(
        &mut self,
        local: &mut LocalSession,
        bundled: bool,
    ) -> Result<(), Error> {
        let with_data = self.data.is_some() && (self.offers_data || self.agreed.data.is_some());
        let dtls = local.media.first().is_some_and(|m| m.protocol.is_dtls());
        if with_data && !dtls {
            let what = "they need DTLS, which this call does not have";
            return Err(Error::Local { field: "data channels", what });
        }
        let refused = self.agreed.refusal.as_ref().map(|(_, ufrag)| ufrag.as_str());
        let ice = self.ice.as_deref().filter(|ice| refused != Some(ice.ufrag.as_str()));
        self.write_stream(local, ice, true);
        if self.webrtc || bundled || with_data {
            local.bundle = BundlePolicy::MaxBundle;
        }
        if with_data && let Some(mut data) = self.data.clone() {
            self.described.offer(&mut data);
            write_data(local, data);
        }
        self.asked = with_data;
        Ok(())
    }

    /// Whether we, who may be behind a NAT, wait for the handshake of a peer without ICE: as it comes
    /// from behind its own, and we open ours for it (RFC 5763 §6.7.1); that those who wait open theirs
    /// is known of nobody.
    pub(super) fn opens_the_way(&self, offer: &Description) -> bool {
        self.ice.is_some() && !wants_ice(offer)
    }

    /// Completes an answer. With `data` the line of data channels is taken, if it is offered.
    pub(super) fn write_answer(&self, local: &mut LocalSession, offer: &Description, data: bool) {
        self.write_stream(local, self.ice.as_deref(), false);
        let Some(media) = local.media.first_mut() else { return };
        // RFC 9143 §9.3: what is bundled multiplexes.
        if media.rtcp_mux || media.rtcp_mux_only {
            local.bundle = BundlePolicy::MaxBundle;
        }
        if media.rtp.is_none() && offer.all_media().any(|m| m.has("msid")) {
            media.rtp = Some(Box::new(self.rtp()));
        }
        if data
            && media.protocol.is_dtls()
            && let Some(mut data) = self.data.clone()
        {
            self.described.answer(&mut data, offer);
            write_data(local, data);
        }
    }

    /// Our offer is answered. A peer that rejects the line is not asked with every later offer.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.asked) {
            self.offers_data &= self.agreed.data.is_some();
        }
    }

    fn write_stream(&self, local: &mut LocalSession, ice: Option<&LocalIce>, offering: bool) {
        if let Some(ice) = ice {
            self.write_ice(local, ice, offering);
        } else if let Some(ice) = &self.ice {
            // The peer has no ICE: it gets the address that we have without.
            write_address(local, ice, offering && self.agreed.mux);
        }
        if !self.webrtc {
            return;
        }
        local.media_connections = true;
        if let Some(media) = local.media.first_mut() {
            media.rtcp_mux_only = true;
            media.rtcp_port = None;
            media.rtp = Some(Box::new(self.rtp()));
        }
    }

    /// JSEP §5.2.1: the media stream that our sound belongs to, and its source.
    fn rtp(&self) -> LocalRtp {
        let Source { ssrc, cname } = &self.source;
        let mut source = Ssrc::new(*ssrc, SsrcAttribute::Cname);
        source.value = Some(cname.clone());
        LocalRtp {
            msids: vec![Msid::new(cname, Some("audio"))],
            ssrcs: vec![source],
            // RFC 8829 §5.2.1
            rtcp_rsize: true,
            ..LocalRtp::default()
        }
    }

    fn write_ice(&self, local: &mut LocalSession, ice: &LocalIce, offering: bool) {
        write_address(local, ice, offering && self.agreed.mux);
        local.ice_options = Text::from(ice.options.to_string());
        local.ice_lite = ice.lite;
        let Some(media) = local.media.first_mut() else { return };
        // RFC 8858: who has nothing but one port has one component.
        let one = self.webrtc || (offering && self.agreed.mux);
        let pwd = Text::copy(ice.password.expose());
        let mut written = tiny_sdp::LocalIce::new(IceCredentials::new(Text::copy(&ice.ufrag), pwd));
        written.candidates = ice
            .candidates
            .iter()
            .filter(|c| !one || c.component == 1)
            .filter_map(|c| c.to_string().parse().ok())
            .collect();
        written.end_of_candidates = ice.done;
        // RFC 8839 §4.4.1.2.2: the offers of who controls name what it chose.
        if offering {
            let chosen = ice.remote_candidates.iter().filter(|(c, _)| !one || *c == 1);
            let chosen =
                chosen.map(|(c, at)| RemoteCandidate::new((*c).into(), at.ip(), at.port()));
            written.remote_candidates = chosen.collect();
        }
        media.ice = Some(Box::new(written));
        // RFC 8840 §4.1: what trickles names its line.
        if offering && ice.options.trickle {
            media.mid.get_or_insert(Text::fixed("0"));
        }
    }

    /// Whether data channels were agreed on, but not on the transport of the sound.
    pub(super) fn stands_alone(session: &NegotiatedSession) -> bool {
        let Some(data) = data_of(session) else { return false };
        session.audio().is_none_or(|audio| audio.carrier != data.carrier)
    }

    /// Takes what an exchange brought; `offered`: the offer was ours. `Err`: the profile forbids it; nothing has changed.
    pub(super) fn learn(
        &mut self,
        session: &NegotiatedSession,
        audio: &NegotiatedMedia,
        offered: bool,
    ) -> Result<(), Error> {
        let transport = session.transport(audio);
        let wanted = self.ice.as_deref().filter(|_| transport.ice.is_none());
        let refused = wanted.and_then(|ice| Some((transport.ice_refusal?, ice.ufrag.clone())));
        if self.webrtc && self.ice.is_some() && transport.ice.is_none() {
            let why = refused.map_or(IceRefusal::NotSupported, |(why, _)| why);
            return Err(Error::Ice(why));
        }
        let data = data_of(session).and_then(|media| {
            let (agreed, ours) = (media.data.as_deref()?, self.data.as_ref()?);
            self.described.settle(agreed, offered);
            let (channels, own) = self.described.in_force();
            Some(DataAgreement {
                local_port: ours.sctp_port,
                remote_port: agreed.remote_sctp_port,
                local_max_message_size: ours.max_message_size.unwrap_or(DEFAULT_MESSAGE_SIZE),
                remote_max_message_size: agreed.remote_max_message_size,
                channels,
                ours: own,
            })
        });
        if data.is_none() {
            self.described.clear();
        }
        self.agreed = Agreed {
            peer: transport.ice.as_deref().map(|ice| Box::new(peer_of(ice, transport))),
            // What was refused stays so until there are other credentials.
            refusal: match wanted {
                Some(_) => refused.or_else(|| self.agreed.refusal.take()),
                None => None,
            },
            mux: transport.rtcp_mux,
            data,
        };
        Ok(())
    }
}

/// Whether an offer has ICE for its sound.
pub(super) fn wants_ice(offer: &Description) -> bool {
    let mut sound = offer.all_media().filter(|m| m.kind() == MediaKind::Audio);
    sound.any(|m| m.ice_ufrag().is_some() && m.ice_pwd().is_some())
}

/// Whether RTCP of the peer may come without a report in front (RFC 5506 §5).
pub(super) fn rsize_of(media: &NegotiatedMedia) -> bool {
    media.rtp.as_deref().is_some_and(|rtp| rtp.rtcp_rsize)
}

/// How our packets name their line (RFC 9143 §15.2), if both sides agreed on it.
pub(super) fn mid_of(media: &NegotiatedMedia) -> Option<MidExtension> {
    let agreed = media.rtp.as_deref()?.extensions.iter().find(|e| e.uri == *MID_EXTENSION)?;
    let mid = MidExtension { id: agreed.id, mid: media.mid.as_ref()?.to_string() };
    Some(mid).filter(|mid| agreed.direction.sends() && mid.is_valid())
}

/// RFC 8841: a line of its own, on the transport of the sound.
fn write_data(local: &mut LocalSession, data: LocalData) {
    let Some(sound) = local.media.first() else { return };
    let mut media = LocalMedia::data_channel(sound.port, data);
    // It may be the line that speaks for both.
    media.address = sound.address.clone();
    media.dtls = sound.dtls.clone();
    media.ice = sound.ice.clone();
    local.media.truncate(DATA);
    local.media.push(media);
}

fn data_of(session: &NegotiatedSession) -> Option<&NegotiatedMedia> {
    session.active().find(|m| m.data.is_some())
}

/// RFC 8839 §4.2.1.2: what peers without ICE send to.
fn write_address(local: &mut LocalSession, ice: &LocalIce, mux: bool) {
    if ice.hidden {
        // RFC 8829 §5.2.1: an `o=` line that says nothing.
        local.origin_address = Some(Host::Ip(Ipv4Addr::UNSPECIFIED.into()));
        local.address = Host::Ip(ice.default_rtp.ip());
    }
    let Some(media) = local.media.first_mut() else { return };
    media.address = Some(Host::Ip(ice.default_rtp.ip()));
    media.port = ice.default_rtp.port();
    let rtcp = ice.default_rtcp.filter(|_| !mux);
    media.rtcp_port = rtcp.map(|rtcp| rtcp.port());
    media.rtcp_address =
        rtcp.filter(|rtcp| rtcp.ip() != ice.default_rtp.ip()).map(|r| r.ip().into());
}

/// A candidate as the agent reads it.
pub(super) fn candidate_of(
    candidate: &tiny_sdp::attribute::Candidate,
) -> Option<tiny_net::ice::Candidate> {
    candidate.to_string().parse().ok()
}

fn peer_of(ice: &NegotiatedIce, transport: &NegotiatedMedia) -> IcePeer {
    let options = match IceAttribute::parse("ice-options", Some(&ice.remote_options)) {
        Ok(Some(IceAttribute::Options(options))) => options,
        _ => IceOptions::default(),
    };
    // RFC 8839 §4.4.1.2.2: it sends from what is its default then.
    let chosen = ice.remote_candidates.iter().filter_map(|chosen| {
        let component = u16::try_from(chosen.component_id).ok()?;
        let theirs = match component {
            1 => transport.remote_rtp.as_ref(),
            _ => transport.remote_rtcp.as_ref(),
        }?;
        let theirs = SocketAddr::new(theirs.host.ip()?, theirs.port);
        Some((component, SocketAddr::new(chosen.address, chosen.port), theirs))
    });
    IcePeer {
        chosen: chosen.collect(),
        ufrag: ice.remote.ufrag.to_string(),
        password: ice.remote.pwd.as_str().into(),
        lite: ice.remote_lite,
        options,
        pace: ice.remote_pacing.map(|ms| Duration::from_millis(ms.into())),
        // What is no candidate to the agent is left out (RFC 8839 §5.1).
        candidates: ice.candidates.iter().filter_map(candidate_of).collect(),
        // Who does not trickle has said all.
        done: ice.end_of_candidates || !ice.remote_trickle,
    }
}
