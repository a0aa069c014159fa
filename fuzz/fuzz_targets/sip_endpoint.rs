//! Arbitrary datagrams, streams, failures and commands into an endpoint: no panic, and once the owner
//! has hung up and time has passed, nothing is left over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, Transport};
use tiny_sip::{
    Account, Body, CallKey, Config, Endpoint, Event, Input, Outgoing, PublicationKey, Publish,
    Subscribe, SubscriptionEvent, SubscriptionKey, SubscriptionState, WatcherEvent,
};

/// What the owner holds.
#[derive(Default)]
struct Held {
    calls: Vec<CallKey>,
    subscriptions: Vec<SubscriptionKey>,
    publications: Vec<PublicationKey>,
}

fuzz_target!(|data: &[u8]| {
    let local = ([10, 0, 0, 1], 5060).into();
    let mut now = Instant::now();
    let mut config = Config::default();
    config.event_packages = vec!["presence".into()];
    let mut endpoint = Endpoint::new(config, Rng::from_seed(1));
    endpoint.bind(Transport::Udp, local);
    endpoint.bind(Transport::Tcp, local);
    let account = Account { aor: "sip:a@example.com".into(), ..Account::default() };
    let account = endpoint.add_account(account).expect("a valid account");
    let mut held = Held::default();
    let mut sent = Vec::new();
    // Each step is an octet that says what, two of length, and the bytes.
    let mut rest = data;
    while let [what, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        let transport = if what & 1 == 0 { Transport::Udp } else { Transport::Tcp };
        let flow = Flow { transport, local, remote: ([10, 0, 0, 9], 5060).into() };
        let data = bytes.to_vec().into();
        match what >> 1 & 7 {
            0..=2 if transport == Transport::Udp => {
                endpoint.handle(now, Input::Datagram { flow, data });
            }
            0..=2 => endpoint.handle(now, Input::Stream { flow, data }),
            3 => endpoint.handle(now, Input::StreamClosed { flow }),
            4 => {
                let error = std::io::ErrorKind::ConnectionRefused;
                endpoint.handle(now, Input::SendFailed { flow, error });
            }
            5 => {
                let to = String::from_utf8_lossy(bytes).into_owned();
                let (event, expires) = ("presence".to_owned(), u32::from(*what & 0x10) * 10);
                match what >> 6 {
                    0 | 1 => {
                        let outgoing = Outgoing { to, ..Outgoing::default() };
                        held.calls.extend(endpoint.invite(now, account, outgoing));
                    }
                    2 => {
                        let (lists, every_fork) = (*what & 0x20 != 0, *what & 0x10 != 0);
                        let subscribe = Subscribe {
                            to,
                            event,
                            expires,
                            lists,
                            every_fork,
                            ..Default::default()
                        };
                        held.subscriptions.extend(endpoint.subscribe(now, account, subscribe));
                    }
                    _ => {
                        let (to, body) = (Some(to), Body::new("text/plain", "x"));
                        let (expires, headers) = (600, Vec::new());
                        let publish = Publish { to, event, body, expires, headers };
                        held.publications.extend(endpoint.publish(now, account, publish));
                    }
                }
            }
            6 => {
                // A response to what was sent last, its status from the input.
                if let Some(request) = sent.last().and_then(|sent: &bytes::Bytes| {
                    std::str::from_utf8(sent)
                        .ok()?
                        .split_once("\r\n")
                        .map(|(_, head)| head.to_owned())
                }) {
                    let status = 100 + u16::from(*what >> 4) * 40;
                    let text = format!("SIP/2.0 {status} X\r\n{request}");
                    let mut data = text.into_bytes();
                    data.extend_from_slice(bytes);
                    endpoint.handle(now, Input::Datagram { flow, data: data.into() });
                }
            }
            _ => {
                now += Duration::from_millis(u64::from(*what) * 100);
                endpoint.handle(now, Input::Timeout);
            }
        }
        drain(&mut endpoint, now, &mut held, &mut sent);
    }
    for _ in 0..3 {
        for call in held.calls.clone() {
            let _ = endpoint.hangup(now, call, Vec::new());
        }
        for key in held.subscriptions.clone() {
            let _ = endpoint.unsubscribe(now, key);
        }
        for key in held.publications.clone() {
            let _ = endpoint.unpublish(now, key);
        }
        for _ in 0..4000 {
            let Some(next) = drain(&mut endpoint, now, &mut held, &mut sent) else { break };
            now = now.max(next);
            endpoint.handle(now, Input::Timeout);
        }
    }
    let stats = endpoint.stats();
    let left = (stats.calls, stats.dialogs, stats.client_transactions, stats.server_transactions);
    assert_eq!((left, stats.timers, stats.pending), ((0, 0, 0, 0), 0, 0));
    assert_eq!((stats.subscriptions, stats.watchers, stats.publications), (0, 0, 0));
});

fn drain(
    endpoint: &mut Endpoint,
    now: Instant,
    held: &mut Held,
    sent: &mut Vec<bytes::Bytes>,
) -> Option<Instant> {
    loop {
        match endpoint.poll(now) {
            Output::Transmit(transmit) => sent.push(transmit.data),
            Output::Event(Event::Incoming { call, .. }) => {
                held.calls.push(call);
                let _ = endpoint.accept(now, call, Vec::new(), None);
            }
            Output::Event(Event::Resolve { query, .. }) => {
                endpoint.handle(now, Input::Resolved { query, targets: Vec::new() });
            }
            Output::Event(Event::Request { key, .. }) => {
                let _ = endpoint.respond(now, key, 200, None, Vec::new(), None);
            }
            Output::Event(Event::Reinvite { call, .. }) => {
                let _ = endpoint.accept_reinvite(now, call, Vec::new(), None);
            }
            Output::Event(Event::Watcher { watcher, event: WatcherEvent::Subscribe { .. } }) => {
                let active = SubscriptionState::Active;
                let _ = endpoint.accept_subscription(now, watcher, active, None);
                let _ = endpoint.notify(now, watcher, active, None);
            }
            Output::Event(Event::Subscription {
                event: SubscriptionEvent::Forked { fork },
                ..
            }) => held.subscriptions.push(fork),
            Output::Event(_) => {}
            Output::Timeout(next) => return next,
        }
    }
}
