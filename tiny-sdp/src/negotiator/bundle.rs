//! Which streams share a transport (RFC 9143 §7): what an offer proposes, what an answer takes of a
//! proposal, and what an answer to ours means.

use super::slot::Slot;
use crate::bundle::{Members, groups};
use crate::remote::RemoteMedia;
use crate::{BundlePolicy, Description, LocalMedia, LocalSession, MediaKind, Text};
use smallvec::SmallVec;

/// Every section of a peer's description.
pub(super) type Remotes<'a> = SmallVec<[RemoteMedia<'a>; 2]>;

/// Whose transport an offered stream is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Its own.
    Own,
    /// That of the named line, which carries it already or is to.
    Member(usize),
    /// None but in the bundle of the named line: `a=bundle-only`.
    Only(usize),
}

impl Share {
    /// The line that speaks for the transport of this one.
    pub(super) fn speaker(self, index: usize) -> usize {
        match self {
            Self::Own => index,
            Self::Member(tag) | Self::Only(tag) => tag,
        }
    }
}

/// The bundles of an offer of ours.
#[derive(Debug, Default)]
pub(super) struct Plan {
    shares: Vec<(Share, Option<u16>)>,
    pub(super) groups: Vec<Members>,
}

impl Plan {
    pub(super) fn share(&self, index: usize) -> Share {
        self.shares.get(index).map_or(Share::Own, |s| s.0)
    }

    /// The group that a line is offered in.
    pub(super) fn group(&self, index: usize) -> Option<u16> {
        self.shares.get(index).and_then(|s| s.1)
    }
}

fn stream<'a>(slot: &Slot, local: &'a LocalSession) -> Option<&'a LocalMedia> {
    slot.local.and_then(|l| local.media.get(usize::from(l))).filter(|m| m.port != 0)
}

/// What is encrypted by DTLS shares no transport with what is not.
fn over_dtls(slot: &Slot, local: &LocalSession) -> bool {
    stream(slot, local).is_some_and(|m| m.dtls_over(&slot.protocol).is_some())
}

/// Groups for an offer, and the names of the lines in them.
pub(super) fn plan(slots: &mut [Slot], local: &LocalSession) -> Plan {
    for slot in slots.iter_mut() {
        if slot.mid.is_none() {
            slot.mid = stream(slot, local).and_then(|m| m.mid.clone());
        }
    }
    if local.bundle == BundlePolicy::Off {
        slots.iter_mut().for_each(|s| s.bundle = None);
        return Plan::default();
    }
    let may = |slot: &Slot| stream(slot, local).is_some_and(|m| m.bundle);
    let mut plan = Plan { shares: vec![(Share::Own, None); slots.len()], groups: Vec::new() };
    // What is bundled stays so; where the first line is gone, the next takes over (§7.5.3).
    let mut tags: SmallVec<[usize; 2]> = SmallVec::new();
    for slot in slots.iter() {
        if let Some(tag) = slot.bundle.map(usize::from).filter(|t| !tags.contains(t)) {
            tags.push(tag);
        }
    }
    for old in tags {
        let in_it = |s: &Slot| s.bundle.map(usize::from) == Some(old) && may(s);
        let mut members: Members = (0..slots.len()).filter(|i| in_it(&slots[*i])).collect();
        let leader = members.iter().position(|m| *m == old).unwrap_or(0);
        if members.is_empty() {
            continue;
        }
        let tag = members.remove(leader);
        members.retain(|m| over_dtls(&slots[*m], local) == over_dtls(&slots[tag], local));
        members.insert(0, tag);
        move_transport(slots, old, tag);
        for m in &members {
            slots[*m].bundle = u16::try_from(tag).ok();
            plan.shares[*m].0 = if *m == tag { Share::Own } else { Share::Member(tag) };
        }
        plan.groups.push(members);
    }
    for (index, slot) in slots.iter_mut().enumerate() {
        if !plan.groups.iter().flatten().any(|m| *m == index) {
            slot.bundle = None;
        }
    }
    join(slots, local, &mut plan);
    for (n, members) in plan.groups.iter().enumerate() {
        for m in members {
            plan.shares[*m].1 = u16::try_from(n).ok();
        }
    }
    name(slots, local, &plan.groups);
    plan
}

/// Adds the streams that are in no bundle yet to the first, or founds it.
fn join(slots: &[Slot], local: &LocalSession, plan: &mut Plan) {
    let established = !plan.groups.is_empty();
    let mut kinds: SmallVec<[&MediaKind; 4]> = SmallVec::new();
    for (index, slot) in slots.iter().enumerate() {
        let may = stream(slot, local).is_some_and(|m| m.bundle);
        if !may || slot.bundle.is_some() {
            continue;
        }
        let Some(group) = plan.groups.first_mut() else {
            plan.groups.push(Members::from_slice(&[index]));
            kinds.push(&slot.kind);
            continue;
        };
        let tag = group[0];
        if over_dtls(slot, local) != over_dtls(&slots[tag], local) {
            continue;
        }
        group.push(index);
        let first_of_kind = !kinds.contains(&&slot.kind);
        kinds.push(&slot.kind);
        plan.shares[index].0 = match local.bundle {
            // A peer that did not bundle it knows an address of it.
            _ if slot.active => Share::Own,
            // §7.5.1: what is new uses the address there is.
            _ if established => Share::Member(tag),
            BundlePolicy::MaxBundle => Share::Only(tag),
            BundlePolicy::Balanced if !first_of_kind => Share::Only(tag),
            _ => Share::Own,
        };
    }
}

/// RFC 5888 §4: every line of a group has a name that no other has.
fn name(slots: &mut [Slot], local: &LocalSession, groups: &[Members]) {
    for index in groups.iter().flatten() {
        if slots[*index].mid.is_some() {
            continue;
        }
        let taken = |mid: &str| {
            slots.iter().any(|s| s.mid.as_deref() == Some(mid))
                || local.media.iter().any(|m| m.mid.as_deref() == Some(mid))
        };
        let free = (0..=slots.len() + local.media.len())
            .map(|n| n.to_string())
            .find(|mid| !taken(mid))
            .map(Text::from);
        slots[*index].mid = free;
    }
}

/// ICE and DTLS go on when another line of the bundle speaks for them.
pub(super) fn move_transport(slots: &mut [Slot], from: usize, to: usize) {
    if from != to && from < slots.len() {
        slots[to].transport = slots[from].transport.take();
    }
}

/// Reads all sections, and which of them are offered as bundles. A bundle of RTP needs RTCP on the
/// same port (§9.3): one without is none.
pub(super) fn read<'a>(description: &'a Description, bundle: bool) -> (Remotes<'a>, Vec<Members>) {
    let mut remotes: Remotes<'a> =
        (0..description.media_count()).filter_map(|i| RemoteMedia::read(description, i)).collect();
    let mut all = if bundle { groups(description, "BUNDLE") } else { Vec::new() };
    all.retain(|members| {
        let first = &remotes[members[0]];
        let rtp = members.iter().any(|m| remotes[*m].protocol.is_rtp());
        !rtp || first.rtcp_mux || !first.protocol.is_rtp() || first.port == 0
    });
    for members in &all {
        let ice = remotes[members[0]].ice;
        for m in members {
            remotes[*m].bundle = Some(members[0]);
            remotes[*m].ice |= ice;
        }
    }
    (remotes, all)
}

/// §7.3.1: which line's transport is to carry a group, of those that are accepted into it: the first
/// that has one of its own.
pub(super) fn choose_tag(
    members: &[usize],
    accepted: &[usize],
    remotes: &Remotes<'_>,
) -> Option<usize> {
    let first = *members.first()?;
    accepted
        .iter()
        .copied()
        .find(|m| *m == first && remotes[*m].port != 0 || has_own_transport(remotes, first, *m))
}

/// Whether a line has another address than the first of its group: it can do without it.
pub(super) fn has_own_transport(remotes: &Remotes<'_>, first: usize, index: usize) -> bool {
    let (ours, tag) = (&remotes[index], &remotes[first]);
    index != first
        && ours.port != 0
        && !ours.bundle_only
        && (ours.port != tag.port || ours.rtp() != tag.rtp() || ours.own_ice)
}
