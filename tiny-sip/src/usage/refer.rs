//! Referrals inside a call: REFER (RFC 3515) sent by us, and its implicit subscription, whose NOTIFYs
//! say what becomes of it; `norefersub` (RFC 4488), Referred-By (RFC 3892). The subscription outlives
//! its call's INVITE usage (RFC 5057 §4), so the dialog stays for as long as it lasts.
//!
//! What it never does: place the call that a referral asks for.

use super::referred::Theirs;
use crate::dialog::DialogKey;
use crate::endpoint::{
    AccountKey, CallKey, Cause, Contact, Due, EndedBy, Endpoint, Error, Event, Headers, Owner,
    ServerKey, bad_uri, check,
};
use crate::header::{HeaderName as H, StatusLine, parse_seconds};
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use crate::usage::call::Phase;
use std::time::{Duration, Instant};
use tiny_sak::TimerKey;

/// The referrals of one call, one in each direction.
#[derive(Debug)]
pub(crate) struct Referrals {
    pub(crate) dialog: DialogKey,
    pub(crate) account: Option<AccountKey>,
    pub(crate) own: Option<Own>,
    pub(crate) theirs: Option<Theirs>,
}

/// A REFER of ours and its subscription.
#[derive(Debug)]
pub(crate) struct Own {
    /// CSeq of the REFER: what `id` of the Event header field says (RFC 3515 §2.4.6). Credentials may
    /// make it a later one.
    first: u32,
    /// We asked for no NOTIFYs (RFC 4488 §4).
    quiet: bool,
    subscribed: bool,
    /// The outcome is told; the subscription has not said its last word.
    told: bool,
    timer: Option<TimerKey>,
}

impl Own {
    pub(crate) fn new(first: u32, quiet: bool) -> Self {
        Self { first, quiet, subscribed: false, told: false, timer: None }
    }
}

impl Referrals {
    /// CSeq of our REFER.
    pub(crate) fn first(&self) -> u32 {
        self.own.as_ref().map_or(1, |own| own.first)
    }
}

/// What became of a REFER of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferOutcome {
    /// The final status that the peer got where we sent it: 2xx when it is through.
    Reported {
        /// The status.
        status: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// The peer does not do it.
    Refused {
        /// Status of its answer to the REFER.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
    /// The peer does it, and will not tell how it went.
    Unreported,
    /// The peer is silent: no response to the REFER, or no NOTIFY within
    /// [`Config::refer_silence`](crate::Config::refer_silence).
    Silent {
        /// What kind of failure.
        cause: Cause,
        /// One sentence.
        reason: String,
    },
}

/// A referral to send (RFC 3515 §2.4.1).
#[derive(Debug, Clone, Default)]
pub struct Referral {
    /// Whom the peer is to call: a URI, with header fields (`?Replaces=…`) if need be.
    pub to: String,
    /// Extra header fields. Referred-By is written unless it is among them.
    pub headers: Headers,
    /// Ask for no NOTIFYs (RFC 4488): the outcome stays unknown.
    pub quiet: bool,
}

impl Endpoint {
    /// Asks the peer of an established call to call somebody else. `ReferAccepted`, `ReferProgress`
    /// and `ReferEnded` tell what becomes of it; they may come after the call has ended.
    ///
    /// # Errors
    /// A stale key, a call that is not established or has a referral of ours under way, a URI or
    /// header field that cannot be sent, or a limit.
    pub fn refer(&mut self, now: Instant, call: CallKey, referral: Referral) -> Result<(), Error> {
        check(&referral.headers, None)?;
        self.room()?;
        Uri::parse(&referral.to).map_err(|_| bad_uri(&referral.to, "it is no URI"))?;
        let Some(state) = self.calls.get(call) else { return Err(Error::Stale("call")) };
        let Some(dialog) = state.dialog.filter(|_| state.phase == Phase::Established) else {
            return Err(Error::State("the call is not established"));
        };
        if self.referrals.get(&call).is_some_and(|r| r.own.is_some()) {
            return Err(Error::State("a transfer of this call is under way"));
        }
        let account = state.account;
        let owner = Owner::Refer(call);
        let Some(mut request) = self.in_dialog(dialog, owner, account, Method::Refer) else {
            return Err(Error::Stale("call"));
        };
        // REFER establishes a subscription in the dialog: Contact is mandatory (§2.2).
        request.contact = Contact::Ours;
        let quiet = referral.quiet;
        let headers = self.refer_headers(account, referral)?;
        request.headers = headers;
        let own = Own::new(request.cseq, quiet);
        self.referrals_of(call, dialog, account).own = Some(own);
        self.start(now, request);
        Ok(())
    }

    /// The header fields of a REFER.
    pub(crate) fn refer_headers(
        &self,
        account: Option<AccountKey>,
        referral: Referral,
    ) -> Result<Headers, Error> {
        let given = |name: H| referral.headers.iter().any(|(n, _)| H::parse(n) == name);
        let named = |name: H, value: String| (name.as_str().to_owned(), value);
        let mut headers = vec![named(H::ReferTo, format!("<{}>", referral.to))];
        // RFC 3892 §2.1: who sends the peer there.
        if !given(H::ReferredBy)
            && let Some(account) = account.and_then(|key| self.accounts.get(key))
        {
            headers.push(named(H::ReferredBy, account.from.clone()));
        }
        if referral.quiet {
            headers.push(named(H::ReferSub, "false".into()));
            headers.push(named(H::Supported, "norefersub".into()));
        }
        headers.extend(referral.headers);
        check(&headers, None)?;
        Ok(headers)
    }

    pub(crate) fn referrals_of(
        &mut self,
        call: CallKey,
        dialog: DialogKey,
        account: Option<AccountKey>,
    ) -> &mut Referrals {
        let new = || Referrals { dialog, account, own: None, theirs: None };
        self.referrals.entry(call).or_insert_with(new)
    }

    /// The URI that sends somebody to the peer of a call in place of us (RFC 5589 §7): where the peer
    /// is, with a Replaces that names our dialog with it. `None` while there is no confirmed dialog.
    pub fn replaces_uri(&self, call: CallKey) -> Option<String> {
        let state = self.calls.get(call)?;
        if !matches!(state.phase, Phase::Established | Phase::Answered) {
            return None;
        }
        let parts = self.dialogs.get(state.dialog?)?.parts();
        let local = crate::header::NameAddr::parse(parts.local).ok()?;
        let remote = crate::header::NameAddr::parse(parts.remote).ok()?;
        let replaces = crate::header::Replaces {
            call_id: parts.call_id,
            to_tag: remote.tag().unwrap_or("0"),
            from_tag: local.tag().unwrap_or("0"),
            early_only: false,
        };
        // "the Contact URI … only if it is globally routable" (RFC 5589 §7.3); a peer that we reach
        // without a proxy can be reached so by others, too. Else its address of record.
        let contact = Uri::parse(parts.target).ok()?;
        let uri = match parts.routes.is_empty() || contact.has_param("gr") {
            true => contact.without_headers(),
            false => remote.uri.without_headers(),
        };
        let value = replaces.to_string();
        Some(format!("{uri}?Replaces={}", crate::uri::escape_header(&value)))
    }

    /// A 2xx to our REFER.
    pub(crate) fn refer_accepted(&mut self, now: Instant, call: CallKey, message: &Message) {
        let first = self.config.timers.patience();
        let Some(own) = self.referrals.get_mut(&call).and_then(|r| r.own.as_mut()) else { return };
        let none = message.header(H::ReferSub).is_some_and(is_false);
        let quiet = own.quiet && none;
        let known = own.subscribed;
        own.subscribed = true;
        self.event(Event::ReferAccepted { call });
        if quiet {
            // RFC 4488 §4: without `Refer-Sub: false` in the response there is a subscription.
            self.refer_over(now, call, ReferOutcome::Unreported);
        } else if !known {
            // "the agent … MUST immediately send … NOTIFY" (§2.4.4)
            self.set_refer_timer(call, now + first);
        }
    }

    /// A 3xx to 6xx to our REFER.
    pub(crate) fn refer_refused(
        &mut self,
        now: Instant,
        call: CallKey,
        dialog: Option<DialogKey>,
        status: u16,
        message: &Message,
    ) {
        let reason = message.reason().to_owned();
        self.refer_over(now, call, ReferOutcome::Refused { status, reason });
        // RFC 3261 §12.2.1.2: the peer knows the dialog no more.
        if status == 481 && self.calls.get(call).is_some_and(|state| state.dialog == dialog) {
            self.bye(now, call, Headers::new());
            let message = Some(message.clone());
            self.end_call(now, call, EndedBy::Remote, Some(481), "unknown dialog", message);
        }
    }

    /// Our REFER has no response.
    pub(crate) fn refer_failed(&mut self, now: Instant, call: CallKey, cause: Cause, why: &str) {
        self.refer_over(now, call, ReferOutcome::Silent { cause, reason: why.to_owned() });
    }

    /// The peer's NOTIFYs have stopped.
    pub(crate) fn refer_timer(&mut self, now: Instant, call: CallKey) {
        if let Some(own) = self.referrals.get_mut(&call).and_then(|r| r.own.as_mut()) {
            own.timer = None;
            let reason = "nothing is heard of the transfer any more".to_owned();
            self.refer_over(now, call, ReferOutcome::Silent { cause: Cause::Timeout, reason });
        }
    }

    fn set_refer_timer(&mut self, call: CallKey, at: Instant) {
        let timer = self.timers.insert(at, Due::Refer(call));
        if let Some(own) = self.referrals.get_mut(&call).and_then(|r| r.own.as_mut())
            && let Some(old) = own.timer.replace(timer)
        {
            self.timers.cancel(old);
        }
    }

    fn refer_over(&mut self, now: Instant, call: CallKey, outcome: ReferOutcome) {
        let Some(own) = self.referrals.get_mut(&call).and_then(|r| r.own.take()) else { return };
        if let Some(timer) = own.timer {
            self.timers.cancel(timer);
        }
        if !own.told {
            self.event(Event::ReferEnded { call, outcome });
        }
        self.referrals_checked(now, call);
    }

    /// Lets go of what is over, and of a dialog that nothing uses any more.
    pub(crate) fn referrals_checked(&mut self, _now: Instant, call: CallKey) {
        let Some(referrals) = self.referrals.get(&call) else { return };
        if referrals.own.is_some() || referrals.theirs.is_some() {
            return;
        }
        let dialog = referrals.dialog;
        self.referrals.remove(&call);
        self.forget_alone(call);
        if !self.calls.contains_key(call) {
            self.remove_dialog(dialog);
        }
    }

    /// The call ends: the dialog that its referrals still need, if they do.
    pub(crate) fn referrals_outlive(&mut self, now: Instant, call: CallKey) -> Option<DialogKey> {
        if self.referrals.is_empty() {
            return None;
        }
        let referrals = self.referrals.get_mut(&call)?;
        // What nobody has answered is not done any more.
        if let Some(theirs) = referrals.theirs.take_if(|theirs| theirs.server.is_some()) {
            self.drop_theirs(now, theirs);
        }
        let dialog = self.referrals.get(&call)?.dialog;
        self.referrals_checked(now, call);
        self.referrals.contains_key(&call).then_some(dialog)
    }

    /// Whether a NOTIFY belongs to our referral: its Event says so (§2.4.6).
    fn is_of_referral(&self, call: CallKey, request: &Message) -> bool {
        let Some(referrals) = self.referrals.get(&call) else { return false };
        let Some(Ok(event)) = request.item(H::Event) else { return false };
        let latest = self.dialogs.get(referrals.dialog).map_or(0, |dialog| dialog.local_cseq);
        referrals.own.as_ref().is_some_and(|own| match event.param("id") {
            // "NOTIFY requests that … the first REFER … MAY include an id parameter" (§2.4.6)
            None => true,
            Some(id) => id.parse::<u32>().is_ok_and(|id| (own.first..=latest).contains(&id)),
        })
    }

    /// A NOTIFY of the subscription that our REFER made (§2.4.5).
    pub(crate) fn on_refer_notify(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: CallKey,
        request: &Message,
    ) {
        if !self.is_of_referral(call, request) {
            return self.respond_core(now, key, 481, &[]);
        }
        let Some(Ok(state)) = request.item(H::SubscriptionState) else {
            return self.respond_core(now, key, 400, &[]);
        };
        let frag = match request.content_type() {
            _ if request.body().is_empty() => None,
            Some(Ok(kind)) if kind.is("message", "sipfrag") => {
                let Some(frag) = StatusLine::parse(request.body()) else {
                    return self.respond_core(now, key, 400, &[]);
                };
                Some(frag)
            }
            _ => return self.respond_core(now, key, 415, &[(H::Accept, "message/sipfrag")]),
        };
        self.respond_core(now, key, 200, &[]);
        let over = state.value.eq_ignore_ascii_case("terminated");
        let silence = self.config.refer_silence;
        let expires = state.param("expires").and_then(|text| parse_seconds(text).ok());
        let lasts = expires.map_or(silence, |s| Duration::from_secs(s.into()).min(silence));
        let Some(own) = self.referrals.get_mut(&call).and_then(|r| r.own.as_mut()) else { return };
        own.subscribed = true;
        let told = own.told;
        match frag {
            Some(frag) if frag.status >= 200 => {
                let (status, reason) = (frag.status, frag.reason.to_owned());
                if over {
                    return self.refer_over(now, call, ReferOutcome::Reported { status, reason });
                }
                if !told {
                    own.told = true;
                    let outcome = ReferOutcome::Reported { status, reason };
                    self.event(Event::ReferEnded { call, outcome });
                }
            }
            Some(frag) if !told => {
                let (status, reason) = (frag.status, frag.reason.to_owned());
                self.event(Event::ReferProgress { call, status, reason });
            }
            _ => {}
        }
        if over {
            // It ended without a word on how it went: `giveup`, `timeout`, `noresource` …
            return self.refer_over(now, call, ReferOutcome::Unreported);
        }
        self.set_refer_timer(call, now + lasts);
    }
}

/// Whether a NOTIFY is of the event package `refer`.
pub(crate) fn is_refer(request: &Message) -> bool {
    let event = request.item(H::Event).and_then(Result::ok);
    event.is_some_and(|event| event.value.eq_ignore_ascii_case("refer"))
}

/// `Refer-Sub: false` (RFC 4488 §4).
pub(crate) fn is_false(value: &str) -> bool {
    crate::header::Item::parse(value).is_ok_and(|item| item.value.eq_ignore_ascii_case("false"))
}
