//! baresip behind NATs: with ICE, STUN and TURN.

use super::calls::{End, last_pair, start};
use super::internet;
use super::lab::{Home, Internet, Nat, PROXY, TURN};
use super::servers::Servers;
use crate::baresip::Baresip;
use crate::peers::{Softphone, installed, shared, softphone_binary};
use crate::sound::{Presence, assert_tone, tone};
use serde_json::Value;
use std::path::Path;

/// A registered baresip at home, with these parameters of its account.
fn baresip(home: &Home, name: &str, user: &str, hz: u32, params: &str) -> Baresip {
    let proxy = format!("sip:{}:5060;transport=tcp", PROXY[0]);
    // It asks for a relay where the server is named as one.
    let server = if params.contains("medianat=stun") { "stun" } else { "turn" };
    let params = format!(
        "auth_user={user};auth_pass=secret{user};outbound=\"{proxy}\";regint=60;\
         stunserver=\"{server}:{}:3478\";stunuser=lab;stunpass=labsecret;{params}",
        TURN[0]
    );
    let aor = format!("{user}@sip.test;transport=tcp");
    let baresip =
        home.client.run(|| Baresip::start_at("eth", name, hz, "PCMU/8000/1", &aor, &params, ""));
    baresip.registered();
    baresip
}

#[test]
fn baresip_talks_to_itself_from_behind_symmetric_nats_through_the_relay() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    let Some(net) = internet() else { return };
    let _servers = Servers::start("bare", &net);
    let (a, b) = (net.home(1, Nat::Symmetric), net.home(2, Nat::Symmetric));
    let params = "medianat=ice;mediaenc=dtls_srtp;";
    let mut one = baresip(&a, "nat-one", "1001", 440, params);
    let mut two = baresip(&b, "nat-two", "1002", 600, params);
    one.tell("dial", "sip:1002@sip.test");
    one.expect("CALL_ESTABLISHED");
    two.expect("CALL_ESTABLISHED");
    // It tries one pair at a time, for two seconds each.
    one.plays();
    two.plays();
    std::thread::sleep(std::time::Duration::from_secs(4));
    one.tell("hangup", "");
    two.expect("CALL_CLOSED");
    for (from, to, hz) in [(&one, &two, 440.0), (&two, &one, 600.0)] {
        assert_tone(&to.recording("dec"), hz, tone(&from.recording("enc")).dbfs);
    }
}

/// A call each way between a softphone and a baresip that looks for its way and encrypts as it is told.
fn both_ways(servers: &Servers, n: u8, homes: [&Home; 2], theirs: &str, ours: &str) {
    let way = theirs.split([';', '=']).nth(1).expect("a medianat");
    let name = format!("bare-{}", theirs.replace([';', '='], "-").replace("media", ""));
    let (peer, user) = (format!("10{}", 2 * n + 50), format!("10{}", 2 * n + 51));
    let baresip = baresip(homes[0], &format!("nat-{name}-called"), &peer, 600, theirs);
    let end = End::at(homes[1]);
    let to = format!("sip:{peer}@sip.test");
    let encryption = ["--srtp", ours];
    let rest = [&encryption[..], &["--for", "8", "call", &to]].concat();
    let (mut phone, out) = start(servers, &format!("{name}-out"), &user, &end, 440, &rest);
    let called = phone.expect("answered");
    baresip.plays();
    assert_eq!(phone.expect("ended")["by"], "local", "{name}:\n{}", phone.story());
    phone.stop();
    judge(&name, way, &phone, &called);
    heard(&name, &baresip, &out);

    // Others than before: what is left of those must not ring.
    let (peer, user) = (format!("10{:02}", 2 * n + 1), format!("10{:02}", 2 * n + 2));
    let (mut phone, back) = start(
        servers,
        &format!("{name}-back"),
        &user,
        &end,
        440,
        &[&encryption[..], &["answer"]].concat(),
    );
    phone.expect("registered");
    drop(baresip);
    let mut baresip = self::baresip(homes[0], &format!("nat-{name}-calls"), &peer, 600, theirs);
    baresip.tell("dial", &format!("sip:{user}@sip.test"));
    let answered = phone.expect("answered");
    baresip.plays();
    std::thread::sleep(std::time::Duration::from_secs(5));
    baresip.tell("hangup", "");
    phone.stop();
    judge(&name, way, &phone, &answered);
    heard(&name, &baresip, &back);
}

fn judge(name: &str, way: &str, phone: &Softphone, answered: &Value) {
    assert_ne!(answered["srtp"], "off", "{name}: {answered}");
    assert_eq!(answered["ice"] == false, way != "ice", "{name}: {answered}");
    if way == "ice" {
        let pair = last_pair(phone);
        println!("{name}: {pair}");
        // Whoever controls chooses: it takes what works first.
        let ours = phone.events("incoming").is_empty();
        assert!(!ours || !pair.contains("relay"), "{name}: {pair}, and a direct way was there");
    }
}

fn heard(name: &str, baresip: &Baresip, by_us: &Path) {
    let sent = tone(&baresip.recording("enc")).dbfs;
    assert_tone(by_us, 600.0, sent);
    let heard = Presence::of(&baresip.recording("dec"), 440.0).seconds();
    assert!(heard > 2.0, "{name}: baresip heard us for {heard} s");
    assert_tone(&baresip.recording("dec"), 440.0, -15.0);
}

#[test]
fn baresip_and_a_softphone_call_each_other_across_nats_by_ice_stun_and_turn_with_each_encryption() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    softphone_binary();
    std::thread::scope(|scope| {
        for (at, way) in ["ice", "stun", "turn"].into_iter().enumerate() {
            scope.spawn(move || with_each_encryption(way, 3 * at as u8));
        }
    });
}

/// In a world of its own; `first` keeps names apart.
fn with_each_encryption(way: &str, first: u8) {
    let Some(net) = internet() else { return };
    let servers = Servers::start(&format!("bare-{way}"), &net);
    let (net, servers): (&Internet, &Servers) = (&net, &servers);
    let nats = match way {
        // Its relay is reached from everywhere.
        "turn" => [Nat::Symmetric, Nat::Cone],
        // Without ICE each sends to what the NAT of the other shows, and so opens its own.
        _ => [Nat::Cone, Nat::Cone],
    };
    std::thread::scope(|scope| {
        for (n, (theirs, ours)) in ENCRYPTIONS.into_iter().enumerate() {
            scope.spawn(move || {
                let n = first + n as u8;
                let homes = [net.home(2 * n + 1, nats[0]), net.home(2 * n + 2, nats[1])];
                let params = format!("medianat={way};mediaenc={theirs};");
                both_ways(servers, n, [&homes[0], &homes[1]], &params, ours);
            });
        }
    });
}

/// baresip's name of an encryption, and ours.
const ENCRYPTIONS: [(&str, &str); 3] =
    [("srtp", "optional"), ("srtp-mand", "sdes"), ("dtls_srtp", "dtls")];
