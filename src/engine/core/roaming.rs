//! Another network (`docs/adr`): media moves to the new address and goes on, running calls offer it to
//! their peers, those that we place begin anew, those that ring wait. Without a network all wait, for so
//! long as the settings say.

use super::branches::Branches;
use super::entry::HoldChange;
use super::ice::Waiting;
use super::{Core, sip_error};
use crate::command::Reply;
use crate::media::MediaPlane;
use crate::{Error, NetworkReport};
use bytes::Bytes;
use std::net::IpAddr;
use std::time::Instant;
use tiny_sdp::{Description, MediaKind};
use tiny_sip::{CallKey, Network};

/// Our addresses after a change; none when there is no network.
#[derive(Debug)]
pub(crate) struct NetworkChange {
    pub(crate) network: Network,
    /// What the application said our address is.
    pub(crate) told: Option<IpAddr>,
    /// Addresses that are not ours any more, whatever the system says.
    pub(crate) gone: Vec<IpAddr>,
    pub(crate) reply: Reply<NetworkReport>,
}

/// Without a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offline {
    /// When calls are given up; `None` once they are.
    until: Option<Instant>,
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn network_changed(&mut self, now: Instant, change: NetworkChange) {
        let NetworkChange { network, told, gone, reply } = change;
        if network.local.is_empty() {
            return self.network_lost(now, reply);
        }
        self.offline = None;
        let addresses = network.bound.clone();
        self.media_moves(&network, told, &gone);
        let mut ours: Vec<IpAddr> = network.local.iter().map(|(_, local)| local.ip()).collect();
        ours.extend(told);
        ours.sort();
        ours.dedup();
        self.ice_moves(&ours);
        self.endpoint.network_changed(now, network);
        let mut report = NetworkReport { addresses, ..NetworkReport::default() };
        report.registrations = self.accounts.values().filter(|a| a.registered).count();
        let calls: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in calls {
            let Some(entry) = self.calls.get_mut(&key).filter(|e| e.end.is_none()) else {
                continue;
            };
            if self.endpoint.awaits_restart(key) {
                report.restarted += 1;
                self.restart(now, key);
            } else if entry.answered_at.is_some() || entry.accepted {
                report.moved += 1;
                self.move_call(now, key);
            } else {
                report.waiting += 1;
                // A description that the caller has already shows where we were.
                if entry.early.is_some() {
                    self.move_call(now, key);
                }
            }
        }
        let _ = reply.send(Ok(report));
    }

    /// Offers our new addresses to the peer of a call that is up. A change of the session that was
    /// under way is on its way back with a 491, and carries them when it is made anew.
    pub(super) fn move_call(&mut self, now: Instant, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if entry.changing.is_none() {
            let change = HoldChange::again(None);
            entry.changes.push_back(change);
        }
        self.next_change(now, key);
    }

    /// Streams go on from the new address: nothing of theirs changes but the sockets.
    fn media_moves(&mut self, network: &Network, told: Option<IpAddr>, gone: &[IpAddr]) {
        let plane = &mut self.plane;
        let mut ours = |ip: IpAddr| {
            let listed = network.local.iter().any(|(_, local)| local.ip() == ip);
            listed || !gone.contains(&ip) && plane.has_address(ip)
        };
        let first = |ipv4: bool| {
            let all = || network.local.iter().map(|(_, local)| local.ip());
            all().find(|ip| ip.is_ipv4() == ipv4).or_else(|| all().next())
        };
        if let Some(media) = self.config.media_address
            && !ours(media)
        {
            self.config.media_address = told.or_else(|| first(media.is_ipv4()));
        }
        let moves: Vec<_> = self
            .calls
            .iter()
            .filter_map(|(key, entry)| {
                let bound = entry.ports.map(|ports| ports.rtp.ip()).filter(|ip| !ours(*ip));
                let local = entry.local.filter(|ip| !ours(*ip));
                (bound.is_some() || local.is_some()).then_some((*key, bound, local))
            })
            .collect();
        for (key, bound, local) in moves {
            let Some(entry) = self.calls.get_mut(&key) else { continue };
            if let Some(local) = local {
                entry.local = told.or_else(|| first(local.is_ipv4()));
            }
            let (Some(bound), Some(ports)) = (bound, entry.ports) else { continue };
            let peer = entry.session.as_ref().and_then(super::session::audio_of);
            let peer = peer.and_then(|audio| audio.remote_rtp.as_ref()?.host.ip());
            let chosen = self.config.media_address.or(told);
            let faces = || self.plane.local_address_for(peer?);
            let Some(address) = chosen.or_else(faces).or_else(|| first(bound.is_ipv4())) else {
                continue;
            };
            match self.plane.rebind(ports.id, address) {
                Ok(ports) => {
                    entry.ports = Some(ports);
                    entry.forget_outer();
                }
                Err(e) => tracing::warn!("media cannot move to {address}: {e}"),
            }
        }
    }

    /// A peer that speaks from the other address family now is answered from there, where we have an
    /// address of it: a description has media of one family (RFC 6157 §3.1).
    pub(super) fn follow_family(&mut self, key: CallKey, offer: &Bytes) {
        let entry = self.calls.get(&key).filter(|entry| !entry.has_ice());
        let Some(ports) = entry.and_then(|entry| entry.ports) else { return };
        let Ok(offer) = Description::parse(offer, &self.sdp.limits) else { return };
        let audio = offer.all_media().find(|m| m.kind() == MediaKind::Audio && m.port() != 0);
        let Some(peer) = audio.and_then(|audio| audio.host()?.ip()) else { return };
        if peer.is_ipv4() == ports.rtp.is_ipv4() || self.config.media_address.is_some() {
            return;
        }
        let own = self.plane.local_address_for(peer).filter(|ip| ip.is_ipv4() == peer.is_ipv4());
        let Some(own) = own else { return };
        match (self.plane.rebind(ports.id, own), self.calls.get_mut(&key)) {
            (Ok(ports), Some(entry)) => {
                entry.ports = Some(ports);
                entry.forget_outer();
            }
            (Err(e), _) => tracing::warn!("media cannot move to {own}: {e}"),
            _ => {}
        }
    }

    /// Places a call anew: in a dialog of its own, with another offer if it had one.
    pub(super) fn restart(&mut self, now: Instant, key: CallKey) {
        if self.waits_for_ice(key, Waiting::Restart) {
            return;
        }
        if let Err(e) = self.try_restart(now, key) {
            self.fail(now, key, &format!("the network has changed: {e}"));
        }
    }

    fn try_restart(&mut self, now: Instant, key: CallKey) -> Result<(), Error> {
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        let ports = entry.ports.ok_or_else(|| Error::state("the call has no media"))?;
        let (terms, way) = (entry.terms, entry.wished);
        let off = entry.ice.as_ref().is_some_and(|ice| ice.is_off());
        let ice = entry.ice.as_ref().and_then(|ice| ice.to_offer());
        let before = entry.offered.as_ref().unwrap_or(&entry.negotiator).clone();
        let mut negotiator = self.negotiator(terms);
        negotiator.demand_like(&before);
        negotiator.set_ice(ice);
        if off {
            negotiator.refuse_ice();
        }
        let body = match self.endpoint.offers_at_restart(key) {
            true => Some(self.offer(&mut negotiator, &ports, way)?),
            false => None,
        };
        self.endpoint.restart(now, key, body).map_err(sip_error)?;
        let Some(entry) = self.calls.get_mut(&key) else { return Ok(()) };
        entry.negotiator = negotiator;
        if let Some(ice) = &mut entry.ice {
            ice.offered();
        }
        (entry.offered, entry.session, entry.changing_in) = (None, None, None);
        entry.branches = Branches::default();
        // What was being changed in an early dialog is changed in the next one.
        if let Some(change) = entry.changing.take() {
            entry.changes.push_front(change);
        }
        Ok(())
    }

    fn network_lost(&mut self, now: Instant, reply: Reply<NetworkReport>) {
        if self.offline.is_none() {
            self.endpoint.network_lost(now);
            self.offline = Some(Offline { until: Some(now + self.config.network_patience) });
        }
        let waiting = self.calls.values().filter(|entry| entry.end.is_none()).count();
        let report = NetworkReport { offline: true, waiting, ..NetworkReport::default() };
        let _ = reply.send(Ok(report));
    }

    /// When calls without a network are given up.
    pub(super) fn offline_until(&self) -> Option<Instant> {
        self.offline.and_then(|offline| offline.until)
    }

    pub(super) fn offline_too_long(&mut self, now: Instant) {
        if self.offline_until().is_none_or(|until| now < until) {
            return;
        }
        self.offline = Some(Offline { until: None });
        let why = format!("no network for {} s", self.config.network_patience.as_secs());
        let calls: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in calls {
            if let Some(entry) = self.calls.get_mut(&key).filter(|entry| entry.end.is_none()) {
                entry.failure.get_or_insert_with(|| why.clone());
                self.hangup(now, key, Vec::new());
            }
        }
    }
}
