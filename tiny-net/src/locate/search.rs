//! One search: a function of what is known, run again from the top with every answer. It either
//! ends or names what it still has to ask.

use super::order::{Server, by_weight, interleave};
use super::{Hop, Known, Query, Question, Record, RecordKind};
use crate::{Config, ResolveError};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tiny_sak::{Rng, Transport};

pub(super) enum Step {
    Done(Result<Vec<Hop>, ResolveError>),
    /// For an answer, or for `wake`.
    Wait,
}

pub(super) struct Search {
    query: Query,
    // Cloned for every run, so that each draws the same order.
    rng: Rng,
    known: HashMap<Question, Option<(Instant, Known)>>,
    fresh: Vec<Question>,
    pub(super) wake: Option<Instant>,
}

/// SRV records to look up, and the transport they are for.
struct Service {
    transport: Transport,
    name: Option<String>,
}

struct Endpoint {
    transport: Transport,
    host: String,
    port: u16,
}

/// What came of one look-up so far.
enum Found {
    Pending,
    Nothing,
    Records(Instant, Arc<[Record]>),
}

impl Search {
    pub(super) fn new(query: Query, rng: Rng) -> Self {
        Self { query, rng, known: HashMap::new(), fresh: Vec::new(), wake: None }
    }

    pub(super) fn waits_for(&self, question: &Question) -> bool {
        matches!(self.known.get(question), Some(None))
    }

    pub(super) fn learn(&mut self, now: Instant, question: Question, known: Known) {
        self.known.insert(question, Some((now, known)));
    }

    /// The questions that the last step met for the first time.
    pub(super) fn fresh_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.fresh)
    }

    pub(super) fn step(&mut self, now: Instant, config: &Config) -> Step {
        self.wake = None;
        match self.run(now, config) {
            Ok(Some(hops)) => Step::Done(Ok(hops)),
            Ok(None) => Step::Wait,
            Err(e) => Step::Done(Err(e)),
        }
    }

    fn run(&mut self, now: Instant, config: &Config) -> Result<Option<Vec<Hop>>, ResolveError> {
        // RFC 3263 §4: "TARGET is set to the value of the maddr parameter, if present".
        let target = self.query.maddr.as_deref().unwrap_or(&self.query.host);
        let bare = target.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(target);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let transport = self.transport()?;
            let port = self.query.port.unwrap_or(transport.default_port());
            return Ok(Some(vec![Hop { transport, addr: SocketAddr::new(ip, port) }]));
        }
        let Some(domain) = normal(bare) else {
            return Err(ResolveError::NotFound { host: self.query.host.clone() });
        };
        // §4.2: with a port, addresses only.
        if let Some(port) = self.query.port {
            let transport = self.transport()?;
            return self.addresses(now, config, vec![Endpoint { transport, host: domain, port }]);
        }
        let (services, fallback) = match self.query.transport {
            Some(_) => {
                let transport = self.transport()?;
                (vec![service(transport, &domain)], transport)
            }
            None => {
                let default = self.transport()?;
                match self.find(&domain, RecordKind::Naptr) {
                    Found::Pending => return Ok(None),
                    Found::Records(_, records) => match self.offered(&records) {
                        // §4.1: records whose services we cannot use are as good as none.
                        none if none.is_empty() => (self.all_services(&domain), default),
                        offered => {
                            let first = offered[0].transport;
                            (offered, first)
                        }
                    },
                    Found::Nothing => (self.all_services(&domain), default),
                }
            }
        };
        let Some((endpoints, refused)) = self.servers(&services, config) else { return Ok(None) };
        if !endpoints.is_empty() {
            return self.addresses(now, config, endpoints);
        }
        // §4.2: no SRV record: addresses of the domain itself, but not for a transport that the
        // domain says it does not offer.
        let usable = |t: &Transport| !refused.contains(t);
        let transports = [fallback].into_iter().chain(services.iter().map(|s| s.transport));
        let Some(transport) = { transports }.find(usable) else {
            return Err(ResolveError::NotOffered { host: self.query.host.clone() });
        };
        let port = transport.default_port();
        self.addresses(now, config, vec![Endpoint { transport, host: domain, port }])
    }

    /// Those we can use for this URI, most preferred first.
    fn supported(&self) -> impl Iterator<Item = Transport> + '_ {
        let ours = match &self.query.supported[..] {
            [] => crate::transports::DRIVERS,
            ours => ours,
        };
        ours.iter().copied().filter(|t| t.is_secure() || !self.query.secure)
    }

    /// §4.1: the transport where the DNS has no say.
    fn transport(&self) -> Result<Transport, ResolveError> {
        let query = &self.query;
        let wanted = match (query.transport, query.secure) {
            // RFC 3261 §26.2.2: a sips URI with transport=tcp means TLS over TCP.
            (Some(Transport::Tcp), true) => Some(Transport::Tls),
            (Some(Transport::Ws), true) => Some(Transport::Wss),
            (Some(t), _) => Some(t),
            (None, true) => self.supported().find(|t| *t == Transport::Tls),
            (None, false) => self.supported().find(|t| *t == Transport::Udp),
        };
        let chosen = match wanted {
            Some(t) => self.supported().find(|s| *s == t),
            None => self.supported().next(),
        };
        chosen.ok_or_else(|| ResolveError::NoTransport {
            host: query.host.clone(),
            transport: query.transport,
            secure: query.secure,
        })
    }

    /// §4.1: without NAPTR records, SRV records for every transport we support.
    fn all_services(&self, domain: &str) -> Vec<Service> {
        self.supported().map(|t| service(t, domain)).filter(|s| s.name.is_some()).collect()
    }

    /// §4.1: the services of a domain that we can use, by order and preference.
    fn offered(&self, records: &[Record]) -> Vec<Service> {
        let mut offered: Vec<((u16, u16), Service)> = Vec::new();
        for record in records {
            let Record::Naptr { order, preference, flags, service, regexp, replacement } = record
            else {
                continue;
            };
            let transport = match service.to_ascii_uppercase().as_str() {
                "SIP+D2U" => Transport::Udp,
                "SIP+D2T" => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                // RFC 7118 §10.2.
                "SIP+D2W" => Transport::Ws,
                "SIPS+D2W" => Transport::Wss,
                _ => continue,
            };
            let Some(name) = normal(replacement) else { continue };
            let ours = self.supported().any(|t| t == transport);
            if ours && flags.eq_ignore_ascii_case("s") && regexp.is_empty() {
                let service = Service { transport, name: Some(name) };
                offered.push(((*order, *preference), service));
            }
        }
        offered.sort_by_key(|(rank, _)| *rank);
        offered.into_iter().map(|(_, service)| service).collect()
    }

    /// The hosts of all services in order, and the transports that are decidedly not offered.
    /// `None` while an answer is missing.
    fn servers(
        &mut self,
        services: &[Service],
        config: &Config,
    ) -> Option<(Vec<Endpoint>, Vec<Transport>)> {
        let mut rng = self.rng.clone();
        let (mut endpoints, mut refused, mut pending) = (Vec::new(), Vec::new(), false);
        for Service { transport, name } in services {
            let Some(name) = name else { continue };
            let records = match self.find(name, RecordKind::Srv) {
                Found::Pending => {
                    pending = true;
                    continue;
                }
                Found::Nothing => continue,
                Found::Records(_, records) => records,
            };
            let mut servers = Vec::new();
            for record in records.iter() {
                let Record::Srv { priority, weight, port, target } = record else { continue };
                match normal(target) {
                    Some(host) => servers.push(Server {
                        priority: *priority,
                        weight: *weight,
                        port: *port,
                        host,
                    }),
                    // RFC 2782: "." means that the service is decidedly not available.
                    None => refused.push(*transport),
                }
            }
            let of_transport =
                |Server { host, port, .. }| Endpoint { transport: *transport, host, port };
            endpoints.extend(by_weight(servers, &mut rng).into_iter().map(of_transport));
        }
        endpoints.truncate(config.max_resolved.max(1));
        (!pending).then_some((endpoints, refused))
    }

    /// The addresses of the endpoints, in order.
    fn addresses(
        &mut self,
        now: Instant,
        config: &Config,
        endpoints: Vec<Endpoint>,
    ) -> Result<Option<Vec<Hop>>, ResolveError> {
        let mut hops: Vec<Hop> = Vec::new();
        // The families of one host wait for each other a little, its peers a little longer.
        let (mut first_ready, mut pending, mut wake) = (None::<Instant>, false, None::<Instant>);
        for endpoint in &endpoints {
            let found =
                [RecordKind::A, RecordKind::Aaaa].map(|kind| self.find(&endpoint.host, kind));
            let times = found.iter().filter_map(|f| match f {
                Found::Records(at, _) => Some(*at),
                _ => None,
            });
            let ready = times.min();
            if found.iter().any(|f| matches!(f, Found::Pending)) {
                match ready.map(|at| at + config.resolution_delay) {
                    Some(until) if until <= now => {}
                    until => {
                        wake = earlier(wake, until);
                        pending = true;
                    }
                }
            }
            first_ready = earlier(first_ready, ready);
            let [v4, v6] = found.map(|f| match f {
                Found::Records(_, records) => {
                    let ips = records.iter().filter_map(|r| match r {
                        Record::Address(ip) => Some(*ip),
                        _ => None,
                    });
                    ips.collect()
                }
                _ => Vec::new(),
            });
            for ip in interleave(&v4, &v6, config.prefer_ipv6) {
                let addr = SocketAddr::new(ip, endpoint.port);
                let hop = Hop { transport: endpoint.transport, addr };
                if hops.len() < config.max_resolved.max(1) && !hops.contains(&hop) {
                    hops.push(hop);
                }
            }
        }
        if pending {
            let patience = first_ready.map(|at| at + config.dns_patience);
            if patience.is_none_or(|until| now < until) {
                self.wake = earlier(wake, patience);
                return Ok(None);
            }
        }
        if hops.is_empty() { Err(self.nothing()) } else { Ok(Some(hops)) }
    }

    fn nothing(&self) -> ResolveError {
        let host = self.query.host.clone();
        let ends = || self.known.values().flatten().map(|(_, known)| known);
        if ends().any(|known| matches!(known, Known::Late)) {
            ResolveError::Timeout { host }
        } else if ends().any(|known| matches!(known, Known::Failed)) {
            ResolveError::ServerFailure { host }
        } else {
            ResolveError::NotFound { host }
        }
    }

    fn find(&mut self, name: &str, kind: RecordKind) -> Found {
        let question = Question { name: name.to_owned(), kind };
        match self.known.get(&question) {
            None => {
                self.known.insert(question.clone(), None);
                self.fresh.push(question);
                Found::Pending
            }
            Some(None) => Found::Pending,
            Some(Some((at, Known::Records(records)))) => Found::Records(*at, Arc::clone(records)),
            Some(Some(_)) => Found::Nothing,
        }
    }
}

/// §4.2 and RFC 3261 §26.2.2. RFC 7118 gives WebSocket no SRV name of its own: only a NAPTR record
/// leads to one.
fn service(transport: Transport, domain: &str) -> Service {
    let prefix = match transport {
        Transport::Udp => Some("_sip._udp"),
        Transport::Tcp => Some("_sip._tcp"),
        Transport::Tls => Some("_sips._tcp"),
        _ => None,
    };
    Service { transport, name: prefix.map(|prefix| format!("{prefix}.{domain}")) }
}

/// Lower case, no final dot; `None` for what is no name.
fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = name.split('.').all(|label| !label.is_empty() && label.len() < 64);
    (fits && name.len() < 254).then(|| name.to_ascii_lowercase())
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}
