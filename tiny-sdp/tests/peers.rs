//! Offers in the manner of browsers and gateways, answered by an agent that has everything: sound,
//! picture, data channels, ICE, DTLS, BUNDLE. Written for this test after what such peers send.

use std::path::Path;
use std::sync::Arc;
use tiny_sdp::attribute::{Fingerprint, HashFunc};
use tiny_sdp::{
    Answer, BundlePolicy, Config, Description, DtlsRole, Error, IceCredentials, Limits, LocalCodec,
    LocalData, LocalDtls, LocalExtension, LocalIce, LocalMedia, LocalRtp, LocalSession, MediaKind,
    Negotiator, Protocol, Rejection,
};

const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const PRINT: &str = "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89";

fn transport(mut media: LocalMedia) -> LocalMedia {
    let ice = LocalIce::new(IceCredentials::new("ours", "ourpassword0123456789ab"));
    media.ice = Some(Box::new(ice));
    let print = Fingerprint::with_fingerprint(HashFunc::Sha256, [7; 32]);
    media.dtls = Some(Box::new(LocalDtls::new(vec![print]).tls_id("tinytinytinytinytiny")));
    media.rtcp_mux = true;
    media
}

fn agent() -> LocalSession {
    let codecs = vec![LocalCodec::opus(), LocalCodec::pcmu(), LocalCodec::pcma()];
    let mut audio = LocalMedia::audio(5000, codecs).with_telephone_events();
    audio.protocol = Protocol::UdpTlsRtpSavpf;
    let rtp = || LocalRtp {
        extensions: vec![LocalExtension::new(LEVEL)],
        rtcp_rsize: true,
        extmap_allow_mixed: true,
        ..LocalRtp::default()
    };
    audio.rtp = Some(Box::new(rtp()));
    let h264 = LocalCodec::new("H264", 90_000).fmtp("profile-level-id=42e01f;packetization-mode=1");
    let vp8 = LocalCodec::new("VP8", 90_000).feedback("nack pli").feedback("transport-cc");
    let mut video = LocalMedia::new(MediaKind::Video, 5000, vec![vp8, h264]);
    video.protocol = Protocol::UdpTlsRtpSavpf;
    video.rtp = Some(Box::new(rtp()));
    let data = LocalMedia::data_channel(5000, LocalData::default());
    let mut session = LocalSession::new("192.0.2.50", [audio, video, data].map(transport).to_vec());
    session.bundle = BundlePolicy::MaxBundle;
    session.ice_options = "trickle".into();
    session
}

fn answer(offer: &str) -> Answer {
    let mut negotiator = Negotiator::new(Arc::new(Config::default()), 1, 1);
    let answer = negotiator.answer(offer.as_bytes(), &agent()).unwrap();
    Description::parse(answer.sdp.as_bytes(), &Limits::default()).unwrap();
    // The same again changes nothing.
    let again = negotiator.answer(offer.as_bytes(), &agent()).unwrap();
    assert_eq!(again.sdp, answer.sdp);
    for media in again.session.active() {
        assert!(media.dtls.as_ref().is_none_or(|d| !d.new_association));
        assert!(media.ice.as_ref().is_none_or(|i| !i.restarted));
    }
    answer
}

fn lines(text: &str) -> String {
    text.lines().map(|l| format!("{}\r\n", l.trim())).collect()
}

/// Everything twice over in each section, ports 9, candidates to come.
const CHROMIUM: &str = include_str!("../../tests/vectors/sdp/browsers/chromium.sdp");
/// Candidates with hidden names, and lines that live in the bundle alone.
const FIREFOX: &str = include_str!("../../tests/vectors/sdp/browsers/firefox.sdp");

#[test]
fn chromium_is_answered_with_one_transport_for_all() {
    let answer = answer(CHROMIUM);
    let session = &answer.session;
    assert!(session.media.iter().all(|m| !m.rejected && m.carrier == 0), "{}", answer.sdp);
    assert!(answer.sdp.contains("a=group:BUNDLE 0 1 2\r\n"));
    // A peer without tls-id gets none.
    assert!(answer.sdp.contains("a=setup:active\r\n") && !answer.sdp.contains("tls-id"));
    assert_eq!(session.media[0].dtls.as_ref().unwrap().role, DtlsRole::Client);
    let audio = session.audio().unwrap();
    // Trickling: there is no address yet, and that is no hold.
    assert_eq!((&audio.remote_rtp, audio.on_hold_by_peer), (&None, false));
    assert!(audio.ice.as_ref().unwrap().remote_trickle);
    let rtp = audio.rtp.as_ref().unwrap();
    assert_eq!(rtp.extension(LEVEL), Some(1));
    assert_eq!(rtp.extension(tiny_sdp::MID_EXTENSION), Some(4));
    assert_eq!(rtp.ssrcs, [(2_417_923_871, Some("tR9oYx0w3kz2".into()))]);
    assert_eq!(rtp.msids[0].appdata.as_deref(), Some("track-a"));
    assert!(rtp.rtcp_rsize && rtp.extmap_allow_mixed);
    assert_eq!(audio.telephone_event(48_000).unwrap().send_pt, 110);
    let video = &session.media[1];
    assert_eq!(video.codecs[0].feedback, ["nack pli", "transport-cc"]);
    assert_eq!(session.media[2].data.as_ref().unwrap().remote_max_message_size, 262_144);
}

#[test]
fn firefox_is_answered_though_it_offers_bundle_only_lines() {
    let answer = answer(FIREFOX);
    let session = &answer.session;
    assert_eq!(session.media[1].carrier, 0);
    assert!(!session.media[1].rejected);
    let audio = session.audio().unwrap();
    assert_eq!(audio.direction, tiny_sdp::Direction::SendOnly);
    let ice = audio.ice.as_ref().unwrap();
    assert!(ice.end_of_candidates && ice.candidates.len() == 4);
    assert_eq!(audio.remote_rtp.as_ref().unwrap().to_string(), "198.51.100.9:52116");
    assert_eq!(session.media[1].remote_rtp, audio.remote_rtp);
    assert!(answer.sdp.contains("m=video 5000 UDP/TLS/RTP/SAVPF 120\r\n"), "{}", answer.sdp);
}

/// A browser behind JsSIP: gathered before the INVITE, sound only.
#[test]
fn jssip_is_answered_with_its_gathered_candidates() {
    let offer = lines(&format!(
        "v=0
         o=- 7214506690342217790 2 IN IP4 127.0.0.1
         s=-
         t=0 0
         a=group:BUNDLE 0
         a=msid-semantic: WMS
         m=audio 51472 UDP/TLS/RTP/SAVPF 111 0 8 110 126
         c=IN IP4 192.0.2.77
         a=rtcp:9 IN IP4 0.0.0.0
         a=candidate:1466990021 1 udp 2113937151 192.0.2.77 51472 typ host generation 0 network-cost 999
         a=ice-ufrag:hJ4k
         a=ice-pwd:Wd2uY0s6vGq8mTz1bNc5xRp3
         a=ice-options:trickle
         a=fingerprint:sha-256 {PRINT}
         a=setup:actpass
         a=mid:0
         a=sendrecv
         a=rtcp-mux
         a=rtpmap:111 opus/48000/2
         a=fmtp:111 minptime=10;useinbandfec=1
         a=rtpmap:0 PCMU/8000
         a=rtpmap:8 PCMA/8000
         a=rtpmap:110 telephone-event/48000
         a=rtpmap:126 telephone-event/8000"
    ));
    let answer = answer(&offer);
    let audio = answer.session.audio().unwrap();
    let candidate = &audio.ice.as_ref().unwrap().candidates[0];
    assert_eq!((candidate.port, candidate.extensions.len()), (51_472, 2));
    assert_eq!(audio.ice_refusal, None);
    assert_eq!((audio.carrier, &*audio.codecs[0].name), (0, "opus"));
}

/// A media proxy in front of a phone: the browser's protocol, no bundle, two components, a second
/// fingerprint, a fixed role.
#[test]
fn rtpengine_is_answered_without_a_bundle() {
    let offer = lines(&format!(
        "v=0
         o=phone 1690001 1690001 IN IP4 203.0.113.5
         s=A call
         c=IN IP4 203.0.113.5
         t=0 0
         a=ice-lite
         m=audio 30010 UDP/TLS/RTP/SAVPF 8 0 101
         a=rtpmap:8 PCMA/8000
         a=rtpmap:0 PCMU/8000
         a=rtpmap:101 telephone-event/8000
         a=fmtp:101 0-16
         a=sendrecv
         a=rtcp:30011
         a=rtcp-mux
         a=setup:active
         a=fingerprint:sha-1 01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67
         a=fingerprint:sha-256 {PRINT}
         a=tls-id:9d1f3cbb8a0e4e5f86f1b7c2d3e4f5a6
         a=ice-ufrag:w3Xk2QpT
         a=ice-pwd:gH5jK8lZ0xC2vB4nM6qW8eR1tY
         a=candidate:a1B2c3D4e5F6g7H8 1 UDP 2130706431 203.0.113.5 30010 typ host
         a=candidate:a1B2c3D4e5F6g7H8 2 UDP 2130706430 203.0.113.5 30011 typ host
         a=end-of-candidates"
    ));
    let answer = answer(&offer);
    let audio = answer.session.audio().unwrap();
    let dtls = audio.dtls.as_ref().unwrap();
    assert_eq!((dtls.role, dtls.remote_fingerprints.len()), (DtlsRole::Server, 2));
    assert!(answer.sdp.contains("a=tls-id:tinytinytinytinytiny\r\n"));
    assert!(audio.ice.as_ref().unwrap().remote_lite);
    assert!(!answer.sdp.contains("a=group"));
    assert!(audio.rtcp_mux && audio.ice_refusal.is_none());
}

/// A PBX with the old name of the protocol, fingerprints at session level, ICE for both components.
#[test]
fn freeswitch_is_answered_under_the_old_name_of_dtls() {
    let offer = lines(&format!(
        "v=0
         o=FreeSWITCH 1712345678 1712345679 IN IP4 203.0.113.8
         s=FreeSWITCH
         c=IN IP4 203.0.113.8
         t=0 0
         a=msid-semantic: WMS Fs3vJx
         a=fingerprint:sha-256 {PRINT}
         m=audio 22040 RTP/SAVPF 102 9 0 8 103 101
         a=rtpmap:102 opus/48000/2
         a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40
         a=rtpmap:9 G722/8000
         a=rtpmap:0 PCMU/8000
         a=rtpmap:8 PCMA/8000
         a=rtpmap:103 telephone-event/48000
         a=fmtp:103 0-15
         a=rtpmap:101 telephone-event/8000
         a=fmtp:101 0-15
         a=setup:actpass
         a=rtcp-mux
         a=rtcp:22040 IN IP4 203.0.113.8
         a=ssrc:3620184497 cname:yL1mRk
         a=ssrc:3620184497 msid:Fs3vJx a0
         a=ice-ufrag:kSBnWqvR
         a=ice-pwd:4fGh7JkLmN9pQrStUvWxYz01
         a=candidate:3487620117 1 udp 2130706431 203.0.113.8 22040 typ host generation 0
         a=end-of-candidates
         a=silenceSupp:off - - - -
         a=ptime:20
         a=sendrecv"
    ));
    let answer = answer(&offer);
    let audio = answer.session.audio().unwrap();
    assert!(answer.sdp.contains("m=audio 5000 RTP/SAVPF 102 0 8 103 101\r\n"), "{}", answer.sdp);
    assert_eq!(audio.dtls.as_ref().unwrap().role, DtlsRole::Client);
    assert_eq!(audio.rtp.as_ref().unwrap().ssrcs[0].0, 3_620_184_497);
    // Without a fingerprint it would be SDES, which is not spoken here.
    let sdes = offer.replace("a=fingerprint", "a=x-fingerprint");
    let mut negotiator = Negotiator::new(Arc::new(Config::default()), 1, 1);
    let refused = negotiator.answer(sdes.as_bytes(), &agent());
    assert_eq!(refused, Err(Error::NothingInCommon(vec![Rejection::Dtls])));
}

/// Old and new samples of the field: each is answered, or refused for a reason that is named.
#[test]
fn samples_of_the_field_are_answered_or_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/sdp/sdp-transform");
    let answered = |name: &str, session: &LocalSession| {
        let offer = std::fs::read(folder.join(name)).unwrap();
        let mut negotiator = Negotiator::new(Arc::new(Config::default()), 1, 1);
        negotiator.answer(&offer, session).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let carriers = |answer: &Answer| {
        answer.session.media.iter().map(|m| (!m.rejected).then_some(m.carrier)).collect::<Vec<_>>()
    };
    let has = agent();
    assert_eq!(carriers(&answered("jsep.sdp", &has)), [Some(0), Some(0)]);
    assert_eq!(carriers(&answered("ssrc.sdp", &has)), [Some(0), Some(0)]);
    assert_eq!(carriers(&answered("sctp-dtls-26.sdp", &has)), [Some(0)]);
    assert_eq!(carriers(&answered("jssip.sdp", &has)), [Some(0)]);
    let lite = answered("icelite.sdp", &has);
    assert!(lite.session.media[0].ice.as_ref().is_none_or(|i| i.remote_lite));
    // Alternatives, paused encodings and a draft's syntax in one: the first of each is understood.
    let mut plain = agent();
    for media in &mut plain.media {
        (media.protocol, media.dtls, media.ice) = (Protocol::RtpAvp, None, None);
        if let Some(rtp) = &mut media.rtp {
            rtp.receive_encodings = 2;
        }
    }
    let simulcast = answered("simulcast.sdp", &plain);
    assert_eq!(simulcast.session.media[1].rtp.as_ref().unwrap().recv_rids, ["1", "2"]);
    assert!(simulcast.sdp.contains("a=simulcast:recv 1;2\r\n"));
}
