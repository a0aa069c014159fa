//! Calls with preconditions (RFC 3312 §5 to §8, §11): the callee is not told before they are met, and
//! meanwhile no media flows; each side tells the other by UPDATE when its resources are there.

use super::branches::Branch;
use super::entry::HoldChange;
use super::ice::Waiting;
use super::warnings::Refused;
use super::{Core, session};
use crate::command::{Headers, PlaceCall};
use crate::event::CallEvent;
use crate::media::MediaPlane;
use crate::precondition::PreconditionPolicy;
use crate::{AccountId, Error, Event, IncomingCall, SipMessage};
use std::time::Instant;
use tiny_sdp::{Description, precondition};
use tiny_sip::{AccountKey, Body, CallKey, HeaderName as H, Policy};

const TAG: &str = "precondition";

fn names(request: &SipMessage, header: H) -> bool {
    request.list(header).any(|tag| tag.eq_ignore_ascii_case(TAG))
}

/// "Require: precondition", as a mandatory one must have it (§11).
pub(super) fn require() -> (String, String) {
    (H::Require.as_str().to_owned(), TAG.to_owned())
}

impl<P: MediaPlane> Core<P> {
    /// What goes with the INVITE of a call of ours.
    pub(super) fn demand(&self, call: &mut PlaceCall) -> Result<(), Error> {
        let Some(wanted) = &call.preconditions else { return Ok(()) };
        let update = self.config.sip.allow.contains(&tiny_sip::Method::Update);
        if self.config.sip.reliable == Policy::Off || !update {
            let why = "they need reliable provisional responses and UPDATE (RFC 3312 §11)";
            return Err(Error::config("preconditions", why));
        }
        let mandatory = wanted.table.is_mandatory() && !call.late_offer;
        call.headers.push(match mandatory {
            true => require(),
            false => (H::Supported.as_str().to_owned(), TAG.to_owned()),
        });
        Ok(())
    }

    /// How an INVITE's preconditions are to be looked at: not at all, or whether our resources are
    /// there.
    pub(super) fn precondition_policy(
        &self,
        account: Option<AccountKey>,
        request: &SipMessage,
    ) -> Result<Option<bool>, Refused> {
        let policy = account.and_then(|account| self.policy_of(account));
        let required = names(request, H::Require);
        match policy.map_or(PreconditionPolicy::Refuse, |policy| policy.preconditions) {
            PreconditionPolicy::Refuse if required => Err(unsupported()),
            PreconditionPolicy::Refuse => Ok(None),
            _ if !required && !names(request, H::Supported) => Ok(None),
            policy => Ok(Some(policy == PreconditionPolicy::Reserved)),
        }
    }

    /// Nobody is told of a call yet: its description goes out in a reliable 183, which asks the caller
    /// to confirm (§6).
    pub(super) fn suspend(
        &mut self,
        now: Instant,
        key: CallKey,
        incoming: IncomingCall,
        asks: bool,
    ) -> Result<(), Refused> {
        if !self.endpoint.rings_reliably(key) {
            let headers = vec![(H::Require.as_str().to_owned(), "100rel".to_owned())];
            return Err(Refused { headers, ..Refused::new(421) });
        }
        if let Some(entry) = self.calls.get_mut(&key) {
            entry.suspended = Some(Box::new(incoming));
        }
        match self.waits_for_ice(key, Waiting::Suspended(asks)) {
            true => Ok(()),
            false => self.describe_suspended(now, key, asks),
        }
    }

    /// The same, of a call that had to wait for candidates.
    pub(super) fn describe_waiting(&mut self, now: Instant, key: CallKey, asks: bool) {
        if let Err(Refused { status, headers, .. }) = self.describe_suspended(now, key, asks) {
            let result = self.endpoint.reject(now, key, status, None, headers);
            self.tolerate("reject", result);
        }
    }

    fn describe_suspended(
        &mut self,
        now: Instant,
        key: CallKey,
        asks: bool,
    ) -> Result<(), Refused> {
        let refuse = |_| Refused::new(480);
        self.describe_call(now, key).map_err(refuse)?;
        self.ring(now, key, 183, Headers::new()).map_err(refuse)?;
        if asks {
            let suspended = self.calls.get(&key).and_then(|entry| entry.suspended.as_ref());
            let call = suspended.map(|incoming| incoming.call.clone());
            let call = call.ok_or_else(|| Refused::new(480))?;
            let event = Event::ResourcesWanted { call };
            self.events.try_send(event).map_err(|_| Refused::new(503))?;
        }
        Ok(())
    }

    /// The preconditions may be met now: "session establishment SHOULD resume" (§6).
    pub(super) fn resume_suspended(&mut self, now: Instant, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if entry.negotiator.waits() || entry.answer_in_prack {
            return;
        }
        let Some(incoming) = entry.suspended.take() else { return };
        if let Err(refused) = self.announce(*incoming) {
            let Refused { status, reason, headers, .. } = refused;
            let result = self.endpoint.reject(now, key, status, reason.as_deref(), headers);
            self.tolerate("reject", result);
        }
    }

    /// Tells the application of a call.
    pub(super) fn announce(&mut self, incoming: IncomingCall) -> Result<(), Refused> {
        let incoming = match incoming.account {
            Some(AccountId(key)) => match self.wakes.give(key, incoming) {
                Some(incoming) => incoming,
                None => return Ok(()),
            },
            None => incoming,
        };
        let event = Event::IncomingCall(incoming);
        self.events.try_send(event).map_err(|_| Refused::new(503))
    }

    /// A branch of our call has described itself: our resources are asked for, or the callee is told
    /// that they are there.
    pub(super) fn check_branch(&mut self, key: CallKey, tag: &str) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some(branch) = entry.branches.get_mut(tag) else { return };
        let confirm = branch.negotiator.take_confirm_due();
        let wants = branch.negotiator.wants_resources();
        if confirm {
            let to = Some(tag.to_owned());
            entry.changes.push_back(HoldChange::again(to));
        }
        if wants && !std::mem::replace(&mut entry.resources_asked, true) {
            entry.tell(CallEvent::ResourcesWanted);
        }
    }

    /// The application has our resources, or cannot have them.
    pub(super) fn preconditions(
        &mut self,
        now: Instant,
        key: CallKey,
        met: bool,
    ) -> Result<(), Error> {
        let entry = self.calls.get_mut(&key).filter(|e| e.end.is_none());
        let entry = entry.ok_or(Error::Ended("the call"))?;
        if !entry.negotiator.has_preconditions() {
            return Err(Error::state("the call has no preconditions"));
        }
        if !met {
            return self.preconditions_failed(now, key);
        }
        entry.negotiator.reserved();
        if let Some(offered) = &mut entry.offered {
            offered.reserved();
        }
        let tags = entry.branches.each(|Branch { negotiator, .. }| negotiator.reserved());
        for tag in tags {
            self.check_branch(key, &tag);
        }
        let Some(entry) = self.calls.get_mut(&key) else { return Ok(()) };
        if entry.suspended.is_some() && entry.negotiator.take_confirm_due() {
            entry.changes.push_back(HoldChange::again(None));
        }
        self.resume_suspended(now, key);
        self.next_change(now, key);
        Ok(())
    }

    /// 580 with what failed (§8); a call of ours is cancelled.
    fn preconditions_failed(&mut self, now: Instant, key: CallKey) -> Result<(), Error> {
        let entry = self.calls.get_mut(&key).ok_or(Error::Ended("the call"))?;
        if entry.suspended.is_none() {
            self.fail(now, key, "the preconditions cannot be met");
            return Ok(());
        }
        let request = entry.suspended.as_ref().map(|incoming| incoming.request.clone());
        let failures = entry.negotiator.failures();
        let body = request.and_then(|r| session::sdp_of(&r)).and_then(|offer| {
            let offer = Description::parse(&offer, &self.sdp.limits).ok()?;
            Some(Body::sdp(precondition::refusal(&offer, 0, &failures)))
        });
        let result = self.endpoint.reject_with(now, key, 580, None, Headers::new(), body);
        result.map_err(super::sip_error)
    }

    /// An offer within the call that requires what the account does not do.
    pub(super) fn may_require(&self, key: CallKey, request: &SipMessage) -> Result<(), Refused> {
        let known = self.calls.get(&key).is_some_and(|e| e.negotiator.knows_preconditions());
        match names(request, H::Require) && !known {
            true => Err(unsupported()),
            false => Ok(()),
        }
    }
}

/// 420 (RFC 3261 §8.2.2.3).
fn unsupported() -> Refused {
    let headers = vec![(H::Unsupported.as_str().to_owned(), TAG.to_owned())];
    Refused { headers, ..Refused::new(420) }
}
