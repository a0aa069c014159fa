//! Ten thousand calls over a network that loses 30 %, duplicates 5 % and reorders, with hang-ups by
//! either side at any moment: every call ends, on both sides alike, and nothing is left over.

mod endpoint_net;

use endpoint_net::{Net, sdp};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use tiny_sip::{CallKey, Config, EndedBy, Event, HeaderName, Outgoing};

const CALLS: usize = 10_000;

/// What one side knows of a call in the end: whether it was ever established, and that it is over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Side {
    seen: bool,
    answered: bool,
    ended: Option<(EndedBy, Option<u16>)>,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Call(usize),
    Accept(usize, CallKey),
    Reject(usize, CallKey),
    Hangup(usize, CallKey),
    Modify(usize, CallKey),
}

#[test]
fn ten_thousand_calls_through_a_bad_network_end_alike_on_both_sides() {
    let began = Instant::now();
    let mut net = Net::new(0x5eed);
    for (at, user) in [("10.0.0.1:5060", "alice"), ("10.0.0.2:5060", "bob")] {
        net.add(at, user, Config::default());
    }
    (net.loss, net.duplication, net.latency, net.logging) = (0.3, 0.05, (5, 120), false);
    let mut todo: BTreeMap<(Instant, u64), Deed> = BTreeMap::new();
    let mut order = 0u64;
    let mut plan = |todo: &mut BTreeMap<_, _>, at: Instant, deed: Deed| {
        order += 1;
        todo.insert((at, order), deed);
    };
    for n in 0..CALLS {
        plan(&mut todo, net.start + Duration::from_millis(2 * n as u64), Deed::Call(n));
    }
    let mut sides = vec![[Side::default(); 2]; CALLS];
    let mut names: [HashMap<CallKey, usize>; 2] = Default::default();
    let mut modified = 0;
    loop {
        // Whatever comes first: a deed, a packet, a timer.
        let next = todo.first_key_value().map(|((at, _), _)| *at);
        if !net.step(next) {
            let Some(((at, _), deed)) = todo.pop_first() else { break };
            net.now = net.now.max(at);
            let now = net.now;
            match deed {
                Deed::Call(n) => {
                    let peer = n % 2;
                    let to = net.peers[1 - peer].addr;
                    let account = net.peers[peer].account;
                    let headers = vec![("X-Number".to_owned(), n.to_string())];
                    // Some calls ask for the offer.
                    let body = if n % 5 == 0 { None } else { sdp() };
                    let to = format!("sip:x@{to}");
                    let outgoing = Outgoing { to, headers, body, ..Outgoing::default() };
                    let call = net.endpoint(peer).invite(now, account, outgoing).unwrap();
                    names[peer].insert(call, n);
                    sides[n][peer].seen = true;
                    if net.rng.chance(0.3) {
                        let at = now + Duration::from_millis(net.rng.below(3000));
                        plan(&mut todo, at, Deed::Hangup(peer, call));
                    }
                }
                // A caller may have hung up in the meantime.
                Deed::Accept(peer, call) => {
                    let _ = net.endpoint(peer).accept(now, call, vec![], sdp());
                }
                Deed::Reject(peer, call) => {
                    let _ = net.endpoint(peer).reject(now, call, 486, None, vec![]);
                }
                Deed::Hangup(peer, call) => {
                    let _ = net.endpoint(peer).hangup(now, call, vec![]);
                }
                Deed::Modify(peer, call) => {
                    let _ = net.endpoint(peer).reinvite(now, call, vec![], sdp());
                }
            }
            continue;
        }
        for peer in 0..2 {
            while let Some(event) = net.peers[peer].events.pop_front() {
                let now = net.now;
                match event {
                    Event::Incoming { call, request, .. } => {
                        let n: usize = request.header_named("X-Number").unwrap().parse().unwrap();
                        assert!(request.header(HeaderName::MaxForwards).is_some());
                        assert!(!sides[n][peer].seen, "call {n} came in twice");
                        sides[n][peer].seen = true;
                        names[peer].insert(call, n);
                        let at = now + Duration::from_millis(net.rng.below(4000));
                        let _ = net.endpoint(peer).provisional(now, call, 180, None, vec![], None);
                        let deed = match net.rng.below(10) {
                            0 => Deed::Reject(peer, call),
                            _ => Deed::Accept(peer, call),
                        };
                        plan(&mut todo, at, deed);
                        if net.rng.chance(0.3) {
                            let at = now + Duration::from_millis(net.rng.below(6000));
                            plan(&mut todo, at, Deed::Hangup(peer, call));
                        }
                    }
                    Event::Answered { call, needs_answer, .. } => {
                        sides[names[peer][&call]][peer].answered = true;
                        if needs_answer {
                            net.endpoint(peer).acknowledge(now, call, sdp()).unwrap();
                        }
                        established(&mut net, &mut todo, &mut plan, peer, call);
                    }
                    Event::Confirmed { call, .. } => {
                        sides[names[peer][&call]][peer].answered = true;
                        established(&mut net, &mut todo, &mut plan, peer, call);
                    }
                    Event::Reinvite { call, .. } => {
                        let endpoint = net.endpoint(peer);
                        endpoint.accept_reinvite(now, call, vec![], sdp()).unwrap();
                    }
                    Event::ReinviteAccepted { .. } => modified += 1,
                    Event::Ended { call, by, status, .. } => {
                        let side = &mut sides[names[peer][&call]][peer];
                        assert_eq!(side.ended, None, "a call ended twice");
                        side.ended = Some((by, status));
                    }
                    Event::Progress { .. }
                    | Event::ReinviteConfirmed { .. }
                    | Event::ReinviteRejected { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    net.assert_empty();
    let (mut talked, mut unheard) = (0, 0);
    for (n, side) in sides.iter().enumerate() {
        let (caller, callee) = (side[n % 2], side[1 - n % 2]);
        assert!(caller.ended.is_some(), "the caller of {n} waits for ever: {side:?}");
        assert_eq!(callee.seen, callee.ended.is_some(), "the callee of {n} waits: {side:?}");
        match (caller.ended, callee.ended) {
            (Some((by, _)), None) => {
                assert_ne!(by, EndedBy::Remote, "nobody can have ended {n}");
                unheard += 1;
            }
            // Who was told of the end was told by the other, who knows it as its own doing or, having
            // waited for an ACK or a response in vain, as the network's.
            (Some((EndedBy::Remote, status)), Some((by, given))) => {
                assert_ne!(by, EndedBy::Remote, "{n} {side:?}");
                // A refusal arrives with the status that was given; a BYE has none.
                let refused = status.is_some_and(|status| status != 481);
                assert!(!refused || status == given, "{n} {side:?}");
            }
            // Both at once, or one whom the other's last word did not reach.
            _ => {}
        }
        // A callee that saw the ACK has a caller that sent it: both were in the same call. The
        // other way round the ACK may be lost with a hang-up behind it.
        if callee.answered {
            assert!(
                caller.answered || caller.ended.map(|e| e.0) == Some(EndedBy::Local),
                "{n} {side:?}"
            );
            talked += 1;
        }
    }
    assert!(talked > CALLS / 2, "{talked} calls were established");
    assert!(unheard < CALLS / 4, "{unheard} calls were never heard of");
    assert!(modified > 500, "{modified} sessions were changed");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

type Plan<'a> = dyn FnMut(&mut BTreeMap<(Instant, u64), Deed>, Instant, Deed) + 'a;

/// Somebody will hang up; some change the session before, both at once at times.
fn established(
    net: &mut Net,
    todo: &mut BTreeMap<(Instant, u64), Deed>,
    plan: &mut Plan<'_>,
    peer: usize,
    call: CallKey,
) {
    let at = net.now + Duration::from_millis(net.rng.below(60_000));
    plan(todo, at, Deed::Hangup(peer, call));
    if net.rng.chance(0.2) {
        let at = net.now + Duration::from_millis(net.rng.below(5_000));
        plan(todo, at, Deed::Modify(peer, call));
    }
}
