//! The INVITE server transaction: RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §7.1.
//!
//! ```text
//!   Proceeding ──2xx──▶ Accepted ──L──▶ Terminated
//!      │ INVITE: repeat 1xx    ▲ INVITE: absorbed; ACK: to the user; 2xx of the user: sent
//!      │ 300-699
//!      ▼
//!   Completed ──ACK──▶ Confirmed ──I──▶ Terminated
//!      │ G, INVITE: repeat the response
//!      └── H: no ACK ──▶ Terminated
//! ```

use super::{Action, Actions, ServerEvent, Timer, TimerSlot, Timers, linger};
use std::time::Duration;

/// The states of the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InviteServerState {
    /// The user has not given a final response.
    Proceeding,
    /// The user gave a 2xx, and repeats it itself until the ACK comes.
    Accepted,
    /// The user gave a 3xx–6xx, repeated here until the ACK comes.
    Completed,
    /// The ACK came; it may be repeated.
    Confirmed,
    /// Over.
    Terminated,
}

/// An INVITE server transaction.
#[derive(Debug, Clone, Copy)]
pub struct InviteServer {
    state: InviteServerState,
    reliable: bool,
    responded: bool,
    interval: Duration,
}

impl InviteServer {
    /// The machine and what to do first; the INVITE itself is the user's from the start.
    pub fn new(reliable: bool, timers: &Timers) -> (Self, Actions) {
        let mut actions = Actions::new();
        actions.push(Action::Set(Timer::Trying, timers.trying));
        let state = InviteServerState::Proceeding;
        (Self { state, reliable, responded: false, interval: timers.t1 }, actions)
    }

    /// Where the machine stands.
    pub fn state(&self) -> InviteServerState {
        self.state
    }

    /// One step of the figure. An event that the state has no arrow for does nothing.
    pub fn handle(&mut self, event: ServerEvent, timers: &Timers) -> Actions {
        use InviteServerState as S;
        use ServerEvent as E;
        let mut actions = Actions::new();
        self.state = match (self.state, event) {
            (S::Proceeding, E::Timer(Timer::Trying)) => {
                // "MUST generate a 100 (Trying) response unless it knows that the TU will
                // generate a provisional or final response within 200 ms" (§17.2.1)
                if !self.responded {
                    self.responded = true;
                    actions.push(Action::SendTrying);
                }
                S::Proceeding
            }
            (S::Proceeding, E::Request) => {
                if self.responded {
                    actions.push(Action::Send);
                }
                S::Proceeding
            }
            (S::Proceeding, E::Provisional) => {
                self.responded = true;
                actions.extend([Action::Stop(TimerSlot::Repeat), Action::Send]);
                S::Proceeding
            }
            (S::Proceeding, E::Success) => {
                actions.extend([
                    Action::Stop(TimerSlot::Repeat),
                    Action::Send,
                    Action::Set(Timer::L, timers.patience()),
                ]);
                S::Accepted
            }
            (S::Proceeding, E::Failure) => {
                actions.push(Action::Send);
                actions.push(match self.reliable {
                    true => Action::Stop(TimerSlot::Repeat),
                    false => Action::Set(Timer::G, self.interval),
                });
                actions.push(Action::Set(Timer::H, timers.patience()));
                S::Completed
            }
            (S::Accepted, E::Success) => {
                actions.push(Action::Send);
                S::Accepted
            }
            (S::Accepted, E::Ack) => {
                actions.push(Action::Deliver);
                S::Accepted
            }
            (S::Accepted, E::Timer(Timer::L)) => {
                actions.push(Action::Terminate);
                S::Terminated
            }
            (S::Completed, E::Request) => {
                actions.push(Action::Send);
                S::Completed
            }
            (S::Completed, E::Timer(Timer::G)) => {
                self.interval = (self.interval * 2).min(timers.t2);
                actions.extend([Action::Send, Action::Set(Timer::G, self.interval)]);
                S::Completed
            }
            (S::Completed, E::Timer(Timer::H)) => {
                actions.extend([Action::Timeout, Action::Terminate]);
                S::Terminated
            }
            (S::Completed, E::Ack) => {
                actions.push(Action::Stop(TimerSlot::Repeat));
                match linger(&mut actions, Timer::I, timers.t4, self.reliable) {
                    true => S::Terminated,
                    false => S::Confirmed,
                }
            }
            (S::Confirmed, E::Timer(Timer::I)) => {
                actions.push(Action::Terminate);
                S::Terminated
            }
            // "SHOULD inform the TU that a failure has occurred, and MUST remain in the current
            // state" (RFC 6026 §8.8)
            (S::Proceeding | S::Accepted | S::Completed, E::TransportError) => {
                actions.push(Action::Failed);
                self.state
            }
            (state, _) => state,
        };
        actions
    }
}
