//! What offer and answer agreed on: all that media needs to run.

use crate::fmtp::EventSet;
use crate::{
    Direction, IceRefusal, MediaKind, NegotiatedData, NegotiatedDtls, NegotiatedIce, NegotiatedRtp,
    Protocol, Rejection, RemoteAddress, Text,
};

/// A codec that both sides speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// Encoding name as we write it; compare without case.
    pub name: Text,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Channels, at least 1.
    pub channels: u8,
    /// The payload type to send: the peer's number for it.
    pub send_pt: u8,
    /// The payload type that the peer sends: our number for it.
    pub recv_pt: u8,
    /// The peer's `a=fmtp` parameters: what it wishes to receive. Empty when there is none.
    pub remote_fmtp: Text,
    /// Our `a=fmtp` parameters as written in our description. Empty when there is none.
    pub local_fmtp: Text,
    /// The feedback messages that both sides named, ours as written (RFC 4585 §4).
    pub feedback: Vec<Text>,
}

impl NegotiatedCodec {
    /// For `telephone-event`: the events that the peer is ready to receive (RFC 4733 §2.4.1).
    pub fn events(&self) -> EventSet {
        EventSet::from_fmtp(&self.remote_fmtp).unwrap_or_default()
    }
}

/// A format that only we can receive: the answer named it beyond the offer (RFC 3264 §6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveFormat {
    /// Encoding name.
    pub name: Text,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Channels, at least 1.
    pub channels: u8,
    /// The payload type that the peer may send.
    pub recv_pt: u8,
    /// Our parameters.
    pub local_fmtp: Text,
}

/// One `m=` line after offer and answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedMedia {
    /// Its place in the description, from 0.
    pub index: usize,
    /// Its place in [`LocalSession::media`](crate::LocalSession::media), if it is one of ours.
    pub local: Option<usize>,
    /// Audio, video, …
    pub kind: MediaKind,
    /// Transport protocol, as offered.
    pub protocol: Protocol,
    /// Whether the line has port 0; nothing is sent or received then.
    pub rejected: bool,
    /// Why it is rejected.
    pub rejection: Option<Rejection>,
    /// Where to send RTP. `None` when rejected, or when the peer gave no address yet or is holding
    /// in the manner of RFC 2543 (`c=IN IP4 0.0.0.0`).
    pub remote_rtp: Option<RemoteAddress>,
    /// Where to send RTCP: the `a=rtcp` line, the RTP port when multiplexed, else the port after it.
    pub remote_rtcp: Option<RemoteAddress>,
    /// What we do: the meeting of both sides' wishes.
    pub direction: Direction,
    /// Whether the peer does not want our media now: it said `sendonly`, `inactive` or `0.0.0.0`.
    pub on_hold_by_peer: bool,
    /// Codecs in order of preference, events excluded. Send with the first.
    pub codecs: Vec<NegotiatedCodec>,
    /// `telephone-event` formats.
    pub telephone_events: Vec<NegotiatedCodec>,
    /// What may be received but not sent.
    pub receive_only: Vec<ReceiveFormat>,
    /// Common formats of a protocol that is not RTP.
    pub formats: Vec<Text>,
    /// Milliseconds a packet that the peer wishes to receive.
    pub ptime: Option<u32>,
    /// The most milliseconds a packet that the peer takes.
    pub maxptime: Option<u32>,
    /// Whether RTP and RTCP share a port, agreed by both.
    pub rtcp_mux: bool,
    /// The most bit/s that the peer wishes to receive on this stream (`b=TIAS`, else `b=AS`).
    pub remote_bandwidth: Option<u64>,
    /// Its name in groups.
    pub mid: Option<Text>,
    /// The line whose transport carries this stream: its own place, or that of the first of its
    /// bundle, which then has what there is of addresses, ICE and DTLS.
    pub carrier: usize,
    /// ICE with the peer, when [`LocalMedia::ice`](crate::LocalMedia::ice) wanted it.
    pub ice: Option<Box<NegotiatedIce>>,
    /// Why there is no ICE although it was wanted.
    pub ice_refusal: Option<IceRefusal>,
    /// Header extensions and sources, when [`LocalMedia::rtp`](crate::LocalMedia::rtp) or a bundle
    /// asked for them.
    pub rtp: Option<Box<NegotiatedRtp>>,
    /// Data channels, when [`LocalMedia::data`](crate::LocalMedia::data) brought them.
    pub data: Option<Box<NegotiatedData>>,
    /// The DTLS association, when [`LocalMedia::dtls`](crate::LocalMedia::dtls) asked for one.
    pub dtls: Option<Box<NegotiatedDtls>>,
}

impl NegotiatedMedia {
    /// The `telephone-event` to send beside a codec: the one with its clock rate, as RFC 4733 §2.1
    /// demands; else, since some peers name only 8000 Hz, the first.
    pub fn telephone_event(&self, clock_rate: u32) -> Option<&NegotiatedCodec> {
        self.telephone_events
            .iter()
            .find(|e| e.clock_rate == clock_rate)
            .or_else(|| self.telephone_events.first())
    }

    /// The codec that the peer's packets with this payload type carry, events included.
    pub fn codec_received(&self, payload_type: u8) -> Option<&NegotiatedCodec> {
        self.codecs.iter().chain(&self.telephone_events).find(|c| c.recv_pt == payload_type)
    }

    pub(crate) fn rejected(
        index: usize,
        kind: MediaKind,
        protocol: Protocol,
        why: Rejection,
    ) -> Self {
        Self {
            index,
            local: None,
            kind,
            protocol,
            rejected: true,
            rejection: Some(why),
            remote_rtp: None,
            remote_rtcp: None,
            direction: Direction::Inactive,
            on_hold_by_peer: false,
            codecs: Vec::new(),
            telephone_events: Vec::new(),
            receive_only: Vec::new(),
            formats: Vec::new(),
            ptime: None,
            maxptime: None,
            rtcp_mux: false,
            remote_bandwidth: None,
            mid: None,
            carrier: index,
            ice: None,
            ice_refusal: None,
            rtp: None,
            data: None,
            dtls: None,
        }
    }
}

/// The session after offer and answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedSession {
    /// One entry an `m=` line, in their order.
    pub media: Vec<NegotiatedMedia>,
}

impl NegotiatedSession {
    /// The streams that are not rejected.
    pub fn active(&self) -> impl Iterator<Item = &NegotiatedMedia> {
        self.media.iter().filter(|m| !m.rejected)
    }

    /// The first active audio stream.
    pub fn audio(&self) -> Option<&NegotiatedMedia> {
        self.active().find(|m| m.kind == MediaKind::Audio)
    }

    /// The line whose transport carries a stream: the stream itself unless it is bundled.
    pub fn transport<'a>(&'a self, media: &'a NegotiatedMedia) -> &'a NegotiatedMedia {
        self.media.get(media.carrier).unwrap_or(media)
    }

    /// The streams that a transport carries.
    pub fn carried_by(&self, index: usize) -> impl Iterator<Item = &NegotiatedMedia> {
        self.active().filter(move |m| m.carrier == index)
    }

    /// The stream at a place in [`LocalSession::media`](crate::LocalSession::media).
    pub fn local(&self, index: usize) -> Option<&NegotiatedMedia> {
        self.media.iter().find(|m| m.local == Some(index))
    }
}

/// An answer to a peer's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The description to send: `application/sdp`.
    pub sdp: String,
    /// What it means.
    pub session: NegotiatedSession,
}
