//! The torture messages of RFC 4475: each is parsed, or refused for the reason and in the class that
//! the RFC gives. What is for the user agent to refuse (415, 416, 420, 501 …) must parse with all
//! that this decision needs.

mod reprint;

use bytes::Bytes;
use reprint::reprint;
use std::path::PathBuf;
use tiny_sip::header::MediaType;
use tiny_sip::{
    Defect, Flaw, FrameError, Framed, HeaderError, HeaderName, Limits, Message, Method, ParseError,
    Scheme, StreamFramer, Uri, multipart, unescape,
};

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/sip-torture")
}

fn raw(name: &str) -> Bytes {
    std::fs::read(vectors().join(format!("rfc4475/{name}.dat"))).unwrap().into()
}

fn parse(name: &str) -> Result<Message, ParseError> {
    Message::parse(raw(name), &Limits::default())
}

/// Parsed and valid.
fn good(name: &str) -> Message {
    let message = parse(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    message.validate().unwrap_or_else(|defect| panic!("{name}: {defect}"));
    message
}

/// A defect of a request, found by the parser or by the checks of every message.
fn bad(name: &str) -> (Message, Defect) {
    match parse(name) {
        Ok(message) => {
            let defect = message.validate().expect_err(name);
            (message, defect)
        }
        Err(ParseError::Request { partial, what }) => (*partial.expect(name), what),
        Err(other) => panic!("{name}: {other}"),
    }
}

enum Class {
    Good,
    Bad(u16),
    BadResponse,
    Unknown,
}
use Class::{Bad, BadResponse, Good, Unknown};

const CLASSES: [(&str, Class); 50] = [
    ("wsinv", Good),
    ("intmeth", Good),
    ("esc01", Good),
    ("escnull", Good),
    ("esc02", Good),
    ("lwsdisp", Good),
    ("longreq", Good),
    ("dblreq", Good),
    ("semiuri", Good),
    ("transports", Good),
    ("mpart01", Good),
    ("unreason", Good),
    ("noreason", Good),
    ("badinv01", Bad(400)),
    ("clerr", Bad(400)),
    ("ncl", Bad(400)),
    ("scalar02", Bad(400)),
    ("scalarlg", BadResponse),
    ("quotbal", Bad(400)),
    ("ltgtruri", Bad(400)),
    ("lwsruri", Bad(400)),
    ("lwsstart", Bad(400)),
    ("trws", Bad(400)),
    ("escruri", Bad(400)),
    ("baddate", Good),
    ("regbadct", Bad(400)),
    ("badaspec", Bad(400)),
    ("baddn", Bad(400)),
    ("badvers", Bad(505)),
    ("mismatch01", Bad(400)),
    ("mismatch02", Bad(400)),
    ("bigcode", BadResponse),
    ("badbranch", Good),
    ("insuf", Bad(400)),
    ("unkscm", Good),
    ("novelsc", Good),
    ("unksm2", Good),
    ("bext01", Good),
    ("invut", Good),
    ("regaut01", Good),
    ("multi01", Bad(400)),
    ("mcl01", Bad(400)),
    ("bcast", Good),
    ("zeromf", Good),
    ("cparam01", Good),
    ("cparam02", Good),
    ("regescrt", Good),
    ("sdp01", Good),
    ("inv2543", Good),
    ("test", Unknown),
];

#[test]
fn every_message_falls_into_its_class() {
    let table = std::fs::read_to_string(vectors().join("rfc4475-expectations.tsv")).unwrap();
    let names: Vec<_> = table.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, CLASSES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (name, class) in &CLASSES {
        match class {
            Good => {
                good(name);
            }
            Bad(status) => assert_eq!(bad(name).1.status(), *status, "{name}"),
            BadResponse => match parse(name) {
                Ok(message) => {
                    assert!(!message.is_request() && message.validate().is_err(), "{name}");
                }
                Err(error) => assert!(matches!(error, ParseError::Response { .. }), "{name}"),
            },
            Unknown => assert!(matches!(parse(name), Err(ParseError::Unknown { .. })), "{name}"),
        }
    }
}

#[test]
fn printing_and_parsing_again_gives_the_same() {
    for (name, _) in CLASSES {
        let Ok(message) = parse(name) else { continue };
        let printed = reprint(&message);
        let again = Message::parse(printed.clone(), &Limits::default()).unwrap();
        reprint::assert_same(&message, &again, name);
        assert_eq!(reprint(&again), printed, "{name}");
    }
}

#[test]
fn a_refused_request_still_tells_what_its_answer_needs() {
    for (name, class) in &CLASSES {
        if matches!(class, Bad(_)) && *name != "insuf" {
            let (partial, _) = bad(name);
            for header in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId] {
                assert!(partial.header(header).is_some(), "{name} {header}");
            }
            assert!(partial.header(HeaderName::CSeq).is_some(), "{name}");
        }
    }
}

#[test]
fn wsinv_unfolds_and_reads_every_blank() {
    let m = good("wsinv");
    assert_eq!(m.method(), Some(&Method::Invite));
    assert_eq!(Uri::parse(m.request_uri()).unwrap().param("unknownparam"), Some(""));
    let to = m.to().unwrap();
    assert_eq!(
        (to.uri.as_str(), to.tag()),
        ("sip:vivekg@chair-dnrc.example.com", Some("1918181833n"))
    );
    let from = m.from().unwrap();
    assert_eq!(from.display_name(), "J Rosenberg \\\"");
    assert_eq!((from.uri.user(), from.tag()), (Some("jdrosen"), Some("98asjd8")));
    assert_eq!(m.max_forwards(), Some(Ok(68)));
    assert_eq!(m.call_id(), Ok("wsinv.ndaksdj@192.0.2.1"));
    let cseq = m.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method()), (9, Method::Invite));
    let vias: Vec<_> = m.vias().map(Result::unwrap).collect();
    let vias: Vec<_> = vias.iter().map(|v| (v.transport, v.host, v.branch().unwrap())).collect();
    assert_eq!(
        vias,
        [
            ("UDP", "192.0.2.2", "390skdjuw"),
            ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111", "z9hG4bK30239"),
        ]
    );
    assert_eq!(m.header(HeaderName::Subject), Some(""));
    assert_eq!(
        m.header_named("newfangledheader"),
        Some("newfangled value   continued newfangled value")
    );
    assert_eq!(m.header_named("UnknownHeaderWithUnusualValue"), Some(";;,,;;,;"));
    let route = m.routes().next().unwrap().unwrap();
    assert!(route.uri.is_loose_router());
    assert_eq!(route.uri.param("unknown-no-value"), Some(""));
    let contact = m.contacts().next().unwrap().unwrap();
    assert_eq!(contact.display_name(), "Quoted string \"\"");
    assert_eq!((contact.param("newparam"), contact.param("q")), (Some("newvalue"), Some("0.33")));
    assert_eq!(contact.param("secondparam"), Some(""));
    assert_eq!(m.body().len(), 150);
}

#[test]
fn intmeth_keeps_every_odd_character() {
    let m = good("intmeth");
    assert_eq!(
        m.method(),
        Some(&Method::Other("!interesting-Method0123456789_*+`.%indeed'~".into()))
    );
    let uri = Uri::parse(m.request_uri()).unwrap();
    assert_eq!(uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(uri.password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    assert_eq!(uri.host(), "example.com");
    assert_eq!(m.from().unwrap().tag(), Some("_token~1'+`*%!-."));
    assert!(m.header_named("extensionHeader-!.%*+_`'~").is_some());
    assert_eq!(m.to().unwrap().display_name(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
}

#[test]
fn escapes_are_resolved_once_and_only_in_uris() {
    let m = good("esc01");
    let uri = Uri::parse(m.request_uri()).unwrap();
    assert_eq!(&*unescape(uri.user().unwrap()), b"sips:user@example.com");
    assert_eq!(uri.host(), "example.net");
    let from = m.from().unwrap();
    let same = Uri::parse("sip:I%20have%20spaces@example.net").unwrap();
    assert!(from.uri.is_equivalent(&same));
    let to = m.to().unwrap();
    assert_eq!(&*unescape(to.uri.user().unwrap()), b"user");
    let m = good("esc02");
    assert_eq!(m.method(), Some(&Method::Other("RE%47IST%45R".into())));
    assert_eq!(m.to().unwrap().display_name(), "%Z%45");
    assert_eq!(m.contacts().count(), 2);
    let m = good("escnull");
    let users: Vec<_> =
        m.contacts().map(|c| unescape(c.unwrap().uri.user().unwrap()).into_owned()).collect();
    assert_eq!(
        users,
        [b"%00"[..].to_vec(), b"%00%00".to_vec()]
            .map(|u| unescape(std::str::from_utf8(&u).unwrap()).into_owned())
    );
}

#[test]
fn the_rest_of_the_valid_ones() {
    assert_eq!(good("lwsdisp").from().unwrap().display, "caller");
    let m = good("longreq");
    let from = m.from().unwrap();
    assert_eq!(from.uri.user().unwrap().len(), 5 * "amazinglylongcallername".len());
    assert!(from.tag().unwrap().starts_with("1298298") && from.tag().unwrap().ends_with("982424"));
    assert_eq!(m.vias().count(), 34);
    assert_eq!(m.body().len(), 150);
    let m = good("dblreq");
    assert!(m.body().is_empty() && m.as_bytes().ends_with(b"\r\n\r\n"));
    assert_eq!(m.method(), Some(&Method::Register));
    let m = good("semiuri");
    let uri = Uri::parse(m.request_uri()).unwrap();
    assert_eq!(&*unescape(uri.user().unwrap()), b"user;par=u@example.net");
    assert!(uri.params().is_empty());
    let m = good("transports");
    let names: Vec<_> = m.vias().map(|via| via.unwrap().transport.to_owned()).collect();
    assert_eq!(names, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    let m = good("unreason");
    assert_eq!(m.status().unwrap(), 200);
    assert!(m.reason().starts_with("= 2**3 * 5**2 \u{43d}\u{43e} "));
    let m = good("noreason");
    assert_eq!((m.status().unwrap().code(), m.reason()), (100, ""));
}

#[test]
fn mpart01_has_two_parts_one_of_them_binary() {
    let m = good("mpart01");
    let kind = m.content_type().unwrap().unwrap();
    let parts = multipart::parse(&kind, &m.body_bytes(), &Limits::default()).unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(&parts[0].body[..], b"Hello");
    assert!(parts[0].content_type().unwrap().is("text", "plain"));
    assert!(parts[1].content_type().unwrap().is("application", "octet-stream"));
    assert_eq!(parts[1].header("Content-Transfer-Encoding"), Some("binary"));
    assert!(parts[1].body.starts_with(&[0x30, 0x82]) && parts[1].body.contains(&0));
}

#[test]
fn defects_are_named() {
    let defect = |name| bad(name).1;
    let malformed = |name, flaw| Defect::Header(HeaderError::Malformed { name, flaw });
    assert_eq!(defect("clerr"), Defect::BodyShort);
    assert_eq!(defect("ncl"), Defect::ContentLength);
    assert_eq!(defect("mcl01"), Defect::ContentLength);
    assert_eq!(defect("scalar02"), malformed(HeaderName::CSeq, Flaw::Range));
    assert_eq!(defect("quotbal"), malformed(HeaderName::To, Flaw::Quote));
    assert_eq!(defect("ltgtruri"), Defect::RequestUri);
    assert_eq!(defect("escruri"), Defect::RequestUri);
    assert_eq!(defect("lwsruri"), Defect::RequestLine);
    assert_eq!(defect("lwsstart"), Defect::RequestLine);
    assert_eq!(defect("trws"), Defect::RequestLine);
    assert_eq!(defect("regbadct"), malformed(HeaderName::Contact, Flaw::Brackets));
    assert_eq!(defect("badaspec"), malformed(HeaderName::To, Flaw::Scheme));
    assert_eq!(defect("baddn"), Defect::Unfinished);
    assert_eq!(defect("badvers"), Defect::Version);
    assert_eq!(defect("mismatch01"), Defect::CSeqMethod);
    assert_eq!(defect("mismatch02"), Defect::CSeqMethod);
    assert_eq!(defect("multi01"), Defect::Repeated(HeaderName::CSeq));
    assert!(matches!(defect("insuf"), Defect::Header(HeaderError::Missing(_))));
    assert!(matches!(defect("badinv01"), Defect::Header(HeaderError::Malformed { .. })));
    // With the empty line that the archive's file lacks, the display name is what is wrong.
    let whole = [&raw("baddn")[..], b"\r\n"].concat();
    let m = Message::parse(whole.into(), &Limits::default()).unwrap();
    assert_eq!(m.validate(), Err(malformed(HeaderName::From, Flaw::DisplayName)));
}

#[test]
fn what_the_user_agent_decides_on_is_there() {
    let m = good("baddate");
    assert!(m.date().unwrap().is_err());
    assert!(!good("badbranch").top_via().unwrap().has_unique_branch());
    assert_eq!(Uri::parse(good("unkscm").request_uri()).unwrap().scheme(), Scheme::Other);
    assert_eq!(Uri::parse(good("novelsc").request_uri()).unwrap().scheme_str(), "soap.beep");
    let m = good("unksm2");
    assert_eq!(m.to().unwrap().uri.scheme_str(), "isbn");
    assert_eq!(m.from().unwrap().uri.scheme_str(), "http");
    let m = good("bext01");
    let require: Vec<_> = m.list(HeaderName::Require).collect();
    assert_eq!(require, ["nothingSupportsThis", "nothingSupportsThisEither"]);
    assert_eq!(m.list(HeaderName::ProxyRequire).count(), 2);
    assert!(good("invut").content_type().unwrap().unwrap().is("application", "unknownformat"));
    let m = good("regaut01");
    let credentials = m.credentials(HeaderName::Authorization).next().unwrap().unwrap();
    assert_eq!(credentials.scheme, "NoOneKnowsThisScheme");
    assert_eq!(good("bcast").vias().count(), 2);
    assert_eq!(good("zeromf").max_forwards(), Some(Ok(0)));
    let sdp = MediaType::parse("application/sdp").unwrap();
    assert!(!good("sdp01").accepts().any(|range| range.unwrap().accepts(&sdp)));
}

#[test]
fn contact_parameters_and_uri_parameters_are_told_apart() {
    let m = good("cparam01");
    let contact = m.contacts().next().unwrap().unwrap();
    assert_eq!(
        (contact.param("unknownparam"), contact.uri.param("unknownparam")),
        (Some(""), None)
    );
    let m = good("cparam02");
    let contact = m.contacts().next().unwrap().unwrap();
    assert_eq!(
        (contact.param("unknownparam"), contact.uri.param("unknownparam")),
        (None, Some(""))
    );
    let m = good("regescrt");
    let contact = m.contacts().next().unwrap().unwrap();
    let (name, value) = contact.uri.headers().next().unwrap();
    assert_eq!((name, &*unescape(value)), ("Route", &b"<sip:sip.example.com>"[..]));
}

#[test]
fn inv2543_is_accepted_without_what_rfc_2543_did_not_know() {
    let m = good("inv2543");
    assert_eq!((m.from().unwrap().tag(), m.top_via().unwrap().branch()), (None, None));
    assert_eq!((m.content_length(), m.max_forwards()), (None, None));
    assert_eq!(m.to().unwrap().param("user"), Some("phone"));
    assert!(!m.record_routes().next().unwrap().unwrap().uri.is_loose_router());
    assert!(m.body().starts_with(b"v=0"));
}

#[test]
fn on_a_stream_bad_lengths_close_it_and_long_ones_wait() {
    let cut = |name| {
        let mut framer = StreamFramer::new(&Limits::default());
        framer.push(raw(name));
        framer.next()
    };
    assert!(matches!(cut("ncl"), Err(FrameError::ContentLength { .. })));
    assert!(matches!(cut("mcl01"), Err(FrameError::ContentLength { .. })));
    assert_eq!(cut("clerr"), Ok(None));
    // What follows the message is the next one, not to be skipped.
    let mut framer = StreamFramer::new(&Limits::default());
    framer.push(raw("dblreq"));
    let Ok(Some(Framed::Message(first))) = framer.next() else { panic!() };
    assert!(first.starts_with(b"REGISTER"));
    let Ok(Some(Framed::Message(second))) = framer.next() else { panic!() };
    assert!(second.starts_with(b"INVITE"));
}
