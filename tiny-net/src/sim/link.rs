//! One direction of a path: what it does to each packet.

use smallvec::{SmallVec, smallvec};
use std::time::{Duration, Instant};
use tiny_sak::Rng;

/// Bytes of IPv4 and UDP headers that a datagram adds on the wire.
pub(super) const OVERHEAD: usize = 28;

/// Losses that come in bursts: the two-state model of Gilbert and Elliott.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// The chance of turning bad, before each packet in the good state.
    pub enter: f64,
    /// The chance of turning good, before each packet in the bad state; its inverse is the mean
    /// burst length in packets.
    pub leave: f64,
    /// The share lost in the good state.
    pub loss_good: f64,
    /// The share lost in the bad state.
    pub loss_bad: f64,
}

/// What one direction of a path does to packets. The default is perfect: no delay and no loss.
#[derive(Debug, Clone, Default)]
pub struct Link {
    latency: Duration,
    jitter: Duration,
    loss: f64,
    burst: Option<Burst>,
    duplicate: f64,
    reorder: f64,
    reorder_by: Duration,
    bandwidth: Option<u64>,
    queue: usize,
    mtu: Option<usize>,
    drop_fragments: bool,
    down: Vec<(Instant, Option<Instant>)>,
}

impl Link {
    /// A perfect link.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time that every packet takes.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Additional time, drawn evenly from zero to this, that keeps the order of packets.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// The share of packets lost, each on its own (0.0 to 1.0). A lost piece of a stream comes
    /// late instead, as TCP would send it again.
    pub fn loss(mut self, share: f64) -> Self {
        self.loss = share;
        self
    }

    /// Losses in bursts, besides [`loss`](Self::loss).
    pub fn burst(mut self, burst: Burst) -> Self {
        self.burst = Some(burst);
        self
    }

    /// The share of datagrams that arrive twice.
    pub fn duplicate(mut self, share: f64) -> Self {
        self.duplicate = share;
        self
    }

    /// The share of datagrams that are held back by `by`, so that later ones overtake them.
    pub fn reorder(mut self, share: f64, by: Duration) -> Self {
        self.reorder = share;
        self.reorder_by = by;
        self
    }

    /// Bits a second, and the bytes that may wait for their turn; a packet that finds the queue
    /// full is lost.
    pub fn bandwidth(mut self, bits_per_second: u64, queue_bytes: usize) -> Self {
        self.bandwidth = Some(bits_per_second.max(1));
        self.queue = queue_bytes;
        self
    }

    /// The longest IP packet in bytes. A longer datagram travels in fragments, each of which may be
    /// lost; it arrives when all do.
    pub fn mtu(mut self, bytes: usize) -> Self {
        self.mtu = Some(bytes.max(68));
        self
    }

    /// Fragments never arrive, as behind many firewalls.
    pub fn drop_fragments(mut self) -> Self {
        self.drop_fragments = true;
        self
    }

    /// Nothing passes from a time on, until another if there is one.
    pub fn down(mut self, from: Instant, until: Option<Instant>) -> Self {
        self.down.push((from, until));
        self
    }
}

/// Why a link lost a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Random,
    QueueFull,
    Fragment,
    Down,
}

/// A link with its memory.
#[derive(Debug)]
pub(super) struct LinkState {
    link: Link,
    rng: Rng,
    bad: bool,
    // When the last bit accepted so far has left.
    busy_until: Option<Instant>,
    last_arrival: Option<Instant>,
}

// The first retransmission timeout of common TCPs; each further one doubles it.
const TCP_RTO: Duration = Duration::from_millis(200);

impl LinkState {
    pub(super) fn new(link: Link, rng: Rng) -> Self {
        Self { link, rng, bad: false, busy_until: None, last_arrival: None }
    }

    /// When a datagram of `size` bytes arrives: no, one or two times.
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        size: usize,
    ) -> Result<SmallVec<[Instant; 2]>, Loss> {
        let wire = size + OVERHEAD;
        let fragments = match self.link.mtu {
            // Each fragment repeats the 20 bytes of IP header and carries a multiple of 8 bytes.
            Some(mtu) if wire > mtu => (wire - 20).div_ceil((mtu - 20) & !7),
            _ => 1,
        };
        if self.is_down(now) {
            return Err(Loss::Down);
        }
        let left = self.transmit(now, wire + 20 * (fragments - 1)).ok_or(Loss::QueueFull)?;
        if fragments > 1 && self.link.drop_fragments {
            return Err(Loss::Fragment);
        }
        for _ in 0..fragments {
            if self.loses() {
                return Err(if fragments > 1 { Loss::Fragment } else { Loss::Random });
            }
        }
        let mut arrivals = smallvec![self.arrival(left, true)];
        if self.draw(self.link.duplicate) {
            arrivals.push(self.arrival(left, true));
        }
        Ok(arrivals)
    }

    /// When a piece of a stream arrives; losses make it late.
    pub(super) fn segment(&mut self, now: Instant, size: usize) -> Result<Instant, Loss> {
        if self.is_down(now) {
            return Err(Loss::Down);
        }
        // Room on the line is taken once, now: a retransmission in the future must not hold up the
        // packets of others before it.
        let mut left = self.transmit(now, size + 40);
        let mut delay = Duration::ZERO;
        let mut wait = TCP_RTO;
        // Ten doublings are over three minutes: the ends have given up by then.
        for attempt in 0..10 {
            // A burst is over by the time of a retransmission.
            let later = self.link.burst.map_or(0.0, |b| b.loss_good).max(self.link.loss);
            let lost = if attempt == 0 { self.loses() } else { self.draw(later) };
            if let Some(left) = left.filter(|_| !lost) {
                return Ok(self.arrival(left + delay, false));
            }
            left = left.or(Some(now));
            delay += wait;
            wait *= 2;
            if self.is_down(now + delay) {
                break;
            }
        }
        Err(Loss::Down)
    }

    fn is_down(&self, now: Instant) -> bool {
        self.link.down.iter().any(|(from, until)| now >= *from && until.is_none_or(|u| now < u))
    }

    // The time at which the last bit is out.
    fn transmit(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.link.bandwidth else { return Some(now) };
        let start = self.busy_until.map_or(now, |t| t.max(now));
        let waiting = (start - now).as_nanos() * u128::from(rate) / 8 / 1_000_000_000;
        if waiting + bytes as u128 > self.link.queue.max(bytes) as u128 {
            return None;
        }
        let nanos = bytes as u128 * 8 * 1_000_000_000 / u128::from(rate);
        let out = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2));
        self.busy_until = Some(out);
        Some(out)
    }

    fn loses(&mut self) -> bool {
        let burst = match self.link.burst {
            None => 0.0,
            Some(b) => {
                let turns = self.draw(if self.bad { b.leave } else { b.enter });
                self.bad ^= turns;
                if self.bad { b.loss_bad } else { b.loss_good }
            }
        };
        // Both are drawn always, so that the one does not shift the other's numbers.
        let (random, burst) = (self.draw(self.link.loss), self.draw(burst));
        random || burst
    }

    fn arrival(&mut self, left: Instant, may_reorder: bool) -> Instant {
        let jitter = self.link.jitter.mul_f64(if self.link.jitter.is_zero() {
            0.0
        } else {
            self.rng.unit()
        });
        let arrival = left + self.link.latency + jitter;
        if may_reorder && self.draw(self.link.reorder) {
            // Out of the line: it holds up nobody.
            return arrival + self.link.reorder_by;
        }
        let arrival = self.last_arrival.map_or(arrival, |last| last.max(arrival));
        self.last_arrival = Some(arrival);
        arrival
    }

    fn draw(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.rng.chance(chance)
    }
}
