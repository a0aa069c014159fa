//! What can go wrong, and whose doing it was.

use std::fmt;

/// A description that cannot be read (RFC 8866). The line number counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A limit of [`Limits`](crate::Limits) is exceeded.
    #[error("description exceeds the limit {limit} of {allowed}")]
    Limit {
        /// The field of `Limits`.
        limit: &'static str,
        /// Its value.
        allowed: usize,
    },
    /// A type letter that RFC 8866 §5 does not define; a description with one must be ignored whole.
    #[error("line {line}: unknown type letter '{}'", char::from(*.letter).escape_default())]
    UnknownType {
        /// Where.
        line: usize,
        /// The first byte of the line.
        letter: u8,
    },
    /// A line that is not `<letter>=<value>`, or has a value its grammar does not allow.
    #[error("malformed description: {what}")]
    Malformed {
        /// What and where.
        what: String,
    },
    /// A line that must be there is missing.
    #[error("the {letter}= line is missing")]
    Missing {
        /// The type letter.
        letter: char,
    },
    /// A known attribute whose value its grammar does not allow.
    #[error("attribute {name}: {what}")]
    Attribute {
        /// Name of the attribute.
        name: &'static str,
        /// What is wrong.
        what: String,
    },
}

/// Why one `m=` line was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The offerer itself sent port 0: the stream is switched off (RFC 3264 §8.2).
    NotOffered,
    /// The answerer sent port 0.
    ByPeer,
    /// We have no (more) media of this kind, or it is switched off here.
    NoLocalMedia,
    /// The transport protocol of the `m=` line is not one of ours.
    Protocol,
    /// No format in common.
    NoCommonFormat,
    /// The peer's addresses are of a family that we have no address of (RFC 6157).
    AddressFamily,
    /// The peer's address is a multicast group, which this agent does not join (RFC 3264 §6.2).
    Multicast,
    /// DTLS is demanded here and the offer has no fingerprint, or a role that none can take.
    Dtls,
    /// RTP and RTCP on one port is all that one side takes, and the other does not (RFC 8858).
    RtcpMux,
    /// The stream goes only with others on one transport, and that was not to be (RFC 9143).
    Bundle,
    /// A data channel without an SCTP port (RFC 8841 §5).
    Sctp,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOffered => "switched off by the offerer",
            Self::ByPeer => "rejected by the peer",
            Self::NoLocalMedia => "no local media of this kind",
            Self::Protocol => "transport protocol not supported",
            Self::NoCommonFormat => "no codec in common",
            Self::AddressFamily => "no address of the peer's family",
            Self::Multicast => "multicast is not supported",
            Self::RtcpMux => "RTP and RTCP cannot agree on one port",
            Self::Bundle => "the stream cannot have a transport of its own",
            Self::Sctp => "data channels without an SCTP port",
            Self::Dtls => "no usable DTLS fingerprint or role",
        })
    }
}

/// Why an offer or answer could not be made or accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer's description cannot be read. A SIP agent answers 400 or 488.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Every active stream of the offer would have to be rejected. A SIP agent answers 488.
    #[error("nothing in common with the offer: {}", Reasons(.0))]
    NothingInCommon(Vec<Rejection>),
    /// An offer arrived, or is to be made, while our own is unanswered. A SIP agent answers 491
    /// (RFC 3261 §14.2).
    #[error("an offer of ours is still unanswered")]
    OfferPending,
    /// An answer arrived but there is no offer of ours to which it could belong.
    #[error("there is no unanswered offer")]
    NoOffer,
    /// The peer's description has fewer `m=` lines than the session (RFC 3264 §8), or its answer has
    /// not as many as the offer (§6).
    #[error("expected {expected} m= lines from the peer, got {found}")]
    MediaCount {
        /// Lines that there must (at least) be.
        expected: usize,
        /// Lines that there are.
        found: usize,
    },
    /// An answered `m=` line does not fit the offered one: other kind of media or transport.
    #[error("m= line {index} of the answer does not match the offer: {what}")]
    AnswerMismatch {
        /// The `m=` line, from 0.
        index: usize,
        /// What differs.
        what: &'static str,
    },
    /// An accepted `m=` line of the answer lists none of the offered formats (RFC 3264 §6.1).
    #[error("m= line {index} of the answer names no offered format")]
    AnswerFormats {
        /// The `m=` line, from 0.
        index: usize,
    },
    /// The encryption of an offer does not fit; the negotiator itself knows nothing of keys, but who
    /// wraps it does. A SIP agent answers 488.
    #[error("encryption: {0}")]
    Security(String),
    /// There is no ICE where nothing goes without it: the browser profile. A SIP agent answers 488.
    #[error("ICE: {0}")]
    Ice(crate::IceRefusal),
    /// A mandatory precondition of a type that is not known. A SIP agent answers 580 (RFC 3312 §9).
    #[error("precondition of unknown type {0}")]
    Precondition(String),
    /// Something in the [`LocalSession`](crate::LocalSession) cannot be written in a description.
    #[error("local {field} cannot be written: {what}")]
    Local {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Error {
    pub(crate) fn refused(why: Rejection) -> Self {
        Self::NothingInCommon(vec![why])
    }
}

struct Reasons<'a>(&'a [Rejection]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{r}")?;
        }
        Ok(())
    }
}
