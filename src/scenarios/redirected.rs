//! Requests other than INVITE that a server sends elsewhere (RFC 3261 §8.1.3.4).

use super::village::{Phone, Village};
use crate::testkit::ServerConfig;
use crate::{Config, Error, Event, SubscriptionUpdate};
use std::time::Duration;

const ALICE: &str = "sip:alice@192.0.2.1";
const TO_BOB: &str = "sip:bob@example.test";

/// A server that redirects, Bob's telephones, registered there, and Alice, who is not.
fn place(phones: usize, config: impl Fn(&mut Config)) -> (Village, Phone, Vec<Phone>) {
    let mut village = Village::new(5);
    let server = ServerConfig::new("example.test").user("bob", "b").redirect();
    village.server("server", "192.0.2.10", server);
    village.name("example.test", &["192.0.2.10"]);
    let with = || {
        let mut own = Config::default();
        own.sip.event_packages = vec!["presence".to_owned()];
        config(&mut own);
        own
    };
    let names = [("bob", "192.0.2.2"), ("bob2", "192.0.2.3")];
    let bobs = names.into_iter().take(phones).map(|(name, ip)| {
        let phone = village.phone(name, ip, TO_BOB, with(), |account| account.password("b"));
        village.drive(phone.account.register()).unwrap();
        phone
    });
    let bobs = bobs.collect();
    let alice = village.phone("alice", "192.0.2.1", ALICE, with(), |account| account);
    village.ladder();
    (village, alice, bobs)
}

fn said(village: &Village, method: &str) -> Vec<(String, String, String)> {
    let all = village.said(method);
    let text = |m: &crate::SipMessage, name: &str| m.header_named(name).unwrap().to_owned();
    all.iter()
        .map(|m| {
            (m.request_uri().to_owned(), text(m, "Call-ID") + &text(m, "From"), text(m, "CSeq"))
        })
        .collect()
}

#[test]
fn a_message_and_options_go_where_a_302_says() {
    let (mut village, alice, mut bobs) = place(1, |_| ());
    let answer = village.drive(alice.account.options(TO_BOB)).unwrap();
    assert_eq!(answer.status().unwrap().code(), 200);
    let sent = said(&village, "OPTIONS");
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].0, TO_BOB);
    assert!(sent[1].0.starts_with("sip:bob@192.0.2.2:5060"), "{sent:?}");
    // "reuse the same To, From, and Call-ID", as another request.
    assert_eq!(sent[0].1, sent[1].1);
    assert_eq!((sent[0].2.as_str(), sent[1].2.as_str()), ("1 OPTIONS", "2 OPTIONS"));
    let message = alice.account.message(TO_BOB, "hello").into_future();
    let mut message = std::pin::pin!(message);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(message.as_mut().poll(&mut context).is_pending());
    village.run(100);
    let heard = bobs[0].told();
    assert!(heard.iter().any(|event| matches!(event, Event::Message(_))), "{heard:?}");
    drop(heard);
    assert_eq!(village.drive(message).unwrap().status().unwrap().code(), 200);
}

#[test]
fn a_subscription_is_made_where_a_302_says_and_is_refreshed_there() {
    let (mut village, alice, mut bobs) = place(1, |_| ());
    let builder = alice.account.subscribe("presence", TO_BOB);
    let mut asking = std::pin::pin!(std::future::IntoFuture::into_future(builder));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    village.run(100);
    let watchers: Vec<_> = bobs[0].told();
    let Some(Event::Subscription(incoming)) =
        watchers.into_iter().find(|event| matches!(event, Event::Subscription(_)))
    else {
        panic!("no watcher")
    };
    let _watcher = village.drive(incoming.accept("text/plain", "one")).unwrap();
    let subscription = village.drive(asking).unwrap();
    assert!(matches!(
        village.drive(subscription.next_event()),
        Some(SubscriptionUpdate::Notify(_))
    ));
    village.ladder();
    village.drive(subscription.refresh()).unwrap();
    village.run(100);
    let steps = village.ladder();
    let asked: Vec<_> = steps.iter().filter(|step| step.ends_with("SUBSCRIBE bob>alice")).collect();
    assert_eq!(asked, ["200 SUBSCRIBE bob>alice"], "{steps:?}");
}

#[test]
fn the_next_contact_is_tried_where_one_does_not_answer() {
    let (mut village, alice, bobs) = place(2, |_| ());
    // Whichever comes first is not there.
    village.drive(alice.account.options(TO_BOB)).unwrap();
    let first = said(&village, "OPTIONS").pop().unwrap().0;
    let dead = bobs.iter().find(|bob| first.contains(&bob.at.ip().to_string())).unwrap();
    village.cut_off(dead);
    village.ladder();
    let began = village.world.now();
    let answer = village.drive(alice.account.options(TO_BOB)).unwrap();
    assert_eq!(answer.status().unwrap().code(), 200);
    assert!(village.world.now() - began >= Duration::from_secs(32));
    assert!(!said(&village, "OPTIONS").pop().unwrap().0.contains(&dead.at.ip().to_string()));
}

#[test]
fn requests_are_not_sent_round_for_ever() {
    for most in [0, 1, 5] {
        let (mut village, alice, bobs) = place(1, |config| config.sip.max_request_redirects = most);
        // The telephone sends everybody back to the server, under another name each time.
        village.edit(bobs[0].node, |data| {
            let text = String::from_utf8(data.to_vec()).unwrap();
            let number = text.lines().find_map(|l| l.strip_prefix("CSeq: ")).unwrap_or_default();
            let n = number.split(' ').next().unwrap().to_owned();
            let contact = format!("\r\nContact: <sip:bob@192.0.2.2;n={n}>\r\nContent-Length: 0");
            let text = text.replace("SIP/2.0 200 OK", "SIP/2.0 302 Elsewhere");
            match text.starts_with("SIP/2.0 302") {
                true => {
                    text.split("\r\nContent-Length").next().unwrap().to_owned()
                        + &contact
                        + "\r\n\r\n"
                }
                false => text,
            }
            .into()
        });
        let refused = village.drive(alice.account.options(TO_BOB));
        assert!(matches!(refused, Err(Error::Peer { status: 302, .. })), "{refused:?}");
        assert_eq!(said(&village, "OPTIONS").len(), 1 + usize::from(most));
    }
}
