//! SIPp calls us and does what baresip cannot: it insists on reliable provisional responses, changes
//! sessions by UPDATE, offers late, transfers, moves its media, and asks odd things.

use crate::scenario::{Ear, Sipp, agent, event, incoming, with_sipp};
use std::time::Instant;
use tiny_ua::{Audio, Call, CallEvent, CallState, Event, IncomingCall, Method, Party, Srtp};

/// SIPp sends an INFO when the application is to go on.
async fn told_to_go_on(sipp: &Sipp, call: &Call) {
    let info = |e: &CallEvent| match e {
        CallEvent::Request { request } => request.method() == Some(&Method::Info),
        _ => false,
    };
    event(sipp, call, info).await;
}

/// We send one for the same purpose.
async fn go_on(sipp: &Sipp, call: &Call) {
    sipp.wait_for("200", call.request(Method::Info).send()).await.expect("200");
}

async fn answer(incoming: &IncomingCall) -> Call {
    incoming.answer(Audio::silent()).await.expect("answered")
}

fn media_of(call: &Call) -> String {
    match call.state() {
        CallState::Established { codec: Some(codec), .. } => codec.remote,
        other => panic!("no sound: {other:?}"),
    }
}

async fn ended_by_it(sipp: Sipp, call: &Call) {
    let end = sipp.wait_for("end", call.ended()).await;
    assert_eq!(end.by, Party::Remote, "{end:?}");
    sipp.succeeded();
}

#[test]
fn our_ringing_is_reliable_where_it_insists_and_repeated_until_its_prack() {
    with_sipp(async {
        let (ua, _us) = agent(|_| {}).await;
        let sipp = Sipp::calls("calls-reliable", &ua);
        let ringing = incoming(&ua, &sipp).await;
        ringing.ring().await.expect("rings");
        told_to_go_on(&sipp, ringing.call()).await;
        assert!(sipp.received("SIP/2.0 180") >= 2, "repeated after 500 ms");
        let call = answer(&ringing).await;
        ended_by_it(sipp, &call).await;
        ua.shutdown().await;
    });
}

#[test]
fn its_updates_are_put_off_taken_as_refresh_and_taken_as_hold() {
    with_sipp(async {
        let (ua, _us) = agent(|_| {}).await;
        let sipp = Sipp::calls("calls-update", &ua);
        let ringing = incoming(&ua, &sipp).await;
        ringing.ring().await.expect("rings");
        told_to_go_on(&sipp, ringing.call()).await;
        let call = answer(&ringing).await;
        event(&sipp, &call, |e| matches!(e, CallEvent::Held { by: Party::Remote })).await;
        event(&sipp, &call, |e| matches!(e, CallEvent::Resumed { by: Party::Remote })).await;
        ended_by_it(sipp, &call).await;
        ua.shutdown().await;
    });
}

#[test]
fn too_small_a_session_interval_of_its_own_gets_422_and_the_next_one_a_timer() {
    with_sipp(async {
        let (ua, _us) = agent(|_| {}).await;
        let sipp = Sipp::calls("calls-422", &ua);
        let ringing = incoming(&ua, &sipp).await;
        let call = answer(&ringing).await;
        ended_by_it(sipp, &call).await;
        ua.shutdown().await;
    });
}

#[test]
fn a_re_invite_that_meets_its_own_is_tried_again_soon_by_the_callee() {
    with_sipp(async {
        let (ua, _us) = agent(|_| {}).await;
        let sipp = Sipp::calls("calls-glare", &ua);
        let ringing = incoming(&ua, &sipp).await;
        let call = answer(&ringing).await;
        event(&sipp, &call, |e| matches!(e, CallEvent::Answered { .. })).await;
        let from = Instant::now();
        sipp.wait_for("hold", call.hold()).await.expect("held");
        assert!(from.elapsed().as_secs_f64() < 2.5, "{:?}", from.elapsed());
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

/// SIPp calls with its media at one port and moves it to another; INFO tells it to go on.
fn media_moves(scenario: &str) {
    with_sipp(async {
        let (ua, _us) = agent(|config| config.srtp = Srtp::Off).await;
        let (first, second) = (Ear::open().await, Ear::open().await);
        let ports = [&first, &second].map(|ear| ear.port().to_string());
        let keys = ["-key", "first", &ports[0], "-key", "second", &ports[1]];
        let sipp = Sipp::calls_with(scenario, &ua, &keys);
        let ringing = incoming(&ua, &sipp).await;
        let call = answer(&ringing).await;
        first.hears(&sipp).await;
        assert_eq!(media_of(&call), format!("127.0.0.1:{}", ports[0]));
        go_on(&sipp, &call).await;
        second.hears(&sipp).await;
        assert_eq!(media_of(&call), format!("127.0.0.1:{}", ports[1]));
        first.forget();
        second.hears(&sipp).await;
        assert!(first.is_silent(), "nothing more at the old port");
        go_on(&sipp, &call).await;
        ended_by_it(sipp, &call).await;
        ua.shutdown().await;
    });
}

#[test]
fn where_it_offers_nothing_we_do_and_the_sound_goes_where_its_ack_says() {
    media_moves("calls-late-offer");
}

#[test]
fn its_media_is_followed_to_another_port_and_its_requests_to_another_contact() {
    media_moves("calls-moved-media");
}

#[test]
fn we_go_where_it_transfers_us_and_tell_how_it_went() {
    with_sipp(async {
        let target = Sipp::called("uas");
        let (ua, _us) = agent(|_| {}).await;
        let key = ["-key", "target", &target.uri()["sip:".len()..]];
        let sipp = Sipp::calls_with("calls-refer", &ua, &key);
        let ringing = incoming(&ua, &sipp).await;
        let call = answer(&ringing).await;
        let continued = async {
            loop {
                if let Event::CallContinues { old, call } = ua.next_event().await.expect("an event")
                {
                    return (old, call);
                }
            }
        };
        let (old, next) = sipp.wait_for("next call", continued).await;
        assert_eq!(old, call.id());
        target.wait_for("answer", next.answered()).await.expect("answered");
        ended_by_it(sipp, &call).await;
        next.hangup().await;
        target.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn odd_requests_get_their_answers_and_the_call_goes_on() {
    with_sipp(async {
        let (ua, _us) = agent(|_| {}).await;
        let sipp = Sipp::calls("calls-odd", &ua);
        let ringing = incoming(&ua, &sipp).await;
        let call = answer(&ringing).await;
        ended_by_it(sipp, &call).await;
        ua.shutdown().await;
    });
}

#[test]
fn a_call_that_it_cancels_ends_with_its_reason() {
    with_sipp(async {
        let (ua, _us) = agent(|_| {}).await;
        let sipp = Sipp::calls("calls-and-cancels", &ua);
        let ringing = incoming(&ua, &sipp).await;
        ringing.ring().await.expect("rings");
        let end = sipp.wait_for("end", ringing.call().ended()).await;
        assert_eq!(end.by, Party::Remote);
        let reason = end.message.as_ref().and_then(|m| m.header_named("Reason"));
        assert!(reason.is_some_and(|reason| reason.contains("cause=200")), "{reason:?}");
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn our_early_media_is_described_reliably_and_goes_on_after_the_answer() {
    with_sipp(async {
        let (ua, _us) = agent(|config| config.srtp = Srtp::Off).await;
        let ear = Ear::open().await;
        let port = ear.port().to_string();
        let sipp = Sipp::calls_with("calls-early-media", &ua, &["-key", "first", &port]);
        let ringing = incoming(&ua, &sipp).await;
        ringing.progress(183, Audio::silent(), Vec::new()).await.expect("early media");
        ear.hears(&sipp).await;
        let call = ringing.answer_early().await.expect("answered");
        event(&sipp, &call, |e| matches!(e, CallEvent::Answered { .. })).await;
        ear.hears(&sipp).await;
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}
