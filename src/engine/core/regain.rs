//! Answering a call whose caller our answer cannot reach any more: it is called instead, with Replaces
//! (RFC 3891), and with an offer of ours where its own would have had our answer. To the application it is
//! one and the same call.

use super::branches::Branches;
use super::ice::Waiting;
use super::{Core, session, sip_error};
use crate::audio::OpenAudio;
use crate::command::Headers;
use crate::media::MediaPlane;
use crate::{Error, SipMessage};
use std::time::Instant;
use tiny_sip::CallKey;

impl<P: MediaPlane> Core<P> {
    /// Answers a call whose way to the caller is gone.
    pub(super) fn answer_by_calling(
        &mut self,
        now: Instant,
        key: CallKey,
        headers: Headers,
        audio: Option<OpenAudio>,
    ) -> Result<(), Error> {
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        if entry.ports.is_none() {
            let local = self.config.media_address.or(entry.local);
            let ports = match entry.open_ports() {
                // Those that were gathered for.
                Some(ports) => ports,
                None => self.plane.open(local.ok_or(Error::Ended("the call"))?)?,
            };
            if let Some(entry) = self.calls.get_mut(&key) {
                entry.ports = Some(ports);
            }
            self.media.insert(ports.id, key);
        }
        self.call_back(now, key, headers)?;
        if let Some(audio) = audio {
            self.change_sound(key, audio);
        }
        if let Some(entry) = self.calls.get_mut(&key) {
            entry.accepted = true;
        }
        Ok(())
    }

    /// Our 200 or its ACK was lost: sound may flow already, and goes on.
    pub(super) fn answer_lost(&mut self, now: Instant, key: CallKey) {
        if self.waits_for_ice(key, Waiting::CallBack) {
            return;
        }
        if let Err(e) = self.call_back(now, key, Headers::new()) {
            tracing::debug!("the caller is not called: {e}");
        }
    }

    fn call_back(&mut self, now: Instant, key: CallKey, headers: Headers) -> Result<(), Error> {
        let entry = self.calls.get(&key).filter(|e| e.end.is_none());
        let entry = entry.ok_or(Error::Ended("the call"))?;
        let ports = entry.ports.ok_or_else(|| Error::state("the call has no media"))?;
        let (terms, way) = (entry.terms, entry.way(entry.held));
        let off = entry.ice.as_ref().is_some_and(|ice| ice.is_off());
        let ice = entry.ice.as_ref().and_then(|ice| ice.to_offer());
        let mut headers = headers;
        let account = self.endpoint.account_of(key);
        if let Some(account) = account.and_then(|account| self.accounts.get(&account)) {
            account.spec.caller.add_to(&mut headers);
        }
        let mut negotiator = self.negotiator(terms);
        negotiator.set_ice(ice);
        if off {
            negotiator.refuse_ice();
        }
        let body = self.offer(&mut negotiator, &ports, way)?;
        self.endpoint.regain(now, key, headers, Some(body)).map_err(sip_error)?;
        let Some(entry) = self.calls.get_mut(&key) else { return Ok(()) };
        entry.negotiator = negotiator;
        if let Some(ice) = &mut entry.ice {
            ice.offered();
        }
        (entry.offer, entry.offered, entry.early, entry.changing_in) = (None, None, None, None);
        (entry.answer_in_ack, entry.answer_in_prack) = (false, false);
        entry.branches = Branches::default();
        // What was being changed is changed in the new dialog.
        if let Some(change) = entry.changing.take() {
            entry.changes.push_front(change);
        }
        Ok(())
    }

    /// The caller has taken our call in the place of its own, while sound flows.
    pub(super) fn called_back(&mut self, now: Instant, key: CallKey, response: &SipMessage) {
        let answer = session::sdp_of(response);
        let answer = answer.ok_or_else(|| Error::state("the answer has no session description"));
        if let Err(e) = answer.and_then(|answer| self.apply_answer(key, &answer)) {
            return self.fail(now, key, &e.to_string());
        }
        self.note_peer_hold(key);
        self.run_media(key);
        if let Some(entry) = self.calls.get(&key) {
            entry.publish();
        }
        self.next_change(now, key);
    }
}
