//! A hostile peer in a call: each piece of the input (split at NUL) is its next offer or answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tiny_sdp::{
    Config, Description, Limits, LocalCodec, LocalMedia, LocalSession, MediaKind, Negotiator,
};

fuzz_target!(|data: &[u8]| {
    let codecs = vec![LocalCodec::opus(), LocalCodec::pcmu(), LocalCodec::new("iLBC", 8000)];
    let audio = LocalMedia::audio(4000, codecs).with_telephone_events();
    let h264 = LocalCodec::new("H264", 90_000).fmtp("profile-level-id=42e01f;packetization-mode=1");
    let video = LocalMedia::new(MediaKind::Video, 4002, vec![h264]);
    let local = LocalSession::new("192.0.2.1", vec![audio, video]);
    let mut call = Negotiator::new(Arc::new(Config::default()), 1, 1);
    let mut lines = 0;
    for piece in data.split(|b| *b == 0).take(16) {
        let Some((turn, sdp)) = piece.split_first() else { continue };
        let said = if turn & 1 == 0 {
            call.answer(sdp, &local).map(|answer| answer.sdp)
        } else {
            let offer = call.offer(&local);
            if call.accept_answer(sdp).is_err() {
                call.rollback();
            }
            offer
        };
        if let Ok(said) = said {
            let ours = Description::parse(said.as_bytes(), &Limits::default());
            assert!(ours.is_ok(), "{ours:?}\n{said}");
        }
        assert!(call.media_count() >= lines);
        lines = call.media_count();
    }
});
