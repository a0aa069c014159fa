//! Who answers the questions: the system's name servers through hickory-resolver, with the system's
//! own address look-up for what is not in the DNS at all.

use crate::Config;
#[cfg(feature = "dns")]
use crate::locate::RecordKind;
use crate::locate::{Outcome, Question, Record};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

#[cfg(feature = "dns")]
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};

/// Something that answers questions about names.
pub trait Dns: Send + Sync {
    /// Answers one question. It may take its time: the asker gives up by itself.
    fn look_up<'a>(
        &'a self,
        question: &'a Question,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

    /// Reads settings again, after a change of network.
    fn reload(&self) {}
}

/// The system's name servers and hosts file.
///
/// Names of one label and names under `local` are not in the DNS; they go to the system's own
/// look-up (hosts file, search list, multicast DNS), and so does everything where the system's
/// settings cannot be read or the crate is built without `dns`. Such names have addresses only.
pub struct SystemDns {
    #[cfg(feature = "dns")]
    resolver: std::sync::RwLock<Option<TokioResolver>>,
    #[cfg(feature = "dns")]
    timeout: Duration,
    // False where the name servers were given.
    #[cfg(feature = "dns")]
    system: bool,
}

impl SystemDns {
    /// Reads the system's settings.
    pub fn new(config: &Config) -> Self {
        #[cfg(feature = "dns")]
        {
            let timeout = config.resolve_timeout;
            let resolver = std::sync::RwLock::new(from_system(timeout));
            Self { resolver, timeout, system: true }
        }
        #[cfg(not(feature = "dns"))]
        {
            let _ = config;
            Self {}
        }
    }

    /// Asks these name servers and no others; the hosts file is still obeyed.
    #[cfg(feature = "dns")]
    pub fn servers(config: &Config, servers: &[std::net::SocketAddr]) -> Self {
        let servers = servers.iter().map(|addr| {
            let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            connections.iter_mut().for_each(|c| c.port = addr.port());
            NameServerConfig::new(addr.ip(), true, connections.into())
        });
        let timeout = config.resolve_timeout;
        let settings = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let builder = TokioResolver::builder_with_config(settings, TokioRuntimeProvider::default());
        Self { resolver: std::sync::RwLock::new(build(builder, timeout)), timeout, system: false }
    }
}

#[cfg(feature = "dns")]
fn from_system(timeout: Duration) -> Option<TokioResolver> {
    match TokioResolver::builder_tokio() {
        Ok(builder) => build(builder, timeout),
        Err(e) => {
            tracing::warn!(error = %e, "the system's name servers are unknown; addresses only");
            None
        }
    }
}

#[cfg(feature = "dns")]
fn build(
    mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
    timeout: Duration,
) -> Option<TokioResolver> {
    let options: &mut ResolverOpts = builder.options_mut();
    // The cache is ours, and so is the last word on the time.
    options.cache_size = 0;
    options.attempts = 2;
    options.timeout = (timeout / 3).max(Duration::from_millis(100));
    builder.build().inspect_err(|e| tracing::warn!(error = %e, "no resolver")).ok()
}

impl Dns for SystemDns {
    fn look_up<'a>(
        &'a self,
        question: &'a Question,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        let name = question.name.as_str();
        // RFC 6761 §6.4.
        if name == "invalid" || name.ends_with(".invalid") {
            return Box::pin(async { Outcome::Absent { ttl: None } });
        }
        #[cfg(feature = "dns")]
        {
            let in_dns =
                name.contains('.') && !name.ends_with(".local") && !name.ends_with(".localhost");
            let resolver = match self.resolver.read() {
                Ok(resolver) if in_dns => resolver.clone(),
                _ => None,
            };
            if let Some(resolver) = resolver {
                return Box::pin(ask(resolver, question));
            }
        }
        Box::pin(by_system(question))
    }

    fn reload(&self) {
        #[cfg(feature = "dns")]
        if self.system
            && let Ok(mut resolver) = self.resolver.write()
        {
            *resolver = from_system(self.timeout);
        }
    }
}

impl std::fmt::Debug for SystemDns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemDns").finish_non_exhaustive()
    }
}

// How long the system's answers are kept, which come without a TTL.
const SYSTEM_TTL: Duration = Duration::from_secs(10);

async fn by_system(question: &Question) -> Outcome {
    use crate::locate::RecordKind::{A, Aaaa};
    let wanted = |ip: &IpAddr| match question.kind {
        A => ip.is_ipv4(),
        Aaaa => ip.is_ipv6(),
        _ => false,
    };
    if !matches!(question.kind, A | Aaaa) {
        return Outcome::Absent { ttl: Some(SYSTEM_TTL) };
    }
    match tokio::net::lookup_host((question.name.as_str(), 0)).await {
        Ok(found) => {
            let mut records: Vec<Record> = Vec::new();
            for ip in found.map(|addr| addr.ip()).filter(wanted) {
                if !records.contains(&Record::Address(ip)) {
                    records.push(Record::Address(ip));
                }
            }
            match records.is_empty() {
                true => Outcome::Absent { ttl: Some(SYSTEM_TTL) },
                false => Outcome::Found { records, ttl: SYSTEM_TTL },
            }
        }
        // getaddrinfo's "no such name" has no kind of its own.
        Err(e) if e.raw_os_error().is_none() => Outcome::Absent { ttl: None },
        Err(_) => Outcome::Failed,
    }
}

#[cfg(feature = "dns")]
async fn ask(resolver: TokioResolver, question: &Question) -> Outcome {
    let kind = match question.kind {
        RecordKind::Naptr => RecordType::NAPTR,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
    };
    // The final dot: no search list.
    let found = match resolver.lookup(format!("{}.", question.name), kind).await {
        Ok(found) => found,
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            use hickory_resolver::proto::op::ResponseCode::{NXDomain, NoError};
            return match none.response_code {
                NXDomain | NoError => {
                    let ttl = none.negative_ttl.map(|s| Duration::from_secs(s.into()));
                    Outcome::Absent { ttl }
                }
                _ => Outcome::Failed,
            };
        }
        Err(e) => {
            tracing::debug!(name = question.name, error = %e, "look-up failed");
            return Outcome::Failed;
        }
    };
    let (mut records, mut ttl) = (Vec::new(), u32::MAX);
    for record in found.answers() {
        // Aliases count too: they may be shorter-lived than what they lead to.
        ttl = ttl.min(record.ttl);
        records.extend(content(&record.data));
    }
    match records.is_empty() {
        true => Outcome::Absent { ttl: None },
        false => Outcome::Found { records, ttl: Duration::from_secs(ttl.into()) },
    }
}

#[cfg(feature = "dns")]
fn content(data: &RData) -> Option<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match data {
        RData::A(a) => Record::Address(IpAddr::V4(a.0)),
        RData::AAAA(a) => Record::Address(IpAddr::V6(a.0)),
        RData::SRV(srv) => Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii(),
        },
        RData::NAPTR(naptr) => Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            regexp: text(&naptr.regexp),
            replacement: naptr.replacement.to_ascii(),
        },
        _ => return None,
    })
}
