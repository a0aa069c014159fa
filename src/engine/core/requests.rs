//! Requests that the application may answer in the agent's place, and messages that it only sees.

use super::{Core, session};
use crate::command::AnswerRequest;
use crate::event::CallEvent;
use crate::media::MediaPlane;
use crate::request::IncomingRequest;
use crate::{AccountId, CallId, Event, SipMessage};
use std::time::Instant;
use tiny_sip::{AccountKey, CallKey, ServerKey};

impl<P: MediaPlane> Core<P> {
    /// Hands a request to the application; answered by default where it has no room for it.
    pub(super) fn ask_request(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: Option<CallKey>,
        request: SipMessage,
        default: Option<u16>,
    ) {
        let account = match call {
            Some(call) => self.endpoint.account_of(call),
            None => self.endpoint.account_for(&request),
        };
        let shared = self.shared.upgrade().filter(|_| self.shutdown.is_none());
        let room = self.waiting_requests < self.config.max_waiting_requests;
        let place = self.events.try_reserve();
        if let (Some(shared), true, Ok(place)) = (shared, room, place) {
            self.waiting_requests += 1;
            let (account, call) = (account.map(AccountId), call.map(CallId));
            let request = IncomingRequest::new(shared, key, account, call, request, default);
            return place.send(Event::Request(request));
        }
        self.default_answer(now, key, default);
    }

    pub(super) fn answer_request(&mut self, now: Instant, key: ServerKey, answer: AnswerRequest) {
        self.waiting_requests = self.waiting_requests.saturating_sub(1);
        match answer {
            AnswerRequest::Default(status) => self.default_answer(now, key, status),
            AnswerRequest::Given { status, headers, body } => {
                let body = body.map(session::body);
                let result = self.endpoint.respond(now, key, status, None, headers, body);
                self.tolerate("respond", result);
            }
        }
    }

    fn default_answer(&mut self, now: Instant, key: ServerKey, status: Option<u16>) {
        let result = match status {
            Some(status) => self.endpoint.respond(now, key, status, None, Vec::new(), None),
            None => self.endpoint.respond_by_default(now, key),
        };
        self.tolerate("respond", result);
    }

    /// Shows a message to the application. Half of its queue is kept for what it must know.
    pub(super) fn received(
        &mut self,
        call: Option<CallKey>,
        account: Option<AccountKey>,
        message: SipMessage,
    ) {
        if let Some(entry) = call.and_then(|call| self.calls.get(&call)).filter(|e| e.end.is_none())
        {
            return entry.tell(CallEvent::Received { message });
        }
        if self.events.capacity() > self.events.max_capacity() / 2 {
            let (call, account) = (call.map(CallId), account.map(AccountId));
            self.tell(Event::Received { call, account, message });
        } else {
            tracing::debug!("message not shown, the application does not read its events");
        }
    }
}
