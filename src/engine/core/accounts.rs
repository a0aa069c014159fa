//! Accounts and their registrations.

use super::{Core, cause_error, sip_error};
use crate::account::AccountSpec;
use crate::command::{Registered, Reply};
use crate::media::MediaPlane;
use crate::{AccountId, CredentialsRequest, Error, Event, SipMessage};
use std::time::{Duration, Instant};
use tiny_sip::{AccountKey, Cause, Credentials, QueryKey, Registration, Uri};

pub(super) struct AccountEntry {
    pub(super) spec: AccountSpec,
    register: Vec<Reply<Registered>>,
    unregister: Vec<Reply<()>>,
    pub(super) registered: bool,
    // The last handle is gone: forget the account as soon as it is unregistered.
    doomed: bool,
}

/// Why there is no registration.
pub(super) struct Refusal {
    pub(super) status: Option<u16>,
    pub(super) reason: String,
    pub(super) cause: Cause,
    pub(super) retry_in: Option<Duration>,
    pub(super) response: Option<SipMessage>,
}

impl AccountEntry {
    /// Whether it is only there until what it has to take back is taken back.
    pub(super) fn is_doomed(&self) -> bool {
        self.doomed
    }
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn add_account(&mut self, spec: AccountSpec, reply: Reply<AccountKey>) {
        if self.shutdown.is_some() {
            let _ = reply.send(Err(Error::Ended("the agent")));
            return;
        }
        let user = Uri::parse(&spec.aor).ok().and_then(|u| u.user().map(str::to_owned));
        let username = spec.auth_user.clone().or_else(|| user.clone());
        let mut credentials = spec.auth.more.clone();
        credentials.extend(match (&spec.password, username) {
            (Some(password), Some(username)) => {
                vec![Credentials { realm: None, username, password: password.clone() }]
            }
            _ => Vec::new(),
        });
        let instance = spec.instance.clone().or_else(|| self.config.instance_id.clone());
        let wants = spec.outbound || spec.gruu || spec.push.is_some() || !spec.flows.is_empty();
        let named = wants || spec.instance.is_some();
        let key = self.endpoint.add_account(tiny_sip::Account {
            aor: spec.aor.clone(),
            display: spec.display.clone(),
            credentials,
            auth: spec.auth.policy.clone(),
            usim: spec.auth.usim.clone(),
            security: spec.auth.security.clone(),
            route: spec.route.clone(),
            transport: spec.transport,
            headers: spec.headers.clone(),
            header_rules: spec.rules.clone(),
            contact_user: user,
            instance: instance.filter(|_| named),
            outbound: spec.outbound,
            flows: spec.flows.clone(),
            gruu: spec.gruu,
            push: spec.push.clone(),
            also: also(&spec.also),
            ..Default::default()
        });
        let key = match key {
            Ok(key) => key,
            Err(e) => {
                let _ = reply.send(Err(sip_error(e)));
                return;
            }
        };
        let entry = AccountEntry {
            spec,
            register: Vec::new(),
            unregister: Vec::new(),
            registered: false,
            doomed: false,
        };
        self.accounts.insert(key, entry);
        let _ = reply.send(Ok(key));
    }

    /// What to register an account with; what ends must not be registered again behind its own back.
    pub(super) fn registration_of(&self, account: AccountKey) -> Result<Registration, Error> {
        if self.shutdown.is_some() {
            return Err(Error::Ended("the agent"));
        }
        let entry = self.accounts.get(&account).ok_or(Error::Ended("the account"))?;
        let own = entry.spec.registrar.clone();
        let registrar = own.unwrap_or_else(|| registrar_of(&entry.spec.aor));
        Ok(Registration { registrar, expires: entry.spec.expires, headers: Vec::new() })
    }

    /// Asks for, or changes, the list of the account's contacts.
    pub(super) fn contacts(
        &mut self,
        now: Instant,
        account: AccountKey,
        contact: Option<&str>,
        reply: Reply<crate::SipMessage>,
    ) {
        let sent = self.registration_of(account).and_then(|registration| {
            let registrar = registration.registrar;
            self.endpoint.register_contacts(now, account, &registrar, contact).map_err(sip_error)
        });
        match sent {
            Ok(key) => drop(self.requests.insert(key, reply)),
            Err(e) => drop(reply.send(Err(e))),
        }
    }

    pub(super) fn register(&mut self, now: Instant, account: AccountKey, reply: Reply<Registered>) {
        let registration = match self.registration_of(account) {
            Ok(registration) => registration,
            Err(e) => {
                let _ = reply.send(Err(e));
                return;
            }
        };
        match self.endpoint.register(now, account, registration) {
            Ok(()) => {
                if let Some(entry) = self.accounts.get_mut(&account) {
                    entry.register.push(reply);
                }
            }
            Err(e) => {
                let _ = reply.send(Err(sip_error(e)));
            }
        }
    }

    pub(super) fn unregister(&mut self, now: Instant, account: AccountKey, reply: Reply<()>) {
        let Some(entry) = self.accounts.get_mut(&account) else {
            let _ = reply.send(Err(Error::Ended("the account")));
            return;
        };
        match self.endpoint.unregister(now, account) {
            Ok(()) => entry.unregister.push(reply),
            Err(e) => {
                let _ = reply.send(Err(sip_error(e)));
            }
        }
    }

    pub(super) fn remove_account(&mut self, now: Instant, account: AccountKey) {
        let Some(entry) = self.accounts.get_mut(&account) else { return };
        entry.doomed = true;
        // What it watches and publishes is taken back first: that may need its credentials.
        if !self.end_events_of(now, account) {
            return;
        }
        let Some(entry) = self.accounts.get_mut(&account) else { return };
        if entry.registered && self.endpoint.unregister(now, account).is_ok() {
            return;
        }
        self.forget_account(account);
    }

    fn forget_account(&mut self, account: AccountKey) {
        self.accounts.remove(&account);
        let removed = self.endpoint.remove_account(account);
        self.tolerate("remove account", removed);
    }

    pub(super) fn registered(&mut self, account: AccountKey, granted: Registered) {
        let Some(entry) = self.accounts.get_mut(&account) else { return };
        entry.registered = true;
        for reply in entry.register.drain(..) {
            let _ = reply.send(Ok(granted.clone()));
        }
        let Registered { expires, contact, response, .. } = granted;
        let account = AccountId(account);
        self.tell(Event::Registered { account, expires, contact, response });
    }

    pub(super) fn unregistered(&mut self, account: AccountKey) {
        let Some(entry) = self.accounts.get_mut(&account) else { return };
        entry.registered = false;
        for reply in entry.unregister.drain(..) {
            let _ = reply.send(Ok(()));
        }
        for reply in entry.register.drain(..) {
            let _ = reply.send(Err(Error::state("unregistered before the registrar answered")));
        }
        let doomed = entry.doomed;
        self.tell(Event::Unregistered { account: AccountId(account) });
        if doomed {
            self.forget_account(account);
        }
    }

    pub(super) fn registration_failed(&mut self, account: AccountKey, refusal: Refusal) {
        let Refusal { status, reason, cause, retry_in, response } = refusal;
        let Some(entry) = self.accounts.get_mut(&account) else { return };
        entry.registered = false;
        let error = || match status {
            Some(status) => {
                let response = response.clone().map(Box::new);
                Error::Peer { status, reason: reason.clone(), response }
            }
            None => cause_error(cause, reason.clone()),
        };
        for reply in entry.register.drain(..) {
            let _ = reply.send(Err(error()));
        }
        for reply in entry.unregister.drain(..) {
            let _ = reply.send(Err(error()));
        }
        if retry_in.is_none() {
            self.wakes.fail(account, &error());
        }
        let Some(entry) = self.accounts.get_mut(&account) else { return };
        let doomed = entry.doomed;
        let id = AccountId(account);
        self.tell(Event::RegistrationFailed { account: id, status, reason, retry_in, response });
        if doomed {
            self.forget_account(account);
        }
    }

    /// A question for the application. One that it has no room for is refused by being dropped.
    pub(super) fn credentials_wanted(
        &mut self,
        account: AccountKey,
        query: QueryKey,
        wanted: Box<tiny_sip::CredentialsRequest>,
    ) {
        let Some(shared) = self.shared.upgrade() else { return };
        let account = AccountId(account);
        self.tell(Event::CredentialsWanted(CredentialsRequest::new(
            shared, account, query, wanted,
        )));
    }

    /// Hands an event to the application; one that it has no room for is logged.
    pub(super) fn tell(&self, event: Event) {
        if let Err(e) = self.events.try_send(event) {
            tracing::warn!("event lost, the application does not read them: {e}");
        }
    }
}

/// Further contacts as REGISTER has them; they were checked where they were given.
fn also(contacts: &[(String, Option<f32>)]) -> Vec<String> {
    let value = |(uri, q): &(String, Option<f32>)| crate::bindings::contact("contact", uri, *q);
    contacts.iter().filter_map(|contact| value(contact).ok()).collect()
}

/// `sip:alice@example.com:5070;x=y` registers at `sip:example.com:5070` (RFC 3261 §10.2).
fn registrar_of(aor: &str) -> String {
    match Uri::parse(aor) {
        Ok(uri) => {
            let scheme = if uri.is_sips() { "sips" } else { "sip" };
            match uri.port() {
                Some(port) => format!("{scheme}:{}:{port}", uri.host()),
                None => format!("{scheme}:{}", uri.host()),
            }
        }
        Err(_) => aor.to_owned(),
    }
}

/// A target as it goes into a Request-URI. A number has no host: it becomes a user of the domain
/// that the account is registered in (RFC 3261 §19.1.6), else the account's proxy takes it as it is.
pub(super) fn dialable(account: &AccountEntry, to: String) -> Result<String, Error> {
    let number = match Uri::parse(&to) {
        Ok(uri) if uri.scheme() == tiny_sip::Scheme::Tel => &to[uri.scheme_str().len() + 1..],
        _ => return Ok(to),
    };
    let domain = Uri::parse(&account.spec.aor).ok().filter(Uri::is_sip);
    match domain.filter(|_| account.registered || account.spec.registrar.is_some()) {
        Some(aor) => Ok(format!("sip:{number}@{};user=phone", aor.host_port())),
        None if !account.spec.route.is_empty() || !account.spec.flows.is_empty() => Ok(to),
        None => {
            let what =
                format!("'{to}' has no host; a number needs a registrar or an outbound proxy");
            Err(Error::config("call target", what))
        }
    }
}
