//! WebSocket on loopback: our client against our server, and raw bytes against both.

use crate::{Config, NetEvent, SipTransports};
use bytes::Bytes;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tiny_sak::{Flow, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn listening(config: Config) -> (SipTransports, SocketAddr) {
    let mut net = SipTransports::new(config);
    let local = net.bind(Transport::Ws, "127.0.0.1:0".parse().unwrap()).unwrap();
    (net, local)
}

fn to(remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Ws, local: "127.0.0.1:0".parse().unwrap(), remote }
}

async fn next(net: &mut SipTransports) -> NetEvent {
    tokio::time::timeout(Duration::from_secs(5), net.recv()).await.expect("an event within 5 s")
}

async fn meanwhile(first: &mut SipTransports, second: &mut SipTransports) -> NetEvent {
    tokio::select! {
        event = next(first) => event,
        () = async { loop { second.recv().await; } } => unreachable!(),
    }
}

#[tokio::test]
async fn each_sip_message_is_one_websocket_message() {
    let (mut bob, at_bob) = listening(Config::default());
    let mut alice = SipTransports::new(Config::default());
    let out = to(at_bob);
    alice.send_to(out, "example.com", Bytes::from_static(b"REGISTER"));
    alice.send_to(out, "example.com", Bytes::from_static(b"SUBSCRIBE"));
    // §4.2: not UTF-8, so binary.
    alice.send_to(out, "example.com", Bytes::from_static(b"MESSAGE \xff\xfe"));
    let NetEvent::Opened { flow: back } = next(&mut bob).await else { panic!() };
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
    assert_eq!((back.transport, back.local), (Transport::Ws, at_bob));
    for expected in [&b"REGISTER"[..], b"SUBSCRIBE", b"MESSAGE \xff\xfe"] {
        let data = Bytes::from_static(expected);
        assert_eq!(next(&mut bob).await, NetEvent::Datagram { flow: back, data });
    }
    bob.send(back, Bytes::from_static(b"SIP/2.0 200 OK"));
    let data = Bytes::from_static(b"SIP/2.0 200 OK");
    assert_eq!(next(&mut alice).await, NetEvent::Datagram { flow: out, data });
    assert_eq!((alice.stats().connections, bob.stats().connections), (1, 1));
    alice.close(out);
    assert_eq!(next(&mut bob).await, NetEvent::Closed { flow: back, error: None });
}

const OPENING: &str = "GET / HTTP/1.1\r\nHost: sip-ws.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://www.example.com\r\nSec-WebSocket-Version: 13\r\n";

async fn answer(net: &mut SipTransports, addr: SocketAddr, request: &str) -> String {
    let mut raw = TcpStream::connect(addr).await.unwrap();
    raw.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(5), raw.read(&mut answer));
    let length = tokio::select! {
        read = read => read.unwrap().unwrap(),
        () = async { loop { net.recv().await; } } => unreachable!(),
    };
    String::from_utf8(answer[..length].to_vec()).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn the_handshake_of_rfc_7118_is_answered_and_others_are_refused() {
    let (mut bob, at_bob) = listening(Config::default());
    // The example of §4.1.
    let good = format!("{OPENING}Sec-WebSocket-Protocol: sip\r\n\r\n");
    let text = answer(&mut bob, at_bob, &good).await;
    assert!(text.starts_with("http/1.1 101 "), "{text}");
    assert!(text.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{text}");
    assert!(text.contains("sec-websocket-protocol: sip\r\n"), "{text}");
    let several = format!("{OPENING}Sec-WebSocket-Protocol: chat, sip\r\n\r\n");
    assert!(answer(&mut bob, at_bob, &several).await.starts_with("http/1.1 101 "));
    for other in ["", "Sec-WebSocket-Protocol: chat\r\n"] {
        let text = answer(&mut bob, at_bob, &format!("{OPENING}{other}\r\n")).await;
        assert!(text.starts_with("http/1.1 400 "), "{text}");
    }
    assert!(bob.stats().failed_handshakes <= 2);
}

#[tokio::test]
async fn a_client_names_the_domain_and_the_sub_protocol() {
    let raw = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = raw.local_addr().unwrap();
    let mut alice = SipTransports::new(Config { ws_path: "/sip".into(), ..Config::default() });
    alice.send_to(to(addr), "example.com", Bytes::from_static(b"x"));
    let (mut peer, _) = raw.accept().await.unwrap();
    let mut request = vec![0; 4096];
    let length = peer.read(&mut request).await.unwrap();
    let text = String::from_utf8(request[..length].to_vec()).unwrap();
    assert!(text.starts_with("GET /sip HTTP/1.1\r\n"), "{text}");
    let lower = text.to_ascii_lowercase();
    assert!(lower.contains(&format!("host: example.com:{}\r\n", addr.port())), "{text}");
    assert!(lower.contains("sec-websocket-protocol: sip\r\n"), "{text}");
    // §4.1: no 101 is a transport error.
    peer.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let error = ErrorKind::ConnectionRefused;
    assert_eq!(next(&mut alice).await, NetEvent::SendFailed { flow: to(addr), error });
    assert_eq!(alice.failure(to(addr)), Some("WebSocket: HTTP error: 404 Not Found"));
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let (mut bob, at_bob) = listening(Config { ws_max_message: 1000, ..Config::default() });
    let mut alice = SipTransports::new(Config::default());
    alice.send(to(at_bob), vec![b'x'; 1000].into());
    alice.send(to(at_bob), vec![b'x'; 1001].into());
    let NetEvent::Opened { flow } = meanwhile(&mut bob, &mut alice).await else { panic!() };
    let event = meanwhile(&mut bob, &mut alice).await;
    assert!(matches!(event, NetEvent::Datagram { data, .. } if data.len() == 1000));
    let error = Some(ErrorKind::InvalidData);
    assert_eq!(meanwhile(&mut bob, &mut alice).await, NetEvent::Closed { flow, error });
}

#[tokio::test]
async fn silence_is_broken_by_pings_and_a_dead_peer_is_noticed() {
    let quick = || Config { ws_ping_interval: Duration::from_millis(50), ..Config::default() };
    let (mut bob, at_bob) = listening(Config::default());
    let mut alice = SipTransports::new(quick());
    alice.send(to(at_bob), Bytes::from_static(b"x"));
    assert_eq!(meanwhile(&mut alice, &mut bob).await, NetEvent::Opened { flow: to(at_bob) });
    // Bob answers pings, so nothing happens.
    let quiet = async {
        loop {
            bob.recv().await;
        }
    };
    let outcome = tokio::select! {
        event = alice.recv() => Some(event),
        () = quiet => None,
        () = tokio::time::sleep(Duration::from_millis(400)) => None,
    };
    assert_eq!(outcome, None);
    // A peer that has opened but never answers.
    let (mut carol, at_carol) = listening(quick());
    let mut raw = TcpStream::connect(at_carol).await.unwrap();
    let good = format!("{OPENING}Sec-WebSocket-Protocol: sip\r\n\r\n");
    raw.write_all(good.as_bytes()).await.unwrap();
    let NetEvent::Opened { flow } = next(&mut carol).await else { panic!() };
    let error = Some(ErrorKind::TimedOut);
    assert_eq!(next(&mut carol).await, NetEvent::Closed { flow, error });
    let mut heard = vec![0; 4096];
    let length = raw.read(&mut heard).await.unwrap();
    // 0x89: a ping, unmasked as a server's frames are.
    assert!(heard[..length].contains(&0x89), "{:?}", &heard[..length]);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn secure_websocket_verifies_as_https_does() {
    use crate::tls::{TlsConfig, tests::Authority};
    let ca = Authority::new();
    let tls = TlsConfig { server: Some(ca.identity(&["*.example.com"])), ..TlsConfig::default() };
    let mut bob = SipTransports::new(Config { tls, ..Config::default() });
    let at_bob = bob.bind(Transport::Wss, "127.0.0.1:0".parse().unwrap()).unwrap();
    let tls = TlsConfig { roots: ca.roots(), ..TlsConfig::default() };
    let mut alice = SipTransports::new(Config { tls, ..Config::default() });
    let out = Flow { transport: Transport::Wss, ..to(at_bob) };
    // A wildcard is good for a web server (RFC 7118 §9.1).
    alice.send_to(out, "ws.example.com", Bytes::from_static(b"REGISTER"));
    assert!(matches!(next(&mut bob).await, NetEvent::Opened { .. }));
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
    let data = Bytes::from_static(b"REGISTER");
    let event = next(&mut bob).await;
    assert!(matches!(&event, NetEvent::Datagram { data: got, .. } if *got == data), "{event:?}");
    bob.send(event.flow(), Bytes::from_static(b"200"));
    let data = Bytes::from_static(b"200");
    assert_eq!(meanwhile(&mut alice, &mut bob).await, NetEvent::Datagram { flow: out, data });
    alice.send_to(out, "example.org", Bytes::from_static(b"x"));
    let event = meanwhile(&mut alice, &mut bob).await;
    assert!(
        matches!(event, NetEvent::SendFailed { error: ErrorKind::PermissionDenied, .. }),
        "{event:?}"
    );
}
