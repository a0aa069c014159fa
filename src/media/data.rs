//! Data channels of a call (RFC 8831), as its descriptions agree on them (RFC 8841, RFC 8864). The
//! SCTP association runs in the DTLS of the stream that they share a transport with.
#![cfg_attr(not(feature = "dtls"), allow(dead_code))]

use tiny_sdp::DataChannel;

/// What offer and answer say of the SCTP association. It lives as long as the DTLS association that
/// carries it (RFC 8841 §9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataAgreement {
    /// Our SCTP port.
    pub(crate) local_port: u16,
    /// The peer's SCTP port.
    pub(crate) remote_port: u16,
    /// The largest message that we said we take in bytes; 0: any.
    pub(crate) local_max_message_size: u64,
    /// The largest message that the peer takes in bytes; 0: any.
    pub(crate) remote_max_message_size: u64,
    /// Channels that the descriptions set up, without DCEP (RFC 8864).
    pub(crate) channels: Vec<DataChannel>,
    /// The streams of those that we have set up.
    pub(crate) ours: Vec<u16>,
}

/// What the channels of a stream have to say to descriptions.
#[derive(Debug)]
pub(crate) enum DataWord {
    /// The next offer is to set up this one.
    Describe(Box<DataChannel>),
    /// One that was set up is closed.
    Gone(u16),
}
