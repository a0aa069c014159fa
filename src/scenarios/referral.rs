//! REFER outside of calls (RFC 3515): who is refused, what is asked, how it is reported.

use super::village::{Phone, Village};
use crate::{Config, Event, Policy, ReferralPolicy, TransferOutcome, TransferState};

const BOB: &str = "sip:bob@192.0.2.2";
const CAROL: &str = "sip:carol@192.0.2.3";

fn people(config: Config) -> (Village, [Phone; 3]) {
    let mut village = Village::new(41);
    let names = ["alice", "bob", "carol"];
    let phones = std::array::from_fn(|n| {
        let ip = format!("192.0.2.{}", n + 1);
        let aor = format!("sip:{}@{ip}", names[n]);
        village.phone(names[n], &ip, &aor, config.clone(), |account| account)
    });
    (village, phones)
}

fn asks(phone: &Phone) {
    let policy = Policy { referrals: ReferralPolicy::Ask, ..Policy::default() };
    phone.account.set_policy(policy).unwrap();
}

fn refer(village: &mut Village, who: &Phone, whom: &str, to: &str) -> crate::Transfer {
    let referral = village.drive(who.account.refer(whom, to).into_future()).unwrap();
    village.run(100);
    referral
}

fn refused(transfer: &crate::Transfer) -> u16 {
    match transfer.state() {
        TransferState::Ended(TransferOutcome::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_policy_a_referral_is_refused_with_403() {
    let (mut village, [alice, mut bob, _carol]) = people(Config::default());
    let referral = refer(&mut village, &alice, BOB, CAROL);
    assert_eq!(refused(&referral), 403);
    assert_eq!(village.ladder(), ["REFER alice>bob", "403 REFER bob>alice"]);
    assert!(bob.told().is_empty());
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn nothing_but_calls_is_placed_for_a_referral() {
    let (mut village, [alice, mut bob, _carol]) = people(Config::default());
    asks(&bob);
    let referral = refer(&mut village, &alice, BOB, "sip:carol@192.0.2.3;method=BYE");
    assert_eq!(refused(&referral), 603);
    assert!(bob.told().is_empty());
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn the_outcome_of_a_referral_is_reported_when_the_target_refuses() {
    let (mut village, [alice, mut bob, mut carol]) = people(Config::default());
    asks(&bob);
    let referral = refer(&mut village, &alice, BOB, CAROL);
    let state = referral.state();
    assert!(matches!(state, TransferState::Trying { status: 100, .. }), "{state:?}");
    let [Event::ReferRequested(asked)] = &bob.told()[..] else { panic!() };
    assert_eq!((asked.to(), asked.referred_by()), (CAROL, Some("sip:alice@192.0.2.1")));
    let answer = crate::command::AnswerTransfer::Accept(super::village::quiet());
    let call = asked.call;
    let make = |reply| crate::command::Command::AnswerTransfer { call, answer, reply };
    village.drive(bob.shared.commands.ask(make)).unwrap();
    village.run(100);
    carol.incoming().reject(486);
    village.run(100);
    let TransferState::Ended(TransferOutcome::Failed { status, .. }) = referral.state() else {
        panic!()
    };
    assert_eq!(status, 486);
    drop(bob.told());
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn the_application_may_refuse_a_referral_that_it_was_asked_about() {
    let (mut village, [alice, mut bob, _carol]) = people(Config::default());
    asks(&bob);
    let referral = refer(&mut village, &alice, BOB, CAROL);
    let [Event::ReferRequested(asked)] = &bob.told()[..] else { panic!() };
    village.drive(asked.refuse(403)).unwrap();
    village.run(100);
    let state = referral.state();
    let failed = matches!(state, TransferState::Ended(TransferOutcome::Failed { status: 403, .. }));
    assert!(failed, "{state:?}");
    assert!(village.drive(asked.refuse(403)).is_err());
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn referrals_that_nobody_answers_run_out_and_beyond_the_limit_get_503() {
    let mut config = Config::default();
    config.sip.max_referrals = 2;
    let (mut village, [alice, mut bob, carol]) = people(config);
    asks(&bob);
    let first = refer(&mut village, &alice, BOB, CAROL);
    let second = refer(&mut village, &alice, BOB, CAROL);
    let full = village.drive(alice.account.refer(BOB, CAROL).into_future());
    assert!(matches!(full, Err(crate::Error::Limit(_))));
    let third = refer(&mut village, &carol, BOB, CAROL);
    assert_eq!(refused(&third), 503);
    // 300 s later their subscriptions end, and there is room again.
    let mut asked = bob.told();
    assert_eq!(asked.len(), 2);
    village.run(301_000);
    for referral in [first, second] {
        assert!(matches!(referral.state(), TransferState::Ended(_)));
    }
    let Some(Event::ReferRequested(late)) = asked.pop() else { panic!() };
    assert!(village.drive(late.refuse(403)).is_err());
    let again = refer(&mut village, &carol, BOB, CAROL);
    assert!(matches!(again.state(), TransferState::Trying { .. }));
    village.run(400_000);
    village.assert_idle();
}
