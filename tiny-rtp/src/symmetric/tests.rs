use super::*;
use tiny_sak::Rng;

const SSRC: Ssrc = Ssrc(0x1111_1111);
const STRANGER: Ssrc = Ssrc(0x2222_2222);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn signalled() -> SocketAddr {
    addr("192.0.2.1:4000")
}

fn real() -> SocketAddr {
    addr("203.0.113.9:61234")
}

fn fresh() -> (Instant, SymmetricRtp) {
    let mut rtp = SymmetricRtp::new(SymmetricConfig::default());
    rtp.set_signalled(Some(signalled()));
    (Instant::now(), rtp)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Sends a run of consecutive packets 20 ms apart; true when media moved there.
fn run(
    rtp: &mut SymmetricRtp,
    at: &mut Instant,
    from: SocketAddr,
    ssrc: Ssrc,
    seq: u16,
    n: u16,
) -> bool {
    (0..n).fold(false, |moved, i| {
        *at += ms(20);
        let verdict = rtp.offer(*at, from, ssrc, SequenceNumber(seq.wrapping_add(i)));
        moved | matches!(verdict, Verdict::Moved { .. })
    })
}

#[test]
fn one_packet_never_moves_media_whatever_the_configuration() {
    let config = SymmetricConfig { proof: 0, proof_other_ssrc: 0, ..SymmetricConfig::default() };
    let mut rtp = SymmetricRtp::new(config);
    rtp.set_signalled(Some(signalled()));
    let now = Instant::now();
    let verdict = rtp.offer(now, real(), SSRC, SequenceNumber(1));
    assert_eq!(verdict, Verdict::Proving { first: true });
    assert_eq!(rtp.remote(), Some(signalled()));
}

#[test]
fn four_consecutive_packets_from_behind_a_nat_move_media() {
    let (mut now, mut rtp) = fresh();
    assert!(!run(&mut rtp, &mut now, real(), SSRC, 65_533, 3), "the wrap counts as consecutive");
    assert!(run(&mut rtp, &mut now, real(), SSRC, 0, 1));
    assert!(rtp.is_latched());
    assert_eq!((rtp.remote(), rtp.moves()), (Some(real()), 1));
}

#[test]
fn a_gap_a_repetition_or_another_ssrc_begins_the_proof_anew() {
    for broken in [(5, SSRC), (2, SSRC), (3, STRANGER)] {
        let (mut now, mut rtp) = fresh();
        assert!(!run(&mut rtp, &mut now, real(), SSRC, 0, 3));
        now += ms(20);
        let verdict = rtp.offer(now, real(), broken.1, SequenceNumber(broken.0));
        assert_eq!(verdict, Verdict::Proving { first: true });
        assert!(!run(&mut rtp, &mut now, real(), broken.1, broken.0 + 1, 2));
        assert!(run(&mut rtp, &mut now, real(), broken.1, broken.0 + 3, 1));
    }
}

#[test]
fn a_run_with_a_long_pause_proves_nothing() {
    let (mut now, mut rtp) = fresh();
    run(&mut rtp, &mut now, real(), SSRC, 0, 3);
    now += ms(1001);
    assert!(!run(&mut rtp, &mut now, real(), SSRC, 3, 1));
}

#[test]
fn spraying_never_redirects_media_away_from_a_live_peer() {
    let (start, mut rtp) = fresh();
    let mut rng = Rng::from_seed(5);
    let mut peer = 0u16;
    // 60 s: the peer every 20 ms, and between two of its packets a hundred forged ones: random
    // addresses, one stubborn address with perfect sequence numbers, the peer's own SSRC.
    for tick in 0..3000u64 {
        let now = start + ms(20 * tick);
        let verdict = rtp.offer(now, signalled(), SSRC, SequenceNumber(peer));
        assert_eq!(verdict, Verdict::Accept);
        peer = peer.wrapping_add(1);
        for i in 0..100u16 {
            let random = SocketAddr::from((rng.u32().to_be_bytes(), rng.u32() as u16));
            let ssrc = if rng.chance(0.5) { SSRC } else { Ssrc(rng.u32()) };
            rtp.offer(now, random, ssrc, SequenceNumber(peer));
            let stubborn = (tick as u16).wrapping_mul(100).wrapping_add(i);
            let verdict = rtp.offer(now, real(), SSRC, SequenceNumber(stubborn));
            assert_eq!(verdict, Verdict::Foreign);
        }
    }
    assert_eq!((rtp.remote(), rtp.moves()), (Some(signalled()), 0));
}

#[test]
fn spraying_single_packets_does_not_even_move_media_from_a_silent_address() {
    let (start, mut rtp) = fresh();
    let mut rng = Rng::from_seed(6);
    for n in 0..100_000u64 {
        let from = SocketAddr::from(([198, 51, 100, rng.u32() as u8], rng.u32() as u16 | 1024));
        rtp.offer(
            start + Duration::from_micros(10 * n),
            from,
            SSRC,
            SequenceNumber(rng.u32() as u16),
        );
    }
    assert_eq!(rtp.remote(), Some(signalled()));
}

#[test]
fn a_latched_source_holds_until_it_has_been_silent() {
    let (mut now, mut rtp) = fresh();
    let other = addr("203.0.113.9:61299");
    assert!(run(&mut rtp, &mut now, real(), SSRC, 0, 4));
    assert!(!run(&mut rtp, &mut now, other, SSRC, 4, 100), "2 s of silence are not enough");
    now += ms(1200);
    assert!(!run(&mut rtp, &mut now, other, SSRC, 200, 3), "what came before counts for nothing");
    assert!(run(&mut rtp, &mut now, other, SSRC, 203, 1));
    assert_eq!((rtp.remote(), rtp.moves()), (Some(other), 2));
}

#[test]
fn a_source_with_another_ssrc_must_prove_more() {
    let (mut now, mut rtp) = fresh();
    assert!(run(&mut rtp, &mut now, real(), SSRC, 0, 4));
    now += ms(3000);
    assert!(!run(&mut rtp, &mut now, addr("203.0.113.77:1234"), STRANGER, 0, 7));
    assert!(run(&mut rtp, &mut now, addr("203.0.113.77:1234"), STRANGER, 7, 1));
}

#[test]
fn the_signalled_address_takes_media_back_from_an_early_forger() {
    let (mut now, mut rtp) = fresh();
    assert!(run(&mut rtp, &mut now, addr("198.51.100.66:666"), STRANGER, 0, 4));
    // The forger goes on; the peer itself begins to speak.
    let mut back = false;
    for n in 0..8u16 {
        run(&mut rtp, &mut now, addr("198.51.100.66:666"), STRANGER, 4 + n, 1);
        back |= run(&mut rtp, &mut now, signalled(), SSRC, n, 1);
    }
    assert!(back);
    assert_eq!(rtp.remote(), Some(signalled()));
    assert!(!run(&mut rtp, &mut now, addr("198.51.100.66:666"), STRANGER, 12, 50));
}

#[test]
fn the_signalled_address_waits_for_silence_when_it_may_not_reclaim() {
    let config = SymmetricConfig { signalled_reclaims: false, ..SymmetricConfig::default() };
    let mut rtp = SymmetricRtp::new(config);
    rtp.set_signalled(Some(signalled()));
    let mut now = Instant::now();
    assert!(run(&mut rtp, &mut now, real(), SSRC, 0, 4));
    assert!(!run(&mut rtp, &mut now, signalled(), SSRC, 0, 50));
    now += ms(3000);
    assert!(run(&mut rtp, &mut now, signalled(), SSRC, 100, 4));
}

#[test]
fn a_refreshed_signalling_keeps_the_latch_and_a_changed_one_undoes_it() {
    let (mut now, mut rtp) = fresh();
    run(&mut rtp, &mut now, real(), SSRC, 0, 4);
    rtp.set_signalled(Some(signalled()));
    assert_eq!(rtp.remote(), Some(real()));
    let moved = addr("192.0.2.2:5000");
    rtp.set_signalled(Some(moved));
    assert_eq!(rtp.remote(), Some(moved));
    assert!(run(&mut rtp, &mut now, real(), SSRC, 4, 4), "and the same proof latches again");
    rtp.set_signalled(None);
    assert_eq!(rtp.remote(), None);
}

#[test]
fn candidates_are_bounded_and_a_long_run_is_not_pushed_out_by_single_packets() {
    let (mut now, mut rtp) = fresh();
    run(&mut rtp, &mut now, real(), SSRC, 0, 2);
    for n in 0..1000u16 {
        let from = SocketAddr::from(([198, 51, 100, 1], n + 1));
        rtp.offer(now, from, SSRC, SequenceNumber(9));
    }
    assert!(rtp.candidates.len() <= 16);
    assert!(run(&mut rtp, &mut now, real(), SSRC, 2, 2));
}
