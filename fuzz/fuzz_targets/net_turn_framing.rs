//! A stream of a TURN server, cut anywhere: the same frames whole and in pieces, and none too long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_net::turn::{Framer, channel_data, split_channel_data};

fn frames(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<Vec<u8>>, bool) {
    let (mut framer, mut all) = (Framer::new(2048), Vec::new());
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= 2048);
                    if let Some((number, data)) = split_channel_data(&frame) {
                        assert_eq!(channel_data(number, &data, false), frame);
                    }
                    all.push(frame.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (all, true),
            }
        }
    }
    (all, false)
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, stream)) = data.split_first() else { return };
    let whole = frames(&mut std::iter::once(stream));
    assert_eq!(frames(&mut stream.chunks(usize::from(*piece).max(1))), whole);
});
