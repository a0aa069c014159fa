//! Starting, watching and ending peers and softphones.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::time::{Duration, Instant};

static MACHINE: RwLock<()> = RwLock::new(());

/// For scenarios that mostly wait: as many at a time as there are test threads.
pub(crate) fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// For loads: nothing else meanwhile.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a program is installed. Says so when it is not; in CI that is a failure.
#[allow(clippy::print_stdout)] // People read it.
pub(crate) fn installed(program: &str) -> bool {
    let dirs = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin"];
    let found = dirs.iter().any(|d| Path::new(d).join(program).exists());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed, and this is CI");
        println!("skipped: {program} not installed");
    }
    found
}

/// A directory for the files of one scenario, empty at its start.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = directory(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("scratch directory");
    dir
}

/// The directory of that name as it is.
pub(crate) fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name)
}

/// An even port that is nobody's, by UDP and TCP, and so are the three after it: peers put RTCP, TLS and
/// a second stream beside the port that they are given. It is below the ports of our own media and those
/// that systems hand out by themselves, so that nobody takes it meanwhile, and no other test gets it.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const PLACES: u16 = (16_384 - FIRST) / 4;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port| {
        UdpSocket::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
    };
    for _ in 0..PLACES {
        let port = FIRST + 4 * (NEXT.fetch_add(1, Ordering::Relaxed) % PLACES);
        if (port..port + 4).all(is_free) {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// A process that ends with its owner.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        Self(command.spawn().unwrap_or_else(|e| panic!("{shown}: {e}")))
    }

    pub(crate) fn interrupt(&self) {
        signal(self.0.id(), "INT");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }

    /// Asks it to end, and ends it when it does not.
    pub(crate) fn end(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            signal(self.0.id(), "TERM");
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end && matches!(self.0.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Waits for its end, at most so long.
    pub(crate) fn wait(&mut self, most: Duration) -> ExitStatus {
        let end = Instant::now() + most;
        loop {
            if let Some(status) = self.0.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < end, "the process did not end within {most:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
}

pub(crate) fn softphone_binary() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let me = std::env::current_exe().expect("own path");
        let profile = me.ancestors().nth(2).expect("target/<profile>/deps");
        let path = profile.join("examples/softphone");
        let mut build = Command::new(env!("CARGO"));
        // As all tests are built, so that nothing is built twice.
        build.args(["build", "--quiet", "--workspace", "--exclude", "tiny-ua-benches"]);
        build.args(["--all-features", "--example", "softphone"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo").success(), "the softphone does not build");
        path
    })
}

/// A softphone with `--json`, and the events it has told so far.
pub(crate) struct Softphone {
    pub(crate) process: Process,
    lines: mpsc::Receiver<Value>,
    pub(crate) seen: Vec<Value>,
    name: String,
}

impl Softphone {
    /// `name` is for messages; `args` as a user would type them.
    pub(crate) fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(softphone_binary());
        command.arg("--json").args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let out = process.0.stdout.take().expect("stdout");
        let (to, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line)
                    .unwrap_or_else(|e| panic!("--json printed something else: {line:?}: {e}"));
                if to.send(value).is_err() {
                    return;
                }
            }
        });
        Self { process, lines, seen: Vec::new(), name: name.into() }
    }

    /// The next event of that name, within 15 s.
    pub(crate) fn expect(&mut self, event: &str) -> Value {
        self.expect_within(event, Duration::from_secs(15))
    }

    pub(crate) fn expect_within(&mut self, event: &str, most: Duration) -> Value {
        let end = Instant::now() + most;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) => {
                    self.seen.push(value.clone());
                    if value["event"] == event {
                        return value;
                    }
                }
                Err(_) => {
                    panic!("{}: no '{event}' within {most:?}; saw\n{}", self.name, self.story())
                }
            }
        }
    }

    /// Takes in what it has told meanwhile.
    pub(crate) fn read_on(&mut self) {
        self.seen.extend(self.lines.try_iter());
    }

    pub(crate) fn interrupt(&self) {
        self.process.interrupt();
    }

    /// Ends it, whatever it is doing; what it has told lands in `seen`.
    pub(crate) fn stop(&mut self) {
        self.process.end();
        self.read_on();
    }

    /// Waits for its end and gives its exit status; the rest of the events lands in `seen`.
    pub(crate) fn finish(&mut self) -> i32 {
        let status = self.process.wait(Duration::from_secs(40));
        while let Ok(value) = self.lines.recv_timeout(Duration::from_millis(200)) {
            self.seen.push(value);
        }
        status.code().unwrap_or(-1)
    }

    /// What it has told, but for the figures of each second.
    pub(crate) fn story(&self) -> String {
        let told = self.seen.iter().filter(|v| v["event"] != "media");
        told.map(|v| format!("  {v}\n")).collect()
    }

    pub(crate) fn events(&self, event: &str) -> Vec<&Value> {
        self.seen.iter().filter(|v| v["event"] == event).collect()
    }
}

/// coturn with this configuration, in a directory of its own, once it is ready.
pub(crate) fn start_coturn(dir: &Path, config: &str, ready: impl Fn() -> bool) -> Process {
    std::fs::write(dir.join("turnserver.conf"), config).expect("configuration");
    let log = std::fs::File::create(dir.join("log")).expect("log");
    let process = Process::start(
        Command::new("turnserver")
            .args(["-c", "turnserver.conf"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log),
    );
    let end = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < end, "coturn does not answer; see {}", dir.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

/// Whether a server there answers a STUN request by UDP.
pub(crate) fn stun_answers(from: &str, to: (&str, u16)) -> bool {
    let socket = UdpSocket::bind((from, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
    let (class, id) = (tiny_net::stun::Class::Request, [7; 12]);
    let ask = tiny_net::stun::Builder::new(class, tiny_net::stun::method::BINDING, id).finish();
    socket.send_to(&ask, to).is_ok() && socket.recv(&mut [0; 500]).is_ok()
}
