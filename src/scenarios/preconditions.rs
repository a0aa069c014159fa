//! Calls that nobody is told of before network resources are there (RFC 3312): whole agents, driven
//! through their handles.

use super::village::{Phone, Village, end_of};
use crate::{
    Call, CallEvent, CallState, Config, Error, Event, Policy, PreconditionPolicy,
    PreconditionStrength as Strength, Preconditions,
};
use tiny_sip::Policy as Extension;

const BOB: &str = "sip:bob@192.0.2.2";

fn both() -> Preconditions {
    Preconditions::segmented(Strength::Mandatory, Strength::Mandatory)
}

fn two(bob: PreconditionPolicy) -> (Village, Phone, Phone) {
    let mut village = Village::new(31);
    let policy = Policy { preconditions: bob, ..Policy::default() };
    let a = village.phone("alice", "192.0.2.1", "sip:alice@192.0.2.1", Config::default(), |a| a);
    let b = village.phone("bob", "192.0.2.2", BOB, Config::default(), |a| a.policy(policy));
    (village, a, b)
}

fn place(village: &mut Village, alice: &Phone, demands: Preconditions) -> Call {
    let builder = alice.account.call(BOB).preconditions(demands);
    let call = village.place(alice, builder);
    village.run(100);
    call
}

fn wanted(call: &Call) -> usize {
    let mut inbox = call.inner.events.try_lock().unwrap();
    let all = std::iter::from_fn(|| inbox.try_recv().ok());
    all.filter(|event| matches!(event, CallEvent::ResourcesWanted)).count()
}

/// The lines of a message that are about preconditions.
fn lines(message: &str) -> Vec<&str> {
    let about = |l: &&str| ["a=curr:", "a=des:", "a=conf:"].iter().any(|p| l.starts_with(p));
    message.lines().filter(about).collect()
}

fn requires(message: &str, header: &str) -> bool {
    message.lines().any(|l| l == format!("{header}: precondition"))
}

/// Bob is told, and answers; the call ends.
fn goes_on(village: &mut Village, call: &Call, bob: &mut Phone) {
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    assert!(matches!(call.state(), CallState::Dialing { ringing: true }));
    village.answer(bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(50);
    assert_eq!(bob.media().len(), 1);
    village.drive(call.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn a_call_rings_when_the_callers_access_network_has_resources_as_well() {
    let (mut village, alice, mut bob) = two(PreconditionPolicy::Reserved);
    let call = place(&mut village, &alice, both());
    assert_eq!(
        village.ladder(),
        ["INVITE alice>bob", "183 INVITE bob>alice", "PRACK alice>bob", "200 PRACK bob>alice"]
    );
    assert!(bob.event().is_none(), "nobody is alerted");
    assert!(alice.media().is_empty() && bob.media().is_empty(), "and no media flows");
    let invite = village.last("INVITE", "INVITE");
    assert!(requires(&invite, "Require"), "{invite}");
    assert_eq!(
        lines(&invite),
        [
            "a=curr:qos local none",
            "a=curr:qos remote none",
            "a=des:qos mandatory local sendrecv",
            "a=des:qos mandatory remote sendrecv"
        ]
    );
    let progress = village.last("SIP/2.0 183", "INVITE");
    assert_eq!(
        lines(&progress),
        [
            "a=curr:qos local sendrecv",
            "a=curr:qos remote none",
            "a=des:qos mandatory local sendrecv",
            "a=des:qos mandatory remote sendrecv",
            "a=conf:qos remote sendrecv"
        ]
    );
    assert_eq!(wanted(&call), 1);
    village.drive(call.preconditions_met()).unwrap();
    village.run(50);
    assert_eq!(village.ladder(), ["UPDATE alice>bob", "200 UPDATE bob>alice"]);
    let update = village.last("UPDATE", "UPDATE");
    assert!(requires(&update, "Require"));
    assert_eq!(lines(&update)[..2], ["a=curr:qos local sendrecv", "a=curr:qos remote sendrecv"]);
    let ok = village.last("SIP/2.0 200", "UPDATE");
    assert_eq!(lines(&ok)[..2], ["a=curr:qos local sendrecv", "a=curr:qos remote sendrecv"]);
    goes_on(&mut village, &call, &mut bob);
}

#[test]
fn s13_1_both_reserve_along_the_whole_path_whoever_is_first() {
    for callee_first in [true, false] {
        let (mut village, alice, mut bob) = two(PreconditionPolicy::Ask);
        let demands = Preconditions::end_to_end(Strength::Mandatory);
        let call = place(&mut village, &alice, demands);
        let Some(Event::ResourcesWanted { call: asked }) = bob.event() else { panic!() };
        let progress = village.last("SIP/2.0 183", "INVITE");
        assert_eq!(
            lines(&progress),
            ["a=curr:qos e2e none", "a=des:qos mandatory e2e sendrecv", "a=conf:qos e2e recv"]
        );
        let (first, second) = if callee_first { (&asked, &call) } else { (&call, &asked) };
        village.drive(first.preconditions_met()).unwrap();
        village.run(50);
        assert!(bob.event().is_none(), "one direction is missing");
        village.drive(second.preconditions_met()).unwrap();
        village.run(50);
        let update = village.last("UPDATE", "UPDATE");
        assert_eq!(lines(&update), ["a=curr:qos e2e send", "a=des:qos mandatory e2e sendrecv"]);
        goes_on(&mut village, &call, &mut bob);
    }
}

#[test]
fn s13_2_resources_that_are_there_already_delay_nothing() {
    let (mut village, alice, mut bob) = two(PreconditionPolicy::Reserved);
    let call = place(&mut village, &alice, both().reserved());
    assert_eq!(village.ladder(), ["INVITE alice>bob"]);
    goes_on(&mut village, &call, &mut bob);
    let ok = village.last("SIP/2.0 200", "INVITE");
    assert_eq!(lines(&ok)[..2], ["a=curr:qos local sendrecv", "a=curr:qos remote sendrecv"]);
}

#[test]
fn optional_preconditions_are_offered_and_keep_nobody_waiting() {
    for policy in [PreconditionPolicy::Refuse, PreconditionPolicy::Reserved] {
        let (mut village, alice, mut bob) = two(policy);
        let demands = Preconditions::segmented(Strength::Optional, Strength::None);
        let call = place(&mut village, &alice, demands);
        let invite = village.last("INVITE", "INVITE");
        assert!(requires(&invite, "Supported") && !requires(&invite, "Require"), "{invite}");
        assert_eq!(village.ladder(), ["INVITE alice>bob"]);
        goes_on(&mut village, &call, &mut bob);
    }
}

#[test]
fn an_account_that_knows_no_preconditions_says_420() {
    let (mut village, alice, mut bob) = two(PreconditionPolicy::Refuse);
    let call = place(&mut village, &alice, both());
    assert_eq!(end_of(&call).status, Some(420));
    assert!(requires(&village.last("SIP/2.0 420", "INVITE"), "Unsupported"));
    assert!(bob.event().is_none());
}

#[test]
fn resources_that_cannot_be_had_end_the_call_with_580() {
    let (mut village, alice, mut bob) = two(PreconditionPolicy::Ask);
    let call = place(&mut village, &alice, both());
    let Some(Event::ResourcesWanted { call: asked }) = bob.event() else { panic!() };
    village.drive(asked.preconditions_failed()).unwrap();
    village.run(50);
    let refused = village.drive(call.answered());
    assert!(matches!(refused, Err(Error::Peer { status: 580, .. })), "{refused:?}");
    let no = village.last("SIP/2.0 580", "INVITE");
    assert_eq!(
        lines(&no),
        ["a=des:qos failure local sendrecv", "a=des:qos failure remote sendrecv"]
    );
    assert!(no.contains("m=audio 0 "));
    // The caller's side.
    let call = place(&mut village, &alice, both());
    village.drive(call.preconditions_failed()).unwrap();
    village.run(200);
    assert!(matches!(village.drive(call.answered()), Err(Error::State(_))));
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn a_precondition_of_an_unknown_type_is_refused_with_580() {
    let (mut village, alice, mut bob) = two(PreconditionPolicy::Reserved);
    village.edit(alice.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        text.replace(":qos ", ":sec ").into()
    });
    let call = place(&mut village, &alice, both());
    assert_eq!(end_of(&call).status, Some(580));
    assert_eq!(
        lines(&village.last("SIP/2.0 580", "INVITE")),
        ["a=des:sec unknown local sendrecv"],
        "the caller's own access network is its own affair"
    );
    assert!(bob.event().is_none());
}

#[test]
fn preconditions_need_reliable_responses_on_both_sides() {
    let mut village = Village::new(32);
    let mut off = Config::default();
    off.sip.reliable = Extension::Off;
    let policy = Policy { preconditions: PreconditionPolicy::Reserved, ..Policy::default() };
    let aor = "sip:alice@192.0.2.1";
    let alice = village.phone("alice", "192.0.2.1", aor, Config::default(), |a| a);
    let bob = village.phone("bob", "192.0.2.2", BOB, off, |a| a.policy(policy));
    let call = place(&mut village, &alice, both());
    assert_eq!(end_of(&call).status, Some(421));
    let no = village.last("SIP/2.0 421", "INVITE");
    assert!(no.contains("\r\nRequire: 100rel\r\n"), "{no}");
    let builder = bob.account.call(aor).preconditions(both());
    let refused = village.try_place(&bob, builder);
    assert!(matches!(refused, Err(Error::Config { field, .. }) if field == "preconditions"));
}

#[test]
fn a_caller_may_give_up_while_nobody_is_told() {
    let (mut village, alice, mut bob) = two(PreconditionPolicy::Ask);
    let call = place(&mut village, &alice, both());
    let Some(Event::ResourcesWanted { call: asked }) = bob.event() else { panic!() };
    village.drive(call.hangup());
    village.run(200);
    assert!(matches!(asked.state(), CallState::Ended(_)));
    assert!(bob.event().is_none());
    village.run(40_000);
    village.assert_idle();
}
