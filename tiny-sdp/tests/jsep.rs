//! The offers and answers of RFC 8829 §7, made by two sets of transceivers that are driven through
//! them. Each of ours equals the RFC's text attribute by attribute: the order of the attributes of
//! one section is free (RFC 8866 §5.13), that of sections, formats and groups is not.

use std::sync::Arc;
use tiny_sdp::attribute::{Candidate, Fingerprint, Msid, Rid, RidDirection};
use tiny_sdp::{
    Answer, BundlePolicy, Config, Direction, DtlsRole, IceCredentials, LocalAttribute, LocalCodec,
    LocalData, LocalDtls, LocalExtension, LocalIce, LocalMedia, LocalRtp, LocalSession, MediaKind,
    Negotiator, Protocol, Transceivers,
};

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("../../tests/vectors/sdp/jsep-rfc8829/", $name, ".sdp"))
    };
}

const ALICE_HOST: &str = "203.0.113.100";
const BOB_HOST: &str = "203.0.113.200";

/// One side's transport: what the application brings to each stream of it.
#[derive(Clone)]
struct Transport {
    ufrag: &'static str,
    pwd: &'static str,
    fingerprint: &'static str,
    tls_id: &'static str,
    mux_only: bool,
}

const ALICE_PRINT: &str = "sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04:BB:05:2F:70:9F:04:A9:0E:05:E9:26:33:E8:70:88:A2";

impl Transport {
    fn apply(&self, media: &mut LocalMedia) {
        media.ice = Some(Box::new(LocalIce::new(IceCredentials::new(self.ufrag, self.pwd))));
        let print: Fingerprint = self.fingerprint.parse().unwrap();
        media.dtls = Some(Box::new(LocalDtls::new(vec![print]).tls_id(self.tls_id)));
        (media.rtcp_mux, media.rtcp_mux_only) = (true, self.mux_only);
    }
}

fn rtp(msid: Option<&'static str>, second: &'static str) -> LocalRtp {
    let mid = LocalExtension::new(tiny_sdp::MID_EXTENSION);
    LocalRtp {
        extensions: vec![mid, LocalExtension::new(second)],
        rtcp_rsize: true,
        msids: msid.map(|id| Msid { id: id.into(), appdata: None }).into_iter().collect(),
        ..LocalRtp::default()
    }
}

fn audio(mid: &'static str, transport: &Transport, msid: Option<&'static str>) -> LocalMedia {
    let codecs = vec![
        LocalCodec::opus().payload_type(96).fmtp(""),
        LocalCodec::pcmu(),
        LocalCodec::pcma(),
        LocalCodec::telephone_event(8000).payload_type(97),
        LocalCodec::telephone_event(48_000).payload_type(98),
    ];
    let mut media = LocalMedia::audio(9, codecs);
    media.protocol = Protocol::UdpTlsRtpSavpf;
    media.mid = Some(mid.into());
    media.maxptime = Some(120);
    media.rtp = Some(Box::new(rtp(msid, "urn:ietf:params:rtp-hdrext:ssrc-audio-level")));
    transport.apply(&mut media);
    media
}

fn video(mid: &'static str, transport: &Transport, msid: Option<&'static str>) -> LocalMedia {
    let codec = |name: &'static str, pt| LocalCodec::new(name, 90_000).payload_type(pt);
    let codecs = vec![
        codec("VP8", 100).feedback("ccm fir").feedback("nack").feedback("nack pli"),
        codec("H264", 101).fmtp("packetization-mode=1;profile-level-id=42e01f"),
        codec("rtx", 102).fmtp("apt=100"),
        codec("rtx", 103).fmtp("apt=101"),
    ];
    let mut media = LocalMedia::new(MediaKind::Video, 9, codecs);
    media.protocol = Protocol::UdpTlsRtpSavpf;
    media.mid = Some(mid.into());
    media.rtp = Some(Box::new(rtp(msid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id")));
    transport.apply(&mut media);
    media
}

fn data(mid: &'static str, transport: &Transport) -> LocalMedia {
    let sctp = LocalData { max_message_size: Some(65_536), ..LocalData::default() };
    let mut media = LocalMedia::data_channel(9, sctp);
    media.mid = Some(mid.into());
    transport.apply(&mut media);
    media
}

fn side(id: u64, bundle: BundlePolicy) -> Transceivers {
    let config = Config { explicit_sendrecv: true, ..Config::default() };
    let mut session = LocalSession::new("0.0.0.0", Vec::new());
    session.bundle = bundle;
    session.ice_options = "trickle ice2".into();
    session.media_connections = true;
    Transceivers::new(Negotiator::new(Arc::new(config), id, 1), session)
}

/// Where a stream is, and its candidates.
fn at(media: &mut LocalMedia, address: &'static str, port: u16, candidates: &[&str]) {
    media.address = Some(address.into());
    media.port = port;
    let ice = media.ice.as_mut().unwrap();
    ice.candidates = candidates.iter().map(|c| c.parse::<Candidate>().unwrap()).collect();
    ice.end_of_candidates = true;
}

/// Sections of a description, each with its attributes sorted.
fn sections(sdp: &str) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for line in sdp.lines() {
        if line.starts_with("m=") {
            all.push(Vec::new());
        }
        all.last_mut().unwrap().push(line.to_owned());
    }
    for section in &mut all {
        let first = section.iter().position(|l| l.starts_with("a=")).unwrap_or(section.len());
        section[first..].sort();
    }
    all
}

#[track_caller]
fn same(made: &str, expected: &str) {
    let (made, expected) = (sections(made), sections(expected));
    for (m, e) in made.iter().zip(&expected) {
        assert_eq!(m, e);
    }
    assert_eq!(made.len(), expected.len());
}

#[track_caller]
fn exchange(
    (from, offer): (&mut Transceivers, &str),
    (to, answer): (&mut Transceivers, &str),
) -> (Answer, tiny_sdp::NegotiatedSession) {
    assert!(from.negotiation_needed());
    same(&from.offer().unwrap(), offer);
    assert!(!from.negotiation_needed());
    let made = to.answer(offer.as_bytes()).unwrap();
    same(&made.sdp, answer);
    let taken = from.accept_answer(answer.as_bytes()).unwrap();
    assert!(!from.negotiation_needed());
    (made, taken)
}

#[test]
fn a_simple_call_with_audio_and_video() {
    let alice_at = |ufrag, pwd| Transport {
        ufrag,
        pwd,
        fingerprint: ALICE_PRINT,
        tls_id: "91bbf309c0990a6bec11e38ba2933cee",
        mux_only: false,
    };
    let mut alice = side(4_962_303_333_179_871_722, BundlePolicy::Balanced);
    let stream = Some("47017fee-b6c1-4162-929c-a25110252400");
    let mut a1 = audio("a1", &alice_at("ETEn", "OtSK0WpNtpUjkY4+86js7ZQl"), stream);
    let host = |n: u32, component: u32, port: u32| {
        let priority = 2_113_929_472 - component;
        format!("1 {component} udp {priority} 203.0.113.{n} {port} typ host")
    };
    at(&mut a1, ALICE_HOST, 10_100, &[&host(100, 1, 10_100), &host(100, 2, 10_101)]);
    a1.rtcp_port = Some(10_101);
    let mut v1 = video("v1", &alice_at("BGKk", "mqyWsAjvtKwTGnvhPztQ9mIf"), stream);
    at(&mut v1, ALICE_HOST, 10_102, &[&host(100, 1, 10_102), &host(100, 2, 10_103)]);
    v1.rtcp_port = Some(10_103);
    let (a1, v1) = (alice.add_track(a1), alice.add_track(v1));

    let bob_at = Transport {
        ufrag: "6sFv",
        pwd: "cOTZKZNVlO9RSGsEGM63JXT2",
        fingerprint: "sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08",
        tls_id: "eec3392ab83e11ceb6a0990c903fbb19",
        mux_only: false,
    };
    let mut bob = side(6_729_291_447_651_054_566, BundlePolicy::Balanced);
    let stream = Some("61317484-2ed4-49d7-9eb7-1414322a7aae");
    for mut media in [audio("x", &bob_at, stream), video("y", &bob_at, stream)] {
        at(&mut media, BOB_HOST, 10_200, &[&host(200, 1, 10_200)]);
        bob.add_track(media);
    }
    let (answer, session) =
        exchange((&mut alice, vector!("01-offer-A1")), (&mut bob, vector!("02-answer-A1")));
    assert!(!bob.negotiation_needed());
    for (id, mid) in [(a1, "a1"), (v1, "v1")] {
        let t = alice.get(id).unwrap();
        assert_eq!((&**t.mid().unwrap(), t.current_direction()), (mid, Some(Direction::SendRecv)));
    }
    // One transport for both: Alice's video goes where the audio goes.
    let video = &session.media[1];
    assert_eq!((video.carrier, video.rtcp_mux, &video.ice, &video.dtls), (0, true, &None, &None));
    assert_eq!(video.remote_rtp.as_ref().unwrap().to_string(), "203.0.113.200:10200");
    let transport = session.transport(video);
    assert_eq!(transport.dtls.as_ref().unwrap().role, DtlsRole::Server);
    assert_eq!(&*transport.ice.as_ref().unwrap().remote.ufrag, "6sFv");
    assert_eq!(session.carried_by(0).count(), 2);
    assert_eq!(video.rtp.as_ref().unwrap().extension(tiny_sdp::MID_EXTENSION), Some(1));
    assert_eq!(video.codecs[0].feedback, ["ccm fir", "nack", "nack pli"]);
    let remote = answer.session.media[0].ice.as_ref().unwrap();
    assert_eq!((&*remote.remote.ufrag, remote.candidates.len()), ("ETEn", 2));
}

fn warm_alice() -> Transport {
    Transport {
        ufrag: "ATEn",
        pwd: "AtSK0WpNtpUjkY4+86js7ZQl",
        fingerprint: "sha-256 29:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04:BB:05:2F:70:9F:04:A9:0E:05:E9:26:33:E8:70:88:A2",
        tls_id: "17f0f4ba8a5f1213faca591b58ba52a7",
        mux_only: true,
    }
}

fn warm_bob() -> Transport {
    Transport {
        ufrag: "7sFv",
        pwd: "dOTZKZNVlO9RSGsEGM63JXT2",
        fingerprint: "sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08",
        tls_id: "7a25ab85b195acaf3121f5a8ab4f0f71",
        mux_only: true,
    }
}

#[test]
fn audio_and_data_then_two_videos_the_other_way() {
    let (alice_at, bob_at) = (warm_alice(), warm_bob());
    let mut alice = side(4_962_303_333_179_871_723, BundlePolicy::MaxBundle);
    let a1 = alice.add_track(audio("a1", &alice_at, Some("57017fee-b6c1-4162-929c-a25110252400")));
    alice.add_data(data("d1", &alice_at));
    let mut bob = side(7_729_291_447_651_054_566, BundlePolicy::MaxBundle);
    let stream = "71317484-2ed4-49d7-9eb7-1414322a7aae";
    let bob_audio = bob.add_track(audio("x", &bob_at, Some(stream)));
    bob.receive(data("y", &bob_at));
    let (_, session) =
        exchange((&mut alice, vector!("03-offer-B1")), (&mut bob, vector!("04-answer-B1")));
    let channels = &session.media[1];
    assert_eq!((channels.carrier, channels.formats.len()), (0, 1));
    let sctp = channels.data.as_ref().unwrap();
    assert_eq!((sctp.remote_sctp_port, sctp.remote_max_message_size), (5000, 65_536));

    // Candidates have been found meanwhile; both sides say them now.
    let found = |net: u32| {
        let relay = if net == 100 { "192.0.2.100" } else { "192.0.2.200" };
        let port = 10_000 + net;
        (
            relay,
            12_000 + net as u16,
            [
                format!("1 1 udp 2113929471 203.0.113.{net} {port} typ host"),
                format!(
                    "1 1 udp 1845494015 198.51.100.{net} {} typ srflx raddr 203.0.113.{net} rport \
                     {port}",
                    port + 1000
                ),
                format!(
                    "1 1 udp 255 192.0.2.{net} {} typ relay raddr 198.51.100.{net} rport {}",
                    port + 2000,
                    port + 1000
                ),
            ],
        )
    };
    for (who, id, net) in [(&mut alice, a1, 100), (&mut bob, bob_audio, 200)] {
        let (address, port, candidates) = found(net);
        let media = who.media_mut(id).unwrap();
        at(media, address, port, &candidates.each_ref().map(String::as_str));
    }
    // Bob adds two videos, the first in three encodings.
    let fec = || LocalCodec::new("flexfec", 90_000).payload_type(104);
    let mut v1 = video("v1", &bob_at, Some(stream));
    v1.codecs.push(fec());
    v1.rtp.as_mut().unwrap().send_rids =
        ["1", "2", "3"].map(|id| Rid::new(id, RidDirection::Send)).to_vec();
    let mut v2 = video("v2", &bob_at, Some("81317484-2ed4-49d7-9eb7-1414322a7aae"));
    v2.codecs.push(fec());
    bob.add(v1, Direction::SendRecv);
    bob.add(v2, Direction::SendRecv);
    // Alice receives what is new, at sizes that she can show.
    let mut shown = video("z", &alice_at, None);
    let sizes = "100 recv [x=[48:1920],y=[48:1080],q=1.0]";
    shown.attributes.push(LocalAttribute::new("imageattr", sizes));
    alice.receive(shown);
    let (answer, session) =
        exchange((&mut bob, vector!("05-offer-B2")), (&mut alice, vector!("06-answer-B2")));
    // The association goes on, in the roles of the first exchange, though ICE said new candidates.
    let (ours, theirs) = (&session.media[0], &answer.session.media[0]);
    assert_eq!(ours.dtls.as_ref().unwrap().role, DtlsRole::Client);
    assert!(!ours.dtls.as_ref().unwrap().new_association);
    assert!(!theirs.dtls.as_ref().unwrap().new_association);
    assert!(!ours.ice.as_ref().unwrap().restarted && !theirs.ice.as_ref().unwrap().restarted);
    // Simulcast was refused: the answer has none of it.
    assert!(session.media[2].rtp.as_ref().unwrap().send_rids.is_empty());
    assert!(session.media.iter().all(|m| m.carrier == 0));
    assert_eq!(alice.iter().count(), 4);
    let v1 = alice.by_mid("v1").unwrap();
    assert_eq!(alice.get(v1).unwrap().current_direction(), Some(Direction::RecvOnly));
    // Bob has his wish only half: W3C does not make him ask again for what Alice declined.
    assert!(!bob.negotiation_needed() && !alice.negotiation_needed());
}

#[test]
fn an_early_warm_up_that_sends_both_ways_later() {
    let alice_at = Transport {
        ufrag: "4ZcD",
        pwd: "ZaaG6OG7tCn4J/lehAGz+HHD",
        fingerprint: "sha-256 C4:68:F8:77:6A:44:F1:98:6D:7C:9F:47:EB:E3:34:A4:0A:AA:2D:49:08:28:70:2E:1F:AE:18:7D:4E:3E:66:BF",
        tls_id: "9e5b948ade9c3d41de6617b68f769e55",
        mux_only: true,
    };
    let bob_at = Transport {
        ufrag: "TpaA",
        pwd: "t2Ouhc67y8JcCaYZxUUTgKw/",
        fingerprint: "sha-256 A2:F3:A5:6D:4C:8C:1E:B2:62:10:4A:F6:70:61:C4:FC:3C:E0:01:D6:F3:24:80:74:DA:7C:3E:50:18:7B:CE:4D",
        tls_id: "55e967f86b7166ed14d3c9eda849b5e9",
        mux_only: true,
    };
    let mut alice = side(1_070_771_854_436_052_752, BundlePolicy::MaxBundle);
    let stream = Some("bbce3ba6-abfc-ac63-d00a-e15b286f8fce");
    let a1 = alice.add_track(audio("a1", &alice_at, stream));
    alice.add_track(video("v1", &alice_at, stream));
    let mut bob = side(6_386_516_489_780_559_513, BundlePolicy::MaxBundle);
    let stream = Some("751f239e-4ae0-c549-aa3d-890de772998b");
    let tracks =
        [audio("x", &bob_at, stream), video("y", &bob_at, stream)].map(|m| bob.add_track(m));
    tracks.iter().for_each(|t| bob.set_direction(*t, Direction::SendOnly));
    let (answer, _) =
        exchange((&mut alice, vector!("07-offer-C1")), (&mut bob, vector!("08-answer-C1")));
    assert!(!bob.negotiation_needed());
    assert_eq!(alice.get(a1).unwrap().current_direction(), Some(Direction::RecvOnly));
    assert!(answer.session.media.iter().all(|m| m.direction == Direction::SendOnly));

    tracks.iter().for_each(|t| bob.set_direction(*t, Direction::SendRecv));
    assert!(bob.negotiation_needed());
    let relay = |net: u32| {
        format!("1 1 udp 255 192.0.2.{net} {} typ relay raddr 0.0.0.0 rport 0", 12_000 + net)
    };
    at(bob.media_mut(tracks[0]).unwrap(), "192.0.2.200", 12_200, &[&relay(200)]);
    at(alice.media_mut(a1).unwrap(), "192.0.2.100", 12_100, &[&relay(100)]);
    let (_, session) =
        exchange((&mut bob, vector!("09-offer-C2")), (&mut alice, vector!("10-answer-C2")));
    assert!(session.media.iter().all(|m| m.direction == Direction::SendRecv));
    assert_eq!(alice.get(a1).unwrap().current_direction(), Some(Direction::SendRecv));
}
