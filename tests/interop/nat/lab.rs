//! Networks inside the kernel: a public one, and behind NATs those of telephones.
//!
//! Namespaces have no names: threads enter them, processes inherit them, and the kernel takes them away
//! with the last file or process that holds them, however a test ends.
//!
//! ```text
//!   telephone 10.N.0.2 -- NAT 10.N.0.1 | 198.51.100.(10+N) --\
//!                      2001:db8:N::1 | 2001:db8::(10+N)    | 198.51.100.0/24, 2001:db8::/64
//!   telephone …        -- NAT …          --------------------- bridge: .1 proxy, .3 and .4 STUN and TURN
//! ```

use nix::sched::{CloneFlags, setns, unshare};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Where the proxy is.
pub(crate) const PROXY: [&str; 2] = ["198.51.100.1", "2001:db8::1"];
/// Where STUN and TURN are, and the second address that RFC 5780 wants.
pub(crate) const TURN: [&str; 2] = ["198.51.100.3", "2001:db8::3"];
pub(crate) const SECOND: &str = "198.51.100.4";

/// What a NAT does to what goes out, and lets in (RFC 4787 §4.1, §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nat {
    /// Endpoint-independent mapping and filtering: a full cone.
    Open,
    /// Endpoint-independent mapping, filtering by address and port: a port-restricted cone.
    Cone,
    /// A new port for each destination.
    Symmetric,
    /// None, but a public address; nothing is kept out.
    None,
    /// A firewall around it, which lets nothing out but TCP to these three: 443, 5061 and 5349.
    NoUdp,
}

/// A network stack of its own.
pub(crate) struct Namespace(File);

/// All of them until this process ends: while the kernel takes some away, whoever asks it for addresses
/// or routes has to wait, in other namespaces too.
static KEPT: Mutex<Vec<File>> = Mutex::new(Vec::new());

impl Namespace {
    /// None where the system does not let us: this takes root.
    pub(crate) fn new() -> Option<Self> {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).ok()?;
            File::open("/proc/thread-self/ns/net").ok()
        });
        let new = Self(made.join().expect("a thread")?);
        let kept = new.0.try_clone().expect("another handle");
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        new.ip("link set lo up");
        Some(new)
    }

    /// Does something inside; what it opens and starts stays there.
    pub(crate) fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).expect("into the namespace");
            what()
        };
        let done = std::thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs lines of `ip`.
    pub(crate) fn ip(&self, lines: &str) {
        self.feed(Command::new("ip").args(["-batch", "-"]), lines);
    }

    /// The same for one family, "-4" or "-6", where the lines do not tell it.
    fn ip_of(&self, family: &str, lines: &str) {
        self.feed(Command::new("ip").args([family, "-batch", "-"]), lines);
    }

    /// Runs a script of `nft`.
    pub(crate) fn nft(&self, script: &str) {
        self.feed(Command::new("nft").args(["-f", "-"]), script);
    }

    fn feed(&self, command: &mut Command, input: &str) {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let piped = command.env("PATH", path).stdin(Stdio::piped());
        let piped = piped.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.run(|| piped.spawn()).expect("a program of the system");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} says:\n{said}for:\n{input}");
    }

    /// Sets a switch under `/proc/sys/net`.
    fn switch(&self, name: &str) {
        let path = format!("/proc/sys/net/{name}");
        self.run(|| std::fs::write(&path, "1")).unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    /// What `ip … netns` takes.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// The public network.
pub(crate) struct Internet {
    pub(crate) public: Namespace,
}

impl Internet {
    pub(crate) fn new() -> Option<Self> {
        let public = Namespace::new()?;
        // Without a route into the void, a server finds private addresses unreachable, and coturn closes
        // the allocation of who asked for one.
        let mut lines = "link add br0 type bridge\nlink set br0 up\n".to_owned();
        for address in [PROXY[0], TURN[0], SECOND] {
            let _ = writeln!(lines, "addr add {address}/24 dev br0");
        }
        for address in [PROXY[1], TURN[1]] {
            let _ = writeln!(lines, "addr add {address}/64 dev br0 nodad");
        }
        for void in ["198.51.100.254", "2001:db8::fe"] {
            let _ = writeln!(lines, "neigh add {void} lladdr 02:00:00:00:00:fe dev br0");
            let _ = writeln!(lines, "route add default via {void}");
        }
        public.ip(&lines);
        public.switch("ipv4/ip_forward");
        public.switch("ipv6/conf/all/forwarding");
        Some(Self { public })
    }

    /// A network at home, the `n`th, and its NAT: IPv4 alone.
    pub(crate) fn home(&self, n: u8, nat: Nat) -> Home {
        self.home_of_both(n, nat).without("-6")
    }

    /// The same with IPv6 beside, through a firewall.
    pub(crate) fn home_of_both(&self, n: u8, nat: Nat) -> Home {
        let client = Namespace::new().expect("as the first");
        let uplink = Uplink::new(self, &client, n, nat, "eth");
        Home { client, uplinks: vec![uplink] }
    }

    /// A telephone with two uplinks, the `n`th and the one after it.
    pub(crate) fn home_of_two(&self, n: u8, nat: Nat) -> Home {
        let client = Namespace::new().expect("as the first");
        let first = Uplink::new(self, &client, n, nat, "wifi");
        let second = Uplink::new(self, &client, n + 1, nat, "cell");
        Home { client, uplinks: vec![first, second] }.without("-6")
    }
}

/// A telephone's place, and its ways out.
pub(crate) struct Home {
    pub(crate) client: Namespace,
    pub(crate) uplinks: Vec<Uplink>,
}

impl Home {
    /// Takes the addresses of one family away.
    pub(crate) fn without(self, family: &str) -> Self {
        for Uplink { device, .. } in &self.uplinks {
            self.client.ip_of(family, &format!("addr flush dev {device}"));
        }
        self
    }

    /// The private address behind its first uplink.
    pub(crate) fn address(&self) -> IpAddr {
        format!("10.{}.0.2", self.uplinks[0].n).parse().expect("an address")
    }
}

/// One way out.
pub(crate) struct Uplink {
    router: Namespace,
    device: String,
    n: u8,
}

impl Uplink {
    fn new(internet: &Internet, client: &Namespace, n: u8, nat: Nat, device: &str) -> Self {
        let router = Namespace::new().expect("as the first");
        let (public, inside) = (internet.public.path(), client.path());
        let (out, table) = (10 + n, 100 + u16::from(n));
        router.ip(&format!(
            "link add wan type veth peer name w{n} netns {public}\n\
             link add lan type veth peer name {device} netns {inside}\n\
             addr add 198.51.100.{out}/24 dev wan\naddr add 2001:db8::{out}/64 dev wan nodad\n\
             addr add 10.{n}.0.1/24 dev lan\naddr add 2001:db8:{n}::1/64 dev lan nodad\n\
             link set wan up\nlink set lan up\n\
             route add default via 198.51.100.1\nroute add default via 2001:db8::1\n"
        ));
        let reached = match nat {
            Nat::None => format!("route add 10.{n}.0.0/24 via 198.51.100.{out}\n"),
            _ => String::new(),
        };
        internet.public.ip(&format!(
            "link set w{n} master br0 up\nroute add 2001:db8:{n}::/64 via 2001:db8::{out}\n{reached}"
        ));
        // Each address has a table of its own, so that what comes from it leaves by its own uplink.
        client.ip(&format!(
            "addr add 10.{n}.0.2/24 dev {device}\naddr add 2001:db8:{n}::2/64 dev {device} nodad\n\
             link set {device} up\n\
             route add default via 10.{n}.0.1 metric {n}\n\
             route add default via 2001:db8:{n}::1 metric {n}\n\
             route add default via 10.{n}.0.1 table {table}\n\
             route add default via 2001:db8:{n}::1 table {table}\n\
             rule add from 10.{n}.0.2 table {table}\n"
        ));
        client.ip_of("-6", &format!("rule add from 2001:db8:{n}::2 table {table}\n"));
        router.switch("ipv4/ip_forward");
        router.switch("ipv6/conf/all/forwarding");
        router.nft(&rules(n, nat));
        Self { router, device: device.into(), n }
    }

    /// Its address in the public network.
    pub(crate) fn outer(&self) -> String {
        format!("198.51.100.{}", 10 + self.n)
    }

    /// It swallows all datagrams from now on, and says nothing.
    pub(crate) fn die(&self) {
        self.router.nft(
            "table inet dead {\nchain gone {\ntype filter hook forward priority -10\nmeta l4proto udp drop\n}\n}\n",
        );
    }

    /// The device at its end is pulled out.
    pub(crate) fn unplug(&self, home: &Home) {
        home.client.ip(&format!("link set {} down", self.device));
    }
}

/// The rules of a router. What nobody asked for has to vanish before the kernel remembers it, or it takes
/// the place of the mapping that a hole is punched with.
fn rules(n: u8, nat: Nat) -> String {
    if nat == Nat::None {
        return String::new();
    }
    let how = if nat == Nat::Symmetric { "masquerade fully-random" } else { "masquerade" };
    let back = match nat {
        Nat::Open => format!("iifname \"wan\" udp dport 1024-65535 dnat to 10.{n}.0.2"),
        _ => String::new(),
    };
    let out = match nat {
        Nat::NoUdp => {
            "iifname \"lan\" tcp dport != { 443, 5061, 5349 } drop\n\
                       iifname \"lan\" meta l4proto != tcp drop"
        }
        _ => "",
    };
    let new = match nat {
        Nat::Open => "iifname \"wan\" ct state new ct status dnat accept",
        _ => "",
    };
    format!(
        "table ip nat {{
            chain back {{ type nat hook prerouting priority -100; {back}
            }}
            chain out {{ type nat hook postrouting priority 100; oifname \"wan\" {how}; }}
        }}
        table inet filter {{
            chain input {{ type filter hook input priority 0; iifname \"wan\" meta l4proto {{ tcp, udp }} ct state new drop; }}
            chain forward {{ type filter hook forward priority 0;
                {out}
                {new}
                iifname \"wan\" ct state new drop
            }}
        }}"
    )
}
