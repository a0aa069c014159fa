//! The parameters of Opus (RFC 7587 §6.1). All but the two `sprop-` ones tell what the side that
//! wrote them wishes to receive.

use super::parameters;
use std::fmt;

/// The `a=fmtp` parameters of Opus, with RFC 7587's defaults for what is not said.
///
/// ```
/// use tiny_sdp::fmtp::OpusParams;
/// let p = OpusParams::parse("useinbandfec=1; maxplaybackrate=16000");
/// assert!(p.use_inband_fec && !p.stereo);
/// assert_eq!(p.to_string(), "maxplaybackrate=16000;useinbandfec=1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusParams {
    /// The highest sampling rate in Hz that the receiver can make use of. Default 48000.
    pub max_playback_rate: u32,
    /// The highest sampling rate in Hz that the sender is likely to have. Default 48000.
    pub sprop_max_capture_rate: u32,
    /// The most bit/s, averaged, that the receiver takes; `None` leaves it to the sender.
    pub max_average_bitrate: Option<u32>,
    /// The receiver prefers stereo. Default false: then the sender must send mono (§7.1).
    pub stereo: bool,
    /// The sender is likely to send stereo. Default false.
    pub sprop_stereo: bool,
    /// The receiver prefers a constant bit rate. Default false.
    pub cbr: bool,
    /// The receiver can use in-band FEC. Default false.
    pub use_inband_fec: bool,
    /// The receiver prefers discontinuous transmission. Default false.
    pub use_dtx: bool,
    /// `minptime`: the least milliseconds a packet. Not in RFC 7587, but browsers write it.
    pub min_ptime: Option<u32>,
}

impl Default for OpusParams {
    fn default() -> Self {
        Self {
            max_playback_rate: 48_000,
            sprop_max_capture_rate: 48_000,
            max_average_bitrate: None,
            stereo: false,
            sprop_stereo: false,
            cbr: false,
            use_inband_fec: false,
            use_dtx: false,
            min_ptime: None,
        }
    }
}

impl OpusParams {
    /// Reads parameters; unknown ones, and values out of their range, count as not said.
    pub fn parse(fmtp: &str) -> Self {
        let mut p = Self::default();
        let rate = |v: &str| v.parse().ok().filter(|r| (8_000..=48_000).contains(r));
        for (name, value) in parameters(fmtp) {
            match name.to_ascii_lowercase().as_str() {
                "maxplaybackrate" => p.max_playback_rate = rate(value).unwrap_or(48_000),
                "sprop-maxcapturerate" => p.sprop_max_capture_rate = rate(value).unwrap_or(48_000),
                // §6.1: reasonable values are 6,000 to 510,000.
                "maxaveragebitrate" => {
                    p.max_average_bitrate =
                        value.parse().ok().filter(|b| (6_000..=510_000).contains(b));
                }
                "stereo" => p.stereo = value == "1",
                "sprop-stereo" => p.sprop_stereo = value == "1",
                "cbr" => p.cbr = value == "1",
                "useinbandfec" => p.use_inband_fec = value == "1",
                "usedtx" => p.use_dtx = value == "1",
                "minptime" => p.min_ptime = value.parse().ok().filter(|m| (3..=120).contains(m)),
                _ => {}
            }
        }
        p
    }
}

impl fmt::Display for OpusParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = Self::default();
        let mut sep = "";
        let mut put = |name: &str, value: u32, said: bool| {
            if said {
                write!(f, "{sep}{name}={value}")?;
                sep = ";";
            }
            Ok(())
        };
        put("minptime", self.min_ptime.unwrap_or(0), self.min_ptime.is_some())?;
        put(
            "maxplaybackrate",
            self.max_playback_rate,
            self.max_playback_rate != d.max_playback_rate,
        )?;
        let capture = self.sprop_max_capture_rate;
        put("sprop-maxcapturerate", capture, capture != d.sprop_max_capture_rate)?;
        let bitrate = self.max_average_bitrate;
        put("maxaveragebitrate", bitrate.unwrap_or(0), bitrate.is_some())?;
        put("stereo", 1, self.stereo)?;
        put("sprop-stereo", 1, self.sprop_stereo)?;
        put("cbr", 1, self.cbr)?;
        put("useinbandfec", 1, self.use_inband_fec)?;
        put("usedtx", 1, self.use_dtx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_rfc7587_survives_parse_and_print() {
        let s = "minptime=10;maxplaybackrate=16000;sprop-maxcapturerate=24000;maxaveragebitrate=20000;\
                 stereo=1;sprop-stereo=1;cbr=1;useinbandfec=1;usedtx=1";
        assert_eq!(OpusParams::parse(s).to_string(), s);
        assert_eq!(OpusParams::parse("").to_string(), "");
        assert_eq!(OpusParams::parse(""), OpusParams::default());
    }

    #[test]
    fn values_out_of_range_are_as_if_not_said() {
        let p = OpusParams::parse("maxplaybackrate=1;maxaveragebitrate=4294967296;stereo=yes");
        assert_eq!(p, OpusParams::default());
    }
}
