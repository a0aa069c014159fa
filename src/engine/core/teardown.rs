//! How calls, and the agent itself, end.

use super::{Core, Request, Shutdown};
use crate::command::Headers;
use crate::event::CallEnd;
use crate::media::{MediaId, MediaPlane};
use crate::{CallStats, Error, Party, SipMessage};
use std::time::{Duration, Instant};
use tiny_sip::{CallKey, EndedBy};
use tokio::sync::oneshot;

impl<P: MediaPlane> Core<P> {
    pub(super) fn hangup(&mut self, now: Instant, key: CallKey, headers: Headers) {
        if self.calls.get(&key).is_some_and(|e| e.end.is_none()) {
            let result = self.endpoint.hangup(now, key, headers);
            self.tolerate("hang up", result);
        }
    }

    pub(super) fn ended(
        &mut self,
        now: Instant,
        key: CallKey,
        by: EndedBy,
        status: Option<u16>,
        reason: String,
        message: Option<SipMessage>,
    ) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let by = match by {
            EndedBy::Local => Party::Local,
            EndedBy::Remote => Party::Remote,
            _ => Party::Network,
        };
        let up = entry.answered_at.map(|at| now.saturating_duration_since(at));
        let duration = up.unwrap_or(Duration::ZERO);
        for change in entry.changing.take().into_iter().chain(entry.changes.drain(..)) {
            let _ = change.reply.send(Err(Error::Ended("the call")));
        }
        entry.audio = None;
        entry.end = Some(CallEnd { by, status, reason, duration, stats: None, message });
        match entry.ports {
            Some(ports) => self.plane.close(ports.id),
            None => self.finish(key, None),
        }
    }

    pub(super) fn media_closed(&mut self, _now: Instant, id: MediaId, stats: Option<CallStats>) {
        if let Some(key) = self.media.remove(&id) {
            self.finish(key, stats);
        }
    }

    fn finish(&mut self, key: CallKey, stats: Option<CallStats>) {
        let Some(entry) = self.calls.remove(&key) else { return };
        let mut end = entry.end.clone().unwrap_or_else(CallEnd::agent_gone);
        end.stats = stats.map(Box::new);
        entry.publish_end(end);
    }

    /// Ends everything: BYE to all calls, unregister all accounts, then [`Request::Done`].
    pub(super) fn begin_shutdown(&mut self, now: Instant, reply: oneshot::Sender<()>) {
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.replies.push(reply);
            return;
        }
        let deadline = now + self.config.shutdown_timeout;
        self.shutdown = Some(Shutdown { replies: vec![reply], deadline, done: false });
        let calls: Vec<_> = self.calls.keys().copied().collect();
        calls.into_iter().for_each(|call| self.hangup(now, call, Vec::new()));
        let accounts: Vec<_> = self.accounts.keys().copied().collect();
        accounts.into_iter().for_each(|account| self.remove_account(now, account));
        for (_, (_, reply)) in self.placing.drain() {
            let _ = reply.send(Err(Error::Ended("the agent")));
        }
    }

    /// True when the end has just been reached: there is a [`Request::Done`] to hand out.
    pub(super) fn check_shutdown(&mut self, now: Instant) -> bool {
        let idle = self.calls.is_empty() && self.accounts.is_empty();
        let Some(shutdown) = &mut self.shutdown else { return false };
        if shutdown.done || !(idle || now >= shutdown.deadline) {
            return false;
        }
        shutdown.done = true;
        for reply in shutdown.replies.drain(..) {
            let _ = reply.send(());
        }
        self.asks.push_back(Request::Done);
        true
    }
}
