use super::support::*;
use crate::testkit::ServerEvent;
use std::time::Duration;
use tiny_net::sim::World;
use tiny_sak::Transport;
use tiny_sip::digest::Algorithm;
use tiny_sip::{HeaderName, Message};

const LINE: &str = "REGISTER sip:example.test";

fn headers(contact: &str, expires: u32) -> String {
    format!("To: <sip:bob@example.test>\nContact: {contact}\nExpires: {expires}\n")
}

fn contacts(message: &Message) -> Vec<String> {
    message.headers(HeaderName::Contact).map(str::to_owned).collect()
}

#[test]
fn a_registration_is_challenged_with_each_algorithm_and_then_kept() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    town.request(phone, LINE, &headers("<sip:bob@192.0.2.1>", 600));
    let (_, (_, challenged)) = town.one();
    assert_eq!(status(&challenged), 401);
    let algorithms: Vec<_> = challenged
        .challenges(HeaderName::WwwAuthenticate)
        .map(|c| c.unwrap().algorithm().unwrap().to_owned())
        .collect();
    assert_eq!(algorithms, ["SHA-256", "MD5"]);
    assert!(challenged.to().unwrap().tag().is_some());
    let via = challenged.top_via().unwrap();
    assert_eq!((via.received(), via.rport()), (Some("192.0.2.1"), Some(Some(5060))));
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let mut town = Town::new(config().algorithms(&[algorithm]));
        let phone = town.phone(1);
        let done = town.prove(phone, LINE, &headers("<sip:bob@192.0.2.1>", 600), "bob", "secret");
        assert_eq!(status(&done), 200, "{algorithm:?}");
        assert_eq!(contacts(&done), ["<sip:bob@192.0.2.1>;expires=600"]);
    }
}

#[test]
fn wrong_passwords_are_challenged_again_and_strangers_forbidden() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let mine = headers("<sip:bob@192.0.2.1>", 600);
    assert_eq!(status(&town.prove(phone, LINE, &mine, "bob", "guess")), 401);
    assert_eq!(status(&town.prove(phone, LINE, &mine, "mallory", "secret")), 403);
    // Alice may not register for Bob.
    assert_eq!(status(&town.prove(phone, LINE, &mine, "alice", "secret")), 403);
    let broken = format!("{mine}Authorization: Digest realm=\"example.test\", nonce=\"x\"\n");
    town.request(phone, LINE, &broken);
    assert_eq!(status(&town.one().1.1), 400);
}

#[test]
fn an_old_nonce_is_stale_and_a_used_count_is_a_replay() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    town.request(phone, LINE, &headers("<sip:bob@192.0.2.1>", 600));
    let (_, (_, challenged)) = town.one();
    let challenge = challenged.challenges(HeaderName::WwwAuthenticate).next().unwrap().unwrap();
    let mut session = tiny_sip::digest::Session::new(&challenge).unwrap();
    let password = tiny_sak::Secret::from("secret");
    let answer = tiny_sip::digest::Answer {
        username: "bob",
        password: &password,
        method: "REGISTER",
        uri: "sip:example.test",
        body: b"",
        cnonce: "c",
    };
    let credentials = session.authorize(&answer);
    let with = |c: &str| format!("{}Authorization: {c}\n", headers("<sip:bob@192.0.2.1>", 600));
    town.request(phone, LINE, &with(&credentials));
    assert_eq!(status(&town.one().1.1), 200);
    let stale = |town: &mut Town, credentials: &str| {
        town.request(phone, LINE, &with(credentials));
        let (_, (_, answer)) = town.one();
        let stale = answer.challenges(HeaderName::WwwAuthenticate).next();
        (status(&answer), stale.is_some_and(|c| c.unwrap().stale()))
    };
    // The same request again is another transaction here: a replay.
    assert_eq!(stale(&mut town, &credentials), (401, true));
    // The next count is fine, until the nonce is too old.
    let next = session.authorize(&answer);
    assert_eq!(stale(&mut town, &next), (200, false));
    town.run(Duration::from_secs(301));
    let late = session.authorize(&answer);
    assert_eq!(stale(&mut town, &late), (401, true));
}

#[test]
fn a_short_interval_gets_423_and_a_long_one_is_cut() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let brief = town.prove(phone, LINE, &headers("<sip:bob@192.0.2.1>", 19), "bob", "secret");
    assert_eq!((status(&brief), brief.header(HeaderName::MinExpires)), (423, Some("20")));
    let long = town.prove(phone, LINE, &headers("<sip:bob@192.0.2.1>", 99_999), "bob", "secret");
    assert_eq!(contacts(&long), ["<sip:bob@192.0.2.1>;expires=3600"]);
}

#[test]
fn several_contacts_are_kept_refreshed_queried_and_removed() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let two = "<sip:bob@192.0.2.1>;expires=60, \"Desk\" <sip:bob@192.0.2.2>;expires=600";
    let done = town.prove(phone, LINE, &headers(two, 30), "bob", "secret");
    assert_eq!(
        contacts(&done),
        ["<sip:bob@192.0.2.2>;expires=600", "<sip:bob@192.0.2.1>;expires=60"]
    );
    town.run(Duration::from_secs(30));
    // A query changes nothing.
    let query = "To: <sip:bob@example.test>\n";
    let done = town.prove(phone, LINE, query, "bob", "secret");
    assert_eq!(contacts(&done).len(), 2);
    assert!(contacts(&done)[1].ends_with("expires=30"), "{:?}", contacts(&done));
    // One by expires=0, written a little differently (RFC 3261 §19.1.4).
    let gone = headers("<sip:bob@192.0.2.2;transport=udp>;expires=0, <sip:bob@192.0.2.2>", 0);
    let done = town.prove(phone, LINE, &gone, "bob", "secret");
    assert_eq!(contacts(&done).len(), 1);
    // The other one by silence.
    town.run(Duration::from_secs(31));
    assert!(contacts(&town.prove(phone, LINE, query, "bob", "secret")).is_empty());
}

#[test]
fn a_star_removes_all_and_only_with_expires_0() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let two = "<sip:bob@192.0.2.1>, <sip:bob@192.0.2.2>";
    town.prove(phone, LINE, &headers(two, 600), "bob", "secret");
    assert_eq!(status(&town.prove(phone, LINE, &headers("*", 60), "bob", "secret")), 400);
    let done = town.prove(phone, LINE, &headers("*", 0), "bob", "secret");
    assert_eq!((status(&done), contacts(&done).len()), (200, 0));
}

#[test]
fn an_older_cseq_of_the_same_call_id_changes_nothing() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let with = |cseq: u32, expires: u32| {
        let same = format!("Call-ID: same\nCSeq: {cseq} REGISTER\n");
        format!("{}{same}", headers("<sip:bob@192.0.2.1>", expires))
    };
    assert_eq!(status(&town.prove(phone, LINE, &with(5, 600), "bob", "secret")), 200);
    assert_eq!(status(&town.prove(phone, LINE, &with(4, 0), "bob", "secret")), 500);
    assert_eq!(status(&town.prove(phone, LINE, &with(6, 0), "bob", "secret")), 200);
}

#[test]
fn too_many_contacts_are_refused_whole() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let many: Vec<_> = (1..=11).map(|i| format!("<sip:bob@192.0.2.{i}>")).collect();
    let refused = town.prove(phone, LINE, &headers(&many.join(", "), 600), "bob", "secret");
    assert_eq!(status(&refused), 403);
    let query = "To: <sip:bob@example.test>\n";
    assert!(contacts(&town.prove(phone, LINE, query, "bob", "secret")).is_empty());
}

#[test]
fn a_retransmission_gets_the_same_answer_and_is_forgotten_after_timer_j() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let headers = headers("<sip:bob@192.0.2.1>", 600)
        + "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKsame;rport\nCSeq: 1 REGISTER\nCall-ID: x\n";
    town.request(phone, LINE, &headers);
    let (_, (_, first)) = town.one();
    town.request(phone, LINE, &headers);
    assert_eq!(town.one().1.1.as_bytes(), first.as_bytes());
    assert_eq!(town.core().transactions(), 1);
    town.run(Duration::from_secs(33));
    assert_eq!(town.core().transactions(), 0);
}

#[test]
fn a_contact_over_tcp_is_gone_with_its_connection_and_told_of() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let flow = town.flow(phone, Transport::Tcp);
    let contact = headers("<sip:bob@192.0.2.1;transport=tcp>", 600);
    town.request_on(phone, flow, LINE, &contact);
    let (_, (_, challenged)) = town.one();
    let challenge = challenged.challenges(HeaderName::WwwAuthenticate).next().unwrap().unwrap();
    let password = tiny_sak::Secret::from("secret");
    let credentials =
        tiny_sip::digest::Session::new(&challenge).unwrap().authorize(&tiny_sip::digest::Answer {
            username: "bob",
            password: &password,
            method: "REGISTER",
            uri: "sip:example.test",
            body: b"",
            cnonce: "c",
        });
    let contact = format!("{contact}Authorization: {credentials}\n");
    town.request_on(phone, flow, LINE, &contact);
    let told = World::run_for(&mut town.world, ms(100));
    let registered = ServerEvent::Registered {
        user: "bob".into(),
        contact: "sip:bob@192.0.2.1;transport=tcp".into(),
        expires: 600,
    };
    assert!(told.iter().any(|t| matches!(&t.2, Told::Server(e) if *e == registered)), "{told:?}");
    // A call reaches it over that connection.
    let caller = town.phone(2);
    town.request(caller, "OPTIONS sip:bob@example.test", "");
    let (who, (seen, _)) = town.one();
    assert_eq!((who, seen.transport), (phone, Transport::Tcp));
    let (now, host) = (town.world.now(), town.world.host(phone));
    town.world.network.reset(now, host, flow);
    town.run(ms(100));
    town.request(caller, "OPTIONS sip:bob@example.test", "");
    assert_eq!(status(&town.one().1.1), 480);
}
