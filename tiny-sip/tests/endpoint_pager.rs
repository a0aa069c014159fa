//! One message at a time to a URI and in a call (RFC 3428 §8).

mod endpoint_net;

use endpoint_net::{Net, has, header};
use tiny_sip::{Body, Config, Error, Event, Method, RequestKey, ServerKey};

fn text(n: usize) -> Option<Body> {
    Some(Body::new("text/plain", n.to_string()))
}

fn say(net: &mut Net, to: &str, n: usize) -> Result<RequestKey, Error> {
    let (now, account) = (net.now, net.peers[0].account);
    net.endpoint(0).request(now, account, Method::Message, to, vec![], text(n))
}

/// The message that Bob gets next.
fn heard(net: &mut Net) -> (ServerKey, String) {
    match net.event(1) {
        Event::Request { key, request, .. } => {
            (key, String::from_utf8_lossy(request.body()).into_owned())
        }
        other => panic!("{other:?}"),
    }
}

fn accept(net: &mut Net, key: ServerKey) {
    let now = net.now;
    net.endpoint(1).respond(now, key, 200, None, vec![], None).unwrap();
    net.run(100);
}

#[test]
fn the_next_message_to_a_uri_waits_for_the_answer_to_the_one_before() {
    let mut net = Net::pair(1);
    let keys: Vec<_> = (0..3).map(|n| say(&mut net, "sip:bob@10.0.0.2", n).unwrap()).collect();
    // Somebody else does not wait.
    say(&mut net, "sip:nobody@10.0.0.9", 7).unwrap();
    net.run(100);
    assert_eq!(net.count("MESSAGE sip:bob@10.0.0.2"), 1);
    assert_eq!(net.count("MESSAGE sip:nobody@10.0.0.9"), 1);
    for (n, sent) in keys.into_iter().enumerate() {
        let (key, body) = heard(&mut net);
        assert_eq!(body, n.to_string());
        net.no_event(1);
        accept(&mut net, key);
        let Event::Response { key, response } = net.event(0) else { panic!("no answer") };
        assert_eq!((key, response.status().unwrap().code()), (sent, 200));
    }
    assert_eq!(net.count("MESSAGE sip:bob@10.0.0.2"), 3);
}

#[test]
fn a_message_and_its_answer_have_no_contact_and_make_no_dialog() {
    let mut net = Net::pair(5);
    say(&mut net, "sip:bob@10.0.0.2", 1).unwrap();
    net.run(100);
    let (key, _) = heard(&mut net);
    accept(&mut net, key);
    let (message, ok) = (net.sent("MESSAGE"), net.sent("SIP/2.0 200"));
    assert!(!has(&message, "Contact") && !has(&ok, "Contact"));
    assert_eq!(header(&ok, "Content-Length"), "0");
    assert!((0..2).all(|peer| net.endpoint(peer).stats().dialogs == 0));
}

#[test]
fn a_message_that_nobody_answers_lets_the_next_one_go_after_32_seconds() {
    let mut net = Net::pair(2);
    let first = say(&mut net, "sip:nobody@10.0.0.9", 1).unwrap();
    let second = say(&mut net, "sip:nobody@10.0.0.9", 2).unwrap();
    net.run(31_000);
    net.no_event(0);
    net.run(2_000);
    assert!(matches!(net.event(0), Event::RequestFailed { key, .. } if key == first));
    net.run(33_000);
    assert!(matches!(net.event(0), Event::RequestFailed { key, .. } if key == second));
    net.settle();
    net.assert_empty();
}

#[test]
fn messages_in_a_call_go_one_by_one_and_fail_when_it_is_over() {
    let mut net = Net::pair(3);
    let (alice, _) = net.call();
    let before = net.count("MESSAGE ");
    let now = net.now;
    let send = |net: &mut Net, n| {
        net.endpoint(0).request_in_call(now, alice, Method::Message, vec![], text(n)).unwrap()
    };
    let (_, second) = (send(&mut net, 1), send(&mut net, 2));
    net.run(100);
    assert_eq!(net.count("MESSAGE "), before + 1);
    let (first, _) = heard(&mut net);
    let now = net.now;
    net.endpoint(0).hangup(now, alice, vec![]).unwrap();
    net.run(100);
    let now = net.now;
    // Bob may not answer any more, or too late.
    let _ = net.endpoint(1).respond(now, first, 200, None, vec![], None);
    net.run(60_000);
    let mut failed = false;
    while let Some(event) = net.peers[0].events.pop_front() {
        failed |= matches!(event, Event::RequestFailed { key, .. } if key == second);
    }
    assert!(failed, "nobody was told of the second message");
    assert_eq!(net.count("MESSAGE "), before + 1);
}

#[test]
fn no_more_messages_wait_than_the_limit_says() {
    let mut net = Net::new(4);
    let mut config = Config::default();
    config.max_waiting_messages = 2;
    net.add("10.0.0.1:5060", "alice", config);
    for n in 0..3 {
        say(&mut net, "sip:bob@10.0.0.9", n).unwrap();
    }
    let refused = say(&mut net, "sip:bob@10.0.0.9", 3);
    assert!(matches!(refused, Err(Error::Limit("max_waiting_messages"))), "{refused:?}");
    say(&mut net, "sip:carol@10.0.0.9", 4).unwrap();
}
