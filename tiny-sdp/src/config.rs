//! The knobs of this crate in one place: how much of a peer's description is read, and the few
//! choices that RFC 3264 leaves to an answerer.

/// Bounds on a received description. Whatever exceeds one of them is refused whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole description. Default 65,535: more does not fit a UDP datagram.
    pub max_bytes: usize,
    /// Bytes of one line. Default 8,192.
    pub max_line: usize,
    /// Lines. Default 2,048; a WebRTC offer with simulcast and many candidates has about 400.
    pub max_lines: usize,
    /// `m=` lines. Default 64.
    pub max_media: usize,
    /// Formats (payload types) on one `m=` line. Default 128: there are no more payload types.
    pub max_formats: usize,
    /// `a=candidate` lines of one `m=` section, or of one trickled fragment. Default 100; a browser
    /// with several interfaces and relays has about 30.
    pub max_candidates: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 65_535,
            max_line: 8_192,
            max_lines: 2_048,
            max_media: 64,
            max_formats: 128,
            max_candidates: 100,
        }
    }
}

/// In which order an answer lists the formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerOrder {
    /// As in the offer: RFC 3264 §6.1 recommends it.
    #[default]
    Offer,
    /// As in [`LocalMedia::codecs`](crate::LocalMedia::codecs): our preference overrides the peer's.
    Local,
}

/// Choices and limits of a [`Negotiator`](crate::Negotiator). Shared by all calls of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bounds on what a peer may send.
    pub limits: Limits,
    /// Whether an answer uses the offer's payload type for a dynamic format, so that both directions
    /// carry the same number (RFC 3264 §6.1 SHOULD). Default true. When false, or when the number is
    /// bound to something else already, the codec's own preferred number is used.
    pub mirror_payload_types: bool,
    /// Order of formats in an answer. Default: the offer's.
    pub answer_order: AnswerOrder,
    /// Whether an answer also lists our codecs that the offer did not have, which the peer may then
    /// send but we may not (RFC 3264 §6.1 MAY). Default false: few peers expect it.
    pub additional_formats: bool,
    /// Whether `a=sendrecv` is written although it is the default (RFC 8866 §6.7). Default false.
    pub explicit_sendrecv: bool,
    /// Whether media that is local `RTP/AVP` also answers an `RTP/AVPF` offer, `RTP/SAVP` an
    /// `RTP/SAVPF` one, and so on; no feedback message is promised then. Default true.
    pub accept_feedback_profile: bool,
    /// Whether a peer that writes no `a=tls-id` wants a new DTLS association when its address or ICE
    /// ufrag changes, as RFC 8842 §4 says. Default false: browsers keep theirs over an ICE restart.
    pub renew_dtls_on_move: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            mirror_payload_types: true,
            answer_order: AnswerOrder::Offer,
            additional_formats: false,
            explicit_sendrecv: false,
            accept_feedback_profile: true,
            renew_dtls_on_move: false,
        }
    }
}
