//! A peer's description as offer/answer needs it: one pass over each `m=` section, borrowing from
//! the parsed text. Reads leniently what the field writes; decides nothing.

use crate::codec::static_codec;
use crate::description::{connection_of, direction_of};
use crate::{Description, Direction, Host, MediaKind, Protocol, RemoteAddress, Text};
use sdp_types::{AddrType, Media};
use smallvec::SmallVec;

/// An RTP format: a payload type and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Format<'a> {
    pub(crate) pt: u8,
    /// Empty when the payload type is dynamic and no `a=rtpmap` says what it is.
    pub(crate) name: &'a str,
    pub(crate) clock_rate: u32,
    pub(crate) channels: u8,
    pub(crate) fmtp: &'a str,
    has_rtpmap: bool,
}

/// One `m=` section.
#[derive(Debug, Clone)]
pub(crate) struct RemoteMedia<'a> {
    media: &'a Media,
    pub(crate) kind: MediaKind,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// The formats as written, for protocols that are not RTP and for rejected lines.
    pub(crate) tokens: &'a str,
    /// RTP formats in order of preference.
    pub(crate) formats: SmallVec<[Format<'a>; 8]>,
    pub(crate) direction: Direction,
    host: Option<Host>,
    pub(crate) ipv6: Option<bool>,
    rtcp: Option<&'a str>,
    pub(crate) rtcp_mux: bool,
    pub(crate) ptime: Option<u32>,
    pub(crate) maxptime: Option<u32>,
    pub(crate) mid: Option<&'a str>,
    /// ICE in this section, or in the line that carries its bundle.
    pub(crate) ice: bool,
    /// ICE in this very section.
    pub(crate) own_ice: bool,
    /// RFC 8858.
    pub(crate) rtcp_mux_only: bool,
    /// RFC 9143 §6: port 0 here does not switch the stream off.
    pub(crate) bundle_only: bool,
    /// The first line of the bundle that it is in, as the peer's description has it.
    pub(crate) bundle: Option<usize>,
    pub(crate) bandwidth: Option<u64>,
}

impl<'a> RemoteMedia<'a> {
    /// Reads the section at `index`.
    pub(crate) fn read(description: &'a Description, index: usize) -> Option<Self> {
        let session = description.as_session();
        let media: &'a Media = session.medias.get(index)?;
        let connection = connection_of(session, media);
        let protocol = Protocol::parse(&media.proto);
        let mut m = Self {
            media,
            kind: MediaKind::parse(&media.media),
            port: media.port,
            tokens: media.fmt.trim(),
            formats: SmallVec::new(),
            direction: Direction::SendRecv,
            host: connection.map(|c| Host::parse(&c.connection_address)),
            ipv6: connection.and_then(|c| match c.addrtype {
                AddrType::Ip4 => Some(false),
                AddrType::Ip6 => Some(true),
                AddrType::Other(_) => None,
            }),
            rtcp: None,
            rtcp_mux: false,
            ptime: None,
            maxptime: None,
            mid: None,
            ice: false,
            own_ice: false,
            rtcp_mux_only: false,
            bundle_only: false,
            bundle: None,
            bandwidth: None,
            protocol,
        };
        if m.protocol.is_rtp() {
            m.read_formats();
        }
        m.read_bandwidth(media);
        let mut direction = None;
        for attribute in &media.attributes {
            let value = attribute.value.as_deref().unwrap_or_default();
            // Names are compared as written first: nearly all are lower case.
            match attribute.attribute.as_str() {
                "rtpmap" => m.read_rtpmap(value),
                "fmtp" => m.read_fmtp(value),
                "rtcp" => m.rtcp = Some(value),
                "rtcp-mux" => m.rtcp_mux = true,
                // RFC 8858 §3: said together with rtcp-mux, which some leave out.
                "rtcp-mux-only" => (m.rtcp_mux, m.rtcp_mux_only) = (true, true),
                "bundle-only" => m.bundle_only = true,
                "ptime" => m.ptime = milliseconds(value),
                "maxptime" => m.maxptime = milliseconds(value),
                "mid" => m.mid = Some(value.trim_ascii()).filter(|v| !v.is_empty()),
                "ice-ufrag" => (m.ice, m.own_ice) = (true, true),
                name => direction = direction.or_else(|| Direction::from_name(name)),
            }
        }
        m.direction = direction.or_else(|| direction_of(&session.attributes)).unwrap_or_default();
        m.ice |= session.attributes.iter().any(|a| a.attribute == "ice-ufrag");
        Some(m)
    }

    /// Whether the line offers or accepts a stream: port 0 does not, but for a `bundle-only` line
    /// (RFC 9143 §6) of a group that we look at.
    pub(crate) fn is_active(&self) -> bool {
        self.port != 0 || (self.bundle_only && self.bundle.is_some())
    }

    /// Held in the manner of RFC 2543 (RFC 3264 §8.4) or of RFC 6157 §4.1: no address to send to.
    /// With ICE the same address only means that candidates will tell.
    pub(crate) fn has_no_address(&self) -> bool {
        match &self.host {
            None => true,
            Some(Host::Name(name)) => {
                let at = name.len().saturating_sub(".invalid".len());
                name.as_str().get(at..).is_some_and(|end| end.eq_ignore_ascii_case(".invalid"))
            }
            Some(host) => host.is_unspecified(),
        }
    }

    /// Whether the address is how old agents put a call on hold.
    pub(crate) fn is_legacy_hold(&self) -> bool {
        !self.ice && self.host.is_some() && self.has_no_address()
    }

    /// Whether ICE candidates will tell the addresses.
    pub(crate) fn has_ice(&self) -> bool {
        self.ice
    }

    pub(crate) fn is_multicast(&self) -> bool {
        self.host.as_ref().is_some_and(Host::is_multicast)
    }

    pub(crate) fn rtp(&self) -> Option<RemoteAddress> {
        if self.port == 0 || self.has_no_address() {
            return None;
        }
        Some(RemoteAddress { host: self.host.clone()?, port: self.port })
    }

    pub(crate) fn rtcp(&self, mux: bool) -> Option<RemoteAddress> {
        let rtp = self.rtp()?;
        if mux {
            return Some(rtp);
        }
        // RFC 3605 §2.1: port, or port with network type, address type and address.
        if let Some(value) = self.rtcp {
            let mut fields = value.split_ascii_whitespace();
            if let Some(port) = fields.next().and_then(|p| p.parse().ok()).filter(|p| *p != 0) {
                let host = fields.nth(2).map_or(rtp.host, Host::parse);
                return Some(RemoteAddress { host, port });
            }
        }
        Some(RemoteAddress { host: rtp.host, port: rtp.port.checked_add(1)? })
    }

    /// The format at which `apt` and the like point.
    pub(crate) fn format(&self, pt: u8) -> Option<&Format<'a>> {
        self.formats.iter().find(|f| f.pt == pt)
    }

    /// Of our feedback messages for a format those that the peer names too (RFC 4585 §4.2).
    pub(crate) fn common_feedback(&self, pt: u8, ours: &[Text]) -> Vec<Text> {
        if ours.is_empty() {
            return Vec::new();
        }
        let named = |wanted: &Text| {
            self.media.attributes.iter().filter(|a| a.attribute == "rtcp-fb").any(|a| {
                let value = a.value.as_deref().unwrap_or_default().trim();
                let Some((format, message)) = value.split_once(' ') else { return false };
                (format == "*" || format.parse() == Ok(pt))
                    && message.split_ascii_whitespace().eq(wanted.split_ascii_whitespace())
            })
        };
        ours.iter().filter(|w| named(w)).cloned().collect()
    }

    /// Gives payload types that lack an `a=rtpmap` the meaning that our own offer gave them: some
    /// peers answer with bare numbers.
    pub(crate) fn understand(&mut self, meaning: impl Fn(u8) -> Option<(&'a str, u32, u8)>) {
        for f in self.formats.iter_mut().filter(|f| f.name.is_empty()) {
            if let Some((name, clock_rate, channels)) = meaning(f.pt) {
                (f.name, f.clock_rate, f.channels) = (name, clock_rate, channels);
            }
        }
    }

    fn read_formats(&mut self) {
        for token in self.tokens.split_ascii_whitespace() {
            let Some(pt) = token.parse::<u8>().ok().filter(|pt| *pt < 128) else { continue };
            if self.format(pt).is_some() {
                continue;
            }
            let (name, clock_rate, channels) = static_codec(pt).unwrap_or(("", 0, 1));
            self.formats.push(Format {
                pt,
                name,
                clock_rate,
                channels,
                fmtp: "",
                has_rtpmap: false,
            });
        }
    }

    /// `<payload type> <encoding name>/<clock rate>[/<parameters>]` (RFC 8866 §6.6)
    fn read_rtpmap(&mut self, value: &'a str) {
        let Some((pt, encoding)) = first_word(value) else { return };
        let Some(format) = find(&mut self.formats, pt) else { return };
        let mut fields = encoding.split('/');
        let (Some(name), Some(rate)) = (fields.next(), fields.next()) else { return };
        let Ok(clock_rate) = rate.trim_ascii().parse() else { return };
        if format.has_rtpmap {
            return;
        }
        format.has_rtpmap = true;
        format.name = name;
        format.clock_rate = clock_rate;
        // §6.6: for audio the parameter is the number of channels, 1 when left out.
        format.channels =
            fields.next().and_then(|c| c.trim_ascii().parse().ok()).unwrap_or(1).max(1);
    }

    fn read_fmtp(&mut self, value: &'a str) {
        let Some((pt, parameters)) = first_word(value) else { return };
        if let Some(format) = find(&mut self.formats, pt).filter(|f| f.fmtp.is_empty()) {
            format.fmtp = parameters;
        }
    }

    fn read_bandwidth(&mut self, media: &Media) {
        for b in &media.bandwidths {
            match b.bwtype.as_str() {
                // RFC 3890: bit/s without transport overhead.
                "TIAS" => {
                    self.bandwidth = Some(b.bandwidth);
                    return;
                }
                "AS" => self.bandwidth = Some(b.bandwidth.saturating_mul(1000)),
                _ => {}
            }
        }
    }
}

/// What stands before the first blank, and the rest.
fn first_word(value: &str) -> Option<(&str, &str)> {
    let value = value.trim_ascii();
    let (word, rest) = value.split_at_checked(value.bytes().position(|b| b == b' ')?)?;
    Some((word, rest.trim_ascii()))
}

fn find<'f, 'a>(formats: &'f mut [Format<'a>], pt: &str) -> Option<&'f mut Format<'a>> {
    let pt: u8 = pt.parse().ok()?;
    formats.iter_mut().find(|f| f.pt == pt)
}

/// Whole milliseconds of a `ptime`; what is less than one, or no number, counts as not said.
fn milliseconds(value: &str) -> Option<u32> {
    let value = value.trim_ascii();
    let whole = value.split('.').next().unwrap_or(value);
    whole.parse().ok().filter(|ms| *ms > 0)
}
