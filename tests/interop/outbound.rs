//! Outbound (RFC 5626), Path, Service-Route and GRUUs (RFC 5627) at Kamailio: a registrar and two edge
//! proxies in front of it, of which one dies.

use crate::common::{incoming, on_loopback};
use crate::kamailio::{Kamailio, account, phone};
use crate::peers::{Softphone, installed, shared};
use crate::scenario::run;
use std::time::Duration;
use tiny_ua::{Account, Audio, Event, UserAgent};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(15);

fn registrar(name: &str) -> Kamailio {
    let config = include_str!("kamailio.cfg");
    let config = config.replacen("#!KAMAILIO", "#!KAMAILIO\n#!define WITH_OUTBOUND", 1);
    Kamailio::start_with(name, &config, &[])
}

fn edge(name: &str, registrar: &Kamailio) -> Kamailio {
    let config = include_str!("kamailio-edge.cfg");
    let config = config.replace("REGISTRAR", &registrar.port.to_string());
    Kamailio::start_with(name, &config, &[])
}

async fn agent() -> UserAgent {
    let builder = on_loopback().codecs(["pcmu"]).configure(|config| {
        // A lost flow is tried again soon.
        config.sip.register_retry = Duration::from_secs(1);
        config.sip.flow_retry_some = Duration::from_secs(1);
        config.sip.flow_retry_max = Duration::from_secs(2);
    });
    builder.build().await.expect("an agent")
}

fn caller(registrar: &Kamailio, to: &str) -> Softphone {
    let account = account(registrar.port, "1002", "udp");
    let rest =
        ["--no-register", "--input", "silence", "--output", "null", "--for", "4", "call", to];
    phone("caller", &account, &rest)
}

async fn event(ua: &UserAgent) -> Event {
    timeout(PATIENCE, ua.next_event()).await.expect("in time").expect("an event")
}

/// Who was called answers, and the caller hangs up over the same way. Gives the last Via but ours.
async fn call_comes_in(ua: &UserAgent, registrar: &Kamailio, to: &str) -> String {
    let mut caller = caller(registrar, to);
    let ringing = incoming(ua).await;
    let via = ringing.request().header_named("Via").unwrap_or_default().to_owned();
    let call = ringing.answer(Audio::silent()).await.expect("answered");
    timeout(PATIENCE, call.ended()).await.expect("the BYE comes in over the flow");
    assert_eq!(caller.finish(), 0, "{:?}", caller.seen);
    via
}

async fn calls_out(account: &Account) {
    let call = account.call("sip:reply-486@sip.test").audio(Audio::silent()).await.expect("a call");
    let end = timeout(PATIENCE, call.ended()).await.expect("in time");
    assert_eq!(end.status, Some(486), "{end:?}");
}

#[test]
fn of_two_flows_one_dies_and_calls_still_come_in_and_it_is_formed_anew() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    crate::peers::softphone_binary();
    let registrar = registrar("outbound");
    let mut edges = [edge("edge-1", &registrar), edge("edge-2", &registrar)];
    run(async {
        let ua = agent().await;
        let proxies = [0, 1].map(|n: usize| edges[n].port);
        let proxies = proxies.map(|port| format!("sip:127.0.0.1:{port};transport=tcp;lr"));
        let one = ua
            .account("sip:1001@sip.test")
            .password("secret1001")
            .flow(&proxies[0])
            .flow(&proxies[1])
            .expires(Duration::from_secs(60))
            .register()
            .await
            .expect("registered");
        both_up(&ua, &one).await;
        let info = one.registration().await.expect("registered");
        assert!(info.flows.iter().all(|flow| flow.outbound), "{info:?}");
        calls_out(&one).await;
        let first = call_comes_in(&ua, &registrar, "sip:1001@sip.test").await;

        // The edge that this call came by dies.
        let dead = usize::from(!first.contains(&format!(":{};", edges[0].port)));
        edges[dead].stop();
        let failed = loop {
            if let Event::FlowFailed { reg_id, reachable, .. } = event(&ua).await {
                break (reg_id, reachable);
            }
        };
        assert_eq!(failed, (dead as u32 + 1, true));
        calls_out(&one).await;
        let second = call_comes_in(&ua, &registrar, "sip:1001@sip.test").await;
        let other = format!(":{};", edges[1 - dead].port);
        assert!(second.contains(&other), "by the other edge: {second}");

        // It comes back, and the other one dies.
        edges[dead].restart();
        both_up(&ua, &one).await;
        edges[1 - dead].stop();
        while !matches!(event(&ua).await, Event::FlowFailed { reachable: true, .. }) {}
        let third = call_comes_in(&ua, &registrar, "sip:1001@sip.test").await;
        let first = format!(":{};", edges[dead].port);
        assert!(third.contains(&first), "by the one that came back: {third}");
        ua.shutdown().await;
    });
}

/// Waits until both flows are registered.
async fn both_up(ua: &UserAgent, account: &Account) {
    loop {
        let info = account.registration().await.expect("registered");
        if info.flows.iter().filter(|flow| flow.flow.is_some()).count() == 2 {
            return;
        }
        event(ua).await;
    }
}

#[test]
fn a_gruu_reaches_its_device_and_no_other_and_carries_the_dialog() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    crate::peers::softphone_binary();
    let registrar = registrar("gruu");
    run(async {
        let (desk, mobile) = (agent().await, agent().await);
        let register = async |ua: &UserAgent| {
            let proxy = format!("sip:127.0.0.1:{};lr", registrar.port);
            let account = ua.account("sip:1001@sip.test").password("secret1001");
            let account = account.registrar("sip:sip.test").outbound_proxy(proxy).gruu();
            account.register().await.expect("registered")
        };
        let (at_desk, at_mobile) = (register(&desk).await, register(&mobile).await);
        let info = at_mobile.registration().await.expect("registered");
        let [public, temporary] =
            [info.public_gruu, info.temporary_gruu].map(|uri| uri.expect("a GRUU"));
        assert!(public.starts_with("sip:1001@sip.test;gr=urn:uuid:"), "{public}");
        assert_ne!(
            Some(&public),
            at_desk.registration().await.expect("registered").public_gruu.as_ref()
        );
        for gruu in [&public, &temporary] {
            // The caller's BYE goes to the Contact, which is the public GRUU.
            call_comes_in(&mobile, &registrar, gruu).await;
        }
        let call = at_mobile.call("sip:reply-486@sip.test").audio(Audio::silent()).await;
        assert_eq!(call.expect("a call").ended().await.status, Some(486));
        desk.shutdown().await;
        while let Some(event) = desk.next_event().await {
            assert!(!matches!(event, Event::IncomingCall(_)), "the other device rang");
        }
        mobile.shutdown().await;
    });
}
