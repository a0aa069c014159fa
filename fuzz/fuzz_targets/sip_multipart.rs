//! A Content-Type in the first line and a multipart body after it, cut and put together again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tiny_sip::header::MediaType;
use tiny_sip::{Limits, multipart};

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (kind, content) = data.split_at(end);
    let body = Bytes::copy_from_slice(content);
    let limits = Limits::default();
    for kind in [std::str::from_utf8(kind).unwrap_or_default(), "multipart/mixed;boundary=b"] {
        let Ok(kind) = MediaType::parse(kind) else { continue };
        let Ok(parts) = multipart::parse(&kind, &body, &limits) else { continue };
        assert!(parts.len() <= limits.max_parts);
        for part in &parts {
            let _ = (part.headers().count(), part.content_type());
        }
    }
    if content.windows(5).any(|w| w == b"--x7G") {
        return;
    }
    let (kind, whole) = multipart::Builder::new("mixed", "x7G").part("a/b", &[], content).finish();
    let parts = multipart::parse(&MediaType::parse(&kind).unwrap(), &whole, &limits).unwrap();
    assert_eq!((parts.len(), &parts[0].body[..]), (1, content));
});
