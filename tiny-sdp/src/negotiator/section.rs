//! What the sections of calls with ICE, DTLS, header extensions or data channels have beside
//! codecs: written, answered, and taken from an answer. Plain calls do nothing here.

use super::print::Printer;
use super::slot::Slot;
use crate::attribute::{Rid, Ssrc, SsrcAttribute};
use crate::description::{AttributeList as _, MediaDescription};
use crate::dtls::{self, RemoteDtls, WrittenDtls};
use crate::remote::RemoteMedia;
use crate::rtp::MID_EXTENSION;
use crate::{
    Config, DataChannel, Description, Direction, Error, IceCredentials, IceRefusal, LocalData,
    LocalDtls, LocalExtension, LocalMedia, LocalRtp, NegotiatedData, NegotiatedExtension,
    NegotiatedMedia, NegotiatedRtp, Protocol, Text, ice,
};

/// Numbers of header extensions that other lines have.
pub(super) type Elsewhere = Vec<(u8, Text)>;

/// What an offer of ours said in one section.
#[derive(Debug, Clone, Default)]
pub(super) struct Offered {
    dtls: Option<(LocalDtls, WrittenDtls)>,
    ice: Option<IceCredentials>,
    rtp: Option<OfferedRtp>,
    data: Option<LocalData>,
}

#[derive(Debug, Clone, Default)]
struct OfferedRtp {
    extensions: Vec<NegotiatedExtension>,
    extmap_allow_mixed: bool,
    rtcp_rsize: bool,
    send_rids: Vec<Text>,
}

/// Whether the section says more than codecs.
fn is_plain(ours: &LocalMedia, bundled: bool) -> bool {
    !bundled
        && ours.dtls.is_none()
        && ours.ice.is_none()
        && ours.rtp.is_none()
        && ours.data.is_none()
}

/// Writes what an offered section has. `carries`: the transport is its own.
pub(super) fn offer(
    p: &mut Printer,
    slot: &mut Slot,
    ours: &LocalMedia,
    (bundled, carries): (bool, bool),
    elsewhere: &Elsewhere,
) -> Result<Option<Box<Offered>>, Error> {
    if is_plain(ours, bundled) {
        if ours.rtcp_mux_only {
            p.flag("rtcp-mux-only");
        }
        return Ok(None);
    }
    let mut offered = Offered::default();
    if ours.protocol.is_rtp() && (bundled || ours.rtp.is_some()) {
        offered.rtp = Some(offer_rtp(p, slot, ours, bundled, elsewhere)?);
    }
    if carries {
        if let Some(local) = &ours.ice {
            p.credentials(&local.credentials)?;
            offered.ice = Some(local.credentials.clone());
        }
        if let Some(local) = ours.dtls_over(&ours.protocol) {
            let state = slot.transport.as_ref().and_then(|t| t.dtls.as_ref());
            let written = dtls::offer(local, state);
            p.dtls(local, &written)?;
            offered.dtls = Some((local.clone(), written));
        }
        if ours.rtcp_mux_only && ours.protocol.is_rtp() {
            p.flag("rtcp-mux-only");
        }
        if offered.rtp.as_ref().is_some_and(|r| r.rtcp_rsize) {
            p.flag("rtcp-rsize");
        }
        if let Some(local) = &ours.ice {
            p.candidates(local, ours.rtcp_mux_only)?;
        }
    }
    if let Some(data) = &ours.data {
        data.check()?;
        p.data(data.sctp_port, data.max_message_size, &data.channels)?;
        offered.data = Some((**data).clone());
    }
    Ok(Some(Box::new(offered)))
}

fn offer_rtp(
    p: &mut Printer,
    slot: &mut Slot,
    ours: &LocalMedia,
    bundled: bool,
    elsewhere: &Elsewhere,
) -> Result<OfferedRtp, Error> {
    let nothing = LocalRtp::default();
    let local = ours.rtp.as_deref().unwrap_or(&nothing);
    let mut extensions = Vec::new();
    // RFC 9143 §15: every RTP stream of a bundle names its line.
    let mid = LocalExtension::new(MID_EXTENSION);
    let named = local.extensions.iter().any(|e| e.uri == *MID_EXTENSION);
    if local.extmap_allow_mixed {
        p.flag("extmap-allow-mixed");
    }
    for extension in Some(&mid).filter(|_| bundled && !named).into_iter().chain(&local.extensions) {
        let id = choose_id(slot, extension, elsewhere, local.extmap_allow_mixed)?;
        p.extension(id, extension.direction, &extension.uri)?;
        let (uri, direction) = (extension.uri.clone(), extension.direction);
        extensions.push(NegotiatedExtension { uri, id, direction });
    }
    sources(p, local, ours.direction)?;
    let mut send_rids = Vec::new();
    if ours.direction.sends() {
        for rid in &local.send_rids {
            p.text("rid", &rid.to_string())?;
            send_rids.push(Text::copy(&rid.id));
        }
        if send_rids.len() > 1 {
            p.text("simulcast", &format!("send {}", list(&send_rids)))?;
        }
    }
    Ok(OfferedRtp {
        extensions,
        extmap_allow_mixed: local.extmap_allow_mixed,
        rtcp_rsize: local.rtcp_rsize,
        send_rids,
    })
}

/// RFC 8285 §5: numbers 1 to 14 fit one-byte headers; 15 is none. A number keeps its meaning within
/// the line, and in a bundle over all lines (RFC 9143 §7.1.3).
fn choose_id(
    slot: &mut Slot,
    extension: &LocalExtension,
    elsewhere: &Elsewhere,
    mixed: bool,
) -> Result<u8, Error> {
    let uri = &extension.uri;
    if let Some((id, _)) = slot.extmap.iter().find(|e| e.1 == *uri) {
        return Ok(*id);
    }
    let fits = |id: u8| (1..15).contains(&id) || (mixed && id > 15);
    let free = |id: &u8| fits(*id) && !slot.extmap.iter().any(|e| e.0 == *id);
    let alone = |id: &u8| !elsewhere.iter().any(|e| e.0 == *id && e.1 != *uri);
    let same = elsewhere.iter().find(|e| e.1 == *uri).map(|e| e.0).filter(free);
    let liked = extension.id.filter(free).filter(alone);
    let id = same
        .or(liked)
        .or_else(|| (1..=255).find(|id| free(id) && alone(id)))
        .or_else(|| (1..=255).find(free))
        .ok_or(Error::Local { field: "extensions", what: "no number is left" })?;
    slot.extmap.push((id, uri.clone()));
    Ok(id)
}

/// Who sends nothing has no media stream (JSEP §5.2.1), but its source still reports: RFC 5576 §8 has
/// it described. A peer that saw it go and come again would take it for another one.
fn sources(p: &mut Printer, local: &LocalRtp, direction: Direction) -> Result<(), Error> {
    for msid in local.msids.iter().filter(|_| direction.sends()) {
        p.text("msid", &msid.to_string())?;
    }
    for ssrc in &local.ssrcs {
        p.text("ssrc", &ssrc.to_string())?;
    }
    Ok(())
}

fn list(rids: &[Text]) -> String {
    rids.iter().map(Text::as_str).collect::<Vec<_>>().join(";")
}

/// Writes what an answered section has, and fills in what is agreed.
#[allow(clippy::too_many_arguments)]
pub(super) fn answer(
    p: &mut Printer,
    offer: &Description,
    remote: &RemoteMedia<'_>,
    slot: &mut Slot,
    ours: &LocalMedia,
    (bundled, carries): (bool, bool),
    config: &Config,
    media: &mut NegotiatedMedia,
) -> Result<(), Error> {
    if is_plain(ours, bundled) {
        if ours.rtcp_mux_only && remote.rtcp_mux_only {
            p.flag("rtcp-mux-only");
        }
        return Ok(());
    }
    let Some(section) = offer.media(media.index) else { return Ok(()) };
    if remote.protocol.is_rtp() && (bundled || ours.rtp.is_some()) {
        media.rtp = Some(Box::new(answer_rtp(p, &section, slot, ours, bundled, media.direction)?));
    }
    if carries {
        let mut ice = None;
        if let Some(local) = &ours.ice {
            match ice::read(offer, media.index, remote) {
                Ok(mut agreed) => {
                    let state = &mut slot.transport().ice;
                    ice::check_answered_restart(
                        state.as_ref(),
                        &local.credentials,
                        &agreed.remote,
                    )?;
                    agreed.restarted = ice::renew(state, &local.credentials, &agreed.remote);
                    p.credentials(&local.credentials)?;
                    media.ice = Some(Box::new(agreed));
                    ice = Some(local);
                }
                Err(why) => {
                    // §4.2.5: the peer learns of it, and both go on without.
                    if why == IceRefusal::Mismatch {
                        p.flag("ice-mismatch");
                    }
                    media.ice_refusal = Some(why);
                }
            }
        }
        if let Some(local) = ours.dtls_over(&remote.protocol) {
            let said = RemoteDtls::read(offer, media.index).map_err(Error::refused)?;
            let (path, by_path) = (path(&section, media), config.renew_dtls_on_move);
            let state = &mut slot.transport().dtls;
            let (written, agreed) =
                dtls::answer(local, said, path, by_path, state).map_err(Error::refused)?;
            p.dtls(local, &written)?;
            media.dtls = Some(agreed);
        }
        if ours.rtcp_mux_only && remote.rtcp_mux_only {
            p.flag("rtcp-mux-only");
        }
        if media.rtp.as_ref().is_some_and(|r| r.rtcp_rsize) {
            p.flag("rtcp-rsize");
        }
        if let Some(local) = ice {
            p.candidates(local, media.rtcp_mux)?;
        }
    }
    if let Some(local) = &ours.data {
        local.check()?;
        let mut agreed =
            crate::data::read(&section).ok_or_else(|| Error::refused(crate::Rejection::Sctp))?;
        local.accept(&mut agreed);
        p.data(local.sctp_port, local.max_message_size, &local.answered(&agreed.channels))?;
        media.data = Some(Box::new(agreed));
    }
    Ok(())
}

fn answer_rtp(
    p: &mut Printer,
    section: &MediaDescription<'_>,
    slot: &mut Slot,
    ours: &LocalMedia,
    bundled: bool,
    direction: Direction,
) -> Result<NegotiatedRtp, Error> {
    let nothing = LocalRtp::default();
    let local = ours.rtp.as_deref().unwrap_or(&nothing);
    let mixed = local.extmap_allow_mixed && allows_mixed(section);
    let mut agreed = remote_rtp(section);
    agreed.extmap_allow_mixed = mixed;
    agreed.rtcp_rsize &= local.rtcp_rsize;
    if mixed {
        p.flag("extmap-allow-mixed");
    }
    for offered in section.all_extmaps() {
        let ours = local.extensions.iter().find(|e| e.uri == offered.uri).map(|e| e.direction);
        let mid = bundled && offered.uri == *MID_EXTENSION;
        let ours = ours.or(mid.then_some(Direction::SendRecv));
        let Some(wish) = ours else { continue };
        let way = wish.intersect(offered.direction.reversed());
        let bound = slot.extmap.iter().find(|e| e.0 == offered.id).map(|e| &e.1);
        // §6, §7: numbers are never given another meaning.
        let fits = (offered.id < 15 || (mixed && offered.id > 15))
            && bound.is_none_or(|uri| *uri == offered.uri)
            && agreed.extension(&offered.uri).is_none()
            && !agreed.extensions.iter().any(|e| e.id == offered.id);
        if !fits || way == Direction::Inactive {
            continue;
        }
        let (id, uri) = (offered.id, offered.uri);
        slot.extmap.retain(|e| e.1 != uri);
        slot.extmap.push((id, uri.clone()));
        p.extension(id, way, &uri)?;
        agreed.extensions.push(NegotiatedExtension { uri, id, direction: way });
    }
    sources(p, local, direction)?;
    let (send, _) = simulcast(section);
    if direction.receives() && !send.is_empty() && local.receive_encodings > 0 {
        agreed.recv_rids = send.into_iter().take(local.receive_encodings).collect();
        for rid in &agreed.recv_rids {
            p.text("rid", &format!("{rid} recv"))?;
        }
        p.text("simulcast", &format!("recv {}", list(&agreed.recv_rids)))?;
    }
    Ok(agreed)
}

/// What the peer's answer makes of an offered section.
#[allow(clippy::too_many_arguments)]
pub(super) fn accept(
    answer: &Description,
    remote: &RemoteMedia<'_>,
    slot: &mut Slot,
    offered: &Offered,
    transport: &Offered,
    carries: bool,
    config: &Config,
    media: &mut NegotiatedMedia,
) -> Result<(), Error> {
    let index = media.index;
    let mismatch = |what| Err(Error::AnswerMismatch { index, what });
    let Some(section) = answer.media(index) else { return Ok(()) };
    if let Some(ours) = &offered.rtp {
        media.rtp = Some(Box::new(accept_rtp(&section, ours)));
    }
    if carries {
        if let Some(ours) = &transport.ice {
            match ice::read(answer, index, remote) {
                Ok(mut agreed) => {
                    let state = &mut slot.transport().ice;
                    if state.as_ref().is_some_and(|s| {
                        s.local.both_differ(ours) && !s.remote.both_differ(&agreed.remote)
                    }) {
                        return mismatch("the ICE restart was not taken up");
                    }
                    agreed.restarted = ice::renew(state, ours, &agreed.remote);
                    media.ice = Some(Box::new(agreed));
                }
                Err(why) => media.ice_refusal = Some(why),
            }
        }
        if let Some((local, written)) = &transport.dtls {
            let Ok(remote) = RemoteDtls::read(answer, index) else {
                return mismatch("unknown a=setup");
            };
            let (path, by_path) = (path(&section, media), config.renew_dtls_on_move);
            let state = &mut slot.transport().dtls;
            let agreed = dtls::accept(index, local, written, remote, path, by_path, state)?;
            media.dtls = Some(agreed);
        }
    }
    if let Some(ours) = &offered.data {
        let Some(mut agreed) = crate::data::read(&section) else {
            return mismatch("data channels without a=sctp-port");
        };
        // RFC 8864 §6.5: what was not offered is not there.
        let is_ours = |c: &DataChannel| ours.channels.iter().any(|o| o.stream == c.stream);
        agreed.channels.retain(is_ours);
        media.data = Some(Box::new(NegotiatedData { ..agreed }));
    }
    Ok(())
}

fn accept_rtp(section: &MediaDescription<'_>, ours: &OfferedRtp) -> NegotiatedRtp {
    let mut agreed = remote_rtp(section);
    agreed.extmap_allow_mixed = ours.extmap_allow_mixed && allows_mixed(section);
    agreed.rtcp_rsize &= ours.rtcp_rsize;
    for answered in section.all_extmaps() {
        let offered = ours.extensions.iter().find(|e| e.uri == answered.uri);
        let Some(offered) = offered.filter(|e| e.id == answered.id) else { continue };
        let direction = offered.direction.intersect(answered.direction.reversed());
        if direction != Direction::Inactive && agreed.extension(&offered.uri).is_none() {
            agreed.extensions.push(NegotiatedExtension { direction, ..offered.clone() });
        }
    }
    let (_, recv) = simulcast(section);
    agreed.send_rids = recv.into_iter().filter(|r| ours.send_rids.contains(r)).collect();
    agreed
}

/// What a peer says of its sources.
fn remote_rtp(section: &MediaDescription<'_>) -> NegotiatedRtp {
    let mut ssrcs: Vec<(u32, Option<Text>)> = Vec::new();
    for Ssrc { ssrc_id, attribute, value } in section.ssrcs().filter_map(Result::ok) {
        let at = ssrcs.iter().position(|s| s.0 == ssrc_id).unwrap_or_else(|| {
            ssrcs.push((ssrc_id, None));
            ssrcs.len() - 1
        });
        if attribute == SsrcAttribute::Cname {
            ssrcs[at].1 = value.map(Text::from);
        }
    }
    NegotiatedRtp {
        rtcp_rsize: section.has("rtcp-rsize"),
        msids: section.typed().filter_map(Result::ok).collect(),
        ssrcs,
        ..NegotiatedRtp::default()
    }
}

fn allows_mixed(section: &MediaDescription<'_>) -> bool {
    section.has("extmap-allow-mixed") || section.session_has("extmap-allow-mixed")
}

/// The encodings that a peer sends and receives with simulcast (RFC 8853 §5.1); of alternatives the
/// first. Only those with an `a=rid` of that way count.
fn simulcast(section: &MediaDescription<'_>) -> (Vec<Text>, Vec<Text>) {
    let mut both = (Vec::new(), Vec::new());
    let Some(value) = section.value("simulcast") else { return both };
    let rids: Vec<Rid> = section.typed().filter_map(Result::ok).collect();
    let mut words = value.split_ascii_whitespace();
    while let (Some(way), Some(streams)) = (words.next(), words.next()) {
        let side = if way == "send" { &mut both.0 } else { &mut both.1 };
        for stream in streams.split(';') {
            let first = stream.split(',').next().unwrap_or_default().trim_start_matches('~');
            let known = rids.iter().any(|r| r.id == first && r.direction.as_str() == way);
            if known && !side.iter().any(|s: &Text| *s == *first) {
                side.push(Text::copy(first));
            }
        }
    }
    both
}

/// Where the peer is, as far as RFC 8842 §4 goes: its ufrag with ICE, else its address.
fn path(section: &MediaDescription<'_>, media: &NegotiatedMedia) -> Option<Text> {
    let ufrag = section.ice_ufrag().map(Text::copy);
    ufrag.or_else(|| media.remote_rtp.as_ref().map(|a| Text::from(a.to_string())))
}

/// Whether an offered section has what our DTLS needs, if it does. In a bundle the first line may say
/// it.
pub(super) fn dtls_fits(
    offer: &Description,
    index: usize,
    first: Option<usize>,
    ours: &LocalMedia,
    over: &Protocol,
) -> bool {
    let usable = |i| RemoteDtls::read(offer, i).is_ok_and(|r| r.is_usable());
    ours.dtls_over(over).is_none() || usable(index) || first.is_some_and(usable)
}
