//! Peers that know a newer version than we do, in the very octets that they send.

use super::*;

/// The datagrams of a file of tests, which stand in it in hexadecimal with empty lines between them.
fn datagrams(text: &str) -> Vec<Vec<u8>> {
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let parts = text.join("\n");
    let octet =
        |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    let read = |part: &str| part.replace('\n', "").as_bytes().chunks(2).map(octet).collect();
    parts.trim().split("\n\n").map(read).collect()
}

fn browser() -> Vec<Vec<u8>> {
    let hello = datagrams(include_str!("client_hello_1_3.hex"));
    assert_eq!(hello.iter().map(Vec::len).collect::<Vec<_>>(), [1200, 263]);
    hello
}

/// What a passive side without cookies answers to these datagrams.
fn answers(datagrams: &[Vec<u8>]) -> (Association, Vec<Vec<u8>>) {
    let mut setup = Setup::new(1);
    setup.configs[1].cookies = false;
    let mut pair = setup.start();
    for datagram in datagrams {
        pair.ends[1].handle(pair.now, address(0), datagram);
    }
    let mut sent = Vec::new();
    loop {
        match pair.ends[1].poll(pair.now) {
            Output::Transmit(transmit) => sent.push(transmit.data),
            Output::Event(event) => panic!("{event:?}"),
            Output::Timeout(_) => break,
        }
    }
    let [_, passive] = pair.ends;
    (passive, sent)
}

#[test]
fn a_browser_that_offers_dtls_1_3_in_two_pieces_is_answered_with_1_2() {
    let [first, second] = browser().try_into().unwrap();
    let orders = [
        vec![first.clone(), second.clone()],
        vec![second.clone(), first.clone()],
        vec![first.clone(), first.clone(), second.clone()],
    ];
    for order in orders {
        let (_, sent) = answers(&order);
        let hello = &sent[0];
        // A record of handshake of DTLS 1.2, its first message a ServerHello of the same.
        assert_eq!(hello[..3], [22, 0xfe, 0xfd]);
        assert_eq!(hello[13], 2);
        assert_eq!(hello[25..27], [0xfe, 0xfd]);
        // RFC 8446 section 4.1.3 keeps these ends of the random for who knows 1.3 and was talked out of it.
        assert_ne!(hello[51..59], *b"DOWNGRD\x01");
        let session = usize::from(hello[59]);
        assert_eq!(hello[60 + session..62 + session], [0xc0, 0x2b], "ECDHE_ECDSA, AES-128-GCM");
    }
    assert!(answers(&[first]).1.is_empty());
}

#[test]
fn a_hello_in_two_pieces_is_asked_for_a_cookie_once() {
    let mut pair = Setup::new(1).start();
    for datagram in browser() {
        pair.ends[1].handle(pair.now, address(0), &datagram);
    }
    let Output::Transmit(request) = pair.ends[1].poll(pair.now) else { panic!("nothing sent") };
    assert_eq!(request.data[13], 3, "a HelloVerifyRequest");
    assert!(matches!(pair.ends[1].poll(pair.now), Output::Timeout(_)));
}
