//! Every pair of NAT types, with and without loss and relays: the best path there is, or a clear failure.

use super::*;
use crate::sim::Dependence;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    FullCone,
    AddressRestricted,
    PortRestricted,
    Symmetric,
}

const KINDS: [Kind; 4] =
    [Kind::FullCone, Kind::AddressRestricted, Kind::PortRestricted, Kind::Symmetric];

impl Kind {
    fn nat(self, outer: &str) -> Nat {
        let nat = match self {
            Self::FullCone => Nat::full_cone(ip(outer)),
            Self::AddressRestricted => Nat::new(ip(outer)).filtering(Dependence::AddressDependent),
            Self::PortRestricted => Nat::port_restricted(ip(outer)),
            Self::Symmetric => Nat::symmetric(ip(outer)),
        };
        // Few ports, as the box looks through all of them for each mapping.
        nat.preserve_ports(false).ports(20_000..=20_199)
    }

    fn is_direct_with(self, other: Self) -> bool {
        use Kind::{PortRestricted as P, Symmetric as S};
        !matches!((self, other), (S, S) | (S, P) | (P, S))
    }
}

fn lab(seed: u64, a: Kind, b: Kind, loss: f64, turn: bool) -> Lab {
    let path = Link::new().latency(ms(20)).jitter(ms(3)).loss(loss);
    let mut lab = Lab::new(seed, path);
    let server = lab.server();
    let config = if turn { with_turn(server) } else { with_stun(server) };
    for (kind, outer, inner) in
        [(a, "198.51.100.1", "10.0.0.2:4000"), (b, "198.51.100.2", "192.168.1.2:4000")]
    {
        let nat = lab.nat(kind.nat(outer));
        lab.side(config.clone(), outer.ends_with('1'), Some(nat), &[cable(inner)]);
    }
    lab.connect();
    lab
}

fn relays(pair: &PairReport) -> u32 {
    u32::from(pair.local_kind == CandidateKind::Relayed)
        + u32::from(pair.remote_kind == CandidateKind::Relayed)
}

fn best_is_nominated(lab: &Lab, direct: bool) -> bool {
    lab.both(State::Completed)
        && lab.agree()
        && lab.agent(0).selected(1).is_some_and(|pair| relays(&pair) == u32::from(!direct))
}

/// How long until both use the best path, and until both could send at all.
fn connect(seed: u64, a: Kind, b: Kind, loss: f64, turn: bool) -> Option<(Duration, Duration)> {
    let mut lab = lab(seed, a, b, loss, turn);
    let direct = a.is_direct_with(b);
    let can_send = |lab: &Lab| (0..2).all(|side| lab.agent(side).selected(1).is_some());
    if !lab.until(secs(70), can_send) {
        return None;
    }
    let first = lab.world.elapsed();
    lab.until(secs(70), |lab| best_is_nominated(lab, direct)).then(|| (first, lab.world.elapsed()))
}

fn table(seeds: std::ops::Range<u64>) {
    // Of each loss: runs, those without a path for 3 s.
    let (mut runs, mut slow, mut worst) = ([0u32; 3], [0u32; 3], Duration::ZERO);
    for a in KINDS {
        for b in KINDS {
            for (row, loss) in [0.0, 0.1, 0.3].into_iter().enumerate() {
                for seed in seeds.clone() {
                    for turn in [true, false] {
                        if !turn && !a.is_direct_with(b) {
                            continue;
                        }
                        let Some((first, best)) = connect(seed, a, b, loss, turn) else {
                            let mut lab = lab(seed, a, b, loss, turn);
                            lab.until(secs(140), |lab| best_is_nominated(lab, a.is_direct_with(b)));
                            let shown: Vec<String> = (0..2)
                                .flat_map(|s| lab.agent(s).report().pairs)
                                .map(|p| p.to_string())
                                .collect();
                            panic!(
                                "{a:?} {b:?} loss {loss} seed {seed} turn {turn}:\n{}",
                                shown.join("\n")
                            );
                        };
                        runs[row] += 1;
                        slow[row] += u32::from(first > secs(3));
                        worst = worst.max(best);
                    }
                }
            }
        }
    }
    // With 30 % loss each way half of all checks get no answer, and three quarters through a relay.
    let share = |row: usize| f64::from(slow[row]) / f64::from(runs[row]);
    assert_eq!(slow[0], 0);
    assert!(share(1) < 0.02 && share(2) < 0.3, "no path for 3 s in {slow:?} of {runs:?} runs");
    assert!(worst < secs(60), "the best path took {worst:?}");
}

#[test]
fn every_pair_of_nats_finds_its_best_path_with_0_10_and_30_percent_loss() {
    table(0..100);
}

#[test]
fn where_no_path_exists_the_failure_is_clear_and_in_time() {
    for (a, b) in [
        (Kind::Symmetric, Kind::Symmetric),
        (Kind::Symmetric, Kind::PortRestricted),
        (Kind::PortRestricted, Kind::Symmetric),
    ] {
        for (loss, seed) in [0.0, 0.1, 0.3].into_iter().flat_map(|l| (0..100).map(move |s| (l, s)))
        {
            let mut lab = lab(seed, a, b, loss, false);
            assert!(!lab.until(ms(39_400), |lab| lab.agent(0).state() == State::Failed));
            assert!(
                lab.until(secs(40), |lab| lab.both(State::Failed)),
                "{a:?} {b:?} {loss} {seed}"
            );
            let report = lab.agent(0).report();
            assert!(matches!(report.failure, Some(IceFailure::NoPath(n)) if n > 0));
            assert!(report.pairs.iter().all(|p| !p.selected && !p.nominated));
            assert!(lab.told(0, |e| matches!(e, Event::Failed(IceFailure::NoPath(_)))).is_some());
            assert_eq!(lab.act(0, |agent, now| agent.send(now, 1, b"x")), Err(SendError::NoPath));
            // And then there is silence.
            let before = lab.world.network.packets();
            lab.run(secs(60));
            assert_eq!(lab.world.network.packets(), before);
        }
    }
}
