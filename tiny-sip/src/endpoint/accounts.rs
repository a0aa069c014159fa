//! Accounts: how we present ourselves (From, Contact), and the digest sessions that our requests
//! share (RFC 3261 §22).

use super::clients::ClientKey;
use super::outgoing::{Leg, Request, bad_uri, check};
use super::{Account, AccountKey, Endpoint, Error, Target};
use crate::digest::{Answer, Session};
use crate::header::{HeaderName, quote};
use crate::message::Message;
use crate::uri::Uri;
use crate::usage::register::Binding;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use tiny_sak::{Secret, Transport, id};

// Sessions an account keeps; the oldest makes room.
const MAX_SESSIONS: usize = 8;

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
    sessions: Vec<AuthSession>,
    pub(crate) binding: Option<Box<Binding>>,
}

/// A nonce, for the kind of header field and the hop it came from. It is used unasked only towards
/// that hop, so that no stranger is shown credentials.
#[derive(Debug)]
struct AuthSession {
    header: HeaderName,
    hop: SocketAddr,
    session: Session,
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

    /// The password for a realm: one of its own, or one for any realm.
    fn credentials(&self, realm: &str) -> Option<(&str, &Secret)> {
        let all = &self.account.credentials;
        all.iter()
            .find(|c| c.realm.as_deref() == Some(realm))
            .or_else(|| all.iter().find(|c| c.realm.is_none()))
            .map(|c| (c.username.as_str(), &c.password))
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
    addr: SocketAddr,
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
        &self,
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

    /// Adds what is known to be asked for at this hop, and what was asked of this request.
    pub(crate) fn authorize(&mut self, request: &mut Request, target: &Target) {
        use crate::method::Method as M;
        if matches!(request.method, M::Ack | M::Cancel) {
            return;
        }
        request.auth.clear();
        let Some(account) = request.account.and_then(|key| self.accounts.get_mut(key)) else {
            return;
        };
        if account.sessions.is_empty() {
            return;
        }
        let mut sessions = std::mem::take(&mut account.sessions);
        for entry in &mut sessions {
            let asked = request
                .challenged
                .iter()
                .any(|(header, realm)| *header == entry.header && realm == entry.session.realm());
            if !asked && entry.hop != target.addr {
                continue;
            }
            let Some((username, password)) = account.credentials(entry.session.realm()) else {
                continue;
            };
            let value = entry.session.authorize(&Answer {
                username,
                password,
                method: request.method.as_str(),
                uri: &request.uri,
                body: request.body.as_ref().map_or(&[], |body| &body.data),
                cnonce: &id::cnonce(&mut self.rng),
            });
            request.auth.push((entry.header, value));
        }
        account.sessions = sessions;
    }

    /// Takes up the challenges of a 401 or 407 (§22.2, §22.3). The request comes back as the error
    /// when it cannot be answered: no credentials, or they were refused.
    pub(crate) fn answer_challenge(
        &mut self,
        key: ClientKey,
        mut request: Box<Request>,
        message: &Message,
    ) -> Result<Box<Request>, Box<Request>> {
        let Some(hop) = self.clients.get(key).map(|client| client.flow.remote) else {
            return Err(request);
        };
        if request.auth_attempts >= self.config.max_auth_attempts {
            return Err(request);
        }
        let Some(account) = request.account.and_then(|key| self.accounts.get_mut(key)) else {
            return Err(request);
        };
        let kinds = [
            (HeaderName::WwwAuthenticate, HeaderName::Authorization),
            (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
        ];
        let mut taken: Vec<(HeaderName, String)> = Vec::new();
        let mut refused = false;
        for (asking, answering) in kinds {
            for challenge in message.challenges(asking).flatten() {
                let Some(session) = Session::new(&challenge) else { continue };
                let realm = session.realm().to_owned();
                let id = (answering, realm);
                // The first challenge of a realm that we understand (RFC 8760 §2.3).
                if taken.contains(&id) || account.credentials(&id.1).is_none() {
                    continue;
                }
                // Asked again for what this very request has answered: the password is wrong,
                // unless the nonce was stale.
                if request.challenged.contains(&id) && !session.is_stale() {
                    refused = true;
                    account.sessions.retain(|s| s.header != answering || s.session.realm() != id.1);
                    continue;
                }
                let sessions = &mut account.sessions;
                sessions
                    .retain(|s| s.header != answering || s.session.realm() != id.1 || s.hop != hop);
                if sessions.len() >= MAX_SESSIONS {
                    sessions.remove(0);
                }
                sessions.push(AuthSession { header: answering, hop, session });
                taken.push(id);
            }
        }
        if taken.is_empty() || refused {
            return Err(request);
        }
        for id in taken {
            if !request.challenged.contains(&id) {
                request.challenged.push(id);
            }
        }
        request.auth_attempts += 1;
        // "it MUST increment the CSeq header field value" (§22.2)
        request.cseq = match request.dialog.and_then(|key| self.dialogs.get_mut(key)) {
            Some(dialog) => dialog.next_cseq(),
            None => request.cseq.wrapping_add(1) & 0x7fff_ffff,
        };
        Ok(request)
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
