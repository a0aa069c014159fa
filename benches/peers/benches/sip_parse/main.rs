//! A 750-byte INVITE, parsed whole, with Via, From, To, Call-ID, CSeq and Contact typed by each
//! library's own API, side by side in one run. The rounds interleave, so that a change of clock
//! speed or a neighbour's load falls on all alike; the best round of each counts.
#![allow(clippy::print_stdout)]

use bytes::Bytes;
use std::hint::black_box;
use std::time::{Duration, Instant};

mod peers;

/// 750 octets, as a telephone behind a proxy would send them.
const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
    To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
    Call-ID: 3848276298220188511@atlanta.example.com\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@client.atlanta.example.com:5060;transport=udp>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE\r\n\
    Supported: replaces, timer, 100rel\r\n\
    User-Agent: atlanta/1.0.12 (Debian)\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 199\r\n\
    \r\n\
    v=0\r\n\
    o=alice 2890844526 2890844526 IN IP4 192.0.2.101\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.101\r\n\
    t=0 0\r\n\
    m=audio 49172 RTP/AVP 0 8 101\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n";

/// What every contestant must have found: a wrong parse is not a fast one.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The branch of Via.
    branch: String,
    /// The tag of From.
    from_tag: String,
    /// Host of To's URI.
    to_host: String,
    /// Call-ID.
    call_id: String,
    /// CSeq's number.
    cseq: u32,
    /// User of Contact's URI.
    contact_user: String,
}

struct Contestant {
    name: &'static str,
    parse: fn(&Bytes),
    found: fn(&Bytes) -> Found,
    best: Duration,
    rounds: Vec<Duration>,
}

// Many short rounds: on a busy machine some of them are left alone.
const ROUNDS: usize = 800;
const ROUND: Duration = Duration::from_millis(1);

fn main() {
    let input = Bytes::from_static(INVITE.as_bytes());
    assert_eq!(input.len(), 750, "the message of the comparison has 750 octets");
    let mut all: Vec<Contestant> = peers::ALL
        .iter()
        .map(|&(name, parse, found)| Contestant {
            name,
            parse,
            found,
            best: Duration::MAX,
            rounds: Vec::new(),
        })
        .collect();
    let expected = Found {
        branch: "z9hG4bK74bf9".into(),
        from_tag: "9fxced76sl".into(),
        to_host: "biloxi.example.com".into(),
        call_id: "3848276298220188511@atlanta.example.com".into(),
        cseq: 1,
        contact_user: "alice".into(),
    };
    for contestant in &all {
        assert_eq!((contestant.found)(&input), expected, "{}", contestant.name);
    }
    // How many parses fill a round, from a short trial.
    let counts: Vec<u32> = all.iter().map(|c| trial(c.parse, &input)).collect();
    for _ in 0..ROUNDS {
        for (contestant, &count) in all.iter_mut().zip(&counts) {
            let started = Instant::now();
            for _ in 0..count {
                (contestant.parse)(black_box(&input));
            }
            let each = started.elapsed() * 1000 / count;
            contestant.best = contestant.best.min(each);
            contestant.rounds.push(each);
        }
    }
    println!("750-byte INVITE, six header fields typed; {ROUNDS} interleaved rounds of {ROUND:?}");
    println!("{:<16} {:>10} {:>10} {:>12}", "", "best ns", "median ns", "messages/s");
    for contestant in &mut all {
        contestant.rounds.sort();
        let nanos = |each: Duration| each.as_nanos() as f64 / 1000.0;
        let (best, median) =
            (nanos(contestant.best), nanos(contestant.rounds[contestant.rounds.len() / 2]));
        println!("{:<16} {best:>10.1} {median:>10.1} {:>12.0}", contestant.name, 1e9 / best);
    }
    let (ours, peers) = all.split_first().expect("tiny-sip is the first");
    let fastest = peers.iter().min_by_key(|c| c.best).expect("there are peers");
    println!("fastest peer: {}", fastest.name);
    println!("ratio sip_parse {:.2}", fastest.best.as_secs_f64() / ours.best.as_secs_f64());
}

fn trial(parse: fn(&Bytes), input: &Bytes) -> u32 {
    let (mut count, started) = (0u32, Instant::now());
    while started.elapsed() < ROUND {
        for _ in 0..64 {
            parse(black_box(input));
        }
        count += 64;
    }
    count
}
