//! `%xx` escapes of URIs (RFC 3261 §19.1.2).

use crate::header::chars;
use std::borrow::Cow;

/// Resolves `%xx` once. The result may be any bytes, zero included; a `%` that begins no escape
/// stays.
pub fn unescape(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' && chars::is_escape(bytes, i) {
            out.push(digit(bytes[i + 1]) << 4 | digit(bytes[i + 2]));
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    Cow::Owned(out)
}

/// Escapes what may not stand in a URI's user part as such: everything but unreserved characters
/// and `& = + $ , ; ? /` (RFC 3261 §25.1).
pub fn escape_user(text: &str) -> Cow<'_, str> {
    escape(text, |b| chars::is(b, chars::USER) && !matches!(b, b':' | b'#'))
}

/// Escapes what may not stand in the value of a URI's header part as such: everything but unreserved
/// characters and `[ ] / ? : + $` (RFC 3261 §25.1 `hvalue`). The brackets are escaped all the same:
/// some peers trip over them.
pub fn escape_header(text: &str) -> Cow<'_, str> {
    escape(text, |b| b.is_ascii_alphanumeric() || b"-_.!~*'()/?:+$".contains(&b))
}

/// Escapes what may not stand in the value of a URI parameter.
pub(crate) fn escape_param(text: &str) -> Cow<'_, str> {
    escape(text, |b| chars::is(b, chars::URI_PARAM) && !matches!(b, b';' | b'=' | b'%' | b'?'))
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if text.bytes().all(&plain) {
        return Cow::Borrowed(text);
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() + 8);
    for b in text.bytes() {
        if plain(b) {
            out.push(b as char);
        } else {
            out.push('%');
            out.push(HEX[usize::from(b >> 4)] as char);
            out.push(HEX[usize::from(b & 15)] as char);
        }
    }
    Cow::Owned(out)
}

pub(super) fn digit(b: u8) -> u8 {
    match b {
        b'0'..=b'9' => b - b'0',
        _ => (b | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}
