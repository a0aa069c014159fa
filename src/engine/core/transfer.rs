//! Transfers (RFC 5589): ours, reported to a [`Transfer`]; the peer's, for which a new call is placed
//! and its progress told back; and calls that come in the place of others (RFC 3891).

use super::ice::Answerer;
use super::{Core, Request, sip_error};
use crate::agent::Shared;
use crate::audio::{AudioSpec, OpenAudio};
use crate::command::{AnswerTransfer, Headers, PlaceCall, Reply, TransferCall, TransferTo};
use crate::event::CallEvent;
use crate::ice::Terms;
use crate::media::MediaPlane;
use crate::policy::TransferPolicy;
use crate::target::without_method;
use crate::transfer::{Transfer, TransferOutcome, TransferRequest, TransferState};
use crate::{Call, CallId, Error, Event, Party, SipMessage};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tiny_sip::header::Replaces;
use tiny_sip::{
    AccountKey, CallKey, HeaderName, NameAddr, ReferOutcome, Referral, Scheme, Uri, unescape,
};
use tokio::sync::watch;

/// Transfers under way. A call may be over before its transfer is.
#[derive(Default)]
pub(super) struct Moves {
    pub(super) own: HashMap<CallKey, Own>,
    pub(super) errands: HashMap<CallKey, Errand>,
    /// Calls that were placed for an errand, and the call that it came by.
    placed: HashMap<CallKey, CallKey>,
    opening: HashMap<u64, Opening>,
}

pub(super) struct Own {
    pub(super) quiet: bool,
    pub(super) state: watch::Sender<TransferState>,
}

/// Somebody to call because a peer said so.
pub(super) struct Errand {
    account: AccountKey,
    to: String,
    headers: Headers,
    audio: Option<AudioSpec>,
    /// What the call that it came by does about encryption.
    terms: Terms,
    /// The name of its session.
    session: Option<u128>,
    started: bool,
}

/// What sound is being opened for.
enum Opening {
    Errand(CallKey),
    Replacement(CallKey),
}

/// Who hears of a call that is placed.
pub(super) enum Placed {
    Handle(Reply<Call>),
    Errand(CallKey),
}

impl Placed {
    /// Nobody does.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Handle(reply) if reply.is_closed())
    }
}

impl<P: MediaPlane> Core<P> {
    /// Asks the peer of a call to call somebody else.
    pub(super) fn transfer(&mut self, now: Instant, request: TransferCall, reply: Reply<Transfer>) {
        let _ = reply.send(self.try_transfer(now, request));
    }

    fn try_transfer(&mut self, now: Instant, request: TransferCall) -> Result<Transfer, Error> {
        let (key, quiet) = (request.call, request.quiet);
        let entry = self.calls.get(&key).filter(|e| e.end.is_none());
        if !entry.ok_or(Error::Ended("the call"))?.established() {
            return Err(Error::state("the call is not up yet"));
        }
        let account = self.endpoint.account_of(key).and_then(|key| self.accounts.get(&key));
        let mut alone = None;
        let to = match request.to {
            TransferTo::Uri(uri) => match account {
                Some(account) => super::accounts::dialable(account, uri)?,
                None => uri,
            },
            TransferTo::Call(other) => match self.endpoint.replaces_uri(other) {
                Some(uri) => uri,
                None => {
                    let entry = self.calls.get(&other).filter(|e| e.end.is_none());
                    let target = entry.ok_or(Error::Ended("the other call"))?.placed_to.clone();
                    alone = Some(other);
                    target.ok_or_else(|| Error::state("the other call is not answered yet"))?
                }
            },
        };
        let referral = Referral { to, headers: request.headers, quiet };
        self.endpoint.refer(now, key, referral).map_err(sip_error)?;
        if let Some(other) = alone {
            // Its early dialog cannot be replaced by the peer, which did not begin it (RFC 3891 §4).
            self.hangup(now, other, Headers::new());
        }
        let (state, watch) = watch::channel(TransferState::Asked);
        self.moves.own.insert(key, Own { quiet, state });
        Ok(Transfer { state: watch })
    }

    pub(super) fn transfer_goes_on(&mut self, key: CallKey, state: TransferState) {
        if let Some(own) = self.moves.own.get(&key) {
            own.state.send_replace(state);
        }
    }

    pub(super) fn transfer_over(&mut self, now: Instant, key: CallKey, outcome: ReferOutcome) {
        let Some(own) = self.moves.own.remove(&key) else { return };
        let outcome = match outcome {
            ReferOutcome::Reported { status: 200..300, .. } => TransferOutcome::Completed,
            ReferOutcome::Reported { status, reason } => TransferOutcome::Failed { status, reason },
            ReferOutcome::Refused { status, reason } => TransferOutcome::Refused { status, reason },
            ReferOutcome::Silent { reason, .. } => TransferOutcome::Silent { reason },
            _ => TransferOutcome::Unreported,
        };
        let by = Party::Local;
        let event = match &outcome {
            TransferOutcome::Completed => CallEvent::Transferred { by },
            TransferOutcome::Unreported if own.quiet => CallEvent::Transferred { by },
            TransferOutcome::Failed { status, reason }
            | TransferOutcome::Refused { status, reason } => {
                CallEvent::TransferFailed { by, status: Some(*status), reason: reason.clone() }
            }
            TransferOutcome::Silent { reason } => {
                CallEvent::TransferFailed { by, status: None, reason: reason.clone() }
            }
            TransferOutcome::Unreported => {
                let reason = "the peer does not say how it went".to_owned();
                CallEvent::TransferFailed { by, status: None, reason }
            }
        };
        let gone = matches!(event, CallEvent::Transferred { .. });
        if let Some(entry) = self.calls.get(&key) {
            entry.tell(event);
        }
        own.state.send_replace(TransferState::Ended(outcome));
        if gone {
            self.hangup(now, key, Headers::new());
        }
    }

    /// The peer asks us to call somebody.
    pub(super) fn referred(&mut self, now: Instant, key: CallKey, to: &str, request: &SipMessage) {
        if !self.calls.contains_key(&key) {
            return self.referred_outside(now, key, to, request);
        }
        let errand = self.errand(key, to, request);
        let policy = errand.as_ref().ok().and_then(|e| self.accounts.get(&e.account));
        let policy = policy.map_or(TransferPolicy::Refuse, |a| a.spec.policy.transfers);
        let errand = match errand {
            Ok(errand) if policy != TransferPolicy::Refuse && self.shutdown.is_none() => errand,
            other => {
                let status = other.err().unwrap_or(603);
                let result =
                    self.endpoint.refuse_referral(now, key, status, super::referral::why_not(to));
                return self.tolerate("refuse transfer", result);
            }
        };
        let ask = policy == TransferPolicy::Ask || errand.audio.is_none();
        if !ask || !super::referral::is_quiet(request) {
            let result = self.endpoint.accept_referral(now, key, ask);
            self.tolerate("accept transfer", result);
        }
        if ask && let (Some(entry), Some(shared)) = (self.calls.get(&key), self.shared.upgrade()) {
            entry.tell(CallEvent::TransferRequested(errand.request(shared, key, request)));
        }
        let audio = errand.audio.clone().filter(|_| !ask);
        self.moves.errands.insert(key, errand);
        if let Some(audio) = audio {
            self.open(Opening::Errand(key), &audio);
        }
    }

    /// Whom to call, with which header fields; or the status of the refusal.
    fn errand(&self, key: CallKey, to: &str, request: &SipMessage) -> Result<Errand, u16> {
        let entry = self.calls.get(&key).filter(|e| e.established()).ok_or(481u16)?;
        // A call to a user that is none of ours comes by the only account there is.
        let mut all = self.accounts.keys().copied();
        let only = all.next().filter(|_| self.accounts.len() == 1);
        let account = self.endpoint.account_of(key).or(only).ok_or(603u16)?;
        let sound = (entry.again.clone(), entry.terms);
        let session = self.endpoint.session_id(key).map(|id| id.local);
        errand(account, to, request, sound).map(|errand| Errand { session, ..errand })
    }

    /// The application's word on a transfer that it was asked about.
    pub(super) fn answer_transfer(
        &mut self,
        now: Instant,
        key: CallKey,
        answer: AnswerTransfer,
        reply: Reply<()>,
    ) {
        let waiting = self.moves.errands.get(&key).is_some_and(|e| !e.started);
        let result = match answer {
            _ if !waiting => Err(Error::Ended("the transfer")),
            AnswerTransfer::Refuse(status) if !(300..700).contains(&status) => {
                Err(Error::config("status", format!("{status} is no refusal (300-699)")))
            }
            AnswerTransfer::Refuse(status) => {
                self.moves.errands.remove(&key);
                self.endpoint.refuse_referral(now, key, status, Headers::new()).map_err(sip_error)
            }
            AnswerTransfer::Accept(audio) => {
                let result = self.endpoint.accept_referral(now, key, false).map_err(sip_error);
                if result.is_ok() {
                    self.run_errand(now, key, audio);
                } else {
                    self.moves.errands.remove(&key);
                }
                result
            }
        };
        let _ = reply.send(result);
    }

    fn run_errand(&mut self, now: Instant, key: CallKey, audio: OpenAudio) {
        let Some(errand) = self.moves.errands.get_mut(&key) else { return };
        errand.started = true;
        let (account, to, headers) = (errand.account, errand.to.clone(), errand.headers.clone());
        let mut call = PlaceCall::new(account, to, headers, audio);
        (call.terms, call.session) = (Some(errand.terms), errand.session);
        self.locate(now, call, Placed::Errand(key));
    }

    /// A call was placed, or could not be.
    pub(super) fn placed(&mut self, now: Instant, who: Placed, call: Result<Call, Error>) {
        let old = match who {
            Placed::Handle(reply) => {
                let _ = reply.send(call);
                return;
            }
            Placed::Errand(old) => old,
        };
        match call {
            Ok(call) => {
                self.moves.placed.insert(call.inner.key, old);
                self.tell(Event::CallContinues { old: CallId(old), call });
            }
            Err(e) => self.errand_over(now, old, e.status().unwrap_or(503), &e.to_string()),
        }
    }

    /// A call that was placed for a peer has a response.
    pub(super) fn errand_response(&mut self, now: Instant, new: CallKey, response: &SipMessage) {
        let Some(old) = self.moves.placed.get(&new).copied() else { return };
        let status = response.status().map_or(0, |s| s.code());
        if status >= 200 {
            self.moves.placed.remove(&new);
            return self.errand_over(now, old, status, response.reason());
        }
        let result = self.endpoint.notify_referral(now, old, status, response.reason());
        self.tolerate("tell of the transfer", result);
    }

    /// A call that was placed for a peer has ended before it was answered.
    pub(super) fn errand_failed(
        &mut self,
        now: Instant,
        new: CallKey,
        status: Option<u16>,
        reason: &str,
    ) {
        if let Some(old) = self.moves.placed.remove(&new) {
            let reason = if status.is_some() { reason } else { "" };
            self.errand_over(now, old, status.filter(|s| *s >= 300).unwrap_or(487), reason);
        }
    }

    fn errand_over(&mut self, now: Instant, old: CallKey, status: u16, reason: &str) {
        self.moves.errands.remove(&old);
        let result = self.endpoint.notify_referral(now, old, status, reason);
        self.tolerate("tell of the transfer", result);
        let by = Party::Remote;
        if let Some(entry) = self.calls.get(&old) {
            entry.tell(match status {
                200..300 => CallEvent::Transferred { by },
                _ => {
                    let (status, reason) = (Some(status), reason.to_owned());
                    CallEvent::TransferFailed { by, status, reason }
                }
            });
        }
    }

    /// An INVITE came in the place of a call of ours: answered by itself, with the same sound.
    pub(super) fn continue_call(&mut self, old: CallKey, call: Call, audio: &AudioSpec) -> bool {
        let new = call.inner.key;
        if let Some(entry) = self.calls.get(&old) {
            entry.tell(CallEvent::Transferred { by: Party::Remote });
        }
        if self.events.try_send(Event::CallContinues { old: CallId(old), call }).is_err() {
            return false;
        }
        self.open(Opening::Replacement(new), audio);
        true
    }

    fn open(&mut self, what: Opening, audio: &AudioSpec) {
        self.next_job += 1;
        self.moves.opening.insert(self.next_job, what);
        let audio = audio.again();
        self.asks.push_back(Request::Open { job: self.next_job, audio: Box::new(audio) });
    }

    /// Sound is open, or cannot be had.
    pub(super) fn opened(&mut self, now: Instant, job: u64, audio: Result<OpenAudio, Error>) {
        match (self.moves.opening.remove(&job), audio) {
            (Some(Opening::Errand(key)), Ok(audio)) => self.run_errand(now, key, audio),
            (Some(Opening::Errand(key)), Err(e)) => self.errand_over(now, key, 500, &e.to_string()),
            (Some(Opening::Replacement(key)), Ok(audio)) => {
                self.answer_call(now, key, Headers::new(), Some(audio), Answerer::Agent(500));
            }
            (Some(Opening::Replacement(key)), Err(e)) => {
                tracing::info!("a call that replaces another cannot be answered: {e}");
                let result = self.endpoint.reject(now, key, 500, None, Headers::new());
                self.tolerate("reject", result);
            }
            (None, _) => {}
        }
    }
}

/// Whom to call, with which header fields; or the status of the refusal.
pub(super) fn errand(
    account: AccountKey,
    to: &str,
    request: &SipMessage,
    (audio, terms): (Option<AudioSpec>, Terms),
) -> Result<Errand, u16> {
    let uri = Uri::parse(to).map_err(|_| 400u16)?;
    if !matches!(uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(416);
    }
    // Nothing but calls (RFC 3515 §2.1 allows other methods).
    if uri.param("method").is_some_and(|m| !m.eq_ignore_ascii_case("INVITE")) {
        return Err(603);
    }
    let mut headers = Headers::new();
    // RFC 3261 §19.1.5: "header fields that may be dangerous" in a URI are left out; all but one.
    for (name, value) in uri.headers() {
        if name.eq_ignore_ascii_case("Replaces") {
            let value = String::from_utf8(unescape(value).into_owned()).map_err(|_| 400u16)?;
            Replaces::parse(&value).map_err(|_| 400u16)?;
            headers.push(("Replaces".into(), value));
            headers.push(("Require".into(), "replaces".into()));
        }
    }
    if headers.len() > 2 {
        return Err(400);
    }
    // RFC 3892 §2.2: the Referred-By goes along, but not the body part that a `cid` names.
    if let Some(Ok(by)) = request.address(HeaderName::ReferredBy) {
        headers.push(("Referred-By".into(), format!("<{}>", by.uri.as_str())));
    }
    let to = without_method(uri.without_headers());
    Ok(Errand { account, to, headers, audio, terms, session: None, started: false })
}

impl Errand {
    /// The question for the application.
    pub(super) fn request(
        &self,
        shared: Arc<Shared>,
        call: CallKey,
        request: &SipMessage,
    ) -> TransferRequest {
        let by = request.address(HeaderName::ReferredBy).and_then(Result::ok);
        TransferRequest {
            shared,
            call,
            to: self.to.clone(),
            referred_by: by.map(|by| by.uri.as_str().to_owned()),
            request: request.clone(),
            replaces: self.headers.iter().any(|(name, _)| name == "Replaces"),
        }
    }
}

impl Moves {
    /// Nobody wants to hear of an errand any more; one that is being run goes on.
    pub(super) fn abandoned(&mut self, call: CallKey) {
        self.errands.remove(&call);
    }
}

/// The parameters of an address in a header field's value.
pub(super) fn params_of(value: &str) -> Option<&str> {
    NameAddr::parse(value).ok().map(|a| a.params.as_str())
}
