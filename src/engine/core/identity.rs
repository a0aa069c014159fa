//! Callers signed and verified (RFC 8224): the certificate of an incoming call is asked of the
//! application while the call waits; outgoing INVITEs get Date and Identity.

use super::Core;
use crate::command::Headers;
use crate::identity::{CallerIdentity, CertificateRequest, IdentityRule};
use crate::media::MediaPlane;
use crate::{Error, Event, SipMessage};
use std::collections::{HashMap, VecDeque};
use std::time::Instant;
use tiny_sak::Flow;
use tiny_sip::CallKey;
use tiny_sip::header::Date;
use tiny_sip::identity::{Facts, IdentityError, Party, Signer, verify};

/// Calls that wait for a certificate, and certificates that came.
#[derive(Default)]
pub(super) struct Verifications {
    // The time of day, as of an instant.
    clock: Option<(Instant, i64)>,
    waiting: HashMap<CallKey, Waiting>,
    known: VecDeque<(String, Vec<u8>, Instant)>,
}

struct Waiting {
    request: SipMessage,
    flow: Flow,
    facts: Facts,
    deadline: Instant,
}

impl Verifications {
    fn unix(&self, now: Instant) -> Option<i64> {
        let (at, unix) = self.clock?;
        Some(unix.saturating_add(now.saturating_duration_since(at).as_secs() as i64))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|w| w.deadline).min()
    }

    pub(super) fn forget(&mut self, call: CallKey) {
        self.waiting.remove(&call);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl<P: MediaPlane> Core<P> {
    /// Tells the time of day, in seconds since 1970. Signing needs it, and so does verification.
    pub(crate) fn set_clock(&mut self, now: Instant, unix: i64) {
        self.verifications.clock = Some((now, unix));
    }

    /// A call comes in: it rings at once, unless a certificate must be fetched first.
    pub(super) fn incoming(&mut self, now: Instant, key: CallKey, request: SipMessage, flow: Flow) {
        let Some(config) = &self.config.identity else {
            return self.admit(now, key, request, flow, CallerIdentity::NotChecked);
        };
        let facts = match Facts::of(&request) {
            Ok(facts) => facts,
            Err(e) => return self.identified(now, key, request, flow, Err(e)),
        };
        let known = self.verifications.known.iter();
        let known = known.filter(|(uri, _, until)| *uri == facts.info && *until > now);
        if let Some((_, certificate, _)) = known.into_iter().next() {
            let result = self.judge(now, &facts, &certificate.clone());
            return self.identified(now, key, request, flow, result);
        }
        let full = self.busy() + self.verifications.len() >= self.config.max_calls;
        let shared = self.shared.upgrade().filter(|_| !full && self.shutdown.is_none());
        let Some(shared) = shared.filter(|_| facts.info.starts_with("https://")) else {
            let result = Err(IdentityError::NoCertificate);
            return self.identified(now, key, request, flow, result);
        };
        let deadline = now + config.certificate_timeout;
        let uri = facts.info.clone();
        self.verifications.waiting.insert(key, Waiting { request, flow, facts, deadline });
        // One that the application has no room for is dropped, which is an answer too.
        self.tell(Event::CertificateWanted(CertificateRequest::new(shared, key, uri)));
    }

    /// The application's answer.
    pub(super) fn certificate(&mut self, now: Instant, call: CallKey, data: Option<Vec<u8>>) {
        let Some(waiting) = self.verifications.waiting.remove(&call) else { return };
        let Waiting { request, flow, facts, .. } = waiting;
        let result = match data {
            Some(data) => {
                let result = self.judge(now, &facts, &data);
                self.remember(now, facts.info, data, &result);
                result
            }
            None => Err(IdentityError::NoCertificate),
        };
        self.identified(now, call, request, flow, result);
    }

    // What could not be read or trusted is fetched again for the next call.
    fn remember(
        &mut self,
        now: Instant,
        uri: String,
        data: Vec<u8>,
        result: &Result<tiny_sip::identity::VerifiedCaller, IdentityError>,
    ) {
        let Some(config) = &self.config.identity else { return };
        if result.is_err() || config.max_certificates == 0 {
            return;
        }
        let known = &mut self.verifications.known;
        known.retain(|(other, _, until)| *other != uri && *until > now);
        while known.len() >= config.max_certificates {
            known.pop_front();
        }
        known.push_back((uri, data, now + config.certificate_ttl));
    }

    fn judge(
        &self,
        now: Instant,
        facts: &Facts,
        certificate: &[u8],
    ) -> Result<tiny_sip::identity::VerifiedCaller, IdentityError> {
        let (Some(config), Some(unix)) = (&self.config.identity, self.verifications.unix(now))
        else {
            return Err(IdentityError::NoCertificate);
        };
        verify(facts, certificate, &config.anchors, unix, config.max_age)
    }

    fn identified(
        &mut self,
        now: Instant,
        key: CallKey,
        request: SipMessage,
        flow: Flow,
        result: Result<tiny_sip::identity::VerifiedCaller, IdentityError>,
    ) {
        let rule = self.config.identity.as_ref().map_or(IdentityRule::Report, |c| c.rule);
        let identity = match result {
            Ok(caller) => CallerIdentity::Verified(caller),
            Err(e) => {
                let refuse = match rule {
                    IdentityRule::Report => false,
                    IdentityRule::RefuseInvalid => e != IdentityError::Missing,
                    IdentityRule::Require => true,
                };
                if refuse {
                    tracing::info!("call declined: {e}");
                    let (status, reason) = e.status();
                    let result = self.endpoint.reject(now, key, status, Some(reason), Vec::new());
                    return self.tolerate("reject", result);
                }
                CallerIdentity::Failed(e)
            }
        };
        self.admit(now, key, request, flow, identity);
    }

    /// Calls whose certificate did not come in time. True when there were some.
    pub(super) fn expire_verifications(&mut self, now: Instant) -> bool {
        let waiting = self.verifications.waiting.iter();
        let late: Vec<_> = waiting.filter(|(_, w)| w.deadline <= now).map(|(k, _)| *k).collect();
        late.iter().for_each(|call| self.certificate(now, *call, None));
        !late.is_empty()
    }

    /// Date and Identity of a call that we place (RFC 8224 §6.1).
    pub(super) fn sign(
        &self,
        now: Instant,
        signer: &Signer,
        aor: &str,
        to: &str,
        headers: &mut Headers,
    ) -> Result<(), Error> {
        let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        if given("Identity") || given("y") {
            return Ok(());
        }
        if given("Date") {
            return Err(Error::config("header", "Date is written by the signer of the call"));
        }
        let unix = self.verifications.unix(now);
        let unix = unix.ok_or_else(|| Error::state("the time of day is not known"))?;
        let party = |uri: &str| {
            Party::of(uri)
                .ok_or_else(|| Error::config("call target", format!("{uri} cannot be signed")))
        };
        let identity = signer.sign(party(aor)?, vec![party(to)?], unix);
        headers.push(("Date".to_owned(), Date::from_unix(unix).to_string()));
        headers.push(("Identity".to_owned(), identity));
        Ok(())
    }
}
