//! The calls of this agent as busy lamps (RFC 4235): those that [`Config::dialog_watchers`] allows are
//! told of each change, with the whole state each time. Never partial state, so that notifications
//! which are told together leave no gap.
//!
//! [`Config::dialog_watchers`]: crate::Config::dialog_watchers

use super::Core;
use crate::media::MediaPlane;
use crate::{CallState, SipMessage};
use std::collections::HashMap;
use std::time::Instant;
use tiny_sip::body::Extent;
use tiny_sip::body::dialog_info::{CONTENT_TYPE, Dialog, DialogInfo, Direction, Identity, State};
use tiny_sip::{AccountKey, Body, SubscriptionState, Uri, WatcherKey};

/// Who watches calls.
#[derive(Default)]
pub(super) struct Lamps(HashMap<WatcherKey, Lamp>);

struct Lamp {
    account: AccountKey,
    /// What was told last, and how many times something was.
    dialogs: Vec<Dialog>,
    version: u32,
}

impl Lamps {
    pub(super) fn remove(&mut self, key: WatcherKey) {
        self.0.remove(&key);
    }
}

impl<P: MediaPlane> Core<P> {
    /// Whether whoever sent a SUBSCRIBE for `dialog` is allowed to see calls without being asked.
    pub(super) fn may_watch_calls(&self, request: &SipMessage) -> bool {
        let Ok(from) = request.from() else { return false };
        self.config.dialog_watchers.iter().any(|allowed| {
            allowed == "*" || Uri::parse(allowed).is_ok_and(|uri| uri.is_equivalent(&from.uri))
        })
    }

    pub(super) fn watch_calls(&mut self, now: Instant, key: WatcherKey) {
        let Some(account) = self.endpoint.account_of_watcher(key) else {
            let result = self.endpoint.reject_subscription(now, key, 404, Vec::new());
            return self.tolerate("reject subscription", result);
        };
        let dialogs = self.dialogs_of(account);
        let body = self.dialog_info(account, 0, &dialogs);
        let active = SubscriptionState::Active;
        match self.endpoint.accept_subscription(now, key, active, Some(body)) {
            Ok(()) => {
                self.noted.lamps.0.insert(key, Lamp { account, dialogs, version: 0 });
            }
            Err(e) => tracing::debug!("accept subscription: {e}"),
        }
    }

    /// Tells the watchers what has changed; true when something was told.
    pub(super) fn light_lamps(&mut self, now: Instant) -> bool {
        if self.noted.lamps.0.is_empty() {
            return false;
        }
        let mut told = false;
        let mut lamps = std::mem::take(&mut self.noted.lamps.0);
        for (key, lamp) in &mut lamps {
            let dialogs = self.dialogs_of(lamp.account);
            if dialogs == lamp.dialogs {
                continue;
            }
            lamp.version += 1;
            let body = self.dialog_info(lamp.account, lamp.version, &dialogs);
            lamp.dialogs = dialogs;
            let active = SubscriptionState::Active;
            let result = self.endpoint.notify(now, *key, active, Some(body));
            self.tolerate("notify", result);
            told = true;
        }
        self.noted.lamps.0 = lamps;
        told
    }

    fn dialog_info(&self, account: AccountKey, version: u32, dialogs: &[Dialog]) -> Body {
        let entity = self.accounts.get(&account).map_or("", |entry| &entry.spec.aor).to_owned();
        let info = DialogInfo { version, extent: Extent::Full, entity, dialogs: dialogs.to_vec() };
        Body::new(CONTENT_TYPE, info.to_body())
    }

    fn dialogs_of(&self, account: AccountKey) -> Vec<Dialog> {
        let mut dialogs: Vec<_> = self
            .calls
            .iter()
            .filter(|(key, _)| self.endpoint.account_of(**key) == Some(account))
            .filter_map(|(key, entry)| {
                let about = self.endpoint.describe(*key)?;
                let state = match entry.state() {
                    CallState::Ended(_) => return None,
                    CallState::Established { .. } => State::Confirmed,
                    _ if !about.caller => State::Early,
                    CallState::Dialing { ringing: true } => State::Early,
                    _ => State::Trying,
                };
                let mut dialog = Dialog {
                    id: about.local_tag.clone(),
                    call_id: Some(about.call_id),
                    local_tag: Some(about.local_tag).filter(|tag| !tag.is_empty()),
                    remote_tag: Some(about.remote_tag).filter(|tag| !tag.is_empty()),
                    direction: Some(match about.caller {
                        true => Direction::Initiator,
                        false => Direction::Recipient,
                    }),
                    state,
                    ..Dialog::default()
                };
                let (uri, display) = (about.remote, about.display);
                dialog.remote.identities.push(Identity { uri, display });
                Some(dialog)
            })
            .collect();
        dialogs.sort_by(|a, b| a.id.cmp(&b.id));
        dialogs
    }
}
