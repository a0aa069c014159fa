//! Hostile peers, strangers and meddlers against the media of calls that promised encryption: each is
//! refused by name and counted, and every media packet that leaves is looked at.

mod common;
#[path = "hostile_media/turn.rs"]
mod turn;

use common::{account, address, call, call_at, incoming, on_loopback, soon, until};
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tiny_net::stun::{Message, attr};
use tiny_ua::{Audio, Config, Srtp, SrtpProfile, Trace, TraceKind, TracePacket, UserAgent};
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Whether it went out, our address, the peer's, the octets.
type Seen = (bool, SocketAddr, SocketAddr, Vec<u8>);

/// All media packets of one agent.
#[derive(Default)]
struct Wire(Mutex<Vec<Seen>>);

impl Trace for Wire {
    fn packet(&self, packet: TracePacket<'_>) {
        if matches!(packet.kind, TraceKind::Rtp | TraceKind::Rtcp) {
            let (local, remote) = (packet.flow.local, packet.flow.remote);
            self.0.lock().unwrap().push((packet.outgoing, local, remote, packet.data.to_vec()));
        }
    }
}

impl Wire {
    /// What has come in and looks like this.
    fn last_in(&self, wanted: impl Fn(&[u8]) -> bool) -> Option<(SocketAddr, Vec<u8>)> {
        let all = self.0.lock().unwrap();
        let found = all.iter().rev().find(|(out, _, _, data)| !out && wanted(data));
        found.map(|(_, local, _, data)| (*local, data.clone()))
    }

    /// Looks at every packet that has left, and says how many there were of sound and of reports.
    fn nothing_left_in_the_clear(&self) -> (usize, usize) {
        let (mut sound, mut reports) = (0, 0);
        for (_, _, _, data) in self.0.lock().unwrap().iter().filter(|(out, ..)| *out) {
            let data = content(data);
            match data.first() {
                // STUN, DTLS.
                Some(0..=3 | 20..=63) => {}
                Some(128..=191) if is_rtcp(data) => {
                    reports += 1;
                    assert!(!is_clear_rtcp(data), "a report in the clear: {data:02x?}");
                }
                Some(128..=191) => {
                    sound += 1;
                    // Silence of PCMU is 160 times the same octet.
                    assert!(data.len() > 172, "no room for a tag: {data:02x?}");
                    let same = data[12..].windows(6).filter(|w| w.iter().all(|b| *b == w[0]));
                    assert_eq!(same.count(), 0, "sound in the clear: {data:02x?}");
                }
                _ => panic!("what is that? {data:02x?}"),
            }
        }
        (sound, reports)
    }
}

/// What goes to a relay for the peer, and everything else as it is.
fn content(data: &[u8]) -> &[u8] {
    match data {
        // ChannelData (RFC 8656 §12.4).
        [64..=79, _, high, low, rest @ ..] => {
            &rest[..usize::from(u16::from_be_bytes([*high, *low])).min(rest.len())]
        }
        [0, 0x16, ..] => Message::parse(data).ok().and_then(|m| m.get(attr::DATA)).unwrap_or(data),
        _ => data,
    }
}

fn is_rtcp(data: &[u8]) -> bool {
    data.len() > 1 && (192..=223).contains(&data[1])
}

fn is_sound(data: &[u8]) -> bool {
    data.len() > 172 && data[0] & 0xc0 == 0x80 && !is_rtcp(data)
}

/// The lengths of its packets lead to the very end.
fn is_clear_rtcp(mut data: &[u8]) -> bool {
    while data.len() >= 4 {
        let length = 4 * (usize::from(u16::from_be_bytes([data[2], data[3]])) + 1);
        if data[0] & 0xc0 != 0x80 || !is_rtcp(data) || length > data.len() {
            return false;
        }
        data = &data[length..];
    }
    data.is_empty()
}

async fn agent(srtp: Srtp, change: impl FnOnce(&mut Config)) -> (UserAgent, Arc<Wire>) {
    let wire = Arc::new(Wire::default());
    let seen = wire.clone();
    let builder = on_loopback().codecs(["pcmu"]);
    let builder = builder.srtp(srtp).configure(|config| {
        config.trace = Some(seen);
        change(config);
    });
    (builder.build().await.unwrap(), wire)
}

/// Carries SIP between callers and an agent, and changes bodies on their way.
async fn meddler(
    to: SocketAddr,
    change: impl Fn(bool, &str) -> String + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut caller, mut buffer) = (to, vec![0; 65_536]);
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let (from_caller, next) = if from == to { (false, caller) } else { (true, to) };
            if from_caller {
                caller = from;
            }
            // What follows in the dialog comes this way too.
            let text = match from_caller {
                true => text,
                false => contact_at(&text, at),
            };
            let text = match text.split_once("\r\n\r\n") {
                Some((head, body)) if !body.is_empty() => {
                    let new = change(from_caller, body);
                    let was = format!("Content-Length: {}", body.len());
                    assert!(head.contains(&was), "{head}");
                    let head = head.replace(&was, &format!("Content-Length: {}", new.len()));
                    format!("{head}\r\n\r\n{new}")
                }
                _ => text,
            };
            let _ = socket.send_to(text.as_bytes(), next).await;
        }
    });
    at
}

fn contact_at(text: &str, at: SocketAddr) -> String {
    let lines = text.split_inclusive("\r\n").map(|line| match line.starts_with("Contact:") {
        true => format!("Contact: <sip:bob@{at}>\r\n"),
        false => line.to_owned(),
    });
    lines.collect()
}

fn without_crypto(body: &str) -> String {
    let lines = body.split_inclusive("\r\n").filter(|l| !l.starts_with("a=crypto"));
    lines.collect()
}

/// A caller that demands SDES, a callee, and an answer that is changed between them. Gives why the
/// caller ended the call.
async fn answer_changed(change: fn(&str) -> String) -> String {
    let only = |config: &mut Config| config.srtp_suites = vec![SrtpProfile::AesCm128HmacSha1_80];
    let (left, wire) = agent(Srtp::Sdes, only).await;
    let (right, _) = agent(Srtp::Sdes, only).await;
    let alter = move |from_caller: bool, body: &str| match from_caller {
        true => body.to_owned(),
        false => change(body),
    };
    let middle = meddler(address(&right), alter).await;
    let alice = account(&left, "alice").await;
    let placed = alice.call(format!("sip:bob@{middle}")).audio(Audio::silent()).await.unwrap();
    let taken = incoming(&right).await.answer(Audio::silent()).await.unwrap();
    let end = soon(placed.ended()).await;
    assert!(end.failed, "{end:?}");
    soon(taken.ended()).await;
    assert_eq!(wire.nothing_left_in_the_clear(), (0, 0), "not even encrypted sound");
    end.reason
}

#[tokio::test]
async fn an_answer_with_a_suite_that_was_not_offered_is_refused_by_name() {
    let why = answer_changed(|body| body.replace("HMAC_SHA1_80", "HMAC_SHA1_32")).await;
    assert_eq!(why, "encryption: the answer has another crypto suite than the offer under its tag");
}

#[tokio::test]
async fn an_answer_without_its_crypto_line_is_refused_by_name() {
    let why = answer_changed(without_crypto).await;
    assert_eq!(why, "encryption: the answer has no crypto line");
}

#[tokio::test]
async fn an_answer_of_plain_rtp_to_a_demand_for_encryption_is_refused_by_name() {
    let plain = |body: &str| without_crypto(body).replace("RTP/SAVP", "RTP/AVP");
    let why = answer_changed(plain).await;
    assert!(why.ends_with("does not match the offer: another transport protocol"), "{why}");
}

#[tokio::test]
async fn an_offer_that_takes_encryption_back_changes_nothing() {
    let (left, _) = agent(Srtp::Sdes, |_| {}).await;
    let (right, wire) = agent(Srtp::Optional, |_| {}).await;
    let meddles = Arc::new(Mutex::new(false));
    let now = meddles.clone();
    let alter = move |from_caller: bool, body: &str| match from_caller && *now.lock().unwrap() {
        true => without_crypto(body).replace("RTP/SAVP", "RTP/AVP"),
        false => body.to_owned(),
    };
    let middle = meddler(address(&right), alter).await;
    // The callee lets plain calls in: this one began encrypted, and stays so.
    let alice = account(&left, "alice").await;
    let placed = alice.call(format!("sip:bob@{middle}")).audio(Audio::silent()).await.unwrap();
    let taken = incoming(&right).await.answer(Audio::silent()).await.unwrap();
    soon(placed.answered()).await.unwrap();
    until(&taken, "sound", |s| s.rx_packets > 5).await;
    *meddles.lock().unwrap() = true;
    let refused = soon(placed.hold()).await.expect_err("refused").to_string();
    assert!(refused.contains("488"), "{refused}");
    let before = taken.stats().await.unwrap().rx_packets;
    until(&taken, "sound all the same", |s| s.rx_packets > before + 10).await;
    let (sound, _) = wire.nothing_left_in_the_clear();
    assert!(sound > 10, "{sound}");
    placed.hangup().await;
}

/// Sends to the port of an agent what strangers can: packets of the peer again, changed, and in the
/// clear. Says how each was counted.
async fn strangers_against(srtp: Srtp) {
    let (left, wire) = agent(srtp, |_| {}).await;
    let (right, _) = agent(srtp, |_| {}).await;
    let (placed, taken) = call(&left, &right).await;
    let before = until(&placed, "sound", |s| s.rx_packets > 10).await;
    assert_eq!(before.srtp_auth_failed + before.srtp_plain + before.srtp_replayed, 0, "{before:?}");
    let stranger = StdSocket::bind("127.0.0.1:0").unwrap();
    let (port, again) = wire.last_in(is_sound).unwrap();
    let mut forged = again.clone();
    // One that was not there yet: a number that was is a replay, whatever else is wrong with it.
    forged[2] ^= 0x01;
    let mut clear = again[..12].to_vec();
    clear.extend([0xff; 160]);
    let mut report = vec![0x80, 201, 0, 1];
    report.extend(&again[8..12]);
    for _ in 0..3 {
        for packet in [&again, &forged, &clear, &report] {
            stranger.send_to(packet, port).unwrap();
        }
        stranger.send_to(&[0xff; 100], port).unwrap();
    }
    let seen = until(&placed, "counted", |s| s.srtp_not_rtp >= 3 && s.srtp_plain >= 6).await;
    assert_eq!((seen.srtp_replayed, seen.srtp_auth_failed), (3, 3), "{seen:?}");
    assert_eq!((seen.srtp_plain, seen.srtp_not_rtp), (6, 3), "{seen:?}");
    // The call goes on, to its peer and nobody else.
    let later = until(&placed, "sound", |s| s.rx_packets > seen.rx_packets + 10).await;
    assert_eq!(later.rejected, before.rejected, "the stream has seen none of it");
    let at = stranger.local_addr().unwrap();
    assert!(wire.0.lock().unwrap().iter().all(|(out, _, to, _)| !out || *to != at));
    let (sound, reports) = {
        placed.hangup().await;
        wire.nothing_left_in_the_clear()
    };
    assert!(sound > 20 && reports > 0, "{sound} {reports}");
    soon(taken.ended()).await;
}

#[tokio::test]
async fn replayed_forged_and_plain_packets_are_told_apart_under_keys_of_descriptions() {
    strangers_against(Srtp::Sdes).await;
}

#[cfg(feature = "dtls")]
#[tokio::test]
async fn replayed_forged_and_plain_packets_are_told_apart_under_keys_of_a_handshake() {
    strangers_against(Srtp::Dtls).await;
}

#[tokio::test]
async fn a_replayed_and_a_forged_report_are_refused() {
    let (left, wire) = agent(Srtp::Sdes, |_| {}).await;
    let (right, _) = agent(Srtp::Sdes, |_| {}).await;
    let (placed, taken) = call(&left, &right).await;
    let report = async {
        loop {
            if let Some(found) = wire.last_in(is_rtcp) {
                return found;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (port, again) = soon(report).await;
    let mut forged = again.clone();
    // A number that was not there yet, under the old tag.
    let index = if forged.len().is_multiple_of(4) { forged.len() - 1 } else { forged.len() - 11 };
    forged[index] = forged[index].wrapping_add(1);
    let stranger = StdSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&again, port).unwrap();
    stranger.send_to(&forged, port).unwrap();
    let seen = until(&placed, "counted", |s| s.srtp_replayed + s.srtp_auth_failed >= 2).await;
    assert_eq!((seen.srtp_replayed, seen.srtp_auth_failed), (1, 1), "{seen:?}");
    placed.hangup().await;
    soon(taken.ended()).await;
    wire.nothing_left_in_the_clear();
}

#[cfg(feature = "dtls")]
mod dtls {
    use super::*;
    use std::time::Instant;
    use tiny_net::dtls::{Association, Identity, Role};
    use tiny_sak::{Output, Rng};

    #[tokio::test]
    async fn a_wrong_fingerprint_is_refused_by_name_and_no_sound_leaves() {
        let identity = Identity::generate().unwrap();
        let known = identity.fingerprint().to_string();
        let shown = Identity::generate().unwrap().fingerprint().to_string();
        let (left, wire_of_left) = agent(Srtp::Dtls, |c| c.dtls_identity = Some(identity)).await;
        let (right, wire) = agent(Srtp::Dtls, |_| {}).await;
        let alter = move |_: bool, body: &str| body.replace(&known, &shown);
        let middle = meddler(address(&right), alter).await;
        let alice = account(&left, "alice").await;
        let placed = alice.call(format!("sip:bob@{middle}")).audio(Audio::silent()).await.unwrap();
        let taken = incoming(&right).await.answer(Audio::silent()).await.unwrap();
        let end = soon(taken.ended()).await;
        assert!(end.failed, "{end:?}");
        assert_eq!(end.reason, "DTLS: the peer's certificate does not match its fingerprint");
        let stats = end.stats.unwrap();
        assert_eq!((stats.rx_packets, stats.dtls_refused), (0, 0), "{stats:?}");
        soon(placed.ended()).await;
        for wire in [wire, wire_of_left] {
            assert_eq!(wire.nothing_left_in_the_clear(), (0, 0));
        }
    }

    /// Shakes hands with a port, with a certificate that nobody has announced.
    fn shake_hands(port: SocketAddr) {
        let socket = StdSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let (own, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (now, rng) = (Instant::now(), Rng::from_seed(9));
        let expected = vec![other.fingerprint()];
        let config = Arc::default();
        let peer = Some(port);
        let mut caller =
            Association::new(now, Role::Active, own, expected, peer, config, rng).unwrap();
        let mut buffer = [0; 2048];
        for _ in 0..8 {
            while let Output::Transmit(packet) = caller.poll(Instant::now()) {
                socket.send_to(&packet.data, packet.to).unwrap();
            }
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) => caller.handle(Instant::now(), from, &buffer[..length]),
                Err(_) => return,
            }
        }
    }

    #[tokio::test]
    async fn a_strangers_handshake_does_not_end_a_call_that_is_up() {
        // The caller offers actpass, and the callee takes the active part.
        let (left, wire) = agent(Srtp::Dtls, |_| {}).await;
        let (right, _) = agent(Srtp::Dtls, |_| {}).await;
        let (placed, taken) = call(&left, &right).await;
        until(&placed, "sound", |s| s.rx_packets > 5).await;
        let (port, _) = wire.last_in(is_sound).unwrap();
        // The passive side has opened the way (RFC 5763 §6.7.1), and was answered.
        let check = |data: &[u8]| data.len() == 20 && data[..2] == [0, 1];
        assert!(wire.0.lock().unwrap().iter().any(|(out, _, _, data)| *out && check(data)));
        assert!(wire.last_in(|data| data[..2] == [1, 1]).is_some());
        tokio::task::spawn_blocking(move || shake_hands(port)).await.unwrap();
        let before = placed.stats().await.unwrap().rx_packets;
        until(&placed, "sound after it", |s| s.rx_packets > before + 10).await;
        until(&taken, "the other way too", |s| s.rx_packets > 10).await;
        placed.hangup().await;
        wire.nothing_left_in_the_clear();
    }
}

mod ice {
    use super::*;
    use tiny_net::stun::{Builder, Class, Key};
    use tiny_ua::Ice;

    async fn with_ice(change: impl FnOnce(&mut Config)) -> (UserAgent, Arc<Wire>) {
        agent(Srtp::Sdes, |config| {
            config.ice = Ice::Full;
            config.media_address = Some("127.0.0.1".parse().unwrap());
            change(config);
        })
        .await
    }

    fn is_stun_request(data: &[u8]) -> bool {
        data.len() > 20 && data[..2] == [0, 1]
    }

    #[tokio::test]
    async fn a_check_with_a_wrong_integrity_is_refused_and_counted() {
        let (left, wire) = with_ice(|_| {}).await;
        let (right, _) = with_ice(|_| {}).await;
        let (placed, taken) = call(&left, &right).await;
        let before = until(&placed, "sound", |s| s.rx_packets > 10).await;
        // What the peer has asked, asked again by a stranger who does not know the password.
        let (port, seen) = wire.last_in(is_stun_request).expect("a check of the peer");
        let seen = Message::parse(&seen).unwrap();
        let signed = [attr::MESSAGE_INTEGRITY, attr::MESSAGE_INTEGRITY_SHA256, attr::FINGERPRINT];
        let attributes = seen.attributes().filter(|(kind, _)| !signed.contains(kind));
        let new = Builder::new(Class::Request, seen.method(), [0x5a; 12]);
        let new = attributes.fold(new, |new, (kind, value)| new.attribute(kind, value));
        let new = new.integrity(&Key::short_term(&"wrong".into())).fingerprint().finish();
        let stranger = StdSocket::bind("127.0.0.1:0").unwrap();
        let counted = placed.ice().await.unwrap().counters.integrity;
        for _ in 0..3 {
            stranger.send_to(&new, port).unwrap();
        }
        let report = async {
            loop {
                let report = placed.ice().await.unwrap();
                if report.counters.integrity >= counted + 3 {
                    return report;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let report = soon(report).await;
        let at = stranger.local_addr().unwrap();
        assert!(report.pairs.iter().all(|pair| pair.remote != at), "{report:?}");
        until(&placed, "sound", |s| s.rx_packets > before.rx_packets + 10).await;
        placed.hangup().await;
        soon(taken.ended()).await;
        // At most a refusal goes there.
        for (out, _, to, data) in wire.0.lock().unwrap().iter() {
            assert!(!out || *to != at || data[..2] == [0x01, 0x11], "{data:02x?}");
        }
        assert!(wire.nothing_left_in_the_clear().0 > 10);
    }

    /// A description with so many more candidates that lead nowhere.
    fn flooded(body: &str, more: u16) -> String {
        let Some((at, _)) = body.match_indices("a=candidate").last() else {
            return body.to_owned();
        };
        let end = body[at..].find("\r\n").map_or(body.len(), |n| at + n + 2);
        let more = (0..more).map(|n| {
            let (priority, port) = (1000 - n, 20_000 + n);
            format!("a=candidate:f{n} 1 UDP {priority} 127.0.0.1 {port} typ host\r\n")
        });
        format!("{}{}{}", &body[..end], more.collect::<String>(), &body[end..])
    }

    #[tokio::test]
    async fn a_flood_of_candidates_is_limited_and_the_call_goes_its_way() {
        let (left, wire) = with_ice(|config| config.ice_limits.max_remote = 16).await;
        let (right, _) = with_ice(|_| {}).await;
        let alter = |from_caller: bool, body: &str| flooded(body, if from_caller { 0 } else { 60 });
        let middle = meddler(address(&right), alter).await;
        let (placed, taken) = call_at(&left, &right, middle).await;
        until(&placed, "sound", |s| s.rx_packets > 10).await;
        let report = placed.ice().await.unwrap();
        assert!(report.counters.candidates_refused >= 40, "{:?}", report.counters);
        assert!(report.remote.len() <= 16, "{}", report.remote.len());
        placed.hangup().await;
        soon(taken.ended()).await;
        assert!(wire.nothing_left_in_the_clear().0 > 10);
        // Beyond what any description has, it is no answer.
        let alter =
            |from_caller: bool, body: &str| flooded(body, if from_caller { 0 } else { 200 });
        let middle = meddler(address(&right), alter).await;
        let alice = account(&left, "carol").await;
        let placed = alice.call(format!("sip:bob@{middle}")).audio(Audio::silent()).await.unwrap();
        let _taken = incoming(&right).await.answer(Audio::silent()).await.unwrap();
        let end = soon(placed.ended()).await;
        assert!(end.reason.contains("max_candidates"), "{}", end.reason);
    }

    #[tokio::test]
    async fn a_peer_that_never_answers_ends_the_call_by_name_without_a_packet_of_sound() {
        let impatient = |config: &mut Config| {
            config.ice_limits.patience = Duration::from_secs(2);
            config.ice_limits.timing.sends = 2;
        };
        let (left, wire) = with_ice(impatient).await;
        let (right, _) = with_ice(|_| {}).await;
        // Somebody who listens and says nothing, in place of either.
        let silent = StdSocket::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let alter = move |_: bool, body: &str| {
            let lines = body.split_inclusive("\r\n").map(|line| {
                let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
                if line.starts_with("a=candidate:") && words.len() > 7 {
                    words[5] = port.to_string();
                } else if line.starts_with("m=audio ") {
                    words[1] = port.to_string();
                } else if line.starts_with("a=rtcp:") {
                    return String::new();
                }
                words.join(" ")
            });
            lines.collect()
        };
        let middle = meddler(address(&right), alter).await;
        let (placed, _taken) = call_at(&left, &right, middle).await;
        let end = soon(placed.ended()).await;
        assert!(end.failed, "{end:?}");
        assert!(end.reason.contains("no path to the peer works"), "{}", end.reason);
        assert_eq!(wire.nothing_left_in_the_clear().0, 0);
        drop(silent);
    }
}
