//! Request methods (RFC 3261 §7.1 and its extensions). They are case-sensitive.

use crate::header::chars;
use std::fmt;

/// The text of an extension method.
pub type SmallStr = Box<str>;

macro_rules! methods {
    ($($variant:ident $text:literal $rfc:literal),* $(,)?) => {
        /// A request method. Methods are case-sensitive: `invite` is an unknown one.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Method {
            $(#[doc = concat!("`", $text, "` (", $rfc, ")")] $variant,)*
            /// Any other token.
            Other(SmallStr),
        }

        impl Method {
            /// The method as written on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }

            fn known(text: &[u8]) -> Option<Self> {
                $(if text == $text.as_bytes() { return Some(Self::$variant) })*
                None
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261 §13",
    Ack "ACK" "RFC 3261 §13",
    Bye "BYE" "RFC 3261 §15",
    Cancel "CANCEL" "RFC 3261 §9",
    Register "REGISTER" "RFC 3261 §10",
    Options "OPTIONS" "RFC 3261 §11",
    Message "MESSAGE" "RFC 3428",
    Info "INFO" "RFC 6086",
    Prack "PRACK" "RFC 3262",
    Update "UPDATE" "RFC 3311",
    Subscribe "SUBSCRIBE" "RFC 6665",
    Notify "NOTIFY" "RFC 6665",
    Publish "PUBLISH" "RFC 3903",
    Refer "REFER" "RFC 3515",
}

impl Method {
    /// Reads a method; `None` when the text is not a token.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    pub(crate) fn from_bytes(text: &[u8]) -> Option<Self> {
        if let Some(known) = Self::known(text) {
            return Some(known);
        }
        if text.is_empty() || !chars::all(text, chars::TOKEN) {
            return None;
        }
        std::str::from_utf8(text).ok().map(|text| Self::Other(text.into()))
    }

    /// Whether the method is one that this crate knows by name.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<str> for Method {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Method {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<Method> for str {
    fn eq(&self, other: &Method) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Method> for &str {
    fn eq(&self, other: &Method) -> bool {
        *self == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_tokens() {
        assert_eq!(Method::parse("INVITE"), Some(Method::Invite));
        assert_eq!(Method::parse("invite"), Some(Method::Other("invite".into())));
        assert_eq!(Method::parse("RE%47IST%45R"), Some(Method::Other("RE%47IST%45R".into())));
        assert_eq!(Method::parse("IN VITE"), None);
        assert_eq!(Method::parse(""), None);
    }
}
