//! Descriptions of calls with ICE, in the browser profile and with data channels: what is on the
//! wire, and what each side concludes.

use super::super::dtls::{Certified, DtlsSide};
use super::super::lines::{Lines, mid_of, rsize_of};
use super::super::negotiation::Negotiation;
use crate::media::{LocalIce, Security};
use crate::{Config, Srtp};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tiny_net::ice::{Candidate, CandidateAddress, IceOptions};
use tiny_sak::Rng;
use tiny_sdp::{
    Direction, IceRefusal, LocalCodec, LocalData, LocalMedia, LocalSession, NegotiatedSession,
    Negotiator, Rejection,
};

/// One side of a call.
#[derive(Clone)]
struct Side {
    call: Negotiation,
    rng: Rng,
    ip: &'static str,
}

fn side(policy: Srtp, seed: u64, ip: &'static str) -> Side {
    let mut rng = Rng::from_seed(seed);
    let limits = Arc::new(tiny_sdp::Config::default());
    let dtls = matches!(policy, Srtp::Optional | Srtp::Dtls)
        .then(|| Certified::fresh(&Config::default()).ok())
        .flatten()
        .map(|certified| Box::new(DtlsSide::new(certified)));
    let (suites, lines) = (Config::default().srtp_suites, Lines::new(&mut rng));
    let sdp = Negotiator::new(limits.clone(), seed, 1);
    let call = Negotiation::new(sdp, limits, policy, suites, dtls, lines);
    Side { call, rng, ip }
}

/// In the browser profile, with data channels as they are asked for.
fn browser(seed: u64, ip: &'static str, ufrag: &str) -> Side {
    let mut side = side(Srtp::Dtls, seed, ip);
    side.call.set_webrtc(true);
    side.call.take_data(Some(LocalData::default()));
    side.call.set_ice(Some(side.ice(ufrag)));
    side
}

impl Side {
    /// A host and a server reflexive candidate for each component.
    fn ice(&self, ufrag: &str) -> LocalIce {
        let ip = self.ip;
        let candidates = [
            format!("1 1 udp 2130706431 {ip} 4000 typ host"),
            format!("1 2 udp 2130706430 {ip} 4001 typ host"),
            format!("2 1 udp 1694498815 203.0.113.9 7000 typ srflx raddr {ip} rport 4000"),
            format!("2 2 udp 1694498814 203.0.113.9 7003 typ srflx raddr {ip} rport 4001"),
        ];
        LocalIce {
            ufrag: ufrag.to_owned(),
            password: format!("{ufrag}-password-of-22-characters").replace('-', "+").into(),
            options: IceOptions { ice2: true, trickle: true, ..IceOptions::default() },
            lite: false,
            candidates: candidates.iter().map(|c| c.parse().unwrap()).collect(),
            done: true,
            default_rtp: "203.0.113.9:7000".parse().unwrap(),
            default_rtcp: Some("203.0.113.9:7003".parse().unwrap()),
            hidden: false,
            remote_candidates: Vec::new(),
        }
    }

    fn local(&self, way: Direction) -> LocalSession {
        let codecs = vec![LocalCodec::opus(), LocalCodec::pcmu()];
        let mut audio = LocalMedia::audio(4000, codecs).with_telephone_events();
        audio.rtcp_mux = true;
        audio.direction = way;
        LocalSession::new(self.ip, vec![audio])
    }

    fn try_offer(&mut self, way: Direction) -> Result<String, crate::Error> {
        let mut local = self.local(way);
        self.call.offer(&mut local, &mut self.rng)
    }

    fn offer(&mut self) -> String {
        self.try_offer(Direction::SendRecv).unwrap()
    }

    fn try_answer(&mut self, offer: &str) -> Result<(String, NegotiatedSession), tiny_sdp::Error> {
        let mut local = self.local(Direction::SendRecv);
        let answer = self.call.answer(offer.as_bytes(), &mut local, &mut self.rng)?;
        Ok((answer.sdp, answer.session))
    }

    fn answer(&mut self, offer: &str) -> String {
        self.try_answer(offer).unwrap().0
    }

    fn accept(&mut self, answer: &str) -> NegotiatedSession {
        self.call.accept_answer(answer.as_bytes()).unwrap()
    }

    fn peer_ufrag(&self) -> Option<String> {
        self.call.ice_peer().map(|peer| peer.ufrag)
    }

    /// Which association of DTLS is in force.
    fn association(&self) -> u32 {
        match self.call.security() {
            Security::Dtls(keys) => keys.agreement.number,
            other => panic!("no DTLS: {other:?}"),
        }
    }
}

/// Two sides with ICE and no encryption.
fn pair() -> (Side, Side) {
    let (mut a, mut b) = (side(Srtp::Off, 1, "192.0.2.1"), side(Srtp::Off, 2, "192.0.2.2"));
    a.call.set_ice(Some(a.ice("alice")));
    b.call.set_ice(Some(b.ice("bobby")));
    (a, b)
}

/// Offer and answer, both as they were on the wire.
fn exchange(a: &mut Side, b: &mut Side) -> (String, String) {
    let offer = a.offer();
    let answer = b.answer(&offer);
    a.accept(&answer);
    (offer, answer)
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|l| l == line)
}

fn count(text: &str, start: &str) -> usize {
    text.lines().filter(|l| l.starts_with(start)).count()
}

/// What a section says, from its `m=` line on.
fn section(text: &str, index: usize) -> &str {
    let mut starts: Vec<usize> = text.match_indices("m=").map(|(at, _)| at).collect();
    starts.push(text.len());
    &text[starts[index]..starts[index + 1]]
}

fn without(text: &str, start: &str) -> String {
    text.lines().filter(|l| !l.starts_with(start)).map(|l| format!("{l}\r\n")).collect()
}

// RFC 8839 §4.2.1, §5.1–5.6; RFC 8838 §8.2
#[test]
fn an_offer_has_credentials_candidates_and_a_default_address_for_each_component() {
    let (mut a, mut b) = pair();
    let offer = a.offer();
    for line in [
        "c=IN IP4 203.0.113.9",
        "a=ice-options:ice2 trickle",
        "a=ice-ufrag:alice",
        "a=ice-pwd:alice+password+of+22+characters",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 4000 typ host",
        "a=candidate:2 2 udp 1694498814 203.0.113.9 7003 typ srflx raddr 192.0.2.1 rport 4001",
        "a=rtcp:7003 IN IP4 203.0.113.9",
        "a=end-of-candidates",
    ] {
        assert!(has(&offer, line), "{line} in {offer}");
    }
    assert!(offer.contains("m=audio 7000 RTP/AVP ") && !offer.contains("ice-lite"), "{offer}");
    assert!(b.call.wants_ice(offer.as_bytes()) && !b.call.peer_restarts_ice(offer.as_bytes()));
    // RFC 5761 §5.1.3: both multiplex, and the second component is gone.
    let answer = b.answer(&offer);
    assert_eq!((count(&answer, "a=candidate:"), count(&answer, "a=rtcp:")), (2, 0), "{answer}");
    a.accept(&answer);
    let (mine, theirs) = (b.call.ice_peer().unwrap(), a.call.ice_peer().unwrap());
    assert_eq!((mine.ufrag.as_str(), mine.candidates.len(), mine.done), ("alice", 4, true));
    assert_eq!(mine.password.expose(), "alice+password+of+22+characters");
    assert!(mine.options.ice2 && mine.options.trickle && !mine.options.renomination);
    assert_eq!((theirs.ufrag.as_str(), theirs.candidates.len()), ("bobby", 2));
    assert_eq!((a.call.ice_refusal(), b.call.ice_refusal()), (None, None));
    // So do later offers.
    let again = a.offer();
    assert_eq!((count(&again, "a=candidate:"), count(&again, "a=rtcp:")), (2, 0), "{again}");
}

// RFC 5761 §5.1.3: "the offerer MUST NOT multiplex"
#[test]
fn a_peer_that_does_not_multiplex_keeps_both_components() {
    let (mut a, mut b) = pair();
    let offer = without(&a.offer(), "a=rtcp-mux");
    let answer = b.answer(&offer);
    assert!(!answer.contains("rtcp-mux"), "{answer}");
    assert!(has(&answer, "a=rtcp:7003 IN IP4 203.0.113.9"), "{answer}");
    assert_eq!(count(&answer, "a=candidate:"), 4);
    let session = a.accept(&answer);
    assert!(!session.audio().unwrap().rtcp_mux);
    assert_eq!(count(&a.offer(), "a=candidate:"), 4);
}

// RFC 8839 §4.2.2, §5.3
#[test]
fn a_relay_per_component_and_a_lite_agent_are_written_as_they_are() {
    let mut a = side(Srtp::Off, 1, "192.0.2.1");
    let mut ice = LocalIce { lite: true, ..a.ice("alice") };
    ice.default_rtcp = Some("[2001:db8::7]:7003".parse::<SocketAddr>().unwrap());
    a.call.set_ice(Some(ice));
    let offer = a.offer();
    assert!(has(&offer, "a=rtcp:7003 IN IP6 2001:db8::7"), "{offer}");
    assert!(has(&offer, "a=ice-lite"), "{offer}");
    let mut b = side(Srtp::Off, 2, "192.0.2.2");
    b.call.set_ice(Some(b.ice("bobby")));
    b.answer(&offer.replace("a=rtcp:7003 IN IP6 2001:db8::7\r\n", ""));
    assert!(b.call.ice_peer().unwrap().lite);
}

// draft-ietf-mmusic-mdns-ice-candidates §3.1; RFC 8829 §5.2.1; RFC 8839 §4.2.5, RFC 8840 §4.1.2
#[test]
fn who_hides_its_addresses_has_them_in_no_line_of_a_description() {
    for (outer, webrtc) in [(true, false), (false, false), (true, true), (false, true)] {
        let make = |seed, ip, ufrag: &str| {
            let mut side =
                if webrtc { browser(seed, ip, ufrag) } else { side(Srtp::Off, seed, ip) };
            let mut ice = side.ice(ufrag);
            ice.hidden = true;
            ice.candidates.retain(|c| outer || c.kind == tiny_net::ice::CandidateKind::Host);
            for candidate in &mut ice.candidates {
                let name = format!("1f4712db-ea17-4bcf-a596-105139dfd8b{seed}.local");
                match candidate.related {
                    None => candidate.address = CandidateAddress::Name(name, 4000),
                    Some(_) => candidate.related = Some("0.0.0.0:9".parse().unwrap()),
                }
            }
            if !outer {
                ice.default_rtp = "0.0.0.0:9".parse().unwrap();
                ice.default_rtcp = Some(ice.default_rtp);
            }
            side.call.set_ice(Some(ice));
            side
        };
        let (mut a, mut b) = (make(1, "192.0.2.1", "alice"), make(2, "192.0.2.2", "bobby"));
        let (offer, answer) = exchange(&mut a, &mut b);
        for text in [&offer, &answer, &a.offer()] {
            assert!(!text.contains("192.0.2") && text.contains(".local 4000 typ host"), "{text}");
            let origin = text.lines().find(|l| l.starts_with("o=")).unwrap();
            assert!(origin.ends_with(" IN IP4 0.0.0.0"), "{text}");
            let (at, line) = match outer {
                true => ("c=IN IP4 203.0.113.9", "m=audio 7000 "),
                false => ("c=IN IP4 0.0.0.0", "m=audio 9 "),
            };
            assert!(has(text, at) && text.contains(line), "{text}");
            assert_eq!(text.contains(" raddr 0.0.0.0 rport 9"), outer, "{text}");
        }
        assert_eq!(has(&offer, "a=rtcp:9 IN IP4 0.0.0.0"), !outer && !webrtc, "{offer}");
        // A default that is none is no mismatch.
        assert_eq!((a.call.ice_refusal(), b.call.ice_refusal()), (None, None));
        assert_eq!(b.peer_ufrag().as_deref(), Some("alice"));
        // Nor is anything shown to a peer without ICE.
        if !webrtc {
            let mut plain = side(Srtp::Off, 3, "192.0.2.3");
            let mut a = make(1, "192.0.2.1", "alice");
            let offer = a.offer();
            a.accept(&plain.answer(&offer));
            let again = a.offer();
            assert!(!again.contains("192.0.2") && !again.contains("a=ice"), "{again}");
            let answer = make(1, "192.0.2.1", "alice").answer(&plain.offer());
            assert!(!answer.contains("192.0.2"), "{answer}");
        }
    }
}

// RFC 8839 §5.5
#[test]
fn another_pace_is_said_with_ice_and_known_to_the_peer() {
    let (mut a, mut b) = pair();
    let mut local = a.local(Direction::SendRecv);
    local.ice_pacing = Some(20);
    let offer = a.call.offer(&mut local, &mut a.rng).unwrap();
    assert!(has(&offer, "a=ice-pacing:20"), "{offer}");
    b.answer(&offer);
    assert_eq!(b.call.ice_peer().unwrap().pace, Some(Duration::from_millis(20)));
}

// RFC 8839 §4.2.3: an answer has ICE where the offer has it; §4.3.
#[test]
fn a_peer_without_ice_is_talked_to_without_and_not_asked_again() {
    let (mut a, mut b) = pair();
    b.call.set_ice(None);
    let (_, answer) = exchange(&mut a, &mut b);
    assert!(!answer.contains("a=ice") && !answer.contains("a=candidate"), "{answer}");
    assert_eq!(a.call.ice_refusal(), Some(IceRefusal::NotSupported));
    assert!(a.call.ice_peer().is_none() && b.call.ice_peer().is_none());
    // The address is the one that the peer knows.
    let again = a.offer();
    assert!(!again.contains("a=ice") && !again.contains("a=candidate"), "{again}");
    assert!(has(&again, "c=IN IP4 203.0.113.9") && again.contains("m=audio 7000 "), "{again}");
    let answer = b.answer(&again);
    a.accept(&answer);
    assert_eq!(a.call.ice_refusal(), Some(IceRefusal::NotSupported));
    // New credentials are a new attempt.
    a.call.set_ice(Some(a.ice("alice2")));
    assert!(has(&a.offer(), "a=ice-ufrag:alice2"));

    // The other way about: an offer without, to who has it.
    let (mut a, mut b) = pair();
    a.call.set_ice(None);
    let offer = a.offer();
    assert!(!b.call.wants_ice(offer.as_bytes()));
    let answer = b.answer(&offer);
    assert!(!answer.contains("a=ice"), "{answer}");
    assert!(has(&answer, "c=IN IP4 203.0.113.9") && answer.contains("m=audio 7000 "), "{answer}");
    assert_eq!(b.call.ice_refusal(), Some(IceRefusal::NotSupported));
}

// RFC 8839 §4.2.5
#[test]
fn an_address_changed_on_the_way_is_a_mismatch_that_both_sides_know_of() {
    let (mut a, mut b) = pair();
    let offer = a.offer().replace("c=IN IP4 203.0.113.9", "c=IN IP4 198.51.100.1");
    let answer = b.answer(&offer);
    assert!(has(&answer, "a=ice-mismatch") && !answer.contains("a=candidate"), "{answer}");
    assert_eq!(b.call.ice_refusal(), Some(IceRefusal::Mismatch));
    let session = a.accept(&answer);
    assert_eq!(a.call.ice_refusal(), Some(IceRefusal::MismatchByPeer));
    let to = session.audio().unwrap().remote_rtp.as_ref().unwrap().to_string();
    assert_eq!(to, "203.0.113.9:7000");
}

// RFC 8839 §4.4.1.1.1, §4.4.2, §4.4.3
#[test]
fn credentials_stay_over_a_hold_and_both_sides_change_them_in_a_restart() {
    let (mut a, mut b) = pair();
    exchange(&mut a, &mut b);
    let held = a.try_offer(Direction::SendOnly).unwrap();
    assert!(has(&held, "a=ice-ufrag:alice") && has(&held, "a=sendonly"), "{held}");
    assert!(!b.call.peer_restarts_ice(held.as_bytes()));
    let answer = b.answer(&held);
    assert!(has(&answer, "a=ice-ufrag:bobby") && has(&answer, "a=recvonly"), "{answer}");
    a.accept(&answer);

    a.call.set_ice(Some(a.ice("alice2")));
    let offer = a.offer();
    assert!(b.call.peer_restarts_ice(offer.as_bytes()));
    // The old ones are no answer to it.
    let refused = b.try_answer(&offer).unwrap_err();
    assert!(refused.to_string().contains("the peer restarts ICE"), "{refused}");
    assert_eq!(b.peer_ufrag().as_deref(), Some("alice"), "nothing has changed");
    b.call.set_ice(Some(b.ice("bobby2")));
    let answer = b.answer(&offer);
    a.accept(&answer);
    assert_eq!(a.peer_ufrag().as_deref(), Some("bobby2"));
    assert_eq!(b.peer_ufrag().as_deref(), Some("alice2"));
    // What the answer of a restart kept is none either.
    a.call.set_ice(Some(a.ice("alice3")));
    a.offer();
    let refused = a.call.accept_answer(answer.as_bytes()).unwrap_err();
    assert!(refused.to_string().contains("ICE restart was not taken up"), "{refused}");
}

// RFC 8839 §4.4.1.2.2
#[test]
fn what_was_nominated_is_named_in_offers_only() {
    let (mut a, mut b) = pair();
    exchange(&mut a, &mut b);
    let mut chosen = a.ice("alice");
    chosen.remote_candidates =
        vec![(1, "192.0.2.2:4000".parse().unwrap()), (2, "192.0.2.2:4001".parse().unwrap())];
    a.call.set_ice(Some(chosen));
    // With one component, as RTP and RTCP share a port by now.
    let offer = a.offer();
    assert!(has(&offer, "a=remote-candidates:1 192.0.2.2 4000"), "{offer}");
    let answer = b.answer(&offer);
    // The agent of the other side is told: its own address, and the peer's default one.
    let told = b.call.ice_peer().unwrap().chosen;
    let (ours, theirs) = ("192.0.2.2:4000".parse().unwrap(), "203.0.113.9:7000".parse().unwrap());
    assert_eq!(told, [(1, ours, theirs)]);
    a.accept(&answer);
    let offer = b.offer();
    assert!(!a.answer(&offer).contains("remote-candidates"));
}

// RFC 8445 and forking: "each dialog continues with its own clone"
#[test]
fn each_branch_of_a_fork_has_its_own_peer() {
    let (mut a, mut b) = pair();
    let mut c = side(Srtp::Off, 3, "192.0.2.3");
    c.call.set_ice(Some(c.ice("carol")));
    let mut d = side(Srtp::Off, 4, "192.0.2.4");
    let offer = a.offer();
    let (mut to_b, mut to_c, mut to_d) = (a.clone(), a.clone(), a.clone());
    to_b.accept(&b.answer(&offer));
    to_c.accept(&c.answer(&offer));
    to_d.accept(&d.answer(&offer));
    assert_eq!(to_b.peer_ufrag().as_deref(), Some("bobby"));
    assert_eq!(to_c.peer_ufrag().as_deref(), Some("carol"));
    assert_eq!(to_d.call.ice_refusal(), Some(IceRefusal::NotSupported));
    assert!(a.call.ice_peer().is_none() && a.call.ice_refusal().is_none());
    // Each goes on with what it has agreed on.
    assert!(to_b.offer().contains("a=candidate") && !to_d.offer().contains("a=candidate"));
}

#[test]
fn candidates_that_cannot_be_used_are_left_out() {
    let (mut a, mut b) = pair();
    let bad = "a=candidate:x\r\na=candidate:3 1 sctp 5 192.0.2.1 4000 typ host\r\n\
               a=candidate:4 1 udp 7 3f2c.local 4000 typ host network-cost 10\r\na=end-of-cand";
    let offer = a.offer().replacen("a=end-of-cand", bad, 1);
    b.answer(&offer);
    let peer = b.call.ice_peer().unwrap();
    let named: Vec<&Candidate> =
        peer.candidates.iter().filter(|c| c.address.ip().is_none()).collect();
    assert_eq!((peer.candidates.len(), named.len(), named[0].network_cost), (5, 1, Some(10)));
}

#[cfg(feature = "dtls")]
mod described;
#[cfg(feature = "dtls")]
mod field;
#[cfg(feature = "dtls")]
mod profile;

// RFC 5763 §6.7.1
#[cfg(feature = "dtls")]
#[test]
fn of_a_peer_without_ice_the_handshake_is_waited_for() {
    for (outer, role) in [(true, "passive"), (false, "active")] {
        let mut a = side(Srtp::Dtls, 1, "192.0.2.1");
        let mut b = side(Srtp::Dtls, 2, "192.0.2.2");
        let ice = outer.then(|| b.ice("bob"));
        b.call.set_ice(ice);
        let answer = b.answer(&a.offer());
        assert!(has(&answer, &format!("a=setup:{role}")), "{answer}");
        assert!(!answer.contains("a=ice") && !answer.contains("a=candidate"), "{answer}");
        assert_eq!(answer.contains("c=IN IP4 203.0.113.9"), outer, "{answer}");
        a.accept(&answer);
    }
}
