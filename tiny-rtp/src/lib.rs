//! RTP and RTCP for tiny-ua, without I/O.
//!
//! - [`RtpPacket`], [`RtpHeader`]: a zero-copy view of a packet, and its writer (RFC 3550, 8285).
//! - [`rtcp`]: compound and reduced-size control packets (RFC 3550, 5506, 4585).
//! - [`Session`]: one m-line: sends, validates, reports, counts (RFC 3550, 3551, 5761).
//! - [`SymmetricRtp`]: where media goes when the peer is behind a NAT (RFC 4961), with proof.
//! - [`EventSender`], [`EventReceiver`]: DTMF as telephone events (RFC 4733).
//! - [`PacketKind`]: what shares one socket (RFC 5761, RFC 7983).
//! - [`srtp`]: secure RTP and RTCP, and their keys in SDP (RFC 3711, 4568, 6188, 7714).
//! - [`NtpClock`]: the wall clock as an argument.
//!
//! No socket, no thread, no clock, no randomness of its own: `now` and an [`Rng`](tiny_sak::Rng)
//! come in as arguments.

mod build;
mod demux;
mod event;
mod ntp;
mod packet;
mod profile;
pub mod rtcp;
mod session;
pub mod srtp;
mod symmetric;
mod types;

pub use build::{BuildError, RtpHeader};
pub use demux::PacketKind;
pub use event::{
    EventPacket, EventPayload, EventReceiver, EventReceiverConfig, EventSender, EventSenderConfig,
    EventSet, QueueError, TelephoneEvent, ToneEvent,
};
pub use ntp::{NtpClock, NtpTime};
pub use packet::{Extension, Extensions, RTP_HEADER_LEN, RtpError, RtpPacket};
pub use profile::{StaticPayload, static_payload};
pub use session::{
    Component, DropCounts, DropReason, Event, Held, Input, Media, MidExtension, Received, Remote,
    RemoteReport, Removal, RtcpBandwidth, SendError, Session, SessionConfig, SourceStats, Stats,
    Transmit, WirePayload,
};
pub use symmetric::{SourcePolicy, SymmetricConfig, SymmetricRtp, Verdict};
pub use types::{PayloadType, RtpTimestamp, SequenceNumber, Ssrc};
