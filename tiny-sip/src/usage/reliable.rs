//! Reliable provisional responses, the callee's side (RFC 3262 §3): repeated until their PRACK comes,
//! one after the other, with offers and answers in them and in PRACK (§5, RFC 6337 §2).
//!
//! It never sends a 2xx while an offer is under way or a reliable body is unacknowledged.

use crate::dialog::DialogKey;
use crate::endpoint::{
    Body, CallKey, Due, EndedBy, Endpoint, Error, Event, Headers, Policy, ServerKey,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::status::StatusCode;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, TimerKey};

/// The reliable responses of one call.
#[derive(Debug)]
pub(crate) struct Sending {
    /// RSeq of the latest.
    rseq: u32,
    waiting: Option<Waiting>,
    queue: VecDeque<Provisional>,
    /// The first offer has its answer.
    pub(crate) agreed: bool,
    /// Our offer is out, its answer comes in a PRACK.
    offering: bool,
    /// The 2xx that waits for all of this.
    accepting: Option<(Headers, Option<Body>)>,
    pub(crate) timer: Option<TimerKey>,
}

/// A response without its PRACK.
#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    flow: Flow,
    interval: Duration,
    until: Instant,
    body: bool,
}

/// A provisional response to be sent.
#[derive(Debug)]
pub(crate) struct Provisional {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    pub(crate) headers: Headers,
    pub(crate) body: Option<Body>,
}

impl Sending {
    /// The PRACK of a description is due.
    pub(crate) fn waits_with_body(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.body)
    }
}

impl Endpoint {
    /// Whether a provisional response goes out reliably: the caller demands it, or allows it and our
    /// policy wants it.
    pub(crate) fn is_reliable(&self, invite: ServerKey, body: bool) -> bool {
        let Some(request) = self.servers.get(invite).and_then(|s| s.request.as_ref()) else {
            return false;
        };
        let names = |name| request.list(name).any(|tag| tag.eq_ignore_ascii_case("100rel"));
        let allowed = || names(H::Supported);
        match self.config.reliable {
            Policy::Off => false,
            Policy::Supported => names(H::Require) || body && allowed(),
            Policy::Wanted | Policy::Required => names(H::Require) || allowed(),
        }
    }

    /// "The UAS MUST NOT send a second reliable provisional response until the first is
    /// acknowledged": they are sent strictly one by one.
    pub(crate) fn send_reliable(
        &mut self,
        now: Instant,
        call: CallKey,
        invite: ServerKey,
        provisional: Provisional,
    ) -> Result<(), Error> {
        let max = self.config.max_queued_provisionals;
        // "chosen uniformly between 1 and 2**31 - 1", with room to count on.
        let first = self.rng.below(0x7fff_0000) as u32;
        let state = self.calls.get_mut(call).ok_or(Error::Stale("call"))?;
        let sending = state.extras().sending.get_or_insert_with(|| {
            Box::new(Sending {
                rseq: first,
                waiting: None,
                queue: VecDeque::new(),
                agreed: false,
                offering: false,
                accepting: None,
                timer: None,
            })
        });
        if sending.waiting.is_none() {
            return self.put_reliable(now, call, invite, provisional);
        }
        if sending.queue.len() >= max {
            return Err(Error::Limit("max_queued_provisionals"));
        }
        sending.queue.push_back(provisional);
        Ok(())
    }

    fn put_reliable(
        &mut self,
        now: Instant,
        call: CallKey,
        invite: ServerKey,
        provisional: Provisional,
    ) -> Result<(), Error> {
        let Provisional { status, reason, headers: own, mut body } = provisional;
        let Some(sending) = self.sending(call) else { return Err(Error::Stale("call")) };
        if sending.agreed || sending.offering {
            // One offer and one answer: a later body would be taken for a new offer.
            body = None;
        }
        let rseq = sending.rseq + 1;
        let mut headers: Headers =
            vec![("Require".into(), "100rel".into()), ("RSeq".into(), rseq.to_string())];
        headers.extend(own);
        let bytes = self.call_response(call, invite, status, &reason, &headers, body.as_ref())?;
        let Some(server) = self.servers.get(invite) else { return Err(Error::Stale("call")) };
        let offered = server.request.as_ref().is_some_and(|request| !request.body().is_empty());
        let (flow, interval) = (server.flow, self.config.timers.t1);
        let until = now + self.config.timers.patience();
        let timer = self.timers.insert(now + interval, Due::Reliable(call));
        let kept = Bytes::copy_from_slice(&bytes);
        if let Some(sending) = self.sending(call) {
            sending.rseq = rseq;
            sending.agreed |= body.is_some() && offered;
            sending.offering |= body.is_some() && !offered;
            let body = body.is_some();
            sending.waiting = Some(Waiting { bytes: kept, flow, interval, until, body });
            sending.timer = Some(timer);
        }
        self.respond_bytes(now, invite, status, bytes);
        Ok(())
    }

    fn sending(&mut self, call: CallKey) -> Option<&mut Sending> {
        self.calls.get_mut(call)?.extras.as_mut()?.sending.as_deref_mut()
    }

    /// The interval "starts at T1 seconds and doubles for each retransmission"; after 64*T1 "the UAS
    /// SHOULD reject the original request with a 5xx response".
    pub(crate) fn repeat_reliable(&mut self, now: Instant, call: CallKey) {
        let Some(sending) = self.sending(call) else { return };
        sending.timer = None;
        let Some(waiting) = &mut sending.waiting else { return };
        if now >= waiting.until {
            let Ok(invite) = self.ringing(call) else { return };
            self.respond_core(now, invite, 504, &[]);
            let reason = "no PRACK came";
            return self.end_call(now, call, EndedBy::Network, Some(504), reason, None);
        }
        let (flow, bytes) = (waiting.flow, waiting.bytes.clone());
        waiting.interval *= 2;
        let at = (now + waiting.interval).min(waiting.until);
        self.counters.retransmitted += 1;
        self.transmit(flow, bytes);
        let timer = self.timers.insert(at, Due::Reliable(call));
        if let Some(sending) = self.sending(call) {
            sending.timer = Some(timer);
        }
    }

    /// A PRACK (§3): "matches an unacknowledged reliable provisional response" or gets 481.
    pub(crate) fn on_prack(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        dialog: DialogKey,
        request: Message,
    ) {
        let Some(Ok(rack)) = request.rack() else { return self.respond_core(now, key, 400, &[]) };
        let number = self.invite_number(call);
        let Some(sending) = self.sending(call) else {
            return self.respond_core(now, key, 481, &[]);
        };
        let matches = rack.rseq == sending.rseq
            && Some(rack.number) == number.or(Some(rack.number))
            && rack.method == "INVITE";
        if !matches || sending.waiting.is_none() {
            return self.respond_core(now, key, 481, &[]);
        }
        sending.waiting = None;
        let timer = sending.timer.take();
        let has_body = !request.body().is_empty();
        let answers = std::mem::take(&mut sending.offering);
        sending.agreed |= answers && has_body;
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
        if answers || !has_body {
            self.respond_core(now, key, 200, &[]);
            let prack = (answers && has_body).then_some(request);
            self.event(Event::ProvisionalConfirmed { call, prack });
        } else {
            self.event(Event::ProvisionalConfirmed { call, prack: None });
            self.take_offer(now, key, call, dialog, request);
        }
        self.next_provisional(now, call);
        self.next_reinvite(now, call);
        self.answer_held(now, call);
    }

    /// The CSeq of the INVITE, as long as it waits for its final response.
    fn invite_number(&self, call: CallKey) -> Option<u32> {
        let invite = self.ringing(call).ok()?;
        let request = self.servers.get(invite)?.request.as_ref()?;
        Some(request.cseq().ok()?.number)
    }

    fn next_provisional(&mut self, now: Instant, call: CallKey) {
        let Ok(invite) = self.ringing(call) else { return };
        let Some(sending) = self.sending(call).filter(|s| s.waiting.is_none()) else { return };
        let Some(next) = sending.queue.pop_front() else { return };
        // It was checked when it came; only the INVITE may be gone.
        let _ = self.put_reliable(now, call, invite, next);
    }

    /// Whether the 2xx must wait: "If the UAS had placed a session description in any reliable
    /// provisional response that is unacknowledged … the UAS MUST delay sending the 2xx" (§3); and
    /// while an offer is under way (RFC 6337 §2.2).
    fn holds_answer(&self, call: CallKey) -> bool {
        let Some(state) = self.calls.get(call) else { return false };
        let sending = state.extras.as_ref().and_then(|extras| extras.sending.as_ref());
        sending.is_some_and(|s| s.offering || s.waits_with_body())
            || state.modification.as_ref().is_some_and(|m| m.is_negotiating())
    }

    /// Keeps a 2xx back; gives it again when it can go at once.
    pub(crate) fn hold_answer(
        &mut self,
        call: CallKey,
        headers: Headers,
        body: Option<Body>,
    ) -> Option<(Headers, Option<Body>)> {
        if !self.holds_answer(call) {
            let agreed = self.sending(call).is_some_and(|sending| sending.agreed);
            return Some((headers, body.filter(|_| !agreed)));
        }
        match self.sending(call) {
            Some(sending) => {
                sending.accepting = Some((headers, body));
                None
            }
            None => Some((headers, body)),
        }
    }

    /// Whether a 2xx waits already.
    pub(crate) fn is_accepting(&self, call: CallKey) -> bool {
        let extras = self.calls.get(call).and_then(|state| state.extras.as_ref());
        let sending = extras.and_then(|extras| extras.sending.as_ref());
        sending.is_some_and(|sending| sending.accepting.is_some())
    }

    /// The 2xx that waited, once it may go.
    pub(crate) fn answer_held(&mut self, now: Instant, call: CallKey) {
        if self.is_accepting(call)
            && !self.holds_answer(call)
            && let Ok(invite) = self.ringing(call)
            && let Some((headers, body)) = self.sending(call).and_then(|s| s.accepting.take())
        {
            let agreed = self.sending(call).is_some_and(|sending| sending.agreed);
            let body = body.filter(|_| !agreed);
            // The header fields were checked when they came.
            let _ = self.accept_now(now, call, invite, &headers, body.as_ref());
        }
    }

    /// The 2xx is out: nothing more is repeated or queued. A PRACK on its way still finds its match.
    pub(crate) fn provisionals_over(&mut self, call: CallKey) {
        let Some(sending) = self.sending(call) else { return };
        sending.queue.clear();
        if let Some(timer) = sending.timer.take() {
            self.timers.cancel(timer);
        }
    }
}
