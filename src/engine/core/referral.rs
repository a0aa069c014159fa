//! REFER outside of calls (RFC 3515): ours, reported to a [`Transfer`], and those of others, which the
//! application is asked about or which are refused.

use super::accounts::dialable;
use super::transfer::{Own, errand};
use super::{Core, sip_error};
use crate::command::{Headers, ReferOutside};
use crate::media::MediaPlane;
use crate::policy::ReferralPolicy;
use crate::transfer::{Transfer, TransferState};
use crate::{Error, Event, SipMessage};
use std::time::Instant;
use tiny_sip::{CallKey, HeaderName, Referral, Uri};
use tokio::sync::watch;

impl<P: MediaPlane> Core<P> {
    pub(super) fn refer_outside(
        &mut self,
        now: Instant,
        request: ReferOutside,
    ) -> Result<Transfer, Error> {
        let ReferOutside { account, to, refer_to, mut headers, quiet } = request;
        if self.shutdown.is_some() {
            return Err(Error::Ended("the agent"));
        }
        let entry = self.accounts.get(&account).ok_or(Error::Ended("the account"))?;
        let (to, refer_to) = (dialable(entry, to)?, dialable(entry, refer_to)?);
        entry.spec.caller.add_to(&mut headers);
        let referral = Referral { to: refer_to, headers, quiet };
        let sent = self.endpoint.refer_outside(now, account, &to, referral);
        let key = sent.map_err(sip_error)?;
        let (state, watch) = watch::channel(TransferState::Asked);
        self.moves.own.insert(key, Own { quiet, state });
        Ok(Transfer { state: watch })
    }

    /// Somebody asks us, outside of any call, to call somebody.
    pub(super) fn referred_outside(
        &mut self,
        now: Instant,
        key: CallKey,
        to: &str,
        request: &SipMessage,
    ) {
        if let Err(status) = self.try_referred(now, key, to, request) {
            let mut headers = why_not(to);
            if status == 503 {
                headers.push(("Retry-After".to_owned(), "10".to_owned()));
            }
            let result = self.endpoint.refuse_referral(now, key, status, headers);
            self.tolerate("refuse REFER", result);
        }
    }

    fn try_referred(
        &mut self,
        now: Instant,
        key: CallKey,
        to: &str,
        request: &SipMessage,
    ) -> Result<(), u16> {
        let shared = self.shared.upgrade().filter(|_| self.shutdown.is_none()).ok_or(480u16)?;
        let mut all = self.accounts.keys().copied();
        let only = all.next().filter(|_| self.accounts.len() == 1);
        let account = self.endpoint.account_of_referral(key).or(only).ok_or(404u16)?;
        let policy = self.policy_of(account).map(|policy| policy.referrals);
        if policy != Some(ReferralPolicy::Ask) {
            return Err(403);
        }
        let terms = self.terms(Some(account));
        let errand = errand(account, to, request, (None, terms))?;
        let place = self.events.try_reserve().map_err(|_| 503u16)?;
        if !is_quiet(request) {
            self.endpoint.accept_referral(now, key, true).map_err(|_| 500u16)?;
        }
        place.send(Event::ReferRequested(errand.request(shared, key, request)));
        self.moves.errands.insert(key, errand);
        Ok(())
    }
}

/// Whether a peer wants no news of its REFER (RFC 4488). A question about it is then answered with the
/// response itself, not in a NOTIFY.
pub(super) fn is_quiet(request: &SipMessage) -> bool {
    let value = request.header(HeaderName::ReferSub).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("false")
}

/// A REFER to something else than a call is refused with a sentence that says so (RFC 3515 §2.1 lets
/// Refer-To name any method).
pub(super) fn why_not(to: &str) -> Headers {
    let method = Uri::parse(to).ok().and_then(|uri| uri.param("method").map(str::to_owned));
    match method.filter(|method| !method.eq_ignore_ascii_case("INVITE")) {
        Some(_) => {
            let text = "399 tiny-ua \"Refer-To may name calls only: no method but INVITE\"";
            vec![("Warning".to_owned(), text.to_owned())]
        }
        None => Headers::new(),
    }
}
