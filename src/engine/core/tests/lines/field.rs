//! Offers and answers of the JSEP document and of browsers, whole and broken, met by calls.

use super::profile::chromium;
use super::*;

fn jsep(name: &str) -> String {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sdp");
    std::fs::read_to_string(dir.join("jsep-rfc8829").join(name)).unwrap()
}

// RFC 8829 §7
#[test]
fn the_offers_of_the_jsep_examples_are_answered_with_sound_and_data() {
    for (name, group, data) in [
        ("01-offer-A1.sdp", "a=group:BUNDLE a1", false),
        ("03-offer-B1.sdp", "a=group:BUNDLE a1 d1", true),
        ("07-offer-C1.sdp", "a=group:BUNDLE a1", false),
    ] {
        let mut b = browser(2, "192.0.2.2", "bobby");
        let (answer, session) = b.try_answer(&jsep(name)).unwrap();
        assert!(has(&answer, group), "{name}: {answer}");
        assert_eq!(b.call.data().is_some(), data, "{name}");
        let audio = session.audio().unwrap();
        assert_eq!((audio.codecs[0].name.as_str(), audio.codecs[0].send_pt), ("opus", 96));
        assert_eq!(mid_of(audio).map(|mid| (mid.id, mid.mid)), Some((1, "a1".to_owned())));
        // A peer with tls-id gets one; there is but a port for all, and that is said as it was.
        let first = section(&answer, 0);
        assert!(first.contains("a=tls-id:") && first.contains("a=setup:active"), "{answer}");
        let only = jsep(name).contains("rtcp-mux-only");
        assert_eq!(first.contains("a=rtcp-mux-only"), only, "{name}: {answer}");
        assert_eq!((b.association(), b.call.ice_peer().is_some()), (1, true));
    }
}

#[test]
fn an_offer_of_firefox_is_answered() {
    let offer = include_str!("../../../../../tests/vectors/sdp/browsers/firefox.sdp");
    let mut b = browser(2, "192.0.2.2", "bobby");
    let (answer, session) = b.try_answer(offer).unwrap();
    assert!(has(&answer, "a=group:BUNDLE 0 2"), "{answer}");
    assert!(answer.contains("m=audio 7000 UDP/TLS/RTP/SAVPF 109 0 101\r\n"), "{answer}");
    assert!(answer.contains("m=video 0 UDP/TLS/RTP/SAVPF 120"), "{answer}");
    assert!(answer.contains("m=application 7000 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{answer}");
    assert_eq!(session.audio().unwrap().remote_rtp.as_ref().unwrap().port, 52_116);
    let peer = b.call.ice_peer().unwrap();
    assert_eq!((peer.candidates.len(), peer.done), (4, true));
    assert_eq!(b.call.data().unwrap().remote_max_message_size, 1_073_741_823);
}

/// Lines left out, doubled, swapped, cut and changed.
fn broken(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=rng.u64() % 3 {
        let at = (rng.u64() % lines.len() as u64) as usize;
        let other = (rng.u64() % lines.len() as u64) as usize;
        match rng.u64() % 6 {
            0 => drop(lines.remove(at)),
            1 => lines.insert(other, lines[at].clone()),
            2 => lines.swap(at, other),
            3 => {
                let keep = (rng.u64() % (lines[at].len() as u64 + 1)) as usize;
                lines[at] = lines[at].chars().take(keep).collect();
            }
            4 => {
                let digit = char::from(b'0' + (rng.u64() % 10) as u8);
                lines[at] = lines[at].replace(char::is_numeric, &digit.to_string());
            }
            _ => {
                let value = lines[other].split_once(':').map_or("", |(_, v)| v).to_owned();
                let name = lines[at].split(':').next().unwrap_or_default().to_owned();
                lines[at] = format!("{name}:{value}");
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.iter().map(|l| format!("{l}\r\n")).collect()
}

/// Whatever a peer writes, the call goes on or refuses; what goes on is encrypted and has ICE.
#[test]
fn broken_descriptions_are_refused_or_answered_within_the_profile() {
    let mut rng = Rng::from_seed(8829);
    let (mut a, mut b) = (browser(1, "192.0.2.1", "alice"), browser(2, "192.0.2.2", "bobby"));
    a.call.offer_data(true);
    let offer = a.offer();
    let answer = b.answer(&offer);
    let (mut taken, mut refused) = (0, 0);
    let mut check = |side: &mut Side, went: bool| {
        if !went {
            refused += 1;
            return;
        }
        taken += 1;
        assert!(matches!(side.call.security(), Security::Dtls(_)));
        assert!(side.call.ice_peer().is_some() && side.call.ice_refusal().is_none());
        let next = side.offer();
        assert!(next.contains("UDP/TLS/RTP/SAVPF") && has(&next, "a=rtcp-mux"), "{next}");
    };
    for _ in 0..1500 {
        let mut callee = browser(3, "192.0.2.3", "carol");
        let went = callee.try_answer(&broken(&chromium(), &mut rng)).is_ok();
        check(&mut callee, went);
        let mut caller = a.clone();
        let went = caller.call.accept_answer(broken(&answer, &mut rng).as_bytes()).is_ok();
        check(&mut caller, went);
    }
    assert!(taken > 500 && refused > 300, "{taken} taken, {refused} refused");
}
