//! Responses on their way back: which go on at once, which wait, and which is the best (RFC 3261
//! §16.7).

use super::edit;
use super::server::Server;
use super::transaction::{BranchState, Cancel};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tiny_sak::{Flow, Transport};
use tiny_sip::{HeaderName, Message, Method};

impl Server {
    pub(super) fn response(&mut self, now: Instant, response: Message) {
        let Ok(via) = response.top_via() else { return };
        let found = via.branch().and_then(|branch| self.by_branch.get(branch)).copied();
        let Some((id, i)) = found else { return self.pass_back(&response) };
        let Some(status) = response.status().map(|s| s.code()) else { return };
        let Some(t) = self.transactions.get_mut(&id) else { return };
        let method = t.method.clone();
        let Some(b) = t.branches.get_mut(i) else { return };
        if response.cseq().is_ok_and(|c| c.method == "CANCEL") {
            if status >= 200 {
                b.cancel = Cancel::Answered;
            }
            return;
        }
        let invite = method == Method::Invite;
        if status < 200 {
            if matches!(b.state, BranchState::Trying) {
                b.state = BranchState::Proceeding;
            }
            if status > 100 {
                // §16.7 step 2.
                b.rings_until = now + self.config.ring_timeout;
            }
            if b.cancel == Cancel::Wanted {
                self.cancel_branch(now, id, i);
            }
            // §16.7 step 1: 100 goes no further.
            if status > 100
                && let Some(bytes) = edit::returned(&response, &[])
            {
                self.reply_provisional(now, id, status, bytes);
            }
            return;
        }
        if invite && status >= 300 {
            let to = response.header(HeaderName::To);
            let ack = edit::companion(&b.sent, &Method::Ack, to);
            let flow = b.flow;
            let done = b.is_done();
            if let Some(ack) = ack {
                self.transmit(flow, ack);
            }
            if done {
                return;
            }
        } else if !invite && b.is_done() {
            return;
        }
        let Some(b) = self.transactions.get_mut(&id).and_then(|t| t.branches.get_mut(i)) else {
            return;
        };
        b.state = BranchState::Answered(Box::new(response.clone()));
        if (200..300).contains(&status) {
            match edit::returned(&response, &[]) {
                Some(bytes) => self.reply(now, id, status, bytes),
                None => self.respond(now, id, 502, "", &[]),
            }
            // §16.7 step 10: the first success ends the search.
            self.cancel(now, id);
            return;
        }
        if status >= 600 {
            self.cancel(now, id);
        }
        if matches!(status, 408 | 430) && self.take_spare(now, id, i) {
            return;
        }
        self.settle(now, id);
    }

    fn reply_provisional(&mut self, now: Instant, id: u64, status: u16, bytes: bytes::Bytes) {
        if self.transactions.get(&id).is_some_and(|t| t.final_status.is_none()) {
            self.reply(now, id, status, bytes);
        }
    }

    /// Sends the best final response when no branch is left.
    pub(super) fn settle(&mut self, now: Instant, id: u64) {
        let Some(t) = self.transactions.get(&id) else { return };
        if t.final_status.is_some() || !t.branches.iter().all(super::transaction::Branch::is_done) {
            return;
        }
        let best = t.branches.iter().min_by_key(|b| rank(b.status().unwrap_or(500)));
        let Some(best) = best else { return };
        match &best.state {
            BranchState::Answered(response) => {
                let status = best.status().unwrap_or(500);
                // §16.7 step 6: 503 would take this proxy out of service for the caller.
                if status == 503 {
                    return self.respond(now, id, 500, "", &[]);
                }
                // RFC 5626 §11.5: 430 is between edge proxy and registrar.
                if status == 430 && !self.is_edge() {
                    return self.respond(now, id, 480, "", &[]);
                }
                let mut extra = Vec::new();
                if matches!(status, 401 | 407) {
                    // §16.7 step 7: the challenges of all branches together.
                    let others = t.branches.iter().filter(|b| b.id != best.id);
                    for b in others {
                        let BranchState::Answered(other) = &b.state else { continue };
                        for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
                            extra.extend(other.headers(name).map(|v| (name, v.to_owned())));
                        }
                    }
                }
                match edit::returned(response, &extra) {
                    Some(bytes) => self.reply(now, id, status, bytes),
                    None => self.respond(now, id, 502, "", &[]),
                }
            }
            BranchState::GivenUp(status) => self.respond(now, id, *status, "", &[]),
            _ => {}
        }
    }

    /// A response that belongs to nothing remembered: on to the next Via (§16.11).
    fn pass_back(&mut self, response: &Message) {
        let mut vias = response.vias().filter_map(Result::ok);
        let (Some(ours), Some(next)) = (vias.next(), vias.next()) else { return };
        let own = SocketAddr::new(
            ours.ip().unwrap_or(IpAddr::from([0, 0, 0, 0])),
            ours.port.unwrap_or(5060),
        );
        let transport = next.transport_kind().unwrap_or(Transport::Udp);
        let ip = next.received().and_then(|r| r.parse().ok()).or(next.ip());
        let (Some(ip), true) = (ip, self.is_own_address(own)) else { return };
        let port = next.rport().flatten().or(next.port).unwrap_or(transport.default_port());
        let remote = SocketAddr::new(ip, port);
        if let Some(local) = self.local_for(transport, remote)
            && let Some(bytes) = edit::returned(response, &[])
        {
            self.transmit(Flow { transport, local, remote }, bytes);
        }
    }
}

/// The order of preference of §16.7 step 6: 6xx before all, then the lowest class; within 4xx those
/// that the caller can do something about.
fn rank(status: u16) -> (u16, u16) {
    let class = if status >= 600 { 0 } else { status / 100 };
    let within = match status {
        401 | 407 => 0,
        415 | 420 | 484 => 1,
        // What the proxy made up tells least.
        408 | 480 => 3,
        _ => 2,
    };
    (class, within)
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn the_best_response_is_that_of_section_16_7() {
        let best = |all: &[u16]| all.iter().copied().min_by_key(|s| rank(*s));
        assert_eq!(best(&[486, 404, 603]), Some(603));
        assert_eq!(best(&[500, 486, 404]), Some(486));
        assert_eq!(best(&[486, 302, 503]), Some(302));
        assert_eq!(best(&[486, 407, 415]), Some(407));
        assert_eq!(best(&[408, 404, 500]), Some(404));
    }
}
