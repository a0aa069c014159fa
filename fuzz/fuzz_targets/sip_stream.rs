//! A stream, cut alike whether it arrives whole or in pieces; what is cut out parses or is refused.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tiny_sip::{Framed, Limits, Message, StreamFramer};

fuzz_target!(|input: (u8, &[u8])| {
    let (step, data) = (usize::from(input.0) + 1, input.1);
    let limits = Limits::default();
    let mut whole = StreamFramer::new(&limits);
    whole.push(Bytes::copy_from_slice(data));
    let mut pieces = StreamFramer::new(&limits);
    let mut arriving = data.chunks(step);
    loop {
        let expected = whole.next();
        let found = loop {
            match pieces.next() {
                Ok(None) => match arriving.next() {
                    Some(piece) => pieces.push(Bytes::copy_from_slice(piece)),
                    None => break Ok(None),
                },
                other => break other,
            }
        };
        assert_eq!(expected, found);
        match expected {
            Ok(Some(Framed::Message(message))) => {
                let _ = Message::parse(message, &limits);
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
});
