//! Making answers (RFC 3264 §6), and what both sides of an exchange conclude alike.

use super::bundle::{self, Remotes};
use super::offer::taken_elsewhere;
use super::print::{Printer, RtcpLines};
use super::section;
use super::slot::{PayloadTypes, Slot};
use super::{Negotiator, file, same_encoding};
use crate::bundle::{Members, groups};
use crate::codec::is_auxiliary;
use crate::remote::{Format, RemoteMedia};
use crate::{
    AnswerOrder, BundlePolicy, Description, Direction, Error, Host, LocalMedia, LocalSession,
    NegotiatedCodec, NegotiatedMedia, NegotiatedSession, ReceiveFormat, Rejection, Text, fmtp,
};
use smallvec::SmallVec;
use std::net::IpAddr;

/// A format of an answer: one of our codecs, the offered format it meets (none: an additional one),
/// and our parameters.
struct Match<'r, 'a> {
    local: usize,
    offered: Option<&'r Format<'a>>,
    fmtp: Text,
    recv_pt: u8,
}

impl Match<'_, '_> {
    fn feedback(&self, remote: &RemoteMedia<'_>, ours: &LocalMedia) -> Vec<Text> {
        let ours = &ours.codecs[self.local].feedback;
        self.offered.map(|f| remote.common_feedback(f.pt, ours)).unwrap_or_default()
    }
}

type Matches<'r, 'a> = SmallVec<[Match<'r, 'a>; 8]>;

/// For each line which stream of ours it is, or why none.
type Choices<'r, 'a> = SmallVec<[Result<(usize, Matches<'r, 'a>), Rejection>; 2]>;

impl Negotiator {
    pub(super) fn make_answer(
        &self,
        offer: &Description,
        local: &LocalSession,
    ) -> Result<(Printer, Vec<Slot>, NegotiatedSession), Error> {
        let count = offer.media_count();
        // §8: the number of lines never decreases.
        if count < self.slots.len() {
            return Err(Error::MediaCount { expected: self.slots.len(), found: count });
        }
        let mut slots = Vec::with_capacity(count);
        slots.extend_from_slice(&self.slots);
        let mut free: SmallVec<[bool; 8]> = local.media.iter().map(|m| m.port != 0).collect();

        let ipv6 = family(offer);
        let host = pick(&local.address, local.other_address, ipv6).unwrap_or_else(|h| h);
        // §6: the t= line of the answer equals the offer's.
        let times: SmallVec<[(u64, u64); 1]> =
            offer.times().iter().map(|t| (t.start_time, t.stop_time)).collect();
        let named_ipv6 = host.ip().map_or(ipv6 == Some(true), |ip| ip.is_ipv6());

        let (remotes, groups) = bundle::read(offer, local.bundle != BundlePolicy::Off);
        let mut choices: Choices<'_, '_> = SmallVec::new();
        for (index, remote) in remotes.iter().enumerate() {
            if index == slots.len() {
                slots.push(Slot::new(remote.kind.clone(), remote.protocol.clone()));
            }
            let choice = self.choose_stream(offer, &slots, index, remote, local, &free);
            match &choice {
                Ok((ours, _)) => {
                    free[*ours] = false;
                    take(&mut slots[index], remote, *ours);
                }
                Err(_) => slots[index].active = false,
            }
            choices.push(choice);
        }
        let bundles = join(&mut slots, &mut choices, &groups, &remotes, local);

        let ice = remotes.iter().any(|r| r.ice) && local.media.iter().any(|m| m.ice.is_some());
        let mut p = Printer::session(local, &host, named_ipv6, &times, ice)?;
        for members in &bundles {
            p.group("BUNDLE", members.iter().filter_map(|m| slots[*m].mid.as_ref()))?;
        }
        if !bundles.is_empty() || local.media.iter().any(|m| m.rtp.is_some()) {
            lip_sync(&mut p, offer, &slots)?;
        }
        let mut media = Vec::with_capacity(count);
        let mut refused: SmallVec<[Rejection; 4]> = SmallVec::new();
        for (index, choice) in choices.into_iter().enumerate() {
            let remote = &remotes[index];
            media.push(match choice {
                Ok((at, matches)) => self.accept_stream(
                    &mut p, offer, &mut slots, index, &remotes, local, at, matches,
                )?,
                Err(why) => {
                    if why != Rejection::NotOffered {
                        refused.push(why);
                    }
                    reject_stream(&mut p, &mut slots[index], index, remote, why, local)?
                }
            });
        }
        // §6.1: when nothing is in common for any stream, the whole offer is rejected.
        if !refused.is_empty() && media.iter().all(|m| m.rejected) {
            return Err(Error::NothingInCommon(refused.into_vec()));
        }
        Ok((p, slots, NegotiatedSession { media }))
    }

    /// Which of our streams meets an offered one: the one that is in this line already, else the
    /// first free one that fits.
    fn choose_stream<'r, 'a>(
        &self,
        offer: &Description,
        slots: &[Slot],
        index: usize,
        remote: &'r RemoteMedia<'a>,
        local: &LocalSession,
        free: &[bool],
    ) -> Result<(usize, Matches<'r, 'a>), Rejection> {
        if !remote.is_active() {
            return Err(Rejection::NotOffered);
        }
        if remote.is_multicast() {
            return Err(Rejection::Multicast);
        }
        let held = slots[index].local.map(usize::from);
        let elsewhere = |l: usize| {
            slots
                .iter()
                .enumerate()
                .any(|(i, s)| i != index && s.active && s.local.map(usize::from) == Some(l))
        };
        let others = (0..local.media.len()).filter(|l| Some(*l) != held && !elsewhere(*l));
        let mut why = Rejection::NoLocalMedia;
        for at in held.into_iter().chain(others) {
            let Some(ours) = local.media.get(at).filter(|_| free[at]) else { continue };
            if ours.kind != remote.kind || ours.line.is_some_and(|l| usize::from(l) != index) {
                continue;
            }
            let feedback = self.config.accept_feedback_profile;
            if !ours.may_answer(&remote.protocol, feedback) {
                why = Rejection::Protocol;
                continue;
            }
            if let Some(unfit) = unfit(offer, index, ours, remote) {
                why = unfit;
                continue;
            }
            if address(local, ours, remote).is_err() {
                why = Rejection::AddressFamily;
                continue;
            }
            match common_formats(ours, remote) {
                Some(matches) => return Ok((at, matches)),
                None => why = Rejection::NoCommonFormat,
            }
        }
        Err(why)
    }

    #[allow(clippy::too_many_arguments)]
    fn accept_stream(
        &self,
        p: &mut Printer,
        offer: &Description,
        slots: &mut [Slot],
        index: usize,
        remotes: &Remotes<'_>,
        local: &LocalSession,
        at: usize,
        mut matches: Matches<'_, '_>,
    ) -> Result<NegotiatedMedia, Error> {
        let elsewhere = taken_elsewhere(slots, index);
        let remote = &remotes[index];
        let carrier = slots[index].bundle.map_or(index, usize::from);
        let (bundled, carries) = (slots[index].bundle.is_some(), carrier == index);
        let ours = &local.media[at];
        let speaker = slots[carrier].local.and_then(|l| local.media.get(usize::from(l)));
        let speaker = speaker.unwrap_or(ours);
        let slot = &mut slots[index];

        if self.config.additional_formats {
            additional_formats(ours, &mut matches);
        }
        if self.config.answer_order == AnswerOrder::Local {
            matches.sort_by_key(|m| m.local);
        }
        slot.reserve(matches.iter().map(|m| &ours.codecs[m.local]));
        let mut used = PayloadTypes::default();
        for m in &mut matches {
            let mirrored = m.offered.filter(|_| self.config.mirror_payload_types).map(|f| f.pt);
            let codec = &ours.codecs[m.local];
            let Some(pt) = slot.choose(codec, mirrored, &mut used, elsewhere) else {
                return Err(Error::Local { field: "codecs", what: "no payload type is left" });
            };
            m.recv_pt = pt;
        }
        for format in &remote.formats {
            slot.note_peer(format.pt);
        }

        let mux = ours.rtcp_mux || ours.rtcp_mux_only || bundled;
        let rtcp_mux = remote.protocol.is_rtp() && mux && (remote.rtcp_mux || !carries);
        let mut media = agreed(index, remote, ours.direction, rtcp_mux);
        media.local = Some(at);
        media.mid = slot.mid.clone();
        media.carrier = carrier;
        if !carries {
            media.remote_rtp = remotes[carrier].rtp();
            media.remote_rtcp = remotes[carrier].rtcp(true);
        }
        p.media(remote.kind.as_str(), speaker.port, remote.protocol.as_str())?;
        for m in &matches {
            p.payload_type(m.recv_pt);
        }
        if !remote.protocol.is_rtp() {
            media.formats = common_tokens(ours, remote);
            for format in &media.formats {
                p.format(format)?;
            }
        }
        p.end();
        let host = address(local, speaker, remote).unwrap_or_else(|h| h);
        if local.media_connections || speaker.address.is_some() {
            let ipv6 = host.ip().map_or(remote.ipv6 == Some(true), |ip| ip.is_ipv6());
            p.connection(&host, ipv6)?;
        }
        p.bandwidth(ours.bandwidth);
        for m in &matches {
            p.codec(m.recv_pt, &ours.codecs[m.local], &m.fmtp)?;
        }
        let with_ice = ours.ice.is_some() && remote.ice;
        let own = carries && !(with_ice && rtcp_mux);
        let address = with_ice.then_some(&host);
        let rtcp = RtcpLines { mux: rtcp_mux && carries, own, address };
        let explicit = self.config.explicit_sendrecv;
        p.stream(ours, media.direction, explicit, rtcp, slot.mid.as_ref())?;
        for m in &matches {
            let feedback = m.feedback(remote, ours);
            p.feedback(m.recv_pt, &feedback)?;
        }
        section::answer(
            p,
            offer,
            remote,
            slot,
            ours,
            (bundled, carries),
            &self.config,
            &mut media,
        )?;
        p.others(ours)?;

        let count = matches.len();
        for m in matches {
            let codec = &ours.codecs[m.local];
            let feedback = m.feedback(remote, ours);
            let name = codec.name.clone();
            let (clock_rate, channels, recv_pt) = (codec.clock_rate, codec.channels, m.recv_pt);
            let local_fmtp = m.fmtp;
            match m.offered {
                Some(format) => {
                    let remote_fmtp = Text::copy(format.fmtp);
                    let send_pt = format.pt;
                    let codec = NegotiatedCodec {
                        name,
                        clock_rate,
                        channels,
                        send_pt,
                        recv_pt,
                        remote_fmtp,
                        local_fmtp,
                        feedback,
                    };
                    file(&mut media, codec, count);
                }
                None => media.receive_only.push(ReceiveFormat {
                    name,
                    clock_rate,
                    channels,
                    recv_pt,
                    local_fmtp,
                }),
            }
        }
        Ok(media)
    }
}

/// Puts a stream of ours in a line.
fn take(slot: &mut Slot, remote: &RemoteMedia<'_>, at: usize) {
    if !slot.active {
        slot.reuse(remote.kind.clone(), remote.protocol.clone());
    }
    slot.active = true;
    slot.kind = remote.kind.clone();
    slot.protocol = remote.protocol.clone();
    slot.local = u16::try_from(at).ok();
    slot.mid = remote.mid.map(Text::copy);
}

/// What the transport of a stream lacks.
fn unfit(
    offer: &Description,
    index: usize,
    ours: &LocalMedia,
    remote: &RemoteMedia<'_>,
) -> Option<Rejection> {
    if !section::dtls_fits(offer, index, remote.bundle, ours, &remote.protocol) {
        return Some(Rejection::Dtls);
    }
    if ours.data.is_some() && offer.media(index).is_none_or(|m| crate::data::read(&m).is_none()) {
        return Some(Rejection::Sctp);
    }
    if remote.bundle_only && remote.bundle.is_some() && !ours.bundle {
        return Some(Rejection::Bundle);
    }
    // RFC 8858 §4.3. In a bundle the first line speaks for all.
    let follows = remote.bundle.is_some_and(|first| first != index);
    let clash = (remote.rtcp_mux_only && !ours.rtcp_mux && !ours.rtcp_mux_only)
        || (ours.rtcp_mux_only && !remote.rtcp_mux);
    // What is bundled multiplexes, whatever we wish else.
    let counts = ours.rtcp_mux_only || remote.bundle.is_none() || !ours.bundle;
    (remote.protocol.is_rtp() && clash && counts && !follows).then_some(Rejection::RtcpMux)
}

/// RFC 9143 §7.3: the bundles of the answer. A line that can only be bundled, and is not to be, is
/// rejected.
fn join(
    slots: &mut [Slot],
    choices: &mut Choices<'_, '_>,
    groups: &[Members],
    remotes: &Remotes<'_>,
    local: &LocalSession,
) -> Vec<Members> {
    let mut tags: SmallVec<[Option<usize>; 4]> = SmallVec::from_elem(None, slots.len());
    let mut bundles = Vec::new();
    for members in groups {
        let may = |m: &usize| choices[*m].as_ref().is_ok_and(|(at, _)| local.media[*at].bundle);
        let mut accepted: Members = members.iter().copied().filter(may).collect();
        let tag = bundle::choose_tag(members, &accepted, remotes);
        // What is encrypted by DTLS shares no transport with what is not.
        let over_dtls = |m: usize| match &choices[m] {
            Ok((at, _)) => local.media[*at].dtls_over(&remotes[m].protocol).is_some(),
            Err(_) => false,
        };
        accepted.retain(|m| tag.is_some_and(|tag| over_dtls(*m) == over_dtls(tag)));
        let mut bundle = Members::new();
        bundle.extend(tag);
        for m in members.iter().copied() {
            if tag.is_some() && accepted.contains(&m) {
                tags[m] = tag;
                if tag != Some(m) {
                    bundle.push(m);
                }
            } else if choices[m].is_ok()
                && m != members[0]
                && !bundle::has_own_transport(remotes, members[0], m)
            {
                choices[m] = Err(Rejection::Bundle);
                slots[m].active = false;
            }
        }
        if !bundle.is_empty() {
            bundles.push(bundle);
        }
    }
    for (index, tag) in tags.iter().enumerate() {
        if *tag == Some(index) {
            let old = slots[index].bundle.map_or(index, usize::from);
            bundle::move_transport(slots, old, index);
        }
    }
    for (slot, tag) in slots.iter_mut().zip(tags) {
        slot.bundle = tag.and_then(|t| u16::try_from(t).ok());
    }
    bundles
}

/// RFC 5888 §8.2: groups of an offer for playing in step, less what is rejected.
fn lip_sync(p: &mut Printer, offer: &Description, slots: &[Slot]) -> Result<(), Error> {
    for members in groups(offer, "LS") {
        let mids = || {
            members.iter().map(|m| &slots[*m]).filter(|s| s.active).filter_map(|s| s.mid.as_ref())
        };
        if mids().count() > 1 {
            p.group("LS", mids())?;
        }
    }
    Ok(())
}

/// §6: the line of a rejected stream has port 0 and at least one format of the offer.
fn reject_stream(
    p: &mut Printer,
    slot: &mut Slot,
    index: usize,
    remote: &RemoteMedia<'_>,
    why: Rejection,
    session: &LocalSession,
) -> Result<NegotiatedMedia, Error> {
    let local = slot.local.map(usize::from);
    slot.active = false;
    slot.bundle = None;
    slot.kind = remote.kind.clone();
    slot.protocol = remote.protocol.clone();
    let token = remote.tokens.split_ascii_whitespace().next().unwrap_or("0");
    slot.format = Text::copy(token);
    p.media(remote.kind.as_str(), 0, remote.protocol.as_str())?.format(token)?.end();
    if session.media_connections {
        p.connection(&session.address, session.address.is_ipv6())?;
    }
    if let Some(f) = remote.formats.first().filter(|f| !f.name.is_empty() && f.clock_rate != 0) {
        let codec = crate::LocalCodec {
            name: Text::copy(f.name),
            clock_rate: f.clock_rate,
            channels: f.channels,
            payload_type: None,
            fmtp: Text::EMPTY,
            feedback: Vec::new(),
        };
        // Only a description of the peer's own making could not be written; the map is optional.
        if token.parse() == Ok(f.pt) && !f.name.contains(|c: char| c <= ' ' || c == '\u{7f}') {
            p.codec(f.pt, &codec, "")?;
        }
    }
    let (kind, protocol) = (remote.kind.clone(), remote.protocol.clone());
    let mut media = NegotiatedMedia::rejected(index, kind, protocol, why);
    media.local = local;
    Ok(media)
}

/// The formats in common, in the order of the offer; none when only events and the like are, though
/// the offer has more.
fn common_formats<'r, 'a>(
    ours: &LocalMedia,
    remote: &'r RemoteMedia<'a>,
) -> Option<Matches<'r, 'a>> {
    if !remote.protocol.is_rtp() {
        return (!common_tokens(ours, remote).is_empty()).then(SmallVec::new);
    }
    let mut matches: Matches<'r, 'a> = SmallVec::new();
    for format in remote.formats.iter().filter(|f| !f.name.is_empty()) {
        let found = ours.codecs.iter().enumerate().find_map(|(local, codec)| {
            if !same_encoding(codec, format.name, format.clock_rate, format.channels)
                || matches.iter().any(|m| m.local == local)
            {
                return None;
            }
            let fmtp = fmtp::answer(&codec.name, &codec.fmtp, format.fmtp)?;
            Some(Match { local, offered: Some(format), fmtp, recv_pt: 0 })
        });
        matches.extend(found);
    }
    // RFC 4588 §8.6: a retransmission format goes with the one it retransmits.
    if matches.iter().any(|m| ours.codecs[m.local].name.eq_ignore_ascii_case("rtx")) {
        let kept: PayloadTypes = matches.iter().fold(PayloadTypes::default(), |mut set, m| {
            m.offered.inspect(|f| set.insert(f.pt));
            set
        });
        matches.retain(|m| {
            let apt = fmtp::parameter(&m.fmtp, "apt").and_then(|v| v.parse::<u8>().ok());
            !ours.codecs[m.local].name.eq_ignore_ascii_case("rtx")
                || apt.is_some_and(|pt| pt < 128 && kept.contains(pt))
        });
    }
    let only_auxiliary = matches.iter().all(|m| is_auxiliary(&ours.codecs[m.local].name));
    let offers_more = remote.formats.iter().any(|f| !is_auxiliary(f.name));
    let enough = !only_auxiliary || !offers_more;
    (enough && !matches.is_empty()).then_some(matches)
}

fn common_tokens(ours: &LocalMedia, remote: &RemoteMedia<'_>) -> Vec<Text> {
    let tokens = || remote.tokens.split_ascii_whitespace();
    ours.formats.iter().filter(|f| tokens().any(|t| ***f == *t)).cloned().collect()
}

/// §6.1: codecs that we could receive although they were not offered.
fn additional_formats(ours: &LocalMedia, matches: &mut Matches<'_, '_>) {
    for (local, codec) in ours.codecs.iter().enumerate() {
        if !matches.iter().any(|m| m.local == local) {
            matches.push(Match { local, offered: None, fmtp: codec.fmtp.clone(), recv_pt: 0 });
        }
    }
}

/// What both sides conclude from the peer's `m=` section and their own wish.
pub(super) fn agreed(
    index: usize,
    remote: &RemoteMedia<'_>,
    wish: Direction,
    rtcp_mux: bool,
) -> NegotiatedMedia {
    // §8.4: to a peer at 0.0.0.0 nothing is sent.
    let legacy_hold = remote.is_legacy_hold();
    let mut direction = wish.intersect(remote.direction.reversed());
    if legacy_hold {
        direction = Direction::new(false, direction.receives());
    }
    NegotiatedMedia {
        index,
        local: None,
        kind: remote.kind.clone(),
        protocol: remote.protocol.clone(),
        rejected: false,
        rejection: None,
        remote_rtp: remote.rtp(),
        remote_rtcp: remote.rtcp(rtcp_mux),
        direction,
        on_hold_by_peer: wish.sends() && (legacy_hold || !remote.direction.receives()),
        codecs: Vec::new(),
        telephone_events: Vec::new(),
        receive_only: Vec::new(),
        formats: Vec::new(),
        ptime: remote.ptime,
        maxptime: remote.maxptime,
        rtcp_mux,
        remote_bandwidth: remote.bandwidth,
        mid: None,
        carrier: index,
        ice: None,
        ice_refusal: None,
        rtp: None,
        data: None,
        dtls: None,
    }
}

/// Whether the offer speaks IPv6, by its first connection line.
fn family(offer: &Description) -> Option<bool> {
    let session = offer.as_session();
    let media = || session.medias.iter().find_map(|m| m.connections.first());
    match session.connection.as_ref().or_else(media)?.addrtype {
        sdp_types::AddrType::Ip4 => Some(false),
        sdp_types::AddrType::Ip6 => Some(true),
        sdp_types::AddrType::Other(_) => None,
    }
}

/// Our address for an answer to this stream. `Err` has the address that is of the wrong family.
///
/// RFC 6157 §4.1: the `c=` line of the answer has the network type of the offer's. Where the peer
/// gave no address yet, or gives it by ICE, ours is good enough.
fn address(
    local: &LocalSession,
    ours: &LocalMedia,
    remote: &RemoteMedia<'_>,
) -> Result<Host, Host> {
    let host = ours.address.as_ref().unwrap_or(&local.address);
    match pick(host, local.other_address, remote.ipv6) {
        Err(host) if remote.has_no_address() || remote.has_ice() => Ok(host),
        picked => picked,
    }
}

fn pick(host: &Host, other: Option<IpAddr>, ipv6: Option<bool>) -> Result<Host, Host> {
    let (Some(ip), Some(ipv6)) = (host.ip(), ipv6) else { return Ok(host.clone()) };
    if ip.is_ipv6() == ipv6 {
        return Ok(host.clone());
    }
    match other.filter(|o| o.is_ipv6() == ipv6) {
        Some(other) => Ok(Host::Ip(other)),
        None => Err(host.clone()),
    }
}
