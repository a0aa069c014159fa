//! Header fields of the application's own on any message of an account or a call, and what may not
//! be given.

use crate::command::Command;
use crate::{Account, AccountBuilder, Call, CallBuilder, Error, HeaderRule};

impl AccountBuilder {
    /// A header field on all messages of a kind that this account sends, in and out of calls, also
    /// those that the agent sends by itself; repeat it for several, up to
    /// [`max_header_rules`](tiny_sip::Config::max_header_rules).
    ///
    /// ```no_run
    /// # async fn demo(ua: tiny_ua::UserAgent) -> Result<(), tiny_ua::Error> {
    /// use tiny_ua::{HeaderRule, Method};
    /// let alice = ua
    ///     .account("sip:alice@example.com")
    ///     .header_rule(HeaderRule::response(Method::Bye, "X-Cell", "7"))
    ///     .header_rule(HeaderRule::requests("X-Tenant", "blue"))
    ///     .register()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn header_rule(mut self, rule: HeaderRule) -> Self {
        self.spec.rules.push(rule);
        self
    }
}

impl Account {
    /// The header rules of this account from now on, in place of those it has; none takes them back.
    ///
    /// # Errors
    /// [`Error::Config`] for a rule that cannot be used, [`Error::Limit`] for too many.
    pub async fn set_header_rules(&self, rules: Vec<HeaderRule>) -> Result<(), Error> {
        check_rules(&rules)?;
        let account = self.key();
        let commands = &self.shared().commands;
        commands.ask(|reply| Command::AccountRules { account, rules, reply }).await
    }
}

impl CallBuilder {
    /// A header field on all messages of a kind in this call, from its INVITE to the response to its
    /// BYE, also those that the agent sends by itself: ACK, CANCEL, PRACK, refreshes, every response.
    /// Repeat it for several.
    pub fn header_rule(mut self, rule: HeaderRule) -> Self {
        self.rules.push(rule);
        self
    }
}

impl Call {
    /// The header rules of this call from now on, in place of those it has. Of a call that comes in
    /// they hold for the answer already: `incoming.call().set_header_rules(…)`.
    ///
    /// # Errors
    /// [`Error::Config`] for a rule that cannot be used, [`Error::Limit`] for too many,
    /// [`Error::Ended`] when the call is over.
    pub async fn set_header_rules(&self, rules: Vec<HeaderRule>) -> Result<(), Error> {
        check_rules(&rules)?;
        let call = self.inner.key;
        let commands = &self.inner.shared.commands;
        commands.ask(|reply| Command::CallRules { call, rules, reply }).await
    }
}

/// Refuses what would break a message or is the agent's to write.
pub(crate) fn check_headers(headers: &[(String, String)]) -> Result<(), Error> {
    tiny_sip::check_headers(headers).map_err(|e| Error::config("header", e))
}

pub(crate) fn check_rules(rules: &[HeaderRule]) -> Result<(), Error> {
    let check = |rule: &HeaderRule| rule.check().map_err(|e| Error::config("header rule", e));
    rules.iter().try_for_each(check)
}

pub(crate) fn check_final(status: u16) -> Result<(), Error> {
    match status {
        200..700 => Ok(()),
        _ => Err(Error::config("status", format!("{status} is not final (200-699)"))),
    }
}

/// A reason phrase is one line.
pub(crate) fn check_phrase(text: &str) -> Result<(), Error> {
    match text.chars().any(|c| c.is_control() && c != '\t') {
        true => Err(Error::config("reason", "it holds a line break or control character")),
        false => Ok(()),
    }
}

pub(crate) fn check_content_type(text: &str) -> Result<(), Error> {
    match tiny_sip::header::MediaType::parse(text) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::config("content type", format!("'{text}': {e}"))),
    }
}
