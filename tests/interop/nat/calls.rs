//! Calls between softphones across NATs: which pair carries them, how soon and how well they are heard.

use super::internet;
use super::lab::{Home, Internet, Nat, TURN};
use super::servers::{Family, Servers};
use crate::kamailio::phone;
use crate::peers::{Softphone, scratch, shared, softphone_binary};
use crate::sound::Presence;
use std::path::PathBuf;

/// How long each call lasts from its answer on.
const LASTS: f64 = 6.0;
/// How soon after the call is placed both have to hear each other.
const SOON: f64 = 3.0;

/// One end of a call.
pub(super) struct End<'a> {
    pub(super) home: &'a Home,
    pub(super) family: Family,
    /// Of SIP.
    pub(super) transport: &'a str,
    /// Options for the way of media.
    pub(super) options: Vec<String>,
}

impl<'a> End<'a> {
    /// Over IPv4 and TCP, with a STUN server and a relay over UDP.
    pub(super) fn at(home: &'a Home) -> Self {
        let options = words(&format!("--stun stun:{0} --turn turn:lab:labsecret@{0}", TURN[0]));
        Self { home, family: Family::Four, transport: "tcp", options }
    }

    pub(super) fn with(mut self, options: &str) -> Self {
        self.options = words(options);
        self
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// A softphone there, and the file of what it hears.
pub(super) fn start(
    servers: &Servers,
    name: &str,
    user: &str,
    end: &End<'_>,
    hz: u32,
    rest: &[&str],
) -> (Softphone, PathBuf) {
    let dir = scratch(&format!("nat-{name}-{user}"));
    let (wav, trace) = (dir.join("heard.wav"), dir.join("trace.pcapng").display().to_string());
    let heard = wav.display().to_string();
    let mut args = servers.account(user, end.family, end.transport);
    args.extend(end.options.iter().cloned());
    let tone = format!("tone:{hz}");
    let media = ["--codecs", "pcmu", "--input", &tone, "--output", &heard, "--trace", &trace];
    let rest = [&media, rest].concat();
    let name = format!("{name} {user}");
    (end.home.client.run(|| phone(&name, &args, &rest)), wav)
}

/// What became of a call.
#[derive(Debug)]
pub(super) struct Talk {
    /// The pair of the caller and that of the callee, of their last word.
    pub(super) pairs: [String; 2],
    /// Seconds from the call until the caller and the callee hear the other.
    pub(super) until_sound: [f64; 2],
}

/// A call from one to the other; both are heard for long enough.
pub(super) fn talk(
    servers: &Servers,
    name: &str,
    n: u32,
    caller: &End<'_>,
    callee: &End<'_>,
) -> Talk {
    let (one, two) = (format!("10{:02}", 2 * n + 1), format!("10{:02}", 2 * n + 2));
    let (mut bob, bob_hears) = start(servers, name, &two, callee, 600, &["answer"]);
    bob.expect("registered");
    let (to, lasts) = (format!("sip:{two}@sip.test"), LASTS.to_string());
    let rest = ["--for", &lasts, "call", &to];
    let (mut alice, alice_hears) = start(servers, name, &one, caller, 440, &rest);
    for phone in [&mut alice, &mut bob] {
        phone.expect("answered");
    }
    // What was heard until then counts; how calls end through a proxy is seen elsewhere.
    assert_eq!(alice.expect("ended")["by"], "local", "{name}:\n{}", alice.story());
    // Before the other notices that nobody is there any more.
    bob.read_on();
    let pairs = [&alice, &bob].map(last_pair);
    alice.stop();
    bob.stop();
    // The call is placed when the registration stands, and lasts from its answer on.
    let at = |event: &str| alice.events(event)[0]["t"].as_f64().expect("a time");
    let until_answer = at("answered") - at("registered");
    let until_sound = [(alice_hears, 600.0), (bob_hears, 440.0)].map(|(wav, hz)| {
        let heard = Presence::of(&wav, hz);
        until_answer + LASTS - heard.seconds()
    });
    let talk = Talk { pairs, until_sound };
    report(name, &talk);
    assert!(talk.until_sound.iter().all(|s| *s < SOON), "{name}: {talk:?}: heard too late");
    talk
}

#[allow(clippy::print_stdout)] // People read it.
fn report(name: &str, talk: &Talk) {
    let [one, two] = &talk.pairs;
    let [a, b] = talk.until_sound;
    println!("{name}: {one} and {two}, heard after {a:.2} s and {b:.2} s");
}

pub(super) fn last_pair(phone: &Softphone) -> String {
    let told = phone.events("ice");
    let last = told.last().unwrap_or_else(|| panic!("no way was told:\n{}", phone.story()));
    last["pair"].as_str().expect("a pair").to_owned()
}

/// Calls, all at a time: name, the NATs of caller and callee, and whether a relay carries it.
fn calls(world: &str, cases: &[(&str, Nat, Nat, bool)]) {
    let _one = shared();
    let Some(net) = internet() else { return };
    softphone_binary();
    let servers = Servers::start(world, &net);
    let (net, servers): (&Internet, &Servers) = (&net, &servers);
    std::thread::scope(|scope| {
        for (n, (name, one, two, relayed)) in cases.iter().copied().enumerate() {
            scope.spawn(move || {
                let n = n as u8;
                let (a, b) = (net.home(2 * n + 1, one), net.home(2 * n + 2, two));
                let talk = talk(servers, name, n.into(), &End::at(&a), &End::at(&b));
                let relay = talk.pairs.iter().any(|pair| pair.contains("relay"));
                assert_eq!(relay, relayed, "{name}: {talk:?}");
            });
        }
    });
}

#[test]
fn who_is_behind_nats_is_called_directly_where_one_of_them_lets_it_in() {
    let cases = [
        ("cone-cone", Nat::Cone, Nat::Cone, false),
        ("open-symmetric", Nat::Open, Nat::Symmetric, false),
        ("symmetric-open", Nat::Symmetric, Nat::Open, false),
    ];
    calls("direct", &cases);
}

#[test]
fn who_is_behind_a_nat_that_hides_its_ports_is_called_through_the_relay() {
    let cases = [
        ("cone-symmetric", Nat::Cone, Nat::Symmetric, true),
        ("symmetric-cone", Nat::Symmetric, Nat::Cone, true),
        ("symmetric-symmetric", Nat::Symmetric, Nat::Symmetric, true),
    ];
    calls("relayed", &cases);
}

/// A relay over that transport.
fn relay(family: Family, transport: &str) -> String {
    let at = match family {
        Family::Four => TURN[0].to_owned(),
        Family::Six => format!("[{}]", TURN[1]),
    };
    match transport {
        "tls" => format!("--turn turns:lab:labsecret@{at}:5349"),
        other => format!("--turn turn:lab:labsecret@{at}:3478?transport={other}"),
    }
}

#[test]
fn a_relay_carries_a_call_over_udp_tcp_and_tls() {
    let _one = shared();
    let Some(net) = internet() else { return };
    softphone_binary();
    let servers = Servers::start("transports", &net);
    let (net, servers): (&Internet, &Servers) = (&net, &servers);
    std::thread::scope(|scope| {
        for (n, transport) in ["udp", "tcp", "tls"].into_iter().enumerate() {
            scope.spawn(move || {
                let n = n as u8;
                let homes =
                    (net.home(2 * n + 1, Nat::Symmetric), net.home(2 * n + 2, Nat::Symmetric));
                let relay = relay(Family::Four, transport);
                let ends = (End::at(&homes.0).with(&relay), End::at(&homes.1).with(&relay));
                let name = format!("relay over {transport}");
                let talk = talk(servers, &name, n.into(), &ends.0, &ends.1);
                assert!(talk.pairs.iter().any(|p| p.contains("relay")), "{name}: {talk:?}");
            });
        }
    });
}

#[test]
fn who_has_no_udp_at_all_calls_and_is_called_through_a_relay_over_tls() {
    let _one = shared();
    let Some(net) = internet() else { return };
    softphone_binary();
    let servers = Servers::start("blocked", &net);
    let (net, servers): (&Internet, &Servers) = (&net, &servers);
    let cases = [
        ("blocked-cone", Nat::NoUdp, Nat::Cone),
        ("cone-blocked", Nat::Cone, Nat::NoUdp),
        ("blocked-blocked", Nat::NoUdp, Nat::NoUdp),
    ];
    std::thread::scope(|scope| {
        for (n, (name, one, two)) in cases.into_iter().enumerate() {
            scope.spawn(move || {
                let n = n as u8;
                let (a, b) = (net.home(2 * n + 1, one), net.home(2 * n + 2, two));
                let end = |home, nat| {
                    let mut end = End::at(home);
                    end.options.extend(words(&relay(Family::Four, "tls")));
                    if nat == Nat::NoUdp {
                        end.transport = "tls";
                    }
                    end
                };
                let talk = talk(servers, name, n.into(), &end(&a, one), &end(&b, two));
                assert!(talk.pairs.iter().any(|p| p.contains("relay")), "{name}: {talk:?}");
            });
        }
    });
}

#[test]
fn who_has_ipv6_alone_talks_to_who_has_both_and_to_who_has_ipv4_alone() {
    let _one = shared();
    let Some(net) = internet() else { return };
    softphone_binary();
    let servers = Servers::start("six", &net);
    let (net, servers): (&Internet, &Servers) = (&net, &servers);
    let cases = [
        ("six-both", Family::Six, Family::Four, "", false),
        ("both-six", Family::Four, Family::Six, "", false),
        ("six-four", Family::Six, Family::Four, "-6", true),
    ];
    std::thread::scope(|scope| {
        for (n, (name, one, two, without, relayed)) in cases.into_iter().enumerate() {
            scope.spawn(move || {
                let n = n as u8;
                let home = |n, family| match (family, without) {
                    (Family::Six, _) => net.home_of_both(n, Nat::Cone).without("-4"),
                    (Family::Four, "") => net.home_of_both(n, Nat::Cone),
                    (Family::Four, _) => net.home(n, Nat::Cone),
                };
                let (a, b) = (home(2 * n + 1, one), home(2 * n + 2, two));
                let end = |home, family| {
                    let mut end = End::at(home).with(&relay(family, "udp"));
                    end.family = family;
                    end
                };
                let talk = talk(servers, name, n.into(), &end(&a, one), &end(&b, two));
                let relay = talk.pairs.iter().any(|pair| pair.contains("relay"));
                assert_eq!(relay, relayed, "{name}: {talk:?}");
            });
        }
    });
}
