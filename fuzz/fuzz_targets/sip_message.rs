//! A datagram: parsed, every header field read, checked, and printed anew.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tiny_sip::{HeaderName, Limits, Message, ParseError, Writer};

fuzz_target!(|data: &[u8]| {
    let message = match Message::parse(Bytes::copy_from_slice(data), &Limits::default()) {
        Ok(message) => message,
        Err(ParseError::Request { partial: Some(message), .. }) => {
            let _ = message.validate();
            return;
        }
        Err(_) => return,
    };
    let _ = message.validate();
    let _ = (message.vias().count(), message.warnings().count(), message.accepts().count());
    let _ = (message.date(), message.retry_after(), message.timestamp(), message.max_forwards());
    for name in HeaderName::all() {
        let _ = message.addresses(name).count();
        let _ = message.items(name).count();
        let _ = message.info_uris(name).count();
        let _ = message.challenges(name).count();
    }
    let mut writer = Writer::start_line_of(&message);
    for (name, value) in message.all_headers() {
        writer = writer.header_named(name, value);
    }
    let Ok(printed) = writer.body("", message.body_bytes()).finish() else { return };
    let limits = Limits { max_message: 1 << 24, max_head: 1 << 24, ..Limits::default() };
    let again = Message::parse(printed, &limits).expect("what was printed parses");
    assert_eq!(message.request_uri(), again.request_uri());
    assert_eq!(message.body(), again.body());
    let values = |message: &Message| -> Vec<String> {
        message
            .all_headers()
            .filter(|(name, _)| HeaderName::parse(name) != HeaderName::ContentLength)
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    };
    assert_eq!(values(&message), values(&again));
});
