//! A network for one test alone. Agents with ICE leave loopback out, and on the machine's own addresses
//! they would meet whatever else is there: so a thread of the test leaves for a namespace that has a
//! loopback and one interface that leads nowhere. What the thread starts lives there too, and the
//! namespace ends with the last of it: nothing has a name, nothing is left behind.

use nix::sched::{CloneFlags, unshare};
use std::process::Command;

/// The address of the interface.
pub(crate) const ADDRESS: &str = "10.77.0.1";

/// Its address of version 6.
pub(crate) const ADDRESS_6: &str = "fd77::1";

/// Runs a test in a network of its own. That takes root; without it the test is skipped, and fails in CI.
#[allow(clippy::print_stdout)] // People read it.
pub(crate) fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("network".into());
    let there = thread.spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            assert!(std::env::var_os("CI").is_none(), "no network of its own: {error}");
            println!("skipped: a network of its own takes root ({error})");
            return;
        }
        furnish();
        test();
    });
    if let Err(panic) = there.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

fn furnish() {
    let ip = |args: &str| {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let status = Command::new("ip").args(args.split(' ')).env("PATH", path).status();
        assert!(status.as_ref().is_ok_and(|status| status.success()), "ip {args}: {status:?}");
    };
    ip("link set lo up");
    // A pair, because not every kernel has dummies; what goes out at one end is read at neither.
    ip("link add net0 type veth peer name net1");
    ip("link set net0 up");
    ip("link set net1 up");
    ip(&format!("addr add {ADDRESS}/24 dev net0"));
    ip(&format!("addr add {ADDRESS_6}/64 dev net0 nodad"));
    // What is asked by multicast, and what is sent to nobody, must not fail at once.
    ip("route add default via 10.77.0.254 dev net0");
}
