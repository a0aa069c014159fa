//! Transfers step by step (RFC 5589): alice is the transferor, bob the transferee, carol the target.

use super::village::{Phone, Village, end_of, quiet};
use crate::command::{AnswerTransfer, Command, PlaceCall};
use crate::testkit::ServerConfig;
use crate::{
    Call, CallEvent, CallState, Config, Party, Policy, Transfer, TransferOutcome, TransferPolicy,
    TransferState,
};
use bytes::Bytes;
use std::sync::atomic::{AtomicU32, Ordering};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const C: &str = "192.0.2.3";
const CAROL: &str = "sip:carol@192.0.2.3";

fn phone(village: &mut Village, name: &'static str, ip: &str, policy: Policy) -> Phone {
    let aor = format!("sip:{name}@{ip}");
    village.phone(name, ip, &aor, Config::default(), |account| account.policy(policy))
}

fn three(policy: Policy) -> (Village, [Phone; 3]) {
    let mut village = Village::new(7);
    let alice = phone(&mut village, "alice", A, Policy::default());
    let bob = phone(&mut village, "bob", B, policy);
    let carol = phone(&mut village, "carol", C, Policy::default());
    (village, [alice, bob, carol])
}

/// Alice has called Bob; the ladder begins after that.
fn talking(policy: Policy) -> (Village, [Phone; 3], Call, Call) {
    let (mut village, mut phones) = three(policy);
    let [alice, bob, _] = &mut phones;
    let (call, answered) = village.connect(alice, bob, "sip:bob@192.0.2.2");
    village.ladder();
    (village, phones, call, answered)
}

fn events(call: &Call) -> Vec<CallEvent> {
    let mut all = call.inner.events.try_lock().unwrap();
    std::iter::from_fn(|| all.try_recv().ok()).collect()
}

fn is_up(call: &Call) -> bool {
    matches!(call.state(), CallState::Established { .. })
}

fn outcome(transfer: &Transfer) -> TransferOutcome {
    match transfer.state() {
        TransferState::Ended(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn s6_1_a_blind_transfer_succeeds() {
    let (mut village, [alice, mut bob, mut carol], call, old) = talking(Policy::default());
    let transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(50);
    let incoming = carol.incoming();
    assert_eq!(incoming.request().header_named("Referred-By"), Some("<sip:alice@192.0.2.1>"));
    assert!(incoming.from().starts_with("sip:bob@"), "{}", incoming.from());
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    assert!(matches!(transfer.state(), TransferState::Trying { status: 180, .. }));
    assert!(is_up(&call), "until the peer has got through");
    let answered = village.answer(&carol, &incoming);
    village.run(100);
    let (from, new) = bob.continued();
    assert_eq!(from, old.id());
    assert!(is_up(&new) && is_up(&answered));
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    assert_eq!((end_of(&call).by, end_of(&old).by), (Party::Local, Party::Remote));
    assert!(
        events(&old).iter().any(|e| matches!(e, CallEvent::Transferred { by: Party::Remote })),
        "the transferee knows"
    );
    assert!(events(&call).iter().any(|e| matches!(e, CallEvent::Transferred { by: Party::Local })));
    assert_eq!([alice.media().len(), bob.media().len(), carol.media().len()], [0, 1, 1]);
    let steps = village.ladder();
    let begin = ["REFER alice>bob", "202 REFER bob>alice", "NOTIFY bob>alice", "INVITE bob>carol"];
    assert_eq!(steps[..4], begin, "{steps:#?}");
    for step in ["NOTIFY bob>alice", "200 NOTIFY alice>bob"] {
        assert_eq!(steps.iter().filter(|s| *s == step).count(), 3, "{step}: {steps:#?}");
    }
    let last = |step: &str| steps.iter().rposition(|s| s == step).unwrap();
    assert!(last("200 INVITE carol>bob") < last("NOTIFY bob>alice"));
    assert!(last("NOTIFY bob>alice") < last("BYE alice>bob"));
    village.drive(new.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn s6_2_the_target_is_busy_and_the_call_goes_on() {
    let (mut village, [_alice, mut bob, mut carol], call, old) = talking(Policy::default());
    let transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(50);
    carol.incoming().reject(486);
    village.run(100);
    let busy = TransferOutcome::Failed { status: 486, reason: "Busy Here".into() };
    assert_eq!(outcome(&transfer), busy);
    assert!(is_up(&call) && is_up(&old));
    let (_, new) = bob.continued();
    assert_eq!(end_of(&new).status, Some(486));
    let told = |call: &Call, party: Party| {
        events(call).iter().any(
            |e| matches!(e, CallEvent::TransferFailed { by, status: Some(486), .. } if *by == party),
        )
    };
    assert!(told(&call, Party::Local) && told(&old, Party::Remote));
    // It can be tried again.
    let transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(50);
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.run(100);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
}

#[test]
fn s6_3_the_transferee_refuses() {
    let policy = Policy { transfers: TransferPolicy::Refuse, ..Policy::default() };
    let (mut village, _phones, call, old) = talking(policy);
    let transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(100);
    let refused = TransferOutcome::Refused { status: 603, reason: "Decline".into() };
    assert_eq!(outcome(&transfer), refused);
    assert!(is_up(&call) && is_up(&old));
    assert_eq!(village.ladder(), ["REFER alice>bob", "603 REFER bob>alice"]);
    // Other schemes are refused whatever the policy.
    assert!(village.drive(call.transfer_to("mailto:carol@example.com").into_future()).is_err());
}

#[test]
fn the_transferee_is_asked() {
    for accepts in [true, false] {
        let policy = Policy { transfers: TransferPolicy::Ask, ..Policy::default() };
        let (mut village, [_alice, mut bob, mut carol], call, old) = talking(policy);
        let transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
        village.run(50);
        let request = events(&old).into_iter().find_map(|e| match e {
            CallEvent::TransferRequested(request) => Some(request),
            _ => None,
        });
        let request = request.unwrap();
        assert_eq!((request.to(), request.is_attended()), (CAROL, false));
        assert_eq!(request.referred_by(), Some("sip:alice@192.0.2.1"));
        let key = old.inner.key;
        let answer = match accepts {
            true => AnswerTransfer::Accept(quiet()),
            false => AnswerTransfer::Refuse(603),
        };
        let ask = |reply| Command::AnswerTransfer { call: key, answer, reply };
        village.drive(bob.shared.commands.ask(ask)).unwrap();
        village.run(100);
        if !accepts {
            let refused = TransferOutcome::Failed { status: 603, reason: "Decline".into() };
            assert_eq!(outcome(&transfer), refused);
            assert!(is_up(&call));
            assert!(village.drive(request.refuse(603)).is_err(), "it is over");
            continue;
        }
        let incoming = carol.incoming();
        village.answer(&carol, &incoming);
        village.run(100);
        assert_eq!(outcome(&transfer), TransferOutcome::Completed);
        assert!(is_up(&bob.continued().1));
    }
}

#[test]
fn who_was_called_by_another_name_can_be_transferred_too() {
    let (mut village, [alice, mut bob, mut carol]) = three(Policy::default());
    let (call, _old) = village.connect(&alice, &mut bob, "sip:reception@192.0.2.2");
    let transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(50);
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.run(100);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    assert!(is_up(&bob.continued().1));
}

#[test]
fn the_transferor_may_leave_at_once() {
    let (mut village, [_alice, mut bob, mut carol], call, old) = talking(Policy::default());
    let transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(30);
    village.drive(call.hangup());
    village.run(50);
    assert_eq!(end_of(&old).by, Party::Remote);
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.run(100);
    assert!(is_up(&bob.continued().1), "the errand goes on");
    assert_eq!(outcome(&transfer), TransferOutcome::Completed, "and is still reported");
}

#[test]
fn a_transfer_without_reports_ends_the_call_at_once() {
    let (mut village, [_alice, mut bob, mut carol], call, _old) = talking(Policy::default());
    let transfer = call.transfer_to(CAROL).unreported();
    let transfer = village.drive(transfer.into_future()).unwrap();
    village.run(100);
    assert_eq!(outcome(&transfer), TransferOutcome::Unreported);
    assert_eq!(end_of(&call).by, Party::Local);
    assert!(!village.ladder().iter().any(|step| step.contains("NOTIFY")));
    let incoming = carol.incoming();
    village.answer(&carol, &incoming);
    village.run(100);
    assert!(is_up(&bob.continued().1));
}

#[test]
fn s7_3_an_attended_transfer_joins_two_calls() {
    let (mut village, [alice, mut bob, mut carol], call, old) = talking(Policy::default());
    village.drive(call.hold()).unwrap();
    let (consult, at_carol) = village.connect(&alice, &mut carol, CAROL);
    village.drive(consult.hold()).unwrap();
    village.run(100);
    village.ladder();
    let transfer = village.drive(call.transfer_to_call(&consult).into_future()).unwrap();
    village.run(200);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    assert!(end_of(&call).by == Party::Local && end_of(&consult).by == Party::Remote);
    let (from_bob, at_bob) = bob.continued();
    let (from_carol, new_at_carol) = carol.continued();
    assert_eq!((from_bob, from_carol), (old.id(), at_carol.id()));
    assert!(is_up(&at_bob) && is_up(&new_at_carol));
    let end = end_of(&at_carol);
    assert_eq!((end.by, end.reason.as_str()), (Party::Local, "replaced by another call"));
    let steps = village.ladder();
    assert!(!steps.contains(&"180 INVITE carol>bob".to_owned()), "nobody is rung: {steps:#?}");
    let at = |step: &str| steps.iter().position(|s| s == step).unwrap_or_else(|| panic!("{step}"));
    assert!(at("INVITE bob>carol") < at("200 INVITE carol>bob"));
    assert!(at("200 INVITE carol>bob") <= at("BYE carol>alice"));
    assert!(at("200 INVITE carol>bob") < at("BYE alice>bob"));
    assert_eq!([alice.media().len(), bob.media().len(), carol.media().len()], [0, 1, 1]);
    village.drive(at_bob.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn s7_4_the_consultation_call_is_gone_when_it_should_be_replaced() {
    let (mut village, [alice, mut bob, mut carol], call, old) = talking(Policy::default());
    let (consult, at_carol) = village.connect(&alice, &mut carol, CAROL);
    let transfer = village.drive(call.transfer_to_call(&consult).into_future()).unwrap();
    // Carol hangs up before Bob's INVITE gets there.
    village.drive(at_carol.hangup());
    village.run(200);
    let declined = TransferOutcome::Failed { status: 603, reason: "Decline".into() };
    assert_eq!(outcome(&transfer), declined);
    assert!(is_up(&call) && is_up(&old));
    let _ = bob.continued();
}

#[test]
fn s7_6_a_call_that_still_rings_is_transferred_unattended() {
    let (mut village, [alice, mut bob, mut carol], call, _old) = talking(Policy::default());
    let consult = village.call(&alice, CAROL);
    village.run(50);
    let first = carol.incoming();
    village.drive(first.ring()).unwrap();
    village.run(50);
    let transfer = village.drive(call.transfer_to_call(&consult).into_future()).unwrap();
    village.run(100);
    assert_eq!(end_of(&consult).by, Party::Local);
    let incoming = carol.incoming();
    assert!(incoming.request().header_named("Replaces").is_none());
    village.answer(&carol, &incoming);
    village.run(100);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    assert!(is_up(&bob.continued().1));
}

#[test]
fn an_attended_transfer_goes_through_a_proxy_by_the_address_of_record() {
    let mut village = Village::new(9);
    let mut config = ServerConfig::new("example.com");
    for user in ["alice", "bob", "carol"] {
        config = config.user(user, "secret");
    }
    village.server("proxy", "192.0.2.9", config);
    village.name("example.com", &["192.0.2.9"]);
    let mut phones = [("alice", A), ("bob", B), ("carol", C)].map(|(name, ip)| {
        let aor = format!("sip:{name}@example.com");
        let phone = village.phone(name, ip, &aor, Config::default(), |account| {
            account
                .password("secret")
                .registrar("sip:example.com")
                .outbound_proxy("sip:192.0.2.9;lr")
        });
        village.drive(phone.account.register()).unwrap();
        phone
    });
    let [alice, bob, carol] = &mut phones;
    let (call, _old) = village.connect(alice, bob, "sip:bob@example.com");
    let (consult, at_carol) = village.connect(alice, carol, "sip:carol@example.com");
    let transfer = village.drive(call.transfer_to_call(&consult).into_future()).unwrap();
    village.run(500);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    assert_eq!(end_of(&at_carol).by, Party::Local);
    assert!(is_up(&bob.continued().1) && is_up(&carol.continued().1));
}

#[test]
fn a_bye_that_news_of_the_transfer_overtakes_is_said_again() {
    static BYES: AtomicU32 = AtomicU32::new(0);
    let (mut village, [_alice, bob, mut carol], call, old) = talking(Policy::default());
    // The first copy is lost.
    village.edit(bob.node, |data| match data.starts_with(b"BYE") {
        true if BYES.fetch_add(1, Ordering::Relaxed) == 0 => Bytes::from_static(b"\r\n\r\n"),
        _ => data,
    });
    let _transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(50);
    let incoming = carol.incoming();
    village.drive(old.hangup());
    incoming.reject(486);
    village.run(2_000);
    assert_eq!(end_of(&call).by, Party::Remote);
    let steps = village.ladder();
    let at = |step: &str| steps.iter().position(|s| s == step).unwrap_or_else(|| panic!("{step}"));
    assert!(at("500 BYE alice>bob") < at("200 BYE alice>bob"), "{steps:#?}");
}

/// A call that demands encryption, whatever its account says.
fn encrypted(village: &mut Village, from: &Phone, to: &mut Phone, uri: &str) -> (Call, Call) {
    let mut call = Box::new(PlaceCall::new(from.account.key(), uri.into(), Vec::new(), quiet()));
    call.srtp = Some(crate::Srtp::Sdes);
    let asked = from.shared.commands.ask(|reply| Command::Call { call, reply });
    let call = village.drive(asked).unwrap();
    village.run(200);
    let incoming = to.incoming();
    let answered = village.answer(to, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(500);
    (call, answered)
}

#[test]
fn a_call_made_because_of_a_transfer_is_encrypted_as_the_one_that_it_comes_from() {
    let (mut village, [mut alice, bob, mut carol]) = three(Policy::default());
    let (old, call) = encrypted(&mut village, &bob, &mut alice, "sip:alice@192.0.2.1");
    let _transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(100);
    let body = carol.incoming().request().body().to_vec();
    let sdp = String::from_utf8(body).unwrap();
    assert!(sdp.contains(" RTP/SAVP ") && sdp.contains("a=crypto:"), "{sdp}");
    drop((old, call));
}

#[test]
fn a_call_in_the_place_of_an_encrypted_one_is_encrypted_or_refused() {
    let (mut village, [alice, mut bob, carol]) = three(Policy::default());
    let (call, answered) = encrypted(&mut village, &alice, &mut bob, "sip:bob@192.0.2.2");
    let uri = village.drive(answered.replaces_uri()).unwrap();
    for (srtp, status) in [(crate::Srtp::Off, Some(488)), (crate::Srtp::Sdes, None)] {
        let builder = carol.account.call(uri.clone());
        let (account, to) = (carol.account.key(), builder.to);
        let mut place = Box::new(PlaceCall::new(account, to, builder.headers, quiet()));
        place.srtp = Some(srtp);
        let asked = carol.shared.commands.ask(|reply| Command::Call { call: place, reply });
        let new = village.drive(asked).unwrap();
        village.run(300);
        match status {
            Some(status) => {
                assert_eq!(end_of(&new).status, Some(status));
                assert!(is_up(&call), "nothing has taken its place");
            }
            None => {
                assert!(is_up(&new));
                assert_eq!(end_of(&call).by, Party::Local);
            }
        }
    }
}
