//! Subscriptions (RFC 6665) in both roles: by hand on the wire, and between two endpoints.

mod endpoint_net;

use endpoint_net::{Net, answer, has, header};
use std::time::Duration;
use tiny_sip::{
    Account, Body, Config, Error, Event, Subscribe, SubscriptionEvent, SubscriptionKey,
    SubscriptionState, Termination, WatcherEvent, WatcherKey,
};

const US: &str = "10.0.0.1:5060";
const PEER: &str = "10.0.0.9:5060";

fn net() -> Net {
    net_with(Config::default())
}

fn net_with(config: Config) -> Net {
    let mut net = Net::new(1);
    let account = Account { aor: "sip:alice@example.com".into(), ..Account::default() };
    net.add_account(US, account, config);
    net
}

fn presence(to: &str, expires: u32) -> Subscribe {
    Subscribe {
        to: to.into(),
        event: "presence".into(),
        accept: vec!["application/pidf+xml".into()],
        expires,
        ..Subscribe::default()
    }
}

fn subscribe(net: &mut Net, spec: Subscribe) -> (SubscriptionKey, String) {
    let (now, account) = (net.now, net.peers[0].account);
    let key = net.endpoint(0).subscribe(now, account, spec).unwrap();
    (key, net.caught())
}

fn accept(net: &mut Net, request: &str, expires: u32) {
    let extra = format!("Expires: {expires}\r\nContact: <sip:n@10.0.0.9>\r\n");
    net.inject(PEER, US, &answer(request, "200 OK", "note", &extra));
}

/// A NOTIFY of the subscription that `subscribe` made.
fn notify(subscribe: &str, number: u32, tag: &str, state: &str, more: &str) -> String {
    let branch = format!("z9hG4bKn{number}{tag}{}", header(subscribe, "Call-ID").len());
    format!(
        "NOTIFY sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch={branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@10.0.0.9>;tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {number} NOTIFY\r\nContact: <sip:n@10.0.0.9>\r\nEvent: presence\r\n\
         Subscription-State: {state}\r\n{more}Content-Length: 0\r\n\r\n",
        header(subscribe, "From"),
        header(subscribe, "Call-ID"),
    )
}

/// Sends a NOTIFY and gives the answer's status line.
fn told(net: &mut Net, text: &str) -> String {
    net.inject(PEER, US, text);
    let answer = net.caught();
    answer.lines().next().unwrap().trim_start_matches("SIP/2.0 ").to_owned()
}

fn ours(net: &mut Net) -> SubscriptionEvent {
    match net.event(0) {
        Event::Subscription { event, .. } => event,
        other => panic!("{other:?}"),
    }
}

/// An established subscription of 600 s.
fn established(net: &mut Net) -> (SubscriptionKey, String) {
    let (key, request) = subscribe(net, presence("sip:bob@10.0.0.9", 600));
    accept(net, &request, 600);
    assert!(matches!(ours(net), SubscriptionEvent::Accepted { expires: 600, .. }));
    assert_eq!(told(net, &notify(&request, 1, "note", "active;expires=600", "")), "200 OK");
    let SubscriptionEvent::Notified { state: SubscriptionState::Active, .. } = ours(net) else {
        panic!()
    };
    (key, request)
}

#[test]
fn a_subscription_is_refreshed_in_its_dialog_before_it_expires() {
    let mut net = net();
    let (_, request) = established(&mut net);
    assert_eq!(header(&request, "Event"), "presence");
    assert_eq!(header(&request, "Expires"), "600");
    assert_eq!(header(&request, "Accept"), "application/pidf+xml");
    assert_eq!(header(&request, "Contact"), "<sip:alice@10.0.0.1:5060>");
    net.run(539_000);
    assert!(net.inbox.is_empty());
    let refresh = net.caught();
    assert!(refresh.starts_with("SUBSCRIBE sip:n@10.0.0.9 SIP/2.0\r\n"), "{refresh}");
    assert_eq!(header(&refresh, "Call-ID"), header(&request, "Call-ID"));
    assert_eq!(header(&refresh, "CSeq"), "2 SUBSCRIBE");
    assert_eq!(header(&refresh, "To"), "<sip:bob@10.0.0.9>;tag=note");
    assert!(net.elapsed() < 600_000);
}

#[test]
fn a_notify_may_come_before_the_2xx_and_its_expires_is_the_authority() {
    let mut net = net();
    let (_, request) = subscribe(&mut net, presence("sip:bob@10.0.0.9", 600));
    let early =
        notify(&request, 1, "note", "pending;expires=100", "Record-Route: <sip:10.0.0.9;lr>\r\n");
    assert_eq!(told(&mut net, &early), "200 OK");
    assert!(matches!(
        ours(&mut net),
        SubscriptionEvent::Notified { state: SubscriptionState::Pending, .. }
    ));
    accept(&mut net, &request, 600);
    assert!(matches!(ours(&mut net), SubscriptionEvent::Accepted { .. }));
    let refresh = net.caught();
    // The route set is the NOTIFY's (§4.4.1).
    assert_eq!(header(&refresh, "Route"), "<sip:10.0.0.9;lr>");
    assert!((80_000..100_000).contains(&net.elapsed()), "{}", net.elapsed());
}

#[test]
fn without_a_notify_timer_n_ends_the_attempt() {
    let mut net = net();
    let (_, request) = subscribe(&mut net, presence("sip:bob@10.0.0.9", 600));
    accept(&mut net, &request, 600);
    assert!(matches!(ours(&mut net), SubscriptionEvent::Accepted { .. }));
    let SubscriptionEvent::Ended { retry_in: None, text, .. } = ours(&mut net) else { panic!() };
    assert_eq!(text, "no NOTIFY came");
    assert_eq!(net.elapsed(), 32_000);
    // "After the expiration of Timer N … reject" (§4.1.2.4)
    assert!(told(&mut net, &notify(&request, 1, "note", "active", "")).starts_with("481"));
    net.settle();
    net.assert_empty();
}

#[test]
fn too_brief_is_asked_for_again_with_min_expires() {
    let mut net = net();
    let (_, first) = subscribe(&mut net, presence("sip:bob@10.0.0.9", 60));
    net.inject(PEER, US, &answer(&first, "423 Interval Too Brief", "x", "Min-Expires: 900\r\n"));
    let second = net.caught();
    assert_eq!(header(&second, "Expires"), "900");
    assert_ne!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    net.inject(PEER, US, &answer(&second, "489 Bad Event", "x", ""));
    let SubscriptionEvent::Ended { status: Some(489), retry_in: None, .. } = ours(&mut net) else {
        panic!()
    };
    net.settle();
    net.assert_empty();
}

#[test]
fn a_refresh_that_gets_481_makes_a_new_subscription_with_a_new_call_id() {
    let mut net = net();
    let (key, first) = established(&mut net);
    let refresh = net.caught();
    net.inject(PEER, US, &answer(&refresh, "481 Gone", "", ""));
    let SubscriptionEvent::Ended { status: Some(481), retry_in: Some(_), .. } = ours(&mut net)
    else {
        panic!()
    };
    let anew = net.caught();
    assert_ne!(header(&anew, "Call-ID"), header(&first, "Call-ID"));
    assert!(!header(&anew, "To").contains("tag="));
    accept(&mut net, &anew, 600);
    assert_eq!(told(&mut net, &notify(&anew, 1, "other", "active;expires=600", "")), "200 OK");
    let now = net.now;
    assert_eq!(net.endpoint(0).refresh_subscription(now, key), Ok(()));
    assert_eq!(header(&net.caught(), "CSeq"), "2 SUBSCRIBE");
}

#[test]
fn a_refresh_that_fails_otherwise_leaves_the_subscription_until_its_end() {
    let mut net = net();
    established(&mut net);
    for _ in 0..3 {
        let refresh = net.caught();
        net.inject(PEER, US, &answer(&refresh, "500 Oops", "", ""));
        net.no_event(0);
    }
    loop {
        net.drain();
        if !net.peers[0].events.is_empty() {
            break;
        }
        let text = net.caught();
        net.inject(PEER, US, &answer(&text, "500 Oops", "", ""));
    }
    assert!(net.elapsed() >= 590_000, "{}", net.elapsed());
    assert!(matches!(ours(&mut net), SubscriptionEvent::Ended { retry_in: Some(_), .. }));
}

#[test]
fn each_reason_for_an_end_has_its_reaction() {
    let cases = [
        ("terminated;reason=deactivated;retry-after=99", Some(0)),
        ("terminated;reason=timeout", Some(0)),
        ("terminated;reason=probation;retry-after=40", Some(40)),
        ("terminated;reason=giveup;retry-after=30", Some(30)),
        ("terminated;retry-after=77", Some(77)),
        ("terminated;reason=rejected", None),
        ("terminated;reason=noresource;retry-after=5", None),
        ("terminated;reason=invariant;retry-after=5", None),
    ];
    for (state, seconds) in cases {
        let mut net = net();
        let (_, request) = established(&mut net);
        assert_eq!(told(&mut net, &notify(&request, 2, "note", state, "")), "200 OK");
        assert!(matches!(
            ours(&mut net),
            SubscriptionEvent::Notified { state: SubscriptionState::Terminated, .. }
        ));
        let SubscriptionEvent::Ended { retry_in, .. } = ours(&mut net) else { panic!("{state}") };
        assert_eq!(retry_in.is_some(), seconds.is_some(), "{state}");
        let Some(seconds) = seconds else {
            net.settle();
            net.assert_empty();
            continue;
        };
        let ended = net.elapsed();
        let anew = net.caught();
        assert!(anew.starts_with("SUBSCRIBE"));
        let waited = (net.elapsed() - ended) / 1000;
        assert_eq!(waited, seconds, "{state}");
    }
}

#[test]
fn a_notifier_that_ends_each_subscription_at_once_is_asked_ever_more_slowly() {
    let mut net = net();
    let (_, mut request) = established(&mut net);
    let mut waits = Vec::new();
    for number in 2..9 {
        let gone = notify(&request, number, "note", "terminated;reason=deactivated", "");
        assert_eq!(told(&mut net, &gone), "200 OK");
        let ended = net.now;
        request = net.caught();
        waits.push(net.now - ended);
        net.peers[0].events.clear();
    }
    assert!(waits[0] < Duration::from_secs(1) && waits[6] > Duration::from_secs(60), "{waits:?}");
}

#[test]
fn unsubscribing_waits_for_the_last_notify() {
    let mut net = net();
    let (key, request) = established(&mut net);
    let now = net.now;
    net.endpoint(0).unsubscribe(now, key).unwrap();
    let bye = net.caught();
    assert_eq!(header(&bye, "Expires"), "0");
    assert!(header(&bye, "To").contains("tag=note"));
    accept(&mut net, &bye, 0);
    assert!(matches!(ours(&mut net), SubscriptionEvent::Accepted { expires: 0, .. }));
    net.no_event(0);
    let last = notify(&request, 2, "note", "terminated;reason=timeout", "");
    assert_eq!(told(&mut net, &last), "200 OK");
    assert!(matches!(ours(&mut net), SubscriptionEvent::Notified { .. }));
    let SubscriptionEvent::Ended { reason: Some(Termination::Timeout), retry_in: None, .. } =
        ours(&mut net)
    else {
        panic!()
    };
    let now = net.now;
    assert!(matches!(net.endpoint(0).unsubscribe(now, key), Err(Error::Stale(_))));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_notifier_that_never_says_the_last_word_is_waited_for_until_timer_n() {
    let mut net = net();
    let (key, request) = established(&mut net);
    let now = net.now;
    net.endpoint(0).unsubscribe(now, key).unwrap();
    let bye = net.caught();
    // A change crosses the SUBSCRIBE; then nothing comes.
    assert_eq!(told(&mut net, &notify(&request, 2, "note", "active;expires=500", "")), "200 OK");
    accept(&mut net, &bye, 0);
    assert_eq!(told(&mut net, &notify(&request, 3, "note", "active;expires=500", "")), "200 OK");
    net.settle();
    net.assert_empty();
    assert!(net.elapsed() < 70_000, "{}", net.elapsed());
}

#[test]
fn unsubscribing_before_the_first_notify_still_tells_the_notifier() {
    let mut net = net();
    let (key, request) = subscribe(&mut net, presence("sip:bob@10.0.0.9", 600));
    let now = net.now;
    net.endpoint(0).unsubscribe(now, key).unwrap();
    accept(&mut net, &request, 600);
    assert_eq!(told(&mut net, &notify(&request, 1, "note", "active;expires=600", "")), "200 OK");
    assert_eq!(header(&net.caught(), "Expires"), "0");
}

#[test]
fn a_fetch_asks_once() {
    let mut net = net();
    let (_, request) = subscribe(&mut net, presence("sip:bob@10.0.0.9", 0));
    assert_eq!(header(&request, "Expires"), "0");
    let body = notify(&request, 1, "note", "terminated;reason=timeout", "");
    assert_eq!(told(&mut net, &body), "200 OK");
    assert!(matches!(ours(&mut net), SubscriptionEvent::Notified { .. }));
    assert!(matches!(ours(&mut net), SubscriptionEvent::Ended { retry_in: None, .. }));
    accept(&mut net, &request, 0);
    net.settle();
    net.assert_empty();
}

#[test]
fn a_fork_gets_481_where_one_dialog_is_wanted_and_a_subscription_where_all_are() {
    let mut net = net();
    let (_, request) = established(&mut net);
    let other = notify(&request, 1, "fork", "active;expires=600", "");
    assert!(told(&mut net, &other).starts_with("481"));

    let mut net = net_with(Config::default());
    let spec = Subscribe { every_fork: true, ..presence("sip:bob@10.0.0.9", 600) };
    let (key, request) = subscribe(&mut net, spec);
    accept(&mut net, &request, 600);
    for tag in ["one", "two"] {
        let text = notify(&request, 1, tag, "active;expires=600", "");
        assert_eq!(told(&mut net, &text), "200 OK");
    }
    assert_eq!(net.endpoint(0).stats().subscriptions, 2);
    let mut forked = None;
    while let Some(event) = net.peers[0].events.pop_front() {
        if let Event::Subscription { event: SubscriptionEvent::Forked { fork }, .. } = event {
            forked = Some(fork);
        }
    }
    // Each ends on its own.
    let gone = notify(&request, 2, "two", "terminated;reason=noresource", "");
    assert_eq!(told(&mut net, &gone), "200 OK");
    let Event::Subscription { subscription, .. } = net.event(0) else { panic!() };
    assert_eq!(Some(subscription), forked);
    assert_ne!(subscription, key);
    assert_eq!(net.endpoint(0).stats().subscriptions, 1);
    // Timer N of the SUBSCRIBE is over: no more branches.
    net.run(33_000);
    assert!(told(&mut net, &notify(&request, 1, "late", "active", "")).starts_with("481"));
}

#[test]
fn a_notify_that_fits_nothing_gets_481_489_or_400() {
    let mut net = net();
    let (_, request) = established(&mut net);
    let stranger = notify(&request, 3, "note", "active", "").replace("Call-ID: ", "Call-ID: x");
    assert!(told(&mut net, &stranger).starts_with("481"));
    let outside = notify(&request, 3, "note", "active", "");
    let to = header(&outside, "To").to_owned();
    let outside = outside.replace(&to, "<sip:alice@10.0.0.1>").replace("bKn", "bKo");
    assert!(told(&mut net, &outside).starts_with("481"));
    let other = notify(&request, 4, "note", "active", "").replace("Event: p", "Event: not-p");
    assert!(told(&mut net, &other).starts_with("489"));
    let stateless = notify(&request, 5, "note", "", "").replace("Subscription-State: \r\n", "");
    assert!(told(&mut net, &stateless).starts_with("400"));
    net.no_event(0);
}

#[test]
fn a_flood_of_notifies_gets_503_and_the_state_is_asked_for_again_afterwards() {
    let mut net = net();
    let (_, request) = established(&mut net);
    let mut refused = 0;
    for number in 2..1002 {
        match told(&mut net, &notify(&request, number, "note", "active;expires=600", "")) {
            status if status.starts_with("503") => refused += 1,
            status => assert_eq!(status, "200 OK"),
        }
    }
    assert!(refused > 800, "{refused}");
    assert_eq!(net.endpoint(0).stats().rejected_limit, refused);
    assert!(net.peers[0].events.len() <= 200, "{}", net.peers[0].events.len());
    let again = net.caught();
    assert!(again.starts_with("SUBSCRIBE sip:n@10.0.0.9"), "{again}");
    assert!(net.elapsed() < 30_000);
    // An end is always heard.
    let mut number = 2000;
    while told(&mut net, &notify(&request, number, "note", "active", "")) == "200 OK" {
        number += 1;
    }
    let end = notify(&request, 5000, "note", "terminated;reason=rejected", "");
    assert_eq!(told(&mut net, &end), "200 OK");
}

#[test]
fn a_list_is_announced_and_its_notify_may_require_it() {
    let mut net = net();
    let spec = Subscribe { lists: true, ..presence("sip:friends@10.0.0.9", 600) };
    let (_, request) = subscribe(&mut net, spec);
    assert_eq!(header(&request, "Supported"), "eventlist");
    assert_eq!(
        header(&request, "Accept"),
        "application/pidf+xml, multipart/related, application/rlmi+xml"
    );
    let list = notify(&request, 1, "rls", "active;expires=600", "Require: eventlist\r\n");
    assert_eq!(told(&mut net, &list), "200 OK");
    let (_, plain) = subscribe(&mut net, presence("sip:bob@10.0.0.9", 600));
    let list = notify(&plain, 1, "rls2", "active;expires=600", "Require: eventlist\r\n");
    assert!(told(&mut net, &list).starts_with("420"));
}

// Both roles are endpoints from here on.

fn pair(config: Config) -> Net {
    let mut net = Net::new(7);
    net.add("10.0.0.1:5060", "alice", Config::default());
    net.add("10.0.0.2:5060", "bob", config);
    net
}

fn notifier() -> Config {
    let mut config = Config::default();
    config.event_packages = vec!["presence".into()];
    config
}

fn watch(net: &mut Net, expires: u32) -> SubscriptionKey {
    let (now, account) = (net.now, net.peers[0].account);
    let spec = presence("sip:bob@10.0.0.2", expires);
    let key = net.endpoint(0).subscribe(now, account, spec).unwrap();
    net.drain();
    key
}

fn asked(net: &mut Net) -> WatcherKey {
    loop {
        if let Event::Watcher { watcher, event: WatcherEvent::Subscribe { .. } } = net.event(1) {
            return watcher;
        }
    }
}

fn state(text: &str) -> Option<Body> {
    Some(Body::new("application/pidf+xml", text.to_owned()))
}

fn heard(net: &mut Net) -> (SubscriptionState, String) {
    loop {
        if let SubscriptionEvent::Notified { state, request } = ours(net) {
            return (state, String::from_utf8_lossy(request.body()).into_owned());
        }
    }
}

#[test]
fn a_watcher_gets_the_state_at_once_and_every_change() {
    let mut net = pair(notifier());
    watch(&mut net, 600);
    let watcher = asked(&mut net);
    let now = net.now;
    let active = SubscriptionState::Active;
    net.endpoint(1).accept_subscription(now, watcher, active, state("one")).unwrap();
    assert_eq!(heard(&mut net), (active, "one".into()));
    assert!(header(&net.sent("NOTIFY"), "Subscription-State").starts_with("active;expires="));
    net.run(5_000);
    // Three changes at once are one more NOTIFY, with the latest.
    for text in ["two", "three", "four"] {
        let now = net.now;
        net.endpoint(1).notify(now, watcher, active, state(text)).unwrap();
    }
    assert_eq!(heard(&mut net), (active, "two".into()));
    assert_eq!(heard(&mut net), (active, "four".into()));
    assert_eq!(net.count("NOTIFY"), 3);
    net.run(590_000);
    // The refresh was told the state again.
    assert!(net.count("SUBSCRIBE") == 2 && net.count("NOTIFY") == 4, "{:?}", net.ladder());
    let now = net.now;
    let reason = Termination::Noresource;
    net.endpoint(1).terminate_subscription(now, watcher, reason, Some(7)).unwrap();
    net.settle();
    let last = net.sent("NOTIFY");
    assert_eq!(header(&last, "Subscription-State"), "terminated;reason=noresource;retry-after=7");
    net.assert_empty();
}

#[test]
fn a_pending_watcher_becomes_active_or_is_rejected() {
    for granted in [true, false] {
        let mut net = pair(notifier());
        watch(&mut net, 600);
        let watcher = asked(&mut net);
        let now = net.now;
        let (active, pending) = (SubscriptionState::Active, SubscriptionState::Pending);
        net.endpoint(1).accept_subscription(now, watcher, pending, None).unwrap();
        assert_eq!(heard(&mut net), (pending, String::new()));
        let now = net.now;
        if granted {
            net.endpoint(1).notify(now, watcher, active, state("here")).unwrap();
            assert_eq!(heard(&mut net), (active, "here".into()));
        } else {
            let reason = Termination::Rejected;
            net.endpoint(1).terminate_subscription(now, watcher, reason, None).unwrap();
            assert_eq!(heard(&mut net).0, SubscriptionState::Terminated);
            net.settle();
            net.assert_empty();
        }
    }
}

#[test]
fn what_a_notifier_does_not_take_is_refused() {
    // No such package.
    let mut net = pair(Config::default());
    watch(&mut net, 600);
    assert!(matches!(ours(&mut net), SubscriptionEvent::Ended { status: Some(489), .. }));
    // Not this one.
    let mut net = pair(notifier());
    watch(&mut net, 600);
    let watcher = asked(&mut net);
    let now = net.now;
    net.endpoint(1).reject_subscription(now, watcher, 403, vec![]).unwrap();
    assert!(matches!(ours(&mut net), SubscriptionEvent::Ended { status: Some(403), .. }));
    // Too brief: asked for again with what is the least.
    watch(&mut net, 30);
    asked(&mut net);
    assert_eq!(net.count("SIP/2.0 423"), 1);
    assert_eq!(header(&net.sent("SIP/2.0 423"), "Min-Expires"), "60");
    assert_eq!(header(&net.sent("SUBSCRIBE"), "Expires"), "60");
    // Nobody decides.
    net.settle();
    net.assert_empty();
    // Too many.
    let mut config = notifier();
    config.max_watchers = 1;
    let mut net = pair(config);
    watch(&mut net, 600);
    asked(&mut net);
    watch(&mut net, 600);
    net.run(100);
    assert!(has(&net.sent("SIP/2.0 503"), "Retry-After"));
}

#[test]
fn a_watcher_that_goes_away_expires_with_reason_timeout() {
    let mut net = pair(notifier());
    let key = watch(&mut net, 600);
    let watcher = asked(&mut net);
    let now = net.now;
    let active = SubscriptionState::Active;
    net.endpoint(1).accept_subscription(now, watcher, active, state("one")).unwrap();
    heard(&mut net);
    net.endpoint(0).unsubscribe(now, key).unwrap();
    net.settle();
    assert_eq!(header(&net.sent("NOTIFY"), "Subscription-State"), "terminated;reason=timeout");
    net.assert_empty();
    // Without a word: from a hand-made watcher that never refreshes and never answers.
    let text = "SUBSCRIBE sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKs\r\n\
                Max-Forwards: 70\r\nFrom: <sip:w@10.0.0.9>;tag=w\r\nTo: <sip:bob@10.0.0.2>\r\n\
                Call-ID: w1\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:w@10.0.0.9>\r\nEvent: presence\r\n\
                Expires: 100\r\nContent-Length: 0\r\n\r\n";
    net.inject(PEER, "10.0.0.2:5060", text);
    let watcher = asked(&mut net);
    let now = net.now;
    net.endpoint(1).accept_subscription(now, watcher, active, state("one")).unwrap();
    let ok = net.caught();
    assert_eq!(header(&ok, "Expires"), "100");
    let first = net.caught();
    assert!(first.starts_with("NOTIFY"));
    net.inject(PEER, "10.0.0.2:5060", &answer(&first, "200 OK", "", ""));
    let last = net.caught();
    assert_eq!(header(&last, "Subscription-State"), "terminated;reason=timeout");
    net.settle();
    net.assert_empty();
}

#[test]
fn a_notify_that_is_refused_or_lost_ends_the_watcher() {
    for status in ["481 Gone", "500 Later", ""] {
        let mut net = pair(notifier());
        let text = "SUBSCRIBE sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKs\r\n\
             Max-Forwards: 70\r\nFrom: <sip:w@10.0.0.9>;tag=w\r\nTo: <sip:bob@10.0.0.2>\r\n\
             Call-ID: w1\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:w@10.0.0.9>\r\nEvent: presence\r\n\
             Expires: 100\r\nContent-Length: 0\r\n\r\n";
        net.inject(PEER, "10.0.0.2:5060", text);
        let watcher = asked(&mut net);
        let now = net.now;
        let active = SubscriptionState::Active;
        net.endpoint(1).accept_subscription(now, watcher, active, None).unwrap();
        net.caught();
        let notify = net.caught();
        if !status.is_empty() {
            net.inject(PEER, "10.0.0.2:5060", &answer(&notify, status, "", ""));
        }
        net.run(if status.is_empty() { 33_000 } else { 100 });
        let left = if status.starts_with("500") { 1 } else { 0 };
        assert_eq!(net.endpoint(1).stats().watchers, left, "{status}");
    }
}

#[test]
fn another_package_in_a_watchers_dialog_is_refused() {
    let mut net = pair(notifier());
    watch(&mut net, 600);
    let watcher = asked(&mut net);
    let now = net.now;
    let active = SubscriptionState::Active;
    net.endpoint(1).accept_subscription(now, watcher, active, None).unwrap();
    net.run(100);
    let (ok, subscribe) = (net.sent("SIP/2.0 200"), net.sent("SUBSCRIBE"));
    let _ = ok;
    let notify = net.sent("NOTIFY");
    let text = subscribe
        .replace("Event: presence", "Event: dialog")
        .replace("CSeq: 1", "CSeq: 9")
        .replace("branch=z9hG4bK", "branch=z9hG4bKx")
        .replace("To: <sip:bob@10.0.0.2>", &format!("To: {}", header(&notify, "From")));
    net.inject("10.0.0.1:5060", "10.0.0.2:5060", &text);
    net.run(10);
    assert!(net.sent("SIP/2.0 403").starts_with("SIP/2.0 403 Dialog Sharing Not Supported"));
}

#[test]
fn under_loss_both_sides_still_agree() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        net.add("10.0.0.1:5060", "alice", Config::default());
        net.add("10.0.0.2:5060", "bob", notifier());
        net.loss = 0.3;
        net.duplication = 0.1;
        net.latency = (5, 300);
        let key = watch(&mut net, 600);
        let mut latest = String::new();
        let mut accepted = None;
        for step in 0..40 {
            net.run(1_000);
            while let Some(event) = net.peers[1].events.pop_front() {
                if let Event::Watcher { watcher, event: WatcherEvent::Subscribe { .. } } = event {
                    let (now, active) = (net.now, SubscriptionState::Active);
                    let _ = net.endpoint(1).accept_subscription(now, watcher, active, state("0"));
                    accepted = Some(watcher);
                }
            }
            if let Some(watcher) = accepted.filter(|_| step % 3 == 0) {
                let (now, active) = (net.now, SubscriptionState::Active);
                let text = step.to_string();
                let _ = net.endpoint(1).notify(now, watcher, active, state(&text));
            }
            while let Some(event) = net.peers[0].events.pop_front() {
                if let Event::Subscription {
                    event: SubscriptionEvent::Notified { request, .. },
                    ..
                } = event
                {
                    latest = String::from_utf8_lossy(request.body()).into_owned();
                }
            }
        }
        net.loss = 0.0;
        net.run(10_000);
        while let Some(event) = net.peers[0].events.pop_front() {
            if let Event::Subscription {
                event: SubscriptionEvent::Notified { request, .. }, ..
            } = event
            {
                latest = String::from_utf8_lossy(request.body()).into_owned();
            }
        }
        if net.endpoint(0).stats().subscriptions > 0 && net.endpoint(1).stats().watchers > 0 {
            assert_eq!(latest, "39", "seed {seed}");
            let now = net.now;
            let _ = net.endpoint(0).unsubscribe(now, key);
        }
        net.settle();
        net.assert_empty();
    }
}
