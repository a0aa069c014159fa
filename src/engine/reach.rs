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
    /// When the second starts; `None` once it has, or when the first is the only one left to wait for.
    next_at: Option<Instant>,
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
                let next_at = Some(now + ATTEMPT_DELAY);
                Ok(Self { query, name, targets, started: 1, next_at, trouble: None })
            }
            _ => Err(targets),
        }
    }

    pub(super) fn first(&self) -> Option<Target> {
        self.targets.first().copied()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    pub(super) fn tick(&mut self, now: Instant) -> Outcome {
        match self.targets.get(1) {
            Some(second) if self.next_at.is_some_and(|at| now >= at) => {
                (self.started, self.next_at) = (2, None);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn target(addr: &str) -> Target {
        let local = if addr.starts_with('[') { "[::1]:1" } else { "127.0.0.1:1" };
        let (addr, local) = (addr.parse().unwrap(), local.parse().unwrap());
        Target { transport: Transport::Tls, addr, local }
    }

    fn flow(t: Target) -> Flow {
        Flow { transport: t.transport, local: t.local, remote: t.addr }
    }

    fn pair() -> Vec<Target> {
        vec![target("[2001:db8::1]:5061"), target("192.0.2.1:5061"), target("192.0.2.9:5061")]
    }

    fn race(now: Instant) -> Race {
        Race::new(now, QueryKey::default(), None, pair()).unwrap_or_else(|_| panic!("no race"))
    }

    #[test]
    fn the_other_family_starts_after_250_ms_and_the_first_to_stand_wins() {
        let now = Instant::now();
        let mut race = race(now);
        assert_eq!(race.deadline(), Some(now + ATTEMPT_DELAY));
        assert!(matches!(race.tick(now + Duration::from_millis(249)), Outcome::Goes));
        // One that does not run cannot win.
        assert!(matches!(race.opened(flow(pair()[1])), Outcome::Goes));
        let Outcome::Start(second) = race.tick(now + ATTEMPT_DELAY) else { panic!("late") };
        assert_eq!(second, pair()[1]);
        assert_eq!(race.deadline(), None);
        let Outcome::Over(order) = race.opened(flow(second)) else { panic!("not over") };
        assert_eq!(order, [pair()[1], pair()[0], pair()[2]]);
    }

    #[test]
    fn a_family_that_fails_at_once_leaves_the_rest_in_order() {
        let now = Instant::now();
        let mut race = race(now);
        let Outcome::Over(order) = race.failed(flow(pair()[0]), "refused") else { panic!() };
        assert_eq!(order, pair()[1..]);
    }

    #[test]
    fn the_one_that_is_left_runs_on_and_its_end_is_told() {
        let now = Instant::now();
        let targets = pair()[..2].to_vec();
        let mut race =
            Race::new(now, QueryKey::default(), None, targets).unwrap_or_else(|_| panic!());
        race.tick(now + ATTEMPT_DELAY);
        assert!(matches!(race.failed(flow(pair()[0]), "refused"), Outcome::Goes));
        assert!(matches!(race.tick(now + ATTEMPT_DELAY * 2), Outcome::Goes));
        assert!(matches!(race.failed(flow(pair()[1]), "no answer"), Outcome::Lost));
        assert_eq!(race.trouble.as_deref(), Some("192.0.2.1:5061: no answer"));
    }

    #[test]
    fn one_family_or_datagrams_are_no_race() {
        let now = Instant::now();
        let new = |targets| Race::new(now, QueryKey::default(), None, targets).is_ok();
        assert!(!new(vec![target("192.0.2.1:5061"), target("192.0.2.2:5061")]));
        assert!(!new(pair()[..1].to_vec()));
        let udp = |t: &Target| Target { transport: Transport::Udp, ..*t };
        assert!(!new(pair().iter().map(udp).collect()));
    }
}
