//! Telephones behind NATs, firewalls and relays: networks inside the kernel, Kamailio and coturn in the
//! public one of them.

mod bare;
mod calls;
mod lab;
mod paths;
mod servers;

use crate::peers::{installed, shared};
use lab::{Home, Internet, Nat, SECOND, TURN};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tiny_net::NetEvent;
use tiny_net::stun::{Behaviour, Discovery, DiscoveryConfig, Input, NatReport, Transmit};
use tiny_sak::{Flow, Output, Rng, Transport};

/// A public network, if this machine lets us have one.
#[allow(clippy::print_stdout)] // People read it.
fn internet() -> Option<Internet> {
    let tools = ["ip", "nft", "turnserver", "kamailio", "openssl"];
    if !tools.into_iter().all(installed) {
        return None;
    }
    let internet = Internet::new();
    if internet.is_none() {
        assert!(std::env::var_os("CI").is_none(), "this is CI, and not root: no namespaces");
        println!("skipped: network namespaces take root");
    }
    internet
}

/// What a socket behind that NAT goes through, as STUN servers with two addresses tell.
fn report(home: &Home) -> NatReport {
    home.client.run(|| {
        let socket = UdpSocket::bind((home.address(), 0)).expect("a socket");
        let local = socket.local_addr().expect("an address");
        let servers = [TURN[0], SECOND].map(|s| SocketAddr::new(s.parse().expect("one"), 3478));
        let (config, rng) = (DiscoveryConfig::default(), Rng::from_os().expect("randomness"));
        let mut discovery = Discovery::new(Instant::now(), config, local, servers.into(), rng);
        loop {
            let deadline = match discovery.poll(Instant::now()) {
                Output::Transmit(Transmit::Send { flow, data }) => {
                    // A firewall may refuse at once what a NAT would swallow.
                    let _ = socket.send_to(&data, flow.remote);
                    continue;
                }
                Output::Transmit(_) => continue,
                Output::Event(report) => return report,
                Output::Timeout(at) => at.expect("a deadline until the report"),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("timeout");
            let mut packet = [0; 1500];
            let input = match socket.recv_from(&mut packet) {
                Ok((n, remote)) => {
                    let flow = Flow { transport: Transport::Udp, local, remote };
                    let data = packet[..n].to_vec().into();
                    Input::Net(NetEvent::Datagram { flow, data })
                }
                Err(_) => Input::Timeout,
            };
            discovery.handle(Instant::now(), input);
        }
    })
}

#[test]
fn the_nats_are_what_they_are_called() {
    let _one = shared();
    let Some(net) = internet() else { return };
    let _servers = servers::Servers::start("kinds", &net);
    let (none, both) = (Behaviour::EndpointIndependent, Behaviour::AddressAndPortDependent);
    let kinds = [
        (Nat::Open, none, none),
        (Nat::Cone, none, both),
        (Nat::Symmetric, both, both),
        (Nat::NoUdp, Behaviour::Unknown, Behaviour::Unknown),
    ];
    let net = &net;
    std::thread::scope(|scope| {
        for (n, (nat, mapping, filtering)) in kinds.into_iter().enumerate() {
            scope.spawn(move || {
                let home = net.home(n as u8 + 1, nat);
                let report = report(&home);
                assert_eq!(
                    (report.mapping, report.filtering),
                    (mapping, filtering),
                    "{nat:?}: {report:?}"
                );
                assert_eq!(report.mapped.is_some(), nat != Nat::NoUdp, "{nat:?}: {report:?}");
                assert_eq!(report.translated, nat != Nat::NoUdp, "{nat:?}: {report:?}");
            });
        }
    });
}
