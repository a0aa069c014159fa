use super::*;
use crate::header::{Flaw, HeaderError};

fn parse(text: &str) -> Result<Message, ParseError> {
    Message::parse(Bytes::from(text.to_owned()), &Limits::default())
}

fn request(headers: &str) -> Message {
    parse(&format!("OPTIONS sip:bob@example.com SIP/2.0\r\n{headers}\r\n")).unwrap()
}

fn defect(text: &str) -> Defect {
    parse(text).unwrap_err().what()
}

#[test]
fn header_fields_are_found_by_name_case_and_compact_form() {
    let m = request("VIA: a\r\nx-Foo: 1\r\nv : b\r\nX-FOO:2 \r\nsubject:\r\nl: 0\r\n");
    assert_eq!(m.headers(HeaderName::Via).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(m.headers_named("x-foo").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((m.header_named("v"), m.header_named("Via")), (Some("a"), Some("a")));
    assert_eq!((m.header(HeaderName::Subject), m.header_named("s")), (Some(""), Some("")));
    assert_eq!((m.header_named("none"), m.header(HeaderName::To)), (None, None));
    let all: Vec<_> = m.all_headers().collect();
    assert_eq!(all[0], ("VIA", "a"));
    assert_eq!(all[2], ("v", "b"));
    assert_eq!(all.len(), 6);
}

#[test]
fn folded_lines_are_one_value() {
    let m =
        request("Subject: I know you're there,\r\n  pick up\r\n\tthe phone\r\nTo:\r\n <sip:a>\r\n");
    assert_eq!(m.header(HeaderName::Subject), Some("I know you're there,    pick up  \tthe phone"));
    assert_eq!(m.header(HeaderName::To), Some("<sip:a>"));
}

#[test]
fn parsing_copies_nothing_and_cloning_shares() {
    let data = Bytes::from("OPTIONS sip:a SIP/2.0\r\nTo: x\r\nl: 2\r\n\r\nab".to_owned());
    let m = Message::parse(data.clone(), &Limits::default()).unwrap();
    assert_eq!(m.as_bytes().as_ptr(), data.as_ptr());
    assert_eq!(m.body_bytes().as_ptr(), data[data.len() - 2..].as_ptr());
    let clone = m.clone();
    assert_eq!(
        clone.header(HeaderName::To).unwrap().as_ptr(),
        m.header(HeaderName::To).unwrap().as_ptr()
    );
    assert_eq!(clone, m);
}

#[test]
fn line_ends_fall_on_every_place_of_a_block() {
    for n in 0..140 {
        let m =
            request(&format!("X: {}\r\nTo: <sip:a>\r\nY: {}\r\n", "a".repeat(n), "é".repeat(n)));
        assert_eq!(m.header_named("X").unwrap().len(), n);
        assert_eq!(m.header(HeaderName::To), Some("<sip:a>"), "{n}");
        assert_eq!(m.header_named("Y").unwrap().chars().count(), n);
        assert_eq!(m.all_headers().count(), 3);
    }
}

#[test]
fn lines_that_end_in_lf_alone_are_read_too() {
    let m = parse("\r\n\n\r\nOPTIONS sip:a SIP/2.0\nTo: x\r\nFrom: y\n\nbody").unwrap();
    assert_eq!((m.header(HeaderName::To), m.header(HeaderName::From)), (Some("x"), Some("y")));
    assert_eq!(m.body(), b"body");
}

#[test]
fn the_body_is_what_content_length_says() {
    let m = parse("MESSAGE sip:a SIP/2.0\r\nContent-Length: 3\r\n\r\nabcdef").unwrap();
    assert_eq!((m.body(), &m.body_bytes()[..]), (&b"abc"[..], &b"abc"[..]));
    assert!(m.as_bytes().ends_with(b"abc"));
    let m = parse("MESSAGE sip:a SIP/2.0\r\n\r\nabcdef").unwrap();
    assert_eq!(m.body(), b"abcdef");
    let head = "MESSAGE sip:a SIP/2.0\r\n";
    assert_eq!(defect(&format!("{head}l: 4\r\n\r\nabc")), Defect::BodyShort);
    for bad in ["l: -1", "l: +1", "l: 1a", "l:", "l: 0\r\nl: 0", "l: 99999999999999999999999"] {
        assert_eq!(defect(&format!("{head}{bad}\r\n\r\nabc")), Defect::ContentLength, "{bad}");
    }
}

#[test]
fn start_lines() {
    let m = parse("SIP/2.0 180 Rührig\r\n\r\n").unwrap();
    assert_eq!((m.status().unwrap().code(), m.reason(), m.is_request()), (180, "Rührig", false));
    assert_eq!(parse("SIP/2.0 200\r\n\r\n").unwrap().reason(), "");
    assert_eq!(parse("OPTIONS sip:a sip/2.0\r\n\r\n").unwrap().request_uri(), "sip:a");
    for bad in [
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 2000 x",
        "SIP/2.0  200 x",
        "SIP/2.0",
        "SIP/2.0 20x y",
    ] {
        assert_eq!(defect(&format!("{bad}\r\n\r\n")), Defect::StatusLine, "{bad}");
    }
    assert_eq!(defect("SIP/3.0 200 OK\r\n\r\n"), Defect::Version);
    assert_eq!(defect("BYE sip:a SIP/3.0\r\n\r\n"), Defect::Version);
    for bad in [
        "BYE  sip:a SIP/2.0",
        "BYE sip:a  SIP/2.0",
        "BYE sip:a b SIP/2.0",
        "BYE SIP/2.0",
        "BYE sip:a SIP/2.0 ",
    ] {
        assert_eq!(defect(&format!("{bad}\r\n\r\n")), Defect::RequestLine, "{bad}");
    }
    for bad in [
        "",
        "\r\n",
        "\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "BYE",
        "BYE sip:a\r\n\r\n",
        "B@YE sip:a SIP/2.0\r\n\r\n",
        " BYE sip:a SIP/2.0\r\n\r\n",
    ] {
        assert_eq!(defect(bad), Defect::NotSip, "{bad:?}");
    }
}

#[test]
fn bad_lines_leave_the_others_readable() {
    for (bad, what) in [
        ("no colon", Defect::HeaderLine),
        (": no name", Defect::HeaderLine),
        ("b@d: name", Defect::HeaderLine),
        ("X: a\rb", Defect::Control),
        ("X: a\0b", Defect::Control),
    ] {
        let text = format!("BYE sip:a SIP/2.0\r\nTo: x\r\n{bad}\r\nFrom: y\r\n\r\n");
        let Err(ParseError::Request { partial: Some(m), what: found }) = parse(&text) else {
            panic!("{bad}");
        };
        assert_eq!(found, what);
        assert_eq!((m.header(HeaderName::To), m.header(HeaderName::From)), (Some("x"), Some("y")));
    }
    let latin = b"BYE sip:a SIP/2.0\r\nTo: \xe9 <sip:a>\r\n\r\n";
    let Err(ParseError::Request { partial: Some(m), what }) =
        Message::parse(Bytes::from_static(latin), &Limits::default())
    else {
        panic!();
    };
    assert_eq!((what, m.header(HeaderName::To)), (Defect::Encoding, Some("? <sip:a>")));
    assert_eq!(defect("BYE sip:a SIP/2.0\r\nTo: x\r\n"), Defect::Unfinished);
    assert_eq!(defect("BYE sip:a SIP/2.0\r\nTo: x"), Defect::Unfinished);
    assert_eq!(defect("BYE sip:a SIP/2.0\r\nTo: x\r\n y"), Defect::Unfinished);
}

#[test]
fn limits_hold_and_say_513() {
    let limits =
        Limits { max_message: 400, max_head: 300, max_headers: 3, max_line: 100, max_parts: 1 };
    let what = |text: String| {
        let what = Message::parse(text.into(), &limits).unwrap_err().what();
        assert_eq!(what.status(), 513);
        what
    };
    let head = "BYE sip:a SIP/2.0\r\n";
    assert_eq!(what("x".repeat(401)), Defect::TooLarge);
    assert_eq!(what(format!("{head}X: {}\r\n\r\n", "a".repeat(100))), Defect::LineTooLong);
    assert_eq!(what(format!("{head}{}\r\n", "X: y\r\n".repeat(4))), Defect::TooManyHeaders);
    let long = format!("X: {}\r\n", "a".repeat(92));
    assert_eq!(what(format!("{head}{}\r\n", long.repeat(3))), Defect::HeadTooLarge);
    assert!(Message::parse(format!("{head}{}\r\n", "X: y\r\n".repeat(3)).into(), &limits).is_ok());
}

const MINIMAL: &str = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n\
    Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n";

#[test]
fn validation_asks_for_what_every_message_needs() {
    assert_eq!(request(MINIMAL).validate(), Ok(()));
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let without: String = MINIMAL
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with(&format!("{name}:")))
            .collect();
        let missing = Defect::Header(HeaderError::Missing(HeaderName::parse(name)));
        assert_eq!(request(&without).validate(), Err(missing));
        if name != "Via" {
            let line = MINIMAL.split_inclusive("\r\n").find(|l| l.starts_with(name)).unwrap();
            let twice = request(&format!("{MINIMAL}{line}")).validate();
            assert_eq!(twice, Err(Defect::Repeated(HeaderName::parse(name))));
        }
    }
    let more = |line: &str| request(&format!("{MINIMAL}{line}\r\n")).validate();
    assert_eq!(more("Via: SIP/2.0/UDP b, SIP/2.0/TCP c"), Ok(()));
    assert_eq!(more("m: <sip:x>, \"a\" <sip:y>;q=0.1"), Ok(()));
    assert_eq!(more("Contact: *"), Ok(()));
    let flaw = |name, flaw| Err(Defect::Header(HeaderError::Malformed { name, flaw }));
    assert_eq!(more("Via: SIP/2.0/UDP b,,"), flaw(HeaderName::Via, Flaw::Token));
    assert_eq!(more("Max-Forwards: -1"), flaw(HeaderName::MaxForwards, Flaw::Number));
    assert_eq!(more("Content-Type: x"), flaw(HeaderName::ContentType, Flaw::Token));
    assert_eq!(more("Contact: sip:a@b, <sip:c"), flaw(HeaderName::Contact, Flaw::Brackets));
    let other = MINIMAL.replace("1 OPTIONS", "1 INVITE");
    assert_eq!(request(&other).validate(), Err(Defect::CSeqMethod));
    let response = parse(&format!("SIP/2.0 200 OK\r\n{other}\r\n")).unwrap();
    assert_eq!(response.validate(), Ok(()));
}

#[test]
fn every_typed_header_field() {
    let m = request(
        "Accept: application/sdp;level=1, text/html\r\nAccept-Encoding: gzip;q=0.5\r\n\
         Accept-Language: da, en-gb;q=0.8\r\nAlert-Info: <http://a/b.wav>\r\nAllow: INVITE, ACK\r\n\
         Authentication-Info: nextnonce=\"47,11\", qop=auth\r\nCall-Info: <http://a>;purpose=icon,<http://b>\r\n\
         Contact: \"M\" <sip:w@x>;q=0.7;expires=60, <mailto:w@x>\r\nContent-Disposition: session;handling=optional\r\n\
         e: gzip\r\nContent-Language: fr\r\nContent-Type: text/html; charset=ISO-8859-4\r\n\
         Date: Sat, 13 Nov 2010 23:29:00 GMT\r\nError-Info: <sip:e@x>\r\nExpires: 5\r\nIn-Reply-To: a@b, c\r\n\
         MIME-Version: 1.0\r\nMin-Expires: 60\r\nOrganization: Boxes, Inc.\r\nPriority: emergency\r\n\
         Proxy-Authenticate: Digest realm=\"a\", nonce=\"b\"\r\nProxy-Require: foo\r\n\
         Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nReply-To: Bob <sip:b@b>\r\nRequire: 100rel\r\n\
         Retry-After: 120 (busy)\r\nRoute: <sip:r;lr>\r\nServer: HomeServer v2\r\nTimestamp: 54\r\n\
         k: 100rel, timer\r\nUnsupported: foo\r\nUser-Agent: Softphone Beta1.5\r\n\
         Warning: 307 isi.edu \"Session\", 301 x \"y\"\r\nWWW-Authenticate: Digest realm=\"r\"\r\n\
         Authorization: Digest username=\"u\", uri=\"sip:a\"\r\nx: 1800;refresher=uac\r\no: presence;id=1\r\n",
    );
    assert!(m.accepts().next().unwrap().unwrap().is("application", "sdp"));
    assert_eq!(m.items(HeaderName::AcceptEncoding).next().unwrap().unwrap().quality(), 500);
    assert_eq!(m.items(HeaderName::AcceptLanguage).count(), 2);
    assert_eq!(m.info_uris(HeaderName::AlertInfo).next().unwrap().unwrap().uri, "http://a/b.wav");
    assert_eq!(m.list(HeaderName::Allow).collect::<Vec<_>>(), ["INVITE", "ACK"]);
    assert_eq!(m.authentication_info().unwrap().unwrap().get("nextnonce"), Some("47,11"));
    assert_eq!(m.info_uris(HeaderName::CallInfo).count(), 2);
    assert_eq!(m.contacts().nth(1).unwrap().unwrap().uri.scheme_str(), "mailto");
    assert_eq!(
        m.item(HeaderName::ContentDisposition).unwrap().unwrap().param("handling"),
        Some("optional")
    );
    assert_eq!(m.list(HeaderName::ContentEncoding).next(), Some("gzip"));
    assert_eq!(m.content_type().unwrap().unwrap().param("charset"), Some("ISO-8859-4"));
    assert_eq!(m.date().unwrap().unwrap().year, 2010);
    assert_eq!(m.info_uris(HeaderName::ErrorInfo).count(), 1);
    assert_eq!((m.expires(), m.min_expires()), (Some(Ok(5)), Some(Ok(60))));
    assert_eq!(m.list(HeaderName::InReplyTo).count(), 2);
    assert_eq!(m.header(HeaderName::Organization), Some("Boxes, Inc."));
    assert_eq!(m.item(HeaderName::Priority).unwrap().unwrap().value, "emergency");
    assert_eq!(
        m.challenges(HeaderName::ProxyAuthenticate).next().unwrap().unwrap().nonce(),
        Some("b")
    );
    assert_eq!((m.record_routes().count(), m.routes().count()), (2, 1));
    assert_eq!(m.address(HeaderName::ReplyTo).unwrap().unwrap().display, "Bob");
    assert_eq!(m.retry_after().unwrap().unwrap().comment, Some("busy"));
    assert_eq!(m.timestamp().unwrap().unwrap().time, "54");
    assert_eq!(m.list(HeaderName::Supported).nth(1), Some("timer"));
    assert_eq!(m.warnings().map(|w| w.unwrap().code).collect::<Vec<_>>(), [307, 301]);
    assert_eq!(
        m.credentials(HeaderName::Authorization).next().unwrap().unwrap().uri(),
        Some("sip:a")
    );
    assert_eq!(
        m.item(HeaderName::SessionExpires).unwrap().unwrap().param("refresher"),
        Some("uac")
    );
    assert_eq!(m.item(HeaderName::Event).unwrap().unwrap().value, "presence");
}

#[test]
fn a_contact_of_a_star_is_no_address() {
    let m = request("Contact: *\r\n");
    assert!(m.is_contact_star() && m.contacts().next().is_none());
    assert_eq!(m.contact().map(|_| ()), Err(HeaderError::Missing(HeaderName::Contact)));
    let m = request("m: a <sip:b>;q=1, <sip:c>\r\n");
    assert_eq!(m.contact().unwrap().uri.as_str(), "sip:b");
    assert!(!request("Contact: *\r\nContact: <sip:a>\r\n").is_contact_star());
}
