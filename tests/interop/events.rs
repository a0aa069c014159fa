//! Events at Kamailio: presence published and watched, messages waiting and dialog information received.

use crate::common::on_loopback;
use crate::kamailio::{Kamailio, account, phone};
use crate::peers::{installed, shared};
use std::time::Duration;
use tiny_ua::body::dialog_info::{Dialog, DialogInfo, State};
use tiny_ua::body::pidf::Presence;
use tiny_ua::{Account, PublicationUpdate, UserAgent};

const PATIENCE: Duration = Duration::from_secs(10);

async fn publisher(port: u16) -> (UserAgent, Account) {
    let ua = on_loopback().build().await.expect("an agent");
    let account = ua
        .account("sip:1001@sip.test")
        .password("secret1001")
        .outbound_proxy(format!("sip:127.0.0.1:{port};lr"))
        .build()
        .await
        .expect("an account");
    (ua, account)
}

fn run<F: Future<Output = ()>>(test: F) {
    // Building the softphone is no part of what is timed.
    crate::peers::softphone_binary();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let limited = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    runtime.expect("a runtime").block_on(limited).expect("in time");
}

#[test]
fn presence_is_published_changed_and_removed_and_watched() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("presence");
    let watcher = account(kamailio.port, "1002", "udp");
    run(async {
        let (ua, alice) = publisher(kamailio.port).await;
        let uri = "sip:1001@sip.test";
        let mut presence = Presence::new(uri, true);
        let published = alice.publish_presence(&presence).await.expect("published");
        let mut phone = phone("watcher", &watcher, &["subscribe", "presence", uri]);
        let open = |phone: &mut crate::peers::Softphone, wanted: bool| loop {
            let notify = phone.expect_within("notify", PATIENCE);
            assert_eq!(notify["package"], "presence");
            assert!(notify["t"].as_f64().is_some_and(|t| t > 0.0), "{notify}");
            if notify["open"] == wanted {
                assert_eq!(notify["content_type"], "application/pidf+xml");
                return;
            }
        };
        open(&mut phone, true);
        presence = Presence::new(uri, false);
        published.update("application/pidf+xml", presence.to_body()).await.expect("updated");
        open(&mut phone, false);
        published.remove();
        while !matches!(published.next_event().await, Some(PublicationUpdate::Removed)) {}
        phone.interrupt();
        assert_eq!(phone.finish(), 130);
        ua.shutdown().await;
    });
}

#[test]
fn messages_waiting_are_told() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("mwi");
    let watcher = account(kamailio.port, "1001", "tcp");
    run(async {
        let (ua, box_of) = publisher(kamailio.port).await;
        let uri = "sip:1001@sip.test";
        let mut phone = phone("mwi", &watcher, &["subscribe", "message-summary", uri]);
        phone.expect_within("notify", PATIENCE);
        let summary = "Messages-Waiting: yes\r\nMessage-Account: sip:1001@sip.test\r\n\
                       Voice-Message: 2/8 (0/2)\r\n";
        let kind = "application/simple-message-summary";
        let published = box_of.publish("message-summary", kind, summary).await.expect("published");
        loop {
            let notify = phone.expect_within("notify", PATIENCE);
            if notify["new"] == 2 {
                assert_eq!((&notify["old"], &notify["waiting"]), (&8.into(), &true.into()));
                break;
            }
        }
        phone.interrupt();
        assert_eq!(phone.finish(), 130);
        drop(published);
        ua.shutdown().await;
    });
}

#[test]
fn dialog_information_is_received() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("dialog-info");
    let watcher = account(kamailio.port, "1002", "udp");
    run(async {
        let (ua, alice) = publisher(kamailio.port).await;
        let uri = "sip:1001@sip.test";
        let mut phone = phone("lamp", &watcher, &["subscribe", "dialog", uri]);
        phone.expect_within("notify", PATIENCE);
        let dialog = Dialog { id: "one".into(), state: State::Confirmed, ..Dialog::default() };
        let info = DialogInfo { entity: uri.into(), dialogs: vec![dialog], ..Default::default() };
        let kind = "application/dialog-info+xml";
        let published = alice.publish("dialog", kind, info.to_body()).await.expect("published");
        loop {
            let notify = phone.expect_within("notify", PATIENCE);
            if notify["dialogs"][0] == "confirmed" {
                break;
            }
        }
        phone.interrupt();
        assert_eq!(phone.finish(), 130);
        drop(published);
        ua.shutdown().await;
    });
}
