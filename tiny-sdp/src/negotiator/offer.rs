//! Making offers (RFC 3264 §5, §8) and taking their answers (§7).

use super::bundle::{self, Plan, Remotes, Share};
use super::print::{Printer, RtcpLines};
use super::section;
use super::slot::{PayloadTypes, Slot};
use super::{Negotiator, OfferedMedia, Pending, file, same_encoding};
use crate::bundle::Members;
use crate::remote::RemoteMedia;
use crate::{
    Config, Description, Direction, Error, LocalMedia, LocalSession, NegotiatedCodec,
    NegotiatedMedia, Rejection, Text, fmtp,
};
use smallvec::SmallVec;

impl Negotiator {
    pub(super) fn make_offer(&self, local: &LocalSession) -> Result<(Printer, Pending), Error> {
        let mut slots = self.slots.clone();
        place(&mut slots, local);
        let plan = bundle::plan(&mut slots, local);

        let host = &local.address;
        let mut p = Printer::session(local, host, host.is_ipv6(), &[], true)?;
        for members in &plan.groups {
            p.group("BUNDLE", members.iter().filter_map(|m| slots[*m].mid.as_ref()))?;
        }
        lip_sync(&mut p, &slots, local)?;
        let mut media = Vec::with_capacity(slots.len());
        for index in 0..slots.len() {
            media.push(self.offer_section(&mut p, &mut slots, index, local, &plan)?);
        }
        Ok((p, Pending { slots, media }))
    }

    fn offer_section(
        &self,
        p: &mut Printer,
        slots: &mut [Slot],
        index: usize,
        local: &LocalSession,
        plan: &Plan,
    ) -> Result<OfferedMedia, Error> {
        let elsewhere = taken_elsewhere(slots, index);
        let extensions = extensions_elsewhere(slots, index);
        let share = plan.share(index);
        let speaker = slots[share.speaker(index)].local;
        let slot = &mut slots[index];
        let ours = slot.local.and_then(|l| local.media.get(usize::from(l)));
        let Some(ours) = ours.filter(|m| m.port != 0) else {
            return offer_nothing(p, slot, ours, local);
        };
        // A bundled stream is where the first of its bundle is (RFC 9143 §7.1.1).
        let speaker = speaker.and_then(|l| local.media.get(usize::from(l))).unwrap_or(ours);
        let port = if matches!(share, Share::Only(_)) { 0 } else { speaker.port };
        slot.active = true;
        slot.reserve(ours.codecs.iter());
        let mut used = PayloadTypes::default();
        let mut codecs = Vec::with_capacity(ours.codecs.len());
        p.media(ours.kind.as_str(), port, ours.protocol.as_str())?;
        if ours.protocol.is_rtp() {
            for codec in &ours.codecs {
                let Some(pt) = slot.choose(codec, None, &mut used, elsewhere) else {
                    return Err(Error::Local { field: "codecs", what: "no payload type is left" });
                };
                p.payload_type(pt);
                codecs.push((pt, codec.clone()));
            }
        } else {
            for format in &ours.formats {
                p.format(format)?;
            }
        }
        if codecs.is_empty() && (ours.protocol.is_rtp() || ours.formats.is_empty()) {
            return Err(Error::Local { field: "codecs", what: "an offered stream has none" });
        }
        p.end();
        let host = speaker.address.as_ref().unwrap_or(&local.address);
        if local.media_connections || speaker.address.is_some() {
            p.connection(host, host.is_ipv6())?;
        }
        p.bandwidth(ours.bandwidth);
        for (pt, codec) in &codecs {
            p.codec(*pt, codec, &codec.fmtp)?;
        }
        let bundled = plan.group(index).is_some();
        let carries = share == Share::Own;
        // RFC 9143 §9.3: what is bundled multiplexes RTCP.
        let rtcp_mux = ours.protocol.is_rtp() && (ours.rtcp_mux || ours.rtcp_mux_only || bundled);
        let own = carries && !ours.rtcp_mux_only;
        let address = ours.ice.is_some().then_some(host);
        let rtcp = RtcpLines { mux: rtcp_mux && carries, own, address };
        let explicit = self.config.explicit_sendrecv;
        p.stream(ours, ours.direction, explicit, rtcp, slot.mid.as_ref())?;
        for (pt, codec) in &codecs {
            p.feedback(*pt, &codec.feedback)?;
        }
        let extra = section::offer(p, slot, ours, (bundled, carries), &extensions)?;
        if matches!(share, Share::Only(_)) {
            p.flag("bundle-only");
        }
        p.others(ours)?;
        let formats = if ours.protocol.is_rtp() { Vec::new() } else { ours.formats.clone() };
        Ok(OfferedMedia {
            direction: ours.direction,
            rtcp_mux,
            rtcp_mux_only: ours.rtcp_mux_only,
            share,
            group: plan.group(index),
            extra,
            codecs,
            formats,
        })
    }
}

/// RFC 5888 §7: streams of one media stream are played in step (JSEP, RFC 8829 §5.2.1).
fn lip_sync(p: &mut Printer, slots: &[Slot], local: &LocalSession) -> Result<(), Error> {
    let id = |slot: &Slot| {
        let ours = slot.local.and_then(|l| local.media.get(usize::from(l)))?;
        let rtp = ours.rtp.as_deref().filter(|_| ours.port != 0 && ours.direction.sends())?;
        Some(rtp.msids.first()?.id.clone())
    };
    if local.media.iter().all(|m| m.rtp.is_none()) {
        return Ok(());
    }
    let ids: Vec<_> = slots.iter().map(id).collect();
    for (index, first) in ids.iter().enumerate() {
        let Some(first) = first.as_ref().filter(|f| !ids[..index].contains(&Some((*f).clone())))
        else {
            continue;
        };
        let members = || slots.iter().zip(&ids).filter(|(_, i)| i.as_ref() == Some(first));
        let mids = || members().filter_map(|(slot, _)| slot.mid.as_ref());
        if mids().count() > 1 {
            p.group("LS", mids())?;
        }
    }
    Ok(())
}

/// Gives each of our streams its `m=` line: the one it has, else a rejected one that nothing of ours
/// is in (§8.1), else a new one below the others. A stream that is off and in no line gets none.
fn place(slots: &mut Vec<Slot>, local: &LocalSession) {
    for (index, ours) in (0u16..).zip(&local.media) {
        if let Some(slot) = slots.iter_mut().find(|s| s.local == Some(index)) {
            if ours.port != 0 && slot.active {
                // §8.3: kind and transport of a stream may change in its place.
                slot.kind = ours.kind.clone();
                slot.protocol = ours.protocol.clone();
            } else if ours.port != 0 {
                slot.reuse(ours.kind.clone(), ours.protocol.clone());
                slot.local = Some(index);
            }
            continue;
        }
        if ours.port == 0 {
            continue;
        }
        let gone = |l: u16| local.media.get(usize::from(l)).is_some_and(|m| m.stopped);
        let idle = |s: &Slot| !s.active && s.local.is_none_or(gone);
        let at = slots
            .iter()
            .position(|s| idle(s) && s.kind == ours.kind)
            .or_else(|| slots.iter().position(idle))
            .unwrap_or_else(|| {
                slots.push(Slot::new(ours.kind.clone(), ours.protocol.clone()));
                slots.len() - 1
            });
        slots[at].reuse(ours.kind.clone(), ours.protocol.clone());
        slots[at].local = Some(index);
        if let Some(format) = ours.formats.first().filter(|_| !ours.protocol.is_rtp()) {
            slots[at].format = format.clone();
        }
    }
}

/// The payload types of the other lines, so that new numbers do not collide when lines are bundled.
pub(super) fn taken_elsewhere(slots: &[Slot], index: usize) -> PayloadTypes {
    slots
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != index)
        .fold(PayloadTypes::default(), |set, (_, slot)| set.union(slot.taken()))
}

/// The header extensions of the other lines.
fn extensions_elsewhere(slots: &[Slot], index: usize) -> section::Elsewhere {
    let others = slots.iter().enumerate().filter(|(i, _)| *i != index);
    others.flat_map(|(_, slot)| slot.extmap.iter().cloned()).collect()
}

/// §8.2: a removed stream keeps its line, with port 0, one format and no attributes but its map.
fn offer_nothing(
    p: &mut Printer,
    slot: &mut Slot,
    ours: Option<&LocalMedia>,
    local: &LocalSession,
) -> Result<OfferedMedia, Error> {
    slot.active = false;
    slot.bundle = None;
    p.media(slot.kind.as_str(), 0, slot.protocol.as_str())?;
    let first = ours.filter(|m| m.protocol.is_rtp() && m.kind == slot.kind);
    match first.and_then(|m| m.codecs.first()) {
        Some(codec) => {
            let mut used = PayloadTypes::default();
            let pt = slot.choose(codec, None, &mut used, PayloadTypes::default()).unwrap_or(0);
            p.payload_type(pt).end();
            p.codec(pt, codec, "")?;
        }
        None => p.format(&slot.format)?.end(),
    }
    if local.media_connections {
        p.connection(&local.address, local.address.is_ipv6())?;
    }
    Ok(OfferedMedia {
        direction: Direction::Inactive,
        rtcp_mux: false,
        rtcp_mux_only: false,
        share: Share::Own,
        group: None,
        extra: None,
        codecs: Vec::new(),
        formats: Vec::new(),
    })
}

impl Pending {
    /// The session that an answer makes of this offer.
    pub(super) fn accept(
        &self,
        answer: &Description,
        config: &Config,
    ) -> Result<(Vec<Slot>, Vec<NegotiatedMedia>), Error> {
        // §6: exactly as many lines as in the offer.
        if answer.media_count() != self.slots.len() {
            return Err(Error::MediaCount {
                expected: self.slots.len(),
                found: answer.media_count(),
            });
        }
        let mut slots = self.slots.clone();
        let offers_bundle = self.media.iter().any(|m| m.group.is_some());
        let (mut remotes, groups) = bundle::read(answer, offers_bundle);
        let tags = self.tags(&groups, &mut remotes);
        self.bundle(&mut slots, &remotes, &tags)?;

        let transports: SmallVec<[_; 4]> =
            remotes.iter().map(|r| (r.rtp(), r.rtcp(true))).collect();
        let mut media = Vec::with_capacity(slots.len());
        for (index, remote) in remotes.iter_mut().enumerate() {
            let (slot, offered) = (&mut slots[index], &self.media[index]);
            let carrier = tags[index].unwrap_or(index);
            let extra = offered.extra.as_deref();
            let transport = self.media[offered.share.speaker(carrier)].extra.as_deref();
            let mut accepted = accept_stream(index, slot, offered, remote, tags[index])?;
            if accepted.rejected {
                media.push(accepted);
                continue;
            }
            accepted.mid = slot.mid.clone();
            accepted.carrier = carrier;
            if carrier != index {
                (accepted.remote_rtp, accepted.remote_rtcp) = transports[carrier].clone();
            }
            if let Some(extra) = extra {
                let transport = transport.unwrap_or(extra);
                let carries = carrier == index;
                section::accept(
                    answer,
                    remote,
                    slot,
                    extra,
                    transport,
                    carries,
                    config,
                    &mut accepted,
                )?;
            }
            media.push(accepted);
        }
        Ok((slots, media))
    }

    /// RFC 9143 §7.4: which line of ours carries each that the answer bundles. The first of an
    /// answered group names it; only lines of one offered group count.
    fn tags(&self, groups: &[Members], remotes: &mut Remotes<'_>) -> SmallVec<[Option<usize>; 4]> {
        let mut tags: SmallVec<[Option<usize>; 4]> = SmallVec::from_elem(None, remotes.len());
        for members in groups {
            let mut members = members.iter().copied();
            let usable = |m: &usize| self.media[*m].group.is_some() && remotes[*m].port != 0;
            let Some(tag) = members.by_ref().find(usable) else { continue };
            tags[tag] = Some(tag);
            for m in members {
                if self.media[m].group == self.media[tag].group && remotes[m].port != 0 {
                    tags[m] = Some(tag);
                    remotes[m].ice |= remotes[tag].ice;
                }
            }
        }
        tags
    }

    /// Notes in the slots what is bundled now.
    fn bundle(
        &self,
        slots: &mut [Slot],
        remotes: &Remotes<'_>,
        tags: &[Option<usize>],
    ) -> Result<(), Error> {
        for (index, tag) in tags.iter().enumerate() {
            let active = slots[index].active && remotes[index].port != 0;
            if active && tag.is_none() && self.media[index].share != Share::Own {
                return Err(Error::AnswerMismatch { index, what: "accepted out of its bundle" });
            }
            if *tag == Some(index) {
                bundle::move_transport(slots, self.media[index].share.speaker(index), index);
            }
            slots[index].bundle = tag.and_then(|t| u16::try_from(t).ok());
        }
        Ok(())
    }
}

fn accept_stream<'a>(
    index: usize,
    slot: &mut Slot,
    offered: &'a OfferedMedia,
    remote: &mut RemoteMedia<'a>,
    tag: Option<usize>,
) -> Result<NegotiatedMedia, Error> {
    let local = slot.local.map(usize::from);
    if !slot.active || !remote.is_active() {
        let why = if slot.active { Rejection::ByPeer } else { Rejection::NotOffered };
        slot.active = false;
        let (kind, protocol) = (slot.kind.clone(), slot.protocol.clone());
        let mut media = NegotiatedMedia::rejected(index, kind, protocol, why);
        media.local = local;
        return Ok(media);
    }
    if remote.kind != slot.kind {
        return Err(Error::AnswerMismatch { index, what: "another kind of media" });
    }
    if !slot.protocol.may_answer(&remote.protocol, true) {
        return Err(Error::AnswerMismatch { index, what: "another transport protocol" });
    }
    remote.understand(|pt| {
        offered
            .codecs
            .iter()
            .find(|(ours, _)| *ours == pt)
            .map(|(_, c)| (c.name.as_str(), c.clock_rate, c.channels))
    });
    if let Some(mid) = remote.mid {
        slot.mid = Some(Text::copy(mid));
    }

    let mux = remote.rtcp_mux || (tag.is_some() && tag != Some(index));
    let rtcp_mux = offered.rtcp_mux && mux;
    if offered.rtcp_mux_only && !rtcp_mux && slot.protocol.is_rtp() {
        return Err(Error::AnswerMismatch { index, what: "no a=rtcp-mux, which was all offered" });
    }
    let mut media = super::answer::agreed(index, remote, offered.direction, rtcp_mux);
    media.local = local;
    media.kind = slot.kind.clone();
    media.protocol = slot.protocol.clone();
    let mut used = PayloadTypes::default();
    for format in &remote.formats {
        slot.note_peer(format.pt);
        let fits = |(pt, ours): &&(u8, crate::LocalCodec)| {
            !used.contains(*pt)
                && same_encoding(ours, format.name, format.clock_rate, format.channels)
                && fmtp::answer_fits(&ours.name, &ours.fmtp, format.fmtp)
        };
        // The same number first: the offer may have one codec twice with different parameters.
        let same_number = offered.codecs.iter().find(|c| c.0 == format.pt && fits(c));
        let Some((pt, ours)) = same_number.or_else(|| offered.codecs.iter().find(fits)) else {
            continue;
        };
        used.insert(*pt);
        let codec = NegotiatedCodec {
            name: ours.name.clone(),
            clock_rate: ours.clock_rate,
            channels: ours.channels,
            send_pt: format.pt,
            recv_pt: *pt,
            remote_fmtp: Text::copy(format.fmtp),
            local_fmtp: ours.fmtp.clone(),
            feedback: remote.common_feedback(format.pt, &ours.feedback),
        };
        file(&mut media, codec, remote.formats.len());
    }
    if !slot.protocol.is_rtp() {
        let tokens = || remote.tokens.split_ascii_whitespace();
        let common = offered.formats.iter().filter(|f| tokens().any(|t| ***f == *t));
        media.formats = common.cloned().collect();
    }
    if media.codecs.is_empty() && media.telephone_events.is_empty() && media.formats.is_empty() {
        return Err(Error::AnswerFormats { index });
    }
    Ok(media)
}
