//! When a request is sent, again, and given up (RFC 8489 §6.2.1 over datagrams, §6.2.2 over
//! connections). It knows times only; the message and what becomes of it are the owner's.

use std::time::{Duration, Instant};

/// The times of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The wait before the first retransmission, which doubles at each. 500 ms (RFC 8489 §6.2.1);
    /// never less for ICE (RFC 8445 §14.3).
    pub rto: Duration,
    /// The longest wait between two sendings. RFC 8489 knows none and doubles on; where a few octets
    /// every other second harm nobody, loss is outlived sooner.
    pub cap: Option<Duration>,
    /// How often a request is sent in all: Rc, 7.
    pub sends: u32,
    /// How many first waits pass after the last sending: Rm, 16.
    pub patience: u32,
    /// How long an answer over a connection may take: Ti, 39.5 s.
    pub reliable: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            rto: Duration::from_millis(500),
            cap: None,
            sends: 7,
            patience: 16,
            reliable: Duration::from_millis(39_500),
        }
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send the request, for the first time or again.
    Send,
    /// No answer will come.
    GiveUp,
}

/// One request under way.
#[derive(Debug, Clone, Copy)]
pub struct Transaction {
    timing: Timing,
    reliable: bool,
    sent: u32,
    started: Instant,
    next: Instant,
}

impl Transaction {
    /// A request to be sent at once.
    pub fn new(now: Instant, timing: Timing, reliable: bool) -> Self {
        Self { timing, reliable, sent: 0, started: now, next: now }
    }

    /// When something is due.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// What is due at `now`; call until `None`.
    pub fn due(&mut self, now: Instant) -> Option<Step> {
        if now < self.next {
            return None;
        }
        let last = if self.reliable { 1 } else { self.timing.sends.max(1) };
        if self.sent >= last {
            return Some(Step::GiveUp);
        }
        self.sent += 1;
        let wait = if self.reliable {
            self.timing.reliable
        } else if self.sent == last {
            self.timing.rto * self.timing.patience
        } else {
            let doubled = self.timing.rto * (1 << (self.sent - 1).min(16));
            self.timing.cap.map_or(doubled, |cap| doubled.min(cap))
        };
        // From now, not from the deadline: a late timer must not send a burst.
        self.next = now + wait;
        Some(Step::Send)
    }

    /// How often it has been sent.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// The round trip of an answer at `now`; `None` after a retransmission, which could be what
    /// was answered (Karn's rule).
    pub fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.sent == 1).then(|| now.saturating_duration_since(self.started))
    }
}
