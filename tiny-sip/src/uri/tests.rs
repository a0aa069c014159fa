use super::*;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text).unwrap_or_else(|flaw| panic!("{text}: {flaw}"))
}

#[test]
fn every_part_of_a_sip_uri() {
    let u = uri("sips:alice:secret@[2001:db8::1]:5071;transport=tcp;lr;maddr=h?Subject=a%20b&X=");
    assert!(u.is_sip() && u.is_sips());
    assert_eq!((u.user(), u.password()), (Some("alice"), Some("secret")));
    assert_eq!((u.host(), u.port()), ("[2001:db8::1]", Some(5071)));
    assert_eq!(u.host_port(), "[2001:db8::1]:5071");
    assert_eq!(u.ip(), "2001:db8::1".parse().ok());
    assert_eq!((u.transport(), u.maddr()), (Some(Transport::Tcp), Some("h")));
    assert!(u.is_loose_router());
    assert_eq!(u.headers().collect::<Vec<_>>(), [("Subject", "a%20b"), ("X", "")]);
    assert!(u.without_headers().ends_with(";maddr=h"));
    let u = uri("SIP:example.com");
    assert_eq!(
        (u.user(), u.host(), u.port(), u.params().is_empty()),
        (None, "example.com", None, true)
    );
    assert_eq!(
        (uri("sip:192.0.2.1?a=b").ip(), uri("sip:x?a=b").headers_str()),
        ("192.0.2.1".parse().ok(), "a=b")
    );
}

#[test]
fn telephone_numbers() {
    let u = uri("tel:+1-201-555-0123;ext=5;phone-context=x");
    assert_eq!(
        (u.scheme(), u.user(), u.param("ext")),
        (Scheme::Tel, Some("+1-201-555-0123"), Some("5"))
    );
    assert_eq!(uri("tel:*21#;phone-context=example.com").user(), Some("*21#"));
    for bad in ["tel:", "tel:+", "tel:--", "tel:+12#", "tel:alice", "tel:+1;a b"] {
        assert!(Uri::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn other_schemes_stay_opaque() {
    let u = uri("urn:service:sos");
    assert_eq!((u.scheme(), u.scheme_str(), u.host(), u.user()), (Scheme::Other, "urn", "", None));
    assert_eq!(uri("http://a/b?c").without_headers(), "http://a/b?c");
    assert_eq!(uri("x:y?z").headers_str(), "");
}

#[test]
fn what_is_no_uri_is_refused() {
    for (bad, flaw) in [
        ("", Flaw::Scheme),
        ("alice", Flaw::Scheme),
        ("1a:b", Flaw::Scheme),
        ("x:", Flaw::Host),
        ("sip:", Flaw::Host),
        ("sip:@a", Flaw::User),
        ("sip::x@a", Flaw::User),
        ("sip:a b@c", Flaw::User),
        ("sip:a%4@c", Flaw::User),
        ("sip:a@", Flaw::Host),
        ("sip:a@b c", Flaw::Host),
        ("sip:a@b:", Flaw::Port),
        ("sip:a@b:65536", Flaw::Port),
        ("sip:a@b:5x", Flaw::Port),
        ("sip:[::1", Flaw::Host),
        ("sip:[zz]", Flaw::Host),
        ("sip:a@b;x=\"", Flaw::Param),
        ("sip:a@b;x=%zz", Flaw::Param),
        ("sip:a@b?x=<", Flaw::UriHeaders),
    ] {
        assert_eq!(Uri::parse(bad).map(|_| ()), Err(flaw), "{bad}");
    }
}

// RFC 3261 §19.1.4 gives these pairs.
#[test]
fn the_rfc_s_examples_of_equal_uris() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("tel:1;phone-context=+1.2;ext=4-5", "tel:1;ext=45;phone-context=+12"),
        ("sip:a;x=1;x=2", "sip:a;x=2;x=1"),
        ("tel:1;x=1;x=2", "tel:1;x=1;x=2"),
        ("URN:a:B", "urn:a:B"),
    ] {
        assert!(uri(a).is_equivalent(&uri(b)) && uri(b).is_equivalent(&uri(a)), "{a} {b}");
    }
}

#[test]
fn the_rfc_s_examples_of_different_uris() {
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b", "sips:a@b"),
        ("sip:b", "sip:a@b"),
        ("sip:a:p@b", "sip:a@b"),
        ("sip:a%3Ap@b", "sip:a:p@b"),
        ("tel:+1;ext=1", "tel:+1"),
        ("tel:1;phone-context=exa.mple", "tel:1;phone-context=ex.ample"),
        ("urn:a:b", "urn:a:B"),
    ] {
        assert!(!uri(a).is_equivalent(&uri(b)) && !uri(b).is_equivalent(&uri(a)), "{a} {b}");
    }
}

#[test]
fn hostile_lists_are_not_compared_pair_by_pair() {
    let long: String = (0..10_000).map(|i| format!(";p{i}=1")).collect();
    let (a, b) = (format!("sip:a{long}"), format!("sip:a{long};x=1"));
    assert!(uri(&a).is_equivalent(&uri(&a)));
    assert!(!uri(&a).is_equivalent(&uri(&b)));
}

#[test]
fn escapes_there_and_back() {
    assert_eq!(escape_user("alice"), "alice");
    let escaped = escape_user("a b@c:d#é");
    assert_eq!(escaped, "a%20b%40c%3Ad%23%C3%A9");
    assert_eq!(&*unescape(&escaped), "a b@c:d#é".as_bytes());
    assert_eq!(&*unescape("%00%4%zz%41"), b"\0%4%zzA");
    let text = format!("sip:{escaped}@example.com");
    assert_eq!(uri(&text).user(), Some(&*escaped));
}
