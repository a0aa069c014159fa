//! Routing of requests inside dialogs (RFC 3261 §12.2.1.1) and route sets (§12.1).

use super::*;
use crate::message::Limits;

fn dialog(target: &str, routes: &str) -> Dialog {
    let mut rng = tiny_sak::Rng::from_seed(1);
    let print = crate::endpoint::Fingerprinter::new(&mut rng).of(&["x"]);
    let (local, remote) = ("<sip:a@x>;tag=1", "<sip:b@y>;tag=2");
    let parts = Parts { call_id: "id", local, remote, target, routes };
    Dialog::new(print, Usage::None, &parts)
}

fn message(text: &str) -> Message {
    Message::parse(text.to_owned().into(), &Limits::default()).unwrap()
}

#[test]
fn without_a_route_set_the_target_is_the_request_uri() {
    let path = dialog("sip:b@y:5070", "").path();
    assert_eq!((&*path.uri, &*path.routes), ("sip:b@y:5070", ""));
    assert_eq!(next_hop(&path.uri, &path.routes), "sip:b@y:5070");
}

#[test]
fn a_loose_router_gets_the_whole_route_set() {
    let path = dialog("sip:b@y", "<sip:p1;lr>, <sip:p2;lr>").path();
    assert_eq!((&*path.uri, &*path.routes), ("sip:b@y", "<sip:p1;lr>, <sip:p2;lr>"));
    assert_eq!(next_hop(&path.uri, &path.routes), "sip:p1;lr");
}

#[test]
fn a_strict_router_becomes_the_request_uri_and_the_target_the_last_route() {
    let path = dialog("sip:b@y", "<sip:p1>,<sip:p2;lr>").path();
    assert_eq!((&*path.uri, &*path.routes), ("sip:p1", "<sip:p2;lr>, <sip:b@y>"));
    assert_eq!(next_hop(&path.uri, &path.routes), "sip:p2;lr");
    let path = dialog("sip:b@y", "<sip:p1>").path();
    assert_eq!((&*path.uri, &*path.routes), ("sip:p1", "<sip:b@y>"));
    assert_eq!(next_hop(&path.uri, &path.routes), "sip:p1");
}

#[test]
fn record_route_is_kept_by_the_callee_and_reversed_by_the_caller() {
    let headers = "Record-Route: <sip:a;lr>, <sip:b;lr>\r\nRecord-Route: <sip:c;lr>\r\n\r\n";
    let request = message(&format!("INVITE sip:x SIP/2.0\r\n{headers}"));
    assert_eq!(routes_of_request(&request), "<sip:a;lr>, <sip:b;lr>, <sip:c;lr>");
    let response = message(&format!("SIP/2.0 200 OK\r\n{headers}"));
    assert_eq!(routes_of_response(&response), "<sip:c;lr>, <sip:b;lr>, <sip:a;lr>");
}

#[test]
fn a_target_refresh_changes_the_target_and_nothing_else() {
    let mut dialog = dialog("sip:b@y", "<sip:p1;lr>");
    dialog.refresh(&message(
        "SIP/2.0 200 OK\r\nm: <sip:new@z>;x=1\r\nRecord-Route: <sip:q;lr>\r\n\r\n",
    ));
    let parts = dialog.parts();
    assert_eq!((parts.target, parts.routes), ("sip:new@z", "<sip:p1;lr>"));
    assert_eq!(
        (parts.call_id, parts.local, parts.remote),
        ("id", "<sip:a@x>;tag=1", "<sip:b@y>;tag=2")
    );
    dialog.refresh(&message("SIP/2.0 200 OK\r\n\r\n"));
    assert_eq!(dialog.parts().target, "sip:new@z");
}

#[test]
fn sequence_numbers_stay_below_two_to_the_31() {
    let mut dialog = dialog("sip:b@y", "");
    assert_eq!(dialog.next_cseq(), 1);
    dialog.local_cseq = 0x7fff_ffff;
    assert!(dialog.next_cseq() < 0x8000_0000);
}
