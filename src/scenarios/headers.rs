//! Header fields of the application's own on every message, and every message read at the other end;
//! requests that the application answers in the agent's place.

use super::village::{Phone, Village, end_of, label};
use crate::testkit::ServerConfig;
use crate::{
    AccountBuilder, CallBuilder, CallEvent, Config, Error, Event, HeaderRule, IncomingRequest,
    Method, SipMessage, TransferPolicy,
};
use tiny_sip::Policy as Extension;

const ALICE: &str = "sip:alice@192.0.2.1";
const BOB: &str = "sip:bob@192.0.2.2";
const CAROL: &str = "sip:carol@192.0.2.3";

fn all_seen() -> Config {
    let mut config = Config::default();
    config.sip.show_received = true;
    config
}

/// Alice and Bob, who see all that comes.
fn two(bob: Config, describe: impl FnOnce(AccountBuilder) -> AccountBuilder) -> Three {
    let mut village = Village::new(1);
    let alice = village.phone("alice", "192.0.2.1", ALICE, all_seen(), |account| account);
    let bob = village.phone("bob", "192.0.2.2", BOB, bob, describe);
    (village, alice, bob)
}

type Three = (Village, Phone, Phone);

fn method(name: &str) -> Method {
    Method::parse(name).unwrap()
}

fn labels(messages: &[SipMessage]) -> Vec<String> {
    let mut all: Vec<_> = messages.iter().map(label).collect();
    all.sort();
    all.dedup();
    all
}

/// Each message carries the field of its kind.
fn assert_marked(messages: &[SipMessage], who: &str) {
    for message in messages {
        let name = if message.is_request() { "X-Req" } else { "X-Res" };
        assert_eq!(message.header_named(name), Some(who), "{message:?}");
    }
}

fn both(who: &str) -> Vec<HeaderRule> {
    vec![HeaderRule::requests("X-Req", who), HeaderRule::responses("X-Res", who)]
}

fn marked(builder: CallBuilder, who: &str) -> CallBuilder {
    both(who).into_iter().fold(builder, CallBuilder::header_rule)
}

#[test]
fn all_messages_of_a_call_carry_header_fields_of_both_sides_and_are_read_by_the_other() {
    let mut config = all_seen();
    config.sip.reliable = Extension::Required;
    let (mut village, mut alice, mut bob) = two(config, |account| account);
    alice.told();
    let builder = marked(alice.account.call(BOB), "alice");
    let call = village.place(&alice, builder);
    village.run(300);
    let incoming = bob.incoming();
    village.drive(incoming.call().set_header_rules(both("bob"))).unwrap();
    village.drive(incoming.ring()).unwrap();
    village.run(300);
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(500);
    village.drive(call.hold()).unwrap();
    village.drive(answered.hold()).unwrap();
    village.drive(call.request(Method::Info).send()).unwrap();
    village.drive(answered.request(Method::Info).send()).unwrap();
    village.drive(call.request(Method::Options).send()).unwrap();
    let message = send(&mut village, call.request(Method::Message).body("text/plain", "x"));
    // Read, and taken with 200.
    let mut by_alice = bob.received(&[&answered]);
    village.drive(message).unwrap();
    village.drive(call.hangup());
    village.run(500);
    assert_eq!(incoming.request().header_named("X-Req"), Some("alice"));
    by_alice.extend(bob.received(&[&answered]));
    let by_bob = alice.received(&[&call]);
    let expected = ["200 INFO", "200 INVITE", "ACK", "BYE", "INFO", "INVITE", "MESSAGE", "OPTIONS"];
    assert_eq!(labels(&by_alice), [&expected[..], &["PRACK"]].concat());
    let expected = [
        "100 INVITE",
        "180 INVITE",
        "200 BYE",
        "200 INFO",
        "200 INVITE",
        "200 MESSAGE",
        "200 OPTIONS",
        "200 PRACK",
        "ACK",
        "INFO",
        "INVITE",
    ];
    assert_eq!(labels(&by_bob), expected);
    assert_marked(&by_alice, "alice");
    // The 100 went out before Bob had said what he wants.
    let by_bob: Vec<_> = by_bob.into_iter().filter(|m| label(m) != "100 INVITE").collect();
    assert_marked(&by_bob, "bob");
    // The BYE ends the call, as a message that can be read.
    let end = end_of(&answered);
    assert_eq!(end.message.unwrap().header_named("X-Req"), Some("alice"));
    drop((call, answered, incoming));
    village.run(40_000);
    village.assert_idle();
}

// RFC 4028 §7.4: the refresh is the agent's own request.
#[test]
fn refreshes_of_a_session_and_their_responses_carry_them_too() {
    let (mut village, mut alice, mut bob) = two(all_seen(), |account| {
        both("bob").into_iter().fold(account, AccountBuilder::header_rule)
    });
    let builder = marked(alice.account.call(BOB), "alice").header("Session-Expires", "90");
    let builder = builder.header("Supported", "timer");
    let call = village.place(&alice, builder);
    village.run(300);
    let incoming = bob.incoming();
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(100_000);
    let (at_bob, at_alice) = (bob.received(&[&answered]), alice.received(&[&call]));
    let update = |m: &SipMessage| m.cseq().unwrap().method == "UPDATE";
    assert!(at_bob.iter().chain(&at_alice).filter(|m| m.is_request()).any(update));
    assert!(at_bob.iter().chain(&at_alice).filter(|m| !m.is_request()).any(update));
    assert_marked(&at_bob, "alice");
    assert_marked(&at_alice, "bob");
}

#[test]
fn cancel_and_refusal_their_responses_and_their_acks_carry_them_too() {
    let (mut village, mut alice, mut bob) = two(all_seen(), |account| account);
    let builder = marked(alice.account.call(BOB), "alice");
    let call = village.place(&alice, builder);
    village.run(100);
    let incoming = bob.incoming();
    village.drive(incoming.call().set_header_rules(both("bob"))).unwrap();
    village.drive(incoming.ring()).unwrap();
    village.run(100);
    let reason = vec![("Reason".to_owned(), "SIP;cause=200".to_owned())];
    village.drive(call.hangup_with(reason)).unwrap();
    village.run(100);
    let at_bob = bob.received(&[incoming.call()]);
    assert_eq!(labels(&at_bob), ["ACK", "CANCEL"]);
    assert_marked(&at_bob, "alice");
    let at_alice = alice.received(&[&call]);
    assert_eq!(labels(&at_alice), ["180 INVITE", "200 CANCEL", "487 INVITE"]);
    assert_marked(&at_alice, "bob");
    let cancel = end_of(incoming.call()).message.unwrap();
    assert_eq!(cancel.header_named("Reason"), Some("SIP;cause=200"));

    let builder = marked(alice.account.call(BOB), "alice");
    let call = village.place(&alice, builder);
    village.run(100);
    let incoming = bob.incoming();
    let own = vec![("X-Res".to_owned(), "its own".to_owned())];
    village.drive(incoming.call().set_header_rules(both("bob"))).unwrap();
    incoming.reject_with(486, None, own).unwrap();
    village.run(100);
    let at_bob = bob.received(&[]);
    assert_eq!(labels(&at_bob), ["ACK"]);
    assert_marked(&at_bob, "alice");
    // What the response says by itself goes before the rule.
    let refused = end_of(&call).message.unwrap();
    assert_eq!(refused.header_named("X-Res"), Some("its own"));
    let Err(error) = village.drive(call.answered()) else { panic!() };
    assert_eq!(error.response().unwrap().header_named("X-Res"), Some("its own"));
}

#[test]
fn a_transfer_s_refer_and_notifications_carry_them_too() {
    let policy = crate::Policy { transfers: TransferPolicy::Ask, ..Default::default() };
    let (mut village, mut alice, mut bob) = two(all_seen(), |account| account.policy(policy));
    let _carol = village.phone("carol", "192.0.2.3", CAROL, Config::default(), |a| a);
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    village.drive(call.set_header_rules(both("alice"))).unwrap();
    village.drive(answered.set_header_rules(both("bob"))).unwrap();
    alice.received(&[&call]);
    bob.received(&[&answered]);
    let refer = call.transfer_to(CAROL).header("X-Own", "1");
    let transfer = village.drive(refer.into_future()).unwrap();
    village.run(300);
    let mut events = Vec::new();
    while let Ok(event) = answered.inner.events.try_lock().unwrap().try_recv() {
        events.push(event);
    }
    let request = events.iter().find_map(|event| match event {
        CallEvent::TransferRequested(request) => Some(request),
        _ => None,
    });
    let request = request.unwrap();
    assert_eq!(request.request().header_named("X-Own"), Some("1"));
    village.drive(request.refuse(603)).unwrap();
    village.run(300);
    drop(transfer);
    let mut at_bob = bob.received(&[&answered]);
    at_bob.extend(events.into_iter().filter_map(|event| match event {
        CallEvent::Received { message } => Some(message),
        _ => None,
    }));
    let at_alice = alice.received(&[&call]);
    assert_eq!(labels(&at_bob), ["200 NOTIFY", "REFER"]);
    assert_eq!(labels(&at_alice), ["202 REFER", "NOTIFY"]);
    assert_marked(&at_bob, "alice");
    assert_marked(&at_alice, "bob");
}

#[test]
fn registrations_their_challenges_and_refusals_are_read_whole() {
    let mut village = Village::new(1);
    let config = ServerConfig::new("example.com").user("bob", "secret");
    village.server("proxy", "192.0.2.9", config);
    village.name("example.com", &["192.0.2.9"]);
    let aor = "sip:bob@example.com";
    let rule = HeaderRule::request(Method::Register, "X-Req", "bob");
    let mut bob = village.phone("bob", "192.0.2.2", aor, all_seen(), |account| {
        account.password("secret").header_rule(rule)
    });
    let granted = village.drive(bob.account.register()).unwrap();
    assert!(granted.response.contacts().next().is_some());
    let told = bob.told();
    assert!(told.iter().any(|event| matches!(
        event,
        Event::Registered { response, .. } if response.contacts().next().is_some()
    )));
    let statuses = told.iter().filter_map(|event| match event {
        Event::Received { message, account: Some(_), call: None } => Some(label(message)),
        _ => None,
    });
    assert_eq!(statuses.collect::<Vec<_>>(), ["401 REGISTER", "200 REGISTER"]);
    let mut eve = village
        .phone("eve", "192.0.2.4", aor, Config::default(), |account| account.password("wrong"));
    let Err(error) = village.drive(eve.account.register()) else { panic!() };
    assert!(error.response().unwrap().cseq().unwrap().method == "REGISTER");
    assert!(eve.told().iter().any(|event| matches!(
        event,
        Event::RegistrationFailed { response: Some(response), .. }
            if response.status().map(|s| s.code()) == error.status()
    )));
    // Any other refusal is read as well.
    let asked = bob.account.request(Method::Options, "sip:nobody@example.com");
    let Err(error) = village.drive(asked.send()) else { panic!() };
    assert_eq!(error.status(), error.response().and_then(|r| r.status()).map(|s| s.code()));
}

#[test]
fn a_header_field_that_would_break_or_forge_a_message_is_refused_by_name() {
    let (mut village, alice, mut bob) = two(all_seen(), |account| account);
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (name, value) in [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\nX-B: 2"),
        ("X A", "1"),
        ("", "1"),
        ("X-A:", "1"),
        ("Via", "SIP/2.0/UDP evil"),
        ("v", "SIP/2.0/UDP evil"),
        ("CSeq", "1 BYE"),
        ("Call-ID", "x"),
        ("i", "x"),
        ("From", "<sip:x@y>"),
        ("t", "<sip:x@y>"),
        ("Max-Forwards", "1"),
        ("Record-Route", "<sip:x>"),
        ("Content-Length", "9"),
    ] {
        let refused = |result: Result<(), Error>| match result {
            Err(Error::Config { field, reason }) => {
                assert!(field.starts_with("header"), "{field}");
                assert!(reason.contains(name.trim_end_matches(':')), "{reason}");
            }
            other => panic!("{name}: {other:?}"),
        };
        refused(village.drive(call.hangup_with(pair(name, value))).map(drop));
        refused(village.drive(call.hold_with(pair(name, value))));
        let rule = || vec![HeaderRule::requests(name, value)];
        refused(village.drive(call.set_header_rules(rule())));
        refused(village.drive(alice.account.set_header_rules(rule())));
        refused(village.drive(call.request(Method::Info).header(name, value).send()).map(drop));
    }
    // What says what a message does belongs to the message, not to a rule.
    for name in ["Contact", "Require", "RAck", "Event", "Replaces", "Session-Expires"] {
        let rule = vec![HeaderRule::responses(name, "x")];
        assert!(village.drive(call.set_header_rules(rule)).is_err(), "{name}");
    }
    let many = (0..33).map(|n| HeaderRule::requests(format!("X-{n}"), "1")).collect();
    let Err(Error::Limit(what)) = village.drive(call.set_header_rules(many)) else { panic!() };
    assert!(what.contains("max_header_rules"));
    // Nothing of it has harmed the call; taken back, rules are gone.
    village.drive(call.set_header_rules(both("alice"))).unwrap();
    village.drive(call.set_header_rules(Vec::new())).unwrap();
    village.drive(call.hangup());
    village.run(300);
    assert_eq!(end_of(&answered).message.unwrap().header_named("X-Req"), None);
}

#[test]
fn rules_are_for_one_method_and_nearer_ones_come_first() {
    let (mut village, alice, mut bob) = two(all_seen(), |account| {
        account
            .header_rule(HeaderRule::response(Method::Bye, "X-Level", "account"))
            .header_rule(HeaderRule::response(Method::Bye, "X-More", "1"))
            .header_rule(HeaderRule::response(Method::Bye, "X-More", "2"))
            .header_rule(HeaderRule::response(Method::Bye, "Server", "bob/1"))
    });
    let mut alice = alice;
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    let rule = HeaderRule::response(Method::Bye, "x-level", "call");
    village.drive(answered.set_header_rules(vec![rule])).unwrap();
    village.drive(call.hangup());
    village.run(300);
    let at_alice = alice.received(&[&call]);
    let of = |what: &str| at_alice.iter().find(|m| label(m) == what).unwrap();
    let bye = of("200 BYE");
    assert_eq!(bye.header_named("X-Level"), Some("call"));
    let text = String::from_utf8_lossy(bye.as_bytes()).into_owned();
    assert!(text.contains("X-More: 1\r\nX-More: 2\r\n"), "{text}");
    assert_eq!(text.matches("Server: ").count(), 1, "{text}");
    assert!(text.contains("Server: bob/1\r\n"), "{text}");
    assert!(!String::from_utf8_lossy(of("200 INVITE").as_bytes()).contains("X-"));
}

// RFC 3261 §19.1.5.
#[test]
fn header_fields_in_a_called_uri_are_honoured_where_that_is_safe() {
    let (mut village, alice, mut bob) = two(Config::default(), |account| account);
    let link = format!(
        "{BOB};method=INVITE?Subject=Tea%20at%20five&X-Order=7&From=%3Csip:eve@evil%3E&\
         Route=%3Csip:192.0.2.66;lr%3E&Contact=%3Csip:eve@evil%3E&P-Asserted-Identity=%3Csip:boss@b%3E"
    );
    let builder = alice.account.call(link);
    let _call = village.place(&alice, builder);
    village.run(100);
    let incoming = bob.incoming();
    let request = incoming.request();
    assert_eq!(request.request_uri(), BOB);
    assert_eq!(request.header_named("Subject"), Some("Tea at five"));
    assert_eq!(request.header_named("X-Order"), Some("7"));
    assert!(!String::from_utf8_lossy(request.as_bytes()).contains("evil"));
    assert_eq!(request.header_named("P-Asserted-Identity"), None);
    assert_eq!(request.header_named("Route"), None);

    let message = alice.account.request(Method::Message, &format!("{BOB}?Subject=x&body=hello"));
    let answer = send(&mut village, message);
    let text = bob.told().into_iter().find_map(|event| match event {
        Event::Message(message) => Some(message.text().into_owned()),
        _ => None,
    });
    assert_eq!(text.as_deref(), Some("hello"));
    village.drive(answer).unwrap();

    village.ladder();
    for (what, sentence) in [
        ("?Replaces=nonsense", "Replaces"),
        ("?Subject=a%0D%0AX-Evil:%201", "Subject"),
        ("?Require=teleport", "teleport"),
        (";method=MESSAGE", "MESSAGE"),
    ] {
        let call = alice.account.call(format!("{BOB}{what}"));
        let Err(Error::Config { field, reason }) = village.drive(call.into_future()) else {
            panic!("{what}")
        };
        assert_eq!(field, "call target");
        assert!(reason.contains(sentence), "{reason}");
    }
    assert_eq!(village.ladder(), [""; 0]);
}

fn asking() -> Config {
    let mut config = Config::default();
    config.sip.ask_requests = true;
    config.max_waiting_requests = 2;
    config
}

fn asked(phone: &mut Phone) -> IncomingRequest {
    let mut told = phone.told().into_iter();
    told.find_map(|event| match event {
        Event::Request(request) => Some(request),
        _ => None,
    })
    .expect("a request")
}

/// Sends a request; the answer comes when somebody has given one.
fn send(
    village: &mut Village,
    builder: crate::RequestBuilder,
) -> std::pin::Pin<Box<dyn Future<Output = Result<SipMessage, Error>>>> {
    let mut answer = Box::pin(builder.send());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(answer.as_mut().poll(&mut context).is_pending());
    village.run(100);
    answer
}

fn without_tags(message: &SipMessage) -> Vec<String> {
    let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
    let own = ["Via", "From", "To", "Call-ID", "CSeq"];
    let mine = |line: &&str| !own.iter().any(|name| line.starts_with(name));
    text.lines().filter(mine).map(str::to_owned).collect()
}

#[test]
fn the_application_answers_options_and_unknown_methods_in_the_agent_s_place() {
    let (mut village, alice, mut bob) = two(asking(), |account| account);
    let _carol = village.phone("carol", "192.0.2.3", CAROL, Config::default(), |a| a);
    let publish = || method("PUBLISH");
    for (what, default) in
        [(Method::Options, 200), (publish(), 405), (method("FOO"), 501), (Method::Refer, 403)]
    {
        let request = |to: &str| {
            let request = alice.account.request(what.clone(), to).header("X-Asked", "yes");
            if what == Method::Refer { request.header("Refer-To", "<sip:x@y>") } else { request }
        };
        // Answered by the application.
        let answer = send(&mut village, request(BOB));
        let incoming = asked(&mut bob);
        assert_eq!(incoming.method(), &what);
        assert_eq!(incoming.account(), Some(bob.account.id()));
        assert_eq!(incoming.request().header_named("X-Asked"), Some("yes"));
        let own = vec![("X-Load".to_owned(), "0.7".to_owned())];
        incoming.respond_with(299, own, "text/plain", "fine").unwrap();
        let response = village.drive(answer).unwrap();
        assert_eq!(response.header_named("X-Load"), Some("0.7"));
        assert_eq!(response.body(), b"fine");
        // Dropped: as an agent answers that is not asked.
        let answer = send(&mut village, request(BOB));
        drop(asked(&mut bob));
        let whole = |answer: Result<SipMessage, Error>| match answer {
            Ok(response) => response,
            Err(error) => error.response().unwrap().clone(),
        };
        let dropped = whole(village.drive(answer));
        assert_eq!(dropped.status().unwrap().code(), default);
        let plain = whole(village.drive(request(CAROL).send()));
        assert_eq!(without_tags(&dropped), without_tags(&plain));
    }
    // A wrong answer is told, and the agent answers.
    for (status, name) in [(180, "X-A"), (700, "X-A"), (200, "Via"), (200, "X-A\r\n")] {
        let answer = send(&mut village, alice.account.request(Method::Options, BOB));
        let wrong = vec![(name.to_owned(), "1".to_owned())];
        assert!(matches!(asked(&mut bob).respond(status, wrong), Err(Error::Config { .. })));
        assert_eq!(village.drive(answer).unwrap().status().unwrap().code(), 200);
    }
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn requests_in_a_call_are_asked_about_with_their_call() {
    let (mut village, alice, mut bob) = two(asking(), |account| account);
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    for (what, default) in
        [(Method::Options, Ok(200)), (method("FOO"), Err(501)), (Method::Info, Err(415))]
    {
        let request = || call.request(what.clone()).body("text/x-own", "hello");
        let answer = send(&mut village, request());
        let incoming = asked(&mut bob);
        assert_eq!((incoming.method(), incoming.call()), (&what, Some(answered.id())));
        incoming.respond(202, vec![("X-Seen".into(), "1".into())]).unwrap();
        assert_eq!(village.drive(answer).unwrap().header_named("X-Seen"), Some("1"));
        let answer = send(&mut village, request());
        drop(asked(&mut bob));
        let status = |m: &SipMessage| m.status().unwrap().code();
        let got = village.drive(answer);
        let got = got.as_ref().map(status).map_err(|e| e.status().unwrap());
        assert_eq!(got, default);
    }
    // A key is a key, asked or not.
    village.drive(call.dtmf_by("5", crate::DtmfMode::Info)).unwrap();
    village.run(200);
    assert!(!bob.told().iter().any(|event| matches!(event, Event::Request(_))));
}

#[test]
fn no_more_requests_wait_for_the_application_than_the_limit_says() {
    let (mut village, alice, mut bob) = two(asking(), |account| account);
    let options = || alice.account.request(Method::Options, BOB);
    let first = send(&mut village, options());
    let _second = send(&mut village, options());
    // The third is answered by the agent.
    village.drive(options().send()).unwrap();
    let waiting = asked(&mut bob);
    waiting.respond(200, vec![("X-By".into(), "hand".into())]).unwrap();
    assert_eq!(village.drive(first).unwrap().header_named("X-By"), Some("hand"));
    let third = send(&mut village, options());
    drop(asked(&mut bob));
    village.drive(third).unwrap();
    // One that is never answered is forgotten with its sender's patience.
    village.run(70_000);
    village.assert_idle();
}
