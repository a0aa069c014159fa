//! ICE as an application sees it: two agents on real sockets of this machine.
#![cfg(feature = "dtls")]

mod common;

use common::{call, hears, on_loopback, told, until};
use tiny_ua::ice::{PairReport, PairState, State};
use tiny_ua::{Call, CallEvent, CallState, Config, Ice, Srtp, UserAgent};

async fn agent(change: impl FnOnce(&mut Config)) -> UserAgent {
    // Loopback alone, whatever networks the machine has.
    let builder = on_loopback().codecs(["pcmu"]).media_address("127.0.0.1".parse().unwrap());
    builder.ice(Ice::Full).configure(change).build().await.unwrap()
}

/// The pair that ICE has found.
async fn path(call: &Call) -> PairReport {
    told(call, |event| match event {
        CallEvent::IcePath { pair, .. } => Some(*pair),
        _ => None,
    })
    .await
}

fn has_ice(call: &Call) -> bool {
    matches!(call.state(), CallState::Established { codec: Some(codec), .. } if codec.ice)
}

#[tokio::test]
async fn both_sides_hear_each_other_over_the_pair_that_is_told() {
    let left = agent(|config| config.srtp = Srtp::Dtls).await;
    let right = agent(|config| config.srtp = Srtp::Dtls).await;
    let (placed, taken) = call(&left, &right).await;
    assert!(has_ice(&placed) && has_ice(&taken));
    let (one, other) = (path(&placed).await, path(&taken).await);
    assert_eq!((one.local, one.remote), (other.remote, other.local));
    hears(&placed, 10).await;
    hears(&taken, 10).await;
    let report = placed.ice().await.unwrap();
    assert!(matches!(report.state, State::Connected | State::Completed), "{report:?}");
    assert!(report.controlling && !report.local.is_empty() && !report.remote.is_empty());
    let selected = report.pairs.iter().find(|pair| pair.selected).expect("a pair in use");
    assert_eq!((selected.state, selected.remote), (PairState::Succeeded, one.remote));
    placed.hold().await.unwrap();
    placed.resume().await.unwrap();
    hears(&placed, 10).await;
    hears(&taken, 10).await;
    placed.hangup().await;
    assert!(placed.ice().await.is_err());
}

#[tokio::test]
async fn the_browser_profile_carries_sound_over_one_port() {
    let left = agent(|config| config.webrtc = true).await;
    let right = agent(|config| config.webrtc = true).await;
    let (placed, taken) = call(&left, &right).await;
    hears(&placed, 10).await;
    hears(&taken, 10).await;
    let report = taken.ice().await.unwrap();
    assert!(!report.controlling && report.local.iter().all(|c| c.component == 1), "{report:?}");
    placed.hangup().await;
}

#[tokio::test]
async fn a_lite_side_and_a_full_one_hear_each_other() {
    for lite_calls in [true, false] {
        let lite = agent(|config| config.ice = Ice::Lite).await;
        let full = agent(|_| {}).await;
        let (from, to) = if lite_calls { (&lite, &full) } else { (&full, &lite) };
        let (placed, taken) = call(from, to).await;
        hears(&placed, 10).await;
        hears(&taken, 10).await;
        // Of a lite and a full side the full one controls, whoever calls (RFC 8445 §6.1.1).
        assert_eq!(placed.ice().await.unwrap().controlling, !lite_calls);
        placed.hangup().await;
    }
}

#[tokio::test]
async fn without_mux_both_components_find_their_paths() {
    let left = agent(|config| config.rtcp_mux = false).await;
    let right = agent(|_| {}).await;
    let (placed, taken) = call(&left, &right).await;
    hears(&placed, 10).await;
    hears(&taken, 10).await;
    until(&placed, "reports", |stats| stats.rtt_ms.is_some()).await;
    let report = placed.ice().await.unwrap();
    for component in [1, 2] {
        let mut pairs = report.pairs.iter().filter(|p| p.selected);
        assert!(pairs.any(|pair| pair.component == component), "{report:?}");
    }
    placed.hangup().await;
}

#[tokio::test]
async fn a_side_without_ice_hears_and_is_heard_as_ever() {
    let left = agent(|_| {}).await;
    let right = agent(|config| config.ice = Ice::Off).await;
    let (placed, taken) = call(&left, &right).await;
    assert!(!has_ice(&placed) && !has_ice(&taken));
    hears(&placed, 10).await;
    hears(&taken, 10).await;
    placed.hangup().await;
}
