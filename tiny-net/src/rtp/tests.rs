use super::*;
use std::collections::HashSet;
use std::net::Ipv4Addr;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn a_pair_is_even_then_odd_and_ranges_are_cut_to_whole_pairs() {
    let mut rng = Rng::from_seed(1);
    assert_eq!(RtpPorts::new(4000..=4001, &mut rng).pairs(), 1);
    assert_eq!(RtpPorts::new(4001..=4004, &mut rng).pairs(), 1);
    assert_eq!(RtpPorts::new(4000..=4000, &mut rng).pairs(), 0);
    assert_eq!(RtpPorts::new(5..=6, &mut rng).pairs(), 0);
    assert_eq!(RtpPorts::new(0..=65_535, &mut rng).pairs(), 32_767);
    assert_eq!(RtpPorts::new(65_534..=65_535, &mut rng).pairs(), 1);
    assert_eq!(RtpPorts::new(65_535..=65_535, &mut rng).pairs(), 0);
    let error = RtpPorts::new(5..=6, &mut rng).bind(HERE, &Config::default()).unwrap_err();
    assert!(matches!(error, BindError::NoFreePair { .. }), "{error}");
}

#[test]
fn every_pair_of_the_range_is_handed_out_once_and_then_refused_by_name() {
    let mut ports = RtpPorts::new(40_000..=40_039, &mut Rng::from_seed(2));
    let mut held = Vec::new();
    let error = loop {
        match ports.bind(HERE, &Config::default()) {
            Ok(pair) => held.push(pair),
            Err(e) => break e,
        }
    };
    let seen: HashSet<u16> = held.iter().map(|p| p.local_addr().port()).collect();
    // Another program may hold some of them.
    assert!(seen.len() == held.len() && !seen.is_empty() && seen.len() <= 20);
    assert!(seen.iter().all(|p| p % 2 == 0 && (40_000..40_040).contains(p)));
    let text = error.to_string();
    assert!(text.contains("40000") && text.contains("40039"), "{text}");
    // A pair given back can be had again, the others stay taken.
    let back = held.pop().unwrap().local_addr();
    assert_eq!(ports.bind(HERE, &Config::default()).unwrap().local_addr(), back);
}

#[test]
fn a_taken_rtcp_port_spoils_the_pair() {
    let mut ports = RtpPorts::new(41_000..=41_003, &mut Rng::from_seed(3));
    let blocker = StdSocket::bind((HERE, 41_001));
    let pair = ports.bind(HERE, &Config::default());
    if blocker.is_ok() {
        assert!(pair.is_ok_and(|p| p.local_addr().port() == 41_002));
    }
}

#[test]
fn packets_flow_on_a_current_thread_runtime_of_a_media_thread() {
    let mut ports = RtpPorts::new(42_000..=42_199, &mut Rng::from_seed(4));
    let a = ports.bind(HERE, &Config::default()).unwrap();
    let b = ports.bind(HERE, &Config::default()).unwrap();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let ((a_rtp, a_rtcp), (b_rtp, b_rtcp)) = (a.attach().unwrap(), b.attach().unwrap());
            assert_eq!(a_rtcp.local_addr().port(), a_rtp.local_addr().port() + 1);
            let mut buffer = [0; 1500];
            let none = b_rtp.try_recv_from(&mut buffer).unwrap_err();
            assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
            a_rtp.set_dscp(46).unwrap();
            a_rtp.try_send_to(b"rtp", b_rtp.local_addr()).unwrap();
            a_rtcp.try_send_to(b"rtcp", b_rtcp.local_addr()).unwrap();
            b_rtp.readable().await.unwrap();
            assert_eq!(b_rtp.try_recv_from(&mut buffer).unwrap(), (3, a_rtp.local_addr()));
            b_rtcp.readable().await.unwrap();
            assert_eq!(b_rtcp.try_recv_from(&mut buffer).unwrap(), (4, a_rtcp.local_addr()));
            // A peer without a socket disturbs nothing: the next packet still comes in.
            a_rtp.try_send_to(b"x", "127.0.0.1:9".parse().unwrap()).unwrap();
            b_rtp.try_send_to(b"back", a_rtp.local_addr()).unwrap();
            a_rtp.readable().await.unwrap();
            assert_eq!(a_rtp.try_recv_from(&mut buffer).unwrap(), (4, b_rtp.local_addr()));
        });
    });
    worker.join().unwrap();
}
