//! Waking up for a call (RFC 8599 §4.1.4): a push notification has come, so the account registers
//! anew and its next call goes to whoever waits for it. It never holds a call back.

use super::{Core, sip_error};
use crate::command::Reply;
use crate::media::MediaPlane;
use crate::{AccountId, Error, Event, IncomingCall};
use std::time::{Duration, Instant};
use tiny_sip::AccountKey;

/// Those who wait for the call that a push notification announced.
#[derive(Default)]
pub(super) struct Wakes(Vec<Wake>);

struct Wake {
    account: AccountKey,
    deadline: Instant,
    reply: Reply<IncomingCall>,
}

impl Wakes {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|wake| wake.deadline).min()
    }

    /// Hands a call to whoever has waited longest for it; gives it back when nobody does.
    pub(super) fn give(&mut self, account: AccountKey, call: IncomingCall) -> Option<IncomingCall> {
        let mut call = call;
        while let Some(i) = self.0.iter().position(|wake| wake.account == account) {
            match self.0.remove(i).reply.send(Ok(call)) {
                Ok(()) => return None,
                // That one waits no longer.
                Err(Ok(back)) => call = back,
                Err(Err(_)) => return None,
            }
        }
        Some(call)
    }

    pub(super) fn fail(&mut self, account: AccountKey, error: &Error) {
        let (theirs, others) =
            std::mem::take(&mut self.0).into_iter().partition(|wake| wake.account == account);
        self.0 = others;
        let theirs: Vec<Wake> = theirs;
        for wake in theirs {
            let _ = wake.reply.send(Err(error.clone()));
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(i) = self.0.iter().position(|wake| wake.deadline <= now) {
            let error = Error::Timeout("no call came after the push notification".to_owned());
            let _ = self.0.remove(i).reply.send(Err(error));
        }
    }
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn wake(
        &mut self,
        now: Instant,
        account: AccountKey,
        patience: Duration,
        reply: Reply<IncomingCall>,
    ) {
        let registration = match self.registration_of(account) {
            Ok(registration) => registration,
            Err(e) => {
                let _ = reply.send(Err(e));
                return;
            }
        };
        match self.endpoint.register(now, account, registration) {
            Ok(()) => self.wakes.0.push(Wake { account, deadline: now + patience, reply }),
            Err(e) => {
                let _ = reply.send(Err(sip_error(e)));
            }
        }
    }

    pub(super) fn flow_failed(&mut self, account: AccountKey, reg_id: u32, reason: String) {
        let info = self.endpoint.registration(account);
        let reachable = info.is_some_and(|info| info.flows.iter().any(|flow| flow.flow.is_some()));
        let account = AccountId(account);
        self.tell(Event::FlowFailed { account, reg_id, reason, reachable });
    }
}
