mod links;
mod nats;
mod streams;
mod worlds;

use super::*;
use crate::NetEvent;
use bytes::Bytes;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Transport};

const A: &str = "192.0.2.1:5060";
const B: &str = "192.0.2.2:5060";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn udp(local: &str, remote: &str) -> Flow {
    Flow { transport: Transport::Udp, local: at(local), remote: at(remote) }
}

fn tcp(local: &str, remote: &str) -> Flow {
    Flow { transport: Transport::Tcp, local: at(local), remote: at(remote) }
}

/// A network with two public hosts at `A` and `B`.
struct Pair {
    net: Network,
    a: HostId,
    b: HostId,
    start: Instant,
    now: Instant,
}

impl Pair {
    fn new(seed: u64, path: Link) -> Self {
        let mut net = Network::new(seed);
        net.set_default_path(path);
        let (a, b) = (net.add_host(at(A).ip()), net.add_host(at(B).ip()));
        let start = Instant::now();
        Self { net, a, b, start, now: start }
    }

    fn a_to_b(&mut self, data: impl Into<Bytes>) {
        self.net.send(self.now, self.a, udp(A, B), data.into());
    }

    fn run(&mut self, duration: Duration) -> Vec<(Duration, HostId, NetEvent)> {
        run(&mut self.net, self.start, &mut self.now, duration)
    }
}

/// Everything that is delivered in a while, with its time since `start`.
fn run(
    net: &mut Network,
    start: Instant,
    now: &mut Instant,
    duration: Duration,
) -> Vec<(Duration, HostId, NetEvent)> {
    let until = *now + duration;
    let mut all = Vec::new();
    loop {
        match net.poll(*now) {
            Output::Event(d) => all.push((*now - start, d.host, d.event)),
            Output::Timeout(Some(next)) if next <= until => *now = next,
            _ => {
                *now = until;
                return all;
            }
        }
    }
}
