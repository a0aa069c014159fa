//! Which server comes next (RFC 3263 §4.3): the one that registered us before the order of the DNS,
//! and none that asked for a pause (503 with Retry-After, RFC 3261 §21.5.4).
//!
//! Walking the list is `outgoing`'s. Requests inside dialogs, ACK and CANCEL go where they must.

use super::outgoing::Request;
use super::{Endpoint, Target};
use crate::message::Message;
use crate::method::Method;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Transport};

/// A server that wants no requests.
#[derive(Debug)]
pub(crate) struct Resting {
    transport: Transport,
    addr: SocketAddr,
    until: Instant,
}

// Beyond it the pause that ends first makes room.
const MOST_RESTING: usize = 64;

impl Endpoint {
    /// Puts the targets of a request into the order in which they are tried. The error says why none
    /// is left.
    pub(crate) fn order_targets(
        &mut self,
        now: Instant,
        request: &mut Request,
    ) -> Result<(), String> {
        if request.dialog.is_some() || matches!(request.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let targets = &mut request.targets;
        let home = request.account.and_then(|account| self.registered_over(account));
        let is_home = |t: &Target| {
            home.is_some_and(|flow| flow.transport == t.transport && flow.remote == t.addr)
        };
        if let Some(at) = targets.iter().position(is_home)
            && let Some(first) = targets.get_mut(..=at)
        {
            first.rotate_right(1);
        }
        if self.resting.is_empty() {
            return Ok(());
        }
        self.resting.retain(|resting| resting.until > now);
        let rests = |t: &Target| {
            let same = |r: &&Resting| r.transport == t.transport && r.addr == t.addr;
            self.resting.iter().find(same).map(|resting| resting.until)
        };
        let soonest = targets.iter().filter_map(rests).min();
        let addr = targets.first().map(|t| t.addr);
        targets.retain(|t| rests(t).is_none());
        match (soonest, addr) {
            (Some(until), Some(addr)) if targets.is_empty() => {
                let seconds = (until - now).as_secs_f64().ceil();
                Err(format!("{addr} is busy and asked to be left alone for {seconds} s"))
            }
            _ => Ok(()),
        }
    }

    /// A 503: with Retry-After, nothing new is sent to that server for so long.
    pub(crate) fn note_unavailable(&mut self, now: Instant, flow: Flow, message: &Message) {
        let Some(Ok(after)) = message.retry_after() else { return };
        let pause = Duration::from_secs(after.seconds.into()).min(self.config.server_pause_max);
        self.resting.retain(|r| r.transport != flow.transport || r.addr != flow.remote);
        if pause.is_zero() {
            return;
        }
        if self.resting.len() >= MOST_RESTING
            && let Some(first) = (0..self.resting.len()).min_by_key(|i| self.resting[*i].until)
        {
            self.resting.swap_remove(first);
        }
        let (transport, addr, until) = (flow.transport, flow.remote, now + pause);
        self.resting.push(Resting { transport, addr, until });
    }
}
