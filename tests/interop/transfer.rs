//! Transfers with others: blind ones with baresip in both roles, an attended one among three
//! telephones through Kamailio.

use crate::baresip::Baresip;
use crate::kamailio::{Kamailio, account, phone};
use crate::peers::{Softphone, free_port, installed, scratch, shared};
use crate::sound::{assert_tone, tone};
use serde_json::Value;
use std::time::{Duration, Instant};
use tiny_ua::{Audio, TransferOutcome, UserAgent};

fn target(name: &str, listen: &str, wav: &str) -> Softphone {
    let sound = ["--codecs", "pcmu", "--input", "tone:440", "--output", wav];
    let args = [&["--listen", listen, "--no-register"], &sound[..], &["answer"]].concat();
    let mut phone = Softphone::start(name, &args);
    phone.expect("listening");
    phone
}

/// An event of that name, of that call, whether it has come already or not.
fn expect_of(phone: &mut Softphone, event: &str, call: u64) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = phone.events(event).into_iter().find(|e| e["call"] == call) {
            return seen.clone();
        }
        assert!(Instant::now() < end, "no {event} of call {call}");
        phone.expect(event);
    }
}

#[test]
fn baresip_goes_where_we_send_it() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    let dir = scratch("transfer-baresip");
    let wav = dir.join("target.wav");
    let listen = format!("127.0.0.1:{}", free_port());
    let mut carol = target("carol", &listen, &wav.display().to_string());
    let mut baresip =
        Baresip::start("transferred", 600, "PCMU/8000/1", "bare@127.0.0.1", "regint=0;");
    let script = dir.join("script");
    std::fs::write(&script, format!("1.0 transfer sip:carol@{listen}\n")).expect("script");
    let (script, to) =
        (script.display().to_string(), format!("sip:bare@127.0.0.1:{}", baresip.port));
    let sound = ["--codecs", "pcmu", "--input", "silence", "--output", "null"];
    let rest = ["--listen", "127.0.0.1:0", "--script", &script, "call", &to];
    let mut alice = Softphone::start("alice", &[&sound[..], &rest[..]].concat());
    let transferred = alice.expect("transferred");
    assert_eq!(transferred["by"], "local", "{transferred}");
    assert_eq!(alice.expect("ended")["by"], "local");
    assert_eq!(alice.finish(), 0);
    carol.expect("answered");
    std::thread::sleep(Duration::from_secs(3));
    baresip.tell("hangup", "");
    assert_eq!(carol.expect("ended")["by"], "remote");
    carol.interrupt();
    carol.finish();
    let level = tone(&wav).dbfs;
    assert_tone(&wav, 600.0, level);
    assert!(level > -40.0, "{level} dBFS is hardly a tone");
}

#[test]
fn we_go_where_baresip_sends_us() {
    let _one = shared();
    if !installed("baresip") {
        return;
    }
    let dir = scratch("transfer-us");
    let wav = dir.join("target.wav");
    let at_carol = format!("127.0.0.1:{}", free_port());
    let mut carol = target("carol", &at_carol, &wav.display().to_string());
    let at_bob = format!("127.0.0.1:{}", free_port());
    let sound = ["--codecs", "pcmu", "--input", "tone:500", "--output", "null"];
    let rest = ["--listen", &at_bob, "--no-register", "answer"];
    let mut bob = Softphone::start("bob", &[&sound[..], &rest[..]].concat());
    bob.expect("listening");
    let mut baresip =
        Baresip::start("transfers", 600, "PCMU/8000/1", "bare@127.0.0.1", "regint=0;");
    baresip.tell("dial", &format!("sip:bob@{at_bob}"));
    baresip.expect("CALL_ESTABLISHED");
    bob.expect("answered");
    std::thread::sleep(Duration::from_millis(500));
    baresip.tell("transfer", &format!("sip:carol@{at_carol}"));
    let answered = expect_of(&mut bob, "answered", 2);
    assert_eq!(answered["codec"], "pcmu", "{answered}");
    carol.expect("answered");
    baresip.expect("CALL_CLOSED");
    std::thread::sleep(Duration::from_secs(3));
    bob.interrupt();
    assert_eq!(bob.finish(), 130);
    let transferred = bob.events("transferred");
    assert_eq!((&transferred[0]["call"], &transferred[0]["by"]), (&1.into(), &"remote".into()));
    let ended = bob.events("ended");
    assert!(ended.iter().any(|e| e["call"] == 1 && e["by"] == "remote"), "baresip hung up");
    carol.expect("ended");
    carol.interrupt();
    carol.finish();
    assert_tone(&wav, 500.0, tone(&wav).dbfs);
}

#[test]
fn three_telephones_transfer_a_call_attended_through_kamailio() {
    let _one = shared();
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start("attended");
    let dir = scratch("attended-wav");
    let [b, c] = ["bob.wav", "carol.wav"].map(|name| dir.join(name).display().to_string());
    let [mut bob, mut carol] = [("1002", "600", &b), ("1003", "700", &c)].map(|(user, hz, wav)| {
        let input = format!("tone:{hz}");
        let args = ["--codecs", "pcmu", "--input", &input, "--output", wav, "answer"];
        let mut phone = phone(user, &account(kamailio.port, user, "udp"), &args);
        phone.expect("registered");
        phone
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listen = "127.0.0.1:0".parse().unwrap();
        let ua = UserAgent::builder().listen(listen).codecs(["pcmu"]).build().await.unwrap();
        let proxy = format!("sip:127.0.0.1:{};lr", kamailio.port);
        let alice = ua
            .account("sip:1001@sip.test")
            .password("secret1001")
            .registrar("sip:sip.test")
            .outbound_proxy(proxy)
            .register()
            .await
            .unwrap();
        let to_bob = alice.call("sip:1002@sip.test").audio(Audio::silent()).await.unwrap();
        to_bob.answered().await.unwrap();
        to_bob.hold().await.unwrap();
        let to_carol = alice.call("sip:1003@sip.test").audio(Audio::silent()).await.unwrap();
        to_carol.answered().await.unwrap();
        let transfer = to_bob.transfer_to_call(&to_carol).await.unwrap();
        let outcome = tokio::time::timeout(Duration::from_secs(15), transfer.outcome()).await;
        assert_eq!(outcome.unwrap(), TransferOutcome::Completed);
        let over = async { (to_bob.ended().await, to_carol.ended().await) };
        tokio::time::timeout(Duration::from_secs(5), over).await.expect("both are hung up");
        ua.shutdown().await;
    });
    for phone in [&mut bob, &mut carol] {
        assert_eq!(expect_of(phone, "transferred", 1)["by"], "remote");
        expect_of(phone, "answered", 2);
    }
    std::thread::sleep(Duration::from_secs(3));
    bob.interrupt();
    assert_eq!(bob.finish(), 130);
    carol.expect("ended");
    carol.interrupt();
    carol.finish();
    // What is heard after the transfer is in a file of its own.
    let [b, c] = ["bob-2.wav", "carol-2.wav"].map(|name| dir.join(name));
    assert_tone(&b, 700.0, tone(&b).dbfs);
    assert_tone(&c, 600.0, tone(&c).dbfs);
}
