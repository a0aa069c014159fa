//! The order in which equals are tried: SRV weights (RFC 2782) and address families (RFC 8305 §4).

use std::net::IpAddr;
use tiny_sak::Rng;

/// A host of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) host: String,
}

/// RFC 2782 "Usage rules": by priority, and within one by repeated weighted choice.
pub(super) fn by_weight(mut servers: Vec<Server>, rng: &mut Rng) -> Vec<Server> {
    // "…in any order, except that all those with weight 0 are placed at the beginning". The rest
    // of the key makes the draw independent of the order in which a server happens to answer.
    servers.sort_by(|a, b| {
        let key = |s: &Server| (s.priority, s.weight, s.port);
        key(a).cmp(&key(b)).then_with(|| a.host.cmp(&b.host))
    });
    let mut ordered = Vec::with_capacity(servers.len());
    while let Some(first) = servers.first() {
        let level = first.priority;
        let same = servers.iter().take_while(|s| s.priority == level);
        let sum: u64 = same.clone().map(|s| u64::from(s.weight)).sum();
        let draw = rng.below(sum + 1);
        let mut running = 0;
        let chosen = same.enumerate().find_map(|(i, s)| {
            running += u64::from(s.weight);
            (running >= draw).then_some(i)
        });
        ordered.push(servers.remove(chosen.unwrap_or(0)));
    }
    ordered
}

/// Alternates the families, beginning with the preferred one, each in the order it came.
pub(super) fn interleave(v4: &[IpAddr], v6: &[IpAddr], v6_first: bool) -> Vec<IpAddr> {
    let (first, second) = if v6_first { (v6, v4) } else { (v4, v6) };
    let pairs = (0..first.len().max(second.len())).flat_map(|i| [first.get(i), second.get(i)]);
    pairs.flatten().copied().collect()
}
