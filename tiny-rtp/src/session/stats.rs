//! What a session counts and tells: reasons for drops, figures of sources, totals, events.

use crate::rtcp::{FeedbackKind, RtcpError, SenderInfo};
use crate::{PayloadType, RtpError, Ssrc};
use std::net::SocketAddr;

/// Why a packet was not taken. None of them ends anything: they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// Not RTP by form.
    #[error("malformed RTP: {0}")]
    Malformed(RtpError),
    /// Not RTCP by form.
    #[error("malformed RTCP: {0}")]
    MalformedRtcp(RtcpError),
    /// A payload type that was not negotiated.
    #[error("payload type {0} is not expected")]
    UnknownPayloadType(PayloadType),
    /// A header extension says that it is of another m-line (RFC 9143 §9.2).
    #[error("of another m-line")]
    OtherMid,
    /// RTCP on the RTP port without rtcp-mux.
    #[error("RTCP on the RTP port, but rtcp-mux is off")]
    UnexpectedRtcp,
    /// From an address that is not the peer's, while the peer is heard.
    #[error("not from the peer's address")]
    ForeignAddress,
    /// From a new address that is still proving itself; kept for
    /// [`Session::next_held`](super::Session::next_held) as far as there is room.
    #[error("from a new address that has not proven itself yet")]
    Unproven,
    /// From a new source that is still proving itself (A.1); kept likewise.
    #[error("from a new source on probation")]
    Probation,
    /// The sequence number makes no sense (A.1).
    #[error("the sequence number jumped out of range")]
    SequenceJump,
    /// Received before.
    #[error("a duplicate")]
    Duplicate,
    /// Too far behind to tell from a duplicate.
    #[error("too late")]
    TooLate,
    /// The source has said BYE.
    #[error("its source has left")]
    AfterBye,
    /// Our own packets come back (§8.2).
    #[error("a loop of our own packets")]
    Loop,
    /// The SSRC belongs to another address (§8.2).
    #[error("its SSRC is in use by another address")]
    Collision,
    /// The table of sources is full.
    #[error("too many sources")]
    TooManySources,
    /// The session is over.
    #[error("the session has ended")]
    Ended,
}

macro_rules! drop_counts {
    ($($(#[$doc:meta])* $field:ident = $pattern:pat),* $(,)?) => {
        /// Packets that were not taken, by reason.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct DropCounts { $($(#[$doc])* pub $field: u64,)* }

        impl DropCounts {
            pub(crate) fn count(&mut self, reason: &DropReason) {
                match reason { $($pattern => self.$field += 1,)* }
            }

            /// All of them together.
            pub fn total(&self) -> u64 {
                0 $(+ self.$field)*
            }
        }
    };
}

drop_counts! {
    /// [`DropReason::Malformed`].
    malformed = DropReason::Malformed(_),
    /// [`DropReason::MalformedRtcp`], and single bad packets inside good compounds.
    malformed_rtcp = DropReason::MalformedRtcp(_),
    /// [`DropReason::UnknownPayloadType`].
    unknown_payload_type = DropReason::UnknownPayloadType(_),
    /// [`DropReason::OtherMid`].
    other_mid = DropReason::OtherMid,
    /// [`DropReason::UnexpectedRtcp`].
    unexpected_rtcp = DropReason::UnexpectedRtcp,
    /// [`DropReason::ForeignAddress`].
    foreign_address = DropReason::ForeignAddress,
    /// [`DropReason::Unproven`].
    unproven = DropReason::Unproven,
    /// [`DropReason::Probation`].
    probation = DropReason::Probation,
    /// [`DropReason::SequenceJump`].
    sequence_jump = DropReason::SequenceJump,
    /// [`DropReason::Duplicate`].
    duplicate = DropReason::Duplicate,
    /// [`DropReason::TooLate`].
    too_late = DropReason::TooLate,
    /// [`DropReason::AfterBye`].
    after_bye = DropReason::AfterBye,
    /// [`DropReason::Loop`].
    looped = DropReason::Loop,
    /// [`DropReason::Collision`].
    collision = DropReason::Collision,
    /// [`DropReason::TooManySources`].
    too_many_sources = DropReason::TooManySources,
    /// [`DropReason::Ended`].
    ended = DropReason::Ended,
}

/// Figures of a whole session since its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// RTP packets sent.
    pub tx_packets: u64,
    /// Payload octets sent in RTP.
    pub tx_bytes: u64,
    /// RTP packets received from valid sources, duplicates and late ones not counted.
    pub rx_packets: u64,
    /// Payload octets in them.
    pub rx_bytes: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late to be used: beyond the misorder window, or told to
    /// [`Session::count_late`](super::Session::count_late) by playout.
    pub late: u64,
    /// Packets that came again.
    pub duplicated: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Interarrival jitter (A.8) of the source heard last, in ms, telephone events left out.
    pub jitter_ms: f64,
    /// Round-trip time from the peer's last report, in ms.
    pub rtt_ms: Option<f64>,
    /// Share of our packets that the peer has lost between its last two reports, 0 to 1.
    pub remote_fraction_lost: Option<f64>,
    /// Packets of ours that the peer has lost in all.
    pub remote_lost: Option<i32>,
    /// Jitter that the peer sees, in ms.
    pub remote_jitter_ms: Option<f64>,
    /// RTCP datagrams sent.
    pub rtcp_tx: u64,
    /// RTCP datagrams taken.
    pub rtcp_rx: u64,
    /// Times that media moved to a new address.
    pub remote_moves: u64,
    /// Times that our SSRC collided and changed.
    pub ssrc_changes: u64,
    /// Collisions and loops among others (§8.2).
    pub third_party_conflicts: u64,
    /// Events lost because nobody polled.
    pub events_dropped: u64,
    /// What was not taken.
    pub drops: DropCounts,
}

/// Figures of one source.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SourceStats {
    /// Who.
    pub ssrc: Ssrc,
    /// Where from, when RTP has been received.
    pub from: Option<SocketAddr>,
    /// Its CNAME, when told.
    pub cname: Option<String>,
    /// RTP from it is valid.
    pub valid: bool,
    /// Packets, duplicates not counted.
    pub packets: u64,
    /// Payload octets.
    pub bytes: u64,
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets beyond the misorder window.
    pub late: u64,
    /// Packets that came again.
    pub duplicated: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Interarrival jitter in ms, telephone events left out.
    pub jitter_ms: f64,
    /// The jitter of A.8 over all packets (RFC 4733 §2.5.2.2), in clock ticks, as reported.
    pub jitter_ticks: u32,
    /// Its last sender report.
    pub sender_info: Option<SenderInfo>,
}

/// What the peer has reported about our stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RemoteReport {
    /// Who reports.
    pub reporter: Ssrc,
    /// Share of packets lost since its last report, 0 to 1.
    pub fraction_lost: f64,
    /// Packets lost in all; negative when duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// Jitter in ms.
    pub jitter_ms: f64,
    /// Round-trip time in ms, when it answers a sender report of ours.
    pub rtt_ms: Option<f64>,
}

/// Why a source was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// It has said BYE, perhaps with a reason.
    Bye(Option<String>),
    /// Nothing was heard of it for too long.
    Timeout,
}

/// What the owner of a session should know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A source of RTP has become valid.
    SourceAdded {
        /// Who.
        ssrc: Ssrc,
        /// Where from.
        from: SocketAddr,
    },
    /// A source has told its CNAME.
    SourceNamed {
        /// Who.
        ssrc: Ssrc,
        /// The name.
        cname: String,
    },
    /// A source has made a jump in its sequence and was taken anew.
    SourceRestarted {
        /// Who.
        ssrc: Ssrc,
    },
    /// A participant is gone.
    SourceRemoved {
        /// Who.
        ssrc: Ssrc,
        /// Why.
        why: Removal,
    },
    /// Media goes elsewhere now, because a new source has proven itself.
    RemoteMoved {
        /// RTP or RTCP.
        component: super::Component,
        /// Where it went before.
        from: Option<SocketAddr>,
        /// Where it goes.
        to: SocketAddr,
    },
    /// Our SSRC was in use by another; ours has changed.
    SsrcChanged {
        /// The one given up.
        old: Ssrc,
        /// The one used now.
        new: Ssrc,
    },
    /// The peer has reported about our stream.
    Report(RemoteReport),
    /// An application-defined packet.
    App {
        /// Who sends it.
        ssrc: Ssrc,
        /// Five bits.
        subtype: u8,
        /// Four characters.
        name: [u8; 4],
        /// The rest.
        data: Vec<u8>,
    },
    /// Feedback about our stream.
    Feedback {
        /// The family.
        kind: FeedbackKind,
        /// The message type.
        format: u8,
        /// Who sends it.
        sender: Ssrc,
        /// The control information.
        control: Vec<u8>,
    },
    /// The session has left; nothing more will be sent.
    Ended,
}
