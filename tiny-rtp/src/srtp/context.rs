//! What a direction remembers: its master keys and, for each SSRC, where its stream is
//! (RFC 3711 §3.2). Sources are bounded; their table is searched from the one used last.

use super::cipher::AesCm;
use super::kdf::{Label, derive};
use super::transform::SessionKeys;
use super::window::Window;
use super::{KeyError, Lifetime, MasterKey, Policy, SrtpError};
use subtle::ConstantTimeEq;

/// What new keys do to the counters of each source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Rollover counters and RTCP indices go on: RFC 3711 §3.3.1 wants this of a re-key in the same
    /// context, and RFC 4568 §7.1.4 of an offer that keeps the address.
    Keep,
    /// A new context with rollover counters of zero: RFC 4568 §7.1.4 wants this where an address or
    /// port changed, and a new DTLS association brings it. The keys must be new.
    Reset,
}

/// A master key at work.
pub(super) struct Slot {
    pub(super) mki: Vec<u8>,
    pub(super) keys: SessionKeys,
    pub(super) lifetime: Lifetime,
    pub(super) used: Lifetime,
    fingerprint: [u8; 16],
}

/// One SSRC.
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) rtp: Window,
    pub(super) rtcp: Window,
    pub(super) next_rtcp: u32,
}

impl Source {
    pub(super) fn new(ssrc: u32, policy: &Policy) -> Self {
        Self {
            ssrc,
            rtp: Window::new(policy.rtp_window),
            rtcp: Window::new(policy.rtcp_window),
            next_rtcp: 0,
        }
    }

    fn copy(&self) -> Self {
        Self {
            ssrc: self.ssrc,
            rtp: self.rtp.clone(),
            rtcp: self.rtcp.clone(),
            next_rtcp: self.next_rtcp,
        }
    }
}

/// Keys and sources of one direction.
pub(super) struct Context {
    pub(super) policy: Policy,
    pub(super) slots: Vec<Slot>,
    pub(super) mki_len: usize,
    pub(super) sources: Vec<Source>,
    last: usize,
}

impl Context {
    pub(super) fn new(policy: Policy, keys: &[MasterKey]) -> Result<Self, KeyError> {
        policy.check()?;
        let first = keys.first().ok_or(KeyError::NoKey)?;
        let mki_len = first.mki().len();
        if keys.len() > 1 && (mki_len == 0 || keys.iter().any(|k| k.mki().len() != mki_len)) {
            return Err(KeyError::MkiLength);
        }
        let mut slots: Vec<Slot> = Vec::with_capacity(keys.len());
        for key in keys {
            if key.profile() != policy.profile {
                return Err(KeyError::OtherProfile);
            }
            if slots.iter().any(|s| s.mki == key.mki()) {
                return Err(KeyError::MkiTwice);
            }
            slots.push(Slot::new(key, &policy)?);
        }
        Ok(Self { policy, slots, mki_len, sources: Vec::new(), last: 0 })
    }

    /// The context that follows this one.
    pub(super) fn successor(
        &self,
        policy: Policy,
        keys: &[MasterKey],
        continuity: Continuity,
    ) -> Result<Self, KeyError> {
        let mut next = Self::new(policy, keys)?;
        for slot in &mut next.slots {
            let same = |s: &&Slot| bool::from(s.fingerprint.ct_eq(&slot.fingerprint));
            if let Some(known) = self.slots.iter().find(same) {
                if continuity == Continuity::Reset {
                    return Err(KeyError::KeyReused);
                }
                slot.used = known.used;
            }
        }
        if continuity == Continuity::Keep {
            next.sources = self.sources.iter().map(Source::copy).collect();
        }
        Ok(next)
    }

    /// Where a source is in the table.
    #[inline]
    pub(super) fn find(&mut self, ssrc: u32) -> Option<usize> {
        if self.sources.get(self.last).is_some_and(|s| s.ssrc == ssrc) {
            return Some(self.last);
        }
        let at = self.sources.iter().position(|s| s.ssrc == ssrc)?;
        self.last = at;
        Some(at)
    }

    /// Takes in a source if there is room.
    pub(super) fn insert(&mut self, source: Source) -> Result<usize, SrtpError> {
        if self.sources.len() >= self.policy.max_sources {
            return Err(SrtpError::TooManySources);
        }
        self.sources.push(source);
        self.last = self.sources.len() - 1;
        Ok(self.last)
    }

    pub(super) fn has_room(&self) -> bool {
        self.sources.len() < self.policy.max_sources
    }
}

impl Slot {
    fn new(key: &MasterKey, policy: &Policy) -> Result<Self, KeyError> {
        let wrong =
            KeyError::KeyLength { expected: policy.profile.key_len(), actual: key.key().len() };
        let prf = AesCm::new(key.key()).ok_or(wrong)?;
        let mut fingerprint = [0u8; 16];
        derive(&prf, key.salt(), Label::Fingerprint, &mut fingerprint);
        Ok(Self {
            mki: key.mki().to_vec(),
            keys: SessionKeys::derive(key, policy).ok_or(wrong)?,
            lifetime: key.lifetime(),
            used: Lifetime { rtp: 0, rtcp: 0 },
            fingerprint,
        })
    }

    #[inline]
    pub(super) fn rtp_left(&self) -> Result<(), SrtpError> {
        if self.used.rtp < self.lifetime.rtp { Ok(()) } else { Err(SrtpError::KeyExhausted) }
    }

    #[inline]
    pub(super) fn rtcp_left(&self) -> Result<(), SrtpError> {
        if self.used.rtcp < self.lifetime.rtcp { Ok(()) } else { Err(SrtpError::KeyExhausted) }
    }
}
