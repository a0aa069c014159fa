//! When to send RTCP (RFC 3550 §6.2, §6.3, A.7): the calculated interval, timer reconsideration,
//! reverse reconsideration, BYE back-off.
//!
//! Knows counts and sizes only; who the members are and what is sent is the session's business.

use std::time::{Duration, Instant};
use tiny_sak::Rng;

/// The group as it is just now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) members: usize,
    pub(super) senders: usize,
    pub(super) we_sent: bool,
}

/// What the timer has decided at its expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Send now, then call [`Schedule::sent`].
    Send,
    /// The group has grown: wait until the new time.
    Wait,
}

#[derive(Debug)]
pub(super) struct Schedule {
    // Octets a second for senders and for the rest.
    sender_rate: f64,
    receiver_rate: f64,
    min_interval: f64,
    // The reduced minimum of §6.2 where it is used, else the same.
    send_minimum: f64,
    // tp, tn, pmembers, initial and avg_rtcp_size of §6.3.
    last: Instant,
    next: Instant,
    counted: usize,
    initial: bool,
    average: f64,
}

// §6.3.1 step 5: e - 3/2.
const COMPENSATION: f64 = std::f64::consts::E - 1.5;

impl Schedule {
    /// §6.3.2, with `first_size` the probable size of the first packet.
    pub(super) fn new(
        now: Instant,
        rates: (f64, f64),
        min_interval: Duration,
        reduced_minimum: Option<f64>,
        first_size: usize,
        rng: &mut Rng,
    ) -> Self {
        let min_interval = min_interval.as_secs_f64();
        let send_minimum = reduced_minimum.map_or(min_interval, |r| r.min(min_interval));
        let mut schedule = Self {
            sender_rate: rates.0.max(0.0) / 8.0,
            receiver_rate: rates.1.max(0.0) / 8.0,
            min_interval,
            send_minimum,
            last: now,
            next: now,
            counted: 1,
            initial: true,
            average: first_size as f64,
        };
        let alone = Group { members: 1, senders: 0, we_sent: false };
        schedule.next = now + schedule.random(alone, rng);
        schedule
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn is_off(&self) -> bool {
        self.sender_rate + self.receiver_rate <= 0.0
    }

    /// Whether this participant has any bandwidth for reports (§6.2: R may be zero).
    pub(super) fn may_send(&self, group: Group) -> bool {
        self.share(group).1 > 0.0
    }

    /// n and the bandwidth that it shares (§6.3.1 step 1).
    fn share(&self, group: Group) -> (usize, f64) {
        let total = self.sender_rate + self.receiver_rate;
        let fraction = if total > 0.0 { self.sender_rate / total } else { 0.25 };
        if group.senders as f64 <= group.members as f64 * fraction {
            match group.we_sent {
                true => (group.senders, self.sender_rate),
                false => (group.members.saturating_sub(group.senders), self.receiver_rate),
            }
        } else {
            (group.members, total)
        }
    }

    /// Td in seconds, over a given minimum.
    fn deterministic(&self, group: Group, minimum: f64) -> f64 {
        let (n, rate) = self.share(group);
        if rate <= 0.0 { minimum } else { minimum.max(self.average * n as f64 / rate) }
    }

    /// T of §6.3.1.
    fn random(&self, group: Group, rng: &mut Rng) -> Duration {
        let minimum = if self.initial { self.send_minimum / 2.0 } else { self.send_minimum };
        seconds(self.deterministic(group, minimum) * (rng.unit() + 0.5) / COMPENSATION)
    }

    /// Td by which participants are timed out: for a receiver, and never the reduced minimum
    /// (§6.3.5, §6.2).
    pub(super) fn timeout_interval(&self, group: Group) -> Duration {
        seconds(self.deterministic(Group { we_sent: false, ..group }, self.min_interval))
    }

    /// Td of this participant; senders are forgotten after two of them (§6.3.5, §6.3.8).
    pub(super) fn report_interval(&self, group: Group) -> Duration {
        seconds(self.deterministic(group, self.send_minimum))
    }

    /// §6.3.6: the timer has expired.
    pub(super) fn expired(&mut self, now: Instant, group: Group, rng: &mut Rng) -> Decision {
        let due = self.last + self.random(group, rng);
        self.counted = group.members;
        if due <= now {
            return Decision::Send;
        }
        self.next = due;
        Decision::Wait
    }

    /// §6.3.6: a packet of `size` octets, lower-layer headers included, was sent.
    pub(super) fn sent(&mut self, now: Instant, size: usize, group: Group, rng: &mut Rng) {
        self.heard(size);
        self.skipped(now, group, rng);
        self.initial = false;
    }

    /// A report was due but there was nobody to send it to.
    pub(super) fn skipped(&mut self, now: Instant, group: Group, rng: &mut Rng) {
        self.last = now;
        // A.7 redraws before `initial` is cleared; §6.3.6 only says "another value", and the text
        // wins: the second interval is a full one.
        let initial = std::mem::replace(&mut self.initial, false);
        self.next = now + self.random(group, rng);
        self.initial = initial;
    }

    /// §6.3.3: a packet of `size` octets was received.
    pub(super) fn heard(&mut self, size: usize) {
        self.average += (size as f64 - self.average) / 16.0;
    }

    /// §6.3.4 and §6.3.8: reverse reconsideration, when the group has shrunk.
    pub(super) fn reverse(&mut self, now: Instant, members: usize) {
        if members >= self.counted || self.counted == 0 {
            return;
        }
        let ratio = members as f64 / self.counted as f64;
        let ahead = self.next.saturating_duration_since(now);
        let behind = now.saturating_duration_since(self.last);
        self.next = now + ahead.mul_f64(ratio);
        self.last = now.checked_sub(behind.mul_f64(ratio)).unwrap_or(now);
        self.counted = members;
    }

    /// §6.3.7: leaving begins; `size` is that of the BYE packet.
    pub(super) fn leave(&mut self, now: Instant, size: usize, rng: &mut Rng) {
        self.last = now;
        self.counted = 1;
        self.initial = true;
        self.average = size as f64;
        let alone = Group { members: 1, senders: 0, we_sent: false };
        self.next = now + self.random(alone, rng);
    }
}

// A hostile or absurd configuration must not overflow an Instant.
fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s.clamp(0.0, 86_400.0))
}

#[cfg(test)]
mod tests;
