//! The INVITE client transaction: RFC 3261 §17.1.1 with the Accepted state of RFC 6026 §7.2.
//!
//! ```text
//!   Calling ──1xx──▶ Proceeding ──2xx──▶ Accepted ──M──▶ Terminated
//!      │ A: repeat      │ 300-699            ▲ 2xx: to the user
//!      │ B: time-out    ▼                    │
//!      ├──300-699──▶ Completed ──D──▶ Terminated
//!      └──2xx──────────────────────────▶ Accepted
//! ```

use super::{Action, Actions, ClientEvent, Timer, TimerSlot, Timers, linger};
use std::time::Duration;

/// The states of the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InviteClientState {
    /// Sent, nothing heard.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A 2xx came; more of them may, from other branches of a fork.
    Accepted,
    /// A 3xx–6xx came and was acknowledged; it may be repeated.
    Completed,
    /// Over.
    Terminated,
}

/// An INVITE client transaction.
#[derive(Debug, Clone, Copy)]
pub struct InviteClient {
    state: InviteClientState,
    reliable: bool,
    interval: Duration,
}

impl InviteClient {
    /// The machine and what to do first.
    pub fn new(reliable: bool, timers: &Timers) -> (Self, Actions) {
        let mut actions = Actions::new();
        actions.push(Action::Send);
        if !reliable {
            actions.push(Action::Set(Timer::A, timers.t1));
        }
        actions.push(Action::Set(Timer::B, timers.patience()));
        (Self { state: InviteClientState::Calling, reliable, interval: timers.t1 }, actions)
    }

    /// Where the machine stands.
    pub fn state(&self) -> InviteClientState {
        self.state
    }

    /// One step of the figure. An event that the state has no arrow for does nothing.
    pub fn handle(&mut self, event: ClientEvent, timers: &Timers) -> Actions {
        use ClientEvent as E;
        use InviteClientState as S;
        let mut actions = Actions::new();
        self.state = match (self.state, event) {
            (S::Calling, E::Timer(Timer::A)) => {
                // "it MUST be reset to fire in 2*T1, then 4*T1 …" (§17.1.1.2)
                self.interval *= 2;
                actions.extend([Action::Send, Action::Set(Timer::A, self.interval)]);
                S::Calling
            }
            (S::Calling, E::Timer(Timer::B)) => {
                actions.extend([Action::Timeout, Action::Terminate]);
                S::Terminated
            }
            (S::Calling, E::Provisional) => {
                actions.extend([
                    Action::Stop(TimerSlot::Repeat),
                    Action::Stop(TimerSlot::State),
                    Action::Deliver,
                ]);
                S::Proceeding
            }
            (S::Proceeding, E::Provisional) => {
                actions.push(Action::Deliver);
                S::Proceeding
            }
            (S::Calling | S::Proceeding, E::Success) => {
                actions.extend([
                    Action::Stop(TimerSlot::Repeat),
                    Action::Set(Timer::M, timers.patience()),
                    Action::Deliver,
                ]);
                S::Accepted
            }
            (S::Calling | S::Proceeding, E::Failure) => {
                actions.extend([Action::Stop(TimerSlot::Repeat), Action::SendAck, Action::Deliver]);
                match linger(&mut actions, Timer::D, timers.d, self.reliable) {
                    true => S::Terminated,
                    false => S::Completed,
                }
            }
            (S::Accepted, E::Success) => {
                actions.push(Action::Deliver);
                S::Accepted
            }
            (S::Completed, E::Failure) => {
                // A repeated final response is acknowledged again, but not delivered.
                actions.push(Action::SendAck);
                S::Completed
            }
            (S::Accepted, E::Timer(Timer::M)) | (S::Completed, E::Timer(Timer::D)) => {
                actions.push(Action::Terminate);
                S::Terminated
            }
            (S::Calling | S::Proceeding | S::Completed, E::TransportError) => {
                if self.state != S::Completed {
                    actions.push(Action::Failed);
                }
                actions.push(Action::Terminate);
                S::Terminated
            }
            (state, _) => state,
        };
        actions
    }
}
