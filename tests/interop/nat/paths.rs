//! A telephone with two ways into the world loses the one in use.

use super::calls::{End, start};
use super::internet;
use super::lab::{Home, Internet, Nat};
use super::servers::Servers;
use crate::peers::{Softphone, shared, softphone_binary};
use crate::sound::Presence;
use std::time::Duration;

/// How the way in use ends.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// Its router swallows what it gets.
    Silent,
    /// Its device goes.
    Unplugged,
}

/// A call between a telephone with two uplinks and another, in which the one in use dies: both are heard
/// again within a second. `leaves` tells whether the telephone with two places the call.
fn survives(servers: &Servers, name: &str, n: u32, homes: [&Home; 2], leaves: bool, death: Death) {
    let (one, two) = (format!("10{:02}", 2 * n + 1), format!("10{:02}", 2 * n + 2));
    let (moving, staying) = (End::at(homes[0]), End::at(homes[1]));
    let (caller, callee) = if leaves { (&moving, &staying) } else { (&staying, &moving) };
    let (mut bob, bob_hears) = start(servers, name, &two, callee, 600, &["answer"]);
    bob.expect("registered");
    let to = format!("sip:{two}@sip.test");
    let (mut alice, alice_hears) =
        start(servers, name, &one, caller, 440, &["--for", "14", "call", &to]);
    alice.expect("answered");
    // By then each has found and nominated what it likes best.
    std::thread::sleep(Duration::from_secs(5));
    let phone = if leaves { &mut alice } else { &mut bob };
    let used = way(phone);
    let outer = used["local"].as_str().expect("an address");
    let uplink = homes[0].uplinks.iter().find(|u| outer.starts_with(&format!("{}:", u.outer())));
    let uplink = uplink.unwrap_or_else(|| panic!("{name}: whose is {outer}?"));
    match death {
        Death::Silent => uplink.die(),
        Death::Unplugged => uplink.unplug(homes[0]),
    }
    std::thread::sleep(Duration::from_secs(6));
    let later = way(phone);
    alice.stop();
    bob.stop();
    let stories = || format!("{}{}", alice.story(), bob.story());
    assert_ne!(later["local"], used["local"], "{name}:\n{}", stories());
    let gaps = [(alice_hears, 600.0), (bob_hears, 440.0)].map(|(wav, hz)| {
        let heard = Presence::of(&wav, hz);
        assert!(heard.seconds() > 6.0, "{name}: {} s heard", heard.seconds());
        heard.longest_gap()
    });
    report(name, &used["pair"], &later["pair"], gaps);
    assert!(gaps.iter().all(|gap| *gap < 1.0), "{name}: {gaps:?} s without sound\n{}", stories());
}

#[allow(clippy::print_stdout)] // People read it.
fn report(name: &str, before: &serde_json::Value, after: &serde_json::Value, gaps: [f64; 2]) {
    println!("{name}: {before} then {after}, {:.2} s and {:.2} s without sound", gaps[0], gaps[1]);
}

/// The way that it told last.
fn way(phone: &mut Softphone) -> serde_json::Value {
    phone.read_on();
    let told = phone.events("ice");
    (*told.last().unwrap_or_else(|| panic!("no way was told:\n{}", phone.story()))).clone()
}

#[test]
fn a_call_goes_on_over_the_other_uplink_when_the_one_in_use_dies() {
    let _one = shared();
    let Some(net) = internet() else { return };
    softphone_binary();
    let servers = Servers::start("paths", &net);
    let (net, servers): (&Internet, &Servers) = (&net, &servers);
    let cases = [
        ("caller-silent", true, Death::Silent),
        ("callee-silent", false, Death::Silent),
        ("caller-unplugged", true, Death::Unplugged),
        ("callee-unplugged", false, Death::Unplugged),
    ];
    std::thread::scope(|scope| {
        for (n, (name, leaves, death)) in cases.into_iter().enumerate() {
            scope.spawn(move || {
                let at = 3 * n as u8 + 1;
                let (moving, staying) =
                    (net.home_of_two(at, Nat::Cone), net.home(at + 2, Nat::Cone));
                survives(servers, name, n as u32, [&moving, &staying], leaves, death);
            });
        }
    });
}
