//! From a next hop's name to targets with addresses of ours that reach them: the choice among what
//! RFC 3263 finds, and the race of two address families for a connection (RFC 8305 §5).
//!
//! It decides and keeps count; sockets are the driver's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Transport};
use tiny_sip::{QueryKey, Target};

/// How long a connection may take before one of the other family is tried beside it (RFC 8305 §5:
/// "Connection Attempt Delay").
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Two ways to one server, of both address families: the one that stands first is used.
pub(super) struct Race {
    pub(super) query: QueryKey,
    pub(super) name: Option<Arc<str>>,
    targets: Vec<Target>,
    started: usize,
    next_at: Instant,
    /// Why the latest of them failed.
    pub(super) trouble: Option<String>,
}

/// What became of a race.
pub(super) enum Outcome {
    /// Try this one too, from now on.
    Start(Target),
    /// The targets, the winner first.
    Over(Vec<Target>),
    /// None of them can be reached.
    Lost,
    Goes,
}

impl Race {
    /// A race, where the first two targets are worth one. The first is to be started now.
    pub(super) fn new(
        now: Instant,
        query: QueryKey,
        name: Option<Arc<str>>,
        targets: Vec<Target>,
    ) -> Result<Self, Vec<Target>> {
        match &targets[..] {
            [first, second, ..]
                if first.transport.is_reliable()
                    && first.transport == second.transport
                    && first.addr.port() == second.addr.port()
                    && first.addr.is_ipv4() != second.addr.is_ipv4() =>
            {
                let next_at = now + ATTEMPT_DELAY;
                Ok(Self { query, name, targets, started: 1, next_at, trouble: None })
            }
            _ => Err(targets),
        }
    }

    pub(super) fn first(&self) -> Option<Target> {
        self.targets.first().copied()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.started == 1).then_some(self.next_at)
    }

    pub(super) fn tick(&mut self, now: Instant) -> Outcome {
        match self.targets.get(1) {
            Some(second) if self.started == 1 && now >= self.next_at => {
                self.started = 2;
                Outcome::Start(*second)
            }
            _ => Outcome::Goes,
        }
    }

    /// A connection stands.
    pub(super) fn opened(&mut self, flow: Flow) -> Outcome {
        match self.runner(flow) {
            Some(winner) => {
                self.targets.swap(0, winner);
                Outcome::Over(std::mem::take(&mut self.targets))
            }
            None => Outcome::Goes,
        }
    }

    /// A connection will not come to stand: the others do not wait any longer.
    pub(super) fn failed(&mut self, flow: Flow, why: &str) -> Outcome {
        let Some(loser) = self.runner(flow) else { return Outcome::Goes };
        self.trouble = Some(format!("{}: {why}", flow.remote));
        self.targets.remove(loser);
        match (self.started, self.targets.first()) {
            (_, None) => Outcome::Lost,
            // Nobody runs any more: what is left is tried in turn.
            (1, _) => Outcome::Over(std::mem::take(&mut self.targets)),
            (_, Some(_)) => {
                self.started = 1;
                self.next_at += Duration::from_secs(86_400);
                Outcome::Goes
            }
        }
    }

    fn runner(&self, flow: Flow) -> Option<usize> {
        let running = self.targets.iter().take(self.started);
        running.into_iter().position(|t| t.transport == flow.transport && t.addr == flow.remote)
    }
}

/// Our listening address for a target, by transport and family.
pub(super) fn bound_for(
    addresses: &[(Transport, SocketAddr)],
    transport: Transport,
    remote: SocketAddr,
) -> Option<SocketAddr> {
    let same =
        |(t, a): &&(Transport, SocketAddr)| *t == transport && a.is_ipv4() == remote.is_ipv4();
    addresses.iter().find(same).map(|(_, a)| *a)
}

/// Why something could not be sent, where the driver has no better words.
pub(super) fn words(error: std::io::ErrorKind) -> String {
    use std::io::ErrorKind as E;
    match error {
        E::ConnectionRefused => "nobody listens there".into(),
        E::TimedOut => "it does not answer".into(),
        E::HostUnreachable | E::NetworkUnreachable => "there is no way to it".into(),
        E::QuotaExceeded => "too much waits to be sent".into(),
        other => other.to_string(),
    }
}
