//! The browser profile (JSEP, RFC 8829) and data channels (RFC 8841) in calls.

use super::*;

/// As Chromium writes it when it has gathered: everything twice over, what is not known here among it.
pub(super) fn chromium() -> String {
    let gathered = "c=IN IP4 198.51.100.7\r\n\
        a=candidate:1 1 udp 2113937151 198.51.100.7 50123 typ host generation 0 network-cost 999\r\n\
        a=candidate:2 1 tcp 1518214911 198.51.100.7 9 typ host tcptype active generation 0\r\n";
    let offer = include_str!("../../../../../tests/vectors/sdp/browsers/chromium.sdp");
    let offer = offer.replace("c=IN IP4 0.0.0.0\r\n", gathered);
    ["audio", "video", "application"].into_iter().fold(offer, |offer, kind| {
        offer.replace(&format!("m={kind} 9 "), &format!("m={kind} 50123 "))
    })
}

fn pair() -> (Side, Side) {
    (browser(1, "192.0.2.1", "alice"), browser(2, "192.0.2.2", "bobby"))
}

// RFC 8829 §5.2.1
#[test]
fn the_profile_offers_what_browsers_take() {
    let (mut a, _) = pair();
    let offer = a.offer();
    let (head, audio) = offer.split_at(offer.find("m=").unwrap());
    assert!(has(head, "a=group:BUNDLE 0") && count(head, "c=") == 0, "{offer}");
    assert!(audio.starts_with("m=audio 7000 UDP/TLS/RTP/SAVPF 111 0 "), "{offer}");
    let cname = a.call.source().cname.clone();
    for line in [
        "c=IN IP4 203.0.113.9",
        "a=mid:0",
        "a=rtcp-mux",
        "a=rtcp-mux-only",
        "a=rtcp-rsize",
        "a=setup:actpass",
        "a=ice-ufrag:alice",
        "a=end-of-candidates",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
        &format!("a=msid:{cname} audio"),
        &format!("a=ssrc:{} cname:{cname}", a.call.source().ssrc),
    ] {
        assert!(has(audio, line), "{line} in {offer}");
    }
    // One component, and no address of RTCP's own.
    assert_eq!((count(&offer, "a=candidate:"), count(&offer, "a=rtcp:")), (2, 0), "{offer}");
    assert_eq!((count(&offer, "a=fingerprint:sha-256 "), count(&offer, "a=crypto")), (1, 0));
}

// RFC 8829 §5.3.1; RFC 9143 §7.3.3: a rejected line is not in the group.
#[test]
fn a_browsers_offer_is_answered_with_its_sound_and_its_data_on_one_transport() {
    let (_, mut b) = pair();
    let (answer, session) = b.try_answer(&chromium()).unwrap();
    assert!(has(&answer, "a=group:BUNDLE 0 2"), "{answer}");
    assert!(answer.contains("m=audio 7000 UDP/TLS/RTP/SAVPF 120 0 110 126\r\n"), "{answer}");
    assert!(answer.contains("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"), "{answer}");
    assert!(answer.contains("m=application 7000 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{answer}");
    assert_eq!(session.media[1].rejection, Some(Rejection::NoLocalMedia));
    // What is not understood is not promised; the number of the offer is kept.
    let maps: Vec<&str> = answer.lines().filter(|l| l.starts_with("a=extmap")).collect();
    assert_eq!(maps, ["a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid"]);
    assert!(!answer.contains("a=rtcp-fb") && !answer.contains("red/48000"), "{answer}");
    let (video, data) = (section(&answer, 1), section(&answer, 2));
    assert!(!video.contains("a=mid") && !video.contains("candidate"), "{answer}");
    assert!(has(data, "a=mid:2") && has(data, "a=sctp-port:5000"), "{answer}");
    assert!(!data.contains("ice-ufrag") && !data.contains("fingerprint"), "{answer}");
    // A peer without tls-id gets none; it may choose its role, we connect.
    assert!(has(&answer, "a=setup:active") && !answer.contains("tls-id"), "{answer}");
    // RFC 5506 §5
    assert!(has(section(&answer, 0), "a=rtcp-rsize") && rsize_of(session.audio().unwrap()));
    let mid = mid_of(session.audio().unwrap()).unwrap();
    assert_eq!((mid.id, mid.mid.as_str()), (4, "0"));
    let agreed = b.call.data().unwrap();
    assert_eq!((agreed.local_port, agreed.remote_port), (5000, 5001));
    assert_eq!((agreed.local_max_message_size, agreed.remote_max_message_size), (65_536, 262_144));
    // Chromium trickles and does not say that it is done.
    let peer = b.call.ice_peer().unwrap();
    assert_eq!((peer.ufrag.as_str(), peer.candidates.len(), peer.done), ("9fVr", 2, false));
}

#[test]
fn a_bundle_is_answered_without_the_profile_and_kept_in_our_offers() {
    let mut b = side(Srtp::Optional, 2, "192.0.2.2");
    b.call.set_ice(Some(b.ice("bobby")));
    let answer = b.answer(&chromium());
    assert!(has(&answer, "a=group:BUNDLE 0") && answer.contains("m=application 0 "), "{answer}");
    assert!(has(&answer, &format!("a=msid:{} audio", b.call.source().cname)), "{answer}");
    assert!(b.call.data().is_none());
    let offer = b.offer();
    assert!(has(&offer, "a=group:BUNDLE 0"), "{offer}");
    assert!(offer.contains("m=audio 7000 UDP/TLS/RTP/SAVPF 120 "), "{offer}");
    assert!(offer.contains("m=video 0 ") && offer.contains("m=application 0 "), "{offer}");
}

// RFC 9143 §7.3.3: what cannot be bundled is rejected here; RFC 8841 §9.
#[test]
fn data_channels_on_a_transport_of_their_own_are_rejected() {
    let (_, mut b) = pair();
    let offer = chromium().replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1");
    let (answer, _) = b.try_answer(&offer).unwrap();
    assert!(has(&answer, "a=group:BUNDLE 0"), "{answer}");
    assert!(answer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{answer}");
    assert!(b.call.data().is_none());
    // Without DTLS there are none either.
    let mut c = side(Srtp::Off, 3, "192.0.2.3");
    c.call.take_data(Some(LocalData::default()));
    c.call.offer_data(true);
    let refused = c.try_offer(Direction::SendRecv).unwrap_err();
    assert!(refused.to_string().contains("they need DTLS"), "{refused}");
}

// RFC 8829 §5.1.2
#[test]
fn the_old_name_of_dtls_is_answered_under_that_name() {
    let (_, mut b) = pair();
    let offer = chromium().replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF");
    let (answer, _) = b.try_answer(&offer).unwrap();
    assert!(answer.contains("m=audio 7000 RTP/SAVPF 120 "), "{answer}");
    assert!(has(&answer, "a=setup:active"), "{answer}");
    assert_eq!(b.association(), 1);
}

// RFC 8842 §4: without a new tls-id, ufrag or not, the association goes on.
#[test]
fn ice_and_dtls_go_on_over_a_hold_and_dtls_over_a_restart_of_ice() {
    let (mut a, mut b) = pair();
    let (offer, answer) = exchange(&mut a, &mut b);
    let line = |text: &str, start: &str| {
        text.lines().find(|l| l.starts_with(start)).map(str::to_owned).unwrap()
    };
    assert_eq!((a.association(), b.association()), (1, 1));
    let held = a.try_offer(Direction::SendOnly).unwrap();
    let held_answer = b.answer(&held);
    a.accept(&held_answer);
    for start in ["a=ice-ufrag", "a=tls-id", "a=fingerprint", "a=mid", "a=extmap", "a=group"] {
        assert_eq!(line(&offer, start), line(&held, start));
        assert_eq!(line(&answer, start), line(&held_answer, start));
    }
    // Either role is offered again, and the one that there is is kept.
    assert!(has(&held, "a=setup:actpass") && has(&held_answer, "a=setup:active"));
    assert!(count(&held, "a=msid") == 1 && count(&held_answer, "a=msid") == 0, "{held_answer}");
    assert_eq!((a.association(), b.association()), (1, 1));
    // The other side asks for the next change.
    b.call.set_ice(Some(b.ice("bobby2")));
    let offer = b.offer();
    assert!(a.call.peer_restarts_ice(offer.as_bytes()));
    a.call.set_ice(Some(a.ice("alice2")));
    let answer = a.answer(&offer);
    b.accept(&answer);
    assert!(has(&answer, "a=setup:passive") && has(&offer, "a=setup:actpass"), "{answer}");
    assert_eq!((a.association(), b.association()), (1, 1));
    assert_eq!((a.peer_ufrag().unwrap(), b.peer_ufrag().unwrap()).0, "bobby2");
}

// RFC 8826 §4.2: DTLS and ICE are no options of the profile.
#[test]
fn answers_below_the_profile_are_refused_by_name() {
    let (mut a, mut b) = pair();
    let offer = a.offer();
    let answer = b.answer(&offer);
    let refuse = |answer: String, why: &str| {
        let refused = a.clone().call.accept_answer(answer.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    };
    refuse(without(&answer, "a=ice-ufrag"), "ICE: the peer does not use ICE");
    refuse(
        answer.replace("c=IN IP4 203.0.113.9", "c=IN IP4 198.51.100.1"),
        "ICE: the peer's default",
    );
    refuse(without(&answer, "a=fingerprint"), "no certificate fingerprint");
    refuse(without(&answer, "a=rtcp-mux"), "no a=rtcp-mux");
    refuse(answer.replace("UDP/TLS/RTP/SAVPF", "RTP/AVPF"), "another transport protocol");
    // No group: there is but one line, and it has all that it needs.
    a.accept(&without(&answer, "a=group"));
    assert!(a.call.ice_peer().is_some());

    let refuse = |offer: String, why: &str| {
        let refused = pair().1.try_answer(&offer).unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    };
    refuse(without(&chromium(), "a=ice-pwd"), "ICE: the peer does not use ICE");
    refuse(without(&chromium(), "a=fingerprint"), "no certificate fingerprint");
    refuse(without(&chromium(), "a=rtcp-mux"), "cannot agree on one port");
    refuse(chromium().replace("UDP/TLS/RTP/SAVPF", "RTP/AVPF"), "DTLS is demanded");
}

// RFC 8841 §9.2, RFC 9143 §7.5.1
#[test]
fn data_channels_join_a_call_that_is_up_and_stay_over_holds() {
    let (mut a, mut b) = pair();
    exchange(&mut a, &mut b);
    assert!(a.call.data().is_none());
    a.call.offer_data(true);
    let (offer, answer) = exchange(&mut a, &mut b);
    assert!(has(&offer, "a=group:BUNDLE 0 1") && has(&answer, "a=group:BUNDLE 0 1"), "{offer}");
    // New lines have the address of the bundle.
    let line = "m=application 7000 UDP/DTLS/SCTP webrtc-datachannel";
    assert!(has(&offer, line) && has(&answer, line), "{offer}{answer}");
    let data = section(&offer, 1);
    assert!(has(data, "a=sctp-port:5000") && !data.contains("candidate"), "{offer}");
    assert_eq!((a.call.data(), a.association()), (b.call.data(), 1));
    assert!(a.call.data().is_some());
    // Whoever offers next.
    b.offer();
    b.call.rollback();
    let held = b.try_offer(Direction::SendOnly).unwrap();
    assert!(has(&held, line), "{held}");
    let answer = a.answer(&held);
    b.accept(&answer);
    assert!(a.call.data().is_some() && b.call.data().is_some());
    assert_eq!((a.association(), b.association()), (1, 1));
}

#[test]
fn data_channels_of_a_first_offer_stand_on_the_bundle_alone() {
    let (mut a, mut b) = pair();
    a.call.offer_data(true);
    let (offer, _) = exchange(&mut a, &mut b);
    let data = section(&offer, 1);
    assert!(data.starts_with("m=application 0 ") && has(data, "a=bundle-only"), "{offer}");
    assert!(a.call.data().is_some() && b.call.data().is_some());
}

// RFC 3264 §8.2, §8.3: the line stays with port 0, and says what it was.
#[test]
fn a_peer_without_data_channels_is_not_asked_with_every_offer() {
    let (mut a, mut b) = pair();
    b.call.take_data(None);
    a.call.offer_data(true);
    let (_, answer) = exchange(&mut a, &mut b);
    assert!(answer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{answer}");
    assert!(a.call.data().is_none());
    let offer = a.offer();
    assert!(offer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{offer}");
    assert!(!section(&offer, 1).contains("a="), "{offer}");
    let answer = b.answer(&offer);
    a.accept(&answer);
    // When the application asks once more, the line is used again.
    b.call.take_data(Some(LocalData::default()));
    a.call.offer_data(true);
    let (offer, _) = exchange(&mut a, &mut b);
    assert_eq!(count(&offer, "m="), 2, "{offer}");
    assert!(a.call.data().is_some() && b.call.data().is_some());
}

#[test]
fn a_wish_for_data_channels_outlives_exchanges_that_did_not_ask() {
    let (mut a, mut b) = pair();
    let offer = a.offer();
    a.call.offer_data(true);
    let answer = b.answer(&offer);
    a.accept(&answer);
    // The peer's change comes first.
    let held = b.try_offer(Direction::SendOnly).unwrap();
    let answer = a.answer(&held);
    b.accept(&answer);
    let (offer, _) = exchange(&mut a, &mut b);
    assert_eq!(count(&offer, "m=application"), 1, "{offer}");
    assert!(a.call.data().is_some() && b.call.data().is_some());
}

// RFC 8829 §5.2.2: a line rejected by us carries what we offer later.
#[test]
fn the_line_of_a_rejected_picture_carries_our_data_channels() {
    let (_, mut b) = pair();
    let offer = chromium();
    let only_av = offer[..offer.find("m=application").unwrap()].to_owned();
    b.try_answer(&only_av.replace("BUNDLE 0 1 2", "BUNDLE 0 1")).unwrap();
    b.call.offer_data(true);
    let offer = b.offer();
    assert_eq!(count(&offer, "m="), 2, "{offer}");
    assert!(section(&offer, 1).starts_with("m=application 7000 "), "{offer}");
}

// RFC 5506 §5: both sides have to say it.
#[test]
fn reduced_reports_are_agreed_on_by_both_or_not_at_all() {
    let (mut a, mut b) = pair();
    let offer = a.offer();
    let answer = b.answer(&offer);
    assert!(has(&answer, "a=rtcp-rsize"), "{answer}");
    let taken = |answer: &str| {
        let session = a.clone().call.accept_answer(answer.as_bytes()).unwrap();
        rsize_of(session.audio().unwrap())
    };
    assert!(taken(&answer) && !taken(&without(&answer, "a=rtcp-rsize")));
    let offer = without(&chromium(), "a=rtcp-rsize");
    let (answer, session) = pair().1.try_answer(&offer).unwrap();
    assert!(!answer.contains("rtcp-rsize") && !rsize_of(session.audio().unwrap()), "{answer}");
}
