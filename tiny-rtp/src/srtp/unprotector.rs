//! The receiving side (RFC 3711 §3.3, §3.4): index, replay list, tag, decryption. Nothing is remembered
//! of a packet before it proved authentic, so forged packets make no sources (RFC 4568 §6.4.1).

use super::context::{Context, Continuity, Source};
use super::transform::{RtpHead, SessionKeys, rtcp_ssrc};
use super::window::MAX_INDEX;
use super::{KeyError, MasterKey, Policy, SrtpCounts, SrtpError};

/// Verifies and decrypts what is received under the peer's master keys.
pub struct Unprotector {
    context: Context,
    // The keys before the last change, while packets under them may still be on the way.
    previous: Option<Context>,
    overlap: u32,
    scratch: Vec<u8>,
    counts: SrtpCounts,
}

type Open = fn(&mut Context, &mut [u8]) -> Result<usize, SrtpError>;

impl Unprotector {
    /// With one master key, or several that have identifiers.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with keys or policy.
    pub fn new(policy: Policy, keys: Vec<MasterKey>) -> Result<Self, KeyError> {
        Ok(Self {
            context: Context::new(policy, &keys)?,
            previous: None,
            overlap: 0,
            scratch: Vec::new(),
            counts: SrtpCounts::default(),
        })
    }

    /// Makes the RTP packet of an SRTP packet, in its place, and gives its length.
    ///
    /// # Errors
    /// [`SrtpError`]; the packet must then be dropped, and its octets are unspecified.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let done = self.open(packet, open_rtp);
        match done {
            Ok(_) => self.counts.rtp += 1,
            Err(e) => self.counts.note(e),
        }
        done
    }

    /// Makes the RTCP packet of an SRTCP packet, in its place, and gives its length.
    ///
    /// # Errors
    /// [`SrtpError`]; the packet must then be dropped, and its octets are unspecified.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let done = self.open(packet, open_rtcp);
        match done {
            Ok(_) => self.counts.rtcp += 1,
            Err(e) => self.counts.note(e),
        }
        done
    }

    /// Replaces policy and master keys. Packets under the old ones are still taken until
    /// [`Policy::rekey_overlap`] packets came under the new ones, or until
    /// [`retire_previous`](Self::retire_previous).
    ///
    /// # Errors
    /// [`KeyError`]; everything is then as it was.
    pub fn rekey(
        &mut self,
        policy: Policy,
        keys: Vec<MasterKey>,
        continuity: Continuity,
    ) -> Result<(), KeyError> {
        let next = self.context.successor(policy, &keys, continuity)?;
        self.overlap = policy.rekey_overlap;
        self.previous = Some(std::mem::replace(&mut self.context, next));
        Ok(())
    }

    /// Comes after one whose keys were agreed on elsewhere, by a handshake of its own: packets under those
    /// are still taken, for as long as after [`rekey`](Self::rekey) (RFC 5764 §5.2). Indexes begin anew.
    pub fn follow(&mut self, before: Self) {
        self.overlap = self.context.policy.rekey_overlap;
        self.previous = Some(before.context);
    }

    /// Takes nothing more under the keys before the last change.
    pub fn retire_previous(&mut self) {
        self.previous = None;
    }

    /// Forgets a source that left the session for good (RFC 4568 §6.5): should it come back, its
    /// rollover counter is zero again, and what it sent before counts as new.
    pub fn forget(&mut self, ssrc: u32) {
        self.context.sources.retain(|s| s.ssrc != ssrc);
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
    fn open(&mut self, packet: &mut [u8], with: Open) -> Result<usize, SrtpError> {
        if self.previous.is_none() {
            return with(&mut self.context, packet);
        }
        self.open_with_both(packet, with)
    }

    #[cold]
    fn open_with_both(&mut self, packet: &mut [u8], with: Open) -> Result<usize, SrtpError> {
        // A failed AEAD leaves nothing to try another key on.
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        match with(&mut self.context, packet) {
            Ok(len) => {
                self.overlap = self.overlap.saturating_sub(1);
                if self.overlap == 0 {
                    self.previous = None;
                }
                Ok(len)
            }
            Err(e) => {
                packet.copy_from_slice(&self.scratch);
                // What these keys say of a replay is final: the packet is theirs or was theirs.
                let final_word =
                    matches!(e, SrtpError::Replayed | SrtpError::TooOld | SrtpError::KeyExhausted);
                match &mut self.previous {
                    Some(previous) if !final_word => with(previous, packet).map_err(|_| e),
                    _ => Err(e),
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

impl std::fmt::Debug for Unprotector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unprotector")
            .field("policy", &self.context.policy)
            .field("keys", &self.context.slots.len())
            .field("previous", &self.previous.is_some())
            .field("counts", &self.counts)
            .finish()
    }
}

#[inline]
fn open_rtp(context: &mut Context, packet: &mut [u8]) -> Result<usize, SrtpError> {
    let head = RtpHead::read(packet)?;
    let mki_len = context.mki_len;
    let slot = find_slot(context, |keys| keys.rtp.mki(packet, mki_len))?;
    context.slots[slot].rtp_left()?;
    let at = context.find(head.ssrc);
    let index = match at {
        Some(at) => {
            let window = &context.sources[at].rtp;
            let index = window.estimate(head.sequence);
            if index > MAX_INDEX {
                return Err(SrtpError::KeyExhausted);
            }
            window.check(index)?;
            index
        }
        None if context.has_room() => head.sequence.into(),
        None => return Err(SrtpError::TooManySources),
    };
    let slot = &mut context.slots[slot];
    let len = slot.keys.rtp.open_rtp(packet, head, index, mki_len)?;
    slot.used.rtp += 1;
    let at = source(context, at, head.ssrc)?;
    context.sources[at].rtp.commit(index);
    Ok(len)
}

#[inline]
fn open_rtcp(context: &mut Context, packet: &mut [u8]) -> Result<usize, SrtpError> {
    let ssrc = rtcp_ssrc(packet)?;
    let mki_len = context.mki_len;
    let slot = find_slot(context, |keys| keys.rtcp.mki(packet, mki_len))?;
    context.slots[slot].rtcp_left()?;
    let tail = context.slots[slot].keys.rtcp.rtcp_tail(packet, mki_len)?;
    let at = context.find(ssrc);
    match at {
        Some(at) => context.sources[at].rtcp.check(tail.index.into())?,
        None if context.has_room() => {}
        None => return Err(SrtpError::TooManySources),
    }
    let slot = &mut context.slots[slot];
    let len = slot.keys.rtcp.open_rtcp(packet, ssrc, tail, mki_len)?;
    slot.used.rtcp += 1;
    let at = source(context, at, ssrc)?;
    context.sources[at].rtcp.commit(tail.index.into());
    Ok(len)
}

/// The master key that the packet names, or the only one. All keys of a context have one profile, so
/// any of them knows where the identifier is.
#[inline]
fn find_slot<'p>(
    context: &Context,
    mki_of: impl Fn(&SessionKeys) -> Option<&'p [u8]>,
) -> Result<usize, SrtpError> {
    if context.mki_len == 0 {
        return Ok(0);
    }
    let first = context.slots.first().ok_or(SrtpError::UnknownMki)?;
    let mki = mki_of(&first.keys).ok_or(SrtpError::Malformed)?;
    context.slots.iter().position(|s| s.mki == mki).ok_or(SrtpError::UnknownMki)
}

fn source(context: &mut Context, at: Option<usize>, ssrc: u32) -> Result<usize, SrtpError> {
    match at {
        Some(at) => Ok(at),
        None => {
            let source = Source::new(ssrc, &context.policy);
            context.insert(source)
        }
    }
}
