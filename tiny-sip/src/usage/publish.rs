//! State of ours at an event state compositor (RFC 3903 §4, §5): initial publication, refresh,
//! modification and removal by entity-tag; 412 and 423; one request at a time.

use super::subscriber::check_event;
use crate::endpoint::{
    AccountKey, Body, Cause, Due, Endpoint, Error, Event, Leg, Owner, PublicationEvent,
    PublicationKey, Publish, check,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use std::time::{Duration, Instant};
use tiny_sak::TimerKey;

/// A publication.
#[derive(Debug)]
pub(crate) struct Publication {
    account: AccountKey,
    spec: Box<Publish>,
    /// What the compositor calls our state; `None` where it holds none.
    tag: Option<Box<str>>,
    pub(crate) leg: Leg,
    running: bool,
    wanted: bool,
    /// The body has not been told in its latest form.
    changed: bool,
    brief: u8,
    failures: u32,
    next: Option<TimerKey>,
}

impl Endpoint {
    /// Publishes state, and refreshes it until `unpublish`. `Event::Publication` tells what becomes of
    /// it.
    ///
    /// # Errors
    /// A stale account, a URI, event or header field that cannot be used, or a limit.
    pub fn publish(
        &mut self,
        now: Instant,
        account: AccountKey,
        spec: Publish,
    ) -> Result<PublicationKey, Error> {
        check(&spec.headers, Some(&spec.body))?;
        check_event(&spec.event)?;
        if spec.expires == 0 {
            return Err(Error::State("a publication that lasts no time"));
        }
        if self.publications.len() >= self.config.max_publications {
            return Err(Error::Limit("max_publications"));
        }
        self.room()?;
        let key = self.publications.insert(Publication {
            account,
            spec: Box::new(spec),
            tag: None,
            leg: Leg::None,
            running: false,
            wanted: true,
            changed: true,
            brief: 0,
            failures: 0,
            next: None,
        });
        if let Err(error) = self.send_publish(now, key) {
            self.publications.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Replaces the state (§4.4). While a request is under way the latest state waits for its end.
    ///
    /// # Errors
    /// A stale key, a publication that is being removed, or a body that cannot be sent.
    pub fn update_publication(
        &mut self,
        now: Instant,
        key: PublicationKey,
        body: Body,
    ) -> Result<(), Error> {
        check(&[], Some(&body))?;
        let state = self.publications.get_mut(key).ok_or(Error::Stale("publication"))?;
        if !state.wanted {
            return Err(Error::State("the publication is being removed"));
        }
        state.spec.body = body;
        state.changed = true;
        self.send_publish(now, key)
    }

    /// Removes the state (§4.5). `Removed` follows.
    ///
    /// # Errors
    /// A stale key.
    pub fn unpublish(&mut self, now: Instant, key: PublicationKey) -> Result<(), Error> {
        let state = self.publications.get_mut(key).ok_or(Error::Stale("publication"))?;
        if std::mem::take(&mut state.wanted) {
            self.remove_or_send(now, key);
        }
        Ok(())
    }

    /// Publishes again before its time, for instance after a change of network.
    ///
    /// # Errors
    /// A stale key.
    pub fn refresh_publication(&mut self, now: Instant, key: PublicationKey) -> Result<(), Error> {
        if !self.publications.contains_key(key) {
            return Err(Error::Stale("publication"));
        }
        self.send_publish(now, key)
    }

    /// Whether a publication is to stay.
    pub(crate) fn wants_publication(&self, key: PublicationKey) -> bool {
        self.publications.get(key).is_some_and(|state| state.wanted)
    }

    /// The network has changed: published again. Whether a request that was under way arrived nobody
    /// knows; a 412 would tell.
    pub(crate) fn publish_anew(&mut self, now: Instant, key: PublicationKey) {
        let Some(state) = self.publications.get_mut(key).filter(|state| state.wanted) else {
            return;
        };
        state.changed |= std::mem::take(&mut state.running);
        let leg = std::mem::replace(&mut state.leg, Leg::None);
        if let Leg::Sent(client) = leg {
            self.remove_client(client);
        }
        self.drop_leg(leg);
        let _ = self.send_publish(now, key);
    }

    /// The removal of what was wanted no more; at once where the compositor holds nothing.
    fn remove_or_send(&mut self, now: Instant, key: PublicationKey) {
        let Some(state) = self.publications.get(key) else { return };
        if state.running {
            return;
        }
        if state.tag.is_none() || self.send_publish(now, key).is_err() {
            self.end_publication(key, PublicationEvent::Removed);
        }
    }

    /// The operation that fits (§4.1, Table 1).
    fn send_publish(&mut self, now: Instant, key: PublicationKey) -> Result<(), Error> {
        let Some(state) = self.publications.get_mut(key) else { return Ok(()) };
        if state.running {
            // "MUST NOT send a new PUBLISH request … until they have received a final response"
            return Ok(());
        }
        if let Some(timer) = state.next.take() {
            self.timers.cancel(timer);
        }
        let account = state.account;
        let aor = self.accounts.get(account).map(|a| a.account.aor.clone());
        let to = state.spec.to.clone().or(aor).ok_or(Error::Stale("account"))?;
        let owner = Owner::Publish(key);
        let mut request = self.out_of_dialog(account, owner, Method::Publish, &to)?;
        let Some(state) = self.publications.get_mut(key) else { return Ok(()) };
        let expires = if state.wanted { state.spec.expires } else { 0 };
        request.headers.push(("Event".to_owned(), state.spec.event.clone()));
        request.headers.push(("Expires".to_owned(), expires.to_string()));
        if let Some(tag) = &state.tag {
            request.headers.push(("SIP-If-Match".to_owned(), tag.to_string()));
        }
        request.headers.extend(state.spec.headers.iter().cloned());
        // A refresh and a removal "MUST NOT have a body"; an initial publication must.
        if state.wanted && (state.changed || state.tag.is_none()) {
            request.body = Some(state.spec.body.clone());
        }
        state.changed = false;
        state.running = true;
        state.leg = Leg::None;
        self.start(now, request);
        Ok(())
    }

    /// A 2xx.
    pub(crate) fn publish_accepted(
        &mut self,
        now: Instant,
        key: PublicationKey,
        message: &Message,
    ) {
        let Some(state) = self.publications.get_mut(key) else { return };
        state.running = false;
        state.leg = Leg::None;
        (state.failures, state.brief) = (0, 0);
        let asked = state.spec.expires;
        let expires = message.expires().and_then(Result::ok).unwrap_or(asked).min(asked);
        if !state.wanted && expires == 0 {
            return self.end_publication(key, PublicationEvent::Removed);
        }
        // "The EPA MUST store this entity-tag, replacing any existing" (§4.3)
        state.tag = message.header(H::SipEtag).filter(|tag| !tag.is_empty()).map(Into::into);
        let removed = !state.wanted && message.header(H::Expires).is_none() && state.tag.is_none();
        if removed {
            return self.end_publication(key, PublicationEvent::Removed);
        }
        if !state.wanted {
            return self.remove_or_send(now, key);
        }
        let changed = state.changed;
        let event = PublicationEvent::Published { expires, response: message.clone() };
        self.event(Event::Publication { publication: key, event });
        if changed {
            let _ = self.send_publish(now, key);
            return;
        }
        let lifetime = Duration::from_secs(expires.max(1).into());
        let margin = (lifetime / 10).max(Duration::from_secs(5)).min(lifetime / 2);
        self.publish_at(key, now + lifetime - margin);
    }

    fn publish_at(&mut self, key: PublicationKey, at: Instant) {
        let timer = self.timers.insert(at, Due::Publication(key));
        if let Some(state) = self.publications.get_mut(key)
            && let Some(old) = state.next.replace(timer)
        {
            self.timers.cancel(old);
        }
    }

    /// A 3xx–6xx that credentials could not help (§5).
    pub(crate) fn publish_refused(
        &mut self,
        now: Instant,
        key: PublicationKey,
        status: u16,
        message: &Message,
        cause: Cause,
    ) {
        let Some(state) = self.publications.get_mut(key) else { return };
        state.running = false;
        state.leg = Leg::None;
        if status == 412 {
            // "MUST also discard the entity-tag that produced this error response"
            let had = state.tag.take().is_some();
            if !state.wanted {
                return self.end_publication(key, PublicationEvent::Removed);
            }
            // "SHOULD perform an initial publication"
            if had && self.send_publish(now, key).is_ok() {
                return;
            }
        } else if status == 423
            && let Some(Ok(min)) = message.min_expires()
            && state.wanted
            && state.brief < 2
            && min > state.spec.expires
        {
            state.brief += 1;
            state.spec.expires = min;
            state.changed = true;
            if self.send_publish(now, key).is_ok() {
                return;
            }
        }
        let lasting = cause == Cause::Unauthorized
            || matches!(status, 300..=407 | 409..=429 | 482..=485 | 488..=489)
            || matches!(status, 493 | 501 | 505 | 513 | 600..=699);
        let after = message.retry_after().and_then(Result::ok);
        let after = after.map(|after| Duration::from_secs(after.seconds.into()));
        let reason = message.reason().to_owned();
        self.publish_lost(now, key, Some(status), reason, cause, (!lasting).then_some(after));
    }

    /// No final response.
    pub(crate) fn publish_failed(
        &mut self,
        now: Instant,
        key: PublicationKey,
        cause: Cause,
        reason: &str,
    ) {
        let Some(state) = self.publications.get_mut(key) else { return };
        state.running = false;
        state.leg = Leg::None;
        self.publish_lost(now, key, None, reason.to_owned(), cause, Some(None));
    }

    fn publish_lost(
        &mut self,
        now: Instant,
        key: PublicationKey,
        status: Option<u16>,
        reason: String,
        cause: Cause,
        again: Option<Option<Duration>>,
    ) {
        let (first, longest) = (self.config.event_retry, self.config.register_retry_max);
        let jitter = 0.75 + self.rng.unit() / 2.0;
        let Some(state) = self.publications.get_mut(key) else { return };
        if !state.wanted {
            // What cannot be removed expires by itself.
            return self.end_publication(key, PublicationEvent::Removed);
        }
        // Whether the compositor has the latest state is not known.
        state.changed = true;
        let retry_in = again.map(|after| {
            let pause = first.saturating_mul(1 << state.failures.min(16)).min(longest);
            pause.mul_f64(jitter).max(after.unwrap_or_default())
        });
        state.failures += 1;
        let event = PublicationEvent::Failed { status, reason, cause, retry_in };
        match retry_in {
            Some(pause) => {
                self.publish_at(key, now + pause);
                self.event(Event::Publication { publication: key, event });
            }
            None => self.end_publication(key, event),
        }
    }

    pub(crate) fn publication_due(&mut self, now: Instant, key: PublicationKey) {
        if let Some(state) = self.publications.get_mut(key) {
            state.next = None;
            // The account is gone: so is the right to publish.
            if let Err(error) = self.send_publish(now, key) {
                let (reason, cause) = (error.to_string(), Cause::Network);
                let event =
                    PublicationEvent::Failed { status: None, reason, cause, retry_in: None };
                self.end_publication(key, event);
            }
        }
    }

    fn end_publication(&mut self, key: PublicationKey, event: PublicationEvent) {
        let Some(state) = self.publications.remove(key) else { return };
        if let Some(timer) = state.next {
            self.timers.cancel(timer);
        }
        self.drop_leg(state.leg);
        self.event(Event::Publication { publication: key, event });
    }
}
