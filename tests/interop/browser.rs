//! A browser: Chromium with JsSIP over secure WebSocket through Kamailio.

mod candidates;
mod chromium;

use crate::kamailio::phone;
use crate::network;
use crate::peers::{Softphone, scratch, shared, softphone_binary};
use crate::scenario::run;
use crate::secure::{Secure, have_kamailio};
use crate::sound::assert_tone;
use chromium::{Browser, Telephone, have_browser};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tiny_ua::{
    Account, Audio, Call, CallEvent, Config, DataChannel, DataMessage, Event, Party, Transport,
    UserAgent,
};
use tokio::time::timeout;

/// Tones have a quarter of the amplitude that there is, on either side.
const LEVEL: f64 = -15.05;
const PATIENCE: Duration = Duration::from_secs(15);

fn have_all() -> bool {
    have_kamailio() && have_browser()
}

fn settings(kamailio: &Secure, hz: f64) -> Value {
    json!({ "server": kamailio.wss_url(), "hz": hz })
}

/// What has to be true of every call of a browser.
fn assert_webrtc(telephone: &Telephone<'_>) -> Value {
    let stats = telephone.stats();
    assert_eq!(stats["dtls"], "connected", "{stats}");
    assert_eq!(stats["codec"], "audio/opus", "{stats}");
    assert_eq!(stats["sends"], "audio/opus", "{stats}");
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
        let mut with = settings(&kamailio, 440.0);
        with["data"] = json!(true);
        let ann = browser.telephone("1001", with);
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

/// A softphone as browsers want it.
fn webrtc_phone(kamailio: &Secure, user: &str, transport: &str, rest: &[&str]) -> Softphone {
    let account = kamailio.account(user, transport);
    phone(user, &account, &[&["--webrtc", "--input", "tone:600"], rest].concat())
}

/// What the softphone says of the call, with all that a browser demands in it.
fn assert_answered(phone: &mut Softphone) {
    let answered = phone.expect("answered");
    assert_eq!(answered["codec"], "opus", "{answered}");
    assert_eq!(answered["sample_rate"], 48_000, "{answered}");
    assert!(answered["srtp"].as_str().is_some_and(|srtp| srtp.starts_with("dtls")), "{answered}");
    assert!(!answered["ice"].is_null() && answered["ice"] != false, "{answered}");
}

#[test]
fn a_softphone_is_called_by_a_browser_and_calls_it() {
    let _one = shared();
    if !have_all() {
        return;
    }
    softphone_binary();
    network::alone(|| {
        let kamailio = Secure::start("browser-phone");
        let browser = Browser::start("phone", &kamailio.certificates, &[]);
        let page = browser.telephone("1001", settings(&kamailio, 440.0));
        let dir = scratch("browser-phone-wav");
        let wav = |name: &str| dir.join(name).display().to_string();

        let (called, calls) = (wav("called.wav"), wav("calls.wav"));
        let mut phone = webrtc_phone(&kamailio, "1002", "tls", &["--output", &called, "answer"]);
        phone.expect("registered");
        let began = Instant::now();
        page.call("1002");
        page.expect("confirmed");
        assert_answered(&mut phone);
        page.hears(600.0, LEVEL);
        let soon = began.elapsed();
        // Long enough for a second of sound in the middle of the recording.
        std::thread::sleep(Duration::from_secs(3));
        println!("sound after {soon:?}: {}", assert_webrtc(&page));
        page.tell("hangUp", json!({}));
        assert_eq!(page.expect("ended")["by"], "local");
        assert_eq!(phone.expect("ended")["by"], "remote");
        phone.interrupt();
        assert_eq!(phone.finish(), 130);
        assert_tone(&dir.join("called.wav"), 440.0, LEVEL);

        let rest = ["--output", &calls, "--for", "4", "call", "sip:1001@sip.test"];
        let mut phone = webrtc_phone(&kamailio, "1002", "udp", &rest);
        assert_answered(&mut phone);
        page.expect("confirmed");
        page.hears(600.0, LEVEL);
        assert_eq!(phone.finish(), 0, "{:?}", phone.seen);
        assert_eq!(page.expect("ended")["by"], "remote");
        assert_tone(&dir.join("calls.wav"), 440.0, LEVEL);
    });
}

/// An agent of ours, and an account of it at the proxy.
async fn agent(kamailio: &Secure) -> (UserAgent, Account) {
    agent_with(kamailio, |_| {}).await
}

async fn agent_with(kamailio: &Secure, change: fn(&mut Config)) -> (UserAgent, Account) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let ua = UserAgent::builder().listen(listen).webrtc(true).configure(change);
    let ua = ua.build().await.expect("an agent");
    let account = ua.account("sip:1002@sip.test").password("secret1002");
    let proxy = format!("sip:127.0.0.1:{};lr", kamailio.port());
    let account = account.registrar("sip:sip.test").outbound_proxy(proxy).transport(Transport::Udp);
    let account = account.register().await.expect("registered");
    (ua, account)
}

fn tone() -> Audio {
    Audio::new("tone:600", "null")
}

async fn answer(ua: &UserAgent) -> Call {
    loop {
        let event = timeout(PATIENCE, ua.next_event()).await.expect("a call in time");
        if let Event::IncomingCall(call) = event.expect("an event") {
            return call.answer(tone()).await.expect("answered");
        }
    }
}

/// The next event of the call that is one of these.
async fn event(call: &Call, wanted: impl Fn(&CallEvent) -> bool) -> CallEvent {
    let found = async {
        loop {
            let event = call.next_event().await.expect("the call goes on");
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("in time")
}

#[test]
fn either_side_holds_and_resumes_and_the_browser_restarts_ice() {
    let _one = shared();
    if !have_all() {
        return;
    }
    network::alone(|| {
        let kamailio = Secure::start("browser-hold");
        let browser = Browser::start("hold", &kamailio.certificates, &[]);
        let page = browser.telephone("1001", settings(&kamailio, 440.0));
        run(async {
            let (ua, account) = agent(&kamailio).await;
            page.call("1002");
            let inward = answer(&ua).await;
            page.expect("confirmed");
            changes(&page, &inward).await;
            page.tell("restartIce", json!({}));
            page.hears(600.0, LEVEL);
            page.tell("hangUp", json!({}));
            assert_eq!(inward.ended().await.by, Party::Remote);
            page.expect("ended");

            let outward = account.call("sip:1001@sip.test").audio(tone()).await.expect("a call");
            outward.answered().await.expect("answered");
            page.expect("confirmed");
            changes(&page, &outward).await;
            outward.hangup().await;
            assert_eq!(page.expect("ended")["by"], "remote");
            ua.shutdown().await;
        });
    });
}

/// Both hold and resume, one after the other.
async fn changes(page: &Telephone<'_>, call: &Call) {
    page.hears(600.0, LEVEL);
    page.tell("hold", json!({}));
    assert_eq!(page.expect("held")["by"], "local");
    event(call, |event| matches!(event, CallEvent::Held { by: Party::Remote })).await;
    page.hears_nothing();
    page.tell("resume", json!({}));
    assert_eq!(page.expect("resumed")["by"], "local");
    event(call, |event| matches!(event, CallEvent::Resumed { by: Party::Remote })).await;
    page.hears(600.0, LEVEL);
    call.hold().await.expect("held");
    assert_eq!(page.expect("held")["by"], "remote");
    page.hears_nothing();
    call.resume().await.expect("resumed");
    assert_eq!(page.expect("resumed")["by"], "remote");
    page.hears(600.0, LEVEL);
    // The same association and the same way as before.
    assert_webrtc(page);
    let stats = call.stats().await.expect("figures");
    assert_eq!(stats.srtp_auth_failed, 0, "{stats:?}");
}

#[test]
fn twenty_calls_in_a_row_each_way_and_none_fails() {
    let _one = shared();
    if !have_all() {
        return;
    }
    network::alone(|| {
        let kamailio = Secure::start("browser-twenty");
        let browser = Browser::start("twenty", &kamailio.certificates, &[]);
        let page = browser.telephone("1001", settings(&kamailio, 440.0));
        run(async {
            let (ua, account) = agent(&kamailio).await;
            let began = Instant::now();
            for round in 0..40 {
                let call = if round % 2 == 0 {
                    page.call("1002");
                    answer(&ua).await
                } else {
                    let call =
                        account.call("sip:1001@sip.test").audio(tone()).await.expect("a call");
                    call.answered().await.expect("answered");
                    call
                };
                page.expect("confirmed");
                page.hears(600.0, LEVEL);
                let heard = call.stats().await.expect("figures");
                assert!(heard.rx_packets > 0 && heard.srtp_auth_failed == 0, "{heard:?}");
                // Who called hangs up, and then who was called.
                if round % 4 < 2 {
                    page.tell("hangUp", json!({}));
                    assert_eq!(call.ended().await.by, Party::Remote);
                } else {
                    call.hangup().await;
                }
                page.expect("ended");
            }
            println!("40 calls in {:?}", began.elapsed());
            ua.shutdown().await;
        });
    });
}

#[test]
fn ten_megabytes_go_each_way_over_a_channel_that_either_side_made() {
    let _one = shared();
    if !have_all() {
        return;
    }
    network::alone(|| {
        let kamailio = Secure::start("browser-data");
        let browser = Browser::start("data", &kamailio.certificates, &[]);
        let mut with = settings(&kamailio, 440.0);
        with["data"] = json!(true);
        let page = browser.telephone("1001", with);
        run(async {
            let (ua, account) = agent(&kamailio).await;
            page.call("1002");
            let call = answer(&ua).await;
            page.expect("confirmed");
            let opened = event(&call, |event| matches!(event, CallEvent::DataChannel(_))).await;
            let CallEvent::DataChannel(channel) = opened else { unreachable!("waited for") };
            assert_eq!((channel.label(), channel.protocol()), ("files", "bulk"));
            there_and_back(&page, channel).await;
            page.hears(600.0, LEVEL);
            call.hangup().await;
            page.expect("ended");

            let call = account.call("sip:1001@sip.test").audio(tone()).data(true);
            let call = call.await.expect("a call");
            call.answered().await.expect("answered");
            let channel = call.data_channel("papers").protocol("bulk").await.expect("open");
            there_and_back(&page, channel).await;
            page.hears(600.0, LEVEL);
            call.hangup().await;
            ua.shutdown().await;
        });
    });
}

/// The page sends ten megabytes and their digest; who sends all of it back has to have got it.
async fn there_and_back(page: &Telephone<'_>, channel: DataChannel) {
    const OCTETS: usize = 10 << 20;
    let opened = page.tell("opened", json!({}));
    assert_eq!((&opened["label"], &opened["protocol"]), (&json!(channel.label()), &json!("bulk")));
    let began = Instant::now();
    let echo = tokio::spawn(async move {
        let mut got = Vec::new();
        loop {
            let message = channel.recv().await.expect("the channel stays open");
            let last = matches!(message, DataMessage::Text(_));
            got.push(message);
            if last {
                break;
            }
        }
        let taken = Instant::now();
        for message in got {
            channel.send(message).await.expect("sent");
        }
        (taken, channel)
    });
    page.tell("send", json!({ "octets": OCTETS }));
    let (taken, _channel) =
        timeout(Duration::from_secs(60), echo).await.expect("in time").expect("sent");
    let back = page.tell("receive", json!({}));
    assert_eq!(back, json!({ "octets": OCTETS, "same": true }));
    println!("10 MB in {:?}, back {:?} later", taken - began, taken.elapsed());
}
