//! Ten thousand calls whose two sides press every button at once – hold, resume, transfer, hang up –
//! while sessions are refreshed and telephones change their network, under loss, duplication and reordering: in the end both sides agree,
//! and nothing is left over.

use super::village::{Phone, Village, quiet};
use crate::command::{Command, PlaceCall};
use crate::command::{TransferCall, TransferTo};
use crate::{Call, CallState, ChangePolicy, Config, Event, IncomingCall, Policy, TransferPolicy};
use std::collections::BTreeMap;
use std::time::Duration;
use tiny_net::sim::Link;
use tiny_sak::Rng;
use tokio::sync::oneshot;

/// Calls that are up at the same time.
const BATCH: u64 = 250;
const CAROL: &str = "sip:carol@192.0.2.3";

/// What one side does to a call.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Hold,
    Resume,
    Hangup,
    /// Sends the other side to Carol, who takes half of the calls.
    Transfer,
}

/// One call: what each side does, and when, in ms after it was placed.
struct Script {
    deeds: Vec<(u64, usize, Deed)>,
}

fn script(rng: &mut Rng) -> Script {
    let mut deeds = Vec::new();
    let mut at = 500;
    for _ in 0..rng.below(6) {
        // Half of them collide: both sides within the time of a round trip.
        at += if rng.below(2) == 0 { rng.below(60) } else { rng.below(4_000) };
        let deed = match rng.below(9) {
            0 => Deed::Transfer,
            1..5 => Deed::Hold,
            _ => Deed::Resume,
        };
        deeds.push((at, rng.below(2) as usize, deed));
        if rng.below(3) == 0 {
            deeds.push((at, rng.below(2) as usize, Deed::Resume));
        }
    }
    // A third is hung up in the midst of it, by one side or by both.
    match rng.below(6) {
        0 => deeds.push((at + rng.below(100), rng.below(2) as usize, Deed::Hangup)),
        1 => deeds.extend([0, 1].map(|side| (at + rng.below(100), side, Deed::Hangup))),
        _ => {}
    }
    Script { deeds }
}

fn place(phone: &Phone, to: &str, number: u64) -> oneshot::Receiver<Result<Call, crate::Error>> {
    let (reply, placed) = oneshot::channel();
    let headers = vec![("X-Number".to_owned(), number.to_string())];
    let account = phone.account.key();
    let call = Box::new(PlaceCall::new(account, to.to_owned(), headers, quiet()));
    phone.shared.commands.tell(Command::Call { call, reply });
    placed
}

fn answer(phone: &Phone, incoming: &IncomingCall) {
    let (call, headers, audio) = (incoming.call.inner.key, Vec::new(), quiet());
    let (reply, _) = oneshot::channel();
    phone.shared.commands.tell(Command::Answer { call, headers, audio, reply });
}

fn act(phone: &Phone, call: &Call, deed: Deed) {
    let (call, headers) = (call.inner.key, Vec::new());
    if let Deed::Transfer = deed {
        let to = TransferTo::Uri(CAROL.to_owned());
        let request = Box::new(TransferCall { call, to, headers, quiet: false });
        let (reply, _) = oneshot::channel();
        return phone.shared.commands.tell(Command::Transfer { request, reply });
    }
    let (reply, _) = oneshot::channel();
    let command = match deed {
        Deed::Hold => Command::Hold { call, on: true, headers, reply },
        Deed::Resume => Command::Hold { call, on: false, headers, reply },
        Deed::Hangup | Deed::Transfer => Command::Hangup { call, headers },
    };
    phone.shared.commands.tell(command);
}

/// Both sides' view of a call that both believe to be up.
fn agree(a: &CallState, b: &CallState) -> bool {
    use CallState::{Ended, Established};
    match (a, b) {
        (
            Established { held: a_holds, held_by_peer: a_held, .. },
            Established { held: b_holds, held_by_peer: b_held, .. },
        ) => a_holds == b_held && b_holds == a_held,
        (Ended(_), Ended(_)) => true,
        _ => false,
    }
}

fn storm(seed: u64, calls: u64) {
    let mut village = Village::new(seed);
    let mut rng = Rng::from_seed(seed);
    let link = Link::new()
        .latency(Duration::from_millis(20))
        .jitter(Duration::from_millis(15))
        .loss(0.2)
        .duplicate(0.05);
    village.world.network.set_default_path(link);
    let config = || {
        let max_pending_events = 4 * BATCH as usize;
        let mut config = Config { max_pending_events, ..Config::default() };
        // Sessions are refreshed after 45 s, in the midst of other changes.
        config.sip.session_timer = tiny_sip::Policy::Wanted;
        config.sip.session_expires = 90;
        config.sip.refer_silence = Duration::from_secs(60);
        config
    };
    let mut phones = [("alice", "192.0.2.1"), ("bob", "192.0.2.2"), ("carol", "192.0.2.3")]
        .map(|(name, ip)| village.phone(name, ip, &format!("sip:{name}@{ip}"), config(), |a| a));
    let (mut up, mut moved, mut refreshed, mut roamed) = (0, 0, 0, 0);
    let mut updated = 0;
    for batch in 0..calls / BATCH {
        let scripts: Vec<_> = (0..BATCH).map(|_| script(&mut rng)).collect();
        // Each second call goes the other way.
        let sides = |n: u64| ((n % 2) as usize, (1 - n % 2) as usize);
        let mut placed: Vec<_> = (0..BATCH)
            .map(|n| {
                let (from, to) = sides(n);
                let to = format!("sip:{}", phones[to].at);
                Some(place(&phones[from], &to, n))
            })
            .collect();
        // Bob lets nobody send him elsewhere in each second batch.
        let transfers = match batch % 2 {
            0 => TransferPolicy::Accept,
            _ => TransferPolicy::Refuse,
        };
        // His holds and moves go by UPDATE in every other pair of batches, Alice's never do.
        let changes = match batch / 2 % 2 {
            0 => ChangePolicy::Reinvite,
            _ => ChangePolicy::Update,
        };
        phones[1].account.set_policy(Policy { transfers, changes, ..Policy::default() }).unwrap();
        let mut calls: BTreeMap<(u64, usize), Call> = BTreeMap::new();
        // Calls with Carol: hers, and those of the others.
        let mut carols: [Vec<Call>; 2] = Default::default();
        let mut deeds: Vec<_> = scripts
            .iter()
            .enumerate()
            .flat_map(|(n, s)| s.deeds.iter().map(move |d| (d.0, n as u64, d.1, d.2)))
            .collect();
        deeds.sort_by_key(|d| d.0);
        let mut next = 0;
        for now in (0..40_000).step_by(20) {
            village.run(20);
            // A telephone is elsewhere all of a sudden, in the midst of whatever goes on, and once
            // in a while both are.
            if now > 0 && now % 4_000 == 0 {
                roamed += 1;
                let (mover, both) = (rng.below(2) as usize, rng.below(50) == 0);
                for side in [0, 1].into_iter().filter(|side| both || *side == mover) {
                    let place = format!("198.51.{}.{}", 100 + side, 1 + roamed % 250);
                    village.relocate(&mut phones[side], &place);
                }
            }
            for (n, waiting) in placed.iter_mut().enumerate() {
                if let Some(Ok(Ok(call))) = waiting.as_mut().map(oneshot::Receiver::try_recv) {
                    calls.insert((n as u64, sides(n as u64).0), call);
                    *waiting = None;
                }
            }
            for side in [0, 1] {
                for event in phones[side].told() {
                    let incoming = match event {
                        Event::IncomingCall(incoming) => incoming,
                        // The callee has moved and called back (RFC 3891): it is the same call.
                        Event::CallContinues { old, call }
                            if calls.values().any(|known| known.id() == old)
                                && !call.remote_uri().contains("carol") =>
                        {
                            let mut all = calls.iter_mut();
                            if let Some((_, known)) = all.find(|(_, known)| known.id() == old) {
                                *known = call;
                            }
                            continue;
                        }
                        Event::CallContinues { call, .. } => {
                            carols[1].push(call);
                            continue;
                        }
                        _ => continue,
                    };
                    let number = incoming.request().header_named("X-Number").unwrap();
                    calls.insert((number.parse().unwrap(), side), incoming.call.clone());
                    answer(&phones[side], &incoming);
                }
            }
            for event in phones[2].told() {
                let Event::IncomingCall(incoming) = event else { continue };
                if rng.below(2) == 0 {
                    incoming.reject(486);
                    continue;
                }
                carols[0].push(incoming.call.clone());
                answer(&phones[2], &incoming);
            }
            while let Some(&(_, n, side, deed)) = deeds.get(next).filter(|d| d.0 <= now) {
                next += 1;
                if let Some(call) = calls.get(&(n, side)) {
                    act(&phones[side], call, deed);
                }
            }
        }
        // The last word was said long ago: whoever has a call has it on both sides.
        village.run(70_000);
        for n in 0..BATCH {
            let (Some(a), Some(b)) = (calls.get(&(n, 0)), calls.get(&(n, 1))) else { continue };
            let (a, b) = (a.state(), b.state());
            assert!(agree(&a, &b), "seed {seed}, batch {batch}, call {n}:\n{a:?}\n{b:?}");
            up += u64::from(matches!(a, CallState::Established { .. }));
        }
        let [hers, theirs] = carols.map(|calls| {
            let up = |call: &&Call| matches!(call.state(), CallState::Established { .. });
            let n = calls.iter().filter(up).count();
            (n, calls)
        });
        assert_eq!(hers.0, theirs.0, "seed {seed}, batch {batch}: Carol's calls and the others'");
        moved += hers.0;
        drop((hers, theirs));
        for ((_, side), call) in &calls {
            if rng.below(2) == 0 {
                act(&phones[*side], call, Deed::Hangup);
            }
        }
        village.run(70_000);
        calls.into_iter().for_each(|(_, call)| drop(call));
        village.run(70_000);
        let (changed, plain): (Vec<_>, Vec<_>) =
            village.said("UPDATE").into_iter().partition(|update| !update.body().is_empty());
        (updated, refreshed) = (updated + changed.len(), refreshed + plain.len());
        village.ladder();
        village.assert_idle();
    }
    assert!(up > calls / 3, "{up} of {calls} calls were up");
    assert!(moved > calls as usize / 100, "{moved} of {calls} calls were transferred");
    assert!(refreshed > calls as usize / 2, "{refreshed} refreshes in {calls} calls");
    assert!(updated > calls as usize / 20, "{updated} changes by UPDATE in {calls} calls");
}

#[test]
fn ten_thousand_calls_end_in_agreement_whatever_both_sides_do() {
    storm(1, 10_000);
}

/// For more than one seed, by hand.
#[test]
#[ignore = "takes a minute"]
fn ten_storms_more() {
    (2..12).for_each(|seed| storm(seed, 10_000));
}
