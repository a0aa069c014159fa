//! Branches: sending a request on, to one or several targets, until each is answered, cancelled or
//! given up (RFC 3261 §16.6, §16.8, §16.10).

use super::edit::{self, Forward};
use super::server::Server;
use super::transaction::{Branch, BranchState, Cancel, LIFETIME, T1, T2, Timer};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Transport, id};
use tiny_sip::{Limits, Message, Method};

/// Where one copy of a request goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) uri: String,
    pub(super) flow: Flow,
    /// The proxies that it goes by.
    pub(super) routes: Vec<String>,
    /// Other ways to the same device, one of which is taken when this one fails (RFC 5626 §7).
    pub(super) spare: Vec<Target>,
}

impl Target {
    /// A server on a wildcard address does not know its own: it is called by the one that the
    /// request came to.
    pub(super) fn seen_from(mut self, came_by: Flow) -> Self {
        let other = came_by.local.ip();
        if self.flow.local.ip().is_unspecified() && other.is_ipv4() == self.flow.local.is_ipv4() {
            self.flow.local.set_ip(other);
        }
        self
    }
}

impl Server {
    /// Sends a request on to every target at once.
    pub(super) fn fork(&mut self, now: Instant, id: u64, targets: Vec<Target>) {
        let Some(t) = self.transactions.get(&id) else { return };
        let (request, came_by) = (t.request.clone(), t.flow);
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        let forms_dialog = matches!(t.method, Method::Invite | Method::Subscribe | Method::Refer);
        let invite = t.method == Method::Invite;
        let register = t.method == Method::Register && self.is_edge();
        let path = register.then(|| self.path_entry(&request, came_by)).flatten();
        if invite && t.branches.is_empty() {
            self.respond(now, id, 100, "", &[]);
        }
        for target in targets.into_iter().map(|t| t.seen_from(came_by)) {
            let branch = id::branch(&mut self.rng).to_string();
            let record_routes = match self.config.record_route && forms_dialog && !in_dialog {
                true if self.is_edge() => self.edge_routes(came_by, target.flow),
                true => record_routes(came_by, target.flow),
                false => Vec::new(),
            };
            let change = Forward {
                uri: &target.uri,
                out: target.flow,
                branch: &branch,
                came_from: came_by.remote,
                record_routes: &record_routes,
                routes: &target.routes,
                path: path.as_deref(),
                realm: &self.config.domain,
            };
            let bytes = edit::forwarded(&request, &change);
            let sent = bytes.and_then(|b| Message::parse(b, &Limits::default()).ok());
            let Some(sent) = sent else { continue };
            self.transmit(target.flow, sent.as_bytes().clone());
            let Some(t) = self.transactions.get_mut(&id) else { return };
            let i = t.branches.len();
            self.by_branch.insert(branch.clone(), (id, i));
            t.branches.push(Branch {
                id: branch,
                flow: target.flow,
                sent,
                state: BranchState::Trying,
                cancel: Cancel::No,
                rings_until: now + self.config.ring_timeout,
                spare: target.spare,
            });
            if !target.flow.transport.is_reliable() {
                self.timers.insert(now + T1, Timer::Request(id, i, T1));
            }
            self.timers.insert(now + LIFETIME, Timer::Unanswered(id, i));
            if invite {
                self.timers.insert(now + self.config.ring_timeout, Timer::Ringing(id, i));
            }
        }
        if self.transactions.get(&id).is_some_and(|t| t.branches.is_empty()) {
            self.respond(now, id, 500, "", &[]);
        }
    }

    fn branch(&mut self, id: u64, i: usize) -> Option<&mut Branch> {
        self.transactions.get_mut(&id)?.branches.get_mut(i)
    }

    /// Timers A and E.
    pub(super) fn send_again(&mut self, now: Instant, id: u64, i: usize, interval: Duration) {
        let Some(b) = self.branch(id, i) else { return };
        let invite = b.sent.method() == Some(&Method::Invite);
        let next = match b.state {
            BranchState::Trying if invite => interval * 2,
            BranchState::Trying => T2.min(interval * 2),
            BranchState::Proceeding if !invite => T2,
            _ => return,
        };
        let (flow, bytes) = (b.flow, b.sent.as_bytes().clone());
        self.transmit(flow, bytes);
        self.timers.insert(now + next, Timer::Request(id, i, next));
    }

    /// Timers B and F.
    pub(super) fn unanswered(&mut self, now: Instant, id: u64, i: usize) {
        let Some(b) = self.branch(id, i) else { return };
        let invite = b.sent.method() == Some(&Method::Invite);
        if matches!(b.state, BranchState::Trying) || !invite {
            self.give_up(now, id, i, 408);
        }
    }

    /// Timer C (RFC 3261 §16.8).
    pub(super) fn rings_too_long(&mut self, now: Instant, id: u64, i: usize) {
        let Some(until) = self.branch(id, i).map(|b| b.rings_until) else { return };
        if until > now {
            self.timers.insert(until, Timer::Ringing(id, i));
        } else {
            self.cancel_branch(now, id, i);
        }
    }

    /// Ends a branch as if its callee had answered with `status`.
    pub(super) fn give_up(&mut self, now: Instant, id: u64, i: usize, status: u16) {
        let Some(b) = self.branch(id, i).filter(|b| !b.is_done()) else { return };
        b.state = BranchState::GivenUp(status);
        if !self.take_spare(now, id, i) {
            self.settle(now, id);
        }
    }

    /// Goes by another flow of the same device when one has failed (RFC 5626 §7: 408 and 430 only).
    pub(super) fn take_spare(&mut self, now: Instant, id: u64, i: usize) -> bool {
        let open = self.transactions.get(&id).is_some_and(|t| t.final_status.is_none());
        let Some(b) = self.branch(id, i).filter(|b| open && b.cancel == Cancel::No) else {
            return false;
        };
        if b.spare.is_empty() {
            return false;
        }
        let mut spare = std::mem::take(&mut b.spare);
        let mut next = spare.remove(0);
        next.spare = spare;
        b.state = BranchState::GivenUp(480);
        self.fork(now, id, vec![next]);
        true
    }

    /// The network could not deliver what was sent on this flow (RFC 3261 §16.9).
    pub(super) fn unreachable(&mut self, now: Instant, flow: Flow) {
        let failed = |b: &Branch| {
            matches!(b.state, BranchState::Trying)
                && b.flow.transport == flow.transport
                && b.flow.remote == flow.remote
        };
        let mut all: Vec<(u64, usize)> = Vec::new();
        for (id, t) in &self.transactions {
            all.extend((0..t.branches.len()).filter(|i| failed(&t.branches[*i])).map(|i| (*id, i)));
        }
        all.sort_unstable();
        for (id, i) in all {
            self.give_up(now, id, i, 480);
        }
    }

    /// CANCEL from the caller: for every branch.
    pub(super) fn cancel(&mut self, now: Instant, id: u64) {
        let count = self.transactions.get(&id).map_or(0, |t| t.branches.len());
        for i in 0..count {
            self.cancel_branch(now, id, i);
        }
    }

    /// Cancels one branch, at once or when something has come back (RFC 3261 §9.1).
    pub(super) fn cancel_branch(&mut self, now: Instant, id: u64, i: usize) {
        let Some(b) = self.branch(id, i) else { return };
        if b.is_done() || !matches!(b.cancel, Cancel::No | Cancel::Wanted) {
            return;
        }
        if matches!(b.state, BranchState::Trying) {
            b.cancel = Cancel::Wanted;
            return;
        }
        let Some(bytes) = edit::companion(&b.sent, &Method::Cancel, None) else { return };
        b.cancel = Cancel::Sent(bytes.clone());
        let flow = b.flow;
        self.transmit(flow, bytes);
        if flow.transport == Transport::Udp {
            self.timers.insert(now + T1, Timer::Cancel(id, i, T1));
        }
        self.timers.insert(now + LIFETIME, Timer::Cancelled(id, i));
    }

    /// Timer E of a CANCEL.
    pub(super) fn cancel_again(&mut self, now: Instant, id: u64, i: usize, interval: Duration) {
        let Some(b) = self.branch(id, i).filter(|b| !b.is_done()) else { return };
        if let Cancel::Sent(bytes) = &b.cancel {
            let (flow, bytes) = (b.flow, bytes.clone());
            self.transmit(flow, bytes);
            let next = T2.min(interval * 2);
            self.timers.insert(now + next, Timer::Cancel(id, i, next));
        }
    }
}

/// Our place in the route set: one entry, or two when the dialog changes its transport or address
/// here (RFC 5658 §3).
pub(super) fn record_routes(came_by: Flow, goes_by: Flow) -> Vec<String> {
    let entry = |flow: Flow| match flow.transport {
        Transport::Udp => format!("<sip:{};lr>", flow.local),
        other => format!("<sip:{};transport={};lr>", flow.local, other.uri_name()),
    };
    let (inner, outer) = (entry(came_by), entry(goes_by));
    if inner == outer { vec![outer] } else { vec![outer, inner] }
}
