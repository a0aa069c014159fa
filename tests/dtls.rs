//! DTLS-SRTP as an application sees it: two agents on real sockets of the loopback.
#![cfg(feature = "dtls")]

mod common;

use common::{call, hears, on_loopback, told, until};
use std::sync::{Arc, Mutex};
use tiny_ua::dtls::{Identity, SrtpProfile};
use tiny_ua::{Call, CallEvent, Config, Srtp, Trace, TraceKind, TracePacket, UserAgent};

async fn agent(change: impl FnOnce(&mut Config)) -> UserAgent {
    let builder = on_loopback().codecs(["pcmu"]).srtp(Srtp::Dtls);
    builder.configure(change).build().await.unwrap()
}

/// How media is encrypted, the cipher of the handshake, and the fingerprint of the peer.
async fn secured(call: &Call) -> (String, String, String) {
    told(call, |event| match event {
        CallEvent::Secured { srtp, cipher, fingerprint } => Some((srtp, cipher, fingerprint)),
        _ => None,
    })
    .await
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
    until(&placed, "reports", |stats| stats.rtt_ms.is_some()).await;
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
