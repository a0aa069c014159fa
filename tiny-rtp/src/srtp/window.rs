//! Where a packet belongs in its stream (RFC 3711 §3.3.1, appendix A) and whether it was there before
//! (§3.3.2). The list of the received is a ring of bits, of which whole words are cleared ahead.

use super::SrtpError;

/// Indices have 48 bits.
pub(super) const MAX_INDEX: u64 = (1 << 48) - 1;

/// The highest index so far, and which of those behind it were there.
#[derive(Clone)]
pub(super) struct Window {
    highest: Option<u64>,
    // A power of two of words, at least one more than the window fills.
    ring: Box<[u64]>,
    size: u64,
}

impl Window {
    pub(super) fn new(size: u32) -> Self {
        let words = (size.div_ceil(64) as usize + 1).next_power_of_two();
        Self { highest: None, ring: vec![0; words].into(), size: size.into() }
    }

    /// The index that a sequence number stands for: the closest to the highest one so far.
    #[inline]
    pub(super) fn estimate(&self, sequence: u16) -> u64 {
        let Some(highest) = self.highest else { return sequence.into() };
        let (roc, last) = (highest >> 16, (highest & 0xffff) as u32);
        let seq = u32::from(sequence);
        let v = if last < 0x8000 {
            // Before the first wrap there is nothing to go back to.
            if seq > last + 0x8000 { roc.saturating_sub(1) } else { roc }
        } else if last - 0x8000 > seq {
            roc + 1
        } else {
            roc
        };
        v << 16 | u64::from(sequence)
    }

    /// True when the index is neither behind the window nor was there before.
    #[inline]
    pub(super) fn check(&self, index: u64) -> Result<(), SrtpError> {
        match self.highest {
            Some(highest) if index <= highest => {
                if highest - index >= self.size {
                    Err(SrtpError::TooOld)
                } else if self.ring[self.word(index)] >> (index % 64) & 1 != 0 {
                    Err(SrtpError::Replayed)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Notes an index that was checked and found authentic.
    #[inline]
    pub(super) fn commit(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {}
            highest => {
                if let Some(highest) = highest {
                    let ahead = (index / 64 - highest / 64).min(self.ring.len() as u64);
                    for word in 1..=ahead {
                        let at = self.word(highest + word * 64);
                        self.ring[at] = 0;
                    }
                }
                self.highest = Some(index);
            }
        }
        let at = self.word(index);
        self.ring[at] |= 1 << (index % 64);
    }

    #[cfg(test)]
    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    #[inline]
    fn word(&self, index: u64) -> usize {
        (index / 64) as usize & (self.ring.len() - 1)
    }
}
