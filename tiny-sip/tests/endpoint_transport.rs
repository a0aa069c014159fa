//! The transport layer of RFC 3261 §18 as the endpoint sees it: streams, keep-alives, the choice of
//! transport, failures, and resolution.

mod endpoint_net;

use endpoint_net::{Net, addr, answer, header, sdp};
use std::io::ErrorKind;
use std::time::Duration;
use tiny_sak::{Flow, Transport};
use tiny_sip::{
    Account, Body, Cause, Config, EndedBy, Event, Input, Method, Outgoing, Registration, Target,
};

const US: &str = "10.0.0.1:5060";
const PEER: &str = "10.0.0.9:5060";

fn net(tcp: bool) -> Net {
    let mut net = Net::new(1);
    net.add(US, "alice", Config::default());
    if tcp {
        net.endpoint(0).bind(Transport::Tcp, addr(US));
    }
    net
}

fn flow(transport: Transport) -> Flow {
    Flow { transport, local: addr(US), remote: addr(PEER) }
}

fn message(net: &mut Net, size: usize) -> tiny_sip::RequestKey {
    let (now, account) = (net.now, net.peers[0].account);
    let body = Some(Body::new("text/plain", vec![b'x'; size]));
    // Each to somebody else, lest one waits for the other.
    let to = format!("sip:bob{size}@10.0.0.9");
    let key = net.endpoint(0).request(now, account, Method::Message, &to, vec![], body).unwrap();
    net.drain();
    key
}

#[test]
fn requests_over_1300_bytes_go_over_tcp_and_back_to_udp_when_it_is_refused() {
    let mut net = net(true);
    message(&mut net, 100);
    assert_eq!(net.log[0].2, Transport::Udp);
    let key = message(&mut net, 1300);
    let (.., transport, bytes) = net.log.last().unwrap().clone();
    assert_eq!(transport, Transport::Tcp);
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(header(&text, "Via").starts_with("SIP/2.0/TCP 10.0.0.1:5060;"));
    let now = net.now;
    let refused =
        Input::SendFailed { flow: flow(Transport::Tcp), error: ErrorKind::ConnectionRefused };
    net.endpoint(0).handle(now, refused);
    net.drain();
    let (.., transport, bytes) = net.log.last().unwrap().clone();
    assert_eq!(transport, Transport::Udp);
    let again = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(header(&again, "Via").starts_with("SIP/2.0/UDP 10.0.0.1:5060;"));
    assert_ne!(header(&again, "Via"), header(&text, "Via"));
    net.inject(PEER, US, &answer(&again, "200 OK", "x", ""));
    let Event::Response { key: answered, .. } = net.event(0) else { panic!() };
    assert_eq!(answered, key);
    // Without a TCP address, or not wanting it, UDP has to do.
    let mut net = self::net(false);
    message(&mut net, 3000);
    assert_eq!(net.log[0].2, Transport::Udp);
}

#[test]
fn a_known_path_mtu_moves_the_border() {
    let mut config = Config::default();
    config.path_mtu = Some(9000);
    let mut net = Net::new(1);
    net.add(US, "alice", config);
    net.endpoint(0).bind(Transport::Tcp, addr(US));
    message(&mut net, 5000);
    message(&mut net, 8700);
    let transports: Vec<_> = net.log.iter().map(|entry| entry.2).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
}

#[test]
fn a_call_over_tcp_between_two_endpoints() {
    let mut net = Net::pair(2);
    for i in 0..2 {
        let at = net.peers[i].addr;
        net.endpoint(i).bind(Transport::Tcp, at);
    }
    let alice = net.invite(0, "sip:bob@10.0.0.2;transport=tcp");
    let Event::Incoming { call: bob, flow, .. } = net.event(1) else { panic!() };
    assert_eq!(flow.transport, Transport::Tcp);
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::Answered { .. }));
    assert!(matches!(net.event(1), Event::Confirmed { .. }));
    assert_eq!(header(&net.sent("INVITE"), "Contact"), "<sip:alice@10.0.0.1:5060;transport=tcp>");
    let now = net.now;
    net.endpoint(1).hangup(now, bob, vec![]).unwrap();
    let Event::Ended { call, .. } = net.event(0) else { panic!() };
    assert_eq!(call, alice);
    net.settle();
    assert!(net.log.iter().all(|entry| entry.2 == Transport::Tcp));
    net.assert_empty();
}

#[test]
fn messages_on_a_stream_may_be_cut_anywhere_and_pings_get_pongs() {
    let mut net = net(true);
    let text = "OPTIONS sip:a@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bKa\r\n\
                From: <sip:x@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
                Max-Forwards: 70\r\nContent-Length: 4\r\n\r\nbody";
    let two = format!("{text}\r\n\r\n{}", text.replace("bKa", "bKb").replace("ID: 1", "ID: 2"));
    for piece in two.as_bytes().chunks(7) {
        net.inject_stream(PEER, US, std::str::from_utf8(piece).unwrap());
    }
    assert_eq!(net.ladder(), ["200 OK", "", "200 OK"]);
    assert_eq!(&net.log[1].3[..], b"\r\n");
    assert!(net.log.iter().all(|entry| (entry.1, entry.2) == (addr(PEER), Transport::Tcp)));
    assert_eq!(net.endpoint(0).stats().streams, 1);
    let now = net.now;
    net.endpoint(0).handle(now, Input::StreamClosed { flow: flow(Transport::Tcp) });
    assert_eq!(net.endpoint(0).stats().streams, 0);
    // Without Content-Length nobody knows where the next message begins.
    net.log.clear();
    net.inject_stream(PEER, US, &text.replace("Content-Length: 4\r\n", ""));
    net.inject_stream(PEER, US, text);
    assert_eq!(net.ladder(), ["400 Bad Request - Content-Length"]);
    assert!(matches!(net.event(0), Event::StreamBroken { flow } if flow.remote == addr(PEER)));
}

#[test]
fn a_closed_stream_fails_its_transactions_at_once() {
    let mut net = net(true);
    let call = net.invite(0, "sip:bob@10.0.0.9;transport=tcp");
    let key = message(&mut net, 2000);
    let now = net.now;
    net.endpoint(0).handle(now, Input::StreamClosed { flow: flow(Transport::Tcp) });
    net.drain();
    let Event::Ended { call: ended, by: EndedBy::Network, status: Some(503), .. } = net.event(0)
    else {
        panic!()
    };
    assert_eq!(ended, call);
    // The message was over TCP for its size only.
    assert_eq!(net.log.last().unwrap().2, Transport::Udp);
    let now = net.now;
    let error = ErrorKind::ConnectionRefused;
    net.endpoint(0).handle(now, Input::SendFailed { flow: flow(Transport::Udp), error });
    let Event::RequestFailed { key: failed, cause: Cause::Network, .. } = net.event(0) else {
        panic!()
    };
    assert_eq!((failed, net.now), (key, now));
    net.assert_empty();
}

#[test]
fn a_response_opens_a_new_connection_when_the_requests_is_gone() {
    let mut net = net(true);
    let text = "MESSAGE sip:a@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.9:7070;branch=z9hG4bKa\r\n\
                From: <sip:x@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n\
                Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
    net.inject_stream("10.0.0.9:45000", US, text);
    let Event::Request { key, flow, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).handle(now, Input::StreamClosed { flow });
    net.endpoint(0).respond(now, key, 200, None, vec![], None).unwrap();
    net.drain();
    assert_eq!(net.log.last().unwrap().1, addr("10.0.0.9:7070"));
}

#[test]
fn names_are_asked_for_and_targets_tried_in_order() {
    let mut net = net(false);
    let (now, account) = (net.now, net.peers[0].account);
    let outgoing = Outgoing {
        to: "sips:bob@example.com;transport=tcp".into(),
        body: sdp(),
        ..Outgoing::default()
    };
    net.endpoint(0).invite(now, account, outgoing).unwrap();
    let Event::Resolve { query, host, port: None, transport, secure: true, .. } = net.event(0)
    else {
        panic!()
    };
    assert_eq!((host.as_str(), transport), ("example.com", Some(Transport::Tls)));
    let target = |n: u8| Target {
        transport: Transport::Udp,
        addr: (std::net::Ipv4Addr::new(10, 0, 1, n), 5060).into(),
        local: addr(US),
    };
    assert_eq!(net.endpoint(0).stats().pending, 1);
    let targets = vec![target(1), target(2), target(3)];
    net.endpoint(0).handle(now, Input::Resolved { query, targets: targets.clone() });
    net.drain();
    let first = net.caught();
    // One refuses, one is overloaded (RFC 3263 §4.3), the third answers.
    let refused = Flow { transport: Transport::Udp, local: addr(US), remote: targets[0].addr };
    let now = net.now;
    let error = ErrorKind::ConnectionRefused;
    net.endpoint(0).handle(now, Input::SendFailed { flow: refused, error });
    net.drain();
    let second = net.caught();
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    net.inject("10.0.1.2:5060", US, &answer(&second, "503 No", "x", ""));
    assert!(net.caught().starts_with("ACK "));
    let third = net.caught();
    assert_eq!(net.log.last().unwrap().1, targets[2].addr);
    net.inject("10.0.1.3:5060", US, &answer(&third, "404 Not Found", "x", ""));
    assert!(matches!(net.event(0), Event::Ended { status: Some(404), .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_name_that_does_not_exist_ends_the_call_and_a_stale_answer_is_ignored() {
    let mut net = net(false);
    let call = net.invite(0, "sip:bob@nowhere.example:5099");
    let Event::Resolve { query, port: Some(5099), .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).handle(now, Input::Resolved { query, targets: vec![] });
    let Event::Ended { call: ended, by: EndedBy::Network, status: Some(503), .. } = net.event(0)
    else {
        panic!()
    };
    assert_eq!(ended, call);
    net.endpoint(0).handle(now, Input::Resolved { query, targets: vec![] });
    net.no_event(0);
    // Hanging up while the question is open.
    let call = net.invite(0, "sip:bob@nowhere.example");
    let Event::Resolve { query, .. } = net.event(0) else { panic!() };
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    assert!(matches!(net.event(0), Event::Ended { by: EndedBy::Local, .. }));
    let target = Target { transport: Transport::Udp, addr: addr(PEER), local: addr(US) };
    net.endpoint(0).handle(now, Input::Resolved { query, targets: vec![target] });
    net.drain();
    assert!(net.log.is_empty());
    net.assert_empty();
}

#[test]
fn an_outbound_proxy_gets_everything_with_its_route() {
    let mut net = Net::new(3);
    let account = Account {
        aor: "sip:alice@example.com".into(),
        display: Some("Alice \"A\"".into()),
        route: vec!["sip:10.0.0.9;lr".into()],
        headers: vec![("X-All".into(), "1".into())],
        ..Account::default()
    };
    net.add_account(US, account, Config::default());
    net.invite(0, "sip:bob@somewhere.example");
    let invite = net.caught();
    assert!(invite.starts_with("INVITE sip:bob@somewhere.example SIP/2.0"));
    assert_eq!(header(&invite, "Route"), "<sip:10.0.0.9;lr>");
    assert_eq!(header(&invite, "X-All"), "1");
    assert!(header(&invite, "From").starts_with(r#""Alice \"A\"" <sip:alice@example.com>;tag="#));
    // CANCEL and the ACK of a refusal take the same way (§9.1, §17.1.1.3).
    net.inject(PEER, US, &answer(&invite, "486 Busy", "x", ""));
    assert_eq!(header(&net.caught(), "Route"), "<sip:10.0.0.9;lr>");
}

#[test]
fn keep_alives_run_on_the_registered_flow() {
    for (transport, seconds) in [("udp", 29), ("tcp", 100)] {
        let mut net = net(true);
        let (now, account) = (net.now, net.peers[0].account);
        let registrar = format!("sip:10.0.0.9;transport={transport}");
        let registration = Registration { registrar, expires: 600, headers: vec![] };
        net.endpoint(0).register(now, account, registration).unwrap();
        net.drain();
        let register = net.caught();
        let contact = format!("Contact: {}\r\n", header(&register, "Contact"));
        let ok = answer(&register, "200 OK", "x", &contact);
        match transport {
            "udp" => net.inject(PEER, US, &ok),
            _ => net.inject_stream(PEER, US, &ok),
        }
        assert!(matches!(net.event(0), Event::Registered { expires: 600, .. }));
        net.log.clear();
        net.run(1000 * seconds * 3 + 100);
        let pings: Vec<_> = net.log.iter().filter(|entry| &entry.3[..] == b"\r\n\r\n").collect();
        assert_eq!(pings.len(), 3, "{transport}");
        if transport == "tcp" {
            // A pong is taken for one, and a lost flow is registered again.
            net.inject_stream(PEER, US, "\r\n");
            let now = net.now;
            net.endpoint(0).handle(now, Input::StreamClosed { flow: flow(Transport::Tcp) });
            assert!(matches!(net.event(0), Event::FlowFailed { .. }));
            net.inbox.clear();
            assert!(net.caught().starts_with("REGISTER"));
            assert!(net.now - now <= Duration::from_secs(5) + Duration::from_millis(10));
        }
    }
}
