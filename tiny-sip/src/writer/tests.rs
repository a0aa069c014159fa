use super::*;
use crate::Limits;

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_request_is_printed_in_the_order_of_the_calls() {
    let request = Writer::request(&Method::Invite, "sip:bob@biloxi.example.com")
        .via(tiny_sak::Transport::Udp, "192.0.2.1:5060", "z9hG4bKabc")
        .header(HeaderName::MaxForwards, 70u8)
        .header(HeaderName::From, format_args!("<sip:{}>;tag={}", "a@b", 1))
        .cseq(4711, &Method::Invite)
        .header_named("content-length", "99")
        .body("application/sdp", &b"v=0\r\n"[..])
        .finish()
        .unwrap();
    assert_eq!(
        text(&request),
        "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nCSeq: 4711 INVITE\r\n\
         Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    );
}

#[test]
fn a_response_copies_lines_verbatim() {
    let request = Message::parse(
        Bytes::from_static(
            b"BYE sip:a SIP/2.0\r\nv: SIP/2.0/UDP a;branch=1\r\nVia:SIP/2.0/UDP b\r\nt: \"x\\\0\" <sip:t>\r\n\r\n",
        ),
        &Limits::default(),
    )
    .unwrap();
    let response = Writer::response(StatusCode::OK, "")
        .copy(&request, HeaderName::Via)
        .copy(&request, HeaderName::To)
        .copy(&request, HeaderName::From)
        .finish()
        .unwrap();
    assert_eq!(
        text(&response),
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=1\r\nVia: SIP/2.0/UDP b\r\n\
         To: \"x\\\0\" <sip:t>\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn nothing_breaks_out_of_its_header_field() {
    let with = |name: &str, value: &str| {
        Writer::request(&Method::Bye, "sip:a").header_named(name, value).finish()
    };
    for value in ["a\r\nRoute: <sip:evil>", "a\rb", "a\nb", "a\0b", "\r\n\r\n"] {
        assert_eq!(with("X", value), Err(WriteError::Value { name: "X".into() }), "{value:?}");
        assert!(Writer::check("X", value).is_err());
        let body = Writer::request(&Method::Bye, "sip:a").body(value, &b""[..]).finish();
        assert!(body.is_err());
    }
    for name in ["", "X:", "X Y", "X\r\nY", "É"] {
        assert_eq!(with(name, "v"), Err(WriteError::Name { name: name.into() }));
    }
    assert!(with("X-Tab", "a\tb é").is_ok() && Writer::check("X", "fine").is_ok());
}

#[test]
fn start_lines_cannot_be_forged() {
    for uri in ["", "sip:a SIP/2.0\r\nX: y", "sip:a b", "sip:a\0"] {
        assert_eq!(Writer::request(&Method::Bye, uri).finish(), Err(WriteError::StartLine));
    }
    let method = Method::Other("A B".into());
    assert_eq!(Writer::request(&method, "sip:a").finish(), Err(WriteError::StartLine));
    assert_eq!(Writer::response(StatusCode::OK, "a\r\nb").finish(), Err(WriteError::StartLine));
    // The first error is the one told, whatever follows.
    let late = Writer::response(StatusCode::OK, "a\r\nb").header(HeaderName::To, "x\n").finish();
    assert_eq!(late, Err(WriteError::StartLine));
}

#[test]
fn numbers_print_in_full() {
    let mut out = String::new();
    for number in [0, 9, 10, 4_294_967_295, u64::MAX] {
        put_number(&mut out, number);
        out.push(' ');
    }
    assert_eq!(out, "0 9 10 4294967295 18446744073709551615 ");
}
