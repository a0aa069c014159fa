use super::task::advance;
use super::*;
use crate::SipTransports;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::timeout;

fn localhost() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn tcp(config: Config) -> (SipTransports, SocketAddr) {
    let mut net = SipTransports::new(config);
    let local = net.bind(Transport::Tcp, localhost()).unwrap();
    (net, local)
}

fn flow(local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Tcp, local, remote }
}

async fn next(net: &mut SipTransports) -> NetEvent {
    timeout(Duration::from_secs(5), net.recv()).await.expect("an event within 5 s")
}

async fn stream(net: &mut SipTransports, length: usize) -> (Flow, Vec<u8>) {
    let mut all = Vec::new();
    loop {
        match next(net).await {
            NetEvent::Stream { flow, data } => {
                all.extend_from_slice(&data);
                if all.len() >= length {
                    return (flow, all);
                }
            }
            NetEvent::Opened { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_opens_on_demand_and_is_used_both_ways() {
    let (mut alice, at_alice) = tcp(Config::default());
    let (mut bob, at_bob) = tcp(Config::default());
    let out = flow(at_alice, at_bob);
    alice.send(out, Bytes::from_static(b"INVITE"));
    alice.send(out, Bytes::from_static(b"ACK"));
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
    let (seen, bytes) = stream(&mut bob, 9).await;
    assert_eq!(&bytes[..], b"INVITEACK");
    assert_eq!(seen.local, at_bob);
    assert_ne!(seen.remote, at_alice, "the connection comes from a port of its own");
    bob.send(seen, Bytes::from_static(b"200 OK"));
    let (back, bytes) = stream(&mut alice, 6).await;
    assert_eq!((back, &bytes[..]), (out, &b"200 OK"[..]));
    assert_eq!((alice.stats().connections, alice.stats().connected), (1, 1));
    assert_eq!((bob.stats().connections, bob.stats().accepted), (1, 1));
}

#[tokio::test]
async fn refused_connections_fail_with_the_flow_that_was_asked_for() {
    let (mut alice, at_alice) = tcp(Config::default());
    let dead = std::net::TcpListener::bind(localhost()).unwrap().local_addr().unwrap();
    alice.send(flow(at_alice, dead), Bytes::from_static(b"anyone?"));
    let error = io::ErrorKind::ConnectionRefused;
    assert_eq!(next(&mut alice).await, NetEvent::SendFailed { flow: flow(at_alice, dead), error });
    assert_eq!(alice.stats().connections, 0);
}

#[tokio::test]
async fn a_peer_that_closes_is_reported_once_and_forgotten() {
    let (mut alice, at_alice) = tcp(Config::default());
    let peer = std::net::TcpListener::bind(localhost()).unwrap();
    let out = flow(at_alice, peer.local_addr().unwrap());
    alice.send(out, Bytes::from_static(b"hello"));
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
    drop(peer.accept().unwrap());
    // Closed with our bytes unread: the system sends a reset.
    assert!(matches!(next(&mut alice).await, NetEvent::Closed { flow, .. } if flow == out));
    assert_eq!(alice.stats().connections, 0);
    alice.send(out, Bytes::from_static(b"again"));
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
}

#[tokio::test]
async fn closing_writes_what_is_queued_first() {
    let (mut alice, at_alice) = tcp(Config::default());
    let (mut bob, at_bob) = tcp(Config::default());
    let out = flow(at_alice, at_bob);
    alice.send(out, vec![7; 300_000].into());
    alice.close(out);
    let (seen, bytes) = stream(&mut bob, 300_000).await;
    assert_eq!(bytes.len(), 300_000);
    assert_eq!(next(&mut bob).await, NetEvent::Closed { flow: seen, error: None });
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let config = Config { idle_timeout: Duration::from_millis(50), ..Config::default() };
    let (mut alice, at_alice) = tcp(config);
    let (mut bob, at_bob) = tcp(Config::default());
    let out = flow(at_alice, at_bob);
    alice.send(out, Bytes::from_static(b"hello"));
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
    assert_eq!(next(&mut alice).await, NetEvent::Closed { flow: out, error: None });
    let (seen, _) = stream(&mut bob, 5).await;
    assert_eq!(next(&mut bob).await, NetEvent::Closed { flow: seen, error: None });
}

#[tokio::test]
async fn a_peer_that_does_not_read_fills_its_queue_and_no_more() {
    let config = Config {
        write_queue_bytes: 1 << 20,
        write_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let (mut alice, at_alice) = tcp(config);
    let deaf = std::net::TcpListener::bind(localhost()).unwrap();
    let out = flow(at_alice, deaf.local_addr().unwrap());
    for _ in 0..20 {
        alice.send(out, vec![0; 100_000].into());
    }
    // Nothing could be written yet: the connection's task has not run.
    assert_eq!(alice.stats().send_failures, 10);
    let full = io::ErrorKind::QuotaExceeded;
    for _ in 0..10 {
        assert_eq!(next(&mut alice).await, NetEvent::SendFailed { flow: out, error: full });
    }
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
    for _ in 0..200 {
        alice.send(out, vec![0; 100_000].into());
        tokio::task::yield_now().await;
    }
    let late = io::ErrorKind::TimedOut;
    loop {
        match next(&mut alice).await {
            NetEvent::SendFailed { error, .. } => assert_eq!(error, full),
            other => break assert_eq!(other, NetEvent::Closed { flow: out, error: Some(late) }),
        }
    }
}

#[tokio::test]
async fn connections_over_the_limit_are_turned_away() {
    let (mut bob, at_bob) = tcp(Config { max_connections: 2, ..Config::default() });
    let _first = std::net::TcpStream::connect(at_bob).unwrap();
    let _second = std::net::TcpStream::connect(at_bob).unwrap();
    let mut third = std::net::TcpStream::connect(at_bob).unwrap();
    assert!(matches!(next(&mut bob).await, NetEvent::Opened { .. }));
    assert!(matches!(next(&mut bob).await, NetEvent::Opened { .. }));
    let wait = timeout(Duration::from_millis(50), bob.recv()).await;
    assert!(wait.is_err(), "{wait:?}");
    assert_eq!((bob.stats().connections, bob.stats().refused), (2, 1));
    assert_eq!(std::io::Read::read(&mut third, &mut [0; 8]).unwrap_or(0), 0);
    // An outgoing one counts too.
    bob.send(flow(at_bob, at_bob), Bytes::from_static(b"x"));
    let error = io::ErrorKind::QuotaExceeded;
    assert_eq!(next(&mut bob).await, NetEvent::SendFailed { flow: flow(at_bob, at_bob), error });
}

#[tokio::test]
async fn a_slow_engine_slows_the_peer_and_loses_nothing() {
    let config = Config { stream_event_queue: 1, stream_read_size: 1000, ..Config::default() };
    let (mut bob, at_bob) = tcp(config);
    let (mut alice, at_alice) = tcp(Config::default());
    let data: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
    alice.send(flow(at_alice, at_bob), data.clone().into());
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (_, got) = stream(&mut bob, data.len()).await;
    assert!(got == data);
}

#[test]
fn a_partial_write_resumes_in_the_middle_of_a_piece() {
    let mut pieces = [Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"defg")];
    assert_eq!(advance(&mut pieces, 5), 2);
    assert_eq!(&pieces[2][..], b"fg");
    assert_eq!(advance(&mut pieces[2..], 2), 1);
}
