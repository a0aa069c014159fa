//! Who is calling and what may be told of it: Privacy (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044
//! §10.1), Session-ID (RFC 7989 §5) and User-to-User (RFC 7433 §4.1). Nothing is hidden here:
//! obeying a Privacy header field is the sender's and the privacy service's part.

use super::{Cursor, Flaw, Params, chars};
use crate::writer::{Value, text};
use std::fmt;

/// What a caller asks to be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Privacy {
    /// Nothing: the user wants no service to interfere.
    pub none: bool,
    /// What the user agent itself should have hidden: From, Contact, Call-ID (§4.1).
    pub user: bool,
    /// Header fields that a user agent cannot hide: Via, Contact (§5.1).
    pub header: bool,
    /// The addresses of the media (§5.2).
    pub session: bool,
    /// The identity that the network asserts (RFC 3325).
    pub id: bool,
    /// The history of the request (RFC 7044).
    pub history: bool,
    /// Refuse the request rather than do without the privacy asked for.
    pub critical: bool,
}

impl Privacy {
    /// Anonymous for the callee and for the network beyond our own: `user;id`. What telephones do
    /// that "withhold the number".
    pub const ANONYMOUS: Self = Self {
        none: false,
        user: true,
        header: false,
        session: false,
        id: true,
        history: false,
        critical: false,
    };
    /// No service shall interfere.
    pub const NONE: Self = Self { none: true, user: false, id: false, ..Self::ANONYMOUS };

    /// Reads `id;critical`. Words that are not known are skipped: their meaning is the network's.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let mut privacy = Self::default();
        // Commas are forbidden and sent all the same.
        for word in text.split([';', ',']).map(chars::trim) {
            if word.is_empty() || !chars::all(word.as_bytes(), chars::TOKEN) {
                return Err(Flaw::Token);
            }
            for (name, flag) in privacy.flags() {
                if word.eq_ignore_ascii_case(name) {
                    *flag = true;
                }
            }
        }
        Ok(privacy)
    }

    /// Whether it asks for nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the caller's name and address must not be shown to the callee.
    pub fn hides_caller(&self) -> bool {
        !self.none && (self.user || self.id)
    }

    fn flags(&mut self) -> [(&'static str, &mut bool); 7] {
        [
            ("none", &mut self.none),
            ("user", &mut self.user),
            ("header", &mut self.header),
            ("session", &mut self.session),
            ("id", &mut self.id),
            ("history", &mut self.history),
            ("critical", &mut self.critical),
        ]
    }
}

/// `none` goes alone; `critical` only with something to be critical about (§4.2).
impl fmt::Display for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.none {
            return f.write_str("none");
        }
        let mut copy = *self;
        let mut separator = "";
        for (name, flag) in copy.flags() {
            if *flag && (name != "critical" || !separator.is_empty()) {
                write!(f, "{separator}{name}")?;
                separator = ";";
            }
        }
        Ok(())
    }
}

/// The name of a session that survives back-to-back user agents: both ends' halves, as numbers of
/// 128 bits. Zero is the nil UUID: the half is not known yet (RFC 7989 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SessionId {
    /// Of the sender of the message.
    pub local: u128,
    /// Of its receiver.
    pub remote: u128,
}

impl SessionId {
    /// Reads `ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2`. Without
    /// `remote` it is of the earlier kind (RFC 7329) and the other half counts as nil (§11).
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        // As nearly everybody writes it.
        if let Some((local, rest)) = text.split_at_checked(32)
            && let Some(remote) = rest.strip_prefix(";remote=")
            && let (Ok(local), Ok(remote)) = (half(local), half(remote))
        {
            return Ok(Self { local, remote });
        }
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let local = half(cursor.run(chars::TOKEN))?;
        let (params, remote) = cursor.params("remote")?;
        cursor.end()?;
        let remote = remote.or_else(|| params.get("remote")).map_or(Ok(0), half)?;
        Ok(Self { local, remote })
    }

    /// The same session seen from the other end.
    pub fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }
}

/// "32 lowercase hexadecimal digits" (§5); upper case is read.
fn half(text: &str) -> Result<u128, Flaw> {
    let (words, rest) = text.as_bytes().as_chunks::<16>();
    let ([high, low], []) = (words, rest) else { return Err(Flaw::Number) };
    // In words of the machine: each message has four of them to read or to write.
    let word = |digits: &[u8; 16]| {
        let (word, seen) = digits.iter().fold((0, 0), |(word, seen), digit| {
            let value = HEX[usize::from(*digit)];
            (word << 4 | u64::from(value & 15), seen | value)
        });
        if seen > 15 { Err(Flaw::Number) } else { Ok(word) }
    };
    Ok(u128::from(word(high)?) << 64 | u128::from(word(low)?))
}

/// The value of each hexadecimal digit; 255 for what is none.
const HEX: [u8; 256] = {
    let mut all = [255; 256];
    let mut n = 0;
    while n < 16 {
        let digit = b"0123456789abcdef"[n];
        all[digit as usize] = n as u8;
        all[digit.to_ascii_uppercase() as usize] = n as u8;
        n += 1;
    }
    all
};

impl Value for SessionId {
    fn write(&self, out: &mut String) {
        let half = |half: u128| {
            let mut digits = [0; 32];
            for (pair, octet) in digits.chunks_exact_mut(2).zip(half.to_be_bytes()) {
                let digit = |n: u8| b"0123456789abcdef"[usize::from(n & 15)];
                pair.copy_from_slice(&[digit(octet >> 4), digit(octet)]);
            }
            digits
        };
        out.push_str(str::from_utf8(&half(self.local)).unwrap_or_default());
        out.push_str(";remote=");
        out.push_str(str::from_utf8(&half(self.remote)).unwrap_or_default());
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self))
    }
}

/// Information of one application for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserToUser<'a> {
    /// As written, without quotes.
    pub content: &'a str,
    /// `purpose`, `content`, `encoding`.
    pub params: Params<'a>,
    quoted: bool,
}

impl<'a> UserToUser<'a> {
    /// Reads `56a390f3d2b7310023a2;encoding=hex;purpose=isdn-uui`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let quoted = cursor.peek() == Some(b'"');
        let content = if quoted { cursor.quoted()? } else { cursor.token()? };
        let (params, _) = cursor.params("")?;
        cursor.end()?;
        Ok(Self { content, params, quoted })
    }

    /// What the information is for.
    pub fn purpose(&self) -> Option<&'a str> {
        self.params.get("purpose")
    }

    /// The octets: decoded when the encoding is `hex`, which an absent one is too for ISDN
    /// (RFC 7434 §5); the text's own otherwise. `None` for hexadecimal digits that are none.
    pub fn octets(&self) -> Option<Vec<u8>> {
        let isdn = self.purpose().is_none_or(|purpose| purpose.eq_ignore_ascii_case("isdn-uui"));
        match self.params.get("encoding") {
            Some(encoding) if encoding.eq_ignore_ascii_case("hex") => hex(self.content),
            None if isdn && !self.quoted => hex(self.content),
            _ => Some(super::unquote(self.content).into_owned().into_bytes()),
        }
    }

    /// The value that carries octets: hexadecimal, with a purpose unless it is empty.
    pub fn of_octets(octets: &[u8], purpose: &str) -> String {
        let mut value: String = octets.iter().map(|b| format!("{b:02x}")).collect();
        value.push_str(";encoding=hex");
        if !purpose.is_empty() && chars::all(purpose.as_bytes(), chars::TOKEN) {
            value.push_str(";purpose=");
            value.push_str(purpose);
        }
        value
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |b: u8| char::from(b).to_digit(16);
    let octet = |[a, b]: &[u8; 2]| Some((digit(*a)? * 16 + digit(*b)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(octet).collect())?
}

impl fmt::Display for UserToUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.quoted { "\"" } else { "" };
        write!(f, "{quote}{}{quote}{}", self.content, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privacy_values_of_rfc_3323_and_3325() {
        let privacy = Privacy::parse("header; user; critical").unwrap();
        assert!(privacy.header && privacy.user && privacy.critical && privacy.hides_caller());
        assert_eq!(privacy.to_string(), "user;header;critical");
        assert_eq!(Privacy::parse("id").unwrap(), Privacy { id: true, ..Privacy::default() });
        assert_eq!(Privacy::ANONYMOUS.to_string(), "user;id");
        assert_eq!(Privacy::NONE.to_string(), "none");
        assert!(!Privacy::parse("none").unwrap().hides_caller());
        assert!(!Privacy::parse("token-of-later").unwrap().hides_caller());
        assert!(Privacy::parse("").is_err() && Privacy::parse("id;;user").is_err());
        let alone = Privacy { critical: true, ..Privacy::default() };
        assert_eq!(alone.to_string(), "");
    }

    // RFC 7989 §5 and §11.
    #[test]
    fn session_identifiers_have_two_halves() {
        let text = "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2";
        let id = SessionId::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.reversed().remote, 0xab30317f1a784dc48ff824d0d3715d86);
        let old = SessionId::parse("F81D4FAE7DEC11D0A76500A0C91E6BF6").unwrap();
        assert_eq!((old.local, old.remote), (0xf81d4fae7dec11d0a76500a0c91e6bf6, 0));
        for bad in
            ["", "ab", "zb30317f1a784dc48ff824d0d3715d86", "+b30317f1a784dc48ff824d0d3715d86"]
        {
            assert!(SessionId::parse(bad).is_err(), "{bad}");
        }
        assert!(SessionId::parse(&format!("{};remote=1", &text[..32])).is_err());
    }

    // RFC 7433 §4.1, §4.2.
    #[test]
    fn user_to_user_information_in_hexadecimal_and_text() {
        let text = "56a390f3d2b7310023a2;encoding=hex;purpose=foo;content=bar";
        let uui = UserToUser::parse(text).unwrap();
        assert_eq!(uui.purpose(), Some("foo"));
        assert_eq!(uui.octets().unwrap()[..3], [0x56, 0xa3, 0x90]);
        assert_eq!(uui.to_string(), text);
        let plain = UserToUser::parse("\"order 7\";purpose=shop;encoding=text").unwrap();
        assert_eq!(plain.octets().unwrap(), b"order 7");
        assert_eq!(plain.to_string(), "\"order 7\";purpose=shop;encoding=text");
        assert_eq!(UserToUser::parse("5;encoding=hex").unwrap().octets(), None);
        assert_eq!(
            UserToUser::of_octets(&[4, 0xff], "isdn-uui"),
            "04ff;encoding=hex;purpose=isdn-uui"
        );
        assert!(UserToUser::parse("").is_err() && UserToUser::parse("\"a").is_err());
    }
}
