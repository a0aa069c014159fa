//! The addresses of this machine, as far as the system tells them: for gathering candidates (RFC 8445
//! §5.1.1.1) and for following changes of the network. Nothing is sent, nothing is kept.

use crate::ice::{Network, NetworkKind};
use std::net::IpAddr;

/// An address of an interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The system's name of the interface.
    pub name: String,
    /// The address.
    pub ip: IpAddr,
    /// Its network, as the interface's name suggests.
    pub network: Network,
}

/// The addresses that a socket can be bound to and that others may reach, in the order of RFC 6724 §2.1:
/// IPv6, then IPv4, then addresses of transition and those of one site; loopback last. Link-local ones
/// are left out. Empty where the system does not tell.
pub fn interfaces() -> Vec<Interface> {
    let mut found = system();
    found.retain(|i| is_usable(i.ip));
    found.sort_by_key(|i| order(i.ip));
    found.dedup_by_key(|i| i.ip);
    found
}

#[cfg(unix)]
fn system() -> Vec<Interface> {
    use nix::net::if_::{InterfaceFlags, if_nametoindex};
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    all.filter(|i| i.flags.contains(up))
        .filter_map(|i| {
            let address = i.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            let ip = v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))?;
            let id = if_nametoindex(i.interface_name.as_str()).unwrap_or(0) as u16;
            let network = Network { id, kind: kind_of(&i.interface_name) };
            Some(Interface { name: i.interface_name, ip, network })
        })
        .collect()
}

#[cfg(not(unix))]
fn system() -> Vec<Interface> {
    Vec::new()
}

fn is_usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}

// The precedences of RFC 6724 §2.1, turned round; loopback is of use on this machine alone.
fn order(ip: IpAddr) -> u8 {
    match ip {
        ip if ip.is_loopback() => 200,
        IpAddr::V4(_) => 100 - 35,
        IpAddr::V6(ip) => match ip.segments() {
            [0x2002, ..] => 100 - 30,
            [0x2001, 0, ..] => 100 - 5,
            [first, ..] if first & 0xfe00 == 0xfc00 => 100 - 3,
            _ => 100 - 40,
        },
    }
}

// What a name does not say for sure stays unknown: on Apple's systems `en0` may be either.
fn kind_of(name: &str) -> NetworkKind {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
    if starts(&["tun", "tap", "utun", "wg", "ppp", "ipsec", "tailscale", "zt"]) {
        return NetworkKind::Vpn;
    }
    if starts(&["wwan", "wwp", "rmnet", "ccmni", "pdp_ip"]) {
        return NetworkKind::Cellular;
    }
    if cfg!(any(target_os = "linux", target_os = "android")) {
        let wireless = std::path::Path::new("/sys/class/net").join(name).join("wireless").exists();
        if wireless || starts(&["wlan", "wlp", "wlx"]) {
            return NetworkKind::Wifi;
        }
        if starts(&["eth", "enp", "eno", "ens", "enx"]) {
            return NetworkKind::Ethernet;
        }
    }
    NetworkKind::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_machine_knows_itself_and_every_address_told_can_be_bound() {
        let found = interfaces();
        assert!(found.iter().any(|i| i.ip.is_loopback()));
        for Interface { ip, name, .. } in found {
            assert!(crate::is_own_address(ip), "{name} {ip}");
        }
    }

    #[test]
    fn global_ipv6_comes_first_and_link_local_addresses_are_left_out() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut all: Vec<IpAddr> =
            ["127.0.0.1", "fd00::1", "192.0.2.1", "2002::1", "2001:db8::1"].map(ip).to_vec();
        all.sort_by_key(|ip| order(*ip));
        let sorted = ["2001:db8::1", "192.0.2.1", "2002::1", "fd00::1", "127.0.0.1"].map(ip);
        assert_eq!(all, sorted);
        assert!(!is_usable(ip("169.254.1.1")) && !is_usable(ip("fe80::1")));
    }

    #[test]
    fn a_name_that_says_nothing_sure_is_an_unknown_network() {
        assert_eq!(kind_of("wg0"), NetworkKind::Vpn);
        assert_eq!(kind_of("rmnet_data0"), NetworkKind::Cellular);
        assert_eq!(kind_of("docker0"), NetworkKind::Unknown);
        assert_eq!(kind_of("en0"), NetworkKind::Unknown);
    }
}
