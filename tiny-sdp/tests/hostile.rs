//! Whatever a peer sends: no panic, and the rules of later offers hold through any sequence of them.

use proptest::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tiny_sdp::{
    AttributeList, BundlePolicy, Config, Description, Direction, Fragment, IceCredentials, Limits,
    LocalCodec, LocalData, LocalDtls, LocalExtension, LocalIce, LocalMedia, LocalRtp, LocalSession,
    MediaKind, NegotiatedSession, Negotiator, Protocol, QosTable, Transceivers, attribute, fmtp,
    precondition,
};

fn samples() -> Vec<Vec<u8>> {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/sdp");
    let mut files: Vec<_> = ["sdp-transform", "jsep-rfc8829", "rfc4317", "browsers"]
        .iter()
        .flat_map(|f| std::fs::read_dir(at.join(f)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn local() -> LocalSession {
    let mut audio = LocalMedia::audio(
        4000,
        vec![LocalCodec::opus(), LocalCodec::pcmu(), LocalCodec::new("iLBC", 8000)],
    )
    .with_telephone_events();
    audio.rtcp_mux = true;
    let h264 = LocalCodec::new("H264", 90_000).fmtp("profile-level-id=42e01f;packetization-mode=1");
    let video = LocalMedia::new(MediaKind::Video, 4002, vec![h264, LocalCodec::new("MPV", 90_000)]);
    LocalSession::new("192.0.2.1", vec![audio, video])
}

/// The same with all that a browser's peer has.
fn webrtc() -> LocalSession {
    let mut session = local();
    session.media.push(LocalMedia::data_channel(4004, LocalData::default()));
    for media in &mut session.media {
        if media.data.is_none() {
            media.protocol = Protocol::UdpTlsRtpSavpf;
            let extensions =
                vec![LocalExtension::new("urn:ietf:params:rtp-hdrext:ssrc-audio-level")];
            media.rtp = Some(Box::new(LocalRtp {
                extensions,
                extmap_allow_mixed: true,
                rtcp_rsize: true,
                receive_encodings: 2,
                ..LocalRtp::default()
            }));
        }
        media.rtcp_mux = true;
        let credentials = IceCredentials::new("ours", "0123456789012345678901");
        media.ice = Some(Box::new(LocalIce::new(credentials)));
        let print = attribute::Fingerprint::with_fingerprint(attribute::HashFunc::Sha256, [7; 32]);
        media.dtls = Some(Box::new(LocalDtls::new(vec![print]).tls_id("tinytinytinytinytiny")));
    }
    session.bundle = BundlePolicy::MaxBundle;
    session
}

/// A browser's peer: what it agrees on stands on a transport that is there.
fn chew_webrtc(data: &[u8]) {
    chew_with(data, &webrtc());
    // Sound in the clear beside the rest.
    let mut mixed = webrtc();
    (mixed.media[0].protocol, mixed.media[0].dtls) = (Protocol::RtpAvp, None);
    chew_with(data, &mixed);
}

fn chew_with(data: &[u8], has: &LocalSession) {
    let config = Arc::new(Config::default());
    let check = |session: &NegotiatedSession| {
        for media in session.active() {
            let carrier = session.transport(media);
            assert!(!carrier.rejected && carrier.carrier == carrier.index);
            // Encryption that we want is there or the line is rejected.
            let wanted = has.media[media.local.unwrap()].dtls.is_some();
            assert_eq!(wanted, carrier.dtls.is_some());
        }
    };
    let mut answerer = Negotiator::new(config.clone(), 1, 1);
    if let Ok(answer) = answerer.answer(data, has) {
        check(&answer.session);
        Description::parse(answer.sdp.as_bytes(), &Limits::default()).unwrap();
        let _ = answerer.offer(has).unwrap();
        if let Ok(session) = answerer.accept_answer(data) {
            check(&session);
        }
    }
    let mut offerer = Negotiator::new(config, 2, 1);
    offerer.offer(has).unwrap();
    if let Ok(session) = offerer.accept_answer(data) {
        check(&session);
    }
    let mut side = Transceivers::new(Negotiator::new(Arc::default(), 3, 1), has.clone());
    has.media.iter().for_each(|m| side.receive(m.clone()));
    side.add_track(has.media[0].clone());
    if side.answer(data).is_ok() {
        let _ = (side.negotiation_needed(), side.offer());
        let _ = side.accept_answer(data);
    }
    if let Ok(fragment) = Fragment::parse(data, &Limits::default()) {
        let printed = fragment.to_string();
        assert_eq!(Fragment::parse(printed.as_bytes(), &Limits::default()), Ok(fragment));
    }
}

/// Everything that reads what a peer wrote.
fn chew(data: &[u8]) {
    chew_webrtc(data);
    let config = Arc::new(Config { additional_formats: true, ..Config::default() });
    let mut answerer = Negotiator::new(config.clone(), 1, 1);
    if let Ok(answer) = answerer.answer(data, &local()) {
        // What we write is readable, and has a line for each line.
        let ours = Description::parse(answer.sdp.as_bytes(), &Limits::default()).unwrap();
        let theirs = Description::parse(data, &Limits::default()).unwrap();
        assert_eq!(ours.media_count(), theirs.media_count());
        let _ = answerer.answer(data, &local()).unwrap();
        let _ = answerer.offer(&local()).unwrap();
        let _ = answerer.accept_answer(data);
    }
    let mut offerer = Negotiator::new(config, 2, 1);
    offerer.offer(&local()).unwrap();
    let _ = offerer.accept_answer(data);
    let Ok(description) = Description::parse(data, &Limits::default()) else { return };
    let _ = description.to_string();
    description.groups().for_each(drop);
    for media in description.all_media() {
        media.candidates().for_each(drop);
        media.cryptos().for_each(drop);
        media.ssrcs().for_each(drop);
        media.extmaps().for_each(drop);
        let mut table = QosTable::default();
        if table.learn(&media, true) == Ok(true) {
            // What we say of it is understood as we meant it.
            let mut ours = String::from(
                "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
            );
            for line in table.attributes(true) {
                ours += &format!("a={}:{}\r\n", line.name.as_str(), line.value.unwrap().as_str());
            }
            let ours = Description::parse(ours.as_bytes(), &Limits::default()).unwrap();
            assert_eq!(QosTable::default().learn(&ours.media(0).unwrap(), false), Ok(true));
        }
        let failures = table.failures();
        let refusal = precondition::refusal(&description, 0, &failures);
        assert!(refusal.starts_with("v=0\r\n"));
        media.rtcp_feedbacks().for_each(drop);
        media.rtpmaps().for_each(drop);
        media.typed::<attribute::Fmtp>().for_each(drop);
        media.typed::<attribute::Rid>().for_each(drop);
        let _ = (media.rtcp(), media.setup(), media.fingerprints(), media.host());
        for format in media.formats() {
            let parameters = media.fmtp(format).unwrap_or_default();
            let _ = fmtp::OpusParams::parse(parameters);
            let _ = fmtp::EventSet::from_fmtp(parameters).map(|e| e.to_string());
            let _ = fmtp::H264Params::parse(parameters).map(|p| (p.profile(), p.level()));
        }
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Delete(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Cross(prop::sample::Index, prop::sample::Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    use prop::sample::Index;
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(i, b)| Edit::Replace(i, b)),
        (any::<Index>(), 1..40usize).prop_map(|(i, n)| Edit::Delete(i, n)),
        (any::<Index>(), 1..80usize).prop_map(|(i, n)| Edit::Repeat(i, n)),
        (any::<Index>(), any::<Index>(), 1..120usize).prop_map(|(f, i, n)| Edit::Cross(f, i, n)),
    ]
}

fn apply(data: &mut Vec<u8>, edit: &Edit, all: &[Vec<u8>]) {
    if data.is_empty() {
        return;
    }
    match edit {
        Edit::Replace(i, b) => {
            let at = i.index(data.len());
            data[at] = *b;
        }
        Edit::Delete(i, n) => {
            let at = i.index(data.len());
            let end = (at + n).min(data.len());
            data.drain(at..end);
        }
        Edit::Repeat(i, n) => {
            let at = i.index(data.len());
            let end = (at + n).min(data.len());
            let piece = data[at..end].to_vec();
            data.splice(at..at, piece);
        }
        Edit::Cross(f, i, n) => {
            let other = &all[f.index(all.len())];
            let from = i.index(other.len());
            let end = (from + n).min(other.len());
            let at = i.index(data.len());
            data.splice(at..at, other[from..end].iter().copied());
        }
    }
}

/// What a peer of ours may do next in a call.
#[derive(Debug, Clone)]
struct Turn {
    from_alice: bool,
    audio: usize,
    video: usize,
    video_port: bool,
    direction: usize,
    refused: bool,
    mirror: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (any::<bool>(), 1..32usize, 1..4usize, any::<bool>(), 0..4usize, 0..6u8, any::<bool>())
        .prop_map(|(from_alice, audio, video, video_port, direction, refused, mirror)| Turn {
            from_alice,
            audio,
            video,
            video_port,
            direction,
            refused: refused == 0,
            mirror,
        })
}

fn side(turn: &Turn, first: u8) -> LocalSession {
    let all = [
        LocalCodec::opus().payload_type(first),
        LocalCodec::pcmu(),
        LocalCodec::new("iLBC", 8000).payload_type(first + 1),
        LocalCodec::telephone_event(8000).payload_type(first + usize::from(turn.mirror) as u8),
        LocalCodec::new("speex", 16000).payload_type(first),
    ];
    let pick = |all: &[LocalCodec], bits: usize| -> Vec<LocalCodec> {
        all.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, c)| c.clone()).collect()
    };
    let mut audio = LocalMedia::audio(4000, pick(&all, turn.audio));
    audio.direction =
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            [turn.direction];
    let video = [
        LocalCodec::new("VP8", 90_000).payload_type(first),
        LocalCodec::new("H264", 90_000).payload_type(first),
    ];
    let port = if turn.video_port { 5000 } else { 0 };
    let video = LocalMedia::new(MediaKind::Video, port, pick(&video, turn.video));
    LocalSession::new("192.0.2.1", vec![audio, video])
}

/// What one side has said so far: version, lines, and the meaning of each dynamic number by line.
#[derive(Default)]
struct Said {
    version: u64,
    lines: usize,
    text: String,
    meaning: HashMap<(usize, u8), String>,
    kinds: Vec<String>,
}

impl Said {
    fn check(&mut self, sdp: &str) {
        let d = Description::parse(sdp.as_bytes(), &Limits::default()).unwrap();
        let body = sdp.split_once("s=-").unwrap().1;
        let version = d.origin().sess_version;
        if self.version != 0 {
            let grown = u64::from(self.text != body);
            assert_eq!(version, self.version + grown, "{}\n{body}", self.text);
        }
        assert!(d.media_count() >= self.lines);
        for (i, media) in d.all_media().enumerate() {
            let kind = media.kind().as_str().to_owned();
            if self.kinds.get(i).is_some_and(|k| *k != kind) {
                self.meaning.retain(|(line, _), _| *line != i);
            }
            if self.kinds.len() == i {
                self.kinds.push(kind.clone());
            }
            self.kinds[i] = kind;
            if media.port() == 0 {
                // The line may be used for something new from here on.
                self.meaning.retain(|(line, _), _| *line != i);
                continue;
            }
            for map in media.rtpmaps() {
                let map = map.unwrap();
                let codec = format!("{}/{}", map.encoding_name, map.clock_rate);
                let was = self.meaning.entry((i, map.payload_type)).or_insert(codec.clone());
                assert_eq!(*was, codec, "payload type rebound in line {i}:\n{sdp}");
            }
        }
        (self.version, self.lines, self.text) = (version, d.media_count(), body.to_owned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..600)) {
        chew(&data);
        let mut started = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 1 RTP/AVP ".to_vec();
        started.extend(data);
        chew(&started);
    }

    #[test]
    fn fragments_and_channels_never_panic(
        which in any::<prop::sample::Index>(),
        text in "\\PC{0,80}",
        edits in prop::collection::vec(edit(), 0..6),
    ) {
        let all = [
            b"a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n\
              a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n".to_vec(),
            b"m=x 9 y *\na=mid:2\na=ice-pwd:x\na=ice-ufrag:\na=group:BUNDLE 1 2\n".to_vec(),
        ];
        let mut data = all[which.index(all.len())].clone();
        for edit in &edits {
            apply(&mut data, edit, &all);
        }
        chew_webrtc(&data);
        if let Ok(channel) = tiny_sdp::DataChannel::parse(&text) {
            prop_assert_eq!(tiny_sdp::DataChannel::parse(&channel.to_string()), Ok(channel));
        }
        let _ = tiny_sdp::DataChannel::parse(&format!("1 label=\"{text}\";max-retr={text}"));
    }

    #[test]
    fn mutated_samples_never_panic(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec(edit(), 1..8),
    ) {
        let all = samples();
        let mut data = all[which.index(all.len())].clone();
        for edit in &edits {
            apply(&mut data, edit, &all);
        }
        chew(&data);
    }

    #[test]
    fn any_sequence_of_offers_keeps_numbers_lines_and_versions(
        turns in prop::collection::vec(turn(), 1..20),
    ) {
        let config = |mirror| Arc::new(Config { mirror_payload_types: mirror, ..Config::default() });
        let mirror = turns[0].mirror;
        let mut alice = Negotiator::new(config(true), 1, 1);
        let mut bob = Negotiator::new(config(mirror), 2, 1);
        let (mut by_alice, mut by_bob) = (Said::default(), Said::default());
        for turn in &turns {
            let (from, to, by_from, by_to, pts) = if turn.from_alice {
                (&mut alice, &mut bob, &mut by_alice, &mut by_bob, (96, 100))
            } else {
                (&mut bob, &mut alice, &mut by_bob, &mut by_alice, (100, 96))
            };
            let offer = from.offer(&side(turn, pts.0)).unwrap();
            if turn.refused {
                from.rollback();
                // The peer has seen the version; the rest of it never was.
                let d = Description::parse(offer.as_bytes(), &Limits::default()).unwrap();
                by_from.version = d.origin().sess_version;
                by_from.text = offer.split_once("s=-").unwrap().1.to_owned();
                continue;
            }
            let everything = Turn { audio: 31, video: 3, video_port: true, ..turn.clone() };
            let Ok(answer) = to.answer(offer.as_bytes(), &side(&everything, pts.1)) else {
                from.rollback();
                let d = Description::parse(offer.as_bytes(), &Limits::default()).unwrap();
                by_from.version = d.origin().sess_version;
                by_from.text = offer.split_once("s=-").unwrap().1.to_owned();
                continue;
            };
            let taken = from.accept_answer(answer.sdp.as_bytes()).unwrap();
            by_from.check(&offer);
            by_to.check(&answer.sdp);
            for (a, b) in taken.media.iter().zip(&answer.session.media) {
                assert_eq!(a.rejected, b.rejected);
                assert_eq!(a.codecs.len(), b.codecs.len());
                for (a, b) in a.codecs.iter().zip(&b.codecs) {
                    assert_eq!((a.send_pt, a.recv_pt), (b.recv_pt, b.send_pt));
                    assert_eq!(a.name, b.name);
                }
                if !a.rejected {
                    assert_eq!(a.direction, b.direction.reversed());
                }
            }
        }
    }
}
