use super::*;
use crate::ice::priority::{pair_priority, priority};
use proptest::prelude::*;

#[test]
fn candidates_of_the_rfcs_and_of_browsers_come_back_as_they_were() {
    let lines = [
        // RFC 8839 §5.1 and appendix, RFC 6544 appendix C, RFC 8840, Chromium, Firefox.
        "1 1 udp 2130706431 203.0.113.141 8998 typ host",
        "2 1 udp 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
        "1 1 udp 2130706431 2001:db8:8101:3a55:4858:a2a9:22ff:99b9 8998 typ host",
        "3 1 tcp 1015021823 192.0.2.15 9 typ host tcptype active",
        "4 1 tcp 1010827519 10.0.1.1 3478 typ host tcptype passive",
        "5 1 tcp 688912383 192.0.2.15 45664 typ srflx raddr 10.0.1.1 rport 9 tcptype so",
        "842163049 1 udp 1677729535 198.51.100.7 61665 typ srflx raddr 0.0.0.0 rport 0 ufrag sXP5 network-cost 999 generation 0",
        "2999745851 1 udp 2122260223 f2a5a8c4-9f3e-4a5c-8d8e-1f6b0c1d2e3f.local 56032 typ host ufrag sXP5 generation 0",
        "6 2 udp 16777214 192.0.2.10 49152 typ relay raddr 198.51.100.7 rport 61665",
        "7 1 udp 1862270975 192.0.2.9 5000 typ prflx raddr 10.0.0.1 rport 4000",
    ];
    for line in lines {
        let candidate: Candidate = line.parse().unwrap();
        assert_eq!(candidate.to_string(), line);
        assert_eq!(format!("a=candidate:{line}\r\n").parse(), Ok(candidate));
    }
    let upper: Candidate = "1 1 UDP 1 192.0.2.1 9 typ host".parse().unwrap();
    assert_eq!(upper.transport, CandidateTransport::Udp);
}

#[test]
fn malformed_candidates_are_refused_by_field() {
    let bad = [
        ("", "foundation"),
        ("white%space 1 udp 1 192.0.2.1 9 typ host", "foundation"),
        ("1 0 udp 1 192.0.2.1 9 typ host", "component"),
        ("1 257 udp 1 192.0.2.1 9 typ host", "component"),
        ("1 1 udp 0 192.0.2.1 9 typ host", "priority"),
        ("1 1 udp 2147483648 192.0.2.1 9 typ host", "priority"),
        ("1 1 udp +5 192.0.2.1 9 typ host", "priority"),
        ("1 1 udp 1 192.0.2.1 65536 typ host", "port"),
        ("1 1 udp 1 192.0.2.400 9 typ host", "address"),
        ("1 1 udp 1 a<b 9 typ host", "address"),
        ("1 1 udp 1 192.0.2.1 9 kind host", "type"),
        ("1 1 udp 1 192.0.2.1 9 typ", "type"),
        ("1 1 tcp 1 192.0.2.1 9 typ host", "tcptype"),
        ("1 1 tcp 1 192.0.2.1 9 typ host tcptype idle", "tcptype"),
    ];
    for (line, field) in bad {
        assert_eq!(line.parse::<Candidate>(), Err(CandidateError::Field(field)), "{line}");
    }
    let of = |line: &str| line.parse::<Candidate>().err();
    assert_eq!(of("1 1 sctp 1 192.0.2.1 9 typ host"), Some(CandidateError::Transport));
    assert_eq!(of("1 1 udp 1 192.0.2.1 9 typ magic"), Some(CandidateError::Kind));
    let long = format!("1 1 udp 1 192.0.2.1 9 typ host{}", " a b".repeat(17));
    assert_eq!(of(&long), Some(CandidateError::TooLong));
    assert_eq!(of(&"1".repeat(2000)), Some(CandidateError::TooLong));
}

#[test]
fn the_other_attributes_are_read_and_written() {
    let rows = [
        ("ice-ufrag", Some("8hhY")),
        ("ice-pwd", Some("asd88fgpdd777uzjYhagZg")),
        ("ice-options", Some("ice2 trickle renomination")),
        ("ice-pacing", Some("50")),
        ("ice-lite", None),
        ("ice-mismatch", None),
        ("end-of-candidates", None),
        ("remote-candidates", Some("1 192.0.2.3 45664 2 2001:db8::1 45665")),
        ("candidate", Some("1 1 udp 1 192.0.2.1 9 typ host")),
    ];
    for (name, value) in rows {
        let attribute = IceAttribute::parse(name, value).unwrap().unwrap();
        assert_eq!((attribute.name(), attribute.value().as_deref()), (name, value));
    }
    assert!(IceAttribute::parse("rtpmap", Some("0 PCMU/8000")).unwrap().is_none());
    let Ok(Some(IceAttribute::Options(options))) =
        IceAttribute::parse("ice-options", Some("trickle rtp+ecn"))
    else {
        panic!()
    };
    assert!(options.trickle && options.unknown && !options.ice2);
    for (name, value) in [
        ("ice-ufrag", "abc"),
        ("ice-ufrag", "a b c d"),
        ("ice-pwd", "short"),
        ("ice-pacing", "fast"),
        ("remote-candidates", "1 192.0.2.3"),
        ("remote-candidates", "0 192.0.2.3 9"),
    ] {
        assert!(IceAttribute::parse(name, Some(value)).is_err(), "{name} {value}");
    }
    assert_eq!(
        format!("{:?}", IceAttribute::parse("ice-pwd", Some("asd88fgpdd777uzjYhagZg")).unwrap()),
        "Some(Password(***))"
    );
}

#[test]
fn a_default_address_that_is_no_candidate_is_a_mismatch() {
    let candidates: Vec<Candidate> = vec!["1 1 udp 1 192.0.2.1 9000 typ host".parse().unwrap()];
    assert!(!is_mismatch(at("192.0.2.1:9000"), &candidates));
    assert!(is_mismatch(at("192.0.2.99:9000"), &candidates));
    assert!(!is_mismatch(at("0.0.0.0:9"), &candidates));
    let hidden: Vec<Candidate> = vec!["1 1 udp 1 x.local 9000 typ host".parse().unwrap()];
    assert!(!is_mismatch(at("192.0.2.99:9000"), &hidden));
}

// RFC 8445 §15.1: 2130706431 and 1694498815. The priorities of pairs printed there are half of what its
// formula gives.
#[test]
fn priorities_are_those_of_the_examples() {
    let of = |kind| priority(kind, CandidateTransport::Udp, Transport::Udp, 65_535, 1);
    let (host, reflexive) = (of(CandidateKind::Host), of(CandidateKind::ServerReflexive));
    assert_eq!((host, reflexive), (2_130_706_431, 1_694_498_815));
    assert_eq!(pair_priority(host, host), 9_151_314_442_783_293_438);
    assert_eq!(pair_priority(host, reflexive), 7_277_816_997_797_167_103);
    assert_eq!(pair_priority(reflexive, host), 7_277_816_997_797_167_102);
    // RFC 6544 §4.2: TCP behind UDP, a relay behind both; active before passive before so.
    let tcp = |kind| {
        priority(CandidateKind::Host, CandidateTransport::Tcp(kind), Transport::Udp, 65_535, 1)
    };
    let relay = of(CandidateKind::Relayed);
    assert!(reflexive > tcp(TcpType::Active) && tcp(TcpType::Active) > tcp(TcpType::Passive));
    assert!(tcp(TcpType::Passive) > tcp(TcpType::SimultaneousOpen));
    assert!(tcp(TcpType::SimultaneousOpen) > relay);
}

proptest! {
    #[test]
    fn no_line_makes_the_reader_panic(line in "[ -~]{0,120}", value in "\\PC{0,60}") {
        let _ = line.parse::<Candidate>();
        let _ = value.parse::<Candidate>();
        for name in ["candidate", "ice-ufrag", "ice-pwd", "ice-options", "ice-pacing", "remote-candidates"] {
            let _ = IceAttribute::parse(name, Some(&line));
            let _ = IceAttribute::parse(name, Some(&value));
        }
        if let Ok(candidate) = format!("1 1 udp 1 192.0.2.1 9 typ host {line}").parse::<Candidate>() {
            prop_assert_eq!(candidate.to_string().parse(), Ok(candidate));
        }
    }
}
