//! Header field names: RFC 3261 §20 and the extensions in use, with their compact forms.
//! Names are case-insensitive (§7.3.1); a name not in the list is [`HeaderName::Other`].

use std::fmt;

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?),* $(,)?) => {
        /// The name of a header field.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any name not listed here; its text is kept in the message.
            Other,
        }

        const ALL: &[(HeaderName, &str)] = &[$((HeaderName::$variant, $text)),*];
        const COMPACT: &[(u8, HeaderName)] = &[$($(($compact, HeaderName::$variant),)?)*];
    };
}

names! {
    Accept "Accept",
    AcceptContact "Accept-Contact" b'a',
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" b'u',
    AnswerMode "Answer-Mode",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" b'i',
    CallInfo "Call-Info",
    Contact "Contact" b'm',
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" b'e',
    ContentId "Content-ID",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" b'l',
    ContentTransferEncoding "Content-Transfer-Encoding",
    ContentType "Content-Type" b'c',
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" b'o',
    Expires "Expires",
    FeatureCaps "Feature-Caps",
    FlowTimer "Flow-Timer",
    From "From" b'f',
    Geolocation "Geolocation",
    HistoryInfo "History-Info",
    Identity "Identity" b'y',
    IdentityInfo "Identity-Info" b'n',
    InfoPackage "Info-Package",
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxBreadth "Max-Breadth",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAssertedIdentity "P-Asserted-Identity",
    PAssociatedUri "P-Associated-URI",
    PCalledPartyId "P-Called-Party-ID",
    PEarlyMedia "P-Early-Media",
    PPreferredIdentity "P-Preferred-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    RecordRoute "Record-Route",
    RecvInfo "Recv-Info",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    RejectContact "Reject-Contact" b'j',
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" b'd',
    Require "Require",
    ResourcePriority "Resource-Priority",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    SecurityClient "Security-Client",
    SecurityServer "Security-Server",
    SecurityVerify "Security-Verify",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" b'x',
    SessionId "Session-ID",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" b's',
    SubscriptionState "Subscription-State",
    Supported "Supported" b'k',
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To" b't',
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    UserToUser "User-to-User",
    Via "Via" b'v',
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

impl HeaderName {
    /// Every listed name.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(name, _)| *name)
    }

    /// Finds a name, whatever its case, in its full or compact form; [`HeaderName::Other`] when it
    /// is not in the list.
    pub fn parse(text: &str) -> Self {
        if !super::chars::all(text.as_bytes(), super::chars::TOKEN) {
            return Self::Other;
        }
        Self::from_token(text.as_bytes())
    }

    /// The canonical spelling; `""` for [`HeaderName::Other`].
    pub fn as_str(self) -> &'static str {
        ALL.get(self as usize).map_or("", |(_, text)| text)
    }

    /// The compact form, if one is registered.
    pub fn compact(self) -> Option<char> {
        COMPACT.iter().find(|(_, name)| *name == self).map(|(c, _)| *c as char)
    }

    /// Whether several lines of this name, or commas within one, make a list (RFC 3261 §7.3.1).
    /// The four digest header fields are not: they hold commas of their own and stay line by line.
    pub fn is_comma_list(self) -> bool {
        use HeaderName as H;
        matches!(
            self,
            H::Accept
                | H::AcceptContact
                | H::AcceptEncoding
                | H::AcceptLanguage
                | H::AlertInfo
                | H::Allow
                | H::AllowEvents
                | H::CallInfo
                | H::Contact
                | H::ContentEncoding
                | H::ContentLanguage
                | H::Diversion
                | H::ErrorInfo
                | H::FeatureCaps
                | H::Geolocation
                | H::HistoryInfo
                | H::InReplyTo
                | H::PAssertedIdentity
                | H::PAssociatedUri
                | H::PEarlyMedia
                | H::PPreferredIdentity
                | H::Path
                | H::ProxyRequire
                | H::Reason
                | H::RecordRoute
                | H::RecvInfo
                | H::RejectContact
                | H::RequestDisposition
                | H::Require
                | H::ResourcePriority
                | H::Route
                | H::SecurityClient
                | H::SecurityServer
                | H::SecurityVerify
                | H::ServiceRoute
                | H::Supported
                | H::Unsupported
                | H::UserToUser
                | H::Via
                | H::Warning
        )
    }

    /// Classifies a name whose bytes are all token characters.
    pub(crate) fn from_token(name: &[u8]) -> Self {
        let mut words = [0u8; 16];
        match words.get_mut(..name.len()) {
            Some(part) => {
                part.copy_from_slice(name);
                let (halves, _) = words.as_chunks::<8>();
                let (low, high) = (u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1]));
                Self::from_words(low, high, name.len())
            }
            None => LONG
                .iter()
                .copied()
                .find(|long| long.as_str().as_bytes().eq_ignore_ascii_case(name))
                .unwrap_or(Self::Other),
        }
    }

    /// Reads a known name that ends at a colon within the first 16 octets, without looking at them
    /// one by one. `None` tells nothing; the length is that of the name. A CR in the place of a
    /// hyphen goes unnoticed: the caller sees to it that there is none.
    /// (Twice: the caller wants the distance of the colon too.)
    #[inline]
    pub(crate) fn before_colon(text: &[u8]) -> Option<(Self, usize, usize)> {
        let (words, _) = text.first_chunk::<16>()?.as_chunks::<8>();
        let (low, mut high) = (u64::from_le_bytes(words[0]), 0);
        let mut colon = first_colon(low);
        let low = if colon < 8 {
            low & !(u64::MAX << (8 * colon))
        } else {
            high = u64::from_le_bytes(words[1]);
            let rest = first_colon(high);
            if rest == 8 {
                return None;
            }
            high &= !(u64::MAX << (8 * rest));
            colon += rest;
            low
        };
        let name = Self::from_words(low, high, colon);
        (name != Self::Other).then_some((name, colon, colon))
    }

    /// The name whose octets are in two words from the lowest on, with zeros behind.
    #[inline]
    fn from_words(low: u64, high: u64, len: usize) -> Self {
        if len == 1 {
            return SHORT[(low as u8 | 0x20) as usize];
        }
        let mut at = hash(low, high);
        loop {
            let Some(known) = WORDS.get(usize::from(SLOTS[at])) else { return Self::Other };
            // Bit 5 folds letters; among token characters it maps nothing else onto a letter or a
            // hyphen.
            if ((low ^ known.low) | (high ^ known.high)) & !FOLD == 0 && len == known.len {
                return known.name;
            }
            at = (at + 1) & (SLOTS.len() - 1);
        }
    }
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const FOLD: u64 = ONES << 5;

/// Which octet, from the lowest on, is the first colon; 8 when none is. (The lowest octet that is
/// zero after XOR with colons; exact for the lowest one.)
#[inline]
fn first_colon(word: u64) -> usize {
    let zero = word ^ u64::from_ne_bytes([b':'; 8]);
    ((zero.wrapping_sub(ONES) & !zero & (ONES << 7)).trailing_zeros() / 8) as usize
}

const fn hash(low: u64, high: u64) -> usize {
    let mixed = (low | FOLD) ^ (high | FOLD).rotate_left(23);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize
}

// A name of up to 16 octets.
#[derive(Clone, Copy)]
struct Words {
    low: u64,
    high: u64,
    len: usize,
    name: HeaderName,
}

// In the order of ALL; those of more than 16 octets are left out.
static WORDS: [Words; ALL.len()] = {
    let mut words = [Words { low: 0, high: 0, len: 0, name: HeaderName::Other }; ALL.len()];
    let mut i = 0;
    while i < ALL.len() {
        let text = ALL[i].1.as_bytes();
        words[i].name = ALL[i].0;
        words[i].len = text.len();
        let mut n = 0;
        while text.len() <= 16 && n < text.len() {
            if n < 8 {
                words[i].low |= (text[n] as u64) << (8 * n);
            } else {
                words[i].high |= (text[n] as u64) << (8 * (n - 8));
            }
            n += 1;
        }
        i += 1;
    }
    words
};

// Indices into WORDS by hash, with linear probing; 255 ends a search.
static SLOTS: [u8; 512] = {
    let mut slots = [u8::MAX; 512];
    let mut i = 0;
    while i < WORDS.len() {
        if WORDS[i].low != 0 {
            let mut at = hash(WORDS[i].low, WORDS[i].high);
            while slots[at] != u8::MAX {
                at = (at + 1) & 511;
            }
            slots[at] = i as u8;
        }
        i += 1;
    }
    slots
};

// The names that do not fit into two words.
const LONG: &[HeaderName] = &[
    HeaderName::AuthenticationInfo,
    HeaderName::ContentDisposition,
    HeaderName::ContentTransferEncoding,
    HeaderName::PAccessNetworkInfo,
    HeaderName::PAssertedIdentity,
    HeaderName::PCalledPartyId,
    HeaderName::PPreferredIdentity,
    HeaderName::ProxyAuthenticate,
    HeaderName::ProxyAuthorization,
    HeaderName::RequestDisposition,
    HeaderName::ResourcePriority,
    HeaderName::SubscriptionState,
];

static SHORT: [HeaderName; 256] = {
    let mut short = [HeaderName::Other; 256];
    let mut i = 0;
    while i < COMPACT.len() {
        short[COMPACT[i].0 as usize] = COMPACT[i].1;
        i += 1;
    }
    short
};

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("(other)"),
            name => f.write_str(name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_form() {
        for name in HeaderName::all() {
            let text = name.as_str();
            assert_eq!(HeaderName::parse(text), name);
            assert_eq!(HeaderName::parse(&text.to_uppercase()), name);
            assert_eq!(HeaderName::parse(&text.to_lowercase()), name);
            let line = format!("{text}: a value that is long enough");
            if text.len() < 16 {
                assert_eq!(
                    HeaderName::before_colon(line.as_bytes()),
                    Some((name, text.len(), text.len()))
                );
            }
            if let Some(c) = name.compact() {
                assert_eq!(HeaderName::parse(&c.to_string()), name);
                assert_eq!(HeaderName::parse(&c.to_uppercase().to_string()), name);
            }
        }
        for other in ["", "q", "z", "Vias", "Content_Length", "X-Foo", "Vi\0", "Via "] {
            assert_eq!(HeaderName::parse(other), HeaderName::Other);
            let line = format!("{other}: a value that is long enough");
            assert_eq!(HeaderName::before_colon(line.as_bytes()), None, "{other}");
        }
    }
}
