//! The events of `telephone-event` (RFC 4733 §2.4.1): a list of numbers and ranges, `0-15` when
//! none is said.

use super::parameter;
use crate::Text;
use std::fmt;

/// A set of RFC 4733 event codes.
///
/// ```
/// use tiny_sdp::fmtp::EventSet;
/// let set = EventSet::parse("0-15,66,70").unwrap();
/// assert!(set.contains(11) && set.contains(66) && !set.contains(16));
/// assert_eq!(set.to_string(), "0-15,66,70");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSet([u128; 2]);

impl Default for EventSet {
    /// DTMF: 0–15.
    fn default() -> Self {
        Self([0xffff, 0])
    }
}

impl EventSet {
    /// No events.
    pub const EMPTY: Self = Self([0, 0]);

    /// Reads a list like `0-15,66`. `None` when it is not one.
    pub fn parse(list: &str) -> Option<Self> {
        let mut set = Self::EMPTY;
        for item in list.split(',') {
            let item = item.trim();
            let (low, high) = item.split_once('-').unwrap_or((item, item));
            let (low, high) = (low.trim().parse::<u8>().ok()?, high.trim().parse::<u8>().ok()?);
            for event in low..=high {
                set.insert(event);
            }
        }
        Some(set)
    }

    /// Reads the parameters of an `a=fmtp` line: the bare list that RFC 4733 shows, or `events=…` of
    /// the media type. Nothing said means 0–15. `None` when it cannot be read.
    pub fn from_fmtp(fmtp: &str) -> Option<Self> {
        let fmtp = fmtp.trim();
        if fmtp.is_empty() {
            return Some(Self::default());
        }
        if let Some(list) = parameter(fmtp, "events") {
            return Self::parse(list.trim_matches('"'));
        }
        Self::parse(fmtp.split(';').next().unwrap_or(fmtp))
    }

    /// Adds an event.
    pub fn insert(&mut self, event: u8) {
        self.0[usize::from(event >> 7)] |= 1 << (event & 127);
    }

    /// Whether it has an event.
    pub fn contains(&self, event: u8) -> bool {
        self.0[usize::from(event >> 7)] >> (event & 127) & 1 == 1
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0, 0]
    }

    /// The events in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }
}

impl fmt::Display for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        let mut event = 0u16;
        let has = |e: u16| u8::try_from(e).is_ok_and(|e| self.contains(e));
        while event < 256 {
            if has(event) {
                let first = event;
                while has(event + 1) {
                    event += 1;
                }
                if first == event {
                    write!(f, "{sep}{first}")?;
                } else {
                    write!(f, "{sep}{first}-{event}")?;
                }
                sep = ",";
            }
            event += 1;
        }
        Ok(())
    }
}

/// The events of an answer: those that both name. `None` when there are none.
pub(super) fn answer(ours: &Text, offered: &str) -> Option<Text> {
    if **ours == *offered {
        return Some(ours.clone());
    }
    let mine = EventSet::from_fmtp(ours)?;
    let theirs = EventSet::from_fmtp(offered).unwrap_or_default();
    let common = mine.intersect(&theirs);
    if common.is_empty() {
        None
    } else if common == mine {
        Some(ours.clone())
    } else if common == EventSet::default() {
        Some(Text::fixed("0-15"))
    } else {
        Some(Text::from(common.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_events_that_both_know() {
        let answer = |ours: &'static str, offer| answer(&Text::fixed(ours), offer);
        assert_eq!(answer("0-15", "0-16").unwrap(), "0-15");
        assert_eq!(answer("0-16", "0-15").unwrap(), "0-15");
        assert_eq!(answer("0-16", "").unwrap(), "0-15");
        assert_eq!(answer("", "").unwrap(), "");
        assert_eq!(answer("", "0-16").unwrap(), "");
        assert_eq!(answer("0-15,66,70", "0-11,66").unwrap(), "0-11,66");
        assert_eq!(answer("0-15", "32-36"), None);
        // A list that cannot be read counts as the default.
        assert_eq!(answer("0-15", "dtmf").unwrap(), "0-15");
    }

    #[test]
    fn lists_are_read_and_written_back() {
        for list in ["0-15", "0-15,66,70", "255", "0-255", "3,5,7-9"] {
            assert_eq!(EventSet::parse(list).unwrap().to_string(), list);
        }
        assert_eq!(EventSet::from_fmtp("events=\"0-11\"").unwrap().to_string(), "0-11");
        for bad in ["", "x", "256", "1-", "-1", "1,,2"] {
            assert_eq!(EventSet::parse(bad), None, "{bad}");
        }
        assert!(EventSet::parse("15-0").unwrap().is_empty());
    }
}
