//! RTCP received: reports, names, goodbyes (RFC 3550 §6.2.1, §6.3, §6.4), collisions and loops
//! (§8.2).
//!
//! A sender report's word is taken for its own stream only, and a round-trip time only for a
//! report that we have sent.

use super::stats::{DropReason, Event, RemoteReport, Removal};
use super::{Component, Session, State};
use crate::ntp::from_short;
use crate::rtcp::{Bye, Compound, Feedback, ReportBlock, RtcpPacket, SdesChunk};
use crate::{SequenceNumber, SourcePolicy, Ssrc};
use std::net::SocketAddr;
use std::time::Instant;

/// An address from which our own SSRC has come (§8.2).
#[derive(Debug)]
pub(super) struct Conflict {
    from: SocketAddr,
    component: Component,
    at: Instant,
}

impl Session {
    /// Takes a datagram of RTCP. Under rtcp-mux [`Session::receive`] calls it.
    pub(super) fn receive_rtcp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), DropReason> {
        let result = self.check_rtcp(now, from, data);
        result.inspect_err(|reason| self.totals.drops.count(reason))
    }

    fn check_rtcp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), DropReason> {
        if self.is_ended() {
            return Err(DropReason::Ended);
        }
        let compound =
            Compound::parse(data, self.config.rtcp_size).map_err(DropReason::MalformedRtcp)?;
        if !self.rtcp_address_is_known(from) {
            return Err(DropReason::ForeignAddress);
        }
        self.totals.rtcp_rx += 1;
        let size = data.len() + self.config.transport_overhead;
        if let State::Leaving { members, .. } = &mut self.state {
            // §6.3.7: only BYEs count while leaving.
            let is_bye = |p: Result<RtcpPacket<'_>, _>| matches!(p, Ok(RtcpPacket::Bye(_)));
            if compound.packets().any(is_bye) {
                *members += 1;
                self.schedule.heard(size);
            }
            return Ok(());
        }
        self.schedule.heard(size);
        for packet in compound.packets() {
            match packet {
                Ok(packet) => self.control_packet(now, from, packet)?,
                Err(e) => self.totals.drops.count(&DropReason::MalformedRtcp(e)),
            }
        }
        Ok(())
    }

    fn control_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: RtcpPacket<'_>,
    ) -> Result<(), DropReason> {
        match packet {
            RtcpPacket::SenderReport(sr) => {
                let index = self.rtcp_source(now, from, sr.ssrc, None)?;
                self.sources[index].sender_info = Some((sr.info, now));
                self.reporter_heard(from, index);
                sr.blocks().for_each(|b| self.report_block(now, sr.ssrc, b));
            }
            RtcpPacket::ReceiverReport(rr) => {
                let index = self.rtcp_source(now, from, rr.ssrc, None)?;
                self.reporter_heard(from, index);
                rr.blocks().for_each(|b| self.report_block(now, rr.ssrc, b));
            }
            RtcpPacket::SourceDescription(sdes) => {
                for chunk in sdes.chunks() {
                    self.description(now, from, &chunk)?;
                }
            }
            RtcpPacket::Bye(bye) => self.goodbye(now, from, &bye),
            RtcpPacket::App(app) => self.emit(Event::App {
                ssrc: app.ssrc,
                subtype: app.subtype,
                name: app.name,
                data: app.data.to_vec(),
            }),
            RtcpPacket::Feedback(feedback) => self.feedback(&feedback),
            RtcpPacket::Unknown(_) => {}
        }
        Ok(())
    }

    /// The table entry of whoever speaks, with the conflicts of §8.2 resolved. `cname` is what an
    /// SDES chunk says.
    fn rtcp_source(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: Ssrc,
        cname: Option<&[u8]>,
    ) -> Result<usize, DropReason> {
        if ssrc == self.ssrc && !self.config.accept_looped {
            self.own_ssrc_heard(now, from, Component::Rtcp)?;
        }
        let index = self.source_entry(now, ssrc, false).ok_or(DropReason::TooManySources)?;
        let source = &mut self.sources[index];
        let moved = source.rtcp_from.is_some_and(|known| known != from);
        // Behind symmetric RTP the address has been judged already and may change.
        if moved && self.config.source_policy == SourcePolicy::Any {
            let renamed =
                cname.zip(source.cname.as_deref()).is_some_and(|(new, old)| new != old.as_bytes());
            let interval = self.config.min_interval * 3;
            if renamed || now.saturating_duration_since(source.last_heard) < interval {
                self.totals.third_party_conflicts += 1;
                return Err(DropReason::Collision);
            }
        }
        source.rtcp_from = Some(from);
        source.last_heard = now;
        Ok(index)
    }

    /// §6.2.1: one packet makes no member; a second one does, as does a CNAME.
    fn reporter_heard(&mut self, from: SocketAddr, index: usize) {
        let source = &mut self.sources[index];
        source.control_packets = source.control_packets.saturating_add(1);
        if source.control_packets >= 2 {
            source.member = true;
        }
        let (ssrc, valid) = (source.ssrc, source.stream.is_some());
        self.prove_rtcp(from, ssrc, valid);
    }

    fn report_block(&mut self, now: Instant, reporter: Ssrc, block: ReportBlock) {
        if block.ssrc != self.ssrc || self.totals.tx_packets == 0 {
            return;
        }
        if let Some(mid) = &mut self.tx.mid {
            mid.reported(SequenceNumber(block.highest_sequence as u16));
        }
        let rate = f64::from(self.config.clock_rate.max(1));
        let report = RemoteReport {
            reporter,
            fraction_lost: f64::from(block.fraction_lost) / 256.0,
            cumulative_lost: block.cumulative_lost,
            jitter_ms: f64::from(block.jitter) * 1000.0 / rate,
            rtt_ms: self.round_trip(now, &block),
        };
        self.totals.remote_fraction_lost = Some(report.fraction_lost);
        self.totals.remote_lost = Some(report.cumulative_lost);
        self.totals.remote_jitter_ms = Some(report.jitter_ms);
        if report.rtt_ms.is_some() {
            self.totals.rtt_ms = report.rtt_ms;
        }
        self.emit(Event::Report(report));
    }

    /// §6.4.1: arrival minus LSR minus DLSR, reckoned from when we have sent that very report.
    fn round_trip(&self, now: Instant, block: &ReportBlock) -> Option<f64> {
        if block.last_sr == 0 {
            return None;
        }
        let (_, sent) = self.sent_reports.iter().rev().find(|(lsr, _)| *lsr == block.last_sr)?;
        let since = now.saturating_duration_since(*sent);
        // The peer's clock may run a little fast: less than nothing is nothing.
        let rtt = since.saturating_sub(from_short(block.delay_since_last_sr));
        Some(rtt.as_secs_f64() * 1000.0)
    }

    fn description(
        &mut self,
        now: Instant,
        from: SocketAddr,
        chunk: &SdesChunk<'_>,
    ) -> Result<(), DropReason> {
        let Some(cname) = chunk.cname() else { return Ok(()) };
        let index = self.rtcp_source(now, from, chunk.ssrc, Some(cname))?;
        let source = &mut self.sources[index];
        source.member = true;
        if source.cname.as_deref().is_some_and(|known| known.as_bytes() == cname) {
            return Ok(());
        }
        if source.cname.is_some() {
            // §8.2: one SSRC under two names. The first is kept.
            self.totals.third_party_conflicts += 1;
            return Ok(());
        }
        let cname = String::from_utf8_lossy(cname).into_owned();
        source.cname = Some(cname.clone().into_boxed_str());
        self.emit(Event::SourceNamed { ssrc: chunk.ssrc, cname });
        Ok(())
    }

    /// §6.3.4.
    fn goodbye(&mut self, now: Instant, from: SocketAddr, bye: &Bye<'_>) {
        for ssrc in bye.sources() {
            let Some(index) = self.source_index(ssrc) else { continue };
            let source = &mut self.sources[index];
            // §8.2: a BYE counts from the source's own address; under symmetric RTP the address
            // has been judged before.
            let strange = source.rtcp_from.is_some_and(|known| known != from);
            if source.left.is_some() || (strange && self.config.source_policy == SourcePolicy::Any)
            {
                continue;
            }
            source.left = Some(now);
            source.sender = false;
            if source.member {
                let reason = bye.reason.map(|r| String::from_utf8_lossy(r).into_owned());
                self.emit(Event::SourceRemoved { ssrc, why: Removal::Bye(reason) });
            }
        }
        let members = self.group().members;
        self.schedule.reverse(now, members);
    }

    fn feedback(&mut self, feedback: &Feedback<'_>) {
        // Some formats name their target in the control information and leave this field 0.
        if feedback.media == self.ssrc || feedback.media == Ssrc(0) {
            self.emit(Event::Feedback {
                kind: feedback.kind,
                format: feedback.format,
                sender: feedback.sender,
                control: feedback.control.to_vec(),
            });
        }
    }

    /// §8.2 for our own SSRC: an error means that the packet is a loop and not to be processed.
    pub(super) fn own_ssrc_heard(
        &mut self,
        now: Instant,
        from: SocketAddr,
        component: Component,
    ) -> Result<(), DropReason> {
        let interval = self.schedule.timeout_interval(self.group());
        // "On the order of 10 RTCP report intervals".
        self.conflicts.retain(|c| now.saturating_duration_since(c.at) < interval * 10);
        let known = self.conflicts.iter_mut().find(|c| (c.from, c.component) == (from, component));
        if let Some(conflict) = known {
            conflict.at = now;
            return Err(DropReason::Loop);
        }
        if self.conflicts.len() >= self.config.max_conflicts
            || self.totals.ssrc_changes >= u64::from(self.config.max_ssrc_changes)
        {
            return Err(DropReason::Loop);
        }
        // Under rtcp-mux one address stands for both.
        self.conflicts.push(Conflict { from, component, at: now });
        self.totals.ssrc_changes += 1;
        let old = self.ssrc;
        self.renew_ssrc(now);
        self.emit(Event::SsrcChanged { old, new: self.ssrc });
        Ok(())
    }

    fn rtcp_address_is_known(&self, from: SocketAddr) -> bool {
        let rtp = self.symmetric.remote();
        match self.config.source_policy {
            SourcePolicy::Any => true,
            SourcePolicy::SignalledOnly => self.rtcp_destination() == Some(from),
            SourcePolicy::Symmetric(_) if self.config.rtcp_mux => rtp == Some(from),
            SourcePolicy::Symmetric(_) => {
                let host = |a: Option<SocketAddr>| a.is_some_and(|a| a.ip() == from.ip());
                self.rtcp_destination() == Some(from) || host(self.rtcp_signalled) || host(rtp)
            }
        }
    }

    /// RTCP without rtcp-mux follows a NAT too: two reports from another port or host than
    /// signalled, of one valid source, from the host that media comes from.
    fn prove_rtcp(&mut self, from: SocketAddr, ssrc: Ssrc, valid: bool) {
        let symmetric = matches!(self.config.source_policy, SourcePolicy::Symmetric(_));
        let same_host = self.symmetric.remote().is_some_and(|a| a.ip() == from.ip());
        if self.config.rtcp_mux || !symmetric || !valid || !same_host {
            return;
        }
        let before = self.rtcp_destination();
        if before == Some(from) {
            self.rtcp_proof = None;
            return;
        }
        match &mut self.rtcp_proof {
            Some((address, known, run)) if (*address, *known) == (from, ssrc) => {
                *run += 1;
                self.rtcp_proof = None;
                self.rtcp_moved = Some(from);
                let component = Component::Rtcp;
                self.emit(Event::RemoteMoved { component, from: before, to: from });
            }
            proof => *proof = Some((from, ssrc, 1)),
        }
    }
}
