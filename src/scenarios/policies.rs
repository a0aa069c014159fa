//! What accounts do by themselves: forwarding, do-not-disturb, call waiting, redirections, and why
//! calls end.

use super::village::{Phone, Village, end_of};
use crate::{
    CallEvent, CallState, Config, DoNotDisturb, Event, Party, Policy, Reason, RedirectPolicy,
};
use std::time::Duration;

const BOB: &str = "sip:bob@192.0.2.2";
const CAROL: &str = "sip:carol@192.0.2.3";
const DAVE: &str = "sip:dave@192.0.2.4";

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

/// Alice, Bob, Carol and Dave; Bob with this policy.
fn four(bob: Policy) -> (Village, [Phone; 4]) {
    let mut village = Village::new(5);
    let names = [("alice", 1), ("bob", 2), ("carol", 3), ("dave", 4)];
    let phones = names.map(|(name, n)| {
        let (ip, bob) = (format!("192.0.2.{n}"), bob.clone());
        let aor = format!("sip:{name}@{ip}");
        village.phone(name, &ip, &aor, Config::default(), |account| match name {
            "bob" => account.policy(bob),
            _ => account,
        })
    });
    (village, phones)
}

#[test]
fn every_call_is_forwarded_and_the_caller_follows() {
    let always = policy(|p| p.forward_always = Some(CAROL.into()));
    let (mut village, [alice, mut bob, mut carol, _]) = four(always);
    let call = village.call(&alice, BOB);
    village.run(100);
    let Some(Event::CallRefused { status: 302, forwarded_to, request, .. }) = bob.event() else {
        panic!()
    };
    assert_eq!(forwarded_to.as_deref(), Some(CAROL));
    assert!(request.from().unwrap().uri.as_str().starts_with("sip:alice@"));
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.drive(call.answered()).unwrap();
    assert_eq!(
        village.ladder()[..4],
        ["INVITE alice>bob", "302 INVITE bob>alice", "ACK alice>bob", "INVITE alice>carol"]
    );
    village.drive(call.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn a_redirection_says_from_where_and_why() {
    let busy = policy(|p| p.forward_busy = Some(CAROL.into()));
    let (mut village, [alice, mut bob, _, dave]) = four(busy);
    alice.account.set_policy(policy(|p| p.redirects = RedirectPolicy::Report)).unwrap();
    let _first = village.connect(&dave, &mut bob, BOB);
    let headers = vec![
        ("Supported".to_owned(), "histinfo".to_owned()),
        ("History-Info".to_owned(), "<sip:bob@example.com>;index=1".to_owned()),
    ];
    let call = village.call_with(&alice, BOB, headers);
    village.run(100);
    let end = end_of(&call);
    assert_eq!((end.status, end.by), (Some(302), Party::Remote));
    let message = end.message.unwrap();
    let field = |name: &str| message.header_named(name).unwrap().to_owned();
    assert_eq!(field("Contact"), format!("<{CAROL}>"));
    assert_eq!(field("Diversion"), format!("<{BOB}>;reason=user-busy;counter=1"));
    let expected = format!(
        "<sip:bob@example.com>;index=1, <{BOB}?Reason=SIP%3Bcause%3D486>;index=1.1, \
         <{CAROL};cause=486>;index=1.1.1;mp=1.1"
    );
    assert_eq!(field("History-Info"), expected);
}

#[test]
fn a_call_that_nobody_answers_goes_elsewhere() {
    let later = (Duration::from_secs(20), CAROL.to_owned());
    let (mut village, [alice, mut bob, mut carol, _]) =
        four(policy(|p| p.forward_no_answer = Some(later)));
    let call = village.call(&alice, BOB);
    village.run(100);
    let rings = bob.incoming();
    village.drive(rings.ring()).unwrap();
    village.run(19_000);
    assert!(matches!(rings.call().state(), CallState::Dialing { .. }));
    village.run(1_000);
    assert_eq!(end_of(rings.call()).by, Party::Local);
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.drive(call.answered()).unwrap();
    village.drive(call.hangup());
    // One that is answered in time stays.
    let call = village.call(&alice, BOB);
    village.run(100);
    let incoming = bob.incoming();
    village.answer(&bob, &incoming);
    village.run(30_000);
    assert!(matches!(call.state(), CallState::Established { .. }));
}

#[test]
fn nobody_is_disturbed() {
    let minutes = DoNotDisturb { status: 603, retry_after: Some(Duration::from_secs(600)) };
    let (mut village, [alice, mut bob, ..]) = four(policy(|p| p.do_not_disturb = Some(minutes)));
    let call = village.call(&alice, BOB);
    village.run(100);
    let end = end_of(&call);
    assert_eq!(end.status, Some(603));
    assert_eq!(end.reasons()[0].text.as_deref(), Some("Do Not Disturb"));
    let after = end.message.unwrap().retry_after().unwrap().unwrap().seconds;
    assert_eq!(after, 600);
    assert!(matches!(bob.event(), Some(Event::CallRefused { status: 603, .. })));
    bob.account.set_policy(Policy::default()).unwrap();
    village.call(&alice, BOB);
    village.run(100);
    bob.incoming();
}

#[test]
fn a_second_call_rings_or_is_busy() {
    for waiting in [true, false] {
        let (mut village, [alice, mut bob, _, dave]) = four(policy(|p| p.call_waiting = waiting));
        let _first = village.connect(&dave, &mut bob, BOB);
        let call = village.call(&alice, BOB);
        village.run(100);
        match waiting {
            true => drop(bob.incoming()),
            false => assert_eq!(end_of(&call).status, Some(486)),
        }
    }
}

#[test]
fn contacts_are_tried_in_order_of_q_and_none_of_them_twice() {
    let (mut village, [alice, mut bob, mut carol, mut dave]) = four(Policy::default());
    let call = village.call(&alice, BOB);
    village.run(100);
    let contact = format!("<{CAROL}>;q=0.3, <{DAVE}>;q=0.7, <{BOB}>;q=1.0, <mailto:b@x>");
    bob.incoming().reject_with(300, None, vec![("Contact".into(), contact)]).unwrap();
    village.run(100);
    dave.incoming().reject(486);
    village.run(100);
    carol.incoming().redirect(&[DAVE, BOB]).unwrap();
    village.run(100);
    assert_eq!(end_of(&call).status, Some(302), "there is nowhere left to go");
    let invites: Vec<_> =
        village.ladder().into_iter().filter(|step| step.starts_with("INVITE")).collect();
    assert_eq!(invites, ["INVITE alice>bob", "INVITE alice>dave", "INVITE alice>carol"]);
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn no_more_contacts_are_kept_than_the_limit_says() {
    let mut village = Village::new(1);
    let config = Config { max_redirect_targets: 2, ..Config::default() };
    let aor = "sip:alice@192.0.2.1";
    let alice = village.phone("alice", "192.0.2.1", aor, config, |account| account);
    let mut bob = village.phone("bob", "192.0.2.2", BOB, Config::default(), |account| account);
    alice.account.set_policy(policy(|p| p.redirects = RedirectPolicy::Ask)).unwrap();
    let call = village.call(&alice, BOB);
    village.run(100);
    bob.incoming().redirect(&[DAVE, CAROL]).unwrap();
    village.run(100);
    let mut seen = call.inner.events.try_lock().unwrap();
    let Ok(CallEvent::Redirected { targets, .. }) = seen.try_recv() else { panic!() };
    // The place that was called counts.
    assert_eq!(targets, [DAVE]);
}

#[test]
fn the_application_chooses_where_a_redirected_call_goes() {
    let (mut village, [alice, mut bob, mut carol, _]) = four(Policy::default());
    alice.account.set_policy(policy(|p| p.redirects = RedirectPolicy::Ask)).unwrap();
    let call = village.call(&alice, BOB);
    village.run(100);
    bob.incoming().redirect(&[DAVE, CAROL]).unwrap();
    village.run(100);
    let mut seen = call.inner.events.try_lock().unwrap();
    let Ok(CallEvent::Redirected { targets, .. }) = seen.try_recv() else { panic!() };
    assert_eq!(targets, [DAVE, CAROL]);
    drop(seen);
    village.drive(call.follow_redirect(CAROL)).unwrap();
    village.run(50);
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.drive(call.answered()).unwrap();
}

#[test]
fn a_contact_that_never_answers_gives_way_to_the_next() {
    let (mut village, [alice, mut bob, mut carol, _]) = four(Policy::default());
    let call = village.call(&alice, BOB);
    village.run(100);
    // Nobody is there.
    bob.incoming().redirect(&["sip:nobody@192.0.2.77", CAROL]).unwrap();
    village.run(40_000);
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.drive(call.answered()).unwrap();
    village.drive(call.hangup());
    // Where the last of them does not answer either, that is how the call ends.
    let call = village.call(&alice, BOB);
    village.run(100);
    bob.incoming().redirect(&["sip:nobody@192.0.2.77"]).unwrap();
    village.run(40_000);
    let end = end_of(&call);
    assert_eq!((end.by, end.status), (Party::Network, Some(408)));
    drop((incoming, bob.told()));
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn a_chain_of_redirections_ends_at_the_limit() {
    let (mut village, [alice, bob, carol, mut dave]) = four(Policy::default());
    alice.account.set_policy(policy(|p| p.redirects = RedirectPolicy::Follow(1))).unwrap();
    bob.account.set_policy(policy(|p| p.forward_always = Some(CAROL.into()))).unwrap();
    carol.account.set_policy(policy(|p| p.forward_always = Some(DAVE.into()))).unwrap();
    let call = village.call(&alice, BOB);
    village.run(200);
    assert_eq!(end_of(&call).status, Some(302));
    assert!(dave.event().is_none());
}

#[test]
fn a_caller_says_why_and_who_rings_learns_that_it_was_answered_elsewhere() {
    let (mut village, [alice, mut bob, ..]) = four(Policy::default());
    for (reason, elsewhere) in [
        (Reason::sip(200, "Call completed elsewhere"), true),
        (Reason::sip(487, "Gave \"up\""), false),
    ] {
        let call = village.call(&alice, BOB);
        village.run(50);
        let rings = bob.incoming();
        village.drive(rings.ring()).unwrap();
        village.run(50);
        village.drive(call.hangup_because(&reason)).unwrap();
        village.run(50);
        let end = end_of(rings.call());
        assert_eq!((end.by, end.answered_elsewhere()), (Party::Remote, elsewhere));
        assert_eq!(end.reasons(), [reason]);
    }
    // On a BYE, too.
    let (call, other) = village.connect(&alice, &mut bob, BOB);
    let reason = Reason { protocol: "Q.850".into(), cause: Some(16), text: None };
    village.drive(call.hangup_because(&reason)).unwrap();
    village.run(50);
    assert_eq!(end_of(&other).reasons(), [reason]);
}

#[test]
fn a_caller_may_ask_to_be_answered_by_itself_where_it_is_allowed() {
    let (mut village, [alice, mut bob, ..]) = four(Policy::default());
    let auto = [
        (("Answer-Mode", "Auto"), Some(0)),
        (("Call-Info", "<sip:x>;answer-after=3"), Some(3)),
        (("Alert-Info", "<http://x/y>;info=alert-autoanswer;delay=2"), Some(2)),
        (("Answer-Mode", "Manual"), None),
    ];
    for allowed in [false, true] {
        bob.account.set_policy(policy(|p| p.auto_answer = allowed)).unwrap();
        for ((name, value), after) in auto {
            let call = village.call_with(&alice, BOB, vec![(name.into(), value.into())]);
            village.run(50);
            let wanted = bob.incoming().wants_answer_after();
            assert_eq!(wanted, after.filter(|_| allowed).map(Duration::from_secs), "{value}");
            drop(call);
            village.run(50);
        }
        let must = vec![("Priv-Answer-Mode".into(), "Auto;require".into())];
        let call = village.call_with(&alice, BOB, must);
        village.run(50);
        match allowed {
            true => drop(bob.incoming()),
            false => assert_eq!(end_of(&call).status, Some(403)),
        }
        village.run(50);
    }
}
