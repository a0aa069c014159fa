//! What goes into and comes out of subscriptions (RFC 6665) and publications (RFC 3903).

use super::{Cause, Headers};
use crate::endpoint::Body;
use crate::message::Message;
use std::time::Duration;
use tiny_sak::Flow;

slotmap::new_key_type! {
    /// Names a subscription of ours to somebody's state. Once [`SubscriptionEvent::Ended`] was given
    /// without `retry_in`, the key is stale.
    pub struct SubscriptionKey;
    /// Names a peer's subscription to our state. Once [`WatcherEvent::Ended`] was given, it is stale.
    pub struct WatcherKey;
    /// Names state of ours that an event state compositor holds.
    pub struct PublicationKey;
}

/// A subscription to make (RFC 6665 §4.1).
#[derive(Debug, Clone, Default)]
pub struct Subscribe {
    /// Whose state: a URI.
    pub to: String,
    /// Value of Event: the package and its parameters, for instance `presence`.
    pub event: String,
    /// Body types taken in notifications; empty leaves it to the package.
    pub accept: Vec<String>,
    /// Lifetime to ask for, in seconds; 0 fetches the state once (§4.4.3).
    pub expires: u32,
    /// Whether the state of a whole resource list may come (RFC 4662): announces `eventlist`.
    pub lists: bool,
    /// Whether each branch of a forked SUBSCRIBE becomes a subscription of its own
    /// ([`SubscriptionEvent::Forked`]). Otherwise the first one wins and others get 481, as
    /// presence (RFC 3856 §6.9) has it.
    pub every_fork: bool,
    /// Extra header fields.
    pub headers: Headers,
    /// Body of the SUBSCRIBE: a filter, for packages that have one.
    pub body: Option<Body>,
}

/// State to publish (RFC 3903 §4).
#[derive(Debug, Clone)]
pub struct Publish {
    /// Whose state; `None` for the account's own address of record.
    pub to: Option<String>,
    /// Value of Event.
    pub event: String,
    /// The state.
    pub body: Body,
    /// Lifetime to ask for, in seconds; at least 1.
    pub expires: u32,
    /// Extra header fields.
    pub headers: Headers,
}

/// Where a subscription stands (the values of Subscription-State).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubscriptionState {
    /// Accepted and authorized.
    Active,
    /// Nobody has decided yet.
    Pending,
    /// Over.
    Terminated,
}

impl SubscriptionState {
    /// `active`, `pending` or `terminated`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Terminated => "terminated",
        }
    }
}

/// Why a subscription ended, as its notifier says (RFC 6665 §4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Termination {
    /// Subscribe again, at once: another node takes over.
    Deactivated,
    /// Subscribe again, later.
    Probation,
    /// Not allowed any more.
    Rejected,
    /// It was not refreshed, or it was a fetch.
    Timeout,
    /// Nobody has decided in time.
    Giveup,
    /// What was watched is gone.
    Noresource,
    /// The state will not change.
    Invariant,
}

impl Termination {
    const ALL: [Self; 7] = [
        Self::Deactivated,
        Self::Probation,
        Self::Rejected,
        Self::Timeout,
        Self::Giveup,
        Self::Noresource,
        Self::Invariant,
    ];

    /// The word in Subscription-State.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Giveup => "giveup",
            Self::Noresource => "noresource",
            Self::Invariant => "invariant",
        }
    }

    /// Reads the word; `None` for one that is not known.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str().eq_ignore_ascii_case(text))
    }
}

/// Something about a subscription of ours.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// A 2xx: the notifier took the SUBSCRIBE, or a refresh.
    Accepted {
        /// Lifetime granted, in seconds.
        expires: u32,
        /// The 2xx.
        response: Message,
    },
    /// Another branch of a forked SUBSCRIBE notifies: this is its key.
    Forked {
        /// The new subscription.
        fork: SubscriptionKey,
    },
    /// A NOTIFY came; it is answered already.
    Notified {
        /// Where the subscription stands.
        state: SubscriptionState,
        /// The NOTIFY; its body, if any, is the state.
        request: Message,
    },
    /// The subscription is over.
    Ended {
        /// What the notifier said.
        reason: Option<Termination>,
        /// The status of a refused SUBSCRIBE.
        status: Option<u16>,
        /// One sentence.
        text: String,
        /// What kind of failure, where it was one.
        cause: Option<Cause>,
        /// When a new one will be tried; `None`: never, and the key is stale.
        retry_in: Option<Duration>,
    },
}

/// Something about a peer's subscription to our state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WatcherEvent {
    /// Somebody subscribes. Answer at once with `accept_subscription` or `reject_subscription`.
    Subscribe {
        /// The package, without parameters.
        package: String,
        /// Lifetime, as it will be granted, in seconds; 0 for a fetch.
        expires: u32,
        /// The SUBSCRIBE.
        request: Message,
        /// Where it came in.
        flow: Flow,
    },
    /// The watcher refreshed; it was notified of the state again.
    Refreshed {
        /// Lifetime granted, in seconds.
        expires: u32,
    },
    /// The subscription is over.
    Ended {
        /// Why, where a reason was or would have been told to the watcher.
        reason: Option<Termination>,
        /// The status of a refused NOTIFY.
        status: Option<u16>,
    },
}

/// Something about state that we publish.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PublicationEvent {
    /// The compositor holds our state (after each refresh, too).
    Published {
        /// Lifetime granted, in seconds.
        expires: u32,
        /// The 2xx.
        response: Message,
    },
    /// Publishing or refreshing failed.
    Failed {
        /// The status of the refusal.
        status: Option<u16>,
        /// One sentence.
        reason: String,
        /// What kind of failure.
        cause: Cause,
        /// When it will be tried again; `None`: never, and the key is stale.
        retry_in: Option<Duration>,
    },
    /// The state is removed; the key is stale.
    Removed,
}

/// The two parts of Event that count in comparisons (RFC 6665 §8.2.1): the package and its `id`.
pub(crate) fn event_id(value: &str) -> Option<(&str, &str)> {
    let item = crate::header::Item::parse(value).ok()?;
    (!item.value.is_empty()).then(|| (item.value, item.param("id").unwrap_or_default()))
}

/// Whether two Event values mean the same subscription: "event-type … is compared
/// byte-by-byte", and so is `id`.
pub(crate) fn same_event(a: &str, b: &str) -> bool {
    matches!((event_id(a), event_id(b)), (Some(a), Some(b)) if a == b)
}
