//! A peer without ICE that must learn none of our addresses: media goes through a relay to the address
//! of its description (RFC 8656 §9, §12). Nothing is checked, and no consent is asked for (RFC 7675):
//! such a peer knows neither. Where it sends from another port, it is answered there (RFC 4961).

use super::agent::Agent;
use super::candidate::CandidateKind;
use super::checks::Far;
use super::local::Via;
use super::report::{IceFailure, PairState, SwitchReason};
use std::net::SocketAddr;
use std::time::Instant;

impl Agent {
    /// The peer has no ICE: a component goes from the relayed address `from`, which it was told of, to
    /// its own. The relay is asked to let it in. Called again, it goes elsewhere.
    ///
    /// # Errors
    /// [`IceFailure::NoLocalCandidates`]: there is no such relay, or none for addresses of that family.
    pub fn go_without_ice(
        &mut self,
        now: Instant,
        component: u16,
        from: SocketAddr,
        peer: SocketAddr,
    ) -> Result<(), IceFailure> {
        if !std::mem::replace(&mut self.plain, true) {
            self.session.replace();
            (self.old, self.selected) = (None, [None, None]);
            (self.failure, self.nominate_at, self.review_at) = (None, None, None);
        }
        let relay = self.bases.iter().position(|b| {
            let relayed = matches!(b.via, Via::Relay(_)) && !b.gone;
            relayed && b.component == component && b.addr == from
        });
        let base = relay.filter(|_| from.is_ipv4() == peer.is_ipv4());
        let base = base.ok_or(IceFailure::NoLocalCandidates)?;
        if self.session.pair_of(base, peer).is_some() {
            return Ok(());
        }
        self.session.pairs.retain(|p| p.component != component);
        let kind = CandidateKind::Host;
        let far = Far { addr: peer, kind, priority: 0, foundation: String::new(), cost: 0 };
        let id = self.add_pair(now, base, &far);
        if let Some(pair) = self.session.pair(id) {
            (pair.valid, pair.nominated, pair.state) = (true, true, PairState::Succeeded);
        }
        self.take(now, usize::from(component - 1), id, SwitchReason::First);
        self.settle(now);
        Ok(())
    }

    /// The peer speaks from another port than it said, as NATs have it: that is where it hears, too.
    pub(super) fn follow_plain(&mut self, now: Instant, base: usize, from: SocketAddr) {
        let silent = |p: &&mut super::pair::Pair| {
            p.base == base && p.remote.ip() == from.ip() && p.last_heard.is_none()
        };
        let Some(pair) = self.session.pairs.iter_mut().find(silent).filter(|_| self.plain) else {
            return;
        };
        pair.remote = from;
        let (slot, id) = (usize::from(pair.component - 1), pair.id);
        self.take(now, slot, id, SwitchReason::Better);
    }

    /// The relay is gone, or refuses the peer.
    pub(super) fn check_plain(&mut self) {
        if self.session.pairs.iter().any(|p| !p.valid) {
            self.failed(IceFailure::NoPath(self.session.pairs.len()));
        }
    }
}
