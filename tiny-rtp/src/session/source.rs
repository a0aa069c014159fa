//! What is known of one participant: sequence validation (RFC 3550 A.1), loss (A.3), jitter (A.8),
//! its clock from sender reports (§6.4.1).
//!
//! Fixed size but for the CNAME, which is bounded by its length octet.

use super::config::SessionConfig;
use super::stats::Stats;
use crate::ntp::to_short;
use crate::rtcp::{ReportBlock, SenderInfo};
use crate::{RtpTimestamp, SequenceNumber, Ssrc};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Source {
    pub(super) ssrc: Ssrc,
    // §8.2 keeps one address for data and one for control.
    pub(super) rtp_from: Option<SocketAddr>,
    pub(super) rtcp_from: Option<SocketAddr>,
    pub(super) last_heard: Instant,
    pub(super) last_rtp: Option<Instant>,
    /// Counted as a member (§6.2.1): RTP is valid, or a CNAME or a second RTCP packet came, or it
    /// contributes to a valid packet.
    pub(super) member: bool,
    pub(super) sender: bool,
    pub(super) control_packets: u8,
    pub(super) left: Option<Instant>,
    pub(super) cname: Option<Box<str>>,
    pub(super) sender_info: Option<(SenderInfo, Instant)>,
    pub(super) stream: Option<Stream>,
    probation: Option<Probation>,
}

#[derive(Debug, Clone, Copy)]
struct Probation {
    last: SequenceNumber,
    run: u16,
}

/// The verdict on a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Not valid yet; `first` when a new run begins here.
    Probation { first: bool },
    /// The source has become valid.
    Validated(u64),
    /// Taken, with its extended sequence number.
    InOrder(u64),
    /// Taken, behind a later one.
    Reordered(u64),
    /// The source has begun a new sequence; its statistics begin anew too.
    Restarted(u64),
    /// Came before.
    Duplicate,
    /// Too far behind.
    TooLate,
    /// Out of range, once.
    Jump,
}

impl Source {
    pub(super) fn new(now: Instant, ssrc: Ssrc) -> Self {
        Self {
            ssrc,
            rtp_from: None,
            rtcp_from: None,
            last_heard: now,
            last_rtp: None,
            member: false,
            sender: false,
            control_packets: 0,
            left: None,
            cname: None,
            sender_info: None,
            stream: None,
            probation: None,
        }
    }

    /// A.1 `update_seq`. With `proven`, the source's address has proven itself with a run already.
    pub(super) fn sequence(
        &mut self,
        sequence: SequenceNumber,
        proven: Option<u16>,
        config: &SessionConfig,
    ) -> Step {
        if let Some(stream) = &mut self.stream {
            return stream.sequence(sequence, config);
        }
        let run = match (proven, self.probation) {
            (Some(run), _) => run,
            (None, Some(p)) if sequence == p.last.next() => p.run.saturating_add(1),
            (None, _) => 1,
        };
        if proven.is_none() && run < config.min_sequential {
            self.probation = Some(Probation { last: sequence, run });
            return Step::Probation { first: run == 1 };
        }
        self.probation = None;
        let stream = self.stream.insert(Stream::new(sequence, run));
        Step::Validated(stream.highest)
    }

    /// The source's wall-clock time at a timestamp, by its last sender report.
    pub(super) fn ntp_at(&self, timestamp: RtpTimestamp, rate: u32) -> Option<crate::NtpTime> {
        let (info, _) = self.sender_info?;
        let ticks = timestamp.since(info.rtp);
        let span =
            Duration::from_secs_f64(f64::from(ticks.unsigned_abs()) / f64::from(rate.max(1)));
        Some(if ticks < 0 { info.ntp.before(span) } else { info.ntp.after(span) })
    }

    /// A block for the next report (§6.4.1); `None` when nothing came since the last one.
    pub(super) fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let (last_sr, delay) = match self.sender_info {
            Some((info, at)) => (info.ntp.middle(), to_short(now.saturating_duration_since(at))),
            None => (0, 0),
        };
        let stream = self.stream.as_mut()?;
        if !std::mem::take(&mut stream.heard_since_report) {
            return None;
        }
        let (expected, received) = (stream.expected(), stream.received);
        let lost = expected as i64 - received as i64;
        let expected_interval = expected - stream.expected_prior;
        let lost_interval = expected_interval as i64 - (received - stream.received_prior) as i64;
        stream.expected_prior = expected;
        stream.received_prior = received;
        let fraction_lost = if expected_interval == 0 || lost_interval <= 0 {
            0
        } else {
            // All of them lost gives 256: the field holds 255 at most.
            ((lost_interval << 8) as u64 / expected_interval).min(255) as u8
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: (stream.highest - FIRST_CYCLE) as u32,
            jitter: stream.jitter as u32,
            last_sr,
            delay_since_last_sr: delay,
        })
    }
}

// Extended sequence numbers begin one cycle up, so that packets behind the first one do not
// underflow.
const FIRST_CYCLE: u64 = 1 << 16;

/// The state of a valid RTP stream.
#[derive(Debug)]
pub(super) struct Stream {
    base: u64,
    pub(super) highest: u64,
    // Bit n: the packet n behind the highest has come.
    window: u128,
    bad: Option<SequenceNumber>,
    // A.3 counts every copy; people want to know distinct packets.
    pub(super) received: u64,
    pub(super) distinct: u64,
    pub(super) bytes: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) late: u64,
    expected_prior: u64,
    received_prior: u64,
    pub(super) heard_since_report: bool,
    transit: Option<u32>,
    media_transit: Option<u32>,
    pub(super) clock_rate: u32,
    // A.8, over all packets and without telephone events.
    pub(super) jitter: f64,
    pub(super) media_jitter: f64,
}

impl Stream {
    fn new(sequence: SequenceNumber, run: u16) -> Self {
        let highest = FIRST_CYCLE + u64::from(sequence.0);
        let run = run.max(1);
        Self {
            base: highest + 1 - u64::from(run),
            highest,
            window: ones(run),
            bad: None,
            received: u64::from(run),
            distinct: u64::from(run),
            bytes: 0,
            duplicated: 0,
            reordered: 0,
            late: 0,
            expected_prior: 0,
            received_prior: 0,
            heard_since_report: true,
            transit: None,
            media_transit: None,
            clock_rate: 0,
            jitter: 0.0,
            media_jitter: 0.0,
        }
    }

    fn sequence(&mut self, sequence: SequenceNumber, config: &SessionConfig) -> Step {
        let ahead = sequence.0.wrapping_sub(self.highest as u16);
        let misorder = config.max_misorder.min(127);
        if ahead != 0 && ahead < config.max_dropout.max(1) {
            self.highest += u64::from(ahead);
            self.window = if ahead < 128 { self.window << ahead | 1 } else { 1 };
            self.bad = None;
            self.count();
            return Step::InOrder(self.highest);
        }
        let behind = ahead.wrapping_neg();
        if behind <= misorder {
            let bit = 1u128 << behind;
            self.received += 1;
            self.heard_since_report = true;
            if self.window & bit != 0 {
                self.duplicated += 1;
                return Step::Duplicate;
            }
            let extended = self.highest - u64::from(behind);
            self.window |= bit;
            self.distinct += 1;
            self.reordered += 1;
            return Step::Reordered(extended);
        }
        // A.1: two in sequence beyond the range mean a restart.
        if self.bad == Some(sequence) {
            *self = Self::new(sequence, 1);
            return Step::Restarted(self.highest);
        }
        self.bad = Some(sequence.next());
        if behind < 0x8000 && behind <= config.max_dropout {
            self.late += 1;
            return Step::TooLate;
        }
        Step::Jump
    }

    fn count(&mut self) {
        self.received += 1;
        self.distinct += 1;
        self.heard_since_report = true;
    }

    /// The figures that outlive the stream.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            packets: self.distinct,
            bytes: self.bytes,
            lost: self.lost(),
            late: self.late,
            duplicated: self.duplicated,
            reordered: self.reordered,
        }
    }

    pub(super) fn expected(&self) -> u64 {
        self.highest + 1 - self.base
    }

    pub(super) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.distinct)
    }

    pub(super) fn jitter_ms(&self) -> f64 {
        match self.clock_rate {
            0 => 0.0,
            rate => self.media_jitter * 1000.0 / f64::from(rate),
        }
    }

    /// A.8. `arrival` is in ticks of the payload's clock.
    pub(super) fn arrived(
        &mut self,
        arrival: u32,
        timestamp: RtpTimestamp,
        clock_rate: u32,
        event: bool,
    ) {
        if self.clock_rate != clock_rate {
            // Ticks of another length cannot be compared.
            if self.clock_rate != 0 {
                let scale = f64::from(clock_rate) / f64::from(self.clock_rate);
                self.jitter *= scale;
                self.media_jitter *= scale;
            }
            self.clock_rate = clock_rate;
            (self.transit, self.media_transit) = (None, None);
        }
        let transit = arrival.wrapping_sub(timestamp.0);
        // A jump of seconds is a sender that has set its timestamp anew, not jitter.
        let limit = clock_rate.saturating_mul(4);
        step_jitter(&mut self.transit, &mut self.jitter, transit, limit);
        if !event {
            step_jitter(&mut self.media_transit, &mut self.media_jitter, transit, limit);
        }
    }
}

/// What a stream adds to the figures of its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    packets: u64,
    bytes: u64,
    lost: u64,
    late: u64,
    duplicated: u64,
    reordered: u64,
}

impl Tally {
    pub(super) fn add_to(self, stats: &mut Stats) {
        stats.rx_packets += self.packets;
        stats.rx_bytes += self.bytes;
        stats.lost += self.lost;
        stats.late += self.late;
        stats.duplicated += self.duplicated;
        stats.reordered += self.reordered;
    }
}

fn step_jitter(last: &mut Option<u32>, jitter: &mut f64, transit: u32, limit: u32) {
    if let Some(last) = last.replace(transit) {
        let d = (transit.wrapping_sub(last) as i32).unsigned_abs();
        if d < limit {
            *jitter += (f64::from(d) - *jitter) / 16.0;
        }
    }
}

fn ones(n: u16) -> u128 {
    if n >= 128 { u128::MAX } else { (1 << n) - 1 }
}

#[cfg(test)]
mod tests;
