//! The typed header fields of a message, read when asked for (RFC 3261 §20 and extensions).

use super::Message;
use crate::header::{
    AuthParams, CSeq, Challenge, Credentials, Date, Flaw, HeaderError, HeaderName, InfoUri, Item,
    MediaType, NameAddr, NameAddrs, RAck, RetryAfter, SessionExpires, Timestamp, Via, Vias,
    Warning, number, parse_seconds, split_commas,
};
use HeaderName as H;

pub(super) type Fallible<T> = Result<T, HeaderError>;

pub(super) fn malformed(name: HeaderName) -> impl Fn(Flaw) -> HeaderError + Copy {
    move |flaw| HeaderError::Malformed { name, flaw }
}

/// The addresses of all lines of one name.
struct Addresses<'a> {
    message: &'a Message,
    name: HeaderName,
    line: usize,
    rest: Option<NameAddrs<'a>>,
}

impl<'a> Iterator for Addresses<'a> {
    type Item = Fallible<NameAddr<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rest) = &mut self.rest {
                if let Some(address) = rest.next() {
                    return Some(address.map_err(malformed(self.name)));
                }
                self.rest = None;
            }
            let lines = self.message.lines.get(self.line..)?;
            let found = lines.iter().position(|line| line.name == self.name)?;
            self.line += found + 1;
            let value = self.message.value(&lines[found]);
            if let Some(address) = NameAddr::usual(value) {
                return Some(Ok(address));
            }
            // `*` is no address (§10.2.2).
            if value != "*" {
                self.rest = Some(NameAddrs::new(value));
            }
        }
    }
}

impl Message {
    /// Every Via element, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Fallible<Via<'_>>> {
        self.headers(H::Via).flat_map(Vias::new).map(|via| via.map_err(malformed(H::Via)))
    }

    /// The topmost Via element.
    #[inline]
    pub fn top_via(&self) -> Fallible<Via<'_>> {
        let value = self.header(H::Via).ok_or(HeaderError::Missing(H::Via))?;
        Via::first(value).map_err(malformed(H::Via))
    }

    /// From.
    pub fn from(&self) -> Fallible<NameAddr<'_>> {
        let value = self.header(H::From).ok_or(HeaderError::Missing(H::From))?;
        NameAddr::parse_as(value, H::From)
    }

    /// To.
    pub fn to(&self) -> Fallible<NameAddr<'_>> {
        let value = self.header(H::To).ok_or(HeaderError::Missing(H::To))?;
        NameAddr::parse_as(value, H::To)
    }

    /// Call-ID: one word without blanks.
    pub fn call_id(&self) -> Fallible<&str> {
        self.required(H::CallId, |value| {
            if value.is_empty() {
                return Err(Flaw::Empty);
            }
            let blank = value.bytes().fold(false, |blank, b| blank | (b <= b' '));
            if blank { Err(Flaw::Token) } else { Ok(value) }
        })
    }

    /// CSeq.
    pub fn cseq(&self) -> Fallible<CSeq<'_>> {
        self.required(H::CSeq, CSeq::parse)
    }

    /// The first Contact address: the remote target of a dialog (§12.1). `*` is none.
    pub fn contact(&self) -> Fallible<NameAddr<'_>> {
        let value = self.header(H::Contact).ok_or(HeaderError::Missing(H::Contact))?;
        if value == "*" {
            return Err(HeaderError::Missing(H::Contact));
        }
        NameAddr::first_as(value, H::Contact)
    }

    /// Every Contact address. `*` is none: see [`Message::is_contact_star`].
    pub fn contacts(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::Contact)
    }

    /// Whether the only Contact is `*` (§10.2.2).
    pub fn is_contact_star(&self) -> bool {
        let mut values = self.headers(H::Contact);
        values.next() == Some("*") && values.next().is_none()
    }

    /// Every Route entry in order.
    pub fn routes(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::Route)
    }

    /// Every Record-Route entry in order.
    pub fn record_routes(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::RecordRoute)
    }

    /// The addresses of any header field that is a list of them: Path, Service-Route,
    /// P-Asserted-Identity, P-Associated-URI, Reply-To, Refer-To …
    pub fn addresses(&self, name: HeaderName) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        Addresses { message: self, name, line: 0, rest: None }
    }

    /// The one address of a header field such as Reply-To, Refer-To or Referred-By.
    pub fn address(&self, name: HeaderName) -> Option<Fallible<NameAddr<'_>>> {
        self.optional(name, NameAddr::parse)
    }

    /// Max-Forwards (0 to 255).
    pub fn max_forwards(&self) -> Option<Fallible<u8>> {
        self.optional(H::MaxForwards, |value| u8::try_from(number(value)?).map_err(|_| Flaw::Range))
    }

    /// Expires, in seconds.
    pub fn expires(&self) -> Option<Fallible<u32>> {
        self.optional(H::Expires, parse_seconds)
    }

    /// Min-Expires, in seconds.
    pub fn min_expires(&self) -> Option<Fallible<u32>> {
        self.optional(H::MinExpires, parse_seconds)
    }

    /// RSeq (RFC 3262 §7.1).
    pub fn rseq(&self) -> Option<Fallible<u32>> {
        self.optional(H::RSeq, number)
    }

    /// RAck (RFC 3262 §7.2).
    pub fn rack(&self) -> Option<Fallible<RAck<'_>>> {
        self.optional(H::RAck, RAck::parse)
    }

    /// Session-Expires (RFC 4028 §4).
    pub fn session_expires(&self) -> Option<Fallible<SessionExpires>> {
        self.optional(H::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE, in seconds (RFC 4028 §5).
    pub fn min_se(&self) -> Option<Fallible<u32>> {
        self.optional(H::MinSe, |value| parse_seconds(value.split(';').next().unwrap_or_default()))
    }

    /// Content-Length as written.
    pub fn content_length(&self) -> Option<Fallible<u32>> {
        self.optional(H::ContentLength, number)
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<Fallible<MediaType<'_>>> {
        self.optional(H::ContentType, MediaType::parse)
    }

    /// Content-Disposition, or the like of it: a word with parameters. For Event,
    /// Subscription-State, Session-Expires, Min-SE, Priority, MIME-Version and others too.
    pub fn item(&self, name: HeaderName) -> Option<Fallible<Item<'_>>> {
        self.optional(name, Item::parse)
    }

    /// Every word with its parameters of a comma list: Accept-Encoding, Accept-Language, Reason,
    /// Content-Encoding, Content-Language …
    pub fn items(&self, name: HeaderName) -> impl Iterator<Item = Fallible<Item<'_>>> {
        self.list(name).map(move |text| Item::parse(text).map_err(malformed(name)))
    }

    /// The elements of a comma list over all its lines, without further reading: Allow, Supported,
    /// Require, Proxy-Require, Unsupported, In-Reply-To, Allow-Events, Content-Encoding …
    pub fn list(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.headers(name).flat_map(split_commas)
    }

    /// The media ranges of Accept. An empty Accept gives none, and so does none at all: tell them
    /// apart by [`Message::header`] (§20.1).
    pub fn accepts(&self) -> impl Iterator<Item = Fallible<MediaType<'_>>> {
        self.list(H::Accept).map(|text| MediaType::parse(text).map_err(malformed(H::Accept)))
    }

    /// Alert-Info, Call-Info or Error-Info.
    pub fn info_uris(&self, name: HeaderName) -> impl Iterator<Item = Fallible<InfoUri<'_>>> {
        self.list(name).map(move |text| InfoUri::parse(text).map_err(malformed(name)))
    }

    /// Every Warning.
    pub fn warnings(&self) -> impl Iterator<Item = Fallible<Warning<'_>>> {
        self.list(H::Warning).map(|text| Warning::parse(text).map_err(malformed(H::Warning)))
    }

    /// Date.
    pub fn date(&self) -> Option<Fallible<Date>> {
        self.optional(H::Date, Date::parse)
    }

    /// Retry-After.
    pub fn retry_after(&self) -> Option<Fallible<RetryAfter<'_>>> {
        self.optional(H::RetryAfter, RetryAfter::parse)
    }

    /// Timestamp.
    pub fn timestamp(&self) -> Option<Fallible<Timestamp<'_>>> {
        self.optional(H::Timestamp, Timestamp::parse)
    }

    /// The challenges of WWW-Authenticate or Proxy-Authenticate, one a line.
    pub fn challenges(&self, name: HeaderName) -> impl Iterator<Item = Fallible<Challenge<'_>>> {
        self.headers(name).map(move |text| Challenge::parse(text).map_err(malformed(name)))
    }

    /// The credentials of Authorization or Proxy-Authorization, one a line.
    pub fn credentials(&self, name: HeaderName) -> impl Iterator<Item = Fallible<Credentials<'_>>> {
        self.headers(name).map(move |text| Credentials::parse(text).map_err(malformed(name)))
    }

    /// Authentication-Info.
    pub fn authentication_info(&self) -> Option<Fallible<AuthParams<'_>>> {
        self.optional(H::AuthenticationInfo, AuthParams::parse)
    }

    #[inline]
    fn required<'a, T>(
        &'a self,
        name: HeaderName,
        parse: impl Fn(&'a str) -> Result<T, Flaw>,
    ) -> Fallible<T> {
        let value = self.header(name).ok_or(HeaderError::Missing(name))?;
        parse(value).map_err(malformed(name))
    }

    pub(super) fn optional<'a, T>(
        &'a self,
        name: HeaderName,
        parse: impl Fn(&'a str) -> Result<T, Flaw>,
    ) -> Option<Fallible<T>> {
        self.header(name).map(|value| parse(value).map_err(malformed(name)))
    }
}
