//! Registrations that calls come back over: NAT, GRUU, Service-Route, flows and their keep-alives
//! (RFC 3581, 5626, 5627, 3608, 3327, 8599).

mod endpoint_net;

use endpoint_net::{Net, addr, answer, has, header, sdp};
use std::time::Duration;
use tiny_sak::{Flow, Transport};
use tiny_sip::stun::Binding;
use tiny_sip::{Account, Config, Error, Event, Input, Method, Outgoing, Push, Registration};

const US: &str = "10.0.0.1:5060";
const ONE: &str = "10.0.0.8:5060";
const TWO: &str = "10.0.0.9:5060";
const URN: &str = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

fn net(account: Account) -> Net {
    let mut net = Net::new(1);
    let account = Account { aor: "sip:alice@example.com".into(), ..account };
    net.add_account(US, account, Config::default());
    net.endpoint(0).bind(Transport::Tcp, addr(US));
    net
}

fn register(net: &mut Net) {
    let (now, account) = (net.now, net.peers[0].account);
    let registrar = "sip:10.0.0.9".into();
    let registration = Registration { registrar, expires: 600, headers: vec![] };
    net.endpoint(0).register(now, account, registration).unwrap();
}

fn two_flows(transport: &str) -> Net {
    let flow = |host: &str| format!("sip:{host};transport={transport}");
    let flows = vec![flow("10.0.0.8"), flow("10.0.0.9")];
    net(Account { instance: Some(URN.into()), flows, ..Account::default() })
}

/// The next message that is no keep-alive, and where it went.
fn next(net: &mut Net) -> (String, String) {
    for _ in 0..1000 {
        if let Some((_, to, text)) = net.inbox.pop_front() {
            if text.starts_with(|c: char| c.is_ascii_uppercase()) {
                return (to.to_string(), text);
            }
            continue;
        }
        assert!(net.step(None), "nothing is on its way");
    }
    panic!("nothing came");
}

fn ok(request: &str, extra: &str) -> String {
    let contact = header(request, "Contact");
    answer(request, "200 OK", "reg", &format!("Contact: {contact}\r\n{extra}"))
}

/// The option tags that concern registrations.
fn tags(request: &str) -> String {
    let ours = |tag: &&str| ["path", "outbound", "gruu"].contains(tag);
    header(request, "Supported").split(", ").filter(ours).collect::<Vec<_>>().join(", ")
}

const OUTBOUND: &str = "Require: outbound\r\n";

fn reply(net: &mut Net, from: &str, text: &str) {
    match header(text, "Via").contains("/TCP") {
        true => net.inject_stream(from, US, text),
        false => net.inject(from, US, text),
    }
}

/// Both flows registered with outbound.
fn both_up(net: &mut Net) {
    register(net);
    for peer in [ONE, TWO] {
        let (to, request) = next(net);
        assert_eq!(to, peer);
        reply(net, peer, &ok(&request, OUTBOUND));
        assert!(matches!(net.event(0), Event::Registered { outbound: true, .. }));
    }
}

fn with_address(text: &str, via: &str) -> String {
    text.replace(";rport", via)
}

#[test]
fn behind_a_nat_the_contact_becomes_the_public_address_and_the_old_one_goes() {
    let mut net = net(Account::default());
    register(&mut net);
    let first = net.caught();
    assert_eq!(header(&first, "Contact"), "<sip:alice@10.0.0.1:5060>;expires=600");
    let seen = ";received=203.0.113.7;rport=40000";
    reply(&mut net, TWO, &with_address(&ok(&first, ""), seen));
    let second = net.caught();
    assert_eq!(
        header(&second, "Contact"),
        "<sip:alice@203.0.113.7:40000>;expires=600, <sip:alice@10.0.0.1:5060>;expires=0"
    );
    net.no_event(0);
    reply(&mut net, TWO, &with_address(&ok(&second, ""), seen));
    let Event::Registered { contact, .. } = net.event(0) else { panic!() };
    assert_eq!(contact, "sip:alice@203.0.113.7:40000");
    // The Contact of dialogs by way of that hop, or to the outside, is the public one; a neighbour
    // gets the one that it can reach.
    net.invite(0, "sip:bob@10.0.0.9");
    assert_eq!(header(&net.sent("INVITE"), "Contact"), "<sip:alice@203.0.113.7:40000>");
    net.invite(0, "sip:bob@198.51.100.1");
    assert_eq!(header(&net.sent("INVITE"), "Contact"), "<sip:alice@203.0.113.7:40000>");
    net.invite(0, "sip:bob@10.0.0.77");
    assert_eq!(header(&net.sent("INVITE"), "Contact"), "<sip:alice@10.0.0.1:5060>");
    // Unregistering removes what was bound.
    let (now, account) = (net.now, net.peers[0].account);
    net.endpoint(0).unregister(now, account).unwrap();
    net.drain();
    let last = net.sent("REGISTER");
    assert_eq!(header(&last, "Contact"), "<sip:alice@203.0.113.7:40000>;expires=0");
}

#[test]
fn an_address_in_a_challenge_is_used_at_once_and_a_fickle_nat_is_not_followed_for_ever() {
    let mut net = net(Account {
        credentials: vec![tiny_sip::Credentials {
            realm: None,
            username: "alice".into(),
            password: "x".into(),
        }],
        ..Account::default()
    });
    register(&mut net);
    let first = net.caught();
    let ask = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5\r\n";
    let challenge = answer(&first, "401 Unauthorized", "x", ask);
    reply(&mut net, TWO, &with_address(&challenge, ";received=203.0.113.7;rport=40000"));
    let mut request = net.caught();
    assert_eq!(header(&request, "Contact"), "<sip:alice@203.0.113.7:40000>;expires=600");
    let mut registers = 0;
    for port in 40001..40010 {
        registers += 1;
        let seen = format!(";received=203.0.113.7;rport={port}");
        reply(&mut net, TWO, &with_address(&ok(&request, ""), &seen));
        net.drain();
        if !net.peers[0].events.is_empty() {
            break;
        }
        request = net.caught();
    }
    assert_eq!(registers, 3);
}

#[test]
fn an_unspecified_address_is_never_shown() {
    let mut net = net(Account::default());
    register(&mut net);
    let first = net.caught();
    reply(&mut net, TWO, &with_address(&ok(&first, ""), ";received=0.0.0.0;rport=1"));
    let Event::Registered { contact, .. } = net.event(0) else { panic!() };
    assert_eq!(contact, "sip:alice@10.0.0.1:5060");
}

#[test]
fn service_route_gruu_and_associated_identities_are_kept_and_used() {
    let mut net = net(Account {
        instance: Some(URN.into()),
        gruu: true,
        route: vec!["sip:10.0.0.8;lr".into()],
        ..Account::default()
    });
    register(&mut net);
    let request = net.caught();
    assert_eq!(tags(&request), "path, gruu");
    assert_eq!(
        header(&request, "Contact"),
        format!("<sip:alice@10.0.0.1:5060>;+sip.instance=\"<{URN}>\";expires=600")
    );
    let gruu = format!("sip:alice@example.com;gr={URN}");
    let granted = format!(
        "Contact: <sip:other@10.0.0.3>;+sip.instance=\"<urn:uuid:0>\";pub-gruu=\"sip:x@y;gr=0\"\r\n\
         Contact: <sip:alice@10.0.0.1:5060>;+sip.instance=\"<{URN}>\";expires=100;\
         pub-gruu=\"{gruu}\";temp-gruu=\"sip:tgruu.7hs@example.com;gr\"\r\n\
         Service-Route: <sip:10.0.0.8;lr>, <sip:core.example.com;lr>\r\n\
         Path: <sip:10.0.0.8;lr>\r\n\
         P-Associated-URI: <sip:alice@example.com>, <tel:+15550100>\r\n"
    );
    reply(&mut net, ONE, &answer(&request, "200 OK", "x", &granted));
    assert!(matches!(net.event(0), Event::Registered { expires: 100, .. }));
    let account = net.peers[0].account;
    let info = net.endpoint(0).registration(account).unwrap();
    assert_eq!(info.public_gruu.as_deref(), Some(gruu.as_str()));
    assert_eq!(info.temporary_gruu.as_deref(), Some("sip:tgruu.7hs@example.com;gr"));
    assert_eq!(info.associated, ["sip:alice@example.com", "tel:+15550100"]);
    // The outbound proxy stands once.
    assert_eq!(info.route, ["<sip:10.0.0.8;lr>", "<sip:core.example.com;lr>"]);
    net.invite(0, "sip:bob@example.net");
    let invite = net.sent("INVITE");
    assert_eq!(header(&invite, "Route"), "<sip:10.0.0.8;lr>, <sip:core.example.com;lr>");
    assert_eq!(header(&invite, "Contact"), format!("<{gruu}>"));
    assert_eq!(tags(&invite), "gruu");
    // A REGISTER takes no service route (RFC 3608 §5.1).
    register(&mut net);
    net.drain();
    assert_eq!(header(&net.sent("REGISTER"), "Route"), "<sip:10.0.0.8;lr>");
    // A callee's Contact is the GRUU, too.
    let invite = "INVITE sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKq\r\n\
                  From: <sip:b@c>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: q\r\n\
                  CSeq: 1 INVITE\r\nContact: <sip:b@10.0.0.5>\r\nMax-Forwards: 9\r\n\
                  Content-Length: 0\r\n\r\n";
    net.inject(ONE, US, invite);
    let Event::Incoming { call, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).accept(now, call, vec![], sdp()).unwrap();
    net.drain();
    assert_eq!(header(&net.sent("SIP/2.0 200"), "Contact"), format!("<{gruu}>"));
}

#[test]
fn push_parameters_stand_in_the_uri_that_is_bound() {
    let push = Push {
        provider: "apns".into(),
        prid: "ab;c=00fc13adff78512".into(),
        param: Some("DEF123GHIJ.com.example.app".into()),
        purr: None,
    };
    let mut net = net(Account { push: Some(push), ..Account::default() });
    register(&mut net);
    let request = net.caught();
    assert_eq!(
        header(&request, "Contact"),
        "<sip:alice@10.0.0.1:5060;pn-provider=apns;pn-prid=ab%3Bc%3D00fc13adff78512;\
         pn-param=DEF123GHIJ.com.example.app>;expires=600"
    );
    // "555 (Push Notification Service Not Supported)" will not change by itself (RFC 8599 §14.5).
    reply(&mut net, TWO, &answer(&request, "555 Push Notification Service Not Supported", "x", ""));
    let failed = net.event(0);
    assert!(
        matches!(failed, Event::RegistrationFailed { status: Some(555), retry_in: None, .. }),
        "{failed:?}"
    );
}

#[test]
fn outbound_without_an_instance_is_refused() {
    let mut net = net(Account::default());
    for account in [
        Account { outbound: true, ..Account::default() },
        Account { gruu: true, ..Account::default() },
        Account { instance: Some("urn:\"x".into()), ..Account::default() },
    ] {
        let account = Account { aor: "sip:a@b".into(), ..account };
        assert!(matches!(net.endpoint(0).add_account(account), Err(Error::Header { .. })));
    }
}

#[test]
fn two_flows_register_one_after_the_other_each_with_its_reg_id_and_call_id() {
    let mut net = two_flows("udp");
    register(&mut net);
    let (to, one) = next(&mut net);
    assert_eq!(to, ONE);
    assert_eq!(header(&one, "Route"), "<sip:10.0.0.8;transport=udp;lr>");
    assert_eq!(tags(&one), "path, outbound");
    let contact = |n: u32| {
        let ours = "<sip:alice@10.0.0.1:5060>";
        format!("{ours};+sip.instance=\"<{URN}>\";reg-id={n};expires=600")
    };
    assert_eq!(header(&one, "Contact"), contact(1));
    net.run(100);
    assert_eq!(net.count("REGISTER"), 1, "whether the registrar knows outbound is not known yet");
    reply(&mut net, ONE, &ok(&one, OUTBOUND));
    let Event::Registered { reg_id: 1, outbound: true, .. } = net.event(0) else { panic!() };
    let (to, two) = next(&mut net);
    assert_eq!((to.as_str(), header(&two, "Contact")), (TWO, contact(2).as_str()));
    assert_ne!(header(&one, "Call-ID"), header(&two, "Call-ID"));
    reply(&mut net, TWO, &ok(&two, OUTBOUND));
    let Event::Registered { reg_id: 2, .. } = net.event(0) else { panic!() };
    // A call goes out over the first flow and comes back over it.
    net.invite(0, "sip:bob@example.net");
    let invite = net.sent("INVITE");
    assert_eq!(header(&invite, "Contact"), "<sip:alice@10.0.0.1:5060;ob>");
    assert_eq!(header(&invite, "Route"), "<sip:10.0.0.8;transport=udp;lr>");
    // Both are unregistered.
    let (now, account) = (net.now, net.peers[0].account);
    net.endpoint(0).unregister(now, account).unwrap();
    for (peer, n) in [(ONE, 1), (TWO, 2)] {
        let request = loop {
            let (to, text) = next(&mut net);
            if text.starts_with("REGISTER") {
                assert_eq!(to, peer);
                break text;
            }
        };
        assert_eq!(header(&request, "Contact"), contact(n).replace("=600", "=0"));
        net.no_event(0);
        reply(&mut net, peer, &answer(&request, "200 OK", "x", ""));
    }
    assert!(matches!(net.event(0), Event::Unregistered { .. }));
}

#[test]
fn a_registrar_that_does_not_know_outbound_gets_one_flow_only() {
    let mut net = two_flows("udp");
    register(&mut net);
    let (_, one) = next(&mut net);
    reply(&mut net, ONE, &ok(&one, ""));
    assert!(matches!(net.event(0), Event::Registered { reg_id: 1, outbound: false, .. }));
    net.run(60_000);
    assert_eq!(net.count("REGISTER"), 1);
}

#[test]
fn a_first_hop_that_lacks_outbound_gets_a_plain_registration() {
    let mut net = two_flows("udp");
    register(&mut net);
    for peer in [ONE, TWO] {
        let (to, request) = next(&mut net);
        assert_eq!(to, peer, "another proxy may do better");
        assert!(header(&request, "Contact").contains("reg-id="));
        reply(&mut net, peer, &answer(&request, "439 First Hop Lacks Outbound Support", "x", ""));
    }
    let (_, plain) = next(&mut net);
    assert!(!header(&plain, "Contact").contains("reg-id"), "{plain}");
    assert_eq!(tags(&plain), "path");
    reply(&mut net, TWO, &ok(&plain, ""));
    loop {
        match net.event(0) {
            Event::Registered { outbound: false, .. } => break,
            Event::FlowUnavailable { status: Some(439), .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_dead_proxy_leaves_the_other_flow_and_is_tried_again_by_the_times_of_the_rfc() {
    let mut net = two_flows("udp");
    register(&mut net);
    let (_, lost) = next(&mut net);
    assert!(lost.contains("reg-id=1"));
    // Nobody answers at the first; after its time-out the second is tried.
    let two = loop {
        let (to, text) = next(&mut net);
        if to == TWO {
            break text;
        }
    };
    let Event::FlowUnavailable { reg_id: 1, retry_in: Some(pause), .. } = net.event(0) else {
        panic!()
    };
    // All have failed so far: 50 to 100 % of 30 s * 2^1 (§4.5).
    assert!((30..=60).contains(&pause.as_secs()), "{pause:?}");
    reply(&mut net, TWO, &ok(&two, OUTBOUND));
    assert!(matches!(net.event(0), Event::Registered { reg_id: 2, .. }));
    // Calls take the one that lives.
    net.invite(0, "sip:bob@example.net");
    assert_eq!(header(&net.sent("INVITE"), "Route"), "<sip:10.0.0.9;transport=udp;lr>");
    let mut pauses = Vec::new();
    while pauses.len() < 3 {
        step(&mut net, &[TWO]);
        while let Some(event) = net.peers[0].events.pop_front() {
            match event {
                Event::FlowUnavailable { reg_id: 1, retry_in: Some(pause), .. } => {
                    pauses.push(pause);
                }
                Event::Ended { .. } | Event::Registered { reg_id: 2, .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // One lives: 90 s * 2^n, half of it at least, 1800 s at most.
    for (n, pause) in pauses.iter().enumerate() {
        let most = (90u64 << (n + 2)).min(1800);
        assert!((most / 2..=most).contains(&pause.as_secs()), "{n}: {pause:?}");
    }
}

/// One step, with these peers answering REGISTER and pings over streams.
fn step(net: &mut Net, who: &[&str]) {
    assert!(net.step(None));
    while let Some((_, to, text)) = net.inbox.pop_front() {
        let to = to.to_string();
        if !who.contains(&to.as_str()) {
            continue;
        }
        if text.starts_with("REGISTER") {
            reply(net, &to, &ok(&text, OUTBOUND));
        } else if text == "\r\n\r\n" {
            net.inject_stream(&to, US, "\r\n");
        }
    }
}

#[test]
fn a_pong_that_does_not_come_within_ten_seconds_ends_the_flow_and_it_is_formed_anew() {
    let mut net = two_flows("tcp");
    both_up(&mut net);
    let pings = |net: &Net, to: &str| {
        let ping = |e: &&(_, _, _, bytes::Bytes)| e.1 == addr(to) && &e.3[..] == b"\r\n\r\n";
        net.log.iter().filter(ping).count()
    };
    // The server answers for a while, then not any more.
    while pings(&net, ONE) < 3 {
        step(&mut net, &[ONE, TWO]);
    }
    let asked = net.now;
    let flow = loop {
        match net.peers[0].events.pop_front() {
            Some(Event::StreamBroken { flow }) => break flow,
            Some(Event::Registered { .. }) => {}
            None => step(&mut net, &[TWO]),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(net.now - asked, Duration::from_secs(10));
    assert_eq!((flow.transport, flow.remote), (Transport::Tcp, addr(ONE)), "to be closed");
    assert!(matches!(net.event(0), Event::FlowFailed { reg_id: 1, .. }));
    net.inbox.clear();
    // Meanwhile calls go over the other one.
    net.invite(0, "sip:bob@example.net");
    assert_eq!(header(&net.sent("INVITE"), "Route"), "<sip:10.0.0.9;transport=tcp;lr>");
    // It worked before: it is formed anew at once, but for a pause of chance.
    let again = loop {
        let (to, text) = next(&mut net);
        if to == ONE && text.starts_with("REGISTER") {
            break text;
        }
    };
    assert!(net.now - asked < Duration::from_secs(16));
    assert!(header(&again, "Contact").contains("reg-id=1"));
}

#[test]
fn flow_timer_sets_the_pace_of_keep_alives() {
    let mut net = two_flows("tcp");
    register(&mut net);
    let (_, one) = next(&mut net);
    reply(&mut net, ONE, &ok(&one, "Require: outbound\r\nFlow-Timer: 20\r\n"));
    assert!(matches!(net.event(0), Event::Registered { .. }));
    let (mut last, mut pauses) = (net.now, Vec::new());
    let start = net.log.len();
    let mut seen = start;
    while pauses.len() < 5 {
        assert!(net.step(None));
        let ping = net.log[seen..].iter().any(|e| e.1 == addr(ONE) && &e.3[..] == b"\r\n\r\n");
        seen = net.log.len();
        if ping {
            pauses.push((net.now - last).as_millis());
            net.inject_stream(ONE, US, "\r\n");
            last = net.now;
        }
    }
    assert!(pauses.iter().all(|p| (16_000..=20_001).contains(p)), "{pauses:?}");
    assert!(pauses.iter().any(|p| *p != pauses[0]), "different each time: {pauses:?}");
}

/// The STUN requests sent to a peer so far.
fn stun_requests(net: &Net, to: &str) -> Vec<[u8; 12]> {
    net.log
        .iter()
        .filter(|e| e.1 == addr(to))
        .filter_map(|e| match Binding::parse(&e.3) {
            Some(Binding::Request(id)) => Some(id),
            _ => None,
        })
        .collect()
}

fn stun_answer(net: &mut Net, from: &str, id: [u8; 12], mapped: &str) {
    let flow = Flow { transport: Transport::Udp, local: addr(US), remote: addr(from) };
    let data = Binding::Success(id, addr(mapped)).to_bytes();
    let now = net.now;
    net.endpoint(0).handle(now, Input::Datagram { flow, data });
    net.drain();
}

fn wait_for_stun(net: &mut Net, from: &str, count: usize) -> [u8; 12] {
    while stun_requests(net, from).len() < count {
        assert!(net.step(None));
    }
    *stun_requests(net, from).last().unwrap()
}

#[test]
fn a_udp_flow_is_kept_alive_by_stun_and_fails_when_the_mapping_changes() {
    let mut net = two_flows("udp");
    both_up(&mut net);
    let up = net.now;
    let id = wait_for_stun(&mut net, ONE, 1);
    let pause = (net.now - up).as_millis();
    assert!((23_000..=29_000).contains(&pause), "{pause}");
    // An answer that is not asked for changes nothing.
    stun_answer(&mut net, ONE, [9; 12], "203.0.113.7:1");
    stun_answer(&mut net, ONE, id, "203.0.113.7:40000");
    net.no_event(0);
    let id = wait_for_stun(&mut net, ONE, 2);
    stun_answer(&mut net, ONE, id, "203.0.113.7:40000");
    net.no_event(0);
    let id = wait_for_stun(&mut net, ONE, 3);
    stun_answer(&mut net, ONE, id, "203.0.113.7:40001");
    let Event::FlowFailed { reg_id: 1, .. } = net.event(0) else { panic!() };
    net.inbox.clear();
    let (to, again) = next(&mut net);
    assert_eq!(to, ONE);
    assert!(header(&again, "Contact").contains("reg-id=1"));
}

#[test]
fn stun_is_repeated_seven_times_and_silence_after_an_answer_ends_the_flow() {
    let mut net = two_flows("udp");
    both_up(&mut net);
    let id = wait_for_stun(&mut net, ONE, 1);
    stun_answer(&mut net, ONE, id, "203.0.113.7:40000");
    wait_for_stun(&mut net, ONE, 2);
    let asked = net.now;
    let Event::FlowFailed { reg_id: 1, .. } = net.event(0) else { panic!() };
    assert_eq!(stun_requests(&net, ONE).len(), 8, "seven of the same transaction");
    assert_eq!(net.now - asked, Duration::from_millis(39_500));
    // The second never answered STUN: its flow goes on with plain keep-alives.
    let account = net.peers[0].account;
    let info = net.endpoint(0).registration(account).unwrap();
    assert!(info.flows[0].flow.is_none() && info.flows[1].flow.is_some());
}

#[test]
fn requests_inside_a_dialog_take_the_flow_it_was_made_over() {
    let mut net = two_flows("udp");
    both_up(&mut net);
    // A call comes in over the second flow.
    let invite = "INVITE sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKq\r\n\
                  Record-Route: <sip:token@edge.example.com;lr;ob>\r\n\
                  From: <sip:b@c>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: q\r\n\
                  CSeq: 1 INVITE\r\nContact: <sip:b@10.0.0.5>\r\nMax-Forwards: 9\r\n\
                  Content-Length: 0\r\n\r\n";
    net.inject(TWO, US, invite);
    let Event::Incoming { call, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).accept(now, call, vec![], sdp()).unwrap();
    net.drain();
    let ok = net.sent("SIP/2.0 200");
    assert_eq!(header(&ok, "Contact"), "<sip:alice@10.0.0.1:5060;ob>");
    let ack = format!(
        "ACK sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKr\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: q\r\nCSeq: 1 ACK\r\nMax-Forwards: 9\r\n\
         Content-Length: 0\r\n\r\n",
        header(&ok, "From"),
        header(&ok, "To")
    );
    net.inject(TWO, US, &ack);
    assert!(matches!(net.event(0), Event::Confirmed { .. }));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    net.drain();
    let (from, to, ..) = net.log.last().unwrap();
    assert_eq!(
        (from.to_string(), to.to_string()),
        (US.into(), TWO.into()),
        "no name was asked for"
    );
    assert_eq!(header(&net.sent("BYE"), "Route"), "<sip:token@edge.example.com;lr;ob>");
}

#[test]
fn a_request_whose_flow_fails_takes_the_next_one() {
    let mut net = two_flows("tcp");
    both_up(&mut net);
    let (now, account) = (net.now, net.peers[0].account);
    let to = "sip:bob@example.net";
    net.endpoint(0).request(now, account, Method::Message, to, vec![], None).unwrap();
    let call = Outgoing { to: to.into(), body: sdp(), ..Outgoing::default() };
    net.endpoint(0).invite(now, account, call).unwrap();
    net.drain();
    assert_eq!(header(&net.sent("MESSAGE"), "Route"), "<sip:10.0.0.8;transport=tcp;lr>");
    let flow = Flow { transport: Transport::Tcp, local: addr(US), remote: addr(ONE) };
    net.endpoint(0).handle(now, Input::StreamClosed { flow });
    net.drain();
    for method in ["MESSAGE", "INVITE"] {
        let again = net.sent(method);
        assert_eq!(header(&again, "Route"), "<sip:10.0.0.9;transport=tcp;lr>");
        assert!(header(&again, "Via").starts_with("SIP/2.0/TCP"));
    }
    assert!(!has(&net.sent("MESSAGE"), "Contact"));
}

#[test]
fn an_account_has_no_more_flows_than_the_limit_says() {
    let account = |n: u8| Account {
        aor: "sip:alice@example.com".to_owned(),
        instance: Some(URN.into()),
        flows: (0..n).map(|n| format!("sip:10.0.1.{n}")).collect(),
        ..Account::default()
    };
    let mut net = net(account(4));
    let refused = net.endpoint(0).add_account(account(5));
    assert_eq!(refused, Err(Error::Limit("max_flows")));
    let mut config = Config::default();
    config.max_flows = 5;
    let mut roomy = tiny_sip::Endpoint::new(config, tiny_sak::Rng::from_seed(1));
    assert!(roomy.add_account(account(5)).is_ok());
}
