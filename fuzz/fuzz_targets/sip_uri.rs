//! Two URIs, each in its line: read, compared both ways, escaped and unescaped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_sip::{Uri, escape_user, unescape};

fuzz_target!(|text: &str| {
    let data = text.split_once('\n').unwrap_or((text, text));
    let escaped = escape_user(data.0);
    assert_eq!(&*unescape(&escaped), data.0.as_bytes());
    let Ok(a) = Uri::parse(data.0) else { return };
    assert!(a.is_equivalent(&a));
    let _ = (a.user(), a.password(), a.host(), a.ip(), a.port(), a.params().iter().count());
    let _ = (a.headers().count(), a.without_headers(), a.transport());
    if let Ok(b) = Uri::parse(data.1) {
        assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a));
    }
});
