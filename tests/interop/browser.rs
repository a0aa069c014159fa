//! A browser: Chromium with JsSIP over secure WebSocket through Kamailio.

mod chromium;

use crate::network;
use crate::peers::shared;
use crate::secure::{Secure, have_kamailio};
use chromium::{Browser, Telephone, have_browser};
use serde_json::{Value, json};

/// Amplitudes of the tones in the pages: a quarter of full scale is -15 dB.
const LEVEL: f64 = -15.05;

fn have_all() -> bool {
    have_kamailio() && have_browser()
}

fn settings(kamailio: &Secure, hz: f64) -> Value {
    json!({ "server": kamailio.wss_url(), "hz": hz, "data": true })
}

/// What has to be true of every call of a browser.
fn assert_webrtc(telephone: &Telephone<'_>) -> Value {
    let stats = telephone.stats();
    assert_eq!(stats["dtls"], "connected", "{stats}");
    assert_eq!(stats["codec"], "audio/opus", "{stats}");
    assert_eq!(stats["transports"], 1, "BUNDLE and rtcp-mux: {stats}");
    assert!(stats["srtp"].as_str().is_some_and(|suite| !suite.is_empty()), "{stats}");
    assert!(stats["local"]["type"].is_string() && stats["remote"]["type"].is_string(), "{stats}");
    assert!(stats["received"].as_u64() > Some(20) && stats["sent"].as_u64() > Some(20), "{stats}");
    assert_eq!(stats["lost"], 0, "{stats}");
    stats
}

/// No line of ours is in this: it judges the judge.
#[test]
fn two_pages_talk_and_send_a_file_through_the_proxy() {
    let _one = shared();
    if !have_all() {
        return;
    }
    network::alone(|| {
        let kamailio = Secure::start("pages");
        let browser = Browser::start("pages", &kamailio.certificates, &[]);
        let ann = browser.telephone("1001", settings(&kamailio, 440.0));
        let bea = browser.telephone("1002", settings(&kamailio, 600.0));
        ann.call("1002");
        ann.expect("confirmed");
        bea.expect("confirmed");
        ann.hears(600.0, LEVEL);
        bea.hears(440.0, LEVEL);
        ann.tell("send", json!({ "octets": 1 << 20 }));
        assert_eq!(bea.tell("receive", json!({})), json!({ "octets": 1 << 20, "same": true }));
        ann.tell("hold", json!({}));
        bea.expect("held");
        bea.hears_nothing();
        ann.tell("resume", json!({}));
        bea.hears(440.0, LEVEL);
        assert_webrtc(&ann);
        bea.tell("hangUp", json!({}));
        assert_eq!(ann.expect("ended")["by"], "remote");
    });
}
