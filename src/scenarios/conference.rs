//! Conferences that an agent hosts: who is let in (RFC 3911, RFC 4579) and who is told (RFC 4575).

use super::village::{Phone, Village, quiet};
use crate::body::conference_info::{Change, Conference as Known, ConferenceInfo};
use crate::body::{Limits, Merged};
use crate::command::{Command, PlaceCall};
use crate::{
    Call, Conference, ConferenceBuilder, Config, Document, Error, Event, JoinPolicy, Policy,
    Subscription, SubscriptionUpdate,
};
use std::time::Duration;

const BOB: &str = "sip:bob@192.0.2.2";

fn people(config: Config) -> (Village, [Phone; 4]) {
    let mut village = Village::new(31);
    let names = ["alice", "bob", "carol", "dave"];
    let phones = std::array::from_fn(|n| {
        let ip = format!("192.0.2.{}", n + 1);
        let aor = format!("sip:{}@{ip}", names[n]);
        village.phone(names[n], &ip, &aor, config.clone(), |account| account)
    });
    (village, phones)
}

fn open(village: &mut Village, phone: &Phone) -> Conference {
    let builder = ConferenceBuilder::new(phone.shared.clone()).subject("Lunch");
    village.drive(builder.into_future()).unwrap()
}

/// The next state that a watcher is told.
fn told(village: &mut Village, watched: &Subscription) -> ConferenceInfo {
    match village.drive(watched.next_event()) {
        Some(SubscriptionUpdate::Notify(n)) => match n.document().unwrap() {
            Some(Document::Conference(info)) => *info,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn users(info: &ConferenceInfo) -> Vec<(&str, &str)> {
    let status = |user: &crate::body::conference_info::User| {
        user.endpoints[0].status.as_deref().map(str::to_owned)
    };
    info.users
        .iter()
        .map(|user| {
            let status: &str = match status(user).as_deref() {
                Some("connected") => "connected",
                Some("dialing-out") => "dialing-out",
                Some("alerting") => "alerting",
                Some("muted-via-focus") => "muted",
                other => panic!("{other:?}"),
            };
            (user.entity.as_str(), status)
        })
        .collect()
}

#[test]
fn who_takes_part_may_watch_the_conference_and_sees_others_come_and_go() {
    let (mut village, [alice, mut bob, mut carol, dave]) = people(Config::default());
    let (_call, at_bob) = village.connect(&alice, &mut bob, BOB);
    let conference = open(&mut village, &bob);
    village.drive(conference.add(&at_bob)).unwrap();
    village.run(100);
    let uri = format!("sip:{}@192.0.2.2:5060", conference.name());
    // Somebody who does not take part is not told: the application is asked, which says nothing.
    let stranger = dave.account.subscribe("conference", &uri).into_future();
    let refused = village.drive(async {
        let mut stranger = std::pin::pin!(stranger);
        std::future::poll_fn(|context| {
            drop(bob.told());
            stranger.as_mut().poll(context)
        })
        .await
    });
    assert!(matches!(refused, Err(Error::Peer { status: 403, .. })), "{refused:?}");
    let watched = alice.account.subscribe("conference", &uri);
    let watched = village.drive(watched.into_future()).unwrap();
    let first = told(&mut village, &watched);
    assert_eq!((first.change, first.version, first.entity.as_str()), (Change::Full, 0, &*uri));
    assert_eq!(first.description.as_ref().unwrap().subject.as_deref(), Some("Lunch"));
    let alice_and_bob = [(BOB, "connected"), ("sip:alice@192.0.2.1", "connected")];
    assert_eq!(users(&first), alice_and_bob);
    let method =
        |info: &ConferenceInfo, n: usize| info.users[n].endpoints[0].joining_method.clone();
    assert_eq!(method(&first, 0).as_deref(), Some("focus-owner"));
    assert_eq!(method(&first, 1).as_deref(), Some("dialed-in"));
    // No more often than every five seconds: ringing and answer come together.
    let began = village.world.now();
    let (account, audio) = (bob.account.key(), quiet());
    let to = "sip:carol@192.0.2.3".to_owned();
    let (headers, id) = (Vec::new(), Some(conference.id()));
    let mut call = Box::new(PlaceCall::new(account, to, headers, audio));
    call.conference = id;
    let ask = bob.shared.commands.ask(|reply| Command::Call { call, reply });
    let to_carol: Call = village.drive(ask).unwrap();
    village.run(50);
    let incoming = carol.incoming();
    let at_carol = village.answer(&carol, &incoming);
    let second = told(&mut village, &watched);
    assert!(village.world.now() - began > Duration::from_millis(4500));
    assert_eq!(users(&second)[2], ("sip:carol@192.0.2.3", "connected"));
    assert_eq!(second.state.as_ref().unwrap().user_count, Some(3));
    conference.mute(&to_carol, true);
    assert_eq!(users(&told(&mut village, &watched))[2].1, "muted");
    village.drive(at_carol.hangup());
    assert_eq!(users(&told(&mut village, &watched)), alice_and_bob);
    // What was told adds up.
    let mut known = Known::default();
    assert_eq!(known.merge(&first, &Limits::default()).unwrap(), Merged::Applied);
    assert_eq!(known.merge(&second, &Limits::default()).unwrap(), Merged::Applied);
    drop(conference);
    village.run(10_000);
    let last = told(&mut village, &watched);
    assert_eq!(last.change, Change::Deleted);
    loop {
        match village.drive(watched.next_event()) {
            Some(SubscriptionUpdate::Notify(_)) => {}
            Some(SubscriptionUpdate::Ended { reason, .. }) => {
                assert_eq!(reason, Some(crate::Termination::Noresource));
                break;
            }
            None => panic!("ended without a word"),
        }
    }
}

#[test]
fn a_join_without_a_policy_for_it_gets_488_and_one_beyond_the_limit_too() {
    let config = Config { max_conference_members: 2, ..Config::default() };
    let (mut village, [alice, mut bob, carol, dave]) = people(config);
    let (_call, at_bob) = village.connect(&alice, &mut bob, BOB);
    let named = {
        let conference = open(&mut village, &bob);
        village.drive(conference.add(&at_bob)).unwrap();
        village.run(100);
        conference
    };
    let about = village.describe(&bob, &at_bob);
    let join = |village: &mut Village, who: &Phone| {
        let builder =
            who.account.call(BOB).joins(&about.call_id, &about.local_tag, &about.remote_tag);
        let call = village.call_with(who, BOB, builder.headers);
        village.run(200);
        call
    };
    let refused = join(&mut village, &carol);
    assert_eq!(super::village::end_of(&refused).status, Some(488));
    let policy = Policy { joins: JoinPolicy::Mix, ..Policy::default() };
    bob.account.set_policy(policy).unwrap();
    let taken = join(&mut village, &carol);
    village.drive(taken.answered()).unwrap();
    // The conference that there is: no second one is made.
    let events = bob.told();
    let joined = events.iter().find_map(|event| match event {
        Event::CallJoins { conference, .. } => Some(conference.id()),
        _ => None,
    });
    assert_eq!(joined, Some(named.id()));
    let third = join(&mut village, &dave);
    assert_eq!(super::village::end_of(&third).status, Some(488));
}

#[test]
fn a_conference_that_is_open_is_called_by_its_uri() {
    let (mut village, [alice, mut bob, mut carol, _dave]) = people(Config::default());
    let builder = ConferenceBuilder::new(bob.shared.clone()).without_host().open_to_callers(true);
    let conference = village.drive(builder.into_future()).unwrap();
    let uri = format!("sip:{}@192.0.2.2", conference.name());
    let calls = [&alice, &carol].map(|who| village.call(who, &uri));
    for call in &calls {
        village.drive(call.answered()).unwrap();
    }
    village.run(100);
    let joined: Vec<_> = bob.told();
    assert_eq!(joined.len(), 2);
    assert!(joined.iter().all(|e| matches!(e, Event::CallJoins { joined: None, .. })));
    let members = village.drive(conference.members()).unwrap();
    assert_eq!(members.iter().filter(|m| m.connected && m.call.is_some()).count(), 2);
    assert_eq!(members.len(), 2);
    // A conference that is closed to callers is an ordinary call.
    let closed = village.drive(ConferenceBuilder::new(bob.shared.clone()).into_future()).unwrap();
    let _call = village.call(&carol, &format!("sip:{}@192.0.2.2", closed.name()));
    village.run(100);
    assert_eq!(bob.incoming().from(), "sip:carol@192.0.2.3");
    drop(carol.told());
}

#[test]
fn conferences_are_limited_and_a_call_is_in_one_only() {
    let (mut village, [alice, mut bob, _carol, _dave]) =
        people(Config { max_conferences: 2, ..Config::default() });
    let (_call, at_bob) = village.connect(&alice, &mut bob, BOB);
    let (first, second) = (open(&mut village, &bob), open(&mut village, &bob));
    let third = village.drive(ConferenceBuilder::new(bob.shared.clone()).into_future());
    assert!(matches!(third, Err(Error::Limit(_))));
    village.drive(first.add(&at_bob)).unwrap();
    assert!(matches!(village.drive(second.add(&at_bob)), Err(Error::State(_))));
    assert!(matches!(village.drive(second.remove(&at_bob)), Err(Error::State(_))));
    village.drive(first.remove(&at_bob)).unwrap();
    village.drive(second.add(&at_bob)).unwrap();
    let slow = village.drive(ConferenceBuilder::new(bob.shared.clone()).rate(7).into_future());
    assert!(matches!(slow, Err(Error::Config { .. })));
}
