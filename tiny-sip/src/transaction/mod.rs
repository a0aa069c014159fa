//! The four transaction machines (RFC 3261 §17, corrected by RFC 6026), one per file, in the shape
//! of the RFC's figures.
//!
//! A machine is a pure function of (state, event): it answers with a short list of [`Action`]s and
//! never sees a message, a socket, a clock or a timer queue. Its owner (the endpoint) keeps the
//! bytes and the deadlines.

mod client;
mod invite_client;
mod invite_server;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientEvent, ClientState};
pub use invite_client::{InviteClient, InviteClientState};
pub use invite_server::{InviteServer, InviteServerState};
pub use server::{Server, ServerEvent, ServerState};

use smallvec::SmallVec;
use std::time::Duration;

/// The base values that all timers derive from (RFC 3261 Table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate: 500 ms (§17.1.1.1).
    pub t1: Duration,
    /// Longest retransmission interval of a non-INVITE request and of an INVITE response: 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network: 5 s.
    pub t4: Duration,
    /// Timer D on unreliable transports: at least 32 s (§17.1.1.2).
    pub d: Duration,
    /// When an unanswered INVITE gets its 100 Trying: 200 ms (§17.2.1).
    pub trying: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            d: Duration::from_secs(32),
            trying: Duration::from_millis(200),
        }
    }
}

impl Timers {
    /// 64*T1: the patience of every transaction (Timers B, F, H, J, L and M).
    pub fn patience(&self) -> Duration {
        self.t1 * 64
    }
}

/// The timers of the four machines by their names in the RFC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// INVITE request retransmission.
    A,
    /// INVITE client patience.
    B,
    /// Wait for repeated final responses to an INVITE.
    D,
    /// Request retransmission, not INVITE.
    E,
    /// Client patience, not INVITE.
    F,
    /// INVITE response retransmission.
    G,
    /// Wait for the ACK.
    H,
    /// Wait for repeated ACKs.
    I,
    /// Wait for repeated requests, not INVITE.
    J,
    /// Wait for repeated responses, not INVITE.
    K,
    /// Wait for INVITEs and 2xx responses of an accepted INVITE, server (RFC 6026).
    L,
    /// Wait for more 2xx responses to an accepted INVITE, client (RFC 6026).
    M,
    /// The 200 ms after which a 100 Trying is due (§17.2.1).
    Trying,
}

/// A transaction never has more than two timers running: one that repeats a message, and one that
/// ends a state. Setting a timer replaces the other timer of its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimerSlot {
    /// Timers A, E, G, and the 100 Trying.
    Repeat,
    /// All others.
    State,
}

impl Timer {
    /// Which of the two slots the timer lives in.
    pub fn slot(self) -> TimerSlot {
        match self {
            Self::A | Self::E | Self::G | Self::Trying => TimerSlot::Repeat,
            _ => TimerSlot::State,
        }
    }
}

/// What a machine asks of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the message of this transaction: a client its request, a server its latest response.
    Send,
    /// INVITE client: send the ACK of a 3xx–6xx (§17.1.1.3).
    SendAck,
    /// INVITE server: make and send 100 Trying.
    SendTrying,
    /// Hand the message at hand to the transaction user.
    Deliver,
    /// Set a timer, replacing the one in its slot.
    Set(Timer, Duration),
    /// Stop the timer in a slot.
    Stop(TimerSlot),
    /// Tell the transaction user that nobody answered (408; for a server: that no ACK came).
    Timeout,
    /// Tell the transaction user that the transport failed (503).
    Failed,
    /// The transaction is over: both timers stop, and it is forgotten.
    Terminate,
}

/// The actions of one event, in the order in which they must be done.
pub type Actions = SmallVec<[Action; 5]>;

/// How a machine names a timer that runs for "zero seconds" on reliable transports: the state is
/// left at once.
fn linger(actions: &mut Actions, timer: Timer, time: Duration, reliable: bool) -> bool {
    if reliable {
        actions.push(Action::Terminate);
    } else {
        actions.push(Action::Set(timer, time));
    }
    reliable
}
