//! Who is where: the bindings of addresses of record (RFC 3261 §10.3).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiny_sak::Flow;
use tiny_sip::Uri;

/// One contact of a user.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) contact: String,
    pub(super) q: Option<String>,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) expires: Instant,
    /// The path that the registration came by: the way back to a contact behind a NAT or a
    /// connection.
    pub(super) flow: Flow,
    /// The device (`+sip.instance`), if it has told.
    pub(super) instance: Option<String>,
    /// Which of its flows, where RFC 5626 is kept to: then the device and this name the binding, and
    /// not the contact.
    pub(super) reg_id: Option<u32>,
    /// The proxies between (RFC 3327), as Route values.
    pub(super) path: Vec<String>,
    /// The user part of its temporary GRUU (RFC 5627).
    pub(super) temporary: Option<String>,
}

impl Binding {
    /// Whole seconds left, rounded up.
    pub(super) fn seconds_left(&self, now: Instant) -> u64 {
        let left = self.expires.saturating_duration_since(now);
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }

    /// Whether a registration is of this binding (RFC 3261 §10.3, RFC 5626 §6).
    pub(super) fn is_of(&self, other: &Binding) -> bool {
        match (self.reg_id, other.reg_id) {
            (Some(a), Some(b)) => a == b && self.instance == other.instance,
            (None, None) => self.is(&other.contact),
            _ => false,
        }
    }

    pub(super) fn is(&self, contact: &str) -> bool {
        match (Uri::parse(&self.contact), Uri::parse(contact)) {
            (Ok(a), Ok(b)) => a.is_equivalent(&b),
            _ => self.contact == contact,
        }
    }
}

/// All bindings by user name.
#[derive(Debug, Default)]
pub(super) struct Location {
    users: BTreeMap<String, Vec<Binding>>,
}

impl Location {
    /// The live bindings of a user, newest first.
    pub(super) fn of(&self, now: Instant, user: &str) -> Vec<&Binding> {
        let all = self.users.get(user).into_iter().flatten();
        let mut live: Vec<_> = all.filter(|b| b.expires > now).collect();
        live.sort_by_key(|b| std::cmp::Reverse(b.expires));
        live
    }

    /// Users with a live binding.
    pub(super) fn registered(&self, now: Instant) -> impl Iterator<Item = &str> {
        let live = move |bindings: &Vec<Binding>| bindings.iter().any(|b| b.expires > now);
        self.users.iter().filter(move |(_, b)| live(b)).map(|(user, _)| user.as_str())
    }

    /// The binding of a user that a registration is of.
    pub(super) fn find(&self, user: &str, new: &Binding) -> Option<&Binding> {
        self.users.get(user)?.iter().find(|b| b.is_of(new))
    }

    /// The user and the device that a temporary GRUU was given to (RFC 5627 §5.4), while it is
    /// registered.
    pub(super) fn by_temporary(&self, now: Instant, token: &str) -> Option<(&str, &str)> {
        self.users.iter().find_map(|(user, all)| {
            let given = |b: &&Binding| b.expires > now && b.temporary.as_deref() == Some(token);
            Some((user.as_str(), all.iter().find(given)?.instance.as_deref()?))
        })
    }

    /// The live binding of anyone with this contact: where a request within a dialog goes.
    pub(super) fn by_contact(&self, now: Instant, contact: &str) -> Option<&Binding> {
        self.users.values().flatten().find(|b| b.expires > now && b.is(contact))
    }

    pub(super) fn insert(&mut self, now: Instant, user: &str, binding: Binding) {
        let all = self.users.entry(user.to_owned()).or_default();
        all.retain(|b| b.expires > now && !b.is_of(&binding));
        all.push(binding);
    }

    pub(super) fn remove(&mut self, user: &str, gone: &Binding) {
        if let Some(all) = self.users.get_mut(user) {
            all.retain(|b| !b.is_of(gone));
            if all.is_empty() {
                self.users.remove(user);
            }
        }
    }

    /// A connection has ended: nobody is reached over it any more.
    pub(super) fn forget_flow(&mut self, flow: Flow) {
        let same = |b: &Binding| {
            b.flow.transport == flow.transport
                && b.flow.remote == flow.remote
                && flow.transport.is_reliable()
        };
        self.users.values_mut().for_each(|all| all.retain(|b| !same(b)));
        self.users.retain(|_, all| !all.is_empty());
    }
}

/// The time at which something registered now for `seconds` ends.
pub(super) fn end(now: Instant, seconds: u32) -> Instant {
    now + Duration::from_secs(seconds.into())
}
