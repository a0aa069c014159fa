//! Header fields of the owner's on messages that it has no command for: ACK, PRACK, refreshes,
//! the responses to BYE, CANCEL, UPDATE … They are given as rules, of a call, of an account or of the
//! endpoint, and written when a message is composed. What the endpoint itself writes (RFC 3261 §8.1.1,
//! §12.1, §12.2) cannot be given.

use super::outgoing::{OWN, Request};
use super::{AccountKey, CallKey, Endpoint, Error, Event, Headers, Owner, ServerTx};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use crate::writer::Writer;

/// A header field on all messages of a kind, whoever causes them: the application, or the agent by
/// itself. A message that has a header field of this name from its own command keeps that one; a
/// call's rules come before its account's, and these before the endpoint's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    response: bool,
    method: Option<Method>,
    name: String,
    value: String,
}

impl HeaderRule {
    /// On the requests of this method that we send: first ones, repeated ones and refreshes. For
    /// [`Method::Ack`] on the ACK of whatever final response.
    pub fn request(method: Method, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        Self { response: false, method: Some(method), name, value }
    }

    /// On our responses, of whatever status, to requests of this method. For [`Method::Invite`] that
    /// is re-INVITE, too.
    pub fn response(method: Method, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        Self { response: true, method: Some(method), name, value }
    }

    /// On every request that we send.
    pub fn requests(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { response: false, method: None, name: name.into(), value: value.into() }
    }

    /// On every response that we send.
    pub fn responses(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { response: true, method: None, name: name.into(), value: value.into() }
    }

    /// Whether it could be used.
    ///
    /// # Errors
    /// [`Error::Header`] for a name that is no token, a value with a line break, or a header field
    /// that the endpoint writes itself.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Error::Header { name: self.name.clone(), why };
        Writer::check(&self.name, &self.value).map_err(|error| refuse(error.to_string()))?;
        let known = H::parse(&self.name);
        if OWN.contains(&known) || MACHINES.contains(&known) {
            return Err(refuse("it is written by the endpoint".to_owned()));
        }
        Ok(())
    }

    fn is_for(&self, response: bool, method: &Method) -> bool {
        self.response == response && self.method.as_ref().is_none_or(|own| own == method)
    }
}

/// Header fields that say what a message does: a rule would say it of messages that do not.
const MACHINES: [H; 25] = [
    H::SessionId,
    H::Contact,
    H::Require,
    H::ProxyRequire,
    H::Unsupported,
    H::RAck,
    H::RSeq,
    H::Event,
    H::Expires,
    H::SubscriptionState,
    H::ReferTo,
    H::ReferSub,
    H::Replaces,
    H::Join,
    H::SessionExpires,
    H::MinSe,
    H::SipEtag,
    H::SipIfMatch,
    H::Authorization,
    H::ProxyAuthorization,
    H::SecurityClient,
    H::SecurityVerify,
    H::ContentEncoding,
    H::Path,
    H::ServiceRoute,
];

/// Refuses header fields that could not be sent with any message; see [`Error::Header`].
///
/// # Errors
/// [`Error::Header`] names the first of them.
pub fn check_headers(headers: &[(String, String)]) -> Result<(), Error> {
    super::check(headers, None)
}

impl Endpoint {
    /// The rules of a call from now on, in place of those it has.
    ///
    /// # Errors
    /// A stale key, a rule that cannot be used, or more than
    /// [`Config::max_header_rules`](super::Config::max_header_rules).
    pub fn set_header_rules(&mut self, call: CallKey, rules: Vec<HeaderRule>) -> Result<(), Error> {
        self.check_rules(&rules)?;
        let state = self.calls.get_mut(call).ok_or(Error::Stale("call"))?;
        if state.extras.is_some() || !rules.is_empty() {
            self.rules_used |= !rules.is_empty();
            state.extras().rules = rules.into();
        }
        Ok(())
    }

    /// The rules of an account from now on, in place of those it has.
    ///
    /// # Errors
    /// As [`set_header_rules`](Self::set_header_rules).
    pub fn set_account_header_rules(
        &mut self,
        account: AccountKey,
        rules: Vec<HeaderRule>,
    ) -> Result<(), Error> {
        self.check_rules(&rules)?;
        let state = self.accounts.get_mut(account).ok_or(Error::Stale("account"))?;
        self.rules_used |= !rules.is_empty();
        state.account.header_rules = rules;
        Ok(())
    }

    pub(crate) fn check_rules(&self, rules: &[HeaderRule]) -> Result<(), Error> {
        if rules.len() > self.config.max_header_rules {
            return Err(Error::Limit("max_header_rules"));
        }
        rules.iter().try_for_each(HeaderRule::check)
    }

    /// Writes the rules' header fields into a request, once.
    pub(crate) fn rule_request(&self, request: &mut Request) {
        if !self.rules_used || !request.ruled.is_empty() {
            return;
        }
        let outside = request.dialog.is_none() && request.method != Method::Cancel;
        let account = request.account.and_then(|key| self.accounts.get(key));
        let common = account.filter(|_| outside).map_or(&[][..], |a| &a.account.headers);
        let call = self.call_of(request.owner);
        let given = |name: &str| has(common, name) || has(&request.headers, name);
        request.ruled = self.ruled(false, &request.method, call, request.account, given);
    }

    /// The rules' header fields for a response.
    pub(crate) fn rule_response(
        &self,
        request: &Message,
        server: Option<&ServerTx>,
        headers: &[(String, String)],
    ) -> Headers {
        let Some(method) = request.method().filter(|_| self.rules_used) else {
            return Headers::new();
        };
        let call = self.call_of_request(request, server);
        let account = match call.and_then(|call| self.calls.get(call)) {
            Some(call) => call.account,
            None => self.account_for(request),
        };
        self.ruled(true, method, call, account, |name| has(headers, name))
    }

    /// The same for the ACK of a refusal, which belongs to the INVITE's transaction.
    pub(crate) fn rule_refusal_ack(&self, invite: &Request) -> Headers {
        if !self.rules_used {
            return Headers::new();
        }
        let call = self.call_of(invite.owner);
        self.ruled(false, &Method::Ack, call, invite.account, |_| false)
    }

    fn ruled(
        &self,
        response: bool,
        method: &Method,
        call: Option<CallKey>,
        account: Option<AccountKey>,
        given: impl Fn(&str) -> bool,
    ) -> Headers {
        let call = call.and_then(|key| self.calls.get(key)?.extras.as_deref());
        let account = account.and_then(|key| self.accounts.get(key));
        let levels = [
            call.map_or(&[][..], |extras| &extras.rules),
            account.map_or(&[][..], |state| &state.account.header_rules),
            &self.config.header_rules,
        ];
        let mut all = Headers::new();
        for level in levels {
            let before = all.len();
            for rule in level.iter().filter(|rule| rule.is_for(response, method)) {
                if !given(&rule.name) && !has(&all[..before], &rule.name) {
                    all.push((rule.name.clone(), rule.value.clone()));
                }
            }
        }
        all
    }

    /// The call that a request of ours belongs to.
    pub(crate) fn call_of(&self, owner: Owner) -> Option<CallKey> {
        match owner {
            Owner::Invite(call)
            | Owner::Reinvite(call)
            | Owner::Update(call)
            | Owner::Stale(call)
            | Owner::Prack(call, _)
            | Owner::Bye(call)
            | Owner::Cancel(call)
            | Owner::Refer(call)
            | Owner::ReferNotify(call) => Some(call),
            Owner::Plain(key) => self.requests.get(key).copied().flatten(),
            Owner::Ack(invite, _) => match self.clients.get(invite)?.owner {
                Owner::Invite(call) | Owner::Reinvite(call) => Some(call),
                _ => None,
            },
            Owner::Register(..) | Owner::Subscribe(_) | Owner::Notify(_) | Owner::Publish(_) => {
                None
            }
        }
    }

    /// The call that a peer's request belongs to.
    fn call_of_request(&self, request: &Message, server: Option<&ServerTx>) -> Option<CallKey> {
        self.dialogs.get(self.dialog_of(request, server)?)?.usage.call()
    }

    /// Shows a received request to an owner that wants to see all of them.
    pub(crate) fn show_request(&mut self, request: &Message) {
        if !self.config.show_received {
            return;
        }
        let call = match request.method() {
            // It has no tag: it belongs to the call that its INVITE has made.
            Some(Method::Cancel) => self.call_of_cancel(request),
            _ => self.call_of_request(request, None),
        };
        let account = match call.and_then(|call| self.calls.get(call)) {
            Some(call) => call.account,
            None => self.account_for(request),
        };
        self.event(Event::Received { call, account, message: request.clone() });
    }

    /// Shows a response to a request of ours.
    pub(crate) fn show_response(
        &mut self,
        owner: Owner,
        account: Option<AccountKey>,
        response: &Message,
    ) {
        if self.config.show_received {
            let call = self.call_of(owner);
            self.event(Event::Received { call, account, message: response.clone() });
        }
    }
}

/// Whether there is a header field of this name, in its full or compact form.
fn has(headers: &[(String, String)], name: &str) -> bool {
    let known = H::parse(name);
    headers.iter().any(|(other, _)| match known {
        H::Other => other.eq_ignore_ascii_case(name),
        known => H::parse(other) == known,
    })
}
