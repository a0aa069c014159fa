//! Answering a call, and what may come before: ringing, and a session description in a provisional
//! response, reliable where the caller takes that (RFC 3262, RFC 3960 §3), with which sound flows
//! before anybody has picked up. Without an offer in the INVITE ours goes out, and its answer comes in
//! a PRACK or ACK.

use super::incoming::retry_later;
use super::{Core, session, sip_error};
use crate::Error;
use crate::SipMessage;
use crate::audio::OpenAudio;
use crate::command::Headers;
use crate::event::CallEvent;
use crate::media::{MediaCommand, MediaPlane, MediaPorts};
use std::time::Instant;
use tiny_sip::{Body, CallKey};

impl<P: MediaPlane> Core<P> {
    /// Ringing for calls that we receive, without a description.
    pub(super) fn ring(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        headers: Headers,
    ) -> Result<(), Error> {
        let early = self.calls.get(&key).and_then(|entry| entry.early.clone());
        self.endpoint.provisional(now, key, status, None, headers, early).map_err(sip_error)
    }

    /// Rings with sound.
    pub(super) fn ring_with_media(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        mut headers: Headers,
        audio: OpenAudio,
    ) -> Result<(), Error> {
        self.announce_in_response(key, &mut headers);
        let entry = self.calls.get(&key).filter(|e| e.end.is_none());
        let entry = entry.ok_or(Error::Ended("the call"))?;
        if entry.accepted {
            return Err(Error::state("the call is answered already"));
        }
        if entry.ports.is_some() {
            let flows = entry.started;
            self.ring(now, key, status, headers)?;
            self.change_sound(key, audio);
            if !flows {
                self.early_media_runs(key);
            }
            return Ok(());
        }
        if entry.offer.is_none() && !self.endpoint.rings_reliably(key) {
            let why = "early media needs an offer in the INVITE, or a caller that supports 100rel";
            return Err(Error::state(why));
        }
        let ports = self.describe_call(now, key)?;
        let early = self.calls.get(&key).and_then(|entry| entry.early.clone());
        let sent = self.endpoint.provisional(now, key, status, None, headers, early);
        if let Err(e) = sent {
            self.undescribe(key, ports);
            return Err(sip_error(e));
        }
        self.change_sound(key, audio);
        self.early_media_runs(key);
        Ok(())
    }

    /// Takes ports and writes our description: the answer to the caller's offer, or an offer. It is
    /// kept for the responses that carry it.
    pub(super) fn describe_call(
        &mut self,
        now: Instant,
        key: CallKey,
    ) -> Result<MediaPorts, Error> {
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        let local = self.config.media_address.or(entry.local).ok_or(Error::Ended("the call"))?;
        let (offer, mut negotiator) = (entry.offer.clone(), entry.negotiator.clone());
        let gathered = entry.ice.as_ref().map(|ice| ice.ports);
        let ports = match gathered.map_or_else(|| self.plane.open(local), Ok) {
            Ok(ports) => ports,
            Err(e) => {
                // Another call has to end first: the caller may try again (RFC 3261 §21.5.4).
                if matches!(e, Error::Limit(_)) {
                    let result = self.endpoint.reject(now, key, 503, None, retry_later(503));
                    self.tolerate("reject", result);
                }
                return Err(e);
            }
        };
        let way = entry.wished;
        let described = match &offer {
            Some(offer) => self.answer_offer(&mut negotiator, offer, &ports, way),
            None => self.offer(&mut negotiator, &ports, way).map(|body| (body, None)),
        };
        let (body, session) = match described {
            Ok(described) => described,
            Err(e) => {
                if gathered.is_none() {
                    self.plane.close(ports.id);
                }
                return Err(e);
            }
        };
        let Some(entry) = self.calls.get_mut(&key) else { return Err(Error::Ended("the call")) };
        // Should sending fail, the call goes on as it was.
        entry.offered = Some(std::mem::replace(&mut entry.negotiator, negotiator));
        entry.answer_in_prack = session.is_none();
        (entry.session, entry.early) = (session, Some(body));
        entry.ports = Some(ports);
        self.media.insert(ports.id, key);
        Ok(ports)
    }

    fn undescribe(&mut self, key: CallKey, ports: MediaPorts) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        // What was gathered is for the next attempt.
        if entry.ice.is_none() {
            self.media.remove(&ports.id);
            self.plane.close(ports.id);
        }
        if let Some(before) = entry.offered.take() {
            entry.negotiator = before;
        }
        (entry.session, entry.early, entry.ports) = (None, None, None);
        entry.answer_in_prack = false;
    }

    /// Sound for the stream, running or not.
    pub(super) fn change_sound(&mut self, key: CallKey, audio: OpenAudio) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        entry.again = audio.again.clone();
        match entry.ports.filter(|_| entry.started) {
            Some(ports) => self.plane.tell(ports.id, MediaCommand::Audio(Box::new(audio))),
            None => entry.audio = Some(audio),
        }
    }

    fn early_media_runs(&mut self, key: CallKey) {
        self.run_media(key);
        let Some(entry) = self.calls.get(&key) else { return };
        if let Some(codec) = entry.codec.clone().filter(|_| entry.started) {
            entry.tell(CallEvent::EarlyMedia { codec });
        }
    }

    /// The PRACK of a reliable response came, with the answer to our offer if that carried one.
    pub(super) fn provisional_confirmed(
        &mut self,
        now: Instant,
        key: CallKey,
        prack: Option<SipMessage>,
    ) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some(prack) = prack else { return self.next_change(now, key) };
        if !std::mem::take(&mut entry.answer_in_prack) {
            return;
        }
        let result = match session::sdp_of(&prack) {
            Some(answer) => self.apply_answer(key, &answer),
            None => Err(Error::state("the PRACK has no answer to our offer")),
        };
        if let Err(e) = result {
            tracing::info!("call ended: {e}");
            return self.fail(now, key, &e.to_string());
        }
        match self.calls.get(&key).is_some_and(|entry| entry.accepted) {
            true => self.up(now, key, None),
            false => self.early_media_runs(key),
        }
        self.resume_suspended(now, key);
        self.next_change(now, key);
    }

    /// Answers: with this sound, or with the one that flows already.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        key: CallKey,
        mut headers: Headers,
        audio: Option<OpenAudio>,
    ) -> Result<(), Error> {
        self.announce_in_response(key, &mut headers);
        let entry = self.calls.get(&key).filter(|e| e.end.is_none());
        let entry = entry.ok_or(Error::Ended("the call"))?;
        if entry.accepted {
            return Err(Error::state("the call is answered already"));
        }
        let before = entry.ports;
        if before.is_none() && audio.is_none() {
            return Err(Error::state("there is no early media to go on with"));
        }
        if self.endpoint.is_cut_off(key) {
            return self.answer_by_calling(now, key, headers, audio);
        }
        let ports = match before {
            Some(ports) => ports,
            None => self.describe_call(now, key)?,
        };
        // The answer says what was said before (RFC 3261 §13.2.1); the endpoint leaves it out where
        // that came reliably.
        let body = self.calls.get(&key).and_then(|entry| entry.early.clone());
        if let Err(e) = self.accept(now, key, headers, body) {
            if before.is_none() {
                self.undescribe(key, ports);
            }
            return Err(e);
        }
        if let Some(audio) = audio {
            self.change_sound(key, audio);
        }
        let Some(entry) = self.calls.get_mut(&key) else { return Ok(()) };
        (entry.accepted, entry.offer, entry.offered) = (true, None, None);
        if entry.session.is_some() {
            self.up(now, key, None);
        } else if before.is_none() {
            entry.answer_in_prack = false;
            entry.answer_in_ack = true;
        }
        Ok(())
    }

    fn accept(
        &mut self,
        now: Instant,
        key: CallKey,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        self.endpoint.accept(now, key, headers, body).map_err(sip_error)
    }
}
