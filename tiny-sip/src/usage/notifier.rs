//! A peer's subscription to our state (RFC 6665 §4.2): who may have it the owner decides, at once; then
//! the state goes out with each SUBSCRIBE and each change, no faster than allowed, one NOTIFY at a time,
//! until it is ended, expires, or the watcher is gone.

use super::subscriber::is_final_for_usage;
use crate::dialog::{self, DialogKey, Usage};
use crate::endpoint::{
    AccountKey, Body, CONFERENCE, Due, Endpoint, Error, Event, Headers, Leg, Owner, Purpose,
    ServerKey, SubscriptionState, Termination, WatcherEvent, WatcherKey, check, event_id,
    same_event,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use crate::status::StatusCode;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, TimerKey};

// What a watcher gets that asks for no particular lifetime (§5.4.4 leaves it to the package; most say
// this).
const DEFAULT_EXPIRES: u32 = 3600;
// Below this a lifetime may be refused as too brief (§4.2.1.1).
const HOUR: u32 = 3600;

/// A peer's subscription to our state.
#[derive(Debug)]
pub(crate) struct Notifier {
    account: Option<AccountKey>,
    dialog: DialogKey,
    /// Event as the watcher wrote it.
    event: Box<str>,
    phase: Phase,
    granted: u32,
    ends: Instant,
    body: Option<Body>,
    headers: Headers,
    pub(crate) leg: Leg,
    running: bool,
    changed: bool,
    last: Option<Instant>,
    /// How it is to end, until that was told.
    ending: Option<(Termination, Option<u32>)>,
    over: Option<TimerKey>,
    pace: Option<TimerKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The SUBSCRIBE waits for a decision.
    Asking(ServerKey),
    Pending,
    Active,
    /// The last NOTIFY is under way.
    Over(Termination),
}

impl Endpoint {
    /// A SUBSCRIBE outside dialogs (§4.2.1.1).
    pub(crate) fn on_subscribe(
        &mut self,
        now: Instant,
        server: ServerKey,
        request: Message,
        flow: Flow,
        tag: &str,
    ) {
        let event = request.header(H::Event).unwrap_or_default();
        let package = event_id(event).map(|(package, _)| package.to_owned());
        let known = |package: &String| {
            self.config.event_packages.contains(package)
                || (package == CONFERENCE && self.conference_called(&request).is_some())
        };
        let Some(package) = package.filter(known) else {
            // "489 … MUST include Allow-Events" (§8.2.2 with §4.4.4)
            let packages = self.config.event_packages.join(", ");
            let extra = [(H::AllowEvents, &*packages)];
            let extra = if packages.is_empty() { &[][..] } else { &extra[..] };
            return self.respond_core(now, server, 489, extra);
        };
        if dialog::target_of(&request, "").is_empty() {
            return self.respond_core(now, server, 400, &[]);
        }
        let Some(expires) = self.lifetime(now, server, &request) else { return };
        if self.watchers.len() >= self.config.max_watchers {
            self.counters.rejected_limit += 1;
            return self.respond_core(now, server, 503, &[(H::RetryAfter, "10")]);
        }
        let account = self.account_for(&request);
        let dialog = self.dialog_of_request(Usage::None, &request, tag, "");
        let patience = self.config.timers.patience();
        let key = self.watchers.insert(Notifier {
            account,
            dialog,
            event: event.into(),
            phase: Phase::Asking(server),
            granted: expires,
            ends: now + patience,
            body: None,
            headers: Headers::new(),
            leg: Leg::None,
            running: false,
            changed: false,
            last: None,
            ending: None,
            over: None,
            pace: None,
        });
        if let Some(dialog) = self.dialogs.get_mut(dialog) {
            dialog.usage = Usage::Watcher(key);
        }
        if let Some(server) = self.servers.get_mut(server) {
            server.purpose = Purpose::Subscribe;
        }
        self.watches_conference(key, &request);
        // An owner who does not decide in time is taken for a refusal by silence.
        self.ends_at(key, now + patience);
        let event = WatcherEvent::Subscribe { package, expires, request, flow };
        self.event(Event::Watcher { watcher: key, event });
    }

    /// The lifetime to grant; `None` when it was refused as too brief.
    fn lifetime(&mut self, now: Instant, server: ServerKey, request: &Message) -> Option<u32> {
        let asked = request.expires().and_then(Result::ok).unwrap_or(DEFAULT_EXPIRES);
        let min = self.config.min_subscription;
        if asked > 0 && asked < HOUR && asked < min {
            self.respond_core(now, server, 423, &[(H::MinExpires, &min.to_string())]);
            return None;
        }
        Some(asked.min(self.config.max_subscription))
    }

    fn ends_at(&mut self, key: WatcherKey, at: Instant) {
        let timer = self.timers.insert(at, Due::WatcherOver(key));
        let Some(state) = self.watchers.get_mut(key) else { return };
        state.ends = at;
        if let Some(old) = state.over.replace(timer) {
            self.timers.cancel(old);
        }
    }

    /// The account that a watcher watches: the one that the Request-URI or To names.
    pub fn account_of_watcher(&self, watcher: WatcherKey) -> Option<AccountKey> {
        self.watchers.get(watcher)?.account
    }

    /// Takes a subscription: 200, then the state in a NOTIFY at once (§4.2.1.2). `Pending` lets it
    /// wait for somebody's decision.
    ///
    /// # Errors
    /// A stale key, a subscription that was decided about, or a body that cannot be sent.
    pub fn accept_subscription(
        &mut self,
        now: Instant,
        watcher: WatcherKey,
        state: SubscriptionState,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&[], body.as_ref())?;
        let phase = phase_of(state)?;
        let server = self.asking(watcher)?;
        let Some(watcher_state) = self.watchers.get_mut(watcher) else {
            return Err(Error::Stale("watcher"));
        };
        watcher_state.phase = phase;
        watcher_state.body = body;
        let granted = watcher_state.granted;
        if granted == 0 {
            watcher_state.ending = Some((Termination::Timeout, None));
        }
        match self.watcher_response(watcher, server, granted) {
            Ok(bytes) => self.respond_bytes(now, server, StatusCode::OK, bytes),
            Err(error) => {
                self.remove_server(server);
                self.forget_watcher(watcher);
                return Err(error);
            }
        }
        self.ends_at(watcher, now + Duration::from_secs(granted.into()));
        self.send_state(now, watcher);
        Ok(())
    }

    /// Refuses a subscription with 300 to 699: 403 or 603 for one who may not (§4.2.1.3).
    ///
    /// # Errors
    /// A stale key, a subscription that was decided about, another status, or a header field that
    /// cannot be sent.
    pub fn reject_subscription(
        &mut self,
        now: Instant,
        watcher: WatcherKey,
        status: u16,
        headers: Headers,
    ) -> Result<(), Error> {
        check(&headers, None)?;
        if !(300..700).contains(&status) {
            return Err(Error::Status(status));
        }
        let server = self.asking(watcher)?;
        self.respond_with(now, server, status, "", &[], &headers, None)?;
        self.forget_watcher(watcher);
        Ok(())
    }

    fn asking(&self, watcher: WatcherKey) -> Result<ServerKey, Error> {
        match self.watchers.get(watcher).ok_or(Error::Stale("watcher"))?.phase {
            Phase::Asking(server) if self.is_unanswered(server) => Ok(server),
            _ => Err(Error::State("the subscription was decided about")),
        }
    }

    /// Tells a watcher of new state, or that its subscription is active or pending now. Changes that
    /// follow each other within [`Config::notify_interval`](crate::Config::notify_interval), or
    /// before the last NOTIFY was answered, are told together: the latest state only.
    ///
    /// # Errors
    /// A stale key, a subscription that is not decided about or is ending, or a body that cannot be
    /// sent.
    pub fn notify(
        &mut self,
        now: Instant,
        watcher: WatcherKey,
        state: SubscriptionState,
        body: Option<Body>,
    ) -> Result<(), Error> {
        check(&[], body.as_ref())?;
        let phase = phase_of(state)?;
        let interval = self.config.notify_interval;
        let watched = self.watchers.get_mut(watcher).ok_or(Error::Stale("watcher"))?;
        match watched.phase {
            Phase::Asking(_) => return Err(Error::State("the subscription waits for a decision")),
            Phase::Over(_) => return Err(Error::State("the subscription is over")),
            Phase::Pending | Phase::Active => {}
        }
        let decided = std::mem::replace(&mut watched.phase, phase) != phase;
        watched.body = body;
        watched.changed = true;
        let due = watched.last.map_or(now, |last| last + interval);
        if decided || due <= now {
            self.send_state(now, watcher);
        } else if !watched.running && watched.pace.is_none() {
            watched.pace = Some(self.timers.insert(due, Due::WatcherPace(watcher)));
        }
        Ok(())
    }

    /// Ends a subscription with a last NOTIFY (§4.2.2). `Ended` follows.
    ///
    /// # Errors
    /// A stale key, or a subscription that waits for a decision.
    pub fn terminate_subscription(
        &mut self,
        now: Instant,
        watcher: WatcherKey,
        reason: Termination,
        retry_after: Option<u32>,
    ) -> Result<(), Error> {
        let state = self.watchers.get_mut(watcher).ok_or(Error::Stale("watcher"))?;
        match state.phase {
            Phase::Asking(_) => return Err(Error::State("the subscription waits for a decision")),
            Phase::Over(_) => return Ok(()),
            Phase::Pending | Phase::Active => {}
        }
        state.ending.get_or_insert((reason, retry_after));
        self.send_state(now, watcher);
        Ok(())
    }

    /// A response inside a watcher's dialog: Record-Route, Contact and Expires.
    fn watcher_response(
        &self,
        watcher: WatcherKey,
        server: ServerKey,
        expires: u32,
    ) -> Result<Bytes, Error> {
        let state = self.watchers.get(watcher).ok_or(Error::Stale("watcher"))?;
        let server = self.servers.get(server).ok_or(Error::Stale("request"))?;
        let request = server.request.as_ref().ok_or(Error::Stale("request"))?;
        let account = state.account.and_then(|key| self.accounts.get(key));
        let called = crate::uri::Uri::parse(request.request_uri()).ok();
        let user = called.and_then(|uri| uri.user());
        let focus = self.conference_watched(watcher);
        let contact = self.contact_uri(account, user, server.source()).of_focus(focus);
        let focus = if focus.is_some() { ";isfocus" } else { "" };
        let w = self
            .response(request, server.source().remote, StatusCode::OK, "", server.tag())
            .copy(request, H::RecordRoute)
            .header(H::Contact, contact.then([focus, ""]))
            .header(H::Expires, expires);
        self.finish(w, request, Some(server), &Headers::new(), None)
    }

    /// Sends the state as it is, or leaves it until the NOTIFY under way is answered.
    fn send_state(&mut self, now: Instant, key: WatcherKey) {
        let Some(state) = self.watchers.get_mut(key) else { return };
        if state.running {
            state.changed = true;
            return;
        }
        if let Some(timer) = state.pace.take() {
            self.timers.cancel(timer);
        }
        let (dialog, account) = (state.dialog, state.account);
        let account = account.filter(|key| self.accounts.contains_key(*key));
        let owner = Owner::Notify(key);
        let request = self.in_dialog(dialog, owner, account, Method::Notify);
        let Some(state) = self.watchers.get_mut(key) else { return };
        let Some(mut request) = request else { return };
        let left = state.ends.saturating_duration_since(now).as_secs();
        let told = match (state.ending.take(), state.phase) {
            (Some((reason, retry_after)), _) => {
                state.phase = Phase::Over(reason);
                let after = retry_after.map(|s| format!(";retry-after={s}")).unwrap_or_default();
                format!("terminated;reason={}{after}", reason.as_str())
            }
            (None, Phase::Pending) => format!("pending;expires={left}"),
            (None, _) => format!("active;expires={left}"),
        };
        request.headers.push(("Event".to_owned(), state.event.to_string()));
        request.headers.push(("Subscription-State".to_owned(), told));
        request.headers.extend(state.headers.iter().cloned());
        request.body.clone_from(&state.body);
        state.running = true;
        state.changed = false;
        state.last = Some(now);
        state.leg = Leg::None;
        if matches!(state.phase, Phase::Over(_))
            && let Some(timer) = state.over.take()
        {
            self.timers.cancel(timer);
        }
        self.start(now, request);
    }

    /// The network has changed: a NOTIFY refreshes the target as well (§4.4.1), so that the watcher
    /// knows where to refresh its subscription.
    pub(crate) fn notify_anew(&mut self, now: Instant, key: WatcherKey) {
        if !self.has_watcher(key) {
            return;
        }
        let Some(state) = self.watchers.get_mut(key) else { return };
        state.running = false;
        let leg = std::mem::replace(&mut state.leg, Leg::None);
        if let Leg::Sent(client) = leg {
            self.remove_client(client);
        }
        self.drop_leg(leg);
        self.send_state(now, key);
    }

    /// Whether a subscription to our state is up.
    pub(crate) fn has_watcher(&self, key: WatcherKey) -> bool {
        let phase = self.watchers.get(key).map(|state| state.phase);
        matches!(phase, Some(Phase::Pending | Phase::Active))
    }

    /// The end of a NOTIFY; with a status where it was not taken.
    pub(crate) fn notify_over(&mut self, now: Instant, key: WatcherKey, status: Option<u16>) {
        let interval = self.config.notify_interval;
        let Some(state) = self.watchers.get_mut(key) else { return };
        state.running = false;
        state.leg = Leg::None;
        if let Phase::Over(reason) = state.phase {
            return self.end_watcher(key, Some(reason), None);
        }
        // §4.2.2; credentials that the watcher asks for in vain will not be there next time either.
        if let Some(status) = status
            && (is_final_for_usage(status) || matches!(status, 401 | 407 | 408))
        {
            return self.end_watcher(key, None, Some(status));
        }
        if state.ending.is_some() {
            return self.send_state(now, key);
        }
        if state.changed && state.pace.is_none() {
            let at = state.last.map_or(now, |last| last + interval).max(now);
            state.pace = Some(self.timers.insert(at, Due::WatcherPace(key)));
        }
    }

    pub(crate) fn watcher_pace(&mut self, now: Instant, key: WatcherKey) {
        let Some(state) = self.watchers.get_mut(key) else { return };
        state.pace = None;
        if state.changed {
            self.send_state(now, key);
        }
    }

    /// A lifetime is over (§4.2.1.4), or nobody decided in time.
    pub(crate) fn watcher_over(&mut self, now: Instant, key: WatcherKey) {
        let Some(state) = self.watchers.get_mut(key) else { return };
        state.over = None;
        match state.phase {
            Phase::Asking(server) => {
                self.remove_server(server);
                self.end_watcher(key, None, None);
            }
            Phase::Over(_) => {}
            Phase::Pending | Phase::Active => {
                state.ending.get_or_insert((Termination::Timeout, None));
                self.send_state(now, key);
            }
        }
    }

    /// A request inside a watcher's dialog.
    pub(crate) fn in_watcher(
        &mut self,
        now: Instant,
        server: ServerKey,
        key: WatcherKey,
        method: Method,
        request: Message,
    ) {
        match method {
            Method::Subscribe => {}
            Method::Options if self.config.answer_options => {
                return self.answer_options(now, server);
            }
            _ => return self.respond_core(now, server, 481, &[]),
        }
        let Some(state) = self.watchers.get(key) else {
            return self.respond_core(now, server, 481, &[]);
        };
        if !same_event(request.header(H::Event).unwrap_or_default(), &state.event) {
            // §4.5.2
            let reason = "Dialog Sharing Not Supported";
            let none = Headers::new();
            let _ = self.respond_with(now, server, 403, reason, &[], &none, None);
            return;
        }
        if !matches!(state.phase, Phase::Pending | Phase::Active) {
            return self.respond_core(now, server, 481, &[]);
        }
        let dialog = state.dialog;
        let Some(expires) = self.lifetime(now, server, &request) else { return };
        let moved = self.has_moved(dialog, &request);
        if let Some(dialog) = self.dialogs.get_mut(dialog) {
            dialog.refresh(&request);
        }
        if moved {
            self.follow_target(now, dialog);
        }
        let Ok(bytes) = self.watcher_response(key, server, expires) else {
            return self.remove_server(server);
        };
        self.respond_bytes(now, server, StatusCode::OK, bytes);
        self.ends_at(key, now + Duration::from_secs(expires.into()));
        let Some(state) = self.watchers.get_mut(key) else { return };
        state.granted = expires;
        if expires == 0 {
            state.ending.get_or_insert((Termination::Timeout, None));
        } else {
            let event = WatcherEvent::Refreshed { expires };
            self.event(Event::Watcher { watcher: key, event });
        }
        self.send_state(now, key);
    }

    fn end_watcher(&mut self, key: WatcherKey, reason: Option<Termination>, status: Option<u16>) {
        self.forget_watcher(key);
        let event = WatcherEvent::Ended { reason, status };
        self.event(Event::Watcher { watcher: key, event });
    }

    fn forget_watcher(&mut self, key: WatcherKey) {
        let Some(state) = self.watchers.remove(key) else { return };
        for timer in [state.over, state.pace].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        self.drop_leg(state.leg);
        self.remove_dialog(state.dialog);
        self.forget_conference_watcher(key);
    }
}

fn phase_of(state: SubscriptionState) -> Result<Phase, Error> {
    match state {
        SubscriptionState::Active => Ok(Phase::Active),
        SubscriptionState::Pending => Ok(Phase::Pending),
        SubscriptionState::Terminated => {
            Err(Error::State("a subscription ends by its own command"))
        }
    }
}
