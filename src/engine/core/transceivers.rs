//! Directions of calls, and whether the peer has yet to hear of one ("update the negotiation-needed flag",
//! W3C WebRTC §4.7.3). The rule itself is [`tiny_sdp::AgreedLine`]; offers go through the queue of changes.

use super::Core;
use super::entry::{CallEntry, HoldChange};
use crate::Error;
use crate::command::Reply;
use crate::event::CallEvent;
use crate::media::MediaPlane;
use crate::transceiver::{Direction, MediaKind, Transceiver};
use std::time::Instant;
use tiny_sip::CallKey;

impl CallEntry {
    /// Nothing is under way that could say it: only then the question makes sense.
    fn is_stable(&self) -> bool {
        self.established()
            && self.changing.is_none()
            && self.changes.is_empty()
            && !self.answer_in_ack
            && !self.negotiator.is_offering()
    }

    /// Whether the peer has yet to hear of something.
    fn must_tell(&self) -> bool {
        let restarts = self.ice.as_ref().is_some_and(|ice| ice.restarts());
        let channels = self.negotiator.described().has_news();
        let direction = self.negotiator.must_tell(self.way(self.held));
        self.is_stable() && (restarts || channels || direction)
    }
}

impl<P: MediaPlane> Core<P> {
    fn live_call(&mut self, key: CallKey) -> Result<&mut CallEntry, Error> {
        let entry = self.calls.get_mut(&key).filter(|e| e.end.is_none());
        entry.ok_or(Error::Ended("the call"))
    }

    pub(super) fn transceivers(&mut self, key: CallKey) -> Result<Vec<Transceiver>, Error> {
        let entry = self.live_call(key)?;
        let line = entry.negotiator.line();
        let stopped = line.is_some_and(|line| line.rejected);
        Ok(vec![Transceiver {
            mid: line.and_then(|line| Some(line.mid.as_ref()?.to_string())),
            kind: MediaKind::Audio,
            direction: if stopped { Direction::Inactive } else { entry.way(entry.held) },
            current_direction: line.and_then(|line| line.current()),
            stopped,
        }])
    }

    pub(super) fn set_direction(&mut self, key: CallKey, wished: Direction) -> Result<(), Error> {
        self.live_call(key)?.wished = wished;
        self.check_negotiation(key);
        Ok(())
    }

    pub(super) fn negotiation_needed(&mut self, key: CallKey) -> Result<bool, Error> {
        self.live_call(key).map(|entry| entry.must_tell())
    }

    pub(super) fn renegotiate(&mut self, now: Instant, key: CallKey, reply: Reply<()>) {
        let change = HoldChange { reply: Some(reply), ..HoldChange::again(None) };
        self.hold(now, key, change);
    }

    pub(super) fn wish_restart(&mut self, key: CallKey) -> Result<(), Error> {
        let without = || Error::state("the call does without ICE");
        self.live_call(key)?.live_ice().ok_or_else(without)?;
        self.restart_ice(key);
        Ok(())
    }

    /// Tells the application once that something is to be told, in a stable state only.
    pub(super) fn check_negotiation(&mut self, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if !entry.is_stable() {
            return;
        }
        let needed = entry.must_tell();
        if !entry.negotiator.note_needed(needed) && needed {
            entry.tell(CallEvent::NegotiationNeeded);
        }
    }
}
