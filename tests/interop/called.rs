//! We call SIPp, which does what baresip cannot: reliable provisional responses, UPDATE, session timers,
//! glare, forks, redirections, challenges.

use crate::peers::installed;
use crate::scenario::{Ear, Sipp, agent, event, place, run, with_sipp};
use std::time::{Duration, Instant};
use tiny_sip::Policy;
use tiny_ua::{Audio, CallEvent, CallState, Error, Party, Srtp, TransferOutcome};

fn answered(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Answered { .. })
}

fn status(event: &CallEvent) -> Option<u16> {
    match event {
        CallEvent::Progress { response } => response.status().map(|status| status.code()),
        _ => None,
    }
}

#[test]
fn its_reliable_responses_are_acknowledged_once_and_its_early_update_is_taken() {
    with_sipp(async {
        let sipp = Sipp::called("called-reliable");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        let mut seen = Vec::new();
        loop {
            let event = sipp.wait_for("answer", call.next_event()).await.expect("an event");
            match event {
                CallEvent::EarlyMedia { .. } => seen.push(0),
                CallEvent::Answered { .. } => break,
                event => seen.extend(status(&event)),
            }
        }
        assert_eq!(seen, [183, 0, 180], "each told once");
        // The UPDATE moved the media of the early dialog.
        let CallState::Established { codec: Some(codec), .. } = call.state() else {
            panic!("no sound: {:?}", call.state())
        };
        assert_eq!(codec.remote, format!("127.0.0.1:{}", sipp.media + 2));
        call.hangup().await;
        assert_eq!(sipp.received("PRACK "), 2);
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn its_422_is_heeded_and_its_refresh_answered() {
    with_sipp(async {
        let sipp = Sipp::called("called-422");
        let (ua, alice) = agent(|config| {
            config.sip.session_timer = Policy::Wanted;
            config.sip.session_expires = 120;
        })
        .await;
        let call = place(&alice, &sipp).await;
        event(&sipp, &call, answered).await;
        let end = sipp.wait_for("end", call.ended()).await;
        assert_eq!(end.by, Party::Remote);
        sipp.succeeded();
        ua.shutdown().await;
    });
}

/// No work for 45 s: others go on beside it.
#[test]
fn a_session_is_refreshed_by_update_at_half_time() {
    if !installed("sipp") {
        return;
    }
    let mut sipp = Sipp::called("called-refreshed");
    run(async {
        let (ua, alice) = agent(|config| {
            config.sip.session_timer = Policy::Wanted;
            config.sip.session_expires = 90;
        })
        .await;
        let call = place(&alice, &sipp).await;
        call.answered().await.expect("answered");
        let up = Instant::now();
        let end = call.ended().await;
        assert_eq!(end.by, Party::Remote, "{end:?}");
        assert!((35..=46).contains(&up.elapsed().as_secs()), "{:?}", up.elapsed());
        sipp.ended_within(Duration::from_secs(2));
        ua.shutdown().await;
    });
}

#[test]
fn a_re_invite_that_meets_its_own_is_tried_again_after_the_pause_of_the_caller() {
    with_sipp(async {
        let sipp = Sipp::called("called-glare");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        event(&sipp, &call, answered).await;
        let from = Instant::now();
        sipp.wait_for("hold", call.hold()).await.expect("held");
        let pause = from.elapsed();
        assert!((2.1..4.5).contains(&pause.as_secs_f64()), "{pause:?}");
        event(&sipp, &call, |e| matches!(e, CallEvent::Held { by: Party::Local })).await;
        call.hangup().await;
        assert_eq!(sipp.received("INVITE "), 3);
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn a_re_invite_of_its_own_gets_491_while_ours_waits() {
    with_sipp(async {
        let sipp = Sipp::called("called-crossing");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        event(&sipp, &call, answered).await;
        sipp.wait_for("hold", call.hold()).await.expect("held");
        let end = sipp.wait_for("end", call.ended()).await;
        assert_eq!(end.by, Party::Remote);
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn a_re_invite_put_off_with_retry_after_comes_again_when_it_is_over() {
    with_sipp(async {
        let sipp = Sipp::called("called-500");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        event(&sipp, &call, answered).await;
        let from = Instant::now();
        sipp.wait_for("hold", call.hold()).await.expect("held");
        assert!((1.0..2.5).contains(&from.elapsed().as_secs_f64()), "{:?}", from.elapsed());
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn of_two_answers_of_a_fork_the_second_gets_ack_and_bye() {
    with_sipp(async {
        let sipp = Sipp::called("called-fork");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        event(&sipp, &call, |e| status(e) == Some(180)).await;
        event(&sipp, &call, |e| status(e) == Some(183)).await;
        let up = event(&sipp, &call, answered).await;
        let CallEvent::Answered { response: Some(response), .. } = up else { panic!("{up:?}") };
        let tag = response.to().expect("To").tag().expect("a tag").to_owned();
        assert!(tag.starts_with("first"), "{tag}");
        let end = sipp.wait_for("end", call.ended()).await;
        assert_eq!(end.by, Party::Remote, "the first call was ended by its BYE: {end:?}");
        assert_eq!(sipp.received("ACK "), 2);
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn its_redirection_is_followed_in_the_order_of_q() {
    with_sipp(async {
        let sipp = Sipp::called("called-302");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        sipp.wait_for("answer", call.answered()).await.expect("answered by the second place");
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn proxy_and_callee_may_both_ask_and_the_credentials_are_found_right() {
    with_sipp(async {
        let sipp = Sipp::called("called-407");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        sipp.wait_for("answer", call.answered()).await.expect("the credentials are right");
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn a_call_that_is_answered_while_it_is_cancelled_gets_ack_and_bye() {
    with_sipp(async {
        let sipp = Sipp::called("called-race");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        event(&sipp, &call, |e| status(e) == Some(180)).await;
        let end = sipp.wait_for("end", call.hangup()).await;
        assert_eq!(end.by, Party::Local);
        assert!(matches!(call.answered().await, Err(Error::Ended(_) | Error::Peer { .. })));
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn it_goes_where_we_transfer_it_and_tells_how_it_went() {
    with_sipp(async {
        let sipp = Sipp::called("called-refer");
        let (ua, alice) = agent(|_| {}).await;
        let call = place(&alice, &sipp).await;
        sipp.wait_for("answer", call.answered()).await.expect("answered");
        let transfer = call.transfer_to("sip:carol@127.0.0.1").await.expect("asked");
        let outcome = sipp.wait_for("outcome", transfer.outcome()).await;
        assert_eq!(outcome, TransferOutcome::Completed);
        let end = sipp.wait_for("end", call.ended()).await;
        assert_eq!(end.by, Party::Local, "hung up, for it is done");
        sipp.succeeded();
        ua.shutdown().await;
    });
}

/// We offer nothing; SIPp does, and hears us where it said.
fn offers_late(scenario: &str) {
    with_sipp(async {
        let ear = Ear::open().await;
        let port = ear.port().to_string();
        let sipp = Sipp::called_with(scenario, &["-key", "first", &port]);
        let (ua, alice) = agent(|config| config.srtp = Srtp::Off).await;
        let call = alice.call(sipp.uri()).audio(Audio::silent()).late_offer();
        let call = call.await.expect("a call");
        sipp.wait_for("answer", call.answered()).await.expect("answered");
        ear.hears(&sipp).await;
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn its_offer_in_the_200_is_answered_in_the_ack() {
    offers_late("called-late-offer-ack");
}

#[test]
fn its_offer_in_a_reliable_183_is_answered_in_the_prack() {
    offers_late("called-late-offer-prack");
}
