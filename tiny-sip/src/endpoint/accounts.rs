//! Accounts: how we present ourselves (From, Contact), and which of them a request is for.

use super::auth::AuthSession;
use super::naming::SentBy;
use super::outgoing::{Leg, bad_uri, check};
use super::{Account, AccountKey, Endpoint, Error};
use crate::header::quote;
use crate::message::Message;
use crate::uri::Uri;
use crate::usage::register::Binding;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use tiny_sak::Transport;

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
    secure: bool,
    pub(super) sessions: Vec<AuthSession>,
    pub(crate) binding: Option<Box<Binding>>,
}

impl AccountState {
    pub(crate) fn new(account: Account) -> Result<Self, Error> {
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
        Ok(Self { from, user, routes, contact_params, secure, sessions, binding, account })
    }

    /// The domain of the address of record, unless that is an IP address.
    pub(crate) fn domain(&self) -> Option<&str> {
        let host = Uri::parse(&self.account.aor).ok().filter(Uri::is_sip)?.host();
        crate::uri::host_ip(host).is_none().then_some(host)
    }

    pub(crate) fn set_leg(&mut self, leg: Leg) {
        if let Some(binding) = &mut self.binding {
            binding.leg = leg;
        }
    }
}

/// A Contact URI: printed where it is needed, kept nowhere.
pub(crate) struct ContactUri<'a> {
    scheme: &'static str,
    user: &'a str,
    addr: SentBy<'a>,
    transport: Transport,
}

impl fmt::Display for ContactUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.user.is_empty() { "" } else { "@" };
        write!(f, "{}:{}{at}{}", self.scheme, self.user, self.addr)?;
        // `sips:` implies TLS; UDP is what a numeric address means anyway.
        match self.transport {
            Transport::Udp => Ok(()),
            Transport::Tls if self.scheme == "sips" => Ok(()),
            other => write!(f, ";transport={}", other.uri_name()),
        }
    }
}

impl Endpoint {
    /// Where an account can be reached (§8.1.1.8).
    pub(crate) fn contact_uri<'a>(
        &'a self,
        account: Option<&'a AccountState>,
        user: Option<&'a str>,
        transport: Transport,
        local: SocketAddr,
    ) -> ContactUri<'a> {
        let secure = account.is_some_and(|account| account.secure);
        ContactUri {
            scheme: if secure && transport.is_secure() { "sips" } else { "sip" },
            user: account.map(|account| account.user.as_str()).or(user).unwrap_or_default(),
            addr: self.sent_by(transport, local),
            transport,
        }
    }

    /// The account that a received request is for: by the user part of its Request-URI.
    pub(crate) fn account_for(&self, request: &Message) -> Option<AccountKey> {
        let uri = Uri::parse(request.request_uri()).ok()?;
        let to = request.to().ok()?;
        self.users
            .get(uri.user().unwrap_or_default())
            .or_else(|| self.users.get(to.uri.user().unwrap_or_default()))
            .copied()
    }
}
