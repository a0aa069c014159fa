use super::*;

const BANDWIDTH: f64 = 64_000.0;

fn schedule(now: Instant, seed: u64) -> (Schedule, Rng) {
    let mut rng = Rng::from_seed(seed);
    let rates = (BANDWIDTH * 0.0125, BANDWIDTH * 0.0375);
    let s = Schedule::new(now, rates, Duration::from_secs(5), None, 100, &mut rng);
    (s, rng)
}

fn group(members: usize, senders: usize, we_sent: bool) -> Group {
    Group { members, senders, we_sent }
}

fn secs(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

#[test]
fn the_first_report_comes_after_half_the_minimum_interval_randomized() {
    let now = Instant::now();
    let (mut low, mut high) = (f64::MAX, 0.0f64);
    for seed in 0..2000 {
        let wait = (schedule(now, seed).0.next() - now).as_secs_f64();
        (low, high) = (low.min(wait), high.max(wait));
    }
    // 2.5 s × [0.5, 1.5] ÷ 1.21828 (§6.3.1 steps 2, 4, 5).
    assert!((1.026..1.05).contains(&low), "{low}");
    assert!((3.05..3.078).contains(&high), "{high}");
}

#[test]
fn the_deterministic_interval_follows_section_6_3_1_row_by_row() {
    let (mut s, _) = schedule(Instant::now(), 1);
    s.average = 200.0;
    let td = |g| s.deterministic(g, 5.0);
    // 64 kbit/s: 400 octets/s of RTCP, 100 for senders and 300 for receivers.
    assert_eq!(td(group(2, 1, true)), 5.0, "the minimum");
    assert_eq!(td(group(100, 10, true)), 200.0 * 10.0 / 100.0, "a sender among few");
    assert_eq!(td(group(100, 10, false)), 200.0 * 90.0 / 300.0, "a receiver among few senders");
    assert_eq!(td(group(100, 25, true)), 200.0 * 25.0 / 100.0, "a quarter still is few");
    assert_eq!(td(group(100, 26, true)), 200.0 * 100.0 / 400.0, "more than a quarter: all alike");
    assert_eq!(td(group(100, 26, false)), 200.0 * 100.0 / 400.0);
}

#[test]
fn separate_bandwidths_move_the_quarter_and_zero_divides_nothing() {
    let mut rng = Rng::from_seed(1);
    let now = Instant::now();
    let mut of = |s: f64, r: f64| Schedule::new(now, (s, r), secs(5.0), None, 100, &mut rng);
    let only_senders = of(800.0, 0.0);
    assert!(only_senders.may_send(group(10, 9, true)));
    assert!(!only_senders.may_send(group(10, 9, false)), "R = 0: receivers are silent");
    assert_eq!(only_senders.deterministic(group(10, 9, true), 5.0), 100.0 * 9.0 / 100.0);
    let off = of(0.0, 0.0);
    assert!(off.is_off() && !off.may_send(group(2, 1, true)));
    assert_eq!(off.timeout_interval(group(2, 0, false)), secs(5.0));
    let half = of(800.0, 800.0);
    assert_eq!(half.deterministic(group(10, 5, true), 0.0), 100.0 * 5.0 / 100.0);
    assert_eq!(half.deterministic(group(10, 6, true), 0.0), 100.0 * 10.0 / 200.0);
}

#[test]
fn the_reduced_minimum_shortens_reports_but_not_timeouts() {
    let mut rng = Rng::from_seed(1);
    let rates = (36_000.0 * 0.25, 36_000.0 * 0.75);
    // 720 kbit/s: 360 / 720 = 0.5 s.
    let mut s = Schedule::new(Instant::now(), rates, secs(5.0), Some(0.5), 100, &mut rng);
    s.average = 100.0;
    assert_eq!(s.report_interval(group(2, 1, true)), secs(0.5));
    assert_eq!(s.timeout_interval(group(2, 1, true)), secs(5.0));
    let slow = Schedule::new(Instant::now(), rates, secs(5.0), Some(45.0), 100, &mut rng);
    assert_eq!(
        slow.report_interval(group(2, 1, true)),
        secs(5.0),
        "never longer than the fixed one"
    );
}

#[test]
fn the_average_size_moves_by_a_sixteenth() {
    let (mut s, _) = schedule(Instant::now(), 1);
    s.heard(260);
    assert_eq!(s.average, 100.0 + 160.0 / 16.0);
}

#[test]
fn reconsideration_holds_reports_back_when_the_group_grows() {
    let now = Instant::now();
    let mut sent_at_once = 0;
    for seed in 0..500 {
        let (mut s, mut rng) = schedule(now, seed);
        s.average = 200.0;
        let at = s.next();
        // 2000 receivers appear before the first report: the interval is now 200 × 2000 / 300 s.
        match s.expired(at, group(2000, 0, false), &mut rng) {
            Decision::Send => sent_at_once += 1,
            Decision::Wait => {
                let wait = s.next() - now;
                assert!(wait > secs(500.0), "{wait:?}");
            }
        }
        assert_eq!(s.counted, 2000);
    }
    assert_eq!(sent_at_once, 0);
}

#[test]
fn a_stable_group_reports_at_the_mean_interval_of_the_algorithm() {
    let start = Instant::now();
    let (mut s, mut rng) = schedule(start, 9);
    let g = group(2, 1, true);
    let (mut reports, mut now) = (0u32, start);
    while now < start + secs(50_000.0) {
        now = s.next();
        if s.expired(now, g, &mut rng) == Decision::Send {
            reports += 1;
            s.sent(now, 100, g, &mut rng);
        }
    }
    let mean = 50_000.0 / f64::from(reports);
    // Reconsideration and its compensation bring the mean near the 5 s of Td.
    assert!((4.8..5.4).contains(&mean), "{mean}");
}

#[test]
fn reverse_reconsideration_brings_the_next_report_nearer_in_proportion() {
    let start = Instant::now();
    let (mut s, _) = schedule(start, 3);
    s.last = start;
    s.next = start + secs(100.0);
    s.counted = 10;
    let now = start + secs(20.0);
    s.reverse(now, 10);
    assert_eq!(s.next, start + secs(100.0), "nothing has shrunk");
    s.reverse(now, 5);
    // tn = tc + ½·80, tp = tc − ½·20 (§6.3.4).
    assert_eq!((s.next, s.last, s.counted), (now + secs(40.0), now - secs(10.0), 5));
}

#[test]
fn leaving_starts_anew_with_one_member_and_the_size_of_the_bye() {
    let start = Instant::now();
    let (mut s, mut rng) = schedule(start, 3);
    s.average = 999.0;
    s.counted = 700;
    s.initial = false;
    let now = start + secs(60.0);
    s.leave(now, 80, &mut rng);
    assert_eq!((s.last, s.counted, s.initial, s.average), (now, 1, true, 80.0));
    let wait = (s.next - now).as_secs_f64();
    assert!((1.02..3.08).contains(&wait), "{wait}");
}

#[test]
fn absurd_figures_neither_overflow_nor_stop_the_timer() {
    let mut rng = Rng::from_seed(1);
    let now = Instant::now();
    for rates in [(1e-300, 1e-300), (f64::MAX, f64::MAX), (-5.0, -5.0), (1.0, 0.0)] {
        let mut s = Schedule::new(now, rates, Duration::ZERO, Some(0.0), usize::MAX, &mut rng);
        s.expired(now, group(usize::MAX, 3, true), &mut rng);
        s.sent(now, usize::MAX, group(0, 0, false), &mut rng);
        s.reverse(now, 0);
        assert!(s.next() <= now + secs(200_000.0));
    }
}
