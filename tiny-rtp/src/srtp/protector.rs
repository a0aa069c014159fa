//! The sending side (RFC 3711 §3.3, §3.4): index, encryption, tag, counters. It refuses to use an index
//! twice, because a keystream used twice protects nothing (§9.1, RFC 7714 §8.4).

use super::context::{Context, Continuity, Source};
use super::transform::{RTCP_WORD, RtpHead, rtcp_ssrc};
use super::window::MAX_INDEX;
use super::{KeyError, MasterKey, Policy, SrtpCounts, SrtpError};

/// RFC 4568 §6.4.2: a key that several SSRCs share is replaced before 2^31 packets.
const SHARED_LIFETIME: u64 = 1 << 31;
const MAX_PACKET: usize = 65_535;

/// Protects what is sent under one's own master keys.
pub struct Protector {
    context: Context,
    current: usize,
    counts: SrtpCounts,
}

impl Protector {
    /// With one master key, or several that have identifiers; the first is used.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with keys or policy.
    pub fn new(policy: Policy, keys: Vec<MasterKey>) -> Result<Self, KeyError> {
        let context = Context::new(policy, &keys)?;
        Ok(Self { context, current: 0, counts: SrtpCounts::default() })
    }

    /// Octets that an RTP packet grows by. Room for them in the buffer spares an allocation.
    pub fn rtp_overhead(&self) -> usize {
        self.context.policy.profile.rtp_tag_len() + self.context.mki_len
    }

    /// Octets that an RTCP packet grows by (RFC 3711 §3.4: they count in the average packet size).
    pub fn rtcp_overhead(&self) -> usize {
        self.context.policy.profile.rtcp_tag_len() + RTCP_WORD + self.context.mki_len
    }

    /// Makes an SRTP packet of an RTP packet, in its place.
    ///
    /// # Errors
    /// [`SrtpError`]; the packet is then as it was and must not be sent.
    pub fn protect_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let (len, overhead) = (packet.len(), self.rtp_overhead());
        packet.resize(len + overhead, 0);
        let done = self.protect_rtp_in(packet, len);
        packet.truncate(*done.as_ref().unwrap_or(&len));
        done.map(drop)
    }

    /// The same in a buffer whose first `len` octets are the packet and which has room for
    /// [`rtp_overhead`](Self::rtp_overhead) more. Gives the new length.
    ///
    /// # Errors
    /// [`SrtpError`]; the packet is then as it was.
    pub fn protect_rtp_in(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let done = self.rtp(buffer, len);
        match done {
            Ok(_) => self.counts.rtp += 1,
            Err(e) => self.counts.note(e),
        }
        done
    }

    /// Makes an SRTCP packet of a compound (or reduced-size) RTCP packet, in its place.
    ///
    /// # Errors
    /// [`SrtpError`]; the packet is then as it was and must not be sent.
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let (len, overhead) = (packet.len(), self.rtcp_overhead());
        packet.resize(len + overhead, 0);
        let done = self.protect_rtcp_in(packet, len);
        packet.truncate(*done.as_ref().unwrap_or(&len));
        done.map(drop)
    }

    /// The same in a buffer that has room for [`rtcp_overhead`](Self::rtcp_overhead) more octets.
    ///
    /// # Errors
    /// [`SrtpError`]; the packet is then as it was.
    pub fn protect_rtcp_in(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let done = self.rtcp(buffer, len);
        match done {
            Ok(_) => self.counts.rtcp += 1,
            Err(e) => self.counts.note(e),
        }
        done
    }

    /// Sends under another of the master keys from now on.
    ///
    /// # Errors
    /// [`SrtpError::UnknownMki`] when none has this identifier.
    pub fn use_key(&mut self, mki: &[u8]) -> Result<(), SrtpError> {
        let at = self.context.slots.iter().position(|s| s.mki == mki);
        self.current = at.ok_or(SrtpError::UnknownMki)?;
        Ok(())
    }

    /// Replaces policy and master keys; the first key is used from now on.
    ///
    /// # Errors
    /// [`KeyError`]; everything is then as it was. A key that was already used cannot start with
    /// fresh counters ([`KeyError::KeyReused`]).
    pub fn rekey(
        &mut self,
        policy: Policy,
        keys: Vec<MasterKey>,
        continuity: Continuity,
    ) -> Result<(), KeyError> {
        self.context = self.context.successor(policy, &keys, continuity)?;
        self.current = 0;
        Ok(())
    }

    /// True when seven eighths of what the key may protect are used, so that it is time for a new one.
    pub fn needs_rekey(&self) -> bool {
        let Some(slot) = self.context.slots.get(self.current) else { return true };
        let near = |used: u64, most: u64| used >= most - most / 8;
        near(slot.used.rtp, slot.lifetime.rtp.min(SHARED_LIFETIME))
            || near(slot.used.rtcp, slot.lifetime.rtcp)
    }

    /// What was done and what was refused.
    pub fn counts(&self) -> SrtpCounts {
        self.counts
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.context.policy
    }

    #[inline]
    fn rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let overhead = self.rtp_overhead();
        let head = RtpHead::read(within(buffer, len, overhead)?)?;
        let at = self.source(head.ssrc)?;
        let slot = self.context.slots.get_mut(self.current).ok_or(SrtpError::UnknownMki)?;
        slot.rtp_left()?;
        let window = &mut self.context.sources[at].rtp;
        let index = window.estimate(head.sequence);
        if index > MAX_INDEX {
            return Err(SrtpError::KeyExhausted);
        }
        window.check(index)?;
        let sealed = slot.keys.rtp.seal_rtp(buffer, len, head, index, &slot.mki);
        let sealed = sealed.ok_or(SrtpError::TooLong)?;
        window.commit(index);
        slot.used.rtp += 1;
        Ok(sealed)
    }

    #[inline]
    fn rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let overhead = self.rtcp_overhead();
        let ssrc = rtcp_ssrc(within(buffer, len, overhead)?)?;
        let at = self.source(ssrc)?;
        let slot = self.context.slots.get_mut(self.current).ok_or(SrtpError::UnknownMki)?;
        slot.rtcp_left()?;
        let source = &mut self.context.sources[at];
        // §3.4: the index may go round, but never under one key: 31 bits are used up once.
        let index = source.next_rtcp;
        if index >> 31 != 0 {
            return Err(SrtpError::KeyExhausted);
        }
        let sealed = slot.keys.rtcp.seal_rtcp(buffer, len, ssrc, index, &slot.mki);
        let sealed = sealed.ok_or(SrtpError::TooLong)?;
        source.next_rtcp += 1;
        slot.used.rtcp += 1;
        Ok(sealed)
    }

    #[inline]
    fn source(&mut self, ssrc: u32) -> Result<usize, SrtpError> {
        match self.context.find(ssrc) {
            Some(at) => Ok(at),
            None => {
                let source = Source::new(ssrc, &self.context.policy);
                self.context.insert(source)
            }
        }
    }

    #[cfg(test)]
    pub(super) fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

impl std::fmt::Debug for Protector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protector")
            .field("policy", &self.context.policy)
            .field("keys", &self.context.slots.len())
            .field("counts", &self.counts)
            .finish()
    }
}

fn within(buffer: &[u8], len: usize, overhead: usize) -> Result<&[u8], SrtpError> {
    if len > MAX_PACKET {
        return Err(SrtpError::TooLong);
    }
    if buffer.len() < len + overhead {
        return Err(SrtpError::NoRoom);
    }
    Ok(&buffer[..len])
}
