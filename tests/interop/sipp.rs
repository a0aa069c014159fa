//! SIPp as a load: 2,000 calls at 100 calls a second, both ways.

use crate::peers::{Process, Softphone, alone, free_port, installed, scratch};
use crate::scenario::wait_for_udp;
use std::process::{Command, Stdio};
use std::time::Duration;
use tiny_ua::{Audio, Udp, UserAgent};

const CALLS: usize = 2000;
const RATE: usize = 100;

fn sipp(dir: &std::path::Path, args: &[&str]) -> Process {
    let log = std::fs::File::create(dir.join("sipp.log")).expect("log");
    Process::start(
        Command::new("sipp")
            .current_dir(dir)
            .args(["-nostdin", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-trace_err"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null()),
    )
}

#[test]
fn its_uac_makes_2000_calls_to_softphone_answer_and_none_fails() {
    let _one = alone();
    if !installed("sipp") {
        return;
    }
    let dir = scratch("sipp-uac");
    let listen = format!("127.0.0.1:{}", free_port());
    let options = ["--listen", &listen, "--no-register", "--input", "silence", "--output", "null"];
    let mut phone = Softphone::start("answerer", &[&options[..], &["answer"]].concat());
    phone.expect("listening");
    let (calls, rate, port) = (CALLS.to_string(), RATE.to_string(), free_port().to_string());
    let load = ["-sn", "uac", "-p", &port, "-m", &calls, "-r", &rate, "-d", "500", &listen];
    let status = sipp(&dir, &load).wait(Duration::from_secs(120));
    assert!(status.success(), "SIPp: {status}; see {}", dir.display());
    phone.interrupt();
    assert_eq!(phone.finish(), 130);
    assert_eq!(phone.events("answered").len(), CALLS);
    let ended = phone.events("ended");
    assert_eq!(ended.len(), CALLS);
    assert!(ended.iter().all(|e| e["by"] == "remote"), "each was ended by SIPp's BYE");
}

#[test]
fn its_uas_answers_2000_of_our_calls_and_none_fails() {
    let _one = alone();
    if !installed("sipp") {
        return;
    }
    let dir = scratch("sipp-uas");
    let (port, media) = (free_port().to_string(), free_port().to_string());
    let _uas = sipp(&dir, &["-sn", "uas", "-p", &port, "-mp", &media]);
    wait_for_udp(port.parse().expect("port"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    let failed = runtime.block_on(async {
        let at = "127.0.0.1:0".parse().expect("address");
        let ua = UserAgent::builder().transport(Udp::at(at)).build().await.expect("agent");
        let account = ua.account("sip:load@127.0.0.1").build().await.expect("account");
        let mut pace = tokio::time::interval(Duration::from_millis(1000 / RATE as u64));
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..CALLS {
            pace.tick().await;
            let (account, to) = (account.clone(), format!("sip:sipp@127.0.0.1:{port}"));
            calls.spawn(async move {
                let call = account.call(to).audio(Audio::silent()).await?;
                call.answered().await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
                let end = call.hangup().await;
                match end.status {
                    None | Some(200) => Ok(()),
                    Some(status) => Err(tiny_ua::Error::State(format!("call {n}: {status}"))),
                }
            });
        }
        let mut failed = Vec::new();
        while let Some(result) = calls.join_next().await {
            if let Err(e) = result.expect("task") {
                failed.push(e.to_string());
            }
        }
        ua.shutdown().await;
        failed
    });
    assert!(failed.is_empty(), "{} of {CALLS} calls failed, first: {}", failed.len(), failed[0]);
}
