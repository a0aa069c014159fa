//! Injected randomness.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// A cryptographically strong generator, handed to each core by its owner.
///
/// A test seeds it with a number and gets the same run again; an application seeds it from the
/// operating system. ChaCha with 12 rounds keeps tags, branches, nonces and SSRCs unguessable
/// (RFC 3261 §19.3 asks for 32 bits of cryptographic randomness in a tag).
///
/// ```
/// let mut a = tiny_sak::Rng::from_seed(7);
/// let mut b = tiny_sak::Rng::from_seed(7);
/// assert_eq!(a.u64(), b.u64());
/// ```
#[derive(Clone)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A repeatable generator for tests and simulations.
    pub fn from_seed(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// A generator keyed with 32 bytes of entropy from the caller.
    pub fn from_entropy(key: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(key))
    }

    /// A generator seeded by the operating system. For the edges of the system only; cores are
    /// given theirs.
    ///
    /// # Errors
    /// When the operating system has no entropy source.
    pub fn from_os() -> std::io::Result<Self> {
        let mut key = [0u8; 32];
        getrandom::fill(&mut key).map_err(|e| std::io::Error::other(e.to_string()))?;
        Ok(Self::from_entropy(key))
    }

    /// An independent generator, so that two cores never share a stream.
    pub fn fork(&mut self) -> Self {
        let mut key = [0u8; 32];
        self.fill(&mut key);
        Self::from_entropy(key)
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound` without bias; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // Rejects the uneven tail of the 64-bit range.
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let x = self.u64();
            if x < zone {
                return x % bound;
            }
        }
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with the given probability (0.0 never, 1.0 always).
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Fills a buffer.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_are_independent_and_repeatable() {
        let (mut a, mut b) = (Rng::from_seed(1), Rng::from_seed(1));
        let (mut fa, mut fb) = (a.fork(), b.fork());
        assert_eq!(fa.u64(), fb.u64());
        assert_ne!(fa.u64(), a.u64());
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        let mut rng = Rng::from_seed(3);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[rng.below(7) as usize] = true;
        }
        assert!(seen.iter().all(|s| *s));
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn two_generators_from_the_system_differ() {
        let (mut a, mut b) = (Rng::from_os().unwrap(), Rng::from_os().unwrap());
        assert_ne!(a.u64(), b.u64());
    }
}
