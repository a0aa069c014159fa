//! Lays packets on one line of media time that never jumps back, whatever the sender does: wraps,
//! a new SSRC, another clock rate, timestamps that begin anew (RFC 3550 §5.1, RFC 7160).
//!
//! Media time is in nanoseconds from an arbitrary origin; sequence numbers are counted without wrap.

/// A timestamp further than this from where its arrival would put it is a jump.
const JUMP_NS: i64 = 2_000_000_000;
/// Sequence numbers further ahead than this are a restart (RFC 3550 A.1: MAX_DROPOUT) …
const MAX_DROPOUT: i64 = 3_000;
/// … and further behind than this as well (A.1: MAX_MISORDER).
const MAX_MISORDER: i64 = 100;

pub(super) const SECOND_NS: i64 = 1_000_000_000;

/// What the wire says of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) clock_rate: u32,
    /// Nanoseconds on the owner's clock.
    pub(super) arrival: i64,
    /// Nanoseconds of sound in it.
    pub(super) length: i64,
}

/// Where a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: i64,
    pub(super) time: i64,
    /// The sender began anew: delays from before say nothing about this one.
    pub(super) restarted: bool,
}

#[derive(Debug, Default)]
pub(super) struct Timeline {
    state: Option<State>,
    // A packet that did not fit: one that goes on from it confirms the jump.
    suspect: Option<(u32, u16, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    ssrc: u32,
    clock_rate: u32,
    // Highest sequence number so far, raw and without wrap.
    sequence: u16,
    extended: i64,
    // A timestamp whose media time is known exactly.
    anchor: u32,
    anchor_time: i64,
    // End of the newest sound, when the newest packet came, and its media time.
    end: i64,
    arrival: i64,
    time: i64,
}

impl Timeline {
    /// Where a packet with sound belongs; `None` for one that makes no sense unless others follow.
    pub(super) fn place(&mut self, s: &Stamp) -> Option<Place> {
        let Some(mut state) = self.state else {
            return Some(self.restart(s, 0, 0));
        };
        if state.ssrc != s.ssrc || state.clock_rate != s.clock_rate {
            return Some(self.go_on(s, &state));
        }
        let step = i64::from(s.sequence.wrapping_sub(state.sequence) as i16);
        let ticks = i64::from(s.timestamp.wrapping_sub(state.anchor) as i32);
        let time = state.anchor_time + ticks_to_ns(ticks, state.clock_rate);
        let off = (s.arrival - time) - (state.arrival - state.time);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) || off.abs() > JUMP_NS {
            return self.judge_jump(s, &state);
        }
        self.suspect = None;
        let extended = state.extended + step;
        if step > 0 {
            state.sequence = s.sequence;
            state.extended = extended;
            state.arrival = s.arrival;
            state.time = time;
            state.end = state.end.max(time + s.length);
            // Move the anchor by whole seconds, which are whole ticks: nothing is rounded.
            let seconds = ticks.div_euclid(i64::from(state.clock_rate));
            state.anchor =
                state.anchor.wrapping_add((seconds * i64::from(state.clock_rate)) as u32);
            state.anchor_time += seconds * SECOND_NS;
            self.state = Some(state);
        }
        Some(Place { sequence: extended, time, restarted: false })
    }

    /// The number of a packet without sound of its own (telephone-event), whose timestamp says
    /// nothing about its time.
    pub(super) fn sequence(&mut self, ssrc: u32, sequence: u16) -> Option<i64> {
        let state = self.state.as_mut().filter(|s| s.ssrc == ssrc)?;
        let step = i64::from(sequence.wrapping_sub(state.sequence) as i16);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            return None;
        }
        let extended = state.extended + step;
        if step > 0 {
            state.sequence = sequence;
            state.extended = extended;
        }
        Some(extended)
    }

    // One packet out of place is dropped; two in a row that fit together are a new beginning.
    fn judge_jump(&mut self, s: &Stamp, state: &State) -> Option<Place> {
        let confirmed = self.suspect.is_some_and(|(ssrc, sequence, timestamp)| {
            let ahead = s.timestamp.wrapping_sub(timestamp);
            ssrc == s.ssrc && s.sequence == sequence.wrapping_add(1) && ahead < s.clock_rate
        });
        if confirmed {
            self.suspect = None;
            return Some(self.go_on(s, state));
        }
        self.suspect = Some((s.ssrc, s.sequence, s.timestamp));
        None
    }

    // The sender began anew: its sound follows what there is, as late as it has come.
    fn go_on(&mut self, s: &Stamp, old: &State) -> Place {
        let time = (old.time + (s.arrival - old.arrival)).max(old.end);
        self.restart(s, old.extended + 1, time)
    }

    fn restart(&mut self, s: &Stamp, extended: i64, time: i64) -> Place {
        self.suspect = None;
        self.state = Some(State {
            ssrc: s.ssrc,
            clock_rate: s.clock_rate,
            sequence: s.sequence,
            extended,
            anchor: s.timestamp,
            anchor_time: time,
            end: time + s.length,
            arrival: s.arrival,
            time,
        });
        Place { sequence: extended, time, restarted: true }
    }
}

fn ticks_to_ns(ticks: i64, rate: u32) -> i64 {
    // |ticks| < 2^31, so the product stays far below 2^63.
    ticks * SECOND_NS / i64::from(rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn stamp(ssrc: u32, n: i64, first_sequence: u16, first_timestamp: u32) -> Stamp {
        Stamp {
            ssrc,
            sequence: first_sequence.wrapping_add(n as u16),
            timestamp: first_timestamp.wrapping_add((n * 160) as u32),
            clock_rate: 8000,
            arrival: n * 20 * MS,
            length: 20 * MS,
        }
    }

    #[test]
    fn sequence_numbers_and_timestamps_wrap_without_a_seam() {
        let mut line = Timeline::default();
        for n in 0..100_000 {
            let p = line.place(&stamp(1, n, 65_000, u32::MAX - 5_000)).unwrap();
            assert_eq!((p.sequence, p.time), (n, n * 20 * MS));
            assert_eq!(p.restarted, n == 0);
        }
        let before = line.place(&stamp(1, 99_990, 65_000, u32::MAX - 5_000)).unwrap();
        assert_eq!((before.sequence, before.time), (99_990, 99_990 * 20 * MS));
    }

    #[test]
    fn a_new_source_goes_on_where_the_old_one_stopped() {
        let mut line = Timeline::default();
        assert!((0..10).all(|n| line.place(&stamp(1, n, 0, 0)).is_some()));
        let p = line.place(&Stamp { arrival: 200 * MS, ..stamp(2, 0, 7_777, 12) }).unwrap();
        assert_eq!(p, Place { sequence: 10, time: 200 * MS, restarted: true });
        // Another clock rate under the same SSRC.
        let opus = Stamp {
            clock_rate: 48_000,
            timestamp: 99,
            sequence: 7_778,
            arrival: 220 * MS,
            ..stamp(2, 0, 0, 0)
        };
        assert_eq!(line.place(&opus).unwrap().time, 220 * MS);
        let next = Stamp { timestamp: 99 + 960, sequence: 7_779, arrival: 240 * MS, ..opus };
        let p = line.place(&next).unwrap();
        assert_eq!((p.sequence, p.time), (12, 240 * MS));
    }

    #[test]
    fn one_stray_packet_is_dropped_and_two_in_a_row_are_a_restart() {
        let mut line = Timeline::default();
        assert!((0..10).all(|n| line.place(&stamp(1, n, 0, 0)).is_some()));
        let stray = Stamp { timestamp: 4_000_000, ..stamp(1, 10, 0, 0) };
        assert_eq!(line.place(&stray), None);
        assert_eq!(line.place(&stamp(1, 11, 0, 0)).unwrap().time, 220 * MS);
        // Timestamps jump by an hour and go on from there.
        assert_eq!(line.place(&stamp(1, 12, 0, 28_800_000)), None);
        let p = line.place(&stamp(1, 13, 0, 28_800_000)).unwrap();
        assert_eq!((p.time, p.restarted), (260 * MS, true));
        // Sequence numbers jump alone.
        assert_eq!(line.place(&stamp(1, 14, 20_000, 28_800_000)), None);
        let p = line.place(&stamp(1, 15, 20_000, 28_800_000)).unwrap();
        assert!(p.restarted && p.time == 300 * MS);
    }

    #[test]
    fn events_take_a_number_and_no_time() {
        let mut line = Timeline::default();
        assert_eq!(line.sequence(1, 5), None);
        line.place(&stamp(1, 0, 5, 0));
        assert_eq!(line.sequence(1, 6), Some(1));
        assert_eq!(line.sequence(2, 7), None);
        assert_eq!(line.sequence(1, 30_000), None);
        assert_eq!(line.place(&stamp(1, 2, 5, 0)).unwrap().sequence, 2);
    }
}
