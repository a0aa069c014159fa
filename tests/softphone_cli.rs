//! The softphone as scripts see it: exit statuses, one-line errors, JSON events, real calls between
//! two processes over loopback.
#![allow(clippy::print_stdout)]

#[allow(dead_code)]
#[path = "interop/peers.rs"]
mod peers;

use peers::{Softphone, softphone_binary};
use std::path::PathBuf;
use std::process::Command;

/// Runs to the end: exit status, stdout, stderr.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(softphone_binary())
        .env_remove("SOFTPHONE_PASSWORD")
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// An empty folder for a test's files.
fn scratch(name: &str) -> PathBuf {
    peers::scratch(&format!("softphone-{name}"))
}

/// A softphone at a free port of 127.0.0.1.
fn start(name: &str, arguments: &[&str]) -> Softphone {
    Softphone::start(name, &[&["--listen", "127.0.0.1:0"], arguments].concat())
}

/// One that answers.
fn answering(options: &[&str]) -> Softphone {
    answering_with(options, &[])
}

/// One that answers in a certain way.
fn answering_with(options: &[&str], how: &[&str]) -> Softphone {
    start("bob", &[options, &["answer"], how].concat())
}

/// The URI to call it by, as soon as it listens.
fn uri_of(phone: &mut Softphone) -> String {
    format!("sip:test@{}", phone.expect("listening")["sip"].as_str().unwrap())
}

#[test]
fn a_wrong_command_line_is_one_line_and_status_2() {
    for (arguments, expected) in [
        (&["--fro", "3", "demo"][..], "--fro"),
        (&["--stun", "192.0.2.1", "call", "sip:bob@127.0.0.1"], "--stun: expected a URI"),
        (&["--turn", "turn:h", "call", "sip:bob@127.0.0.1"], "no name and password"),
        (&["--video", "answer"], "--video: not in this build"),
        (&["--ca", "/nonexistent.pem", "answer"], "--ca: /nonexistent.pem"),
        (&["--cert", "Cargo.toml", "answer"], "--cert: needs --key"),
        (
            &["--ca", "Cargo.toml", "--listen", "127.0.0.1:0", "answer"],
            "the authorities cannot be used",
        ),
        (&["call", "bob"], "'bob'"),
        (&["--config", "/nonexistent.toml", "answer"], "/nonexistent.toml"),
        (&["--script", "/nonexistent", "answer"], "--script: /nonexistent"),
        (&["--codecs", "opus,mp3", "--listen", "127.0.0.1:0", "answer"], "mp3"),
        (&["--input", "nosuch", "--listen", "127.0.0.1:0", "answer"], "nosuch"),
        (&["--input", "/nonexistent.wav", "--listen", "127.0.0.1:0", "answer"], "/nonexistent.wav"),
        (&["--listen", "203.0.113.7:5060", "answer"], "203.0.113.7"),
        (&[], "a command is needed"),
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!(status, 2, "{arguments:?}: {out}{err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    }
}

#[test]
fn a_busy_port_is_named_with_the_way_out() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, _, err) = run(&["--listen", &format!("127.0.0.1:{port}"), "answer"]);
    assert_eq!(status, 2);
    let expected =
        format!("softphone: port {port} is in use; choose another with --listen ADDR:PORT\n");
    assert_eq!(err, expected);
}

#[test]
fn codecs_come_in_preference_order() {
    let (status, out, _) = run(&["codecs"]);
    let names: Vec<&str> = out.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!((status, &names[..]), (0, &["opus", "g722", "pcmu", "pcma"][..]));
}

#[test]
fn a_call_has_its_events_its_sound_and_its_figures() {
    let folder = scratch("call");
    let heard = folder.join("heard.wav");
    let mut bob = answering(&["--input", "tone:500", "--output", "null", "--for", "15"]);
    let uri = uri_of(&mut bob);
    let mut alice = start(
        "alice",
        &[
            "--input",
            "silence",
            "--output",
            heard.to_str().unwrap(),
            "--dtmf",
            "4#",
            "--for",
            "3",
            "--header",
            "X-Test: yes",
            "call",
            &uri,
        ],
    );
    let incoming = bob.expect("incoming");
    assert!(incoming["from"].as_str().unwrap().starts_with("sip:softphone@127.0.0.1"));
    let answered = alice.expect("answered");
    assert_eq!(answered["codec"].as_str().unwrap().to_lowercase(), "opus");
    let suite = "sdes:AES_CM_128_HMAC_SHA1_80".into();
    assert_eq!((&answered["sample_rate"], &answered["srtp"]), (&48_000.into(), &suite));
    let keys = [bob.expect("dtmf"), bob.expect("dtmf")];
    assert_eq!((&keys[0]["digit"], &keys[1]["digit"]), (&"4".into(), &"#".into()));
    assert_eq!(keys[0]["via"], "rfc4733");
    let media = alice.expect("media");
    assert!(media["tx_packets"].is_u64() && media.get("mos").is_some());
    let ended = alice.expect("ended");
    assert_eq!(ended["by"], "local");
    assert!((2.5..4.5).contains(&ended["duration_s"].as_f64().unwrap()), "{ended}");
    assert!(ended["stats"]["rx_packets"].as_u64().unwrap() > 100, "{ended}");
    assert_eq!(bob.expect("ended")["by"], "remote");
    assert_eq!(alice.finish(), 0);
    bob.interrupt();
    assert_eq!(bob.finish(), 130);
    let wav = tiny_dav::WavFile::load(&heard).unwrap();
    let rate = wav.format().rate as usize;
    let middle = &wav.samples()[rate..2 * rate];
    let crossings = middle.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
    assert!((490..=510).contains(&crossings), "heard {crossings} Hz instead of 500 Hz");
}

#[test]
fn a_script_holds_resumes_and_hangs_up() {
    let folder = scratch("script");
    let script = folder.join("script");
    std::fs::write(&script, "0.5 hold\n1.0 resume\n1.3 dtmf 7\n2.2 hangup\n").unwrap();
    let mut bob = answering(&["--input", "silence", "--output", "null", "--for", "15"]);
    let uri = uri_of(&mut bob);
    let mut alice = start(
        "alice",
        &[
            "--input",
            "silence",
            "--output",
            "null",
            "--script",
            script.to_str().unwrap(),
            "call",
            &uri,
        ],
    );
    assert_eq!(alice.expect("held")["by"], "local");
    assert_eq!(bob.expect("held")["by"], "remote");
    assert_eq!(alice.expect("resumed")["by"], "local");
    assert_eq!(bob.expect("resumed")["by"], "remote");
    assert_eq!(bob.expect("dtmf")["digit"], "7");
    assert_eq!(alice.expect("ended")["by"], "local");
    assert_eq!(alice.finish(), 0);
}

#[test]
fn a_refused_call_is_status_1_and_the_last_event_says_why() {
    let mut bob = answering_with(&["--for", "15"], &["--busy"]);
    let uri = uri_of(&mut bob);
    let mut alice = start("alice", &["--input", "silence", "--output", "null", "call", &uri]);
    let ended = alice.expect("ended");
    assert_eq!((&ended["status"], &ended["by"]), (&486.into(), &"remote".into()));
    assert_eq!(alice.finish(), 1);
    let mut carol = answering_with(&["--for", "15"], &["--reject", "603"]);
    let uri = uri_of(&mut carol);
    let mut alice = start("alice", &["--input", "silence", "--output", "null", "call", &uri]);
    assert_eq!(alice.expect("ended")["status"], 603);
    assert_eq!(alice.finish(), 1);
}

#[test]
fn ctrl_c_hangs_up_first() {
    let mut bob = answering(&["--input", "silence", "--output", "null", "--for", "15"]);
    let uri = uri_of(&mut bob);
    let mut alice = start("alice", &["--input", "silence", "--output", "null", "call", &uri]);
    alice.expect("answered");
    alice.interrupt();
    assert_eq!(alice.expect("ended")["by"], "local");
    assert_eq!(alice.finish(), 130);
    assert_eq!(bob.expect("ended")["by"], "remote");
}

#[test]
fn ctrl_c_does_not_wait_for_one_who_never_answers() {
    // Nothing was heard of the INVITE, so it cannot be cancelled (RFC 3261 §9.1).
    let hole = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let uri = format!("sip:nobody@{}", hole.local_addr().unwrap());
    let mut alice = start("alice", &["--input", "silence", "--output", "null", "call", &uri]);
    alice.expect("listening");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let since = std::time::Instant::now();
    alice.interrupt();
    assert_eq!(alice.expect("ended")["by"], "local");
    assert_eq!(alice.finish(), 130);
    assert!(since.elapsed() < std::time::Duration::from_secs(10), "{:?}", since.elapsed());
}

#[test]
fn messages_and_options_are_answered() {
    let mut bob = answering(&["--input", "silence", "--output", "null", "--for", "15"]);
    let uri = uri_of(&mut bob);
    let (status, _, err) = run(&["--listen", "127.0.0.1:0", "message", &uri, "lunch at noon?"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let message = bob.expect("message");
    assert_eq!(message["text"], "lunch at noon?");
    let (status, out, _) = run(&["--listen", "127.0.0.1:0", "options", &uri]);
    assert_eq!(status, 0);
    assert!(out.contains("200 OK") && out.contains("INVITE"), "{out}");
}

#[test]
fn it_rings_before_it_is_answered() {
    let mut bob = answering_with(
        &["--input", "silence", "--output", "null", "--for", "15"],
        &["--after", "0.6"],
    );
    let uri = uri_of(&mut bob);
    let mut alice =
        start("alice", &["--input", "silence", "--output", "null", "--for", "1", "call", &uri]);
    let ringing = alice.expect("ringing")["t"].as_f64().unwrap();
    let answered = alice.expect("answered")["t"].as_f64().unwrap();
    assert!((0.4..2.0).contains(&(answered - ringing)), "{ringing} {answered}");
    assert_eq!(alice.finish(), 0);
}

#[test]
fn a_call_leaves_a_capture_a_recording_and_a_report() {
    let folder = scratch("report");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (trace, record, report) = (file("x.pcapng"), file("both.wav"), file("report.html"));
    let mut bob = answering(&["--input", "tone:300", "--output", "null", "--for", "15"]);
    let uri = uri_of(&mut bob);
    let mut alice = start(
        "alice",
        &[
            "--input", "tone:600", "--output", "null", "--for", "2", "--trace", &trace, "--record",
            &record, "--report", &report, "call", &uri,
        ],
    );
    assert_eq!(alice.finish(), 0);
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("INVITE sip:") && page.contains("Speech quality"));
    let wav = tiny_dav::WavFile::load(record.as_ref()).unwrap();
    assert_eq!(wav.format().channels, 2);
    let capture = std::fs::read(&trace).unwrap();
    assert_eq!(capture[..4], [0x0A, 0x0D, 0x0D, 0x0A]);
    let invites = capture.windows(11).filter(|w| w == b"INVITE sip:").count();
    assert!(invites >= 1, "the INVITE is in the capture");
}

#[test]
fn a_configuration_file_serves_and_the_command_line_wins() {
    let folder = scratch("config");
    let file = folder.join("phone.toml");
    let text =
        "listen = \"127.0.0.1:0\"\njson = true\ninput = \"silence\"\noutput = \"null\"\nfor = 30\n";
    std::fs::write(&file, text).unwrap();
    let (status, out, _) = run(&["--config", file.to_str().unwrap(), "--for", "0.5", "answer"]);
    assert_eq!(status, 0);
    assert!(out.contains("\"event\":\"listening\""), "{out}");
}

#[test]
fn keys_travel_by_info_too() {
    let mut bob = answering(&["--input", "silence", "--output", "null", "--for", "15"]);
    let uri = uri_of(&mut bob);
    let options = ["--input", "silence", "--output", "null", "--dtmf", "9*", "--dtmf-mode", "info"];
    let mut alice = start("alice", &[&options[..], &["--for", "1.5", "call", &uri]].concat());
    for digit in ["9", "*"] {
        let key = bob.expect("dtmf");
        assert_eq!((&key["digit"], &key["via"]), (&digit.into(), &"info".into()));
    }
    assert_eq!(alice.finish(), 0);
}

#[test]
fn a_killed_phone_leaves_readable_files() {
    let folder = scratch("killed");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (trace, heard) = (file("x.pcapng"), file("heard.wav"));
    let mut bob = answering(&["--input", "tone:500", "--output", "null", "--for", "15"]);
    let uri = uri_of(&mut bob);
    let mut alice = start(
        "alice",
        &["--input", "silence", "--output", &heard, "--trace", &trace, "call", &uri],
    );
    alice.expect("media");
    alice.expect("media");
    alice.process.0.kill().unwrap();
    alice.process.0.wait().unwrap();
    let wav = tiny_dav::WavFile::load(heard.as_ref()).unwrap();
    assert!(wav.samples().len() > wav.format().rate as usize, "more than a second was kept");
    let capture = std::fs::read(&trace).unwrap();
    let mut at = 0;
    while at < capture.len() {
        let length = u32::from_le_bytes(capture[at + 4..at + 8].try_into().unwrap()) as usize;
        assert!(length >= 12 && at + length <= capture.len(), "a torn block at {at}");
        at += length;
    }
}

#[test]
fn the_demo_hears_what_it_says() {
    let folder = scratch("demo");
    let output =
        Command::new(softphone_binary()).arg("demo").current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("what was heard is what was said"), "{said}");
    assert!(
        said.contains("opus") && said.contains("MOS"),
        "the line with figures is shown: {said}"
    );
    for name in ["alice-heard.wav", "bob-heard.wav", "call.pcapng", "report.html"] {
        assert!(folder.join("target/demo").join(name).exists(), "{name}");
    }
}
