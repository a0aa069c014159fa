//! ICE (RFC 8445, RFC 8839) in the flow of calls: what waits for candidates, what the two sides say of
//! themselves, restarts, forks, and peers that have none.

use super::village::{Phone, Village, end_of, quiet};
use crate::command::Command;
use crate::media::IceNotice;
use crate::media::made_up::{MadeUp, failed, selected};
use crate::testkit::ServerConfig;
use crate::{
    Call, CallEvent, CallState, Config, EarlyMediaPolicy, Error, Ice, IceServer, Party, Policy,
};
use bytes::Bytes;
use std::time::Duration;
use tiny_net::ice::IceFailure;
use tokio::sync::oneshot;

const ALICE: &str = "192.0.2.1";
const BOB: &str = "192.0.2.2";
const TO_ALICE: &str = "sip:alice@192.0.2.1";
const TO_BOB: &str = "sip:bob@192.0.2.2";

fn with(ice: Ice) -> Config {
    Config { ice, ..Config::default() }
}

fn two_with(alice: Config, bob: Config) -> (Village, Phone, Phone) {
    let mut village = Village::new(31);
    let alice = village.phone("alice", ALICE, TO_ALICE, alice, |account| account);
    let bob = village.phone("bob", BOB, TO_BOB, bob, |account| account);
    (village, alice, bob)
}

fn two() -> (Village, Phone, Phone) {
    two_with(with(Ice::Full), with(Ice::Full))
}

/// The values of an attribute in a message.
fn values<'a>(message: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!("a={attribute}:");
    message.lines().filter_map(|l| l.strip_prefix(start.as_str())).collect()
}

fn ufrag(message: &str) -> &str {
    values(message, "ice-ufrag").first().expect("a=ice-ufrag")
}

fn has_ice(call: &Call) -> bool {
    match call.state() {
        CallState::Established { codec: Some(codec), .. } => codec.ice,
        other => panic!("{other:?}"),
    }
}

fn events(call: &Call) -> Vec<CallEvent> {
    let mut events = call.inner.events.try_lock().unwrap();
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

fn count(ladder: &[String], what: &str) -> usize {
    ladder.iter().filter(|step| step.starts_with(what)).count()
}

/// The last peer that an agent was told of.
fn peer_of(phone: &Phone) -> String {
    phone.agent(|agent| agent.peers.last().expect("a peer").ufrag.clone())
}

/// Each agent knows the other by its present name.
fn assert_know_each_other(alice: &Phone, bob: &Phone) {
    assert_eq!(peer_of(alice), bob.agent(|agent| agent.ufrag()));
    assert_eq!(peer_of(bob), alice.agent(|agent| agent.ufrag()));
}

fn ends_like_any_other(mut village: Village, call: &Call, phones: [&Phone; 2]) {
    village.drive(call.hangup());
    village.run(70_000);
    assert_eq!(phones.map(Phone::agents), [0, 0]);
    village.assert_idle();
}

#[test]
fn the_invite_waits_for_candidates_and_the_callee_gathers_while_it_rings() {
    let (mut village, alice, mut bob) = two();
    let start = village.world.now();
    let call = village.call(&alice, TO_BOB);
    assert!(village.world.now() - start >= Duration::from_millis(300));
    assert_eq!(count(&village.ladder(), "INVITE"), 1);
    village.run(400);
    let incoming = bob.incoming();
    assert_eq!(bob.agents(), 1);
    let rung = village.world.now();
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(100);
    assert!(village.world.now() - rung < Duration::from_millis(200), "the answer did not wait");
    let (invite, ok) = (village.last("INVITE", "INVITE"), village.last("SIP/2.0 200", "INVITE"));
    // Two components with an address each; the callee takes one port for both.
    assert_eq!(values(&invite, "candidate").len(), 2);
    assert_eq!(values(&ok, "candidate").len(), 1);
    assert_eq!(ufrag(&invite), alice.agent(|agent| agent.ufrag()));
    assert_eq!(ufrag(&ok), bob.agent(|agent| agent.ufrag()));
    assert_know_each_other(&alice, &bob);
    assert_eq!(alice.agent(|agent| agent.peers[0].candidates.len()), 1);
    assert!(alice.agent(|agent| agent.setup.controlling));
    assert!(!bob.agent(|agent| agent.setup.controlling));
    assert!(has_ice(&call) && has_ice(&answered));
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn an_answer_before_its_candidates_waits_for_them() {
    let (mut village, alice, mut bob) = two();
    bob.gathers(2_000);
    let call = village.call(&alice, TO_BOB);
    village.run(50);
    let incoming = bob.incoming();
    let start = village.world.now();
    village.answer(&bob, &incoming);
    assert!(village.world.now() - start > Duration::from_millis(1_900));
    village.drive(call.answered()).unwrap();
    village.run(100);
    assert_know_each_other(&alice, &bob);
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn a_caller_that_gives_up_meanwhile_leaves_nothing_behind() {
    let (mut village, alice, mut bob) = two();
    bob.gathers(2_000);
    let call = village.call(&alice, TO_BOB);
    village.run(50);
    let incoming = bob.incoming();
    let (reply, mut done) = oneshot::channel();
    let (key, headers, audio) = (incoming.call().inner.key, Vec::new(), quiet());
    bob.shared.commands.tell(Command::Answer { call: key, headers, audio, reply });
    village.run(50);
    village.drive(call.hangup());
    village.run(100);
    assert!(matches!(done.try_recv(), Ok(Err(Error::Ended(_)))));
    village.run(70_000);
    assert_eq!((alice.agents(), bob.agents()), (0, 0));
    village.assert_idle();
}

#[test]
fn a_call_that_nobody_waits_for_any_more_is_not_placed() {
    let (mut village, alice, _bob) = two();
    let call = Box::new(alice.account.call(TO_BOB).command(quiet()));
    let (reply, placed) = oneshot::channel();
    alice.shared.commands.tell(Command::Call { call, reply });
    village.run(100);
    assert_eq!(alice.agents(), 1);
    drop(placed);
    village.run(1_000);
    assert_eq!(alice.agents(), 0);
    assert!(village.ladder().is_empty());
    village.assert_idle();
}

#[test]
fn a_peer_without_ice_is_spoken_with_as_ever_and_the_application_told() {
    let (mut village, alice, mut bob) = two_with(with(Ice::Full), Config::default());
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    assert!(alice.agent(|agent| agent.off && agent.peers.is_empty()));
    assert_eq!(bob.agents(), 0);
    assert!(!has_ice(&call) && !has_ice(&answered));
    assert_eq!(alice.media()[0].remote_rtp, Some(bob.listens()[0]));
    assert_eq!(bob.media()[0].remote_rtp, Some(alice.listens()[0]));
    let reasons = events(&call).into_iter().filter_map(|event| match event {
        CallEvent::WithoutIce { reason } => Some(reason),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["the peer does not use ICE"]);
    let report = village.drive(call.ice());
    assert!(matches!(report, Err(Error::State(_))), "{report:?}");
    village.drive(call.hold()).unwrap();
    // The other way round nothing is gathered.
    village.drive(call.hangup());
    let (call, _) = village.connect(&bob, &mut { alice }, TO_ALICE);
    assert!(
        !has_ice(&call) && values(&village.last("SIP/2.0 200", "INVITE"), "candidate").is_empty()
    );
    village.drive(call.hangup());
}

/// The description in a message.
fn description(message: &str) -> &str {
    message.split_once("\r\n\r\n").expect("a body").1
}

#[test]
fn who_hides_its_addresses_tells_none_in_a_call_whatever_the_peer_can() {
    let hiding = || {
        let mut config = with(Ice::Full);
        config.ice_limits.hide_addresses = true;
        config
    };
    for bob_has_ice in [true, false] {
        let other = if bob_has_ice { with(Ice::Full) } else { Config::default() };
        let (mut village, mut alice, mut bob) = two_with(hiding(), other);
        let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
        assert_eq!(has_ice(&call), bob_has_ice);
        village.drive(call.hold()).unwrap();
        village.drive(call.resume()).unwrap();
        village.relocate(&mut alice, "198.51.100.7");
        village.run(5_000);
        let offers = village.wire("INVITE", "INVITE");
        assert!(offers.len() > 3, "{}", offers.len());
        for offer in &offers {
            let said = description(offer);
            let shown = said.contains(ALICE) || said.contains("198.51.100.7");
            assert!(!shown && said.contains("c=IN IP4 0.0.0.0\r\n"), "{said}");
        }
        village.drive(call.hangup());
        // And in answers: those to a caller without ICE wait for what is gathered, too.
        let other = if bob_has_ice { with(Ice::Full) } else { Config::default() };
        let (mut village, mut alice, bob) = two_with(hiding(), other);
        let (call, _answered) = village.connect(&bob, &mut alice, TO_ALICE);
        let answer = village.last("SIP/2.0 200", "INVITE");
        assert_eq!(values(&answer, "candidate").is_empty(), !bob_has_ice, "{answer}");
        let said = description(&answer);
        assert!(
            !said.contains(ALICE) && said.contains("o=- ") && said.contains("IN IP4 0.0.0.0"),
            "{said}"
        );
        village.drive(call.hangup());
    }
}

#[test]
fn the_reason_of_an_end_without_a_way_names_no_address_that_is_hidden() {
    let mut config = with(Ice::Full);
    config.ice_limits.hide_addresses = true;
    let (mut village, alice, mut bob) = two_with(config, with(Ice::Full));
    let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
    village.ice_says(&alice, |agent| failed(agent, IceFailure::NoPath(4)));
    village.run(100);
    assert!(end_of(&call).reason.contains("(host 192.0.2.1:1 to"), "the application is told");
    let bye = village.last("BYE", "BYE");
    assert!(bye.contains("no way for media") && !bye.contains("(host"), "{bye}");
}

fn with_server() -> Config {
    let server: IceServer = "stun:192.0.2.50".parse().unwrap();
    Config { ice_servers: vec![server], ..with(Ice::Full) }
}

#[test]
fn who_asks_servers_gathers_for_a_caller_without_ice_too_and_answers_without_it() {
    let (mut village, alice, mut bob) = two_with(Config::default(), with_server());
    let start = village.world.now();
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    assert!(village.world.now() - start >= Duration::from_millis(300));
    assert_eq!((alice.agents(), bob.agents()), (0, 1));
    assert!(bob.agent(|agent| agent.off && agent.peers.is_empty()));
    let ok = village.last("SIP/2.0 200", "INVITE");
    assert!(!ok.contains("a=ice") && values(&ok, "candidate").is_empty(), "{ok}");
    assert!(!has_ice(&call) && !has_ice(&answered));
    assert_eq!(alice.media()[0].remote_rtp, Some(bob.listens()[0]));
    assert_eq!(bob.media()[0].remote_rtp, Some(alice.listens()[0]));
    village.drive(answered.hold()).unwrap();
    let offer = village.last("INVITE", "INVITE");
    assert!(!offer.contains("a=ice") && values(&offer, "candidate").is_empty(), "{offer}");
    village.drive(answered.resume()).unwrap();
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn a_peer_without_ice_is_told_where_the_ports_are_after_a_move() {
    let (mut village, mut alice, mut bob) = two_with(with_server(), Config::default());
    let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
    village.relocate(&mut alice, "198.51.100.7");
    village.run(5_000);
    assert_eq!(alice.listens()[0].ip().to_string(), "198.51.100.7");
    assert_eq!(bob.media()[0].remote_rtp, Some(alice.listens()[0]));
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn calls_that_wait_for_candidates_count_for_the_limit() {
    let config = Config { max_calls: 1, ..with(Ice::Full) };
    let (mut village, mut alice, bob) = two_with(config, Config::default());
    alice.gathers(3_000);
    let call = Box::new(alice.account.call(TO_BOB).command(quiet()));
    let (reply, placed) = oneshot::channel();
    alice.shared.commands.tell(Command::Call { call, reply });
    village.run(100);
    let call = Box::new(alice.account.call(TO_BOB).command(quiet()));
    let (reply, mut second) = oneshot::channel();
    alice.shared.commands.tell(Command::Call { call, reply });
    village.run(100);
    assert!(matches!(second.try_recv(), Ok(Err(Error::Limit(_)))));
    let from_bob = village.call(&bob, TO_ALICE);
    village.run(1_000);
    assert_eq!(end_of(&from_bob).status, Some(486));
    assert!(alice.told().is_empty());
    drop(placed);
    village.run(5_000);
    assert_eq!(alice.agents(), 0);
    village.run(70_000);
    village.assert_idle();
}

#[test]
fn a_gateway_that_changes_addresses_ends_ice_but_not_the_call() {
    let (mut village, alice, mut bob) = two();
    // It moves the port of sound and leaves the candidates as they are.
    village.edit(alice.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        Bytes::from(text.replace("m=audio 2", "m=audio 3"))
    });
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    assert!(village.last("SIP/2.0 200", "INVITE").contains("a=ice-mismatch"));
    assert!(alice.agent(|agent| agent.off) && bob.agent(|agent| agent.off));
    for (call, expected) in [(&call, "the peer found our"), (&answered, "the peer's default")] {
        let all = events(call);
        let told = |event: &CallEvent| match event {
            CallEvent::WithoutIce { reason } => reason.starts_with(expected),
            _ => false,
        };
        assert!(all.iter().any(told), "{all:?}");
        assert!(!has_ice(call));
    }
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn an_offer_in_the_answer_gathers_first_and_its_maker_controls() {
    let (mut village, alice, mut bob) = two();
    let call = village.place(&alice, alice.account.call(TO_BOB).late_offer());
    village.run(10);
    let incoming = bob.incoming();
    let start = village.world.now();
    village.answer(&bob, &incoming);
    assert!(village.world.now() - start > Duration::from_millis(200));
    village.drive(call.answered()).unwrap();
    village.run(100);
    assert!(!alice.agent(|agent| agent.setup.controlling));
    assert!(bob.agent(|agent| agent.setup.controlling));
    assert_know_each_other(&alice, &bob);
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn a_hold_keeps_names_and_candidates() {
    let (mut village, alice, mut bob) = two();
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    let first = village.last("INVITE", "INVITE");
    village.drive(call.hold()).unwrap();
    let held = village.last("INVITE", "INVITE");
    assert_eq!(ufrag(&held), ufrag(&first));
    assert_eq!(ufrag(&village.last("SIP/2.0 200", "INVITE")), bob.agent(|agent| agent.ufrag()));
    village.drive(answered.hold()).unwrap();
    village.drive(call.resume()).unwrap();
    for phone in [&alice, &bob] {
        assert_eq!(phone.agent(|agent| agent.peers.last().unwrap().ufrag.clone()), peer_of(phone));
    }
    assert_eq!(alice.agent(|agent| agent.ufrag()), ufrag(&first));
    assert_know_each_other(&alice, &bob);
    assert!(has_ice(&call) && has_ice(&answered));
}

#[test]
fn a_path_that_dies_is_looked_for_once_more_and_the_answer_to_that_waits() {
    let mut named = with(Ice::Full);
    named.ice_limits.max_named_pairs = 3;
    let (mut village, alice, mut bob) = two_with(named, with(Ice::Full));
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    let first = ufrag(&village.last("INVITE", "INVITE")).to_owned();
    for phone in [&alice, &bob] {
        village.ice_says(phone, selected);
    }
    let paths = events(&call);
    assert!(paths.iter().any(|event| matches!(event, CallEvent::IcePath { .. })), "{paths:?}");
    bob.gathers(1_500);
    village.ladder();
    village.ice_says(&alice, |agent| failed(agent, IceFailure::ConsentExpired));
    village.run(1_000);
    // The re-INVITE is there; its answer waits for Bob's new credentials, and nothing else does.
    assert_eq!(count(&village.ladder(), "INVITE alice>bob"), 1);
    assert!(village.wire("SIP/2.0 200", "INVITE").len() == 1);
    village.run(2_000);
    let (offer, answer) = (village.last("INVITE", "INVITE"), village.last("SIP/2.0 200", "INVITE"));
    assert_ne!(ufrag(&offer), first);
    assert_eq!(ufrag(&answer), bob.agent(|agent| agent.ufrag()));
    assert_know_each_other(&alice, &bob);
    assert!(has_ice(&call) && has_ice(&answered));
    // It does not work either: that is the end.
    village.ice_says(&alice, |agent| failed(agent, IceFailure::NoPath(4)));
    village.run(100);
    let end = end_of(&call);
    assert!(end.failed && end.by == Party::Local, "{end:?}");
    assert_eq!(
        end.reason,
        "no way for media: no path to the peer works: all 4 pairs of addresses were tried \
         (host 192.0.2.1:1 to srflx 192.0.2.9:1: no answer, host 192.0.2.1:2 to srflx 192.0.2.9:2: \
         refused with 400, host 192.0.2.1:3 to srflx 192.0.2.9:3: not tried, and 1 more)"
    );
    assert_eq!(end.ice.as_ref().map(|report| report.pairs.len()), Some(4), "{end:?}");
    let bye = village.last("BYE", "BYE");
    assert!(bye.contains("no way for media"), "{bye}");
    village.run(70_000);
    village.assert_idle();
}

#[test]
fn both_sides_that_lose_the_path_at_once_agree_on_one_restart() {
    let (mut village, alice, mut bob) = two();
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    let first = ufrag(&village.last("INVITE", "INVITE")).to_owned();
    for phone in [&alice, &bob] {
        village.ice_says(phone, selected);
    }
    for phone in [&alice, &bob] {
        village.ice_says(phone, |agent| failed(agent, IceFailure::ConsentExpired));
    }
    village.run(20_000);
    assert_know_each_other(&alice, &bob);
    assert_ne!(alice.agent(|agent| agent.ufrag()), first);
    assert!(has_ice(&call) && has_ice(&answered));
    village.drive(call.hold()).unwrap();
    assert_know_each_other(&alice, &bob);
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn a_peer_that_refuses_to_look_for_another_path_ends_the_call() {
    let (mut village, alice, mut bob) = two();
    let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
    village.ice_says(&alice, selected);
    village.edit(alice.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        Bytes::from(text.replace("RTP/AVP", "RTP/XYZ"))
    });
    village.ice_says(&alice, |agent| failed(agent, IceFailure::ConsentExpired));
    village.run(2_000);
    let end = end_of(&call);
    assert!(end.failed && end.reason.contains("the peer looks for no other (488"), "{end:?}");
}

#[test]
fn a_call_that_never_finds_a_path_ends_by_name_as_soon_as_it_is_up() {
    let (mut village, alice, mut bob) = two();
    let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
    village.ice_says(&alice, |agent| failed(agent, IceFailure::NoRemoteCandidates));
    village.run(100);
    let end = end_of(&call);
    assert!(end.failed && end.reason.contains("the peer gave no address"), "{end:?}");
}

/// Alice, whose calls to `fork` ring Bob and Carol behind a proxy.
fn forking() -> (Village, [Phone; 3]) {
    let mut village = Village::new(33);
    let mut proxy = ServerConfig::new("example.com");
    for user in ["alice", "bob", "carol"] {
        proxy = proxy.user(user, "secret");
    }
    village.server("proxy", "192.0.2.9", proxy);
    village.name("example.com", &["192.0.2.9"]);
    let phones = [("alice", 1), ("bob", 2), ("carol", 3)].map(|(name, n)| {
        let aor = format!("sip:{name}@example.com");
        let config = with(Ice::Full);
        let phone = village.phone(name, &format!("192.0.2.{n}"), &aor, config, |account| {
            let policy = Policy { early_media: EarlyMediaPolicy::Latest, ..Policy::default() };
            account.password("secret").outbound_proxy("sip:192.0.2.9;lr").policy(policy)
        });
        village.drive(phone.account.register()).unwrap();
        phone
    });
    village.ladder();
    (village, phones)
}

#[test]
fn every_branch_of_a_fork_is_another_peer_of_the_same_agent() {
    let (mut village, [alice, mut bob, mut carol]) = forking();
    let call = village.call(&alice, "sip:fork@example.com");
    village.run(400);
    let (to_bob, to_carol) = (bob.incoming(), carol.incoming());
    village.ring_with_media(&bob, &to_bob, 183).unwrap();
    village.run(100);
    assert_eq!(peer_of(&alice), bob.agent(|agent| agent.ufrag()));
    village.ring_with_media(&carol, &to_carol, 183).unwrap();
    village.run(100);
    assert_eq!(peer_of(&alice), carol.agent(|agent| agent.ufrag()));
    // Bob's path fails while Carol is heard: it is no end.
    village.drive(to_bob.answer_early()).unwrap();
    village.drive(call.answered()).unwrap();
    village.run(100);
    assert_know_each_other(&alice, &bob);
    assert_eq!(alice.agent(|agent| agent.peers.len()), 3);
    assert!(has_ice(&call));
    village.run(1_000);
    assert_eq!(carol.agents(), 0);
}

#[test]
fn another_network_begins_anew_with_new_names() {
    let (mut village, mut alice, mut bob) = two();
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    let first = ufrag(&village.last("INVITE", "INVITE")).to_owned();
    let report = village.relocate(&mut alice, "198.51.100.7");
    assert_eq!(report.moved, 1);
    assert_eq!(alice.agent(|agent| agent.networks.clone()).len(), 1);
    village.run(3_000);
    let offer = village.last("INVITE", "INVITE");
    assert_ne!(ufrag(&offer), first);
    assert!(values(&offer, "candidate")[0].contains("198.51.100.7"), "{offer}");
    assert_know_each_other(&alice, &bob);
    assert!(has_ice(&call) && has_ice(&answered));
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn a_call_that_is_being_dialed_elsewhere_shows_its_new_addresses_only() {
    let (mut village, mut alice, mut bob) = two();
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let report = village.relocate(&mut alice, "198.51.100.7");
    assert_eq!(report.restarted, 1);
    village.run(1_000);
    let offer = village.last("INVITE", "INVITE");
    assert!(offer.contains("198.51.100.7") && !values(&offer, "candidate")[0].contains(ALICE));
    let first = bob.incoming();
    let incoming =
        if matches!(first.call().state(), CallState::Ended(_)) { bob.incoming() } else { first };
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(100);
    assert_know_each_other(&alice, &bob);
}

#[test]
fn account_and_call_say_otherwise_than_the_agent() {
    let (mut village, alice, mut bob) = two_with(with(Ice::Full), with(Ice::Lite));
    let call = village.place(&alice, alice.account.call(TO_BOB).ice(Ice::Off));
    village.run(100);
    assert_eq!((alice.agents(), bob.agents()), (0, 0));
    let incoming = bob.incoming();
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    assert!(!has_ice(&call));
    village.drive(call.hangup());
    village.run(100);
    // A lite agent says so, and asks no server.
    let (call, _) = village.connect(&alice, &mut bob, TO_BOB);
    let ok = village.last("SIP/2.0 200", "INVITE");
    assert!(ok.contains("a=ice-lite\r\n"), "{ok}");
    assert!(alice.agent(|agent| agent.peers[0].lite));
    assert!(bob.agent(|agent| agent.setup.config.lite && agent.setup.servers.is_empty()));
    assert!(has_ice(&call));
}

#[test]
fn servers_and_limits_of_the_settings_reach_the_agent() {
    let mut config = with(Ice::Full);
    config.ice_servers.push("stun:192.0.2.80".parse::<IceServer>().unwrap());
    config.ice_limits.policy = crate::ice::Policy::RelayOnly;
    config.media_address = Some(ALICE.parse().unwrap());
    let (mut village, alice, _bob) = two_with(config, Config::default());
    let _call = village.call(&alice, TO_BOB);
    alice.agent(|agent| {
        assert_eq!(agent.setup.servers.len(), 1);
        assert_eq!(agent.setup.config.policy, crate::ice::Policy::RelayOnly);
        assert!(!agent.setup.all_networks, "media stays at its address");
    });
}

/// Bob's late candidate, with its generation's name.
fn late(agent: &MadeUp, port: u16) -> IceNotice {
    let mut candidate = agent.candidate(1, port);
    candidate.ufrag = Some(agent.ufrag());
    IceNotice::Candidate(Box::new(candidate))
}

#[test]
fn candidates_that_come_late_trickle_by_info_both_ways() {
    let (mut village, alice, mut bob) = two();
    let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
    village.ladder();
    for (from, to) in [(&alice, &bob), (&bob, &alice)] {
        village.ice_says(from, |agent| late(agent, 41_000));
        village.ice_says(from, |agent| late(agent, 42_000));
        village.ice_says(from, |_| IceNotice::Done);
        village.run(100);
        let info = village.last("INFO", "INFO");
        assert!(info.contains("Info-Package: trickle-ice\r\n"), "{info}");
        assert!(info.contains("Content-Type: application/trickle-ice-sdpfrag\r\n"), "{info}");
        assert!(info.contains("Content-Disposition: Info-Package\r\n"), "{info}");
        // Each has all that came before it (RFC 8840 §4.4).
        assert_eq!(values(&info, "candidate").len(), 2);
        assert_eq!((ufrag(&info), values(&info, "mid")), (&*from.agent(|a| a.ufrag()), vec!["0"]));
        assert!(info.contains("a=end-of-candidates\r\n"), "{info}");
        let ports = to.agent(|a| a.added.iter().map(|c| c.address.port()).collect::<Vec<_>>());
        assert!(ports.contains(&41_000) && ports.contains(&42_000), "{ports:?}");
        assert!(to.agent(|agent| agent.ended));
    }
    let ladder = village.ladder();
    assert_eq!(count(&ladder, "200 INFO"), 6, "{ladder:?}");
    // A later offer has them too, beside the one of the component that is left.
    village.drive(call.hold()).unwrap();
    assert_eq!(values(&village.last("INVITE", "INVITE"), "candidate").len(), 3);
    ends_like_any_other(village, &call, [&alice, &bob]);
}

#[test]
fn nothing_trickles_to_a_peer_that_does_not_ask_for_it() {
    let (mut village, alice, mut bob) = two();
    village.edit(bob.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        Bytes::from(text.replace("Recv-Info: trickle-ice\r\n", ""))
    });
    let (_call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
    village.ladder();
    village.ice_says(&alice, |agent| late(agent, 41_000));
    village.run(100);
    assert_eq!(count(&village.ladder(), "INFO"), 0);
    village.ice_says(&bob, |agent| late(agent, 41_000));
    village.run(100);
    assert_eq!(count(&village.ladder(), "INFO bob>alice"), 1, "alice has asked for it");
}

#[test]
fn candidates_before_the_answer_are_in_it_and_those_of_others_are_left_out() {
    let (mut village, alice, mut bob) = two();
    let call = village.call(&alice, TO_BOB);
    village.run(400);
    let incoming = bob.incoming();
    village.ice_says(&bob, |agent| late(agent, 41_000));
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(100);
    let ok = village.last("SIP/2.0 200", "INVITE");
    assert!(values(&ok, "candidate").iter().any(|line| line.contains(" 41000 ")), "{ok}");
    // An INFO of a generation that nobody knows, one that cannot be read, and another package.
    let candidate =
        "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 UDP 9 192.0.2.66 1 typ host\r\n";
    let of = |name: &str| {
        format!("a=ice-ufrag:{name}\r\na=ice-pwd:0123456789012345678901\r\n{candidate}")
    };
    for (package, body, status) in [
        ("trickle-ice", of("stranger"), None),
        ("trickle-ice", candidate.to_owned() + "x", Some(400)),
        ("weather", of("stranger"), Some(469)),
    ] {
        let info = answered.request(crate::Method::Info);
        let info = info.header("Info-Package", package);
        let sent = village.drive(info.body("application/trickle-ice-sdpfrag", body).send());
        match (sent, status) {
            (Ok(_), None) => {}
            (Err(Error::Peer { status, .. }), Some(expected)) => assert_eq!(status, expected),
            (other, expected) => panic!("{other:?}, not {expected:?}"),
        }
    }
    assert!(alice.agent(|agent| agent.added.is_empty()));
    let refused = village.last("SIP/2.0 469", "INFO");
    assert!(refused.contains("Recv-Info: trickle-ice\r\n"), "{refused}");
}
