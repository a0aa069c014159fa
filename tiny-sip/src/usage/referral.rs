//! Referrals outside of calls (RFC 3515): a REFER that makes a dialog of its own, for the sake of its
//! implicit subscription. It is named by the key of a call that never was, and otherwise goes the way
//! of a referral whose call is over (`refer`, `referred`).
//!
//! What it never does: place the call that a referral asks for.

use super::call::{Call, Phase};
use super::refer::{Own, Referral, Referrals, is_false};
use super::referred::Theirs;
use crate::dialog::{self, Dialog, DialogKey, Parts, Usage};
use crate::endpoint::{
    AccountKey, CallKey, Contact, Due, Endpoint, Error, Event, Fingerprint, Headers, Leg, Owner,
    ServerKey, bad_uri, check,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use crate::status::StatusCode;
use crate::uri::Uri;
use bytes::Bytes;
use slotmap::Key;
use std::collections::HashMap;
use std::time::Instant;

/// Which referrals have no call. Empty for agents that have none.
#[derive(Debug, Default)]
pub(crate) struct Alone {
    /// With the name by which the first NOTIFY finds them.
    keys: HashMap<CallKey, Option<Fingerprint>>,
    index: HashMap<Fingerprint, CallKey>,
}

impl Endpoint {
    /// Asks somebody, outside of any call, to call somebody else. The key names the referral in
    /// `ReferAccepted`, `ReferProgress` and `ReferEnded`; there is no call behind it.
    ///
    /// # Errors
    /// A stale account, a URI or header field that cannot be sent, or a limit.
    pub fn refer_outside(
        &mut self,
        now: Instant,
        account: AccountKey,
        to: &str,
        referral: Referral,
    ) -> Result<CallKey, Error> {
        check(&referral.headers, None)?;
        self.room()?;
        if self.alone.keys.len() >= self.config.max_referrals {
            return Err(Error::Limit("max_referrals"));
        }
        Uri::parse(&referral.to).map_err(|_| bad_uri(&referral.to, "it is no URI"))?;
        let quiet = referral.quiet;
        let headers = self.refer_headers(Some(account), referral)?;
        let key = self.nobody();
        let mut request = self.out_of_dialog(account, Owner::Refer(key), Method::Refer, to)?;
        request.contact = Contact::Ours;
        request.headers = headers;
        let from = crate::header::NameAddr::parse(&request.from);
        let tag = from.as_ref().ok().and_then(|from| from.tag()).unwrap_or_default();
        let print = self.prints.of(&["u", &request.call_id, tag]);
        self.alone.index.insert(print, key);
        self.alone.keys.insert(key, Some(print));
        let own = Own::new(request.cseq, quiet);
        let (account, dialog) = (Some(account), DialogKey::null());
        self.referrals.insert(key, Referrals { dialog, account, own: Some(own), theirs: None });
        self.start(now, request);
        Ok(key)
    }

    /// A key that names nothing else, now or later.
    fn nobody(&mut self) -> CallKey {
        let phase = Phase::Calling { leg: Leg::None, cancelled: false };
        let key = self.calls.insert(Call::new(None, true, phase));
        self.calls.remove(key);
        key
    }

    /// The first NOTIFY for a REFER of ours makes the dialog (RFC 6665 §4.4.1); those of other forks
    /// are refused. False when it is for none.
    pub(crate) fn on_first_refer_notify(
        &mut self,
        now: Instant,
        server: ServerKey,
        print: Fingerprint,
        request: &Message,
    ) -> bool {
        let (_, to_tag) = dialog::tags(request);
        let origin = self.prints.of(&["u", request.call_id().unwrap_or_default(), to_tag]);
        let Some(key) = self.alone.index.get(&origin).copied() else { return false };
        let Some(referrals) = self.referrals.get_mut(&key).filter(|r| r.dialog.is_null()) else {
            return false;
        };
        let first = referrals.first();
        let routes = dialog::routes_of_request(request);
        let parts = Parts {
            call_id: request.call_id().unwrap_or_default(),
            local: request.header(H::To).unwrap_or_default(),
            remote: request.header(H::From).unwrap_or_default(),
            target: dialog::target_of(request, ""),
            routes: &routes,
        };
        let mut dialog = Dialog::new(print, Usage::Call(key), &parts);
        // Credentials may have made it a later one.
        dialog.local_cseq = first + u32::from(self.config.max_auth_attempts) + 1;
        dialog.remote_cseq = request.cseq().ok().map(|cseq| cseq.number);
        let dialog = self.dialogs.insert(dialog);
        self.dialog_index.insert(print, dialog);
        referrals.dialog = dialog;
        self.on_refer_notify(now, server, key, request);
        true
    }

    /// Somebody asks us, outside of any call, to call somebody.
    pub(crate) fn on_refer_outside(
        &mut self,
        now: Instant,
        server: ServerKey,
        request: Message,
        tag: &str,
    ) {
        let Some(to) = super::referred::target(&request) else {
            return self.respond_core(now, server, 400, &[]);
        };
        if dialog::target_of(&request, "").is_empty() {
            return self.respond_core(now, server, 400, &[]);
        }
        if self.alone.keys.len() >= self.config.max_referrals {
            self.counters.rejected_limit += 1;
            return self.respond_core(now, server, 503, &[(H::RetryAfter, "10")]);
        }
        let account = self.account_for(&request);
        let key = self.nobody();
        let dialog = self.dialog_of_request(Usage::Call(key), &request, tag, "");
        self.alone.keys.insert(key, None);
        let until = now + self.config.timers.patience() / 2;
        let timer = self.timers.insert(until, Due::Referred(key));
        let id = request.cseq().map_or(0, |cseq| cseq.number);
        let quiet = request.header(H::ReferSub).is_some_and(is_false);
        let theirs = Some(Theirs::new(server, id, quiet, until, timer));
        self.referrals.insert(key, Referrals { dialog, account, own: None, theirs });
        self.guard_server(now, server);
        self.event(Event::Referred { call: key, to, request });
    }

    /// The account that a referral outside of calls is for.
    pub fn account_of_referral(&self, call: CallKey) -> Option<AccountKey> {
        self.referrals.get(&call)?.account
    }

    /// A response to a REFER outside of calls.
    pub(crate) fn referral_response(
        &mut self,
        call: CallKey,
        server: ServerKey,
        status: StatusCode,
        headers: &Headers,
    ) -> Result<Bytes, Error> {
        if self.calls.contains_key(call) {
            return self.call_response(call, server, status, "", headers, None);
        }
        let server = self.servers.get(server).ok_or(Error::Stale("request"))?;
        let request = server.request.as_ref().ok_or(Error::Stale("request"))?;
        let account = self.account_of_referral(call).and_then(|key| self.accounts.get(key));
        let called = Uri::parse(request.request_uri()).ok();
        let user = called.and_then(|uri| uri.user());
        let mut w = self.response(request, server.source().remote, status, "", server.tag());
        if status.code() < 300 {
            let contact = self.contact_uri(account, user, server.source());
            w = w.copy(request, H::RecordRoute).header(H::Contact, contact.then(["", ""]));
        }
        self.finish(w, request, Some(server), headers, None)
    }

    /// Lets go of a referral's name.
    pub(crate) fn forget_alone(&mut self, call: CallKey) {
        if let Some(Some(print)) = self.alone.keys.remove(&call) {
            self.alone.index.remove(&print);
        }
    }

    /// What the owner was asked for is not wanted any more.
    pub(crate) fn tell_abandoned(&mut self, call: CallKey) {
        if self.alone.keys.contains_key(&call) {
            self.event(Event::ReferralAbandoned { call });
        }
    }
}
