//! Where a request goes: checks, loose routing, the domain's users and test numbers (RFC 3261 §16.3
//! to §16.5).

use super::auth::Identity;
use super::edge::Named;
use super::edit::{self, Forward};
use super::location::Binding;
use super::proxy::Target;
use super::server::Server;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;
use tiny_sak::{Flow, Transport, id};
use tiny_sip::{HeaderName, Message, Method, Uri};

const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, PRACK, UPDATE, \
                     SUBSCRIBE, NOTIFY, PUBLISH, REFER";

/// A request's URI and routes after our own are taken off.
struct Path {
    uri: String,
    routes: Vec<String>,
}

impl Path {
    /// §16.6 step 6: what a strict router as the next hop expects. The first route becomes the
    /// Request-URI, which becomes the last route. `None` when the next hop is a loose router or
    /// there is no route.
    fn for_strict_router(&self) -> Option<Self> {
        let first = uri_of(self.routes.first()?);
        if Uri::parse(&first).ok()?.is_loose_router() {
            return None;
        }
        let mut routes = self.routes[1..].to_vec();
        routes.push(format!("<{}>", self.uri));
        Some(Self { uri: first, routes })
    }
}

impl Server {
    /// A request that is new, and neither ACK nor CANCEL.
    pub(super) fn process(&mut self, now: Instant, id: u64) {
        let Some(t) = self.transactions.get(&id) else { return };
        let (request, flow, method) = (t.request.clone(), t.flow, t.method.clone());
        // §16.3 step 2.
        if !Uri::parse(request.request_uri()).is_ok_and(|uri| uri.is_sip()) {
            return self.respond(now, id, 416, "", &[]);
        }
        // §16.3 step 3.
        if request.max_forwards().is_some_and(|n| n == Ok(0)) {
            return self.respond(now, id, 483, "", &[]);
        }
        // §16.3 step 5: no extension is asked of this proxy.
        if let Some(required) = request.header(HeaderName::ProxyRequire) {
            let headers = [(HeaderName::Unsupported, required.to_owned())];
            return self.respond(now, id, 420, "", &headers);
        }
        let path = self.path(&request, flow);
        let Ok(uri) = Uri::parse(&path.uri) else {
            return self.respond(now, id, 400, "Bad Route", &[]);
        };
        let ends_here = path.routes.is_empty() && self.is_ours(&uri, flow);
        if self.is_edge() && !(ends_here && method == Method::Options && uri.user().is_none()) {
            let named = self.named_flow(&request, flow);
            return self.through_the_edge(now, id, path, named);
        }
        if method == Method::Register && ends_here {
            return self.register(now, id);
        }
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if self.config.authenticate_calls && !in_dialog && !self.admit(now, id, &request) {
            return;
        }
        if !ends_here {
            return match self.target(now, path) {
                Some(target) => self.fork(now, id, vec![target]),
                None => self.respond(now, id, 404, "Not here, and no names are looked up", &[]),
            };
        }
        let Some(user) = edit::user_of(&uri) else {
            let headers = [(HeaderName::Allow, ALLOW.to_owned())];
            return match method {
                Method::Options => self.respond(now, id, 200, "", &headers),
                _ => self.respond(now, id, 405, "", &headers),
            };
        };
        if let Some(gr) = uri.param("gr").map(str::to_owned) {
            return match self.at_gruu(now, &user, &gr) {
                Some(targets) => self.fork_to(now, id, targets),
                None => self.respond(now, id, 404, "No such GRUU", &[]),
            };
        }
        self.call_user(now, id, &user, &request);
    }

    /// RFC 5626 §5.3: over the flow that it names, else inwards or by its routes.
    fn through_the_edge(&mut self, now: Instant, id: u64, path: Path, named: Named) {
        let Some(t) = self.transactions.get(&id) else { return };
        let from_client = Some(t.flow.remote) != self.config.edge_of;
        match self.edge_target(now, path, named, from_client) {
            Ok(target) => self.fork(now, id, vec![target]),
            Err(status) => self.respond(now, id, status, "", &[]),
        }
    }

    fn edge_target(
        &self,
        now: Instant,
        path: Path,
        named: Named,
        from_client: bool,
    ) -> Result<Target, u16> {
        match named {
            Named::Refused(status) => Err(status),
            Named::Incoming(flow) => {
                let (uri, routes, spare) = (path.uri, path.routes, Vec::new());
                Ok(Target { uri, flow, routes, spare })
            }
            _ if path.routes.is_empty() && from_client => {
                let (uri, routes, spare) = (path.uri, Vec::new(), Vec::new());
                self.inwards().map(|flow| Target { uri, flow, routes, spare }).ok_or(500)
            }
            _ => self.target(now, path).ok_or(404),
        }
    }

    /// The contacts of the device that a GRUU means (RFC 5627 §6.1); `None` when it means nothing.
    fn at_gruu(&self, now: Instant, user: &str, gr: &str) -> Option<Vec<Target>> {
        let (user, instance) = match gr {
            "" => self.location.by_temporary(now, user)?,
            device if self.config.password(user).is_some() => (user, device),
            _ => return None,
        };
        let device = instance.trim_matches(['<', '>']);
        let of_device = |b: &&Binding| {
            b.instance.as_deref().is_some_and(|i| i.trim_matches(['<', '>']) == device)
        };
        let bindings = self.location.of(now, user).into_iter().filter(of_device);
        Some(self.one_for_each_device(bindings))
    }

    /// RFC 5626 §7: one contact of each device at a time; the others stand by.
    fn one_for_each_device<'a>(&self, bindings: impl Iterator<Item = &'a Binding>) -> Vec<Target> {
        let mut targets: Vec<(Option<&str>, Target)> = Vec::new();
        for binding in bindings {
            let Some(target) = self.target_of(binding) else { continue };
            let device = binding.instance.as_deref();
            let same = targets.iter_mut().find(|(other, _)| device.is_some() && *other == device);
            match same {
                Some((_, first)) => first.spare.push(target),
                None => targets.push((device, target)),
            }
        }
        targets.into_iter().map(|(_, target)| target).collect()
    }

    /// The way to a contact: by the proxies of its Path, or over the flow that it registered by.
    fn target_of(&self, binding: &Binding) -> Option<Target> {
        let contact = Uri::parse(&binding.contact).ok()?;
        let flow = match binding.path.first() {
            Some(path) => self.flow_to(&Uri::parse(&uri_of(path)).ok()?)?,
            None if contact.transport().is_none_or(|t| t == binding.flow.transport) => binding.flow,
            None => self.flow_to(&contact)?,
        };
        let (uri, routes) = (binding.contact.clone(), binding.path.clone());
        Some(Target { uri, flow, routes, spare: Vec::new() })
    }

    fn fork_to(&mut self, now: Instant, id: u64, targets: Vec<Target>) {
        if targets.is_empty() {
            return self.respond(now, id, 480, "Not registered", &[]);
        }
        self.fork(now, id, targets);
    }

    fn call_user(&mut self, now: Instant, id: u64, user: &str, request: &Message) {
        let number = user.strip_prefix("reply-").and_then(|n| n.parse::<u16>().ok());
        if let Some(status) = number.filter(|n| (300..700).contains(n)) {
            return self.respond(now, id, status, "As asked", &[]);
        }
        let users = if user == "fork" {
            let caller = request.from().ok().and_then(|f| edit::user_of(&f.uri));
            let all = || self.location.registered(now).map(str::to_owned).collect();
            let mut users: Vec<String> = self.config.fork_to.clone().unwrap_or_else(all);
            users.retain(|u| caller.as_deref() != Some(u));
            users
        } else if self.config.password(user).is_some() {
            vec![user.to_owned()]
        } else {
            return self.respond(now, id, 404, "", &[]);
        };
        if self.config.redirect {
            let bindings = users.iter().flat_map(|user| self.location.of(now, user));
            let contact = |b: &Binding| (HeaderName::Contact, format!("<{}>", b.contact));
            let contacts: Vec<_> = bindings.map(contact).collect();
            let status = if contacts.is_empty() { 480 } else { 302 };
            return self.respond(now, id, status, "", &contacts);
        }
        let bindings = users.iter().flat_map(|user| self.location.of(now, user));
        let targets = self.one_for_each_device(bindings);
        self.fork_to(now, id, targets);
    }

    /// ACK of a 2xx, which no transaction holds: straight on (§16.11).
    pub(super) fn pass_on(&mut self, now: Instant, flow: Flow, request: &Message) {
        if request.max_forwards().is_some_and(|n| n == Ok(0)) {
            return;
        }
        let path = self.path(request, flow);
        let Ok(uri) = Uri::parse(&path.uri) else { return };
        let target = if self.is_edge() {
            let from_client = Some(flow.remote) != self.config.edge_of;
            let named = self.named_flow(request, flow);
            self.edge_target(now, path, named, from_client).ok()
        } else if path.routes.is_empty() && self.is_ours(&uri, flow) {
            let (user, gr) = (edit::user_of(&uri).unwrap_or_default(), uri.param("gr"));
            let all = gr.and_then(|gr| self.at_gruu(now, &user, gr));
            all.and_then(|all| all.into_iter().next())
        } else {
            self.target(now, path)
        };
        let Some(target) = target else { return };
        let target = target.seen_from(flow);
        let branch = id::branch(&mut self.rng);
        let change = Forward {
            uri: &target.uri,
            out: target.flow,
            branch: &branch,
            came_from: flow.remote,
            record_routes: &[],
            routes: &target.routes,
            path: None,
            realm: &self.config.domain,
        };
        if let Some(bytes) = edit::forwarded(request, &change) {
            self.transmit(target.flow, bytes);
        }
    }

    /// Whether the caller is who it says it is (§22.3); if not, it is told so.
    fn admit(&mut self, now: Instant, id: u64, request: &Message) -> bool {
        let header = HeaderName::ProxyAuthorization;
        match self.nonces.identify(now, &self.config, request, header) {
            Identity::Proven(user) => {
                let from = request.from().ok().and_then(|f| edit::user_of(&f.uri));
                let right = from.as_deref() == Some(user.as_str());
                if !right {
                    self.respond(now, id, 403, "From is not you", &[]);
                }
                return right;
            }
            Identity::Unproven { stale } => self.challenge(now, id, 407, stale),
            Identity::Unknown => self.respond(now, id, 403, "Unknown user", &[]),
            Identity::Malformed => self.respond(now, id, 400, "Bad credentials", &[]),
        }
        false
    }

    pub(super) fn challenge(&mut self, now: Instant, id: u64, status: u16, stale: bool) {
        let name = match status {
            401 => HeaderName::WwwAuthenticate,
            _ => HeaderName::ProxyAuthenticate,
        };
        let challenges = self.nonces.challenges(now, &self.config, &mut self.rng, stale);
        let headers: Vec<_> = challenges.into_iter().map(|c| (name, c)).collect();
        self.respond(now, id, status, "", &headers);
    }

    /// §16.4: undoes a strict router's work and takes our own routes off.
    fn path(&self, request: &Message, flow: Flow) -> Path {
        let mut uri = request.request_uri().to_owned();
        let routes = request.routes().filter_map(Result::ok);
        let mut routes: Vec<String> = routes.map(|r| r.as_str().to_owned()).collect();
        let came_by_strict_router = Uri::parse(&uri)
            .is_ok_and(|u| u.user().is_none() && u.is_loose_router() && self.is_ours(&u, flow));
        if came_by_strict_router && let Some(last) = routes.pop() {
            uri = uri_of(&last);
        }
        let ours =
            |route: &String| Uri::parse(&uri_of(route)).is_ok_and(|u| self.is_ours(&u, flow));
        let own = routes.iter().take_while(|r| ours(r)).count();
        routes.drain(..own);
        Path { uri, routes }
    }

    /// The next hop of a request that does not end here, and the routes that go with it (§16.6
    /// steps 6 and 7).
    fn target(&self, now: Instant, path: Path) -> Option<Target> {
        let spare = Vec::new();
        if let Some(Path { uri, routes }) = path.for_strict_router() {
            let flow = self.flow_to(&Uri::parse(&uri).ok()?)?;
            return Some(Target { uri, flow, routes, spare });
        }
        let Path { uri, routes } = path;
        let flow = match routes.first() {
            Some(route) => self.flow_to(&Uri::parse(&uri_of(route)).ok()?)?,
            None => {
                let next = Uri::parse(&uri).ok()?;
                // A contact that registered is reached by the way that it came.
                let known = self.location.by_contact(now, &uri).map(|b| b.flow);
                let known = known.filter(|f| next.transport().is_none_or(|t| t == f.transport));
                known.or_else(|| self.flow_to(&next))?
            }
        };
        Some(Target { uri, flow, routes, spare })
    }

    /// The path to a URI with an IP address.
    fn flow_to(&self, uri: &Uri<'_>) -> Option<Flow> {
        if uri.is_sips() {
            return None;
        }
        let transport = uri.transport().unwrap_or(Transport::Udp);
        let host = uri.maddr().unwrap_or(uri.host());
        let mut neighbours = self.config.neighbours.iter();
        if let Some((_, remote)) = neighbours.find(|(name, _)| host.eq_ignore_ascii_case(name)) {
            let local = self.local_for(transport, *remote)?;
            return Some(Flow { transport, local, remote: *remote });
        }
        let local = host.eq_ignore_ascii_case("localhost");
        let ip = match local {
            true => IpAddr::V4(Ipv4Addr::LOCALHOST),
            false => uri.maddr().and_then(|m| m.parse().ok()).or(uri.ip())?,
        };
        let remote = SocketAddr::new(ip, uri.port().unwrap_or(transport.default_port()));
        let local = self.local_for(transport, remote)?;
        Some(Flow { transport, local, remote })
    }

    /// Whether a URI means this server: its domain, or an address that it listens on.
    pub(super) fn is_ours(&self, uri: &Uri<'_>, flow: Flow) -> bool {
        let domain = self.config.domain.as_str();
        if uri.host().eq_ignore_ascii_case(domain) && domain.parse::<IpAddr>().is_err() {
            return true;
        }
        let Some(ip) = uri.ip() else { return false };
        if uri.port().is_none() && domain.parse() == Ok(ip) {
            return true;
        }
        let port = uri.port().or(uri.transport().map(Transport::default_port)).unwrap_or(5060);
        let addr = SocketAddr::new(ip, port);
        addr == flow.local || self.is_own_address(addr)
    }
}

/// The URI inside a Route value.
fn uri_of(route: &str) -> String {
    let address = tiny_sip::NameAddr::parse(route);
    address.map_or_else(|_| String::new(), |a| a.uri.as_str().to_owned())
}
