//! Symmetric RTP (RFC 4961) with proof: where media goes when the peer sends from another address
//! than it has signalled.
//!
//! Media goes to the signalled address until another source has sent several packets with
//! consecutive sequence numbers under one SSRC. It never moves on one packet, and never away from
//! a source that is still heard; only the signalled address itself may take media back.

use crate::{SequenceNumber, Ssrc};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Whose packets are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourcePolicy {
    /// The address that [`SymmetricRtp`] has settled on. The default.
    Symmetric(SymmetricConfig),
    /// The signalled addresses and no other, e.g. inside a closed network.
    SignalledOnly,
    /// Any address: another layer (ICE, a relay, multicast) has decided. Media goes to the
    /// signalled address; collisions between sources are resolved by RFC 3550 §8.2.
    Any,
}

impl Default for SourcePolicy {
    fn default() -> Self {
        Self::Symmetric(SymmetricConfig::default())
    }
}

/// What a new source must prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymmetricConfig {
    /// Consecutive valid packets before media moves to their source. Default 4: 80 ms of audio.
    pub proof: u16,
    /// The same for a source with another SSRC than the one heard before. Default 8.
    pub proof_other_ssrc: u16,
    /// How long the present source must have been silent before another may take its place.
    /// Default 3 s.
    pub silence: Duration,
    /// A run of packets with a longer pause in it proves nothing. Default 1 s.
    pub max_pause: Duration,
    /// Whether the signalled address may take media back by the same proof while the source
    /// latched in its place is still heard. Default true: a forged early source then holds on
    /// only until the peer itself speaks.
    pub signalled_reclaims: bool,
    /// Sources that may be proving themselves at the same time. Default 16.
    pub max_candidates: usize,
}

impl Default for SymmetricConfig {
    fn default() -> Self {
        Self {
            proof: 4,
            proof_other_ssrc: 8,
            silence: Duration::from_secs(3),
            max_pause: Duration::from_secs(1),
            signalled_reclaims: true,
            max_candidates: 16,
        }
    }
}

/// What is to be done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It comes from where media goes.
    Accept,
    /// It has completed a proof: media moves. `run` packets prove it, this one included.
    Moved {
        /// Where media went before.
        from: Option<SocketAddr>,
        /// The length of the proof.
        run: u16,
    },
    /// It is one step of a proof. `first` when the run begins with it.
    Proving {
        /// The run begins here; what was kept of an earlier one is void.
        first: bool,
    },
    /// The present source is alive: no other is heard.
    Foreign,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    from: SocketAddr,
    ssrc: Ssrc,
    last: SequenceNumber,
    run: u16,
    at: Instant,
}

/// The machine behind [`SourcePolicy::Symmetric`].
///
/// ```
/// use std::time::Instant;
/// use tiny_rtp::{SequenceNumber, Ssrc, SymmetricConfig, SymmetricRtp, Verdict};
/// let now = Instant::now();
/// let signalled = "192.168.1.7:4000".parse().unwrap(); // a private address
/// let real = "203.0.113.9:61234".parse().unwrap(); // what its NAT makes of it
/// let mut rtp = SymmetricRtp::new(SymmetricConfig::default());
/// rtp.set_signalled(Some(signalled));
/// for n in 0..3 {
///     rtp.offer(now, real, Ssrc(1), SequenceNumber(n));
///     assert_eq!(rtp.remote(), Some(signalled));
/// }
/// let verdict = rtp.offer(now, real, Ssrc(1), SequenceNumber(3));
/// assert_eq!(verdict, Verdict::Moved { from: Some(signalled), run: 4 });
/// assert_eq!(rtp.remote(), Some(real));
/// ```
#[derive(Debug)]
pub struct SymmetricRtp {
    config: SymmetricConfig,
    signalled: Option<SocketAddr>,
    current: Option<SocketAddr>,
    // When the present source was last heard, and under which SSRC.
    heard: Option<(Instant, Ssrc)>,
    candidates: Vec<Candidate>,
    moves: u64,
}

impl SymmetricRtp {
    /// A machine that knows no address.
    pub fn new(config: SymmetricConfig) -> Self {
        let candidates = Vec::with_capacity(config.max_candidates.clamp(1, 256));
        Self { config, signalled: None, current: None, heard: None, candidates, moves: 0 }
    }

    /// Signalling has named an address. An unchanged one changes nothing; a new one undoes what
    /// was latched, and every proof begins anew.
    pub fn set_signalled(&mut self, address: Option<SocketAddr>) {
        if self.signalled != address {
            self.signalled = address;
            self.current = address;
            self.heard = None;
            self.candidates.clear();
        }
    }

    /// Where media goes.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.current
    }

    /// Where signalling says that it should go.
    pub fn signalled(&self) -> Option<SocketAddr> {
        self.signalled
    }

    /// Whether media goes elsewhere than signalled.
    pub fn is_latched(&self) -> bool {
        self.current != self.signalled
    }

    /// How often media has moved.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Judges one packet that is valid RTP of an expected payload type.
    pub fn offer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: Ssrc,
        sequence: SequenceNumber,
    ) -> Verdict {
        if self.current == Some(from) {
            self.heard = Some((now, ssrc));
            return Verdict::Accept;
        }
        let reclaims = self.config.signalled_reclaims && self.signalled == Some(from);
        let silent = self
            .heard
            .is_none_or(|(at, _)| now.saturating_duration_since(at) >= self.config.silence);
        if !silent && !reclaims {
            // Nothing is remembered either: a proof must lie wholly within the silence.
            self.candidates.retain(|c| c.from != from);
            return Verdict::Foreign;
        }
        let run = self.step(now, from, ssrc, sequence);
        let same_ssrc = self.heard.is_none_or(|(_, known)| known == ssrc);
        let proof = if same_ssrc { self.config.proof } else { self.config.proof_other_ssrc };
        // "Never on one packet" holds for every configuration.
        if run < proof.max(2) {
            return Verdict::Proving { first: run == 1 };
        }
        let from_before = self.current.replace(from);
        self.heard = Some((now, ssrc));
        self.candidates.clear();
        self.moves += 1;
        Verdict::Moved { from: from_before, run }
    }

    fn step(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: Ssrc,
        sequence: SequenceNumber,
    ) -> u16 {
        let fresh = Candidate { from, ssrc, last: sequence, run: 1, at: now };
        if let Some(c) = self.candidates.iter_mut().find(|c| c.from == from) {
            let in_time = now.saturating_duration_since(c.at) <= self.config.max_pause;
            if c.ssrc == ssrc && sequence == c.last.next() && in_time {
                (c.last, c.run, c.at) = (sequence, c.run.saturating_add(1), now);
                return c.run;
            }
            *c = fresh;
            return 1;
        }
        if self.candidates.len() < self.config.max_candidates.clamp(1, 256) {
            self.candidates.push(fresh);
            return 1;
        }
        // The one that has proven least gives way, the oldest among equals; a stale run is worth
        // nothing.
        let max_pause = self.config.max_pause;
        let worst = self.candidates.iter_mut().min_by_key(|c| {
            let stale = now.saturating_duration_since(c.at) > max_pause;
            (if stale { 0 } else { c.run }, c.at)
        });
        if let Some(slot) = worst {
            *slot = fresh;
        }
        1
    }
}

#[cfg(test)]
mod tests;
