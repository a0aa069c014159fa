//! How calls, and the agent itself, end.

use super::entry::HoldChange;
use super::incoming::phrase;
use super::{Core, Request, Shutdown};
use crate::command::{Headers, Reply};
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

    /// Ends a call that cannot go on, and says why to both sides.
    pub(super) fn fail(&mut self, now: Instant, key: CallKey, why: &str) {
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.end.is_none()) else { return };
        entry.failure.get_or_insert_with(|| why.to_owned());
        let text = phrase(&why).replace(['"', '\\'], "'");
        let reason = ("Reason".to_owned(), format!("SIP;cause=488;text=\"{text}\""));
        self.hangup(now, key, vec![reason]);
    }

    pub(super) fn media_failed(&mut self, now: Instant, id: MediaId, why: &str) {
        if let Some(key) = self.media.get(&id).copied() {
            self.fail(now, key, why);
        }
    }

    /// Our key nears its end: a re-INVITE brings another (RFC 4568 §6.4.2).
    pub(super) fn rekey(&mut self, now: Instant, id: MediaId) {
        let Some(key) = self.media.get(&id).copied() else { return };
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.established()) else { return };
        entry.negotiator.rekey();
        entry.changes.push_back(HoldChange::again(None));
        self.next_change(now, key);
    }

    /// The application wants others: as above, or another handshake (RFC 8842 §3.1).
    pub(super) fn renew_keys(&mut self, now: Instant, key: CallKey, reply: Reply<()>) {
        let entry = self.calls.get_mut(&key).filter(|e| e.end.is_none());
        let renewed = match entry {
            None => Err(Error::Ended("the call")),
            Some(entry) if !entry.established() => {
                Err(Error::state("keys are renewed in calls that are up"))
            }
            Some(entry) => entry.negotiator.renew().map(|()| entry),
        };
        match renewed {
            Ok(entry) => {
                let again = HoldChange::again(None);
                entry.changes.push_back(HoldChange { reply: Some(reply), ..again });
                self.next_change(now, key);
            }
            Err(e) => drop(reply.send(Err(e))),
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
        self.errand_failed(now, key, status, &reason);
        self.member_gone(now, key);
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let by = match by {
            EndedBy::Local => Party::Local,
            EndedBy::Remote => Party::Remote,
            _ => Party::Network,
        };
        let up = entry.answered_at.map(|at| now.saturating_duration_since(at));
        let duration = up.unwrap_or(Duration::ZERO);
        for change in entry.changing.take().into_iter().chain(entry.changes.drain(..)) {
            change.done(Err(Error::Ended("the call")));
        }
        entry.wanted.refuse(&Error::Ended("the call"));
        entry.audio = None;
        if let Some(ice) = &mut entry.ice {
            ice.refuse_waiting();
        }
        let failure = entry.failure.take().filter(|_| by == Party::Local);
        let failed = failure.is_some();
        let reason = failure.unwrap_or(reason);
        let ice = entry.ice.as_mut().and_then(|ice| ice.lost.take()).filter(|_| failed);
        let stats = None;
        entry.end = Some(CallEnd { by, status, reason, duration, stats, message, failed, ice });
        match entry.open_ports() {
            Some(ports) => self.plane.close(ports.id),
            None => self.finish(key, None),
        }
    }

    pub(super) fn media_closed(
        &mut self,
        _now: Instant,
        id: MediaId,
        stats: Option<Box<CallStats>>,
    ) {
        if let Some(key) = self.media.remove(&id) {
            self.finish(key, stats);
        }
    }

    fn finish(&mut self, key: CallKey, stats: Option<Box<CallStats>>) {
        let Some(entry) = self.calls.remove(&key) else { return };
        let mut end = entry.end.clone().unwrap_or_else(CallEnd::agent_gone);
        end.stats = stats;
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
        self.give_up_gathering(now);
        let placing: Vec<_> = self.placing.drain().collect();
        for (_, (_, who)) in placing {
            self.placed(now, who, Err(Error::Ended("the agent")));
        }
    }

    /// True when the end has just been reached: there is a [`Request::Done`] to hand out.
    pub(super) fn check_shutdown(&mut self, now: Instant) -> bool {
        let idle = self.calls.is_empty() && self.accounts.is_empty() && self.noted.is_empty();
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
