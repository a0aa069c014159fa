//! The server transaction of every request but INVITE and ACK: RFC 3261 §17.2.2.
//!
//! ```text
//!   Trying ──1xx──▶ Proceeding ──200-699──▶ Completed ──J──▶ Terminated
//!     │ request: absorbed  │ request: repeat 1xx  ▲ request: repeat the response
//!     └──200-699───────────────────────────────────┘
//! ```

use super::{Action, Actions, Timer, Timers, linger};

/// The states of the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// The user has not responded.
    Trying,
    /// The user gave a provisional response.
    Proceeding,
    /// The user gave its final response; the request may be repeated.
    Completed,
    /// Over.
    Terminated,
}

/// What may happen to a server transaction, of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerEvent {
    /// The request was received again.
    Request,
    /// An ACK was received (INVITE only).
    Ack,
    /// The user gives a 1xx.
    Provisional,
    /// The user gives a 2xx.
    Success,
    /// The user gives a 3xx–6xx.
    Failure,
    /// A timer fired.
    Timer(Timer),
    /// The response could not be sent.
    TransportError,
}

impl ServerEvent {
    /// The event that a response of this status is.
    pub fn of_status(status: u16) -> Self {
        match status {
            0..=199 => Self::Provisional,
            200..=299 => Self::Success,
            _ => Self::Failure,
        }
    }
}

/// A server transaction that is not an INVITE's.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    state: ServerState,
    reliable: bool,
}

impl Server {
    /// The machine; nothing is to be done first, as the request itself is the user's.
    pub fn new(reliable: bool) -> Self {
        Self { state: ServerState::Trying, reliable }
    }

    /// Where the machine stands.
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// One step of the figure. An event that the state has no arrow for does nothing.
    pub fn handle(&mut self, event: ServerEvent, timers: &Timers) -> Actions {
        use ServerEvent as E;
        use ServerState as S;
        let mut actions = Actions::new();
        self.state = match (self.state, event) {
            // "Once in the Trying state, any further request retransmissions are discarded."
            (S::Trying, E::Request) => S::Trying,
            (S::Trying | S::Proceeding, E::Provisional) => {
                actions.push(Action::Send);
                S::Proceeding
            }
            (S::Proceeding | S::Completed, E::Request) => {
                actions.push(Action::Send);
                self.state
            }
            (S::Trying | S::Proceeding, E::Success | E::Failure) => {
                actions.push(Action::Send);
                match linger(&mut actions, Timer::J, timers.patience(), self.reliable) {
                    true => S::Terminated,
                    false => S::Completed,
                }
            }
            (S::Completed, E::Timer(Timer::J)) => {
                actions.push(Action::Terminate);
                S::Terminated
            }
            // RFC 6026 §8.8: the user is told, the state stays.
            (S::Proceeding | S::Completed, E::TransportError) => {
                actions.push(Action::Failed);
                self.state
            }
            (state, _) => state,
        };
        actions
    }
}
