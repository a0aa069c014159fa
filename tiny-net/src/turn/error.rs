//! Why there is no relay, named so that the culprit is clear.

use crate::stun::ChallengeError;
use std::io::ErrorKind;

/// Why an allocation failed or was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No server is configured that could be tried.
    #[error("no TURN server to try")]
    NoServer,
    /// The server did not answer in time.
    #[error("the TURN server does not answer")]
    Timeout,
    /// The server cannot be reached.
    #[error("the TURN server cannot be reached: {0}")]
    Unreachable(ErrorKind),
    /// The connection to the server ended.
    #[error("the connection to the TURN server ended")]
    Closed,
    /// Wrong user or password (401, 441).
    #[error("the TURN server does not accept the user or the password")]
    Credentials,
    /// The challenge cannot be answered.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// Every answer was challenged again.
    #[error("the TURN server challenges without end")]
    Challenges,
    /// All responses had a wrong integrity or none: somebody in between, or a server that lies.
    #[error("the responses of the TURN server are not authentic")]
    Integrity,
    /// The user has too many allocations (486).
    #[error("the TURN server's quota for this user is used up")]
    Quota,
    /// The server has no relayed address left (508).
    #[error("the TURN server has no capacity left")]
    Capacity,
    /// The server relays no addresses of this family (440).
    #[error("the TURN server does not relay this address family")]
    Family,
    /// The server does not relay UDP (442).
    #[error("the TURN server does not relay UDP")]
    Transport,
    /// The server knows another allocation of our address, or none (437).
    #[error("the TURN server and we disagree about the allocation")]
    Mismatch,
    /// The server sent us from one to the next without end, or to a place where we must not go.
    #[error("the TURN server's alternate cannot be used")]
    Redirects,
    /// The server answered nonsense: an address that can be no relay, no lifetime.
    #[error("the TURN server's answer makes no sense: {0}")]
    Nonsense(&'static str),
    /// Another error response.
    #[error("the TURN server refused: {code} {reason}")]
    Refused {
        /// Its code.
        code: u16,
        /// Its phrase, shortened.
        reason: String,
    },
}

/// Why data could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no allocation now.
    #[error("there is no allocation")]
    NoAllocation,
    /// The relay's family is not the peer's.
    #[error("the relay has no address of the peer's family")]
    Family,
    /// The server refused a permission for this peer.
    #[error("the TURN server refuses to relay to this peer")]
    Refused,
    /// All permissions are in use: see [`Config::max_permissions`](super::Config).
    #[error("too many peers at one relay")]
    TooManyPeers,
    /// Longer than a datagram can be.
    #[error("too long for a relayed datagram")]
    TooLong,
}
