//! Wall-clock time as RTCP writes it (RFC 3550 §4): seconds since 1900 with 32 bits of fraction.
//!
//! No clock is read here. The owner says once what time it was at some `Instant`; everything else
//! follows from the monotonic clock, so that reports never jump with the system's clock.

use std::time::{Duration, Instant};

/// An NTP timestamp: 32 bits of seconds since 1900-01-01 UTC and 32 bits of fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds between 1900 and the Unix epoch.
    const UNIX_EPOCH: u64 = 2_208_988_800;

    /// From time since the Unix epoch. The seconds wrap in 2036, as NTP's do.
    pub const fn from_unix(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().wrapping_add(Self::UNIX_EPOCH);
        let fraction = ((since_epoch.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// Time since the Unix epoch, for times between 1970 and 2036.
    pub const fn to_unix(self) -> Duration {
        let seconds = (self.0 >> 32).saturating_sub(Self::UNIX_EPOCH);
        let nanos = ((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32;
        Duration::new(seconds, nanos as u32)
    }

    /// The middle 32 bits, as in the "last SR" field (§6.4.1).
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The time `span` later.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        let fraction = ((span.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(span.as_secs() << 32).wrapping_add(fraction))
    }

    /// The time `span` earlier.
    #[must_use]
    pub const fn before(self, span: Duration) -> Self {
        let fraction = ((span.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self(self.0.wrapping_sub(span.as_secs() << 32).wrapping_sub(fraction))
    }

    /// The signed distance from `earlier` in seconds.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.wrapping_sub(earlier.0) as i64 as f64 / 4_294_967_296.0
    }
}

/// Ties the monotonic clock to the wall clock: what time it was at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NtpClock {
    base: Instant,
    at_base: NtpTime,
}

impl NtpClock {
    /// It was `time` at `base`. Sessions of one call must share this value, so that their reports
    /// can be compared (§6.4.1).
    pub const fn new(base: Instant, time: NtpTime) -> Self {
        Self { base, at_base: time }
    }

    /// For an owner who knows no wall-clock time: counts from `base`. RFC 3550 §6.4.1 allows the
    /// time since start-up in place of the wall clock.
    pub const fn elapsed_from(base: Instant) -> Self {
        Self { base, at_base: NtpTime(1 << 32) }
    }

    /// The time at `now`.
    pub fn at(&self, now: Instant) -> NtpTime {
        match now.checked_duration_since(self.base) {
            Some(later) => self.at_base.after(later),
            None => self.at_base.before(self.base.saturating_duration_since(now)),
        }
    }
}

/// A span in units of 1/65536 s, as in the DLSR field; saturates.
pub(crate) fn to_short(span: Duration) -> u32 {
    let units = (span.as_nanos() << 16) / 1_000_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

pub(crate) fn from_short(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_section_6_4_1_is_reproduced() {
        // Figure 2 of RFC 3550: SR sent at 0xb44db705:20000000, block arrives with
        // LSR 0xb705:2000, DLSR 5.25 s, at 0xb710:8000; the delay is 6.125 s.
        let sent = NtpTime(0xb44d_b705_2000_0000);
        assert_eq!(sent.middle(), 0xb705_2000);
        assert_eq!(to_short(Duration::from_millis(5250)), 0x0005_4000);
        let arrived = NtpTime(0xb44d_b710_8000_0000);
        let rtt = arrived.middle().wrapping_sub(sent.middle()).wrapping_sub(0x0005_4000);
        assert_eq!(rtt, 0x0006_2000);
        assert_eq!(from_short(rtt), Duration::from_millis(6125));
    }

    #[test]
    fn unix_time_goes_there_and_back() {
        let t = Duration::new(1_700_000_000, 250_000_000);
        let ntp = NtpTime::from_unix(t);
        assert_eq!(ntp.0 >> 32, 1_700_000_000 + 2_208_988_800);
        assert_eq!(ntp.to_unix(), t);
        assert!((ntp.after(Duration::from_millis(1500)).seconds_since(ntp) - 1.5).abs() < 1e-9);
        assert_eq!(ntp.after(Duration::from_secs(3)).before(Duration::from_secs(3)), ntp);
    }

    #[test]
    fn the_clock_runs_with_the_monotonic_one_in_both_directions() {
        let base = Instant::now() + Duration::from_secs(100);
        let clock = NtpClock::new(base, NtpTime(5 << 32));
        assert_eq!(clock.at(base + Duration::from_millis(500)), NtpTime(5 << 32 | 1 << 31));
        assert_eq!(clock.at(base - Duration::from_secs(1)), NtpTime(4 << 32));
    }

    #[test]
    fn short_spans_saturate() {
        assert_eq!(to_short(Duration::from_secs(1 << 20)), u32::MAX);
    }
}
