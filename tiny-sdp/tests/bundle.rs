//! Streams on one transport (RFC 9143) and RTCP on RTP's port (RFC 5761, RFC 8858), over offers and
//! answers of both sides: what is written, and what each side concludes.

use std::sync::Arc;
use tiny_sdp::attribute::{Candidate, Fingerprint, HashFunc};
use tiny_sdp::{
    Answer, BundlePolicy, Config, DataChannel, Description, Error, IceCredentials, IceRefusal,
    Limits, LocalCodec, LocalData, LocalDtls, LocalExtension, LocalIce, LocalMedia, LocalRtp,
    LocalSession, MID_EXTENSION, MediaKind, NegotiatedSession, Negotiator, Protocol, Rejection,
    Transceivers,
};

fn transport(mut media: LocalMedia, name: &str) -> LocalMedia {
    let pwd = format!("{name}0123456789012345678901");
    let credentials = IceCredentials::new(format!("{name}ufrag"), pwd);
    media.ice = Some(Box::new(LocalIce::new(credentials)));
    let print = Fingerprint::with_fingerprint(HashFunc::Sha256, [name.len() as u8; 32]);
    let tls_id = format!("{name}{}", "x".repeat(20));
    media.dtls = Some(Box::new(LocalDtls::new(vec![print]).tls_id(tls_id)));
    media.rtcp_mux = true;
    media
}

fn audio(port: u16, name: &str) -> LocalMedia {
    let mut media = LocalMedia::audio(port, vec![LocalCodec::opus(), LocalCodec::pcmu()]);
    media.protocol = Protocol::UdpTlsRtpSavpf;
    transport(media, name)
}

fn video(port: u16, name: &str) -> LocalMedia {
    let vp8 = LocalCodec::new("VP8", 90_000).payload_type(100).feedback("nack").feedback("ccm fir");
    let mut media = LocalMedia::new(MediaKind::Video, port, vec![vp8]);
    media.protocol = Protocol::UdpTlsRtpSavpf;
    transport(media, name)
}

fn data(port: u16, name: &str) -> LocalMedia {
    transport(LocalMedia::data_channel(port, LocalData::default()), name)
}

fn session(address: &'static str, bundle: BundlePolicy, media: Vec<LocalMedia>) -> LocalSession {
    LocalSession { bundle, ..LocalSession::new(address, media) }
}

fn alice(bundle: BundlePolicy) -> LocalSession {
    let media = vec![audio(4000, "alice"), video(4002, "alice"), data(4004, "alice")];
    session("192.0.2.1", bundle, media)
}

fn bob(bundle: BundlePolicy) -> LocalSession {
    session("192.0.2.2", bundle, vec![audio(6000, "bob"), video(6002, "bob"), data(6004, "bob")])
}

fn pair() -> (Negotiator, Negotiator) {
    let config = Arc::new(Config::default());
    (Negotiator::new(config.clone(), 1, 1), Negotiator::new(config, 2, 1))
}

fn exchange(
    from: (&mut Negotiator, &LocalSession),
    to: (&mut Negotiator, &LocalSession),
) -> (String, Answer, NegotiatedSession) {
    let offer = from.0.offer(from.1).unwrap();
    let answer = to.0.answer(offer.as_bytes(), to.1).unwrap_or_else(|e| panic!("{e}\n{offer}"));
    let session = from
        .0
        .accept_answer(answer.sdp.as_bytes())
        .unwrap_or_else(|e| panic!("{e}\n{}", answer.sdp));
    for (ours, theirs) in session.media.iter().zip(&answer.session.media) {
        assert_eq!((ours.rejected, ours.carrier), (theirs.rejected, theirs.carrier));
    }
    (offer, answer, session)
}

fn lines<'a>(sdp: &'a str, start: &str) -> Vec<&'a str> {
    sdp.lines().filter(|l| l.starts_with(start)).collect()
}

fn ports(sdp: &str) -> Vec<&str> {
    lines(sdp, "m=").iter().map(|l| l.split(' ').nth(1).unwrap()).collect()
}

fn carriers(session: &NegotiatedSession) -> Vec<Option<usize>> {
    session.media.iter().map(|m| (!m.rejected).then_some(m.carrier)).collect()
}

#[test]
fn each_policy_gives_an_address_to_those_it_should() {
    for (policy, expected, only) in [
        (BundlePolicy::Off, ["4000", "4002", "4004"], 0),
        (BundlePolicy::MaxCompat, ["4000", "4002", "4004"], 0),
        (BundlePolicy::Balanced, ["4000", "4002", "4004"], 0),
        (BundlePolicy::MaxBundle, ["4000", "0", "0"], 2),
    ] {
        let offer = pair().0.offer(&alice(policy)).unwrap();
        assert_eq!(ports(&offer), expected, "{policy:?}");
        assert_eq!(lines(&offer, "a=bundle-only").len(), only);
        let groups = lines(&offer, "a=group:");
        assert_eq!(groups.is_empty(), policy == BundlePolicy::Off);
        assert!(groups.iter().all(|g| *g == "a=group:BUNDLE 0 1 2"));
    }
    let mut two = alice(BundlePolicy::Balanced);
    two.media.push(video(4006, "alice"));
    assert_eq!(ports(&pair().0.offer(&two).unwrap()), ["4000", "4002", "4004", "0"]);
}

#[test]
fn all_streams_go_over_the_first_transport() {
    let (mut a, mut b) = pair();
    let policy = BundlePolicy::MaxBundle;
    let (offer, answer, session) = exchange((&mut a, &alice(policy)), (&mut b, &bob(policy)));
    assert_eq!(carriers(&session), [Some(0), Some(0), Some(0)]);
    assert_eq!(lines(&answer.sdp, "a=group:"), ["a=group:BUNDLE 0 1 2"]);
    assert_eq!(ports(&answer.sdp), ["6000", "6000", "6000"]);
    // One set of transport attributes a description; the name of the line in every RTP packet.
    for sdp in [&offer, &answer.sdp] {
        assert_eq!(lines(sdp, "a=ice-ufrag").len(), 1);
        assert_eq!(lines(sdp, "a=fingerprint").len(), 1);
        assert_eq!(lines(sdp, "a=rtcp-mux").len(), 1);
        assert_eq!(lines(sdp, &format!("a=extmap:1 {MID_EXTENSION}")).len(), 2);
        assert_eq!(lines(sdp, "a=mid:"), ["a=mid:0", "a=mid:1", "a=mid:2"]);
    }
    assert!(session.media.iter().all(|m| m.remote_rtp.as_ref().unwrap().port == 6000));
    // What comes later is written with the address there is.
    let (offer, ..) = exchange((&mut b, &bob(policy)), (&mut a, &alice(policy)));
    assert_eq!((ports(&offer), lines(&offer, "a=bundle-only").len()), (vec!["6000"; 3], 0));
}

#[test]
fn a_peer_without_bundle_gets_each_stream_on_its_own() {
    let (mut a, mut b) = pair();
    let (_, answer, session) =
        exchange((&mut a, &alice(BundlePolicy::MaxCompat)), (&mut b, &bob(BundlePolicy::Off)));
    assert!(!answer.sdp.contains("a=group"));
    assert_eq!(carriers(&session), [Some(0), Some(1), Some(2)]);
    assert!(session.media.iter().all(|m| m.ice.is_some() && m.dtls.is_some()));
    // Those that are only to be bundled are lost to it.
    let (mut a, mut b) = pair();
    let (_, _, session) =
        exchange((&mut a, &alice(BundlePolicy::MaxBundle)), (&mut b, &bob(BundlePolicy::Off)));
    assert_eq!(carriers(&session), [Some(0), None, None]);
    assert_eq!(session.media[1].rejection, Some(Rejection::ByPeer));
    // They are offered again, and the first keeps its transport.
    let (offer, _, session) =
        exchange((&mut a, &alice(BundlePolicy::MaxCompat)), (&mut b, &bob(BundlePolicy::Off)));
    assert_eq!(ports(&offer), ["4000", "4002", "4004"]);
    assert_eq!(carriers(&session), [Some(0), Some(1), Some(2)]);
    assert!(!session.media[0].dtls.as_ref().unwrap().new_association);
}

#[test]
fn a_part_may_be_taken_out_or_rejected() {
    let (mut a, mut b) = pair();
    let mut part = bob(BundlePolicy::MaxCompat);
    part.media[1].bundle = false;
    part.media[2].port = 0;
    let (_, answer, session) = exchange((&mut a, &alice(BundlePolicy::MaxCompat)), (&mut b, &part));
    assert_eq!(lines(&answer.sdp, "a=group:"), ["a=group:BUNDLE 0"]);
    assert_eq!(carriers(&session), [Some(0), Some(1), None]);
    // What is only to be bundled cannot be taken out.
    let (mut a, mut b) = pair();
    let (_, answer, session) = exchange((&mut a, &alice(BundlePolicy::MaxBundle)), (&mut b, &part));
    assert_eq!(carriers(&session), [Some(0), None, None]);
    assert_eq!(answer.session.media[1].rejection, Some(Rejection::Bundle));
}

#[test]
fn when_the_first_is_rejected_the_next_with_an_address_carries() {
    let (mut a, mut b) = pair();
    let mut silent = bob(BundlePolicy::MaxCompat);
    silent.media[0].port = 0;
    let (_, answer, session) =
        exchange((&mut a, &alice(BundlePolicy::MaxCompat)), (&mut b, &silent));
    assert_eq!(lines(&answer.sdp, "a=group:"), ["a=group:BUNDLE 1 2"]);
    assert_eq!(carriers(&session), [None, Some(1), Some(1)]);
    assert!(session.media[1].dtls.is_some());
    let (mut a, mut b) = pair();
    let offer = a.offer(&alice(BundlePolicy::MaxBundle)).unwrap();
    let all = [Rejection::NoLocalMedia, Rejection::Bundle, Rejection::Bundle];
    let refused = b.answer(offer.as_bytes(), &silent);
    assert_eq!(refused, Err(Error::NothingInCommon(all.to_vec())));
}

#[test]
fn streams_are_added_and_removed_within_a_bundle() {
    let (mut a, mut b) = pair();
    let policy = BundlePolicy::MaxBundle;
    let (mut ours, theirs) = (alice(policy), bob(policy));
    let later = ours.media.split_off(1);
    exchange((&mut a, &ours), (&mut b, &theirs));
    ours.media.extend(later);
    let (offer, _, session) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert_eq!(ports(&offer), ["4000", "4000", "4000"]);
    assert_eq!(carriers(&session), [Some(0), Some(0), Some(0)]);
    assert!(!session.media[0].dtls.as_ref().unwrap().new_association);
    // The first one goes: the association and the ICE of the bundle go on with the next.
    ours.media[0].port = 0;
    let (offer, answer, session) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert_eq!(lines(&offer, "a=group:"), ["a=group:BUNDLE 1 2"]);
    assert_eq!(carriers(&session), [None, Some(1), Some(1)]);
    for session in [&session, &answer.session] {
        let carrier = &session.media[1];
        assert!(!carrier.dtls.as_ref().unwrap().new_association);
        assert!(!carrier.ice.as_ref().unwrap().restarted);
    }
    // And may come back.
    ours.media[0].port = 4000;
    let (_, _, session) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert_eq!(carriers(&session), [Some(1), Some(1), Some(1)]);
}

#[test]
fn an_answer_that_tears_a_bundle_is_refused() {
    let (mut a, mut b) = pair();
    let policy = BundlePolicy::MaxBundle;
    let offer = a.offer(&alice(policy)).unwrap();
    let answer = b.answer(offer.as_bytes(), &bob(policy)).unwrap().sdp;
    let torn = answer.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 2");
    let what = "accepted out of its bundle";
    assert_eq!(a.accept_answer(torn.as_bytes()), Err(Error::AnswerMismatch { index: 1, what }));
    assert!(a.accept_answer(answer.as_bytes()).is_ok());
}

#[test]
fn rtcp_on_its_own_port_only_or_not_at_all() {
    let plain = |mux: bool, only: bool| {
        let mut media = LocalMedia::audio(4000, vec![LocalCodec::pcmu()]);
        (media.rtcp_mux, media.rtcp_mux_only) = (mux, only);
        LocalSession::new("192.0.2.1", vec![media])
    };
    let (mut a, mut b) = pair();
    let (offer, answer, session) =
        exchange((&mut a, &plain(true, true)), (&mut b, &plain(true, false)));
    assert!(offer.contains("a=rtcp-mux\r\n") && offer.contains("a=rtcp-mux-only\r\n"));
    assert!(answer.sdp.contains("a=rtcp-mux\r\n") && !answer.sdp.contains("mux-only"));
    assert!(session.media[0].rtcp_mux);
    let mux = Err(Error::NothingInCommon(vec![Rejection::RtcpMux]));
    assert_eq!(pair().1.answer(offer.as_bytes(), &plain(false, false)), mux);
    let both = pair().0.offer(&plain(false, false)).unwrap();
    assert_eq!(pair().1.answer(both.as_bytes(), &plain(true, true)), mux);
    // An answer without it, to an offer of nothing else.
    let (mut a, mut b) = pair();
    a.offer(&plain(true, true)).unwrap();
    let answer = b.answer(both.as_bytes(), &plain(false, false)).unwrap().sdp;
    assert!(matches!(a.accept_answer(answer.as_bytes()), Err(Error::AnswerMismatch { .. })));
    // Mux that is refused: RTCP goes to the port after RTP's.
    let (mut a, mut b) = pair();
    let (_, _, session) = exchange((&mut a, &plain(true, false)), (&mut b, &plain(false, false)));
    assert_eq!(session.media[0].remote_rtcp.as_ref().unwrap().port, 4001);
}

#[test]
fn header_extensions_keep_their_numbers_and_meet_by_direction() {
    let rtp = |media: &mut LocalMedia, uris: &[&'static str]| {
        let extensions = uris.iter().map(|u| LocalExtension::new(*u)).collect();
        media.rtp = Some(Box::new(LocalRtp { extensions, ..LocalRtp::default() }));
    };
    let (mut a, mut b) = pair();
    let (mut ours, mut theirs) = (alice(BundlePolicy::MaxBundle), bob(BundlePolicy::MaxBundle));
    rtp(&mut ours.media[0], &["urn:a", "urn:b"]);
    rtp(&mut theirs.media[0], &["urn:b", "urn:c"]);
    ours.media[0].rtp.as_mut().unwrap().extensions[1].direction = tiny_sdp::Direction::SendOnly;
    let (offer, answer, session) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert!(offer.contains("a=extmap:2 urn:a\r\na=extmap:3/sendonly urn:b\r\n"), "{offer}");
    assert!(answer.sdp.contains("a=extmap:3/recvonly urn:b\r\n"), "{}", answer.sdp);
    let agreed = session.media[0].rtp.as_ref().unwrap();
    assert_eq!((agreed.extension("urn:a"), agreed.extension("urn:b")), (None, Some(3)));
    assert_eq!(agreed.extensions[1].direction, tiny_sdp::Direction::SendOnly);
    // Bob's own offer: the agreed numbers stay, his other extension gets one that is free for all.
    let (offer, _, session) = exchange((&mut b, &theirs), (&mut a, &ours));
    assert!(offer.contains("a=extmap:3 urn:b\r\n"), "{offer}");
    assert!(offer.contains("a=extmap:2 urn:c\r\n"), "{offer}");
    assert_eq!(session.media[0].rtp.as_ref().unwrap().extension("urn:b"), Some(3));
}

#[test]
fn numbers_above_fourteen_need_mixed_headers() {
    let many = |mixed: bool| {
        let mut media = audio(4000, "m");
        let names: Vec<String> = (0..20).map(|n| format!("urn:x:{n}")).collect();
        let extensions = names.into_iter().map(LocalExtension::new).collect();
        let rtp = LocalRtp { extensions, extmap_allow_mixed: mixed, ..LocalRtp::default() };
        media.rtp = Some(Box::new(rtp));
        session("192.0.2.1", BundlePolicy::Off, vec![media])
    };
    let (mut a, mut b) = pair();
    assert!(matches!(a.offer(&many(false)), Err(Error::Local { field: "extensions", .. })));
    let (offer, _, agreed) = exchange((&mut a, &many(true)), (&mut b, &many(true)));
    assert!(offer.contains("a=extmap-allow-mixed\r\n") && !offer.contains("a=extmap:15 "));
    let rtp = agreed.media[0].rtp.as_ref().unwrap();
    assert!(rtp.extmap_allow_mixed && rtp.extensions.len() == 20);
    let offer = pair().0.offer(&many(true)).unwrap();
    let mut few = many(true);
    few.media[0].rtp.as_mut().unwrap().extmap_allow_mixed = false;
    let answer = pair().1.answer(offer.as_bytes(), &few).unwrap();
    assert_eq!(answer.session.media[0].rtp.as_ref().unwrap().extensions.len(), 14);
}

#[test]
fn simulcast_is_taken_as_far_as_wished_or_refused() {
    use tiny_sdp::attribute::{Rid, RidDirection};
    let mut ours = session("192.0.2.1", BundlePolicy::Off, vec![video(4002, "alice")]);
    let send_rids = ["h", "m", "l"].map(|id| Rid::new(id, RidDirection::Send)).to_vec();
    ours.media[0].rtp = Some(Box::new(LocalRtp { send_rids, ..LocalRtp::default() }));
    let mut theirs = session("192.0.2.2", BundlePolicy::Off, vec![video(6002, "bob")]);
    let (mut a, mut b) = pair();
    let (offer, answer, agreed) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert!(offer.contains("a=simulcast:send h;m;l\r\n"));
    assert!(!answer.sdp.contains("simulcast") && !answer.sdp.contains("a=rid"));
    assert!(agreed.media[0].rtp.as_ref().unwrap().send_rids.is_empty());
    theirs.media[0].rtp = Some(Box::new(LocalRtp { receive_encodings: 2, ..LocalRtp::default() }));
    let (mut a, mut b) = pair();
    let (_, answer, agreed) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert!(answer.sdp.contains("a=rid:h recv\r\na=rid:m recv\r\na=simulcast:recv h;m\r\n"));
    assert_eq!(agreed.media[0].rtp.as_ref().unwrap().send_rids, ["h", "m"]);
    assert_eq!(answer.session.media[0].rtp.as_ref().unwrap().recv_rids, ["h", "m"]);
}

#[test]
fn feedback_is_what_both_name() {
    let ours = session("192.0.2.1", BundlePolicy::Off, vec![video(4002, "alice")]);
    let mut theirs = session("192.0.2.2", BundlePolicy::Off, vec![video(6002, "bob")]);
    theirs.media[0].codecs[0].feedback = vec!["ccm  fir".into(), "nack pli".into()];
    let (mut a, mut b) = pair();
    let (_, answer, agreed) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert_eq!(lines(&answer.sdp, "a=rtcp-fb"), ["a=rtcp-fb:100 ccm  fir"]);
    assert_eq!(agreed.media[0].codecs[0].feedback, ["ccm fir"]);
    // A star stands for every format.
    let offer = pair().0.offer(&ours).unwrap().replace("rtcp-fb:100 ", "rtcp-fb:* ");
    let answer = pair().1.answer(offer.as_bytes(), &ours).unwrap();
    assert_eq!(answer.session.media[0].codecs[0].feedback, ["nack", "ccm fir"]);
}

#[test]
fn ice_restarts_only_when_both_ufrag_and_pwd_change() {
    let (mut a, mut b) = pair();
    let policy = BundlePolicy::MaxBundle;
    let (mut ours, mut theirs) = (alice(policy), bob(policy));
    exchange((&mut a, &ours), (&mut b, &theirs));
    ours.media[0].ice.as_mut().unwrap().credentials =
        IceCredentials::new("second", "s0123456789012345678901");
    let offer = a.offer(&ours).unwrap();
    let parsed = Description::parse(offer.as_bytes(), &Limits::default()).unwrap();
    assert!(b.ice_restart(&parsed));
    // An answer needs new ones of ours.
    assert!(matches!(b.answer(offer.as_bytes(), &theirs), Err(Error::Local { field: "ice", .. })));
    let old_answer = {
        let (mut x, mut y) = pair();
        let offer = x.offer(&ours).unwrap();
        y.answer(offer.as_bytes(), &theirs).unwrap().sdp
    };
    theirs.media[0].ice.as_mut().unwrap().credentials =
        IceCredentials::new("fourth", "f0123456789012345678901");
    let answer = b.answer(offer.as_bytes(), &theirs).unwrap();
    assert!(answer.session.media[0].ice.as_ref().unwrap().restarted);
    // An answer that does not restart is none.
    assert!(matches!(
        a.accept_answer(old_answer.as_bytes()),
        Err(Error::AnswerMismatch { index: 0, .. })
    ));
    let agreed = a.accept_answer(answer.sdp.as_bytes()).unwrap();
    assert!(agreed.media[0].ice.as_ref().unwrap().restarted);
    assert!(!agreed.media[0].dtls.as_ref().unwrap().new_association);
    let again = b.offer(&theirs).unwrap();
    assert!(!a.ice_restart(&Description::parse(again.as_bytes(), &Limits::default()).unwrap()));
}

#[test]
fn a_changed_default_address_is_told_and_ice_left_out() {
    let mut ours = session("192.0.2.1", BundlePolicy::Off, vec![audio(4000, "alice")]);
    let theirs = session("192.0.2.2", BundlePolicy::Off, vec![audio(6000, "bob")]);
    let host: Candidate = "1 1 udp 1 192.0.2.1 4000 typ host".parse().unwrap();
    ours.media[0].ice.as_mut().unwrap().candidates.push(host);
    let (mut a, mut b) = pair();
    let offer = a.offer(&ours).unwrap();
    let changed = offer.replace("c=IN IP4 192.0.2.1", "c=IN IP4 198.51.100.7");
    let answer = b.answer(changed.as_bytes(), &theirs).unwrap();
    assert!(answer.sdp.contains("a=ice-mismatch\r\n") && !answer.sdp.contains("a=ice-ufrag"));
    let got = &answer.session.media[0];
    assert_eq!((&got.ice, got.ice_refusal), (&None, Some(IceRefusal::Mismatch)));
    assert_eq!(got.remote_rtp.as_ref().unwrap().to_string(), "198.51.100.7:4000");
    let agreed = a.accept_answer(answer.sdp.as_bytes()).unwrap();
    assert_eq!(agreed.media[0].ice_refusal, Some(IceRefusal::MismatchByPeer));
}

#[test]
fn data_channels_meet_by_name_and_need_a_port() {
    let channel = |stream, label: &'static str| DataChannel {
        stream,
        label: label.into(),
        subprotocol: "msrp".into(),
        attributes: vec!["accept-types:text/plain".into()],
        ..DataChannel::default()
    };
    let with = |address, names: &[(u16, &'static str)]| {
        let channels = names.iter().map(|(s, l)| channel(*s, l)).collect();
        let mut media = data(4004, "x");
        media.data = Some(Box::new(LocalData {
            channels,
            max_message_size: Some(1000),
            ..LocalData::default()
        }));
        session(address, BundlePolicy::Off, vec![media])
    };
    let (mut a, mut b) = pair();
    let (offer, answer, agreed) = exchange(
        (&mut a, &with("192.0.2.1", &[(0, "chat"), (2, "file")])),
        (&mut b, &with("192.0.2.2", &[(7, "file")])),
    );
    assert!(offer.contains("a=dcmap:0 subprotocol=\"msrp\";label=\"chat\"\r\n"));
    assert!(offer.contains("a=dcsa:2 accept-types:text/plain\r\n"));
    assert_eq!(lines(&answer.sdp, "a=dcmap"), ["a=dcmap:2 subprotocol=\"msrp\";label=\"file\""]);
    let sctp = agreed.media[0].data.as_ref().unwrap();
    assert_eq!((sctp.channels.len(), sctp.channels[0].stream), (1, 2));
    assert_eq!(sctp.remote_max_message_size, 1000);
    let bare = offer.replace("a=sctp-port:5000\r\n", "");
    assert_eq!(
        pair().1.answer(bare.as_bytes(), &with("192.0.2.2", &[])),
        Err(Error::NothingInCommon(vec![Rejection::Sctp]))
    );
}

#[test]
fn a_stopped_transceiver_leaves_its_line_to_another() {
    let side = |address| {
        let negotiator = Negotiator::new(Arc::new(Config::default()), 1, 1);
        let mut all =
            Transceivers::new(negotiator, session(address, BundlePolicy::MaxBundle, Vec::new()));
        all.receive(video(9, "r"));
        all.receive(audio(9, "r"));
        all
    };
    let (mut a, mut b) = (side("192.0.2.1"), side("192.0.2.2"));
    let exchange = |a: &mut Transceivers, b: &mut Transceivers| {
        let offer = a.offer().unwrap();
        let answer = b.answer(offer.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{offer}"));
        a.accept_answer(answer.sdp.as_bytes()).unwrap();
        assert!(!a.negotiation_needed() && !b.negotiation_needed());
        offer
    };
    a.add_track(audio(4000, "a"));
    let video_track = a.add_track(video(4002, "a"));
    exchange(&mut a, &mut b);
    a.stop(video_track);
    assert!(a.negotiation_needed());
    let offer = exchange(&mut a, &mut b);
    assert_eq!(ports(&offer), ["4000", "0"]);
    assert!(b.iter().any(|(_, t)| t.is_stopped()));
    // The next stream takes the line, under a name that was not used before.
    let other = a.add_track(video(4002, "a"));
    let offer = exchange(&mut a, &mut b);
    assert_eq!(ports(&offer), ["4000", "4000"]);
    assert_eq!(lines(&offer, "a=mid:"), ["a=mid:0", "a=mid:2"]);
    assert_eq!(a.get(other).unwrap().mid().map(|m| &**m), Some("2"));
    // Direction changes and removed tracks are to be told too.
    a.remove_track(other);
    assert!(a.negotiation_needed());
    exchange(&mut a, &mut b);
    a.set_direction(other, tiny_sdp::Direction::Inactive);
    a.restart_ice();
    assert!(a.negotiation_needed());
    a.offer().unwrap();
    assert!(!a.negotiation_needed());
    a.rollback();
    assert!(a.negotiation_needed());
}

#[test]
fn a_line_moves_out_of_its_bundle_by_a_later_offer() {
    let (mut a, mut b) = pair();
    let policy = BundlePolicy::MaxBundle;
    let mut ours = alice(policy);
    exchange((&mut a, &ours), (&mut b, &bob(policy)));
    ours.media[1].bundle = false;
    let (offer, _, session) = exchange((&mut a, &ours), (&mut b, &bob(policy)));
    assert_eq!(lines(&offer, "a=group:"), ["a=group:BUNDLE 0 2"]);
    assert_eq!(ports(&offer), ["4000", "4002", "4000"]);
    assert_eq!(carriers(&session), [Some(0), Some(1), Some(0)]);
    // It has an association of its own now, and the others keep theirs.
    assert!(session.media[1].dtls.as_ref().unwrap().new_association);
    assert!(!session.media[0].dtls.as_ref().unwrap().new_association);
}

#[test]
fn a_peer_without_ice_is_told_and_chosen_candidates_are_said() {
    use tiny_sdp::attribute::RemoteCandidate;
    let mut ours = session("192.0.2.1", BundlePolicy::Off, vec![audio(4000, "alice")]);
    let chosen = RemoteCandidate::new(1, [192, 0, 2, 2], 6000);
    ours.media[0].ice.as_mut().unwrap().remote_candidates.push(chosen);
    let mut theirs = session("192.0.2.2", BundlePolicy::Off, vec![audio(6000, "bob")]);
    theirs.ice_lite = true;
    theirs.ice_pacing = Some(20);
    let (mut a, mut b) = pair();
    let (offer, answer, agreed) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert!(offer.contains("a=remote-candidates:1 192.0.2.2 6000\r\n"));
    let ice = answer.session.media[0].ice.as_ref().unwrap();
    assert_eq!(ice.remote_candidates[0].port, 6000);
    let ice = agreed.media[0].ice.as_ref().unwrap();
    assert!(ice.remote_lite && answer.sdp.contains("a=ice-pacing:20\r\n"));
    assert_eq!(ice.remote_pacing, Some(20));
    theirs.media[0].ice = None;
    let (mut a, mut b) = pair();
    let (_, answer, agreed) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert!(!answer.sdp.contains("a=ice-"));
    assert_eq!(agreed.media[0].ice_refusal, Some(IceRefusal::NotSupported));
    assert_eq!(agreed.media[0].remote_rtp.as_ref().unwrap().port, 6000);
    let (mut a, mut b) = pair();
    let (_, answer, _) = exchange((&mut a, &theirs), (&mut b, &ours));
    assert_eq!(answer.session.media[0].ice_refusal, Some(IceRefusal::NotSupported));
}

#[test]
fn an_answer_names_its_sctp_port_and_channels_close_by_a_later_offer() {
    let channel = |stream| DataChannel { stream, label: "x".into(), ..DataChannel::default() };
    let with = |address, channels: &[u16]| {
        let mut media = data(4004, "x");
        let channels = channels.iter().map(|s| channel(*s)).collect();
        media.data = Some(Box::new(LocalData { channels, ..LocalData::default() }));
        session(address, BundlePolicy::Off, vec![media])
    };
    let (mut a, mut b) = pair();
    let offer = a.offer(&with("192.0.2.1", &[0, 2])).unwrap();
    let answer = b.answer(offer.as_bytes(), &with("192.0.2.2", &[0])).unwrap();
    let bare = answer.sdp.replace("a=sctp-port:5000\r\n", "");
    assert!(matches!(
        a.accept_answer(bare.as_bytes()),
        Err(Error::AnswerMismatch { index: 0, .. })
    ));
    let agreed = a.accept_answer(answer.sdp.as_bytes()).unwrap();
    let sctp = agreed.media[0].data.as_ref().unwrap();
    assert_eq!((sctp.channels.len(), sctp.remote_max_message_size), (2, 65_536));
    let (_, answer, agreed) =
        exchange((&mut a, &with("192.0.2.1", &[2])), (&mut b, &with("192.0.2.2", &[0])));
    for session in [&agreed, &answer.session] {
        let streams: Vec<u16> =
            session.media[0].data.as_ref().unwrap().channels.iter().map(|c| c.stream).collect();
        assert_eq!(streams, [2]);
    }
    // One that the application gave twice is not written.
    assert!(matches!(
        b.offer(&with("192.0.2.2", &[1, 1])),
        Err(Error::Local { field: "data channels", .. })
    ));
}

#[test]
fn a_peer_with_several_bundles_is_answered_in_each() {
    let (mut a, mut b) = pair();
    let mut ours = alice(BundlePolicy::MaxCompat);
    ours.media.push(video(4006, "alice"));
    let mut theirs = bob(BundlePolicy::MaxCompat);
    theirs.media.push(video(6006, "bob"));
    let offer = a.offer(&ours).unwrap();
    let two = offer.replace("a=group:BUNDLE 0 1 2 3", "a=group:BUNDLE 0 1\r\na=group:BUNDLE 3 2");
    let answer = b.answer(two.as_bytes(), &theirs).unwrap();
    let groups = ["a=group:BUNDLE 0 1", "a=group:BUNDLE 3 2"];
    assert_eq!(lines(&answer.sdp, "a=group:"), groups);
    assert_eq!(carriers(&answer.session), [Some(0), Some(0), Some(3), Some(3)]);
    // Bob's later offers keep both.
    let offer = b.offer(&theirs).unwrap();
    assert_eq!(lines(&offer, "a=group:"), groups);
    assert_eq!(ports(&offer), ["6000", "6000", "6006", "6006"]);
}

/// Found by reading: a line over DTLS was put on the transport of one without.
#[test]
fn what_is_encrypted_shares_no_transport_with_what_is_not() {
    let mixed = |address, port: u16, name| {
        let mut plain = audio(port, name);
        (plain.protocol, plain.dtls) = (Protocol::RtpAvp, None);
        session(address, BundlePolicy::MaxCompat, vec![plain, video(port + 2, name)])
    };
    let (mut a, mut b) = pair();
    let (ours, theirs) = (mixed("192.0.2.1", 4000, "alice"), mixed("192.0.2.2", 6000, "bob"));
    let (offer, _, agreed) = exchange((&mut a, &ours), (&mut b, &theirs));
    assert_eq!(lines(&offer, "a=group:"), ["a=group:BUNDLE 0"]);
    assert_eq!(carriers(&agreed), [Some(0), Some(1)]);
    // A peer that offers it so.
    let torn = offer
        .replace("a=group:BUNDLE 0", "a=group:BUNDLE 0 1")
        .replace("m=video 4002", "a=x:y\r\nm=video 4002");
    let torn = torn.replace("a=rtpmap:100", "a=mid:1\r\na=rtpmap:100");
    let mut c = Negotiator::new(Arc::new(Config::default()), 3, 1);
    let answer = c.answer(torn.as_bytes(), &theirs).unwrap();
    assert_eq!(lines(&answer.sdp, "a=group:"), ["a=group:BUNDLE 0"]);
    assert!(answer.session.media[1].dtls.is_some() && answer.session.media[1].carrier == 1);
    let only =
        torn.replace("m=video 4002", "m=video 0").replace("a=mid:1", "a=mid:1\r\na=bundle-only");
    let mut c = Negotiator::new(Arc::new(Config::default()), 3, 1);
    let answer = c.answer(only.as_bytes(), &theirs).unwrap();
    assert_eq!(answer.session.media[1].rejection, Some(Rejection::Bundle));
}
