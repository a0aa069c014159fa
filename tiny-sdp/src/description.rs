//! A whole session description, parsed and printed (RFC 8866), with typed access to its attributes.
//! The grammar is the `sdp-types` crate's; this is the one module (with `remote`) that knows it.
//! Unknown attributes are kept, in their order.

use crate::scan::scan;
use crate::{Direction, Host, Limits, MediaKind, NegotiatedExtension, ParseError, Protocol, Text};
use sdp_types::{Media, Session, TypedAttribute};
use std::fmt;

/// The attribute types of the field, each with `FromStr` and `Display`. Those that later floors need
/// have an accessor on [`AttributeList`]; any other is read with [`AttributeList::typed`].
pub mod attribute {
    pub use sdp_types::{
        Candidate, CandidateAddress, CandidateType, Crypto, CryptoSuite, EndOfCandidates, ExtMap,
        Fingerprint, Fmtp, FmtpParam, Group, GroupSemantics, HashFunc, IceLite, IceOptions, IcePwd,
        IceUfrag, MaxMessageSize, Mid, Msid, RemoteCandidate, RemoteCandidates, Rid, RidDirection,
        Rtcp, RtcpFb, RtcpFbPt, RtcpFbVal, RtcpMux, RtcpMuxOnly, RtcpRsize, RtpMap, SctpMap,
        SctpPort, Setup, SrtpKeyParam, SrtpSessionParam, Ssrc, SsrcAttribute, SsrcGroup,
        TypedAttribute,
    };
}

pub use sdp_types::{Attribute, Bandwidth, Connection, Key, Origin, Repeat, Time, TimeZone};

/// A session description.
///
/// ```
/// use tiny_sdp::{AttributeList, Description, Limits, MediaKind};
/// let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
///             m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=x-mine:7\r\n";
/// let description = Description::parse(text.as_bytes(), &Limits::default())?;
/// let audio = description.media(0).unwrap();
/// assert_eq!(audio.kind(), MediaKind::Audio);
/// assert_eq!(audio.rtpmaps().next().unwrap()?.encoding_name, "PCMU");
/// assert_eq!(audio.value("x-mine"), Some("7"));
/// assert_eq!(description.to_string(), text);
/// # Ok::<(), tiny_sdp::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(Session);

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// [`ParseError`]: a limit, an unknown type letter, a malformed or missing line, or an `a=rtcp`
    /// whose address is of no known type.
    pub fn parse(data: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        scan(data, limits)?;
        let mut session =
            Session::parse(data).map_err(|e| ParseError::Malformed { what: e.to_string() })?;
        // Cameras leave the t= line out; it can only mean "now".
        if session.times.is_empty() {
            session.times.push(Time::new(0, 0));
        }
        for media in &session.medias {
            check_rtcp(media)?;
        }
        Ok(Self(session))
    }

    /// The `o=` line.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The `s=` line.
    pub fn name(&self) -> &str {
        &self.0.session_name
    }

    /// The `i=` line of the session.
    pub fn information(&self) -> Option<&str> {
        self.0.session_description.as_deref()
    }

    /// The `u=` line.
    pub fn uri(&self) -> Option<&str> {
        self.0.uri.as_deref()
    }

    /// The `e=` lines.
    pub fn emails(&self) -> &[String] {
        &self.0.emails
    }

    /// The `p=` lines.
    pub fn phones(&self) -> &[String] {
        &self.0.phones
    }

    /// The `c=` line of the session.
    pub fn connection(&self) -> Option<&Connection> {
        self.0.connection.as_ref()
    }

    /// The `b=` lines of the session.
    pub fn bandwidths(&self) -> &[Bandwidth] {
        &self.0.bandwidths
    }

    /// The `t=` lines with their `r=` lines.
    pub fn times(&self) -> &[Time] {
        &self.0.times
    }

    /// The `z=` line.
    pub fn time_zones(&self) -> &[TimeZone] {
        &self.0.time_zones
    }

    /// The `k=` line of the session, which RFC 8866 §5.12 forbids to use.
    pub fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    /// The `a=group` lines (RFC 5888, RFC 9143).
    pub fn groups(&self) -> impl Iterator<Item = Result<attribute::Group, ParseError>> {
        self.typed()
    }

    /// How many `m=` lines there are.
    pub fn media_count(&self) -> usize {
        self.0.medias.len()
    }

    /// One media description.
    pub fn media(&self, index: usize) -> Option<MediaDescription<'_>> {
        self.0.medias.get(index).map(|media| MediaDescription { session: &self.0, media })
    }

    /// All media descriptions.
    pub fn all_media(&self) -> impl Iterator<Item = MediaDescription<'_>> {
        self.0.medias.iter().map(|media| MediaDescription { session: &self.0, media })
    }

    /// The parsed lines, to build on or to edit what no accessor covers.
    pub fn as_session(&self) -> &Session {
        &self.0
    }

    /// Takes the parsed lines out.
    pub fn into_session(self) -> Session {
        self.0
    }
}

impl From<Session> for Description {
    fn from(session: Session) -> Self {
        Self(session)
    }
}

impl fmt::Display for Description {
    /// Prints with CRLF line ends in the order of RFC 8866 §5.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(1024);
        self.0.write(&mut out).map_err(|_| fmt::Error)?;
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// One `m=` line and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct MediaDescription<'a> {
    session: &'a Session,
    media: &'a Media,
}

impl<'a> MediaDescription<'a> {
    /// Audio, video, …
    pub fn kind(&self) -> MediaKind {
        MediaKind::parse(&self.media.media)
    }

    /// The port; 0 when rejected or removed (or `bundle-only`).
    pub fn port(&self) -> u16 {
        self.media.port
    }

    /// How many ports, if the line says so.
    pub fn port_count(&self) -> Option<u16> {
        self.media.num_ports
    }

    /// The transport protocol.
    pub fn protocol(&self) -> Protocol {
        Protocol::parse(&self.media.proto)
    }

    /// The formats: payload types when the protocol is RTP.
    pub fn formats(&self) -> impl Iterator<Item = &'a str> {
        self.media.fmt.split_ascii_whitespace()
    }

    /// The `i=` line.
    pub fn title(&self) -> Option<&'a str> {
        self.media.media_title.as_deref()
    }

    /// The `c=` lines of this media.
    pub fn connections(&self) -> &'a [Connection] {
        &self.media.connections
    }

    /// The `b=` lines.
    pub fn bandwidths(&self) -> &'a [Bandwidth] {
        &self.media.bandwidths
    }

    /// The connection address that holds here: this media's or else the session's.
    pub fn host(&self) -> Option<Host> {
        connection_of(self.session, self.media).map(|c| Host::parse(&c.connection_address))
    }

    /// The direction that holds here: this media's, else the session's, else `sendrecv`.
    pub fn direction(&self) -> Direction {
        direction_of(&self.media.attributes)
            .or_else(|| direction_of(&self.session.attributes))
            .unwrap_or_default()
    }

    /// Milliseconds a packet; RFC 8866 §6.4 allows fractions.
    pub fn ptime(&self) -> Option<f32> {
        positive(self.value("ptime"))
    }

    /// The most milliseconds a packet.
    pub fn maxptime(&self) -> Option<f32> {
        positive(self.value("maxptime"))
    }

    /// Where RTCP goes, if not to the port after RTP's (RFC 3605).
    pub fn rtcp(&self) -> Option<Result<attribute::Rtcp, ParseError>> {
        self.typed().next()
    }

    /// RTP and RTCP on one port (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.has("rtcp-mux")
    }

    /// The media's name in groups (RFC 5888).
    pub fn mid(&self) -> Option<&'a str> {
        find(&self.media.attributes, "mid").flatten()
    }

    /// `a=rtpmap` lines.
    pub fn rtpmaps(&self) -> impl Iterator<Item = Result<attribute::RtpMap, ParseError>> {
        self.typed()
    }

    /// The parameters of a format, as written after its number.
    pub fn fmtp(&self, format: &str) -> Option<&'a str> {
        self.media.attributes.iter().filter(|a| a.attribute.eq_ignore_ascii_case("fmtp")).find_map(
            |a| {
                let (f, parameters) = a.value.as_deref()?.trim_start().split_once(' ')?;
                (f == format).then(|| parameters.trim())
            },
        )
    }

    /// `a=crypto` lines (RFC 4568).
    pub fn cryptos(&self) -> impl Iterator<Item = Result<attribute::Crypto, ParseError>> {
        self.typed()
    }

    /// `a=candidate` lines (RFC 8839).
    pub fn candidates(&self) -> impl Iterator<Item = Result<attribute::Candidate, ParseError>> {
        self.typed()
    }

    /// `a=ssrc` lines (RFC 5576).
    pub fn ssrcs(&self) -> impl Iterator<Item = Result<attribute::Ssrc, ParseError>> {
        self.typed()
    }

    /// `a=extmap` lines (RFC 8285).
    pub fn extmaps(&self) -> impl Iterator<Item = Result<attribute::ExtMap, ParseError>> {
        self.typed()
    }

    /// `a=extmap` lines that hold here: this media's, then the session's (RFC 8285 §5).
    pub(crate) fn all_extmaps(&self) -> impl Iterator<Item = NegotiatedExtension> {
        let own: Vec<_> = self.extmaps().collect();
        let all = own.into_iter().chain(typed_in(&self.session.attributes)).filter_map(Result::ok);
        all.map(|e: attribute::ExtMap| NegotiatedExtension {
            direction: e
                .direction
                .and_then(|d| Direction::from_name(d.as_str()))
                .unwrap_or_default(),
            id: e.id,
            uri: Text::from(e.uri),
        })
    }

    pub(crate) fn session_has(&self, name: &str) -> bool {
        find(&self.session.attributes, name).is_some()
    }

    /// `a=rtcp-fb` lines (RFC 4585).
    pub fn rtcp_feedbacks(&self) -> impl Iterator<Item = Result<attribute::RtcpFb, ParseError>> {
        self.typed()
    }

    /// The user name fragment that holds here: this media's or else the session's (RFC 8839).
    pub fn ice_ufrag(&self) -> Option<&'a str> {
        self.inherited("ice-ufrag")
    }

    /// The password that holds here.
    pub fn ice_pwd(&self) -> Option<&'a str> {
        self.inherited("ice-pwd")
    }

    /// Certificate fingerprints that hold here (RFC 8122): this media's or else the session's.
    pub fn fingerprints(&self) -> Vec<Result<attribute::Fingerprint, ParseError>> {
        let own: Vec<_> = self.typed().collect();
        if own.is_empty() { typed_in(&self.session.attributes).collect() } else { own }
    }

    /// The TLS role that holds here (RFC 4145, RFC 8842).
    pub fn setup(&self) -> Option<Result<attribute::Setup, ParseError>> {
        self.typed().next().or_else(|| typed_in(&self.session.attributes).next())
    }

    /// The value of an attribute that a session-level one stands in for.
    pub fn inherited(&self, name: &str) -> Option<&'a str> {
        find(&self.media.attributes, name)
            .or_else(|| find(&self.session.attributes, name))
            .flatten()
    }
}

/// The attributes of a session or of one media.
pub trait AttributeList {
    /// All of them, in order.
    fn attributes(&self) -> &[Attribute];

    /// Whether there is one of this name.
    fn has(&self, name: &str) -> bool {
        find(self.attributes(), name).is_some()
    }

    /// The value of the first one of this name that has a value.
    fn value(&self, name: &str) -> Option<&str> {
        find(self.attributes(), name).flatten()
    }

    /// The values of all of this name.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes()
            .iter()
            .filter(move |a| a.attribute.eq_ignore_ascii_case(name))
            .filter_map(|a| a.value.as_deref())
    }

    /// All of one of the types of [`attribute`]; one that cannot be read is an error of its own.
    fn typed<T: TypedAttribute>(&self) -> impl Iterator<Item = Result<T, ParseError>> {
        typed_in(self.attributes())
    }
}

impl AttributeList for Description {
    fn attributes(&self) -> &[Attribute] {
        &self.0.attributes
    }
}

impl AttributeList for MediaDescription<'_> {
    fn attributes(&self) -> &[Attribute] {
        &self.media.attributes
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<Option<&'a str>> {
    attributes.iter().find(|a| a.attribute.eq_ignore_ascii_case(name)).map(|a| a.value.as_deref())
}

fn typed_in<T: TypedAttribute>(
    attributes: &[Attribute],
) -> impl Iterator<Item = Result<T, ParseError>> {
    attributes.iter().filter(|a| a.attribute.eq_ignore_ascii_case(T::NAME)).map(|a| {
        T::from_str(a.value.as_deref().unwrap_or_default())
            .map_err(|e| ParseError::Attribute { name: T::NAME, what: e.to_string() })
    })
}

fn positive(value: Option<&str>) -> Option<f32> {
    value?.trim().parse::<f32>().ok().filter(|v| v.is_finite() && *v > 0.0)
}

pub(crate) fn direction_of(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| Direction::from_name(&a.attribute))
}

pub(crate) fn connection_of<'a>(session: &'a Session, media: &'a Media) -> Option<&'a Connection> {
    media.connections.first().or(session.connection.as_ref())
}

/// RFC 3605 §2.1: the address of `a=rtcp` is of a type that RFC 8866 knows. Sending RTCP anywhere
/// else than the peer said would be wrong, so a description that says nonsense is refused.
fn check_rtcp(media: &Media) -> Result<(), ParseError> {
    let Some(value) = find(&media.attributes, "rtcp").flatten() else { return Ok(()) };
    let bad = |what: &str| {
        Err(ParseError::Attribute { name: "rtcp", what: format!("{what} in \"{value}\"") })
    };
    let mut fields = value.split_ascii_whitespace();
    if fields.next().and_then(|p| p.parse::<u16>().ok()).is_none() {
        return bad("no port");
    }
    match (fields.next(), fields.next(), fields.next()) {
        (None, ..) => Ok(()),
        (Some(_), Some(kind), Some(_))
            if kind.eq_ignore_ascii_case("IP4") || kind.eq_ignore_ascii_case("IP6") =>
        {
            Ok(())
        }
        _ => bad("unknown address"),
    }
}
