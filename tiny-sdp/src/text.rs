//! Short shared text: encoding names and format parameters that are copied into every call.
//! A clone is a pointer copy or a reference count; it never copies the characters.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// An immutable string that is cheap to clone: either `'static` or shared.
///
/// ```
/// use tiny_sdp::Text;
/// let fixed = Text::from("opus");
/// let made = Text::from(format!("apt={}", 96));
/// assert_eq!(&*fixed, "opus");
/// assert_eq!(made.clone(), made);
/// ```
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Text {
    /// The empty text.
    pub const EMPTY: Self = Self(Repr::Static(""));

    /// Copies a borrowed string; a few that nearly every call carries are not copied at all.
    pub fn copy(s: &str) -> Self {
        const COMMON: [&str; 8] =
            ["", "0-15", "0-16", "0", "useinbandfec=1", "minptime=10;useinbandfec=1", "IP4", "IP6"];
        match COMMON.iter().find(|c| **c == s) {
            Some(c) => Self(Repr::Static(c)),
            None => Self(Repr::Shared(Arc::from(s))),
        }
    }

    /// A text known at compile time.
    pub const fn fixed(s: &'static str) -> Self {
        Self(Repr::Static(s))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(s) => s,
            Repr::Shared(s) => s,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<&'static str> for Text {
    fn from(s: &'static str) -> Self {
        Self::fixed(s)
    }
}

impl From<String> for Text {
    fn from(s: String) -> Self {
        if s.is_empty() { Self::EMPTY } else { Self(Repr::Shared(Arc::from(s))) }
    }
}

impl From<Arc<str>> for Text {
    fn from(s: Arc<str>) -> Self {
        Self(Repr::Shared(s))
    }
}
