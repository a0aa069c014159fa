//! DTLS with OpenSSL's `s_client` and `s_server` at the other end: both roles, EC and RSA, every
//! profile that OpenSSL has, and the same exported keys on both sides. Says so where it is not there.
#![cfg(feature = "dtls")]

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tiny_net::dtls::{
    Association, Config, Error, Event, Fingerprint, Hash, Identity, Role, Session, SrtpProfile,
};
use tiny_sak::{Output, Rng};

const LABEL: &str = "EXTRACTOR-dtls_srtp";

fn openssl() -> Option<()> {
    let there = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no openssl; scripts/setup.sh installs it");
        return None;
    }
    Some(())
}

/// A key and certificate in a directory of their own, removed at the end.
struct Credentials {
    directory: PathBuf,
}

impl Credentials {
    fn new(name: &str, key: &[&str]) -> Self {
        let directory =
            std::env::temp_dir().join(format!("tiny-dtls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let new = Self { directory };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=peer"])
            .arg("-newkey")
            .args(key)
            .arg("-keyout")
            .arg(new.path("key.pem"))
            .arg("-out")
            .arg(new.path("cert.pem"))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        new
    }

    fn ec(name: &str) -> Self {
        Self::new(name, &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
    }

    fn p384(name: &str) -> Self {
        Self::new(name, &["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"])
    }

    fn rsa(name: &str) -> Self {
        Self::new(name, &["rsa:2048"])
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    fn fingerprint(&self, hash: Hash) -> Fingerprint {
        let der = Command::new("openssl")
            .args(["x509", "-outform", "DER", "-in"])
            .arg(self.path("cert.pem"))
            .output()
            .unwrap();
        Fingerprint::of(hash, &der.stdout)
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A running openssl, and its lines.
struct Peer {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Peer {
    fn start(args: &[&str], credentials: &Credentials, profile: &str, length: usize) -> Self {
        let mut child = Command::new("openssl")
            .args(args)
            .args(["-dtls1_2", "-use_srtp", profile])
            .args(["-keymatexport", LABEL, "-keymatexportlen", &length.to_string()])
            .arg("-cert")
            .arg(credentials.path("cert.pem"))
            .arg("-key")
            .arg(credentials.path("key.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, lines }
    }

    fn line_with(&self, wanted: &str) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        let mut all = String::new();
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            if line.contains(wanted) {
                return line;
            }
            all.push_str(&line);
            all.push('\n');
        }
        panic!("no {wanted:?} in:\n{all}");
    }

    fn keying(&self) -> String {
        let line = self.line_with("Keying material: ");
        line.rsplit(' ').next().unwrap().to_lowercase()
    }

    fn says(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our end, on a socket.
struct Ours {
    socket: UdpSocket,
    association: Association,
    data: Vec<Vec<u8>>,
    closed: bool,
}

impl Ours {
    fn new(
        socket: UdpSocket,
        role: Role,
        identity: Identity,
        expected: Fingerprint,
        peer: Option<std::net::SocketAddr>,
        profile: SrtpProfile,
    ) -> Self {
        let mut config = Config::default();
        config.profiles = vec![profile];
        let (config, rng) = (Arc::new(config), Rng::from_os().unwrap());
        let now = Instant::now();
        let association =
            Association::new(now, role, identity, vec![expected], peer, config, rng).unwrap();
        Self { socket, association, data: Vec::new(), closed: false }
    }

    /// Runs until the association is there, or `done` says so.
    fn run(&mut self, done: impl Fn(&Self) -> bool) -> Result<Option<Session>, Error> {
        let end = Instant::now() + Duration::from_secs(10);
        let mut buffer = [0; 2048];
        loop {
            assert!(Instant::now() < end, "nothing happens");
            let deadline = loop {
                match self.association.poll(Instant::now()) {
                    Output::Transmit(packet) => {
                        let _ = self.socket.send_to(&packet.data, packet.to);
                    }
                    Output::Event(Event::Connected(session)) => return Ok(Some(*session)),
                    Output::Event(Event::Failed(error)) => return Err(error),
                    Output::Event(Event::Data(data)) => self.data.push(data),
                    Output::Event(Event::Closed) => self.closed = true,
                    Output::Event(_) => {}
                    Output::Timeout(deadline) => break deadline,
                }
            };
            if done(self) {
                return Ok(None);
            }
            let soon = Instant::now() + Duration::from_millis(100);
            let wait = deadline.map_or(soon, |d| d.min(soon));
            let wait = wait.saturating_duration_since(Instant::now());
            self.socket.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).unwrap();
            match self.socket.recv_from(&mut buffer) {
                Ok((n, from)) => self.association.handle(Instant::now(), from, &buffer[..n]),
                Err(_) => self.association.handle_timeout(Instant::now()),
            }
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|o| format!("{o:02x}")).collect()
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const PROFILES: [(SrtpProfile, &str, usize); 4] = [
    (SrtpProfile::AeadAes128Gcm, "SRTP_AEAD_AES_128_GCM", 56),
    (SrtpProfile::AeadAes256Gcm, "SRTP_AEAD_AES_256_GCM", 88),
    (SrtpProfile::Aes128CmSha1_80, "SRTP_AES128_CM_SHA1_80", 60),
    (SrtpProfile::Aes128CmSha1_32, "SRTP_AES128_CM_SHA1_32", 60),
];

/// We are active, OpenSSL answers.
fn with_server(credentials: &Credentials, expected: Fingerprint, more: &[&str], nth: usize) {
    let (profile, name, length) = PROFILES[nth];
    let port = free_port();
    let port_text = port.to_string();
    let mut args = vec!["s_server", "-accept", &port_text, "-Verify", "1"];
    args.extend_from_slice(more);
    let mut peer = Peer::start(&args, credentials, name, length);
    peer.line_with("ACCEPT");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = format!("127.0.0.1:{port}").parse().unwrap();
    let identity = Identity::generate().unwrap();
    let mut ours = Ours::new(socket, Role::Active, identity, expected, Some(to), profile);
    let session = ours.run(|_| false).unwrap().unwrap();
    assert_eq!(peer.keying(), hex(session.keying()));
    peer.says("from openssl\n");
    ours.run(|ours| !ours.data.is_empty()).unwrap();
    assert_eq!(ours.data, [b"from openssl\n"]);
    ours.association.send(b"from us\n").unwrap();
    ours.run(|_| true).unwrap();
    peer.line_with("from us");
    ours.association.close();
    ours.run(|_| true).unwrap();
    peer.line_with("DONE");
}

/// OpenSSL is active.
fn with_client(credentials: &Credentials, expected: Fingerprint, more: &[&str], nth: usize) {
    let (profile, name, length) = PROFILES[nth];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap().to_string();
    let identity = Identity::generate().unwrap();
    let mut ours = Ours::new(socket, Role::Passive, identity, expected, None, profile);
    let mut args = vec!["s_client", "-connect", &to];
    args.extend_from_slice(more);
    let mut peer = Peer::start(&args, credentials, name, length);
    let session = ours.run(|_| false).unwrap().unwrap();
    assert_eq!(peer.keying(), hex(session.keying()));
    ours.association.send(b"from us\n").unwrap();
    ours.run(|_| true).unwrap();
    peer.line_with("from us");
    // Q ends the client in order.
    peer.says("Q\n");
    ours.run(|ours| ours.closed).unwrap();
}

#[test]
fn openssl_as_server_with_an_ec_key_agrees_on_every_profile() {
    let Some(()) = openssl() else { return };
    let credentials = Credentials::ec("s-ec");
    for nth in 0..PROFILES.len() {
        with_server(&credentials, credentials.fingerprint(Hash::Sha256), &[], nth);
    }
}

#[test]
fn openssl_as_server_with_an_rsa_key_and_with_p384() {
    let Some(()) = openssl() else { return };
    let rsa = Credentials::rsa("s-rsa");
    with_server(&rsa, rsa.fingerprint(Hash::Sha512), &[], 0);
    with_server(
        &rsa,
        rsa.fingerprint(Hash::Sha256),
        &["-cipher", "ECDHE-RSA-AES256-GCM-SHA384"],
        2,
    );
    // Signatures as of old.
    with_server(&rsa, rsa.fingerprint(Hash::Sha256), &["-sigalgs", "RSA+SHA256:ECDSA+SHA256"], 0);
    let p384 = Credentials::p384("s-p384");
    with_server(&p384, p384.fingerprint(Hash::Sha384), &[], 1);
}

#[test]
fn openssl_as_client_with_an_ec_key_agrees_on_every_profile() {
    let Some(()) = openssl() else { return };
    let credentials = Credentials::ec("c-ec");
    for nth in 0..PROFILES.len() {
        with_client(&credentials, credentials.fingerprint(Hash::Sha256), &[], nth);
    }
}

#[test]
fn openssl_as_client_with_an_rsa_key_small_datagrams_and_other_curves() {
    let Some(()) = openssl() else { return };
    let rsa = Credentials::rsa("c-rsa");
    with_client(&rsa, rsa.fingerprint(Hash::Sha256), &[], 0);
    with_client(&rsa, rsa.fingerprint(Hash::Sha256), &["-mtu", "300"], 2);
    let curves = ["-curves", "P-256", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    with_client(&rsa, rsa.fingerprint(Hash::Sha256), &curves, 1);
}

#[test]
fn a_peer_with_another_certificate_than_announced_is_refused() {
    let Some(()) = openssl() else { return };
    let credentials = Credentials::ec("wrong");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap().to_string();
    let identity = Identity::generate().unwrap();
    let other = Identity::generate().unwrap().fingerprint();
    let profile = SrtpProfile::AeadAes128Gcm;
    let mut ours = Ours::new(socket, Role::Passive, identity, other, None, profile);
    let args = ["s_client", "-connect", &to];
    let _peer = Peer::start(&args, &credentials, "SRTP_AEAD_AES_128_GCM", 56);
    assert_eq!(ours.run(|_| false).unwrap_err(), Error::Fingerprint);
}

#[test]
fn a_short_rsa_key_is_refused() {
    let Some(()) = openssl() else { return };
    let short = Credentials::new("short", &["rsa:1024"]);
    let (profile, name, length) = PROFILES[0];
    let port = free_port();
    let port_text = port.to_string();
    // Debian's OpenSSL takes no short keys unless told so.
    let args = ["s_server", "-accept", &port_text, "-cipher", "ALL:@SECLEVEL=0"];
    let peer = Peer::start(&args, &short, name, length);
    peer.line_with("ACCEPT");
    let to = format!("127.0.0.1:{port}").parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let identity = Identity::generate().unwrap();
    let known = short.fingerprint(Hash::Sha256);
    let mut ours = Ours::new(socket, Role::Active, identity, known, Some(to), profile);
    assert_eq!(ours.run(|_| false).unwrap_err(), Error::Signature);
}
