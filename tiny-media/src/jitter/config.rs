//! Limits and defaults of the jitter buffer.

use std::time::Duration;

/// How much sound to hold back against jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JitterConfig {
    /// Never less delay than this. Default 10 ms, against the unrest of timers on both sides.
    pub min_delay: Duration,
    /// Never more delay than this: older packets are thrown away. Default 400 ms.
    pub max_delay: Duration,
    /// The delay to begin with, before anything is known of the path. Default 40 ms.
    pub start_delay: Duration,
    /// Which share of packets should arrive in time, 0.0 to 1.0. Default 0.985: a lost
    /// packet costs more than 10 ms of delay (see [`crate::quality`]).
    pub quantile: f64,
    /// How slowly old arrivals are forgotten: the weight left after each packet. Default 0.9915,
    /// a half-life of 81 packets or 1.6 s of 20 ms packets.
    pub memory: f64,
    /// Packets held at most. Default 256.
    pub max_packets: usize,
    /// The largest payload taken, in octets. Default 4,096.
    pub max_payload: usize,
    /// Change the delay by stretching sound as well as by stretching pauses. Default true.
    pub time_stretch: bool,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(400),
            start_delay: Duration::from_millis(40),
            quantile: 0.985,
            memory: 0.9915,
            max_packets: 256,
            max_payload: 4_096,
            time_stretch: true,
        }
    }
}

impl JitterConfig {
    /// A buffer that holds a constant delay: for measurements, and for lines without jitter.
    pub fn fixed(delay: Duration) -> Self {
        Self { min_delay: delay, max_delay: delay, start_delay: delay, ..Self::default() }
    }
}
