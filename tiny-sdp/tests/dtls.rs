//! DTLS in whole exchanges (RFC 8842 §5): roles, fingerprints and names of associations as written
//! and as agreed, over later offers of either side.

use std::sync::Arc;
use tiny_sdp::attribute::{Fingerprint, HashFunc, Setup};
use tiny_sdp::{
    Answer, Config, DtlsRole, Error, LocalCodec, LocalDtls, LocalMedia, LocalSession,
    NegotiatedDtls, NegotiatedSession, Negotiator, Protocol, Rejection,
};

fn print(n: u8) -> Fingerprint {
    Fingerprint::with_fingerprint(HashFunc::Sha256, [n; 32])
}

fn side(address: &'static str, n: u8, tls_id: Option<&'static str>) -> LocalSession {
    let mut audio = LocalMedia::audio(4000, vec![LocalCodec::pcmu()]);
    audio.protocol = Protocol::UdpTlsRtpSavpf;
    let mut dtls = LocalDtls::new(vec![print(n)]);
    dtls.tls_id = tls_id.map(Into::into);
    audio.dtls = Some(Box::new(dtls));
    LocalSession::new(address, vec![audio])
}

fn alice() -> LocalSession {
    side("192.0.2.1", 0xa1, Some("alicealicealicealice"))
}

fn bob() -> LocalSession {
    side("192.0.2.2", 0xb0, Some("bobbobbobbobbobbobbob"))
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
    let answer = to.0.answer(offer.as_bytes(), to.1).unwrap();
    let session = from.0.accept_answer(answer.sdp.as_bytes()).unwrap();
    (offer, answer, session)
}

fn dtls(session: &NegotiatedSession) -> &NegotiatedDtls {
    session.audio().unwrap().dtls.as_deref().unwrap()
}

#[test]
fn offer_and_answer_carry_fingerprint_setup_and_tls_id() {
    let (mut a, mut b) = pair();
    let (offer, answer, session) = exchange((&mut a, &alice()), (&mut b, &bob()));
    let expected = format!(
        "a=fingerprint:{}\r\na=setup:actpass\r\na=tls-id:alicealicealicealice\r\n",
        print(0xa1)
    );
    assert!(offer.ends_with(&expected), "{offer}");
    assert!(answer.sdp.contains("a=setup:active\r\na=tls-id:bobbobbobbobbobbobbob\r\n"));
    let (ours, theirs) = (dtls(&session), dtls(&answer.session));
    assert_eq!((ours.role, theirs.role), (DtlsRole::Server, DtlsRole::Client));
    assert_eq!(ours.remote_fingerprints, [print(0xb0)]);
    assert_eq!(theirs.remote_fingerprints, [print(0xa1)]);
    assert_eq!(ours.remote_tls_id.as_deref(), Some("bobbobbobbobbobbobbob"));
    assert!(ours.new_association && theirs.new_association);
}

#[test]
fn the_association_is_kept_over_offers_of_either_side() {
    let (mut a, mut b) = pair();
    exchange((&mut a, &alice()), (&mut b, &bob()));
    // Hold by Alice, then an offer by Bob: Bob stays the client although both leave the choice.
    let mut held = alice();
    held.media[0].direction = held.media[0].direction.held();
    let (_, answer, session) = exchange((&mut a, &held), (&mut b, &bob()));
    assert!(answer.sdp.contains("a=setup:active\r\n"));
    assert!(!dtls(&session).new_association && !dtls(&answer.session).new_association);
    let (offer, answer, session) = exchange((&mut b, &bob()), (&mut a, &alice()));
    assert!(offer.contains("a=setup:actpass\r\n"));
    assert!(answer.sdp.contains("a=setup:passive\r\n"));
    assert_eq!(dtls(&session).role, DtlsRole::Client);
    assert!(!dtls(&session).new_association && !dtls(&answer.session).new_association);
}

#[test]
fn a_new_name_or_certificate_makes_a_new_association_on_both_sides() {
    let (mut a, mut b) = pair();
    exchange((&mut a, &alice()), (&mut b, &bob()));
    let renamed = side("192.0.2.1", 0xa1, Some("anotheranotheranother"));
    let (_, answer, session) = exchange((&mut a, &renamed), (&mut b, &bob()));
    assert!(dtls(&session).new_association && dtls(&answer.session).new_association);
    // RFC 8842 §5.3: the answer to it has a name that was not used before.
    assert!(answer.sdp.contains("a=tls-id:bobbobbobbobbobbobbob-1\r\n"), "{}", answer.sdp);
    // Bob's own offers go on with it.
    let (offer, answer, session) = exchange((&mut b, &bob()), (&mut a, &renamed));
    assert!(offer.contains("a=tls-id:bobbobbobbobbobbobbob-1\r\n"));
    assert!(!dtls(&session).new_association && !dtls(&answer.session).new_association);
    let recertified = side("192.0.2.1", 0xa2, Some("anotheranotheranother"));
    let (_, answer, session) = exchange((&mut a, &recertified), (&mut b, &bob()));
    assert!(dtls(&session).new_association && dtls(&answer.session).new_association);
}

#[test]
fn a_peer_without_tls_id_is_answered_without_one() {
    let (mut a, mut b) = pair();
    let plain = side("192.0.2.1", 0xa1, None);
    let (offer, answer, session) = exchange((&mut a, &plain), (&mut b, &bob()));
    assert!(!offer.contains("tls-id") && !answer.sdp.contains("tls-id"));
    assert!(dtls(&session).new_association);
    let (_, answer, session) = exchange((&mut a, &plain), (&mut b, &bob()));
    assert!(!dtls(&session).new_association && !dtls(&answer.session).new_association);
}

#[test]
fn an_offer_without_a_fingerprint_is_refused_by_name() {
    let (mut a, mut b) = pair();
    let offer = a.offer(&alice()).unwrap();
    let bare: String =
        offer.lines().filter(|l| !l.contains("fingerprint")).map(|l| format!("{l}\r\n")).collect();
    let dtls = Err(Error::NothingInCommon(vec![Rejection::Dtls]));
    assert_eq!(b.answer(bare.as_bytes(), &bob()), dtls);
    let held = offer.replace("setup:actpass", "setup:holdconn");
    assert_eq!(b.answer(held.as_bytes(), &bob()), dtls);
    // One at session level holds for the media.
    let moved = bare.replacen("t=0 0\r\n", &format!("t=0 0\r\na=fingerprint:{}\r\n", print(7)), 1);
    assert!(b.answer(moved.as_bytes(), &bob()).is_ok());
}

#[test]
fn an_answer_that_does_not_fit_leaves_the_offer_pending() {
    let (mut a, mut b) = pair();
    let offer = a.offer(&alice()).unwrap();
    let good = b.answer(offer.as_bytes(), &bob()).unwrap().sdp;
    for (from, to) in
        [("setup:active", "setup:actpass"), ("a=fingerprint", "a=x"), ("setup:active", "setup:?")]
    {
        let bad = good.replace(from, to);
        assert!(matches!(
            a.accept_answer(bad.as_bytes()),
            Err(Error::AnswerMismatch { index: 0, .. })
        ));
    }
    assert_eq!(dtls(&a.accept_answer(good.as_bytes()).unwrap()).role, DtlsRole::Server);
}

#[test]
fn a_fixed_role_is_offered_and_must_be_left_to_us() {
    let (mut a, mut b) = pair();
    let mut has = alice();
    has.media[0].dtls.as_mut().unwrap().setup = Setup::Active;
    let (_, answer, session) = exchange((&mut a, &has), (&mut b, &bob()));
    assert!(answer.sdp.contains("a=setup:passive\r\n"));
    assert_eq!(dtls(&session).role, DtlsRole::Client);
}

#[test]
fn what_cannot_be_written_is_named() {
    let (mut a, _) = pair();
    let mut has = alice();
    has.media[0].dtls.as_mut().unwrap().tls_id = Some("short".into());
    assert!(matches!(a.offer(&has), Err(Error::Local { field: "tls-id", .. })));
    has.media[0].dtls.as_mut().unwrap().fingerprints.clear();
    assert!(matches!(a.offer(&has), Err(Error::Local { field: "dtls", .. })));
}
