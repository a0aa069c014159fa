//! Subscriptions and publications through the handles that applications hold.

use super::village::{Phone, Village};
use crate::body::dialog_info::State;
use crate::{
    Config, Document, Error, Event, IncomingSubscription, Subscription, SubscriptionState,
    SubscriptionUpdate, Termination,
};
use std::time::Duration;

const TO_BOB: &str = "sip:bob@192.0.2.2";

fn packages(names: &[&str]) -> Config {
    let mut config = Config::default();
    config.sip.event_packages = names.iter().map(|&name| name.to_owned()).collect();
    config
}

fn two(bob: Config) -> (Village, Phone, Phone) {
    let mut village = Village::new(3);
    let alice =
        village.phone("alice", "192.0.2.1", "sip:alice@192.0.2.1", Config::default(), |a| a);
    let bob = village.phone("bob", "192.0.2.2", TO_BOB, bob, |a| a);
    (village, alice, bob)
}

fn asked(village: &mut Village, phone: &mut Phone) -> IncomingSubscription {
    village.run(100);
    match phone.event() {
        Some(Event::Subscription(incoming)) => incoming,
        other => panic!("{other:?}"),
    }
}

fn told(village: &mut Village, subscription: &Subscription) -> (SubscriptionState, String) {
    match village.drive(subscription.next_event()) {
        Some(SubscriptionUpdate::Notify(n)) => {
            (n.state, String::from_utf8_lossy(n.request.body()).into_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// Alice watches what Bob's application tells.
fn watched(
    village: &mut Village,
    alice: &Phone,
    bob: &mut Phone,
) -> (Subscription, crate::Watcher) {
    let builder = alice.account.subscribe("presence", TO_BOB);
    let asking = std::pin::pin!(std::future::IntoFuture::into_future(builder));
    let mut asking = asking;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    let incoming = asked(village, bob);
    assert_eq!((incoming.package(), incoming.expires()), ("presence", 3600));
    assert_eq!(incoming.account(), Some(bob.account.id()));
    assert_eq!(incoming.from(), "sip:alice@192.0.2.1");
    let watcher = village.drive(incoming.accept("text/plain", "one")).unwrap();
    let subscription = village.drive(asking).unwrap();
    assert_eq!(told(village, &subscription), (SubscriptionState::Active, "one".into()));
    (subscription, watcher)
}

#[test]
fn a_state_is_watched_changed_and_ended_by_dropping_the_subscription() {
    let (mut village, alice, mut bob) = two(packages(&["presence"]));
    let (subscription, watcher) = watched(&mut village, &alice, &mut bob);
    village.run(2_000);
    village.drive(watcher.notify("text/plain", "two")).unwrap();
    assert_eq!(told(&mut village, &subscription), (SubscriptionState::Active, "two".into()));
    village.ladder();
    drop(subscription);
    village.run(500);
    assert_eq!(
        village.ladder(),
        [
            "SUBSCRIBE alice>bob",
            "200 SUBSCRIBE bob>alice",
            "NOTIFY bob>alice",
            "200 NOTIFY alice>bob"
        ]
    );
    village.drive(watcher.ended());
    let gone = village.drive(watcher.notify("text/plain", "three"));
    assert!(matches!(gone, Err(Error::Ended(_))), "{gone:?}");
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn dropping_the_watcher_ends_the_subscription_and_says_so() {
    let (mut village, alice, mut bob) = two(packages(&["presence"]));
    let (subscription, watcher) = watched(&mut village, &alice, &mut bob);
    drop(watcher);
    assert_eq!(told(&mut village, &subscription).0, SubscriptionState::Terminated);
    let Some(SubscriptionUpdate::Ended { reason, retry_in: None, .. }) =
        village.drive(subscription.next_event())
    else {
        panic!()
    };
    assert_eq!(reason, Some(Termination::Noresource));
    assert!(village.drive(subscription.next_event()).is_none());
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn a_subscription_that_nobody_takes_is_an_error_with_the_status() {
    let (mut village, alice, bob) = two(Config::default());
    let none = village.drive(async { alice.account.subscribe("presence", TO_BOB).await });
    assert_eq!(none.unwrap_err().status(), Some(489));
    let bad = village.drive(async { alice.account.subscribe("presence", "bob").await });
    assert!(matches!(bad, Err(Error::Config { .. })));
    drop(bob);
    // The application drops the request: 403.
    let (mut village, alice, mut bob) = two(packages(&["presence"]));
    let builder = alice.account.subscribe("presence", TO_BOB);
    let mut asking = std::future::IntoFuture::into_future(builder);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    drop(asked(&mut village, &mut bob));
    assert_eq!(village.drive(asking).unwrap_err().status(), Some(403));
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn an_allowed_watcher_sees_calls_ring_answered_and_over() {
    let mut config = packages(&["dialog"]);
    config.dialog_watchers = vec!["sip:alice@192.0.2.1".into()];
    let (mut village, alice, mut bob) = two(config);
    let carol =
        village.phone("carol", "192.0.2.3", "sip:carol@192.0.2.3", Config::default(), |a| a);
    let lamp = village.drive(async { alice.account.subscribe("dialog", TO_BOB).await }).unwrap();
    let states = |village: &mut Village| {
        village.run(2_000);
        match village.drive(lamp.next_event()) {
            Some(SubscriptionUpdate::Notify(n)) => match n.document().unwrap() {
                Some(Document::Dialogs(info)) => {
                    info.dialogs.iter().map(|d| (d.state, d.direction)).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    use crate::body::dialog_info::Direction::Recipient;
    assert_eq!(states(&mut village), []);
    let call = village.call(&carol, TO_BOB);
    assert_eq!(states(&mut village), [(State::Early, Some(Recipient))]);
    let incoming = bob.incoming();
    village.answer(&bob, &incoming);
    assert_eq!(states(&mut village), [(State::Confirmed, Some(Recipient))]);
    village.drive(call.hangup());
    assert_eq!(states(&mut village), []);
    // A stranger is not told: the application is asked.
    let builder = carol.account.subscribe("dialog", TO_BOB);
    let mut asking = std::future::IntoFuture::into_future(builder);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    asked(&mut village, &mut bob).reject(603, Vec::new());
    assert_eq!(village.drive(asking).unwrap_err().status(), Some(603));
    drop((lamp, incoming));
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn shutting_down_unsubscribes_first() {
    let (mut village, alice, mut bob) = two(packages(&["presence"]));
    let (subscription, watcher) = watched(&mut village, &alice, &mut bob);
    village.ladder();
    let (reply, done) = tokio::sync::oneshot::channel();
    alice.shared.commands.tell(crate::command::Command::Shutdown { reply });
    village.drive(done).unwrap();
    let steps = village.ladder();
    assert!(steps.contains(&"200 NOTIFY alice>bob".to_owned()), "{steps:?}");
    drop((subscription, watcher));
    village.run(Duration::from_secs(60).as_millis() as u64);
    village.assert_idle();
}

#[test]
fn publishing_where_nobody_compiles_state_is_an_error_with_the_status() {
    let (mut village, alice, bob) = two(Config::default());
    let presence = crate::body::pidf::Presence::new("sip:alice@192.0.2.1", true);
    // Our own address of record: nobody there takes PUBLISH.
    let refused = village.drive(alice.account.publish_presence(&presence));
    assert_eq!(refused.unwrap_err().status(), Some(405));
    drop(bob);
    village.run(60_000);
    village.assert_idle();
}

// RFC 3842, as PBXs send it to whom they have registered.
#[test]
fn messages_waiting_are_told_without_a_subscription_where_that_is_wanted() {
    for wanted in [true, false] {
        let mut config = Config::default();
        if wanted {
            config.sip.unsolicited_packages = vec!["message-summary".to_owned()];
        }
        let (mut village, alice, mut bob) = two(config);
        for (package, told) in [("message-summary", wanted), ("presence", false)] {
            let notify = alice.account.request(crate::Method::Notify, "sip:bob@192.0.2.2");
            let body = "Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n";
            let notify = notify
                .header("Event", package)
                .header("Subscription-State", "active")
                .body("application/simple-message-summary", body);
            let answer = village.drive(notify.send());
            assert_eq!(answer.is_ok(), told, "{answer:?}");
            if !told {
                assert_eq!(answer.unwrap_err().status(), Some(481));
                assert!(bob.told().is_empty());
                continue;
            }
            let events = bob.told();
            let [crate::Event::Notified { account, notification }] = &events[..] else {
                panic!("{events:?}")
            };
            assert_eq!(*account, Some(bob.account.id()));
            let Ok(Some(crate::Document::MessageSummary(summary))) = notification.document() else {
                panic!("{notification:?}")
            };
            assert!(summary.waiting);
        }
    }
}
