//! State of others, and our own for others: subscriptions in both roles (RFC 6665) and publications
//! (RFC 3903). Handles only; what happens is decided in the engine.

use crate::account::{Account, check_uri};
use crate::agent::Shared;
use crate::command::{Command, Content, Headers, Reply};
use crate::{AccountId, Error, SipMessage};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tiny_sip::body::{
    BodyError, Limits, conference_info::ConferenceInfo, dialog_info::DialogInfo,
    message_summary::MessageSummary, pidf::Presence, reginfo::RegInfo, rlmi::Aggregate,
    watcherinfo::WatcherInfo,
};
use tiny_sip::{
    AccountKey, HeaderName, PublicationKey, Subscribe, SubscriptionKey, SubscriptionState,
    Termination, WatcherKey,
};
use tokio::sync::{Mutex, mpsc};

/// What handles of events say to the engine.
#[derive(Debug)]
pub(crate) enum EventCommand {
    Subscribe { account: AccountKey, spec: Box<Subscribe>, reply: Reply<SubscriptionInner> },
    Refresh { subscription: SubscriptionKey, reply: Reply<()> },
    Unsubscribe { subscription: SubscriptionKey },
    Accept { watcher: WatcherKey, pending: bool, body: Option<Content>, reply: Reply<WatcherInner> },
    Reject { watcher: WatcherKey, status: u16, headers: Headers },
    Notify { watcher: WatcherKey, body: Option<Content>, reply: Reply<()> },
    Terminate { watcher: WatcherKey, reason: Termination, retry_after: Option<u32> },
    Publish { account: AccountKey, publish: Box<PublishSpec>, reply: Reply<PublicationInner> },
    Update { publication: PublicationKey, body: Content, reply: Reply<()> },
    Unpublish { publication: PublicationKey },
}

#[derive(Debug)]
pub(crate) struct PublishSpec {
    pub(crate) to: Option<String>,
    pub(crate) event: String,
    pub(crate) body: Content,
    pub(crate) expires: u32,
    pub(crate) headers: Headers,
}

/// A subscription being prepared; await it. From [`Account::subscribe`].
#[derive(Debug)]
#[must_use]
pub struct SubscribeBuilder {
    account: Account,
    spec: Box<Subscribe>,
}

impl SubscribeBuilder {
    /// Adds a body type to take. Without any, what is usual for the package is asked for.
    pub fn accept(mut self, content_type: impl Into<String>) -> Self {
        self.spec.accept.push(content_type.into());
        self
    }

    /// How long to ask for; default one hour. It is refreshed before that. Zero fetches the state
    /// once.
    pub fn expires(mut self, span: Duration) -> Self {
        self.spec.expires = span.as_secs().min(u64::from(u32::MAX)) as u32;
        self
    }

    /// Takes the state of whole resource lists, too (RFC 4662).
    pub fn lists(mut self) -> Self {
        self.spec.lists = true;
        self
    }

    /// Whether every device that a forked SUBSCRIBE reaches is watched, or the first alone. Default:
    /// every one for `dialog`, the first for all other packages.
    pub fn every_fork(mut self, on: bool) -> Self {
        self.spec.every_fork = on;
        self
    }

    /// Adds a header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.headers.push((name.into(), value.into()));
        self
    }

    /// Sets a body: a filter, for packages that have one.
    pub fn body(mut self, content_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.spec.body = Some(tiny_sip::Body::new(content_type, data.into()));
        self
    }
}

impl IntoFuture for SubscribeBuilder {
    type Output = Result<Subscription, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { account, mut spec } = self;
            check_uri("subscription target", &spec.to)?;
            if spec.accept.is_empty() {
                spec.accept = usual_types(&spec.event).iter().map(|&t| t.to_owned()).collect();
            }
            let key = account.key();
            let commands = &account.shared().commands;
            let ask =
                |reply| Command::Events(EventCommand::Subscribe { account: key, spec, reply });
            let inner = commands.ask(ask).await?;
            Ok(Subscription { inner: Arc::new(inner), _account: account })
        })
    }
}

/// The body types of the packages that this build can read.
fn usual_types(event: &str) -> &'static [&'static str] {
    match event.split(';').next().unwrap_or_default().trim() {
        "presence" => &["application/pidf+xml"],
        "presence.winfo" => &["application/watcherinfo+xml"],
        "message-summary" => &["application/simple-message-summary"],
        "dialog" => &["application/dialog-info+xml"],
        "conference" => &["application/conference-info+xml"],
        "reg" => &["application/reginfo+xml"],
        _ => &[],
    }
}

/// Something about a subscription; read with [`Subscription::next_event`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SubscriptionUpdate {
    /// The notifier tells the state.
    Notify(Notification),
    /// The subscription is over. With `retry_in` a new one will be tried and goes on under this
    /// handle.
    Ended {
        /// What the notifier said.
        reason: Option<Termination>,
        /// The status of a refused SUBSCRIBE.
        status: Option<u16>,
        /// One sentence.
        text: String,
        /// When a new one will be tried.
        retry_in: Option<Duration>,
    },
}

/// What a NOTIFY told.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Where the subscription stands.
    pub state: SubscriptionState,
    /// The NOTIFY. Each branch of a fork has a From tag of its own.
    pub request: SipMessage,
}

/// The state in a notification, as far as its type is known.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Document {
    /// Presence (RFC 3863, RFC 4480).
    Presence(Box<Presence>),
    /// Who watches somebody (RFC 3858).
    Watchers(Box<WatcherInfo>),
    /// Messages waiting (RFC 3842).
    MessageSummary(Box<MessageSummary>),
    /// Calls of somebody (RFC 4235).
    Dialogs(Box<DialogInfo>),
    /// A conference (RFC 4575).
    Conference(Box<ConferenceInfo>),
    /// Registrations (RFC 3680).
    Registrations(Box<RegInfo>),
    /// A resource list with the state of its members (RFC 4662).
    List(Box<Aggregate>),
    /// Another type: read the body of the request.
    Other,
}

impl Notification {
    /// The value of Content-Type without parameters; `None` without a body.
    pub fn content_type(&self) -> Option<String> {
        let kind = self.request.content_type()?.ok()?;
        (!self.request.body().is_empty())
            .then(|| format!("{}/{}", kind.kind, kind.subtype).to_ascii_lowercase())
    }

    /// Reads the state; `None` without a body.
    ///
    /// # Errors
    /// A body that is not what its type says, or exceeds the default [`Limits`].
    pub fn document(&self) -> Result<Option<Document>, BodyError> {
        let Some(kind) = self.content_type() else { return Ok(None) };
        let (body, limits) = (self.request.body(), &Limits::default());
        Ok(Some(match kind.as_str() {
            "application/pidf+xml" => Document::Presence(Box::new(Presence::parse(body, limits)?)),
            "application/watcherinfo+xml" => {
                Document::Watchers(Box::new(WatcherInfo::parse(body, limits)?))
            }
            "application/simple-message-summary" => {
                Document::MessageSummary(Box::new(MessageSummary::parse(body, limits)?))
            }
            "application/dialog-info+xml" => {
                Document::Dialogs(Box::new(DialogInfo::parse(body, limits)?))
            }
            "application/conference-info+xml" => {
                Document::Conference(Box::new(ConferenceInfo::parse(body, limits)?))
            }
            "application/reginfo+xml" => {
                Document::Registrations(Box::new(RegInfo::parse(body, limits)?))
            }
            "multipart/related" => {
                let kind = self.request.header(HeaderName::ContentType).unwrap_or_default();
                let body = bytes::Bytes::copy_from_slice(body);
                Document::List(Box::new(Aggregate::parse(kind, &body, limits)?))
            }
            _ => Document::Other,
        }))
    }
}

#[derive(Debug)]
pub(crate) struct SubscriptionInner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: SubscriptionKey,
    pub(crate) events: Mutex<mpsc::Receiver<SubscriptionUpdate>>,
}

impl Drop for SubscriptionInner {
    fn drop(&mut self) {
        let unsubscribe = EventCommand::Unsubscribe { subscription: self.key };
        self.shared.commands.tell(Command::Events(unsubscribe));
    }
}

/// A subscription to somebody's state. It is refreshed, and made anew when it is lost; dropping the
/// last handle unsubscribes.
#[derive(Debug, Clone)]
pub struct Subscription {
    inner: Arc<SubscriptionInner>,
    _account: Account,
}

impl Subscription {
    /// The next thing that happens; `None` once it is over for good.
    pub async fn next_event(&self) -> Option<SubscriptionUpdate> {
        self.inner.events.lock().await.recv().await
    }

    /// Asks for the whole state now, for instance after a gap in the versions of partial state.
    ///
    /// # Errors
    /// [`Error::State`] while there is no subscription to refresh, [`Error::Ended`] when it is over.
    pub async fn refresh(&self) -> Result<(), Error> {
        let subscription = self.inner.key;
        let ask = |reply| Command::Events(EventCommand::Refresh { subscription, reply });
        self.inner.shared.commands.ask(ask).await
    }

    /// Unsubscribes; the last notification and the end are still told.
    pub fn unsubscribe(&self) {
        let unsubscribe = EventCommand::Unsubscribe { subscription: self.inner.key };
        self.inner.shared.commands.tell(Command::Events(unsubscribe));
    }
}

/// Somebody subscribes to our state. Answer at once: its SUBSCRIBE waits. To let a person decide,
/// take it as [`pending`](Self::pending). Dropped without a word it is refused with 403.
#[derive(Debug)]
pub struct IncomingSubscription {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: WatcherKey,
    pub(crate) account: Option<AccountId>,
    pub(crate) package: String,
    pub(crate) expires: u32,
    pub(crate) request: SipMessage,
    pub(crate) decided: bool,
}

impl IncomingSubscription {
    /// Whose state is asked for.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The watcher's URI, from From: as true as whoever let the request through made sure.
    pub fn from(&self) -> String {
        self.request.from().map(|from| from.uri.as_str().to_owned()).unwrap_or_default()
    }

    /// The event package.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// Seconds that it will last unless refreshed; zero for a single answer.
    pub fn expires(&self) -> u32 {
        self.expires
    }

    /// The SUBSCRIBE.
    pub fn request(&self) -> &SipMessage {
        &self.request
    }

    /// Takes it and tells the state.
    ///
    /// # Errors
    /// [`Error::Ended`] when the watcher has given up, [`Error::Config`] for a body that cannot be
    /// sent.
    pub async fn accept(
        self,
        content_type: &str,
        data: impl Into<Vec<u8>>,
    ) -> Result<Watcher, Error> {
        let body = Content { content_type: content_type.to_owned(), data: data.into() };
        self.decide(false, Some(body)).await
    }

    /// Takes it and tells nothing yet: somebody has to decide.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn pending(self) -> Result<Watcher, Error> {
        self.decide(true, None).await
    }

    async fn decide(mut self, pending: bool, body: Option<Content>) -> Result<Watcher, Error> {
        self.decided = true;
        let watcher = self.key;
        let ask = |reply| Command::Events(EventCommand::Accept { watcher, pending, body, reply });
        let inner = self.shared.commands.ask(ask).await?;
        Ok(Watcher { inner: Arc::new(inner) })
    }

    /// Refuses it with 300 to 699: 403 or 603 for one who may not.
    pub fn reject(mut self, status: u16, headers: Vec<(String, String)>) {
        self.decided = true;
        self.refuse(if (300..700).contains(&status) { status } else { 403 }, headers);
    }

    fn refuse(&self, status: u16, headers: Headers) {
        let reject = EventCommand::Reject { watcher: self.key, status, headers };
        self.shared.commands.tell(Command::Events(reject));
    }
}

impl Drop for IncomingSubscription {
    fn drop(&mut self) {
        if !self.decided {
            self.refuse(403, Vec::new());
        }
    }
}

#[derive(Debug)]
pub(crate) struct WatcherInner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: WatcherKey,
    /// Closed by the engine when the subscription is over.
    pub(crate) alive: tokio::sync::watch::Receiver<()>,
}

impl Drop for WatcherInner {
    fn drop(&mut self) {
        let (reason, retry_after) = (Termination::Noresource, None);
        let terminate = EventCommand::Terminate { watcher: self.key, reason, retry_after };
        self.shared.commands.tell(Command::Events(terminate));
    }
}

/// Somebody who watches our state. Dropping the last handle ends the subscription (`noresource`).
#[derive(Debug, Clone)]
pub struct Watcher {
    inner: Arc<WatcherInner>,
}

impl Watcher {
    /// Tells new state; a pending watcher becomes active. Changes in quick succession are told
    /// together, the latest only ([`tiny_sip::Config::notify_interval`]).
    ///
    /// # Errors
    /// [`Error::Ended`] when the watcher is gone, [`Error::Config`] for a body that cannot be sent.
    pub async fn notify(&self, content_type: &str, data: impl Into<Vec<u8>>) -> Result<(), Error> {
        let body = Content { content_type: content_type.to_owned(), data: data.into() };
        let watcher = self.inner.key;
        let ask =
            |reply| Command::Events(EventCommand::Notify { watcher, body: Some(body), reply });
        self.inner.shared.commands.ask(ask).await
    }

    /// Ends the subscription with a reason (RFC 6665 §4.1.3), and for `probation` and `giveup` with
    /// the seconds after which to try again.
    pub fn terminate(&self, reason: Termination, retry_after: Option<u32>) {
        let terminate = EventCommand::Terminate { watcher: self.inner.key, reason, retry_after };
        self.inner.shared.commands.tell(Command::Events(terminate));
    }

    /// Waits until the subscription is over.
    pub async fn ended(&self) {
        let mut alive = self.inner.alive.clone();
        while alive.changed().await.is_ok() {}
    }
}

/// Something about a publication; read with [`Publication::next_event`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PublicationUpdate {
    /// The server holds the state.
    Published {
        /// For how many seconds, unless refreshed.
        expires: u32,
    },
    /// Publishing or refreshing failed.
    Failed {
        /// The server's status.
        status: Option<u16>,
        /// Why.
        reason: String,
        /// When it is tried again; `None` when it is over.
        retry_in: Option<Duration>,
    },
    /// The state is removed.
    Removed,
}

#[derive(Debug)]
pub(crate) struct PublicationInner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: PublicationKey,
    pub(crate) events: Mutex<mpsc::Receiver<PublicationUpdate>>,
}

impl Drop for PublicationInner {
    fn drop(&mut self) {
        let unpublish = EventCommand::Unpublish { publication: self.key };
        self.shared.commands.tell(Command::Events(unpublish));
    }
}

/// State of ours that a server holds for others. It is refreshed; dropping the last handle removes it.
#[derive(Debug, Clone)]
pub struct Publication {
    inner: Arc<PublicationInner>,
    _account: Account,
}

impl Publication {
    /// Replaces the state.
    ///
    /// # Errors
    /// [`Error::Ended`] when it is over, [`Error::Config`] for a body that cannot be sent. What the
    /// server says comes as an event.
    pub async fn update(&self, content_type: &str, data: impl Into<Vec<u8>>) -> Result<(), Error> {
        let publication = self.inner.key;
        let body = Content { content_type: content_type.to_owned(), data: data.into() };
        let ask = |reply| Command::Events(EventCommand::Update { publication, body, reply });
        self.inner.shared.commands.ask(ask).await
    }

    /// Removes the state; [`PublicationUpdate::Removed`] follows.
    pub fn remove(&self) {
        let unpublish = EventCommand::Unpublish { publication: self.inner.key };
        self.inner.shared.commands.tell(Command::Events(unpublish));
    }

    /// The next thing that happens; `None` once it is over for good.
    pub async fn next_event(&self) -> Option<PublicationUpdate> {
        self.inner.events.lock().await.recv().await
    }
}

impl Account {
    /// Prepares a subscription to somebody's state: `presence`, `message-summary`, `dialog`,
    /// `conference`, `reg` or any other package. Done when the notifier has taken it.
    pub fn subscribe(&self, event: &str, uri: &str) -> SubscribeBuilder {
        let package = event.split(';').next().unwrap_or_default().trim();
        let spec = Subscribe {
            to: uri.to_owned(),
            event: event.to_owned(),
            expires: 3600,
            every_fork: package == "dialog",
            ..Subscribe::default()
        };
        SubscribeBuilder { account: self.clone(), spec: Box::new(spec) }
    }

    /// Publishes state of this account (RFC 3903) and waits until the server has taken it. It lasts
    /// an hour at a time, and is refreshed.
    ///
    /// # Errors
    /// [`Error::Peer`] with the server's status, [`Error::Timeout`] or [`Error::Network`].
    pub async fn publish(
        &self,
        event: &str,
        content_type: &str,
        data: impl Into<Vec<u8>>,
    ) -> Result<Publication, Error> {
        let publish = Box::new(PublishSpec {
            to: None,
            event: event.to_owned(),
            body: Content { content_type: content_type.to_owned(), data: data.into() },
            expires: 3600,
            headers: Vec::new(),
        });
        let account = self.key();
        let ask = |reply| Command::Events(EventCommand::Publish { account, publish, reply });
        let inner = self.shared().commands.ask(ask).await?;
        Ok(Publication { inner: Arc::new(inner), _account: self.clone() })
    }

    /// Publishes presence (RFC 3856): what those who watch this account see.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_presence(&self, presence: &Presence) -> Result<Publication, Error> {
        self.publish("presence", "application/pidf+xml", presence.to_body()).await
    }
}
