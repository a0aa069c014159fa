//! The settings of Opus and what they say in `a=fmtp` (RFC 7587 §6.1).

use tiny_media::{Fmtp, MediaError};

/// Settings of Opus. What the peer asks for in its `a=fmtp` narrows them further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusConfig {
    /// Channels of the PCM on our side: 1 (default) or 2. Two also say `stereo=1;sprop-stereo=1`.
    pub channels: u16,
    /// The bit rate to send at, in bit/s, 6000 to 510000. Default `None`: the sweet spot of RFC 7587
    /// §3.1.1 for the bandwidth and channels sent: 40 kbit/s for mono at full band, 96 for stereo.
    pub bitrate: Option<u32>,
    /// How much computing the encoder spends, 0 to 10. Default 9, as browsers do; below 7 the
    /// encoder no longer tells speech from music.
    pub complexity: u8,
    /// Says `useinbandfec=1`: we repair losses from the redundancy in the packet that follows.
    /// Default true. Sending redundancy is the peer's wish, not ours.
    pub fec: bool,
    /// Says `usedtx=1`: the peer may stop sending while it is silent. Default false (RFC 7587 §3.1.3
    /// recommends continuous transmission).
    pub dtx: bool,
    /// Says `cbr=1`: the peer should send at a constant rate, e.g. where the sizes of encrypted
    /// packets would tell too much (RFC 6562). Default false.
    pub cbr: bool,
    /// Says `maxplaybackrate`: the highest rate that we can play, 8000 to 48000 Hz. Default `None`.
    pub max_playback_rate: Option<u32>,
    /// Says `maxaveragebitrate`: the most that the peer should send, 6000 to 510000 bit/s. Default
    /// `None`.
    pub max_average_bitrate: Option<u32>,
    /// Says `minptime`: the shortest packets we wish for, in ms. Default 10, as browsers do.
    pub min_ptime: u32,
    /// The largest payload to send, in bytes. Default 1275, what RFC 6716 §3.4 allows one frame; with
    /// every header it stays under an Ethernet frame. Longer packets at a high rate are coded to fit.
    pub max_payload: usize,
}

impl Default for OpusConfig {
    fn default() -> Self {
        Self {
            channels: 1,
            bitrate: None,
            complexity: 9,
            fec: true,
            dtx: false,
            cbr: false,
            max_playback_rate: None,
            max_average_bitrate: None,
            min_ptime: 10,
            max_payload: 1275,
        }
    }
}

/// What RFC 7587 §6.1 admits for `maxaveragebitrate`; others are ignored.
pub(super) const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=510_000;

impl OpusConfig {
    /// Refuses what is out of range.
    pub(super) fn check(&self) -> Result<(), MediaError> {
        let refuse = |what, reason| Err(MediaError::Config { what, reason });
        if !(1..=2).contains(&self.channels) {
            let reason = format!("{} is neither 1 (mono) nor 2 (stereo)", self.channels);
            return refuse("opus channels", reason);
        }
        if self.complexity > 10 {
            return refuse("opus complexity", format!("{} is above 10", self.complexity));
        }
        for (what, bitrate) in
            [("opus bitrate", self.bitrate), ("opus maxaveragebitrate", self.max_average_bitrate)]
        {
            if let Some(b) = bitrate.filter(|b| !BITRATES.contains(b)) {
                return refuse(what, format!("{b} bit/s is not in 6000 to 510000"));
            }
        }
        if let Some(r) = self.max_playback_rate.filter(|r| !(8_000..=48_000).contains(r)) {
            return refuse("opus maxplaybackrate", format!("{r} Hz is not in 8000 to 48000"));
        }
        if !(1..=120).contains(&self.min_ptime) {
            return refuse("opus minptime", format!("{} ms is not in 1 to 120", self.min_ptime));
        }
        if !(64..=7_662).contains(&self.max_payload) {
            let reason = format!("{} bytes are not in 64 to 7662", self.max_payload);
            return refuse("opus max_payload", reason);
        }
        Ok(())
    }

    /// What we say about ourselves.
    pub(super) fn fmtp(&self) -> Fmtp {
        let mut text = format!("minptime={}", self.min_ptime);
        let mut say = |flag: bool, word: &str| {
            if flag {
                text.push(';');
                text.push_str(word);
            }
        };
        say(self.fec, "useinbandfec=1");
        say(self.dtx, "usedtx=1");
        say(self.cbr, "cbr=1");
        say(self.channels == 2, "stereo=1;sprop-stereo=1");
        if let Some(rate) = self.max_playback_rate {
            say(true, &format!("maxplaybackrate={rate}"));
        }
        if let Some(bitrate) = self.max_average_bitrate {
            say(true, &format!("maxaveragebitrate={bitrate}"));
        }
        Fmtp(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_say_what_browsers_say() {
        assert_eq!(OpusConfig::default().fmtp().0, "minptime=10;useinbandfec=1");
        assert!(OpusConfig::default().check().is_ok());
    }

    #[test]
    fn every_setting_is_said() {
        let config = OpusConfig {
            channels: 2,
            fec: false,
            dtx: true,
            cbr: true,
            max_playback_rate: Some(16_000),
            max_average_bitrate: Some(20_000),
            min_ptime: 20,
            ..OpusConfig::default()
        };
        assert_eq!(
            config.fmtp().0,
            "minptime=20;usedtx=1;cbr=1;stereo=1;sprop-stereo=1;maxplaybackrate=16000;\
             maxaveragebitrate=20000"
        );
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let default = OpusConfig::default;
        for config in [
            OpusConfig { channels: 0, ..default() },
            OpusConfig { complexity: 11, ..default() },
            OpusConfig { bitrate: Some(5_999), ..default() },
            OpusConfig { max_average_bitrate: Some(510_001), ..default() },
            OpusConfig { max_playback_rate: Some(7_999), ..default() },
            OpusConfig { min_ptime: 0, ..default() },
            OpusConfig { max_payload: 10, ..default() },
        ] {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
