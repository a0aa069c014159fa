//! Another network: sockets are bound anew, connections from addresses that are gone are closed, names
//! are asked for again. What becomes of calls and registrations is the core's.

use super::{Addresses, Driver, Input, new_resolver};
use crate::NetworkReport;
use crate::command::Reply;
use crate::engine::core::NetworkChange;
use crate::network::NetworkNews;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;
use tiny_net::{SipTransports, is_own_address, local_address_for};
use tiny_sip::Network;

impl Driver {
    pub(super) fn network_changed(&mut self, news: NetworkNews, reply: Reply<NetworkReport>) {
        let now = Instant::now();
        let told = match news {
            NetworkNews::MovedTo(ip) => Some(ip),
            NetworkNews::Changed | NetworkNews::Lost => None,
        };
        let mut gone = Vec::new();
        let mut network = Network::default();
        if news != NetworkNews::Lost {
            self.rebind(told, &mut gone);
            network.bound = self.addresses.clone();
            if told.is_none() {
                network.routes = self.routes();
            }
            let routes: Vec<IpAddr> = network.routes.iter().map(|route| route.1).collect();
            network.local = self.own_addresses(told, &routes);
        }
        self.offline = network.local.is_empty();
        let here: Vec<IpAddr> = network.local.iter().map(|(_, local)| local.ip()).collect();
        let dead = |ip: IpAddr| {
            let lost = gone.contains(&ip) || !is_own_address(ip);
            here.is_empty() || !here.contains(&ip) && lost
        };
        for flow in self.net.drop_connections(dead) {
            tracing::debug!(%flow, "closed: the network has changed");
        }
        self.resolver = new_resolver(&self.net_config, self.dns.as_ref());
        for race in std::mem::take(&mut self.races) {
            self.unresolved(now, race.query, "the network has changed".to_owned());
        }
        let change = NetworkChange { network, told, gone, reply };
        self.core.handle(now, Input::Network(change));
    }

    /// Moves what is bound. Without a word on the new address, one of ours that is still there stays.
    fn rebind(&mut self, told: Option<IpAddr>, gone: &mut Vec<IpAddr>) {
        let before: Addresses = self.addresses.drain(..).chain(self.homeless.drain(..)).collect();
        let specific = |a: &&(_, SocketAddr)| !a.1.ip().is_unspecified();
        let same_family = |told: IpAddr| {
            before.iter().filter(specific).any(|(_, a)| a.is_ipv4() == told.is_ipv4())
        };
        let whole = told.is_some_and(|told| !same_family(told));
        for (transport, old) in before.iter().copied() {
            let ip = old.ip();
            let new = match told {
                _ if ip.is_unspecified() => Some(ip),
                Some(told) if whole || told.is_ipv4() == ip.is_ipv4() => Some(told),
                _ if is_own_address(ip) => Some(ip),
                Some(_) => None,
                None => route(ip.is_ipv4()).or_else(|| route(!ip.is_ipv4())),
            };
            let taken = |new: IpAddr| {
                self.addresses.iter().any(|(t, a)| *t == transport && a.ip() == new) && new != ip
            };
            let bound = match new.filter(|new| !taken(*new)) {
                Some(new) if new == ip && !ip.is_unspecified() => Some(old),
                Some(new) => {
                    let wanted = SocketAddr::new(new, old.port());
                    let bound = self.net.rebind(transport, old, wanted);
                    bound.inspect_err(|e| tracing::warn!("{e}")).ok()
                }
                None => {
                    self.net.unbind(transport, old);
                    None
                }
            };
            if bound.is_none_or(|bound| bound.ip() != ip) {
                gone.push(ip);
            }
            match bound {
                Some(bound) => self.addresses.push((transport, bound)),
                None => self.homeless.push((transport, old)),
            }
        }
    }

    /// From where hosts that we speak with are reached now, for who listens everywhere.
    fn routes(&self) -> Vec<(IpAddr, IpAddr)> {
        let everywhere = |ipv4: bool| {
            let mut all = self.addresses.iter().map(|(_, a)| a);
            self.addresses.is_empty() || all.any(|a| a.is_ipv4() == ipv4 && a.ip().is_unspecified())
        };
        let remotes = self.core.remotes().into_iter().filter(|ip| everywhere(ip.is_ipv4()));
        let route = |ip| Some((ip, local_address_for(SocketAddr::new(ip, 9)).ok()?));
        remotes.filter_map(route).collect()
    }

    /// What we send from, for each transport; nothing where there is no network.
    fn own_addresses(&mut self, told: Option<IpAddr>, routes: &[IpAddr]) -> Addresses {
        let mut found: Vec<IpAddr> = Vec::new();
        let bound = |ipv4: bool| {
            let all = self.addresses.iter().map(|(_, a)| *a);
            all.filter(move |a| a.is_ipv4() == ipv4)
        };
        for ipv4 in [true, false] {
            let specific = bound(ipv4).map(|a| a.ip()).filter(|ip| !ip.is_unspecified());
            found.extend(specific);
            // Who listens at one address only wants to be seen there; who listens nowhere, anywhere.
            if bound(ipv4).any(|a| a.ip().is_unspecified()) || self.addresses.is_empty() {
                let own = told.filter(|told| told.is_ipv4() == ipv4).or_else(|| route(ipv4));
                found.extend(own);
            }
        }
        let away = |ip: &&IpAddr| !ip.is_loopback();
        if found.is_empty() && routes.iter().filter(away).count() == 0 {
            return Addresses::new();
        }
        found.extend(routes);
        // Neighbours on this machine are where they were.
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let everywhere = |ip: &&IpAddr| bound(ip.is_ipv4()).any(|a| a.ip().is_unspecified());
        let near: Vec<IpAddr> = loopback.iter().filter(everywhere).copied().collect();
        found.extend(near);
        let mut seen = Vec::new();
        found.retain(|ip| {
            !seen.contains(ip) && {
                seen.push(*ip);
                true
            }
        });
        let mut own = Addresses::new();
        for transport in SipTransports::supported().iter().copied() {
            for ip in found.iter().copied() {
                let listening = self.addresses.iter().find(|(t, a)| {
                    let here = a.ip() == ip || a.ip().is_unspecified();
                    *t == transport && a.is_ipv4() == ip.is_ipv4() && here
                });
                let local = match listening {
                    Some((_, a)) => SocketAddr::new(ip, a.port()),
                    None if !transport.is_reliable() => continue,
                    None => self.net.client_address(transport, ip),
                };
                own.push((transport, local));
            }
        }
        own
    }
}

/// Our address on the way to everywhere, if there is such a way. (These are documentation addresses:
/// nothing is sent.)
fn route(ipv4: bool) -> Option<IpAddr> {
    let far: IpAddr = match ipv4 {
        true => Ipv4Addr::new(192, 0, 2, 1).into(),
        false => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    local_address_for(SocketAddr::new(far, 9)).ok().filter(|ip| !ip.is_loopback())
}
