//! Messages with envelopes, reports and "is typing", in and out of calls (RFC 3428, 3862, 5438, 3994).

use super::village::{Phone, Village};
use crate::body::imdn::{Kind, Request, Status};
use crate::header::Privacy;
use crate::{
    Call, Config, Error, Event, IncomingMessage, MessageBuilder, MessageReport, SipMessage,
};
use std::time::Duration;

const ALICE: &str = "sip:alice@192.0.2.1";
const BOB: &str = "sip:bob@192.0.2.2";

fn two(config: Config) -> (Village, Phone, Phone) {
    let mut village = Village::new(1);
    let alice = village.phone("alice", "192.0.2.1", ALICE, config.clone(), |account| {
        account.display_name("Alice")
    });
    let bob = village.phone("bob", "192.0.2.2", BOB, config, |account| account);
    (village, alice, bob)
}

/// Sends a message that is being waited for.
fn send<T>(village: &mut Village, future: impl Future<Output = T> + Send + 'static) -> Answer<T> {
    let mut answer: Answer<T> = Box::pin(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(answer.as_mut().poll(&mut context).is_pending());
    village.run(100);
    answer
}

type Answer<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;

fn message(phone: &mut Phone) -> IncomingMessage {
    let mut told = phone.told().into_iter();
    let found = told.find_map(|event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    });
    found.expect("a message")
}

fn report(phone: &mut Phone) -> MessageReport {
    let mut told = phone.told().into_iter();
    let found = told.find_map(|event| match event {
        Event::MessageReported(report) => Some(report),
        _ => None,
    });
    found.expect("a report")
}

fn all() -> Request {
    let (positive_delivery, negative_delivery, display) = (true, true, true);
    Request { positive_delivery, negative_delivery, display, ..Request::default() }
}

/// Sends it; the other side has it, and has accepted it.
fn deliver(
    village: &mut Village,
    builder: MessageBuilder,
    to: &mut Phone,
) -> (SipMessage, IncomingMessage) {
    let answer = send(village, builder.into_future());
    let mut incoming = message(to);
    incoming.accept();
    (village.drive(answer).unwrap(), incoming)
}

#[test]
fn a_message_in_an_envelope_is_taken_out_of_it() {
    let (mut village, alice, mut bob) = two(Config::default());
    let builder = alice
        .account
        .message(BOB, "Tea?")
        .content("text/html", "<b>Tea?</b>")
        .header("X-Own", "1")
        .cpim_with(|envelope| envelope.add("Subject", "Five o\u{2019}clock"));
    let (ok, incoming) = deliver(&mut village, builder, &mut bob);
    assert_eq!(ok.status().unwrap().code(), 200);
    let request = incoming.request();
    assert_eq!(request.header_named("Content-Type"), Some("message/cpim"));
    assert_eq!(request.header_named("X-Own"), Some("1"));
    assert_eq!((incoming.content_type(), &*incoming.text()), ("text/html", "<b>Tea?</b>"));
    let envelope = incoming.cpim().unwrap();
    assert_eq!(envelope.from().as_deref(), Some("\"Alice\" <sip:alice@192.0.2.1>"));
    assert_eq!(envelope.to().as_deref(), Some("<sip:bob@192.0.2.2>"));
    assert_eq!(envelope.header("Subject").as_deref(), Some("Five o\u{2019}clock"));
    assert!(envelope.date_time().unwrap().ends_with('Z'));
    assert!(incoming.imdn().is_none(), "nothing was asked for");
    // A plain one has none.
    let plain = alice.account.message(BOB, "hello");
    let (_, incoming) = deliver(&mut village, plain, &mut bob);
    assert!(incoming.cpim().is_none());
    assert_eq!(&*incoming.text(), "hello");
    assert!(incoming.content_type().starts_with("text/plain"));
}

#[test]
fn whoever_withholds_the_name_does_so_in_the_envelope() {
    let (mut village, alice, mut bob) = two(Config::default());
    let builder = alice.account.message(BOB, "psst").cpim();
    let builder = builder.header("Privacy", Privacy::ANONYMOUS.to_string());
    let (_, incoming) = deliver(&mut village, builder, &mut bob);
    let body = String::from_utf8_lossy(incoming.request().as_bytes()).to_lowercase();
    let content = body.split("\r\n\r\n").skip(1).collect::<String>();
    assert!(!content.contains("alice") && content.contains("anonymous.invalid"), "{body}");
}

// RFC 5438 §7.2, §12.1.3.
#[test]
fn delivery_and_display_are_reported_once_each_to_who_asks() {
    let (mut village, mut alice, mut bob) = two(Config::default());
    let builder = alice.account.message(BOB, "Tea at five?").imdn(all());
    let id = builder.message_id().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let (_, mut incoming) = deliver(&mut village, builder, &mut bob);
    assert_eq!(incoming.imdn().unwrap().message_id, id);
    assert!(village.drive(incoming.delivered()).unwrap());
    let delivered = report(&mut alice);
    assert_eq!((delivered.report.message_id.as_str(), delivered.from.as_str()), (&*id, BOB));
    assert!(delivered.is_delivered() && !delivered.is_displayed());
    assert_eq!(delivered.account, Some(alice.account.id()));
    assert!(!delivered.report.datetime.is_empty());
    // "MUST NOT construct more than one IMDN per disposition type".
    assert!(!village.drive(incoming.failed()).unwrap());
    assert!(!village.drive(incoming.delivered()).unwrap());
    village.run(1_000_000);
    assert!(village.drive(incoming.displayed()).unwrap());
    assert!(report(&mut alice).is_displayed());
    drop(incoming);
    assert!(alice.told().is_empty() && bob.told().is_empty(), "a report is not reported on");

    // Nobody is told what was not asked for.
    let ask = Request { negative_delivery: true, message_id: "mine".into(), ..Request::default() };
    let builder = alice.account.message(BOB, "x").imdn(ask);
    let (_, mut incoming) = deliver(&mut village, builder, &mut bob);
    assert!(!village.drive(incoming.delivered()).unwrap());
    assert!(!village.drive(incoming.displayed()).unwrap());
    assert!(village.drive(incoming.failed()).unwrap());
    let failed = report(&mut alice).report;
    assert_eq!((failed.kind, failed.status), (Kind::Delivery, Status::Failed));
    assert_eq!(failed.message_id, "mine");
    let plain = alice.account.message(BOB, "x");
    let (_, mut incoming) = deliver(&mut village, plain, &mut bob);
    assert!(!village.drive(incoming.delivered()).unwrap());
    // One who cannot be written to is not written to (§12.1.1).
    let hidden = alice.account.message(BOB, "x").imdn(all());
    let hidden = hidden.header("Privacy", Privacy::ANONYMOUS.to_string());
    let (_, mut incoming) = deliver(&mut village, hidden, &mut bob);
    assert!(!village.drive(incoming.delivered()).unwrap());
    drop(incoming);
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn what_is_accepted_cannot_be_refused() {
    let (mut village, alice, mut bob) = two(Config::default());
    let (_, incoming) = deliver(&mut village, alice.account.message(BOB, "x"), &mut bob);
    assert!(matches!(incoming.respond(486, Vec::new()), Err(Error::State(_))));
    let answer = send(&mut village, alice.account.message(BOB, "x").into_future());
    message(&mut bob).respond(486, Vec::new()).unwrap();
    assert_eq!(village.drive(answer).unwrap_err().status(), Some(486));
}

#[test]
fn messages_and_reports_go_within_a_call_too() {
    let (mut village, mut alice, mut bob) = two(Config::default());
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    let builder = call.message("Look at page 7").imdn(all());
    let (_, mut incoming) = deliver(&mut village, builder, &mut bob);
    assert_eq!(incoming.call(), Some(answered.id()));
    assert_eq!(&*incoming.text(), "Look at page 7");
    let own = "<sip:alice@192.0.2.1>".to_owned();
    assert_eq!(incoming.cpim().unwrap().from(), Some(own));
    assert!(village.drive(incoming.displayed()).unwrap());
    let displayed = report(&mut alice);
    assert!(displayed.is_displayed());
    assert_eq!(displayed.call, Some(call.id()));
    let dialog = |m: &SipMessage| m.call_id().unwrap().to_owned();
    assert_eq!(dialog(&displayed.request), dialog(incoming.request()));
}

// RFC 3428 §8, RFC 3261 §18.1.1.
#[test]
fn a_message_too_large_for_a_datagram_goes_over_a_stream() {
    let (mut village, alice, mut bob) = two(Config::default());
    for (size, transport) in [(100, "UDP"), (20_000, "TCP")] {
        let text = "x".repeat(size);
        let (_, incoming) = deliver(&mut village, alice.account.message(BOB, &text), &mut bob);
        assert_eq!(incoming.text().len(), size);
        assert_eq!(incoming.request().top_via().unwrap().transport, transport);
    }
    let (call, _answered) = village.connect(&alice, &mut bob, BOB);
    let text = "y".repeat(20_000);
    let (_, incoming) = deliver(&mut village, call.message(&text), &mut bob);
    assert_eq!(incoming.request().top_via().unwrap().transport, "TCP");
    assert_eq!(incoming.text().len(), 20_000);
}

#[test]
fn bad_envelopes_reports_and_typing_get_400() {
    let (mut village, alice, mut bob) = two(Config::default());
    let imdn = "From: <im:a@b>\r\n\r\nContent-type: message/imdn+xml\r\n\r\n<x/>";
    for (kind, body) in [
        ("message/cpim", "no envelope"),
        ("Message/CPIM; x=y", imdn),
        ("message/imdn+xml", "<imdn"),
        ("application/im-iscomposing+xml", "<isComposing"),
    ] {
        let builder = alice.account.message(BOB, "").content(kind, body);
        let refused = village.drive(builder.into_future());
        assert_eq!(refused.unwrap_err().status(), Some(400), "{kind}");
    }
    assert!(bob.told().is_empty());
}

fn typing(phone: &mut Phone) -> Vec<bool> {
    let told = phone.told().into_iter();
    told.filter_map(|event| match event {
        Event::Composing { active, from, .. } => {
            assert_eq!(from, ALICE);
            Some(active)
        }
        _ => None,
    })
    .collect()
}

// RFC 3994 §3.2, §3.3.
#[test]
fn typing_is_told_once_repeated_and_ends_with_the_message_or_with_time() {
    let (mut village, alice, mut bob) = two(Config::default());
    let sent = |village: &mut Village| {
        let steps = village.ladder();
        steps.iter().filter(|step| *step == "MESSAGE alice>bob").count()
    };
    for _ in 0..10 {
        alice.account.composing(BOB);
        village.run(1000);
    }
    assert_eq!((sent(&mut village), typing(&mut bob)), (1, vec![true]));
    // Nothing is pressed for 15 s.
    village.run(20_000);
    assert_eq!((sent(&mut village), typing(&mut bob)), (1, vec![false]));
    // Pressed on for 100 s: "active" again after 90 s, no change for the reader.
    for _ in 0..100 {
        alice.account.composing(BOB);
        village.run(1000);
    }
    assert_eq!((sent(&mut village), typing(&mut bob)), (2, vec![true]));
    // The message says that it is over; nothing else does.
    let answer = send(&mut village, alice.account.message(BOB, "done").into_future());
    let told = bob.told();
    let active = told.iter().filter_map(|event| match event {
        Event::Composing { active, .. } => Some(*active),
        _ => None,
    });
    assert_eq!(active.collect::<Vec<_>>(), [false]);
    drop(told);
    village.drive(answer).unwrap();
    village.run(30_000);
    assert_eq!((sent(&mut village), typing(&mut bob)), (1, Vec::new()));
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn a_reader_does_not_wait_for_ever_for_who_has_vanished() {
    let (mut village, alice, mut bob) = two(Config::default());
    let active = crate::body::composing::IsComposing {
        active: true,
        refresh: Some(60),
        ..Default::default()
    };
    let status = alice.account.message(BOB, "");
    let status = status.content("application/im-iscomposing+xml", active.to_body());
    village.drive(status.into_future()).unwrap();
    assert_eq!(typing(&mut bob), [true]);
    village.run(59_000);
    assert_eq!(typing(&mut bob), [false; 0]);
    village.run(2_000);
    assert_eq!(typing(&mut bob), [false]);
}

#[test]
fn typing_within_a_call_is_of_that_call_and_bounded() {
    let config = Config {
        max_composing: 1,
        composing: crate::body::composing::Timing {
            idle: Duration::from_secs(5),
            ..Default::default()
        },
        ..Config::default()
    };
    let (mut village, alice, mut bob) = two(config);
    let (call, answered): (Call, Call) = village.connect(&alice, &mut bob, BOB);
    call.composing();
    // One more than the limit.
    alice.account.composing(BOB);
    village.run(100);
    let told = bob.told();
    assert!(matches!(
        told.as_slice(),
        [Event::Composing { call, active: true, .. }] if *call == Some(answered.id())
    ));
    drop(told);
    village.run(6_000);
    assert_eq!(typing(&mut bob), [false]);
}
