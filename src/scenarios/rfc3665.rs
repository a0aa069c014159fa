//! The flows of RFC 3665, step by step. Names and addresses are those of its §1.3.

use super::village::{Phone, Village, end_of};
use crate::account::AccountBuilder;
use crate::testkit::ServerConfig;
use crate::{Config, Error, Party};

const ALICE: &str = "192.0.2.101";
const BOB: &str = "192.0.2.201";
const SS1: &str = "192.0.2.111";
const SS2: &str = "192.0.2.222";
const ALG: &str = "192.0.2.128";
const TO_BOB: &str = "sip:bob@biloxi.example.com";

fn at(ip: &str) -> std::net::SocketAddr {
    format!("{ip}:5060").parse().unwrap()
}

fn atlanta() -> ServerConfig {
    ServerConfig::new("atlanta.example.com")
        .user("alice", "secret")
        .neighbour("biloxi.example.com", at(SS2))
}

fn biloxi() -> ServerConfig {
    ServerConfig::new("biloxi.example.com").user("bob", "secret").user("alice", "secret")
}

fn alice(village: &mut Village, route: Option<&str>) -> Phone {
    village.phone("alice", ALICE, "sip:alice@atlanta.example.com", Config::default(), |account| {
        let account = account.password("secret");
        match route {
            Some(ip) => account.outbound_proxy(format!("sip:{ip};lr")),
            None => account,
        }
    })
}

fn bob(village: &mut Village, route: Option<&str>) -> Phone {
    village.phone("bob", BOB, TO_BOB, Config::default(), |account| {
        let account = account.password("secret").registrar("sip:biloxi.example.com");
        match route {
            Some(ip) => account.outbound_proxy(format!("sip:{ip};lr")),
            None => account,
        }
    })
}

/// Alice behind ss1, Bob registered at ss2.
fn trapezoid(atlanta: ServerConfig, biloxi: ServerConfig) -> (Village, Phone, Phone) {
    let mut village = Village::new(1);
    village.server("ss1", SS1, atlanta);
    village.server("ss2", SS2, biloxi);
    let alice = alice(&mut village, Some(SS1));
    let bob = bob(&mut village, Some(SS2));
    village.drive(bob.account.register()).unwrap();
    village.ladder();
    (village, alice, bob)
}

fn expect(village: &mut Village, steps: &[&str]) {
    let got = village.ladder();
    assert_eq!(got, steps, "{}", got.join("\n"));
}

#[test]
fn s2_1_a_new_registration_answers_a_challenge() {
    let mut village = Village::new(1);
    village.server("ss2", SS2, biloxi());
    let bob = bob(&mut village, Some(SS2));
    let granted = village.drive(bob.account.register()).unwrap();
    assert!(granted.contact.contains(BOB));
    expect(
        &mut village,
        &["REGISTER bob>ss2", "401 REGISTER ss2>bob", "REGISTER bob>ss2", "200 REGISTER ss2>bob"],
    );
}

/// Contacts with their `q`, as the registrar lists them.
fn listed(bindings: &[crate::Binding]) -> Vec<(&str, Option<f32>)> {
    let mut all: Vec<_> = bindings.iter().map(|b| (b.uri.as_str(), b.q)).collect();
    all.sort_by_key(|(uri, _)| *uri);
    all
}

const MAIL: &str = "mailto:bob@biloxi.example.com";

#[test]
fn s2_2_the_contact_list_is_updated_and_s2_3_asked_for() {
    let mut village = Village::new(1);
    village.server("ss2", SS2, biloxi());
    let bob = bob(&mut village, Some(SS2));
    village.drive(bob.account.register()).unwrap();
    village.ladder();
    let all = village.drive(bob.account.add_binding(MAIL, Some(0.1), None)).unwrap();
    let own = format!("sip:bob@{BOB}:5060");
    assert_eq!(listed(&all), [(MAIL, Some(0.1)), (own.as_str(), None)]);
    // With the credentials of the registration: nothing is asked again.
    expect(&mut village, &["REGISTER bob>ss2", "200 REGISTER ss2>bob"]);
    let again = village.drive(bob.account.bindings()).unwrap();
    assert_eq!(listed(&again), listed(&all));
    assert!(again.iter().all(|b| b.expires.is_some_and(|left| left.as_secs() > 0)));
    expect(&mut village, &["REGISTER bob>ss2", "200 REGISTER ss2>bob"]);
    let left = village.drive(bob.account.remove_binding(MAIL)).unwrap();
    assert_eq!(listed(&left), [(own.as_str(), None)]);
    // Our own registration goes on with rising numbers, and is refreshed.
    village.drive(bob.account.register()).unwrap();
    village.ladder();
    village.run(600_000);
    assert!(village.ladder().contains(&"200 REGISTER ss2>bob".to_owned()));
}

#[test]
fn s2_4_a_registration_is_cancelled() {
    let mut village = Village::new(1);
    village.server("ss2", SS2, biloxi());
    let bob = bob(&mut village, Some(SS2));
    village.drive(bob.account.register()).unwrap();
    village.drive(bob.account.add_binding(MAIL, None, None)).unwrap();
    village.ladder();
    // Every contact: `*`.
    village.drive(bob.account.remove_all_bindings()).unwrap();
    expect(&mut village, &["REGISTER bob>ss2", "200 REGISTER ss2>bob"]);
    assert!(village.drive(bob.account.bindings()).unwrap().is_empty());
    village.ladder();
    // Nothing is refreshed any more.
    village.run(1_000_000);
    assert!(village.ladder().is_empty());
    assert!(village.drive(bob.account.registration()).is_err());
    // Its own alone.
    village.drive(bob.account.register()).unwrap();
    village.drive(bob.account.add_binding(MAIL, None, None)).unwrap();
    village.ladder();
    village.drive(bob.account.unregister()).unwrap();
    expect(&mut village, &["REGISTER bob>ss2", "200 REGISTER ss2>bob"]);
    let left = village.drive(bob.account.bindings()).unwrap();
    assert_eq!(listed(&left), [(MAIL, None)]);
}

#[test]
fn further_contacts_are_registered_and_removed_along_with_our_own() {
    let mut village = Village::new(1);
    village.server("ss2", SS2, biloxi());
    let bob = village.phone("bob", BOB, TO_BOB, Config::default(), |account| {
        let account = account.password("secret").registrar("sip:biloxi.example.com");
        account.outbound_proxy(format!("sip:{SS2};lr")).also_at("sip:bob@192.0.2.77", Some(0.5))
    });
    village.drive(bob.account.register()).unwrap();
    let all = village.drive(bob.account.bindings()).unwrap();
    let own = format!("sip:bob@{BOB}:5060");
    assert_eq!(listed(&all), [(own.as_str(), None), ("sip:bob@192.0.2.77", Some(0.5))]);
    // They are refreshed together.
    village.run(1_000_000);
    assert_eq!(village.drive(bob.account.bindings()).unwrap().len(), 2);
    village.drive(bob.account.unregister()).unwrap();
    assert!(village.drive(bob.account.bindings()).unwrap().is_empty());
    let wrong = bob.account.add_binding(MAIL, Some(1.5), None);
    assert!(matches!(village.drive(wrong), Err(Error::Config { .. })));
}

#[test]
fn s2_5_a_registration_with_a_wrong_password_fails() {
    let mut village = Village::new(1);
    village.server("ss2", SS2, biloxi());
    let bob = village.phone("bob", BOB, TO_BOB, Config::default(), |account| {
        account.password("wrong").outbound_proxy(format!("sip:{SS2};lr"))
    });
    let refused = village.drive(bob.account.register());
    assert!(matches!(refused, Err(Error::Peer { status: 401 | 403, .. })), "{refused:?}");
    expect(
        &mut village,
        &["REGISTER bob>ss2", "401 REGISTER ss2>bob", "REGISTER bob>ss2", "401 REGISTER ss2>bob"],
    );
}

#[test]
fn s3_1_two_phones_talk_without_a_proxy() {
    let mut village = Village::new(1);
    let alice = alice(&mut village, None);
    let mut bob = bob(&mut village, None);
    let call = village.call(&alice, &format!("sip:bob@{BOB}"));
    village.run(50);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(50);
    assert_eq!((alice.media().len(), bob.media().len()), (1, 1));
    let end = village.drive(answered.hangup());
    assert_eq!(end.by, Party::Local);
    village.run(100);
    assert_eq!(end_of(&call).by, Party::Remote);
    expect(
        &mut village,
        &[
            "INVITE alice>bob",
            "180 INVITE bob>alice",
            "200 INVITE bob>alice",
            "ACK alice>bob",
            "BYE bob>alice",
            "200 BYE alice>bob",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_2_a_session_is_set_up_through_two_proxies() {
    let (mut village, alice, mut bob) = trapezoid(atlanta().authenticate_calls(), biloxi());
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    let answered = village.answer(&bob, &incoming);
    village.run(50);
    village.drive(call.answered()).unwrap();
    village.run(50);
    village.drive(answered.hangup());
    village.run(100);
    expect(
        &mut village,
        &[
            "INVITE alice>ss1",
            "407 INVITE ss1>alice",
            "ACK alice>ss1",
            "INVITE alice>ss1",
            "100 INVITE ss1>alice",
            "INVITE ss1>ss2",
            "100 INVITE ss2>ss1",
            "INVITE ss2>bob",
            "180 INVITE bob>ss2",
            "180 INVITE ss2>ss1",
            "180 INVITE ss1>alice",
            "200 INVITE bob>ss2",
            "200 INVITE ss2>ss1",
            "200 INVITE ss1>alice",
            "ACK alice>ss1",
            "ACK ss1>ss2",
            "ACK ss2>bob",
            "BYE bob>ss2",
            "BYE ss2>ss1",
            "BYE ss1>alice",
            "200 BYE alice>ss1",
            "200 BYE ss1>ss2",
            "200 BYE ss2>bob",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_3_both_proxies_ask_for_credentials() {
    let (mut village, alice, mut bob) =
        trapezoid(atlanta().authenticate_calls(), biloxi().authenticate_calls());
    let call = village.call(&alice, TO_BOB);
    village.run(200);
    let incoming = bob.incoming();
    let answered = village.answer(&bob, &incoming);
    village.run(50);
    village.drive(call.answered()).unwrap();
    village.run(50);
    village.drive(answered.hangup());
    village.run(100);
    expect(
        &mut village,
        &[
            "INVITE alice>ss1",
            "407 INVITE ss1>alice",
            "ACK alice>ss1",
            "INVITE alice>ss1",
            "100 INVITE ss1>alice",
            "INVITE ss1>ss2",
            "407 INVITE ss2>ss1",
            "ACK ss1>ss2",
            "407 INVITE ss1>alice",
            "ACK alice>ss1",
            "INVITE alice>ss1",
            "100 INVITE ss1>alice",
            "INVITE ss1>ss2",
            "100 INVITE ss2>ss1",
            "INVITE ss2>bob",
            "200 INVITE bob>ss2",
            "200 INVITE ss2>ss1",
            "200 INVITE ss1>alice",
            "ACK alice>ss1",
            "ACK ss1>ss2",
            "ACK ss2>bob",
            "BYE bob>ss2",
            "BYE ss2>ss1",
            "BYE ss1>alice",
            "200 BYE alice>ss1",
            "200 BYE ss1>ss2",
            "200 BYE ss2>bob",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_4_the_first_proxy_is_dead_and_the_second_takes_over() {
    let mut village = Village::new(1);
    let ss1 = village.server("ss1", SS1, atlanta());
    village.server("ss3", "192.0.2.233", atlanta());
    village.server("ss2", SS2, biloxi());
    village.name("atlanta.example.com", &[SS1, "192.0.2.233"]);
    let alice = village.phone(
        "alice",
        ALICE,
        "sip:alice@atlanta.example.com",
        Config::default(),
        |account| account.password("secret").outbound_proxy("sip:atlanta.example.com;lr"),
    );
    let mut bob = bob(&mut village, Some(SS2));
    village.drive(bob.account.register()).unwrap();
    village.ladder();
    let host = village.world.host(ss1);
    village.world.network.black_hole(host);
    let call = village.call(&alice, TO_BOB);
    village.run(33_000);
    let incoming = bob.incoming();
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(50);
    village.drive(answered.hangup());
    village.run(100);
    expect(
        &mut village,
        &[
            "INVITE alice>ss1",
            "INVITE alice>ss1",
            "INVITE alice>ss1",
            "INVITE alice>ss1",
            "INVITE alice>ss1",
            "INVITE alice>ss1",
            "INVITE alice>ss1",
            "INVITE alice>ss3",
            "100 INVITE ss3>alice",
            "INVITE ss3>ss2",
            "100 INVITE ss2>ss3",
            "INVITE ss2>bob",
            "100 INVITE bob>ss2",
            "200 INVITE bob>ss2",
            "200 INVITE ss2>ss3",
            "200 INVITE ss3>alice",
            "ACK alice>ss3",
            "ACK ss3>ss2",
            "ACK ss2>bob",
            "BYE bob>ss2",
            "BYE ss2>ss3",
            "BYE ss3>alice",
            "200 BYE alice>ss3",
            "200 BYE ss3>ss2",
            "200 BYE ss2>bob",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_5_a_gateway_on_the_path_is_where_media_goes() {
    let (alg, mut village) = (ALG, Village::new(1));
    let gateway = village.server("alg", alg, atlanta());
    village.server("ss2", SS2, biloxi());
    // Its address is as long as theirs, so that no length changes.
    village.edit(gateway, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        let text = text.replace(&format!("c=IN IP4 {ALICE}"), &format!("c=IN IP4 {ALG}"));
        text.replace(&format!("c=IN IP4 {BOB}"), &format!("c=IN IP4 {ALG}")).into()
    });
    let alice = alice(&mut village, Some(alg));
    let mut bob = bob(&mut village, Some(SS2));
    village.drive(bob.account.register()).unwrap();
    village.ladder();
    let (_call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    for phone in [&alice, &bob] {
        let media = phone.media();
        assert_eq!(media.len(), 1);
        assert_eq!(media[0].remote_rtp.map(|a| a.ip().to_string()).as_deref(), Some(ALG));
    }
    village.drive(answered.hangup());
    village.run(100);
    expect(
        &mut village,
        &[
            "INVITE alice>alg",
            "100 INVITE alg>alice",
            "INVITE alg>ss2",
            "100 INVITE ss2>alg",
            "INVITE ss2>bob",
            "200 INVITE bob>ss2",
            "200 INVITE ss2>alg",
            "200 INVITE alg>alice",
            "ACK alice>alg",
            "ACK alg>ss2",
            "ACK ss2>bob",
            "BYE bob>ss2",
            "BYE ss2>alg",
            "BYE alg>alice",
            "200 BYE alice>alg",
            "200 BYE alg>ss2",
            "200 BYE ss2>bob",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_6_a_redirect_server_sends_the_caller_to_another_proxy() {
    let mut village = Village::new(1);
    let redirect = village.server("redirect", "192.0.2.44", biloxi().redirect());
    village.server("ss3", SS2, ServerConfig::new("chicago.example.com").user("bob", "secret"));
    village.name("biloxi.example.com", &["192.0.2.44"]);
    village.name("chicago.example.com", &[SS2]);
    // What it knows of Bob is where else he is served.
    village.edit(redirect, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        if !text.starts_with("SIP/2.0 302") {
            return data;
        }
        let lines = text.split("\r\n").map(|line| match line.starts_with("Contact:") {
            true => "Contact: <sip:bob@chicago.example.com>",
            false => line,
        });
        lines.collect::<Vec<_>>().join("\r\n").into()
    });
    let alice = alice(&mut village, None);
    let mut bob = bob(&mut village, None);
    village.drive(bob.account.register()).unwrap();
    let chicago = AccountBuilder::new(bob.shared.clone(), "sip:bob@chicago.example.com".into());
    let chicago = village.drive(chicago.password("secret").build()).unwrap();
    village.drive(chicago.register()).unwrap();
    village.ladder();
    let builder = alice.account.call(TO_BOB).late_offer();
    let call = village.place(&alice, builder);
    village.run(100);
    let incoming = bob.incoming();
    // Both of his accounts are called bob: To says which one was meant.
    assert_eq!(incoming.account(), Some(bob.account.id()));
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    let answered = village.answer(&bob, &incoming);
    village.run(50);
    village.drive(call.answered()).unwrap();
    // "SDP in ACK": F1 and F4 have none, F10 has the offer, F12 the answer.
    let body = |message: String| message.split_once("\r\n\r\n").unwrap().1.to_owned();
    for invite in village.wire("INVITE", "INVITE") {
        assert_eq!(body(invite), "");
    }
    assert!(body(village.last("SIP/2.0 200", "INVITE")).contains("m=audio"));
    assert!(body(village.last("ACK", "ACK")).contains("m=audio"));
    assert_eq!((alice.media().len(), bob.media().len()), (1, 1));
    village.drive(answered.hangup());
    village.run(100);
    expect(
        &mut village,
        &[
            "INVITE alice>redirect",
            "302 INVITE redirect>alice",
            "ACK alice>redirect",
            "INVITE alice>ss3",
            "100 INVITE ss3>alice",
            "INVITE ss3>bob",
            "180 INVITE bob>ss3",
            "180 INVITE ss3>alice",
            "200 INVITE bob>ss3",
            "200 INVITE ss3>alice",
            "ACK alice>ss3",
            "ACK ss3>bob",
            "BYE bob>ss3",
            "BYE ss3>alice",
            "200 BYE alice>ss3",
            "200 BYE ss3>bob",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_7_bob_changes_his_address_in_the_middle_of_a_call() {
    let mut village = Village::new(1);
    // Proxy 2 does not stay on the path.
    let proxy = ServerConfig { record_route: false, ..biloxi() };
    village.server("ss2", SS2, proxy);
    let alice = alice(&mut village, Some(SS2));
    let mut bob = bob(&mut village, Some(SS2));
    village.drive(bob.account.register()).unwrap();
    village.ladder();
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    let _answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(40_000);
    expect(
        &mut village,
        &[
            "INVITE alice>ss2",
            "100 INVITE ss2>alice",
            "INVITE ss2>bob",
            "180 INVITE bob>ss2",
            "200 INVITE bob>ss2",
            "180 INVITE ss2>alice",
            "200 INVITE ss2>alice",
            "ACK alice>bob",
        ],
    );
    let (ssrc, before) = (bob.media()[0].ssrc, alice.media()[0].remote_rtp.unwrap());
    let report = village.relocate(&mut bob, "192.0.2.205");
    assert_eq!(report.moved, 1);
    village.run(500);
    let steps = village.ladder();
    let steps: Vec<_> = steps.iter().filter(|step| !step.contains("REGISTER")).collect();
    assert_eq!(steps, ["INVITE bob>alice", "200 INVITE alice>bob", "ACK bob>alice"]);
    // "Bob changes IP address": media follows, and nothing else of it changes.
    let after = alice.media()[0].remote_rtp.unwrap();
    assert_eq!(
        (before.ip().to_string(), after.ip().to_string()),
        (BOB.into(), "192.0.2.205".into())
    );
    assert_eq!(bob.media()[0].ssrc, ssrc);
    village.drive(call.hangup());
    village.run(100);
    expect(&mut village, &["BYE alice>bob", "200 BYE bob>alice"]);
    village.assert_idle();
}

#[test]
fn s3_8_nobody_answers_and_the_caller_gives_up() {
    let (mut village, alice, mut bob) = trapezoid(atlanta(), biloxi());
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(10_000);
    let end = village.drive(call.hangup());
    assert_eq!((end.by, end.status), (Party::Local, Some(487)));
    village.run(100);
    assert_eq!(end_of(incoming.call()).by, Party::Remote);
    expect(
        &mut village,
        &[
            "INVITE alice>ss1",
            "100 INVITE ss1>alice",
            "INVITE ss1>ss2",
            "100 INVITE ss2>ss1",
            "INVITE ss2>bob",
            "180 INVITE bob>ss2",
            "180 INVITE ss2>ss1",
            "180 INVITE ss1>alice",
            "CANCEL alice>ss1",
            "200 CANCEL ss1>alice",
            "CANCEL ss1>ss2",
            "200 CANCEL ss2>ss1",
            "CANCEL ss2>bob",
            "200 CANCEL bob>ss2",
            "487 INVITE bob>ss2",
            "ACK ss2>bob",
            "487 INVITE ss2>ss1",
            "ACK ss1>ss2",
            "487 INVITE ss1>alice",
            "ACK alice>ss1",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_9_the_callee_is_busy() {
    let (mut village, alice, mut bob) = trapezoid(atlanta(), biloxi());
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    bob.incoming().reject(486);
    let refused = village.drive(call.answered());
    assert!(matches!(refused, Err(Error::Peer { status: 486, .. })), "{refused:?}");
    village.run(100);
    expect(
        &mut village,
        &[
            "INVITE alice>ss1",
            "100 INVITE ss1>alice",
            "INVITE ss1>ss2",
            "100 INVITE ss2>ss1",
            "INVITE ss2>bob",
            "486 INVITE bob>ss2",
            "ACK ss2>bob",
            "486 INVITE ss2>ss1",
            "ACK ss1>ss2",
            "486 INVITE ss1>alice",
            "ACK alice>ss1",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_10_the_callee_does_not_respond() {
    let (mut village, alice, bob) = trapezoid(atlanta(), biloxi());
    let host = village.world.host(bob.node);
    village.world.network.black_hole(host);
    let call = village.call(&alice, TO_BOB);
    let refused = village.drive(call.answered());
    assert!(matches!(refused, Err(Error::Peer { status: 408 | 480, .. })), "{refused:?}");
    village.run(1000);
    expect(
        &mut village,
        &[
            "INVITE alice>ss1",
            "100 INVITE ss1>alice",
            "INVITE ss1>ss2",
            "100 INVITE ss2>ss1",
            "INVITE ss2>bob",
            "INVITE ss2>bob",
            "INVITE ss2>bob",
            "INVITE ss2>bob",
            "INVITE ss2>bob",
            "INVITE ss2>bob",
            "INVITE ss2>bob",
            "408 INVITE ss2>ss1",
            "ACK ss1>ss2",
            "408 INVITE ss1>alice",
            "ACK alice>ss1",
        ],
    );
    village.assert_idle();
}

#[test]
fn s3_11_the_callee_is_away() {
    let (mut village, alice, mut bob) = trapezoid(atlanta(), biloxi());
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(100);
    incoming.reject(480);
    let refused = village.drive(call.answered());
    assert!(matches!(refused, Err(Error::Peer { status: 480, .. })), "{refused:?}");
    village.run(100);
    expect(
        &mut village,
        &[
            "INVITE alice>ss1",
            "100 INVITE ss1>alice",
            "INVITE ss1>ss2",
            "100 INVITE ss2>ss1",
            "INVITE ss2>bob",
            "180 INVITE bob>ss2",
            "180 INVITE ss2>ss1",
            "180 INVITE ss1>alice",
            "480 INVITE bob>ss2",
            "ACK ss2>bob",
            "480 INVITE ss2>ss1",
            "ACK ss1>ss2",
            "480 INVITE ss1>alice",
            "ACK alice>ss1",
        ],
    );
    village.assert_idle();
}
