//! Making offers (RFC 3264 §5, §8) and taking their answers (§7).

use super::print::Printer;
use super::slot::{PayloadTypes, Slot};
use super::{Negotiator, OfferedMedia, Pending, file, same_encoding};
use crate::dtls::{self, RemoteDtls, WrittenDtls};
use crate::remote::RemoteMedia;
use crate::{
    Config, Description, Direction, Error, LocalDtls, LocalMedia, LocalSession, NegotiatedCodec,
    NegotiatedDtls, NegotiatedMedia, Rejection, Text, fmtp,
};

impl Negotiator {
    pub(super) fn make_offer(&self, local: &LocalSession) -> Result<(Printer, Pending), Error> {
        let mut slots = self.slots.clone();
        place(&mut slots, local);

        let host = &local.address;
        let mut p = Printer::session(local, host, host.is_ipv6(), &[])?;
        let mut media = Vec::with_capacity(slots.len());
        for index in 0..slots.len() {
            let elsewhere = taken_elsewhere(&slots, index);
            let slot = &mut slots[index];
            let ours = slot.local.and_then(|l| local.media.get(usize::from(l)));
            media.push(match ours.filter(|m| m.port != 0) {
                Some(ours) => self.offer_stream(&mut p, slot, ours, elsewhere)?,
                None => offer_nothing(&mut p, slot, ours)?,
            });
        }
        Ok((p, Pending { slots, media }))
    }

    fn offer_stream(
        &self,
        p: &mut Printer,
        slot: &mut Slot,
        ours: &LocalMedia,
        elsewhere: PayloadTypes,
    ) -> Result<OfferedMedia, Error> {
        slot.active = true;
        slot.reserve(ours.codecs.len());
        let mut used = PayloadTypes::default();
        let mut codecs = Vec::with_capacity(ours.codecs.len());
        p.media(ours.kind.as_str(), ours.port, ours.protocol.as_str())?;
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
        if let Some(host) = &ours.address {
            p.connection(host, host.is_ipv6())?;
        }
        p.bandwidth(ours.bandwidth);
        for (pt, codec) in &codecs {
            p.codec(*pt, codec, &codec.fmtp)?;
        }
        let explicit = self.config.explicit_sendrecv;
        p.stream(ours, ours.direction, explicit, ours.rtcp_mux, slot.mid.as_ref())?;
        let dtls = match ours.dtls_over(&ours.protocol) {
            Some(local) => {
                let state = slot.transport.as_ref().and_then(|t| t.dtls.as_ref());
                let written = dtls::offer(local, state);
                p.dtls(local, &written)?;
                Some(Box::new((local.clone(), written)))
            }
            None => None,
        };
        p.others(ours)?;
        let formats = if ours.protocol.is_rtp() { Vec::new() } else { ours.formats.clone() };
        let (direction, rtcp_mux) = (ours.direction, ours.rtcp_mux);
        Ok(OfferedMedia { direction, rtcp_mux, dtls, codecs, formats })
    }
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
        let idle = |s: &Slot| !s.active && s.local.is_none();
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

/// §8.2: a removed stream keeps its line, with port 0, one format and no attributes but its map.
fn offer_nothing(
    p: &mut Printer,
    slot: &mut Slot,
    ours: Option<&LocalMedia>,
) -> Result<OfferedMedia, Error> {
    slot.active = false;
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
    Ok(OfferedMedia {
        direction: Direction::Inactive,
        rtcp_mux: false,
        dtls: None,
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
        let mut media = Vec::with_capacity(slots.len());
        for (index, (slot, offered)) in slots.iter_mut().zip(&self.media).enumerate() {
            let Some(remote) = RemoteMedia::read(answer, index) else { continue };
            let mut accepted = accept_stream(index, slot, offered, remote)?;
            if !accepted.rejected
                && let Some(ours) = offered.dtls.as_deref()
            {
                let path = path(answer, &accepted);
                accepted.dtls = Some(accept_dtls(slot, answer, &accepted, ours, path, config)?);
            }
            media.push(accepted);
        }
        Ok((slots, media))
    }
}

fn accept_dtls(
    slot: &mut Slot,
    answer: &Description,
    accepted: &NegotiatedMedia,
    (local, written): &(LocalDtls, WrittenDtls),
    path: Option<Text>,
    config: &Config,
) -> Result<Box<NegotiatedDtls>, Error> {
    let index = accepted.index;
    let Ok(remote) = RemoteDtls::read(answer, index) else {
        return Err(Error::AnswerMismatch { index, what: "unknown a=setup" });
    };
    let state = &mut slot.transport().dtls;
    dtls::accept(index, local, written, remote, path, config.renew_dtls_on_move, state)
}

/// Where the peer is, as far as RFC 8842 §4 goes: its ufrag with ICE, else its address.
pub(super) fn path(description: &Description, media: &NegotiatedMedia) -> Option<Text> {
    let ufrag = description.media(media.index).and_then(|m| m.ice_ufrag()).map(Text::copy);
    ufrag.or_else(|| media.remote_rtp.as_ref().map(|a| Text::from(a.to_string())))
}

fn accept_stream<'a>(
    index: usize,
    slot: &mut Slot,
    offered: &'a OfferedMedia,
    mut remote: RemoteMedia<'a>,
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

    let rtcp_mux = offered.rtcp_mux && remote.rtcp_mux;
    let mut media = super::answer::agreed(index, &remote, offered.direction, rtcp_mux);
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
