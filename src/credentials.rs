//! Credentials that the application keeps: asked for by an event, given by a handle (RFC 3261 §22,
//! RFC 3310, RFC 8898). Nothing but the request that was challenged waits for the answer.

use crate::AccountId;
use crate::agent::Shared;
use crate::command::Command;
use std::sync::Arc;
use tiny_sak::{Secret, Transport};
use tiny_sip::aka::AkaOutcome;
use tiny_sip::identity::Signer;
use tiny_sip::{
    AuthPolicy, AuthScheme, Credentials, CredentialsReply, Method, QueryKey, SecurityMechanism,
    aka::Usim,
};

/// What an account proves itself with, beside its one password.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuthSpec {
    pub(crate) policy: AuthPolicy,
    pub(crate) usim: Option<Usim>,
    pub(crate) more: Vec<Credentials>,
    pub(crate) signer: Option<Signer>,
    pub(crate) security: Vec<SecurityMechanism>,
}

/// A server asks an account for something that it does not have; comes with
/// [`Event::CredentialsWanted`](crate::Event::CredentialsWanted). May be sent to another task and
/// answered later: the challenged request waits, at most
/// [`credentials_timeout`](tiny_sip::Config::credentials_timeout) (32 s). Dropped without an answer,
/// the request fails at once with the 401 or 407.
#[derive(Debug)]
pub struct CredentialsRequest {
    shared: Option<Arc<Shared>>,
    account: AccountId,
    query: QueryKey,
    wanted: Box<tiny_sip::CredentialsRequest>,
}

impl CredentialsRequest {
    pub(crate) fn new(
        shared: Arc<Shared>,
        account: AccountId,
        query: QueryKey,
        wanted: Box<tiny_sip::CredentialsRequest>,
    ) -> Self {
        Self { shared: Some(shared), account, query, wanted }
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The protection space.
    pub fn realm(&self) -> &str {
        &self.wanted.realm
    }

    /// Whether a proxy asks, not the server.
    pub fn is_proxy(&self) -> bool {
        self.wanted.proxy
    }

    /// The method of the request that waits.
    pub fn method(&self) -> &Method {
        &self.wanted.method
    }

    /// Its Request-URI.
    pub fn uri(&self) -> &str {
        &self.wanted.uri
    }

    /// What it travels over.
    pub fn transport(&self) -> Transport {
        self.wanted.transport
    }

    /// Whether what was given before has been refused.
    pub fn was_refused(&self) -> bool {
        self.wanted.refused
    }

    /// What will do.
    pub fn scheme(&self) -> &AuthScheme {
        &self.wanted.scheme
    }

    /// Answers [`AuthScheme::Digest`].
    pub fn password(self, username: impl Into<String>, password: impl Into<Secret>) {
        let (username, password) = (username.into(), password.into());
        self.reply(CredentialsReply::Password { username, password });
    }

    /// Answers [`AuthScheme::Aka`] with what a USIM made of the challenge.
    pub fn usim(self, username: impl Into<String>, outcome: AkaOutcome) {
        self.reply(CredentialsReply::Aka { username: username.into(), outcome });
    }

    /// Answers [`AuthScheme::Bearer`].
    pub fn token(self, token: impl Into<Secret>) {
        self.reply(CredentialsReply::Bearer(token.into()));
    }

    fn reply(mut self, reply: CredentialsReply) {
        if let Some(shared) = self.shared.take() {
            shared.commands.tell(Command::Credentials { query: self.query, reply });
        }
    }
}

impl Drop for CredentialsRequest {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let (query, reply) = (self.query, CredentialsReply::Refuse);
            shared.commands.tell(Command::Credentials { query, reply });
        }
    }
}
