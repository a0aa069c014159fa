//! The client transaction of every request but INVITE and ACK: RFC 3261 §17.1.2.
//!
//! ```text
//!   Trying ──1xx──▶ Proceeding ──200-699──▶ Completed ──K──▶ Terminated
//!     │ E: repeat      │ E: repeat, every T2     ▲
//!     └── F: time-out ─┴── F: time-out           │
//!     └──200-699─────────────────────────────────┘
//! ```

use super::{Action, Actions, Timer, TimerSlot, Timers, linger};
use std::time::Duration;

/// The states of the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// Sent, nothing heard.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// A final response came; it may be repeated.
    Completed,
    /// Over.
    Terminated,
}

/// What may happen to a client transaction, of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientEvent {
    /// A 1xx response.
    Provisional,
    /// A 2xx response.
    Success,
    /// A 3xx–6xx response.
    Failure,
    /// A timer fired.
    Timer(Timer),
    /// The request could not be sent, or its connection is gone.
    TransportError,
}

impl ClientEvent {
    /// The event that a response of this status is.
    pub fn of_status(status: u16) -> Self {
        match status {
            0..=199 => Self::Provisional,
            200..=299 => Self::Success,
            _ => Self::Failure,
        }
    }
}

/// A client transaction that is not an INVITE's.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    state: ClientState,
    reliable: bool,
    interval: Duration,
}

impl Client {
    /// The machine and what to do first.
    pub fn new(reliable: bool, timers: &Timers) -> (Self, Actions) {
        let mut actions = Actions::new();
        actions.push(Action::Send);
        if !reliable {
            actions.push(Action::Set(Timer::E, timers.t1));
        }
        actions.push(Action::Set(Timer::F, timers.patience()));
        (Self { state: ClientState::Trying, reliable, interval: timers.t1 }, actions)
    }

    /// Where the machine stands.
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// One step of the figure. An event that the state has no arrow for does nothing.
    pub fn handle(&mut self, event: ClientEvent, timers: &Timers) -> Actions {
        use ClientEvent as E;
        use ClientState as S;
        let mut actions = Actions::new();
        self.state = match (self.state, event) {
            (S::Trying, E::Timer(Timer::E)) => {
                // "reset … to fire in MIN(2*T1, T2)" (§17.1.2.2)
                self.interval = (self.interval * 2).min(timers.t2);
                actions.extend([Action::Send, Action::Set(Timer::E, self.interval)]);
                S::Trying
            }
            (S::Proceeding, E::Timer(Timer::E)) => {
                actions.extend([Action::Send, Action::Set(Timer::E, timers.t2)]);
                S::Proceeding
            }
            (S::Trying | S::Proceeding, E::Timer(Timer::F)) => {
                actions.extend([Action::Timeout, Action::Terminate]);
                S::Terminated
            }
            (S::Trying | S::Proceeding, E::TransportError) => {
                actions.extend([Action::Failed, Action::Terminate]);
                S::Terminated
            }
            (S::Trying | S::Proceeding, E::Provisional) => {
                actions.push(Action::Deliver);
                S::Proceeding
            }
            (S::Trying | S::Proceeding, E::Success | E::Failure) => {
                actions.extend([Action::Stop(TimerSlot::Repeat), Action::Deliver]);
                match linger(&mut actions, Timer::K, timers.t4, self.reliable) {
                    true => S::Terminated,
                    false => S::Completed,
                }
            }
            (S::Completed, E::Timer(Timer::K)) => {
                actions.push(Action::Terminate);
                S::Terminated
            }
            (state, _) => state,
        };
        actions
    }
}
