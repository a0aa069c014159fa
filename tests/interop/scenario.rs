//! SIPp with the scenarios of `tests/interop/sipp`: one process, one call, judged by SIPp itself. What
//! it finds wrong is in its log of errors, which a failure shows together with all messages.

use crate::common::{address, on_loopback, uri};
use crate::peers::{Process, free_port, installed, scratch, shared};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tiny_ua::{Account, Audio, Call, CallEvent, Config, Event, IncomingCall, Transport, UserAgent};
use tokio::net::UdpSocket;

/// How long anything may take that is no timer of SIP.
const PATIENCE: Duration = Duration::from_secs(10);

/// One run of a scenario.
pub(crate) struct Sipp {
    process: Process,
    dir: PathBuf,
    scenario: String,
    pub(crate) port: u16,
    pub(crate) media: u16,
}

impl Sipp {
    /// It waits for a call of ours.
    pub(crate) fn called(scenario: &str) -> Self {
        Self::called_with(scenario, &[])
    }

    /// The same with further options of its command line.
    pub(crate) fn called_with(scenario: &str, more: &[&str]) -> Self {
        let sipp = Self::start(scenario, more);
        wait_for_udp(sipp.port);
        sipp
    }

    /// It calls us.
    pub(crate) fn calls(scenario: &str, ua: &UserAgent) -> Self {
        Self::calls_with(scenario, ua, &[])
    }

    /// It calls us, with further options of its command line.
    pub(crate) fn calls_with(scenario: &str, ua: &UserAgent, more: &[&str]) -> Self {
        let target = address(ua).to_string();
        Self::start(scenario, &[&[target.as_str()], more].concat())
    }

    /// It calls us over a connection of its own.
    pub(crate) fn calls_over_tcp(scenario: &str, ua: &UserAgent, more: &[&str]) -> Self {
        let tcp = ua.addresses().iter().find(|(transport, _)| *transport == Transport::Tcp);
        let target = tcp.expect("an address for TCP").1.to_string();
        Self::start(scenario, &[&[target.as_str()], more].concat())
    }

    fn start(scenario: &str, more: &[&str]) -> Self {
        let (dir, port) = (scratch(&format!("sipp-{scenario}")), free_port());
        let media = free_port();
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/interop/sipp/{scenario}.xml"));
        let mut command = Command::new("sipp");
        // A scenario of SIPp's own goes by its name.
        match file.exists() {
            true => command.arg("-sf").arg(file),
            false => command.args(["-sn", scenario]),
        };
        command
            .current_dir(&dir)
            .args(["-i", "127.0.0.1", "-p", &port.to_string()])
            .args(["-mi", "127.0.0.1", "-mp", &media.to_string()])
            .args(["-m", "1", "-nostdin", "-timeout", "90", "-timeout_error"])
            // Nothing is answered that the scenario does not name, and a call goes on when something
            // else comes: what is missed then shows what it was.
            .args([
                "-default_behaviors",
                "all,-bye,-abortunexp",
                "-trace_err",
                "-error_file",
                "errors",
            ])
            .args(["-trace_msg", "-message_file", "messages"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::start(&mut command);
        Self { process, dir, scenario: scenario.to_owned(), port, media }
    }

    /// Where we call it.
    pub(crate) fn uri(&self) -> String {
        format!("sip:sipp@127.0.0.1:{}", self.port)
    }

    /// Waits for its end: its one call went as the scenario says.
    pub(crate) fn succeeded(mut self) {
        self.ended_within(PATIENCE);
    }

    pub(crate) fn ended_within(&mut self, most: Duration) {
        let end = Instant::now() + most;
        let status = loop {
            match self.process.0.try_wait().expect("wait") {
                Some(status) => break Some(status),
                None if Instant::now() > end => break None,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        if status.is_some_and(|status| status.success()) {
            return;
        }
        self.explain(&format!("{status:?}"));
    }

    /// All that is known of what went wrong.
    fn explain(&self, what: &str) -> ! {
        let read = |file: &str| std::fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let scenario = &self.scenario;
        panic!("SIPp, {scenario}: {what}\n{}\n{}", read("errors"), read("messages"))
    }

    /// How often SIPp has got this start of a start line, repetitions included.
    pub(crate) fn received(&self, start: &str) -> usize {
        let text = std::fs::read_to_string(self.dir.join("messages")).unwrap_or_default();
        let received = text.split("message received").skip(1);
        received
            .filter(|part| {
                let lines = part.lines().skip(1).map(str::trim_start);
                lines.take(3).any(|line| line.starts_with(start))
            })
            .count()
    }

    /// Waits for something that takes `what`; SIPp's own view of things explains a failure.
    pub(crate) async fn wait_for<T>(&self, name: &str, what: impl Future<Output = T>) -> T {
        match tokio::time::timeout(PATIENCE, what).await {
            Ok(value) => value,
            Err(_) => self.explain(&format!("no {name} within {PATIENCE:?}")),
        }
    }
}

/// Waits until somebody has this UDP port: whom nobody listens to refuses at once.
pub(crate) fn wait_for_udp(port: u16) {
    let bound = || {
        let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        table.lines().any(|line| {
            let local = line.split_whitespace().nth(1).and_then(|local| local.split_once(':'));
            local.is_some_and(|(_, p)| u16::from_str_radix(p, 16) == Ok(port))
        })
    };
    let patience = Instant::now() + Duration::from_secs(20);
    while !bound() {
        assert!(Instant::now() < patience, "SIPp does not listen at {port}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An agent with PCMU only, and an account that is called directly.
pub(crate) async fn agent(change: impl FnOnce(&mut Config)) -> (UserAgent, Account) {
    let builder = on_loopback().codecs(["pcmu"]).configure(change);
    let ua = builder.build().await.expect("an agent");
    let account = ua.account(uri("alice", &ua)).password("open sesame");
    let account = account.build().await.expect("an account");
    (ua, account)
}

/// A call to SIPp, under way.
pub(crate) async fn place(account: &Account, sipp: &Sipp) -> Call {
    account.call(sipp.uri()).audio(Audio::silent()).await.expect("a call")
}

/// The call that SIPp makes.
pub(crate) async fn incoming(ua: &UserAgent, sipp: &Sipp) -> IncomingCall {
    let incoming = async {
        loop {
            if let Event::IncomingCall(call) = ua.next_event().await.expect("an event") {
                return call;
            }
        }
    };
    sipp.wait_for("call", incoming).await
}

/// The next event of a call that is one of these.
pub(crate) async fn event(
    sipp: &Sipp,
    call: &Call,
    wanted: impl Fn(&CallEvent) -> bool,
) -> CallEvent {
    let found = async {
        loop {
            let event = call.next_event().await.expect("the call goes on");
            if wanted(&event) {
                return event;
            }
        }
    };
    sipp.wait_for("event", found).await
}

/// Where SIPp has its media, as it tells us: a socket of the test's own, since what SIPp echoes has
/// our source identifier and is taken for a loop (RFC 3550 §8.2).
pub(crate) struct Ear(UdpSocket);

impl Ear {
    pub(crate) async fn open() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"))
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Waits for ten packets of PCMU.
    pub(crate) async fn hears(&self, sipp: &Sipp) {
        let heard = async {
            for _ in 0..10 {
                let mut packet = [0; 1500];
                let n = self.0.recv(&mut packet).await.expect("a packet");
                assert!(n > 12 && packet[0] == 0x80 && packet[1] & 0x7f == 0, "{:?}", &packet[..n]);
            }
        };
        sipp.wait_for("sound", heard).await;
    }

    /// Forgets what has come so far.
    pub(crate) fn forget(&self) {
        while !self.is_silent() {}
    }

    /// Nothing has come.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.try_recv(&mut [0; 1500]).is_err()
    }
}

/// Runs a test with SIPp beside others; where SIPp is not installed, it is skipped.
pub(crate) fn with_sipp<F: Future<Output = ()>>(test: F) {
    let _one = shared();
    if installed("sipp") {
        run(test);
    }
}

/// Runs a test with a runtime of its own.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(80), test).await };
    runtime.block_on(limited).expect("in time");
}
