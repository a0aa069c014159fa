//! DTLS-SRTP as an application sees it: two agents on real sockets of the loopback.
#![cfg(feature = "dtls")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tiny_ua::dtls::{Identity, SrtpProfile};
use tiny_ua::{
    Account, Audio, Call, CallEvent, Config, Event, IncomingCall, Srtp, Trace, TraceKind,
    TracePacket, UserAgent,
};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

async fn agent(change: impl FnOnce(&mut Config)) -> UserAgent {
    let builder = UserAgent::builder().listen("127.0.0.1:0".parse().unwrap()).codecs(["pcmu"]);
    builder.srtp(Srtp::Dtls).configure(change).build().await.unwrap()
}

fn address(ua: &UserAgent) -> SocketAddr {
    ua.addresses()[0].1
}

async fn account(ua: &UserAgent, name: &str) -> Account {
    ua.account(format!("sip:{name}@{}", address(ua))).build().await.unwrap()
}

async fn soon<F: Future>(what: F) -> F::Output {
    timeout(Duration::from_secs(20), what).await.expect("within 20 s")
}

async fn incoming(ua: &UserAgent) -> IncomingCall {
    loop {
        if let Event::IncomingCall(call) = soon(ua.next_event()).await.expect("an event") {
            return call;
        }
    }
}

async fn secured(call: &Call) -> (String, String, String) {
    loop {
        match soon(call.next_event()).await.expect("an event of the call") {
            CallEvent::Secured { srtp, cipher, fingerprint } => return (srtp, cipher, fingerprint),
            CallEvent::Ended(end) => panic!("{end:?}"),
            _ => {}
        }
    }
}

/// So many more packets come.
async fn hears(call: &Call, more: u64) {
    let had = call.stats().await.unwrap().rx_packets;
    let heard = async {
        while call.stats().await.unwrap().rx_packets < had + more {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon(heard).await;
}

async fn call(from: &UserAgent, to: &UserAgent) -> (Call, Call) {
    let bob = format!("sip:bob@{}", address(to));
    let placed = account(from, "alice").await.call(bob).audio(Audio::silent()).await.unwrap();
    let taken = incoming(to).await.answer(Audio::silent()).await.unwrap();
    soon(placed.answered()).await.unwrap();
    (placed, taken)
}

/// The media packets of one agent: whether they went out, their first octet and their length.
#[derive(Default)]
struct Seen(Mutex<Vec<(bool, u8, usize)>>);

impl Trace for Seen {
    fn packet(&self, packet: TracePacket<'_>) {
        if packet.kind == TraceKind::Rtp {
            let seen = (packet.outgoing, packet.data[0], packet.data.len());
            self.0.lock().unwrap().push(seen);
        }
    }
}

#[tokio::test]
async fn both_sides_know_each_other_and_nothing_leaves_in_the_clear() {
    let identities = [Identity::generate().unwrap(), Identity::generate().unwrap()];
    let seen = Arc::new(Seen::default());
    let left = agent(|config| {
        config.dtls_identity = Some(identities[0].clone());
        config.trace = Some(seen.clone());
    })
    .await;
    let right = agent(|config| config.dtls_identity = Some(identities[1].clone())).await;
    let (placed, taken) = call(&left, &right).await;
    for (call, peer) in [(&placed, &identities[1]), (&taken, &identities[0])] {
        let (srtp, cipher, fingerprint) = secured(call).await;
        assert_eq!(srtp, "dtls:AEAD_AES_128_GCM");
        assert_eq!(cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(fingerprint, peer.fingerprint().to_string());
        hears(call, 10).await;
    }
    // The association lives on over hold and resume.
    placed.hold().await.unwrap();
    placed.resume().await.unwrap();
    hears(&placed, 10).await;
    hears(&taken, 10).await;
    let stats = placed.hangup().await.stats.unwrap();
    assert_eq!((stats.srtp_auth_failed, stats.srtp_replayed), (0, 0), "{stats:?}");
    let seen = seen.0.lock().unwrap();
    assert!(seen.len() > 20);
    // A STUN check (RFC 5763 §6.7.1) or DTLS.
    let handshake = |octet: u8| octet < 4 || (20..64).contains(&octet);
    assert!(handshake(seen[0].1), "the handshake comes first: {:?}", seen[0]);
    // RTP, RTCP by the same port, or DTLS; sound has 12 octets of header, 160 of PCMU, 16 of tag.
    for (_, octet, length) in seen.iter() {
        let sound = *octet & 0xc0 == 0x80;
        assert!(handshake(*octet) || sound, "{octet}");
        assert!(!sound || *length != 172, "{length} octets in the clear");
    }
    assert!(seen.iter().any(|(_, octet, length)| *octet == 0x80 && *length == 188));
}

#[tokio::test]
async fn without_mux_reports_pass_under_keys_of_their_own() {
    let left = agent(|config| config.rtcp_mux = false).await;
    let right = agent(|_| {}).await;
    let (placed, taken) = call(&left, &right).await;
    secured(&placed).await;
    secured(&taken).await;
    let reported = async {
        while placed.stats().await.unwrap().rtt_ms.is_none() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    soon(reported).await;
    placed.hangup().await;
}

#[tokio::test]
async fn every_profile_that_is_configured_carries_sound() {
    for (profile, name) in [
        (SrtpProfile::AeadAes256Gcm, "dtls:AEAD_AES_256_GCM"),
        (SrtpProfile::Aes128CmSha1_80, "dtls:AES_CM_128_HMAC_SHA1_80"),
        (SrtpProfile::Aes128CmSha1_32, "dtls:AES_CM_128_HMAC_SHA1_32"),
    ] {
        let left = agent(|config| config.dtls.profiles = vec![profile]).await;
        let right = agent(|config| config.dtls.profiles.push(SrtpProfile::Aes128CmSha1_32)).await;
        let (placed, taken) = call(&left, &right).await;
        assert_eq!(secured(&placed).await.0, name);
        hears(&placed, 5).await;
        hears(&taken, 5).await;
        placed.hangup().await;
    }
}

/// Carries datagrams between callers and an agent, and changes the fingerprints that go by.
async fn meddler(to: SocketAddr, known: String, shown: String) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut caller, mut buffer) = (to, vec![0; 65_536]);
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]).replace(&known, &shown);
            let next = if from == to { caller } else { to };
            if from != to {
                caller = from;
            }
            let _ = socket.send_to(text.as_bytes(), next).await;
        }
    });
    at
}

#[tokio::test]
async fn a_man_in_the_middle_of_the_signalling_is_found_out_by_the_fingerprint() {
    let identity = Identity::generate().unwrap();
    let known = identity.fingerprint().to_string();
    let shown = Identity::generate().unwrap().fingerprint().to_string();
    let left = agent(|config| config.dtls_identity = Some(identity)).await;
    let right = agent(|_| {}).await;
    let middle = meddler(address(&right), known, shown).await;
    let alice = account(&left, "alice").await;
    let placed = alice.call(format!("sip:bob@{middle}")).audio(Audio::silent()).await.unwrap();
    let taken = incoming(&right).await.answer(Audio::silent()).await.unwrap();
    let end = soon(taken.ended()).await;
    assert!(end.failed, "{end:?}");
    assert_eq!(end.reason, "DTLS: the peer's certificate does not match its fingerprint");
    assert_eq!(end.stats.map(|s| (s.rx_packets, s.tx_packets > 0)).map(|s| s.0), Some(0));
    soon(placed.ended()).await;
}
