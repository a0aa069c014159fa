//! The playing half of the jitter buffer: what to play next, and for how long.
//!
//! Time is kept as media time. The *slack* of a packet is how long after its earliest possible
//! arrival it is decoded; the buffer steers the least slack of the last packets to the target of
//! the delay estimate.

use super::timeline::SECOND_NS;
use super::{Decoder, JitterBuffer, pitch, stretch};
use crate::plugin::AudioFormat;
use std::time::{Duration, Instant};

const MS: i64 = 1_000_000;
/// Timestamps this close together belong together: some senders take them from a clock.
const TOLERANCE: i64 = 5 * MS;
/// Made-up sound at a time while nothing is there.
const STARVED_STEP: i64 = 10 * MS;
/// A decoder conceals for so long on its own; then there is silence.
const OWN_CONCEALMENT: i64 = SECOND_NS;
/// The least sound between two stretches.
const STRETCH_PAUSE: i64 = 60 * MS;
/// Slack above the target that is let be.
const HIGH_MARGIN: i64 = 15 * MS;
/// Slack above the target, or time waited for a good cut, that makes a worse one acceptable.
const HURRY: i64 = 100 * MS;
const PATIENCE: i64 = SECOND_NS;
/// Packets over which the least slack is taken: long enough to see the bursts in which a device
/// takes its sound.
const SLACKS: usize = 32;
/// Sound kept behind the reading point, in ms, for concealment and stretching.
const HISTORY_MS: f32 = 50.0;
/// Every so many single losses it is tried whether the next packet holds the lost one.
const PROBE_EVERY: u32 = 4;
/// Weight of one packet in that share.
const LINE_MEMORY: f64 = 0.002;
/// The share of packets lost from which it is worth waiting for the next one.
const WORTH_WAITING: f64 = 0.01;
/// Runs of loss told to the loss pattern are no longer than this.
const MAX_RUN: i64 = 50;

#[derive(Debug, Default)]
pub(super) struct Playout {
    format: Option<AudioFormat>,
    payload_type: Option<u8>,
    running: bool,
    // The number that is due.
    next_sequence: i64,
    // Media time of the end of `pcm`.
    play_time: i64,
    // Media time up to which losses were bridged.
    bridged_to: i64,
    // Numbers passed over since the last packet with sound, and those of them rebuilt.
    missing: i64,
    rebuilt: i64,
    // Sound made up while nothing was there, not yet accounted for.
    starved: i64,
    // Sound in the last packet.
    length: i64,
    // Sound in the codec's format: history, then from `read` on what is to be played.
    pcm: Vec<i16>,
    read: usize,
    slacks: [i64; SLACKS],
    slack_count: usize,
    since_stretch: i64,
    wanting: i64,
    mean_wait: i64,
    // The decoder has rebuilt a packet from the next one.
    redundancy: bool,
    probes: u32,
    // Share of packets that the line has lost lately, rebuilt or not.
    line_loss: f64,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    More,
    // The next packet has another format; what is unread must be played first.
    OtherFormat,
}

impl Playout {
    pub(super) fn format(&self) -> Option<AudioFormat> {
        self.format
    }

    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    pub(super) fn mean_wait(&self) -> i64 {
        self.mean_wait
    }

    pub(super) fn is_past(&self, sequence: i64) -> bool {
        self.running && sequence < self.next_sequence
    }

    pub(super) fn stop(&mut self) {
        self.running = false;
        self.slack_count = 0;
        (self.missing, self.rebuilt, self.starved) = (0, 0, 0);
    }

    pub(super) fn skip_to(&mut self, sequence: i64, time: Option<i64>) {
        if self.running && sequence > self.next_sequence {
            self.next_sequence = sequence;
            if let Some(time) = time {
                self.play_time = self.play_time.max(time);
            }
        }
    }

    fn frames(&self, ns: i64) -> usize {
        let rate = self.format.map_or(0, |f| i64::from(f.rate));
        ((ns * rate + SECOND_NS / 2) / SECOND_NS).max(1) as usize
    }

    fn note_slack(&mut self, slack: i64) {
        self.slacks[self.slack_count % SLACKS] = slack;
        self.slack_count += 1;
    }

    // None before there are enough.
    fn least_slack(&self) -> Option<i64> {
        if self.slack_count < SLACKS {
            return None;
        }
        self.slacks.iter().copied().min()
    }

    // The sound became shorter (negative) or longer: all that follows is decoded so much earlier or
    // later.
    fn shift_slacks(&mut self, ns: i64) {
        self.slacks.iter_mut().for_each(|s| *s += ns);
        self.since_stretch = 0;
        self.wanting = 0;
    }

    fn begin_format(&mut self, format: AudioFormat) {
        self.format = Some(format);
        self.pcm.clear();
        self.read = 0;
    }

    fn forget_history(&mut self, format: AudioFormat) {
        let keep = pitch::frames(format.rate, HISTORY_MS) * usize::from(format.channels);
        // Now and then, not with each block.
        if self.read > keep * 3 {
            self.pcm.drain(..self.read - keep);
            self.read = keep;
        }
    }
}

impl JitterBuffer {
    /// Appends up to `frames` frames in [`format`](Self::format) to `out` and returns how many.
    /// Fewer come only where the format changes: ask for it again and pull the rest.
    pub fn pull(&mut self, now: Instant, frames: usize, out: &mut Vec<i16>) -> usize {
        let now = self.ns(now);
        let format = match (self.playout.format, self.decoders.first()) {
            (Some(format), _) => format,
            (None, Some(d)) => {
                self.playout.begin_format(d.format);
                d.format
            }
            (None, None) => return 0,
        };
        let channels = usize::from(format.channels.max(1));
        let unread = |p: &Playout| (p.pcm.len() - p.read) / channels;
        // Each step adds sound or uses up a packet, so this ends; the bound is a second line.
        for _ in 0..self.config.max_packets + frames {
            let have = unread(&self.playout);
            if have >= frames {
                break;
            }
            if self.step(now, frames - have) == Step::OtherFormat {
                break;
            }
        }
        if self.playout.format != Some(format) {
            return 0;
        }
        let p = &mut self.playout;
        let n = unread(p).min(frames);
        out.extend_from_slice(&p.pcm[p.read..p.read + n * channels]);
        p.read += n * channels;
        p.forget_history(format);
        n
    }

    /// The payload type that is being played; `None` before the first packet.
    pub fn payload_type(&self) -> Option<u8> {
        self.playout.payload_type
    }

    // One decision: play, bridge, wait.
    fn step(&mut self, now: i64, need: usize) -> Step {
        while let Some(head) = self.store.front()
            && !head.sound
        {
            self.pass_over(head.sequence);
            self.pop_unused();
        }
        let Some(head) = self.store.front() else {
            self.starve(need);
            return Step::More;
        };
        let (sequence, time, length) = (head.sequence, head.time, head.length);
        let slack = now - self.delay.base().unwrap_or(now - time) - time;
        let target = self.target();
        if !self.playout.running {
            if slack < target {
                self.starve(need);
                return Step::More;
            }
            let p = &mut self.playout;
            p.running = true;
            (p.next_sequence, p.play_time, p.bridged_to) = (sequence, time, i64::MIN);
            (p.missing, p.rebuilt, p.starved) = (0, 0, 0);
        }
        let lost = self.playout.missing + sequence - self.playout.next_sequence;
        let gap = time - self.playout.play_time;
        if time + length / 2 < self.playout.bridged_to {
            // Its place has been filled already.
            self.stats.late += 1;
            self.pass_over(sequence);
            self.playout.missing += 1;
            self.pop_unused();
            return Step::More;
        }
        if gap > TOLERANCE {
            return self.bridge(slack, target, lost, gap);
        }
        self.play(now, slack, lost)
    }

    // There is a gap before the next packet.
    fn bridge(&mut self, slack: i64, target: i64, lost: i64, gap: i64) -> Step {
        let head_time = self.playout.play_time + gap;
        if lost <= 0 {
            // A pause of the sender (RFC 3551 §4.1): the delay may change freely.
            if slack >= target {
                self.playout.play_time = head_time;
            } else {
                self.make_up(STARVED_STEP, true);
            }
            self.playout.starved = 0;
            return Step::More;
        }
        let p = &mut self.playout;
        if p.starved > 0 {
            // What was made up while nothing was there has filled part of the gap.
            let filled = p.starved.min(gap);
            p.starved -= filled;
            p.play_time += filled;
            p.bridged_to = p.play_time;
            self.stats.concealed += Duration::from_nanos(filled as u64);
            return Step::More;
        }
        if slack > target + target / 4 + HIGH_MARGIN {
            // Late already: the gap is a place to catch up.
            p.play_time = head_time;
            return Step::More;
        }
        let one_packet = (p.length * 3 / 4..=p.length * 3 / 2).contains(&gap);
        if one_packet && self.recover(gap) {
            self.playout.redundancy = true;
            self.playout.play_time = head_time;
            self.playout.rebuilt += 1;
            self.stats.recovered += 1;
            return Step::More;
        }
        let length = if self.playout.length > 0 { self.playout.length } else { STARVED_STEP };
        // Whole packets, but no scrap at the end.
        let part = if gap < length + length / 2 { gap } else { length };
        self.make_up(part, false);
        self.playout.play_time += part;
        self.playout.bridged_to = self.playout.play_time;
        self.stats.concealed += Duration::from_nanos(part as u64);
        Step::More
    }

    // The next packet is due.
    fn play(&mut self, now: i64, slack: i64, lost: i64) -> Step {
        let Some(head) = self.store.front() else { return Step::More };
        let Some(index) = self.decoders.iter().position(|d| d.payload_type == head.payload_type)
        else {
            // Its codec was negotiated away.
            self.pass_over(head.sequence);
            self.playout.missing += 1;
            self.pop_unused();
            return Step::More;
        };
        let format = self.decoders[index].format;
        if self.playout.format != Some(format) {
            if self.playout.read < self.playout.pcm.len() {
                return Step::OtherFormat;
            }
            self.playout.begin_format(format);
            self.concealer.stop();
            return Step::OtherFormat;
        }
        let full = self.target().max(self.max_delay_ns()) + 2 * head.length;
        if slack > full && self.store.len() > 1 {
            self.stats.discarded += 1;
            // Prepare a fade into what follows.
            self.conceal_generic(0);
            self.drop_front_played();
            return Step::More;
        }
        if lost == 1 {
            self.probe_redundancy();
        }
        let Some(packet) = self.store.pop() else { return Step::More };
        let from = self.playout.pcm.len();
        let decoded = self.decoders[index].decoder.decode(&packet.payload, &mut self.playout.pcm);
        if self.playout.payload_type.replace(packet.payload_type) != Some(packet.payload_type) {
            self.playout.redundancy = false;
        }
        if decoded.is_ok() {
            self.stats.played += 1;
            let (channels, rate) = (usize::from(format.channels.max(1)), format.rate);
            self.concealer.rejoin(&mut self.playout.pcm, from, channels, rate);
        } else {
            self.stats.decode_errors += 1;
            self.playout.pcm.truncate(from);
            self.make_up(packet.length, false);
            self.stats.concealed += Duration::from_nanos(packet.length as u64);
        }
        self.account(lost, packet.length);
        let p = &mut self.playout;
        p.next_sequence = packet.sequence + 1;
        p.play_time = packet.time + packet.length;
        p.length = packet.length;
        p.mean_wait += (now - packet.arrival - p.mean_wait) / 16;
        p.note_slack(slack);
        self.store.recycle(packet.payload);
        if self.config.time_stretch && decoded.is_ok() {
            self.adapt(format);
        }
        Step::More
    }

    // Settles what was missing before a packet that is played.
    fn account(&mut self, lost: i64, length: i64) {
        let p = &mut self.playout;
        let gone = lost.max(0);
        self.stats.missing += gone as u64;
        if gone > 0 {
            p.line_loss += (1.0 - p.line_loss) * LINE_MEMORY;
        }
        p.line_loss -= p.line_loss * LINE_MEMORY;
        // A packet that came too late to be played without a hole has hurt like a lost one.
        let late = p.starved >= length / 2;
        self.stats.concealed += Duration::from_nanos(p.starved.max(0) as u64);
        for _ in 0..(gone - p.rebuilt + i64::from(late)).clamp(0, MAX_RUN) {
            self.pattern.record(true);
        }
        self.pattern.record(false);
        (p.missing, p.rebuilt, p.starved) = (0, 0, 0);
    }

    // Brings the slack to the target by one period, where the sound allows.
    fn adapt(&mut self, format: AudioFormat) {
        let target = self.target();
        let p = &mut self.playout;
        p.since_stretch += p.length;
        let Some(slack) = p.least_slack() else { return };
        let too_high = slack > target + (target / 4).max(HIGH_MARGIN);
        let too_low = slack < target / 2;
        if !too_high && !too_low {
            p.wanting = 0;
            return;
        }
        p.wanting += p.length;
        let far = (slack - target).abs() > HURRY;
        if p.since_stretch < if far { p.length } else { STRETCH_PAUSE } {
            return;
        }
        let hurry = far || p.wanting > PATIENCE;
        let (channels, rate) = (usize::from(format.channels.max(1)), format.rate);
        let ns = |frames: usize| frames as i64 * SECOND_NS / i64::from(rate.max(1));
        if too_high {
            let cut = ns(stretch::accelerate(&mut p.pcm, p.read, channels, rate, hurry));
            if cut > 0 {
                p.shift_slacks(-cut);
                self.stats.accelerated += Duration::from_nanos(cut as u64);
            }
        } else {
            let more = ns(stretch::expand(&mut p.pcm, p.read, channels, rate, hurry));
            if more > 0 {
                p.shift_slacks(more);
                self.stats.expanded += Duration::from_nanos(more as u64);
            }
        }
    }

    // Nothing is there, or it is too early to begin.
    fn starve(&mut self, need: usize) {
        if self.playout.running {
            // A whole step even if less is needed: decoders conceal in such units.
            self.make_up(STARVED_STEP, false);
            self.playout.starved += STARVED_STEP;
        } else {
            let Some((channels, rate)) = self.shape() else { return };
            self.concealer.quiet(&mut self.playout.pcm, channels, rate, need);
        }
    }

    // Makes up sound: by the decoder if it can, else by repeating what was.
    fn make_up(&mut self, ns: i64, pause: bool) {
        let frames = self.playout.frames(ns);
        let long = self.playout.starved > OWN_CONCEALMENT;
        if !long && let Some(d) = self.current_decoder() {
            let from = self.playout.pcm.len();
            let own = self.decoders[d].decoder.conceal(frames, &mut self.playout.pcm);
            if own && self.playout.pcm.len() > from {
                return;
            }
            self.playout.pcm.truncate(from);
        }
        if pause || long {
            let Some((channels, rate)) = self.shape() else { return };
            self.concealer.quiet(&mut self.playout.pcm, channels, rate, frames);
        } else {
            self.conceal_generic(frames);
        }
    }

    fn conceal_generic(&mut self, frames: usize) {
        let Some((channels, rate)) = self.shape() else { return };
        self.concealer.conceal(&mut self.playout.pcm, channels, rate, frames);
    }

    // Rebuilds the packet just before the next one from the redundancy in that one.
    fn recover(&mut self, gap: i64) -> bool {
        let frames = self.playout.frames(gap);
        let Some(current) = self.current_decoder() else { return false };
        let Some(head) = self.store.front() else { return false };
        let Decoder { payload_type, decoder, format, .. } = &mut self.decoders[current];
        if *payload_type != head.payload_type || Some(*format) != self.playout.format {
            return false;
        }
        let from = self.playout.pcm.len();
        let done = decoder.recover(&head.payload, frames, &mut self.playout.pcm);
        if !done || self.playout.pcm.len() == from {
            self.playout.pcm.truncate(from);
            return false;
        }
        if let Some((channels, rate)) = self.shape() {
            self.concealer.rejoin(&mut self.playout.pcm, from, channels, rate);
        }
        true
    }

    // Losses were bridged because the next packet, which may hold the lost one, was not yet there.
    // Now and then, look whether it does: then it is worth waiting for.
    fn probe_redundancy(&mut self) {
        let p = &mut self.playout;
        p.probes += 1;
        if p.redundancy || p.rebuilt > 0 || !p.probes.is_multiple_of(PROBE_EVERY) {
            return;
        }
        let (from, length) = (p.pcm.len(), p.length);
        let active = self.concealer.is_active();
        if !active && self.recover(length) {
            self.playout.redundancy = true;
            self.playout.pcm.truncate(from);
        }
    }

    // What the path needs, and one packet more where the next one is worth waiting for.
    pub(super) fn target(&self) -> i64 {
        let target = self.delay.target();
        if self.playout.redundancy && self.playout.line_loss > WORTH_WAITING {
            (target + self.playout.length).min(self.max_delay_ns()).max(target)
        } else {
            target
        }
    }

    fn current_decoder(&self) -> Option<usize> {
        let pt = self.playout.payload_type?;
        let index = self.decoders.iter().position(|d| d.payload_type == pt)?;
        (Some(self.decoders[index].format) == self.playout.format).then_some(index)
    }

    fn shape(&self) -> Option<(usize, u32)> {
        self.playout.format.map(|f| (usize::from(f.channels.max(1)), f.rate))
    }

    fn max_delay_ns(&self) -> i64 {
        i64::try_from(self.config.max_delay.as_nanos()).unwrap_or(i64::MAX / 4)
    }

    // The numbers up to and with this one will not come as sound.
    fn pass_over(&mut self, sequence: i64) {
        let p = &mut self.playout;
        if p.running && sequence >= p.next_sequence {
            p.missing += sequence - p.next_sequence;
            p.next_sequence = sequence + 1;
        }
    }

    fn pop_unused(&mut self) {
        if let Some(packet) = self.store.pop() {
            self.store.recycle(packet.payload);
        }
    }

    fn drop_front_played(&mut self) {
        if let Some(packet) = self.store.pop() {
            let p = &mut self.playout;
            p.next_sequence = packet.sequence + 1;
            p.play_time = packet.time + packet.length;
            (p.missing, p.rebuilt, p.starved) = (0, 0, 0);
            self.store.recycle(packet.payload);
        }
    }
}
