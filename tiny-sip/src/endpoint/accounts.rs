//! Accounts: how we present ourselves (From, Contact), and which of them a request is for.

use super::auth::AuthSession;
use super::contact::Learned;
use super::outgoing::{Leg, bad_uri, check};
use super::{Account, AccountKey, Config, Endpoint, Error, Push};
use crate::header::{NameAddr, quote};
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use crate::usage::register::Binding;
use crate::writer::text;
use std::fmt::Write as _;
use tiny_sak::Flow;

/// An account and what is derived from it once.
#[derive(Debug)]
pub(crate) struct AccountState {
    pub(crate) account: Account,
    /// Value of From without a tag.
    pub(crate) from: String,
    pub(crate) user: String,
    /// The pre-loaded route as a Route header field's value.
    pub(crate) routes: String,
    /// Parameters after Contact's URI, each with its semicolon.
    pub(crate) contact_params: String,
    /// Parameters of the Contact URI that a REGISTER binds (RFC 8599).
    pub(crate) push_params: String,
    /// Option tags of a REGISTER, of other requests, and of a REGISTER without `outbound`.
    tags: [String; 3],
    pub(crate) secure: bool,
    pub(crate) learned: Option<Learned>,
    pub(super) sessions: Vec<AuthSession>,
    /// Realms that are answered at once, and sessions that are kept.
    pub(super) max_challenges: usize,
    pub(super) agreement: Option<super::secagree::Agreement>,
    pub(crate) binding: Option<Box<Binding>>,
}

impl AccountState {
    pub(crate) fn new(account: Account, config: &Config) -> Result<Self, Error> {
        let aor = Uri::parse(&account.aor).map_err(|_| bad_uri(&account.aor, "it is no URI"))?;
        if !aor.is_sip() && account.route.is_empty() {
            return Err(bad_uri(&account.aor, "it is no sip: or sips: URI"));
        }
        let display = account.display.as_deref().filter(|display| !display.is_empty());
        let from = match display {
            Some(display) => format!("{} <{}>", quote(display), aor.without_headers()),
            None => format!("<{}>", aor.without_headers()),
        };
        let user = match &account.contact_user {
            Some(user) => crate::uri::escape_user(user).to_string(),
            None => aor.user().unwrap_or_default().to_owned(),
        };
        let mut routes = String::new();
        for route in &account.flows {
            let uri = Uri::parse(route).map_err(|_| bad_uri(route, "it is no URI"))?;
            if !uri.is_sip() || route.contains(['<', '>', '"']) {
                return Err(bad_uri(route, "an outbound proxy is a sip: or sips: URI"));
            }
        }
        if account.flows.len() > usize::from(config.max_flows) {
            return Err(Error::Limit("max_flows"));
        }
        for route in &account.route {
            let uri = Uri::parse(route).map_err(|_| bad_uri(route, "it is no URI"))?;
            if !uri.is_sip() {
                return Err(bad_uri(route, "an outbound proxy is a sip: or sips: URI"));
            }
            let comma = if routes.is_empty() { "" } else { ", " };
            let _ = write!(routes, "{comma}<{route}>");
        }
        let mut contact_params = String::new();
        for (name, value) in &account.contact_params {
            let equals = if value.is_empty() { "" } else { "=" };
            let _ = write!(contact_params, ";{name}{equals}{value}");
        }
        check(&account.headers, None)?;
        let probe = [("Contact".to_owned(), format!("{from}{contact_params}"))];
        check(&probe, None)?;
        let secure = aor.is_sips();
        let (sessions, binding) = (Vec::new(), None);
        let push_params = account.push.as_ref().map(push_params).unwrap_or_default();
        let instance = account.instance.as_deref().unwrap_or_default();
        let probe = format!("<sip:a@b{push_params}>;+sip.instance=\"<{instance}>\"");
        check(&[("Contact".to_owned(), probe.clone())], None)?;
        if NameAddr::parse(&probe).is_err() || instance.contains(['"', '<', '>', '\\']) {
            let why = "the instance or a push parameter cannot be written".to_owned();
            return Err(Error::Header { name: "Contact".to_owned(), why });
        }
        if account.instance.is_none() && (account.gruu || wants_outbound(&account)) {
            let why = "outbound and GRUU need an instance (RFC 5626 §4.1)".to_owned();
            return Err(Error::Header { name: "+sip.instance".to_owned(), why });
        }
        let tags = [true, false, true].map(|register| {
            let path = register.then_some("path");
            let gruu = account.gruu.then_some("gruu");
            path.into_iter().chain(gruu).collect::<Vec<_>>()
        });
        let [mut register, mut other, plain] = tags;
        if wants_outbound(&account) {
            register.push("outbound");
            other.push("outbound");
        }
        let tags = [register, other, plain].map(|tags| tags.join(", "));
        let learned = None;
        Ok(Self {
            from,
            user,
            routes,
            contact_params,
            push_params,
            tags,
            secure,
            learned,
            sessions,
            max_challenges: config.max_challenges,
            agreement: None,
            binding,
            account,
        })
    }

    /// The domain of the address of record, unless that is an IP address.
    pub(crate) fn domain(&self) -> Option<&str> {
        let host = Uri::parse(&self.account.aor).ok().filter(Uri::is_sip)?.host();
        crate::uri::host_ip(host).is_none().then_some(host)
    }

    pub(crate) fn set_leg(&mut self, flow: u8, leg: Leg) {
        let flows = self.binding.as_mut().map(|binding| &mut binding.flows);
        if let Some(flow) = flows.and_then(|flows| flows.get_mut(usize::from(flow))) {
            flow.leg = leg;
        }
    }

    fn is_plain(&self) -> bool {
        self.binding.as_ref().is_some_and(|binding| binding.plain)
    }

    /// Whether REGISTER requests ask for RFC 5626.
    pub(crate) fn has_reg_id(&self) -> bool {
        wants_outbound(&self.account) && !self.is_plain()
    }

    /// Option tags that a request of this account adds to the endpoint's (RFC 3327 §5.1, RFC 5626
    /// §4.2.1 and §4.3, RFC 5627 §4.1).
    pub(crate) fn option_tags(&self, method: &Method) -> &str {
        let [register, other, plain] = &self.tags;
        match method {
            Method::Register if self.is_plain() => plain,
            Method::Register => register,
            _ => other,
        }
    }
}

/// Flows, or the wish for it.
fn wants_outbound(account: &Account) -> bool {
    account.outbound || !account.flows.is_empty()
}

/// RFC 8599 §4.1.1: URI parameters, escaped.
fn push_params(push: &Push) -> String {
    let mut params = String::new();
    let all = [
        ("pn-provider", Some(&push.provider)),
        ("pn-prid", Some(&push.prid)),
        ("pn-param", push.param.as_ref()),
        ("pn-purr", push.purr.as_ref()),
    ];
    for (name, value) in all {
        if let Some(value) = value {
            let _ = write!(params, ";{name}={}", crate::uri::escape_param(value));
        }
    }
    params
}

impl Endpoint {
    /// The value of Contact in a REGISTER. An address that was bound before and is not ours any more
    /// is removed along with it.
    pub(crate) fn binding_contact(
        &self,
        account: &AccountState,
        flow: u8,
        expires: u32,
        way: Flow,
    ) -> String {
        let params = account.contact_params.as_str();
        let uri = text(self.binding_uri(account, way));
        let own = account.binding.as_ref().and_then(|b| b.flows.get(usize::from(flow)));
        let before = own.map_or("", |own| &*own.contact);
        let mut extra = String::new();
        if let Some(instance) = &account.account.instance {
            let _ = write!(extra, ";+sip.instance=\"<{instance}>\"");
        }
        if account.has_reg_id() {
            let _ = write!(extra, ";reg-id={}", u32::from(flow) + 1);
        }
        // Further contacts come and go with the first flow's.
        let also = if flow == 0 { &account.account.also[..] } else { &[] };
        let mut others = String::new();
        for contact in also {
            let _ = write!(others, ", {contact};expires={expires}");
        }
        if expires == 0 && !before.is_empty() {
            return format!("<{before}>{params}{extra};expires=0{others}");
        }
        let mut value = format!("<{uri}>{params}{extra};expires={expires}{others}");
        // With reg-id the registrar replaces it itself (RFC 5626 §6).
        if !before.is_empty() && before != uri && !account.has_reg_id() {
            let _ = write!(value, ", <{before}>;expires=0");
        }
        value
    }

    /// The account that a received request is for: by the user part of its Request-URI, else of To.
    /// Of several accounts of one user, in several domains, it is the one that To names, else the
    /// first.
    pub fn account_for(&self, request: &Message) -> Option<AccountKey> {
        let uri = Uri::parse(request.request_uri()).ok()?;
        let to = request.to().ok()?;
        let called = uri.user().filter(|user| self.users.contains_key(*user));
        let user = called.or(to.uri.user()).unwrap_or_default();
        let first = *self.users.get(user)?;
        let named = |state: &AccountState| {
            let aor = Uri::parse(&state.account.aor);
            state.user == user
                && aor.is_ok_and(|aor| aor.host().eq_ignore_ascii_case(to.uri.host()))
        };
        if self.accounts.len() == 1 || self.accounts.get(first).is_some_and(named) {
            return Some(first);
        }
        let other = self.accounts.iter().find(|(_, state)| named(state));
        Some(other.map_or(first, |(key, _)| key))
    }
}
