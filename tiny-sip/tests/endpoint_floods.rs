//! Floods and hoarders: each gets the answer that docs/LIMITS.md promises, what is kept stays within
//! the limit, and others are served as before.

mod endpoint_net;

use endpoint_net::{Net, SDP, addr, answer, has, header, sdp};
use std::time::Duration;
use tiny_sak::{Flow, Transport};
use tiny_sip::{
    Body, CallKey, Config, Error, Event, Input, Limits, Publish, Subscribe, SubscriptionEvent,
    SubscriptionState,
};

const BOB: &str = "10.0.0.2:5060";
const EVIL: &str = "10.0.0.9:5060";

/// Bob with these settings, and Alice who means well.
fn net(config: Config) -> Net {
    let mut net = Net::new(7);
    net.add("10.0.0.1:5060", "alice", Config::default());
    net.add(BOB, "bob", config);
    net.logging = false;
    net
}

/// A request outside dialogs, different for every number.
fn request(method: &str, n: usize, more: &str, body: &str) -> String {
    format!(
        "{method} sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{method}{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:evil@10.0.0.9>;tag={n}\r\nTo: <sip:bob@10.0.0.2>\r\n\
         Call-ID: {method}{n}\r\nCSeq: 1 {method}\r\nContact: <sip:evil@10.0.0.9>\r\n{more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What comes back to the attacker, by status line.
fn said(net: &mut Net) -> Vec<String> {
    net.run(50);
    let lines = net.inbox.drain(..).map(|(.., text)| text);
    lines.filter(|text| text.starts_with("SIP/2.0")).collect()
}

fn statuses(texts: &[String], status: &str) -> usize {
    texts.iter().filter(|text| text.starts_with(&format!("SIP/2.0 {status}"))).count()
}

/// One request in, one answer out.
fn ask(net: &mut Net, text: &str) -> String {
    net.inject(EVIL, BOB, text);
    let mut all = said(net);
    all.pop().unwrap_or_default()
}

/// A call from Alice to Bob, established, while whatever happens happens.
fn call(net: &mut Net) -> (CallKey, CallKey) {
    let alice = net.invite(0, "sip:bob@10.0.0.2");
    let bob = loop {
        let Event::Incoming { call, request, .. } = net.event(1) else { continue };
        if request.header_named("Call-ID").is_some_and(|id| !id.starts_with("INVITE")) {
            break call;
        }
    };
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::Answered { .. }));
    (alice, bob)
}

#[test]
fn ten_thousand_half_open_invites_hold_their_share_and_other_calls_go_on() {
    let config = Config::default();
    let most = config.max_ringing_per_source;
    let mut net = net(config);
    let contact = "Content-Type: application/sdp\r\n";
    let mut refused = 0;
    for n in 0..10_000 {
        net.inject(EVIL, BOB, &request("INVITE", n, contact, SDP));
        if n % 100 == 99 {
            let all = said(&mut net);
            refused += statuses(&all, "503");
            let no = all.iter().filter(|text| text.starts_with("SIP/2.0 503"));
            assert!(no.clone().all(|text| header(text, "Retry-After") == "10"));
        }
    }
    let stats = net.endpoint(1).stats();
    assert_eq!((stats.ringing, stats.calls, stats.dialogs), (most, most, most));
    assert_eq!(stats.server_transactions, most, "a refusal has no state");
    assert_eq!((refused, stats.rejected_limit), (10_000 - most, 10_000 - most as u64));
    // Others call Bob, and Bob calls others.
    let (alice, _) = call(&mut net);
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    let back = net.invite(1, "sip:alice@10.0.0.1");
    loop {
        if let Event::Incoming { call, .. } = net.event(0) {
            let now = net.now;
            net.endpoint(0).accept(now, call, vec![], sdp()).unwrap();
            break;
        }
    }
    net.run(1000);
    let now = net.now;
    net.endpoint(1).hangup(now, back, vec![]).unwrap();
    // Nobody cancels them: in the end they are declined, and nothing is left.
    net.peers[1].events.clear();
    net.run(600_000);
    assert_eq!(net.endpoint(1).stats().ringing, 0);
    let last = said(&mut net);
    assert!(statuses(&last, "480") >= most, "{}", last.len());
    net.settle();
    net.assert_empty();
}

#[test]
fn a_place_among_the_ringing_is_free_again_when_a_call_is_answered_refused_or_cancelled() {
    let mut config = Config::default();
    (config.max_ringing, config.max_ringing_per_source) = (2, 2);
    let mut net = net(config);
    for (n, deed) in ["accept", "reject", "cancel", "accept", "reject"].into_iter().enumerate() {
        net.inject(EVIL, BOB, &request("INVITE", 10 * n, "", ""));
        net.inject("10.0.0.8:5060", BOB, &request("INVITE", 10 * n + 1, "", ""));
        let Event::Incoming { call: one, .. } = net.event(1) else { panic!() };
        let Event::Incoming { call: two, .. } = net.event(1) else { panic!() };
        // Full for everybody.
        let third = ask(&mut net, &request("INVITE", 10 * n + 2, "", ""));
        assert!(third.starts_with("SIP/2.0 503"), "{third}");
        assert_eq!(net.endpoint(1).stats().ringing, 2);
        let now = net.now;
        for call in [one, two] {
            match deed {
                "accept" => net.endpoint(1).accept(now, call, vec![], sdp()).unwrap(),
                "reject" => net.endpoint(1).reject(now, call, 486, None, vec![]).unwrap(),
                _ => {}
            }
        }
        if deed == "cancel" {
            for (from, n) in [(EVIL, 10 * n), ("10.0.0.8:5060", 10 * n + 1)] {
                let cancel = request("INVITE", n, "", "").replacen("INVITE", "CANCEL", 1);
                net.inject(from, BOB, &cancel.replace("1 INVITE", "1 CANCEL"));
            }
        }
        assert_eq!(net.endpoint(1).stats().ringing, 0, "{deed}");
        net.drain();
        net.peers[1].events.clear();
    }
}

fn flow(n: u16) -> Flow {
    let remote = addr(&format!("10.0.0.9:{}", 20_000 + n));
    Flow { transport: Transport::Tcp, local: addr(BOB), remote }
}

fn stream(net: &mut Net, n: u16, data: &str) {
    let (now, data) = (net.now, data.to_owned().into());
    net.endpoint(1).handle(now, Input::Stream { flow: flow(n), data });
    net.drain();
}

fn broken(net: &mut Net) -> Vec<Flow> {
    let events = net.peers[1].events.drain(..);
    events
        .filter_map(|e| if let Event::StreamBroken { flow } = e { Some(flow) } else { None })
        .collect()
}

#[test]
fn a_stream_that_gives_an_octet_now_and_then_is_given_up() {
    let mut net = net(Config::default());
    let text = request("OPTIONS", 1, "", "").replace("/UDP", "/TCP");
    // Empty lines hold nothing up, and a message that comes whole, or in time, is none the worse.
    for _ in 0..100 {
        stream(&mut net, 1, "\r\n");
        net.run(1000);
    }
    stream(&mut net, 1, &text[..40]);
    net.run(30_000);
    stream(&mut net, 1, &text[40..]);
    net.run(100_000);
    assert_eq!(broken(&mut net), []);
    assert_eq!(net.endpoint(1).stats().timers, 0);
    // Whether in the head or in the body, from the first octet on the time runs.
    let body = request("MESSAGE", 1, "Content-Type: text/plain\r\n", &"x".repeat(1000));
    for (n, text) in [(2, text.clone()), (3, body.replace("/UDP", "/TCP"))] {
        let slow = if n == 2 { 0 } else { text.len() - 1000 };
        stream(&mut net, n, &text[..slow]);
        let began = net.now;
        let mut octets = 0;
        for octet in text[slow..].chars() {
            stream(&mut net, n, &octet.to_string());
            octets += 1;
            net.run(1000);
            let broken = broken(&mut net);
            if !broken.is_empty() {
                assert_eq!(broken, [flow(n)]);
                break;
            }
        }
        assert_eq!((net.now - began, octets), (Duration::from_secs(32), 32));
        assert_eq!((net.endpoint(1).stats().streams, net.endpoint(1).stats().timers), (1, 0));
    }
    // A stream that closes takes its timer along.
    stream(&mut net, 4, "INV");
    let now = net.now;
    net.endpoint(1).handle(now, Input::StreamClosed { flow: flow(4) });
    net.drain();
    assert_eq!(net.endpoint(1).stats().timers, 0);
}

#[test]
fn more_streams_than_the_limit_are_not_read() {
    let mut config = Config::default();
    config.max_streams = 3;
    let mut net = net(config);
    for n in 0..100 {
        stream(&mut net, n, "OPTIONS sip:bob@10.0.0.2 SIP/2.0\r\n");
    }
    let stats = net.endpoint(1).stats();
    assert_eq!((stats.streams, stats.dropped_streams, stats.timers), (3, 97, 3));
    net.settle();
    assert_eq!(broken(&mut net).len(), 3);
    assert_eq!(net.endpoint(1).stats().streams, 0);
    net.assert_empty();
}

#[test]
fn heads_lines_and_bodies_beyond_their_limits_are_refused() {
    let mut config = Config::default();
    config.limits = Limits {
        max_message: 4000,
        max_head: 3000,
        max_headers: 20,
        max_line: 1000,
        ..Limits::default()
    };
    let mut net = net(config);
    let many = "X: y\r\n".repeat(20);
    let long = format!("X: {}\r\n", "y".repeat(1000));
    let big = format!("X: {}\r\n", "y".repeat(900)).repeat(4);
    let text = "Content-Type: text/plain\r\n";
    for (n, (more, body)) in [(&*many, ""), (&*long, ""), (&*big, ""), (text, &*"z".repeat(4000))]
        .into_iter()
        .enumerate()
    {
        let answer = ask(&mut net, &request("MESSAGE", n, more, body));
        // A datagram larger than a message may be is not even looked at.
        let dropped = n == 3 && answer.is_empty();
        assert!(dropped || answer.starts_with("SIP/2.0 513"), "{n}: {answer}");
    }
    assert_eq!(net.endpoint(1).stats().dropped_garbage, 1);
    // By stream the one that is too large is answered from its head, and the stream is given up.
    let large =
        request("MESSAGE", 9, text, "").replace("Content-Length: 0", "Content-Length: 4000");
    stream(&mut net, 1, &large);
    let all = said(&mut net);
    assert_eq!(statuses(&all, "513"), 1, "{all:?}");
    stream(&mut net, 2, &format!("MESSAGE sip:bob@10.0.0.2 SIP/2.0\r\nX: {}", "y".repeat(3000)));
    assert_eq!(broken(&mut net), [flow(1), flow(2)]);
    net.settle();
    assert_eq!(net.endpoint(1).stats().server_transactions, 0);
}

#[test]
fn requests_that_nobody_reads_are_bounded_and_forgotten() {
    // A REFER is a state of its own, and there are 256 of them.
    for (method, kept) in [("MESSAGE", 500), ("REFER", 256)] {
        let mut config = Config::default();
        config.max_transactions = 500;
        let mut net = net(config);
        let more = "Refer-To: <sip:x@10.0.0.9>\r\n";
        let mut refused = 0;
        for n in 0..5_000 {
            net.inject(EVIL, BOB, &request(method, n, more, ""));
            if n % 100 == 99 {
                refused += statuses(&said(&mut net), "503");
            }
        }
        let stats = net.endpoint(1).stats();
        assert_eq!((stats.server_transactions, refused), (500, 5_000 - kept), "{method}");
        assert_eq!(net.peers[1].events.len(), kept);
        // Unanswered referrals are refused after a while, and that answer lingers.
        net.run(if method == "REFER" { 66_000 } else { 33_000 });
        net.peers[1].events.clear();
        net.assert_empty();
        let (alice, _) = call(&mut net);
        let now = net.now;
        net.endpoint(0).hangup(now, alice, vec![]).unwrap();
        net.settle();
        net.assert_empty();
    }
}

#[test]
fn notifies_without_a_subscription_get_481_and_leave_nothing() {
    let mut config = Config::default();
    config.max_transactions = 2_000;
    let mut net = net(config);
    let (mut unknown, mut refused) = (0, 0);
    let more = "Event: presence\r\nSubscription-State: active\r\n";
    for n in 0..5_000 {
        let mut text = request("NOTIFY", n, more, "");
        if n % 2 == 0 {
            text = text.replace("To: <sip:bob@10.0.0.2>", "To: <sip:bob@10.0.0.2>;tag=none");
        }
        net.inject(EVIL, BOB, &text);
        if n % 100 == 99 {
            let all = said(&mut net);
            unknown += statuses(&all, "481");
            refused += statuses(&all, "503");
        }
    }
    assert_eq!((unknown, refused), (2_000, 3_000));
    net.no_event(1);
    net.settle();
    net.assert_empty();
}

#[test]
fn notifies_of_a_subscription_beyond_the_pace_get_503_and_the_state_is_fetched_later() {
    let mut config = Config::default();
    config.max_notify = 10;
    let mut net = net(config);
    let (now, account) = (net.now, net.peers[1].account);
    let spec = Subscribe {
        to: "sip:evil@10.0.0.9".into(),
        event: "presence".into(),
        accept: vec!["application/pidf+xml".into()],
        expires: 600,
        ..Subscribe::default()
    };
    net.endpoint(1).subscribe(now, account, spec).unwrap();
    let subscribe = net.caught();
    let ok = "Expires: 600\r\nContact: <sip:evil@10.0.0.9>\r\n";
    net.inject(EVIL, BOB, &answer(&subscribe, "200 OK", "n", ok));
    let mut all = Vec::new();
    for n in 1..=1_000 {
        let text = format!(
            "NOTIFY sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKn{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:evil@10.0.0.9>;tag=n\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {n} NOTIFY\r\nContact: <sip:evil@10.0.0.9>\r\nEvent: presence\r\n\
             Subscription-State: active;expires=600\r\nContent-Length: 0\r\n\r\n",
            header(&subscribe, "From"),
            header(&subscribe, "Call-ID"),
        );
        net.inject(EVIL, BOB, &text);
    }
    all.extend(said(&mut net));
    assert_eq!((statuses(&all, "200"), statuses(&all, "503")), (10, 990));
    assert!(all.iter().filter(|t| t.starts_with("SIP/2.0 503")).all(|t| has(t, "Retry-After")));
    let told = net.peers[1].events.drain(..).filter(|event| {
        let active = SubscriptionState::Active;
        matches!(event, Event::Subscription { event: SubscriptionEvent::Notified { state, .. }, .. } if *state == active)
    });
    assert_eq!(told.count(), 10);
    net.run(11_000);
    let asked = net.inbox.iter().filter(|(.., text)| text.starts_with("SUBSCRIBE")).count();
    assert!(asked > 0, "what was missed is asked for");
    assert_eq!(net.endpoint(1).stats().subscriptions, 1);
}

#[test]
fn subscribers_beyond_the_limit_get_503_and_undecided_ones_are_forgotten() {
    let mut config = Config::default();
    config.event_packages = vec!["presence".into()];
    config.max_watchers = 50;
    let mut net = net(config);
    let mut refused = 0;
    for n in 0..2_000 {
        let text = request("SUBSCRIBE", n, "Event: presence\r\nExpires: 600\r\n", "");
        net.inject(EVIL, BOB, &text);
        if n % 100 == 99 {
            let all = said(&mut net);
            refused += statuses(&all, "503");
            let mut no = all.iter().filter(|text| text.starts_with("SIP/2.0 503"));
            assert!(no.all(|text| has(text, "Retry-After")));
        }
    }
    let stats = net.endpoint(1).stats();
    assert_eq!((stats.watchers, refused), (50, 1_950));
    let (alice, _) = call(&mut net);
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

/// A call whose other side is made by hand; gives the dialog's header fields for its requests.
fn call_by_hand(net: &mut Net) -> (CallKey, String) {
    let invite = request("INVITE", 1, "Content-Type: application/sdp\r\n", SDP);
    net.inject(EVIL, BOB, &invite);
    let Event::Incoming { call, .. } = net.event(1) else { panic!() };
    let now = net.now;
    net.endpoint(1).accept(now, call, vec![], sdp()).unwrap();
    let all = said(net);
    let to = header(all.last().unwrap(), "To").to_owned();
    let ack = within("ACK", 1, &to, "", "");
    net.inject(EVIL, BOB, &ack);
    net.peers[1].events.clear();
    (call, to)
}

fn within(method: &str, number: usize, to: &str, more: &str, body: &str) -> String {
    let text =
        request("INVITE", 1, more, body).replace("To: <sip:bob@10.0.0.2>", &format!("To: {to}"));
    let text =
        text.replacen("INVITE", method, 1).replace("1 INVITE", &format!("{number} {method}"));
    text.replace("z9hG4bKINVITE1", &format!("z9hG4bK{method}in{number}"))
}

#[test]
fn updates_pracks_and_refers_within_a_call_change_one_thing_at_a_time() {
    let mut net = net(Config::default());
    let (call, to) = call_by_hand(&mut net);
    let offer = "Content-Type: application/sdp\r\n";
    for n in 0..500 {
        net.inject(EVIL, BOB, &within("UPDATE", 2 + n, &to, offer, SDP));
    }
    let all = said(&mut net);
    assert_eq!(statuses(&all, "500"), 499, "the first waits for an answer");
    assert!(all.iter().all(|text| has(text, "Retry-After")));
    assert_eq!(net.peers[1].events.len(), 1, "the owner is asked once");
    let now = net.now;
    net.endpoint(1).accept_reinvite(now, call, vec![], sdp()).unwrap();
    assert_eq!(statuses(&said(&mut net), "200"), 1);
    for n in 0..500 {
        let rack = format!("RAck: {n} 1 INVITE\r\n");
        net.inject(EVIL, BOB, &within("PRACK", 600 + n, &to, &rack, ""));
    }
    assert_eq!(statuses(&said(&mut net), "481"), 500);
    net.peers[1].events.clear();
    for n in 0..500 {
        let more = "Refer-To: <sip:x@10.0.0.9>\r\n";
        net.inject(EVIL, BOB, &within("REFER", 1200 + n, &to, more, ""));
    }
    let all = said(&mut net);
    assert_eq!(statuses(&all, "491"), 499);
    assert_eq!(net.peers[1].events.len(), 1);
    for n in 0..500 {
        net.inject(EVIL, BOB, &within("UPDATE", 1800 + n, &to, "", ""));
    }
    assert_eq!(statuses(&said(&mut net), "200"), 500, "a refresh costs nothing");
    let stats = net.endpoint(1).stats();
    assert_eq!((stats.calls, stats.dialogs), (1, 1));
    let now = net.now;
    net.endpoint(1).hangup(now, call, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn a_call_has_no_more_early_dialogs_and_strays_than_the_limit() {
    let mut net = net(Config::default());
    let call = net.invite(1, "sip:evil@10.0.0.9");
    let invite = net.caught();
    let contact = "Contact: <sip:evil@10.0.0.9>\r\n";
    for n in 0..1_000 {
        net.inject(EVIL, BOB, &answer(&invite, "180 Ringing", &format!("e{n}"), contact));
    }
    assert_eq!(net.endpoint(1).stats().dialogs, 16);
    for n in 0..1_000 {
        net.inject(EVIL, BOB, &answer(&invite, "200 OK", &format!("s{n}"), contact));
    }
    let stats = net.endpoint(1).stats();
    assert!(stats.dialogs <= 1 + 16 + 16, "{stats:?}");
    assert!(stats.client_transactions <= 1 + 16, "{stats:?}");
    let now = net.now;
    net.endpoint(1).hangup(now, call, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn subscriptions_of_ours_and_publications_beyond_the_limit_are_errors() {
    let mut config = Config::default();
    (config.max_subscriptions, config.max_publications) = (2, 2);
    let mut net = net(config);
    let (now, account) = (net.now, net.peers[1].account);
    for n in 0..3 {
        let spec = Subscribe {
            to: "sip:evil@10.0.0.9".into(),
            event: "presence".into(),
            expires: 600,
            ..Subscribe::default()
        };
        let subscribed = net.endpoint(1).subscribe(now, account, spec).map(drop);
        let spec = Publish {
            to: Some("sip:evil@10.0.0.9".into()),
            event: "presence".into(),
            body: Body::new("application/pidf+xml", "<presence/>"),
            expires: 600,
            headers: vec![],
        };
        let published = net.endpoint(1).publish(now, account, spec).map(drop);
        let expected = |name| if n < 2 { Ok(()) } else { Err(Error::Limit(name)) };
        assert_eq!(subscribed, expected("max_subscriptions"));
        assert_eq!(published, expected("max_publications"));
    }
}
