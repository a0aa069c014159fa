//! What can be wrong with a header field.

use super::HeaderName;

/// What a piece of text breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Nothing where something is required.
    #[error("it is empty")]
    Empty,
    /// A character that a token must not hold, or no token at all.
    #[error("a token was expected")]
    Token,
    /// Not a decimal number.
    #[error("a number was expected")]
    Number,
    /// A number larger than the field allows.
    #[error("a number is out of range")]
    Range,
    /// A quoted string that does not end.
    #[error("a quoted string is not closed")]
    Quote,
    /// `<` without `>`, or a URI that had to be in `<…>` (RFC 3261 §20.10).
    #[error("the URI is not well enclosed in < and >")]
    Brackets,
    /// A display name that had to be quoted.
    #[error("the display name must be quoted")]
    DisplayName,
    /// A parameter without a name, or with a bad value.
    #[error("a parameter is malformed")]
    Param,
    /// Something after the end of the value.
    #[error("there is text after the value")]
    Trailing,
    /// No URI scheme, or a malformed one.
    #[error("the URI has no valid scheme")]
    Scheme,
    /// The user part of a URI.
    #[error("the user part of the URI is malformed")]
    User,
    /// The host of a URI or a Via.
    #[error("the host is malformed")]
    Host,
    /// The port of a URI or a Via.
    #[error("the port is malformed")]
    Port,
    /// A telephone number of a `tel:` URI.
    #[error("the telephone number is malformed")]
    Telephone,
    /// A URI with header fields where none may be.
    #[error("the header part of the URI is malformed or not allowed here")]
    UriHeaders,
    /// Not `SIP/2.0`.
    #[error("the protocol version is not SIP/2.0")]
    Version,
    /// Not an RFC 1123 date in GMT (RFC 3261 §20.17).
    #[error("the date is malformed")]
    Date,
    /// More elements than the limits allow.
    #[error("there are too many elements")]
    TooMany,
}

/// A header field that is absent or malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// There is none.
    #[error("there is no {0} header field")]
    Missing(HeaderName),
    /// It breaks its grammar.
    #[error("bad {name} header field: {flaw}")]
    Malformed {
        /// Which.
        name: HeaderName,
        /// How.
        flaw: Flaw,
    },
}

impl HeaderError {
    /// The header field concerned.
    pub fn name(&self) -> HeaderName {
        match *self {
            Self::Missing(name) | Self::Malformed { name, .. } => name,
        }
    }
}
