//! Accounts come and go.

use super::{Account, AccountKey, AccountState, Endpoint, Error};
use tiny_sak::Flow;

impl Endpoint {
    /// Adds an account. Received requests are matched to it by the user part of their Request-URI.
    ///
    /// # Errors
    /// An address of record, route or header field that cannot be used.
    pub fn add_account(&mut self, account: Account) -> Result<AccountKey, Error> {
        self.check_rules(&account.header_rules)?;
        let state = AccountState::new(account, &self.config)?;
        self.rules_used |= !state.account.header_rules.is_empty();
        let user = state.user.clone();
        let key = self.accounts.insert(state);
        self.users.entry(user).or_insert(key);
        Ok(key)
    }

    /// Removes an account at once: a binding that it has expires by itself (see
    /// [`unregister`](Self::unregister)), its calls go on without credentials.
    ///
    /// # Errors
    /// A stale key.
    pub fn remove_account(&mut self, key: AccountKey) -> Result<(), Error> {
        self.forget_binding(key);
        let Some(state) = self.accounts.remove(key) else { return Err(Error::Stale("account")) };
        if self.users.get(&state.user) == Some(&key) {
            self.users.remove(&state.user);
            // Another account of that user takes its place.
            let next = self.accounts.iter().find(|(_, other)| other.user == state.user);
            if let Some((next, _)) = next {
                self.users.insert(state.user, next);
            }
        }
        Ok(())
    }

    /// A single CRLF on this stream will be the answer to our ping.
    pub(crate) fn expect_pong(&mut self, flow: Flow) {
        let same = |other: &Flow| other.transport == flow.transport && other.remote == flow.remote;
        for (_, stream) in self.streams.iter_mut().filter(|(other, _)| same(other)) {
            stream.framer.expect_pong();
        }
    }
}
