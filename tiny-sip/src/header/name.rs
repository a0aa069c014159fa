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

    /// Classifies a name whose bytes are all token characters. (Setting bit 5 folds letters; among
    /// token characters it maps nothing else onto a letter or a hyphen.)
    #[inline]
    pub(crate) fn from_token(name: &[u8]) -> Self {
        let [first, .., last] = name else {
            return match name {
                [c] => SHORT[(c | 0x20) as usize],
                _ => Self::Other,
            };
        };
        let mut slot = hash(name.len(), *first, name[name.len() / 2], *last);
        loop {
            let candidate = SLOTS[slot];
            if candidate == Self::Other {
                return Self::Other;
            }
            let text = ALL[candidate as usize].1.as_bytes();
            if text.len() == name.len() && text.iter().zip(name).all(|(a, b)| a | 0x20 == b | 0x20)
            {
                return candidate;
            }
            slot = (slot + 1) & (SLOTS.len() - 1);
        }
    }
}

const fn hash(len: usize, first: u8, middle: u8, last: u8) -> usize {
    let (first, middle, last) = (first | 0x20, middle | 0x20, last | 0x20);
    (len * 29 + first as usize * 7 + middle as usize * 43 + last as usize * 101) & 511
}

static SLOTS: [HeaderName; 512] = {
    let mut slots = [HeaderName::Other; 512];
    let mut i = 0;
    while i < ALL.len() {
        let text = ALL[i].1.as_bytes();
        let mut slot = hash(text.len(), text[0], text[text.len() / 2], text[text.len() - 1]);
        while !matches!(slots[slot], HeaderName::Other) {
            slot = (slot + 1) & 511;
        }
        slots[slot] = ALL[i].0;
        i += 1;
    }
    slots
};

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
            if let Some(c) = name.compact() {
                assert_eq!(HeaderName::parse(&c.to_string()), name);
                assert_eq!(HeaderName::parse(&c.to_uppercase().to_string()), name);
            }
        }
        for other in ["", "q", "z", "Vias", "Content_Length", "X-Foo", "Conten\r-Type", "Vi\0"] {
            assert_eq!(HeaderName::parse(other), HeaderName::Other);
        }
    }
}
