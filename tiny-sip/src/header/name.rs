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
        let mut line = [b':'; 16];
        match line.get_mut(..name.len()) {
            Some(part) if name.len() < 16 => {
                part.copy_from_slice(name);
                Self::before_colon(&line).map_or(Self::Other, |(name, _)| name)
            }
            _ => LONG
                .iter()
                .copied()
                .find(|long| long.as_str().as_bytes().eq_ignore_ascii_case(name))
                .unwrap_or(Self::Other),
        }
    }

    /// Reads a known name that ends at a colon within the first 16 octets, without looking at them
    /// one by one, and its length. `None` tells nothing. A CR in the place of a hyphen goes
    /// unnoticed: the caller sees to it that there is none.
    #[inline]
    pub(crate) fn before_colon(line: &[u8]) -> Option<(Self, usize)> {
        let (words, _) = line.first_chunk::<16>()?.as_chunks::<8>();
        let (low, high) = (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]));
        if line[1] == b':' {
            let name = SHORT[usize::from(line[0] | 0x20)];
            return (name != Self::Other).then_some((name, 1));
        }
        let mut pattern = PATTERNS.get(usize::from(FIRST[hash(low)]))?;
        loop {
            let differ =
                (low ^ pattern.low) & pattern.low_mask | (high ^ pattern.high) & pattern.high_mask;
            if differ == 0 {
                return Some((pattern.name, usize::from(pattern.len)));
            }
            pattern = PATTERNS.get(usize::from(pattern.next))?;
        }
    }
}

/// A name of 2 to 15 octets and its colon, as two words from the lowest octet on.
#[derive(Clone, Copy)]
struct Pattern {
    low: u64,
    high: u64,
    // Which bits have to agree: all of hyphens and the colon, all but bit 5 of letters, which makes
    // the case; among token characters no other than a letter differs from one in that bit alone.
    low_mask: u64,
    high_mask: u64,
    name: HeaderName,
    len: u8,
    // The index of another one with the same hash; 255 for none.
    next: u8,
}

/// A hash of the first three octets in any case.
#[inline]
const fn hash(low: u64) -> usize {
    let folded = (low & 0x00ff_ffff) | 0x0020_2020;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

// In the order of ALL. What is more frequent comes first among those of one hash.
static PATTERNS: [Pattern; ALL.len()] = TABLES.0;

// By hash, the index of the first pattern; 255 for none.
static FIRST: [u8; 256] = TABLES.1;

const FREQUENT: &[HeaderName] =
    &[HeaderName::ContentLength, HeaderName::ContentType, HeaderName::Contact];

const TABLES: ([Pattern; ALL.len()], [u8; 256]) = {
    const NONE: Pattern = Pattern {
        low: 0,
        high: 0,
        low_mask: u64::MAX,
        high_mask: u64::MAX,
        name: HeaderName::Other,
        len: 0,
        next: u8::MAX,
    };
    let (mut patterns, mut first) = ([NONE; ALL.len()], [u8::MAX; 256]);
    // Each is put before those that are there: the frequent ones last.
    let mut i = 0;
    while i < ALL.len() + FREQUENT.len() {
        let (index, again) =
            if i < ALL.len() { (i, false) } else { (FREQUENT[i - ALL.len()] as usize, true) };
        let text = ALL[index].1.as_bytes();
        i += 1;
        let mut rare = true;
        let mut n = 0;
        while n < FREQUENT.len() {
            rare &= FREQUENT[n] as usize != index;
            n += 1;
        }
        if text.len() < 2 || text.len() > 15 || rare == again {
            continue;
        }
        let mut pattern = NONE;
        (pattern.low_mask, pattern.high_mask) = (0, 0);
        let mut n = 0;
        while n <= text.len() {
            let octet = if n < text.len() { text[n] } else { b':' };
            let mask: u64 = if octet.is_ascii_alphabetic() { 0xdf } else { 0xff };
            let (octet, shift) = (octet as u64, 8 * (n % 8));
            if n < 8 {
                pattern.low |= octet << shift;
                pattern.low_mask |= mask << shift;
            } else {
                pattern.high |= octet << shift;
                pattern.high_mask |= mask << shift;
            }
            n += 1;
        }
        pattern.name = ALL[index].0;
        pattern.len = text.len() as u8;
        let slot = hash(pattern.low);
        pattern.next = first[slot];
        first[slot] = index as u8;
        patterns[index] = pattern;
    }
    (patterns, first)
};

// The names that do not fit into a pattern.
const LONG: &[HeaderName] = &[
    HeaderName::AuthenticationInfo,
    HeaderName::ContentDisposition,
    HeaderName::ContentEncoding,
    HeaderName::ContentLanguage,
    HeaderName::ContentTransferEncoding,
    HeaderName::PAccessNetworkInfo,
    HeaderName::PAssertedIdentity,
    HeaderName::PAssociatedUri,
    HeaderName::PCalledPartyId,
    HeaderName::PPreferredIdentity,
    HeaderName::ProxyAuthenticate,
    HeaderName::ProxyAuthorization,
    HeaderName::RequestDisposition,
    HeaderName::ResourcePriority,
    HeaderName::SubscriptionState,
    HeaderName::WwwAuthenticate,
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
                assert_eq!(HeaderName::before_colon(line.as_bytes()), Some((name, text.len())));
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
