//! The figures of a stream at one moment.

/// Counts since the stream began, and readings of now. The fields are those of the softphone's
/// `media` and `ended` events.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StreamStats {
    /// RTP packets sent.
    pub tx_packets: u64,
    /// RTP packets received that belong to the stream.
    pub rx_packets: u64,
    /// Payload octets sent (RFC 3550 §6.4.1: without headers).
    pub tx_bytes: u64,
    /// Payload octets received.
    pub rx_bytes: u64,
    /// Packets that never arrived (RFC 3550 §6.4.1: expected less received).
    pub lost: u64,
    /// Packets that came after their time to play.
    pub late: u64,
    /// Packets that came again.
    pub duplicated: u64,
    /// Packets that came after one with a higher sequence number.
    pub reordered: u64,
    /// Sound that was made up for packets missing at their time to play, in ms.
    pub concealed_ms: u64,
    /// Inter-arrival jitter in ms (RFC 3550 §6.4.1, A.8).
    pub jitter_ms: f64,
    /// How long a packet waits in the jitter buffer on average, in ms.
    pub buffer_ms: f64,
    /// Round trip by RTCP, in ms; `None` before the first report that tells.
    pub rtt_ms: Option<f64>,
    /// Estimated quality of what we hear, 1.0 to 4.5 (see [`crate::quality`]).
    pub mos: f64,
    /// What is captured: RMS level in dBFS.
    pub input_level_db: f64,
    /// What is heard: RMS level in dBFS.
    pub output_level_db: f64,
    /// The peer's view: share of our packets that it lost, 0.0 to 1.0, from its last report.
    pub remote_loss: Option<f64>,
    /// The peer's view: jitter in ms, from its last report.
    pub remote_jitter_ms: Option<f64>,
    /// Packets that were no part of the stream: malformed, unknown payload type, wrong source.
    pub rejected: u64,
    /// Sending time skipped because the owner was late, in ms.
    pub tx_skipped_ms: u64,
    /// Playing time skipped because the owner was late, in ms.
    pub rx_skipped_ms: u64,
    /// Blocks that the encoder refused or that did not fit a packet.
    pub encode_errors: u64,
    /// Payloads that the decoder refused.
    pub decode_errors: u64,
}
