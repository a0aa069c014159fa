//! Symmetric RTP inside a session: NATs, handovers, attackers; RTCP that follows.

use super::*;

fn natted() -> SocketAddr {
    addr("203.0.113.9:61234")
}

#[test]
fn media_follows_a_peer_behind_a_nat_and_no_packet_of_it_is_lost() {
    let mut now = Instant::now();
    let mut s = session(now, addr("10.0.0.5:4000"), 1);
    let data = packet(7, 0, 0);
    assert_eq!(s.receive(now, natted(), &data).unwrap_err(), DropReason::Unproven);
    assert_eq!(s.rtp_destination(), Some(addr("10.0.0.5:4000")));
    now += ms(20);
    assert_eq!(feed(&mut s, &mut now, natted(), 7, 1, 49), 50, "the three that proved it come too");
    assert_eq!(s.rtp_destination(), Some(natted()));
    let mut out = Vec::new();
    assert_eq!(s.send(now, PCMU, false, 0, &[], &mut out), Ok(natted()));
    let (_, events, _) = drain(&mut s, now);
    let moved = Event::RemoteMoved {
        component: Component::Rtp,
        from: Some(addr("10.0.0.5:4000")),
        to: natted(),
    };
    assert_eq!(events[0], moved);
    let stats = s.stats();
    assert_eq!((stats.rx_packets, stats.lost, stats.remote_moves), (50, 0, 1));
}

#[test]
fn spraying_neither_redirects_media_nor_is_heard() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    let mut dice = Rng::from_seed(3);
    let attacker = addr("198.51.100.66:666");
    for n in 0..500u16 {
        assert_eq!(feed(&mut s, &mut now, bob(), 7, n, 1), u32::from(n != 0) + u32::from(n == 1));
        for i in 0..20u16 {
            // Perfect sequences of the peer's own SSRC, of another, and of random ones.
            for ssrc in [7, 8, dice.u32()] {
                let data = packet(ssrc, n * 20 + i, 0);
                let reason = s.receive(now, attacker, &data).unwrap_err();
                assert_eq!(reason, DropReason::ForeignAddress);
            }
        }
    }
    assert_eq!(s.rtp_destination(), Some(bob()));
    let stats = s.stats();
    assert_eq!((stats.rx_packets, stats.lost, stats.duplicated), (500, 0, 0));
    assert_eq!((stats.drops.foreign_address, stats.remote_moves), (30_000, 0));
    assert_eq!(s.sources().count(), 1, "strangers leave nothing behind");
    let (_, events, _) = drain(&mut s, now);
    assert!(!events.iter().any(|e| matches!(e, Event::RemoteMoved { .. })));
}

#[test]
fn a_sprayer_with_an_unexpected_payload_type_proves_nothing() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    for n in 0..100 {
        let mut data = packet(7, n, 0);
        data[1] = 8;
        now += ms(20);
        let reason = s.receive(now, natted(), &data).unwrap_err();
        assert_eq!(reason, DropReason::UnknownPayloadType(PayloadType::PCMA));
    }
    assert_eq!(s.rtp_destination(), Some(bob()));
}

#[test]
fn a_peer_that_changes_networks_is_followed_after_silence_without_loss_of_the_stream() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 100);
    now += secs(3);
    // 150 packets were lost on the way; then the same stream from elsewhere.
    assert_eq!(feed(&mut s, &mut now, natted(), 7, 250, 50), 50, "proof included");
    let stats = s.stats();
    assert_eq!((stats.rx_packets, stats.lost, stats.remote_moves), (150, 150, 1));
    let source = s.sources().next().unwrap();
    assert_eq!(source.from, Some(natted()));
    let (_, events, _) = drain(&mut s, now);
    let added = events.iter().filter(|e| matches!(e, Event::SourceAdded { .. })).count();
    assert_eq!(added, 1, "it is the same source");
}

#[test]
fn new_signalling_moves_media_at_once_and_a_refresh_does_not() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, natted(), 7, 0, 10);
    s.set_remote(Some(Remote::new(bob())));
    assert_eq!(s.rtp_destination(), Some(natted()));
    s.set_remote(Some(Remote::new(alice())));
    assert_eq!(s.rtp_destination(), Some(alice()));
    assert_eq!(s.rtcp_destination(), Some(rtcp_of(alice())));
    s.set_remote(None);
    assert_eq!(s.rtp_destination(), None);
}

#[test]
fn early_media_is_heard_before_signalling_names_an_address() {
    let mut now = Instant::now();
    let unknown = SessionConfig { remote: None, ..config(now, bob()) };
    let mut s = Session::new(now, unknown, Rng::from_seed(1));
    assert_eq!(feed(&mut s, &mut now, natted(), 7, 0, 10), 10);
    s.set_remote(Some(Remote::new(bob())));
    assert_eq!(s.rtp_destination(), Some(bob()));
}

#[test]
fn only_the_signalled_address_is_heard_where_that_is_the_policy() {
    let mut now = Instant::now();
    let strict = SessionConfig { source_policy: SourcePolicy::SignalledOnly, ..config(now, bob()) };
    let mut s = Session::new(now, strict, Rng::from_seed(1));
    assert_eq!(feed(&mut s, &mut now, natted(), 7, 0, 100), 0);
    assert_eq!(feed(&mut s, &mut now, bob(), 7, 0, 100), 100);
    let from = natted();
    let rr = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let refused = s.handle(now, Input::Rtcp { from, data: &rr });
    assert_eq!(refused, Err(DropReason::ForeignAddress));
}

#[test]
fn any_address_is_heard_where_another_layer_has_decided() {
    let mut now = Instant::now();
    let any = SessionConfig { source_policy: SourcePolicy::Any, ..config(now, bob()) };
    let mut s = Session::new(now, any, Rng::from_seed(1));
    assert_eq!(feed(&mut s, &mut now, natted(), 7, 0, 100), 100);
    assert_eq!(s.rtp_destination(), Some(bob()), "but media stays where signalling wants it");
}

#[test]
fn rtcp_on_its_own_port_follows_the_nat_after_two_reports_of_the_media_source() {
    let mut now = Instant::now();
    let mut s = session(now, addr("10.0.0.5:4000"), 1);
    feed(&mut s, &mut now, natted(), 7, 0, 10);
    let from = addr("203.0.113.9:61235");
    let rr = [0x80, 201, 0, 1, 0, 0, 0, 7];
    s.handle(now, Input::Rtcp { from, data: &rr }).unwrap();
    assert_eq!(s.rtcp_destination(), Some(addr("10.0.0.5:4001")), "not on one packet");
    s.handle(now, Input::Rtcp { from, data: &rr }).unwrap();
    assert_eq!(s.rtcp_destination(), Some(from));
    // A report of an unknown source, or from another host, moves nothing.
    let mut s = session(now, addr("10.0.0.5:4000"), 1);
    feed(&mut s, &mut now, natted(), 7, 0, 10);
    let stranger = [0x80, 201, 0, 1, 0, 0, 0, 99];
    let elsewhere = addr("198.51.100.1:1");
    for _ in 0..10 {
        s.handle(now, Input::Rtcp { from, data: &stranger }).unwrap();
        let refused = s.handle(now, Input::Rtcp { from: elsewhere, data: &rr });
        assert_eq!(refused, Err(DropReason::ForeignAddress));
    }
    assert_eq!(s.rtcp_destination(), Some(addr("10.0.0.5:4001")));
}

#[test]
fn under_rtcp_mux_reports_go_where_media_goes_and_come_in_by_the_same_door() {
    let mut now = Instant::now();
    let mux = SessionConfig { rtcp_mux: true, ..config(now, addr("10.0.0.5:4000")) };
    let mut s = Session::new(now, mux, Rng::from_seed(1));
    feed(&mut s, &mut now, natted(), 7, 0, 10);
    let rr = [0x80, 201, 0, 1, 0, 0, 0, 7];
    assert!(matches!(s.receive(now, natted(), &rr), Ok(Received::Rtcp)));
    assert_eq!(s.receive(now, bob(), &rr).unwrap_err(), DropReason::ForeignAddress);
    let later = now + secs(10);
    let (sent, _) = run_until(&mut s, &mut now, later);
    assert!(!sent.is_empty());
    for (_, t) in sent {
        assert_eq!((t.component, t.to), (Component::Rtp, natted()));
        assert_eq!(crate::PacketKind::of(&t.data), crate::PacketKind::Rtcp);
    }
}
