//! What no telephone of the lab does, with SIPp at the other end: preconditions, UPDATE with offers of
//! ours, a change of network, Replaces after it, Join, a conference of ours, quiet transfers, answers that
//! offer something else, sessions with names.

use crate::scenario::{Sipp, agent, event, incoming, place, with_sipp};
use std::net::IpAddr;
use tiny_ua::{
    Account, Audio, Call, CallEvent, CallState, ChangePolicy, Event, JoinPolicy, Party, Policy,
    PreconditionPolicy, PreconditionStrength as Strength, Preconditions, RedirectPolicy,
    TransferOutcome,
};

const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

fn answered(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Answered { .. })
}

async fn up(account: &Account, sipp: &Sipp) -> Call {
    let call = place(account, sipp).await;
    sipp.wait_for("answer", call.answered()).await.expect("answered");
    call
}

/// Until SIPp has got so many of these.
async fn got(sipp: &Sipp, start: &str, times: usize) {
    let wait = async {
        while sipp.received(start) < times {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    sipp.wait_for(start, wait).await;
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

fn both() -> Preconditions {
    Preconditions::segmented(Strength::Mandatory, Strength::Mandatory)
}

#[test]
fn it_rings_when_it_has_heard_that_our_network_has_resources() {
    with_sipp(async {
        let sipp = Sipp::called("called-qos");
        let (ua, alice) = agent(|_| {}).await;
        let call = alice.call(sipp.uri()).audio(Audio::silent()).preconditions(both());
        let call = call.await.expect("a call");
        event(&sipp, &call, |e| matches!(e, CallEvent::ResourcesWanted)).await;
        assert!(!matches!(call.state(), CallState::Dialing { ringing: true }));
        sipp.wait_for("UPDATE", call.preconditions_met()).await.expect("told");
        event(&sipp, &call, answered).await;
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn its_580_says_which_of_our_preconditions_fails() {
    with_sipp(async {
        let sipp = Sipp::called("called-no-qos");
        let (ua, alice) = agent(|_| {}).await;
        let call = alice.call(sipp.uri()).audio(Audio::silent()).preconditions(both());
        let call = call.await.expect("a call");
        let end = sipp.wait_for("end", call.ended()).await;
        assert_eq!((end.by, end.status), (Party::Remote, Some(580)));
        let body = end.message.expect("the 580").body().to_vec();
        assert!(String::from_utf8_lossy(&body).contains("a=des:qos failure"));
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn nobody_is_told_of_its_call_before_its_network_has_resources() {
    with_sipp(async {
        let (ua, us) = agent(|_| {}).await;
        let policy = policy(|policy| policy.preconditions = PreconditionPolicy::Reserved);
        us.set_policy(policy).expect("a policy");
        let sipp = Sipp::calls("calls-qos", &ua);
        let ringing = incoming(&ua, &sipp).await;
        assert_eq!(sipp.received("SIP/2.0 183"), 1);
        ringing.ring().await.expect("rings");
        let call = ringing.answer(Audio::silent()).await.expect("answered");
        let end = sipp.wait_for("end", call.ended()).await;
        assert_eq!(end.by, Party::Remote, "{end:?}");
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn it_is_held_and_resumed_by_update_and_again_after_its_491() {
    with_sipp(async {
        let sipp = Sipp::called("called-updated");
        let (ua, alice) = agent(|_| {}).await;
        let policy = policy(|policy| policy.changes = ChangePolicy::Update);
        alice.set_policy(policy).expect("a policy");
        let call = up(&alice, &sipp).await;
        sipp.wait_for("hold", call.hold()).await.expect("held");
        assert!(matches!(call.state(), CallState::Established { held: true, .. }));
        sipp.wait_for("resume", call.resume()).await.expect("resumed");
        assert!(matches!(call.state(), CallState::Established { held: false, .. }));
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn it_goes_where_we_transfer_it_without_a_word_when_none_is_wanted() {
    with_sipp(async {
        let sipp = Sipp::called("called-refer-quiet");
        let (ua, alice) = agent(|_| {}).await;
        let call = up(&alice, &sipp).await;
        let transfer = call.transfer_to("sip:carol@127.0.0.1").unreported().await.expect("asked");
        let outcome = sipp.wait_for("outcome", transfer.outcome()).await;
        assert!(matches!(outcome, TransferOutcome::Unreported), "{outcome:?}");
        let end = sipp.wait_for("end", call.ended()).await;
        assert_eq!(end.by, Party::Local);
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn whom_its_485_may_mean_and_the_service_of_its_380_are_told() {
    for (scenario, status) in [("called-485", 485), ("called-380", 380)] {
        with_sipp(async {
            let sipp = Sipp::called(scenario);
            let (ua, alice) = agent(|_| {}).await;
            let policy = policy(|policy| policy.redirects = RedirectPolicy::Report);
            alice.set_policy(policy).expect("a policy");
            let call = place(&alice, &sipp).await;
            let end = sipp.wait_for("end", call.ended()).await;
            assert_eq!((end.by, end.status), (Party::Remote, Some(status)));
            let offered = end.alternatives().expect("alternatives");
            let uris: Vec<&str> = offered.targets.iter().map(|t| t.uri.as_str()).collect();
            if status == 485 {
                assert_eq!(uris, ["sip:bob@home.example.com", "sip:bob@office.example.com"]);
                assert_eq!(offered.targets[1].display.as_deref(), Some("Bob in the office"));
            } else {
                assert_eq!(uris, [format!("sip:operator@127.0.0.1:{}", sipp.port)]);
                let (kind, body) = offered.content.expect("a body");
                assert_eq!(kind, "application/x-service+xml");
                assert!(body.starts_with(b"the operator"));
            }
            sipp.succeeded();
            ua.shutdown().await;
        });
    }
}

#[test]
fn the_session_has_one_name_on_all_that_we_say_to_it() {
    with_sipp(async {
        let sipp = Sipp::called("called-session");
        let (ua, alice) = agent(|_| {}).await;
        let call = up(&alice, &sipp).await;
        let id = call.session_id().await.expect("a call").expect("a name");
        assert_eq!(id.remote, 0xab30_317f_1a78_4dc4_8ff8_24d0_d371_5d86);
        sipp.wait_for("hold", call.hold()).await.expect("held");
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[cfg(target_os = "linux")] // Only there the loopback has all of 127.0.0.0/8.
#[test]
fn its_call_goes_on_from_our_new_address() {
    with_sipp(async {
        let sipp = Sipp::called("called-and-we-move");
        let (ua, alice) = agent(|_| {}).await;
        let call = up(&alice, &sipp).await;
        let report = ua.network_moved_to(ELSEWHERE).await.expect("told");
        assert_eq!(report.moved, 1);
        sipp.wait_for("hold", call.hold()).await.expect("held");
        assert_eq!(sipp.received("INVITE "), 3);
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn its_call_that_rings_through_our_move_is_answered_from_the_new_address() {
    with_sipp(async {
        let (ua, _us) = agent(|_| {}).await;
        let sipp = Sipp::calls("calls-and-we-move", &ua);
        let ringing = incoming(&ua, &sipp).await;
        ringing.ring().await.expect("rings");
        got(&sipp, "SIP/2.0 180", 1).await;
        let report = ua.network_moved_to(ELSEWHERE).await.expect("told");
        assert_eq!(report.waiting, 1);
        got(&sipp, "UPDATE ", 1).await;
        let call = ringing.answer(Audio::silent()).await.expect("answered");
        event(&sipp, &call, answered).await;
        got(&sipp, "SIP/2.0 200", 1).await;
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_caller_behind_a_connection_that_is_gone_is_called_with_replaces() {
    with_sipp(async {
        let again = Sipp::called("called-replacing");
        let (ua, _us) = agent(|_| {}).await;
        let contact = again.uri()["sip:sipp@".len()..].to_owned();
        let more = ["-t", "t1", "-key", "contact", &contact];
        let sipp = Sipp::calls_over_tcp("calls-and-cannot-be-answered", &ua, &more);
        let ringing = incoming(&ua, &sipp).await;
        ringing.ring().await.expect("rings");
        // It has heard that, and goes; nobody listens where it was.
        sipp.succeeded();
        ua.network_moved_to(ELSEWHERE).await.expect("told");
        let call = ringing.answer(Audio::silent()).await.expect("answered");
        got(&again, "ACK ", 1).await;
        let CallState::Established { codec: Some(codec), .. } = call.state() else {
            panic!("{:?}", call.state())
        };
        assert_eq!(codec.remote, format!("127.0.0.1:{}", again.media));
        call.hangup().await;
        again.succeeded();
        ua.shutdown().await;
    });
}

/// A call of ours with one SIPp, as another would name it in Join: what the tags are called is the other
/// way round in what we would give a third party for Replaces.
async fn name_for_join(call: &Call) -> String {
    let uri = call.replaces_uri().await.expect("a call that is up");
    let (_, value) = uri.split_once("?Replaces=").expect("Replaces");
    let value = value.replace("%3B", ";").replace("%3D", "=").replace("%40", "@");
    let mut parts = value.split(';');
    let call_id = parts.next().expect("Call-ID");
    let tag = |name: &str| {
        let found = value.split(';').find_map(|part| part.strip_prefix(name));
        found.expect("a tag").to_owned()
    };
    format!("{call_id};to-tag={};from-tag={}", tag("from-tag="), tag("to-tag="))
}

#[test]
fn it_joins_a_call_of_ours_where_it_may_and_is_refused_where_not() {
    with_sipp(async {
        let first = Sipp::called("called-joined");
        let (ua, alice) = agent(|_| {}).await;
        let call = up(&alice, &first).await;
        let join = name_for_join(&call).await;
        let refused = Sipp::calls_with("calls-joining-refused", &ua, &["-key", "join", &join]);
        refused.succeeded();
        let policy = policy(|policy| policy.joins = JoinPolicy::Mix);
        alice.set_policy(policy).expect("a policy");
        let joining = Sipp::calls_with("calls-joining", &ua, &["-key", "join", &join]);
        let joined = async {
            loop {
                if let Event::CallJoins { conference, call, .. } =
                    ua.next_event().await.expect("an event")
                {
                    return (conference, call);
                }
            }
        };
        let (conference, third) = joining.wait_for("joined", joined).await;
        joining.wait_for("answer", third.answered()).await.expect("answered");
        got(&joining, "SIP/2.0 200", 1).await;
        assert_eq!(conference.calls().await.expect("a conference").len(), 2);
        third.hangup().await;
        joining.succeeded();
        call.hangup().await;
        first.succeeded();
        ua.shutdown().await;
    });
}

#[test]
fn it_sees_who_takes_part_in_a_conference_of_ours() {
    with_sipp(async {
        let sipp = Sipp::called("called-conference");
        let (ua, alice) = agent(|_| {}).await;
        let call = up(&alice, &sipp).await;
        let conference = ua.conference().without_host().await.expect("a conference");
        sipp.wait_for("re-INVITE", conference.add(&call)).await.expect("a member");
        got(&sipp, "NOTIFY ", 1).await;
        call.hangup().await;
        sipp.succeeded();
        ua.shutdown().await;
    });
}
