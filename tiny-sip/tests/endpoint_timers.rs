//! Session timers (RFC 4028): asked for, granted, refreshed by either side, and run out.

mod endpoint_net;

use endpoint_net::{Net, answer, has, header, sdp};
use tiny_sip::{CallKey, Config, EndedBy, Event, Method, Policy};

fn wanted(seconds: u32) -> Config {
    let mut config = Config::default();
    (config.session_timer, config.session_expires) = (Policy::Wanted, seconds);
    config
}

fn pair(seed: u64, alice: Config, bob: Config) -> Net {
    let mut net = Net::new(seed);
    net.add("10.0.0.1:5060", "alice", alice);
    net.add("10.0.0.2:5060", "bob", bob);
    net
}

fn ok_of_invite(net: &Net) -> String {
    let found = net.log.iter().find(|(.., data)| {
        let text = String::from_utf8_lossy(data);
        text.starts_with("SIP/2.0 200") && header(&text, "CSeq").ends_with("INVITE")
    });
    String::from_utf8_lossy(&found.unwrap().3).into_owned()
}

#[test]
fn the_caller_asks_and_refreshes_by_update_at_half_time() {
    let mut net = pair(1, wanted(1800), Config::default());
    let (alice, _) = net.call();
    assert_eq!(header(&net.sent("INVITE"), "Session-Expires"), "1800");
    assert!(!has(&net.sent("INVITE"), "Min-SE"));
    let ok = ok_of_invite(&net);
    assert_eq!(header(&ok, "Session-Expires"), "1800;refresher=uac");
    assert_eq!(header(&ok, "Require"), "timer");
    net.run(809_000);
    assert_eq!(net.count("UPDATE"), 0);
    net.run(92_000);
    assert_eq!(net.count("UPDATE"), 1, "between 810 and 900 s");
    let update = net.sent("UPDATE");
    assert_eq!(header(&update, "Session-Expires"), "1800;refresher=uac");
    assert_eq!(header(&update, "Content-Length"), "0");
    net.run(4 * 3_600_000);
    assert!((16..=20).contains(&net.count("UPDATE")), "{}", net.count("UPDATE"));
    net.no_event(0);
    net.no_event(1);
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.settle();
    net.assert_empty();
}

#[test]
fn a_callee_may_grant_a_timer_to_a_caller_who_knows_none_and_refreshes_itself() {
    let mut off = Config::default();
    off.session_timer = Policy::Off;
    let mut net = pair(2, off, wanted(300));
    net.call();
    let ok = ok_of_invite(&net);
    assert_eq!(header(&ok, "Session-Expires"), "300;refresher=uas");
    assert!(!has(&ok, "Require"));
    net.run(151_000);
    let update = net.sent("UPDATE");
    assert!(update.starts_with("UPDATE sip:alice@"));
    assert_eq!(header(&update, "Session-Expires"), "300;refresher=uac");
    // Alice grants nothing, so that the timer ends with this answer (§7.2).
    net.run(600_000);
    assert_eq!(net.count("UPDATE"), 1);
    assert_eq!(net.count("BYE"), 0);
}

#[test]
fn a_peer_without_update_is_refreshed_by_the_owners_re_invite() {
    let mut old = Config::default();
    old.allow.retain(|method| *method != Method::Update);
    let mut net = pair(3, wanted(200), old);
    let (alice, _) = net.call();
    let Event::RefreshDue { call } = net.event(0) else { panic!() };
    assert_eq!(call, alice);
    assert!((90_000..=100_100).contains(&net.elapsed()), "{}", net.elapsed());
    let now = net.now;
    net.endpoint(0).reinvite(now, alice, vec![], sdp()).unwrap();
    let Event::Reinvite { call: bob, request } = net.event(1) else { panic!() };
    assert_eq!(request.header_named("Session-Expires"), Some("200;refresher=uac"));
    let now = net.now;
    net.endpoint(1).accept_reinvite(now, bob, vec![], sdp()).unwrap();
    assert!(matches!(net.event(0), Event::ReinviteAccepted { .. }));
    assert_eq!(header(&net.sent("SIP/2.0 200"), "Session-Expires"), "200;refresher=uac");
    assert!(matches!(net.event(0), Event::RefreshDue { .. }), "and again at half of the new time");
    assert!(net.elapsed() < 201_000);
}

#[test]
fn a_session_that_nobody_refreshes_ends_with_a_bye_before_its_time() {
    let mut old = Config::default();
    old.allow.retain(|method| *method != Method::Update);
    let mut net = pair(4, wanted(300), old);
    net.call();
    assert!(matches!(net.event(0), Event::RefreshDue { .. }));
    // Nobody acts on it: both would send their BYE 32 s before the end.
    let Event::Ended { by, status, .. } = net.event(0) else { panic!() };
    assert_eq!((by, status), (EndedBy::Network, Some(408)));
    assert!((268_000..268_100).contains(&net.elapsed()), "{}", net.elapsed());
    assert!(matches!(net.event(1), Event::Ended { .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_refresh_without_a_response_ends_the_call() {
    let mut net = pair(5, wanted(90), Config::default());
    net.call();
    net.loss = 1.0;
    let Event::Ended { by: EndedBy::Network, .. } = net.event(0) else { panic!() };
    assert!(net.elapsed() <= 90_000, "{}", net.elapsed());
    net.settle();
    net.assert_empty();
}

#[test]
fn an_interval_too_small_gets_422_and_is_asked_for_anew() {
    let mut strict = Config::default();
    strict.min_se = 600;
    let mut net = pair(6, wanted(120), strict);
    let alice = net.invite(0, "sip:bob@10.0.0.2");
    let Event::Incoming { call: bob, request, .. } = net.event(1) else { panic!() };
    assert_eq!(header(&net.sent("SIP/2.0 422"), "Min-SE"), "600");
    assert_eq!(request.header_named("Session-Expires"), Some("600"));
    assert_eq!(request.header_named("Min-SE"), Some("600"));
    assert_eq!(header(&net.sent("INVITE"), "CSeq"), "2 INVITE");
    let now = net.now;
    net.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
    let Event::Answered { call, response, .. } = net.event(0) else { panic!() };
    assert_eq!(call, alice);
    assert_eq!(response.header_named("Session-Expires"), Some("600;refresher=uac"));
}

#[test]
fn a_422_that_asks_for_no_more_than_it_got_is_final() {
    let mut net = Net::new(7);
    net.add("10.0.0.1:5060", "alice", wanted(1800));
    net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    let refusal = answer(&invite, "422 Session Interval Too Small", "x", "Min-SE: 1800\r\n");
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &refusal);
    assert!(matches!(net.event(0), Event::Ended { status: Some(422), .. }));
    assert_eq!(net.count("INVITE"), 1);
}

#[test]
fn the_policies_off_and_required() {
    let (mut off, mut required) = (Config::default(), wanted(1800));
    (off.session_timer, required.session_timer) = (Policy::Off, Policy::Required);
    let mut net = pair(8, required, off);
    net.invite(0, "sip:bob@10.0.0.2");
    assert!(matches!(net.event(0), Event::Ended { status: Some(420), .. }));
    assert_eq!(header(&net.sent("INVITE"), "Require"), "timer");
    net.invite(1, "sip:alice@10.0.0.1");
    assert!(matches!(net.event(1), Event::Ended { status: Some(421), .. }));
    assert_eq!(header(&net.sent("SIP/2.0 421"), "Require"), "timer");
}

#[test]
fn a_tiny_interval_from_a_hostile_peer_makes_no_refresh_storm() {
    let mut net = Net::new(9);
    net.add("10.0.0.1:5060", "alice", Config::default());
    let call: CallKey = net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    let extra = "Contact: <sip:bob@10.0.0.9>\r\nAllow: UPDATE\r\nRequire: timer\r\n\
                 Session-Expires: 0;refresher=uac\r\n";
    net.inject("10.0.0.9:5060", "10.0.0.1:5060", &answer(&invite, "200 OK", "x", extra));
    assert!(matches!(net.event(0), Event::Answered { .. }));
    net.run(40_000);
    assert_eq!(net.count("UPDATE"), 0);
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
}
