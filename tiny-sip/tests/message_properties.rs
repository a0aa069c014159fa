//! Nothing that can be received makes the parsers panic, and what was parsed prints to the same.

mod reprint;

use bytes::Bytes;
use proptest::prelude::*;
use tiny_sip::header::{
    AuthParams, Credentials, Date, InfoUri, Item, MediaType, NameAddrs, RetryAfter, Timestamp,
    Vias, Warning, split_commas,
};
use tiny_sip::{
    CSeq, Challenge, Framed, HeaderName, Limits, Message, NameAddr, Params, StreamFramer, Uri, Via,
    multipart,
};

/// Reads all that there is to read of a message.
fn read(message: &Message) -> usize {
    let mut seen = message.all_headers().map(|(name, value)| name.len() + value.len()).sum();
    let _ = message.validate();
    seen += message
        .vias()
        .flatten()
        .map(|via| via.as_str().len() + via.params.iter().count())
        .sum::<usize>();
    for name in HeaderName::all() {
        for address in message.addresses(name).flatten() {
            seen += address.as_str().len() + address.display_name().len();
            seen += address.params.iter().count() + address.uri.headers().count();
        }
        seen += message.items(name).flatten().map(|item| item.params.iter().count()).sum::<usize>();
        seen += message.challenges(name).flatten().map(|c| c.params.iter().count()).sum::<usize>();
        seen += message.info_uris(name).flatten().count();
    }
    let _ = (message.date(), message.retry_after(), message.timestamp(), message.max_forwards());
    let _ = (message.warnings().count(), message.accepts().count(), message.authentication_info());
    if let Some(Ok(kind)) = message.content_type() {
        let _ = multipart::parse(&kind, &message.body_bytes(), &Limits::default())
            .map(|parts| parts.iter().map(|part| part.headers().count()).sum::<usize>());
    }
    if let (Ok(a), Ok(b)) = (Uri::parse(message.request_uri()), message.to()) {
        let _ = a.is_equivalent(&b.uri);
    }
    seen
}

fn parse(data: &[u8]) -> Result<Message, tiny_sip::ParseError> {
    Message::parse(Bytes::copy_from_slice(data), &Limits::default())
}

fn torture() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/sip-torture/rfc4475");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn check(data: &[u8]) {
    match parse(data) {
        Ok(message) => {
            read(&message);
            let printed = reprint::reprint(&message);
            let again = Message::parse(
                printed.clone(),
                &Limits { max_message: 1 << 20, ..Limits::default() },
            )
            .unwrap();
            reprint::assert_same(&message, &again, "mutated");
            assert_eq!(reprint::reprint(&again), printed);
        }
        Err(tiny_sip::ParseError::Request { partial: Some(message), .. }) => {
            read(&message);
        }
        Err(_) => {}
    }
}

/// Text in which the characters that matter to the grammar are frequent.
fn tricky() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,6}",
        proptest::sample::select(vec![
            "sip:",
            "sips:",
            "tel:+1",
            "<",
            ">",
            "\"",
            "\\",
            ";",
            ",",
            "=",
            "@",
            ":",
            "?",
            "&",
            "%4",
            "%41",
            "[::1]",
            "[",
            "]",
            "(",
            ")",
            "/",
            "SIP/2.0/UDP ",
            ";tag=",
            ";branch=z9hG4bK",
            " ",
            "\t",
            "é",
            "*",
            "1",
            "4294967296",
            "Digest ",
            "realm=\"",
            "--b",
            "\r\n",
            "application/sdp",
            "boundary=b",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_octets_never_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        check(&data);
        let with_start = [b"INVITE sip:a SIP/2.0\r\n", &data[..]].concat();
        check(&with_start);
    }

    #[test]
    fn mutated_torture_messages_never_panic_and_print_stably(
        index in 0usize..64,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..8),
    ) {
        let all = torture();
        let mut data = all[index % all.len()].clone();
        for (at, byte, kind) in edits {
            if data.is_empty() { break }
            let at = at.index(data.len());
            match kind {
                0 => data[at] = byte,
                1 => { data.remove(at); }
                2 => data.insert(at, byte),
                _ => data[at] = b"\r\n \t:;,<>\"\\@"[byte as usize % 12],
            }
        }
        check(&data);
    }

    #[test]
    fn header_values_never_panic(text in tricky(), other in tricky()) {
        if let Ok(a) = NameAddr::parse(&text) {
            prop_assert_eq!(NameAddr::parse(a.as_str()).map(|b| b.uri.as_str()), Ok(a.uri.as_str()));
            // The same address within a list.
            let list = format!("{}, <sip:x>", a.as_str());
            prop_assert_eq!(NameAddrs::new(&list).next().unwrap().map(|b| b.tag()), Ok(a.tag()));
        }
        if let Ok(a) = Via::parse(&text) {
            prop_assert_eq!(Via::parse(a.as_str()).map(|b| b.branch()), Ok(a.branch()));
        }
        if let (Ok(a), Ok(b)) = (Uri::parse(&text), Uri::parse(&other)) {
            prop_assert!(a.is_equivalent(&a));
            prop_assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a));
        }
        let _ = (CSeq::parse(&text), Date::parse(&text), RetryAfter::parse(&text), Timestamp::parse(&text));
        let _ = (Warning::parse(&text), InfoUri::parse(&text), Item::parse(&text), MediaType::parse(&text));
        let _ = (tiny_sip::header::Replaces::parse(&text), tiny_sip::header::StatusLine::parse(text.as_bytes()));
        let _ = (AuthParams::parse(&text).map(|p| p.iter().count()), Credentials::parse(&text));
        let _ = Challenge::parse(&text).ok().and_then(|c| tiny_sip::digest::Session::new(&c));
        let _ = Params::parse(&text).map(|p| p.iter().count());
        let _ = (NameAddrs::new(&text).count(), Vias::new(&text).count(), split_commas(&text).count());
    }

    #[test]
    fn a_stream_is_cut_alike_however_it_arrives(
        picks in proptest::collection::vec(0usize..64, 1..4),
        cuts in proptest::collection::vec(1usize..200, 0..40),
    ) {
        let all = torture();
        let stream: Vec<u8> = picks.iter().flat_map(|i| all[i % all.len()].clone()).collect();
        let drain = |framer: &mut StreamFramer, out: &mut Vec<Framed>| loop {
            match framer.next() {
                Ok(Some(framed)) => out.push(framed),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        let mut framer = StreamFramer::new(&Limits::default());
        framer.push(stream.clone().into());
        let end = drain(&mut framer, &mut whole);
        let mut framer = StreamFramer::new(&Limits::default());
        let (mut rest, mut cuts) = (&stream[..], cuts.into_iter().cycle());
        let mut last = Ok(());
        while !rest.is_empty() && last.is_ok() {
            let n = cuts.next().unwrap_or(7).min(rest.len());
            framer.push(Bytes::copy_from_slice(&rest[..n]));
            rest = &rest[n..];
            last = drain(&mut framer, &mut pieces);
        }
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(end, last);
    }

    #[test]
    fn multipart_bodies_never_panic(body in tricky(), kind in tricky()) {
        let limits = Limits::default();
        if let Ok(kind) = MediaType::parse(&kind) {
            let _ = multipart::parse(&kind, &Bytes::from(body.clone()), &limits);
        }
        let kind = MediaType::parse("multipart/mixed;boundary=b").unwrap();
        if let Ok(parts) = multipart::parse(&kind, &Bytes::from(body), &limits) {
            prop_assert!(parts.iter().all(|part| part.headers().count() < 100));
        }
    }
}
