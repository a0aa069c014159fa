//! Descriptions from the field: all but the invalid one are read, printed, and read again alike.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiny_sdp::{
    AttributeList, Config, Description, Error, Limits, LocalCodec, LocalMedia, LocalSession,
    MediaKind, Negotiator, ParseError, Protocol, Rejection, attribute,
};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/sdp")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(vectors().join(name)).unwrap()
}

fn read(name: &str) -> Result<Description, ParseError> {
    Description::parse(&bytes(name), &Limits::default())
}

fn folder(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(vectors().join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sdp"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_sample_is_read_and_printed_back_alike() {
    for name in ["sdp-transform", "jsep-rfc8829", "rfc4317"] {
        for path in folder(name).iter().filter(|p| !p.ends_with("invalid.sdp")) {
            let data = std::fs::read(path).unwrap();
            let first = Description::parse(&data, &Limits::default())
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let printed = first.to_string();
            let again = Description::parse(printed.as_bytes(), &Limits::default()).unwrap();
            assert_eq!(first, again, "{}", path.display());
            // Attributes keep their order, known or not.
            let lines = |s: &str| -> Vec<String> {
                s.lines().filter(|l| l.starts_with("a=")).map(str::to_owned).collect()
            };
            let original = String::from_utf8_lossy(&data);
            assert_eq!(lines(&original), lines(&printed), "{}", path.display());
        }
    }
}

#[test]
fn the_invalid_sample_is_refused_for_both_its_faults() {
    assert!(matches!(
        read("sdp-transform/invalid.sdp"),
        Err(ParseError::UnknownType { letter: b'f', .. })
    ));
    let text = String::from_utf8(bytes("sdp-transform/invalid.sdp")).unwrap();
    let without_f = text.replace("f=invalid:yes", "");
    assert!(matches!(
        Description::parse(without_f.as_bytes(), &Limits::default()),
        Err(ParseError::Attribute { name: "rtcp", .. })
    ));
}

#[test]
fn the_hacky_sample_gives_up_its_typed_attributes() {
    let d = read("sdp-transform/hacky.sdp").unwrap();
    assert_eq!(d.media_count(), 3);
    assert_eq!(d.groups().next().unwrap().unwrap().to_string(), "BUNDLE audio video");
    let audio = d.media(0).unwrap();
    assert_eq!(audio.protocol().as_str(), "RTP/SAVPF");
    assert_eq!(audio.mid(), Some("audio"));
    assert_eq!(audio.ptime(), Some(0.125));
    assert_eq!(audio.maxptime(), Some(60.0));
    assert!(audio.rtcp_mux());
    assert_eq!(audio.rtcp().unwrap().unwrap().port, 1);
    assert_eq!(audio.ice_ufrag(), Some("lat6xwB1/flm+VwG"));
    assert_eq!(audio.ice_pwd(), Some("L5+HonleGeFHa8jPZLc/kr0E"));
    assert_eq!(audio.fmtp("111"), Some("minptime=10"));
    assert_eq!(audio.candidates().filter(Result::is_ok).count(), 8);
    assert_eq!(audio.ssrcs().filter(Result::is_ok).count(), 4);
    assert_eq!(audio.rtpmaps().filter(Result::is_ok).count(), 10);
    let crypto = audio.cryptos().next().unwrap().unwrap();
    assert_eq!(crypto.crypto_suite, attribute::CryptoSuite::AesCm128HmacSha1_80);
    let extmap = audio.extmaps().next().unwrap().unwrap();
    assert_eq!(extmap.uri, "urn:ietf:params:rtp-hdrext:ssrc-audio-level");
    let video = d.media(1).unwrap();
    assert_eq!(video.rtcp_feedbacks().filter(Result::is_ok).count(), 3);
    let data = d.media(2).unwrap();
    assert_eq!(data.kind(), MediaKind::Application);
    assert_eq!(data.setup().unwrap().unwrap(), attribute::Setup::Active);
    assert_eq!(data.fingerprints().len(), 1);
    assert_eq!(data.formats().collect::<Vec<_>>(), ["5000"]);
    assert_eq!(data.value("sctpmap"), Some("5000 webrtc-datachannel 1024"));
}

#[test]
fn attributes_of_the_session_hold_for_its_media() {
    assert!(read("sdp-transform/icelite.sdp").unwrap().has("ice-lite"));
    let d = read("jsep-rfc8829/02-answer-A1.sdp").unwrap();
    let audio = d.media(0).unwrap();
    assert_eq!(audio.inherited("ice-options"), Some("trickle ice2"));
    assert_eq!(audio.setup().unwrap().unwrap(), attribute::Setup::Active);
}

/// An agent without encryption must not answer a WebRTC offer in the clear; one whose local media is
/// of that profile finds Opus, G.711 and both events in it.
#[test]
fn webrtc_offers_are_answered_only_by_webrtc_media() {
    let offer = bytes("jsep-rfc8829/01-offer-A1.sdp");
    let codecs = vec![LocalCodec::opus(), LocalCodec::pcmu()];
    let mut audio = LocalMedia::audio(10_200, codecs).with_telephone_events();
    audio.rtcp_mux = true;
    let mut session = LocalSession::new("203.0.113.200", vec![audio]);
    let config = Arc::new(Config::default());

    let mut plain = Negotiator::new(config.clone(), 1, 1);
    assert_eq!(
        plain.answer(&offer, &session),
        Err(Error::NothingInCommon(vec![Rejection::Protocol, Rejection::NoLocalMedia]))
    );

    session.media[0].protocol = Protocol::UdpTlsRtpSavpf;
    let answer = Negotiator::new(config, 1, 1).answer(&offer, &session).unwrap();
    let audio = answer.session.audio().unwrap();
    assert_eq!(audio.codecs.iter().map(|c| c.recv_pt).collect::<Vec<_>>(), [96, 0]);
    assert_eq!(audio.telephone_event(48_000).unwrap().send_pt, 98);
    assert_eq!(audio.telephone_event(8_000).unwrap().send_pt, 97);
    assert!(audio.rtcp_mux);
    assert_eq!(audio.remote_rtcp, audio.remote_rtp);
    assert!(answer.sdp.contains("m=audio 10200 UDP/TLS/RTP/SAVPF 96 0 97 98\r\n"));
    assert!(answer.sdp.contains("a=mid:a1\r\n"));
    assert!(answer.sdp.contains("m=video 0 UDP/TLS/RTP/SAVPF 100\r\n"));
}
