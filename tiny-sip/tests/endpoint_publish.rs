//! Publications (RFC 3903) against a compositor by hand.

mod endpoint_net;

use endpoint_net::{Net, answer, has, header};
use tiny_sip::{Account, Body, Config, Error, Event, PublicationEvent, PublicationKey, Publish};

const US: &str = "10.0.0.1:5060";
const PEER: &str = "10.0.0.9:5060";

fn net() -> Net {
    let mut net = Net::new(1);
    let account = Account { aor: "sip:alice@10.0.0.9".into(), ..Account::default() };
    net.add_account(US, account, Config::default());
    net
}

fn state(text: &str) -> Body {
    Body::new("application/pidf+xml", text.to_owned())
}

fn publish(net: &mut Net) -> (PublicationKey, String) {
    let (now, account) = (net.now, net.peers[0].account);
    let spec = Publish {
        to: None,
        event: "presence".into(),
        body: state("open"),
        expires: 600,
        headers: vec![],
    };
    let key = net.endpoint(0).publish(now, account, spec).unwrap();
    (key, net.caught())
}

fn reply(net: &mut Net, request: &str, status: &str, extra: &str) {
    net.inject(PEER, US, &answer(request, status, "esc", extra));
}

fn event(net: &mut Net) -> PublicationEvent {
    match net.event(0) {
        Event::Publication { event, .. } => event,
        other => panic!("{other:?}"),
    }
}

fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").unwrap().1
}

fn published(net: &mut Net) -> PublicationKey {
    let (key, first) = publish(net);
    reply(net, &first, "200 OK", "SIP-ETag: one\r\nExpires: 600\r\n");
    assert!(matches!(event(net), PublicationEvent::Published { expires: 600, .. }));
    key
}

#[test]
fn the_four_operations_are_told_apart_by_body_and_entity_tag() {
    let mut net = net();
    let (key, initial) = publish(&mut net);
    assert!(initial.starts_with("PUBLISH sip:alice@10.0.0.9 SIP/2.0\r\n"));
    assert_eq!((header(&initial, "Event"), header(&initial, "Expires")), ("presence", "600"));
    assert!(!has(&initial, "SIP-If-Match"));
    assert_eq!(body(&initial), "open");
    reply(&mut net, &initial, "200 OK", "SIP-ETag: one\r\nExpires: 300\r\n");
    assert!(matches!(event(&mut net), PublicationEvent::Published { expires: 300, .. }));
    // Refresh: no body.
    let refresh = net.caught();
    assert!((200_000..300_000).contains(&net.elapsed()), "{}", net.elapsed());
    assert_eq!((header(&refresh, "SIP-If-Match"), body(&refresh)), ("one", ""));
    reply(&mut net, &refresh, "200 OK", "SIP-ETag: two\r\nExpires: 300\r\n");
    // Modify.
    let now = net.now;
    net.endpoint(0).update_publication(now, key, state("closed")).unwrap();
    let modify = net.caught();
    assert_eq!((header(&modify, "SIP-If-Match"), body(&modify)), ("two", "closed"));
    reply(&mut net, &modify, "200 OK", "SIP-ETag: three\r\nExpires: 300\r\n");
    // Remove.
    let now = net.now;
    net.endpoint(0).unpublish(now, key).unwrap();
    let remove = net.caught();
    assert_eq!(header(&remove, "Expires"), "0");
    assert_eq!((header(&remove, "SIP-If-Match"), body(&remove)), ("three", ""));
    reply(&mut net, &remove, "200 OK", "SIP-ETag: four\r\nExpires: 0\r\n");
    while !matches!(event(&mut net), PublicationEvent::Removed) {}
    let now = net.now;
    assert!(matches!(net.endpoint(0).unpublish(now, key), Err(Error::Stale(_))));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_412_publishes_anew_without_the_entity_tag() {
    let mut net = net();
    published(&mut net);
    let refresh = net.caught();
    reply(&mut net, &refresh, "412 Conditional Request Failed", "");
    let anew = net.caught();
    assert!(!has(&anew, "SIP-If-Match"));
    assert_eq!(body(&anew), "open");
    // An initial publication that gets 412 makes no sense: no loop.
    reply(&mut net, &anew, "412 Conditional Request Failed", "");
    assert!(matches!(event(&mut net), PublicationEvent::Failed { retry_in: None, .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_423_is_tried_again_with_min_expires() {
    let mut net = net();
    let (_, first) = publish(&mut net);
    reply(&mut net, &first, "423 Interval Too Brief", "Min-Expires: 3600\r\n");
    let second = net.caught();
    assert_eq!((header(&second, "Expires"), body(&second)), ("3600", "open"));
}

#[test]
fn changes_wait_for_the_answer_and_the_latest_goes_out() {
    let mut net = net();
    let (key, first) = publish(&mut net);
    for text in ["two", "three"] {
        let now = net.now;
        net.endpoint(0).update_publication(now, key, state(text)).unwrap();
    }
    net.run(100);
    assert_eq!(net.count("PUBLISH"), 1);
    reply(&mut net, &first, "200 OK", "SIP-ETag: one\r\nExpires: 600\r\n");
    let second = net.caught();
    assert_eq!((header(&second, "SIP-If-Match"), body(&second)), ("one", "three"));
}

#[test]
fn a_silent_compositor_is_tried_again_and_a_refusal_is_final() {
    let mut net = net();
    let (_, _) = publish(&mut net);
    let PublicationEvent::Failed { retry_in: Some(_), .. } = event(&mut net) else { panic!() };
    net.inbox.clear();
    let again = net.caught();
    assert_eq!(body(&again), "open");
    reply(&mut net, &again, "489 Bad Event", "");
    let PublicationEvent::Failed { status: Some(489), retry_in: None, .. } = event(&mut net) else {
        panic!()
    };
    net.settle();
    net.assert_empty();
}

#[test]
fn removing_what_was_never_published_takes_no_request() {
    let mut net = net();
    let (key, first) = publish(&mut net);
    let now = net.now;
    net.endpoint(0).unpublish(now, key).unwrap();
    reply(&mut net, &first, "403 Forbidden", "");
    assert!(matches!(event(&mut net), PublicationEvent::Removed));
    net.settle();
    net.assert_empty();
}
