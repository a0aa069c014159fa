//! A TURN server that lies, in place of one that was configured: each lie is refused by name, counted and
//! bounded, and the server gets nothing of the call but what a relay must have.

use super::*;
use std::net::IpAddr;
use tiny_net::stun::{Algorithm, Builder, Class, Key, Message, attr, method};
use tiny_net::turn::{channel_data, split_channel_data};
use tiny_ua::ice::{CandidateKind, Policy, RelayCounters, RelayFailure};
use tiny_ua::{Ice, IceServer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Answers are signed with another key.
    Integrity,
    /// The relay is said to be there.
    Relayed(SocketAddr),
    /// Every nonce is stale as soon as it is used.
    Stale,
    /// Another server is to be asked, again and again.
    Elsewhere,
    Silence,
    /// It relays, and slips in what nobody asked for.
    Stowaways,
}

const REALM: &str = "liar.test";
/// Whom nobody has permitted.
const STRANGER: &str = "203.0.113.9:4000";

/// RTP and RTCP: each asks for a relay of its own.
const COMPONENTS: usize = 2;

/// All that came in at the server.
type Got = Arc<Mutex<Vec<Vec<u8>>>>;

/// Starts one, with some more that it can send to; says where it is.
async fn liar(lie: Lie) -> (SocketAddr, Got) {
    let got = Got::default();
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()));
    }
    let all: Vec<SocketAddr> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
    for (n, socket) in sockets.into_iter().enumerate() {
        let next = all[(n + 1) % all.len()];
        tokio::spawn(serve(lie, socket, next, got.clone()));
    }
    (all[0], got)
}

async fn serve(lie: Lie, socket: Arc<UdpSocket>, next: SocketAddr, got: Got) {
    let relay = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let here = relay.local_addr().unwrap();
    let key = Key::long_term("lab", REALM, &"labsecret".into(), Algorithm::Md5);
    let wrong = Key::long_term("lab", REALM, &"guessed".into(), Algorithm::Md5);
    let (mut client, mut nonces) = (None, 0);
    // One channel is enough for one peer.
    let mut channel: Option<(u16, SocketAddr)> = None;
    let (mut buffer, mut from_peer) = ([0; 2048], [0; 2048]);
    loop {
        tokio::select! {
            Ok((length, from)) = socket.recv_from(&mut buffer) => {
                let data = &buffer[..length];
                got.lock().unwrap().push(data.to_vec());
                client = Some(from);
                if lie == Lie::Silence {
                    continue;
                }
                if let Some((number, content)) = split_channel_data(&data.to_vec().into()) {
                    if let Some((_, peer)) = channel.filter(|(n, _)| *n == number) {
                        let _ = relay.send_to(&content, peer).await;
                    }
                    continue;
                }
                let Ok(message) = Message::parse(data) else { continue };
                let kind = message.method();
                if kind == method::SEND {
                    let (peer, content) =
                        (message.xor_address(attr::XOR_PEER_ADDRESS), message.get(attr::DATA));
                    if let (Some(peer), Some(content)) = (peer, content) {
                        let _ = relay.send_to(content, peer).await;
                    }
                    continue;
                }
                if message.class() != Class::Request {
                    continue;
                }
                let answer = |class| Builder::new(class, kind, message.id());
                let signed = message.has(attr::MESSAGE_INTEGRITY);
                nonces += 1;
                let reply = if !signed || lie == Lie::Stale {
                    let (code, why) = if signed { (438, "Stale") } else { (401, "Who?") };
                    let new = answer(Class::Error).error(code, why).text(attr::REALM, REALM);
                    new.text(attr::NONCE, &format!("nonce{nonces}"))
                } else if lie == Lie::Elsewhere {
                    let new = answer(Class::Error).error(300, "Try Alternate");
                    new.address(attr::ALTERNATE_SERVER, next).integrity(&key)
                } else {
                    if let (method::CHANNEL_BIND, Some(number), Some(peer)) =
                        (kind, message.u16(attr::CHANNEL_NUMBER), message.xor_address(attr::XOR_PEER_ADDRESS))
                    {
                        channel = Some((number, peer));
                    }
                    let relayed = match lie {
                        Lie::Relayed(elsewhere) => elsewhere,
                        _ => here,
                    };
                    let lifetime = message.u32(attr::LIFETIME).unwrap_or(600);
                    let new = answer(Class::Success).u32(attr::LIFETIME, lifetime);
                    let new = new.xor_address(attr::XOR_MAPPED_ADDRESS, from);
                    let new = new.xor_address(attr::XOR_RELAYED_ADDRESS, relayed);
                    new.integrity(if lie == Lie::Integrity { &wrong } else { &key })
                };
                let _ = socket.send_to(&reply.fingerprint().finish(), from).await;
            }
            Ok((length, peer)) = relay.recv_from(&mut from_peer) => {
                let Some(client) = client else { continue };
                let data = &from_peer[..length];
                let wrap = |peer: SocketAddr, data: &[u8]| {
                    let new = Builder::new(Class::Indication, method::DATA, [3; 12]);
                    new.xor_address(attr::XOR_PEER_ADDRESS, peer).attribute(attr::DATA, data).finish()
                };
                let _ = match channel.filter(|(_, bound)| *bound == peer) {
                    Some((number, _)) => {
                        socket.send_to(&channel_data(number, data, false), client).await
                    }
                    None => socket.send_to(&wrap(peer, data), client).await,
                };
                if !is_sound(data) {
                    continue;
                }
                // In the name of a stranger, on a channel that nobody has bound, and in the peer's own name:
                // sound in the clear.
                let mut clear = data[..12].to_vec();
                clear.extend([0xff; 160]);
                let stranger = STRANGER.parse().unwrap();
                for lie in [wrap(stranger, data), channel_data(0x4ffe, data, false), wrap(peer, &clear)] {
                    let _ = socket.send_to(&lie, client).await;
                }
            }
        }
    }
}

/// An agent with that relay, and one without any.
async fn agents(
    server: SocketAddr,
    policy: Policy,
) -> (UserAgent, Arc<Wire>, UserAgent, Arc<Wire>) {
    let loopback: Option<IpAddr> = Some("127.0.0.1".parse().unwrap());
    let (left, left_wire) = agent(Srtp::Sdes, |config| {
        config.ice = Ice::Full;
        config.media_address = loopback;
        let server: IceServer = format!("turn:lab:labsecret@{server}").parse().unwrap();
        config.ice_servers = vec![server];
        let limits = &mut config.ice_limits;
        limits.policy = policy;
        limits.gather_patience = Duration::from_secs(3);
        limits.patience = Duration::from_secs(2);
        (limits.turn.timing.rto, limits.turn.timing.sends) = (Duration::from_millis(100), 3);
        limits.turn.timing.patience = 2;
    })
    .await;
    let (right, right_wire) = agent(Srtp::Sdes, |config| {
        config.ice = Ice::Full;
        config.media_address = loopback;
    })
    .await;
    (left, left_wire, right, right_wire)
}

/// A call of who has that relay among other ways: it goes the others. Why there is no relay, what it said that
/// was not believed, and how often it was asked.
async fn in_vain(lie: Lie) -> (RelayFailure, RelayCounters, usize) {
    let (server, got) = liar(lie).await;
    let (left, wire, right, _) = agents(server, Policy::All).await;
    let (placed, taken) = call(&left, &right).await;
    for end in [&placed, &taken] {
        until(end, "sound", |s| s.rx_packets > 10).await;
    }
    let report = placed.ice().await.unwrap();
    let relayed = report.local.iter().filter(|c| c.kind == CandidateKind::Relayed);
    assert_eq!(relayed.count(), 0, "{report:?}");
    placed.hangup().await;
    soon(taken.ended()).await;
    assert!(wire.nothing_left_in_the_clear().0 > 10);
    // It was asked for a relay of each component, and told of nothing else.
    let got = got.lock().unwrap().clone();
    for asked in &got {
        let message = Message::parse(asked).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Request, method::ALLOCATE));
    }
    assert_eq!(report.relay_failures.len(), COMPONENTS, "{report:?}");
    let why = report.relay_failures[0].clone();
    assert!(report.relay_failures.iter().all(|failure| *failure == why), "{report:?}");
    (why, report.relay_counters, got.len())
}

#[tokio::test]
async fn what_a_relay_does_not_sign_is_not_believed() {
    let (why, counters, asked) = in_vain(Lie::Integrity).await;
    assert_eq!(why, RelayFailure::Integrity);
    // The first question was challenged, and the answers to the signed ones were all forged.
    assert_eq!(counters.integrity as usize, asked - COMPONENTS, "{counters:?}");
    assert!(asked <= 4 * COMPONENTS, "timing.sends: {asked}");
}

#[tokio::test]
async fn a_relay_that_is_nowhere_is_refused() {
    for nowhere in ["0.0.0.0:5000", "127.0.0.1:0", "239.1.2.3:5000", "[::1]:5000"] {
        let (why, _, asked) = in_vain(Lie::Relayed(nowhere.parse().unwrap())).await;
        assert_eq!(why, RelayFailure::Nonsense("a relayed address that is none"), "{nowhere}");
        assert_eq!(asked, 2 * COMPONENTS, "{nowhere}");
    }
}

#[tokio::test]
async fn nonces_that_are_stale_for_ever_end_the_attempt() {
    let (why, _, asked) = in_vain(Lie::Stale).await;
    assert_eq!(why, RelayFailure::Challenges);
    assert_eq!(asked, 5 * COMPONENTS, "`max_challenges`, and the first question");
}

#[tokio::test]
async fn servers_that_send_on_and_on_are_followed_three_times() {
    let (why, _, asked) = in_vain(Lie::Elsewhere).await;
    assert_eq!(why, RelayFailure::Redirects);
    // `max_redirects`: four servers. Who is known to one is not challenged by the next.
    assert_eq!(asked, 5 * COMPONENTS);
}

#[tokio::test]
async fn a_relay_that_says_nothing_is_given_up() {
    let (why, _, asked) = in_vain(Lie::Silence).await;
    assert_eq!(why, RelayFailure::Timeout);
    assert_eq!(asked, 3 * COMPONENTS, "timing.sends");
}

#[tokio::test]
async fn who_may_only_use_a_relay_that_lies_sends_nothing_at_all() {
    let (server, got) = liar(Lie::Integrity).await;
    let (left, wire, right, at_right) = agents(server, Policy::RelayOnly).await;
    let alice = account(&left, "alice").await;
    let placed = alice.call(format!("sip:bob@{}", address(&right)));
    let placed = placed.audio(Audio::silent()).await.unwrap();
    let taken = incoming(&right).await.answer(Audio::silent()).await.unwrap();
    let end = soon(placed.ended()).await;
    assert!(end.failed, "{end:?}");
    assert_eq!(end.reason, "no way for media: no address of ours could be used");
    drop(taken);
    assert_eq!(wire.nothing_left_in_the_clear(), (0, 0));
    for (out, _, to, _) in wire.0.lock().unwrap().iter() {
        assert!(!out || *to == server, "something went to {to}");
    }
    assert!(at_right.0.lock().unwrap().iter().all(|(out, ..)| *out), "something came");
    assert!(got.lock().unwrap().iter().all(|data| Message::parse(data).is_ok()));
}

#[tokio::test]
async fn what_a_relay_slips_in_is_counted_and_not_heard() {
    let (server, got) = liar(Lie::Stowaways).await;
    let (left, wire, right, _) = agents(server, Policy::RelayOnly).await;
    let (placed, taken) = call(&left, &right).await;
    let stats = until(&placed, "sound", |s| s.rx_packets > 30 && s.srtp_plain > 10).await;
    assert_eq!((stats.rejected, stats.srtp_auth_failed), (0, 0), "{stats:?}");
    assert!(stats.duplicated + stats.srtp_replayed == 0, "{stats:?}");
    let report = placed.ice().await.unwrap();
    let stranger: SocketAddr = STRANGER.parse().unwrap();
    assert!(report.relay_counters.unasked >= 40, "{:?}", report.relay_counters);
    assert!(report.pairs.iter().all(|pair| pair.remote != stranger), "{report:?}");
    until(&taken, "sound", |s| s.rx_packets > 30).await;
    placed.hangup().await;
    soon(taken.ended()).await;
    let (sound, _) = wire.nothing_left_in_the_clear();
    assert!(sound > 30, "{sound}");
    // What the relay got is all that it could have had.
    let got = got.lock().unwrap().clone();
    let carried = Wire::default();
    let at = server;
    carried.0.lock().unwrap().extend(got.into_iter().map(|data| (true, at, at, data)));
    assert!(carried.nothing_left_in_the_clear().0 > 30);
}
