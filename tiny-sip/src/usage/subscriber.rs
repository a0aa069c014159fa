//! A subscription of ours (RFC 6665 §4.1, §4.4): the SUBSCRIBE, its refreshes and its end, the NOTIFYs
//! that it brings and their answers, forks, Timer N, and what each reason for its end asks for.
//!
//! A dialog begins with a NOTIFY, never with the 2xx (§4.4.1). State is handed on, never read.

use crate::dialog::{self, Dialog, DialogKey, Parts, Usage};
use crate::endpoint::{
    AccountKey, Cause, Contact, Due, Endpoint, Error, Event, Fingerprint, Leg, Owner, Request,
    ServerKey, Subscribe, SubscriptionEvent, SubscriptionKey, SubscriptionState, Termination,
    check, event_id, same_event,
};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use std::time::{Duration, Instant};
use tiny_sak::TimerKey;

// A subscription that has lasted this long was a good one: what ends it counts anew.
const STEADY: Duration = Duration::from_secs(60);

/// A subscription of ours.
#[derive(Debug)]
pub(crate) struct Subscriber {
    account: AccountKey,
    spec: Box<Subscribe>,
    /// Of the latest NOTIFY; `None` before the first (notify_wait).
    state: Option<SubscriptionState>,
    dialog: Option<DialogKey>,
    /// Call-ID and tag of the SUBSCRIBE outside dialogs; `None` for a fork.
    print: Option<Fingerprint>,
    /// Until when NOTIFYs may begin dialogs.
    open_until: Instant,
    forks: usize,
    pub(crate) leg: Leg,
    running: bool,
    wanted: bool,
    /// It has been notified at least once, so that losing it is no refusal.
    seen: bool,
    /// Lifetime in the latest SUBSCRIBE, and its number.
    asked: u32,
    number: u32,
    born: Instant,
    ends: Instant,
    timer_n: Option<TimerKey>,
    next: Option<TimerKey>,
    brief: u8,
    failures: u32,
    /// Since when NOTIFYs are counted, how many, and whether one was refused.
    window: Instant,
    notified: u32,
    missed: bool,
}

/// What a subscription waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubTimer {
    /// A NOTIFY (§4.1.2.4).
    N,
    /// The next SUBSCRIBE.
    Next,
}

/// How a subscription ends.
struct End<'a> {
    reason: Option<Termination>,
    status: Option<u16>,
    text: &'a str,
    cause: Option<Cause>,
}

impl Subscriber {
    fn new(now: Instant, account: AccountKey, spec: Box<Subscribe>) -> Self {
        Self {
            account,
            asked: spec.expires,
            spec,
            state: None,
            dialog: None,
            print: None,
            open_until: now,
            forks: 0,
            leg: Leg::None,
            running: false,
            wanted: true,
            seen: false,
            number: 1,
            born: now,
            ends: now,
            timer_n: None,
            next: None,
            brief: 0,
            failures: 0,
            window: now,
            notified: 0,
            missed: false,
        }
    }

    fn is_fetch(&self) -> bool {
        self.spec.expires == 0
    }
}

impl Endpoint {
    /// Subscribes, and refreshes the subscription until `unsubscribe`. `Event::Subscription` tells
    /// what becomes of it.
    ///
    /// # Errors
    /// A stale account, a URI, event or header field that cannot be used, or a limit.
    pub fn subscribe(
        &mut self,
        now: Instant,
        account: AccountKey,
        spec: Subscribe,
    ) -> Result<SubscriptionKey, Error> {
        check(&spec.headers, spec.body.as_ref())?;
        check_event(&spec.event)?;
        for accept in &spec.accept {
            check(&[("Accept".to_owned(), accept.clone())], None)?;
        }
        if self.subscriptions.len() >= self.config.max_subscriptions {
            return Err(Error::Limit("max_subscriptions"));
        }
        self.room()?;
        let key = self.subscriptions.insert(Subscriber::new(now, account, Box::new(spec)));
        if let Err(error) = self.begin(now, key) {
            self.subscriptions.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Ends a subscription (§4.1.2.3). `Ended` follows once the notifier has said its last word, or
    /// Timer N is over. Doing it twice is no error.
    ///
    /// # Errors
    /// A stale key.
    pub fn unsubscribe(&mut self, now: Instant, key: SubscriptionKey) -> Result<(), Error> {
        let state = self.subscriptions.get_mut(key).ok_or(Error::Stale("subscription"))?;
        if !std::mem::take(&mut state.wanted) {
            return Ok(());
        }
        let (running, dialog) = (state.running, state.dialog.is_some());
        if dialog && !running {
            self.again(now, key, 0);
        } else if !running && state.timer_n.is_none() {
            // It rests before a new attempt: nobody has to be told.
            let end = End { reason: None, status: None, text: "unsubscribed", cause: None };
            self.end_subscription(now, key, &end, None);
        }
        Ok(())
    }

    /// Asks for the state now: refreshes a subscription before its time (§4.4.3), for instance after
    /// a change of network or a gap in the versions of partial state.
    ///
    /// # Errors
    /// A stale key, or a subscription that is not established.
    pub fn refresh_subscription(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
    ) -> Result<(), Error> {
        let state = self.subscriptions.get(key).ok_or(Error::Stale("subscription"))?;
        if state.dialog.is_none() || !state.wanted {
            return Err(Error::State("the subscription is not established"));
        }
        if !state.running {
            let expires = state.spec.expires;
            self.again(now, key, expires);
        }
        Ok(())
    }

    /// Whether a subscription is to go on.
    pub(crate) fn wants_subscription(&self, key: SubscriptionKey) -> bool {
        self.subscriptions.get(key).is_some_and(|state| state.wanted)
    }

    /// The network has changed: the notifier is told our new Contact (§4.1.2.2, a SUBSCRIBE refreshes
    /// the target), or asked anew where no dialog has begun.
    pub(crate) fn subscribe_anew(&mut self, now: Instant, key: SubscriptionKey) {
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        if !state.wanted || state.is_fetch() && state.dialog.is_some() {
            return;
        }
        let asking = std::mem::take(&mut state.running) || state.timer_n.is_some();
        let leg = std::mem::replace(&mut state.leg, Leg::None);
        let (dialog, expires) = (state.dialog.is_some(), state.spec.expires);
        if let Leg::Sent(client) = leg {
            self.remove_client(client);
        }
        self.drop_leg(leg);
        if dialog {
            self.again(now, key, expires);
        } else if asking {
            let _ = self.begin(now, key);
        }
    }

    /// The first SUBSCRIBE, outside dialogs: "a freshly generated Call-ID and a new, unique From tag".
    fn begin(&mut self, now: Instant, key: SubscriptionKey) -> Result<(), Error> {
        let Some(state) = self.subscriptions.get(key) else { return Ok(()) };
        let (account, to) = (state.account, state.spec.to.clone());
        let owner = Owner::Subscribe(key);
        let mut request = self.out_of_dialog(account, owner, Method::Subscribe, &to)?;
        let from = crate::header::NameAddr::parse(&request.from);
        let tag = from.as_ref().ok().and_then(|from| from.tag()).unwrap_or_default();
        let print = self.prints.of(&["u", &request.call_id, tag]);
        let patience = self.config.timers.patience();
        self.close_index(key);
        self.subscription_index.insert(print, key);
        let Some(state) = self.subscriptions.get_mut(key) else { return Ok(()) };
        state.print = Some(print);
        state.open_until = now + patience;
        state.born = now;
        state.number = 1;
        request.contact = Contact::Ours;
        let expires = state.spec.expires;
        self.send_subscribe(now, key, request, expires);
        Ok(())
    }

    /// A SUBSCRIBE inside the dialog.
    fn again(&mut self, now: Instant, key: SubscriptionKey, expires: u32) {
        let Some(state) = self.subscriptions.get(key) else { return };
        let (account, Some(dialog)) = (state.account, state.dialog) else { return };
        let account = self.accounts.contains_key(account).then_some(account);
        let owner = Owner::Subscribe(key);
        let Some(request) = self.in_dialog(dialog, owner, account, Method::Subscribe) else {
            return;
        };
        self.send_subscribe(now, key, request, expires);
    }

    fn send_subscribe(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        mut request: Box<Request>,
        expires: u32,
    ) {
        self.stop_subscription_timers(key);
        let patience = self.config.timers.patience();
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        let spec = &state.spec;
        let headers = &mut request.headers;
        headers.push(("Event".to_owned(), spec.event.clone()));
        headers.push(("Expires".to_owned(), expires.to_string()));
        let mut accept = spec.accept.join(", ");
        if spec.lists {
            // RFC 4662 §4.1, §4.3
            headers.push(("Supported".to_owned(), "eventlist".to_owned()));
            let comma = if accept.is_empty() { "" } else { ", " };
            accept = format!("{accept}{comma}multipart/related, application/rlmi+xml");
        }
        if !accept.is_empty() {
            headers.push(("Accept".to_owned(), accept));
        }
        headers.extend(spec.headers.iter().cloned());
        request.body.clone_from(&spec.body);
        state.asked = expires;
        state.running = true;
        state.leg = Leg::None;
        // §4.1.2.2, §4.1.2.4: the SUBSCRIBE is not done before a NOTIFY has come.
        let due = Due::Subscription(key, SubTimer::N);
        state.timer_n = Some(self.timers.insert(now + patience, due));
        self.start(now, request);
    }

    fn stop_subscription_timers(&mut self, key: SubscriptionKey) {
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        for timer in [state.timer_n.take(), state.next.take()].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }

    fn close_index(&mut self, key: SubscriptionKey) {
        let print = self.subscriptions.get_mut(key).and_then(|state| state.print.take());
        if let Some(print) = print
            && self.subscription_index.get(&print) == Some(&key)
        {
            self.subscription_index.remove(&print);
        }
    }

    /// A 2xx of a SUBSCRIBE.
    pub(crate) fn subscribe_accepted(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        status: u16,
        message: &Message,
    ) {
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        state.running = false;
        state.leg = Leg::None;
        state.brief = 0;
        state.number = message.cseq().map_or(1, |cseq| cseq.number);
        // "cannot be larger" than what was asked for (§4.1.2.1).
        let granted = message.expires().and_then(Result::ok).unwrap_or(state.asked);
        let expires = granted.min(state.asked);
        // What a NOTIFY said before counts (§4.1.3).
        if state.timer_n.is_some() {
            state.ends = now + Duration::from_secs(expires.into());
        }
        if status == 204
            && state.asked > 0
            && state.dialog.is_some()
            && let Some(timer) = state.timer_n.take()
        {
            // §4.1.2.2: no NOTIFY will come.
            self.timers.cancel(timer);
        }
        if let Some(dialog) = state.dialog.and_then(|key| self.dialogs.get_mut(key)) {
            dialog.refresh(message);
        }
        let (unwanted, asked, dialog) = (!state.wanted, state.asked, state.dialog.is_some());
        let event = SubscriptionEvent::Accepted { expires, response: message.clone() };
        self.event(Event::Subscription { subscription: key, event });
        if unwanted && asked > 0 && dialog {
            return self.again(now, key, 0);
        }
        self.schedule(now, key);
    }

    /// When the next SUBSCRIBE is due: well before the end, or when refused NOTIFYs are asked for.
    fn schedule(&mut self, now: Instant, key: SubscriptionKey) {
        let window = self.config.notify_window;
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        if state.running || !state.wanted || state.dialog.is_none() || state.timer_n.is_some() {
            return;
        }
        let left = state.ends.saturating_duration_since(now);
        let margin = (left / 10).max(Duration::from_secs(5)).min(left / 2);
        let mut at = now + (left - margin);
        if state.missed {
            at = at.min(state.window + window);
        }
        let timer = self.timers.insert(at, Due::Subscription(key, SubTimer::Next));
        if let Some(old) = state.next.replace(timer) {
            self.timers.cancel(old);
        }
    }

    /// A 3xx–6xx that credentials could not help.
    pub(crate) fn subscribe_refused(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        status: u16,
        message: &Message,
        cause: Cause,
    ) {
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        state.running = false;
        state.leg = Leg::None;
        if status == 423
            && let Some(Ok(min)) = message.min_expires()
            && state.wanted
            && state.brief < 2
            && min > state.asked
        {
            state.brief += 1;
            state.spec.expires = min;
            if state.dialog.is_some() {
                return self.again(now, key, min);
            }
            if self.begin(now, key).is_ok() {
                return;
            }
        }
        let after = message.retry_after().and_then(Result::ok);
        let after = after.map(|after| Duration::from_secs(after.seconds.into()));
        self.subscribe_lost(now, key, Some(status), message.reason(), cause, after);
    }

    /// No final response.
    pub(crate) fn subscribe_failed(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        cause: Cause,
        reason: &str,
    ) {
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        state.running = false;
        state.leg = Leg::None;
        self.subscribe_lost(now, key, None, reason, cause, None);
    }

    fn subscribe_lost(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        status: Option<u16>,
        text: &str,
        cause: Cause,
        after: Option<Duration>,
    ) {
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        let end = End { reason: None, status, text, cause: Some(cause) };
        let lasting = cause == Cause::Unauthorized
            || status.is_some_and(|s| is_final_for_usage(s) && s != 481)
            || matches!(status, Some(300..=403 | 406 | 407 | 600..=699));
        if state.dialog.is_some() {
            let over = cause == Cause::Unauthorized || status.is_some_and(is_final_for_usage);
            if !over && state.wanted {
                // "the original subscription is still considered valid for the duration of the most
                // recently known Expires value" (§4.1.2.2)
                let left = state.ends.saturating_duration_since(now);
                let pause = (left / 2).max(Duration::from_secs(1)).min(left);
                let pause = after.map_or(pause, |after| after.max(pause).min(left));
                let due = Due::Subscription(key, SubTimer::Next);
                let timers = [state.timer_n.take(), state.next.take()];
                state.next = Some(self.timers.insert(now + pause, due));
                for timer in timers.into_iter().flatten() {
                    self.timers.cancel(timer);
                }
                return;
            }
        }
        // What was refused at once stays refused; what was lost is sought again.
        let again = (state.seen && !lasting).then(|| self.pause(now, key, after));
        self.end_subscription(now, key, &end, again);
    }

    /// The pause before a new subscription: none the first time, unless the notifier asks for one.
    fn pause(&mut self, now: Instant, key: SubscriptionKey, after: Option<Duration>) -> Duration {
        let (first, longest) = (self.config.event_retry, self.config.register_retry_max);
        let jitter = 0.75 + self.rng.unit() / 2.0;
        let Some(state) = self.subscriptions.get_mut(key) else { return first };
        if state.state.is_some() && now.saturating_duration_since(state.born) >= STEADY {
            state.failures = 0;
        }
        let pause = match state.failures {
            0 if after.is_none() => Duration::ZERO,
            n => {
                first.saturating_mul(1 << n.saturating_sub(1).min(16)).min(longest).mul_f64(jitter)
            }
        };
        state.failures += 1;
        pause.max(after.unwrap_or_default())
    }

    pub(crate) fn subscription_due(&mut self, now: Instant, key: SubscriptionKey, timer: SubTimer) {
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        match timer {
            SubTimer::N => {
                state.timer_n = None;
                let cause = Some(Cause::Timeout);
                let end = End { reason: None, status: None, text: "no NOTIFY came", cause };
                let again = state.seen.then(|| self.pause(now, key, None));
                self.end_subscription(now, key, &end, again);
            }
            SubTimer::Next => {
                state.next = None;
                state.missed = false;
                if state.dialog.is_none() {
                    if let Err(error) = self.begin(now, key) {
                        let (text, cause) = (&*error.to_string(), Some(Cause::Network));
                        let end = End { reason: None, status: None, text, cause };
                        self.end_subscription(now, key, &end, None);
                    }
                } else if now >= state.ends {
                    let (reason, cause) = (Some(Termination::Timeout), Some(Cause::Network));
                    let end = End { reason, status: None, text: "it was not refreshed", cause };
                    let again = Some(self.pause(now, key, None));
                    self.end_subscription(now, key, &end, again);
                } else {
                    let expires = state.spec.expires;
                    self.again(now, key, expires);
                }
            }
        }
    }

    /// Ends a subscription, or lets it rest for a while before a new one.
    fn end_subscription(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        end: &End<'_>,
        again: Option<Duration>,
    ) {
        self.stop_subscription_timers(key);
        self.close_index(key);
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        let again = again.filter(|_| state.wanted && state.spec.expires > 0);
        let (leg, running) = (state.leg, std::mem::take(&mut state.running));
        if let Some(dialog) = state.dialog.take() {
            self.remove_dialog(dialog);
        }
        self.drop_leg(leg);
        match again {
            Some(pause) => {
                // A late response must not be taken for that of the next SUBSCRIBE.
                if let Leg::Sent(client) = leg
                    && running
                {
                    self.remove_client(client);
                }
                let due = Due::Subscription(key, SubTimer::Next);
                let timer = self.timers.insert(now + pause, due);
                if let Some(state) = self.subscriptions.get_mut(key) {
                    state.next = Some(timer);
                    state.state = None;
                    state.leg = Leg::None;
                }
            }
            None => {
                self.subscriptions.remove(key);
            }
        }
        let &End { reason, status, text, cause } = end;
        let text = text.to_owned();
        let event = SubscriptionEvent::Ended { reason, status, text, cause, retry_in: again };
        self.event(Event::Subscription { subscription: key, event });
    }

    /// A NOTIFY whose dialog is not known: it begins one where it fits a SUBSCRIBE of ours (§4.4.1).
    pub(crate) fn on_first_notify(
        &mut self,
        now: Instant,
        server: ServerKey,
        print: Fingerprint,
        request: Message,
    ) {
        let (_, to_tag) = dialog::tags(&request);
        let origin = self.prints.of(&["u", request.call_id().unwrap_or_default(), to_tag]);
        let Some(key) = self.subscription_index.get(&origin).copied() else {
            return self.respond_core(now, server, 481, &[]);
        };
        let max_forks = self.config.max_forks;
        let full = self.subscriptions.len() >= self.config.max_subscriptions;
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        if !same_event(request.header(H::Event).unwrap_or_default(), &state.spec.event) {
            return self.respond_core(now, server, 489, &[]);
        }
        let mut key = key;
        if state.dialog.is_some() {
            // §4.1.2.4: "After the expiration of Timer N … reject any such NOTIFY requests".
            let late = now >= state.open_until;
            if late || !state.spec.every_fork || !state.wanted || full || state.forks >= max_forks {
                return self.respond_core(now, server, 481, &[]);
            }
            state.forks += 1;
            let mut fork = Subscriber::new(now, state.account, state.spec.clone());
            fork.number = state.number;
            fork.ends = state.ends;
            let parent = key;
            key = self.subscriptions.insert(fork);
            let event = SubscriptionEvent::Forked { fork: key };
            self.event(Event::Subscription { subscription: parent, event });
        } else {
            // The SUBSCRIBE may not have been answered yet.
            let sent = match state.leg {
                Leg::Sent(client) => self.clients.get(client).and_then(|c| c.request.as_ref()),
                _ => None,
            };
            state.number = sent.map_or(state.number, |request| request.cseq.max(state.number));
            if state.ends <= now {
                state.ends = now + Duration::from_secs(state.asked.into());
            }
        }
        // "the route set at the subscriber is taken from the NOTIFY request itself"
        let routes = dialog::routes_of_request(&request);
        let target = dialog::target_of(&request, "");
        let parts = Parts {
            call_id: request.call_id().unwrap_or_default(),
            local: request.header(H::To).unwrap_or_default(),
            remote: request.header(H::From).unwrap_or_default(),
            target,
            routes: &routes,
        };
        let mut dialog = Dialog::new(print, Usage::Subscription(key), &parts);
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        dialog.local_cseq = state.number;
        dialog.remote_cseq = request.cseq().ok().map(|cseq| cseq.number);
        let dialog = self.dialogs.insert(dialog);
        self.dialog_index.insert(print, dialog);
        state.dialog = Some(dialog);
        self.in_subscription(now, server, key, Method::Notify, request);
    }

    /// A request inside the dialog of a subscription of ours.
    pub(crate) fn in_subscription(
        &mut self,
        now: Instant,
        server: ServerKey,
        key: SubscriptionKey,
        method: Method,
        request: Message,
    ) {
        let Some(state) = self.subscriptions.get(key) else {
            return self.respond_core(now, server, 481, &[]);
        };
        match method {
            Method::Notify => {}
            Method::Options if self.config.answer_options => {
                return self.answer_options(now, server);
            }
            _ => return self.respond_core(now, server, 481, &[]),
        }
        let lists: &[&str] = if state.spec.lists { &["eventlist"] } else { &[] };
        let dialog = state.dialog;
        let fine = same_event(request.header(H::Event).unwrap_or_default(), &state.spec.event);
        // A refused NOTIFY that would have begun the dialog begins none.
        let begun = state.state.is_some();
        if !self.accept_more_extensions(now, server, &request, lists)
            || !self.accept_body(now, server, &request)
        {
            return self.undo_dialog(now, key, begun);
        }
        let told = subscription_state(&request);
        let refusal = match (&told, fine) {
            (_, false) => Some(489),
            (None, _) => Some(400),
            (Some(told), _) => {
                let over = told.state == SubscriptionState::Terminated;
                (!over && dialog::target_of(&request, "").is_empty() && !begun).then_some(400)
            }
        };
        let (Some(told), None) = (told, refusal) else {
            self.respond_core(now, server, refusal.unwrap_or(400), &[]);
            return self.undo_dialog(now, key, begun);
        };
        if told.state != SubscriptionState::Terminated && !self.admit_notify(now, server, key) {
            return;
        }
        if let Some(dialog) = dialog.and_then(|key| self.dialogs.get_mut(key)) {
            dialog.refresh(&request);
        }
        // "MUST NOT wait for a user response" (§4.1.3)
        self.respond_core(now, server, 200, &[]);
        let Some(state) = self.subscriptions.get_mut(key) else { return };
        state.state = Some(told.state);
        state.seen = true;
        // Unsubscribing is done with the last NOTIFY only: until then Timer N goes on.
        let last = told.state == SubscriptionState::Terminated;
        if let Some(timer) = state.timer_n.take_if(|_| last || state.asked > 0) {
            self.timers.cancel(timer);
        }
        if let Some(expires) = told.expires
            && told.state != SubscriptionState::Terminated
        {
            state.ends = now + Duration::from_secs(expires.into());
        }
        let fetch = state.is_fetch();
        let leave = !state.running && !state.wanted && state.asked > 0;
        let event = SubscriptionEvent::Notified { state: told.state, request };
        self.event(Event::Subscription { subscription: key, event });
        if told.state == SubscriptionState::Terminated || fetch {
            return self.terminated(now, key, &told);
        }
        if leave {
            return self.again(now, key, 0);
        }
        self.schedule(now, key);
    }

    fn undo_dialog(&mut self, now: Instant, key: SubscriptionKey, begun: bool) {
        if begun {
            return;
        }
        let dialog = self.subscriptions.get_mut(key).and_then(|state| state.dialog.take());
        if let Some(dialog) = dialog {
            self.remove_dialog(dialog);
        }
        // A fork has nothing but its dialog.
        if self.subscriptions.get(key).is_some_and(|s| s.print.is_none() && s.timer_n.is_none()) {
            let end = End { reason: None, status: None, text: "bad NOTIFY", cause: None };
            self.end_subscription(now, key, &end, None);
        }
    }

    /// Whether another NOTIFY of this subscription may come now.
    fn admit_notify(&mut self, now: Instant, server: ServerKey, key: SubscriptionKey) -> bool {
        let (max, span) = (self.config.max_notify, self.config.notify_window);
        let Some(state) = self.subscriptions.get_mut(key) else { return false };
        if now >= state.window + span {
            (state.window, state.notified) = (now, 0);
        }
        if state.notified < max {
            state.notified += 1;
            return true;
        }
        state.missed = true;
        let wait = (state.window + span).saturating_duration_since(now).as_secs() + 1;
        self.counters.rejected_limit += 1;
        self.respond_core(now, server, 503, &[(H::RetryAfter, &wait.to_string())]);
        self.schedule(now, key);
        false
    }

    /// The notifier has ended the subscription: what its reason asks for (§4.1.3).
    fn terminated(&mut self, now: Instant, key: SubscriptionKey, told: &Told) {
        use Termination as T;
        let after = told.retry_after.map(|seconds| Duration::from_secs(seconds.into()));
        let later = Some(after.unwrap_or(self.config.event_retry));
        let wait = match told.reason {
            Some(T::Rejected | T::Noresource | T::Invariant) => None,
            // "retry immediately with a new subscription"; "MAY re-subscribe immediately"
            Some(T::Deactivated | T::Timeout) => Some(None),
            Some(T::Probation | T::Giveup) | None => Some(later),
        };
        let again = wait.map(|after| self.pause(now, key, after));
        let text = told.reason.map_or("the notifier ended it", T::as_str);
        let end = End { reason: told.reason, status: None, text, cause: None };
        self.end_subscription(now, key, &end, again);
    }
}

/// What Subscription-State says.
struct Told {
    state: SubscriptionState,
    expires: Option<u32>,
    reason: Option<Termination>,
    retry_after: Option<u32>,
}

/// §8.2.3; a word that is not known is taken for `active`, since something is there.
fn subscription_state(request: &Message) -> Option<Told> {
    let item = request.item(H::SubscriptionState)?.ok()?;
    let seconds = |name| crate::header::parse_seconds(item.param(name)?).ok();
    let state = match item.value {
        word if word.eq_ignore_ascii_case("terminated") => SubscriptionState::Terminated,
        word if word.eq_ignore_ascii_case("pending") => SubscriptionState::Pending,
        _ => SubscriptionState::Active,
    };
    Some(Told {
        state,
        expires: seconds("expires"),
        reason: item.param("reason").and_then(Termination::parse),
        retry_after: seconds("retry-after"),
    })
}

/// Responses that end the usage in which their request was sent (§4.1.2.2, §4.2.2).
pub(crate) fn is_final_for_usage(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

/// Refuses what is no value of Event.
pub(crate) fn check_event(event: &str) -> Result<(), Error> {
    check(&[("Event".to_owned(), event.to_owned())], None)?;
    if event_id(event).is_none() {
        let why = format!("{event:?} names no event package");
        return Err(Error::Header { name: "Event".to_owned(), why });
    }
    Ok(())
}
