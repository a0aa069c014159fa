//! The candidates that Chromium has beside its addresses over UDP: relayed ones, names of multicast DNS, TCP.

use super::chromium::{Browser, Telephone};
use super::{LEVEL, agent_with, answer, assert_webrtc, have_all, settings, tone};
use crate::network::{self, ADDRESS};
use crate::peers::{Process, installed, scratch, shared, start_coturn, stun_answers};
use crate::scenario::run;
use crate::secure::Secure;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tiny_ua::ice::{CandidateAddress, CandidateKind, IceReport, TcpCandidates};
use tiny_ua::{Call, CallStats, Config};

const PORT: u16 = 3478;

/// coturn in the network of this test.
fn coturn(name: &str) -> Process {
    let dir = scratch(&format!("browser-{name}-coturn"));
    let config = format!(
        "listening-ip={ADDRESS}\nrelay-ip={ADDRESS}\nlistening-port={PORT}\nmin-port=49160\n\
         max-port=49300\nlt-cred-mech\nuser=lab:labsecret\nrealm=sip.test\nfingerprint\nno-tls\nno-dtls\n\
         no-cli\nrelay-threads=1\nlog-file=stdout\nsimple-log\nverbose\npidfile=turnserver.pid\n\
         userdb=turndb.sqlite\n"
    );
    let ready =
        || stun_answers(ADDRESS, (ADDRESS, PORT)) && TcpStream::connect((ADDRESS, PORT)).is_ok();
    start_coturn(&dir, &config, ready)
}

/// What makes a page use that relay alone.
fn by_relay(transport: &str) -> Value {
    let url = format!("turn:{ADDRESS}:{PORT}?transport={transport}");
    let server = json!({ "urls": url, "username": "lab", "credential": "labsecret" });
    json!({ "pcConfig": { "iceServers": [server], "iceTransportPolicy": "relay" } })
}

/// Waits until half a second of sound has come to either side, and gives what ICE knows of the way.
async fn known(page: &Telephone<'_>, call: &Call) -> IceReport {
    let end = Instant::now() + super::PATIENCE;
    let heard = |stats: CallStats| stats.rx_packets.min(stats.tx_packets);
    while call.stats().await.map_or(0, heard) < 25
        || page.stats()["received"].as_u64().is_none_or(|n| n < 25)
        || page.stats()["sent"].as_u64().is_none_or(|n| n < 25)
    {
        assert!(Instant::now() < end, "nothing is heard: {:?}", call.ice().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    call.ice().await.expect("a report")
}

/// A page with such settings, in a browser with such flags, calls an agent and is called; either way is judged
/// by what the page says of its pair, and by what the agent knows.
fn talk(
    name: &'static str,
    flags: &'static [&'static str],
    with: Value,
    change: fn(&mut Config),
    judge: fn(&Value, &IceReport),
) {
    let _one = shared();
    if !have_all() || !installed("turnserver") {
        return;
    }
    network::alone(move || {
        let kamailio = Secure::start(name);
        let _coturn = coturn(name);
        let browser = Browser::start(name, &kamailio.certificates, flags);
        let mut all = settings(&kamailio, 440.0);
        let more = with.as_object().cloned().unwrap_or_default();
        all.as_object_mut().expect("an object").extend(more);
        let page = browser.telephone("1001", all);
        run(async {
            let (ua, account) = agent_with(&kamailio, change).await;
            for inward in [true, false] {
                let began = Instant::now();
                let call = if inward {
                    page.call("1002");
                    answer(&ua).await
                } else {
                    let call = account.call("sip:1001@sip.test").audio(tone());
                    let call = call.await.expect("a call");
                    call.answered().await.expect("answered");
                    call
                };
                page.expect("confirmed");
                page.hears(600.0, LEVEL);
                let (soon, report) = (began.elapsed(), known(&page, &call).await);
                let stats = assert_webrtc(&page);
                println!("{name}: sound after {soon:?}: {} {}", stats["local"], stats["remote"]);
                judge(&stats, &report);
                call.hangup().await;
                page.expect("ended");
            }
            ua.shutdown().await;
        });
    });
}

/// The page sends by its relay, and to us that is where it is.
fn relayed(stats: &Value, report: &IceReport, transport: &str) {
    let local = &stats["local"];
    assert_eq!((&local["type"], &local["relay"]), (&json!("relay"), &json!(transport)), "{stats}");
    let used = report.pairs.iter().find(|pair| pair.selected).expect("a pair");
    assert_eq!(used.remote_kind, CandidateKind::Relayed, "{used}");
    assert!((49160..=49300).contains(&used.remote.port()), "{used}");
}

#[test]
fn a_browser_that_has_nothing_but_a_relay_is_heard_over_it() {
    let judge = |stats: &Value, report: &IceReport| relayed(stats, report, "udp");
    talk("relay", &[], by_relay("udp"), |_| {}, judge);
}

#[test]
fn a_browser_reaches_its_relay_by_tcp() {
    let judge = |stats: &Value, report: &IceReport| relayed(stats, report, "tcp");
    talk("relay-tcp", &[], by_relay("tcp"), |_| {}, judge);
}

/// A page that has no microphone says names in place of its addresses.
#[test]
fn the_hidden_addresses_of_a_browser_are_found_by_multicast_dns() {
    let judge = |_: &Value, report: &IceReport| {
        let named = |address: &CandidateAddress| match address {
            CandidateAddress::Name(name, _) => name.ends_with(".local"),
            CandidateAddress::Ip(_) => false,
        };
        // Those that nobody has answered for are not among them.
        assert!(report.remote.iter().any(|c| named(&c.address)), "{:?}", report.remote);
        let mut given = report.remote.iter().filter(|c| c.kind == CandidateKind::Host);
        assert!(given.all(|c| named(&c.address)), "{:?}", report.remote);
        let mut pairs = report.pairs.iter();
        assert!(pairs.any(|p| p.remote_kind == CandidateKind::Host), "{:?}", report.pairs);
    };
    talk("hidden", &["--ask-for-media"], json!({ "hideAddresses": true }), |_| {}, judge);
}

/// Where policy lets a browser send nothing by UDP, it connects to us.
#[test]
fn a_browser_without_udp_connects_to_a_passive_candidate() {
    let judge = |stats: &Value, report: &IceReport| {
        assert_eq!(stats["local"]["protocol"], "tcp", "{stats}");
        assert_eq!(stats["remote"]["protocol"], "tcp", "{stats}");
        assert!(report.pairs.iter().any(|pair| pair.selected), "{:?}", report.pairs);
    };
    let passive = |config: &mut Config| config.ice_limits.tcp = TcpCandidates::ActiveAndPassive;
    let flags = &["--webrtc-ip-handling-policy=disable_non_proxied_udp"];
    talk("tcp", flags, json!({}), passive, judge);
}
