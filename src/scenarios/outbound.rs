//! Two edge proxies and a registrar behind them: Path (RFC 3327), Service-Route (RFC 3608), flows (RFC
//! 5626) and GRUUs (RFC 5627), from the builder of an account to calls that come in.

use super::village::{Phone, Village, end_of};
use crate::testkit::ServerConfig;
use crate::{Account, AccountBuilder, Config, Event};
use std::time::Duration;
use tiny_net::sim::Link;

const REGISTRAR: &str = "192.0.2.10";
const EDGES: [&str; 2] = ["192.0.2.11", "192.0.2.12"];

struct Place {
    village: Village,
    alice: Phone,
}

/// Alice calls from the registrar's domain, without an edge proxy.
fn place(config: impl FnOnce(ServerConfig) -> ServerConfig) -> Place {
    let mut village = Village::new(7);
    let registrar = ServerConfig::new("example.test").user("alice", "a").user("bob", "b");
    village.server("registrar", REGISTRAR, config(registrar));
    let at = format!("{REGISTRAR}:5060").parse().unwrap();
    let mut edge =
        |name: &'static str, ip| village.server(name, ip, ServerConfig::new(name).edge_of(at));
    edge("edge1", EDGES[0]);
    edge("edge2", EDGES[1]);
    let alice = "sip:alice@example.test";
    let alice = village.phone("alice", "192.0.2.1", alice, Config::default(), |account| {
        account.password("a").outbound_proxy(format!("sip:{REGISTRAR};lr"))
    });
    let mut place = Place { village, alice };
    let account = place.alice.account.clone();
    place.village.drive(account.register()).unwrap();
    place
}

fn instance(config: &mut Config, n: u8) {
    config.instance_id = Some(format!("urn:uuid:00000000-0000-4000-8000-00000000000{n}"));
}

impl Place {
    /// A telephone of Bob's.
    fn bob(
        &mut self,
        n: u8,
        describe: impl FnOnce(AccountBuilder) -> AccountBuilder,
    ) -> (Phone, Account) {
        let (name, ip) = [("bob", "192.0.2.2"), ("bob2", "192.0.2.3")][usize::from(n)];
        let mut config = Config::default();
        instance(&mut config, n);
        let aor = "sip:bob@example.test";
        let phone = self.village.phone(name, ip, aor, config, |account| {
            describe(account.password("b").registrar(format!("sip:{REGISTRAR}")))
        });
        let account = phone.account.clone();
        (phone, account)
    }

    /// Alice calls, is answered, and hangs up.
    fn call(&mut self, bob: &mut Phone, to: &str) -> Vec<String> {
        self.village.ladder();
        let call = self.village.call(&self.alice, to);
        self.village.run(40_000);
        let incoming = bob.incoming();
        self.village.answer(bob, &incoming);
        self.village.drive(call.answered()).unwrap();
        self.village.drive(call.hangup());
        self.village.run(1_000);
        assert_eq!(end_of(incoming.call()).by, crate::Party::Remote);
        self.village.ladder()
    }
}

fn through(edge: &str, uri: &str) -> String {
    format!("sip:{edge};{uri}lr")
}

fn flows(account: AccountBuilder, transport: &str) -> AccountBuilder {
    account.flow(through(EDGES[0], transport)).flow(through(EDGES[1], transport))
}

// RFC 5626 §4.2, §5, §6, §7; RFC 3327 §5.
#[test]
fn calls_come_in_over_either_of_two_flows_and_one_flow_is_enough() {
    for transport in ["", "transport=tcp;"] {
        let mut place = place(|config| config);
        let (mut bob, account) = place.bob(0, |account| flows(account, transport));
        place.village.drive(account.register()).unwrap();
        place.village.run(5_000);
        let info = place.village.drive(account.registration()).unwrap();
        let up: Vec<_> =
            info.flows.iter().map(|f| (f.reg_id, f.outbound, f.flow.is_some())).collect();
        assert_eq!(up, [(1, true, true), (2, true, true)]);

        // One device, one branch, by one of the edges.
        let ladder = place.call(&mut bob, "sip:bob@example.test");
        let invites = ladder.iter().filter(|m| m.starts_with("INVITE") && m.ends_with(">bob"));
        assert_eq!(invites.count(), 1, "{ladder:?}");
        let used = ladder.iter().find(|m| m.starts_with("INVITE") && m.ends_with(">bob")).unwrap();
        let (used, other) = match used.as_str() {
            "INVITE edge1>bob" => (0, 1),
            _ => (1, 0),
        };
        // The BYE takes the same way: the edge is on the route of the dialog.
        assert!(ladder.contains(&format!("BYE edge{}>bob", used + 1)), "{ladder:?}");

        // That edge is cut off: the registrar gives up on it and takes the other flow.
        let registrar = REGISTRAR.parse().unwrap();
        let edge = EDGES[used].parse().unwrap();
        let now = place.village.world.now();
        let dead = Link::new().down(now, None);
        place.village.world.network.set_paths(registrar, edge, dead);
        let ladder = place.call(&mut bob, "sip:bob@example.test");
        assert!(ladder.contains(&format!("INVITE edge{}>bob", other + 1)), "{ladder:?}");
        assert!(!ladder.contains(&format!("INVITE edge{}>bob", used + 1)), "{ladder:?}");
    }
}

// RFC 5626 §4.5, §5.3.1, §11.5.
#[test]
fn a_connection_that_breaks_is_told_and_formed_anew_and_calls_take_the_other_meanwhile() {
    let mut place = place(|config| config);
    let (mut bob, account) = place.bob(0, |account| flows(account, "transport=tcp;"));
    place.village.drive(account.register()).unwrap();
    place.village.run(5_000);
    bob.told();
    // Nothing passes between the telephone and the first edge for ten minutes.
    let (here, edge) = (bob.at.ip(), EDGES[0].parse().unwrap());
    let now = place.village.world.now();
    let dead = Link::new().down(now, Some(now + Duration::from_secs(600)));
    place.village.world.network.set_paths(here, edge, dead);
    place.village.run(150_000);
    let told = bob.told();
    let failed = told
        .iter()
        .any(|event| matches!(event, Event::FlowFailed { reg_id: 1, reachable: true, .. }));
    assert!(failed, "no pong came: {told:?}");
    let ladder = place.call(&mut bob, "sip:bob@example.test");
    assert!(ladder.contains(&"INVITE edge2>bob".to_owned()), "{ladder:?}");
    // It is tried again, at most every half hour.
    place.village.run(2_400_000);
    let info = place.village.drive(account.registration()).unwrap();
    assert!(info.flows.iter().all(|flow| flow.flow.is_some()), "{info:?}");
    place.call(&mut bob, "sip:bob@example.test");
}

// RFC 3608 §6.1, RFC 5626 §4.3: and the name of the domain need not be known to anybody.
#[test]
fn requests_take_the_service_route_behind_the_flow() {
    let route = format!("sip:{REGISTRAR};lr");
    let mut place = place(|config| config.service_route(&route));
    let (bob, account) = place.bob(0, |account| flows(account, ""));
    place.village.drive(account.register()).unwrap();
    place.village.run(5_000);
    let info = place.village.drive(account.registration()).unwrap();
    assert!(info.route.last().is_some_and(|last| last.contains(REGISTRAR)), "{info:?}");
    place.village.ladder();
    let call = place.village.call(&bob, "sip:reply-486@example.test");
    let end = place.village.drive(call.ended());
    assert_eq!(end.status, Some(486));
    let ladder = place.village.ladder();
    for step in ["INVITE bob>edge1", "INVITE edge1>registrar", "486 INVITE registrar>edge1"] {
        assert!(ladder.contains(&step.to_owned()), "{ladder:?}");
    }
}

// RFC 5627 §5, §6.1.
#[test]
fn a_gruu_reaches_one_device_and_carries_its_dialogs() {
    let mut place = place(|config| config);
    let proxy = format!("sip:{REGISTRAR};lr");
    let (desk, at_desk) = place.bob(0, |account| account.outbound_proxy(&proxy).gruu());
    let (mut mobile, at_mobile) = place.bob(1, |account| account.outbound_proxy(&proxy).gruu());
    for account in [&at_desk, &at_mobile] {
        place.village.drive(account.register()).unwrap();
    }
    let info = place.village.drive(at_mobile.registration()).unwrap();
    let public = info.public_gruu.unwrap();
    let device = "urn:uuid:00000000-0000-4000-8000-000000000001";
    assert_eq!(public, format!("sip:bob@example.test;gr={device}"));
    let temporary = info.temporary_gruu.unwrap();
    assert!(!temporary.contains("bob"), "{temporary}");
    for gruu in [&public, &temporary] {
        // ACK and BYE go to the GRUU, which is the Contact.
        let ladder = place.call(&mut mobile, gruu);
        assert!(ladder.contains(&"BYE registrar>bob2".to_owned()), "{ladder:?}");
        assert!(!ladder.iter().any(|m| m.ends_with(">bob")), "{ladder:?}");
    }
    let strange = place.village.call(&place.alice, "sip:nobody@example.test;gr");
    assert_eq!(place.village.drive(strange.ended()).status, Some(404));
    place.village.drive(at_mobile.unregister()).unwrap();
    let gone = place.village.call(&place.alice, &public);
    assert_eq!(place.village.drive(gone.ended()).status, Some(480));
    let void = place.village.call(&place.alice, &temporary);
    assert_eq!(place.village.drive(void.ended()).status, Some(404));
    drop(desk);
}

// RFC 5626 §6, §4.2.1.
#[test]
fn a_registrar_without_outbound_gets_a_plain_registration() {
    let mut place = place(|mut config| {
        config.outbound = false;
        config
    });
    let (_bob, account) = place.bob(0, |account| flows(account, ""));
    let registered = place.village.drive(account.register()).unwrap();
    assert!(!registered.outbound);
    place.village.run(5_000);
    let info = place.village.drive(account.registration()).unwrap();
    assert_eq!(info.flows.iter().filter(|flow| flow.flow.is_some()).count(), 1);
}
