//! Looks at the NAT in the way through a socket of its own: [`Discovery`] with tokio under it.

use crate::NetEvent;
use crate::stun::{Discovery, DiscoveryConfig, Input, NatReport, Transmit};
use bytes::Bytes;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tiny_sak::{Flow, Output, Rng, Transport};
use tokio::net::UdpSocket;

/// Longer answers of servers are not read.
const MAX_ANSWER: usize = 2048;

/// What kind of NAT is between `local` (or the address that faces the first server) and the servers.
/// It takes about half a second where there is none or an ordinary one, some seconds where much is
/// filtered, and [`NatReport::mapped`] is `None` where nobody answers.
///
/// # Errors
/// What the system says when a socket is bound; `InvalidInput` without a server.
pub async fn discover(
    local: Option<IpAddr>,
    servers: Vec<SocketAddr>,
    config: DiscoveryConfig,
    rng: Rng,
) -> io::Result<NatReport> {
    let first = *servers.first().ok_or(io::ErrorKind::InvalidInput)?;
    let local = match local {
        Some(ip) => ip,
        None => crate::local_address_for(first)?,
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    let local = socket.local_addr()?;
    let mut discovery = Discovery::new(Instant::now(), config, local, servers, rng);
    let mut buffer = [0; MAX_ANSWER];
    loop {
        match discovery.poll(Instant::now()) {
            Output::Transmit(Transmit::Send { flow, data }) => {
                // What cannot be sent is not answered, which is what is found out then.
                let _ = socket.send_to(&data, flow.remote).await;
            }
            Output::Transmit(_) => {}
            Output::Event(report) => return Ok(report),
            Output::Timeout(at) => {
                let at = at.unwrap_or_else(Instant::now).into();
                let input = tokio::select! {
                    received = socket.recv_from(&mut buffer) => match received {
                        Ok((length, remote)) => {
                            let flow = Flow { transport: Transport::Udp, local, remote };
                            let data = Bytes::copy_from_slice(&buffer[..length]);
                            Input::Net(NetEvent::Datagram { flow, data })
                        }
                        // An ICMP error about a server: its silence tells the same.
                        Err(_) => continue,
                    },
                    () = tokio::time::sleep_until(at) => Input::Timeout,
                };
                discovery.handle(Instant::now(), input);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Behaviour, Builder, Class, Message, Timing, attr, method};
    use std::time::Duration;

    /// Answers whatever it is asked with the address that asks, or stays silent.
    async fn server(host: &str, answers: bool) -> SocketAddr {
        let socket = UdpSocket::bind((host, 0)).await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let request = Message::parse(&buffer[..length]).unwrap();
                assert_eq!(request.method(), method::BINDING);
                let answer = Builder::new(Class::Success, method::BINDING, request.id())
                    .xor_address(attr::XOR_MAPPED_ADDRESS, from);
                if answers {
                    socket.send_to(&answer.finish(), from).await.unwrap();
                }
            }
        });
        at
    }

    fn quick() -> DiscoveryConfig {
        let rto = Duration::from_millis(20);
        let timing = Timing { rto, ..DiscoveryConfig::default().timing };
        DiscoveryConfig { timing, ..DiscoveryConfig::default() }
    }

    #[cfg(target_os = "linux")] // All of 127.0.0.0/8 is there.
    #[tokio::test]
    async fn two_servers_that_see_the_same_address_tell_of_no_nat() {
        let servers = vec![server("127.0.0.1", true).await, server("127.0.0.2", true).await];
        let report = discover(None, servers, quick(), Rng::from_seed(1)).await.unwrap();
        assert_eq!(report.mapped, Some(report.local));
        assert!(!report.translated);
        assert_eq!(report.mapping, Behaviour::EndpointIndependent);
        assert_eq!(report.filtering, Behaviour::Unknown);
    }

    #[tokio::test]
    async fn a_silent_server_leaves_the_address_unknown_and_none_is_an_error() {
        let servers = vec![server("127.0.0.1", false).await];
        let report = discover(None, servers, quick(), Rng::from_seed(1)).await.unwrap();
        assert_eq!(report.mapped, None);
        let none = discover(None, Vec::new(), quick(), Rng::from_seed(1)).await;
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
