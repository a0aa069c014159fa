//! What offer and answer say of RTP beside codecs: header extensions (RFC 8285), streams and their
//! sources (RFC 8830, RFC 5576), reduced-size RTCP (RFC 5506), simulcast (RFC 8853).

use crate::attribute::{Msid, Rid, Ssrc};
use crate::{Direction, Text};

/// The header extension that names the `m=` line of a packet (RFC 9143 §15). The negotiator adds it
/// by itself to every RTP stream of a bundle.
pub const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// A header extension of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalExtension {
    /// Its name.
    pub uri: Text,
    /// The number we like for it; any free one otherwise. A number once said is kept.
    pub id: Option<u8>,
    /// Which way we use it; `SendRecv` is not written.
    pub direction: Direction,
}

impl LocalExtension {
    /// Both ways, any number.
    pub fn new(uri: impl Into<Text>) -> Self {
        Self { uri: uri.into(), id: None, direction: Direction::SendRecv }
    }
}

/// Our side, in [`LocalMedia::rtp`](crate::LocalMedia::rtp).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalRtp {
    /// Header extensions, in order of preference.
    pub extensions: Vec<LocalExtension>,
    /// Whether one- and two-byte headers may be mixed, which numbers above 14 need (RFC 8285 §6).
    pub extmap_allow_mixed: bool,
    /// Reduced-size RTCP, if the peer agrees.
    pub rtcp_rsize: bool,
    /// The media streams that what we send belongs to; written only when we send.
    pub msids: Vec<Msid>,
    /// Our sources; written only when we send.
    pub ssrcs: Vec<Ssrc>,
    /// The encodings that we offer to send: `a=rid` and, when there are several, `a=simulcast`.
    pub send_rids: Vec<Rid>,
    /// How many encodings we would receive when a peer offers simulcast; 0 refuses it: the answer
    /// has no `a=simulcast`, and the peer sends one encoding (RFC 8853 §5.3.2).
    pub receive_encodings: usize,
}

/// A header extension that both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedExtension {
    /// Its name.
    pub uri: Text,
    /// Its number in either direction.
    pub id: u8,
    /// Which way we use it.
    pub direction: Direction,
}

/// What both sides agreed on, and what the peer says of its sources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NegotiatedRtp {
    /// Header extensions.
    pub extensions: Vec<NegotiatedExtension>,
    /// Whether packets may have one- and two-byte headers.
    pub extmap_allow_mixed: bool,
    /// Reduced-size RTCP.
    pub rtcp_rsize: bool,
    /// The media streams that what the peer sends belongs to.
    pub msids: Vec<Msid>,
    /// The peer's sources with their `cname`.
    pub ssrcs: Vec<(u32, Option<Text>)>,
    /// The encodings that the peer takes of ours; empty without simulcast.
    pub send_rids: Vec<Text>,
    /// The encodings that the peer sends; empty without simulcast.
    pub recv_rids: Vec<Text>,
}

impl NegotiatedRtp {
    /// The number of a header extension.
    pub fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|e| e.uri == *uri).map(|e| e.id)
    }
}
