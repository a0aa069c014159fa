use super::*;
use crate::SipTransports;
use std::net::Ipv4Addr;
use std::time::Duration;

fn localhost() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn udp(config: &Config, addr: SocketAddr) -> (SipTransports, SocketAddr) {
    let mut net = SipTransports::new(config.clone());
    let local = net.bind(Transport::Udp, addr).unwrap();
    (net, local)
}

fn flow(local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Udp, local, remote }
}

async fn next(net: &mut SipTransports) -> NetEvent {
    tokio::time::timeout(Duration::from_secs(5), net.recv()).await.expect("an event within 5 s")
}

#[tokio::test]
async fn a_wildcard_socket_tells_which_address_was_meant_and_answers_from_it() {
    let (mut server, bound) = udp(&Config::default(), "0.0.0.0:0".parse().unwrap());
    let (mut client, ours) = udp(&Config::default(), localhost());
    // Linux answers on all of 127.0.0.0/8.
    let there = SocketAddr::from(([127, 0, 0, 7], bound.port()));
    client.send(flow(ours, there), Bytes::from_static(b"ping"));
    client.flush();
    let NetEvent::Datagram { flow: got, data } = next(&mut server).await else { panic!() };
    assert_eq!((got.local, got.remote, &data[..]), (there, ours, &b"ping"[..]));
    server.send(got, Bytes::from_static(b"pong"));
    server.flush();
    let NetEvent::Datagram { flow: got, data } = next(&mut client).await else { panic!() };
    assert_eq!((got.local, got.remote, &data[..]), (ours, there, &b"pong"[..]));
}

#[tokio::test]
async fn ipv6_and_ipv4_wildcards_live_side_by_side_on_one_port() {
    let mut net = SipTransports::new(Config::default());
    let v4 = net.bind(Transport::Udp, "0.0.0.0:0".parse().unwrap()).unwrap();
    let Ok(v6) = net.bind(Transport::Udp, SocketAddr::from(([0u16; 8], v4.port()))) else {
        // No IPv6 here, or the port is taken there by someone else.
        return;
    };
    let (mut client, ours) = udp(&Config::default(), "[::1]:0".parse().unwrap());
    let there = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port()));
    client.send(flow(ours, there), Bytes::from_static(b"six"));
    client.flush();
    let got = next(&mut net).await;
    assert_eq!(got, NetEvent::Datagram { flow: flow(there, ours), data: "six".into() });
    net.send(got.flow(), Bytes::from_static(b"back"));
    net.flush();
    assert_eq!(next(&mut client).await.flow(), flow(ours, there));
}

#[tokio::test]
async fn an_icmp_error_names_the_destination_and_spares_other_peers() {
    let (mut client, ours) = udp(&Config::default(), localhost());
    let (mut alive, friend) = udp(&Config::default(), localhost());
    // A port that was free a moment ago.
    let dead = std::net::UdpSocket::bind(localhost()).unwrap().local_addr().unwrap();
    client.send(flow(ours, dead), Bytes::from_static(b"anyone?"));
    client.flush();
    // The error is pending on the socket; a send to someone else must not suffer from it.
    client.send(flow(ours, friend), Bytes::from_static(b"hello"));
    client.flush();
    assert!(matches!(next(&mut alive).await, NetEvent::Datagram { .. }));
    let refused = io::ErrorKind::ConnectionRefused;
    assert_eq!(
        next(&mut client).await,
        NetEvent::SendFailed { flow: flow(ours, dead), error: refused }
    );
    assert_eq!((client.stats().datagrams_out, client.stats().send_failures), (2, 1));
}

#[tokio::test]
async fn an_icmp_error_wakes_a_waiting_receiver() {
    let (mut client, ours) = udp(&Config::default(), "0.0.0.0:0".parse().unwrap());
    let dead = std::net::UdpSocket::bind(localhost()).unwrap().local_addr().unwrap();
    client.send(flow(ours, dead), Bytes::from_static(b"anyone?"));
    let event = next(&mut client).await;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, ours.port()));
    let error = io::ErrorKind::ConnectionRefused;
    assert_eq!(event, NetEvent::SendFailed { flow: flow(local, dead), error });
}

#[tokio::test]
async fn bursts_arrive_whole_in_order_and_in_batches() {
    let (mut server, there) = udp(&Config::default(), localhost());
    let (mut client, ours) = udp(&Config::default(), localhost());
    for i in 0..2000u32 {
        let length = 4 + i as usize % 1200;
        let mut data = vec![i as u8; length];
        data[..4].copy_from_slice(&i.to_be_bytes());
        client.send(flow(ours, there), data.into());
    }
    client.flush();
    for i in 0..2000u32 {
        let NetEvent::Datagram { flow: got, data } = next(&mut server).await else { panic!() };
        assert_eq!((got.remote, data.len()), (ours, 4 + i as usize % 1200));
        assert_eq!(data[..4], i.to_be_bytes());
    }
    let stats = server.stats();
    assert_eq!(stats.datagrams_in, 2000);
    assert!(stats.receive_batches < 300, "{stats:?}");
}

#[tokio::test]
async fn a_datagram_over_the_limit_is_counted_and_dropped() {
    let config = Config { max_datagram: 1000, ..Config::default() };
    let (mut server, there) = udp(&config, localhost());
    let (mut client, ours) = udp(&Config::default(), localhost());
    client.send(flow(ours, there), vec![b'x'; 1001].into());
    client.send(flow(ours, there), vec![b'y'; 1000].into());
    client.flush();
    let NetEvent::Datagram { data, .. } = next(&mut server).await else { panic!() };
    assert_eq!((data.len(), data[0]), (1000, b'y'));
    assert_eq!(server.stats().datagrams_too_long, 1);
}

#[tokio::test]
async fn the_longest_datagram_goes_through_and_a_longer_one_fails() {
    let (mut server, there) = udp(&Config::default(), localhost());
    let (mut client, ours) = udp(&Config::default(), localhost());
    client.send(flow(ours, there), vec![b'x'; 65_507].into());
    client.send(flow(ours, there), vec![b'x'; 65_508].into());
    assert!(
        matches!(next(&mut client).await, NetEvent::SendFailed { flow: f, .. } if f.remote == there)
    );
    let NetEvent::Datagram { data, .. } = next(&mut server).await else { panic!() };
    assert_eq!(data.len(), 65_507);
}

#[tokio::test]
async fn an_empty_datagram_is_an_event_too() {
    let (mut server, there) = udp(&Config::default(), localhost());
    let sender = std::net::UdpSocket::bind(localhost()).unwrap();
    sender.send_to(b"", there).unwrap();
    let NetEvent::Datagram { data, .. } = next(&mut server).await else { panic!() };
    assert!(data.is_empty());
}

#[tokio::test]
async fn a_full_queue_fails_the_newest_and_keeps_the_rest() {
    // The datagrams of one batch wait until the next flush.
    let config = Config { udp_send_queue: 4, udp_receive_batch: 64, ..Config::default() };
    let mut socket = UdpSocket::bind(localhost(), &config).unwrap();
    let mut stats = Stats::default();
    let ours = socket.local();
    // Pretend that the system takes nothing.
    socket.blocked = true;
    for i in 0..4u8 {
        socket.outbox.push_back((flow(ours, ours), vec![i].into()));
    }
    socket.outbox_limit = 0;
    socket.send(flow(ours, ours), Bytes::from_static(b"late"), &mut stats);
    assert_eq!((stats.datagrams_out, stats.send_failures), (4, 1));
    let error = io::ErrorKind::QuotaExceeded;
    assert_eq!(
        socket.inbox.pop_front(),
        Some(NetEvent::SendFailed { flow: flow(ours, ours), error })
    );
}
