//! A telephone moves while it is called through an edge proxy (RFC 5626): the flow that the INVITE came by
//! is dead, and with it the way of our answer or of its ACK. The caller is called with Replaces (RFC 3891).

use super::village::{Phone, Village, end_of};
use crate::testkit::ServerConfig;
use crate::{Call, CallState, Config, Ice, IncomingCall, Party, SipMessage, Srtp};
use tiny_net::sim::Link;

const REGISTRAR: &str = "192.0.2.10";
const EDGES: [&str; 2] = ["192.0.2.11", "192.0.2.12"];
const ALICE: &str = "192.0.2.1";
const BOB: &str = "192.0.2.2";
const ELSEWHERE: &str = "198.51.100.7";

/// Bob is registered over TCP at both edge proxies; Alice at the registrar, or as he is.
struct Place {
    village: Village,
    alice: Phone,
    bob: Phone,
}

fn place_with(by_edge: bool, config: impl Fn(&mut Config, bool)) -> Place {
    let mut village = Village::new(3);
    let registrar = ServerConfig::new("example.test").user("alice", "a").user("bob", "b");
    village.server("registrar", REGISTRAR, registrar);
    let at = format!("{REGISTRAR}:5060").parse().unwrap();
    for (name, ip) in [("edge1", EDGES[0]), ("edge2", EDGES[1])] {
        village.server(name, ip, ServerConfig::new(name).edge_of(at));
    }
    let mut phone = |name: &'static str, ip, password: &str, edges: bool| {
        let mut own = Config::default();
        let digit = ip_digit(ip);
        own.instance_id = Some(format!("urn:uuid:00000000-0000-4000-8000-00000000000{digit}"));
        config(&mut own, name == "alice");
        let phone = village.phone(name, ip, &format!("sip:{name}@example.test"), own, |account| {
            let account = account.password(password);
            if !edges {
                return account.outbound_proxy(format!("sip:{REGISTRAR};lr"));
            }
            EDGES.iter().fold(account.registrar(format!("sip:{REGISTRAR}")), |account, edge| {
                account.flow(format!("sip:{edge};transport=tcp;lr"))
            })
        });
        village.drive(phone.account.register()).unwrap();
        phone
    };
    let alice = phone("alice", ALICE, "a", by_edge);
    let bob = phone("bob", BOB, "b", true);
    village.run(5_000);
    village.ladder();
    Place { village, alice, bob }
}

fn ip_digit(ip: &str) -> &str {
    &ip[ip.len() - 1..]
}

fn place() -> Place {
    place_with(false, |_, _| ())
}

impl Place {
    /// Alice calls, and it rings at Bob's.
    fn rings(&mut self) -> (Call, IncomingCall, String) {
        let call = self.village.call(&self.alice, "sip:bob@example.test");
        self.village.run(300);
        let incoming = self.bob.incoming();
        self.village.drive(incoming.ring()).unwrap();
        self.village.run(100);
        let ladder = self.village.ladder();
        let edge = ["edge1", "edge2"]
            .into_iter()
            .find(|edge| ladder.contains(&format!("INVITE {edge}>bob")));
        (call, incoming, edge.expect("it came by an edge").to_owned())
    }

    fn cut(&mut self, a: &str, b: &str) {
        let now = self.village.world.now();
        let dead = Link::new().down(now, None);
        self.village.world.network.set_paths(a.parse().unwrap(), b.parse().unwrap(), dead);
    }

    /// Bob goes to where the edge proxy that his call came by cannot be reached, or to where it can.
    fn moves(&mut self, edge: &str, reachable: bool) {
        if !reachable {
            let ip = EDGES[usize::from(edge == "edge2")];
            self.cut(ELSEWHERE, ip);
        }
        self.village.relocate(&mut self.bob, ELSEWHERE);
    }

    /// The INVITEs that name another dialog.
    fn replacing(&self) -> Vec<SipMessage> {
        let all = self.village.said("INVITE");
        all.into_iter().filter(|m| m.header_named("Replaces").is_some()).collect()
    }

    /// Alice's call goes on in another, Bob's is the one he answered; sound meets, holds and the end are
    /// told.
    fn goes_on(&mut self, first: &Call, bobs: &Call) {
        self.village.run(1_000);
        let (old, alices) = self.alice.continued();
        assert_eq!(old, first.id());
        self.village.run(70_000);
        assert!(matches!(first.state(), CallState::Ended(_)), "{:?}", first.state());
        for call in [&alices, bobs] {
            let state = call.state();
            assert!(matches!(state, CallState::Established { .. }), "{state:?}");
        }
        for (one, other) in [(&self.alice, &self.bob), (&self.bob, &self.alice)] {
            let (media, listens) = (one.media(), other.listens());
            assert_eq!((media.len(), listens.len()), (1, 1), "streams of {}", one.at);
            assert_eq!(media[0].remote_rtp, Some(listens[0]), "media of {}", one.at);
            assert_eq!(listens[0].ip(), other.at.ip());
        }
        self.village.drive(alices.hold()).unwrap();
        assert!(matches!(bobs.state(), CallState::Established { held_by_peer: true, .. }));
        self.village.drive(alices.resume()).unwrap();
        self.village.drive(bobs.hold()).unwrap();
        assert!(matches!(alices.state(), CallState::Established { held_by_peer: true, .. }));
        self.village.drive(alices.hangup());
        self.village.run(1_000);
        assert_eq!(end_of(bobs).by, Party::Remote);
        self.village.run(200_000);
        self.village.assert_idle();
    }
}

/// Whom the dialog names: Call-ID, and the tags as the caller sees them.
fn names(replaces: &SipMessage, invite: &SipMessage, ringing: &SipMessage) -> bool {
    let value = replaces.header_named("Replaces").unwrap().to_owned();
    let tag = |address: &str| address.rsplit_once("tag=").unwrap().1.to_owned();
    let local = tag(invite.header_named("From").unwrap());
    let remote = tag(ringing.header_named("To").unwrap());
    let call_id = invite.call_id().unwrap();
    value.starts_with(&format!("{call_id};to-tag={local};from-tag={remote}"))
}

// RFC 3891 §3, §4, §7.1.
#[test]
fn a_call_that_rings_is_answered_by_calling_its_caller_when_its_way_is_gone() {
    for after in [1_000, 8_000, 30_000] {
        let mut place = place();
        let call = place.village.call(&place.alice, "sip:bob@example.test");
        place.village.run(300);
        let incoming = place.bob.incoming();
        place.village.drive(incoming.ring()).unwrap();
        place.village.run(100);
        let (invite, ringing) =
            (place.village.said("INVITE").remove(0), place.village.said("180 INVITE").remove(0));
        let ladder = place.village.ladder();
        let edge = if ladder.contains(&"INVITE edge1>bob".to_owned()) { "edge1" } else { "edge2" };
        place.moves(edge, false);
        place.village.run(after);
        // While it rings nobody is called: the user has not answered.
        assert!(place.replacing().is_empty());
        assert!(matches!(call.state(), CallState::Dialing { ringing: true }));
        let bobs = place.village.answer(&place.bob, &incoming);
        place.village.drive(bobs.answered()).unwrap();
        place.village.run(5_000);
        let replacing = place.replacing();
        let first = &replacing[0];
        assert!(names(first, &invite, &ringing), "{:?}", first.header_named("Replaces"));
        assert_eq!(first.header_named("Require"), Some("replaces"));
        assert_ne!(first.call_id(), invite.call_id());
        assert!(first.header_named("Contact").unwrap().contains(ELSEWHERE));
        // Where no 200 was ever sent the dialog is early, and no other is meant.
        let oks = place.village.said("200 INVITE");
        let none = oks.iter().all(|ok| ok.call_id() != invite.call_id());
        let early = first.header_named("Replaces").unwrap().ends_with(";early-only");
        assert_eq!((early, early), (none, after > 10_000), "after {after} ms");
        place.goes_on(&call, &bobs);
    }
}

#[test]
fn a_caller_that_has_our_200_but_whose_ack_is_lost_is_called_too() {
    let mut place = place();
    let (call, incoming, edge) = place.rings();
    place.moves(&edge, true);
    place.village.run(500);
    let bobs = place.village.answer(&place.bob, &incoming);
    place.village.run(1_000);
    // The edge proxy takes the 200 from anywhere; the ACK it sends over the flow of before.
    assert!(matches!(call.state(), CallState::Established { .. }), "{:?}", call.state());
    place.village.run(5_000);
    let replacing = place.replacing();
    let value = replacing[0].header_named("Replaces").unwrap();
    assert!(!value.contains("early-only"), "{value}");
    place.goes_on(&call, &bobs);
}

#[test]
fn a_200_under_way_when_we_move_is_followed_by_a_call() {
    for (wait, reachable) in [(1, true), (12, false), (15, true), (20, false)] {
        let mut place = place();
        let (call, incoming, edge) = place.rings();
        let bobs = place.village.answer(&place.bob, &incoming);
        place.village.run(wait);
        place.moves(&edge, reachable);
        place.village.run(20_000);
        place.goes_on(&call, &bobs);
    }
}

#[test]
fn a_call_that_was_answered_without_a_network_goes_on_with_the_next() {
    let mut place = place();
    let (call, incoming, edge) = place.rings();
    place.village.cut_off(&place.bob);
    place.village.run(1_000);
    let bobs = place.village.answer(&place.bob, &incoming);
    place.village.run(1_000);
    place.moves(&edge, false);
    place.village.run(20_000);
    place.goes_on(&call, &bobs);
}

#[test]
fn the_keys_are_others_in_the_call_that_takes_the_place() {
    let mut place = place_with(false, |config, _| config.srtp = Srtp::Sdes);
    let (call, incoming, edge) = place.rings();
    place.moves(&edge, true);
    place.village.run(500);
    let bobs = place.village.answer(&place.bob, &incoming);
    place.village.run(6_000);
    assert_eq!(place.bob.keys().len(), 1);
    place.goes_on(&call, &bobs);
}

#[test]
fn a_caller_is_called_with_the_ice_that_was_gathered_for_its_call() {
    let mut place = place_with(false, |config, _| config.ice = Ice::Full);
    let (call, incoming, edge) = place.rings();
    assert_eq!(place.bob.agents(), 1);
    place.moves(&edge, true);
    place.village.run(500);
    let bobs = place.village.answer(&place.bob, &incoming);
    place.village.run(6_000);
    // The same ports, and no others beside.
    assert_eq!(place.bob.agents(), 1);
    let replacing = place.replacing();
    let offer = String::from_utf8_lossy(replacing[0].body()).into_owned();
    let ufrag = place.bob.agent(|agent| agent.ufrag());
    assert!(offer.contains(&format!("a=ice-ufrag:{ufrag}\r\n")), "{offer}");
    let (_, alices) = place.alice.continued();
    for call in [&alices, &bobs] {
        let CallState::Established { codec: Some(codec), .. } = call.state() else { panic!() };
        assert!(codec.ice);
    }
    place.village.drive(alices.hangup());
    place.village.run(270_000);
    assert!(matches!(call.state(), CallState::Ended(_)));
    assert_eq!((place.alice.agents(), place.bob.agents()), (0, 0));
    place.village.assert_idle();
}

// The Contact leads nowhere from our side: the address of record does.
#[test]
fn a_caller_whose_contact_cannot_be_reached_is_called_by_its_name() {
    let mut place = place_with(true, |_, _| ());
    let (call, incoming, edge) = place.rings();
    place.cut(REGISTRAR, ALICE);
    place.moves(&edge, false);
    place.village.run(15_000);
    let bobs = place.village.answer(&place.bob, &incoming);
    place.village.run(10_000);
    let uris: Vec<_> = place.replacing().iter().map(|m| m.request_uri().to_owned()).collect();
    assert!(uris[0].contains(ALICE), "{uris:?}");
    assert!(uris.iter().any(|uri| uri == "sip:alice@example.test"), "{uris:?}");
    place.goes_on(&call, &bobs);
}

#[test]
fn a_caller_who_has_hung_up_meanwhile_is_not_called_to_the_telephone() {
    let mut place = place();
    let (call, incoming, edge) = place.rings();
    place.moves(&edge, false);
    place.village.run(15_000);
    // Her CANCEL follows the INVITE, to where Bob was.
    let hangup = call.hangup();
    place.village.drive(hangup);
    place.village.run(40_000);
    assert!(!matches!(incoming.call().state(), CallState::Ended(_)));
    place.alice.told();
    let bobs = place.village.answer(&place.bob, &incoming);
    place.village.run(2_000);
    let end = end_of(&bobs);
    assert_eq!((end.by, end.reason.as_str()), (Party::Remote, "the caller is gone"), "{end:?}");
    assert!(matches!(end.status, Some(481 | 603)), "{end:?}");
    assert!(place.alice.told().is_empty());
    place.village.run(200_000);
    place.village.assert_idle();
}

#[test]
fn a_caller_that_does_not_know_replaces_is_not_called() {
    let mut place = place_with(false, |config, alice| {
        config.sip.supported.retain(|tag| !alice || tag != "replaces");
    });
    let (call, incoming, edge) = place.rings();
    place.moves(&edge, false);
    place.village.run(15_000);
    let bobs = place.village.answer(&place.bob, &incoming);
    place.village.run(60_000);
    assert!(place.replacing().is_empty());
    assert_eq!(end_of(&bobs).reason, "no ACK came");
    drop(call);
}

#[test]
fn a_call_that_is_hung_up_while_its_caller_is_being_called_leaves_nothing() {
    for (wait, reachable) in [(0, false), (7, false), (16, false), (4_100, true)] {
        let mut place = place();
        let (call, incoming, edge) = place.rings();
        place.moves(&edge, reachable);
        place.village.run(15_000);
        let bobs = place.village.answer(&place.bob, &incoming);
        place.village.run(wait);
        place.village.drive(bobs.hangup());
        place.village.run(40_000);
        assert!(matches!(bobs.state(), CallState::Ended(_)));
        place.village.drive(call.hangup());
        place.village.run(250_000);
        place.village.assert_idle();
    }
}

#[test]
fn a_second_move_while_the_caller_is_being_called_calls_again() {
    for wait in [1, 2_000, 6_000] {
        let mut place = place();
        let (call, incoming, edge) = place.rings();
        place.moves(&edge, false);
        place.village.run(15_000);
        // Nothing gets out of that network any more.
        EDGES.iter().for_each(|ip| place.cut(ELSEWHERE, ip));
        place.cut(ELSEWHERE, REGISTRAR);
        let bobs = place.village.answer(&place.bob, &incoming);
        place.village.run(wait);
        place.village.relocate(&mut place.bob, "198.51.100.8");
        place.village.run(20_000);
        place.goes_on(&call, &bobs);
    }
}

// RFC 5626 §4.3.
#[test]
fn a_call_that_is_placed_anew_waits_for_the_flow_it_is_to_take() {
    for reachable in [true, false] {
        let mut place = place();
        let call = place.village.call(&place.bob, "sip:alice@example.test");
        place.village.run(300);
        let first = place.alice.incoming();
        place.village.drive(first.ring()).unwrap();
        place.village.run(100);
        let ladder = place.village.ladder();
        let edge = if ladder.contains(&"INVITE bob>edge1".to_owned()) { "edge1" } else { "edge2" };
        place.moves(edge, reachable);
        place.village.run(20_000);
        let ladder = place.village.ladder();
        let at = |what: &str| ladder.iter().position(|step| step.starts_with(what));
        let registered = ladder
            .iter()
            .position(|step| step.starts_with("200 REGISTER edge") && step.ends_with(">bob"));
        let invited = at("INVITE bob>");
        assert!(registered.is_some() && registered < invited, "{ladder:?}");
        let incoming = place.alice.incoming();
        let alices = place.village.answer(&place.alice, &incoming);
        place.village.drive(call.answered()).unwrap();
        place.village.run(500);
        place.village.drive(alices.hangup());
        place.village.run(100_000);
        assert!(matches!(call.state(), CallState::Ended(_)));
    }
}
