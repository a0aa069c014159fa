//! Requests that are a usage of their own: MESSAGE (RFC 3428), OPTIONS (RFC 3261 §11), INFO (RFC
//! 6086) and any other method, in and out of a call, in both directions.

use super::pager::Correspondent;
use crate::dialog::DialogKey;
use crate::endpoint::{
    AccountKey, Body, CallKey, Cause, Contact, EndedBy, Endpoint, Error, Event, Headers, Owner,
    Purpose, RequestKey, ServerKey, check,
};
use crate::message::Message;
use crate::method::Method;
use std::time::Instant;

impl Endpoint {
    /// Sends a request outside calls. `Response` gives the final response, whatever its status,
    /// unless it is a challenge that the account's credentials can answer; provisional ones are not
    /// told.
    ///
    /// # Errors
    /// A stale account, a method with a command of its own, a URI or header field that cannot be
    /// used, or a limit.
    pub fn request(
        &mut self,
        now: Instant,
        account: AccountKey,
        method: Method,
        to: &str,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<RequestKey, Error> {
        check(&headers, body.as_ref())?;
        self.room()?;
        plain(&method)?;
        if method == Method::Message {
            return self.page(now, Correspondent::Uri(account, to.to_owned()), headers, body);
        }
        let key = self.requests.insert(None);
        let sent = self.send_outside(now, key, account, method, to, headers, body);
        if sent.is_err() {
            self.requests.remove(key);
        }
        sent.map(|()| key)
    }

    #[allow(clippy::too_many_arguments)] // The parts of a request.
    pub(crate) fn send_outside(
        &mut self,
        now: Instant,
        key: RequestKey,
        account: AccountKey,
        method: Method,
        to: &str,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        let mut request = self.out_of_dialog(account, Owner::Plain(key), method, to)?;
        if matches!(request.method, Method::Options | Method::Subscribe | Method::Refer) {
            request.contact = Contact::Ours;
        }
        request.headers = headers;
        request.body = body;
        self.start(now, request);
        Ok(())
    }

    /// Sends a request inside a call: INFO, MESSAGE, OPTIONS …
    ///
    /// # Errors
    /// A stale call or one without a dialog yet, a method with a command of its own, a header field
    /// that cannot be sent, or a limit.
    pub fn request_in_call(
        &mut self,
        now: Instant,
        call: CallKey,
        method: Method,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<RequestKey, Error> {
        check(&headers, body.as_ref())?;
        self.room()?;
        plain(&method)?;
        if method == Method::Message {
            return self.page(now, Correspondent::Call(call), headers, body);
        }
        let key = self.requests.insert(Some(call));
        let sent = self.send_inside(now, key, call, method, headers, body);
        if sent.is_err() {
            self.requests.remove(key);
        }
        sent.map(|()| key)
    }

    pub(crate) fn send_inside(
        &mut self,
        now: Instant,
        key: RequestKey,
        call: CallKey,
        method: Method,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        let Some(state) = self.calls.get(call) else { return Err(Error::Stale("call")) };
        let account = state.account;
        let Some(dialog) = state.dialog.or(state.forks.first().copied()) else {
            return Err(Error::State("the call has no dialog yet"));
        };
        let owner = Owner::Plain(key);
        let Some(mut request) = self.in_dialog(dialog, owner, account, method) else {
            return Err(Error::Stale("call"));
        };
        request.headers = headers;
        request.body = body;
        self.start(now, request);
        Ok(())
    }

    /// Answers a request of `Event::Request`: any number of 1xx, then one final response.
    ///
    /// # Errors
    /// A stale key (it was answered, or its sender has given up), or a status or header field that
    /// cannot be sent.
    #[allow(clippy::too_many_arguments)] // The parts of a response.
    pub fn respond(
        &mut self,
        now: Instant,
        key: ServerKey,
        status: u16,
        reason: Option<&str>,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&headers, body.as_ref())?;
        let plain = self.servers.get(key).is_some_and(|s| s.purpose == Purpose::Plain);
        if !plain {
            return Err(Error::Stale("request"));
        }
        let reason = reason.unwrap_or_default();
        self.respond_with(now, key, status, reason, &[], &headers, body.as_ref())?;
        if status < 200 {
            self.guard_server(now, key);
        }
        Ok(())
    }

    pub(crate) fn plain_response(&mut self, now: Instant, key: RequestKey, message: &Message) {
        if self.requests.remove(key).is_some() {
            self.event(Event::Response { key, response: message.clone() });
            self.page_over(now, key);
        }
    }

    pub(crate) fn plain_refused(
        &mut self,
        now: Instant,
        key: RequestKey,
        dialog: Option<DialogKey>,
        status: u16,
        message: &Message,
        cause: Cause,
    ) {
        let Some(call) = self.requests.remove(key) else { return };
        // The response is the answer even where credentials were asked for in vain.
        let _ = cause;
        self.event(Event::Response { key, response: message.clone() });
        self.page_over(now, key);
        // §12.2.1.2: the peer knows the dialog no more.
        if status == 481
            && let Some(call) = call
            && self.calls.get(call).is_some_and(|state| state.dialog == dialog)
        {
            self.bye(now, call, Headers::new());
            let message = Some(message.clone());
            self.end_call(now, call, EndedBy::Remote, Some(481), "unknown dialog", message);
        }
    }

    pub(crate) fn plain_failed(
        &mut self,
        now: Instant,
        key: RequestKey,
        cause: Cause,
        reason: &str,
    ) {
        if self.requests.remove(key).is_some() {
            self.event(Event::RequestFailed { key, reason: reason.to_owned(), cause });
            self.page_over(now, key);
        }
    }

    /// Whether there is room for another transaction.
    pub(crate) fn room(&self) -> Result<(), Error> {
        if self.clients.len() + self.servers.len() >= self.config.max_transactions {
            return Err(Error::Limit("max_transactions"));
        }
        Ok(())
    }
}

/// Methods without a command of their own.
fn plain(method: &Method) -> Result<(), Error> {
    match method {
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Prack
        | Method::Register
        | Method::Update => Err(Error::Method(method.clone())),
        _ => Ok(()),
    }
}
