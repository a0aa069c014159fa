//! Whole exchanges between two agents, and what later offers must keep.

use super::*;
use crate::{
    Direction, Host, LocalAttribute, LocalMedia, MediaKind, ParseError, Protocol, Rejection,
};

fn negotiator(id: u64) -> Negotiator {
    Negotiator::new(Arc::new(Config::default()), id, 1)
}

fn alice_has() -> LocalSession {
    let codecs = vec![LocalCodec::opus(), LocalCodec::g722(), LocalCodec::pcmu()];
    let mut audio = LocalMedia::audio(4000, codecs).with_telephone_events();
    audio.ptime = Some(20);
    LocalSession::new("192.0.2.1", vec![audio])
}

fn bob_has() -> LocalSession {
    let codecs = vec![LocalCodec::pcma(), LocalCodec::opus().payload_type(120), LocalCodec::pcmu()];
    LocalSession::new("192.0.2.2", vec![LocalMedia::audio(6000, codecs).with_telephone_events()])
}

fn video(port: u16) -> LocalMedia {
    let h264 = LocalCodec::new("H264", 90_000)
        .payload_type(102)
        .fmtp("profile-level-id=42e01f;packetization-mode=1");
    LocalMedia::new(MediaKind::Video, port, vec![h264])
}

/// A peer's description with one audio stream.
fn offer(connection: &str, media: &str) -> String {
    format!("v=0\r\no=- 7 7 IN IP4 192.0.2.9\r\ns=-\r\nc=IN {connection}\r\nt=0 0\r\n{media}")
}

fn answer(media: &str) -> Result<Answer, Error> {
    negotiator(1).answer(offer("IP4 192.0.2.9", media).as_bytes(), &bob_has())
}

fn m_lines(sdp: &str) -> Vec<&str> {
    sdp.lines().filter(|l| l.starts_with("m=")).collect()
}

fn o_line(sdp: &str) -> &str {
    sdp.lines().find(|l| l.starts_with("o=")).unwrap()
}

/// Two agents in a call.
fn call() -> (Negotiator, Negotiator) {
    let (mut a, mut b) = (negotiator(1), negotiator(2));
    exchange(&mut a, &alice_has(), &mut b, &bob_has());
    (a, b)
}

fn exchange(
    from: &mut Negotiator,
    from_has: &LocalSession,
    to: &mut Negotiator,
    to_has: &LocalSession,
) -> (String, Answer, NegotiatedSession) {
    let offer = from.offer(from_has).unwrap();
    let answer = to.answer(offer.as_bytes(), to_has).unwrap();
    let session = from.accept_answer(answer.sdp.as_bytes()).unwrap();
    (offer, answer, session)
}

#[test]
fn an_offer_is_written_line_by_line_as_rfc8866_orders_them() {
    let mut has = alice_has();
    has.username = "alice".into();
    has.media[0].maxptime = Some(60);
    has.media[0].rtcp_port = Some(4005);
    has.media[0].rtcp_mux = true;
    has.media[0].bandwidth = Some(64);
    has.media[0].direction = Direction::RecvOnly;
    has.media[0].attributes = vec![LocalAttribute::new("x-mine", "1"), LocalAttribute::flag("y")];
    has.attributes = vec![LocalAttribute::flag("ice-lite")];
    assert_eq!(
        negotiator(77).offer(&has).unwrap(),
        "v=0\r\no=alice 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         a=ice-lite\r\nm=audio 4000 RTP/AVP 111 9 0 96 97\r\nb=AS:64\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=rtpmap:9 G722/8000\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:96 telephone-event/48000\r\na=fmtp:96 0-15\r\n\
         a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=ptime:20\r\na=maxptime:60\r\n\
         a=rtcp:4005\r\na=rtcp-mux\r\na=recvonly\r\na=x-mine:1\r\na=y\r\n"
    );
}

#[test]
fn an_answer_keeps_the_offers_order_and_numbers() {
    let (mut a, mut b) = (negotiator(1), negotiator(2));
    let (_, answer, session) = exchange(&mut a, &alice_has(), &mut b, &bob_has());
    assert_eq!(m_lines(&answer.sdp), ["m=audio 6000 RTP/AVP 111 0 96 97"]);
    let audio = session.audio().unwrap();
    let codecs: Vec<_> =
        audio.codecs.iter().map(|c| (c.name.as_str(), c.send_pt, c.recv_pt)).collect();
    assert_eq!(codecs, [("opus", 111, 111), ("PCMU", 0, 0)]);
    assert_eq!(audio.telephone_event(48_000).unwrap().send_pt, 96);
    assert_eq!(audio.telephone_event(8_000).unwrap().send_pt, 97);
    assert!(audio.telephone_event(8_000).unwrap().events().contains(11));
    assert_eq!(audio.codec_received(97).unwrap().clock_rate, 8_000);
    // Alice's ptime is for Bob, Bob said none.
    assert_eq!(audio.ptime, None);
    assert_eq!(answer.session.audio().unwrap().ptime, Some(20));
}

#[test]
fn our_own_order_may_win() {
    let config = Config { answer_order: crate::AnswerOrder::Local, ..Config::default() };
    let mut b = Negotiator::new(Arc::new(config), 2, 1);
    let offer = negotiator(1).offer(&alice_has()).unwrap();
    let mut has = bob_has();
    has.media[0].codecs.swap(1, 2);
    let answer = b.answer(offer.as_bytes(), &has).unwrap();
    assert_eq!(m_lines(&answer.sdp), ["m=audio 6000 RTP/AVP 0 111 97 96"]);
    assert_eq!(answer.session.audio().unwrap().codecs[0].name, "PCMU");
}

#[test]
fn a_peer_with_other_numbers_is_sent_its_own_and_sends_ours() {
    let config = Config { mirror_payload_types: false, ..Config::default() };
    let (mut a, mut b) = (negotiator(1), Negotiator::new(Arc::new(config), 2, 1));
    let (_, answer, session) = exchange(&mut a, &alice_has(), &mut b, &bob_has());
    assert!(answer.sdp.contains("a=rtpmap:120 opus/48000/2\r\n"));
    let at_alice = &session.audio().unwrap().codecs[0];
    assert_eq!((at_alice.send_pt, at_alice.recv_pt), (120, 111));
    let at_bob = &answer.session.audio().unwrap().codecs[0];
    assert_eq!((at_bob.send_pt, at_bob.recv_pt), (111, 120));
    // Later, when Bob offers, both keep what they have.
    let (_, _, session) = exchange(&mut b, &bob_has(), &mut a, &alice_has());
    let opus = session.audio().unwrap().codecs.iter().find(|c| c.name == "opus").unwrap();
    assert_eq!((opus.send_pt, opus.recv_pt), (111, 120));
}

#[test]
fn the_version_grows_only_when_something_changes() {
    let (mut a, mut b) = call();
    let (offer, answer, _) = exchange(&mut a, &alice_has(), &mut b, &bob_has());
    assert_eq!(o_line(&offer), "o=- 1 1 IN IP4 192.0.2.1");
    assert_eq!(o_line(&answer.sdp), "o=- 2 1 IN IP4 192.0.2.2");
    let mut held = alice_has();
    held.media[0].direction = Direction::SendOnly;
    let (offer, answer, _) = exchange(&mut a, &held, &mut b, &bob_has());
    assert_eq!(o_line(&offer), "o=- 1 2 IN IP4 192.0.2.1");
    assert_eq!(o_line(&answer.sdp), "o=- 2 2 IN IP4 192.0.2.2");
    // Moving to another network changes the c= line, never the o= line but for its version.
    held.address = Host::from("198.51.100.1");
    let offer = a.offer(&held).unwrap();
    assert_eq!(o_line(&offer), "o=- 1 3 IN IP4 192.0.2.1");
    assert!(offer.contains("c=IN IP4 198.51.100.1\r\n"));
}

#[test]
fn a_source_that_is_held_is_still_described() {
    let (mut a, mut b) = call();
    let (mut held, mut bob) = (alice_has(), bob_has());
    held.media[0].direction = Direction::SendOnly;
    let mut source = crate::attribute::Ssrc::new(77, crate::attribute::SsrcAttribute::Cname);
    source.value = Some("bob".into());
    bob.media[0].rtp = Some(Box::new(crate::LocalRtp {
        msids: vec![crate::attribute::Msid::new("stream", Some("audio"))],
        ssrcs: vec![source],
        ..crate::LocalRtp::default()
    }));
    // A browser that sees the source go and come back is deaf to it from then on.
    let (_, answer, _) = exchange(&mut a, &held, &mut b, &bob);
    assert!(answer.sdp.contains("a=recvonly\r\n"));
    assert!(answer.sdp.contains("a=ssrc:77 cname:bob\r\n"), "{}", answer.sdp);
    assert!(!answer.sdp.contains("a=msid:"), "{}", answer.sdp);
    let (_, answer, _) = exchange(&mut a, &alice_has(), &mut b, &bob);
    assert!(answer.sdp.contains("a=msid:stream audio\r\n"), "{}", answer.sdp);
}

#[test]
fn hold_and_resume_by_either_side() {
    let (mut a, mut b) = call();
    let mut held = alice_has();
    held.media[0].direction = held.media[0].direction.held();
    let (offer, answer, session) = exchange(&mut a, &held, &mut b, &bob_has());
    assert!(offer.contains("a=sendonly\r\n") && answer.sdp.contains("a=recvonly\r\n"));
    assert_eq!(session.audio().unwrap().direction, Direction::SendOnly);
    assert!(!session.audio().unwrap().on_hold_by_peer);
    let at_bob = answer.session.audio().unwrap();
    assert!(at_bob.on_hold_by_peer);
    assert_eq!(at_bob.direction, Direction::RecvOnly);
    // Bob holds too: nobody sends.
    let mut bob_holds = bob_has();
    bob_holds.media[0].direction = Direction::SendOnly;
    let (_, answer, session) = exchange(&mut b, &bob_holds, &mut a, &held);
    assert!(answer.sdp.contains("a=inactive\r\n"));
    assert_eq!(session.audio().unwrap().direction, Direction::Inactive);
    // Both resume.
    let (_, _, session) = exchange(&mut b, &bob_has(), &mut a, &alice_has());
    assert_eq!(session.audio().unwrap().direction, Direction::SendRecv);
    assert!(!session.audio().unwrap().on_hold_by_peer);
}

#[test]
fn hold_as_rfc2543_did_it_stops_our_sending() {
    for address in ["IP4 0.0.0.0", "IP4 hold.invalid"] {
        let text = offer(address, "m=audio 4000 RTP/AVP 0\r\n");
        let got = negotiator(1).answer(text.as_bytes(), &bob_has()).unwrap();
        let audio = got.session.audio().unwrap();
        assert!(audio.on_hold_by_peer, "{address}");
        assert_eq!(audio.direction, Direction::RecvOnly);
        assert_eq!((&audio.remote_rtp, &audio.remote_rtcp), (&None, &None));
    }
    // With ICE the address is only not known yet.
    let media = "m=audio 9 RTP/AVP 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
    let got = negotiator(1).answer(offer("IP4 0.0.0.0", media).as_bytes(), &bob_has()).unwrap();
    assert_eq!(got.session.audio().unwrap().direction, Direction::SendRecv);
}

/// Found by fuzzing: the end of the name was sought in the middle of a character.
#[test]
fn a_host_name_that_is_not_ascii_is_no_hold() {
    let text = offer("IP4 host.b\u{0493}xle.com", "m=audio 4000 RTP/AVP 0\r\n");
    let got = negotiator(1).answer(text.as_bytes(), &bob_has()).unwrap();
    assert!(!got.session.audio().unwrap().on_hold_by_peer);
}

#[test]
fn directions_of_the_session_hold_for_its_streams() {
    let text = offer("IP4 192.0.2.9", "a=sendonly\r\nm=audio 4000 RTP/AVP 0\r\n");
    let got = negotiator(1).answer(text.as_bytes(), &bob_has()).unwrap();
    assert!(got.sdp.contains("a=recvonly\r\n"));
}

#[test]
fn nothing_in_common_is_an_error_that_says_why() {
    let cases = [
        ("m=audio 4000 RTP/AVP 18\r\n", Rejection::NoCommonFormat),
        ("m=video 4000 RTP/AVP 31\r\n", Rejection::NoLocalMedia),
        ("m=audio 4000 RTP/SAVP 0\r\n", Rejection::Protocol),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n", Rejection::Protocol),
        ("m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::9\r\n", Rejection::AddressFamily),
        ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n", Rejection::Multicast),
        // Events alone are no conversation, when more was offered.
        (
            "m=audio 4000 RTP/AVP 18 101\r\na=rtpmap:101 telephone-event/8000\r\n",
            Rejection::NoCommonFormat,
        ),
    ];
    for (media, why) in cases {
        assert_eq!(answer(media), Err(Error::NothingInCommon(vec![why])), "{media}");
    }
}

#[test]
fn a_refused_offer_leaves_the_session_as_it_was() {
    let (_, mut b) = call();
    let before = format!("{b:?}");
    let bad = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVP 18\r\n");
    assert!(b.answer(bad.as_bytes(), &bob_has()).is_err());
    assert!(b.answer(b"v=0\r\nnonsense", &bob_has()).is_err());
    assert_eq!(format!("{b:?}"), before);
}

#[test]
fn offers_that_cross_are_refused_and_can_be_made_again() {
    let (mut a, mut b) = call();
    let mut held = alice_has();
    held.media[0].direction = Direction::SendOnly;
    let from_a = a.offer(&held).unwrap();
    let from_b = b.offer(&bob_has()).unwrap();
    // Both answer 491 (RFC 3261 §14.2), …
    assert_eq!(a.answer(from_b.as_bytes(), &alice_has()), Err(Error::OfferPending));
    assert_eq!(b.answer(from_a.as_bytes(), &bob_has()), Err(Error::OfferPending));
    assert_eq!(a.offer(&held), Err(Error::OfferPending));
    // … take their offers back, and one tries again.
    a.rollback();
    b.rollback();
    assert!(!a.is_offering());
    let (_, _, session) = exchange(&mut a, &held, &mut b, &bob_has());
    assert_eq!(session.audio().unwrap().direction, Direction::SendOnly);
}

#[test]
fn a_rolled_back_stream_leaves_no_line_behind() {
    let (mut a, mut b) = call();
    let mut with_video = alice_has();
    with_video.media.push(video(5000));
    let offer = a.offer(&with_video).unwrap();
    assert_eq!(m_lines(&offer).len(), 2);
    a.rollback();
    assert_eq!(a.media_count(), 1);
    let (offer, ..) = exchange(&mut a, &alice_has(), &mut b, &bob_has());
    assert_eq!(m_lines(&offer).len(), 1);
    // Its version was seen by the peer, so it is not used again for another text.
    assert_eq!(o_line(&offer), "o=- 1 3 IN IP4 192.0.2.1");
}

#[test]
fn a_rejected_line_stays_in_its_place_and_is_used_again() {
    let (mut a, mut b) = call();
    // Alice adds video, Bob rejects it.
    let mut with_video = alice_has();
    with_video.media.push(video(5000));
    let (_, answer, session) = exchange(&mut a, &with_video, &mut b, &bob_has());
    assert!(answer.sdp.contains("m=video 0 RTP/AVP 102\r\na=rtpmap:102 H264/90000\r\n"));
    assert_eq!(session.media[1].rejection, Some(Rejection::ByPeer));
    assert_eq!(answer.session.media[1].rejection, Some(Rejection::NoLocalMedia));
    // Bob offers hold: the line is there, with port 0.
    let mut held = bob_has();
    held.media[0].direction = Direction::SendOnly;
    let (offer, ..) = exchange(&mut b, &held, &mut a, &with_video);
    assert_eq!(m_lines(&offer)[1], "m=video 0 RTP/AVP 102");
    // Bob brings video now: it takes the same line.
    let mut bob_video = bob_has();
    bob_video.media.push(video(7000));
    let (offer, _, session) = exchange(&mut b, &bob_video, &mut a, &with_video);
    assert_eq!(m_lines(&offer)[1], "m=video 7000 RTP/AVP 102");
    assert_eq!(session.media.len(), 2);
    assert_eq!(session.local(1).unwrap().index, 1);
    assert!(!session.media[1].rejected);
    // Alice removes it, and the line stays.
    with_video.media[1].port = 0;
    let (offer, answer, _) = exchange(&mut a, &with_video, &mut b, &bob_video);
    assert_eq!(m_lines(&offer)[1], "m=video 0 RTP/AVP 102");
    assert_eq!(answer.session.media[1].rejection, Some(Rejection::NotOffered));
    // A stream of another kind may take it over (§8.1).
    let mut text = LocalMedia::new(
        MediaKind::Other("text".into()),
        8000,
        vec![LocalCodec::new("t140", 1000).payload_type(98)],
    );
    text.direction = Direction::SendRecv;
    let mut third = alice_has();
    third.media.push(video(0));
    third.media.push(text);
    let offer = a.offer(&third).unwrap();
    // Line 1 is still Alice's video, only off; so text comes below.
    assert_eq!(m_lines(&offer)[2], "m=text 8000 RTP/AVP 98");
}

#[test]
fn lines_of_the_peer_that_we_rejected_are_ours_to_use() {
    let mut b = negotiator(2);
    let first = offer("IP4 192.0.2.9", "m=image 4000 udptl t38\r\nm=audio 4002 RTP/AVP 0\r\n");
    let got = b.answer(first.as_bytes(), &bob_has()).unwrap();
    assert_eq!(m_lines(&got.sdp), ["m=image 0 udptl t38", "m=audio 6000 RTP/AVP 0"]);
    assert_eq!(got.session.local(0).unwrap().index, 1);
    // Unused, it is offered as it was …
    let offer = b.offer(&bob_has()).unwrap();
    assert_eq!(m_lines(&offer)[0], "m=image 0 udptl t38");
    b.rollback();
    // … and a new stream of ours takes it over.
    let mut with_video = bob_has();
    with_video.media.push(video(7000));
    let offer = b.offer(&with_video).unwrap();
    assert_eq!(m_lines(&offer)[0], "m=video 7000 RTP/AVP 102");
    assert!(m_lines(&offer)[1].starts_with("m=audio 6000 RTP/AVP"));
}

#[test]
fn a_stream_turns_from_voice_to_fax_in_its_line() {
    let (mut a, mut b) = call();
    let fax = |port| {
        let mut fax = LocalMedia::new(MediaKind::Other("image".into()), port, Vec::new());
        fax.protocol = Protocol::Other("udptl".into());
        fax.formats = vec!["t38".into()];
        fax
    };
    let (mut alice, mut bob) = (alice_has(), bob_has());
    alice.media[0] = fax(4000);
    bob.media[0] = fax(6000);
    let (offer, answer, session) = exchange(&mut a, &alice, &mut b, &bob);
    assert_eq!(m_lines(&offer), ["m=image 4000 udptl t38"]);
    assert_eq!(m_lines(&answer.sdp), ["m=image 6000 udptl t38"]);
    assert_eq!(session.media[0].formats, ["t38"]);
    // Back to voice, under the old numbers.
    let (offer, ..) = exchange(&mut b, &bob_has(), &mut a, &alice_has());
    assert_eq!(m_lines(&offer), ["m=audio 6000 RTP/AVP 8 111 0 97 96"]);
}

#[test]
fn session_id_and_version_stay_in_their_bounds() {
    let sdp = Negotiator::new(Arc::new(Config::default()), u64::MAX, u64::MAX)
        .offer(&alice_has())
        .unwrap();
    assert_eq!(o_line(&sdp), "o=- 9223372036854775807 4611686018427387903 IN IP4 192.0.2.1");
    let mut rng = tiny_sak::Rng::from_seed(1);
    let random = |rng: &mut _| {
        let sdp = Negotiator::random(Arc::default(), rng).offer(&alice_has()).unwrap();
        o_line(&sdp).to_owned()
    };
    assert_ne!(random(&mut rng), random(&mut rng));
}

#[test]
fn an_offer_with_lines_missing_is_refused() {
    let mut b = negotiator(2);
    let two = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n");
    b.answer(two.as_bytes(), &bob_has()).unwrap();
    let one = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVP 0\r\n");
    let refused = b.answer(one.as_bytes(), &bob_has());
    assert_eq!(refused, Err(Error::MediaCount { expected: 2, found: 1 }));
}

#[test]
fn an_answer_that_does_not_belong_to_the_offer_is_refused_and_the_offer_still_waits() {
    let mut a = negotiator(1);
    a.offer(&alice_has()).unwrap();
    let cases = [
        ("", Error::MediaCount { expected: 1, found: 0 }),
        (
            "m=video 4000 RTP/AVP 0\r\n",
            Error::AnswerMismatch { index: 0, what: "another kind of media" },
        ),
        (
            "m=audio 4000 RTP/SAVP 0\r\n",
            Error::AnswerMismatch { index: 0, what: "another transport protocol" },
        ),
        ("m=audio 4000 RTP/AVP 18\r\n", Error::AnswerFormats { index: 0 }),
    ];
    for (media, why) in cases {
        let text = offer("IP4 192.0.2.9", media);
        assert_eq!(a.accept_answer(text.as_bytes()), Err(why));
        assert!(a.is_offering());
    }
    let good = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVP 0\r\n");
    a.accept_answer(good.as_bytes()).unwrap();
    assert_eq!(a.accept_answer(good.as_bytes()), Err(Error::NoOffer));
}

#[test]
fn an_answer_that_rejects_everything_is_taken() {
    let mut a = negotiator(1);
    a.offer(&alice_has()).unwrap();
    let all_zero = offer("IP4 192.0.2.9", "m=audio 0 RTP/AVP 111\r\n");
    let session = a.accept_answer(all_zero.as_bytes()).unwrap();
    assert!(session.audio().is_none());
    assert_eq!(session.media[0].rejection, Some(Rejection::ByPeer));
    // The stream is offered again in the same line, unless it is switched off.
    assert_eq!(m_lines(&a.offer(&alice_has()).unwrap()).len(), 1);
}

#[test]
fn an_answer_with_bare_dynamic_numbers_is_understood_by_our_offer() {
    let mut a = negotiator(1);
    a.offer(&alice_has()).unwrap();
    let bare = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVP 111 97\r\n");
    let session = a.accept_answer(bare.as_bytes()).unwrap();
    let audio = session.audio().unwrap();
    assert_eq!(audio.codecs[0].name, "opus");
    assert_eq!(audio.telephone_events[0].send_pt, 97);
}

#[test]
fn an_invite_without_a_description_is_offered_to_in_the_response() {
    // The called side offers in its 200, the calling side answers in its ACK.
    let (mut caller, mut called) = (negotiator(1), negotiator(2));
    let (_, answer, session) = exchange(&mut called, &bob_has(), &mut caller, &alice_has());
    assert_eq!(m_lines(&answer.sdp), ["m=audio 4000 RTP/AVP 120 0 96 97"]);
    assert_eq!(session.audio().unwrap().codecs[0].name, "opus");
}

#[test]
fn each_fork_continues_with_its_own_clone() {
    let mut early = negotiator(1);
    let sdp = early.offer(&alice_has()).unwrap();
    let mut other = early.clone();
    for (fork, port) in [(&mut early, 6000), (&mut other, 6002)] {
        let mut has = bob_has();
        has.media[0].port = port;
        let answer = negotiator(2).answer(sdp.as_bytes(), &has).unwrap();
        let session = fork.accept_answer(answer.sdp.as_bytes()).unwrap();
        assert_eq!(session.audio().unwrap().remote_rtp.as_ref().unwrap().port, port);
    }
}

#[test]
fn a_payload_type_is_never_given_to_another_codec() {
    let (mut a, mut b) = call();
    // Opus goes, iLBC comes and would like its number: it gets another.
    let mut changed = alice_has();
    changed.media[0].codecs =
        vec![LocalCodec::new("iLBC", 8000).payload_type(111), LocalCodec::pcmu()];
    let (offer, ..) = exchange(&mut a, &changed, &mut b, &bob_has());
    assert!(!offer.contains("rtpmap:111") && offer.contains(" iLBC/8000"));
    // Opus returns under its old number, though it now prefers another.
    let mut back = alice_has();
    back.media[0].codecs[0].payload_type = Some(99);
    let (offer, ..) = exchange(&mut a, &back, &mut b, &bob_has());
    assert!(offer.contains("a=rtpmap:111 opus/48000/2"));
    // The peer would like to use it for something else; its packets may, ours do not.
    let rebinding = super::tests::offer(
        "IP4 192.0.2.9",
        "m=audio 4000 RTP/AVP 0 111\r\na=rtpmap:111 telephone-event/8000\r\n",
    );
    let got = a.answer(rebinding.as_bytes(), &back).unwrap();
    let event = &got.session.audio().unwrap().telephone_events[0];
    assert_eq!(event.send_pt, 111);
    assert_ne!(event.recv_pt, 111);
}

#[test]
fn static_payload_types_need_no_rtpmap() {
    let got = answer("m=audio 4000 RTP/AVP 18 8 0 97\r\n").unwrap();
    let codecs: Vec<_> =
        got.session.audio().unwrap().codecs.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(codecs, ["PCMA", "PCMU"]);
    assert!(got.sdp.contains("m=audio 6000 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\n"));
}

#[test]
fn encoding_names_have_no_case_and_one_channel_may_be_said() {
    let got = answer(
        "m=audio 4000 RTP/AVP 0 96 101\r\na=rtpmap:0 pcmu/8000/1\r\na=rtpmap:96 OPUS/48000\r\n\
         a=rtpmap:101 Telephone-Event/8000\r\na=fmtp:101 0-11\r\n",
    )
    .unwrap();
    let audio = got.session.audio().unwrap();
    assert_eq!(audio.codecs.len(), 2);
    assert!(got.sdp.contains("a=rtpmap:96 opus/48000/2\r\n"));
    assert!(got.sdp.contains("a=fmtp:101 0-11\r\n"));
    assert!(!audio.telephone_events[0].events().contains(12));
}

#[test]
fn rtcp_goes_where_the_peer_says() {
    let rtcp = |media: &str, mux: bool| {
        let mut has = bob_has();
        has.media[0].rtcp_mux = mux;
        let text = offer("IP4 192.0.2.9", media);
        let got = negotiator(1).answer(text.as_bytes(), &has).unwrap();
        let audio = got.session.audio().unwrap();
        (audio.remote_rtcp.as_ref().map(ToString::to_string), got.sdp.contains("a=rtcp-mux"))
    };
    let at = |s: &str| Some(s.to_owned());
    assert_eq!(rtcp("m=audio 4000 RTP/AVP 0\r\n", true), (at("192.0.2.9:4001"), false));
    let told = "m=audio 4000 RTP/AVP 0\r\na=rtcp:5005\r\n";
    assert_eq!(rtcp(told, false), (at("192.0.2.9:5005"), false));
    let elsewhere = "m=audio 4000 RTP/AVP 0\r\na=rtcp:5005 IN IP4 192.0.2.10\r\n";
    assert_eq!(rtcp(elsewhere, false), (at("192.0.2.10:5005"), false));
    let mux = "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\na=rtcp:4001\r\n";
    assert_eq!(rtcp(mux, true), (at("192.0.2.9:4000"), true));
    assert_eq!(rtcp(mux, false), (at("192.0.2.9:4001"), false));
    // There is no port after the last one.
    assert_eq!(rtcp("m=audio 65535 RTP/AVP 0\r\n", false).0, None);
}

#[test]
fn the_answers_address_is_of_the_offers_family() {
    let v6 = offer("IP6 2001:db8::9", "m=audio 4000 RTP/AVP 0\r\n");
    let mut has = bob_has();
    let refused = negotiator(1).answer(v6.as_bytes(), &has);
    assert_eq!(refused, Err(Error::NothingInCommon(vec![Rejection::AddressFamily])));
    has.other_address = Some("2001:db8::2".parse().unwrap());
    let got = negotiator(1).answer(v6.as_bytes(), &has).unwrap();
    assert!(got.sdp.contains("c=IN IP6 2001:db8::2\r\n"));
    let to = got.session.audio().unwrap().remote_rtp.as_ref().unwrap().to_string();
    assert_eq!(to, "[2001:db8::9]:4000");
    // A name has no family of its own: the line says the offer's.
    has.address = "host.example.com".into();
    let got = negotiator(1).answer(v6.as_bytes(), &has).unwrap();
    assert!(got.sdp.contains("c=IN IP6 host.example.com\r\n"));
}

#[test]
fn feedback_profiles_are_answered_in_kind_when_allowed() {
    let text = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVPF 0\r\n");
    let got = negotiator(1).answer(text.as_bytes(), &bob_has()).unwrap();
    assert_eq!(m_lines(&got.sdp), ["m=audio 6000 RTP/AVPF 0"]);
    let strict = Config { accept_feedback_profile: false, ..Config::default() };
    let refused = Negotiator::new(Arc::new(strict), 1, 1).answer(text.as_bytes(), &bob_has());
    assert_eq!(refused, Err(Error::NothingInCommon(vec![Rejection::Protocol])));
}

#[test]
fn h264_meets_only_its_own_configuration() {
    let media = "m=video 4000 RTP/AVP 96 97 98\r\na=rtpmap:96 H264/90000\r\n\
                 a=fmtp:96 profile-level-id=42e01f\r\na=rtpmap:97 H264/90000\r\n\
                 a=fmtp:97 packetization-mode=1;profile-level-id=42C00D\r\n\
                 a=rtpmap:98 H264/90000\r\na=fmtp:98 packetization-mode=1;profile-level-id=640029\r\n";
    let has = LocalSession::new("192.0.2.2", vec![video(7000)]);
    let text = offer("IP4 192.0.2.9", media);
    let got = negotiator(1).answer(text.as_bytes(), &has).unwrap();
    assert!(got.sdp.contains(
        "m=video 7000 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
         a=fmtp:97 profile-level-id=42c00d;packetization-mode=1\r\n"
    ));
    let h264 = &got.session.media[0].codecs[0];
    assert_eq!(h264.remote_fmtp, "packetization-mode=1;profile-level-id=42C00D");
}

#[test]
fn retransmission_goes_with_its_codec() {
    let media = "m=video 4000 RTP/AVP 102 103 104\r\na=rtpmap:102 H264/90000\r\n\
                 a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n\
                 a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n\
                 a=rtpmap:104 rtx/90000\r\na=fmtp:104 apt=100\r\n";
    let mut has = LocalSession::new("192.0.2.2", vec![video(7000)]);
    for apt in ["apt=102", "apt=100"] {
        has.media[0].codecs.push(LocalCodec::new("rtx", 90_000).fmtp(apt));
    }
    let text = offer("IP4 192.0.2.9", media);
    let got = negotiator(1).answer(text.as_bytes(), &has).unwrap();
    assert_eq!(m_lines(&got.sdp), ["m=video 7000 RTP/AVP 102 103"]);
}

#[test]
fn streams_that_are_not_rtp_agree_on_formats() {
    let mut data = LocalMedia::new(MediaKind::Application, 5000, Vec::new());
    data.protocol = Protocol::Other("UDP/DTLS/SCTP".into());
    data.formats = vec!["webrtc-datachannel".into()];
    data.attributes = vec![LocalAttribute::new("sctp-port", "5000")];
    let has = LocalSession::new("192.0.2.2", vec![data]);
    let (mut a, mut b) = (negotiator(1), negotiator(2));
    let (offer, answer, session) = exchange(&mut a, &has, &mut b, &has);
    let line = "m=application 5000 UDP/DTLS/SCTP webrtc-datachannel";
    assert_eq!((m_lines(&offer), m_lines(&answer.sdp)), (vec![line], vec![line]));
    assert_eq!(session.media[0].formats, ["webrtc-datachannel"]);
    assert!(answer.sdp.contains("a=sctp-port:5000\r\n"));
}

#[test]
fn the_answer_repeats_the_time_of_the_offer_and_the_name_of_the_stream() {
    let text = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVP 0\r\na=mid:sound\r\n")
        .replace("t=0 0", "t=2873397496 2873404696");
    let mut b = negotiator(1);
    let got = b.answer(text.as_bytes(), &bob_has()).unwrap();
    assert!(got.sdp.contains("t=2873397496 2873404696\r\n"));
    assert!(got.sdp.contains("a=mid:sound\r\n"));
    assert!(b.offer(&bob_has()).unwrap().contains("a=mid:sound\r\n"));
}

#[test]
fn bandwidth_of_the_peer_is_reported_in_bits() {
    let bits = |b: &str| {
        let text = format!("m=audio 4000 RTP/AVP 0\r\n{b}");
        answer(&text).unwrap().session.audio().unwrap().remote_bandwidth
    };
    assert_eq!(bits("b=AS:64\r\n"), Some(64_000));
    assert_eq!(bits("b=AS:64\r\nb=TIAS:50000\r\n"), Some(50_000));
    assert_eq!(bits(""), None);
}

#[test]
fn an_offer_without_streams_is_answered_without_streams() {
    let got = answer("").unwrap();
    assert!(got.session.media.is_empty());
    assert!(m_lines(&got.sdp).is_empty());
}

#[test]
fn text_of_the_application_cannot_start_a_line() {
    let refused = |edit: fn(&mut LocalSession)| {
        let mut has = alice_has();
        edit(&mut has);
        match negotiator(1).offer(&has) {
            Err(Error::Local { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|s| s.name = "x\r\na=evil".into()), "session name");
    assert_eq!(refused(|s| s.username = "two words".into()), "user name");
    assert_eq!(refused(|s| s.address = Host::Name("a b".into())), "address");
    assert_eq!(refused(|s| s.media[0].codecs[0].name = "a\nb".into()), "codec name");
    assert_eq!(refused(|s| s.media[0].codecs[0].fmtp = "a\nb".into()), "fmtp");
    assert_eq!(refused(|s| s.media[0].codecs.clear()), "codecs");
    let attribute = |s: &mut LocalSession| {
        s.media[0].attributes = vec![LocalAttribute::new("x", "1\r\nm=audio 1 RTP/AVP 0")];
    };
    assert_eq!(refused(attribute), "attribute value");
}

#[test]
fn a_description_over_the_limit_is_refused_by_name() {
    let config = Config {
        limits: crate::Limits { max_media: 1, ..crate::Limits::default() },
        ..Config::default()
    };
    let two = offer("IP4 192.0.2.9", "m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\n");
    let refused = Negotiator::new(Arc::new(config), 1, 1).answer(two.as_bytes(), &bob_has());
    let limit = ParseError::Limit { limit: "max_media", allowed: 1 };
    assert_eq!(refused, Err(Error::Parse(limit)));
}

#[test]
fn a_session_keeps_less_than_700_bytes() {
    let (mut a, _) = call();
    a.slots.shrink_to_fit();
    let slots = a.slots.capacity() * std::mem::size_of::<Slot>();
    let bound: usize = a.slots.iter().map(Slot::heap_bytes).sum();
    let total = std::mem::size_of::<Negotiator>() + slots + bound + a.origin.len() + 16;
    assert!(total < 700, "{total}");
}
