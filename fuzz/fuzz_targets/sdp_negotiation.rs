//! A hostile peer in a call: each piece of the input (split at NUL) is its next offer or answer, to
//! an agent with plain RTP or to one with ICE, DTLS, BUNDLE, data channels and transceivers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tiny_sdp::attribute::{Fingerprint, HashFunc};
use tiny_sdp::{
    BundlePolicy, Config, Description, Error, IceCredentials, Limits, LocalCodec, LocalData,
    LocalDtls, LocalExtension, LocalIce, LocalMedia, LocalRtp, LocalSession, MediaKind,
    NegotiatedSession, Negotiator, Protocol, Transceivers,
};

fn plain() -> LocalSession {
    let codecs = vec![LocalCodec::opus(), LocalCodec::pcmu(), LocalCodec::new("iLBC", 8000)];
    let audio = LocalMedia::audio(4000, codecs).with_telephone_events();
    let h264 = LocalCodec::new("H264", 90_000).fmtp("profile-level-id=42e01f;packetization-mode=1");
    let video = LocalMedia::new(MediaKind::Video, 4002, vec![h264.feedback("nack pli")]);
    LocalSession::new("192.0.2.1", vec![audio, video])
}

fn browser() -> LocalSession {
    let mut session = plain();
    for media in &mut session.media {
        media.protocol = Protocol::UdpTlsRtpSavpf;
        media.rtp = Some(Box::new(LocalRtp {
            extensions: vec![LocalExtension::new("urn:ietf:params:rtp-hdrext:ssrc-audio-level")],
            extmap_allow_mixed: true,
            rtcp_rsize: true,
            receive_encodings: 2,
            ..LocalRtp::default()
        }));
    }
    session.media.push(LocalMedia::data_channel(4004, LocalData::default()));
    for media in &mut session.media {
        let credentials = IceCredentials::new("ours", "0123456789012345678901");
        media.ice = Some(Box::new(LocalIce::new(credentials)));
        let print = Fingerprint::with_fingerprint(HashFunc::Sha256, [7; 32]);
        media.dtls = Some(Box::new(LocalDtls::new(vec![print]).tls_id("tinytinytinytinytiny")));
        media.rtcp_mux = true;
    }
    session.bundle = BundlePolicy::MaxBundle;
    session
}

/// What is agreed stands on a transport that is there, encrypted if that is our wish.
fn check(session: &NegotiatedSession, secure: bool) {
    for media in session.active() {
        let carrier = session.transport(media);
        assert!(!carrier.rejected && carrier.carrier == carrier.index);
        assert!(!secure || carrier.dtls.is_some());
    }
}

fn turn(call: &mut Negotiator, local: &LocalSession, offers: bool, sdp: &[u8]) -> Result<String, Error> {
    let secure = local.bundle != BundlePolicy::Off;
    if offers {
        let offer = call.offer(local);
        match call.accept_answer(sdp) {
            Ok(session) => check(&session, secure),
            Err(_) => call.rollback(),
        }
        offer
    } else {
        let answer = call.answer(sdp, local)?;
        check(&answer.session, secure);
        Ok(answer.sdp)
    }
}

fuzz_target!(|data: &[u8]| {
    let config = Arc::new(Config::default());
    let whole = data.first().is_some_and(|b| b & 2 != 0);
    let local = if whole { browser() } else { plain() };
    let mut call = Negotiator::new(config.clone(), 1, 1);
    let mut side = Transceivers::new(Negotiator::new(config, 2, 1), local.clone());
    local.media.iter().for_each(|m| side.receive(m.clone()));
    side.add_track(local.media[0].clone());
    let mut lines = 0;
    for piece in data.split(|b| *b == 0).take(16) {
        let Some((first, sdp)) = piece.split_first() else { continue };
        let offers = first & 1 != 0;
        if let Ok(said) = turn(&mut call, &local, offers, sdp) {
            let ours = Description::parse(said.as_bytes(), &Limits::default());
            assert!(ours.is_ok(), "{ours:?}\n{said}");
        }
        assert!(call.media_count() >= lines);
        lines = call.media_count();
        if !offers {
            let _ = side.answer(sdp);
        } else if side.offer().is_ok() && side.accept_answer(sdp).is_err() {
            side.rollback();
        }
        let _ = side.negotiation_needed();
    }
});
