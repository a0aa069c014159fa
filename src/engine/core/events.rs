//! Subscriptions in both roles and publications, between the endpoint and their handles. The calls of
//! this agent are told to allowed watchers here, too (RFC 4235).

use super::{Core, cause_error, session, sip_error};
use crate::command::{Content, Reply};
use crate::events::{
    EventCommand, IncomingSubscription, Notification, PublicationInner, PublicationUpdate,
    SubscriptionInner, SubscriptionUpdate, WatcherInner,
};
use crate::media::MediaPlane;
use crate::{AccountId, Error, Event, SipMessage};
use std::collections::HashMap;
use std::time::Instant;
use tiny_sip::{
    AccountKey, PublicationEvent, PublicationKey, Publish, SubscriptionEvent, SubscriptionKey,
    SubscriptionState, WatcherEvent, WatcherKey,
};
use tokio::sync::{Mutex, mpsc, watch};

/// What the engine knows of events.
#[derive(Default)]
pub(super) struct Events {
    subscriptions: HashMap<SubscriptionKey, SubscriptionEntry>,
    /// Which subscription a further branch of a fork belongs to.
    forks: HashMap<SubscriptionKey, SubscriptionKey>,
    watchers: HashMap<WatcherKey, watch::Sender<()>>,
    publications: HashMap<PublicationKey, PublicationEntry>,
    pub(super) lamps: super::lamps::Lamps,
}

struct SubscriptionEntry {
    account: AccountKey,
    events: mpsc::Sender<SubscriptionUpdate>,
    /// Until the notifier has taken the subscription.
    waiting: Option<(Reply<SubscriptionInner>, mpsc::Receiver<SubscriptionUpdate>)>,
}

struct PublicationEntry {
    account: AccountKey,
    events: mpsc::Sender<PublicationUpdate>,
    waiting: Option<(Reply<PublicationInner>, mpsc::Receiver<PublicationUpdate>)>,
}

impl Events {
    pub(super) fn is_empty(&self) -> bool {
        self.subscriptions.is_empty() && self.publications.is_empty()
    }
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn event_command(&mut self, now: Instant, command: EventCommand) {
        use EventCommand as C;
        match command {
            C::Subscribe { account, spec, reply } => {
                let sent = match self.shutdown {
                    Some(_) => Err(Error::Ended("the agent")),
                    None => self.endpoint.subscribe(now, account, *spec).map_err(sip_error),
                };
                match sent {
                    Ok(key) => {
                        let (events, inbox) =
                            mpsc::channel(self.config.max_pending_call_events.max(2));
                        let waiting = Some((reply, inbox));
                        let entry = SubscriptionEntry { account, events, waiting };
                        self.noted.subscriptions.insert(key, entry);
                    }
                    Err(e) => drop(reply.send(Err(e))),
                }
            }
            C::Refresh { subscription, reply } => {
                let sent = self.endpoint.refresh_subscription(now, subscription);
                let _ = reply.send(sent.map_err(sip_error));
            }
            C::Unsubscribe { subscription } => self.unsubscribe(now, subscription),
            C::Accept { watcher, pending, body, reply } => {
                let state = match pending {
                    true => SubscriptionState::Pending,
                    false => SubscriptionState::Active,
                };
                let body = body.map(session::body);
                let taken = self.endpoint.accept_subscription(now, watcher, state, body);
                let handle = taken.map_err(sip_error).and_then(|()| {
                    let shared = self.shared.upgrade().ok_or(Error::Ended("the agent"))?;
                    let (end, alive) = watch::channel(());
                    self.noted.watchers.insert(watcher, end);
                    Ok(WatcherInner { shared, key: watcher, alive })
                });
                let _ = reply.send(handle);
            }
            C::Reject { watcher, status, headers } => {
                let result = self.endpoint.reject_subscription(now, watcher, status, headers);
                self.tolerate("reject subscription", result);
            }
            C::Notify { watcher, body, reply } => {
                let active = SubscriptionState::Active;
                let sent = self.endpoint.notify(now, watcher, active, body.map(session::body));
                let _ = reply.send(sent.map_err(sip_error));
            }
            C::Terminate { watcher, reason, retry_after } => {
                let ended = self.endpoint.terminate_subscription(now, watcher, reason, retry_after);
                self.tolerate("end subscription", ended);
            }
            C::Publish { account, publish, reply } => {
                let publish = *publish;
                let spec = Publish {
                    to: publish.to,
                    event: publish.event,
                    body: session::body(publish.body),
                    expires: publish.expires,
                    headers: publish.headers,
                };
                let sent = match self.shutdown {
                    Some(_) => Err(Error::Ended("the agent")),
                    None => self.endpoint.publish(now, account, spec).map_err(sip_error),
                };
                match sent {
                    Ok(key) => {
                        let (events, inbox) =
                            mpsc::channel(self.config.max_pending_call_events.max(2));
                        let waiting = Some((reply, inbox));
                        let entry = PublicationEntry { account, events, waiting };
                        self.noted.publications.insert(key, entry);
                    }
                    Err(e) => drop(reply.send(Err(e))),
                }
            }
            C::Update { publication, body, reply } => self.update(now, publication, body, reply),
            C::Unpublish { publication } => {
                let result = self.endpoint.unpublish(now, publication);
                self.tolerate("unpublish", result);
            }
        }
    }

    fn update(&mut self, now: Instant, key: PublicationKey, body: Content, reply: Reply<()>) {
        let sent = self.endpoint.update_publication(now, key, session::body(body));
        let _ = reply.send(sent.map_err(sip_error));
    }

    fn unsubscribe(&mut self, now: Instant, key: SubscriptionKey) {
        let forks = self.noted.forks.iter().filter(|(_, root)| **root == key);
        let all: Vec<_> = forks.map(|(fork, _)| *fork).chain([key]).collect();
        for key in all {
            let result = self.endpoint.unsubscribe(now, key);
            self.tolerate("unsubscribe", result);
        }
    }

    /// Ends what an account watches and publishes; true when there is nothing.
    pub(super) fn end_events_of(&mut self, now: Instant, account: AccountKey) -> bool {
        let watched: Vec<_> = self
            .noted
            .subscriptions
            .iter()
            .filter(|(_, e)| e.account == account)
            .map(|(key, _)| *key)
            .collect();
        let published: Vec<_> = self
            .noted
            .publications
            .iter()
            .filter(|(_, e)| e.account == account)
            .map(|(key, _)| *key)
            .collect();
        let none = watched.is_empty() && published.is_empty();
        watched.into_iter().for_each(|key| self.unsubscribe(now, key));
        for key in published {
            let result = self.endpoint.unpublish(now, key);
            self.tolerate("unpublish", result);
        }
        none
    }

    pub(super) fn subscription_event(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        event: SubscriptionEvent,
    ) {
        let root = self.noted.forks.get(&key).copied().unwrap_or(key);
        let fork = root != key;
        match event {
            SubscriptionEvent::Accepted { .. } => self.subscribed(now, root),
            SubscriptionEvent::Forked { fork } => {
                self.noted.forks.insert(fork, root);
            }
            SubscriptionEvent::Notified { state, request } => {
                self.subscribed(now, root);
                let update = SubscriptionUpdate::Notify(Notification { state, request });
                if let Some(entry) = self.noted.subscriptions.get(&root) {
                    entry.tell(update);
                }
            }
            SubscriptionEvent::Ended { reason, status, text, cause, retry_in } => {
                if fork {
                    if retry_in.is_none() {
                        self.noted.forks.remove(&key);
                    }
                    return;
                }
                let Some(entry) = self.noted.subscriptions.get_mut(&root) else { return };
                let refused = || match (status, cause) {
                    (Some(status), _) => {
                        Error::Peer { status, reason: text.clone(), response: None }
                    }
                    (None, Some(cause)) => cause_error(cause, text.clone()),
                    (None, None) => Error::State(text.clone()),
                };
                match entry.waiting.take() {
                    Some((reply, _)) => drop(reply.send(Err(refused()))),
                    None => {
                        let text = text.clone();
                        entry.tell(SubscriptionUpdate::Ended { reason, status, text, retry_in });
                    }
                }
                if retry_in.is_none() {
                    let account = entry.account;
                    self.noted.subscriptions.remove(&root);
                    self.event_over(now, account);
                }
            }
            _ => {}
        }
    }

    /// A NOTIFY that nobody has subscribed to, of a package that is taken all the same.
    pub(super) fn is_unsolicited(&self, request: &SipMessage) -> bool {
        let package = request.event().and_then(Result::ok);
        package.is_some_and(|event| {
            let mut all = self.config.sip.unsolicited_packages.iter();
            all.any(|taken| taken.eq_ignore_ascii_case(event.value))
        })
    }

    /// Tells the application of one; the status of the answer.
    pub(super) fn notified(&mut self, request: SipMessage) -> u16 {
        let account = self.endpoint.account_for(&request).map(AccountId);
        let Ok(place) = self.events.try_reserve() else { return 503 };
        // There is no subscription that could stand anywhere else.
        let state = SubscriptionState::Terminated;
        place.send(Event::Notified { account, notification: Notification { state, request } });
        200
    }

    /// The notifier has taken a subscription: the application gets its handle.
    fn subscribed(&mut self, now: Instant, key: SubscriptionKey) {
        let Some(entry) = self.noted.subscriptions.get_mut(&key) else { return };
        let Some((reply, inbox)) = entry.waiting.take() else { return };
        match self.shared.upgrade() {
            Some(shared) => {
                let inner = SubscriptionInner { shared, key, events: Mutex::new(inbox) };
                // A handle that nobody takes unsubscribes as it falls.
                let _ = reply.send(Ok(inner));
            }
            None => self.unsubscribe(now, key),
        }
    }

    pub(super) fn publication_event(
        &mut self,
        now: Instant,
        key: PublicationKey,
        event: PublicationEvent,
    ) {
        let Some(entry) = self.noted.publications.get_mut(&key) else { return };
        let (account, mut over) = (entry.account, false);
        match event {
            PublicationEvent::Published { expires, .. } => match entry.waiting.take() {
                Some((reply, inbox)) => match self.shared.upgrade() {
                    Some(shared) => {
                        let events = Mutex::new(inbox);
                        let _ = reply.send(Ok(PublicationInner { shared, key, events }));
                    }
                    None => {
                        let result = self.endpoint.unpublish(now, key);
                        self.tolerate("unpublish", result);
                    }
                },
                None => entry.tell(PublicationUpdate::Published { expires }),
            },
            PublicationEvent::Failed { status, reason, cause, retry_in } => {
                over = retry_in.is_none();
                match entry.waiting.take() {
                    Some((reply, _)) => {
                        let error = match status {
                            Some(status) => Error::Peer { status, reason, response: None },
                            None => cause_error(cause, reason),
                        };
                        let _ = reply.send(Err(error));
                        // Who waits for the first word does not wait for a second.
                        if !over {
                            let result = self.endpoint.unpublish(now, key);
                            self.tolerate("unpublish", result);
                        }
                    }
                    None => entry.tell(PublicationUpdate::Failed { status, reason, retry_in }),
                }
            }
            PublicationEvent::Removed => {
                over = true;
                entry.tell(PublicationUpdate::Removed);
            }
            _ => {}
        }
        if over {
            self.noted.publications.remove(&key);
            self.event_over(now, account);
        }
    }

    /// The last of an account's events may be what its removal waited for.
    fn event_over(&mut self, now: Instant, account: AccountKey) {
        if self.accounts.get(&account).is_some_and(|entry| entry.is_doomed()) {
            self.remove_account(now, account);
        }
    }

    pub(super) fn watcher_event(&mut self, now: Instant, key: WatcherKey, event: WatcherEvent) {
        match event {
            WatcherEvent::Subscribe { package, expires, request, .. } => {
                if package == "dialog" && self.may_watch_calls(&request) {
                    return self.watch_calls(now, key);
                }
                if self.watch_conference(now, key, &package, &request) {
                    return;
                }
                let offered = self.offer_subscription(key, package, expires, request);
                if let Err(status) = offered {
                    let headers = Vec::new();
                    let result = self.endpoint.reject_subscription(now, key, status, headers);
                    self.tolerate("reject subscription", result);
                }
            }
            WatcherEvent::Ended { .. } => {
                self.noted.watchers.remove(&key);
                self.noted.lamps.remove(key);
                self.conferences.forget_watcher(key);
            }
            _ => {}
        }
    }

    fn offer_subscription(
        &mut self,
        key: WatcherKey,
        package: String,
        expires: u32,
        request: SipMessage,
    ) -> Result<(), u16> {
        let shared = self.shared.upgrade().filter(|_| self.shutdown.is_none()).ok_or(480u16)?;
        let place = self.events.try_reserve().map_err(|_| 503u16)?;
        let account = self.endpoint.account_of_watcher(key).map(AccountId);
        place.send(Event::Subscription(IncomingSubscription {
            shared,
            key,
            account,
            package,
            expires,
            request,
            decided: false,
        }));
        Ok(())
    }
}

impl SubscriptionEntry {
    /// Hands an update to the application. The last place of the queue is kept for the end.
    fn tell(&self, update: SubscriptionUpdate) {
        let last = matches!(update, SubscriptionUpdate::Ended { retry_in: None, .. });
        if self.events.capacity() > 1 || last {
            let _ = self.events.try_send(update);
        } else {
            tracing::debug!("notification dropped, the application does not read them");
        }
    }
}

impl PublicationEntry {
    fn tell(&self, update: PublicationUpdate) {
        let last = matches!(update, PublicationUpdate::Removed);
        if self.events.capacity() > 1 || last {
            let _ = self.events.try_send(update);
        }
    }
}
