//! A multipart body, cut and put together again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tiny_sip::header::MediaType;
use tiny_sip::{Limits, multipart};

fuzz_target!(|input: (&str, &[u8])| {
    let body = Bytes::copy_from_slice(input.1);
    let limits = Limits::default();
    for kind in [input.0, "multipart/mixed;boundary=b"] {
        let Ok(kind) = MediaType::parse(kind) else { continue };
        let Ok(parts) = multipart::parse(&kind, &body, &limits) else { continue };
        assert!(parts.len() <= limits.max_parts);
        for part in &parts {
            let _ = (part.headers().count(), part.content_type());
        }
    }
    if input.1.windows(5).any(|w| w == b"--x7G") {
        return;
    }
    let (kind, whole) = multipart::Builder::new("mixed", "x7G").part("a/b", &[], input.1).finish();
    let parts = multipart::parse(&MediaType::parse(&kind).unwrap(), &whole, &limits).unwrap();
    assert_eq!((parts.len(), &parts[0].body[..]), (1, input.1));
});
