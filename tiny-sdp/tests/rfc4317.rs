//! Every offer/answer exchange of RFC 4317 §2–3: both sides are driven through it, and each
//! description that we write is, byte for byte, the one that the RFC prints.

use std::sync::Arc;
use tiny_sdp::{
    AnswerOrder, Config, Direction, Error, LocalCodec, LocalMedia, LocalSession, MediaKind,
    NegotiatedSession, Negotiator,
};

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("../../tests/vectors/sdp/rfc4317/", $name, ".sdp"))
    };
}

const ALICE: &str = "host.atlanta.example.com";
const BOB: &str = "host.biloxi.example.com";

fn pcmu() -> LocalCodec {
    LocalCodec::pcmu()
}
fn pcma() -> LocalCodec {
    LocalCodec::pcma()
}
fn ilbc(pt: u8) -> LocalCodec {
    LocalCodec::new("iLBC", 8000).payload_type(pt)
}
fn event(pt: u8) -> LocalCodec {
    LocalCodec::new("telephone-event", 8000).payload_type(pt)
}
fn h261() -> LocalCodec {
    LocalCodec::new("H261", 90000)
}
fn mpv() -> LocalCodec {
    LocalCodec::new("MPV", 90000)
}
fn audio(port: u16, codecs: &[LocalCodec]) -> LocalMedia {
    LocalMedia::audio(port, codecs.to_vec())
}
fn video(port: u16, codecs: &[LocalCodec]) -> LocalMedia {
    LocalMedia::new(MediaKind::Video, port, codecs.to_vec())
}

fn has(user: &'static str, host: &'static str, media: Vec<LocalMedia>) -> LocalSession {
    let mut session = LocalSession::new(host, media);
    session.username = user.into();
    session.name = "".into();
    session
}
fn alice(media: Vec<LocalMedia>) -> LocalSession {
    has("alice", ALICE, media)
}
fn bob(media: Vec<LocalMedia>) -> LocalSession {
    has("bob", BOB, media)
}

struct Pair {
    alice: Negotiator,
    bob: Negotiator,
}

impl Pair {
    fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    fn with(alice: Config, bob: Config) -> Self {
        Self {
            alice: Negotiator::new(Arc::new(alice), 2_890_844_526, 2_890_844_526),
            bob: Negotiator::new(Arc::new(bob), 2_808_844_564, 2_808_844_564),
        }
    }

    /// Alice offers, Bob answers; what each concludes, Alice's first.
    fn alice_offers(
        &mut self,
        (a, offer): (LocalSession, &str),
        (b, answer): (LocalSession, &str),
    ) -> (NegotiatedSession, NegotiatedSession) {
        exchange(&mut self.alice, &a, offer, &mut self.bob, &b, answer)
    }

    /// The other way round; again Alice's first.
    fn bob_offers(
        &mut self,
        (b, offer): (LocalSession, &str),
        (a, answer): (LocalSession, &str),
    ) -> (NegotiatedSession, NegotiatedSession) {
        let (b, a) = exchange(&mut self.bob, &b, offer, &mut self.alice, &a, answer);
        (a, b)
    }
}

fn exchange(
    offerer: &mut Negotiator,
    offerer_has: &LocalSession,
    offer: &str,
    answerer: &mut Negotiator,
    answerer_has: &LocalSession,
    answer: &str,
) -> (NegotiatedSession, NegotiatedSession) {
    assert_eq!(offerer.offer(offerer_has).unwrap(), offer);
    let made = answerer.answer(offer.as_bytes(), answerer_has).unwrap();
    assert_eq!(made.sdp, answer);
    let taken = offerer.accept_answer(answer.as_bytes()).unwrap();
    for (o, a) in taken.media.iter().zip(&made.session.media) {
        assert_eq!(o.rejected, a.rejected);
        if !o.rejected {
            assert_eq!(o.direction, a.direction.reversed());
        }
        let mut theirs = a.codecs.iter().chain(&a.telephone_events);
        for mine in o.codecs.iter().chain(&o.telephone_events) {
            let other = theirs.next().unwrap();
            assert!(mine.name.eq_ignore_ascii_case(&other.name));
            assert_eq!((mine.send_pt, mine.recv_pt), (other.recv_pt, other.send_pt));
        }
        assert!(theirs.next().is_none());
    }
    (taken, made.session)
}

fn names(session: &NegotiatedSession, index: usize) -> Vec<&str> {
    session.media[index].codecs.iter().map(|c| c.name.as_str()).collect()
}

fn first_offer() -> LocalSession {
    alice(vec![audio(49170, &[pcmu(), pcma(), ilbc(97)]), video(51372, &[h261(), mpv()])])
}

#[test]
fn s2_1_audio_and_video_one_codec_each() {
    let bob_has = bob(vec![audio(49174, &[pcmu()]), video(49170, &[mpv()])]);
    let (a, b) = Pair::new()
        .alice_offers((first_offer(), vector!("2.1-1-offer")), (bob_has, vector!("2.1-2-answer")));
    assert_eq!((names(&a, 0), names(&a, 1)), (vec!["PCMU"], vec!["MPV"]));
    assert_eq!(a.media[0].remote_rtp.as_ref().unwrap().to_string(), format!("{BOB}:49174"));
    assert_eq!(b.media[1].remote_rtcp.as_ref().unwrap().to_string(), format!("{ALICE}:51373"));
}

#[test]
fn s2_2_video_rejected_then_removed_and_audio_narrowed() {
    let mut pair = Pair::new();
    let bob_has = bob(vec![audio(49172, &[pcmu(), pcma()])]);
    let (a, _) = pair.alice_offers(
        (first_offer(), vector!("2.2-1-offer")),
        (bob_has.clone(), vector!("2.2-2-answer")),
    );
    assert_eq!(names(&a, 0), ["PCMU", "PCMA"]);
    assert!(a.media[1].rejected);
    let narrowed = alice(vec![audio(51372, &[pcmu()]), video(0, &[h261(), mpv()])]);
    let (a, b) = pair.alice_offers(
        (narrowed, vector!("2.2-3-second-offer")),
        (bob_has, vector!("2.2-4-second-answer")),
    );
    assert_eq!(names(&a, 0), ["PCMU"]);
    assert!(b.media[1].rejected);
}

#[test]
fn s2_3_dynamic_payload_types_differ_by_direction() {
    let own_numbers = Config { mirror_payload_types: false, ..Config::default() };
    let mut pair = Pair::with(Config::default(), own_numbers);
    let bob_has = bob(vec![audio(49172, &[ilbc(99)]), video(51374, &[h261()])]);
    let (a, b) = pair
        .alice_offers((first_offer(), vector!("2.3-1-offer")), (bob_has, vector!("2.3-2-answer")));
    assert_eq!((a.media[0].codecs[0].send_pt, a.media[0].codecs[0].recv_pt), (99, 97));
    assert_eq!((b.media[0].codecs[0].send_pt, b.media[0].codecs[0].recv_pt), (97, 99));
}

fn audio_and_events() -> LocalSession {
    let mut events = audio(49172, &[event(98)]);
    events.direction = Direction::SendOnly;
    alice(vec![audio(49170, &[pcmu(), ilbc(97)]), events])
}

fn bob_audio_and_events() -> LocalSession {
    let mut events = audio(49174, &[event(98)]);
    events.direction = Direction::RecvOnly;
    bob(vec![audio(49172, &[ilbc(97)]), events])
}

#[test]
fn s2_4_events_in_a_one_way_stream_of_their_own() {
    let (a, b) = Pair::new().alice_offers(
        (audio_and_events(), vector!("2.4-1-offer")),
        (bob_audio_and_events(), vector!("2.4-2-answer")),
    );
    assert_eq!(a.media[1].direction, Direction::SendOnly);
    assert_eq!(b.media[1].telephone_events[0].recv_pt, 98);
    assert!(b.media[1].codecs.is_empty());
}

#[test]
fn s2_5_the_called_side_moves_to_a_new_address() {
    let mut pair = Pair::new();
    let alice_has = alice(vec![audio(49170, &[ilbc(97)]), video(51372, &[h261()])]);
    let bob_has = bob(vec![audio(49174, &[ilbc(97)]), video(49170, &[h261()])]);
    pair.alice_offers(
        (alice_has.clone(), vector!("2.5-1-offer")),
        (bob_has, vector!("2.5-2-answer")),
    );
    let mut moved = bob(vec![audio(49178, &[ilbc(97)]), video(49188, &[h261()])]);
    moved.address = "newhost.biloxi.example.com".into();
    // Alice's description does not change, so neither does its version.
    let (a, _) = pair.bob_offers(
        (moved, vector!("2.5-3-second-offer")),
        (alice_has, vector!("2.5-4-second-answer")),
    );
    let to = a.media[0].remote_rtp.as_ref().unwrap();
    assert_eq!(to.to_string(), "newhost.biloxi.example.com:49178");
}

#[test]
fn s2_6_one_of_two_audio_streams_is_rejected() {
    let alice_has = alice(vec![audio(49170, &[pcmu()]), audio(51372, &[ilbc(97), event(101)])]);
    let bob_has = bob(vec![audio(49170, &[ilbc(97), event(101)])]);
    let (a, b) = Pair::new()
        .alice_offers((alice_has, vector!("2.6-1-offer")), (bob_has, vector!("2.6-2-answer")));
    assert!(a.media[0].rejected && !a.media[1].rejected);
    assert_eq!(b.media[1].local, Some(0));
    assert_eq!(a.media[1].telephone_events[0].send_pt, 101);
}

#[test]
fn s2_7_a_codec_is_added_later() {
    let mut pair = Pair::new();
    let at_alice =
        |codecs: &[LocalCodec]| alice(vec![audio(49170, &[ilbc(99)]), video(51372, codecs)]);
    let at_bob = |codecs: &[LocalCodec]| bob(vec![audio(49172, &[ilbc(99)]), video(51374, codecs)]);
    pair.alice_offers(
        (at_alice(&[h261()]), vector!("2.7-1-offer")),
        (at_bob(&[h261()]), vector!("2.7-2-answer")),
    );
    let (a, _) = pair.alice_offers(
        (at_alice(&[h261(), mpv()]), vector!("2.7-3-second-offer")),
        (at_bob(&[h261(), mpv()]), vector!("2.7-4-second-answer")),
    );
    assert_eq!(names(&a, 1), ["H261", "MPV"]);
}

#[test]
fn s2_8_video_at_another_host() {
    let mut elsewhere = video(49172, &[mpv()]);
    elsewhere.address = Some("otherhost.biloxi.example.com".into());
    let (a, _) = Pair::new().alice_offers(
        (first_offer(), vector!("2.8-1-offer")),
        (bob(vec![audio(49174, &[pcmu()]), elsewhere]), vector!("2.8-2-answer")),
    );
    let to = a.media[1].remote_rtp.as_ref().unwrap();
    assert_eq!(to.to_string(), "otherhost.biloxi.example.com:49172");
    assert_eq!(to.socket_addr(), None);
}

#[test]
fn s3_1_third_party_call_control_with_a_placeholder() {
    let mut pair = Pair::new();
    let mut placeholder = audio(49172, &[ilbc(97)]);
    placeholder.direction = Direction::SendOnly;
    let mut early = bob(vec![placeholder]);
    early.origin_address = Some(BOB.into());
    early.address = "placeholder.biloxi.example.com".into();
    let (a, _) = pair.alice_offers(
        (alice(vec![audio(49170, &[pcmu(), ilbc(97)])]), vector!("3.1-1-offer")),
        (early, vector!("3.1-2-answer")),
    );
    assert_eq!(a.media[0].direction, Direction::RecvOnly);
    let (a, _) = pair.bob_offers(
        (bob(vec![audio(49170, &[ilbc(97)])]), vector!("3.1-3-second-offer")),
        (alice(vec![audio(49178, &[pcmu(), ilbc(97)])]), vector!("3.1-4-second-answer")),
    );
    assert_eq!(a.media[0].direction, Direction::SendRecv);
}

#[test]
fn s3_2_on_hold_and_an_answer_with_an_additional_format() {
    let alice_config =
        Config { additional_formats: true, answer_order: AnswerOrder::Local, ..Config::default() };
    let mut pair = Pair::with(alice_config, Config::default());
    let mut bob_has = bob_audio_and_events();
    pair.alice_offers(
        (audio_and_events(), vector!("3.2-1-offer")),
        (bob_has.clone(), vector!("3.2-2-answer")),
    );
    bob_has.media[0].direction = bob_has.media[0].direction.held();
    // The RFC's answer leaves out the direction that RFC 3264 §6.1 demands in answer to sendonly,
    // yet counts its version up: something did change.
    let answer =
        vector!("3.2-4-second-answer").replace("iLBC/8000\r\n", "iLBC/8000\r\na=recvonly\r\n");
    let (a, b) =
        pair.bob_offers((bob_has, vector!("3.2-3-second-offer")), (audio_and_events(), &answer));
    assert!(a.media[0].on_hold_by_peer && !b.media[0].on_hold_by_peer);
    assert_eq!(names(&a, 0), ["iLBC"]);
    assert_eq!(a.media[0].receive_only[0].name, "PCMU");
    assert_eq!(a.media[0].receive_only[0].recv_pt, 0);
}

#[test]
fn the_printed_answer_of_3_2_is_accepted_although_it_lacks_its_direction() {
    let mut bob_side = Negotiator::new(Arc::new(Config::default()), 1, 1);
    let mut held = bob_audio_and_events();
    held.media[0].direction = Direction::SendOnly;
    bob_side.offer(&held).unwrap();
    let session = bob_side.accept_answer(vector!("3.2-4-second-answer").as_bytes()).unwrap();
    assert_eq!(session.media[0].direction, Direction::SendOnly);
}

#[test]
fn an_answer_is_refused_where_nothing_was_offered() {
    let mut idle = Negotiator::new(Arc::new(Config::default()), 1, 1);
    assert_eq!(idle.accept_answer(vector!("2.1-2-answer").as_bytes()), Err(Error::NoOffer));
}
