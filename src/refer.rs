//! Asking somebody, outside of any call, to call somebody else (RFC 3515): click to dial, park and
//! music servers (RFC 5359 §2.3, §2.15, §2.18).

use crate::account::check_uri;
use crate::command::{Command, ReferOutside};
use crate::{Account, Error, Transfer};
use std::future::{Future, IntoFuture};
use std::pin::Pin;

/// A REFER being prepared: await it to send it. From [`Account::refer`].
#[derive(Debug)]
#[must_use = "a REFER is sent when its builder is awaited"]
pub struct ReferBuilder {
    account: Account,
    request: Box<ReferOutside>,
}

impl ReferBuilder {
    /// A header field on the REFER; Referred-By is written unless it is given here (RFC 3892).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// Asks for no news of how it goes (RFC 4488).
    pub fn unreported(mut self) -> Self {
        self.request.quiet = true;
        self
    }
}

impl IntoFuture for ReferBuilder {
    type Output = Result<Transfer, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            check_uri("target of REFER", &self.request.to)?;
            check_uri("Refer-To", &self.request.refer_to)?;
            let (request, commands) = (self.request, &self.account.shared().commands);
            commands.ask(|reply| Command::Refer { request, reply }).await
        })
    }
}

impl Account {
    /// Asks `target`, outside of any call, to call `refer_to`: a telephone of one's own for click to
    /// dial, a park or music server with a `refer_to` that names a call
    /// ([`Call::replaces_uri`](crate::Call::replaces_uri)). Await it to send the REFER; what comes back
    /// tells how it goes, as with [`Call::transfer_to`](crate::Call::transfer_to).
    ///
    /// # Errors
    /// [`Error::Config`] for a URI that cannot be used, [`Error::Limit`] at
    /// [`max_referrals`](tiny_sip::Config::max_referrals).
    pub fn refer(&self, target: impl Into<String>, refer_to: impl Into<String>) -> ReferBuilder {
        let (to, refer_to) = (target.into(), refer_to.into());
        let (account, headers) = (self.key(), Vec::new());
        let request = ReferOutside { account, to, refer_to, headers, quiet: false };
        ReferBuilder { account: self.clone(), request: Box::new(request) }
    }
}
