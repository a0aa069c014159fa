//! What the server knows and how much it takes.

use super::spawn::{Registrar, spawn};
use std::net::SocketAddr;
use std::time::Duration;
use tiny_net::BindError;
use tiny_sak::Secret;
use tiny_sip::digest::{Algorithm, Qop};

/// Someone who may register.
#[derive(Debug, Clone)]
pub struct User {
    /// The user part of the address of record, and the name in credentials.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// The settings of a [`Server`](super::Server), with builder methods for the common ones.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where [`spawn`] listens, over UDP and TCP on one port. Default `127.0.0.1:0`: any free port.
    pub bind: SocketAddr,
    /// The domain served, which is the realm too.
    pub domain: String,
    /// Who may register.
    pub users: Vec<User>,
    /// Digest algorithms, one challenge each, in this order (RFC 8760 §2.3: the server's order of
    /// preference). Default SHA-256, MD5.
    pub algorithms: Vec<Algorithm>,
    /// The qualities of protection offered with each challenge. Default `auth`.
    pub qops: Vec<Qop>,
    /// Whether callers must prove who they are (407). Default no.
    pub authenticate_calls: bool,
    /// Whether the proxy stays on the path of dialogs. Default yes.
    pub record_route: bool,
    /// Other domains and the proxies that serve them: no names are looked up. Default none.
    pub neighbours: Vec<(String, SocketAddr)>,
    /// Whether calls to users are redirected to their contacts (302, RFC 3261 §8.3) and not
    /// forwarded. Default no.
    pub redirect: bool,
    /// The registrar that this one is an edge proxy of (RFC 5626 §5): whoever registers through it is
    /// reached over the connection that it registered by. Then it has no users of its own, and
    /// [`domain`](Self::domain) is a name of its own. Default none.
    pub edge_of: Option<SocketAddr>,
    /// Told to whoever registers as the way that its requests take (Service-Route, RFC 3608): URIs,
    /// first hop first. Default none.
    pub service_route: Vec<String>,
    /// Whether registrations are kept by instance and flow (RFC 5626 §6). Default yes.
    pub outbound: bool,
    /// How often a flow that registered is to be kept alive at least (Flow-Timer, RFC 5626 §4.4), in
    /// seconds. Default: nothing is said.
    pub flow_timer: Option<u32>,
    /// Whether GRUUs are given to whoever asks for them (RFC 5627). Default yes.
    pub gruu: bool,
    /// The users that `sip:fork@…` rings; `None` rings all who are registered, but the caller.
    pub fork_to: Option<Vec<String>>,
    /// The shortest registration, in seconds; a shorter one gets 423. Default 20.
    pub min_expires: u32,
    /// The longest registration, in seconds; a longer one is shortened. Default 3,600.
    pub max_expires: u32,
    /// The registration of one who asks for no time, in seconds. Default 3,600.
    pub default_expires: u32,
    /// How long a nonce is good; afterwards it is stale. Default 300 s.
    pub nonce_lifetime: Duration,
    /// Nonces remembered; beyond that, the oldest is forgotten. Default 10,000.
    pub max_nonces: usize,
    /// Contacts of one user; more are refused with 403. Default 10.
    pub max_contacts: usize,
    /// Transactions at once; more are answered 503. Default 100,000.
    pub max_transactions: usize,
    /// Timer C of RFC 3261 §16.6: how long a callee may ring. Default 180 s.
    pub ring_timeout: Duration,
}

impl ServerConfig {
    /// A server for one domain, without users.
    pub fn new(domain: &str) -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            domain: domain.to_owned(),
            users: Vec::new(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            qops: vec![Qop::Auth],
            authenticate_calls: false,
            record_route: true,
            neighbours: Vec::new(),
            redirect: false,
            edge_of: None,
            service_route: Vec::new(),
            outbound: true,
            flow_timer: None,
            gruu: true,
            fork_to: None,
            min_expires: 20,
            max_expires: 3600,
            default_expires: 3600,
            nonce_lifetime: Duration::from_secs(300),
            max_nonces: 10_000,
            max_contacts: 10,
            max_transactions: 100_000,
            ring_timeout: Duration::from_secs(180),
        }
    }

    /// Adds a user.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push(User { name: name.to_owned(), password: Secret::from(password) });
        self
    }

    /// Sets where to listen.
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind = addr;
        self
    }

    /// Sets the digest algorithms.
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    /// Sets the qualities of protection offered.
    pub fn qops(mut self, qops: &[Qop]) -> Self {
        self.qops = qops.to_vec();
        self
    }

    /// Asks callers for credentials.
    pub fn authenticate_calls(mut self) -> Self {
        self.authenticate_calls = true;
        self
    }

    /// Says where the proxy of another domain is.
    pub fn neighbour(mut self, domain: &str, proxy: SocketAddr) -> Self {
        self.neighbours.push((domain.to_owned(), proxy));
        self
    }

    /// Redirects calls and forwards none.
    pub fn redirect(mut self) -> Self {
        self.redirect = true;
        self
    }

    /// Makes it an edge proxy of the registrar there.
    pub fn edge_of(mut self, registrar: SocketAddr) -> Self {
        self.edge_of = Some(registrar);
        self
    }

    /// Gives a Service-Route to whoever registers.
    pub fn service_route(mut self, uri: &str) -> Self {
        self.service_route.push(uri.to_owned());
        self
    }

    /// Starts it; see [`spawn`].
    ///
    /// # Errors
    /// [`BindError`] names the address and port that could not be had.
    #[allow(clippy::unused_async)] // Binding may come to wait, and callers are async anyway.
    pub async fn start(self) -> Result<Registrar, BindError> {
        spawn(self)
    }

    pub(super) fn password(&self, name: &str) -> Option<&Secret> {
        self.users.iter().find(|u| u.name == name).map(|u| &u.password)
    }
}
