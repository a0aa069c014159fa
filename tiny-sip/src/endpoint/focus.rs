//! Conferences of ours (RFC 4579): their names, the calls that take part, whose Contact is the
//! conference with `isfocus` (§5.1, §5.2), and who subscribes to them (RFC 4575). It mixes nothing and
//! decides on nobody.

use super::{CallKey, Endpoint, Owner, WatcherKey};
use crate::message::Message;
use crate::uri::Uri;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The event package of conferences (RFC 4575 §3.1).
pub(crate) const PACKAGE: &str = "conference";

/// What is known of conferences. Empty for agents that host none.
#[derive(Debug, Default)]
pub(crate) struct Focuses {
    names: HashSet<Arc<str>>,
    calls: HashMap<CallKey, Arc<str>>,
    watchers: HashMap<WatcherKey, Arc<str>>,
}

impl Endpoint {
    /// Opens a conference: `name` is the user part of its URI, the rest is where we are. Requests to
    /// it are taken for the account of the first call that takes part; a SUBSCRIBE for `conference`
    /// comes as [`WatcherEvent::Subscribe`](crate::WatcherEvent::Subscribe).
    pub fn open_conference(&mut self, name: &str) {
        self.focuses.names.insert(name.into());
        self.announce_packages();
    }

    /// Closes a conference. Its calls go on as ordinary ones; its watchers are the owner's to end.
    pub fn close_conference(&mut self, name: &str) {
        self.focuses.names.remove(name);
        self.focuses.calls.retain(|_, its| **its != *name);
        self.users.remove(name);
        self.announce_packages();
    }

    /// A call takes part in a conference, or in none: what Contact says from now on. A re-INVITE tells
    /// the peer of a call that is up.
    pub fn set_focus(&mut self, call: CallKey, name: Option<&str>) {
        let Some(name) = name.and_then(|name| self.focuses.names.get(name)).cloned() else {
            self.focuses.calls.remove(&call);
            return;
        };
        let Some(state) = self.calls.get(call) else { return };
        if let Some(account) = state.account {
            self.users.entry(name.to_string()).or_insert(account);
        }
        self.focuses.calls.insert(call, name);
    }

    /// The conference that a request is sent to.
    pub fn conference_called(&self, request: &Message) -> Option<&str> {
        if self.focuses.names.is_empty() {
            return None;
        }
        let uri = Uri::parse(request.request_uri()).ok()?;
        self.focuses.names.get(uri.user()?).map(|name| &**name)
    }

    /// The conference that a watcher asks about.
    pub fn conference_watched(&self, watcher: WatcherKey) -> Option<&str> {
        self.focuses.watchers.get(&watcher).map(|name| &**name)
    }

    /// The conference that a call of ours takes part in.
    pub(crate) fn focus_of(&self, call: CallKey) -> Option<&str> {
        self.focuses.calls.get(&call).map(|name| &**name)
    }

    /// The conference on whose behalf a request goes out.
    pub(crate) fn focus_of_owner(&self, owner: Owner) -> Option<&str> {
        match owner {
            Owner::Invite(call)
            | Owner::Reinvite(call)
            | Owner::Update(call)
            | Owner::Refer(call)
            | Owner::ReferNotify(call) => self.focus_of(call),
            Owner::Notify(watcher) => self.conference_watched(watcher),
            _ => None,
        }
    }

    pub(crate) fn watches_conference(&mut self, watcher: WatcherKey, request: &Message) {
        let Some(name) = self.conference_called(request) else { return };
        if let Some(name) = self.focuses.names.get(name).cloned() {
            self.focuses.watchers.insert(watcher, name);
        }
    }

    pub(crate) fn forget_focus(&mut self, call: CallKey) {
        self.focuses.calls.remove(&call);
    }

    pub(crate) fn forget_conference_watcher(&mut self, watcher: WatcherKey) {
        self.focuses.watchers.remove(&watcher);
    }

    /// Allow-Events lists the package as long as there is a conference (RFC 4579 §5.1).
    fn announce_packages(&mut self) {
        let mut packages: Vec<&str> =
            self.config.event_packages.iter().map(String::as_str).collect();
        if !self.focuses.names.is_empty() && !packages.contains(&PACKAGE) {
            packages.push(PACKAGE);
        }
        self.allow_events = packages.join(", ");
    }
}
