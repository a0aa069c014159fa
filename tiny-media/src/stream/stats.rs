//! The figures of a stream at one moment.

use super::AudioStream;
use crate::quality::{self, CodecImpairment, Conditions};
use std::time::Duration;

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
    // The stream itself sees none of what follows: who decrypts for it fills it in.
    /// SRTP: packets whose authentication failed: forged, damaged, or under another key. A packet that
    /// is certainly not encrypted is counted in [`srtp_plain`](Self::srtp_plain) instead.
    pub srtp_auth_failed: u64,
    /// SRTP: packets in the clear where encryption was agreed, as far as that can be told: RTCP that
    /// is a whole compound packet, and RTP of a codec with a fixed rate (PCMU, PCMA, G.722, L16) or of
    /// telephone-events whose payload has just the length that it has in the clear. A plain packet of
    /// another codec looks like a forged one.
    pub srtp_plain: u64,
    /// SRTP: packets that were seen before.
    pub srtp_replayed: u64,
    /// SRTP: packets behind the replay window.
    pub srtp_too_old: u64,
    /// SRTP: packets that came before there were keys.
    pub srtp_early: u64,
    /// SRTP: what is neither RTP nor RTCP, nor anything else that belongs there.
    pub srtp_not_rtp: u64,
    /// SRTP: packets refused for another reason: malformed, under an unknown key identifier or an
    /// exhausted key, from too many sources, RTCP whose encryption is not what was agreed.
    pub srtp_rejected: u64,
    /// SRTP: packets of ours that were not sent because they could not be encrypted.
    pub srtp_unsent: u64,
    /// DTLS: handshakes of others than the peer that were refused.
    pub dtls_refused: u64,
    /// Data channels: their association; `None` where there has been none.
    pub data: Option<DataStats>,
}

/// The figures of the SCTP association that carries data channels (RFC 9260). With another handshake of
/// DTLS there is another association, whose counts begin at 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DataStats {
    /// Channels that are there.
    pub channels: usize,
    /// Messages of the application that were taken to be sent.
    pub messages_sent: u64,
    /// Messages that came whole.
    pub messages_received: u64,
    /// Bytes of the messages that were taken to be sent.
    pub bytes_sent: u64,
    /// Bytes of the messages that came whole.
    pub bytes_received: u64,
    /// SCTP packets sent.
    pub packets_sent: u64,
    /// SCTP packets received that belong to the association.
    pub packets_received: u64,
    /// Pieces of messages that were sent again.
    pub retransmitted: u64,
    /// Times that nothing was acknowledged for too long (T3-rtx, RFC 9260 §6.3.3).
    pub timeouts: u64,
    /// Messages that were given up as the reliability of their channel says.
    pub abandoned: u64,
    /// Pieces that came again.
    pub duplicates: u64,
    /// Packets that belong to no association, or are none.
    pub discarded: u64,
    /// What was beyond a limit of the settings, and was dropped or refused.
    pub over_limit: u64,
    /// Bytes that wait to be sent for the first time, of all channels.
    pub buffered: usize,
    /// Bytes on their way that are not acknowledged.
    pub in_flight: usize,
    /// Bytes that may be on their way: the congestion window (RFC 9260 §7.2).
    pub congestion_window: usize,
    /// Bytes that the peer takes beyond those on their way.
    pub peer_window: usize,
    /// The smoothed round trip in ms; `None` before the first measurement.
    pub rtt_ms: Option<f64>,
}

/// Delay beyond the network and the jitter buffer: one packet each for encoder and sink, roughly.
const REST_OF_PATH: Duration = Duration::from_millis(30);

/// Reads the figures of a stream.
pub(super) fn read(stream: &AudioStream) -> StreamStats {
    let rtp = stream.session.stats();
    let jitter = stream.receiver.buffer.stats();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let codec = stream.receiver.codec().map_or("", |c| c.codec.description().name);
    let one_way = Duration::from_secs_f64(rtp.rtt_ms.unwrap_or(0.0).max(0.0) / 2000.0);
    let rating = quality::rating(&Conditions {
        codec: CodecImpairment::of(codec),
        delay: one_way + jitter.delay + stream.config.ptime + REST_OF_PATH,
        loss: jitter.loss,
        burst_ratio: jitter.burst_ratio,
    });
    let drops = rtp.drops;
    // Those are counted elsewhere, or came to be taken after all.
    let known = drops.duplicate + drops.too_late + drops.unproven + drops.probation + drops.ended;
    StreamStats {
        tx_packets: rtp.tx_packets,
        rx_packets: rtp.rx_packets,
        tx_bytes: rtp.tx_bytes,
        rx_bytes: rtp.rx_bytes,
        lost: rtp.lost,
        late: rtp.late + jitter.late,
        duplicated: rtp.duplicated,
        reordered: rtp.reordered,
        concealed_ms: jitter.concealed.as_millis() as u64,
        jitter_ms: rtp.jitter_ms,
        buffer_ms: ms(jitter.delay),
        rtt_ms: rtp.rtt_ms,
        mos: if rtp.rx_packets == 0 { 1.0 } else { quality::mos(rating) },
        input_level_db: stream.sender.level.rms_db(),
        output_level_db: stream.receiver.level.rms_db(),
        remote_loss: rtp.remote_fraction_lost,
        remote_jitter_ms: rtp.remote_jitter_ms,
        rejected: drops.total() - known.min(drops.total()) + stream.refused,
        tx_skipped_ms: stream.sender.skipped.as_millis() as u64,
        rx_skipped_ms: stream.receiver.skipped.as_millis() as u64,
        encode_errors: stream.sender.errors,
        decode_errors: jitter.decode_errors,
        srtp_auth_failed: 0,
        srtp_plain: 0,
        srtp_replayed: 0,
        srtp_too_old: 0,
        srtp_early: 0,
        srtp_not_rtp: 0,
        srtp_rejected: 0,
        srtp_unsent: 0,
        dtls_refused: 0,
        data: None,
    }
}
