//! Character classes of RFC 3261 §25.1, one table look-up a byte.

/// `token`.
pub(crate) const TOKEN: u8 = 1;
/// The user part of a `sip:` URI with its password, `%` aside. `#` is let through: feature codes
/// such as `*21#` are sent unescaped by many telephones.
pub(crate) const USER: u8 = 2;
/// A host name or an IPv4 address; `_` occurs in private DNS names.
pub(crate) const HOST: u8 = 4;
/// `paramchar` and `=` and `;` of a `sip:` URI, `%` aside.
pub(crate) const URI_PARAM: u8 = 8;
/// An unquoted parameter value in a header field: wider than `gen-value`, for branches with `=` or
/// `@` and bare IPv6 addresses are seen in the wild.
pub(crate) const VALUE: u8 = 16;
/// `scheme`.
pub(crate) const SCHEME: u8 = 32;
/// An unquoted display name: tokens and blanks, and UTF-8, which is often sent unquoted.
pub(crate) const DISPLAY: u8 = 64;
/// Any URI character of RFC 3986, for schemes that stay opaque; also URI header fields.
pub(crate) const URI: u8 = 128;

static CLASS: [u8; 256] = build();

const fn build() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        let alnum = b.is_ascii_alphanumeric();
        if alnum || among(b, b"-.!%*_+`'~") {
            class |= TOKEN | DISPLAY;
        }
        if alnum || among(b, b"-_.!~*'()&=+$,;?/:#") {
            class |= USER;
        }
        if alnum || among(b, b"-._") {
            class |= HOST;
        }
        if alnum || among(b, b"-_.!~*'()[]/:&+$=;") {
            class |= URI_PARAM;
        }
        if (b > 0x20 && b < 0x7f && !among(b, b"\";,<>?\\")) || b >= 0x80 {
            class |= VALUE;
        }
        if alnum || among(b, b"+-.") {
            class |= SCHEME;
        }
        if b >= 0x80 || b == b' ' || b == b'\t' {
            class |= DISPLAY;
        }
        if alnum || among(b, b"-_.!~*'()[]/:&+$=;?@,#") {
            class |= URI;
        }
        table[i] = class;
        i += 1;
    }
    table
}

const fn among(b: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == b {
            return true;
        }
        i += 1;
    }
    false
}

#[inline]
pub(crate) fn is(b: u8, class: u8) -> bool {
    CLASS[b as usize] & class != 0
}

/// Whether all of `s` is of `class`. It does not stop at the first that is not: what is looked at
/// here nearly always is.
#[inline]
pub(crate) fn all(s: &[u8], class: u8) -> bool {
    let (chunks, rest) = s.as_chunks::<8>();
    let mut common = class;
    for chunk in chunks {
        common &= of_chunk(chunk);
    }
    for b in rest {
        common &= CLASS[*b as usize];
    }
    common == class
}

// The classes that all have in common.
#[inline]
fn of_chunk<const N: usize>(chunk: &[u8; N]) -> u8 {
    chunk.iter().fold(u8::MAX, |common, b| common & CLASS[*b as usize])
}

/// The length of the leading run of `class`.
#[inline]
pub(crate) fn span(s: &[u8], class: u8) -> usize {
    let mut rest = s;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>()
        && of_chunk(chunk) & class != 0
    {
        rest = after;
    }
    if let Some((chunk, after)) = rest.split_first_chunk::<4>()
        && of_chunk(chunk) & class != 0
    {
        rest = after;
    }
    while let [first, after @ ..] = rest
        && is(*first, class)
    {
        rest = after;
    }
    s.len() - rest.len()
}

/// [`span`] for runs of a few octets.
#[inline]
pub(crate) fn span_short(s: &[u8], class: u8) -> usize {
    let mut i = 0;
    while i < s.len() && is(s[i], class) {
        i += 1;
    }
    i
}

/// Like [`all`], where `%` must begin an escape of two hexadecimal digits.
#[inline]
pub(crate) fn all_escaped(s: &[u8], class: u8) -> bool {
    if all(s, class) {
        return true;
    }
    let mut i = 0;
    while i < s.len() {
        if is(s[i], class) {
            i += 1;
        } else if s[i] == b'%' && is_escape(s, i) {
            i += 3;
        } else {
            return false;
        }
    }
    true
}

/// Whether the `%` at `i` is followed by two hexadecimal digits.
#[inline]
pub(crate) fn is_escape(s: &[u8], i: usize) -> bool {
    matches!((s.get(i + 1), s.get(i + 2)), (Some(a), Some(b))
        if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

#[inline]
pub(crate) fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// Trims blanks from both ends.
#[inline]
pub(crate) fn trim(s: &str) -> &str {
    s.trim_matches([' ', '\t'])
}
