//! Requests that the agent would answer by itself, for the application to answer.

use crate::agent::Shared;
use crate::command::{AnswerRequest, Command, Content};
use crate::headers::{check_content_type, check_final, check_headers};
use crate::{AccountId, CallId, Error, Method, SipMessage};
use std::sync::Arc;
use tiny_sip::ServerKey;

/// A request to be answered, from [`Event::Request`](crate::Event::Request). Dropped without a word
/// it is answered as the agent would: OPTIONS with 200, Allow, Accept and Supported; an INFO whose
/// body it cannot read with 415; a REFER outside of a call with 603; a NOTIFY that nobody subscribed
/// to with 481; other methods with 405, unknown ones with 501. After 32 s (64*T1) its sender has given
/// up, and an answer goes nowhere.
#[derive(Debug)]
pub struct IncomingRequest {
    shared: Arc<Shared>,
    key: ServerKey,
    account: Option<AccountId>,
    call: Option<CallId>,
    request: SipMessage,
    default: Option<u16>,
    answered: bool,
}

impl IncomingRequest {
    pub(crate) fn new(
        shared: Arc<Shared>,
        key: ServerKey,
        account: Option<AccountId>,
        call: Option<CallId>,
        request: SipMessage,
        default: Option<u16>,
    ) -> Self {
        Self { shared, key, account, call, request, default, answered: false }
    }

    /// The request, with all of its header fields and its body.
    pub fn request(&self) -> &SipMessage {
        &self.request
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        self.request.method().unwrap_or(&Method::Options)
    }

    /// The account that it is for, when it is one of ours.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The call that it came in.
    pub fn call(&self) -> Option<CallId> {
        self.call
    }

    /// Answers with a final status and header fields of one's own.
    ///
    /// # Errors
    /// [`Error::Config`] for a status outside 200–699 or a header field that cannot be sent; the
    /// agent then answers by itself.
    pub fn respond(self, status: u16, headers: Vec<(String, String)>) -> Result<(), Error> {
        self.answer(status, headers, None)
    }

    /// Answers with a body as well.
    ///
    /// # Errors
    /// As [`respond`](Self::respond), and for a content type that cannot be sent.
    pub fn respond_with(
        self,
        status: u16,
        headers: Vec<(String, String)>,
        content_type: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        let content_type = content_type.into();
        check_content_type(&content_type)?;
        self.answer(status, headers, Some(Content { content_type, data: data.into() }))
    }

    fn answer(
        mut self,
        status: u16,
        headers: Vec<(String, String)>,
        body: Option<Content>,
    ) -> Result<(), Error> {
        check_final(status)?;
        check_headers(&headers)?;
        self.answered = true;
        let answer = AnswerRequest::Given { status, headers, body };
        self.shared.commands.tell(Command::RespondRequest { key: self.key, answer });
        Ok(())
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        if !self.answered {
            let answer = AnswerRequest::Default(self.default);
            self.shared.commands.tell(Command::RespondRequest { key: self.key, answer });
        }
    }
}
