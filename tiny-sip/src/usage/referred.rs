//! The peer's REFER (RFC 3515 §2.4.2): the question, our answer, and the NOTIFYs that tell how it
//! goes. NOTIFYs go out one at a time, so that they cannot overtake each other; of those that wait
//! only the latest is sent (§2.4.5).

use super::refer::is_false;
use crate::endpoint::{
    Body, CallKey, Contact, Due, Endpoint, Error, Event, Headers, Owner, ServerKey, check,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use crate::status::StatusCode;
use std::time::Instant;
use tiny_sak::TimerKey;

/// A REFER of the peer's.
#[derive(Debug)]
pub(crate) struct Theirs {
    /// The request, while it has no answer.
    pub(crate) server: Option<ServerKey>,
    id: u32,
    /// The peer wants no NOTIFYs (RFC 4488).
    quiet: bool,
    /// Somebody is being asked.
    pending: bool,
    /// What was told last.
    last: (u16, String),
    /// A NOTIFY has no response yet.
    busy: bool,
    /// `last` was not sent yet.
    waiting: bool,
    until: Instant,
    timer: TimerKey,
}

impl Theirs {
    /// One that waits for an answer.
    pub(crate) fn new(
        server: ServerKey,
        id: u32,
        quiet: bool,
        until: Instant,
        timer: TimerKey,
    ) -> Self {
        let last = (100, "Trying".to_owned());
        let server = Some(server);
        Self { server, id, quiet, pending: false, last, busy: false, waiting: false, until, timer }
    }
}

/// The one Refer-To: a REFER with none or several is bad ("MUST return a 400 … if the request contained
/// zero or more than one Refer-To header field values", §2.4.2).
pub(crate) fn target(request: &Message) -> Option<String> {
    let mut targets = request.addresses(H::ReferTo);
    match (targets.next(), targets.next()) {
        (Some(Ok(to)), None) => Some(to.uri.as_str().to_owned()),
        _ => None,
    }
}

impl Endpoint {
    /// The peer wants us to call somebody.
    pub(crate) fn on_refer(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        request: Message,
    ) {
        let Some(to) = target(&request) else {
            return self.respond_core(now, key, 400, &[]);
        };
        let Some(state) = self.calls.get(call) else {
            return self.respond_core(now, key, 481, &[]);
        };
        let (account, Some(dialog)) = (state.account, state.dialog) else {
            return self.respond_core(now, key, 491, &[]);
        };
        // One after the other.
        if self.referrals.get(&call).is_some_and(|r| r.theirs.is_some()) {
            return self.respond_core(now, key, 491, &[]);
        }
        let id = request.cseq().map_or(0, |cseq| cseq.number);
        let quiet = request.header(H::ReferSub).is_some_and(is_false);
        // A REFER must be answered within the life of its transaction; half of it is for the owner.
        let until = now + self.config.timers.patience() / 2;
        let timer = self.timers.insert(until, Due::Referred(call));
        let theirs = Theirs::new(key, id, quiet, until, timer);
        self.referrals_of(call, dialog, account).theirs = Some(theirs);
        self.guard_server(now, key);
        self.event(Event::Referred { call, to, request });
    }

    /// Agrees to do what the peer's REFER asks for: 202 and a first NOTIFY (§2.4.4). `pending`:
    /// somebody has yet to be asked. What becomes of it is told by
    /// [`notify_referral`](Self::notify_referral).
    ///
    /// # Errors
    /// A stale key, or no REFER that waits for an answer.
    pub fn accept_referral(
        &mut self,
        now: Instant,
        call: CallKey,
        pending: bool,
    ) -> Result<(), Error> {
        let expires = self.config.refer_silence;
        let theirs = self.theirs(call)?;
        let Some(server) = theirs.server.take() else {
            // It was pending and goes on now.
            theirs.pending = pending;
            return Ok(());
        };
        let quiet = theirs.quiet;
        theirs.pending = pending;
        theirs.until = now + expires;
        let (until, old) = (theirs.until, theirs.timer);
        self.timers.cancel(old);
        let timer = self.timers.insert(until, Due::Referred(call));
        self.theirs(call)?.timer = timer;
        let mut headers = Headers::new();
        if quiet {
            headers.push((H::ReferSub.as_str().into(), "false".into()));
        }
        // Without a subscription there is nothing that a 202 could announce (RFC 4488 §4).
        let code = if quiet { StatusCode::OK } else { StatusCode::ACCEPTED };
        let bytes = self.referral_response(call, server, code, &headers)?;
        self.respond_bytes(now, server, code, bytes);
        if quiet {
            self.theirs_over(now, call);
        } else {
            self.next_notify(now, call, true);
        }
        Ok(())
    }

    /// Refuses the peer's REFER with 300 to 699; one that is pending by a final NOTIFY.
    ///
    /// # Errors
    /// A stale key, nothing to refuse, another status, or a header field that cannot be sent.
    pub fn refuse_referral(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        headers: Headers,
    ) -> Result<(), Error> {
        check(&headers, None)?;
        let code = StatusCode::new(status)
            .filter(|code| code.code() >= 300)
            .ok_or(Error::Status(status))?;
        let Some(server) = self.theirs(call)?.server.take() else {
            return self.notify_referral(now, call, status, code.default_reason());
        };
        let bytes = self.referral_response(call, server, code, &headers)?;
        self.respond_bytes(now, server, code, bytes);
        self.theirs_over(now, call);
        Ok(())
    }

    /// Tells the peer what became of its REFER so far: 1xx, or the final status, with which the
    /// subscription ends.
    ///
    /// # Errors
    /// A stale key: the peer wants no NOTIFYs, or it is told already.
    pub fn notify_referral(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        reason: &str,
    ) -> Result<(), Error> {
        let code = StatusCode::new(status).ok_or(Error::Status(status))?;
        let theirs = self.theirs(call)?;
        if theirs.server.is_some() {
            return Err(Error::State("the referral is not accepted yet"));
        }
        let reason = if reason.is_empty() { code.default_reason() } else { reason };
        let last = (status, reason.chars().filter(|c| !c.is_control()).collect());
        if theirs.last == last {
            return Ok(());
        }
        theirs.last = last;
        theirs.pending = false;
        self.next_notify(now, call, true);
        Ok(())
    }

    fn theirs(&mut self, call: CallKey) -> Result<&mut Theirs, Error> {
        let theirs = self.referrals.get_mut(&call).and_then(|r| r.theirs.as_mut());
        theirs.ok_or(Error::Stale("referral"))
    }

    /// Sends what is to be told, unless a NOTIFY is under way.
    fn next_notify(&mut self, now: Instant, call: CallKey, new: bool) {
        let Some(referrals) = self.referrals.get_mut(&call) else { return };
        let (dialog, account) = (referrals.dialog, referrals.account);
        let Some(theirs) = &mut referrals.theirs else { return };
        theirs.waiting |= new;
        if theirs.busy || !theirs.waiting {
            return;
        }
        (theirs.busy, theirs.waiting) = (true, false);
        let last = theirs.last.0 >= 200;
        let left = theirs.until.saturating_duration_since(now).as_secs();
        let state = match (last, theirs.pending) {
            // "a NOTIFY … terminated with a reason of noresource" (§2.4.7)
            (true, _) => "terminated;reason=noresource".to_owned(),
            (false, true) => format!("pending;expires={left}"),
            (false, false) => format!("active;expires={left}"),
        };
        self.send_notify(now, call, dialog, account, &state);
        if last {
            self.theirs_over(now, call);
        }
    }

    fn send_notify(
        &mut self,
        now: Instant,
        call: CallKey,
        dialog: crate::dialog::DialogKey,
        account: Option<crate::endpoint::AccountKey>,
        state: &str,
    ) {
        let Ok(theirs) = self.theirs(call) else { return };
        let (id, (status, reason)) = (theirs.id, theirs.last.clone());
        let owner = Owner::ReferNotify(call);
        let Some(mut notify) = self.in_dialog(dialog, owner, account, Method::Notify) else {
            return;
        };
        notify.contact = Contact::Ours;
        notify.headers = vec![
            (H::Event.as_str().into(), format!("refer;id={id}")),
            (H::SubscriptionState.as_str().into(), state.to_owned()),
        ];
        // Only the status line: what else the target said is its own business (§5.3.3).
        let body = format!("SIP/2.0 {status} {reason}\r\n");
        notify.body = Some(Body::new("message/sipfrag;version=2.0", body));
        self.start(now, notify);
    }

    /// The response to a NOTIFY, or that there is none.
    pub(crate) fn refer_notified(&mut self, now: Instant, call: CallKey, good: bool) {
        let Ok(theirs) = self.theirs(call) else { return };
        theirs.busy = false;
        if good {
            self.next_notify(now, call, false);
        } else {
            // RFC 6665 §4.2.2: a refused NOTIFY ends the subscription.
            self.tell_abandoned(call);
            self.theirs_over(now, call);
        }
    }

    /// Nobody has answered a REFER, or the subscription has run out.
    pub(crate) fn referred_timer(&mut self, now: Instant, call: CallKey) {
        let Ok(theirs) = self.theirs(call) else { return };
        if theirs.server.is_some() {
            self.tell_abandoned(call);
            let _ = self.refuse_referral(now, call, 603, Headers::new());
            return;
        }
        let Some(referrals) = self.referrals.get(&call) else { return };
        let (dialog, account) = (referrals.dialog, referrals.account);
        self.tell_abandoned(call);
        self.send_notify(now, call, dialog, account, "terminated;reason=timeout");
        self.theirs_over(now, call);
    }

    fn theirs_over(&mut self, now: Instant, call: CallKey) {
        let theirs = self.referrals.get_mut(&call).and_then(|r| r.theirs.take());
        if let Some(theirs) = theirs {
            self.drop_theirs(now, theirs);
        }
        self.referrals_checked(now, call);
    }

    pub(crate) fn drop_theirs(&mut self, now: Instant, theirs: Theirs) {
        self.timers.cancel(theirs.timer);
        if let Some(server) = theirs.server {
            self.respond_core(now, server, 481, &[]);
        }
    }
}
