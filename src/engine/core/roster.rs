//! Who watches our conferences (RFC 4575): those who take part and those whom
//! [`Config::conference_watchers`] allows are told who is there, with the whole state each time, no
//! faster than [`Config::conference_notify_interval`]. Never partial state, so that changes which are
//! told together leave no gap.
//!
//! [`Config::conference_watchers`]: crate::Config::conference_watchers
//! [`Config::conference_notify_interval`]: crate::Config::conference_notify_interval

use super::Core;
use super::conference::{Conferences, Hosted};
use crate::conference::ConferenceId;
use crate::media::MediaPlane;
use crate::{CallState, SipMessage};
use std::collections::HashMap;
use std::time::Instant;
use tiny_sip::body::conference_info::{
    CONTENT_TYPE, Change, ConferenceInfo, ConferenceState, Description, Endpoint, Media, User,
};
use tiny_sip::{Body, SubscriptionState, Termination, Uri, WatcherKey};

/// Who watches.
#[derive(Default)]
pub(super) struct Roster {
    watchers: HashMap<WatcherKey, Watch>,
    /// When there is something to tell that was too soon.
    due: Option<Instant>,
}

struct Watch {
    conference: ConferenceId,
    /// The conference as the watcher calls it.
    entity: String,
    /// What was told last, when, and how many times something was.
    told: ConferenceInfo,
    at: Instant,
    version: u32,
}

impl Conferences {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.roster.due
    }

    pub(super) fn forget_watcher(&mut self, key: WatcherKey) {
        self.roster.watchers.remove(&key);
    }
}

impl<P: MediaPlane> Core<P> {
    /// A SUBSCRIBE for a conference of ours; false when the application has to decide.
    pub(super) fn watch_conference(
        &mut self,
        now: Instant,
        key: WatcherKey,
        package: &str,
        request: &SipMessage,
    ) -> bool {
        if package != "conference" {
            return false;
        }
        let Some(name) = self.endpoint.conference_watched(key) else { return false };
        let mut open = self.conferences.open.iter();
        let Some((id, hosted)) = open.find(|(_, hosted)| hosted.name == name) else { return false };
        if !self.may_watch(hosted, request) {
            return false;
        }
        let (conference, entity) = (*id, request.request_uri().to_owned());
        let told = self.conference_info(hosted, &entity);
        let body = Body::new(CONTENT_TYPE, told.to_body());
        let active = SubscriptionState::Active;
        match self.endpoint.accept_subscription(now, key, active, Some(body)) {
            Ok(()) => {
                let watch = Watch { conference, entity, told, at: now, version: 0 };
                self.conferences.roster.watchers.insert(key, watch);
            }
            Err(e) => tracing::debug!("accept subscription: {e}"),
        }
        true
    }

    /// "all users in the conference [should] be allowed to subscribe" (§3.5)
    fn may_watch(&self, hosted: &Hosted, request: &SipMessage) -> bool {
        let Ok(from) = request.from() else { return false };
        let same = |uri: &str| Uri::parse(uri).is_ok_and(|uri| uri.is_equivalent(&from.uri));
        let takes_part = || {
            let calls = hosted.members.iter().map(|member| member.call);
            calls.filter_map(|call| self.endpoint.describe(call)).any(|about| same(&about.remote))
        };
        self.config.conference_watchers.iter().any(|allowed| allowed == "*" || same(allowed))
            || takes_part()
    }

    /// Tells watchers what has changed; true when something was told.
    pub(super) fn tell_conferences(&mut self, now: Instant) -> bool {
        self.conferences.roster.due = None;
        if self.conferences.roster.watchers.is_empty() {
            return false;
        }
        let mut told = false;
        let mut watchers = std::mem::take(&mut self.conferences.roster.watchers);
        for (key, watch) in &mut watchers {
            let Some(hosted) = self.conferences.open.get(&watch.conference) else { continue };
            let mut info = self.conference_info(hosted, &watch.entity);
            info.version = watch.version;
            if info == watch.told {
                continue;
            }
            let due = watch.at + self.config.conference_notify_interval;
            if now < due {
                let earliest = self.conferences.roster.due.map_or(due, |other| other.min(due));
                self.conferences.roster.due = Some(earliest);
                continue;
            }
            watch.version += 1;
            info.version = watch.version;
            let body = Body::new(CONTENT_TYPE, info.to_body());
            (watch.told, watch.at) = (info, now);
            let active = SubscriptionState::Active;
            let result = self.endpoint.notify(now, *key, active, Some(body));
            self.tolerate("notify", result);
            told = true;
        }
        self.conferences.roster.watchers = watchers;
        told
    }

    /// A conference is over: "terminated, with a reason of noresource" (§3.3).
    pub(super) fn end_watchers(&mut self, now: Instant, conference: ConferenceId) {
        let watchers = std::mem::take(&mut self.conferences.roster.watchers);
        let (over, others) =
            watchers.into_iter().partition(|(_, watch)| watch.conference == conference);
        self.conferences.roster.watchers = others;
        let over: HashMap<WatcherKey, Watch> = over;
        for (key, watch) in over {
            let info = ConferenceInfo {
                entity: watch.entity,
                change: Change::Deleted,
                version: watch.version + 1,
                users_change: Change::Partial,
                ..ConferenceInfo::default()
            };
            let body = Some(Body::new(CONTENT_TYPE, info.to_body()));
            let told = self.endpoint.notify(now, key, SubscriptionState::Active, body);
            self.tolerate("notify", told);
            let why = Termination::Noresource;
            let ended = self.endpoint.terminate_subscription(now, key, why, None);
            self.tolerate("end subscription", ended);
        }
    }

    fn conference_info(&self, hosted: &Hosted, entity: &str) -> ConferenceInfo {
        let aor = hosted.account.and_then(|key| self.accounts.get(&key)).map(|a| &a.spec.aor);
        let host = aor.map(|aor| User {
            entity: aor.clone(),
            endpoints: vec![endpoint(aor, "connected", "focus-owner", false)],
            ..User::default()
        });
        let members = hosted.members.iter().filter_map(|member| {
            let entry = self.calls.get(&member.call)?;
            let about = self.endpoint.describe(member.call)?;
            let (method, waiting) = match about.caller {
                true => ("dialed-out", "dialing-out"),
                false => ("dialed-in", "dialing-in"),
            };
            let status = match entry.state() {
                CallState::Ended(_) => return None,
                CallState::Established { held, held_by_peer, .. } if held || held_by_peer => {
                    "on-hold"
                }
                CallState::Established { .. } if member.muted => "muted-via-focus",
                CallState::Established { .. } => "connected",
                CallState::Dialing { ringing: true } => "alerting",
                CallState::Dialing { .. } => waiting,
            };
            let up = matches!(entry.state(), CallState::Established { .. });
            Some(User {
                endpoints: vec![endpoint(&about.remote, status, method, up)],
                entity: about.remote,
                display_text: about.display,
                ..User::default()
            })
        });
        let mut users: Vec<User> = Vec::new();
        for user in host.into_iter().chain(members) {
            // One user, several telephones: they share a row (§5.6).
            match users.iter_mut().find(|other| other.entity == user.entity) {
                Some(other) => {
                    for mut endpoint in user.endpoints {
                        let n = other.endpoints.len();
                        endpoint.entity = format!("{};n={n}", endpoint.entity);
                        other.endpoints.push(endpoint);
                    }
                }
                None => users.push(user),
            }
        }
        ConferenceInfo {
            entity: entity.to_owned(),
            description: hosted.subject.as_ref().map(|subject| Description {
                subject: Some(subject.clone()),
                ..Description::default()
            }),
            state: Some(ConferenceState {
                user_count: Some(users.len() as u32),
                active: Some(true),
                locked: None,
            }),
            users,
            ..ConferenceInfo::default()
        }
    }
}

fn endpoint(uri: &str, status: &str, method: &str, sound: bool) -> Endpoint {
    let audio = Media {
        id: "1".to_owned(),
        kind: Some("audio".to_owned()),
        status: Some("sendrecv".to_owned()),
        ..Media::default()
    };
    Endpoint {
        entity: uri.to_owned(),
        status: Some(status.to_owned()),
        joining_method: Some(method.to_owned()),
        media: if sound { vec![audio] } else { Vec::new() },
        ..Endpoint::default()
    }
}
