//! How long an answer may take (RFC 9260 §6.3.1).

use super::Config;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Rto {
    smoothed: Option<(Duration, Duration)>,
    current: Duration,
    min: Duration,
    max: Duration,
}

impl Rto {
    pub(super) fn new(config: &Config) -> Self {
        let max = config.rto_max.max(config.rto_min);
        let current = config.rto_initial.clamp(config.rto_min, max);
        Self { smoothed: None, current, min: config.rto_min, max }
    }

    pub(super) fn get(&self) -> Duration {
        self.current
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(|(srtt, _)| srtt)
    }

    pub(super) fn measured(&mut self, rtt: Duration) {
        let (srtt, var) = match self.smoothed {
            None => (rtt, rtt / 2),
            Some((srtt, var)) => {
                let off = srtt.abs_diff(rtt);
                ((srtt * 7 + rtt) / 8, (var * 3 + off) / 4)
            }
        };
        self.smoothed = Some((srtt, var));
        self.current = (srtt + var * 4).clamp(self.min, self.max);
    }

    /// Nothing came (§6.3.3 E2).
    pub(super) fn back_off(&mut self) {
        self.current = (self.current * 2).min(self.max);
    }
}
