//! Collisions of SSRCs and loops (RFC 3550 §8.2).

use super::*;

fn byes(transmits: &[Transmit]) -> Vec<Ssrc> {
    let mut all = Vec::new();
    for t in transmits {
        for p in parsed(&t.data) {
            if let RtcpPacket::Bye(bye) = p {
                all.extend(bye.sources());
            }
        }
    }
    all
}

#[test]
fn a_collision_says_bye_for_the_old_ssrc_and_takes_a_new_one() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    let old = s.ssrc();
    let mut out = Vec::new();
    s.send(now, PCMU, false, 0, &[1], &mut out).unwrap();
    // The peer happens to use our SSRC; it is heard all the same.
    assert_eq!(feed(&mut s, &mut now, bob(), old.0, 100, 10), 10);
    let new = s.ssrc();
    assert_ne!(new, old);
    let (transmits, events, _) = drain(&mut s, now);
    assert_eq!(byes(&transmits), [old]);
    assert_eq!(events[0], Event::SsrcChanged { old, new });
    out.clear();
    s.send(now, PCMU, false, 160, &[1], &mut out).unwrap();
    assert_eq!(RtpPacket::parse(&out).unwrap().ssrc(), new);
    assert_eq!(s.stats().ssrc_changes, 1);
}

#[test]
fn a_loop_changes_the_ssrc_once_and_is_ignored_from_then_on() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    let mut all_byes = Vec::new();
    for n in 0..500u32 {
        let mut out = Vec::new();
        s.send(now, PCMU, false, n * 160, &[1; 160], &mut out).unwrap();
        // An echo tool sends every packet back as it is.
        let _ = s.receive(now, bob(), &out);
        let (transmits, _, _) = drain(&mut s, now);
        all_byes.extend(byes(&transmits));
        now += ms(20);
    }
    assert_eq!(all_byes.len(), 1);
    let stats = s.stats();
    assert_eq!((stats.ssrc_changes, stats.drops.looped), (1, 499));
}

#[test]
fn echoed_packets_are_heard_where_that_is_wanted() {
    let mut now = Instant::now();
    let echo = SessionConfig { accept_looped: true, ..config(now, bob()) };
    let mut s = Session::new(now, echo, Rng::from_seed(1));
    for n in 0..100u32 {
        let mut out = Vec::new();
        s.send(now, PCMU, false, n * 160, &[1; 160], &mut out).unwrap();
        let _ = s.receive(now, bob(), &out);
        now += ms(20);
    }
    let stats = s.stats();
    assert_eq!((stats.rx_packets, stats.ssrc_changes), (100, 0));
}

#[test]
fn strangers_cannot_make_us_change_our_ssrc() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    let own = s.ssrc();
    for n in 0..1000u16 {
        let from = SocketAddr::from(([198, 51, 100, 1], n + 1));
        assert_eq!(s.receive(now, from, &packet(own.0, n, 0)).unwrap_err(), DropReason::Loop);
        now += ms(1);
    }
    assert_eq!((s.ssrc(), s.rtp_destination()), (own, Some(bob())));
    // And where any address is heard, the changes are bounded.
    let any = SessionConfig { source_policy: SourcePolicy::Any, ..config(now, bob()) };
    let mut s = Session::new(now, any, Rng::from_seed(1));
    for n in 0..1000u16 {
        let from = SocketAddr::from(([198, 51, 100, 1], n + 1));
        let _ = s.receive(now, from, &packet(s.ssrc().0, n, 0));
    }
    assert_eq!(s.stats().ssrc_changes, 4);
}

#[test]
fn a_conflicting_address_is_forgotten_after_ten_report_intervals() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    let _ = s.receive(now, bob(), &packet(s.ssrc().0, 1, 0));
    assert_eq!(s.stats().ssrc_changes, 1);
    now += secs(49);
    assert_eq!(s.receive(now, bob(), &packet(s.ssrc().0, 2, 0)).unwrap_err(), DropReason::Loop);
    now += secs(51);
    let _ = s.receive(now, bob(), &packet(s.ssrc().0, 3, 0));
    assert_eq!(s.stats().ssrc_changes, 2);
}

#[test]
fn a_collision_seen_in_rtcp_is_resolved_too() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let old = s.ssrc();
    let mut rr = vec![0x80, 201, 0, 1];
    rr.extend(old.0.to_be_bytes());
    let from = rtcp_of(bob());
    s.handle(now, Input::Rtcp { from, data: &rr }).unwrap();
    assert_ne!(s.ssrc(), old);
    let (transmits, _, _) = drain(&mut s, now);
    assert!(byes(&transmits).is_empty(), "nothing was sent under it, so nothing leaves");
}

#[test]
fn of_two_third_parties_with_one_ssrc_the_first_is_kept_while_it_is_heard() {
    let mut now = Instant::now();
    let any = SessionConfig { source_policy: SourcePolicy::Any, ..config(now, bob()) };
    let mut s = Session::new(now, any, Rng::from_seed(1));
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    assert_eq!(s.receive(now, alice(), &packet(7, 10, 0)).unwrap_err(), DropReason::Collision);
    assert_eq!(s.stats().third_party_conflicts, 1);
    assert_eq!(feed(&mut s, &mut now, bob(), 7, 10, 10), 10);
    now += secs(3);
    assert_eq!(feed(&mut s, &mut now, alice(), 7, 20, 10), 10, "the first has fallen silent");
}

#[test]
fn one_ssrc_under_two_names_is_counted_and_keeps_the_first() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let from = rtcp_of(bob());
    for name in *b"ab" {
        let data = [0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 202, 0, 2, 0, 0, 0, 7, 1, 1, name, 0];
        s.handle(now, Input::Rtcp { from, data: &data }).unwrap();
    }
    assert_eq!(s.sources().next().unwrap().cname.as_deref(), Some("a"));
    assert_eq!(s.stats().third_party_conflicts, 1);
}
