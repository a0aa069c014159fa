//! The handshakes of two streams face to face, and the packets under their keys.

use super::*;
use crate::CallStats;
use crate::media::{Security, Shield};
use std::time::Duration;

fn at(end: usize, component: Component) -> SocketAddr {
    let port = 4000 + index(component) as u16;
    SocketAddr::from(([192, 0, 2, 1 + end as u8], port))
}

struct End {
    handshakes: Handshakes,
    shield: Shield,
    secured: Vec<Secured>,
    failed: Option<String>,
}

fn ends(mux: bool, known: impl Fn(&[Identity; 2]) -> [Fingerprint; 2]) -> [End; 2] {
    let identities = [Identity::generate().unwrap(), Identity::generate().unwrap()];
    let known = known(&identities);
    let mut rng = Rng::from_seed(7);
    [0, 1].map(|end| {
        let agreement = DtlsAgreement {
            role: [Role::Passive, Role::Active][end],
            fingerprints: vec![known[1 - end].clone()],
            remote_tls_id: None,
            number: 1,
        };
        let identity = identities[end].clone();
        let keys = DtlsKeys { identity, config: Arc::default(), agreement, mux };
        let peers = [Component::Rtp, Component::Rtcp].map(|c| Some(at(1 - end, c)));
        let handshakes = Handshakes::new(Instant::now(), &keys, peers, &mut rng).unwrap();
        let shield = Shield::new(Security::Dtls(Box::new(keys))).unwrap();
        End { handshakes, shield, secured: Vec::new(), failed: None }
    })
}

fn honest(identities: &[Identity; 2]) -> [Fingerprint; 2] {
    [identities[0].fingerprint(), identities[1].fingerprint()]
}

fn run(ends: &mut [End; 2]) {
    let now = Instant::now();
    let mut idle = 0;
    while idle < 2 {
        for end in 0..2 {
            idle += 1;
            match ends[end].handshakes.poll(now) {
                Output::Transmit((component, to, data)) => {
                    idle = 0;
                    assert_eq!(to, at(1 - end, component));
                    let from = at(end, component);
                    ends[1 - end].handshakes.handle(now, component, from, &data);
                }
                Output::Event(DtlsEvent::Keys(component, keyed)) => {
                    idle = 0;
                    ends[end].secured.push(keyed.secured.clone());
                    ends[end].shield.install(component, keyed);
                }
                Output::Event(DtlsEvent::Failed(why)) => {
                    // The alert is still to come.
                    idle = 0;
                    ends[end].failed = Some(why);
                }
                Output::Event(DtlsEvent::Data(_) | DtlsEvent::Closed) => idle = 0,
                Output::Timeout(_) => {}
            }
        }
    }
}

fn media() -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4];
    packet.extend([0xd5; 160]);
    packet
}

fn report() -> Vec<u8> {
    vec![0x80, 201, 0, 1, 1, 2, 3, 4]
}

fn stats(end: &End) -> CallStats {
    let mut stats = CallStats::default();
    end.shield.count(&mut stats);
    stats
}

#[test]
fn nothing_passes_before_the_keys_and_all_passes_encrypted_after() {
    let mut ends = ends(true, honest);
    for end in &mut ends {
        assert!(!end.shield.seal(Component::Rtp, &mut media()));
        assert!(!end.shield.seal(Component::Rtcp, &mut report()));
        assert_eq!(end.shield.open(Component::Rtp, &mut media()), None);
        let seen = stats(end);
        assert_eq!((seen.srtp_unsent, seen.srtp_early), (2, 1));
    }
    run(&mut ends);
    for (from, to) in [(0, 1), (1, 0)] {
        for (component, clear) in [(Component::Rtp, media()), (Component::Rtcp, report())] {
            let mut packet = clear.clone();
            assert!(ends[from].shield.seal(component, &mut packet));
            assert!(packet.len() > clear.len());
            let length = ends[to].shield.open(component, &mut packet).expect("the same keys");
            assert_eq!(packet[..length], clear);
        }
        assert_eq!(ends[from].shield.open(Component::Rtp, &mut media()), None, "in the clear");
        let seen = stats(&ends[from]);
        assert_eq!(seen.srtp_auth_failed + seen.srtp_replayed, 1);
    }
    assert_eq!(ends[0].secured.len(), 1);
    assert_eq!(ends[0].secured[0].srtp, "dtls:AEAD_AES_128_GCM");
}

#[test]
fn without_mux_the_port_of_rtcp_has_an_association_and_keys_of_its_own() {
    let mut ends = ends(false, honest);
    run(&mut ends);
    assert_eq!(ends[0].secured.len(), 2, "RFC 5764 §5.1.1");
    let mut packet = report();
    assert!(ends[0].shield.seal(Component::Rtcp, &mut packet));
    let mut astray = packet.clone();
    assert_eq!(ends[1].shield.open(Component::Rtp, &mut astray), None, "the keys of RTP");
    assert_eq!(ends[1].shield.open(Component::Rtcp, &mut packet), Some(report().len()));
}

#[test]
fn a_certificate_that_was_not_announced_brings_no_keys() {
    let mut ends = ends(true, |identities| {
        [identities[0].fingerprint(), Identity::generate().unwrap().fingerprint()]
    });
    run(&mut ends);
    let why = "DTLS: the peer's certificate does not match its fingerprint";
    assert_eq!(ends[0].failed.as_deref(), Some(why));
    let told = "DTLS: the peer refused: alert 42 (bad certificate)";
    assert_eq!(ends[1].failed.as_deref(), Some(told));
    for end in &mut ends {
        assert!(end.secured.is_empty());
        assert!(!end.shield.seal(Component::Rtp, &mut media()));
    }
}

#[test]
fn silence_fails_in_time() {
    let [_, mut caller] = ends(true, honest);
    let mut now = Instant::now();
    let end = now + Duration::from_secs(31);
    while now < end {
        loop {
            match caller.handshakes.poll(now) {
                Output::Event(DtlsEvent::Failed(why)) => caller.failed = Some(why),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        now += Duration::from_millis(200);
        caller.handshakes.handle_timeout(now);
    }
    assert_eq!(caller.failed.as_deref(), Some("DTLS: the peer does not answer"));
}
