//! An edge proxy (RFC 5626 §5): Path with a flow token for whoever registers through it (RFC 3327),
//! and requests that name a flow sent over it, or 430 where it is gone. The token is good for tests:
//! it shows when it was tampered with, but it is no cryptographic seal.

use super::proxy::record_routes;
use super::server::Server;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use tiny_sak::{Flow, Transport};
use tiny_sip::{HeaderName, Message, NameAddr};

/// What the topmost route of an edge proxy asks for.
#[derive(Debug)]
pub(super) enum Named {
    /// No flow.
    Nothing,
    /// The flow that the request came by: it goes outwards (§5.3.2).
    Outgoing,
    /// Another one, over which it goes (§5.3.1).
    Incoming(Flow),
    /// To be refused: 403 for a token that is not ours, 430 for a flow that is gone.
    Refused(u16),
}

impl Server {
    pub(super) fn is_edge(&self) -> bool {
        self.config.edge_of.is_some()
    }

    /// The way from an edge proxy to its registrar.
    pub(super) fn inwards(&self) -> Option<Flow> {
        let (remote, transport) = (self.config.edge_of?, Transport::Udp);
        Some(Flow { transport, local: self.local_for(transport, remote)?, remote })
    }

    /// Names a flow in the user part of a URI (§5.2).
    fn token(&self, flow: Flow) -> String {
        let plain = format!("{} {} {}", flow.transport.uri_name(), flow.local, flow.remote);
        let mut token = format!("{:016x}", self.seal(&plain));
        plain.bytes().for_each(|b| {
            let _ = write!(token, "{b:02x}");
        });
        token
    }

    fn seal(&self, plain: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seal_key, plain).hash(&mut hasher);
        hasher.finish()
    }

    fn flow_of(&self, token: &str) -> Option<Flow> {
        let (seal, hex) = token.split_at_checked(16)?;
        let digits = |i: usize| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok();
        let plain: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(digits).collect();
        let plain = String::from_utf8(plain?).ok()?;
        if u64::from_str_radix(seal, 16) != Ok(self.seal(&plain)) {
            return None;
        }
        let mut parts = plain.split(' ');
        let transport = match parts.next()? {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return None,
        };
        let mut address = || parts.next()?.parse::<SocketAddr>().ok();
        Some(Flow { transport, local: address()?, remote: address()? })
    }

    /// Which flow our routes on top name, if one does.
    pub(super) fn named_flow(&self, request: &Message, came_by: Flow) -> Named {
        if !self.is_edge() {
            return Named::Nothing;
        }
        let mut own = request.routes().flatten().take_while(|r| self.is_ours(&r.uri, came_by));
        let Some(user) = own.find_map(|route| route.uri.user()) else { return Named::Nothing };
        match self.flow_of(user) {
            None => Named::Refused(403),
            Some(flow) if same(flow, came_by) => Named::Outgoing,
            Some(flow) if flow.transport.is_reliable() && !self.is_open(flow) => {
                Named::Refused(430)
            }
            Some(flow) => Named::Incoming(flow),
        }
    }

    /// The Path entry of a REGISTER (§5.1): a token and `ob` where this is the first hop.
    pub(super) fn path_entry(&self, request: &Message, came_by: Flow) -> Option<String> {
        let own = self.inwards()?.local;
        Some(match request.vias().count() {
            1 => format!("<sip:{}@{own};lr;ob>", self.token(came_by)),
            _ => format!("<sip:{own};lr>"),
        })
    }

    /// Our place in the route of a dialog (§5.3): the entry for the registrar's side names the flow of
    /// the client.
    pub(super) fn edge_routes(&self, came_by: Flow, goes_by: Flow) -> Vec<String> {
        let mut routes = record_routes(came_by, goes_by);
        let from_client = Some(came_by.remote) != self.config.edge_of;
        let client = if from_client { came_by } else { goes_by };
        let far = if from_client { routes.first_mut() } else { routes.last_mut() };
        if let Some(route) = far {
            *route = route.replacen("<sip:", &format!("<sip:{}@", self.token(client)), 1);
        }
        routes
    }
}

fn same(a: Flow, b: Flow) -> bool {
    a.transport == b.transport && a.remote == b.remote
}

/// Path values of a request, one each.
pub(super) fn paths(request: &Message) -> Vec<String> {
    let paths = request.addresses(HeaderName::Path).filter_map(Result::ok);
    paths.map(|path| path.as_str().to_owned()).collect()
}

/// Whether the first node behind the user agent keeps flows (RFC 5626 §6): the last Path value, for
/// each proxy puts its own on top.
pub(super) fn first_hop_keeps_flows(request: &Message, path: &[String]) -> bool {
    if request.vias().count() == 1 {
        return true;
    }
    let last = path.last().and_then(|path| NameAddr::parse(path).ok());
    last.is_some_and(|path| path.uri.param("ob").is_some())
}

/// Whether a header field lists an option tag.
pub(super) fn lists(request: &Message, name: HeaderName, tag: &str) -> bool {
    request.list(name).any(|listed| listed.eq_ignore_ascii_case(tag))
}
