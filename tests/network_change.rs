//! A telephone that changes its address in the midst of a call, on real sockets: only Linux has all of
//! 127.0.0.0/8 on its loopback.
#![cfg(target_os = "linux")]

mod common;

use common::{account, address, connect, note, on_loopback, soon, uri};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tiny_ua::testkit::Registrar;
use tiny_ua::{
    Audio, Call, CallState, Config, Event, Srtp, Trace, TraceKind, TracePacket, Transport,
    UserAgent,
};
use tokio::sync::mpsc;

const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// What came as RTP: from where to where, of which source, with which number.
#[derive(Debug, Clone, Copy)]
struct Heard {
    from: SocketAddr,
    at: SocketAddr,
    ssrc: u32,
    number: u16,
}

struct Listener(mpsc::UnboundedSender<Heard>);
impl Trace for Listener {
    fn packet(&self, packet: TracePacket<'_>) {
        let data = packet.data;
        if packet.kind != TraceKind::Rtp || packet.outgoing || data.len() < 12 {
            return;
        }
        let reports = (192..=223).contains(&data[1]);
        if !reports {
            let _ = self.0.send(Heard {
                from: packet.flow.remote,
                at: packet.flow.local,
                ssrc: u32::from_be_bytes([data[8], data[9], data[10], data[11]]),
                number: u16::from_be_bytes([data[2], data[3]]),
            });
        }
    }
}

async fn agent() -> (UserAgent, mpsc::UnboundedReceiver<Heard>) {
    let (told, heard) = mpsc::unbounded_channel();
    let ua = on_loopback()
        .codecs(["pcmu"])
        .srtp(Srtp::Sdes)
        .trace(Arc::new(Listener(told)))
        .configure(|config: &mut Config| config.rtp_ports = 41_000..=43_000)
        .build()
        .await
        .unwrap();
    (ua, heard)
}

async fn until(
    packets: &mut mpsc::UnboundedReceiver<Heard>,
    wanted: impl Fn(&Heard) -> bool,
) -> (Heard, Heard) {
    let mut before = soon(packets.recv()).await.unwrap();
    loop {
        let next = soon(packets.recv()).await.unwrap();
        if wanted(&next) {
            return (before, next);
        }
        before = next;
    }
}

fn is_up(call: &Call) -> bool {
    matches!(call.state(), CallState::Established { held: false, held_by_peer: false, .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_moves_from_one_address_to_another_with_the_sound_going_on() {
    let domain = "roaming.test";
    let registrar = Registrar::builder(domain).user("alice", "secret").start().await.unwrap();
    let (alice, mut at_alice) = agent().await;
    let (bob, mut at_bob) = agent().await;
    let registered = alice
        .account(format!("sip:alice@{domain}"))
        .registrar(format!("sip:{}", registrar.address()))
        .password("secret")
        .register()
        .await
        .unwrap();
    let _bobs = account(&bob, "bob").await;
    let (alices_sound, mut alice_hears) = note();
    let (bobs_sound, mut bob_hears) = note();
    let call = registered.call(uri("bob", &bob)).audio(alices_sound);
    let (call, answered) = connect(call, &bob, bobs_sound).await;
    soon(alice_hears.recv()).await.unwrap();
    soon(bob_hears.recv()).await.unwrap();

    let port = address(&alice).port();
    let report = alice.network_moved_to(ELSEWHERE).await.unwrap();
    assert_eq!((report.moved, report.registrations, report.offline), (1, 1, false));
    assert!(report.addresses.contains(&(Transport::Udp, SocketAddr::new(ELSEWHERE, port))));

    // Hers: the same source, its next numbers, from the new address.
    let (last, first) = until(&mut at_bob, |packet| packet.from.ip() == ELSEWHERE).await;
    assert_eq!((last.ssrc, last.number.wrapping_add(1)), (first.ssrc, first.number));
    // His: to the new address, as soon as the re-INVITE has told him.
    let (last, first) = until(&mut at_alice, |packet| packet.at.ip() == ELSEWHERE).await;
    assert_eq!(last.ssrc, first.ssrc);
    // And it is heard: under the same keys.
    while alice_hears.try_recv().is_ok() {}
    while bob_hears.try_recv().is_ok() {}
    soon(alice_hears.recv()).await.unwrap();
    soon(bob_hears.recv()).await.unwrap();
    assert!(is_up(&call) && is_up(&answered));
    let stats = soon(answered.stats()).await.unwrap();
    assert_eq!((stats.srtp_auth_failed, stats.srtp_replayed), (0, 0));

    // The registrar knows the new address, and Bob reaches her there.
    loop {
        if let Event::Registered { contact, .. } = soon(alice.next_event()).await.unwrap()
            && contact.contains("127.0.0.2")
        {
            break;
        }
    }
    soon(answered.hold()).await.unwrap();
    let end = soon(answered.hangup()).await;
    assert!(!end.failed);
    soon(call.ended()).await;
    tokio::join!(alice.shutdown(), bob.shutdown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_without_a_network_and_goes_on_with_the_next_one() {
    let (alice, mut at_alice) = agent().await;
    let (bob, _) = agent().await;
    let _bobs = account(&bob, "bob").await;
    let (own, to_bob) = (account(&alice, "alice").await, uri("bob", &bob));
    let (call, answered) = connect(own.call(&to_bob).audio(note().0), &bob, note().0).await;
    soon(at_alice.recv()).await.unwrap();

    assert!(alice.network_lost().await.unwrap().offline);
    let refused = own.call(&to_bob).audio(Audio::silent()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        tiny_ua::Error::Network("there is no network".into()).to_string()
    );
    let held = {
        let call = call.clone();
        tokio::spawn(async move { call.hold().await })
    };
    let report = alice.network_moved_to(ELSEWHERE).await.unwrap();
    assert_eq!(report.moved, 1);
    soon(held).await.unwrap().unwrap();
    soon(call.resume()).await.unwrap();
    until(&mut at_alice, |packet| packet.at.ip() == ELSEWHERE).await;
    soon(call.hangup()).await;
    assert!(!soon(answered.ended()).await.failed);
    tokio::join!(alice.shutdown(), bob.shutdown());
}
