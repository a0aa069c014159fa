use crate::testkit::{Registrar, ServerEvent};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tiny_net::{BindError, Config, NetEvent, SipTransports};
use tiny_sak::{Flow, Secret, Transport};
use tiny_sip::digest::{Answer, Session};
use tiny_sip::{HeaderName, Limits, Message};
use tokio::time::timeout;

async fn ask(net: &mut SipTransports, flow: Flow, text: String) -> Message {
    net.send(flow, Bytes::from(text.replace('\n', "\r\n")));
    loop {
        let event = timeout(Duration::from_secs(5), net.recv()).await.expect("an answer in 5 s");
        if let NetEvent::Datagram { data, .. } | NetEvent::Stream { data, .. } = event {
            return Message::parse(data, &Limits::default()).expect("a whole message");
        }
    }
}

#[tokio::test]
async fn a_phone_registers_over_real_sockets_by_udp_and_tcp() {
    let mut registrar =
        Registrar::builder("example.test").user("bob", "secret").start().await.unwrap();
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut net = SipTransports::new(Config::default());
        let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let local = net.bind(transport, here).unwrap();
        let flow = Flow { transport, local, remote: registrar.address() };
        let register = |number: u32, credentials: &str| {
            format!(
                "REGISTER sip:example.test SIP/2.0\n\
                 Via: SIP/2.0/{transport} {local};branch=z9hG4bK{number};rport\n\
                 Max-Forwards: 70\nFrom: <sip:bob@example.test>;tag=x\n\
                 To: <sip:bob@example.test>\nCall-ID: {transport}\nCSeq: {number} REGISTER\n\
                 Contact: <sip:bob@{local};transport={transport}>\nExpires: 60\n{credentials}\
                 Content-Length: 0\n\n"
            )
        };
        let challenged = ask(&mut net, flow, register(1, "")).await;
        assert_eq!(challenged.status().unwrap().code(), 401);
        let challenge = challenged.challenges(HeaderName::WwwAuthenticate).next().unwrap().unwrap();
        let credentials = Session::new(&challenge).unwrap().authorize(&Answer {
            username: "bob",
            password: &Secret::from("secret"),
            method: "REGISTER",
            uri: "sip:example.test",
            body: b"",
            cnonce: "c",
        });
        let header = format!("Authorization: {credentials}\n");
        let done = ask(&mut net, flow, register(2, &header)).await;
        assert_eq!(done.status().unwrap().code(), 200);
        let event = timeout(Duration::from_secs(5), registrar.next_event()).await.unwrap();
        assert!(matches!(event, Some(ServerEvent::Registered { user, .. }) if user == "bob"));
    }
}

#[tokio::test]
async fn a_taken_port_is_named_and_a_dropped_server_gives_its_port_back() {
    let first = Registrar::builder("example.test").start().await.unwrap();
    let addr = first.address();
    let error = Registrar::builder("example.test").bind(addr).start().await.unwrap_err();
    assert!(matches!(error, BindError::PortInUse { .. }), "{error}");
    assert!(error.to_string().contains(&addr.port().to_string()), "{error}");
    drop(first);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if Registrar::builder("example.test").bind(addr).start().await.is_ok() {
            return;
        }
    }
    panic!("the port was not given back");
}
