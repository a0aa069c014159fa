//! baresip at the other end: calls both ways, direct and through Kamailio, four codecs, tones and keys.

use crate::kamailio::{Kamailio, account, phone};
use crate::peers::{Process, Softphone, free_port, installed, scratch, shared};
use crate::sound::{assert_tone, tone};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Does it for all codecs at once: it is mostly waiting.
fn with_each_codec(call: impl Fn(usize, &str, &str) + Sync) {
    std::thread::scope(|scope| {
        for (n, (theirs, ours)) in CODECS.into_iter().enumerate() {
            let call = &call;
            scope.spawn(move || call(n, theirs, ours));
        }
    });
}

/// baresip's name of a codec, and ours.
const CODECS: [(&str, &str); 4] = [
    ("PCMU/8000/1", "pcmu"),
    ("PCMA/8000/1", "pcma"),
    ("G722/16000/1", "g722"),
    ("opus/48000/2", "opus"),
];

pub(crate) struct Baresip {
    _process: Process,
    control: TcpStream,
    inbox: Vec<u8>,
    dir: PathBuf,
    pub(crate) port: u16,
}

impl Baresip {
    /// Sends a sine of `hz` and records what it hears. `user` and `params` make up its account.
    pub(crate) fn start(name: &str, hz: u32, codec: &str, user: &str, params: &str) -> Self {
        Self::start_with(name, hz, codec, user, params, "")
    }

    /// The same with further lines of configuration.
    pub(crate) fn start_with(
        name: &str,
        hz: u32,
        codec: &str,
        user: &str,
        params: &str,
        extra: &str,
    ) -> Self {
        Self::start_at("127.0.0.1", name, hz, codec, user, params, extra)
    }

    /// The same on the device `network`, or at the address.
    pub(crate) fn start_at(
        network: &str,
        name: &str,
        hz: u32,
        codec: &str,
        user: &str,
        params: &str,
        extra: &str,
    ) -> Self {
        let dir = scratch(&format!("baresip-{name}"));
        let (port, control) = (free_port(), free_port());
        std::fs::create_dir_all(dir.join("rec")).expect("rec");
        let account = format!("<sip:{user}>;audio_codecs={codec};answermode=auto;{params}\n");
        std::fs::write(dir.join("accounts"), account).expect("accounts");
        std::fs::write(dir.join("contacts"), "").expect("contacts");
        let modules = [
            "module stdio.so",
            "module opus.so",
            "module g722.so",
            "module g711.so",
            "module sndfile.so",
            "module ausine.so",
            "module srtp.so",
            "module dtls_srtp.so",
            "module stun.so",
            "module turn.so",
            "module ice.so",
            "module aubridge.so",
            "module_tmp uuid.so",
            "module_tmp account.so",
            "module_app contact.so",
            "module_app menu.so",
            "module_app ctrl_tcp.so",
        ]
        .join("\n");
        let shown = dir.display();
        let listen = if network == "127.0.0.1" { network } else { "0.0.0.0" };
        let config = format!(
            "poll_method epoll\nsip_listen {listen}:{port}\ncall_local_timeout 120\ncall_max_calls 8\n\
             audio_source ausine,{hz}\naudio_player aubridge,null\naudio_alert aubridge,null\n\
             ausrc_srate 48000\nauplay_srate 48000\nausrc_channels 2\nauplay_channels 1\n\
             ausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\n\
             audio_buffer 20-160\nrtp_ports 21000-21999\nrtcp_mux yes\nrtp_stats yes\n\
             net_interface {network}\nmodule_path /usr/lib/baresip/modules\n{modules}\n\
             ctrl_tcp_listen 127.0.0.1:{control}\nsnd_path {shown}/rec\n{extra}"
        );
        std::fs::write(dir.join("config"), config).expect("config");
        let log = std::fs::File::create(dir.join("log")).expect("log");
        let mut process = Process::start(
            Command::new("baresip")
                .args(["-f", &shown.to_string(), "-v"])
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("log"))
                .stderr(log),
        );
        let end = Instant::now() + Duration::from_secs(30);
        let control = loop {
            match TcpStream::connect(("127.0.0.1", control)) {
                Ok(stream) => break stream,
                Err(e) if process.has_ended() || Instant::now() > end => {
                    let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
                    panic!("baresip does not listen: {e}; its log:\n{log}")
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        control.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        Self { _process: process, control, inbox: Vec::new(), dir, port }
    }

    pub(crate) fn tell(&mut self, command: &str, params: &str) {
        let text = json!({"command": command, "params": params, "token": "t"}).to_string();
        let framed = format!("{}:{},", text.len(), text);
        self.control.write_all(framed.as_bytes()).expect("baresip's control");
    }

    /// Waits for its registration. It may be done before its control socket can tell us.
    pub(crate) fn registered(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        let log = self.dir.join("log");
        while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("200 OK")) {
            assert!(Instant::now() < end, "baresip does not register; see {}", log.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The next event of that type.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            while let Some(value) = self.next() {
                if value["type"] == kind {
                    return value;
                }
            }
            assert!(Instant::now() < end, "baresip: no {kind}; see {}/log", self.dir.display());
            let mut buffer = [0; 4096];
            if let Ok(n) = self.control.read(&mut buffer) {
                self.inbox.extend_from_slice(&buffer[..n]);
            }
        }
    }

    fn next(&mut self) -> Option<Value> {
        let colon = self.inbox.iter().position(|b| *b == b':')?;
        let length: usize = std::str::from_utf8(&self.inbox[..colon]).ok()?.parse().ok()?;
        let end = colon + 1 + length;
        if self.inbox.len() <= end {
            return None;
        }
        let value = serde_json::from_slice(&self.inbox[colon + 1..end]).ok()?;
        self.inbox.drain(..=end);
        Some(value)
    }

    /// Waits until it plays what it hears.
    pub(crate) fn plays(&self) {
        let end = Instant::now() + Duration::from_secs(25);
        while self.recorded("dec").is_none() {
            assert!(Instant::now() < end, "baresip hears nothing; see {}", self.dir.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its recording: `enc` is what it sent, `dec` what it heard.
    pub(crate) fn recording(&self, kind: &str) -> PathBuf {
        let found = self.recorded(kind);
        found.unwrap_or_else(|| panic!("baresip recorded nothing in {}", self.dir.display()))
    }

    fn recorded(&self, kind: &str) -> Option<PathBuf> {
        let files = std::fs::read_dir(self.dir.join("rec")).expect("rec");
        let suffix = format!("-{kind}.wav");
        files
            .filter_map(|f| Some(f.ok()?.path()))
            .find(|p| p.to_str().is_some_and(|p| p.ends_with(&suffix)))
    }
}

/// Both tones arrive, right in frequency (1 %) and level (3 dB).
fn compare(baresip: &Baresip, heard_by_us: &Path, ours_hz: f64, theirs_hz: f64) {
    let sent = tone(&baresip.recording("enc")).dbfs;
    assert_tone(heard_by_us, theirs_hz, sent);
    // `tone:HZ` swings 12 dB under full scale: 15 dB as a root mean square.
    assert_tone(&baresip.recording("dec"), ours_hz, OUR_TONE_DBFS);
}

const OUR_TONE_DBFS: f64 = -15.0;

fn direct_args<'a>(port: &'a str, codec: &'a str, wav: &'a str) -> Vec<&'a str> {
    vec![
        "--listen",
        port,
        "--no-register",
        "--codecs",
        codec,
        "--input",
        "tone:440",
        "--output",
        wav,
    ]
}

#[test]
fn we_call_it_directly_with_each_codec() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    crate::peers::softphone_binary();
    with_each_codec(|_, theirs, ours| {
        let name = format!("called-{ours}");
        let mut baresip = Baresip::start(&name, 600, theirs, "bare@127.0.0.1", "regint=0;");
        let wav = scratch(&format!("we-call-{ours}")).join("heard.wav");
        let wav_arg = wav.display().to_string();
        let to = format!("sip:bare@127.0.0.1:{}", baresip.port);
        let mut args = direct_args("127.0.0.1:0", ours, &wav_arg);
        args.extend(["--for", "6", "--dtmf", "42#", "call", &to]);
        let mut phone = Softphone::start("caller", &args);
        let answered = phone.expect("answered");
        assert!(answered["codec"].as_str().unwrap().eq_ignore_ascii_case(ours), "{answered}");
        for key in ["4", "2", "#"] {
            let event = baresip.expect("CALL_DTMF_START");
            assert_eq!(event["param"], key, "{event}");
        }
        assert_eq!(phone.finish(), 0);
        baresip.expect("CALL_CLOSED");
        compare(&baresip, &wav, 440.0, 600.0);
    });
}

#[test]
fn it_calls_us_directly_with_each_codec() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    crate::peers::softphone_binary();
    with_each_codec(|_, theirs, ours| {
        let wav = scratch(&format!("it-calls-{ours}")).join("heard.wav");
        let wav_arg = wav.display().to_string();
        let listen = format!("127.0.0.1:{}", free_port());
        let mut args = direct_args(&listen, ours, &wav_arg);
        args.push("answer");
        let mut phone = Softphone::start("answerer", &args);
        phone.expect("listening");
        let name = format!("calls-{ours}");
        let mut baresip = Baresip::start(&name, 600, theirs, "bare@127.0.0.1", "regint=0;");
        baresip.tell("dial", &format!("sip:us@{listen}"));
        baresip.expect("CALL_ESTABLISHED");
        let answered = phone.expect("answered");
        assert!(answered["codec"].as_str().unwrap().eq_ignore_ascii_case(ours), "{answered}");
        std::thread::sleep(Duration::from_secs(3));
        baresip.tell("sndcode", "7");
        let key = phone.expect("dtmf");
        assert_eq!(key["digit"], "7", "{key}");
        std::thread::sleep(Duration::from_secs(1));
        baresip.tell("hangup", "");
        let end = phone.expect("ended");
        assert_eq!(end["by"], "remote", "{end}");
        phone.interrupt();
        assert_eq!(phone.finish(), 130);
        compare(&baresip, &wav, 440.0, 600.0);
    });
}

#[test]
fn calls_go_both_ways_through_kamailio_with_each_codec() {
    let _one = shared();
    if !installed("baresip") || !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("baresip");
    let proxy = format!("sip:127.0.0.1:{}", kamailio.port);
    crate::peers::softphone_binary();
    with_each_codec(|n, theirs, ours| {
        let (user, peer) = (format!("101{n}"), format!("102{n}"));
        let params =
            format!("auth_user={peer};auth_pass=secret{peer};outbound=\"{proxy}\";regint=60;");
        let name = format!("proxied-{ours}");
        let mut baresip = Baresip::start(&name, 600, theirs, &format!("{peer}@sip.test"), &params);
        baresip.registered();

        let dir = scratch(&format!("proxied-{ours}-wav"));
        let (out, back) = (dir.join("out.wav"), dir.join("back.wav"));
        let (out_arg, back_arg) = (out.display().to_string(), back.display().to_string());
        let to = format!("sip:{peer}@sip.test");
        let us = account(kamailio.port, &user, "udp");
        let media = ["--codecs", ours, "--input", "tone:440", "--output"];
        let rest = [&media[..], &[&out_arg, "--for", "5", "call", &to]].concat();
        let mut caller = phone("caller", &us, &rest);
        caller.expect("answered");
        assert_eq!(caller.finish(), 0);
        baresip.expect("CALL_CLOSED");
        compare(&baresip, &out, 440.0, 600.0);

        let rest = [&media[..], &[&back_arg, "answer"]].concat();
        let mut callee = phone("callee", &us, &rest);
        callee.expect("registered");
        baresip.tell("dial", &format!("sip:{user}@sip.test"));
        baresip.expect("CALL_ESTABLISHED");
        callee.expect("answered");
        std::thread::sleep(Duration::from_secs(4));
        baresip.tell("hangup", "");
        callee.expect("ended");
        callee.interrupt();
        assert_eq!(callee.finish(), 130);
        assert_tone(&back, 600.0, tone(&out).dbfs);
    });
}

/// Direct calls both ways in which it treats encryption as `theirs` says and we as `ours`; what our
/// side says of it, `called` by us and `calling` us, and that both tones arrive.
fn encrypted(name: &str, theirs: &str, ours: &str, [called, calling]: [&str; 2]) {
    let codec = ("PCMU/8000/1", "pcmu");
    let params = format!("regint=0;{theirs}");
    let dir = scratch(&format!("srtp-{name}-wav"));
    let (out, back) = (dir.join("out.wav"), dir.join("back.wav"));
    let (out_arg, back_arg) = (out.display().to_string(), back.display().to_string());

    let peer = format!("srtp-{name}-called");
    let mut baresip = Baresip::start(&peer, 600, codec.0, "bare@127.0.0.1", &params);
    let to = format!("sip:bare@127.0.0.1:{}", baresip.port);
    let mut args = direct_args("127.0.0.1:0", codec.1, &out_arg);
    args.extend(["--srtp", ours, "--for", "5", "call", &to]);
    let mut phone = Softphone::start("caller", &args);
    let answered = phone.expect("answered");
    assert_eq!(answered["srtp"], called, "{name}: {answered}");
    if called == "dtls" {
        secured(&mut phone);
    }
    assert_eq!(phone.finish(), 0);
    baresip.expect("CALL_CLOSED");
    compare(&baresip, &out, 440.0, 600.0);

    let listen = format!("127.0.0.1:{}", free_port());
    let mut args = direct_args(&listen, codec.1, &back_arg);
    args.extend(["--srtp", ours, "answer"]);
    let mut phone = Softphone::start("answerer", &args);
    phone.expect("listening");
    let peer = format!("srtp-{name}-calls");
    let mut baresip = Baresip::start(&peer, 600, codec.0, "bare@127.0.0.1", &params);
    baresip.tell("dial", &format!("sip:us@{listen}"));
    baresip.expect("CALL_ESTABLISHED");
    let answered = phone.expect("answered");
    assert_eq!(answered["srtp"], calling, "{name}: {answered}");
    if calling == "dtls" {
        secured(&mut phone);
    }
    std::thread::sleep(Duration::from_secs(4));
    baresip.tell("hangup", "");
    phone.expect("ended");
    phone.interrupt();
    assert_eq!(phone.finish(), 130);
    compare(&baresip, &back, 440.0, 600.0);
}

fn secured(phone: &mut Softphone) {
    let secured = phone.expect("secured");
    assert!(secured["srtp"].as_str().unwrap().starts_with("dtls:A"), "{secured}");
    assert!(secured["fingerprint"].as_str().unwrap().starts_with("sha-256 "), "{secured}");
    assert!(secured["cipher"].as_str().unwrap().starts_with("TLS_ECDHE_"), "{secured}");
}

#[test]
fn calls_get_their_keys_from_dtls_both_ways() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    encrypted("dtls", "mediaenc=dtls_srtp;", "dtls", ["dtls"; 2]);
}

#[test]
fn calls_are_encrypted_both_ways_where_it_may_and_where_it_must() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    encrypted("may", "mediaenc=srtp;", "optional", SUITES);
    encrypted("must", "mediaenc=srtp-mand;", "sdes", SUITES);
}

#[test]
fn a_peer_without_encryption_is_heard_where_it_may_and_refused_where_it_must() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    encrypted("none", "", "optional", ["off"; 2]);
    let mut baresip =
        Baresip::start("srtp-refused", 600, "PCMU/8000/1", "bare@127.0.0.1", "regint=0;");
    let listen = format!("127.0.0.1:{}", free_port());
    let mut args = direct_args(&listen, "pcmu", "null");
    args.extend(["--srtp", "sdes", "answer"]);
    let mut phone = Softphone::start("answerer", &args);
    phone.expect("listening");
    baresip.tell("dial", &format!("sip:us@{listen}"));
    let closed = baresip.expect("CALL_CLOSED");
    assert!(closed["param"].as_str().unwrap().starts_with("488"), "{closed}");
    phone.interrupt();
    assert_eq!(phone.finish(), 130);
    assert!(phone.events("answered").is_empty());
}

/// What we offer first and it takes; what it offers first and we take.
const SUITES: [&str; 2] = ["sdes:AES_CM_128_HMAC_SHA1_80"; 2];
