//! Hold and resume with baresip, asked for by us and by it: what is told, that no sound goes while it
//! lasts, and that both hear each other again.

use crate::baresip::Baresip;
use crate::peers::{Softphone, installed, scratch, shared};
use crate::sound::tone_at;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OURS: f64 = 440.0;
const THEIRS: f64 = 600.0;

/// A call to baresip with a tone each way, and where what we hear lands.
fn call(name: &str, more: &[&str]) -> (Baresip, Softphone, PathBuf) {
    let baresip = Baresip::start(name, 600, "PCMU/8000/1", "bare@127.0.0.1", "regint=0;");
    let wav = scratch(&format!("{name}-wav")).join("heard.wav");
    let (wav_arg, to) = (wav.display().to_string(), format!("sip:bare@127.0.0.1:{}", baresip.port));
    let ours = ["--listen", "127.0.0.1:0", "--no-register", "--codecs", "pcmu"];
    let sound = ["--input", "tone:440", "--output", &wav_arg];
    let mut phone =
        Softphone::start("caller", &[&ours[..], &sound[..], more, &["call", &to]].concat());
    phone.expect("answered");
    (baresip, phone, wav)
}

/// The same tone at the beginning and, after the hold, at the end.
fn heard_before_and_after(wav: &Path, hz: f64) {
    for part in [0.05, 0.95] {
        let heard = tone_at(wav, part);
        let shown = wav.display();
        assert!((heard.hz - hz).abs() <= hz * 0.01, "{shown} at {part}: {:.1} Hz", heard.hz);
        assert!(heard.dbfs > -40.0, "{shown} at {part}: {:.1} dBFS", heard.dbfs);
    }
}

/// The packets sent or received in a second that begins a while from now.
fn packets_in_a_second(phone: &mut Softphone, which: &str) -> u64 {
    let mut count = || phone.expect("media")[which].as_u64().expect("a number");
    let (_, before) = (count(), count());
    count() - before
}

#[test]
fn baresip_is_held_and_resumed_and_hears_nothing_in_between() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    let script = scratch("hold-script").join("script");
    std::fs::write(&script, "2.5 hold\n6.5 resume\n9.5 hangup\n").expect("script");
    let script = script.display().to_string();
    let (mut baresip, mut phone, wav) = call("held", &["--script", &script]);
    assert_eq!(phone.expect("held")["by"], "local");
    assert_eq!(packets_in_a_second(&mut phone, "tx_packets"), 0, "nothing is sent");
    assert_eq!(phone.expect("resumed")["by"], "local");
    assert!(packets_in_a_second(&mut phone, "tx_packets") > 40);
    assert_eq!(phone.finish(), 0);
    baresip.expect("CALL_CLOSED");
    heard_before_and_after(&wav, THEIRS);
    heard_before_and_after(&baresip.recording("dec"), OURS);
}

#[test]
fn baresip_holds_us_and_resumes_and_we_are_told() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    let (mut baresip, mut phone, wav) = call("holds", &["--for", "30"]);
    std::thread::sleep(Duration::from_secs(2));
    baresip.tell("hold", "");
    assert_eq!(phone.expect("held")["by"], "remote");
    assert_eq!(packets_in_a_second(&mut phone, "tx_packets"), 0, "nobody listens");
    baresip.tell("resume", "");
    assert_eq!(phone.expect("resumed")["by"], "remote");
    assert!(packets_in_a_second(&mut phone, "rx_packets") > 40);
    std::thread::sleep(Duration::from_secs(1));
    baresip.tell("hangup", "");
    assert_eq!(phone.expect("ended")["by"], "remote");
    phone.finish();
    heard_before_and_after(&wav, THEIRS);
    heard_before_and_after(&baresip.recording("dec"), OURS);
}
