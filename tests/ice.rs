//! ICE as an application sees it: two agents on real sockets of this machine.
#![cfg(feature = "dtls")]

mod common;

use common::{account, address, call, hears, incoming, on_loopback, soon, told, until};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use tiny_ua::ice::{CandidateAddress, CandidateKind, PairReport, PairState, State};
use tiny_ua::{Audio, Call, CallEvent, CallState, Config, Ice, Srtp, UserAgent};

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

/// Multicast DNS at a port of this machine in place of the group.
fn link_at(port: u16) -> impl Fn(&mut Config) {
    move |config| config.net.mdns.group_v4 = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

#[tokio::test]
async fn an_agent_that_hides_its_address_is_found_by_its_name_or_by_its_own_checks() {
    for answered_for in [true, false] {
        // Where the port is taken, nobody answers for the name.
        let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let on_link = link_at(held.local_addr().unwrap().port());
        let _taken = (!answered_for).then_some(held);
        let left = agent(|config| {
            on_link(config);
            config.ice_limits.hide_addresses = true;
        })
        .await;
        let right = agent(on_link).await;
        let caller = account(&left, "alice").await;
        let to = format!("sip:bob@{}", address(&right));
        let placed = soon(caller.call(to).audio(Audio::silent())).await.expect("a call");
        let offered = incoming(&right).await;
        let offer = String::from_utf8(offered.request().body().to_vec()).unwrap();
        assert!(offer.contains(".local ") && !offer.contains("127.0.0.1"), "{offer}");
        assert!(offer.contains("c=IN IP4 0.0.0.0\r\n") && offer.contains("m=audio 9 "), "{offer}");
        let taken = soon(offered.answer(Audio::silent())).await.expect("answered");
        soon(placed.answered()).await.expect("answered");
        assert!(has_ice(&placed) && has_ice(&taken));
        hears(&placed, 10).await;
        hears(&taken, 10).await;
        // We see our own address, the peer the name that it was told, once that is found.
        let report = placed.ice().await.unwrap();
        let own = |c: &CandidateAddress| c.ip().is_some_and(|at| at.ip().is_loopback());
        assert!(report.local.iter().all(|c| own(&c.address)), "{report:?}");
        let found = async {
            loop {
                let report = taken.ice().await.unwrap();
                let pair = report.pairs.iter().find(|p| p.selected).expect("a pair in use");
                let kind = pair.remote_kind;
                let name = |c: &CandidateAddress| matches!(c, CandidateAddress::Name(..));
                if !answered_for || kind == CandidateKind::Host {
                    let named = report.remote.iter().any(|c| name(&c.address));
                    return (kind, named);
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let kind = if answered_for { CandidateKind::Host } else { CandidateKind::PeerReflexive };
        assert_eq!(soon(found).await, (kind, answered_for));
        placed.hangup().await;
    }
}
