//! RTCP sent: when the timer says so (RFC 3550 §6.3), reports with a CNAME (§6.1, §6.4, §6.5), and
//! a BYE at the end (§6.3.7).

use super::mid::Announced;
use super::stats::{Event, Removal};
use super::timer::Decision;
use super::{Component, Session, State, Transmit};
use crate::Ssrc;
use crate::rtcp::{ReportBlock, RtcpWriter, SdesKind, SdesText, SenderInfo};
use std::time::Instant;

impl Session {
    /// Leaves the session: a BYE goes out at once, or after the back-off of §6.3.7 in a large
    /// group; then [`Event::Ended`]. One who has never sent anything leaves without a BYE.
    pub fn end(&mut self, now: Instant, reason: Option<&str>) {
        if !matches!(self.state, State::Active) {
            return;
        }
        let reason = reason.map(str::to_owned);
        if !self.tx.sent_anything || self.schedule.is_off() {
            self.finish();
        } else if self.group().members < self.config.bye_backoff_members {
            self.queue_bye(now, reason.as_deref());
            self.finish();
        } else {
            let size = 8 + 12 + self.cname.len() + 8 + self.config.transport_overhead;
            self.schedule.leave(now, size, &mut self.rng);
            self.state = State::Leaving { reason, members: 1 };
        }
    }

    /// Does what the RTCP timer asks for, when it is due.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.is_ended() || self.schedule.next() > now {
            return;
        }
        if matches!(self.state, State::Active) {
            self.time_out(now);
        }
        let group = self.group();
        if self.schedule.expired(now, group, &mut self.rng) == Decision::Wait {
            return;
        }
        if let State::Leaving { reason, .. } = &mut self.state {
            let reason = reason.take();
            self.queue_bye(now, reason.as_deref());
            self.finish();
            return;
        }
        let size = match self.schedule.may_send(group) {
            true => self.queue_report(now),
            false => None,
        };
        match size {
            Some(size) => {
                let size = size + self.config.transport_overhead;
                self.schedule.sent(now, size, group, &mut self.rng);
            }
            None => self.schedule.skipped(now, group, &mut self.rng),
        }
    }

    fn finish(&mut self) {
        self.state = State::Ended;
        self.held.clear();
        self.emit(Event::Ended);
    }

    /// §6.3.5: who has fallen silent is gone; once a report interval.
    fn time_out(&mut self, now: Instant) {
        let group = self.group();
        let silent_for = |at: Instant| now.saturating_duration_since(at);
        let gone_after = self.schedule.timeout_interval(group) * self.config.timeout_multiplier;
        let two_reports = self.schedule.report_interval(group) * 2;
        // §6.3.8: ourselves included.
        if self.tx.last_rtp.is_none_or(|at| silent_for(at) > two_reports) {
            self.tx.we_sent = false;
        }
        let mut gone: Vec<(Ssrc, bool)> = Vec::new();
        for source in &mut self.sources {
            if source.last_rtp.is_none_or(|at| silent_for(at) > two_reports) {
                source.sender = false;
            }
            let limit = match (source.left, source.member) {
                (Some(left), _) if silent_for(left) >= self.config.bye_linger => {
                    gone.push((source.ssrc, false));
                    continue;
                }
                (_, false) if source.control_packets == 0 => self.config.probation_timeout,
                _ => gone_after,
            };
            if silent_for(source.last_heard) > limit {
                gone.push((source.ssrc, source.member && source.left.is_none()));
            }
        }
        for (ssrc, tell) in gone {
            self.forget(ssrc);
            if tell {
                self.emit(Event::SourceRemoved { ssrc, why: Removal::Timeout });
            }
        }
        self.held
            .retain(|w| w.is_ready() || silent_for(w.arrival()) < self.config.probation_timeout);
        let members = self.group().members;
        self.schedule.reverse(now, members);
    }

    /// Puts a report into the outbox. `None` when nobody is there to get it.
    fn queue_report(&mut self, now: Instant) -> Option<usize> {
        let to = self.rtcp_destination()?;
        let mut data = self.buffer();
        self.reports_sent += 1;
        let written = self.write_report(now, &mut data);
        if !written {
            self.recycle(data);
            return None;
        }
        self.tx.sent_anything = true;
        self.totals.rtcp_tx += 1;
        let size = data.len();
        self.outbox.push_back(Transmit { component: self.rtcp_component(), to, data });
        Some(size)
    }

    pub(super) fn rtcp_component(&self) -> Component {
        if self.config.rtcp_mux { Component::Rtp } else { Component::Rtcp }
    }

    fn write_report(&mut self, now: Instant, data: &mut Vec<u8>) -> bool {
        let mut blocks = [EMPTY_BLOCK; 31];
        let extras = [self.tx.mid.as_ref().map(Announced::item), self.extra_item()];
        let extra = extras.iter().flatten().map(|i| 2 + i.text.len()).sum::<usize>();
        let names = 2 + self.cname.len() + extra;
        // SR head, SDES head and end, and what is left for blocks of 24 octets.
        let room = self.config.max_rtcp_octets.saturating_sub(28 + 12 + names) / ReportBlock::LEN;
        let count = self.fill_blocks(now, &mut blocks[..room.min(31)]);
        let rate = self.config.clock_rate.max(1);
        // Without a packet on the present clock there is nothing that a sender could say.
        let rtp = self.tx.timestamp(now, rate).filter(|_| self.tx.we_sent);
        let info = rtp.map(|rtp| SenderInfo {
            ntp: self.config.clock.at(now),
            rtp,
            packets: self.tx.packets,
            octets: self.tx.octets,
        });
        let mut writer = RtcpWriter::new(data);
        let report = match &info {
            Some(info) => writer.sender_report(self.ssrc, info, &blocks[..count]),
            None => writer.receiver_report(self.ssrc, &blocks[..count]),
        };
        // §6.1: every compound packet carries the CNAME.
        let mut texts = [SdesText { kind: SdesKind::Cname, text: &self.cname }; 3];
        let mut used = 1;
        let extras = [self.tx.mid.as_ref().map(Announced::item), self.extra_item()];
        for extra in extras.into_iter().flatten() {
            texts[used] = extra;
            used += 1;
        }
        let described = writer.sdes(self.ssrc, &texts[..used]);
        if let Some(info) = info {
            if self.sent_reports.len() >= 8 {
                self.sent_reports.pop_front();
            }
            self.sent_reports.push_back((info.ntp.middle(), now));
        }
        report.is_ok() && described.is_ok()
    }

    /// §6.3.9: with every third report one more item; the tool's name every eighth time of those.
    fn extra_item(&self) -> Option<SdesText<'_>> {
        if !self.reports_sent.is_multiple_of(3) {
            return None;
        }
        let name = self.config.name.as_deref().map(|text| (SdesKind::Name, text));
        let tool = self.config.tool.as_deref().map(|text| (SdesKind::Tool, text));
        let turn = (self.reports_sent / 3).is_multiple_of(8);
        let (kind, text) = if turn { tool.or(name) } else { name.or(tool) }?;
        Some(SdesText { kind, text })
    }

    /// Blocks for sources heard since the last report; when not all fit, the next report goes on
    /// where this one stops (§6.1).
    fn fill_blocks(&mut self, now: Instant, blocks: &mut [ReportBlock]) -> usize {
        let total = self.sources.len();
        let mut count = 0;
        for _ in 0..total {
            if count == blocks.len() {
                break;
            }
            self.report_cursor = (self.report_cursor + 1) % total;
            let source = &mut self.sources[self.report_cursor];
            if source.left.is_some() {
                continue;
            }
            if let Some(block) = source.report(now) {
                blocks[count] = block;
                count += 1;
            }
        }
        count
    }

    /// Puts a BYE for our SSRC into the outbox, behind an empty RR and the CNAME (§6.1). §6.3.7:
    /// not for one who has never sent.
    pub(super) fn queue_bye(&mut self, now: Instant, reason: Option<&str>) {
        if !self.tx.sent_anything || self.schedule.is_off() {
            return;
        }
        let Some(to) = self.rtcp_destination() else { return };
        let mut data = self.buffer();
        // The last figures go with it.
        let mut written = self.write_report(now, &mut data);
        written &= RtcpWriter::new(&mut data).bye(&[self.ssrc], reason).is_ok();
        if !written {
            self.recycle(data);
            return;
        }
        self.totals.rtcp_tx += 1;
        self.outbox.push_back(Transmit { component: self.rtcp_component(), to, data });
    }
}

const EMPTY_BLOCK: ReportBlock = ReportBlock {
    ssrc: Ssrc(0),
    fraction_lost: 0,
    cumulative_lost: 0,
    highest_sequence: 0,
    jitter: 0,
    last_sr: 0,
    delay_since_last_sr: 0,
};
