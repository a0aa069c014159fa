//! Printing a parsed message anew, header line by header line.
#![allow(dead_code)]

use bytes::Bytes;
use tiny_sip::{HeaderName, Message, Writer};

/// The message through the printer, its Content-Length at the end.
pub(crate) fn reprint(message: &Message) -> Bytes {
    let mut writer = Writer::start_line_of(message);
    for (name, value) in message.all_headers() {
        writer = writer.header_named(name, value);
    }
    writer.body("", message.body_bytes()).finish().unwrap()
}

/// The same start line, header fields (Content-Length aside) and body.
pub(crate) fn assert_same(a: &Message, b: &Message, name: &str) {
    assert_eq!(a.method(), b.method(), "{name}");
    assert_eq!(a.request_uri(), b.request_uri(), "{name}");
    assert_eq!((a.status(), a.reason()), (b.status(), b.reason()), "{name}");
    let headers = |m: &Message| -> Vec<(String, String)> {
        m.all_headers()
            .filter(|(name, _)| HeaderName::parse(name) != HeaderName::ContentLength)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    assert_eq!(headers(a), headers(b), "{name}");
    assert_eq!(a.body(), b.body(), "{name}");
}
