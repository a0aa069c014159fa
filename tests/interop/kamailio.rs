//! Kamailio as registrar and proxy.

use crate::peers::{Process, Softphone, directory, free_port, installed, scratch, shared};
use crate::sound::assert_tone;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Neither microphone nor loudspeaker.
const QUIET: [&str; 4] = ["--input", "silence", "--output", "null"];

pub(crate) struct Kamailio {
    process: Option<Process>,
    name: String,
    address: SocketAddr,
    pub(crate) port: u16,
}

impl Kamailio {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, include_str!("kamailio.cfg"), &[])
    }

    /// With this configuration, in which PORT stands for the port, and further files beside it.
    pub(crate) fn start_with(name: &str, config: &str, files: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = config.replace("PORT", &address.port().to_string());
        Self::start_at(name, address, &config, files)
    }

    /// With this configuration, which has it listen there.
    pub(crate) fn start_at(
        name: &str,
        address: SocketAddr,
        config: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let dir = scratch(&format!("kamailio-{name}"));
        for (file, content) in files {
            std::fs::write(dir.join(file), content).expect("configuration");
        }
        std::fs::write(dir.join("kamailio.cfg"), config).expect("configuration");
        let port = address.port();
        let mut kamailio = Self { process: None, name: name.to_owned(), address, port };
        kamailio.restart();
        kamailio
    }

    /// Ends it, with all its connections.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it at the port that it had.
    pub(crate) fn restart(&mut self) {
        let dir = directory(&format!("kamailio-{}", self.name));
        let log = std::fs::File::create(dir.join("kamailio.log")).expect("log");
        let mut command = Command::new("kamailio");
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{path}:/usr/sbin"))
            .current_dir(&dir)
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f", "kamailio.cfg", "-Y", ".", "-P"])
            .args(["kamailio.pid", "-w", "."])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(Process::start(&mut command));
        wait_for_sip(self.address);
    }
}

/// Asks with OPTIONS until somebody answers.
fn wait_for_sip(at: SocketAddr) {
    let socket = UdpSocket::bind((at.ip(), 0)).expect("socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
    let own = socket.local_addr().expect("address");
    let ask = format!(
        "OPTIONS sip:{at} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKready\r\n\
         From: <sip:t@{own}>;tag=1\r\nTo: <sip:{at}>\r\nCall-ID: ready\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n\r\n"
    );
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        let _ = socket.send_to(ask.as_bytes(), at);
        if socket.recv(&mut [0; 4096]).is_ok() {
            return;
        }
    }
    panic!("nobody answers OPTIONS at {at}");
}

/// The options that make a softphone the user `user` of that Kamailio.
pub(crate) fn account(port: u16, user: &str, transport: &str) -> Vec<String> {
    [
        "--aor",
        &format!("sip:{user}@sip.test"),
        "--registrar",
        "sip:sip.test",
        "--outbound-proxy",
        &format!("sip:127.0.0.1:{port};lr;transport={transport}"),
        "--transport",
        transport,
        "--password",
        &format!("secret{user}"),
        "--listen",
        "127.0.0.1:0",
        "--expires",
        "60",
    ]
    .map(str::to_owned)
    .to_vec()
}

pub(crate) fn phone(name: &str, account: &[String], rest: &[&str]) -> Softphone {
    let args: Vec<&str> = account.iter().map(String::as_str).chain(rest.iter().copied()).collect();
    Softphone::start(name, &args)
}

fn registers(transport: &str) {
    let kamailio = Kamailio::start(&format!("register-{transport}"));
    let mut account = account(kamailio.port, "1001", transport);
    // Short enough to see a refresh: the registrar grants 20 s, refreshed before they are over.
    let expires = account.iter().position(|a| a == "--expires").expect("option");
    account[expires + 1] = "20".into();
    let mut phone = phone("1001", &account, &["register"]);
    let first = phone.expect("registered");
    assert_eq!(first["aor"], "sip:1001@sip.test");
    assert_eq!(first["expires"], 20);
    let again = phone.expect_within("registered", Duration::from_secs(22));
    assert!(
        again["t"].as_f64().unwrap() - first["t"].as_f64().unwrap() < 20.0,
        "refreshed in time"
    );
    phone.interrupt();
    assert_eq!(phone.finish(), 130, "interrupted after unregistering");

    // Unregistered: a call to it finds nobody.
    let caller = self::account(kamailio.port, "1002", transport);
    let mut caller =
        self::phone("1002", &caller, &[&QUIET[..], &["call", "sip:1001@sip.test"]].concat());
    let end = caller.expect("ended");
    assert_eq!(end["status"], 404, "{end}");
    assert_eq!(caller.finish(), 1);
}

#[test]
fn registers_refreshes_and_unregisters_over_udp() {
    let _one = shared();
    if installed("kamailio") {
        registers("udp");
    }
}

#[test]
fn registers_refreshes_and_unregisters_over_tcp() {
    let _one = shared();
    if installed("kamailio") {
        registers("tcp");
    }
}

#[test]
fn sha_256_registers_and_calls() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let config = include_str!("kamailio.cfg");
    let config = config.replacen("#!KAMAILIO", "#!KAMAILIO\n#!define WITH_SHA256", 1);
    let kamailio = Kamailio::start_with("sha256", &config, &[]);
    let one = account(kamailio.port, "1001", "udp");
    let mut one = phone("1001", &one, &["register"]);
    assert_eq!(one.expect("registered")["aor"], "sip:1001@sip.test");
    // The proxy asks for the INVITE too.
    let two = account(kamailio.port, "1002", "udp");
    let mut two = phone("1002", &two, &[&QUIET[..], &["call", "sip:reply-486@sip.test"]].concat());
    assert_eq!(two.expect("ended")["status"], 486);
    two.finish();
    one.interrupt();
    assert_eq!(one.finish(), 130);
}

#[test]
fn a_wrong_password_is_reported_as_such() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("wrong-password");
    for transport in ["udp", "tcp"] {
        let mut account = account(kamailio.port, "1001", transport);
        let password = account.iter().position(|a| a == "--password").expect("option");
        account[password + 1] = "wrong".into();
        let mut phone = phone("1001", &account, &["register"]);
        let failed = phone.expect("registration_failed");
        let status = failed["status"].as_u64().unwrap_or(0);
        assert!(status == 401 || status == 403, "{failed}");
        assert_eq!(phone.finish(), 1);
    }
}

#[test]
fn two_softphones_talk_through_the_proxy_with_record_route() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("call");
    for transport in ["udp", "tcp"] {
        let dir = scratch(&format!("kamailio-call-{transport}-wav"));
        let (a, b) = (dir.join("alice.wav"), dir.join("bob.wav"));
        let (a_wav, b_wav) = (a.display().to_string(), b.display().to_string());
        let bob = account(kamailio.port, "1002", transport);
        let bob_args = ["--input", "tone:600", "--output", &b_wav, "answer"];
        let mut bob = phone("bob", &bob, &bob_args);
        bob.expect("registered");
        let alice = account(kamailio.port, "1001", transport);
        let alice_args =
            ["--input", "tone:440", "--output", &a_wav, "--for", "5", "call", "sip:1002@sip.test"];
        let mut alice = phone("alice", &alice, &alice_args);
        let answered = alice.expect("answered");
        assert!(answered["codec"].is_string(), "{answered}");
        bob.expect("answered");
        let end = bob.expect("ended");
        assert_eq!(end["by"], "remote", "the BYE came along the recorded route");
        assert_eq!(alice.finish(), 0);
        bob.interrupt();
        assert_eq!(bob.finish(), 130);
        let level = crate::sound::tone(&a).dbfs;
        assert_tone(&a, 600.0, level);
        assert_tone(&b, 440.0, level);
        assert!(level > -40.0, "{level} dBFS is hardly a tone");
    }
}

#[test]
fn an_unknown_user_and_a_busy_one_are_told_apart() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("refusals");
    for (user, status) in [("1077", 404), ("reply-486", 486), ("reply-603", 603)] {
        let account = account(kamailio.port, "1001", "udp");
        let to = format!("sip:{user}@sip.test");
        let mut alice = phone("alice", &account, &[&QUIET[..], &["call", &to]].concat());
        let end = alice.expect("ended");
        assert_eq!(end["status"], status, "{end}");
        assert_eq!(end["by"], "remote");
        assert_eq!(alice.finish(), 1);
    }
}

#[test]
fn one_of_three_forks_wins_and_the_others_are_cancelled() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("fork");
    let mut phones: Vec<Softphone> = ["1001", "1002", "1003"]
        .iter()
        .map(|user| {
            let account = account(kamailio.port, user, "udp");
            // The second answers after a second, the others would only after twenty.
            let after = if *user == "1002" { "1" } else { "20" };
            let rest = [&QUIET[..], &["answer", "--after", after]].concat();
            let mut phone = phone(user, &account, &rest);
            phone.expect("registered");
            phone
        })
        .collect();
    let caller = account(kamailio.port, "1010", "udp");
    let rest = [&QUIET[..], &["--for", "2", "call", "sip:fork@sip.test"]].concat();
    let mut caller = phone("caller", &caller, &rest);
    caller.expect("answered");
    phones[1].expect("answered");
    for loser in [0, 2] {
        let end = phones[loser].expect("ended");
        assert_eq!(end["by"], "remote", "cancelled: {end}");
        assert!(phones[loser].events("answered").is_empty());
    }
    assert_eq!(caller.finish(), 0);
}

#[test]
fn a_message_is_delivered() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("message");
    let bob = account(kamailio.port, "1002", "udp");
    let mut bob = phone("bob", &bob, &["register"]);
    bob.expect("registered");
    let alice = account(kamailio.port, "1001", "udp");
    let text = "Grüße from Alice";
    let mut alice = phone("alice", &alice, &["message", "sip:1002@sip.test", text]);
    let message = bob.expect("message");
    assert_eq!(message["text"], text);
    assert!(message["from"].as_str().is_some_and(|f| f.contains("1001@sip.test")), "{message}");
    assert_eq!(alice.finish(), 0);
}
