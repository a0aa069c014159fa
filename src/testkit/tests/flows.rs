//! What Path (RFC 3327) and flows (RFC 5626) need is demanded.

use super::support::*;
use tiny_sip::HeaderName;

const LINE: &str = "REGISTER sip:example.test";
const FLOW: &str = "<sip:bob@192.0.2.1>;+sip.instance=\"<urn:uuid:1>\";reg-id=1";

/// A REGISTER of Bob's that has come by a proxy.
fn by_a_proxy(contact: &str, path: &str, supported: &str) -> String {
    format!(
        "To: <sip:bob@example.test>\nContact: {contact}\nExpires: 600\n\
         v: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK-first\nPath: {path}\n{supported}"
    )
}

#[test]
fn a_path_that_the_user_agent_does_not_know_of_is_refused() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let headers = by_a_proxy("<sip:bob@192.0.2.1>", "<sip:192.0.2.77;lr>", "");
    let refused = town.prove(phone, LINE, &headers, "bob", "secret");
    assert_eq!(status(&refused), 420);
    assert_eq!(refused.header(HeaderName::Unsupported), Some("path"));
    let headers = by_a_proxy("<sip:bob@192.0.2.1>", "<sip:192.0.2.77;lr>", "Supported: path\n");
    let done = town.prove(phone, LINE, &headers, "bob", "secret");
    assert_eq!(status(&done), 200);
    assert_eq!(done.header(HeaderName::Path), Some("<sip:192.0.2.77;lr>"));
    assert_eq!(done.header(HeaderName::Require), None);
}

#[test]
fn a_flow_needs_a_first_hop_that_keeps_it() {
    let mut town = Town::new(config());
    let phone = town.phone(1);
    let both = "Supported: path, outbound\n";
    let headers = by_a_proxy(FLOW, "<sip:192.0.2.77;lr>", both);
    assert_eq!(status(&town.prove(phone, LINE, &headers, "bob", "secret")), 439);
    let headers = by_a_proxy(FLOW, "<sip:x@192.0.2.77;lr;ob>", both);
    let done = town.prove(phone, LINE, &headers, "bob", "secret");
    assert_eq!(status(&done), 200);
    assert_eq!(done.header(HeaderName::Require), Some("outbound"));
    let contact = done.contacts().next().unwrap().unwrap();
    assert_eq!(contact.param("reg-id"), Some("1"));
    assert_eq!(contact.param("+sip.instance"), Some("<urn:uuid:1>"));
    // "the entire registration SHOULD be rejected with a 400"
    let two = format!("{FLOW}, <sip:bob@192.0.2.2>");
    let headers = by_a_proxy(&two, "<sip:x@192.0.2.77;lr;ob>", both);
    assert_eq!(status(&town.prove(phone, LINE, &headers, "bob", "secret")), 400);
}

#[test]
fn a_token_that_the_edge_has_not_given_is_refused() {
    let mut town = Town::new(config().edge_of("192.0.2.77:5060".parse().unwrap()));
    let phone = town.phone(1);
    for token in ["0123456789abcdef7564", "x", "00000000000000000", "%ff%ff"] {
        let route = format!("Route: <sip:{token}@192.0.2.100:5060;lr>\n");
        town.request(phone, "MESSAGE sip:bob@192.0.2.5", &route);
        let refused = town.one().1.1;
        assert!(matches!(status(&refused), 403 | 400), "{token}: {refused:?}");
    }
}
